// test_restore.c - what a new broker finds on the disk that the last one left.
#include "tests/unit/test_restore.h"

#include "core/access.h"
#include "core/acl.h"
#include "tests/unit/test_acl.h"

TestSuite(restore, .init = set_up, .fini = tear_down);

// ---- Sessions -----------------------------------------------------------------------------------

Test(restore, a_session_with_its_subscriptions)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t/+", .options = 1, .id = 7});
    subscribe(a, "u", 2);
    sim_unsubscribe(a, "u");
    settle();
    crash(0);
    cr_assert_eq(registry_count(sim->broker->shards[0]->registry) +
                     registry_count(sim->broker->shards[1]->registry),
                 1);
    struct sim_conn *p = fleeting("p");
    publish(p, "t/1", 1, 1, "kept");
    publish(p, "u", 1, 2, "nobody");
    settle();
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_answer(p, MQTT_PUBACK, 2, 0x10);
    a = sim_connect_durable(sim, "a");
    cr_assert(a->hello.session_present);
    settle();
    struct server_packet packet = take(a, "kept");
    cr_assert(packet.id_count == 1 && packet.ids[0] == 7);
    cr_assert_not(packet.dup);
    sim_unsubscribe(a, "t/+");
    settle();
    expect_answer(a, MQTT_UNSUBACK, 1, 0);
    sim_unsubscribe(a, "t/+");
    settle();
    crash(0);
    a = sim_connect_durable(sim, "a");
    settle();
    publish(fleeting("p"), "t/1", 1, 1, "too late");
    settle();
    expect_nothing(a);
}

Test(restore, its_time_runs_from_the_disconnect_or_from_the_crash)
{
    (void)sim_connect_durable(sim, "connected");
    struct sim_conn *left = sim_connect_durable(sim, "left");
    settle();
    sim_disconnect(left, 0);
    settle();
    crash(999 * 1000);
    settle();
    cr_assert_eq(broker_sessions(sim->broker), 2);
    sim_tick(sim, 1100);
    settle();
    cr_assert_eq(broker_sessions(sim->broker), 1);
    crash(998 * 1000); // the other is not connected any more, so its end has a date
    sim_tick(sim, 3000);
    settle();
    cr_assert_eq(broker_sessions(sim->broker), 1, "from each crash on, while it says connected");
    sim_tick(sim, 1000 * 1000);
    settle();
    cr_assert_eq(broker_sessions(sim->broker), 0);
    crash(0);
    cr_assert_eq(broker_sessions(sim->broker), 0, "an end is for good");
}

// ---- Queues -------------------------------------------------------------------------------------

Test(restore, acknowledged_messages_are_there_in_order_and_once_more_if_they_may_be)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    publish(p, "t", 1, 1, "0");
    settle();
    expect_answer(p, MQTT_PUBACK, 1, 0);
    uint16_t id = expect_publish(a, 1, "0").packet_id;
    sim_close(a, 0);
    publish_numbers(p, "t", 1, 40);
    crash(0);
    a = sim_connect_durable(sim, "a");
    settle();
    struct server_packet packet = take(a, "0");
    cr_assert(packet.dup && packet.packet_id == id, "the same identifier");
    packet = take(a, "1");
    cr_assert_not(packet.dup);
    take_numbers(a, 2, 40);
    write_all();
    crash(0);
    a = sim_connect_durable(sim, "a");
    settle();
    expect_nothing(a);
}

Test(restore, what_was_not_safe_was_not_acknowledged)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    settle();
    publish(p, "t", 1, 1, "kept");
    settle();
    expect_answer(p, MQTT_PUBACK, 1, 0);
    publish(p, "t", 1, 2, "lost");
    sim_settle(sim);
    sim_fetch(sim, disk); // and not committed
    sim_settle(sim);
    expect_nothing(p);
    crash(0);
    a = sim_connect_durable(sim, "a");
    settle();
    (void)take(a, "kept");
    settle();
    expect_nothing(a);
}

Test(restore, qos_2_both_ways)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = sim_connect_durable(sim, "p");
    subscribe(a, "t", 2);
    publish(p, "t", 2, 1, "once");
    settle();
    expect_answer(p, MQTT_PUBREC, 1, 0);
    uint16_t id = expect_publish(a, 2, "once").packet_id;
    crash(0);
    a = sim_connect_durable(sim, "a");
    p = sim_connect_durable(sim, "p");
    // The publisher did not see the PUBREC: its copy is known.
    sim_publish(
        p, &(struct sim_publish){
               .topic = "t", .qos = 2, .packet_id = 1, .dup = true, .payload = slice_str("once")});
    settle();
    expect_answer(p, MQTT_PUBREC, 1, 0);
    struct server_packet packet = expect_publish(a, 2, "once");
    cr_assert(packet.dup && packet.packet_id == id);
    expect_nothing(a);
    sim_ack(a, MQTT_PUBREC, id);
    sim_ack(p, MQTT_PUBREL, 1);
    settle();
    expect_answer(a, MQTT_PUBREL, id, 0);
    expect_answer(p, MQTT_PUBCOMP, 1, 0);
    crash(0);
    a = sim_connect_durable(sim, "a");
    p = sim_connect_durable(sim, "p");
    sim_ack(p, MQTT_PUBREL, 1);
    settle();
    expect_answer(p, MQTT_PUBCOMP, 1, 0x92);
    expect_answer(a, MQTT_PUBREL, id, 0);
    expect_nothing(a);
    sim_ack(a, MQTT_PUBCOMP, id);
    write_all();
    crash(0);
    a = sim_connect_durable(sim, "a");
    settle();
    expect_nothing(a);
}

Test(restore, a_long_queue_is_on_the_disk_and_comes_in_pages)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    struct shard *home = sim->broker->shards[broker_home(sim->broker, slice_str("a"))];
    publish_numbers(p, "t", 0, 600);
    cr_assert_eq(home->totals.queued, QUEUE_AWAY_MESSAGES);
    cr_assert_eq(home->totals.on_disk, 600 - QUEUE_AWAY_MESSAGES);
    a = sim_connect_durable(sim, "a");
    take_numbers(a, 0, 300);
    publish_numbers(p, "t", 600, 650);
    take_numbers(a, 300, 650);
    settle();
    expect_nothing(a);
    cr_assert_eq(home->totals.queued + home->totals.on_disk, 0);
    publish_numbers(p, "t", 650, 660); // in memory again
    take_numbers(a, 650, 660);
}

Test(restore, the_same_after_a_crash_in_the_middle)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    publish_numbers(fleeting("p"), "t", 0, 400);
    a = sim_connect_durable(sim, "a");
    take_numbers(a, 0, 200);
    write_all();
    crash(0);
    sim->config->queued_messages_max = 0;
    publish_numbers(fleeting("p"), "t", 400, 420);
    a = sim_connect_durable(sim, "a");
    take_numbers(a, 200, 420);
    settle();
    expect_nothing(a);
}

Test(restore, a_session_may_end_while_a_page_is_on_its_way)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    publish_numbers(p, "t", 0, 300);
    crash(0);
    a = sim_connect_durable(sim, "a");
    sim_settle(sim); // asks
    sim_close(a, 0);
    a = sim_connect(sim, &(struct sim_connect){.id = "a", .expiry_s = 1000});
    cr_assert_not(a->hello.session_present);
    settle();
    expect_nothing(a);
    cr_assert(list_empty(&a->client.shard->page_loads));
}

Test(restore, expired_messages_are_not_delivered)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    sim_publish(p, &(struct sim_publish){.topic = "t",
                                         .qos = 1,
                                         .payload = slice_str("old"),
                                         .has_expiry = true,
                                         .expiry_s = 2});
    sim_publish(p, &(struct sim_publish){.topic = "t",
                                         .qos = 1,
                                         .packet_id = 2,
                                         .payload = slice_str("fresh"),
                                         .has_expiry = true,
                                         .expiry_s = 20});
    settle();
    crash(5000);
    a = sim_connect_durable(sim, "a");
    settle();
    struct server_packet packet = take(a, "fresh");
    cr_assert(packet.has_expiry && packet.expiry_s == 15);
    settle();
    expect_nothing(a);
}

Test(restore, what_a_share_group_gave_goes_to_another_member)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    subscribe(a, "$share/g/t", 1);
    sim_close(a, 0);
    publish(fleeting("p"), "t", 1, 1, "shared");
    settle();
    crash(0);
    struct sim_conn *b = sim_connect_durable(sim, "b");
    subscribe(b, "$share/g/t", 1);
    expect_nothing(b);
    a = sim_connect_durable(sim, "a"); // its page comes
    settle();
    cr_assert_eq(expect_publish(a, 1, "shared").dup, false);
    sim_disconnect_expiry(a, 0); // its session ends, unacknowledged
    settle();
    (void)take(b, "shared");
}

Test(restore, also_what_is_on_the_disk_alone)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a");
    subscribe(a, "$share/g/t", 1);
    sim_close(a, 0);
    publish_numbers(fleeting("p"), "t", 0, 300);
    struct sim_conn *b = sim_connect_durable(sim, "b");
    subscribe(b, "$share/g/t", 1);
    a = sim_connect(sim, &(struct sim_connect){.id = "a", .expiry_s = 1000}); // clean
    cr_assert_not(a->hello.session_present);
    take_numbers(b, 0, 300);
    write_all();
    crash(0);
    cr_assert_eq(broker_sessions(sim->broker), 2);
    b = sim_connect_durable(sim, "b");
    settle();
    expect_nothing(b);
}

Test(restore, what_an_ended_session_leaves_waits_for_room_to_ask_for_it)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "$share/g/t", 1);
    sim_close(a, 0);
    publish_numbers(p, "t", 0, 300);
    struct sim_conn *b = sim_connect_durable(sim, "b");
    subscribe(b, "$share/g/t", 1);
    unsigned home = broker_home(sim->broker, slice_str("a"));
    const char *id = id_on(sim, home);
    struct sim_conn *c = sim_connect_durable(sim, id);
    subscribe(c, "u", 1);
    sim_close(c, 0);
    publish_numbers(p, "u", 300, 600);
    // Requests of others, which the test takes back.
    struct spsc *requests = sim->broker->keeper->shards[home].requests;
    for (void *room; (room = spsc_reserve(requests, 0, sizeof(struct page_request))) != NULL;) {
        memset(room, 0, sizeof(struct page_request));
        (void)spsc_publish(requests);
    }
    a = sim_connect(sim, &(struct sim_connect){.id = "a", .expiry_s = 1000}); // clean
    cr_assert_not(list_empty(&sim->broker->shards[home]->estates));
    struct spsc_record record;
    while (spsc_take(requests, &record))
        ;
    spsc_release(requests);
    c = sim_connect_durable(sim, id); // its page comes
    take_numbers(c, 300, 600);
    take_numbers(b, 0, 300);
    cr_assert(list_empty(&sim->broker->shards[home]->estates));
    cr_assert_eq(stat_sum(sim, dropped_session_end), 0);
}

Test(restore, an_end_that_was_not_written_yet_comes_again)
{
    sim->config->queued_messages_max = 0;
    struct sim_conn *a = sim_connect_durable(sim, "a");
    subscribe(a, "$share/g/t", 1);
    sim_close(a, 0);
    publish_numbers(fleeting("p"), "t", 0, 300);
    a = sim_connect(sim, &(struct sim_connect){.id = "a", .expiry_s = 1000});
    sim_settle(sim);
    sim_fetch(sim, disk);
    sim_commit(sim, disk); // the new session is written, the old one's end is not
    crash(0);
    cr_assert_eq(broker_sessions(sim->broker), 1);
    settle();
    a = sim_connect_durable(sim, "a");
    cr_assert(a->hello.session_present);
    settle();
    expect_nothing(a);
    crash(0);
    cr_assert_eq(broker_sessions(sim->broker), 1);
}

Test(restore, a_full_queue_may_drop_what_is_on_the_disk)
{
    sim->config->queued_messages_max = 10;
    sim->config->queue_full_action = QUEUE_FULL_DROP_OLDEST;
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    subscribe(a, "t", 1);
    sim_close(a, 0);
    publish_numbers(p, "t", 0, 10);
    crash(0);
    sim->config->queued_messages_max = 10;
    sim->config->queue_full_action = QUEUE_FULL_DROP_OLDEST;
    publish_numbers(fleeting("p"), "t", 10, 14);
    crash(0);
    a = sim_connect_durable(sim, "a");
    take_numbers(a, 4, 14);
    settle();
    expect_nothing(a);
}

// ---- Retained messages --------------------------------------------------------------------------

Test(restore, retained_messages_as_they_were_last)
{
    struct sim_conn *p = fleeting("p"), *q = fleeting("q");
    struct sim_publish set = {
        .topic = "a", .retain = true, .qos = 1, .payload = slice_str("first")};
    sim_publish(p, &set);
    set.topic = "b";
    sim_publish(p, &set);
    settle();
    set.payload = slice_str("second");
    sim_publish(q, &set);
    set = (struct sim_publish){.topic = "a", .retain = true, .qos = 1};
    sim_publish(q, &set);
    settle();
    crash(0);
    struct retained_stats stats;
    retained_stats(sim->broker->retained, &stats);
    cr_assert_eq(stats.count, 1);
    struct sim_conn *a = fleeting("a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "#"});
    settle();
    expect_packet(a, MQTT_SUBACK);
    cr_assert(expect_publish(a, 0, "second").retain);
}

// Whether who published it still may is asked after a restart as well.
Test(restore, retained_messages_know_who_published_them)
{
    struct access_rules *fresh = access_rules_new();
    fresh->alike = true;
    char problem[128];
    static const char file[] = "user p\ntopic write #\n";
    cr_assert_eq(acl_parse("f", slice_str(file), &fresh->listeners[0].acl, problem, sizeof problem),
                 OK);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    settle();
    struct sim_conn *p = sim_connect(sim, &(struct sim_connect){.id = "p", .user = "p"});
    sim_publish(p, &(struct sim_publish){.topic = "a", .retain = true, .payload = slice_str("x")});
    write_all();
    crash(0);
    struct msg_source source;
    const struct msg *msg = retained_get(sim->broker->retained, slice_str("a"));
    cr_assert(msg && msg_source(msg, &source));
    cr_assert(slice_equal(source.user, slice_str("p")));
    cr_assert(slice_equal(source.client_id, slice_str("p")));
    cr_assert_eq(source.port, sim->config->listeners[0].port);
}

// A Will that is due in the first tick: its session has not been looked at under the new rules.
Test(restore, a_will_is_asked_about_before_its_session_is_looked_at)
{
    for (unsigned allowed = 0; allowed < 2; allowed++) {
        struct sim_connect connect = {
            .id = "w", .keep = true, .expiry_s = 100, .user = "w", .will_topic = "last"};
        (void)sim_connect_kept(sim, disk, &connect);
        crash(0);
        struct access_rules *fresh = access_rules_new();
        fresh->alike = allowed;
        char problem[128];
        struct slice file = slice_str(allowed ? "user w\ntopic last\n" : "user w\ntopic other\n");
        cr_assert_eq(acl_parse("f", file, &fresh->listeners[0].acl, problem, sizeof problem), OK);
        broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
        for (unsigned i = 0; i < SHARDS; i++) {
            struct shard *shard = sim->broker->shards[i];
            shard->access = fresh;
            shard->reviewed = fresh->version; // as if it were far from done
            shard->review_at = UINT32_MAX;
        }
        write_all();
        cr_assert_eq(stat_sum(sim, wills_published), allowed);
        cr_assert_eq(stat_sum(sim, dropped_not_allowed), !allowed, "%u: %u", allowed,
                     (unsigned)stat_sum(sim, dropped_not_allowed));
        registry_each(sim->broker->shards[broker_home(sim->broker, slice_str("w"))]->registry,
                      session_end);
        write_all();
        crash(0);
    }
}

// ---- Other shards' journals ---------------------------------------------------------------------

// A client identifier that lives on this shard.
static struct sim_conn *
client_on(unsigned shard, bool keep, char *id)
{
    for (unsigned i = 0;; i++) {
        (void)snprintf(id, 16, "%c%u-%u", keep ? 'd' : 'f', shard, i);
        if (broker_home(sim->broker, slice_str(id)) == shard)
            return keep ? sim_connect_durable(sim, id) : fleeting(id);
    }
}

Test(restore, a_publisher_waits_for_the_journals_of_other_shards)
{
    char id[16], own[16];
    struct sim_conn *a = client_on(1, true, id), *p = client_on(0, false, own);
    struct sim_conn *b = client_on(0, true, own);
    subscribe(a, "t", 1);
    subscribe(b, "t", 1);
    publish(p, "t", 1, 1, "m");
    publish(p, "nobody", 1, 2, "m");
    sim_settle(sim);
    expect_nothing(p);
    sim_fetch(sim, disk);
    sim_commit_shard(sim, disk, 0);
    sim_settle(sim);
    expect_nothing(p);
    sim_commit_shard(sim, disk, 1);
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_answer(p, MQTT_PUBACK, 2, 0x10);
}

Test(restore, also_where_those_of_its_own_shard_may_not_read)
{
    struct access_rules *rules = access_rules_new();
    rules->alike = true;
    rules->listeners[0].acl = acl_of("topic readwrite #\nuser n\ntopic read #\ntopic deny t\n");
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, rules);
    char id[16], own[16];
    struct sim_conn *a = client_on(1, true, id), *p = client_on(0, false, own);
    struct sim_conn *b = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 0), .user = "n"});
    subscribe(a, "$share/g/+", 1);
    subscribe(b, "$share/g/+", 1);
    write_all();
    for (uint16_t i = 1; i <= 4; i++) { // two of them are b's turn
        publish(p, "t", 1, i, "m");
        sim_settle(sim);
        expect_nothing(p);
        settle();
        expect_answer(p, MQTT_PUBACK, i, 0);
    }
}

Test(restore, and_not_for_those_who_keep_nothing)
{
    char id[16], own[16];
    struct sim_conn *a = client_on(1, false, id), *p = client_on(0, false, own);
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    sim_settle(sim);
    publish(p, "t", 1, 1, "m");
    sim_tick_shard(sim, 0);
    expect_answer(p, MQTT_PUBACK, 1, 0);
}

Test(restore, a_full_queue_on_another_shard_is_told)
{
    sim->config->queued_messages_max = 2;
    char id[16], own[16];
    struct sim_conn *a = client_on(1, true, id), *p = client_on(0, false, own);
    subscribe(a, "t", 1);
    sim_close(a, 0);
    for (uint16_t i = 1; i <= 2; i++)
        publish(p, "t", 1, i, "m");
    publish(p, "t", 1, 3, "m");
    publish(p, "t", 2, 4, "m");
    settle();
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_answer(p, MQTT_PUBACK, 2, 0);
    expect_answer(p, MQTT_PUBACK, 3, 0x97);
    expect_answer(p, MQTT_PUBREC, 4, 0x97);
    cr_assert_eq(p->client.session->in_qos2.count, 0, "the identifier is free again");
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 2);
    publish(p, "t", 2, 4, "m");
    settle();
    expect_answer(p, MQTT_PUBREC, 4, 0x97);
}

Test(restore, who_cannot_be_told_of_a_full_queue_is_slowed)
{
    for (unsigned at = 0; at < SHARDS; at++) {
        sim->config->queued_messages_max = 2;
        char id[16], own[16];
        struct sim_conn *a = client_on(at, true, id);
        subscribe(a, "t", 1);
        sim_close(a, 0);
        (void)client_on(0, false, own);
        struct sim_conn *p =
            sim_connect(sim, &(struct sim_connect){.id = own, .version = MQTT_311});
        for (uint16_t i = 1; i <= 5; i++)
            publish(p, "t", 1, i, "m");
        settle();
        expect_packet(p, MQTT_PUBACK);
        expect_packet(p, MQTT_PUBACK);
        expect_nothing(p);
        sim_tick(sim, 999);
        settle();
        expect_nothing(p);
        sim_tick(sim, 1);
        settle();
        for (uint16_t i = 3; i <= 5; i++)
            cr_assert_eq(expect_packet(p, MQTT_PUBACK).packet_id, i);
        const struct stats *stats = &sim->broker->shards[at]->stats;
        cr_assert_eq(stat_get(&stats->queued_over_limit), 2, "up to twice the limit");
        cr_assert_eq(stat_sum(sim, dropped_queue_full), at + 1);
        a = sim_connect(sim, &(struct sim_connect){.id = id}); // clean: gone
        sim_close(a, 0);
        settle();
    }
}

// ---- The disk fails -----------------------------------------------------------------------------

Test(restore, a_full_disk_refuses_or_makes_wait_and_loses_nothing)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    struct sim_conn *old = sim_connect(sim, &(struct sim_connect){.id = "o", .version = MQTT_311});
    subscribe(a, "t", 1);
    atomic_store(&sim->broker->keeper->failing, true);
    publish(p, "t", 1, 1, "refused");
    publish(old, "t", 1, 1, "waits");
    publish(p, "t", 0, 0, "not promised");
    for (unsigned i = 0; i < 5; i++)
        sim_tick(sim, 20);
    expect_answer(p, MQTT_PUBACK, 1, 0x97);
    expect_nothing(old);
    cr_assert(old->client.read_paused);
    atomic_store(&sim->broker->keeper->failing, false);
    sim_tick(sim, 300);
    settle();
    cr_assert_not(old->client.read_paused);
    cr_assert_eq(expect_packet(old, MQTT_PUBACK).packet_id, 1);
    struct server_packet packet;
    unsigned got = 0;
    while (sim_next(a, &packet))
        got++;
    cr_assert_eq(got, 2);
}

static void
crash_with_qos_0(void)
{
    uint64_t now = sim->now_ms;
    struct config *config = sim_config();
    config->queue_qos0_messages = true;
    sim_free(sim);
    sim = sim_start(SHARDS, config, disk, now);
}

Test(restore, a_queued_message_at_qos_0_is_not_sent_again)
{
    struct sim_connect c = {.id = "a", .keep = true, .expiry_s = 1000, .receive_max = 1};
    crash_with_qos_0();
    struct sim_conn *a = sim_connect(sim, &c), *p = fleeting("p");
    settle();
    subscribe(a, "t", 1);
    publish(p, "t", 1, 1, "one");
    publish(p, "t", 1, 2, "waits");
    publish(p, "t", 0, 0, "zero");
    write_all();
    expect_publish(a, 1, "one");
    expect_nothing(a);
    crash_with_qos_0(); // in the midst of a connection, on which all may have been sent
    a = sim_connect(sim, &c);
    settle();
    cr_assert(take(a, "one").dup);
    settle();
    take(a, "waits");
    settle();
    cr_assert_not(expect_publish(a, 0, "zero").dup);
}
