// conn_filter.h - what stands between a connection's socket and MQTT: PROXY header, TLS, WebSocket.
//
// Job:    bytes from the socket become MQTT's, and the other way round. It joins the parts of
//         proxy_header.h, tls.h and websocket.h, which know nothing of each other.
// Owner:  the connection; with it, it goes to the home shard. Thread: the connection's.
// Memory: 232 bytes, and what its parts hold; what is to be sent, encoded.
// Limits: FILTER_ENCODE_MAX bytes are encoded ahead of the socket, FILTER_UNREAD_MAX of answers
//         that nobody reads; HANDSHAKE_TICK_US of a tick for handshakes, and max_pending_handshakes
//         of them; the time to CONNECT is conn.h's.
#ifndef TERN_IO_CONN_FILTER_H
#define TERN_IO_CONN_FILTER_H

#include "core/base/list.h"

#include "core/outq.h"
#include "io/listener.h"

struct conn;
struct conns;
struct node_dialled;
struct tls;
struct websocket;

#define FILTER_MAGIC 0x66696c74u
// As much is taken from the client at a time, and so is the most that waits encoded: what waits
// unencoded is what the limits of core see.
#define FILTER_ENCODE_MAX 65536u
#define FILTER_UNREAD_MAX 262144u
// A handshake costs about 100 us of CPU. Those in a tick end after so many; the rest wait their
// turn, so that clients that are in wait no longer than this for a storm of others.
#define HANDSHAKE_TICK_US 2000u

struct conn_filter {
    uint32_t magic;
    bool proxy_wanted; // its header has not come yet
    bool said_last;    // close frame, close_notify
    bool blocked;      // the socket takes no more
    struct conn *conn;
    struct tls *tls;      // NULL = none
    struct websocket *ws; // NULL = none
    struct outq wire;     // for the socket
    struct list ready;    // in conns->wire_ready
    struct list shaking;  // in conns->shaking
    struct list pending;  // in conns->pending
    uint8_t *held;        // of a PROXY header, or input that waits for a handshake
    uint32_t held_len, held_cap;
    struct node_dialled *dialled; // until it is another node's: whom we dial; NULL = it came
    char *proxy_name;             // Common Name of the certificate that the proxy has verified
    char peer[PEER_TEXT_MAX];     // as the proxy says; "" = it is the socket's
};

// Who the client has proved to be; NULL = nobody. Borrowed until the filter's end.
const char *filter_client_name(const struct conn_filter *filter);
// From all lists.
void filter_unlink(struct conns *conns, struct conn_filter *filter);
// On its way to another shard: all bytes that wait to be sent, borrowed; then it holds nothing of
// this shard's; then it belongs to a connection there.
struct slice filter_wire(const struct conn_filter *filter);
void filter_leave(struct conns *conns, struct conn_filter *filter);
void filter_arrive(struct conns *conns, struct conn *conn, struct slice wire);
void filter_free(struct conn_filter *filter, struct outq_pool *pool); // takes; NULL is fine

#endif
