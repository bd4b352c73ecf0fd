// client.h - one MQTT connection.
//
// Job:    connect, subscribe, ping, cut the byte stream into packets, gather what is to be sent;
//         the QoS flows are publisher.h's and subscriber.h's.
// Owner:  its worker, in an array; a client keeps its slot for ever. Thread: the worker's.
// Memory: two out-buffers and a buffer for cut packets, all empty while the client is silent.
// Limits: one send and one receive in the kernel at a time.
#ifndef TERN_BENCH_CLIENT_H
#define TERN_BENCH_CLIENT_H

#include "bench/publisher.h"
#include "bench/subscriber.h"
#include "bench/tunnel.h"
#include "bench/visit.h"
#include "bench/wire.h"

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,   // TCP
    CLIENT_WAIT_CONNACK, // CONNECT is on its way
    CLIENT_WAIT_SUBACK,
    CLIENT_WAIT_UNSUBACK, // comers of `churn`
    CLIENT_READY,
    CLIENT_LEAVING, // until the kernel holds nothing of the connection; then CLIENT_CLOSED
    CLIENT_LOST,    // ended against our will; stays so
};

struct worker;

struct client {
    struct worker *worker;
    uint32_t slot;   // in the worker's array
    uint32_t number; // within its role, in the whole run
    int fd;          // -1 while closed
    enum role role;
    enum client_state state;
    bool publishes, hears;
    bool sending;         // a send is in the kernel
    bool receiving;       // a multishot receive is armed
    bool dirty, willing;  // on the worker's list
    bool known;           // durable scenarios: was ready before, so the broker has its session
    bool resumed;         // this connection goes on with it
    struct buffer fill;   // gathered for the next send
    struct buffer flight; // in the kernel, from flight_sent on
    uint32_t flight_sent;
    uint32_t filter_count, filters_sent;
    struct tunnel *tunnel;        // TLS, WebSocket; NULL = neither
    struct buffer wire;           // with a tunnel: what fill has become, for the next send
    struct buffer cut;            // the beginning of a packet whose end has not arrived
    uint64_t started_us;          // of the connection attempt: when it was due
    uint64_t last_sent_us;        // for keep alive
    uint64_t pinged_us;           // PINGREQ without its PINGRESP; 0 = none
    struct publisher publisher;   // when it publishes
    struct subscriber subscriber; // when it hears
    struct visit visit;           // comers of `retained`
    uint64_t drops;               // devices: connections ended without DISCONNECT
    bool stormed;                 // devices: away with the storm
};

void client_init(struct client *c, struct worker *w, enum role role, uint32_t number);
void client_free(struct client *c); // closes; the ring must be closed, or hold nothing of it

// Begins a connection attempt that was due at due_us.
void client_connect(struct client *c, uint64_t due_us);
// Queues DISCONNECT; the server closes.
void client_leave(struct client *c);
// Ends the connection without DISCONNECT.
void client_drop(struct client *c);
void client_ping(struct client *c);
// Hands what was gathered to the kernel, unless a send is under way.
void client_flush(struct client *c);

// Completions.
void client_on_connect(struct client *c, int result);
void client_on_send(struct client *c, int result);
// A receive ended with an error or the end of the stream, or lost its arming (more = false).
void client_on_recv(struct client *c, int result, bool more);
void client_on_bytes(struct client *c, const uint8_t *data, uint32_t len); // as they arrived

// Where to append packets; the client is flushed at the end of the tick.
struct buffer *client_out(struct client *c);
// A publisher that may have become able to publish is asked at the end of the tick.
void client_will(struct client *c);
// The connection is given up, with a reason for the report. What it had under way is lost.
void client_lose(struct client *c, const char *why);

static inline bool
client_is_open(const struct client *c)
{
    return c->state != CLIENT_CLOSED && c->state != CLIENT_LOST;
}

// After DISCONNECT, or the end of the connection, nothing can be acknowledged any more, so that
// nothing is taken either: a broker that keeps the session sends it again.
static inline bool
client_listens(const struct client *c)
{
    return c->state >= CLIENT_CONNECTING && c->state <= CLIENT_READY;
}

#endif
