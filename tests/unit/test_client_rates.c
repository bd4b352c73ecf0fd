// test_client_rates.c - messages and bytes a second, from and to a client, over days.
#include "core/client_rates.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct config *config;
static struct listener_config *listener;

static void
set_up(void)
{
    config = sim_config();
    listener = &config->listeners[0];
    sim = sim_new(1, config);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(client_rates, .init = set_up, .fini = tear_down);

static struct sim_conn *
come(const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id, .keep = true, .expiry_s = 100});
}

// A subscriber that no rate holds up.
static struct sim_conn *
witness(uint8_t qos)
{
    struct listener_config before = *listener;
    listener->messages_in_rate = listener->messages_out_rate = 0;
    listener->bytes_in_rate = listener->bytes_out_rate = 0;
    struct sim_conn *conn = come("witness");
    *listener = before;
    subscribed(sim, conn, "#", qos);
    return conn;
}

static void
run_ms(uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i += 5)
        sim_tick(sim, 5);
    sim_settle(sim);
}

static unsigned
drain(struct sim_conn *conn, uint8_t type)
{
    struct server_packet packet;
    unsigned count = 0;
    while (sim_next(conn, &packet))
        count += packet.type == type;
    return count;
}

// What is fed until then comes in one piece, as from a socket that was not read for a while.
static void
hold_back(struct sim_conn *conn)
{
    conn->client.read_paused = true;
}

static void
let_come(struct sim_conn *conn)
{
    conn->client.read_paused = false;
    sim_settle(sim);
}

// ---- In -----------------------------------------------------------------------------------------

Test(client_rates, without_rates_there_is_nothing)
{
    cr_assert_null(come("a")->client.rates);
}

Test(client_rates, messages_beyond_the_rate_wait_and_none_is_lost)
{
    listener->messages_in_rate = 10;
    struct sim_conn *w = witness(0), *p = come("p");
    for (unsigned i = 0; i < 100; i++)
        publish_number(p, "t", 0, i);
    sim_settle(sim);
    cr_assert(p->client.read_paused && p->client.rate_paused);
    for (unsigned i = 0; i < 10; i++)
        expect_number(w, 0, i);
    expect_nothing(w);
    run_ms(1000);
    unsigned second = drain(w, MQTT_PUBLISH);
    cr_assert(second >= 9 && second <= 11, "%u in a second", second);
    run_ms(8200);
    cr_assert_eq(10 + second + drain(w, MQTT_PUBLISH), 100);
    cr_assert_not(p->client.read_paused);
    cr_assert_geq(stat_sum(sim, rate_pauses_in), 1);
    cr_assert_eq(stat_sum(sim, publish_received), 100);
}

Test(client_rates, bytes_count_with_their_packets_whatever_they_are)
{
    listener->bytes_in_rate = 200;
    struct sim_conn *p = come("p");
    for (unsigned i = 0; i < 300; i++)
        sim_ping(p);
    sim_settle(sim);
    unsigned first = drain(p, MQTT_PINGRESP);
    cr_assert_eq(first, 100, "%u pings", first);
    run_ms(1000);
    unsigned second = drain(p, MQTT_PINGRESP);
    cr_assert(second >= 95 && second <= 105, "%u pings", second);
    run_ms(1500);
    cr_assert_eq(first + second + drain(p, MQTT_PINGRESP), 300);
}

Test(client_rates, what_follows_a_connect_at_once_is_held_as_well)
{
    listener->messages_in_rate = 5;
    struct sim_conn *w = witness(0);
    struct sim_conn *p = sim_open(sim, 0);
    hold_back(p);
    sim_send_connect(p, &(struct sim_connect){.id = "p"});
    for (unsigned i = 0; i < 20; i++) {
        uint8_t packet[] = {0x30, 5, 0, 1, 't', 0, 'x'};
        sim_feed(p, packet, sizeof packet);
    }
    let_come(p);
    expect_packet(p, MQTT_CONNACK);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 5);
    run_ms(4000);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 15);
}

Test(client_rates, a_packet_in_pieces_is_taken_whole)
{
    listener->bytes_in_rate = 1000;
    struct sim_conn *w = witness(0), *p = come("p");
    uint8_t packet[4003] = {0x30, 0xa0, 0x1f, 0, 1, 't'};
    for (unsigned i = 0; i < sizeof packet; i += 7)
        sim_feed(p, packet + i, min_u32(7, (uint32_t)sizeof packet - i));
    sim_settle(sim);
    run_ms(4000);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 1);
    sim_ping(p);
    run_ms(1000);
    expect_packet(p, MQTT_PINGRESP);
}

// Whoever cuts its packets in two does not slip through.
Test(client_rates, packets_in_two_pieces_are_counted_as_others)
{
    listener->messages_in_rate = 10;
    struct sim_conn *w = witness(0),
                    *p = sim_connect(sim, &(struct sim_connect){.id = "p", .version = 4});
    for (unsigned i = 0; i < 40; i++) {
        uint8_t packet[] = {0x30, 4, 0, 1, 't', 'x', 0x30}; // the first byte of the next one
        sim_feed(p, packet + (i > 0), sizeof packet - (i > 0));
    }
    sim_settle(sim);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 10);
    run_ms(1000);
    unsigned second = drain(w, MQTT_PUBLISH);
    cr_assert(second >= 9 && second <= 11, "%u in a second", second);
    run_ms(2500);
    cr_assert_eq(10 + second + drain(w, MQTT_PUBLISH), 40);
}

Test(client_rates, pieces_that_come_while_it_is_held_stay_in_order)
{
    listener->messages_in_rate = 2;
    struct sim_conn *w = witness(0),
                    *p = sim_connect(sim, &(struct sim_connect){.id = "p", .version = 4});
    for (unsigned i = 0; i < 10; i++) {
        uint8_t packet[] = {0x30, 4, 0, 1, 't', (uint8_t)('0' + i)};
        for (unsigned at = 0; at < sizeof packet; at += 2) {
            p->client.read_paused = false; // what was on its way when reading was stopped
            sim_feed(p, packet + at, 2);
        }
        p->client.read_paused = p->client.rate_paused;
    }
    sim_settle(sim);
    cr_assert_gt(p->client.rates->held_len, 0);
    run_ms(5000);
    for (unsigned i = 0; i < 10; i++)
        expect_number(w, 0, i);
    expect_nothing(w);
}

Test(client_rates, keep_alive_does_not_end_whom_we_do_not_read)
{
    listener->messages_in_rate = 1;
    struct sim_conn *w = witness(0);
    struct sim_conn *p = sim_connect(sim, &(struct sim_connect){.id = "p", .keep_alive_s = 2});
    for (unsigned i = 0; i < 20; i++)
        publish_number(p, "t", 0, i);
    run_ms(19500);
    cr_assert(p->open);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 20);
    run_ms(5000);
    cr_assert_not(p->open, "now it is silent by itself");
}

Test(client_rates, the_last_words_of_whoever_goes_are_taken)
{
    listener->messages_in_rate = 2;
    struct sim_conn *w = witness(0);
    struct sim_conn *p = sim_connect(
        sim, &(struct sim_connect){.id = "p", .will_topic = "w", .will_payload = "will"});
    hold_back(p);
    for (unsigned i = 0; i < 10; i++)
        publish_number(p, "t", 0, i);
    sim_disconnect(p, 0);
    let_come(p);
    cr_assert(p->open && p->client.rates->held_len > 0);
    sim_close(p, 0);
    sim_settle(sim);
    for (unsigned i = 0; i < 10; i++)
        expect_number(w, 0, i);
    expect_nothing(w); // no Will: it had said DISCONNECT
}

Test(client_rates, a_bad_packet_among_those_held_ends_the_client_in_its_turn)
{
    listener->messages_in_rate = 2;
    struct sim_conn *w = witness(0), *p = come("p");
    hold_back(p);
    for (unsigned i = 0; i < 4; i++)
        publish_number(p, "t", 0, i);
    sim_feed(p, "\x00\x00", 2);
    let_come(p);
    cr_assert(p->open);
    run_ms(1600);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 4);
    cr_assert_not(p->open);
}

Test(client_rates, a_takeover_ends_whoever_is_held)
{
    listener->messages_in_rate = 1;
    struct sim_conn *p = come("p");
    for (unsigned i = 0; i < 10; i++)
        publish_number(p, "t", 0, i);
    sim_settle(sim);
    struct sim_conn *again = come("p");
    cr_assert_eq(again->hello.reason, 0);
    cr_assert_not(p->open);
    run_ms(2000);
    cr_assert(again->open);
}

Test(client_rates, a_rate_that_a_reload_takes_away_holds_nobody)
{
    listener->messages_in_rate = 1;
    struct sim_conn *w = witness(0), *p = come("p");
    for (unsigned i = 0; i < 50; i++)
        publish_number(p, "t", 0, i);
    sim_settle(sim);
    listener->messages_in_rate = 0;
    run_ms(1100);
    cr_assert_eq(drain(w, MQTT_PUBLISH), 50);
    cr_assert_not(p->client.read_paused);
}

// ---- Out ----------------------------------------------------------------------------------------

Test(client_rates, qos1_waits_in_the_queue_and_qos0_is_dropped_and_counted)
{
    struct sim_conn *p = come("p");
    listener->messages_out_rate = 10;
    struct sim_conn *s = come("s");
    subscribed(sim, s, "t/#", 1);
    for (unsigned i = 0; i < 30; i++)
        publish_number(p, "t/1", 1, i);
    for (unsigned i = 0; i < 5; i++)
        publish_number(p, "t/0", 0, i);
    sim_settle(sim);
    for (unsigned i = 0; i < 10; i++)
        sim_ack(s, MQTT_PUBACK, expect_number(s, 1, i).packet_id);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_rate), 5);
    for (unsigned ms = 0; ms < 2100; ms += 5) {
        struct server_packet packet;
        sim_tick(sim, 5);
        while (sim_next(s, &packet))
            sim_ack(s, MQTT_PUBACK, packet.packet_id);
    }
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, publish_sent), 30);
    cr_assert_eq(stat_sum(sim, messages_queued), 0);
    cr_assert_geq(stat_sum(sim, rate_pauses_out), 1);
}

Test(client_rates, qos0_waits_where_it_is_queued)
{
    struct sim_conn *p = come("p");
    config->queue_qos0_messages = true;
    listener->messages_out_rate = 10;
    struct sim_conn *s = come("s");
    subscribed(sim, s, "t", 0);
    for (unsigned i = 0; i < 25; i++)
        publish_number(p, "t", 0, i);
    run_ms(1700);
    for (unsigned i = 0; i < 25; i++)
        expect_number(s, 0, i);
    cr_assert_eq(stat_sum(sim, dropped_rate), 0);
}

Test(client_rates, bytes_out_hold_a_retained_flood)
{
    struct sim_conn *p = come("p");
    char topic[16];
    for (unsigned i = 0; i < 50; i++) {
        (void)snprintf(topic, sizeof topic, "r/%u", i);
        sim_publish(p,
                    &(struct sim_publish){.topic = topic,
                                          .retain = true,
                                          .payload = slice_str("0123456789012345678901234567890")});
    }
    sim_settle(sim);
    listener->bytes_out_rate = 400;
    struct sim_conn *s = come("s");
    subscribed(sim, s, "r/#", 0);
    unsigned first = drain(s, MQTT_PUBLISH);
    cr_assert(first >= 10 && first <= 12, "%u", first);
    run_ms(2000);
    unsigned then = drain(s, MQTT_PUBLISH);
    cr_assert(then >= 18 && then <= 24, "%u", then);
    run_ms(3000);
    cr_assert_eq(first + then + drain(s, MQTT_PUBLISH), 50, "none is dropped");
}

Test(client_rates, whoever_waits_lets_the_worker_sleep)
{
    struct sim_conn *p = come("p");
    listener->messages_out_rate = 1;
    struct sim_conn *s = come("s");
    subscribed(sim, s, "t", 1);
    for (unsigned i = 0; i < 5; i++)
        publish_number(p, "t", 1, i);
    sim_settle(sim); // which fails when it never comes to rest
    cr_assert_gt(shard_wait_until(sim->broker->shards[0]), sim->now_ms);
}
