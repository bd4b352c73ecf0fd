// copy.c - a copy of a running store, on the state thread.
//
// First the state, then the log: only this thread moves the mark up to which the log is trimmed, so
// the log's copy has all that the state's copy lacks. Both are complete by themselves.
#include <errno.h>
#include <sys/stat.h>

#include "core/base/mem.h"

#include "persist/folder.h"
#include "persist/store_parts.h"

static int
copy_part(struct env *env, const char *path, const char *part)
{
    char *folder = folder_path("%s/%s", path, part), *file = folder_path("%s/data.mdb", folder);
    int rc = mkdir(folder, 0700) == 0 ? 0 : errno;
    if (rc == 0)
        rc = env->mdb ? mdb_env_copy2(env->mdb, folder, MDB_CP_COMPACT) : MDB_PANIC;
    if (rc == 0)
        rc = folder_sync_file(file);
    if (rc == 0)
        rc = folder_sync(folder);
    mem_free(folder);
    mem_free(file);
    return rc;
}

int
store_copy(struct store *store, const char *folder)
{
    enum folder_kind kind;
    must(store->magic == STORE_MAGIC && folder[0] != '\0');
    int rc = folder_look(folder, &kind);
    if (rc != 0 || kind != FOLDER_ABSENT)
        return rc != 0 ? rc : EEXIST;
    char *part = folder_path("%s.part", folder); // a copy that was cut short has this name
    rc = folder_remove_store(part);
    if (rc == 0)
        rc = folder_make(part);
    if (rc == 0)
        rc = copy_part(&store->state.env, part, "state");
    if (rc == 0) {
        (void)pthread_mutex_lock(&store->wal.readers);
        rc = copy_part(&store->wal.env, part, "log");
        (void)pthread_mutex_unlock(&store->wal.readers);
    }
    if (rc == 0)
        rc = folder_sync(part);
    if (rc == 0)
        rc = folder_rename(part, folder);
    if (rc != 0)
        (void)folder_remove_store(part);
    mem_free(part);
    return rc;
}
