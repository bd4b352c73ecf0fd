// sys.c - the $SYS topics.
#include "core/sys.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access.h"
#include "core/bans.h"
#include "core/broker.h"
#include "core/keeper.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/shard.h"
#include "core/timers.h"

#define VALUE_MAX 64

// All shards' counters, added up.
struct totals {
#define X(name) uint64_t name;
    STATS_TABLE(X)
#undef X
    uint64_t retained_count, retained_bytes, retained_heap, memory;
    uint64_t uptime_s;
    uint64_t tls_reload_failed;
    uint64_t http[ACCESS_HTTP_COUNTS];
    uint64_t access_waiting, access_reload_failed;
    uint64_t governor_level, bans_in_force;
    uint64_t commits, commit_records, commit_bytes, log_bytes, failures, failing, quarantined;
};

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

// ---- Gauges and counters
// ----------------------------------------------------------------------------

static uint64_t
dropped(const struct totals *t)
{
    return t->dropped_queue_full + t->dropped_slow_consumer + t->dropped_expired +
           t->dropped_too_large + t->dropped_memory + t->dropped_not_allowed +
           t->dropped_no_member + t->dropped_session_end + t->dropped_disk + t->dropped_rate;
}

static uint64_t
disconnected(const struct totals *t)
{
    return t->sessions > t->clients_connected ? t->sessions - t->clients_connected : 0;
}

static uint64_t
stored(const struct totals *t)
{
    return t->messages_queued + t->messages_inflight + t->retained_count;
}

static uint64_t
stored_bytes(const struct totals *t)
{
    return t->messages_queued_bytes + t->retained_bytes;
}

struct topic_row {
    const char *topic;
    uint64_t (*compute)(const struct totals *t); // NULL: the value at offset
    size_t offset;
};

#define AT(topic, field)                                           \
    {                                                              \
        "$SYS/broker/" topic, NULL, offsetof(struct totals, field) \
    }
#define BY(topic, fn)               \
    {                               \
        "$SYS/broker/" topic, fn, 0 \
    }
#define HTTP(topic, count) AT("auth http/" topic, http[ACCESS_HTTP_##count])

// clang-format off
static const struct topic_row rows[] = {
    BY("clients/disconnected", disconnected),
    BY("clients/inactive", disconnected),
    AT("clients/total", sessions),
    AT("clients/connected", clients_connected),
    AT("clients/active", clients_connected),
    AT("clients/expired", sessions_expired),
    AT("messages/received", packets_received),
    AT("messages/sent", packets_sent),
    BY("messages/stored", stored),
    BY("store/messages/count", stored),
    BY("store/messages/bytes", stored_bytes),
    AT("publish/messages/received", publish_received),
    AT("publish/messages/sent", publish_sent),
    BY("publish/messages/dropped", dropped),
    AT("publish/bytes/received", publish_bytes_received),
    AT("publish/bytes/sent", publish_bytes_sent),
    AT("bytes/received", bytes_received),
    AT("bytes/sent", bytes_sent),
    AT("subscriptions/count", subscriptions),
    AT("shared_subscriptions/count", shared_subscriptions),
    AT("retained messages/count", retained_count),
    AT("heap/current", memory),
    // What was not delivered, and why: no peer of Mosquitto's topics, so under a name of its own.
    AT("dropped/queue full", dropped_queue_full),
    AT("dropped/slow consumer", dropped_slow_consumer),
    AT("dropped/expired", dropped_expired),
    AT("dropped/too large", dropped_too_large),
    AT("dropped/memory", dropped_memory),
    AT("dropped/not allowed", dropped_not_allowed),
    AT("dropped/no member", dropped_no_member),
    AT("dropped/retained full", dropped_retained_full),
    AT("dropped/session end", dropped_session_end),
    AT("dropped/disk", dropped_disk),
    AT("dropped/rate", dropped_rate), // max_messages_out_rate, max_bytes_out_rate
    AT("queued/over limit", queued_over_limit),
    // The store; all 0 with persistence false.
    AT("persistence/commits", commits),
    AT("persistence/records", commit_records),
    AT("persistence/bytes written", commit_bytes),
    AT("persistence/log bytes", log_bytes),
    AT("persistence/pages loaded", pages_loaded),
    AT("persistence/failures", failures),
    AT("persistence/failing", failing),         // 1: the disk is full or fails
    AT("persistence/quarantined", quarantined), // 1: a damaged store was moved aside at the start
    AT("tls/handshakes", tls_handshakes),
    AT("tls/resumed", tls_resumed),
    AT("tls/failures", tls_failures),
    AT("tls/reload failed", tls_reload_failed), // 1: what the files say now is not in force
    AT("access/asked", access_asked),               // who was not known at once
    AT("access/refused", access_refused),
    AT("access/busy", access_refused_busy),         // max_pending_logins
    AT("access/expired", access_expired),           // connections that ended with their token
    AT("access/reviewed out", access_reviewed_out), // connections that new rules ended
    AT("access/waiting", access_waiting),
    AT("access/reload failed", access_reload_failed), // 1: what the files say now is not in force
    // The HTTP service that is asked (auth_http_url, auth_http_acl_url); all 0 without.
    HTTP("questions", questions),
    HTTP("requests", requests),
    HTTP("joined", joined), // to the request of an equal question
    HTTP("cache hits", cache_hits),
    HTTP("cached", cached),
    HTTP("cached bytes", cached_bytes),
    HTTP("allowed", allowed),
    HTTP("denied", denied),
    HTTP("ignored", ignored),
    HTTP("under way", under_way),
    HTTP("refused/busy", refused_busy),
    HTTP("refused/too large", refused_too_large),
    HTTP("refused/timeout", refused_timeout),
    HTTP("refused/unreachable", refused_unreachable),
    HTTP("refused/failed", refused_failed),
    HTTP("refused/no sense", refused_no_sense),
    HTTP("refused/down", refused_down),
    AT("websockets/refused", upgrades_refused),
    AT("proxies/refused", proxies_refused),
    AT("handshakes/pending", handshakes_pending), // TLS, upgrades, PROXY headers
    AT("refused/handshake timeouts", handshake_timeouts),
    AT("refused/handshakes", handshakes_refused), // max_pending_handshakes
    AT("refused/publish", publish_refused),
    AT("refused/connections", connections_refused),
    AT("refused/max connections", refused_max_connections),
    AT("refused/per address", refused_per_address),
    AT("refused/descriptors", refused_descriptors),
    AT("refused/connect rate", refused_connect_rate),
    AT("refused/banned", refused_banned),
    AT("refused/sessions", refused_sessions),
    AT("refused/memory", refused_memory),
    AT("refused/subscriptions", refused_subscriptions),
    AT("refused/topic levels", refused_topic_levels),
    AT("bans/made", bans_made),
    AT("bans/login failures", login_failures),
    AT("bans/in force", bans_in_force),
    AT("paused/reads", reads_paused),
    AT("paused/rate in", rate_pauses_in),
    AT("paused/rate out", rate_pauses_out),
    AT("governor/level", governor_level), // 0: nothing is shed; core/governor.h
};
// clang-format on

// Places in sys->values: the rows, then maxima, then loads.
enum { VALUE_CLIENTS_MAXIMUM = ARRAY_LEN(rows), VALUE_HEAP_MAXIMUM, VALUE_DAYS_LEFT, VALUE_LOADS };
#define VALUES (VALUE_LOADS + LOAD_COUNT * 3)

// ---- Publishing
// -------------------------------------------------------------------------------------

static void
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
    if (route_publish(shard, &pub, &result) != OK)
        stat_add(&shard->stats.dropped_retained_full, 1);
    pub_done(&pub);
}

static void
publish_changed(struct sys *sys, unsigned place, const char *topic, const char *value)
{
    must(place < VALUES);
    if (strcmp(sys->values[place], value) == 0)
        return;
    (void)snprintf(sys->values[place], VALUE_MAX, "%s", value);
    publish(sys, topic, value);
}

static void
publish_number(struct sys *sys, unsigned place, const char *topic, uint64_t number)
{
    char value[VALUE_MAX];
    (void)snprintf(value, sizeof value, "%" PRIu64, number);
    publish_changed(sys, place, topic, value);
}

// ---- Loads
// ------------------------------------------------------------------------------------------

static void
update_load(struct sys *sys, enum load load, uint64_t total, double seconds)
{
    static const double minutes[3] = {1, 5, 15};
    struct load_average *average = &sys->loads[load];
    double rate = (double)(total - average->last) * 60.0 / seconds;
    average->last = total;
    for (unsigned i = 0; i < 3; i++) {
        double keep = exp(-seconds / (60.0 * minutes[i]));
        average->per_minute[i] = rate + keep * (average->per_minute[i] - rate);
        char topic[96], value[VALUE_MAX];
        (void)snprintf(topic, sizeof topic, "$SYS/broker/load/%s/%gmin", load_names[load],
                       minutes[i]);
        (void)snprintf(value, sizeof value, "%.2f", average->per_minute[i]);
        publish_changed(sys, VALUE_LOADS + (unsigned)load * 3 + i, topic, value);
    }
}

static void
publish_loads(struct sys *sys, const struct totals *t)
{
    double seconds = (double)(sys->shard->now_ms - sys->last_ms) / 1000.0;
    if (seconds <= 0)
        return;
    const uint64_t totals[LOAD_COUNT] = {
        [LOAD_CONNECTIONS] = t->connections_accepted,
        [LOAD_SOCKETS] = t->sockets_opened,
        [LOAD_MESSAGES_RECEIVED] = t->packets_received,
        [LOAD_MESSAGES_SENT] = t->packets_sent,
        [LOAD_PUBLISH_RECEIVED] = t->publish_received,
        [LOAD_PUBLISH_SENT] = t->publish_sent,
        [LOAD_PUBLISH_DROPPED] = dropped(t),
        [LOAD_BYTES_RECEIVED] = t->bytes_received,
        [LOAD_BYTES_SENT] = t->bytes_sent,
    };
    for (unsigned i = 0; i < LOAD_COUNT; i++)
        update_load(sys, (enum load)i, totals[i], seconds);
}

// ---- The tick
// ---------------------------------------------------------------------------------------

static void
add_up(const struct broker *broker, uint64_t now_ms, struct totals *ret)
{
    memset(ret, 0, sizeof *ret);
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct shard *shard = broker->shards[i];
        if (!shard)
            continue;
#define X(name) ret->name += stat_get(&shard->stats.name);
        STATS_TABLE(X)
#undef X
    }
    struct retained_stats retained;
    retained_stats(broker->retained, &retained);
    ret->retained_count = retained.count;
    ret->retained_bytes = retained.bytes;
    ret->memory = broker_memory(broker);
    ret->uptime_s = (now_ms - broker->started_ms) / 1000;
    ret->tls_reload_failed = atomic_load(&broker->tls_reload_failed);
    for (unsigned i = 0; i < ACCESS_HTTP_COUNTS; i++)
        ret->http[i] = atomic_load_explicit(&broker->http_stats.counts[i], memory_order_relaxed);
    ret->access_waiting = broker->desk ? access_waiting(broker->desk) : 0;
    ret->access_reload_failed = atomic_load(&broker->access_reload_failed);
    ret->governor_level = atomic_load_explicit(&broker->level, memory_order_relaxed);
    ret->bans_in_force = bans_count(broker->bans);
    const struct keeper *keeper = broker->keeper;
    if (!keeper)
        return;
    ret->commits = stat_get(&keeper->commits);
    ret->commit_records = stat_get(&keeper->records);
    ret->commit_bytes = stat_get(&keeper->bytes_written);
    ret->log_bytes = stat_get(&keeper->log_bytes);
    ret->failures = stat_get(&keeper->failures);
    ret->failing = atomic_load_explicit(&keeper->failing, memory_order_relaxed);
    ret->quarantined = keeper->quarantined;
}

static void
publish_rows(struct sys *sys, const struct totals *t)
{
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        uint64_t number;
        if (rows[i].compute)
            number = rows[i].compute(t);
        else
            memcpy(&number, (const char *)t + rows[i].offset, sizeof number);
        publish_number(sys, i, rows[i].topic, number);
    }
    sys->clients_maximum = max_u64(sys->clients_maximum, t->clients_connected);
    sys->heap_maximum = max_u64(sys->heap_maximum, t->memory);
    publish_number(sys, VALUE_CLIENTS_MAXIMUM, "$SYS/broker/clients/maximum", sys->clients_maximum);
    publish_number(sys, VALUE_HEAP_MAXIMUM, "$SYS/broker/heap/maximum", sys->heap_maximum);
}

// Of the certificate that ends first; 0 when it has. Nothing where there is none.
static void
publish_days_left(struct sys *sys)
{
    int64_t ends_s = atomic_load(&sys->shard->broker->certificate_ends_s);
    if (ends_s == INT64_MAX)
        return;
    const struct shard *shard = sys->shard;
    int64_t now_s = (int64_t)((shard->now_ms + broker_wall_offset(shard->broker)) / 1000);
    publish_number(sys, VALUE_DAYS_LEFT, "$SYS/broker/tls/certificate days left",
                   ends_s > now_s ? (uint64_t)(ends_s - now_s) / 86400 : 0);
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
        struct totals totals;
        add_up(shard->broker, shard->now_ms, &totals);
        char uptime[VALUE_MAX];
        (void)snprintf(uptime, sizeof uptime, "%" PRIu64 " seconds", totals.uptime_s);
        publish(sys, "$SYS/broker/version", "ternmq version " TERN_VERSION);
        publish(sys, "$SYS/broker/uptime", uptime);
        publish_rows(sys, &totals);
        publish_days_left(sys);
        publish_loads(sys, &totals);
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
