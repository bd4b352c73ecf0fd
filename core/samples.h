// samples.h - how long messages take: one publication in SAMPLE_EVERY is timed.
//
// Job:    from the moment a PUBLISH is taken until its PUBACK or PUBREC, and until it is written
//         for a subscriber. Which one is timed is decided by counting for each listener, whatever
//         else is known of it, so that the histograms are samples of all. Its message says that it
//         is timed (msg.h), and an acknowledgement that waits (client_out.c); what is not timed
//         carries nothing.
// Owner:  the shard. Thread: its worker; any may read the histograms. Memory: itself.
// Limits: none. The clock is read for what is timed alone.
#ifndef TERN_CORE_SAMPLES_H
#define TERN_CORE_SAMPLES_H

#include "core/durations.h"
#include "core/stats.h"

// Two clocks, a message of its own and a packet of its own for each subscriber take some 800
// instructions: less than half of one for each publication.
#define SAMPLE_EVERY 2048

struct client;
struct msg;
struct pub;

struct samples {
    struct durations acknowledged, delivered;
};

// Is the publication that came last to be timed, or one that came before it as part of a run?
// counts: of the listener by which it came. At first the first one is.
static inline bool
samples_due(const struct listener_stats *counts)
{
    return unlikely(stat_get(&counts->publish_received) >= counts->sample_next);
}

// It is timed now. Returns when, in us of the monotonic clock.
uint64_t samples_begin(struct listener_stats *counts);
// Such a time in 32 bits, not 0, and from there again, within an hour.
uint32_t samples_short(uint64_t taken_us);
uint64_t samples_long(uint32_t taken_us);
// The publication is timed, and was taken then: makes its message. It has none yet, is no run, and
// is not to be retained.
void samples_mark(struct pub *pub, uint64_t taken_us);
// Its acknowledgement is queued to be sent.
void samples_acknowledged(struct samples *samples, uint64_t taken_us);
// A message that is timed is written for this client. Not counted: to another node, which times
// what it takes itself, and to a client that was away when it came, or had just come.
void samples_delivered(const struct client *client, const struct msg *msg);

#endif
