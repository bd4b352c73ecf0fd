// file_replace.h - a file that is replaced as a whole, or not at all.
//
// Job:    two programs that change a file change it one after the other; who reads it meanwhile
//         sees the old one or the new one; mode and owner stay; symbolic links are followed, so
//         what they name is replaced.
// Owner:  the caller. Thread: one. Memory: the path.
// Limits: the folder must be writable: the new file is made beside the old one.
#ifndef TERN_CORE_ACCESS_FILE_REPLACE_H
#define TERN_CORE_ACCESS_FILE_REPLACE_H

#include <sys/types.h>

#include "core/base/secret_file.h"

struct file_replace {
    char *path; // without symbolic links
    int fd;     // of the old file, which is locked; -1 = there is none
    mode_t mode;
    uid_t user;
    gid_t group;
};

// Waits for whoever changes it just now. create: it need not be there. ERR_CONFIG: the problem.
NODISCARD err_t file_replace_begin(const char *path, bool create, struct file_replace *ret_replace,
                                   struct file_problem *ret_problem);
// text is on the disk under the path afterwards. ERR_CONFIG: the old file is as it was.
NODISCARD err_t file_replace_commit(struct file_replace *replace, struct slice text,
                                    struct file_problem *ret_problem);
void file_replace_end(struct file_replace *replace); // unlocks; a failed begin needs none

#endif
