// hop.h - what one thread of the floor received and another one has to send.
//
// Job:    a queue of (topic's number, bytes) in one direction between two threads.
// Owner:  the sending relay. Thread: hop_put, hop_offer the sender's; `queue` is read by the other.
// Memory: a ring of HOP_BYTES, and beyond that an overflow that grows.
// Limits: HOP_OVERFLOW_MAX bytes; more end the process, for then nothing is measured.
#ifndef TERN_BENCH_FLOOR_HOP_H
#define TERN_BENCH_FLOOR_HOP_H

#include "core/base/spsc.h"

#define HOP_BYTES        (4u << 20)
#define HOP_OVERFLOW_MAX (1u << 30)

struct hop {
    struct spsc *queue;
    uint8_t *overflow; // records that found no room: length, number, bytes
    uint32_t overflow_at, overflow_len, overflow_cap;
};

struct hop_record {
    uint32_t len, number; // of the bytes that follow
};

void hop_init(struct hop *hop);
void hop_put(struct hop *hop, uint32_t number, const uint8_t *data, uint32_t len);
// Publishes. True when the other side may be asleep.
bool hop_offer(struct hop *hop);

static inline bool
hop_is_full(const struct hop *hop)
{
    return hop->overflow_len > 0;
}

#endif
