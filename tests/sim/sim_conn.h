// sim_conn.h - a connection whose socket is in memory.
//
// Job:    the transport's part of the contract in core/client.h, without a kernel: what the peer
//         sends goes to core, what core writes is there for the peer to read.
// Owner:  struct sim. Thread: one. Memory: stays until sim_free, so that the last words can be
//         read. Limits: none.
#ifndef TERN_TESTS_SIM_SIM_CONN_H
#define TERN_TESTS_SIM_SIM_CONN_H

#include <sys/uio.h>

#include "core/base/mem.h"

#include "core/alias.h"
#include "core/client.h"
#include "core/client_out.h"
#include "core/shard.h"
#include "tests/sim/server_packet.h"

#define SIM_CHUNK     16384u // as much comes with one receive
#define SIM_UNLIMITED UINT64_MAX

struct sim_bytes {
    uint8_t *data;
    uint32_t len, cap, at; // [at, len) is not read yet
};

struct sim_conn {
    struct client client;
    struct list node;                        // in sim->conns
    struct list flight;                      // to be flushed
    bool open;                               // client_on_closed was not called
    bool resumed;                            // the socket takes bytes again
    uint64_t room;                           // bytes that the socket still takes
    struct sim_bytes to_broker;              // sent by the peer, not received: reading is paused
    struct sim_bytes to_peer;                // sent by the broker
    struct slice aliases[ALIAS_OUT_MAX + 1]; // topics by alias; in to_peer or owned: see alias_keep
    struct server_packet hello;              // CONNACK, of sim_connect
};

static inline struct sim_conn *
sim_conn_new(struct shard *shard, uint64_t now_ms)
{
    struct sim_conn *conn = mem_zalloc(sizeof *conn);
    struct client_origin origin = {.peer = "sim", .accepted_ms = now_ms};
    client_init(&conn->client, shard, &origin);
    list_init(&conn->node);
    list_init(&conn->flight);
    conn->open = true;
    conn->room = SIM_UNLIMITED;
    return conn;
}

static inline void
sim_append(struct sim_bytes *to, const void *data, size_t len)
{
    if (len == 0)
        return;
    must(len < UINT32_MAX - to->len);
    to->data = mem_grow(to->data, &to->cap, to->len + (uint32_t)len, 1);
    memcpy(to->data + to->len, data, len);
    to->len += (uint32_t)len;
}

// ---- The peer's side ----------------------------------------------------------------------------

// Receives what waits, as long as core wants it. Each piece is a block of its own of that very
// size, gone afterwards: what reads beyond it or keeps a pointer into it is seen.
static inline void
sim_receive(struct sim_conn *conn)
{
    struct sim_bytes *from = &conn->to_broker;
    while (from->at < from->len && conn->open && !conn->client.want_close &&
           !conn->client.read_paused) {
        uint32_t n = min_u32(from->len - from->at, SIM_CHUNK);
        uint8_t *piece = mem_alloc(n);
        memcpy(piece, from->data + from->at, n);
        from->at += n;
        client_on_bytes(&conn->client, piece, n);
        mem_free(piece);
    }
    if (from->at == from->len)
        from->at = from->len = 0;
}

static inline void
sim_feed(struct sim_conn *conn, const void *data, size_t len)
{
    sim_append(&conn->to_broker, data, len);
    sim_receive(conn);
}

static inline void
sim_close(struct sim_conn *conn, int error)
{
    must(conn->open);
    conn->open = false;
    list_remove(&conn->flight);
    client_on_closed(&conn->client, error);
}

// The socket takes so many more bytes; SIM_UNLIMITED: all.
static inline void
sim_room(struct sim_conn *conn, uint64_t bytes)
{
    conn->room = bytes;
    if (!conn->client.blocked || bytes == 0)
        return;
    conn->client.blocked = false;
    conn->resumed = true;
    client_mark_dirty(&conn->client);
}

// An alias is good for the connection, the bytes it came in are as well: to_peer may move, so the
// topic is kept by its own copy.
static inline void
sim_resolve_alias(struct sim_conn *conn, struct server_packet *packet)
{
    if (packet->alias == 0)
        return;
    must(packet->alias <= conn->client.alias_max_out);
    struct slice *known = &conn->aliases[packet->alias];
    if (packet->topic.len == 0) {
        must(known->len > 0);
        packet->topic = *known;
        return;
    }
    must(known->len == 0 || slice_equal(*known, packet->topic));
    if (known->len == 0)
        *known = slice_of(mem_strndup(packet->topic.data, packet->topic.len), packet->topic.len);
}

// The next packet that the peer gets; false when there is none. Borrowed until the next tick.
static inline bool
sim_next(struct sim_conn *conn, struct server_packet *ret)
{
    struct sim_bytes *from = &conn->to_peer;
    if (from->at == from->len)
        return false;
    struct slice rest = slice_of(from->data + from->at, from->len - from->at);
    if (!server_packet_next(&rest, conn->client.version, ret))
        return false;
    must(ret->total <= conn->client.packet_max); // [MQTT-3.1.2-24]
    from->at = from->len - rest.len;
    if (ret->type == MQTT_PUBLISH)
        sim_resolve_alias(conn, ret);
    return true;
}

// ---- The socket ---------------------------------------------------------------------------------

static inline void
sim_send_pieces(struct sim_conn *conn)
{
    struct outq *out = &conn->client.out;
    while (outq_bytes(out) > 0 && conn->room > 0) {
        struct iovec pieces[4];
        uint32_t count = outq_pieces(out, pieces, ARRAY_LEN(pieces));
        must(count > 0);
        uint64_t sent = 0;
        for (uint32_t i = 0; i < count && conn->room > sent; i++) {
            uint64_t n = min_u64(pieces[i].iov_len, conn->room - sent);
            must(n > 0);
            sim_append(&conn->to_peer, pieces[i].iov_base, n);
            sent += n;
        }
        outq_consume(out, &conn->client.shard->pool, sent);
        if (conn->room != SIM_UNLIMITED)
            conn->room -= sent;
    }
}

static inline void
sim_flush_one(struct sim_conn *conn)
{
    struct client *client = &conn->client;
    if (!client->blocked && !client->held)
        sim_send_pieces(conn);
    if (client->want_close) { // last words that the peer does not take are lost
        sim_close(conn, 0);
    } else if (outq_bytes(&client->out) > 0) {
        client->blocked = !client->held;
    } else if (conn->resumed || client->read_paused) {
        conn->resumed = false;
        client_on_writable(client);
    }
}

// Two passes, as in the real transport: taking a client off the list may write to others.
static inline void
sim_flush(struct shard *shard)
{
    struct list flights, *node;
    struct client *client;
    list_init(&flights);
    while ((client = client_next_dirty(shard)) != NULL) {
        struct sim_conn *conn = container_of(client, struct sim_conn, client);
        if (list_empty(&conn->flight))
            list_push(&flights, &conn->flight);
    }
    while ((node = list_pop(&flights)) != NULL)
        sim_flush_one(container_of(node, struct sim_conn, flight));
}

static inline void
sim_free_conn(struct sim_conn *conn)
{
    if (conn->open)
        sim_close(conn, 0);
    for (unsigned i = 0; i < ARRAY_LEN(conn->aliases); i++)
        mem_free(unconst(conn->aliases[i].data));
    mem_free(conn->to_broker.data);
    mem_free(conn->to_peer.data);
    mem_free(conn);
}

#endif
