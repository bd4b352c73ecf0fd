// test_http_health.c - alive, ready, started: what is judged from what.
#include <criterion/criterion.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "core/governor.h"
#include "http/health.h"

#define WORKERS 3u
#define NOW_MS  UINT64_C(1000000)

static struct config *config;
static struct broker *broker;
static struct health_view view;
static struct health health;

static void
set_up(void)
{
    config = config_defaults();
    broker = broker_new(config, NULL, WORKERS, 1, 1);
    view = (struct health_view){
        .stage = HEALTH_SERVING, .broker = broker, .serving_ms = 500, .now_ms = NOW_MS};
    for (unsigned i = 0; i < WORKERS; i++)
        atomic_store(&broker->beats[i].ms, NOW_MS - i);
}

static void
tear_down(void)
{
    broker_free(broker);
    config_free(config);
}

TestSuite(http_health, .init = set_up, .fini = tear_down);

static void
beat(unsigned worker, uint64_t ago_ms)
{
    atomic_store(&broker->beats[worker].ms, NOW_MS - ago_ms);
}

static void
expect_live(bool good, const char *text)
{
    health_live(&view, &health);
    cr_assert_eq(health.good, good, "%s", health.text);
    cr_assert_str_eq(health.text, text);
}

static void
expect_ready(bool good, const char *text)
{
    health_ready(&view, &health);
    cr_assert_eq(health.good, good, "%s", health.text);
    cr_assert_str_eq(health.text, text);
}

Test(http_health, alive_while_all_workers_tick)
{
    expect_live(true, "ok\n");
    beat(0, HEALTH_TICK_MS);
    beat(2, BROKER_BEAT_MS + 100); // one that sleeps
    expect_live(true, "ok\n");
}

Test(http_health, a_worker_that_hangs_is_named)
{
    beat(1, HEALTH_TICK_MS + 2000);
    expect_live(false, "worker 1 hangs for 12 s\n");
    beat(0, HEALTH_TICK_MS + 1);
    expect_live(false, "worker 0 hangs for 10 s, worker 1 hangs for 12 s\n");
    beat(0, 0);
    beat(1, 0);
    expect_live(true, "ok\n");
}

Test(http_health, a_tick_after_the_clock_was_read_is_none_of_the_past)
{
    atomic_store(&broker->beats[0].ms, NOW_MS + 5);
    expect_live(true, "ok\n");
}

Test(http_health, a_worker_has_time_for_its_first_tick)
{
    atomic_store(&broker->beats[1].ms, 0);
    view.serving_ms = NOW_MS - HEALTH_TICK_MS;
    expect_live(true, "ok\n");
    view.serving_ms--;
    expect_live(false, "worker 1 hangs for 10 s\n");
}

Test(http_health, memory_that_is_short_is_no_reason_to_be_killed)
{
    atomic_store(&broker->level, GOVERNOR_CLOSE);
    expect_live(true, "ok\n");
}

Test(http_health, alive_before_and_after_it_serves)
{
    view = (struct health_view){.stage = HEALTH_STARTING, .now_ms = NOW_MS};
    expect_live(true, "ok\n");
    view.stage = HEALTH_ENDING;
    expect_live(true, "ok\n");
}

Test(http_health, a_text_of_many_workers_is_cut)
{
    struct broker *wide = broker_new(config, NULL, TRIE_SHARDS_MAX, 1, 1);
    view.broker = wide;
    health_live(&view, &health);
    cr_assert_not(health.good);
    size_t len = strlen(health.text);
    cr_assert_eq(len, HEALTH_TEXT_MAX - 1);
    cr_assert_eq(health.text[len - 1], '\n');
    broker_free(wide);
}

Test(http_health, ready_while_it_serves)
{
    expect_ready(true, "ok\n");
    beat(0, 60000); // that is what livez is for
    expect_ready(true, "ok\n");
    view.stage = HEALTH_STARTING;
    expect_ready(false, "the broker is starting\n");
    view.stage = HEALTH_ENDING;
    expect_ready(false, "the broker is ending\n");
}

Test(http_health, alive_and_not_ready_while_it_drains)
{
    drain_begin(&broker->drain, NOW_MS, 10, 10, DRAIN_LAST);
    expect_ready(false, "the broker is draining\n");
    expect_live(true, "ok\n");
}

static bool synced;

static bool
is_synced(struct cluster *cluster)
{
    return cluster != NULL && synced;
}

Test(http_health, not_ready_before_it_has_caught_up_with_other_nodes)
{
    static const struct cluster_ops ops = {.synced = is_synced};
    static struct cluster cluster = {.ops = &ops};
    broker->cluster = &cluster;
    expect_ready(false, "routes and retained messages of other nodes are on their way\n");
    expect_live(true, "ok\n");
    synced = true;
    expect_ready(true, "ok\n");
    drain_begin(&broker->drain, NOW_MS, 10, 10, DRAIN_LAST);
    expect_ready(false, "the broker is draining\n");
    broker->cluster = NULL;
}

Test(http_health, not_ready_while_every_connect_is_refused)
{
    for (uint32_t level = GOVERNOR_CALM; level < GOVERNOR_LEVELS; level++) {
        atomic_store(&broker->level, level);
        health_ready(&view, &health);
        cr_assert_eq(health.good, level < GOVERNOR_FULL, "level %u", level);
    }
    cr_assert_str_eq(health.text,
                     "memory_limit is reached, every CONNECT is refused (governor level 5)\n");
    atomic_store(&broker->level, GOVERNOR_CALM);
    expect_ready(true, "ok\n");
}

Test(http_health, started_once_and_for_all)
{
    view.stage = HEALTH_STARTING;
    health_started(&view, &health);
    cr_assert(!health.good && strcmp(health.text, "the broker is starting\n") == 0);
    view.stage = HEALTH_SERVING;
    health_started(&view, &health);
    cr_assert(health.good && strcmp(health.text, "ok\n") == 0);
    view.stage = HEALTH_ENDING;
    health_started(&view, &health);
    cr_assert(health.good);
}
