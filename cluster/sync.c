// sync.c - has this node caught up with the others, once since it started?
//
// Before that it is not ready for clients: it would tell them that nobody subscribes to what they
// publish, and that nothing is retained where something is. A link has caught up when the routes of
// both are in force at the other one, as they were when it came up or later, and what is retained
// was told by both and taken. Who is dead or has left is not waited for; who was there in an
// earlier life and of whom nothing is heard now is, for SYNC_MAX_MS.
#include "cluster/nodes_parts.h"

// That node has taken the last word of what is retained here.
void
sync_taken(struct link *link, struct slice payload, uint8_t all)
{
    must(payload.len > 0);
    if (payload.data[0] == all && !link->walk && !link->telling_cleared)
        atomic_store(&link->told_whole, true);
}

// The link's shard, as sync_taken.
void
sync_linked(const struct nodes *nodes, struct link *link)
{
    atomic_store(&link->told_whole, false);
    atomic_store(&link->known_wanted, atomic_load(&nodes->changes));
}

static bool
has_caught_up(const struct link *link)
{
    return atomic_load(&link->up) && atomic_load(&link->copied) && atomic_load(&link->whole) &&
           atomic_load(&link->told_whole) &&
           atomic_load(&link->known) >= atomic_load(&link->known_wanted);
}

static bool
is_waited_for(const struct link *link)
{
    return !atomic_load(&link->retired) && atomic_load(&link->gone) == LINK_KEPT &&
           !atomic_load(&link->left) && atomic_load(&link->dead_ms) == 0;
}

void
sync_note(struct nodes *nodes, bool linked, uint64_t age_ms)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    bool all = linked && !atomic_load(&nodes->settling);
    if (likely(atomic_load_explicit(&nodes->synced, memory_order_relaxed)))
        return;
    must(count <= CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (!atomic_load(&link->caught_up) && has_caught_up(link))
            atomic_store(&link->caught_up, true); // a break after it changes nothing
        all &= atomic_load(&link->caught_up) || !is_waited_for(link);
    }
    if (all || age_ms >= SYNC_MAX_MS)
        atomic_store(&nodes->synced, true);
}

bool
sync_is_done(struct cluster *cluster)
{
    return atomic_load_explicit(&nodes_of(cluster)->synced, memory_order_relaxed);
}
