// test_publish_run_kept.c - runs at QoS 1 and 2, and acknowledgements in a row: as if each had come
// alone.
#include "tests/sim/expect.h"

#define PACKETS 60u // in one receive
#define ROUNDS  12u

struct world {
    struct sim *sim;
    struct sim_conn *publisher, *subscriber;
    const char *subscriber_id;
    uint32_t published;
    bool together; // what a peer says in a round comes in one receive; else each packet alone
};

static void
begin(struct world *world, uint32_t seed, uint8_t version, uint8_t granted)
{
    unsigned shards = 1 + seed % 2;
    struct config *config = sim_config();
    config->inflight_messages_max = seed / 2 % 2 ? 0 : 20;
    config->queued_messages_max = seed / 4 % 2 ? 0 : 100; // some are dropped
    config->receive_max = UINT16_MAX;
    world->sim = sim_new(shards, config);
    world->subscriber_id = id_on(world->sim, shards - 1);
    world->subscriber = sim_connect(world->sim, &(struct sim_connect){.id = world->subscriber_id,
                                                                      .version = version,
                                                                      .keep = seed / 8 % 2 != 0,
                                                                      .expiry_s = 1000});
    subscribed(world->sim, world->subscriber, "pair", granted);
    world->publisher = sim_connect(
        world->sim, &(struct sim_connect){.id = id_on(world->sim, 0), .version = version});
    world->published = 65500; // identifiers begin again
}

static void
hold(struct world *world, struct sim_conn *conn)
{
    conn->client.read_paused = world->together;
}

static void
let_go(struct sim_conn *conn)
{
    conn->client.read_paused = false;
    sim_receive(conn);
}

static void
publish_all(struct world *world, uint8_t qos, uint32_t seed)
{
    static uint8_t body[2000];
    hold(world, world->publisher);
    for (uint32_t n = 0; n < PACKETS; n++) {
        uint32_t number = world->published++;
        seed = seed * 1664525u + 1013904223u;
        memset(body, 'a' + (int)(number % 26), sizeof body);
        uint32_t size = seed >> 28 == 0 ? 150 + (seed >> 20) % 1800 : (seed >> 20) % 130;
        sim_publish(world->publisher,
                    &(struct sim_publish){.topic = seed >> 16 & 31 ? "pair" : "nobody/hears",
                                          .payload = slice_of(body, size),
                                          .qos = qos,
                                          .packet_id = (uint16_t)(number % 65535 + 1)});
    }
    let_go(world->publisher);
    sim_settle(world->sim);
}

// What waits for an answer. PUBLISH is answered later, or not at all, if its number says so.
struct heard {
    uint16_t ids[4 * PACKETS * ROUNDS];
    uint32_t count;
};

static void
say_row(struct world *world, struct sim_conn *conn, const struct heard *row, uint8_t type)
{
    hold(world, conn);
    for (uint32_t i = 0; i < row->count; i++)
        sim_ack(conn, type, row->ids[i]);
    let_go(conn);
    sim_settle(world->sim);
}

static void
hear(struct heard *row, uint16_t packet_id)
{
    must(row->count < ARRAY_LEN(row->ids));
    row->ids[row->count++] = packet_id;
}

static void
reverse(struct heard *row)
{
    for (uint32_t i = 0; i < row->count / 2; i++) {
        uint16_t id = row->ids[i];
        row->ids[i] = row->ids[row->count - 1 - i];
        row->ids[row->count - 1 - i] = id;
    }
}

// Answers what has come since it was asked last: PUBLISHes first.
static void
answer_all(struct world *world, struct sim_conn *conn, uint32_t mood)
{
    static struct heard publish1, publish2, pubrec, pubrel;
    publish1.count = publish2.count = pubrec.count = pubrel.count = 0;
    struct server_packet packet;
    for (uint32_t n = 1; sim_next(conn, &packet); n++) {
        bool silent = mood % 4 == 3 && n % 7 == 0;
        if (packet.type == MQTT_PUBLISH && packet.qos > 0 && !silent)
            hear(packet.qos == 1 ? &publish1 : &publish2, packet.packet_id);
        else if (packet.type == MQTT_PUBREC)
            hear(&pubrec, packet.packet_id);
        else if (packet.type == MQTT_PUBREL)
            hear(&pubrel, packet.packet_id);
    }
    if (mood % 4 == 2)
        reverse(mood % 8 == 2 ? &publish1 : &pubrel);
    say_row(world, conn, &publish1, MQTT_PUBACK);
    say_row(world, conn, &publish2, MQTT_PUBREC);
    say_row(world, conn, &pubrec, MQTT_PUBREL);
    say_row(world, conn, &pubrel, MQTT_PUBCOMP);
}

static void
expect_same_bytes(const struct sim_conn *a, const struct sim_conn *b)
{
    cr_assert_eq(a->to_peer.len, b->to_peer.len, "%u bytes, not %u", a->to_peer.len,
                 b->to_peer.len);
    cr_assert_arr_eq(a->to_peer.data, b->to_peer.data, a->to_peer.len);
}

static void
expect_same(const struct world *together, const struct world *apart)
{
    expect_same_bytes(together->subscriber, apart->subscriber);
    expect_same_bytes(together->publisher, apart->publisher);
    for (unsigned i = 0; i < together->sim->shard_count; i++) {
        const struct shard *a = together->sim->broker->shards[i],
                           *b = apart->sim->broker->shards[i];
        cr_assert_eq(a->totals.queued, b->totals.queued);
        cr_assert_eq(a->totals.queued_bytes, b->totals.queued_bytes);
        cr_assert_eq(a->totals.inflight, b->totals.inflight);
    }
#define X(name)                         \
    if (strncmp(#name, "post", 4) != 0) \
        cr_assert_eq(stat_sum(together->sim, name), stat_sum(apart->sim, name), #name);
    STATS_TABLE(X)
#undef X
}

static void
come_back(struct world *world, uint8_t version)
{
    sim_close(world->subscriber, 0);
    sim_settle(world->sim);
    world->subscriber = sim_connect(world->sim, &(struct sim_connect){.id = world->subscriber_id,
                                                                      .version = version,
                                                                      .keep = true,
                                                                      .expiry_s = 1000});
    if (!world->subscriber->hello.session_present)
        subscribed(world->sim, world->subscriber, "pair", 2);
}

static void
run(uint32_t seed, uint8_t version, uint8_t qos, uint8_t granted)
{
    struct world worlds[2] = {{.together = true}, {.together = false}};
    for (unsigned i = 0; i < 2; i++)
        begin(&worlds[i], seed, version, granted);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < 2; i++) {
            publish_all(&worlds[i], qos, seed * 100 + round);
            answer_all(&worlds[i], worlds[i].publisher, 0);
            answer_all(&worlds[i], worlds[i].subscriber, round + seed);
            if (round % 2)
                answer_all(&worlds[i], worlds[i].subscriber, 0);
            answer_all(&worlds[i], worlds[i].publisher, 0);
        }
        expect_same(&worlds[0], &worlds[1]);
        if (round % 5 != 4)
            continue;
        for (unsigned i = 0; i < 2; i++)
            come_back(&worlds[i], version);
        expect_same(&worlds[0], &worlds[1]);
    }
    for (unsigned i = 0; i < 2; i++)
        end_empty(worlds[i].sim);
}

Test(publish_run_kept, nobody_can_tell_a_row_from_single_packets)
{
    for (uint32_t seed = 0; seed < 64; seed++) {
        for (uint8_t qos = 1; qos < 3; qos++) {
            run(seed, MQTT_311, qos, 2);
            run(seed, MQTT_5, qos, qos);
        }
        run(seed, MQTT_5, 2, 1);
    }
}

// ---- What is kept -------------------------------------------------------------------------------

static struct msg *
only_message(struct world *world)
{
    const struct shard *shard = world->sim->broker->shards[0];
    const struct deliveries *out = &world->subscriber->client.session->out;
    cr_assert_eq(shard->totals.inflight, out->inflight);
    return deliveries_at(out, out->head)->msg;
}

Test(publish_run_kept, a_run_is_one_message_until_its_last_part_is_acknowledged)
{
    struct world world = {.together = true};
    begin(&world, 6, MQTT_5, 1); // one shard, no limits
    world.sim->broker->shards[0]->listeners[0].sample_next =
        UINT64_MAX; // what is timed is no part of a run
    hold(&world, world.publisher);
    for (unsigned n = 0; n < 10; n++)
        publish_number(world.publisher, "pair", 1, n);
    let_go(world.publisher);
    sim_settle(world.sim);
    struct msg *run = only_message(&world);
    cr_assert(run->run);
    cr_assert_eq(run->refs, 10);
    for (unsigned n = 0; n < 9; n++)
        sim_ack(world.subscriber, MQTT_PUBACK, expect_number(world.subscriber, 1, n).packet_id);
    cr_assert_eq(only_message(&world), run);
    cr_assert_eq(run->refs, 1);
    sim_ack(world.subscriber, MQTT_PUBACK, expect_number(world.subscriber, 1, 9).packet_id);
    cr_assert(deliveries_empty(&world.subscriber->client.session->out));
    end_empty(world.sim);
}

// Else a message here and there of every run would keep all of them in memory.
Test(publish_run_kept, of_what_a_queue_takes_in_part_each_message_is_kept_alone)
{
    struct world world = {.together = true};
    begin(&world, 0, MQTT_5, 1);
    world.sim->config->queued_messages_max = 5;
    hold(&world, world.publisher);
    for (unsigned n = 0; n < 30; n++)
        publish_number(world.publisher, "pair", 1, n);
    let_go(world.publisher);
    sim_settle(world.sim);
    const struct deliveries *out = &world.subscriber->client.session->out;
    cr_assert_eq(out->inflight, 20);
    cr_assert_eq(out->queued, 5);
    for (uint64_t seq = out->head; seq != out->tail; seq++)
        cr_assert_not(deliveries_at(out, seq)->msg->run);
    end_empty(world.sim);
}
