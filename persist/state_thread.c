// state_thread.c - the thread that folds the log into the state and answers page requests.
#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "persist/page.h"
#include "persist/store_parts.h"

#define IDLE_MS 5000u // without a fold, until the window's memory is given back
#define POLL_MS 1000u // the clocks are compared at least so often
#define RING_MS 5u    // until a full ring of pages is tried again

struct folder {
    struct store *store;
    struct keeper *keeper;
    struct window *window;
    struct page_desk *desk;
    uint64_t folded_ms;         // when the last fold ended
    uint64_t rested_at;         // of shared.folded
    uint64_t retry_ms, next_ms; // after a failure: the pause, and when to try again; 0 = it works
    uint64_t told_ms;
};

// ---- Folding ------------------------------------------------------------------------------------

static uint64_t
unfolded(struct store *store)
{
    return atomic_load(&store->shared.logged) - atomic_load(&store->shared.folded);
}

// The next window, without the pages that the fold of one before it had too many of.
static int
read_window(struct store *store, struct window *window, uint64_t until, uint64_t keep,
            struct wal_window *ret)
{
    const struct store_sizes *sizes = &store->sizes;
    uint64_t bytes_max = keep ? min_u64(unfolded(store) - keep, sizes->window) : sizes->window;
    window_clear(window);
    window->things_max = store->things;
    int rc = wal_read(&store->wal, store->state.meta.applied, until, bytes_max, window, ret);
    if (rc == 0 && ret->last == 0)
        rc = ENV_GAP;
    must(rc != 0 || (ret->last > store->state.meta.applied && ret->last <= until));
    if (rc == 0 && ret->last < until)
        rc = wal_look_ahead(&store->wal, ret->last, until, 2 * sizes->keep, window);
    // One commit cannot be folded in parts.
    window->pages_max = ret->commits > 1 && store->things > 1 ? sizes->changed : 0;
    return rc;
}

// The next window has half as many things after one that changed too much, and twice as many where
// there is room for them.
static void
adapt(struct store *store, const struct window *window, int rc, uint32_t pages)
{
    must(store->things > 0 && store->things <= store->sizes.things);
    if (rc == ENV_TOO_MUCH)
        store->things = max_u32(min_u32(store->things, window->things.used) / 2, 1);
    else if (store->things < store->sizes.things && pages < store->sizes.changed / 4)
        store->things = min_u32(2 * store->things, store->sizes.things);
}

int
store_fold(struct store *store, struct window *window, uint64_t until, uint64_t keep)
{
    must(window->seed == store->state.meta.seed);
    while (store->state.meta.applied < until && (keep == 0 || unfolded(store) > 2 * keep)) {
        struct wal_window got;
        struct fold_result result = {0};
        int rc = read_window(store, window, until, keep, &got);
        if (rc == 0)
            rc = fold_window(&store->state, window, got.last, &result);
        adapt(store, window, rc, result.pages);
        if (rc == ENV_TOO_MUCH)
            continue;
        if (rc != 0) {
            window_clear(window);
            return rc;
        }
        if (result.orphans > 0)
            store_say(store, LOG_T_WARNING,
                      "Persistence: %llu records of the log belong to nothing and are left out.",
                      (unsigned long long)result.orphans);
        window_folded(window);
        atomic_fetch_add_explicit(&store->shared.folded, got.bytes, memory_order_relaxed);
        // Release: the log thread deletes what is in the state, which is synced.
        atomic_store_explicit(&store->shared.trim, got.last, memory_order_release);
        if (store->keeper)
            atomic_fetch_add_explicit(&store->keeper->checkpoints, 1, memory_order_relaxed);
    }
    window_clear(window);
    return 0;
}

static void
fold_failed(struct folder *f, int rc) ON_PERSIST
{
    uint64_t now = clock_mono_ms();
    bool first = f->retry_ms == 0;
    f->retry_ms = first ? STORE_RETRY_MIN : min_u64(f->retry_ms * 2, STORE_RETRY_MAX);
    must(rc != 0 && f->retry_ms <= STORE_RETRY_MAX);
    f->next_ms = now + f->retry_ms;
    atomic_fetch_add_explicit(&f->keeper->failures, 1, memory_order_relaxed);
    if (first || now - f->told_ms >= STORE_TELL_MS) {
        f->told_ms = now;
        store_say(f->store, LOG_T_ERROR,
                  "Persistence: bringing the log of %s into the state fails: %s. %s The log grows "
                  "until it works again.",
                  f->store->path, env_text(rc), store_advice(rc));
    }
    if (rc != ENV_GAP && rc != MDB_CORRUPTED)
        (void)state_reopen(&f->store->state); // if that fails, so will the next fold
}

// What is committed by now; with keep, not the last of it. False when it failed.
static bool
fold(struct folder *f, uint64_t keep) ON_PERSIST
{
    uint64_t until = atomic_load(&f->store->shared.committed);
    if (f->retry_ms != 0 && clock_mono_ms() < f->next_ms)
        return false;
    int rc = f->store->state.env.mdb ? 0 : state_reopen(&f->store->state);
    if (rc == 0)
        rc = store_fold(f->store, f->window, until, keep);
    if (rc != 0) {
        fold_failed(f, rc);
        return false;
    }
    if (f->retry_ms != 0)
        store_say(f->store, LOG_T_NOTICE, "Persistence: the state of %s is being written again.",
                  f->store->path);
    f->retry_ms = 0;
    f->folded_ms = clock_mono_ms();
    keeper_wake(&f->keeper->log_thread); // it may trim
    return true;
}

static void
fold_if_due(struct folder *f) ON_PERSIST
{
    if (f->store->state.meta.applied >= atomic_load(&f->store->shared.committed))
        return;
    // When the log cannot be written, folding makes room in it.
    if (clock_mono_ms() - f->folded_ms >= STORE_FOLD_MS || f->keeper->failing)
        (void)fold(f, 0);
    else if (unfolded(f->store) >= f->store->sizes.window)
        (void)fold(f, f->store->sizes.keep);
}

// ---- The loop -----------------------------------------------------------------------------------

static void
backup(struct folder *f, struct store_copy *copy) ON_PERSIST
{
    uint64_t begin = clock_mono_ms();
    const char *to = copy->folder;
    int rc = fold(f, 0) ? store_copy(f->store, to, copy->replace) : MDB_PANIC;
    if (rc == 0)
        store_say(f->store, LOG_T_NOTICE, "Persistence: backup to %s done in %llu ms.", to,
                  (unsigned long long)(clock_mono_ms() - begin));
    else
        store_say(f->store, LOG_T_ERROR, "Persistence: backup to %s failed: %s.", to, env_text(rc));
    store_copy_done(copy, rc);
}

static bool
anything_to_do(void *arg)
{
    const struct folder *f = arg;
    struct store_shared *shared = &f->store->shared;
    if (atomic_load(&shared->backup) || atomic_load(&shared->stop_state))
        return true;
    if (f->retry_ms != 0) // neither folds nor answers before the pause is over
        return false;
    return page_desk_ready(f->desk) || unfolded(f->store) >= f->store->sizes.window;
}

static uint64_t
wait_ms(const struct folder *f) ON_PERSIST
{
    if (page_desk_is_blocked(f->desk))
        return RING_MS;
    return f->retry_ms != 0 ? f->retry_ms : POLL_MS;
}

// LMDB keeps as many pages as its largest transaction changed until the environment is closed. It
// is opened again by the next fold.
static void
give_back(struct folder *f) ON_PERSIST
{
    uint64_t folded = atomic_load(&f->store->shared.folded);
    window_release(f->window);
    if (folded - f->rested_at < STORE_PAGES_KEPT || f->retry_ms != 0)
        return;
    f->rested_at = folded;
    env_rest(&f->store->state.env);
}

static void
round_once(struct folder *f) ON_PERSIST
{
    atomic_store_explicit(&f->store->broker->wall_offset_ms, clock_wall_ms() - clock_mono_ms(),
                          memory_order_relaxed);
    page_desk_fetch(f->desk);
    if (!page_desk_is_due(f->desk))
        fold_if_due(f);
    else if (fold(f, 0)) // all of it: what is asked for may have come last
        page_desk_answer(f->desk);
    page_desk_push(f->desk);
    struct store_copy *copy = atomic_exchange(&f->store->shared.backup, NULL);
    if (copy)
        backup(f, copy);
    if (clock_mono_ms() - f->folded_ms >= IDLE_MS)
        give_back(f);
    store_sleep(&f->keeper->state_thread, wait_ms(f), anything_to_do, f);
}

void *
state_thread_main(void *arg)
{
    thread_role = ROLE_PERSIST;
    assert_persist();
    struct store *store = arg;
    must(store->magic == STORE_MAGIC && store->keeper);
    struct folder f = {
        .store = store,
        .keeper = store->keeper,
        .window = window_new(store->state.meta.seed),
        .desk = page_desk_new(store),
        .folded_ms = clock_mono_ms(),
    };
    while (!atomic_load(&store->shared.stop_state))
        round_once(&f);
    f.next_ms = 0;
    (void)fold(&f, 0); // what fails stays in the log and is folded at the next start
    page_desk_free(f.desk);
    window_free(f.window);
    return NULL;
}
