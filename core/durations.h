// durations.h - how long something took, counted in classes.
//
// Job:    a histogram that costs its writer a comparison or two, and two additions.
// Owner:  whoever embeds it; one thread writes. Thread: any may read.
// Memory: itself. Limits: classes from 0.1 ms to 10 s, and one beyond.
#ifndef TERN_CORE_DURATIONS_H
#define TERN_CORE_DURATIONS_H

#include "core/stats.h"

#define DURATION_CLASSES 16u

extern const uint32_t duration_bounds_us[DURATION_CLASSES - 1];  // a class's longest
extern const char *const duration_bounds_text[DURATION_CLASSES]; // the same in seconds

struct durations {
    _Atomic uint64_t counts[DURATION_CLASSES];
    _Atomic uint64_t sum_us;
};

struct duration_sums {
    uint64_t counts[DURATION_CLASSES];
    uint64_t sum_us;
};

// The writer alone.
static inline void
durations_add(struct durations *durations, uint64_t us)
{
    unsigned i = 0;
    while (i < DURATION_CLASSES - 1 && us > duration_bounds_us[i])
        i++;
    stat_add(&durations->counts[i], 1);
    stat_add(&durations->sum_us, us);
}

// Adds what durations has to sums. ON_ANY.
void durations_sum(const struct durations *durations, struct duration_sums *sums);

#endif
