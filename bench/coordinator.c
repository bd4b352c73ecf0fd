// coordinator.c - agents on this machine or others, as the hands of a course.
#include "bench/coordinator.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/clock.h"

#include "bench/control.h"
#include "bench/link.h"
#include "bench/share.h"

#define LOOK_US       200000u // between two looks in a long wait: progress, and who is lost
#define LEAD_US       500000u // for the start to reach all agents
#define RETRY_US      200000u // between two attempts to reach an agent
#define ATTEMPT_US    2000000u
#define CLOCK_ROUNDS  16u // the quickest one counts
#define SAMPLES_FIRST 2u  // before set-up and after it; CPU time counts from the latter

// A member's clock less ours, from the quickest of the rounds; give or take half of what it took.
struct offset {
    int64_t us;
    uint64_t uncertainty_us;
};

struct member {
    struct link link;
    struct counters counters;
    bool answered;
    uint64_t asked_us, answered_us;
    struct offset clock, clock_now; // before the run; of the last comparison
    uint32_t samples;
    struct sample first, last;
};

struct crowd {
    struct member members[CONTROL_AGENTS_MAX];
    uint32_t count;
    struct control_request request;
    struct control_reply reply; // of one member at a time
    struct sample sum;          // of all members' samples
};

static void
lose(struct course *course, uint32_t number, const char *why)
{
    course_note_failure(course, "agent %u (%s): %s", number + 1,
                        course->crowd->members[number].link.name, why);
    course->broken = true;
}

// ---- A request to all, a reply from each --------------------------------------------------------

static void
send_request(struct course *course, uint32_t number)
{
    struct crowd *crowd = course->crowd;
    struct member *member = &crowd->members[number];
    const struct options *options = course->run.options;
    struct control_request *request = &crowd->request;
    request->agent = number;
    request->clock_shift_us = (uint64_t)-member->clock.us;
    request->broker_pid = options->broker_agent == number + 1 ? options->broker_pid : 0;
    char *text = control_request_text(request);
    member->answered = false;
    member->asked_us = clock_mono_us();
    if (link_send(&member->link, text) != OK)
        lose(course, number, "it does not take what it is sent");
    free(text);
}

// Reads the member's reply if it has arrived.
static void
receive_reply(struct course *course, uint32_t number, void (*fn)(struct course *, uint32_t))
{
    struct crowd *crowd = course->crowd;
    struct member *member = &crowd->members[number];
    struct control_reply *reply = &crowd->reply;
    struct slice line;
    err_t err = link_receive(&member->link, 0, &line);
    if (err == ERR_NEED_MORE)
        return;
    member->answered_us = clock_mono_us();
    member->answered = true;
    if (err == ERR_IO)
        lose(course, number, "the connection was closed");
    else if (err != OK || control_reply_read(line, reply) != OK)
        lose(course, number, "it is no agent of this version: its reply makes no sense");
    else if (reply->error[0] != '\0')
        lose(course, number, reply->error);
    else if (reply->type != crowd->request.type)
        lose(course, number, "its reply is to another question");
    if (course->broken)
        return;
    if (reply->failure[0] != '\0')
        course_note_failure(course, "agent %u (%s): %s", number + 1, member->link.name,
                            reply->failure);
    if (fn != NULL)
        fn(course, number);
}

// Waits until all have answered, or the course is broken.
static void
receive_replies(struct course *course, void (*fn)(struct course *, uint32_t))
{
    struct crowd *crowd = course->crowd;
    uint64_t until_us = clock_mono_us() + COORDINATOR_ANSWER_S * 1000000ull;
    for (;;) {
        struct pollfd ready[CONTROL_AGENTS_MAX];
        uint32_t numbers[CONTROL_AGENTS_MAX], waiting = 0;
        for (uint32_t i = 0; i < crowd->count; i++) {
            if (crowd->members[i].answered)
                continue;
            numbers[waiting] = i;
            ready[waiting++] = (struct pollfd){.fd = crowd->members[i].link.fd, .events = POLLIN};
        }
        if (waiting == 0 || course->broken)
            return;
        if (clock_mono_us() >= until_us) {
            lose(course, numbers[0], "it does not answer");
            return;
        }
        (void)poll(ready, waiting, 1000);
        for (uint32_t i = 0; i < waiting && !course->broken; i++) {
            if (ready[i].revents != 0)
                receive_reply(course, numbers[i], fn);
        }
    }
}

static err_t
ask(struct course *course, enum control_type type, void (*fn)(struct course *, uint32_t))
{
    struct crowd *crowd = course->crowd;
    crowd->request.type = type;
    for (uint32_t i = 0; i < crowd->count && !course->broken; i++)
        send_request(course, i);
    receive_replies(course, fn);
    return course->broken ? ERR_IO : OK;
}

// ---- Finding them -----------------------------------------------------------------------------

static void
nap_until(uint64_t at_us)
{
    struct timespec at = {
        .tv_sec = (time_t)(at_us / 1000000),
        .tv_nsec = (long)(at_us % 1000000) * 1000,
    };
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
        ;
}

static err_t
reach(struct course *course, const char *where, uint64_t until_us)
{
    struct crowd *crowd = course->crowd;
    const char *why = "";
    for (;;) {
        uint64_t now_us = clock_mono_us();
        uint64_t attempt_until_us =
            min_u64(max_u64(until_us, now_us + RETRY_US), now_us + ATTEMPT_US);
        struct link *link = &crowd->members[crowd->count].link;
        if (link_connect(where, attempt_until_us, link, &why) == OK) {
            crowd->count++;
            return OK;
        }
        if (clock_mono_us() + RETRY_US > until_us)
            break;
        nap_until(clock_mono_us() + RETRY_US);
    }
    course_note_failure(course, "agent %s: %s", where, why);
    return ERR_IO;
}

static err_t
reach_all(struct course *course)
{
    const struct options *options = course->run.options;
    uint64_t until_us = clock_mono_us() + options->agents_wait_s * 1000000;
    char *list = mem_strdup(options->agents), *rest = list;
    err_t err = OK;
    for (char *where; err == OK && (where = strsep(&rest, ",")) != NULL;) {
        if (course->crowd->count == CONTROL_AGENTS_MAX) {
            course_note_failure(course, "at most %u agents", CONTROL_AGENTS_MAX);
            err = ERR_IO;
        } else if (strchr(where, ':') == NULL) {
            course_note_failure(course, "--agents: expected HOST:PORT, not \"%s\"", where);
            err = ERR_IO;
        } else {
            err = reach(course, where, until_us);
        }
    }
    mem_free(list);
    return err;
}

static void
on_hello(struct course *course, uint32_t number)
{
    const struct control_reply *reply = &course->crowd->reply;
    if (reply->protocol != CONTROL_PROTOCOL || reply->layout != CONTROL_LAYOUT)
        lose(course, number, "it is another version");
}

static void
on_clock(struct course *course, uint32_t number)
{
    const struct control_reply *reply = &course->crowd->reply;
    struct member *member = &course->crowd->members[number];
    uint64_t half_us = (member->answered_us - member->asked_us + 1) / 2;
    if (half_us < member->clock_now.uncertainty_us)
        member->clock_now = (struct offset){
            .us = (int64_t)(reply->now_us - (member->asked_us + half_us)),
            .uncertainty_us = half_us,
        };
}

// As NTP does, with the monotonic clocks, which nobody sets.
static err_t
compare_clocks(struct course *course)
{
    err_t err = OK;
    for (uint32_t i = 0; i < course->crowd->count; i++)
        course->crowd->members[i].clock_now.uncertainty_us = UINT64_MAX;
    for (uint32_t i = 0; i < CLOCK_ROUNDS && err == OK; i++)
        err = ask(course, CONTROL_CLOCK, on_clock);
    return err;
}

static void
add_word(void *arg, const char *word)
{
    struct control_request *request = arg;
    must(request->word_count < CONTROL_WORDS_MAX);
    request->words[request->word_count++] = mem_strdup(word);
}

// ---- The hands --------------------------------------------------------------------------------

static void
free_crowd(struct course *course)
{
    struct crowd *crowd = course->crowd;
    for (uint32_t i = 0; i < crowd->count; i++)
        link_close(&crowd->members[i].link);
    for (uint32_t i = 0; i < crowd->request.word_count; i++)
        mem_free(crowd->request.words[i]);
    mem_free(crowd);
    mem_free(course->counters);
    course->crowd = NULL;
    course->counters = NULL;
    course->counter_sets = 0;
}

static err_t
make_all(struct course *course)
{
    struct crowd *crowd = course->crowd;
    const struct run *run = &course->run;
    const struct options *options = run->options;
    if (reach_all(course) != OK)
        return ERR_IO;
    if (options->broker_agent > crowd->count) {
        course_note_failure(course, "there is no agent %llu for --broker-agent",
                            (unsigned long long)options->broker_agent);
        return ERR_IO;
    }
    if (crowd->count > 1 && run->shape.shared) {
        course_note_failure(course, "a shared subscription needs all its members in one process");
        return ERR_IO;
    }
    if (crowd->count > 1 && share_crosses(&run->shape) && options->rate == 0) {
        course_note_failure(course, "%s over several agents needs --rate",
                            scenario_name(options->scenario));
        return ERR_IO;
    }
    crowd->request = (struct control_request){
        .protocol = CONTROL_PROTOCOL,
        .layout = CONTROL_LAYOUT,
        .agents = crowd->count,
        .run = run->id,
    };
    if (options_tell(options, add_word, &crowd->request) != OK) {
        course_note_failure(course, "the agents cannot be told these options");
        return ERR_IO;
    }
    if (ask(course, CONTROL_HELLO, on_hello) != OK || compare_clocks(course) != OK)
        return ERR_IO;
    for (uint32_t i = 0; i < crowd->count; i++)
        crowd->members[i].clock = crowd->members[i].clock_now;
    return ask(course, CONTROL_MAKE, NULL);
}

static err_t
coordinator_make(struct course *course)
{
    struct crowd *crowd = course->crowd = mem_zalloc(sizeof *crowd);
    course->counters = mem_zalloc(CONTROL_AGENTS_MAX * sizeof(struct counters *));
    if (course->run.options->broker_agent > 0)
        course->broker_pid = 0; // not for us to watch
    if (make_all(course) != OK) {
        free_crowd(course);
        return ERR_IO;
    }
    for (uint32_t i = 0; i < crowd->count; i++)
        course->counters[i] = &crowd->members[i].counters;
    course->counter_sets = crowd->count;
    return OK;
}

static err_t
coordinator_begin(struct course *course)
{
    return ask(course, CONTROL_BEGIN, NULL);
}

static void
take_counters(struct member *member, const struct control_reply *reply)
{
    for (size_t i = 0; i < CONTROL_COUNTERS; i++) {
        char *counter = (char *)&member->counters + i * sizeof(uint64_t);
        atomic_store_explicit((_Atomic uint64_t *)(void *)counter, reply->counters[i],
                              memory_order_relaxed);
    }
}

static void
on_look(struct course *course, uint32_t number)
{
    const struct control_reply *reply = &course->crowd->reply;
    struct member *member = &course->crowd->members[number];
    take_counters(member, reply);
    atomic_store_explicit(&member->counters.failed, reply->failed != 0, memory_order_relaxed);
}

static void
coordinator_announce(struct course *course)
{
    const struct run *run = &course->run;
    struct control_request *request = &course->crowd->request;
    request->phase = (uint64_t)atomic_load_explicit(&run->phase, memory_order_relaxed);
    request->start_us = run->start_us;
    request->measure_from_us = run->measure_from_us;
    request->measure_to_us = run->measure_to_us;
    // The end is a request of its own. What is counted now is of the new phase.
    if (request->phase != PHASE_CLOSE && !course->broken && ask(course, CONTROL_PHASE, NULL) == OK)
        (void)ask(course, CONTROL_LOOK, on_look);
}

static void
coordinator_wait(struct course *course, uint64_t at_us)
{
    uint64_t now_us = clock_mono_us();
    while (now_us < at_us && !course->broken) {
        nap_until(min_u64(at_us, now_us + LOOK_US));
        (void)ask(course, CONTROL_LOOK, on_look);
        now_us = clock_mono_us();
    }
}

// Both are numbers alone.
static void
add_numbers(void *sum, const void *numbers, size_t bytes)
{
    uint64_t *to = sum;
    const uint64_t *from = numbers;
    for (size_t i = 0; i < bytes / sizeof(uint64_t); i++)
        to[i] += from[i];
}

static void
on_measure(struct course *course, uint32_t number)
{
    struct crowd *crowd = course->crowd;
    struct member *member = &crowd->members[number];
    struct sample sample;
    memcpy(&sample, crowd->reply.sample, sizeof sample);
    sample.at_us -= (uint64_t)member->clock.us;
    if (++member->samples <= SAMPLES_FIRST)
        member->first = sample;
    member->last = sample;
    add_numbers(&crowd->sum, &sample, sizeof sample);
}

// Each agent counts at a moment of its own; the mean of those is the sample's.
static void
coordinator_sample(struct course *course, struct sample *ret_sample)
{
    struct crowd *crowd = course->crowd;
    crowd->sum = (struct sample){0};
    if (!course->broken)
        (void)ask(course, CONTROL_MEASURE, on_measure);
    *ret_sample = crowd->sum;
    ret_sample->at_us /= crowd->count;
}

static void
coordinator_stop(struct course *course)
{
    struct crowd *crowd = course->crowd;
    struct result *result = course->result;
    if (course->broken || compare_clocks(course) != OK)
        return;
    result->agent_count = crowd->count;
    for (uint32_t i = 0; i < crowd->count; i++) {
        const struct member *member = &crowd->members[i];
        struct agent_result *agent = &result->agents[i];
        agent->clock_offset_us = member->clock.us;
        agent->clock_uncertainty_us = member->clock.uncertainty_us;
        agent->clock_drift_us = member->clock_now.us - member->clock.us;
    }
}

static double
cpu_percent(const struct sample *from, const struct sample *to)
{
    double cpu_us = (double)(to->own_user_us + to->own_system_us) -
                    (double)(from->own_user_us + from->own_system_us);
    double span_us = (double)to->at_us - (double)from->at_us;
    return span_us > 0 ? cpu_us * 100 / span_us : NAN;
}

static double
p99(const struct histogram *h)
{
    return h->count > 0 ? (double)histogram_quantile(h, 0.99) : NAN;
}

static void
on_end(struct course *course, uint32_t number)
{
    struct result *result = course->result;
    const struct control_reply *reply = &course->crowd->reply;
    const struct tally *tally = &reply->tally;
    struct member *member = &course->crowd->members[number];
    struct agent_result *agent = &result->agents[number];
    take_counters(member, reply);
    add_numbers(&result->tally, tally, sizeof *tally);
    for (uint32_t i = 0; i < CONTROL_HISTOGRAMS; i++)
        histogram_merge(control_histogram(result, i), &reply->histograms[i]);

    bool crosses = share_crosses(&course->run.shape) && course->crowd->count > 1;
    (void)snprintf(agent->address, sizeof agent->address, "%s", member->link.name);
    agent->published = counter_read(&member->counters.published);
    agent->delivered = counter_read(&member->counters.delivered);
    agent->acked = counter_read(&member->counters.acked);
    agent->stray = counter_read(&member->counters.stray) + tally->invented;
    agent->lost = counter_read(&member->counters.lost);
    double missed = (double)(tally->missing + counter_read(&member->counters.visit_missing));
    agent->missing = crosses ? NAN : missed;
    agent->duplicates = tally->duplicates + counter_read(&member->counters.visit_duplicates);
    agent->reordered = tally->reordered + counter_read(&member->counters.reordered);
    agent->own_cpu_percent = cpu_percent(&member->first, &member->last);
    bool waits = course->run.shape.parks; // messages wait for their subscriber's return
    agent->latency_p99_us = waits ? NAN : p99(&reply->histograms[0]);
    agent->lateness_p99_us = p99(&reply->histograms[CONTROL_HISTOGRAMS - 1]);
}

static void
coordinator_end(struct course *course)
{
    if (!course->broken && ask(course, CONTROL_END, on_end) == OK)
        course_add_up(course);
    free_crowd(course);
}

const struct hands coordinator_hands = {
    .make = coordinator_make,
    .begin = coordinator_begin,
    .announce = coordinator_announce,
    .wait = coordinator_wait,
    .sample = coordinator_sample,
    .stop = coordinator_stop,
    .end = coordinator_end,
    .lead_us = LEAD_US,
};
