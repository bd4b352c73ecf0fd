// trie_versions.h - which version counter a change of a filter moves, and which a topic depends on.
//
// Job:    spreads filters over counters, so that a change makes few kept results stale.
// Owner:  none. Thread: any. Memory: none. Limits: none.
#ifndef TERN_CORE_TRIE_VERSIONS_H
#define TERN_CORE_TRIE_VERSIONS_H

#include <stdint.h>

// A filter's change counts in the one bucket that every topic it can match looks at:
//   a filter without wildcards: the bucket of the whole text;
//   two literal levels first:   the bucket of the two, as any match begins with both;
//   one literal level first:    the bucket of that one;
//   a wildcard first:           the global counter.
#define VERSIONS_EXACT 8192u
#define VERSIONS_TWO   8192u
#define VERSIONS_ONE   1024u
enum {
    VERSION_GLOBAL = 0,
    VERSION_EXACT = 1,
    VERSION_TWO = VERSION_EXACT + VERSIONS_EXACT,
    VERSION_ONE = VERSION_TWO + VERSIONS_TWO,
    VERSION_COUNT = VERSION_ONE + VERSIONS_ONE
};

static inline uint32_t
version_one(uint64_t first)
{
    return VERSION_ONE + (uint32_t)(first % VERSIONS_ONE);
}

static inline uint32_t
version_two(uint64_t first, uint64_t second)
{
    return VERSION_TWO + (uint32_t)((first * 31 + second) % VERSIONS_TWO);
}

static inline uint32_t
version_exact(uint64_t whole)
{
    return VERSION_EXACT + (uint32_t)(whole % VERSIONS_EXACT);
}

#endif
