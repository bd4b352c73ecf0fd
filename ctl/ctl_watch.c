// ctl_watch.c - traces and counted topics, as requests of one connection.
//
// The first request, which has no cursor, puts a trace on all shards that it concerns; those with
// the cursor fetch what has been recorded since. It ends with its connection, or with its time.
#include "core/base/clock.h"

#include "core/broker.h"
#include "ctl/ctl_parts.h"

void
ctl_watch_end(struct ctl_conn *conn)
{
    trace_end(conn->trace);
    conn->trace = NULL;
}

static unsigned
count_traces(const struct ctl_server *server)
{
    unsigned count = 0;
    for (unsigned i = 0; i < CTL_CONNECTIONS_MAX; i++)
        count += server->conns[i].trace != NULL;
    return count;
}

// What the request asks to be traced. NULL: that is told.
static const char *
check(const struct ctl_request *request)
{
    if (request->op != CTL_TRACE)
        return NULL;
    if (!request->id.data == !request->filter.data)
        return "a trace begins with either \"id\" or \"filter\"";
    return request->id.data && request->id.len == 0 ? "no client has an empty identifier" : NULL;
}

static bool
begin(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    const char *problem = check(request);
    if (problem) {
        ctl_conn_answer(conn, ctl_bad("bad_request", "%s", problem));
        return false;
    }
    ctl_watch_end(conn);
    must(count_traces(server) <= TRACES_MAX);
    if (count_traces(server) == TRACES_MAX) {
        ctl_conn_answer(conn, ctl_bad("busy", "%u traces are under way", TRACES_MAX));
        return false;
    }
    bool topics = request->op == CTL_TOPICS;
    uint32_t for_s = request->for_s ? request->for_s : topics ? CTL_COUNT_S : CTL_TRACE_S;
    const struct trace_options options = {
        .kind = topics             ? TRACE_TOP
                : request->id.data ? TRACE_CLIENT
                                   : TRACE_TOPIC,
        .text = request->id.data ? request->id : request->filter,
        .until_ms = clock_mono_ms() + min_u32(for_s, CTL_TRACE_S) * UINT64_C(1000),
        .levels = request->levels,
        .by_bytes = request->by_bytes,
    };
    must(options.text.data || topics);
    conn->trace = trace_new(&options);
    conn->trace_number = ++server->traces;
    conn->trace_over = false;
    return true;
}

bool
ctl_watch_begin(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct ctl_request *request = &conn->request;
    must(request->op == CTL_TRACE || request->op == CTL_TOPICS);
    if (!request->has_cursor)
        return begin(server, conn);
    struct ctl_cursor *cursor = &conn->request.cursor;
    bool topics = conn->trace && trace_options(conn->trace)->kind == TRACE_TOP;
    if (!conn->trace || cursor->place.bucket != conn->trace_number ||
        topics != (request->op == CTL_TOPICS)) {
        ctl_conn_answer(conn, ctl_bad("bad_request", "the cursor is not one of this "
                                                     "connection's last answer"));
        return false;
    }
    cursor->place.bucket = 0;
    // What is recorded while the shards are asked one after the other is in the next round.
    if (cursor->shard == 0 && cursor->place.number == 0)
        conn->trace_over = clock_mono_ms() >= trace_options(conn->trace)->until_ms;
    return true;
}

json_t *
ctl_watch_page(struct ctl_server *server, struct ctl_conn *conn)
{
    const struct control_question *question = &server->question;
    const struct ctl_times times = {.mono_ms = clock_mono_ms(), .wall_ms = clock_wall_ms()};
    json_t *answer = ctl_good();
    must(server->asker == conn);
    bool more = server->shard < server->parts.broker->shard_count;
    must(conn->trace && question->trace == conn->trace);
    if (conn->request.op == CTL_TOPICS) {
        bool by_bytes = trace_options(conn->trace)->by_bytes;
        (void)json_object_set_new(answer, "topics", ctl_topics(&question->rows, by_bytes));
    } else {
        (void)json_object_set_new(answer, "records", ctl_records(&question->rows, &times));
        (void)json_object_set_new(answer, "lost", json_integer((json_int_t)question->lost));
    }
    (void)json_object_set_new(answer, "more", json_boolean(more));
    if (!more && conn->trace_over) {
        ctl_watch_end(conn);
        return answer;
    }
    struct ctl_cursor cursor = {.place = {.bucket = conn->trace_number}};
    if (more) {
        cursor.shard = server->shard;
        cursor.place.number = question->place.number;
    }
    ctl_put_cursor(answer, &cursor);
    return answer;
}
