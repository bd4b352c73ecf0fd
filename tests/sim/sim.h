// sim.h - a whole broker on one thread: shards, a clock that the test moves, connections in memory.
//
// Job:    what worker.c does in a tick, in its order, for every shard. Deterministic but for the
//         hash key.
// Owner:  the test. Thread: one, which is the worker of every shard. Memory: until sim_free.
// Limits: TRIE_SHARDS_MAX shards.
#ifndef TERN_TESTS_SIM_SIM_H
#define TERN_TESTS_SIM_SIM_H

#include "core/base/thread.h"

#include "core/access.h"
#include "core/broker.h"
#include "core/config.h"
#include "core/keeper.h"
#include "core/registry.h"
#include "tests/sim/sim_conn.h"

#define SIM_START_MS UINT64_C(1000)

struct sim {
    struct config *config;
    struct broker *broker;
    unsigned shard_count;
    uint64_t now_ms;
    struct list conns;
};

// ---- Making -------------------------------------------------------------------------------------

// The defaults with one listener that anybody may use, sessions that expire, and no $SYS.
static inline struct config *
sim_config(void)
{
    struct config *config = config_defaults();
    config->listener_count = 1;
    config->listeners[0].allow_anonymous = true;
    config->listeners[0].maximum_qos = 2;
    config->listeners[0].topic_alias_max = 10;
    config->sys_interval_s = 0;
    config->memory_max = 0;
    config->log.dests = 0;
    return config;
}

// Takes config. Without shards yet.
static inline struct sim *
sim_make_broker(unsigned shard_count, struct config *config, bool kept, uint64_t now_ms)
{
    struct sim *sim = mem_zalloc(sizeof *sim);
    thread_role = ROLE_WORKER;
    sim->config = config;
    sim->shard_count = shard_count;
    sim->now_ms = now_ms;
    list_init(&sim->conns);
    sim->broker = broker_new(config, NULL, shard_count, sim->now_ms, sim->now_ms);
    must(sim->broker);
    sim->broker->keeper = keeper_new(shard_count, kept);
    return sim;
}

static inline void
sim_make_shards(struct sim *sim)
{
    for (unsigned i = 0; i < sim->shard_count; i++)
        sim->broker->shards[i] = shard_new(sim->broker, i, sim->now_ms);
}

static inline struct sim *
sim_make(unsigned shard_count, struct config *config, bool kept, uint64_t now_ms)
{
    struct sim *sim = sim_make_broker(shard_count, config, kept, now_ms);
    sim_make_shards(sim);
    return sim;
}

// Takes config, which the test may still change between ticks. Nothing is kept.
static inline struct sim *
sim_new(unsigned shard_count, struct config *config)
{
    return sim_make(shard_count, config, false, SIM_START_MS);
}

// With a keeper that the test plays: sim_disk.h.
static inline struct sim *
sim_new_kept(unsigned shard_count, struct config *config, uint64_t now_ms)
{
    return sim_make(shard_count, config, true, now_ms);
}

// A connection that has said nothing yet.
static inline struct sim_conn *
sim_open(struct sim *sim, unsigned shard)
{
    must(shard < sim->shard_count);
    struct sim_conn *conn = sim_conn_new(sim->broker->shards[shard], sim->now_ms);
    list_push(&sim->conns, &conn->node);
    return conn;
}

// ---- The tick -----------------------------------------------------------------------------------

static inline void
sim_no_io(void *arg, unsigned from, const struct spsc_record *record)
{
    (void)arg;
    (void)from;
    (void)record;
    must_fail("no records of the transport are posted here", __FILE__, __LINE__);
}

static inline void
sim_tick_shard(struct sim *sim, unsigned index)
{
    struct shard *shard = sim->broker->shards[index];
    shard_tick_begin(shard, sim->now_ms);
    for (struct list *node = sim->conns.next; node != &sim->conns; node = node->next) {
        struct sim_conn *conn = container_of(node, struct sim_conn, node);
        if (conn->client.shard == shard)
            sim_receive(conn);
    }
    shard_drain(shard, sim_no_io, NULL);
    shard_timers(shard);
    shard_post(shard);
    shard->wake_shards = 0;
    sim_flush(shard);
    shard_tick_end(shard);
}

// The clock goes on by ms, then each shard has one tick.
static inline void
sim_tick(struct sim *sim, uint64_t ms)
{
    sim->now_ms += ms;
    for (unsigned i = 0; i < sim->shard_count; i++)
        sim_tick_shard(sim, i);
}

// Would a worker sleep?
static inline bool
sim_is_idle(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->shard_count; i++) {
        const struct shard *shard = sim->broker->shards[i];
        if (shard_wait_until(shard) == 0 || shard->mailed || shard_has_mail(shard))
            return false;
    }
    return true;
}

// Ticks until there is nothing to do but to wait. A broker that never comes to rest is a fault.
static inline void
sim_settle(struct sim *sim)
{
    unsigned ticks = 0;
    do {
        must(++ticks < 100000);
        sim_tick(sim, 0);
    } while (!sim_is_idle(sim));
}

// ---- The end ------------------------------------------------------------------------------------

static inline void
sim_close_all(struct sim *sim)
{
    for (struct list *node = sim->conns.next; node != &sim->conns; node = node->next) {
        struct sim_conn *conn = container_of(node, struct sim_conn, node);
        if (conn->open)
            sim_close(conn, 0);
    }
    sim_settle(sim);
}

// With no connection and no session left, nothing may be left of them.
static inline void
sim_must_be_empty(const struct sim *sim)
{
    for (unsigned i = 0; i < sim->shard_count; i++) {
        const struct shard *shard = sim->broker->shards[i];
        const struct stats *stats = &shard->stats;
        must(registry_count(shard->registry) == 0);
        must(stat_get(&stats->clients_connected) == 0 && stat_get(&stats->sessions) == 0);
        must(stat_get(&stats->subscriptions) == 0 && stat_get(&stats->shared_subscriptions) == 0);
        must(shard->totals.queued == 0 && shard->totals.inflight == 0);
        must(shard->totals.queued_bytes == 0 && shard->in_bytes == 0);
        must(shard->pool.in_use == 0 && shard->outbox_bytes == 0);
        must(stat_get(&stats->memory_bytes) == 0 && stat_get(&stats->messages_queued) == 0);
        must(list_empty(&shard->dirty) && list_empty(&shard->unfinished));
        must(list_empty(&shard->blocked_reads) && list_empty(&shard->parked));
        must(list_empty(&shard->page_loads) && shard->totals.on_disk == 0);
    }
}

static inline void
sim_free(struct sim *sim)
{
    struct list *node;
    while ((node = list_pop(&sim->conns)) != NULL)
        sim_free_conn(container_of(node, struct sim_conn, node));
    // Offline: no grace period waits for a shard that this thread cannot drive meanwhile.
    for (unsigned i = 0; i < sim->shard_count; i++)
        rcu_offline(sim->broker->shards[i]->rcu);
    for (unsigned i = 0; i < sim->shard_count; i++) {
        rcu_online(sim->broker->shards[i]->rcu);
        shard_free(sim->broker->shards[i]);
        sim->broker->shards[i] = NULL;
    }
    struct keeper *keeper = sim->broker->keeper;
    access_desk_free(sim->broker->desk);
    broker_free(sim->broker);
    keeper_free(keeper);
    config_free(sim->config);
    mem_free(sim);
}

#endif
