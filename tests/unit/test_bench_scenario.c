// test_bench_scenario.c - who publishes to whom in the load generator.
#include <criterion/criterion.h>

#include "bench/options.h"
#include "bench/scenario.h"

// Stands in for options.c.
bool
scenario_is_durable(uint64_t scenario)
{
    return scenario >= SCENARIO_DURABLE_PAIRS;
}

static struct shape
shape_of(enum scenario scenario, uint64_t clients, uint64_t sample)
{
    struct options options = {
        .scenario = scenario, .clients = clients, .sample = sample, .messages = 7};
    return scenario_shape(&options);
}

// Every publisher's streams are its subscribers', follow each other, and no stream has two owners.
static void
check_streams(const struct shape *s)
{
    uint32_t seen = 0;
    for (uint32_t p = 0; p < s->publishers; p++) {
        cr_assert_eq(scenario_first_stream(s, p), seen);
        uint32_t heard = 0;
        for (uint32_t sub = 0; sub < s->subscribers; sub++) {
            uint32_t stream = scenario_stream(s, p, sub);
            if (stream == SCENARIO_NO_STREAM)
                continue;
            cr_assert_eq(stream, seen + heard);
            heard++;
        }
        cr_assert_eq(heard, scenario_fan_out(s));
        seen += heard;
    }
    cr_assert_eq(seen, s->streams);
}

Test(bench_scenario, streams_of_all_shapes)
{
    for (uint64_t clients = 1; clients <= 7; clients++) {
        for (int scenario = SCENARIO_PAIRS; scenario <= SCENARIO_RECOVER; scenario++) {
            struct shape s = shape_of((enum scenario)scenario, clients, 3);
            if (s.streams > 0)
                check_streams(&s);
        }
    }
}

Test(bench_scenario, a_foreign_publisher_has_no_stream)
{
    struct shape s = shape_of(SCENARIO_FAN_IN, 4, 0);
    cr_assert_eq(scenario_stream(&s, 4, 0), SCENARIO_NO_STREAM);
}

Test(bench_scenario, the_sample_of_recover_is_spread_over_all_sessions)
{
    struct shape s = shape_of(SCENARIO_RECOVER, 1000, 100);
    uint32_t returning = 0;
    cr_assert_eq(s.publishers, 100);
    for (uint32_t sub = 0; sub < s.subscribers; sub++)
        returning += scenario_returns(&s, sub);
    cr_assert_eq(returning, 100);
    cr_assert(scenario_returns(&s, 990));
    cr_assert_not(scenario_returns(&s, 991));
}

Test(bench_scenario, a_sample_larger_than_all_is_all)
{
    struct shape s = shape_of(SCENARIO_RECOVER, 5, 100);
    cr_assert_eq(s.publishers, 5);
    for (uint32_t sub = 0; sub < 5; sub++)
        cr_assert(scenario_returns(&s, sub));
}

Test(bench_scenario, a_sample_that_does_not_divide_keeps_its_size)
{
    struct shape s = shape_of(SCENARIO_RECOVER, 1000, 3);
    uint32_t returning = 0;
    for (uint32_t sub = 0; sub < s.subscribers; sub++)
        returning += scenario_returns(&s, sub);
    cr_assert_eq(returning, 3);
}

Test(bench_scenario, publisher_and_its_subscriber_name_the_same_topic)
{
    char topic[SCENARIO_TEXT_MAX], filter[SCENARIO_TEXT_MAX];
    struct shape s = shape_of(SCENARIO_RECOVER, 1000, 100);
    scenario_topic(&s, 0xabc, 7, topic);
    scenario_filter(&s, 0xabc, 70, filter);
    cr_assert_str_eq(topic, filter);
    s = shape_of(SCENARIO_PAIRS, 9, 0);
    scenario_topic(&s, 0xabc, 7, topic);
    scenario_filter(&s, 0xabc, 7, filter);
    cr_assert_str_eq(topic, filter);
    s = shape_of(SCENARIO_FAN_OUT, 9, 0);
    scenario_topic(&s, 0xabc, 0, topic);
    scenario_filter(&s, 0xabc, 7, filter);
    cr_assert_str_eq(topic, filter);
}

Test(bench_scenario, fan_in_shares_its_subscribers_window)
{
    struct options options = {
        .scenario = SCENARIO_FAN_IN, .clients = 50, .window_per_sub = 1000, .window_total = 20000};
    struct shape s = scenario_shape(&options);
    cr_assert_eq(scenario_window(&s, &options), 20);
    options.scenario = SCENARIO_DURABLE_PAIRS;
    s = scenario_shape(&options);
    cr_assert_eq(scenario_window(&s, &options), 400);
}

Test(bench_scenario, only_the_durable_ones_keep_sessions)
{
    cr_assert_not(shape_of(SCENARIO_PAIRS, 2, 0).durable);
    cr_assert(shape_of(SCENARIO_DURABLE_PAIRS, 2, 0).durable);
    cr_assert_eq(shape_of(SCENARIO_OFFLINE_QUEUE, 2, 0).limit, 7);
    cr_assert_eq(shape_of(SCENARIO_RECOVER, 2, 2).limit, 1);
    cr_assert_eq(shape_of(SCENARIO_PAIRS, 2, 0).limit, UINT64_MAX);
}
