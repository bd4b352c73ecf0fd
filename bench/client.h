// client.h - one MQTT connection.
//
// Job:    connect, subscribe, cut the byte stream into packets, gather what is to be sent; the
//         QoS flows are publisher.h's and subscriber.h's.
// Owner:  its worker, in an array; a client keeps its slot for ever. Thread: the worker's.
// Memory: two out-buffers and a buffer for cut packets, all empty while the client is silent.
// Limits: one send and one receive in the kernel at a time.
#ifndef TERN_BENCH_CLIENT_H
#define TERN_BENCH_CLIENT_H

#include "bench/publisher.h"
#include "bench/subscriber.h"
#include "bench/wire.h"

enum client_role {
    CLIENT_PUBLISHER,
    CLIENT_SUBSCRIBER,
    CLIENT_SILENT,
};

enum client_state {
    CLIENT_CLOSED,
    CLIENT_CONNECTING,   // TCP
    CLIENT_WAIT_CONNACK, // CONNECT is on its way
    CLIENT_WAIT_SUBACK,
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
    enum client_role role;
    enum client_state state;
    bool sending;         // a send is in the kernel
    bool receiving;       // a multishot receive is armed
    bool dirty, willing;  // on the worker's list
    bool known;           // durable scenarios: was ready before, so the broker has its session
    bool resumed;         // this connection goes on with it
    struct buffer fill;   // gathered for the next send
    struct buffer flight; // in the kernel, from flight_sent on
    uint32_t flight_sent;
    struct buffer cut;            // the beginning of a packet whose end has not arrived
    uint64_t started_us;          // of the connection attempt: when it was due
    uint64_t last_sent_us;        // for keep alive
    struct publisher publisher;   // CLIENT_PUBLISHER only
    struct subscriber subscriber; // CLIENT_SUBSCRIBER only
};

void client_init(struct client *c, struct worker *w, enum client_role role, uint32_t number);
void client_free(struct client *c); // closes; the ring must be closed, or hold nothing of it

// Begins a connection attempt that was due at due_us.
void client_connect(struct client *c, uint64_t due_us);
// Queues DISCONNECT; the server closes.
void client_leave(struct client *c);
// Hands what was gathered to the kernel, unless a send is under way.
void client_flush(struct client *c);

// Completions.
void client_on_connect(struct client *c, int result);
void client_on_send(struct client *c, int result);
// A receive ended with an error or the end of the stream, or lost its arming (more = false).
void client_on_recv(struct client *c, int result, bool more);
void client_on_bytes(struct client *c, const uint8_t *data, uint32_t len);

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

#endif
