// ring.h - the load generator's way to the kernel: one io_uring per thread.
//
// Job:    connect, multishot receive into one ring of provided buffers, send; all of a tick's
//         requests go to the kernel in one call, which also waits.
// Owner:  a worker. Thread: that worker only, from ring_open to ring_close.
// Memory: about 4 MiB of receive buffers whatever the number of connections: few enough to stay in
//         the cache, and an idle connection holds none.
// Limits: kernel 6.1 or later, and permission to use io_uring.
#ifndef TERN_BENCH_RING_H
#define TERN_BENCH_RING_H

#include <liburing.h>

#include "core/base/err.h"

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *pool; // the entries that the kernel sees
    uint8_t *bytes;                 // what they point to
    uint32_t buffer_count;          // power of two
    uint32_t buffer_bytes;
};

// What a completion belongs to; the upper half of user_data is the client's slot.
enum ring_op {
    RING_CONNECT,
    RING_RECV,
    RING_SEND,
};

// ERR_IO with errno set when the kernel refuses.
NODISCARD err_t ring_open(struct ring *ret_ring, uint32_t connections);
void ring_close(struct ring *ring);

void ring_connect(struct ring *ring, uint32_t slot, int fd, const struct sockaddr *address,
                  socklen_t address_len);
void ring_recv(struct ring *ring, uint32_t slot, int fd);
// Completes when all bytes are in the socket, or with an error; data stays put until then.
void ring_send(struct ring *ring, uint32_t slot, int fd, const void *data, uint32_t len);

// Submits everything and waits for a completion, at most timeout_us.
void ring_wait(struct ring *ring, uint64_t timeout_us);

static inline uint32_t
ring_slot(const struct io_uring_cqe *cqe)
{
    return (uint32_t)(cqe->user_data >> 32);
}

static inline enum ring_op
ring_op(const struct io_uring_cqe *cqe)
{
    return (enum ring_op)(uint32_t)cqe->user_data;
}

// The bytes of a receive with res > 0; borrowed until ring_give_back for the same completion.
static inline const uint8_t *
ring_bytes(const struct ring *ring, const struct io_uring_cqe *cqe)
{
    must_hot((cqe->flags & IORING_CQE_F_BUFFER) != 0);
    uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    must_hot(id < ring->buffer_count);
    return ring->bytes + (size_t)id * ring->buffer_bytes;
}

void ring_give_back(struct ring *ring, const struct io_uring_cqe *cqe);

#endif
