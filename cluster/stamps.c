// stamps.c - what is retained, and what was cleared, with the time at which it was.
//
// A change of a topic has a stamp: the wall clock of the node that accepted it, in ms, and 16 bits
// that count; then the node. Where two changes meet, in whatever order, the later one stays: so all
// nodes agree once all have been told. A stamp is later than all that its node has seen of that
// topic, so a clock that is wrong does not keep a client from changing what it sees.
//
// What was cleared leaves a stamp as well, in memory and in the store (a RETAIN without a payload).
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "cluster/forget.h"
#include "core/journal.h"
#include "core/registry.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/shard.h"

#define COUNT_BITS  16u
#define SWEEP_MS    1000u
#define SWEEP_STEPS 64u // of each stripe
#define SAY_MS      60000u

struct cleared {
    struct list node;     // in stripe->oldest
    struct cleared *next; // in its bucket
    uint64_t hash, number, made_ms;
    struct stamp stamp;
    uint32_t len;
    uint8_t topic[];
};

// ---- Topics that were cleared -------------------------------------------------------------------

static uint64_t
hash_of(const struct nodes *nodes, struct slice topic)
{
    return hash_bytes(&nodes->broker->key, topic.data, topic.len);
}

static struct stripe *
stripe_of(struct nodes *nodes, uint64_t hash)
{
    return &nodes->stripes[hash % CLEARED_STRIPES];
}

// Where it stands in its bucket, or would.
static struct cleared **
find(struct stripe *stripe, uint64_t hash, struct slice topic)
{
    must(topic.len > 0 && topic.len <= UINT16_MAX);
    struct cleared **at = &stripe->buckets[hash / CLEARED_STRIPES % CLEARED_BUCKETS];
    while (*at && ((*at)->hash != hash || !slice_equal(slice_of((*at)->topic, (*at)->len), topic)))
        at = &(*at)->next;
    return at;
}

static size_t
size_of(uint32_t topic_len)
{
    return sizeof(struct cleared) + topic_len;
}

static void
drop(struct nodes *nodes, struct stripe *stripe, struct cleared **at)
{
    struct cleared *gone = *at;
    must(gone && stripe->count > 0);
    *at = gone->next;
    list_remove(&gone->node);
    stripe->count--;
    stripe->bytes -= size_of(gone->len);
    atomic_fetch_sub_explicit(&nodes->cleared_count, 1, memory_order_relaxed);
    mem_free(gone);
}

static void
add(struct nodes *nodes, struct stripe *stripe, uint64_t hash, struct slice topic,
    const struct stamp *stamp, uint64_t now_ms)
{
    struct cleared **at = find(stripe, hash, topic);
    if (*at)
        drop(nodes, stripe, at);
    struct cleared *cleared = mem_alloc(size_of(topic.len));
    *cleared = (struct cleared){.hash = hash,
                                .number = ++stripe->number,
                                .made_ms = now_ms,
                                .stamp = *stamp,
                                .len = topic.len};
    memcpy(cleared->topic, topic.data, topic.len);
    at = find(stripe, hash, topic);
    must(*at == NULL);
    *at = cleared;
    list_init(&cleared->node);
    list_push(&stripe->oldest, &cleared->node);
    stripe->count++;
    stripe->bytes += size_of(topic.len);
    atomic_fetch_add_explicit(&nodes->cleared_count, 1, memory_order_relaxed);
}

static void
raise_last(struct nodes *nodes, uint64_t at)
{
    uint64_t last = atomic_load_explicit(&nodes->last_stamp, memory_order_relaxed);
    while (last < at && !atomic_compare_exchange_weak(&nodes->last_stamp, &last, at))
        ;
}

void
stamps_was_cleared(struct cluster *cluster, struct slice topic, const struct stamp *stamp)
{
    struct nodes *nodes = nodes_of(cluster);
    uint64_t hash = hash_of(nodes, topic);
    struct stripe *stripe = stripe_of(nodes, hash);
    must(stamp->at > 0 && topic.len > 0);
    pthread_mutex_lock(&stripe->mutex);
    add(nodes, stripe, hash, topic, stamp, nodes->broker->started_ms);
    pthread_mutex_unlock(&stripe->mutex);
    raise_last(nodes, stamp->at);
}

char *
stamps_next(struct nodes *nodes, struct stamps_walk *walk, struct stamp *ret_stamp)
{
    char *topic = NULL;
    for (; !topic && walk->stripe < CLEARED_STRIPES; walk->stripe += topic == NULL) {
        struct stripe *stripe = &nodes->stripes[walk->stripe];
        pthread_mutex_lock(&stripe->mutex);
        for (struct list *node = stripe->oldest.next; node != &stripe->oldest && !topic;
             node = node->next) {
            const struct cleared *cleared = container_of(node, struct cleared, node);
            if (cleared->number <= walk->number)
                continue;
            topic = mem_strndup((const char *)cleared->topic, cleared->len);
            *ret_stamp = cleared->stamp;
            walk->number = cleared->number;
        }
        pthread_mutex_unlock(&stripe->mutex);
        if (!topic)
            walk->number = 0;
    }
    return topic;
}

void
stamps_free(struct nodes *nodes)
{
    for (uint32_t i = 0; i < CLEARED_STRIPES; i++) {
        struct list *node;
        while ((node = list_pop(&nodes->stripes[i].oldest)) != NULL)
            mem_free(container_of(node, struct cleared, node));
        pthread_mutex_destroy(&nodes->stripes[i].mutex);
    }
}

// ---- One change ---------------------------------------------------------------------------------

// Later than all that was seen here, and than what the topic has.
static void
give(struct nodes *nodes, const struct shard *shard, const struct stamp *here, struct stamp *ret)
{
    uint64_t wall = (shard->now_ms + broker_wall_offset(shard->broker)) << COUNT_BITS;
    uint64_t last = atomic_load_explicit(&nodes->last_stamp, memory_order_relaxed);
    do
        ret->at = max_u64(max_u64(wall, last + 1), here->at + 1);
    while (!atomic_compare_exchange_weak(&nodes->last_stamp, &last, ret->at));
    _Static_assert(sizeof nodes->identity.uuid == STAMP_NODE_LEN, "a stamp has a node");
    memcpy(ret->node, &nodes->identity.uuid, STAMP_NODE_LEN);
}

// What comes without a stamp is older than all that has one, and than what is here.
static bool
is_news(const struct stamp *stamp, const struct stamp *here, bool is_here)
{
    return stamp->at > 0 ? stamp_is_later(stamp, here) : !is_here;
}

bool
stamps_begin(struct cluster *cluster, struct shard *shard, const struct pub *pub,
             struct stamp *stamp)
{
    struct nodes *nodes = nodes_of(cluster);
    uint64_t hash = hash_of(nodes, pub->topic);
    struct stripe *stripe = stripe_of(nodes, hash);
    struct stamp here = {0};
    pthread_mutex_lock(&stripe->mutex);
    const struct msg *msg = retained_get(shard->broker->retained, pub->topic);
    const struct cleared *cleared = *find(stripe, hash, pub->topic);
    if (msg)
        here = msg_stamp(msg);
    if (cleared && stamp_is_later(&cleared->stamp, &here))
        here = cleared->stamp;
    if (!pub->from_node) {
        give(nodes, shard, &here, stamp);
        return true;
    }
    if (is_news(stamp, &here, msg || cleared)) {
        raise_last(nodes, stamp->at);
        return true;
    }
    pthread_mutex_unlock(&stripe->mutex);
    return false;
}

static void
forget_oldest(struct nodes *nodes, struct shard *shard, struct stripe *stripe)
{
    must(stripe->count > 0 && !list_empty(&stripe->oldest));
    struct cleared *oldest = container_of(stripe->oldest.next, struct cleared, node);
    struct slice topic = slice_of(oldest->topic, oldest->len);
    uint64_t due_ms = atomic_load(&nodes->cleared_said_ms);
    journal_retain_clear(shard->journal, topic, retained_take_order(shard->broker->retained));
    drop(nodes, stripe, find(stripe, oldest->hash, topic));
    atomic_fetch_add_explicit(&nodes->cleared_forgotten, 1, memory_order_relaxed);
    if (shard->now_ms >= due_ms &&
        atomic_compare_exchange_strong(&nodes->cleared_said_ms, &due_ms, shard->now_ms + SAY_MS))
        log_line(
            shard->log, LOG_T_WARNING,
            "Warning: too many retained messages were cleared while a node is away: it may bring "
            "the oldest back.");
}

void
stamps_end(struct cluster *cluster, struct shard *shard, const struct pub *pub,
           const struct stamp *stamp, bool stored)
{
    struct nodes *nodes = nodes_of(cluster);
    uint64_t hash = hash_of(nodes, pub->topic);
    struct stripe *stripe = stripe_of(nodes, hash); // locked by stamps_begin
    must(pub->from_node || stamp->at > 0);
    struct cleared **at = find(stripe, hash, pub->topic);
    if (stored && pub->payload.len == 0 && stamp->at > 0) {
        journal_retain_cleared(shard->journal, pub->topic, stamp,
                               retained_take_order(shard->broker->retained));
        add(nodes, stripe, hash, pub->topic, stamp, shard->now_ms);
        while (stripe->count > nodes->cleared_max ||
               stripe->bytes > CLEARED_BYTES_MAX / CLEARED_STRIPES)
            forget_oldest(nodes, shard, stripe);
    } else if (stored && *at) {
        drop(nodes, stripe, at);
    }
    pthread_mutex_unlock(&stripe->mutex);
}

// ---- Forgetting ---------------------------------------------------------------------------------

// Of the links of this shard: what has no thread of its own to say so.
static void
look_at(struct nodes *nodes, struct shard *shard, struct link *link)
{
    char id[sizeof NODE_FROM + NODE_ID_LEN];
    if (shard->now_ms < link->looked_ms)
        return;
    link->looked_ms = shard->now_ms + SWEEP_MS;
    (void)snprintf(id, sizeof id, NODE_TO "%s", link->id);
    struct slice to = slice_str(id);
    bool known = registry_find(shard->registry, to, registry_hash(shard->registry, to)) != NULL;
    atomic_store_explicit(&link->known_yet, known, memory_order_relaxed);
    if (!known && link->sessions.count > 0) { // it has not come for a day
        pthread_mutex_lock(&nodes->mutex);
        remember_no_longer(nodes, link);
        pthread_mutex_unlock(&nodes->mutex);
    }
    (void)snprintf(id, sizeof id, NODE_FROM "%s", link->id);
    struct slice from = slice_str(id);
    const struct session *session =
        registry_find(shard->registry, from, registry_hash(shard->registry, from));
    if (!session || !session->client)
        atomic_store_explicit(&link->whole, false, memory_order_relaxed);
}

// All nodes that are known are linked, both ways, and have told what they retain; and none that was
// forgotten may come back with more.
static bool
all_agree(const struct nodes *nodes)
{
    if (forget_has_some(nodes))
        return false;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (atomic_load_explicit(&link->known_yet, memory_order_relaxed) &&
            !(atomic_load(&link->up) && atomic_load(&link->whole)))
            return false;
    }
    return true;
}

static void
sweep(struct nodes *nodes, struct shard *shard, struct stripe *stripe, bool agree)
{
    pthread_mutex_lock(&stripe->mutex);
    for (uint32_t i = 0; i < SWEEP_STEPS && !list_empty(&stripe->oldest); i++) {
        struct cleared *oldest = container_of(stripe->oldest.next, struct cleared, node);
        uint64_t age_ms = shard->now_ms - min_u64(shard->now_ms, oldest->made_ms);
        if (age_ms < CLEARED_MS || (!agree && age_ms < NODE_EXPIRY_S * UINT64_C(1000)))
            break;
        struct slice topic = slice_of(oldest->topic, oldest->len);
        journal_retain_clear(shard->journal, topic, retained_take_order(shard->broker->retained));
        drop(nodes, stripe, find(stripe, oldest->hash, topic));
    }
    pthread_mutex_unlock(&stripe->mutex);
}

void
stamps_tick(struct nodes *nodes, struct shard *shard)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (nodes->links[i]->shard == shard->index)
            look_at(nodes, shard, nodes->links[i]);
    uint64_t due_ms = atomic_load_explicit(&nodes->cleared_sweep_ms, memory_order_relaxed);
    if (likely(shard->now_ms < due_ms) ||
        !atomic_compare_exchange_strong(&nodes->cleared_sweep_ms, &due_ms,
                                        shard->now_ms + SWEEP_MS) ||
        atomic_load_explicit(&nodes->cleared_count, memory_order_relaxed) == 0)
        return;
    bool agree = all_agree(nodes);
    must(nodes->cleared_max > 0);
    for (uint32_t i = 0; i < CLEARED_STRIPES; i++)
        sweep(nodes, shard, &nodes->stripes[i], agree);
}
