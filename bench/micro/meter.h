// meter.h - which part of a case is measured.
//
// Job:    a case sets up, then says begin and end around the work itself, as often as it likes.
//         bench/check has valgrind's callgrind count the instructions between the two; without
//         it the time between them is measured.
// Owner:  cases.c. Thread: one. Memory: none. Limits: none.
#ifndef TERN_BENCH_MICRO_METER_H
#define TERN_BENCH_MICRO_METER_H

#include <time.h>

#include "core/base/base.h"

// Without valgrind's header the cases can be timed, not counted.
#if __has_include(<valgrind/callgrind.h>)
#include <valgrind/callgrind.h>
#define METER_CAN_COUNT    1
#define METER_INSTRUMENT() CALLGRIND_START_INSTRUMENTATION
#define METER_TOGGLE()     CALLGRIND_TOGGLE_COLLECT
#else
#define METER_CAN_COUNT    0
#define METER_INSTRUMENT() ((void)0)
#define METER_TOGGLE()     ((void)0)
#endif

struct meter {
    bool counts;         // else it times
    bool warm;           // what is done before is not measured
    uint32_t rounds;     // as many are to be measured
    uint64_t operations; // in them
    uint64_t ns, begun_ns;
};

static inline uint64_t
meter_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

// Set-up and first rounds are over.
static inline void
meter_warm(struct meter *meter)
{
    meter->warm = true;
    if (meter->counts)
        METER_INSTRUMENT();
}

static inline void
meter_begin(struct meter *meter)
{
    if (!meter->warm)
        return;
    if (meter->counts)
        METER_TOGGLE();
    else
        meter->begun_ns = meter_now_ns();
}

static inline void
meter_end(struct meter *meter)
{
    if (!meter->warm)
        return;
    if (meter->counts)
        METER_TOGGLE();
    else
        meter->ns += meter_now_ns() - meter->begun_ns;
}

// Keeps a result alive, so that the compiler cannot drop the work that made it.
static inline void
meter_consume(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

#endif
