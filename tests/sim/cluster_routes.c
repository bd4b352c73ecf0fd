// cluster_routes.c - route logs and replicas in the world of cluster_world.h.
#include "tests/sim/cluster_routes.h"

#include <stdio.h>

#include "core/base/mem.h"

#include "cluster/route_log.h"

#define KEYS 50u
#define STEPS_MAX \
    8u // that a link carries in a moment: fewer than routes, so that cuts find it busy
#define RING_BYTES 200u

struct route_peer { // of a node, for each owner
    struct route_replica *replica;
    struct route_reader reader; // the owner's, for us
    bool up;
};

void
routes_start(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    node->log = route_log_new(node->incarnation, RING_BYTES);
    node->peers = mem_zalloc(world->node_count * sizeof *node->peers);
    for (uint32_t i = 0; i < world->node_count; i++)
        node->peers[i].replica = route_replica_new(1000);
}

void
routes_stop(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    for (uint32_t i = 0; i < world->node_count; i++) {
        if (node->peers)
            route_replica_free(node->peers[i].replica);
        if (world->nodes[i].peers)
            world->nodes[i].peers[n].up = false;
    }
    mem_free(node->peers);
    route_log_free(node->log);
    node->peers = NULL;
    node->log = NULL;
}

static void
change(struct world *world, uint32_t n)
{
    struct node *node = &world->nodes[n];
    char key[32];
    uint8_t bytes[ROUTE_DIGEST_LEN];
    (void)snprintf(key, sizeof key, "filter/%u", world_random(world, KEYS));
    if (!route_log_set(node->log, slice_str(key), world_random(world, 3)))
        return;
    struct route_digest digest = route_log_digest(node->log);
    route_digest_write(&digest, bytes);
    struct gossip_event event = {.kind = GOSSIP_DIGEST, .bytes = slice_of(bytes, sizeof bytes)};
    world_event(world, n, &event);
}

static void
pump_link(struct world *world, uint32_t owner, uint32_t holder)
{
    const struct route_log *log = world->nodes[owner].log;
    struct route_peer *peer = &world->nodes[holder].peers[owner];
    if (!peer->up) {
        uint64_t incarnation, applied;
        route_replica_link_up(peer->replica, &incarnation, &applied);
        route_reader_begin(log, incarnation, applied, &peer->reader);
        peer->up = true;
    }
    for (uint32_t i = 0; i < STEPS_MAX && peer->up; i++) {
        struct route_op op = {0};
        struct route_digest digest = {0};
        enum route_step step = route_reader_next(log, &peer->reader, &op, &digest);
        if (route_replica_take(peer->replica, route_log_incarnation(log), step, &op, &digest) != OK)
            world_fail(world, "a replica at %u refuses what %u tells it", holder, owner);
        if (step == ROUTE_NOTHING)
            return;
    }
}

void
routes_pump(struct world *world, bool changes)
{
    for (uint32_t i = 0; i < world->members; i++) {
        const struct node *owner = &world->nodes[i];
        if (changes && owner->log && !owner->paused && world_random(world, 4) == 0)
            change(world, i);
        for (uint32_t j = 0; owner->log && j < world->members; j++) {
            const struct node *holder = &world->nodes[j];
            if (i == j || !holder->peers)
                continue;
            if (owner->paused || holder->paused || world_cut(world, i, j) || world_cut(world, j, i))
                holder->peers[i].up = false;
            else
                pump_link(world, i, j);
        }
    }
}

void
routes_news(struct world *world, uint32_t n, uint32_t member)
{
    const struct node *node = &world->nodes[n];
    struct gossip_view view;
    struct route_digest digest;
    if (!gossip_find(node->gossip, &world->nodes[member].uuid, &view))
        return;
    if (!route_digest_read(view.digest, &digest))
        world_fail(world, "%u has no digest of %u, but news of it", n, member);
    else if (route_replica_check(node->peers[member].replica, view.incarnation, &digest) != OK)
        world_fail(world, "at %u the routes of %u have diverged", n, member);
}

bool
routes_agree(const struct world *world, bool digests, char ret_why[160])
{
    for (uint32_t i = 0; i < world->members; i++) {
        const struct node *owner = &world->nodes[i];
        for (uint32_t j = 0; owner->log && j < world->members; j++) {
            const struct node *holder = &world->nodes[j];
            if (i == j || !holder->peers)
                continue;
            struct route_digest want = route_log_digest(owner->log), told = {0};
            struct route_digest is = route_replica_digest(holder->peers[i].replica);
            if (is.seq != want.seq || is.hash != want.hash) {
                (void)snprintf(ret_why, 160, "%u has other routes of %u", j, i);
                return false;
            }
            struct gossip_view view;
            bool known = gossip_find(holder->gossip, &owner->uuid, &view) &&
                         (want.seq == 0 || route_digest_read(view.digest, &told));
            if (digests && (!known || told.seq != want.seq || told.hash != want.hash)) {
                (void)snprintf(ret_why, 160, "%u has an old digest of %u", j, i);
                return false;
            }
        }
    }
    return true;
}
