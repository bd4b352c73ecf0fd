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

#define SOURCE_HEAD 5u // u16 port, u8 whether there is a user, u16 its length; user, client id

static uint32_t
source_size(const struct msg_source *source)
{
    return SOURCE_HEAD + source->user.len + source->client_id.len;
}

static uint8_t *
append_source(uint8_t *p, const struct msg_source *source)
{
    must(source->user.len <= UINT16_MAX && source->client_id.len > 0);
    uint16_t user_len = (uint16_t)source->user.len;
    memcpy(p, &source->port, 2);
    p[2] = source->user.data != NULL;
    memcpy(p + 3, &user_len, 2);
    return append(append(p + SOURCE_HEAD, source->user), source->client_id);
}

bool
msg_source(const struct msg *msg, struct msg_source *ret)
{
    if (msg->source_len == 0)
        return false;
    const uint8_t *p = msg->bytes + msg->topic_len + msg->props_len + msg->payload_len;
    uint16_t user_len;
    memcpy(&ret->port, p, 2);
    memcpy(&user_len, p + 3, 2);
    must(msg->source_len >= SOURCE_HEAD + user_len);
    ret->user = p[2] ? slice_of(p + SOURCE_HEAD, user_len) : (struct slice){0};
    ret->client_id = slice_of(p + SOURCE_HEAD + user_len, msg->source_len - SOURCE_HEAD - user_len);
    return true;
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

struct pub
pub_one_of(const struct pub *run)
{
    must_hot(run->packet.form != 0 && run->number == 0 && !run->msg);
    struct pub one = *run;
    one.packet.count = 1;
    one.copy = NULL; // which would be of another packet
    return one;
}

bool
pub_next(struct pub *run, struct pub *one)
{
    must_hot(!one->msg);
    if (run->packet.count == 0)
        return false;
    struct frame frame;
    err_t err = codec_frame(slice_of(run->packet.bytes, run->packet.len), UINT32_MAX, &frame);
    must_hot(err == OK); // framed before, when the run was made
    uint32_t id_at = 2 + one->topic.len;
    uint32_t head =
        id_at + (run->packet.form & PACKET_ID ? 2 : 0) + (run->packet.form & PACKET_V5 ? 1 : 0);
    must_hot(head <= frame.body.len);
    one->topic.data = frame.body.data + 2;
    one->payload = slice_of(frame.body.data + head, frame.body.len - head);
    one->number = 0;
    one->packet.bytes = run->packet.bytes;
    one->packet.len = frame.total;
    one->packet.payload_len = one->payload.len;
    one->packet.id_at = frame.total - frame.body.len + id_at;
    run->packet.bytes += frame.total;
    run->packet.len -= frame.total;
    run->packet.count--;
    return true;
}

void
pub_borrow(struct pub *ret_pub, struct msg *msg)
{
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
