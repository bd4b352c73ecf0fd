// visitors.c - what is remembered of whoever comes.
//
// Records stand in one array and name each other by their place, 0 = none, so that the array may
// move as it grows. Those that are not held are in one list by age.
#include "core/visitors.h"

#include "core/base/mem.h"

#define SLOTS_MIN 64u

struct visitors {
    struct visitor *at; // at[0] is the list's head
    uint32_t used, cap; // places that were ever used, the head included
    uint32_t free;      // chain of those that are free again
    uint32_t count, idle;
    uint32_t *slots; // hash -> place
    uint32_t slot_count;
};

struct visitors *
visitors_new(void)
{
    struct visitors *visitors = mem_zalloc(sizeof *visitors);
    visitors->at = mem_grow(NULL, &visitors->cap, 1, sizeof *visitors->at);
    visitors->at[0] = (struct visitor){0};
    visitors->used = 1;
    visitors->slot_count = SLOTS_MIN;
    visitors->slots = mem_zalloc(SLOTS_MIN * sizeof *visitors->slots);
    return visitors;
}

void
visitors_free(struct visitors *visitors)
{
    if (!visitors)
        return;
    mem_free(visitors->at);
    mem_free(visitors->slots);
    mem_free(visitors);
}

uint32_t
visitors_count(const struct visitors *visitors)
{
    return visitors->count;
}

// ---- The list of those that are not held --------------------------------------------------------

static void
idle_push(struct visitors *visitors, uint32_t place)
{
    struct visitor *at = visitors->at;
    must(place > 0 && at[place].held == 0);
    at[place].older = at[0].older;
    at[place].newer = 0;
    at[at[0].older].newer = place;
    at[0].older = place; // the head's "older" is the newest: the list is a ring
    visitors->idle++;
}

static void
idle_remove(struct visitors *visitors, uint32_t place)
{
    struct visitor *at = visitors->at;
    must(visitors->idle > 0);
    at[at[place].newer].older = at[place].older;
    at[at[place].older].newer = at[place].newer;
    visitors->idle--;
}

// ---- The table ----------------------------------------------------------------------------------

static uint32_t *
slot_of(const struct visitors *visitors, uint64_t key)
{
    return &visitors->slots[key & (visitors->slot_count - 1)];
}

static void
link_in(struct visitors *visitors, uint32_t place)
{
    uint32_t *slot = slot_of(visitors, visitors->at[place].key);
    visitors->at[place].chain = *slot;
    *slot = place;
}

static void
grow_slots(struct visitors *visitors)
{
    must(visitors->slot_count <= UINT32_MAX / 2);
    visitors->slot_count *= 2;
    mem_free(visitors->slots);
    visitors->slots = mem_zalloc(visitors->slot_count * sizeof *visitors->slots);
    for (uint32_t place = 1; place < visitors->used; place++)
        if (visitors->at[place].key != 0)
            link_in(visitors, place);
}

static void
forget(struct visitors *visitors, uint32_t place)
{
    struct visitor *gone = &visitors->at[place];
    must(place > 0 && gone->held == 0);
    uint32_t *link = slot_of(visitors, gone->key);
    while (*link != place) {
        must(*link != 0);
        link = &visitors->at[*link].chain;
    }
    *link = gone->chain;
    idle_remove(visitors, place);
    *gone = (struct visitor){.chain = visitors->free};
    visitors->free = place;
    visitors->count--;
}

static uint32_t
make(struct visitors *visitors, uint64_t key)
{
    if (visitors->idle >= VISITORS_IDLE_MAX)
        forget(visitors, visitors->at[0].newer);
    uint32_t place = visitors->free;
    if (place != 0) {
        visitors->free = visitors->at[place].chain;
    } else {
        place = visitors->used++;
        visitors->at = mem_grow(visitors->at, &visitors->cap, visitors->used, sizeof *visitors->at);
    }
    visitors->at[place] = (struct visitor){.key = key};
    visitors->count++;
    if (visitors->count > visitors->slot_count)
        grow_slots(visitors); // links this one, too
    else
        link_in(visitors, place);
    idle_push(visitors, place);
    return place;
}

struct visitor *
visitors_get(struct visitors *visitors, uint64_t key, uint32_t *ret_place)
{
    must(key != 0);
    uint32_t place = *slot_of(visitors, key);
    while (place != 0 && visitors->at[place].key != key)
        place = visitors->at[place].chain;
    if (place == 0) {
        place = make(visitors, key);
    } else if (visitors->at[place].held == 0) {
        idle_remove(visitors, place);
        idle_push(visitors, place);
    }
    *ret_place = place;
    return &visitors->at[place];
}

void
visitors_hold(struct visitors *visitors, uint32_t place)
{
    must(place > 0 && place < visitors->used && visitors->at[place].key != 0);
    if (visitors->at[place].held++ == 0)
        idle_remove(visitors, place);
}

void
visitors_let_go(struct visitors *visitors, uint32_t place)
{
    must(place > 0 && place < visitors->used && visitors->at[place].held > 0);
    if (--visitors->at[place].held == 0)
        idle_push(visitors, place);
    if (visitors->idle > VISITORS_IDLE_MAX)
        forget(visitors, visitors->at[0].newer);
}

uint32_t
visitor_event(struct visitor *visitor, uint64_t window_ms, uint64_t now_ms)
{
    must(window_ms > 0);
    // The time of one worker may be a tick behind that of another: then it is the same window.
    uint64_t end_ms = visitor->window_ms + window_ms;
    if (visitor->events == 0 || now_ms >= end_ms) {
        visitor->window_ms = now_ms;
        visitor->events = 0;
    }
    return ++visitor->events;
}
