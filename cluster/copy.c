// copy.c - what is in force here of another node's routes, and whether that is what it has.
//
// A node tells how many changes it has made, and the hash of all its routes, with each word after
// which it knows nothing more to tell, and now and then besides. Words come in their order, so what
// is here is to have that hash then. It is summed up from what the node's session answers as it is
// changed; now and then all of it is looked at as well, a little each tick. What differs is
// counted, and the node is asked to tell all of its routes anew.
//
// Of a route in the trie's table no more than ROUTE_SUM_BITS of its share are there. The lower bits
// of a sum are the sum of the lower bits: so many are compared, of everything.
//
// A word that comes once more after a break is older than what was applied, and says nothing.
#include <inttypes.h>
#include <stdatomic.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "cluster/nodes_parts.h"
#include "core/session_routes.h"
#include "core/shard.h"
#include "core/trie.h"

#define SCRUB_STEPS 512u   // of one tick
#define SCRUB_PARTS 32u    // the same, of PRINTS_PARTS: 8 ticks for all routes
#define SAY_MS      60000u // between two lines about one thing

static struct nodes *
nodes_at(const struct shard *shard)
{
    return nodes_of(shard->broker->cluster);
}

static bool
is_due(uint64_t *due_ms, const struct shard *shard)
{
    if (shard->now_ms < *due_ms)
        return false;
    *due_ms = shard->now_ms + SAY_MS;
    return true;
}

void
copy_refuse(struct link *link, struct shard *shard)
{
    atomic_fetch_add_explicit(&nodes_at(shard)->routes_refused, 1, memory_order_relaxed);
    if (is_due(&link->said_keys_ms, shard))
        log_line(shard->log, LOG_T_ERROR,
                 "Error: Node %s has more filters and sessions than there is room for: it is not "
                 "listened to.",
                 link->id);
}

// ---- The sum ------------------------------------------------------------------------------------

static void
tally_add(struct tally *tally, struct slice key, uint32_t weight)
{
    must(weight > 0);
    tally->hash += route_set_share(key, weight);
    tally->bytes += key.len;
    tally->count++;
}

static void
tally_remove(struct tally *tally, struct slice key, uint32_t weight)
{
    must(weight > 0);
    tally->hash -= route_set_share(key, weight);
    // Before a whole set has come, nobody knows how much there was.
    tally->bytes -= min_u64(tally->bytes, key.len);
    tally->count -= tally->count > 0;
}

err_t
copy_count(struct link *link, struct shard *shard, struct slice key, uint32_t before,
           uint32_t after)
{
    struct nodes *nodes = nodes_at(shard);
    const struct key_limits *max = &nodes->limits;
    struct tally *tally = &link->tally;
    if (after > 0 && before == 0 &&
        (tally->count >= max->keys + max->slack ||
         tally->bytes + key.len > max->bytes + KEY_BYTES_SLACK)) {
        copy_refuse(link, shard);
        return ERR_QUOTA_EXCEEDED;
    }
    if (before > 0)
        tally_remove(tally, key, before);
    if (after > 0)
        tally_add(tally, key, after);
    if (before != after) // also by a word that comes once more, after which as much is applied
        link->scrub.running = false;
    return OK;
}

// ---- What there is ------------------------------------------------------------------------------

// Of the session's subscription at this place; a node's own are none of its routes.
static void
add_subscription(struct tally *tally, const struct session *session, uint32_t place, uint8_t *room)
{
    const struct trie *trie = session->shard->broker->trie;
    struct slice group, filter = trie_filter(trie, session->subs[place].handle, &group);
    if (slice_begins(filter, NODE_ROOT))
        return;
    must(filter.len + group.len < ROUTE_KEY_MAX);
    if (group.len > 0)
        memcpy(room, group.data, group.len);
    room[group.len] = 0;
    memcpy(room + group.len + 1, filter.data, filter.len);
    bool found;
    uint32_t id = group.len > 0 ? session_subscription(session, filter, group, &found) : 1;
    if (id > 0)
        tally_add(tally, slice_of(room, (size_t)group.len + 1 + filter.len), id);
}

static void
add_session(struct tally *tally, const struct route_entry *entry, uint8_t *room)
{
    if (!entry->key)
        return;
    must(entry->key_len < ROUTE_KEY_MAX);
    room[0] = KEY_SESSION;
    memcpy(room + 1, entry->key, entry->key_len);
    tally_add(tally, slice_of(room, entry->key_len + 1u), 1);
}

// Subscriptions have the places from 0 on, what the node keeps those behind. False: there is
// nothing more but routes.
static bool
look(struct tally *tally, const struct link *link, const struct session *session, uint32_t place,
     uint8_t *room)
{
    if (place < session->sub_count) {
        add_subscription(tally, session, place, room);
        return true;
    }
    place -= session->sub_count;
    if (place >= link->sessions.places)
        return false;
    add_session(tally, &link->sessions.entries[place], room);
    return true;
}

static struct tally
look_at_all(const struct link *link, const struct session *session)
{
    struct tally tally = {.bytes = link->heard_bytes};
    uint8_t *room = mem_alloc(ROUTE_KEY_MAX);
    uint32_t place = 0, part = 0;
    while (look(&tally, link, session, place, room))
        place++;
    mem_free(room);
    while (session_sum_routes(session, &part, &tally.hash, &tally.count))
        ;
    return tally;
}

bool
copy_is(const struct link *link, uint64_t hash)
{
    return ((link->tally.hash ^ hash) & ROUTE_SUM_MASK) == 0;
}

// ---- Comparing ----------------------------------------------------------------------------------

static void
diverged(struct link *link, struct shard *shard)
{
    struct nodes *nodes = nodes_at(shard);
    atomic_fetch_add_explicit(&nodes->divergence, 1, memory_order_relaxed);
    if (is_due(&link->said_copy_ms, shard))
        log_line(shard->log, LOG_T_ERROR,
                 "Error: what is here of the routes of node %s is not what it has: they are taken "
                 "anew.",
                 link->id);
    link->incarnation = 0; // nothing is compared before a whole set has come
    link->scrub.running = false;
    link->ask_again = true;
}

void
copy_complete(struct link *link, const struct session *session, uint64_t incarnation, uint64_t seq,
              uint64_t hash)
{
    struct shard *shard = session->shard;
    must(session->node && link->shard == shard->index);
    link->tally = look_at_all(link, session);
    atomic_store(&link->copied, true);
    if (incarnation == link->incarnation && seq < link->applied)
        return; // it came once more
    link->incarnation = incarnation;
    link->applied = link->said_seq = seq;
    link->said_hash = hash;
    link->scrub.running = false;
    link->ask_again = false;
    if (!copy_is(link, hash))
        diverged(link, shard);
}

void
copy_applied(struct link *link, uint64_t incarnation, uint64_t seq)
{
    if (incarnation == link->incarnation)
        link->applied = max_u64(link->applied, seq);
}

void
copy_compare(struct link *link, struct shard *shard, uint64_t incarnation, uint64_t seq,
             uint64_t hash, bool look)
{
    if (link->incarnation == 0 || incarnation != link->incarnation)
        return;
    if (seq >= link->said_seq) {
        link->said_seq = seq;
        link->said_hash = hash;
    }
    if (seq != link->applied || link->listening)
        return;
    if (!copy_is(link, hash))
        diverged(link, shard);
    else if (look && !link->scrub.running)
        link->scrub = (struct scrub){.running = true, .applied = seq};
}

// ---- Looking, a little each tick ----------------------------------------------------------------

static void
scrub_end(struct link *link, struct shard *shard)
{
    const struct scrub *scrub = &link->scrub;
    link->scrub.running = false;
    if (!copy_is(link, scrub->tally.hash) || scrub->tally.count != link->tally.count)
        diverged(link, shard);
}

static void
scrub(struct link *link, struct shard *shard, const struct session *session)
{
    struct scrub *scrub = &link->scrub;
    if (scrub->applied != link->applied || link->listening) { // changed: another time
        scrub->running = false;
        return;
    }
    uint8_t *room = mem_alloc(ROUTE_KEY_MAX);
    uint32_t end = scrub->place + SCRUB_STEPS;
    while (scrub->place < end && look(&scrub->tally, link, session, scrub->place, room))
        scrub->place++;
    mem_free(room);
    if (scrub->place == end)
        return;
    for (unsigned i = 0; i < SCRUB_PARTS; i++)
        if (!session_sum_routes(session, &scrub->part, &scrub->tally.hash, &scrub->tally.count)) {
            scrub_end(link, shard);
            return;
        }
}

void
copy_tick(struct link *link, struct shard *shard, const struct session *session)
{
    must(link->shard == shard->index);
    if (unlikely(link->scrub.running)) {
        if (session)
            scrub(link, shard, session);
        else
            diverged(link, shard); // it had one, and it is gone
    }
}
