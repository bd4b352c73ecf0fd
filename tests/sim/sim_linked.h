// sim_linked.h - the life of a simulated node to which another one has come.
//
// Job:    what the tests of links begin and end with.
// Owner:  the test. Thread: one. Memory: the node's. Limits: none.
#ifndef TERN_TESTS_SIM_SIM_LINKED_H
#define TERN_TESTS_SIM_SIM_LINKED_H

#include "tests/sim/expect.h"
#include "tests/sim/sim_node.h"

// Makes *ret_node, in which sessions may outlive their connection. Takes config. Returns the other
// node's connection to it.
static inline struct sim_conn *
sim_linked_new(struct sim_node *ret_node, unsigned shard_count, struct config *config)
{
    config->session_expiry_max_s = 86400;
    *ret_node = sim_node_new(shard_count, config);
    struct sim_conn *other = sim_node_comes(ret_node);
    sim_settle(ret_node->sim);
    expect_packet(other, MQTT_CONNACK);
    return other;
}

// It was dialled, and has let us in. Returns our connection to it.
static inline struct sim_conn *
sim_linked_dial(struct sim_node *node)
{
    struct sim_conn *out = sim_node_dials(node);
    sim_settle(node->sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(node->sim);
    return out;
}

// All connections end, all sessions expire, and nothing may be left.
static inline void
sim_linked_free(struct sim_node *node)
{
    sim_close_all(node->sim);
    sim_tick(node->sim, UINT64_C(172800000));
    sim_settle(node->sim);
    sim_must_be_empty(node->sim);
    sim_node_free(node);
}

#endif
