// trie_nodes.h - the trie's own structures, shared by its writers and its matcher.
//
// Job:    records and nodes; where a wildcard filter hangs among the nodes.
// Owner:  struct trie.
// Thread: readers follow only the _Atomic pointers, under RCU; everything else belongs to the
//         writer that holds the mutex, or never changes.
// Memory: a filter 32 bytes and its text, 16 more with share groups or durable subscribers, 8 in
//         the slot directory, 8 to 13 in the flat table or in a node's; a node 48 bytes and its
//         level, only for levels that two wildcard filters or more have in common.
// Limits: SLOTS_MAX filters and share groups together.
#ifndef TERN_CORE_TRIE_NODES_H
#define TERN_CORE_TRIE_NODES_H

#include <pthread.h>

#include "core/ptrtab.h"
#include "core/topic.h"
#include "core/trie.h"
#include "core/trie_versions.h"

// ---- Keys -----------------------------------------------------------------------------------

// Hash and length of a text in one word: 48 bits of the hash around 16 bits of length. A table
// takes its position from the low 32 bits and its tag from the top 16, so a key is also a hash, and
// one comparison settles both. Equal keys still compare their text.
#define KEY_LEN_SHIFT 32
#define KEY_LEN_MASK  (UINT64_C(0xffff) << KEY_LEN_SHIFT)

static inline uint64_t
text_key(const struct hash_key *key, struct slice text)
{
    must_hot(text.len <= TOPIC_BYTES_MAX);
    uint64_t hash = hash_bytes(key, text.data, text.len);
    return (hash & ~KEY_LEN_MASK) | (uint64_t)text.len << KEY_LEN_SHIFT;
}

static inline uint32_t
key_len(uint64_t key)
{
    return (uint32_t)((key & KEY_LEN_MASK) >> KEY_LEN_SHIFT);
}

// Is the text at `stored`, of which key is known, the wanted one?
static inline bool
text_is(const uint8_t *stored, uint64_t key, struct slice wanted, uint64_t wanted_key)
{
    return key == wanted_key && memcmp(stored, wanted.data, wanted.len) == 0;
}

// ---- Records and nodes ----------------------------------------------------------------------

// One shard's part of a share group. Never moves, so its shard stores to it without a lock.
struct share_cell {
    _Atomic(struct share_cell *) next;
    _Atomic uint64_t weight; // connected << 32 | members
    _Atomic uint64_t nodes;  // of these, other nodes'
    uint32_t shard;
    _Atomic uint32_t durable; // some member's session outlives its connection
};

// A share group of a filter: a handle of its own, a cell for each shard that has members.
struct trie_share {
    struct trie_handle handle;
    struct filter *filter;
    _Atomic(struct trie_share *) next;
    _Atomic(struct share_cell *) cells;
    uint32_t name_len;
    uint8_t name[];
};

// What only some filters have. Made when it is first needed, and there until the filter goes.
struct filter_extra {
    _Atomic uint64_t durable; // bit i: shard i has a subscriber that outlives its connection
    _Atomic(struct trie_share *) shares;
};

// A match reads it whole, and its text: with 32 bytes before that most lie in two cache lines.
struct filter {
    struct trie_handle handle;
    _Atomic uint64_t shards;
    _Atomic(struct filter_extra *) extra; // NULL: no shares, nobody durable
    uint64_t key;                         // of text
    uint8_t text[];
};

// A level at which wildcard filters part: below every node but the root there are two or more. It
// does not know its parent: whoever joins filters has come down from the root and remembers the
// path. A child is a node, or the only filter below its level (child_filter).
struct node {
    _Atomic(void *) plus;           // child for '+'
    _Atomic(struct filter *) here;  // the filter that ends at this node
    _Atomic(struct filter *) multi; // the filter that ends in '#' below this node
    _Atomic uint64_t first;         // one literal child, tagged as in a ptrtab; 0 = none
    struct ptrtab *_Atomic kids;    // the other literal children
    uint64_t key;                   // of the level's text; 0 for the root and '+'
    uint8_t text[];
};

// A node, and where in the text of each filter below it the next level begins: one more than the
// length of a filter that ends at it.
struct place {
    struct node *node;
    uint32_t offset;
};

// Share groups of the filter, or NULL.
static inline struct trie_share *
filter_shares(const struct filter *filter)
{
    const struct filter_extra *extra = atomic_load_explicit(&filter->extra, memory_order_acquire);
    return extra ? atomic_load_explicit(&extra->shares, memory_order_acquire) : NULL;
}

static inline struct slice
filter_text(const struct filter *filter)
{
    return slice_of(filter->text, key_len(filter->key));
}

// ---- The trie -------------------------------------------------------------------------------

#define SLOT_PAGE  4096u
#define SLOT_PAGES 16384u
#define SLOTS_MAX  (SLOT_PAGE * SLOT_PAGES)

struct slot_pool {
    uint32_t first_free; // slot + 1; 0 = none
    uint32_t next, end;  // of its last page, what was never used
};

struct remotes;

struct trie {
    struct hash_key key;
    struct ptrtab *_Atomic exact; // filters without wildcards
    struct node *root;
    _Atomic(struct remotes *) remotes; // other nodes' filters (trie_remote.c); NULL: never any
    _Atomic uint64_t version;          // moves after any of versions has moved
    _Atomic uint64_t versions[VERSION_COUNT];
    pthread_mutex_t mutex; // writers
    // The slot directory: a word for each slot, see trie.c. A page is made once and stays, and its
    // slots go to filters that one shard brought: so the pages that a shard has beside these are
    // full of its own.
    uint64_t *pages[SLOT_PAGES];
    uint8_t owner[SLOT_PAGES]; // the shard whose filters it is for
    uint32_t page_count;
    struct slot_pool pools[TRIE_SHARDS_MAX];
    // The way down to the node that the present writer works on; path[0] is the root.
    struct place path[TOPIC_LEVELS_MAX + 1];
    uint32_t depth;
    unsigned shard; // for which it works
    _Atomic uint64_t filters, share_groups, nodes, bytes;
};

static inline uint64_t
trie_key(const struct trie *trie, struct slice text)
{
    return text_key(&trie->key, text);
}

static inline bool
level_is(struct slice level, char wildcard)
{
    return level.len == 1 && level.data[0] == (uint8_t)wildcard;
}

static inline void
trie_count(_Atomic uint64_t *gauge, uint64_t n)
{
    atomic_fetch_add_explicit(gauge, n, memory_order_relaxed);
}

// ---- Children -------------------------------------------------------------------------------

#define CHILD_LEAF 1u // in the pointer: it is a filter

static inline void *
child_leaf(struct filter *filter)
{
    return (uint8_t *)filter + CHILD_LEAF;
}

// The filter that the child is; NULL when it is a node.
static inline struct filter *
child_filter(const void *child)
{
    uintptr_t word = (uintptr_t)child;
    if (!(word & CHILD_LEAF))
        return NULL;
    return (struct filter *)(word - CHILD_LEAF); // NOLINT(performance-no-int-to-ptr)
}

// Is the literal level the one that begins at offset of the filter's text?
static inline bool
filter_has_level(const struct filter *filter, uint32_t offset, struct slice level)
{
    uint32_t len = key_len(filter->key), end = offset + level.len;
    return end <= len && memcmp(filter->text + offset, level.data, level.len) == 0 &&
           (end == len || filter->text[end] == '/');
}

static inline bool
child_is(const void *child, uint32_t offset, struct slice level, uint64_t key)
{
    const struct filter *leaf = child_filter(child);
    if (leaf)
        return filter_has_level(leaf, offset, level);
    const struct node *node = child;
    return text_is(node->text, node->key, level, key);
}

// The child of node for a literal level, or NULL. offset: of the node's place. For readers and
// writers.
static inline void *
node_child(const struct node *node, uint32_t offset, struct slice level, uint64_t key)
{
    // A child stays in the place where it was put, so the two can be looked at in any order.
    uint64_t first = atomic_load_explicit(&node->first, memory_order_acquire);
    void *child = ptrtab_pointer(first);
    if (child && ptrtab_tag(first) == ptrtab_tag(key) && child_is(child, offset, level, key))
        return child;
    const struct ptrtab *kids = atomic_load_explicit(&node->kids, memory_order_acquire);
    uint64_t pos = key;
    while ((child = ptrtab_probe(kids, key, &pos)) != NULL)
        if (child_is(child, offset, level, key))
            return child;
    return NULL;
}

// ---- For trie_remote.c: with the mutex (trie.c) -----------------------------------------------

// The filter that a live handle of an ordinary subscription names.
struct filter *trie_ordinary(const struct trie *trie, struct trie_handle handle);
// A filter of that text, with that key, has changed, or some that nobody can name: results that
// depend on it are stale.
void trie_bump(struct trie *trie, struct slice text, uint64_t key);
void trie_bump_all(struct trie *trie);

// ---- Where wildcard filters hang (trie_nodes.c): the writer, with the mutex -------------------

void nodes_init(struct trie *trie); // makes the root
void nodes_free(struct trie *trie); // all of them, no reader left; not the filters
// The filter of that text, or NULL; trie->path leads to where it hangs or would hang.
struct filter *nodes_find(struct trie *trie, struct slice text);
// Hangs up a filter that nodes_find, called just before, has not found.
void nodes_add(struct trie *trie, struct rcu_reader *self, struct filter *filter);
// Takes off a filter that is there. The caller defers it.
void nodes_remove(struct trie *trie, struct rcu_reader *self, struct filter *filter);

#endif
