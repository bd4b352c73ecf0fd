// test_rights.c - rules for topics on every path of a message, and when they change.
#include "core/access.h"
#include "core/acl.h"
#include "core/client_handlers.h"
#include "core/retained.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"
#include "tests/unit/test_acl.h"

enum { SHARDS = 2 };

static struct sim *sim;

static void
set_up(void)
{
    sim = sim_new(SHARDS, sim_config());
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(rights, .init = set_up, .fini = tear_down);

// As after a reload: sessions are looked at in the ticks that follow.
static void
rules(const char *file)
{
    struct access_rules *fresh = access_rules_new();
    fresh->alike = true;
    fresh->listeners[0].acl = acl_of(file);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
}

static struct sim_conn *
user(const char *name, const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id, .user = name});
}

static struct sim_conn *
lasting_user(const char *name, const char *id)
{
    return sim_connect(
        sim, &(struct sim_connect){.id = id, .user = name, .keep = true, .expiry_s = 1000});
}

static uint8_t
ask_subscribe(struct sim_conn *conn, const char *filter, uint8_t options)
{
    sim_subscribe(conn, &(struct sim_subscribe){.filter = filter, .options = options});
    sim_settle(sim);
    return expect_packet(conn, MQTT_SUBACK).reason;
}

static void
publish(struct sim_conn *conn, const char *topic, uint8_t qos, const char *payload)
{
    publish_text(conn, topic, qos, payload);
    sim_settle(sim);
    if (qos == 1)
        expect_packet(conn, MQTT_PUBACK);
}

static void
retain(struct sim_conn *conn, const char *topic, const char *payload)
{
    sim_publish(
        conn, &(struct sim_publish){.topic = topic, .retain = true, .payload = slice_str(payload)});
    sim_settle(sim);
}

// Acknowledges it as well.
static void
expect_taken(struct sim_conn *conn, const char *payload)
{
    struct server_packet packet = expect_publish(conn, 1, payload);
    sim_ack(conn, MQTT_PUBACK, packet.packet_id);
    sim_settle(sim);
}

static const char *
id(unsigned shard)
{
    return id_on(sim, shard);
}

// ---- PUBLISH ------------------------------------------------------------------------------------

Test(rights, what_may_not_be_published_reaches_nobody)
{
    rules("user p\ntopic write a/#\nuser s\ntopic read #\n");
    struct sim_conn *s = user("s", id(1)), *p = user("p", id(0));
    struct sim_conn *old =
        sim_connect(sim, &(struct sim_connect){.id = id(0), .user = "p", .version = MQTT_311});
    subscribed(sim, s, "#", 0);
    publish_text(p, "a/b", 1, "1");
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 1, REASON_SUCCESS);
    expect_publish(s, 0, "1");
    publish_text(p, "b", 1, "2");
    publish_text(p, "b", 2, "3");
    publish_text(p, "b", 0, "4");
    retain(p, "b", "5");
    publish_text(old, "b", 1, "6");
    publish_text(old, "b", 2, "7");
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 1, 0x87);
    expect_answer(p, MQTT_PUBREC, 1, 0x87);
    expect_nothing(p);
    expect_answer(old, MQTT_PUBACK, 1, 0); // it cannot be told
    expect_answer(old, MQTT_PUBREC, 1, 0);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 6);
    cr_assert_eq(stat_sum(sim, publish_refused), 6);
    cr_assert_null(retained_get(sim->broker->retained, slice_str("b")));
    subscribed(sim, s, "b", 0);
    expect_nothing(s);
}

// G13: a QoS 2 message is routed when it comes, so nothing waits for its PUBREL.
Test(rights, a_qos2_message_is_out_before_its_right_can_go)
{
    rules("topic #\n");
    struct sim_conn *s = user(NULL, id(1)), *p = user(NULL, id(0));
    subscribed(sim, s, "a", 0);
    publish_text(p, "a", 2, "before");
    sim_settle(sim);
    expect_answer(p, MQTT_PUBREC, 1, REASON_SUCCESS);
    expect_publish(s, 0, "before");
    rules("topic read #\n");
    sim_ack(p, MQTT_PUBREL, 1);
    publish_text(p, "a", 2, "after");
    sim_settle(sim);
    expect_answer(p, MQTT_PUBCOMP, 1, REASON_SUCCESS);
    expect_answer(p, MQTT_PUBREC, 1, 0x87);
    expect_nothing(s);
}

// ---- SUBSCRIBE, UNSUBSCRIBE ---------------------------------------------------------------------

Test(rights, hopeless_subscriptions_are_refused)
{
    rules("user s\ntopic read a/#\ntopic deny a/secret/#\ntopic write w\n");
    struct sim_conn *s = user("s", id(0));
    struct sim_conn *old =
        sim_connect(sim, &(struct sim_connect){.id = id(0), .user = "s", .version = MQTT_311});
    static const struct {
        const char *filter;
        uint8_t code;
    } asked[] = {{"a/b", 1},
                 {"a/#", 1},
                 {"#", 1},
                 {"+/+", 1},
                 {"b/#", 0x87},
                 {"w", 0x87},
                 {"a/secret/+", 0x87},
                 {"$SYS/#", 0x87},
                 {"$share/g/b", 0x87},
                 {"$share/g/a/secret", 0x87},
                 {"$share/g/a/b", 1}};
    for (unsigned i = 0; i < ARRAY_LEN(asked); i++) {
        uint8_t failure = asked[i].code < 3 ? asked[i].code : 0x80;
        cr_expect_eq(ask_subscribe(s, asked[i].filter, 1), asked[i].code, "%s", asked[i].filter);
        cr_expect_eq(ask_subscribe(old, asked[i].filter, 1), failure, "%s", asked[i].filter);
    }
    cr_assert_eq(stat_sum(sim, subscribe_refused), 12);
    cr_assert_eq(stat_sum(sim, subscriptions), 8, "nothing of them is left");
}

Test(rights, rules_for_filters)
{
    struct acl_builder *builder = acl_builder_new(ACL_BIT(ACL_RECEIVE));
    uint32_t list = acl_builder_list(builder);
    struct acl_rule rule = {
        .actions = ACL_BIT(ACL_SUBSCRIBE), .allow = true, .filter = slice_str("a/#")};
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    rule = (struct acl_rule){
        .actions = ACL_BIT(ACL_UNSUBSCRIBE), .allow = true, .filter = slice_str("a/b")};
    cr_assert(acl_builder_rule(builder, list, &rule) == OK);
    cr_assert(acl_builder_anonymous(builder, &list, 1) == OK);
    struct access_rules *fresh = access_rules_new();
    fresh->listeners[0].acl = acl_builder_finish(builder);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
    struct sim_conn *s = user(NULL, id(0));
    cr_assert_eq(ask_subscribe(s, "a/b", 0), 0);
    cr_assert_eq(ask_subscribe(s, "$share/g/a/c", 0), 0);
    cr_assert_eq(ask_subscribe(s, "b", 0), 0x87);
    cr_assert_eq(ask_subscribe(s, "#", 0), 0x87);
    static const char *const filters[] = {"$share/g/a/c", "a/b"};
    for (unsigned i = 0; i < ARRAY_LEN(filters); i++) {
        sim_unsubscribe(s, filters[i]);
        sim_settle(sim);
        cr_assert_eq(expect_packet(s, MQTT_UNSUBACK).reason, i == 0 ? 0x87 : 0);
    }
    cr_assert_eq(stat_sum(sim, subscriptions), 0);
    cr_assert_eq(stat_sum(sim, shared_subscriptions), 1);
}

// ---- Live ---------------------------------------------------------------------------------------

// G20
Test(rights, a_wide_subscription_brings_what_may_be_read)
{
    rules("user s\ntopic read a/#\ntopic deny a/secret\nuser p\ntopic write #\n");
    struct sim_conn *p = user("p", id(0)), *s[4];
    static const char *const filters[] = {"#", "+/+", "a/#", "a/+"};
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = user("s", id(i % SHARDS));
        subscribed(sim, s[i], filters[i], (uint8_t)(i % 2));
    }
    publish(p, "a/open", 1, "o");
    publish(p, "a/secret", 1, "s");
    publish(p, "b/open", 1, "b");
    publish(p, "$a/open", 1, "$");
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        expect_publish(s[i], (uint8_t)(i % 2), "o");
        expect_nothing(s[i]);
    }
    cr_assert_eq(stat_sum(sim, withheld), 6);
}

Test(rights, one_copy_of_overlapping_subscriptions_where_one_is_read_wholly)
{
    rules("user s\ntopic read a/#\nuser p\ntopic write #\n");
    struct sim_conn *s = user("s", id(0)), *p = user("p", id(0));
    sim_subscribe(s, &(struct sim_subscribe){.filter = "#", .options = 2, .id = 1});
    sim_subscribe(s, &(struct sim_subscribe){.filter = "a/+", .options = 0, .id = 2});
    sim_subscribe(s, &(struct sim_subscribe){.filter = "+/x", .options = 1, .id = 3});
    sim_settle(sim);
    for (unsigned i = 0; i < 3; i++)
        expect_packet(s, MQTT_SUBACK);
    publish(p, "a/x", 0, "1");
    struct server_packet packet = expect_publish(s, 0, "1");
    cr_assert_eq(packet.id_count, 3);
    publish(p, "b/x", 0, "2");
    expect_nothing(s);
}

// ---- Share groups -------------------------------------------------------------------------------

// n messages to jobs/secret, of which those who may read it get all.
static void
share_out(struct sim_conn *p, struct sim_conn *const *members, unsigned count, unsigned readers,
          unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        publish_number(p, "jobs/secret", 0, i);
    sim_settle(sim);
    unsigned got = 0, idle = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned mine = 0;
        struct server_packet packet;
        for (; sim_next(members[i], &packet); mine++)
            cr_assert_eq(packet.type, MQTT_PUBLISH);
        cr_assert(i < readers || mine == 0, "member %u may not read it", i);
        idle += i < readers && mine == 0;
        got += mine;
    }
    cr_assert_eq(got, n);
    cr_assert(idle == 0);
}

Test(rights, a_member_that_may_not_read_is_passed_over)
{
    rules("user r\ntopic read jobs/#\nuser n\ntopic read jobs/#\ntopic deny jobs/secret\nuser "
          "p\ntopic write #\n");
    struct sim_conn *p[] = {user("p", id(0)), user("p", id(1))};
    struct sim_conn *members[] = {user("r", id(0)), user("r", id(0)), user("n", id(0)),
                                  user("n", id(0))};
    for (unsigned i = 0; i < ARRAY_LEN(members); i++)
        subscribed(sim, members[i], "$share/g/jobs/+", 0);
    share_out(p[0], members, 4, 2, 40);
    share_out(p[1], members, 4, 2, 40);
    cr_assert_eq(stat_sum(sim, dropped_no_member), 0);
}

Test(rights, what_no_member_of_a_shard_may_read_goes_to_another_shard)
{
    rules("user r\ntopic read jobs/#\nuser n\ntopic read jobs/#\ntopic deny jobs/secret\nuser "
          "p\ntopic write #\n");
    struct sim_conn *p[] = {user("p", id(0)), user("p", id(1))};
    struct sim_conn *members[] = {user("r", id(1)), user("n", id(0)), user("n", id(0)),
                                  user("n", id(1))};
    for (unsigned i = 0; i < ARRAY_LEN(members); i++)
        subscribed(sim, members[i], "$share/g/jobs/+", 0);
    share_out(p[0], members, 4, 1, 40);
    share_out(p[1], members, 4, 1, 40);
    cr_assert_eq(stat_sum(sim, dropped_no_member), 0);
    sim_disconnect(members[0], 0);
    sim_settle(sim);
    publish_number(p[0], "jobs/secret", 0, 1);
    publish_number(p[1], "jobs/secret", 0, 1);
    sim_settle(sim);
    for (unsigned i = 1; i < ARRAY_LEN(members); i++)
        expect_nothing(members[i]);
    cr_assert_eq(stat_sum(sim, dropped_no_member), 2, "each shard is tried once");
}

// ---- Retained -----------------------------------------------------------------------------------

// G14
Test(rights, retained_messages_that_may_be_read)
{
    rules("user s\ntopic read a/#\ntopic deny a/secret\nuser p\ntopic write #\n");
    struct sim_conn *p = user("p", id(1)), *s = user("s", id(0));
    retain(p, "a/open", "o");
    retain(p, "a/secret", "s");
    retain(p, "b", "b");
    subscribed(sim, s, "#", 1);
    sim_settle(sim);
    expect_publish(s, 0, "o");
    expect_nothing(s);
    cr_assert_eq(ask_subscribe(s, "a/secret", 1), 0x87);
    expect_nothing(s);
}

Test(rights, of_a_run_each_message_is_withheld_and_counted)
{
    rules("user s\ntopic read a/#\ntopic deny a/secret\nuser p\ntopic write #\n");
    struct sim_conn *p = user("p", id(0)), *s[3]; // two of a shard, and one alone
    for (unsigned i = 0; i < ARRAY_LEN(s); i++) {
        s[i] = user("s", id(i % SHARDS));
        subscribed(sim, s[i], "a/+", (uint8_t)i);
    }
    for (uint8_t qos = 0; qos < 3; qos++) {
        p->client.read_paused = true; // so that they come as one
        for (unsigned n = 1; n <= 5; n++)
            sim_publish(p, &(struct sim_publish){.topic = "a/secret",
                                                 .payload = slice_str("s"),
                                                 .qos = qos,
                                                 .packet_id = (uint16_t)(qos * 10 + n)});
        p->client.read_paused = false;
        sim_receive(p);
        sim_settle(sim);
        cr_assert_eq(stat_sum(sim, withheld), ARRAY_LEN(s) * 5 * (qos + 1u));
    }
    for (unsigned i = 0; i < ARRAY_LEN(s); i++)
        expect_nothing(s[i]);
}

Test(rights, a_walk_goes_on_under_new_rules)
{
    rules("topic a/#\n");
    struct sim_conn *p = user(NULL, id(1)), *s = user(NULL, id(0));
    for (unsigned i = 0; i < 40; i++) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "a/%s/%u", i % 2 ? "x" : "y", i);
        retain(p, topic, "payload");
    }
    sim->config->output_bytes_max = 1;
    sim_room(s, 0); // not read for a while: the walk stands still
    sim_subscribe(s, &(struct sim_subscribe){.filter = "a/#", .options = 0});
    sim_tick(sim, 0);
    rules("topic a/x/#\n");
    sim->config->output_bytes_max = 0;
    uint64_t before = stat_sum(sim, withheld);
    sim_room(s, SIM_UNLIMITED);
    sim_settle(sim);
    expect_packet(s, MQTT_SUBACK);
    struct server_packet packet;
    unsigned x = 0, y = 0;
    while (sim_next(s, &packet)) {
        cr_assert_eq(packet.type, MQTT_PUBLISH);
        x += packet.topic.data[2] == 'x';
        y += packet.topic.data[2] == 'y';
    }
    cr_assert_eq(x, 20);
    cr_assert_lt(y, 20);
    cr_assert_eq(stat_sum(sim, withheld) - before + y, 20);
}

// G11
Test(rights, a_retained_message_goes_with_the_right_of_who_left_it)
{
    static const char all[] =
        "user p\ntopic write #\nuser q\ntopic write #\nuser s\ntopic read #\n";
    static const char few[] = "user q\ntopic write #\nuser s\ntopic read #\n";
    rules(all);
    struct sim_conn *p = user("p", id(1)), *q = user("q", id(0));
    struct sim_connect connect = {
        .id = id(1), .user = "p", .will_topic = "will", .will_retain = true};
    struct sim_conn *w = sim_connect(sim, &connect);
    retain(p, "a", "p's");
    retain(p, "b", "p's");
    retain(q, "b", "q's");
    retain(q, "c", "q's");
    sim_close(w, 0);
    sim_settle(sim);
    rules(few);
    struct sim_conn *s = user("s", id(0));
    subscribed(sim, s, "+", 0);
    expect_publish(s, 0, "q's");
    expect_publish(s, 0, "q's");
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, withheld), 2);
    cr_assert_eq(ask_subscribe(s, "a", 0), 0);
    expect_nothing(s);
    rules(all); // it was a mistake: nothing is lost
    cr_assert_eq(ask_subscribe(s, "a", 0), 0);
    expect_publish(s, 0, "p's");
    cr_assert_eq(ask_subscribe(s, "will", 0), 0);
    expect_publish(s, 0, "will");
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, NULL);
    sim_settle(sim);
    cr_assert_eq(ask_subscribe(s, "a", 0), 0);
    expect_publish(s, 0, "p's");
}

// What was retained while there were no rules is nobody's; what the broker says is its own.
Test(rights, a_retained_message_without_a_source_stays)
{
    struct sim_conn *p = user("p", id(1));
    retain(p, "a", "old");
    rules("user s\ntopic read #\n");
    struct sim_conn *s = user("s", id(0));
    subscribed(sim, s, "#", 0);
    expect_publish(s, 0, "old");
}

Test(rights, by_which_listener_it_came_decides_whose_rules_hold)
{
    struct acl *open = acl_of("topic #\n"), *closed = acl_of("user s\ntopic read #\n");
    struct access_rules *fresh = access_rules_new();
    sim->config->listener_count = 2;
    sim->config->listeners[1] = sim->config->listeners[0];
    sim->config->listeners[0].port = 1;
    sim->config->listeners[1].port = 2;
    fresh->listeners[0].acl = acl_ref(open);
    fresh->listeners[1].acl = acl_ref(open);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
    struct sim_conn *p = user(NULL, id(0));
    retain(p, "a", "1");
    client_set_listener(&p->client, 1);
    retain(p, "b", "2");
    fresh = access_rules_new();
    fresh->listeners[0].acl = open;
    fresh->listeners[1].acl = closed;
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    client_set_listener(&p->client, 0);
    sim_settle(sim);
    struct sim_conn *s = user(NULL, id(1));
    subscribed(sim, s, "#", 0);
    expect_publish(s, 0, "1");
    expect_nothing(s);
    client_set_listener(&p->client, 0);
    sim->config->listeners[1].port = 3;
    cr_assert_eq(ask_subscribe(s, "b", 0), 0);
    expect_publish(s, 0, "2"); // nobody can tell: there is no such listener
    sim->config->listener_count = 1;
}

// ---- Queues -------------------------------------------------------------------------------------

// G12: what waits for somebody who has lost the right meanwhile.
Test(rights, queued_messages_are_asked_for_under_new_rules)
{
    rules("user s\ntopic read #\nuser p\ntopic write #\n");
    const char *name = id(0);
    struct sim_conn *s = lasting_user("s", name), *p = user("p", id(1));
    subscribed(sim, s, "#", 1);
    sim_close(s, 0);
    publish(p, "a", 1, "a1");
    publish(p, "b", 1, "b1");
    rules("user s\ntopic read a\nuser p\ntopic write #\n");
    publish(p, "a", 1, "a2");
    publish(p, "b", 1, "b2");
    s = lasting_user("s", name);
    cr_assert(s->hello.session_present);
    expect_taken(s, "a1");
    expect_taken(s, "a2");
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 1, "b1; b2 was not queued");
    cr_assert_eq(stat_sum(sim, withheld), 1);
    // And with more rights all comes again.
    rules("topic #\nuser s\ntopic read #\nuser p\ntopic write #\n");
    publish(p, "b", 1, "b3");
    expect_taken(s, "b3");
    expect_nothing(s);
}

Test(rights, what_the_client_has_not_acknowledged_is_not_sent_again_without_the_right)
{
    rules("user s\ntopic read #\nuser p\ntopic write #\n");
    const char *name = id(0);
    struct sim_conn *s = lasting_user("s", name), *p = user("p", id(1));
    subscribed(sim, s, "#", 2);
    publish(p, "a", 1, "a");
    publish(p, "b", 1, "b");
    publish_text(p, "b", 2, "b2");
    sim_settle(sim);
    expect_packet(p, MQTT_PUBREC);
    expect_publish(s, 1, "a");
    expect_publish(s, 1, "b");
    expect_publish(s, 2, "b2");
    rules("user s\ntopic read a\nuser p\ntopic write #\n");
    sim_close(s, 0);
    s = lasting_user("s", name);
    cr_assert(expect_publish(s, 1, "a").dup);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 2);
    cr_assert_eq(sim->broker->shards[0]->totals.inflight, 1);
}

// A member of a share group loses the right: what waits for it goes to who has it.
Test(rights, what_waits_for_a_member_goes_to_another)
{
    rules("user s\ntopic read #\nuser t\ntopic read #\nuser p\ntopic write #\n");
    const char *names[] = {id(0), id(1)};
    struct sim_conn *s = lasting_user("s", names[0]), *p = user("p", id(1));
    subscribed(sim, s, "$share/g/jobs/#", 1);
    sim_close(s, 0);
    publish(p, "jobs/secret", 1, "1");
    publish(p, "jobs/open", 1, "2");
    publish(p, "jobs/secret", 1, "3");
    struct sim_conn *t = lasting_user("t", names[1]);
    subscribed(sim, t, "$share/g/jobs/#", 1);
    rules("user s\ntopic read jobs/open\nuser t\ntopic read #\nuser p\ntopic write #\n");
    expect_taken(t, "1");
    expect_taken(t, "3");
    expect_nothing(t);
    s = lasting_user("s", names[0]);
    expect_taken(s, "2");
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed) + stat_sum(sim, dropped_no_member), 0);
}

Test(rights, a_full_window_and_new_rules_meanwhile)
{
    sim->config->inflight_messages_max = 2;
    rules("user s\ntopic read #\nuser p\ntopic write #\n");
    struct sim_conn *s = lasting_user("s", id(0)), *p = user("p", id(0));
    subscribed(sim, s, "#", 1);
    for (unsigned i = 0; i < 6; i++)
        publish_number(p, i % 2 ? "b" : "a", 1, i);
    sim_settle(sim);
    uint16_t first = expect_number(s, 1, 0).packet_id, second = expect_number(s, 1, 1).packet_id;
    rules("user s\ntopic read a\nuser p\ntopic write #\n");
    sim_ack(s, MQTT_PUBACK, first);
    sim_ack(s, MQTT_PUBACK, second);
    sim_settle(sim);
    first = expect_number(s, 1, 2).packet_id;
    expect_number(s, 1, 4);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 1);
    sim_ack(s, MQTT_PUBACK, first);
    sim_settle(sim);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 2);
}

// Subscriptions of a session that is away, and of one that is here.
Test(rights, subscriptions_follow_the_rules)
{
    rules("user s\ntopic read a\nuser p\ntopic write #\n");
    struct sim_conn *s = user("s", id(0)), *p = user("p", id(1));
    subscribed(sim, s, "a", 0);
    subscribed(sim, s, "$share/g/a", 0);
    publish(p, "a", 0, "1");
    expect_publish(s, 0, "1");
    expect_publish(s, 0, "1");
    rules("user s\ntopic read b\nuser p\ntopic write #\n");
    publish(p, "a", 0, "2");
    expect_nothing(s);
    rules("user s\ntopic read a\nuser p\ntopic write #\n");
    publish(p, "a", 0, "3");
    expect_publish(s, 0, "3");
    expect_publish(s, 0, "3");
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, NULL);
    sim_settle(sim);
    publish(s, "a", 0, "4");
    expect_publish(s, 0, "4");
    expect_publish(s, 0, "4");
}

// ---- Wills --------------------------------------------------------------------------------------

// G15
Test(rights, a_will_needs_the_right_at_connect_and_when_it_is_published)
{
    rules("user w\ntopic write last/#\nuser s\ntopic read #\n");
    struct sim_conn *s = user("s", id(0));
    subscribed(sim, s, "#", 0);
    struct sim_connect connect = {.id = id(1), .user = "w", .will_topic = "other"};
    struct sim_conn *w = sim_connect(sim, &connect);
    cr_assert_eq(w->hello.reason, 0x87);
    cr_assert_not(w->open);
    expect_nothing(s);
    connect.will_topic = "last/w";
    w = sim_connect(sim, &connect);
    cr_assert_eq(w->hello.reason, 0);
    sim_close(w, 0);
    sim_settle(sim);
    expect_publish(s, 0, "will");
    w = sim_connect(sim, &connect);
    rules("user w\ntopic write other\nuser s\ntopic read #\n");
    sim_close(w, 0);
    sim_settle(sim);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 1);
    cr_assert_eq(stat_sum(sim, wills_published), 1);
}

// G16: a Will that waits is asked about when its time has come.
Test(rights, a_will_that_waits_is_asked_about_in_the_end)
{
    rules("user w\ntopic write last/#\nuser s\ntopic read #\n");
    struct sim_conn *s = user("s", id(0));
    subscribed(sim, s, "#", 0);
    struct sim_connect connect = {.id = id(1),
                                  .user = "w",
                                  .will_topic = "last/w",
                                  .will_delay_s = 5,
                                  .keep = true,
                                  .expiry_s = 100};
    struct sim_conn *w = sim_connect(sim, &connect);
    sim_close(w, 0);
    sim_settle(sim);
    rules("user s\ntopic read #\n");
    sim_tick(sim, 6000);
    sim_settle(sim);
    expect_nothing(s);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 1);
    cr_assert_eq(stat_sum(sim, wills_published), 0);
}

Test(rights, topics_of_the_broker_are_nobodys_to_write)
{
    struct acl *acl = acl_of("topic #\ntopic $SYS/#\ntopic $x\n");
    struct rights *rights = rights_new(acl, (struct slice){0}, slice_str("c"));
    cr_assert(client_may_publish(rights, slice_str("a")) &&
              client_may_publish(NULL, slice_str("a")));
    cr_assert(client_may_publish(rights, slice_str("$x")));
    cr_assert_not(client_may_publish(rights, slice_str("$y")));
    cr_assert_not(client_may_publish(rights, slice_str("$SYS/a")));
    cr_assert_not(client_may_publish(NULL, slice_str("$SYS/a")));
    rights_free(rights);
    acl_unref(acl);
}
