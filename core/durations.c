// durations.c - how long something took, counted in classes.
#include "core/durations.h"

const uint32_t duration_bounds_us[DURATION_CLASSES - 1] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

const char *const duration_bounds_text[DURATION_CLASSES] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025",
    "0.05",   "0.1",     "0.25",   "0.5",   "1.0",    "2.5",   "10.0", "+Inf"};

void
durations_sum(const struct durations *durations, struct duration_sums *sums)
{
    must(durations != NULL && sums != NULL);
    for (unsigned i = 0; i < DURATION_CLASSES; i++)
        sums->counts[i] += stat_get(&durations->counts[i]);
    sums->sum_us += stat_get(&durations->sum_us);
}
