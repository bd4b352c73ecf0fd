// match_cache.c - which filters match a topic: the trie's reader, and its cache.
#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie_nodes.h"

#define COUNTERS 4u // versions that a result depends on
// When most look-ups miss, the cache only costs: it rests for a while.
#define TRIAL_LOOKUPS 4096u
#define REST_LOOKUPS  32768u
#define WAYS          2u
// A result that is copied into the cache; larger ones are matched anew each time.
#define CACHED_ENTRIES_MAX 1024u

struct cached {
    uint64_t hash;
    uint64_t versions[COUNTERS];
    uint32_t counters[COUNTERS]; // which versions: a property of the topic
    uint32_t topic_len;
    struct match *match;
    uint8_t topic[];
};

struct step {
    const struct node *node;
    uint32_t level;
};

struct match_cache {
    struct trie *trie;
    struct cached **slots;
    uint32_t slot_mask;
    uint32_t trial, trial_misses, rest;
    struct match_cache_stats stats;
    struct match *scratch;
    uint32_t scratch_cap;
    struct slice levels[TOPIC_LEVELS_MAX];
    uint64_t hashes[TOPIC_LEVELS_MAX];
    // Each level leaves at most two branches to visit, of which one is taken at once.
    struct step stack[2 * TOPIC_LEVELS_MAX + 2];
};

struct match_cache *
match_cache_new(struct trie *trie, uint32_t topics_max)
{
    struct match_cache *cache = mem_zalloc(sizeof *cache);
    uint32_t slots = 16;
    while (slots < topics_max)
        slots *= 2;
    cache->trie = trie;
    cache->slots = mem_zalloc(slots * sizeof *cache->slots);
    cache->slot_mask = slots - 1;
    cache->scratch_cap = 16;
    cache->scratch =
        mem_zalloc(sizeof(struct match) + cache->scratch_cap * sizeof(struct match_entry));
    return cache;
}

static void
cached_free(struct cached *cached)
{
    if (!cached)
        return;
    mem_free(cached->match);
    mem_free(cached);
}

void
match_cache_free(struct match_cache *cache)
{
    if (!cache)
        return;
    for (uint32_t i = 0; i <= cache->slot_mask; i++)
        cached_free(cache->slots[i]);
    mem_free(cache->slots);
    mem_free(cache->scratch);
    mem_free(cache);
}

void
match_cache_stats(const struct match_cache *cache, struct match_cache_stats *ret)
{
    *ret = cache->stats;
}

// ---- Matching
// -----------------------------------------------------------------------------------------

static struct match_entry *
entry_add(struct match_cache *cache)
{
    struct match *match = cache->scratch;
    if (match->count == cache->scratch_cap) {
        cache->scratch_cap *= 2;
        match = cache->scratch =
            mem_realloc(match, sizeof *match + cache->scratch_cap * sizeof(struct match_entry));
    }
    return &match->entries[match->count++];
}

static void
emit(struct match_cache *cache, const struct filter *filter)
{
    uint64_t shards = atomic_load_explicit(&filter->shards, memory_order_acquire);
    if (shards) {
        *entry_add(cache) = (struct match_entry){.handle = filter->handle, .shards = shards};
        cache->scratch->shards |= shards;
    }
    const struct trie_share *share = atomic_load_explicit(&filter->shares, memory_order_acquire);
    for (; unlikely(share != NULL);
         share = atomic_load_explicit(&share->next, memory_order_acquire)) {
        *entry_add(cache) = (struct match_entry){.handle = share->handle, .share = share};
        cache->scratch->shares++;
    }
}

static void
emit_if(struct match_cache *cache, const struct filter *filter)
{
    if (filter)
        emit(cache, filter);
}

// Share entries last, so that those who route need not look at each.
static void
order(struct match *match)
{
    uint32_t plain = 0;
    for (uint32_t i = 0; match->shares > 0 && i < match->count; i++) {
        if (match->entries[i].share)
            continue;
        struct match_entry entry = match->entries[i];
        match->entries[i] = match->entries[plain];
        match->entries[plain++] = entry;
    }
}

static uint32_t
split(struct match_cache *cache, struct slice topic)
{
    uint32_t n = 0;
    struct slice rest = topic, level;
    while (n < TOPIC_LEVELS_MAX && topic_next_level(&rest, &level)) {
        cache->levels[n] = level;
        cache->hashes[n++] = trie_hash(cache->trie, level);
    }
    return n;
}

// Depth first with a stack of its own: the topic's depth is the client's choice, the C stack is
// not.
static void
walk(struct match_cache *cache, uint32_t levels, bool dollar)
{
    uint32_t top = 0;
    const struct node *root = cache->trie->root;
    cache->stack[top++] = (struct step){root, 0};
    while (top > 0) {
        struct step step = cache->stack[--top];
        const struct node *node = step.node;
        // Filters that begin with a wildcard do not match topics that begin with $ [MQTT-4.7.2-1].
        bool wild = !(dollar && node == root);
        if (wild)
            emit_if(cache, atomic_load_explicit(&node->multi, memory_order_acquire));
        if (step.level == levels) {
            emit_if(cache, atomic_load_explicit(&node->here, memory_order_acquire));
            continue;
        }
        const struct node *plus = atomic_load_explicit(&node->plus, memory_order_acquire);
        if (plus && wild)
            cache->stack[top++] = (struct step){plus, step.level + 1};
        const struct node *child =
            node_child(node, cache->levels[step.level], cache->hashes[step.level]);
        if (child) {
            __builtin_prefetch(child);
            cache->stack[top++] = (struct step){child, step.level + 1};
        }
        must_hot(top <= ARRAY_LEN(cache->stack));
    }
}

static const struct match *
match_now(struct match_cache *cache, struct slice topic, uint64_t hash, uint32_t levels)
{
    struct match *match = cache->scratch;
    match->shards = 0;
    match->count = match->shares = 0;
    emit_if(cache, trie_exact(cache->trie, topic, hash));
    walk(cache, levels, topic.len > 0 && topic.data[0] == '$');
    order(cache->scratch);
    return cache->scratch;
}

const struct match *
match_uncached(struct match_cache *cache, struct slice topic)
{
    return match_now(cache, topic, trie_hash(cache->trie, topic), split(cache, topic));
}

// ---- The cache
// ------------------------------------------------------------------------------------------

static bool
is_fresh(const struct match_cache *cache, const struct cached *cached)
{
    uint64_t changed = 0;
    for (uint32_t i = 0; i < COUNTERS; i++)
        changed |=
            cached->versions[i] ^
            atomic_load_explicit(&cache->trie->versions[cached->counters[i]], memory_order_acquire);
    return changed == 0;
}

static bool
is_topic(const struct cached *cached, struct slice topic, uint64_t hash)
{
    return cached && cached->hash == hash &&
           slice_equal(slice_of(cached->topic, cached->topic_len), topic);
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

static struct cached *
cached_new(const struct match_cache *cache, struct slice topic, uint64_t hash, uint32_t levels)
{
    struct cached *cached = mem_zalloc(sizeof *cached + topic.len);
    cached->hash = hash;
    cached->topic_len = topic.len;
    memcpy(cached->topic, topic.data, topic.len);
    cached->counters[0] = VERSION_GLOBAL;
    cached->counters[1] = version_exact(hash);
    cached->counters[2] = version_one(cache->hashes[0]);
    cached->counters[3] =
        levels > 1 ? version_two(cache->hashes[0], cache->hashes[1]) : VERSION_GLOBAL;
    return cached;
}

// Versions first, then the match: what changes in between leaves the result stale, never wrong for
// long.
static const struct match *
refill(struct match_cache *cache, struct cached **slot, struct slice topic, uint64_t hash)
{
    uint32_t levels = split(cache, topic);
    struct cached *cached = *slot;
    if (!is_topic(cached, topic, hash)) {
        cached_free(cached);
        cached = *slot = cached_new(cache, topic, hash, levels);
    }
    for (uint32_t i = 0; i < COUNTERS; i++)
        cached->versions[i] =
            atomic_load_explicit(&cache->trie->versions[cached->counters[i]], memory_order_acquire);
    const struct match *match = match_now(cache, topic, hash, levels);
    if (match->count > CACHED_ENTRIES_MAX) {
        cached_free(cached);
        *slot = NULL;
        return match;
    }
    size_t bytes = sizeof *match + match->count * sizeof(struct match_entry);
    cached->match = mem_realloc(cached->match, bytes);
    memcpy(cached->match, match, bytes);
    return cached->match;
}

const struct match *
match_cache_get(struct match_cache *cache, struct slice topic)
{
    uint64_t hash = trie_hash(cache->trie, topic);
    if (unlikely(cache->rest > 0)) {
        cache->rest--;
        cache->stats.bypassed++;
        return match_now(cache, topic, hash, split(cache, topic));
    }
    struct cached **set = &cache->slots[hash & cache->slot_mask & ~(uint64_t)(WAYS - 1)];
    for (uint32_t way = 0; way < WAYS; way++) {
        if (!is_topic(set[way], topic, hash))
            continue;
        bool fresh = is_fresh(cache, set[way]);
        note_lookup(cache, fresh);
        if (likely(fresh)) {
            cache->stats.hits++;
            return set[way]->match;
        }
        cache->stats.stale++;
        return refill(cache, &set[way], topic, hash);
    }
    cache->stats.misses++;
    note_lookup(cache, false);
    // The newcomer takes the free way, or the second; what is asked for often comes back to the
    // first.
    uint32_t way = !set[0] ? 0 : 1;
    if (set[1]) {
        struct cached *first = set[0];
        set[0] = set[1];
        set[1] = first;
    }
    return refill(cache, &set[way], topic, hash);
}

// ---- Share groups
// -----------------------------------------------------------------------------------------

int
trie_share_pick(const struct trie_share *share, uint32_t *rotor)
{
    uint64_t connected = 0, members = 0;
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        uint64_t weight = atomic_load_explicit(&share->weights[i], memory_order_acquire);
        connected += weight >> 32;
        members += (uint32_t)weight;
    }
    bool online = connected > 0;
    uint64_t total = online ? connected : members;
    if (total == 0)
        return -1;
    uint64_t turn = (*rotor)++ % total;
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        uint64_t weight = atomic_load_explicit(&share->weights[i], memory_order_acquire);
        uint64_t n = online ? weight >> 32 : (uint32_t)weight;
        if (turn < n)
            return (int)i;
        turn -= n;
    }
    return -1; // the weights changed in between; whoever asks tries again or counts a loss
}
