// session_routes.h - what another node wants, beside share groups: its session's routes.
//
// Job:    its filters as fingerprints in the trie (trie_remote.h), in place of subscriptions: one
//         subscription, to the session's own identifier, which nobody publishes to, stands for all
//         of them. In the journal, and so on the disk, each is a subscription as any other.
// Owner:  the session. Thread: the shard's worker. Memory: trie_remote.h's.
// Limits: trie_remote.h's. What is beyond them is a subscription, and these functions say false.
#ifndef TERN_CORE_SESSION_ROUTES_H
#define TERN_CORE_SESSION_ROUTES_H

#include "core/cluster.h"
#include "core/session.h"

// ---- The sum by which nodes compare what they have: the same in all of them ---------------------

// A key is a share group's name or nothing, a NUL, the filter.
uint64_t route_hash(struct slice key);
// What one with that hash and weight adds to the sum.
uint64_t route_share(uint64_t hash, uint32_t weight);
// Of a route in a session so many bits of this are there to be looked at.
#define ROUTE_SUM_BITS 31u
#define ROUTE_SUM_MASK ((UINT64_C(1) << ROUTE_SUM_BITS) - 1)

// ---- One ----------------------------------------------------------------------------------------

// May it be a route of this session?
static inline bool
session_routes_to(const struct session *session, struct slice filter, struct slice group)
{
    return unlikely(session->node) && group.len == 0 && !slice_begins(filter, NODE_ROOT);
}

// For filters of which the above is true.
bool session_has_route(const struct session *session, struct slice filter);
// It is not there yet, as a subscription neither. ordinal: its name in the journal, which has it;
// 0: it gets one, and is journaled.
bool session_add_route(struct session *session, struct slice filter, uint32_t ordinal);
bool session_remove_route(struct session *session, struct slice filter);

// ---- All ----------------------------------------------------------------------------------------

uint32_t session_route_count(const struct session *session);
// A whole set is being told: none has been told of; this one has, for the first time or not; those
// that have not are removed.
void session_unmark_routes(struct session *session);
bool session_mark_route(struct session *session, struct slice filter, bool *ret_first);
void session_remove_unmarked(struct session *session);
// Adds those of a part of the table to the sum and the count. False: there is no such part, *part
// begins as 0 and moves on.
bool session_sum_routes(const struct session *session, uint32_t *part, uint64_t *sum,
                        uint32_t *count);
// The session ends, or all of them do; nothing is journaled.
void session_end_routes(struct session *session);

#endif
