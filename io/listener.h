// listener.h - the listening sockets, seen by the workers.
//
// Job:    which sockets a worker accepts from, how many connections each listener has, where a peer
//         comes from. Opened and closed through io/worker.h.
// Owner:  main. Thread: the sockets and texts are constant; the counters are atomic.
// Memory: a few hundred bytes per listener. Limits: LISTEN_ADDRESSES_MAX.
#ifndef TERN_IO_LISTENER_H
#define TERN_IO_LISTENER_H

#include "core/config.h"

#define LISTEN_ADDRESSES_MAX 8u // of one name
#define PEER_TEXT_MAX        64

struct crew;
struct listen_set;
struct tls_context;

struct listen_socket {
    int fd;
    uint32_t listener; // index in the configuration
    unsigned worker;   // who accepts from it
};

// All sockets of all workers. Borrowed.
const struct listen_socket *listen_sockets(const struct listen_set *set, uint32_t *ret_count);
struct crew *listen_crew(const struct listen_set *set); // borrowed

// What the listener's TLS connections are made from; NULL = it has no TLS. Borrowed until the end
// of the tick: whoever exchanges it lets a grace period pass before the old one's reference goes.
struct tls_context *listen_tls(const struct listen_set *set, uint32_t listener);
// Takes context, returns the one before, which may be in use until a grace period has passed. Main.
struct tls_context *listen_set_tls(struct listen_set *set, uint32_t listener,
                                   struct tls_context *context);

// Counts a connection, unless there are as many as there may be.
enum listen_limit {
    LISTEN_ADMITTED,
    LISTEN_MAX_CONNECTIONS,        // of the listener
    LISTEN_GLOBAL_MAX_CONNECTIONS, // of the broker
    LISTEN_DESCRIPTORS,            // nearly all that the process may have: the rest is for files
    LISTEN_NODES_MAX,              // of other nodes: NODE_CONNECTIONS_MAX, and none of the others
};
enum listen_limit listen_admit(const struct listen_set *set, const struct config *config,
                               uint32_t listener);
// A connection that was admitted is gone.
void listen_leave(const struct listen_set *set, uint32_t listener);
// "0.0.0.0:1883", "/run/x.sock", ... of listener i, for the log.
const char *listen_text(const struct listen_set *set, uint32_t i);
// How many listeners there are, and how many connections one has. ON_ANY.
uint32_t listen_count(const struct listen_set *set);
uint32_t listen_connections(const struct listen_set *set, uint32_t listener);
// So many descriptors the process may have; 0: not known. Main tells, also when it changes.
void listen_set_descriptors(const struct listen_set *set, uint64_t descriptors);

// "1.2.3.4:5", "[::1]:5", "unix:/run/x.sock"; "unknown" when the peer has gone already.
void peer_text(const struct listen_set *set, uint32_t listener, int fd,
               char ret_text[PEER_TEXT_MAX]);

#endif
