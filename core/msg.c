// msg.c - an Application Message, immutable, counted.
#include "core/msg.h"

#include "core/base/mem.h"

#include "core/codec.h"

static uint8_t *
append(uint8_t *p, struct slice part)
{
    if (part.data && part.len > 0)
        memcpy(p, part.data, part.len);
    return p + part.len;
}

// ---- Who published it ---------------------------------------------------------------------------

// u16 port, u8 flags, u16 length of the user; the stamp, user, client id.
#define SOURCE_HEAD  5u
#define SOURCE_USER  1u // flags: there is one
#define SOURCE_STAMP 2u
#define STAMP_BYTES  (8u + STAMP_NODE_LEN)

static uint32_t
source_size(const struct msg_source *source)
{
    uint32_t stamp = source->stamp.at ? STAMP_BYTES : 0;
    return SOURCE_HEAD + stamp + source->user.len + source->client_id.len;
}

static uint8_t *
append_source(uint8_t *p, const struct msg_source *source)
{
    must(source->user.len <= UINT16_MAX && (source->client_id.len > 0 || source->stamp.at));
    uint16_t user_len = (uint16_t)source->user.len;
    memcpy(p, &source->port, 2);
    p[2] = (uint8_t)((source->user.data ? SOURCE_USER : 0) | (source->stamp.at ? SOURCE_STAMP : 0));
    memcpy(p + 3, &user_len, 2);
    p += SOURCE_HEAD;
    if (source->stamp.at) {
        memcpy(p, &source->stamp.at, 8);
        memcpy(p + 8, source->stamp.node, STAMP_NODE_LEN);
        p += STAMP_BYTES;
    }
    return append(append(p, source->user), source->client_id);
}

static const uint8_t *
source_bytes(const struct msg *msg)
{
    return msg->bytes + msg->topic_len + msg->props_len + msg->payload_len;
}

bool
msg_source(const struct msg *msg, struct msg_source *ret)
{
    if (msg->source_len == 0)
        return false;
    const uint8_t *p = source_bytes(msg);
    uint16_t user_len;
    uint8_t flags = p[2];
    memcpy(&ret->port, p, 2);
    memcpy(&user_len, p + 3, 2);
    uint32_t head = SOURCE_HEAD + (flags & SOURCE_STAMP ? STAMP_BYTES : 0);
    must(msg->source_len >= head + user_len);
    ret->user = flags & SOURCE_USER ? slice_of(p + head, user_len) : (struct slice){0};
    ret->client_id = slice_of(p + head + user_len, msg->source_len - head - user_len);
    ret->stamp = msg_stamp(msg);
    return ret->client_id.len > 0;
}

struct stamp
msg_stamp(const struct msg *msg)
{
    struct stamp stamp = {0};
    const uint8_t *p = source_bytes(msg);
    if (msg->source_len == 0 || !(p[2] & SOURCE_STAMP))
        return stamp;
    memcpy(&stamp.at, p + SOURCE_HEAD, 8);
    memcpy(stamp.node, p + SOURCE_HEAD + 8, STAMP_NODE_LEN);
    return stamp;
}

// ---- Messages -----------------------------------------------------------------------------------

static inline struct msg *
make(const struct pub *pub, const struct msg_source *source)
{
    must_hot(pub->topic.len <= UINT16_MAX && !pub_is_run(pub)); // which is several messages
    uint32_t source_len = source ? source_size(source) : 0;
    size_t body = (size_t)pub->topic.len + pub->props.len + pub->payload.len + source_len;
    struct msg *msg = mem_alloc(sizeof *msg + body);
    *msg = (struct msg){
        .magic = MSG_MAGIC,
        .expires_ms = pub->expires_ms,
        .publisher = pub->publisher,
        .arrived_ms = pub->arrived_ms,
        .topic_len = (uint16_t)pub->topic.len,
        .props_len = pub->props.len,
        .payload_len = pub->payload.len,
        .source_len = source_len,
        .qos = pub->qos,
        .retain = pub->retain,
    };
    atomic_init(&msg->refs, 1);
    atomic_init(&msg->number, pub->number);
    uint8_t *end = append(append(append(msg->bytes, pub->topic), pub->props), pub->payload);
    if (source)
        end = append_source(end, source);
    must_hot(end == msg->bytes + body);
    return msg;
}

static NOINLINE struct msg *
make_with_source(const struct pub *pub)
{
    return make(pub, pub->source);
}

struct msg *
msg_new(const struct pub *pub)
{
    return unlikely(pub->source != NULL) ? make_with_source(pub) : make(pub, NULL);
}

struct msg *
msg_ref(struct msg *msg)
{
    must_hot(msg->magic == MSG_MAGIC);
    // Relaxed: the caller has a reference, or one that a grace period protects, so the message
    // lives; whoever gets the new one gets it from the caller, in order. All references to most
    // messages are one shard's, and a locked instruction costs more than all the rest: it waits for
    // the body's bytes to reach the cache.
    uint32_t before = atomic_load_explicit(&msg->refs, memory_order_relaxed);
    must_hot(before > 0 && before < UINT32_MAX);
    if (unlikely(msg->shared))
        (void)atomic_fetch_add_explicit(&msg->refs, 1, memory_order_relaxed);
    else
        atomic_store_explicit(&msg->refs, before + 1, memory_order_relaxed);
    return msg;
}

struct msg *
msg_share(struct msg *msg)
{
    must_hot(!msg->run);
    // Before any other thread can see it; who gets it from here gets it with this.
    if (!msg->shared)
        msg->shared = true;
    return msg_ref(msg);
}

void
msg_unref(struct msg *msg)
{
    if (!msg)
        return;
    must_hot(msg->magic == MSG_MAGIC);
    // Release: what this thread did with the message is over. Acquire: the last one frees it after
    // all that the others did. Who sees 1 has the only reference: nobody else can make it more.
    uint32_t before = atomic_load_explicit(&msg->refs, memory_order_acquire);
    must_hot(before > 0);
    if (before > 1 && likely(!msg->shared)) {
        atomic_store_explicit(&msg->refs, before - 1, memory_order_relaxed);
        return;
    }
    if (before > 1 && atomic_fetch_sub_explicit(&msg->refs, 1, memory_order_acq_rel) > 1)
        return;
    msg->magic = 0;
    mem_free(msg);
}

size_t
msg_size(const struct msg *msg)
{
    return sizeof *msg + msg->topic_len + msg->props_len + msg->payload_len + msg->source_len;
}

struct msg *
pub_msg(struct pub *pub)
{
    if (pub->msg)
        must_hot(pub->msg->topic_len == pub->topic.len);
    else
        pub->msg = msg_new(pub);
    return pub->msg;
}

struct msg *
pub_msg_ref(struct pub *pub)
{
    if (pub->msg)
        return msg_ref(pub->msg);
    pub->msg = msg_new(pub);
    atomic_init(&pub->msg->refs, 2); // nobody else has seen it
    return pub->msg;
}

void
pub_done(struct pub *pub)
{
    msg_unref(pub->msg);
    pub->msg = NULL;
}

// ---- Runs ---------------------------------------------------------------------------------------

struct pub
pub_one_of(const struct pub *run)
{
    must_hot(run->packet.form != 0 && run->number == 0);
    struct pub one = *run;
    one.packet.count = 1;
    one.copy = NULL; // which would be of another packet
    one.msg = NULL;  // which is all of them
    return one;
}

// The packet at bytes, which was framed before; the topic and its form are known.
static inline void
read_packet(struct pub *one, const uint8_t *bytes)
{
    uint8_t form = one->packet.form;
    uint32_t size = packet_size(bytes), topic_at = bytes[1] < 0x80 ? 4 : 5;
    uint32_t id_at = topic_at + one->topic.len;
    uint32_t payload_at = id_at + (form & PACKET_ID ? 2 : 0) + (form & PACKET_V5 ? 1 : 0);
    must_hot(payload_at <= size);
    one->topic.data = bytes + topic_at;
    one->payload = slice_of(bytes + payload_at, size - payload_at);
    one->packet.bytes = bytes;
    one->packet.len = size;
    one->packet.payload_len = one->payload.len;
    one->packet.id_at = id_at;
}

bool
pub_next(struct pub *run, struct pub *one)
{
    must_hot(!one->msg);
    if (run->packet.count == 0)
        return false;
    read_packet(one, run->packet.bytes);
    one->number = 0;
    run->packet.bytes += one->packet.len;
    run->packet.len -= one->packet.len;
    run->packet.count--;
    return true;
}

static struct msg *
make_run(const struct pub *run)
{
    must_hot(run->qos > 0 && run->props.len == 0 && run->expires_ms == 0 && !run->retain);
    struct msg *msg = mem_alloc(sizeof *msg + run->topic.len + run->packet.len);
    *msg = (struct msg){
        .magic = MSG_MAGIC,
        .publisher = run->publisher,
        .arrived_ms = run->arrived_ms,
        .topic_len = (uint16_t)run->topic.len,
        .payload_len = run->packet.len,
        .qos = run->qos,
        .run = true,
        .run_v5 = (run->packet.form & PACKET_V5) != 0,
    };
    atomic_init(&msg->refs, 1);
    append(append(msg->bytes, run->topic), slice_of(run->packet.bytes, run->packet.len));
    return msg;
}

struct msg *
pub_run_ref(struct pub *run, uint32_t count)
{
    must_hot(pub_is_run(run) && count == run->packet.count);
    if (!run->msg)
        run->msg = make_run(run);
    // As msg_ref: no other thread is ever given a run.
    uint32_t before = atomic_load_explicit(&run->msg->refs, memory_order_relaxed);
    must_hot(!run->msg->shared && before > 0 && before < UINT32_MAX - count);
    atomic_store_explicit(&run->msg->refs, before + count, memory_order_relaxed);
    return run->msg;
}

static const uint8_t *
part_bytes(const struct msg *run, uint32_t at)
{
    must_hot(run->magic == MSG_MAGIC && run->run && at < run->payload_len);
    return run->bytes + run->topic_len + at;
}

uint32_t
msg_part_next(const struct msg *run, uint32_t at)
{
    uint32_t next = at + packet_size(part_bytes(run, at));
    must_hot(next <= run->payload_len);
    return next;
}

void
pub_borrow_part(struct pub *ret_pub, const struct msg *run, uint32_t at)
{
    *ret_pub = (struct pub){
        .topic = msg_topic(run),
        .publisher = run->publisher,
        .arrived_ms = run->arrived_ms,
        .qos = run->qos,
        .packet = {.count = 1, .form = packet_form(run->run_v5, run->qos)},
    };
    read_packet(ret_pub, part_bytes(run, at));
}

size_t
msg_part_size(const struct msg *run, uint32_t at)
{
    const uint8_t *bytes = part_bytes(run, at);
    uint32_t before = (bytes[1] < 0x80 ? 2 : 3) + 2u + 2u + run->run_v5; // and the topic
    return sizeof *run + packet_size(bytes) - before;
}

void
pub_borrow(struct pub *ret_pub, struct msg *msg)
{
    must_hot(!msg->run);
    *ret_pub = (struct pub){
        .topic = msg_topic(msg),
        .props = msg_props(msg),
        .payload = msg_payload(msg),
        .expires_ms = msg->expires_ms,
        .publisher = msg->publisher,
        .arrived_ms = msg->arrived_ms,
        .qos = msg->qos,
        .number = atomic_load_explicit(&msg->number, memory_order_relaxed),
        .retain = msg->retain,
        .msg = msg,
    };
}

void
pub_from_msg(struct pub *ret_pub, struct msg *msg)
{
    pub_borrow(ret_pub, msg_ref(msg));
}
