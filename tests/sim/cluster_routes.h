// cluster_routes.h - route logs and replicas in the world of cluster_world.h.
//
// Job:    each node's routes change at random; links carry them to the others while both run and
//         nothing is cut; digests ride on the real gossip, and are held against the replicas.
// Owner:  the world. Thread: one. Memory: (nodes)^2 replicas: for small worlds.
#ifndef TERN_TESTS_SIM_CLUSTER_ROUTES_H
#define TERN_TESTS_SIM_CLUSTER_ROUTES_H

#include "tests/sim/cluster_world.h"

void routes_start(struct world *world, uint32_t node);
void routes_stop(struct world *world, uint32_t node);
// A moment of all links; changes: some routes change first.
void routes_pump(struct world *world, bool changes);
// The node was told a digest of this member.
void routes_news(struct world *world, uint32_t node, uint32_t member);
// Has everybody the routes, and with digests the digests, of all who run?
bool routes_agree(const struct world *world, bool digests, char ret_why[160]);

#endif
