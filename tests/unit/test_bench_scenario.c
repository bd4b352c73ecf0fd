// test_bench_scenario.c - who publishes to whom in the load generator.
#include <criterion/criterion.h>
#include <string.h>

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
        .scenario = scenario,
        .clients = clients,
        .sample = sample,
        .messages = 7,
        .subscribers = 3,
        .filters = 9,
        .topics = 12,
        .retained = 20,
        .churn_rate = 10,
    };
    return scenario_shape(&options);
}

// Every publisher's streams are its subscribers', follow each other, and no stream has two owners.
static void
check_streams(const struct shape *s)
{
    uint32_t seen = 0;
    for (uint32_t p = 0; p < s->clients[ROLE_PUBLISHER]; p++) {
        cr_assert_eq(scenario_first_stream(s, p), seen);
        uint32_t heard = 0;
        for (uint32_t sub = 0; sub < s->clients[ROLE_SUBSCRIBER]; sub++) {
            uint32_t stream = scenario_stream(s, p, sub);
            if (stream == SCENARIO_NO_STREAM)
                continue;
            cr_assert_eq(stream, seen + (s->shared ? 0 : heard));
            heard++;
        }
        cr_assert_eq(heard, s->shared ? 3 : scenario_fan_out(s));
        seen += scenario_fan_out(s);
    }
    cr_assert_eq(seen, s->streams);
}

Test(bench_scenario, streams_of_all_shapes)
{
    for (uint64_t clients = 1; clients <= 7; clients++) {
        for (int scenario = SCENARIO_PAIRS; scenario < SCENARIOS; scenario++) {
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
    cr_assert_eq(s.clients[ROLE_PUBLISHER], 100);
    for (uint32_t sub = 0; sub < s.clients[ROLE_SUBSCRIBER]; sub++)
        returning += scenario_returns(&s, sub);
    cr_assert_eq(returning, 100);
    cr_assert(scenario_returns(&s, 990));
    cr_assert_not(scenario_returns(&s, 991));
}

Test(bench_scenario, a_sample_larger_than_all_is_all)
{
    struct shape s = shape_of(SCENARIO_RECOVER, 5, 100);
    cr_assert_eq(s.clients[ROLE_PUBLISHER], 5);
    for (uint32_t sub = 0; sub < 5; sub++)
        cr_assert(scenario_returns(&s, sub));
}

Test(bench_scenario, a_sample_that_does_not_divide_keeps_its_size)
{
    struct shape s = shape_of(SCENARIO_RECOVER, 1000, 3);
    uint32_t returning = 0;
    for (uint32_t sub = 0; sub < s.clients[ROLE_SUBSCRIBER]; sub++)
        returning += scenario_returns(&s, sub);
    cr_assert_eq(returning, 3);
}

Test(bench_scenario, publisher_and_its_subscriber_name_the_same_topic)
{
    char topic[SCENARIO_TEXT_MAX], filter[SCENARIO_TEXT_MAX];
    struct shape s = shape_of(SCENARIO_RECOVER, 1000, 100);
    (void)scenario_topic(&s, 0xabc, 7, 0, topic);
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 70, 0, filter);
    cr_assert_str_eq(topic, filter);
    s = shape_of(SCENARIO_PAIRS, 9, 0);
    (void)scenario_topic(&s, 0xabc, 7, 0, topic);
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 7, 0, filter);
    cr_assert_str_eq(topic, filter);
    s = shape_of(SCENARIO_FAN_OUT, 9, 0);
    (void)scenario_topic(&s, 0xabc, 0, 0, topic);
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 7, 0, filter);
    cr_assert_str_eq(topic, filter);
}

Test(bench_scenario, fan_in_shares_its_subscribers_window)
{
    struct options options = {.scenario = SCENARIO_FAN_IN,
                              .clients = 50,
                              .window_per_sub = 1000,
                              .window_total = 20000,
                              .window_bytes = 1u << 30,
                              .size = 64};
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

Test(bench_scenario, bytes_bound_the_window_too)
{
    struct options options = {.scenario = SCENARIO_PAIRS,
                              .clients = 4,
                              .window_per_sub = 1000,
                              .window_total = 20000,
                              .window_bytes = 64,
                              .size = 2};
    struct shape s = scenario_shape(&options);
    cr_assert_eq(scenario_window(&s, &options), 8);
    options.size = 1000;
    cr_assert_eq(scenario_window(&s, &options), 1);
}

Test(bench_scenario, a_group_has_the_window_of_all_its_members)
{
    struct options options = {.scenario = SCENARIO_SHARED,
                              .clients = 10,
                              .subscribers = 4,
                              .window_per_sub = 100,
                              .window_total = 20000,
                              .window_bytes = 1u << 30,
                              .size = 64};
    struct shape s = scenario_shape(&options);
    cr_assert_eq(scenario_window(&s, &options), 40);
}

// ---- Topics and filters -----------------------------------------------------------------------

static uint32_t
levels_of(const char *text)
{
    uint32_t levels = 1;
    for (; *text != '\0'; text++)
        levels += *text == '/';
    return levels;
}

// As the specification has it; written for short texts.
static bool
matches(const char *filter, const char *topic)
{
    for (; *filter != '\0'; filter++) {
        if (*filter == '#')
            return true;
        if (*filter == '+') {
            topic += strcspn(topic, "/");
            continue;
        }
        if (*filter == '/' && filter[1] == '#' && *topic == '\0')
            return true; // the parent level belongs to it
        if (*filter != *topic)
            return false;
        topic++;
    }
    return *topic == '\0';
}

// How many of a client's filters match the topic.
static uint32_t
count_matches(const struct shape *s, enum role role, uint32_t number, const char *topic)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < scenario_filter_count(s, role, number); i++) {
        char filter[SCENARIO_TEXT_MAX];
        scenario_filter(s, 0xabc, role, number, i, filter);
        count += matches(strncmp(filter, "$share/bench/", 13) == 0 ? filter + 13 : filter, topic);
    }
    return count;
}

static void
check_topics(const struct shape *s)
{
    for (uint32_t p = 0; p < s->clients[ROLE_PUBLISHER]; p++) {
        for (uint32_t t = 0; t < s->topics; t++) {
            char topic[SCENARIO_TEXT_MAX];
            (void)scenario_topic(s, 0xabc, p, t, topic);
            cr_assert_eq(levels_of(topic), s->depth, "%s", topic);
            for (uint32_t sub = 0; sub < s->clients[ROLE_SUBSCRIBER]; sub++) {
                bool hears = scenario_stream(s, p, sub) != SCENARIO_NO_STREAM;
                cr_assert_eq(count_matches(s, ROLE_SUBSCRIBER, sub, topic), hears, "%s", topic);
            }
            for (uint32_t i = 0; i < s->clients[ROLE_SILENT]; i++)
                cr_assert_eq(count_matches(s, ROLE_SILENT, i, topic), 0, "%s", topic);
            for (uint32_t i = 0; i < s->clients[ROLE_COMER]; i++)
                cr_assert_eq(count_matches(s, ROLE_COMER, i, topic), s->retains, "%s", topic);
            for (uint32_t i = 0; i < s->clients[ROLE_WATCHER]; i++)
                cr_assert_eq(count_matches(s, ROLE_WATCHER, i, topic), 0, "%s", topic);
        }
    }
}

Test(bench_scenario, each_topic_matches_one_filter_of_each_who_should_hear_it)
{
    for (int scenario = SCENARIO_PAIRS; scenario < SCENARIOS; scenario++) {
        for (uint64_t depth = 0; depth <= 9; depth += depth == 0 ? 3 : 1) {
            struct options options = {
                .scenario = (uint64_t)scenario,
                .clients = 4,
                .subscribers = 3,
                .sample = 2,
                .filters = 9,
                .topics = 12,
                .exact = depth % 2 == 0,
                .retained = 20,
                .depth = depth,
                .extra_subscriptions = scenario_is_durable((uint64_t)scenario) ? 0 : 150,
                .wildcard_percent = 70,
            };
            struct shape s = scenario_shape(&options);
            check_topics(&s);
        }
    }
}

Test(bench_scenario, filters_of_wildcard_are_of_all_kinds)
{
    struct shape s = shape_of(SCENARIO_WILDCARD, 2, 0);
    char filter[SCENARIO_TEXT_MAX];
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 1, 0, filter);
    cr_assert_str_eq(filter, "bench/00000abc/x/1/0000000/x");
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 1, 1, filter);
    cr_assert_str_eq(filter, "bench/00000abc/+/1/0000001/+");
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 1, 2, filter);
    cr_assert_str_eq(filter, "bench/00000abc/+/1/0000002/#");
    scenario_filter(&s, 0xabc, ROLE_SUBSCRIBER, 1, 3, filter);
    cr_assert_str_eq(filter, "bench/00000abc/x/1/nobody3/x");
    cr_assert_eq(s.topics, 7);
}

Test(bench_scenario, digits_are_written_where_the_topic_says)
{
    struct shape s = shape_of(SCENARIO_MANY_TOPICS, 2, 0);
    char topic[SCENARIO_TEXT_MAX], want[SCENARIO_TEXT_MAX];
    uint32_t at = scenario_topic(&s, 0xabc, 1, 0, topic);
    (void)scenario_topic(&s, 0xabc, 1, 5, want);
    scenario_write_digits((uint8_t *)topic + at, 5);
    cr_assert_str_eq(topic, want);
    at = scenario_command_topic(0xabc, 0, topic);
    (void)scenario_command_topic(0xabc, 9876543, want);
    scenario_write_digits((uint8_t *)topic + at, 9876543);
    cr_assert_str_eq(topic, want);
}

Test(bench_scenario, extra_subscriptions_are_spread_over_clients_that_hold_a_thousand)
{
    struct options options = {
        .scenario = SCENARIO_PAIRS, .clients = 1, .extra_subscriptions = 2300};
    struct shape s = scenario_shape(&options);
    cr_assert_eq(s.clients[ROLE_SILENT], 3);
    cr_assert_eq(scenario_filter_count(&s, ROLE_SILENT, 0), 1000);
    cr_assert_eq(scenario_filter_count(&s, ROLE_SILENT, 2), 300);
}

static uint32_t
count_wild(uint64_t percent)
{
    struct options options = {.scenario = SCENARIO_PAIRS,
                              .clients = 1,
                              .extra_subscriptions = 1000,
                              .wildcard_percent = percent};
    struct shape s = scenario_shape(&options);
    uint32_t wild = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        char filter[SCENARIO_TEXT_MAX];
        scenario_filter(&s, 0xabc, ROLE_SILENT, 0, i, filter);
        wild += strpbrk(filter, "+#") != NULL;
    }
    return wild;
}

Test(bench_scenario, the_share_of_wildcards_is_what_was_asked_for)
{
    cr_assert_eq(count_wild(0), 0);
    cr_assert_eq(count_wild(30), 300);
    cr_assert_eq(count_wild(100), 1000);
}

Test(bench_scenario, the_fleets_flows_have_streams_of_their_own)
{
    struct shape s = shape_of(SCENARIO_FLEET, 5, 0);
    cr_assert_eq(s.streams, 15); // three backends that each hear all
    cr_assert_eq(s.all_streams, 25);
    bool seen[25] = {false};
    for (uint32_t device = 0; device < 5; device++) {
        for (uint32_t backend = 0; backend < 3; backend++)
            seen[scenario_stream_of(&s, FLOW_MAIN, device, backend)] = true;
        seen[scenario_stream_of(&s, FLOW_COMMANDS, 0, device)] = true;
        seen[scenario_stream_of(&s, FLOW_WILLS, device, 0)] = true;
    }
    for (uint32_t i = 0; i < 25; i++)
        cr_assert(seen[i], "nobody has stream %u", i);
    cr_assert_eq(scenario_stream_of(&s, FLOW_COMMANDS, 1, 0), SCENARIO_NO_STREAM);
    cr_assert_eq(scenario_stream_of(&s, FLOW_WILLS, 5, 0), SCENARIO_NO_STREAM);
}
