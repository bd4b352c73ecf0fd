// run.c - the course of one measurement.
#include "bench/run.h"

#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/worker.h"

#define LOOK_US        10000u   // between two looks of main at the workers
#define PROGRESS_US    1000000u // between two progress lines
#define DRAIN_QUIET_US 2000000u // a drain in which nothing has moved for so long is over
#define SETTLE_US      300000u  // between the last connection and the measurement of memory

struct course {
    struct run run;
    struct worker **workers;
    uint32_t worker_count, running;
    struct result *result;
};

static void
wait_until(uint64_t at_us)
{
    struct timespec at = {
        .tv_sec = (time_t)(at_us / 1000000),
        .tv_nsec = (long)(at_us % 1000000) * 1000,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static void note_failure(struct result *result, const char *format, ...) PRINTF_LIKE(2);

static void
note_failure(struct result *result, const char *format, ...)
{
    if (result->failure[0] != '\0')
        return;
    va_list args;
    va_start(args, format);
    (void)vsnprintf(result->failure, sizeof result->failure, format, args);
    va_end(args);
}

// ---- Counting ---------------------------------------------------------------------------------

// Offsets of counters name them, so that one loop adds up any.
static uint64_t
total(const struct course *course, size_t counter)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < course->worker_count; i++) {
        const char *counters = (const char *)&course->workers[i]->counters;
        sum += counter_read((const _Atomic uint64_t *)(const void *)(counters + counter));
    }
    return sum;
}

#define TOTAL(course, field) total(course, offsetof(struct counters, field))

static bool
any_failed(const struct course *course)
{
    for (uint32_t i = 0; i < course->worker_count; i++) {
        if (atomic_load_explicit(&course->workers[i]->counters.failed, memory_order_relaxed))
            return true;
    }
    return false;
}

static uint64_t
timeval_us(struct timeval t)
{
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static struct sample
take_sample(const struct course *course)
{
    struct rusage own;
    struct sample sample = {.at_us = clock_mono_us()};
    uint64_t pid = course->run.options->broker_pid;
    if (pid != 0 && proc_sample(pid, &sample.broker) != OK)
        note_failure(course->result, "process %llu cannot be read", (unsigned long long)pid);
    sample.delivered = TOTAL(course, delivered);
    sample.published = TOTAL(course, published);
    if (getrusage(RUSAGE_SELF, &own) == 0) {
        sample.own_user_us = timeval_us(own.ru_utime);
        sample.own_system_us = timeval_us(own.ru_stime);
    }
    return sample;
}

// ---- Phases -----------------------------------------------------------------------------------

static void
set_phase(struct course *course, enum phase phase)
{
    atomic_store_explicit(&course->run.phase, phase, memory_order_release);
}

static err_t
resolve(struct run *run, struct result *result)
{
    char port[8];
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    (void)snprintf(port, sizeof port, "%u", (unsigned)run->options->port);
    int error = getaddrinfo(run->options->host, port, &hints, &found);
    if (error != 0) {
        note_failure(result, "%s: %s", run->options->host, gai_strerror(error));
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
            note_failure(course->result, "a thread cannot be started");
            return ERR_IO;
        }
        course->running++;
    }
    const struct shape *shape = &course->run.shape;
    uint64_t want = shape->churn ? 0 : shape->publishers + shape->subscribers + shape->silent;
    uint64_t ready = 0, quiet_since_us = clock_mono_us();
    while (ready < want) {
        wait_until(clock_mono_us() + LOOK_US);
        uint64_t now_us = clock_mono_us(), before = ready;
        ready = TOTAL(course, ready);
        if (ready != before)
            quiet_since_us = now_us;
        if (any_failed(course))
            return ERR_IO;
        if (now_us - quiet_since_us > RUN_SETUP_S * 1000000ull) {
            note_failure(course->result, "only %llu of %llu clients became ready",
                         (unsigned long long)ready, (unsigned long long)want);
            return ERR_IO;
        }
    }
    wait_until(clock_mono_us() + SETTLE_US);
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
    struct run *run = &course->run;
    bool progress = isatty(STDERR_FILENO) == 1;
    run->start_us = clock_mono_us() + LOOK_US;
    run->measure_from_us = run->start_us + run->options->warmup_s * 1000000;
    run->measure_to_us = run->measure_from_us + run->options->seconds * 1000000;
    set_phase(course, PHASE_RUN);

    struct sample last = take_sample(course);
    for (uint64_t at_us = run->start_us; progress && at_us < run->measure_from_us;
         at_us += PROGRESS_US) {
        wait_until(at_us);
        struct sample now = take_sample(course);
        show_progress(course, &last, &now);
        last = now;
    }
    wait_until(run->measure_from_us);
    course->result->from = last = take_sample(course);
    for (uint64_t at_us = run->measure_from_us + PROGRESS_US;
         progress && at_us < run->measure_to_us; at_us += PROGRESS_US) {
        wait_until(at_us);
        struct sample now = take_sample(course);
        show_progress(course, &last, &now);
        last = now;
    }
    wait_until(run->measure_to_us);
    course->result->to = take_sample(course);
    if (progress)
        (void)fprintf(stderr, "\r%60s\r", "");
}

// Waits until everything published has been delivered and every handshake has ended.
static void
drain(struct course *course)
{
    set_phase(course, PHASE_DRAIN);
    const struct run *run = &course->run;
    uint64_t begun_us = clock_mono_us(), moved_us = begun_us, delivered = 0;
    while (run->shape.streams > 0) {
        wait_until(clock_mono_us() + LOOK_US);
        uint64_t now_us = clock_mono_us(), before = delivered;
        delivered = TOTAL(course, delivered);
        if (delivered != before)
            moved_us = now_us;
        uint64_t want = TOTAL(course, published) * scenario_fan_out(&run->shape);
        bool complete = delivered == want && TOTAL(course, open) == 0;
        // What is complete gets one more look, for duplicates that come late.
        if ((complete && delivered == before) || now_us - moved_us > DRAIN_QUIET_US ||
            now_us - begun_us > run->options->drain_s * 1000000)
            return;
    }
}

// ---- The end ----------------------------------------------------------------------------------

static void
add_up(struct course *course)
{
    struct result *result = course->result;
    const struct run *run = &course->run;
    result->published = TOTAL(course, published);
    result->delivered = TOTAL(course, delivered);
    result->open = TOTAL(course, open);
    result->lost = TOTAL(course, lost);
    result->refused = TOTAL(course, refused);
    result->stray = TOTAL(course, stray);
    for (uint32_t i = 0; i < run->shape.streams; i++) {
        const struct ledger *ledger = &run->streams[i].ledger;
        uint64_t sent = run->streams[i].publisher->publisher.next_seq;
        result->duplicates += ledger->duplicates;
        result->reordered += ledger->reordered;
        result->missing += ledger->missing + max_u64(sent, ledger->next) - ledger->next;
    }
    for (uint32_t i = 0; i < course->worker_count; i++) {
        histogram_merge(&result->latency, &course->workers[i]->latency);
        histogram_merge(&result->lateness, &course->workers[i]->lateness);
    }
}

static void
finish(struct course *course)
{
    set_phase(course, PHASE_CLOSE);
    for (uint32_t i = 0; i < course->running; i++) {
        worker_join(course->workers[i]);
        if (course->workers[i]->failure[0] != '\0')
            note_failure(course->result, "%s", course->workers[i]->failure);
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
    struct course course = {.result = ret_result, .worker_count = (uint32_t)options->threads};
    struct run *run = &course.run;
    *ret_result = (struct result){0};
    run->options = options;
    run->shape = scenario_shape(options);
    run->window = scenario_window(&run->shape, options);
    run->burst = options->burst > 0 ? min_u64(options->burst, run->window) : run->window / 8;
    run->burst = max_u64(run->burst, 1);
    run->id = (uint32_t)(clock_wall_ms() ^ (uint64_t)getpid() << 16);
    if (resolve(run, ret_result) != OK)
        return ERR_IO;
    raise_descriptor_limit();
    run->streams = mem_alloc_aligned(CACHE_LINE, (run->shape.streams + 1) * sizeof *run->streams);
    course.workers = mem_zalloc(course.worker_count * sizeof(struct worker *));
    for (uint32_t i = 0; i < course.worker_count; i++)
        course.workers[i] = worker_new(run, i);

    ret_result->before = take_sample(&course);
    err_t err = ret_result->failure[0] != '\0' ? ERR_IO : set_up(&course);
    if (err == OK) {
        ret_result->connected = take_sample(&course);
        measure(&course);
        drain(&course);
    }
    finish(&course);
    return err;
}

bool
run_good(const struct options *options, const struct result *result)
{
    if (result->lost > 0 || result->stray > 0)
        return false;
    if (options->qos > 0 && (result->missing > 0 || result->reordered > 0 || result->open > 0))
        return false;
    return options->qos < 2 || result->duplicates == 0;
}
