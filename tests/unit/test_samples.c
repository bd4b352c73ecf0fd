// test_samples.c - one publication in SAMPLE_EVERY is timed, wherever it goes.
#include "core/samples.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"

static struct sim *sim;
static struct sim_disk *disk;

static uint64_t
count_of(size_t offset)
{
    struct duration_sums sums = {0};
    uint64_t count = 0;
    for (unsigned i = 0; i < sim->shard_count; i++) {
        const char *samples = (const char *)&sim->broker->shards[i]->samples;
        durations_sum((const struct durations *)(const void *)(samples + offset), &sums);
    }
    for (unsigned i = 0; i < DURATION_CLASSES; i++)
        count += sums.counts[i];
    return count;
}

static void
expect_counts(uint64_t acknowledged, uint64_t delivered)
{
    cr_assert_eq(count_of(offsetof(struct samples, acknowledged)), acknowledged);
    cr_assert_eq(count_of(offsetof(struct samples, delivered)), delivered);
}

static struct sim_conn *
subscriber_on(unsigned shard, const char *filter, uint8_t qos)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, shard)});
    subscribed(sim, conn, filter, qos);
    return conn;
}

// Returns a publisher.
static struct sim_conn *
start(unsigned shards)
{
    sim = sim_new(shards, sim_config());
    return sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 0)});
}

static void
keep_all(void)
{
    sim_tick(sim, 10);
    sim_fetch(sim, disk);
    sim_commit(sim, disk);
    sim_settle(sim);
}

Test(samples, the_first_and_then_one_in_so_many)
{
    struct sim_conn *publisher = start(1), *a = subscriber_on(0, "t", 0);
    struct sim_conn *b = subscriber_on(0, "t", 0);
    sim_tick(sim, 3000);
    for (unsigned i = 0; i < 2 * SAMPLE_EVERY + 1; i++) {
        publish_number(publisher, "t", 0, i);
        sim_tick(sim, 0);
        expect_number(a, 0, i);
        expect_number(b, 0, i);
        expect_counts(0, 2 * (i / SAMPLE_EVERY + 1));
    }
    end_empty(sim);
}

// In one piece: runs count as what they are.
Test(samples, one_in_so_many_of_runs_as_well)
{
    struct sim_conn *publisher = start(1), *a = subscriber_on(0, "t", 1);
    sim_tick(sim, 3000);
    for (unsigned i = 0; i < 2 * SAMPLE_EVERY; i += 16) {
        for (unsigned k = i; k < i + 16; k++)
            publish_number(publisher, "t", 1, k);
        sim_settle(sim);
        for (unsigned k = i; k < i + 16; k++) {
            expect_answer(publisher, MQTT_PUBACK, (uint16_t)(k % 60000 + 1), 0);
            struct server_packet packet = expect_number(a, 1, k);
            sim_ack(a, MQTT_PUBACK, packet.packet_id);
        }
    }
    sim_settle(sim);
    expect_counts(2, 2);
    end_empty(sim);
}

Test(samples, across_shards_and_of_every_kind)
{
    struct sim_conn *publisher = start(2), *here = subscriber_on(0, "t", 2);
    struct sim_conn *there = subscriber_on(1, "t", 2);
    sim_tick(sim, 3000);
    sim_publish(publisher, &(struct sim_publish){.topic = "t",
                                                 .payload = slice_str("expires"),
                                                 .qos = 2,
                                                 .has_expiry = true,
                                                 .expiry_s = 100});
    sim_settle(sim);
    expect_publish(here, 2, "expires");
    expect_publish(there, 2, "expires");
    expect_counts(1, 2);
    end_empty(sim);
}

Test(samples, what_is_retained_is_acknowledged)
{
    struct sim_conn *publisher = start(1), *a = subscriber_on(0, "t", 1);
    sim_tick(sim, 3000);
    sim_publish(publisher, &(struct sim_publish){
                               .topic = "t", .payload = slice_str("x"), .qos = 1, .retain = true});
    sim_settle(sim);
    expect_publish(a, 1, "x");
    expect_counts(1, 0);
    sim_publish(publisher, &(struct sim_publish){.topic = "t", .qos = 1, .retain = true});
    end_empty(sim);
}

Test(samples, who_was_away_is_not_waited_for)
{
    struct sim_conn *publisher = start(1);
    const char *id = id_on(sim, 0);
    struct sim_conn *a = sim_connect_durable(sim, id);
    subscribed(sim, a, "t", 1);
    sim_close(a, 0);
    sim_tick(sim, 3000);
    publish_text(publisher, "t", 1, "x");
    sim_tick(sim, 5000);
    a = sim_connect_durable(sim, id);
    sim_settle(sim);
    expect_publish(a, 1, "x");
    expect_counts(1, 0);
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(2000) * 1000); // the session expires
    end_empty(sim);
}

Test(samples, an_acknowledgement_that_waits_for_the_disk)
{
    disk = sim_disk_new();
    sim = sim_start(1, sim_config(), disk, SIM_START_MS);
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    struct sim_conn *publisher = sim_connect(sim, &(struct sim_connect){.id = "p"});
    sim_tick(sim, 3000);
    publish_text(publisher, "t", 1, "x");
    sim_settle(sim);
    expect_counts(0, 1);
    keep_all();
    expect_answer(publisher, MQTT_PUBACK, 1, 0);
    expect_counts(1, 1);
    // One that goes before is not counted, and nothing of it is left.
    sim->broker->shards[0]->listeners[0].sample_next = 0;
    publish_text(publisher, "t", 1, "y");
    sim_settle(sim);
    sim_close(publisher, 0);
    expect_counts(1, 2);
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(2000) * 1000);
    sim_settle(sim);
    end_empty(sim);
    sim_disk_free(disk);
}

Test(samples, short_times_are_long_again)
{
    struct listener_stats counts = {.publish_received = 5};
    uint64_t us = samples_begin(&counts);
    uint64_t again = samples_long(samples_short(us));
    cr_assert(again == us || again == us + 1, "1 stands for 0");
    cr_assert_eq(counts.sample_next, 5 + SAMPLE_EVERY);
    stat_add(&counts.publish_received, SAMPLE_EVERY - 1);
    cr_assert_not(samples_due(&counts));
    stat_add(&counts.publish_received, 1);
    cr_assert(samples_due(&counts));
}
