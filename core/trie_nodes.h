// trie_nodes.h - the trie's own structures, shared by its writers and its matcher.
//
// Job:    records, nodes and version counters. Owner: struct trie. Thread: readers follow only the
//         _Atomic pointers, under RCU; everything else belongs to the writer that holds the mutex.
// Memory: see trie.h. Limits: SLOTS_MAX records.
#ifndef TERN_CORE_TRIE_NODES_H
#define TERN_CORE_TRIE_NODES_H

#include <pthread.h>

#include "core/ptrtab.h"
#include "core/trie.h"

// A share group of a filter: a handle of its own, weights by shard.
struct trie_share {
    struct trie_handle handle;
    struct filter *filter;
    _Atomic(struct trie_share *) next;
    uint64_t shards;                           // writer's: which shards hold it
    _Atomic uint64_t weights[TRIE_SHARDS_MAX]; // connected << 32 | members
    uint32_t name_len;
    uint8_t name[];
};

struct filter {
    struct trie_handle handle;
    _Atomic uint64_t shards;
    _Atomic(struct trie_share *) shares;
    struct node *node; // wildcard filters: where it hangs; NULL for exact ones
    uint64_t hash;     // of text
    uint32_t len;
    uint8_t text[];
};

// One level of the wildcard filters.
struct node {
    struct node *parent;
    _Atomic(struct node *) plus;    // child for '+'
    _Atomic(struct filter *) here;  // the filter that ends at this node
    _Atomic(struct filter *) multi; // the filter that ends in '#' below this node
    struct ptrtab *_Atomic kids;    // children for literal levels
    uint64_t hash;                  // of the level's text
    uint32_t len;
    bool is_plus;
    uint8_t text[];
};

struct slot {
    void *record; // struct filter or struct trie_share; NULL = free
    uint32_t generation;
    uint32_t next_free : 31; // slot + 1 of the next free one; 0 = end
    uint32_t is_share : 1;
};

#define SLOT_PAGE  4096u
#define SLOT_PAGES 16384u
#define SLOTS_MAX  (SLOT_PAGE * SLOT_PAGES)

// A filter's change counts in the one bucket that every topic it can match looks at.
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

struct trie {
    struct hash_key key;
    struct ptrtab *_Atomic exact; // filters without wildcards
    struct node *root;
    _Atomic uint64_t versions[VERSION_COUNT];
    pthread_mutex_t mutex; // writers
    struct slot *pages[SLOT_PAGES];
    uint32_t slots_used, first_free; // first_free: slot + 1; 0 = none
    _Atomic uint64_t filters, share_groups, nodes, bytes;
};

static inline struct slot *
trie_slot(const struct trie *trie, uint32_t slot)
{
    must_hot(slot < SLOTS_MAX && trie->pages[slot / SLOT_PAGE]);
    return &trie->pages[slot / SLOT_PAGE][slot % SLOT_PAGE];
}

static inline uint64_t
trie_hash(const struct trie *trie, struct slice text)
{
    return hash_bytes(&trie->key, text.data, text.len);
}

static inline bool
level_is(struct slice level, char wildcard)
{
    return level.len == 1 && level.data[0] == (uint8_t)wildcard;
}

// The child of node for a literal level, or NULL. For readers and writers.
struct node *node_child(const struct node *node, struct slice level, uint64_t hash);
struct filter *trie_exact(const struct trie *trie, struct slice text, uint64_t hash);
// Buckets of topics (or filters without a wildcard there) that begin with these levels.
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
