// hop.c - what one thread of the floor received and another one has to send.
#include "bench/floor/hop.h"

#include "core/base/mem.h"

void
hop_init(struct hop *hop)
{
    *hop = (struct hop){.queue = spsc_new(HOP_BYTES)};
}

static bool
put_in_queue(struct hop *hop, uint32_t number, const uint8_t *data, uint32_t len)
{
    must(len <= spsc_record_max(hop->queue) - sizeof(struct hop_record));
    uint8_t *room = spsc_reserve(hop->queue, 0, (uint32_t)sizeof(struct hop_record) + len);
    if (room == NULL)
        return false;
    struct hop_record record = {.len = len, .number = number};
    memcpy(room, &record, sizeof record);
    memcpy(room + sizeof record, data, len);
    return true;
}

static COLD void
put_in_overflow(struct hop *hop, uint32_t number, const uint8_t *data, uint32_t len)
{
    struct hop_record record = {.len = len, .number = number};
    must(hop->overflow_len + sizeof record + len <= HOP_OVERFLOW_MAX);
    hop->overflow = mem_grow(hop->overflow, &hop->overflow_cap,
                             hop->overflow_len + (uint32_t)sizeof record + len, 1);
    memcpy(hop->overflow + hop->overflow_len, &record, sizeof record);
    memcpy(hop->overflow + hop->overflow_len + sizeof record, data, len);
    hop->overflow_len += (uint32_t)sizeof record + len;
}

void
hop_put(struct hop *hop, uint32_t number, const uint8_t *data, uint32_t len)
{
    // In order: while older records wait outside, newer ones wait behind them.
    if (likely(hop->overflow_len == 0) && likely(put_in_queue(hop, number, data, len)))
        return;
    put_in_overflow(hop, number, data, len);
}

static COLD void
empty_overflow(struct hop *hop)
{
    while (hop->overflow_at < hop->overflow_len) {
        const uint8_t *at = hop->overflow + hop->overflow_at;
        struct hop_record record;
        memcpy(&record, at, sizeof record);
        if (!put_in_queue(hop, record.number, at + sizeof record, record.len))
            return;
        hop->overflow_at += (uint32_t)sizeof record + record.len;
    }
    hop->overflow_at = hop->overflow_len = 0;
}

bool
hop_offer(struct hop *hop)
{
    if (unlikely(hop_is_full(hop)))
        empty_overflow(hop);
    return spsc_publish(hop->queue);
}
