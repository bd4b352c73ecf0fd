// test_bucket.c - token buckets over a clock that the test moves.
#include <criterion/criterion.h>

#include "core/bucket.h"

static struct bucket bucket;

// How many are taken one by one until there is none.
static unsigned
drain(uint64_t rate, uint64_t now_ms)
{
    unsigned taken = 0;
    while (bucket_ready(&bucket, rate, now_ms) && taken < 1000000) {
        bucket_take(&bucket, rate, 1);
        taken++;
    }
    return taken;
}

Test(bucket, a_second_is_saved_up_and_no_more)
{
    bucket_init(&bucket, 50, 1000);
    cr_assert_eq(drain(50, 1000), 50);
    cr_assert_eq(drain(50, 1000), 0);
    cr_assert_eq(drain(50, 1000 + 3600000), 50, "an hour later");
}

Test(bucket, tokens_come_back_evenly)
{
    bucket_init(&bucket, 50, 0);
    (void)drain(50, 0);
    cr_assert_eq(drain(50, 19), 0, "one in 20 ms");
    cr_assert_eq(drain(50, 20), 1);
    unsigned taken = 0;
    for (uint64_t now = 21; now <= 10020; now += 7) // in steps that fit nothing
        taken += drain(50, now);
    cr_assert(taken >= 499 && taken <= 500, "%u in ten seconds", taken);
}

Test(bucket, the_wait_is_as_long_as_it_says)
{
    static const uint64_t rates[] = {1, 3, 7, 50, 999, 1000, 1001, 1000000};
    for (unsigned i = 0; i < ARRAY_LEN(rates); i++) {
        bucket_init(&bucket, rates[i], 5);
        (void)drain(rates[i], 5);
        uint64_t wait = bucket_wait_ms(&bucket, rates[i]);
        cr_assert(wait >= 1);
        cr_assert(wait == 1 || !bucket_ready(&bucket, rates[i], 5 + wait - 1), "not before");
        cr_assert(bucket_ready(&bucket, rates[i], 5 + wait), "rate %d", (int)rates[i]);
    }
}

Test(bucket, a_debt_is_paid_before_anything_is_taken)
{
    bucket_init(&bucket, 1000, 0);
    cr_assert(bucket_ready(&bucket, 1000, 0));
    bucket_take(&bucket, 1000, 268435460); // the largest packet
    cr_assert_not(bucket_ready(&bucket, 1000, 0));
    uint64_t wait = bucket_wait_ms(&bucket, 1000);
    cr_assert_eq(wait, 268435460 - 1000 + 1);
    cr_assert_not(bucket_ready(&bucket, 1000, wait - 1));
    cr_assert(bucket_ready(&bucket, 1000, wait));
}

Test(bucket, rate_0_is_no_limit)
{
    bucket_init(&bucket, 0, 0);
    for (unsigned i = 0; i < 1000; i++) {
        cr_assert(bucket_ready(&bucket, 0, 0));
        bucket_take(&bucket, 0, UINT32_MAX);
    }
}

Test(bucket, another_rate_counts_from_now_on)
{
    bucket_init(&bucket, 1000, 0);
    cr_assert_eq(drain(10, 0), 10, "what was saved up for the old one is cut");
    bucket_init(&bucket, 10, 0);
    (void)drain(10, 0);
    cr_assert_eq(drain(1000, 100), 100);
}

Test(bucket, the_largest_rate_and_the_longest_rest)
{
    uint64_t rate = UINT64_C(1) << 40;
    bucket_init(&bucket, rate, 0);
    bucket_take(&bucket, rate, UINT32_MAX);
    cr_assert(bucket_ready(&bucket, rate, UINT64_MAX / 2));
    cr_assert_eq(bucket.millis, (int64_t)(rate * 1000));
}

Test(bucket, a_clock_that_goes_back_gives_nothing)
{
    bucket_init(&bucket, 10, 5000);
    (void)drain(10, 5000);
    cr_assert_eq(drain(10, 1000), 0);
    cr_assert_eq(drain(10, 5000), 0, "nor twice for the same time");
    cr_assert_eq(drain(10, 5100), 1);
}
