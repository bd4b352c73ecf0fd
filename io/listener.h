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

struct listen_socket {
    int fd;
    uint32_t listener; // index in the configuration
    unsigned worker;   // who accepts from it
};

// All sockets of all workers. Borrowed.
const struct listen_socket *listen_sockets(const struct listen_set *set, uint32_t *ret_count);
struct crew *listen_crew(const struct listen_set *set); // borrowed

// Counts a connection. False when the listener or the broker has as many as it may have.
bool listen_admit(const struct listen_set *set, const struct config *config, uint32_t listener);
// A connection that was admitted is gone.
void listen_leave(const struct listen_set *set, uint32_t listener);

// "1.2.3.4:5", "[::1]:5", "unix:/run/x.sock"; "unknown" when the peer has gone already.
void peer_text(const struct listen_set *set, uint32_t listener, int fd,
               char ret_text[PEER_TEXT_MAX]);

#endif
