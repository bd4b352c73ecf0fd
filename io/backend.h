// backend.h - the worker's one small interface to the kernel.
//
// Job:    accept, receive, send, wake, wait. io/uring.c implements it; others (epoll, a simulated
//         network) can stand beside it.
// Owner:  a worker. Thread: the worker's, for every call.
// Memory: the implementation's own. Limits: the constants below.
//
// Receives, accepts, polls and stops only queue; backend_enter hands all of them to the kernel with
// one system call. Nothing is called per message: a send stands for all that one connection has to
// say in a tick, and events come in batches.
#ifndef TERN_IO_BACKEND_H
#define TERN_IO_BACKEND_H

#include "core/base/base.h"

struct iovec;

enum io_kind {
    IO_ACCEPT = 1, // result: a new descriptor, close-on-exec, blocking
    IO_RECV,       // result: bytes, 0 = the peer's end; -ENOBUFS loses nothing: receive again
    IO_WRITABLE,   // once; whatever the result: try to send
    IO_WAKE,
};

// A token is chosen by the caller, comes back with the event, and is less than this. Several lanes
// (lane.h) may use one backend: bits IO_LANE_SHIFT to 31 say whose operation it is.
#define IO_TOKEN_END  (UINT64_C(1) << 56)
#define IO_LANE_SHIFT 26u
#define IO_LANES_MAX  64u
// Events in one batch, sends between two calls of enter, pieces of one send and their bytes.
#define IO_EVENTS_MAX     64u
#define IO_SENDS_MAX      8192u
#define IO_SEND_IDS       (IO_SENDS_MAX * IO_LANES_MAX)
#define IO_PIECES_MAX     64u
#define IO_SEND_BYTES_MAX (1u << 30)
#define IO_WAIT_FOREVER   (-1)

struct io_event {
    uint64_t token;
    uint8_t *data;  // of a receive with result > 0; lent until the next reap, also to be wiped
    int32_t result; // or -errno
    uint8_t kind;   // enum io_kind
    bool more;      // the operation is still armed
};

struct backend;

struct backend_ops {
    void (*free)(struct backend *io); // takes; NULL is fine

    // Stays armed until an event without `more`.
    void (*accept)(struct backend *io, int fd, uint64_t token);
    // once: at most one event; nothing is taken from the socket after it. Else as accept.
    void (*recv)(struct backend *io, int fd, uint64_t token, bool once);
    // One event when the socket takes bytes again or has failed.
    void (*writable)(struct backend *io, int fd, uint64_t token);
    // Disarms; the operation's last event (-ECANCELED, or one that was faster) comes later.
    void (*stop)(struct backend *io, enum io_kind kind, uint64_t token);
    // An event whenever fd (an eventfd) is written to. Stays armed as accept. fd is never read.
    void (*wake)(struct backend *io, int fd, uint64_t token);

    // Sends pieces without waiting. Both the pieces and what they point to stay as they are until
    // enter returns. By then everything was sent, but for what next_failure tells.
    void (*send)(struct backend *io, int fd, uint32_t id, const struct iovec *pieces,
                 uint32_t count);
    // After enter, before the next reap, until it is false: ret_result of the send called id is
    // how many bytes of it were sent, fewer than asked, or -errno.
    bool (*next_failure)(struct backend *io, uint32_t *ret_id, int32_t *ret_result);

    // Everything queued goes to the kernel. wait_ms: 0 or how long to wait for an event.
    void (*enter)(struct backend *io, int64_t wait_ms);
    // Up to IO_EVENTS_MAX events; gives the data of the previous batch back.
    uint32_t (*reap)(struct backend *io, struct io_event *ret_events);
};

struct backend {
    const struct backend_ops *ops;
    bool crowded; // set by reap: so many events wait that they must be reaped before more sends
    uint64_t received; // bytes that reap has handed out; the worker sets it back
};

// The lane that an operation with this token belongs to.
static inline unsigned
io_lane_of(uint64_t token)
{
    return (unsigned)(token >> IO_LANE_SHIFT) & (IO_LANES_MAX - 1);
}

#endif
