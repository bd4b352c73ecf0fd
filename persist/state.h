// state.h - the state: what the log said up to a point, as tables.
//
// Job:    the environment with its tables, its version and its numbers.
// Owner:  the store. Thread: the state thread; before the threads start any may read.
// Memory: LMDB's map; a transaction's changed pages. Limits: the map doubles when it is full.
#ifndef TERN_PERSIST_STATE_H
#define TERN_PERSIST_STATE_H

#include "persist/env.h"
#include "persist/table.h"

// Version 2 has settings among the retained messages, and who published them; version 3 stamps of
// these, and what was cleared, for other nodes; else they are version 1.
#define STATE_VERSION      3u
#define STATE_VERSION_READ 1u // from here on all rows are rows of this version, too

#define STATE_PAGE         4096u // bytes of a page; LMDB takes the system's, where these are larger

struct state_meta {
    uint64_t next_session, next_message, next_order; // above everything that was ever seen
    uint64_t seed;                                   // for the hashes of topics
    uint64_t applied;                                // sequence of the last blob that is in here
    uint64_t folds;                                  // transactions so far: the age of tombstones
};

struct state {
    struct env env;
    MDB_dbi tables[TABLE_COUNT];
    struct state_meta meta; // as committed
};

// All return 0 or LMDB's, errno's or env.h's numbers.

int state_create(const char *path); // in an empty folder; synced
// flags as env_open. ENV_OTHER_VERSION: *ret_version says which. Older versions are brought up to
// date, but not with MDB_RDONLY.
int state_open(struct state *ret, const char *path, unsigned flags, uint32_t *ret_version);
void state_close(struct state *state);
int state_reopen(struct state *state); // closed when it fails

// A transaction with a cursor for each table.
struct state_txn {
    MDB_txn *txn;
    MDB_cursor *cursors[TABLE_COUNT];
};

int state_begin(const struct state *state, bool write, struct state_txn *ret);
void state_abort(struct state_txn *txn); // fine after a failed begin or an end
int state_commit(struct state_txn *txn);
int state_put_meta(struct state_txn *txn, const struct state_meta *meta);
// Rows of a table.
int state_rows(const struct state *state, const struct state_txn *txn, enum table table,
               uint64_t *ret_rows);
// How many entries name the message; 0 = it is not there.
int state_message_refs(struct state_txn *txn, uint64_t message, uint32_t *ret_refs);

#endif
