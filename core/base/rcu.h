// rcu.h - read-copy-update by quiescent states.
//
// Job:    readers pay nothing; what a writer unlinked is freed once every reader was quiescent
//         after it.
// Owner:  the broker owns struct rcu; each thread owns its struct rcu_reader.
// Thread: every function takes the calling thread's own reader; only the epoch counters are shared.
// Memory: a deferred free is 24 bytes in the deferring thread's queue.
// Limits: RCU_READERS_MAX threads. A reader that sleeps must be offline, else nothing is freed.
#ifndef TERN_CORE_BASE_RCU_H
#define TERN_CORE_BASE_RCU_H

#include "core/base/base.h"

#define RCU_READERS_MAX 80 // 64 workers and the service threads

struct rcu;
struct rcu_reader;

struct rcu *rcu_new(void);      // returns new
void rcu_free(struct rcu *rcu); // takes; no reader may be registered; NULL is fine
// Returns new, online. Must be called on the thread that will use it.
struct rcu_reader *rcu_register(struct rcu *rcu);
// Waits for a grace period, frees what this reader deferred, takes the reader.
void rcu_unregister(struct rcu_reader *self);

// The calling thread holds no reference into any RCU structure right now. Frees what is due.
void rcu_quiescent(struct rcu_reader *self);
// Around every sleep: an offline reader holds no references and is not waited for.
void rcu_offline(struct rcu_reader *self);
void rcu_online(struct rcu_reader *self);
// The calling thread uses this reader from now on. It is offline, and its last use on another
// thread happened before this.
void rcu_move_here(struct rcu_reader *self);

// fn(p) runs on this thread in some later rcu_quiescent, after a grace period. p must be unlinked.
// fn may call rcu_defer, but not dereference RCU pointers.
void rcu_defer(struct rcu_reader *self, void *p, void (*fn)(void *p));
// Deferred frees of this reader that are still waiting.
size_t rcu_deferred(const struct rcu_reader *self);
// Debug check: the calling thread may dereference RCU pointers now.
void rcu_assert_online(const struct rcu_reader *self);

#endif
