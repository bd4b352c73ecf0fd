// scenario.c - who publishes to whom.
#include "bench/scenario.h"

#include <stdio.h>

struct shape
scenario_shape(const struct options *options)
{
    uint32_t n = (uint32_t)options->clients;
    struct shape shape = {.publishers = n, .subscribers = n, .streams = n, .limit = UINT64_MAX};
    shape.durable = scenario_is_durable(options->scenario);
    switch ((enum scenario)options->scenario) {
    case SCENARIO_PAIRS:
    case SCENARIO_DURABLE_PAIRS:
        shape.stride = 1;
        return shape;
    case SCENARIO_FAN_IN:
        shape.subscribers = 1;
        return shape;
    case SCENARIO_FAN_OUT:
        shape.publishers = 1;
        return shape;
    case SCENARIO_OFFLINE_QUEUE:
        shape.stride = 1;
        shape.parks = true;
        shape.limit = options->messages;
        return shape;
    case SCENARIO_RECOVER:
        // The sample is spread over all sessions.
        shape.publishers = shape.streams = (uint32_t)min_u64(n, options->sample);
        shape.stride = n / shape.publishers;
        shape.parks = true;
        shape.limit = 1;
        return shape;
    case SCENARIO_IDLE:
        return (struct shape){.silent = n};
    case SCENARIO_CONNECT:
        return (struct shape){.silent = n, .churn = true};
    }
    must(false);
    return shape;
}

uint32_t
scenario_stream(const struct shape *shape, uint32_t publisher, uint32_t subscriber)
{
    must_hot(subscriber < shape->subscribers);
    if (publisher >= shape->publishers)
        return SCENARIO_NO_STREAM;
    if (shape->stride == 0)
        return shape->publishers == 1 ? subscriber : publisher;
    return (uint64_t)publisher * shape->stride == subscriber ? publisher : SCENARIO_NO_STREAM;
}

uint32_t
scenario_first_stream(const struct shape *shape, uint32_t publisher)
{
    must(publisher < shape->publishers);
    return publisher * scenario_fan_out(shape);
}

uint32_t
scenario_fan_out(const struct shape *shape)
{
    return shape->stride == 0 ? shape->subscribers : 1;
}

bool
scenario_returns(const struct shape *shape, uint32_t subscriber)
{
    must(shape->parks && shape->stride > 0);
    return subscriber % shape->stride == 0 && subscriber / shape->stride < shape->publishers;
}

uint64_t
scenario_window(const struct shape *shape, const struct options *options)
{
    uint32_t sharing = shape->stride == 0 ? shape->publishers : 1;
    if (shape->streams == 0)
        return 0;
    uint64_t window =
        min_u64(options->window_per_sub / sharing, options->window_total / shape->streams);
    return max_u64(window, 1);
}

static void
name_topic(uint32_t run, uint32_t number, char ret_text[SCENARIO_TEXT_MAX])
{
    int len = snprintf(ret_text, SCENARIO_TEXT_MAX, "bench/%08x/%u", run, number);
    must(len > 0 && len < (int)SCENARIO_TEXT_MAX);
}

void
scenario_topic(const struct shape *shape, uint32_t run, uint32_t publisher,
               char ret_text[SCENARIO_TEXT_MAX])
{
    must(publisher < shape->publishers);
    name_topic(run, shape->stride == 0 ? publisher : publisher * shape->stride, ret_text);
}

void
scenario_filter(const struct shape *shape, uint32_t run, uint32_t subscriber,
                char ret_text[SCENARIO_TEXT_MAX])
{
    if (shape->stride == 0 && shape->publishers > 1) {
        int len = snprintf(ret_text, SCENARIO_TEXT_MAX, "bench/%08x/+", run);
        must(len > 0 && len < (int)SCENARIO_TEXT_MAX);
    } else {
        name_topic(run, shape->stride == 0 ? 0 : subscriber, ret_text);
    }
}
