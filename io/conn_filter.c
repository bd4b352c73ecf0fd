// conn_filter.c - PROXY header, TLS and WebSocket between a socket and MQTT.
//
// In:  socket -> [PROXY header] -> [tls_read] -> [websocket_read] -> conn->pre or client_on_bytes
// Out: client->out -> [websocket_put_head] -> [tls_write] -> wire -> socket
//
// What the parts answer by themselves (handshakes, pongs, alerts) goes to wire at once, and so may
// overtake what the client has to say, but never tears it: wire holds whole records and frames.
#include "io/conn_filter.h"

#include <errno.h>
#include <stdio.h>
#include <sys/uio.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "io/conn.h"
#include "io/entry.h"
#include "io/proxy_header.h"
#include "io/tls.h"
#include "io/websocket.h"

// Pieces from this size on are encrypted from where they are; smaller ones are gathered to records.
#define GATHER_BELOW 4096u

// ---- Pending ------------------------------------------------------------------------------------

static bool
tls_is_open(const struct conn_filter *filter)
{
    return !filter->tls || filter->tls->state == TLS_OPEN || filter->tls->state == TLS_ENDED;
}

static void
end_pending(struct conns *conns, struct conn_filter *filter)
{
    if (list_empty(&filter->pending))
        return;
    list_remove(&filter->pending);
    stat_sub(&conns->shard->stats.handshakes_pending, 1);
}

// What arrives from now on is MQTT's.
static void
check_through(struct conns *conns, struct conn_filter *filter)
{
    if (!filter->proxy_wanted && tls_is_open(filter) &&
        (!filter->ws || filter->ws->state != WEBSOCKET_UPGRADE))
        end_pending(conns, filter);
}

// At the limit one has to give way: the one that has waited longest for its peer, because a client
// that means it needs a moment. Where that one waits for us, we are too slow for those who come:
// then it is the newcomer, and false is returned.
static bool
make_room(struct conns *conns)
{
    const struct shard *shard = conns->shard;
    uint64_t max = shard->config->handshakes_max, workers = shard->broker->shard_count;
    if (max == 0 || stat_get(&shard->stats.handshakes_pending) < (max + workers - 1) / workers)
        return true;
    struct conn_filter *oldest = container_of(conns->pending.next, struct conn_filter, pending);
    must(oldest->magic == FILTER_MAGIC && oldest->conn->state == CONN_PRE);
    stat_add(&conns->shard->stats.handshakes_refused, 1);
    log_limited(shard->log, &conns->log_pending, shard->now_ms, LOG_T_WARNING,
                "Warning: max_pending_handshakes is reached; the oldest give way.");
    if (!list_empty(&oldest->shaking))
        return false;
    conn_doom(conns, oldest->conn);
    return true;
}

// ---- Life ---------------------------------------------------------------------------------------

static struct conn_filter *
filter_new(struct conns *conns, struct conn *conn, struct tls *tls)
{
    struct conn_filter *filter = mem_zalloc(sizeof *filter);
    must(conn->state == CONN_PRE && !conn->filter);
    filter->magic = FILTER_MAGIC;
    filter->conn = conn;
    filter->tls = tls;
    outq_init(&filter->wire);
    list_init(&filter->ready);
    list_init(&filter->shaking);
    list_init(&filter->pending);
    if (tls && !conns->plain)
        conns->plain = mem_alloc(TLS_RECORD_MAX);
    conn->filter = filter;
    return filter;
}

bool
filter_begin(struct conns *conns, struct conn *conn)
{
    const struct listener_entry *entry = &conns->shard->config->listeners[conn->listener].entry;
    struct tls_context *context = listen_tls(conns->listeners, conn->listener);
    must(conn->state == CONN_PRE && !conn->filter);
    if (!entry->proxy_protocol && !context && entry->protocol == PROTOCOL_MQTT)
        return true;
    if (entry->proxy_protocol && !entry_trusts(entry, conn->fd)) {
        stat_add(&conns->shard->stats.proxies_refused, 1);
        char peer[PEER_TEXT_MAX];
        peer_text(conns->listeners, conn->listener, conn->fd, peer);
        log_limited(conns->shard->log, &conns->log_bad, conns->shard->now_ms, LOG_T_NOTICE,
                    "Client <unknown> [%s] refused: not an address in proxy_protocol_from.", peer);
        return false;
    }
    if (!make_room(conns))
        return false;
    struct conn_filter *filter =
        filter_new(conns, conn, context ? tls_new(context, conns->shard->index) : NULL);
    filter->proxy_wanted = entry->proxy_protocol != 0;
    list_push(&conns->pending, &filter->pending);
    stat_add(&conns->shard->stats.handshakes_pending, 1);
    if (entry->protocol == PROTOCOL_WEBSOCKETS)
        filter->ws = websocket_new();
    return true;
}

void
filter_unlink(struct conns *conns, struct conn_filter *filter)
{
    must(filter->magic == FILTER_MAGIC);
    list_remove(&filter->ready);
    list_remove(&filter->shaking);
    end_pending(conns, filter);
}

static void
free_dialled(struct conn_filter *filter)
{
    if (filter->dialled)
        mem_wipe(filter->dialled, sizeof *filter->dialled);
    mem_free(filter->dialled);
    filter->dialled = NULL;
}

static void
free_held(struct conn_filter *filter)
{
    mem_free(filter->held);
    filter->held = NULL;
    filter->held_len = filter->held_cap = 0;
}

void
filter_free(struct conn_filter *filter, struct outq_pool *pool)
{
    if (!filter)
        return;
    must(filter->magic == FILTER_MAGIC && list_empty(&filter->ready) &&
         list_empty(&filter->shaking) && list_empty(&filter->pending));
    outq_free(&filter->wire, pool);
    tls_free(filter->tls);
    websocket_free(filter->ws);
    free_held(filter);
    free_dialled(filter);
    mem_free(filter->proxy_name);
    filter->magic = 0;
    mem_free(filter);
}

struct slice
filter_wire(const struct conn_filter *filter)
{
    const struct outq *wire = &filter->wire;
    must(wire->ref_bytes == 0); // without a client there are no messages
    return slice_of(wire->buf ? wire->buf + wire->head : NULL, wire->len - wire->head);
}

void
filter_leave(struct conns *conns, struct conn_filter *filter)
{
    must(filter->magic == FILTER_MAGIC && filter->held_len == 0 && list_empty(&filter->pending));
    filter_unlink(conns, filter);
    outq_free(&filter->wire, &conns->shard->pool);
    filter->conn = NULL;
    filter->blocked = false; // the home shard tries again
}

static void
put(struct outq *to, struct outq_pool *pool, struct slice bytes)
{
    if (bytes.len == 0)
        return;
    memcpy(outq_reserve(to, pool, bytes.len), bytes.data, bytes.len);
    outq_commit(to, bytes.len);
}

void
filter_arrive(struct conns *conns, struct conn *conn, struct slice wire)
{
    struct conn_filter *filter = conn->filter;
    must(filter->magic == FILTER_MAGIC && !filter->conn && outq_bytes(&filter->wire) == 0);
    filter->conn = conn;
    put(&filter->wire, &conns->shard->pool, wire);
    if (filter->tls && !conns->plain)
        conns->plain = mem_alloc(TLS_RECORD_MAX);
}

const char *
filter_client_name(const struct conn_filter *filter)
{
    must(filter->magic == FILTER_MAGIC);
    const char *name = filter->tls ? tls_peer_name(filter->tls) : NULL;
    return name ? name : filter->proxy_name;
}

// ---- The end ------------------------------------------------------------------------------------

static void
log_failure(struct conns *conns, const struct conn *conn, const char *what, const char *why)
{
    const struct conn_filter *filter = conn->filter;
    char peer[PEER_TEXT_MAX];
    if (conn_has_client(conn))
        (void)snprintf(peer, sizeof peer, "%s", conn->client.peer);
    else if (filter->peer[0] != '\0')
        memcpy(peer, filter->peer, sizeof peer);
    else
        peer_text(conns->listeners, conn->listener, conn->fd, peer);
    bool node = conns->shard->config->listeners[conn->listener].node;
    log_limited(conns->shard->log, &conns->log_bad, conns->shard->now_ms, LOG_T_NOTICE,
                "%s [%s]: %s: %s.%s", node ? "Node" : "Client", peer, what, why,
                node && conn->state == CONN_PRE
                    ? " Nodes have the same cluster_name, cluster_secret_file and cluster_plain."
                    : "");
}

void
filter_dial_failed(struct conns *conns, const struct conn *conn, const char *why)
{
    if (!conn->filter->dialled)
        return;
    struct shard *shard = conns->shard;
    struct cluster *cluster = shard->broker->cluster;
    stat_add(&shard->stats.tls_failures, 1);
    log_failure(conns, conn, "TLS", why);
    if (conn->filter->dialled->token != 0) // for a client that is to be relayed
        cluster->ops->astray(cluster, shard, conn->filter->dialled->token);
}

static enum websocket_code
code_of(err_t reason)
{
    switch (reason) {
    case OK:
        return WEBSOCKET_NORMAL;
    case ERR_SHUTTING_DOWN:
    case ERR_USE_ANOTHER_SERVER:
        return WEBSOCKET_GOING_AWAY;
    case ERR_MALFORMED:
    case ERR_PROTOCOL:
        return WEBSOCKET_PROTOCOL_ERROR;
    case ERR_PACKET_TOO_LARGE:
        return WEBSOCKET_TOO_BIG;
    default:
        return WEBSOCKET_POLICY;
    }
}

// What the WebSocket has said, plain or encrypted. Takes all of said.
static void
send_said(struct conns *conns, struct conn_filter *filter, struct outq *said)
{
    struct outq_pool *pool = &conns->shard->pool;
    struct slice bytes =
        slice_of(said->buf ? said->buf + said->head : NULL, (uint32_t)outq_bytes(said));
    // Pongs that a slow reader has overtaken may be left out (RFC 6455 5.5.3).
    bool overtaken = filter->ws->state == WEBSOCKET_OPEN && !filter->said_last &&
                     outq_bytes(&filter->wire) > WEBSOCKET_BACKLOG_MAX;
    if (bytes.len > 0 && !overtaken && tls_is_open(filter) &&
        tls_write(filter->tls, &filter->wire, pool, bytes) != OK)
        must(filter->tls->state == TLS_FAILED); // who looks at the state sees it
    outq_free(said, pool);
}

static void
say_last(struct conns *conns, struct conn_filter *filter, enum websocket_code code)
{
    struct outq_pool *pool = &conns->shard->pool;
    if (filter->said_last)
        return;
    filter->said_last = true;
    if (filter->ws && tls_is_open(filter)) {
        struct outq said;
        outq_init(&said);
        websocket_close(filter->ws, filter->tls ? &said : &filter->wire, pool, code);
        if (filter->tls)
            send_said(conns, filter, &said);
    }
    if (filter->tls)
        tls_close(filter->tls, &filter->wire, pool);
}

bool
filter_owes(const struct conn *conn)
{
    return conn->state == CONN_CLOSING && !conn->filter->said_last;
}

// The filter has come to its end, and with it the client: error as for client_on_closed. What there
// is to say goes out before the socket is closed.
static void
part(struct conns *conns, struct conn *conn, int error)
{
    struct conn_filter *filter = conn->filter;
    must(conn->state == CONN_PRE || conn->state == CONN_LIVE);
    if (conn->state == CONN_LIVE) {
        if (error == 0 && !conn->client.blocked && !filter_encode(conns, conn))
            return;
        client_on_closed(&conn->client, error);
    }
    conn->state = CONN_PARTING;
    say_last(conns, filter, WEBSOCKET_NORMAL);
    filter_unlink(conns, filter);
    free_held(filter);
    conn_mark_ready(conns, conn);
    wheel_arm(conns->wheel, &conn->timer, conns->shard->now_ms + CONN_FLUSH_MS);
}

void
filter_refuse(struct conns *conns, struct conn *conn)
{
    must(conn->state == CONN_PRE);
    if (conn->filter->ws && !conn->filter->proxy_wanted && tls_is_open(conn->filter))
        part(conns, conn, 0);
    else
        conn_doom(conns, conn);
}

// True: it is not over. Else the connection is on its way to its end.
static bool
check_end(struct conns *conns, struct conn *conn)
{
    const struct conn_filter *filter = conn->filter;
    struct stats *stats = &conns->shard->stats;
    const struct tls *tls = filter->tls;
    const struct websocket *ws = filter->ws;
    if (tls && tls->state == TLS_FAILED) {
        char why[TLS_FAILURE_MAX];
        tls_failure(tls, why);
        stat_add(&stats->tls_failures, 1);
        log_failure(conns, conn, "TLS", why);
        part(conns, conn, EPROTO);
    } else if (ws && ws->state == WEBSOCKET_FAILED) {
        char why[32];
        (void)snprintf(why, sizeof why, "status %u", ws->reason);
        stat_add(&stats->upgrades_refused, ws->reason < 1000);
        log_failure(conns, conn, "WebSocket", why);
        part(conns, conn, EPROTO);
    } else if ((tls && tls->state == TLS_ENDED) || (ws && ws->state == WEBSOCKET_ENDED)) {
        part(conns, conn, 0);
    } else if (filter->wire.len - filter->wire.head > FILTER_UNREAD_MAX) {
        log_failure(conns, conn, "end", "it does not read what it asks for");
        conn_lost(conns, conn, ENOBUFS);
    } else {
        return true;
    }
    return false;
}

// ---- In -----------------------------------------------------------------------------------------

static void
to_client(struct conn *conn, struct slice data)
{
    if (conn->state == CONN_LIVE)
        client_on_bytes(&conn->client, data.data, data.len);
    else
        (void)conn_pre_append(conn, data);
}

static void
input_plain(struct conns *conns, struct conn *conn, struct slice bytes)
{
    struct conn_filter *filter = conn->filter;
    if (!filter->ws) {
        to_client(conn, bytes);
        return;
    }
    const struct listener_entry *entry = &conns->shard->config->listeners[conn->listener].entry;
    struct websocket_settings settings = {
        .path = entry->websockets_path,
        .origins = (const char *const *)entry->websockets_origins,
        .origin_count = entry_origin_count(entry),
        .head_max = entry->websockets_head_max,
    };
    struct outq said;
    outq_init(&said);
    struct outq *out = filter->tls ? &said : &filter->wire;
    struct slice data;
    websocket_input(filter->ws, bytes);
    while (websocket_read(filter->ws, &settings, out, &conns->shard->pool, &data))
        to_client(conn, data);
    if (filter->tls)
        send_said(conns, filter, &said);
}

static void
count_handshake(struct conns *conns, const struct tls *tls)
{
    if (tls->state != TLS_OPEN)
        return;
    stat_add(&conns->shard->stats.tls_handshakes, 1);
    stat_add(&conns->shard->stats.tls_resumed, tls_resumed(tls));
}

static void
input_tls(struct conns *conns, struct conn *conn, struct slice bytes)
{
    struct conn_filter *filter = conn->filter;
    struct tls *tls = filter->tls;
    bool shakes = tls->state == TLS_HANDSHAKE;
    uint64_t from_us = unlikely(shakes) ? clock_mono_us() : 0;
    tls_input(tls, bytes);
    uint32_t n;
    while ((n = tls_read(tls, &filter->wire, &conns->shard->pool, conns->plain, TLS_RECORD_MAX)) >
           0) {
        bool secret = conn->state != CONN_LIVE; // a CONNECT has a password
        input_plain(conns, conn, slice_of(conns->plain, n));
        mem_wipe(conns->plain, secret ? n : 0);
    }
    if (unlikely(shakes)) {
        conns->handshakes_us += clock_mono_us() - from_us;
        count_handshake(conns, tls);
    }
}

static void
hold(struct conn_filter *filter, struct slice bytes)
{
    filter->held = mem_grow(filter->held, &filter->held_cap, filter->held_len + bytes.len, 1);
    memcpy(filter->held + filter->held_len, bytes.data, bytes.len);
    filter->held_len += bytes.len;
}

// The other node speaks when it is spoken to.
static void
go_on_dialled(struct conns *conns, struct conn *conn)
{
    struct conn_filter *filter = conn->filter;
    if (conn->pre) {
        filter_dial_failed(conns, conn, "it speaks first");
        conn_doom(conns, conn);
    } else if (filter->tls->state != TLS_OPEN) {
        conn_receive(conns, conn);
    } else {
        conn_begin_dialled(conns, conn, filter->dialled);
        free_dialled(filter);
    }
}

static void
input(struct conns *conns, struct conn *conn, struct slice bytes)
{
    struct conn_filter *filter = conn->filter;
    if (filter->tls)
        input_tls(conns, conn, bytes);
    else
        input_plain(conns, conn, bytes);
    if (outq_bytes(&filter->wire) > 0)
        conn_mark_ready(conns, conn);
    if (!check_end(conns, conn) || conn->state == CONN_LIVE)
        return;
    if (filter->dialled) {
        go_on_dialled(conns, conn);
        return;
    }
    check_through(conns, filter);
    if (conn->pre)
        conn_pre_decide(conns, conn, conn_pre_bytes(conn));
    else
        conn_receive(conns, conn);
}

// A handshake takes time that others wait for, so it may have to wait itself.
static void
input_in_turn(struct conns *conns, struct conn *conn, struct slice bytes)
{
    struct conn_filter *filter = conn->filter;
    if (!filter->tls || filter->tls->state != TLS_HANDSHAKE ||
        (conns->handshakes_us < HANDSHAKE_TICK_US && list_empty(&conns->shaking))) {
        input(conns, conn, bytes);
        return;
    }
    must(conn->state == CONN_PRE && !conn->receiving && list_empty(&filter->shaking));
    hold(filter, bytes);
    list_push(&conns->shaking, &filter->shaking);
}

void
conns_shake(struct conns *conns)
{
    struct list *node;
    while (conns->handshakes_us < HANDSHAKE_TICK_US && (node = list_pop(&conns->shaking)) != NULL) {
        struct conn_filter *filter = container_of(node, struct conn_filter, shaking);
        struct slice held = slice_of(filter->held, filter->held_len);
        filter->held = NULL;
        filter->held_len = filter->held_cap = 0;
        input(conns, filter->conn, held); // the filter may be another shard's afterwards
        mem_free(unconst(held.data));
    }
    conns->handshakes_us = 0;
}

// Not one of those that are pending: no storm of clients ends it.
void
filter_dial(struct conns *conns, struct conn *conn, const struct node_dialled *dialled)
{
    struct tls_context *context = listen_tls(conns->listeners, conn->listener);
    struct conn_filter *filter = filter_new(conns, conn, tls_dial(context, conns->shard->index));
    filter->dialled = mem_alloc(sizeof *dialled);
    *filter->dialled = *dialled;
    input(conns, conn, slice_of(NULL, 0));
}

// ---- PROXY header -------------------------------------------------------------------------------

// NULL where a U+0000 would make it another one.
static char *
text_of(struct slice name)
{
    if (!name.data || memchr(name.data, '\0', name.len))
        return NULL;
    return mem_strndup(name.data, name.len);
}

static bool
take_proxy(const struct listener_entry *entry, struct conn_filter *filter, struct slice bytes,
           const struct proxy_header *header)
{
    unsigned version = bytes.data[0] == 'P' ? PROXY_PROTOCOL_V1 : PROXY_PROTOCOL_V2;
    if (!(entry->proxy_protocol & version))
        return false;
    if (header->family != PROXY_LOCAL)
        proxy_header_text(header, filter->peer, sizeof filter->peer);
    if (entry->use_identity_as_username && header->tls && header->certificate && header->verified)
        filter->proxy_name = text_of(header->common_name);
    return true;
}

static void
input_proxy(struct conns *conns, struct conn *conn, struct slice bytes)
{
    struct conn_filter *filter = conn->filter;
    if (filter->held_len > 0) {
        hold(filter, bytes);
        bytes = slice_of(filter->held, filter->held_len);
    }
    struct proxy_header header;
    err_t err = proxy_header_parse(bytes, &header);
    if (err == ERR_NEED_MORE) {
        if (filter->held_len == 0)
            hold(filter, bytes);
        conn_receive(conns, conn);
        return;
    }
    if (err != OK || !take_proxy(&conns->shard->config->listeners[conn->listener].entry, filter,
                                 bytes, &header)) {
        stat_add(&conns->shard->stats.proxies_refused, 1);
        log_failure(conns, conn, "PROXY protocol",
                    err ? "this is not its header"
                        : "a version that enable_proxy_protocol excludes");
        conn_doom(conns, conn);
        return;
    }
    if (filter->peer[0] != '\0' && !conn_enter_address(conns, conn, filter->peer)) {
        conn_doom(conns, conn);
        return;
    }
    filter->proxy_wanted = false;
    check_through(conns, filter);
    uint8_t *held = filter->held;
    filter->held = NULL;
    filter->held_len = filter->held_cap = 0;
    if (bytes.len > header.len)
        input_in_turn(conns, conn, slice_of(bytes.data + header.len, bytes.len - header.len));
    else
        conn_receive(conns, conn);
    mem_free(held);
}

void
filter_input(struct conns *conns, struct conn *conn, struct slice bytes)
{
    must_hot(conn->state == CONN_PRE || conn->state == CONN_LIVE);
    must_hot(conn->filter->magic == FILTER_MAGIC && bytes.len > 0);
    if (unlikely(conn->filter->proxy_wanted))
        input_proxy(conns, conn, bytes);
    else
        input_in_turn(conns, conn, bytes);
}

// ---- Out ----------------------------------------------------------------------------------------

// Collects small pieces to records.
struct record {
    struct conns *conns;
    struct conn_filter *filter;
    uint32_t len; // in conns->plain
    err_t err;
};

static void
record_end(struct record *record)
{
    if (record->err == OK && record->len > 0)
        record->err =
            tls_write(record->filter->tls, &record->filter->wire, &record->conns->shard->pool,
                      slice_of(record->conns->plain, record->len));
    record->len = 0;
}

static void
record_add(struct record *record, struct slice piece)
{
    if (piece.len >= GATHER_BELOW) { // whole records of it, no copy
        record_end(record);
        if (record->err == OK)
            record->err = tls_write(record->filter->tls, &record->filter->wire,
                                    &record->conns->shard->pool, piece);
        return;
    }
    while (piece.len > 0 && record->err == OK) {
        uint32_t n = min_u32(piece.len, TLS_RECORD_MAX - record->len);
        memcpy(record->conns->plain + record->len, piece.data, n);
        record->len += n;
        piece = slice_of(piece.data + n, piece.len - n);
        if (record->len == TLS_RECORD_MAX)
            record_end(record);
    }
}

static err_t
encode_by_tls(struct conns *conns, struct conn *conn)
{
    struct conn_filter *filter = conn->filter;
    struct outq_pool *pool = &conns->shard->pool;
    struct record record = {.conns = conns, .filter = filter};
    struct iovec pieces[IO_PIECES_MAX];
    uint32_t count = outq_pieces(&conn->client.out, pieces, IO_PIECES_MAX);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < count; i++) {
        pieces[i].iov_len = min_u64(pieces[i].iov_len, FILTER_ENCODE_MAX - bytes);
        bytes += pieces[i].iov_len;
    }
    if (filter->ws) {
        struct outq head;
        outq_init(&head);
        websocket_put_head(filter->ws, &head, pool, bytes);
        record_add(&record, slice_of(head.buf + head.head, (uint32_t)outq_bytes(&head)));
        outq_free(&head, pool);
    }
    for (uint32_t i = 0; i < count; i++)
        if (pieces[i].iov_len > 0)
            record_add(&record, slice_of(pieces[i].iov_base, (uint32_t)pieces[i].iov_len));
    record_end(&record);
    outq_consume(&conn->client.out, pool, bytes);
    return record.err;
}

static err_t
encode_some(struct conns *conns, struct conn *conn)
{
    struct conn_filter *filter = conn->filter;
    // It has said close, after which nothing may follow.
    if (filter->ws && filter->ws->state != WEBSOCKET_OPEN) {
        outq_free(&conn->client.out, &conns->shard->pool);
        return OK;
    }
    if (filter->tls)
        return encode_by_tls(conns, conn);
    struct outq_pool *pool = &conns->shard->pool;
    uint64_t bytes = outq_movable(&conn->client.out, FILTER_ENCODE_MAX);
    if (filter->ws)
        websocket_put_head(filter->ws, &filter->wire, pool, bytes);
    outq_move(&filter->wire, &conn->client.out, pool, bytes);
    return OK;
}

bool
filter_encode(struct conns *conns, struct conn *conn)
{
    struct conn_filter *filter = conn->filter;
    must_hot(conn_has_client(conn) && filter->magic == FILTER_MAGIC && !conn->in_flight);
    while (outq_bytes(&filter->wire) < FILTER_ENCODE_MAX && outq_bytes(&conn->client.out) > 0) {
        if (unlikely(encode_some(conns, conn) != OK)) {
            conn_lost(conns, conn, EPROTO);
            return false;
        }
    }
    if (unlikely(filter_owes(conn) && outq_bytes(&conn->client.out) == 0))
        say_last(conns, filter, code_of(conn->client.close_reason));
    return true;
}
