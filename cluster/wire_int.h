// wire_int.h - 64-bit integers as nodes send them: the most significant byte first.
//
// Job:    one form for seals and route logs. Owner: the caller, of 8 bytes. Thread: any.
// Memory: none. Limits: none.
#ifndef TERN_CLUSTER_WIRE_INT_H
#define TERN_CLUSTER_WIRE_INT_H

#include "core/base/base.h"

static inline void
put_u64(uint8_t *to, uint64_t value)
{
    for (unsigned i = 0; i < 8; i++)
        to[i] = (uint8_t)(value >> (56 - 8 * i));
}

static inline uint64_t
get_u64(const uint8_t *at)
{
    uint64_t value = 0;
    for (unsigned i = 0; i < 8; i++)
        value = value << 8 | at[i];
    return value;
}

#endif
