// test_bench_histogram.c - the load generator's histogram.
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "bench/histogram.h"

static struct histogram h, other;

static void
setup(void)
{
    memset(&h, 0, sizeof h);
    memset(&other, 0, sizeof other);
}

TestSuite(bench_histogram, .init = setup);

Test(bench_histogram, empty_answers_zero)
{
    cr_assert_eq(histogram_quantile(&h, 0.5), 0);
    cr_assert_eq(histogram_quantile(&h, 1.0), 0);
    cr_assert_float_eq(histogram_mean(&h), 0.0, 1e-9);
}

Test(bench_histogram, one_value_is_every_quantile)
{
    histogram_record(&h, 1234567);
    cr_assert_eq(histogram_quantile(&h, 0.0), 1234567);
    cr_assert_eq(histogram_quantile(&h, 0.5), 1234567);
    cr_assert_eq(histogram_quantile(&h, 1.0), 1234567);
    cr_assert_eq(h.max, 1234567);
}

Test(bench_histogram, values_below_128_are_exact)
{
    for (uint64_t v = 0; v < 128; v++)
        histogram_record(&h, v);
    for (uint64_t rank = 1; rank <= 128; rank++)
        cr_assert_eq(histogram_quantile(&h, (double)rank / 128.0), rank - 1);
}

Test(bench_histogram, quantile_is_the_value_of_its_rank)
{
    for (uint64_t v = 1; v <= 100; v++)
        histogram_record(&h, v);
    cr_assert_eq(histogram_quantile(&h, 0.50), 50);
    cr_assert_eq(histogram_quantile(&h, 0.90), 90);
    cr_assert_eq(histogram_quantile(&h, 0.99), 99);
    cr_assert_eq(histogram_quantile(&h, 0.991), 100);
    cr_assert_eq(histogram_quantile(&h, 0.0), 1);
    cr_assert_float_eq(histogram_mean(&h), 50.5, 1e-9);
}

Test(bench_histogram, every_power_of_two_and_its_neighbours_keep_the_precision)
{
    for (int bit = 7; bit < HISTOGRAM_VALUE_BITS; bit++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t v = ((uint64_t)1 << bit) + (uint64_t)(int64_t)delta;
            setup();
            histogram_record(&h, v);
            histogram_record(&h, UINT64_MAX); // so that the maximum does not hide the bucket's end
            uint64_t got = histogram_quantile(&h, 0.5);
            cr_assert_geq(got, v);
            cr_assert_leq(got - v, v / 128, "value %lu answered as %lu", (unsigned long)v,
                          (unsigned long)got);
        }
    }
}

Test(bench_histogram, order_of_buckets_is_the_order_of_values)
{
    uint64_t before = 0;
    for (uint64_t v = 1; v < (uint64_t)1 << 39; v += 1 + v / 100) {
        setup();
        histogram_record(&h, v);
        histogram_record(&h, UINT64_MAX);
        uint64_t got = histogram_quantile(&h, 0.5);
        cr_assert_geq(got, before);
        before = got;
    }
}

Test(bench_histogram, a_value_out_of_range_lands_in_the_last_bucket)
{
    histogram_record(&h, UINT64_MAX);
    histogram_record(&h, (uint64_t)1 << HISTOGRAM_VALUE_BITS);
    histogram_record(&h, ((uint64_t)1 << HISTOGRAM_VALUE_BITS) - 1);
    cr_assert_eq(h.buckets[HISTOGRAM_BUCKETS - 1], 3);
    cr_assert_eq(histogram_quantile(&h, 1.0), UINT64_MAX);
}

Test(bench_histogram, the_tail_is_not_smoothed_away)
{
    for (int i = 0; i < 9999; i++)
        histogram_record(&h, 10);
    histogram_record(&h, 5000000);
    cr_assert_eq(histogram_quantile(&h, 0.999), 10);
    cr_assert_eq(histogram_quantile(&h, 0.9999), 10);
    cr_assert_eq(histogram_quantile(&h, 0.99995), 5000000);
    cr_assert_eq(h.max, 5000000);
}

Test(bench_histogram, merged_equals_recorded_together)
{
    struct histogram *all = calloc(1, sizeof *all);
    cr_assert_not_null(all);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t v = i * i * 7919 % 1000003;
        histogram_record(i % 3 == 0 ? &h : &other, v);
        histogram_record(all, v);
    }
    histogram_merge(&h, &other);
    cr_assert_eq(memcmp(&h, all, sizeof h), 0);
    free(all);
}

Test(bench_histogram, merging_an_empty_one_changes_nothing)
{
    histogram_record(&h, 77);
    histogram_merge(&h, &other);
    cr_assert_eq(h.count, 1);
    cr_assert_eq(histogram_quantile(&h, 0.5), 77);
}
