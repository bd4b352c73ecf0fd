// run.c - the course of one measurement.
#include "bench/run.h"

#include <netdb.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/course.h"
#include "bench/durable.h"
#include "bench/worker.h"

#define PROGRESS_US 1000000u // between two progress lines
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

static err_t
resolve(struct course *course)
{
    struct run *run = &course->run;
    char port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    (void)snprintf(port, sizeof port, "%u", (unsigned)run->options->port);
    int error = getaddrinfo(run->options->host, port, &hints, &found);
    if (error != 0) {
        course_note_failure(course, "%s: %s", run->options->host, gai_strerror(error));
        return ERR_IO;
    }
    must(found->ai_addrlen <= sizeof run->address);
    memcpy(&run->address, found->ai_addr, found->ai_addrlen);
    run->address_len = found->ai_addrlen;
    freeaddrinfo(found);
    return OK;
}

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
    uint64_t want = shape->churn ? 0 : shape->publishers + shape->subscribers + shape->silent;
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
    double cpu = (double)(now->broker.user_us + now->broker.system_us - last->broker.user_us -
                          last->broker.system_us) /
                 1e4 / seconds;
    (void)fprintf(stderr, "\r%s %3.0f s: %10.0f/s delivered, broker %4.0f %% CPU   ",
                  now->at_us < run->measure_from_us ? "warm-up" : "measure",
                  (double)(now->at_us - run->start_us) / 1e6,
                  (double)(now->delivered - last->delivered) / seconds, cpu);
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
        (void)fprintf(stderr, "\r%60s\r", "");
}

// Waits until everything published has been delivered and every handshake has ended.
static void
drain(struct course *course)
{
    const struct run *run = &course->run;
    course_set_phase(course, PHASE_DRAIN);
    if (run->shape.streams == 0)
        return;
    uint64_t until_us = clock_mono_us() + run->options->drain_s * 1000000, published;
    do {
        published = COURSE_TOTAL(course, published);
        uint64_t want = published * scenario_fan_out(&run->shape);
        (void)course_await(course, offsetof(struct counters, delivered), want, until_us);
        // One more look, for duplicates that come late, and for what a worker published before it
        // saw the phase change.
        course_wait_until(course, clock_mono_us() + COURSE_LOOK_US);
    } while (COURSE_TOTAL(course, published) != published);
}

static void (*const courses[])(struct course *) = {
    [SCENARIO_PAIRS] = measure,
    [SCENARIO_FAN_IN] = measure,
    [SCENARIO_FAN_OUT] = measure,
    [SCENARIO_IDLE] = measure,
    [SCENARIO_CONNECT] = measure,
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
    courses[options->scenario](course);
    if (!course->broken)
        drain(course);
    if (options->kill_at_s > 0 && course->run.killed_us == 0)
        course_note_failure(course, "all was over before --kill-at");
    return course->broken ? ERR_IO : OK;
}

// ---- The end ----------------------------------------------------------------------------------

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
    for (uint32_t i = 0; i < run->shape.streams; i++) {
        const struct ledger *ledger = &run->streams[i].ledger;
        const struct client *publisher = run->streams[i].publisher;
        uint64_t sent = publisher->publisher.next_seq;
        if (run->shape.durable)
            result->unpromised += publisher_unpromised(publisher);
        result->duplicates += ledger->duplicates;
        result->reordered += ledger->reordered;
        result->missing += ledger->missing + max_u64(sent, ledger->next) - ledger->next;
    }
    for (uint32_t i = 0; i < course->worker_count; i++) {
        histogram_merge(&result->latency, &course->workers[i]->latency);
        histogram_merge(&result->ack_latency, &course->workers[i]->ack_latency);
        histogram_merge(&result->lateness, &course->workers[i]->lateness);
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
    for (uint32_t i = 0; i < course->run.shape.streams; i++)
        ledger_free(&course->run.streams[i].ledger);
    mem_free(course->workers);
    mem_free(course->run.streams);
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
    if (resolve(&course) != OK)
        return ERR_IO;
    raise_descriptor_limit();
    run->streams = mem_alloc_aligned(CACHE_LINE, (run->shape.streams + 1) * sizeof *run->streams);
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
    if (result->sessions_lost > 0 || result->senders_lost > 0)
        return false;
    if (options->kill_at_s > 0 && result->outage_us == 0)
        return false;
    return options->qos < 2 || result->duplicates == 0;
}
