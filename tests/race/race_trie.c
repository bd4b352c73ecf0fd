// race_trie.c - writers and matching workers on one trie, for ThreadSanitizer.
//
// Each probe is a filter that one writer puts in and takes out, and a topic of its own. The writer
// tells in an atomic word what it has done; a reader reads the word, matches with its cache, and
// reads the word again. If it did not move, the result must have the probe, or must not: a stale
// cached result, a lost filter and a freed record that is still found all show. Some probes stay
// in, while filters come and go that part from them at every level: what was a leaf is a node and a
// leaf again, and the probe must always be found, once. Beside that, the writers let tables and
// branches grow and shrink, and the readers sleep and wake up.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/trie.h"
#include "core/trie_nodes.h"
#include "tests/race/random.h"

#define WRITERS       2
#define READERS       2
#define PROBES        10 // two of each kind
#define STANDING      4  // more of them, which stay in, of each kind but the share group
#define WRITER_ROUNDS 50000
#define NOISE         64
#define STABLE        3 // filters that match every topic, as long as the program runs
#define TEXT_MAX      32

enum probe_state { MOVING, IN, OUT, STATES };

struct probe {
    _Atomic uint64_t word; // a count of changes * STATES + state
    char filter[TEXT_MAX], topic[TEXT_MAX];
    bool in_group;
};

struct shared {
    struct rcu *rcu;
    struct trie *trie;
    struct probe probes[PROBES + STANDING];
    atomic_int writers;
    _Atomic uint64_t checked, wrong;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    unsigned index;
    uint64_t random;
};

// One kind for each bucket of versions that a filter may fall into, and a share group.
enum kind { EXACT, HASH, PLUS, GLOBAL, GROUP, KINDS };

static void
probe_init(struct probe *probe, unsigned i)
{
    static const char *const ends[KINDS] = {"/a/b", "/a/#", "/+/b", "/a/b", "/a/b"};
    enum kind kind = i % KINDS;
    bool global = kind == GLOBAL;
    probe->in_group = kind == GROUP;
    (void)snprintf(probe->filter, TEXT_MAX, "%sp%u%s", global ? "+/" : "", i, ends[kind]);
    (void)snprintf(probe->topic, TEXT_MAX, "%sp%u/a/b", global ? "x/" : "", i);
    atomic_init(&probe->word, i < PROBES ? OUT : IN);
}

static void
complain(struct shared *shared, bool wrong)
{
    if (wrong)
        atomic_fetch_add(&shared->wrong, 1);
}

// ---- Writers --------------------------------------------------------------------------------

static struct trie_handle
add(struct worker *w, struct rcu_reader *self, const char *filter, const char *group)
{
    struct trie_handle handle = {0};
    err_t err =
        trie_add(w->shared->trie, self, slice_str(filter), slice_str(group), w->index, &handle);
    complain(w->shared, err != OK || handle.generation == 0);
    return handle;
}

static void
tell(struct probe *probe, enum probe_state state)
{
    uint64_t word = atomic_load_explicit(&probe->word, memory_order_relaxed);
    atomic_store_explicit(&probe->word, (word / STATES + 1) * STATES + state, memory_order_release);
}

static void
toggle(struct worker *w, struct rcu_reader *self, struct probe *probe, struct trie_handle *handle)
{
    bool is_in = handle->generation != 0;
    tell(probe, MOVING);
    if (is_in) {
        trie_remove(w->shared->trie, self, *handle, w->index);
        *handle = (struct trie_handle){0};
    } else {
        *handle = add(w, self, probe->filter, probe->in_group ? "group" : "");
        if (probe->in_group)
            trie_share_weight(w->shared->trie, *handle, w->index, 1, 1);
    }
    tell(probe, is_in ? OUT : IN);
}

static void
noise(struct worker *w, struct rcu_reader *self, struct trie_handle handles[NOISE])
{
    uint32_t dice = next_random(&w->random), i = dice % NOISE;
    static const char *const ends[] = {"", "/+", "/#", "/a/+/b"};
    char text[TEXT_MAX];
    if (handles[i].generation) {
        struct slice group, filter = trie_filter(w->shared->trie, handles[i], &group);
        complain(w->shared, filter.len < 3 || filter.data[0] != 'n' || group.len != i % 3);
        trie_remove(w->shared->trie, self, handles[i], w->index);
        handles[i] = (struct trie_handle){0};
        return;
    }
    // Both writers have the same filters: records live on with one shard, and go with the last.
    (void)snprintf(text, sizeof text, "n/%u%s", i, ends[i % 4]);
    handles[i] = add(w, self, text, &"gg"[2 - i % 3]);
    if (i % 3)
        trie_share_weight(w->shared->trie, handles[i], w->index, dice % 3, 3);
}

// A filter that begins as a probe's and does not match its topic comes, or goes again.
static void
part(struct worker *w, struct rcu_reader *self, struct trie_handle *handle)
{
    static const char *const ends[] = {"/+/x", "/+/b/+", "/a/y/#", "/a/b/+", "/a/+/z", "/x/#"};
    char text[TEXT_MAX];
    if (handle->generation) {
        trie_remove(w->shared->trie, self, *handle, w->index);
        *handle = (struct trie_handle){0};
        return;
    }
    uint32_t dice = next_random(&w->random), i = dice % (PROBES + STANDING);
    (void)snprintf(text, sizeof text, "%sp%u%s", i % KINDS == GLOBAL ? "+/" : "", i,
                   ends[dice / 256 % ARRAY_LEN(ends)]);
    *handle = add(w, self, text, "");
}

static void *
write_filters(void *arg)
{
    struct worker *w = arg;
    struct shared *shared = w->shared;
    struct rcu_reader *self = rcu_register(shared->rcu);
    struct trie_handle probes[PROBES] = {0}, noises[NOISE] = {0}, parting = {0};
    for (unsigned round = 0; round < WRITER_ROUNDS; round++) {
        unsigned i = next_random(&w->random) % (PROBES / WRITERS) * WRITERS + w->index;
        toggle(w, self, &shared->probes[i], &probes[i]);
        for (unsigned k = 0; k < 4; k++) {
            noise(w, self, noises);
            part(w, self, &parting);
        }
        if (round % 8 == 0)
            rcu_quiescent(self);
        if (round % 64 == 0)
            (void)sched_yield();
    }
    for (unsigned i = 0; i < PROBES; i++)
        if (probes[i].generation)
            toggle(w, self, &shared->probes[i], &probes[i]);
    for (unsigned i = 0; i < NOISE; i++)
        if (noises[i].generation)
            trie_remove(shared->trie, self, noises[i], w->index);
    if (parting.generation)
        part(w, self, &parting);
    rcu_unregister(self);
    atomic_fetch_sub(&shared->writers, 1);
    return NULL;
}

// ---- Readers --------------------------------------------------------------------------------

static void
check_entries(struct shared *shared, const struct match *match)
{
    uint32_t rotor = 1, plain = match->count - match->shares;
    for (uint32_t i = 0; i < match->count; i++) {
        const struct match_entry *entry = &match->entries[i];
        complain(shared,
                 entry->handle.generation == 0 || entry->handle.slot >= (WRITERS + 1) * SLOT_PAGE);
        complain(shared, (entry->share != NULL) != (i >= plain));
        if (entry->share) {
            int shard = trie_share_pick(entry->share, 0, &rotor, NULL);
            complain(shared, shard < -1 || shard >= WRITERS);
        }
    }
}

static void
check_probe(struct shared *shared, struct match_cache *cache, struct probe *probe)
{
    uint64_t before = atomic_load_explicit(&probe->word, memory_order_acquire);
    const struct match *match = match_cache_get(cache, slice_str(probe->topic));
    // What the match read, it read by acquiring loads: if it saw any of a change, the word that
    // was stored before the change is seen here.
    uint64_t after = atomic_load_explicit(&probe->word, memory_order_acquire);
    check_entries(shared, match);
    if (before != after || before % STATES == MOVING)
        return;
    complain(shared, match->count != STABLE + (before % STATES == IN));
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
            check_probe(shared, cache,
                        &shared->probes[next_random(&w->random) % (PROBES + STANDING)]);
            (void)snprintf(text, sizeof text, "n/%u/a/%u/b", next_random(&w->random) % NOISE,
                           k % 2);
            text[4 + next_random(&w->random) % 8] = 0;
            const struct match *match = k % 8 ? match_cache_get(cache, slice_str(text))
                                              : match_uncached(cache, slice_str(text));
            check_entries(shared, match);
            complain(shared, match->count < STABLE);
        }
        rcu_quiescent(self);
        if (next_random(&w->random) % 16 == 0) {
            rcu_offline(self);
            (void)sched_yield();
            rcu_online(self);
        }
    }
    for (unsigned i = 0; i < PROBES + STANDING; i++)
        complain(shared, match_cache_get(cache, slice_str(shared->probes[i].topic))->count !=
                             STABLE + (i >= PROBES));
    match_cache_free(cache);
    rcu_unregister(self);
    return NULL;
}

int
main(void)
{
    struct shared shared = {.rcu = rcu_new(), .trie = trie_new(&(struct hash_key){3, 4})};
    struct worker workers[WRITERS + READERS], mine = {.shared = &shared, .index = 2};
    struct rcu_reader *self = rcu_register(shared.rcu);
    const struct trie_handle stable[STABLE] = {
        add(&mine, self, "#", ""), add(&mine, self, "+/#", ""), add(&mine, self, "+/+/#", "")};
    struct trie_handle standing[STANDING];
    for (unsigned i = 0; i < PROBES + STANDING; i++) {
        probe_init(&shared.probes[i], i);
        if (i >= PROBES)
            standing[i - PROBES] = add(&mine, self, shared.probes[i].filter, "");
    }
    struct trie_stats before, after;
    trie_stats(shared.trie, &before);
    rcu_offline(self);
    atomic_init(&shared.writers, WRITERS);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (struct worker){.shared = &shared, .index = i % WRITERS, .random = i + 1};
        if (pthread_create(&workers[i].thread, NULL, i < WRITERS ? write_filters : read_matches,
                           &workers[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    rcu_online(self);
    trie_stats(shared.trie, &after);
    complain(&shared, after.filters != before.filters || after.nodes != before.nodes);
    for (unsigned i = 0; i < STABLE; i++)
        trie_remove(shared.trie, self, stable[i], mine.index);
    for (unsigned i = 0; i < STANDING; i++)
        trie_remove(shared.trie, self, standing[i], mine.index);
    rcu_unregister(self);
    trie_free(shared.trie);
    rcu_free(shared.rcu);
    uint64_t checked = atomic_load(&shared.checked), wrong = atomic_load(&shared.wrong);
    bool ok = wrong == 0 && checked > 1000;
    printf("race_trie: %s, %llu probes checked, %llu wrong\n", ok ? "ok" : "FAILED",
           (unsigned long long)checked, (unsigned long long)wrong);
    return ok ? 0 : 1;
}
