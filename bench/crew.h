// crew.h - the workers of this process, as the hands of a course.
//
// Job:    make the clients, start and join the threads, add up what their ledgers and histograms
//         say. A crew may be part of a larger one: run.worker_first and run.workers tell which.
// Owner:  whoever takes the course. Thread: main. Memory: from make to end. Limits: none.
#ifndef TERN_BENCH_CREW_H
#define TERN_BENCH_CREW_H

#include "bench/course.h"

extern const struct hands crew_hands;

#endif
