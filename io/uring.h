// uring.h - the backend on io_uring.
//
// Job:    makes a ring with its provided buffers; probes what the kernel allows.
// Owner:  a worker. Thread: uring_new and all that follows on the worker's own thread (the ring has
//         a single issuer).
// Memory: 0.8 MiB of rings, URING_BUFFERS x URING_BUFFER_BYTES of receive buffers, of which only
//         those in use are touched. Limits: needs Linux 6.1.
#ifndef TERN_IO_URING_H
#define TERN_IO_URING_H

#include "io/backend.h"

// Enough for all that one tick takes in; what exceeds it waits in the sockets. The kernel is given
// URING_BUFFERS_MIN of them and more when it needs them: it uses them in turns, so that few stay in
// the cache and in memory.
#define URING_BUFFERS      256u
#define URING_BUFFERS_MIN  16u
#define URING_BUFFER_BYTES 16384u

struct uring_probe {
    int error;        // of io_uring_setup; 0 = it works
    bool setup;       // io_uring_setup works with any flags
    bool defer;       // single issuer, deferred task running, and the features that came before
    bool buffer_ring; // provided buffers as a ring
    bool multishot;   // accept and receive
};
void uring_probe(struct uring_probe *ret);

// Returns new, or NULL with errno set.
struct backend *uring_new(void);

#endif
