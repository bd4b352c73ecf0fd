// codec_props.c - the table of MQTT 5 properties, and the loop that obeys it.
#include "core/codec_props.h"

#include "core/codec.h"
#include "core/topic.h"

enum value_type {
    VALUE_NONE, // no such property
    VALUE_BYTE,
    VALUE_U16,
    VALUE_U32,
    VALUE_VARINT,
    VALUE_BINARY,
    VALUE_STRING,
    VALUE_TOPIC_NAME, // a string that is a valid Topic Name, too
    VALUE_PAIR,       // two strings
};

struct prop_rule {
    uint8_t type;      // enum value_type
    uint8_t in;        // enum carrier, ORed; 0: the property is the server's to send
    bool repeats;      // may come more than once
    bool forward;      // goes to subscribers unaltered
    uint32_t min, max; // of a number
    uint8_t exact;     // err_t for a number out of range; 0: ERR_PROTOCOL
};

#define ANYWHERE 0xff

// [MQTT5 2.2.2.2] and the sections of the packets, as they bind what a client sends.
// clang-format off
static const struct prop_rule prop_rules[PROP_COUNT] = {
    [PROP_PAYLOAD_FORMAT] = {
        .type = VALUE_BYTE, .in = IN_PUBLISH | IN_WILL, .forward = true, .max = 1},
    [PROP_MESSAGE_EXPIRY] = {
        .type = VALUE_U32, .in = IN_PUBLISH | IN_WILL, .max = UINT32_MAX},
    [PROP_CONTENT_TYPE] = { // [MQTT-3.3.2-19]
        .type = VALUE_STRING, .in = IN_PUBLISH | IN_WILL, .forward = true},
    [PROP_RESPONSE_TOPIC] = { // [MQTT-3.3.2-13] [MQTT-3.3.2-14]
        .type = VALUE_TOPIC_NAME, .in = IN_PUBLISH | IN_WILL, .forward = true},
    [PROP_CORRELATION_DATA] = {
        .type = VALUE_BINARY, .in = IN_PUBLISH | IN_WILL, .forward = true},
    [PROP_SUBSCRIPTION_ID] = { // in a PUBLISH of another node's alone [MQTT-3.3.4-6]
        .type = VALUE_VARINT, .in = IN_SUBSCRIBE | IN_PUBLISH, .min = 1,
        .max = MQTT_REMAINING_LENGTH_MAX},
    [PROP_SESSION_EXPIRY] = {
        .type = VALUE_U32, .in = IN_CONNECT | IN_DISCONNECT, .max = UINT32_MAX},
    [PROP_ASSIGNED_CLIENT_ID] = {.type = VALUE_STRING},
    [PROP_SERVER_KEEP_ALIVE] = {.type = VALUE_U16},
    [PROP_AUTH_METHOD] = {.type = VALUE_STRING, .in = IN_CONNECT | IN_AUTH},
    [PROP_AUTH_DATA] = {.type = VALUE_BINARY, .in = IN_CONNECT | IN_AUTH},
    [PROP_REQUEST_PROBLEM_INFO] = {
        .type = VALUE_BYTE, .in = IN_CONNECT, .max = 1},
    [PROP_WILL_DELAY] = {
        .type = VALUE_U32, .in = IN_WILL, .max = UINT32_MAX},
    [PROP_REQUEST_RESPONSE_INFO] = {
        .type = VALUE_BYTE, .in = IN_CONNECT, .max = 1},
    [PROP_RESPONSE_INFO] = {.type = VALUE_STRING},
    [PROP_SERVER_REFERENCE] = {.type = VALUE_STRING},
    [PROP_REASON_STRING] = {.type = VALUE_STRING, .in = IN_ACK | IN_DISCONNECT | IN_AUTH},
    [PROP_RECEIVE_MAX] = {
        .type = VALUE_U16, .in = IN_CONNECT, .min = 1, .max = UINT16_MAX},
    [PROP_TOPIC_ALIAS_MAX] = {
        .type = VALUE_U16, .in = IN_CONNECT, .max = UINT16_MAX},
    [PROP_TOPIC_ALIAS] = { // [MQTT-3.3.2-8]
        .type = VALUE_U16, .in = IN_PUBLISH, .min = 1, .max = UINT16_MAX,
        .exact = ERR_TOPIC_ALIAS_INVALID},
    [PROP_MAXIMUM_QOS] = {.type = VALUE_BYTE},
    [PROP_RETAIN_AVAILABLE] = {.type = VALUE_BYTE},
    [PROP_USER_PROPERTY] = { // [MQTT-1.5.7-1]
        .type = VALUE_PAIR, .in = ANYWHERE, .repeats = true, .forward = true},
    [PROP_MAXIMUM_PACKET_SIZE] = {
        .type = VALUE_U32, .in = IN_CONNECT, .min = 1, .max = UINT32_MAX},
    [PROP_WILDCARD_AVAILABLE] = {.type = VALUE_BYTE},
    [PROP_SUBSCRIPTION_ID_AVAILABLE] = {.type = VALUE_BYTE},
    [PROP_SHARED_AVAILABLE] = {.type = VALUE_BYTE},
};
// clang-format on

_Static_assert(PROP_COUNT <= 64, "struct props keeps one bit per identifier");

static bool
read_number(struct reader *reader, enum value_type type, uint32_t *ret_number)
{
    uint8_t byte;
    uint16_t word;
    switch (type) {
    case VALUE_BYTE:
        if (!read_u8(reader, &byte))
            return false;
        *ret_number = byte;
        return true;
    case VALUE_U16:
        if (!read_u16(reader, &word))
            return false;
        *ret_number = word;
        return true;
    case VALUE_U32:
        return read_u32(reader, ret_number);
    default:
        must(type == VALUE_VARINT);
        return read_varint(reader, ret_number);
    }
}

static bool
read_prop(struct reader *reader, struct prop *ret)
{
    *ret = (struct prop){0};
    if (!read_u8(reader, &ret->id) || ret->id >= PROP_COUNT)
        return false;
    enum value_type type = prop_rules[ret->id].type;
    switch (type) {
    case VALUE_NONE:
        return false;
    case VALUE_BYTE:
    case VALUE_U16:
    case VALUE_U32:
    case VALUE_VARINT:
        return read_number(reader, type, &ret->number);
    case VALUE_BINARY:
    case VALUE_STRING:
    case VALUE_TOPIC_NAME:
        return read_binary(reader, &ret->data);
    case VALUE_PAIR:
        return read_binary(reader, &ret->data) && read_binary(reader, &ret->second);
    }
    must(false);
}

bool
codec_next_prop(struct reader *reader, struct prop *ret)
{
    return read_prop(reader, ret);
}

static err_t
check_value(const struct prop_rule *rule, const struct prop *prop)
{
    switch ((enum value_type)rule->type) {
    case VALUE_BINARY:
        return OK;
    case VALUE_STRING:
        return utf8_valid(prop->data) ? OK : ERR_MALFORMED;
    case VALUE_TOPIC_NAME:
        if (!utf8_valid(prop->data))
            return ERR_MALFORMED;
        return topic_name_check(prop->data) == OK ? OK : ERR_PROTOCOL;
    case VALUE_PAIR:
        return utf8_valid(prop->data) && utf8_valid(prop->second) ? OK : ERR_MALFORMED;
    default:
        if (prop->number >= rule->min && prop->number <= rule->max)
            return OK;
        return rule->exact != OK ? rule->exact : ERR_PROTOCOL;
    }
}

err_t
props_read(struct reader *reader, enum carrier carrier, struct props *ret)
{
    ret->seen = 0;
    uint32_t len;
    if (!read_varint(reader, &len) || !read_bytes(reader, len, &ret->raw)) // [MQTT-2.2.2-1]
        return ERR_MALFORMED;
    struct reader section = reader_of(ret->raw);
    while (reader_left(&section) > 0) {
        struct prop prop;
        if (!read_prop(&section, &prop))
            return ERR_MALFORMED;
        const struct prop_rule *rule = &prop_rules[prop.id];
        if ((rule->in & carrier) == 0)
            return ERR_PROTOCOL;
        if (props_has(ret, prop.id) && !rule->repeats)
            return ERR_PROTOCOL;
        err_t err = check_value(rule, &prop);
        if (err != OK)
            return err;
        ret->seen |= UINT64_C(1) << prop.id;
        ret->number[prop.id] = prop.number;
        ret->data[prop.id] = prop.data;
    }
    must_hot(section.at == reader->at);
    return OK;
}

uint32_t
codec_forward_props(struct slice raw, uint8_t *dst)
{
    if (raw.len == 0)
        return 0; // 3.x: there is no section to point to
    struct reader section = reader_of(raw);
    uint32_t len = 0;
    while (reader_left(&section) > 0) {
        const uint8_t *start = section.at;
        struct prop prop;
        bool whole = read_prop(&section, &prop);
        must(whole); // a decoder has checked raw
        if (!prop_rules[prop.id].forward)
            continue;
        uint32_t size = (uint32_t)(section.at - start);
        memcpy(dst + len, start, size);
        len += size;
    }
    must(len <= raw.len);
    return len;
}

bool
codec_props_forwarded(struct slice props)
{
    struct reader section = reader_of(props);
    uint64_t seen = 0;
    while (reader_left(&section) > 0) {
        struct prop prop;
        if (!read_prop(&section, &prop))
            return false;
        const struct prop_rule *rule = &prop_rules[prop.id];
        if (!rule->forward || (!rule->repeats && (seen >> prop.id & 1)) ||
            check_value(rule, &prop) != OK)
            return false;
        seen |= UINT64_C(1) << prop.id;
    }
    return true;
}
