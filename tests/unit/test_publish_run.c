// test_publish_run.c - packets that come together are handled together, and nobody can tell.
#include "tests/sim/expect.h"

#define RETAIN_AS_PUBLISHED 8
#define NO_LOCAL            4
#define SMALL_PACKET        150u
#define OUTPUT_MAX          5000u
#define PACKETS             60u // in one receive: with these sizes about 12 KB

static const struct kind {
    const char *filter;
    uint8_t version, options;
    uint16_t alias_max;
    uint32_t packet_max, id;
    bool deaf; // its socket takes nothing until all is published
} kinds[] = {
    {.filter = "run/first", .version = MQTT_311},
    {.filter = "run/first", .version = MQTT_5},
    {.filter = "run/second", .version = MQTT_5, .options = 1},
    {.filter = "run/+", .version = MQTT_31, .options = 1},
    {.filter = "run/#", .version = MQTT_5, .options = RETAIN_AS_PUBLISHED},
    {.filter = "run/first", .version = MQTT_5, .packet_max = SMALL_PACKET},
    {.filter = "run/first", .version = MQTT_5, .alias_max = 5},
    {.filter = "run/second", .version = MQTT_5, .id = 7},
    {.filter = "run/second", .version = MQTT_311, .deaf = true},
    {.filter = "run/second", .version = MQTT_5, .deaf = true},
    {.filter = "$share/group/run/second", .version = MQTT_5},
    {.filter = "$share/group/run/second", .version = MQTT_311, .options = 1},
    {.filter = "lonely", .version = MQTT_311},
};
enum { KINDS = ARRAY_LEN(kinds), EACH = 2, RECEIVERS = KINDS * EACH };

struct world {
    struct sim *sim;
    struct sim_conn *publisher, *receivers[RECEIVERS];
};

static void
begin(struct world *world, unsigned shards, uint8_t version, uint32_t inflight_max)
{
    struct config *config = sim_config();
    config->inflight_messages_max = (uint16_t)inflight_max;
    config->queued_messages_max = 0;
    config->output_bytes_max = OUTPUT_MAX;
    world->sim = sim_new(shards, config);
    for (uint32_t i = 0; i < RECEIVERS; i++) {
        const struct kind *kind = &kinds[i % KINDS];
        struct sim_conn *conn = sim_connect(
            world->sim, &(struct sim_connect){.id = id_on(world->sim, i / KINDS % shards),
                                              .version = kind->version,
                                              .alias_max = kind->alias_max,
                                              .packet_max = kind->packet_max});
        sim_subscribe(conn, &(struct sim_subscribe){
                                .filter = kind->filter, .options = kind->options, .id = kind->id});
        sim_settle(world->sim);
        expect_packet(conn, MQTT_SUBACK);
        world->receivers[i] = conn;
    }
    const char *id = id_on(world->sim, 0);
    world->publisher = sim_connect(world->sim, &(struct sim_connect){.id = id, .version = version});
    if (version == MQTT_5) // hears itself at one topic, and not at the other
        subscribed(world->sim, world->publisher, "run/second", NO_LOCAL);
    subscribed(world->sim, world->publisher, "lonely", 0);
    for (uint32_t i = 0; i < RECEIVERS; i++)
        if (kinds[i % KINDS].deaf)
            sim_room(world->receivers[i], 0);
}

// Mostly runs of one topic at one QoS, now and then something else among them.
static void
publish_all(struct sim_conn *conn, uint8_t qos, uint32_t seed)
{
    static const char *const topics[] = {"run/first", "run/second", "lonely", "nobody/hears"};
    static const uint32_t sizes[] = {64, 64, 64, 64, 0, 1, 100, 120, 140, 200, 900, 2048, 2049};
    static uint8_t body[3000];
    const char *topic = topics[0];
    for (uint32_t n = 0; n < PACKETS; n++) {
        seed = seed * 1664525u + 1013904223u;
        if (seed >> 28 < 3)
            topic = topics[seed >> 16 & 3];
        memset(body, 'a' + (int)(n % 26), sizeof body);
        uint32_t other = seed >> 8 & 63;
        sim_publish(conn, &(struct sim_publish){
                              .topic = topic,
                              .payload = slice_of(body, sizes[(seed >> 20) % ARRAY_LEN(sizes)]),
                              .qos = (uint8_t)(other == 0 ? (qos + 1) % 3 : qos),
                              .packet_id = (uint16_t)(n + 1),
                              .retain = other == 1,
                              .has_expiry = other == 2 && conn->client.version == MQTT_5,
                              .expiry_s = 100});
    }
}

static void
release_all(struct sim_conn *conn)
{
    for (uint32_t n = 0; n < PACKETS; n += n % 5 == 0 ? 2 : 1)
        sim_ack(conn, MQTT_PUBREL, (uint16_t)(n + 1));
}

static const struct counter {
    const char *name;
    size_t offset; // in struct figures
} counters[] = {
#define X(name) {#name, offsetof(struct figures, name)},
    STATS_TABLE(X) TRAFFIC_TABLE(X) DROPS_TABLE(X)
#undef X
};

static void
expect_equal(const char *name, uint64_t a, uint64_t b)
{
    cr_assert_eq(a, b, "%s", name);
}

// All but records between shards, of which there are fewer when packets come together, or the
// shards are at one thread.
static void
expect_same_stats(const struct world *together, const struct world *apart)
{
    struct figures a = figures_of(together->sim), b = figures_of(apart->sim);
    for (unsigned i = 0; i < ARRAY_LEN(counters); i++) {
        const struct counter *counter = &counters[i];
        if (strcmp(counter->name, "posted") == 0 || strcmp(counter->name, "posts_taken") == 0)
            continue;
        struct figure figure = {.kind = FIGURE_COUNTER, .offset = counter->offset};
        expect_equal(counter->name, figure_value(&figure, &a), figure_value(&figure, &b));
    }
}

static void
expect_same(struct world *together, struct world *apart)
{
    expect_same_stats(together, apart);
    for (uint32_t i = 0; i <= RECEIVERS; i++) {
        const struct sim_conn *a = i < RECEIVERS ? together->receivers[i] : together->publisher;
        const struct sim_conn *b = i < RECEIVERS ? apart->receivers[i] : apart->publisher;
        cr_assert_eq(a->to_peer.len, b->to_peer.len, "receiver %u got %u bytes, not %u", i,
                     a->to_peer.len, b->to_peer.len);
        cr_assert_arr_eq(a->to_peer.data, b->to_peer.data, a->to_peer.len);
    }
}

static void
finish(struct world *world)
{
    sim_settle(world->sim);
    for (uint32_t i = 0; i < RECEIVERS; i++)
        if (kinds[i % KINDS].deaf)
            sim_room(world->receivers[i], SIM_UNLIMITED);
    sim_settle(world->sim);
}

static void
put_beside(struct sim *sim)
{
    for (unsigned i = 0; i < sim->shard_count; i++)
        sim->broker->shards[i]->beside = (UINT64_C(1) << sim->shard_count) - 1;
}

// beside: in the world in which they come together, all shards are at one thread.
static void
run(unsigned shards, uint8_t version, uint8_t qos, uint32_t seed, bool beside)
{
    struct world together, apart;
    uint32_t inflight_max = seed % 2 ? 0 : 20; // most wait in queues
    begin(&together, shards, version, inflight_max);
    begin(&apart, shards, version, inflight_max);
    if (beside)
        put_beside(together.sim);
    for (uint32_t round = 0; round < 4; round++) {
        together.publisher->client.read_paused = true; // so that it waits, and comes as one
        if (round == 2)                                // at QoS 2 copies come until then
            release_all(together.publisher);
        publish_all(together.publisher, qos, seed + round);
        together.publisher->client.read_paused = false;
        sim_receive(together.publisher);
        if (round == 2)
            release_all(apart.publisher);
        publish_all(apart.publisher, qos, seed + round);
        sim_settle(together.sim);
        sim_settle(apart.sim);
    }
    finish(&together);
    finish(&apart);
    cr_assert_gt(stat_sum(together.sim, dropped_slow_consumer), 0);
    cr_assert_gt(stat_sum(together.sim, dropped_too_large), 0);
    if (shards > 1)
        cr_assert_lt(stat_sum(together.sim, posted), stat_sum(apart.sim, posted));
    expect_same(&together, &apart);
    end_empty(together.sim);
    end_empty(apart.sim);
}

Test(publish_run, receivers_get_the_same_together_as_apart)
{
    for (uint32_t seed = 0; seed < 20; seed++) {
        for (uint8_t qos = 0; qos < 3; qos++) {
            run(1, MQTT_311, qos, seed, false);
            run(1, MQTT_5, qos, seed + 100, false);
            run(2, MQTT_311, qos, seed + 200, false);
            run(2, MQTT_5, qos, seed + 300, false);
        }
    }
}

Test(publish_run, and_whether_their_shards_are_at_one_thread_or_not)
{
    for (uint32_t seed = 0; seed < 20; seed++) {
        for (uint8_t qos = 0; qos < 3; qos++) {
            run(2, MQTT_311, qos, seed + 400, true);
            run(3, MQTT_5, qos, seed + 500, true);
        }
    }
}
