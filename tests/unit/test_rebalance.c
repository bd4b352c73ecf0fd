// test_rebalance.c - how many clients each lane is to send away, and when it is enough.
#include <criterion/criterion.h>

#include "core/rebalance.h"

#define NOW_MS UINT64_C(1000)
#define MANY   UINT64_C(1000000)

static struct rebalance rebalance;

static void
set_up(void)
{
    rebalance_init(&rebalance);
}

static void
tear_down(void)
{
    rebalance_free(&rebalance);
}

TestSuite(rebalance, .init = set_up, .fini = tear_down);

static struct rebalance_view
look(void)
{
    struct rebalance_view view;
    rebalance_look(&rebalance, &view);
    return view;
}

static bool
begin(uint64_t surplus, uint64_t goal, uint32_t rate)
{
    return rebalance_begin(&rebalance,
                           &(struct rebalance_plan){.surplus = surplus, .goal = goal, .rate = rate},
                           NOW_MS);
}

static uint32_t
take(unsigned lane, uint64_t clients, uint64_t after_ms)
{
    return rebalance_take(&rebalance, lane, 2, clients, NOW_MS + after_ms);
}

Test(rebalance, nobody_goes_unless_it_was_begun)
{
    cr_assert_not(rebalance_is_on(&rebalance) || rebalance_stop(&rebalance));
    cr_assert_eq(look().state, REBALANCE_NONE);
    cr_assert_eq(take(0, MANY, 100000), 0);
}

Test(rebalance, lanes_share_what_the_rate_allows)
{
    cr_assert(begin(1000, 0, 10));
    cr_assert_not(begin(1, 0, 1), "one at a time");
    cr_assert_eq(take(0, MANY, 99), 0);
    cr_assert_eq(take(0, MANY, 1000), 5);
    cr_assert_eq(take(1, MANY, 1000), 3, "half of the rest");
    cr_assert_eq(take(0, MANY, 1000), 1);
    cr_assert_eq(take(0, MANY, 1000), 1);
    cr_assert_eq(take(0, MANY, 1000), 0);
    cr_assert_eq(look().sent, 10);
    cr_assert_eq(take(0, MANY, 1000000000), 495, "no more than were to go");
    cr_assert_eq(take(1, MANY, 1000000000), 248);
}

Test(rebalance, it_ends_when_enough_have_gone)
{
    cr_assert(begin(3, 0, 10000));
    cr_assert_eq(take(0, MANY, 1000), 2);
    cr_assert_eq(take(1, MANY, 1000), 1);
    cr_assert_eq(look().state, REBALANCE_RUNS);
    cr_assert_eq(take(1, MANY, 1000), 0);
    cr_assert_eq(look().state, REBALANCE_DONE);
    cr_assert_not(rebalance_is_on(&rebalance));
    struct rebalance_view view;
    cr_assert(rebalance_tell(&rebalance, &view) && view.sent == 3);
    cr_assert_not(rebalance_tell(&rebalance, &view), "once");
}

Test(rebalance, it_ends_when_clients_went_by_themselves)
{
    cr_assert(begin(1000, 50, 1));
    cr_assert_eq(take(0, 51, 1000), 1);
    cr_assert_eq(take(0, 50, 9000), 0);
    cr_assert_eq(look().state, REBALANCE_DONE);
    cr_assert_eq(look().sent, 1);
    cr_assert(begin(5, 0, 1), "another one");
    cr_assert_eq(look().sent, 0);
}

Test(rebalance, it_ends_when_no_lane_finds_anybody)
{
    cr_assert(begin(100, 0, 100));
    cr_assert_eq(take(0, MANY, 1000), 50);
    rebalance_give_back(&rebalance, 0, 2, 20);
    cr_assert_eq(look().sent, 30);
    cr_assert_eq(take(0, MANY, 1000), 0, "it was not asked again");
    cr_assert_eq(take(1, MANY, 1000), 70, "the other one has all that is left");
    rebalance_give_back(&rebalance, 1, 2, 70);
    cr_assert_eq(look().state, REBALANCE_NOBODY);
    cr_assert_eq(look().sent, 30);
}

Test(rebalance, it_is_stopped)
{
    cr_assert(begin(100, 0, 100));
    cr_assert_eq(take(0, MANY, 1000), 50);
    cr_assert(rebalance_stop(&rebalance));
    rebalance_give_back(&rebalance, 0, 2, 50); // too late
    cr_assert_eq(look().state, REBALANCE_STOPPED);
    cr_assert_eq(take(1, MANY, 2000), 0);
}
