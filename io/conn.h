// conn.h - the connections of one worker.
//
// Job:    accept, find the home shard, receive, hand over, close; io/conn_send.c flushes.
// Owner:  a worker. Thread: its own.
// Memory: 384 bytes per connection, in chunks that stay for the next ones; while the CONNECT is
//         incomplete what arrived of it; otherwise no buffer.
// Limits: descriptors; max_connections; time to CONNECT; CONN_FLUSH_MS and CONN_LINGER_MS at the
//         end.
//
// A lane (lane.h) may move to another worker. Then all operations in the kernel are stopped, and
// armed again by the other one; conn->rearm remembers which.
//
//   accept -> PRE -> LIVE -> CLOSING -> LINGER -> DOOMED -> free
//             | |    ^ |                 ^           ^
//             | |    | +----> PARTING ---+           |
//             | |    |           ^                   +-- from everywhere, when the peer is gone
//             | +----|-----------+ the filter's end
//             +------+ on the home shard, or to another node that was dialled
#ifndef TERN_IO_CONN_H
#define TERN_IO_CONN_H

#include "core/client.h"
#include "core/shard.h"
#include "io/backend.h"
#include "io/conn_away.h"
#include "io/conn_filter.h"

struct listen_set;

#define CONN_MAGIC     0x636f6e6eu
#define CONN_CHUNK     128u
#define CONN_SLOTS_MAX (1u << IO_LANE_SHIFT)
#define CONN_FLUSH_MS  1000u // for the last words, when the socket is full
#define CONN_LINGER_MS 200u  // for the peer to read them and to close
#define TIMER_CONN     128u  // struct timer.kind in the worker's own wheel

enum conn_state {
    CONN_FREE,
    CONN_PRE,     // reads its CONNECT; its home is not known; client is not there. Dialled: TLS
    CONN_LIVE,    // client works
    CONN_CLOSING, // sends the last words; client takes no more
    CONN_PARTING, // client is not there; the filter's last words go out
    CONN_LINGER,  // all said; client is gone; what arrives is thrown away until the peer ends
    CONN_DOOMED,  // shut down; closed when no queued operation names its descriptor any more
};

// The first line is all that an event or a flush needs besides the client.
struct conn {
    CACHE_ALIGNED uint64_t token; // generation << 32 | lane << IO_LANE_SHIFT | slot
    uint32_t magic;
    int fd;
    uint32_t listener;
    uint8_t state;              // enum conn_state
    bool receiving;             // a receive is armed
    bool stopping;              // ... and asked to end
    bool in_flight;             // in conns.flights
    bool resumed;               // was blocked; client_on_writable is due when all is sent
    bool ended;                 // the peer will send no more
    bool polling;               // one event tells when the socket takes bytes again
    bool rearm;                 // its receive was stopped, or not armed, because the lane moves
    uint32_t address_place;     // counted by address (admission.h); 0 = not
    struct conn_filter *filter; // TLS, WebSocket, PROXY header; NULL = the bytes are MQTT's
    struct conn_pre *pre;       // while PRE: the incomplete CONNECT; NULL = nothing of it
    struct timer timer;
    union {
        struct list node;     // free or doomed: client is not there
        uint64_t accepted_ms; // PRE: it is not yet
        struct client client;
    };
};
_Static_assert(sizeof(struct conn) <= 384, "what the README says of an idle connection");
_Static_assert(offsetof(struct conn, timer) <= CACHE_LINE, "the hot fields share one line");

struct flight {
    struct conn *conn;
    uint32_t bytes; // asked for
    int32_t result; // sent, or -errno
};

struct conns {
    struct backend *io;
    struct shard *shard;
    struct wheel *wheel;
    const struct listen_set *listeners;
    struct conn **chunks;
    uint32_t slots, chunk_cap;
    uint32_t open; // connections that are not free
    struct list free, doomed;
    struct list wire_ready;       // filters without a client that have something to send
    struct list shaking;          // ... with input that waits for its turn of a handshake
    struct list pending;          // ... that are not through to MQTT yet, the oldest first
    uint64_t handshakes_us;       // spent on handshakes in this tick
    uint8_t *plain;               // TLS_RECORD_MAX bytes, when the first TLS connection comes
    struct log_limit log_bad;     // ends of filters
    struct log_limit log_pending; // max_pending_handshakes
    struct log_limit log_full;    // connections beyond a limit
    bool refusing;                // the worker stops
    struct conn_away away;        // those that are ended so that clients go elsewhere
    bool moving;                  // nothing is armed
    bool settle_soon;             // a flight has to be settled before the worker may sleep
    uint32_t flight_count;
    uint64_t flight_bytes;
    struct flight flights[IO_SENDS_MAX];
};

// Arguments are borrowed. Returns new.
struct conns *conns_new(struct backend *io, struct shard *shard, struct wheel *wheel,
                        const struct listen_set *listeners);
void conns_free(struct conns *conns); // takes; none is open; NULL is fine

// A connection came from the kernel; takes fd.
void conn_on_accept(struct conns *conns, int fd, uint32_t listener);
// A RECORD_HANDOVER from another worker.
void conn_on_handover(struct conns *conns, const struct spsc_record *record);
// One that was dialled to another node; takes its descriptor.
struct node_dialled;
void conn_on_dialled(struct conns *conns, const struct node_dialled *dialled);
// Events of the connection that the token names; nothing if it is gone.
void conn_on_recv(struct conns *conns, const struct io_event *event);
void conn_on_writable(struct conns *conns, uint64_t token);
void conn_on_timer(struct conns *conns, struct timer *timer);

// One send for each dirty connection, at most send_max, queued.
void conns_flush(struct conns *conns, uint32_t send_max);
// After enter: the send called id failed; before conns_settle takes note of what was sent.
void conns_on_failure(struct conns *conns, uint32_t id, int32_t result);
void conns_settle(struct conns *conns);
// Handshakes go on that waited, as far as this tick has time for them; the next one has as much
// again.
void conns_shake(struct conns *conns);
// There is more to do than waits in the kernel: no time to sleep.
static inline bool
conns_are_busy(const struct conns *conns)
{
    return conns->settle_soon || !list_empty(&conns->doomed) || !list_empty(&conns->wire_ready) ||
           !list_empty(&conns->shaking);
}
// After enter: closes the descriptors of those doomed before it.
void conns_bury(struct conns *conns);
// The lane is about to move: stops all operations, and arms none until conns_resume.
void conns_stop(struct conns *conns);
// Whether the kernel holds no operation of ours any more; if again, those it does are asked to stop
// once more. After conns_settle.
bool conns_stopped(struct conns *conns, bool again);
// Arms everything again, on this backend.
void conns_resume(struct conns *conns, struct backend *io);
// No more connections; ends those without a session.
void conns_refuse(struct conns *conns);
// Ends all that are left, at once.
void conns_abandon(struct conns *conns);

// ---- Between conn.c, conn_filter.c, conn_move.c, conn_send.c and conn_table.c -------------------

static inline bool
conn_has_client(const struct conn *conn)
{
    return conn->state == CONN_LIVE || conn->state == CONN_CLOSING;
}

// What goes to the socket.
static inline struct outq *
conn_out(struct conn *conn)
{
    return unlikely(conn->filter != NULL) ? &conn->filter->wire : &conn->client.out;
}

// All that is to be sent, encoded or not.
static inline bool
conn_has_more(struct conn *conn)
{
    if (likely(!conn->filter))
        return outq_bytes(&conn->client.out) > 0;
    return outq_bytes(&conn->filter->wire) > 0 ||
           (conn_has_client(conn) && outq_bytes(&conn->client.out) > 0);
}

// The socket takes no more for now.
static inline bool
conn_is_blocked(const struct conn *conn)
{
    return conn->filter ? conn->filter->blocked : conn_has_client(conn) && conn->client.blocked;
}

static inline struct conn *
conn_at(const struct conns *conns, uint32_t slot)
{
    must_hot(slot < conns->slots);
    return &conns->chunks[slot / CONN_CHUNK][slot % CONN_CHUNK];
}

// The connection that the token names, or NULL when its slot is another's by now.
static inline struct conn *
conn_find(const struct conns *conns, uint64_t token)
{
    struct conn *conn = conn_at(conns, (uint32_t)token & (CONN_SLOTS_MAX - 1));
    must_hot(conn->magic == CONN_MAGIC);
    return likely(conn->token == token) ? conn : NULL;
}

struct conn *conn_alloc(struct conns *conns, int fd, uint32_t listener, uint64_t accepted_ms);
// The slot only: fd has a new owner or is closed.
void conn_release(struct conns *conns, struct conn *conn);
// Events of the slot's past are another's from now on.
void conn_next_generation(struct conn *conn);

// Arms the receive: one that goes on, or while PRE one that takes nothing more when it is over.
void conn_receive(struct conns *conns, struct conn *conn);
// Waits for the socket to take bytes again.
void conn_poll(struct conns *conns, struct conn *conn);
// client->want_close: last words, then the end.
void conn_begin_close(struct conns *conns, struct conn *conn);
// The last words are said, or cannot be.
void conn_finish(struct conns *conns, struct conn *conn);
// The connection failed.
void conn_lost(struct conns *conns, struct conn *conn, int error);
void conn_doom(struct conns *conns, struct conn *conn);
// Puts what arrived behind what there is of the CONNECT. Returns all of it, borrowed.
struct slice conn_pre_append(struct conn *conn, struct slice bytes);
struct slice conn_pre_bytes(const struct conn *conn); // what there is of it, borrowed
void conn_pre_free(struct conn *conn);
// PRE: data is all that has arrived. Reads on, or the client begins, here or at its home.
void conn_pre_decide(struct conns *conns, struct conn *conn, struct slice data);
void conn_set_blocked(struct conn *conn, bool blocked);
// Counts it by the address that it comes from, peer as for the log. False: there are as many from
// there as there may be; that is counted and told.
bool conn_enter_address(struct conns *conns, struct conn *conn, const char *peer);
// PRE or new: nothing stands between us and the node that was dialled: CONNECT is said.
void conn_begin_dialled(struct conns *conns, struct conn *conn, const struct node_dialled *dialled);
// There is something to send.
void conn_mark_ready(struct conns *conns, struct conn *conn);

// ---- conn_filter.c

// What a new connection of this listener needs; NULL = nothing. False: it may not come.
bool filter_begin(struct conns *conns, struct conn *conn);
// PRE: TLS begins to the node that was dialled; its listener has TLS.
void filter_dial(struct conns *conns, struct conn *conn, const struct node_dialled *dialled);
// PRE: if it was dialled, its end is counted and told.
void filter_dial_failed(struct conns *conns, const struct conn *conn, const char *why);
// Bytes from the socket, in state PRE or LIVE.
void filter_input(struct conns *conns, struct conn *conn, struct slice bytes);
// LIVE or CLOSING: what the client has to say goes to the wire. False: it failed, the connection is
// doomed.
bool filter_encode(struct conns *conns, struct conn *conn);
// Last words are not said yet.
bool filter_owes(const struct conn *conn);
// PRE: says that the server stops, where that can be said.
void filter_refuse(struct conns *conns, struct conn *conn);

#endif
