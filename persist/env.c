// env.c - an LMDB environment as this store uses them.
#include "persist/env.h"

#include <errno.h>
#include <sys/stat.h>

#include "core/base/mem.h"

static int
env_start(struct env *env)
{
    must(!env->mdb);
    int rc = mdb_env_create(&env->mdb);
    if (rc != 0)
        return rc;
    if ((rc = mdb_env_set_maxreaders(env->mdb, ENV_READERS)) != 0 ||
        (rc = mdb_env_set_maxdbs(env->mdb, env->tables)) != 0 ||
        (rc = mdb_env_set_mapsize(env->mdb, env->map_bytes)) != 0 ||
        (rc = mdb_env_open(env->mdb, env->path, MDB_NOTLS | env->flags, 0600)) != 0) {
        mdb_env_close(env->mdb); // also after a failed open
        env->mdb = NULL;
        return rc;
    }
    MDB_envinfo info;
    (void)mdb_env_info(env->mdb, &info);
    env->map_bytes = info.me_mapsize;
    int dead; // slots of readers that a killed process left
    return env->flags & MDB_NOLOCK ? 0 : mdb_reader_check(env->mdb, &dead);
}

int
env_open(struct env *ret, const char *path, size_t map_bytes, unsigned tables, unsigned flags)
{
    must(path && tables > 0);
    must(!(flags & (MDB_WRITEMAP | MDB_NOSYNC | MDB_NOMETASYNC)));
    *ret = (struct env){
        .path = mem_strdup(path), .map_bytes = map_bytes, .tables = tables, .flags = flags};
    int rc = env_start(ret);
    if (rc != 0)
        env_close(ret);
    return rc;
}

void
env_close(struct env *env)
{
    if (env->mdb)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
    mem_free(env->path);
    env->path = NULL;
}

void
env_rest(struct env *env)
{
    must(env->path);
    if (env->mdb)
        mdb_env_close(env->mdb);
    env->mdb = NULL;
}

int
env_reopen(struct env *env)
{
    env_rest(env);
    return env_start(env);
}

int
env_grow(struct env *env, size_t map_bytes)
{
    must(env->mdb && map_bytes > env->map_bytes);
    int rc = mdb_env_set_mapsize(env->mdb, map_bytes);
    if (rc == 0)
        env->map_bytes = map_bytes;
    return rc;
}

int
env_is_whole(const struct env *env, bool *ret_whole)
{
    MDB_envinfo info;
    MDB_stat stat;
    struct stat file;
    int fd, rc;
    if ((rc = mdb_env_info(env->mdb, &info)) != 0 || (rc = mdb_env_stat(env->mdb, &stat)) != 0 ||
        (rc = mdb_env_get_fd(env->mdb, &fd)) != 0)
        return rc;
    if (fstat(fd, &file) != 0)
        return errno;
    *ret_whole = (uint64_t)file.st_size >= ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
    return 0;
}

bool
env_is_damage(int rc)
{
    switch (rc) {
    case ENV_GAP:
    case MDB_CORRUPTED:
    case MDB_INVALID:
    case MDB_PAGE_NOTFOUND:
    case MDB_PAGE_FULL:
    case MDB_CURSOR_FULL:
    case MDB_VERSION_MISMATCH:
    case MDB_INCOMPATIBLE:
    case MDB_NOTFOUND: // a table that must be there
        return true;
    default:
        return false;
    }
}

const char *
env_text(int rc)
{
    if (rc == ENV_OTHER_VERSION)
        return "another format version";
    if (rc == ENV_GAP)
        return "a part of the log is missing";
    must(rc != ENV_TOO_MUCH); // its caller takes less
    return mdb_strerror(rc);
}
