// worker.c - a thread, a ring, a shard: the loop that moves everything.
#include "io/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/shard.h"
#include "io/conn.h"
#include "io/crew.h"
#include "io/listener.h"
#include "io/uring.h"

#define WORKER_MAGIC 0x776f726bu
#define TIMER_ACCEPT (TIMER_CONN + 1)
// A tick takes in at most so much before it sends what came of it: latency, and the cache.
#define TICK_EVENTS_MAX 4096u
#define TICK_BYTES_MAX  (UINT64_C(1) << 18)
// Out of descriptors, accepting at once again would only spin.
#define ACCEPT_PAUSE_MS 100u
// For the clients to take their DISCONNECT.
#define STOP_MS 2000u

struct acceptor {
    int fd;
    uint32_t listener;
    bool armed;
    struct timer timer; // while it pauses
};

struct worker {
    uint32_t magic;
    unsigned index;
    struct broker *broker;
    const struct listen_set *set;
    struct crew *crew;
    worker_load_fn load;
    void *load_arg;
    pthread_t thread;
    bool started;

    // Of the worker's thread.
    struct backend *io;
    struct shard *shard;
    struct wheel *wheel; // connections without a client, pauses of accepting
    struct conns *conns;
    struct acceptor *acceptors;
    uint32_t acceptor_count;
    uint64_t stop_by_ms; // 0 = not stopping
    struct log_limit log_accept;
};

// ---- Accepting ----------------------------------------------------------------------------------

static void
accept_arm(struct worker *worker, uint32_t i)
{
    struct acceptor *acceptor = &worker->acceptors[i];
    must(!acceptor->armed);
    acceptor->armed = true;
    worker->io->ops->accept(worker->io, acceptor->fd, i);
}

static void
accept_begin(struct worker *worker)
{
    uint32_t count;
    const struct listen_socket *sockets = listen_sockets(worker->set, &count);
    worker->acceptors = mem_zalloc((count + 1) * sizeof *worker->acceptors);
    for (uint32_t i = 0; i < count; i++) {
        if (sockets[i].worker != worker->index)
            continue;
        struct acceptor *acceptor = &worker->acceptors[worker->acceptor_count];
        acceptor->fd = sockets[i].fd;
        acceptor->listener = sockets[i].listener;
        timer_init(&acceptor->timer, TIMER_ACCEPT);
        accept_arm(worker, worker->acceptor_count++);
    }
}

static void
accept_end(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->acceptor_count; i++) {
        wheel_disarm(worker->wheel, &worker->acceptors[i].timer);
        if (worker->acceptors[i].armed)
            worker->io->ops->stop(worker->io, IO_ACCEPT, i);
    }
}

static COLD void
on_accept_failed(struct worker *worker, uint32_t i, int error)
{
    struct acceptor *acceptor = &worker->acceptors[i];
    must(error > 0 && !acceptor->armed);
    if (worker->stop_by_ms)
        return;
    if (error == ECONNABORTED || error == EINTR || error == ECANCELED) {
        accept_arm(worker, i);
        return;
    }
    log_limited(worker->shard->log, &worker->log_accept, worker->shard->now_ms, LOG_T_ERROR,
                "Error: no connection can be accepted on %s: %s; trying again.",
                listen_text(worker->set, acceptor->listener), strerrordesc_np(error));
    wheel_arm(worker->wheel, &acceptor->timer, worker->shard->now_ms + ACCEPT_PAUSE_MS);
}

static void
on_accept(struct worker *worker, const struct io_event *event)
{
    must(event->token < worker->acceptor_count);
    uint32_t i = (uint32_t)event->token;
    struct acceptor *acceptor = &worker->acceptors[i];
    acceptor->armed = event->more;
    if (event->result >= 0) {
        conn_on_accept(worker->conns, event->result, acceptor->listener);
        if (!event->more && !worker->stop_by_ms)
            accept_arm(worker, i);
    } else if (!event->more) {
        on_accept_failed(worker, i, -event->result);
    }
}

// ---- The tick -----------------------------------------------------------------------------------

static void
wake_arm(struct worker *worker)
{
    worker->io->ops->wake(worker->io, crew_wake_fd(worker->crew, worker->index), 0);
}

static inline void
on_event(struct worker *worker, const struct io_event *event)
{
    switch (event->kind) {
    case IO_RECV:
        conn_on_recv(worker->conns, event);
        return;
    case IO_ACCEPT:
        on_accept(worker, event);
        return;
    case IO_WRITABLE:
        conn_on_writable(worker->conns, event->token);
        return;
    default:
        must(event->kind == IO_WAKE);
        if (!event->more)
            wake_arm(worker);
    }
}

static void
reap(struct worker *worker)
{
    struct backend *io = worker->io;
    struct conns *conns = worker->conns;
    struct io_event events[IO_EVENTS_MAX];
    uint32_t total = 0, count;
    conns->tick_bytes = 0;
    while ((count = io->ops->reap(io, events)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            on_event(worker, &events[i]);
        total += count;
        if ((total >= TICK_EVENTS_MAX || conns->tick_bytes >= TICK_BYTES_MAX) && !io->crowded)
            return;
    }
}

static void
on_io_record(void *arg, unsigned from, const struct spsc_record *record)
{
    struct worker *worker = arg;
    must(from != worker->index);
    conn_on_handover(worker->conns, record);
}

static void
fire_timers(struct worker *worker)
{
    struct timer *timer;
    while ((timer = wheel_next(worker->wheel, worker->shard->now_ms)) != NULL) {
        if (timer->kind == TIMER_CONN) {
            conn_on_timer(worker->conns, timer);
            continue;
        }
        must(timer->kind == TIMER_ACCEPT);
        struct acceptor *acceptor = container_of(timer, struct acceptor, timer);
        accept_arm(worker, (uint32_t)(acceptor - worker->acceptors));
    }
}

// Mail was published for them, or answers.
static void
wake_others(struct worker *worker)
{
    for (uint64_t todo = worker->shard->wake_shards; todo; todo &= todo - 1)
        broker_wake(worker->broker, (unsigned)__builtin_ctzll(todo));
    worker->shard->wake_shards = 0;
}

static int64_t
wait_ms(const struct worker *worker)
{
    if (worker->conns->settle_soon || !list_empty(&worker->conns->doomed))
        return 0;
    uint64_t due = min_u64(shard_wait_until(worker->shard), wheel_wait_until(worker->wheel));
    if (worker->stop_by_ms)
        due = min_u64(due, worker->stop_by_ms);
    if (due == UINT64_MAX)
        return IO_WAIT_FOREVER;
    return due > worker->shard->now_ms ? (int64_t)(due - worker->shard->now_ms) : 0;
}

// Submits, and sleeps when there is nothing else to do.
static void
enter(struct worker *worker)
{
    struct backend *io = worker->io;
    int64_t wait = wait_ms(worker);
    if (wait != 0) {
        _Atomic uint32_t *sleeping = &worker->broker->sleep[worker->index].sleeping;
        atomic_store(sleeping, 1);
        if (shard_has_mail(worker->shard)) {
            io->ops->enter(io, 0);
        } else {
            rcu_offline(worker->shard->rcu);
            io->ops->enter(io, wait);
            rcu_online(worker->shard->rcu);
        }
        atomic_store_explicit(sleeping, 0, memory_order_relaxed);
    } else {
        io->ops->enter(io, 0);
    }
    conns_bury(worker->conns);
}

static void
worker_tick(struct worker *worker)
{
    struct shard *shard = worker->shard;
    shard_tick_begin(shard, clock_mono_ms());
    conns_settle(worker->conns);
    reap(worker);
    shard_drain(shard, on_io_record, worker);
    fire_timers(worker);
    shard_timers(shard);
    shard_post(shard);
    wake_others(worker);
    conns_flush(worker->conns);
    shard_tick_end(shard);
    enter(worker);
}

// ---- The thread ---------------------------------------------------------------------------------

// DISCONNECT to all; those that do not take it in time are closed without.
static void
stop_gracefully(struct worker *worker)
{
    struct shard *shard = worker->shard;
    worker->stop_by_ms = shard->now_ms + STOP_MS;
    accept_end(worker);
    conns_settle(worker->conns);
    conns_refuse(worker->conns);
    shard_shutdown(shard);
    while (worker->conns->open > 0 && clock_mono_ms() < worker->stop_by_ms)
        worker_tick(worker);
    conns_settle(worker->conns);
    conns_abandon(worker->conns);
    worker->io->ops->enter(worker->io, 0);
    conns_bury(worker->conns);
}

static bool
set_up(struct worker *worker)
{
    worker->io = uring_new();
    if (!worker->io) {
        log_line(worker->broker->log, LOG_T_ERROR, "Error: io_uring: %s.", strerrordesc_np(errno));
        return false;
    }
    uint64_t now_ms = clock_mono_ms();
    worker->shard = shard_new(worker->broker, worker->index, now_ms);
    worker->wheel = wheel_new(now_ms);
    worker->conns = conns_new(worker->io, worker->shard, worker->wheel, worker->set);
    worker->broker->shards[worker->index] = worker->shard;
    worker->broker->sleep[worker->index].wake_fd = crew_wake_fd(worker->crew, worker->index);
    return true;
}

static void
tear_down(struct worker *worker)
{
    // Nobody posts any more: handovers that came too late are closed, other mail has no readers.
    shard_tick_begin(worker->shard, clock_mono_ms());
    worker->conns->refusing = true;
    shard_drain(worker->shard, on_io_record, worker);
    shard_offer_all(worker->shard);
    conns_free(worker->conns);
    worker->io->ops->free(worker->io);
    worker->broker->shards[worker->index] = NULL;
    shard_free(worker->shard);
    wheel_free(worker->wheel);
    mem_free(worker->acceptors);
}

static void
work(struct worker *worker)
{
    // Offline at the gates: whoever waits there must not hold up grace periods.
    rcu_offline(worker->shard->rcu);
    bool go = crew_gate(worker->crew, worker->index);
    rcu_online(worker->shard->rcu);
    if (go) {
        wake_arm(worker);
        accept_begin(worker);
        while (!crew_stopping(worker->crew, worker->index))
            worker_tick(worker);
        stop_gracefully(worker);
    }
    rcu_offline(worker->shard->rcu);
    crew_leave(worker->crew, worker->index);
    rcu_online(worker->shard->rcu);
    tear_down(worker);
}

static void *
run(void *arg)
{
    struct worker *worker = arg;
    must(worker->magic == WORKER_MAGIC);
    thread_role = ROLE_WORKER;
    char name[16];
    (void)snprintf(name, sizeof name, "tern-w%u", worker->index);
    (void)pthread_setname_np(pthread_self(), name);
    bool set = set_up(worker);
    bool works = set && (!worker->load || worker->load(worker->load_arg, worker->shard));
    crew_up(worker->crew, worker->index, works);
    if (works)
        work(worker);
    else if (set)
        tear_down(worker);
    return NULL;
}

// ---- Main's side --------------------------------------------------------------------------------

struct worker *
worker_new(struct broker *broker, const struct listen_set *set, unsigned index, worker_load_fn load,
           void *load_arg)
{
    must(index < broker->shard_count && index < CREW_MAX);
    struct worker *worker = mem_zalloc(sizeof *worker);
    worker->magic = WORKER_MAGIC;
    worker->broker = broker;
    worker->set = set;
    worker->crew = listen_crew(set);
    worker->index = index;
    worker->load = load;
    worker->load_arg = load_arg;
    return worker;
}

err_t
worker_start(struct worker *worker)
{
    must(worker->magic == WORKER_MAGIC && !worker->started);
    // Signals are main's; a thread inherits the mask of who makes it.
    sigset_t all, before;
    (void)sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    int rc = pthread_create(&worker->thread, NULL, run, worker);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    if (rc != 0) {
        crew_up(worker->crew, worker->index, false);
        return ERR_IO;
    }
    worker->started = true;
    return crew_await(worker->crew, worker->index) ? OK : ERR_IO;
}

void
worker_stop(struct worker *worker)
{
    must(worker->magic == WORKER_MAGIC);
    crew_stop(worker->crew, worker->index);
}

void
worker_wake(struct worker *worker)
{
    must(worker->magic == WORKER_MAGIC);
    crew_wake(worker->crew, worker->index);
}

void
worker_join(struct worker *worker)
{
    must(worker->magic == WORKER_MAGIC);
    if (!worker->started)
        return;
    must(pthread_join(worker->thread, NULL) == 0);
    worker->started = false;
}

void
worker_free(struct worker *worker)
{
    if (!worker)
        return;
    must(worker->magic == WORKER_MAGIC && !worker->started);
    worker->magic = 0;
    mem_free(worker);
}
