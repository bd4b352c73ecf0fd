// hash.h - the one keyed hash for tables that a peer's bytes index.
//
// Job:    64-bit keyed hash, 128-bit key from getrandom(2), so that a client cannot aim collisions.
// Owner:  the key is part of whoever owns the table. Thread: any. Memory: none. Limits: none.
#ifndef TERN_CORE_BASE_HASH_H
#define TERN_CORE_BASE_HASH_H

#include "core/base/err.h"

struct hash_key {
    uint64_t k0, k1;
};

// Fills the key from the kernel's random source.
NODISCARD err_t hash_key_random(struct hash_key *ret_key);
// Same key and bytes give the same value, also in another process on this kind of machine.
uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t len);
// A bijective finaliser, for integers.
uint64_t hash_u64(const struct hash_key *key, uint64_t value);
// The bits in the other order. A table of 2^n buckets by a hash's last bits, walked in the order of
// the hashes so read, may grow meanwhile: a bucket is a range of them, and is split into its
// halves.
static inline uint32_t
hash_mirror(uint32_t bits)
{
    bits = (bits & 0x55555555u) << 1 | (bits >> 1 & 0x55555555u);
    bits = (bits & 0x33333333u) << 2 | (bits >> 2 & 0x33333333u);
    bits = (bits & 0x0f0f0f0fu) << 4 | (bits >> 4 & 0x0f0f0f0fu);
    return __builtin_bswap32(bits);
}

#endif
