// server_props.h - fields and properties of what the broker sends.
//
// Job:    the pieces of a Control Packet for server_packet.h; a deviation ends the process.
//         Shares no code with the broker's own codec, so that no mistake is made twice.
// Owner:  none. Thread: any. Memory: slices borrow from the bytes. Limits: IDS_MAX identifiers.
#ifndef TERN_TESTS_SIM_SERVER_PROPS_H
#define TERN_TESTS_SIM_SERVER_PROPS_H

#include "core/base/base.h"
#include "core/base/utf8.h"

#include "core/mqtt.h"

#define SERVER_PACKET_IDS_MAX 64

struct server_packet {
    uint8_t type, flags;
    uint8_t qos; // PUBLISH
    bool dup, retain;
    bool session_present; // CONNACK
    bool has_expiry;
    uint16_t packet_id;
    uint8_t reason; // the first one of SUBACK and UNSUBACK
    struct slice codes;
    struct slice topic, payload;
    uint16_t alias, receive_max, keep_alive_s;
    uint32_t expiry_s, session_expiry_s;
    struct slice assigned_id, reason_string, auth_method, auth_data;
    uint32_t ids[SERVER_PACKET_IDS_MAX];
    uint32_t id_count;
    uint32_t total; // bytes
};

// ---- Fields -------------------------------------------------------------------------------------

static inline struct slice
packet_take(struct slice *rest, uint32_t len)
{
    must(len <= rest->len);
    struct slice taken = slice_of(rest->data, len);
    *rest = slice_of(rest->data + len, rest->len - len);
    return taken;
}

static inline uint32_t
packet_int(struct slice *rest, uint32_t bytes)
{
    struct slice s = packet_take(rest, bytes);
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes; i++)
        value = value << 8 | s.data[i];
    return value;
}

static inline uint32_t
packet_varint(struct slice *rest)
{
    uint32_t value = 0;
    for (uint32_t i = 0; i < 4; i++) {
        uint32_t byte = packet_int(rest, 1);
        value |= (byte & 127) << (7 * i);
        if (byte < 128) {
            must(i == 0 || byte != 0); // the fewest bytes possible [MQTT-1.5.5-1]
            return value;
        }
    }
    must_fail("a Variable Byte Integer has at most four bytes", __FILE__, __LINE__);
}

static inline struct slice
packet_binary(struct slice *rest)
{
    return packet_take(rest, packet_int(rest, 2));
}

static inline struct slice
packet_text(struct slice *rest)
{
    struct slice text = packet_binary(rest);
    must(utf8_valid(text));
    return text;
}

// ---- Properties ---------------------------------------------------------------------------------

enum packet_prop_kind { PROP_BYTE = 1, PROP_SHORT, PROP_LONG, PROP_VARINT, PROP_TEXT, PROP_BINARY };

struct packet_prop_rule {
    uint8_t id, kind;
    uint16_t types; // bit t: packets of type t may have it
};

static inline enum packet_prop_kind
packet_prop_kind(uint8_t type, uint32_t id)
{
#define IN(t) (1u << MQTT_##t)
    static const uint16_t answers =
        IN(PUBACK) | IN(PUBREC) | IN(PUBREL) | IN(PUBCOMP) | IN(SUBACK) | IN(UNSUBACK);
    static const struct packet_prop_rule rules[] = {
        {PROP_PAYLOAD_FORMAT, PROP_BYTE, IN(PUBLISH)},
        {PROP_MESSAGE_EXPIRY, PROP_LONG, IN(PUBLISH)},
        {PROP_CONTENT_TYPE, PROP_TEXT, IN(PUBLISH)},
        {PROP_RESPONSE_TOPIC, PROP_TEXT, IN(PUBLISH)},
        {PROP_CORRELATION_DATA, PROP_BINARY, IN(PUBLISH)},
        {PROP_SUBSCRIPTION_ID, PROP_VARINT, IN(PUBLISH)},
        {PROP_TOPIC_ALIAS, PROP_SHORT, IN(PUBLISH)},
        {PROP_SESSION_EXPIRY, PROP_LONG, IN(CONNACK)},
        {PROP_ASSIGNED_CLIENT_ID, PROP_TEXT, IN(CONNACK)},
        {PROP_SERVER_KEEP_ALIVE, PROP_SHORT, IN(CONNACK)},
        {PROP_RECEIVE_MAX, PROP_SHORT, IN(CONNACK)},
        {PROP_TOPIC_ALIAS_MAX, PROP_SHORT, IN(CONNACK)},
        {PROP_MAXIMUM_QOS, PROP_BYTE, IN(CONNACK)},
        {PROP_RETAIN_AVAILABLE, PROP_BYTE, IN(CONNACK)},
        {PROP_MAXIMUM_PACKET_SIZE, PROP_LONG, IN(CONNACK)},
        {PROP_AUTH_METHOD, PROP_TEXT, IN(CONNACK) | IN(AUTH)},
        {PROP_AUTH_DATA, PROP_BINARY, IN(CONNACK) | IN(AUTH)},
        {PROP_REASON_STRING, PROP_TEXT, IN(CONNACK) | IN(DISCONNECT) | answers},
    };
#undef IN
    for (uint32_t i = 0; i < ARRAY_LEN(rules); i++)
        if (rules[i].id == id && rules[i].types >> type & 1)
            return (enum packet_prop_kind)rules[i].kind;
    must_fail("a property that this packet may not have", __FILE__, __LINE__);
}

static inline void
packet_keep_int(struct server_packet *ret, uint32_t id, uint32_t value)
{
    switch (id) {
    case PROP_SUBSCRIPTION_ID:
        must(value != 0);
        if (ret->id_count < SERVER_PACKET_IDS_MAX)
            ret->ids[ret->id_count++] = value;
        return;
    case PROP_TOPIC_ALIAS:
        must(value != 0); // [MQTT-3.3.2-8]
        ret->alias = (uint16_t)value;
        return;
    case PROP_MESSAGE_EXPIRY:
        ret->has_expiry = true;
        ret->expiry_s = value;
        return;
    case PROP_SESSION_EXPIRY:
        ret->session_expiry_s = value;
        return;
    case PROP_SERVER_KEEP_ALIVE:
        ret->keep_alive_s = (uint16_t)value;
        return;
    case PROP_RECEIVE_MAX:
        must(value != 0);
        ret->receive_max = (uint16_t)value;
        return;
    default:
        // The others that have one byte have 0 or 1, and a size is not 0.
        must(id == PROP_TOPIC_ALIAS_MAX ||
             (id == PROP_MAXIMUM_PACKET_SIZE ? value > 0 : value < 2));
    }
}

static inline void
packet_props(struct slice *rest, struct server_packet *ret)
{
    struct slice props = packet_take(rest, packet_varint(rest));
    uint64_t seen = 0;
    while (props.len > 0) {
        uint32_t id = packet_varint(&props);
        if (id == PROP_USER_PROPERTY) {
            must(ret->type == MQTT_PUBLISH); // the broker has none of its own
            (void)packet_text(&props);
            (void)packet_text(&props);
            continue;
        }
        enum packet_prop_kind kind = packet_prop_kind(ret->type, id);
        must(!(seen >> id & 1) || id == PROP_SUBSCRIPTION_ID);
        seen |= UINT64_C(1) << id;
        if (kind <= PROP_LONG) {
            packet_keep_int(ret, id, packet_int(&props, kind == PROP_LONG ? 4 : kind));
        } else if (kind == PROP_VARINT) {
            packet_keep_int(ret, id, packet_varint(&props));
        } else if (kind == PROP_BINARY) {
            struct slice data = packet_binary(&props);
            if (id == PROP_AUTH_DATA)
                ret->auth_data = data;
        } else {
            struct slice text = packet_text(&props);
            if (id == PROP_ASSIGNED_CLIENT_ID)
                ret->assigned_id = text;
            else if (id == PROP_REASON_STRING)
                ret->reason_string = text;
            else if (id == PROP_AUTH_METHOD)
                ret->auth_method = text;
        }
    }
}

#endif
