// fold_parts.h - what fold.c, fold_session.c and fold_retained.c share.
//
// Job:    the transaction under way. Thread: the one that folds. Memory: see fold.h.
#ifndef TERN_PERSIST_FOLD_PARTS_H
#define TERN_PERSIST_FOLD_PARTS_H

#include "persist/fold.h"

// A thing of the window that is to be written. Sorted by kind, a, b.
struct survivor {
    uint64_t a, b;
    uint32_t at;
    uint8_t kind, flags;
};

struct fold {
    struct state *state;
    const struct window *window;
    struct state_txn txn;
    struct state_meta meta;
    struct survivor *survivors;
    uint32_t survivor_count, survivor_cap;
    struct slots refs;             // THING_MESSAGE, message: at, delta, REF_ flags
    uint64_t session;              // the last one that was asked for
    bool session_there;            // it is in the state
    uintptr_t places[TABLE_COUNT]; // the page on which each table was written last
    struct fold_result result;
};

// In refs alone.
#define THING_MESSAGE 1u
enum {
    REF_ASKED = 1, // REF_THERE is known
    REF_THERE = 2, // in the state
};

// Each: 0 or LMDB's or errno's number.

// The sessions that ended: all of them, with their rows and references.
int fold_end_session(struct fold *fold, uint64_t session);
int fold_session(struct fold *fold, const struct survivor *thing);
int fold_subscription(struct fold *fold, const struct survivor *thing);
int fold_received(struct fold *fold, const struct survivor *thing);
int fold_entry(struct fold *fold, const struct survivor *thing);
int fold_retained(struct fold *fold, const struct survivor *thing);
// Tombstones that no late record can concern any more.
int fold_old_tombstones(struct fold *fold);
// The messages whose references changed, in the order of their numbers.
int fold_messages(struct fold *fold);

#endif
