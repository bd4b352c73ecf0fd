// retained.h - what the scenario `retained` does before and after it measures.
//
// Job:    have the publishers set their retained messages, and remove them at the end.
// Owner:  run_execute. Thread: main. Memory: none. Limits: none.
#ifndef TERN_BENCH_RETAINED_H
#define TERN_BENCH_RETAINED_H

#include "bench/course.h"

// A broker that does not take them all makes the run worth nothing.
void retained_prepare(struct course *course);
void retained_clear(struct course *course);

#endif
