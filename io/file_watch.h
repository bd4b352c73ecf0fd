// file_watch.h - tells when files have changed, however they were replaced.
//
// Job:    certificates and the like, also as Kubernetes mounts them, where a symbolic link to a
//         folder is swapped. What the files are (device, inode, size, times) decides; inotify only
//         hurries, and where it does not work (network file systems, no watches left) they are
//         looked at every FILE_WATCH_POLL_MS.
// Owner:  main. Thread: one of its own; the functions are main's. Memory: the paths.
// Limits: FILE_WATCH_PATHS_MAX paths, FILE_WATCH_ENTRIES_MAX files of a folder.
#ifndef TERN_IO_FILE_WATCH_H
#define TERN_IO_FILE_WATCH_H

#include "core/base/base.h"

#define FILE_WATCH_PATHS_MAX   1024u
#define FILE_WATCH_ENTRIES_MAX 4096u
#define FILE_WATCH_LINKS_MAX   8u     // symbolic links behind one another whose folders are watched
#define FILE_WATCH_POLL_MS     10000u // slow enough to cost nothing
#define FILE_WATCH_QUIET_MS    200u   // several files are replaced together: wait until it is quiet
#define FILE_WATCH_QUIET_MAX   2000u  // ... but no longer than this

struct file_watch;

// Returns new; nothing is watched before file_watch_start.
struct file_watch *file_watch_new(void (*changed)(void *arg), void *arg);
// Starts the thread, unless it runs. It calls changed(arg) after each change, or several together,
// also for what has changed since file_watch_set.
void file_watch_start(struct file_watch *watch);
void file_watch_free(struct file_watch *watch); // takes; waits for the thread; NULL is fine
// Files and folders to watch from now on, instead of those before. Copies. What they are now is
// what they are compared with: so call this first, then read them.
void file_watch_set(struct file_watch *watch, const char *const *paths, uint32_t count);

#endif
