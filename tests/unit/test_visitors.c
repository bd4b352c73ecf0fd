// test_visitors.c - who is remembered, and who is forgotten.
#include <criterion/criterion.h>

#include "core/visitors.h"

static struct visitors *visitors;

static void
set_up(void)
{
    visitors = visitors_new();
}

static void
tear_down(void)
{
    visitors_free(visitors);
}

TestSuite(visitors, .init = set_up, .fini = tear_down);

static struct visitor *
get(uint64_t key)
{
    uint32_t place;
    struct visitor *visitor = visitors_get(visitors, key, &place);
    cr_assert_eq(visitor->key, key);
    return visitor;
}

Test(visitors, a_record_is_found_again)
{
    for (uint64_t key = 1; key <= 10000; key++)
        get(key * UINT64_C(0x9e3779b97f4a7c15))->events = (uint32_t)key;
    cr_assert_eq(visitors_count(visitors), 10000);
    for (uint64_t key = 1; key <= 10000; key++)
        cr_assert_eq(get(key * UINT64_C(0x9e3779b97f4a7c15))->events, key);
}

Test(visitors, keys_of_one_slot_are_told_apart)
{
    for (uint64_t key = 1; key <= 100; key++)
        get(key << 32 | 7)->events = (uint32_t)key;
    for (uint64_t key = 1; key <= 100; key++)
        cr_assert_eq(get(key << 32 | 7)->events, key);
}

Test(visitors, those_that_were_asked_for_longest_ago_go_first)
{
    for (uint64_t key = 1; key <= VISITORS_IDLE_MAX; key++)
        get(key)->events = 1;
    get(1)->events = 2; // seen again
    get(VISITORS_IDLE_MAX + 1)->events = 1;
    cr_assert_eq(visitors_count(visitors), VISITORS_IDLE_MAX);
    cr_assert_eq(get(1)->events, 2, "it stays");
    cr_assert_eq(get(2)->events, 0, "the oldest was forgotten, and begins anew");
}

Test(visitors, what_is_held_is_not_forgotten)
{
    uint32_t place;
    (void)visitors_get(visitors, 1, &place);
    visitors_hold(visitors, place);
    visitors_hold(visitors, place);
    for (uint64_t key = 2; key <= 3 * VISITORS_IDLE_MAX; key++)
        (void)get(key);
    cr_assert_eq(get(1)->held, 2);
    cr_assert_eq(visitors_count(visitors), VISITORS_IDLE_MAX + 1);
    visitors_let_go(visitors, place);
    visitors_let_go(visitors, place);
    cr_assert_eq(visitors_count(visitors), VISITORS_IDLE_MAX);
    for (uint64_t key = 4 * VISITORS_IDLE_MAX; key <= 6 * VISITORS_IDLE_MAX; key++)
        (void)get(key);
    cr_assert_eq(visitors_count(visitors), VISITORS_IDLE_MAX);
}

Test(visitors, a_flood_of_new_keys_takes_no_new_memory)
{
    for (uint64_t key = 1; key <= 5 * VISITORS_IDLE_MAX; key++)
        (void)get(key * UINT64_C(0x9e3779b97f4a7c15));
    cr_assert_eq(visitors_count(visitors), VISITORS_IDLE_MAX);
}

Test(visitors, events_count_within_their_window)
{
    struct visitor visitor = {0};
    cr_assert_eq(visitor_event(&visitor, 1000, 5000), 1);
    cr_assert_eq(visitor_event(&visitor, 1000, 5500), 2);
    cr_assert_eq(visitor_event(&visitor, 1000, 5999), 3);
    cr_assert_eq(visitor_event(&visitor, 1000, 6000), 1, "a new window");
    cr_assert_eq(visitor_event(&visitor, 1000, 6999), 2);
    cr_assert_eq(visitor_event(&visitor, 1000, 5998), 3, "a worker whose tick began before");
}
