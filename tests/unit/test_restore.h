// test_restore.h - a broker on a simulated disk that can be killed and started again.
//
// Job:    what the tests of a restart share.
// Owner:  the test. Thread: one. Memory: from set_up to tear_down. Limits: none.
#ifndef TERN_TESTS_UNIT_TEST_RESTORE_H
#define TERN_TESTS_UNIT_TEST_RESTORE_H

#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"

#define SHARDS 2

static struct sim *sim;
static struct sim_disk *disk;

static inline void
set_up(void)
{
    disk = sim_disk_new();
    sim = sim_start(SHARDS, sim_config(), disk, SIM_START_MS);
}

static inline void
tear_down(void)
{
    sim_free(sim);
    sim_disk_free(disk);
}

static inline struct sim_conn *
fleeting(const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id});
}

static inline void
settle(void)
{
    sim_settle_kept(sim, disk);
}

// Also what nobody waits for.
static inline void
write_all(void)
{
    settle();
    sim_tick(sim, 100);
    settle();
}

// The process is killed: what is not on the disk is lost. ms: until the next one starts.
static inline void
crash(uint64_t ms)
{
    uint64_t now = sim->now_ms + ms;
    sim_free(sim);
    sim = sim_start(SHARDS, sim_config(), disk, now);
}

static inline void
subscribe(struct sim_conn *conn, const char *filter, uint8_t qos)
{
    sim_subscribe(conn, &(struct sim_subscribe){.filter = filter, .options = qos});
    settle();
    expect_packet(conn, MQTT_SUBACK);
}

static inline void
publish(struct sim_conn *conn, const char *topic, uint8_t qos, uint16_t id, const char *text)
{
    sim_publish(conn, &(struct sim_publish){
                          .topic = topic, .qos = qos, .packet_id = id, .payload = slice_str(text)});
}

static inline void
publish_numbers(struct sim_conn *conn, const char *topic, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        publish(conn, topic, 1, (uint16_t)(i % 60000 + 1), text);
    }
    settle();
}

// The next message, acknowledged.
static inline struct server_packet
take(struct sim_conn *conn, const char *text)
{
    struct server_packet packet = expect_publish(conn, 1, text);
    sim_ack(conn, MQTT_PUBACK, packet.packet_id);
    return packet;
}

static inline void
take_numbers(struct sim_conn *conn, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++) {
        char text[16];
        (void)snprintf(text, sizeof text, "%u", i);
        struct server_packet packet;
        if (!sim_next(conn, &packet)) {
            settle();
            cr_assert(sim_next(conn, &packet), "message %u", i);
        }
        cr_assert_eq(packet.type, MQTT_PUBLISH);
        cr_assert(slice_equal(packet.payload, slice_str(text)), "\"%.*s\", not %u",
                  (int)packet.payload.len, (const char *)packet.payload.data, i);
        sim_ack(conn, MQTT_PUBACK, packet.packet_id);
    }
}

#endif
