// session_ask.h - what an operator asks about a session (explain.c): nothing is changed or counted.
//
// Job:    the same questions that are asked when a message comes, answered where they are then.
// Owner:  none. Thread: the shard's worker. Memory: none. Limits: none.
#ifndef TERN_CORE_SESSION_ASK_H
#define TERN_CORE_SESSION_ASK_H

#include "core/msg.h"
#include "core/trie.h"

struct session;
struct session_sub;

// What would become of such a message for it, at this QoS: "sent", "queued" or, where it is dropped
// or refused, why: "away", "queue_full", "slow_consumer", "rate", "memory". (session_deliver.c)
const char *session_fate(const struct session *session, const struct pub *pub, uint8_t qos);
// Its subscription to this filter or share group, which the shard holds; NULL: there is none.
// Borrowed until it subscribes or unsubscribes. (session_subs.c)
const struct session_sub *session_find_sub(const struct session *session,
                                           struct trie_handle handle);

#endif
