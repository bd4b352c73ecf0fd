// metrics_alias.c - what means the same has the names that other brokers' dashboards know, too.
#include <inttypes.h>
#include <stdio.h>

#include "http/metrics_page.h"

struct alias {
    size_t offset; // in struct figures
    const char *name;
    bool counter;
};

// The names have no _total, which OpenMetrics demands of counters: there their type is not told.
static void
put(struct page *page, const struct figures *figures, const struct alias *alias)
{
    uint64_t value;
    must(alias->offset <= sizeof *figures - sizeof value);
    memcpy(&value, (const char *)figures + alias->offset, sizeof value);
    if (value == FIGURE_NONE)
        return;
    const char *counter = page->format == METRICS_OPEN ? "unknown" : "counter";
    const char *type = alias->counter ? counter : "gauge";
    page_put(page, "# HELP %s What another broker would say (metrics_alias).\n# TYPE %s %s\n",
             alias->name, alias->name, type);
    page_put(page, "%s %" PRIu64 "\n", alias->name, value);
}

#define GAUGE(field, text)                           \
    {                                                \
        offsetof(struct figures, field), text, false \
    }
#define COUNTER(field, text)                        \
    {                                               \
        offsetof(struct figures, field), text, true \
    }

// sapcc/mosquitto-exporter makes its names of the topics under $SYS. Of these, those of mosquitto,
// but for loads, and for what it holds deprecated and leaves out.
static const struct alias mosquitto_names[] = {
    COUNTER(bytes_received, "broker_bytes_received"),
    COUNTER(bytes_sent, "broker_bytes_sent"),
    COUNTER(packets_received, "broker_messages_received"),
    COUNTER(packets_sent, "broker_messages_sent"),
    COUNTER(publish_received, "broker_publish_messages_received"),
    COUNTER(publish_sent, "broker_publish_messages_sent"),
    COUNTER(dropped, "broker_publish_messages_dropped"),
    GAUGE(publish_bytes_received, "broker_publish_bytes_received"),
    GAUGE(publish_bytes_sent, "broker_publish_bytes_sent"),
    GAUGE(clients_connected, "broker_clients_connected"),
    GAUGE(disconnected, "broker_clients_disconnected"),
    GAUGE(sessions, "broker_clients_total"),
    GAUGE(sessions_expired, "broker_clients_expired"),
    GAUGE(memory, "broker_heap_current"),
    GAUGE(stored, "broker_messages_stored"),
    GAUGE(stored, "broker_store_messages_count"),
    GAUGE(stored_bytes, "broker_store_messages_bytes"),
    GAUGE(retained_count, "broker_retained_messages_count"),
    GAUGE(subscriptions, "broker_subscriptions_count"),
    GAUGE(shared_subscriptions, "broker_shared_subscriptions_count"),
    GAUGE(uptime_s, "broker_uptime"),
};

static const struct alias emqx_names[] = {
    GAUGE(clients_connected, "emqx_connections_count"), // as in EMQX 4; 5 adds who is away
    GAUGE(clients_connected, "emqx_live_connections_count"),
    GAUGE(sessions, "emqx_sessions_count"),
    GAUGE(subscriptions_all, "emqx_subscriptions_count"),
    GAUGE(shared_subscriptions, "emqx_subscriptions_shared_count"),
    GAUGE(retained_count, "emqx_retained_count"),
    COUNTER(bytes_received, "emqx_bytes_received"),
    COUNTER(bytes_sent, "emqx_bytes_sent"),
    COUNTER(packets_received, "emqx_packets_received"),
    COUNTER(packets_sent, "emqx_packets_sent"),
    COUNTER(publish_received, "emqx_packets_publish_received"),
    COUNTER(publish_sent, "emqx_packets_publish_sent"),
    COUNTER(publish_received, "emqx_messages_received"),
    COUNTER(publish_sent, "emqx_messages_sent"),
    COUNTER(dropped_queue_full, "emqx_delivery_dropped_queue_full"),
    COUNTER(dropped_expired, "emqx_delivery_dropped_expired"),
    COUNTER(dropped_too_large, "emqx_delivery_dropped_too_large"),
    COUNTER(connections_accepted, "emqx_client_connected"),
    COUNTER(takeovers, "emqx_session_takenover"),
    GAUGE(cluster.nodes_alive, "emqx_cluster_nodes_running"),
    GAUGE(cluster.nodes_dead, "emqx_cluster_nodes_stopped"),
};

void
page_mosquitto(struct page *page, const struct figures *figures)
{
    for (unsigned i = 0; i < ARRAY_LEN(mosquitto_names); i++)
        put(page, figures, &mosquitto_names[i]);
}

void
page_emqx(struct page *page, const struct figures *figures)
{
    for (unsigned i = 0; i < ARRAY_LEN(emqx_names); i++)
        put(page, figures, &emqx_names[i]);
}
