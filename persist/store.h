// store.h - the disk's side: keeps what the shards journal, gives it back after a restart.
//
// Job:    commits the shards' batches in groups and says what is safe; folds the log into the
//         state in the background; answers page requests; recovers, exports, imports, copies.
// Owner:  main. Thread: open, start, stop, close, each_*, import: main, or where said; two threads
//         of its own in between.
// Memory: a batch a shard, one fold window (struct store_sizes), LMDB's page cache.
// Limits: the log is folded at a window's bytes; publishers wait beyond 32 of these.
#ifndef TERN_PERSIST_STORE_H
#define TERN_PERSIST_STORE_H

#include <stdatomic.h>

#include "core/base/err.h"
#include "core/base/log.h"

#include "core/record.h"

struct broker;
struct keeper;
struct shard;
struct store;

#define STORE_PROBLEM_MAX 512

struct store_options {
    const char *folder;   // made if it is not there (mode 0700)
    const char *name;     // of the store in it, a folder: <folder>/<name>
    uint32_t sync_ms;     // 0: each commit is synced before it is called safe; else how often
    bool quarantine;      // a damaged store is moved aside instead of refused
    bool verify_in_child; // check everything in a child process first (a damaged file may kill it)
    // Bytes of log that are folded at once; all else that the store has in memory goes by it
    // (store_parts.h). 0 = HOST_WINDOW_MAX, which is the most (core/host.h).
    uint64_t window_bytes;
    struct log *log; // NULL = standard error
};

// Opens, verifies, folds what the log holds into the state. OK: returns new. ERR_CONFIG or ERR_IO:
// ret_problem says what is wrong and what to do, in one line.
NODISCARD err_t store_open(const struct store_options *options, struct store **ret_store,
                           char ret_problem[static STORE_PROBLEM_MAX]);
void store_close(struct store *store); // takes; threads are stopped; NULL is fine

// The process that has this store open; 0 = none, -1: that cannot be told.
long store_owner(const struct store_options *options);

struct store_counts {
    uint64_t sessions, subscriptions, entries, messages, retained, settings;
    uint64_t next_session, next_message, next_order; // numbers never used so far
    bool quarantined;                                // a damaged store was moved aside
};
void store_counts(const struct store *store, struct store_counts *ret);

// Puts this shard's sessions back (core/restore.h). On the worker's thread, before it serves; all
// workers may do so at once. ERR_IO: the state is damaged.
NODISCARD err_t store_load_shard(struct store *store, struct shard *shard);
// Retained messages, on main's thread. reader: main's, online.
struct rcu_reader;
NODISCARD err_t store_load_retained(struct store *store, struct broker *broker,
                                    struct rcu_reader *reader);

typedef err_t (*record_sink)(void *arg, const struct record *record);
// Settings (SETTING records) whose names begin with prefix, which is not empty, sorted by name. The
// sink returns OK.
NODISCARD err_t store_load_settings(struct store *store, const char *prefix, record_sink sink,
                                    void *arg);

// Takes settings into the state at once, before the threads start: all of them or none. Their
// orders are above all that the store has. ERR_IO: it told.
NODISCARD err_t store_put_settings(struct store *store, const struct record *records,
                                   uint32_t count);

// The threads. The broker and its keeper outlive store_stop. store_stop: the workers have ended and
// offered all they had; commits it, folds, joins.
NODISCARD err_t store_start(struct store *store, struct broker *broker);
void store_stop(struct store *store);

// ---- Whole stores -------------------------------------------------------------------------------

// A consistent, compacted copy of state and log in a new folder, while the store runs; on the state
// thread, as soon as it can. Asynchronous: the log tells how it ended. ON_ANY.
void store_backup(struct store *store, const char *folder);
// The same for who wants to know. Of two that wait at once the later one counts.
struct store_copy {
    const char *folder; // borrowed until it is done
    bool replace;       // a store in that place gives way, if nobody has it open
    int done_fd;        // an eventfd, written when it is done
    char problem[256];  // what went wrong; "" = nothing
    _Atomic bool done;  // until then it is the store's
    bool unowned;       // the store's own
};
// ON_ANY.
void store_copy_to(struct store *store, struct store_copy *copy);

// Everything, as records that make an equal store: SESSION, its SUBSCRIBE, RECEIVED, then MESSAGE
// before the first ENQUEUE that names it, STATE for released ones; SETTING and RETAIN. Without
// threads.
NODISCARD err_t store_export(struct store *store, record_sink sink, void *arg);
// Takes records into an empty store (ERR_FULL when it holds sessions, retained messages or
// settings), in the order that export gives. Nothing is kept unless store_import_end returns OK.
// Without threads.
NODISCARD err_t store_import_begin(struct store *store);
NODISCARD err_t store_import_put(struct store *store, const struct record *record);
NODISCARD err_t store_import_end(struct store *store);

#endif
