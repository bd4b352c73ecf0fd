// test_client_limits.c - what a client is told at a limit, and what is counted.
#include "core/bans.h"
#include "core/client_limits.h"
#include "tests/sim/expect.h"

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

TestSuite(client_limits, .init = set_up, .fini = tear_down);

// From an address, where sim_connect comes from nowhere.
static struct sim_conn *
come_from(const char *peer, const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c->id)));
    (void)snprintf(conn->client.peer, sizeof conn->client.peer, "%s", peer);
    sim_send_connect(conn, c);
    sim_settle(sim);
    cr_assert(sim_next(conn, &conn->hello) && conn->hello.type == MQTT_CONNACK);
    return conn;
}

static uint8_t
reason_of(const char *peer, const char *id, uint8_t version)
{
    return come_from(peer, &(struct sim_connect){.id = id, .version = version})->hello.reason;
}

static struct sim_conn *
come(const char *id, uint8_t version)
{
    struct sim_conn *conn =
        come_from("10.0.0.1:1", &(struct sim_connect){.id = id, .version = version});
    cr_assert_eq(conn->hello.reason, 0);
    return conn;
}

// ---- CONNECT ------------------------------------------------------------------------------------

Test(client_limits, connects_beyond_the_rate_are_told_and_counted)
{
    config->connect_rate = 3;
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0x9f);
    cr_assert_eq(reason_of("sim", "b", 4), 3, "server unavailable");
    cr_assert_eq(stat_sum(sim, refused_connect_rate), 2);
    cr_assert_eq(stat_sum(sim, connections_refused), 2);
    sim_tick(sim, 350);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0);
}

Test(client_limits, connects_are_counted_by_address)
{
    config->address_connect_rate = 1;
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0);
    cr_assert_eq(reason_of("10.0.0.1:2", "b", 5), 0x9f);
    cr_assert_eq(reason_of("10.0.0.2:1", "c", 5), 0);
    cr_assert_eq(reason_of("[2001:db8::1]:1", "d", 5), 0);
    cr_assert_eq(reason_of("[2001:db8::2]:1", "e", 5), 0x9f, "its neighbour in the /64");
    cr_assert_eq(reason_of("unix:/run/x", "f", 5), 0);
    cr_assert_eq(reason_of("unix:/run/x", "g", 5), 0, "a unix socket has no address");
}

static void
ban(enum ban_kind kind, const char *name, uint64_t until_ms)
{
    struct ban entry = {.kind = kind,
                        .name = slice_str(name),
                        .address = address_parse("10.0.0.9"),
                        .until_ms = until_ms};
    cr_assert_eq(bans_add(sim->broker->bans, &entry, sim->now_ms), OK);
}

Test(client_limits, whoever_is_banned_is_told_and_may_come_when_it_is_over)
{
    ban(BAN_CLIENT, "a", sim->now_ms + 5000);
    ban(BAN_ADDRESS, "", BANS_NEVER);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0x8a);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 4), 5);
    cr_assert_eq(reason_of("10.0.0.9:1", "b", 5), 0x8a);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0);
    cr_assert_eq(stat_sum(sim, refused_banned), 3);
    cr_assert_eq(stat_sum(sim, bans_made), 0, "the broker made none of them");
    sim_tick(sim, 5000);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0);
}

Test(client_limits, a_connection_that_is_there_outlives_a_ban)
{
    struct sim_conn *a = come("a", 5);
    ban(BAN_CLIENT, "a", BANS_NEVER);
    sim_ping(a);
    sim_settle(sim);
    expect_packet(a, MQTT_PINGRESP);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0x8a);
    cr_assert(a->open, "the refused one did not take it over");
}

Test(client_limits, a_client_that_flaps_is_banned)
{
    config->flapping_max = 4;
    config->flapping_window_s = 10;
    config->flapping_ban_s = 20;
    for (unsigned i = 0; i < 4; i++)
        cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0x8a);
    cr_assert_eq(reason_of("10.0.0.1:2", "a", 5), 0x8a);
    cr_assert_eq(reason_of("10.0.0.2:1", "a", 5), 0, "elsewhere");
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0, "another one");
    cr_assert_eq(stat_sum(sim, bans_made), 1);
    cr_assert_eq(stat_sum(sim, refused_banned), 2);
    sim_tick(sim, 20000);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0);
}

Test(client_limits, logins_that_fail_ban_their_address)
{
    config->login_failures_max = 2;
    config->login_failure_ban_s = 5;
    struct sim_conn *conn = come("a", 5);
    client_login_failed(&conn->client);
    client_login_failed(&conn->client);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0);
    client_login_failed(&conn->client);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0x8a);
    cr_assert_eq(reason_of("10.0.0.2:1", "c", 5), 0);
    cr_assert_eq(stat_sum(sim, login_failures), 3);
    cr_assert_eq(stat_sum(sim, bans_made), 1);
    sim_tick(sim, 5000);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0);
}

Test(client_limits, sessions_beyond_their_number_are_told_and_counted)
{
    config->sessions_max = 1;
    (void)come("a", 5);
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 5), 0x97);
    cr_assert_eq(reason_of("10.0.0.1:1", "a", 5), 0, "one that is there is no new one");
    config->sessions_max = 0;
    config->clients_max = 1;
    cr_assert_eq(reason_of("10.0.0.1:1", "b", 4), 3);
    cr_assert_eq(stat_sum(sim, refused_sessions), 2);
}

// ---- Topics -------------------------------------------------------------------------------------

Test(client_limits, a_topic_that_is_too_deep_is_told)
{
    config->topic_levels_max = 3;
    struct sim_conn *a = come("a", 5);
    publish_text(a, "1/2/3", 1, "x");
    publish_text(a, "1/2/3/4", 1, "x");
    publish_text(a, "///", 2, "x");
    publish_text(a, "a long topic of two/levels", 1, "x");
    sim_settle(sim);
    expect_answer(a, MQTT_PUBACK, 1, 0x10);
    expect_answer(a, MQTT_PUBACK, 1, 0x90);
    expect_answer(a, MQTT_PUBREC, 1, 0x90);
    expect_answer(a, MQTT_PUBACK, 1, 0x10);
    cr_assert_eq(stat_sum(sim, refused_topic_levels), 2);
    publish_text(a, "1/2/3/4", 0, "x");
    sim_settle(sim);
    expect_dismissed(a, 0x90);
    struct sim_conn *b = come("b", 4);
    publish_text(b, "1/2/3/4", 1, "x");
    sim_settle(sim);
    expect_dismissed(b, 0);
    cr_assert_eq(stat_sum(sim, refused_topic_levels), 4);
}

Test(client_limits, a_filter_that_is_too_deep_is_told)
{
    config->topic_levels_max = 3;
    struct sim_conn *a = come("a", 5), *b = come("b", 4);
    static const char *const deep[] = {"1/2/3/4", "+/+/+/+", "1/2/3/#", "$share/g/1/2/3/4"};
    for (unsigned i = 0; i < ARRAY_LEN(deep); i++) {
        sim_subscribe(a, &(struct sim_subscribe){.filter = deep[i]});
        sim_settle(sim);
        expect_answer(a, MQTT_SUBACK, 1, 0x8f);
    }
    sim_subscribe(b, &(struct sim_subscribe){.filter = "1/2/3/4"});
    sim_settle(sim);
    expect_answer(b, MQTT_SUBACK, 1, 0x80);
    subscribed(sim, a, "$share/g/1/2/#", 0);
    cr_assert_eq(stat_sum(sim, refused_topic_levels), 5);
}

Test(client_limits, so_is_the_topic_of_a_will)
{
    config->topic_levels_max = 2;
    struct sim_connect c = {.id = "a", .will_topic = "1/2/3", .will_payload = "x"};
    cr_assert_eq(come_from("10.0.0.1:1", &c)->hello.reason, 0x90);
}

// ---- Subscriptions ------------------------------------------------------------------------------

static void
expect_codes(const struct server_packet *packet, const char *codes, uint32_t count)
{
    cr_assert_eq(packet->type, MQTT_SUBACK);
    cr_assert(slice_equal(packet->codes, slice_of(codes, count)), "%u codes", packet->codes.len);
}

Test(client_limits, filters_beyond_the_number_of_one_subscribe_are_refused)
{
    config->subscribe_filters_max = 2;
    struct sim_conn *a = come("a", 5);
    static const uint8_t four[] = {0x82, 19, 0, 7, 0,   0, 1, 'a', 1,   0, 1,
                                   'b',  2,  0, 1, 'c', 0, 0, 1,   'd', 0};
    sim_feed(a, four, sizeof four);
    sim_settle(sim);
    struct server_packet packet = expect_packet(a, MQTT_SUBACK);
    expect_codes(&packet, "\x01\x02\x97\x97", 4);
    cr_assert_eq(stat_sum(sim, subscriptions), 2);
    cr_assert_eq(stat_sum(sim, refused_subscriptions), 2);
}

Test(client_limits, subscriptions_beyond_their_number_are_told_and_counted)
{
    config->subscriptions_max = 2;
    struct sim_conn *a = come("a", 5);
    subscribed(sim, a, "1", 0);
    subscribed(sim, a, "2", 0);
    sim_subscribe(a, &(struct sim_subscribe){.filter = "3"});
    sim_settle(sim);
    expect_answer(a, MQTT_SUBACK, 1, 0x97);
    subscribed(sim, a, "2", 1);
    cr_assert_eq(stat_sum(sim, refused_subscriptions), 1);
}

// ---- Retained messages --------------------------------------------------------------------------

Test(client_limits, a_retained_message_that_is_too_large_is_told)
{
    config->retained_message_max = 3;
    struct sim_conn *a = come("a", 5);
    subscribed(sim, a, "r", 0);
    struct sim_publish p = {.topic = "r", .qos = 1, .retain = true, .payload = slice_str("four")};
    sim_publish(a, &p);
    sim_settle(sim);
    expect_answer(a, MQTT_PUBACK, 1, 0x97);
    expect_nothing(a); // nor is it delivered: that would be half of what was asked
    p.payload = slice_str("two");
    sim_publish(a, &p);
    p = (struct sim_publish){.topic = "r", .qos = 1, .payload = slice_str("not retained")};
    sim_publish(a, &p);
    sim_settle(sim);
    expect_publish(a, 0, "two");
    expect_answer(a, MQTT_PUBACK, 1, 0);
    expect_publish(a, 0, "not retained");
    expect_answer(a, MQTT_PUBACK, 1, 0);
    cr_assert_eq(stat_sum(sim, dropped_too_large), 1);
}

// ---- What was told ------------------------------------------------------------------------------

Test(client_limits, a_reload_takes_nothing_from_who_is_connected)
{
    static const uint8_t long_one[60];
    config->receive_max = 3;
    config->packet_size_max = 100;
    struct sim_conn *a = come("a", 5);
    config->receive_max = 1;
    config->packet_size_max = 50;
    struct sim_publish p = {.topic = "t", .qos = 2, .payload = slice_of(long_one, sizeof long_one)};
    for (uint16_t id = 1; id <= 3; id++) {
        p.packet_id = id;
        sim_publish(a, &p);
        sim_settle(sim);
        expect_answer(a, MQTT_PUBREC, id, REASON_NO_MATCHING_SUBSCRIBERS);
    }
    p.packet_id = 4;
    sim_publish(a, &p);
    sim_settle(sim);
    expect_dismissed(a, 0x93);
    p.packet_id = 1;
    struct sim_conn *b = come("b", 5);
    sim_publish(b, &p);
    sim_settle(sim);
    expect_dismissed(b, 0x95);
}
