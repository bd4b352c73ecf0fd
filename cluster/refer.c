// refer.c - which other node a client is sent to, when it cannot stay, or not come, here.
#include "cluster/nodes_parts.h"
#include "core/advertised.h"

// While we stop, a worker may have ended its links before another one tells its clients: then who
// was linked in this life is.
static bool
is_linked(const struct nodes *nodes, const char *id)
{
    bool stopping = atomic_load_explicit(&nodes->stopping, memory_order_relaxed);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = atomic_load_explicit(&nodes->links[i], memory_order_acquire);
        if (strcmp(link->id, id) == 0)
            return atomic_load(&link->up) || (stopping && atomic_load(&link->copied));
    }
    return false;
}

// The first node that takes clients of that listener, from this place in the roster on, around its
// end. 0, which is ourselves: there is none.
static uint32_t
find(const struct nodes *nodes, uint32_t listener, uint32_t from)
{
    char ignored[NODE_REFERENCE_MAX + 1];
    uint32_t others = nodes->roster_count - 1;
    for (uint32_t i = 0; i < others; i++) {
        uint32_t place = 1 + (from + i) % others;
        const struct cluster_node *node = &nodes->roster[place];
        struct slice advertised = slice_of(node->advertised, node->advertised_len);
        if (!node->draining && strcmp(node->state, "alive") == 0 &&
            advertised_find(advertised, listener, ignored) && is_linked(nodes, node->id))
            return place;
    }
    return 0;
}

static uint64_t
load_of(const struct cluster_node *node)
{
    return node->load.clients + node->referred;
}

// Two at random rather than the least loaded of all: loads are seconds old, and several nodes that
// drain would all choose that one.
bool
refer_client(struct cluster *cluster, uint32_t listener, uint64_t random,
             char ret_reference[NODE_REFERENCE_MAX + 1])
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t first = (uint32_t)(random >> 32), second = (uint32_t)random;
    pthread_mutex_lock(&nodes->roster_mutex);
    uint32_t place = nodes->roster_count > 1 ? find(nodes, listener, first) : 0;
    if (place > 0) {
        // Whoever comes behind the first one: it itself only where it is alone.
        uint32_t rest = max_u32(nodes->roster_count - 2, 1);
        uint32_t other = find(nodes, listener, place + second % rest);
        must(other < nodes->roster_count);
        if (other > 0 && load_of(&nodes->roster[other]) < load_of(&nodes->roster[place]))
            place = other;
        struct cluster_node *node = &nodes->roster[place];
        node->referred++;
        bool found = advertised_find(slice_of(node->advertised, node->advertised_len), listener,
                                     ret_reference);
        must(found);
    }
    pthread_mutex_unlock(&nodes->roster_mutex);
    return place > 0;
}
