// options.c - the command line, from one table.
#include "bench/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/message.h"

enum kind {
    KIND_TEXT,
    KIND_FLAG,
    KIND_NUMBER,
    KIND_SCENARIO,
};

struct option_row {
    const char *name, *value_name, *help;
    enum kind kind;
    size_t offset;
    uint64_t initial, min, max;
    const char *initial_text;
};

#define NUMBER(option, field_, initial_, min_, max_)        \
    .name = option, .value_name = "N", .kind = KIND_NUMBER, \
    .offset = offsetof(struct options, field_), .initial = initial_, .min = min_, .max = max_
#define TEXT(option, field_, initial_)                       \
    .name = option, .value_name = "TEXT", .kind = KIND_TEXT, \
    .offset = offsetof(struct options, field_), .initial_text = initial_
#define FLAG(option, field_) \
    .name = option, .kind = KIND_FLAG, .offset = offsetof(struct options, field_)

// clang-format off
static const struct option_row option_rows[] = {
    {TEXT("--host", host, "127.0.0.1"), .help = "broker's name or address"},
    {NUMBER("--port", port, 1883, 1, 65535), .help = "broker's TCP port"},
    {.name = "--scenario", .value_name = "NAME", .kind = KIND_SCENARIO,
     .offset = offsetof(struct options, scenario), .initial = SCENARIO_PAIRS,
     .help = "pairs, fan-in, fan-out, idle, connect, durable-pairs (durable-qos1, durable-qos2: "
             "the same with --qos), offline-queue or recover (pairs)"},
    {NUMBER("--clients", clients, 50, 1, 1000000),
     .help = "pairs; publishers of fan-in; subscribers of fan-out; connections; sessions"},
    {NUMBER("--qos", qos, 0, 0, 2), .help = "of publishing and of subscribing"},
    {NUMBER("--size", size, 64, MESSAGE_BYTES_MIN, 16u << 20), .help = "payload in bytes"},
    {NUMBER("--version", version, 4, 4, 5), .help = "4 = MQTT 3.1.1, 5 = MQTT 5.0"},
    {NUMBER("--rate", rate, 0, 0, 100000000),
     .help = "open loop: messages published or connections made a second; 0 = closed loop"},
    {NUMBER("--window-per-sub", window_per_sub, 1000, 1, 10000000),
     .help = "closed loop: undelivered messages per subscriber"},
    {NUMBER("--window-total", window_total, 20000, 1, 100000000),
     .help = "closed loop: undelivered messages in all"},
    {NUMBER("--burst", burst, 0, 0, 10000000),
     .help = "closed loop: room that a publisher waits for; 0 = an eighth of its window"},
    {NUMBER("--inflight", inflight, 65535, 1, 65535),
     .help = "QoS 1 and 2: unacknowledged messages per publisher"},
    {NUMBER("--warmup", warmup_s, 1, 0, 3600), .help = "seconds before measuring"},
    {NUMBER("--seconds", seconds, 5, 1, 86400), .help = "seconds measured"},
    {NUMBER("--drain", drain_s, 10, 0, 3600), .help = "longest wait at the end, in seconds"},
    {NUMBER("--threads", threads, 1, 1, 64), .help = "of the load generator"},
    {NUMBER("--broker-pid", broker_pid, 0, 1, INT32_MAX),
     .help = "measure CPU time, memory and context switches of this process"},
    {NUMBER("--session-expiry", session_expiry_s, UINT32_MAX, 1, UINT32_MAX),
     .help = "durable scenarios, MQTT 5.0: Session Expiry Interval in seconds"},
    {NUMBER("--messages", messages, 1000, 1, 1000000000),
     .help = "offline-queue: messages for each subscriber"},
    {NUMBER("--sample", sample, 100, 1, 1000000), .help = "recover: sessions looked at afterwards"},
    {NUMBER("--kill-at", kill_at_s, 0, 1, 86400),
     .help = "durable-pairs, offline-queue: kill the broker N seconds after the first message"},
    {TEXT("--restart-command", restart_command, ""),
     .help = "for /bin/sh: starts the broker again; with it, recover kills the broker"},
    {TEXT("--label", label, ""), .help = "goes into the report"},
    {FLAG("--json", json), .help = "report as one JSON object"},
    {FLAG("--tolerate", tolerate), .help = "exit 0 in spite of loss, disorder or duplicates"},
    {FLAG("--help", help), .help = "this text"},
};
// clang-format on

static const char *const scenario_names[] = {
    [SCENARIO_PAIRS] = "pairs",
    [SCENARIO_FAN_IN] = "fan-in",
    [SCENARIO_FAN_OUT] = "fan-out",
    [SCENARIO_IDLE] = "idle",
    [SCENARIO_CONNECT] = "connect",
    [SCENARIO_DURABLE_PAIRS] = "durable-pairs",
    [SCENARIO_OFFLINE_QUEUE] = "offline-queue",
    [SCENARIO_RECOVER] = "recover",
};

const char *
scenario_name(uint64_t scenario)
{
    must(scenario < ARRAY_LEN(scenario_names));
    return scenario_names[scenario];
}

bool
scenario_is_durable(uint64_t scenario)
{
    return scenario >= SCENARIO_DURABLE_PAIRS;
}

static err_t
parse_number(const struct option_row *row, const char *text, uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < row->min ||
        number > row->max) {
        (void)fprintf(stderr, "ternmq-bench: %s takes a number from %llu to %llu, not \"%s\"\n",
                      row->name, (unsigned long long)row->min, (unsigned long long)row->max, text);
        return ERR_CONFIG;
    }
    *ret_number = number;
    return OK;
}

static err_t
parse_scenario(const char *text, struct options *options)
{
    for (uint64_t i = 0; i < ARRAY_LEN(scenario_names); i++) {
        if (strcmp(text, scenario_names[i]) == 0) {
            options->scenario = i;
            return OK;
        }
    }
    // durable-pairs and its QoS in one word
    for (uint64_t qos = 1; qos <= 2; qos++) {
        if (strcmp(text, qos == 1 ? "durable-qos1" : "durable-qos2") == 0) {
            options->scenario = SCENARIO_DURABLE_PAIRS;
            options->qos = qos;
            return OK;
        }
    }
    (void)fprintf(stderr, "ternmq-bench: there is no scenario \"%s\"\n", text);
    return ERR_CONFIG;
}

static void
set_initial(struct options *options)
{
    *options = (struct options){0};
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        void *field = (char *)options + row->offset;
        if (row->kind == KIND_TEXT)
            *(const char **)field = row->initial_text;
        else if (row->kind != KIND_FLAG)
            *(uint64_t *)field = row->initial;
    }
}

static const struct option_row *
find_row(const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        if (strlen(option_rows[i].name) == len && memcmp(option_rows[i].name, name, len) == 0)
            return &option_rows[i];
    }
    return NULL;
}

static err_t
set_option(const struct option_row *row, const char *value, struct options *options)
{
    void *field = (char *)options + row->offset;
    switch (row->kind) {
    case KIND_TEXT:
        *(const char **)field = value;
        return OK;
    case KIND_FLAG:
        *(bool *)field = true;
        return OK;
    case KIND_NUMBER:
        return parse_number(row, value, field);
    case KIND_SCENARIO:
        return parse_scenario(value, options);
    }
    must(false);
    return ERR_CONFIG;
}

// What no single option can be blamed for.
static err_t
check_together(const struct options *o)
{
    bool durable = scenario_is_durable(o->scenario), restart = o->restart_command[0] != '\0';
    const struct {
        bool wrong;
        const char *why;
    } checks[] = {
        {durable && o->qos == 0, "this scenario takes --qos 1 or 2"},
        {!durable && restart, "--restart-command is for the durable scenarios"},
        {restart && o->broker_pid == 0, "--restart-command needs --broker-pid"},
        {o->kill_at_s > 0 && !restart, "--kill-at needs --restart-command"},
        {o->kill_at_s > 0 && o->scenario == SCENARIO_RECOVER, "recover kills without --kill-at"},
        {restart && o->kill_at_s == 0 && o->scenario != SCENARIO_RECOVER,
         "--restart-command needs --kill-at here"},
    };
    for (size_t i = 0; i < ARRAY_LEN(checks); i++) {
        if (checks[i].wrong) {
            (void)fprintf(stderr, "ternmq-bench: %s\n", checks[i].why);
            return ERR_CONFIG;
        }
    }
    return OK;
}

err_t
options_parse(int argc, char **argv, struct options *ret_options)
{
    struct options options;
    set_initial(&options);
    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const struct option_row *row = find_row(argv[i], len);
        if (row == NULL || (row->kind == KIND_FLAG && equals != NULL)) {
            (void)fprintf(stderr, "ternmq-bench: unknown option \"%s\", see --help\n", argv[i]);
            return ERR_CONFIG;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (row->kind != KIND_FLAG && value == NULL)
            value = ++i < argc ? argv[i] : NULL;
        if (row->kind != KIND_FLAG && value == NULL) {
            (void)fprintf(stderr, "ternmq-bench: %s needs a value\n", row->name);
            return ERR_CONFIG;
        }
        err_t err = set_option(row, value, &options);
        if (err != OK)
            return err;
    }
    if (!options.help && check_together(&options) != OK)
        return ERR_CONFIG;
    *ret_options = options;
    return OK;
}

void
options_help(void)
{
    (void)printf("usage: ternmq-bench [options]\n\n");
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        char left[40];
        (void)snprintf(left, sizeof left, "%s %s", row->name,
                       row->value_name ? row->value_name : "");
        (void)printf("  %-20s  %s", left, row->help);
        if (row->kind == KIND_NUMBER && row->initial >= row->min)
            (void)printf(" (%llu)", (unsigned long long)row->initial);
        else if (row->kind == KIND_TEXT && row->initial_text[0] != '\0')
            (void)printf(" (%s)", row->initial_text);
        (void)printf("\n");
    }
    (void)printf("\nExit status: 0 good; 1 messages or connections were lost, or messages came in\n"
                 "disorder or (QoS 2) twice, or a session was not found again; 2 the run\n"
                 "was not possible. QoS 0 may lose.\n");
}
