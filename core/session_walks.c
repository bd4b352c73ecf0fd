// session_walks.c - retained messages for new subscriptions, as far as they have not been sent.
#include "core/session_walks.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/shard.h"

void
session_walk_start(struct session *session, struct slice filter, struct trie_handle handle,
                   uint32_t subscription_id, struct sub_options options)
{
    struct session_walk *walk = mem_alloc(sizeof *walk);
    *walk = (struct session_walk){
        .walk = retained_walk_new(session->shard->broker->retained, filter),
        .handle = handle,
        .subscription_id = subscription_id,
        .options = options,
    };
    struct session_walk **end = &session->walks;
    while (*end)
        end = &(*end)->next;
    *end = walk;
    session_continue(session);
}

static void
walk_free(struct session *session, struct session_walk *walk)
{
    retained_walk_free(walk->walk, session->shard->rcu);
    mem_free(walk);
}

void
session_walk_end(struct session *session)
{
    struct session_walk *walk = session->walks;
    must(walk != NULL);
    session->walks = walk->next;
    walk_free(session, walk);
}

void
session_walks_stop(struct session *session, struct trie_handle handle)
{
    struct session_walk **link = &session->walks;
    while (*link) {
        struct session_walk *walk = *link;
        if (handle.generation &&
            (walk->handle.slot != handle.slot || walk->handle.generation != handle.generation)) {
            link = &walk->next;
            continue;
        }
        *link = walk->next;
        walk_free(session, walk);
    }
}
