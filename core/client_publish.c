// client_publish.c - PUBLISH from a client: checks, alias, routing, acknowledgement.
#include "core/base/mem.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/alias.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_control.h"
#include "core/client_handlers.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/review.h"
#include "core/route.h"
#include "core/session.h"
#include "core/session_move.h"
#include "core/shard.h"
#include "core/topic.h"
#include "core/trace.h"

// Unsent mail for other shards beyond this stops the reading of publishers.
#define OUTBOX_PAUSE (1u << 20)

bool
topic_is_reserved(struct slice topic)
{
    static const char *const roots[] = {"$SYS", "$share", "$CONTROL", "$TERNMQ"};
    if (topic.len == 0 || topic.data[0] != '$')
        return false;
    for (unsigned i = 0; i < ARRAY_LEN(roots); i++) {
        size_t n = strlen(roots[i]);
        if (topic.len >= n && memcmp(topic.data, roots[i], n) == 0 &&
            (topic.len == n || topic.data[n] == '/'))
            return true;
    }
    return false;
}

bool
client_may_publish(struct rights *rights, struct slice topic)
{
    if (unlikely(topic.data[0] == '$' && topic_is_reserved(topic)))
        return false;
    return !rights || rights_allow(rights, ACL_PUBLISH, topic);
}

// ---- Topic Alias --------------------------------------------------------------------------------

static err_t
resolve_alias(struct client *client, struct publish_view *view)
{
    const struct config *config = client->shard->config;
    uint16_t max = config->listeners[client->listener_index].topic_alias_max;
    if (view->topic_alias > max)
        return ERR_TOPIC_ALIAS_INVALID; // [MQTT-3.3.2-9]
    if (!client->aliases_in)
        client->aliases_in = alias_table_new(max);
    if (view->topic.len > 0) {
        alias_set(client->aliases_in, view->topic_alias, view->topic);
        return OK;
    }
    view->topic = alias_get(client->aliases_in, view->topic_alias);
    return view->topic.len > 0 ? OK : ERR_PROTOCOL; // never set on this connection [MQTT-3.3.2-7]
}

// ---- What may be published ----------------------------------------------------------------------

// Errors that end the connection.
static err_t
check(struct client *client, const struct publish_view *view)
{
    const struct config *config = client->shard->config;
    if (view->qos > config->listeners[client->listener_index].maximum_qos)
        return ERR_QOS_NOT_SUPPORTED;
    if (view->retain && !config->retain_available)
        return ERR_RETAIN_NOT_SUPPORTED;
    // Not acknowledged, so the client has it still and brings it again.
    if (unlikely(client->shard->level >= GOVERNOR_CLOSE && view->qos > 0 &&
                 client->version != MQTT_5))
        return ERR_NO_MEMORY;
    // So many levels need so many bytes; short topics are not looked at twice.
    if (likely(view->topic.len < config->topic_levels_max))
        return OK;
    return client_is_too_deep(client, view->topic) ? ERR_TOPIC_NAME_INVALID : OK;
}

static NOINLINE err_t
not_allowed(const struct client *client, struct slice topic)
{
    struct shard *shard = client->shard;
    stat_add(&client->counts->dropped_not_allowed, 1);
    log_limited(shard->log, &shard->log_denied, shard->now_ms, LOG_T_NOTICE,
                "Client %.64s [%s] may not publish to %.*s.", client->session->id, client->peer,
                (int)min_u32(topic.len, 128), (const char *)topic.data);
    return ERR_NOT_AUTHORIZED;
}

// Refused with a reason, the connection goes on. OK: go ahead. A QoS 2 message is asked about here
// and routed at once [MQTT-4.3.3, method B]: nothing of it waits for its PUBREL.
static err_t
refusal(struct client *client, const struct publish_view *view)
{
    struct shard *shard = client->shard;
    struct rights *rights = client->session->rights;
    if (unlikely(view->topic.data[0] == '$' || rights) && !client_may_publish(rights, view->topic))
        return not_allowed(client, view->topic);
    const struct config *config = shard->config;
    // What another node sends is acknowledged to its publisher already: it is taken, and slowed.
    bool told = client->version == MQTT_5 && client->link != LINK_IN;
    if (unlikely(config->payload_size_max && view->payload.len > config->payload_size_max) &&
        client->link != LINK_IN) {
        stat_add(&client->counts->dropped_too_large, 1);
        client_refused_by(client, "message_size_limit");
        return ERR_QUOTA_EXCEEDED;
    }
    // Only version 5 can be told at QoS > 0; what the others send at QoS > 0 is taken, and they are
    // paused.
    // What clears a retained message is welcome: it makes room.
    if (unlikely(shard->level >= GOVERNOR_FULL && (view->qos == 0 || told)) &&
        !(view->retain && view->payload.len == 0)) {
        stat_add(&client->counts->dropped_memory, 1);
        client_refused_by(client, "memory_limit");
        return ERR_QUOTA_EXCEEDED;
    }
    // The disk is full, or fails. Others wait for their acknowledgement, and are paused.
    if (unlikely(journal_is_on(shard->journal) &&
                 atomic_load_explicit(&shard->broker->keeper->failing, memory_order_relaxed) &&
                 (view->qos == 0 ? view->retain : told))) {
        stat_add(&client->counts->dropped_disk, 1);
        return ERR_QUOTA_EXCEEDED;
    }
    return OK;
}

// The packet waits for an answer: it comes again, and is counted then.
static void
uncount(struct client *client, const struct publish_view *view)
{
    stat_sub(&client->counts->publish_received, 1);
    stat_sub(&client->counts->publish_bytes_received, view->payload.len);
    client->session->messages_in--;
}

// The HTTP hook is asked about the topic.
static err_t
decide_outside(struct client *client, const struct publish_view *view)
{
    struct shard *shard = client->shard;
    if (!shard->access || !shard->access->listeners[client->listener_index].ask_publish)
        return OK;
    err_t err = client_decide(client, ACCESS_PUBLISH, view->topic, view->qos, view->retain);
    if (err == ERR_WAIT)
        uncount(client, view);
    else if (err)
        stat_add(&client->counts->dropped_not_allowed, 1);
    return err;
}

// The publisher makes work faster than it can be passed on: not read until that is better.
static void
check_pressure(struct client *client)
{
    struct shard *shard = client->shard;
    if (likely(shard->outbox_bytes < OUTBOX_PAUSE && shard->level < GOVERNOR_SLOW &&
               !shard_keeper_lags(shard)))
        return;
    if (!list_empty(&client->blocked_node))
        return;
    list_push(&shard->blocked_reads, &client->blocked_node);
    client->read_paused = true;
    stat_add(&shard->stats.reads_paused, 1);
    client_mark_dirty(client);
}

// ---- QoS 2 --------------------------------------------------------------------------------------

// QoS 1 and 2 messages that the client has under way, this one not counted, leave room for it?
static inline err_t
check_receive_max(const struct client *client)
{
    uint32_t max = client->in_receive_max, owed = client->parked ? client->parked->quota : 0;
    if (likely(max == UINT16_MAX || client->session->in_qos2.count + owed < max))
        return OK;
    return ERR_RECEIVE_MAX_EXCEEDED; // [MQTT-3.3.4-7]
}

// ---- The acknowledgement ------------------------------------------------------------------------

// What there is to say of a message to its publisher.
struct flow {
    uint8_t qos;
    uint16_t packet_id; // QoS > 0
};

static struct flow
flow_of(const struct publish_view *view)
{
    return (struct flow){view->qos, view->packet_id};
}

static void
qos2_received(struct session *session, uint16_t packet_id)
{
    bool added = packet_ids_add(&session->in_qos2, packet_id);
    must_hot(added);
    if (session->durable)
        journal_received(session->shard->journal, session, packet_id);
}

static void
acknowledge(struct client *client, struct flow flow, const struct ack_wait *wait, uint8_t reason)
{
    if (flow.qos == 0)
        return;
    struct ack_out ack = {
        .type = flow.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
        .reason = reason,
        .packet_id = flow.packet_id,
    };
    client_put_ack_after(client, wait, &ack);
}

// The version decides whether it is told.
static err_t
refuse(struct client *client, const struct publish_view *view, err_t err)
{
    stat_add(&client->shard->stats.publish_refused, 1);
    acknowledge(client, flow_of(view), &(struct ack_wait){0}, err_reason(err));
    return OK;
}

// The rule at QoS 1: nothing has to be waited for, or told.
static inline bool
accept_plainly(struct client *client, struct flow flow, uint64_t before,
               const struct route_result *result)
{
    if (flow.qos != 1 || !result->matched || result->ticket != 0 ||
        result->outcome != OUTCOME_TAKEN || journal_last(client->shard->journal) != before)
        return false;
    client_put_ack(client, MQTT_PUBACK, flow.packet_id, REASON_SUCCESS);
    return true;
}

// The message is with those who want it. before: where the journal stood when it came. What was
// added must be safe first, and other shards that were given the message must have answered.
static void
accept(struct client *client, struct flow flow, uint64_t before, const struct route_result *result)
{
    struct shard *shard = client->shard;
    must_hot(flow.qos > 0);
    if (flow.qos == 2 && likely(result->outcome != OUTCOME_REFUSED))
        qos2_received(client->session, flow.packet_id);
    // Another node takes an acknowledgement as from a client, and knows nothing of this reason.
    uint8_t reason = result->matched || client->link == LINK_IN ? REASON_SUCCESS
                                                                : REASON_NO_MATCHING_SUBSCRIBERS;
    uint64_t last = journal_last(shard->journal);
    if (likely(last == before && result->ticket == 0 && result->outcome == OUTCOME_TAKEN)) {
        client_put_ack(client, flow.qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, flow.packet_id, reason);
        return;
    }
    struct ack_wait wait = {
        .position = last == before ? 0 : last,
        .awaited = {.shards = result->answering, .ticket = result->ticket},
        .hold_ms = result->outcome == OUTCOME_SLOWED ? shard->now_ms + ACK_HOLD_MS : 0,
    };
    if (unlikely(result->outcome == OUTCOME_REFUSED)) {
        stat_add(&shard->stats.publish_refused, 1);
        reason = err_reason(ERR_QUOTA_EXCEEDED);
    }
    acknowledge(client, flow, &wait, reason);
}

// A copy of a message that is not released yet? Then it is answered [MQTT-4.3.3-10].
static bool
is_copy(struct client *client, struct flow flow)
{
    if (flow.qos < 2 || !packet_ids_has(&client->session->in_qos2, flow.packet_id))
        return false;
    // The records of the first one, sent on an earlier connection, may be under way still.
    struct ack_wait wait = {.position = journal_last(client->shard->journal)};
    // And so may other shards' answers, one of which may refuse it.
    (void)tickets_reclaim(client->shard, client->session, flow.packet_id, &wait.awaited);
    acknowledge(client, flow, &wait, REASON_SUCCESS);
    return true;
}

// ---- Routing ------------------------------------------------------------------------------------

static uint64_t
expires_at(const struct shard *shard, const struct publish_view *view)
{
    uint64_t at = view->has_expiry ? shard->now_ms + (uint64_t)view->expiry_s * 1000 : 0;
    uint32_t retain_s = shard->config->retain_expiry_s;
    if (view->retain && retain_s) {
        uint64_t limit = shard->now_ms + (uint64_t)retain_s * 1000;
        at = at ? min_u64(at, limit) : limit;
    }
    return at;
}

// May those who get the packet get it as it came?
static bool
goes_as_it_is(const struct client *client, const struct publish_view *view)
{
    return !view->strip && view->payload.len < client->shard->verbatim_below &&
           !(view->retain && client->shard->config->retain_expiry_s);
}

// Not as it came, or topics are watched: then it still goes so, if nobody watches this one.
static NOINLINE bool
goes_after_all(const struct client *client, const struct publish_view *view, struct pub *ret)
{
    const struct shard *shard = client->shard;
    bool watched = shard->verbatim_below == 0 && trace_published(client, view);
    bool goes = !view->strip && view->payload.len <= OUTQ_COPY_MAX &&
                !(view->retain && shard->config->retain_expiry_s);
    if (goes && !watched)
        return true;
    ret->expires_ms = expires_at(shard, view);
    return false;
}

// What it leaves is sent only as long as it may publish it. Rights that came with the client are
// not known when it has gone.
static const struct msg_source *
source_of(const struct client *client, const struct publish_view *view, struct msg_source *ret)
{
    const struct session *session = client->session;
    if (likely(!view->retain) || !session->rights || session->own_rights)
        return NULL;
    session_source(session, ret);
    return ret;
}

static inline void
pub_of(const struct client *client, const struct frame *frame, const struct publish_view *view,
       struct pub *ret)
{
    const struct shard *shard = client->shard;
    *ret = (struct pub){
        .topic = view->topic,
        .payload = view->payload,
        .props = view->raw_props,
        .publisher = client->session->number,
        .arrived_ms = shard->now_ms,
        .qos = view->qos,
        .retain = view->retain,
        .bonded = view->qos == 2 && client->session->durable,
        .may_wait = view->qos > 0 && client->slowed,
        .from_node = client->link == LINK_IN,
    };
    if (unlikely(!goes_as_it_is(client, view)) && !goes_after_all(client, view, ret))
        return;
    const uint8_t *bytes = frame->body.data - (frame->total - frame->body.len);
    ret->packet = (struct pub_packet){
        .bytes = bytes,
        .len = frame->total,
        .payload_len = view->payload.len,
        .id_at = (uint32_t)(view->topic.data + view->topic.len - bytes),
        .count = 1,
        .form = packet_form(client->version == MQTT_5, view->qos),
    };
}

// Another node has chosen us for a share group, or says that it has turned.
static err_t
route_by_id(struct shard *shard, struct pub *pub, uint32_t id, struct route_result *ret)
{
    struct cluster *cluster = shard->broker->cluster;
    struct slice filter, group;
    if (id >= MOVE_NUMBER_MIN) {
        pub->turn = id;
        return route_publish(shard, pub, ret);
    }
    void *texts = cluster->ops->group(cluster, id, &filter, &group);
    if (texts) {
        route_publish_group(shard, pub, filter, group, ret);
    } else { // its last member went meanwhile
        *ret = (struct route_result){0};
        stat_add(&shard->stats.dropped_no_member, 1);
    }
    mem_free(texts);
    return OK;
}

// The properties that go on are others than those that came.
static NOINLINE err_t
route_stripped(struct shard *shard, struct pub *pub, uint32_t subscription_id,
               struct route_result *ret)
{
    uint8_t *stripped = mem_alloc(pub->props.len);
    pub->props = slice_of(stripped, codec_forward_props(pub->props, stripped));
    err_t err = subscription_id == 0 ? route_publish(shard, pub, ret)
                                     : route_by_id(shard, pub, subscription_id, ret);
    mem_free(stripped);
    return err;
}

// ---- Runs ---------------------------------------------------------------------------------------

// Would what is decided for this packet be decided for others that differ in their payload alone?
static bool
may_lead(const struct client *client, const struct publish_view *view, const struct pub *pub)
{
    const struct config *config = client->shard->config;
    return pub->packet.form != 0 && !view->retain && !view->dup && view->raw_props.len == 0 &&
           !client->rates && !config->queue_qos0_messages && !config->upgrade_outgoing_qos;
}

// The identifier is the next one, as clients number, and at QoS 2 it is no copy. No properties.
static bool
follows(const struct client *client, const struct pub *pub, const uint8_t *behind_topic,
        uint16_t *packet_id)
{
    if (pub->qos > 0) {
        uint16_t id = (uint16_t)(behind_topic[0] << 8 | behind_topic[1]);
        if (id == 0 || id != *packet_id + 1u ||
            (pub->qos == 2 && packet_ids_has(&client->session->in_qos2, id)))
            return false;
        *packet_id = id;
        behind_topic += 2;
    }
    return !(pub->packet.form & PACKET_V5) || *behind_topic == 0;
}

// Cheaply: may the packet behind have the same topic? Three bytes tell most others from it.
static bool
looks_alike(const struct frame *first, struct slice behind, uint32_t same)
{
    uint32_t at = behind.len > 1 && behind.data[1] < 0x80 ? 2 : 3;
    const uint8_t *topic = first->body.data;
    return behind.len > at + same && behind.data[at + 1] == topic[1] &&
           behind.data[at + same - 1] == topic[same - 1];
}

// Makes the publication a run, with the packets behind it that differ from it in their payload and
// packet identifier alone. Takes them off behind.
static void
gather_run(struct client *client, const struct frame *first, struct slice *behind,
           uint16_t packet_id, struct pub *pub)
{
    const struct config *config = client->shard->config;
    struct pub_packet *packet = &pub->packet;
    uint32_t head = first->body.len - pub->payload.len, same = 2 + pub->topic.len;
    uint32_t max = config->payload_size_max;
    max = max ? min_u32(max, OUTQ_COPY_MAX) : OUTQ_COPY_MAX;
    uint32_t payload_len = packet->payload_len, count = 1;
    const uint8_t *at = behind->data, *end = at + behind->len, *start = packet->bytes;
    struct frame next;
    while (at < end && at[0] == start[0] &&
           codec_frame(slice_of(at, (size_t)(end - at)), client->in_packet_max, &next) == OK &&
           next.body.len >= head && next.body.len - head <= max &&
           packet->len + (at - behind->data) + next.total <= RUN_BYTES_MAX &&
           memcmp(next.body.data, first->body.data, same) == 0 &&
           follows(client, pub, next.body.data + same, &packet_id)) {
        at += next.total;
        payload_len += next.body.len - head;
        count++;
    }
    if (unlikely(client->shard->verbatim_below == 0))
        trace_run(client->shard, pub->topic, count - 1, payload_len - packet->payload_len);
    packet->len += (uint32_t)(at - behind->data);
    packet->payload_len = payload_len;
    packet->count = (uint16_t)count;
    *behind = slice_of(at, (size_t)(end - at));
    struct listener_stats *counts = client->counts;
    stat_add(&counts->packets_received, packet->count - 1u);
    stat_add(&counts->publish_received, packet->count - 1u);
    client->session->messages_in += packet->count - 1u;
    stat_add(&counts->publish_bytes_received, packet->payload_len - pub->payload.len);
}

static uint16_t
packet_id_of(const struct pub_packet *packet)
{
    const uint8_t *id = packet->bytes + packet->id_at;
    return (uint16_t)(id[0] << 8 | id[1]);
}

// Is there nothing that this client's acknowledgements of the run would wait for, if it is taken,
// and no message of it one too many?
static bool
answers_at_once(const struct client *client, const struct pub *run)
{
    const struct session *session = client->session;
    if (client->parked || client->base_position > 0 ||
        (run->qos == 2 && session->durable && journal_is_on(client->shard->journal)))
        return false;
    uint32_t max = client->in_receive_max;
    return run->qos == 1 || max == UINT16_MAX || session->in_qos2.count + run->packet.count <= max;
}

static void
accept_run(struct client *client, const struct pub *run)
{
    uint16_t first = packet_id_of(&run->packet);
    if (run->qos == 2) // not journaled, or answers_at_once is false
        packet_ids_add_row(&client->session->in_qos2, first, run->packet.count);
    client_put_acks(client, run->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC, first, run->packet.count);
}

// At QoS 1 and 2. Where not all can be said of all its messages, each is taken for itself.
static err_t
publish_run(struct client *client, struct pub *run)
{
    struct shard *shard = client->shard;
    struct route_plan plan;
    route_begin(shard, run, &plan);
    if (likely(answers_at_once(client, run) && route_run(shard, &plan, run))) {
        accept_run(client, run);
        return OK;
    }
    struct pub rest = *run, one = pub_one_of(run);
    while (client->state == CLIENT_CONNECTED && pub_next(&rest, &one)) {
        err_t err = check_receive_max(client);
        if (unlikely(err))
            return err;
        struct flow flow = {one.qos, packet_id_of(&one.packet)};
        uint64_t before = journal_last(shard->journal);
        struct route_result result;
        route_next(shard, &plan, &one, &result);
        pub_done(&one);
        if (!accept_plainly(client, flow, before, &result))
            accept(client, flow, before, &result);
    }
    return OK;
}

// ---- The packet ---------------------------------------------------------------------------------

// It was passed on, or could not be retained.
static inline err_t
answer(struct client *client, const struct publish_view *view, uint64_t before,
       const struct route_result *result, err_t err)
{
    if (likely(err == OK)) {
        if (view->qos > 0 && !accept_plainly(client, flow_of(view), before, result))
            accept(client, flow_of(view), before, result);
        return OK;
    }
    route_count_unretained(client->counts, err);
    client_refused_by(client, err == ERR_FULL ? "max_retained_messages or max_retained_bytes"
                                              : "max_retained_message_size");
    return refuse(client, view, err);
}

// It is to be passed on, and timed. It goes by a message of its own, also where its packet would
// do.
static NOINLINE err_t
publish_timed(struct client *client, const struct frame *frame, const struct publish_view *view)
{
    struct shard *shard = client->shard;
    uint64_t before = journal_last(shard->journal), taken_us;
    taken_us = samples_begin(client->counts);
    struct msg_source source;
    struct pub pub;
    uint8_t *stripped = NULL;
    pub_of(client, frame, view, &pub);
    pub.source = source_of(client, view, &source);
    pub.packet.form |= pub.packet.form ? PACKET_SAMPLED : 0;
    if (view->strip) {
        stripped = mem_alloc(pub.props.len);
        pub.props = slice_of(stripped, codec_forward_props(pub.props, stripped));
    }
    if (!view->retain) // what is retained is delivered at any time
        samples_mark(&pub, taken_us);
    struct route_result result;
    err_t err = view->subscription_id == 0
                    ? route_publish(shard, &pub, &result)
                    : route_by_id(shard, &pub, view->subscription_id, &result);
    pub_done(&pub);
    mem_free(stripped);
    err = answer(client, view, before, &result, err);
    if (err == OK && view->qos > 0)
        client_time_ack(client, taken_us);
    return err;
}

// It is to be passed on.
static err_t
publish(struct client *client, const struct frame *frame, const struct publish_view *view,
        struct slice *behind)
{
    struct shard *shard = client->shard;
    uint64_t before = journal_last(shard->journal);
    struct msg_source source;
    struct pub pub;
    pub_of(client, frame, view, &pub);
    pub.source = source_of(client, view, &source);
    if (looks_alike(frame, *behind, 2 + view->topic.len) && may_lead(client, view, &pub)) {
        gather_run(client, frame, behind, view->packet_id, &pub);
        if (pub_is_run(&pub) && pub.qos > 0) {
            err_t err = publish_run(client, &pub);
            pub_done(&pub);
            return err;
        }
    }
    struct route_result result;
    err_t err = unlikely(view->strip) ? route_stripped(shard, &pub, view->subscription_id, &result)
                                      : route_publish(shard, &pub, &result);
    pub_done(&pub);
    return answer(client, view, before, &result, err);
}

// For an authority. Nobody else gets it.
static NOINLINE err_t
control(struct client *client, const struct publish_view *view)
{
    struct ack_wait wait = {0};
    err_t err = client_control(client, view, &wait);
    if (err == ERR_WAIT) {
        uncount(client, view);
        return err;
    }
    if (err) {
        stat_add(&client->shard->stats.publish_refused, 1);
    } else if (view->qos == 2) {
        qos2_received(client->session, view->packet_id);
        wait.position = journal_last(client->shard->journal);
    }
    acknowledge(client, flow_of(view), &wait, err_reason(err));
    review_client(client); // by the rules that it has made
    return OK;
}

// What another node tells us, of itself.
static COLD err_t
take_word(struct client *client, const struct publish_view *view)
{
    struct shard *shard = client->shard;
    struct cluster *cluster = shard->broker->cluster;
    must(client->link == LINK_IN && cluster);
    err_t err = cluster->ops->told(cluster, client, view->topic, view->payload);
    if (err == OK)
        acknowledge(client, flow_of(view),
                    &(struct ack_wait){.position = journal_last(shard->journal)}, REASON_SUCCESS);
    return err;
}

// Its acknowledgement may have a word for it; else the connection ends.
static COLD err_t
refuse_topic(struct client *client, const struct publish_view *view)
{
    if (view->qos == 0 || client->version != MQTT_5)
        return ERR_TOPIC_NAME_INVALID;
    stat_add(&client->shard->stats.publish_refused, 1);
    acknowledge(client, flow_of(view), &(struct ack_wait){0}, err_reason(ERR_TOPIC_NAME_INVALID));
    return OK;
}

err_t
client_on_publish(struct client *client, const struct frame *frame, struct slice *behind)
{
    if (unlikely(client->link == LINK_OUT))
        return ERR_PROTOCOL; // a server that we are no client of
    const bool node = client->link == LINK_IN;
    struct publish_view view;
    err_t err = likely(!node) ? codec_publish(frame, client->version, &view)
                              : codec_publish_of_node(frame, &view);
    if (unlikely(err))
        return err;
    struct listener_stats *counts = client->counts;
    stat_add(&counts->publish_received, 1);
    stat_add(&counts->publish_bytes_received, view.payload.len);
    client->session->messages_in++;
    if (unlikely(node) && slice_begins(view.topic, NODE_ROOT))
        return take_word(client, &view);
    if (view.topic_alias)
        err = resolve_alias(client, &view);
    if (err == OK && likely(!node))
        err = check(client, &view);
    if (unlikely(err))
        return err == ERR_TOPIC_NAME_INVALID ? refuse_topic(client, &view) : err;
    if (view.qos > 0 && is_copy(client, flow_of(&view)))
        return OK;
    if (view.qos > 0)
        err = check_receive_max(client);
    if (unlikely(err))
        return err;
    if (unlikely(view.topic.data[0] == '$' && client_is_control(client, view.topic)))
        return control(client, &view);
    err = refusal(client, &view);
    if (unlikely(client->decided_outside) && err == OK) {
        err = decide_outside(client, &view);
        if (err == ERR_WAIT)
            return err;
    }
    if (unlikely(err))
        err = refuse(client, &view, err);
    else if (samples_due(client->counts))
        err = publish_timed(client, frame, &view);
    else
        err = publish(client, frame, &view, behind);
    check_pressure(client);
    return err;
}
