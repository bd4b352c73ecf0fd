// test_route.c - across shards: order, full mailboxes, parcels, share groups, overlap, the budget.
#include "core/mail.h"
#include "core/route.h"
#include "tests/sim/expect.h"

enum { SHARDS = 3 };

static struct sim *sim;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    config->inflight_messages_max = 0;
    config->queued_messages_max = 0;
    sim = sim_new(SHARDS, config);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(route, .init = set_up, .fini = tear_down);

static struct sim_conn *
client_on(unsigned shard)
{
    return sim_connect(sim, &(struct sim_connect){.id = id_on(sim, shard)});
}

static struct sim_conn *
durable_on(unsigned shard, const char **ret_id)
{
    *ret_id = id_on(sim, shard);
    return sim_connect_durable(sim, *ret_id);
}

static struct shard *
shard_of(const struct sim_conn *conn)
{
    return conn->client.shard;
}

// ---- Publishers that lose their connection ------------------------------------------------------

// The durable publisher's worker alone goes on, until it has read what was said to it.
static void
tick_alone(const struct sim_conn *publisher)
{
    for (unsigned i = 0; i < 3; i++)
        sim_tick_shard(sim, shard_of(publisher)->index);
}

static struct sim_conn *
comes_again(const char *id)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(id)));
    sim_send_connect(conn, &(struct sim_connect){.id = id, .keep = true, .expiry_s = 1000});
    tick_alone(conn);
    expect_packet(conn, MQTT_CONNACK);
    return conn;
}

static void
publish_two(struct sim_conn *conn, bool dup)
{
    sim_publish(
        conn,
        &(struct sim_publish){
            .topic = "full", .payload = slice_str("x"), .qos = 2, .dup = dup, .packet_id = 7});
}

// A subscriber on another shard is away, and its queue is full.
static void
is_full_elsewhere(void)
{
    const char *id;
    config->queued_messages_max = 1;
    struct sim_conn *subscriber = durable_on(1, &id);
    subscribed(sim, subscriber, "full", 2);
    sim_close(subscriber, 0);
    struct sim_conn *first = client_on(2);
    publish_text(first, "full", 1, "first");
    sim_settle(sim);
    expect_answer(first, MQTT_PUBACK, 1, 0);
}

Test(route, what_another_shard_refuses_is_refused_again_on_the_next_connection)
{
    is_full_elsewhere();
    const char *id;
    struct sim_conn *publisher = durable_on(0, &id);
    publish_two(publisher, false);
    tick_alone(publisher);
    expect_nothing(publisher); // the other shard has not answered
    sim_close(publisher, 0);
    sim_settle(sim);
    publisher = comes_again(id);
    publish_two(publisher, true);
    sim_settle(sim);
    expect_answer(publisher, MQTT_PUBREC, 7, 0x97);
    // With room it is a new message.
    config->queued_messages_max = 2;
    publish_two(publisher, false);
    sim_settle(sim);
    expect_answer(publisher, MQTT_PUBREC, 7, 0);
}

Test(route, a_copy_waits_for_what_the_first_one_waited_for)
{
    is_full_elsewhere();
    const char *id;
    struct sim_conn *publisher = durable_on(0, &id);
    publish_two(publisher, false);
    tick_alone(publisher);
    for (unsigned i = 0; i < 2; i++) { // and once more
        sim_close(publisher, 0);
        tick_alone(publisher);
        publisher = comes_again(id);
        publish_two(publisher, true);
        tick_alone(publisher);
        expect_nothing(publisher);
    }
    sim_settle(sim);
    expect_answer(publisher, MQTT_PUBREC, 7, 0x97);
}

Test(route, answers_to_a_session_that_has_ended_are_nobodys)
{
    is_full_elsewhere();
    struct sim_conn *publisher = client_on(0);
    publish_two(publisher, false);
    publish_text(publisher, "full", 1, "one more");
    tick_alone(publisher);
    struct shard *shard = shard_of(publisher);
    sim_close(publisher, 0);
    tick_alone(publisher);
    cr_assert_eq(stat_get(&shard->stats.sessions), 0);
    cr_assert_eq(shard->unsettled, 2);
    sim_settle(sim);
    cr_assert_eq(shard->unsettled, 0);
    cr_assert_eq(stat_sum(sim, publish_refused), 2);
}

// ---- Order --------------------------------------------------------------------------------------

Test(route, each_shard_gets_all_in_the_order_of_the_publisher)
{
    struct sim_conn *p = client_on(0), *a[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++) {
        a[i] = client_on(i);
        subscribed(sim, a[i], "t/#", 1);
    }
    for (unsigned n = 0; n < 3000; n++) {
        publish_number(p, n % 3 ? "t/x" : "t/y", n % 2, n);
        if (n % 500 == 0)
            sim_tick_shard(sim, n / 500 % SHARDS); // in any rhythm
    }
    sim_settle(sim);
    for (unsigned i = 0; i < SHARDS; i++) {
        for (unsigned n = 0; n < 3000; n++)
            expect_number(a[i], n % 2, n);
        expect_nothing(a[i]);
    }
    cr_assert_eq(stat_sum(sim, posted), 6000, "one entry for each other shard");
    cr_assert_eq(stat_sum(sim, posts_taken), 6000);
}

Test(route, one_entry_per_shard_however_many_subscribers)
{
    struct sim_conn *p = client_on(0), *a[50];
    for (unsigned i = 0; i < 50; i++) {
        a[i] = client_on(1);
        subscribed(sim, a[i], i % 2 ? "t/+" : "t/x", 0);
    }
    publish_text(p, "t/x", 0, "m");
    sim_settle(sim);
    for (unsigned i = 0; i < 50; i++)
        expect_publish(a[i], 0, "m");
    cr_assert_eq(stat_sum(sim, posted), 1);
    cr_assert_eq(stat_sum(sim, publish_sent), 50);
}

Test(route, a_subscription_that_goes_while_mail_is_under_way_gets_nothing)
{
    struct sim_conn *p = client_on(0), *a = client_on(1), *b = client_on(1);
    subscribed(sim, a, "t", 0);
    publish_text(p, "t", 0, "late");
    shard_post(shard_of(p));
    sim_unsubscribe(a, "t");
    sim_subscribe(b, &(struct sim_subscribe){.filter = "u"}); // may get the same slot
    sim_settle(sim);
    expect_packet(a, MQTT_UNSUBACK);
    expect_nothing(a);
    expect_packet(b, MQTT_SUBACK);
    expect_nothing(b);
}

// ---- Bodies -------------------------------------------------------------------------------------

Test(route, bodies_of_all_sizes_arrive_whole_on_every_shard)
{
    static const uint32_t sizes[] = {
        0,
        1,
        OUTQ_COPY_MAX,
        OUTQ_COPY_MAX + 1,
        ROUTE_INLINE_MAX - 1,
        ROUTE_INLINE_MAX,
        9000,
        65536,
        131072,
        500000,
        1900000,
    };
    static uint8_t body[1900000];
    for (uint32_t i = 0; i < sizeof body; i++)
        body[i] = (uint8_t)(i * 7 + i / 251);
    struct sim_conn *p = client_on(0), *a[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++) {
        a[i] = client_on(i);
        subscribed(sim, a[i], "t", 1);
    }
    for (unsigned s = 0; s < ARRAY_LEN(sizes); s++) {
        struct slice payload = slice_of(body, sizes[s]);
        sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 1, .payload = payload});
        sim_settle(sim);
        for (unsigned i = 0; i < SHARDS; i++) {
            struct server_packet packet = expect_packet(a[i], MQTT_PUBLISH);
            cr_assert(slice_equal(packet.payload, payload), "%u bytes on shard %u", sizes[s], i);
            sim_ack(a[i], MQTT_PUBACK, packet.packet_id);
        }
    }
}

// ---- Mail ---------------------------------------------------------------------------------------

// Publications of 8,000 bytes, of which the mailbox takes 65.
static void
flood(struct sim_conn *p, unsigned count)
{
    static uint8_t body[8000];
    for (unsigned n = 0; n < count; n++) {
        memcpy(body, &n, sizeof n);
        sim_publish(p, &(struct sim_publish){.topic = "t", .payload = slice_of(body, sizeof body)});
    }
}

static void
expect_flood(struct sim_conn *conn, unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        struct server_packet packet = expect_packet(conn, MQTT_PUBLISH);
        cr_assert_eq(memcmp(packet.payload.data, &n, sizeof n), 0, "number %u", n);
    }
}

Test(route, a_full_mailbox_overflows_into_the_outbox_and_keeps_the_order)
{
    config->output_bytes_max = 0;
    struct sim_conn *p = client_on(0), *a = client_on(1);
    subscribed(sim, a, "t", 0);
    flood(p, 180);
    cr_assert_gt(shard_of(p)->outbox_bytes, 180 * 8000 - 600000);
    cr_assert_not(p->client.read_paused, "not yet");
    sim_tick(sim, 0);
    cr_assert_gt(shard_of(p)->outbox_bytes, 0, "a tick takes what the mailbox takes");
    publish_text(p, "t", 0, "last"); // small enough for the mailbox, but not its turn
    sim_settle(sim);
    cr_assert_eq(shard_of(p)->outbox_bytes, 0);
    expect_flood(a, 180);
    expect_publish(a, 0, "last");
}

Test(route, publishers_are_not_read_while_the_outbox_is_long)
{
    config->output_bytes_max = 0;
    struct sim_conn *p = client_on(0), *a = client_on(1);
    subscribed(sim, a, "t", 0);
    flood(p, 2000);
    cr_assert(p->client.read_paused);
    cr_assert_lt(shard_of(p)->outbox_bytes, 2000 * 8000 / 2);
    cr_assert_gt(p->to_broker.len, 0, "the socket holds the rest");
    cr_assert_geq(stat_sum(sim, reads_paused), 1);
    for (unsigned i = 0; i < 1000 && (p->client.read_paused || p->to_broker.len > 0); i++)
        sim_tick(sim, 16);
    cr_assert_not(p->client.read_paused);
    cr_assert_eq(p->to_broker.len, 0);
    sim_settle(sim);
    expect_flood(a, 2000);
}

Test(route, who_leaves_while_paused_is_forgotten)
{
    struct sim_conn *p = client_on(0), *a = client_on(1);
    subscribed(sim, a, "t", 0);
    flood(p, 2000);
    cr_assert(p->client.read_paused);
    sim_close(p, 0);
    cr_assert(list_empty(&sim->broker->shards[0]->blocked_reads));
    sim_settle(sim);
}

// A publication that so many filters of another shard match makes a record longer than a mailbox
// takes.
Test(route, a_record_too_long_for_the_mailbox_goes_as_a_parcel)
{
    struct sim_conn *p = client_on(0), *a = client_on(1);
    const uint32_t levels = 15; // 2^15 filters of + and x
    for (uint32_t f = 0; f < 1u << levels; f++) {
        char filter[2 * 15 + 1];
        for (uint32_t i = 0; i < levels; i++) {
            filter[2 * i] = f >> i & 1 ? '+' : 'x';
            filter[2 * i + 1] = '/';
        }
        filter[2 * levels - 1] = 0;
        sim_subscribe(a, &(struct sim_subscribe){.filter = filter, .options = f & 1, .id = f + 1});
    }
    sim_settle(sim);
    for (uint32_t f = 0; f < 1u << levels; f++)
        expect_packet(a, MQTT_SUBACK);
    publish_text(p, "x/x/x/x/x/x/x/x/x/x/x/x/x/x/x", 1, "before");
    publish_text(p, "x", 1, "nobody");
    publish_text(p, "x/x/x/x/x/x/x/x/x/x/x/x/x/x/x", 1, "after");
    cr_assert_gt(shard_of(p)->outbox_bytes, 2 * 8 * (1u << levels));
    sim_settle(sim);
    struct server_packet packet = expect_publish(a, 1, "before");
    cr_assert_eq(packet.id_count, SERVER_PACKET_IDS_MAX, "at least so many");
    expect_publish(a, 1, "after");
    expect_nothing(a);
}

Test(route, what_is_under_way_when_the_broker_ends_is_released)
{
    struct sim_conn *p = client_on(0), *a = client_on(1), *b = client_on(2);
    subscribed(sim, a, "t", 0);
    subscribed(sim, b, "u", 0);
    static const uint8_t large[10000];
    struct pub pub = {.topic = slice_str("t"), .payload = slice_of(large, sizeof large)};
    struct msg *msg = msg_ref(pub_msg(&pub));
    struct route_result result;
    cr_assert_eq(route_publish(shard_of(p), &pub, &result), OK); // in the mailbox, posted
    shard_post(shard_of(p));
    flood(p, 100);
    cr_assert_eq(route_publish(shard_of(p), &pub, &result), OK); // in the outbox
    pub.topic = slice_str("u");
    cr_assert_eq(route_publish(shard_of(p), &pub, &result), OK); // in the mailbox, not posted
    cr_assert_eq(atomic_load(&msg->refs), 5);
    pub_done(&pub);
    sim_free(sim);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    msg_unref(msg);
    sim = sim_new(SHARDS, sim_config()); // for tear_down
}

// ---- Share groups -------------------------------------------------------------------------------

static unsigned
drain_count(struct sim_conn *conn)
{
    unsigned count = 0;
    struct server_packet packet;
    while (sim_next(conn, &packet))
        count += packet.type == MQTT_PUBLISH;
    return count;
}

Test(route, a_group_over_all_shards_gets_each_message_once_and_evenly)
{
    struct sim_conn *p = client_on(0), *a[2 * SHARDS];
    for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
        a[i] = client_on(i % SHARDS);
        subscribed(sim, a[i], "$share/g/t/#", 0);
    }
    struct sim_conn *plain = client_on(1);
    subscribed(sim, plain, "t/#", 0);
    for (unsigned n = 0; n < 600; n++)
        publish_number(p, "t/x", 0, n);
    sim_settle(sim);
    unsigned total = 0;
    for (unsigned i = 0; i < ARRAY_LEN(a); i++) {
        unsigned count = drain_count(a[i]);
        cr_assert(count >= 80 && count <= 120, "member %u got %u", i, count);
        total += count;
    }
    cr_assert_eq(total, 600);
    cr_assert_eq(drain_count(plain), 600);
}

Test(route, unacknowledged_messages_of_a_member_that_ends_go_to_another_shard)
{
    struct sim_conn *p = client_on(0), *a = client_on(1), *b;
    subscribed(sim, a, "$share/g/t", 1);
    for (unsigned n = 0; n < 20; n++)
        publish_number(p, "t", 1, n);
    sim_settle(sim);
    cr_assert_eq(drain_count(a), 20);
    b = client_on(2);
    subscribed(sim, b, "$share/g/t", 1);
    sim_close(a, 0);
    sim_settle(sim);
    for (unsigned n = 0; n < 20; n++)
        expect_number(b, 1, n);
    cr_assert_eq(stat_sum(sim, dropped_session_end), 0);
    sim_close(b, 0);
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, dropped_no_member), 20);
}

Test(route, qos_2_once_sent_is_not_given_to_another_member)
{
    struct sim_conn *p = client_on(0);
    struct sim_conn *a =
        sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 1), .receive_max = 1});
    subscribed(sim, a, "$share/g/t", 2);
    publish_number(p, "t", 2, 0);
    publish_number(p, "t", 2, 1);
    sim_settle(sim);
    expect_number(a, 2, 0);
    struct sim_conn *b = client_on(2);
    subscribed(sim, b, "$share/g/t", 2);
    sim_close(a, 0);
    sim_settle(sim);
    expect_number(b, 2, 1); // [MQTT-4.8.2-5]
    expect_nothing(b);
    cr_assert_eq(stat_sum(sim, dropped_session_end), 1);
}

Test(route, absent_members_get_nothing_while_one_is_there)
{
    const char *id;
    struct sim_conn *p = client_on(0), *a = durable_on(1, &id), *b = client_on(2);
    subscribed(sim, a, "$share/g/t", 1);
    subscribed(sim, b, "$share/g/t", 1);
    sim_close(a, 0);
    for (unsigned n = 0; n < 10; n++)
        publish_number(p, "t", 1, n);
    sim_settle(sim);
    for (unsigned n = 0; n < 10; n++)
        sim_ack(b, MQTT_PUBACK, expect_number(b, 1, n).packet_id);
    sim_close(b, 0);
    publish_number(p, "t", 1, 10); // all are absent: one of them keeps it
    sim_settle(sim);
    a = sim_connect_durable(sim, id);
    expect_number(a, 1, 10);
    expect_nothing(a);
}

Test(route, what_waits_for_an_absent_member_goes_to_those_who_are_there)
{
    const char *id;
    struct sim_conn *p = client_on(0), *b = client_on(2);
    struct sim_conn *a = sim_connect(
        sim, &(struct sim_connect){
                 .id = id = id_on(sim, 1), .keep = true, .expiry_s = 1000, .receive_max = 2});
    subscribed(sim, a, "$share/g/t", 1);
    for (unsigned n = 0; n < 10; n++)
        publish_number(p, "t", 1, n);
    sim_settle(sim);
    subscribed(sim, b, "$share/g/t", 1);
    sim_close(a, 0);
    sim_settle(sim);
    for (unsigned n = 2; n < 10; n++)
        expect_number(b, 1, n); // 0 and 1 were sent to a, who may come back
    expect_nothing(b);
    a = sim_connect_durable(sim, id);
    cr_assert(expect_number(a, 1, 0).dup);
    cr_assert(expect_number(a, 1, 1).dup);
    expect_nothing(a);
}

// ---- Overlap ------------------------------------------------------------------------------------

Test(route, overlapping_subscriptions_give_one_copy_with_all_identifiers)
{
    for (unsigned shard = 0; shard < 2; shard++) {
        struct sim_conn *p = client_on(0), *a = client_on(shard);
        static const char *const filters[] = {"t/#", "t/x", "+/x", "t/+", "#"};
        for (unsigned i = 0; i < ARRAY_LEN(filters); i++)
            sim_subscribe(a, &(struct sim_subscribe){.filter = filters[i],
                                                     .options = (uint8_t)(i % 3),
                                                     .id = i == 2 ? 0 : i + 1});
        sim_settle(sim);
        for (unsigned i = 0; i < ARRAY_LEN(filters); i++)
            expect_packet(a, MQTT_SUBACK);
        publish_text(p, "t/x", 2, "once");
        sim_settle(sim);
        struct server_packet packet = expect_publish(a, 2, "once");
        expect_nothing(a);
        cr_assert_eq(packet.id_count, 4);
        uint32_t seen = 0;
        for (unsigned i = 0; i < 4; i++)
            seen |= 1u << packet.ids[i];
        cr_assert_eq(seen, 1u << 1 | 1u << 2 | 1u << 4 | 1u << 5);
        sim_close(a, 0);
    }
}

Test(route, identifiers_outlive_the_queue)
{
    const char *id;
    struct sim_conn *p = client_on(0), *a = durable_on(1, &id);
    static const char *const filters[] = {"#", "t/#", "t/#"};
    for (unsigned i = 0; i < ARRAY_LEN(filters); i++)
        sim_subscribe(a, &(struct sim_subscribe){.filter = filters[i], .options = 1, .id = i + 1});
    sim_settle(sim);
    sim_close(a, 0);
    publish_text(p, "t", 1, "kept");
    sim_settle(sim);
    a = sim_connect_durable(sim, id);
    struct server_packet packet = expect_publish(a, 1, "kept");
    cr_assert_eq(packet.id_count, 2);
    cr_assert_eq(packet.ids[0] + packet.ids[1], 1 + 3, "the third replaced the second");
}

Test(route, no_local_holds_across_overlap_and_reconnection)
{
    const char *id;
    struct sim_conn *a = durable_on(0, &id);
    subscribed(sim, a, "t", 1 | 4);
    publish_text(a, "t", 1, "own");
    sim_settle(sim);
    expect_answer(a, MQTT_PUBACK, 1, 0);
    expect_nothing(a);
    sim_close(a, 0);
    a = sim_connect_durable(sim, id);
    subscribed(sim, a, "#", 0);
    publish_text(a, "t", 1, "own");
    sim_settle(sim);
    expect_publish(a, 0, "own"); // for the one that has no such wish
    expect_packet(a, MQTT_PUBACK);
    expect_nothing(a);
}

// ---- The memory budget --------------------------------------------------------------------------

// An absent session with more than the budget in its queue.
static void
exhaust(struct sim_conn *p)
{
    const char *id;
    struct sim_conn *a = durable_on(1, &id);
    subscribed(sim, a, "t", 1);
    sim_close(a, 0);
    atomic_store(&sim->broker->memory_max, 200000);
    static const uint8_t body[10000];
    for (unsigned i = 0; i < 21; i++)
        sim_publish(p, &(struct sim_publish){
                           .topic = "t", .qos = 1, .payload = slice_of(body, sizeof body)});
    sim_settle(sim);
    drain_count(p);
    sim_tick(sim, 0); // each shard has seen the others' account
    cr_assert_geq(sim->broker->shards[0]->level, GOVERNOR_FULL);
    cr_assert_geq(sim->broker->shards[2]->level, GOVERNOR_FULL);
}

Test(route, over_budget_new_work_is_refused_and_what_is_there_goes_on)
{
    struct sim_conn *there = client_on(0), *p = client_on(0);
    exhaust(p);
    struct sim_conn *late = client_on(2);
    cr_assert_eq(late->hello.reason, 0x89, "CONNECT is refused: busy");
    sim_subscribe(there, &(struct sim_subscribe){.filter = "t"});
    sim_settle(sim);
    expect_answer(there, MQTT_SUBACK, 1, 0x97);
    sim_publish(there, &(struct sim_publish){.topic = "t", .qos = 1, .packet_id = 9});
    sim_settle(sim);
    expect_answer(there, MQTT_PUBACK, 9, 0x97);
    sim_ping(there);
    sim_tick(sim, 500);
    sim_settle(sim);
    expect_packet(there, MQTT_PINGRESP);
    cr_assert_geq(stat_sum(sim, dropped_memory), 1);
    cr_assert_eq(stat_sum(sim, publish_refused), 1);
}

Test(route, when_there_is_memory_again_publishers_are_read_again)
{
    struct sim_conn *p = client_on(0);
    exhaust(p);
    publish_text(p, "t", 0, "refused");
    cr_assert(p->client.read_paused);
    sim_tick(sim, 1000);
    cr_assert_not(p->client.read_paused, "its moment");
    publish_text(p, "t", 0, "refused");
    cr_assert(p->client.read_paused);
    sim_tick(sim, 0);
    cr_assert(p->client.read_paused, "not at once");
    sim_tick(sim, 100);
    cr_assert(p->client.read_paused, "nor soon");
    sim_tick(sim, 300);
    cr_assert_not(p->client.read_paused, "a moment now and then");
    publish_text(p, "t", 0, "refused");
    cr_assert(p->client.read_paused);
    atomic_store(&sim->broker->memory_max, 0);
    sim_tick(sim, 0);
    sim_tick(sim, 0);
    cr_assert_not(p->client.read_paused);
    cr_assert_eq(sim->broker->shards[0]->level, GOVERNOR_CALM);
}

Test(route, the_account_counts_what_there_is)
{
    cr_assert_eq(stat_sum(sim, memory_bytes), 0);
    struct sim_conn *a = client_on(0);
    uint64_t session = stat_sum(sim, memory_bytes);
    cr_assert_gt(session, 0);
    sim_feed(a, "\x30\xff\xff\x01 part of a packet", 21);
    sim_settle(sim);
    cr_assert_gt(stat_sum(sim, memory_bytes), session);
    sim_close(a, 0);
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, memory_bytes), 0);
}
