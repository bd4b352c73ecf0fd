// visit.h - a subscriber that comes for the retained messages, gets each of them, and goes.
//
// Job:    which retained messages have come on this visit; end it when all are there and a PINGRESP
//         has shown that no more were on their way; give it up when nothing moves.
// Owner:  the client. Thread: its worker's. Memory: a bit for each retained message.
// Limits: VISIT_QUIET_US without a message.
#ifndef TERN_BENCH_VISIT_H
#define TERN_BENCH_VISIT_H

#include "bench/message.h"

#define VISIT_QUIET_US 2000000u

struct client;

struct visit {
    uint64_t *seen; // bits by the number of the message
    uint32_t seen_count;
    uint32_t flows;    // QoS 2: between PUBREC and PUBREL
    bool open;         // SUBSCRIBE was sent, and not all has come
    bool asked;        // all is there; PINGREQ was sent
    uint64_t moved_us; // when something last came
};

void visit_free(struct visit *v);
// SUBSCRIBE is on its way.
void visit_begin(struct client *c);
// On an open visit.
void visit_on_message(struct client *c, const struct message *message, bool retain);
// The subscription stands, or something was acknowledged: perhaps all is there.
void visit_ask(struct client *c);
void visit_on_pingresp(struct client *c);
// Gives up what does not move.
void visit_look(struct client *c);
// Counts what has not come as missing. Also for a connection that was lost.
void visit_end(struct client *c);

#endif
