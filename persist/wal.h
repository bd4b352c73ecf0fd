// wal.h - the log on the disk: one blob a key, appended at one end, trimmed at the other.
//
// Job:    commits gathered blobs, trims what the state has, reads windows.
// Owner:  the store. Thread: wal_commit, wal_reopen: the log thread; wal_read: the state thread;
//         before the threads start main does all. `readers` is held while one reads and while the
//         other reopens, which it does after a failure only.
// Memory: LMDB's map; a commit's pages. Limits: WAL_MAP of address space and file.
#ifndef TERN_PERSIST_WAL_H
#define TERN_PERSIST_WAL_H

#include <pthread.h>

#include "persist/blob.h"
#include "persist/env.h"
#include "persist/window.h"

#define WAL_MAP      ((size_t)4 << 30) // four times what makes publishers wait
#define WAL_MAP_STEP ((size_t)16 << 20)
#define WAL_TRIM_MAX 64u // blobs a commit, so that a commit's time has a bound

struct wal {
    struct env env;
    MDB_dbi table;
    pthread_mutex_t readers;
    uint64_t next;  // sequence number of the next blob
    uint64_t first; // of the oldest blob there; next when there is none
};

// All return 0 or LMDB's, errno's or env.h's numbers.

int wal_create(const char *path); // in an empty folder; synced
// flags as env_open. applied: of the state: the log goes on behind it. ENV_GAP: blobs between the
// two are missing.
int wal_open(struct wal *ret, const char *path, unsigned flags, uint64_t applied);
void wal_close(struct wal *wal);
int wal_reopen(struct wal *wal);

// Appends the blobs as next, next + 1 ... and trims up to trim, at most WAL_TRIM_MAX blobs, in one
// synced transaction. Seals the blobs. When it fails nothing has changed, or a part that the next
// call with the same blobs repeats. list: NULL, or with blobs in it.
int wal_commit(struct wal *wal, const struct blob_list *list, uint64_t trim);

struct wal_window {
    uint64_t last;  // sequence number of the last blob taken; 0 = there was none
    uint64_t bytes; // of the blobs
    uint64_t commits;
};
// Shows blobs behind `after` up to `until`, about bytes_max of them, to window_look_ahead.
int wal_look_ahead(struct wal *wal, uint64_t after, uint64_t until, uint64_t bytes_max,
                   struct window *window);
// Copies blobs behind `after` up to `until`, which ends a commit, into the window and applies them,
// until it is full: bytes_max (one commit may be larger) or things_max. MDB_CORRUPTED, ENV_GAP:
// damage.
int wal_read(struct wal *wal, uint64_t after, uint64_t until, uint64_t bytes_max,
             struct window *window, struct wal_window *ret);

#endif
