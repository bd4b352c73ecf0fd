// crew.h - what the workers of one process share: the gates at start and end, the wake-ups.
//
// Job:    lanes go from one to another; nobody accepts before all shards exist (mail needs them);
//         no shard goes before all workers are out of their loops (others read its counters and
//         write to its mailboxes).
// Owner:  the listen set. Thread: each function says. Memory: an eventfd per worker.
// Limits: CREW_MAX workers.
#ifndef TERN_IO_CREW_H
#define TERN_IO_CREW_H

#include "core/base/err.h"

#define CREW_MAX 64u

struct crew;
struct list;

// Returns new, or NULL with errno set.
struct crew *crew_new(unsigned workers);
void crew_free(struct crew *crew); // takes; NULL is fine

// The eventfd that wakes this worker: written to, never read.
int crew_wake_fd(const struct crew *crew, unsigned index);
void crew_wake(struct crew *crew, unsigned index); // ON_ANY

// The worker's own thread: it works, or it could not start.
void crew_up(struct crew *crew, unsigned index, bool works);
// Waits for crew_up of this worker; its result. ON_ANY.
bool crew_await(struct crew *crew, unsigned index);
// Waits until all are up. False when this one is to stop (crew_stop) before that.
bool crew_gate(struct crew *crew, unsigned index);
// Waits until each worker that was up has come here.
void crew_leave(struct crew *crew, unsigned index);
// Asks this worker to stop and wakes it, wherever it waits. ON_ANY.
void crew_stop(struct crew *crew, unsigned index);
bool crew_stopping(const struct crew *crew, unsigned index); // ON_ANY

// ---- Lanes that move ----------------------------------------------------------------------------

// Gives a lane to this worker and wakes it. False, and nothing is given, after crew_close. ON_ANY.
bool crew_give(struct crew *crew, unsigned index, struct list *lane);
// The worker's own thread: the next lane that was given to it, or NULL. Cheap.
struct list *crew_take(struct crew *crew, unsigned index);
// The worker's own thread, when it stops: it takes what was given, and nothing more is.
void crew_close(struct crew *crew, unsigned index);
// How busy this worker was in its last window: thousandths of the time. Told by itself, asked by
// any.
void crew_tell_busy(struct crew *crew, unsigned index, uint32_t permille);
uint32_t crew_busy(const struct crew *crew, unsigned index);

#endif
