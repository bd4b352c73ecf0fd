// test_ctl_options.c - the command line of ternmqctl.
#include <criterion/criterion.h>
#include <stdio.h>

#include "ctl/ctl_options.h"

#define WORDS_MAX 12

static struct ctl_options options;
static char complaint[CTL_COMPLAINT_MAX];

// Words are parted by one blank; an empty one is a word, too.
static bool
reads_with(const char *line, const char *env)
{
    static char copy[512];
    char *argv[WORDS_MAX] = {(char[]){"ternmqctl"}};
    int argc = 1;
    (void)snprintf(copy, sizeof copy, "%s", line);
    for (char *word = copy; word && line[0] != '\0'; argc++) {
        cr_assert_lt(argc, WORDS_MAX);
        argv[argc] = word;
        word = strchr(word, ' ');
        if (word)
            *word++ = '\0';
    }
    return ctl_options_read(argc, argv, env, &options, complaint);
}

static bool
reads(const char *line)
{
    return reads_with(line, NULL);
}

static void
expect_complaint(const char *line, const char *part)
{
    cr_assert_not(reads(line), "%s", line);
    cr_assert(strstr(complaint, part), "%s: \"%s\", not \"%s\"", line, complaint, part);
}

Test(ctl_options, what_is_watched)
{
    cr_assert(reads("trace client a") && options.command == CTL_DO_TRACE_CLIENT);
    cr_assert_str_eq(options.operands[0], "a");
    cr_assert(options.count == UINT64_MAX && options.for_s == 0);
    cr_assert(reads("trace topic --count 3 --for 2m a/#"));
    cr_assert(options.command == CTL_DO_TRACE_TOPIC && options.count == 3 && options.for_s == 120);
    cr_assert(reads("topics top") && !options.by_bytes && options.levels == 0);
    cr_assert(reads("topics top --by bytes --prefix-levels 2 --for 3s --limit 1"));
    cr_assert(options.command == CTL_DO_TOPICS_TOP && options.by_bytes && options.levels == 2);
    cr_assert(reads("topics top --by messages") && !options.by_bytes);
    expect_complaint("trace a", "client or topic must follow");
    expect_complaint("trace client", "something must follow");
    expect_complaint("trace client a b", "too many");
    expect_complaint("trace client --count 0 a", "--count");
    expect_complaint("trace client --for 61m a", "1h at most");
    expect_complaint("trace client --by bytes a", "not with this command");
    expect_complaint("topics top a", "too many");
    expect_complaint("topics top --by size", "messages or bytes");
    expect_complaint("topics top --prefix-levels 0", "1 to 200");
    expect_complaint("topics top --prefix-levels 201", "1 to 200");
    expect_complaint("slow --sort id", "not with this command");
}

Test(ctl_options, commands_and_their_operands)
{
    cr_assert(reads("status") && options.command == CTL_DO_STATUS && !options.operands[0]);
    cr_assert(reads("status --all") && options.all);
    cr_assert(reads("cluster") && options.command == CTL_DO_CLUSTER);
    cr_assert(reads("slow --limit 3") && options.command == CTL_DO_SLOW && options.limit == 3);
    cr_assert_eq(options.order, CTL_ORDER_OLDEST);
    cr_assert(reads("client a") && options.command == CTL_DO_CLIENT);
    cr_assert_str_eq(options.operands[0], "a");
    cr_assert(reads("kick -- -a") && options.command == CTL_DO_KICK);
    cr_assert_str_eq(options.operands[0], "-a");
    cr_assert(reads("client ") && options.operands[0][0] == '\0', "an empty identifier is one");
    cr_assert(reads("subscriptions") && !options.operands[0]);
    cr_assert(reads("subscriptions a/#"));
    cr_assert_str_eq(options.operands[0], "a/#");
    cr_assert(reads("retained ls") && options.command == CTL_DO_RETAINED_LS);
    cr_assert_null(options.operands[0]);
    cr_assert(reads("retained ls a") && options.operands[0]);
    cr_assert(reads("retained rm a") && options.command == CTL_DO_RETAINED_RM);
    cr_assert(reads("backup --force x") && options.command == CTL_DO_BACKUP && options.force);
    cr_assert(reads("reload") && options.command == CTL_DO_RELOAD);
    cr_assert(reads("ban ls --limit 3") && options.command == CTL_DO_BAN_LS);
    cr_assert(reads("log level") && options.command == CTL_DO_LOG_LEVEL && !options.operands[0]);
    cr_assert(reads("log level error,debug"));
    cr_assert_str_eq(options.operands[0], "error,debug");
    cr_assert(reads("config show") && options.command == CTL_DO_CONFIG_SHOW);
    cr_assert(reads("config check f") && options.command == CTL_DO_CONFIG_CHECK);
    cr_assert(reads("explain pub a t/x --qos 2") && options.command == CTL_DO_EXPLAIN_PUB);
    cr_assert_str_eq(options.operands[0], "a");
    cr_assert_str_eq(options.operands[1], "t/x");
    cr_assert_eq(options.qos, 2);
    cr_assert(reads("explain sub a t/#") && options.command == CTL_DO_EXPLAIN_SUB);
    cr_assert_eq(options.qos, 0);
}

Test(ctl_options, bans_name_somebody)
{
    cr_assert(reads("ban add --client a --address 1.2.3.4 --for 2h"));
    cr_assert_eq(options.command, CTL_DO_BAN_ADD);
    cr_assert_str_eq(options.client, "a");
    cr_assert_str_eq(options.address, "1.2.3.4");
    cr_assert_eq(options.for_s, 7200);
    cr_assert(reads("ban rm --user u") && options.command == CTL_DO_BAN_RM && options.for_s == 0);
    cr_assert_str_eq(options.user, "u");
    static const struct {
        const char *line;
        uint64_t seconds;
    } times[] = {{"ban add --user u --for 1s", 1},
                 {"ban add --user u --for 90m", 5400},
                 {"ban add --user u --for=7d", 604800}};
    for (unsigned i = 0; i < ARRAY_LEN(times); i++) {
        cr_assert(reads(times[i].line), "%s", complaint);
        cr_assert_eq(options.for_s, times[i].seconds);
    }
    expect_complaint("ban add", "whom?");
    expect_complaint("ban rm", "whom?");
    expect_complaint("ban add --user u --client c", "stands alone");
    expect_complaint("ban add --user u --address 1.2.3.4", "stands alone");
    expect_complaint("ban rm --user u --for 1s", "not with this command");
    static const char *const bad[] = {"0s", "s", "1", "1x", "-1s", "1.5h", "99999d", "9999999999s"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char line[64];
        (void)snprintf(line, sizeof line, "ban add --user u --for %s", bad[i]);
        expect_complaint(line, "--for is a number");
    }
}

Test(ctl_options, clients_go_elsewhere)
{
    cr_assert(reads("drain") && options.command == CTL_DO_DRAIN && options.for_s == 0);
    cr_assert_not(options.wait || options.undo);
    cr_assert(reads("drain --for 2m --wait") && options.for_s == 120 && options.wait);
    cr_assert(reads("drain --undo --json") && options.undo && options.json);
    cr_assert(reads("rebalance") && options.command == CTL_DO_REBALANCE && options.rate == 0);
    cr_assert(reads("rebalance --dry-run --rate 10000 --all") && options.rate == 10000);
    cr_assert(options.dry_run && options.all);
    cr_assert(reads("rebalance --undo") && options.undo);
    expect_complaint("drain --undo --wait", "stands alone");
    expect_complaint("rebalance --undo --all", "stands alone");
    expect_complaint("rebalance --rate 0", "--rate is a number");
    expect_complaint("rebalance --rate 10001", "--rate is a number");
    expect_complaint("rebalance --wait", "not with this command");
    expect_complaint("drain --rate 1", "not with this command");
    expect_complaint("drain now", "too many");
}

Test(ctl_options, a_node_is_forgotten)
{
    cr_assert(reads("forget --yes n2") && options.command == CTL_DO_FORGET && options.yes);
    cr_assert_str_eq(options.operands[0], "n2");
    cr_assert(reads("forget --dry-run n2") && options.dry_run && !options.yes);
    expect_complaint("forget --yes", "something must follow");
    expect_complaint("forget n1 n2", "too many");
    expect_complaint("forget --wait n2", "not with this command");
    expect_complaint("drain --yes", "not with this command");
}

Test(ctl_options, clients_have_an_order)
{
    cr_assert(reads("clients") && options.order == CTL_ORDER_NONE);
    cr_assert(reads("clients --sort queue --limit 3") && options.order == CTL_ORDER_QUEUE);
    cr_assert(reads("clients --sort=id") && options.order == CTL_ORDER_ID);
    expect_complaint("clients --sort", "needs a value");
    expect_complaint("clients --sort name", "--sort is id");
    expect_complaint("subscriptions --sort id", "not with this command");
}

Test(ctl_options, options_stand_anywhere)
{
    cr_assert(reads("--json clients --filter a --limit 20 --all --socket /s"));
    cr_assert(options.json && options.all && options.limit == 20);
    cr_assert_str_eq(options.text, "a");
    cr_assert_str_eq(options.socket, "/s");
    cr_assert(reads("clients --filter=a=b --limit=1"));
    cr_assert_str_eq(options.text, "a=b");
    cr_assert(reads("subscriptions --client c f"));
    cr_assert_str_eq(options.client, "c");
    cr_assert_eq(options.limit, UINT64_MAX);
}

Test(ctl_options, the_socket_is_said_or_known)
{
    cr_assert(reads("status"));
    cr_assert_str_eq(options.socket, CTL_SOCKET_DEFAULT);
    cr_assert(reads_with("status", ""));
    cr_assert_str_eq(options.socket, CTL_SOCKET_DEFAULT);
    cr_assert(reads_with("status", "/env"));
    cr_assert_str_eq(options.socket, "/env");
    cr_assert(reads_with("status --socket /said", "/env"));
    cr_assert_str_eq(options.socket, "/said");
}

Test(ctl_options, what_is_wrong_is_told)
{
    expect_complaint("", "which command");
    expect_complaint("--json", "which command");
    expect_complaint("stat", "no such command");
    expect_complaint("retained", "ls or rm");
    expect_complaint("retained list", "ls or rm");
    expect_complaint("retained rm", "must follow");
    expect_complaint("ban", "add or rm or ls must follow");
    expect_complaint("log", "level must follow");
    expect_complaint("config set", "show or check must follow");
    expect_complaint("config check", "must follow");
    expect_complaint("explain pub a", "must follow");
    expect_complaint("explain pub a b c", "too many");
    expect_complaint("explain sub a b --qos 3", "--qos is 0");
    expect_complaint("config show x", "too many");
    expect_complaint("client", "must follow");
    expect_complaint("kick", "must follow");
    expect_complaint("backup", "must follow");
    expect_complaint("status now", "too many");
    expect_complaint("client a b", "too many");
    expect_complaint("retained ls a b", "too many");
    expect_complaint("status --what", "no such option");
    expect_complaint("status -x", "no such option");
    expect_complaint("status --force", "not with this command");
    expect_complaint("kick a --all", "not with this command");
    expect_complaint("clients --limit", "needs a value");
    expect_complaint("clients --limit 0", "number from 1");
    expect_complaint("clients --limit 1x", "number from 1");
    expect_complaint("clients --limit -1", "number from 1");
    expect_complaint("clients --limit 9999999999999999999", "number from 1");
    expect_complaint("clients --json=1", "takes no value");
    expect_complaint("clients --json --json", "twice");
}

Test(ctl_options, help_is_there_for_each)
{
    cr_assert(reads("--help") && options.command == CTL_DO_HELP && options.topic == CTL_DO_HELP);
    cr_assert(reads("-h") && options.command == CTL_DO_HELP);
    cr_assert(reads("--version") && options.command == CTL_DO_VERSION);
    cr_assert(reads("help") && options.topic == CTL_DO_HELP);
    cr_assert(reads("kick --help") && options.command == CTL_DO_HELP);
    cr_assert_eq(options.topic, CTL_DO_KICK);
    cr_assert(reads("retained rm --help") && options.topic == CTL_DO_RETAINED_RM);
    for (enum ctl_command i = 0; i <= CTL_DO_HELP; i++)
        cr_assert_eq(strncmp(ctl_options_help(i), "ternmqctl ", 10), 0);
    cr_assert(strstr(ctl_options_help(CTL_DO_HELP), "Exit code 0"));
}
