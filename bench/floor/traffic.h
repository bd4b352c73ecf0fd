// traffic.h - what the bytes are, and where they go.
//
// Job:    finds the packets in what a connection sent, answers them, and adds the messages to what
//         is to be sent to the subscribers of their topic's number.
// Owner:  none, no state but the relay's. Thread: the relay's.
// Memory: messages are not copied, unless they came in parts or go to another thread.
// Limits: what the load generator sends; a connection that sends anything else is closed.
#ifndef TERN_BENCH_FLOOR_TRAFFIC_H
#define TERN_BENCH_FLOOR_TRAFFIC_H

#include "core/base/base.h"

struct relay;
struct conn;

// The bytes stay until the tick's requests are submitted.
void traffic_on_bytes(struct relay *relay, struct conn *conn, uint8_t *data, uint32_t len);

// Whole messages to one topic, for this relay's own connections.
void traffic_deliver(struct relay *relay, uint32_t number, uint8_t *data, uint32_t len);

#endif
