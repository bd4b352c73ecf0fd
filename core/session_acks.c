// session_acks.c - PUBACK, PUBREC, PUBREL, PUBCOMP from the client.
#include "core/client.h"
#include "core/client_out.h"
#include "core/session.h"
#include "core/shard.h"

static void
finish(struct session *session, struct delivery *entry)
{
    deliveries_finish(&session->out, entry);
    session_pump(session);
    if (session->walks)
        session_continue(session);
}

err_t
session_on_puback(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry)
        return OK; // late, after a takeover or a restart of the client: nothing waits for it
    if (entry->qos != 1)
        return ERR_PROTOCOL;
    finish(session, entry); // whatever its reason: not sent again [MQTT-4.4.0-2]
    return OK;
}

err_t
session_on_pubrec(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry) {
        if (ack->reason >= REASON_FAILURE)
            return OK;
        client_put_ack(session->client, MQTT_PUBREL, ack->packet_id,
                       err_reason(ERR_PACKET_ID_NOT_FOUND));
        return OK;
    }
    if (entry->qos != 2)
        return ERR_PROTOCOL;
    if (ack->reason >= REASON_FAILURE) {
        finish(session, entry); // gives the quota back [MQTT5 4.9]
        return OK;
    }
    if (entry->state == DELIVERY_SENT)
        deliveries_release(entry);
    client_put_ack(session->client, MQTT_PUBREL, ack->packet_id, REASON_SUCCESS);
    return OK;
}

err_t
session_on_pubcomp(struct session *session, const struct ack_view *ack)
{
    struct delivery *entry = deliveries_find(&session->out, ack->packet_id);
    if (!entry)
        return OK;
    if (entry->state != DELIVERY_RELEASED)
        return ERR_PROTOCOL;
    finish(session, entry);
    return OK;
}

err_t
session_on_pubrel(struct session *session, const struct ack_view *ack)
{
    bool known = packet_ids_remove(&session->in_qos2, ack->packet_id);
    client_put_ack(session->client, MQTT_PUBCOMP, ack->packet_id,
                   known ? REASON_SUCCESS : err_reason(ERR_PACKET_ID_NOT_FOUND));
    return OK;
}
