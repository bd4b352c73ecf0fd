// test_bench_ledger.c - the load generator's account of what one subscriber has seen.
#include <criterion/criterion.h>

#include "bench/ledger.h"

static struct ledger l;

static void
setup(void)
{
    l = (struct ledger){0};
}

static void
teardown(void)
{
    ledger_free(&l);
}

TestSuite(bench_ledger, .init = setup, .fini = teardown);

Test(bench_ledger, in_order_is_all_seen_and_nothing_else)
{
    for (uint64_t seq = 0; seq < 5; seq++)
        cr_assert(ledger_note(&l, seq));
    for (uint64_t seq = 0; seq < 5; seq++)
        cr_assert(ledger_seen(&l, seq));
    cr_assert_not(ledger_seen(&l, 5));
    cr_assert_eq(l.missing + l.duplicates + l.reordered, 0);
}

Test(bench_ledger, what_was_skipped_is_missing_and_not_seen)
{
    cr_assert(ledger_note(&l, 3));
    cr_assert(ledger_note(&l, 7));
    for (uint64_t seq = 0; seq < 10; seq++)
        cr_assert_eq(ledger_seen(&l, seq), seq == 3 || seq == 7, "%lu", (unsigned long)seq);
    cr_assert_eq(l.missing, 6);
}

Test(bench_ledger, what_comes_late_is_seen_and_counts_as_reordered)
{
    cr_assert(ledger_note(&l, 4));
    cr_assert(ledger_note(&l, 2));
    cr_assert(ledger_seen(&l, 2));
    cr_assert_not(ledger_seen(&l, 1));
    cr_assert_not(ledger_seen(&l, 3));
    cr_assert_eq(l.missing, 3);
    cr_assert_eq(l.reordered, 1);
}

Test(bench_ledger, the_second_time_is_a_duplicate)
{
    cr_assert(ledger_note(&l, 0));
    cr_assert(ledger_note(&l, 2));
    cr_assert_not(ledger_note(&l, 0));
    cr_assert_not(ledger_note(&l, 2));
    cr_assert(ledger_note(&l, 1));
    cr_assert_not(ledger_note(&l, 1));
    cr_assert_eq(l.duplicates, 3);
    cr_assert_eq(l.missing, 0);
}
