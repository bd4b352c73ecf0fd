// match_cache.c - which filters match a topic: the trie's reader, and its cache.
//
// A cached result is good while the four version counters of its topic stand where they stood just
// before it was made: every filter that can match the topic moves one of the four when it changes
// (trie_nodes.h), and a result that lacks a change carries the value from before it (bump, trie.c).
// A result with a change that is under way may carry the old value too: then it is made again once
// more than needed. What becomes of the pointers in a kept result: see the head of trie.c.
#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie_nodes.h"
#include "core/trie_remote_match.h"

#define COUNTERS 4u
// When three of four look-ups miss, the cache only costs: it rests for a while.
#define TRIAL_LOOKUPS 4096u
#define REST_LOOKUPS  32768u
#define WAYS          2u
#define SLOTS_MIN     16u
// Topic and result together. What is larger is matched anew each time: at more than a hundred
// filters a publication, delivering costs far more than matching.
#define CACHED_BYTES_MAX 4096u
// The cache's budget for each topic that it may hold; a result of three filters takes about 200.
#define TOPIC_BYTES_MEAN 256u
#define FOUND_FIRST      64u

// Which counters a topic depends on, and where they stood; version: the one of all, before them.
struct stamp {
    uint64_t version;
    uint64_t versions[COUNTERS];
    uint32_t counters[COUNTERS];
};

struct cached {
    uint64_t key; // of the topic
    struct stamp stamp;
    uint32_t bytes;     // of all this
    struct match match; // its entries; behind them the topic
};

struct step {
    const void *child; // of the node before
    uint32_t level;    // the topic's next one
    uint32_t offset;   // where it is in the texts of the filters from here on
};

struct match_cache {
    struct trie *trie;
    struct cached **slots;
    struct cached *last;      // the one that was asked for last, if it is there still
    uint32_t slot_mask, hand; // hand: the next slot to give up when there are too many bytes
    size_t bytes, bytes_max;
    uint32_t trial, trial_misses, rest;
    struct match_cache_stats stats;
    // Scratch of one match. The records are only collected on the way, and read at the end, when
    // they have had time to come from memory.
    const struct filter **found;
    uint32_t found_count, found_cap;
    struct match *match;
    uint32_t match_cap;
    uint32_t level_count;
    struct slice levels[TOPIC_LEVELS_MAX];
    uint64_t keys[TOPIC_LEVELS_MAX];
    // What is visited later, below an end: at each level at most one child.
    struct step stack[1 + TOPIC_LEVELS_MAX];
};

struct match_cache *
match_cache_new(struct trie *trie, uint32_t topics_max)
{
    must(trie && topics_max <= UINT32_MAX / 2);
    struct match_cache *cache = mem_zalloc(sizeof *cache);
    uint32_t slots = SLOTS_MIN;
    while (slots < topics_max)
        slots *= 2;
    cache->trie = trie;
    cache->slots = mem_zalloc(slots * sizeof *cache->slots);
    cache->slot_mask = slots - 1;
    cache->bytes_max = (size_t)slots * TOPIC_BYTES_MEAN;
    cache->found = mem_grow(NULL, &cache->found_cap, FOUND_FIRST, sizeof(struct filter *));
    cache->match_cap = FOUND_FIRST;
    cache->match = mem_zalloc(sizeof *cache->match + FOUND_FIRST * sizeof(struct match_entry));
    return cache;
}

void
match_cache_free(struct match_cache *cache)
{
    if (!cache)
        return;
    for (uint32_t i = 0; i <= cache->slot_mask; i++)
        mem_free(cache->slots[i]);
    mem_free(cache->slots);
    mem_free(cache->found);
    mem_free(cache->match);
    mem_free(cache);
}

void
match_cache_stats(const struct match_cache *cache, struct match_cache_stats *ret)
{
    *ret = cache->stats;
    ret->bytes = cache->bytes;
}

// ---- Matching -------------------------------------------------------------------------------

static void
found_add(struct match_cache *cache, const struct filter *filter)
{
    if (!filter)
        return;
    if (unlikely(cache->found_count == cache->found_cap))
        cache->found = mem_grow(cache->found, &cache->found_cap, cache->found_count + 1,
                                sizeof(struct filter *));
    __builtin_prefetch(filter);
    cache->found[cache->found_count++] = filter;
}

static void
split(struct match_cache *cache, struct slice topic)
{
    struct slice level;
    uint32_t n = 0;
    while (topic_next_level(&topic, &level)) {
        must_hot(n < TOPIC_LEVELS_MAX); // a valid name has no more
        cache->levels[n] = level;
        cache->keys[n++] = trie_key(cache->trie, level);
    }
    must_hot(n > 0);
    cache->level_count = n;
}

// Do the filter's levels from offset on match the topic's from that level on?
static bool
tail_matches(const struct match_cache *cache, const struct filter *filter, uint32_t level,
             uint32_t offset)
{
    uint32_t len = key_len(filter->key);
    for (; level < cache->level_count; level++) {
        if (offset > len) // it has no more levels
            return false;
        uint8_t c = offset < len ? filter->text[offset] : 0;
        if (c == '#')
            return true;
        if (c == '+') {
            offset += 2;
            continue;
        }
        if (!filter_has_level(filter, offset, cache->levels[level]))
            return false;
        offset += cache->levels[level].len + 1;
    }
    return offset > len || (offset + 1 == len && filter->text[offset] == '#');
}

// Depth first with a stack of its own: how deep is the client's choice, and the C stack is not.
static void
walk(struct match_cache *cache, bool dollar)
{
    uint32_t top = 0;
    const struct node *root = cache->trie->root;
    struct step step = {root, 0, 0};
    cache->stack[top++] = (struct step){0}; // the end
    while (step.child) {
        const struct filter *leaf = child_filter(step.child);
        if (leaf) {
            if (tail_matches(cache, leaf, step.level, step.offset))
                found_add(cache, leaf);
            step = cache->stack[--top];
            continue;
        }
        const struct node *node = step.child;
        // Filters that begin with a wildcard do not match topics that begin with $ [MQTT-4.7.2-1].
        bool wild = !(dollar && node == root);
        if (wild)
            found_add(cache, atomic_load_explicit(&node->multi, memory_order_acquire));
        if (step.level == cache->level_count) {
            found_add(cache, atomic_load_explicit(&node->here, memory_order_acquire));
            step = cache->stack[--top];
            continue;
        }
        struct slice level = cache->levels[step.level];
        struct step literal = {
            .child = node_child(node, step.offset, level, cache->keys[step.level]),
            .level = step.level + 1,
            .offset = step.offset + level.len + 1,
        };
        const void *plus = atomic_load_explicit(&node->plus, memory_order_acquire);
        if (!plus || !wild) {
            step = literal.child ? literal : cache->stack[--top];
            continue;
        }
        if (literal.child) { // later: so it has time to come from memory
            __builtin_prefetch(literal.child);
            must_hot(top < ARRAY_LEN(cache->stack));
            cache->stack[top++] = literal;
        }
        step = (struct step){plus, step.level + 1, step.offset + 2};
    }
    must_hot(top == 0);
}

// Other nodes that want the topic: what leads to each.
static NOINLINE void
find_nodes(struct match_cache *cache, const struct remotes *remotes, bool dollar)
{
    uint64_t nodes =
        trie_remote_nodes(cache->trie, remotes, cache->keys, cache->level_count, dollar);
    for (; nodes; nodes &= nodes - 1)
        found_add(cache, trie_remote_filter(remotes, (unsigned)__builtin_ctzll(nodes)));
}

static struct match_entry *
entry_add(struct match_cache *cache)
{
    struct match *match = cache->match;
    if (unlikely(match->count == cache->match_cap)) {
        cache->match_cap *= 2;
        match = cache->match =
            mem_realloc(match, sizeof *match + cache->match_cap * sizeof(struct match_entry));
    }
    return &match->entries[match->count++];
}

static void
add_shares(struct match_cache *cache, const struct filter *filter)
{
    const struct trie_share *share = filter_shares(filter);
    while (share) {
        *entry_add(cache) = (struct match_entry){.handle = share->handle, .share = share};
        cache->match->shares++;
        share = atomic_load_explicit(&share->next, memory_order_acquire);
    }
}

// From records to entries: first the ordinary ones, then the share groups.
static void
collect(struct match_cache *cache)
{
    cache->match->shards = cache->match->durable = 0;
    cache->match->count = cache->match->shares = 0;
    bool shared = false;
    for (uint32_t i = 0; i < cache->found_count; i++) {
        const struct filter *filter = cache->found[i];
        uint64_t shards = atomic_load_explicit(&filter->shards, memory_order_acquire);
        const struct filter_extra *extra =
            atomic_load_explicit(&filter->extra, memory_order_acquire);
        if (unlikely(extra)) {
            shared |= atomic_load_explicit(&extra->shares, memory_order_acquire) != NULL;
            cache->match->durable |= atomic_load_explicit(&extra->durable, memory_order_acquire);
        }
        if (!shards) // it is for share groups alone, or about to go
            continue;
        *entry_add(cache) = (struct match_entry){.handle = filter->handle, .shards = shards};
        cache->match->shards |= shards;
    }
    for (uint32_t i = 0; unlikely(shared) && i < cache->found_count; i++)
        add_shares(cache, cache->found[i]);
    must_hot(cache->match->shares <= cache->match->count);
}

// The topic is split already.
static const struct match *
match_now(struct match_cache *cache, struct slice topic, uint64_t key)
{
    cache->found_count = 0;
    // The slot of the flat table is looked at before the walk, what it leads to after it.
    const struct ptrtab *exact = atomic_load_explicit(&cache->trie->exact, memory_order_acquire);
    uint64_t pos = key;
    const struct filter *filter = ptrtab_probe(exact, key, &pos);
    if (filter)
        __builtin_prefetch(filter);
    walk(cache, topic.data[0] == '$');
    while (filter && !text_is(filter->text, filter->key, topic, key))
        filter = ptrtab_probe(exact, key, &pos);
    found_add(cache, filter);
    const struct remotes *remotes =
        atomic_load_explicit(&cache->trie->remotes, memory_order_acquire);
    if (unlikely(remotes != NULL))
        find_nodes(cache, remotes, topic.data[0] == '$');
    collect(cache);
    return cache->match;
}

static uint64_t
topic_key(const struct match_cache *cache, struct slice topic)
{
    must_hot(topic.len > 0 && topic.len <= TOPIC_BYTES_MAX);
    return trie_key(cache->trie, topic);
}

static const struct match *
match_split(struct match_cache *cache, struct slice topic, uint64_t key)
{
    const struct ptrtab *exact = atomic_load_explicit(&cache->trie->exact, memory_order_acquire);
    if (exact) // its slot is nearly never in a CPU cache: fetched while the topic is taken apart
        __builtin_prefetch(&exact->slots[key & (exact->cap - 1)]);
    split(cache, topic);
    return match_now(cache, topic, key);
}

const struct match *
match_uncached(struct match_cache *cache, struct slice topic)
{
    return match_split(cache, topic, topic_key(cache, topic));
}

// ---- The cache ------------------------------------------------------------------------------

static struct slice
cached_topic(const struct cached *cached)
{
    return slice_of(&cached->match.entries[cached->match.count], key_len(cached->key));
}

static bool
is_topic(const struct cached *cached, struct slice topic, uint64_t key)
{
    return cached && cached->key == key && slice_equal(cached_topic(cached), topic);
}

static bool
is_fresh(const struct match_cache *cache, struct stamp *stamp)
{
    uint64_t version = atomic_load_explicit(&cache->trie->version, memory_order_acquire);
    if (likely(version == stamp->version))
        return true;
    uint64_t changed = 0;
    for (uint32_t i = 0; i < COUNTERS; i++)
        changed |=
            stamp->versions[i] ^
            atomic_load_explicit(&cache->trie->versions[stamp->counters[i]], memory_order_acquire);
    if (changed)
        return false;
    // All that version counts moved one of the four before, or none of them.
    stamp->version = version;
    return true;
}

static struct stamp
stamp_take(const struct match_cache *cache, uint64_t key)
{
    const uint64_t *keys = cache->keys;
    struct stamp stamp = {
        .version = atomic_load_explicit(&cache->trie->version, memory_order_acquire),
        .counters = {
            VERSION_GLOBAL,
            version_exact(key),
            version_one(keys[0]),
            cache->level_count > 1 ? version_two(keys[0], keys[1]) : VERSION_GLOBAL,
        }};
    for (uint32_t i = 0; i < COUNTERS; i++)
        stamp.versions[i] =
            atomic_load_explicit(&cache->trie->versions[stamp.counters[i]], memory_order_acquire);
    return stamp;
}

static void
drop(struct match_cache *cache, struct cached **slot)
{
    if (!*slot)
        return;
    must_hot(cache->bytes >= (*slot)->bytes);
    cache->bytes -= (*slot)->bytes;
    if (cache->last == *slot)
        cache->last = NULL;
    mem_free(*slot);
    *slot = NULL;
}

// Room for a result of that size in an empty slot; others go when the budget is used.
static struct cached *
place(struct match_cache *cache, struct cached **slot, uint32_t bytes)
{
    must_hot(!*slot && bytes <= cache->bytes_max);
    while (cache->bytes + bytes > cache->bytes_max)
        drop(cache, &cache->slots[cache->hand++ & cache->slot_mask]);
    *slot = mem_alloc(bytes);
    (*slot)->bytes = bytes;
    cache->bytes += bytes;
    return *slot;
}

// Versions first, then the match: what changes in between leaves a stale result, not a wrong one.
static const struct match *
refill(struct match_cache *cache, struct cached **slot, struct slice topic, uint64_t key)
{
    split(cache, topic);
    struct stamp stamp = stamp_take(cache, key);
    const struct match *match = match_now(cache, topic, key);
    size_t entries = match->count * sizeof(struct match_entry);
    size_t bytes = sizeof(struct cached) + entries + topic.len;
    if (*slot && (*slot)->bytes != bytes)
        drop(cache, slot);
    if (bytes > CACHED_BYTES_MAX)
        return match;
    struct cached *cached = *slot ? *slot : place(cache, slot, (uint32_t)bytes);
    cached->key = key;
    cached->stamp = stamp;
    memcpy(&cached->match, match, sizeof *match + entries);
    memcpy(&cached->match.entries[match->count], topic.data, topic.len);
    return &cached->match;
}

static void
note_lookup(struct match_cache *cache, bool hit)
{
    cache->trial_misses += !hit;
    if (++cache->trial < TRIAL_LOOKUPS)
        return;
    if (cache->trial_misses > TRIAL_LOOKUPS * 3 / 4)
        cache->rest = REST_LOOKUPS;
    cache->trial = cache->trial_misses = 0;
}

const struct match *
match_cache_get(struct match_cache *cache, struct slice topic)
{
    // A publisher mostly stays with its topic, and brings several messages at once.
    struct cached *last = cache->last;
    if (last && slice_equal(cached_topic(last), topic) && is_fresh(cache, &last->stamp)) {
        cache->stats.hits++;
        return &last->match;
    }
    uint64_t key = topic_key(cache, topic);
    if (unlikely(cache->rest > 0)) {
        cache->rest--;
        cache->stats.bypassed++;
        return match_split(cache, topic, key);
    }
    struct cached **set = &cache->slots[key & cache->slot_mask & ~(uint64_t)(WAYS - 1)];
    uint32_t way = 0;
    while (way < WAYS && !is_topic(set[way], topic, key))
        way++;
    bool known = way < WAYS, fresh = known && is_fresh(cache, &set[way]->stamp);
    note_lookup(cache, fresh);
    if (likely(fresh)) {
        cache->stats.hits++;
        cache->last = set[way];
        return &set[way]->match;
    }
    if (known) {
        cache->stats.stale++;
        return refill(cache, &set[way], topic, key);
    }
    cache->stats.misses++;
    // The newcomer takes the first way, who was there the second; who was there longer goes.
    drop(cache, &set[1]);
    set[1] = set[0];
    set[0] = NULL;
    return refill(cache, &set[0], topic, key);
}

// ---- Share groups ---------------------------------------------------------------------------

// What of a cell counts. Both words change one after the other: of the nodes' there may be more.
static inline uint64_t
weight_of(const struct share_cell *cell, bool own)
{
    uint64_t all = atomic_load_explicit(&cell->weight, memory_order_relaxed);
    if (likely(!own))
        return all;
    uint64_t nodes = atomic_load_explicit(&cell->nodes, memory_order_relaxed);
    uint64_t connected = (all >> 32) - min_u64(all >> 32, nodes >> 32);
    uint64_t members = (uint32_t)all - min_u32((uint32_t)all, (uint32_t)nodes);
    return connected << 32 | max_u64(members, connected);
}

static inline int
pick(const struct trie_share *share, uint64_t without, bool own, uint32_t *rotor, bool *ret_durable)
{
    // Weights may change meanwhile; what was read once is what counts.
    uint64_t weights[TRIE_SHARDS_MAX], connected = 0, members = 0;
    const struct share_cell *cells[TRIE_SHARDS_MAX];
    uint32_t n = 0;
    const struct share_cell *cell = atomic_load_explicit(&share->cells, memory_order_acquire);
    for (; cell; cell = atomic_load_explicit(&cell->next, memory_order_acquire)) {
        must_hot(n < TRIE_SHARDS_MAX);
        if (without >> cell->shard & 1)
            continue;
        weights[n] = weight_of(cell, own);
        cells[n] = cell;
        connected += weights[n] >> 32;
        members += (uint32_t)weights[n++];
    }
    bool online = connected > 0;
    uint64_t total = online ? connected : members;
    if (total == 0)
        return -1;
    uint64_t turn = (*rotor)++ % total;
    uint32_t i = 0;
    for (;; i++) {
        must_hot(i < n); // the turn is below the sum
        uint64_t weight = online ? weights[i] >> 32 : (uint32_t)weights[i];
        if (turn < weight)
            break;
        turn -= weight;
    }
    if (ret_durable)
        *ret_durable = atomic_load_explicit(&cells[i]->durable, memory_order_acquire) != 0;
    return (int)cells[i]->shard;
}

int
trie_share_pick(const struct trie_share *share, uint64_t without, uint32_t *rotor,
                bool *ret_durable)
{
    return pick(share, without, false, rotor, ret_durable);
}

int
trie_share_pick_among(const struct trie_share *share, bool own, uint64_t without, uint32_t *rotor,
                      bool *ret_durable)
{
    return unlikely(own) ? pick(share, without, true, rotor, ret_durable)
                         : pick(share, without, false, rotor, ret_durable);
}

bool
match_group(const struct match *match, struct slice filter, struct slice group,
            struct match_entry *ret)
{
    for (uint32_t i = match->count - match->shares; i < match->count; i++) {
        // Of any shard's groups: not by its handle, which may be another's by now.
        const struct trie_share *share = match->entries[i].share;
        *ret = match->entries[i];
        if (slice_equal(slice_of(share->name, share->name_len), group) &&
            slice_equal(filter_text(share->filter), filter))
            return true;
    }
    return false;
}

const struct trie_share *
match_share(const struct match *match, struct trie_handle share)
{
    for (uint32_t i = match->count - match->shares; i < match->count; i++) {
        const struct match_entry *entry = &match->entries[i];
        if (entry->handle.slot == share.slot && entry->handle.generation == share.generation)
            return entry->share;
    }
    return NULL;
}
