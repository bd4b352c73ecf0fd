// crew.c - the workers of this process, as the hands of a course.
#include "bench/crew.h"

#include <errno.h>
#include <sys/resource.h>
#include <time.h>

#include "core/base/clock.h"

#include "bench/worker.h"

// As many descriptors as the hard limit grants.
static void
raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
}

static err_t
crew_make(struct course *course)
{
    struct run *run = &course->run;
    char why[HOSTS_WHY_MAX];
    const struct options *options = run->options;
    if (hosts_resolve(options->host, (uint16_t)options->port, &run->hosts, why) != OK ||
        (options->bind[0] != '\0' && hosts_bind(&run->hosts, options->bind, why) != OK)) {
        course_note_failure(course, "%s", why);
        return ERR_IO;
    }
    raise_descriptor_limit();
    course->worker_count = (uint32_t)run->options->threads;
    must(run->worker_first + course->worker_count <= run->workers);
    run->streams =
        mem_alloc_aligned(CACHE_LINE, (run->shape.all_streams + 1ull) * sizeof *run->streams);
    run->locks = mem_alloc_aligned(CACHE_LINE, RUN_LOCKS * sizeof *run->locks);
    for (uint32_t i = 0; i < RUN_LOCKS; i++)
        must(pthread_mutex_init(&run->locks[i].mutex, NULL) == 0);
    course->workers = mem_zalloc(course->worker_count * sizeof(struct worker *));
    course->counters = mem_zalloc(course->worker_count * sizeof(struct counters *));
    course->counter_sets = course->worker_count;
    for (uint32_t i = 0; i < course->worker_count; i++) {
        course->workers[i] = worker_new(run, run->worker_first + i);
        course->counters[i] = &course->workers[i]->counters;
    }
    return OK;
}

static err_t
crew_begin(struct course *course)
{
    for (uint32_t i = 0; i < course->worker_count; i++) {
        if (worker_start(course->workers[i]) != OK) {
            course_note_failure(course, "a thread cannot be started");
            return ERR_IO;
        }
        course->running++;
    }
    return OK;
}

static void
crew_wait(struct course *course, uint64_t at_us)
{
    (void)course;
    struct timespec at = {
        .tv_sec = (time_t)(at_us / 1000000),
        .tv_nsec = (long)(at_us % 1000000) * 1000,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void
crew_announce(struct course *course)
{
    (void)course; // the workers look at run.phase themselves
}

static uint64_t
timeval_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static void
crew_sample(struct course *course, struct sample *ret_sample)
{
    struct rusage own;
    struct sample sample = {.at_us = clock_mono_us()};
    sample.delivered = COURSE_TOTAL(course, delivered);
    sample.published = COURSE_TOTAL(course, published);
    sample.acked = COURSE_TOTAL(course, acked);
    sample.expected = COURSE_TOTAL(course, expected);
    sample.came = COURSE_TOTAL(course, came);
    if (getrusage(RUSAGE_SELF, &own) == 0) {
        sample.own_user_us = timeval_us(own.ru_utime);
        sample.own_system_us = timeval_us(own.ru_stime);
    }
    *ret_sample = sample;
}

// ---- The end ----------------------------------------------------------------------------------

static void
add_stream(struct tally *tally, const struct run *run, uint32_t number)
{
    const struct shape *shape = &run->shape;
    const struct ledger *ledger = &run->streams[number].ledger;
    const struct client *publisher = run->streams[number].publisher;
    bool wills = number >= shape->streams + shape->clients[ROLE_PUBLISHER];
    bool shared = shape->shared && number < shape->streams;

    tally->duplicates += ledger->duplicates;
    // Members of a group, and connections that end, are not in order with each other.
    *(shared || wills ? &tally->across : &tally->reordered) += ledger->reordered;
    tally->wills_unexpected += wills ? ledger->duplicates : 0;
    if (publisher == NULL) {
        uint64_t came = ledger->next - ledger->missing;
        tally->from_elsewhere += came;
        tally->wills_from_elsewhere += wills ? came : 0;
        return;
    }
    uint64_t sent = publisher_sent(publisher, number);
    uint64_t missing = ledger->missing + max_u64(sent, ledger->next) - ledger->next;
    uint64_t invented = max_u64(sent, ledger->next) - sent;
    if (shape->durable && shape->stride > 0)
        tally->unpromised += publisher_unpromised(publisher);
    tally->missing += missing;
    tally->invented += invented;
    tally->wills_missing += wills ? missing : 0;
    tally->wills_unexpected += wills ? invented : 0;
}

static void
crew_stop(struct course *course)
{
    for (uint32_t i = 0; i < course->running; i++) {
        worker_join(course->workers[i]);
        if (course->workers[i]->failure[0] != '\0')
            course_note_failure(course, "%s", course->workers[i]->failure);
    }
    course->running = 0;
}

static void
crew_end(struct course *course)
{
    struct run *run = &course->run;
    struct result *result = course->result;
    must(course->running == 0);
    for (uint32_t i = 0; i < run->shape.all_streams; i++) {
        add_stream(&result->tally, run, i);
        ledger_free(&run->streams[i].ledger);
    }
    course_add_up(course);
    for (uint32_t i = 0; i < course->worker_count; i++) {
        const struct worker *w = course->workers[i];
        histogram_merge(&result->latency, &w->latency);
        histogram_merge(&result->ack_latency, &w->ack_latency);
        histogram_merge(&result->command_latency, &w->command_latency);
        histogram_merge(&result->come_latency, &w->come_latency);
        histogram_merge(&result->lateness, &w->lateness);
        worker_free(course->workers[i]);
    }
    mem_free(course->workers);
    mem_free(course->counters);
    mem_free(run->streams);
    mem_free(run->locks);
    course->workers = NULL;
    course->counters = NULL;
    run->streams = NULL;
    run->locks = NULL;
    course->worker_count = course->counter_sets = 0;
}

const struct hands crew_hands = {
    .make = crew_make,
    .begin = crew_begin,
    .announce = crew_announce,
    .wait = crew_wait,
    .sample = crew_sample,
    .stop = crew_stop,
    .end = crew_end,
    .lead_us = COURSE_LOOK_US,
};
