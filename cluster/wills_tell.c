// wills_tell.c - the Wills of our clients, told to other nodes (will_word.h).
#include <stdio.h>

#include "core/base/mem.h"

#include "cluster/nodes_parts.h"
#include "cluster/will_word.h"
#include "cluster/wire_int.h"
#include "core/client.h"
#include "core/client_out.h"
#include "core/journal.h"
#include "core/msg.h"
#include "core/session.h"
#include "core/shard.h"

#define WORD_BYTES 16384u // of one word that tells many, about
#define TOPIC_MAX  (sizeof TOPIC_WILLS + 1 + NODE_ID_LEN)

static uint8_t *
put_text(uint8_t *at, struct slice text)
{
    if (text.len > 0)
        memcpy(at, text.data, text.len);
    return at + text.len;
}

static void
one_topic(const struct link *link, char ret_topic[TOPIC_MAX])
{
    int len = snprintf(ret_topic, TOPIC_MAX, "%s/%s", TOPIC_WILLS, link->id);
    must(len == (int)TOPIC_MAX - 1);
}

// Room for more in the word that the shard makes; the first begins it.
static uint8_t *
grow_word(struct nodes *nodes, struct inbox *inbox, uint32_t len)
{
    uint32_t at = max_u32(inbox->wills_len, WORD_HEAD);
    inbox->wills = mem_grow(inbox->wills, &inbox->wills_cap, at + len, 1);
    if (inbox->wills_len == 0)
        put_u64(inbox->wills, nodes->identity.incarnation);
    inbox->wills_len = at + len;
    return inbox->wills + at;
}

static void
put_head(uint8_t *at, uint8_t kind, uint64_t number, uint32_t len)
{
    at[0] = kind;
    put_u64(at + 1, number);
    put_u16(at + 9, len);
}

// How long it would wait, were the connection to end now. It does not outlast the session.
static uint32_t
delay_of(const struct session *session)
{
    uint64_t now_ms = session->shard->now_ms, due_ms = session->will->due_ms;
    if (due_ms != 0)
        return due_ms > now_ms ? (uint32_t)((due_ms - now_ms) / 1000) : 0;
    return min_u32(session->will->delay_s, session->expiry_s);
}

static void
put_will(struct nodes *nodes, struct inbox *inbox, const struct session *session)
{
    const struct msg *msg = session->will->msg;
    struct slice topic = msg_topic(msg), props = msg_props(msg), payload = msg_payload(msg);
    struct slice user = session->user ? slice_str(session->user) : (struct slice){0};
    uint8_t *at = grow_word(nodes, inbox,
                            ENTRY_HEAD + WILL_HEAD + session->id_len + topic.len + props.len +
                                payload.len + user.len);
    put_head(at, ENTRY_WILL, session->claim, session->id_len);
    at += ENTRY_HEAD;
    at[0] = (uint8_t)(msg->qos | (msg->retain ? WILL_RETAIN : 0) | (session->user ? WILL_USER : 0) |
                      (session->own_rights ? WILL_RIGHTS : 0));
    put_u16(at + 1, session->will->port);
    put_u32(at + 3, delay_of(session));
    put_u64(at + 7, msg->expires_ms);
    put_u16(at + 15, topic.len);
    put_u32(at + 17, props.len);
    put_u32(at + 21, payload.len);
    put_u16(at + 25, user.len);
    at = put_text(put_text(at + WILL_HEAD, session_id(session)), topic);
    at = put_text(put_text(put_text(at, props), payload), user);
    must(at == inbox->wills + inbox->wills_len);
}

static struct awaited
send_word(struct inbox *inbox, struct shard *shard, const char *topic)
{
    struct awaited answers = {0};
    if (inbox->wills_len > 0)
        answers = link_publish(shard, topic, slice_of(inbox->wills, inbox->wills_len), 1);
    inbox->wills_len = 0;
    return answers;
}

void
wills_tell(struct nodes *nodes, const struct session *session, struct ack_wait *wait)
{
    struct shard *shard = session->shard;
    struct inbox *inbox = &nodes->inboxes[shard->index];
    must(session->will && inbox->wills_len == 0);
    uint64_t before = journal_last(shard->journal);
    put_will(nodes, inbox, session);
    struct awaited answers = send_word(inbox, shard, TOPIC_WILLS);
    uint64_t last = journal_last(shard->journal);
    if (!wait)
        return;
    wait->position = last == before ? wait->position : last;
    wait->awaited = answers;
}

void
wills_gone(struct cluster *cluster, const struct session *session)
{
    struct nodes *nodes = nodes_of(cluster);
    struct inbox *inbox = &nodes->inboxes[session->shard->index];
    if (atomic_load_explicit(&nodes->stopping, memory_order_relaxed) || session->node)
        return;
    must(inbox->wills_len == 0);
    uint8_t *at = grow_word(nodes, inbox, ENTRY_HEAD + session->id_len);
    put_head(at, ENTRY_GONE, session->claim, session->id_len);
    memcpy(at + ENTRY_HEAD, session->id, session->id_len);
    send_word(inbox, session->shard, TOPIC_WILLS);
}

void
wills_mark(struct nodes *nodes, const struct link *link, struct shard *shard, uint64_t round,
           bool end)
{
    struct inbox *inbox = &nodes->inboxes[shard->index];
    uint8_t *at = grow_word(nodes, inbox, ENTRY_HEAD);
    put_head(at, end ? ENTRY_END : ENTRY_BEGIN, round, nodes->broker->shard_count);
    wills_send(nodes, link, shard);
}

void
wills_add(struct nodes *nodes, const struct session *session)
{
    if (session->will)
        put_will(nodes, &nodes->inboxes[session->shard->index], session);
}

bool
wills_word_is_long(const struct inbox *inbox)
{
    return inbox->wills_len >= WORD_BYTES;
}

void
wills_send(struct nodes *nodes, const struct link *link, struct shard *shard)
{
    char topic[TOPIC_MAX];
    one_topic(link, topic);
    send_word(&nodes->inboxes[shard->index], shard, topic);
}

err_t
wills_linked(struct link *link, struct session *session)
{
    char topic[TOPIC_MAX];
    one_topic(link, topic);
    err_t err = link_subscribe(session, TOPIC_WILLS, 1);
    if (err == OK)
        err = link_subscribe(session, topic, 1);
    return err == OK ? link_subscribe(session, TOPIC_WILLED, 1) : err;
}

// What waits for it stays, and is all that does: on the next link all is told anew.
void
wills_unlinked(struct link *link, struct session *session)
{
    char topic[TOPIC_MAX];
    struct slice none = {0};
    one_topic(link, topic);
    (void)session_unsubscribe(session, slice_str(TOPIC_WILLS), none);
    (void)session_unsubscribe(session, slice_str(topic), none);
}
