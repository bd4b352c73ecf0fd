// session.c - the life of a session: made, resumed, left, ended.
#include "core/session.h"

#include "core/base/mem.h"

#include "core/acl.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/registry.h"
#include "core/route.h"
#include "core/session_move.h"
#include "core/session_walks.h"
#include "core/shard.h"
#include "core/tickets.h"
#include "core/timers.h"
#include "core/trace.h"

struct session *
session_new(struct shard *shard, struct slice id, uint32_t hash, uint64_t number)
{
    struct session *session = mem_zalloc(sizeof *session + id.len + 1u);
    session->magic = SESSION_MAGIC;
    session->shard = shard;
    session->number = number ? number
                             : atomic_fetch_add_explicit(&shard->broker->next_session_number, 1,
                                                         memory_order_relaxed);
    session->hash = hash;
    memcpy(session->id, id.data, id.len);
    session->id_len = id.len;
    session->listener = LISTENER_NONE;
    bool clustered = shard->broker->cluster != NULL;
    session->hidden = clustered && slice_begins(id, NODE_MOVE);
    session->arrives = session->hidden && move_arrives(id);
    session->node = clustered && slice_begins(id, NODE_ROOT) && !session->hidden;
    timer_init(&session->timer, TIMER_SESSION);
    list_init(&session->unfinished);
    deliveries_init(&session->out, &shard->totals);
    registry_add(shard->registry, session);
    stat_add(&shard->stats.sessions, 1);
    return session;
}

struct listener_stats *
session_counts(const struct session *session)
{
    return shard_listener(session->shard, session->listener);
}

uint64_t
session_position(const struct session *session)
{
    return session->durable ? journal_last(session->shard->journal) : 0;
}

void
session_journal(struct session *session)
{
    struct journal *journal = session->shard->journal;
    if (!session->durable) {
        if (session->will)
            session->recorded = journal_session(journal, session) != 0; // 0: there is none
        return;
    }
    const struct deliveries *out = &session->out;
    struct session_kept *kept = session->kept;
    kept->sent_limit = max_u64(max_u64(out->sent, out->sent_before), kept->sent_limit);
    if (session->client)
        kept->sent_limit += SENT_AHEAD(session);
    kept->limit_position = journal_session(journal, session);
}

// ---- The Will -----------------------------------------------------------------------------------

void
session_set_will(struct session *session, const struct will_view *view)
{
    must(!session->will);
    uint8_t *props = mem_alloc(view->raw_props.len + 1u);
    uint64_t now = session->shard->now_ms;
    struct pub pub = {
        .topic = view->topic,
        .payload = view->payload,
        .props = slice_of(props, codec_forward_props(view->raw_props, props)),
        // Relative until it is published: the interval starts then.
        .expires_ms = view->has_expiry ? max_u64((uint64_t)view->expiry_s * 1000, 1) : 0,
        .publisher = session->number,
        .arrived_ms = now,
        .qos = view->qos,
        .retain = view->retain,
    };
    session->will = mem_alloc(sizeof *session->will);
    struct msg_source source;
    session_source(session, &source);
    *session->will =
        (struct will){.msg = msg_new(&pub), .delay_s = view->delay_s, .port = source.port};
    mem_free(props);
}

void
session_drop_will(struct session *session)
{
    struct cluster *cluster = session->shard->broker->cluster;
    if (!session->will)
        return;
    if (unlikely(cluster != NULL))
        cluster->ops->will_gone(cluster, session);
    msg_unref(session->will->msg);
    mem_free(session->will);
    session->will = NULL;
}

static void
refuse_will(struct session *session)
{
    struct shard *shard = session->shard;
    struct slice topic = msg_topic(session->will->msg);
    stat_add(&session_counts(session)->dropped_not_allowed, 1);
    log_limited(shard->log, &shard->log_denied, shard->now_ms, LOG_T_NOTICE,
                "Client %.64s: its Will to %.*s is not allowed.", session->id,
                (int)min_u32(topic.len, 128), (const char *)topic.data);
    session_drop_will(session);
}

static void
publish_will(struct session *session)
{
    if (unlikely(!session_may_publish_will(session))) { // rights may go after CONNECT
        refuse_will(session);
        return;
    }
    struct shard *shard = session->shard;
    struct msg *msg = session->will->msg;
    struct msg_source source;
    session_source(session, &source);
    source.port = session->will->port;
    struct pub pub = {
        .topic = msg_topic(msg),
        .props = msg_props(msg),
        .payload = msg_payload(msg),
        .expires_ms = msg->expires_ms ? shard->now_ms + msg->expires_ms : 0,
        .publisher = msg->publisher,
        .arrived_ms = shard->now_ms,
        .qos = msg->qos,
        .retain = msg->retain,
        .bonded = session->durable || session->recorded, // with the record that it is gone
        .source = msg->retain && session->rights && !session->own_rights ? &source : NULL,
    };
    if (unlikely(shard->watching != NULL))
        trace_will(session, &pub);
    struct route_result result;
    err_t err = route_publish(shard, &pub, &result);
    if (err)
        route_count_unretained(session_counts(session), err);
    stat_add(&shard->stats.wills_published, 1);
    pub_done(&pub);
    session_drop_will(session); // published once [MQTT-3.1.2-10]
}

void
session_reclaim_will(struct session *session)
{
    must(!session->client && (!session->will || session->will->due_ms != 0));
    if (session->will && session->will->due_ms <= session->shard->now_ms)
        publish_will(session);
    else
        session_drop_will(session); // reconnected in time [MQTT-3.1.3-9]
}

// ---- The end ------------------------------------------------------------------------------------

// What a share group may still give to another member: not what was sent at QoS 2 [MQTT-4.8.2-5].
static bool
may_redispatch(const struct delivery *entry)
{
    if (entry->share.generation == 0)
        return false;
    return entry->state == DELIVERY_QUEUED || (entry->state == DELIVERY_SENT && entry->qos == 1);
}

static void
redispatch_all(struct session *session)
{
    struct deliveries *out = &session->out;
    for (uint64_t seq = out->head; seq != out->loaded; seq++) {
        const struct delivery *entry = deliveries_at(out, seq);
        if (may_redispatch(entry))
            route_redispatch(session->shard, entry->msg, entry->share, session->durable);
        else if (entry->state != DELIVERY_DONE)
            stat_add(&session_counts(session)->dropped_session_end, 1);
    }
}

static void
tell_kept(const struct session *session, bool here)
{
    struct cluster *cluster = session->shard->broker->cluster;
    if (unlikely(cluster != NULL) && !session->node && !session->hidden)
        cluster->ops->kept(cluster, session_id(session), here);
}

void
session_keep(struct session *session)
{
    must(!session->durable && !session->kept);
    session->durable = true;
    session->kept = mem_zalloc(sizeof *session->kept);
    if (session->expiry_s > 0) // else it is from the disk, and over
        tell_kept(session, true);
}

void
session_discard(struct session *session)
{
    must(session->magic == SESSION_MAGIC && !session->client);
    struct shard *shard = session->shard;
    if (session->durable)
        tell_kept(session, false);
    list_remove(&session->unfinished);
    wheel_disarm(shard->wheel, &session->timer);
    session_walks_stop(session, (struct trie_handle){0});
    session_forget_page(session);
    session_unsubscribe_all(session);
    session_drop_will(session);
    mem_free(session->kept);
    tickets_session_ended(shard, session);
    deliveries_free(&session->out);
    packet_ids_free(&session->in_qos2);
    registry_remove(shard->registry, session);
    stat_sub(&shard->stats.sessions, 1);
    mem_free(session->user);
    rights_free(session->rights);
    session->magic = 0;
    mem_free(session);
}

void
session_end(struct session *session)
{
    must(session->magic == SESSION_MAGIC && !session->client);
    bool later = session_leaves_estate(session);
    session_walks_stop(session, (struct trie_handle){0});
    // First, so that neither the Will nor a redispatch comes back to this session.
    session_unsubscribe_all(session);
    if (session->will)
        publish_will(session);
    redispatch_all(session);
    if (!later)
        stat_add(&session_counts(session)->dropped_session_end, session->out.disk_count);
    // Last: what others were given reaches the disk before this, or with it (bonds).
    if ((session->durable && !later) || session->recorded)
        journal_session_end(session->shard->journal, session->number);
    session_discard(session);
}

// ---- Left and found again -----------------------------------------------------------------------

// UINT64_MAX: it has none that waits.
static uint64_t
will_at(const struct session *session)
{
    if (!session->will || !session->will->due_ms)
        return UINT64_MAX;
    must(session->will);
    return max_u64(session->will->due_ms, session->will->hold_ms);
}

// When it ends: with its Will, if it has one, which may not go out before.
static uint64_t
end_at(const struct session *session)
{
    must(!session->client);
    return session->will ? max_u64(session->expires_ms, session->will->hold_ms)
                         : session->expires_ms;
}

void
session_arm_timer(struct session *session)
{
    uint64_t due = min_u64(end_at(session), will_at(session));
    if (due == UINT64_MAX)
        wheel_disarm(session->shard->wheel, &session->timer);
    else
        wheel_arm(session->shard->wheel, &session->timer, due);
}

// Waiting messages of share groups go to members that have a connection, if there are any.
static void
redispatch_waiting(struct session *session)
{
    struct deliveries *out = &session->out;
    uint64_t end = out->loaded;
    for (uint64_t seq = out->head; session->shared_count > 0 && seq != end; seq++) {
        if (seq < out->head)
            continue; // head moved on
        struct delivery *entry = deliveries_at(out, seq);
        if (entry->state != DELIVERY_QUEUED || entry->share.generation == 0 ||
            !trie_share_connected(session->shard->broker->trie, entry->share))
            continue;
        // First given, then given up. Who gets it may be this session once more, which moves the
        // ring.
        struct msg *msg = msg_ref(entry->msg);
        route_redispatch(session->shard, msg, entry->share, session->durable);
        // For want of room it may have been dropped meanwhile.
        if (seq >= out->head && deliveries_at(out, seq)->state == DELIVERY_QUEUED)
            session_finish(session, deliveries_at(out, seq));
        msg_unref(msg);
    }
}

void
session_disconnected(struct session *session, bool with_will)
{
    must(session->magic == SESSION_MAGIC);
    struct shard *shard = session->shard;
    session->client = NULL;
    list_remove(&session->unfinished);
    deliveries_rewind(&session->out);
    session_walks_stop(session, (struct trie_handle){0});
    if (!with_will)
        session_drop_will(session); // [MQTT-3.14.4-3]
    if (session->expiry_s == 0) {
        session_end(session);
        return;
    }
    session_shares_connected(session, false);
    session->expires_ms = session->expiry_s == MQTT_EXPIRY_NEVER
                              ? UINT64_MAX
                              : shard->now_ms + (uint64_t)session->expiry_s * 1000;
    if (session->will && session->will->delay_s == 0)
        publish_will(session);
    else if (session->will)
        session->will->due_ms = shard->now_ms + (uint64_t)session->will->delay_s * 1000;
    redispatch_waiting(session);
    session_arm_timer(session);
    if (!journal_is_on(shard->journal))
        return;
    must(session->durable); // or it would have ended
    session->kept->sent_limit = 0;
    session_journal(session);
    session_forget_page(session); // it would begin where the queue in memory ends now
    deliveries_unload(&session->out, QUEUE_AWAY_MESSAGES, QUEUE_AWAY_BYTES);
}

void
session_on_timer(struct session *session)
{
    must(session->magic == SESSION_MAGIC && !session->client);
    struct shard *shard = session->shard;
    if (end_at(session) <= shard->now_ms) {
        stat_add(&shard->stats.sessions_expired, 1);
        session_end(session); // [MQTT-4.1.0-2]; a Will that still waits goes out [MQTT-3.1.2-8]
        return;
    }
    if (will_at(session) <= shard->now_ms) {
        publish_will(session);
        session_journal(session); // it must not be published again
    }
    session_arm_timer(session);
}

void
session_resume(struct session *session)
{
    must(session->magic == SESSION_MAGIC && session->client);
    wheel_disarm(session->shard->wheel, &session->timer);
    session_shares_connected(session, true);
    session_pump(session); // [MQTT-4.4.0-1]
}
