// timers.h - what a shard's timers stand for.
//
// Job:    names for struct timer.kind. Thread: any. Memory: none. Limits: none.
#ifndef TERN_CORE_TIMERS_H
#define TERN_CORE_TIMERS_H

enum timer_kind {
    TIMER_CLIENT = 1, // struct client: time to CONNECT, keep alive
    TIMER_SESSION,    // struct session: Will Delay Interval, Session Expiry Interval
    TIMER_SYS,        // struct sys: the next $SYS publication
    TIMER_RATES,      // struct client_rates: tokens are back
    TIMER_SWEEP,      // struct shard: expired retained messages
};

#endif
