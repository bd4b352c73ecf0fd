// trie_nodes.c - where wildcard filters hang: nodes are made only where filters part.
//
// A filter that is alone below some level hangs there itself, as a leaf: its other levels have no
// nodes, and the matcher compares them with the filter's text. When a second filter comes the two
// part at a node, and when one remains it takes the node's place. So below every node but the root
// there are two filters or more, and which nodes there are depends on the filters alone, not on
// their history.
//
// What a reader may meet. A child is one word and changes by one store (release):
//   nothing -> leaf, leaf -> nothing   a filter comes or goes;
//   leaf -> node, node -> leaf         at that time the node has the leaf's filter and no other.
// So the last two change no match: the word leads to the same one filter before and after. A reader
// loads the word once in a match and goes on with what it found: it meets the filter once, not
// twice and not never. The word changes where it stands (plus, first, a slot of kids), so a reader
// that looks at one place after the other does not miss it either. Where two filters have more
// levels in common, leaf -> node is repeated one level below; only then the second one comes, in a
// place that was empty.
//
// When it ends. A node that gave its place to a leaf keeps its link to the filter: a reader that
// loaded the word before the store finds the filter through it, even when that is removed in turn.
// Then the filter is unlinked and deferred after the node was, so its grace period waits for that
// reader too; and who begins later finds neither. In the same way a table of children that was
// replaced by a larger one may lead to nodes and filters that have gone since: they went after it.
// A writer comes down from the root, so nothing is added to what was replaced. What such a reader
// lacks, it lacks as if it had been there first: its versions are from before (match_cache.c).
//
// A filter's text never changes, and no leaf knows its level: whoever stands on a node knows where
// in all texts below it the next level begins (struct place).
#include "core/trie_nodes.h"

#include "core/base/mem.h"

// The filter's level at offset; false when it has ended.
static bool
level_at(struct slice text, uint32_t offset, struct slice *ret_level)
{
    if (offset > text.len)
        return false;
    struct slice rest = slice_of(text.data + offset, text.len - offset);
    return topic_next_level(&rest, ret_level);
}

struct hash_arg {
    const struct trie *trie;
    uint32_t offset; // of the place whose table it is
};

static uint64_t
child_key(const void *child, const void *arg)
{
    const struct hash_arg *hash = arg;
    const struct filter *leaf = child_filter(child);
    if (!leaf)
        return ((const struct node *)child)->key;
    struct slice level;
    must(level_at(filter_text(leaf), hash->offset, &level));
    return trie_key(hash->trie, level);
}

// A node for the level that begins at text and has that key; 0 for the root and '+'.
static struct node *
node_new(struct trie *trie, const uint8_t *text, uint64_t key)
{
    uint32_t len = key_len(key);
    struct node *node = mem_zalloc(sizeof *node + len);
    node->key = key;
    if (len > 0)
        memcpy(node->text, text, len);
    trie_count(&trie->nodes, 1);
    trie_count(&trie->bytes, sizeof *node + len);
    return node;
}

// A node that was replaced, and its table, which may still lead to the one filter.
static void
node_retire(struct trie *trie, struct rcu_reader *self, struct node *node)
{
    struct ptrtab *kids = atomic_load_explicit(&node->kids, memory_order_relaxed);
    trie_count(&trie->nodes, (uint64_t)-1);
    trie_count(&trie->bytes,
               (uint64_t)0 - (sizeof *node + key_len(node->key) + ptrtab_bytes(kids)));
    if (kids)
        rcu_defer(self, kids, mem_free);
    rcu_defer(self, node, mem_free);
}

// ---- Children -------------------------------------------------------------------------------

static bool
is_first(const struct node *node, const void *child)
{
    return ptrtab_pointer(atomic_load_explicit(&node->first, memory_order_relaxed)) == child;
}

static void
literal_add(struct trie *trie, struct rcu_reader *self, struct place at, uint64_t key, void *child)
{
    struct node *node = at.node;
    if (is_first(node, NULL)) {
        uint64_t word = (uint64_t)(uintptr_t)child | ptrtab_tag(key);
        atomic_store_explicit(&node->first, word, memory_order_release);
        return;
    }
    size_t before = ptrtab_bytes(node->kids);
    struct hash_arg arg = {trie, at.offset};
    ptrtab_add(&node->kids, self, key, child, child_key, &arg);
    trie_count(&trie->bytes, ptrtab_bytes(node->kids) - before);
}

static void
child_remove(struct trie *trie, struct rcu_reader *self, struct place at, void *child)
{
    struct node *node = at.node;
    if (atomic_load_explicit(&node->plus, memory_order_relaxed) == child) {
        atomic_store_explicit(&node->plus, NULL, memory_order_release);
    } else if (is_first(node, child)) {
        atomic_store_explicit(&node->first, 0, memory_order_release);
    } else {
        size_t before = ptrtab_bytes(node->kids);
        struct hash_arg arg = {trie, at.offset};
        ptrtab_remove(&node->kids, self, child_key(child, &arg), child, child_key, &arg);
        trie_count(&trie->bytes, ptrtab_bytes(node->kids) - before);
    }
}

// Of a node and a leaf one takes the place of the other; key: of their level, unless it is '+'.
static void
child_replace(struct node *node, uint64_t key, const void *child, void *with)
{
    if (atomic_load_explicit(&node->plus, memory_order_relaxed) == child) {
        atomic_store_explicit(&node->plus, with, memory_order_release);
    } else if (is_first(node, child)) {
        uint64_t word = (uint64_t)(uintptr_t)with | ptrtab_tag(key);
        atomic_store_explicit(&node->first, word, memory_order_release);
    } else {
        ptrtab_replace(node->kids, key, child, with);
    }
}

// The child for a filter's level, which is not '#'; its key, 0 for '+'.
static void *
child_find(const struct trie *trie, struct place at, struct slice level, uint64_t *ret_key)
{
    if (level_is(level, '+')) {
        *ret_key = 0;
        return atomic_load_explicit(&at.node->plus, memory_order_relaxed);
    }
    *ret_key = trie_key(trie, level);
    return node_child(at.node, at.offset, level, *ret_key);
}

// The filter's one link, if it is all that the node has: as a leaf. Else NULL.
static void *
only_leaf(const struct node *node)
{
    struct filter *here = atomic_load_explicit(&node->here, memory_order_relaxed);
    struct filter *multi = atomic_load_explicit(&node->multi, memory_order_relaxed);
    const struct ptrtab *kids = atomic_load_explicit(&node->kids, memory_order_relaxed);
    if (kids && kids->live > 1)
        return NULL;
    void *const links[] = {
        here ? child_leaf(here) : NULL,
        multi ? child_leaf(multi) : NULL,
        atomic_load_explicit(&node->plus, memory_order_relaxed),
        ptrtab_pointer(atomic_load_explicit(&node->first, memory_order_relaxed)),
        ptrtab_only(kids),
    };
    void *only = NULL;
    for (uint32_t i = 0; i < ARRAY_LEN(links); i++) {
        if (only && links[i])
            return NULL;
        only = only ? only : links[i];
    }
    must(only); // it had two filters
    return child_filter(only) ? only : NULL;
}

// ---- Filters --------------------------------------------------------------------------------

static struct place *
path_end(struct trie *trie)
{
    return &trie->path[trie->depth];
}

static void
path_down(struct trie *trie, struct node *node, struct slice level)
{
    uint32_t offset = path_end(trie)->offset + level.len + 1;
    must(trie->depth < TOPIC_LEVELS_MAX);
    trie->path[++trie->depth] = (struct place){node, offset};
}

struct filter *
nodes_find(struct trie *trie, struct slice text)
{
    trie->depth = 0;
    trie->path[0] = (struct place){.node = trie->root};
    for (;;) {
        struct place at = *path_end(trie);
        struct slice level;
        if (!level_at(text, at.offset, &level))
            return atomic_load_explicit(&at.node->here, memory_order_relaxed);
        if (level_is(level, '#')) // the last level [MQTT-4.7.1-1]
            return atomic_load_explicit(&at.node->multi, memory_order_relaxed);
        uint64_t key;
        void *child = child_find(trie, at, level, &key);
        struct filter *leaf = child_filter(child);
        if (leaf)
            return slice_equal(filter_text(leaf), text) ? leaf : NULL;
        if (!child)
            return NULL;
        path_down(trie, child, level);
    }
}

// Hangs the filter at a node, unless a leaf hangs there already.
static bool
hang(struct trie *trie, struct rcu_reader *self, struct place at, struct filter *filter)
{
    struct slice level;
    uint64_t key;
    if (!level_at(filter_text(filter), at.offset, &level))
        atomic_store_explicit(&at.node->here, filter, memory_order_release);
    else if (level_is(level, '#'))
        atomic_store_explicit(&at.node->multi, filter, memory_order_release);
    else if (child_find(trie, at, level, &key))
        return false;
    else if (level_is(level, '+'))
        atomic_store_explicit(&at.node->plus, child_leaf(filter), memory_order_release);
    else
        literal_add(trie, self, at, key, child_leaf(filter));
    return true;
}

// The leaf on the way of text becomes a node that has its filter, and the path leads there.
static void
part(struct trie *trie, struct rcu_reader *self, struct slice text)
{
    struct place at = *path_end(trie);
    struct slice level;
    uint64_t key;
    must(level_at(text, at.offset, &level));
    void *child = child_find(trie, at, level, &key);
    struct filter *other = child_filter(child);
    must(other);
    struct node *node = node_new(trie, level.data, key);
    path_down(trie, node, level);
    must(hang(trie, self, *path_end(trie), other));
    child_replace(at.node, key, child, node);
}

void
nodes_add(struct trie *trie, struct rcu_reader *self, struct filter *filter)
{
    while (!hang(trie, self, *path_end(trie), filter))
        part(trie, self, filter_text(filter));
}

void
nodes_remove(struct trie *trie, struct rcu_reader *self, struct filter *filter)
{
    must(nodes_find(trie, filter_text(filter)) == filter);
    struct place at = *path_end(trie);
    if (atomic_load_explicit(&at.node->here, memory_order_relaxed) == filter)
        atomic_store_explicit(&at.node->here, NULL, memory_order_release);
    else if (atomic_load_explicit(&at.node->multi, memory_order_relaxed) == filter)
        atomic_store_explicit(&at.node->multi, NULL, memory_order_release);
    else
        child_remove(trie, self, at, child_leaf(filter));
    for (; trie->depth > 0; trie->depth--) {
        struct node *node = path_end(trie)->node;
        void *leaf = only_leaf(node);
        if (!leaf)
            return;
        child_replace(trie->path[trie->depth - 1].node, node->key, node, leaf);
        node_retire(trie, self, node);
    }
}

// ---- The beginning and the end --------------------------------------------------------------

void
nodes_init(struct trie *trie)
{
    trie->root = node_new(trie, NULL, 0);
}

// Takes one child off node, or returns NULL. Tables are emptied from their end, by their cap: they
// are not used as tables any more.
static void *
take_child(struct node *node)
{
    void *child = atomic_load(&node->plus);
    if (child) {
        atomic_store(&node->plus, NULL);
        return child;
    }
    child = ptrtab_pointer(atomic_load(&node->first));
    if (child) {
        atomic_store(&node->first, 0);
        return child;
    }
    struct ptrtab *kids = atomic_load(&node->kids);
    while (kids && kids->cap > 0) {
        uint64_t slot = atomic_load(&kids->slots[--kids->cap]);
        if (slot > PTRTAB_TOMB)
            return ptrtab_pointer(slot);
    }
    return NULL;
}

void
nodes_free(struct trie *trie)
{
    trie->depth = 0;
    trie->path[0].node = trie->root;
    for (;;) {
        struct node *node = path_end(trie)->node;
        void *child = take_child(node);
        if (child) {
            if (!child_filter(child))
                trie->path[++trie->depth].node = child;
            continue;
        }
        mem_free(atomic_load(&node->kids));
        mem_free(node);
        if (trie->depth-- == 0)
            return;
    }
}
