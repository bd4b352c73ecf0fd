// folder.c - the store's folder: its names, its lock, making and moving it.
#include "persist/folder.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

char *
folder_path(const char *format, ...)
{
    char *path = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&path, format, args);
    va_end(args);
    must(len >= 0 && path);
    char *copy = mem_strdup(path); // so that mem_free fits, whatever the allocator
    free(path);
    return copy;
}

static int
make_one(const char *path)
{
    must(path[0] != '\0');
    if (mkdir(path, 0700) == 0)
        return folder_sync_parent(path);
    return errno;
}

int
folder_make(const char *path)
{
    struct stat st;
    must(path && path[0] != '\0');
    if (stat(path, &st) == 0)
        return S_ISDIR(st.st_mode) ? 0 : ENOTDIR;
    char *copy = mem_strdup(path);
    int rc = 0;
    for (char *slash = strchr(copy + 1, '/'); slash && rc == 0; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        if (stat(copy, &st) != 0)
            rc = make_one(copy);
        *slash = '/';
    }
    if (rc == 0 && stat(path, &st) != 0)
        rc = make_one(path);
    mem_free(copy);
    return rc;
}

// ---- Syncs --------------------------------------------------------------------------------------

static int
sync_path(const char *path, int flags)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int rc = fsync(fd) == 0 ? 0 : errno;
    (void)close(fd);
    return rc;
}

int
folder_sync(const char *path)
{
    return sync_path(path, O_RDONLY | O_DIRECTORY);
}

int
folder_sync_file(const char *path)
{
    return sync_path(path, O_RDONLY);
}

int
folder_sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return folder_sync(".");
    char *parent = slash == path ? mem_strdup("/") : mem_strndup(path, (size_t)(slash - path));
    int rc = folder_sync(parent);
    mem_free(parent);
    return rc;
}

// ---- Moving and removing ------------------------------------------------------------------------

int
folder_rename(const char *from, const char *to)
{
    must(strcmp(from, to) != 0);
    return rename(from, to) == 0 ? folder_sync_parent(to) : errno;
}

int
folder_exchange(const char *one, const char *two)
{
    must(strcmp(one, two) != 0);
    if (renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE) != 0)
        return errno;
    return folder_sync_parent(two);
}

static int
remove_at(const char *path, const char *name, bool folder)
{
    char *full = folder_path("%s/%s", path, name);
    int rc = folder ? rmdir(full) : unlink(full);
    rc = rc == 0 || errno == ENOENT ? 0 : errno;
    mem_free(full);
    return rc;
}

int
folder_remove_store(const char *path)
{
    static const struct {
        const char *name;
        bool folder;
    } parts[] = {
        {"log/data.mdb", false},   {"log/lock.mdb", false},   {"log", true},
        {"state/data.mdb", false}, {"state/lock.mdb", false}, {"state", true},
    };
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        int rc = remove_at(path, parts[i].name, parts[i].folder);
        if (rc != 0)
            return rc;
    }
    return rmdir(path) == 0 || errno == ENOENT ? 0 : errno;
}

int
folder_look(const char *path, enum folder_kind *ret)
{
    struct stat st;
    *ret = FOLDER_ABSENT;
    if (stat(path, &st) != 0)
        return errno == ENOENT ? 0 : errno;
    *ret = FOLDER_OTHER;
    if (!S_ISDIR(st.st_mode))
        return 0;
    char *log = folder_path("%s/log", path), *state = folder_path("%s/state", path);
    bool store = access(log, F_OK) == 0 || access(state, F_OK) == 0;
    mem_free(log);
    mem_free(state);
    DIR *dir = opendir(path);
    if (!dir)
        return errno;
    unsigned names = 0;
    while (readdir(dir)) // NOLINT(concurrency-mt-unsafe): this stream is nobody else's
        names++;
    (void)closedir(dir);
    if (store)
        *ret = FOLDER_STORE;
    else if (names == 2) // . and ..
        *ret = FOLDER_EMPTY;
    return 0;
}

// ---- The lock -----------------------------------------------------------------------------------

static long
read_pid(int fd)
{
    char text[32] = "";
    ssize_t n = pread(fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

int
folder_lock(const char *path, int *ret_fd, long *ret_pid)
{
    char text[32];
    *ret_fd = -1;
    *ret_pid = 0;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0)
        return errno;
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int rc = errno;
        *ret_pid = read_pid(fd);
        (void)close(fd);
        return rc;
    }
    int len = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    must(len > 0 && (size_t)len < sizeof text);
    // The number is for people: a disk without room for it does not keep the store closed.
    if (ftruncate(fd, 0) == 0)
        (void)!pwrite(fd, text, (size_t)len, 0);
    *ret_fd = fd;
    return 0;
}
