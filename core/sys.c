// sys.c - the $SYS topics.
#include "core/sys.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/figures.h"
#include "core/route.h"
#include "core/shard.h"
#include "core/timers.h"

#define VALUE_MAX 64

// What Mosquitto publishes as load: events per minute, averaged over 1, 5 and 15 minutes.
enum load {
    LOAD_CONNECTIONS,
    LOAD_SOCKETS,
    LOAD_MESSAGES_RECEIVED,
    LOAD_MESSAGES_SENT,
    LOAD_PUBLISH_RECEIVED,
    LOAD_PUBLISH_SENT,
    LOAD_PUBLISH_DROPPED,
    LOAD_BYTES_RECEIVED,
    LOAD_BYTES_SENT,
    LOAD_COUNT,
};

static const char *const load_names[LOAD_COUNT] = {
    "connections",  "sockets",         "messages/received", "messages/sent", "publish/received",
    "publish/sent", "publish/dropped", "bytes/received",    "bytes/sent",
};

struct load_average {
    uint64_t last;
    double per_minute[3];
};

struct sys {
    struct shard *shard;
    struct timer timer;
    uint64_t last_ms;
    uint64_t clients_maximum, heap_maximum;
    struct load_average loads[LOAD_COUNT];
    char (*values)[VALUE_MAX]; // what was published last, by topic's place in the tables
};

// Places in sys->values: the table's rows, then these.
enum { VALUE_CLIENTS_MAXIMUM, VALUE_HEAP_MAXIMUM, VALUE_LOADS };
#define VALUES (figure_count + VALUE_LOADS + LOAD_COUNT * 3u)

// ---- Publishing ---------------------------------------------------------------------------------

// False: there is no room for what is retained.
static bool
publish(struct sys *sys, const char *topic, const char *value)
{
    struct shard *shard = sys->shard;
    struct pub pub = {
        .topic = slice_str(topic),
        .payload = slice_str(value),
        .arrived_ms = shard->now_ms,
        .qos = 0,
        .retain = true,
    };
    // At the limit of the retained store the live subscribers still get it next time; nothing is
    // owed.
    struct route_result result;
    err_t err = route_publish(shard, &pub, &result);
    if (err != OK)
        route_count_unretained(shard_listener(shard, LISTENER_NONE), err);
    pub_done(&pub);
    return err == OK;
}

static void
publish_changed(struct sys *sys, unsigned place, const char *topic, const char *value)
{
    must(place < VALUES);
    if (strcmp(sys->values[place], value) == 0)
        return;
    if (publish(sys, topic, value))
        (void)snprintf(sys->values[place], VALUE_MAX, "%s", value);
}

static void
publish_number(struct sys *sys, unsigned place, const char *topic, uint64_t number)
{
    char value[VALUE_MAX];
    (void)snprintf(value, sizeof value, "%" PRIu64, number);
    publish_changed(sys, place, topic, value);
}

// ---- Loads --------------------------------------------------------------------------------------

static void
update_load(struct sys *sys, enum load load, uint64_t total, double seconds)
{
    static const double minutes[3] = {1, 5, 15};
    struct load_average *average = &sys->loads[load];
    // A packet that waits for an answer is counted anew: a figure may go back by some.
    uint64_t more = total > average->last ? total - average->last : 0;
    double rate = (double)more * 60.0 / seconds;
    average->last = total;
    for (unsigned i = 0; i < 3; i++) {
        double keep = exp(-seconds / (60.0 * minutes[i]));
        average->per_minute[i] = rate + keep * (average->per_minute[i] - rate);
        char topic[96], value[VALUE_MAX];
        (void)snprintf(topic, sizeof topic, "$SYS/broker/load/%s/%gmin", load_names[load],
                       minutes[i]);
        (void)snprintf(value, sizeof value, "%.2f", average->per_minute[i]);
        publish_changed(sys, figure_count + VALUE_LOADS + (unsigned)load * 3 + i, topic, value);
    }
}

static void
publish_loads(struct sys *sys, const struct figures *f)
{
    double seconds = (double)(sys->shard->now_ms - sys->last_ms) / 1000.0;
    if (seconds <= 0)
        return;
    const uint64_t totals[LOAD_COUNT] = {
        [LOAD_CONNECTIONS] = f->connections_accepted,
        [LOAD_SOCKETS] = f->sockets_opened,
        [LOAD_MESSAGES_RECEIVED] = f->packets_received,
        [LOAD_MESSAGES_SENT] = f->packets_sent,
        [LOAD_PUBLISH_RECEIVED] = f->publish_received,
        [LOAD_PUBLISH_SENT] = f->publish_sent,
        [LOAD_PUBLISH_DROPPED] = f->dropped,
        [LOAD_BYTES_RECEIVED] = f->bytes_received,
        [LOAD_BYTES_SENT] = f->bytes_sent,
    };
    for (unsigned i = 0; i < LOAD_COUNT; i++)
        update_load(sys, (enum load)i, totals[i], seconds);
}

// ---- The tick -----------------------------------------------------------------------------------

static void
publish_rows(struct sys *sys, const struct figures *f)
{
    for (unsigned i = 0; i < figure_count; i++) {
        const struct figure *figure = &figure_table[i];
        uint64_t number = figure->topic ? figure_value(figure, f) : FIGURE_NONE;
        if (number != FIGURE_NONE)
            publish_number(sys, i, figure->topic, number);
    }
    sys->clients_maximum = max_u64(sys->clients_maximum, f->clients_connected);
    sys->heap_maximum = max_u64(sys->heap_maximum, f->memory);
    publish_number(sys, figure_count + VALUE_CLIENTS_MAXIMUM, "$SYS/broker/clients/maximum",
                   sys->clients_maximum);
    publish_number(sys, figure_count + VALUE_HEAP_MAXIMUM, "$SYS/broker/heap/maximum",
                   sys->heap_maximum);
}

// What never changes while the broker runs, or always does.
static void
publish_texts(struct sys *sys, const struct figures *f)
{
    char uptime[VALUE_MAX];
    (void)snprintf(uptime, sizeof uptime, "%" PRIu64 " seconds", f->uptime_s);
    (void)publish(sys, "$SYS/broker/version", "ternmq version " TERN_VERSION);
    (void)publish(sys, "$SYS/broker/uptime", uptime);
    const struct broker *broker = sys->shard->broker;
    if (broker->io != IO_BACKEND_AUTO)
        (void)publish(sys, "$SYS/broker/io/backend", broker_io_name(broker));
}

static void
arm(struct sys *sys)
{
    struct shard *shard = sys->shard;
    // With 0 nothing is published, but a reload may change that: look again now and then.
    uint32_t interval_s = shard->config->sys_interval_s ? shard->config->sys_interval_s : 10;
    wheel_arm(shard->wheel, &sys->timer, shard->now_ms + (uint64_t)interval_s * 1000);
}

void
sys_on_timer(struct sys *sys)
{
    struct shard *shard = sys->shard;
    if (shard->config->sys_interval_s > 0) {
        struct figures figures;
        figures_gather(shard->broker, shard->now_ms, &figures);
        publish_texts(sys, &figures);
        publish_rows(sys, &figures);
        publish_loads(sys, &figures);
        sys->last_ms = shard->now_ms;
    }
    arm(sys);
}

struct sys *
sys_new(struct shard *shard)
{
    struct sys *sys = mem_zalloc(sizeof *sys);
    sys->shard = shard;
    sys->last_ms = shard->now_ms;
    sys->values = mem_zalloc(VALUES * sizeof *sys->values);
    timer_init(&sys->timer, TIMER_SYS);
    // At once, so that the topics are there for the first client.
    wheel_arm(shard->wheel, &sys->timer, shard->now_ms);
    return sys;
}

void
sys_free(struct sys *sys)
{
    if (!sys)
        return;
    mem_free(sys->values);
    mem_free(sys);
}
