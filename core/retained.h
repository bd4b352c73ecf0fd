// retained.h - the shared store of retained messages.
//
// Job:    the last retained message of each Topic Name; exact look-up and walks by Topic Filter.
// Owner:  the broker.
// Thread: any thread that is online in RCU. Readers and walks take no lock; writers take a mutex,
//         but for replacing a message that does not expire by another one.
// Memory: a reference to the msg, and a trie of topic levels. Emptied branches are pruned: a topic
//         set and cleared leaves nothing behind, but for the few nodes that walks stand on.
// Limits: count and bytes, given at set; TOPIC_LEVELS_MAX levels.
#ifndef TERN_CORE_RETAINED_H
#define TERN_CORE_RETAINED_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/rcu.h"

#include "core/msg.h"

struct retained;

struct retained *retained_new(const struct hash_key *key); // returns new
void retained_free(struct retained *store);                // takes; releases all messages

struct retained_limits {
    uint64_t count_max, bytes_max; // 0 = unlimited
};
// Replaces the topic's message by msg (takes a reference of its own) and sets msg->order: of all
// changes of a topic, those that came later have a higher order, on whatever thread. msg is not in
// the store already. ERR_FULL: a limit is reached
// and nothing changed (replacing within the limits works). A happens-before: once this returned,
// any walk that starts afterwards on any thread sees it.
NODISCARD err_t retained_set(struct retained *store, struct rcu_reader *self, struct msg *msg,
                             const struct retained_limits *limits);
// Removes the topic's message. False when there was none. *ret_order: as above.
bool retained_clear(struct retained *store, struct rcu_reader *self, struct slice topic,
                    uint64_t *ret_order);
// Of a change that is not one of the store, among those that are.
uint64_t retained_take_order(struct retained *store);
// The order of the next change; for main, before there are workers.
void retained_set_next_order(struct retained *store, uint64_t order);
// The topic's message or NULL. Borrowed until the caller's next rcu_quiescent; msg_ref to keep it
// (valid because the store's own reference is dropped only after a grace period).
struct msg *retained_get(struct retained *store, struct slice topic);

// All messages whose topic matches the filter, in steps, so that a '#' over a million topics does
// not stop a worker. A walk may be held across quiescent states; it keeps what it stands on alive.
// Messages set or cleared during the walk may or may not be seen; all that were there throughout
// are seen exactly once.
struct retained_walk;
struct retained_walk *retained_walk_new(struct retained *store, struct slice filter); // returns new
// The next message with a reference for the caller, or NULL: *ret_done tells the end from "visited
// steps_max nodes without a hit, call again".
struct msg *retained_walk_next(struct retained_walk *walk, uint32_t steps_max, bool *ret_done);
void retained_walk_free(struct retained_walk *walk, struct rcu_reader *self); // NULL is fine

struct retained_stats {
    uint64_t count, bytes, nodes; // bytes: of the messages
};
void retained_stats(const struct retained *store, struct retained_stats *ret);
// Removes messages whose expiry has passed, visiting at most steps_max topics from where it
// stopped. Returns how many were removed; gone (may be NULL) is told of each, under the store's
// mutex.
uint32_t retained_sweep(struct retained *store, struct rcu_reader *self, uint64_t now_ms,
                        uint32_t steps_max,
                        void (*gone)(void *arg, struct slice topic, uint64_t order), void *arg);

#endif
