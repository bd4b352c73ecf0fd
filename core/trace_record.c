// trace_record.c - a line of a trace: what there is to say of one Control Packet, and no secret.
//
// Packets are looked at before they are checked, so nothing here believes in them: what cannot be
// read is not there.
#include "core/trace_record.h"

#include "core/base/mem.h"

#include "core/codec.h"
#include "core/codec_props.h"

// ---- Properties ---------------------------------------------------------------------------------

// Identifier, number, length of the text; then the text. HAS_TEXT: it has one, even if it is empty.
#define PROP_HEAD 7u
#define HAS_TEXT  0x80u

static bool
is_text(uint8_t id)
{
    return id == PROP_CONTENT_TYPE || id == PROP_RESPONSE_TOPIC || id == PROP_ASSIGNED_CLIENT_ID ||
           id == PROP_AUTH_METHOD || id == PROP_REASON_STRING || id == PROP_RESPONSE_INFO ||
           id == PROP_SERVER_REFERENCE;
}

static void
put_prop(struct trace_room *room, uint8_t id, uint32_t number, struct slice text)
{
    uint32_t len = min_u32(text.len, TRACE_VALUE_MAX);
    uint8_t *at = room->props + room->len;
    must(room->len <= sizeof room->props && id < HAS_TEXT);
    if (room->len + PROP_HEAD + len > sizeof room->props)
        return;
    at[0] = text.data ? id | HAS_TEXT : id;
    memcpy(at + 1, &number, sizeof number);
    at[5] = (uint8_t)len;
    at[6] = (uint8_t)(len >> 8);
    if (text.data && len > 0)
        memcpy(at + PROP_HEAD, text.data, len);
    room->len += PROP_HEAD + len;
}

static void
put_number(struct trace_room *room, enum mqtt_property id, bool given, uint32_t number)
{
    if (given)
        put_prop(room, (uint8_t)id, number, slice_of(NULL, 0));
}

static void
put_props(struct trace_room *room, struct slice raw)
{
    struct reader reader = reader_of(raw);
    struct prop prop;
    uint32_t pairs = 0;
    while (reader_left(&reader) > 0 && codec_next_prop(&reader, &prop)) {
        if (prop.id == PROP_USER_PROPERTY)
            pairs++;
        else if (is_text(prop.id))
            put_prop(room, prop.id, 0, prop.data);
        else if (prop.id == PROP_CORRELATION_DATA)
            put_number(room, PROP_CORRELATION_DATA, true, prop.data.len);
        else if (prop.id != PROP_AUTH_DATA && prop.id != PROP_TOPIC_ALIAS)
            put_number(room, (enum mqtt_property)prop.id, true, prop.number);
    }
    put_number(room, PROP_USER_PROPERTY, pairs > 0, pairs);
}

static uint16_t
alias_in(struct slice raw)
{
    struct reader reader = reader_of(raw);
    struct prop prop;
    while (reader_left(&reader) > 0 && codec_next_prop(&reader, &prop))
        if (prop.id == PROP_TOPIC_ALIAS)
            return (uint16_t)prop.number;
    return 0;
}

// The section that begins here; empty where there is none.
static struct slice
take_section(struct reader *reader, uint8_t version)
{
    uint32_t len;
    struct slice raw = {0};
    if (version != MQTT_5 || !read_varint(reader, &len) || !read_bytes(reader, len, &raw))
        return slice_of(NULL, 0);
    return raw;
}

bool
trace_next_prop(struct slice *rest, enum mqtt_property *ret_id, uint32_t *ret_number,
                struct slice *ret_text)
{
    if (rest->len == 0)
        return false;
    const uint8_t *at = rest->data;
    must(rest->len >= PROP_HEAD);
    uint32_t len = at[5] | (uint32_t)at[6] << 8;
    must(len <= rest->len - PROP_HEAD);
    *ret_id = (enum mqtt_property)(at[0] & ~HAS_TEXT);
    memcpy(ret_number, at + 1, sizeof *ret_number);
    *ret_text = slice_of(at[0] & HAS_TEXT ? at + PROP_HEAD : NULL, len);
    *rest = slice_of(at + PROP_HEAD + len, rest->len - PROP_HEAD - len);
    return true;
}

// ---- Packets ------------------------------------------------------------------------------------

struct describing {
    struct reader reader;
    uint32_t left_out; // of the body, behind what is there
    uint8_t flags, version;
    struct trace_room *room;
};

static void
describe_publish(struct describing *d, struct trace_record *ret)
{
    ret->qos = d->flags >> 1 & 3;
    ret->dup = d->flags >> 3 & 1;
    ret->retain = d->flags & 1;
    if (!read_binary(&d->reader, &ret->topic) ||
        (ret->qos > 0 && !read_u16(&d->reader, &ret->packet_id)))
        return;
    struct slice raw = take_section(&d->reader, d->version);
    ret->topic_alias = alias_in(raw);
    put_props(d->room, raw);
    ret->payload_len = reader_left(&d->reader) + d->left_out;
}

static void
describe_ack(struct describing *d, struct trace_record *ret)
{
    ret->has_reason = d->version == MQTT_5;
    if (read_u16(&d->reader, &ret->packet_id) && read_u8(&d->reader, &ret->reason))
        put_props(d->room, take_section(&d->reader, d->version));
}

static void
describe_connack(struct describing *d, struct trace_record *ret)
{
    uint8_t flags = 0;
    ret->has_reason = read_u8(&d->reader, &flags) && read_u8(&d->reader, &ret->reason);
    ret->session_present = flags & 1;
    put_props(d->room, take_section(&d->reader, d->version));
}

// DISCONNECT and AUTH.
static void
describe_reason(struct describing *d, struct trace_record *ret)
{
    ret->has_reason = d->version == MQTT_5;
    if (read_u8(&d->reader, &ret->reason))
        put_props(d->room, take_section(&d->reader, d->version));
}

static void
describe_filters(struct describing *d, struct trace_record *ret)
{
    if (!read_u16(&d->reader, &ret->packet_id))
        return;
    put_props(d->room, take_section(&d->reader, d->version));
    struct slice all = reader_rest(&d->reader), rest = all, filter;
    uint32_t len = 0;
    uint8_t options;
    while (trace_next_filter(&rest, ret->type, &filter, &options) &&
           all.len - rest.len <= TRACE_TEXT_MAX)
        len = all.len - rest.len;
    ret->list = slice_of(all.data, len);
    ret->cut = len < all.len;
}

// SUBACK and UNSUBACK.
static void
describe_codes(struct describing *d, struct trace_record *ret)
{
    if (!read_u16(&d->reader, &ret->packet_id))
        return;
    put_props(d->room, take_section(&d->reader, d->version));
    ret->list = reader_rest(&d->reader);
    ret->cut = ret->list.len > TRACE_TEXT_MAX;
}

void
trace_describe(const struct frame *frame, uint32_t body_len, uint8_t version,
               struct trace_room *room, struct trace_record *ret)
{
    static void (*const describe[16])(struct describing * d, struct trace_record * ret) = {
        [MQTT_CONNACK] = describe_connack,     [MQTT_PUBLISH] = describe_publish,
        [MQTT_PUBACK] = describe_ack,          [MQTT_PUBREC] = describe_ack,
        [MQTT_PUBREL] = describe_ack,          [MQTT_PUBCOMP] = describe_ack,
        [MQTT_SUBSCRIBE] = describe_filters,   [MQTT_SUBACK] = describe_codes,
        [MQTT_UNSUBSCRIBE] = describe_filters, [MQTT_UNSUBACK] = describe_codes,
        [MQTT_DISCONNECT] = describe_reason,   [MQTT_AUTH] = describe_reason,
    };
    must(frame->type < ARRAY_LEN(describe) && body_len >= frame->body.len);
    *ret = (struct trace_record){.type = frame->type};
    room->len = 0;
    struct describing d = {.reader = reader_of(frame->body),
                           .left_out = body_len - frame->body.len,
                           .flags = frame->flags,
                           .version = version,
                           .room = room};
    if (describe[frame->type])
        describe[frame->type](&d, ret);
    ret->props = slice_of(room->props, room->len);
}

void
trace_describe_connect(const struct connect_view *view, struct trace_room *room,
                       struct trace_record *ret)
{
    *ret = (struct trace_record){
        .type = MQTT_CONNECT,
        .keep_alive_s = view->keep_alive_s,
        .clean = view->clean,
    };
    room->len = 0;
    if (view->has_user)
        ret->user = view->user;
    if (view->has_will) {
        ret->topic = view->will.topic;
        ret->payload_len = view->will.payload.len;
        ret->qos = view->will.qos;
        ret->retain = view->will.retain;
        put_number(room, PROP_WILL_DELAY, view->will.delay_s > 0, view->will.delay_s);
    }
    if (view->version == MQTT_5) {
        put_number(room, PROP_SESSION_EXPIRY, true, view->session_expiry_s);
        put_number(room, PROP_RECEIVE_MAX, view->receive_max < UINT16_MAX, view->receive_max);
        put_number(room, PROP_MAXIMUM_PACKET_SIZE, view->packet_max < CODEC_PACKET_MAX,
                   view->packet_max);
        put_number(room, PROP_TOPIC_ALIAS_MAX, view->topic_alias_max > 0, view->topic_alias_max);
        if (view->auth_method.data)
            put_prop(room, PROP_AUTH_METHOD, 0, view->auth_method);
    }
    ret->props = slice_of(room->props, room->len);
}

void
trace_describe_publish(const struct publish_out *out, struct trace_room *room,
                       struct trace_record *ret)
{
    *ret = (struct trace_record){
        .type = MQTT_PUBLISH,
        .topic = out->topic,
        .payload_len = out->payload_len,
        .packet_id = out->packet_id,
        .topic_alias = out->topic_alias,
        .qos = out->qos,
        .dup = out->dup,
        .retain = out->retain,
    };
    room->len = 0;
    put_number(room, PROP_MESSAGE_EXPIRY, out->has_expiry, out->expiry_s);
    for (uint32_t i = 0; i < out->subscription_id_count; i++)
        put_number(room, PROP_SUBSCRIPTION_ID, true, out->subscription_ids[i]);
    if (out->version == MQTT_5)
        put_props(room, out->props);
    ret->props = slice_of(room->props, room->len);
}

bool
trace_next_filter(struct slice *rest, uint8_t type, struct slice *ret_filter, uint8_t *ret_options)
{
    struct reader reader = reader_of(*rest);
    must(type == MQTT_SUBSCRIBE || type == MQTT_UNSUBSCRIBE);
    *ret_options = 0;
    if (!rest->data || !read_binary(&reader, ret_filter) ||
        (type == MQTT_SUBSCRIBE && !read_u8(&reader, ret_options)))
        return false;
    *rest = reader_rest(&reader);
    return true;
}

// ---- As bytes -----------------------------------------------------------------------------------

#define TEXTS 7u

static void
texts_of(struct trace_record *record, struct slice *ret[TEXTS])
{
    ret[0] = &record->client;
    ret[1] = &record->user;
    ret[2] = &record->peer;
    ret[3] = &record->topic;
    ret[4] = &record->props;
    ret[5] = &record->list;
    ret[6] = &record->note;
}

void
trace_record_add(struct control_rows *rows, const struct trace_record *record)
{
    struct trace_record copy = *record;
    struct slice *texts[TEXTS];
    texts_of(&copy, texts);
    uint32_t len = sizeof copy;
    for (unsigned i = 0; i < TEXTS; i++) {
        texts[i]->len = min_u32(texts[i]->len, TRACE_TEXT_MAX);
        len += texts[i]->len;
    }
    must(len <= UINT32_MAX - rows->len);
    rows->bytes = mem_grow(rows->bytes, &rows->cap, rows->len + len, 1);
    memcpy(rows->bytes + rows->len, &copy, sizeof copy);
    rows->len += (uint32_t)sizeof copy;
    for (unsigned i = 0; i < TEXTS; i++) {
        if (texts[i]->len > 0)
            memcpy(rows->bytes + rows->len, texts[i]->data, texts[i]->len);
        rows->len += texts[i]->len;
    }
    rows->count++;
}

bool
trace_record_next(const struct control_rows *rows, uint32_t *at, struct trace_record *ret)
{
    must(*at <= rows->len);
    if (*at == rows->len)
        return false;
    must(rows->len - *at >= sizeof *ret);
    memcpy(ret, rows->bytes + *at, sizeof *ret);
    *at += (uint32_t)sizeof *ret;
    struct slice *texts[TEXTS];
    texts_of(ret, texts);
    for (unsigned i = 0; i < TEXTS; i++) {
        must(texts[i]->len <= rows->len - *at);
        if (texts[i]->data)
            texts[i]->data = rows->bytes + *at;
        *at += texts[i]->len;
    }
    return true;
}
