// scenario.h - who publishes to whom.
//
// Job:    the shape of each scenario, and the topics. A stream is one publisher as one subscriber
//         sees it; each scenario has as many streams as clients were asked for.
// Owner:  the run. Thread: read-only after scenario_shape. Memory: none. Limits: those of
// options.h.
#ifndef TERN_BENCH_SCENARIO_H
#define TERN_BENCH_SCENARIO_H

#include "bench/options.h"

#define SCENARIO_NO_STREAM UINT32_MAX
#define SCENARIO_TEXT_MAX  48u // of a topic, filter or client identifier

struct shape {
    uint32_t publishers, subscribers;
    uint32_t silent; // connections that only exist (idle), or come and go (connect)
    uint32_t streams;
    // Publisher p has subscriber p * stride to itself; 0: everyone hears everyone, and either is
    // one.
    uint32_t stride;
    bool churn;     // the silent ones come and go
    bool durable;   // sessions outlive connections
    bool parks;     // subscribers leave before the first message, and some or all return later
    uint64_t limit; // messages of each publisher
};

struct shape scenario_shape(const struct options *options);

// The stream between the two; SCENARIO_NO_STREAM when the subscriber should not hear the publisher.
uint32_t scenario_stream(const struct shape *shape, uint32_t publisher, uint32_t subscriber);
// The streams of one publisher follow each other.
uint32_t scenario_first_stream(const struct shape *shape, uint32_t publisher);
uint32_t scenario_fan_out(const struct shape *shape);
// How many messages each publisher may have under way in closed loop: its equal share of both
// windows, at least one.
uint64_t scenario_window(const struct shape *shape, const struct options *options);

// Whether a subscriber that left returns.
bool scenario_returns(const struct shape *shape, uint32_t subscriber);

void scenario_topic(const struct shape *shape, uint32_t run, uint32_t publisher,
                    char ret_text[SCENARIO_TEXT_MAX]);
// In fan-in a wildcard over all publishers' topics, else one topic.
void scenario_filter(const struct shape *shape, uint32_t run, uint32_t subscriber,
                     char ret_text[SCENARIO_TEXT_MAX]);

#endif
