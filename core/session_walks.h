// session_walks.h - retained messages for new subscriptions, as far as they have not been sent.
//
// Job:    a session's walks through what is retained, one for each new subscription, in their
//         order. What they find is sent by session_continue, as there is room.
// Owner:  the session. Thread: the shard's worker. Memory: a walk for each subscription under way.
// Limits: the session's subscriptions.
#ifndef TERN_CORE_SESSION_WALKS_H
#define TERN_CORE_SESSION_WALKS_H

#include "core/subs.h"

struct retained_walk;
struct session;

struct session_walk {
    struct session_walk *next;
    struct retained_walk *walk;
    struct trie_handle handle;
    uint32_t subscription_id;
    struct sub_options options;
};

// Begins to send at once. filter is copied.
void session_walk_start(struct session *session, struct slice filter, struct trie_handle handle,
                        uint32_t subscription_id, struct sub_options options);
// The first of them has come to its end.
void session_walk_end(struct session *session);
// Those of this subscription; handle.generation 0: all of them.
void session_walks_stop(struct session *session, struct trie_handle handle);

#endif
