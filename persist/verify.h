// verify.h - looks at every byte of a store that matters, before anybody relies on it.
//
// Job:    walks all tables of both environments: order of keys, checksums, records, sessions that
//         are referred to, counts of references, the list of free pages.
// Owner:  none. Thread: main, before there are others (verify_in_child forks).
// Memory: a bit for each page. Limits: none; about as long as reading the files.
#ifndef TERN_PERSIST_VERIFY_H
#define TERN_PERSIST_VERIFY_H

#include "core/base/base.h"

#define VERIFY_TEXT_MAX 160

enum verdict {
    VERDICT_GOOD = 0,
    VERDICT_DAMAGED = 1,       // text says where
    VERDICT_OTHER_VERSION = 2, // not looked at any further
    VERDICT_UNKNOWN = 3,       // it could not be read for another reason; text says which
};

// The store at path, whose lock the caller has, with no environment of it open. A damaged file may
// end the process by SIGBUS, SIGSEGV or an assertion of LMDB's.
enum verdict verify_store(const char *path, char ret_text[static VERIFY_TEXT_MAX]);
// The same in a child process; such an end means VERDICT_DAMAGED.
enum verdict verify_in_child(const char *path, char ret_text[static VERIFY_TEXT_MAX]);

#endif
