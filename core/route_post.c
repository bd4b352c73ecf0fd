// route_post.c - publications on their way to other shards.
#include "core/mail.h"
#include "core/route.h"
#include "core/route_parts.h"
#include "core/samples.h"
#include "core/stats.h"

static uint32_t
body_len(const struct pub *pub)
{
    return pub->packet.form ? pub->packet.len : pub->topic.len + pub->props.len + pub->payload.len;
}

bool
route_is_long(const struct pub *pub)
{
    return body_len(pub) > ROUTE_INLINE_MAX && !pub_is_run(pub);
}

static void
put_body(uint8_t *p, const struct pub *pub)
{
    if (likely(pub->packet.form)) {
        memcpy(p, pub->packet.bytes, pub->packet.len);
        return;
    }
    memcpy(p, pub->topic.data, pub->topic.len);
    if (pub->props.len)
        memcpy(p + pub->topic.len, pub->props.data, pub->props.len);
    if (pub->payload.len)
        memcpy(p + pub->topic.len + pub->props.len, pub->payload.data, pub->payload.len);
}

void
route_post(struct shard *shard, unsigned to, struct pub *pub, uint64_t ticket,
           const struct selection *wanted)
{
    uint32_t handles = (wanted->ordinary + wanted->shares) * sizeof(struct trie_handle);
    uint32_t body = body_len(pub);
    bool by_ref = route_is_long(pub), whole = pub->packet.form != 0;
    struct record_head head = {
        .expires_ms = pub->expires_ms,
        .publisher = pub->publisher,
        .arrived_ms = pub->arrived_ms,
        .number = pub->number,
        .ticket = ticket,
        .tried = wanted->tried,
        .msg = by_ref ? msg_share(pub_msg(pub)) : NULL,
        .topic_len = pub->topic.len,
        .props_len = pub->props.len,
        .payload_at = whole ? (uint32_t)(pub->payload.data - pub->packet.bytes)
                            : pub->topic.len + pub->props.len,
        .payload_len = pub->payload.len,
        .run_payload_len = pub->packet.payload_len,
        .ordinary = wanted->ordinary,
        .shares = wanted->shares,
        .count = pub->packet.count,
        .form = pub->packet.form,
        .topic_at = whole ? (uint8_t)(pub->topic.data - pub->packet.bytes) : 0,
        .qos = pub->qos,
        .retain = pub->retain,
        .may_wait = pub->may_wait,
        .from_node = pub->from_node,
        .bonded = ticket != 0 && pub->bonded,
        .turn = pub->turn,
    };
    if (unlikely(pub->msg && pub->msg->sampled))
        head.taken_us = samples_short(pub->msg->taken_us);
    uint8_t *p = mail_reserve(shard, to, by_ref ? RECORD_PUBLISH_REF : RECORD_PUBLISH,
                              (uint32_t)sizeof head + handles + (by_ref ? 0 : body));
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    if (likely(handles == sizeof(struct trie_handle)))
        memcpy(p, wanted->handles, sizeof(struct trie_handle));
    else
        memcpy(p, wanted->handles, handles);
    stat_add(&shard->stats.posted, 1);
    if (!by_ref)
        put_body(p + handles, pub);
}

void
route_record_pub(const struct spsc_record *record, struct record_head *ret_head,
                 struct pub *ret_pub)
{
    must_hot(record->len >= sizeof *ret_head);
    memcpy(ret_head, record->data, sizeof *ret_head);
    const struct record_head *head = ret_head;
    if (head->msg) {
        pub_from_msg(ret_pub, head->msg);
        msg_unref(head->msg); // pub has one of its own
        ret_pub->may_wait = head->may_wait;
        ret_pub->from_node = head->from_node;
        ret_pub->turn = head->turn;
        return;
    }
    size_t before =
        sizeof *head + (size_t)(head->ordinary + head->shares) * sizeof(struct trie_handle);
    must_hot(before + head->payload_at + head->payload_len <= record->len);
    must_hot(head->topic_at + head->topic_len + head->props_len <= head->payload_at);
    const uint8_t *body = record->data + before;
    *ret_pub = (struct pub){
        .topic = slice_of(body + head->topic_at, head->topic_len),
        .props = slice_of(body + head->payload_at - head->props_len, head->props_len),
        .payload = slice_of(body + head->payload_at, head->payload_len),
        .packet = {.bytes = body,
                   .len = (uint32_t)(record->len - before),
                   .payload_len = head->run_payload_len,
                   .id_at = head->topic_at + head->topic_len,
                   .count = head->count,
                   .form = head->form},
        .expires_ms = head->expires_ms,
        .publisher = head->publisher,
        .arrived_ms = head->arrived_ms,
        .number = head->number,
        .qos = head->qos,
        .retain = head->retain,
        .may_wait = head->may_wait,
        .from_node = head->from_node,
        .turn = head->turn,
    };
}
