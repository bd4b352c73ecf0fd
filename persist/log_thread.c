// log_thread.c - the thread that fetches the shards' batches and commits them.
//
// One group commit at a time: while it syncs, the shards gather the next batches. A batch's live
// records are copied and the batch goes back at once, so two of them do for each shard. A position
// is called safe after the commit that holds it. With sync_ms it is called safe at once and
// committed within sync_ms: then even the end of the process alone loses what was not committed.
#include <time.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "persist/hold.h"
#include "persist/store_parts.h"

#define IDLE_MS 1000u
#define KEPT_MS 5000u // without a commit, until the memory of the last ones is given back
// Under load a commit is worth waiting for: what its subscribers acknowledge meanwhile is never
// written, and a sync costs the same for more. Measured with 100 pairs at QoS 1, CPU for a message
// and rate: 1.09 us and 1.20 M/s with 8 ms, 0.92 and 1.40 with 10, 0.90 and 1.39 with 12; without,
// 1.62 and 0.91. It ends as soon as little comes any more: then publishers wait for it.
#define GATHER_US      10000u
#define GATHER_STEP_NS 2500000L
#define GATHER_BYTES   (96u << 10) // in one commit: that is load
#define GATHER_GROWTH  (32u << 10) // in a step: it is still worth it

struct committer {
    struct store *store;
    struct keeper *keeper;
    struct blob_list blobs;         // fetched, not on the disk yet
    struct hold *hold;              // fetched, and waiting for another shard's
    uint64_t last[TRIE_SHARDS_MAX]; // position fetched up to
    uint64_t safe[TRIE_SHARDS_MAX]; // position called safe
    uint64_t since_ms;              // when the oldest of the blobs came
    uint64_t fetched_us;            // when it was fetched last
    uint64_t committed_ms;          // when there was a commit last
    uint64_t commit_bytes;          // of the last commit
    unsigned next_shard;            // whose batch is fetched first, for fairness
    uint64_t retry_ms, told_ms;     // 0 = it works
    int told_rc;                    // why it does not, as the log says
};

// ---- Fetching -----------------------------------------------------------------------------------

static void
give_back(struct committer *c, unsigned shard, struct journal_batch *batch) ON_PERSIST
{
    struct journal_batch *none = NULL;
    struct keeper_shard *slot = &c->keeper->shards[shard];
    batch->len = batch->bond_count = 0;
    // Release: the shard gets it with len written.
    if (batch->cap > c->store->sizes.kept ||
        !atomic_compare_exchange_strong_explicit(&slot->spare, &none, batch, memory_order_release,
                                                 memory_order_relaxed))
        journal_batch_free(batch);
}

static void
fetch_shard(struct committer *c, unsigned shard) ON_PERSIST
{
    struct keeper_shard *slot = &c->keeper->shards[shard];
    if (!atomic_load_explicit(&slot->offered, memory_order_relaxed))
        return;
    // Acquire: the records come with it. NULL: the shard has taken it back.
    struct journal_batch *batch =
        atomic_exchange_explicit(&slot->offered, NULL, memory_order_acquire);
    if (!batch)
        return;
    if (unlikely(hold_wants(c->hold, shard, batch))) {
        hold_put(c->hold, shard, batch);
        return;
    }
    must(batch->last > c->last[shard]);
    blob_list_add(&c->blobs, slice_of(batch->bytes, batch->len));
    c->last[shard] = batch->last;
    give_back(c, shard, batch);
}

// What of the held batches belongs into one commit, now that others have come.
static void
release_held(struct committer *c) ON_PERSIST
{
    struct hold_piece piece;
    hold_cut(c->hold);
    while (hold_next(c->hold, &piece)) {
        must(piece.position >= c->last[piece.shard]);
        blob_list_add(&c->blobs, piece.records);
        c->last[piece.shard] = piece.position;
        if (piece.finished)
            give_back(c, piece.shard, piece.finished);
    }
}

static void
fetch(struct committer *c, uint64_t bytes_max) ON_PERSIST
{
    unsigned count = c->keeper->shard_count;
    must(count > 0 && c->next_shard < count);
    for (unsigned i = 0; i < count && c->blobs.bytes < bytes_max; i++)
        fetch_shard(c, (c->next_shard + i) % count);
    c->next_shard = (c->next_shard + 1) % count;
    if (unlikely(!hold_is_empty(c->hold)))
        release_held(c);
    if (c->blobs.count > 0 && c->since_ms == 0)
        c->since_ms = clock_mono_ms();
}

static bool
anything_offered(void *arg)
{
    const struct committer *c = arg;
    for (unsigned i = 0; i < c->keeper->shard_count; i++)
        if (atomic_load(&c->keeper->shards[i].offered))
            return true;
    return atomic_load(&c->store->shared.stop_log);
}

// ---- Committing ---------------------------------------------------------------------------------

// What was fetched is safe.
static void
call_safe(struct committer *c) ON_PERSIST
{
    for (unsigned i = 0; i < c->keeper->shard_count; i++) {
        if (c->safe[i] == c->last[i])
            continue;
        must(c->safe[i] < c->last[i]);
        c->safe[i] = c->last[i];
        atomic_store_explicit(&c->keeper->shards[i].safe, c->last[i], memory_order_release);
        broker_wake(c->store->broker, i);
    }
}

static void
tell_lag(struct committer *c) ON_PERSIST
{
    struct store_shared *shared = &c->store->shared;
    uint64_t logged = atomic_load_explicit(&shared->logged, memory_order_relaxed);
    uint64_t lag = logged - atomic_load_explicit(&shared->folded, memory_order_relaxed);
    atomic_store_explicit(&c->keeper->log_bytes, lag, memory_order_relaxed);
    uint64_t max = c->store->sizes.behind;
    bool behind = atomic_load_explicit(&c->keeper->behind, memory_order_relaxed);
    if (behind ? lag < max / 4 * 3 : lag > max)
        atomic_store_explicit(&c->keeper->behind, !behind, memory_order_relaxed);
}

// The blobs are on the disk.
static void
committed(struct committer *c) ON_PERSIST
{
    struct store *store = c->store;
    struct store_shared *shared = &store->shared;
    struct keeper *keeper = c->keeper;
    if (c->blobs.count > 0) {
        atomic_fetch_add_explicit(&keeper->commits, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&keeper->records, c->blobs.records, memory_order_relaxed);
        atomic_fetch_add_explicit(&keeper->bytes_written, c->blobs.bytes, memory_order_relaxed);
        atomic_fetch_add_explicit(&shared->logged, c->blobs.bytes, memory_order_relaxed);
    }
    c->commit_bytes = c->blobs.bytes;
    blob_list_clear(&c->blobs);
    c->since_ms = 0;
    c->committed_ms = clock_mono_ms();
    // Sequence first: who sees a position sees a sequence number that covers it. Both seq_cst, as
    // is the look at `waiting` below: the state thread says that it waits before it looks at them.
    atomic_store(&shared->committed, store->wal.next - 1);
    for (unsigned i = 0; i < keeper->shard_count; i++)
        atomic_store(&shared->positions[i], c->last[i]);
    call_safe(c);
    tell_lag(c);
    if (atomic_load(&shared->waiting) || keeper->log_bytes >= store->sizes.window)
        keeper_wake(&keeper->state_thread);
}

static void
failed(struct committer *c, int rc) ON_PERSIST
{
    uint64_t now = clock_mono_ms();
    bool first = c->retry_ms == 0;
    c->retry_ms = first ? STORE_RETRY_MIN : min_u64(c->retry_ms * 2, STORE_RETRY_MAX);
    atomic_store_explicit(&c->keeper->failing, true, memory_order_relaxed);
    atomic_fetch_add_explicit(&c->keeper->failures, 1, memory_order_relaxed);
    // A disk that fills up cuts one write short, which LMDB calls EIO, and refuses the next.
    if (first || rc != c->told_rc || now - c->told_ms >= STORE_TELL_MS) {
        c->told_ms = now;
        c->told_rc = rc;
        store_say(c->store, LOG_T_ERROR,
                  "Persistence: writing to %s fails: %s. %s Nothing that must be kept is "
                  "acknowledged until it works again.",
                  c->store->path, env_text(rc), store_advice(rc));
    }
    keeper_wake(&c->keeper->state_thread); // what it folds need not stay in the log
    if (rc == MDB_MAP_FULL)
        return;
    // What the kernel said of one sync it does not say again: the pages count as written. So all is
    // written anew, by an environment that starts from what the file says.
    int again = wal_reopen(&c->store->wal);
    if (again != 0 && first)
        store_say(c->store, LOG_T_ERROR, "Persistence: cannot reopen %s: %s.", c->store->path,
                  env_text(again));
}

static void
commit(struct committer *c) ON_PERSIST
{
    struct store *store = c->store;
    uint64_t trim = atomic_load_explicit(&store->shared.trim, memory_order_acquire);
    int rc = 0;
    uint64_t from_us = clock_mono_us();
    if (c->blobs.count > 0)
        rc = wal_commit(&store->wal, &c->blobs, trim);
    if (rc != 0) {
        failed(c, rc);
        return;
    }
    if (c->blobs.count > 0) {
        durations_add(&c->keeper->commit_times, clock_mono_us() - from_us);
        sizes_add(&c->keeper->commit_sizes, c->blobs.records);
    }
    if (c->retry_ms != 0) {
        store_say(store, LOG_T_NOTICE, "Persistence: writing to %s works again.", store->path);
        atomic_store_explicit(&c->keeper->failing, false, memory_order_relaxed);
        c->retry_ms = 0;
    }
    committed(c);
}

// ---- The loop -----------------------------------------------------------------------------------

static bool
trim_is_due(const struct committer *c) ON_PERSIST
{
    uint64_t trim = atomic_load_explicit(&c->store->shared.trim, memory_order_acquire);
    return c->store->wal.first <= trim && c->store->wal.first < c->store->wal.next;
}

// Some of what the state has. True when there may be more of it.
static bool
trim(struct committer *c) ON_PERSIST
{
    if (!trim_is_due(c))
        return false;
    int rc = wal_commit(&c->store->wal, NULL, atomic_load(&c->store->shared.trim));
    if (rc != 0 && rc != MDB_MAP_FULL)
        (void)wal_reopen(&c->store->wal); // as in failed(); the next commit tells, if it fails too
    return rc == 0;
}

// How long nothing need be done, in ms; 0 = commit now.
static uint64_t
wait_ms(const struct committer *c) ON_PERSIST
{
    if (c->blobs.count == 0)
        return IDLE_MS;
    if (c->store->sync_ms == 0 || c->blobs.bytes >= c->store->sizes.commit ||
        atomic_load(&c->store->shared.waiting) || atomic_load(&c->store->shared.stop_log))
        return 0;
    uint64_t due = c->since_ms + c->store->sync_ms, now = clock_mono_ms();
    return due > now ? due - now : 0;
}

static bool
stop_only(void *arg)
{
    const struct committer *c = arg;
    return atomic_load(&c->store->shared.stop_log);
}

static uint64_t
offered_bytes(const struct committer *c) ON_PERSIST
{
    uint64_t bytes = 0;
    for (unsigned i = 0; i < c->keeper->shard_count; i++) {
        struct keeper_shard *slot = &c->keeper->shards[i];
        if (atomic_load_explicit(&slot->offered, memory_order_relaxed))
            bytes += atomic_load_explicit(&slot->offered_len, memory_order_relaxed);
    }
    return bytes;
}

static void
gather(struct committer *c) ON_PERSIST
{
    uint64_t until = c->fetched_us + GATHER_US, bytes = 0, more;
    if (c->commit_bytes >= GATHER_BYTES) {
        while (clock_mono_us() < until && !atomic_load(&c->store->shared.waiting) &&
               !stop_only(c) && (more = offered_bytes(c)) >= bytes + GATHER_GROWTH) {
            bytes = more;
            struct timespec step = {.tv_nsec = GATHER_STEP_NS};
            (void)nanosleep(&step, NULL);
        }
    }
    c->fetched_us = clock_mono_us();
}

// Buffers that were large for a moment need not be it for ever.
static void
release_memory(struct committer *c) ON_PERSIST
{
    must(c->blobs.count == 0);
    blob_list_free(&c->blobs);
    c->blobs.spares = c->store->sizes.spares;
    for (unsigned i = 0; i < c->keeper->shard_count; i++) {
        struct keeper_shard *slot = &c->keeper->shards[i];
        if (atomic_load_explicit(&slot->spare, memory_order_relaxed))
            journal_batch_free(atomic_exchange_explicit(&slot->spare, NULL, memory_order_acquire));
    }
}

// One round. A failing disk: the same blobs again after a while; the shards keep the rest.
static void
round_once(struct committer *c) ON_PERSIST
{
    if (c->retry_ms != 0) {
        uint64_t until = clock_mono_ms() + c->retry_ms, now;
        while ((now = clock_mono_ms()) < until && !stop_only(c)) // offers wake it as well
            store_sleep(&c->keeper->log_thread, until - now, stop_only, c);
        // A full disk has room again when what is in the state already goes, in commits before
        // ours: LMDB does not use a page again in the transaction that freed it.
        while (!stop_only(c) && trim(c))
            continue;
        commit(c);
        return;
    }
    gather(c);
    fetch(c, c->store->sizes.commit);
    bool moved = false;
    for (unsigned i = 0; i < c->keeper->shard_count; i++)
        moved |= c->safe[i] != c->last[i];
    uint64_t wait = wait_ms(c);
    if (wait == 0 || (moved && c->blobs.count == 0)) {
        commit(c); // also when all was void: then there is nothing to write
        return;
    }
    if (moved) // sync_ms: safe although it is not on the disk
        call_safe(c);
    tell_lag(c);
    if (trim(c))
        return;
    if (c->blobs.count == 0 && clock_mono_ms() - c->committed_ms >= KEPT_MS)
        release_memory(c);
    store_sleep(&c->keeper->log_thread, wait, anything_offered, c);
}

// After store_stop: all that was offered, once more and then no more.
static void
finish(struct committer *c) ON_PERSIST
{
    fetch(c, UINT64_MAX); // what is still held was not acknowledged, and has no other half
    commit(c);
    for (unsigned tries = 0; c->retry_ms != 0 && tries < 3; tries++)
        commit(c);
    if (c->retry_ms != 0)
        store_say(c->store, LOG_T_ERROR,
                  "Persistence: what was not acknowledged since %s failed is lost.",
                  c->store->path);
}

void *
log_thread_main(void *arg)
{
    thread_role = ROLE_PERSIST;
    assert_persist();
    struct store *store = arg;
    must(store->magic == STORE_MAGIC && store->keeper);
    struct committer *c = mem_zalloc(sizeof *c);
    c->store = store;
    c->keeper = store->keeper;
    c->blobs.spares = store->sizes.spares;
    c->hold = hold_new(c->keeper->shard_count);
    while (!atomic_load(&store->shared.stop_log))
        round_once(c);
    finish(c);
    blob_list_free(&c->blobs);
    hold_free(c->hold);
    mem_free(c);
    return NULL;
}
