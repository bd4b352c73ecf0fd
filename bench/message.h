// message.h - what every payload carries, so that the subscriber can check it and time it.
//
// Job:    write and read the first MESSAGE_BYTES_MIN bytes of a payload, in the machine's own byte
//         order: both ends are this program. Owner: none. Thread: any. Memory: none. Limits: none.
#ifndef TERN_BENCH_MESSAGE_H
#define TERN_BENCH_MESSAGE_H

#include <assert.h>

#include "core/base/base.h"

struct message {
    uint32_t run;       // tells this run's messages from a retained or foreign one
    uint32_t publisher; // its number, and above MESSAGE_FLOW_SHIFT the flow
    uint64_t seq;       // from 0, per publisher
    uint64_t sent_us;   // the run's clock: when it was sent, or in open loop should have been
};

#define MESSAGE_BYTES_MIN  ((uint32_t)sizeof(struct message))
#define MESSAGE_FLOW_SHIFT 28u

static_assert(sizeof(struct message) == 24, "no padding goes over the wire");

static inline uint32_t
message_sender(uint32_t flow, uint32_t number)
{
    must_hot(number < 1u << MESSAGE_FLOW_SHIFT);
    return flow << MESSAGE_FLOW_SHIFT | number;
}

static inline void
message_write(uint8_t *payload, const struct message *message)
{
    memcpy(payload, message, sizeof *message);
}

// False when the payload is too short to be one of ours.
static inline bool
message_read(const uint8_t *payload, uint32_t len, struct message *ret_message)
{
    if (len < sizeof *ret_message)
        return false;
    memcpy(ret_message, payload, sizeof *ret_message);
    return true;
}

#endif
