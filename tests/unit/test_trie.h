// test_trie.h - what the tests of the trie and of its matcher share.
//
// Job:    a trie with a reader and a cache; short names for what tests do with them.
// Owner:  the test. Thread: one. Memory: until rig_free. Limits: none.
#ifndef TERN_TESTS_UNIT_TEST_TRIE_H
#define TERN_TESTS_UNIT_TEST_TRIE_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie.h"
#include "core/trie_nodes.h"

#define CACHE_TOPICS 1024

struct rig {
    struct rcu *rcu;
    struct rcu_reader *self;
    struct trie *trie;
    struct match_cache *cache;
    uint64_t random;
};

static inline struct rig
rig_new(uint64_t seed)
{
    struct rig rig = {.rcu = rcu_new(), .random = seed * 2 + 1};
    rig.self = rcu_register(rig.rcu);
    rig.trie = trie_new(&(struct hash_key){seed, ~seed});
    rig.cache = match_cache_new(rig.trie, CACHE_TOPICS);
    return rig;
}

static inline void
rig_free(struct rig *rig)
{
    match_cache_free(rig->cache);
    rcu_unregister(rig->self);
    trie_free(rig->trie);
    rcu_free(rig->rcu);
}

static inline struct trie_handle
add_to_group(struct rig *rig, const char *filter, const char *group, unsigned shard)
{
    struct trie_handle handle;
    cr_assert_eq(
        trie_add(rig->trie, rig->self, slice_str(filter), slice_str(group), shard, &handle), OK);
    cr_assert_neq(handle.generation, 0);
    return handle;
}

static inline struct trie_handle
add(struct rig *rig, const char *filter, unsigned shard)
{
    return add_to_group(rig, filter, "", shard);
}

static inline void
drop(struct rig *rig, struct trie_handle handle, unsigned shard)
{
    trie_remove(rig->trie, rig->self, handle, shard);
    rcu_quiescent(rig->self);
}

static inline bool
same(struct trie_handle a, struct trie_handle b)
{
    return a.slot == b.slot && a.generation == b.generation;
}

// How many entries the topic has; cached and uncached must agree.
static inline uint32_t
matches(struct rig *rig, const char *topic)
{
    uint32_t n = match_uncached(rig->cache, slice_str(topic))->count;
    cr_assert_eq(match_cache_get(rig->cache, slice_str(topic))->count, n, "%s", topic);
    return n;
}

static inline struct trie_stats
stats_of(const struct rig *rig)
{
    struct trie_stats stats;
    trie_stats(rig->trie, &stats);
    return stats;
}

static inline uint32_t
next_random(struct rig *rig)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return (uint32_t)(rig->random >> 32);
}

#endif
