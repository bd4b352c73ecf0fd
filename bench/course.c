// course.c - a measurement under way, as main sees it.
#include "bench/course.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/clock.h"

#include "bench/durable.h"
#include "bench/worker.h"

static void
sleep_until(uint64_t at_us)
{
    struct timespec at = {
        .tv_sec = (time_t)(at_us / 1000000),
        .tv_nsec = (long)(at_us % 1000000) * 1000,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

void
course_wait_until(struct course *course, uint64_t at_us)
{
    const struct run *run = &course->run;
    uint64_t kill_us = run->start_us + run->options->kill_at_s * 1000000;
    bool kills = run->options->kill_at_s > 0 && run->start_us > 0 && run->killed_us == 0;
    if (kills && kill_us <= at_us) {
        sleep_until(kill_us);
        durable_outage(course);
    }
    sleep_until(at_us);
}

void
course_note_failure(struct course *course, const char *format, ...)
{
    struct result *result = course->result;
    if (result->failure[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(result->failure, sizeof result->failure, format, args);
    va_end(args);
}

void
course_set_phase(struct course *course, enum phase phase)
{
    atomic_store_explicit(&course->run.phase, phase, memory_order_release);
}

uint64_t
course_total(const struct course *course, size_t counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < course->worker_count; i++) {
        const char *counters = (const char *)&course->workers[i]->counters;
        sum += counter_read((const _Atomic uint64_t *)(const void *)(counters + counter));
    }
    return sum;
}

static uint64_t
timeval_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

struct sample
course_sample(struct course *course)
{
    struct rusage own;
    struct sample sample = {.at_us = clock_mono_us()};
    uint64_t pid = course->broker_pid;
    if (pid != 0 && proc_sample(pid, &sample.broker) != OK)
        course_note_failure(course, "process %llu cannot be read", (unsigned long long)pid);
    sample.delivered = COURSE_TOTAL(course, delivered);
    sample.published = COURSE_TOTAL(course, published);
    sample.acked = COURSE_TOTAL(course, acked);
    sample.expected = COURSE_TOTAL(course, expected);
    sample.came = COURSE_TOTAL(course, came);
    if (getrusage(RUSAGE_SELF, &own) == 0) {
        sample.own_user_us = timeval_us(own.ru_utime);
        sample.own_system_us = timeval_us(own.ru_stime);
    }
    return sample;
}

uint64_t
course_await(struct course *course, size_t counter, uint64_t want, uint64_t until_us)
{
    uint64_t now_us = clock_mono_us(), moved_us = now_us;
    uint64_t count = course_total(course, counter), open = COURSE_TOTAL(course, open);
    while ((count < want || open > 0) && now_us < until_us && !course->broken &&
           now_us - moved_us <= COURSE_QUIET_US) {
        bool was_whole = course->run.killed_us == 0;
        course_wait_until(course, now_us + COURSE_LOOK_US);
        now_us = clock_mono_us();
        uint64_t count_before = count, open_before = open;
        count = course_total(course, counter);
        open = COURSE_TOTAL(course, open);
        bool killed = was_whole && course->run.killed_us != 0; // the outage was no quiet
        if (count != count_before || open != open_before || killed)
            moved_us = now_us;
    }
    return moved_us;
}

void
course_begin(struct course *course, uint64_t warmup_us, uint64_t measured_us)
{
    struct run *run = &course->run;
    run->start_us = clock_mono_us() + COURSE_LOOK_US;
    run->measure_from_us = run->start_us + warmup_us;
    run->measure_to_us = run->measure_from_us + measured_us;
    course_set_phase(course, PHASE_RUN);
}
