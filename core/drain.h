// drain.h - connections end one after the other before the broker does.
//
// Job:    TERM with drain_delay or drain_time: for the delay all goes on, but /readyz says no; then
//         new clients are refused, and those that are there are ended over the time, so that other
//         nodes, or the next process, get them one after the other.
// Owner:  the broker. Thread: main begins it; each lane ends its connections and says when it is
//         done; any may ask. Memory: the struct. Limits: those of the two keys.
#ifndef TERN_CORE_DRAIN_H
#define TERN_CORE_DRAIN_H

#include <stdatomic.h>

#include "core/base/base.h"

// How often a lane ends some.
#define DRAIN_STEP_MS 100u

struct drain {
    _Atomic uint64_t begin_ms; // when the first connection ends, monotonic; 0: it does not drain
    _Atomic uint64_t end_ms;   // when the last one does
    _Atomic uint64_t done;     // bit i: lane i has nobody left to end
};

// Once, and not later again.
void drain_begin(struct drain *drain, uint64_t now_ms, uint32_t delay_s, uint32_t time_s);
static inline bool
drain_is_on(const struct drain *drain)
{
    // Acquire: end_ms, which was set before.
    return atomic_load_explicit(&drain->begin_ms, memory_order_acquire) != 0;
}
// Is it time to end connections, and to take none?
bool drain_ends(const struct drain *drain, uint64_t now_ms);
// So many of `of` are to be ended by now.
uint32_t drain_share(const struct drain *drain, uint32_t of, uint64_t now_ms);
void drain_done(struct drain *drain, unsigned lane);
// Are all lanes done, or is the time over?
bool drain_is_over(const struct drain *drain, unsigned lanes, uint64_t now_ms);
// When a lane has to look again; UINT64_MAX: never.
uint64_t drain_due(const struct drain *drain, unsigned lane, uint64_t now_ms);

#endif
