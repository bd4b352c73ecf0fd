// store_parts.h - what the files of the store share: the store itself.
//
// Job:    the struct behind store.h, and who of its threads writes what.
// Owner:  main. Thread: each field says. Memory: see store.h. Limits: see store.h.
#ifndef TERN_PERSIST_STORE_PARTS_H
#define TERN_PERSIST_STORE_PARTS_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/thread.h"

#include "core/keeper.h"
#include "persist/fold.h"
#include "persist/state.h"
#include "persist/store.h"
#include "persist/wal.h"
#include "persist/window.h"

#define STORE_MAGIC     0x53544f52u

#define STORE_FOLD_MS   30000u // a fold at least so often, if there is anything
#define STORE_TELL_MS   30000u // a lasting failure is told again
#define STORE_RETRY_MIN 100u   // ms after the first failure, doubling
#define STORE_RETRY_MAX 2000u

// Bytes of log that were folded: after more, what LMDB keeps of changed pages is given back.
#define STORE_PAGES_KEPT ((uint64_t)4 << 20)

struct transfer;

// All that goes by the window (core/host.h): shares of it, with 32 MiB as they were measured.
struct store_sizes {
    uint64_t window;  // bytes of log that start a fold, and that one takes
    uint64_t keep;    // of them stay: what is under way ends there
    uint64_t behind;  // bytes of log that are not in the state, beyond which publishers wait
    uint64_t commit;  // bytes gathered for one commit
    uint64_t kept;    // of a batch: a larger one was an exception, its memory goes
    uint32_t things;  // in a window
    uint32_t spares;  // blobs whose memory stays for the next commit
    uint32_t pages;   // of queues that are read before the shards take some
    uint32_t changed; // pages that a fold may change; 0 = LMDB writes some early
};

// Between the two threads, and for tests.
struct CACHE_ALIGNED store_shared {
    _Atomic uint64_t committed; // log thread: sequence of the last blob that is on the disk
    _Atomic uint64_t logged;    // log thread: bytes of blobs committed so far
    _Atomic uint64_t folded;    // state thread: bytes of them that are in the state
    _Atomic uint64_t trim;      // state thread: blobs up to here may go
    _Atomic uint32_t waiting;   // state thread: page requests wait for a commit: soon, please
    _Atomic uint64_t positions[TRIE_SHARDS_MAX]; // log thread: on the disk up to here
    atomic_bool stop_log, stop_state;
    _Atomic(struct store_copy *) backup; // any: for the state thread to take
};

struct store {
    uint32_t magic;
    char *folder, *name, *path; // path: <folder>/<name>
    uint32_t sync_ms;
    bool quarantine, verify;
    struct log *log;
    struct store_sizes sizes;
    uint32_t things; // in the next window: fewer than sizes.things after one that changed too much
    int lock_fd;
    struct store_counts counts;
    struct state state;
    struct wal wal;
    struct transfer *transfer; // NULL = none under way

    bool running;
    struct broker *broker;
    struct keeper *keeper;
    pthread_t log_thread, state_thread;
    struct store_shared shared;
};

// One line to the log, or to standard error.
void store_say(const struct store *store, enum log_type type, const char *format, ...)
    PRINTF_LIKE(3);
// The reason into ret_problem; returns err.
err_t store_problem(char ret_problem[static STORE_PROBLEM_MAX], err_t err, const char *format, ...)
    PRINTF_LIKE(3);
struct store_sizes store_sizes_of(uint64_t window_bytes);
// What an operator can do about this failure of the disk.
const char *store_advice(int rc);

// ---- store_open.c -------------------------------------------------------------------------------

// Makes an empty store at path, which is absent or an empty folder.
int store_make(const char *path);
// Opens state and log of store->path. 0 or env.h's numbers.
int store_open_parts(struct store *store, uint32_t *ret_version);
void store_close_parts(struct store *store);
int store_count(struct store *store); // fills in counts

// ---- The threads' bodies ------------------------------------------------------------------------

void *log_thread_main(void *arg);   // log_thread.c; arg: the store
void *state_thread_main(void *arg); // state_thread.c
// Folds what the log has behind the state, up to this sequence number, which ends a commit; with
// keep, only as long as at least so many bytes are left in the log behind it, to look ahead into. 0
// or env.h's numbers.
int store_fold(struct store *store, struct window *window, uint64_t until, uint64_t keep);
// Waits until the thread is woken, or for ms. `ready` is asked after the flag is set.
void store_sleep(struct keeper_thread *thread, uint64_t ms, bool (*ready)(void *arg), void *arg);

// ---- copy.c -------------------------------------------------------------------------------------

// A copy in a folder that does not exist yet; with replace, in the place of another store. On the
// state thread. 0 or errno's or LMDB's numbers.
int store_copy(struct store *store, const char *folder, bool replace);
// Takes; NULL is fine. rc: what became of it; of a copy that somebody waits for he is told.
void store_copy_done(struct store_copy *copy, int rc);

#endif
