// file_replace.c - lock, write beside, sync, rename.
#include "core/access/file_replace.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/mem.h"

#define NEW_MODE 0600

static err_t
fail(struct file_problem *problem, const char *path)
{
    return file_fail(problem, "%s: %s", path, strerrordesc_np(errno));
}

// The folder of a path, with its last slash; "" for the present one.
static size_t
folder_len(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) + 1 : 0;
}

// ---- Begin --------------------------------------------------------------------------------------

// Without symbolic links. A last part that is not there is taken as it is, but for a link to
// nothing, which would be replaced itself.
static char *
resolve(const char *path)
{
    char *resolved = realpath(path, NULL);
    struct stat st;
    if (!resolved && errno == ENOENT && lstat(path, &st) != 0 && errno == ENOENT)
        return mem_strdup(path);
    if (!resolved)
        return NULL;
    char *ours = mem_strdup(resolved);
    free(resolved); // NOLINT: realpath's own
    return ours;
}

// Locked, and what is under the path now. -1 with errno.
static int
open_locked(const char *path)
{
    for (;;) {
        struct stat ours, there;
        int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
            return -1;
        int rc;
        do
            rc = flock(fd, LOCK_EX);
        while (rc != 0 && errno == EINTR);
        if (rc == 0 && fstat(fd, &ours) == 0 && stat(path, &there) == 0 &&
            ours.st_ino == there.st_ino && ours.st_dev == there.st_dev)
            return fd;
        int error = rc != 0 ? errno : 0;
        (void)close(fd);
        if (error != 0) {
            errno = error;
            return -1;
        }
        // Whoever had the lock has put another file there.
    }
}

err_t
file_replace_begin(const char *path, bool create, struct file_replace *ret_replace,
                   struct file_problem *ret_problem)
{
    must(path != NULL);
    struct file_replace replace = {.fd = -1, .mode = NEW_MODE, .user = geteuid()};
    replace.group = getegid();
    replace.path = resolve(path);
    if (!replace.path)
        return fail(ret_problem, path);
    replace.fd = open_locked(replace.path);
    struct stat st;
    err_t err = OK;
    if (replace.fd >= 0 && fstat(replace.fd, &st) == 0) {
        replace.mode = st.st_mode & 07777;
        replace.user = st.st_uid;
        replace.group = st.st_gid;
        if (!S_ISREG(st.st_mode))
            err = file_fail(ret_problem, "%s is not a file", path);
    } else if (!create || errno != ENOENT) {
        err = fail(ret_problem, path);
    }
    must(err != OK || replace.fd >= 0 || create);
    if (err == OK)
        *ret_replace = replace;
    else
        file_replace_end(&replace);
    return err;
}

void
file_replace_end(struct file_replace *replace)
{
    if (replace->fd >= 0)
        (void)close(replace->fd);
    mem_free(replace->path);
    *replace = (struct file_replace){.fd = -1};
}

// ---- Commit -------------------------------------------------------------------------------------

static bool
write_all(int fd, struct slice text)
{
    while (text.len > 0) {
        ssize_t n = write(fd, text.data, text.len);
        if (n < 0 && errno != EINTR)
            return false;
        if (n > 0)
            text = slice_of(text.data + n, text.len - (size_t)n);
    }
    return true;
}

static bool
sync_folder(const char *path)
{
    char *folder = mem_strndup(path, folder_len(path));
    int fd = open(folder[0] ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool good = fd >= 0 && fsync(fd) == 0;
    int error = errno;
    if (fd >= 0)
        (void)close(fd);
    mem_free(folder);
    errno = error;
    return good;
}

// The new file, complete, under the name beside.
static err_t
fill(const struct file_replace *replace, int fd, struct slice text, const char *beside,
     struct file_problem *problem)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return fail(problem, beside);
    if ((st.st_uid != replace->user || st.st_gid != replace->group) &&
        fchown(fd, replace->user, replace->group) != 0)
        return file_fail(problem, "%s: its owner cannot be kept: %s", replace->path,
                         strerrordesc_np(errno));
    if (fchmod(fd, replace->mode) != 0 || !write_all(fd, text) || fsync(fd) != 0)
        return fail(problem, beside);
    return OK;
}

static err_t
put(const struct file_replace *replace, struct slice text, char *beside,
    struct file_problem *problem)
{
    int fd = mkostemp(beside, O_CLOEXEC);
    if (fd < 0)
        return fail(problem, replace->path);
    err_t err = fill(replace, fd, text, beside, problem);
    if (close(fd) != 0 && err == OK)
        err = fail(problem, beside);
    if (err == OK && rename(beside, replace->path) != 0)
        err = errno == EBUSY
                  ? file_fail(problem, "%s is mounted by itself; mount its folder instead",
                              replace->path)
                  : fail(problem, replace->path);
    if (err != OK) {
        (void)unlink(beside);
        return err;
    }
    return sync_folder(replace->path) ? OK : fail(problem, replace->path);
}

err_t
file_replace_commit(struct file_replace *replace, struct slice text,
                    struct file_problem *ret_problem)
{
    must(replace->path != NULL && (text.data != NULL || text.len == 0));
    size_t size = strlen(replace->path) + sizeof ".new-XXXXXX";
    char *beside = mem_alloc(size);
    int len = snprintf(beside, size, "%s.new-XXXXXX", replace->path);
    must(len > 0 && (size_t)len < size);
    // A signal must not leave the new file beside the old one.
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_BLOCK, &all, &before);
    err_t err = put(replace, text, beside, ret_problem);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    mem_free(beside);
    return err;
}
