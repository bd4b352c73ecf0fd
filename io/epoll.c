// epoll.c - the backend on epoll.
//
// What epoll_wait tells are hints; what accept, recv and send answer is the truth. Descriptors are
// watched edge-triggered, so a hint comes once: it is kept in the descriptor's struct watch until
// EAGAIN, or a receive that did not fill its buffer, says that it is used up. A hint that is wrong
// (it was meant for whoever had the descriptor before) costs one system call that says EAGAIN.
//
// Why no hint is missed. The kernel's interest may be more than what is armed (`known` against
// `in` and `out`), never less: arming adds it, and adding it tells what is ready already. After a
// short receive the socket was empty; whatever comes then, also the peer's end, is a new edge. Only
// when an end, an error or urgent data had been told before, a short receive proves nothing, and
// reading goes on to EAGAIN or the end (`drain`).
//
// Why an idle or paused descriptor does not wake the worker for ever. An edge that nobody has armed
// anything for makes the kernel's interest exact, which with nothing armed takes the descriptor
// out; so does stop. Between the event of a receive for once and what is armed next, which is
// usually at once, it stays: a connection costs one EPOLL_CTL_ADD.
//
// Why a descriptor's number may be used again. Who closes it or gives it away calls forget before,
// and then nothing is armed here, so no system call is made on it. Of a lane that has gone to
// another worker, entries without anything armed may remain; their token is not that of whoever has
// the number next, and then the kernel is asked anew.
#include "io/epoll.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "core/base/mem.h"

#define EPOLL_MAGIC     0x65706f6cu
#define EPOLL_HINTS_MAX 512u // of one epoll_wait; the kernel keeps the others in their order
#define NONE            (-1)

// A descriptor, by its number.
struct watch {
    uint64_t token;
    int next;              // in the queue of those that have work
    uint16_t error;        // of the last event that is owed
    uint16_t kind : 3;     // of `in`: IO_ACCEPT, IO_RECV or IO_WAKE
    uint16_t in : 1;       // armed: what comes in
    uint16_t once : 1;     // ... a single time
    uint16_t out : 1;      // armed: an IO_WRITABLE
    uint16_t in_ended : 1; // a last event is owed
    uint16_t out_ended : 1;
    uint16_t known_in : 1; // the kernel tells of it
    uint16_t known_out : 1;
    uint16_t readable : 1; // hints
    uint16_t drain : 1;
    uint16_t writable : 1;
    uint16_t unheard : 1; // no hint yet since the kernel was asked to tell of `in`
    uint16_t queued : 1;
};
_Static_assert(sizeof(struct watch) == 16, "there is one for each descriptor");

struct failure {
    uint32_t id;
    int32_t result;
};

struct epoll {
    struct backend base; // first
    uint32_t magic;
    int fd;
    struct watch *watches; // by descriptor
    uint32_t watch_cap;
    int first, last; // the queue
    uint32_t failure_count, failure_next;
    uint8_t *area; // what this batch received
    struct epoll_event hints[EPOLL_HINTS_MAX];
    struct failure failures[IO_SENDS_MAX];
};

static inline struct epoll *
epoll_of(struct backend *io)
{
    struct epoll *e = container_of(io, struct epoll, base);
    must_hot(e->magic == EPOLL_MAGIC);
    return e;
}

// ---- The queue ----------------------------------------------------------------------------------

static inline bool
has_work(const struct watch *w)
{
    return w->in_ended || w->out_ended || (w->in && w->readable) || (w->out && w->writable);
}

static inline void
queue(struct epoll *e, int fd)
{
    struct watch *w = &e->watches[fd];
    if (w->queued || !has_work(w))
        return;
    w->queued = true;
    w->next = NONE;
    if (e->first == NONE)
        e->first = fd;
    else
        e->watches[e->last].next = fd;
    e->last = fd;
}

static inline int
take_first(struct epoll *e)
{
    int fd = e->first;
    must_hot(e->watches[fd].queued);
    e->first = e->watches[fd].next;
    e->watches[fd].queued = false;
    return fd;
}

// ---- What the kernel is to tell -----------------------------------------------------------------

// Returns 0 or an errno. Whether the kernel has the descriptor may be other than it seems where
// another worker had a hand in it.
static int
ask(struct epoll *e, int fd, bool in, bool out)
{
    struct watch *w = &e->watches[fd];
    uint32_t mask = (in ? EPOLLIN | EPOLLRDHUP | EPOLLPRI : 0) | (out ? EPOLLOUT : 0);
    struct epoll_event event = {.events = mask | EPOLLET, .data.fd = fd};
    bool known = w->known_in || w->known_out;
    int rc = epoll_ctl(e->fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (unlikely(rc != 0 && errno == (known ? ENOENT : EEXIST)))
        rc = epoll_ctl(e->fd, known ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event);
    if (unlikely(rc != 0))
        return errno;
    w->known_in = in;
    w->known_out = out;
    return 0;
}

static void
be_exact(struct epoll *e, int fd)
{
    struct watch *w = &e->watches[fd];
    if (w->in == w->known_in && w->out == w->known_out)
        return;
    if (w->in || w->out) {
        (void)ask(e, fd, w->in, w->out); // of what is known already: needs no memory
        return;
    }
    // The descriptor may be another worker's by now, or closed: then there is nothing to take out.
    (void)epoll_ctl(e->fd, EPOLL_CTL_DEL, fd, NULL);
    w->known_in = w->known_out = false;
}

static NOINLINE void
grow(struct epoll *e, int fd)
{
    uint32_t had = e->watch_cap;
    e->watches = mem_grow(e->watches, &e->watch_cap, (uint32_t)fd + 1, sizeof *e->watches);
    memset(e->watches + had, 0, (e->watch_cap - had) * sizeof *e->watches);
}

// The descriptor's entry, for operations of this token.
static struct watch *
watch_for(struct epoll *e, int fd, uint64_t token)
{
    must_hot(fd >= 0 && token < IO_TOKEN_END);
    if (unlikely((uint32_t)fd >= e->watch_cap))
        grow(e, fd);
    struct watch *w = &e->watches[fd];
    if (w->token != token) {
        must(!w->in && !w->out);
        *w = (struct watch){.token = token, .next = w->next, .queued = w->queued};
    }
    return w;
}

// NULL: nothing is armed there with this token.
static struct watch *
find(struct epoll *e, int fd, uint64_t token)
{
    must(fd >= 0);
    if ((uint32_t)fd >= e->watch_cap || e->watches[fd].token != token)
        return NULL;
    return &e->watches[fd];
}

// ---- Arming -------------------------------------------------------------------------------------

static void
arm_in(struct epoll *e, int fd, uint64_t token, enum io_kind kind, bool once)
{
    struct watch *w = watch_for(e, fd, token);
    must_hot(!w->in && !w->in_ended);
    w->kind = kind & 7u;
    w->once = once;
    w->unheard = !w->known_in;
    int error = w->unheard ? ask(e, fd, true, w->known_out) : 0;
    w->in = error == 0;
    w->in_ended = error != 0;
    w->error = (uint16_t)error;
    queue(e, fd);
}

static void
epoll_accept(struct backend *io, int fd, uint64_t token)
{
    // The last one in the backlog may be gone before it is asked for.
    int flags = fcntl(fd, F_GETFL);
    must(flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0);
    arm_in(epoll_of(io), fd, token, IO_ACCEPT, false);
}

static void
epoll_recv(struct backend *io, int fd, uint64_t token, bool once)
{
    arm_in(epoll_of(io), fd, token, IO_RECV, once);
}

static void
epoll_wake(struct backend *io, int fd, uint64_t token)
{
    // Edge-triggered: each write is a hint, and nobody has to read.
    arm_in(epoll_of(io), fd, token, IO_WAKE, false);
}

static void
epoll_writable(struct backend *io, int fd, uint64_t token)
{
    struct epoll *e = epoll_of(io);
    struct watch *w = watch_for(e, fd, token);
    must(!w->out && !w->out_ended);
    w->writable = false;
    // Always, and not only when the kernel does not tell of it yet: the answer to "since when?" is
    // the kernel's, which looks at the socket again.
    int error = ask(e, fd, w->known_in, true);
    w->out = error == 0;
    if (unlikely(error != 0)) {
        // Its owner would only ask again. So it ends: the next send fails.
        (void)shutdown(fd, SHUT_RDWR);
        w->out_ended = true;
        w->error = (uint16_t)error;
        queue(e, fd);
    }
}

static void
epoll_stop(struct backend *io, enum io_kind kind, int fd, uint64_t token)
{
    struct epoll *e = epoll_of(io);
    struct watch *w = find(e, fd, token);
    if (!w)
        return;
    if (kind == IO_WRITABLE && w->out) {
        w->out = false;
        w->out_ended = true;
    } else if (kind == w->kind && w->in) {
        w->in = false;
        w->in_ended = true;
    } else {
        return; // its last event is on its way
    }
    w->error = ECANCELED;
    be_exact(e, fd);
    queue(e, fd);
}

static void
epoll_forget(struct backend *io, int fd)
{
    struct epoll *e = epoll_of(io);
    must(fd >= 0);
    if ((uint32_t)fd >= e->watch_cap)
        return;
    struct watch *w = &e->watches[fd];
    w->in = w->out = w->in_ended = w->out_ended = false;
    be_exact(e, fd);
}

// ---- Sending ------------------------------------------------------------------------------------

static NOINLINE void
note_failure(struct epoll *e, uint32_t id, int32_t result)
{
    must(e->failure_count < IO_SENDS_MAX);
    e->failures[e->failure_count++] = (struct failure){id, result};
}

// At once: what is sent now need not be kept until enter.
static void
epoll_send(struct backend *io, int fd, uint32_t id, const struct iovec *pieces, uint32_t count)
{
    const int flags = MSG_DONTWAIT | MSG_NOSIGNAL;
    struct epoll *e = epoll_of(io);
    must_hot(id < IO_SEND_IDS && count > 0 && count <= IO_PIECES_MAX);
    size_t asked = pieces[0].iov_len;
    for (uint32_t i = 1; i < count; i++)
        asked += pieces[i].iov_len;
    struct msghdr msg = {.msg_iov = unconst(pieces), .msg_iovlen = count};
    ssize_t n;
    do {
        n = likely(count == 1) ? send(fd, pieces[0].iov_base, asked, flags)
                               : sendmsg(fd, &msg, flags);
    } while (unlikely(n < 0 && errno == EINTR));
    if (unlikely(n != (ssize_t)asked))
        note_failure(e, id, n < 0 ? -errno : (int32_t)n);
}

static bool
epoll_next_failure(struct backend *io, uint32_t *ret_id, int32_t *ret_result)
{
    struct epoll *e = epoll_of(io);
    if (likely(e->failure_next == e->failure_count)) {
        e->failure_next = e->failure_count = 0;
        return false;
    }
    const struct failure *failure = &e->failures[e->failure_next++];
    *ret_id = failure->id;
    *ret_result = failure->result;
    return true;
}

// ---- Waiting ------------------------------------------------------------------------------------

static inline void
on_hint(struct epoll *e, int fd, uint32_t events)
{
    struct watch *w = &e->watches[fd];
    w->unheard = false;
    if (events & (EPOLLIN | EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR))
        w->readable = true;
    if (unlikely(events & (EPOLLRDHUP | EPOLLPRI | EPOLLHUP | EPOLLERR)))
        w->drain = true;
    if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
        w->writable = true;
    if (likely(has_work(w)))
        queue(e, fd);
    else
        be_exact(e, fd);
}

static void
epoll_enter(struct backend *io, int64_t wait_ms)
{
    struct epoll *e = epoll_of(io);
    must(wait_ms >= IO_WAIT_FOREVER);
    int timeout = wait_ms < INT_MAX ? (int)wait_ms : INT_MAX;
    if (e->first != NONE || e->failure_count > 0)
        timeout = 0;
    int n = epoll_wait(e->fd, e->hints, EPOLL_HINTS_MAX, timeout);
    must(n >= 0 || errno == EINTR);
    for (int i = 0; i < n; i++)
        on_hint(e, e->hints[i].data.fd, e->hints[i].events);
}

// ---- Events -------------------------------------------------------------------------------------

// False: it was a false hint, or another was faster.
static bool
take_connection(struct watch *w, int fd, struct io_event *ret)
{
    int got;
    do {
        // Blocking, as the contract says: recv and send ask not to wait each time.
        got = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    if (got < 0 && errno == EAGAIN) {
        w->readable = w->drain = false;
        return false;
    }
    ret->result = got < 0 ? -errno : got;
    w->in = got >= 0;
    return true;
}

static inline bool
take_bytes(struct epoll *e, struct watch *w, int fd, struct io_event *ret, uint32_t *used)
{
    uint8_t *data = e->area + *used;
    ssize_t n;
    do {
        n = recv(fd, data, EPOLL_RECV_BYTES, MSG_DONTWAIT);
    } while (unlikely(n < 0 && errno == EINTR));
    if (unlikely(n < 0 && errno == EAGAIN)) {
        w->readable = w->drain = false;
        return false;
    }
    ret->result = n < 0 ? -errno : (int32_t)n;
    w->in = n > 0 && !w->once;
    if (n <= 0)
        return true;
    w->readable = w->drain || n == (ssize_t)EPOLL_RECV_BYTES;
    ret->data = data;
    *used += ((uint32_t)n + CACHE_LINE - 1) & ~(CACHE_LINE - 1u);
    e->base.received += (uint32_t)n;
    return true;
}

static inline bool
take_in(struct epoll *e, struct watch *w, int fd, struct io_event *ret, uint32_t *used)
{
    if (likely(w->kind == IO_RECV))
        return take_bytes(e, w, fd, ret, used);
    if (w->kind == IO_ACCEPT)
        return take_connection(w, fd, ret);
    w->readable = false;
    return true;
}

// The last event. What was armed and stopped before the kernel was heard takes what there is, as an
// operation in the kernel would: a lane that is moved on at once, again and again, must not be
// deaf.
static COLD void
end_in(struct epoll *e, struct watch *w, int fd, struct io_event *ret, uint32_t *used)
{
    w->in_ended = false;
    if (w->error != ECANCELED || !w->unheard || !take_in(e, w, fd, ret, used))
        ret->result = -(int32_t)w->error;
    w->in = w->unheard = false;
}

// One event of the descriptor, or none. What else it has comes after the others' next ones.
static inline bool
take(struct epoll *e, int fd, struct io_event *ret, uint32_t *used)
{
    struct watch *w = &e->watches[fd];
    *ret = (struct io_event){.token = w->token, .kind = (uint8_t)w->kind};
    if (unlikely(w->in_ended)) {
        end_in(e, w, fd, ret, used);
    } else if (unlikely(w->out_ended)) {
        w->out_ended = false;
        ret->kind = IO_WRITABLE;
        ret->result = -(int32_t)w->error;
    } else if (unlikely(w->out && w->writable)) {
        w->out = w->writable = false;
        ret->kind = IO_WRITABLE;
    } else if (likely(w->in && w->readable)) {
        bool got = take_in(e, w, fd, ret, used);
        ret->more = w->in;
        return got;
    } else {
        return false; // stopped or forgotten since
    }
    return true;
}

static uint32_t
epoll_reap(struct backend *io, struct io_event *ret_events)
{
    struct epoll *e = epoll_of(io);
    must_hot(e->failure_count == 0); // they are asked for before
    uint32_t n = 0, used = 0;
    while (e->first != NONE && n < IO_EVENTS_MAX && used + EPOLL_RECV_BYTES <= EPOLL_AREA_BYTES) {
        int fd = take_first(e);
        n += take(e, fd, &ret_events[n], &used);
        queue(e, fd);
    }
    return n;
}

// ---- Life ---------------------------------------------------------------------------------------

static void
epoll_free(struct backend *io)
{
    if (!io)
        return;
    struct epoll *e = epoll_of(io);
    (void)close(e->fd);
    mem_free(e->watches);
    mem_free(e->area);
    e->magic = 0;
    mem_free(e);
}

static const struct backend_ops epoll_ops = {
    .free = epoll_free,
    .accept = epoll_accept,
    .recv = epoll_recv,
    .writable = epoll_writable,
    .stop = epoll_stop,
    .forget = epoll_forget,
    .wake = epoll_wake,
    .send = epoll_send,
    .next_failure = epoll_next_failure,
    .enter = epoll_enter,
    .reap = epoll_reap,
};

struct backend *
epoll_new(void)
{
    int fd = epoll_create1(EPOLL_CLOEXEC);
    if (fd < 0)
        return NULL;
    struct epoll *e = mem_zalloc(sizeof *e);
    e->base.ops = &epoll_ops;
    e->magic = EPOLL_MAGIC;
    e->fd = fd;
    e->first = e->last = NONE;
    e->area = mem_alloc_aligned(CACHE_LINE, EPOLL_AREA_BYTES);
    return &e->base;
}
