// drain.c - connections end one after the other before the broker does.
#include "core/drain.h"

static uint64_t
load(const _Atomic uint64_t *value)
{
    return atomic_load_explicit(value, memory_order_acquire);
}

void
drain_begin(struct drain *drain, uint64_t now_ms, uint32_t delay_s, uint32_t time_s)
{
    must(!drain_is_on(drain) && now_ms > 0);
    uint64_t begin_ms = now_ms + delay_s * UINT64_C(1000);
    // The end first: who sees that it has begun sees the end.
    atomic_store_explicit(&drain->end_ms, begin_ms + time_s * UINT64_C(1000), memory_order_release);
    atomic_store_explicit(&drain->begin_ms, begin_ms, memory_order_release);
}

bool
drain_ends(const struct drain *drain, uint64_t now_ms)
{
    uint64_t begin_ms = load(&drain->begin_ms);
    return begin_ms != 0 && now_ms >= begin_ms;
}

uint32_t
drain_share(const struct drain *drain, uint32_t of, uint64_t now_ms)
{
    must(drain_ends(drain, now_ms));
    uint64_t begin_ms = load(&drain->begin_ms), end_ms = load(&drain->end_ms);
    if (now_ms >= end_ms)
        return of;
    return (uint32_t)(of * (now_ms - begin_ms) / (end_ms - begin_ms));
}

void
drain_done(struct drain *drain, unsigned lane)
{
    must(lane < 64);
    atomic_fetch_or_explicit(&drain->done, UINT64_C(1) << lane, memory_order_release);
}

bool
drain_is_over(const struct drain *drain, unsigned lanes, uint64_t now_ms)
{
    must(lanes > 0 && lanes <= 64);
    uint64_t all = UINT64_MAX >> (64 - lanes);
    return drain_ends(drain, now_ms) &&
           (load(&drain->done) == all || now_ms >= load(&drain->end_ms));
}

uint64_t
drain_due(const struct drain *drain, unsigned lane, uint64_t now_ms)
{
    uint64_t begin_ms = load(&drain->begin_ms);
    must(lane < 64);
    if (likely(begin_ms == 0) || (load(&drain->done) >> lane & 1))
        return UINT64_MAX;
    return now_ms < begin_ms ? begin_ms : now_ms + DRAIN_STEP_MS;
}
