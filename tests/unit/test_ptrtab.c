// test_ptrtab.c - the lock-free read table: probing, tombs, growing and shrinking.
#include <criterion/criterion.h>
#include <signal.h>

#include "core/base/mem.h"

#include "core/ptrtab.h"

struct object {
    uint64_t hash;
    bool in;
};

struct rig {
    struct rcu *rcu;
    struct rcu_reader *self;
    struct ptrtab *_Atomic tab;
    uint64_t random;
};

static void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.rcu = rcu_new(), .random = 88172645463325252u};
    rig->self = rcu_register(rig->rcu);
}

// The table's own memory must be gone by itself: all its objects were removed.
static void
rig_free_empty(struct rig *rig)
{
    cr_assert_null(atomic_load(&rig->tab), "an empty table costs nothing");
    rcu_quiescent(rig->self);
    rcu_quiescent(rig->self);
    cr_assert_eq(rcu_deferred(rig->self), 0);
    rcu_unregister(rig->self);
    rcu_free(rig->rcu);
}

static uint64_t
object_hash(const void *object, const void *arg)
{
    (void)arg;
    return ((const struct object *)object)->hash;
}

// What readers and the writer rely on: probing ends at an empty slot, and no table stays too large.
static void
check_shape(const struct ptrtab *tab)
{
    uint32_t used = 0, live = 0;
    if (!tab)
        return;
    for (uint32_t i = 0; i < tab->cap; i++) {
        uint64_t slot = atomic_load(&tab->slots[i]);
        used += slot != 0;
        live += slot > PTRTAB_TOMB;
    }
    cr_assert_eq(tab->cap & (tab->cap - 1), 0);
    cr_assert_eq(tab->used, used);
    cr_assert_eq(tab->live, live);
    cr_assert_leq(used * 4, tab->cap * 3, "%u of %u used", used, tab->cap);
    cr_assert(tab->cap <= 16 || live * 8 >= tab->cap, "%u of %u live", live, tab->cap);
}

static void
add(struct rig *rig, struct object *object)
{
    ptrtab_add(&rig->tab, rig->self, object->hash, object, object_hash, NULL);
    object->in = true;
}

static void
drop(struct rig *rig, struct object *object)
{
    ptrtab_remove(&rig->tab, rig->self, object->hash, object, object_hash, NULL);
    object->in = false;
}

// How often a reader that goes through all candidates meets the object.
static uint32_t
times_met(const struct ptrtab *tab, const struct object *object)
{
    uint64_t pos = object->hash;
    uint32_t n = 0;
    const struct object *candidate;
    while ((candidate = ptrtab_probe(tab, object->hash, &pos)) != NULL)
        n += candidate == object;
    return n;
}

Test(ptrtab, no_table_is_an_empty_table)
{
    struct object object = {.hash = 5};
    cr_assert_eq(times_met(NULL, &object), 0);
    cr_assert_eq(ptrtab_bytes(NULL), 0);
}

Test(ptrtab, the_first_entry_makes_a_small_table_and_the_last_takes_it_away)
{
    struct rig rig;
    struct object object = {.hash = 0xabcd000000000001u}, other = object;
    rig_init(&rig);
    add(&rig, &object);
    cr_assert_eq(ptrtab_bytes(rig.tab), sizeof(struct ptrtab) + 2 * sizeof(uint64_t));
    cr_assert_eq(times_met(rig.tab, &object), 1);
    cr_assert_eq(times_met(rig.tab, &other), 0, "the pointer decides, not the hash");
    drop(&rig, &object);
    rig_free_empty(&rig);
}

Test(ptrtab, another_tag_is_no_candidate)
{
    struct rig rig;
    struct object a = {.hash = 0x1111000000000003u}, b = {.hash = 0x2222000000000003u};
    rig_init(&rig);
    add(&rig, &a);
    add(&rig, &b);
    uint64_t pos = a.hash;
    cr_assert_eq(ptrtab_probe(rig.tab, a.hash, &pos), &a, "without its tag");
    cr_assert_null(ptrtab_probe(rig.tab, a.hash, &pos));
    pos = b.hash;
    cr_assert_eq(ptrtab_probe(rig.tab, b.hash, &pos), &b);
    cr_assert_null(ptrtab_probe(rig.tab, b.hash, &pos));
    drop(&rig, &a);
    drop(&rig, &b);
    rig_free_empty(&rig);
}

Test(ptrtab, equal_hashes_are_all_candidates_and_the_chain_wraps)
{
    struct rig rig;
    struct object same[20];
    rig_init(&rig);
    for (uint32_t i = 0; i < ARRAY_LEN(same); i++) { // from the last slot on, and pos runs over
        same[i] = (struct object){.hash = UINT64_MAX};
        add(&rig, &same[i]);
    }
    for (uint32_t i = 0; i < ARRAY_LEN(same); i++)
        cr_assert_eq(times_met(rig.tab, &same[i]), 1);
    for (uint32_t i = 0; i < ARRAY_LEN(same); i++) {
        drop(&rig, &same[i]); // the first of the chain
        for (uint32_t k = 0; k < ARRAY_LEN(same); k++)
            cr_assert_eq(times_met(rig.tab, &same[k]), k > i);
    }
    rig_free_empty(&rig);
}

Test(ptrtab, a_tomb_is_passed_and_used_again)
{
    struct rig rig;
    struct object a = {.hash = 8}, b = {.hash = 8}, c = {.hash = 8};
    rig_init(&rig);
    add(&rig, &a);
    add(&rig, &b);
    const struct ptrtab *tab = atomic_load(&rig.tab);
    uint32_t used = tab->used;
    drop(&rig, &a);
    cr_assert_eq(times_met(rig.tab, &a), 0);
    cr_assert_eq(times_met(rig.tab, &b), 1, "behind the tomb");
    cr_assert_eq(tab->used, used, "a tomb is not empty: a reader may be on its way past it");
    add(&rig, &c);
    cr_assert_eq(atomic_load(&rig.tab), tab);
    cr_assert_eq(tab->used, used);
    cr_assert_eq(atomic_load(&tab->slots[8 % tab->cap]), (uint64_t)(uintptr_t)&c);
    drop(&rig, &b);
    drop(&rig, &c);
    rig_free_empty(&rig);
}

Test(ptrtab, an_entry_is_replaced_where_it_stands)
{
    struct rig rig;
    struct object a = {.hash = 8}, b = {.hash = 8}, c = {.hash = 8};
    rig_init(&rig);
    add(&rig, &a);
    cr_assert_eq(ptrtab_only(rig.tab), &a);
    add(&rig, &b);
    cr_assert_null(ptrtab_only(rig.tab));
    struct ptrtab *tab = atomic_load(&rig.tab);
    ptrtab_replace(tab, a.hash, &a, &c);
    cr_assert_eq(atomic_load(&rig.tab), tab);
    cr_assert_eq(atomic_load(&tab->slots[8 % tab->cap]) & ~PTRTAB_TAG_MASK,
                 (uint64_t)(uintptr_t)&c);
    cr_assert_eq(times_met(tab, &a), 0);
    cr_assert_eq(times_met(tab, &b), 1);
    cr_assert_eq(times_met(tab, &c), 1);
    check_shape(tab);
    drop(&rig, &c);
    cr_assert_eq(ptrtab_only(rig.tab), &b, "behind a tomb");
    drop(&rig, &b);
    cr_assert_null(ptrtab_only(rig.tab));
    rig_free_empty(&rig);
}

Test(ptrtab, churn_does_not_let_it_grow)
{
    struct rig rig;
    struct object stays = {.hash = 1}, comes;
    rig_init(&rig);
    add(&rig, &stays);
    for (uint64_t i = 0; i < 10000; i++) { // tombs all over
        comes = (struct object){.hash = i * 0x9e3779b97f4a7c15u};
        add(&rig, &comes);
        check_shape(rig.tab);
        cr_assert_leq(atomic_load(&rig.tab)->cap, 8);
        cr_assert_eq(times_met(rig.tab, &stays), 1);
        cr_assert_eq(times_met(rig.tab, &comes), 1);
        drop(&rig, &comes);
        cr_assert_eq(times_met(rig.tab, &comes), 0);
        rcu_quiescent(rig.self);
    }
    drop(&rig, &stays);
    rig_free_empty(&rig);
}

Test(ptrtab, a_reader_goes_on_in_the_old_table)
{
    struct rig rig;
    struct object objects[40];
    rig_init(&rig);
    for (uint32_t i = 0; i < 3; i++) {
        objects[i] = (struct object){.hash = i};
        add(&rig, &objects[i]);
    }
    rcu_quiescent(rig.self);
    rcu_quiescent(rig.self);
    cr_assert_eq(rcu_deferred(rig.self), 0);
    const struct ptrtab *old = atomic_load(&rig.tab);
    for (uint32_t i = 3; i < ARRAY_LEN(objects); i++) {
        objects[i] = (struct object){.hash = i};
        add(&rig, &objects[i]);
    }
    cr_assert_neq(atomic_load(&rig.tab), old);
    cr_assert_gt(rcu_deferred(rig.self), 0, "it goes after a grace period");
    for (uint32_t i = 0; i < 3; i++)
        cr_assert_eq(times_met(old, &objects[i]), 1);
    for (uint32_t i = 0; i < ARRAY_LEN(objects); i++)
        cr_assert_eq(times_met(rig.tab, &objects[i]), 1);
    rcu_quiescent(rig.self); // from here on nobody may look at the old one
    for (uint32_t i = 0; i < ARRAY_LEN(objects); i++)
        drop(&rig, &objects[i]);
    rig_free_empty(&rig);
}

Test(ptrtab, shrinks_when_few_are_left)
{
    struct rig rig;
    enum { MANY = 5000, FEW = 3 };
    struct object *objects = mem_zalloc(MANY * sizeof *objects);
    rig_init(&rig);
    for (uint64_t i = 0; i < MANY; i++) {
        objects[i].hash = i * 0x9e3779b97f4a7c15u;
        add(&rig, &objects[i]);
    }
    size_t full = ptrtab_bytes(rig.tab);
    cr_assert_leq(full, sizeof(struct ptrtab) + MANY * 4 * sizeof(uint64_t));
    for (uint32_t i = FEW; i < MANY; i++)
        drop(&rig, &objects[i]);
    check_shape(rig.tab);
    cr_assert_leq(ptrtab_bytes(rig.tab), sizeof(struct ptrtab) + 24 * sizeof(uint64_t));
    for (uint32_t i = 0; i < MANY; i++)
        cr_assert_eq(times_met(rig.tab, &objects[i]), i < FEW);
    for (uint32_t i = 0; i < FEW; i++)
        drop(&rig, &objects[i]);
    rig_free_empty(&rig);
    mem_free(objects);
}

static uint32_t
next_random(struct rig *rig)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return (uint32_t)(rig->random >> 32);
}

// Positions and tags from a few values only: long chains, wrong candidates, tombs in between.
static void
random_churn(uint32_t positions, uint32_t tags)
{
    struct rig rig;
    enum { OBJECTS = 300 };
    struct object *objects = mem_zalloc(OBJECTS * sizeof *objects);
    uint32_t live = 0;
    rig_init(&rig);
    for (uint32_t i = 0; i < OBJECTS; i++)
        objects[i].hash =
            (uint64_t)(next_random(&rig) % tags) << 48 | next_random(&rig) % positions;
    for (uint32_t round = 0; round < 4000; round++) {
        struct object *object = &objects[next_random(&rig) % OBJECTS];
        // First mostly in, then mostly out, and so on.
        bool wanted = next_random(&rig) % 8 == 0 ? !(round / 500 & 1) : round / 500 & 1;
        if (wanted == object->in)
            continue;
        live += wanted ? 1u : (uint32_t)-1;
        (wanted ? add : drop)(&rig, object);
        check_shape(rig.tab);
        const struct ptrtab *tab = atomic_load(&rig.tab);
        cr_assert_eq(tab ? tab->live : 0, live);
        for (uint32_t i = 0; i < OBJECTS; i += 1 + round % 7)
            cr_assert_eq(times_met(tab, &objects[i]), objects[i].in);
        rcu_quiescent(rig.self);
    }
    for (uint32_t i = 0; i < OBJECTS; i++)
        if (objects[i].in)
            drop(&rig, &objects[i]);
    rig_free_empty(&rig);
    mem_free(objects);
}

Test(ptrtab, random_churn_is_as_a_set)
{
    random_churn(1, 1);
    random_churn(1, 50);
    random_churn(7, 3);
    random_churn(UINT32_MAX, 65536);
}

Test(ptrtab, removing_from_no_table_ends_the_process, .signal = SIGABRT)
{
    struct rig rig;
    struct object object = {.hash = 1};
    rig_init(&rig);
    drop(&rig, &object);
}

Test(ptrtab, removing_what_is_not_there_ends_the_process, .signal = SIGABRT)
{
    struct rig rig;
    struct object here = {.hash = 1}, not_here = {.hash = 1};
    rig_init(&rig);
    add(&rig, &here);
    drop(&rig, &not_here);
}
