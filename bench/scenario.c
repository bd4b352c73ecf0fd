// scenario.c - who publishes to whom.
#include "bench/scenario.h"

#include <stdio.h>

struct shape
scenario_shape(const struct options *options)
{
    uint32_t n = (uint32_t)options->clients;
    switch ((enum scenario)options->scenario) {
    case SCENARIO_PAIRS:
        return (struct shape){.publishers = n, .subscribers = n, .streams = n};
    case SCENARIO_FAN_IN:
        return (struct shape){.publishers = n, .subscribers = 1, .streams = n};
    case SCENARIO_FAN_OUT:
        return (struct shape){.publishers = 1, .subscribers = n, .streams = n};
    case SCENARIO_IDLE:
        return (struct shape){.silent = n};
    case SCENARIO_CONNECT:
        return (struct shape){.silent = n, .churn = true};
    }
    must(false);
    return (struct shape){0};
}

uint32_t
scenario_stream(const struct shape *shape, uint32_t publisher, uint32_t subscriber)
{
    must_hot(subscriber < shape->subscribers);
    if (publisher >= shape->publishers)
        return SCENARIO_NO_STREAM;
    if (shape->publishers == 1)
        return subscriber;
    if (shape->subscribers == 1 || publisher == subscriber)
        return publisher;
    return SCENARIO_NO_STREAM;
}

uint32_t
scenario_first_stream(const struct shape *shape, uint32_t publisher)
{
    must(publisher < shape->publishers);
    return shape->publishers == 1 ? 0 : publisher;
}

uint32_t
scenario_fan_out(const struct shape *shape)
{
    return shape->publishers == 1 ? shape->subscribers : 1;
}

uint64_t
scenario_window(const struct shape *shape, const struct options *options)
{
    uint32_t sharing = shape->subscribers == 1 ? shape->publishers : 1;
    if (shape->streams == 0)
        return 0;
    uint64_t window =
        min_u64(options->window_per_sub / sharing, options->window_total / shape->streams);
    return max_u64(window, 1);
}

void
scenario_topic(uint32_t run, uint32_t publisher, char ret_text[SCENARIO_TEXT_MAX])
{
    int len = snprintf(ret_text, SCENARIO_TEXT_MAX, "bench/%08x/%u", run, publisher);
    must(len > 0 && len < (int)SCENARIO_TEXT_MAX);
}

void
scenario_filter(const struct shape *shape, uint32_t run, uint32_t subscriber,
                char ret_text[SCENARIO_TEXT_MAX])
{
    if (shape->publishers > 1 && shape->subscribers == 1) {
        int len = snprintf(ret_text, SCENARIO_TEXT_MAX, "bench/%08x/+", run);
        must(len > 0 && len < (int)SCENARIO_TEXT_MAX);
    } else {
        scenario_topic(run, shape->publishers == 1 ? 0 : subscriber, ret_text);
    }
}
