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

#endif
