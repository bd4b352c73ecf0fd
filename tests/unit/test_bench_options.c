// test_bench_options.c - the load generator's command line.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "bench/options.h"

#define WORDS_MAX 16

static struct options o;

// Words are separated by one space.
static err_t
parse(const char *line)
{
    static char text[256];
    char *argv[WORDS_MAX] = {"ternmq-bench"}, *rest = text;
    int argc = 1;
    (void)strncpy(text, line, sizeof text - 1);
    for (char *word; (word = strsep(&rest, " ")) != NULL && argc < WORDS_MAX;) {
        if (*word != '\0')
            argv[argc++] = word;
    }
    return options_parse(argc, argv, &o);
}

Test(bench_options, defaults)
{
    cr_assert_eq(parse(""), OK);
    cr_assert_eq(o.scenario, SCENARIO_PAIRS);
    cr_assert_eq(o.clients, 50);
    cr_assert_eq(o.session_expiry_s, UINT32_MAX);
    cr_assert_str_eq(o.restart_command, "");
}

Test(bench_options, two_names_say_the_qos_as_well)
{
    cr_assert_eq(parse("--scenario durable-qos1"), OK);
    cr_assert(o.scenario == SCENARIO_DURABLE_PAIRS && o.qos == 1);
    cr_assert_eq(parse("--scenario durable-qos2"), OK);
    cr_assert(o.scenario == SCENARIO_DURABLE_PAIRS && o.qos == 2);
    cr_assert_neq(parse("--scenario durable-qos3"), OK);
}

Test(bench_options, every_scenario_is_found_by_its_name)
{
    for (uint64_t s = SCENARIO_PAIRS; s <= SCENARIO_RECOVER; s++) {
        char line[64];
        (void)snprintf(line, sizeof line, "--scenario %s --qos=1", scenario_name(s));
        cr_assert_eq(parse(line), OK, "%s", line);
        cr_assert_eq(o.scenario, s);
        cr_assert_eq(scenario_is_durable(s), s >= SCENARIO_DURABLE_PAIRS);
    }
    cr_assert_neq(parse("--scenario pair"), OK);
}

Test(bench_options, numbers_have_limits)
{
    cr_assert_neq(parse("--qos 3"), OK);
    cr_assert_neq(parse("--qos -1"), OK);
    cr_assert_neq(parse("--size 23"), OK);
    cr_assert_neq(parse("--session-expiry 4294967296"), OK);
    cr_assert_neq(parse("--messages"), OK);
}

Test(bench_options, durable_scenarios_have_no_qos_0)
{
    cr_assert_neq(parse("--scenario durable-pairs"), OK);
    cr_assert_neq(parse("--scenario recover --qos 0"), OK);
    cr_assert_eq(parse("--scenario recover --qos 2"), OK);
}

Test(bench_options, a_kill_needs_its_process_and_a_way_back)
{
    cr_assert_neq(parse("--scenario durable-pairs --qos 1 --kill-at 2"), OK);
    cr_assert_neq(parse("--scenario durable-pairs --qos 1 --kill-at 2 --restart-command x"), OK);
    cr_assert_eq(
        parse("--scenario durable-pairs --qos 1 --kill-at 2 --restart-command x --broker-pid 9"),
        OK);
    cr_assert_str_eq(o.restart_command, "x");
    cr_assert_eq(o.kill_at_s, 2);
}

Test(bench_options, a_restart_that_would_never_come_is_refused)
{
    cr_assert_neq(parse("--scenario durable-pairs --qos 1 --restart-command x --broker-pid 9"), OK);
    cr_assert_neq(parse("--scenario pairs --restart-command x --broker-pid 9 --kill-at 1"), OK);
    cr_assert_eq(parse("--scenario recover --qos 1 --restart-command x --broker-pid 9"), OK);
    cr_assert_neq(
        parse("--scenario recover --qos 1 --restart-command x --broker-pid 9 --kill-at 1"), OK);
}
