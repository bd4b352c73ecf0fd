// figures.c - what the broker tells about itself, in one table.
#include "core/figures.h"

#include "core/base/log.h"

#include "core/bans.h"
#include "core/broker.h"
#include "core/keeper.h"
#include "core/retained.h"
#include "core/shard.h"

#define DAY_S 86400u

// ---- The table ----------------------------------------------------------------------------------

#define FIELD(field)       .offset = offsetof(struct figures, field)
#define HTTP(count)        .offset = offsetof(struct figures, http[ACCESS_HTTP_##count])
#define SYS(t)             .topic = "$SYS/broker/" t
#define METRIC(k, name, h) .kind = FIGURE_##k, .metric = "ternmq_" name, .help = (h)
#define COUNTER(name, h)   METRIC(COUNTER, name, h)
#define GAUGE(name, h)     METRIC(GAUGE, name, h)
#define DURATIONS(name, h) METRIC(DURATIONS, name, h)
#define SIZES(name, h)     METRIC(SIZES, name, h)
#define INFO(name, h)      METRIC(INFO, name, h)
#define NODES(field, t)    FIELD(cluster.field), SYS("cluster/" t)
#define LABEL(name, value) .labels = name "=\"" value "\""
// Further rows of a metric.
#define DROPPED(reason) METRIC(COUNTER, "messages_dropped", NULL), LABEL("reason", reason)
#define REFUSED(reason) METRIC(COUNTER, "refusals", NULL), LABEL("reason", reason)
#define ENDED(reason)   METRIC(COUNTER, "disconnects", NULL), LABEL("reason", reason)
#define HTTP_NO(reason) METRIC(COUNTER, "auth_http_refusals", NULL), LABEL("reason", reason)

// clang-format off
const struct figure figure_table[] = {
    {FIELD(one), INFO("build", "What runs."), LABEL("version", TERN_VERSION)},
    {FIELD(started_s), GAUGE("start_time_seconds", "When the broker started, since 1970.")},
    {FIELD(workers), GAUGE("workers", "Worker threads.")},
    {FIELD(ticks),
     DURATIONS("worker_tick_duration_seconds",
               "How long the workers' loops took to come round, without their sleep.")},
    {FIELD(late_timers),
     DURATIONS("worker_wakeup_delay_seconds",
               "How late workers woke up when nothing but the time woke them.")},
    {FIELD(on_uring), GAUGE("io_backend", "How the kernel is asked for input and output: 1."),
     LABEL("backend", "io_uring")},
    {FIELD(on_epoll), GAUGE("io_backend", NULL), LABEL("backend", "epoll")},

    // Who is here.
    {FIELD(disconnected), SYS("clients/disconnected")},
    {FIELD(disconnected), SYS("clients/inactive")},
    {FIELD(sessions), SYS("clients/total"),
     GAUGE("sessions", "Sessions, with and without a connection.")},
    {FIELD(clients_connected), SYS("clients/connected"),
     GAUGE("clients_connected", "Clients that are connected.")},
    {FIELD(clients_connected), SYS("clients/active")},
    {FIELD(sessions_expired), SYS("clients/expired"),
     COUNTER("sessions_expired", "Sessions that ended because their time was up.")},
    {FIELD(takeovers),
     COUNTER("session_takeovers", "Sessions that went to a new connection of their client.")},
    {FIELD(subscriptions), SYS("subscriptions/count"),
     GAUGE("subscriptions", "Subscriptions that are not shared.")},
    {FIELD(shared_subscriptions), SYS("shared_subscriptions/count"),
     GAUGE("shared_subscriptions", "Memberships in share groups.")},
    {FIELD(sockets_opened),
     COUNTER("connections_opened", "Connections that were accepted by the listeners.")},
    {FIELD(connections_accepted), COUNTER("connects_accepted", "CONNECTs that were accepted.")},
    {FIELD(connections_refused), SYS("refused/connections"),
     COUNTER("connections_refused", "Connections and CONNECTs that were refused, for any reason.")},
    {FIELD(handovers),
     COUNTER("connection_handovers", "Connections that went to the worker of their session.")},
    {FIELD(keep_alive_timeouts),
     COUNTER("disconnects", "Connections that the broker ended, by reason."),
     LABEL("reason", "keep_alive_timeout")},
    {FIELD(malformed_packets), ENDED("malformed_packet")},
    {FIELD(protocol_errors), ENDED("protocol_error")},
    {FIELD(disconnected_slow), ENDED("queue_full")},
    {FIELD(access_expired), SYS("access/expired"), ENDED("token_expired")},
    {FIELD(access_reviewed_out), SYS("access/reviewed out"), ENDED("rules_changed")},

    // What they send and get.
    {FIELD(packets_received), SYS("messages/received"),
     COUNTER("packets_received", "MQTT packets from clients.")},
    {FIELD(packets_sent), SYS("messages/sent"),
     COUNTER("packets_sent", "MQTT packets to clients.")},
    {FIELD(bytes_received), SYS("bytes/received"),
     COUNTER("received_bytes", "Bytes of MQTT from clients.")},
    {FIELD(bytes_sent), SYS("bytes/sent"), COUNTER("sent_bytes", "Bytes of MQTT to clients.")},
    {FIELD(publish_received), SYS("publish/messages/received"),
     COUNTER("messages_received", "PUBLISH packets from clients.")},
    {FIELD(publish_sent), SYS("publish/messages/sent"),
     COUNTER("messages_sent", "PUBLISH packets to clients.")},
    {FIELD(acknowledged), // core/samples.h
     DURATIONS("publish_acknowledge_duration_seconds",
               "From taking a PUBLISH at QoS 1 or 2 to its PUBACK or PUBREC, of a sample.")},
    {FIELD(delivered),
     DURATIONS("publish_deliver_duration_seconds",
               "From taking a PUBLISH to writing it for a client that was there, of a sample.")},
    {FIELD(publish_bytes_received), SYS("publish/bytes/received"),
     COUNTER("message_received_bytes", "Bytes of payload from clients.")},
    {FIELD(publish_bytes_sent), SYS("publish/bytes/sent"),
     COUNTER("message_sent_bytes", "Bytes of payload to clients.")},
    {FIELD(wills_published), COUNTER("wills_published", "Wills that were published.")},
    {FIELD(stored), SYS("messages/stored")},
    {FIELD(stored), SYS("store/messages/count")},
    {FIELD(stored_bytes), SYS("store/messages/bytes")},
    {FIELD(retained_count), SYS("retained messages/count"),
     GAUGE("retained_messages", "Retained messages, those of $SYS included.")},
    {FIELD(retained_bytes), GAUGE("retained_bytes", "Memory of retained messages.")},
    {FIELD(messages_queued), GAUGE("queued_messages", "Messages that wait for their clients.")},
    {FIELD(messages_queued_bytes),
     GAUGE("queued_bytes", "Memory of the messages that wait for their clients.")},
    {FIELD(messages_inflight),
     GAUGE("inflight_messages", "QoS 1 and 2 messages that clients have not acknowledged yet.")},
    {FIELD(queued_over_limit), SYS("queued/over limit"),
     COUNTER("messages_queued_over_limit",
             "Messages that a full queue took because their publisher cannot be told.")},

    // What was not delivered, and why: no peer of Mosquitto's topics, so under a name of its own.
    {FIELD(dropped), SYS("publish/messages/dropped")},
    {FIELD(dropped_queue_full), SYS("dropped/queue full"),
     COUNTER("messages_dropped", "Messages that were not delivered, by reason."),
     LABEL("reason", "queue_full")},
    {FIELD(dropped_slow_consumer), SYS("dropped/slow consumer"), DROPPED("slow_consumer")},
    {FIELD(dropped_expired), SYS("dropped/expired"), DROPPED("expired")},
    {FIELD(dropped_too_large), SYS("dropped/too large"), DROPPED("too_large")},
    {FIELD(dropped_memory), SYS("dropped/memory"), DROPPED("memory")},
    {FIELD(dropped_offline_qos0), DROPPED("offline_qos0")},
    {FIELD(dropped_not_allowed), SYS("dropped/not allowed"), DROPPED("not_allowed")},
    {FIELD(dropped_no_member), SYS("dropped/no member"), DROPPED("no_member")},
    {FIELD(dropped_retained_full), SYS("dropped/retained full"), DROPPED("retained_full")},
    {FIELD(dropped_session_end), SYS("dropped/session end"), DROPPED("session_end")},
    {FIELD(dropped_disk), SYS("dropped/disk"), DROPPED("disk")},
    {FIELD(dropped_rate), SYS("dropped/rate"), DROPPED("rate")}, // max_messages_out_rate, ...
    {FIELD(withheld),
     COUNTER("messages_withheld", "Messages that a client's rules kept from it.")},

    // Who was to go elsewhere.
    {FIELD(draining), SYS("drain/on"),
     GAUGE("draining", "1: connections end one after the other, and no clients are let in.")},
    {FIELD(drain_left), SYS("drain/left"), GAUGE("drain_clients", "Clients that are to go yet.")},
    {FIELD(referred), SYS("clients/referred"),
     COUNTER("clients_referred", "Clients that were told of another node (0x9C).")},
    {FIELD(rebalanced), SYS("clients/rebalanced"),
     COUNTER("clients_rebalanced", "Clients that had to go to have no more here than elsewhere.")},

    // What was refused, and what had to wait.
    {FIELD(refused_max_connections), SYS("refused/max connections"),
     COUNTER("refusals", "What was refused, by reason."), LABEL("reason", "max_connections")},
    {FIELD(refused_per_address), SYS("refused/per address"),
     REFUSED("max_connections_per_address")},
    {FIELD(refused_descriptors), SYS("refused/descriptors"), REFUSED("descriptors")},
    {FIELD(refused_connect_rate), SYS("refused/connect rate"), REFUSED("connect_rate")},
    {FIELD(refused_banned), SYS("refused/banned"), REFUSED("banned")},
    {FIELD(refused_draining), SYS("refused/draining"), REFUSED("draining")},
    {FIELD(refused_sessions), SYS("refused/sessions"), REFUSED("max_sessions")},
    {FIELD(refused_memory), SYS("refused/memory"), REFUSED("memory")},
    {FIELD(refused_subscriptions), SYS("refused/subscriptions"), REFUSED("max_subscriptions")},
    {FIELD(refused_topic_levels), SYS("refused/topic levels"), REFUSED("max_topic_levels")},
    {FIELD(publish_refused), SYS("refused/publish"), REFUSED("publish")},
    {FIELD(subscribe_refused), REFUSED("subscribe")},
    {FIELD(connect_timeouts), REFUSED("connect_timeout")},
    {FIELD(handshake_timeouts), SYS("refused/handshake timeouts"), REFUSED("handshake_timeout")},
    {FIELD(handshakes_refused), SYS("refused/handshakes"), REFUSED("max_pending_handshakes")},
    {FIELD(upgrades_refused), SYS("websockets/refused"), REFUSED("websocket_upgrade")},
    {FIELD(proxies_refused), SYS("proxies/refused"), REFUSED("proxy_header")},
    {FIELD(access_refused), SYS("access/refused"), REFUSED("access")},
    {FIELD(access_refused_busy), SYS("access/busy"), REFUSED("max_pending_logins")},
    {FIELD(bans_made), SYS("bans/made"), COUNTER("bans_made", "Bans that were made.")},
    {FIELD(bans_in_force), SYS("bans/in force"), GAUGE("bans", "Bans in force.")},
    {FIELD(login_failures), SYS("bans/login failures"),
     COUNTER("login_failures", "Logins that failed.")},
    {FIELD(reads_paused), SYS("paused/reads"),
     COUNTER("read_pauses", "How often clients were not read for a while, by reason."),
     LABEL("reason", "pressure")},
    {FIELD(rate_pauses_in), SYS("paused/rate in"), COUNTER("read_pauses", NULL),
     LABEL("reason", "rate")},
    {FIELD(rate_pauses_out), SYS("paused/rate out"),
     COUNTER("delivery_pauses", "How often deliveries waited because of a client's rate.")},

    // Memory.
    {FIELD(memory), SYS("heap/current"),
     GAUGE("memory_bytes", "Memory of sessions, queues and retained messages, as accounted.")},
    {FIELD(memory_limit), GAUGE("memory_limit_bytes", "Its limit; 0: none.")},
    {FIELD(governor_level), SYS("governor/level"), // core/governor.h
     GAUGE("governor_level", "What gives way to save memory: 0 nothing, 4 and 5 every CONNECT.")},

    // The store; all 0 with persistence false.
    {FIELD(commits), SYS("persistence/commits"), COUNTER("store_commits", "Commits of the log.")},
    {FIELD(commit_times),
     DURATIONS("store_commit_duration_seconds", "How long these took, with their sync.")},
    {FIELD(commit_sizes), SIZES("store_commit_records", "How many records each had.")},
    {FIELD(commit_records), SYS("persistence/records"),
     COUNTER("store_records", "Records in these commits.")},
    {FIELD(commit_bytes), SYS("persistence/bytes written"),
     COUNTER("store_written_bytes", "Bytes in these commits.")},
    {FIELD(checkpoints), COUNTER("store_checkpoints", "Times that the log went into the state.")},
    {FIELD(log_bytes), SYS("persistence/log bytes"),
     GAUGE("store_log_bytes", "The log that is not in the state yet.")},
    {FIELD(pages_loaded), SYS("persistence/pages loaded"),
     COUNTER("store_pages_loaded", "Parts of queues that were read back from the disk.")},
    {FIELD(failures), SYS("persistence/failures"),
     COUNTER("store_failures", "Writes that failed; they are tried again.")},
    {FIELD(failing), SYS("persistence/failing"),
     GAUGE("store_failing", "1: the disk is full or fails, and messages are refused.")},
    {FIELD(quarantined), SYS("persistence/quarantined"),
     GAUGE("store_quarantined", "1: a damaged store was moved aside at the start.")},

    // Files that are read again.
    {FIELD(config_reload_failed), SYS("config/reload failed"),
     GAUGE("reload_failed", "1: what the files say now is not in force."),
     LABEL("files", "config")},
    {FIELD(tls_reload_failed), SYS("tls/reload failed"), GAUGE("reload_failed", NULL),
     LABEL("files", "tls")},
    {FIELD(access_reload_failed), SYS("access/reload failed"), GAUGE("reload_failed", NULL),
     LABEL("files", "access")},
    {FIELD(certificate_days), SYS("tls/certificate days left")},
    {FIELD(certificate_s),
     GAUGE("tls_certificate_remaining_seconds",
           "Until the first of the listeners' certificates ends; 0: it has ended.")},
    {FIELD(log_lines_dropped), COUNTER("log_lines_dropped", "Lines of the log that were lost.")},

    // Ways in.
    {FIELD(tls_handshakes), SYS("tls/handshakes"),
     COUNTER("tls_handshakes", "TLS handshakes that were completed.")},
    {FIELD(tls_resumed), SYS("tls/resumed"),
     COUNTER("tls_resumed", "Those that resumed a session.")},
    {FIELD(tls_failures), SYS("tls/failures"), COUNTER("tls_failures", "TLS that failed.")},
    {FIELD(handshakes_pending), SYS("handshakes/pending"), // TLS, upgrades, PROXY headers
     GAUGE("handshakes_pending", "Connections in a handshake of any kind.")},
    {FIELD(access_asked), SYS("access/asked"), // who was not known at once
     COUNTER("access_questions", "Questions about clients, to files and services.")},
    {FIELD(access_waiting), SYS("access/waiting"),
     GAUGE("access_waiting", "Those that nobody has taken up yet.")},

    // The HTTP service that is asked (auth_http_url, auth_http_acl_url); all 0 without.
    {HTTP(questions), SYS("auth http/questions"),
     COUNTER("auth_http_questions", "Questions to the HTTP service.")},
    {HTTP(requests), SYS("auth http/requests"),
     COUNTER("auth_http_requests", "Requests to the HTTP service.")},
    {HTTP(joined), SYS("auth http/joined"),
     COUNTER("auth_http_joined", "Questions that waited for the request of an equal one.")},
    {HTTP(cache_hits), SYS("auth http/cache hits"),
     COUNTER("auth_http_cache_hits", "Questions whose answer was known.")},
    {HTTP(cached), SYS("auth http/cached"), GAUGE("auth_http_cache_answers", "Known answers.")},
    {HTTP(cached_bytes), SYS("auth http/cached bytes"),
     GAUGE("auth_http_cache_bytes", "Memory of known answers.")},
    {HTTP(allowed), SYS("auth http/allowed"), COUNTER("auth_http_answers", "Answers, by kind."),
     LABEL("answer", "allow")},
    {HTTP(denied), SYS("auth http/denied"), COUNTER("auth_http_answers", NULL),
     LABEL("answer", "deny")},
    {HTTP(ignored), SYS("auth http/ignored"), COUNTER("auth_http_answers", NULL),
     LABEL("answer", "ignore")},
    {HTTP(under_way), SYS("auth http/under way"),
     GAUGE("auth_http_requests_pending", "Requests that wait for their answer.")},
    {HTTP(refused_busy), SYS("auth http/refused/busy"),
     COUNTER("auth_http_refusals", "Questions that got no answer, by reason."),
     LABEL("reason", "busy")},
    {HTTP(refused_too_large), SYS("auth http/refused/too large"), HTTP_NO("too_large")},
    {HTTP(refused_timeout), SYS("auth http/refused/timeout"), HTTP_NO("timeout")},
    {HTTP(refused_unreachable), SYS("auth http/refused/unreachable"), HTTP_NO("unreachable")},
    {HTTP(refused_failed), SYS("auth http/refused/failed"), HTTP_NO("failed")},
    {HTTP(refused_no_sense), SYS("auth http/refused/no sense"), HTTP_NO("no_sense")},
    {HTTP(refused_down), SYS("auth http/refused/down"), HTTP_NO("down")},

    // Where there are other nodes.
    {NODES(nodes_alive, "nodes/alive"),
     GAUGE("cluster_nodes", "Nodes as this one sees them, with it; not who has left."),
     LABEL("state", "alive")},
    {NODES(nodes_dead, "nodes/dead"), GAUGE("cluster_nodes", NULL), LABEL("state", "dead")},
    {NODES(nodes_left_out, "nodes/left out"), GAUGE("cluster_nodes", NULL),
     LABEL("state", "left_out")},
    {NODES(links_up, "links/up"), GAUGE("cluster_links", "Links to other nodes that are up.")},
    {NODES(routes_ours, "routes/ours"),
     GAUGE("cluster_routes", "Filters and share groups that nodes are told of, by whose they are."),
     LABEL("owner", "this")},
    {NODES(routes_theirs, "routes/theirs"), GAUGE("cluster_routes", NULL),
     LABEL("owner", "others")},
    {NODES(routes_told, "routes/told"),
     COUNTER("cluster_routes_told", "Filters and share groups, and changes, told to other nodes.")},
    {NODES(divergence, "routes/divergence"),
     COUNTER("cluster_route_divergence",
             "Times that what is here of a node's routes was not what it has: taken anew.")},
    {NODES(routes_refused, "routes/refused"),
     COUNTER("cluster_routes_refused", "Filters and sessions beyond what a node may tell others.")},
    {NODES(doubled, "sessions/doubled"),
     COUNTER("cluster_sessions_doubled",
             "Sessions that ended because their clients have later ones on other nodes.")},
    {NODES(wills_held, "wills/held"),
     GAUGE("cluster_wills", "Wills of other nodes' clients, in case these nodes die.")},
    {NODES(wills_refused, "wills/refused"),
     COUNTER("cluster_wills_refused", "Wills of other nodes' clients that found no room.")},
    {NODES(wills_published, "wills/published"),
     COUNTER("cluster_wills_published", "Wills of clients whose nodes had died.")},
    {NODES(waiting, "messages/waiting"),
     GAUGE("cluster_messages_waiting", "Messages that other nodes have not acknowledged.")},
    {NODES(cleared, "retained/cleared"),
     GAUGE("cluster_cleared", "Topics that were cleared, as long as other nodes may not know it.")},
    {NODES(cleared_forgotten, "retained/forgotten"),
     COUNTER("cluster_cleared_forgotten",
             "Those beyond the limit: a node that was away may bring them back.")},
    {NODES(versions_refused, "versions/refused"),
     COUNTER("cluster_versions_refused", "CONNECTs of nodes that speak another version.")},
    {NODES(strangers, "strangers"),
     COUNTER("cluster_strangers", "Datagrams and CONNECTs by another secret or cluster name.")},
};
// clang-format on

const uint32_t figure_count = ARRAY_LEN(figure_table);

// ---- The sums -----------------------------------------------------------------------------------

static void
add_listener(const struct listener_stats *stats, struct figures *ret)
{
#define X(name) ret->name += stat_get(&stats->name);
    TRAFFIC_TABLE(X)
    DROPS_TABLE(X)
#undef X
}

static void
add_shards(const struct broker *broker, struct figures *ret)
{
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct shard *shard = broker->shards[i];
        if (!shard)
            continue;
#define X(name) ret->name += stat_get(&shard->stats.name);
        STATS_TABLE(X)
#undef X
        for (unsigned k = 0; k < ARRAY_LEN(shard->listeners); k++)
            add_listener(&shard->listeners[k], ret);
        durations_sum(&shard->samples.acknowledged, &ret->acknowledged);
        durations_sum(&shard->samples.delivered, &ret->delivered);
    }
}

static void
add_beat(const struct broker_beat *beat, struct figures *ret)
{
    durations_sum(&beat->ticks, &ret->ticks);
    durations_sum(&beat->late_timers, &ret->late_timers);
}

static void
add_shared(const struct broker *broker, struct figures *ret)
{
    struct retained_stats retained;
    retained_stats(broker->retained, &retained);
    ret->retained_count = retained.count;
    ret->retained_bytes = retained.bytes;
    ret->memory = broker_memory(broker);
    ret->memory_limit = stat_get(&broker->memory_max);
    ret->config_reload_failed = atomic_load(&broker->config_reload_failed);
    ret->tls_reload_failed = atomic_load(&broker->tls_reload_failed);
    ret->access_reload_failed = atomic_load(&broker->access_reload_failed);
    for (unsigned i = 0; i < ACCESS_HTTP_COUNTS; i++)
        ret->http[i] = stat_get(&broker->http_stats.counts[i]);
    ret->access_waiting = broker->desk ? access_waiting(broker->desk) : 0;
    ret->governor_level = atomic_load_explicit(&broker->level, memory_order_relaxed);
    ret->bans_in_force = bans_count(broker->bans);
    ret->log_lines_dropped = broker->log ? log_dropped(broker->log) : 0;
    ret->draining = drain_is_on(&broker->drain);
    if (ret->draining && !drain_left(&broker->drain, broker->shard_count, &ret->drain_left))
        ret->drain_left = ret->clients_connected;
    ret->workers = broker->shard_count;
    for (unsigned i = 0; i < broker->shard_count; i++)
        add_beat(&broker->beats[i], ret);
    ret->on_uring = broker->io == IO_BACKEND_URING;
    ret->on_epoll = broker->io == IO_BACKEND_EPOLL;
    ret->one = 1;
}

static void
add_times(const struct broker *broker, uint64_t now_ms, struct figures *ret)
{
    must(now_ms >= broker->started_ms);
    ret->uptime_s = (now_ms - broker->started_ms) / 1000;
    ret->started_s = broker->started_wall_ms / 1000;
    ret->certificate_s = ret->certificate_days = FIGURE_NONE;
    int64_t ends_s = atomic_load(&broker->certificate_ends_s);
    if (ends_s == INT64_MAX)
        return;
    int64_t now_s = (int64_t)((now_ms + broker_wall_offset(broker)) / 1000);
    ret->certificate_s = ends_s > now_s ? (uint64_t)(ends_s - now_s) : 0;
    ret->certificate_days = ret->certificate_s / DAY_S;
}

static void
add_store(const struct keeper *keeper, struct figures *ret)
{
    ret->commits = stat_get(&keeper->commits);
    ret->commit_records = stat_get(&keeper->records);
    ret->commit_bytes = stat_get(&keeper->bytes_written);
    ret->log_bytes = stat_get(&keeper->log_bytes);
    ret->checkpoints = stat_get(&keeper->checkpoints);
    ret->failures = stat_get(&keeper->failures);
    ret->failing = atomic_load_explicit(&keeper->failing, memory_order_relaxed);
    ret->quarantined = keeper->quarantined;
    durations_sum(&keeper->commit_times, &ret->commit_times);
    durations_sum(&keeper->commit_sizes, &ret->commit_sizes);
}

// What Mosquitto's topics mean.
static void
derive(struct figures *f)
{
    f->dropped = f->dropped_queue_full + f->dropped_slow_consumer + f->dropped_expired +
                 f->dropped_too_large + f->dropped_memory + f->dropped_not_allowed +
                 f->dropped_no_member + f->dropped_session_end + f->dropped_disk + f->dropped_rate;
    f->disconnected = f->sessions > f->clients_connected ? f->sessions - f->clients_connected : 0;
    f->stored = f->messages_queued + f->messages_inflight + f->retained_count;
    f->subscriptions_all = f->subscriptions + f->shared_subscriptions;
    f->stored_bytes = f->messages_queued_bytes + f->retained_bytes;
}

void
figures_gather(const struct broker *broker, uint64_t now_ms, struct figures *ret)
{
    must(broker->shard_count >= 1);
    memset(ret, 0, sizeof *ret);
    add_shards(broker, ret);
    add_shared(broker, ret);
    add_times(broker, now_ms, ret);
    if (broker->keeper)
        add_store(broker->keeper, ret);
    memset(&ret->cluster, 0xff, sizeof ret->cluster); // FIGURE_NONE
    if (broker->cluster)
        broker->cluster->ops->figures(broker->cluster, &ret->cluster);
    derive(ret);
    must(ret->workers > 0 && ret->one == 1);
}
