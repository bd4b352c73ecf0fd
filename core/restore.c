// restore.c - what the keeper found on the disk, put back before the shard serves anybody.
#include "core/restore.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/mqtt.h"
#include "core/msg.h"
#include "core/registry.h"
#include "core/retained.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/topic.h"

bool
restore_is_here(const struct shard *shard, const struct record *session)
{
    return broker_home(shard->broker, session->id) == shard->index;
}

// From the wall clock of the record to the monotonic clock of this process; at least 1, because 0
// stands for never.
static uint64_t
mono_ms(uint64_t at_ms, uint64_t now_ms, uint64_t wall_ms)
{
    if (at_ms <= wall_ms)
        return max_u64(now_ms - min_u64(wall_ms - at_ms, now_ms), 1);
    uint64_t left = at_ms - wall_ms;
    return left > UINT64_MAX - 1 - now_ms ? UINT64_MAX - 1 : now_ms + left;
}

static struct msg *
will_msg(const struct session *session, const struct record_msg *stored)
{
    struct pub pub = {
        .topic = stored->topic,
        .props = stored->props,
        .payload = stored->payload,
        .expires_ms = stored->expires_ms, // relative until it is published
        .publisher = session->number,
        .arrived_ms = session->shard->now_ms,
        .qos = stored->qos,
        .retain = stored->retain,
    };
    return msg_new(&pub);
}

struct session *
restore_session(struct shard *shard, const struct record *record,
                const struct restored_queue *queue)
{
    must(record->kind == JOURNAL_SESSION && record->session != 0);
    uint32_t hash = registry_hash(shard->registry, record->id);
    struct session *older = registry_find(shard->registry, record->id, hash);
    if (older) { // its end was still to be written
        must(older->number < record->session);
        journal_session_end(shard->journal, older->number);
        session_discard(older);
    }
    struct session *session = session_new(shard, record->id, hash, record->session);
    session->expiry_s = record->expiry_s;
    session_keep(session);
    if (session->node)
        shard->broker->cluster->ops->known(shard->broker->cluster, session);
    session->version = record->version;
    session->claim = record->claim;
    if (record->user.data)
        session->user = mem_strndup(record->user.data, record->user.len);
    struct deliveries *out = &session->out;
    // Packet identifiers go on from what may have been used.
    uint64_t end = max_u64(queue->end, record->sent);
    uint64_t first = queue->count ? queue->first : end;
    deliveries_restore(out, first, end, queue->count, queue->bytes);
    if (queue->count == 0)
        deliveries_skip(out, end);
    out->sent_before = record->sent;
    if (record->has_will) {
        session->will = mem_alloc(sizeof *session->will);
        *session->will =
            (struct will){.msg = will_msg(session, &record->msg), .delay_s = record->will_delay_s};
    }
    return session;
}

void
restore_subscription(struct session *session, const struct record *record)
{
    must(record->kind == JOURNAL_SUBSCRIBE);
    struct filter_view filter = {
        .filter = record->filter,
        .qos = record->qos,
        .no_local = record->no_local,
        .retain_as_published = record->retain_as_published,
    };
    session_subscribe_again(session, &filter, record->group, record->subscription_id,
                            record->ordinal);
}

void
restore_received(struct session *session, uint16_t packet_id)
{
    (void)packet_ids_add(&session->in_qos2, packet_id);
}

void
restore_done(struct session *session, const struct record *record, uint64_t wall_ms)
{
    uint64_t now = session->shard->now_ms;
    // Who was connected lost its connection with the last process: its time runs from now.
    if (record->expiry_s == MQTT_EXPIRY_NEVER || record->expires_ms == RECORD_NEVER)
        session->expires_ms = UINT64_MAX;
    else if (record->connected)
        session->expires_ms = now + (uint64_t)record->expiry_s * 1000;
    else
        session->expires_ms = mono_ms(record->expires_ms, now, wall_ms);
    struct will *will = session->will;
    if (will)
        will->due_ms = record->connected || record->will_due_ms == 0
                           ? max_u64(now + (uint64_t)will->delay_s * 1000, 1)
                           : mono_ms(record->will_due_ms, now, wall_ms);
    if (will && session->shard->broker->cluster)
        will->hold_ms = now + NODE_WILL_HOLD_MS;
    session_arm_timer(session);
}

void
restore_retained(struct broker *broker, struct rcu_reader *reader, const struct record *record,
                 uint64_t now_ms, uint64_t wall_ms)
{
    must(record->kind == JOURNAL_RETAIN);
    const struct record_msg *stored = &record->msg;
    if (topic_name_check(stored->topic) != OK)
        return;
    struct cluster *cluster = broker->cluster;
    if (stored->payload.len == 0) {
        if (cluster && record->stamp.at)
            cluster->ops->was_cleared(cluster, stored->topic, &record->stamp);
        return;
    }
    struct msg_source source = {.user = record->user,
                                .client_id = record->id,
                                .port = record->port,
                                .stamp = record->stamp};
    // One that has expired is nobody's any more, and the sweep removes it from the disk as well.
    struct pub pub = {
        .topic = stored->topic,
        .props = stored->props,
        .payload = stored->payload,
        .expires_ms = stored->expires_ms ? mono_ms(stored->expires_ms, now_ms, wall_ms) : 0,
        .publisher = stored->publisher,
        .arrived_ms = mono_ms(stored->arrived_ms, now_ms, wall_ms),
        .qos = stored->qos,
        .retain = true,
        .source = record->id.len > 0 || record->stamp.at ? &source : NULL,
    };
    struct msg *msg = msg_new(&pub);
    static const struct retained_limits none;
    err_t err = retained_set(broker->retained, reader, msg, &none);
    must(err == OK);
    msg_unref(msg);
}
