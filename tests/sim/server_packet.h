// server_packet.h - a strict reader of what the broker sends.
//
// Job:    one Control Packet from bytes to fields; every deviation from the specification ends the
//         process. Shares no code with the broker's own codec, so that no mistake is made twice.
// Owner:  none. Thread: any. Memory: slices borrow from the bytes. Limits: none.
#ifndef TERN_TESTS_SIM_SERVER_PACKET_H
#define TERN_TESTS_SIM_SERVER_PACKET_H

#include "tests/sim/server_props.h"

static inline void
packet_connack(struct slice body, uint8_t version, struct server_packet *ret)
{
    uint32_t flags = packet_int(&body, 1);
    ret->reason = (uint8_t)packet_int(&body, 1);
    must(flags <= 1 && (flags == 0 || ret->reason == 0)); // [MQTT-3.2.2-6]
    ret->session_present = flags & 1;
    if (version == MQTT_5)
        packet_props(&body, ret);
    else
        must(ret->reason <= 5);
    must(body.len == 0);
}

static inline void
packet_publish(struct slice body, uint8_t version, struct server_packet *ret)
{
    ret->qos = ret->flags >> 1 & 3;
    ret->dup = ret->flags >> 3;
    ret->retain = ret->flags & 1;
    must(ret->qos < 3 && (!ret->dup || ret->qos > 0)); // [MQTT-3.3.1-2] [MQTT-3.3.1-4]
    ret->topic = packet_text(&body);
    for (uint32_t i = 0; i < ret->topic.len; i++)
        must(!strchr("#+", ret->topic.data[i])); // [MQTT-3.3.2-2], and no NUL
    if (ret->qos > 0)
        ret->packet_id = (uint16_t)packet_int(&body, 2);
    must(ret->qos == 0 || ret->packet_id != 0);
    if (version == MQTT_5)
        packet_props(&body, ret);
    must(ret->topic.len > 0 || ret->alias != 0);
    ret->payload = body;
}

static inline void
packet_answer(struct slice body, uint8_t version, struct server_packet *ret)
{
    bool list = ret->type == MQTT_SUBACK || ret->type == MQTT_UNSUBACK;
    must(ret->flags == (ret->type == MQTT_PUBREL ? 2 : 0));
    ret->packet_id = (uint16_t)packet_int(&body, 2);
    must(ret->packet_id != 0);
    if (list) {
        if (version == MQTT_5)
            packet_props(&body, ret);
        must((body.len > 0) == (version == MQTT_5 || ret->type == MQTT_SUBACK));
        ret->codes = body;
        ret->reason = body.len > 0 ? body.data[0] : 0;
        return;
    }
    must(body.len == 0 || version == MQTT_5);
    if (body.len > 0)
        ret->reason = (uint8_t)packet_int(&body, 1);
    if (body.len > 0)
        packet_props(&body, ret);
    must(body.len == 0);
}

static inline void
packet_disconnect(struct slice body, uint8_t version, struct server_packet *ret)
{
    must(version == MQTT_5 && ret->flags == 0);
    if (body.len > 0)
        ret->reason = (uint8_t)packet_int(&body, 1);
    if (body.len > 0)
        packet_props(&body, ret);
    must(body.len == 0 && ret->reason >= 0x80);
}

static inline void
packet_auth(struct slice body, uint8_t version, struct server_packet *ret)
{
    must(version == MQTT_5 && ret->flags == 0 && body.len > 0);
    ret->reason = (uint8_t)packet_int(&body, 1);
    packet_props(&body, ret);
    must(body.len == 0 && ret->auth_method.data != NULL);
    must(ret->reason == REASON_SUCCESS || ret->reason == REASON_CONTINUE_AUTHENTICATION);
}

// Takes the first packet off *rest. False when it is incomplete.
static inline bool
server_packet_next(struct slice *rest, uint8_t version, struct server_packet *ret)
{
    memset(ret, 0, sizeof *ret);
    uint32_t head = 1;
    while (head < rest->len && head < 5 && rest->data[head] >= 128)
        head++;
    if (head++ >= rest->len)
        return false;
    struct slice packet = *rest;
    uint32_t first = packet_int(&packet, 1), len = packet_varint(&packet);
    ret->type = (uint8_t)(first >> 4);
    ret->flags = first & 15;
    ret->total = head + len;
    if (packet.len < len)
        return false;
    struct slice body = packet_take(&packet, len);
    *rest = packet;
    if (ret->type == MQTT_PUBLISH) {
        packet_publish(body, version, ret);
        return true;
    }
    switch (ret->type) {
    case MQTT_CONNACK:
        packet_connack(body, version, ret);
        break;
    case MQTT_PINGRESP:
        must(body.len == 0 && ret->flags == 0);
        break;
    case MQTT_AUTH:
        packet_auth(body, version, ret);
        break;
    case MQTT_DISCONNECT:
        packet_disconnect(body, version, ret);
        break;
    default:
        must((ret->type >= MQTT_PUBACK && ret->type <= MQTT_PUBCOMP) || ret->type == MQTT_SUBACK ||
             ret->type == MQTT_UNSUBACK);
        packet_answer(body, version, ret);
    }
    return true;
}

#endif
