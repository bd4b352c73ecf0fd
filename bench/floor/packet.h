// packet.h - the few bytes of MQTT that the floor looks at.
//
// Job:    where a packet ends, which topic it is for, where its identifier is.
// Owner:  none, no state. Thread: any.
// Memory: views borrow from the packet's bytes.
// Limits: a packet of the load generator; another one is told apart, not served.
#ifndef TERN_BENCH_FLOOR_PACKET_H
#define TERN_BENCH_FLOOR_PACKET_H

#include "core/base/base.h"

enum packet_type {
    PACKET_CONNECT = 1,
    PACKET_CONNACK = 2,
    PACKET_PUBLISH = 3,
    PACKET_PUBACK = 4,
    PACKET_PUBREC = 5,
    PACKET_PUBREL = 6,
    PACKET_PUBCOMP = 7,
    PACKET_SUBSCRIBE = 8,
    PACKET_SUBACK = 9,
    PACKET_PINGREQ = 12,
    PACKET_PINGRESP = 13,
    PACKET_DISCONNECT = 14,
};

#define PACKET_HEADER_MAX 5u         // type and Remaining Length
#define PACKET_SIZE_BAD   UINT32_MAX // the Remaining Length is malformed

// The whole size of the packet that begins at data; 0 while its header is incomplete.
static inline uint32_t
packet_size(const uint8_t *data, uint32_t len, uint32_t *ret_header)
{
    if (likely(len >= 2 && data[1] < 0x80)) {
        *ret_header = 2;
        return 2u + data[1];
    }
    uint32_t value = 0;
    for (uint32_t i = 1; i < PACKET_HEADER_MAX; i++) {
        if (i >= len)
            return 0;
        value |= (uint32_t)(data[i] & 0x7f) << (7 * (i - 1));
        if (data[i] < 0x80) {
            *ret_header = i + 1;
            return 1 + i + value;
        }
    }
    return PACKET_SIZE_BAD;
}

static inline uint32_t
packet_u16(const uint8_t *data)
{
    return (uint32_t)data[0] << 8 | data[1];
}

// The number that is a topic's last level; `none` if something else is, or it is too long.
static inline uint32_t
packet_topic_number(const uint8_t *topic, uint32_t len, uint32_t none)
{
    uint32_t number = 0, scale = 1, at = len;
    for (; at > 0; at--, scale *= 10) {
        uint32_t digit = (uint32_t)topic[at - 1] - '0';
        if (digit > 9)
            break;
        if (unlikely(len - at == 9)) // the next could overflow
            return none;
        number += digit * scale;
    }
    return at > 0 && at < len && topic[at - 1] == '/' ? number : none;
}

#endif
