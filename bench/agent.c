// agent.c - one of several processes that load a broker together.
#include "bench/agent.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/control.h"
#include "bench/crew.h"
#include "bench/link.h"

#define BUSY_WAIT_US      100000u      // for what a second coordinator says before it is told
#define START_AHEAD_US    60000000u    // a start farther away is a mistake
#define PAYLOAD_BYTES_MAX (4ull << 30) // each publisher has its payload ready

struct agent {
    int listen_fd;
    struct link link;
    struct control_request making; // holds the texts of `options`
    struct options options;
    struct course course;
    struct result *result;
    struct control_reply *reply; // too large for a stack
    bool greeted, made, begun, started;
    bool ended; // a run went to its end
    bool tried; // a run was made
};

static void say(const struct agent *agent, const char *format, ...) PRINTF_LIKE(2);
static err_t refuse(struct agent *agent, const char *format, ...) PRINTF_LIKE(2);

static void
say(const struct agent *agent, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)fprintf(stderr, "ternmq-bench: coordinator %s: ", agent->link.name);
    (void)vfprintf(stderr, format, args);
    (void)fprintf(stderr, "\n");
    va_end(args);
}

// The connection ends after a refusal.
static err_t
refuse(struct agent *agent, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(agent->reply->error, sizeof agent->reply->error, format, args);
    va_end(args);
    return ERR_PROTOCOL;
}

// ---- A run ------------------------------------------------------------------------------------

static void
tell_counters(struct agent *agent)
{
    for (size_t i = 0; i < CONTROL_COUNTERS; i++)
        agent->reply->counters[i] = course_total(&agent->course, i * sizeof(uint64_t));
    // Not a sum.
    uint64_t p99_us = 0;
    for (uint32_t i = 0; i < agent->course.counter_sets; i++)
        p99_us = max_u64(p99_us, counter_read(&agent->course.counters[i]->p99_us));
    agent->reply->counters[offsetof(struct counters, p99_us) / sizeof(uint64_t)] = p99_us;
}

// Closes whatever there is. The result is filled, and the reply has the last counters.
static void
end_run(struct agent *agent)
{
    if (!agent->made)
        return;
    course_set_phase(&agent->course, PHASE_CLOSE);
    agent->course.hands->stop(&agent->course);
    tell_counters(agent);
    agent->course.hands->end(&agent->course);
    options_free(&agent->options);
    control_request_free(&agent->making);
    agent->made = agent->begun = agent->started = false;
}

static err_t
on_hello(struct agent *agent, const struct control_request *request)
{
    agent->reply->protocol = CONTROL_PROTOCOL;
    agent->reply->layout = CONTROL_LAYOUT;
    if (request->protocol != CONTROL_PROTOCOL || request->layout != CONTROL_LAYOUT)
        return refuse(agent,
                      "this agent is another version: protocol %u, layout %llx, not %llu and %llx",
                      CONTROL_PROTOCOL, (unsigned long long)CONTROL_LAYOUT,
                      (unsigned long long)request->protocol, (unsigned long long)request->layout);
    agent->greeted = true;
    return OK;
}

static err_t
on_clock(struct agent *agent, const struct control_request *request)
{
    (void)request;
    agent->reply->now_us = clock_mono_us();
    return OK;
}

// The options as the command line would take them, those alone that may come from elsewhere.
static err_t
take_options(struct agent *agent, const struct control_request *request)
{
    static char name[] = "ternmq-bench";
    char *argv[CONTROL_WORDS_MAX + 2] = {name};
    for (uint32_t i = 0; i < request->word_count; i++) {
        if (!options_may_be_told(request->words[i]))
            return refuse(agent, "an agent does not take the option \"%.60s\"", request->words[i]);
        argv[i + 1] = request->words[i];
    }
    if (options_parse((int)request->word_count + 1, argv, &agent->options) != OK)
        return refuse(agent, "the options are not good; the agent's log says why");
    return OK;
}

static err_t
on_make(struct agent *agent, const struct control_request *request)
{
    if (agent->made)
        return refuse(agent, "there is a run already");
    if (request->agents == 0 || request->agents > CONTROL_AGENTS_MAX ||
        request->agent >= request->agents || request->run > UINT32_MAX)
        return refuse(agent, "numbers out of range");
    if (take_options(agent, request) != OK)
        return ERR_PROTOCOL;
    const struct options *options = &agent->options;
    course_init(&agent->course, options, agent->result);
    agent->course.hands = &crew_hands;
    agent->course.broker_pid = request->broker_pid;
    struct run *run = &agent->course.run;
    run->id = (uint32_t)request->run;
    run->clock_shift_us = request->clock_shift_us;
    run->workers = (uint32_t)(options->threads * request->agents);
    run->worker_first = (uint32_t)(options->threads * request->agent);
    if (run->shape.clients[ROLE_PUBLISHER] / request->agents * options->size > PAYLOAD_BYTES_MAX) {
        options_free(&agent->options);
        return refuse(agent, "an agent does not take that many publishers of such payloads");
    }
    if (agent->course.hands->make(&agent->course) != OK) {
        options_free(&agent->options);
        return refuse(agent, "%s", agent->result->failure);
    }
    agent->making = *request;
    agent->made = agent->tried = true;
    say(agent, "agent %llu of %llu, %s, %llu clients in all",
        (unsigned long long)request->agent + 1, (unsigned long long)request->agents,
        scenario_name(options->scenario), (unsigned long long)options->clients);
    return OK;
}

static err_t
on_begin(struct agent *agent, const struct control_request *request)
{
    (void)request;
    if (!agent->made || agent->begun)
        return refuse(agent, "not now");
    agent->begun = true;
    if (agent->course.hands->begin(&agent->course) != OK)
        return refuse(agent, "%s", agent->result->failure);
    return OK;
}

static err_t
on_phase(struct agent *agent, const struct control_request *request)
{
    struct run *run = &agent->course.run;
    bool starts = request->phase == PHASE_RUN;
    if (!agent->begun || request->phase <= PHASE_SETUP || request->phase >= PHASE_CLOSE ||
        (starts && agent->started))
        return refuse(agent, "not now");
    if (starts) {
        uint64_t start_us = request->start_us - run->clock_shift_us, now_us = clock_mono_us();
        if (start_us <= now_us)
            return refuse(agent, "the start came %llu ms too late",
                          (unsigned long long)(now_us - start_us) / 1000);
        if (start_us - now_us > START_AHEAD_US)
            return refuse(agent, "the start is too far away");
        run->start_us = start_us;
        run->measure_from_us = request->measure_from_us - run->clock_shift_us;
        run->measure_to_us = request->measure_to_us - run->clock_shift_us;
        agent->started = true;
    }
    course_set_phase(&agent->course, (enum phase)request->phase);
    return OK;
}

static err_t
on_look(struct agent *agent, const struct control_request *request)
{
    (void)request;
    if (!agent->made)
        return refuse(agent, "not now");
    tell_counters(agent);
    agent->reply->failed = course_any_failed(&agent->course);
    return OK;
}

static err_t
on_measure(struct agent *agent, const struct control_request *request)
{
    (void)request;
    if (!agent->made)
        return refuse(agent, "not now");
    struct sample sample = course_sample(&agent->course);
    memcpy(agent->reply->sample, &sample, sizeof sample);
    return OK;
}

static err_t
on_end(struct agent *agent, const struct control_request *request)
{
    (void)request;
    if (!agent->made)
        return refuse(agent, "not now");
    end_run(agent);
    struct control_reply *reply = agent->reply;
    reply->tally = agent->result->tally;
    for (uint32_t i = 0; i < CONTROL_HISTOGRAMS; i++)
        reply->histograms[i] = *control_histogram(agent->result, i);
    agent->ended = true;
    return OK;
}

static err_t (*const handlers[])(struct agent *, const struct control_request *) = {
    [CONTROL_HELLO] = on_hello, [CONTROL_CLOCK] = on_clock,     [CONTROL_MAKE] = on_make,
    [CONTROL_BEGIN] = on_begin, [CONTROL_PHASE] = on_phase,     [CONTROL_LOOK] = on_look,
    [CONTROL_END] = on_end,     [CONTROL_MEASURE] = on_measure,
};

// ---- A coordinator ----------------------------------------------------------------------------

static err_t
answer(struct agent *agent, struct slice line)
{
    struct control_request request;
    struct control_reply *reply = agent->reply;
    if (control_request_read(line, &request) != OK) {
        say(agent, "it sends what an agent does not understand");
        return ERR_MALFORMED;
    }
    must(request.type < ARRAY_LEN(handlers));
    memset(reply, 0, sizeof *reply);
    reply->type = request.type;
    bool early = !agent->greeted && request.type != CONTROL_HELLO;
    err_t err = early ? refuse(agent, "hello first") : handlers[request.type](agent, &request);
    if (err == OK && agent->tried)
        (void)snprintf(reply->failure, sizeof reply->failure, "%s", agent->result->failure);
    if (err != OK)
        say(agent, "refused: %s", reply->error);
    if (agent->making.json != request.json)
        control_request_free(&request);
    char *text = control_reply_text(reply);
    if (link_send(&agent->link, text) != OK)
        err = ERR_IO;
    free(text);
    return err;
}

// A second coordinator. Its words are read, or closing would take ours away from it.
static void
turn_away(struct agent *agent)
{
    struct link other;
    struct slice line;
    if (link_accept(agent->listen_fd, &other) != OK)
        return;
    memset(agent->reply, 0, sizeof *agent->reply);
    (void)snprintf(agent->reply->error, sizeof agent->reply->error, "busy with a run for %s",
                   agent->link.name);
    char *text = control_reply_text(agent->reply);
    bool told = link_receive(&other, clock_mono_us() + BUSY_WAIT_US, &line) == OK &&
                link_send(&other, text) == OK;
    free(text);
    say(agent, "%s came meanwhile%s", other.name, told ? " and was told to wait" : "");
    link_close(&other);
}

// The next line of the coordinator; ERR_NEED_MORE when it is silent.
static err_t
await_line(struct agent *agent, struct slice *ret_line)
{
    uint64_t until_us = clock_mono_us() + AGENT_SILENCE_S * 1000000ull;
    for (;;) {
        err_t err = link_receive(&agent->link, 0, ret_line);
        if (err != ERR_NEED_MORE || clock_mono_us() >= until_us)
            return err;
        struct pollfd ready[] = {
            {.fd = agent->link.fd, .events = POLLIN},
            {.fd = agent->listen_fd, .events = POLLIN},
        };
        // Ours first: if it has just gone, the other one is welcome.
        if (poll(ready, ARRAY_LEN(ready), 1000) > 0 && ready[0].revents == 0)
            turn_away(agent);
    }
}

static void
serve(struct agent *agent)
{
    struct slice line;
    err_t err;
    agent->greeted = agent->tried = agent->ended = false;
    while ((err = await_line(agent, &line)) == OK) {
        if (answer(agent, line) != OK)
            break;
    }
    if (err == ERR_NEED_MORE)
        say(agent, "silent for %u s", AGENT_SILENCE_S);
    if (err == ERR_MALFORMED)
        say(agent, "it sends lines without an end");
    if (agent->made)
        say(agent, "gone in the middle of its run, which ends");
    else if (agent->ended)
        say(agent, "the run has ended");
    end_run(agent);
    link_close(&agent->link);
}

static void
on_signal(int number)
{
    _exit(128 + number); // the kernel closes all connections; there is nothing to keep
}

err_t
agent_serve(const struct options *options)
{
    struct agent agent = {.link.fd = -1};
    const char *why = "";
    uint32_t port;
    // As the first process of a container this one would not end without a handler.
    struct sigaction action = {.sa_handler = on_signal};
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    if (link_listen(options->agent, &agent.listen_fd, &port, &why) != OK) {
        (void)fprintf(stderr, "ternmq-bench: --agent %s: %s\n", options->agent, why);
        return ERR_IO;
    }
    (void)fprintf(stderr, "ternmq-bench: agent on port %u\n", port);
    agent.reply = mem_zalloc(sizeof *agent.reply);
    agent.result = mem_zalloc(sizeof *agent.result);
    bool goes_on = true;
    while (goes_on) {
        struct pollfd ready = {.fd = agent.listen_fd, .events = POLLIN};
        (void)poll(&ready, 1, -1);
        if (link_accept(agent.listen_fd, &agent.link) != OK)
            continue;
        serve(&agent);
        goes_on = !options->agent_once || !agent.tried;
    }
    (void)close(agent.listen_fd);
    mem_free(agent.reply);
    mem_free(agent.result);
    return agent.ended ? OK : ERR_IO;
}
