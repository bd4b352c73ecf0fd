// test_record.c - every kind of journal record: there and back, cut short, with wrong values.
#include <criterion/criterion.h>

#include "core/base/mem.h"

#include "core/mqtt.h"
#include "core/record.h"

static const uint32_t ids[] = {1, 0x01020304, 268435455};

static const struct record samples[] = {
    {.kind = JOURNAL_SESSION,
     .session = 7,
     .version = MQTT_5,
     .connected = true,
     .expiry_s = MQTT_EXPIRY_NEVER,
     .sent = UINT64_MAX - 1,
     .id = {(const uint8_t *)"client", 6}},
    {.kind = JOURNAL_SESSION,
     .session = UINT64_MAX,
     .version = MQTT_31,
     .expiry_s = 1,
     .expires_ms = RECORD_NEVER,
     .id = {(const uint8_t *)"c", 1},
     .user = {(const uint8_t *)"", 0}, // a user name of length 0 is not none
     .has_will = true,
     .will_delay_s = 9,
     .will_due_ms = 12345,
     .msg = {.expires_ms = 5,
             .qos = 2,
             .retain = true,
             .topic = {(const uint8_t *)"w", 1},
             .props = {(const uint8_t *)"\1\1", 2},
             .payload = {(const uint8_t *)"gone", 4}}},
    {.kind = JOURNAL_SESSION_END, .session = 7},
    {.kind = JOURNAL_SUBSCRIBE,
     .session = 7,
     .ordinal = 1,
     .qos = 2,
     .no_local = true,
     .subscription_id = 268435455,
     .filter = {(const uint8_t *)"a/#", 3}},
    {.kind = JOURNAL_SUBSCRIBE,
     .session = 7,
     .ordinal = UINT32_MAX,
     .retain_as_published = true,
     .filter = {(const uint8_t *)"+", 1},
     .group = {(const uint8_t *)"g", 1}},
    {.kind = JOURNAL_UNSUBSCRIBE, .session = 7, .ordinal = 3},
    {.kind = JOURNAL_MESSAGE,
     .message = 99,
     .msg = {.expires_ms = 1,
             .arrived_ms = 2,
             .publisher = 3,
             .qos = 1,
             .topic = {(const uint8_t *)"t", 1},
             .payload = {(const uint8_t *)"\0\0", 2}}},
    {.kind = JOURNAL_ENQUEUE, .session = 7, .seq = 65535, .message = 99, .size = 100, .qos = 1},
    {.kind = JOURNAL_ENQUEUE,
     .session = 7,
     .seq = 65536,
     .message = 99,
     .qos = 2,
     .retain = true,
     .ordinal = 4,
     .ids = {(const uint8_t *)ids, sizeof ids}},
    {.kind = JOURNAL_STATE, .session = 7, .seq = 1, .state = ENTRY_RELEASED},
    {.kind = JOURNAL_STATE, .session = 7, .seq = 1, .state = ENTRY_DONE},
    {.kind = JOURNAL_RECEIVED, .session = 7, .packet_id = 65535},
    {.kind = JOURNAL_RELEASED, .session = 7, .packet_id = 1},
    {.kind = JOURNAL_RETAIN,
     .order = 11,
     .msg = {.retain = true,
             .topic = {(const uint8_t *)"r", 1},
             .payload = {(const uint8_t *)"v", 1}}},
    {.kind = JOURNAL_RETAIN_CLEAR, .order = 12, .msg = {.topic = {(const uint8_t *)"r", 1}}},
    {.kind = JOURNAL_RETAIN,
     .order = 13,
     .port = 1883,
     .id = {(const uint8_t *)"lamp", 4},
     .user = {(const uint8_t *)"", 0},
     .msg = {.topic = {(const uint8_t *)"r", 1}, .payload = {(const uint8_t *)"v", 1}}},
    {.kind = JOURNAL_RETAIN,
     .order = 14,
     .id = {(const uint8_t *)"c", 1},
     .msg = {.topic = {(const uint8_t *)"r", 1}, .payload = {(const uint8_t *)"v", 1}}},
    {.kind = JOURNAL_SETTING,
     .order = 13,
     .msg = {.topic = {(const uint8_t *)"a/b", 3}, .payload = {(const uint8_t *)"{}", 2}}},
    {.kind = JOURNAL_SETTING, .order = 14, .msg = {.topic = {(const uint8_t *)"a/b", 3}}},
    {.kind = JOURNAL_SESSION,
     .session = 8,
     .version = MQTT_311,
     .claim = UINT64_C(0x0102030405060708),
     .id = {(const uint8_t *)"claims", 6}},
};

static struct slice
encode(const struct record *record)
{
    uint32_t size = record_size(record);
    uint8_t *bytes = mem_alloc(size);
    cr_assert_eq(record_write(bytes, record), bytes + size);
    return slice_of(bytes, size);
}

static bool
same_msg(const struct record_msg *a, const struct record_msg *b)
{
    return a->expires_ms == b->expires_ms && a->arrived_ms == b->arrived_ms &&
           a->publisher == b->publisher && a->qos == b->qos && a->retain == b->retain &&
           slice_equal(a->topic, b->topic) && slice_equal(a->props, b->props) &&
           slice_equal(a->payload, b->payload);
}

static bool
same(const struct record *a, const struct record *b)
{
    return a->kind == b->kind && a->session == b->session && a->seq == b->seq &&
           a->message == b->message && a->order == b->order && same_msg(&a->msg, &b->msg) &&
           slice_equal(a->id, b->id) && slice_equal(a->user, b->user) &&
           !a->user.data == !b->user.data && a->version == b->version &&
           a->connected == b->connected && a->has_will == b->has_will &&
           a->expiry_s == b->expiry_s && a->expires_ms == b->expires_ms && a->sent == b->sent &&
           a->will_delay_s == b->will_delay_s && a->will_due_ms == b->will_due_ms &&
           a->ordinal == b->ordinal && slice_equal(a->filter, b->filter) &&
           slice_equal(a->group, b->group) && a->qos == b->qos && a->no_local == b->no_local &&
           a->retain_as_published == b->retain_as_published &&
           a->subscription_id == b->subscription_id && a->retain == b->retain &&
           a->size == b->size && slice_equal(a->ids, b->ids) && a->state == b->state &&
           a->packet_id == b->packet_id && a->port == b->port && a->claim == b->claim;
}

Test(record, there_and_back)
{
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        struct slice bytes = encode(&samples[i]);
        struct record back;
        uint32_t len = 0;
        cr_assert_eq(record_read(bytes, &back, &len), OK, "sample %u", i);
        cr_assert_eq(len, bytes.len);
        cr_assert(same(&samples[i], &back), "sample %u", i);
        mem_free(unconst(bytes.data));
    }
}

Test(record, one_after_the_other)
{
    uint8_t bytes[200];
    const uint8_t *end = record_write(record_write(bytes, &samples[2]), &samples[5]);
    struct slice rest = slice_of(bytes, (size_t)(end - bytes));
    struct record record;
    uint32_t len;
    cr_assert_eq(record_read(rest, &record, &len), OK);
    cr_assert_eq(record.kind, JOURNAL_SESSION_END);
    rest = slice_of(rest.data + len, rest.len - len);
    cr_assert_eq(record_read(rest, &record, &len), OK);
    cr_assert_eq(record.ordinal, 3);
    rest = slice_of(rest.data + len, rest.len - len);
    cr_assert_eq(record_read(rest, &record, &len), ERR_NEED_MORE);
}

Test(record, cut_short_anywhere_or_too_long_is_damage)
{
    for (unsigned i = 0; i < ARRAY_LEN(samples); i++) {
        struct slice whole = encode(&samples[i]);
        struct record record;
        uint32_t len;
        for (uint32_t cut = 1; cut < whole.len; cut++) {
            // A copy of that very size, so that a sanitizer sees a read beyond it.
            uint8_t *part = mem_alloc(cut);
            memcpy(part, whole.data, cut);
            cr_assert_eq(record_read(slice_of(part, cut), &record, &len), ERR_MALFORMED,
                         "sample %u cut at %u", i, cut);
            mem_free(part);
        }
        uint8_t *longer = mem_alloc(whole.len + 3);
        memcpy(longer, whole.data, whole.len);
        memset(longer + whole.len, 0xff, 3);
        uint32_t body = whole.len - RECORD_HEAD + 3;
        memcpy(longer + 1, &body, sizeof body);
        cr_assert_eq(record_read(slice_of(longer, whole.len + 3), &record, &len), ERR_MALFORMED,
                     "sample %u with three bytes more", i);
        mem_free(longer);
        mem_free(unconst(whole.data));
    }
}

Test(record, kinds_and_values_that_do_not_exist_are_damage)
{
    static const struct {
        uint32_t sample, offset;
        uint8_t value;
    } wrong[] = {
        {0, 0, JOURNAL_VOID}, // never on the disk
        {0, 0, JOURNAL_KINDS},
        {0, RECORD_HEAD + 8, 0x80},  // flags
        {0, RECORD_HEAD + 9, 6},     // version
        {3, RECORD_HEAD + 12, 3},    // QoS
        {6, RECORD_HEAD + 32, 3},    // QoS of the message
        {7, RECORD_HEAD + 28, 0xf0}, // flags of the entry
        {9, RECORD_HEAD + 16, 0},    // state
        {9, RECORD_HEAD + 16, 3},
        {15, RECORD_HEAD + 8 + 37 + 2, 2},     // flags of who published it
        {16, RECORD_HEAD + 8 + 37 + 2 + 7, 0}, // no client identifier
        {19, RECORD_HEAD + 8, 0x10},           // flags
        {19, RECORD_HEAD + 8, 0},              // a claim that is not said to be there
    };
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        struct slice bytes = encode(&samples[wrong[i].sample]);
        struct record record;
        uint32_t len;
        ((uint8_t *)unconst(bytes.data))[wrong[i].offset] = wrong[i].value;
        cr_assert_eq(record_read(bytes, &record, &len), ERR_MALFORMED, "case %u", i);
        mem_free(unconst(bytes.data));
    }
}

// As they were written before there were rules for topics: nothing is behind the message.
Test(record, a_retained_message_without_a_source_is_an_old_one)
{
    struct slice bytes = encode(&samples[13]);
    struct record back;
    uint32_t len;
    cr_assert_eq(bytes.len, RECORD_HEAD + 8 + 37 + 2);
    cr_assert_eq(record_read(bytes, &back, &len), OK);
    cr_assert(back.id.len == 0 && !back.user.data && back.port == 0);
    mem_free(unconst(bytes.data));
}

Test(record, lengths_beyond_all_bounds_are_damage)
{
    uint8_t bytes[64] = {JOURNAL_RETAIN_CLEAR, 0xff, 0xff, 0xff, 0xff};
    struct record record;
    uint32_t len;
    cr_assert_eq(record_read(slice_of(bytes, sizeof bytes), &record, &len), ERR_MALFORMED);
    uint8_t text[] = {
        JOURNAL_RETAIN_CLEAR, 13, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 'x'};
    cr_assert_eq(record_read(slice_of(text, sizeof text), &record, &len), ERR_MALFORMED);
}

Test(record, identifiers_one_by_one)
{
    struct slice bytes = encode(&samples[8]);
    struct record record;
    uint32_t len;
    cr_assert_eq(record_read(bytes, &record, &len), OK);
    for (uint32_t i = 0; i < ARRAY_LEN(ids); i++)
        cr_assert_eq(record_id(&record, i), ids[i]);
    mem_free(unconst(bytes.data));
}
