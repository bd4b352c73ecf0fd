// trie.c - the shared subscription trie: its writers.
#include "core/trie.h"

#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie_nodes.h"

// ---- Look-up, for readers and writers
// ---------------------------------------------------------------

struct node *
node_child(const struct node *node, struct slice level, uint64_t hash)
{
    const struct ptrtab *kids = atomic_load_explicit(&node->kids, memory_order_acquire);
    uint64_t pos = hash;
    struct node *child;
    while ((child = ptrtab_probe(kids, hash, &pos)) != NULL)
        if (child->hash == hash && slice_equal(slice_of(child->text, child->len), level))
            return child;
    return NULL;
}

struct filter *
trie_exact(const struct trie *trie, struct slice text, uint64_t hash)
{
    const struct ptrtab *exact = atomic_load_explicit(&trie->exact, memory_order_acquire);
    uint64_t pos = hash;
    struct filter *filter;
    while ((filter = ptrtab_probe(exact, hash, &pos)) != NULL)
        if (filter->hash == hash && slice_equal(slice_of(filter->text, filter->len), text))
            return filter;
    return NULL;
}

static uint64_t
node_hash(const void *object)
{
    return ((const struct node *)object)->hash;
}

static uint64_t
filter_hash(const void *object)
{
    return ((const struct filter *)object)->hash;
}

static void
count(_Atomic uint64_t *gauge, uint64_t n)
{
    atomic_fetch_add_explicit(gauge, n, memory_order_relaxed);
}

// ---- Slots
// --------------------------------------------------------------------------------------------

static err_t
slot_take(struct trie *trie, void *record, bool is_share, struct trie_handle *ret)
{
    uint32_t i = trie->first_free;
    if (i != 0) {
        i--;
        trie->first_free = trie_slot(trie, i)->next_free;
    } else if (trie->slots_used < SLOTS_MAX) {
        i = trie->slots_used++;
        if (!trie->pages[i / SLOT_PAGE]) {
            trie->pages[i / SLOT_PAGE] = mem_zalloc(SLOT_PAGE * sizeof(struct slot));
            count(&trie->bytes, SLOT_PAGE * sizeof(struct slot));
        }
    } else {
        return ERR_FULL;
    }
    struct slot *slot = trie_slot(trie, i);
    slot->record = record;
    slot->is_share = is_share;
    slot->generation = slot->generation == UINT32_MAX ? 1 : slot->generation + 1; // never 0
    *ret = (struct trie_handle){.slot = i, .generation = slot->generation};
    return OK;
}

static void
slot_free(struct trie *trie, struct trie_handle handle)
{
    struct slot *slot = trie_slot(trie, handle.slot);
    must(slot->generation == handle.generation && slot->record);
    slot->record = NULL;
    slot->next_free = trie->first_free & 0x7fffffffu;
    trie->first_free = handle.slot + 1;
}

// ---- Versions
// -------------------------------------------------------------------------------------------

static bool
is_wild(struct slice level)
{
    return level_is(level, '+') || level_is(level, '#');
}

// The change is in place before the counter moves (release), and a matcher reads the counters
// before it looks (acquire): a result without the change never carries the new version.
static void
bump(struct trie *trie, const struct filter *filter)
{
    uint32_t at;
    if (!filter->node) {
        at = version_exact(filter->hash);
    } else {
        struct slice rest = slice_of(filter->text, filter->len), first, second;
        (void)topic_next_level(&rest, &first);
        bool more = topic_next_level(&rest, &second);
        if (is_wild(first))
            at = VERSION_GLOBAL;
        else if (!more || is_wild(second))
            at = version_one(trie_hash(trie, first));
        else
            at = version_two(trie_hash(trie, first), trie_hash(trie, second));
    }
    atomic_fetch_add_explicit(&trie->versions[at], 1, memory_order_release);
}

// ---- Nodes
// ----------------------------------------------------------------------------------------------

static struct node *
node_new(struct trie *trie, struct node *parent, struct slice level, uint64_t hash, bool is_plus)
{
    struct node *node = mem_zalloc(sizeof *node + level.len);
    node->parent = parent;
    node->hash = hash;
    node->is_plus = is_plus;
    node->len = level.len;
    if (level.len > 0)
        memcpy(node->text, level.data, level.len);
    count(&trie->nodes, 1);
    count(&trie->bytes, sizeof *node + level.len);
    return node;
}

static struct node *
node_step(struct trie *trie, struct rcu_reader *self, struct node *node, struct slice level)
{
    if (level_is(level, '+')) {
        struct node *plus = atomic_load_explicit(&node->plus, memory_order_relaxed);
        if (!plus) {
            plus = node_new(trie, node, (struct slice){0}, 0, true);
            atomic_store_explicit(&node->plus, plus, memory_order_release);
        }
        return plus;
    }
    uint64_t hash = trie_hash(trie, level);
    struct node *child = node_child(node, level, hash);
    if (child)
        return child;
    child = node_new(trie, node, level, hash, false);
    size_t before = ptrtab_bytes(node->kids);
    ptrtab_add(&node->kids, self, hash, child, node_hash);
    count(&trie->bytes, ptrtab_bytes(node->kids) - before);
    return child;
}

// The node at which a wildcard filter ends; made on the way. *ret_multi: it ends in '#'.
static struct node *
node_of(struct trie *trie, struct rcu_reader *self, struct slice text, bool *ret_multi)
{
    struct node *node = trie->root;
    struct slice level;
    while (topic_next_level(&text, &level)) {
        if (level_is(level, '#')) {
            *ret_multi = true;
            return node;
        }
        node = node_step(trie, self, node, level);
    }
    *ret_multi = false;
    return node;
}

static bool
node_is_empty(const struct node *node)
{
    return !atomic_load(&node->plus) && !atomic_load(&node->here) && !atomic_load(&node->multi) &&
           !atomic_load(&node->kids);
}

// Unlinks empty nodes upwards. A reader may still stand on one until it is quiescent: deferred.
static void
prune(struct trie *trie, struct rcu_reader *self, struct node *node)
{
    while (node != trie->root && node_is_empty(node)) {
        struct node *parent = node->parent;
        if (node->is_plus) {
            atomic_store_explicit(&parent->plus, NULL, memory_order_release);
        } else {
            size_t before = ptrtab_bytes(parent->kids);
            ptrtab_remove(&parent->kids, self, node->hash, node, node_hash);
            count(&trie->bytes, ptrtab_bytes(parent->kids) - before);
        }
        count(&trie->nodes, (uint64_t)-1);
        count(&trie->bytes, (uint64_t)0 - (sizeof *node + node->len));
        rcu_defer(self, node, mem_free);
        node = parent;
    }
}

// ---- Filters
// --------------------------------------------------------------------------------------------

static _Atomic(struct filter *) *
filter_link(struct filter *filter)
{
    bool multi = filter->text[filter->len - 1] == '#';
    return multi ? &filter->node->multi : &filter->node->here;
}

static struct filter *
filter_find(struct trie *trie, struct rcu_reader *self, struct slice text, uint64_t hash,
            struct node **ret_node)
{
    *ret_node = NULL;
    if (!topic_filter_is_wild(text))
        return trie_exact(trie, text, hash);
    bool multi;
    *ret_node = node_of(trie, self, text, &multi);
    return multi ? atomic_load(&(*ret_node)->multi) : atomic_load(&(*ret_node)->here);
}

static struct filter *
filter_new(struct trie *trie, struct rcu_reader *self, struct slice text, uint64_t hash,
           struct node *node)
{
    struct filter *filter = mem_zalloc(sizeof *filter + text.len);
    filter->node = node;
    filter->hash = hash;
    filter->len = text.len;
    memcpy(filter->text, text.data, text.len);
    if (slot_take(trie, filter, false, &filter->handle) != OK) {
        mem_free(filter);
        return NULL;
    }
    if (node) {
        atomic_store_explicit(filter_link(filter), filter, memory_order_release);
    } else {
        size_t before = ptrtab_bytes(trie->exact);
        ptrtab_add(&trie->exact, self, hash, filter, filter_hash);
        count(&trie->bytes, ptrtab_bytes(trie->exact) - before);
    }
    count(&trie->filters, 1);
    count(&trie->bytes, sizeof *filter + text.len);
    return filter;
}

// Frees the filter when nobody wants it any more. The caller bumps the version afterwards.
static void
filter_retire(struct trie *trie, struct rcu_reader *self, struct filter *filter)
{
    if (atomic_load(&filter->shards) != 0 || atomic_load(&filter->shares) != NULL)
        return;
    if (filter->node) {
        atomic_store_explicit(filter_link(filter), NULL, memory_order_release);
        prune(trie, self, filter->node);
    } else {
        size_t before = ptrtab_bytes(trie->exact);
        ptrtab_remove(&trie->exact, self, filter->hash, filter, filter_hash);
        count(&trie->bytes, ptrtab_bytes(trie->exact) - before);
    }
    slot_free(trie, filter->handle);
    count(&trie->filters, (uint64_t)-1);
    count(&trie->bytes, (uint64_t)0 - (sizeof *filter + filter->len));
    rcu_defer(self, filter, mem_free);
}

// ---- Share groups
// -----------------------------------------------------------------------------------------

static struct trie_share *
share_find(const struct filter *filter, struct slice group)
{
    struct trie_share *share = atomic_load(&filter->shares);
    while (share && !slice_equal(slice_of(share->name, share->name_len), group))
        share = atomic_load(&share->next);
    return share;
}

static struct trie_share *
share_new(struct trie *trie, struct filter *filter, struct slice group)
{
    struct trie_share *share = mem_zalloc(sizeof *share + group.len);
    share->filter = filter;
    share->name_len = group.len;
    memcpy(share->name, group.data, group.len);
    if (slot_take(trie, share, true, &share->handle) != OK) {
        mem_free(share);
        return NULL;
    }
    atomic_store(&share->next, atomic_load(&filter->shares));
    atomic_store_explicit(&filter->shares, share, memory_order_release);
    count(&trie->share_groups, 1);
    count(&trie->bytes, sizeof *share + group.len);
    return share;
}

static void
share_retire(struct trie *trie, struct rcu_reader *self, struct trie_share *share)
{
    _Atomic(struct trie_share *) *link = &share->filter->shares;
    while (atomic_load(link) != share)
        link = &atomic_load(link)->next;
    atomic_store_explicit(link, atomic_load(&share->next), memory_order_release);
    slot_free(trie, share->handle);
    count(&trie->share_groups, (uint64_t)-1);
    count(&trie->bytes, (uint64_t)0 - (sizeof *share + share->name_len));
    rcu_defer(self, share, mem_free);
}

// ---- Adding and removing
// --------------------------------------------------------------------------------

static err_t
add_share(struct trie *trie, struct rcu_reader *self, struct filter *filter, struct slice group,
          unsigned shard, struct trie_handle *ret_handle)
{
    struct trie_share *share = share_find(filter, group);
    if (!share) {
        share = share_new(trie, filter, group);
        if (!share) {
            filter_retire(trie, self, filter);
            return ERR_FULL;
        }
        bump(trie, filter);
    }
    share->shards |= UINT64_C(1) << shard;
    *ret_handle = share->handle;
    return OK;
}

err_t
trie_add(struct trie *trie, struct rcu_reader *self, struct slice text, struct slice group,
         unsigned shard, struct trie_handle *ret_handle)
{
    must(shard < TRIE_SHARDS_MAX && text.len > 0);
    uint64_t bit = UINT64_C(1) << shard, hash = trie_hash(trie, text);
    must(pthread_mutex_lock(&trie->mutex) == 0);
    struct node *node;
    err_t err = OK;
    struct filter *filter = filter_find(trie, self, text, hash, &node);
    if (!filter)
        filter = filter_new(trie, self, text, hash, node);
    if (!filter) {
        if (node)
            prune(trie, self, node);
        err = ERR_FULL;
    } else if (group.len > 0) {
        err = add_share(trie, self, filter, group, shard, ret_handle);
    } else {
        *ret_handle = filter->handle;
        if (!(atomic_load(&filter->shards) & bit)) {
            atomic_fetch_or_explicit(&filter->shards, bit, memory_order_release);
            bump(trie, filter);
        }
    }
    must(pthread_mutex_unlock(&trie->mutex) == 0);
    return err;
}

void
trie_remove(struct trie *trie, struct rcu_reader *self, struct trie_handle handle, unsigned shard)
{
    uint64_t bit = UINT64_C(1) << shard;
    must(pthread_mutex_lock(&trie->mutex) == 0);
    const struct slot *slot = trie_slot(trie, handle.slot);
    must(slot->generation == handle.generation && slot->record);
    struct filter *filter;
    // The counter moves while the filter can still be read: retiring only defers its end.
    if (slot->is_share) {
        struct trie_share *share = slot->record;
        filter = share->filter;
        must(share->shards & bit);
        share->shards &= ~bit;
        atomic_store(&share->weights[shard], 0);
        if (share->shards == 0)
            share_retire(trie, self, share);
    } else {
        filter = slot->record;
        must(atomic_load(&filter->shards) & bit);
        atomic_fetch_and_explicit(&filter->shards, ~bit, memory_order_release);
    }
    filter_retire(trie, self, filter);
    bump(trie, filter);
    must(pthread_mutex_unlock(&trie->mutex) == 0);
}

void
trie_share_weight(struct trie *trie, struct trie_handle handle, unsigned shard, uint32_t connected,
                  uint32_t members)
{
    must(shard < TRIE_SHARDS_MAX && connected <= members);
    const struct slot *slot = trie_slot(trie, handle.slot);
    must(slot->generation == handle.generation && slot->is_share);
    struct trie_share *share = slot->record;
    atomic_store_explicit(&share->weights[shard], (uint64_t)connected << 32 | members,
                          memory_order_release);
}

bool
trie_share_connected(struct trie *trie, struct trie_handle handle)
{
    bool connected = false;
    must(pthread_mutex_lock(&trie->mutex) == 0); // the handle may be dead: its slot may change
    const struct slot *slot = trie_slot(trie, handle.slot);
    if (slot->generation == handle.generation && slot->record && slot->is_share) {
        const struct trie_share *share = slot->record;
        for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++)
            connected |= atomic_load(&share->weights[i]) >> 32 != 0;
    }
    must(pthread_mutex_unlock(&trie->mutex) == 0);
    return connected;
}

// ---- Looking at it
// ----------------------------------------------------------------------------------------

struct slice
trie_filter(const struct trie *trie, struct trie_handle handle, struct slice *ret_group)
{
    const struct slot *slot = trie_slot(trie, handle.slot);
    must_hot(slot->generation == handle.generation && slot->record);
    const struct filter *filter = slot->record;
    *ret_group = (struct slice){0};
    if (slot->is_share) {
        const struct trie_share *share = slot->record;
        *ret_group = slice_of(share->name, share->name_len);
        filter = share->filter;
    }
    return slice_of(filter->text, filter->len);
}

void
trie_stats(const struct trie *trie, struct trie_stats *ret)
{
    *ret = (struct trie_stats){
        .filters = atomic_load_explicit(&trie->filters, memory_order_relaxed),
        .share_groups = atomic_load_explicit(&trie->share_groups, memory_order_relaxed),
        .nodes = atomic_load_explicit(&trie->nodes, memory_order_relaxed),
        .bytes = atomic_load_explicit(&trie->bytes, memory_order_relaxed),
    };
}

void
trie_each(struct trie *trie,
          void (*fn)(void *arg, struct slice filter, struct slice group, uint64_t shards),
          void *arg)
{
    must(pthread_mutex_lock(&trie->mutex) == 0);
    for (uint32_t i = 0; i < trie->slots_used; i++) {
        const struct slot *slot = trie_slot(trie, i);
        if (!slot->record)
            continue;
        if (slot->is_share) {
            const struct trie_share *share = slot->record;
            fn(arg, slice_of(share->filter->text, share->filter->len),
               slice_of(share->name, share->name_len), share->shards);
            continue;
        }
        const struct filter *filter = slot->record;
        if (atomic_load(&filter->shards))
            fn(arg, slice_of(filter->text, filter->len), (struct slice){0},
               atomic_load(&filter->shards));
    }
    must(pthread_mutex_unlock(&trie->mutex) == 0);
}

struct trie *
trie_new(const struct hash_key *key)
{
    struct trie *trie = mem_zalloc(sizeof *trie);
    trie->key = *key;
    must(pthread_mutex_init(&trie->mutex, NULL) == 0);
    trie->root = node_new(trie, NULL, (struct slice){0}, 0, false);
    return trie;
}

// Without recursion: a leaf is freed and its parent becomes one.
static void
free_nodes(struct trie *trie)
{
    struct node *node = trie->root;
    while (node) {
        struct node *down = atomic_load(&node->plus);
        struct ptrtab *kids = atomic_load(&node->kids);
        if (down) {
            atomic_store(&node->plus, NULL);
            node = down;
            continue;
        }
        while (kids && kids->cap > 0 && atomic_load(&kids->slots[kids->cap - 1]) <= PTRTAB_TOMB)
            kids->cap--;
        if (kids && kids->cap > 0) {
            node = ptrtab_pointer(atomic_load(&kids->slots[--kids->cap]));
            continue;
        }
        struct node *parent = node->parent;
        mem_free(kids);
        mem_free(node);
        node = parent;
    }
}

void
trie_free(struct trie *trie)
{
    if (!trie)
        return;
    for (uint32_t i = 0; i < trie->slots_used; i++)
        mem_free(trie_slot(trie, i)->record);
    for (uint32_t i = 0; i < SLOT_PAGES; i++)
        mem_free(trie->pages[i]);
    free_nodes(trie);
    mem_free(atomic_load(&trie->exact));
    must(pthread_mutex_destroy(&trie->mutex) == 0);
    mem_free(trie);
}
