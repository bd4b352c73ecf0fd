// governor.c - what gives way, and in which order, when memory runs short.
#include "core/governor.h"

#include "core/broker.h"
#include "core/host.h"
#include "core/shard.h"

struct level {
    uint32_t percent; // of memory_limit, from which on it holds
    const char *what; // for the log
};

// From QoS 0, which MQTT allows to be lost, by way of slowing down, to what clients notice.
static const struct level levels[GOVERNOR_LEVELS] = {
    [GOVERNOR_CALM] = {0, "nothing is shed any more"},
    [GOVERNOR_TRIM] = {80, "QoS 0 messages for clients that do not read are dropped"},
    [GOVERNOR_SLOW] = {90, "publishers are slowed"},
    [GOVERNOR_REFUSE] = {95, "new sessions and subscriptions are refused"},
    [GOVERNOR_FULL] = {100, "every CONNECT is refused, and new messages are"},
    [GOVERNOR_CLOSE] = {125, "publishers that cannot be told are disconnected"},
};

// Falls so many points below where it rose.
#define HYSTERESIS 5u

// Does memory take more than so many hundredths of max?
static bool
is_beyond(uint64_t memory, uint64_t max, uint32_t percent)
{
    must_hot(max > 0);
    // Budgets are far below 2^60 (config_keys.c).
    return memory > max / 100 * percent + max % 100 * percent / 100;
}

enum governor_level
governor_next(enum governor_level now, uint64_t memory, uint64_t max)
{
    must_hot(now < GOVERNOR_LEVELS);
    if (max == 0)
        return GOVERNOR_CALM;
    enum governor_level level = now;
    while (level + 1 < GOVERNOR_LEVELS && is_beyond(memory, max, levels[level + 1].percent))
        level++;
    while (level > GOVERNOR_CALM && !is_beyond(memory, max, levels[level].percent - HYSTERESIS))
        level--;
    return level;
}

static COLD void
tell(struct shard *shard, enum governor_level level, uint64_t memory, uint64_t max)
{
    log_limited(shard->log, &shard->log_governor, shard->now_ms,
                level == GOVERNOR_CALM ? LOG_T_NOTICE : LOG_T_WARNING,
                "%sMemory: %llu of %llu bytes of memory_limit, level %u: %s.",
                level == GOVERNOR_CALM ? "" : "Warning: ", (unsigned long long)memory,
                (unsigned long long)max, (unsigned)level, levels[level].what);
}

bool
governor_follow_host(struct broker *broker)
{
    struct host host;
    host_probe("", &host);
    uint64_t max = host_memory_budget(&host);
    must(max > 0); // which would be no limit
    if (max == atomic_exchange(&broker->memory_max, max))
        return false;
    log_line(broker->log, LOG_T_NOTICE,
             "Memory: %llu bytes are granted by now; memory_limit is %llu.",
             (unsigned long long)host.memory_bytes, (unsigned long long)max);
    return true;
}

NOINLINE void
governor_decide(struct shard *shard, uint64_t memory, uint64_t max)
{
    _Atomic uint32_t *shared = &shard->broker->level;
    uint32_t now = atomic_load_explicit(shared, memory_order_relaxed);
    enum governor_level next = governor_next((enum governor_level)now, memory, max);
    // Who changes it tells of it; the others see the change.
    if (unlikely(next != now) && atomic_compare_exchange_strong(shared, &now, next))
        tell(shard, next, memory, max);
    shard->level = (enum governor_level)atomic_load_explicit(shared, memory_order_relaxed);
}
