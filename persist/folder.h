// folder.h - the store's folder: its names, its lock, making and moving it so that a crash shows
// the old one or the new one.
//
// Job:    paths, mkdir, rename and remove with the syncs that they need.
// Owner:  none. Thread: main, or the state thread for backups. Memory: paths, new.
// Limits: none.
//
// A store <folder>/<name> holds log/ and state/, each with LMDB's data.mdb and lock.mdb. Beside it
// lies <name>.lock, which names the process that has the store. A store is made or imported as
// <name>.new and renamed: what is called <name> is complete, or it is damaged.
#ifndef TERN_PERSIST_FOLDER_H
#define TERN_PERSIST_FOLDER_H

#include "core/base/err.h"

// Returns new: format as printf's.
char *folder_path(const char *format, ...) PRINTF_LIKE(1);

// All: 0 or errno.

int folder_make(const char *path); // and its parents; mode 0700; fine when it is there
int folder_sync(const char *path); // the folder itself: which names are in it
int folder_sync_file(const char *path);
int folder_sync_parent(const char *path);
int folder_rename(const char *from, const char *to);   // and syncs the parent
int folder_exchange(const char *one, const char *two); // at once, and syncs the parent
int folder_remove_store(const char *path);             // what a store is made of; fine when absent

enum folder_kind { FOLDER_ABSENT, FOLDER_EMPTY, FOLDER_STORE, FOLDER_OTHER };
// Of path. FOLDER_STORE: it has a log or a state. FOLDER_OTHER: something else is there.
int folder_look(const char *path, enum folder_kind *ret);

// Takes the lock at path, writes the pid into it. EWOULDBLOCK: *ret_pid has it (0 = unknown).
int folder_lock(const char *path, int *ret_fd, long *ret_pid);

#endif
