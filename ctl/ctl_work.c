// ctl_work.c - what the requests of ternmqctl do.
//
// What shards must answer is done for one request at a time, in the order in which they came, and a
// page of it: so none waits long, and a shard has one question at most.
#include <errno.h>
#include <signal.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client_handlers.h"
#include "core/cluster.h"
#include "core/registry.h"
#include "core/topic.h"
#include "ctl/ctl_parts.h"

// Nodes of the retained store that are looked at for a page.
#define WALK_STEPS 20000u
#define WALK_PART  256u

static struct ctl_times
now(void)
{
    return (struct ctl_times){.mono_ms = clock_mono_ms(), .wall_ms = clock_wall_ms()};
}

void
ctl_put_cursor(json_t *answer, const struct ctl_cursor *cursor)
{
    char text[CTL_CURSOR_MAX];
    ctl_cursor_write(cursor, text);
    (void)json_object_set_new(answer, "cursor", json_string(text));
}

// What was under way is done. Who asked may have gone.
static void
finish(struct ctl_server *server, struct ctl_conn *conn, json_t *answer)
{
    must(conn->state == CTL_WAITING && answer);
    if (conn->fd >= 0) {
        ctl_conn_answer(conn, answer);
        return;
    }
    json_decref(answer);
    ctl_conn_free(server, conn);
}

// ---- Retained messages --------------------------------------------------------------------------

void
ctl_work_forget(struct ctl_server *server, struct ctl_conn *conn)
{
    if (!conn->walk)
        return;
    must(server->rcu != NULL);
    rcu_online(server->rcu);
    retained_walk_free(conn->walk, server->rcu);
    rcu_offline(server->rcu);
    conn->walk = NULL;
}

// A new walk, or the one whose cursor was given. False: it is answered.
static bool
take_walk(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    if (request->has_cursor) {
        bool good = conn->walk && request->cursor.place.number == conn->walk_number;
        if (!good)
            ctl_conn_answer(conn, ctl_bad("bad_request", "the cursor is not one of this "
                                                         "connection's last answer"));
        return good;
    }
    ctl_work_forget(server, conn);
    struct slice filter = request->filter.data ? request->filter : slice_str("#");
    rcu_online(server->rcu);
    conn->walk = retained_walk_new(server->parts.broker->retained, filter);
    rcu_offline(server->rcu);
    conn->walk_number = ++server->walks;
    return true;
}

// Gives each message of a page to take, which returns false for those that do not count.
static void
walk_page(struct ctl_server *server, struct ctl_conn *conn,
          bool (*take)(struct ctl_server *server, void *arg, const struct msg *msg), void *arg)
{
    uint32_t count = 0, bytes = 0, steps = 0;
    must(conn->walk && conn->request.limit >= 1);
    bool done = false;
    rcu_online(server->rcu);
    while (!done && count < conn->request.limit && bytes < CTL_PAGE_BYTES && steps < WALK_STEPS) {
        struct msg *msg = retained_walk_next(conn->walk, WALK_PART, &done);
        steps += msg ? 1 : WALK_PART;
        if (msg && take(server, arg, msg)) {
            count++;
            bytes += msg->topic_len;
        }
        msg_unref(msg);
    }
    rcu_offline(server->rcu);
    if (done)
        ctl_work_forget(server, conn);
}

static void
put_walk(const struct ctl_conn *conn, json_t *answer)
{
    if (conn->walk)
        ctl_put_cursor(answer, &(struct ctl_cursor){.place = {.number = conn->walk_number}});
}

static bool
list_one(struct ctl_server *server, void *arg, const struct msg *msg)
{
    (void)server;
    const struct ctl_times times = now();
    if (msg->expires_ms && msg->expires_ms <= times.mono_ms)
        return false;
    (void)json_array_append_new(arg, ctl_retained(msg, &times));
    return true;
}

static void
list_retained(struct ctl_server *server, struct ctl_conn *conn)
{
    if (!take_walk(server, conn))
        return;
    json_t *answer = ctl_good(), *list = json_array();
    walk_page(server, conn, list_one, list);
    (void)json_object_set_new(answer, "retained", list);
    put_walk(conn, answer);
    ctl_conn_answer(conn, answer);
}

// The broker's own are not for clients to change.
static bool
collect_one(struct ctl_server *server, void *arg, const struct msg *msg)
{
    struct control_rows *topics = arg;
    must(server->asker == NULL);
    bool reserved = topic_is_reserved(msg_topic(msg));
    if (reserved)
        server->reserved++;
    else
        control_rows_add(topics, &(struct control_row){.topic = msg_topic(msg)});
    return !reserved;
}

static json_t *
forgotten(struct ctl_server *server, const struct ctl_conn *conn)
{
    json_t *answer = ctl_good();
    (void)json_object_set_new(answer, "removed", json_integer(server->question.found));
    (void)json_object_set_new(answer, "reserved", json_integer(server->reserved));
    put_walk(conn, answer);
    return answer;
}

// ---- What shards answer -------------------------------------------------------------------------

static void
ask_shard(struct ctl_server *server, struct ctl_conn *conn)
{
    must(server->asker == NULL || server->asker == conn);
    must(server->shard < server->parts.broker->shard_count);
    server->asker = conn;
    conn->under_way = true;
    control_give(server->parts.broker, server->shard, &server->question);
}

static void
begin_question(struct ctl_server *server, enum control_kind kind, const struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    must(!server->asker && !server->question.rows.bytes);
    server->question = (struct control_question){
        .kind = kind,
        .away = request->away,
        .waiting = request->waiting,
        .id = request->id,
        .text = request->text,
        .filter = request->filter,
        .qos = request->qos,
        .place = request->cursor.place,
        .rows_max = request->limit,
        .bytes_max = CTL_PAGE_BYTES,
    };
    if (kind == CONTROL_MATCHES) { // all shards are asked; the identifier is the publisher's
        server->question.text = request->id;
        server->question.id = slice_of(NULL, 0);
    }
    if (kind == CONTROL_TRACE) { // a client's packets are on the shard of its session
        const struct trace_options *options = trace_options(conn->trace);
        server->question.trace = conn->trace;
        server->question.last = conn->trace_over;
        server->question.id = options->kind == TRACE_CLIENT ? options->text : slice_of(NULL, 0);
    }
    const struct slice id = server->question.id;
    server->shard = id.data ? broker_home(server->parts.broker, id) : request->cursor.shard;
}

static void
ask_of_sessions(struct ctl_server *server, struct ctl_conn *conn)
{
    static const enum control_kind kinds[CTL_OPS] = {
        [CTL_CLIENTS] = CONTROL_CLIENTS, [CTL_CLIENT] = CONTROL_CLIENT,
        [CTL_KICK] = CONTROL_KICK,       [CTL_SUBSCRIPTIONS] = CONTROL_SUBSCRIPTIONS,
        [CTL_CLUSTER] = CONTROL_NODES,   [CTL_EXPLAIN] = CONTROL_EXPLAIN_SUB,
        [CTL_MATCHES] = CONTROL_MATCHES, [CTL_TRACE] = CONTROL_TRACE,
        [CTL_TOPICS] = CONTROL_TRACE,    [CTL_FORGET] = CONTROL_NODES,
    };
    enum control_kind kind = kinds[conn->request.op];
    if (conn->request.publish)
        kind = CONTROL_EXPLAIN_PUB;
    begin_question(server, kind, conn);
    if (server->shard >= server->parts.broker->shard_count)
        ctl_conn_answer(conn, ctl_bad("bad_request", "the cursor is not of this broker"));
    else
        ask_shard(server, conn);
}

static void
ask_to_forget(struct ctl_server *server, struct ctl_conn *conn)
{
    if (!take_walk(server, conn))
        return;
    begin_question(server, CONTROL_FORGET, conn);
    server->reserved = 0;
    walk_page(server, conn, collect_one, &server->question.rows);
    server->shard = (unsigned)(conn->turn % server->parts.broker->shard_count);
    if (server->question.rows.count > 0)
        ask_shard(server, conn);
    else
        ctl_conn_answer(conn, forgotten(server, conn));
}

static json_t *
not_found(const struct ctl_server *server, struct slice id)
{
    struct cluster *cluster = server->parts.broker->cluster;
    char node[NODE_ID_LEN + 1];
    if (cluster && cluster->ops->elsewhere(cluster, id, node)) {
        json_t *answer = ctl_bad("not_found", "that client's session is at node %s", node);
        (void)json_object_set_new(answer, "node", json_string(node));
        return answer;
    }
    return ctl_bad("not_found", "there is no such client");
}

// The one row that was asked for.
static json_t *
one_client(const struct ctl_server *server, const struct ctl_conn *conn)
{
    const struct ctl_times times = now();
    struct control_row row;
    uint32_t at = 0;
    if (!control_rows_next(&server->question.rows, &at, &row))
        return not_found(server, conn->request.id);
    if (conn->request.op == CTL_KICK && !row.peer.data)
        return ctl_bad("not_found", "that client is not connected");
    json_t *list = ctl_clients(&server->question.rows, server->parts.listeners, &times);
    json_t *answer = ctl_good();
    must(json_array_size(list) == 1);
    (void)json_object_set(answer, "client", json_array_get(list, 0));
    json_decref(list);
    return answer;
}

static json_t *
explanation(const struct ctl_server *server, const struct ctl_conn *conn)
{
    const struct ctl_times times = now();
    const struct control_rows *rows = &server->question.rows;
    if (rows->count == 0)
        return not_found(server, conn->request.id);
    json_t *answer = ctl_good();
    ctl_put_explanation(answer, rows, server->parts.listeners, &times);
    return answer;
}

static json_t *
page_of(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct control_question *question = &server->question;
    const struct ctl_times times = now();
    if (question->kind == CONTROL_TRACE)
        return ctl_watch_page(server, conn);
    json_t *answer = ctl_good();
    if (conn->request.op == CTL_CLIENTS)
        (void)json_object_set_new(answer, "clients",
                                  ctl_clients(&question->rows, server->parts.listeners, &times));
    else if (conn->request.op == CTL_MATCHES)
        (void)json_object_set_new(answer, "matches", ctl_matches(&question->rows));
    else
        (void)json_object_set_new(answer, "subscriptions", ctl_subscriptions(&question->rows));
    if (server->shard < server->parts.broker->shard_count)
        ctl_put_cursor(answer,
                       &(struct ctl_cursor){.shard = server->shard, .place = question->place});
    return answer;
}

static json_t *
answer_of(struct ctl_server *server, struct ctl_conn *conn)
{
    switch (conn->request.op) {
    case CTL_CLIENT:
    case CTL_KICK:
        return one_client(server, conn);
    case CTL_RETAINED_RM:
        return forgotten(server, conn);
    case CTL_CLUSTER:
        return ctl_cluster(server->parts.broker);
    case CTL_FORGET:
        return ctl_away_forget(server->parts.broker, &conn->request);
    case CTL_EXPLAIN:
        return explanation(server, conn);
    default:
        return page_of(server, conn);
    }
}

// A shard is done. True: all of them are, or the page is full.
static bool
move_on(struct ctl_server *server, const struct ctl_conn *conn)
{
    struct control_question *question = &server->question;
    const enum ctl_op op = conn->request.op;
    bool walks = op == CTL_CLIENTS || op == CTL_SUBSCRIPTIONS || op == CTL_CLUSTER ||
                 op == CTL_FORGET || op == CTL_MATCHES || op == CTL_TRACE || op == CTL_TOPICS;
    if (!walks || conn->fd < 0)
        return true;
    if (question->place.bucket >= REGISTRY_END) {
        question->place = (struct control_place){0};
        // A client's subscriptions are on its shard.
        server->shard = question->id.data ? server->parts.broker->shard_count : server->shard + 1;
    }
    return server->shard >= server->parts.broker->shard_count || control_is_full(question);
}

static void
take_shard(struct ctl_server *server)
{
    struct ctl_conn *conn = server->asker;
    must(conn->under_way && conn->state == CTL_WAITING);
    if (!control_is_done(&server->question))
        return;
    if (!move_on(server, conn)) {
        ask_shard(server, conn);
        return;
    }
    json_t *answer = answer_of(server, conn);
    server->asker = NULL;
    control_rows_free(&server->question.rows);
    finish(server, conn, answer);
}

// ---- The disk and main --------------------------------------------------------------------------

static void
begin_copy(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    if (!server->parts.store) {
        ctl_conn_answer(conn, ctl_bad("refused", "persistence is off: there is no store to copy"));
        return;
    }
    if (server->copier) {
        ctl_conn_answer(conn, ctl_bad("busy", "another copy is under way"));
        return;
    }
    server->copier = conn;
    conn->under_way = true;
    server->copy_folder = mem_strndup(request->path.data, request->path.len);
    server->copy = (struct store_copy){
        .folder = server->copy_folder, .replace = request->force, .done_fd = server->wake_fd};
    store_copy_to(server->parts.store, &server->copy);
}

static void
take_copy(struct ctl_server *server)
{
    struct ctl_conn *conn = server->copier;
    must(conn->under_way && server->copy_folder);
    if (!atomic_load_explicit(&server->copy.done, memory_order_acquire))
        return;
    json_t *answer;
    if (server->copy.problem[0] == '\0') {
        answer = ctl_good();
        (void)json_object_set_new(answer, "path", ctl_text(slice_str(server->copy_folder)));
    } else {
        answer = ctl_bad("refused", "%s: %s", server->copy_folder, server->copy.problem);
    }
    mem_free(server->copy_folder);
    server->copy_folder = NULL;
    server->copier = NULL;
    finish(server, conn, answer);
}

// Main is asked: the configuration and its files are its business.
static void
begin_errand(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    must(server->parts.errand_signal > 0);
    if (server->errand_of) {
        ctl_conn_answer(conn, ctl_bad("busy", "a reload or a check is under way"));
        return;
    }
    server->errand_of = conn;
    conn->under_way = true;
    server->errand = (struct ctl_errand){.reload = request->op == CTL_RELOAD};
    if (request->path.data)
        server->errand.file = mem_strndup(request->path.data, request->path.len);
    atomic_store(&server->errand_state, CTL_ERRAND_ASKED);
    int rc = kill(getpid(), server->parts.errand_signal); // main waits for it
    must(rc == 0);
}

static void
take_errand(struct ctl_server *server)
{
    struct ctl_conn *conn = server->errand_of;
    if (atomic_load(&server->errand_state) != CTL_ERRAND_DONE)
        return;
    json_t *answer = server->errand_answer;
    must(conn->under_way && answer);
    server->errand_answer = NULL;
    server->errand_of = NULL;
    mem_free(unconst(server->errand.file));
    server->errand = (struct ctl_errand){0};
    atomic_store(&server->errand_state, CTL_ERRAND_NONE);
    finish(server, conn, answer);
}

// ---- Requests -----------------------------------------------------------------------------------

static void
tell_status(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_parts *parts = &server->parts;
    ctl_conn_answer(conn, ctl_status(parts->broker, parts->listeners, clock_mono_ms()));
}

// All shards look at what they know of other nodes first.
static void
ask_of_nodes(struct ctl_server *server, struct ctl_conn *conn)
{
    if (server->parts.broker->cluster)
        ask_of_sessions(server, conn);
    else
        ctl_conn_answer(conn, ctl_cluster(server->parts.broker));
}

// A message has a topic, without wildcards.
static void
ask_of_topic(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    bool message = request->op == CTL_MATCHES || request->publish;
    if (message && topic_name_check(request->filter) != OK)
        ctl_conn_answer(conn, ctl_bad("bad_request", "that is no topic of a message"));
    else
        ask_of_sessions(server, conn);
}

// The connection's trace begins, or what it has is asked for.
static void
ask_of_trace(struct ctl_server *server, struct ctl_conn *conn)
{
    if (ctl_watch_begin(server, conn))
        ask_of_sessions(server, conn);
}

static const struct work {
    void (*begin)(struct ctl_server *server, struct ctl_conn *conn);
    bool in_turn; // shards are asked
} works[CTL_OPS] = {
    [CTL_STATUS] = {tell_status, false},
    [CTL_CLUSTER] = {ask_of_nodes, true},
    [CTL_CLIENTS] = {ask_of_sessions, true},
    [CTL_CLIENT] = {ask_of_sessions, true},
    [CTL_KICK] = {ask_of_sessions, true},
    [CTL_SUBSCRIPTIONS] = {ask_of_sessions, true},
    [CTL_RETAINED] = {list_retained, false},
    [CTL_RETAINED_RM] = {ask_to_forget, true},
    [CTL_BACKUP] = {begin_copy, false},
    [CTL_RELOAD] = {begin_errand, false},
    [CTL_BANS] = {ctl_steer_bans, false},
    [CTL_BAN] = {ctl_steer_ban, false},
    [CTL_UNBAN] = {ctl_steer_unban, false},
    [CTL_LOG] = {ctl_steer_log, false},
    [CTL_CONFIG] = {ctl_steer_config, false},
    [CTL_CONFIG_CHECK] = {begin_errand, false},
    [CTL_EXPLAIN] = {ask_of_topic, true},
    [CTL_MATCHES] = {ask_of_topic, true},
    [CTL_TRACE] = {ask_of_trace, true},
    [CTL_TOPICS] = {ask_of_trace, true},
    [CTL_DRAIN] = {ctl_away_drain, false},
    [CTL_DRAIN_UNDO] = {ctl_away_undo, false},
    [CTL_DECOMMISSION] = {ctl_away_decommission, false},
    [CTL_FORGET] = {ask_of_nodes, true},
    [CTL_REBALANCE] = {ctl_away_rebalance, false},
    [CTL_REBALANCE_STOP] = {ctl_away_stop, false},
};

void
ctl_work_begin(struct ctl_server *server, struct ctl_conn *conn)
{
    must(conn->state == CTL_WAITING && !conn->under_way && conn->request.op < CTL_OPS);
    const struct work *work = &works[conn->request.op];
    if (!work->in_turn)
        work->begin(server, conn);
}

static struct ctl_conn *
next_in_turn(struct ctl_server *server)
{
    struct ctl_conn *found = NULL;
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++) {
        struct ctl_conn *conn = &server->conns[i];
        if (conn->state == CTL_WAITING && !conn->under_way && (!found || conn->turn < found->turn))
            found = conn;
    }
    return found;
}

void
ctl_work_continue(struct ctl_server *server)
{
    if (server->asker)
        take_shard(server);
    if (server->copier)
        take_copy(server);
    if (server->errand_of)
        take_errand(server);
    struct ctl_conn *conn;
    while (!server->asker && (conn = next_in_turn(server)) != NULL)
        works[conn->request.op].begin(server, conn);
}

void
ctl_work_cancel(struct ctl_server *server, const struct ctl_conn *conn)
{
    must(conn->under_way && conn->fd < 0);
    if (conn == server->asker)
        control_cancel(&server->question);
}
