// random.h - what the threads of race programs choose by: the same in every run.
//
// Job:    choose what a thread does next. The generator is MMIX's linear congruential one (Knuth).
// Thread: one for each state. Memory: none. Limits: not for secrets.
#ifndef TERN_TESTS_RACE_RANDOM_H
#define TERN_TESTS_RACE_RANDOM_H

#include <stdint.h>

static inline uint32_t
next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

#endif
