// codec_ack.c - PUBACK, PUBREC, PUBREL, PUBCOMP, DISCONNECT, AUTH, PINGREQ.
#include "core/codec.h"
#include "core/codec_props.h"

#define ON(type) (1u << (type))
#define RECEIPTS (ON(MQTT_PUBACK) | ON(MQTT_PUBREC))
#define RELEASES (ON(MQTT_PUBREL) | ON(MQTT_PUBCOMP))
#define GOODBYE  ON(MQTT_DISCONNECT)

// Which packets a client may send a reason code in, and in which only a server may.
// [MQTT-3.4.2-1] [MQTT-3.5.2-1] [MQTT-3.6.2-1] [MQTT-3.7.2-1] [MQTT-3.14.2-1] [MQTT-3.15.2-1].
struct reason_rule {
    uint16_t client, server; // ON(type), ORed
};

static const struct reason_rule reason_rules[256] = {
    [0x00] = {RECEIPTS | RELEASES | GOODBYE, ON(MQTT_AUTH)}, // Success
    [0x04] = {GOODBYE, 0},                                   // Disconnect with Will Message
    [0x10] = {0, RECEIPTS},                                  // No matching subscribers
    [0x18] = {ON(MQTT_AUTH), 0},                             // Continue authentication
    [0x19] = {ON(MQTT_AUTH), 0},                             // Re-authenticate
    [0x80] = {RECEIPTS | GOODBYE, 0},                        // Unspecified error
    [0x81] = {GOODBYE, 0},                                   // Malformed Packet
    [0x82] = {GOODBYE, 0},                                   // Protocol Error
    [0x83] = {RECEIPTS | GOODBYE, 0},                        // Implementation specific error
    [0x87] = {RECEIPTS, GOODBYE},                            // Not authorized
    [0x89] = {0, GOODBYE},                                   // Server busy
    [0x8b] = {0, GOODBYE},                                   // Server shutting down
    [0x8c] = {0, GOODBYE},                                   // Bad authentication method
    [0x8d] = {0, GOODBYE},                                   // Keep Alive timeout
    [0x8e] = {0, GOODBYE},                                   // Session taken over
    [0x8f] = {0, GOODBYE},                                   // Topic Filter invalid
    [0x90] = {RECEIPTS | GOODBYE, 0},                        // Topic Name invalid
    [0x91] = {RECEIPTS, 0},                                  // Packet Identifier in use
    [0x92] = {RELEASES, 0},                                  // Packet Identifier not found
    [0x93] = {GOODBYE, 0},                                   // Receive Maximum exceeded
    [0x94] = {GOODBYE, 0},                                   // Topic Alias invalid
    [0x95] = {GOODBYE, 0},                                   // Packet too large
    [0x96] = {GOODBYE, 0},                                   // Message rate too high
    [0x97] = {RECEIPTS | GOODBYE, 0},                        // Quota exceeded
    [0x98] = {GOODBYE, 0},                                   // Administrative action
    [0x99] = {RECEIPTS | GOODBYE, 0},                        // Payload format invalid
    [0x9a] = {0, GOODBYE},                                   // Retain not supported
    [0x9b] = {0, GOODBYE},                                   // QoS not supported
    [0x9c] = {0, GOODBYE},                                   // Use another server
    [0x9d] = {0, GOODBYE},                                   // Server moved
    [0x9e] = {0, GOODBYE},                                   // Shared Subscriptions not supported
    [0x9f] = {0, GOODBYE},                                   // Connection rate exceeded
    [0xa0] = {0, GOODBYE},                                   // Maximum connect time
    [0xa1] = {0, GOODBYE}, // Subscription Identifiers not supported
    [0xa2] = {0, GOODBYE}, // Wildcard Subscriptions not supported
};

static err_t
check_reason(uint8_t type, uint8_t reason)
{
    const struct reason_rule *rule = &reason_rules[reason];
    if (likely((rule->client & ON(type)) != 0))
        return OK;
    return (rule->server & ON(type)) != 0 ? ERR_PROTOCOL : ERR_MALFORMED;
}

// Flags of a packet type that has only reserved ones [MQTT-2.1.3-1]; 3.1.1: [MQTT-2.2.2-2].
static bool
ack_flags_valid(const struct frame *frame, uint8_t version)
{
    if (frame->type != MQTT_PUBREL)
        return frame->flags == 0;
    // [MQTT-3.6.1-1]; 3.1 knows DUP here, for a PUBREL sent again.
    return frame->flags == 0x02 || (frame->flags == 0x0a && version == MQTT_31);
}

err_t
codec_ack_any(const struct frame *frame, uint8_t version, struct ack_view *ret)
{
    must_hot(frame->type >= MQTT_PUBACK && frame->type <= MQTT_PUBCOMP);
    must_hot(version >= MQTT_31 && version <= MQTT_5);
    *ret = (struct ack_view){0};
    struct reader reader = reader_of(frame->body);
    if (!ack_flags_valid(frame, version) || !read_u16(&reader, &ret->packet_id))
        return ERR_MALFORMED;
    if (ret->packet_id == 0) // never given to a message: 5.0 [MQTT-2.2.1-4], 3.1.1 [MQTT-2.3.1-1]
        return ERR_PROTOCOL;
    if (likely(reader_left(&reader) == 0)) // two bytes: success
        return OK;
    if (version != MQTT_5)
        return ERR_MALFORMED;
    bool has_reason = read_u8(&reader, &ret->reason);
    must_hot(has_reason);
    err_t err = check_reason(frame->type, ret->reason);
    if (err != OK || reader_left(&reader) == 0) // three bytes: no properties
        return err;
    struct props props;
    err = props_read(&reader, IN_ACK, &props);
    if (err != OK)
        return err;
    return reader_left(&reader) == 0 ? OK : ERR_MALFORMED;
}

err_t
codec_disconnect(const struct frame *frame, uint8_t version, struct disconnect_view *ret)
{
    must(frame->type == MQTT_DISCONNECT && version >= MQTT_31 && version <= MQTT_5);
    *ret = (struct disconnect_view){0};
    if (frame->flags != 0) // [MQTT-3.14.1-1]
        return ERR_MALFORMED;
    struct reader reader = reader_of(frame->body);
    if (reader_left(&reader) == 0) // normal disconnection
        return OK;
    if (version != MQTT_5)
        return ERR_MALFORMED;
    bool has_reason = read_u8(&reader, &ret->reason);
    must(has_reason);
    err_t err = check_reason(MQTT_DISCONNECT, ret->reason);
    if (err != OK || reader_left(&reader) == 0) // one byte: no properties
        return err;
    struct props props;
    err = props_read(&reader, IN_DISCONNECT, &props);
    if (err != OK)
        return err;
    ret->has_session_expiry = props_has(&props, PROP_SESSION_EXPIRY);
    ret->session_expiry_s = props_number(&props, PROP_SESSION_EXPIRY, 0);
    return reader_left(&reader) == 0 ? OK : ERR_MALFORMED;
}

err_t
codec_auth(const struct frame *frame, struct auth_view *ret)
{
    must(frame->type == MQTT_AUTH);
    *ret = (struct auth_view){.reason = REASON_SUCCESS};
    if (frame->flags != 0) // [MQTT-3.15.1-1]
        return ERR_MALFORMED;
    struct reader reader = reader_of(frame->body);
    if (reader_left(&reader) == 0)
        return check_reason(MQTT_AUTH, REASON_SUCCESS);
    struct props props;
    bool has_reason = read_u8(&reader, &ret->reason);
    must(has_reason);
    err_t err = props_read(&reader, IN_AUTH, &props);
    if (err != OK)
        return err;
    if (reader_left(&reader) != 0)
        return ERR_MALFORMED;
    err = check_reason(MQTT_AUTH, ret->reason);
    if (err != OK)
        return err;
    ret->method = props_data(&props, PROP_AUTH_METHOD);
    ret->data = props_data(&props, PROP_AUTH_DATA);
    return ret->method.data != NULL ? OK : ERR_PROTOCOL; // [MQTT5 3.15.2.2.2]
}

err_t
codec_pingreq(const struct frame *frame)
{
    must(frame->type == MQTT_PINGREQ);
    return frame->flags == 0 && frame->body.len == 0 ? OK : ERR_MALFORMED; // [MQTT-2.1.3-1]
}
