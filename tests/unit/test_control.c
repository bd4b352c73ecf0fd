// test_control.c - shards answer what an operator asks, in steps, while sessions come and go.
#include "core/base/mem.h"

#include "core/control.h"
#include "core/retained.h"
#include "tests/sim/expect.h"

enum { SHARDS = 2, MANY = 3000 };

static struct sim *sim;
static struct control_question question;

static void
set_up(void)
{
    sim = sim_new(SHARDS, sim_config());
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

TestSuite(control, .init = set_up, .fini = tear_down);

static void
ask(enum control_kind kind, unsigned shard, const char *id)
{
    struct control_place place = question.place;
    control_rows_free(&question.rows);
    question = (struct control_question){.kind = kind,
                                         .away = true,
                                         .place = place,
                                         .rows_max = UINT32_MAX,
                                         .bytes_max = UINT32_MAX,
                                         .filter = question.filter,
                                         .text = question.text};
    if (id)
        question.id = slice_str(id);
    control_give(sim->broker, shard, &question);
    cr_assert_not(sim_is_idle(sim), "a worker would sleep over it");
}

static void
ask_home(enum control_kind kind, const char *id)
{
    question.place = (struct control_place){0};
    ask(kind, broker_home(sim->broker, slice_str(id)), id);
    sim_settle(sim);
    cr_assert(control_is_done(&question));
}

// Counts how often each of c0 to c<MANY> is among the rows; others are not looked at.
static uint8_t seen[MANY];

static void
count_seen(void)
{
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(&question.rows, &at, &row);) {
        char id[16] = "";
        memcpy(id, row.id.data, min_u32(row.id.len, sizeof id - 1));
        if (id[0] == 'm')
            seen[strtoul(id + 1, NULL, 10)]++;
    }
}

static struct sim_conn *
join(unsigned number)
{
    char id[16];
    (void)snprintf(id, sizeof id, "m%u", number);
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(id)));
    sim_send_connect(conn, &(struct sim_connect){.id = id});
    return conn;
}

Test(control, a_client_is_told_as_it_is)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "a",
                                                                   .user = "u",
                                                                   .keep_alive_s = 100,
                                                                   .will_topic = "w",
                                                                   .will_qos = 1,
                                                                   .will_retain = true,
                                                                   .expiry_s = 5,
                                                                   .keep = true});
    subscribed(sim, conn, "x/+", 1);
    struct control_row row;
    uint32_t at = 0;
    ask_home(CONTROL_CLIENT, "a");
    cr_assert_eq(question.rows.count, 1);
    cr_assert(control_rows_next(&question.rows, &at, &row));
    cr_assert(slice_equal(row.id, slice_str("a")) && slice_equal(row.user, slice_str("u")));
    cr_assert(slice_equal(row.topic, slice_str("w")) && row.will_qos == 1 && row.will_retain);
    cr_assert(row.peer.data && row.keep_alive_s == 100 && row.sub_count == 1 && row.expiry_s == 5);
    cr_assert_eq(row.version, MQTT_5);
    cr_assert_not(control_rows_next(&question.rows, &at, &row));
    sim_close(conn, 0);
    sim_settle(sim);
    ask_home(CONTROL_CLIENT, "a");
    at = 0;
    cr_assert(control_rows_next(&question.rows, &at, &row));
    cr_assert_null(row.peer.data);
    cr_assert_leq(row.expires_ms, sim->now_ms + 5000);
    ask_home(CONTROL_CLIENT, "b");
    cr_assert_eq(question.rows.count, 0);
}

Test(control, a_kick_ends_the_connection_with_a_reason)
{
    struct sim_conn *five = sim_connect(sim, &(struct sim_connect){.id = "five"});
    struct sim_conn *four = sim_connect(sim, &(struct sim_connect){.id = "four", .version = 4});
    ask_home(CONTROL_KICK, "five");
    cr_assert_eq(question.rows.count, 1);
    expect_dismissed(five, 0x98);
    ask_home(CONTROL_KICK, "four");
    expect_dismissed(four, 0);
    ask_home(CONTROL_KICK, "five");
    cr_assert_eq(question.rows.count, 0, "its session ended with it");
}

Test(control, a_walk_sees_each_session_once_while_the_table_grows)
{
    for (unsigned i = 0; i < MANY / 4; i++)
        join(i);
    sim_settle(sim);
    unsigned joined = MANY / 4, ticks = 0;
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        question.place = (struct control_place){0};
        ask(CONTROL_CLIENTS, shard, NULL);
        for (; !control_is_done(&question); ticks++) {
            for (unsigned i = 0; i < 700 && joined < MANY; i++)
                join(joined++);
            sim_tick(sim, 0);
        }
        count_seen();
    }
    sim_settle(sim);
    cr_assert_gt(ticks, SHARDS, "it is done in steps");
    for (unsigned i = 0; i < MANY; i++)
        cr_assert(i < MANY / 4 ? seen[i] == 1 : seen[i] <= 1, "m%u was seen %u times", i, seen[i]);
}

Test(control, a_full_answer_goes_on_where_it_ended)
{
    unsigned pages = 0, rows = 0;
    for (unsigned i = 0; i < MANY / 4; i++)
        join(i);
    sim_settle(sim);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        question.place = (struct control_place){0};
        do {
            ask(CONTROL_CLIENTS, shard, NULL);
            question.rows_max = 10;
            sim_settle(sim);
            cr_assert(control_is_done(&question));
            rows += question.rows.count;
            pages++;
            count_seen();
        } while (question.place.bucket < REGISTRY_END);
    }
    cr_assert_eq(rows, MANY / 4);
    cr_assert_gt(pages, MANY / 4 / 20);
    for (unsigned i = 0; i < MANY / 4; i++)
        cr_assert_eq(seen[i], 1);
}

Test(control, many_subscriptions_of_one_client_come_in_pages)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "a"});
    char filter[32];
    enum { SUBS = 1500 };
    static uint8_t met[SUBS];
    for (unsigned i = 0; i < SUBS; i++) {
        (void)snprintf(filter, sizeof filter, "f/%u", i);
        subscribed(sim, conn, filter, (uint8_t)(i % 3));
    }
    unsigned home = broker_home(sim->broker, slice_str("a")), pages = 0;
    question.place = (struct control_place){0};
    do {
        ask(CONTROL_SUBSCRIPTIONS, home, pages % 2 ? "a" : NULL); // either way is the same place
        question.rows_max = 100;
        sim_settle(sim);
        cr_assert_leq(question.rows.count, 100);
        struct control_row row;
        for (uint32_t at = 0; control_rows_next(&question.rows, &at, &row);) {
            char text[32];
            cr_assert_lt(row.topic.len, sizeof text);
            (void)snprintf(text, sizeof text, "%.*s", (int)row.topic.len,
                           (const char *)row.topic.data);
            unsigned long number = strtoul(text + 2, NULL, 10);
            cr_assert_lt(number, SUBS);
            cr_assert_eq(row.options.qos, number % 3);
            met[number]++;
        }
        // Of those that were not seen yet one goes, and the last one takes its place.
        (void)snprintf(filter, sizeof filter, "f/%u", pages);
        sim_unsubscribe(conn, filter);
        sim_settle(sim);
        (void)expect_packet(conn, MQTT_UNSUBACK);
        cr_assert_lt(++pages, 100);
    } while (question.place.bucket < REGISTRY_END && (question.place.subs || pages < 10));
    for (unsigned i = pages; i < SUBS; i++)
        cr_assert_geq(met[i], 1, "f/%u was left out", i);
}

Test(control, subscriptions_within_a_filter)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "a"});
    subscribed(sim, conn, "x/y", 0);
    subscribed(sim, conn, "$share/g/x/+", 2);
    subscribed(sim, conn, "z", 0);
    question.filter = slice_str("x/#");
    ask_home(CONTROL_SUBSCRIPTIONS, "a");
    cr_assert_eq(question.rows.count, 2);
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(&question.rows, &at, &row);)
        cr_assert_eq(row.group.data != NULL, slice_equal(row.topic, slice_str("x/+")));
    question.filter = slice_of(NULL, 0);
}

Test(control, a_filter_holds_what_is_within_it)
{
    static const struct {
        const char *filter, *inner;
        bool holds;
    } cases[] = {
        {"#", "a", true},       {"#", "#", true},        {"a/#", "a", true},
        {"a/#", "a/+/b", true}, {"a/#", "b", false},     {"a/#", "+", false},
        {"a/+", "a/b", true},   {"a/+", "a/+", true},    {"a/+", "a/#", false},
        {"a/+", "a", false},    {"a/+", "a/b/c", false}, {"a/b", "a/b", true},
        {"a/b", "a/+", false},  {"a/b", "a/b/c", false}, {"+/b", "+/b", true},
        {"a/", "a/", true},     {"a/", "a", false},      {"+", "#", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++)
        cr_assert_eq(control_filter_holds(slice_str(cases[i].filter), slice_str(cases[i].inner)),
                     cases[i].holds, "%s, %s", cases[i].filter, cases[i].inner);
}

Test(control, parts_choose_clients)
{
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "door-1", .user = "eve"});
    (void)sim_connect(sim, &(struct sim_connect){.id = "lamp-1"});
    static const struct {
        const char *part;
        uint32_t count;
    } cases[] = {{"door", 1}, {"-1", 2}, {"eve", 1}, {"door-11", 0}, {"", 2}};
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        uint32_t count = 0;
        for (unsigned shard = 0; shard < SHARDS; shard++) {
            question.place = (struct control_place){0};
            question.text = slice_str(cases[i].part);
            ask(CONTROL_CLIENTS, shard, NULL);
            sim_settle(sim);
            count += question.rows.count;
        }
        cr_assert_eq(count, cases[i].count, "\"%s\": %u", cases[i].part, count);
    }
    cr_assert(conn->open);
    question.text = slice_of(NULL, 0);
}

Test(control, retained_messages_go_in_steps)
{
    enum { TOPICS = 200 };
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "a"});
    struct control_rows topics = {0};
    char topic[32];
    for (unsigned i = 0; i < TOPICS; i++) {
        (void)snprintf(topic, sizeof topic, "r/%u", i);
        sim_publish(
            conn, &(struct sim_publish){.topic = topic, .payload = slice_str("x"), .retain = true});
        control_rows_add(&topics, &(struct control_row){.topic = slice_str(topic)});
    }
    control_rows_add(&topics, &(struct control_row){.topic = slice_str("r/none")});
    sim_settle(sim);
    cr_assert_not_null(retained_get(sim->broker->retained, slice_str("r/7")));
    subscribed(sim, conn, "r/+", 4 << 2); // the messages themselves are of no interest
    struct server_packet packet;
    while (sim_next(conn, &packet)) {
    }
    question = (struct control_question){.kind = CONTROL_FORGET, .rows = topics};
    control_give(sim->broker, 1, &question);
    unsigned ticks = 0;
    for (; !control_is_done(&question); ticks++)
        sim_tick(sim, 0);
    cr_assert_gt(ticks, 1);
    cr_assert_eq(question.found, TOPICS);
    cr_assert_null(retained_get(sim->broker->retained, slice_str("r/7")));
    expect_nothing(conn);
}

Test(control, a_cancelled_question_is_done_at_once)
{
    for (unsigned i = 0; i < MANY; i++)
        join(i);
    sim_settle(sim);
    question.place = (struct control_place){0};
    ask(CONTROL_CLIENTS, 0, NULL);
    control_cancel(&question);
    sim_tick(sim, 0);
    cr_assert(control_is_done(&question));
    cr_assert_eq(question.rows.count, 0);
}

Test(control, what_the_asker_holds_is_in_the_account)
{
    uint64_t before = broker_memory(sim->broker);
    control_desk_set_bytes(sim->broker->control, 12345);
    cr_assert_eq(broker_memory(sim->broker), before + 12345);
    control_desk_set_bytes(sim->broker->control, 0);
}
