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

static inline struct cluster_figures
sim_linked_figures(struct sim_node *node)
{
    struct cluster_figures ret;
    node->cluster->ops->figures(node->cluster, &ret); // the shard is to look
    sim_settle(node->sim);
    node->cluster->ops->figures(node->cluster, &ret);
    return ret;
}

// What a word of TOPIC_ROUTES begins with.
static inline struct sim_word
sim_linked_word(void)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    return word;
}

// How many of its clients' filters this topic meets: so many messages wait for it.
static inline bool
sim_linked_wants(struct sim_node *node, const char *topic)
{
    uint64_t before = sim_linked_figures(node).waiting;
    struct sim_conn *client = sim_connect(node->sim, &(struct sim_connect){.id = "asker"});
    publish_text(client, topic, 1, "x");
    sim_settle(node->sim);
    sim_close(client, 0);
    return sim_linked_figures(node).waiting > before;
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
