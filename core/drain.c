// drain.c - connections end one after the other, before the broker does or while it stays.
#include "core/drain.h"

// Who only asks has it as a constant.
static void
lock(const struct drain *drain)
{
    pthread_mutex_lock(unconst(&drain->mutex));
}

static void
unlock(const struct drain *drain)
{
    pthread_mutex_unlock(unconst(&drain->mutex));
}

void
drain_init(struct drain *drain)
{
    *drain = (struct drain){0};
    pthread_mutex_init(&drain->mutex, NULL);
}

void
drain_free(struct drain *drain)
{
    pthread_mutex_destroy(&drain->mutex);
}

bool
drain_begin(struct drain *drain, uint64_t now_ms, uint32_t delay_s, uint32_t time_s,
            enum drain_kind kind)
{
    must(now_ms > 0);
    lock(drain);
    bool begins = drain->kind != DRAIN_LAST && kind >= drain->kind;
    if (begins) {
        drain->begin_ms = now_ms + delay_s * UINT64_C(1000);
        drain->end_ms = drain->begin_ms + time_s * UINT64_C(1000);
        drain->kind = kind;
        drain->round++;
        atomic_store_explicit(&drain->on, true, memory_order_release);
    }
    unlock(drain);
    return begins;
}

bool
drain_undo(struct drain *drain)
{
    lock(drain);
    bool undone = drain_is_on(drain) && drain->kind == DRAIN_STAY;
    if (undone)
        atomic_store_explicit(&drain->on, false, memory_order_release);
    unlock(drain);
    return undone;
}

void
drain_look(const struct drain *drain, uint64_t now_ms, struct drain_view *ret)
{
    lock(drain);
    *ret = (struct drain_view){
        .on = drain_is_on(drain),
        .last = drain->kind == DRAIN_LAST,
        .all = drain->kind != DRAIN_STAY,
        .round = drain->round,
        .begin_ms = drain->begin_ms,
        .end_ms = drain->end_ms,
    };
    unlock(drain);
    ret->ends = ret->on && now_ms >= ret->begin_ms;
}

uint32_t
drain_share(const struct drain_view *view, uint32_t of, uint64_t now_ms)
{
    must(view->ends && now_ms >= view->begin_ms);
    if (now_ms >= view->end_ms)
        return of;
    return (uint32_t)(of * (now_ms - view->begin_ms) / (view->end_ms - view->begin_ms));
}

void
drain_tell(struct drain *drain, unsigned lane, uint32_t round, uint32_t left)
{
    must(lane < DRAIN_LANES);
    lock(drain);
    drain->lanes[lane] = (struct drain_lane){round, left};
    unlock(drain);
}

bool
drain_left(const struct drain *drain, unsigned lanes, uint64_t *ret_left)
{
    bool known = true;
    must(lanes > 0 && lanes <= DRAIN_LANES);
    *ret_left = 0;
    lock(drain);
    for (unsigned i = 0; i < lanes; i++) {
        known &= drain->lanes[i].round == drain->round;
        *ret_left += drain->lanes[i].left;
    }
    unlock(drain);
    return known;
}

bool
drain_is_over(const struct drain *drain, unsigned lanes, uint64_t now_ms)
{
    struct drain_view view;
    uint64_t left;
    if (!drain_is_on(drain))
        return false;
    drain_look(drain, now_ms, &view);
    return view.last && view.ends &&
           (now_ms >= view.end_ms || (drain_left(drain, lanes, &left) && left == 0));
}
