// durations.c - how long something took, or how much it was, counted in classes.
#include "core/durations.h"

const uint32_t duration_bounds_us[DURATION_CLASSES - 1] = {
    10,    25,    50,    100,    250,    500,    1000,    2500,    5000,
    10000, 25000, 50000, 100000, 250000, 500000, 1000000, 2500000, 10000000};

const char *const duration_bounds_text[DURATION_CLASSES] = {
    "0.00001", "0.000025", "0.00005", "0.0001", "0.00025", "0.0005", "0.001",
    "0.0025",  "0.005",    "0.01",    "0.025",  "0.05",    "0.1",    "0.25",
    "0.5",     "1.0",      "2.5",     "10.0",   "+Inf"};

const uint32_t size_bounds[DURATION_CLASSES - 1] = {1,     2,     5,     10,     20,     50,
                                                    100,   200,   500,   1000,   2000,   5000,
                                                    10000, 20000, 50000, 100000, 200000, 500000};

const char *const size_bounds_text[DURATION_CLASSES] = {
    "1.0",     "2.0",      "5.0",      "10.0",     "20.0",   "50.0",    "100.0",
    "200.0",   "500.0",    "1000.0",   "2000.0",   "5000.0", "10000.0", "20000.0",
    "50000.0", "100000.0", "200000.0", "500000.0", "+Inf"};

void
durations_sum(const struct durations *durations, struct duration_sums *sums)
{
    must(durations != NULL && sums != NULL);
    for (unsigned i = 0; i < DURATION_CLASSES; i++)
        sums->counts[i] += stat_get(&durations->counts[i]);
    sums->sum += stat_get(&durations->sum);
}
