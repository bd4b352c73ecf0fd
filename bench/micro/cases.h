// cases.h - the cases, by the part of the broker that they measure.
//
// Job:    one table for each file case_*.c.
// Owner:  none. Thread: one. Memory: none. Limits: none.
#ifndef TERN_BENCH_MICRO_CASES_H
#define TERN_BENCH_MICRO_CASES_H

#include "bench/micro/meter.h"

extern const struct micro_cases codec_cases, deliver_cases, journal_cases, mailbox_cases,
    trie_cases, wheel_cases;

#endif
