// test_client_control.c - messages to $CONTROL: asked about, journaled, answered once that is safe.
#include "core/base/mem.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/client_access.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"

#define TOPIC "$CONTROL/dynamic-security/v1"

static struct sim *sim;
static struct sim_disk *disk;

// Whoever is "admin" may command; marks of the users.
static void
set_rules(uint64_t admin, uint64_t other)
{
    struct acl_builder *builder = acl_builder_new(ACL_ALL);
    uint32_t lists[] = {acl_builder_list(builder), acl_builder_list(builder)};
    struct acl_rule rule = {
        .actions = ACL_ALL, .allow = true, .filter = slice_str("$CONTROL/dynamic-security/#")};
    cr_assert_eq(acl_builder_rule(builder, lists[0], &rule), OK);
    rule = (struct acl_rule){.actions = ACL_ALL, .filter = slice_str("$CONTROL/#")};
    cr_assert_eq(acl_builder_rule(builder, lists[1], &rule), OK);
    cr_assert_eq(acl_builder_user(builder, slice_str("admin"), lists, 2), OK);
    cr_assert_eq(acl_builder_others(builder, lists + 1, 1), OK);
    struct access_rules *fresh = access_rules_new();
    fresh->alike = fresh->control = true;
    fresh->listeners[0].ask = true;
    fresh->listeners[0].acl = acl_builder_finish(builder);
    fresh->listeners[0].users = access_users_new();
    access_users_add(fresh->listeners[0].users, slice_str("admin"), admin);
    access_users_add(fresh->listeners[0].users, slice_str("other"), other);
    broker_set_access(sim->broker, sim->broker->shards[0]->rcu, fresh);
    sim_settle(sim);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    sim = sim_start(1, sim_config(), disk, SIM_START_MS);
    sim->broker->desk = access_desk_new(1, 20);
    set_rules(1, 2);
}

static void
tear_down(void)
{
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(2000) * 1000); // sessions expire
    sim_settle(sim);
    end_empty(sim);
    sim_disk_free(disk);
}

TestSuite(client_control, .init = set_up, .fini = tear_down);

// ---- The one who answers ------------------------------------------------------------------------

static void
give(struct access_question *question)
{
    access_give(sim->broker->desk, sim->broker, question);
    sim_settle(sim);
    sim_settle(sim); // what the peer had sent meanwhile is read
}

static struct access_question *
take(void)
{
    cr_assert_gt(access_waiting(sim->broker->desk), 0, "a question");
    return access_take(sim->broker->desk);
}

static struct slice
copy(const char *text)
{
    return slice_of(mem_strdup(text), strlen(text));
}

// Changed: the setting "a"; empty: nothing.
static void
answer(struct access_question *question, const char *value)
{
    question->answer.reply = copy("done");
    question->answer.reply_topic = copy(TOPIC "/response");
    if (value) {
        struct record record = {.kind = JOURNAL_SETTING,
                                .order = 7,
                                .msg = {.topic = slice_str("a"), .payload = slice_str(value)}};
        uint8_t *bytes = mem_alloc(record_size(&record));
        question->answer.settings = slice_of(bytes, record_size(&record));
        (void)record_write(bytes, &record);
    }
    give(question);
}

static void
keep_all(void)
{
    sim_settle(sim);
    sim_fetch(sim, disk);
    sim_commit(sim, disk);
    sim_settle(sim);
}

static uint32_t
settings_kept(void)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < disk->count; i++)
        count += sim_disk_record(disk->records[i]).kind == JOURNAL_SETTING;
    return count;
}

// ---- Clients ------------------------------------------------------------------------------------

static struct sim_conn *
come(const char *name, uint8_t version, uint64_t mark)
{
    struct sim_conn *conn = sim_open(sim, 0);
    sim_send_connect(
        conn, &(struct sim_connect){.id = name, .version = version, .user = name, .password = "p"});
    sim_settle(sim);
    struct access_question *question = take();
    question->answer.mark = mark;
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    return conn;
}

static void
send_command(struct sim_conn *conn, uint8_t qos)
{
    publish_text(conn, TOPIC, qos, "command");
    sim_settle(sim);
}

static void
expect_reply(struct sim_conn *conn)
{
    struct server_packet packet = expect_packet(conn, MQTT_PUBLISH);
    cr_assert(slice_equal(packet.topic, slice_str(TOPIC "/response")));
    cr_assert(slice_equal(packet.payload, slice_str("done")));
    cr_assert_eq(packet.qos, 0);
}

Test(client_control, the_question_has_the_command_and_the_asker_alone_gets_the_response)
{
    static const uint8_t versions[] = {MQTT_311, MQTT_5};
    struct sim_conn *other = come("other", MQTT_5, 2);
    for (unsigned i = 0; i < ARRAY_LEN(versions); i++) {
        struct sim_conn *conn = come("admin", versions[i], 1);
        for (uint8_t qos = 0; qos <= 2; qos++) {
            send_command(conn, qos);
            expect_nothing(conn);
            struct access_question *question = take();
            cr_assert_eq(question->kind, ACCESS_CONTROL);
            cr_assert(slice_equal(question->texts.topic, slice_str(TOPIC)));
            cr_assert(slice_equal(question->texts.payload, slice_str("command")));
            cr_assert(slice_equal(question->texts.user, slice_str("admin")));
            answer(question, NULL);
            expect_reply(conn);
            if (qos > 0)
                cr_assert_eq(expect_packet(conn, qos == 1 ? MQTT_PUBACK : MQTT_PUBREC).reason, 0);
        }
        expect_nothing(other);
        sim_close(conn, 0);
    }
}

Test(client_control, what_changed_is_safe_before_it_is_answered)
{
    struct sim_conn *conn = come("admin", MQTT_5, 1);
    send_command(conn, 1);
    answer(take(), "value");
    expect_nothing(conn);
    keep_all();
    cr_assert_eq(settings_kept(), 1);
    expect_reply(conn);
    cr_assert_eq(expect_packet(conn, MQTT_PUBACK).reason, 0);
}

Test(client_control, what_a_client_changed_that_has_gone_is_kept)
{
    struct sim_conn *conn = come("admin", MQTT_5, 1);
    send_command(conn, 1);
    struct access_question *question = take();
    sim_close(conn, 0);
    sim_settle(sim);
    answer(question, "value");
    keep_all();
    cr_assert_eq(settings_kept(), 1);
}

Test(client_control, what_comes_behind_a_command_waits)
{
    struct sim_conn *conn = come("admin", MQTT_5, 1);
    send_command(conn, 0);
    sim_ping(conn);
    send_command(conn, 1);
    sim_settle(sim);
    expect_nothing(conn);
    answer(take(), NULL);
    expect_reply(conn);
    expect_packet(conn, MQTT_PINGRESP);
    expect_nothing(conn);
    answer(take(), NULL);
    expect_reply(conn);
    expect_packet(conn, MQTT_PUBACK);
    cr_assert_eq(stat_sum(sim, publish_received), 2);
}

Test(client_control, who_may_not_is_refused_and_nobody_is_asked)
{
    struct sim_conn *conn = come("other", MQTT_5, 2);
    send_command(conn, 1);
    cr_assert_eq(expect_packet(conn, MQTT_PUBACK).reason, 0x87);
    cr_assert_eq(access_waiting(sim->broker->desk), 0);
    cr_assert_eq(stat_sum(sim, dropped_not_allowed), 1);
    struct sim_conn *admin = come("admin", MQTT_5, 1);
    publish_text(admin, "$CONTROL/else", 1, "command"); // no rule says so
    sim_settle(sim);
    cr_assert_eq(expect_packet(admin, MQTT_PUBACK).reason, 0x87);
}

Test(client_control, a_refusal_by_who_answers_is_told)
{
    struct sim_conn *conn = come("admin", MQTT_5, 1);
    send_command(conn, 1);
    struct access_question *question = take();
    question->answer.err = ERR_NOT_AUTHORIZED;
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_PUBACK).reason, 0x87);
    cr_assert_eq(stat_sum(sim, publish_refused), 1);
}

Test(client_control, while_the_disk_fails_nothing_is_changed)
{
    struct sim_conn *conn = come("admin", MQTT_5, 1);
    atomic_store(&sim->broker->keeper->failing, true);
    send_command(conn, 1);
    cr_assert_eq(expect_packet(conn, MQTT_PUBACK).reason, 0x97);
    cr_assert_eq(access_waiting(sim->broker->desk), 0);
    atomic_store(&sim->broker->keeper->failing, false);
}

// ---- Whom it concerns ---------------------------------------------------------------------------

Test(client_control, the_asker_has_its_response_and_stays_though_its_entry_changed)
{
    struct sim_conn *admin = come("admin", MQTT_5, 1), *other = come("other", MQTT_5, 2);
    send_command(admin, 1);
    struct access_question *question = take();
    set_rules(8, 9); // in force before the answer is given
    expect_dismissed(other, 0x87);
    cr_assert(admin->open);
    question->answer.mark = 8;
    answer(question, NULL);
    expect_reply(admin);
    expect_packet(admin, MQTT_PUBACK);
    sim_ping(admin);
    sim_settle(sim);
    expect_packet(admin, MQTT_PINGRESP);
}

Test(client_control, an_asker_that_has_no_entry_any_more_goes_after_its_response)
{
    struct sim_conn *admin = come("admin", MQTT_5, 1);
    send_command(admin, 1);
    struct access_question *question = take();
    set_rules(8, 2);
    answer(question, NULL);
    expect_reply(admin);
    expect_packet(admin, MQTT_PUBACK);
    expect_dismissed(admin, 0x87);
}

Test(client_control, a_response_that_is_too_large_for_the_client_is_dropped)
{
    struct sim_conn *conn = sim_open(sim, 0);
    sim_send_connect(
        conn, &(struct sim_connect){.id = "a", .user = "admin", .password = "p", .packet_max = 30});
    sim_settle(sim);
    struct access_question *question = take();
    question->answer.mark = 1;
    give(question);
    expect_packet(conn, MQTT_CONNACK);
    send_command(conn, 1);
    answer(take(), NULL);
    expect_packet(conn, MQTT_PUBACK);
    cr_assert_eq(stat_sum(sim, dropped_too_large), 1);
}
