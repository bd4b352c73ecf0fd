// ring.c - the floor's way to the kernel.
#include "bench/floor/ring.h"

#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/mman.h>

#define CQ_ENTRIES   32768u
#define BUFFER_GROUP 0
#define RING_FLAGS                                                                       \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | \
     IORING_SETUP_CQSIZE)

static void *
map_pages(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
pool_add(struct ring *ring, uint16_t id, int position)
{
    io_uring_buf_ring_add(ring->pool, ring->bytes + (size_t)id * RING_BUFFER_BYTES,
                          RING_BUFFER_BYTES, id, io_uring_buf_ring_mask(RING_BUFFERS), position);
}

static int
pool_open(struct ring *ring)
{
    void *pool = map_pages(RING_BUFFERS * sizeof(struct io_uring_buf));
    void *bytes = map_pages((size_t)RING_BUFFERS * RING_BUFFER_BYTES);
    if (pool == MAP_FAILED || bytes == MAP_FAILED)
        return -ENOMEM;
    ring->pool = pool;
    ring->bytes = bytes;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)pool,
        .ring_entries = RING_BUFFERS,
        .bgid = BUFFER_GROUP,
    };
    int error = io_uring_register_buf_ring(&ring->uring, &reg, 0);
    if (error < 0)
        return error;
    io_uring_buf_ring_init(ring->pool);
    for (uint32_t i = 0; i < RING_BUFFERS; i++)
        pool_add(ring, (uint16_t)i, (int)i);
    io_uring_buf_ring_advance(ring->pool, (int)RING_BUFFERS);
    return 0;
}

err_t
ring_open(struct ring *ret_ring)
{
    struct io_uring_params params = {.flags = RING_FLAGS, .cq_entries = CQ_ENTRIES};
    int error = io_uring_queue_init_params(RING_SQ_ENTRIES, &ret_ring->uring, &params);
    if (error == 0) {
        // Saves a look-up of the descriptor per call; the ring works without it.
        (void)io_uring_register_ring_fd(&ret_ring->uring);
        error = pool_open(ret_ring);
    }
    if (error < 0) {
        errno = -error;
        return ERR_IO;
    }
    ret_ring->held = ret_ring->message_count = 0;
    return OK;
}

// ---- Submitting ---------------------------------------------------------------------------------

static bool
is_passing(int error)
{
    return error == -EINTR || error == -EAGAIN || error == -EBUSY || error == -ETIME;
}

// What one call did not take: it was interrupted, or memory was short.
static void
submit_rest(struct ring *ring)
{
    while (unlikely(io_uring_sq_ready(&ring->uring) > 0)) {
        int n = io_uring_submit(&ring->uring);
        must(n >= 0 || is_passing(n));
    }
    ring->message_count = 0;
}

static struct io_uring_sqe *
next_sqe(struct ring *ring, enum ring_op op, const void *owner)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (unlikely(sqe == NULL)) {
        submit_rest(ring);
        sqe = io_uring_get_sqe(&ring->uring);
        must(sqe != NULL);
    }
    must_hot(((uintptr_t)owner & RING_OP_MASK) == 0);
    // The preparing calls leave user_data alone.
    sqe->user_data = (uint64_t)(uintptr_t)owner | op;
    return sqe;
}

void
ring_accept(struct ring *ring, int fd, void *owner)
{
    io_uring_prep_multishot_accept(next_sqe(ring, RING_ACCEPT, owner), fd, NULL, NULL,
                                   SOCK_CLOEXEC);
}

void
ring_recv(struct ring *ring, int fd, void *owner)
{
    struct io_uring_sqe *sqe = next_sqe(ring, RING_RECV, owner);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

void
ring_writable(struct ring *ring, int fd, void *owner)
{
    io_uring_prep_poll_add(next_sqe(ring, RING_WRITABLE, owner), fd, POLLOUT);
}

void
ring_wake(struct ring *ring, int event_fd, void *owner)
{
    io_uring_prep_poll_multishot(next_sqe(ring, RING_WAKE, owner), event_fd, POLLIN | EPOLLET);
}

void
ring_send(struct ring *ring, int fd, struct iovec *pieces, uint32_t count, void *owner)
{
    const int flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
    must_hot(count > 0);
    if (unlikely(ring->message_count == RING_MESSAGES))
        submit_rest(ring);
    struct io_uring_sqe *sqe = next_sqe(ring, RING_SEND, owner);
    if (likely(count == 1)) {
        io_uring_prep_send(sqe, fd, pieces->iov_base, pieces->iov_len, flags);
    } else {
        struct msghdr *message = &ring->messages[ring->message_count++];
        *message = (struct msghdr){.msg_iov = pieces, .msg_iovlen = count};
        io_uring_prep_sendmsg(sqe, fd, message, (unsigned)flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
}

void
ring_submit(struct ring *ring)
{
    int n = io_uring_submit_and_get_events(&ring->uring);
    must(n >= 0 || is_passing(n));
    submit_rest(ring);
}

void
ring_wait(struct ring *ring)
{
    int n = io_uring_submit_and_wait(&ring->uring, 1);
    must(n >= 0 || is_passing(n));
    submit_rest(ring);
}

void
ring_wait_us(struct ring *ring, uint32_t time)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec ts = {.tv_nsec = (int64_t)time * 1000};
    int n = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &ts, NULL);
    must(n >= 0 || is_passing(n));
    submit_rest(ring);
}

void
ring_give_back(struct ring *ring)
{
    for (uint32_t i = 0; i < ring->held; i++)
        pool_add(ring, ring->held_ids[i], (int)i);
    io_uring_buf_ring_advance(ring->pool, (int)ring->held);
    ring->held = 0;
}
