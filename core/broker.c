// broker.c - what all shards share.
#include "core/broker.h"

#include <sys/eventfd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "core/access.h"
#include "core/admission.h"
#include "core/bans.h"
#include "core/cluster.h"
#include "core/control.h"
#include "core/mail.h"
#include "core/retained.h"
#include "core/session_move.h"
#include "core/shard.h"

struct broker *
broker_new(const struct config *config, struct log *log, unsigned shard_count, uint64_t now_ms,
           uint64_t wall_ms)
{
    must(shard_count >= 1 && shard_count <= TRIE_SHARDS_MAX);
    struct broker *broker = mem_alloc_aligned(CACHE_LINE, sizeof *broker);
    if (hash_key_random(&broker->key) != OK) {
        mem_free(broker);
        return NULL;
    }
    drain_init(&broker->drain);
    rebalance_init(&broker->rebalance);
    broker->log = log;
    broker->rcu = rcu_new();
    broker->trie = trie_new(&broker->key);
    broker->retained = retained_new(&broker->key);
    broker->admission = admission_new(&broker->key);
    broker->bans = bans_new(&broker->key);
    broker->shard_count = shard_count;
    for (unsigned from = 0; from < shard_count; from++)
        for (unsigned to = 0; to < shard_count; to++)
            if (from != to)
                broker->mail[from][to] = spsc_new(BROKER_MAILBOX_BYTES);
    atomic_store(&broker->config, config);
    atomic_store(&broker->memory_max, config->memory_max);
    atomic_store(&broker->next_session_number, 1); // 0 is the broker itself
    atomic_store(&broker->next_message, 1);
    atomic_store(&broker->wall_offset_ms, wall_ms - now_ms);
    for (unsigned i = 0; i < shard_count; i++)
        atomic_store(&broker->sleep[i].wake_fd, -1);
    broker->started_ms = now_ms;
    atomic_store(&broker->certificate_ends_s, INT64_MAX);
    broker->started_wall_ms = wall_ms;
    return broker;
}

void
broker_free(struct broker *broker)
{
    if (!broker)
        return;
    for (unsigned from = 0; from < broker->shard_count; from++) {
        for (unsigned to = 0; to < broker->shard_count; to++) {
            if (from == to)
                continue;
            mail_drop_queue(broker->mail[from][to]);
            spsc_free(broker->mail[from][to]);
        }
    }
    access_rules_free(unconst(atomic_load(&broker->access)));
    trie_free(broker->trie);
    retained_free(broker->retained);
    admission_free(broker->admission);
    bans_free(broker->bans);
    rcu_free(broker->rcu);
    drain_free(&broker->drain);
    rebalance_free(&broker->rebalance);
    mem_free(broker);
}

static void
free_config(void *config)
{
    config_free(config);
}

void
broker_set_config(struct broker *broker, struct rcu_reader *self, struct config *config)
{
    // A worker that still works with the old one took it in this tick, so it has not been quiescent
    // since: the grace period outlives its use.
    const struct config *old = atomic_exchange(&broker->config, config);
    atomic_store(&broker->memory_max, config->memory_max);
    rcu_defer(self, unconst(old), free_config);
}

static void
free_access(void *rules)
{
    access_rules_free(rules);
}

void
broker_set_access(struct broker *broker, struct rcu_reader *self, struct access_rules *rules)
{
    if (rules)
        rules->version = ++broker->access_version;
    const struct access_rules *old = atomic_exchange(&broker->access, rules);
    if (old)
        rcu_defer(self, unconst(old), free_access);
}

// What the identifiers of another node have in common; whose client another node brings.
static struct slice
node_of(struct slice id)
{
    static const char *const roots[] = {NODE_TO, NODE_FROM, NODE_FOR};
    for (unsigned i = 0; i < ARRAY_LEN(roots); i++) {
        size_t len = strlen(roots[i]);
        if (slice_begins(id, roots[i]))
            return slice_of(id.data + len, id.len - len);
    }
    if (slice_begins(id, NODE_MOVE) && id.len > MOVE_ID_HEAD)
        return slice_of(id.data + MOVE_ID_HEAD, id.len - MOVE_ID_HEAD);
    return id;
}

unsigned
broker_home(const struct broker *broker, struct slice client_id)
{
    if (unlikely(client_id.len > 0 && client_id.data[0] == '$'))
        client_id = node_of(client_id);
    // Other bits than the registry's, which uses the low ones of the same hash.
    uint64_t hash = hash_bytes(&broker->key, client_id.data, client_id.len);
    return (unsigned)(((hash >> 32) * broker->shard_count) >> 32);
}

void
broker_wake(struct broker *broker, unsigned shard)
{
    struct broker_sleep *sleep = &broker->sleep[shard];
    // Several may come at once: one clears the flag and writes, and the others may leave it to that
    // one. The sleeper looks at everything once it wakes, and what comes later meets the flag of
    // its next sleep, or is seen by the look before it (spsc.c). The fence pairs with the one in
    // shard_has_mail: between what was stored for the sleeper and its flag here, between its flag
    // and what it looks at there, so one of the two sees the other.
    atomic_thread_fence(memory_order_seq_cst);
    if (!atomic_load_explicit(&sleep->sleeping, memory_order_relaxed) ||
        !atomic_exchange(&sleep->sleeping, 0))
        return;
    int fd = atomic_load_explicit(&sleep->wake_fd, memory_order_relaxed);
    int rc = fd < 0 ? 0 : eventfd_write(fd, 1);
    must(rc == 0);
}

uint64_t
broker_memory(const struct broker *broker)
{
    struct retained_stats retained;
    retained_stats(broker->retained, &retained);
    uint64_t bytes = retained.bytes;
    for (unsigned i = 0; i < broker->shard_count; i++)
        if (broker->shards[i])
            bytes += stat_get(&broker->shards[i]->stats.memory_bytes);
    if (broker->control)
        bytes += control_desk_bytes(broker->control);
    return bytes;
}

uint64_t
broker_sessions(const struct broker *broker)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < broker->shard_count; i++)
        if (broker->shards[i])
            count += stat_get(&broker->shards[i]->stats.sessions);
    return count;
}

uint64_t
broker_connected(const struct broker *broker)
{
    uint64_t count = 0;
    for (unsigned i = 0; i < broker->shard_count; i++)
        if (broker->shards[i])
            count += stat_get(&broker->shards[i]->stats.clients_connected);
    return count;
}

void
broker_order(struct broker *broker)
{
    atomic_fetch_add(&broker->orders, 1);
    for (unsigned i = 0; i < broker->shard_count; i++)
        broker_wake(broker, i);
}

// ---- What the operator asked to see -------------------------------------------------------------

// Lines of one dump: more would only push each other out of the log's queue.
#define DUMP_LINES_MAX 2000u

struct dump {
    struct log *log;
    uint64_t seen;
};

static void
dump_filter(void *arg, struct slice filter, struct slice group, uint64_t shards)
{
    struct dump *dump = arg;
    if (dump->seen++ >= DUMP_LINES_MAX)
        return;
    log_line(dump->log, LOG_T_INFORMATION, "Subscription: %s%.*s%s%.*s on workers 0x%llx",
             group.len ? "$share/" : "", (int)group.len, (const char *)group.data,
             group.len ? "/" : "", (int)filter.len, (const char *)filter.data,
             (unsigned long long)shards);
}

void
broker_log_subscriptions(struct broker *broker)
{
    struct dump dump = {.log = broker->log};
    trie_each(broker->trie, dump_filter, &dump);
    log_line(broker->log, LOG_T_INFORMATION, "Subscriptions: %llu filters and share groups.",
             (unsigned long long)dump.seen);
}
