// histogram.h - a log-linear histogram of latencies.
//
// Job:    count values, then tell any quantile within one part in 128; values up to 127 are exact.
// Owner:  whoever embeds it. Thread: one; workers keep their own, merged at the end.
// Memory: itself, about 34 KB, no pointers. Limits: values from 2^40 on (12 days in microseconds)
//         are counted in the last bucket; the maximum stays exact.
#ifndef TERN_BENCH_HISTOGRAM_H
#define TERN_BENCH_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS   7
#define HISTOGRAM_VALUE_BITS 40
#define HISTOGRAM_BUCKETS    ((HISTOGRAM_VALUE_BITS - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

// Zeroed memory is an empty histogram.
struct histogram {
    uint64_t count, sum, max;
    uint64_t buckets[HISTOGRAM_BUCKETS];
};

void histogram_record(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *to, const struct histogram *from);
// The smallest recorded value, rounded up to its bucket's end, that at least this share of all
// values does not exceed. quantile: 0.0 to 1.0. An empty histogram answers 0.
uint64_t histogram_quantile(const struct histogram *h, double quantile);
double histogram_mean(const struct histogram *h); // 0 when empty

#endif
