// test_listener_stats.c - what is counted is counted for the right listener, once.
#include "core/shard.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    config->listener_count = 2;
    config->listeners[1] = config->listeners[0];
    sim = sim_new(2, config);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(listener_stats, .init = set_up, .fini = tear_down);

static struct sim_conn *
come(unsigned shard, uint32_t listener, const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, shard);
    client_set_listener(&conn->client, listener);
    sim_send_connect(conn, c);
    sim_settle(sim);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    return conn;
}

static struct sim_conn *
plain(unsigned shard, uint32_t listener)
{
    return come(shard, listener, &(struct sim_connect){.id = id_on(sim, shard)});
}

// A listener's, of all shards; LISTENER_NONE: of none.
#define count_at(listener, name) count_at_offset((listener), offsetof(struct listener_stats, name))
static uint64_t
count_at_offset(uint32_t listener, size_t offset)
{
    uint64_t sum = 0;
    for (unsigned i = 0; i < sim->shard_count; i++) {
        const struct listener_stats *stats = shard_listener(sim->broker->shards[i], listener);
        const void *counter = (const char *)stats + offset;
        sum += stat_get(counter);
    }
    return sum;
}

static void
expect_packets(uint32_t listener, uint64_t received, uint64_t sent)
{
    cr_assert_eq(count_at(listener, publish_received), received, "%u", listener);
    cr_assert_eq(count_at(listener, publish_sent), sent, "%u", listener);
}

// As many numbers at a QoS from p, in one piece, all of them for all of subs.
static void
carry(struct sim_conn *p, struct sim_conn *const subs[3], uint8_t qos, unsigned count)
{
    for (unsigned n = 0; n < count; n++)
        publish_number(p, "t", qos, n);
    sim_settle(sim);
    for (unsigned i = 0; i < 3; i++)
        for (unsigned n = 0; n < count; n++) {
            struct server_packet packet = expect_number(subs[i], qos, n);
            if (qos > 0)
                sim_ack(subs[i], qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, packet.packet_id);
        }
    for (unsigned n = 0; qos > 0 && n < count; n++) {
        uint16_t id = expect_packet(p, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC).packet_id;
        if (qos == 2)
            sim_ack(p, MQTT_PUBREL, id);
    }
    sim_settle(sim);
    struct server_packet packet;
    while (sim_next(p, &packet))
        cr_assert_eq(packet.type, MQTT_PUBCOMP);
    for (unsigned i = 0; i < 3; i++)
        while (sim_next(subs[i], &packet))
            sim_ack(subs[i], MQTT_PUBCOMP, packet.packet_id);
    sim_settle(sim);
}

Test(listener_stats, messages_are_those_of_the_listener_at_every_qos)
{
    struct sim_conn *p = plain(0, 0), *subs[3];
    for (unsigned i = 0; i < 3; i++) { // one at the first listener, two at the second
        subs[i] = plain(i % 2, i > 0);
        subscribed(sim, subs[i], "t", 2);
    }
    expect_packets(0, 0, 0);
    uint64_t sent = 0;
    for (uint8_t qos = 0; qos <= 2; qos++) {
        carry(p, subs, qos, 10u + qos);
        sent += 10u + qos;
        expect_packets(0, sent, sent);
        expect_packets(1, 0, 2 * sent);
    }
    cr_assert_eq(count_at(0, packets_received), 3 + sent + 11 + 3 * 12);
    cr_assert_eq(stat_sum(sim, publish_received), sent);
    cr_assert_eq(stat_sum(sim, publish_sent), 3 * sent);
    expect_packets(LISTENER_NONE, 0, 0);
}

Test(listener_stats, what_is_dropped_is_of_the_listener_that_its_client_came_by)
{
    config->queued_messages_max = 2;
    config->queue_full_action = QUEUE_FULL_DROP_NEWEST;
    struct sim_conn *p = plain(0, 0);
    struct sim_connect c = {.id = id_on(sim, 1), .keep = true, .expiry_s = 100};
    struct sim_conn *a = come(1, 1, &c);
    subscribed(sim, a, "t", 1);
    sim_close(a, 0);
    for (unsigned n = 0; n < 5; n++)
        publish_number(p, "t", 1, n);
    publish_text(p, "t", 0, "not kept");
    sim_settle(sim);
    cr_assert_eq(count_at(1, dropped_queue_full), 3, "it has no connection");
    cr_assert_eq(count_at(1, dropped_offline_qos0), 1);
    a = come(1, 0, &c);
    expect_number(a, 1, 0);
    expect_number(a, 1, 1);
    expect_nothing(a);
    sim_close(a, 0);
    for (unsigned n = 5; n < 8; n++) // beside two that were sent before
        publish_number(p, "t", 1, n);
    sim_tick(sim, 101 * 1000);
    sim_settle(sim);
    cr_assert_eq(count_at(0, dropped_queue_full), 1, "it has come by another one since");
    cr_assert_eq(count_at(0, dropped_session_end), 4);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 4);
    cr_assert_eq(stat_sum(sim, dropped_session_end), 4);
    cr_assert_eq(count_at(LISTENER_NONE, dropped_queue_full), 0);
}

Test(listener_stats, what_cannot_be_retained_is_counted_once_and_is_its_publishers)
{
    config->retained_messages_max = 1;
    struct sim_conn *p = plain(0, 1);
    struct sim_publish m = {.topic = "r", .qos = 1, .retain = true, .payload = slice_str("x")};
    sim_publish(p, &m);
    m.topic = "s";
    sim_publish(p, &m);
    sim_settle(sim);
    cr_assert_eq(count_at(1, dropped_retained_full), 1);
    // A Will is, too.
    struct sim_conn *w =
        come(1, 0,
             &(struct sim_connect){
                 .id = id_on(sim, 1), .will_topic = "w", .will_payload = "x", .will_retain = true});
    sim_close(w, 0);
    sim_settle(sim);
    cr_assert_eq(count_at(0, dropped_retained_full), 1);
    cr_assert_eq(stat_sum(sim, dropped_retained_full), 2);
    sim_publish(p, &(struct sim_publish){.topic = "r", .qos = 1, .retain = true});
    sim_settle(sim);
}
