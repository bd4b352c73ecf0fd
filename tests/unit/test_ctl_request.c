// test_ctl_request.c - what ternmqctl may ask, and how strictly it is read.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/log.h"

#include "core/address.h"
#include "core/registry.h"
#include "ctl/ctl_request.h"

static struct ctl_request request;
static char problem[CTL_PROBLEM_MAX];

static bool
reads(const char *line)
{
    ctl_request_clear(&request);
    return ctl_request_read(slice_str(line), &request, problem);
}

static void
expect_problem(const char *line, const char *part)
{
    cr_assert_not(reads(line), "%s", line);
    cr_assert(strstr(problem, part), "%s: \"%s\", not \"%s\"", line, problem, part);
}

static void
tear_down(void)
{
    ctl_request_clear(&request);
}

TestSuite(ctl_request, .fini = tear_down);

Test(ctl_request, each_operation_is_known_by_its_name)
{
    for (unsigned op = 0; op < CTL_OPS; op++) {
        char line[200];
        bool topic = op == CTL_RETAINED_RM || op == CTL_MATCHES;
        bool path = op == CTL_BACKUP || op == CTL_CONFIG_CHECK;
        (void)snprintf(
            line, sizeof line, "{\"v\":1,\"op\":\"%s\"%s%s%s%s}", ctl_op_name((enum ctl_op)op),
            op == CTL_CLIENT || op == CTL_KICK ? ",\"id\":\"a\""
            : op == CTL_FORGET                 ? ",\"node\":\"a\""
                                               : "",
            topic ? ",\"filter\":\"a/#\"" : "", path ? ",\"path\":\"/a\"" : "",
            op == CTL_EXPLAIN ? ",\"id\":\"a\",\"filter\":\"a\",\"action\":\"pub\"" : "");
        cr_assert(reads(line), "%s: %s", line, problem);
        cr_assert_eq(request.op, op);
    }
}

Test(ctl_request, fields_are_what_they_say)
{
    cr_assert(reads("{\"op\":\"clients\",\"v\":1,\"text\":\"x\\u00e9\",\"limit\":7,\"away\":true,"
                    "\"cursor\":\"3.100.ff.2\"}"));
    cr_assert(slice_equal(request.text, slice_str("x\xc3\xa9")));
    cr_assert_eq(request.limit, 7);
    cr_assert(request.away && request.has_cursor);
    cr_assert_eq(request.cursor.shard, 3);
    cr_assert_eq(request.cursor.place.bucket, 0x100);
    cr_assert_eq(request.cursor.place.number, 0xff);
    cr_assert_eq(request.cursor.place.subs, 2);
    cr_assert(reads("{\"v\":1,\"op\":\"subscriptions\",\"id\":\"\",\"filter\":\"a/+\"}"));
    cr_assert(request.id.data && request.id.len == 0, "an empty identifier is one");
    cr_assert_eq(request.limit, CTL_LIMIT);
    cr_assert(reads("{\"v\":1,\"op\":\"backup\",\"path\":\"/a b/c\",\"force\":true}"));
    cr_assert(slice_equal(request.path, slice_str("/a b/c")) && request.force);
}

Test(ctl_request, bans_log_and_explanations)
{
    cr_assert(reads("{\"v\":1,\"op\":\"ban\",\"id\":\"a\",\"address\":\"1.2.3.4\",\"for_s\":60}"));
    cr_assert(request.address == address_parse("1.2.3.4") && request.for_s == 60);
    cr_assert(reads("{\"v\":1,\"op\":\"unban\",\"address\":\"2001:db8:0:1::/64\"}"));
    cr_assert_eq(request.address, address_parse("2001:db8:0:1::5"), "as it is shown");
    cr_assert(reads("{\"v\":1,\"op\":\"unban\",\"user\":\"u\"}"));
    cr_assert_eq(request.address, ADDRESS_NONE);
    cr_assert(reads("{\"v\":1,\"op\":\"log\"}") && !request.has_types);
    cr_assert(reads("{\"v\":1,\"op\":\"log\",\"types\":\"error,debug\"}") && request.has_types);
    cr_assert_eq(request.types, LOG_T_ERROR | LOG_T_DEBUG);
    cr_assert(reads("{\"v\":1,\"op\":\"log\",\"types\":\"none\"}") && request.has_types);
    cr_assert_eq(request.types, 0);
    cr_assert(reads("{\"v\":1,\"op\":\"explain\",\"action\":\"sub\",\"id\":\"a\",\"qos\":2,"
                    "\"filter\":\"$share/g/a/#\"}"));
    cr_assert(!request.publish && request.qos == 2);
    cr_assert(slice_equal(request.filter, slice_str("a/#")), "the filter that is within");
    static const char *const bad[] = {
        "\"op\":\"ban\",\"address\":\"1.2.3\"",
        "\"op\":\"ban\",\"address\":\"1.2.3.4/64\"",
        "\"op\":\"ban\",\"address\":\"\"",
        "\"op\":\"ban\",\"user\":\"\"",
        "\"op\":\"ban\",\"user\":\"u\",\"for_s\":0",
        "\"op\":\"unban\",\"user\":\"u\",\"for_s\":1",
        "\"op\":\"log\",\"types\":\"\"",
        "\"op\":\"log\",\"types\":\"error,\"",
        "\"op\":\"log\",\"types\":\"loud\"",
        "\"op\":\"matches\",\"filter\":\"a\",\"qos\":3",
        "\"op\":\"explain\",\"id\":\"a\",\"filter\":\"a\",\"action\":\"both\"",
        "\"op\":\"matches\",\"filter\":\"$share/g\"",
        "\"op\":\"config_check\",\"path\":\"a\"",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char line[200];
        (void)snprintf(line, sizeof line, "{\"v\":1,%s}", bad[i]);
        cr_assert_not(reads(line), "%s", line);
    }
}

Test(ctl_request, clients_go_elsewhere)
{
    cr_assert(reads("{\"v\":1,\"op\":\"drain\"}") && request.for_s == 0);
    cr_assert(reads("{\"v\":1,\"op\":\"drain\",\"for_s\":5}") && request.for_s == 5);
    cr_assert(reads("{\"v\":1,\"op\":\"drain_undo\"}") && request.op == CTL_DRAIN_UNDO);
    cr_assert(reads("{\"v\":1,\"op\":\"rebalance\"}") && request.rate == 0 && !request.all);
    cr_assert(reads("{\"v\":1,\"op\":\"rebalance\",\"rate\":7,\"all\":true,\"dry_run\":true}"));
    cr_assert(request.rate == 7 && request.all && request.dry_run);
    cr_assert(reads("{\"v\":1,\"op\":\"rebalance_stop\"}") && request.op == CTL_REBALANCE_STOP);
    expect_problem("{\"v\":1,\"op\":\"rebalance\",\"rate\":10001}", "from 1 to 10000");
    expect_problem("{\"v\":1,\"op\":\"rebalance\",\"all\":1}", "true or false");
    expect_problem("{\"v\":1,\"op\":\"drain_undo\",\"for_s\":1}", "has no");
}

Test(ctl_request, a_node_is_forgotten)
{
    cr_assert(reads("{\"v\":1,\"op\":\"forget\",\"node\":\"n2\"}") && !request.dry_run);
    cr_assert(request.op == CTL_FORGET && slice_equal(request.id, slice_str("n2")));
    cr_assert(reads("{\"v\":1,\"op\":\"forget\",\"node\":\"n2\",\"dry_run\":true}"));
    cr_assert(request.dry_run);
    expect_problem("{\"v\":1,\"op\":\"forget\"}", "the name or id of a node");
    expect_problem("{\"v\":1,\"op\":\"forget\",\"node\":\"\"}", "the name or id of a node");
    expect_problem("{\"v\":1,\"op\":\"forget\",\"node\":\"n2\",\"id\":\"c\"}", "has no");
}

Test(ctl_request, traces_topics_and_slow_clients)
{
    cr_assert(reads("{\"v\":1,\"op\":\"trace\",\"id\":\"a\",\"for_s\":9}"));
    cr_assert(request.id.len == 1 && request.for_s == 9 && !request.has_cursor);
    cr_assert(reads("{\"v\":1,\"op\":\"trace\",\"filter\":\"a/+\"}") && request.filter.len == 3);
    cr_assert(reads("{\"v\":1,\"op\":\"trace\",\"cursor\":\"0.7.0.0\"}") && request.has_cursor);
    cr_assert(reads("{\"v\":1,\"op\":\"topics\",\"by\":\"bytes\",\"levels\":200}"));
    cr_assert(request.by_bytes && request.levels == 200);
    cr_assert(reads("{\"v\":1,\"op\":\"topics\",\"by\":\"messages\"}") && !request.by_bytes);
    cr_assert(reads("{\"v\":1,\"op\":\"clients\",\"waiting\":true}") && request.waiting);
    expect_problem("{\"v\":1,\"op\":\"trace\",\"for_s\":0}", "seconds");
    expect_problem("{\"v\":1,\"op\":\"trace\",\"by\":\"bytes\"}", "trace has no \"by\"");
    expect_problem("{\"v\":1,\"op\":\"topics\",\"by\":\"size\"}", "messages or bytes");
    expect_problem("{\"v\":1,\"op\":\"topics\",\"levels\":201}", "from 1 to 200");
    expect_problem("{\"v\":1,\"op\":\"topics\",\"levels\":0}", "from 1 to 200");
    expect_problem("{\"v\":1,\"op\":\"clients\",\"waiting\":1}", "true or false");
}

Test(ctl_request, what_is_not_known_is_told)
{
    expect_problem("", "one JSON object");
    expect_problem("null", "one JSON object");
    expect_problem("[]", "one JSON object");
    expect_problem("{\"v\":1,\"op\":\"status\"", "one JSON object");
    expect_problem("{\"v\":1,\"op\":\"status\"}{}", "one JSON object");
    expect_problem("{\"v\":1,\"op\":\"status\",\"x\":{}}", "without others");
    expect_problem("{\"v\":1,\"op\":\"status\",\"x\":[1]}", "without others");
    expect_problem("{\"v\":1,\"v\":1,\"op\":\"status\"}", "one JSON object");
    expect_problem("{\"op\":\"status\"}", "\"v\" must be 1");
    expect_problem("{\"v\":2,\"op\":\"status\"}", "\"v\" must be 1");
    expect_problem("{\"v\":\"1\",\"op\":\"status\"}", "\"v\" must be 1");
    expect_problem("{\"v\":1}", "no such \"op\"");
    expect_problem("{\"v\":1,\"op\":7}", "no such \"op\"");
    expect_problem("{\"v\":1,\"op\":\"statu\"}", "no such \"op\"");
    expect_problem("{\"v\":1,\"op\":\"status\",\"id\":\"a\"}", "status has no \"id\"");
    expect_problem("{\"v\":1,\"op\":\"status\",\"what\":1}", "not known");
    expect_problem("{\"v\":1,\"op\":\"kick\"}", "\"id\" of kick must be a client identifier");
    expect_problem("{\"v\":1,\"op\":\"kick\",\"id\":1}", "must be a client identifier");
    expect_problem("{\"v\":1,\"op\":\"retained\",\"filter\":\"a/#/b\"}", "must be a topic filter");
    expect_problem("{\"v\":1,\"op\":\"retained_rm\",\"filter\":\"\"}", "must be a topic filter");
}

Test(ctl_request, numbers_and_paths_have_limits)
{
    static const char *const limits[] = {
        "0", "-1", "1001", "1.0", "true", "\"1\"", "99999999999999999999"};
    char line[100];
    for (unsigned i = 0; i < ARRAY_LEN(limits); i++) {
        (void)snprintf(line, sizeof line, "{\"v\":1,\"op\":\"clients\",\"limit\":%s}", limits[i]);
        cr_assert_not(reads(line), "%s", line);
    }
    static const char *const paths[] = {"", "/", "a", "a/b", "/a/", "./a"};
    for (unsigned i = 0; i < ARRAY_LEN(paths); i++) {
        (void)snprintf(line, sizeof line, "{\"v\":1,\"op\":\"backup\",\"path\":\"%s\"}", paths[i]);
        expect_problem(line, "a path from the root");
    }
}

Test(ctl_request, a_deep_text_is_not_followed)
{
    static char line[CTL_REQUEST_MAX + 2];
    memset(line, '{', sizeof line - 1);
    cr_assert_not(reads(line));
    line[100000] = '\0';
    cr_assert_not(reads(line));
    cr_assert_null(request.json);
}

Test(ctl_request, braces_within_texts_are_texts)
{
    cr_assert(reads("{\"v\":1,\"op\":\"client\",\"id\":\"{[\\\"{[\\\\\"}"), "%s", problem);
    cr_assert(slice_equal(request.id, slice_str("{[\"{[\\")));
}

Test(ctl_request, cursors_come_back_as_they_went)
{
    const struct ctl_cursor cursors[] = {
        {0},
        {.shard = 63, .place = {.bucket = REGISTRY_END, .number = UINT64_MAX, .subs = UINT32_MAX}},
        {.shard = 1, .place = {.bucket = 0xabcdef, .number = 10, .subs = 16}},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cursors); i++) {
        char text[CTL_CURSOR_MAX];
        struct ctl_cursor back;
        ctl_cursor_write(&cursors[i], text);
        cr_assert(ctl_cursor_read(slice_str(text), &back), "%s", text);
        cr_assert_eq(back.shard, cursors[i].shard);
        cr_assert_eq(back.place.bucket, cursors[i].place.bucket);
        cr_assert_eq(back.place.number, cursors[i].place.number);
        cr_assert_eq(back.place.subs, cursors[i].place.subs);
    }
}

Test(ctl_request, other_cursors_are_none)
{
    static const char *const texts[] = {"",
                                        "0",
                                        "0.0.0",
                                        "0.0.0.0.",
                                        "0.0.0.0.0",
                                        "40.0.0.0",
                                        "00.0.0.0",
                                        "0.100000001.0.0",
                                        "0.0.0.100000000",
                                        ".0.0.0",
                                        "0..0.0",
                                        "0.0.0.",
                                        "A.0.0.0",
                                        "0.0.-1.0",
                                        " 0.0.0.0",
                                        "0.0.0.0 ",
                                        "0x0.0.0.0",
                                        "0.0.10000000000000000.0"};
    struct ctl_cursor cursor;
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        cr_assert_not(ctl_cursor_read(slice_str(texts[i]), &cursor), "\"%s\"", texts[i]);
}
