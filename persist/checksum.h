// checksum.h - the checksums and the topic hash of what is stored: XXH3.
//
// Job:    one place that includes the library, inlined. Thread: any. Memory: none. Limits: none.
#ifndef TERN_PERSIST_CHECKSUM_H
#define TERN_PERSIST_CHECKSUM_H

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "core/base/base.h"

// Of a blob; the seed is its sequence number, so that a blob in another's place is noticed.
static inline uint64_t
checksum_bytes(const void *data, size_t len, uint64_t seed)
{
    return XXH3_64bits_withSeed(data, len, seed);
}

#endif
