// client_out.c - packets to one client.
#include "core/client_out.h"

#include "core/base/mem.h"

#include "core/alias.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/trace.h"

// A client that does not read what it is sent is not read either, beyond this much.
#define PAUSE_AT  (UINT64_C(1) << 20)
#define RESUME_AT (UINT64_C(1) << 18)
// Nor one that sends on though more is unacknowledged than it has identifiers for.
#define PARKED_PAUSE  65536u
#define PARKED_RESUME 32768u
#define PARKED_FIRST  8u

void
client_mark_dirty(struct client *client)
{
    if (list_empty(&client->dirty))
        list_push(&client->shard->dirty, &client->dirty);
}

static inline uint32_t
parked_count(const struct client *client)
{
    return client->parked ? client->parked->count : 0;
}

void
client_check_pause(struct client *client)
{
    uint64_t bytes = outq_bytes(&client->out);
    if (likely(!client->read_paused)) {
        if (unlikely(bytes > PAUSE_AT || parked_count(client) > PARKED_PAUSE)) {
            client->read_paused = true;
            stat_add(&client->shard->stats.reads_paused, 1);
            client_mark_dirty(client);
        }
        return;
    }
    if (bytes < RESUME_AT && parked_count(client) < PARKED_RESUME &&
        list_empty(&client->blocked_node) && !client->suspended && !client->rate_paused) {
        client->read_paused = false;
        client_mark_dirty(client);
    }
}

static uint8_t *
reserve(struct client *client, uint32_t len)
{
    return outq_reserve(&client->out, &client->shard->pool, len);
}

// What was just written to a client that is traced.
static COLD NOINLINE void
record(struct client *client, uint32_t len)
{
    must(client->traced && client->out.len >= len);
    trace_packets_out(client, client->out.buf + client->out.len - len, len);
}

static void
commit(struct client *client, uint32_t len)
{
    outq_commit(&client->out, len);
    stat_add(&client->counts->packets_sent, 1);
    client_mark_dirty(client);
    if (unlikely(client->traced))
        record(client, len);
}

// ---- PUBLISH ------------------------------------------------------------------------------------

// Seconds left of the Message Expiry Interval [MQTT-3.3.2-6].
static uint32_t
expiry_left_s(const struct client *client, const struct pub *pub)
{
    uint64_t now = client->shard->now_ms;
    return pub->expires_ms > now ? (uint32_t)((pub->expires_ms - now + 999) / 1000) : 0;
}

static void
fill_v5(struct client *client, struct pub *pub, const struct delivery_spec *spec,
        struct publish_out *out)
{
    out->props = pub->props;
    out->subscription_ids = spec->subscription_ids;
    out->subscription_id_count = spec->subscription_id_count;
    if (pub->expires_ms) {
        out->has_expiry = true;
        out->expiry_s = expiry_left_s(client, pub);
    }
}

// Once the packet is known to fit: an alias must not be promised in a packet that is then dropped.
static void
fill_alias(struct client *client, struct publish_out *out)
{
    if (!client->aliases_out)
        client->aliases_out = alias_table_new(client->alias_max_out);
    bool is_new;
    out->topic_alias =
        alias_for_topic(client->aliases_out, &client->shard->broker->key, out->topic, &is_new);
    out->topic_omitted = out->topic_alias != 0 && !is_new;
}

#define ALIAS_PROPERTY_SIZE 5u // identifier, two bytes, and a property length that may grow

static void
count_publish(struct client *client, uint32_t packets, uint32_t payload_bytes)
{
    struct listener_stats *counts = client->counts;
    stat_add(&counts->packets_sent, packets);
    stat_add(&counts->publish_sent, packets);
    client->session->messages_out += packets;
    stat_add(&counts->publish_bytes_sent, payload_bytes);
    client_mark_dirty(client);
}

static bool
goes_by_ref(const struct pub *pub)
{
    if (likely(pub->payload.len <= OUTQ_COPY_MAX))
        return false;
    return pub->msg || pub->copy || pub->payload.len > OUTQ_COPY_ONE_MAX;
}

static void
put_body(struct client *client, struct pub *pub, uint32_t head_len)
{
    if (goes_by_ref(pub)) {
        outq_commit(&client->out, head_len);
        outq_put_payload(&client->out, &client->shard->pool, pub_msg(pub));
    } else {
        memcpy(client->out.buf + client->out.len + head_len, pub->payload.data, pub->payload.len);
        outq_commit(&client->out, head_len + pub->payload.len);
    }
    count_publish(client, 1, pub->payload.len);
}

// Has the client's packet something that others' have not?
static bool
is_special(const struct client *client, const struct delivery_spec *spec)
{
    return spec->subscription_id_count > 0 || client->alias_max_out > 0 || client->traced_out;
}

// May it go to the client as it is?
static bool
suits(const struct client *client, const struct pub_packet *packet,
      const struct delivery_spec *spec)
{
    return packet->form == packet_form(client->version == MQTT_5, spec->qos) &&
           !is_special(client, spec) && packet->len <= client->packet_max;
}

// The packet at bytes was just written. The first one is kept: it suits most others of a vector.
static void
copy_keep(struct publish_copy *copy, const struct publish_out *out, const uint8_t *bytes,
          uint32_t size)
{
    if (copy->packet.form != 0 || size > PUBLISH_COPY_MAX)
        return;
    uint32_t header = bytes[1] < 0x80 ? 2 : 3; // at this size the length has at most two bytes
    copy->packet = (struct pub_packet){
        .bytes = copy->bytes,
        .len = size,
        .payload_len = out->payload_len,
        .id_at = header + 2 + out->topic.len,
        .count = 1,
        .form = packet_form(out->version == MQTT_5, out->qos),
    };
    memcpy(copy->bytes, bytes, size);
}

static void
put_packet(struct client *client, const struct pub_packet *packet, const struct delivery_spec *spec,
           uint16_t packet_id, bool dup)
{
    uint8_t *dst = reserve(client, packet->len);
    memcpy(dst, packet->bytes, packet->len);
    dst[0] = codec_publish_first(spec->qos, spec->retain, dup);
    if (packet_id != 0) {
        dst[packet->id_at] = (uint8_t)(packet_id >> 8);
        dst[packet->id_at + 1] = (uint8_t)packet_id;
    }
    outq_commit(&client->out, packet->len);
    count_publish(client, packet->count, packet->payload_len);
}

static NOINLINE bool
put_publish(struct client *client, struct pub *pub, const struct delivery_spec *spec,
            uint16_t packet_id, bool dup)
{
    struct publish_out out = {
        .version = client->version,
        .qos = spec->qos,
        .dup = dup,
        .retain = spec->retain,
        .packet_id = packet_id,
        .topic = pub->topic,
        .payload_len = pub->payload.len,
    };
    if (client->version == MQTT_5)
        fill_v5(client, pub, spec, &out);
    uint32_t size = codec_publish_size(&out);
    bool alias = client->alias_max_out > 0, sampled = pub->msg && unlikely(pub->msg->sampled);
    if (unlikely(size + (alias ? ALIAS_PROPERTY_SIZE : 0) > client->packet_max)) {
        if (size > client->packet_max) {
            stat_add(&client->counts->dropped_too_large, 1);
            return false;
        }
        alias = false;
    }
    if (alias) {
        fill_alias(client, &out);
        size = codec_publish_size(&out);
    }
    uint8_t *dst = reserve(client, goes_by_ref(pub) ? size - pub->payload.len : size);
    put_body(client, pub, codec_put_publish_head(dst, &out));
    if (unlikely(sampled))
        samples_delivered(client, pub->msg);
    if (unlikely(client->shard->watching != NULL))
        trace_publish_out(client, &out);
    else if (pub->copy && !sampled && !is_special(client, spec)) // else others are to come by here
        copy_keep(pub->copy, &out, dst, size);
    return true;
}

bool
client_put_publish(struct client *client, struct pub *pub, const struct delivery_spec *spec,
                   uint16_t packet_id, bool dup)
{
    must_hot(client->magic == CLIENT_MAGIC && (spec->qos == 0) == (packet_id == 0));
    must_hot(!pub_is_run(pub));
    if (likely(suits(client, &pub->packet, spec)))
        put_packet(client, &pub->packet, spec, packet_id, dup);
    else if (pub->copy && suits(client, &pub->copy->packet, spec))
        put_packet(client, &pub->copy->packet, spec, packet_id, dup);
    else
        return put_publish(client, pub, spec, packet_id, dup);
    return true;
}

bool
client_takes_run(const struct client *client, const struct pub *run,
                 const struct delivery_spec *spec)
{
    must_hot(client->magic == CLIENT_MAGIC && pub_is_run(run) && !spec->retain);
    return suits(client, &run->packet, spec);
}

// Their first bytes and packet identifiers. id_at: of the first packet.
static void
number_packets(uint8_t *at, const struct pub_packet *packets, uint8_t first, uint16_t packet_id)
{
    uint32_t id_at = packets->id_at - (at[1] < 0x80 ? 2 : 3); // behind the fixed header
    for (uint32_t i = 0; i < packets->count; i++) {
        uint32_t size = packet_size(at);
        uint8_t *id = at + id_at + (at[1] < 0x80 ? 2 : 3);
        at[0] = first;
        id[0] = (uint8_t)(packet_id >> 8);
        id[1] = (uint8_t)packet_id;
        packet_id = deliveries_next_id(packet_id);
        at += size;
    }
}

void
client_put_run(struct client *client, const struct pub_packet *packets, uint8_t qos,
               uint16_t packet_id)
{
    must_hot(client->magic == CLIENT_MAGIC && (qos == 0) == (packet_id == 0));
    uint8_t *dst = reserve(client, packets->len);
    memcpy(dst, packets->bytes, packets->len);
    if (qos > 0)
        number_packets(dst, packets, codec_publish_first(qos, false, false), packet_id);
    outq_commit(&client->out, packets->len);
    count_publish(client, packets->count, packets->payload_len);
}

// ---- The small packets --------------------------------------------------------------------------

static NOINLINE void
put_suback(struct client *client, const struct ack_out *ack)
{
    uint8_t *dst = reserve(client, 16 + ack->count);
    commit(client, codec_put_suback(dst, ack->type, client->version, ack->packet_id, ack->codes,
                                    ack->count));
}

// A message that waited, as a packet.
static void
put_whole(struct client *client, struct slice packet)
{
    if (unlikely(client->traced))
        trace_packets_out(client, packet.data, packet.len);
    memcpy(reserve(client, packet.len), packet.data, packet.len);
    outq_commit(&client->out, packet.len);
    count_publish(client, 1, packet.len);
}

void
client_put_packet(struct client *client, struct slice packet)
{
    memcpy(reserve(client, packet.len), packet.data, packet.len);
    commit(client, packet.len);
}

static void
put_ack(struct client *client, const struct ack_out *ack)
{
    if (unlikely(ack->type == MQTT_CONNACK)) { // it is in outq
        client->held = false;
        client_mark_dirty(client);
        return;
    }
    if (unlikely(client->state == CLIENT_CLOSING))
        return; // nothing follows a DISCONNECT
    if (unlikely(ack->count > 0)) {
        if (ack->type == MQTT_PUBLISH)
            put_whole(client, slice_of(ack->codes, ack->count));
        else
            put_suback(client, ack);
        return;
    }
    uint8_t *dst = reserve(client, CODEC_ACK_MAX);
    commit(client, codec_put_ack(dst, ack->type, client->version, ack->packet_id, ack->reason));
}

// Does the wait still go on? Notes when to look again.
static inline bool
waits(const struct client *client, const struct ack_wait *wait)
{
    struct shard *shard = client->shard;
    if (wait->position > journal_safe(shard->journal) ||
        !tickets_answered(shard, wait->awaited.shards, wait->awaited.ticket)) {
        if (likely(wait->until_ms == 0))
            return true;
        shard->hold_ms = min_u64(shard->hold_ms, wait->until_ms);
        if (shard->now_ms < wait->until_ms)
            return true;
    }
    if (unlikely(wait->taken_ms > shard->now_ms)) {
        struct cluster *cluster = shard->broker->cluster;
        shard->hold_ms = min_u64(shard->hold_ms, wait->taken_ms);
        if (!cluster->ops->will_out(cluster, client->session))
            return true;
    }
    if (unlikely(wait->routes != 0 && wait->routes_ms > shard->now_ms)) {
        struct cluster *cluster = shard->broker->cluster;
        if (!cluster->ops->routes_known(cluster, wait->routes)) {
            shard->hold_ms = min_u64(shard->hold_ms, wait->routes_ms);
            return true;
        }
    }
    if (likely(wait->hold_ms <= shard->now_ms))
        return false;
    shard->hold_ms = min_u64(shard->hold_ms, wait->hold_ms);
    return true;
}

// Is it what ends an exchange that the client began, so that until then the exchange counts against
// our Receive Maximum? A PUBREC does not: its identifier is in the session's set.
static bool
is_owed(const struct ack_out *ack)
{
    return ack->type == MQTT_PUBACK || ack->type == MQTT_PUBCOMP;
}

// Twice the room, and some where there is none. What moves is on no list.
static COLD NOINLINE struct parked *
parked_grow(struct client *client)
{
    struct parked *parked = client->parked;
    uint32_t cap = parked ? parked->cap * 2 : PARKED_FIRST;
    must(cap > 0);
    if (parked)
        list_remove(&parked->node);
    parked = mem_realloc(parked, sizeof *parked + (size_t)cap * sizeof parked->acks[0]);
    if (!client->parked)
        *parked = (struct parked){.client = client};
    parked->cap = cap;
    list_init(&parked->node);
    client->parked = parked;
    return parked;
}

static void
park(struct client *client, const struct ack_wait *wait, const struct ack_out *ack)
{
    struct parked *parked = client->parked;
    if (parked && parked->head > 0 && parked->head + parked->count == parked->cap) {
        memmove(parked->acks, parked->acks + parked->head, parked->count * sizeof parked->acks[0]);
        parked->head = 0;
    }
    if (!parked || parked->head + parked->count == parked->cap)
        parked = parked_grow(client);
    struct parked_ack *last = &parked->acks[parked->head + parked->count++];
    *last = (struct parked_ack){.wait = *wait, .since_ms = client->shard->now_ms, .ack = *ack};
    if (ack->count) {
        uint8_t *codes = mem_alloc(ack->count);
        memcpy(codes, ack->codes, ack->count);
        last->ack.codes = codes;
    }
    parked->quota += is_owed(ack);
    if (list_empty(&parked->node))
        list_push(&client->shard->parked, &parked->node);
}

void
client_put_ack(struct client *client, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    if (unlikely(client->parked || client->base_position > 0)) {
        struct ack_out ack = {.type = type, .reason = reason, .packet_id = packet_id};
        client_put_ack_after(client, &(struct ack_wait){0}, &ack);
        return;
    }
    put_ack(client, &(struct ack_out){.type = type, .reason = reason, .packet_id = packet_id});
}

void
client_put_acks(struct client *client, uint8_t type, uint16_t first, uint32_t count)
{
    if (unlikely(count == 0 || client->parked || client->base_position > 0)) {
        for (; count > 0; count--, first = deliveries_next_id(first))
            client_put_ack(client, type, first, REASON_SUCCESS);
        return;
    }
    if (unlikely(client->state == CLIENT_CLOSING))
        return;
    uint8_t *dst = reserve(client, CODEC_ACK_MAX * count);
    uint32_t len = codec_put_acks(dst, type, first, count);
    outq_commit(&client->out, len);
    stat_add(&client->counts->packets_sent, count);
    client_mark_dirty(client);
    if (unlikely(client->traced))
        record(client, len);
}

void
client_put_ack_after(struct client *client, const struct ack_wait *wait, const struct ack_out *ack)
{
    struct ack_wait full = *wait;
    // A PUBREL answers nothing that this connection asked for, and a CONNACK promises no more than
    // what it waits for.
    if (ack->type != MQTT_PUBREL && ack->type != MQTT_CONNACK)
        full.position = max_u64(full.position, client->base_position);
    // Another shard has never answered yet, so a ticket always parks.
    if (likely(!client->parked && !waits(client, &full)))
        put_ack(client, ack);
    else
        park(client, &full, ack);
}

void
client_put_message_after(struct client *client, const struct ack_wait *wait, struct slice topic,
                         struct slice payload)
{
    struct publish_out out = {
        .version = client->version, .topic = topic, .payload_len = payload.len};
    uint32_t size = codec_publish_size(&out);
    if (size > client->packet_max) {
        stat_add(&client->counts->dropped_too_large, 1);
        return;
    }
    uint8_t *packet = mem_alloc(size);
    uint32_t head = codec_put_publish_head(packet, &out);
    must(head + payload.len == size);
    memcpy(packet + head, payload.data, payload.len);
    struct ack_out message = {.type = MQTT_PUBLISH, .codes = packet, .count = size};
    client_put_ack_after(client, wait, &message);
    mem_free(packet);
}

// The other shards' answer was more than "taken". True: goes on waiting.
static bool
follow_outcome(struct client *client, struct parked_ack *parked, enum outcome outcome)
{
    struct shard *shard = client->shard;
    parked->wait.awaited = (struct awaited){0}; // answered
    if (outcome == OUTCOME_SLOWED) {
        parked->wait.hold_ms = parked->since_ms + ACK_HOLD_MS;
        return waits(client, &parked->wait);
    }
    stat_add(&shard->stats.publish_refused, 1);
    parked->ack.reason = err_reason(ERR_QUOTA_EXCEEDED);
    // A PUBREC that refuses ends the exchange [MQTT-4.3.3-9].
    if (parked->ack.type == MQTT_PUBREC && client->session)
        session_refuse_qos2(client->session, parked->ack.packet_id);
    return false;
}

static void
unpark(struct parked *parked, const struct parked_ack *first)
{
    must(parked->count > 0);
    if (unlikely(first->ack.codes != NULL)) // ours since client_put_ack_after copied them
        mem_free(unconst(first->ack.codes));
    parked->quota -= is_owed(&first->ack);
    parked->head++;
    parked->count--;
}

// What became of the words that it waited for is theirs; their answers may not have come.
static void
release_hold(struct client *client, struct parked *parked, const struct parked_ack *first)
{
    if (first->wait.awaited.ticket)
        tickets_abandon(client->shard, NULL, 0, &first->wait.awaited);
    put_ack(client, &first->ack);
    unpark(parked, first);
}

void
client_hold(struct client *client, const struct ack_wait *wait)
{
    must(client->state == CLIENT_CONNECTED && !client->held && outq_bytes(&client->out) > 0);
    client->held = true;
    client_put_ack_after(client, wait, &(struct ack_out){.type = MQTT_CONNACK});
}

void
client_time_ack(struct client *client, uint64_t taken_us)
{
    struct parked *parked = client->parked;
    if (!parked)
        samples_acknowledged(&client->shard->samples, taken_us);
    else // in order: it is the last one
        parked->acks[parked->head + parked->count - 1].taken_us = taken_us;
}

void
client_release_parked(struct client *client)
{
    struct shard *shard = client->shard;
    struct parked *parked = client->parked;
    if (!parked)
        return;
    for (struct parked_ack *first = &parked->acks[parked->head]; parked->count > 0; first++) {
        if (waits(client, &first->wait))
            return;
        if (unlikely(first->ack.type == MQTT_CONNACK)) {
            release_hold(client, parked, first);
            continue;
        }
        uint64_t ticket = first->wait.awaited.ticket;
        enum outcome outcome = ticket ? tickets_outcome(shard, ticket) : OUTCOME_TAKEN;
        if (unlikely(outcome != OUTCOME_TAKEN) && follow_outcome(client, first, outcome))
            return;
        put_ack(client, &first->ack);
        if (unlikely(first->taken_us != 0))
            samples_acknowledged(&shard->samples, first->taken_us);
        unpark(parked, first);
    }
    client_drop_parked(client);
    client_check_pause(client);
}

void
client_drop_parked(struct client *client)
{
    struct parked *parked = client->parked;
    if (!parked)
        return;
    while (parked->count > 0) {
        const struct parked_ack *first = &parked->acks[parked->head];
        if (first->wait.awaited.ticket)
            tickets_abandon(client->shard, first->ack.type == MQTT_PUBREC ? client->session : NULL,
                            first->ack.packet_id, &first->wait.awaited);
        unpark(parked, first);
    }
    list_remove(&parked->node);
    mem_free(parked);
    client->parked = NULL;
    client->held = false;
}

void
client_put_connack(struct client *client, const struct connack *connack)
{
    uint8_t *dst = reserve(client, CODEC_CONNACK_MAX(connack));
    commit(client, codec_put_connack(dst, connack));
}

void
client_put_pingresp(struct client *client)
{
    uint8_t *dst = reserve(client, 2);
    commit(client, codec_put_pingresp(dst));
}

void
client_put_auth(struct client *client, uint8_t reason, struct slice method, struct slice data)
{
    uint8_t *dst = reserve(client, 16 + method.len + data.len);
    commit(client, codec_put_auth(dst, reason, method, data));
}

// ---- The end ------------------------------------------------------------------------------------

void
client_close(struct client *client, err_t reason)
{
    if (client->state == CLIENT_CLOSING)
        return;
    client->state = CLIENT_CLOSING;
    client->close_reason = (uint8_t)reason;
    client->want_close = true;
    wheel_disarm(client->shard->wheel, &client->timer);
    client_mark_dirty(client);
}

static void
put_farewell(struct client *client, err_t err)
{
    struct slice text = {0}, reference = {0};
    if (err == ERR_USE_ANOTHER_SERVER) {
        reference = slice_str(client->shard->reference);
        must(reference.len > 0); // client_refer was asked
    }
    if (client->link == LINK_OUT || client->link == LINK_RELAY)
        return; // the server is at the other side
    if (client->state == CLIENT_AWAIT_CONNECT) {
        struct connack connack = {
            .version = client->version,
            .reason = client->version == MQTT_5 ? err_reason(err) : err_connack(err),
            .receive_max = UINT16_MAX,
            .maximum_qos = 2,
            .client_packet_max = UINT32_MAX,
            .reference = reference,
        };
        // Before its CONNECT could be read a peer is told nothing, unless it spoke version 5.
        if (client->version != 0 && connack.reason != 0)
            client_put_connack(client, &connack);
        return;
    }
    if (client->version != MQTT_5)
        return;
    if (client->problem_info)
        text = slice_str(err_text(err));
    if (16 + text.len + reference.len > client->packet_max)
        text.len = 0; // [MQTT-3.14.2-3]
    uint8_t *dst = reserve(client, 16 + text.len + reference.len);
    commit(client, codec_put_disconnect(dst, err_reason(err), text, reference));
}

void
client_fail(struct client *client, err_t err)
{
    must(err != OK);
    if (client->state == CLIENT_CLOSING)
        return;
    if (err == ERR_MALFORMED)
        stat_add(&client->shard->stats.malformed_packets, 1);
    else if (err == ERR_PROTOCOL)
        stat_add(&client->shard->stats.protocol_errors, 1);
    else if (err == ERR_USE_ANOTHER_SERVER)
        stat_add(&client->shard->stats.referred, 1);
    put_farewell(client, err);
    client_close(client, err);
}
