// metrics_parts.c - what each listener has, and each link to another node.
#include <inttypes.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/cluster.h"
#include "core/shard.h"
#include "http/metrics_page.h"
#include "io/listener.h"

#define LABELS_MAX         (METRICS_LINE_MAX / 2)
#define LISTENER_LABEL_MAX (LABELS_MAX + 16)

// ---- Listeners ----------------------------------------------------------------------------------

struct listener_row {
    struct figure figure;
    size_t offset; // in struct listener_stats; SIZE_MAX: how many connections there are
};

#define LISTENER(kind_, name, help_)                                               \
    {                                                                              \
        .kind = FIGURE_##kind_, .metric = "ternmq_listener_" name, .help = (help_) \
    }
#define COUNT(field) offsetof(struct listener_stats, field)

static const struct listener_row listener_rows[] = {
    {LISTENER(GAUGE, "connections", "Connections of each listener."), SIZE_MAX},
    {LISTENER(COUNTER, "connections_opened", "Connections that each listener accepted."),
     COUNT(opened)},
    {LISTENER(COUNTER, "connections_refused",
              "Connections and CONNECTs that were refused, for any reason."),
     COUNT(refused)},
    {LISTENER(COUNTER, "received_bytes", "Bytes that came by each listener."),
     COUNT(bytes_received)},
    {LISTENER(COUNTER, "sent_bytes", "Bytes that went by each listener."), COUNT(bytes_sent)},
    {LISTENER(COUNTER, "messages_received", "PUBLISH packets from the clients of each listener."),
     COUNT(publish_received)},
    {LISTENER(COUNTER, "messages_sent", "PUBLISH packets to the clients of each listener."),
     COUNT(publish_sent)},
};

static const struct figure listener_drops = LISTENER(
    COUNTER, "messages_dropped",
    "Messages from or for the clients of each listener that were not delivered, by reason.");

static const struct {
    const char *name;
    size_t offset;
} listener_reasons[] = {
#define X(name) {#name, COUNT(name)},
    DROPS_TABLE(X)
#undef X
};

static uint64_t
listener_sum(const struct broker *broker, uint32_t listener, size_t offset)
{
    uint64_t sum = 0;
    must(listener < CONFIG_LISTENERS_MAX && offset + sizeof sum <= sizeof(struct listener_stats));
    for (unsigned i = 0; i < broker->shard_count; i++) {
        const struct shard *shard = broker->shards[i];
        if (!shard)
            continue;
        const char *stats = (const char *)&shard->listeners[listener];
        sum += stat_get((const _Atomic uint64_t *)(const void *)(stats + offset));
    }
    return sum;
}

static void
put_drops(struct page *page, const struct broker *broker, uint32_t listener, const char *label)
{
    for (unsigned r = 0; r < ARRAY_LEN(listener_reasons); r++) {
        char labels[LABELS_MAX + 64];
        (void)snprintf(labels, sizeof labels, "%s,reason=\"%s\"", label,
                       listener_reasons[r].name + strlen("dropped_"));
        page_sample(page, &listener_drops, labels,
                    listener_sum(broker, listener, listener_reasons[r].offset));
    }
}

static void
write_listener(const struct listen_set *listeners, uint32_t listener, char ret[LISTENER_LABEL_MAX])
{
    char text[LABELS_MAX];
    metrics_escape(listen_text(listeners, listener), text, sizeof text);
    (void)snprintf(ret, LISTENER_LABEL_MAX, "listener=\"%s\"", text);
}

void
page_listeners(struct page *page, const struct broker *broker, const struct listen_set *listeners)
{
    char label[LISTENER_LABEL_MAX];
    for (unsigned r = 0; r < ARRAY_LEN(listener_rows); r++) {
        const struct listener_row *row = &listener_rows[r];
        page_head(page, &row->figure);
        for (uint32_t i = 0; i < listen_count(listeners); i++) {
            write_listener(listeners, i, label);
            page_sample(page, &row->figure, label,
                        row->offset == SIZE_MAX ? listen_connections(listeners, i)
                                                : listener_sum(broker, i, row->offset));
        }
    }
    page_head(page, &listener_drops);
    for (uint32_t i = 0; i < listen_count(listeners); i++) {
        write_listener(listeners, i, label);
        put_drops(page, broker, i, label);
    }
}

// ---- Links --------------------------------------------------------------------------------------

struct link_row {
    struct figure figure;
    uint64_t (*value)(const struct cluster_node *node);
};

static uint64_t
is_up(const struct cluster_node *node)
{
    return node->link.up;
}

static uint64_t
comes(const struct cluster_node *node)
{
    return node->link.from_up;
}

static uint64_t
waiting(const struct cluster_node *node)
{
    return node->link.waiting;
}

static uint64_t
inflight(const struct cluster_node *node)
{
    return node->link.inflight;
}

static uint64_t
bytes(const struct cluster_node *node)
{
    return node->link.bytes;
}

static uint64_t
routes(const struct cluster_node *node)
{
    return node->link.routes;
}

static uint64_t
sessions(const struct cluster_node *node)
{
    return node->link.sessions;
}

#define LINK(name, help_)                                                            \
    {                                                                                \
        .kind = FIGURE_GAUGE, .metric = "ternmq_cluster_link_" name, .help = (help_) \
    }

static const struct link_row link_rows[] = {
    {LINK("up", "1: this node's connection to the other one is up."), is_up},
    {LINK("from_up", "1: the other node's connection to this one is up."), comes},
    {LINK("messages_waiting", "Messages that the other node has not acknowledged."), waiting},
    {LINK("messages_inflight", "Those of them that were sent on this connection."), inflight},
    {LINK("queued_bytes", "Bytes of those that were not sent yet."), bytes},
    {LINK("routes", "Filters of the other node that are in force here."), routes},
    {LINK("sessions", "Sessions that the other node keeps."), sessions},
};

static const struct figure lag =
    LINK("lag_seconds", "Age of the oldest message that waits, as far as it is in memory.");

// Names may be there twice: the identifier makes the difference.
static void
write_labels(const struct cluster_node *node, char ret[LABELS_MAX])
{
    char name[2 * NODE_NAME_LEN + 2];
    metrics_escape(node->name, name, sizeof name);
    (void)snprintf(ret, LABELS_MAX, "node=\"%s\",id=\"%s\"", name, node->id);
}

// Not ourselves, nor who has left in order: that is no link that is down. Returns how many.
static uint32_t
keep_linked(struct cluster_node *nodes, uint32_t count)
{
    uint32_t kept = 0;
    must(count <= CLUSTER_MEMBERS_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (!nodes[i].self && strcmp(nodes[i].state, "gone") != 0)
            nodes[kept++] = nodes[i];
    return kept;
}

// Where the oldest message is on the disk alone its age is not known, and is not less than this.
static void
put_lag(struct page *page, const struct cluster_node *node)
{
    char labels[LABELS_MAX];
    write_labels(node, labels);
    page_put(page, "%s{%s} %" PRIu64 ".%03" PRIu64 "000\n", lag.metric, labels,
             node->link.lag_ms / 1000, node->link.lag_ms % 1000);
}

// The heads are there without other nodes as well.
void
page_links(struct page *page, struct cluster *cluster)
{
    struct cluster_node *nodes = mem_alloc(CLUSTER_MEMBERS_MAX * sizeof *nodes);
    uint32_t count = keep_linked(nodes, cluster->ops->nodes(cluster, nodes));
    char labels[LABELS_MAX];
    for (unsigned r = 0; r < ARRAY_LEN(link_rows); r++) {
        page_head(page, &link_rows[r].figure);
        for (uint32_t i = 0; i < count; i++) {
            write_labels(&nodes[i], labels);
            page_sample(page, &link_rows[r].figure, labels, link_rows[r].value(&nodes[i]));
        }
    }
    page_head(page, &lag);
    for (uint32_t i = 0; i < count; i++)
        put_lag(page, &nodes[i]);
    mem_free(nodes);
}
