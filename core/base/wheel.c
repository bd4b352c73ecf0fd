// wheel.c - a hierarchical timer wheel of 4 levels of 256 slots.
//
// Time is counted in ticks; a deadline is rounded up to a tick and now is rounded down, so a timer
// is never early. Where a timer sits follows from the highest bit in which its tick differs from
// the wheel's tick: in the byte of that bit, the timer's tick names the slot and the byte's number
// is the level. So all timers of a slot share every higher byte with the wheel, and
//   - in each level only slots above the wheel's own byte are in use: the lowest bit of a level's
//     map is its earliest slot, nothing wraps;
//   - every timer of a lower level is due before any timer of a higher one.
// Hence the next thing to happen is the lowest slot of the lowest level in use, however long the
// gap before it. Moving the wheel's tick to any tick before that slot's begin changes no timer's
// place. Reaching it empties the slot into lower levels (or, on level 0, into the list of due
// timers). Deadlines that differ in a higher byte (2.2 years) wait in one list until the wheel gets
// there.
#include "core/base/wheel.h"

#include "core/base/mem.h"

#define WHEEL_MAGIC 0x776865656cu
#define LEVELS      4
#define SLOT_BITS   8
#define SLOTS       (1u << SLOT_BITS)
#define MAP_WORDS   (SLOTS / 64)
#define WHEEL_BITS  (LEVELS * SLOT_BITS)
#define TICK_NEVER  UINT64_MAX

struct level {
    uint64_t map[MAP_WORDS]; // bit i: slot i has timers
    struct list slot[SLOTS];
};

struct wheel {
    uint64_t magic;
    uint64_t tick; // all timers on levels and in far are due after this one
    size_t count;
    struct list due; // timers whose tick has come, in order
    struct list far;
    struct level level[LEVELS];
};
_Static_assert(sizeof(struct wheel) < 20480, "stays in the first two cache levels");

struct wheel *
wheel_new(uint64_t now_ms)
{
    struct wheel *wheel = mem_zalloc(sizeof(*wheel));
    wheel->tick = now_ms / WHEEL_TICK_MS;
    list_init(&wheel->due);
    list_init(&wheel->far);
    for (size_t l = 0; l < LEVELS; l++)
        for (size_t s = 0; s < SLOTS; s++)
            list_init(&wheel->level[l].slot[s]);
    wheel->magic = WHEEL_MAGIC;
    return wheel;
}

void
wheel_free(struct wheel *wheel)
{
    if (wheel == NULL)
        return;
    must(wheel->magic == WHEEL_MAGIC);
    wheel->magic = 0;
    mem_free(wheel);
}

void
timer_init(struct timer *timer, uint8_t kind)
{
    list_init(&timer->node);
    timer->deadline_ms = 0;
    timer->kind = kind;
}

bool
timer_armed(const struct timer *timer)
{
    return timer->deadline_ms != 0;
}

static inline uint64_t
tick_of(const struct timer *timer)
{
    return timer->deadline_ms / WHEEL_TICK_MS + (timer->deadline_ms % WHEEL_TICK_MS != 0);
}

struct place {
    struct list *list;
    uint64_t *map; // NULL for the lists outside the levels
    uint64_t bit;
};

// Where a timer of that tick belongs, and, by the invariant above, where an armed one is.
static inline struct place
place_of(struct wheel *wheel, uint64_t tick)
{
    if (tick <= wheel->tick)
        return (struct place){&wheel->due, NULL, 0};
    uint64_t differ = tick ^ wheel->tick;
    if (differ >> WHEEL_BITS != 0)
        return (struct place){&wheel->far, NULL, 0};
    unsigned l = (63u - (unsigned)__builtin_clzll(differ)) / SLOT_BITS;
    unsigned s = (unsigned)(tick >> (l * SLOT_BITS)) % SLOTS;
    struct level *level = &wheel->level[l];
    return (struct place){&level->slot[s], &level->map[s / 64], UINT64_C(1) << s % 64};
}

static inline void
insert(struct wheel *wheel, struct timer *timer)
{
    struct place place = place_of(wheel, tick_of(timer));
    list_push(place.list, &timer->node);
    if (place.map != NULL)
        *place.map |= place.bit;
}

void
wheel_arm(struct wheel *wheel, struct timer *timer, uint64_t deadline_ms)
{
    must_hot(wheel->magic == WHEEL_MAGIC);
    wheel_disarm(wheel, timer);
    timer->deadline_ms = max_u64(deadline_ms, 1); // 0 says "not armed"
    insert(wheel, timer);
    wheel->count++;
}

void
wheel_disarm(struct wheel *wheel, struct timer *timer)
{
    must_hot(wheel->magic == WHEEL_MAGIC);
    if (!timer_armed(timer)) {
        must_hot(list_empty(&timer->node));
        return;
    }
    must_hot(wheel->count > 0 && !list_empty(&timer->node));
    struct place place = place_of(wheel, tick_of(timer));
    list_remove(&timer->node);
    if (place.map != NULL && list_empty(place.list))
        *place.map &= ~place.bit;
    timer->deadline_ms = 0;
    wheel->count--;
}

// The lowest level in use; LEVELS when there is none. ret_slot is its lowest slot in use.
static unsigned
first_slot(const struct wheel *wheel, unsigned *ret_slot)
{
    for (unsigned l = 0; l < LEVELS; l++) {
        const uint64_t *map = wheel->level[l].map;
        for (unsigned w = 0; w < MAP_WORDS; w++) {
            if (map[w] != 0) {
                *ret_slot = w * 64 + (unsigned)__builtin_ctzll(map[w]);
                return l;
            }
        }
    }
    return LEVELS;
}

// The tick at which a slot of a level begins.
static uint64_t
slot_tick(const struct wheel *wheel, unsigned l, unsigned s)
{
    uint64_t above = wheel->tick >> ((l + 1) * SLOT_BITS) << SLOT_BITS;
    uint64_t tick = (above | s) << (l * SLOT_BITS);
    must_hot(tick > wheel->tick);
    return tick;
}

// The tick at which the wheel next has something to move: never after the earliest timer's.
static uint64_t
next_event(const struct wheel *wheel)
{
    unsigned s;
    unsigned l = first_slot(wheel, &s);
    if (l < LEVELS)
        return slot_tick(wheel, l, s);
    if (!list_empty(&wheel->far))
        return ((wheel->tick >> WHEEL_BITS) + 1) << WHEEL_BITS;
    return TICK_NEVER;
}

// The wheel's tick has become that of the next event: takes the timers there and places each anew,
// in order. A timer moves down at least one level each time, so it moves at most LEVELS times.
static void
cascade(struct wheel *wheel, uint64_t tick)
{
    struct list moving;
    struct list *node;
    unsigned s;
    unsigned l = first_slot(wheel, &s);
    list_init(&moving);
    if (l < LEVELS) {
        list_splice(&moving, &wheel->level[l].slot[s]);
        wheel->level[l].map[s / 64] &= ~(UINT64_C(1) << s % 64);
    } else {
        list_splice(&moving, &wheel->far);
    }
    wheel->tick = tick;
    while ((node = list_pop(&moving)) != NULL) {
        struct timer *timer = container_of(node, struct timer, node);
        must_hot(tick_of(timer) >= tick);
        insert(wheel, timer);
    }
}

struct timer *
wheel_next(struct wheel *wheel, uint64_t now_ms)
{
    must_hot(wheel->magic == WHEEL_MAGIC);
    uint64_t now = now_ms / WHEEL_TICK_MS;
    must_hot(now >= wheel->tick); // the monotonic clock does not go back

    while (list_empty(&wheel->due)) {
        uint64_t tick = next_event(wheel);
        if (tick > now) {
            wheel->tick = now;
            return NULL;
        }
        cascade(wheel, tick);
    }
    struct timer *timer = container_of(wheel->due.next, struct timer, node);
    must_hot(timer->deadline_ms <= now_ms);
    wheel_disarm(wheel, timer);
    return timer;
}

uint64_t
wheel_wait_until(const struct wheel *wheel)
{
    must_hot(wheel->magic == WHEEL_MAGIC);
    if (!list_empty(&wheel->due))
        return wheel->tick * WHEEL_TICK_MS;
    uint64_t tick = next_event(wheel);
    if (tick == TICK_NEVER)
        return UINT64_MAX;
    return tick > UINT64_MAX / WHEEL_TICK_MS ? UINT64_MAX - 1 : tick * WHEEL_TICK_MS;
}

size_t
wheel_count(const struct wheel *wheel)
{
    return wheel->count;
}
