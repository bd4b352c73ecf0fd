// test_bench_pending.c - the load generator's packet identifiers.
#include <criterion/criterion.h>

#include "bench/pending.h"

static struct pending p;

static void
setup(void)
{
    p = (struct pending){0};
}

static void
teardown(void)
{
    pending_free(&p);
}

TestSuite(bench_pending, .init = setup, .fini = teardown);

Test(bench_pending, without_identifiers_every_one_is_free)
{
    cr_assert_eq(pending_state(&p, 1), PENDING_FREE);
    cr_assert_eq(pending_state(&p, 65535), PENDING_FREE);
}

Test(bench_pending, identifiers_are_taken_in_turn_and_never_0)
{
    pending_init(&p, 3, false);
    cr_assert_eq(pending_take(&p, 0, 0), 1);
    cr_assert_eq(pending_take(&p, 1, 0), 2);
    pending_end(&p, 1);
    cr_assert_eq(pending_take(&p, 2, 0), 3);
    cr_assert_eq(pending_take(&p, 3, 0), 1);
    cr_assert_eq(p.open, 3);
}

Test(bench_pending, one_in_use_is_passed_over)
{
    pending_init(&p, 3, false);
    for (uint64_t seq = 0; seq < 3; seq++)
        (void)pending_take(&p, seq, 0);
    pending_end(&p, 2);
    cr_assert_eq(pending_take(&p, 3, 0), 2);
}

Test(bench_pending, a_qos_2_flow_has_two_halves)
{
    pending_init(&p, 10, false);
    uint16_t id = pending_take(&p, 0, 0);
    cr_assert_eq(pending_state(&p, id), PENDING_PUBLISHED);
    pending_release(&p, id);
    cr_assert_eq(pending_state(&p, id), PENDING_RELEASED);
    pending_end(&p, id);
    cr_assert_eq(pending_state(&p, id), PENDING_FREE);
    cr_assert_eq(p.open, 0);
}

Test(bench_pending, what_is_no_identifier_is_free)
{
    pending_init(&p, 10, false);
    cr_assert_eq(pending_state(&p, 11), PENDING_FREE);
    cr_assert_eq(pending_state(&p, 0), PENDING_FREE);
}

Test(bench_pending, order_is_that_of_sequence_numbers_whatever_the_identifiers)
{
    uint16_t ids[4];
    pending_init(&p, 4, true);
    for (uint64_t seq = 0; seq < 4; seq++)
        (void)pending_take(&p, seq, 100 + seq);
    pending_end(&p, 1);
    pending_end(&p, 3);
    cr_assert_eq(pending_take(&p, 4, 104), 1);
    pending_release(&p, 2);
    pending_in_order(&p, ids);
    cr_assert_eq(ids[0], 2);
    cr_assert_eq(ids[1], 4);
    cr_assert_eq(ids[2], 1);
    cr_assert_eq(p.sent[ids[2]].seq, 4);
    cr_assert_eq(p.sent[ids[2]].due_us, 104);
}

Test(bench_pending, nothing_open_is_nothing_in_order)
{
    uint16_t ids[1] = {77};
    pending_init(&p, 4, true);
    pending_in_order(&p, ids);
    cr_assert_eq(ids[0], 77);
}
