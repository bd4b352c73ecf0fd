// sim_kept.h - the life of a simulated node that has a disk.
//
// Job:    what the tests of what a node keeps begin and end with.
// Owner:  the test. Thread: one. Memory: the node's, and the disk's. Limits: none.
#ifndef TERN_TESTS_SIM_SIM_KEPT_H
#define TERN_TESTS_SIM_SIM_KEPT_H

#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_node.h"

// Sessions may outlive their connection. Returns new.
static inline struct config *
sim_kept_config(void)
{
    struct config *config = sim_config();
    config->session_expiry_max_s = 86400;
    return config;
}

// Until nothing is left to do, also of what nobody waits for.
static inline void
sim_kept_rest(struct sim *sim, struct sim_disk *disk)
{
    sim_settle_kept(sim, disk);
    sim_tick(sim, 50);
    sim_settle_kept(sim, disk);
}

// All connections end, all sessions expire, and nothing may be left. Takes the node.
static inline void
sim_kept_end(struct sim_node *node, struct sim_disk *disk)
{
    sim_close_all(node->sim);
    sim_tick(node->sim, UINT64_C(172800000));
    sim_settle_kept(node->sim, disk);
    sim_must_be_empty(node->sim);
    sim_node_free(node);
}

// Takes both.
static inline void
sim_kept_free(struct sim_node *node, struct sim_disk *disk)
{
    sim_kept_end(node, disk);
    sim_disk_free(disk);
}

#endif
