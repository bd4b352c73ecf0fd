// test_explain.c - what an operator is told of a message before there is one, and that it is true.
#include "core/base/mem.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/control.h"
#include "core/registry.h"
#include "tests/sim/expect.h"
#include "tests/unit/test_acl.h"

enum { SHARDS = 2 };

static struct sim *sim;
static struct control_question question;

static void
set_up(void)
{
    struct config *config = sim_config();
    config->queued_messages_max = 2;
    sim = sim_new(SHARDS, config);
    sim->broker->control = control_desk_new(SHARDS);
    cr_assert_not_null(sim->broker->control);
}

static void
tear_down(void)
{
    struct control_desk *desk = sim->broker->control;
    control_rows_free(&question.rows);
    end_empty(sim);
    control_desk_free(desk);
}

TestSuite(explain, .init = set_up, .fini = tear_down);

static void
rules(const char *file)
{
    struct access_rules *fresh = access_rules_new();
    fresh->alike = true;
    fresh->listeners[0].acl = acl_of(file);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
}

static void
give(unsigned shard)
{
    control_give(sim->broker, shard, &question);
    sim_settle(sim);
    cr_assert(control_is_done(&question));
}

static void
ask(enum control_kind kind, const char *id, const char *topic, uint8_t qos)
{
    control_rows_free(&question.rows);
    question = (struct control_question){.kind = kind,
                                         .id = slice_str(id),
                                         .filter = slice_str(topic),
                                         .qos = qos,
                                         .rows_max = UINT32_MAX,
                                         .bytes_max = UINT32_MAX};
    give(broker_home(sim->broker, slice_str(id)));
}

// The rows behind the client's own, or of a walk all of them.
static struct control_row
row_at(uint32_t number)
{
    struct control_row row;
    uint32_t at = 0;
    for (uint32_t i = 0; i <= number; i++)
        cr_assert(control_rows_next(&question.rows, &at, &row), "no row %u", i);
    return row;
}

static void
expect_verdict(uint32_t number, bool allowed, const char *why, const char *rule, const char *where)
{
    struct control_row row = row_at(number);
    cr_assert(row.verdict);
    cr_assert_eq(row.allowed, allowed);
    cr_assert_str_eq(row.why, why);
    cr_assert(rule ? slice_equal(row.topic, slice_str(rule)) : !row.topic.data, "%.*s",
              (int)row.topic.len, (const char *)row.topic.data);
    cr_assert(where ? slice_equal(row.group, slice_str(where)) : !row.group.data, "%.*s",
              (int)row.group.len, (const char *)row.group.data);
}

// What became of the message at its subscriber, as the last row says it beforehand.
static void
expect_fate(uint32_t number, const char *fate)
{
    struct control_row row = row_at(number);
    cr_assert_not(row.verdict);
    cr_assert_str_eq(row.why, fate);
}

Test(explain, rules_are_named_by_file_and_line)
{
    rules("topic read pub/#\n\nuser eve\ntopic deny in/secret\ntopic write in/+\n"
          "pattern readwrite home/%u/#\n");
    (void)sim_connect(sim, &(struct sim_connect){.id = "a", .user = "eve"});
    ask(CONTROL_EXPLAIN_PUB, "a", "in/x", 0);
    expect_verdict(1, true, "rule", "in/+", "acl:5");
    ask(CONTROL_EXPLAIN_PUB, "a", "in/secret", 0);
    expect_verdict(1, false, "rule", "in/secret", "acl:4");
    ask(CONTROL_EXPLAIN_PUB, "a", "home/eve/door", 0);
    expect_verdict(1, true, "rule", "home/%u/#", "acl:6");
    ask(CONTROL_EXPLAIN_PUB, "a", "pub/x", 0);
    expect_verdict(1, false, "default", NULL, NULL);
    ask(CONTROL_EXPLAIN_PUB, "a", "$SYS/broker/x", 0);
    expect_verdict(1, false, "reserved", NULL, NULL);
    ask(CONTROL_EXPLAIN_SUB, "a", "home/#", 0);
    expect_verdict(1, true, "default", NULL, NULL); // SUBSCRIBE itself is free with an ACL file
    expect_verdict(2, true, "reads_some", NULL, NULL);
    ask(CONTROL_EXPLAIN_SUB, "a", "home/eve/x", 0);
    expect_verdict(2, true, "rule", "home/%u/#", "acl:6");
}

Test(explain, without_rules_it_says_so)
{
    (void)sim_connect(sim, &(struct sim_connect){.id = "a"});
    ask(CONTROL_EXPLAIN_PUB, "a", "t", 0);
    expect_verdict(1, true, "no_rules", NULL, NULL);
    cr_assert(slice_equal(row_at(0).id, slice_str("a")));
    ask(CONTROL_EXPLAIN_PUB, "b", "t", 0);
    cr_assert_eq(question.rows.count, 0, "there is no such client");
}

// Of a client's own subscriptions; the verdicts are the rows 1 and 2.
Test(explain, a_fate_is_what_becomes_of_the_message)
{
    struct sim_conn *pub = sim_connect(sim, &(struct sim_connect){.id = "pub"});
    struct sim_conn *sub = sim_connect(
        sim, &(struct sim_connect){.id = "sub", .keep = true, .expiry_s = 1000, .receive_max = 1});
    subscribed(sim, sub, "t/+", 1);
    ask(CONTROL_EXPLAIN_SUB, "sub", "u", 1);
    cr_assert_eq(question.rows.count, 3, "no subscription matches");
    ask(CONTROL_EXPLAIN_SUB, "sub", "t/x", 1);
    expect_fate(3, "sent");
    cr_assert(slice_equal(row_at(3).topic, slice_str("t/+")));
    publish_number(pub, "t/x", 1, 1);
    sim_settle(sim);
    (void)expect_number(sub, 1, 1);
    ask(CONTROL_EXPLAIN_SUB, "sub", "t/x", 1); // its window is full
    expect_fate(3, "queued");
    ask(CONTROL_EXPLAIN_SUB, "sub", "t/x", 0);
    expect_fate(3, "sent");
    sim_close(sub, 0);
    sim_settle(sim);
    ask(CONTROL_EXPLAIN_SUB, "sub", "t/x", 0);
    expect_fate(3, "away");
    publish_number(pub, "t/x", 1, 2);
    publish_number(pub, "t/x", 1, 3);
    sim_settle(sim);
    ask(CONTROL_EXPLAIN_SUB, "sub", "t/x", 1);
    expect_fate(3, "queue_full");
    uint64_t dropped = stat_sum(sim, dropped_queue_full);
    publish_number(pub, "t/x", 1, 4);
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), dropped + 1);
}

static uint32_t
count_matches(const char *publisher, const char *topic, uint32_t rows_max)
{
    uint32_t count = 0, pages = 0;
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        struct control_place place = {0};
        do {
            control_rows_free(&question.rows);
            question = (struct control_question){.kind = CONTROL_MATCHES,
                                                 .text = slice_str(publisher),
                                                 .filter = slice_str(topic),
                                                 .place = place,
                                                 .rows_max = rows_max,
                                                 .bytes_max = UINT32_MAX};
            give(shard);
            place = question.place;
            count += question.rows.count;
            cr_assert_lt(++pages, 10000);
        } while (place.bucket < REGISTRY_END);
    }
    return count;
}

Test(explain, all_who_match_are_listed_in_pages)
{
    enum { CLIENTS = 1500 };
    char id[16];
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)snprintf(id, sizeof id, "s%u", i);
        struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = id});
        subscribed(sim, conn, i % 2 ? "t/+" : "t/x", 0);
        if (i % 3 == 0)
            subscribed(sim, conn, "$share/g/t/#", 1);
    }
    cr_assert_eq(count_matches("nobody", "t/x", UINT32_MAX), CLIENTS + CLIENTS / 3);
    cr_assert_eq(count_matches("nobody", "t/x", 100), CLIENTS + CLIENTS / 3);
    cr_assert_eq(count_matches("nobody", "t/y", 100), CLIENTS / 2 + CLIENTS / 3);
    cr_assert_eq(count_matches("nobody", "v", 100), 0);
}

Test(explain, what_is_kept_from_a_subscriber_is_told)
{
    rules("user eve\ntopic readwrite t/a\nuser bob\ntopic readwrite t/#\n");
    struct sim_conn *eve = sim_connect(sim, &(struct sim_connect){.id = "eve", .user = "eve"});
    subscribed(sim, eve, "t/+", 0);
    cr_assert_eq(count_matches("bob", "t/b", 1), 1);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        control_rows_free(&question.rows);
        question.place = (struct control_place){0};
        give(shard);
        if (question.rows.count > 0)
            expect_fate(0, "not_allowed");
    }
    cr_assert_eq(stat_sum(sim, withheld), 0, "nothing is counted");
    sim_subscribe(eve, &(struct sim_subscribe){.filter = "t/a", .options = 4}); // No Local
    sim_settle(sim);
    ask(CONTROL_EXPLAIN_SUB, "eve", "t/a", 0);
    question.text = slice_str("eve"); // who publishes
    control_rows_free(&question.rows);
    give(broker_home(sim->broker, slice_str("eve")));
    bool kept = false;
    for (uint32_t i = 3; i < question.rows.count; i++)
        kept |= strcmp(row_at(i).why, "no_local") == 0;
    cr_assert(kept);
}
