// copy.c - a copy of a running store, on the state thread.
//
// First the state, then the log: only this thread moves the mark up to which the log is trimmed, so
// the log's copy has all that the state's copy lacks. Both are complete by themselves.
#include <errno.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <unistd.h>

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
        rc = chmod(file, 0600) == 0 ? 0 : errno; // whatever the umask; the folder is ours alone
    if (rc == 0)
        rc = folder_sync_file(file);
    if (rc == 0)
        rc = folder_sync(folder);
    mem_free(folder);
    mem_free(file);
    return rc;
}

// Nobody has it open: neither we, by whatever name, nor another process.
static int
check_unused(const struct store *store, const char *folder)
{
    struct stat ours, its;
    if (stat(store->path, &ours) != 0 || stat(folder, &its) != 0)
        return errno;
    if (ours.st_dev == its.st_dev && ours.st_ino == its.st_ino)
        return EBUSY;
    const char *slash = strrchr(folder, '/');
    must(slash && slash[1] != '\0'); // a whole path
    char *parent = mem_strndup(folder, (size_t)(slash - folder) + 1);
    char *lock = folder_path("%s.lock", folder);
    long pid = 0;
    if (access(lock, F_OK) == 0) // else nobody ever served from it, and it is not made here
        pid = store_owner(&(struct store_options){.folder = parent, .name = slash + 1});
    mem_free(lock);
    mem_free(parent);
    return pid == 0 ? 0 : EBUSY;
}

static int
check_place(const struct store *store, const char *folder, bool replace, bool *ret_there)
{
    enum folder_kind kind;
    int rc = folder_look(folder, &kind);
    *ret_there = kind != FOLDER_ABSENT;
    if (rc != 0 || kind == FOLDER_ABSENT)
        return rc;
    if (!replace || kind == FOLDER_OTHER)
        return EEXIST;
    return kind == FOLDER_STORE ? check_unused(store, folder) : 0;
}

// At once, so that there is one store or the other at any time.
static int
take_place(const char *part, const char *folder)
{
    int rc = folder_exchange(part, folder);
    if (rc == 0)
        (void)folder_remove_store(part); // the old one; what else is in it stays
    return rc;
}

int
store_copy(struct store *store, const char *folder, bool replace)
{
    bool there;
    must(store->magic == STORE_MAGIC && folder[0] != '\0');
    int rc = check_place(store, folder, replace, &there);
    if (rc != 0)
        return rc;
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
        rc = there ? take_place(part, folder) : folder_rename(part, folder);
    if (rc != 0)
        (void)folder_remove_store(part);
    mem_free(part);
    return rc;
}

void
store_copy_done(struct store_copy *copy, int rc)
{
    if (!copy)
        return;
    if (copy->unowned) {
        mem_free(unconst(copy->folder));
        mem_free(copy);
        return;
    }
    if (rc == ECANCELED)
        (void)snprintf(copy->problem, sizeof copy->problem,
                       "another copy was asked for, or the broker ends");
    else if (rc != 0)
        (void)snprintf(copy->problem, sizeof copy->problem, "%s",
                       rc == EEXIST  ? "something is there already"
                       : rc == EBUSY ? "a broker has that store open"
                                     : env_text(rc));
    int fd = copy->done_fd; // it may be gone once it is done
    atomic_store_explicit(&copy->done, true, memory_order_release);
    rc = eventfd_write(fd, 1);
    must(rc == 0 || errno == EAGAIN);
}
