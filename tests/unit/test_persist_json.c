// test_persist_json.c - records as JSON lines: what is written, that it reads back, what is
// refused.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/mqtt.h"
#include "persist/json.h"
#include "persist/json_props.h"
#include "persist/json_values.h"

#define BYTES(literal) slice_of(literal, sizeof(literal) - 1)

// ---- Both directions ----------------------------------------------------------------------------

// The line, new.
static char *
line_of(const struct record *record)
{
    char *text = NULL;
    size_t len;
    FILE *out = open_memstream(&text, &len);
    cr_assert_eq(json_write(out, record), OK);
    fclose(out);
    return text;
}

static uint8_t *
bytes_of(const struct record *record)
{
    uint8_t *bytes = mem_alloc(record_size(record));
    record_write(bytes, record);
    return bytes;
}

struct expected {
    const struct record *record;
    uint32_t count;
};

static err_t
expect_same(void *arg, const struct record *record)
{
    struct expected *expected = arg;
    uint8_t *bytes = bytes_of(record), *wanted = bytes_of(expected->record);
    cr_expect_eq(record_size(record), record_size(expected->record));
    cr_expect_arr_eq(bytes, wanted, record_size(expected->record));
    mem_free(bytes);
    mem_free(wanted);
    expected->count++;
    return OK;
}

static err_t
read_text(const char *text, size_t len, record_sink sink, void *arg, char *problem)
{
    FILE *in = fmemopen(unconst(text), len, "rb");
    cr_assert_not_null(in);
    err_t err = json_read(in, sink, arg, problem);
    fclose(in);
    return err;
}

// Reads back as the same bytes, and is one line, this one.
static void
round_trip_as(const struct record *record, const char *line)
{
    char problem[JSON_PROBLEM_MAX];
    char *text = line_of(record);
    struct expected expected = {.record = record};
    cr_expect_eq(read_text(text, strlen(text), expect_same, &expected, problem), OK, "%s: %s",
                 problem, text);
    cr_expect_eq(expected.count, 1);
    cr_expect_eq(strchr(text, '\n'), text + strlen(text) - 1);
    text[strlen(text) - 1] = '\0';
    if (line)
        cr_expect_str_eq(text, line);
    free(text);
}

static void
round_trip(const struct record *record)
{
    round_trip_as(record, NULL);
}

static err_t
accept(void *arg, const struct record *record)
{
    (void)record;
    ++*(uint32_t *)arg;
    return OK;
}

static void
refuse(const char *text, const char *problem)
{
    char found[JSON_PROBLEM_MAX];
    uint32_t count = 0;
    cr_expect_eq(read_text(text, strlen(text), accept, &count, found), ERR_MALFORMED, "%s", text);
    cr_expect_str_eq(found, problem);
}

// ---- Every kind ---------------------------------------------------------------------------------

Test(persist_json, session)
{
    struct record r = {
        .kind = JOURNAL_SESSION,
        .session = 12,
        .id = BYTES("lamp"),
        .version = MQTT_311,
        .expiry_s = MQTT_EXPIRY_NEVER,
        .expires_ms = RECORD_NEVER,
        .sent = 3,
    };
    round_trip_as(&r, "{\"type\":\"session\",\"session\":12,\"client_id\":\"lamp\",\"user\":null,"
                      "\"version\":4,\"connected\":false,\"expiry_s\":\"never\","
                      "\"expires\":\"never\",\"sent\":3,\"will\":null}");
    r.user = BYTES("");
    r.connected = true;
    r.expiry_s = 0xfffffffe;
    r.expires_ms = 0;
    r.version = MQTT_31;
    round_trip_as(&r, "{\"type\":\"session\",\"session\":12,\"client_id\":\"lamp\",\"user\":\"\","
                      "\"version\":3,\"connected\":true,\"expiry_s\":4294967294,"
                      "\"expires\":null,\"sent\":3,\"will\":null}");
    r.user = BYTES("\"\\/\x01\xc3\xa9\xf0\x9f\x98\x80");
    r.expires_ms = 1;
    r.session = r.sent = UINT64_MAX;
    round_trip(&r);
    r.expires_ms = RECORD_NEVER - 1;
    r.claim = UINT64_MAX;
    round_trip(&r);
    r = (struct record){.kind = JOURNAL_SESSION, .id = BYTES("c"), .version = 4, .claim = 9};
    round_trip_as(&r, "{\"type\":\"session\",\"session\":0,\"client_id\":\"c\",\"user\":null,"
                      "\"version\":4,\"connected\":false,\"expiry_s\":0,\"expires\":null,"
                      "\"sent\":0,\"will\":null,\"claim\":9}");
}

Test(persist_json, session_with_will)
{
    struct record r = {
        .kind = JOURNAL_SESSION,
        .session = 1,
        .id = BYTES("c"),
        .version = MQTT_5,
        .expiry_s = 60,
        .expires_ms = 1790000000123,
        .has_will = true,
        .will_delay_s = 5,
        .will_due_ms = 1790000000000,
        .msg = {.expires_ms = 1000,
                .arrived_ms = 1780000000001,
                .publisher = 1,
                .qos = 2,
                .retain = true,
                .topic = BYTES("gone/c"),
                .payload = BYTES("bye")},
    };
    round_trip_as(&r, "{\"type\":\"session\",\"session\":1,\"client_id\":\"c\",\"user\":null,"
                      "\"version\":5,\"connected\":false,\"expiry_s\":60,"
                      "\"expires\":\"2026-09-21T14:13:20.123Z\",\"sent\":0,"
                      "\"will\":{\"delay_s\":5,\"due\":\"2026-09-21T14:13:20.000Z\","
                      "\"expiry_ms\":1000,\"topic\":\"gone/c\",\"qos\":2,\"retain\":true,"
                      "\"publisher\":1,\"arrived\":\"2026-05-28T20:26:40.001Z\","
                      "\"payload\":\"bye\"}}");
    r.will_due_ms = 0;
    r.msg.expires_ms = 0;
    r.msg.payload = BYTES("\xff");
    r.msg.props = BYTES("\x01\x01");
    round_trip(&r);
}

Test(persist_json, subscription)
{
    struct record r = {
        .kind = JOURNAL_SUBSCRIBE,
        .session = 12,
        .ordinal = 1,
        .filter = BYTES("a/+/#"),
        .qos = 2,
        .no_local = true,
        .subscription_id = 7,
    };
    round_trip_as(&r, "{\"type\":\"subscription\",\"session\":12,\"ordinal\":1,"
                      "\"filter\":\"a/+/#\",\"group\":null,\"qos\":2,\"no_local\":true,"
                      "\"retain_as_published\":false,\"subscription_id\":7}");
    r.group = BYTES("workers");
    r.ordinal = UINT32_MAX;
    r.retain_as_published = true;
    r.subscription_id = 268435455;
    r.qos = 0;
    round_trip(&r);
}

static struct record
message(struct slice props, struct slice payload)
{
    return (struct record){
        .kind = JOURNAL_MESSAGE,
        .message = 9,
        .msg = {.arrived_ms = 0, .qos = 1, .topic = BYTES("t"), .props = props, .payload = payload},
    };
}

#define MESSAGE_HEAD                                                                  \
    "{\"type\":\"message\",\"message\":9,\"topic\":\"t\",\"qos\":1,\"retain\":false," \
    "\"publisher\":0,\"arrived\":\"1970-01-01T00:00:00.000Z\",\"expires\":\"never\","

Test(persist_json, payloads)
{
    struct slice none = {0};
    struct record r = message(none, BYTES("h\xc3\xa9llo \"\t\r\n"));
    round_trip_as(&r, MESSAGE_HEAD "\"payload\":\"h\xc3\xa9llo \\\"\\t\\r\\n\"}");
    r = message(none, none);
    round_trip_as(&r, MESSAGE_HEAD "\"payload\":\"\"}");
    r = message(none, BYTES("\0"));
    round_trip_as(&r, MESSAGE_HEAD "\"payload_base64\":\"AA==\"}");
    const struct slice odd[] = {
        BYTES("\x01"),
        BYTES("\x7f"),
        BYTES("\xc2\x80"),
        BYTES("\xc2\x9f"),
        BYTES("\xed\xa0\x80"),
        BYTES("ab\x80"),
        BYTES("a\x1b["),
        BYTES("\xc2"),
        BYTES("\xc2\xa0"),
        BYTES("\xef\xbb\xbf"),
        BYTES("\xff\xff\xff\xff\xff"),
    };
    for (unsigned i = 0; i < ARRAY_LEN(odd); i++) {
        r = message(none, odd[i]);
        char *line = line_of(&r);
        bool text = i == 8 || i == 9; // a no-break space, a byte order mark
        cr_expect_eq(strstr(line, "payload_base64") == NULL, text, "%s", line);
        free(line);
        round_trip(&r);
    }
}

Test(persist_json, message_that_expires)
{
    struct record r = message((struct slice){0}, BYTES("x"));
    r.message = UINT64_C(1) << 63;
    r.msg.expires_ms = 253402300799999;
    r.msg.arrived_ms = 253402300800000; // the year 10000: a number
    r.msg.publisher = 77;
    r.msg.retain = true;
    r.msg.qos = 0;
    round_trip_as(&r, "{\"type\":\"message\",\"message\":\"9223372036854775808\",\"topic\":\"t\","
                      "\"qos\":0,\"retain\":true,\"publisher\":77,\"arrived\":253402300800000,"
                      "\"expires\":\"9999-12-31T23:59:59.999Z\",\"payload\":\"x\"}");
    r.msg.expires_ms = 1;
    round_trip(&r);
    r.msg.expires_ms = UINT64_MAX;
    round_trip(&r);
}

Test(persist_json, properties_keep_the_order_of_the_packet)
{
    struct slice x = BYTES("x");
    struct record r = message(BYTES("\x01\x01\x03\0\x04text\x08\0\x01r\x09\0\x02\0\xff"
                                    "\x26\0\x01k\0\x01v\x26\0\x01k\0\0"),
                              x);
    round_trip_as(&r, MESSAGE_HEAD
                  "\"properties\":{\"payload_format\":1,\"content_type\":\"text\","
                  "\"response_topic\":\"r\",\"correlation_data_base64\":\"AP8=\","
                  "\"user_properties\":[[\"k\",\"v\"],[\"k\",\"\"]]},\"payload\":\"x\"}");
    r = message(BYTES("\x26\0\0\0\0\x01\0"), x);
    round_trip_as(&r, MESSAGE_HEAD
                  "\"properties\":{\"user_properties\":[[\"\",\"\"]],\"payload_format\":0},"
                  "\"payload\":\"x\"}");
    // User properties with something in between have no order in an object.
    r = message(BYTES("\x26\0\0\0\0\x01\0\x26\0\0\0\0"), x);
    round_trip_as(&r, MESSAGE_HEAD "\"props_base64\":\"JgAAAAABACYAAAAA\",\"payload\":\"x\"}");
}

Test(persist_json, queue)
{
    struct record r = {
        .kind = JOURNAL_ENQUEUE,
        .session = 12,
        .seq = 1000000,
        .message = 9,
        .size = 100,
        .qos = 1,
        .ids = BYTES("\x01\0\0\0\xff\xff\xff\x0f"),
    };
    round_trip_as(&r, "{\"type\":\"queued\",\"session\":12,\"seq\":1000000,\"message\":9,"
                      "\"size\":100,\"qos\":1,\"retain\":false,\"shared_ordinal\":0,"
                      "\"subscription_ids\":[1,268435455]}");
    r.ids = (struct slice){0};
    r.ordinal = 3;
    r.retain = true;
    r.size = UINT32_MAX;
    round_trip(&r);
}

Test(persist_json, states)
{
    struct record r = {.kind = JOURNAL_STATE, .session = 1, .seq = 5, .state = ENTRY_RELEASED};
    round_trip_as(&r, "{\"type\":\"state\",\"session\":1,\"seq\":5,\"state\":\"released\"}");
    r.state = ENTRY_DONE;
    round_trip(&r);
    r = (struct record){.kind = JOURNAL_RECEIVED, .session = 1, .packet_id = 65535};
    round_trip_as(&r, "{\"type\":\"received\",\"session\":1,\"packet_id\":65535}");
    r.kind = JOURNAL_RELEASED;
    round_trip_as(&r, "{\"type\":\"released\",\"session\":1,\"packet_id\":65535}");
}

Test(persist_json, retained)
{
    struct record r = message((struct slice){0}, BYTES("on"));
    r.kind = JOURNAL_RETAIN;
    r.message = 0;
    r.order = 4;
    r.msg.retain = true;
    round_trip_as(&r, "{\"type\":\"retained\",\"order\":4,\"topic\":\"t\",\"qos\":1,"
                      "\"retain\":true,\"publisher\":0,\"arrived\":\"1970-01-01T00:00:00.000Z\","
                      "\"expires\":\"never\",\"payload\":\"on\"}");
    r.id = BYTES("lamp");
    r.port = 1883;
    round_trip_as(&r, "{\"type\":\"retained\",\"order\":4,\"topic\":\"t\",\"qos\":1,"
                      "\"retain\":true,\"publisher\":0,\"arrived\":\"1970-01-01T00:00:00.000Z\","
                      "\"expires\":\"never\",\"payload\":\"on\","
                      "\"source\":{\"client_id\":\"lamp\",\"user\":null,\"port\":1883}}");
    r.user = BYTES("u");
    round_trip(&r);
    r.id = r.user = (struct slice){0};
    r.port = 0;
    r.stamp = (struct stamp){.at = 7, .node = "sixteen bytes..."};
    round_trip_as(&r, "{\"type\":\"retained\",\"order\":4,\"topic\":\"t\",\"qos\":1,"
                      "\"retain\":true,\"publisher\":0,\"arrived\":\"1970-01-01T00:00:00.000Z\","
                      "\"expires\":\"never\",\"payload\":\"on\","
                      "\"stamp\":{\"at\":7,\"node_base64\":\"c2l4dGVlbiBieXRlcy4uLg==\"}}");
    r.stamp.at = UINT64_MAX;
    r.id = BYTES("lamp");
    round_trip(&r);
    r = (struct record){.kind = JOURNAL_RETAIN_CLEAR, .order = 5, .msg.topic = BYTES("$x/y")};
    round_trip_as(&r, "{\"type\":\"retain_clear\",\"order\":5,\"topic\":\"$x/y\"}");
}

Test(persist_json, settings)
{
    struct record r = {.kind = JOURNAL_SETTING,
                       .order = 5,
                       .msg = {.topic = BYTES("dynsec/role/r"), .payload = BYTES("{\"a\":1}")}};
    round_trip_as(&r, "{\"type\":\"setting\",\"order\":5,\"name\":\"dynsec/role/r\","
                      "\"payload\":\"{\\\"a\\\":1}\"}");
    r.msg.payload = BYTES("");
    round_trip(&r);
}

Test(persist_json, ends)
{
    struct record r = {.kind = JOURNAL_SESSION_END, .session = 3};
    round_trip_as(&r, "{\"type\":\"session_end\",\"session\":3}");
    r = (struct record){.kind = JOURNAL_UNSUBSCRIBE, .session = 3, .ordinal = 2};
    round_trip_as(&r, "{\"type\":\"unsubscribe\",\"session\":3,\"ordinal\":2}");
}

Test(persist_json, large_payload)
{
    uint32_t len = 3000001;
    uint8_t *payload = mem_alloc(len);
    for (uint32_t i = 0; i < len; i++)
        payload[i] = (uint8_t)(i * 7 + i / 256);
    struct record r = message((struct slice){0}, slice_of(payload, len));
    round_trip(&r);
    memset(payload, 'a', len);
    round_trip(&r);
    mem_free(payload);
}

Test(persist_json, text_that_is_no_utf8_is_not_written)
{
    struct record r = {.kind = JOURNAL_RETAIN_CLEAR, .order = 5, .msg.topic = BYTES("\xff")};
    FILE *out = fopen("/dev/null", "w");
    cr_expect_eq(json_write(out, &r), ERR_MALFORMED);
    fclose(out);
}

Test(persist_json, full_disk_is_an_error)
{
    struct record r = {.kind = JOURNAL_SESSION_END, .session = 3};
    FILE *out = fopen("/dev/full", "w");
    cr_assert_not_null(out);
    setbuf(out, NULL);
    cr_expect_eq(json_write(out, &r), ERR_IO);
    fclose(out);
}

// ---- What people write --------------------------------------------------------------------------

#define END_3    "{\"type\":\"session_end\",\"session\":3}"
#define RELEASED "{\"type\":\"released\",\"session\":1,\"packet_id\":"

static uint32_t
read_count(const char *text)
{
    char problem[JSON_PROBLEM_MAX];
    uint32_t count = 0;
    cr_expect_eq(read_text(text, strlen(text), accept, &count, problem), OK, "%s", problem);
    cr_expect_str_eq(problem, "");
    return count;
}

Test(persist_json, blanks_order_and_line_ends_are_free)
{
    cr_expect_eq(read_count("\n \t\r\n"), 0);
    cr_expect_eq(read_count(END_3), 1);
    cr_expect_eq(read_count(END_3 "\r\n\n" END_3 "\n"), 2);
    cr_expect_eq(read_count(" { \"session\" : 3 , \"type\" : \"session\\u005fend\" } \n"), 1);
    cr_expect_eq(read_count("{\"type\":\"retained\",\"order\":4,\"topic\":\"t\",\"qos\":1,"
                            "\"retain\":true,\"publisher\":0,\"arrived\":1700000000000,"
                            "\"expires\":1700000000001,\"payload\":\"\\u00e9\"}"),
                 1);
}

Test(persist_json, nothing_is_nothing)
{
    char problem[JSON_PROBLEM_MAX];
    FILE *in = fopen("/dev/null", "r");
    cr_expect_eq(json_read(in, accept, NULL, problem), OK);
    fclose(in);
}

static err_t
refusing_sink(void *arg, const struct record *record)
{
    (void)arg;
    return record->packet_id == 2 ? ERR_FULL : OK;
}

Test(persist_json, sink_that_refuses_ends_it)
{
    char problem[JSON_PROBLEM_MAX];
    const char *text = RELEASED "1}\n" RELEASED "2}\n" RELEASED "0}\n";
    cr_expect_eq(read_text(text, strlen(text), refusing_sink, NULL, problem), ERR_FULL);
    cr_expect_str_eq(problem, "line 2: not taken: a limit was reached");
}

Test(persist_json, broken_lines_are_told_by_number)
{
    refuse(END_3 "\n{", "line 2: no JSON: string or '}' expected near end of file (byte 1)");
    refuse("[]", "line 1: a list, expected an object");
    refuse("\n\n7\n", "line 3: no JSON: '[' or '{' expected near '7' (byte 1)");
    refuse("{}", "line 1: no \"type\", expected \"session\", \"subscription\", \"message\", ...");
    refuse("{\"type\":\"sesion\"}",
           "line 1: \"type\" is \"sesion\", expected session, subscription, message, queued, "
           "state, received, retained, setting");
    refuse("{\"type\":\"session_end\",\"session\":3,\"session\":3}",
           "line 1: no JSON: duplicate object key near '\"session\"' (byte 43)");
    refuse("{\"type\":\"session_end\",\"session\":3} x",
           "line 1: no JSON: end of file expected near 'x' (byte 36)");
    refuse("{\"type\":\"retain_clear\",\"order\":1,\"topic\":\"\xff\"}",
           "line 1: no JSON: unable to decode byte 0xff near '\"' (byte 42)");
    refuse("{\"type\":\"retain_clear\",\"order\":1,\"topic\":\"a\\u0000\"}",
           "line 1: no JSON: \\u0000 is not allowed without JSON_ALLOW_NUL near '\"a\\u0000\"' "
           "(byte 50)");
}

Test(persist_json, fields_are_all_known_and_all_there)
{
    refuse("{\"type\":\"session_end\"}",
           "line 1: no \"session\", expected it in a line of this type");
    refuse("{\"type\":\"session_end\",\"session\":3,\"sesion\":4}",
           "line 1: \"sesion\" is not known in a line of type \"session_end\"");
    refuse("{\"type\":\"session_end\",\"session\":3,\"payload\":\"\"}",
           "line 1: \"will, claim, source, stamp, properties or payload\" is not known in a line "
           "of type "
           "\"session_end\"");
}

#define SESSION                                                                            \
    "{\"type\":\"session\",\"session\":1,\"client_id\":\"c\",\"user\":null,\"version\":4," \
    "\"connected\":false,\"expiry_s\":0,\"expires\":null,\"sent\":0,\"will\":null,"
#define STAMPED                                                                                   \
    "{\"type\":\"retained\",\"order\":4,\"topic\":\"t\",\"qos\":1,\"retain\":true,\"publisher\":" \
    "0,"                                                                                          \
    "\"arrived\":1,\"expires\":\"never\",\"payload\":\"\",\"stamp\":"
#define BAD_STAMP "line 1: \"stamp\": expected {\"at\":a number above 0,\"node_base64\":16 bytes}"

Test(persist_json, what_nodes_compare_is_whole)
{
    refuse(SESSION "\"claim\":0}", "line 1: \"claim\" is a number, expected a number above 0");
    refuse(SESSION "\"claim\":null}", "line 1: \"claim\" is null, expected a number above 0");
    refuse(STAMPED "7}", BAD_STAMP);
    refuse(STAMPED "{\"at\":1}}", BAD_STAMP);
    refuse(STAMPED "{\"at\":0,\"node_base64\":\"c2l4dGVlbiBieXRlcy4uLg==\"}}", BAD_STAMP);
    refuse(STAMPED "{\"at\":1,\"node_base64\":\"c2l4dGVlbiBieXRlcy4u\"}}", BAD_STAMP);
    refuse(STAMPED "{\"at\":1,\"node_base64\":\"*\"}}", BAD_STAMP);
    refuse(STAMPED "{\"at\":1,\"node_base64\":\"c2l4dGVlbiBieXRlcy4uLg==\",\"x\":1}}", BAD_STAMP);
}

Test(persist_json, numbers_are_in_range)
{
    refuse(RELEASED "0}", "line 1: \"packet_id\" is 0, expected 1 to 65535");
    refuse(RELEASED "65536}", "line 1: \"packet_id\" is 65536, expected 1 to 65535");
    refuse(RELEASED "-1}", "line 1: \"packet_id\" is -1, expected 1 to 65535");
    refuse(RELEASED "1.0}", "line 1: \"packet_id\" is a fraction, expected 1 to 65535");
    refuse(RELEASED "\"1\"}", "line 1: \"packet_id\" is \"1\", expected 1 to 65535");
    refuse(RELEASED "null}", "line 1: \"packet_id\" is null, expected 1 to 65535");
    refuse("{\"type\":\"session_end\",\"session\":\"18446744073709551616\"}",
           "line 1: \"session\" is \"18446744073709551616\", expected 0 to 18446744073709551615");
    refuse("{\"type\":\"state\",\"session\":1,\"seq\":1,\"state\":\"sent\"}",
           "line 1: \"state\" is \"sent\", expected \"released\" or \"done\"");
}

#define SUB(filter, group, no_local)                                            \
    "{\"type\":\"subscription\",\"session\":1,\"ordinal\":1,\"filter\":" filter \
    ",\"group\":" group ",\"qos\":1,\"no_local\":" no_local                     \
    ",\"retain_as_published\":false,\"subscription_id\":0}"

Test(persist_json, texts_are_what_they_are_for)
{
    cr_expect_eq(read_count(SUB("\"a\"", "null", "true")), 1);
    refuse(SUB("\"a#\"", "null", "true"), "line 1: \"filter\" is \"a#\", expected a Topic Filter");
    refuse(SUB("7", "null", "true"), "line 1: \"filter\" is 7, expected a Topic Filter");
    refuse(SUB("\"a\"", "\"\"", "true"),
           "line 1: \"group\" is \"\", expected a share name or null");
    refuse(SUB("\"a\"", "\"a/b\"", "true"),
           "line 1: \"group\" is \"a/b\", expected a share name or null");
    refuse(SUB("\"a\"", "null", "1"), "line 1: \"no_local\" is 1, expected true or false");
    refuse("{\"type\":\"retain_clear\",\"order\":5,\"topic\":\"a/+\"}",
           "line 1: \"topic\" is \"a/+\", expected a Topic Name");
}

#define MSG(expires, rest)                                                            \
    "{\"type\":\"message\",\"message\":9,\"topic\":\"t\",\"qos\":1,\"retain\":false," \
    "\"publisher\":0,\"arrived\":0,\"expires\":" expires "," rest "}"
#define PROPS(object) MSG("\"never\"", "\"payload\":\"\",\"properties\":" object)

Test(persist_json, times_are_exact)
{
    static const char expected[] = "expected a time such as 2026-01-31T12:00:00.000Z or \"never\"";
    static const char *const bad[] = {
        "2026-01-31T12:00:00Z",     "2026-01-31 12:00:00.000Z", "2026-02-29T12:00:00.000Z",
        "2026-01-31T24:00:00.000Z", "2026-01-31T12:00:60.000Z", "1969-12-31T23:59:59.999Z",
        "2026-01-31T12:00:00.00xZ", "2026-01-31T12:00:00.000z", "now",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char line[512], problem[256];
        snprintf(line, sizeof line, MSG("\"%s\"", "\"payload\":\"\""), bad[i]);
        snprintf(problem, sizeof problem, "line 1: \"expires\" is \"%s\", %s", bad[i], expected);
        refuse(line, problem);
    }
    refuse(MSG("0", "\"payload\":\"\""),
           "line 1: \"expires\" is 0, expected a time such as 2026-01-31T12:00:00.000Z or "
           "\"never\"");
}

Test(persist_json, payload_has_one_form)
{
    refuse(MSG("\"never\"", "\"payload\":\"\",\"payload_base64\":\"\""),
           "line 1: both \"payload\" and \"payload_base64\", expected one of them");
    refuse(MSG("\"never\"", "\"properties\":{}"),
           "line 1: no \"payload\" and no \"payload_base64\", expected one of them");
    refuse(MSG("\"never\"", "\"payload\":[]"), "line 1: \"payload\" is a list, expected a text");
    static const char *const bad[] = {
        "A", "AA", "AAA", "AB==", "AAB=", "A===", "====", "AA==AA==", "AA=A", "AA =", "AAA-"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char line[512];
        snprintf(line, sizeof line, MSG("\"never\"", "\"payload_base64\":\"%s\""), bad[i]);
        refuse(line, "line 1: \"payload_base64\" is no base64");
    }
}

Test(persist_json, properties_are_such_that_a_publisher_could_send_them)
{
    cr_expect_eq(read_count(PROPS("{}")), 1);
    refuse(PROPS("[]"), "line 1: \"properties\" is a list, expected an object");
    refuse(PROPS("{\"payload_format\":2}"),
           "line 1: \"properties\": \"payload_format\": expected 0 or 1");
    refuse(PROPS("{\"response_topic\":\"#\"}"),
           "line 1: \"properties\": a response_topic or text that no publisher could have sent");
    refuse(PROPS("{\"user_properties\":[[\"a\"]]}"),
           "line 1: \"properties\": \"user_properties\": expected a list of [\"name\",\"value\"]");
    refuse(PROPS("{\"correlation_data_base64\":\"-\"}"),
           "line 1: \"properties\": \"correlation_data_base64\": expected base64 of up to 65535 "
           "bytes");
    refuse(PROPS("{\"content_type\":1}"),
           "line 1: \"properties\": \"content_type\" and \"response_topic\": expected text of up "
           "to 65535 bytes");
    refuse(PROPS("{\"expiry\":1}"),
           "line 1: \"properties\": a property that is not known, expected payload_format, "
           "content_type, response_topic, correlation_data_base64, user_properties");
    refuse(MSG("\"never\"", "\"payload\":\"\",\"props_base64\":\"AgAAAAE=\""),
           "line 1: \"props_base64\" holds no properties that a message can have");
    refuse(MSG("\"never\"", "\"payload\":\"\",\"props_base64\":\"AQEBAQ==\""),
           "line 1: \"props_base64\" holds no properties that a message can have");
}

Test(persist_json, nesting_has_a_limit)
{
    size_t depth = 1000000;
    char *text = mem_alloc(depth + 1);
    memset(text, '[', depth);
    text[depth] = '\0';
    char problem[JSON_PROBLEM_MAX];
    cr_expect_eq(read_text(text, depth, accept, NULL, problem), ERR_MALFORMED);
    mem_free(text);
}

// ---- Parts --------------------------------------------------------------------------------------

Test(persist_json, base64_of_all_lengths)
{
    uint8_t bytes[256], back[256];
    char text[512];
    for (unsigned i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i * 37);
    for (uint32_t len = 0; len < sizeof bytes; len++) {
        uint32_t back_len;
        base64_write(text, slice_of(bytes, len));
        cr_assert(base64_read(slice_of(text, base64_size(len)), back, &back_len));
        cr_assert_eq(back_len, len);
        cr_assert_arr_eq(back, bytes, len);
    }
}

Test(persist_json, times_both_ways)
{
    char text[TIME_TEXT_LEN + 1];
    for (uint64_t ms = 0; ms < UINT64_C(253402300800000); ms += UINT64_C(7777777777)) {
        uint64_t back;
        cr_assert(time_text(ms, text));
        cr_assert(time_parse(slice_str(text), &back));
        cr_assert_eq(back, ms);
    }
    cr_expect(!time_text(UINT64_C(253402300800000), text));
    cr_assert(time_text(UINT64_C(951782400000), text));
    cr_expect_str_eq(text, "2000-02-29T00:00:00.000Z");
}

Test(persist_json, forwarded_properties_leave_out_what_was_for_the_broker)
{
    uint8_t dst[64];
    uint32_t len;
    struct slice raw = BYTES("\x02\0\0\0\1\x01\x01\x23\0\x05\x0b\xff\x7f\x26\0\0\0\x01v");
    cr_assert_eq(msg_props_forward(raw, dst, &len), OK);
    cr_expect(slice_equal(slice_of(dst, len), BYTES("\x01\x01\x26\0\0\0\x01v")));
    for (uint32_t cut = 1; cut < raw.len; cut++) { // an end between two is none
        err_t err = msg_props_forward(slice_of(raw.data, cut), dst, &len);
        cr_expect_eq(err == OK, cut == 5 || cut == 7 || cut == 10 || cut == 13, "%u", cut);
    }
    cr_expect(!msg_props_valid(BYTES("\x01\x02")));
    cr_expect(!msg_props_valid(BYTES("\x0b\x01")));
    cr_expect(!msg_props_valid(BYTES("\x03\0\x01\xff")));
    cr_expect(!msg_props_valid(BYTES("\x11\0\0\0\0")));
    cr_expect(msg_props_valid(BYTES("")));
}
