// session_move.c - a session on its way from one node of a cluster to another.
#include "core/session_move.h"

#include <stdio.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/journal.h"
#include "core/mqtt.h"
#include "core/registry.h"
#include "core/restore.h"
#include "core/review.h"
#include "core/shard.h"

// Of a session without a connection so much waits in memory (session.h).
#define AWAY_BYTES QUEUE_AWAY_BYTES

// ---- Names --------------------------------------------------------------------------------------

struct slice
move_id(char *ret, uint32_t number, enum move_part part, struct slice client_id)
{
    char head[MOVE_ID_HEAD + 1];
    int len = snprintf(head, sizeof head, "%s%08x/%c/", NODE_MOVE, number, (char)part);
    must(len == (int)MOVE_ID_HEAD && client_id.len > 0);
    memcpy(ret, head, MOVE_ID_HEAD);
    memcpy(ret + MOVE_ID_HEAD, client_id.data, client_id.len);
    return slice_of(ret, MOVE_ID_HEAD + client_id.len);
}

bool
move_arrives(struct slice id)
{
    return id.len > MOVE_ID_HEAD && id.data[MOVE_ID_HEAD - 2] == MOVE_ARRIVALS;
}

uint32_t
move_number(const struct session *session)
{
    uint32_t number = 0;
    must(session->hidden);
    for (const char *at = session->id + sizeof NODE_MOVE - 1; *at && *at != '/'; at++)
        number = number << 4 | (uint32_t)(*at <= '9' ? *at - '0' : *at - 'a' + 10);
    return number;
}

struct slice
move_client_id(const struct session *session)
{
    must(session->hidden && session->id_len > MOVE_ID_HEAD);
    return slice_of(session->id + MOVE_ID_HEAD, session->id_len - MOVE_ID_HEAD);
}

bool
session_is_elsewhere(const struct session *session, const struct pub *pub)
{
    if (session->arrives)
        return pub->turn != move_number(session);
    uint32_t leaving = atomic_load_explicit(&session->shard->broker->leaving, memory_order_relaxed);
    return session->leaves && pub->turn != 0 && pub->turn == leaving;
}

// ---- Away ---------------------------------------------------------------------------------------

void
session_has_moved(struct session *session)
{
    must(session->leaves && !session->client);
    session_drop_will(session);
    if (session->durable || session->recorded)
        journal_session_end(session->shard->journal, session->number);
    session_discard(session);
}

// ---- Here: the parts ----------------------------------------------------------------------------

struct session *
session_move_part(struct shard *shard, uint32_t number, enum move_part part,
                  const struct record *from)
{
    char *room = mem_alloc(MOVE_ID_HEAD + from->id.len);
    struct slice id = move_id(room, number, part, from->id);
    uint32_t hash = registry_hash(shard->registry, id);
    struct session *session = registry_find(shard->registry, id, hash);
    if (!session) {
        session = session_new(shard, id, hash, 0);
        must(session->hidden && !session->node);
        session->version = from->version;
        session->expiry_s = NODE_EXPIRY_S;
        session_keep(session);
        session->expires_ms = shard->now_ms + NODE_EXPIRY_S * UINT64_C(1000);
        if (from->user.data)
            session->user = mem_strndup(from->user.data, from->user.len);
        session_journal(session);
        session_arm_timer(session);
        if (part == MOVE_ARRIVALS)
            review_rights(session);
    }
    mem_free(room);
    return session;
}

static uint64_t
mono_ms(const struct session *session, uint64_t wall_ms)
{
    uint64_t offset = broker_wall_offset(session->shard->broker);
    return wall_ms > offset ? wall_ms - offset : 1;
}

static struct msg *
make_msg(const struct session *session, const struct record_msg *from)
{
    return msg_new(&(struct pub){
        .topic = from->topic,
        .props = from->props,
        .payload = from->payload,
        .expires_ms = from->expires_ms ? mono_ms(session, from->expires_ms) : 0,
        .arrived_ms = mono_ms(session, from->arrived_ms),
        .qos = from->qos,
        .retain = from->retain,
    });
}

static void
copy_ids(struct delivery *entry, struct slice ids)
{
    uint32_t count = ids.len / (uint32_t)sizeof(uint32_t);
    must(count <= UINT16_MAX);
    entry->subscription_id_count = (uint16_t)count;
    if (count == 1) {
        memcpy(&entry->subscription.id, ids.data, ids.len);
    } else if (count > 1) {
        entry->subscription.ids = mem_alloc(ids.len);
        memcpy(entry->subscription.ids, ids.data, ids.len);
    }
}

void
session_take_entry(struct session *session, const struct moved_entry *from)
{
    struct deliveries *out = &session->out;
    struct journal *journal = session->shard->journal;
    must(session->hidden && !session->client);
    if (from->seq < out->tail)
        return; // it has come before
    bool again = from->released || (from->sent && from->qos > 0);
    struct delivery entry = {.msg = make_msg(session, &from->msg),
                             .qos = from->qos,
                             .retain = from->retain,
                             .resend = again};
    copy_ids(&entry, from->ids);
    uint32_t size = (uint32_t)msg_size(entry.msg);
    deliveries_extend(out, from->seq);
    entry.record =
        (uint32_t)journal_enqueue(journal, session, from->seq, &entry, from->ordinal, JOURNAL_NOW);
    deliveries_push_disk(out, size);
    if (from->released) {
        entry.record = (uint32_t)journal_entry_released(journal, session, from->seq);
        delivery_release(&entry);
        entry.msg = NULL;
    }
    entry.state = from->released ? DELIVERY_RELEASED : again ? DELIVERY_SENT : DELIVERY_QUEUED;
    bool fits = out->queued < QUEUE_AWAY_MESSAGES && out->queued_bytes < AWAY_BYTES &&
                out->loaded - out->head < DELIVERIES_SPAN_MAX;
    if (!journal_is_on(journal) || (out->loaded == from->seq && fits))
        deliveries_load(out, from->seq, &entry, size);
    else
        delivery_release(&entry);
}

static struct msg *
msg_of(const struct delivery *entry)
{
    struct pub pub;
    if (!entry->msg->run)
        return msg_ref(entry->msg);
    delivery_pub(entry, &pub);
    return msg_new(&pub);
}

// First given, then given up: both reach the disk at once.
static void
give(struct session *to, struct session *from, struct delivery *entry)
{
    struct deliveries *out = &to->out;
    uint32_t ordinal = 0;
    struct delivery copy = {
        .msg = msg_of(entry), .qos = entry->qos, .retain = entry->retain, .state = DELIVERY_QUEUED};
    copy_ids(&copy, delivery_ids(entry));
    if (entry->share.generation != 0)
        for (uint32_t i = 0; i < from->sub_count; i++)
            if (from->subs[i].handle.generation == entry->share.generation &&
                from->subs[i].handle.slot == entry->share.slot)
                ordinal = from->subs[i].ordinal;
    copy.share = ordinal ? entry->share : (struct trie_handle){0};
    uint32_t size = (uint32_t)msg_size(copy.msg);
    copy.record =
        (uint32_t)journal_enqueue(to->shard->journal, to, out->tail, &copy, ordinal, JOURNAL_NOW);
    if (out->loaded == out->tail &&
        (out->queued < QUEUE_AWAY_MESSAGES || !journal_is_on(to->shard->journal))) {
        deliveries_push(out, &copy);
    } else {
        deliveries_push_disk(out, size);
        delivery_release(&copy);
    }
    session_finish(from, entry);
}

bool
session_join_parts(struct session *dump, struct session *arrivals, uint32_t max)
{
    struct deliveries *from = &arrivals->out;
    must(dump->hidden && arrivals->arrives && from->inflight == 0);
    for (; max > 0 && from->head != from->loaded; max--) {
        struct delivery *entry = deliveries_at(from, from->head);
        must(entry->state == DELIVERY_QUEUED);
        give(dump, arrivals, entry);
    }
    if (from->head == from->loaded && from->loaded != from->tail)
        session_want_page(arrivals);
    return deliveries_empty(from);
}

// ---- Here: the session --------------------------------------------------------------------------

static void
take_subscriptions(struct session *session, const struct session *from)
{
    struct journal *journal = session->shard->journal;
    for (uint32_t i = 0; i < from->sub_count; i++) {
        struct record record = {.kind = JOURNAL_SUBSCRIBE};
        session_sub_record(from, i, &record);
        restore_subscription(session, &record);
    }
    for (uint32_t i = 0; i < session->sub_count; i++)
        (void)journal_subscribe(journal, session, i);
}

static void
take_received(struct session *session, struct slice received)
{
    for (uint32_t at = 0; at + 2 <= received.len; at += 2) {
        uint16_t id = (uint16_t)(received.data[at] << 8 | received.data[at + 1]);
        if (id == 0)
            continue;
        restore_received(session, id);
        (void)journal_received(session->shard->journal, session, id);
    }
}

struct session *
session_show(struct session *dump, struct session *arrivals, struct record *record,
             struct slice received)
{
    struct shard *shard = dump->shard;
    const struct restored_queue none = {0};
    must(deliveries_empty(&arrivals->out) && !dump->arrives && dump->sub_count == 0);
    record->kind = JOURNAL_SESSION;
    record->session = dump->number;
    record->id = move_client_id(dump);
    uint64_t sent = record->sent;
    record->sent = 0;
    struct session *session = restore_session(shard, record, &none);
    session_forget_page(dump);
    session->out = dump->out;
    deliveries_init(&dump->out, &shard->totals);
    deliveries_extend(&session->out, max_u64(sent, session->out.tail));
    session->out.sent_before = session->kept->sent_limit = sent;
    take_subscriptions(session, arrivals);
    take_received(session, received);
    restore_done(session, record, shard->now_ms + broker_wall_offset(shard->broker));
    review_rights(session);
    session_journal(session);
    dump->durable = false; // its number is the session's
    session_discard(dump);
    session_drop_part(arrivals);
    return session;
}

void
session_drop_part(struct session *part)
{
    must(part->hidden);
    journal_session_end(part->shard->journal, part->number);
    session_discard(part);
}
