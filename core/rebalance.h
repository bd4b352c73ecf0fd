// rebalance.h - some clients are sent to other nodes, so that this one has no more than the others.
//
// Job:    ternmqctl rebalance: how many clients are to go, and how fast; who has gone by now.
// Owner:  the broker. Thread: any may begin, stop and ask; lanes take their parts.
// Memory: the struct. Limits: one at a time; REBALANCE_RATE_MAX clients a second.
#ifndef TERN_CORE_REBALANCE_H
#define TERN_CORE_REBALANCE_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/base.h"

#define REBALANCE_RATE      20u // clients a second, unless another is asked for
#define REBALANCE_RATE_MAX  10000u
#define REBALANCE_LANES_MAX 64u

enum rebalance_state {
    REBALANCE_NONE,    // there was none yet
    REBALANCE_RUNS,    //
    REBALANCE_DONE,    // as many have gone as were to go, by themselves or not
    REBALANCE_NOBODY,  // those that are left cannot go: their sessions stay, or nobody takes them
    REBALANCE_STOPPED, // by an operator, or a drain
};

struct rebalance_plan {
    uint64_t surplus; // clients that are to go
    uint64_t goal;    // connections of all shards with which it is done
    uint32_t rate;    // clients a second
    bool all;         // also those that cannot be told where to go
};

struct rebalance_view {
    enum rebalance_state state;
    struct rebalance_plan plan;
    uint64_t sent;
};

struct rebalance {
    _Atomic bool on; // what who has nothing to do with it asks
    pthread_mutex_t mutex;
    // With the mutex.
    struct rebalance_view view;
    uint64_t begin_ms; // monotonic
    uint64_t idle;     // bit i: lane i has found nobody
    bool untold;       // it has ended by itself
};

void rebalance_init(struct rebalance *rebalance);
void rebalance_free(struct rebalance *rebalance);
// False: one runs. plan->surplus is not 0.
bool rebalance_begin(struct rebalance *rebalance, const struct rebalance_plan *plan,
                     uint64_t now_ms);
bool rebalance_stop(struct rebalance *rebalance); // false: none runs
void rebalance_look(const struct rebalance *rebalance, struct rebalance_view *ret);
// True once for each that has ended by itself, for the log.
bool rebalance_tell(struct rebalance *rebalance, struct rebalance_view *ret);
static inline bool
rebalance_is_on(const struct rebalance *rebalance)
{
    return atomic_load_explicit(&rebalance->on, memory_order_acquire);
}
// How many a lane is to send away now; they count as sent. clients: connections of all shards.
uint32_t rebalance_take(struct rebalance *rebalance, unsigned lane, unsigned lanes,
                        uint64_t clients, uint64_t now_ms);
// For so many of them the lane has found nobody: they did not go, and it is not asked again.
void rebalance_give_back(struct rebalance *rebalance, unsigned lane, unsigned lanes,
                         uint32_t count);

#endif
