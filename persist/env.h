// env.h - an LMDB environment as this store uses them: flags, map, what counts as damage.
//
// Job:    opens, reopens and grows environments; says which errors mean a damaged file.
// Owner:  wal.h, state.h. Thread: one at a time, see there.
// Memory: LMDB's map, address space that the file fills. Limits: ENV_READERS readers.
//
// MDB_NOTLS: read transactions belong to their objects, not to threads. No MDB_WRITEMAP: a stray
// pointer must not reach the file. Always synced: MDB_NOSYNC loses whole files at a power cut.
#ifndef TERN_PERSIST_ENV_H
#define TERN_PERSIST_ENV_H

#include <lmdb.h>

#include "core/base/base.h"

#define ENV_READERS 256 // every worker loads its shard at once

// Beside LMDB's numbers and errno's.
#define ENV_OTHER_VERSION (-29001) // of the store's own format
#define ENV_GAP           (-29002) // a blob of the log is missing
#define ENV_TOO_MUCH      (-29003) // a fold would change more pages than it may

struct env {
    MDB_env *mdb; // NULL = closed
    char *path;
    size_t map_bytes;
    unsigned flags, tables;
};

// All return 0 or LMDB's, errno's or the numbers above.

// flags: MDB_RDONLY, MDB_NOLOCK, MDB_NORDAHEAD. map_bytes: at least; the file's own size wins.
int env_open(struct env *ret, const char *path, size_t map_bytes, unsigned tables, unsigned flags);
void env_close(struct env *env); // fine when closed
// Closed, and its pages' memory given back, until env_reopen. No transaction is open.
void env_rest(struct env *env);
// After a failed sync or MDB_PANIC. No transaction is open. Closed when it fails.
int env_reopen(struct env *env);
// No transaction is open.
int env_grow(struct env *env, size_t map_bytes);
// Is the file as long as its last page asks? Free pages at its end need not have been written, so
// false means that somebody should look (verify.h).
int env_is_whole(const struct env *env, bool *ret_whole);

bool env_is_damage(int rc);
const char *env_text(int rc);

#endif
