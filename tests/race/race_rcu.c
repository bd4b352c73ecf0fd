// race_rcu.c - readers and writers on one table under reclamation, for ThreadSanitizer.
//
// Every thread reads objects from a shared table and now and then replaces one. The deferred free
// clears the object's words before it frees it: a reader that still looks at it finds the magic
// gone, and ThreadSanitizer reports the race even when the timing was kind. Threads also sleep
// offline, leave and come back.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/rcu.h"

#include "tests/race/random.h"

#define THREADS 4
#define TABLE   16
#define LIVES   3
#define ROUNDS  60000
#define MAGIC   UINT64_C(0x5eed5eed5eed5eed)

struct object {
    uint64_t magic, a, b; // b == ~a
};

struct shared {
    struct rcu *rcu;
    _Atomic(struct object *) table[TABLE];
    _Atomic uint64_t made, freed, wrong;
};

// What a deferred object needs to be counted; allocated in one with it.
struct counted {
    struct object object;
    struct shared *shared;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    uint64_t random;
};

static struct object *
object_new(struct shared *shared, uint64_t value)
{
    struct counted *counted = mem_alloc(sizeof(*counted));
    *counted = (struct counted){{MAGIC, value, ~value}, shared};
    atomic_fetch_add_explicit(&shared->made, 1, memory_order_relaxed);
    return &counted->object;
}

static void
object_free(void *p)
{
    struct counted *counted = container_of((struct object *)p, struct counted, object);
    struct shared *shared = counted->shared;
    if (counted->object.magic != MAGIC) // freed twice
        atomic_fetch_add(&shared->wrong, 1);
    counted->object = (struct object){0, 0, 0};
    atomic_fetch_add_explicit(&shared->freed, 1, memory_order_relaxed);
    mem_free(counted);
}

static void
read_some(struct worker *w, struct rcu_reader *self)
{
    const struct object *held[4];
    rcu_assert_online(self);
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        held[i] = atomic_load_explicit(&w->shared->table[next_random(&w->random) % TABLE],
                                       memory_order_acquire);
    if (next_random(&w->random) % 64 == 0)
        (void)sched_yield(); // holding references
    for (size_t i = 0; i < ARRAY_LEN(held); i++)
        if (held[i]->magic != MAGIC || held[i]->b != ~held[i]->a)
            atomic_fetch_add(&w->shared->wrong, 1);
}

static void
replace_one(struct worker *w, struct rcu_reader *self)
{
    uint32_t value = next_random(&w->random);
    struct object *old = atomic_exchange_explicit(
        &w->shared->table[value % TABLE], object_new(w->shared, value), memory_order_acq_rel);
    rcu_defer(self, old, object_free);
}

static void *
work(void *arg)
{
    struct worker *w = arg;
    for (unsigned life = 0; life < LIVES; life++) {
        struct rcu_reader *self = rcu_register(w->shared->rcu);
        for (unsigned round = 0; round < ROUNDS; round++) {
            read_some(w, self);
            uint32_t dice = next_random(&w->random) % 64;
            if (dice < 16)
                replace_one(w, self);
            if (dice % 4 == 0)
                rcu_quiescent(self);
            if (dice == 63) {
                rcu_offline(self);
                (void)sched_yield();
                rcu_online(self);
            }
        }
        rcu_unregister(self);
    }
    return NULL;
}

int
main(void)
{
    struct shared shared = {.rcu = rcu_new()};
    struct worker workers[THREADS];
    for (size_t i = 0; i < TABLE; i++)
        atomic_init(&shared.table[i], object_new(&shared, i));
    for (size_t i = 0; i < THREADS; i++) {
        workers[i] = (struct worker){.shared = &shared, .random = i + 1};
        if (pthread_create(&workers[i].thread, NULL, work, &workers[i]) != 0)
            return 1;
    }
    for (size_t i = 0; i < THREADS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    for (size_t i = 0; i < TABLE; i++)
        object_free(atomic_load(&shared.table[i]));
    rcu_free(shared.rcu);
    uint64_t made = atomic_load(&shared.made), freed = atomic_load(&shared.freed);
    uint64_t wrong = atomic_load(&shared.wrong);
    bool ok = wrong == 0 && made == freed;
    printf("race_rcu: %s, %llu made, %llu freed, %llu wrong\n", ok ? "ok" : "FAILED",
           (unsigned long long)made, (unsigned long long)freed, (unsigned long long)wrong);
    return ok ? 0 : 1;
}
