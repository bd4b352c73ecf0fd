// coordinator.h - agents on this machine or others, as the hands of a course.
//
// Job:    find the agents, compare their clocks with ours, spread a run over them, keep them in
//         step, add up what they found.
// Owner:  run_execute. Thread: main. Memory: from make to end.
// Limits: CONTROL_AGENTS_MAX agents; each has COORDINATOR_ANSWER_S for a reply. An agent that is
//         lost makes the run worthless: the course is broken, and the others end theirs when their
//         connections close, as they do when this process ends.
#ifndef TERN_BENCH_COORDINATOR_H
#define TERN_BENCH_COORDINATOR_H

#include "bench/course.h"

#define COORDINATOR_ANSWER_S 30u

extern const struct hands coordinator_hands;

#endif
