// scenario.c - who publishes to whom.
#include "bench/scenario.h"

#include <stdarg.h>
#include <stdio.h>

#define CHURN_FILTERS 3u // exact, with + and with #
#define COMERS_MIN    64u
// A client that comes and goes is back within a tenth of a second, or the broker is slower than
// what was asked for.
#define COMERS_PER_RATE 10u

// ---- Shapes -----------------------------------------------------------------------------------

static void
shape_recover(struct shape *shape, const struct options *options)
{
    // The sample is spread over all sessions.
    uint32_t n = shape->clients[ROLE_SUBSCRIBER];
    shape->clients[ROLE_PUBLISHER] = shape->streams = (uint32_t)min_u64(n, options->sample);
    shape->stride = n / shape->clients[ROLE_PUBLISHER];
    shape->parks = true;
    shape->limit = 1;
}

static void
shape_retained(struct shape *shape, const struct options *options)
{
    uint32_t publishers = shape->clients[ROLE_PUBLISHER];
    shape->clients[ROLE_SUBSCRIBER] = shape->streams = 0;
    shape->clients[ROLE_COMER] = (uint32_t)options->subscribers;
    shape->topics = (uint32_t)max_u64(options->retained / publishers, 1);
    shape->limit = shape->topics;
    shape->retains = true;
}

static void
shape_fleet(struct shape *shape, const struct options *options)
{
    uint32_t devices = shape->clients[ROLE_PUBLISHER];
    shape->clients[ROLE_SUBSCRIBER] = (uint32_t)options->subscribers;
    shape->clients[ROLE_COMMANDER] = options->command_rate > 0 ? 1 : 0;
    shape->clients[ROLE_WATCHER] = 1;
    shape->shared = options->shared;
    shape->streams = shape->shared ? devices : devices * shape->clients[ROLE_SUBSCRIBER];
    shape->all_streams = shape->streams + 2 * devices; // commands, wills
}

// What is not pairs.
static void
shape_special(struct shape *shape, const struct options *options)
{
    uint32_t n = (uint32_t)options->clients;
    shape->stride = 0;
    switch (shape->scenario) {
    case SCENARIO_FAN_IN:
        shape->clients[ROLE_SUBSCRIBER] = 1;
        return;
    case SCENARIO_FAN_OUT:
        shape->clients[ROLE_PUBLISHER] = 1;
        return;
    case SCENARIO_SHARED:
        shape->clients[ROLE_SUBSCRIBER] = (uint32_t)options->subscribers;
        shape->shared = true;
        return;
    case SCENARIO_RETAINED:
        shape_retained(shape, options);
        return;
    case SCENARIO_FLEET:
        shape_fleet(shape, options);
        return;
    default:
        must(shape->scenario == SCENARIO_IDLE || shape->scenario == SCENARIO_CONNECT);
        shape->clients[ROLE_PUBLISHER] = shape->clients[ROLE_SUBSCRIBER] = shape->streams = 0;
        shape->clients[shape->scenario == SCENARIO_IDLE ? ROLE_SILENT : ROLE_COMER] = n;
    }
}

static void
shape_pairs(struct shape *shape, const struct options *options)
{
    uint32_t n = (uint32_t)options->clients;
    switch (shape->scenario) {
    case SCENARIO_OFFLINE_QUEUE:
        shape->parks = true;
        shape->limit = options->messages;
        return;
    case SCENARIO_RECOVER:
        shape_recover(shape, options);
        return;
    case SCENARIO_WILDCARD:
        // Every fourth filter matches nothing, each other one a topic of its own.
        shape->filters = (uint32_t)options->filters;
        shape->topics = shape->filters - shape->filters / 4;
        return;
    case SCENARIO_MANY_TOPICS:
        shape->topics = (uint32_t)max_u64(options->topics / n, 1);
        shape->exact = options->exact;
        shape->filters = shape->exact ? shape->topics : 1;
        return;
    case SCENARIO_CHURN:
        shape->clients[ROLE_COMER] =
            (uint32_t)max_u64(options->churn_rate / COMERS_PER_RATE, COMERS_MIN);
        return;
    default:
        must(shape->scenario == SCENARIO_PAIRS || shape->scenario == SCENARIO_DURABLE_PAIRS);
    }
}

static bool
are_pairs(enum scenario scenario)
{
    return scenario == SCENARIO_PAIRS || scenario == SCENARIO_DURABLE_PAIRS ||
           scenario == SCENARIO_OFFLINE_QUEUE || scenario == SCENARIO_RECOVER ||
           scenario == SCENARIO_WILDCARD || scenario == SCENARIO_MANY_TOPICS ||
           scenario == SCENARIO_CHURN;
}

struct shape
scenario_shape(const struct options *options)
{
    uint32_t n = (uint32_t)options->clients;
    struct shape shape = {
        .scenario = (enum scenario)options->scenario,
        .clients = {[ROLE_PUBLISHER] = n, [ROLE_SUBSCRIBER] = n},
        .streams = n,
        .stride = 1,
        .topics = 1,
        .filters = 1,
        .limit = UINT64_MAX,
        .extra = options->extra_subscriptions,
        .wildcard_percent = (uint32_t)options->wildcard_percent,
        .durable = scenario_is_durable(options->scenario),
    };
    if (are_pairs(shape.scenario))
        shape_pairs(&shape, options);
    else
        shape_special(&shape, options);
    // One level for the number of the publisher and one for the topic's, behind two for the run.
    uint32_t least = shape.topics > 1 ? 4 : 3, usual = shape.scenario == SCENARIO_WILDCARD ? 6 : 0;
    shape.depth = max_u32(options->depth > 0 ? (uint32_t)options->depth : usual, least);
    shape.all_streams = max_u32(shape.all_streams, shape.streams);
    shape.acknowledges = shape.parks || shape.retains;
    shape.clients[ROLE_SILENT] += (uint32_t)((shape.extra + SCENARIO_HOLDS - 1) / SCENARIO_HOLDS);
    return shape;
}

uint64_t
scenario_coming_rate(const struct options *options)
{
    switch ((enum scenario)options->scenario) {
    case SCENARIO_CONNECT:
    case SCENARIO_RETAINED:
        return options->rate;
    case SCENARIO_CHURN:
        return options->churn_rate;
    default:
        return 0;
    }
}

uint64_t
scenario_publish_rate(const struct options *options)
{
    return options->scenario == SCENARIO_RETAINED ? 0 : options->rate;
}

// ---- Streams ----------------------------------------------------------------------------------

uint32_t
scenario_stream_of(const struct shape *shape, enum flow flow, uint32_t publisher,
                   uint32_t subscriber)
{
    uint32_t devices = shape->clients[ROLE_PUBLISHER];
    if (likely(flow == FLOW_MAIN))
        return scenario_stream(shape, publisher, subscriber);
    if (flow == FLOW_COMMANDS) {
        must(subscriber < devices);
        return publisher == 0 ? shape->streams + subscriber : SCENARIO_NO_STREAM;
    }
    return publisher < devices ? shape->streams + devices + publisher : SCENARIO_NO_STREAM;
}

uint32_t
scenario_first_stream(const struct shape *shape, uint32_t publisher)
{
    must(publisher < shape->clients[ROLE_PUBLISHER]);
    return publisher * scenario_fan_out(shape);
}

uint32_t
scenario_fan_out(const struct shape *shape)
{
    return shape->stride > 0 || shape->shared ? 1 : shape->clients[ROLE_SUBSCRIBER];
}

bool
scenario_returns(const struct shape *shape, uint32_t subscriber)
{
    must(shape->parks && shape->stride > 0);
    return subscriber % shape->stride == 0 &&
           subscriber / shape->stride < shape->clients[ROLE_PUBLISHER];
}

uint64_t
scenario_window(const struct shape *shape, const struct options *options)
{
    if (shape->retains)
        return options->window_per_sub;
    if (shape->streams == 0)
        return 0;
    uint64_t sharing = shape->stride == 0 ? shape->clients[ROLE_PUBLISHER] : 1;
    uint64_t members = shape->shared ? shape->clients[ROLE_SUBSCRIBER] : 1;
    uint64_t window = options->window_per_sub * members / sharing;
    window = min_u64(window, options->window_total / shape->streams);
    window = min_u64(window, options->window_bytes / options->size / shape->streams);
    return max_u64(window, 1);
}

// ---- Topics and filters -----------------------------------------------------------------------

// A text that is written level by level.
struct path {
    char *text;
    uint32_t len;
};

static void add_level(struct path *path, const char *format, ...) PRINTF_LIKE(2);

static void
add_level(struct path *path, const char *format, ...)
{
    va_list args;
    if (path->len > 0 && path->text[path->len - 1] != '/')
        path->text[path->len++] = '/';
    va_start(args, format);
    int len = vsnprintf(path->text + path->len, SCENARIO_TEXT_MAX - path->len, format, args);
    va_end(args);
    must(len > 0 && path->len + (uint32_t)len < SCENARIO_TEXT_MAX);
    path->len += (uint32_t)len;
}

static struct path
begin(uint32_t run, char text[SCENARIO_TEXT_MAX])
{
    struct path path = {text, 0};
    add_level(&path, "bench");
    add_level(&path, "%08x", run);
    return path;
}

static void
fill(struct path *path, uint32_t levels, const char *level)
{
    while (levels-- > 0)
        add_level(path, "%s", level);
}

// Levels that say nothing, in front of the publisher's number and behind the topic's.
static uint32_t
levels_before(const struct shape *shape)
{
    return shape->topics > 1 ? (shape->depth - 3) / 2 : shape->depth - 3;
}

static uint32_t
levels_behind(const struct shape *shape)
{
    return shape->topics > 1 ? shape->depth - 4 - levels_before(shape) : 0;
}

uint32_t
scenario_topic(const struct shape *shape, uint32_t run, uint32_t publisher, uint32_t index,
               char ret_text[SCENARIO_TEXT_MAX])
{
    must(publisher < shape->clients[ROLE_PUBLISHER] && index < shape->topics);
    struct path path = begin(run, ret_text);
    fill(&path, levels_before(shape), "x");
    add_level(&path, "%u", shape->stride == 0 ? publisher : publisher * shape->stride);
    if (shape->topics == 1)
        return 0;
    add_level(&path, "%0*u", (int)SCENARIO_DIGITS, index);
    uint32_t digits_at = path.len - SCENARIO_DIGITS;
    fill(&path, levels_behind(shape), "x");
    return digits_at;
}

uint32_t
scenario_command_topic(uint32_t run, uint32_t device, char ret_text[SCENARIO_TEXT_MAX])
{
    struct path path = begin(run, ret_text);
    add_level(&path, "command");
    add_level(&path, "%0*u", (int)SCENARIO_DIGITS, device);
    return path.len - SCENARIO_DIGITS;
}

void
scenario_will_topic(uint32_t run, uint32_t device, char ret_text[SCENARIO_TEXT_MAX])
{
    struct path path = begin(run, ret_text);
    add_level(&path, "will");
    add_level(&path, "%u", device);
}

void
scenario_write_digits(uint8_t digits[SCENARIO_DIGITS], uint32_t number)
{
    for (uint32_t i = SCENARIO_DIGITS; i-- > 0; number /= 10)
        digits[i] = (uint8_t)('0' + number % 10);
    must_hot(number == 0);
}

// Of one topic, exactly or by + or # in turn; every fourth matches nothing that is published.
static void
wildcard_filter(const struct shape *shape, uint32_t run, uint32_t subscriber, uint32_t index,
                char *text)
{
    bool nobodys = index % 4 == 3;
    uint32_t kind = nobodys ? index / 4 % 3 : index % 4;
    const char *before = kind == 0 ? "x" : "+";
    struct path path = begin(run, text);
    fill(&path, levels_before(shape), before);
    add_level(&path, "%u", subscriber);
    if (nobodys)
        add_level(&path, "nobody%u", index);
    else
        add_level(&path, "%0*u", (int)SCENARIO_DIGITS, index / 4 * 3 + index % 4);
    if (kind == 2)
        add_level(&path, "#");
    else
        fill(&path, levels_behind(shape), before);
}

static void
subscriber_filter(const struct shape *shape, uint32_t run, uint32_t subscriber, uint32_t index,
                  char *text)
{
    if (shape->scenario == SCENARIO_WILDCARD && shape->topics > 1) {
        wildcard_filter(shape, run, subscriber, index, text);
        return;
    }
    struct path path = {text, 0};
    if (shape->shared)
        add_level(&path, "$share/bench/");
    add_level(&path, "bench");
    add_level(&path, "%08x", run);
    fill(&path, levels_before(shape), "x");
    if (shape->stride == 0 && shape->clients[ROLE_PUBLISHER] > 1)
        add_level(&path, "+");
    else
        add_level(&path, "%u", shape->stride == 0 ? 0 : subscriber);
    if (shape->topics == 1)
        return;
    if (shape->exact)
        add_level(&path, "%0*u", (int)SCENARIO_DIGITS, index);
    else
        add_level(&path, "+");
    fill(&path, levels_behind(shape), "x");
}

// In the same tree as what is published, and of the same depth, but nothing matches it.
static void
extra_filter(const struct shape *shape, uint32_t run, uint32_t number, char *text)
{
    // 37 and 100 have no common divisor: the wildcards are spread evenly.
    bool wild = number * 37ull % 100 < shape->wildcard_percent;
    bool hash = wild && number % 2 == 0;
    uint32_t levels = shape->depth > 4 ? shape->depth - 4 : 0;
    struct path path = begin(run, text);
    add_level(&path, wild ? "+" : "x");
    add_level(&path, "extra%u", number);
    if (hash)
        add_level(&path, "#");
    else
        fill(&path, levels, "x");
}

static void
comer_filter(const struct shape *shape, uint32_t run, uint32_t number, uint32_t index, char *text)
{
    struct path path = begin(run, text);
    if (shape->scenario == SCENARIO_RETAINED) {
        add_level(&path, "#");
        return;
    }
    if (index == 1)
        add_level(&path, "+");
    add_level(&path, "comer%u", number);
    if (index == 2)
        add_level(&path, "#");
}

uint32_t
scenario_filter_count(const struct shape *shape, enum role role, uint32_t number)
{
    uint64_t first;
    switch (role) {
    case ROLE_PUBLISHER:
        return shape->scenario == SCENARIO_FLEET ? 1 : 0;
    case ROLE_SUBSCRIBER:
        return shape->filters;
    case ROLE_SILENT:
        first = (uint64_t)number * SCENARIO_HOLDS;
        return first < shape->extra ? (uint32_t)min_u64(shape->extra - first, SCENARIO_HOLDS) : 0;
    case ROLE_COMER:
        if (shape->scenario == SCENARIO_CONNECT)
            return 0;
        return shape->scenario == SCENARIO_CHURN ? CHURN_FILTERS : 1;
    case ROLE_WATCHER:
        return 1;
    case ROLE_COMMANDER:
    case ROLES:
        break;
    }
    must(role == ROLE_COMMANDER);
    return 0;
}

void
scenario_filter(const struct shape *shape, uint32_t run, enum role role, uint32_t number,
                uint32_t index, char ret_text[SCENARIO_TEXT_MAX])
{
    must(index < scenario_filter_count(shape, role, number));
    struct path path;
    switch (role) {
    case ROLE_PUBLISHER:
        (void)scenario_command_topic(run, number, ret_text);
        return;
    case ROLE_SUBSCRIBER:
        subscriber_filter(shape, run, number, index, ret_text);
        return;
    case ROLE_SILENT:
        extra_filter(shape, run, number * SCENARIO_HOLDS + index, ret_text);
        return;
    case ROLE_COMER:
        comer_filter(shape, run, number, index, ret_text);
        return;
    case ROLE_WATCHER:
        path = begin(run, ret_text);
        add_level(&path, "will");
        add_level(&path, "+");
        return;
    case ROLE_COMMANDER:
    case ROLES:
        break;
    }
    must(false);
}
