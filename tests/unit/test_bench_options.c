// test_bench_options.c - the load generator's command line.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
    for (uint64_t s = SCENARIO_PAIRS; s < SCENARIOS; s++) {
        char line[64];
        (void)snprintf(line, sizeof line, "--scenario %s --qos=1 --rate 1", scenario_name(s));
        cr_assert_eq(parse(line), OK, "%s", line);
        cr_assert_eq(o.scenario, s);
        cr_assert_eq(scenario_is_durable(s), s >= SCENARIO_DURABLE_PAIRS);
    }
    cr_assert_neq(parse("--scenario pair"), OK);
}

Test(bench_options, an_option_of_other_scenarios_is_refused)
{
    cr_assert_neq(parse("--filters 9"), OK);
    cr_assert_neq(parse("--scenario fan-in --exact"), OK);
    cr_assert_neq(parse("--scenario idle --extra-subscriptions 5"), OK);
    cr_assert_neq(parse("--scenario churn --subscribers 5"), OK);
    cr_assert_eq(parse("--scenario wildcard --filters 9 --extra-subscriptions 5"), OK);
    cr_assert_eq(parse("--scenario many-topics --exact"), OK);
}

Test(bench_options, a_fleet_has_a_rate_and_its_storm_comes_before_the_end)
{
    cr_assert_neq(parse("--scenario fleet --qos 1"), OK);
    cr_assert_neq(parse("--scenario fleet --rate 9"), OK);
    cr_assert_neq(parse("--scenario fleet --qos 1 --rate 9 --seconds 4 --warmup 1 --storm-at 5"),
                  OK);
    cr_assert_eq(parse("--scenario fleet --qos 1 --rate 9 --seconds 4 --warmup 1 --storm-at 4"),
                 OK);
    cr_assert_neq(parse("--scenario fleet --qos 1 --rate 9 --clients 100000 --subscribers 1000"),
                  OK);
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

// ---- Scenario files ---------------------------------------------------------------------------

static char path[] = "/tmp/test-bench-options-XXXXXX";

// Parses with a scenario file of that text, and whatever else the line says.
static err_t
parse_file(const char *text, const char *line)
{
    char arguments[128];
    memcpy(path + sizeof path - 7, "XXXXXX", 6);
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    (void)close(fd);
    (void)snprintf(arguments, sizeof arguments, "%s --file %s", line, path);
    err_t err = parse(arguments);
    (void)unlink(path);
    return err;
}

Test(bench_options, a_file_has_the_same_options)
{
    cr_assert_eq(parse_file("# why\n\n  scenario fan-in\r\nqos\t1 \nclients 7\njson\n"
                            "label two words # and this",
                            ""),
                 OK);
    cr_assert_eq(o.scenario, SCENARIO_FAN_IN);
    cr_assert(o.qos == 1 && o.clients == 7 && o.json);
    cr_assert_str_eq(o.label, "two words # and this");
    options_free(&o);
}

Test(bench_options, the_command_line_overrides_a_file_that_is_named_after_it)
{
    cr_assert_eq(parse_file("qos 1\nclients 7\n", "--clients 8"), OK);
    cr_assert(o.qos == 1 && o.clients == 8);
    options_free(&o);
}

// What is printed on stderr for that file.
static const char *
error_of(const char *text)
{
    static char error[256];
    int kept = dup(STDERR_FILENO);
    FILE *caught = tmpfile();
    cr_assert(kept >= 0 && caught != NULL && dup2(fileno(caught), STDERR_FILENO) >= 0);
    err_t err = parse_file(text, "");
    (void)dup2(kept, STDERR_FILENO);
    (void)close(kept);
    cr_assert_eq(err, ERR_CONFIG, "%s", text);
    rewind(caught);
    error[fread(error, 1, sizeof error - 1, caught)] = '\0';
    (void)fclose(caught);
    const char *at = strstr(error, path);
    cr_assert_not_null(at, "no file is named: %s", error);
    return at + strlen(path);
}

Test(bench_options, errors_in_a_file_name_the_line_and_what_was_expected)
{
    cr_assert_str_eq(error_of("\n# c\nqos 3\n"), ":3: qos takes a number from 0 to 2, not \"3\"\n");
    cr_assert_str_eq(error_of("scenario pair"), ":1: there is no scenario \"pair\"\n");
    cr_assert_str_eq(error_of("qos 1\nclients"),
                     ":2: clients needs a value: expected \"clients N\"\n");
    cr_assert_str_eq(error_of("json yes"), ":1: json takes no value, but there is \"yes\"\n");
    for (const char *const *bad = (const char *const[]){"--qos 1", "qo 1", "file x", "help", NULL};
         *bad != NULL; bad++)
        cr_assert_not_null(strstr(error_of(*bad), ":1: unknown option \""));
}

Test(bench_options, what_is_no_scenario_file_is_refused)
{
    cr_assert_eq(parse("--file /nonexistent/file"), ERR_CONFIG);
    cr_assert_eq(parse("--file /proc/self/exe"), ERR_CONFIG);
    cr_assert_eq(parse("--file /tmp"), ERR_CONFIG);
    cr_assert_eq(parse("--file"), ERR_CONFIG);
}

// ---- Coordinators and agents ------------------------------------------------------------------

static char told[512];

static void
tell(void *arg, const char *word)
{
    cr_assert_eq(arg, &told);
    cr_assert(options_may_be_told(word), "%s", word);
    size_t len = strlen(told);
    (void)snprintf(told + len, sizeof told - len, "%s%s", len > 0 ? " " : "", word);
}

Test(bench_options, agents_are_told_what_is_theirs_to_know)
{
    cr_assert_eq(parse("--agents a:1,b:2 --agents-wait 3 --broker-agent 2 --broker-pid 7 --json "
                       "--scenario durable-qos2 --host h --rate 5"),
                 OK);
    cr_assert_eq(options_tell(&o, tell, &told), OK);
    cr_assert_str_eq(told, "--host=h --scenario=durable-pairs --qos=2 --rate=5");
    // An agent that reads this has what the coordinator has.
    struct options coordinators = o;
    cr_assert_eq(parse(told), OK);
    cr_assert(o.scenario == coordinators.scenario && o.qos == 2 && o.rate == 5 && o.clients == 50);
    cr_assert_str_eq(o.host, "h");
}

Test(bench_options, agents_are_told_no_file_and_no_command)
{
    static const char *const never[] = {"--restart-command=true",
                                        "--file=x",
                                        "--label=x",
                                        "--json",
                                        "--agent=1",
                                        "--agent-once",
                                        "--agents=a:1",
                                        "--broker-pid=1",
                                        "--none=1",
                                        "host=h",
                                        ""};
    for (size_t i = 0; i < ARRAY_LEN(never); i++)
        cr_assert_not(options_may_be_told(never[i]), "%s", never[i]);
    cr_assert(options_may_be_told("--host=h") && options_may_be_told("--qos"));
}

Test(bench_options, agents_and_coordinators_have_options_of_their_own)
{
    cr_assert_eq(parse("--agent 7000 --agent-once"), OK);
    cr_assert_neq(parse("--agent 7000 --qos 1"), OK);
    cr_assert_neq(parse("--agent 7000 --agents a:1"), OK);
    cr_assert_neq(parse("--agent 7000 --json"), OK);
    cr_assert_neq(parse("--agent-once"), OK);
    cr_assert_neq(parse("--agents-wait 3"), OK);
    cr_assert_neq(parse("--broker-agent 1 --broker-pid 7"), OK);
    cr_assert_neq(parse("--agents a:1 --broker-agent 1"), OK);
    cr_assert_neq(parse("--agents a:1 --scenario recover --qos 1 --broker-pid 7 "
                        "--restart-command true"),
                  OK);
}
