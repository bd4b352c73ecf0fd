// micro_trie.c - what matching, subscribing and remembering a filter cost.
//
//   micro_trie [subscriptions] [iterations]
//
// All filters are distinct (filters.h) and added in random order. Prints `name value unit` lines.
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "bench/micro/filters.h"
#include "core/trie.h"

#define FILTERS_DEFAULT    1000000u
#define ITERATIONS_DEFAULT 1000000u
#define COUNT_MAX          50000000u
#define HOT_TOPICS         10000u // what the cache holds in the "cached" lines
#define CACHE_TOPICS       65536u
#define BOMB_LEVELS        14u

struct bench {
    struct rcu *rcu;
    struct rcu_reader *self;
    struct trie *trie;
    struct match_cache *cache;
    uint32_t filters, iterations, devices;
    uint32_t *order; // random, so that neighbours in memory are strangers
    struct trie_handle *handles;
    uint64_t random;
};

static double
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static uint32_t
next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return (uint32_t)(*state >> 32);
}

static double
resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "re");
    unsigned long total = 0, resident = 0;
    if (!file || fscanf(file, "%lu %lu", &total, &resident) != 2)
        resident = 0;
    if (file)
        (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static struct slice
next_topic(char text[FILTER_TEXT_MAX], struct bench *bench, uint32_t variety)
{
    uint32_t n = next_random(&bench->random) % variety;
    // Spread over all devices, whatever the variety.
    uint32_t device = (uint32_t)((uint64_t)n * 2654435761u % bench->devices);
    return filter_text(text, device, n % FILTERS_PER_DEVICE, FILTER_EXACT);
}

// ---- The measurements -----------------------------------------------------------------------

static void
add_all(struct bench *bench)
{
    double total = 0, worst = 0, before = resident_bytes();
    char text[FILTER_TEXT_MAX];
    for (uint32_t i = 0; i < bench->filters; i++) {
        struct slice filter = filter_mixed(text, bench->order[i]);
        double begin = now_ns();
        err_t err = trie_add(bench->trie, bench->self, filter, (struct slice){0}, i % 2,
                             &bench->handles[i]);
        double took = now_ns() - begin;
        must(err == OK);
        total += took;
        worst = took > worst ? took : worst;
        if (i % 64 == 0)
            rcu_quiescent(bench->self);
    }
    rcu_quiescent(bench->self);
    struct trie_stats stats;
    trie_stats(bench->trie, &stats);
    must(stats.filters == bench->filters);
    printf("trie_add %.0f ns\n", total / bench->filters);
    printf("trie_add_worst %.2f ms\n", worst / 1e6);
    printf("trie_bytes_counted %.1f bytes/filter\n", (double)stats.bytes / (double)stats.filters);
    printf("trie_bytes_resident %.1f bytes/filter\n",
           (resident_bytes() - before) / (double)stats.filters);
    printf("trie_nodes %.2f nodes/filter\n", (double)stats.nodes / (double)stats.filters);
}

typedef const struct match *(*match_fn)(struct match_cache *cache, struct slice topic);

// Topics are made in batches beforehand, so that printing them is not measured.
static double
measure(struct bench *bench, match_fn match, uint32_t variety, double *ret_found)
{
    enum { BATCH = 4096 };
    char(*texts)[FILTER_TEXT_MAX] = mem_alloc(BATCH * sizeof *texts);
    struct slice *topics = mem_alloc(BATCH * sizeof *topics);
    double total = 0;
    uint64_t found = 0;
    uint32_t done = 0;
    while (done < bench->iterations) {
        for (uint32_t i = 0; i < BATCH; i++)
            topics[i] = next_topic(texts[i], bench, variety);
        double begin = now_ns();
        for (uint32_t i = 0; i < BATCH; i++)
            found += match(bench->cache, topics[i])->count;
        total += now_ns() - begin;
        done += BATCH;
        rcu_quiescent(bench->self);
    }
    mem_free(texts);
    mem_free(topics);
    *ret_found = (double)found / done;
    return total / done;
}

static void
match_all(struct bench *bench)
{
    double found;
    uint32_t all = bench->devices * FILTERS_PER_DEVICE;
    double ns = measure(bench, match_uncached, all, &found);
    printf("match_uncached %.0f ns\n", ns);
    printf("match_found %.2f filters\n", found);
    printf("match_uncached_hot_topics %.0f ns\n",
           measure(bench, match_uncached, HOT_TOPICS, &found));
    (void)measure(bench, match_cache_get, HOT_TOPICS, &found); // fills the cache
    printf("match_cached %.0f ns\n", measure(bench, match_cache_get, HOT_TOPICS, &found));
    printf("match_cache_useless %.0f ns\n", measure(bench, match_cache_get, all, &found));
    struct match_cache_stats stats;
    match_cache_stats(bench->cache, &stats);
    printf("match_cache_hits %.0f\n", (double)stats.hits);
    printf("match_cache_misses %.0f\n", (double)stats.misses);
    printf("match_cache_bypassed %.0f\n", (double)stats.bypassed);
}

// A reader that works while every second subscription of a client comes and goes.
static void
churn(struct bench *bench)
{
    char text[FILTER_TEXT_MAX];
    double total = 0;
    uint32_t rounds = bench->iterations / 4 + 1;
    struct trie_stats before, after;
    trie_stats(bench->trie, &before);
    for (uint32_t i = 0; i < rounds; i++) {
        struct slice filter = filter_mixed(text, bench->filters + i % 100000u);
        struct trie_handle handle;
        double begin = now_ns();
        err_t err = trie_add(bench->trie, bench->self, filter, (struct slice){0}, 3, &handle);
        must(err == OK);
        trie_remove(bench->trie, bench->self, handle, 3);
        total += now_ns() - begin;
        if (i % 64 == 0)
            rcu_quiescent(bench->self);
    }
    trie_stats(bench->trie, &after);
    must(after.filters == before.filters && after.nodes == before.nodes);
    printf("trie_add_and_remove %.0f ns\n", total / rounds);
}

static void
remove_all(struct bench *bench)
{
    double total = 0, worst = 0;
    for (uint32_t i = 0; i < bench->filters; i++) {
        double begin = now_ns();
        trie_remove(bench->trie, bench->self, bench->handles[i], i % 2);
        double took = now_ns() - begin;
        total += took;
        worst = took > worst ? took : worst;
        if (i % 64 == 0)
            rcu_quiescent(bench->self);
    }
    struct trie_stats stats;
    trie_stats(bench->trie, &stats);
    must(stats.filters == 0 && stats.nodes == 1);
    printf("trie_remove %.0f ns\n", total / bench->filters);
    printf("trie_remove_worst %.2f ms\n", worst / 1e6);
}

// Every mix of "+" and "a" over fourteen levels: 16,384 filters that all match one topic.
static void
bomb(struct bench *bench)
{
    char text[2 * BOMB_LEVELS];
    struct trie_handle handle;
    for (uint32_t mix = 0; mix < 1u << BOMB_LEVELS; mix++) {
        for (uint32_t i = 0; i < BOMB_LEVELS; i++) {
            text[2 * i] = mix >> i & 1 ? '+' : 'a';
            text[2 * i + 1] = '/';
        }
        err_t err = trie_add(bench->trie, bench->self, slice_of(text, sizeof text - 1),
                             (struct slice){0}, 0, &handle);
        must(err == OK);
    }
    memset(text, 'a', sizeof text);
    for (uint32_t i = 0; i < BOMB_LEVELS; i++)
        text[2 * i + 1] = '/';
    double best = 1e18;
    for (uint32_t i = 0; i < 20; i++) {
        double begin = now_ns();
        const struct match *match = match_cache_get(bench->cache, slice_of(text, sizeof text - 1));
        double took = now_ns() - begin;
        must(match->count == 1u << BOMB_LEVELS);
        best = took < best ? took : best;
    }
    printf("match_bomb_16384 %.2f ms\n", best / 1e6);
}

static uint32_t
number(const char *text, uint32_t otherwise)
{
    char *end;
    unsigned long value = text ? strtoul(text, &end, 10) : otherwise;
    return text && (*end != '\0' || value == 0 || value > COUNT_MAX) ? otherwise : (uint32_t)value;
}

int
main(int argc, char **argv)
{
    struct bench bench = {
        .filters = number(argc > 1 ? argv[1] : NULL, FILTERS_DEFAULT),
        .iterations = number(argc > 2 ? argv[2] : NULL, ITERATIONS_DEFAULT),
        .random = UINT64_C(0x9e3779b97f4a7c15),
    };
    bench.devices = bench.filters / FILTERS_PER_DEVICE + 1;
    bench.rcu = rcu_new();
    bench.self = rcu_register(bench.rcu);
    bench.trie = trie_new(&(struct hash_key){1, 2});
    bench.cache = match_cache_new(bench.trie, CACHE_TOPICS);
    bench.order = mem_alloc(bench.filters * sizeof *bench.order);
    bench.handles = mem_zalloc(bench.filters * sizeof *bench.handles);
    memset(bench.handles, 1, bench.filters * sizeof *bench.handles); // resident before we measure
    for (uint32_t i = 0; i < bench.filters; i++)
        bench.order[i] = i;
    for (uint32_t i = bench.filters - 1; i > 0; i--) {
        uint32_t j = next_random(&bench.random) % (i + 1), swapped = bench.order[i];
        bench.order[i] = bench.order[j];
        bench.order[j] = swapped;
    }

    add_all(&bench);
    match_all(&bench);
    churn(&bench);
    remove_all(&bench);
    bomb(&bench);

    match_cache_free(bench.cache);
    rcu_unregister(bench.self);
    trie_free(bench.trie);
    rcu_free(bench.rcu);
    mem_free(bench.order);
    mem_free(bench.handles);
    return 0;
}
