// race_remote.c - shards that add and remove other nodes' filters, and workers that match.
//
// Each writer is a node: its probes are filters that it puts in and takes out, each with a topic of
// its own that nothing else matches. It tells in an atomic word what it has done; a reader reads
// the word, matches with its cache, and reads the word again. If it did not move, the node must be
// in the result, or must not: a stale kept result, a lost fingerprint, or words that were freed and
// are still read all show. Beside that, tables grow and shrink, shapes come and go, and now and
// then all of a node's filters, or all of the node.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/trie.h"
#include "core/trie_remote.h"
#include "tests/race/random.h"

#define WRITERS       2
#define READERS       2
#define PROBES        12
#define WRITER_ROUNDS 20000
#define NOISE         4096
#define TEXT_MAX      48

enum probe_state { MOVING, IN, OUT, STATES };

struct probe {
    _Atomic uint64_t word; // a count of changes * STATES + state
    char filter[TEXT_MAX], topic[TEXT_MAX];
};

struct shared {
    struct rcu *rcu;
    struct trie *trie;
    struct probe probes[PROBES];
    atomic_int writers;
    _Atomic uint64_t checked, wrong;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    unsigned index, remote;
    struct trie_handle handle;
    uint64_t random;
    bool noise[NOISE], in[PROBES];
};

static void
probe_init(struct probe *probe, unsigned i)
{
    static const char *const ends[] = {"/a/b", "/a/#", "/+/b"};
    bool global = i % 4 == 3; // of the counter that all results depend on
    (void)snprintf(probe->filter, TEXT_MAX, "%sp%u%s", global ? "+/" : "", i, ends[i % 3]);
    (void)snprintf(probe->topic, TEXT_MAX, "%sp%u/a/b", global ? "x/" : "", i);
    atomic_init(&probe->word, OUT);
}

static void
complain(struct shared *shared, bool wrong)
{
    if (wrong)
        atomic_fetch_add(&shared->wrong, 1);
}

// ---- Writers ------------------------------------------------------------------------------------

static void
change(struct worker *w, struct rcu_reader *self, const char *text, bool is_in)
{
    struct trie *trie = w->shared->trie;
    struct remote_filter filter = {.remote = w->remote, .text = slice_str(text), .check = 1};
    uint32_t number;
    complain(w->shared, trie_remote_find(trie, &filter) != is_in);
    if (is_in)
        complain(w->shared, !trie_remote_remove(trie, self, &filter, &number));
    else
        complain(w->shared, trie_remote_add(trie, self, &filter, 1) != OK);
}

static void
tell(struct probe *probe, enum probe_state state)
{
    uint64_t word = atomic_load_explicit(&probe->word, memory_order_relaxed);
    atomic_store_explicit(&probe->word, (word / STATES + 1) * STATES + state, memory_order_release);
}

static void
toggle(struct worker *w, struct rcu_reader *self, unsigned i)
{
    struct probe *probe = &w->shared->probes[i];
    tell(probe, MOVING);
    change(w, self, probe->filter, w->in[i]);
    w->in[i] = !w->in[i];
    tell(probe, w->in[i] ? IN : OUT);
}

// Both writers have the same ones. Their shapes are few, and come and go.
static void
noise(struct worker *w, struct rcu_reader *self)
{
    static const char *const ends[] = {"", "/+", "/#", "/a/+/b", "/+/+/#"};
    char text[TEXT_MAX];
    uint32_t i = next_random(&w->random) % NOISE;
    (void)snprintf(text, sizeof text, "n/%u%s", i, ends[i % 97 % 5]);
    change(w, self, text, w->noise[i]);
    w->noise[i] = !w->noise[i];
}

static void
open_node(struct worker *w)
{
    complain(w->shared, trie_remote_open(w->shared->trie, w->handle, &w->remote) != OK);
}

// All of it goes, and comes again, perhaps by another number.
static void
start_anew(struct worker *w, struct rcu_reader *self)
{
    struct prints_place place = {0};
    uint32_t numbers[REMOTE_TAKEN_MAX];
    for (unsigned i = w->index; i < PROBES; i += WRITERS)
        tell(&w->shared->probes[i], MOVING);
    while (trie_remote_take(w->shared->trie, self, w->remote, true, &place, numbers) > 0)
        ;
    complain(w->shared, trie_remote_count(w->shared->trie, w->remote) != 0);
    trie_remote_close(w->shared->trie, w->remote);
    open_node(w);
    for (unsigned i = 0; i < NOISE; i++)
        w->noise[i] = false;
    for (unsigned i = w->index; i < PROBES; i += WRITERS) {
        w->in[i] = false;
        tell(&w->shared->probes[i], OUT);
    }
}

static void *
write_filters(void *arg)
{
    struct worker *w = arg;
    struct rcu_reader *self = rcu_register(w->shared->rcu);
    char text[TEXT_MAX];
    (void)snprintf(text, sizeof text, "$node/%u", w->index);
    complain(w->shared, trie_add(w->shared->trie, self, slice_str(text), slice_str(""), w->index,
                                 &w->handle) != OK);
    open_node(w);
    for (unsigned round = 1; round <= WRITER_ROUNDS; round++) {
        toggle(w, self, next_random(&w->random) % (PROBES / WRITERS) * WRITERS + w->index);
        for (unsigned k = 0; k < 4; k++)
            noise(w, self);
        if (round % 4000 == 0)
            start_anew(w, self);
        if (round % 8 == 0)
            rcu_quiescent(self);
        if (round % 64 == 0)
            (void)sched_yield();
    }
    start_anew(w, self);
    trie_remote_close(w->shared->trie, w->remote);
    trie_remove(w->shared->trie, self, w->handle, w->index);
    rcu_unregister(self);
    atomic_fetch_sub(&w->shared->writers, 1);
    return NULL;
}

// ---- Readers ------------------------------------------------------------------------------------

static void
check_probe(struct shared *shared, struct match_cache *cache, unsigned i)
{
    struct probe *probe = &shared->probes[i];
    uint64_t before = atomic_load_explicit(&probe->word, memory_order_acquire);
    const struct match *match = match_cache_get(cache, slice_str(probe->topic));
    uint64_t after = atomic_load_explicit(&probe->word, memory_order_acquire);
    if (before != after || before % STATES == MOVING)
        return;
    bool is_in = before % STATES == IN;
    complain(shared, match->count != is_in);
    complain(shared,
             is_in && match->count > 0 && match->entries[0].shards != UINT64_C(1) << i % WRITERS);
    atomic_fetch_add_explicit(&shared->checked, 1, memory_order_relaxed);
}

static void *
read_matches(void *arg)
{
    struct worker *w = arg;
    struct shared *shared = w->shared;
    struct rcu_reader *self = rcu_register(shared->rcu);
    struct match_cache *cache = match_cache_new(shared->trie, 16);
    char text[TEXT_MAX];
    bool last = false;
    while (!last) {
        last = atomic_load(&shared->writers) == 0; // and once more after they are done
        for (unsigned k = 0; k < 32; k++) {
            check_probe(shared, cache, next_random(&w->random) % PROBES);
            (void)snprintf(text, sizeof text, "n/%u/a/%u/b", next_random(&w->random) % NOISE,
                           k % 2);
            const struct match *match = k % 8 ? match_cache_get(cache, slice_str(text))
                                              : match_uncached(cache, slice_str(text));
            complain(shared, match->count > WRITERS);
        }
        rcu_quiescent(self);
    }
    for (unsigned i = 0; i < PROBES; i++)
        complain(shared, match_cache_get(cache, slice_str(shared->probes[i].topic))->count != 0);
    match_cache_free(cache);
    rcu_unregister(self);
    return NULL;
}

int
main(void)
{
    static struct worker workers[WRITERS + READERS];
    struct shared shared = {.rcu = rcu_new(), .trie = trie_new(&(struct hash_key){3, 4})};
    for (unsigned i = 0; i < PROBES; i++)
        probe_init(&shared.probes[i], i);
    atomic_init(&shared.writers, WRITERS);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i].shared = &shared;
        workers[i].index = i % WRITERS;
        workers[i].random = i + 1;
        if (pthread_create(&workers[i].thread, NULL, i < WRITERS ? write_filters : read_matches,
                           &workers[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    trie_free(shared.trie);
    rcu_free(shared.rcu);
    uint64_t checked = atomic_load(&shared.checked), wrong = atomic_load(&shared.wrong);
    bool ok = wrong == 0 && checked > 1000;
    printf("race_remote: %s, %llu probes checked, %llu wrong\n", ok ? "ok" : "FAILED",
           (unsigned long long)checked, (unsigned long long)wrong);
    return ok ? 0 : 1;
}
