// durations.h - how long something took, or how much it was, counted in classes.
//
// Job:    a histogram that costs its writer a comparison or two, and two additions.
// Owner:  whoever embeds it; one thread writes. Thread: any may read.
// Memory: itself. Limits: classes from 10 us to 10 s, of sizes from 1 to 500,000, and one beyond.
#ifndef TERN_CORE_DURATIONS_H
#define TERN_CORE_DURATIONS_H

#include "core/stats.h"

#define DURATION_CLASSES 19u

extern const uint32_t duration_bounds_us[DURATION_CLASSES - 1];  // a class's longest
extern const char *const duration_bounds_text[DURATION_CLASSES]; // the same in seconds
extern const uint32_t size_bounds[DURATION_CLASSES - 1];         // a class's largest
extern const char *const size_bounds_text[DURATION_CLASSES];

struct durations {
    _Atomic uint64_t counts[DURATION_CLASSES];
    _Atomic uint64_t sum; // us of durations
};

struct duration_sums {
    uint64_t counts[DURATION_CLASSES];
    uint64_t sum;
};

static inline void
durations_put(struct durations *durations, const uint32_t *bounds, uint64_t value)
{
    unsigned i = 0;
    while (i < DURATION_CLASSES - 1 && value > bounds[i])
        i++;
    stat_add(&durations->counts[i], 1);
    stat_add(&durations->sum, value);
}

// The writer alone, as the next one.
static inline void
durations_add(struct durations *durations, uint64_t us)
{
    durations_put(durations, duration_bounds_us, us);
}

static inline void
sizes_add(struct durations *sizes, uint64_t size)
{
    durations_put(sizes, size_bounds, size);
}

// Adds what durations has to sums. ON_ANY.
void durations_sum(const struct durations *durations, struct duration_sums *sums);

#endif
