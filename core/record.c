// record.c - journal records: what must survive, in bytes.
#include "core/record.h"

#include "core/mqtt.h"

// Bits of the flags byte of each kind.
#define FLAG_USER      1u // SESSION, and who published what is retained
#define FLAG_STAMP     2u // of that: its stamp follows
#define FLAG_CONNECTED 2u
#define FLAG_WILL      4u
#define FLAG_CLAIM     8u
#define FLAG_QOS       3u // SUBSCRIBE, ENQUEUE, and a message's
#define FLAG_NO_LOCAL  4u // SUBSCRIBE
#define FLAG_AS_IS     8u // SUBSCRIBE: Retain As Published
#define FLAG_RETAIN    4u // ENQUEUE, and a message's

// ---- To bytes -----------------------------------------------------------------------------------

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "else put_int and get_int must turn");

static inline uint8_t *
put_int(uint8_t *dst, uint64_t value, uint32_t bytes)
{
    memcpy(dst, &value, bytes); // one store: bytes is a constant everywhere
    return dst + bytes;
}

static inline uint8_t *
put_bytes(uint8_t *dst, struct slice bytes)
{
    if (bytes.len)
        memcpy(dst, bytes.data, bytes.len);
    return dst + bytes.len;
}

static uint8_t *
put_text(uint8_t *dst, struct slice text)
{
    return put_bytes(put_int(dst, text.len, 4), text);
}

#define MSG_BYTES (8u + 8u + 8u + 1u + 3u * 4u)

static uint32_t
msg_bytes(const struct record_msg *msg)
{
    return MSG_BYTES + msg->topic.len + msg->props.len + msg->payload.len;
}

static uint8_t *
put_msg(uint8_t *dst, const struct record_msg *msg)
{
    dst = put_int(dst, msg->expires_ms, 8);
    dst = put_int(dst, msg->arrived_ms, 8);
    dst = put_int(dst, msg->publisher, 8);
    dst = put_int(dst, (msg->qos & FLAG_QOS) | (msg->retain ? FLAG_RETAIN : 0), 1);
    return put_text(put_text(put_text(dst, msg->topic), msg->props), msg->payload);
}

// Who published a retained message, where that matters: the record goes on after the message.
#define SOURCE_BYTES (1u + 2u + 2u * 4u)
#define STAMP_BYTES  (8u + STAMP_NODE_LEN)

static uint32_t
source_bytes(const struct record *r)
{
    if (r->id.len == 0 && r->stamp.at == 0)
        return 0;
    return SOURCE_BYTES + (r->stamp.at ? STAMP_BYTES : 0) + r->user.len + r->id.len;
}

static uint8_t *
put_source(uint8_t *dst, const struct record *r)
{
    if (r->id.len == 0 && r->stamp.at == 0)
        return dst;
    must(r->user.data || r->user.len == 0);
    dst = put_int(dst, (r->user.data ? FLAG_USER : 0) | (r->stamp.at ? FLAG_STAMP : 0), 1);
    dst = put_int(dst, r->port, 2);
    if (r->stamp.at)
        dst = put_bytes(put_int(dst, r->stamp.at, 8), slice_of(r->stamp.node, STAMP_NODE_LEN));
    return put_text(put_text(dst, r->user), r->id);
}

static uint32_t
body_size(const struct record *r)
{
    switch (r->kind) {
    case JOURNAL_SESSION:
        return 8 + 1 + 1 + 4 + 8 + 8 + 4 + r->id.len + 4 + r->user.len + (r->claim ? 8 : 0) +
               (r->has_will ? 4 + 8 + msg_bytes(&r->msg) : 0);
    case JOURNAL_SESSION_END:
        return 8;
    case JOURNAL_SUBSCRIBE:
        return 8 + 4 + 1 + 4 + 4 + r->filter.len + 4 + r->group.len;
    case JOURNAL_UNSUBSCRIBE:
        return 8 + 4;
    case JOURNAL_MESSAGE:
        return 8 + msg_bytes(&r->msg);
    case JOURNAL_RETAIN:
        return 8 + msg_bytes(&r->msg) + source_bytes(r);
    case JOURNAL_ENQUEUE:
        return 8 + 8 + 8 + 4 + 1 + 4 + r->ids.len;
    case JOURNAL_STATE:
        return 8 + 8 + 1;
    case JOURNAL_RECEIVED:
    case JOURNAL_RELEASED:
        return 8 + 2;
    case JOURNAL_SETTING:
        return 8 + 4 + r->msg.topic.len + 4 + r->msg.payload.len;
    default:
        must(r->kind == JOURNAL_RETAIN_CLEAR);
        return 8 + 4 + r->msg.topic.len;
    }
}

uint32_t
record_size(const struct record *record)
{
    return RECORD_HEAD + body_size(record);
}

static uint8_t *
write_session(uint8_t *dst, const struct record *r)
{
    must(r->user.data || r->user.len == 0);
    uint32_t flags = (r->user.data ? FLAG_USER : 0) | (r->connected ? FLAG_CONNECTED : 0) |
                     (r->has_will ? FLAG_WILL : 0) | (r->claim ? FLAG_CLAIM : 0);
    dst = put_int(dst, flags, 1);
    dst = put_int(dst, r->version, 1);
    dst = put_int(dst, r->expiry_s, 4);
    dst = put_int(dst, r->expires_ms, 8);
    dst = put_int(dst, r->sent, 8);
    dst = put_text(put_text(dst, r->id), r->user);
    if (r->claim)
        dst = put_int(dst, r->claim, 8);
    if (!r->has_will)
        return dst;
    dst = put_int(dst, r->will_delay_s, 4);
    dst = put_int(dst, r->will_due_ms, 8);
    return put_msg(dst, &r->msg);
}

static uint8_t *
write_subscribe(uint8_t *dst, const struct record *r)
{
    dst = put_int(dst, r->ordinal, 4);
    dst = put_int(dst,
                  (r->qos & FLAG_QOS) | (r->no_local ? FLAG_NO_LOCAL : 0) |
                      (r->retain_as_published ? FLAG_AS_IS : 0),
                  1);
    dst = put_int(dst, r->subscription_id, 4);
    return put_text(put_text(dst, r->filter), r->group);
}

static uint8_t *
write_enqueue(uint8_t *dst, const struct record *r)
{
    must_hot(r->ids.len % 4 == 0);
    dst = put_int(dst, r->seq, 8);
    dst = put_int(dst, r->message, 8);
    dst = put_int(dst, r->size, 4);
    dst = put_int(dst, (r->qos & FLAG_QOS) | (r->retain ? FLAG_RETAIN : 0), 1);
    dst = put_int(dst, r->ordinal, 4);
    return put_bytes(dst, r->ids);
}

uint8_t *
record_write(uint8_t *dst, const struct record *r)
{
    uint8_t *head = dst;
    dst += RECORD_HEAD;
    bool of_session = r->kind <= JOURNAL_RELEASED && r->kind != JOURNAL_MESSAGE;
    dst = put_int(dst,
                  of_session                   ? r->session
                  : r->kind == JOURNAL_MESSAGE ? r->message
                                               : r->order,
                  8);
    switch (r->kind) {
    case JOURNAL_SESSION:
        dst = write_session(dst, r);
        break;
    case JOURNAL_SUBSCRIBE:
        dst = write_subscribe(dst, r);
        break;
    case JOURNAL_UNSUBSCRIBE:
        dst = put_int(dst, r->ordinal, 4);
        break;
    case JOURNAL_MESSAGE:
        dst = put_msg(dst, &r->msg);
        break;
    case JOURNAL_RETAIN:
        dst = put_source(put_msg(dst, &r->msg), r);
        break;
    case JOURNAL_ENQUEUE:
        dst = write_enqueue(dst, r);
        break;
    case JOURNAL_STATE:
        dst = put_int(put_int(dst, r->seq, 8), r->state, 1);
        break;
    case JOURNAL_RECEIVED:
    case JOURNAL_RELEASED:
        dst = put_int(dst, r->packet_id, 2);
        break;
    case JOURNAL_RETAIN_CLEAR:
        dst = put_text(dst, r->msg.topic);
        break;
    case JOURNAL_SETTING:
        must(r->msg.topic.len > 0 && r->msg.topic.len <= RECORD_SETTING_NAME_MAX);
        dst = put_text(put_text(dst, r->msg.topic), r->msg.payload);
        break;
    default:
        must(r->kind == JOURNAL_SESSION_END);
    }
    put_int(put_int(head, r->kind, 1), (uint32_t)(dst - head) - RECORD_HEAD, 4);
    return dst;
}

// ---- From bytes ---------------------------------------------------------------------------------

// Fields taken off the front; once one is cut short everything reads as zero and `bad` stays.
struct fields {
    const uint8_t *at, *end;
    bool bad;
};

static inline uint64_t
get_int(struct fields *f, uint32_t bytes)
{
    if (unlikely((size_t)(f->end - f->at) < bytes)) {
        f->bad = true;
        return 0;
    }
    uint64_t value = 0;
    memcpy(&value, f->at, bytes);
    f->at += bytes;
    return value;
}

static struct slice
get_bytes(struct fields *f, uint64_t len)
{
    if (unlikely((size_t)(f->end - f->at) < len)) {
        f->bad = true;
        return (struct slice){0};
    }
    struct slice bytes = slice_of(f->at, len);
    f->at += len;
    return bytes;
}

static struct slice
get_text(struct fields *f)
{
    return get_bytes(f, get_int(f, 4));
}

static void
get_msg(struct fields *f, struct record_msg *msg)
{
    msg->expires_ms = get_int(f, 8);
    msg->arrived_ms = get_int(f, 8);
    msg->publisher = get_int(f, 8);
    uint64_t flags = get_int(f, 1);
    msg->qos = flags & FLAG_QOS;
    msg->retain = flags & FLAG_RETAIN;
    msg->topic = get_text(f);
    msg->props = get_text(f);
    msg->payload = get_text(f);
    f->bad |= msg->qos > 2 || flags > (FLAG_QOS | FLAG_RETAIN) || msg->topic.len == 0 ||
              msg->topic.len > MQTT_STRING_MAX;
}

// Those that were written before there were rules for topics have none, and before there were other
// nodes, no stamp.
static void
read_source(struct fields *f, struct record *r)
{
    if (f->at == f->end)
        return;
    uint64_t flags = get_int(f, 1);
    r->port = (uint16_t)get_int(f, 2);
    if (flags & FLAG_STAMP) {
        r->stamp.at = get_int(f, 8);
        struct slice node = get_bytes(f, STAMP_NODE_LEN);
        f->bad |= r->stamp.at == 0;
        if (!f->bad)
            memcpy(r->stamp.node, node.data, STAMP_NODE_LEN);
    }
    r->user = get_text(f);
    r->id = get_text(f);
    bool has_user = flags & FLAG_USER;
    f->bad |= flags > (FLAG_USER | FLAG_STAMP) || (r->id.len == 0 && !(flags & FLAG_STAMP)) ||
              r->id.len > MQTT_STRING_MAX || r->user.len > MQTT_STRING_MAX ||
              (!has_user && r->user.len > 0);
    if (!has_user)
        r->user = (struct slice){0};
}

static void
read_session(struct fields *f, struct record *r)
{
    uint64_t flags = get_int(f, 1);
    r->connected = flags & FLAG_CONNECTED;
    r->has_will = flags & FLAG_WILL;
    r->version = (uint8_t)get_int(f, 1);
    r->expiry_s = (uint32_t)get_int(f, 4);
    r->expires_ms = get_int(f, 8);
    r->sent = get_int(f, 8);
    r->id = get_text(f);
    r->user = get_text(f);
    r->claim = flags & FLAG_CLAIM ? get_int(f, 8) : 0;
    f->bad |= flags > (FLAG_USER | FLAG_CONNECTED | FLAG_WILL | FLAG_CLAIM) || r->id.len == 0 ||
              r->id.len > MQTT_STRING_MAX || r->version < MQTT_31 || r->version > MQTT_5 ||
              ((flags & FLAG_CLAIM) && r->claim == 0);
    if (!(flags & FLAG_USER)) {
        f->bad |= r->user.len > 0;
        r->user = (struct slice){0};
    }
    if (!r->has_will)
        return;
    r->will_delay_s = (uint32_t)get_int(f, 4);
    r->will_due_ms = get_int(f, 8);
    get_msg(f, &r->msg);
}

static void
read_subscribe(struct fields *f, struct record *r)
{
    r->ordinal = (uint32_t)get_int(f, 4);
    uint64_t flags = get_int(f, 1);
    r->qos = flags & FLAG_QOS;
    r->no_local = flags & FLAG_NO_LOCAL;
    r->retain_as_published = flags & FLAG_AS_IS;
    r->subscription_id = (uint32_t)get_int(f, 4);
    r->filter = get_text(f);
    r->group = get_text(f);
    f->bad |= r->qos > 2 || flags > (FLAG_QOS | FLAG_NO_LOCAL | FLAG_AS_IS) || r->ordinal == 0 ||
              r->filter.len == 0 || r->filter.len > MQTT_STRING_MAX ||
              r->group.len > MQTT_STRING_MAX;
}

static void
read_enqueue(struct fields *f, struct record *r)
{
    r->seq = get_int(f, 8);
    r->message = get_int(f, 8);
    r->size = (uint32_t)get_int(f, 4);
    uint64_t flags = get_int(f, 1);
    r->qos = flags & FLAG_QOS;
    r->retain = flags & FLAG_RETAIN;
    r->ordinal = (uint32_t)get_int(f, 4);
    r->ids = get_bytes(f, (size_t)(f->end - f->at));
    f->bad |= r->qos > 2 || flags > (FLAG_QOS | FLAG_RETAIN) || r->ids.len % 4 != 0;
}

static void
read_body(struct fields *f, struct record *r)
{
    uint64_t number = get_int(f, 8);
    if (r->kind == JOURNAL_MESSAGE)
        r->message = number;
    else if (r->kind >= JOURNAL_RETAIN && r->kind <= JOURNAL_SETTING)
        r->order = number;
    else
        r->session = number;
    switch (r->kind) {
    case JOURNAL_SESSION:
        read_session(f, r);
        return;
    case JOURNAL_SESSION_END:
        return;
    case JOURNAL_SUBSCRIBE:
        read_subscribe(f, r);
        return;
    case JOURNAL_UNSUBSCRIBE:
        r->ordinal = (uint32_t)get_int(f, 4);
        return;
    case JOURNAL_MESSAGE:
        get_msg(f, &r->msg);
        return;
    case JOURNAL_RETAIN:
        get_msg(f, &r->msg);
        read_source(f, r);
        return;
    case JOURNAL_ENQUEUE:
        read_enqueue(f, r);
        return;
    case JOURNAL_STATE:
        r->seq = get_int(f, 8);
        r->state = (uint8_t)get_int(f, 1);
        f->bad |= r->state != ENTRY_RELEASED && r->state != ENTRY_DONE;
        return;
    case JOURNAL_RECEIVED:
    case JOURNAL_RELEASED:
        r->packet_id = (uint16_t)get_int(f, 2);
        f->bad |= r->packet_id == 0;
        return;
    case JOURNAL_RETAIN_CLEAR:
        r->msg.topic = get_text(f);
        f->bad |= r->msg.topic.len == 0 || r->msg.topic.len > MQTT_STRING_MAX;
        return;
    case JOURNAL_SETTING:
        r->msg.topic = get_text(f);
        r->msg.payload = get_text(f);
        f->bad |= r->msg.topic.len == 0 || r->msg.topic.len > RECORD_SETTING_NAME_MAX;
        return;
    default:
        f->bad = true;
    }
}

err_t
record_read(struct slice bytes, struct record *ret, uint32_t *ret_len)
{
    if (bytes.len == 0)
        return ERR_NEED_MORE;
    *ret = (struct record){0};
    struct fields f = {bytes.data, bytes.data + bytes.len, false};
    ret->kind = (uint8_t)get_int(&f, 1);
    uint64_t len = get_int(&f, 4);
    if (f.bad || len > (size_t)(f.end - f.at) || len > RECORD_BYTES_MAX)
        return ERR_MALFORMED;
    f.end = f.at + len;
    read_body(&f, ret);
    *ret_len = RECORD_HEAD + (uint32_t)len;
    return f.bad || f.at != f.end ? ERR_MALFORMED : OK;
}

bool
record_is_enqueue(const uint8_t *bytes, uint64_t session, uint64_t seq)
{
    if (bytes[0] != JOURNAL_ENQUEUE)
        return false;
    uint64_t fields[2];
    memcpy(fields, bytes + RECORD_HEAD, sizeof fields); // as write_enqueue puts them
    return fields[0] == session && fields[1] == seq;
}

uint32_t
record_id(const struct record *record, uint32_t i)
{
    must(i < record->ids.len / 4);
    struct fields f = {record->ids.data + 4 * (size_t)i, record->ids.data + record->ids.len, false};
    return (uint32_t)get_int(&f, 4);
}
