// tunnel.h - what the clients' MQTT goes through: TLS, WebSocket, or WebSocket over TLS.
//
// Job:    the client's side of both, bytes in and bytes out; sockets are client.h's.
// Owner:  struct tunnels: a worker; a tunnel: its client, from connection to connection.
// Thread: the worker's. Memory: a tunnel holds wolfSSL's object, and what came of a frame's head.
// Limits: a response to the upgrade of TUNNEL_HEAD_MAX bytes.
#ifndef TERN_BENCH_TUNNEL_H
#define TERN_BENCH_TUNNEL_H

#include "core/base/err.h"

#include "bench/buffer.h"
#include "bench/options.h"

#define TUNNEL_HEAD_MAX 4096u
#define TUNNEL_WHY_MAX  128u

struct tunnels;
struct tunnel;

// Whether these options need one.
bool tunnel_wanted(const struct options *options);
// Returns new, or NULL with a text that says why.
struct tunnels *tunnels_new(const struct options *options, char ret_why[TUNNEL_WHY_MAX]);
void tunnels_free(struct tunnels *tunnels); // takes; without tunnels; NULL is fine

// For one connection; what is to be sent first is appended to out. Returns new.
struct tunnel *tunnel_new(struct tunnels *tunnels, struct buffer *out);
void tunnel_free(struct tunnel *tunnel); // takes; NULL is fine
bool tunnel_is_open(const struct tunnel *tunnel);
bool tunnel_resumed(const struct tunnel *tunnel); // a session of TLS; an open one

// MQTT's bytes from those that arrived, one piece after the other; answers are appended to out.
typedef void (*tunnel_take_fn)(void *arg, const uint8_t *data, uint32_t len);
// False: it is over; ret_why says why.
bool tunnel_read(struct tunnel *tunnel, struct slice bytes, struct buffer *out, tunnel_take_fn take,
                 void *arg, char ret_why[TUNNEL_WHY_MAX]);
// Appends data to out as it goes over the wire. Open ones alone.
bool tunnel_write(struct tunnel *tunnel, const uint8_t *data, uint32_t len, struct buffer *out);

#endif
