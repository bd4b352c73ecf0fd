// wheel.h - a hierarchical timer wheel (Varghese and Lauck, 1987).
//
// Job:    arm, disarm in O(1); fire in order of deadline to the resolution below.
// Owner:  one shard. Thread: that shard's worker.
// Memory: the wheel itself; timers live inside their objects.
// Limits: none; deadlines more than 2^32 ticks (2.2 years) ahead share one list until then.
#ifndef TERN_CORE_BASE_WHEEL_H
#define TERN_CORE_BASE_WHEEL_H

#include "core/base/list.h"

#define WHEEL_TICK_MS 16 // a timer fires 0..16 ms late, never early

struct timer {
    struct list node;
    uint64_t deadline_ms; // monotonic; 0 while not armed
    uint8_t kind;         // the owner's: which object and which duty this timer stands for
};

struct wheel;

struct wheel *wheel_new(uint64_t now_ms); // returns new
void wheel_free(struct wheel *wheel);     // takes; armed timers are forgotten; NULL is fine
void timer_init(struct timer *timer, uint8_t kind);
bool timer_armed(const struct timer *timer);
// Re-arms if armed. A deadline in the past fires on the next wheel_next.
void wheel_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms);
void wheel_disarm(struct wheel *wheel, struct timer *timer); // fine when not armed
// One expired timer, disarmed, or NULL when none is due at now_ms, which is never less than in an
// earlier call. Callers loop; a timer that is armed in the past from within the loop fires in the
// same loop only if it was due, so loops end.
struct timer *wheel_next(struct wheel *wheel, uint64_t now_ms);
// Earliest time at which wheel_next could return one (may be early, never late); UINT64_MAX if
// there is none.
uint64_t wheel_wait_until(const struct wheel *wheel);
size_t wheel_count(const struct wheel *wheel);

#endif
