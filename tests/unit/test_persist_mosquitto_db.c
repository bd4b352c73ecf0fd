// test_persist_mosquitto_db.c - files that Mosquitto 2.0.11 wrote, files of other versions made
// here, and damaged ones.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/deliveries.h"
#include "core/mqtt.h"
#include "persist/json.h"
#include "persist/mosquitto_db.h"

#define WALL_MS     UINT64_C(1800000000000) // 2027-01-15T08:00:00.000Z
#define RECORDS_MAX 256

// ---- Reading ------------------------------------------------------------------------------------

struct result {
    uint8_t *bytes[RECORDS_MAX]; // of records
    struct record records[RECORDS_MAX];
    uint32_t count, fail_at; // the sink refuses this one, from 1; 0 = none
    err_t err;
    char problem[MOSQUITTO_DB_PROBLEM_MAX];
};

static err_t
collect(void *arg, const struct record *record)
{
    struct result *result = arg;
    cr_assert_lt(result->count, RECORDS_MAX);
    uint32_t len, i = result->count++, size = record_size(record);
    result->bytes[i] = mem_alloc(size);
    record_write(result->bytes[i], record);
    cr_assert_eq(record_read(slice_of(result->bytes[i], size), &result->records[i], &len), OK);
    return result->count == result->fail_at ? ERR_FULL : OK;
}

static void
read_into(struct result *result, struct slice file, uint32_t fail_at)
{
    *result = (struct result){.fail_at = fail_at};
    // Of its exact size, for the address sanitizer.
    uint8_t *copy = mem_alloc(file.len + !file.len);
    if (file.len)
        memcpy(copy, file.data, file.len);
    result->err =
        mosquitto_db_read(slice_of(copy, file.len), WALL_MS, collect, result, result->problem);
    mem_free(copy);
}

static void
result_free(struct result *result)
{
    for (uint32_t i = 0; i < result->count; i++)
        mem_free(result->bytes[i]);
}

static struct result result; // each test runs in a process of its own

static const struct record *
nth(uint8_t kind, uint32_t n)
{
    for (uint32_t i = 0; i < result.count; i++)
        if (result.records[i].kind == kind && n-- == 0)
            return &result.records[i];
    cr_assert_fail("no such record");
    return NULL;
}

static uint32_t
count_of(uint8_t kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < result.count; i++)
        count += result.records[i].kind == kind;
    return count;
}

static bool
is(struct slice slice, const char *text)
{
    return slice_equal(slice, slice_str(text));
}

static void
expect_problem(struct slice file, const char *problem)
{
    read_into(&result, file, 0);
    cr_expect_eq(result.err, ERR_MALFORMED);
    cr_expect_str_eq(result.problem, problem);
    result_free(&result);
}

// tests/unit/data/<name>, new, NUL-terminated.
static struct slice
data_file(const char *name)
{
    char path[4096];
    int len = (int)(strrchr(__FILE__, '/') - __FILE__);
    snprintf(path, sizeof path, "%.*s/data/%s", len, __FILE__, name);
    FILE *in = fopen(path, "rb");
    cr_assert_not_null(in, "%s", path);
    uint8_t *bytes = mem_zalloc(65536);
    size_t size = fread(bytes, 1, 65535, in);
    fclose(in);
    return slice_of(bytes, size);
}

// Every field of every record: as JSON lines, which are in data/ to read. Sizes there are those of
// topic, properties and payload.
static void
expect_lines(struct slice file, const char *name)
{
    struct slice lines = data_file(name);
    char *text;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    read_into(&result, file, 0);
    cr_expect_eq(result.err, OK);
    cr_expect_str_eq(result.problem, "");
    for (uint32_t i = 0; i < result.count; i++) {
        if (result.records[i].kind == JOURNAL_ENQUEUE)
            result.records[i].size -= (uint32_t)sizeof(struct msg);
        cr_assert_eq(json_write(out, &result.records[i]), OK);
    }
    fclose(out);
    cr_expect_str_eq(text, (const char *)lines.data);
    free(text);
    mem_free(unconst(lines.data));
    result_free(&result);
}

// ---- Making files -------------------------------------------------------------------------------

static struct made {
    uint8_t bytes[65536];
    uint32_t len, version, chunk; // chunk: where the present one's length is
} made;

static void
put(const void *data, size_t len)
{
    cr_assert_leq(made.len + len, sizeof made.bytes);
    memcpy(made.bytes + made.len, data, len);
    made.len += (uint32_t)len;
}

static void
be(uint64_t value, uint32_t bytes)
{
    while (bytes-- > 0)
        put((uint8_t[]){(uint8_t)(bytes < 8 ? value >> (8 * bytes) : 0)}, 1);
}

static void
le64(uint64_t value)
{
    for (uint32_t i = 0; i < 8; i++)
        put((uint8_t[]){(uint8_t)(value >> (8 * i))}, 1);
}

static void
text(const char *s)
{
    put(s, strlen(s));
}

static void
old_text(const char *s)
{
    be(strlen(s), 2);
    text(s);
}

static void
begin(uint32_t type)
{
    be(type, made.version < 5 ? 2 : 4);
    made.chunk = made.len;
    be(0, 4);
}

static void
end(void)
{
    uint32_t len = made.len, body = len - made.chunk - 4;
    made.len = made.chunk;
    be(body, 4);
    made.len = len;
}

static void
head(uint32_t version)
{
    made.len = 0;
    made.version = version;
    put("\0\xb5\0mosquitto db\0\0\0\0", 19);
    be(version, 4);
    begin(1);
    if (version < 5) {
        be(1, 1);
        be(8, 1);
        le64(99);
    } else {
        le64(99);
        be(1, 1);
        be(8, 1);
        be(0, 6);
    }
    end();
}

static void
client(const char *id, uint32_t expiry_s, uint64_t expires_s)
{
    begin(6);
    le64(expires_s);
    be(expiry_s, 4);
    be(0, 2);
    be(strlen(id), 2);
    if (made.version == 6)
        be(0, 8);
    text(id);
    end();
}

static void
message(uint64_t id, const char *topic, const char *payload, uint8_t qos, bool retain,
        const char *source)
{
    begin(2);
    le64(id);
    le64(0);
    be(strlen(payload), 4);
    be(1, 2);
    be(strlen(source), 2);
    be(0, 2);
    be(strlen(topic), 2);
    be(1883, 2);
    be(qos, 1);
    be(retain, 1);
    text(source);
    text(topic);
    text(payload);
    end();
}

static void
entry(const char *id, uint64_t message_id, uint16_t mid, uint8_t qos, uint8_t state, uint8_t out)
{
    begin(3);
    le64(message_id);
    be(mid, 2);
    be(strlen(id), 2);
    be(qos, 1);
    be(state, 1);
    be(0, 1);
    be(out, 1);
    text(id);
    end();
}

static void
sub(const char *id, const char *filter, uint8_t qos, uint32_t subscription_id, uint8_t options)
{
    begin(5);
    be(subscription_id, 4);
    be(strlen(id), 2);
    be(strlen(filter), 2);
    be(qos, 1);
    be(options, 1);
    be(0, 2);
    text(id);
    text(filter);
    end();
}

static void
retained(uint64_t message_id)
{
    begin(4);
    le64(message_id);
    end();
}

static void
read_made(void)
{
    read_into(&result, slice_of(made.bytes, made.len), 0);
}

static void
expect_made(const char *problem)
{
    expect_problem(slice_of(made.bytes, made.len), problem);
}

// The chunks of a file of version 6 as version 5 has them: clients without user and listener.
static void
as_version_5(struct slice file)
{
    head(5);
    made.len = 23;
    for (uint32_t at = 23; at < file.len;) {
        uint32_t len = (uint32_t)file.data[at + 6] << 8 | file.data[at + 7];
        const uint8_t *body = file.data + at + 8;
        begin(file.data[at + 3]);
        if (file.data[at + 3] == 6) {
            put(body, 16);
            put(body + 24, (size_t)body[14] << 8 | body[15]);
        } else {
            put(body, len);
        }
        end();
        at += 8 + len;
    }
}

// ---- What Mosquitto wrote -----------------------------------------------------------------------

Test(persist_mosquitto_db, sessions_queues_and_retained_messages_of_2_0)
{
    struct slice file = data_file("v6-queues.db");
    expect_lines(file, "v6-queues.jsonl");
    mem_free(unconst(file.data));
}

Test(persist_mosquitto_db, messages_in_flight_of_2_0)
{
    struct slice file = data_file("v6-inflight.db");
    expect_lines(file, "v6-inflight.jsonl");
    mem_free(unconst(file.data));
}

Test(persist_mosquitto_db, empty_file_of_2_0)
{
    struct slice file = data_file("v6-empty.db");
    read_into(&result, file, 0);
    cr_expect_eq(result.err, OK);
    cr_expect_eq(result.count, 0);
    mem_free(unconst(file.data));
}

Test(persist_mosquitto_db, version_5_has_no_user_names)
{
    struct slice file = data_file("v6-inflight.db");
    as_version_5(file);
    expect_lines(slice_of(made.bytes, made.len), "v6-inflight.jsonl");
    mem_free(unconst(file.data));
}

Test(persist_mosquitto_db, packet_identifiers_are_kept)
{
    struct slice file = data_file("v6-inflight.db");
    read_into(&result, file, 0);
    for (uint16_t i = 0; i < 9; i++) // two to seven in flight, three queued behind them
        cr_expect_eq(deliveries_packet_id(nth(JOURNAL_ENQUEUE, i)->seq), i + 2);
    mem_free(unconst(file.data));
}

// ---- Older versions -----------------------------------------------------------------------------

static void
old_message(uint64_t id, const char *topic, uint8_t qos, bool retain)
{
    begin(2);
    le64(id);
    old_text("cl");
    if (made.version == 4) {
        old_text("user");
        be(1883, 2);
    }
    be(3, 2);
    be(0, 2);
    old_text(topic);
    be(qos, 1);
    be(retain, 1);
    be(5, 4);
    text("hello");
    end();
}

static void
old_entry(uint64_t id, uint16_t mid, uint8_t qos, uint8_t retain, uint8_t state)
{
    begin(3);
    old_text("cl");
    le64(id);
    be(mid, 2);
    be(qos, 1);
    be(retain, 1);
    be(1, 1); // out
    be(state, 1);
    be(0, 1);
    end();
}

static void
old_file(uint32_t version)
{
    head(version);
    old_message(5, "a/b", 2, false);
    old_message(6, "keep", 1, true);
    begin(6);
    old_text("cl");
    be(7, 2);
    if (version > 2)
        le64(1700000000);
    end();
    old_entry(5, 3, 2, 0, 9);
    old_entry(6, 0, 1, 1, 11);
    begin(5);
    old_text("cl");
    old_text("a/#");
    be(2, 1);
    end();
    retained(6);
}

static void
check_old_records(void)
{
    cr_assert_eq(result.count, 8);
    const struct record *r = result.records;
    cr_expect(r[0].kind == JOURNAL_SESSION && r[0].session == 1 && is(r[0].id, "cl"));
    cr_expect(!r[0].user.data && r[0].version == MQTT_311 && r[0].sent == 3);
    cr_expect(r[0].expiry_s == MQTT_EXPIRY_NEVER && r[0].expires_ms == RECORD_NEVER);
    cr_expect(r[1].kind == JOURNAL_SUBSCRIBE && is(r[1].filter, "a/#") && r[1].qos == 2);
    cr_expect(r[2].kind == JOURNAL_MESSAGE && r[2].message == 1 && is(r[2].msg.topic, "a/b"));
    cr_expect(r[2].msg.publisher == 1 && r[2].msg.qos == 2 && is(r[2].msg.payload, "hello"));
    cr_expect(r[2].msg.arrived_ms == WALL_MS && r[2].msg.expires_ms == 0);
    cr_expect(r[3].kind == JOURNAL_ENQUEUE && r[3].seq == 2 && r[3].message == 1);
    cr_expect(r[4].kind == JOURNAL_STATE && r[4].seq == 2 && r[4].state == ENTRY_RELEASED);
    cr_expect(r[5].kind == JOURNAL_MESSAGE && r[5].msg.retain);
    cr_expect(r[6].kind == JOURNAL_ENQUEUE && r[6].seq == 3 && r[6].retain && r[6].qos == 1);
    cr_expect(r[7].kind == JOURNAL_RETAIN && r[7].order == 1 && is(r[7].msg.topic, "keep"));
}

Test(persist_mosquitto_db, versions_2_to_4)
{
    for (uint32_t version = 2; version <= 4; version++) {
        old_file(version);
        read_made();
        cr_expect_eq(result.err, OK, "%s", result.problem);
        check_old_records();
        result_free(&result);
    }
}

// ---- Packet identifiers -------------------------------------------------------------------------

static void
flights(const uint16_t *mids, uint32_t count)
{
    head(6);
    message(1, "t", "x", 1, false, "");
    client("c", MQTT_EXPIRY_NEVER, 0);
    for (uint32_t i = 0; i < count; i++)
        entry("c", 1, mids[i], 1, 3, 1);
    entry("c", 1, 0, 1, 11, 1);
    read_made();
    cr_assert_eq(result.err, OK);
    cr_assert_eq(count_of(JOURNAL_ENQUEUE), count + 1);
    cr_expect_eq(nth(JOURNAL_SESSION, 0)->sent, nth(JOURNAL_ENQUEUE, count - 1)->seq + 1);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, count)->seq, nth(JOURNAL_SESSION, 0)->sent);
}

Test(persist_mosquitto_db, packet_identifiers_wrap)
{
    flights((uint16_t[]){65534, 65535, 1, 3}, 4);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 0)->seq, 65533);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 2)->seq, 65535);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 3)->seq, 65537);
}

Test(persist_mosquitto_db, packet_identifiers_go_before_order)
{
    flights((uint16_t[]){100, 98, 101}, 3); // 100 was in flight for a whole turn
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 0)->seq, 97);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 1)->seq, 99);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 2)->seq, 100);
    result_free(&result);
    flights((uint16_t[]){2, 65535, 1, 65534, 3}, 5);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 0)->seq, 65533);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 4)->seq, 65537);
}

Test(persist_mosquitto_db, packet_identifiers_that_repeat_are_given_up)
{
    flights((uint16_t[]){7, 5, 7}, 3);
    for (uint32_t i = 0; i < 4; i++)
        cr_expect_eq(nth(JOURNAL_ENQUEUE, i)->seq, i);
}

Test(persist_mosquitto_db, not_sent_is_not_in_flight)
{
    head(6);
    message(1, "t", "x", 2, false, "");
    client("c", MQTT_EXPIRY_NEVER, 0);
    entry("c", 1, 4, 2, 4, 1); // about to be sent for the first time
    read_made();
    cr_expect_eq(nth(JOURNAL_SESSION, 0)->sent, 0);
    cr_expect_eq(nth(JOURNAL_ENQUEUE, 0)->seq, 0);
}

// ---- Received, not released ---------------------------------------------------------------------

Test(persist_mosquitto_db, incoming_messages_are_handed_on)
{
    head(6);
    message(1, "t", "old", 1, true, "");
    message(2, "t", "new", 2, true, "a");
    client("a", MQTT_EXPIRY_NEVER, 0);
    client("b", MQTT_EXPIRY_NEVER, 0);
    client("gone", 0, 0);
    entry("a", 2, 7, 2, 7, 0);
    entry("a", 2, 7, 2, 7, 0); // the same identifier again: damage that must do no harm
    sub("gone", "$share/g/t", 2, 0, 0);
    sub("a", "$share/g/t", 2, 0, 0);
    sub("b", "$share/g/t", 1, 5, 0);
    sub("a", "t", 1, 9, 0x04); // no local
    sub("b", "+", 1, 8, 0x08); // retain as published
    sub("b", "#", 2, 6, 0);
    sub("b", "other", 2, 4, 0);
    retained(1);
    read_made();
    cr_expect_eq(result.err, OK);
    cr_expect_eq(count_of(JOURNAL_RECEIVED), 1);
    cr_expect_eq(nth(JOURNAL_RECEIVED, 0)->packet_id, 7);
    cr_expect_eq(count_of(JOURNAL_ENQUEUE), 4);
    const struct record *r = nth(JOURNAL_ENQUEUE, 0);
    cr_expect(r->session == 1 && r->ordinal == 1 && r->qos == 2 && r->ids.len == 0);
    r = nth(JOURNAL_ENQUEUE, 2);
    cr_expect(r->session == 2 && r->ordinal == 0 && r->qos == 2 && r->retain && r->ids.len == 8);
    cr_expect(record_id(r, 0) == 8 && record_id(r, 1) == 6);
    cr_expect_eq(nth(JOURNAL_MESSAGE, 0)->msg.publisher, 1);
    cr_expect_eq(count_of(JOURNAL_RETAIN), 1);
    cr_expect(is(nth(JOURNAL_RETAIN, 0)->msg.payload, "new"));
}

Test(persist_mosquitto_db, incoming_empty_message_clears_what_is_retained)
{
    head(6);
    message(1, "t", "old", 1, true, "");
    message(2, "t", "", 2, true, "a");
    client("a", MQTT_EXPIRY_NEVER, 0);
    entry("a", 2, 7, 2, 7, 0);
    retained(1);
    read_made();
    cr_expect_eq(result.err, OK);
    cr_expect_eq(count_of(JOURNAL_RETAIN), 0);
}

// ---- Odd files ----------------------------------------------------------------------------------

Test(persist_mosquitto_db, session_without_interval_ended_with_its_connection)
{
    head(6);
    message(1, "t", "x", 1, false, "gone");
    client("gone", 0, 0);
    client("kept", 60, 0);
    entry("kept", 1, 0, 1, 11, 1);
    read_made();
    cr_expect_eq(count_of(JOURNAL_SESSION), 1);
    const struct record *r = nth(JOURNAL_SESSION, 0);
    cr_expect(r->session == 1 && is(r->id, "kept") && r->version == MQTT_5);
    cr_expect(r->expiry_s == 60 && r->expires_ms == WALL_MS + 60000); // connected to the end
    cr_expect_eq(nth(JOURNAL_MESSAGE, 0)->msg.publisher, 0);
}

// 2.0.11 repeats the length of the user name before, in either byte order, with whatever is there.
Test(persist_mosquitto_db, user_name_that_cannot_be_one_is_left_out)
{
    head(6);
    begin(6);
    le64(0);
    be(MQTT_EXPIRY_NEVER, 4);
    be(0, 2);
    be(1, 2);
    be(1883, 2);
    be(8, 2);
    be(0, 4);
    put("cann\0\x01\x02\x03\x04", 9);
    end();
    read_made();
    cr_expect_eq(result.err, OK);
    cr_expect_null(nth(JOURNAL_SESSION, 0)->user.data);
}

Test(persist_mosquitto_db, strays_are_left_out_and_counted)
{
    head(6);
    message(1, "t", "x", 1, false, "");
    client("c", MQTT_EXPIRY_NEVER, 0);
    client("", MQTT_EXPIRY_NEVER, 0);
    entry("c", 2, 0, 1, 11, 1);
    entry("d", 1, 0, 1, 11, 1);
    sub("d", "t", 1, 0, 0);
    retained(2);
    read_made();
    cr_expect_eq(result.err, OK);
    cr_expect_eq(result.count, 1);
    cr_expect_str_eq(result.problem,
                     "left out: 5 messages, subscriptions or sessions that refer to nothing in the "
                     "file or have no name");
}

Test(persist_mosquitto_db, unknown_chunks_are_passed_over)
{
    head(6);
    begin(77);
    text("of a later version");
    end();
    client("c", MQTT_EXPIRY_NEVER, 0);
    read_made();
    cr_expect_eq(result.err, OK);
    cr_expect_eq(result.count, 1);
}

Test(persist_mosquitto_db, chunk_beyond_the_end_is_refused)
{
    head(6);
    be(77, 4);
    be(0xffffffff, 4);
    expect_made("byte 47: a chunk of type 77 and 4294967295 bytes, but the file has 0 more");
}

Test(persist_mosquitto_db, other_files_are_refused)
{
    static const char expected[] =
        "byte 0: this is no mosquitto.db, which begins with 00 b5 00 \"mosquitto db\"";
    head(6);
    made.bytes[5] ^= 1;
    expect_made(expected);
    expect_problem(slice_str(""), expected);
    expect_problem(slice_str("{\"type\":\"session\"}"), expected);
}

Test(persist_mosquitto_db, other_versions_are_refused)
{
    head(7);
    expect_made("byte 19: format version 7, expected 2 to 6");
    head(1);
    expect_made("byte 19: format version 1, expected 2 to 6");
}

Test(persist_mosquitto_db, damage_is_told_with_its_place)
{
    head(6);
    made.bytes[40] = 4;
    expect_made("byte 23: store ids of 4 bytes, expected 8: another kind of machine");
    made.len = 23; // as 32-bit x86 writes it
    begin(1);
    be(0, 12);
    end();
    expect_made("byte 23: a configuration of 12 bytes, expected 16: another kind of machine");
    head(6);
    message(1, "t/#", "x", 1, false, "");
    expect_made("byte 47: a message whose topic is no Topic Name");
    head(6);
    message(1, "t", "x", 3, false, "");
    expect_made("byte 47: a message of QoS 3, expected 0 to 2");
    head(6);
    message(1, "t", "x", 1, false, "");
    message(1, "t", "x", 1, false, "");
    expect_made("byte 89: store id 1 is there twice");
    head(6);
    client("c", 5, UINT64_C(200000000000));
    expect_made("byte 47: a time of 200000000000 s is out of range");
    head(6);
    client("c", 5, 0);
    client("c", 5, 0);
    expect_made("byte 80: client \"c\" is there twice");
    head(6);
    client("\xff", 5, 0);
    expect_made("byte 47: a client identifier that is not UTF-8");
    head(6);
    sub("c", "a#", 1, 0, 0);
    expect_made("byte 47: a subscription whose filter is no Topic Filter");
    head(6);
    sub("c", "a", 3, 1, 0);
    expect_made("byte 47: a subscription of QoS 3 with identifier 1, expected at most 2, "
                "268435455");
    head(6);
    entry("c", 1, 1, 1, 12, 1);
    expect_made("byte 47: QoS 1, state 12, direction 1 of a message, expected at most 2, 11, 1");
    head(6);
    begin(4);
    end();
    expect_made("byte 47: a chunk of type 4 and 8 bytes is too short for its fields");
}

// A message whose chunk goes on with these bytes as its properties.
static void
with_properties(const void *bytes, size_t len)
{
    head(6);
    message(1, "t", "x", 1, false, "");
    put(bytes, len);
    end();
}

Test(persist_mosquitto_db, properties_are_checked_and_made_forwardable)
{
    with_properties("\x07\x02\0\0\0\1\x01\x01", 8); // Message Expiry Interval goes
    retained(1);
    read_made();
    cr_expect_eq(result.err, OK, "%s", result.problem);
    cr_expect(slice_equal(nth(JOURNAL_RETAIN, 0)->msg.props, slice_of("\x01\x01", 2)));
    result_free(&result);
    with_properties("\x02\x7f\x01", 3);
    expect_made("byte 90: a property that a PUBLISH does not have, or cut short");
    with_properties("\xff\xff\xff\xff\x01", 5);
    expect_made("byte 93: properties with a length that does not end");
    with_properties("\x09\x01\x01", 3);
    expect_made("byte 47: a chunk of type 2 and 45 bytes is too short for its fields");
    with_properties("\x04\x01\x01\x01\x01", 5);
    expect_made("byte 47: a message with properties that nobody may send");
}

// Never a crash, and never a file that looks whole: what is cut between two chunks has less in it.
static void
cut_everywhere(struct slice file)
{
    static struct result whole;
    read_into(&whole, file, 0);
    cr_assert_eq(whole.err, OK);
    for (uint32_t len = 0; len < file.len; len++) {
        read_into(&result, slice_of(file.data, len), 0);
        if (result.err == OK)
            cr_expect(result.count < whole.count, "cut at byte %u", len);
        else
            cr_expect_str_not_empty(result.problem);
        result_free(&result);
    }
    result_free(&whole);
}

Test(persist_mosquitto_db, cut_at_every_byte)
{
    struct slice queues = data_file("v6-queues.db"), inflight = data_file("v6-inflight.db");
    cut_everywhere(queues);
    cut_everywhere(inflight);
    mem_free(unconst(queues.data));
    mem_free(unconst(inflight.data));
    old_file(4);
    cut_everywhere(slice_of(made.bytes, made.len));
}

static void
flip_everywhere(struct slice file)
{
    uint8_t *bytes = unconst(file.data);
    for (uint32_t i = 0; i < file.len; i++) {
        for (int bit = 0; bit < 9; bit++) {
            uint8_t mask = (uint8_t)(bit < 8 ? 1u << bit : 0xff);
            bytes[i] ^= mask;
            read_into(&result, file, 0); // collect checks what comes
            cr_expect(result.err == OK || strncmp(result.problem, "byte ", 5) == 0);
            result_free(&result);
            bytes[i] ^= mask;
        }
    }
}

Test(persist_mosquitto_db, every_bit_flipped)
{
    struct slice queues = data_file("v6-queues.db"), inflight = data_file("v6-inflight.db");
    flip_everywhere(queues);
    flip_everywhere(inflight);
    mem_free(unconst(queues.data));
    mem_free(unconst(inflight.data));
    old_file(3);
    flip_everywhere(slice_of(made.bytes, made.len));
}

Test(persist_mosquitto_db, sink_that_refuses_ends_it)
{
    struct slice file = data_file("v6-queues.db");
    for (uint32_t at = 1; at <= 28; at++) {
        read_into(&result, file, at);
        cr_expect_eq(result.err, at <= 27 ? ERR_FULL : OK, "%u", at);
        cr_expect_leq(result.count, at);
        result_free(&result);
    }
    mem_free(unconst(file.data));
}
