// test_cluster_kept.c - what is for another node, with a keeper: when it is written, and when not.
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_node.h"

#define HOLD 5u // ms, as the journal waits for acknowledgements that are expected soon

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct shard *shard;          // the only one
static struct sim_conn *other, *out; // it comes to us; we have dialled it
static struct sim_conn *client;

static void
keep_all(void)
{
    sim_settle_kept(sim, disk);
    sim_tick(sim, 50); // what nobody waits for as well
    sim_settle_kept(sim, disk);
}

// The session in which waits what is for it.
static struct session *
its_session(void)
{
    struct slice id = slice_str(NODE_TO SIM_OTHER);
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

// All that it is sent.
static void
it_acknowledges(void)
{
    const struct deliveries *queue = &its_session()->out;
    while (queue->inflight > 0) {
        for (uint64_t seq = queue->head, end = queue->sent; seq != end; seq++)
            sim_ack(out, MQTT_PUBACK, deliveries_packet_id(seq));
        sim_settle(sim);
    }
}

static void
set_up(void)
{
    struct config *config = sim_config();
    config->session_expiry_max_s = 86400;
    config->queued_messages_max = 1000000;
    disk = sim_disk_new();
    node = sim_node_make(1, config, true);
    sim = node.sim;
    shard = sim->broker->shards[0];
    other = sim_node_comes(&node);
    keep_all();
    expect_packet(other, MQTT_CONNACK);
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_step(&word, ROUTE_CHANGE, 1, "", "t");
    sim_node_says(other, TOPIC_ROUTES, &word);
    keep_all();
    expect_packet(other, MQTT_PUBACK);
    out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    keep_all();
    it_acknowledges();
    client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    keep_all();
    cr_assert(deliveries_empty(&its_session()->out));
}

static void
tear_down(void)
{
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(172800000));
    sim_settle_kept(sim, disk);
    sim_must_be_empty(sim);
    sim_node_free(&node);
    sim_disk_free(disk);
}

TestSuite(cluster_kept, .init = set_up, .fini = tear_down);

static bool
is_offered(void)
{
    return atomic_load(&sim->broker->keeper->shards[0].offered) != NULL;
}

Test(cluster_kept, a_message_that_it_takes_at_once_is_acknowledged_and_never_written)
{
    uint32_t count = disk->count;
    publish_text(client, "t", 1, "m");
    sim_settle(sim);
    expect_nothing(client);
    cr_assert_not(is_offered());
    it_acknowledges();
    expect_answer(client, MQTT_PUBACK, 1, 0);
    keep_all();
    cr_assert_eq(disk->count, count);
}

Test(cluster_kept, one_that_it_does_not_take_is_acknowledged_when_it_is_written)
{
    uint32_t count = disk->count;
    publish_text(client, "t", 1, "m");
    sim_settle(sim);
    sim_tick(sim, HOLD);
    cr_assert(is_offered());
    expect_nothing(client);
    sim_fetch(sim, disk);
    sim_settle(sim);
    expect_nothing(client);
    sim_commit(sim, disk);
    sim_settle(sim);
    expect_answer(client, MQTT_PUBACK, 1, 0);
    cr_assert_eq(sim_disk_record(disk->records[count]).kind, JOURNAL_MESSAGE);
    cr_assert_eq(sim_disk_record(disk->records[count + 1]).kind, JOURNAL_ENQUEUE);
    publish_text(client, "t", 1, "n"); // it is slow: that is not waited for again
    sim_settle(sim);
    cr_assert(is_offered());
    it_acknowledges();
}

Test(cluster_kept, at_qos_2_it_gets_what_is_written)
{
    publish_text(client, "t", 2, "m");
    sim_settle(sim);
    cr_assert(is_offered());
    cr_assert_eq(its_session()->out.inflight, 0);
    sim_settle_kept(sim, disk);
    cr_assert_eq(its_session()->out.inflight, 1);
    expect_answer(client, MQTT_PUBREC, 1, 0);
}

Test(cluster_kept, it_is_told_of_routes_without_the_disk)
{
    uint32_t count = disk->count;
    sim_subscribe(client, &(struct sim_subscribe){.filter = "mine", .packet_id = 5});
    sim_settle(sim);
    cr_assert_not(is_offered());
    cr_assert_eq(its_session()->out.inflight, 1);
    sim_tick(sim, HOLD);
    cr_assert_not(is_offered(), "nobody waits for the disk");
    expect_nothing(client);
    it_acknowledges();
    expect_answer(client, MQTT_SUBACK, 5, 0);
    keep_all();
    cr_assert_eq(disk->count, count);
}

static void
publish_many(unsigned count, bool taken)
{
    for (unsigned i = 0; i < count; i++) {
        publish_text(client, "t", 1, "m");
        if (i % 500 < 499)
            continue;
        sim_settle(sim);
        if (taken)
            it_acknowledges();
        else
            sim_tick(sim, HOLD);
        sim_settle_kept(sim, disk);
        for (unsigned n = 0; n < 500; n++)
            expect_packet(client, MQTT_PUBACK);
    }
}

Test(cluster_kept, many_go_to_it_without_the_disk)
{
    keep_all();
    uint32_t count = disk->count;
    publish_many(20000, true);
    keep_all();
    cr_assert_eq(disk->count, count);
}

Test(cluster_kept, what_waits_for_it_is_in_memory_up_to_a_limit)
{
    publish_many(30000, false);
    cr_assert_eq(shard->totals.on_disk, 0);
    cr_assert_eq(shard->totals.queued + its_session()->out.inflight, 30000);
    cr_assert_gt(shard->totals.queued, 10000);
    // Memory runs short: as for everybody else.
    atomic_store(&sim->broker->memory_max, broker_memory(sim->broker) * 100 / 84);
    sim_tick(sim, 0);
    publish_many(500, false);
    cr_assert_eq(shard->totals.on_disk, 500);
}
