// lane.c - a shard with all that brings it its clients.
#include "io/lane.h"

#include <errno.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "io/conn.h"
#include "io/listener.h"
#include "io/worker.h"

#define TIMER_ACCEPT (TIMER_CONN + 1)
// Out of descriptors, accepting at once again would only spin.
#define ACCEPT_PAUSE_MS 100u
// An operation that did not hear that it should stop is told again.
#define STOP_AGAIN_MS 10u

// ---- Accepting ----------------------------------------------------------------------------------

static void
accept_arm(struct lane *lane, uint32_t i)
{
    struct acceptor *acceptor = &lane->acceptors[i];
    if (!lane->accepting || acceptor->armed)
        return;
    acceptor->armed = true;
    lane->io->ops->accept(lane->io, acceptor->fd, (uint64_t)lane->index << IO_LANE_SHIFT | i);
}

static void
accept_begin(struct lane *lane)
{
    lane->accepting = true;
    for (uint32_t i = 0; i < lane->acceptor_count; i++)
        accept_arm(lane, i);
}

static void
accept_stop(struct lane *lane)
{
    lane->accepting = false;
    for (uint32_t i = 0; i < lane->acceptor_count; i++) {
        struct acceptor *acceptor = &lane->acceptors[i];
        wheel_disarm(lane->wheel, &acceptor->timer);
        if (acceptor->armed)
            lane->io->ops->stop(lane->io, IO_ACCEPT, acceptor->fd,
                                (uint64_t)lane->index << IO_LANE_SHIFT | i);
    }
}

static COLD void
on_accept_failed(struct lane *lane, uint32_t i, int error)
{
    struct acceptor *acceptor = &lane->acceptors[i];
    must(error > 0 && !acceptor->armed);
    if (error == ECONNABORTED || error == EINTR || error == ECANCELED || !lane->accepting) {
        accept_arm(lane, i);
        return;
    }
    log_limited(lane->shard->log, &lane->log_accept, lane->shard->now_ms, LOG_T_ERROR,
                "Error: no connection can be accepted on %s: %s; trying again.",
                listen_text(lane->set, acceptor->listener), strerrordesc_np(error));
    wheel_arm(lane->wheel, &acceptor->timer, lane->shard->now_ms + ACCEPT_PAUSE_MS);
}

static void
on_accept(struct lane *lane, const struct io_event *event)
{
    uint32_t i = (uint32_t)event->token & ((1u << IO_LANE_SHIFT) - 1);
    must(i < lane->acceptor_count);
    struct acceptor *acceptor = &lane->acceptors[i];
    acceptor->armed = event->more;
    if (event->result >= 0) {
        conn_on_accept(lane->conns, event->result, acceptor->listener);
        if (!event->more)
            accept_arm(lane, i);
    } else if (!event->more) {
        on_accept_failed(lane, i, -event->result);
    }
}

// ---- The tick -----------------------------------------------------------------------------------

void
lane_begin(struct lane *lane, uint64_t now_ms)
{
    shard_tick_begin(lane->shard, now_ms);
}

void
lane_on_failure(struct lane *lane, uint32_t send_id, int32_t result)
{
    conns_on_failure(lane->conns, send_id % IO_SENDS_MAX, result);
}

void
lane_settle(struct lane *lane)
{
    conns_settle(lane->conns);
}

void
lane_on_event(struct lane *lane, const struct io_event *event)
{
    switch (event->kind) {
    case IO_RECV:
        conn_on_recv(lane->conns, event);
        return;
    case IO_WRITABLE:
        conn_on_writable(lane->conns, event->token);
        return;
    default:
        must(event->kind == IO_ACCEPT);
        on_accept(lane, event);
    }
}

static void
on_io_record(void *arg, unsigned from, const struct spsc_record *record)
{
    struct lane *lane = arg;
    must(from != lane->index);
    conn_on_handover(lane->conns, record);
}

static void
fire_timers(struct lane *lane)
{
    struct timer *timer;
    while ((timer = wheel_next(lane->wheel, lane->shard->now_ms)) != NULL) {
        if (timer->kind == TIMER_CONN) {
            conn_on_timer(lane->conns, timer);
            continue;
        }
        must(timer->kind == TIMER_ACCEPT);
        struct acceptor *acceptor = container_of(timer, struct acceptor, timer);
        accept_arm(lane, (uint32_t)(acceptor - lane->acceptors));
    }
}

void
lane_work(struct lane *lane)
{
    struct shard *shard = lane->shard;
    conns_away(lane->conns);
    struct cluster *cluster = lane->broker->cluster;
    struct node_dialled dialled;
    while (unlikely(cluster != NULL) && cluster->ops->dialled(cluster, lane->index, &dialled))
        conn_on_dialled(lane->conns, &dialled);
    shard_drain(shard, on_io_record, lane);
    fire_timers(lane);
    shard_timers(shard);
    shard_post(shard);
}

void
lane_flush(struct lane *lane, uint32_t send_max)
{
    conns_shake(lane->conns);
    conns_flush(lane->conns, send_max);
}

void
lane_end(struct lane *lane)
{
    shard_tick_end(lane->shard);
}

void
lane_bury(struct lane *lane)
{
    conns_bury(lane->conns);
}

uint64_t
lane_wait_until(const struct lane *lane)
{
    if (conns_are_busy(lane->conns))
        return 0;
    uint64_t due = min_u64(shard_wait_until(lane->shard), wheel_wait_until(lane->wheel));
    due = min_u64(due, conns_away_due(lane->conns));
    if (lane->moving)
        due = min_u64(due, lane->stop_again_ms);
    return lane->stop_by_ms ? min_u64(due, lane->stop_by_ms) : due;
}

// ---- Moving, and the end ------------------------------------------------------------------------

void
lane_stop(struct lane *lane)
{
    must(!lane->moving);
    lane->moving = true;
    accept_stop(lane);
    conns_stop(lane->conns);
    lane->stop_again_ms = lane->shard->now_ms + STOP_AGAIN_MS;
}

bool
lane_stopped(struct lane *lane)
{
    bool again = lane->shard->now_ms >= lane->stop_again_ms;
    bool stopped = conns_stopped(lane->conns, again);
    for (uint32_t i = 0; i < lane->acceptor_count; i++)
        stopped = stopped && !lane->acceptors[i].armed;
    if (again) {
        accept_stop(lane);
        lane->stop_again_ms = lane->shard->now_ms + STOP_AGAIN_MS;
    }
    return stopped;
}

void
lane_resume(struct lane *lane, struct backend *io)
{
    must(lane->moving);
    lane->moving = false;
    lane->io = io;
    conns_resume(lane->conns, io);
    accept_begin(lane);
}

void
lane_shut_down(struct lane *lane, uint64_t stop_by_ms)
{
    lane->stop_by_ms = stop_by_ms;
    accept_stop(lane);
    conns_settle(lane->conns);
    conns_refuse(lane->conns);
    shard_shutdown(lane->shard);
}

// ---- Life ---------------------------------------------------------------------------------------

static void
find_acceptors(struct lane *lane)
{
    uint32_t count;
    const struct listen_socket *sockets = listen_sockets(lane->set, &count);
    lane->acceptors = mem_zalloc((count + 1) * sizeof *lane->acceptors);
    for (uint32_t i = 0; i < count; i++) {
        if (sockets[i].worker != lane->index)
            continue;
        struct acceptor *acceptor = &lane->acceptors[lane->acceptor_count++];
        acceptor->fd = sockets[i].fd;
        acceptor->listener = sockets[i].listener;
        timer_init(&acceptor->timer, TIMER_ACCEPT);
    }
}

struct lane *
lane_new(struct broker *broker, const struct listen_set *set, unsigned index, struct backend *io)
{
    struct lane *lane = mem_zalloc(sizeof *lane);
    uint64_t now_ms = clock_mono_ms();
    lane->index = index;
    lane->broker = broker;
    lane->set = set;
    lane->io = io;
    lane->shard = shard_new(broker, index, now_ms);
    lane->wheel = wheel_new(now_ms);
    lane->conns = conns_new(io, lane->shard, lane->wheel, set);
    list_init(&lane->node);
    find_acceptors(lane);
    broker->shards[index] = lane->shard;
    return lane;
}

void
lane_open(struct lane *lane)
{
    accept_begin(lane);
}

void
lane_free(struct lane *lane)
{
    // Nobody posts any more: handovers that came too late are closed, other mail has no readers.
    shard_tick_begin(lane->shard, clock_mono_ms());
    lane->conns->refusing = true;
    shard_drain(lane->shard, on_io_record, lane);
    shard_offer_all(lane->shard);
    conns_free(lane->conns);
    lane->broker->shards[lane->index] = NULL;
    shard_free(lane->shard);
    wheel_free(lane->wheel);
    mem_free(lane->acceptors);
    mem_free(lane);
}
