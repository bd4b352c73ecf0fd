// wire.h - as much MQTT 3.1.1 and 5.0 as a load generator speaks.
//
// Job:    encode what a client sends, decode what a server sends. Written apart from the broker's
//         codec, so that one cannot hide the other's mistake.
// Owner:  none, no state. Thread: any.
// Memory: encoders append to the caller's buffer; views borrow from the packet's bytes.
// Limits: those of the protocol. A packet that does not parse is reported, not explained.
#ifndef TERN_BENCH_WIRE_H
#define TERN_BENCH_WIRE_H

#include "bench/buffer.h"

enum wire_type {
    WIRE_CONNECT = 1,
    WIRE_CONNACK = 2,
    WIRE_PUBLISH = 3,
    WIRE_PUBACK = 4,
    WIRE_PUBREC = 5,
    WIRE_PUBREL = 6,
    WIRE_PUBCOMP = 7,
    WIRE_SUBSCRIBE = 8,
    WIRE_SUBACK = 9,
    WIRE_UNSUBSCRIBE = 10,
    WIRE_UNSUBACK = 11,
    WIRE_PINGREQ = 12,
    WIRE_PINGRESP = 13,
    WIRE_DISCONNECT = 14,
    WIRE_TYPES = 16,
};

#define WIRE_SIZE_BAD  UINT32_MAX // the length field is malformed
#define WIRE_ACK_BYTES 4u
#define WIRE_DUP       0x08 // in the first byte of a PUBLISH
#define WIRE_RETAIN    0x01 // likewise

// ---- Decoding ---------------------------------------------------------------------------------

// The whole size of the packet that begins at data; 0 while its header is incomplete.
uint32_t wire_size(const uint8_t *data, uint32_t len);

struct wire_frame {
    const uint8_t *body; // behind the fixed header
    uint32_t len;        // of body
    uint8_t type, flags;
};

// size: what wire_size told; all of it is at data.
struct wire_frame wire_frame(const uint8_t *data, uint32_t size);

struct wire_publish {
    const uint8_t *payload;
    uint32_t payload_len;
    uint16_t packet_id; // 0 at QoS 0
    uint8_t qos;
    bool dup, retain;
};
// The decoders answer false when the packet is malformed.
NODISCARD bool wire_publish(const struct wire_frame *frame, int version, struct wire_publish *ret);

struct wire_connack {
    uint32_t packet_max;   // UINT32_MAX if absent
    uint16_t receive_max;  // 65535 if absent, and in 3.1.1
    uint16_t keep_alive_s; // 0 if the server asks for none
    uint8_t reason;        // return code in 3.1.1
    uint8_t qos_max;       // 2 if absent
    bool session_present;
};
NODISCARD bool wire_connack(const struct wire_frame *frame, int version, struct wire_connack *ret);

struct wire_ack { // PUBACK, PUBREC, PUBREL, PUBCOMP
    uint16_t packet_id;
    uint8_t reason;
};
NODISCARD bool wire_ack(const struct wire_frame *frame, int version, struct wire_ack *ret);

struct wire_suback { // and UNSUBACK
    const uint8_t *reasons;
    uint32_t count; // 0 for an UNSUBACK of 3.1.1
    uint16_t packet_id;
};
NODISCARD bool wire_suback(const struct wire_frame *frame, int version, struct wire_suback *ret);

// ---- Encoding ---------------------------------------------------------------------------------

struct wire_connect {
    const char *client_id;
    int version;
    // 0: clean session / clean start, and no session afterwards. Else the session is found again if
    // there is one, and kept: for so long in 5.0, for ever in 3.1.1.
    uint32_t expiry_s;
    uint16_t keep_alive_s;
    const char *will_topic; // NULL: no will
    const uint8_t *will;
    uint32_t will_len;
    uint8_t will_qos;
    const char *user_name, *password; // NULL: none
};
void wire_put_connect(struct buffer *out, const struct wire_connect *connect);
// Filters are gathered, then put into one SUBSCRIBE with one QoS for all, or UNSUBSCRIBE.
void wire_add_filter(struct buffer *filters, const char *filter);
void wire_put_subscribe(struct buffer *out, int version, uint16_t packet_id,
                        const struct buffer *filters, uint8_t qos);
void wire_put_unsubscribe(struct buffer *out, int version, uint16_t packet_id,
                          const struct buffer *filters);
// A PUBLISH with a payload for the caller to fill. Returns the offset of the packet identifier (0
// at QoS 0); the payload is the last payload_len bytes.
uint32_t wire_put_publish(struct buffer *out, int version, const char *topic, uint8_t qos,
                          uint32_t payload_len);
// PUBACK, PUBREC, PUBREL, PUBCOMP with success, in any version.
void wire_put_ack(struct buffer *out, enum wire_type type, uint16_t packet_id);
void wire_put_pingreq(struct buffer *out);
void wire_put_disconnect(struct buffer *out);

#endif
