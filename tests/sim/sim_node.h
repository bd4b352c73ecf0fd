// sim_node.h - a simulated broker that is a node, and another node that the test plays.
//
// Job:    cluster/ without its thread: the other node comes as a client does, and is dialled by the
//         test. What both say is MQTT.
// Owner:  the test. Thread: one. Memory: until sim_node_free. Limits: one other node.
#ifndef TERN_TESTS_SIM_SIM_NODE_H
#define TERN_TESTS_SIM_SIM_NODE_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cluster/nodes_parts.h"
#include "cluster/wire_int.h"
#include "tests/sim/client_packets.h"

#define SIM_OTHER         "0123456789abcdef0123456789abcdef"
#define SIM_NODE_LISTENER 1u

struct sim_node {
    struct sim *sim;
    struct cluster *cluster;
};

// A secret in a file, and an address of this process alone, at a port that the kernel gives nobody.
static inline void
sim_node_places(char ret_secret[64], char ret_bind[32])
{
    unsigned pid = (unsigned)getpid();
    (void)snprintf(ret_bind, 32, "127.%u.%u.%u:7400", 64 + (pid >> 16), pid >> 8 & 255, pid & 255);
    (void)snprintf(ret_secret, 64, "/tmp/tern-sim-secret-XXXXXX");
    int fd = mkstemp(ret_secret);
    must(fd >= 0 && write(fd, "sixteen bytes or more\n", 22) == 22 && close(fd) == 0);
}

// Takes config. kept: with a keeper that the test plays (sim_disk.h).
static inline struct sim_node
sim_node_make(unsigned shard_count, struct config *config, bool kept)
{
    struct sim_node node;
    char secret[64], place[32], problem[CLUSTER_PROBLEM_MAX];
    sim_node_places(secret, place);
    config->cluster.name = mem_strdup("sim");
    config->cluster.secret_file = mem_strdup(secret);
    config->cluster.bind = mem_strdup(place);
    config->listener_count = 2;
    config->listeners[SIM_NODE_LISTENER] = (struct listener_config){.maximum_qos = 2, .node = true};
    must(cluster_new(config, &node.cluster, problem) == OK);
    (void)unlink(secret);
    node.sim = sim_make_broker(shard_count, config, kept, SIM_START_MS);
    must(cluster_join(node.cluster, node.sim->broker, NULL, problem) == OK);
    nodes_of(node.cluster)->settling = false; // nobody else tells anything
    sim_make_shards(node.sim);
    return node;
}

static inline struct sim_node
sim_node_new(unsigned shard_count, struct config *config)
{
    return sim_node_make(shard_count, config, false);
}

static inline void
sim_node_free(struct sim_node *node)
{
    sim_free(node->sim);
    cluster_free(node->cluster);
}

// The other node comes, and has sent its CONNECT.
static inline struct sim_conn *
sim_node_comes(struct sim_node *node)
{
    char password[NODE_PASS_LEN + 1];
    struct sim *sim = node->sim;
    nodes_password(nodes_of(node->cluster), 0, SIM_OTHER, node->cluster->id, password);
    struct sim_connect c = {
        .id = NODE_FROM SIM_OTHER,
        .keep = true,
        .expiry_s = NODE_EXPIRY_S,
        .user = node->cluster->hello,
        .password = password,
    };
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c.id)));
    client_set_listener(&conn->client, SIM_NODE_LISTENER);
    sim_send_connect(conn, &c);
    return conn;
}

// A node was dialled, and has not answered yet.
static inline struct sim_conn *
sim_node_dials_to(struct sim_node *node, const char *id)
{
    char to[sizeof NODE_TO + NODE_ID_LEN];
    struct sim *sim = node->sim;
    struct node_dialled dialled = {.fd = -1};
    must(strlen(id) == NODE_ID_LEN);
    memcpy(dialled.id, id, NODE_ID_LEN);
    (void)snprintf(to, sizeof to, "%s%s", NODE_TO, id);
    (void)nodes_link(nodes_of(node->cluster), id);
    nodes_password(nodes_of(node->cluster), 0, node->cluster->id, id, dialled.password);
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(to)));
    client_set_listener(&conn->client, SIM_NODE_LISTENER);
    client_dial(&conn->client, &dialled);
    return conn;
}

static inline struct sim_conn *
sim_node_dials(struct sim_node *node)
{
    return sim_node_dials_to(node, SIM_OTHER);
}

// The way to the other node for the client that asked for one last. It is open already.
static inline struct sim_conn *
sim_node_relays(struct sim_node *node, const struct sim_conn *client)
{
    struct nodes *nodes = nodes_of(node->cluster);
    struct node_dialled dialled = {.fd = -1, .id = SIM_OTHER, .token = atomic_load(&nodes->tokens)};
    nodes_password(nodes, 0, node->cluster->id, SIM_OTHER, dialled.password);
    struct sim_conn *conn = sim_open(node->sim, client->client.shard->index);
    client_set_listener(&conn->client, SIM_NODE_LISTENER);
    client_dial(&conn->client, &dialled);
    return conn;
}

// The other node brings a client that has come there: origin as core/client_relay.c has it.
static inline struct sim_conn *
sim_node_brings(struct sim_node *node, const char *id, const char *origin)
{
    char password[NODE_PASS_LEN + 1], text[256];
    struct sim *sim = node->sim;
    nodes_password(nodes_of(node->cluster), 0, SIM_OTHER, node->cluster->id, password);
    (void)snprintf(text, sizeof text, NODE_FOR "%s", id);
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(text)));
    client_set_listener(&conn->client, SIM_NODE_LISTENER);
    conn->client.name = "the key of nodes";
    sim_send_connect(conn, &(struct sim_connect){
                               .id = text, .keep = true, .user = origin, .password = password});
    return conn;
}

// ---- Words --------------------------------------------------------------------------------------

struct sim_word {
    uint8_t bytes[2048];
    uint32_t len;
};

static inline void
sim_word_put(struct sim_word *word, const void *data, size_t len)
{
    must(len <= sizeof word->bytes - word->len);
    if (len > 0)
        memcpy(word->bytes + word->len, data, len);
    word->len += (uint32_t)len;
}

static inline void
sim_word_int(struct sim_word *word, uint64_t value, unsigned bytes)
{
    uint8_t text[8];
    put_u64(text, value);
    sim_word_put(word, text + 8 - bytes, bytes);
}

// A step of TOPIC_ROUTES; the key is the group, a NUL, the filter.
static inline void
sim_word_numbered(struct sim_word *word, enum route_step step, uint64_t number, uint64_t weight,
                  const char *group, const char *filter)
{
    size_t key = filter ? strlen(group) + 1 + strlen(filter) : 0;
    sim_word_int(word, (uint64_t)step, 1);
    sim_word_int(word, number, 8);
    sim_word_int(word, weight, 8);
    sim_word_int(word, key, 4);
    if (!filter)
        return;
    sim_word_put(word, group, strlen(group) + 1);
    sim_word_put(word, filter, strlen(filter));
}

static inline void
sim_word_step(struct sim_word *word, enum route_step step, uint64_t weight, const char *group,
              const char *filter)
{
    sim_word_numbered(word, step, 0, weight, group, filter);
}

// The other node has a session that outlives its connection, or no longer.
static inline void
sim_word_session(struct sim_word *word, const char *id, bool there)
{
    sim_word_int(word, ROUTE_CHANGE, 1);
    sim_word_int(word, 0, 8);
    sim_word_int(word, there, 8);
    sim_word_int(word, 1 + strlen(id), 4);
    sim_word_int(word, KEY_SESSION, 1);
    sim_word_put(word, id, strlen(id));
}

struct sim_retained {
    uint8_t flags, qos, node; // node: all bytes of the stamp's
    uint64_t expires_ms, stamp;
    const char *topic;
    struct slice props;
    const char *payload;
};

static inline void
sim_word_retained(struct sim_word *word, const struct sim_retained *r)
{
    sim_word_int(word, r->flags, 1);
    sim_word_int(word, r->expires_ms, 8);
    sim_word_int(word, r->qos, 1);
    sim_word_int(word, strlen(r->topic), 2);
    sim_word_int(word, r->props.len, 4);
    sim_word_int(word, r->stamp, 8);
    for (unsigned i = 0; i < STAMP_NODE_LEN; i++)
        sim_word_int(word, r->node, 1);
    sim_word_put(word, r->topic, strlen(r->topic));
    sim_word_put(word, r->props.data, r->props.len);
    sim_word_put(word, r->payload, strlen(r->payload));
}

// One more client that came, for TOPIC_CAME.
static inline void
sim_word_claim(struct sim_word *word, bool clean, uint64_t claim, const char *id)
{
    sim_word_int(word, clean, 1);
    sim_word_int(word, claim, 8);
    sim_word_int(word, strlen(id), 2);
    sim_word_put(word, id, strlen(id));
}

// At QoS 1.
static inline void
sim_node_says(struct sim_conn *conn, const char *topic, const struct sim_word *word)
{
    static uint16_t packet_id;
    packet_id = (uint16_t)(packet_id % 1000 + 1);
    sim_publish(conn, &(struct sim_publish){
                          .topic = topic,
                          .payload = slice_of(word->bytes, word->len),
                          .qos = 1,
                          .packet_id = packet_id,
                      });
}

#endif
