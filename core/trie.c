// trie.c - the shared subscription trie: its writers.
//
// What a reader may meet. Writers hold the mutex, so there is one change at a time, and each shows
// itself by one store: of a filter, a node, a table slot, a bit of a record. Everything behind the
// pointer is complete before it (release), and a reader follows it by an acquiring load. How
// filters part and join below the nodes in such steps: see the head of trie_nodes.c.
//
// When it ends. What a writer takes out of the structure is handed to rcu_defer after the store
// that unlinks it. A reader that found it before that store is in a tick that has not yet reported
// its quiescent state; one that starts later cannot find it. That is all that rcu.h asks for.
//
// Results that a worker keeps beyond its tick (match_cache.c) hold handles, which may outlive
// anything, and pointers to share groups. A share group is deferred, then the version moves, and
// only then can the writer's own quiescent state begin the grace period. Whoever is quiescent in it
// sees the new version (its load of the epoch acquires what the writer did before), finds the
// result stale and does not touch its pointers. Whoever is not yet quiescent keeps the group alive.
#include "core/trie.h"

#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie_nodes.h"
#include "core/trie_remote_match.h"

static void
lock(struct trie *trie)
{
    must(pthread_mutex_lock(&trie->mutex) == 0);
}

static void
unlock(struct trie *trie)
{
    must(pthread_mutex_unlock(&trie->mutex) == 0);
}

// ---- Slots ----------------------------------------------------------------------------------
//
// A live slot's word is the pointer to its record, with SLOT_SHARE set when that is a share group:
// the generation stands in the record. A free slot's word is SLOT_FREE, the next free slot + 1 in
// bits 1 to 31, and the last generation in the upper half.

#define SLOT_FREE  1u
#define SLOT_SHARE 2u

// What a handle names: share is NULL for an ordinary subscription, both are for a dead handle.
struct named {
    struct filter *filter;
    struct trie_share *share;
};

static uint64_t *
slot_word(const struct trie *trie, uint32_t slot)
{
    must_hot(slot < SLOTS_MAX && trie->pages[slot / SLOT_PAGE]);
    return &trie->pages[slot / SLOT_PAGE][slot % SLOT_PAGE];
}

static struct named
slot_get(const struct trie *trie, uint32_t slot)
{
    uint64_t word = *slot_word(trie, slot);
    if (word == 0 || word & SLOT_FREE)
        return (struct named){0};
    void *record = ptrtab_pointer(word & ~(uint64_t)SLOT_SHARE);
    must_hot(record);
    if (!(word & SLOT_SHARE))
        return (struct named){.filter = record};
    struct trie_share *share = record;
    return (struct named){.filter = share->filter, .share = share};
}

static struct named
handle_get(const struct trie *trie, struct trie_handle handle)
{
    struct named named = slot_get(trie, handle.slot);
    if (!named.filter)
        return named;
    struct trie_handle now = named.share ? named.share->handle : named.filter->handle;
    must_hot(now.slot == handle.slot);
    return now.generation == handle.generation ? named : (struct named){0};
}

struct filter *
trie_ordinary(const struct trie *trie, struct trie_handle handle)
{
    struct named named = handle_get(trie, handle);
    must(named.filter && !named.share);
    return named.filter;
}

static bool
pool_is_empty(const struct slot_pool *pool)
{
    return pool->first_free == 0 && pool->next == pool->end;
}

// Where this shard's next slot comes from, with at least one in it. NULL: all are taken.
static struct slot_pool *
pool_for(struct trie *trie, unsigned shard)
{
    struct slot_pool *pool = &trie->pools[shard];
    if (likely(!pool_is_empty(pool)))
        return pool;
    if (trie->page_count < SLOT_PAGES) {
        pool->next = trie->page_count * SLOT_PAGE;
        pool->end = pool->next + SLOT_PAGE;
        trie->owner[trie->page_count] = (uint8_t)shard;
        trie->pages[trie->page_count++] = mem_zalloc(SLOT_PAGE * sizeof **trie->pages);
        trie_count(&trie->bytes, SLOT_PAGE * sizeof **trie->pages);
        return pool;
    }
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++)
        if (!pool_is_empty(&trie->pools[i]))
            return &trie->pools[i];
    return NULL;
}

static err_t
slot_take(struct trie *trie, void *record, bool is_share, struct trie_handle *ret)
{
    struct slot_pool *pool = pool_for(trie, trie->shard);
    if (!pool)
        return ERR_FULL;
    uint32_t slot = pool->first_free, generation = 0;
    if (slot != 0) {
        uint64_t word = *slot_word(trie, --slot);
        must(word & SLOT_FREE);
        pool->first_free = (uint32_t)word >> 1;
        generation = (uint32_t)(word >> 32);
    } else {
        slot = pool->next++;
    }
    *slot_word(trie, slot) = (uint64_t)(uintptr_t)record | (is_share ? SLOT_SHARE : 0);
    *ret = (struct trie_handle){
        .slot = slot,
        .generation = generation == UINT32_MAX ? 1 : generation + 1,
    };
    return OK;
}

static void
slot_free(struct trie *trie, struct trie_handle handle)
{
    must(handle_get(trie, handle).filter);
    struct slot_pool *pool = &trie->pools[trie->owner[handle.slot / SLOT_PAGE]];
    *slot_word(trie, handle.slot) =
        (uint64_t)handle.generation << 32 | (uint64_t)pool->first_free << 1 | SLOT_FREE;
    pool->first_free = handle.slot + 1;
}

// ---- Versions -------------------------------------------------------------------------------

static bool
is_wild(struct slice level)
{
    return level_is(level, '+') || level_is(level, '#');
}

static uint32_t
version_of(const struct trie *trie, struct slice text, uint64_t text_key)
{
    struct slice rest = text, first, second;
    if (!topic_filter_is_wild(rest))
        return version_exact(text_key);
    must(topic_next_level(&rest, &first));
    if (is_wild(first))
        return VERSION_GLOBAL;
    must(topic_next_level(&rest, &second)); // else it had no wildcard
    uint64_t key = trie_key(trie, first);
    return is_wild(second) ? version_one(key) : version_two(key, trie_key(trie, second));
}

// The change is in place before the counter moves (release), and a matcher reads the counters
// before it looks (acquire). So if it read the new value, it sees the change; a result that lacks
// the change carries an older value and is stale. The one counter of all follows, so that who finds
// it where it stood need not look at the others.
static void
bump_counter(struct trie *trie, uint32_t counter)
{
    atomic_fetch_add_explicit(&trie->versions[counter], 1, memory_order_release);
    atomic_fetch_add_explicit(&trie->version, 1, memory_order_release);
}

void
trie_bump(struct trie *trie, struct slice text, uint64_t key)
{
    bump_counter(trie, version_of(trie, text, key));
}

void
trie_bump_all(struct trie *trie)
{
    bump_counter(trie, VERSION_GLOBAL); // every topic looks at it
}

static void
bump(struct trie *trie, const struct filter *filter)
{
    trie_bump(trie, filter_text(filter), filter->key);
}

// ---- Filters --------------------------------------------------------------------------------

static uint64_t
filter_key(const void *object, const void *arg)
{
    (void)arg;
    return ((const struct filter *)object)->key;
}

static struct filter *
filter_new(struct trie *trie, struct slice text, uint64_t key)
{
    struct filter *filter = mem_zalloc(sizeof *filter + text.len);
    filter->key = key;
    memcpy(filter->text, text.data, text.len);
    if (slot_take(trie, filter, false, &filter->handle) != OK) {
        mem_free(filter);
        return NULL;
    }
    trie_count(&trie->filters, 1);
    trie_count(&trie->bytes, sizeof *filter + text.len);
    return filter;
}

static struct filter *
exact_make(struct trie *trie, struct rcu_reader *self, struct slice text, uint64_t key)
{
    const struct ptrtab *exact = atomic_load_explicit(&trie->exact, memory_order_relaxed);
    uint64_t pos = key;
    struct filter *filter;
    while ((filter = ptrtab_probe(exact, key, &pos)) != NULL)
        if (text_is(filter->text, filter->key, text, key))
            return filter;
    filter = filter_new(trie, text, key);
    if (!filter)
        return NULL;
    size_t before = ptrtab_bytes(exact);
    ptrtab_add(&trie->exact, self, key, filter, filter_key, NULL);
    trie_count(&trie->bytes, ptrtab_bytes(trie->exact) - before);
    return filter;
}

static struct filter *
wild_make(struct trie *trie, struct rcu_reader *self, struct slice text, uint64_t key)
{
    struct filter *filter = nodes_find(trie, text);
    if (filter)
        return filter;
    filter = filter_new(trie, text, key);
    if (filter)
        nodes_add(trie, self, filter);
    return filter;
}

static struct filter_extra *
extra_make(struct trie *trie, struct filter *filter)
{
    struct filter_extra *extra = atomic_load_explicit(&filter->extra, memory_order_relaxed);
    if (extra)
        return extra;
    extra = mem_zalloc(sizeof *extra);
    atomic_store_explicit(&filter->extra, extra, memory_order_release);
    trie_count(&trie->bytes, sizeof *extra);
    return extra;
}

// Frees the filter when nobody wants it any more: deferred, so it can still be read here.
static void
filter_retire(struct trie *trie, struct rcu_reader *self, struct filter *filter)
{
    if (atomic_load_explicit(&filter->shards, memory_order_relaxed) != 0 ||
        filter_shares(filter) != NULL)
        return;
    struct filter_extra *extra = atomic_load_explicit(&filter->extra, memory_order_relaxed);
    struct slice text = filter_text(filter);
    if (topic_filter_is_wild(text)) {
        nodes_remove(trie, self, filter);
    } else {
        size_t before = ptrtab_bytes(trie->exact);
        ptrtab_remove(&trie->exact, self, filter->key, filter, filter_key, NULL);
        trie_count(&trie->bytes, ptrtab_bytes(trie->exact) - before);
    }
    slot_free(trie, filter->handle);
    trie_count(&trie->filters, (uint64_t)-1);
    trie_count(&trie->bytes,
               (uint64_t)0 - (sizeof *filter + text.len + (extra ? sizeof *extra : 0)));
    if (extra)
        rcu_defer(self, extra, mem_free);
    rcu_defer(self, filter, mem_free);
}

// ---- Share groups ---------------------------------------------------------------------------

static struct trie_share *
share_find(const struct filter *filter, struct slice group)
{
    struct trie_share *share = filter_shares(filter);
    while (share && !slice_equal(slice_of(share->name, share->name_len), group))
        share = atomic_load_explicit(&share->next, memory_order_relaxed);
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
    struct filter_extra *extra = extra_make(trie, filter);
    atomic_store_explicit(&share->next, atomic_load_explicit(&extra->shares, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&extra->shares, share, memory_order_release);
    trie_count(&trie->share_groups, 1);
    trie_count(&trie->bytes, sizeof *share + group.len);
    return share;
}

static void
share_retire(struct trie *trie, struct rcu_reader *self, struct trie_share *share)
{
    struct filter_extra *extra = atomic_load_explicit(&share->filter->extra, memory_order_relaxed);
    must(extra);
    _Atomic(struct trie_share *) *link = &extra->shares;
    while (atomic_load_explicit(link, memory_order_relaxed) != share)
        link = &atomic_load_explicit(link, memory_order_relaxed)->next;
    atomic_store_explicit(link, atomic_load_explicit(&share->next, memory_order_relaxed),
                          memory_order_release);
    slot_free(trie, share->handle);
    trie_count(&trie->share_groups, (uint64_t)-1);
    trie_count(&trie->bytes, (uint64_t)0 - (sizeof *share + share->name_len));
    rcu_defer(self, share, mem_free);
}

// The shard's cell, or NULL. A caller without the mutex is online, and its own shard's cell cannot
// go away meanwhile. But the link to it may come to lead to a newcomer's, so it is not read twice.
static struct share_cell *
cell_of(struct trie_share *share, unsigned shard)
{
    struct share_cell *cell = atomic_load_explicit(&share->cells, memory_order_acquire);
    while (cell && cell->shard != shard)
        cell = atomic_load_explicit(&cell->next, memory_order_acquire);
    return cell;
}

// A newcomer goes to the front. So a picker, who only moves on to older cells, and sees that a cell
// was unlinked when it has seen its successor's, never counts a shard twice.
static void
cell_add(struct trie *trie, struct trie_share *share, unsigned shard)
{
    if (cell_of(share, shard))
        return;
    struct share_cell *cell = mem_zalloc(sizeof *cell);
    cell->shard = shard;
    atomic_store_explicit(&cell->next, atomic_load_explicit(&share->cells, memory_order_relaxed),
                          memory_order_relaxed);
    atomic_store_explicit(&share->cells, cell, memory_order_release);
    trie_count(&trie->bytes, sizeof *cell);
}

static void
cell_remove(struct trie *trie, struct rcu_reader *self, struct trie_share *share, unsigned shard)
{
    _Atomic(struct share_cell *) *link = &share->cells;
    struct share_cell *cell = atomic_load_explicit(link, memory_order_relaxed);
    while (cell && cell->shard != shard) {
        link = &cell->next;
        cell = atomic_load_explicit(link, memory_order_relaxed);
    }
    must(cell);
    // A picker may stand on the cell: it must not count what is gone.
    atomic_store_explicit(&cell->weight, 0, memory_order_relaxed);
    atomic_store_explicit(link, atomic_load_explicit(&cell->next, memory_order_relaxed),
                          memory_order_release);
    trie_count(&trie->bytes, (uint64_t)0 - sizeof *cell);
    rcu_defer(self, cell, mem_free);
}

static uint64_t
share_shards(const struct trie_share *share)
{
    uint64_t shards = 0;
    const struct share_cell *cell = atomic_load_explicit(&share->cells, memory_order_relaxed);
    for (; cell; cell = atomic_load_explicit(&cell->next, memory_order_relaxed))
        shards |= UINT64_C(1) << cell->shard;
    return shards;
}

// ---- Adding and removing --------------------------------------------------------------------

static err_t
add_share(struct trie *trie, struct rcu_reader *self, struct filter *filter, struct slice group,
          unsigned shard, struct trie_handle *ret_handle)
{
    struct trie_share *share = share_find(filter, group);
    bool is_new = !share;
    if (is_new)
        share = share_new(trie, filter, group);
    if (!share) {
        filter_retire(trie, self, filter);
        return ERR_FULL;
    }
    cell_add(trie, share, shard);
    if (is_new)
        bump(trie, filter);
    *ret_handle = share->handle;
    return OK;
}

static void
add_shard(struct trie *trie, struct filter *filter, unsigned shard)
{
    uint64_t bit = UINT64_C(1) << shard;
    if (atomic_load_explicit(&filter->shards, memory_order_relaxed) & bit)
        return;
    atomic_fetch_or_explicit(&filter->shards, bit, memory_order_release);
    bump(trie, filter);
}

err_t
trie_add(struct trie *trie, struct rcu_reader *self, struct slice text, struct slice group,
         unsigned shard, struct trie_handle *ret_handle)
{
    must(shard < TRIE_SHARDS_MAX && text.len > 0);
    uint64_t key = trie_key(trie, text);
    bool wild = topic_filter_is_wild(text);
    err_t err = OK;
    lock(trie);
    trie->shard = shard;
    struct filter *filter =
        wild ? wild_make(trie, self, text, key) : exact_make(trie, self, text, key);
    if (!filter) {
        err = ERR_FULL;
    } else if (group.len > 0) {
        err = add_share(trie, self, filter, group, shard, ret_handle);
    } else {
        add_shard(trie, filter, shard);
        *ret_handle = filter->handle;
    }
    unlock(trie);
    must(err != OK || ret_handle->generation != 0);
    return err;
}

static void
remove_share(struct trie *trie, struct rcu_reader *self, struct trie_share *share, unsigned shard)
{
    struct filter *filter = share->filter;
    cell_remove(trie, self, share, shard);
    if (share_shards(share) != 0)
        return;
    share_retire(trie, self, share);
    filter_retire(trie, self, filter);
    bump(trie, filter);
}

void
trie_remove(struct trie *trie, struct rcu_reader *self, struct trie_handle handle, unsigned shard)
{
    must(shard < TRIE_SHARDS_MAX);
    lock(trie);
    struct named named = handle_get(trie, handle);
    must(named.filter);
    if (named.share) {
        remove_share(trie, self, named.share, shard);
    } else {
        uint64_t bit = UINT64_C(1) << shard;
        uint64_t before =
            atomic_fetch_and_explicit(&named.filter->shards, ~bit, memory_order_release);
        must(before & bit);
        struct filter_extra *extra =
            atomic_load_explicit(&named.filter->extra, memory_order_relaxed);
        if (extra)
            atomic_fetch_and_explicit(&extra->durable, ~bit, memory_order_release);
        filter_retire(trie, self, named.filter);
        bump(trie, named.filter);
    }
    unlock(trie);
}

void
trie_durable(struct trie *trie, struct trie_handle handle, unsigned shard, bool durable)
{
    must(shard < TRIE_SHARDS_MAX);
    uint64_t bit = UINT64_C(1) << shard;
    lock(trie);
    struct named named = handle_get(trie, handle);
    must(named.filter);
    if (named.share) {
        struct share_cell *cell = cell_of(named.share, shard);
        must(cell);
        // Read with each pick, so no kept result depends on it.
        atomic_store_explicit(&cell->durable, durable, memory_order_release);
    } else {
        struct filter_extra *extra = extra_make(trie, named.filter);
        if (durable)
            atomic_fetch_or_explicit(&extra->durable, bit, memory_order_release);
        else
            atomic_fetch_and_explicit(&extra->durable, ~bit, memory_order_release);
        bump(trie, named.filter);
    }
    unlock(trie);
}

// Of a live share group, on a shard that has members of it.
static struct share_cell *
share_cell(struct trie *trie, struct trie_handle handle, unsigned shard)
{
    must(shard < TRIE_SHARDS_MAX);
    struct named named = handle_get(trie, handle);
    must(named.share);
    struct share_cell *cell = cell_of(named.share, shard);
    must(cell);
    return cell;
}

void
trie_share_weight(struct trie *trie, struct trie_handle handle, unsigned shard, uint32_t connected,
                  uint32_t members)
{
    must(connected <= members);
    struct share_cell *cell = share_cell(trie, handle, shard);
    atomic_store_explicit(&cell->weight, (uint64_t)connected << 32 | members, memory_order_relaxed);
}

void
trie_share_nodes(struct trie *trie, struct trie_handle handle, unsigned shard, uint32_t connected,
                 uint32_t members)
{
    must(connected <= members);
    struct share_cell *cell = share_cell(trie, handle, shard);
    atomic_store_explicit(&cell->nodes, (uint64_t)connected << 32 | members, memory_order_relaxed);
}

bool
trie_share_connected(struct trie *trie, struct trie_handle handle)
{
    uint64_t connected = 0;
    lock(trie); // the handle may be dead: its slot may be changing
    struct named named = handle_get(trie, handle);
    const struct share_cell *cell =
        named.share ? atomic_load_explicit(&named.share->cells, memory_order_relaxed) : NULL;
    for (; cell; cell = atomic_load_explicit(&cell->next, memory_order_relaxed))
        connected += atomic_load_explicit(&cell->weight, memory_order_relaxed) >> 32;
    unlock(trie);
    return connected > 0;
}

// ---- Looking at it --------------------------------------------------------------------------

struct slice
trie_filter(const struct trie *trie, struct trie_handle handle, struct slice *ret_group)
{
    struct named named = handle_get(trie, handle);
    must(named.filter);
    *ret_group =
        named.share ? slice_of(named.share->name, named.share->name_len) : (struct slice){0};
    return filter_text(named.filter);
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
    lock(trie);
    for (uint32_t i = 0; i < trie->page_count * SLOT_PAGE; i++) {
        struct named named = slot_get(trie, i);
        if (!named.filter)
            continue;
        struct slice group = {0};
        uint64_t shards = atomic_load_explicit(&named.filter->shards, memory_order_relaxed);
        if (named.share) {
            group = slice_of(named.share->name, named.share->name_len);
            shards = share_shards(named.share);
        }
        if (shards) // else the filter is there for its share groups alone
            fn(arg, filter_text(named.filter), group, shards);
    }
    unlock(trie);
}

struct trie *
trie_new(const struct hash_key *key)
{
    struct trie *trie = mem_zalloc(sizeof *trie);
    trie->key = *key;
    must(pthread_mutex_init(&trie->mutex, NULL) == 0);
    nodes_init(trie);
    return trie;
}

// Of what a slot names: the share group if there is one, else the filter, else nothing.
static void
record_free(struct named named)
{
    if (!named.share) {
        if (named.filter)
            mem_free(atomic_load(&named.filter->extra));
        mem_free(named.filter);
        return;
    }
    struct share_cell *cell = atomic_load(&named.share->cells);
    while (cell) {
        struct share_cell *next = atomic_load(&cell->next);
        mem_free(cell);
        cell = next;
    }
    mem_free(named.share);
}

void
trie_free(struct trie *trie)
{
    if (!trie)
        return;
    for (uint32_t i = 0; i < trie->page_count * SLOT_PAGE; i++)
        record_free(slot_get(trie, i));
    for (uint32_t i = 0; i < SLOT_PAGES; i++)
        mem_free(trie->pages[i]);
    nodes_free(trie);
    trie_remote_free(trie);
    mem_free(atomic_load(&trie->exact));
    must(pthread_mutex_destroy(&trie->mutex) == 0);
    mem_free(trie);
}
