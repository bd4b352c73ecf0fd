// conn.c - a connection's way from accept to close.
//
// Why no operation meets a connection that it was not meant for. A descriptor is closed only in
// conns_bury, after an enter that took all operations queued before the connection was doomed, so
// the kernel never sees its number in a queued operation after somebody else got it. The kernel's
// own operations hold the socket, not the number; a backend that goes by numbers is told to forget
// it. Events that come after the end carry the old generation and find nothing. A receive can still
// be armed then: shutdown ends it, and sends the FIN that close alone would not while it holds the
// socket.
#include "io/conn.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/address.h"
#include "core/admission.h"
#include "core/broker.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "io/listener.h"

// What goes to the home shard, followed by the bytes read so far.
struct handover {
    int32_t fd;
    uint32_t listener;
    uint32_t address_place;
    uint64_t accepted_ms;
    struct conn_filter *filter; // belongs to the record; without what was in its wire,
    uint32_t wire_len;          // which comes first
    char peer[PEER_TEXT_MAX];
};

// ---- The end ------------------------------------------------------------------------------------

void
conn_doom(struct conns *conns, struct conn *conn)
{
    must(conn->state != CONN_FREE && conn->state != CONN_DOOMED);
    (void)shutdown(conn->fd, SHUT_RDWR); // fails when the peer was faster: fine
    conns->io->ops->forget(conns->io, conn->fd);
    if (conn->filter)
        filter_unlink(conns, conn->filter);
    wheel_disarm(conns->wheel, &conn->timer);
    conn_next_generation(conn);
    conn->state = CONN_DOOMED;
    list_push(&conns->doomed, &conn->node);
}

// It is not counted any more.
static void
leave(const struct conns *conns, uint32_t listener, uint32_t address_place)
{
    listen_leave(conns->listeners, listener);
    if (unlikely(address_place != 0))
        admission_leave(conns->shard->broker->admission, address_place);
}

void
conns_bury(struct conns *conns)
{
    struct list *node;
    while ((node = list_pop(&conns->doomed)) != NULL) {
        struct conn *conn = container_of(node, struct conn, node);
        must(conn->state == CONN_DOOMED);
        (void)close(conn->fd); // frees the descriptor whatever it says
        leave(conns, conn->listener, conn->address_place);
        conn_release(conns, conn);
    }
}

void
conn_lost(struct conns *conns, struct conn *conn, int error)
{
    if (conn_has_client(conn))
        client_on_closed(&conn->client, error);
    else
        must(conn->filter != NULL);
    conn_doom(conns, conn);
}

void
conn_begin_close(struct conns *conns, struct conn *conn)
{
    must(conn->state == CONN_LIVE);
    conn->state = CONN_CLOSING;
    wheel_arm(conns->wheel, &conn->timer, conns->shard->now_ms + CONN_FLUSH_MS);
}

// close with unread input sends a reset, which may overtake the last words: the peer would see no
// DISCONNECT. So say that we are done, and read on for a while.
void
conn_finish(struct conns *conns, struct conn *conn)
{
    must((conn->state == CONN_CLOSING || conn->state == CONN_PARTING) && !conn->in_flight);
    // A peer that said goodbye may still have to answer the filter's.
    bool peer_knows = conn->ended || (!conn->filter && conn->client.close_reason == OK);
    if (conn->state == CONN_CLOSING)
        client_on_closed(&conn->client, 0);
    if (peer_knows || shutdown(conn->fd, SHUT_WR) != 0) {
        conn_doom(conns, conn);
        return;
    }
    conn->state = CONN_LINGER;
    wheel_arm(conns->wheel, &conn->timer, conns->shard->now_ms + CONN_LINGER_MS);
    if (!conn->receiving)
        conn_receive(conns, conn);
}

// ---- Receiving ----------------------------------------------------------------------------------

void
conn_receive(struct conns *conns, struct conn *conn)
{
    must_hot(!conn->receiving);
    if (unlikely(conns->moving)) {
        conn->rearm = true;
        return;
    }
    conn->receiving = true;
    conns->io->ops->recv(conns->io, conn->fd, conn->token, conn->state == CONN_PRE);
}

static void
arm_connect_timeout(struct conns *conns, struct conn *conn)
{
    const struct shard *shard = conns->shard;
    uint64_t timeout_ms = (uint64_t)shard->config->connect_timeout_s * 1000;
    wheel_arm(conns->wheel, &conn->timer, shard->now_ms + timeout_ms);
}

static struct client_origin
origin_of(const struct conn *conn)
{
    return (struct client_origin){
        .name = conn->filter ? filter_client_name(conn->filter) : NULL,
        .listener_index = conn->listener,
        .accepted_ms = conn->accepted_ms,
    };
}

static void
peer_of(const struct conns *conns, const struct conn *conn, char ret_text[PEER_TEXT_MAX])
{
    if (conn->filter && conn->filter->peer[0] != '\0')
        memcpy(ret_text, conn->filter->peer, PEER_TEXT_MAX);
    else
        peer_text(conns->listeners, conn->listener, conn->fd, ret_text);
}

// From here on the client's own time to CONNECT runs, from accept as before.
static void
go_live(struct conns *conns, struct conn *conn, const char *peer, struct slice data)
{
    wheel_disarm(conns->wheel, &conn->timer);
    conn->state = CONN_LIVE;
    struct client_origin origin = origin_of(conn);
    origin.peer = peer;
    client_init(&conn->client, conns->shard, &origin);
    if (conn->filter) {
        filter_unlink(conns, conn->filter);
        conn->client.blocked = conn->filter->blocked;
        if (outq_bytes(&conn->filter->wire) > 0)
            client_mark_dirty(&conn->client);
    }
    if (data.len > 0)
        client_on_bytes(&conn->client, data.data, data.len);
    if (!conn->receiving && !conn->client.want_close)
        conn_receive(conns, conn);
}

// What the filter has to say that is not sent yet goes with it: a buffer belongs to its shard's
// pool.
static void
hand_over(struct conns *conns, struct conn *conn, unsigned home, struct slice data)
{
    must(home != conns->shard->index && !conn->receiving && !conn->in_flight);
    struct handover head = {
        .fd = conn->fd,
        .listener = conn->listener,
        .address_place = conn->address_place,
        .accepted_ms = conn->accepted_ms,
    };
    peer_of(conns, conn, head.peer);
    struct slice wire = {0};
    if (conn->filter) {
        head.filter = conn->filter;
        wire = filter_wire(conn->filter);
        head.wire_len = wire.len;
    }
    conns->io->ops->forget(conns->io, conn->fd); // before somebody else has it
    uint64_t len = sizeof head + (uint64_t)wire.len + data.len;
    must(len <= UINT32_MAX);
    uint8_t *record = mem_alloc(len);
    memcpy(record, &head, sizeof head);
    if (wire.len > 0)
        memcpy(record + sizeof head, wire.data, wire.len);
    memcpy(record + sizeof head + wire.len, data.data, data.len);
    shard_post_io(conns->shard, home, RECORD_HANDOVER, record, (uint32_t)len);
    mem_wipe(record, len);
    mem_free(record);
    stat_add(&conns->shard->stats.handovers, 1);
    if (conn->filter)
        filter_leave(conns, conn->filter);
    conn->filter = NULL; // the home shard's now, as the descriptor is
    conn_next_generation(conn);
    conn_release(conns, conn);
}

void
conn_on_handover(struct conns *conns, const struct spsc_record *record)
{
    struct handover head;
    must(record->type == RECORD_HANDOVER && record->len >= sizeof head);
    memcpy(&head, record->data, sizeof head);
    must(head.wire_len <= record->len - sizeof head);
    if (conns->refusing) {
        (void)close(head.fd);
        filter_free(head.filter, &conns->shard->pool);
        leave(conns, head.listener, head.address_place);
        return;
    }
    struct conn *conn = conn_alloc(conns, head.fd, head.listener, head.accepted_ms);
    conn->address_place = head.address_place;
    struct slice rest = slice_of(record->data + sizeof head, record->len - sizeof head);
    if (head.filter) {
        conn->filter = head.filter;
        filter_arrive(conns, conn, slice_of(rest.data, head.wire_len));
    }
    go_live(conns, conn, head.peer, slice_of(rest.data + head.wire_len, rest.len - head.wire_len));
    mem_wipe(rest.data, rest.len);
}

static void
stay_here(struct conns *conns, struct conn *conn, struct slice data)
{
    char peer[PEER_TEXT_MAX];
    peer_of(conns, conn, peer);
    go_live(conns, conn, peer, data);
    conn_pre_free(conn);
}

// What has arrived of a CONNECT: never nothing, or there is none.
struct conn_pre {
    uint32_t len, cap;
    uint8_t bytes[];
};

struct slice
conn_pre_bytes(const struct conn *conn)
{
    return conn->pre ? slice_of(conn->pre->bytes, conn->pre->len) : (struct slice){0};
}

struct slice
conn_pre_append(struct conn *conn, struct slice bytes)
{
    struct conn_pre *pre = conn->pre;
    uint32_t len = pre ? pre->len : 0, cap = pre ? pre->cap : 0;
    must(bytes.len > 0 && bytes.len <= UINT32_MAX / 2 - len);
    if (len + bytes.len > cap) {
        cap = max_u32(len + bytes.len, cap * 2);
        pre = mem_realloc(pre, sizeof *pre + cap);
    }
    memcpy(pre->bytes + len, bytes.data, bytes.len);
    pre->len = len + bytes.len;
    pre->cap = cap;
    conn->pre = pre;
    return conn_pre_bytes(conn);
}

void
conn_pre_free(struct conn *conn)
{
    struct slice bytes = conn_pre_bytes(conn);
    mem_wipe(bytes.data, bytes.len);
    mem_free(conn->pre);
    conn->pre = NULL;
}

// Whose client is it? Usually its CONNECT is here at once and nothing is copied.
void
conn_pre_decide(struct conns *conns, struct conn *conn, struct slice data)
{
    unsigned home;
    struct client_origin origin = origin_of(conn);
    err_t err = client_home(conns->shard, &origin, data, &home);
    if (err == ERR_NEED_MORE) {
        if (!conn->pre && data.len > 0)
            (void)conn_pre_append(conn, data);
        conn_receive(conns, conn);
    } else if (home == conns->shard->index) {
        stay_here(conns, conn, data);
    } else {
        hand_over(conns, conn, home, data);
    }
}

static void
pre_on_recv(struct conns *conns, struct conn *conn, const struct io_event *event)
{
    if (event->result == -ENOBUFS || event->result == -ECANCELED) {
        conn_receive(conns, conn);
        return;
    }
    if (event->result <= 0) { // a probe, or somebody who thought better of it: not worth a line
        if (conn->filter)
            filter_dial_failed(conns, conn, "it ended the handshake");
        conn_doom(conns, conn);
        return;
    }
    struct slice bytes = slice_of(event->data, (uint32_t)event->result);
    if (conn->filter)
        filter_input(conns, conn, bytes);
    else
        conn_pre_decide(conns, conn, conn->pre ? conn_pre_append(conn, bytes) : bytes);
    mem_wipe(bytes.data, bytes.len); // a CONNECT has a password
}

// The peer sends no more. What it sent before was taken, and the answers may be waiting.
static void
on_end(struct conns *conns, struct conn *conn)
{
    conn->ended = true;
    if (conn->state == CONN_LIVE && conn_has_more(conn) && !conn->client.blocked) {
        conn_begin_close(conns, conn);
        client_mark_dirty(&conn->client);
    } else if (conn->state == CONN_LIVE) {
        conn_lost(conns, conn, 0);
    }
    // else CLOSING or PARTING: conn_finish sees `ended`.
}

// A receive came to its end with the client still there.
static void
on_recv_ended(struct conns *conns, struct conn *conn, int32_t result)
{
    conn->stopping = false;
    if (result == 0)
        on_end(conns, conn);
    else if (result < 0 && result != -ENOBUFS && result != -ECANCELED)
        conn_lost(conns, conn, -result);
    else if (conn->state == CONN_LIVE && !conn->client.read_paused)
        conn_receive(conns, conn);
}

static void
on_recv_unusual(struct conns *conns, struct conn *conn, const struct io_event *event)
{
    switch (conn->state) {
    case CONN_PRE:
        pre_on_recv(conns, conn, event);
        return;
    case CONN_LINGER:
        if (event->result > 0 || event->result == -ENOBUFS || event->result == -ECANCELED) {
            if (!event->more)
                conn_receive(conns, conn);
        } else {
            conn_doom(conns, conn);
        }
        return;
    default: // a doomed or free one has no events: its generation has changed
        must(conn->state == CONN_CLOSING || conn->state == CONN_PARTING);
        if (!event->more)
            on_recv_ended(conns, conn, event->result);
    }
}

void
conn_on_recv(struct conns *conns, const struct io_event *event)
{
    struct conn *conn = conn_find(conns, event->token);
    if (unlikely(!conn))
        return;
    must_hot(conn->receiving);
    conn->receiving = event->more;
    if (likely(event->result > 0))
        stat_add(&shard_listener(conns->shard, conn->listener)->bytes_received,
                 (uint32_t)event->result);
    if (unlikely(conn->state != CONN_LIVE)) {
        on_recv_unusual(conns, conn, event);
        return;
    }
    // Also while reading is paused: what was on its way then is taken in its order.
    if (unlikely(conn->filter && event->result > 0))
        filter_input(conns, conn, slice_of(event->data, (uint32_t)event->result));
    else if (likely(event->result > 0))
        client_on_bytes(&conn->client, event->data, (uint32_t)event->result);
    if (unlikely(!event->more && conn->state != CONN_DOOMED))
        on_recv_ended(conns, conn, event->result);
}

// ---- Accept, time, stop -------------------------------------------------------------------------

// A connection beyond a limit: a line that names its key.
static COLD void
tell_refused(struct conns *conns, const char *key, const char *peer)
{
    struct shard *shard = conns->shard;
    log_limited(shard->log, &conns->log_full, shard->now_ms, LOG_T_NOTICE,
                "Client <unknown> [%s]: refused because of %s.", peer, key);
}

static COLD void
refuse(struct conns *conns, int fd, uint32_t listener, enum listen_limit limit)
{
    static const char *const keys[] = {
        [LISTEN_MAX_CONNECTIONS] = "max_connections",
        [LISTEN_GLOBAL_MAX_CONNECTIONS] = "global_max_connections",
        [LISTEN_DESCRIPTORS] = "the descriptors that the process may have (ulimit -n)",
        [LISTEN_NODES_MAX] = "the number of connections that other nodes may have",
    };
    struct stats *stats = &conns->shard->stats;
    shard_count_refused(conns->shard, listener);
    if (limit != LISTEN_ADMITTED) { // else the broker stops
        stat_add(limit == LISTEN_DESCRIPTORS ? &stats->refused_descriptors
                                             : &stats->refused_max_connections,
                 1);
        char peer[PEER_TEXT_MAX];
        peer_text(conns->listeners, listener, fd, peer);
        tell_refused(conns, keys[limit], peer);
    }
    (void)close(fd);
}

bool
conn_enter_address(struct conns *conns, struct conn *conn, const char *peer)
{
    struct shard *shard = conns->shard;
    uint32_t max = shard->config->address_connections_max;
    uint64_t address = max ? address_parse(peer) : ADDRESS_NONE;
    must(conn->address_place == 0);
    if (address == ADDRESS_NONE ||
        admission_enter(shard->broker->admission, address, max, &conn->address_place))
        return true;
    stat_add(&shard->stats.refused_per_address, 1);
    shard_count_refused(shard, conn->listener);
    tell_refused(conns, "max_connections_per_address", peer);
    return false;
}

// Behind a proxy, it is the client's address that counts: see filter_input.
static bool
enter(struct conns *conns, struct conn *conn)
{
    const struct config *config = conns->shard->config;
    if (likely(config->address_connections_max == 0) || config->listeners[conn->listener].node ||
        config->listeners[conn->listener].entry.proxy_protocol)
        return true;
    char peer[PEER_TEXT_MAX];
    peer_text(conns->listeners, conn->listener, conn->fd, peer);
    return conn_enter_address(conns, conn, peer);
}

void
conn_on_accept(struct conns *conns, int fd, uint32_t listener)
{
    struct shard *shard = conns->shard;
    stat_add(&shard->stats.sockets_opened, 1);
    stat_add(&shard_listener(shard, listener)->opened, 1);
    enum listen_limit limit =
        conns->refusing ? LISTEN_ADMITTED : listen_admit(conns->listeners, shard->config, listener);
    if (unlikely(conns->refusing || limit != LISTEN_ADMITTED)) {
        refuse(conns, fd, listener, limit);
        return;
    }
    struct conn *conn = conn_alloc(conns, fd, listener, shard->now_ms);
    conn->state = CONN_PRE;
    if (!enter(conns, conn)) {
        conn_doom(conns, conn);
        return;
    }
    if (!filter_begin(conns, conn)) {
        shard_count_refused(shard, listener);
        conn_doom(conns, conn);
        return;
    }
    arm_connect_timeout(conns, conn);
    conn_receive(conns, conn);
}

// The listener by which nodes come to us stands for those to which we go.
static uint32_t
node_listener(const struct config *config)
{
    uint32_t i = 0;
    while (i < config->listener_count && !config->listeners[i].node)
        i++;
    must(i < config->listener_count);
    return i;
}

void
conn_begin_dialled(struct conns *conns, struct conn *conn, const struct node_dialled *dialled)
{
    go_live(conns, conn, "", (struct slice){0});
    client_dial(&conn->client, dialled);
}

void
conn_on_dialled(struct conns *conns, const struct node_dialled *dialled)
{
    struct shard *shard = conns->shard;
    uint32_t listener = node_listener(shard->config);
    enum listen_limit limit =
        conns->refusing ? LISTEN_ADMITTED : listen_admit(conns->listeners, shard->config, listener);
    if (conns->refusing || limit != LISTEN_ADMITTED) {
        refuse(conns, dialled->fd, listener, limit); // it will be dialled again
        return;
    }
    struct conn *conn = conn_alloc(conns, dialled->fd, listener, shard->now_ms);
    if (listen_tls(conns->listeners, listener)) {
        conn->state = CONN_PRE;
        arm_connect_timeout(conns, conn);
        filter_dial(conns, conn, dialled);
    } else {
        conn_begin_dialled(conns, conn, dialled);
    }
}

void
conn_on_timer(struct conns *conns, struct timer *timer)
{
    must(timer->kind == TIMER_CONN);
    struct conn *conn = container_of(timer, struct conn, timer);
    switch (conn->state) {
    case CONN_PRE:
        if (conn->filter && !conn->pre) { // not a byte for a client
            stat_add(&conns->shard->stats.handshake_timeouts, 1);
            filter_dial_failed(conns, conn, "no answer");
            conn_doom(conns, conn);
            return;
        }
        // The client counts and logs its time-out itself: it is over when it begins.
        stay_here(conns, conn, conn_pre_bytes(conn));
        return;
    case CONN_CLOSING:
    case CONN_PARTING:
        conn_finish(conns, conn);
        return;
    default:
        must(conn->state == CONN_LINGER);
        conn_doom(conns, conn);
    }
}

void
conns_refuse(struct conns *conns)
{
    conns->refusing = true;
    for (uint32_t i = 0; i < conns->slots; i++) {
        struct conn *conn = conn_at(conns, i);
        if (conn->state == CONN_PRE && conn->filter)
            filter_refuse(conns, conn);
        else if (conn->state == CONN_PRE)
            conn_doom(conns, conn);
        else if (conn->state == CONN_LIVE && conn->client.state == CLIENT_AWAIT_CONNECT)
            conn_lost(conns, conn, 0);
        else if (conn->state == CONN_LIVE && conn->client.link == LINK_RELAY)
            client_shut_down(&conn->client); // its session is not one of ours
    }
}

void
conns_abandon(struct conns *conns)
{
    for (uint32_t i = 0; i < conns->slots; i++) {
        struct conn *conn = conn_at(conns, i);
        if (conn_has_client(conn))
            conn_lost(conns, conn, 0);
        else if (conn->state != CONN_FREE && conn->state != CONN_DOOMED)
            conn_doom(conns, conn);
    }
}
