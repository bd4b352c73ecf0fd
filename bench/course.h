// course.h - a measurement under way, as main sees it.
//
// Job:    what the courses of all scenarios need: wait, add up the workers' counters, read the
//         broker's figures, end a phase when nothing moves any more.
// Owner:  run_execute, or the agent. Thread: main. Memory: what `hands` makes. Limits: none.
#ifndef TERN_BENCH_COURSE_H
#define TERN_BENCH_COURSE_H

#include "bench/run.h"

#define COURSE_LOOK_US  10000u   // between two looks of main at the workers
#define COURSE_QUIET_US 2000000u // a phase in which nothing has moved for so long is over

struct course;
struct worker;

// Who moves the clients: the workers of this process (crew.h), or agents (coordinator.h).
struct hands {
    // The clients are made, none connects; sets course->counters. ERR_IO with a failure noted.
    err_t (*make)(struct course *course);
    err_t (*begin)(struct course *course);   // they connect
    void (*announce)(struct course *course); // run.phase has changed, and perhaps its times
    // Waits, and brings course->counters up to date. Returns early when the course is broken.
    void (*wait)(struct course *course, uint64_t at_us);
    // Without the broker, unless that is watched from elsewhere.
    void (*sample)(struct course *course, struct sample *ret_sample);
    void (*stop)(struct course *course); // after PHASE_CLOSE: nothing is counted any more
    void (*end)(struct course *course);  // after stop: fills the result, frees
    uint64_t lead_us;                    // between the announcement of a start and the start
};

struct course {
    struct run run;
    const struct hands *hands;
    struct counters **counters; // one for each worker, or for each agent
    uint32_t counter_sets;
    struct worker **workers; // crew.c's
    uint32_t worker_count, running;
    struct crowd *crowd; // coordinator.c's
    uint64_t broker_pid; // 0: not watched
    bool broken;         // the broker did not come back, or an agent was lost: worth nothing
    struct result *result;
};

// What options say of the run; the rest is zero. Borrows both.
void course_init(struct course *course, const struct options *options, struct result *result);
// Waits; kills the broker and starts it again when that falls due meanwhile.
void course_wait_until(struct course *course, uint64_t at_us);
// The first failure is kept.
void course_note_failure(struct course *course, const char *format, ...) PRINTF_LIKE(2);
void course_set_phase(struct course *course, enum phase phase);
struct sample course_sample(struct course *course);
bool course_any_failed(const struct course *course);

// Adds up a counter of all workers, named by its offset.
uint64_t course_total(const struct course *course, size_t counter);
#define COURSE_TOTAL(course, field) course_total(course, offsetof(struct counters, field))
// Makes the result of the counters and its tally.
void course_add_up(struct course *course);

// Waits until the counter has reached `want` and no flow is open, until neither has moved for
// COURSE_QUIET_US, or until the time. Returns when it last moved.
uint64_t course_await(struct course *course, size_t counter, uint64_t want, uint64_t until_us);

// The publishers begin now; messages are measured for that long.
void course_begin(struct course *course, uint64_t warmup_us, uint64_t measured_us);

#endif
