// subscriber.h - the receiving side of QoS 0, 1 and 2.
//
// Job:    check and time every message, acknowledge it.
// Owner:  the client; what was seen is in the run's streams. Thread: the client's worker's.
// Memory: durable scenarios at QoS 2: 8 KiB; in a group that shares, 8 bytes per publisher.
// Limits: none.
#ifndef TERN_BENCH_SUBSCRIBER_H
#define TERN_BENCH_SUBSCRIBER_H

#include "bench/scenario.h"
#include "bench/wire.h"

struct client;

struct subscriber {
    enum flow flow;         // that it hears
    uint32_t payload_bytes; // of its messages
    bool plain;             // FLOW_MAIN, in no group, and not for retained messages
    uint64_t *held; // bits by packet identifier: between PUBREC and PUBREL; NULL before the first
    // In a group that shares: one above the highest sequence number that this member has got, by
    // publisher. What the group gets may change places, what one member gets may not.
    uint64_t *next;
};

void subscriber_init(struct client *c);
void subscriber_free(struct subscriber *s);
// The session is gone, and with it the QoS 2 flows that had begun.
void subscriber_forget(struct client *c);
// Handlers; false when the server broke the protocol.
bool subscriber_on_publish(struct client *c, const struct wire_frame *frame);
bool subscriber_on_pubrel(struct client *c, const struct wire_frame *frame);

#endif
