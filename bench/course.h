// course.h - a measurement under way, as main sees it.
//
// Job:    what the courses of all scenarios need: wait, add up the workers' counters, read the
//         broker's figures, end a phase when nothing moves any more.
// Owner:  run_execute. Thread: main. Memory: freed by run_execute. Limits: none.
#ifndef TERN_BENCH_COURSE_H
#define TERN_BENCH_COURSE_H

#include "bench/run.h"

#define COURSE_LOOK_US  10000u   // between two looks of main at the workers
#define COURSE_QUIET_US 2000000u // a phase in which nothing has moved for so long is over

struct worker;

struct course {
    struct run run;
    struct worker **workers;
    uint32_t worker_count, running;
    uint64_t broker_pid; // 0: not watched
    bool broken;         // the broker did not come back: the run is worth nothing
    struct result *result;
};

// Waits; kills the broker and starts it again when that falls due meanwhile.
void course_wait_until(struct course *course, uint64_t at_us);
// The first failure is kept.
void course_note_failure(struct course *course, const char *format, ...) PRINTF_LIKE(2);
void course_set_phase(struct course *course, enum phase phase);
struct sample course_sample(struct course *course);

// Adds up a counter of all workers, named by its offset.
uint64_t course_total(const struct course *course, size_t counter);
#define COURSE_TOTAL(course, field) course_total(course, offsetof(struct counters, field))

// Waits until the counter has reached `want` and no flow is open, until neither has moved for
// COURSE_QUIET_US, or until the time. Returns when it last moved.
uint64_t course_await(struct course *course, size_t counter, uint64_t want, uint64_t until_us);

// The publishers begin now; messages are measured for that long.
void course_begin(struct course *course, uint64_t warmup_us, uint64_t measured_us);

#endif
