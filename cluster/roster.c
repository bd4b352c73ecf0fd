// roster.c - who is in the cluster, for people who ask: what gossip knows and what the links say.
#include <stdio.h>

#include "cluster/about.h"
#include "cluster/endpoint.h"
#include "cluster/gossip.h"
#include "cluster/move.h"
#include "cluster/nodes_parts.h"
#include "core/session_routes.h"
#include "core/shard.h"

_Static_assert(CLUSTER_MEMBERS_MAX == CLUSTER_NODES_MAX + 1, "the others, and oneself");
_Static_assert(NODE_NAME_LEN == GOSSIP_NAME_MAX, "a name fits");
_Static_assert(NODE_ADDRESS_LEN + 1 >= ENDPOINT_TEXT, "an address fits");

// ---- What gossip knows --------------------------------------------------------------------------

static void
note(const struct gossip_view *view, bool self, struct cluster_node *ret)
{
    static const char *const states[] = {
        [GOSSIP_ALIVE] = "alive",
        [GOSSIP_SUSPECT] = "suspected",
        [GOSSIP_DEAD] = "dead",
        [GOSSIP_LEFT] = "gone",
    };
    must(view->state < ARRAY_LEN(states) && view->name.len <= NODE_NAME_LEN);
    char id[NODE_ID_LEN + 1];
    uuid_text(&view->uuid, id);
    // Whom we have sent there comes to stand in its load, by and by.
    uint64_t referred = strcmp(id, ret->id) == 0 ? ret->referred : 0, told_s = ret->load.uptime_s;
    *ret = (struct cluster_node){
        .state = states[view->state],
        .incarnation = view->incarnation,
        .state_s = view->state == GOSSIP_ALIVE ? 0 : view->state_ms / 1000,
        .self = self,
        .draining = about_drains(view->meta),
    };
    bool here = view->state == GOSSIP_ALIVE || view->state == GOSSIP_SUSPECT;
    ret->has_load = here && about_load(view->digest, &ret->load);
    ret->referred = ret->load.uptime_s == told_s ? referred : referred / 2;
    struct slice advertised = about_advertised(view->meta);
    ret->advertised_len = (uint8_t)advertised.len;
    if (advertised.len > 0)
        memcpy(ret->advertised, advertised.data, advertised.len);
    about_version(view->meta, ret->version);
    memcpy(ret->id, id, sizeof id);
    endpoint_text(&view->address, ret->address);
    (void)snprintf(ret->name, sizeof ret->name, "%.*s", (int)view->name.len,
                   (const char *)view->name.data);
}

void
roster_note(struct nodes *nodes, const struct gossip *gossip)
{
    uint32_t count = min_u32(gossip_count(gossip), CLUSTER_MEMBERS_MAX);
    uint32_t shown = 0;
    pthread_mutex_lock(&nodes->roster_mutex);
    for (uint32_t i = 0; i < count; i++) {
        struct gossip_view view;
        gossip_view(gossip, i, &view);
        if (view.state != GOSSIP_LEFT || !about_is_forgotten(view.meta))
            note(&view, i == 0, &nodes->roster[shown++]);
    }
    must(shown > 0 && shown <= count);
    nodes->roster_count = shown;
    pthread_mutex_unlock(&nodes->roster_mutex);
}

// ---- What a shard knows ------------------------------------------------------------------------

static enum node_copy
copy_of(const struct link *link)
{
    if (!atomic_load(&link->copied))
        return NODE_COPY_NONE;
    if (link->incarnation == 0)
        return NODE_COPY_DIFFERS;
    if (link->listening || link->said_seq != link->applied)
        return NODE_COPY_BEHIND;
    return copy_is(link, link->said_hash) ? NODE_COPY_SAME : NODE_COPY_DIFFERS;
}

// How long the oldest message that waits has been on its way.
static void
note_lag(const struct deliveries *out, uint64_t now_ms, struct node_link *ret)
{
    uint64_t seq = out->head;
    while (seq != out->loaded && !deliveries_at(out, seq)->msg)
        seq++; // done, or received there at QoS 2
    ret->lag_known = seq != out->loaded || out->disk_count == 0;
    if (seq == out->loaded)
        return;
    uint64_t arrived_ms = deliveries_at(out, seq)->msg->arrived_ms;
    ret->lag_ms = now_ms > arrived_ms ? now_ms - arrived_ms : 0;
}

static void
note_queue(const struct deliveries *out, uint64_t now_ms, struct node_link *ret)
{
    ret->waiting = deliveries_unacked(out);
    ret->inflight = out->inflight;
    ret->bytes = out->queued_bytes + out->disk_bytes;
    ret->on_disk = out->disk_count;
    ret->disk_bytes = out->disk_bytes;
    note_lag(out, now_ms, ret);
}

static void
look_at(const struct shard *shard, const struct link *link, struct node_link *ret)
{
    const struct session *to = link_session(shard, link, NODE_TO);
    const struct session *from = link_session(shard, link, NODE_FROM);
    uint32_t own = (link->session ? OWN_LINKED : OWN_FILTERS) + (to && to->remote > 0);
    bool moves = false;
    must(!link->session || link->session == to);
    if (to)
        (void)session_subscription(to, slice_str(TOPIC_MOVE), (struct slice){0}, &moves);
    own += moves ? OWN_MOVES : 0;
    *ret = (struct node_link){
        .from_up = from && from->client,
        .copy = copy_of(link),
        .routes = to ? session_route_count(to) + to->sub_count - min_u32(to->sub_count, own) : 0,
        .sessions = link->sessions.count,
        .seq = link->applied,
        .hash = link->tally.hash & ROUTE_SUM_MASK,
        .said_seq = link->said_seq,
        .said_hash = link->said_hash & ROUTE_SUM_MASK,
        .lag_known = true,
    };
    if (to)
        note_queue(&to->out, shard->now_ms, ret);
}

void
roster_look(struct cluster *cluster, const struct shard *shard)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        struct node_link seen;
        if (link->shard != shard->index)
            continue;
        look_at(shard, link, &seen);
        pthread_mutex_lock(&nodes->roster_mutex);
        link->seen = seen;
        pthread_mutex_unlock(&nodes->roster_mutex);
    }
}

uint64_t
roster_connections(struct nodes *nodes)
{
    uint64_t connections = 0;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    pthread_mutex_lock(&nodes->roster_mutex);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        connections += (uint64_t)atomic_load(&link->up) + link->seen.from_up;
        atomic_store(&nodes->inboxes[link->shard].look, true);
        broker_wake(nodes->broker, link->shard);
    }
    pthread_mutex_unlock(&nodes->roster_mutex);
    return connections;
}

// ---- What is told -------------------------------------------------------------------------------

// The roster has it where gossip has seen it; a link stays when its node is forgotten.
static void
add_link(const struct link *link, struct cluster_node *members, uint32_t count)
{
    for (uint32_t i = 1; i < count; i++) {
        struct cluster_node *node = &members[i];
        if (strcmp(node->id, link->id) != 0)
            continue;
        node->link = link->seen;
        node->link.up = atomic_load(&link->up);
        node->link.taken = atomic_load(&link->known);
    }
}

static void
add_own(struct nodes *nodes, struct cluster_node *self)
{
    pthread_mutex_lock(&nodes->mutex);
    struct route_digest digest = route_log_digest(nodes->log);
    pthread_mutex_unlock(&nodes->mutex);
    must(self->self);
    self->link.copy = NODE_COPY_OWN;
    self->link.routes = atomic_load(&nodes->route_count);
    self->link.seq = digest.seq;
    self->link.hash = digest.hash & ROUTE_SUM_MASK; // as others have it of us
}

uint32_t
roster_nodes(struct cluster *cluster, struct cluster_node *ret_nodes)
{
    struct nodes *nodes = nodes_of(cluster);
    pthread_mutex_lock(&nodes->roster_mutex);
    uint32_t count = nodes->roster_count;
    memcpy(ret_nodes, nodes->roster, count * sizeof *ret_nodes);
    uint32_t links = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < links; i++)
        add_link(nodes->links[i], ret_nodes, count);
    pthread_mutex_unlock(&nodes->roster_mutex);
    if (count > 0)
        add_own(nodes, &ret_nodes[0]);
    return count;
}
