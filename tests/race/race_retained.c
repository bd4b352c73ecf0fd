// race_retained.c - setting, clearing, expiring and walking at once, for ThreadSanitizer.
//
// Three sets of topics: "stays/.." are set before and never touched, so each walk must see each of
// them once; "own/.." have one writer each that counts upwards in the payload, so no reader may see
// a number go down; "hot/.." are set, replaced, cleared and made to expire by all. A payload holds
// its number twice, once inverted: a message that was freed or is half written shows.
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "core/retained.h"
#include "tests/race/random.h"

#define WRITERS       2
#define READERS       2
#define STAYS         40
#define OWN           8
#define HOT           6
#define WRITER_ROUNDS 100000
#define TEXT_MAX      40

struct shared {
    struct rcu *rcu;
    struct retained *store;
    _Atomic uint64_t written[OWN]; // what the last retained_set that returned has set
    atomic_int writers;
    _Atomic uint64_t walks, wrong;
};

struct worker {
    struct shared *shared;
    pthread_t thread;
    struct rcu_reader *self;
    unsigned index;
    uint64_t random;
    uint64_t numbers[OWN]; // writer: what it set; reader: what it saw
};

struct payload {
    uint64_t number, inverted;
};

static void
complain(struct shared *shared, bool wrong)
{
    if (wrong)
        atomic_fetch_add(&shared->wrong, 1);
}

static struct slice
topic_of(char text[TEXT_MAX], const char *set, unsigned i)
{
    // Odd ones hang on a branch of their own, which comes and goes with them.
    int len = snprintf(text, TEXT_MAX, i % 2 ? "%s/%u/below/%u" : "%s/%u", set, i, i);
    return slice_of(text, (size_t)len);
}

static void
set(struct worker *w, struct slice topic, uint64_t number, uint64_t expires_ms)
{
    static const struct retained_limits limits = {.count_max = STAYS + OWN + HOT,
                                                  .bytes_max = 1u << 20};
    const struct payload payload = {number, ~number};
    struct pub pub = {
        .topic = topic, .payload = slice_of(&payload, sizeof payload), .expires_ms = expires_ms};
    complain(w->shared, retained_set(w->shared->store, w->self, pub_msg(&pub), &limits) != OK);
    pub_done(&pub);
}

static uint64_t
number_of(struct shared *shared, const struct msg *msg)
{
    struct payload payload;
    complain(shared, msg->magic != MSG_MAGIC || msg->payload_len != sizeof payload);
    memcpy(&payload, msg_payload(msg).data, sizeof payload);
    complain(shared, payload.number != ~payload.inverted);
    return payload.number;
}

static void
write_hot(struct worker *w)
{
    char text[TEXT_MAX];
    uint64_t order;
    uint32_t dice = next_random(&w->random);
    struct slice topic = topic_of(text, "hot", dice % HOT);
    switch (dice / HOT % 6) {
    case 0:
    case 1:
        (void)retained_clear(w->shared->store, w->self, topic, &order);
        break;
    case 2:
        set(w, topic, dice, 1 + dice % 100);
        break;
    case 3:
        (void)retained_sweep(w->shared->store, w->self, dice % 100, 4, NULL, NULL);
        break;
    default:
        set(w, topic, dice, 0);
    }
}

static void *
write_messages(void *arg)
{
    struct worker *w = arg;
    char text[TEXT_MAX];
    w->self = rcu_register(w->shared->rcu);
    for (unsigned round = 0; round < WRITER_ROUNDS; round++) {
        unsigned i = next_random(&w->random) % (OWN / WRITERS) * WRITERS + w->index;
        set(w, topic_of(text, "own", i), ++w->numbers[i], 0);
        atomic_store_explicit(&w->shared->written[i], w->numbers[i], memory_order_release);
        for (unsigned k = 0; k < 3; k++)
            write_hot(w);
        if (round % 8 == 0)
            rcu_quiescent(w->self);
        if (round % 64 == 0)
            (void)sched_yield();
    }
    rcu_unregister(w->self);
    atomic_fetch_sub(&w->shared->writers, 1);
    return NULL;
}

static void
look_up(struct worker *w)
{
    char text[TEXT_MAX];
    unsigned i = next_random(&w->random) % OWN;
    uint64_t written = atomic_load_explicit(&w->shared->written[i], memory_order_acquire);
    struct msg *msg = retained_get(w->shared->store, topic_of(text, "own", i));
    uint64_t number = msg ? number_of(w->shared, msg) : 0;
    complain(w->shared, number < written || number < w->numbers[i]);
    w->numbers[i] = number;
    msg = retained_get(w->shared->store, topic_of(text, "hot", next_random(&w->random) % HOT));
    if (msg)
        (void)number_of(w->shared, msg);
}

// Rests between steps, as a worker does between ticks; holds messages across them.
static void
walk(struct worker *w)
{
    static const char *const filters[] = {"#", "+/#", "stays/#", "hot/+/below/+"};
    unsigned kind = next_random(&w->random) % 4;
    struct retained_walk *walk = retained_walk_new(w->shared->store, slice_str(filters[kind]));
    unsigned seen[STAYS] = {0}, patience = kind == 3 ? next_random(&w->random) % 8 : UINT32_MAX;
    bool done = false;
    for (unsigned n = 0; !done && n < patience; n++) {
        struct msg *msg = retained_walk_next(walk, 1 + next_random(&w->random) % 8, &done);
        rcu_quiescent(w->self);
        if (next_random(&w->random) % 16 == 0) {
            rcu_offline(w->self);
            (void)sched_yield();
            rcu_online(w->self);
        }
        if (!msg)
            continue;
        uint64_t number = number_of(w->shared, msg);
        if (msg_topic(msg).data[0] == 's' && number < STAYS)
            seen[number]++;
        msg_unref(msg);
    }
    for (unsigned i = 0; i < STAYS; i++)
        complain(w->shared, seen[i] != (kind < 3));
    retained_walk_free(walk, w->self);
    atomic_fetch_add(&w->shared->walks, 1);
}

static void *
read_messages(void *arg)
{
    struct worker *w = arg;
    w->self = rcu_register(w->shared->rcu);
    while (atomic_load(&w->shared->writers) > 0) {
        for (unsigned k = 0; k < 8; k++)
            look_up(w);
        walk(w);
        rcu_quiescent(w->self);
    }
    rcu_unregister(w->self);
    return NULL;
}

static void
clear_all(struct worker *w)
{
    char text[TEXT_MAX];
    uint64_t order;
    for (unsigned i = 0; i < STAYS; i++)
        complain(w->shared,
                 !retained_clear(w->shared->store, w->self, topic_of(text, "stays", i), &order));
    for (unsigned i = 0; i < OWN; i++)
        (void)retained_clear(w->shared->store, w->self, topic_of(text, "own", i), &order);
    for (unsigned i = 0; i < HOT; i++)
        (void)retained_clear(w->shared->store, w->self, topic_of(text, "hot", i), &order);
    (void)retained_sweep(w->shared->store, w->self, UINT64_MAX, 1000, NULL,
                         NULL); // and what walks have left
    struct retained_stats stats;
    retained_stats(w->shared->store, &stats);
    complain(w->shared, stats.count || stats.bytes || stats.nodes);
}

int
main(void)
{
    struct shared shared = {.rcu = rcu_new(), .store = retained_new(&(struct hash_key){5, 6})};
    struct worker workers[WRITERS + READERS];
    struct worker mine = {.shared = &shared, .self = rcu_register(shared.rcu)};
    char text[TEXT_MAX];
    for (unsigned i = 0; i < STAYS; i++)
        set(&mine, topic_of(text, "stays", i), i, 0);
    rcu_offline(mine.self);
    atomic_init(&shared.writers, WRITERS);
    for (unsigned i = 0; i < WRITERS + READERS; i++) {
        workers[i] = (struct worker){.shared = &shared, .index = i % WRITERS, .random = i + 1};
        if (pthread_create(&workers[i].thread, NULL, i < WRITERS ? write_messages : read_messages,
                           &workers[i]) != 0)
            return 1;
    }
    for (unsigned i = 0; i < WRITERS + READERS; i++)
        (void)pthread_join(workers[i].thread, NULL);
    rcu_online(mine.self);
    clear_all(&mine);
    rcu_unregister(mine.self);
    retained_free(shared.store);
    rcu_free(shared.rcu);
    uint64_t walks = atomic_load(&shared.walks), wrong = atomic_load(&shared.wrong);
    bool ok = wrong == 0 && walks > 10;
    printf("race_retained: %s, %llu walks, %llu wrong\n", ok ? "ok" : "FAILED",
           (unsigned long long)walks, (unsigned long long)wrong);
    return ok ? 0 : 1;
}
