// import.h - whole stores from a file and to one.
//
// Job:    what `--import` and `--export` do: a mosquitto.db or JSON lines (json.h) into an empty
//         store, a store to JSON lines.
// Owner:  main. Thread: main, while the store's threads do not run.
// Memory: import: a mosquitto.db as a whole, of JSON one line; export: one record.
// Limits: a mosquitto.db below 4 GiB.
#ifndef TERN_PERSIST_IMPORT_H
#define TERN_PERSIST_IMPORT_H

#include "persist/store.h"

#define IMPORT_PROBLEM_MAX STORE_PROBLEM_MAX

// path "-": standard input. What the file is shows in its first bytes. OK: all of it is in the
// store; problem is empty, or a remark for the operator. Else nothing is kept, and problem says in
// one line what is wrong and where: ERR_IO, ERR_MALFORMED, ERR_FULL (the store is not empty), what
// the store says.
NODISCARD err_t import_file(struct store *store, const char *path,
                            char problem[static IMPORT_PROBLEM_MAX]);

// path "-": standard output. A file is written beside the old one, synced and put in its place, so
// that there is always a whole one; only its owner may read it. OK: *ret_records lines.
NODISCARD err_t export_file(struct store *store, const char *path, uint64_t *ret_records,
                            char problem[static IMPORT_PROBLEM_MAX]);

#endif
