// cases.h - micro-benchmark cases: each file case_*.c is a program with a table of them.
//
// Job:    what a table says of a case; main() is in cases.c.
// Owner:  none. Thread: one. Memory: none. Limits: none.
#ifndef TERN_BENCH_MICRO_CASES_H
#define TERN_BENCH_MICRO_CASES_H

#include "bench/micro/meter.h"

struct micro_case {
    const char *name; // unique among all programs
    // Sets up, does some rounds unmeasured, calls meter_warm, does meter->rounds more, and says how
    // many operations were in them.
    void (*run)(struct meter *meter, const void *param);
    const void *param;
    uint32_t rounds; // for a count: some million instructions
};

struct micro_cases {
    const struct micro_case *items;
    uint32_t count;
};

extern const struct micro_cases micro_cases; // the program's

#endif
