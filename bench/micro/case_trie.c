// case_trie.c - what it costs to find the filters that match a topic, and to add one.
#include "core/base/mem.h"

#include "bench/micro/cases.h"
#include "bench/micro/filters.h"
#include "core/trie_remote.h"

#define TOPICS       1000u  // looked up by turns
#define CACHE_TOPICS 65536u // as a shard has

enum mix { MIX_EXACT, MIX_PLUS, MIX_HASH, MIX_ALL };
enum look { UNCACHED, CACHED, ADD_REMOVE };

struct trie_param {
    enum mix mix;
    enum look look;
    uint32_t filters;
    bool remote; // they are another node's
};

struct bench {
    const struct trie_param *param;
    struct rcu *rcu;
    struct rcu_reader *self;
    struct trie *trie;
    struct match_cache *cache;
    char (*texts)[FILTER_TEXT_MAX];
    struct slice *topics;
};

static struct slice
make_filter(char text[FILTER_TEXT_MAX], enum mix mix, uint32_t number)
{
    static const unsigned plus[] = {1, 2, 4}; // at the device's own level they would be the same
    switch (mix) {
    case MIX_EXACT:
        return filter_text(text, number / FILTERS_PER_DEVICE, number % FILTERS_PER_DEVICE,
                           FILTER_EXACT);
    case MIX_PLUS:
        return filter_text(text, number, 0, plus[number % ARRAY_LEN(plus)]);
    case MIX_HASH:
        return filter_text(text, number, 0, 5);
    default:
        must(mix == MIX_ALL);
        return filter_mixed(text, number);
    }
}

// Spread over all devices.
static struct slice
make_topic(char text[FILTER_TEXT_MAX], const struct trie_param *param, uint32_t n)
{
    bool one = param->mix == MIX_PLUS || param->mix == MIX_HASH;
    uint32_t devices = param->filters / (one ? 1 : FILTERS_PER_DEVICE);
    return filter_text(text, (uint32_t)((uint64_t)n * 2654435761u % devices),
                       one ? 0 : n % FILTERS_PER_DEVICE, FILTER_EXACT);
}

static void
add_filters(struct bench *bench)
{
    char text[FILTER_TEXT_MAX];
    struct trie_handle handle;
    for (uint32_t i = 0; i < bench->param->filters; i++) {
        struct slice filter = make_filter(text, bench->param->mix, i);
        must(trie_add(bench->trie, bench->self, filter, (struct slice){0}, 0, &handle) == OK);
        if (i % 64 == 0)
            rcu_quiescent(bench->self);
    }
    struct trie_stats stats;
    trie_stats(bench->trie, &stats);
    must(stats.filters == bench->param->filters);
}

static void
add_remote(struct bench *bench)
{
    char text[FILTER_TEXT_MAX];
    struct trie_handle handle;
    struct remote_filter filter;
    must(trie_add(bench->trie, bench->self, slice_str("$node"), (struct slice){0}, 0, &handle) ==
         OK);
    must(trie_remote_open(bench->trie, handle, &filter.remote) == OK);
    for (uint32_t i = 0; i < bench->param->filters; i++) {
        filter.text = make_filter(text, bench->param->mix, i);
        filter.check = i;
        must(trie_remote_add(bench->trie, bench->self, &filter, i) == OK);
        if (i % 64 == 0)
            rcu_quiescent(bench->self);
    }
    must(trie_remote_count(bench->trie, filter.remote) == bench->param->filters);
}

static void
bench_open(struct bench *bench)
{
    bench->rcu = rcu_new();
    bench->self = rcu_register(bench->rcu);
    bench->trie = trie_new(&(struct hash_key){1, 2});
    bench->cache = match_cache_new(bench->trie, CACHE_TOPICS);
    bench->texts = mem_alloc(TOPICS * sizeof *bench->texts);
    bench->topics = mem_alloc(TOPICS * sizeof *bench->topics);
    if (bench->param->remote)
        add_remote(bench);
    else
        add_filters(bench);
    for (uint32_t i = 0; i < TOPICS; i++)
        bench->topics[i] = make_topic(bench->texts[i], bench->param, i);
}

static void
bench_close(struct bench *bench)
{
    match_cache_free(bench->cache);
    rcu_unregister(bench->self);
    trie_free(bench->trie);
    rcu_free(bench->rcu);
    mem_free(bench->texts);
    mem_free(bench->topics);
}

static void
match_all(struct meter *meter, struct bench *bench)
{
    uint32_t found = 0;
    meter_begin(meter);
    for (uint32_t i = 0; i < TOPICS; i++) {
        const struct match *match = bench->param->look == CACHED
                                        ? match_cache_get(bench->cache, bench->topics[i])
                                        : match_uncached(bench->cache, bench->topics[i]);
        found += match->count;
    }
    meter_end(meter);
    must(found > 0);
    rcu_quiescent(bench->self);
}

// A filter that nobody else has, added and removed, with the frees that this leaves.
static void
churn(struct meter *meter, struct bench *bench)
{
    for (uint32_t i = 0; i < TOPICS; i++) {
        char text[FILTER_TEXT_MAX];
        struct trie_handle handle;
        struct slice filter = make_filter(text, bench->param->mix, bench->param->filters + i);
        meter_begin(meter);
        must(trie_add(bench->trie, bench->self, filter, (struct slice){0}, 1, &handle) == OK);
        trie_remove(bench->trie, bench->self, handle, 1);
        rcu_quiescent(bench->self);
        meter_end(meter);
    }
}

static void
trie(struct meter *meter, const void *param)
{
    struct bench bench = {.param = param};
    void (*const round_of)(struct meter *, struct bench *) =
        bench.param->look == ADD_REMOVE ? churn : match_all;
    bench_open(&bench);
    round_of(meter, &bench);
    round_of(meter, &bench);
    meter_warm(meter);
    for (uint32_t i = 0; i < meter->rounds; i++)
        round_of(meter, &bench);
    meter->operations = (uint64_t)meter->rounds * TOPICS;
    bench_close(&bench);
}

#define TRIE(text, times, mix_, look_, filters_)                                               \
    {                                                                                          \
        .name = "trie_" text, .run = trie, .rounds = (times),                                  \
        .param =                                                                               \
            &(const struct trie_param){.mix = (mix_), .look = (look_), .filters = (filters_)}, \
    }

#define REMOTE(text, times, mix_, look_, filters_)                                  \
    {                                                                               \
        .name = "trie_" text, .run = trie, .rounds = (times),                       \
        .param = &(const struct trie_param){                                        \
            .mix = (mix_), .look = (look_), .filters = (filters_), .remote = true}, \
    }

static const struct micro_case items[] = {
    TRIE("match_exact_1k", 3, MIX_EXACT, UNCACHED, 1000),
    TRIE("match_plus_1k", 3, MIX_PLUS, UNCACHED, 1000),
    TRIE("match_hash_1k", 3, MIX_HASH, UNCACHED, 1000),
    TRIE("match_mixed_1k", 3, MIX_ALL, UNCACHED, 1000),
    TRIE("match_exact_100k", 3, MIX_EXACT, UNCACHED, 100000),
    TRIE("match_mixed_100k", 3, MIX_ALL, UNCACHED, 100000),
    TRIE("match_cached_1k", 20, MIX_ALL, CACHED, 1000),
    TRIE("match_cached_100k", 20, MIX_ALL, CACHED, 100000),
    REMOTE("match_remote_exact_100k", 3, MIX_EXACT, UNCACHED, 100000),
    REMOTE("match_remote_mixed_100k", 3, MIX_ALL, UNCACHED, 100000),
    REMOTE("match_remote_cached_100k", 20, MIX_ALL, CACHED, 100000),
    TRIE("add_and_remove_exact_1k", 2, MIX_EXACT, ADD_REMOVE, 1000),
    TRIE("add_and_remove_mixed_1k", 2, MIX_ALL, ADD_REMOVE, 1000),
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
