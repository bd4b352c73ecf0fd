// fleet.c - devices that drop, leave and return.
#include "bench/fleet.h"

#include "bench/worker.h"

// Without DISCONNECT: the broker has to publish the will.
static void
drop(struct client *c)
{
    struct worker *w = c->worker;
    c->drops++;
    counter_add(&w->counters.drops, 1);
    counter_add(&w->counters.expected, 1);
    client_drop(c);
}

// The next device that is connected; NULL when none is.
static struct client *
next_device(struct worker *w)
{
    for (uint32_t i = 0; i < w->publisher_count; i++) {
        struct client *c = w->publishers[w->drop_next++ % w->publisher_count];
        if (c->state == CLIENT_READY)
            return c;
    }
    return NULL;
}

static void
drop_due(struct worker *w)
{
    struct pacer *pacer = &w->pacers[PACE_DROPS];
    struct client *c;
    while (w->dropped < pacer->paced && (c = next_device(w)) != NULL) {
        if (w->dropped++ % 2 == 0) {
            drop(c);
        } else {
            counter_add(&w->counters.leaves, 1);
            client_leave(c);
        }
    }
}

static void
storm(struct worker *w)
{
    const struct options *options = w->run->options;
    uint64_t at_us = w->run->start_us + options->storm_at_s * 1000000;
    if (options->storm_at_s == 0 || w->storm_us != 0 || w->now_us < at_us)
        return;
    w->storm_us = w->now_us;
    for (uint32_t i = 0; i < w->publisher_count; i++) {
        struct client *c = w->publishers[i];
        // 37 and 100 have no common divisor: the share is spread evenly.
        if (c->number * 37ull % 100 >= options->storm_percent || c->state != CLIENT_READY)
            continue;
        c->stormed = true;
        counter_add(&w->counters.stormed, 1);
        drop(c);
    }
}

void
fleet_look(struct worker *w)
{
    drop_due(w);
    storm(w);
}

void
fleet_on_return(struct client *c)
{
    struct worker *w = c->worker;
    if (!c->stormed)
        return;
    c->stormed = false;
    uint64_t took_us = w->now_us - w->storm_us;
    histogram_record(&w->come_latency, took_us);
    counter_add(&w->counters.storm_returned, 1);
}

void
fleet_will(const struct client *c, char ret_topic[SCENARIO_TEXT_MAX], struct message *ret_will)
{
    const struct run *run = c->worker->run;
    scenario_will_topic(run->id, c->number, ret_topic);
    // The wills of a device have no holes: the number goes up with each one that is due.
    *ret_will = (struct message){
        .run = run->id,
        .publisher = message_sender(FLOW_WILLS, c->number),
        .seq = c->drops,
        .sent_us = c->worker->now_us + run->clock_shift_us,
    };
}
