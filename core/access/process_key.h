// process_key.h - keys that this process alone has, the same for its whole life.
//
// Job:    what must not change when a file is read again, and what no client can know, without
//         anybody keeping it: both come from the random bytes that the kernel gives each process
//         (AT_RANDOM).
// Owner:  the caller. Thread: any. Memory: none. Limits: another process has others, so nothing
//         that lasts or that nodes share may depend on them.
#ifndef TERN_CORE_ACCESS_PROCESS_KEY_H
#define TERN_CORE_ACCESS_PROCESS_KEY_H

#include "core/base/base.h"

#define PROCESS_KEY_LEN 32

// A key for each label; one does not tell of another.
void process_key(const char *label, uint8_t ret_key[PROCESS_KEY_LEN]);

#endif
