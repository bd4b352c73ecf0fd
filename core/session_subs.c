// session_subs.c - a session's subscriptions and their places in the shard's vectors.
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/record.h"
#include "core/session.h"
#include "core/session_ask.h"
#include "core/session_move.h"
#include "core/session_routes.h"
#include "core/session_walks.h"
#include "core/shard.h"

#define INDEX_FROM 16u // below this a scan of the hashes is as fast

// ---- The index: open addressing over subs, by hash of the whole filter --------------------------

static uint32_t
filter_hash(const struct session *session, struct slice filter, struct slice group)
{
    const struct hash_key *key = &session->shard->broker->key;
    uint64_t h = hash_bytes(key, filter.data, filter.len);
    if (group.len)
        h = hash_u64(key, h ^ hash_bytes(key, group.data, group.len));
    return (uint32_t)h & 0x7fffffffu;
}

static void
index_put(struct session *session, uint32_t i)
{
    uint32_t mask = session->sub_index_cap - 1;
    uint32_t slot = session->subs[i].hash & mask;
    while (session->sub_index[slot] != 0)
        slot = (slot + 1) & mask;
    session->sub_index[slot] = i + 1;
}

static void
index_rebuild(struct session *session)
{
    uint32_t cap = session->sub_index_cap ? session->sub_index_cap : INDEX_FROM * 4;
    while (cap < session->sub_count * 2 + 2)
        cap *= 2;
    mem_free(session->sub_index);
    session->sub_index = mem_zalloc(cap * sizeof *session->sub_index);
    session->sub_index_cap = cap;
    for (uint32_t i = 0; i < session->sub_count; i++)
        index_put(session, i);
}

// The slot of the index that holds entry i.
static uint32_t
index_slot(const struct session *session, uint32_t i)
{
    uint32_t mask = session->sub_index_cap - 1;
    uint32_t slot = session->subs[i].hash & mask;
    while (session->sub_index[slot] != i + 1) {
        must_hot(session->sub_index[slot] != 0);
        slot = (slot + 1) & mask;
    }
    return slot;
}

static void
index_drop(struct session *session, uint32_t i)
{
    uint32_t mask = session->sub_index_cap - 1;
    uint32_t hole = index_slot(session, i);
    for (uint32_t slot = (hole + 1) & mask; session->sub_index[slot] != 0;
         slot = (slot + 1) & mask) {
        uint32_t want = session->subs[session->sub_index[slot] - 1].hash & mask;
        if (((slot - want) & mask) < ((slot - hole) & mask))
            continue;
        session->sub_index[hole] = session->sub_index[slot];
        hole = slot;
    }
    session->sub_index[hole] = 0;
}

static bool
sub_is(const struct session *session, uint32_t i, struct slice filter, struct slice group)
{
    struct slice has_group;
    struct slice has =
        trie_filter(session->shard->broker->trie, session->subs[i].handle, &has_group);
    return slice_equal(has, filter) && slice_equal(has_group, group);
}

// Index in subs, or sub_count.
static uint32_t
sub_find(const struct session *session, struct slice filter, struct slice group, uint32_t hash)
{
    if (session->sub_index) {
        uint32_t mask = session->sub_index_cap - 1;
        for (uint32_t slot = hash & mask; session->sub_index[slot]; slot = (slot + 1) & mask) {
            uint32_t i = session->sub_index[slot] - 1;
            if (session->subs[i].hash == hash && sub_is(session, i, filter, group))
                return i;
        }
        return session->sub_count;
    }
    for (uint32_t i = 0; i < session->sub_count; i++)
        if (session->subs[i].hash == hash && sub_is(session, i, filter, group))
            return i;
    return session->sub_count;
}

const struct session_sub *
session_find_sub(const struct session *session, struct trie_handle handle)
{
    struct slice group, filter = trie_filter(session->shard->broker->trie, handle, &group);
    uint32_t i = sub_find(session, filter, group, filter_hash(session, filter, group));
    return i < session->sub_count ? &session->subs[i] : NULL;
}

// ---- Adding -------------------------------------------------------------------------------------

static void
count_subs(struct session *session, bool shared, bool added)
{
    struct stats *stats = &session->shard->stats;
    _Atomic uint64_t *gauge = shared ? &stats->shared_subscriptions : &stats->subscriptions;
    if (added)
        stat_add(gauge, 1);
    else
        stat_sub(gauge, 1);
    if (shared)
        session->shared_count += added ? 1 : (uint32_t)-1;
}

static void
tell_weight(struct shard *shard, struct trie_handle handle)
{
    const struct sub_vector *vector = subs_find(shard->subs, handle);
    struct sub_sums sums = {0};
    if (vector)
        sums = subs_sums(vector);
    if (unlikely(shard->broker->cluster != NULL))
        trie_share_nodes(shard->broker->trie, handle, shard->index, sums.nodes_connected,
                         sums.nodes);
    trie_share_weight(shard->broker->trie, handle, shard->index, sums.connected, sums.members);
}

static struct sub
sub_make(struct session *session, const struct filter_view *filter, uint32_t id, uint32_t back)
{
    return (struct sub){
        .session = session,
        .subscription_id = id,
        .back = back & 0xffffffu,
        .options = {.qos = filter->qos & 3u,
                    .no_local = filter->no_local,
                    .retain_as_published = filter->retain_as_published,
                    .partly = session_reads_partly(session, filter->filter),
                    .node = session->node,
                    .moves = session->leaves || session->arrives},
    };
}

static void
replace(struct session *session, uint32_t i, const struct filter_view *filter, uint32_t id)
{
    struct sub_vector *vector = subs_find(session->shard->subs, session->subs[i].handle);
    must(vector);
    struct sub sub = sub_make(session, filter, id, i);
    subs_replace(vector, session->subs[i].place, &sub);
    if (unlikely(session->node) && session->subs[i].shared)
        tell_weight(session->shard, session->subs[i].handle);
}

void
session_sub_record(const struct session *session, uint32_t i, struct record *ret)
{
    const struct shard *shard = session->shard;
    const struct session_sub *mine = &session->subs[i];
    const struct sub *sub = &subs_items(subs_find(shard->subs, mine->handle))[mine->place];
    ret->filter = trie_filter(shard->broker->trie, mine->handle, &ret->group);
    ret->ordinal = mine->ordinal;
    ret->qos = sub->options.qos;
    ret->no_local = sub->options.no_local;
    ret->retain_as_published = sub->options.retain_as_published;
    ret->subscription_id = sub->subscription_id;
}

uint32_t
session_subscription(const struct session *session, struct slice filter, struct slice group,
                     bool *ret_found)
{
    if (session_routes_to(session, filter, group) && session_has_route(session, filter)) {
        *ret_found = true;
        return 0;
    }
    uint32_t i = sub_find(session, filter, group, filter_hash(session, filter, group));
    *ret_found = i < session->sub_count;
    if (!*ret_found)
        return 0;
    const struct session_sub *mine = &session->subs[i];
    return subs_items(subs_find(session->shard->subs, mine->handle))[mine->place].subscription_id;
}

struct trie_handle
session_share_handle(const struct session *session, uint32_t ordinal)
{
    for (uint32_t i = 0; ordinal != 0 && i < session->sub_count; i++)
        if (session->subs[i].ordinal == ordinal && session->subs[i].shared)
            return session->subs[i].handle;
    return (struct trie_handle){0};
}

static void
journal_sub(struct session *session, uint32_t i)
{
    if (session->durable)
        journal_subscribe(session->shard->journal, session, i);
}

// Other nodes must know.
static void
tell_cluster(const struct session *session, struct slice filter, struct slice group, bool added)
{
    struct cluster *cluster = session->shard->broker->cluster;
    bool told = group.len > 0 && session->left_groups;
    if (unlikely(cluster != NULL) && !session->node && !told)
        cluster->ops->subscribed(cluster, filter, group, added);
}

// Somebody who publishes must know whether this shard has to answer for it.
static void
count_durable(struct session *session, struct trie_handle handle, bool added)
{
    if (!session->durable)
        return;
    struct shard *shard = session->shard;
    struct sub_vector *vector = subs_find(shard->subs, handle);
    must(vector);
    if (subs_count_durable(vector, added) == (added ? 1 : 0))
        trie_durable(shard->broker->trie, handle, shard->index, added);
}

#define SUBS_PER_SESSION_MAX 0xffffffu // struct sub.back has 24 bits

// A new entry at the end of subs.
static err_t
add(struct session *session, const struct filter_view *filter, struct slice group, uint32_t id,
    uint32_t hash)
{
    struct shard *shard = session->shard;
    uint32_t i = session->sub_count;
    struct trie_handle handle;
    err_t err =
        trie_add(shard->broker->trie, shard->rcu, filter->filter, group, shard->index, &handle);
    if (err)
        return err;
    session->subs =
        mem_grow(session->subs, &session->sub_cap, session->sub_count + 1, sizeof *session->subs);
    struct sub sub = sub_make(session, filter, id, i);
    session->subs[i] = (struct session_sub){.handle = handle,
                                            .hash = hash & 0x7fffffffu,
                                            .shared = group.len > 0,
                                            .ordinal = ++session->next_ordinal};
    session->sub_count++;
    session->subs[i].place = subs_add(shard->subs, handle, &sub);
    if (session->sub_index && session->sub_count * 2 < session->sub_index_cap)
        index_put(session, i);
    else if (session->sub_count >= INDEX_FROM)
        index_rebuild(session);
    count_subs(session, group.len > 0, true);
    count_durable(session, handle, true);
    tell_cluster(session, filter->filter, group, true);
    if (group.len) {
        subs_set_connected(subs_find(shard->subs, handle), session->subs[i].place,
                           session->client != NULL);
        tell_weight(shard, handle);
    }
    return OK;
}

// A node's; what it cannot have as a route it has as a subscription. The handle is none: there is
// nothing that is retained to be sent for it.
static bool
take_route(struct session *session, struct slice filter, uint32_t ordinal, bool *ret_existed)
{
    *ret_existed = session_has_route(session, filter);
    return *ret_existed || session_add_route(session, filter, ordinal);
}

err_t
session_subscribe(struct session *session, const struct filter_view *filter, struct slice group,
                  uint32_t subscription_id, struct trie_handle *ret_handle, bool *ret_existed)
{
    struct shard *shard = session->shard;
    uint32_t hash = filter_hash(session, filter->filter, group);
    uint32_t i = sub_find(session, filter->filter, group, hash);
    *ret_existed = i < session->sub_count;
    if (*ret_existed) {
        // Replaced in place: no message is lost or doubled meanwhile [MQTT-3.8.4-3] [MQTT-3.8.4-4].
        replace(session, i, filter, subscription_id);
        journal_sub(session, i);
        *ret_handle = session->subs[i].handle;
        return OK;
    }
    *ret_handle = (struct trie_handle){0};
    if (session_routes_to(session, filter->filter, group) &&
        take_route(session, filter->filter, 0, ret_existed))
        return OK;
    uint32_t limit = shard->config->subscriptions_max;
    if (session->sub_count >= (limit && !session->node ? limit : SUBS_PER_SESSION_MAX))
        return ERR_FULL;
    struct cluster *cluster = shard->broker->cluster;
    if (unlikely(cluster != NULL) && !session->node &&
        !cluster->ops->has_room(cluster, filter->filter, group))
        return ERR_FULL;
    err_t err = add(session, filter, group, subscription_id, hash);
    if (err)
        return err;
    journal_sub(session, i);
    *ret_handle = session->subs[i].handle;
    return OK;
}

void
session_subscribe_again(struct session *session, const struct filter_view *filter,
                        struct slice group, uint32_t subscription_id, uint32_t ordinal)
{
    uint32_t hash = filter_hash(session, filter->filter, group), next = session->next_ordinal;
    if (sub_find(session, filter->filter, group, hash) < session->sub_count)
        return; // it is there: stored twice is subscribed once
    bool existed;
    if (session_routes_to(session, filter->filter, group) &&
        take_route(session, filter->filter, ordinal, &existed))
        return;
    session->next_ordinal = ordinal - 1;
    if (add(session, filter, group, subscription_id, hash) != OK)
        stat_add(&session_counts(session)->dropped_session_end, 1); // no slot left in the trie
    session->next_ordinal = max_u32(next, ordinal);
}

// ---- Removing -----------------------------------------------------------------------------------

static void
sub_remove(struct session *session, uint32_t i)
{
    struct shard *shard = session->shard;
    struct session_sub gone = session->subs[i];
    if (session->sub_index)
        index_drop(session, i);
    count_durable(session, gone.handle, false);
    struct slice group, filter = trie_filter(shard->broker->trie, gone.handle, &group);
    tell_cluster(session, filter, group, false);
    bool last = subs_remove(shard->subs, gone.handle, gone.place);
    uint32_t end = session->sub_count - 1;
    if (i != end) {
        if (session->sub_index)
            session->sub_index[index_slot(session, end)] = i + 1;
        session->subs[i] = session->subs[end];
        struct sub_vector *vector = subs_find(shard->subs, session->subs[i].handle);
        subs_items(vector)[session->subs[i].place].back = i & 0xffffffu;
    }
    session->sub_count--;
    count_subs(session, gone.shared, false);
    if (gone.shared)
        tell_weight(shard, gone.handle);
    if (last)
        trie_remove(shard->broker->trie, shard->rcu, gone.handle, shard->index);
}

bool
session_unsubscribe(struct session *session, struct slice filter, struct slice group)
{
    uint32_t hash = filter_hash(session, filter, group);
    uint32_t i = sub_find(session, filter, group, hash);
    if (i == session->sub_count)
        return session_routes_to(session, filter, group) && session_remove_route(session, filter);
    session_walks_stop(session, session->subs[i].handle);
    if (session->durable)
        journal_unsubscribe(session->shard->journal, session, session->subs[i].ordinal);
    sub_remove(session, i);
    return true;
}

void
session_unsubscribe_all(struct session *session)
{
    session_end_routes(session);
    // Without the index: every removal is of the last entry.
    mem_free(session->sub_index);
    session->sub_index = NULL;
    session->sub_index_cap = 0;
    while (session->sub_count > 0)
        sub_remove(session, session->sub_count - 1);
    mem_free(session->subs);
    session->subs = NULL;
    session->sub_cap = 0;
}

void
session_sub_moved(struct session *session, uint32_t back, uint32_t place)
{
    must_hot(back < session->sub_count);
    session->subs[back].place = place;
}

void
session_shares_connected(struct session *session, bool connected)
{
    for (uint32_t i = 0; session->shared_count > 0 && i < session->sub_count; i++) {
        const struct session_sub *sub = &session->subs[i];
        if (!sub->shared)
            continue;
        struct sub_vector *vector = subs_find(session->shard->subs, sub->handle);
        must(vector);
        subs_set_connected(vector, sub->place, connected);
        tell_weight(session->shard, sub->handle);
    }
}

// ---- On the way to another node -----------------------------------------------------------------

void
session_leave(struct session *session)
{
    must(!session->client && !session->node && !session->hidden);
    session->leaves = true;
    for (uint32_t i = 0; i < session->sub_count; i++) {
        struct sub_vector *vector = subs_find(session->shard->subs, session->subs[i].handle);
        must(vector);
        subs_items(vector)[session->subs[i].place].options.moves = 1;
    }
}

void
session_leave_groups(struct session *session)
{
    must(session->leaves);
    if (session->left_groups)
        return;
    for (uint32_t i = 0; session->shared_count > 0 && i < session->sub_count; i++) {
        struct slice group, filter;
        if (!session->subs[i].shared)
            continue;
        filter = trie_filter(session->shard->broker->trie, session->subs[i].handle, &group);
        tell_cluster(session, filter, group, false);
    }
    session->left_groups = true;
}
