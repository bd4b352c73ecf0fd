// expect.h - what a unit test asks of a simulated connection.
//
// Job:    the next packet, or none, as assertions of Criterion.
// Owner:  none. Thread: one. Memory: none. Limits: none.
#ifndef TERN_TESTS_SIM_EXPECT_H
#define TERN_TESTS_SIM_EXPECT_H

#include <criterion/criterion.h>
#include <stdio.h>

#include "core/figures.h"
#include "core/session.h"
#include "tests/sim/client_packets.h"

static inline struct server_packet
expect_packet(struct sim_conn *conn, uint8_t type)
{
    struct server_packet packet;
    cr_assert(sim_next(conn, &packet), "a packet of type %d", type);
    cr_assert_eq(packet.type, type, "type %d, not %d", packet.type, type);
    return packet;
}

static inline struct server_packet
expect_answer(struct sim_conn *conn, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    struct server_packet packet = expect_packet(conn, type);
    cr_assert_eq(packet.packet_id, packet_id);
    cr_assert_eq(packet.reason, reason, "reason 0x%02x, not 0x%02x", packet.reason, reason);
    return packet;
}

static inline struct server_packet
expect_publish(struct sim_conn *conn, uint8_t qos, const char *payload)
{
    struct server_packet packet = expect_packet(conn, MQTT_PUBLISH);
    cr_assert_eq(packet.qos, qos);
    cr_assert(slice_equal(packet.payload, slice_str(payload)), "payload \"%.*s\", not \"%s\"",
              (int)packet.payload.len, (const char *)packet.payload.data, payload);
    return packet;
}

static inline void
expect_nothing(struct sim_conn *conn)
{
    struct server_packet packet;
    bool more = sim_next(conn, &packet);
    cr_assert_not(more, "an unexpected packet of type %d", packet.type);
}

// Closed by the broker, after a DISCONNECT with this reason (0: without one).
static inline void
expect_dismissed(struct sim_conn *conn, uint8_t reason)
{
    if (reason)
        cr_assert_eq(expect_packet(conn, MQTT_DISCONNECT).reason, reason);
    expect_nothing(conn);
    cr_assert_not(conn->open);
}

static inline void
subscribed(struct sim *sim, struct sim_conn *conn, const char *filter, uint8_t options)
{
    sim_subscribe(conn, &(struct sim_subscribe){.filter = filter, .options = options});
    sim_settle(sim);
    cr_assert_lt(expect_packet(conn, MQTT_SUBACK).reason, 3, "granted");
}

// Without waiting for what comes of it.
static inline void
publish_text(struct sim_conn *conn, const char *topic, uint8_t qos, const char *payload)
{
    sim_publish(conn,
                &(struct sim_publish){.topic = topic, .qos = qos, .payload = slice_str(payload)});
}

#define EXPECT_NUMBER_MAX 16

static inline void
publish_number(struct sim_conn *conn, const char *topic, uint8_t qos, unsigned number)
{
    char text[EXPECT_NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%u", number);
    sim_publish(conn, &(struct sim_publish){.topic = topic,
                                            .qos = qos,
                                            .payload = slice_str(text),
                                            .packet_id = (uint16_t)(number % 60000 + 1)});
}

static inline struct server_packet
expect_number(struct sim_conn *conn, uint8_t qos, unsigned number)
{
    char text[EXPECT_NUMBER_MAX];
    (void)snprintf(text, sizeof text, "%u", number);
    return expect_publish(conn, qos, text);
}

// A client identifier that lives on this shard.
static inline const char *
id_on(const struct sim *sim, unsigned shard)
{
    static char ids[64][8];
    static unsigned used, next;
    char *id = ids[used++ % ARRAY_LEN(ids)];
    do {
        (void)snprintf(id, sizeof ids[0], "c%u", next++ % 1000000);
    } while (broker_home(sim->broker, slice_str(id)) != shard);
    return id;
}

// Sum over the shards, and over the listeners of each.
#define stat_sum(sim, name) (figures_of(sim).name)
static inline struct figures
figures_of(const struct sim *sim)
{
    struct figures figures;
    figures_gather(sim->broker, sim->now_ms, &figures);
    return figures;
}

// The end of every test: all close, all sessions expire, nothing is left.
static inline void
end_empty(struct sim *sim)
{
    sim_close_all(sim);
    for (unsigned i = 0; i < sim->shard_count; i++)
        registry_each(sim->broker->shards[i]->registry, session_end);
    sim_settle(sim);
    sim_must_be_empty(sim);
    sim_free(sim);
}

#endif
