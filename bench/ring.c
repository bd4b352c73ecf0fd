// ring.c - one io_uring per thread, with one ring of provided receive buffers.
#include "bench/ring.h"

#include <errno.h>
#include <sys/mman.h>

#include "core/base/mem.h"

#define SQ_ENTRIES   4096u
#define CQ_ENTRIES   32768u
#define BUFFER_GROUP 0
#define POOL_BYTES   (4u << 20)
#define BUFFERS_MIN  64u
#define BUFFERS_MAX  1024u
#define RING_SETUP_FLAGS                                                                 \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | \
     IORING_SETUP_CQSIZE)

static size_t
pool_map_bytes(const struct ring *ring)
{
    return ring->buffer_count * sizeof(struct io_uring_buf);
}

static err_t
pool_open(struct ring *ring, uint32_t connections)
{
    ring->buffer_count = BUFFERS_MIN;
    while (ring->buffer_count < connections && ring->buffer_count < BUFFERS_MAX)
        ring->buffer_count *= 2;
    ring->buffer_bytes = POOL_BYTES / ring->buffer_count;

    void *map = mmap(NULL, pool_map_bytes(ring), PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (map == MAP_FAILED)
        return ERR_IO;
    ring->pool = map;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)map,
        .ring_entries = ring->buffer_count,
        .bgid = BUFFER_GROUP,
    };
    int error = io_uring_register_buf_ring(&ring->uring, &reg, 0);
    if (error < 0) {
        (void)munmap(map, pool_map_bytes(ring));
        errno = -error;
        return ERR_IO;
    }
    ring->bytes = mem_alloc_aligned(4096, POOL_BYTES);
    io_uring_buf_ring_init(ring->pool);
    int mask = io_uring_buf_ring_mask(ring->buffer_count);
    for (uint32_t i = 0; i < ring->buffer_count; i++)
        io_uring_buf_ring_add(ring->pool, ring->bytes + (size_t)i * ring->buffer_bytes,
                              ring->buffer_bytes, (unsigned short)i, mask, (int)i);
    io_uring_buf_ring_advance(ring->pool, (int)ring->buffer_count);
    return OK;
}

err_t
ring_open(struct ring *ret_ring, uint32_t connections)
{
    *ret_ring = (struct ring){0};
    struct io_uring_params params = {.flags = RING_SETUP_FLAGS, .cq_entries = CQ_ENTRIES};
    int error = io_uring_queue_init_params(SQ_ENTRIES, &ret_ring->uring, &params);
    if (error < 0) {
        errno = -error;
        return ERR_IO;
    }
    // Saves a descriptor look-up per call; the ring works without it.
    (void)io_uring_register_ring_fd(&ret_ring->uring);
    if (pool_open(ret_ring, connections) != OK) {
        int why = errno;
        io_uring_queue_exit(&ret_ring->uring);
        errno = why;
        return ERR_IO;
    }
    must((ret_ring->buffer_count & (ret_ring->buffer_count - 1)) == 0);
    return OK;
}

void
ring_close(struct ring *ring)
{
    // The kernel cancels what is armed before the buffers it may write to go away.
    io_uring_queue_exit(&ring->uring);
    (void)munmap(ring->pool, pool_map_bytes(ring));
    mem_free(ring->bytes);
    *ring = (struct ring){0};
}

static uint64_t
ring_tag(uint32_t slot, enum ring_op op)
{
    return (uint64_t)slot << 32 | op;
}

static struct io_uring_sqe *
ring_sqe(struct ring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&ring->uring);
    if (unlikely(sqe == NULL)) {
        int submitted = io_uring_submit(&ring->uring);
        must(submitted > 0);
        sqe = io_uring_get_sqe(&ring->uring);
        must(sqe != NULL);
    }
    return sqe;
}

void
ring_connect(struct ring *ring, uint32_t slot, int fd, const struct sockaddr *address,
             socklen_t address_len)
{
    must(fd >= 0);
    struct io_uring_sqe *sqe = ring_sqe(ring);
    io_uring_prep_connect(sqe, fd, address, address_len);
    sqe->user_data = ring_tag(slot, RING_CONNECT);
}

void
ring_recv(struct ring *ring, uint32_t slot, int fd)
{
    must(fd >= 0);
    struct io_uring_sqe *sqe = ring_sqe(ring);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->user_data = ring_tag(slot, RING_RECV);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
}

void
ring_send(struct ring *ring, uint32_t slot, int fd, const void *data, uint32_t len)
{
    must_hot(fd >= 0 && len > 0);
    struct io_uring_sqe *sqe = ring_sqe(ring);
    io_uring_prep_send(sqe, fd, data, len, MSG_WAITALL | MSG_NOSIGNAL);
    sqe->user_data = ring_tag(slot, RING_SEND);
}

void
ring_wait(struct ring *ring, uint64_t timeout_us)
{
    struct io_uring_cqe *first;
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_us / 1000000),
        .tv_nsec = (int64_t)(timeout_us % 1000000) * 1000,
    };
    int got = io_uring_submit_and_wait_timeout(&ring->uring, &first, 1, &timeout, NULL);
    // -EBUSY: completions overflowed; reaping them, as the caller does next, is the remedy.
    must(got >= 0 || got == -ETIME || got == -EINTR || got == -EAGAIN || got == -EBUSY);
}

void
ring_give_back(struct ring *ring, const struct io_uring_cqe *cqe)
{
    uint32_t id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    must_hot(id < ring->buffer_count);
    io_uring_buf_ring_add(ring->pool, ring->bytes + (size_t)id * ring->buffer_bytes,
                          ring->buffer_bytes, (unsigned short)id,
                          io_uring_buf_ring_mask(ring->buffer_count), 0);
    io_uring_buf_ring_advance(ring->pool, 1);
}
