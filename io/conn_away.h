// conn_away.h - connections that are ended so that their clients go elsewhere.
//
// Job:    while the broker drains (core/drain.h): all, one after the other. While it rebalances
//         (core/rebalance.h): some, chosen at random.
// Owner:  the lane's connections. Thread: its worker. Memory: the struct.
// Limits: steps of DRAIN_STEP_MS in the mean, at random times, so that the lanes, and the nodes,
//         do not take them in one moment.
#ifndef TERN_IO_CONN_AWAY_H
#define TERN_IO_CONN_AWAY_H

#include "core/base/base.h"

struct conns;

struct conn_away {
    uint32_t drain_round; // what follows is of that one
    uint32_t of, ended;   // connections that there were, and were ended since
    uint32_t first;       // the slot that was looked at first
    uint32_t at, slots;   // so many were looked at, of all that there were
    bool drained;         // all were
    uint64_t due_ms;      // of the next step
    uint64_t shed_ms;     // the same of a rebalance
};

// Once a tick.
void conns_away(struct conns *conns);
// When the next step is due; UINT64_MAX: there is none.
uint64_t conns_away_due(const struct conns *conns);

#endif
