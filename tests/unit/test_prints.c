// test_prints.c - the table of fingerprints against a plain list.
#include <criterion/criterion.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/prints.h"

static struct rcu *rcu;
static struct rcu_reader *self;
static struct prints *prints;
static uint64_t state;

static void
set_up(void)
{
    rcu = rcu_new();
    self = rcu_register(rcu);
    prints = prints_new();
    state = 7;
}

static void
tear_down(void)
{
    prints_free(prints);
    rcu_unregister(self);
    rcu_free(rcu);
}

TestSuite(prints, .init = set_up, .fini = tear_down);

static uint32_t
dice(uint32_t sides)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % sides;
}

static struct print
print_at(uint64_t hash, uint32_t check, uint8_t owner, uint8_t kind)
{
    return (struct print){.hash = hash, .check = check, .owner = owner, .kind = kind};
}

Test(prints, who_has_a_fingerprint_is_found_by_its_kind_alone)
{
    struct print a = print_at(UINT64_C(0x1234567890abcdef), 1, 3, 4), b = a, c = a;
    uint32_t number;
    b.owner = 63;
    c.kind = 5;
    cr_assert(prints_add(prints, self, &a, 10) && prints_add(prints, self, &b, 11));
    cr_assert(prints_add(prints, self, &c, 12) && !prints_add(prints, self, &a, 13));
    cr_assert_eq(prints_owners(prints, a.hash, 4), UINT64_C(1) << 63 | UINT64_C(1) << 3);
    cr_assert_eq(prints_owners(prints, a.hash, 5), UINT64_C(1) << 3);
    cr_assert_eq(prints_owners(prints, a.hash, 6), 0);
    cr_assert_eq(prints_owners(prints, a.hash ^ UINT64_C(1) << 11, 4), 0);
    cr_assert(prints_remove(prints, self, &a, &number) && number == 10);
    cr_assert_not(prints_remove(prints, self, &a, &number));
    cr_assert_eq(prints_owners(prints, a.hash, 4), UINT64_C(1) << 63);
}

// Two filters of one node with the same fingerprint: readers see one, and neither goes with the
// other.
Test(prints, filters_that_collide_come_and_go_each_for_itself)
{
    struct print a = print_at(UINT64_C(0xfeed00000000f800), 1, 0, 0), b = a;
    uint32_t number;
    b.check = 2;
    cr_assert(prints_add(prints, self, &a, 1) && prints_add(prints, self, &b, 2));
    cr_assert(prints_find(prints, &a) && prints_find(prints, &b));
    cr_assert_eq(prints_owners(prints, a.hash, 0), 1);
    cr_assert(prints_remove(prints, self, &a, &number) && number == 1);
    cr_assert(!prints_find(prints, &a) && prints_find(prints, &b));
    cr_assert_eq(prints_owners(prints, a.hash, 0), 1);
    cr_assert(prints_remove(prints, self, &b, &number) && number == 2);
    cr_assert_eq(prints_owners(prints, a.hash, 0), 0);
}

Test(prints, a_hash_of_nothing_is_a_hash)
{
    struct print a = print_at(0, 0, 0, 0);
    uint32_t number;
    cr_assert(prints_add(prints, self, &a, 5));
    cr_assert_eq(prints_owners(prints, 0, 0), 1);
    cr_assert_eq(prints_owners(prints, 0, 1), 0);
    cr_assert(prints_remove(prints, self, &a, &number) && number == 5);
}

// ---- Against a list -----------------------------------------------------------------------------

#define MODEL  4000
#define OWNERS 5u

struct model {
    struct print print;
    uint32_t number;
    bool in, marked;
};

static struct model model[MODEL];

// hashes: how many different ones there are; few make most of them collide.
static void
model_make(uint32_t hashes)
{
    const struct hash_key key = {1, 2};
    for (uint32_t i = 0; i < MODEL; i++)
        model[i] = (struct model){
            .print = print_at(hash_u64(&key, i % hashes), i, (uint8_t)(i / 7 % OWNERS * 15),
                              (uint8_t)(i / 3 % 2 * 31)),
        };
}

static uint64_t
model_owners(const struct print *print)
{
    uint64_t owners = 0;
    for (uint32_t i = 0; i < MODEL; i++)
        if (model[i].in && model[i].print.hash >> 11 == print->hash >> 11 &&
            model[i].print.kind == print->kind)
            owners |= UINT64_C(1) << model[i].print.owner;
    return owners;
}

static void
must_equal(void)
{
    uint32_t checks[64] = {0};
    uint64_t counts[64] = {0};
    for (uint32_t i = 0; i < MODEL; i++) {
        cr_assert_eq(prints_find(prints, &model[i].print), model[i].in, "%u", i);
        checks[model[i].print.owner] += model[i].in ? model[i].print.check : 0;
        counts[model[i].print.owner] += model[i].in;
    }
    for (uint32_t i = 0; i < MODEL; i += 17)
        cr_assert_eq(prints_owners(prints, model[i].print.hash, model[i].print.kind),
                     model_owners(&model[i].print), "%u", i);
    for (unsigned owner = 0; owner < 64; owner++) {
        uint32_t sum = 0;
        uint64_t count = 0;
        for (uint32_t part = 0; part < PRINTS_PARTS; part++)
            prints_sum(prints, owner, part, &sum, &count);
        cr_assert(sum == checks[owner] && count == counts[owner], "%u", owner);
    }
}

static void
toggle(uint32_t i)
{
    struct model *m = &model[i];
    uint32_t number = 0;
    if (m->in) {
        cr_assert(prints_remove(prints, self, &m->print, &number));
        cr_assert_eq(number, m->number);
    } else {
        m->number = dice(1u << 30);
        cr_assert(prints_add(prints, self, &m->print, m->number));
        cr_assert_not(prints_add(prints, self, &m->print, 0));
    }
    m->in = !m->in;
    m->marked = false;
}

// Takes out those of the owner that are not marked, or all.
static void
take(unsigned owner, bool all)
{
    struct prints_place place = {0};
    uint32_t taken = 0, expected = 0;
    struct prints_taken one;
    for (uint32_t i = 0; i < MODEL; i++) {
        if (!model[i].in || model[i].print.owner != owner || (!all && model[i].marked))
            continue;
        model[i].in = false;
        expected++;
    }
    while (prints_take(prints, self, owner, all, &place, &one)) {
        taken++;
        bool known = false; // numbers are random, and so as good as unique
        for (uint32_t i = 0; i < MODEL && !known; i++)
            known = model[i].number == one.number && model[i].print.owner == owner &&
                    model[i].print.kind == one.kind && !model[i].in;
        cr_assert(known);
    }
    cr_assert_eq(taken, expected);
}

static void
mark_some(unsigned owner)
{
    prints_unmark(prints, owner);
    for (uint32_t i = 0; i < MODEL; i++) {
        bool first;
        if (model[i].print.owner != owner)
            continue;
        model[i].marked = false;
        if (dice(2) == 0)
            continue;
        cr_assert_eq(prints_mark(prints, &model[i].print, &first), model[i].in);
        if (!model[i].in)
            continue;
        cr_assert(first);
        cr_assert(prints_mark(prints, &model[i].print, &first) && !first);
        model[i].marked = true;
    }
}

static void
run(uint32_t hashes)
{
    model_make(hashes);
    for (uint32_t round = 0; round < 24; round++) {
        for (uint32_t k = 0; k < 1500; k++) {
            uint32_t i = dice(MODEL);
            // By turns it becomes fuller and emptier.
            if (model[i].in == (round % 6 >= 3) || dice(4) == 0)
                toggle(i);
        }
        must_equal();
        unsigned owner = dice(OWNERS) * 15;
        mark_some(owner);
        take(owner, round % 5 == 4);
        must_equal();
        rcu_quiescent(self);
    }
    for (unsigned owner = 0; owner < OWNERS; owner++)
        take(owner * 15, true);
    must_equal();
}

Test(prints, random_changes_leave_what_a_list_has)
{
    uint64_t empty = prints_bytes(prints);
    run(MODEL);
    cr_assert_eq(prints_bytes(prints), empty, "what is empty takes nothing");
}

Test(prints, the_same_where_most_collide)
{
    run(40);
}

// ---- Memory -------------------------------------------------------------------------------------

Test(prints, an_entry_takes_less_than_30_bytes)
{
    const struct hash_key key = {3, 4};
    for (uint32_t i = 0; i < 400000; i++) {
        struct print print = print_at(hash_u64(&key, i), i, 1, 1);
        cr_assert(prints_add(prints, self, &print, i));
        if (i > 50000 && i % 1000 == 0)
            cr_assert_lt(prints_bytes(prints), (uint64_t)i * 30, "%u", i);
        if (i % 1024 == 0)
            rcu_quiescent(self);
    }
}
