// test_rcu.c - grace periods, in steps that threads take one after the other.
#include <criterion/criterion.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "core/base/rcu.h"

static void
count_free(void *p)
{
    ++*(unsigned *)p;
}

Test(rcu, alone_frees_in_the_next_quiescent_state)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    unsigned freed = 0;
    rcu_assert_online(self);
    rcu_defer(self, &freed, count_free);
    cr_assert_eq(freed, 0);
    cr_assert_eq(rcu_deferred(self), 1);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1);
    cr_assert_eq(rcu_deferred(self), 0);
    rcu_unregister(self);
    rcu_free(rcu);
}

// A second thread that does one step when told.
enum step { STEP_NONE, STEP_QUIESCENT, STEP_OFFLINE, STEP_ONLINE, STEP_END };

struct other {
    struct rcu *rcu;
    pthread_t thread;
    atomic_int step;
};

static void *
other_main(void *arg)
{
    struct other *other = arg;
    struct rcu_reader *self = rcu_register(other->rcu);
    for (;;) {
        int step = atomic_load(&other->step);
        if (step == STEP_QUIESCENT)
            rcu_quiescent(self);
        else if (step == STEP_OFFLINE)
            rcu_offline(self);
        else if (step == STEP_ONLINE)
            rcu_online(self);
        else if (step == STEP_END)
            break;
        if (step != STEP_NONE)
            atomic_store(&other->step, STEP_NONE);
    }
    rcu_unregister(self);
    return NULL;
}

static void
other_does(struct other *other, enum step step)
{
    atomic_store(&other->step, step);
    while (atomic_load(&other->step) != STEP_NONE)
        ;
}

static void
other_start(struct other *other, struct rcu *rcu)
{
    other->rcu = rcu;
    atomic_init(&other->step, STEP_QUIESCENT); // done when it is registered
    cr_assert_eq(pthread_create(&other->thread, NULL, other_main, other), 0);
    while (atomic_load(&other->step) != STEP_NONE)
        ;
}

static void
other_end(struct other *other)
{
    atomic_store(&other->step, STEP_END);
    cr_assert_eq(pthread_join(other->thread, NULL), 0);
}

Test(rcu, waits_for_every_reader_that_is_online)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    struct other a, b;
    unsigned freed = 0;
    other_start(&a, rcu);
    other_start(&b, rcu);
    rcu_defer(self, &freed, count_free);
    for (int i = 0; i < 100; i++)
        rcu_quiescent(self);
    cr_assert_eq(freed, 0);
    other_does(&a, STEP_QUIESCENT);
    rcu_quiescent(self);
    cr_assert_eq(freed, 0, "b was not quiescent");
    other_does(&b, STEP_QUIESCENT);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1);
    other_end(&a);
    other_end(&b);
    rcu_unregister(self);
    rcu_free(rcu);
}

Test(rcu, a_quiescent_state_before_the_grace_period_does_not_count)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    struct other other;
    unsigned freed = 0;
    other_start(&other, rcu);
    rcu_defer(self, &freed, count_free);
    other_does(&other, STEP_QUIESCENT); // deferred, but not sealed yet
    rcu_quiescent(self);
    cr_assert_eq(freed, 0);
    other_does(&other, STEP_QUIESCENT);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1);
    other_end(&other);
    rcu_unregister(self);
    rcu_free(rcu);
}

Test(rcu, does_not_wait_for_a_sleeper_but_for_one_who_woke_up)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    struct other other;
    unsigned freed = 0;
    other_start(&other, rcu);
    other_does(&other, STEP_OFFLINE);
    rcu_defer(self, &freed, count_free);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1);
    other_does(&other, STEP_ONLINE);
    rcu_defer(self, &freed, count_free);
    rcu_quiescent(self);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1, "what it was told while asleep does not count for later");
    other_does(&other, STEP_OFFLINE);
    rcu_quiescent(self);
    cr_assert_eq(freed, 2);
    other_does(&other, STEP_ONLINE);
    other_end(&other);
    rcu_unregister(self);
    rcu_free(rcu);
}

Test(rcu, does_not_wait_for_one_who_left)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    struct other other;
    unsigned freed = 0;
    other_start(&other, rcu);
    rcu_defer(self, &freed, count_free);
    rcu_quiescent(self);
    cr_assert_eq(freed, 0);
    other_end(&other);
    rcu_quiescent(self);
    cr_assert_eq(freed, 1);
    rcu_unregister(self);
    rcu_free(rcu);
}

#define MANY 100000
static unsigned many_next;
static unsigned many[MANY];

static void
check_order(void *p)
{
    cr_assert_eq((size_t)((unsigned *)p - many), many_next);
    many_next++;
}

Test(rcu, a_backlog_is_freed_in_order_and_in_portions)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *self = rcu_register(rcu);
    for (size_t i = 0; i < MANY; i++)
        rcu_defer(self, &many[i], check_order);
    size_t calls = 0;
    while (rcu_deferred(self) > 0) {
        size_t before = rcu_deferred(self);
        rcu_quiescent(self);
        size_t freed = before - rcu_deferred(self);
        cr_assert(freed > 0 && freed <= max_u64(256, before / 16));
        calls++;
    }
    cr_assert_eq(many_next, MANY);
    cr_assert_leq(calls, 100);
    rcu_unregister(self);
    rcu_free(rcu);
}

struct chain {
    struct rcu_reader *self;
    unsigned left, freed;
};

static void
free_and_defer(void *p)
{
    struct chain *chain = p;
    chain->freed++;
    for (unsigned i = 0; i < 100 && chain->left > 0; i++) {
        chain->left--;
        rcu_defer(chain->self, chain, free_and_defer);
    }
}

Test(rcu, a_free_may_defer_and_unregister_frees_all_of_it)
{
    struct rcu *rcu = rcu_new();
    struct chain chain = {.self = rcu_register(rcu), .left = 5000};
    rcu_defer(chain.self, &chain, free_and_defer);
    rcu_quiescent(chain.self);
    cr_assert_eq(chain.freed, 1);
    rcu_unregister(chain.self);
    cr_assert_eq(chain.freed, 5001);
    rcu_free(rcu);
}

Test(rcu, slots_are_used_again)
{
    struct rcu *rcu = rcu_new();
    struct rcu_reader *readers[RCU_READERS_MAX];
    for (unsigned round = 0; round < 3; round++) {
        for (size_t i = 0; i < RCU_READERS_MAX; i++)
            readers[i] = rcu_register(rcu);
        for (size_t i = 0; i < RCU_READERS_MAX; i++)
            rcu_unregister(readers[i]);
    }
    rcu_free(rcu);
    rcu_free(NULL);
}

Test(rcu, one_reader_too_many_is_a_programmers_error, .signal = SIGABRT)
{
    struct rcu *rcu = rcu_new();
    for (size_t i = 0; i <= RCU_READERS_MAX; i++)
        (void)rcu_register(rcu);
}

Test(rcu, use_while_offline_is_a_programmers_error, .signal = SIGABRT)
{
    struct rcu_reader *self = rcu_register(rcu_new());
    rcu_offline(self);
    rcu_assert_online(self);
}

static void *
use_of_anothers(void *reader)
{
    rcu_quiescent(reader);
    return NULL;
}

Test(rcu, use_on_another_thread_is_a_programmers_error, .signal = SIGABRT)
{
    pthread_t thread;
    struct rcu_reader *self = rcu_register(rcu_new());
    (void)pthread_create(&thread, NULL, use_of_anothers, self);
    (void)pthread_join(thread, NULL);
}
