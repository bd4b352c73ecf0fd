// test_session.c - sessions over days: takeover, expiry, Will, queues, windows, slow clients.
#include "tests/sim/expect.h"

#define DAY_MS  UINT64_C(86400000)
#define HOUR_MS UINT64_C(3600000)

static struct sim *sim;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    sim = sim_new(2, config);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(session, .init = set_up, .fini = tear_down);

static struct sim_conn *
come(const char *id, uint32_t expiry_s)
{
    return sim_connect(sim, &(struct sim_connect){.id = id, .keep = true, .expiry_s = expiry_s});
}

static struct sim_conn *
publisher(void)
{
    return sim_connect(sim, &(struct sim_connect){.id = "publisher"});
}

static void
go(struct sim_conn *conn)
{
    sim_close(conn, 0);
    sim_settle(sim);
}

// ---- Takeover -----------------------------------------------------------------------------------

Test(session, the_second_connection_takes_over_and_the_first_is_told)
{
    struct sim_conn *first = come("a", 100), *second;
    subscribed(sim, first, "t", 1);
    second = come("a", 100);
    expect_dismissed(first, 0x8e);
    cr_assert(second->hello.session_present);
    struct sim_conn *p = publisher();
    publish_text(p, "t", 1, "to the second");
    sim_settle(sim);
    expect_publish(second, 1, "to the second");
    cr_assert_eq(stat_sum(sim, takeovers), 1);
    cr_assert_eq(stat_sum(sim, clients_connected), 2);
}

Test(session, what_the_first_did_not_acknowledge_goes_to_the_second_with_dup)
{
    struct sim_conn *p = publisher(), *first = come("a", 100);
    subscribed(sim, first, "t", 2);
    publish_text(p, "t", 1, "one");
    publish_text(p, "t", 2, "two");
    sim_settle(sim);
    uint16_t id1 = expect_publish(first, 1, "one").packet_id;
    uint16_t id2 = expect_publish(first, 2, "two").packet_id;
    sim_ack(first, MQTT_PUBREC, id2);
    sim_settle(sim);
    expect_answer(first, MQTT_PUBREL, id2, 0);
    struct sim_conn *second = come("a", 100);
    struct server_packet again = expect_publish(second, 1, "one");
    cr_assert(again.dup);
    cr_assert_eq(again.packet_id, id1);
    expect_answer(second, MQTT_PUBREL, id2, 0); // not the message: it was received
    sim_ack(second, MQTT_PUBACK, id1);
    sim_ack(second, MQTT_PUBCOMP, id2);
    sim_settle(sim);
    expect_nothing(second);
    cr_assert_eq(stat_sum(sim, messages_inflight), 0);
}

Test(session, a_blocked_client_is_taken_over_as_well)
{
    struct sim_conn *p = publisher(), *first = come("a", 100);
    subscribed(sim, first, "t", 1);
    sim_room(first, 3);
    publish_text(p, "t", 1, "never read");
    sim_settle(sim);
    cr_assert(first->client.blocked);
    struct sim_conn *second = come("a", 100);
    cr_assert_not(first->open);
    cr_assert(expect_publish(second, 1, "never read").dup);
}

Test(session, takeover_in_the_tick_in_which_the_first_ends_by_itself)
{
    struct sim_conn *first = come("a", 100);
    sim_disconnect(first, 0); // CLOSING, still attached
    struct sim_conn *second = come("a", 100);
    expect_dismissed(first, 0);
    cr_assert(second->hello.session_present);
    cr_assert_eq(stat_sum(sim, clients_connected), 1);
}

Test(session, takeover_of_a_session_that_ends_with_its_connection_starts_anew)
{
    struct sim_conn *first = come("a", 0);
    subscribed(sim, first, "t", 1);
    struct sim_conn *second = come("a", 0);
    expect_dismissed(first, 0x8e);
    cr_assert_not(second->hello.session_present);
    cr_assert_eq(stat_sum(sim, subscriptions), 0);
}

Test(session, clean_start_ends_what_was_there)
{
    struct sim_conn *p = publisher(), *first = come("a", 1000);
    subscribed(sim, first, "t", 1);
    go(first);
    publish_text(p, "t", 1, "lost with the session");
    sim_settle(sim);
    struct sim_conn *second = sim_connect(sim, &(struct sim_connect){.id = "a"});
    cr_assert_not(second->hello.session_present);
    expect_nothing(second);
    cr_assert_eq(stat_sum(sim, subscriptions), 0);
    cr_assert_eq(stat_sum(sim, dropped_session_end), 1);
}

// ---- Expiry -------------------------------------------------------------------------------------

Test(session, lives_for_its_expiry_interval_and_not_longer)
{
    go(come("a", 3 * 86400));
    sim_tick(sim, 3 * DAY_MS - 1000);
    cr_assert_eq(stat_sum(sim, sessions), 1);
    struct sim_conn *again = come("a", 3 * 86400);
    cr_assert(again->hello.session_present);
    sim_tick(sim, 10 * DAY_MS); // connected: no clock runs
    cr_assert_eq(stat_sum(sim, sessions), 1);
    go(again);
    sim_tick(sim, 3 * DAY_MS + 100);
    cr_assert_eq(stat_sum(sim, sessions), 0);
    cr_assert_eq(stat_sum(sim, sessions_expired), 1);
    cr_assert_not(come("a", 1)->hello.session_present);
}

Test(session, never_expires_unless_the_operator_says_so)
{
    go(come("a", MQTT_EXPIRY_NEVER));
    sim_tick(sim, 4000 * DAY_MS);
    cr_assert_eq(stat_sum(sim, sessions), 1);
    config->session_expiry_max_s = 60;
    struct sim_conn *again = come("a", MQTT_EXPIRY_NEVER);
    cr_assert_eq(again->hello.session_expiry_s, 60, "told of the shorter one");
    go(again);
    sim_tick(sim, 61000);
    cr_assert_eq(stat_sum(sim, sessions), 0);
}

Test(session, disconnect_may_change_the_expiry_but_not_revive_the_dead)
{
    struct sim_conn *a = come("a", 10), *b = come("b", 0);
    sim_disconnect_expiry(a, 7200);
    sim_settle(sim);
    sim_tick(sim, HOUR_MS);
    cr_assert_eq(stat_sum(sim, sessions), 2);
    sim_disconnect_expiry(b, 7200);
    sim_settle(sim);
    expect_dismissed(b, 0x82);
    sim_tick(sim, HOUR_MS + 100);
    cr_assert_eq(stat_sum(sim, sessions), 0);
}

// ---- The Will -----------------------------------------------------------------------------------

static struct sim_conn *
mortal(uint32_t delay_s, uint32_t expiry_s)
{
    return sim_connect(sim, &(struct sim_connect){.id = "mortal",
                                                  .keep = true,
                                                  .expiry_s = expiry_s,
                                                  .will_topic = "will",
                                                  .will_payload = "gone",
                                                  .will_delay_s = delay_s});
}

static struct sim_conn *
heir(void)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "heir"});
    subscribed(sim, conn, "will", 0);
    return conn;
}

Test(session, a_will_waits_for_its_delay)
{
    struct sim_conn *h = heir();
    go(mortal(3600, 86400));
    sim_tick(sim, HOUR_MS - 1000);
    expect_nothing(h);
    sim_tick(sim, 1020);
    sim_settle(sim);
    expect_publish(h, 0, "gone");
    sim_tick(sim, DAY_MS);
    expect_nothing(h);
    cr_assert_eq(stat_sum(sim, sessions), 1, "the heir");
    cr_assert_eq(stat_sum(sim, wills_published), 1);
}

Test(session, a_will_does_not_outlive_the_session)
{
    struct sim_conn *h = heir();
    go(mortal(86400, 60));
    sim_tick(sim, 59000);
    expect_nothing(h);
    sim_tick(sim, 1100);
    sim_settle(sim);
    expect_publish(h, 0, "gone");
    go(mortal(86400, 0)); // ends at once, so does the delay
    expect_publish(h, 0, "gone");
}

Test(session, who_comes_back_in_time_is_not_mourned)
{
    struct sim_conn *h = heir();
    go(mortal(10, 86400));
    sim_tick(sim, 9000);
    struct sim_conn *back = come("mortal", 86400);
    cr_assert(back->hello.session_present);
    sim_tick(sim, 2000);
    go(back);
    sim_tick(sim, 2 * DAY_MS);
    sim_settle(sim);
    expect_nothing(h);
}

Test(session, takeover_publishes_the_will_unless_it_was_to_wait)
{
    struct sim_conn *h = heir();
    (void)mortal(0, 100);
    (void)mortal(30, 100);
    sim_settle(sim);
    expect_publish(h, 0, "gone");
    (void)mortal(0, 100);
    sim_tick(sim, 40000);
    expect_nothing(h);
}

Test(session, disconnect_takes_the_will_away_and_disconnect_with_will_does_not)
{
    struct sim_conn *h = heir();
    sim_disconnect(mortal(0, 0), 0);
    sim_settle(sim);
    expect_nothing(h);
    sim_disconnect(mortal(0, 0), REASON_DISCONNECT_WITH_WILL);
    sim_settle(sim);
    expect_publish(h, 0, "gone");
    (void)mortal(0, 0);
    shard_shutdown(sim->broker->shards[broker_home(sim->broker, slice_str("mortal"))]);
    sim_settle(sim);
    struct server_packet packet;
    cr_assert(!sim_next(h, &packet) || packet.type == MQTT_DISCONNECT, "the broker's end is none");
}

// ---- Queue and window ---------------------------------------------------------------------------

Test(session, the_window_is_kept_and_the_rest_follows_in_order)
{
    struct sim_conn *p = publisher();
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a", .receive_max = 3});
    subscribed(sim, a, "t", 1);
    for (unsigned i = 0; i < 10; i++)
        publish_number(p, "t", 1, i);
    sim_settle(sim);
    uint16_t ids[10];
    for (unsigned i = 0; i < 3; i++)
        ids[i] = expect_number(a, 1, i).packet_id;
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, messages_inflight), 3);
    cr_assert_eq(stat_sum(sim, messages_queued), 7);
    for (unsigned i = 3; i < 10; i++) {
        sim_ack(a, MQTT_PUBACK, ids[i - 3]);
        sim_settle(sim);
        ids[i] = expect_number(a, 1, i).packet_id;
        expect_nothing(a);
    }
    cr_assert_eq(stat_sum(sim, messages_queued), 0);
    cr_assert_eq(stat_sum(sim, messages_queued_bytes), 0);
}

Test(session, a_full_window_grows_with_each_acknowledgement)
{
    struct sim_conn *p = publisher(), *a = come("a", 0);
    subscribed(sim, a, "t", 1);
    for (unsigned i = 0; i < 100; i++)
        publish_number(p, "t", 1, i);
    sim_settle(sim);
    uint16_t ids[100];
    for (unsigned i = 0; i < CLIENT_WINDOW_FIRST; i++)
        ids[i] = expect_number(a, 1, i).packet_id;
    expect_nothing(a);
    unsigned next = CLIENT_WINDOW_FIRST;
    for (unsigned i = 0; i < 40; i++) {
        sim_ack(a, MQTT_PUBACK, ids[i]);
        sim_settle(sim);
        for (unsigned n = 0; n < 2; n++, next++)
            ids[next] = expect_number(a, 1, next).packet_id;
        expect_nothing(a);
    }
    cr_assert_eq(next, 100);
    for (unsigned i = 40; i < 100; i++)
        sim_ack(a, MQTT_PUBACK, ids[i]);
    sim_settle(sim);
    cr_assert_eq(a->client.window, CLIENT_WINDOW_FIRST + 41, "no more than it was full");
    publish_number(p, "t", 1, 7);
    sim_settle(sim);
    sim_ack(a, MQTT_PUBACK, expect_number(a, 1, 7).packet_id);
    cr_assert_eq(a->client.window, CLIENT_WINDOW_FIRST + 41);
}

Test(session, before_mqtt_5_few_qos_2_flows_are_under_way)
{
    struct sim_conn *p = publisher();
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a", .version = 4});
    subscribed(sim, a, "t", 2);
    for (unsigned i = 0; i < 60; i++)
        publish_number(p, "t", 2, i);
    sim_settle(sim);
    uint16_t ids[60 + CLIENT_WINDOW_FIRST];
    for (unsigned i = 0; i < CLIENT_WINDOW_FIRST; i++)
        ids[i] = expect_number(a, 2, i).packet_id;
    for (unsigned i = 0; i < 60; i++) {
        expect_nothing(a);
        sim_ack(a, MQTT_PUBREC, ids[i]);
        sim_settle(sim);
        cr_assert_eq(expect_packet(a, MQTT_PUBREL).packet_id, ids[i]);
        sim_ack(a, MQTT_PUBCOMP, ids[i]);
        sim_settle(sim);
        if (i + CLIENT_WINDOW_FIRST < 60)
            ids[i + CLIENT_WINDOW_FIRST] = expect_number(a, 2, i + CLIENT_WINDOW_FIRST).packet_id;
    }
    expect_nothing(a);
}

static struct sim_conn *
overfill(enum queue_full_action action)
{
    config->queue_full_action = action;
    config->queued_messages_max = 5;
    struct sim_conn *p = publisher();
    struct sim_conn *a = sim_connect(
        sim, &(struct sim_connect){.id = "a", .keep = true, .expiry_s = 100, .receive_max = 1});
    subscribed(sim, a, "t", 1);
    for (unsigned i = 0; i < 10; i++)
        publish_number(p, "t", 1, i);
    sim_settle(sim);
    return a;
}

// Acknowledges each, until there is no more.
static void
expect_numbers(struct sim_conn *conn, unsigned first, unsigned last)
{
    for (unsigned i = first; i <= last; i++) {
        sim_ack(conn, MQTT_PUBACK, expect_number(conn, 1, i).packet_id);
        sim_settle(sim);
    }
}

Test(session, a_full_queue_drops_the_newest)
{
    struct sim_conn *a = overfill(QUEUE_FULL_DROP_NEWEST);
    expect_numbers(a, 0, 5);
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 4);
}

Test(session, a_full_queue_drops_the_oldest)
{
    struct sim_conn *a = overfill(QUEUE_FULL_DROP_OLDEST);
    expect_numbers(a, 0, 0);
    expect_numbers(a, 5, 9);
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 4);
}

Test(session, a_full_queue_disconnects_and_keeps_what_it_has)
{
    struct sim_conn *a = overfill(QUEUE_FULL_DISCONNECT);
    expect_number(a, 1, 0);
    expect_dismissed(a, 0x97);
    cr_assert_eq(stat_sum(sim, disconnected_slow), 1);
    struct sim_conn *back = come("a", 100);
    expect_numbers(back, 0, 5);
    expect_nothing(back);
}

// Its own publication ends it: what would be acknowledged comes again [MQTT-3.14.4-1].
Test(session, nothing_follows_the_disconnect_of_who_fills_its_own_queue)
{
    for (uint8_t qos = 1; qos <= 2; qos++) {
        config->queue_full_action = QUEUE_FULL_DISCONNECT;
        config->queued_messages_max = 2;
        struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a", .receive_max = 1});
        subscribed(sim, a, "t", qos);
        for (unsigned i = 0; i < 5; i++)
            publish_number(a, "t", qos, i);
        sim_settle(sim);
        struct server_packet packet;
        bool dismissed = false;
        while (sim_next(a, &packet)) {
            cr_assert_not(dismissed, "%u after DISCONNECT", packet.type);
            dismissed = packet.type == MQTT_DISCONNECT;
        }
        cr_assert(dismissed);
        cr_assert_not(a->open);
    }
}

Test(session, the_queue_is_bounded_by_bytes_too)
{
    config->queued_bytes_max = 2000;
    struct sim_conn *p = publisher(), *a = come("a", 100);
    subscribed(sim, a, "t", 1);
    go(a);
    static const uint8_t body[700];
    for (unsigned i = 0; i < 5; i++)
        sim_publish(p, &(struct sim_publish){
                           .topic = "t", .qos = 1, .payload = slice_of(body, sizeof body)});
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, messages_queued), 2);
    cr_assert_leq(stat_sum(sim, messages_queued_bytes), 2000);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 3);
}

Test(session, what_expired_in_the_queue_is_not_sent_and_the_rest_says_what_is_left)
{
    struct sim_conn *p = publisher(), *a = come("a", 1000);
    subscribed(sim, a, "t", 1);
    go(a);
    struct sim_publish short_lived = {
        .topic = "t", .qos = 1, .payload = slice_str("short"), .has_expiry = true, .expiry_s = 5};
    struct sim_publish long_lived = short_lived;
    long_lived.payload = slice_str("long");
    long_lived.expiry_s = 100;
    sim_publish(p, &short_lived);
    sim_publish(p, &long_lived);
    sim_settle(sim);
    sim_tick(sim, 40000);
    struct sim_conn *back = come("a", 1000);
    cr_assert_eq(expect_publish(back, 1, "long").expiry_s, 60);
    expect_nothing(back);
    cr_assert_eq(stat_sum(sim, dropped_expired), 1);
}

Test(session, what_has_expired_when_it_comes_is_not_sent)
{
    struct sim_conn *p = publisher(), *a = come("a", 100);
    subscribed(sim, a, "t", 2);
    for (uint8_t qos = 1; qos <= 2; qos++) {
        struct sim_publish dead = {.topic = "t", .qos = qos, .packet_id = qos, .has_expiry = true};
        sim_publish(p, &dead);
        sim_settle(sim);
        expect_nothing(a);
        cr_assert_eq(stat_sum(sim, dropped_expired), qos);
        cr_assert_eq(stat_sum(sim, messages_queued) + stat_sum(sim, messages_inflight), 0);
    }
    publish_text(p, "t", 1, "alive");
    sim_settle(sim);
    expect_publish(a, 1, "alive");
}

// It counts as sent, and as acknowledged: nothing of it stays.
Test(session, what_is_too_large_for_its_client_is_done_with)
{
    static const uint8_t body[200];
    struct sim_conn *p = publisher();
    struct sim_conn *a = sim_connect(
        sim, &(struct sim_connect){
                 .id = "a", .keep = true, .expiry_s = 100, .packet_max = 100, .receive_max = 2});
    subscribed(sim, a, "t", 1);
    for (unsigned i = 0; i < 5; i++)
        sim_publish(p, &(struct sim_publish){
                           .topic = "t", .qos = 1, .payload = slice_of(body, sizeof body)});
    sim_settle(sim);
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, dropped_too_large), 5);
    cr_assert_eq(stat_sum(sim, messages_queued) + stat_sum(sim, messages_inflight), 0);
    publish_text(p, "t", 1, "small");
    sim_settle(sim);
    cr_assert_eq(expect_publish(a, 1, "small").packet_id, 6);
}

Test(session, qos_0_is_for_those_who_are_there_unless_the_operator_says_otherwise)
{
    struct sim_conn *p = publisher(), *a = come("a", 100);
    subscribed(sim, a, "t", 1);
    go(a);
    publish_text(p, "t", 0, "lost");
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, dropped_offline_qos0), 1);
    config->queue_qos0_messages = true;
    publish_text(p, "t", 0, "kept");
    sim_settle(sim);
    expect_publish(come("a", 100), 0, "kept");
}

// ---- Slow clients -------------------------------------------------------------------------------

Test(session, qos_0_to_a_slow_client_is_dropped_beyond_its_limit_and_counted)
{
    config->output_bytes_max = 100000;
    struct sim_conn *p = publisher(), *a = come("a", 0);
    subscribed(sim, a, "t", 0);
    static uint8_t body[1000];
    sim_room(a, 0);
    for (unsigned i = 0; i < 200; i++) {
        body[0] = (uint8_t)i;
        sim_publish(p, &(struct sim_publish){.topic = "t", .payload = slice_of(body, sizeof body)});
    }
    sim_settle(sim);
    uint64_t dropped = stat_sum(sim, dropped_slow_consumer);
    cr_assert(dropped > 95 && dropped < 110, "%d", (int)dropped);
    cr_assert_leq(outq_bytes(&a->client.out), 100000);
    sim_room(a, SIM_UNLIMITED);
    sim_settle(sim);
    for (unsigned i = 0; i < 200 - dropped; i++)
        cr_assert_eq(expect_packet(a, MQTT_PUBLISH).payload.data[0], (uint8_t)i, "the first ones");
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, publish_sent), 200 - dropped);
}

Test(session, large_bodies_wait_in_the_session_and_not_in_the_out_queue)
{
    config->inflight_messages_max = 0;
    struct sim_conn *p = publisher(), *a = come("a", 0);
    subscribed(sim, a, "t", 1);
    static const uint8_t body[100000];
    sim_room(a, 50);
    for (unsigned i = 0; i < 30; i++)
        sim_publish(p, &(struct sim_publish){.topic = "t",
                                             .qos = 1,
                                             .payload = slice_of(body, sizeof body),
                                             .packet_id = (uint16_t)(i + 1)});
    sim_settle(sim);
    cr_assert_lt(outq_bytes(&a->client.out), 500000);
    cr_assert_gt(stat_sum(sim, messages_queued), 20);
    sim_room(a, 12345); // in pieces, at any byte
    sim_settle(sim);
    sim_room(a, SIM_UNLIMITED);
    sim_settle(sim);
    for (unsigned i = 0; i < 30; i++)
        cr_assert_eq(expect_packet(a, MQTT_PUBLISH).payload.len, sizeof body);
    cr_assert_eq(stat_sum(sim, messages_queued), 0);
}

Test(session, who_does_not_read_its_answers_is_not_read)
{
    struct sim_conn *a = come("a", 0);
    sim_room(a, 0);
    for (unsigned i = 0; i < 1000000 && !a->client.read_paused; i++)
        sim_ping(a);
    cr_assert(a->client.read_paused);
    uint64_t had = outq_bytes(&a->client.out);
    for (unsigned i = 0; i < 1000; i++)
        sim_ping(a);
    sim_settle(sim);
    cr_assert_eq(outq_bytes(&a->client.out), had, "paused");
    sim_room(a, SIM_UNLIMITED);
    sim_settle(sim);
    cr_assert_not(a->client.read_paused);
    unsigned pongs = 0;
    struct server_packet packet;
    for (; sim_next(a, &packet); pongs++)
        cr_assert_eq(packet.type, MQTT_PINGRESP);
    cr_assert_eq(pongs, had / 2 + 1000);
}

// ---- Retained messages for a new subscription ---------------------------------------------------

static void
retain_many(struct sim_conn *p, unsigned count, uint8_t qos)
{
    for (unsigned i = 0; i < count; i++) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "r/%u/%u", i % 100, i);
        sim_publish(p, &(struct sim_publish){.topic = topic,
                                             .qos = qos,
                                             .retain = true,
                                             .payload = slice_str("retained"),
                                             .packet_id = (uint16_t)(i % 60000 + 1)});
    }
    sim_settle(sim);
}

Test(session, thirty_thousand_retained_messages_come_over_many_ticks)
{
    retain_many(publisher(), 30000, 0);
    struct sim_conn *a = come("a", 0);
    sim_subscribe(a, &(struct sim_subscribe){.filter = "r/#", .options = 1});
    unsigned ticks = 0;
    do {
        sim_tick(sim, 0);
        cr_assert_lt(a->to_peer.len / 1000 / (++ticks + 1), 600, "a bounded share of each tick");
    } while (!sim_is_idle(sim));
    cr_assert_gt(ticks, 50);
    expect_packet(a, MQTT_SUBACK);
    for (unsigned i = 0; i < 30000; i++)
        cr_assert(expect_publish(a, 0, "retained").retain);
    expect_nothing(a);
    cr_assert_eq(stat_sum(sim, dropped_slow_consumer), 0);
}

Test(session, retained_messages_wait_for_a_blocked_client)
{
    retain_many(publisher(), 30000, 0);
    struct sim_conn *a = come("a", 0);
    sim_room(a, 5000);
    sim_subscribe(a, &(struct sim_subscribe){.filter = "r/#", .options = 0});
    sim_settle(sim);
    cr_assert_lt(outq_bytes(&a->client.out), 300000, "not all at once");
    unsigned count = 0;
    struct server_packet packet;
    for (unsigned turn = 0; turn < 100; turn++) {
        sim_room(a, 20000);
        sim_settle(sim);
        while (sim_next(a, &packet))
            count += packet.type == MQTT_PUBLISH;
    }
    cr_assert_eq(count, 30000);
    cr_assert_eq(stat_sum(sim, dropped_slow_consumer), 0);
}

Test(session, retained_messages_wait_for_acknowledgements)
{
    retain_many(publisher(), 3000, 1);
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a", .receive_max = 10});
    subscribed(sim, a, "r/#", 1);
    unsigned count = 0;
    struct server_packet packet;
    while (sim_next(a, &packet)) {
        cr_assert_leq(stat_sum(sim, messages_queued), 100);
        sim_ack(a, MQTT_PUBACK, packet.packet_id);
        sim_settle(sim);
        count++;
    }
    cr_assert_eq(count, 3000);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 0);
}

Test(session, a_short_queue_does_not_lose_retained_messages)
{
    config->queued_messages_max = 5;
    config->queue_full_action = QUEUE_FULL_DISCONNECT;
    retain_many(publisher(), 300, 1);
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a", .receive_max = 10});
    subscribed(sim, a, "r/#", 1);
    unsigned count = 0;
    struct server_packet packet;
    while (sim_next(a, &packet)) {
        cr_assert_eq(packet.type, MQTT_PUBLISH);
        sim_ack(a, MQTT_PUBACK, packet.packet_id);
        sim_settle(sim);
        count++;
    }
    cr_assert_eq(count, 300);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 0);
}

Test(session, a_small_output_limit_does_not_lose_retained_messages)
{
    config->output_bytes_max = 1000;
    retain_many(publisher(), 300, 0);
    struct sim_conn *a = come("a", 0);
    subscribed(sim, a, "r/#", 0);
    for (unsigned i = 0; i < 300; i++)
        expect_publish(a, 0, "retained");
    cr_assert_eq(stat_sum(sim, dropped_slow_consumer), 0);
}

Test(session, unsubscribing_ends_the_walk)
{
    retain_many(publisher(), 5000, 0);
    struct sim_conn *a = come("a", 0);
    sim_room(a, 100);
    sim_subscribe(a, &(struct sim_subscribe){.filter = "r/#"});
    sim_settle(sim);
    sim_unsubscribe(a, "r/#");
    sim_room(a, SIM_UNLIMITED);
    sim_settle(sim);
    struct server_packet packet;
    unsigned count = 0;
    while (sim_next(a, &packet))
        count += packet.type == MQTT_PUBLISH;
    cr_assert_lt(count, 5000);
}

Test(session, a_queue_that_drops_its_oldest_stays_small_without_a_store)
{
    config->queue_full_action = QUEUE_FULL_DROP_OLDEST;
    config->queued_messages_max = 10;
    struct sim_conn *p = publisher(), *a = come("a", 1000);
    subscribed(sim, a, "t", 1);
    publish_text(p, "t", 1, "sent");
    sim_settle(sim);
    expect_publish(a, 1, "sent");
    const struct session *session = a->client.session;
    go(a);
    for (unsigned i = 0; i < 5000; i++)
        publish_text(p, "t", 1, "m");
    sim_settle(sim);
    cr_assert_leq(session->out.cap, 256);
    cr_assert_eq(session->out.queued, 10);
}
