// test_journal.c - a keeper that takes its time: what is acknowledged before it is safe, and what
// the records say.
#include "core/journal.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct shard *shard; // the only one

static void
set_up(void)
{
    sim = sim_new(1, sim_config());
    shard = sim->broker->shards[0];
    journal_free(shard->journal);
    shard->journal = journal_new(true);
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(journal, .init = set_up, .fini = tear_down);

static struct sim_conn *
durable(const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id, .keep = true, .expiry_s = 1000});
}

static struct sim_conn *
fleeting(const char *id)
{
    return sim_connect(sim, &(struct sim_connect){.id = id});
}

// The keeper is done with all that there is.
static void
keep_all(void)
{
    shard_on_safe(shard, journal_last(shard->journal));
    sim_settle(sim);
}

// ---- Records ------------------------------------------------------------------------------------

struct record {
    uint8_t kind;
    struct slice fields;
};

static bool
next_record(struct slice *batch, struct record *ret)
{
    if (batch->len == 0)
        return false;
    cr_assert_geq(batch->len, 5);
    const uint8_t *p = batch->data;
    uint32_t len = p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 24;
    cr_assert_leq(len, batch->len - 5);
    *ret = (struct record){p[0], slice_of(p + 5, len)};
    *batch = slice_of(p + 5 + len, batch->len - 5 - len);
    return true;
}

static uint64_t
field(struct record *record, uint32_t bytes)
{
    cr_assert_geq(record->fields.len, bytes);
    uint64_t value = 0;
    for (uint32_t i = bytes; i-- > 0;)
        value = value << 8 | record->fields.data[i];
    record->fields = slice_of(record->fields.data + bytes, record->fields.len - bytes);
    return value;
}

static void
field_text(struct record *record, const char *text)
{
    uint32_t len = (uint32_t)field(record, 4);
    cr_assert_leq(len, record->fields.len);
    cr_assert(slice_equal(slice_of(record->fields.data, len), slice_str(text)), "\"%.*s\"",
              (int)len, (const char *)record->fields.data);
    record->fields = slice_of(record->fields.data + len, record->fields.len - len);
}

static struct slice taken; // what expect_record goes through

static void
take(void)
{
    uint64_t last;
    mem_free(unconst(taken.data));
    taken = journal_take(shard->journal, &last);
    cr_assert_eq(last, journal_last(shard->journal));
}

static struct record
expect_record(struct slice *batch, uint8_t kind)
{
    struct record record;
    cr_assert(next_record(batch, &record), "a record of kind %d", kind);
    cr_assert_eq(record.kind, kind, "kind %d, not %d", record.kind, kind);
    return record;
}

static void
field_msg(struct record *record, uint8_t flags, const char *topic, const char *payload)
{
    cr_assert_eq(field(record, 1), flags);
    field(record, 8); // expiry
    field(record, 8); // publisher
    field(record, 8); // arrival
    field_text(record, topic);
    field_text(record, "");
    field_text(record, payload);
}

Test(journal, off_there_is_nothing_and_nothing_waits)
{
    struct journal *off = journal_new(false);
    uint64_t last = 7;
    cr_assert_not(journal_is_on(off));
    cr_assert_eq(journal_retain_clear(off, slice_str("t")), 0);
    cr_assert_null(journal_take(off, &last).data);
    cr_assert_eq(last, 0);
    cr_assert_eq(journal_last(off), 0);
    cr_assert_eq(journal_safe(off), 0);
    journal_free(off);
    journal_free(NULL);
}

Test(journal, taking_empties_it_and_positions_go_on)
{
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("a")), 1);
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("b")), 2);
    take();
    struct slice batch = taken;
    struct record record = expect_record(&batch, JOURNAL_RETAIN_CLEAR);
    field_text(&record, "a");
    record = expect_record(&batch, JOURNAL_RETAIN_CLEAR);
    field_text(&record, "b");
    cr_assert_eq(batch.len + record.fields.len, 0);
    take();
    cr_assert_null(taken.data, "empty now");
    cr_assert_eq(journal_retain_clear(shard->journal, slice_str("c")), 3);
    take();
    batch = taken;
    record = expect_record(&batch, JOURNAL_RETAIN_CLEAR);
    field_text(&record, "c");
    take();
}

Test(journal, the_life_of_a_durable_session_record_by_record)
{
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a",
                                                                .keep = true,
                                                                .expiry_s = 1000,
                                                                .will_topic = "w",
                                                                .will_payload = "gone",
                                                                .will_delay_s = 5});
    uint64_t number = a->client.session->number;
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t/+", .options = 2 | 4 | 8, .id = 9});
    sim_subscribe(a, &(struct sim_subscribe){.filter = "$share/g/s", .options = 1});
    sim_unsubscribe(a, "$share/g/s");
    struct sim_conn *p = fleeting("p");
    sim_publish(p, &(struct sim_publish){
                       .topic = "t/1", .qos = 2, .payload = slice_str("m"), .retain = true});
    publish_text(a, "nobody", 2, "x");
    keep_all();
    take();
    struct slice batch = taken;
    struct record r = expect_record(&batch, JOURNAL_SESSION);
    cr_assert_eq(field(&r, 8), number);
    field_text(&r, "a");
    cr_assert_eq(field(&r, 1), 0);
    field_text(&r, "");
    cr_assert_eq(field(&r, 4), 1000);
    cr_assert_eq(field(&r, 1), 1);
    cr_assert_eq(field(&r, 4), 5);
    field_msg(&r, 0, "w", "gone");
    cr_assert_eq(r.fields.len, 0);
    r = expect_record(&batch, JOURNAL_SUBSCRIBE);
    cr_assert_eq(field(&r, 8), number);
    field_text(&r, "t/+");
    field_text(&r, "");
    cr_assert_eq(field(&r, 1), 2 | 4 | 8);
    cr_assert_eq(field(&r, 4), 9);
    r = expect_record(&batch, JOURNAL_SUBSCRIBE);
    cr_assert_eq(field(&r, 8), number);
    field_text(&r, "s");
    field_text(&r, "g");
    r = expect_record(&batch, JOURNAL_UNSUBSCRIBE);
    cr_assert_eq(field(&r, 8), number);
    field_text(&r, "s");
    field_text(&r, "g");
    cr_assert_eq(r.fields.len, 0);
    r = expect_record(&batch, JOURNAL_RETAIN);
    field_msg(&r, 2 | 4, "t/1", "m");
    r = expect_record(&batch, JOURNAL_ENQUEUE);
    cr_assert_eq(field(&r, 8), number);
    cr_assert_eq(field(&r, 8), 0, "sequence number");
    cr_assert_eq(field(&r, 1), 2 | 4);
    cr_assert_eq(field(&r, 2), 1);
    cr_assert_eq(field(&r, 4), 9);
    field_msg(&r, 2 | 4, "t/1", "m");
    cr_assert_eq(r.fields.len, 0);
    r = expect_record(&batch, JOURNAL_RECEIVED);
    cr_assert_eq(field(&r, 8), number);
    cr_assert_eq(field(&r, 2), 1);
    cr_assert_eq(batch.len, 0);
}

Test(journal, both_ends_of_qos_2_record_by_record)
{
    struct sim_conn *a = durable("a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(a, "t", 2, "m");
    keep_all();
    take();
    uint16_t id = expect_publish(a, 2, "m").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_ack(a, MQTT_PUBREL, 1);
    sim_ack(a, MQTT_PUBCOMP, id);
    keep_all();
    take();
    struct slice batch = taken;
    struct record r = expect_record(&batch, JOURNAL_STATE);
    field(&r, 8);
    cr_assert_eq(field(&r, 8), 0);
    cr_assert_eq(field(&r, 1), DELIVERY_RELEASED);
    r = expect_record(&batch, JOURNAL_RELEASED);
    field(&r, 8);
    cr_assert_eq(field(&r, 2), 1);
    r = expect_record(&batch, JOURNAL_STATE);
    field(&r, 8);
    cr_assert_eq(field(&r, 8), 0);
    cr_assert_eq(field(&r, 1), DELIVERY_DONE);
    cr_assert_eq(batch.len, 0);
    sim_close(a, 0);
    sim_tick(sim, 1001000);
    take();
    batch = taken;
    expect_record(&batch, JOURNAL_SESSION_END);
    cr_assert_eq(batch.len, 0);
    take();
}

Test(journal, disconnect_with_another_expiry_is_a_change)
{
    struct sim_conn *a = durable("a");
    keep_all();
    take();
    sim_disconnect_expiry(a, 50);
    sim_settle(sim);
    take();
    struct slice batch = taken;
    struct record r = expect_record(&batch, JOURNAL_SESSION);
    field(&r, 8);
    field_text(&r, "a");
    field(&r, 1);
    field_text(&r, "");
    cr_assert_eq(field(&r, 4), 50);
    cr_assert_eq(batch.len, 0);
}

// ---- What is held -------------------------------------------------------------------------------

Test(journal, a_durable_subscription_is_acknowledged_when_it_is_safe)
{
    struct sim_conn *a = durable("a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1, .packet_id = 5});
    sim_settle(sim);
    expect_nothing(a);
    shard_on_safe(shard, journal_last(shard->journal) - 1);
    sim_settle(sim);
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
    struct sim_conn *a = durable("a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    for (uint8_t qos = 1; qos <= 2; qos++) {
        sim_publish(p, &(struct sim_publish){.topic = "t", .qos = qos, .packet_id = qos});
        sim_settle(sim);
        expect_nothing(p);
    }
    shard_on_safe(shard, journal_last(shard->journal) - 1);
    sim_settle(sim);
    expect_answer(p, MQTT_PUBACK, 1, 0);
    expect_nothing(p);
    keep_all();
    expect_answer(p, MQTT_PUBREC, 2, 0);
}

Test(journal, acknowledgements_keep_their_order_though_some_need_not_wait)
{
    struct sim_conn *a = durable("a"), *p = fleeting("p");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 1});
    keep_all();
    for (uint16_t i = 1; i <= 40; i++)
        sim_publish(p, &(struct sim_publish){
                           .topic = i % 4 == 1 ? "t" : "nobody", .qos = 1, .packet_id = i});
    sim_settle(sim);
    expect_nothing(p);
    uint16_t next = 1;
    for (unsigned record = 10; record-- > 0;) {
        shard_on_safe(shard, journal_last(shard->journal) - record);
        sim_settle(sim);
        for (unsigned i = 0; i < 4; i++, next++)
            expect_answer(p, MQTT_PUBACK, next, next % 4 == 1 ? 0 : 0x10);
        expect_nothing(p);
    }
    cr_assert_eq(p->client.parked_count, 0);
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
    struct sim_conn *a = durable("a");
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
    uint16_t id = expect_publish(a, 2, "out").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBREL, id, 0);
}

// ---- A new connection while records are under way -----------------------------------------------

Test(journal, a_repeated_publish_waits_for_the_record_of_the_first)
{
    struct sim_conn *a = durable("a");
    keep_all();
    publish_text(a, "t", 2, "m");
    sim_close(a, 0);
    a = durable("a");
    uint64_t session = journal_last(shard->journal);
    sim_publish(
        a, &(struct sim_publish){.topic = "t", .qos = 2, .dup = true, .payload = slice_str("m")});
    sim_settle(sim);
    expect_nothing(a);
    shard_on_safe(shard, session);
    sim_settle(sim);
    expect_answer(a, MQTT_PUBREC, 1, 0);
}

Test(journal, a_repeated_pubrel_waits_for_the_record_of_the_first)
{
    struct sim_conn *a = durable("a");
    publish_text(a, "t", 2, "m");
    keep_all();
    sim_ack(a, MQTT_PUBREL, 1);
    sim_close(a, 0);
    a = durable("a");
    sim_ack(a, MQTT_PUBREL, 1);
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBCOMP, 1, 0x92);
}

Test(journal, a_pubrel_of_ours_waits_for_its_record_on_a_new_connection_too)
{
    struct sim_conn *a = durable("a");
    sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .options = 2});
    keep_all();
    expect_packet(a, MQTT_SUBACK);
    publish_text(fleeting("p"), "t", 2, "m");
    keep_all();
    uint16_t id = expect_publish(a, 2, "m").packet_id;
    sim_ack(a, MQTT_PUBREC, id);
    sim_close(a, 0);
    a = durable("a");
    sim_settle(sim);
    expect_nothing(a);
    keep_all();
    expect_answer(a, MQTT_PUBREL, id, 0);
}

Test(journal, what_was_held_for_a_connection_that_went_is_forgotten)
{
    struct sim_conn *a = durable("a");
    for (uint16_t i = 1; i < 20; i++)
        sim_subscribe(a, &(struct sim_subscribe){.filter = "t", .packet_id = i});
    sim_close(a, 0);
    cr_assert(list_empty(&shard->parked));
    keep_all();
    struct sim_conn *b = durable("b");
    sim_subscribe(b, &(struct sim_subscribe){.filter = "t", .packet_id = 3});
    sim_feed(b, "\0\0", 2); // a mistake: the connection ends, the answer is not given
    keep_all();
    expect_dismissed(b, 0x81);
}
