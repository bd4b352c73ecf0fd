// wire_int.h - integers as nodes send them: the most significant byte first.
//
// Job:    one form for all that nodes tell each other. Owner: the caller, of the bytes. Thread:
// any. Memory: none. Limits: none.
#ifndef TERN_CLUSTER_WIRE_INT_H
#define TERN_CLUSTER_WIRE_INT_H

#include "core/base/base.h"

// Of a value only the lower 16 bits.
static inline void
put_u16(uint8_t *to, uint32_t value)
{
    to[0] = (uint8_t)(value >> 8);
    to[1] = (uint8_t)value;
}

static inline void
put_u32(uint8_t *to, uint32_t value)
{
    put_u16(to, value >> 16);
    put_u16(to + 2, value);
}

static inline void
put_u64(uint8_t *to, uint64_t value)
{
    put_u32(to, (uint32_t)(value >> 32));
    put_u32(to + 4, (uint32_t)value);
}

static inline uint32_t
get_u16(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static inline uint32_t
get_u32(const uint8_t *at)
{
    return get_u16(at) << 16 | get_u16(at + 2);
}

static inline uint64_t
get_u64(const uint8_t *at)
{
    return (uint64_t)get_u32(at) << 32 | get_u32(at + 4);
}

#endif
