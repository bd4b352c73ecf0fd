// samples.c - how long messages take.
#include "core/samples.h"

#include "core/base/clock.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/msg.h"
#include "core/shard.h"

static uint64_t
since_us(uint64_t taken_us)
{
    uint64_t now_us = clock_mono_us();
    must(taken_us > 0 && now_us >= taken_us);
    return now_us - taken_us;
}

uint32_t
samples_short(uint64_t taken_us)
{
    return max_u32((uint32_t)taken_us, 1);
}

uint64_t
samples_long(uint32_t taken_us)
{
    uint64_t now_us = clock_mono_us();
    return now_us - (uint32_t)((uint32_t)now_us - taken_us);
}

uint64_t
samples_begin(struct listener_stats *counts)
{
    counts->sample_next = stat_get(&counts->publish_received) + SAMPLE_EVERY;
    return clock_mono_us();
}

void
samples_mark(struct pub *pub, uint64_t taken_us)
{
    must(!pub->msg && !pub->retain && taken_us > 0);
    struct msg *msg = pub_msg(pub);
    msg->sampled = true;
    msg->taken_us = taken_us;
}

void
samples_acknowledged(struct samples *samples, uint64_t taken_us)
{
    durations_add(&samples->acknowledged, since_us(taken_us));
}

void
samples_delivered(const struct client *client, const struct msg *msg)
{
    struct shard *shard = client->shard;
    // Only the second is known in which it came.
    uint64_t came_ms = shard->broker->started_ms + (client->connected_s + UINT64_C(1)) * 1000;
    must(msg->sampled && !msg->retain);
    if (client->link == LINK_OUT || msg->arrived_ms < came_ms)
        return;
    durations_add(&shard->samples.delivered, since_us(msg->taken_us));
}
