// run.c - the course of one measurement.
#include "bench/run.h"

#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/coordinator.h"
#include "bench/course.h"
#include "bench/crew.h"
#include "bench/durable.h"
#include "bench/retained.h"

#define PROGRESS_US 1000000u // between two progress lines
#define CLEAR_LINE  "\x1b[K" // of a terminal: to its right end
#define SETTLE_US   300000u  // between the last connection and the measurement of memory

// ---- Phases -----------------------------------------------------------------------------------

static err_t
set_up(struct course *course)
{
    if (course->hands->begin(course) != OK)
        return ERR_IO;
    const struct shape *shape = &course->run.shape;
    uint64_t want = 0;
    for (uint32_t role = 0; role < ROLES; role++)
        want += role == ROLE_COMER ? 0 : shape->clients[role];
    uint64_t ready = 0, begun_us = clock_mono_us(), quiet_since_us = begun_us;
    while (ready < want) {
        course_wait_until(course, clock_mono_us() + COURSE_LOOK_US);
        uint64_t now_us = clock_mono_us(), before = ready;
        ready = COURSE_TOTAL(course, ready);
        if (ready != before)
            quiet_since_us = now_us;
        if (course_any_failed(course) || course->broken)
            return ERR_IO;
        if (now_us - quiet_since_us > RUN_SETUP_S * 1000000ull) {
            course_note_failure(course, "only %llu of %llu clients became ready",
                                (unsigned long long)ready, (unsigned long long)want);
            return ERR_IO;
        }
    }
    course->result->set_up_us = clock_mono_us() - begun_us;
    course_wait_until(course, clock_mono_us() + SETTLE_US);
    return course_any_failed(course) || course->broken ? ERR_IO : OK;
}

static void
show_progress(const struct course *course, const struct sample *last, const struct sample *now)
{
    double seconds = (double)(now->at_us - last->at_us) / 1e6;
    const struct run *run = &course->run;
    bool warms_up = now->at_us < run->measure_from_us;
    uint64_t until_us = warms_up ? run->measure_from_us : run->measure_to_us;
    (void)fprintf(stderr, "\r%s %.0f of %.0f s: %.0f/s", warms_up ? "warm-up" : "measure",
                  (double)(max_u64(now->at_us, run->start_us) - run->start_us) / 1e6,
                  (double)(until_us - run->start_us) / 1e6,
                  (double)(now->delivered - last->delivered) / seconds);
    if (course->broker_pid != 0 || run->options->broker_agent > 0) {
        uint64_t cpu_us = now->broker.user_us + now->broker.system_us - last->broker.user_us -
                          last->broker.system_us;
        (void)fprintf(stderr, ", broker %.0f %% CPU", (double)cpu_us / 1e4 / seconds);
    }
    uint64_t p99_us = 0;
    for (uint32_t i = 0; i < course->counter_sets; i++)
        p99_us = max_u64(p99_us, counter_read(&course->counters[i]->p99_us));
    if (p99_us > 0)
        (void)fprintf(stderr, ", p99 %.3f ms", (double)p99_us / 1e3);
    if (now->expected > 0)
        (void)fprintf(
            stderr, ", %llu outstanding",
            (unsigned long long)(max_u64(now->expected, now->delivered) - now->delivered));
    (void)fprintf(stderr, CLEAR_LINE);
}

static void
measure(struct course *course)
{
    const struct run *run = &course->run;
    bool progress = isatty(STDERR_FILENO) == 1;
    course_begin(course, run->options->warmup_s * 1000000, run->options->seconds * 1000000);

    struct sample last = course_sample(course);
    for (uint64_t at_us = run->start_us; progress && at_us < run->measure_from_us;
         at_us += PROGRESS_US) {
        course_wait_until(course, at_us);
        struct sample now = course_sample(course);
        show_progress(course, &last, &now);
        last = now;
    }
    course_wait_until(course, run->measure_from_us);
    course->result->from = last = course_sample(course);
    for (uint64_t at_us = run->measure_from_us + PROGRESS_US;
         progress && at_us < run->measure_to_us; at_us += PROGRESS_US) {
        course_wait_until(course, at_us);
        struct sample now = course_sample(course);
        show_progress(course, &last, &now);
        last = now;
    }
    course_wait_until(course, run->measure_to_us);
    course->result->to = course_sample(course);
    if (progress)
        (void)fprintf(stderr, "\r" CLEAR_LINE);
}

// Waits until everything published has been delivered, every handshake has ended, and everybody is
// where they belong.
static void
drain(struct course *course)
{
    const struct run *run = &course->run;
    uint64_t until_us = clock_mono_us() + run->options->drain_s * 1000000, expected, gone;
    course_set_phase(course, PHASE_DRAIN);
    if (run->shape.streams == 0 && !run->shape.retains)
        return;
    while (COURSE_TOTAL(course, present) > 0 && clock_mono_us() < until_us)
        course_wait_until(course, clock_mono_us() + COURSE_LOOK_US);
    course->result->stuck = COURSE_TOTAL(course, present);
    gone = COURSE_TOTAL(course, drops) + COURSE_TOTAL(course, leaves);
    if (gone > 0)
        (void)course_await(course, offsetof(struct counters, returned), gone, until_us);
    do {
        expected = COURSE_TOTAL(course, expected);
        (void)course_await(course, offsetof(struct counters, delivered), expected, until_us);
        // One more look, for duplicates that come late, and for what a worker published before it
        // saw the phase change.
        course_wait_until(course, clock_mono_us() + COURSE_LOOK_US);
    } while (COURSE_TOTAL(course, expected) != expected);
}

static void (*const courses[SCENARIOS])(struct course *) = {
    [SCENARIO_PAIRS] = measure,
    [SCENARIO_FAN_IN] = measure,
    [SCENARIO_FAN_OUT] = measure,
    [SCENARIO_IDLE] = measure,
    [SCENARIO_CONNECT] = measure,
    [SCENARIO_SHARED] = measure,
    [SCENARIO_WILDCARD] = measure,
    [SCENARIO_MANY_TOPICS] = measure,
    [SCENARIO_RETAINED] = measure,
    [SCENARIO_CHURN] = measure,
    [SCENARIO_FLEET] = measure,
    [SCENARIO_DURABLE_PAIRS] = measure,
    [SCENARIO_OFFLINE_QUEUE] = durable_offline_queue,
    [SCENARIO_RECOVER] = durable_recover,
};

// Everything between the last client's set-up and the end.
static err_t
take_course(struct course *course)
{
    const struct options *options = course->run.options;
    course->result->connected = course_sample(course);
    if (course->run.shape.retains)
        retained_prepare(course);
    if (!course->broken)
        courses[options->scenario](course);
    if (!course->broken)
        drain(course);
    if (course->run.shape.retains)
        retained_clear(course);
    if (options->kill_at_s > 0 && course->run.killed_us == 0)
        course_note_failure(course, "all was over before --kill-at");
    return course->broken ? ERR_IO : OK;
}

// ---- The whole --------------------------------------------------------------------------------

err_t
run_execute(const struct options *options, struct result *ret_result)
{
    struct course course;
    course_init(&course, options, ret_result);
    course.hands = options->agents[0] != '\0' ? &coordinator_hands : &crew_hands;
    if (course.hands->make(&course) != OK)
        return ERR_IO;
    ret_result->before = course_sample(&course);
    err_t err = ret_result->failure[0] != '\0' ? ERR_IO : set_up(&course);
    if (err == OK)
        err = take_course(&course);
    course_set_phase(&course, PHASE_CLOSE);
    course.hands->stop(&course);
    course.hands->end(&course);
    return course.broken ? ERR_IO : err;
}

uint64_t
run_lost_acknowledged(const struct result *result)
{
    uint64_t excused = result->unpromised + result->refused;
    return result->missing > excused ? result->missing - excused : 0;
}

bool
run_good(const struct options *options, const struct result *result)
{
    if (result->lost > 0 || result->stray > 0)
        return false;
    if (options->qos > 0 && (result->missing > 0 || result->reordered > 0 || result->open > 0))
        return false;
    // No connection was broken, so nothing had to be sent again.
    bool once = options->qos == 2 || options->scenario == SCENARIO_SHARED;
    if (result->stuck > 0 || result->visit_duplicates > 0 || (once && result->duplicates > 0))
        return false;
    if (result->wills_missing > 0 || result->wills_unexpected > 0 || result->away > 0)
        return false;
    if (result->sessions_lost > 0 || result->senders_lost > 0)
        return false;
    return options->kill_at_s == 0 || result->outage_us > 0;
}
