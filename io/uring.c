// uring.c - the backend on io_uring.
//
// Why a send's bytes may be reused as soon as enter has returned: the SQE asks for MSG_DONTWAIT, so
// the kernel issues it inline during io_uring_enter, copies what fits into the socket, and never
// keeps it to try again later. With MSG_WAITALL anything less than everything counts as a failure;
// with CQE_SKIP_SUCCESS only failures are told. So after enter: no completion, all sent; or a
// completion, and its result says how many bytes were. In both cases the kernel is done with it.
//
// Why no failure is missed: completions of sends are posted while they are submitted, so they are
// between the completion queue's tail before the first send (`scan`) and its tail after enter.
// They could only be absent if the queue were full. It is not: reap says `crowded` from a quarter
// on and the worker goes on reaping; during one submission there come at most IO_SENDS_MAX failures
// of sends, one last event and URING_BUFFERS data events of the receives armed again (at most what
// a tick reaps), and the backlog of listeners: less than the other three quarters. What task work
// posts comes after them, when all SQEs are issued.
#include "io/uring.h"

#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "core/base/mem.h"

#define URING_MAGIC      0x7572696eu
#define SQ_ENTRIES       4096u
#define CQ_ENTRIES       32768u
#define CQ_CROWDED       (CQ_ENTRIES / 4)
#define BUFFER_GROUP     0
#define KIND_SHIFT       56
#define KIND_SEND        64u // beside enum io_kind: never handed out as events
#define KIND_STOP        65u
#define MSGS_MAX         256u
#define MSG_PIECES_MAX   4096u
#define SUBMIT_TRIES     1000000u
#define BUFFER_FIT_TICKS 4096u
#define FEATURES_NEEDED  (IORING_FEAT_NODROP | IORING_FEAT_EXT_ARG | IORING_FEAT_CQE_SKIP)
#define RING_FLAGS                                                                       \
    (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL | \
     IORING_SETUP_CQSIZE)
_Static_assert((URING_BUFFERS & (URING_BUFFERS - 1)) == 0, "the kernel masks positions");
_Static_assert(IO_SENDS_MAX + URING_BUFFERS + 8192 < CQ_ENTRIES - CQ_CROWDED, "see above");

struct uring {
    struct backend base; // first
    uint32_t magic;
    uint32_t lent_count;
    bool sending;  // sends were queued since next_failure last said false
    unsigned scan; // completion queue position from which send failures are looked for
    struct io_uring ring;
    struct io_uring_buf_ring *buf_ring;
    uint8_t *buffers;
    uint16_t lent[IO_EVENTS_MAX];  // buffers of the last batch
    uint16_t spare[URING_BUFFERS]; // those that the kernel does not have
    uint32_t spare_count;
    uint32_t used, used_most, uses; // in this tick; in the last `uses` ticks
    uint32_t give_up;               // so many are kept when they come back
    bool short_of_buffers;          // the kernel had none left
    uint32_t msg_count, piece_count;
    struct msghdr msgs[MSGS_MAX]; // of sends in pieces, until they are submitted
    struct iovec pieces[MSG_PIECES_MAX];
};

static inline struct uring *
uring_of(struct backend *io)
{
    struct uring *u = container_of(io, struct uring, base);
    must_hot(u->magic == URING_MAGIC);
    return u;
}

static inline uint64_t
user_data(unsigned kind, uint64_t token)
{
    must_hot(token < IO_TOKEN_END);
    return (uint64_t)kind << KIND_SHIFT | token;
}

// ---- Receive buffers ----------------------------------------------------------------------------

static inline void *
buffer_at(const struct uring *u, uint32_t id)
{
    must_hot(id < URING_BUFFERS);
    return u->buffers + (size_t)id * URING_BUFFER_BYTES;
}

static void
provide(struct uring *u, const uint16_t *ids, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        io_uring_buf_ring_add(u->buf_ring, buffer_at(u, ids[i]), URING_BUFFER_BYTES, ids[i],
                              URING_BUFFERS - 1, (int)i);
    io_uring_buf_ring_advance(u->buf_ring, (int)count);
}

// Keeps some of the lent ones, and their memory is the kernel's again.
static COLD void
keep_lent(struct uring *u)
{
    for (; u->give_up > 0 && u->lent_count > 0; u->give_up--) {
        uint16_t id = u->lent[--u->lent_count];
        (void)madvise(buffer_at(u, id), URING_BUFFER_BYTES, MADV_DONTNEED);
        u->spare[u->spare_count++] = id;
    }
}

static void
give_back(struct uring *u)
{
    u->used += u->lent_count;
    if (unlikely(u->give_up > 0))
        keep_lent(u);
    provide(u, u->lent, u->lent_count);
    u->lent_count = 0;
}

// After a tick's last batch: as many buffers as the ticks need, with as many again in reserve.
static void
fit_buffers(struct uring *u)
{
    uint32_t given = URING_BUFFERS - u->spare_count;
    u->used_most = max_u32(u->used_most, u->used);
    u->used = 0;
    if (unlikely((u->used_most > given / 2 || u->short_of_buffers) && u->spare_count > 0)) {
        uint32_t more = min_u32(given, u->spare_count);
        u->spare_count -= more;
        provide(u, u->spare + u->spare_count, more);
        u->uses = u->used_most = 0;
    } else if (unlikely(++u->uses == BUFFER_FIT_TICKS)) {
        u->give_up = u->used_most < given / 8 && given > URING_BUFFERS_MIN ? given / 2 : 0;
        u->uses = u->used_most = 0;
    }
    u->short_of_buffers = false;
}

// ---- Submission ---------------------------------------------------------------------------------

// Interrupted, or the kernel is short of memory for a moment: what was not taken stays queued.
static bool
is_passing(int error)
{
    return error == -EINTR || error == -EAGAIN || error == -EBUSY || error == -ETIME;
}

static void
submit_all(struct uring *u)
{
    for (unsigned tries = 0; io_uring_sq_ready(&u->ring) > 0; tries++) {
        int n = io_uring_submit(&u->ring);
        must((n >= 0 || is_passing(n)) && tries < SUBMIT_TRIES);
    }
    u->msg_count = u->piece_count = 0;
}

static inline struct io_uring_sqe *
next_sqe(struct uring *u)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&u->ring);
    if (unlikely(!sqe)) {
        submit_all(u);
        sqe = io_uring_get_sqe(&u->ring);
        must(sqe);
    }
    return sqe;
}

static void
uring_accept(struct backend *io, int fd, uint64_t token)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe = next_sqe(u);
    // Not SOCK_NONBLOCK: io_uring would answer EAGAIN instead of waiting for data.
    io_uring_prep_multishot_accept(sqe, fd, NULL, NULL, SOCK_CLOEXEC);
    sqe->user_data = user_data(IO_ACCEPT, token);
}

static void
uring_recv(struct backend *io, int fd, uint64_t token, bool once)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe = next_sqe(u);
    if (once)
        io_uring_prep_recv(sqe, fd, NULL, URING_BUFFER_BYTES, 0);
    else // the buffers' size is the limit: kernels before 6.10 refuse another one
        io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = BUFFER_GROUP;
    sqe->user_data = user_data(IO_RECV, token);
}

static void
uring_writable(struct backend *io, int fd, uint64_t token)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe = next_sqe(u);
    io_uring_prep_poll_add(sqe, fd, POLLOUT);
    sqe->user_data = user_data(IO_WRITABLE, token);
}

static void
uring_wake(struct backend *io, int fd, uint64_t token)
{
    struct uring *u = uring_of(io);
    struct io_uring_sqe *sqe = next_sqe(u);
    // Edge-triggered: each write is one event, and nobody has to read.
    io_uring_prep_poll_multishot(sqe, fd, POLLIN | EPOLLET);
    sqe->user_data = user_data(IO_WAKE, token);
}

static void
uring_stop(struct backend *io, enum io_kind kind, int fd, uint64_t token)
{
    struct uring *u = uring_of(io);
    (void)fd;
    struct io_uring_sqe *sqe = next_sqe(u);
    io_uring_prep_cancel64(sqe, user_data(kind, token), 0);
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = user_data(KIND_STOP, token);
}

// The kernel's operations hold the socket, not its number: see the top of conn.c.
static void
uring_forget(struct backend *io, int fd)
{
    (void)io;
    (void)fd;
}

// A message header and its pieces, which live until they are submitted.
static struct msghdr *
keep_pieces(struct uring *u, const struct iovec *pieces, uint32_t count)
{
    must_hot(count <= IO_PIECES_MAX && u->msg_count < MSGS_MAX);
    struct iovec *kept = &u->pieces[u->piece_count];
    memcpy(kept, pieces, count * sizeof *kept);
    u->piece_count += count;
    struct msghdr *msg = &u->msgs[u->msg_count++];
    *msg = (struct msghdr){.msg_iov = kept, .msg_iovlen = count};
    return msg;
}

static void
uring_send(struct backend *io, int fd, uint32_t id, const struct iovec *pieces, uint32_t count)
{
    const int flags = MSG_DONTWAIT | MSG_WAITALL | MSG_NOSIGNAL;
    struct uring *u = uring_of(io);
    must_hot(id < IO_SEND_IDS && count > 0);
    if (!u->sending) {
        u->sending = true;
        u->scan = io_uring_smp_load_acquire(u->ring.cq.ktail);
    }
    struct io_uring_sqe *sqe;
    if (likely(count == 1)) {
        sqe = next_sqe(u);
        io_uring_prep_send(sqe, fd, pieces->iov_base, pieces->iov_len, flags);
    } else {
        // Here and not in next_sqe, which would submit without the pieces just kept.
        if (io_uring_sq_space_left(&u->ring) == 0 || u->msg_count == MSGS_MAX ||
            u->piece_count + count > MSG_PIECES_MAX)
            submit_all(u);
        sqe = next_sqe(u);
        io_uring_prep_sendmsg(sqe, fd, keep_pieces(u, pieces, count), (unsigned)flags);
    }
    sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
    sqe->user_data = user_data(KIND_SEND, id);
}

static void
uring_enter(struct backend *io, int64_t wait_ms)
{
    struct uring *u = uring_of(io);
    fit_buffers(u);
    struct io_uring_cqe *cqe;
    int n;
    if (wait_ms == 0) {
        n = io_uring_submit_and_get_events(&u->ring);
    } else {
        struct __kernel_timespec ts = {.tv_sec = wait_ms / 1000,
                                       .tv_nsec = wait_ms % 1000 * 1000000};
        n = io_uring_submit_and_wait_timeout(&u->ring, &cqe, 1,
                                             wait_ms == IO_WAIT_FOREVER ? NULL : &ts, NULL);
    }
    must(n >= 0 || is_passing(n));
    submit_all(u);
}

// ---- Completion ---------------------------------------------------------------------------------

static bool
uring_next_failure(struct backend *io, uint32_t *ret_id, int32_t *ret_result)
{
    struct uring *u = uring_of(io);
    if (!u->sending)
        return false;
    unsigned tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    for (; u->scan != tail; u->scan++) {
        const struct io_uring_cqe *cqe = &u->ring.cq.cqes[u->scan & u->ring.cq.ring_mask];
        if (likely(cqe->user_data >> KIND_SHIFT != KIND_SEND))
            continue;
        *ret_id = (uint32_t)cqe->user_data;
        *ret_result = cqe->res;
        u->scan++;
        return true;
    }
    u->sending = false;
    return false;
}

static uint32_t
uring_reap(struct backend *io, struct io_event *ret_events)
{
    struct uring *u = uring_of(io);
    must_hot(!u->sending); // failures are asked for before their completions are given up
    if (u->lent_count > 0)
        give_back(u);
    unsigned tail = io_uring_smp_load_acquire(u->ring.cq.ktail);
    unsigned head = *u->ring.cq.khead, begin = head;
    uint32_t n = 0;
    for (; head != tail && n < IO_EVENTS_MAX; head++) {
        const struct io_uring_cqe *cqe = &u->ring.cq.cqes[head & u->ring.cq.ring_mask];
        unsigned kind = (unsigned)(cqe->user_data >> KIND_SHIFT);
        if (unlikely(kind >= KIND_SEND))
            continue;
        struct io_event *event = &ret_events[n++];
        event->token = cqe->user_data & (IO_TOKEN_END - 1);
        event->result = cqe->res;
        event->kind = (uint8_t)kind;
        event->more = cqe->flags & IORING_CQE_F_MORE;
        event->data = NULL;
        if (unlikely(cqe->res == -ENOBUFS))
            u->short_of_buffers = true;
        if (cqe->flags & IORING_CQE_F_BUFFER) {
            uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
            event->data = buffer_at(u, id);
            u->base.received += cqe->res > 0 ? (uint32_t)cqe->res : 0;
            u->lent[u->lent_count++] = id;
        }
    }
    io_uring_cq_advance(&u->ring, head - begin);
    u->base.crowded = tail - head > CQ_CROWDED;
    return n;
}

// ---- Life ---------------------------------------------------------------------------------------

static void
uring_free(struct backend *io)
{
    if (!io)
        return;
    struct uring *u = uring_of(io);
    io_uring_queue_exit(&u->ring);
    (void)munmap(u->buffers, (size_t)URING_BUFFERS * URING_BUFFER_BYTES);
    (void)munmap(u->buf_ring, URING_BUFFERS * sizeof(struct io_uring_buf));
    u->magic = 0;
    mem_free(u);
}

static const struct backend_ops uring_ops = {
    .free = uring_free,
    .accept = uring_accept,
    .recv = uring_recv,
    .writable = uring_writable,
    .stop = uring_stop,
    .forget = uring_forget,
    .wake = uring_wake,
    .send = uring_send,
    .next_failure = uring_next_failure,
    .enter = uring_enter,
    .reap = uring_reap,
};

static int
setup_ring(struct io_uring *ring, unsigned sq_entries, unsigned cq_entries)
{
    struct io_uring_params params = {.flags = RING_FLAGS, .cq_entries = cq_entries};
    int rc = io_uring_queue_init_params(sq_entries, ring, &params);
    if (rc == 0 && (params.features & FEATURES_NEEDED) != FEATURES_NEEDED) {
        io_uring_queue_exit(ring);
        rc = -EINVAL;
    }
    return rc;
}

static void *
map_pages(size_t bytes)
{
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static int
register_buffers(struct io_uring *ring, struct io_uring_buf_ring *buf_ring, uint32_t count)
{
    struct io_uring_buf_reg reg = {
        .ring_addr = (uint64_t)(uintptr_t)buf_ring, .ring_entries = count, .bgid = BUFFER_GROUP};
    return io_uring_register_buf_ring(ring, &reg, 0);
}

static int
init_buffers(struct uring *u)
{
    u->buf_ring = map_pages(URING_BUFFERS * sizeof(struct io_uring_buf));
    u->buffers = map_pages((size_t)URING_BUFFERS * URING_BUFFER_BYTES);
    if (u->buf_ring == MAP_FAILED || u->buffers == MAP_FAILED)
        return -ENOMEM;
    int rc = register_buffers(&u->ring, u->buf_ring, URING_BUFFERS);
    if (rc)
        return rc;
    for (uint32_t id = URING_BUFFERS; id-- > 0;)
        u->spare[u->spare_count++] = (uint16_t)id;
    u->spare_count -= URING_BUFFERS_MIN;
    provide(u, u->spare + u->spare_count, URING_BUFFERS_MIN);
    return 0;
}

struct backend *
uring_new(void)
{
    struct uring *u = mem_zalloc(sizeof *u);
    int rc = setup_ring(&u->ring, SQ_ENTRIES, CQ_ENTRIES);
    if (rc == 0) {
        u->base.ops = &uring_ops;
        u->magic = URING_MAGIC;
        // Spares the look-up of the ring's descriptor in every enter; fine without.
        (void)io_uring_register_ring_fd(&u->ring);
        rc = init_buffers(u);
        if (rc == 0)
            return &u->base;
        uring_free(&u->base);
    } else {
        mem_free(u);
    }
    errno = -rc;
    return NULL;
}

void
uring_probe(struct uring_probe *ret)
{
    *ret = (struct uring_probe){0};
    struct io_uring ring;
    int rc = setup_ring(&ring, 8, 16);
    ret->error = -rc;
    ret->defer = rc == 0;
    if (rc != 0) {
        struct io_uring_params plain = {0};
        int plain_rc = io_uring_queue_init_params(8, &ring, &plain);
        ret->setup = plain_rc == 0;
        if (ret->setup)
            io_uring_queue_exit(&ring);
        return;
    }
    ret->setup = true;
    void *page = map_pages(8 * sizeof(struct io_uring_buf));
    ret->buffer_ring = page != MAP_FAILED && register_buffers(&ring, page, 8) == 0;
    // Multishot accept (5.19) and receive (6.0) are older than deferred task running (6.1).
    ret->multishot = true;
    io_uring_queue_exit(&ring);
    (void)munmap(page, 8 * sizeof(struct io_uring_buf));
}
