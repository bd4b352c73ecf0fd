// worker.c - a thread and its backend: the loop that moves everything, for the lanes that are here.
#include "io/worker.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/host.h"
#include "core/shard.h"
#include "io/conn.h"
#include "io/crew.h"
#include "io/epoll.h"
#include "io/lane.h"
#include "io/listener.h"
#include "io/uring.h"

#define WORKER_MAGIC 0x776f726bu
// A tick takes in at most so much before it sends what came of it: latency, and the cache.
#define TICK_EVENTS_MAX 4096u
#define TICK_BYTES_MAX  (UINT64_C(1) << 18)
// Lanes at one worker that write to each other are served in the same tick, up to so many rounds.
#define TICK_ROUNDS_MAX 4u
// Until a full mailbox is tried again.
#define FULL_MAILBOX_MS 1u
// For the clients to take their DISCONNECT.
#define STOP_MS 2000u

// Where the lanes are. All begin at worker 0, the host. When that one has been busy for some
// windows, and there is a CPU for another worker, half of its guests go home; a lane whose own
// worker and the host have both been calm for as long as its patience lasts goes back, and is more
// patient each time that this was a mistake.
#define HOST           0u
#define SPREAD_WINDOWS 3u
#ifndef TERN_RESTLESS
#define LOAD_WINDOW_MS  50u
#define SPREAD_ABOVE    750u // thousandths of the time, of the host
#define SPREAD_ROOM     400u // the same, of what a CPU gives: idle, or lost to other threads
#define GATHER_BELOW    400u // both together
#define PATIENCE_MS     1000u
#define PATIENCE_MAX_MS 60000u
#else // builds with sanitizers: lanes move all the time, so that every test meets it
#define LOAD_WINDOW_MS  3u
#define SPREAD_ABOVE    1u
#define SPREAD_ROOM     0u
#define GATHER_BELOW    2000u
#define PATIENCE_MS     5u
#define PATIENCE_MAX_MS 5u
#endif

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
    struct lane *lanes[IO_LANES_MAX]; // those that are here
    struct lane *by_index[IO_LANES_MAX];
    unsigned lane_count;
    uint64_t here; // bit i: lane i is
    // The window in which it is found out how busy this worker is.
    uint64_t window_ms, window_us; // when it began
    uint64_t slept_us;             // in it
    uint64_t calm_since_ms;
    // The tick: when it began, as exactly as is known without asking the clock for it; and whether
    // the one before ended in a sleep, and so was counted.
    uint64_t tick_us;
    bool slept;
    // Windows that were busy, one after the other, and what it was after the first one.
    uint32_t hot_windows;
    uint64_t hot_since_us, hot_busy_us, hot_cpu_us, hot_idle_us;
};

// ---- Lanes come and go --------------------------------------------------------------------------

// Those that are here may give each other messages directly.
static void
tell_lanes(const struct worker *worker)
{
    for (unsigned i = 0; i < worker->lane_count; i++)
        worker->lanes[i]->shard->beside = worker->here;
}

static void
add_lane(struct worker *worker, struct lane *lane)
{
    must(worker->lane_count < IO_LANES_MAX && !worker->by_index[lane->index]);
    worker->lanes[worker->lane_count++] = lane;
    worker->by_index[lane->index] = lane;
    worker->here |= UINT64_C(1) << lane->index;
    tell_lanes(worker);
    atomic_store(&worker->broker->sleep[lane->index].wake_fd,
                 crew_wake_fd(worker->crew, worker->index));
}

static void
remove_lane(struct worker *worker, const struct lane *lane)
{
    unsigned i = 0;
    while (worker->lanes[i] != lane)
        i++;
    must(i < worker->lane_count);
    worker->lanes[i] = worker->lanes[--worker->lane_count];
    worker->by_index[lane->index] = NULL;
    worker->here &= ~(UINT64_C(1) << lane->index);
    lane->shard->beside = 0;
    tell_lanes(worker);
}

static void
adopt(struct worker *worker, struct lane *lane)
{
    rcu_move_here(lane->shard->rcu);
    rcu_online(lane->shard->rcu);
    add_lane(worker, lane);
    lane_resume(lane, worker->io);
}

static void
take_lanes(struct worker *worker)
{
    struct list *node;
    while ((node = crew_take(worker->crew, worker->index)) != NULL)
        adopt(worker, container_of(node, struct lane, node));
}

// Those that the kernel has let go of. Until another worker has it, a lane is nobody's: its mail
// waits, and nobody need wake it, since whoever takes it looks at the mail first.
static void
give_lanes(struct worker *worker)
{
    for (unsigned i = worker->lane_count; i-- > 0;) {
        struct lane *lane = worker->lanes[i];
        if (likely(!lane->moving) || !lane_stopped(lane))
            continue;
        unsigned to = worker->index == HOST ? lane->index : HOST;
        remove_lane(worker, lane);
        rcu_offline(lane->shard->rcu);
        log_line(worker->broker->log, LOG_T_DEBUG, "Clients of worker %u go to worker %u.",
                 lane->index, to);
        if (!crew_give(worker->crew, to, &lane->node))
            adopt(worker, lane);
    }
}

// ---- Who is busy? -------------------------------------------------------------------------------

static void
spread(struct worker *worker, uint64_t now_ms)
{
    unsigned guests = 0;
    for (unsigned i = 0; i < worker->lane_count; i++)
        guests += worker->lanes[i]->index != worker->index && !worker->lanes[i]->moving;
    unsigned go = (guests + 1) / 2;
    for (unsigned i = 0; i < worker->lane_count && go > 0; i++) {
        struct lane *lane = worker->lanes[i];
        if (lane->index == worker->index || lane->moving)
            continue;
        bool mistake = now_ms - lane->left_ms < PATIENCE_MAX_MS;
        lane->patience_ms = mistake ? min_u64(lane->patience_ms * 2, PATIENCE_MAX_MS) : PATIENCE_MS;
        lane_stop(lane);
        go--;
    }
}

static void
gather(struct worker *worker, uint64_t now_ms)
{
    struct lane *lane = worker->by_index[worker->index];
    if (!lane || lane->moving)
        return;
    lane->left_ms = now_ms;
    lane_stop(lane);
}

static void
begin_hot(struct worker *worker)
{
    worker->hot_windows = 1;
    worker->hot_since_us = worker->window_us;
    worker->hot_busy_us = 0;
    worker->hot_cpu_us = clock_thread_us();
    worker->hot_idle_us = host_idle_us("");
}

// Would another worker have more than this one alone? A CPU that has nothing to do, or a larger
// share of those that other threads want as well. Where there is neither, because who makes the
// load has the other CPUs, it would take from them, for more work: mail between two threads.
static bool
has_room(const struct worker *worker)
{
    uint64_t room_us = (worker->window_us - worker->hot_since_us) * SPREAD_ROOM / 1000;
    uint64_t cpu_us = clock_thread_us() - worker->hot_cpu_us, idle_us = host_idle_us("");
    return idle_us == 0 || idle_us - worker->hot_idle_us >= room_us ||
           worker->hot_busy_us >= cpu_us + room_us;
}

static void
on_hosts_window(struct worker *worker, bool hot, uint64_t busy_us, uint64_t now_ms)
{
    worker->hot_busy_us += busy_us;
    if (!hot || worker->lane_count == 1) {
        worker->hot_windows = 0;
    } else if (worker->hot_windows == 0) {
        begin_hot(worker);
    } else if (++worker->hot_windows >= SPREAD_WINDOWS) {
        if (has_room(worker))
            spread(worker, now_ms);
        begin_hot(worker);
    }
}

static void
on_window(struct worker *worker, uint64_t busy_us, uint64_t span_us, uint64_t now_ms)
{
    uint32_t busy = (uint32_t)(busy_us * 1000 / span_us);
    crew_tell_busy(worker->crew, worker->index, busy);
    if (worker->index == HOST) {
        on_hosts_window(worker, busy >= SPREAD_ABOVE, busy_us, now_ms);
        return;
    }
    const struct lane *lane = worker->by_index[worker->index];
    if (busy + crew_busy(worker->crew, HOST) > GATHER_BELOW || !lane)
        worker->calm_since_ms = now_ms;
    else if (now_ms - worker->calm_since_ms >= lane->patience_ms)
        gather(worker, now_ms);
}

static void
watch_load(struct worker *worker, uint64_t now_ms)
{
    if (likely(now_ms - worker->window_ms < LOAD_WINDOW_MS))
        return;
    uint64_t now_us = clock_mono_us();
    uint64_t span_us = max_u64(now_us - worker->window_us, 1);
    uint64_t busy_us = span_us - min_u64(worker->slept_us, span_us);
    worker->window_ms = now_ms;
    worker->window_us = now_us;
    worker->slept_us = 0;
    const struct config *config = atomic_load(&worker->broker->config);
    if (config->gather_workers && !crew_stopping(worker->crew, worker->index))
        on_window(worker, busy_us, span_us, now_ms);
}

// ---- The tick -----------------------------------------------------------------------------------

static void
wake_arm(struct worker *worker)
{
    worker->io->ops->wake(worker->io, crew_wake_fd(worker->crew, worker->index), 0);
}

static void
settle(struct worker *worker)
{
    struct backend *io = worker->io;
    uint32_t id;
    int32_t result;
    while (io->ops->next_failure(io, &id, &result))
        lane_on_failure(worker->by_index[id / IO_SENDS_MAX], id, result);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_settle(worker->lanes[i]);
}

static inline void
on_event(struct worker *worker, const struct io_event *event)
{
    if (unlikely(event->kind == IO_WAKE)) {
        if (!event->more)
            wake_arm(worker);
        return;
    }
    // A lane that is not here has left nothing behind but what ended before it went.
    struct lane *lane = worker->by_index[io_lane_of(event->token)];
    if (likely(lane))
        lane_on_event(lane, event);
}

static void
reap(struct worker *worker)
{
    struct backend *io = worker->io;
    struct io_event events[IO_EVENTS_MAX];
    uint32_t total = 0, count;
    io->received = 0;
    while ((count = io->ops->reap(io, events)) > 0) {
        for (uint32_t i = 0; i < count; i++)
            on_event(worker, &events[i]);
        total += count;
        if ((total >= TICK_EVENTS_MAX || io->received >= TICK_BYTES_MAX) && !io->crowded)
            return;
    }
}

// Mail and what comes of it. Those elsewhere are woken.
static void
work(struct worker *worker, uint64_t now_ms)
{
    uint64_t todo = worker->here, away = 0;
    for (unsigned round = 0; todo && round < TICK_ROUNDS_MAX; round++) {
        uint64_t posted = 0;
        for (unsigned i = 0; i < worker->lane_count; i++) {
            struct lane *lane = worker->lanes[i];
            if (!(todo >> lane->index & 1))
                continue;
            if (round > 0)
                lane_begin(lane, now_ms);
            lane_work(lane);
            posted |= lane->shard->wake_shards;
            lane->shard->wake_shards = 0;
        }
        away |= posted & ~worker->here;
        todo = posted & worker->here;
    }
    for (; away; away &= away - 1)
        broker_wake(worker->broker, (unsigned)__builtin_ctzll(away));
}

static uint64_t
wait_until(const struct worker *worker, uint64_t now_ms)
{
    uint64_t due = worker->broker->watched ? now_ms + BROKER_BEAT_MS : UINT64_MAX, mailed = 0;
    for (unsigned i = 0; i < worker->lane_count; i++) {
        due = min_u64(due, lane_wait_until(worker->lanes[i]));
        mailed |= worker->lanes[i]->shard->mailed;
    }
    if (mailed & worker->here)
        return 0;
    // Another worker's mailbox is full. Nobody tells when it is not, and to look all the time would
    // take the CPU from the one that empties it.
    return mailed ? min_u64(due, now_ms + FULL_MAILBOX_MS) : due;
}

// All lanes say that they sleep; false when one has mail, which came before it had said so.
static bool
lie_down(const struct worker *worker)
{
    bool mail = false;
    for (unsigned i = 0; i < worker->lane_count; i++)
        atomic_store(&worker->broker->sleep[worker->lanes[i]->index].sleeping, 1);
    for (unsigned i = 0; i < worker->lane_count; i++)
        mail = mail || shard_has_mail(worker->lanes[i]->shard);
    return !mail;
}

static void
get_up(const struct worker *worker)
{
    for (unsigned i = 0; i < worker->lane_count; i++)
        atomic_store_explicit(&worker->broker->sleep[worker->lanes[i]->index].sleeping, 0,
                              memory_order_relaxed);
}

static void
end_tick(struct worker *worker, uint64_t now_us)
{
    // A millisecond is named by its begin, which may be before the last sleep ended.
    uint64_t us = now_us > worker->tick_us ? now_us - worker->tick_us : 0;
    durations_add(&worker->broker->beats[worker->index].ticks, us);
}

static void
begin_tick(struct worker *worker, uint64_t now_ms)
{
    atomic_store_explicit(&worker->broker->beats[worker->index].ms, now_ms, memory_order_relaxed);
    if (!worker->slept) {
        end_tick(worker, now_ms * 1000);
        worker->tick_us = now_ms * 1000;
    }
    worker->slept = false;
}

static void
sleep_until(struct worker *worker, uint64_t until_ms, uint64_t now_ms)
{
    for (unsigned i = 0; i < worker->lane_count; i++)
        rcu_offline(worker->lanes[i]->shard->rcu);
    uint64_t from_us = clock_mono_us();
    end_tick(worker, from_us);
    worker->io->ops->enter(worker->io,
                           until_ms == UINT64_MAX ? IO_WAIT_FOREVER : (int64_t)(until_ms - now_ms));
    worker->tick_us = clock_mono_us();
    if (worker->tick_us / 1000 >= until_ms) // not before, by an event
        durations_add(&worker->broker->beats[worker->index].late_timers,
                      worker->tick_us - until_ms * 1000);
    worker->slept_us += worker->tick_us - from_us;
    worker->slept = true;
    for (unsigned i = 0; i < worker->lane_count; i++)
        rcu_online(worker->lanes[i]->shard->rcu);
}

// Submits, and sleeps when there is nothing else to do.
static void
enter(struct worker *worker, uint64_t now_ms)
{
    uint64_t until_ms = wait_until(worker, now_ms);
    if (until_ms > now_ms && lie_down(worker))
        sleep_until(worker, until_ms, now_ms);
    else
        worker->io->ops->enter(worker->io, 0);
    get_up(worker);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_bury(worker->lanes[i]);
}

static void
worker_tick(struct worker *worker)
{
    take_lanes(worker); // before the clock is read: a lane's time does not go back
    uint64_t now_ms = clock_mono_ms();
    begin_tick(worker, now_ms);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_begin(worker->lanes[i], now_ms);
    settle(worker);
    give_lanes(worker);
    reap(worker);
    work(worker, now_ms);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_flush(worker->lanes[i], IO_SENDS_MAX / worker->lane_count);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_end(worker->lanes[i]);
    watch_load(worker, now_ms);
    enter(worker, now_ms);
}

// ---- The thread ---------------------------------------------------------------------------------

static bool
any_open(const struct worker *worker)
{
    for (unsigned i = 0; i < worker->lane_count; i++)
        if (worker->lanes[i]->conns->open > 0)
            return true;
    return false;
}

// DISCONNECT to all; those that do not take it in time are closed without.
static void
stop_gracefully(struct worker *worker)
{
    crew_close(worker->crew, worker->index);
    take_lanes(worker);
    uint64_t stop_by_ms = clock_mono_ms() + STOP_MS;
    settle(worker);
    for (unsigned i = 0; i < worker->lane_count; i++) {
        if (worker->lanes[i]->moving)
            lane_resume(worker->lanes[i], worker->io);
        lane_shut_down(worker->lanes[i], stop_by_ms);
    }
    while (any_open(worker) && clock_mono_ms() < stop_by_ms)
        worker_tick(worker);
    settle(worker);
    for (unsigned i = 0; i < worker->lane_count; i++)
        conns_abandon(worker->lanes[i]->conns);
    worker->io->ops->enter(worker->io, 0);
    for (unsigned i = 0; i < worker->lane_count; i++)
        lane_bury(worker->lanes[i]);
}

static bool
set_up(struct worker *worker)
{
    enum io_backend io = worker->broker->io;
    must(io == IO_BACKEND_URING || io == IO_BACKEND_EPOLL);
    worker->io = io == IO_BACKEND_URING ? uring_new() : epoll_new();
    if (!worker->io) {
        log_line(worker->broker->log, LOG_T_ERROR, "Error: %s: %s.", broker_io_name(worker->broker),
                 strerrordesc_np(errno));
        return false;
    }
    struct lane *lane = lane_new(worker->broker, worker->set, worker->index, worker->io);
    lane->patience_ms = PATIENCE_MS;
    add_lane(worker, lane);
    return true;
}

// Offline: the end of one lane waits for grace periods, which must not wait for the others.
static void
tear_down(struct worker *worker)
{
    while (worker->lane_count > 0) {
        struct lane *lane = worker->lanes[0];
        remove_lane(worker, lane);
        rcu_online(lane->shard->rcu);
        lane_free(lane);
    }
    worker->io->ops->free(worker->io);
}

static void
serve(struct worker *worker)
{
    struct lane *own = worker->by_index[worker->index];
    wake_arm(worker);
    lane_open(own);
    worker->window_ms = worker->calm_since_ms = clock_mono_ms();
    worker->window_us = worker->tick_us = clock_mono_us();
    worker->slept = true; // nothing yet to be counted
    if (worker->index != HOST && own->shard->config->gather_workers)
        gather(worker, worker->window_ms);
    while (!crew_stopping(worker->crew, worker->index))
        worker_tick(worker);
    stop_gracefully(worker);
}

// Offline at the gates: whoever waits there must not hold up grace periods.
static void
set_online(struct worker *worker, bool online)
{
    for (unsigned i = 0; i < worker->lane_count; i++) {
        if (online)
            rcu_online(worker->lanes[i]->shard->rcu);
        else
            rcu_offline(worker->lanes[i]->shard->rcu);
    }
}

static void
live(struct worker *worker)
{
    set_online(worker, false);
    bool go = crew_gate(worker->crew, worker->index);
    set_online(worker, true);
    if (go)
        serve(worker);
    set_online(worker, false);
    crew_leave(worker->crew, worker->index);
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
    bool works = set && (!worker->load ||
                         worker->load(worker->load_arg, worker->by_index[worker->index]->shard));
    crew_up(worker->crew, worker->index, works);
    if (works) {
        live(worker);
    } else if (set) {
        set_online(worker, false);
        tear_down(worker);
    }
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
    if (crew_await(worker->crew, worker->index))
        return OK;
    worker_join(worker); // it ends by itself
    return ERR_IO;
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
