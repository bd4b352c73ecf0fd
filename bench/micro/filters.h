// filters.h - the filters and topics that the trie is measured with.
//
// Job:    devices in rooms in buildings in sites, topics of five levels. Of ten filters seven are
//         exact, three have wildcards: "+" at some level, now and then the first, or "#" at the
//         end. All are distinct.
// Owner:  none. Thread: any. Memory: the caller's. Limits: FILTER_TEXT_MAX bytes.
#ifndef TERN_BENCH_MICRO_FILTERS_H
#define TERN_BENCH_MICRO_FILTERS_H

#include <stdio.h>

#include "core/base/base.h"

#define FILTERS_PER_DEVICE      10u
#define FILTERS_EXACT           7u // of them
#define FILTER_DEVICES_PER_ROOM 10u
#define FILTER_TEXT_MAX         96
#define FILTER_EXACT            6u // for "no wildcard"

// The levels of a device's topic; measurement 0..9, of which the first seven have exact filters.
static inline struct slice
filter_text(char text[FILTER_TEXT_MAX], uint32_t device, uint32_t measurement, unsigned wild)
{
    char level[5][16];
    uint32_t room = device / FILTER_DEVICES_PER_ROOM;
    (void)snprintf(level[0], sizeof level[0], "site%u", room % 50);
    (void)snprintf(level[1], sizeof level[1], "house%u", room / 50 % 10);
    (void)snprintf(level[2], sizeof level[2], "room%u", room / 500);
    (void)snprintf(level[3], sizeof level[3], "dev%u", device);
    (void)snprintf(level[4], sizeof level[4], "value%u", measurement);
    if (wild < 5)
        (void)snprintf(level[wild], sizeof level[wild], "+");
    else if (wild == 5)
        (void)snprintf(level[4], sizeof level[4], "#");
    int len = snprintf(text, FILTER_TEXT_MAX, "%s/%s/%s/%s/%s", level[0], level[1], level[2],
                       level[3], level[4]);
    must(len > 0 && len < FILTER_TEXT_MAX);
    return slice_of(text, (size_t)len);
}

static inline struct slice
filter_mixed(char text[FILTER_TEXT_MAX], uint32_t number)
{
    uint32_t device = number / FILTERS_PER_DEVICE, kind = number % FILTERS_PER_DEVICE;
    if (kind < FILTERS_EXACT)
        return filter_text(text, device, kind, FILTER_EXACT);
    if (kind == FILTERS_EXACT)
        return filter_text(text, device, 0, 5);
    if (kind == FILTERS_EXACT + 1)
        return filter_text(text, device, 0, 4);
    unsigned wild = device % 64 == 0 ? 0 : 1 + device % 2;
    return filter_text(text, device, device % FILTERS_PER_DEVICE, wild);
}

#endif
