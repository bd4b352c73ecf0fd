// race_limits.c - connections by address, CONNECT rates and bans from many threads, for
// ThreadSanitizer.
//
// Each address has a count of its own beside the one of admission.c: it never passes the limit. All
// together get as many CONNECTs as the rate allows. A ban that a thread made is there until it
// takes it away.
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/admission.h"
#include "core/bans.h"
#include "tests/race/random.h"

enum { THREADS = 4, ROUNDS = 60000, ADDRESSES = 7, PLACES = 5, RATE = 1000 };

struct shared {
    struct admission *admission;
    struct bans *bans;
    atomic_uint here[ADDRESSES];
    atomic_uint connects, wrong;
};

struct thread {
    pthread_t thread;
    struct shared *shared;
    unsigned index;
    uint64_t random;
};

static void
complain(struct shared *shared, bool wrong)
{
    if (wrong)
        atomic_fetch_add_explicit(&shared->wrong, 1, memory_order_relaxed);
}

static void
come_and_go(struct thread *t)
{
    struct shared *shared = t->shared;
    uint32_t place, number = next_random(&t->random) % ADDRESSES;
    if (!admission_enter(shared->admission, UINT64_C(1) << 32 | number, PLACES, &place))
        return;
    complain(shared, atomic_fetch_add(&shared->here[number], 1) >= PLACES);
    const struct admission_rates rates = {.all = RATE, .address = RATE};
    uint64_t now_ms = 1000 + next_random(&t->random) % 2; // workers' ticks begin at their own time
    if (!admission_connect(shared->admission, UINT64_C(1) << 32 | number, &rates, now_ms))
        atomic_fetch_add_explicit(&shared->connects, 1, memory_order_relaxed);
    atomic_fetch_sub(&shared->here[number], 1);
    admission_leave(shared->admission, place);
}

static void
ban_and_lift(struct thread *t)
{
    struct shared *shared = t->shared;
    char name[24];
    int len = snprintf(name, sizeof name, "%u-%u", t->index, next_random(&t->random) % 500);
    struct ban ban = {
        .kind = BAN_CLIENT, .name = slice_of(name, (size_t)len), .until_ms = BANS_NEVER};
    struct ban_subject who = {.client_id = ban.name, .address = 1 + next_random(&t->random) % 50};
    complain(shared, bans_add(shared->bans, &ban, 1000) != OK);
    complain(shared, !bans_hit(shared->bans, &who, 1000));
    complain(shared, !bans_remove(shared->bans, &ban));
    const struct ban_rule rule = {.max = 3, .window_ms = 1000, .ban_ms = 1};
    (void)bans_on_connect(shared->bans, &who, &rule, 1000 + next_random(&t->random) % 100);
    (void)bans_on_login_failure(shared->bans, who.address, &rule, 1000);
}

static void *
run(void *arg)
{
    struct thread *t = arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        come_and_go(t);
        if (i % 4 == 0)
            ban_and_lift(t);
    }
    return NULL;
}

// All have gone: every address has all its places again.
static void
check_empty(struct shared *shared)
{
    uint32_t place;
    for (unsigned number = 0; number < ADDRESSES; number++) {
        for (unsigned i = 0; i < PLACES; i++)
            complain(shared, !admission_enter(shared->admission, UINT64_C(1) << 32 | number, PLACES,
                                              &place));
        complain(shared,
                 admission_enter(shared->admission, UINT64_C(1) << 32 | number, PLACES, &place));
    }
}

int
main(void)
{
    struct hash_key key = {5, 6};
    struct shared shared = {.admission = admission_new(&key), .bans = bans_new(&key)};
    struct thread threads[THREADS];
    for (unsigned i = 0; i < THREADS; i++) {
        threads[i] = (struct thread){.shared = &shared, .index = i, .random = i + 1};
        if (pthread_create(&threads[i].thread, NULL, run, &threads[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < THREADS; i++)
        (void)pthread_join(threads[i].thread, NULL);
    check_empty(&shared);
    unsigned connects = atomic_load(&shared.connects);
    complain(&shared, connects < RATE || connects > RATE + 1); // which a millisecond brings
    unsigned wrong = atomic_load(&shared.wrong);
    printf("race_limits: %s, %u CONNECTs, %u wrong\n", wrong == 0 ? "ok" : "FAILED", connects,
           wrong);
    admission_free(shared.admission);
    bans_free(shared.bans);
    return wrong == 0 ? 0 : 1;
}
