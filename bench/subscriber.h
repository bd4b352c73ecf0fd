// subscriber.h - the receiving side of QoS 0, 1 and 2.
//
// Job:    check and time every message, acknowledge it.
// Owner:  none; its state is in the run's streams. Thread: the client's worker's.
// Memory: none. Limits: none.
#ifndef TERN_BENCH_SUBSCRIBER_H
#define TERN_BENCH_SUBSCRIBER_H

#include "bench/wire.h"

struct client;

// Handlers; false when the server broke the protocol.
bool subscriber_on_publish(struct client *c, const struct wire_frame *frame);
bool subscriber_on_pubrel(struct client *c, const struct wire_frame *frame);

#endif
