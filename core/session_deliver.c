// session_deliver.c - from a publication to one client: queue, window, retained walks.
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/client_out.h"
#include "core/client_rates.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/session.h"
#include "core/session_ask.h"
#include "core/session_walks.h"
#include "core/shard.h"

// Beyond this much unsent output a client gets acknowledgements only; the rest is its session's.
#define PUMP_OUT_MAX (UINT64_C(1) << 18)
// Messages of a session with a connection that wait in memory when there is a keeper, as session.h
// has it of those without; for another node's all that our clients have under way at a time.
#define QUEUE_ONLINE_MESSAGES 4096u
#define QUEUE_ONLINE_BYTES    (UINT64_C(4) << 20)
#define QUEUE_NODE_MESSAGES   65536u
#define QUEUE_NODE_BYTES      (UINT64_C(32) << 20)
// So many of other nodes' messages are taken beyond a queue's limit: what 64 nodes have under way,
// CLIENT_WINDOW_MAX each, is acknowledged to its publishers already.
#define NODES_OVER_MAX 65536u
// Retained messages for one session in one tick, and nodes visited in search of one.
#define WALK_STEPS 256u

// ---- The queue ----------------------------------------------------------------------------------

// Beyond so many times its limits?
static bool
queue_is_over(const struct session *session, size_t size, uint32_t times)
{
    const struct config *config = session->shard->config;
    const struct deliveries *out = &session->out;
    if (unlikely(session->node))
        return deliveries_waiting(out) >= NODE_QUEUE_MAX * (uint64_t)times;
    uint64_t count_max = (uint64_t)config->queued_messages_max * times;
    if (count_max && deliveries_waiting(out) >= count_max)
        return true;
    uint64_t bytes_max = config->queued_bytes_max * times;
    return bytes_max && out->queued_bytes + out->disk_bytes + size > bytes_max;
}

// A line for the operator: messages do not get where they should, and which key says so.
static COLD void
tell(const struct session *session, const char *key)
{
    struct shard *shard = session->shard;
    log_limited(shard->log, &shard->log_drops, shard->now_ms, LOG_T_NOTICE,
                "Client %s: no room for a message to it because of %s.", session->id, key);
}

static COLD void
tell_full(const struct session *session)
{
    uint32_t max = session->shard->config->queued_messages_max;
    bool many = max && deliveries_waiting(&session->out) >= max;
    tell(session, many ? "max_queued_messages" : "max_queued_bytes");
}

bool
session_has_room(const struct session *session, const struct pub *pub)
{
    size_t size = sizeof(struct msg) + pub->topic.len + pub->payload.len;
    return pub->qos == 0 || !queue_is_over(session, size, 1);
}

static void
count_dropped(struct session *session, _Atomic uint64_t *counter)
{
    stat_add(counter, 1);
    session->dropped++;
}

static void
note_outcome(struct shard *shard, enum outcome outcome)
{
    if (outcome > shard->outcome)
        shard->outcome = outcome;
}

// Is there no room even for what is slowed? Others have twice the limit. Of a node's messages the
// publishers have the acknowledgement, and more of them are under way.
static bool
is_beyond(const struct session *session, const struct pub *pub, size_t size)
{
    uint64_t max = session->shard->config->queued_messages_max;
    return queue_is_over(session, size, 2) &&
           (!pub->from_node || deliveries_waiting(&session->out) >= max + NODES_OVER_MAX);
}

// A client that outlives its connection was promised the message, and there is no room. Who cannot
// be told is slowed, and what it sends is still taken, up to a limit.
static bool
reject(struct session *session, const struct pub *pub, size_t size)
{
    struct shard *shard = session->shard;
    if (pub->may_wait)
        note_outcome(shard, OUTCOME_SLOWED);
    else
        note_outcome(shard, OUTCOME_REFUSED);
    if (pub->may_wait && !is_beyond(session, pub, size)) {
        stat_add(&shard->stats.queued_over_limit, 1);
        return true;
    }
    count_dropped(session, &session_counts(session)->dropped_queue_full);
    return false;
}

// One entry less. False when there is none to drop.
static bool
drop_oldest(struct session *session)
{
    struct shard *shard = session->shard;
    struct deliveries *out = &session->out;
    struct delivery *oldest = deliveries_oldest(out);
    if (oldest && !(session->durable && journal_is_on(shard->journal))) {
        deliveries_drop_oldest(out);
    } else if (oldest && out->loaded - out->head < DELIVERIES_SPAN_MAX) {
        session_finish(session, oldest);
    } else if (!oldest && out->disk_count > 0) {
        // The place is known, what was there is not: its size is taken to be the mean.
        journal_entry_done(shard->journal, session, out->loaded, 0);
        deliveries_skip_disk(out);
    } else {
        return false;
    }
    count_dropped(session, &session_counts(session)->dropped_queue_full);
    return true;
}

static NOINLINE bool
queue_is_full(struct session *session, const struct pub *pub, size_t size)
{
    struct shard *shard = session->shard;
    tell_full(session);
    switch (shard->config->queue_full_action) {
    case QUEUE_FULL_REJECT:
        if (session->durable)
            return !reject(session, pub, size);
        break;
    case QUEUE_FULL_DROP_NEWEST:
        break;
    case QUEUE_FULL_DROP_OLDEST:
        while (queue_is_over(session, size, 1))
            if (!drop_oldest(session))
                break;
        if (!queue_is_over(session, size, 1))
            return false;
        break;
    case QUEUE_FULL_DISCONNECT:
        if (session->client && session->client->state == CLIENT_CONNECTED) {
            stat_add(&shard->stats.disconnected_slow, 1);
            client_fail(session->client, ERR_QUOTA_EXCEEDED);
        }
        break;
    }
    count_dropped(session, &session_counts(session)->dropped_queue_full);
    return true;
}

// True when there is room now.
static inline bool
queue_make_room(struct session *session, const struct pub *pub, size_t size)
{
    struct shard *shard = session->shard;
    if (unlikely(shard->level >= GOVERNOR_FULL && !session->client &&
                 !journal_is_on(shard->journal))) {
        count_dropped(session, &session_counts(session)->dropped_memory);
        tell(session, "memory_limit");
        note_outcome(shard, OUTCOME_REFUSED);
        return false;
    }
    return likely(!queue_is_over(session, size, 1)) || !queue_is_full(session, pub, size);
}

// So much waits in memory that what comes now stays on the disk, whence it is fetched in time.
static bool
is_long(const struct session *session)
{
    const struct deliveries *out = &session->out;
    if (out->loaded != out->tail)
        return true;
    if (session->client && session->node && session->shard->level < GOVERNOR_TRIM)
        return out->queued >= QUEUE_NODE_MESSAGES || out->queued_bytes >= QUEUE_NODE_BYTES;
    if (session->client)
        return out->queued >= QUEUE_ONLINE_MESSAGES || out->queued_bytes >= QUEUE_ONLINE_BYTES;
    return out->queued >= QUEUE_AWAY_MESSAGES || out->queued_bytes >= QUEUE_AWAY_BYTES ||
           session->shard->level >= GOVERNOR_TRIM;
}

void
session_finish(struct session *session, struct delivery *entry)
{
    if (unlikely(session->node) && entry->msg) {
        struct cluster *cluster = session->shard->broker->cluster;
        cluster->ops->taken(cluster, session, entry->msg);
    }
    if (session->durable)
        journal_entry_done(session->shard->journal, session,
                           deliveries_seq_of(&session->out, entry), entry->record);
    deliveries_finish(&session->out, entry);
}

// ---- Sending ------------------------------------------------------------------------------------

// How many messages may be unacknowledged. Clients before MQTT 5 cannot say how many QoS 2 flows
// they can take: no more than mosquitto has always sent.
static uint32_t
window(const struct session *session, uint8_t qos)
{
    const struct client *client = session->client;
    uint32_t limit = session->shard->config->inflight_messages_max;
    if (limit == INFLIGHT_AUTO && client->link == LINK_OUT)
        limit = CLIENT_WINDOW_MAX;
    else if (limit == INFLIGHT_AUTO)
        limit = qos == 2 && client->version < MQTT_5 ? CLIENT_WINDOW_FIRST : client->window;
    return min_u32(client->receive_max, limit ? limit : DELIVERIES_SPAN_MAX);
}

void
session_widen(struct session *session, uint32_t inflight)
{
    struct client *client = session->client;
    if (client->window < CLIENT_WINDOW_MAX && inflight >= client->window)
        client->window++;
}

// How much output may be unsent when a message is added to it.
static uint64_t
out_max(const struct client *client)
{
    uint64_t max = client->shard->config->output_bytes_max;
    return max ? min_u64(max, PUMP_OUT_MAX) : PUMP_OUT_MAX;
}

static bool
out_has_room(struct client *client)
{
    if (unlikely(client->rates != NULL) && !client_rates_may_send(client))
        return false;
    return outq_bytes(&client->out) < out_max(client);
}

// Every PUBLISH of a session leaves by here.
static inline bool
put(struct session *session, struct pub *pub, const struct delivery_spec *spec, uint16_t packet_id,
    bool dup)
{
    struct client *client = session->client;
    if (unlikely(client->rates != NULL))
        client_rates_sent(client, pub->topic.len + pub->payload.len);
    return client_put_publish(client, pub, spec, packet_id, dup);
}

static void
go_on_later(struct session *session)
{
    const struct client *client = session->client;
    // Those are continued by client_on_writable, and by client_rates_on_timer.
    if (client->blocked || (client->rates && client->rates->out_due_ms))
        return;
    if (list_empty(&session->unfinished))
        list_push(&session->shard->unfinished, &session->unfinished);
}

static void
entry_spec(const struct delivery *entry, struct delivery_spec *ret)
{
    *ret = (struct delivery_spec){
        .qos = entry->qos,
        .retain = entry->retain,
        .subscription_ids =
            entry->subscription_id_count > 1 ? entry->subscription.ids : &entry->subscription.id,
        .subscription_id_count = entry->subscription_id_count,
    };
}

static void
send_entry(struct session *session, struct delivery *entry, uint16_t packet_id)
{
    struct shard *shard = session->shard;
    if (entry->state == DELIVERY_RELEASED) {
        deliveries_mark_sent(&session->out, entry);
        struct ack_out pubrel = {.type = MQTT_PUBREL, .packet_id = packet_id};
        // Its record may still be under way: written for the connection before this one.
        bool safe = entry->record == 0 || journal_is_safe(shard->journal, entry->record);
        struct ack_wait wait = {.position = safe ? 0 : session_position(session)};
        client_put_ack_after(session->client, &wait, &pubrel);
        return;
    }
    bool first = entry->state == DELIVERY_QUEUED;
    if (first && entry->msg->expires_ms && entry->msg->expires_ms <= shard->now_ms) {
        // Onward delivery has not started, so the copy goes [MQTT-3.3.2-5].
        stat_add(&session_counts(session)->dropped_expired, 1);
        session_finish(session, entry);
        return;
    }
    if (unlikely(session->rights != NULL) && !session_may_send(session, entry)) {
        stat_add(&session_counts(session)->dropped_not_allowed, 1);
        session_finish(session, entry);
        return;
    }
    struct pub pub;
    delivery_pub(entry, &pub);
    struct delivery_spec spec;
    entry_spec(entry, &spec);
    uint16_t id = entry->qos > 0 ? packet_id : 0; // [MQTT-2.2.1-2]
    bool sent = put(session, &pub, &spec, id, !first);
    if (sent && entry->qos > 0)
        deliveries_mark_sent(&session->out, entry);
    else // QoS 0, or too large for the client: as if it had been sent [MQTT-3.1.2-25]
        session_finish(session, entry);
}

// sent_is_told, once what is told comes to its end.
static COLD NOINLINE bool
tell_sent(struct session *session, uint64_t seq)
{
    struct session_kept *kept = session->kept;
    const uint32_t half = SENT_AHEAD(session) / 2;
    if (kept->sent_safe < kept->sent_limit &&
        kept->limit_position <= journal_safe(session->shard->journal))
        kept->sent_safe = kept->sent_limit;
    if (kept->sent_safe == kept->sent_limit && seq + half >= kept->sent_safe)
        session_journal(session);
    return seq < kept->sent_safe;
}

// May the entry of this place be called sent? The journal is told long before it matters.
static bool
sent_is_told(struct session *session, uint64_t seq)
{
    return likely(seq + SENT_AHEAD(session) / 2 < session->kept->sent_safe) ||
           tell_sent(session, seq);
}

// A QoS 2 message whose identifier the client has seen must not be forgotten: after a crash another
// message would get the identifier, and the client would take it for a copy.
static bool
must_wait(struct session *session, const struct delivery *entry, uint64_t seq)
{
    struct journal *journal = session->shard->journal;
    if (!session->durable || !journal_is_on(journal) || entry->state != DELIVERY_QUEUED)
        return false;
    if (entry->qos == 2 && entry->record != 0 && !journal_is_safe(journal, entry->record))
        return true;
    return !sent_is_told(session, seq);
}

void
session_pump_now(struct session *session)
{
    struct deliveries *out = &session->out;
    struct client *client = session->client;
    if (!client || client->state != CLIENT_CONNECTED)
        return;
    while (out->sent != out->loaded && out->sent - out->head < DELIVERIES_SPAN_MAX) {
        struct delivery *entry = deliveries_at(out, out->sent);
        if (entry->state != DELIVERY_DONE) {
            if (entry->qos > 0 && out->inflight >= window(session, entry->qos))
                return;
            if (!out_has_room(client)) {
                go_on_later(session);
                return;
            }
            if (unlikely(must_wait(session, entry, out->sent))) {
                if (list_empty(&session->unfinished))
                    list_push(&session->shard->unsafe, &session->unfinished);
                return;
            }
            uint64_t seq = out->sent++;
            send_entry(session, entry, deliveries_packet_id(seq));
            continue;
        }
        out->sent++;
    }
    if (unlikely(out->loaded != out->tail))
        session_want_page(session);
}

// ---- Publications -------------------------------------------------------------------------------

// Nothing is before it, and the client takes it now?
static bool
goes_at_once(const struct session *session, const struct pub *pub, uint8_t qos)
{
    const struct deliveries *out = &session->out;
    struct client *client = session->client;
    if (out->sent != out->tail || !client || client->state != CLIENT_CONNECTED)
        return false;
    if (unlikely(pub->expires_ms && pub->expires_ms <= session->shard->now_ms))
        return false;
    return out->inflight < window(session, qos) && out->tail - out->head < DELIVERIES_SPAN_MAX &&
           out_has_room(client);
}

// The entry, but for its state.
static inline void
fill_entry(struct delivery *entry, struct pub *pub, const struct delivery_spec *spec)
{
    *entry = (struct delivery){
        .msg = pub_msg_ref(pub),
        .share = spec->share,
        .qos = spec->qos,
        .state = DELIVERY_QUEUED,
        .retain = spec->retain,
        .subscription_id_count = (uint16_t)min_u32(spec->subscription_id_count, UINT16_MAX),
    };
    if (likely(entry->subscription_id_count == 0))
        return;
    if (entry->subscription_id_count == 1) {
        entry->subscription.id = spec->subscription_ids[0];
        return;
    }
    size_t bytes = entry->subscription_id_count * sizeof(uint32_t);
    entry->subscription.ids = mem_alloc(bytes);
    memcpy(entry->subscription.ids, spec->subscription_ids, bytes);
}

// Straight from the publication, without a look at the queue. place: where the entry is.
static void
send_at_once(struct session *session, struct pub *pub, const struct delivery_spec *spec,
             struct delivery *place)
{
    uint16_t packet_id = deliveries_packet_id(session->out.tail - 1);
    place->state = DELIVERY_SENT;
    if (unlikely(!put(session, pub, spec, packet_id, false)))
        session_finish(session, place); // too large: as if it had been sent [MQTT-3.1.2-25]
}

// A node acknowledges a message as soon as it has it; at QoS 2 it is sent once the record is safe.
static enum journal_haste
haste_of(const struct session *session, const struct delivery_spec *spec, bool at_once)
{
    if (unlikely(spec->unawaited))
        return JOURNAL_LATER;
    return session->node && at_once && spec->qos == 1 ? JOURNAL_SOON : JOURNAL_NOW;
}

static NOINLINE void
enqueue_journaled(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    struct deliveries *out = &session->out;
    bool at_once = spec->qos > 0 && goes_at_once(session, pub, spec->qos);
    struct delivery entry;
    fill_entry(&entry, pub, spec);
    entry.record = (uint32_t)journal_enqueue(session->shard->journal, session, out->tail, &entry,
                                             spec->ordinal, haste_of(session, spec, at_once));
    if (at_once && !must_wait(session, &entry, out->tail)) {
        struct delivery *place = deliveries_add_sent(out);
        *place = entry;
        send_at_once(session, pub, spec, place);
    } else if (unlikely(is_long(session))) {
        deliveries_push_disk(out, (uint32_t)msg_size(entry.msg));
        delivery_release(&entry);
    } else {
        deliveries_push(out, &entry);
    }
    session_pump(session);
}

static NOINLINE void
enqueue_waiting(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    struct delivery entry;
    fill_entry(&entry, pub, spec);
    deliveries_push(&session->out, &entry);
    session_pump(session);
}

FLATTEN static void
enqueue(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    if (session->durable && journal_is_on(session->shard->journal)) {
        enqueue_journaled(session, pub, spec);
    } else if (spec->qos > 0 && goes_at_once(session, pub, spec->qos)) {
        struct delivery *place = deliveries_add_sent(&session->out);
        fill_entry(place, pub, spec);
        send_at_once(session, pub, spec, place);
    } else {
        enqueue_waiting(session, pub, spec);
    }
}

// Is it more than the client's rate allows? Then it waits in the queue, where that is wanted, or is
// dropped.
static COLD bool
hold_qos0(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    struct shard *shard = session->shard;
    if (client_rates_may_send(session->client))
        return false;
    if (!shard->config->queue_qos0_messages) {
        count_dropped(session, &session_counts(session)->dropped_rate);
        tell(session, "max_messages_out_rate or max_bytes_out_rate");
    } else if (queue_make_room(session, pub, pub->topic.len + pub->payload.len)) {
        enqueue(session, pub, spec);
    }
    return true;
}

static uint64_t
dropped_qos0(const struct session *session)
{
    const struct listener_stats *counts = session_counts(session);
    return stat_get(&counts->dropped_slow_consumer) + stat_get(&counts->dropped_memory) +
           stat_get(&counts->dropped_queue_full) + stat_get(&counts->dropped_rate) +
           stat_get(&counts->dropped_too_large);
}

static void
deliver_qos0(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    struct shard *shard = session->shard;
    struct client *client = session->client;
    bool online = client && client->state == CLIENT_CONNECTED;
    if (online && unlikely(client->rates != NULL) && hold_qos0(session, pub, spec))
        return;
    if (shard->config->queue_qos0_messages && (!online || session->out.sent != session->out.tail)) {
        if (queue_make_room(session, pub, pub->topic.len + pub->payload.len))
            enqueue(session, pub, spec);
        return;
    }
    if (!online) {
        stat_add(&session_counts(session)->dropped_offline_qos0, 1);
        return;
    }
    uint64_t max = shard->config->output_bytes_max;
    if (unlikely(max && outq_bytes(&client->out) + pub->payload.len > max &&
                 outq_bytes(&client->out) > 0)) {
        count_dropped(session, &session_counts(session)->dropped_slow_consumer);
        tell(session, "max_output_bytes");
        return;
    }
    if (unlikely(shard->level >= GOVERNOR_TRIM && client->blocked)) {
        count_dropped(session, &session_counts(session)->dropped_memory);
        tell(session, "memory_limit");
        return;
    }
    (void)put(session, pub, spec, 0, false);
}

// A node is to be told again what does not go out now. What nodes say does not overtake what waits:
// that a client came goes behind the word that its Will was published.
static COLD void
deliver_to_node_qos0(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    struct cluster *cluster = session->shard->broker->cluster;
    bool waits = session->client && session->out.sent != session->out.tail;
    uint64_t before = dropped_qos0(session);
    struct delivery_spec behind = *spec;
    behind.qos = 1;
    if (!waits || !slice_begins(pub->topic, NODE_ROOT))
        deliver_qos0(session, pub, spec);
    else if (queue_make_room(session, pub, pub->topic.len + pub->payload.len))
        enqueue(session, pub, &behind);
    if (dropped_qos0(session) != before)
        cluster->ops->missed(cluster, session, pub);
}

static void
deliver_one(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    if (spec->qos == 0) {
        if (unlikely(session->node))
            deliver_to_node_qos0(session, pub, spec);
        else
            deliver_qos0(session, pub, spec);
        return;
    }
    if (!queue_make_room(session, pub, sizeof(struct msg) + pub->topic.len + pub->payload.len))
        return;
    enqueue(session, pub, spec);
}

// A rate is looked at, not asked, which would begin a pause.
static bool
would_go_at_once(const struct session *session, uint8_t qos)
{
    const struct deliveries *out = &session->out;
    const struct client *client = session->client;
    bool waits = out->sent != out->tail || (client->rates && client->rates->out_due_ms);
    return !waits && (qos == 0 || out->inflight < window(session, qos)) &&
           outq_bytes(&client->out) < out_max(client);
}

const char *
session_fate(const struct session *session, const struct pub *pub, uint8_t qos)
{
    const struct shard *shard = session->shard;
    const struct client *client = session->client;
    bool online = client && client->state == CLIENT_CONNECTED;
    bool keeps = qos > 0 || shard->config->queue_qos0_messages;
    uint64_t max = shard->config->output_bytes_max;
    if (!online && !keeps)
        return "away";
    if (!keeps && client->rates && client->rates->out_due_ms)
        return "rate";
    if (!keeps)
        return max && outq_bytes(&client->out) > max ? "slow_consumer" : "sent";
    if (online && would_go_at_once(session, qos))
        return "sent";
    if (shard->level >= GOVERNOR_FULL && !client && !journal_is_on(shard->journal))
        return "memory";
    return queue_is_over(session, pub->topic.len, 1) ? "queue_full" : "queued";
}

// ---- Runs ---------------------------------------------------------------------------------------

// At QoS 1 and 2 it takes a run whole where its queue has room for all of it, whatever goes at
// once: else the few messages that are kept would hold all in memory. What is journaled has to be
// numbered and may have to wait, each message for itself.
static bool
queue_takes_run(const struct session *session, const struct pub *run)
{
    const struct config *config = session->shard->config;
    const struct deliveries *out = &session->out;
    const struct client *client = session->client;
    if (session->durable && journal_is_on(session->shard->journal))
        return false;
    if (out->sent == out->tail && outq_bytes(&client->out) + run->packet.len > out_max(client))
        return false;
    uint64_t count = run->packet.count, size = sizeof(struct msg) + run->topic.len;
    uint64_t bytes = out->queued_bytes + out->disk_bytes + count * size + run->packet.payload_len;
    uint64_t count_max = config->queued_messages_max, bytes_max = config->queued_bytes_max;
    return (!count_max || deliveries_waiting(out) + count <= count_max) &&
           (!bytes_max || bytes <= bytes_max);
}

static inline bool
takes_run(const struct session *session, const struct pub *run, const struct delivery_spec *spec)
{
    must_hot(session->magic == SESSION_MAGIC && pub_is_run(run) && spec->share.generation == 0);
    const struct shard *shard = session->shard;
    const struct client *client = session->client;
    if (!client || client->state != CLIENT_CONNECTED || client->rates ||
        shard->level >= GOVERNOR_TRIM || shard->config->queue_qos0_messages ||
        !client_takes_run(client, run, spec))
        return false;
    if (spec->qos > 0)
        return queue_takes_run(session, run);
    uint64_t max = shard->config->output_bytes_max;
    return max == 0 || outq_bytes(&client->out) + run->packet.len <= max;
}

// The packets of the run that may go at once.
static struct pub_packet
part_at_once(const struct session *session, const struct pub *run, uint8_t qos)
{
    const struct deliveries *out = &session->out;
    struct pub_packet part = run->packet;
    uint64_t max = 0;
    if (goes_at_once(session, run, qos))
        max = min_u64(window(session, qos) - out->inflight,
                      DELIVERIES_SPAN_MAX - (out->tail - out->head));
    if (likely(max >= part.count))
        return part;
    struct pub rest = *run, one = pub_one_of(run);
    part.len = part.payload_len = 0;
    for (part.count = 0; part.count < max; part.count++) {
        (void)pub_next(&rest, &one);
        part.len += one.packet.len;
        part.payload_len += one.packet.payload_len;
    }
    return part;
}

// Each message has an entry, which is a part of the run.
static NOINLINE void
keep_run(struct session *session, struct pub *run, uint8_t qos)
{
    struct deliveries *out = &session->out;
    struct pub_packet now = part_at_once(session, run, qos);
    if (now.count > 0)
        client_put_run(session->client, &now, qos, deliveries_packet_id(out->tail));
    struct msg *msg = pub_run_ref(run, run->packet.count);
    deliveries_add_run(out, msg, run->packet.count, now.count, qos);
    session_pump(session);
}

bool
session_takes_run(const struct session *session, const struct pub *run,
                  const struct delivery_spec *spec)
{
    return takes_run(session, run, spec);
}

bool
session_deliver_run(struct session *session, struct pub *run, const struct delivery_spec *spec)
{
    if (unlikely(!takes_run(session, run, spec)))
        return false;
    if (spec->qos > 0)
        keep_run(session, run, spec->qos);
    else
        client_put_run(session->client, &run->packet, 0, 0);
    return true;
}

static NOINLINE void
deliver_run(struct session *session, struct pub *run, const struct delivery_spec *spec)
{
    if (likely(session_deliver_run(session, run, spec)))
        return;
    struct pub rest = *run, one = pub_one_of(run);
    while (pub_next(&rest, &one)) {
        deliver_one(session, &one, spec);
        pub_done(&one);
    }
}

void
session_deliver(struct session *session, struct pub *pub, const struct delivery_spec *spec)
{
    must_hot(session->magic == SESSION_MAGIC);
    if (unlikely(pub_is_run(pub)))
        deliver_run(session, pub, spec);
    else
        deliver_one(session, pub, spec);
}

// ---- Retained messages for a new subscription ---------------------------------------------------

static void
deliver_retained(struct session *session, struct msg *msg, struct sub_options options, uint32_t id)
{
    struct shard *shard = session->shard;
    if (msg->expires_ms && msg->expires_ms <= shard->now_ms)
        return;
    if (options.partly && !session_may_read(session, msg_topic(msg)))
        return;
    if (unlikely(msg->source_len > 0) && !session_is_sourced(shard, msg)) {
        stat_add(&shard->stats.withheld, 1);
        return;
    }
    struct pub pub;
    pub_from_msg(&pub, msg);
    struct delivery_spec spec = {
        .qos = options.qos < msg->qos ? options.qos : msg->qos, // [MQTT-3.8.4-8]
        .retain = true,                                         // [MQTT-3.3.1-8]
        .subscription_ids = &id,
        .subscription_id_count = id ? 1 : 0,
    };
    // At QoS 0 without the policies for live messages: walk_run saw to it that there is room.
    if (spec.qos == 0)
        (void)put(session, &pub, &spec, 0, false);
    else
        session_deliver(session, &pub, &spec);
    pub_done(&pub);
}

// Nothing is queued before a retained message: so a walk never overflows a queue, however short.
static bool
walk_may_go_on(const struct session *session)
{
    struct client *client = session->client;
    if (deliveries_waiting(&session->out) > 0 || client->state != CLIENT_CONNECTED)
        return false;
    return out_has_room(client) && !(session->shard->level >= GOVERNOR_TRIM && client->blocked);
}

// False when it stopped for want of room or because its share of this tick is used.
static bool
walk_run(struct session *session)
{
    uint32_t messages = 0;
    while (session->walks) {
        struct session_walk *walk = session->walks;
        if (messages >= WALK_STEPS || !walk_may_go_on(session))
            return false;
        bool done = false;
        struct msg *msg = retained_walk_next(walk->walk, WALK_STEPS, &done);
        if (msg) {
            deliver_retained(session, msg, walk->options, walk->subscription_id);
            msg_unref(msg);
            messages++;
        } else if (!done) {
            return false;
        } else {
            session_walk_end(session);
        }
    }
    return true;
}

void
session_continue(struct session *session)
{
    if (!session->client || session->client->state != CLIENT_CONNECTED)
        return;
    session_pump(session);
    // With something queued it is the acknowledgements that bring us back.
    if (session->walks && !walk_run(session) && deliveries_waiting(&session->out) == 0)
        go_on_later(session);
}
