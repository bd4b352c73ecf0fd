// figures.h - what the broker tells about itself, in one table: for $SYS and for metrics.
//
// Job:    adds up what all shards, the store and the rest have counted; names it for $SYS topics
//         (core/sys.c) and for Prometheus (http/metrics.c).
// Owner:  the caller has the sums; the table is constant.
// Thread: any, while the shards exist. Nothing waits, and no shard notices.
// Memory: none. Limits: the cost grows with shards and rows, not with clients.
#ifndef TERN_CORE_FIGURES_H
#define TERN_CORE_FIGURES_H

#include "core/access.h"
#include "core/cluster.h"
#include "core/durations.h"

struct broker;

// There is no such thing here: no certificate, say. Published nowhere.
#define FIGURE_NONE UINT64_MAX

struct figures {
#define X(name) uint64_t name; // all shards' and listeners'
    STATS_TABLE(X)
    TRAFFIC_TABLE(X)
    DROPS_TABLE(X)
#undef X
    uint64_t http[ACCESS_HTTP_COUNTS];
    uint64_t retained_count, retained_bytes;
    uint64_t memory, memory_limit; // limit 0: none
    uint64_t uptime_s, started_s;  // started: since 1970
    uint64_t workers, on_uring, on_epoll;
    uint64_t certificate_days, certificate_s; // left of the one that ends first; FIGURE_NONE
    uint64_t config_reload_failed, tls_reload_failed, access_reload_failed; // 1: it has
    uint64_t access_waiting, governor_level, bans_in_force, log_lines_dropped;
    uint64_t draining, drain_left; // draining 1: it does
    uint64_t commits, commit_records, commit_bytes, log_bytes, checkpoints, failures, failing,
        quarantined;
    uint64_t dropped, disconnected, stored, stored_bytes; // as Mosquitto's topics mean them
    uint64_t subscriptions_all;                           // with shared ones
    uint64_t one;                                         // 1: of what only has labels
    struct cluster_figures cluster; // all FIGURE_NONE where there are no other nodes
    struct duration_sums ticks, late_timers, commit_times, commit_sizes;
    struct duration_sums acknowledged, delivered; // of the publications that are timed
};

enum figure_kind {
    FIGURE_COUNTER,
    FIGURE_GAUGE,
    FIGURE_INFO,
    FIGURE_DURATIONS, // no number, but struct duration_sums; never a topic
    FIGURE_SIZES,     // the same
};

struct figure {
    size_t offset;      // in struct figures
    const char *topic;  // "$SYS/broker/..."; NULL: it has none
    const char *metric; // without a counter's _total and an info's _info; NULL: it is none
    const char *labels; // `reason="memory"`; NULL: none
    const char *help;   // of the metric; its other rows follow at once and have none
    enum figure_kind kind;
};
extern const struct figure figure_table[];
extern const uint32_t figure_count;

// now_ms: monotonic. ON_ANY.
void figures_gather(const struct broker *broker, uint64_t now_ms, struct figures *ret);

static inline uint64_t
figure_value(const struct figure *figure, const struct figures *figures)
{
    uint64_t value;
    must(figure->kind < FIGURE_DURATIONS);
    must(figure->offset <= sizeof *figures - sizeof value);
    memcpy(&value, (const char *)figures + figure->offset, sizeof value);
    return value;
}

static inline const struct duration_sums *
figure_durations(const struct figure *figure, const struct figures *figures)
{
    must(figure->kind >= FIGURE_DURATIONS);
    return (const struct duration_sums *)(const void *)((const char *)figures + figure->offset);
}

#endif
