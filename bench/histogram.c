// histogram.c - a log-linear histogram: powers of two, each cut into 128 equal buckets.
#include "bench/histogram.h"

#define SUB_COUNT ((uint64_t)1 << HISTOGRAM_SUB_BITS)

static uint32_t
bucket_of(uint64_t value)
{
    if (value < SUB_COUNT)
        return (uint32_t)value;
    if (value >> HISTOGRAM_VALUE_BITS != 0)
        return HISTOGRAM_BUCKETS - 1;
    uint32_t shift = 63u - (uint32_t)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    // value >> shift is in [128, 256), so that the rows of 128 follow each other without a hole.
    return (uint32_t)(shift * SUB_COUNT + (value >> shift));
}

// The largest value that falls into the bucket.
static uint64_t
bucket_end(uint32_t bucket)
{
    if (bucket < SUB_COUNT)
        return bucket;
    uint32_t shift = (bucket >> HISTOGRAM_SUB_BITS) - 1;
    uint64_t mantissa = SUB_COUNT + (bucket & (SUB_COUNT - 1));
    return ((mantissa + 1) << shift) - 1;
}

void
histogram_record(struct histogram *h, uint64_t value)
{
    h->buckets[bucket_of(value)]++;
    h->count++;
    h->sum += value;
    if (value > h->max)
        h->max = value;
}

void
histogram_merge(struct histogram *to, const struct histogram *from)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        to->buckets[i] += from->buckets[i];
    to->count += from->count;
    to->sum += from->sum;
    if (from->max > to->max)
        to->max = from->max;
}

uint64_t
histogram_quantile(const struct histogram *h, double quantile)
{
    if (h->count == 0)
        return 0;
    double exact = quantile * (double)h->count;
    uint64_t rank = (uint64_t)exact;
    if ((double)rank < exact)
        rank++;
    if (rank < 1)
        rank = 1;
    if (rank >= h->count)
        return h->max;

    uint64_t seen = 0;
    uint32_t bucket = 0;
    while ((seen += h->buckets[bucket]) < rank)
        bucket++;
    uint64_t end = bucket_end(bucket);
    return end < h->max ? end : h->max;
}

double
histogram_mean(const struct histogram *h)
{
    return h->count == 0 ? 0.0 : (double)h->sum / (double)h->count;
}
