// codec_encode.c - the packets that a server sends.
#include "core/codec.h"

// ---- Fields: each returns the place behind what it wrote ----------------------------------------

static inline uint8_t *
put_u8(uint8_t *at, uint8_t value)
{
    *at = value;
    return at + 1;
}

static inline uint8_t *
put_u16(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
    return at + 2;
}

static inline uint8_t *
put_u32(uint8_t *at, uint32_t value)
{
    return put_u16(put_u16(at, (uint16_t)(value >> 16)), (uint16_t)value);
}

static inline uint8_t *
put_varint(uint8_t *at, uint32_t value)
{
    if (likely(value < 0x80))
        return put_u8(at, (uint8_t)value);
    return at + codec_put_varint(at, value);
}

static inline uint8_t *
put_bytes(uint8_t *at, struct slice bytes)
{
    if (bytes.len > 0)
        memcpy(at, bytes.data, bytes.len);
    return at + bytes.len;
}

static inline uint8_t *
put_string(uint8_t *at, struct slice text)
{
    must_hot(text.len <= MQTT_STRING_MAX); // [MQTT-4.7.3-3]
    return put_bytes(put_u16(at, (uint16_t)text.len), text);
}

static inline uint8_t *
put_header(uint8_t *at, uint8_t type, uint8_t flags, uint32_t remaining)
{
    return put_varint(put_u8(at, (uint8_t)(type << 4 | flags)), remaining);
}

static uint8_t *
put_prop_u8(uint8_t *at, enum mqtt_property id, uint8_t value)
{
    return put_u8(put_u8(at, (uint8_t)id), value);
}

static uint8_t *
put_prop_u16(uint8_t *at, enum mqtt_property id, uint16_t value)
{
    return put_u16(put_u8(at, (uint8_t)id), value);
}

static uint8_t *
put_prop_u32(uint8_t *at, enum mqtt_property id, uint32_t value)
{
    return put_u32(put_u8(at, (uint8_t)id), value);
}

static uint8_t *
put_prop_string(uint8_t *at, enum mqtt_property id, struct slice text)
{
    return put_string(put_u8(at, (uint8_t)id), text);
}

// ---- CONNACK ------------------------------------------------------------------------------------

#define CONNACK_NUMBERS_MAX 32u // 25 bytes if every property with a number is there

static uint8_t *
put_connack_numbers(uint8_t *at, const struct connack *connack)
{
    must(connack->receive_max > 0 && connack->maximum_qos <= 2); // [MQTT5 3.2.2.3]
    if (connack->has_session_expiry)
        at = put_prop_u32(at, PROP_SESSION_EXPIRY, connack->session_expiry_s);
    if (connack->receive_max != UINT16_MAX)
        at = put_prop_u16(at, PROP_RECEIVE_MAX, connack->receive_max);
    if (connack->maximum_qos < 2) // [MQTT-3.2.2-9]
        at = put_prop_u8(at, PROP_MAXIMUM_QOS, connack->maximum_qos);
    if (connack->retain_unavailable)
        at = put_prop_u8(at, PROP_RETAIN_AVAILABLE, 0);
    if (connack->packet_max != 0)
        at = put_prop_u32(at, PROP_MAXIMUM_PACKET_SIZE, connack->packet_max);
    if (connack->topic_alias_max != 0)
        at = put_prop_u16(at, PROP_TOPIC_ALIAS_MAX, connack->topic_alias_max);
    if (connack->has_keep_alive) // [MQTT-3.1.2-21]
        at = put_prop_u16(at, PROP_SERVER_KEEP_ALIVE, connack->keep_alive_s);
    return at;
}

static uint32_t
string_prop_size(struct slice text)
{
    return 3 + text.len;
}

static uint32_t
connack_size(uint32_t props_len)
{
    uint32_t remaining = 2 + codec_varint_size(props_len) + props_len;
    return 1 + codec_varint_size(remaining) + remaining;
}

// Version 5. Numbers come first and are gathered apart: the lengths in front depend on them.
static uint8_t *
put_connack_props(uint8_t *at, const struct connack *connack)
{
    uint8_t numbers[CONNACK_NUMBERS_MAX];
    uint32_t numbers_len = 0;
    bool refused = connack->reason >= REASON_FAILURE;
    bool assigned = !refused && connack->assigned_id.len > 0;
    bool method = !refused && connack->auth_method.data != NULL;
    bool data = method && connack->auth_data.data != NULL; // [MQTT5 3.2.2.3.18]
    if (!refused)
        numbers_len = (uint32_t)(put_connack_numbers(numbers, connack) - numbers);
    must(numbers_len <= sizeof(numbers));
    uint32_t props_len = numbers_len;
    if (assigned)
        props_len += string_prop_size(connack->assigned_id);
    if (method)
        props_len += string_prop_size(connack->auth_method);
    if (data)
        props_len += string_prop_size(connack->auth_data);
    bool refer = refused && connack->reference.len > 0;
    if (refer)
        props_len += string_prop_size(connack->reference);
    // Worth having only if the client takes a packet of that size [MQTT-3.2.2-19].
    uint32_t with_reason = props_len + string_prop_size(connack->reason_string);
    bool explain =
        connack->reason_string.len > 0 && connack_size(with_reason) <= connack->client_packet_max;
    if (explain)
        props_len = with_reason;

    at = put_header(at, MQTT_CONNACK, 0, 2 + codec_varint_size(props_len) + props_len);
    at = put_u8(at, connack->session_present); // bits 7 to 1 are 0 [MQTT-3.2.2-1]
    at = put_u8(at, connack->reason);
    at = put_varint(at, props_len);
    const uint8_t *start = at;
    at = put_bytes(at, slice_of(numbers, numbers_len));
    if (assigned) // [MQTT-3.2.2-16]
        at = put_prop_string(at, PROP_ASSIGNED_CLIENT_ID, connack->assigned_id);
    if (method) // [MQTT-4.12.0-5]
        at = put_prop_string(at, PROP_AUTH_METHOD, connack->auth_method);
    if (data)
        at = put_prop_string(at, PROP_AUTH_DATA, connack->auth_data);
    if (refer)
        at = put_prop_string(at, PROP_SERVER_REFERENCE, connack->reference);
    if (explain)
        at = put_prop_string(at, PROP_REASON_STRING, connack->reason_string);
    must((uint32_t)(at - start) == props_len);
    return at;
}

uint32_t
codec_put_connack(uint8_t *dst, const struct connack *connack)
{
    must(connack->version >= MQTT_31 && connack->version <= MQTT_5);
    must(!connack->session_present || connack->reason == 0); // [MQTT-3.2.2-6]
    uint8_t *at = dst;
    if (connack->version == MQTT_5) {
        at = put_connack_props(at, connack);
    } else {
        must(connack->reason <= 5); // 3.1.1: [MQTT-3.2.2-6]
        at = put_header(at, MQTT_CONNACK, 0, 2);
        // A byte that 3.1 reserves; 3.1.1 gave it a meaning.
        at = put_u8(at, connack->version == MQTT_311 && connack->session_present);
        at = put_u8(at, connack->reason);
    }
    must((uint32_t)(at - dst) <= CODEC_CONNACK_MAX(connack));
    return (uint32_t)(at - dst);
}

// ---- The small ones -----------------------------------------------------------------------------

uint32_t
codec_put_ack(uint8_t *dst, uint8_t type, uint8_t version, uint16_t packet_id, uint8_t reason)
{
    must_hot(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP && packet_id != 0);
    bool tell = unlikely(reason != 0) && version == MQTT_5;
    dst[0] = (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 0x02 : 0)); // [MQTT-3.6.1-1]
    dst[1] = tell ? 3 : 2;
    dst[2] = (uint8_t)(packet_id >> 8);
    dst[3] = (uint8_t)packet_id;
    if (tell)
        dst[4] = reason;
    return tell ? 5 : 4;
}

uint32_t
codec_put_acks(uint8_t *dst, uint8_t type, uint16_t first, uint32_t count)
{
    must_hot(type >= MQTT_PUBACK && type <= MQTT_PUBCOMP && first != 0 && count <= 65535u);
    uint8_t byte1 = (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 0x02 : 0)); // [MQTT-3.6.1-1]
    for (uint32_t i = 0, id = first; i < count; i++, id = id < 65535u ? id + 1 : 1) {
        uint8_t *at = put_u8(put_u8(dst + (size_t)4 * i, byte1), 2);
        put_u16(at, (uint16_t)id);
    }
    return 4 * count;
}

uint32_t
codec_put_pingresp(uint8_t *dst)
{
    return (uint32_t)(put_header(dst, MQTT_PINGRESP, 0, 0) - dst);
}

uint32_t
codec_put_disconnect(uint8_t *dst, uint8_t reason, struct slice why, struct slice other)
{
    must(why.len <= MQTT_STRING_MAX && other.len <= MQTT_STRING_MAX);
    uint8_t *at;
    uint32_t props_len = why.len > 0 ? string_prop_size(why) : 0;
    if (other.len > 0)
        props_len += string_prop_size(other);
    if (props_len > 0) {
        at = put_header(dst, MQTT_DISCONNECT, 0, 1 + codec_varint_size(props_len) + props_len);
        at = put_varint(put_u8(at, reason), props_len);
        if (other.len > 0) // [MQTT5 3.14.2.2.5]
            at = put_prop_string(at, PROP_SERVER_REFERENCE, other);
        if (why.len > 0)
            at = put_prop_string(at, PROP_REASON_STRING, why);
    } else { // a length of 1 says that there are no properties [MQTT5 3.14.2.2.1]
        at = put_u8(put_header(dst, MQTT_DISCONNECT, 0, 1), reason);
    }
    must((uint32_t)(at - dst) <= 16 + why.len + other.len);
    return (uint32_t)(at - dst);
}

uint32_t
codec_put_auth(uint8_t *dst, uint8_t reason, struct slice method, struct slice data)
{
    must(method.data != NULL && method.len <= MQTT_STRING_MAX && data.len <= MQTT_STRING_MAX);
    uint32_t props_len = string_prop_size(method) + (data.data ? string_prop_size(data) : 0);
    uint8_t *at = put_header(dst, MQTT_AUTH, 0, 1 + codec_varint_size(props_len) + props_len);
    at = put_varint(put_u8(at, reason), props_len);
    at = put_prop_string(at, PROP_AUTH_METHOD, method); // [MQTT5 3.15.2.2.2]
    if (data.data)
        at = put_prop_string(at, PROP_AUTH_DATA, data);
    must((uint32_t)(at - dst) <= 16 + method.len + data.len);
    return (uint32_t)(at - dst);
}

uint32_t
codec_put_suback(uint8_t *dst, uint8_t type, uint8_t version, uint16_t packet_id,
                 const uint8_t *reasons, uint32_t count)
{
    must(type == MQTT_SUBACK || type == MQTT_UNSUBACK);
    must(version >= MQTT_31 && version <= MQTT_5 && packet_id != 0 && count > 0);
    uint32_t codes = type == MQTT_UNSUBACK && version != MQTT_5 ? 0 : count;
    uint8_t *at = put_header(dst, type, 0, 2 + (version == MQTT_5) + codes);
    at = put_u16(at, packet_id);
    if (version == MQTT_5)
        at = put_varint(at, 0); // no properties [MQTT-2.2.2-1]
    for (uint32_t i = 0; i < codes; i++) {
        bool coarse = version != MQTT_5 && reasons[i] >= REASON_FAILURE; // [MQTT-3.9.3-2] of 3.1.1
        at = put_u8(at, coarse ? REASON_FAILURE : reasons[i]);
    }
    must((uint32_t)(at - dst) <= 16 + count);
    return (uint32_t)(at - dst);
}

// ---- PUBLISH ------------------------------------------------------------------------------------

static uint32_t
publish_props_len(const struct publish_out *out)
{
    uint32_t len = out->props.len;
    if (out->has_expiry)
        len += 5;
    if (out->topic_alias != 0)
        len += 3;
    for (uint32_t i = 0; i < out->subscription_id_count; i++)
        len += 1 + codec_varint_size(out->subscription_ids[i]);
    return len;
}

struct publish_lengths {
    uint32_t props, remaining;
};

static inline struct publish_lengths
publish_lengths(const struct publish_out *out)
{
    struct publish_lengths ret = {0};
    ret.remaining = 2 + (out->topic_omitted ? 0 : out->topic.len) + out->payload_len;
    if (out->qos > 0)
        ret.remaining += 2;
    if (out->version == MQTT_5) {
        ret.props = publish_props_len(out);
        ret.remaining += codec_varint_size(ret.props) + ret.props;
    }
    return ret;
}

uint32_t
codec_publish_size(const struct publish_out *out)
{
    uint32_t remaining = publish_lengths(out).remaining;
    return 1 + codec_varint_size(remaining) + remaining;
}

static uint8_t *
put_publish_props(uint8_t *at, const struct publish_out *out, uint32_t props_len)
{
    at = put_varint(at, props_len);
    const uint8_t *start = at;
    if (out->has_expiry) // [MQTT-3.3.2-6]
        at = put_prop_u32(at, PROP_MESSAGE_EXPIRY, out->expiry_s);
    if (out->topic_alias != 0) // [MQTT-3.3.2-8]
        at = put_prop_u16(at, PROP_TOPIC_ALIAS, out->topic_alias);
    for (uint32_t i = 0; i < out->subscription_id_count; i++) {
        must_hot(out->subscription_ids[i] != 0);
        at = put_varint(put_u8(at, PROP_SUBSCRIPTION_ID), out->subscription_ids[i]);
    }
    at = put_bytes(at, out->props);
    must_hot((uint32_t)(at - start) == props_len);
    return at;
}

uint8_t
codec_publish_first(uint8_t qos, bool retain, bool dup)
{
    return (uint8_t)(MQTT_PUBLISH << 4 | dup << 3 | qos << 1 | retain);
}

uint32_t
codec_put_publish_head(uint8_t *dst, const struct publish_out *out)
{
    must_hot(out->qos <= 2 && (out->qos == 0) == (out->packet_id == 0)); // [MQTT-2.2.1-2] [-4]
    must_hot(!out->dup || out->qos > 0);                                 // [MQTT-3.3.1-2]
    must_hot(!out->topic_omitted || (out->version == MQTT_5 && out->topic_alias != 0));
    struct publish_lengths lengths = publish_lengths(out);
    must_hot(lengths.remaining <= MQTT_REMAINING_LENGTH_MAX);
    uint8_t *at = put_u8(dst, codec_publish_first(out->qos, out->retain, out->dup));
    at = put_varint(at, lengths.remaining);
    const uint8_t *body = at;
    at = put_string(at, out->topic_omitted ? (struct slice){0} : out->topic);
    if (out->qos > 0)
        at = put_u16(at, out->packet_id);
    if (out->version == MQTT_5)
        at = put_publish_props(at, out, lengths.props);
    must_hot((uint32_t)(at - body) + out->payload_len == lengths.remaining);
    return (uint32_t)(at - dst);
}
