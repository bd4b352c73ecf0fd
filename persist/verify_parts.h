// verify_parts.h - what verify.c and verify_tables.c share.
//
// Job:    one walk through a table, and what is found to be wrong.
// Owner:  verify.c. Thread: one. Memory: see verify.h. Limits: see verify.h.
#ifndef TERN_PERSIST_VERIFY_PARTS_H
#define TERN_PERSIST_VERIFY_PARTS_H

#include "persist/state.h"
#include "persist/verify.h"

struct verifier {
    struct state state;
    struct state_txn txn;
    char *text; // VERIFY_TEXT_MAX
    // Sums over numbers of messages, mixed: once for each live entry, and once for each reference
    // that a message is said to have. Equal sums: the counts are right, but for one case in 2^64.
    uint64_t named, counted;
};

// Notes what is wrong, once; returns MDB_CORRUPTED.
int verify_bad(struct verifier *v, const char *format, ...) PRINTF_LIKE(2);
// All tables of the state. 0 or LMDB's numbers.
int verify_tables(struct verifier *v);

#endif
