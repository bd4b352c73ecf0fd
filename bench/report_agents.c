// report_agents.c - what each agent of a run did.
#include "bench/report_agents.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>

static void
json_number(const char *key, double value, int decimals)
{
    if (isnan(value))
        (void)printf(", \"%s\": null", key);
    else
        (void)printf(", \"%s\": %.*f", key, decimals, value);
}

// Quotation marks and backslashes do not get through the resolver, so that an address has none.
void
report_agents_json(const struct result *result)
{
    for (uint32_t i = 0; i < result->agent_count; i++) {
        const struct agent_result *a = &result->agents[i];
        (void)printf("%s{\"address\": \"%s\"", i == 0 ? ", \"agents\": [" : ", ", a->address);
        (void)printf(
            ", \"published_all\": %" PRIu64 ", \"delivered_all\": %" PRIu64
            ", \"acked_all\": %" PRIu64 ", \"duplicates\": %" PRIu64 ", \"reordered\": %" PRIu64
            ", \"stray\": %" PRIu64 ", \"connections_lost\": %" PRIu64,
            a->published, a->delivered, a->acked, a->duplicates, a->reordered, a->stray, a->lost);
        json_number("lost", a->missing, 0);
        json_number("latency_p99_us", a->latency_p99_us, 0);
        json_number("lateness_p99_us", a->lateness_p99_us, 0);
        json_number("own_cpu_percent", a->own_cpu_percent, 1);
        (void)printf(", \"clock_offset_us\": %" PRId64 ", \"clock_uncertainty_us\": %" PRIu64
                     ", \"clock_drift_us\": %" PRId64 "}",
                     a->clock_offset_us, a->clock_uncertainty_us, a->clock_drift_us);
    }
    if (result->agent_count > 0)
        (void)printf("]");
}

void
report_agents_table(const struct result *result)
{
    for (uint32_t i = 0; i < result->agent_count; i++) {
        const struct agent_result *a = &result->agents[i];
        if (i == 0)
            (void)printf("Agents\n");
        (void)printf("  %u, %s: published %" PRIu64 ", delivered %" PRIu64, i + 1, a->address,
                     a->published, a->delivered);
        if (a->missing > 0)
            (void)printf(", lost %.0f", a->missing);
        if (a->lost > 0)
            (void)printf(", connections lost %" PRIu64, a->lost);
        if (!isnan(a->latency_p99_us))
            (void)printf(", latency p99 %.0f us", a->latency_p99_us);
        if (!isnan(a->lateness_p99_us))
            (void)printf(", late p99 %.0f us", a->lateness_p99_us);
        (void)printf(", CPU %.0f %%, clock %+" PRId64 " +- %" PRIu64 " us, drift %+" PRId64 " us\n",
                     a->own_cpu_percent, a->clock_offset_us, a->clock_uncertainty_us,
                     a->clock_drift_us);
    }
}
