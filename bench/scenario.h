// scenario.h - who publishes to whom.
//
// Job:    the shape of each scenario: clients, topics and filters. A stream is one publisher as one
//         subscriber sees it; where a group shares its messages, as the group sees it.
// Owner:  the run. Thread: read-only after scenario_shape. Memory: none.
// Limits: those of options.h.
#ifndef TERN_BENCH_SCENARIO_H
#define TERN_BENCH_SCENARIO_H

#include "bench/options.h"

#define SCENARIO_NO_STREAM   UINT32_MAX
#define SCENARIO_ID_MAX      48u  // of a client identifier
#define SCENARIO_TEXT_MAX    360u // of a topic or filter, with SCENARIO_DEPTH_MAX levels
#define SCENARIO_DEPTH_MAX   128u
#define SCENARIO_DIGITS      7u    // of a topic's number, so that it can be written over
#define SCENARIO_HOLDS       1000u // extra subscriptions of each client that holds some
#define SCENARIO_STREAMS_MAX 50000000u

enum role {
    ROLE_PUBLISHER,  // in `fleet`: the devices, which also hear commands
    ROLE_SUBSCRIBER, // in `fleet`: the backends
    ROLE_SILENT,     // only exist, or hold extra subscriptions
    ROLE_COMER,      // come and go while the others work
    ROLE_COMMANDER,  // `fleet`: publishes to one device at a time
    ROLE_WATCHER,    // `fleet`: hears the wills
    ROLES,
};

// What a message belongs to; a client that hears has one of them.
enum flow {
    FLOW_MAIN,
    FLOW_COMMANDS,
    FLOW_WILLS,
};

struct shape {
    enum scenario scenario;
    uint32_t clients[ROLES];
    uint32_t streams; // of FLOW_MAIN; behind them those of commands, then those of wills
    uint32_t all_streams;
    // Publisher p has subscriber p * stride to itself; 0: everyone hears everyone.
    uint32_t stride;
    uint32_t topics;  // of each publisher, used in turn
    uint32_t filters; // of each subscriber
    uint32_t depth;   // levels of a topic
    uint64_t extra;   // subscriptions held by the silent
    uint32_t wildcard_percent;
    uint64_t limit;    // messages of each publisher
    bool shared;       // subscribers are one group: one of them hears each message
    bool exact;        // many-topics: a filter for each topic
    bool durable;      // sessions outlive connections
    bool parks;        // subscribers leave before the first message, and some or all return later
    bool retains;      // messages are retained, for those who come
    bool acknowledges; // closed loop: nobody is there to deliver to, PUBACK opens the window
};

struct shape scenario_shape(const struct options *options);

// The stream between the two; SCENARIO_NO_STREAM when the subscriber should not hear the publisher.
// Both are numbers within the roles that send and hear the flow.
uint32_t scenario_stream_of(const struct shape *shape, enum flow flow, uint32_t publisher,
                            uint32_t subscriber);
// The same in FLOW_MAIN.
static inline uint32_t
scenario_stream(const struct shape *shape, uint32_t publisher, uint32_t subscriber)
{
    must_hot(subscriber < shape->clients[ROLE_SUBSCRIBER]);
    if (publisher >= shape->clients[ROLE_PUBLISHER])
        return SCENARIO_NO_STREAM;
    if (likely(shape->stride > 0)) {
        bool pair = (uint64_t)publisher * shape->stride == subscriber;
        return pair ? publisher : SCENARIO_NO_STREAM;
    }
    return shape->shared ? publisher : publisher * shape->clients[ROLE_SUBSCRIBER] + subscriber;
}

// The streams of one publisher follow each other.
uint32_t scenario_first_stream(const struct shape *shape, uint32_t publisher);
uint32_t scenario_fan_out(const struct shape *shape);
// How many messages each publisher may have under way in closed loop: its equal share of all
// windows, at least one.
uint64_t scenario_window(const struct shape *shape, const struct options *options);

// Whether a subscriber that left returns.
bool scenario_returns(const struct shape *shape, uint32_t subscriber);
// Those who come in the measured time, again and again, and how many a second; 0 = at once.
uint64_t scenario_coming_rate(const struct options *options);
// What publishers send in a second; 0 = closed loop.
uint64_t scenario_publish_rate(const struct options *options);

// A topic of a publisher. Returns where in it the SCENARIO_DIGITS digits of `index` stand; 0 when
// the publisher has only one topic.
uint32_t scenario_topic(const struct shape *shape, uint32_t run, uint32_t publisher, uint32_t index,
                        char ret_text[SCENARIO_TEXT_MAX]);
// The same of the one who commands, for a device; and of a device's will.
uint32_t scenario_command_topic(uint32_t run, uint32_t device, char ret_text[SCENARIO_TEXT_MAX]);
void scenario_will_topic(uint32_t run, uint32_t device, char ret_text[SCENARIO_TEXT_MAX]);
// Writes number over those digits.
void scenario_write_digits(uint8_t digits[SCENARIO_DIGITS], uint32_t number);

// How many filters a client subscribes to, and each of them.
uint32_t scenario_filter_count(const struct shape *shape, enum role role, uint32_t number);
void scenario_filter(const struct shape *shape, uint32_t run, enum role role, uint32_t number,
                     uint32_t index, char ret_text[SCENARIO_TEXT_MAX]);

#endif
