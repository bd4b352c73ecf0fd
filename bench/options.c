// options.c - the command line and scenario files, from one table.
#include "bench/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "bench/message.h"

#define FILE_BYTES_MAX 65536u // a scenario file is a page at most; this is no place for data
#define NAME_PREFIX    2u     // "--", which scenario files leave out

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
    {TEXT("--file", file, ""),
     .help = "scenario file: lines \"option value\"; the command line overrides it"},
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

// Where a value comes from, for errors.
struct source {
    const char *file; // NULL: the command line
    uint32_t line;
};

static void complain(const struct source *source, const char *format, ...) PRINTF_LIKE(2);

static void
complain(const struct source *source, const char *format, ...)
{
    va_list args;
    (void)fprintf(stderr, "ternmq-bench: ");
    if (source->file != NULL)
        (void)fprintf(stderr, "%s:%u: ", source->file, source->line);
    va_start(args, format);
    (void)vfprintf(stderr, format, args);
    va_end(args);
    (void)fprintf(stderr, "\n");
}

// The option's name as it is written there.
static const char *
name_in(const struct source *source, const struct option_row *row)
{
    return source->file != NULL ? row->name + NAME_PREFIX : row->name;
}

static err_t
parse_number(const struct source *source, const struct option_row *row, const char *text,
             uint64_t *ret_number)
{
    char *end;
    errno = 0;
    unsigned long long number = strtoull(text, &end, 10);
    if (errno != 0 || end == text || *end != '\0' || *text == '-' || number < row->min ||
        number > row->max) {
        complain(source, "%s takes a number from %llu to %llu, not \"%s\"", name_in(source, row),
                 (unsigned long long)row->min, (unsigned long long)row->max, text);
        return ERR_CONFIG;
    }
    *ret_number = number;
    return OK;
}

static err_t
parse_scenario(const struct source *source, const char *text, struct options *options)
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
    complain(source, "there is no scenario \"%s\"", text);
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

// prefix: how much of the option's name is left out.
static const struct option_row *
find_row(const char *name, size_t len, size_t prefix)
{
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const char *row_name = option_rows[i].name + prefix;
        if (strlen(row_name) == len && memcmp(row_name, name, len) == 0)
            return &option_rows[i];
    }
    return NULL;
}

static err_t
set_option(const struct source *source, const struct option_row *row, const char *value,
           struct options *options)
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
        return parse_number(source, row, value, field);
    case KIND_SCENARIO:
        return parse_scenario(source, value, options);
    }
    must(false);
    return ERR_CONFIG;
}

// ---- Scenario files ---------------------------------------------------------------------------

// The whole file, NUL-terminated; NULL after an error.
static char *
read_whole(const char *path)
{
    const struct source none = {0};
    FILE *file = fopen(path, "re");
    if (file == NULL) {
        complain(&none, "%s: %s", path, strerrordesc_np(errno));
        return NULL;
    }
    char *text = mem_alloc(FILE_BYTES_MAX + 1);
    size_t len = fread(text, 1, FILE_BYTES_MAX + 1, file);
    bool bad = ferror(file) != 0;
    (void)fclose(file);
    if (!bad && len <= FILE_BYTES_MAX && memchr(text, '\0', len) == NULL) {
        text[len] = '\0';
        return text;
    }
    complain(&none, "%s is no scenario file: expected at most %u bytes of text", path,
             FILE_BYTES_MAX);
    mem_free(text);
    return NULL;
}

// Cuts blanks off both ends.
static char *
trim(char *text)
{
    static const char blanks[] = " \t\r";
    text += strspn(text, blanks);
    size_t len = strlen(text);
    while (len > 0 && strchr(blanks, text[len - 1]) != NULL)
        len--;
    text[len] = '\0';
    return text;
}

static err_t
read_line(const struct source *source, char *line, struct options *options)
{
    line = trim(line);
    if (*line == '\0' || *line == '#')
        return OK;
    size_t len = strcspn(line, " \t");
    const struct option_row *row = find_row(line, len, NAME_PREFIX);
    const char *value = trim(line + len);
    if (row == NULL || row->offset == offsetof(struct options, file) ||
        row->offset == offsetof(struct options, help)) {
        complain(source,
                 "unknown option \"%.*s\", expected a name that --help shows, without \"--\"",
                 (int)len, line);
        return ERR_CONFIG;
    }
    if (row->kind == KIND_FLAG && *value != '\0') {
        complain(source, "%s takes no value, but there is \"%s\"", name_in(source, row), value);
        return ERR_CONFIG;
    }
    if (row->kind != KIND_FLAG && *value == '\0') {
        complain(source, "%s needs a value: expected \"%s %s\"", name_in(source, row),
                 name_in(source, row), row->value_name);
        return ERR_CONFIG;
    }
    return set_option(source, row, value, options);
}

static err_t
read_file(const char *path, struct options *options)
{
    char *rest = options->file_text = read_whole(path);
    struct source source = {.file = path};
    if (rest == NULL)
        return ERR_CONFIG;
    for (char *line; (line = strsep(&rest, "\n")) != NULL;) {
        source.line++;
        if (read_line(&source, line, options) != OK)
            return ERR_CONFIG;
    }
    return OK;
}

// ---- Everything together ----------------------------------------------------------------------

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

// Reads options of the command line; with only_file no other than --file.
static err_t
read_arguments(int argc, char **argv, bool only_file, struct options *options)
{
    const struct source source = {0};
    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        size_t len = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
        const struct option_row *row = find_row(argv[i], len, 0);
        if (row == NULL || (row->kind == KIND_FLAG && equals != NULL)) {
            complain(&source, "unknown option \"%s\", see --help", argv[i]);
            return ERR_CONFIG;
        }
        const char *value = equals ? equals + 1 : NULL;
        if (row->kind != KIND_FLAG && value == NULL)
            value = ++i < argc ? argv[i] : NULL;
        if (row->kind != KIND_FLAG && value == NULL) {
            complain(&source, "%s needs a value", row->name);
            return ERR_CONFIG;
        }
        bool is_file = row->offset == offsetof(struct options, file);
        if ((is_file || !only_file) && set_option(&source, row, value, options) != OK)
            return ERR_CONFIG;
    }
    return OK;
}

err_t
options_parse(int argc, char **argv, struct options *ret_options)
{
    struct options options;
    set_initial(&options);
    // The file first, wherever it is named: what the command line says overrides it.
    err_t err = read_arguments(argc, argv, true, &options);
    if (err == OK && options.file[0] != '\0')
        err = read_file(options.file, &options);
    if (err == OK)
        err = read_arguments(argc, argv, false, &options);
    if (err == OK && !options.help)
        err = check_together(&options);
    if (err != OK)
        options_free(&options);
    else
        *ret_options = options;
    return err;
}

void
options_free(struct options *options)
{
    mem_free(options->file_text);
    *options = (struct options){0};
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
