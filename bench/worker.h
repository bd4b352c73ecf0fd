// worker.h - a thread of the load generator with its share of the clients.
//
// Job:    drive the clients through the run's phases: pace or fill windows, flush, wait, reap.
// Owner:  the run. Thread: worker_start and worker_join on main; `counters` anywhere; the rest
//         belongs to the worker's thread.
// Memory: freed by worker_free. Limits: WORKER_CONNECTS connection attempts at a time.
#ifndef TERN_BENCH_WORKER_H
#define TERN_BENCH_WORKER_H

#include <pthread.h>

#include "bench/client.h"
#include "bench/ring.h"
#include "bench/run.h"

// Brokers listen with backlogs as short as 100; a dropped SYN costs a second.
#define WORKER_CONNECTS 64u

// What goes on at a given rate.
enum {
    PACE_MESSAGES, // of all publishers by turns
    PACE_COMMANDS,
    PACE_COMINGS,
    PACE_DROPS,
    PACERS,
};

struct pacer {
    double interval_us; // between two of this worker's; 0 = not paced
    uint64_t paced;     // that have fallen due
    uint32_t members;   // of this worker, who share it
};

struct worker {
    struct run *run;
    struct ring ring;
    struct tunnels *tunnels; // NULL: plain TCP
    struct client *clients;
    uint32_t client_count;
    uint32_t number;
    uint64_t now_us;

    // Lists of this worker's clients; each holds a client at most once.
    struct client **dirty, **willing, **resting, **parked, **publishers;
    uint32_t dirty_count;     // have bytes to send and no send under way
    uint32_t willing_count;   // publishers that may have become able to publish
    uint32_t resting_count;   // not connected, to connect again
    uint32_t parked_count;    // not connected before PHASE_RETURN
    uint32_t publisher_count; // in the order of pacing

    uint32_t connect_next; // clients[connect_next..] have not begun to connect
    uint32_t connecting;   // attempts under way
    struct pacer pacers[PACERS];
    struct client *commander; // NULL if it is another worker's
    uint64_t started;         // comings begun
    uint64_t limit;           // messages of each publisher in this phase
    bool crossing;            // windows are opened by another thread's deliveries
    bool clearing;            // publishers know that they are to clear
    uint16_t keep_alive_s;    // ours, or the shortest that a server asked for; 0 = none
    uint64_t ping_at_us;      // next look at who has to send PINGREQ
    uint64_t unstick_at_us;   // next look at who waits for what was forgotten
    uint64_t tell_at_us;      // next time that the counters are told how long messages take
    uint64_t dropped;         // devices that went at their rate
    uint32_t drop_next;       // the next of the publishers to go
    uint64_t storm_us;        // when it began; 0 before

    // come_latency: until a comer is ready, or has all that is retained; until a device is back
    struct histogram latency, ack_latency, lateness, command_latency, come_latency;
    CACHE_ALIGNED struct counters counters;
    char failure[RUN_FAILURE_TEXT]; // the first; main reads it after worker_join
    pthread_t thread;
};

// Returns new, with its share of the clients, not yet connected.
struct worker *worker_new(struct run *run, uint32_t number);
void worker_free(struct worker *w); // takes; NULL is fine
NODISCARD err_t worker_start(struct worker *w);
void worker_join(struct worker *w);

// ---- For client.c, publisher.c and subscriber.c, on the worker's thread ------------------------

// When this worker's n-th of what has a rate is due.
uint64_t worker_due_us(const struct worker *w, uint32_t pacer, uint64_t n);
// Whether a message or connection due at that time counts.
bool worker_measures(const struct worker *w, uint64_t due_us);
// Whether a connection that began then may end, because the broker was killed.
bool worker_excuses(const struct worker *w, uint64_t started_us);
// A client that is closed and may connect again.
void worker_rest(struct worker *w, struct client *c);
// The first failure is kept.
void worker_note_failure(struct worker *w, const char *format, ...) PRINTF_LIKE(2);

static inline bool
worker_paces(const struct worker *w, uint32_t pacer)
{
    return w->pacers[pacer].interval_us > 0;
}

static inline enum phase
worker_phase(const struct worker *w)
{
    return (enum phase)atomic_load_explicit(&w->run->phase, memory_order_acquire);
}

#endif
