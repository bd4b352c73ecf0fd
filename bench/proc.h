// proc.h - what the kernel knows about another process.
//
// Job:    CPU time, memory and context switches of all threads of a process, from /proc.
// Owner:  none. Thread: any. Memory: none. Limits: CPU time has the kernel's tick, 10 ms as a rule;
//         context switches of threads that ended meanwhile are not seen.
#ifndef TERN_BENCH_PROC_H
#define TERN_BENCH_PROC_H

#include "core/base/err.h"

struct proc_sample {
    uint64_t user_us, system_us;
    uint64_t rss_bytes; // resident in all
    uint64_t own_bytes; // of it anonymous and shared memory: without the program file and libraries
    uint64_t voluntary, involuntary; // context switches
    uint64_t threads;
};

// Whether the process exists and has not ended; a zombie has.
bool proc_is_running(uint64_t pid);
// Whether its program is that file, links resolved.
bool proc_runs_file(uint64_t pid, const char *path);
// 0 when it has none, or several.
uint64_t proc_only_child(uint64_t pid);
// ERR_IO when there is no such process or it may not be read.
NODISCARD err_t proc_sample(uint64_t pid, struct proc_sample *ret_sample);

#endif
