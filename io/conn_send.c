// conn_send.c - what the clients have to say goes out: once a tick, one send per connection.
//
// Two rules keep the kernel's hands off memory that moves:
//   1. Between queueing a send and the end of enter no code of the core runs, so no out-queue
//      changes. Hence two passes: the first one empties the shard's list of dirty clients (which
//      can end sessions and so write to others), the second one only queues.
//   2. conns_settle comes first after enter, before anything of the core.
#include <errno.h>
#include <sys/uio.h>

#include "core/client_out.h"
#include "io/conn.h"

// As many sends, and as many bytes, may keep their buffers while the worker sleeps: it saves a
// system call for each lone message and costs little memory.
#define HOLD_FLIGHTS 16u
#define HOLD_BYTES   262144u

// ---- First pass: who has something to send? -----------------------------------------------------

static void
follow_pause(struct conns *conns, struct conn *conn)
{
    if (!conn->client.read_paused && !conn->receiving) {
        conn_receive(conns, conn);
    } else if (conn->client.read_paused && conn->receiving && !conn->stopping) {
        conn->stopping = true;
        conns->io->ops->stop(conns->io, IO_RECV, conn->fd, conn->token);
    }
}

static void
collect(struct conns *conns, struct conn *conn)
{
    struct client *client = &conn->client;
    must_hot(conn->magic == CONN_MAGIC);
    if (likely(conn->state == CONN_LIVE)) {
        if (unlikely(client->want_close))
            conn_begin_close(conns, conn);
        else if (unlikely(client->read_paused == conn->receiving))
            follow_pause(conns, conn);
    }
    if (unlikely(client->blocked || client->held || conn->in_flight))
        return;
    if (unlikely(conn->filter) && !filter_encode(conns, conn))
        return;
    if (unlikely(outq_bytes(conn_out(conn)) == 0)) {
        if (conn->state == CONN_CLOSING)
            conn_finish(conns, conn);
        return;
    }
    conn->in_flight = true;
    conns->flights[conns->flight_count++].conn = conn;
}

static void
collect_without_client(struct conns *conns, struct conn *conn)
{
    must(conn->state == CONN_PRE || conn->state == CONN_PARTING);
    if (conn_is_blocked(conn) || conn->in_flight)
        return;
    if (outq_bytes(&conn->filter->wire) == 0) {
        if (conn->state == CONN_PARTING)
            conn_finish(conns, conn);
        return;
    }
    conn->in_flight = true;
    conns->flights[conns->flight_count++].conn = conn;
}

void
conn_mark_ready(struct conns *conns, struct conn *conn)
{
    if (conn_has_client(conn))
        client_mark_dirty(&conn->client);
    else if (list_empty(&conn->filter->ready))
        list_push(&conns->wire_ready, &conn->filter->ready);
}

// ---- Second pass --------------------------------------------------------------------------------

static uint32_t
cut_to_limit(struct iovec *pieces, uint32_t *count)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < *count; i++) {
        if (bytes + pieces[i].iov_len >= IO_SEND_BYTES_MAX) {
            pieces[i].iov_len = IO_SEND_BYTES_MAX - bytes;
            *count = i + 1;
        }
        bytes += pieces[i].iov_len;
    }
    return (uint32_t)bytes;
}

// More than the wire takes at a time.
static bool
waits_behind(const struct conn *conn)
{
    return conn_has_client(conn) && outq_bytes(&conn->client.out) > 0;
}

static inline void
conn_flush(struct conns *conns, uint32_t id)
{
    struct flight *flight = &conns->flights[id];
    struct conn *conn = flight->conn;
    struct iovec pieces[IO_PIECES_MAX];
    uint32_t count = outq_pieces(conn_out(conn), pieces, IO_PIECES_MAX);
    flight->bytes = cut_to_limit(pieces, &count);
    flight->result = (int32_t)flight->bytes;
    conns->flight_bytes += flight->bytes;
    uint32_t lane = conns->shard->index;
    conns->io->ops->send(conns->io, conn->fd, lane * IO_SENDS_MAX + id, pieces, count);
    // Somebody waits for this to be over, or there is more behind it.
    if (conn->state != CONN_LIVE || conn->resumed || conn->client.read_paused ||
        flight->bytes < outq_bytes(conn_out(conn)) || unlikely(conn->filter && waits_behind(conn)))
        conns->settle_soon = true;
}

void
conns_flush(struct conns *conns, uint32_t send_max)
{
    must_hot(conns->flight_count == 0 && send_max <= IO_SENDS_MAX);
    struct client *client;
    // Those for whom there is no room stay dirty; the worker does not sleep then.
    while (conns->flight_count < send_max && (client = client_next_dirty(conns->shard)) != NULL)
        collect(conns, container_of(client, struct conn, client));
    struct list *node;
    while (conns->flight_count < send_max && (node = list_pop(&conns->wire_ready)) != NULL)
        collect_without_client(conns, container_of(node, struct conn_filter, ready)->conn);
    conns->flight_bytes = 0;
    conns->settle_soon = false;
    for (uint32_t id = 0; id < conns->flight_count; id++)
        conn_flush(conns, id);
    if (conns->flight_count > HOLD_FLIGHTS || conns->flight_bytes > HOLD_BYTES)
        conns->settle_soon = true;
}

// ---- After enter --------------------------------------------------------------------------------

void
conn_set_blocked(struct conn *conn, bool blocked)
{
    if (conn->filter)
        conn->filter->blocked = blocked;
    if (conn_has_client(conn))
        conn->client.blocked = blocked;
}

static COLD void
on_short_send(struct conns *conns, struct conn *conn, int32_t result)
{
    if (result < 0 && result != -EAGAIN) {
        conn_lost(conns, conn, -result);
    } else if (conn->ended && conn->state != CONN_PRE) { // nobody is there to read the rest
        conn_finish(conns, conn);
    } else {
        conn_set_blocked(conn, true);
        conn_poll(conns, conn);
    }
}

// All that was asked for is sent, but there is more to say about it.
static COLD void
on_sent_unusual(struct conns *conns, struct conn *conn)
{
    if (conn_has_more(conn) || (conn->filter && filter_owes(conn))) {
        conn_mark_ready(conns, conn); // more pieces than one send takes
    } else if (conn->state == CONN_CLOSING || conn->state == CONN_PARTING) {
        conn_finish(conns, conn);
    } else if (conn->state == CONN_LIVE) {
        conn->resumed = false;
        client_on_writable(&conn->client);
    }
}

void
conns_on_failure(struct conns *conns, uint32_t id, int32_t result)
{
    must(id < conns->flight_count && result < (int32_t)conns->flights[id].bytes);
    conns->flights[id].result = result;
}

void
conns_settle(struct conns *conns)
{
    for (uint32_t id = 0; id < conns->flight_count; id++) {
        const struct flight *flight = &conns->flights[id];
        struct conn *conn = flight->conn;
        must_hot(conn->in_flight);
        conn->in_flight = false;
        if (likely(flight->result > 0)) {
            outq_consume(conn_out(conn), &conns->shard->pool, (uint32_t)flight->result);
            stat_add(&shard_listener(conns->shard, conn->listener)->bytes_sent,
                     (uint32_t)flight->result);
        }
        if (unlikely(flight->result < (int32_t)flight->bytes))
            on_short_send(conns, conn, flight->result);
        else if (unlikely(conn->state != CONN_LIVE || conn_has_more(conn) || conn->resumed ||
                          conn->client.read_paused))
            on_sent_unusual(conns, conn);
    }
    conns->flight_count = 0;
}

void
conn_on_writable(struct conns *conns, uint64_t token)
{
    struct conn *conn = conn_find(conns, token);
    if (!conn)
        return;
    conn->polling = false;
    if (conn->state == CONN_LINGER)
        return;
    must(conn_has_client(conn) || conn->filter);
    if (conns->moving)
        return; // asked again where the lane goes
    conn_set_blocked(conn, false);
    conn->resumed = conn_has_client(conn);
    conn_mark_ready(conns, conn);
}
