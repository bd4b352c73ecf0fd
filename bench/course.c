// course.c - a measurement under way, as main sees it.
#include "bench/course.h"

#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/durable.h"

void
course_init(struct course *course, const struct options *options, struct result *result)
{
    *course = (struct course){.result = result, .broker_pid = options->broker_pid};
    *result = (struct result){.broker_pid = options->broker_pid};
    struct run *run = &course->run;
    run->options = options;
    run->shape = scenario_shape(options);
    run->window = scenario_window(&run->shape, options);
    run->burst = options->burst > 0 ? min_u64(options->burst, run->window) : run->window / 8;
    run->burst = max_u64(run->burst, 1);
    run->id = (uint32_t)(clock_wall_ms() ^ (uint64_t)getpid() << 16);
    run->workers = (uint32_t)options->threads;
}

void
course_wait_until(struct course *course, uint64_t at_us)
{
    const struct run *run = &course->run;
    uint64_t kill_us = run->start_us + run->options->kill_at_s * 1000000;
    bool kills = run->options->kill_at_s > 0 && run->start_us > 0 && run->killed_us == 0;
    if (kills && kill_us <= at_us) {
        course->hands->wait(course, kill_us);
        durable_outage(course);
    }
    course->hands->wait(course, at_us);
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
    course->hands->announce(course);
}

uint64_t
course_total(const struct course *course, size_t counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < course->counter_sets; i++) {
        const char *counters = (const char *)course->counters[i];
        sum += counter_read((const _Atomic uint64_t *)(const void *)(counters + counter));
    }
    return sum;
}

bool
course_any_failed(const struct course *course)
{
    for (uint32_t i = 0; i < course->counter_sets; i++) {
        if (atomic_load_explicit(&course->counters[i]->failed, memory_order_relaxed))
            return true;
    }
    return false;
}

void
course_add_up(struct course *course)
{
    struct result *result = course->result;
    const struct tally *tally = &result->tally;
    result->published = COURSE_TOTAL(course, published);
    result->delivered = COURSE_TOTAL(course, delivered);
    result->open = COURSE_TOTAL(course, open);
    result->lost = COURSE_TOTAL(course, lost);
    result->refused = COURSE_TOTAL(course, refused);
    result->acked = COURSE_TOTAL(course, acked);
    result->resent = COURSE_TOTAL(course, resent);
    result->redelivered = COURSE_TOTAL(course, redelivered);
    result->sessions_found = COURSE_TOTAL(course, sessions_found);
    result->sessions_lost = COURSE_TOTAL(course, sessions_lost);
    result->senders_found = COURSE_TOTAL(course, senders_found);
    result->senders_lost = COURSE_TOTAL(course, senders_lost);
    result->commands = COURSE_TOTAL(course, commands);
    result->drops = COURSE_TOTAL(course, drops);
    result->leaves = COURSE_TOTAL(course, leaves);
    result->stormed = COURSE_TOTAL(course, stormed);
    result->handshakes = COURSE_TOTAL(course, handshakes);
    result->resumed = COURSE_TOTAL(course, resumed);
    result->pings = COURSE_TOTAL(course, pings);
    result->came = COURSE_TOTAL(course, came);
    uint64_t gone = result->drops + result->leaves, returned = COURSE_TOTAL(course, returned);
    if (course->run.shape.scenario == SCENARIO_FLEET)
        result->away = max_u64(gone, returned) - returned;

    // More from elsewhere than is missing there was never sent.
    uint64_t invented = max_u64(tally->from_elsewhere, tally->missing) - tally->missing;
    uint64_t wills_invented =
        max_u64(tally->wills_from_elsewhere, tally->wills_missing) - tally->wills_missing;
    result->visit_duplicates = COURSE_TOTAL(course, visit_duplicates);
    result->missing =
        COURSE_TOTAL(course, visit_missing) + tally->missing + invented - tally->from_elsewhere;
    result->duplicates = result->visit_duplicates + tally->duplicates;
    result->reordered = COURSE_TOTAL(course, reordered) + tally->reordered;
    result->stray = COURSE_TOTAL(course, stray) + tally->invented + invented;
    result->across = tally->across;
    result->unpromised = tally->unpromised;
    result->wills_missing = tally->wills_missing + wills_invented - tally->wills_from_elsewhere;
    result->wills_unexpected = tally->wills_unexpected + wills_invented;
}

struct sample
course_sample(struct course *course)
{
    struct sample sample = {0};
    uint64_t pid = course->broker_pid;
    course->hands->sample(course, &sample);
    if (pid != 0 && proc_sample(pid, &sample.broker) != OK)
        course_note_failure(course, "process %llu cannot be read", (unsigned long long)pid);
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
    run->start_us = clock_mono_us() + course->hands->lead_us;
    run->measure_from_us = run->start_us + warmup_us;
    run->measure_to_us = run->measure_from_us + measured_us;
    course_set_phase(course, PHASE_RUN);
}
