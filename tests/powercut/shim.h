// shim.h - what the two halves of the shim share: shim.c takes the calls, shim_trace.c records
// them.
//
// Job: the trace's format, what a descriptor is, the one lock, the injected faults.
// Owner: the process that the shim is loaded into; a forked child inherits it.
// Thread: any. "Under the lock" means between shim_lock and shim_unlock, which may be nested.
// Memory: static tables, no allocation.
// Limits: FDS_MAX descriptors; what lies above is not watched.
#ifndef TESTS_POWERCUT_SHIM_H
#define TESTS_POWERCUT_SHIM_H
#include <limits.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>

// The shim stands in front of every library: what is not one of the calls must not be seen by them.
#pragma GCC visibility push(hidden)

enum { FDS_MAX = 65536 }; // our limit is 20,000

// The numbers stand in images.py, too.
enum kind {
    K_BIND = 1,        // ino is the file at path
    K_WRITE = 2,       // ino, offset, data; ref if a sync of it follows
    K_WRITE_END = 3,   // ref: that sync ended
    K_TRUNCATE = 4,    // ino, offset: the new size
    K_SYNC = 5,        // ino (0: everything), ref; with F_RANGE: offset and length
    K_SYNC_END = 6,    // ref
    K_MKDIR = 7,       // path
    K_RENAME = 8,      // path NUL path
    K_UNLINK = 9,      // path
    K_RMDIR = 10,      // path
    K_LINK = 11,       // path NUL path
    K_CLOSE = 12,      // ino
    K_MARK = 13,       // a line
    K_MAP = 14,        // ino, offset, length: mapped shared and writable
    K_FAULT = 15,      // text: injected here
    K_UNSUPPORTED = 16 // text: the trace cannot tell the truth any more
};

enum { F_CREATED = 1, F_DIRECTORY = 2, F_SYNC = 4, F_FAILED = 8, F_RANGE = 16 };

struct record {
    uint32_t magic;
    uint16_t kind, flags;
    uint64_t ino, offset, length, ref;
    uint32_t payload_bytes, thread;
};
_Static_assert(sizeof(struct record) == 48, "images.py reads 48 bytes");

enum fd_kind { FD_UNKNOWN, FD_OTHER, FD_FILE, FD_MARKS };

struct fd_state {
    _Atomic(uint8_t) kind; // read without the lock; the rest is for FD_FILE and under the lock
    bool syncs;            // opened with O_DSYNC or O_SYNC
    dev_t dev;
    ino_t ino;
};

// The folder is set up and calls are watched; before, every call goes straight to the kernel.
bool shim_active(void);
void shim_lock(void);
void shim_unlock(void);
_Noreturn void shim_die(const char *text);

// Under the lock: appends a record; magic, thread and payload_bytes are filled in. The second form
// takes the payload, of so many bytes, from n pieces.
void trace_emit(struct record r, const void *payload, size_t bytes);
void trace_emit_v(struct record r, const struct iovec *iov, int n, size_t bytes);
void trace_text(enum kind kind, const char *text);
void trace_names(enum kind kind, const char *from, const char *to);
// Under the lock: every line of the pieces is a mark; the rest of a line may come with a later
// write.
void trace_marks(const struct iovec *iov, int n);
bool trace_owns(int fd);
// Under the lock: what joins the begin and the end of a sync.
uint64_t trace_new_ref(void);

// The path below the folder, "" for the folder itself, NULL for what is outside. Points into
// buffer.
const char *path_watched(int dirfd, const char *path, char buffer[PATH_MAX]);

extern struct fd_state fds[FDS_MAX];
// What a descriptor is, found out once.
enum fd_kind fd_kind(int fd);
// Under the lock: finds out, and says so in the trace.
enum fd_kind fd_learn(int fd, bool created, bool syncs);
// Under the lock: false if the descriptor was closed and reused behind our back (by fclose, say).
bool fd_stat(int fd, struct stat *ret_stat);
void fd_forget(int fd);
// Returns to, which is now a copy of from, or an error of the call that made it.
int fd_copied(int from, int to);

// Under the lock: the faults of a write. Lowers bytes to what may go, says whether the sync that
// belongs to the write fails; an errno says that nothing goes.
int fault_on_write(const struct stat *st, off_t offset, bool syncs, size_t *bytes,
                   bool *ret_sync_fails);
// Under the lock: this sync fails.
bool fault_on_sync(void);
// Under the lock: a file's size went from before to after.
void fault_grown(off_t before, off_t after);

#pragma GCC visibility pop
#endif
