// gone.c - nodes that will not come again: what is left of them here goes.
#include "core/base/clock.h"
#include "core/base/rcu.h"

#include "cluster/about.h"
#include "cluster/forget.h"
#include "cluster/move.h"
#include "core/session.h"
#include "core/shard.h"

void
gone_note(struct nodes *nodes, const struct gossip_view *view)
{
    char id[NODE_ID_LEN + 1];
    bool here = view->state == GOSSIP_ALIVE || view->state == GOSSIP_SUSPECT;
    bool forgotten = view->state == GOSSIP_LEFT && about_is_forgotten(view->meta);
    uuid_text(&view->uuid, id);
    must(strcmp(id, nodes->cluster.id) != 0);
    pthread_mutex_lock(&nodes->mutex);
    struct link *link = nodes_find_link(nodes, id);
    if (link) {
        uint64_t away_ms = atomic_load(&link->away_ms);
        atomic_store(&link->forgotten, forgotten);
        atomic_store(&link->away_ms, here ? 0 : away_ms != 0 ? away_ms : clock_mono_ms());
    }
    pthread_mutex_unlock(&nodes->mutex);
    forget_heard(nodes, view);
}

// Both ways. False: it is here after all.
static bool
end_sessions(const struct shard *shard, const struct link *link)
{
    must(!link->session);
    struct session *to = link_session(shard, link, NODE_TO);
    struct session *from = link_session(shard, link, NODE_FROM);
    if ((to && to->client) || (from && from->client))
        return false;
    if (to)
        session_end(to);
    if (from)
        session_end(from);
    return true;
}

// What is left of a node that gossip has forgotten, or that will never come again, goes; with its
// session here, its link's place is free.
void
gone_retire(struct nodes *nodes, struct shard *shard, struct link *link)
{
    must(link->shard == shard->index);
    if (atomic_load(&link->retired) || link->session)
        return;
    if (atomic_load(&link->gone) == LINK_FOR_GOOD && !end_sessions(shard, link))
        return;
    if (link_session(shard, link, NODE_TO))
        return;
    pthread_mutex_lock(&nodes->roster_mutex);
    link->seen = (struct node_link){0};
    pthread_mutex_unlock(&nodes->roster_mutex);
    wills_drop(nodes, link);
    if (atomic_load(&nodes->move->active) && atomic_load(&link->gone) == LINK_FOR_GOOD)
        move_owner_gone(nodes, shard, link->id);
    pthread_mutex_lock(&nodes->mutex);
    if (atomic_load(&link->gone) != LINK_KEPT) { // still
        remember_no_longer(nodes, link);
        route_set_free(&link->heard);
        link->listening = link->scrub.running = false;
        link->tally = (struct tally){0};
        link->incarnation = link->applied = 0;
        atomic_store(&link->retired, true);
    }
    pthread_mutex_unlock(&nodes->mutex);
}

// Links whose place another one has taken. A worker that found one of them is in a tick, and so
// holds up the grace period; the agent has let go of it before it was retired.
void
gone_free_replaced(struct nodes *nodes, const struct shard *shard)
{
    pthread_mutex_lock(&nodes->mutex);
    struct link *link = nodes->replaced, *next;
    nodes->replaced = NULL;
    pthread_mutex_unlock(&nodes->mutex);
    for (; link; link = next) {
        must(atomic_load(&link->retired) && !link->session);
        next = link->next;
        rcu_defer(shard->rcu, link, nodes_link_free);
    }
}
