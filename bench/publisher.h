// publisher.h - the sending side of QoS 0, 1 and 2.
//
// Job:    publish as much as schedule or window, packet identifiers and out-buffer allow; answer
//         PUBACK, PUBREC and PUBCOMP; on a new connection of an old session, send again what was
//         not acknowledged.
// Owner:  the client. Thread: its worker's.
// Memory: one encoded packet to copy from; its packet identifiers (pending.h); who commands, 8
//         bytes per device.
// Limits: 65,535 messages unacknowledged, fewer if the server's Receive Maximum or --inflight says.
#ifndef TERN_BENCH_PUBLISHER_H
#define TERN_BENCH_PUBLISHER_H

#include "bench/pending.h"
#include "bench/wire.h"

#define PUBLISHER_STUCK_US 1000000u

struct client;

struct publisher {
    uint64_t next_seq; // messages published
    uint64_t due;      // open loop: messages that have fallen due
    uint32_t ordinal;  // among those of its worker that share its pacer
    uint32_t sender;   // for message.publisher
    uint8_t pacer, qos;
    uint32_t first_stream, stream_count;
    uint32_t laggard;     // the stream that held the window shut when it was last looked at
    struct buffer packet; // encoded; packet identifier and message head are patched per copy
    uint32_t id_at, payload_at;
    // With several topics the digits in the packet are written over: they are taken in turn, or, by
    // the one who commands, at random, each with a sequence of its own.
    uint32_t topics, topic, digits_at;
    uint64_t *sent; // by topic; NULL when they are taken in turn
    uint64_t random;
    struct pending pending; // QoS 1 and 2
    // After the broker was killed: messages below `floor` are not waited for any more.
    uint64_t floor, stuck_at, stuck_since_us;
};

void publisher_init(struct client *c);
void publisher_free(struct publisher *p);
// The connection stands; receive_max and session_present as the server told.
void publisher_on_connected(struct client *c, uint16_t receive_max, bool session_present);
void publisher_publish(struct client *c);
// PHASE_CLEAR: from now on it publishes empty payloads, to remove what it left retained.
void publisher_clear(struct client *c);
// How many messages one of its streams should have been sent.
uint64_t publisher_sent(const struct client *c, uint32_t stream);
// After the broker was killed, now and then: what has not moved for PUBLISHER_STUCK_US is given up,
// or messages that the broker forgot would hold the window shut for ever.
void publisher_unstick(struct client *c);
// Messages that were published, not acknowledged, and not seen by their subscriber. One stream.
uint64_t publisher_unpromised(const struct client *c);
// Handlers for PUBACK, PUBREC, PUBCOMP; false when the server broke the protocol.
bool publisher_on_ack(struct client *c, const struct wire_frame *frame);

#endif
