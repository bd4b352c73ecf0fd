// shim.c - records all that a program does to the files of one folder, and lets its disk fail.
//
// Loaded with LD_PRELOAD. What it records is the order in which calls took effect on the page
// cache, and when which sync began and ended; images.py makes of it what a power cut could leave.
//
//   POWERCUT_DIR    the folder to watch; without it the shim does nothing
//   POWERCUT_TRACE  the trace, appended to
//   POWERCUT_MARK   a file: each line that the program writes to it becomes a mark in the trace
//   POWERCUT_FAULT  enospc:BYTES, eio-sync:N, eio-write:N, short-write:N, joined by commas
//   POWERCUT_LIFT   once this file exists, enospc is over
//
// Rules:
//  1. One lock gives all threads one order. It is held while a write goes to the page cache, never
//     while something syncs: what other threads do meanwhile must stay visible in the trace.
//  2. A sync covers what was written before its SYNC, and counts from its SYNC_END on.
//  3. O_DSYNC and O_SYNC are taken from open's flags and played as a write, then an fdatasync: so
//     the write has its place in the order although its sync runs outside of the lock.
//  4. The kernel is called directly, never through libc's functions: no dlsym, which allocates.
//  5. What does not come through libc's symbols is not seen: stdio, io_uring, writable mappings.
//     run.py finds it by comparing the folder with what the trace would make of it.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#undef _FORTIFY_SOURCE // its inline open() would stand in the way of ours
#include "tests/powercut/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { MAPS_MAX = 256 }; // writable shared mappings of watched files

// ---- Writes -----------------------------------------------------------------------------------

static const off_t AT_CURSOR = -1;

static ssize_t
raw_write(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    if (n == 1 && offset == AT_CURSOR && flags == 0)
        return syscall(SYS_write, fd, iov->iov_base, iov->iov_len);
    if (offset == AT_CURSOR && flags == 0)
        return syscall(SYS_writev, fd, iov, n);
    if (n == 1 && flags == 0)
        return syscall(SYS_pwrite64, fd, iov->iov_base, iov->iov_len, offset);
    return syscall(SYS_pwritev2, fd, iov, n, offset, 0L, flags);
}

static ssize_t
mark_write(int fd, const struct iovec *iov, int n)
{
    shim_lock();
    trace_marks(iov, n);
    ssize_t got = raw_write(fd, iov, n, AT_CURSOR, 0);
    shim_unlock();
    return got;
}

// Under the lock: the write itself, and its record.
static ssize_t
cached_write(int fd, const struct iovec *iov, int n, off_t offset, struct record r, size_t bytes)
{
    struct iovec cut[IOV_MAX];
    struct stat before, after;
    int used = 0;

    for (size_t left = bytes; used < n && (left > 0 || used == 0); used++) {
        cut[used] = iov[used];
        if (cut[used].iov_len > left)
            cut[used].iov_len = left;
        left -= cut[used].iov_len;
    }
    (void)fstat(fd, &before);
    ssize_t got = raw_write(fd, cut, used, offset, 0);
    if (got <= 0)
        return got;
    int saved = errno;
    (void)fstat(fd, &after);
    fault_grown(before.st_size, after.st_size);
    r.ino = after.st_ino;
    r.length = (uint64_t)got;
    trace_emit_v(r, cut, used, (size_t)got);
    errno = saved;
    return got;
}

static ssize_t
file_write(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    bool sync_fails = false;
    struct stat st;
    size_t bytes = 0;

    for (int i = 0; i < n; i++)
        bytes += iov[i].iov_len;
    shim_lock();
    if (n >= IOV_MAX)
        trace_text(K_UNSUPPORTED, "a write of 1,024 pieces");
    if (!fd_stat(fd, &st) || n < 1 || n >= IOV_MAX) {
        shim_unlock();
        return raw_write(fd, iov, n, offset, flags);
    }
    bool syncs = fds[fd].syncs || flags & (RWF_DSYNC | RWF_SYNC);
    int status = (int)syscall(SYS_fcntl, fd, F_GETFL, 0);
    // Linux appends even with pwrite.
    bool append = (status >= 0 && status & O_APPEND) || flags & RWF_APPEND;
    off_t start = append ? st.st_size : offset == AT_CURSOR ? lseek(fd, 0, SEEK_CUR) : offset;
    if (flags & RWF_APPEND)
        offset = start;
    struct record r = {.kind = K_WRITE, .offset = (uint64_t)start};
    if (syncs) {
        r.flags = F_SYNC;
        r.ref = trace_new_ref();
    }
    int error = fault_on_write(&st, start, syncs, &bytes, &sync_fails);
    ssize_t got = error ? -1 : cached_write(fd, iov, n, offset, r, bytes);
    if (error)
        errno = error;
    shim_unlock();
    if (!syncs || got <= 0)
        return got;

    bool failed = sync_fails || syscall(SYS_fdatasync, fd) != 0;
    shim_lock();
    trace_emit((struct record){.kind = K_WRITE_END, .flags = failed ? F_FAILED : 0, .ref = r.ref},
               "", 0);
    shim_unlock();
    if (failed)
        errno = EIO;
    return failed ? -1 : got;
}

static ssize_t
traced_write(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    switch (fd_kind(fd)) {
    case FD_FILE:
        return file_write(fd, iov, n, offset, flags);
    case FD_MARKS:
        return mark_write(fd, iov, n);
    default:
        return raw_write(fd, iov, n, offset, flags);
    }
}

ssize_t
write(int fd, const void *data, size_t bytes)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    return traced_write(fd, &v, 1, AT_CURSOR, 0);
}

ssize_t
pwrite(int fd, const void *data, size_t bytes, off_t offset)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)data, .iov_len = bytes};
    if (offset < 0) {
        errno = EINVAL;
        return -1;
    }
    return traced_write(fd, &v, 1, offset, 0);
}

ssize_t
writev(int fd, const struct iovec *iov, int n)
{
    return traced_write(fd, iov, n, AT_CURSOR, 0);
}

ssize_t
pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return traced_write(fd, iov, n, offset, 0);
}

ssize_t
pwritev2(int fd, const struct iovec *iov, int n, off_t offset, int flags)
{
    return traced_write(fd, iov, n, offset, flags);
}

ssize_t pwrite64(int, const void *, size_t, off64_t) __attribute__((alias("pwrite")));
ssize_t pwritev64(int, const struct iovec *, int, off64_t) __attribute__((alias("pwritev")));
ssize_t pwritev64v2(int, const struct iovec *, int, off64_t, int)
    __attribute__((alias("pwritev2")));

// ---- Sizes ------------------------------------------------------------------------------------

static int
resized(long result, const struct stat *before, off_t size)
{
    if (result == 0) {
        if (size < before->st_size)
            fault_grown(before->st_size, size);
        trace_emit(
            (struct record){.kind = K_TRUNCATE, .ino = before->st_ino, .offset = (uint64_t)size},
            "", 0);
    }
    return (int)result;
}

int
ftruncate(int fd, off_t size)
{
    struct stat st;

    if (fd_kind(fd) != FD_FILE)
        return (int)syscall(SYS_ftruncate, fd, size);
    shim_lock();
    bool ours = fd_stat(fd, &st);
    int result = (int)syscall(SYS_ftruncate, fd, size);
    if (ours)
        resized(result, &st, size);
    shim_unlock();
    return result;
}

int
truncate(const char *path, off_t size)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC); // so that the trace learns the file's number
    if (fd < 0)
        return -1;
    int result = ftruncate(fd, size);
    int saved = errno;
    close(fd);
    errno = saved;
    return result;
}

int
fallocate(int fd, int mode, off_t offset, off_t bytes)
{
    struct stat st;

    if (fd_kind(fd) != FD_FILE)
        return (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
    shim_lock();
    bool ours = fd_stat(fd, &st);
    int result = (int)syscall(SYS_fallocate, fd, mode, offset, bytes);
    if (result == 0 && mode != 0 && mode != FALLOC_FL_KEEP_SIZE)
        trace_text(K_UNSUPPORTED, "fallocate with holes");
    else if (ours && mode == 0 && offset + bytes > st.st_size)
        resized(result, &st, offset + bytes);
    shim_unlock();
    return result;
}

int
posix_fallocate(int fd, off_t offset, off_t bytes)
{
    int saved = errno;
    int result = fallocate(fd, 0, offset, bytes) == 0 ? 0 : errno;
    errno = saved;
    return result;
}

int ftruncate64(int, off64_t) __attribute__((alias("ftruncate")));
int truncate64(const char *, off64_t) __attribute__((alias("truncate")));
int fallocate64(int, int, off64_t, off64_t) __attribute__((alias("fallocate")));
int posix_fallocate64(int, off64_t, off64_t) __attribute__((alias("posix_fallocate")));

// ---- Syncs ------------------------------------------------------------------------------------

// Under the lock, from its SYNC on; comes back with the lock given up.
static uint64_t
sync_begin(struct record r, bool *ret_fails)
{
    r.kind = K_SYNC;
    r.ref = trace_new_ref();
    trace_emit(r, "", 0);
    *ret_fails = fault_on_sync();
    shim_unlock();
    return r.ref;
}

static int
sync_end(uint64_t ref, long result)
{
    int saved = errno;
    shim_lock();
    trace_emit((struct record){.kind = K_SYNC_END, .flags = result ? F_FAILED : 0, .ref = ref}, "",
               0);
    shim_unlock();
    errno = saved;
    return (int)result;
}

static int
sync_fd(long number, int fd)
{
    struct stat st;
    bool fails;

    if (fd_kind(fd) != FD_FILE)
        return (int)syscall(number, fd);
    shim_lock();
    if (!fd_stat(fd, &st)) {
        shim_unlock();
        return (int)syscall(number, fd);
    }
    uint64_t ref = sync_begin((struct record){.ino = number == SYS_syncfs ? 0 : st.st_ino}, &fails);
    long result = fails ? -1 : syscall(number, fd);
    if (fails)
        errno = EIO;
    return sync_end(ref, result);
}

int
fsync(int fd)
{
    return sync_fd(SYS_fsync, fd);
}

int
fdatasync(int fd)
{
    return sync_fd(SYS_fdatasync, fd);
}

int
syncfs(int fd)
{
    return sync_fd(SYS_syncfs, fd);
}

void
sync(void)
{
    bool fails = false;

    if (shim_active()) {
        shim_lock();
        uint64_t ref = sync_begin((struct record){.ino = 0}, &fails);
        sync_end(ref, fails ? -1 : syscall(SYS_sync));
    } else {
        syscall(SYS_sync);
    }
}

// ---- Mappings: recorded so that run.py can refuse them ----------------------------------------

struct mapping {
    _Atomic(uintptr_t) start; // 0: free; munmap looks at it without the lock
    size_t bytes;
    off_t offset;
    ino_t ino;
};

static struct mapping maps[MAPS_MAX];

void *
mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *mapped = (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
    bool writes = (flags & MAP_SHARED) && (protection & PROT_WRITE) && !(flags & MAP_ANONYMOUS);

    if (mapped == MAP_FAILED || !writes || fd_kind(fd) != FD_FILE)
        return mapped;
    shim_lock();
    trace_emit(
        (struct record){
            .kind = K_MAP, .ino = fds[fd].ino, .offset = (uint64_t)offset, .length = bytes},
        "", 0);
    for (int i = 0; i < MAPS_MAX; i++) {
        if (atomic_load(&maps[i].start) == 0) {
            maps[i].bytes = bytes;
            maps[i].offset = offset;
            maps[i].ino = fds[fd].ino;
            atomic_store(&maps[i].start, (uintptr_t)mapped);
            break;
        }
    }
    shim_unlock();
    return mapped;
}

void *mmap64(void *, size_t, int, int, int, off64_t) __attribute__((alias("mmap")));

int
munmap(void *at, size_t bytes)
{
    // No lock here: allocators call this with locks of their own.
    for (int i = 0; i < MAPS_MAX; i++) {
        uintptr_t start = (uintptr_t)at;
        if (start != 0)
            atomic_compare_exchange_strong(&maps[i].start, &start, 0);
    }
    return (int)syscall(SYS_munmap, at, bytes);
}

int
msync(void *at, size_t bytes, int flags)
{
    uintptr_t start = (uintptr_t)at;
    bool fails;

    if (!shim_active() || !(flags & MS_SYNC))
        return (int)syscall(SYS_msync, at, bytes, flags);
    shim_lock();
    for (int i = 0; i < MAPS_MAX; i++) {
        const struct mapping *m = &maps[i];
        uintptr_t from = atomic_load(&m->start);
        if (from == 0 || start < from || start >= from + m->bytes)
            continue;
        uint64_t ref = sync_begin((struct record){.flags = F_RANGE,
                                                  .ino = m->ino,
                                                  .offset = start - from + (uint64_t)m->offset,
                                                  .length = bytes},
                                  &fails);
        long result = fails ? -1 : syscall(SYS_msync, at, bytes, flags);
        if (fails)
            errno = EIO;
        return sync_end(ref, result);
    }
    shim_unlock();
    return (int)syscall(SYS_msync, at, bytes, flags);
}

// ---- Opening and closing ----------------------------------------------------------------------

static int
traced_open(int dirfd, const char *path, int flags, mode_t mode)
{
    struct stat before;
    bool syncs = flags & O_DSYNC; // O_SYNC holds this bit, too
    bool changes = flags & (O_CREAT | O_TRUNC);
    bool existed = true;

    if (!shim_active())
        return (int)syscall(SYS_openat, dirfd, path, flags, mode);
    if (changes) {
        shim_lock();
        int saved = errno;
        existed = fstatat(dirfd, path, &before, 0) == 0;
        errno = saved;
    }
    char buffer[PATH_MAX];
    if (syncs && path_watched(dirfd, path, buffer))
        flags &= ~O_SYNC;
    int fd = (int)syscall(SYS_openat, dirfd, path, flags, mode);
    if (fd >= 0 && fd < FDS_MAX) {
        int saved = errno;
        shim_lock();
        if (fd_learn(fd, !existed, syncs) == FD_FILE) {
            if ((flags & O_TMPFILE) == O_TMPFILE)
                trace_text(K_UNSUPPORTED, "O_TMPFILE");
            else if (existed && flags & O_TRUNC && before.st_size > 0)
                resized(0, &before, 0);
        }
        shim_unlock();
        errno = saved;
    }
    if (changes)
        shim_unlock();
    return fd;
}

#define MODE_ARGUMENT(flags, ret_mode)                         \
    mode_t ret_mode = 0;                                       \
    if ((flags)&O_CREAT || ((flags)&O_TMPFILE) == O_TMPFILE) { \
        va_list arguments;                                     \
        va_start(arguments, flags);                            \
        ret_mode = va_arg(arguments, mode_t);                  \
        va_end(arguments);                                     \
    }

int
open(const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return traced_open(AT_FDCWD, path, flags, mode);
}

int
openat(int dirfd, const char *path, int flags, ...)
{
    MODE_ARGUMENT(flags, mode)
    return traced_open(dirfd, path, flags, mode);
}

int
creat(const char *path, mode_t mode)
{
    return traced_open(AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, mode);
}

// What fortified programs call when no mode is given.
int __open_2(const char *path, int flags);
int __openat_2(int dirfd, const char *path, int flags);

int
__open_2(const char *path, int flags)
{
    return traced_open(AT_FDCWD, path, flags, 0);
}

int
__openat_2(int dirfd, const char *path, int flags)
{
    return traced_open(dirfd, path, flags, 0);
}

int open64(const char *, int, ...) __attribute__((alias("open")));
int openat64(int, const char *, int, ...) __attribute__((alias("openat")));
int creat64(const char *, mode_t) __attribute__((alias("creat")));
int __open64_2(const char *, int) __attribute__((alias("__open_2")));
int __openat64_2(int, const char *, int) __attribute__((alias("__openat_2")));

int
close(int fd)
{
    if (!shim_active() || fd < 0 || fd >= FDS_MAX)
        return (int)syscall(SYS_close, fd);
    if (trace_owns(fd)) { // a program that closes all it finds
        errno = EBADF;
        return -1;
    }
    if (atomic_load(&fds[fd].kind) != FD_FILE) {
        fd_forget(fd);
        return (int)syscall(SYS_close, fd);
    }
    shim_lock();
    trace_emit((struct record){.kind = K_CLOSE, .ino = fds[fd].ino}, "", 0);
    fd_forget(fd);
    int result = (int)syscall(SYS_close, fd);
    shim_unlock();
    return result;
}

int
dup(int fd)
{
    return fd_copied(fd, (int)syscall(SYS_dup, fd));
}

int
dup2(int fd, int to)
{
    return fd_copied(fd, (int)syscall(SYS_dup2, fd, to));
}

int
dup3(int fd, int to, int flags)
{
    return fd_copied(fd, (int)syscall(SYS_dup3, fd, to, flags));
}

int
fcntl(int fd, int command, ...)
{
    va_list arguments;

    va_start(arguments, command);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    int result = (int)syscall(SYS_fcntl, fd, command, argument);
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
        return fd_copied(fd, result);
    return result;
}

int fcntl64(int, int, ...) __attribute__((alias("fcntl")));

// ---- Names ------------------------------------------------------------------------------------

int
mkdirat(int dirfd, const char *path, mode_t mode)
{
    char buffer[PATH_MAX];

    shim_lock();
    const char *below = path_watched(dirfd, path, buffer);
    int result = (int)syscall(SYS_mkdirat, dirfd, path, mode);
    if (below && result == 0)
        trace_text(K_MKDIR, below);
    shim_unlock();
    return result;
}

int
mkdir(const char *path, mode_t mode)
{
    return mkdirat(AT_FDCWD, path, mode);
}

int
unlinkat(int dirfd, const char *path, int flags)
{
    char buffer[PATH_MAX];
    struct stat st = {.st_nlink = 0};

    shim_lock();
    const char *below = path_watched(dirfd, path, buffer);
    if (below)
        (void)fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW);
    int result = (int)syscall(SYS_unlinkat, dirfd, path, flags);
    if (below && result == 0) {
        trace_text(flags & AT_REMOVEDIR ? K_RMDIR : K_UNLINK, below);
        if (st.st_nlink == 1 && S_ISREG(st.st_mode))
            fault_grown(st.st_size, 0);
    }
    shim_unlock();
    return result;
}

int
unlink(const char *path)
{
    return unlinkat(AT_FDCWD, path, 0);
}

int
rmdir(const char *path)
{
    return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}

int
remove(const char *path)
{
    int result = unlink(path);
    return result != 0 && errno == EISDIR ? rmdir(path) : result;
}

// Two names, of which one or both may be inside.
static int
two_names(enum kind kind, int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    char buffers[2][PATH_MAX];

    shim_lock();
    const char *source = path_watched(from_fd, from, buffers[0]);
    const char *target = path_watched(to_fd, to, buffers[1]);
    long number = kind == K_LINK ? SYS_linkat : SYS_renameat2;
    int result = (int)syscall(number, from_fd, from, to_fd, to, flags);
    if (result == 0 && (source || target)) {
        if (!source || !target)
            trace_text(K_UNSUPPORTED, "a rename or link across the folder's border");
        else if (kind == K_RENAME && flags & ~(unsigned)RENAME_NOREPLACE)
            trace_text(K_UNSUPPORTED, "renameat2 that exchanges");
        else
            trace_names(kind, source, target);
    }
    shim_unlock();
    return result;
}

int
renameat2(int from_fd, const char *from, int to_fd, const char *to, unsigned flags)
{
    return two_names(K_RENAME, from_fd, from, to_fd, to, flags);
}

int
renameat(int from_fd, const char *from, int to_fd, const char *to)
{
    return two_names(K_RENAME, from_fd, from, to_fd, to, 0);
}

int
rename(const char *from, const char *to)
{
    return two_names(K_RENAME, AT_FDCWD, from, AT_FDCWD, to, 0);
}

int
linkat(int from_fd, const char *from, int to_fd, const char *to, int flags)
{
    return two_names(K_LINK, from_fd, from, to_fd, to, (unsigned)flags);
}

int
link(const char *from, const char *to)
{
    return two_names(K_LINK, AT_FDCWD, from, AT_FDCWD, to, 0);
}
