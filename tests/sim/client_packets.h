// client_packets.h - what a simulated client says.
//
// Job:    a function for each Control Packet that a client sends. Well formed; tests that want
//         others feed bytes.
// Owner:  none. Thread: one. Memory: none that stays. Limits: none.
#ifndef TERN_TESTS_SIM_CLIENT_PACKETS_H
#define TERN_TESTS_SIM_CLIENT_PACKETS_H

#include "tests/sim/sim.h"
#include "tests/sim/wire.h"

// ---- CONNECT ------------------------------------------------------------------------------------

struct sim_connect {
    const char *id;
    uint8_t version; // 0: MQTT 5
    bool keep;       // no Clean Session, no Clean Start
    uint16_t keep_alive_s;
    const char *will_topic; // NULL = no Will
    const char *will_payload;
    uint8_t will_qos;
    bool will_retain;
    const char *user, *password; // NULL = absent
    // MQTT 5; 0 = absent
    uint32_t will_delay_s, will_expiry_s;
    uint32_t expiry_s, packet_max;
    uint16_t receive_max, alias_max;
    const char *auth_method, *auth_data; // NULL = absent
};

static inline void
wire_auth(struct wire *props, const char *method, const char *data)
{
    if (method) {
        wire_int(props, PROP_AUTH_METHOD, 1);
        wire_text(props, method);
    }
    if (data) {
        wire_int(props, PROP_AUTH_DATA, 1);
        wire_text(props, data);
    }
}

static inline void
wire_connect_props(struct wire *wire, const struct sim_connect *c)
{
    struct wire props = wire_begin();
    if (c->expiry_s)
        wire_prop(&props, PROP_SESSION_EXPIRY, c->expiry_s, 4);
    if (c->receive_max)
        wire_prop(&props, PROP_RECEIVE_MAX, c->receive_max, 2);
    if (c->packet_max)
        wire_prop(&props, PROP_MAXIMUM_PACKET_SIZE, c->packet_max, 4);
    if (c->alias_max)
        wire_prop(&props, PROP_TOPIC_ALIAS_MAX, c->alias_max, 2);
    wire_auth(&props, c->auth_method, c->auth_data);
    wire_props(wire, &props);
}

static inline void
wire_will(struct wire *wire, const struct sim_connect *c, uint8_t version)
{
    if (version == MQTT_5) {
        struct wire props = wire_begin();
        if (c->will_delay_s)
            wire_prop(&props, PROP_WILL_DELAY, c->will_delay_s, 4);
        if (c->will_expiry_s)
            wire_prop(&props, PROP_MESSAGE_EXPIRY, c->will_expiry_s, 4);
        wire_props(wire, &props);
    }
    wire_text(wire, c->will_topic);
    wire_text(wire, c->will_payload ? c->will_payload : "will");
}

static inline void
sim_send_connect(struct sim_conn *conn, const struct sim_connect *c)
{
    uint8_t version = c->version ? c->version : MQTT_5;
    uint32_t flags = c->keep ? 0 : 2;
    if (c->will_topic)
        flags |= 4u | (uint32_t)c->will_qos << 3 | (c->will_retain ? 32u : 0);
    flags |= (c->user ? 128u : 0) | (c->password ? 64u : 0);
    struct wire wire = wire_begin();
    wire_text(&wire, version == MQTT_31 ? "MQIsdp" : "MQTT");
    wire_int(&wire, version, 1);
    wire_int(&wire, flags, 1);
    wire_int(&wire, c->keep_alive_s, 2);
    if (version == MQTT_5)
        wire_connect_props(&wire, c);
    wire_text(&wire, c->id);
    if (c->will_topic)
        wire_will(&wire, c, version);
    if (c->user)
        wire_text(&wire, c->user);
    if (c->password)
        wire_text(&wire, c->password);
    wire_end(&wire, conn, MQTT_CONNECT << 4);
}

// A new connection on the home shard of its identifier, through CONNECT; hello has the answer.
static inline struct sim_conn *
sim_connect(struct sim *sim, const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c->id)));
    sim_send_connect(conn, c);
    sim_settle(sim);
    must(sim_next(conn, &conn->hello) && conn->hello.type == MQTT_CONNACK);
    return conn;
}

// One whose session outlives its connections.
static inline struct sim_conn *
sim_connect_durable(struct sim *sim, const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id, .keep = true, .expiry_s = 1000});
}

// ---- The others ---------------------------------------------------------------------------------

struct sim_subscribe {
    const char *filter;
    uint16_t packet_id; // 0: 1
    uint8_t options;    // QoS, and in MQTT 5 the other bits
    uint32_t id;        // Subscription Identifier; 0 = absent
};

static inline void
sim_subscribe(struct sim_conn *conn, const struct sim_subscribe *s)
{
    struct wire wire = wire_begin();
    wire_int(&wire, s->packet_id ? s->packet_id : 1, 2);
    if (conn->client.version == MQTT_5) {
        struct wire props = wire_begin();
        if (s->id) {
            wire_int(&props, PROP_SUBSCRIPTION_ID, 1);
            wire_varint(&props, s->id);
        }
        wire_props(&wire, &props);
    }
    wire_text(&wire, s->filter);
    wire_int(&wire, s->options, 1);
    wire_end(&wire, conn, MQTT_SUBSCRIBE << 4 | 2);
}

static inline void
sim_unsubscribe(struct sim_conn *conn, const char *filter)
{
    struct wire wire = wire_begin();
    wire_int(&wire, 1, 2);
    if (conn->client.version == MQTT_5)
        wire_int(&wire, 0, 1);
    wire_text(&wire, filter);
    wire_end(&wire, conn, MQTT_UNSUBSCRIBE << 4 | 2);
}

struct sim_publish {
    const char *topic;
    struct slice payload; // len 0: the packet's is empty
    uint8_t qos;
    bool retain, dup, has_expiry;
    uint16_t packet_id; // 0 with QoS > 0: 1
    uint32_t expiry_s;
};

static inline void
sim_publish(struct sim_conn *conn, const struct sim_publish *p)
{
    struct wire wire = wire_begin();
    wire_text(&wire, p->topic);
    if (p->qos > 0)
        wire_int(&wire, p->packet_id ? p->packet_id : 1, 2);
    if (conn->client.version == MQTT_5) {
        struct wire props = wire_begin();
        if (p->has_expiry)
            wire_prop(&props, PROP_MESSAGE_EXPIRY, p->expiry_s, 4);
        wire_props(&wire, &props);
    }
    sim_append(&wire.body, p->payload.data, p->payload.len);
    uint32_t flags = (uint32_t)p->qos << 1 | (p->retain ? 1u : 0) | (p->dup ? 8u : 0);
    wire_end(&wire, conn, MQTT_PUBLISH << 4 | flags);
}

// PUBACK, PUBREC, PUBREL, PUBCOMP.
static inline void
sim_ack(struct sim_conn *conn, uint8_t type, uint16_t packet_id)
{
    struct wire wire = wire_begin();
    wire_int(&wire, packet_id, 2);
    wire_end(&wire, conn, (uint32_t)type << 4 | (type == MQTT_PUBREL ? 2 : 0));
}

static inline void
sim_auth(struct sim_conn *conn, uint8_t reason, const char *method, const char *data)
{
    struct wire wire = wire_begin(), props = wire_begin();
    wire_int(&wire, reason, 1);
    wire_auth(&props, method, data);
    wire_props(&wire, &props);
    wire_end(&wire, conn, MQTT_AUTH << 4);
}

static inline void
sim_ping(struct sim_conn *conn)
{
    sim_feed(conn, "\xc0\0", 2);
}

// DISCONNECT; a reason other than 0, and a session expiry, only in MQTT 5.
static inline void
sim_disconnect(struct sim_conn *conn, uint8_t reason)
{
    struct wire wire = wire_begin();
    if (reason)
        wire_int(&wire, reason, 1);
    wire_end(&wire, conn, MQTT_DISCONNECT << 4);
}

static inline void
sim_disconnect_expiry(struct sim_conn *conn, uint32_t expiry_s)
{
    struct wire wire = wire_begin(), props = wire_begin();
    wire_int(&wire, 0, 1);
    wire_prop(&props, PROP_SESSION_EXPIRY, expiry_s, 4);
    wire_props(&wire, &props);
    wire_end(&wire, conn, MQTT_DISCONNECT << 4);
}

#endif
