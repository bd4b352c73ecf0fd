// durable.h - the courses of the scenarios in which sessions outlive connections.
//
// Job:    fill the queues of absent subscribers and empty them; make sessions and look at some of
//         them again; kill the broker in the middle.
// Owner:  none. Thread: main. Memory: none. Limits: none.
#ifndef TERN_BENCH_DURABLE_H
#define TERN_BENCH_DURABLE_H

#include "bench/course.h"

// Between PHASE_SETUP and PHASE_DRAIN of `offline-queue` and of `recover`.
void durable_offline_queue(struct course *course);
void durable_recover(struct course *course);

// Kills the broker, starts it again, waits until it answers. Marks the course broken if it does
// not.
void durable_outage(struct course *course);

#endif
