// test_mem.c - allocation helpers.
#include <criterion/criterion.h>
#include <signal.h>

#include "core/base/mem.h"

Test(mem, zalloc_is_zeroed)
{
    uint8_t *p = mem_zalloc(1000);
    for (size_t i = 0; i < 1000; i++)
        cr_assert_eq(p[i], 0);
    mem_free(p);
}

Test(mem, aligned_is_aligned_and_zeroed)
{
    for (size_t align = sizeof(void *); align <= 4096; align *= 2) {
        uint8_t *p = mem_alloc_aligned(align, 100);
        cr_assert_eq((uintptr_t)p % align, 0);
        for (size_t i = 0; i < 100; i++)
            cr_assert_eq(p[i], 0);
        mem_free(p);
    }
}

Test(mem, free_takes_null)
{
    mem_free(NULL);
}

Test(mem, strndup_copies_any_bytes_and_terminates)
{
    char *s = mem_strndup("ab\0cd", 5);
    cr_assert_eq(memcmp(s, "ab\0cd\0", 6), 0);
    mem_free(s);
    s = mem_strndup(NULL, 0);
    cr_assert_str_eq(s, "");
    mem_free(s);
    s = mem_strdup("topic");
    cr_assert_str_eq(s, "topic");
    mem_free(s);
}

Test(mem, grow_keeps_contents_and_doubles)
{
    uint32_t cap = 0;
    uint32_t *a = NULL;
    unsigned moves = 0;
    for (uint32_t i = 0; i < 100000; i++) {
        uint32_t before = cap;
        a = mem_grow(a, &cap, i + 1, sizeof(*a));
        moves += cap != before;
        cr_assert_geq(cap, i + 1);
        a[i] = i * 7;
    }
    for (uint32_t i = 0; i < 100000; i++)
        cr_assert_eq(a[i], i * 7);
    cr_assert_leq(moves, 15);
    mem_free(a);
}

Test(mem, grow_leaves_a_big_enough_array_alone)
{
    uint32_t cap = 0;
    char *a = mem_grow(NULL, &cap, 10, 1);
    uint32_t had = cap;
    cr_assert_eq(mem_grow(a, &cap, had, 1), a);
    cr_assert_eq(cap, had);
    cr_assert_eq(mem_grow(a, &cap, 0, 1), a);
    mem_free(a);
}

Test(mem, grow_of_nothing_by_nothing_is_nothing)
{
    uint32_t cap = 0;
    cr_assert_null(mem_grow(NULL, &cap, 0, 8));
    cr_assert_eq(cap, 0);
}

Test(mem, grow_stops_at_overflow, .signal = SIGABRT)
{
    uint32_t cap = 0;
    (void)mem_grow(NULL, &cap, UINT32_MAX, SIZE_MAX / 2);
}

Test(mem, size_zero_is_a_programmers_error, .signal = SIGABRT)
{
    (void)mem_alloc(0);
}
