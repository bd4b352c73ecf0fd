// wire.c - as much MQTT 3.1.1 and 5.0 as a load generator speaks.
#include "bench/wire.h"

#define LENGTH_BYTES_MAX 4 // of the Remaining Length
#define EXPIRY_BYTES     5 // the property Session Expiry Interval

// ---- Reading ----------------------------------------------------------------------------------

// Bytes not read yet; once `bad` is set, every read answers 0.
struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *
read_bytes(struct reader *r, uint32_t len)
{
    if (r->bad || (size_t)(r->end - r->at) < len) {
        r->bad = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += len;
    return at;
}

static uint8_t
read_u8(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 1);
    return p ? p[0] : 0;
}

static uint16_t
read_u16(struct reader *r)
{
    const uint8_t *p = read_bytes(r, 2);
    return (uint16_t)(p ? p[0] << 8 | p[1] : 0);
}

static uint32_t
read_u32(struct reader *r)
{
    uint32_t high = read_u16(r);
    return high << 16 | read_u16(r);
}

static uint32_t
read_varint(struct reader *r)
{
    uint32_t value = 0;
    for (int i = 0; i < LENGTH_BYTES_MAX; i++) {
        uint8_t byte = read_u8(r);
        value |= (uint32_t)(byte & 0x7f) << (7 * i);
        if ((byte & 0x80) == 0)
            return value;
    }
    r->bad = true;
    return 0;
}

static struct reader
reader_of(const struct wire_frame *frame)
{
    return (struct reader){frame->body, frame->body + frame->len, false};
}

uint32_t
wire_size(const uint8_t *data, uint32_t len)
{
    uint32_t value = 0;
    for (uint32_t i = 1; i <= LENGTH_BYTES_MAX; i++) {
        if (i >= len)
            return 0;
        value |= (uint32_t)(data[i] & 0x7f) << (7 * (i - 1));
        if ((data[i] & 0x80) == 0)
            return 1 + i + value;
    }
    return WIRE_SIZE_BAD;
}

struct wire_frame
wire_frame(const uint8_t *data, uint32_t size)
{
    must_hot(size >= 2 && size != WIRE_SIZE_BAD);
    uint32_t header = 2;
    while (data[header - 1] & 0x80)
        header++;
    must_hot(header <= size);
    return (struct wire_frame){
        .body = data + header,
        .len = size - header,
        .type = data[0] >> 4,
        .flags = data[0] & 0x0f,
    };
}

bool
wire_publish(const struct wire_frame *frame, int version, struct wire_publish *ret)
{
    must_hot(frame->type == WIRE_PUBLISH);
    struct reader r = reader_of(frame);
    uint8_t qos = (frame->flags >> 1) & 3;

    (void)read_bytes(&r, read_u16(&r));
    uint16_t packet_id = qos > 0 ? read_u16(&r) : 0;
    if (version == 5)
        (void)read_bytes(&r, read_varint(&r));
    if (r.bad || qos > 2 || (qos > 0 && packet_id == 0))
        return false;
    *ret = (struct wire_publish){
        .payload = r.at,
        .payload_len = (uint32_t)(r.end - r.at),
        .packet_id = packet_id,
        .qos = qos,
        .dup = (frame->flags & 8) != 0,
        .retain = (frame->flags & 1) != 0,
    };
    return true;
}

// Skips a property whose value is of no interest here; its identifier was read.
static void
skip_property(struct reader *r, uint32_t id)
{
    switch (id) {
    case 0x25: // Retain Available
    case 0x28: // Wildcard Subscription Available
    case 0x29: // Subscription Identifiers Available
    case 0x2a: // Shared Subscription Available
        (void)read_u8(r);
        return;
    case 0x22: // Topic Alias Maximum
        (void)read_u16(r);
        return;
    case 0x11: // Session Expiry Interval
        (void)read_u32(r);
        return;
    case 0x26: // User Property: two strings
        (void)read_bytes(r, read_u16(r));
        (void)read_bytes(r, read_u16(r));
        return;
    case 0x12: // Assigned Client Identifier
    case 0x15: // Authentication Method
    case 0x16: // Authentication Data
    case 0x1a: // Response Information
    case 0x1c: // Server Reference
    case 0x1f: // Reason String
        (void)read_bytes(r, read_u16(r));
        return;
    default:
        r->bad = true;
    }
}

static void
read_connack_properties(struct reader *r, struct wire_connack *ret)
{
    uint32_t len = read_varint(r);
    if (r->bad || len != (size_t)(r->end - r->at)) {
        r->bad = true;
        return;
    }
    while (!r->bad && r->at < r->end) {
        uint32_t id = read_varint(r);
        switch (id) {
        case 0x13:
            ret->keep_alive_s = read_u16(r);
            break;
        case 0x21:
            ret->receive_max = read_u16(r);
            break;
        case 0x24:
            ret->qos_max = read_u8(r);
            break;
        case 0x27:
            ret->packet_max = read_u32(r);
            break;
        default:
            skip_property(r, id);
        }
    }
}

bool
wire_connack(const struct wire_frame *frame, int version, struct wire_connack *ret)
{
    must(frame->type == WIRE_CONNACK);
    struct reader r = reader_of(frame);
    *ret = (struct wire_connack){.packet_max = UINT32_MAX, .receive_max = 65535, .qos_max = 2};
    ret->session_present = (read_u8(&r) & 1) != 0;
    ret->reason = read_u8(&r);
    // A server that does not speak version 5 refuses in version 4's words, without properties.
    if (version == 5 && r.at < r.end)
        read_connack_properties(&r, ret);
    return !r.bad && ret->receive_max > 0;
}

bool
wire_ack(const struct wire_frame *frame, int version, struct wire_ack *ret)
{
    struct reader r = reader_of(frame);
    *ret = (struct wire_ack){.packet_id = read_u16(&r)};
    if (version == 5 && frame->len > 2)
        ret->reason = read_u8(&r);
    return !r.bad && ret->packet_id != 0;
}

bool
wire_suback(const struct wire_frame *frame, int version, struct wire_suback *ret)
{
    must(frame->type == WIRE_SUBACK || frame->type == WIRE_UNSUBACK);
    struct reader r = reader_of(frame);
    *ret = (struct wire_suback){.packet_id = read_u16(&r)};
    if (version == 5)
        (void)read_bytes(&r, read_varint(&r));
    ret->reasons = r.at;
    ret->count = (uint32_t)(r.end - r.at);
    return !r.bad && ret->packet_id != 0;
}

// ---- Writing ----------------------------------------------------------------------------------

static void
put_u16(struct buffer *out, uint32_t value)
{
    must(value <= UINT16_MAX);
    uint8_t *p = buffer_add(out, 2);
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void
put_u8(struct buffer *out, uint8_t value)
{
    *buffer_add(out, 1) = value;
}

static void
put_string(struct buffer *out, const char *s)
{
    uint32_t len = (uint32_t)strlen(s);
    put_u16(out, len);
    buffer_put(out, s, len);
}

static void
put_header(struct buffer *out, enum wire_type type, uint8_t flags, uint32_t remaining)
{
    must(flags <= 0x0f && remaining < 1u << (7 * LENGTH_BYTES_MAX));
    put_u8(out, (uint8_t)(type << 4 | flags));
    do {
        uint8_t more = remaining > 0x7f ? 0x80 : 0;
        put_u8(out, (uint8_t)(remaining & 0x7f) | more);
        remaining >>= 7;
    } while (remaining > 0);
}

// The properties of the will are none.
static uint32_t
will_bytes(const struct wire_connect *connect)
{
    if (connect->will_topic == NULL)
        return 0;
    uint32_t properties = connect->version == 5;
    return properties + 2 + (uint32_t)strlen(connect->will_topic) + 2 + connect->will_len;
}

static uint32_t
string_bytes(const char *text)
{
    return text != NULL ? 2 + (uint32_t)strlen(text) : 0;
}

void
wire_put_connect(struct buffer *out, const struct wire_connect *connect)
{
    must(connect->version == 4 || connect->version == 5);
    bool is_5 = connect->version == 5, clean = connect->expiry_s == 0;
    uint8_t properties = is_5 && !clean ? EXPIRY_BYTES : 0;
    uint32_t properties_len = is_5 ? 1u + properties : 0;
    uint8_t flags = clean ? 0x02 : 0; // clean session / clean start
    if (connect->will_topic != NULL)
        flags |= (uint8_t)(0x04 | connect->will_qos << 3);
    if (connect->user_name != NULL)
        flags |= 0x80;
    if (connect->password != NULL)
        flags |= 0x40;
    put_header(out, WIRE_CONNECT, 0,
               10 + properties_len + string_bytes(connect->client_id) + will_bytes(connect) +
                   string_bytes(connect->user_name) + string_bytes(connect->password));
    put_string(out, "MQTT");
    put_u8(out, (uint8_t)connect->version);
    put_u8(out, flags);
    put_u16(out, connect->keep_alive_s);
    if (properties_len > 0)
        put_u8(out, properties);
    if (properties > 0) {
        put_u8(out, 0x11); // Session Expiry Interval
        put_u16(out, connect->expiry_s >> 16);
        put_u16(out, connect->expiry_s & UINT16_MAX);
    }
    put_string(out, connect->client_id);
    if (connect->will_topic != NULL) {
        if (is_5)
            put_u8(out, 0);
        put_string(out, connect->will_topic);
        put_u16(out, connect->will_len);
        buffer_put(out, connect->will, connect->will_len);
    }
    if (connect->user_name != NULL)
        put_string(out, connect->user_name);
    if (connect->password != NULL)
        put_string(out, connect->password);
}

// A filter stands there as in UNSUBSCRIBE, and behind it a byte for the QoS in SUBSCRIBE.
void
wire_add_filter(struct buffer *filters, const char *filter)
{
    put_string(filters, filter);
    put_u8(filters, 0);
}

static void
put_filters(struct buffer *out, const struct buffer *filters, int qos)
{
    struct reader r = {filters->data, filters->data + filters->len, false};
    while (r.at < r.end) {
        const uint8_t *from = r.at;
        (void)read_bytes(&r, read_u16(&r));
        must(!r.bad);
        buffer_put(out, from, (uint32_t)(r.at - from));
        if (qos >= 0)
            put_u8(out, (uint8_t)qos);
        (void)read_u8(&r);
    }
}

static uint32_t
count_filters(const struct buffer *filters)
{
    uint32_t count = 0;
    struct reader r = {filters->data, filters->data + filters->len, false};
    for (; r.at < r.end; count++)
        (void)read_bytes(&r, read_u16(&r) + 1u);
    must(!r.bad && count > 0);
    return count;
}

void
wire_put_subscribe(struct buffer *out, int version, uint16_t packet_id,
                   const struct buffer *filters, uint8_t qos)
{
    must(qos <= 2 && packet_id != 0);
    uint32_t properties = version == 5;
    put_header(out, WIRE_SUBSCRIBE, 2, 2 + properties + filters->len);
    put_u16(out, packet_id);
    if (properties)
        put_u8(out, 0);
    put_filters(out, filters, qos);
}

void
wire_put_unsubscribe(struct buffer *out, int version, uint16_t packet_id,
                     const struct buffer *filters)
{
    must(packet_id != 0);
    uint32_t properties = version == 5;
    put_header(out, WIRE_UNSUBSCRIBE, 2, 2 + properties + filters->len - count_filters(filters));
    put_u16(out, packet_id);
    if (properties)
        put_u8(out, 0);
    put_filters(out, filters, -1);
}

uint32_t
wire_put_publish(struct buffer *out, int version, const char *topic, uint8_t qos,
                 uint32_t payload_len)
{
    must(qos <= 2);
    uint32_t id_len = qos > 0 ? 2 : 0, properties = version == 5;
    put_header(out, WIRE_PUBLISH, (uint8_t)(qos << 1),
               2 + (uint32_t)strlen(topic) + id_len + properties + payload_len);
    put_string(out, topic);
    uint32_t id_at = 0;
    if (id_len > 0) {
        id_at = out->len;
        put_u16(out, 0);
    }
    if (properties)
        put_u8(out, 0);
    memset(buffer_add(out, payload_len), 0, payload_len);
    return id_at;
}

void
wire_put_ack(struct buffer *out, enum wire_type type, uint16_t packet_id)
{
    must_hot(type >= WIRE_PUBACK && type <= WIRE_PUBCOMP && packet_id != 0);
    uint8_t *p = buffer_add(out, WIRE_ACK_BYTES);
    p[0] = (uint8_t)(type << 4 | (type == WIRE_PUBREL ? 2 : 0));
    p[1] = 2;
    p[2] = (uint8_t)(packet_id >> 8);
    p[3] = (uint8_t)packet_id;
}

void
wire_put_pingreq(struct buffer *out)
{
    put_header(out, WIRE_PINGREQ, 0, 0);
}

void
wire_put_disconnect(struct buffer *out)
{
    put_header(out, WIRE_DISCONNECT, 0, 0);
}
