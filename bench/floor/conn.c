// conn.c - one connection of the floor.
#include "bench/floor/conn.h"

#include <errno.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "bench/floor/relay.h"

// Pieces of fewer bytes than this, on average, are copied together: the kernel's walk over them
// would cost more.
#define GATHER_BELOW 2048u

struct conn *
conn_new(struct relay *relay, int fd)
{
    struct conn *conn = mem_alloc_aligned(CACHE_LINE, sizeof *conn);
    *conn = (struct conn){.fd = fd, .piece_cap = 1};
    conn->pieces = &conn->first;
    ring_recv(&relay->ring, fd, conn);
    conn->receiving = true;
    return conn;
}

// ---- Sending ------------------------------------------------------------------------------------

static COLD void
more_pieces(struct conn *conn)
{
    uint32_t cap = conn->piece_cap == 1 ? 4 : conn->piece_cap * 2;
    struct iovec *pieces = mem_alloc(cap * sizeof *pieces);
    memcpy(pieces, conn->pieces, conn->piece_count * sizeof *pieces);
    if (conn->pieces != &conn->first)
        mem_free(conn->pieces);
    conn->pieces = pieces;
    conn->piece_cap = cap;
}

static COLD void
keep(struct conn *conn, const uint8_t *data, uint32_t len)
{
    if (len == 0)
        return;
    must(conn->backlog_len + (uint64_t)len <= CONN_BACKLOG_MAX);
    conn->backlog = mem_grow(conn->backlog, &conn->backlog_cap, conn->backlog_len + len, 1);
    memcpy(conn->backlog + conn->backlog_len, data, len);
    conn->backlog_len += len;
}

void
conn_add_slow(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len)
{
    must_hot(len > 0);
    if (unlikely(conn->closing))
        return;
    if (unlikely(conn->backlog_len > 0)) {
        keep(conn, data, len);
        return;
    }
    if (unlikely(conn->piece_count == CONN_PIECES_MAX))
        relay_flush(relay);
    if (conn->piece_count == 0) {
        relay->dirty = mem_grow(relay->dirty, &relay->dirty_cap, relay->dirty_count + 1,
                                sizeof(struct conn *));
        relay->dirty[relay->dirty_count++] = conn;
    }
    if (unlikely(conn->piece_count == conn->piece_cap))
        more_pieces(conn);
    conn->pieces[conn->piece_count++] = (struct iovec){.iov_base = data, .iov_len = len};
}

static void
gather(struct relay *relay, struct conn *conn)
{
    size_t total = 0;
    for (uint32_t i = 0; i < conn->piece_count; i++)
        total += conn->pieces[i].iov_len;
    if (total >= (size_t)conn->piece_count * GATHER_BELOW ||
        total > RELAY_ARENA_BYTES - relay->gather_len)
        return;
    uint8_t *begin = relay->gather + relay->gather_len, *to = begin;
    for (uint32_t i = 0; i < conn->piece_count; i++) {
        memcpy(to, conn->pieces[i].iov_base, conn->pieces[i].iov_len);
        to += conn->pieces[i].iov_len;
    }
    relay->gather_len += (uint32_t)total;
    conn->pieces[0] = (struct iovec){.iov_base = begin, .iov_len = total};
    conn->piece_count = 1;
}

void
conn_send(struct relay *relay, struct conn *conn)
{
    must_hot(conn->piece_count > 0);
    if (unlikely(conn->closing))
        return;
    if (conn->piece_count > 1)
        gather(relay, conn);
    ring_send(&relay->ring, conn->fd, conn->pieces, conn->piece_count, conn);
}

static void
await_room(struct relay *relay, struct conn *conn)
{
    must(!conn->polling);
    ring_writable(&relay->ring, conn->fd, conn);
    conn->polling = true;
}

COLD void
conn_on_short(struct relay *relay, struct conn *conn, int32_t result)
{
    if (conn->closing)
        return;
    if (result < 0 && result != -EAGAIN) {
        // The receiving ends now, too, and closes; here somebody may walk over a topic's members.
        (void)shutdown(conn->fd, SHUT_RDWR);
        return;
    }
    size_t sent = result > 0 ? (size_t)result : 0;
    for (uint32_t i = 0; i < conn->piece_count; i++) {
        const struct iovec *piece = &conn->pieces[i];
        size_t skip = sent < piece->iov_len ? sent : piece->iov_len;
        keep(conn, (const uint8_t *)piece->iov_base + skip, (uint32_t)(piece->iov_len - skip));
        sent -= skip;
    }
    must(conn->backlog_len > 0);
    await_room(relay, conn);
}

COLD void
conn_on_writable(struct relay *relay, struct conn *conn)
{
    conn->polling = false;
    if (conn->closing)
        return;
    ssize_t sent = send(conn->fd, conn->backlog + conn->backlog_at,
                        conn->backlog_len - conn->backlog_at, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) {
        conn_close(relay, conn);
        return;
    }
    conn->backlog_at += sent > 0 ? (uint32_t)sent : 0;
    if (conn->backlog_at == conn->backlog_len) {
        conn->backlog_at = conn->backlog_len = 0;
        return;
    }
    // So that what moves is no more than what was sent since.
    if (conn->backlog_at > conn->backlog_len / 2) {
        conn->backlog_len -= conn->backlog_at;
        memmove(conn->backlog, conn->backlog + conn->backlog_at, conn->backlog_len);
        conn->backlog_at = 0;
    }
    await_room(relay, conn);
}

// ---- The end ------------------------------------------------------------------------------------

void
conn_close(struct relay *relay, struct conn *conn)
{
    if (conn->closing)
        return;
    conn->closing = true;
    for (uint32_t i = 0; i < conn->topic_count; i++)
        topics_remove(relay->topics, conn->topics[i], conn, relay->wanted, relay->number);
    conn->next_closed = relay->closed;
    relay->closed = conn;
    // Ends what the kernel still does for this socket.
    (void)shutdown(conn->fd, SHUT_RDWR);
}

bool
conn_free_if_done(struct conn *conn)
{
    must(conn->closing);
    if (conn->receiving || conn->polling)
        return false;
    (void)close(conn->fd);
    if (conn->pieces != &conn->first)
        mem_free(conn->pieces);
    mem_free(conn->cut);
    mem_free(conn->backlog);
    mem_free(conn->topics);
    mem_free(conn);
    return true;
}
