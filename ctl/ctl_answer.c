// ctl_answer.c - what the broker says to ternmqctl, as JSON.
#include "ctl/ctl_answer.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "core/base/log.h"
#include "core/base/mem.h"

#include "core/acl.h"
#include "core/address.h"
#include "core/broker.h"
#include "core/cluster.h"
#include "core/figures.h"
#include "core/keeper.h"
#include "core/mqtt.h"
#include "io/listener.h"

#define SYS_ROOT "$SYS/broker/"

static void
put(json_t *object, const char *name, json_t *value)
{
    must(value != NULL);
    int rc = json_object_set_new(object, name, value);
    must(rc == 0);
}

static void
put_number(json_t *object, const char *name, uint64_t number)
{
    put(object, name, json_integer((json_int_t)min_u64(number, INT64_MAX)));
}

static void
put_text(json_t *object, const char *name, const char *text)
{
    put(object, name, ctl_text(slice_str(text)));
}

json_t *
ctl_text(struct slice text)
{
    json_t *value = json_stringn(text.len > 0 ? (const char *)text.data : "", text.len);
    if (value)
        return value;
    char *plain = mem_strndup(text.data, text.len);
    for (uint32_t i = 0; i < text.len; i++)
        if ((uint8_t)plain[i] >= 0x80)
            plain[i] = '?';
    value = json_stringn(plain, text.len);
    mem_free(plain);
    must(value != NULL);
    return value;
}

json_t *
ctl_good(void)
{
    json_t *answer = json_object();
    put_number(answer, "v", CTL_VERSION);
    put(answer, "ok", json_true());
    return answer;
}

json_t *
ctl_bad(const char *error, const char *format, ...)
{
    char text[768];
    must(error[0] != '\0');
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_t *answer = json_object();
    put_number(answer, "v", CTL_VERSION);
    put(answer, "ok", json_false());
    put_text(answer, "error", error);
    put_text(answer, "text", text);
    return answer;
}

// ---- The broker ---------------------------------------------------------------------------------

static json_t *
figures_of(const struct figures *figures)
{
    json_t *object = json_object();
    for (uint32_t i = 0; i < figure_count; i++) {
        const struct figure *figure = &figure_table[i];
        if (!figure->topic)
            continue;
        uint64_t value = figure_value(figure, figures);
        must(strncmp(figure->topic, SYS_ROOT, sizeof SYS_ROOT - 1) == 0);
        if (value != FIGURE_NONE)
            put_number(object, figure->topic + sizeof SYS_ROOT - 1, value);
    }
    return object;
}

void
ctl_put_number(json_t *answer, const char *name, uint64_t number)
{
    put_number(answer, name, number);
}

// "draining" until all have gone, and then "drained"; whoever comes is refused from then on.
void
ctl_put_drain(json_t *answer, const struct broker *broker, uint64_t now_ms)
{
    struct drain_view view;
    uint64_t left;
    drain_look(&broker->drain, now_ms, &view);
    bool known = drain_left(&broker->drain, broker->shard_count, &left);
    bool over = known && left == 0;
    must(view.on || !view.ends);
    json_t *drain = json_object();
    put_text(drain, "state",
             !view.on     ? "off"
             : !view.ends ? "delayed"
             : over       ? "drained"
                          : "draining");
    put(drain, "left", view.ends && known ? json_integer((json_int_t)left) : json_null());
    put_number(drain, "ends_in_s",
               view.on && view.end_ms > now_ms ? (view.end_ms - now_ms + 999) / 1000 : 0);
    put(answer, "drain", drain);
}

void
ctl_put_decommission(json_t *answer, const struct broker *broker)
{
    struct cluster *cluster = broker->cluster;
    struct move_view view = {.state = "off"};
    if (cluster)
        cluster->ops->move_view(cluster, &view);
    json_t *object = json_object();
    put_text(object, "state", view.state);
    put_number(object, "left", view.left);
    put_number(object, "moved", view.moved);
    put(object, "waits_for", view.waits_for[0] ? json_string(view.waits_for) : json_null());
    put(answer, "decommission", object);
}

void
ctl_put_rebalance(json_t *answer, const struct broker *broker)
{
    static const char *const states[] = {
        [REBALANCE_NONE] = "none",       [REBALANCE_RUNS] = "runs",
        [REBALANCE_DONE] = "balanced",   [REBALANCE_NOBODY] = "nobody",
        [REBALANCE_STOPPED] = "stopped",
    };
    struct rebalance_view view;
    rebalance_look(&broker->rebalance, &view);
    must(view.state < ARRAY_LEN(states));
    json_t *rebalance = json_object();
    put_text(rebalance, "state", states[view.state]);
    put_number(rebalance, "sent", view.sent);
    put_number(rebalance, "surplus", view.plan.surplus);
    put_number(rebalance, "rate", view.plan.rate);
    put(answer, "rebalance", rebalance);
}

static json_t *
listeners_of(const struct listen_set *listeners)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < listen_count(listeners); i++) {
        json_t *object = json_object();
        put_text(object, "listener", listen_text(listeners, i));
        put_number(object, "connections", listen_connections(listeners, i));
        (void)json_array_append_new(list, object);
    }
    return list;
}

json_t *
ctl_status(const struct broker *broker, const struct listen_set *listeners, uint64_t now_ms)
{
    struct figures figures;
    figures_gather(broker, now_ms, &figures);
    json_t *answer = ctl_good();
    put_text(answer, "version", TERN_VERSION);
    put_number(answer, "pid", (uint64_t)getpid());
    put_number(answer, "uptime_s", figures.uptime_s);
    put_number(answer, "started", figures.started_s);
    put_number(answer, "workers", figures.workers);
    put_text(answer, "io", broker_io_name(broker));
    put(answer, "persistence", json_boolean(broker->keeper && broker->keeper->on));
    put(answer, "cluster", json_boolean(broker->cluster != NULL));
    ctl_put_drain(answer, broker, now_ms);
    ctl_put_rebalance(answer, broker);
    ctl_put_decommission(answer, broker);
    put(answer, "listeners", listeners_of(listeners));
    put_number(answer, "memory_limit", figures.memory_limit);
    put(answer, "figures", figures_of(&figures));
    return answer;
}

// A number that may not be known.
static void
put_known(json_t *object, const char *name, bool known, uint64_t number)
{
    put(object, name, known ? json_integer((json_int_t)min_u64(number, INT64_MAX)) : json_null());
}

static void
put_hash(json_t *object, const char *name, bool known, uint64_t hash)
{
    char text[20];
    (void)snprintf(text, sizeof text, "%016" PRIx64, hash);
    put(object, name, known ? json_string(text) : json_null());
}

static void
put_routes(json_t *object, const struct node_link *link)
{
    static const char *const copies[] = {
        [NODE_COPY_NONE] = "none",       [NODE_COPY_SAME] = "same", [NODE_COPY_BEHIND] = "behind",
        [NODE_COPY_DIFFERS] = "differs", [NODE_COPY_OWN] = "own",
    };
    must(link->copy < ARRAY_LEN(copies));
    bool known = link->copy != NODE_COPY_NONE;
    put_number(object, "routes", link->routes);
    put_text(object, "copy", copies[link->copy]);
    put_known(object, "seq", known, link->seq);
    put_hash(object, "hash", known, link->hash);
}

static void
put_link(json_t *object, const struct node_link *link)
{
    bool known = link->copy != NODE_COPY_NONE;
    put_known(object, "said_seq", known, link->said_seq);
    put_hash(object, "said_hash", known, link->said_hash);
    put_number(object, "sessions", link->sessions);
    put(object, "link", json_boolean(link->up));
    put(object, "link_from", json_boolean(link->from_up));
    put_number(object, "taken", link->taken);
    put_number(object, "waiting", link->waiting);
    put_number(object, "inflight", link->inflight);
    put_number(object, "bytes", link->bytes);
    put_number(object, "on_disk", link->on_disk);
    put_number(object, "on_disk_bytes", link->disk_bytes);
    put_known(object, "lag_ms", link->lag_known, link->lag_ms);
}

static json_t *
node_of(const struct cluster_node *node)
{
    json_t *object = json_object();
    must(strlen(node->id) <= NODE_ID_LEN && node->state);
    put_text(object, "id", node->id);
    put_text(object, "name", node->name);
    put(object, "self", json_boolean(node->self));
    put_text(object, "state", node->state);
    put(object, "draining", json_boolean(node->draining));
    put_number(object, "state_s", node->state_s);
    put_number(object, "incarnation", node->incarnation);
    put_text(object, "address", node->address);
    put(object, "version",
        node->version[0] != '\0' ? ctl_text(slice_str(node->version)) : json_null());
    put_known(object, "uptime_s", node->has_load, node->load.uptime_s);
    put_known(object, "clients", node->has_load, node->load.clients);
    put_known(object, "in_per_s", node->has_load, node->load.in_rate);
    put_known(object, "out_per_s", node->has_load, node->load.out_rate);
    put_routes(object, &node->link);
    if (!node->self)
        put_link(object, &node->link);
    return object;
}

json_t *
ctl_cluster(const struct broker *broker)
{
    struct cluster_node nodes[CLUSTER_MEMBERS_MAX];
    struct cluster_figures figures;
    struct cluster *cluster = broker->cluster;
    if (!cluster)
        return ctl_bad("no_cluster", "this broker is alone: it has no cluster_name");
    cluster->ops->figures(cluster, &figures);
    uint32_t count = cluster->ops->nodes(cluster, nodes);
    must(count <= CLUSTER_MEMBERS_MAX);
    json_t *answer = ctl_good(), *list = json_array();
    for (uint32_t i = 0; i < count; i++)
        (void)json_array_append_new(list, node_of(&nodes[i]));
    put_text(answer, "node", cluster->id);
    put(answer, "encrypted", json_boolean(cluster->keys.count > 0));
    put_number(answer, "routes", figures.routes_ours);
    put_number(answer, "links_up", figures.links_up);
    put_number(answer, "strangers", figures.strangers);
    put(answer, "nodes", list);
    return answer;
}

// ---- Clients ------------------------------------------------------------------------------------

static const char *
version_text(uint8_t version)
{
    return version == MQTT_5     ? "5"
           : version == MQTT_311 ? "3.1.1"
           : version == MQTT_31  ? "3.1"
                                 : "";
}

static json_t *
will_of(const struct control_row *row)
{
    must(row->will_qos <= 2);
    if (!row->topic.data)
        return json_null();
    json_t *will = json_object();
    put(will, "topic", ctl_text(row->topic));
    put_number(will, "qos", row->will_qos);
    put(will, "retain", json_boolean(row->will_retain));
    put_number(will, "delay_s", row->will_delay_s);
    return will;
}

static uint64_t
since_of(uint64_t ms, const struct ctl_times *now)
{
    must(now->wall_ms > 0);
    uint64_t ago_ms = now->mono_ms > ms ? now->mono_ms - ms : 0;
    return (now->wall_ms - min_u64(ago_ms, now->wall_ms)) / 1000;
}

static uint64_t
until_of(uint64_t ms, const struct ctl_times *now)
{
    return ms > now->mono_ms ? (ms - now->mono_ms) / 1000 : 0;
}

static json_t *
client_of(const struct control_row *row, const struct listen_set *listeners,
          const struct ctl_times *now)
{
    json_t *client = json_object();
    bool connected = row->peer.data != NULL;
    must(row->id.data != NULL);
    put(client, "id", ctl_text(row->id));
    put(client, "user", row->user.data ? ctl_text(row->user) : json_null());
    put(client, "connected", json_boolean(connected));
    put_text(client, "version", version_text(row->version));
    if (connected) {
        put(client, "address", ctl_text(row->peer));
        put_text(client, "listener", listen_text(listeners, row->listener));
        put_number(client, "connected_since", since_of(row->connected_ms, now));
        put_number(client, "keep_alive_s", row->keep_alive_s);
    } else if (row->expires_ms != UINT64_MAX) {
        put_number(client, "expires_in_s", until_of(row->expires_ms, now));
    }
    put_number(client, "inflight", row->inflight);
    put_number(client, "queued", row->queued);
    put_known(client, "oldest_ms", row->oldest_ms > 0,
              now->mono_ms > row->oldest_ms ? now->mono_ms - row->oldest_ms : 0);
    put_number(client, "output_bytes", row->output_bytes);
    put_number(client, "dropped", row->dropped);
    put_number(client, "messages_in", row->messages_in);
    put_number(client, "messages_out", row->messages_out);
    put_number(client, "subscriptions", row->sub_count);
    put(client, "session_expiry_s",
        row->expiry_s == MQTT_EXPIRY_NEVER ? json_null() : json_integer(row->expiry_s));
    put(client, "will", will_of(row));
    return client;
}

json_t *
ctl_clients(const struct control_rows *rows, const struct listen_set *listeners,
            const struct ctl_times *now)
{
    json_t *list = json_array();
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(rows, &at, &row);)
        (void)json_array_append_new(list, client_of(&row, listeners, now));
    must(json_array_size(list) == rows->count);
    return list;
}

json_t *
ctl_subscriptions(const struct control_rows *rows)
{
    json_t *list = json_array();
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(rows, &at, &row);) {
        json_t *sub = json_object();
        must(row.topic.len > 0 && row.options.qos <= 2);
        put(sub, "id", ctl_text(row.id));
        put(sub, "filter", ctl_text(row.topic));
        put(sub, "share", row.group.data ? ctl_text(row.group) : json_null());
        put_number(sub, "qos", row.options.qos);
        put(sub, "no_local", json_boolean(row.options.no_local));
        put(sub, "retain_as_published", json_boolean(row.options.retain_as_published));
        put(sub, "subscription_id",
            row.subscription_id ? json_integer(row.subscription_id) : json_null());
        (void)json_array_append_new(list, sub);
    }
    must(json_array_size(list) == rows->count);
    return list;
}

// ---- Retained messages, reports -----------------------------------------------------------------

json_t *
ctl_retained(const struct msg *msg, const struct ctl_times *now)
{
    json_t *object = json_object();
    must(msg->topic_len > 0 && msg->qos <= 2);
    put(object, "topic", ctl_text(msg_topic(msg)));
    put_number(object, "bytes", msg->payload_len);
    put_number(object, "qos", msg->qos);
    put_number(object, "since", since_of(msg->arrived_ms, now));
    put(object, "expires_in_s",
        msg->expires_ms ? json_integer((json_int_t)until_of(msg->expires_ms, now)) : json_null());
    return object;
}

static json_t *
problems_of(const struct config_problem *problems, uint32_t count)
{
    json_t *list = json_array();
    for (uint32_t i = 0; i < min_u32(count, CONFIG_PROBLEMS_MAX); i++)
        (void)json_array_append_new(list, ctl_text(slice_str(problems[i].text)));
    return list;
}

json_t *
ctl_report(const char *refusal, err_t err, const struct config_report *report, const char *problem)
{
    json_t *answer = err == OK ? ctl_good() : ctl_bad("refused", "%s", refusal);
    must(answer != NULL);
    json_t *errors = problems_of(report->errors, report->error_count);
    if (err != OK && problem[0] != '\0')
        (void)json_array_append_new(errors, ctl_text(slice_str(problem)));
    put(answer, "problems", errors);
    put(answer, "warnings", problems_of(report->warnings, report->warning_count));
    return answer;
}

// ---- Bans, log, configuration -------------------------------------------------------------------

json_t *
ctl_ban(const struct ban *ban, uint64_t now_ms)
{
    json_t *object = json_object();
    char address[ADDRESS_TEXT_MAX];
    must(ban->kind <= BAN_CLIENT_AT);
    bool client = ban->kind == BAN_CLIENT || ban->kind == BAN_CLIENT_AT;
    bool at = ban->kind == BAN_ADDRESS || ban->kind == BAN_CLIENT_AT;
    if (at)
        address_format(ban->address, address);
    put(object, "client", client ? ctl_text(ban->name) : json_null());
    put(object, "user", ban->kind == BAN_USER ? ctl_text(ban->name) : json_null());
    put(object, "address", at ? json_string(address) : json_null());
    uint64_t left_ms = ban->until_ms > now_ms ? ban->until_ms - now_ms : 0;
    put_known(object, "expires_in_s", ban->until_ms != BANS_NEVER, (left_ms + 999) / 1000);
    return object;
}

json_t *
ctl_log_types(uint32_t types)
{
    json_t *list = json_array();
    must((types & ~(uint32_t)LOG_T_ALL) == 0);
    for (unsigned i = 0; i < LOG_TYPES; i++)
        if (types >> i & 1)
            (void)json_array_append_new(list, json_string(log_type_names[i]));
    return list;
}

static void
add_key(void *arg, const struct config_shown *shown)
{
    json_t *object = json_object();
    must(shown->key && shown->value);
    put(object, "listener", shown->listener < 0 ? json_null() : json_integer(shown->listener));
    put_text(object, "key", shown->key);
    put_text(object, "value", shown->value);
    (void)json_array_append_new(arg, object);
}

json_t *
ctl_config(const struct config *config)
{
    json_t *answer = ctl_good(), *list = json_array();
    config_show(config, add_key, list);
    put(answer, "file", config->file ? ctl_text(slice_str(config->file)) : json_null());
    put(answer, "keys", list);
    return answer;
}

// ---- Explanations -------------------------------------------------------------------------------

static json_t *
verdict_of(const struct control_row *row)
{
    static const char *const actions[ACL_ACTIONS] = {
        [ACL_PUBLISH] = "publish",
        [ACL_RECEIVE] = "receive",
        [ACL_SUBSCRIBE] = "subscribe",
        [ACL_UNSUBSCRIBE] = "unsubscribe",
    };
    json_t *object = json_object();
    must(row->action < ACL_ACTIONS && row->why);
    put_text(object, "action", actions[row->action]);
    put(object, "allowed", json_boolean(row->allowed));
    put_text(object, "why", row->why);
    put(object, "rule", row->topic.data ? ctl_text(row->topic) : json_null());
    put(object, "where", row->group.data ? ctl_text(row->group) : json_null());
    put(object, "asked_outside", json_boolean(row->outside));
    return object;
}

static json_t *
match_of(const struct control_row *row)
{
    json_t *object = json_object();
    must(row->why && row->qos <= 2);
    put(object, "client", row->node ? json_null() : ctl_text(row->id));
    put(object, "node", row->node ? ctl_text(row->id) : json_null());
    put(object, "connected", json_boolean(row->peer.data != NULL));
    put(object, "filter", ctl_text(row->topic));
    put(object, "share", row->group.data ? ctl_text(row->group) : json_null());
    put_number(object, "qos", row->qos);
    put_number(object, "inflight", row->inflight);
    put_number(object, "queued", row->queued);
    put_text(object, "fate", row->why);
    return object;
}

void
ctl_put_explanation(json_t *answer, const struct control_rows *rows,
                    const struct listen_set *listeners, const struct ctl_times *now)
{
    json_t *verdicts = json_array(), *matches = json_array();
    struct control_row row;
    uint32_t at = 0;
    bool first = control_rows_next(rows, &at, &row);
    must(first && !row.verdict);
    put(answer, "client", client_of(&row, listeners, now));
    while (control_rows_next(rows, &at, &row))
        (void)json_array_append_new(row.verdict ? verdicts : matches,
                                    row.verdict ? verdict_of(&row) : match_of(&row));
    put(answer, "verdicts", verdicts);
    put(answer, "subscriptions", matches);
}

json_t *
ctl_matches(const struct control_rows *rows)
{
    json_t *list = json_array();
    struct control_row row;
    for (uint32_t at = 0; control_rows_next(rows, &at, &row);)
        (void)json_array_append_new(list, match_of(&row));
    must(json_array_size(list) == rows->count);
    return list;
}
