// test_drain.c - when a broker that drains is to have ended how many of its connections.
#include <criterion/criterion.h>

#include "core/drain.h"

#define NOW_MS UINT64_C(1000)

static struct drain drain;

static void
set_up(void)
{
    drain_init(&drain);
}

static void
tear_down(void)
{
    drain_free(&drain);
}

TestSuite(drain, .init = set_up, .fini = tear_down);

static struct drain_view
look(uint64_t now_ms)
{
    struct drain_view view;
    drain_look(&drain, now_ms, &view);
    return view;
}

static uint32_t
share(uint32_t of, uint64_t now_ms)
{
    struct drain_view view = look(now_ms);
    return drain_share(&view, of, now_ms);
}

static void
tell(unsigned lane, uint32_t left)
{
    drain_tell(&drain, lane, look(NOW_MS).round, left);
}

Test(drain, none_unless_it_was_begun)
{
    cr_assert_not(drain_is_on(&drain));
    cr_assert_not(look(UINT64_MAX).on || look(UINT64_MAX).ends);
    cr_assert_not(drain_is_over(&drain, 1, UINT64_MAX));
    cr_assert_not(drain_undo(&drain));
}

Test(drain, in_even_shares_after_the_delay)
{
    cr_assert(drain_begin(&drain, NOW_MS, 5, 20, DRAIN_LAST));
    cr_assert(drain_is_on(&drain) && !look(NOW_MS + 4999).ends && look(NOW_MS + 4999).on);
    cr_assert(look(NOW_MS + 5000).ends);
    cr_assert_eq(share(1000, NOW_MS + 5000), 0);
    cr_assert_eq(share(1000, NOW_MS + 10000), 250);
    cr_assert_eq(share(UINT32_MAX, NOW_MS + 15000), UINT32_MAX / 2);
    cr_assert_eq(share(1000, NOW_MS + 24999), 999);
    cr_assert_eq(share(1000, NOW_MS + 25000), 1000);
}

Test(drain, the_last_is_over_with_the_last_lane_or_with_the_time)
{
    drain_begin(&drain, NOW_MS, 0, 20, DRAIN_LAST);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_not(drain_is_over(&drain, 64, NOW_MS + 1));
        tell(i, 1);
    }
    cr_assert_not(drain_is_over(&drain, 64, NOW_MS + 1));
    for (unsigned i = 0; i < 64; i++)
        tell(i, 0);
    cr_assert(drain_is_over(&drain, 64, NOW_MS + 1));
    tell(5, 1);
    cr_assert_not(drain_is_over(&drain, 64, NOW_MS + 19999));
    cr_assert(drain_is_over(&drain, 64, NOW_MS + 20000));
}

Test(drain, at_once_after_a_delay_alone)
{
    drain_begin(&drain, NOW_MS, 1, 0, DRAIN_LAST);
    cr_assert_not(drain_is_over(&drain, 1, NOW_MS + 999));
    cr_assert_eq(share(7, NOW_MS + 1000), 7);
    cr_assert(drain_is_over(&drain, 1, NOW_MS + 1000));
}

Test(drain, one_that_stays_is_never_over_and_may_be_undone)
{
    uint64_t left;
    cr_assert(drain_begin(&drain, NOW_MS, 0, 1, DRAIN_STAY));
    cr_assert_not(drain_left(&drain, 2, &left), "no lane has looked yet");
    tell(0, 3);
    tell(1, 4);
    cr_assert(drain_left(&drain, 2, &left) && left == 7);
    tell(0, 0);
    tell(1, 0);
    cr_assert(drain_left(&drain, 2, &left) && left == 0);
    cr_assert_not(drain_is_over(&drain, 2, NOW_MS + 100000), "the broker stays");
    cr_assert(drain_undo(&drain));
    cr_assert_not(drain_is_on(&drain) || look(NOW_MS + 100000).ends);
    cr_assert_not(drain_undo(&drain), "twice");
}

Test(drain, another_round_begins_anew)
{
    uint64_t left;
    drain_begin(&drain, NOW_MS, 0, 10, DRAIN_STAY);
    uint32_t before = look(NOW_MS).round;
    drain_tell(&drain, 0, before, 0);
    cr_assert(drain_begin(&drain, NOW_MS + 5000, 0, 100, DRAIN_STAY));
    cr_assert_eq(share(100, NOW_MS + 15000), 10, "of the new times");
    cr_assert_not(drain_left(&drain, 1, &left), "the lane has not looked since");
    drain_tell(&drain, 0, before, 0); // late
    cr_assert_not(drain_left(&drain, 1, &left));
    tell(0, 5);
    cr_assert(drain_left(&drain, 1, &left) && left == 5);
}

Test(drain, the_last_one_is_the_last)
{
    drain_begin(&drain, NOW_MS, 0, 10, DRAIN_STAY);
    cr_assert(drain_begin(&drain, NOW_MS, 0, 10, DRAIN_LAST));
    cr_assert_not(drain_begin(&drain, NOW_MS, 0, 1000, DRAIN_STAY));
    cr_assert_not(drain_undo(&drain));
    cr_assert(drain_is_on(&drain) && look(NOW_MS).last);
    cr_assert_eq(look(NOW_MS).end_ms, NOW_MS + 10000);
}
