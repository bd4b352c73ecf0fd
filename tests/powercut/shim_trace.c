// shim_trace.c - the trace, what a descriptor is, and the faults: what the shim's calls stand on.
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "tests/powercut/shim.h"

enum {
    TRACE_FD_MIN = 1000,      // out of the way of programs that close the low ones
    TRACE_MAGIC = 0x50574331, // "1CWP" in the file
};

struct fd_state fds[FDS_MAX];
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;
static char root[PATH_MAX], mark_path[PATH_MAX], lift_path[PATH_MAX];
static size_t root_bytes; // 0: not set up, every call goes straight to the kernel
static int trace_fd = -1;
static uint64_t refs;
static char mark_line[PATH_MAX];
static size_t mark_line_bytes;

static struct {
    uint64_t space_bytes_max, space_bytes;       // enospc: how far files may grow, have grown
    uint64_t sync_fails, write_fails, write_cut; // the number of the call; 0: never
    uint64_t syncs, writes;
    bool limited;
} fault;

// ---- The trace --------------------------------------------------------------------------------

void
shim_die(const char *text)
{
    (void)!syscall(SYS_write, 2, text, strlen(text));
    abort();
}

bool
shim_active(void)
{
    return root_bytes > 0;
}

void
shim_lock(void)
{
    pthread_mutex_lock(&lock);
}

void
shim_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

// Under the lock. One call for header and data, so that records of a child process do not mix in.
void
trace_emit_v(struct record r, const struct iovec *iov, int n, size_t bytes)
{
    struct iovec v[IOV_MAX];
    int used = 1;

    if (trace_fd < 0)
        return;
    if (bytes > UINT32_MAX || n >= IOV_MAX)
        shim_die("powercut: a write too large for the trace\n");
    r.magic = TRACE_MAGIC;
    r.payload_bytes = (uint32_t)bytes;
    r.thread = (uint32_t)syscall(SYS_gettid);
    v[0] = (struct iovec){.iov_base = &r, .iov_len = sizeof r};
    size_t left = bytes;
    for (int i = 0; i < n && left > 0; i++) {
        v[used] = iov[i];
        if (v[used].iov_len > left)
            v[used].iov_len = left;
        left -= v[used++].iov_len;
    }
    if (syscall(SYS_writev, trace_fd, v, used) != (long)(sizeof r + bytes))
        shim_die("powercut: cannot write the trace\n");
}

void
trace_emit(struct record r, const void *payload, size_t bytes)
{
    struct iovec v = {.iov_base = (void *)(uintptr_t)payload, .iov_len = bytes};
    trace_emit_v(r, &v, 1, bytes);
}

void
trace_text(enum kind kind, const char *text)
{
    trace_emit((struct record){.kind = (uint16_t)kind}, text, strlen(text));
}

uint64_t
trace_new_ref(void)
{
    return (uint64_t)getpid() << 32 | ++refs;
}

void
trace_names(enum kind kind, const char *from, const char *to)
{
    struct iovec v[] = {{.iov_base = (void *)(uintptr_t)from, .iov_len = strlen(from) + 1},
                        {.iov_base = (void *)(uintptr_t)to, .iov_len = strlen(to)}};
    trace_emit_v((struct record){.kind = (uint16_t)kind}, v, 2, v[0].iov_len + v[1].iov_len);
}

void
trace_marks(const struct iovec *iov, int n)
{
    for (int i = 0; i < n; i++) {
        const char *text = iov[i].iov_base;
        for (size_t k = 0; k < iov[i].iov_len; k++) {
            if (text[k] == '\n') {
                trace_emit((struct record){.kind = K_MARK}, mark_line, mark_line_bytes);
                mark_line_bytes = 0;
            } else if (mark_line_bytes == sizeof mark_line) {
                shim_die("powercut: a mark is too long\n");
            } else {
                mark_line[mark_line_bytes++] = text[k];
            }
        }
    }
}

bool
trace_owns(int fd)
{
    return fd == trace_fd;
}

// ---- Paths and descriptors --------------------------------------------------------------------

// Makes path absolute, with the links of its folder followed but not of itself, as unlink and
// rename see it.
static bool
path_canonical(int dirfd, const char *path, char ret_path[PATH_MAX])
{
    char joined[2 * PATH_MAX], base[64], folder[PATH_MAX];

    if (path[0] != '/' && dirfd != AT_FDCWD) {
        snprintf(base, sizeof base, "/proc/self/fd/%d", dirfd);
        ssize_t n = readlink(base, folder, sizeof folder - 1);
        if (n < 0)
            return false;
        folder[n] = 0;
        snprintf(joined, sizeof joined, "%s/%s", folder, path);
    } else {
        snprintf(joined, sizeof joined, "%s%s", path[0] == '/' ? "" : "./", path);
    }
    size_t end = strlen(joined);
    while (end > 1 && joined[end - 1] == '/')
        joined[--end] = 0;
    char *slash = strrchr(joined, '/');
    const char *name = slash + 1;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return realpath(joined, ret_path) != NULL;
    *slash = 0;
    if (!realpath(slash == joined ? "/" : joined, folder))
        return false;
    int n = snprintf(ret_path, PATH_MAX, "%s/%s", strcmp(folder, "/") == 0 ? "" : folder, name);
    return n > 0 && n < PATH_MAX;
}

// The part of an absolute path below the folder, "" for the folder itself, NULL for what is
// outside.
static const char *
path_below(const char *path)
{
    if (root_bytes == 0 || strncmp(path, root, root_bytes) != 0)
        return NULL;
    if (path[root_bytes] == 0)
        return path + root_bytes;
    return path[root_bytes] == '/' ? path + root_bytes + 1 : NULL;
}

const char *
path_watched(int dirfd, const char *path, char buffer[PATH_MAX])
{
    int saved = errno;
    const char *below = NULL;

    if (root_bytes > 0 && path && path_canonical(dirfd, path, buffer))
        below = path_below(buffer);
    errno = saved;
    return below;
}

// Under the lock: finds out what a descriptor is, and says so in the trace.
enum fd_kind
fd_learn(int fd, bool created, bool syncs)
{
    char link[64], path[PATH_MAX];
    struct stat st;
    enum fd_kind kind = FD_OTHER;

    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    path[n > 0 ? n : 0] = 0;
    const char *below = path_below(path);
    if (mark_path[0] && strcmp(path, mark_path) == 0) {
        kind = FD_MARKS;
    } else if (below && fstat(fd, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode))) {
        kind = FD_FILE;
        fds[fd].dev = st.st_dev;
        fds[fd].ino = st.st_ino;
        fds[fd].syncs = syncs;
        unsigned flags = (created ? F_CREATED : 0) | (S_ISDIR(st.st_mode) ? F_DIRECTORY : 0);
        trace_emit((struct record){.kind = K_BIND, .flags = (uint16_t)flags, .ino = st.st_ino},
                   below, strlen(below));
    }
    atomic_store(&fds[fd].kind, (uint8_t)kind);
    return kind;
}

enum fd_kind
fd_kind(int fd)
{
    if (root_bytes == 0 || fd < 0 || fd >= FDS_MAX || fd == trace_fd)
        return FD_OTHER;
    enum fd_kind kind = atomic_load(&fds[fd].kind);
    if (kind != FD_UNKNOWN)
        return kind;
    int saved = errno;
    int flags = (int)syscall(SYS_fcntl, fd, F_GETFL, 0);
    shim_lock();
    kind = fd_learn(fd, false, flags >= 0 && flags & O_DSYNC);
    shim_unlock();
    errno = saved;
    return kind;
}

// Under the lock: false if the descriptor was closed and reused behind our back (by fclose, say).
bool
fd_stat(int fd, struct stat *ret_stat)
{
    if (fstat(fd, ret_stat) != 0)
        return false;
    if (ret_stat->st_ino == fds[fd].ino && ret_stat->st_dev == fds[fd].dev)
        return true;
    return fd_learn(fd, false, false) == FD_FILE;
}

void
fd_forget(int fd)
{
    if (fd >= 0 && fd < FDS_MAX)
        atomic_store(&fds[fd].kind, FD_UNKNOWN);
}

int
fd_copied(int from, int to)
{
    if (to >= 0 && from != to && from >= 0 && from < FDS_MAX && to < FDS_MAX) {
        shim_lock();
        fds[to].syncs = fds[from].syncs;
        fds[to].dev = fds[from].dev;
        fds[to].ino = fds[from].ino;
        atomic_store(&fds[to].kind, atomic_load(&fds[from].kind));
        shim_unlock();
    }
    return to;
}

// ---- Faults -----------------------------------------------------------------------------------

static void
fault_parse(const char *text)
{
    static const struct {
        const char *name;
        uint64_t *value;
    } known[] = {{"enospc:", &fault.space_bytes_max},
                 {"eio-sync:", &fault.sync_fails},
                 {"eio-write:", &fault.write_fails},
                 {"short-write:", &fault.write_cut}};

    while (*text) {
        size_t i = 0;
        while (i < 4 && strncmp(text, known[i].name, strlen(known[i].name)) != 0)
            i++;
        if (i == 4)
            shim_die("powercut: POWERCUT_FAULT is not understood\n");
        char *end;
        *known[i].value = strtoull(text + strlen(known[i].name), &end, 10);
        fault.limited |= i == 0;
        if (*end && *end != ',')
            shim_die("powercut: POWERCUT_FAULT is not understood\n");
        text = *end ? end + 1 : end;
    }
}

// How many of the bytes there is room for. Only growth needs room, as on a real disk: what a file
// holds already can be written over even when the disk is full.
static size_t
fault_room(const struct stat *st, off_t offset, size_t bytes)
{
    uint64_t end = (uint64_t)offset + bytes, size = (uint64_t)st->st_size;
    uint64_t growth = end > size ? end - size : 0;

    if (!fault.limited || fault.space_bytes + growth <= fault.space_bytes_max)
        return bytes;
    if (lift_path[0] && syscall(SYS_access, lift_path, F_OK) == 0) {
        fault.limited = false;
        trace_text(K_FAULT, "enospc lifted");
        return bytes;
    }
    trace_text(K_FAULT, "enospc");
    uint64_t room =
        fault.space_bytes_max > fault.space_bytes ? fault.space_bytes_max - fault.space_bytes : 0;
    uint64_t missing = growth - room;
    return missing < bytes ? bytes - missing : 0;
}

void
fault_grown(off_t before, off_t after)
{
    if (after >= before)
        fault.space_bytes += (uint64_t)(after - before);
    else if (fault.space_bytes > (uint64_t)(before - after))
        fault.space_bytes -= (uint64_t)(before - after);
    else
        fault.space_bytes = 0;
}

// Under the lock: the faults of this write. Sets how many bytes may go, and whether the sync that
// belongs to the write fails; an errno says that nothing goes.
int
fault_on_write(const struct stat *st, off_t offset, bool syncs, size_t *bytes, bool *ret_sync_fails)
{
    fault.writes++;
    if (fault.writes == fault.write_fails) {
        trace_text(K_FAULT, "eio-write");
        // A synchronous write fails after the page cache has taken it.
        *ret_sync_fails = syncs;
        if (!syncs)
            return EIO;
    }
    size_t room = fault_room(st, offset, *bytes);
    if (room == 0 && *bytes > 0)
        return ENOSPC;
    *bytes = room;
    if (fault.writes == fault.write_cut && *bytes > 1) {
        trace_text(K_FAULT, "short-write");
        *bytes /= 2;
    }
    return 0;
}

bool
fault_on_sync(void)
{
    fault.syncs++;
    if (fault.syncs != fault.sync_fails)
        return false;
    trace_text(K_FAULT, "eio-sync");
    return true;
}

// ---- Begin ------------------------------------------------------------------------------------

__attribute__((constructor)) static void
begin(void)
{
    const char *folder = getenv("POWERCUT_DIR"), *trace = getenv("POWERCUT_TRACE");
    const char *marks = getenv("POWERCUT_MARK"), *faults = getenv("POWERCUT_FAULT");
    const char *lift = getenv("POWERCUT_LIFT");

    if (!folder)
        return;
    if (!realpath(folder, root))
        shim_die("powercut: POWERCUT_DIR is no folder\n");
    if (marks && !path_canonical(AT_FDCWD, marks, mark_path))
        shim_die("powercut: the folder of POWERCUT_MARK is not there\n");
    if (lift)
        snprintf(lift_path, sizeof lift_path, "%s", lift);
    if (faults)
        fault_parse(faults);
    if (trace) {
        int fd = (int)syscall(SYS_openat, AT_FDCWD, trace,
                              O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
        trace_fd = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, TRACE_FD_MIN);
        if (fd < 0 || trace_fd < 0)
            shim_die("powercut: cannot open POWERCUT_TRACE\n");
        syscall(SYS_close, fd);
    }
    pthread_atfork(shim_lock, shim_unlock, shim_unlock);
    root_bytes = strlen(root);
}
