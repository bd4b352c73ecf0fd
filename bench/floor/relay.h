// relay.h - a thread of the floor: its ring, its connections, its tick.
//
// Job:    receive, find the destinations by the topic's number, send: a broker without a broker.
// Owner:  main. Thread: relay_start on main; all else is the relay's own thread, but `sleeping` and
//         `wake_fd`.
// Memory: 16 MiB of address space for topics, of which the used part is resident; the ring's.
// Limits: RELAYS_MAX threads.
#ifndef TERN_BENCH_FLOOR_RELAY_H
#define TERN_BENCH_FLOOR_RELAY_H

#include <pthread.h>

#include "bench/floor/conn.h"
#include "bench/floor/hop.h"
#include "bench/floor/ring.h"
#include "bench/floor/topics.h"

#define RELAYS_MAX 8u
// A tick takes in so much before it sends what came of it, as the broker does.
#define RELAY_TICK_BYTES  (1u << 18)
#define RELAY_ARENA_BYTES (2 * RELAY_TICK_BYTES)

struct relay {
    uint32_t number;   // of this one
    uint32_t count;    // of all
    struct relay *all; // the array that this one is in
    int listen_fd;
    pthread_t thread;
    struct topics_wanted *wanted;

    _Atomic uint32_t sleeping;
    int wake_fd;
    struct hop hops[RELAYS_MAX]; // to the others, by their number

    struct ring ring;
    struct topics *topics;
    struct conn **dirty; // with pieces to be sent
    uint32_t dirty_count, dirty_cap;
    uint8_t **spent; // packets that came in parts: freed after they were sent
    uint32_t spent_count, spent_cap;
    struct conn *closed; // to be freed as soon as the kernel lets go of them
    bool took_hops;      // from queues that want their room back
    unsigned send_scan;  // where in the completion queue failures of the last sends may stand
    uint32_t arena_len, gather_len;
    uint8_t arena[RELAY_ARENA_BYTES];  // acknowledgements of this tick
    uint8_t gather[RELAY_ARENA_BYTES]; // small pieces put together
};

// ERR_IO with errno set when the kernel refuses.
NODISCARD err_t relay_start(struct relay *relay);

// Sends what is dirty. Afterwards all pieces are free to go, and nobody is dirty.
void relay_flush(struct relay *relay);

#endif
