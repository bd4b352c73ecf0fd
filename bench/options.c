// options.c - the command line and scenario files, from one table.
#include "bench/options.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "bench/message.h"
#include "bench/scenario.h"

#define FILE_BYTES_MAX  65536u // a scenario file is a page at most; this is no place for data
#define SCOPE_SHOWN_MAX 4      // scenarios named in --help beside an option
#define NAME_PREFIX     2u     // "--", which scenario files leave out

enum kind {
    KIND_TEXT,
    KIND_FLAG,
    KIND_NUMBER,
    KIND_SCENARIO,
};

// Whose an option is where a run has a coordinator and agents. Coordinators tell agents numbers and
// the scenario; whatever else may go over the network says so in its row.
enum reach {
    REACH_KIND, // as its kind goes: numbers to agents, texts and flags nowhere
    REACH_AGENTS,
    REACH_COORDINATOR, // kept by it
    REACH_AGENT,       // of the program that is an agent
};

struct option_row {
    const char *name, *value_name, *help;
    enum kind kind;
    enum reach reach;
    size_t offset;
    uint64_t initial, min, max;
    const char *initial_text;
    uint64_t only; // bits of the scenarios that know it; 0 = all
};

#define NUMBER(option, field_, initial_, min_, max_)        \
    .name = option, .value_name = "N", .kind = KIND_NUMBER, \
    .offset = offsetof(struct options, field_), .initial = initial_, .min = min_, .max = max_
#define TEXT(option, field_, initial_)                       \
    .name = option, .value_name = "TEXT", .kind = KIND_TEXT, \
    .offset = offsetof(struct options, field_), .initial_text = initial_
#define FLAG(option, field_) \
    .name = option, .kind = KIND_FLAG, .offset = offsetof(struct options, field_)
#define ONLY(scenario) (1ull << (scenario))
#define ALL_DURABLE                                                                         \
    (ONLY(SCENARIO_DURABLE_PAIRS) | ONLY(SCENARIO_OFFLINE_QUEUE) | ONLY(SCENARIO_RECOVER) | \
     ONLY(SCENARIO_FLEET))

// clang-format off
static const struct option_row option_rows[] = {
    {TEXT("--host", host, "127.0.0.1"), .reach = REACH_AGENTS,
     .help = "broker's name or address; of a cluster A,B:PORT,... for clients in turn"},
    {NUMBER("--port", port, 1883, 1, 65535), .help = "broker's TCP port"},
    {FLAG("--tls", tls), .reach = REACH_AGENTS, .help = "connections by TLS"},
    {FLAG("--websocket", websocket), .reach = REACH_AGENTS,
     .help = "MQTT in WebSockets; with --tls within TLS"},
    {TEXT("--cafile", cafile, ""),
     .help = "TLS: PEM file of whom to trust; without it, everybody, and nothing is checked"},
    {NUMBER("--tls-version", tls_version, 13, 12, 13), .help = "12 = TLS 1.2, 13 = TLS 1.3"},
    {FLAG("--resume", resume), .reach = REACH_AGENTS,
     .help = "TLS: later connections resume the session of an earlier one"},
    {TEXT("--bind", bind, ""), .help = "address of this machine that connections come from"},
    {TEXT("--username", user_name, ""), .reach = REACH_AGENTS, .help = "of all clients"},
    {TEXT("--password", password, ""), .reach = REACH_AGENTS,
     .help = "of all clients; other users of this machine see a command line, not a --file"},
    {FLAG("--refused", refused), .reach = REACH_AGENTS,
     .help = "each CONNECT is to be refused, by whatever code; one that is accepted is a fault",
     .only = ONLY(SCENARIO_CONNECT)},
    {TEXT("--file", file, ""),
     .reach = REACH_COORDINATOR,
     .help = "scenario file: lines \"option value\"; the command line overrides it"},
    {.name = "--scenario", .value_name = "NAME", .kind = KIND_SCENARIO,
     .offset = offsetof(struct options, scenario), .initial = SCENARIO_PAIRS,
     .help = "see below; durable-qos1 and durable-qos2 are durable-pairs with --qos (pairs)"},
    {NUMBER("--clients", clients, 50, 1, 1000000),
     .help = "pairs; publishers; subscribers of fan-out; connections; sessions; devices"},
    {NUMBER("--subscribers", subscribers, 10, 1, 1000000), .help = "who face --clients publishers",
     .only = ONLY(SCENARIO_SHARED) | ONLY(SCENARIO_RETAINED) | ONLY(SCENARIO_FLEET)},
    {NUMBER("--qos", qos, 0, 0, 2), .help = "of publishing and of subscribing"},
    {NUMBER("--size", size, 64, MESSAGE_BYTES_MIN, 16u << 20), .help = "payload in bytes"},
    {NUMBER("--version", version, 4, 4, 5), .help = "4 = MQTT 3.1.1, 5 = MQTT 5.0"},
    {NUMBER("--rate", rate, 0, 0, 100000000),
     .help = "open loop: messages published or, in connect and retained, connections made a "
             "second; 0 = closed loop"},
    {NUMBER("--window-per-sub", window_per_sub, 1000, 1, 10000000),
     .help = "closed loop: undelivered messages per subscriber"},
    {NUMBER("--window-total", window_total, 20000, 1, 100000000),
     .help = "closed loop: undelivered messages in all"},
    {NUMBER("--window-bytes", window_bytes, 64u << 20, 1, 1ull << 40),
     .help = "closed loop: bytes of undelivered payloads in all"},
    {NUMBER("--burst", burst, 0, 0, 10000000),
     .help = "closed loop: room that a publisher waits for; 0 = an eighth of its window"},
    {NUMBER("--inflight", inflight, 65535, 1, 65535),
     .help = "QoS 1 and 2: unacknowledged messages per publisher"},
    {NUMBER("--keep-alive", keep_alive_s, 0, 0, 65535),
     .help = "Keep Alive in seconds; no PINGRESP for so long is a fault; 0 = none"},
    {NUMBER("--topic-depth", depth, 0, 3, SCENARIO_DEPTH_MAX),
     .help = "levels of a topic, at least 3, or 4 with several topics (wildcard 6, else as few as "
             "that)"},
    {NUMBER("--extra-subscriptions", extra_subscriptions, 0, 0, 100000000),
     .help = "held by clients that hear nothing", .only = ~(ALL_DURABLE | ONLY(SCENARIO_IDLE) |
                                                            ONLY(SCENARIO_CONNECT))},
    {NUMBER("--wildcard-share", wildcard_percent, 50, 0, 100),
     .help = "percent of --extra-subscriptions that have + or #"},
    {NUMBER("--filters", filters, 8, 1, 100000),
     .help = "of each subscriber: exact, +, # and such that nothing matches, in turn",
     .only = ONLY(SCENARIO_WILDCARD)},
    {NUMBER("--topics", topics, 100000, 1, 1000000), .help = "in all, used in turn",
     .only = ONLY(SCENARIO_MANY_TOPICS)},
    {FLAG("--exact", exact), .reach = REACH_AGENTS,
     .help = "subscribe to each topic, not to a wildcard",
     .only = ONLY(SCENARIO_MANY_TOPICS)},
    {NUMBER("--retained", retained, 10000, 1, 1000000), .help = "retained messages in all",
     .only = ONLY(SCENARIO_RETAINED)},
    {NUMBER("--churn-rate", churn_rate, 100, 1, 1000000),
     .help = "clients a second that come, subscribe, unsubscribe and leave",
     .only = ONLY(SCENARIO_CHURN)},
    {FLAG("--shared", shared), .reach = REACH_AGENTS,
     .help = "backends share the telemetry; else each gets all of it",
     .only = ONLY(SCENARIO_FLEET)},
    {NUMBER("--command-rate", command_rate, 100, 0, 10000000),
     .help = "messages a second, each to a device at random", .only = ONLY(SCENARIO_FLEET)},
    {NUMBER("--drop-rate", drop_rate, 10, 0, 1000000),
     .help = "devices a second that leave and return at once, by turns with DISCONNECT and without",
     .only = ONLY(SCENARIO_FLEET)},
    {NUMBER("--storm-at", storm_at_s, 0, 1, 86400),
     .help = "seconds after the first message when many devices drop and return at once",
     .only = ONLY(SCENARIO_FLEET)},
    {NUMBER("--storm-share", storm_percent, 50, 1, 100), .help = "percent of the devices",
     .only = ONLY(SCENARIO_FLEET)},
    {NUMBER("--warmup", warmup_s, 1, 0, 3600), .help = "seconds before measuring"},
    {NUMBER("--seconds", seconds, 5, 1, 86400), .help = "seconds measured"},
    {NUMBER("--drain", drain_s, 10, 0, 3600), .help = "longest wait at the end, in seconds"},
    {NUMBER("--threads", threads, 1, 1, 64), .help = "of the load generator"},
    {NUMBER("--broker-pid", broker_pid, 0, 1, INT32_MAX),
     .reach = REACH_COORDINATOR,
     .help = "measure CPU time, memory and context switches of this process"},
    {NUMBER("--session-expiry", session_expiry_s, UINT32_MAX, 1, UINT32_MAX),
     .help = "durable scenarios, MQTT 5.0: Session Expiry Interval in seconds"},
    {NUMBER("--messages", messages, 1000, 1, 1000000000),
     .help = "messages for each subscriber", .only = ONLY(SCENARIO_OFFLINE_QUEUE)},
    {NUMBER("--sample", sample, 100, 1, 1000000), .help = "sessions looked at afterwards",
     .only = ONLY(SCENARIO_RECOVER)},
    {NUMBER("--kill-at", kill_at_s, 0, 1, 86400),
     .help = "kill the broker N seconds after the first message",
     .only = ONLY(SCENARIO_DURABLE_PAIRS) | ONLY(SCENARIO_OFFLINE_QUEUE)},
    {TEXT("--restart-command", restart_command, ""),
     .help = "for /bin/sh: starts the broker again; with it, recover kills the broker",
     .only = ONLY(SCENARIO_DURABLE_PAIRS) | ONLY(SCENARIO_OFFLINE_QUEUE) | ONLY(SCENARIO_RECOVER)},
    {TEXT("--agent", agent, ""), .reach = REACH_AGENT,
     .help = "[ADDRESS:]PORT: wait there for coordinators, and run what they tell; without an "
             "address on 127.0.0.1. Who reaches the port can load any broker from here"},
    {FLAG("--agent-once", agent_once), .reach = REACH_AGENT, .help = "end after one run"},
    {TEXT("--agents", agents, ""), .reach = REACH_COORDINATOR,
     .help = "HOST:PORT,HOST:PORT...: coordinate a run whose clients these agents share"},
    {NUMBER("--agents-wait", agents_wait_s, 10, 0, 3600), .reach = REACH_COORDINATOR,
     .help = "seconds in which all agents have to be there"},
    {NUMBER("--broker-agent", broker_agent, 0, 1, 256), .reach = REACH_COORDINATOR,
     .help = "--broker-pid is a process beside the N-th agent"},
    {TEXT("--label", label, ""), .reach = REACH_COORDINATOR, .help = "goes into the report"},
    {FLAG("--json", json), .reach = REACH_COORDINATOR, .help = "report as one JSON object"},
    {FLAG("--tolerate", tolerate), .reach = REACH_COORDINATOR,
     .help = "exit 0 in spite of loss, disorder or duplicates"},
    {FLAG("--help", help), .reach = REACH_COORDINATOR, .help = "this text"},
};
// clang-format on

static const struct {
    const char *name, *help;
} scenario_rows[SCENARIOS] = {
    [SCENARIO_PAIRS] = {"pairs", "publishers, each with a subscriber of its own"},
    [SCENARIO_FAN_IN] = {"fan-in", "publishers, and one subscriber to all of them"},
    [SCENARIO_FAN_OUT] = {"fan-out", "one publisher, and subscribers"},
    [SCENARIO_IDLE] = {"idle", "connections that are silent but for --keep-alive"},
    [SCENARIO_CONNECT] = {"connect", "connections that come and go"},
    [SCENARIO_SHARED] = {"shared", "publishers, and --subscribers in one $share group"},
    [SCENARIO_WILDCARD] = {"wildcard", "pairs with many filters, exact, with + and with #"},
    [SCENARIO_MANY_TOPICS] = {"many-topics", "pairs that use many topics in turn"},
    [SCENARIO_RETAINED] = {"retained", "subscribers come for retained messages, again and again"},
    [SCENARIO_CHURN] = {"churn", "pairs, while others come, subscribe, unsubscribe and go"},
    [SCENARIO_DURABLE_PAIRS] = {"durable-pairs", "pairs with sessions that outlive connections"},
    [SCENARIO_OFFLINE_QUEUE] = {"offline-queue", "messages wait for subscribers that are away"},
    [SCENARIO_RECOVER] = {"recover", "sessions, and what is left of them after a restart"},
    [SCENARIO_FLEET] = {"fleet", "devices with telemetry, commands, wills and a storm"},
};

const char *
scenario_name(uint64_t scenario)
{
    must(scenario < SCENARIOS);
    return scenario_rows[scenario].name;
}

bool
scenario_is_durable(uint64_t scenario)
{
    return (ONLY(scenario) & ALL_DURABLE) != 0;
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
    for (uint64_t i = 0; i < SCENARIOS; i++) {
        if (strcmp(text, scenario_rows[i].name) == 0) {
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

static bool
is_initial(const struct option_row *row, const struct options *options)
{
    const void *field = (const char *)options + row->offset;
    if (row->kind == KIND_FLAG)
        return !*(const bool *)field;
    if (row->kind == KIND_TEXT)
        return strcmp(*(const char *const *)field, row->initial_text) == 0;
    return *(const uint64_t *)field == row->initial;
}

// An option that the scenario does not know would be ignored in silence.
static err_t
check_scope(const struct options *options)
{
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        bool fits = row->only == 0 || (row->only & ONLY(options->scenario)) != 0;
        if (fits || is_initial(row, options))
            continue;
        (void)fprintf(stderr, "ternmq-bench: %s is not for the scenario %s, only for", row->name,
                      scenario_name(options->scenario));
        const char *comma = "";
        for (uint64_t s = 0; s < SCENARIOS; s++) {
            if ((row->only & ONLY(s)) == 0)
                continue;
            (void)fprintf(stderr, "%s %s", comma, scenario_name(s));
            comma = ",";
        }
        (void)fprintf(stderr, "\n");
        return ERR_CONFIG;
    }
    return OK;
}

static enum reach
reach(const struct option_row *row)
{
    bool number = row->kind == KIND_NUMBER || row->kind == KIND_SCENARIO;
    return row->reach == REACH_KIND && number ? REACH_AGENTS : row->reach;
}

// Which options make no sense, or are not allowed, where a run is spread over processes.
static err_t
check_reach(const struct options *options)
{
    const struct source none = {0};
    bool agent = options->agent[0] != '\0', coordinator = options->agents[0] != '\0';
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        bool agents = row->offset == offsetof(struct options, agents) ||
                      row->offset == offsetof(struct options, agents_wait_s) ||
                      row->offset == offsetof(struct options, broker_agent);
        const char *why = NULL;
        if (agent && reach(row) != REACH_AGENT)
            why = "is the coordinator's to say, not the agent's";
        else if (!agent && reach(row) == REACH_AGENT)
            why = "is for agents: --agent";
        else if (coordinator && reach(row) == REACH_KIND)
            why = "is not possible with --agents";
        else if (!coordinator && agents)
            why = "needs --agents";
        if (why != NULL && !is_initial(row, options)) {
            complain(&none, "%s %s", row->name, why);
            return ERR_CONFIG;
        }
    }
    return OK;
}

// What no single option can be blamed for.
static err_t
check_together(const struct options *o)
{
    bool durable = scenario_is_durable(o->scenario), restart = o->restart_command[0] != '\0';
    bool fleet = o->scenario == SCENARIO_FLEET;
    const struct {
        bool wrong;
        const char *why;
    } checks[] = {
        {durable && o->qos == 0, "this scenario takes --qos 1 or 2"},
        {restart && o->broker_pid == 0, "--restart-command needs --broker-pid"},
        {restart && (o->tls || o->websocket),
         "--restart-command does not go with --tls and --websocket"},
        {!o->tls && (o->resume || o->cafile[0] != '\0' || o->tls_version != 13),
         "--resume, --cafile and --tls-version need --tls"},
        {o->password[0] != '\0' && o->user_name[0] == '\0', "--password needs --username"},
        {o->kill_at_s > 0 && !restart, "--kill-at needs --restart-command"},
        {restart && o->kill_at_s == 0 && o->scenario != SCENARIO_RECOVER,
         "--restart-command needs --kill-at here"},
        {o->broker_agent > 0 && o->broker_pid == 0, "--broker-agent needs --broker-pid"},
        {fleet && o->rate == 0, "fleet takes --rate: telemetry a second"},
        {o->storm_at_s > 0 && o->storm_at_s >= o->warmup_s + o->seconds,
         "--storm-at is not before the end"},
        {fleet && !o->shared && o->clients * o->subscribers > SCENARIO_STREAMS_MAX,
         "that many --clients times --subscribers do not fit; --shared does"},
        {o->scenario == SCENARIO_SHARED && o->clients * o->subscribers > SCENARIO_STREAMS_MAX,
         "that many --clients times --subscribers do not fit"},
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
        err = check_reach(&options);
    if (err == OK && !options.help)
        err = check_scope(&options);
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

// "shared, fleet: " of an option that only some scenarios know.
static void
print_scope(const struct option_row *row)
{
    const char *before = "";
    if (__builtin_popcountll(row->only) > SCOPE_SHOWN_MAX)
        return;
    for (uint64_t s = 0; s < SCENARIOS; s++) {
        if ((row->only & ONLY(s)) == 0)
            continue;
        (void)printf("%s%s", before, scenario_name(s));
        before = ", ";
    }
    (void)printf("%s", *before != '\0' ? ": " : "");
}

// ---- For agents -------------------------------------------------------------------------------

err_t
options_tell(const struct options *options, void (*fn)(void *arg, const char *word), void *arg)
{
    const struct source none = {0};
    for (size_t i = 0; i < ARRAY_LEN(option_rows); i++) {
        const struct option_row *row = &option_rows[i];
        const void *field = (const char *)options + row->offset;
        char word[OPTIONS_WORD_MAX];
        int len = 0;
        if (reach(row) != REACH_AGENTS || is_initial(row, options))
            continue;
        if (row->kind == KIND_TEXT)
            len = snprintf(word, sizeof word, "%s=%s", row->name, *(const char *const *)field);
        else if (row->kind == KIND_SCENARIO)
            len = snprintf(word, sizeof word, "%s=%s", row->name,
                           scenario_name(*(const uint64_t *)field));
        else if (row->kind == KIND_NUMBER)
            len = snprintf(word, sizeof word, "%s=%llu", row->name,
                           (unsigned long long)*(const uint64_t *)field);
        else
            len = snprintf(word, sizeof word, "%s", row->name);
        if (len < 0 || (size_t)len >= sizeof word) {
            complain(&none, "%s is too long for --agents", row->name);
            return ERR_CONFIG;
        }
        fn(arg, word);
    }
    return OK;
}

bool
options_may_be_told(const char *word)
{
    const struct option_row *row = find_row(word, strcspn(word, "="), 0);
    return row != NULL && reach(row) == REACH_AGENTS;
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
        (void)printf("  %-25s  ", left);
        print_scope(row);
        (void)printf("%s", row->help);
        if (row->kind == KIND_NUMBER && row->initial >= row->min)
            (void)printf(" (%llu)", (unsigned long long)row->initial);
        else if (row->kind == KIND_TEXT && row->initial_text[0] != '\0')
            (void)printf(" (%s)", row->initial_text);
        (void)printf("\n");
    }
    (void)printf("\nScenarios:\n");
    for (uint64_t s = 0; s < SCENARIOS; s++)
        (void)printf("  %-14s %s\n", scenario_rows[s].name, scenario_rows[s].help);
    (void)printf("\nExit status: 0 good; 1 messages or connections were lost, or messages came in\n"
                 "disorder or, where that is never right, twice, or wills that were not due, or a\n"
                 "session was not found again, or no PINGRESP came; 2 the run was not possible.\n"
                 "QoS 0 may lose.\n");
}
