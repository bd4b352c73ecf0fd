// test_journal.c - a keeper that takes its time: what is acknowledged before it is safe, and what
// the records say.
#include "core/host.h"
#include "core/keeper.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"

static struct sim *sim;
static struct sim_disk *disk;
static struct shard *shard; // the only one

static void
set_up(void)
{
    disk = sim_disk_new();
    sim = sim_start(1, sim_config(), disk, SIM_START_MS);
    shard = sim->broker->shards[0];
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

TestSuite(journal, .init = set_up, .fini = tear_down);

static struct sim_conn *
fleeting(const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id});
}

// The keeper is done with all that there is.
static void
keep_all(void)
{
    sim_settle(sim);
    sim_fetch(sim, disk);
    sim_commit(sim, disk);
    sim_settle(sim);
}

// Everything is on its way, and safe but for the last records.
static void
keep_but(uint64_t records)
{
    sim_settle(sim);
    sim_fetch(sim, disk);
    atomic_store(&sim->broker->keeper->shards[0].safe, journal_last(shard->journal) - records);
    sim_settle(sim);
}

// ---- Records ------------------------------------------------------------------------------------

static uint32_t seen; // records of the disk that were looked at

static struct record
expect_record(uint8_t kind)
{
    cr_assert_lt(seen, disk->count, "a record of kind %d", kind);
    struct record record = sim_disk_record(disk->records[seen++]);
    cr_assert_eq(record.kind, kind, "kind %d, not %d", record.kind, kind);
    return record;
}

static void
expect_no_record(void)
{
    cr_assert_eq(seen, disk->count, "a record of kind %d", disk->records[seen].data[0]);
}

static void
expect_text(struct slice text, const char *want)
{
    cr_assert(slice_equal(text, slice_str(want)), "\"%.*s\"", (int)text.len,
              (const char *)text.data);
}

Test(journal, off_there_is_nothing_and_nothing_waits)
{
    struct sim *memory = sim_new(1, sim_config());
    struct journal *off = memory->broker->shards[0]->journal;
    cr_assert_not(journal_is_on(off));
    cr_assert_eq(journal_retain_clear(off, slice_str("t"), 1), 0);
    cr_assert_eq(journal_message_number(off), 0);
    cr_assert_eq(journal_last(off), 0);
    cr_assert_eq(journal_safe(off), 0);
    cr_assert_not(journal_poll(off));
    end_empty(memory);
    journal_free(NULL);
}

Test(journal, positions_go_on_from_batch_to_batch)
{
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("a"), 1), 1);
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("b"), 2), 2);
    keep_all();
    expect_text(expect_record(JOURNAL_RETAIN_CLEAR).msg.topic, "a");
    expect_text(expect_record(JOURNAL_RETAIN_CLEAR).msg.topic, "b");
    expect_no_record();
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("c"), 3), 3);
    keep_all();
    cr_assert_eq(expect_record(JOURNAL_RETAIN_CLEAR).order, 3);
    cr_assert_eq(journal_safe(shard->journal), 3);
}

Test(journal, what_is_offered_and_not_fetched_is_added_to)
{
    journal_retain_clear(shard->journal, slice_str("a"), 1);
    sim_tick(sim, 0);
    cr_assert_not_null(atomic_load(&sim->broker->keeper->shards[0].offered));
    journal_retain_clear(shard->journal, slice_str("b"), 2);
    sim_tick(sim, 0);
    struct journal_batch *batch = atomic_load(&sim->broker->keeper->shards[0].offered);
    cr_assert_eq(batch->last, 2);
    keep_all();
    cr_assert_eq(disk->count, 2);
}

Test(journal, the_life_of_a_durable_session_record_by_record)
{
    struct sim_connect c = {.id = "a",
                            .keep = true,
                            .expiry_s = 1000,
                            .receive_max = 7,
                            .will_topic = "w",
                            .will_payload = "gone",
                            .will_delay_s = 5};
    struct sim_conn *a = sim_connect_kept(sim, disk, &c);
    uint64_t number = a->client.session->number;
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t/+", .options = 2 | 4 | 8, .id = 9});
    sim_subscribe(a, &(struct sim_subscribe){.filter = "$share/g/s", .options = 1});
    sim_unsubscribe(a, "$share/g/s");
    struct sim_conn *p = fleeting("p");
    sim_publish(p, &(struct sim_publish){
                       .topic = "t/1", .qos = 2, .payload = slice_str("m"), .retain = true});
    publish_text(a, "nobody", 2, "x");
    keep_all();
    struct record r = expect_record(JOURNAL_SESSION);
    cr_assert_eq(r.session, number);
    expect_text(r.id, "a");
    cr_assert_null(r.user.data);
    cr_assert(r.version == MQTT_5 && r.connected && r.expiry_s == 1000);
    cr_assert(r.has_will && r.will_delay_s == 5 && r.will_due_ms == 0);
    expect_text(r.msg.topic, "w");
    expect_text(r.msg.payload, "gone");
    r = expect_record(JOURNAL_SUBSCRIBE);
    cr_assert(r.session == number && r.ordinal == 1 && r.qos == 2 && r.no_local);
    cr_assert(r.retain_as_published && r.subscription_id == 9);
    expect_text(r.filter, "t/+");
    cr_assert_eq(r.group.len, 0);
    r = expect_record(JOURNAL_SUBSCRIBE);
    cr_assert(r.ordinal == 2 && r.qos == 1);
    expect_text(r.filter, "s");
    expect_text(r.group, "g");
    r = expect_record(JOURNAL_UNSUBSCRIBE);
    cr_assert(r.session == number && r.ordinal == 2);
    r = expect_record(JOURNAL_RETAIN);
    cr_assert(r.msg.qos == 2 && r.msg.retain && r.order == 1);
    expect_text(r.msg.topic, "t/1");
    r = expect_record(JOURNAL_MESSAGE);
    uint64_t message = r.message;
    cr_assert_neq(message, 0);
    expect_text(r.msg.payload, "m");
    r = expect_record(JOURNAL_ENQUEUE);
    cr_assert(r.session == number && r.seq == 0 && r.message == message && r.qos == 2);
    cr_assert(r.retain && r.ids.len == 4 && record_id(&r, 0) == 9 && r.ordinal == 0);
    r = expect_record(JOURNAL_RECEIVED);
    cr_assert(r.session == number && r.packet_id == 1);
    expect_no_record();
    sim_close(a, 0);
    keep_all();
    r = expect_record(JOURNAL_SESSION);
    cr_assert(!r.connected && r.sent == 1 && r.expires_ms == sim->now_ms + 1000 * 1000);
    cr_assert(r.has_will && r.will_due_ms == sim->now_ms + 5000);
    expect_no_record();
}

Test(journal, both_ends_of_qos_2_record_by_record)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(a, "t", 2, "m");
    keep_all();
    seen = disk->count;
    uint16_t id = expect_publish(a, 2, "m").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_ack(a, MQTT_PUBREL, 1);
    sim_ack(a, MQTT_PUBCOMP, id);
    keep_all();
    struct record r = expect_record(JOURNAL_STATE);
    cr_assert(r.seq == 0 && r.state == ENTRY_RELEASED);
    r = expect_record(JOURNAL_RELEASED);
    cr_assert_eq(r.packet_id, 1);
    r = expect_record(JOURNAL_STATE);
    cr_assert(r.seq == 0 && r.state == ENTRY_DONE);
    expect_no_record();
    sim_close(a, 0);
    keep_all();
    expect_record(JOURNAL_SESSION);
    sim_tick(sim, 1001000);
    keep_all();
    expect_record(JOURNAL_SESSION_END);
    expect_no_record();
}

Test(journal, disconnect_with_another_expiry_is_a_change)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    keep_all();
    seen = disk->count;
    sim_disconnect_expiry(a, 50);
    keep_all();
    struct record r = expect_record(JOURNAL_SESSION);
    cr_assert(r.expiry_s == 50 && r.expires_ms == sim->now_ms + 50000);
    expect_no_record();
}

// ---- What is not written ------------------------------------------------------------------------

Test(journal, what_is_acknowledged_before_it_is_fetched_is_never_written)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *b = sim_connect_durable(sim, "b"),
                    *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    sim_subscribe(b, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    seen = disk->count;
    expect_packet(a, MQTT_SUBACK);
    expect_packet(b, MQTT_SUBACK);
    sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 1, .packet_id = 9});
    sim_settle(sim);
    expect_nothing(p);
    sim_ack(a, MQTT_PUBACK, expect_publish(a, 1, "").packet_id);
    sim_settle(sim);
    expect_nothing(p);
    sim_ack(b, MQTT_PUBACK, expect_publish(b, 1, "").packet_id);
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 9, 0); // without the keeper
    keep_all();
    expect_no_record();
    // Later records of the same shard are safe in their turn.
    sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 1, .packet_id = 10});
    sim_settle(sim);
    expect_nothing(p);
    sim_ack(a, MQTT_PUBACK, expect_publish(a, 1, "").packet_id);
    keep_all();
    expect_answer(p, MQTT_PUBACK, 10, 0);
    expect_record(JOURNAL_MESSAGE);
    cr_assert_eq(expect_record(JOURNAL_ENQUEUE).session, b->client.session->number);
    expect_no_record();
}

Test(journal, an_end_that_nobody_waits_for_waits_for_company)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 1, .packet_id = 9});
    keep_all();
    seen = disk->count;
    sim_ack(a, MQTT_PUBACK, expect_publish(a, 1, "").packet_id);
    keep_all();
    expect_no_record();
    cr_assert_leq(shard_wait_until(shard), sim->now_ms + 50);
    sim_tick(sim, 50);
    keep_all();
    cr_assert_eq(expect_record(JOURNAL_STATE).state, ENTRY_DONE);
    expect_no_record();
}

// ---- What is held -------------------------------------------------------------------------------

Test(journal, a_durable_subscription_is_acknowledged_when_it_is_safe)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1, .packet_id = 5});
    sim_settle(sim);
    expect_nothing(a);
    keep_but(1);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_SUBACK, 5, 1);
    sim_unsubscribe(a, "t");
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_UNSUBACK, 1, 0);
}

Test(journal, a_message_for_a_durable_session_is_acknowledged_when_it_is_safe)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    for (uint8_t qos = 1; qos <= 2; qos++) {
        sim_publish(p, &(struct sim_publish){.topic = "t", .qos = qos, .packet_id = qos});
        sim_settle(sim);
        expect_nothing(p);
    }
    keep_but(2); // message and entry of the second
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_nothing(p);
    keep_all();
    expect_answer(p, MQTT_PUBREC, 2, 0);
}

Test(journal, acknowledgements_keep_their_order_though_some_need_not_wait)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    for (uint16_t i = 1; i <= 40; i++)
        sim_publish(p, &(struct sim_publish){
                           .topic = i % 4 == 1 ? "t" : "nobody", .qos = 1, .packet_id = i});
    sim_settle(sim);
    expect_nothing(p);
    uint16_t next = 1;
    for (unsigned message = 10; message-- > 0;) {
        keep_but(2 * message);
        for (unsigned i = 0; i < 4; i++, next++)
            expect_answer(p, MQTT_PUBACK, next, next % 4 == 1 ? 0 : 0x10);
        expect_nothing(p);
    }
    cr_assert_null(p->client.parked);
    cr_assert(list_empty(&shard->parked));
}

Test(journal, nothing_is_held_among_sessions_that_end_with_their_connection)
{
    struct sim_conn *a = fleeting("a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 1, .packet_id = 1});
    sim_publish(p, &(struct sim_publish){.topic = "t", .qos = 2, .packet_id = 2});
    sim_ack(p, MQTT_PUBREL, 2);
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_answer(p, MQTT_PUBREC, 2, 0);
    expect_answer(p, MQTT_PUBCOMP, 2, 0);
    expect_answer(a, MQTT_SUBACK, 1, 2);
    expect_publish(a, 1, "");
    sim_ack(a, MQTT_PUBREC, expect_publish(a, 2, "").packet_id);
    sim_settle(sim);
    expect_packet(a, MQTT_PUBREL);
    cr_assert_eq(journal_last(shard->journal), 0, "no record at all");
}

Test(journal, qos_2_of_a_durable_session_waits_at_each_step)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(a, "nobody", 2, "in");
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBREC, 1, 0x10);
    sim_ack(a, MQTT_PUBREL, 1);
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBCOMP, 1, 0);
    publish_text(fleeting("p"), "t", 2, "out");
    sim_settle(sim);
    expect_nothing(a); // after a crash its identifier would be another message's
    keep_all();
    uint16_t id = expect_publish(a, 2, "out").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBREL, id, 0);
}

Test(journal, what_need_not_wait_does_not_overtake_what_waits)
{
    struct sim_conn *a = sim_connect_durable(sim, "a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(p, "t", 2, "first");
    publish_text(p, "t", 1, "second");
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    uint16_t id = expect_publish(a, 2, "first").packet_id;
    cr_assert_eq(expect_publish(a, 1, "second").packet_id, id + 1);
}

// ---- A new connection while records are under way -----------------------------------------------

Test(journal, a_repeated_publish_waits_for_the_record_of_the_first)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    keep_all();
    publish_text(a, "t", 2, "m");
    sim_close(a, 0);
    a = sim_connect_durable(sim, "a");
    uint64_t session = journal_last(shard->journal);
    sim_publish(
        a, &(struct sim_publish){.topic = "t", .qos = 2, .dup = true, .payload = slice_str("m")});
    sim_settle(sim);
    expect_nothing(a);
    sim_settle(sim);
    sim_fetch(sim, disk);
    atomic_store(&sim->broker->keeper->shards[0].safe, session);
    sim_settle(sim);
    expect_answer(a, MQTT_PUBREC, 1, 0);
}

Test(journal, a_repeated_pubrel_waits_for_the_record_of_the_first)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    publish_text(a, "t", 2, "m");
    keep_all();
    sim_ack(a, MQTT_PUBREL, 1);
    sim_close(a, 0);
    a = sim_connect_durable(sim, "a");
    sim_ack(a, MQTT_PUBREL, 1);
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBCOMP, 1, 0x92);
}

Test(journal, a_pubrel_of_ours_waits_for_its_record_on_a_new_connection_too)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(fleeting("p"), "t", 2, "m");
    keep_all();
    uint16_t id = expect_publish(a, 2, "m").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_close(a, 0);
    a = sim_connect_durable(sim, "a");
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBREL, id, 0);
}

Test(journal, what_was_held_for_a_connection_that_went_is_forgotten)
{
    struct sim_conn *a = sim_connect_durable(sim, "a");
    for (uint16_t i = 1; i < 20; i++)
        sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .packet_id = i});
    sim_close(a, 0);
    cr_assert(list_empty(&shard->parked));
    keep_all();
    struct sim_conn *b = sim_connect_durable(sim, "b");
    sim_subscribe(b, &(struct sim_subscribe){.filter = "t", .packet_id = 3});
    sim_feed(b, "\0\0", 2); // a mistake: the connection ends, the answer is not given
    keep_all();
    expect_dismissed(b, 0x81);
}

// ---- More than it can take ----------------------------------------------------------------------

static void
set_up_two(void)
{
    disk = sim_disk_new();
    sim = sim_start(2, sim_config(), disk, SIM_START_MS);
    keeper_set_window(sim->broker->keeper, HOST_WINDOW_MIN);
}

TestSuite(journal_crowd, .init = set_up_two, .fini = tear_down);

Test(journal_crowd, publishers_of_all_shards_wait_for_the_one_that_has_too_much)
{
    char payload[1000];
    const struct keeper *keeper = sim->broker->keeper;
    struct sim_conn *p = fleeting(id_on(sim, 0)), *q = fleeting(id_on(sim, 0));
    struct sim_conn *a = sim_connect_durable(sim, id_on(sim, 1));
    keep_all();
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    sim_close(a, 0);
    keep_all();
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    unsigned sent = 0;
    for (; !p->client.read_paused && sent < 1000; sent++) {
        publish_text(p, "t", 1, payload);
        sim_settle(sim);
    }
    cr_assert(p->client.read_paused);
    cr_assert_gt(sent * 1100, keeper->batch_pause, "%u", sent);
    cr_assert_leq(sent * 1000, keeper->batch_pause, "%u", sent);
    cr_assert_eq(journal_bytes(sim->broker->shards[0]->journal), 0, "all is another's");
    cr_assert_eq(atomic_load(&keeper->crowded), 2);
    publish_text(q, "u", 1, "for nobody");
    cr_assert(q->client.read_paused);
    keep_all();
    sim_tick(sim, 1000);
    sim_settle(sim);
    cr_assert_eq(atomic_load(&keeper->crowded), 0);
    cr_assert_not(p->client.read_paused || q->client.read_paused);
}
