// session_routes.c - what another node wants, beside share groups: its session's routes.
#include "core/session_routes.h"

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/journal.h"
#include "core/shard.h"
#include "core/trie_remote.h"

_Static_assert(ROUTE_SUM_BITS == PRINT_CHECK_BITS, "the check of a fingerprint is its share");

// ---- The sum ------------------------------------------------------------------------------------

static const struct hash_key shared_key = {UINT64_C(0x7465726e6d71), 1};

uint64_t
route_hash(struct slice key)
{
    return hash_bytes(&shared_key, key.data, key.len);
}

uint64_t
route_share(uint64_t hash, uint32_t weight)
{
    return hash_u64(&shared_key, hash ^ (uint64_t)weight << 32);
}

// ---- One ----------------------------------------------------------------------------------------

// No secret is in the check, and none has to be: the fingerprint is by the broker's own key.
static struct remote_filter
remote_filter(const struct session *session, struct slice filter)
{
    uint8_t *key = mem_alloc(1 + (size_t)filter.len);
    must(session->remote > 0 && filter.len > 0);
    key[0] = 0;
    memcpy(key + 1, filter.data, filter.len);
    uint64_t share = route_share(route_hash(slice_of(key, 1 + (size_t)filter.len)), 1);
    mem_free(key);
    return (struct remote_filter){
        .remote = session->remote - 1u,
        .text = filter,
        .check = (uint32_t)(share & ROUTE_SUM_MASK),
    };
}

static struct trie *
trie_of(const struct session *session)
{
    return session->shard->broker->trie;
}

bool
session_has_route(const struct session *session, struct slice filter)
{
    must(session_routes_to(session, filter, (struct slice){0}));
    if (session->remote == 0)
        return false;
    struct remote_filter route = remote_filter(session, filter);
    return trie_remote_find(trie_of(session), &route);
}

// The subscription that stands for all. It is made anew after a restart, and so not journaled.
static bool
open_routes(struct session *session)
{
    struct filter_view view = {
        .filter = session_id(session), .qos = 2, .retain_as_published = true};
    uint32_t i = session->sub_count;
    unsigned remote;
    must(session->durable && slice_begins(view.filter, NODE_TO));
    session_subscribe_again(session, &view, (struct slice){0}, 0, session->next_ordinal + 1);
    if (session->sub_count == i) // the trie is full
        return false;
    if (trie_remote_open(trie_of(session), session->subs[i].handle, &remote) != OK) {
        (void)session_unsubscribe(session, view.filter, (struct slice){0});
        return false;
    }
    session->remote = (uint8_t)(remote + 1);
    return true;
}

bool
session_add_route(struct session *session, struct slice filter, uint32_t ordinal)
{
    must(session_routes_to(session, filter, (struct slice){0}));
    if (session->remote == 0 && !open_routes(session))
        return false;
    struct remote_filter route = remote_filter(session, filter);
    uint32_t number = ordinal ? ordinal : session->next_ordinal + 1;
    if (trie_remote_add(trie_of(session), session->shard->rcu, &route, number) != OK)
        return false;
    session->next_ordinal = max_u32(session->next_ordinal, number);
    if (ordinal == 0)
        journal_route(session->shard->journal, session, filter, number);
    return true;
}

bool
session_remove_route(struct session *session, struct slice filter)
{
    uint32_t number;
    if (session->remote == 0)
        return false;
    struct remote_filter route = remote_filter(session, filter);
    if (!trie_remote_remove(trie_of(session), session->shard->rcu, &route, &number))
        return false;
    journal_unsubscribe(session->shard->journal, session, number);
    return true;
}

// ---- All ----------------------------------------------------------------------------------------

uint32_t
session_route_count(const struct session *session)
{
    return session->remote > 0 ? trie_remote_count(trie_of(session), session->remote - 1u) : 0;
}

void
session_unmark_routes(struct session *session)
{
    if (session->remote > 0)
        trie_remote_unmark(trie_of(session), session->remote - 1u);
}

bool
session_mark_route(struct session *session, struct slice filter, bool *ret_first)
{
    must(session_routes_to(session, filter, (struct slice){0}));
    if (session->remote == 0)
        return false;
    struct remote_filter route = remote_filter(session, filter);
    return trie_remote_mark(trie_of(session), &route, ret_first);
}

static void
take_out(struct session *session, bool all)
{
    struct prints_place place = {0};
    uint32_t numbers[REMOTE_TAKEN_MAX], n;
    while ((n = trie_remote_take(trie_of(session), session->shard->rcu, session->remote - 1u, all,
                                 &place, numbers)) > 0)
        for (uint32_t i = 0; !all && i < n; i++)
            journal_unsubscribe(session->shard->journal, session, numbers[i]);
}

void
session_remove_unmarked(struct session *session)
{
    if (session->remote > 0)
        take_out(session, false);
}

bool
session_sum_routes(const struct session *session, uint32_t *part, uint64_t *sum, uint32_t *count)
{
    if (session->remote == 0 || *part >= PRINTS_PARTS)
        return false;
    uint32_t checks = 0;
    uint64_t more = 0;
    trie_remote_sum(trie_of(session), session->remote - 1u, *part, &checks, &more);
    *sum += checks; // its lower bits are right
    *count += (uint32_t)more;
    *part += 1;
    return true;
}

void
session_end_routes(struct session *session)
{
    if (session->remote == 0)
        return;
    take_out(session, true);
    trie_remote_close(trie_of(session), session->remote - 1u);
    session->remote = 0;
}
