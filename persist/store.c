// store.c - the disk's side: its parts put together, its threads.
#include "persist/store.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/host.h"
#include "persist/store_parts.h"

#define PAGES_AT_ONCE 16u // of a thirty-second of the window each (core/keeper.h)

// ---- Words --------------------------------------------------------------------------------------

void
store_say(const struct store *store, enum log_type type, const char *format, ...)
{
    char text[LOG_LINE_MAX];
    va_list args;
    va_start(args, format);
    must(store->magic == STORE_MAGIC);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (store->log)
        log_line(store->log, type, "%s", text);
    else
        (void)fprintf(stderr, "%s\n", text);
}

err_t
store_problem(char ret_problem[static STORE_PROBLEM_MAX], err_t err, const char *format, ...)
{
    va_list args;
    must(err != OK);
    va_start(args, format);
    (void)vsnprintf(ret_problem, STORE_PROBLEM_MAX, format, args);
    va_end(args);
    return err;
}

struct store_sizes
store_sizes_of(uint64_t window_bytes)
{
    must(window_bytes >= HOST_WINDOW_MIN && window_bytes <= HOST_WINDOW_MAX);
    bool all = window_bytes == HOST_WINDOW_MAX;
    return (struct store_sizes){
        .window = window_bytes,
        .keep = window_bytes / 4,
        .behind = window_bytes * 32,
        .commit = window_bytes / 2,
        .kept = window_bytes / 8,
        .things = (uint32_t)(window_bytes * WINDOW_THINGS / HOST_WINDOW_MAX),
        .spares = (uint32_t)(window_bytes * BLOB_SPARES / HOST_WINDOW_MAX),
        .pages = all ? UINT32_MAX : PAGES_AT_ONCE,
        // Of large messages it writes as many bytes as the window has.
        .changed = all ? 0 : (uint32_t)(window_bytes / 2 * 3 / STATE_PAGE),
    };
}

const char *
store_advice(int rc)
{
    switch (rc) {
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return "Make room on that disk.";
    case EROFS:
    case EACCES:
    case EPERM:
        return "Give this user the right to write there.";
    case MDB_MAP_FULL:
        return "The log waits for the state to catch up: the disk is too slow for this load.";
    default:
        return env_is_damage(rc)
                   ? "Restore a backup, or restart with persistence_recovery quarantine."
                   : "Look at that disk and the kernel's messages.";
    }
}

void
store_counts(const struct store *store, struct store_counts *ret)
{
    must(store->magic == STORE_MAGIC);
    *ret = store->counts;
}

// ---- Threads ------------------------------------------------------------------------------------

void
store_sleep(struct keeper_thread *thread, uint64_t ms, bool (*ready)(void *arg), void *arg)
{
    // The flag, then the look; whoever brings work looks the other way round (keeper_wake).
    atomic_store(&thread->asleep, 1);
    atomic_thread_fence(memory_order_seq_cst);
    if (!ready(arg)) {
        struct pollfd fd = {.fd = thread->wake_fd, .events = POLLIN};
        (void)poll(&fd, 1, (int)min_u64(ms, 60000));
    }
    atomic_store(&thread->asleep, 0);
    must(thread->wake_fd >= 0);
    eventfd_t count; // non-blocking: there may be nothing in it
    (void)eventfd_read(thread->wake_fd, &count);
}

static err_t
start_thread(pthread_t *ret, void *(*body)(void *), struct store *store, const char *name)
{
    if (pthread_create(ret, NULL, body, store) != 0)
        return ERR_IO;
    (void)pthread_setname_np(*ret, name);
    return OK;
}

err_t
store_start(struct store *store, struct broker *broker)
{
    must(store->magic == STORE_MAGIC && !store->running && !store->transfer);
    must(broker->keeper && broker->keeper->on);
    store->broker = broker;
    store->keeper = broker->keeper;
    atomic_store(&store->shared.stop_log, false); // this may not be the first time
    atomic_store(&store->shared.stop_state, false);
    atomic_store(&store->shared.waiting, 0);
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++)
        atomic_store(&store->shared.positions[i], 0);
    sigset_t all, old; // signals are main's
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &old);
    err_t err = start_thread(&store->log_thread, log_thread_main, store, "tern-log");
    if (err == OK) {
        err = start_thread(&store->state_thread, state_thread_main, store, "tern-state");
        if (err != OK) {
            atomic_store(&store->shared.stop_log, true);
            keeper_wake(&store->keeper->log_thread);
            (void)pthread_join(store->log_thread, NULL);
        }
    }
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL);
    store->running = err == OK;
    if (err == OK && store->sync_ms > 0)
        store_say(store, LOG_T_WARNING,
                  "Persistence: acknowledgements do not wait for the disk; if this process, the "
                  "system or the power fails, up to %u ms of acknowledged messages are lost.",
                  store->sync_ms);
    return err;
}

void
store_stop(struct store *store)
{
    must(store->magic == STORE_MAGIC);
    if (!store->running)
        return;
    atomic_store(&store->shared.stop_log, true);
    keeper_wake(&store->keeper->log_thread);
    (void)pthread_join(store->log_thread, NULL);
    // The log does not grow any more: the last fold takes all of it.
    atomic_store(&store->shared.stop_state, true);
    keeper_wake(&store->keeper->state_thread);
    (void)pthread_join(store->state_thread, NULL);
    store_copy_done(atomic_exchange(&store->shared.backup, NULL), ECANCELED);
    store->running = false;
    store->broker = NULL;
    store->keeper = NULL;
    uint64_t applied = store->state.meta.applied;
    int rc = 0;
    while (rc == 0 && store->wal.first <= applied && store->wal.first < store->wal.next)
        rc = wal_commit(&store->wal, NULL, applied);
    (void)store_count(store);
}

void
store_copy_to(struct store *store, struct store_copy *copy)
{
    must(store->magic == STORE_MAGIC && copy->folder[0] != '\0');
    atomic_store(&copy->done, false);
    store_copy_done(atomic_exchange(&store->shared.backup, copy), ECANCELED);
    if (store->running)
        keeper_wake(&store->keeper->state_thread);
}

void
store_backup(struct store *store, const char *folder)
{
    struct store_copy *copy = mem_zalloc(sizeof *copy);
    copy->folder = mem_strdup(folder);
    copy->unowned = true;
    store_copy_to(store, copy);
}
