// test_drain.c - when a broker that ends is to have ended how many of its connections.
#include <criterion/criterion.h>

#include "core/drain.h"

#define NOW_MS UINT64_C(1000)

Test(drain, none_unless_it_was_begun)
{
    struct drain drain = {0};
    cr_assert_not(drain_is_on(&drain));
    cr_assert_not(drain_ends(&drain, UINT64_MAX));
    cr_assert_not(drain_is_over(&drain, 1, UINT64_MAX));
    cr_assert_eq(drain_due(&drain, 0, NOW_MS), UINT64_MAX);
}

Test(drain, in_even_steps_after_the_delay)
{
    struct drain drain = {0};
    drain_begin(&drain, NOW_MS, 5, 20);
    cr_assert(drain_is_on(&drain) && !drain_ends(&drain, NOW_MS + 4999));
    cr_assert_eq(drain_due(&drain, 0, NOW_MS), NOW_MS + 5000);
    cr_assert(drain_ends(&drain, NOW_MS + 5000));
    cr_assert_eq(drain_share(&drain, 1000, NOW_MS + 5000), 0);
    cr_assert_eq(drain_share(&drain, 1000, NOW_MS + 10000), 250);
    cr_assert_eq(drain_share(&drain, UINT32_MAX, NOW_MS + 15000), UINT32_MAX / 2);
    cr_assert_eq(drain_share(&drain, 1000, NOW_MS + 24999), 999);
    cr_assert_eq(drain_share(&drain, 1000, NOW_MS + 25000), 1000);
    cr_assert_eq(drain_due(&drain, 0, NOW_MS + 6000), NOW_MS + 6000 + DRAIN_STEP_MS);
}

Test(drain, over_with_the_last_lane_or_with_the_time)
{
    struct drain drain = {0};
    drain_begin(&drain, NOW_MS, 0, 20);
    for (unsigned i = 0; i < 64; i++) {
        cr_assert_not(drain_is_over(&drain, 64, NOW_MS + 1));
        drain_done(&drain, i);
        cr_assert_eq(drain_due(&drain, i, NOW_MS + 1), UINT64_MAX);
    }
    cr_assert(drain_is_over(&drain, 64, NOW_MS + 1));
    struct drain late = {0};
    drain_begin(&late, NOW_MS, 3, 20);
    drain_done(&late, 0);
    cr_assert_not(drain_is_over(&late, 2, NOW_MS + 22999));
    cr_assert(drain_is_over(&late, 2, NOW_MS + 23000));
}

Test(drain, at_once_after_a_delay_alone)
{
    struct drain drain = {0};
    drain_begin(&drain, NOW_MS, 1, 0);
    cr_assert_not(drain_is_over(&drain, 1, NOW_MS + 999));
    cr_assert_eq(drain_share(&drain, 7, NOW_MS + 1000), 7);
    cr_assert(drain_is_over(&drain, 1, NOW_MS + 1000));
}
