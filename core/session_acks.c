// session_acks.c - PUBACK, PUBREC, PUBREL, PUBCOMP from the client.
#include "core/client.h"
#include "core/client_out.h"
#include "core/journal.h"
#include "core/session.h"
#include "core/shard.h"

static void
put(struct session *session, uint64_t position, uint8_t type, uint16_t packet_id, uint8_t reason)
{
    if (likely(position == 0)) {
        client_put_ack(session->client, type, packet_id, reason);
        return;
    }
    struct ack_out ack = {.type = type, .packet_id = packet_id, .reason = reason};
    client_put_ack_after(session->client, &(struct ack_wait){.position = position}, &ack);
}

static void
finish(struct session *session, struct delivery *entry)
{
    uint32_t before = session->out.inflight;
    session_finish(session, entry);
    session_widen(session, before);
}

void
session_acked(struct session *session)
{
    session_pump(session);
    if (session->walks)
        session_continue(session);
}

static err_t
on_puback(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry)
        return OK; // late, after a takeover or a restart of the client: nothing waits for it
    if (entry->qos != 1)
        return ERR_PROTOCOL;
    finish(session, entry); // whatever its reason: not sent again [MQTT-4.4.0-2]
    return OK;
}

static err_t
on_pubrec(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry) {
        if (ack->reason >= REASON_FAILURE)
            return OK;
        put(session, 0, MQTT_PUBREL, ack->packet_id, err_reason(ERR_PACKET_ID_NOT_FOUND));
        return OK;
    }
    if (entry->qos != 2)
        return ERR_PROTOCOL;
    if (ack->reason >= REASON_FAILURE) {
        finish(session, entry); // gives the quota back [MQTT5 4.9]
        return OK;
    }
    if (entry->state == DELIVERY_SENT) {
        deliveries_release(entry);
        if (session->durable)
            entry->record = (uint32_t)journal_entry_released(
                session->shard->journal, session, deliveries_seq(&session->out, ack->packet_id));
    }
    // Safe before PUBREL: else a crash would send the message again to a client that is done with
    // it.
    put(session, session_position(session), MQTT_PUBREL, ack->packet_id, REASON_SUCCESS);
    return OK;
}

static err_t
on_pubcomp(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry)
        return OK;
    if (entry->state != DELIVERY_RELEASED)
        return ERR_PROTOCOL;
    finish(session, entry);
    return OK;
}

void
session_refuse_qos2(struct session *session, uint16_t packet_id)
{
    if (packet_ids_remove(&session->in_qos2, packet_id) && session->durable)
        journal_released(session->shard->journal, session, packet_id);
}

static err_t
on_pubrel(struct session *session, const struct ack_view *ack)
{
    bool known = packet_ids_remove(&session->in_qos2, ack->packet_id);
    if (known && session->durable)
        journal_released(session->shard->journal, session, ack->packet_id);
    // An unknown one may have been released on an earlier connection: its record may be under way.
    put(session, session_position(session), MQTT_PUBCOMP, ack->packet_id,
        known ? REASON_SUCCESS : err_reason(ERR_PACKET_ID_NOT_FOUND));
    return OK;
}

FLATTEN err_t
session_on_ack(struct session *session, uint8_t type, const struct ack_view *ack)
{
    switch (type) {
    case MQTT_PUBACK:
        return on_puback(session, ack);
    case MQTT_PUBREC:
        return on_pubrec(session, ack);
    case MQTT_PUBREL:
        return on_pubrel(session, ack);
    default:
        must_hot(type == MQTT_PUBCOMP);
        return on_pubcomp(session, ack);
    }
}

// ---- Several in a row ---------------------------------------------------------------------------

// How many of these packets have identifiers that follow each other by one.
static uint32_t
row_length(const uint8_t *acks, uint32_t count)
{
    uint32_t first = (uint32_t)(acks[2] << 8 | acks[3]), n = 1;
    while (n < count && (uint32_t)(acks[4 * n + 2] << 8 | acks[4 * n + 3]) == first + n)
        n++;
    return n;
}

// Without the journal they do nothing but what is done here.
uint32_t
session_on_acks(struct session *session, uint8_t type, const uint8_t *acks, uint32_t count)
{
    struct deliveries *out = &session->out;
    uint16_t first = (uint16_t)(acks[2] << 8 | acks[3]);
    uint32_t inflight = out->inflight, n = 0;
    if ((session->durable && journal_is_on(session->shard->journal)) || session->node)
        return 0; // each is told
    switch (type) {
    case MQTT_PUBACK:
        n = deliveries_finish_oldest(out, acks, count, DELIVERY_SENT, 1);
        break;
    case MQTT_PUBREC:
        n = deliveries_release_row(out, acks, count);
        client_put_acks(session->client, MQTT_PUBREL, first, n);
        return n;
    case MQTT_PUBREL:
        n = packet_ids_remove_row(&session->in_qos2, first, row_length(acks, count));
        client_put_acks(session->client, MQTT_PUBCOMP, first, n);
        return n;
    default:
        must_hot(type == MQTT_PUBCOMP);
        n = deliveries_finish_oldest(out, acks, count, DELIVERY_RELEASED, 2);
    }
    for (uint32_t i = 0; i < n; i++)
        session_widen(session, inflight - i);
    return n;
}
