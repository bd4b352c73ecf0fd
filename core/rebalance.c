// rebalance.c - some clients are sent to other nodes, so that this one has no more than the others.
#include "core/rebalance.h"

// Who only asks has it as a constant.
static void
lock(const struct rebalance *rebalance)
{
    pthread_mutex_lock(unconst(&rebalance->mutex));
}

static void
unlock(const struct rebalance *rebalance)
{
    pthread_mutex_unlock(unconst(&rebalance->mutex));
}

void
rebalance_init(struct rebalance *rebalance)
{
    *rebalance = (struct rebalance){0};
    pthread_mutex_init(&rebalance->mutex, NULL);
}

void
rebalance_free(struct rebalance *rebalance)
{
    pthread_mutex_destroy(&rebalance->mutex);
}

bool
rebalance_begin(struct rebalance *rebalance, const struct rebalance_plan *plan, uint64_t now_ms)
{
    must(plan->surplus > 0 && plan->rate > 0 && plan->rate <= REBALANCE_RATE_MAX);
    lock(rebalance);
    bool begins = !rebalance_is_on(rebalance);
    if (begins) {
        rebalance->view = (struct rebalance_view){.state = REBALANCE_RUNS, .plan = *plan};
        rebalance->begin_ms = now_ms;
        rebalance->idle = 0;
        atomic_store_explicit(&rebalance->on, true, memory_order_release);
    }
    unlock(rebalance);
    return begins;
}

// With the mutex.
static void
end(struct rebalance *rebalance, enum rebalance_state state)
{
    must(rebalance->view.state == REBALANCE_RUNS);
    rebalance->view.state = state;
    rebalance->untold = state != REBALANCE_STOPPED;
    atomic_store_explicit(&rebalance->on, false, memory_order_release);
}

bool
rebalance_stop(struct rebalance *rebalance)
{
    lock(rebalance);
    bool runs = rebalance_is_on(rebalance);
    if (runs)
        end(rebalance, REBALANCE_STOPPED);
    unlock(rebalance);
    return runs;
}

void
rebalance_look(const struct rebalance *rebalance, struct rebalance_view *ret)
{
    lock(rebalance);
    *ret = rebalance->view;
    unlock(rebalance);
}

bool
rebalance_tell(struct rebalance *rebalance, struct rebalance_view *ret)
{
    lock(rebalance);
    bool untold = rebalance->untold;
    rebalance->untold = false;
    *ret = rebalance->view;
    unlock(rebalance);
    return untold;
}

static unsigned
busy_lanes(const struct rebalance *rebalance, unsigned lanes)
{
    must(lanes >= 1 && lanes <= REBALANCE_LANES_MAX);
    return lanes - (unsigned)__builtin_popcountll(rebalance->idle);
}

// Its part of what is due by now.
static uint32_t
part_of(const struct rebalance *rebalance, unsigned lanes, uint64_t now_ms)
{
    const struct rebalance_view *view = &rebalance->view;
    uint64_t passed_ms = now_ms > rebalance->begin_ms ? now_ms - rebalance->begin_ms : 0;
    uint64_t due = min_u64(passed_ms * view->plan.rate / 1000, view->plan.surplus);
    unsigned busy = busy_lanes(rebalance, lanes);
    if (due <= view->sent)
        return 0;
    return (uint32_t)min_u64((due - view->sent + busy - 1) / busy, UINT32_MAX);
}

uint32_t
rebalance_take(struct rebalance *rebalance, unsigned lane, unsigned lanes, uint64_t clients,
               uint64_t now_ms)
{
    uint32_t count = 0;
    must(lane < lanes);
    lock(rebalance);
    if (rebalance_is_on(rebalance)) {
        struct rebalance_view *view = &rebalance->view;
        if (clients <= view->plan.goal || view->sent >= view->plan.surplus)
            end(rebalance, REBALANCE_DONE);
        else if (!(rebalance->idle >> lane & 1))
            count = part_of(rebalance, lanes, now_ms);
        view->sent += count;
    }
    unlock(rebalance);
    return count;
}

void
rebalance_give_back(struct rebalance *rebalance, unsigned lane, unsigned lanes, uint32_t count)
{
    must(lane < lanes && count > 0);
    lock(rebalance);
    // It may have been stopped, and another one begun: then nothing of it is ours.
    if (rebalance->view.sent >= count && rebalance_is_on(rebalance)) {
        rebalance->view.sent -= count;
        rebalance->idle |= UINT64_C(1) << lane;
        if (busy_lanes(rebalance, lanes) == 0)
            end(rebalance, REBALANCE_NOBODY);
    }
    unlock(rebalance);
}
