// spsc.h - a lock-free byte queue from one thread to one other.
//
// Job:    records of variable length, copied in, read in place, published in batches.
// Owner:  the broker. Thread: one producer, one consumer, for the life of the queue.
// Memory: one power-of-two ring, fixed. Limits: a record at most a quarter of the ring.
#ifndef TERN_CORE_BASE_SPSC_H
#define TERN_CORE_BASE_SPSC_H

#include "core/base/base.h"

struct spsc;

struct spsc *spsc_new(size_t bytes); // power of two, at least 4096; returns new
void spsc_free(struct spsc *q);      // NULL is fine

// Producer. Room for a record of len bytes, 8-byte aligned, or NULL when the ring is full.
// Nothing is visible to the consumer before spsc_publish.
void *spsc_reserve(struct spsc *q, uint16_t type, uint32_t len);
// Makes all reserved records visible; true when the consumer may have seen the queue empty
// (so: look at its sleeping flag).
bool spsc_publish(struct spsc *q);
// Producer. Has all that was reserved been given back?
bool spsc_is_empty(const struct spsc *q);

struct spsc_record {
    const uint8_t *data; // borrowed until spsc_release
    uint32_t len;
    uint16_t type;
};

// Consumer. Takes the next published record; false when there is none.
bool spsc_take(struct spsc *q, struct spsc_record *ret_record);
// Gives all taken records' room back to the producer.
void spsc_release(struct spsc *q);
// Consumer, after it set its sleeping flag: is there anything to take?
bool spsc_ready(const struct spsc *q);
uint32_t spsc_record_max(const struct spsc *q);

#endif
