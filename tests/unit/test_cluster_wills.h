// test_cluster_wills.h - another node that says which Wills its clients have, and what becomes of
// it.
//
// Job:    what the tests of Wills of other nodes' clients share.
// Owner:  the test. Thread: one. Memory: from set_up to tear_down. Limits: none.
#ifndef TERN_TESTS_UNIT_TEST_CLUSTER_WILLS_H
#define TERN_TESTS_UNIT_TEST_CLUSTER_WILLS_H

#include <errno.h>

#include "core/cluster.h"
#include "tests/sim/sim_linked.h"

#define AFTER_MS 10000u // wills.c
#define TAKEN_MS 1000u
#define CLAIM    UINT64_C(5000)

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us
static struct sim_conn *out;   // we come to it
static struct sim_conn *watch; // a client of ours
static struct link *theirs;

static inline void
set_up(void)
{
    struct config *config = sim_config();
    config->cluster.will_bytes_max = 2000;
    other = sim_linked_new(&node, 2, config);
    sim = node.sim;
    watch = sim_connect(sim, &(struct sim_connect){.id = "watch"});
    subscribed(sim, watch, "#", 1);
    theirs = nodes_link(nodes_of(node.cluster), SIM_OTHER);
}

static inline void
tear_down(void)
{
    sim_linked_free(&node);
}

// ---- What the other node says ------------------------------------------------------------------

struct told_will {
    uint64_t claim;
    uint32_t flags, delay_s;
    uint64_t expiry_ms;
    const char *id, *topic, *props, *payload;
};

static inline struct sim_word
head(uint64_t incarnation)
{
    struct sim_word word = {0};
    sim_word_int(&word, incarnation, 8);
    return word;
}

static inline void
put_will(struct sim_word *word, const struct told_will *w)
{
    const char *props = w->props ? w->props : "", *payload = w->payload ? w->payload : "gone";
    sim_word_int(word, 1, 1);
    sim_word_int(word, w->claim, 8);
    sim_word_int(word, strlen(w->id), 2);
    sim_word_int(word, w->flags, 1);
    sim_word_int(word, 1883, 2);
    sim_word_int(word, w->delay_s, 4);
    sim_word_int(word, w->expiry_ms, 8);
    sim_word_int(word, strlen(w->topic), 2);
    sim_word_int(word, strlen(props), 4);
    sim_word_int(word, strlen(payload), 4);
    sim_word_int(word, 0, 2);
    sim_word_put(word, w->id, strlen(w->id));
    sim_word_put(word, w->topic, strlen(w->topic));
    sim_word_put(word, props, strlen(props));
    sim_word_put(word, payload, strlen(payload));
}

static inline void
put_gone(struct sim_word *word, uint64_t claim, const char *id)
{
    sim_word_int(word, 0, 1);
    sim_word_int(word, claim, 8);
    sim_word_int(word, strlen(id), 2);
    sim_word_put(word, id, strlen(id));
}

static inline void
put_mark(struct sim_word *word, bool end, uint64_t round, uint32_t shards)
{
    sim_word_int(word, end ? 3 : 2, 1);
    sim_word_int(word, round, 8);
    sim_word_int(word, shards, 2);
}

static inline void
says(const char *topic, const struct sim_word *word)
{
    sim_node_says(other, topic, word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

// One Will, of its first life.
static inline void
says_will(const struct told_will *w)
{
    struct sim_word word = head(1);
    put_will(&word, w);
    says(TOPIC_WILLS, &word);
}

static inline uint64_t
held(void)
{
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    sim_settle(sim);
    return figures.wills_held;
}

// ---- Time --------------------------------------------------------------------------------------

static inline void
gossip_says(enum gossip_state state)
{
    wills_note_node(nodes_of(node.cluster), theirs, state, 1, sim->now_ms); // its first life
}

// The agent looks at it all the time.
static inline void
passes(uint32_t ms, enum gossip_state state)
{
    for (uint32_t i = 0; i < ms; i += 100) {
        gossip_says(state);
        sim_tick(sim, 100);
        sim_settle(sim);
    }
}

// In order, at the end of that life.
static inline void
node_leaves(uint64_t incarnation)
{
    wills_note_node(nodes_of(node.cluster), theirs, GOSSIP_LEFT, incarnation, sim->now_ms);
    sim_tick(sim, 100);
    sim_settle(sim);
}

static inline bool
was_told(const void *bytes, size_t len)
{
    return memmem(out->to_peer.data, out->to_peer.len, bytes, len) != NULL;
}

// NULL: nowhere.
static inline const uint8_t *
told_at(const struct sim_word *word)
{
    return memmem(out->to_peer.data, out->to_peer.len, word->bytes, word->len);
}

static inline struct session *
session_of(const char *id)
{
    struct shard *shard = sim->broker->shards[broker_home(sim->broker, slice_str(id))];
    return registry_find(shard->registry, slice_str(id),
                         registry_hash(shard->registry, slice_str(id)));
}

// ---- Who comes here -----------------------------------------------------------------------------

static inline struct sim_conn *
comes_here(void)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str("c")));
    sim_send_connect(conn, &(struct sim_connect){.id = "c"});
    sim_settle(sim);
    return conn;
}

// By a CONNACK that may have had to wait for a node that does not answer.
static inline void
is_let_in_at_last(struct sim_conn *conn)
{
    sim_tick(sim, TAKEN_MS);
    sim_settle(sim);
    expect_packet(conn, MQTT_CONNACK);
}

#endif
