// codec.h - MQTT Control Packets, from bytes to views and back.
//
// Job:    decode MQTT 3.1, 3.1.1 and 5.0 packets that a client may send, with every check that
//         needs no state; encode those that a server may send.
// Owner:  none, no state. Thread: any.
// Memory: none: a view borrows from the packet's bytes and lives as long as they do; encoders write
//         into the caller's buffer.
// Limits: those of the protocol; linear time in the packet's length.
// Errors: ERR_MALFORMED (0x81) and ERR_PROTOCOL (0x82) as the specification distinguishes them, or
//         the more exact code named at the function.
#ifndef TERN_CORE_CODEC_H
#define TERN_CORE_CODEC_H

#include "core/base/err.h"

#include "core/mqtt.h"

// ---- Framing --------------------------------------------------------------------------------

struct frame {
    uint8_t type;      // enum mqtt_type
    uint8_t flags;     // low nibble of byte 1
    struct slice body; // variable header and payload
    uint32_t total;    // fixed header + body, in bytes
};

// Looks at the first packet of data. OK: ret_frame is complete. ERR_NEED_MORE: ret_frame->total is
// the packet's whole size when its header is complete, else 0. ERR_MALFORMED: length of more than
// four bytes, or (in any version) not of the fewest bytes possible [MQTT-1.5.5-1].
// ERR_PACKET_TOO_LARGE as soon as the header tells that total > packet_max. Whatever comes back,
// type and flags are those of the first byte if there is one, so that a packet which may not come
// now can be refused before its body is waited for.
NODISCARD NOINLINE err_t codec_frame_any(struct slice data, uint32_t packet_max,
                                         struct frame *ret_frame);
NODISCARD static inline err_t
codec_frame(struct slice data, uint32_t packet_max, struct frame *ret_frame)
{
    // Nearly all packets: their length is one byte, and they are whole.
    const uint8_t *at = data.data;
    uint32_t body = likely(data.len >= 2) ? at[1] : 0x80, total = 2 + body;
    if (unlikely(body >= 0x80 || total > data.len || total > packet_max))
        return codec_frame_any(data, packet_max, ret_frame);
    *ret_frame = (struct frame){at[0] >> 4, at[0] & 0x0f, slice_of(at + 2, body), total};
    return OK;
}

// ---- Decoding (version as negotiated; frame->flags are checked here too) -----------------------

struct will_view {
    struct slice topic, payload;
    struct slice raw_props; // 5.0: as received; codec_forward_props takes what is passed on
    uint32_t delay_s;       // 0 if absent
    uint32_t expiry_s;
    bool has_expiry;
    uint8_t qos;
    bool retain;
};

struct connect_view {
    uint8_t version;                              // enum mqtt_version
    bool clean, has_will, has_user, has_password; // clean: Clean Session, Clean Start
    uint16_t keep_alive_s;
    struct slice client_id, user, password;
    struct will_view will;
    // Properties of MQTT 5; defaults of the specification for the others.
    uint32_t session_expiry_s;           // 3.x: 0 if clean, else MQTT_EXPIRY_NEVER
    uint16_t receive_max;                // 65535 if absent
    uint32_t packet_max;                 // CODEC_PACKET_MAX if absent, or above it
    uint16_t topic_alias_max;            // 0 if absent
    bool request_response_info;          // false if absent
    bool request_problem_info;           // true if absent
    struct slice auth_method, auth_data; // data NULL if absent
};

// Errors beside the two: ERR_PROTOCOL_VERSION (name right, level unknown; ret->version is set to 5
// if the level is above 4 and below 0x80, else 4, so that the caller can answer in kind),
// ERR_CLIENT_ID (empty client identifier without clean session in 3.1.1, empty at all in 3.1:
// [MQTT-3.1.3-8]), ERR_TOPIC_NAME_INVALID (Will Topic). On ERR_MALFORMED / ERR_PROTOCOL
// ret->version is 0 when the name or level could not be read, else the level. 3.1: name "MQIsdp",
// level 3. 3.x: a password without a user name is ERR_MALFORMED [MQTT-3.1.2-22].
NODISCARD err_t codec_connect(const struct frame *frame, struct connect_view *ret);

struct publish_view {
    struct slice topic; // may be empty in 5.0 with an alias; otherwise valid as a Topic Name
    struct slice payload;
    struct slice raw_props; // 5.0: as received
    uint16_t packet_id;     // 0 at QoS 0
    uint16_t topic_alias;   // 0 if absent; an alias of 0 in the packet is ERR_TOPIC_ALIAS_INVALID
    uint32_t expiry_s;
    bool has_expiry, dup, retain;
    bool strip; // raw_props holds what is not forwarded
    uint8_t qos;
    uint32_t subscription_id; // of another node's PUBLISH; 0 if absent
};

// ERR_TOPIC_NAME_INVALID: topic_name_check refuses the topic [MQTT-3.3.2-2]. An empty topic without
// alias is ERR_PROTOCOL [MQTT5 3.3.2.1], and so is a Response Topic that is no Topic Name
// [MQTT-3.3.2-14]. Payload Format 1 is not checked against the payload.
NODISCARD err_t codec_publish(const struct frame *frame, uint8_t version, struct publish_view *ret);
NODISCARD err_t codec_publish_of_node(const struct frame *frame, struct publish_view *ret); // 5.0

// Copies PUBLISH or Will properties that are forwarded unaltered (Payload Format Indicator, Content
// Type, Response Topic, Correlation Data, User Property, in order) from raw to dst, leaving out
// Topic Alias, Message Expiry Interval and Will Delay Interval. raw was checked by a decoder.
// Returns the bytes written, at most raw.len.
uint32_t codec_forward_props(struct slice raw, uint8_t *dst);
bool codec_props_forwarded(struct slice props); // may that have left them?

struct ack_view { // PUBACK, PUBREC, PUBREL, PUBCOMP
    uint16_t packet_id;
    uint8_t reason; // 0 in 3.x
};
// Packet identifier 0, and reason codes that only a server sends, are ERR_PROTOCOL; reason codes
// that the packet type does not have are ERR_MALFORMED.
NODISCARD NOINLINE err_t codec_ack_any(const struct frame *frame, uint8_t version,
                                       struct ack_view *ret);
NODISCARD static inline err_t
codec_ack(const struct frame *frame, uint8_t version, struct ack_view *ret)
{
    // Nearly all: a packet identifier, which means success.
    const uint8_t *body = frame->body.data;
    uint8_t flags = frame->type == MQTT_PUBREL ? 0x02 : 0; // [MQTT-3.6.1-1]
    if (unlikely(frame->body.len != 2 || frame->flags != flags || (body[0] | body[1]) == 0))
        return codec_ack_any(frame, version, ret);
    *ret = (struct ack_view){.packet_id = (uint16_t)(body[0] << 8 | body[1])};
    return OK;
}

struct filter_view {
    struct slice filter; // UTF-8 checked; syntax is topic.h's
    uint8_t qos;
    bool no_local, retain_as_published;
    uint8_t retain_handling;
};

struct subscribe_view {
    uint16_t packet_id;
    uint32_t subscription_id; // 0 if absent
    uint32_t count;           // filters, at least 1
    struct slice filters;     // for codec_next_filter
};
// Checks the whole packet, every filter's encoding and options included.
NODISCARD err_t codec_subscribe(const struct frame *frame, uint8_t version,
                                struct subscribe_view *ret);
// Takes the next filter off *rest, at first view.filters; false at the end. options: SUBSCRIBE's.
bool codec_next_filter(struct slice *rest, bool options, struct filter_view *ret);

struct unsubscribe_view {
    uint16_t packet_id;
    uint32_t count;
    struct slice filters; // for codec_next_filter
};
NODISCARD err_t codec_unsubscribe(const struct frame *frame, uint8_t version,
                                  struct unsubscribe_view *ret);

struct disconnect_view {
    uint8_t reason; // 0 in 3.x
    bool has_session_expiry;
    uint32_t session_expiry_s;
};
NODISCARD err_t codec_disconnect(const struct frame *frame, uint8_t version,
                                 struct disconnect_view *ret);

struct auth_view {
    uint8_t reason;
    struct slice method, data;
};
// A client continues (0x18) or begins again (0x19); both need an Authentication Method
// [MQTT5 3.15.2]. Anything else, an empty AUTH with its implied Success included, is an error.
NODISCARD err_t codec_auth(const struct frame *frame, struct auth_view *ret);
// PINGREQ: flags and length.
NODISCARD err_t codec_pingreq(const struct frame *frame);

// ---- Encoding: each returns the bytes written; the buffer must hold the maximum named -----------

#define CODEC_ACK_MAX 8u

struct connack {
    uint8_t version, reason; // reason: of the version (return code in 3.x)
    bool session_present;    // false with a reason other than 0 [MQTT-3.2.2-6]
    // MQTT 5 only; left out at their defaults. A refusal (from 0x80 on) has the first two alone.
    struct slice reference;     // Server Reference; len 0 = absent
    struct slice reason_string; // the same; left out beyond client_packet_max
    uint32_t session_expiry_s;
    bool has_session_expiry, has_keep_alive;
    uint16_t receive_max; // 65535 = absent
    bool retain_unavailable;
    uint8_t maximum_qos;      // 2 = absent
    uint32_t packet_max;      // 0 = absent
    struct slice assigned_id; // len 0 = absent
    uint16_t topic_alias_max; // 0 = absent
    uint16_t keep_alive_s;
    struct slice auth_method, auth_data; // data NULL = absent
    uint32_t client_packet_max;          // of the client [MQTT-3.2.2-19]
};
#define CODEC_CONNACK_MAX(c)                                                      \
    (64u + (c)->assigned_id.len + (c)->reason_string.len + (c)->auth_method.len + \
     (c)->auth_data.len + (c)->reference.len)
uint32_t codec_put_connack(uint8_t *dst, const struct connack *connack);

// PUBACK, PUBREC, PUBREL, PUBCOMP: 4 bytes, or 5 with a reason other than 0 in version 5.
uint32_t codec_put_ack(uint8_t *dst, uint8_t type, uint8_t version, uint16_t packet_id,
                       uint8_t reason);
// So many with success, 4 bytes each, for identifiers from first on; 1 follows 65,535.
uint32_t codec_put_acks(uint8_t *dst, uint8_t type, uint16_t first, uint32_t count);
uint32_t codec_put_pingresp(uint8_t *dst); // 2 bytes
// Server's DISCONNECT (5.0 only). why: reason string, other: Server Reference; of length 0 they are
// left out. At most 16 + both lengths.
uint32_t codec_put_disconnect(uint8_t *dst, uint8_t reason, struct slice why, struct slice other);
// SUBACK / UNSUBACK: type, packet id, count reason codes. At most 16 + count. In 3.x an UNSUBACK
// has no codes, and a SUBACK says 0x80 for every failure [MQTT-3.9.3-2].
uint32_t codec_put_suback(uint8_t *dst, uint8_t type, uint8_t version, uint16_t packet_id,
                          const uint8_t *reasons, uint32_t count);
// AUTH (5.0 only), with data where it is not NULL. At most 16 + both lengths.
uint32_t codec_put_auth(uint8_t *dst, uint8_t reason, struct slice method, struct slice data);

// A PUBLISH's header and properties; topic body and payload are added by the caller's copy.
struct publish_out {
    uint8_t version, qos;
    bool dup, retain;
    uint16_t packet_id;   // QoS > 0
    struct slice topic;   // sent in full unless topic_omitted
    bool topic_omitted;   // an alias stands for it
    uint16_t topic_alias; // 0 = none
    bool has_expiry;
    uint32_t expiry_s;
    const uint32_t *subscription_ids;
    uint32_t subscription_id_count;
    struct slice props; // forwarded ones, as codec_forward_props left them; ignored in 3.x
    uint32_t payload_len;
};
uint8_t codec_publish_first(uint8_t qos, bool retain, bool dup); // its first byte
// Size of the whole packet, payload included. Cheap. Above CODEC_PACKET_MAX (a message near the
// limit outgrows it by its subscription identifiers) the packet cannot be sent to anybody.
uint32_t codec_publish_size(const struct publish_out *out);
// Writes everything up to, and without, the payload. Returns the bytes written:
// codec_publish_size(out) - out->payload_len.
uint32_t codec_put_publish_head(uint8_t *dst, const struct publish_out *out);

// ---- What other files share ---------------------------------------------------------------------

// The largest packet there can be: what a connect_view says for a client that sets no limit, so
// that "size > packet_max" refuses what cannot be encoded, too.
#define CODEC_PACKET_MAX (MQTT_REMAINING_LENGTH_MAX + MQTT_FIXED_HEADER_MAX)

// Variable Byte Integer [MQTT5 1.5.5]: bytes needed (1..4), and writing one.
uint32_t codec_varint_size(uint32_t value);
uint32_t codec_put_varint(uint8_t *dst, uint32_t value);

#endif
