// ring.h - the floor's way to the kernel: one io_uring per thread.
//
// Job:    accept, multishot receive into provided buffers, send, wake up; all of a tick's requests
//         go to the kernel in one call, which may wait as well.
// Owner:  a relay. Thread: the relay's, from ring_open on.
// Memory: RING_BUFFERS x RING_BUFFER_BYTES for receiving; 0.4 MiB of headers for sends in pieces.
// Limits: kernel 6.1 or later, and permission to use io_uring.
#ifndef TERN_BENCH_FLOOR_RING_H
#define TERN_BENCH_FLOOR_RING_H

#include <liburing.h>
#include <sys/socket.h>

#include "core/base/err.h"

// The same as the broker's.
#define RING_BUFFERS      256u
#define RING_BUFFER_BYTES 16384u
#define RING_SQ_ENTRIES   4096u
#define RING_MESSAGES     4096u

// What a completion belongs to: the low bits of user_data. The rest is the owner's address.
enum ring_op {
    RING_ACCEPT,
    RING_RECV,
    RING_SEND, // only when not everything was sent
    RING_WRITABLE,
    RING_WAKE,
};
#define RING_OP_MASK 7u

struct ring {
    struct io_uring uring;
    struct io_uring_buf_ring *pool;
    uint8_t *bytes;
    uint32_t held; // buffers taken from completions, given back together
    uint16_t held_ids[RING_BUFFERS];
    uint32_t message_count;
    struct msghdr messages[RING_MESSAGES]; // of sends in pieces, until they are submitted
};

// ERR_IO with errno set when the kernel refuses.
NODISCARD err_t ring_open(struct ring *ret_ring);

void ring_accept(struct ring *ring, int fd, void *owner);
void ring_recv(struct ring *ring, int fd, void *owner);
void ring_writable(struct ring *ring, int fd, void *owner);
void ring_wake(struct ring *ring, int event_fd, void *owner); // edge-triggered: nobody reads it

// The kernel takes what fits into the socket while the request is submitted, and completes only
// when that was not everything: the pieces must stay until then, and no longer.
void ring_send(struct ring *ring, int fd, struct iovec *pieces, uint32_t count, void *owner);

void ring_submit(struct ring *ring);                 // without waiting
void ring_wait(struct ring *ring);                   // submits, and waits for a completion
void ring_wait_us(struct ring *ring, uint32_t time); // the same, no longer than that

// The bytes of a receive with res > 0; they stay until ring_give_back.
static inline uint8_t *
ring_hold(struct ring *ring, const struct io_uring_cqe *cqe)
{
    must_hot((cqe->flags & IORING_CQE_F_BUFFER) != 0 && ring->held < RING_BUFFERS);
    uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    must_hot(id < RING_BUFFERS);
    ring->held_ids[ring->held++] = (uint16_t)id;
    return ring->bytes + (size_t)id * RING_BUFFER_BYTES;
}

void ring_give_back(struct ring *ring);

static inline enum ring_op
ring_op(const struct io_uring_cqe *cqe)
{
    return (enum ring_op)(cqe->user_data & RING_OP_MASK);
}

static inline void *
ring_owner(const struct io_uring_cqe *cqe)
{
    // io_uring carries addresses as numbers.
    return (void *)(uintptr_t)(cqe->user_data & ~(uint64_t)RING_OP_MASK); // NOLINT
}

#endif
