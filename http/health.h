// health.h - is the broker alive, ready, started?
//
// Job:    judges what others leave in memory; says in a line why not.
// Owner:  the caller. Thread: any. Never waits, and looks neither at the disk nor at peers.
// Memory: none. Limits: HEALTH_TEXT_MAX.
#ifndef TERN_HTTP_HEALTH_H
#define TERN_HTTP_HEALTH_H

#include "core/base/base.h"

struct broker;

#define HEALTH_TEXT_MAX 256
// A worker whose loop has not come round for so long hangs.
#define HEALTH_TICK_MS 10000u

enum health_stage { HEALTH_STARTING, HEALTH_SERVING, HEALTH_ENDING };

struct health_view {
    enum health_stage stage;
    const struct broker *broker; // while SERVING
    uint64_t serving_ms;         // since when it is SERVING; monotonic
    uint64_t now_ms;
};

struct health {
    bool good;
    char text[HEALTH_TEXT_MAX]; // "ok\n", or why not
};

// Does every worker's loop come round? Before and after it serves, the broker is at work elsewhere.
void health_live(const struct health_view *view, struct health *ret);
// Does it serve, and would it take a new client? Not while it is out of memory, or drains; nor
// before it has caught up with the other nodes, once: a split that comes later changes nothing.
void health_ready(const struct health_view *view, struct health *ret);
// Has it been started, once?
void health_started(const struct health_view *view, struct health *ret);

#endif
