// publisher.h - the sending side of QoS 0, 1 and 2.
//
// Job:    publish as much as schedule or window, packet identifiers and out-buffer allow; answer
//         PUBACK, PUBREC and PUBCOMP.
// Owner:  the client. Thread: its worker's.
// Memory: one encoded packet to copy from; one byte per packet identifier.
// Limits: 65,535 messages unacknowledged, fewer if the server's Receive Maximum or --inflight says.
#ifndef TERN_BENCH_PUBLISHER_H
#define TERN_BENCH_PUBLISHER_H

#include "bench/wire.h"

struct client;

struct publisher {
    uint64_t next_seq;
    uint64_t due;     // open loop: messages that have fallen due
    uint32_t ordinal; // among the publishers of its worker
    uint32_t first_stream, stream_count;
    uint32_t laggard;     // the stream that held the window shut when it was last looked at
    struct buffer packet; // encoded; packet identifier and message head are patched per copy
    uint32_t id_at, payload_at;
    uint8_t *ids; // by packet identifier
    uint32_t id_max, id_last;
    uint32_t open; // packet identifiers in use
};

void publisher_init(struct client *c);
void publisher_free(struct publisher *p);
// The connection stands; receive_max as the server set it.
void publisher_on_connected(struct client *c, uint16_t receive_max);
void publisher_publish(struct client *c);
// Handlers for PUBACK, PUBREC, PUBCOMP; false when the server broke the protocol.
bool publisher_on_ack(struct client *c, const struct wire_frame *frame);

#endif
