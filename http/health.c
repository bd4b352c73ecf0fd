// health.c - is the broker alive, ready, started?
#include "http/health.h"

#include <stdarg.h>
#include <stdio.h>

#include "core/broker.h"
#include "core/cluster.h"
#include "core/governor.h"

// Else a worker that sleeps would be taken for one that hangs.
_Static_assert(BROKER_BEAT_MS * 2 <= HEALTH_TICK_MS, "a sleep, and as long to wake from it");

static void PRINTF_LIKE(2) say(struct health *health, const char *format, ...)
{
    size_t used = strlen(health->text);
    must(used < sizeof health->text);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(health->text + used, sizeof health->text - used, format, args);
    va_end(args);
}

static void
begin(struct health *ret)
{
    *ret = (struct health){.good = true};
}

static void
end(struct health *ret)
{
    if (ret->good)
        say(ret, "ok");
    // The last byte is the line's end, however much there was to say.
    size_t used = strlen(ret->text);
    must(used > 0 && used < sizeof ret->text);
    if (used == sizeof ret->text - 1)
        used--;
    ret->text[used] = '\n';
    ret->text[used + 1] = '\0';
}

// For how long worker i has not ticked. One that has not yet begun is waited for from the start on.
static uint64_t
silent_ms(const struct health_view *view, unsigned i)
{
    uint64_t beat = atomic_load_explicit(&view->broker->beats[i].ms, memory_order_relaxed);
    uint64_t last = max_u64(beat, view->serving_ms);
    return view->now_ms > last ? view->now_ms - last : 0;
}

void
health_live(const struct health_view *view, struct health *ret)
{
    begin(ret);
    must(view->stage != HEALTH_SERVING || view->broker);
    unsigned workers = view->stage == HEALTH_SERVING ? view->broker->shard_count : 0;
    for (unsigned i = 0; i < workers; i++) {
        uint64_t ms = silent_ms(view, i);
        if (ms <= HEALTH_TICK_MS)
            continue;
        say(ret, "%sworker %u hangs for %llu s", ret->good ? "" : ", ", i,
            (unsigned long long)ms / 1000);
        ret->good = false;
    }
    end(ret);
}

static bool
is_serving(const struct health_view *view, struct health *ret)
{
    if (view->stage == HEALTH_SERVING)
        return true;
    ret->good = false;
    say(ret, view->stage == HEALTH_STARTING ? "the broker is starting" : "the broker is ending");
    return false;
}

void
health_ready(const struct health_view *view, struct health *ret)
{
    begin(ret);
    if (is_serving(view, ret)) {
        must(view->broker != NULL);
        uint32_t level = atomic_load_explicit(&view->broker->level, memory_order_relaxed);
        bool draining = drain_is_on(&view->broker->drain);
        struct cluster *cluster = view->broker->cluster;
        ret->good = level < GOVERNOR_FULL && !draining;
        if (draining)
            say(ret, "the broker is draining");
        else if (!ret->good)
            say(ret, "memory_limit is reached, every CONNECT is refused (governor level %u)",
                level);
        if (ret->good && cluster && !cluster->ops->synced(cluster)) {
            ret->good = false;
            say(ret, "routes and retained messages of other nodes are on their way");
        }
    }
    end(ret);
}

void
health_started(const struct health_view *view, struct health *ret)
{
    begin(ret);
    ret->good = view->stage != HEALTH_STARTING;
    if (!ret->good)
        say(ret, "the broker is starting");
    end(ret);
}
