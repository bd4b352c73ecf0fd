// run.c - the course of one measurement.
#include "bench/run.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/course.h"
#include "bench/durable.h"
#include "bench/retained.h"
#include "bench/worker.h"

#define PROGRESS_US 1000000u // between two progress lines
#define CLEAR_LINE  "\x1b[K" // of a terminal: to its right end
#define SETTLE_US   300000u  // between the last connection and the measurement of memory

static bool
any_failed(const struct course *course)
{
    for (uint32_t i = 0; i < course->worker_count; i++) {
        if (atomic_load_explicit(&course->workers[i]->counters.failed, memory_order_relaxed))
            return true;
    }
    return false;
}

// ---- Phases -----------------------------------------------------------------------------------

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
set_up(struct course *course)
{
    for (uint32_t i = 0; i < course->worker_count; i++) {
        if (worker_start(course->workers[i]) != OK) {
            course_note_failure(course, "a thread cannot be started");
            return ERR_IO;
        }
        course->running++;
    }
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
        if (any_failed(course))
            return ERR_IO;
        if (now_us - quiet_since_us > RUN_SETUP_S * 1000000ull) {
            course_note_failure(course, "only %llu of %llu clients became ready",
                                (unsigned long long)ready, (unsigned long long)want);
            return ERR_IO;
        }
    }
    course->result->set_up_us = clock_mono_us() - begun_us;
    course_wait_until(course, clock_mono_us() + SETTLE_US);
    return any_failed(course) ? ERR_IO : OK;
}

static void
show_progress(const struct course *course, const struct sample *last, const struct sample *now)
{
    double seconds = (double)(now->at_us - last->at_us) / 1e6;
    const struct run *run = &course->run;
    bool warms_up = now->at_us < run->measure_from_us;
    uint64_t until_us = warms_up ? run->measure_from_us : run->measure_to_us;
    (void)fprintf(stderr, "\r%s %.0f of %.0f s: %.0f/s", warms_up ? "warm-up" : "measure",
                  (double)(now->at_us - run->start_us) / 1e6,
                  (double)(until_us - run->start_us) / 1e6,
                  (double)(now->delivered - last->delivered) / seconds);
    if (course->broker_pid != 0) {
        uint64_t cpu_us = now->broker.user_us + now->broker.system_us - last->broker.user_us -
                          last->broker.system_us;
        (void)fprintf(stderr, ", broker %.0f %% CPU", (double)cpu_us / 1e4 / seconds);
    }
    uint64_t p99_us = 0;
    for (uint32_t i = 0; i < course->worker_count; i++)
        p99_us = max_u64(p99_us, counter_read(&course->workers[i]->counters.p99_us));
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

// ---- The end ----------------------------------------------------------------------------------

static void
add_stream(struct course *course, uint32_t number)
{
    struct result *result = course->result;
    const struct shape *shape = &course->run.shape;
    const struct ledger *ledger = &course->run.streams[number].ledger;
    const struct client *publisher = course->run.streams[number].publisher;
    // Nobody commands at a rate of 0.
    uint64_t sent = publisher != NULL ? publisher_sent(publisher, number) : 0;
    uint64_t missing = ledger->missing + max_u64(sent, ledger->next) - ledger->next;
    uint64_t invented = max_u64(sent, ledger->next) - sent;
    bool wills = number >= shape->streams + shape->clients[ROLE_PUBLISHER];
    bool shared = shape->shared && number < shape->streams;

    if (shape->durable && shape->stride > 0)
        result->unpromised += publisher_unpromised(publisher);
    result->missing += missing;
    result->duplicates += ledger->duplicates;
    result->stray += invented;
    // Members of a group, and connections that end, are not in order with each other.
    *(shared || wills ? &result->across : &result->reordered) += ledger->reordered;
    if (wills) {
        result->wills_missing += missing;
        result->wills_unexpected += ledger->duplicates + invented;
    }
}

static void
add_up(struct course *course)
{
    struct result *result = course->result;
    const struct run *run = &course->run;
    result->published = COURSE_TOTAL(course, published);
    result->delivered = COURSE_TOTAL(course, delivered);
    result->open = COURSE_TOTAL(course, open);
    result->lost = COURSE_TOTAL(course, lost);
    result->refused = COURSE_TOTAL(course, refused);
    result->stray = COURSE_TOTAL(course, stray);
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
    result->pings = COURSE_TOTAL(course, pings);
    result->came = COURSE_TOTAL(course, came);
    result->reordered = COURSE_TOTAL(course, reordered);
    result->missing = COURSE_TOTAL(course, visit_missing);
    result->duplicates = result->visit_duplicates = COURSE_TOTAL(course, visit_duplicates);
    uint64_t gone = result->drops + result->leaves, returned = COURSE_TOTAL(course, returned);
    if (run->shape.scenario == SCENARIO_FLEET)
        result->away = max_u64(gone, returned) - returned;
    for (uint32_t i = 0; i < run->shape.all_streams; i++)
        add_stream(course, i);
    for (uint32_t i = 0; i < course->worker_count; i++) {
        const struct worker *w = course->workers[i];
        histogram_merge(&result->latency, &w->latency);
        histogram_merge(&result->ack_latency, &w->ack_latency);
        histogram_merge(&result->command_latency, &w->command_latency);
        histogram_merge(&result->come_latency, &w->come_latency);
        histogram_merge(&result->lateness, &w->lateness);
    }
}

static void
finish(struct course *course)
{
    course_set_phase(course, PHASE_CLOSE);
    for (uint32_t i = 0; i < course->running; i++) {
        worker_join(course->workers[i]);
        if (course->workers[i]->failure[0] != '\0')
            course_note_failure(course, "%s", course->workers[i]->failure);
    }
    add_up(course);
    for (uint32_t i = 0; i < course->worker_count; i++)
        worker_free(course->workers[i]);
    for (uint32_t i = 0; i < course->run.shape.all_streams; i++)
        ledger_free(&course->run.streams[i].ledger);
    mem_free(course->workers);
    mem_free(course->run.streams);
    mem_free(course->run.locks);
}

err_t
run_execute(const struct options *options, struct result *ret_result)
{
    struct course course = {
        .result = ret_result,
        .worker_count = (uint32_t)options->threads,
        .broker_pid = options->broker_pid,
    };
    struct run *run = &course.run;
    *ret_result = (struct result){.broker_pid = options->broker_pid};
    run->options = options;
    run->shape = scenario_shape(options);
    run->window = scenario_window(&run->shape, options);
    run->burst = options->burst > 0 ? min_u64(options->burst, run->window) : run->window / 8;
    run->burst = max_u64(run->burst, 1);
    run->id = (uint32_t)(clock_wall_ms() ^ (uint64_t)getpid() << 16);
    char why[HOSTS_WHY_MAX];
    if (hosts_resolve(options->host, (uint16_t)options->port, &run->hosts, why) != OK) {
        course_note_failure(&course, "%s", why);
        return ERR_IO;
    }
    raise_descriptor_limit();
    run->streams =
        mem_alloc_aligned(CACHE_LINE, (run->shape.all_streams + 1ull) * sizeof *run->streams);
    run->locks = mem_alloc_aligned(CACHE_LINE, RUN_LOCKS * sizeof *run->locks);
    for (uint32_t i = 0; i < RUN_LOCKS; i++)
        must(pthread_mutex_init(&run->locks[i].mutex, NULL) == 0);
    course.workers = mem_zalloc(course.worker_count * sizeof(struct worker *));
    for (uint32_t i = 0; i < course.worker_count; i++)
        course.workers[i] = worker_new(run, i);

    ret_result->before = course_sample(&course);
    err_t err = ret_result->failure[0] != '\0' ? ERR_IO : set_up(&course);
    if (err == OK)
        err = take_course(&course);
    finish(&course);
    return err;
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
