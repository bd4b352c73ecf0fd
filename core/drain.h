// drain.h - connections end one after the other, before the broker does or while it stays.
//
// Job:    TERM with drain_delay or drain_time, and ternmqctl drain: for the delay all goes on, but
//         /readyz says no, and other nodes hear of it; then new clients are refused, and those that
//         are there are ended over the time, so that other nodes, or the next process, get them one
//         after the other. After TERM the broker ends then; else it stays, empty, until it is
//         undone.
// Owner:  the broker. Thread: any may begin, undo and ask; each lane ends its connections, and says
//         how many are left.
// Memory: the struct. Limits: those of the two keys, or what ternmqctl says.
#ifndef TERN_CORE_DRAIN_H
#define TERN_CORE_DRAIN_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/base.h"

// How often a lane ends some, in the mean; and looks whether there are new ones, once it is done.
#define DRAIN_STEP_MS 100u
#define DRAIN_LOOK_MS 1000u
#define DRAIN_LANES   64u

enum drain_kind {
    DRAIN_STAY,     // the node stays, and serves whom other nodes bring
    DRAIN_FOR_GOOD, // its sessions go as well (cluster.h); not to be undone
    DRAIN_LAST,     // the broker ends
};

struct drain {
    _Atomic bool on; // what who has nothing to do with it asks
    pthread_mutex_t mutex;
    // With the mutex: when the first and the last connection end, monotonic.
    uint64_t begin_ms, end_ms;
    uint32_t round; // one more with each beginning: lanes begin anew
    enum drain_kind kind;
    struct drain_lane {
        uint32_t round; // of which this is
        uint32_t left;
    } lanes[DRAIN_LANES];
};

// As it is at one moment.
struct drain_view {
    bool on, ends; // ends: it is time to end connections, and to take none
    bool last;     // the broker ends afterwards
    bool all;      // whom other nodes bring are to go as well
    uint32_t round;
    uint64_t begin_ms, end_ms;
};

void drain_init(struct drain *drain);
void drain_free(struct drain *drain);
// What is under way begins anew, with these times. False: one of a later kind is under way.
bool drain_begin(struct drain *drain, uint64_t now_ms, uint32_t delay_s, uint32_t time_s,
                 enum drain_kind kind);
// Clients may come again. False: it was not on, or is of a later kind.
bool drain_undo(struct drain *drain);
static inline bool
drain_is_on(const struct drain *drain)
{
    return atomic_load_explicit(&drain->on, memory_order_acquire);
}
void drain_look(const struct drain *drain, uint64_t now_ms, struct drain_view *ret);
// So many of `of` are to be ended by now; view->ends.
uint32_t drain_share(const struct drain_view *view, uint32_t of, uint64_t now_ms);
// So many are left on a lane, in that round.
void drain_tell(struct drain *drain, unsigned lane, uint32_t round, uint32_t left);
// How many there are on all lanes. False: not all have said it yet.
bool drain_left(const struct drain *drain, unsigned lanes, uint64_t *ret_left);
// The broker is to end: nobody is left, or the time is over.
bool drain_is_over(const struct drain *drain, unsigned lanes, uint64_t now_ms);

#endif
