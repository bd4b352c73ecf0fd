// test_governor.c - levels of memory: where they rise, where they fall, and what each one sheds.
#include "core/governor.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    config->queued_messages_max = 0;
    sim = sim_new(2, config);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(governor, .init = set_up, .fini = tear_down);

// ---- The decision -------------------------------------------------------------------------------

Test(governor, it_rises_where_the_table_says)
{
    static const struct {
        uint64_t memory;
        enum governor_level level;
    } rows[] = {{0, GOVERNOR_CALM},      {8000, GOVERNOR_CALM},    {8001, GOVERNOR_TRIM},
                {9000, GOVERNOR_TRIM},   {9001, GOVERNOR_SLOW},    {9500, GOVERNOR_SLOW},
                {9501, GOVERNOR_REFUSE}, {10000, GOVERNOR_REFUSE}, {10001, GOVERNOR_FULL},
                {12500, GOVERNOR_FULL},  {12501, GOVERNOR_CLOSE},  {99999, GOVERNOR_CLOSE}};
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++)
        cr_assert_eq(governor_next(GOVERNOR_CALM, rows[i].memory, 10000), rows[i].level, "%d",
                     (int)rows[i].memory);
}

Test(governor, it_falls_a_twentieth_lower)
{
    cr_assert_eq(governor_next(GOVERNOR_TRIM, 7501, 10000), GOVERNOR_TRIM);
    cr_assert_eq(governor_next(GOVERNOR_TRIM, 7500, 10000), GOVERNOR_CALM);
    cr_assert_eq(governor_next(GOVERNOR_CLOSE, 12001, 10000), GOVERNOR_CLOSE);
    cr_assert_eq(governor_next(GOVERNOR_CLOSE, 12000, 10000), GOVERNOR_FULL);
    cr_assert_eq(governor_next(GOVERNOR_CLOSE, 9400, 10000), GOVERNOR_REFUSE);
    cr_assert_eq(governor_next(GOVERNOR_CLOSE, 0, 10000), GOVERNOR_CALM, "at once");
    cr_assert_eq(governor_next(GOVERNOR_CLOSE, 99999, 0), GOVERNOR_CALM, "no limit");
}

// Memory that goes up and down by little does not make it change all the time.
Test(governor, it_does_not_flutter)
{
    enum governor_level level = GOVERNOR_CALM;
    unsigned changes = 0;
    for (unsigned i = 0; i < 1000; i++) {
        enum governor_level next = governor_next(level, i % 2 ? 9300 : 8800, 10000);
        changes += next != level;
        level = next;
    }
    cr_assert_leq(changes, 2);
}

// ---- What each level sheds ----------------------------------------------------------------------

static struct sim_conn *
come(const char *id, uint8_t version)
{
    return sim_connect(
        sim, &(struct sim_connect){.id = id, .version = version, .keep = true, .expiry_s = 100});
}

// The budget becomes such that what there is now is so many hundredths of it.
static void
use(unsigned percent)
{
    sim_settle(sim);
    uint64_t memory = broker_memory(sim->broker);
    cr_assert_gt(memory, 500);
    atomic_store(&sim->broker->memory_max, memory * 100 / percent);
    sim_tick(sim, 0);
    sim_tick(sim, 0);
}

static enum governor_level
level(void)
{
    cr_assert_eq(sim->broker->shards[0]->level, sim->broker->shards[1]->level);
    return sim->broker->shards[0]->level;
}

Test(governor, above_80_a_client_that_does_not_read_gets_no_qos0)
{
    struct sim_conn *slow = come("slow", 5), *quick = come("quick", 5), *p = come("p", 5);
    subscribed(sim, slow, "t", 0);
    subscribed(sim, quick, "t", 0);
    sim_room(slow, 0);
    publish_text(p, "t", 0, "it blocks with this");
    sim_settle(sim);
    use(85);
    cr_assert_eq(level(), GOVERNOR_TRIM);
    publish_text(p, "t", 0, "dropped");
    sim_settle(sim);
    sim_room(slow, SIM_UNLIMITED);
    sim_settle(sim);
    expect_publish(slow, 0, "it blocks with this");
    expect_nothing(slow);
    expect_publish(quick, 0, "it blocks with this");
    expect_publish(quick, 0, "dropped");
    cr_assert_eq(stat_sum(sim, dropped_memory), 1);
    cr_assert_not(p->client.read_paused);
}

Test(governor, above_90_publishers_have_a_moment_now_and_then)
{
    struct sim_conn *p = come("p", 4);
    use(92);
    cr_assert_eq(level(), GOVERNOR_SLOW);
    publish_text(p, "t", 1, "taken");
    cr_assert(p->client.read_paused);
    sim_tick(sim, 1);
    expect_packet(p, MQTT_PUBACK);
    sim_tick(sim, 1000);
    cr_assert_not(p->client.read_paused);
    struct sim_conn *fresh = come("fresh", 5);
    cr_assert_eq(fresh->hello.reason, 0, "new sessions may come");
}

Test(governor, above_95_there_are_no_new_sessions_and_subscriptions)
{
    struct sim_conn *a = come("a", 5);
    sim_close(a, 0);
    sim_settle(sim);
    struct sim_conn *b = come("b", 5);
    use(97);
    cr_assert_eq(level(), GOVERNOR_REFUSE);
    cr_assert_eq(come("new", 5)->hello.reason, 0x97);
    cr_assert_eq(come("new", 4)->hello.reason, 3);
    sim_subscribe(b, &(struct sim_subscribe){.filter = "t"});
    sim_settle(sim);
    expect_answer(b, MQTT_SUBACK, 1, 0x97);
    cr_assert_eq(stat_sum(sim, refused_memory), 3);
    // Who is known may come back: that is how its queue is emptied.
    cr_assert_eq(come("a", 5)->hello.reason, 0);
}

Test(governor, above_100_every_connect_is_refused)
{
    struct sim_conn *a = come("a", 5);
    sim_close(a, 0);
    sim_settle(sim);
    use(110);
    cr_assert_eq(level(), GOVERNOR_FULL);
    cr_assert_eq(come("a", 5)->hello.reason, 0x89);
}

Test(governor, above_125_who_cannot_be_told_is_closed)
{
    struct sim_conn *p = come("p", 4), *q = come("q", 5);
    use(130);
    cr_assert_eq(level(), GOVERNOR_CLOSE);
    publish_text(p, "t", 1, "brought again later");
    publish_text(q, "t", 1, "refused");
    sim_settle(sim);
    expect_dismissed(p, 0);
    expect_answer(q, MQTT_PUBACK, 1, 0x97);
    cr_assert(q->open);
}
