// crew.h - what the workers of one process share: the gates at start and end, the wake-ups.
//
// Job:    nobody accepts before all shards exist (mail needs them); no shard goes before all
//         workers are out of their loops (others read its counters and write to its mailboxes).
// Owner:  the listen set. Thread: each function says.
// Memory: an eventfd per worker. Limits: CREW_MAX workers.
#ifndef TERN_IO_CREW_H
#define TERN_IO_CREW_H

#include "core/base/err.h"

#define CREW_MAX 64u

struct crew;

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
// Waits until all are up. False when this one is to stop instead (crew_stop).
bool crew_gate(struct crew *crew, unsigned index);
// Waits until each worker that was up has come here.
void crew_leave(struct crew *crew, unsigned index);
// Asks this worker to stop and wakes it, wherever it waits. ON_ANY.
void crew_stop(struct crew *crew, unsigned index);
bool crew_stopping(const struct crew *crew, unsigned index); // ON_ANY

#endif
