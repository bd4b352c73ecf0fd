// conn.h - one connection of the floor: what it received in part, what it has to be sent.
//
// Job:    gathers pieces that lie elsewhere, sends them once a tick, keeps what did not fit.
// Owner:  a relay. Thread: the relay's.
// Memory: no bytes of its own but a packet received in part, and a backlog when its socket is full.
// Limits: CONN_BACKLOG_MAX bytes of backlog; more end the process, for then nothing is measured.
#ifndef TERN_BENCH_FLOOR_CONN_H
#define TERN_BENCH_FLOOR_CONN_H

#include <sys/uio.h>

#include "bench/floor/packet.h"

#define CONN_PIECES_MAX  1024u // as many as one sendmsg takes
#define CONN_BACKLOG_MAX (1u << 30)

struct relay;

struct conn {
    int fd;
    bool closing, receiving, polling;
    bool version5;

    // To be sent in this tick: in receive buffers, in the relay's arena, in a queue from another
    // thread. All stay until the tick's requests are submitted.
    uint32_t piece_count, piece_cap;
    struct iovec *pieces; // `first`, until one is not enough
    struct iovec first;

    // Of a packet whose end has not come: its header, and once that tells the size, all of it.
    uint8_t head[PACKET_HEADER_MAX];
    uint8_t head_len;
    uint8_t *cut;
    uint32_t cut_len, cut_size;

    // What did not fit into the socket.
    uint8_t *backlog;
    uint32_t backlog_at, backlog_len, backlog_cap;

    uint32_t *topics; // numbers subscribed to
    uint32_t topic_count, topic_cap;

    struct conn *next_closed;
};

struct conn *conn_new(struct relay *relay, int fd); // takes fd; arms the receiving

// The bytes, for the next send; they stay until the tick's requests are submitted.
void conn_add_slow(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len);

static inline void
conn_add(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len)
{
    if (likely(conn->piece_count > 0)) {
        struct iovec *last = &conn->pieces[conn->piece_count - 1];
        if ((uint8_t *)last->iov_base + last->iov_len == data) {
            last->iov_len += len;
            return;
        }
    }
    conn_add_slow(relay, conn, data, len);
}

// Queues the send of all pieces.
void conn_send(struct relay *relay, struct conn *conn);
// So many of them were sent, or an error: the rest goes into the backlog.
void conn_on_short(struct relay *relay, struct conn *conn, int32_t result);
void conn_on_writable(struct relay *relay, struct conn *conn);

// Ends the connection; the memory goes once the kernel holds nothing for it.
void conn_close(struct relay *relay, struct conn *conn);
// Frees it if that is so. Only between ticks: until then it may stand in lists.
bool conn_free_if_done(struct conn *conn);

#endif
