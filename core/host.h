// host.h - what this machine, or the container on it, grants the process.
//
// Job:    CPUs and memory, as the scheduler's mask and the cgroups (version 2, else 1) allow.
// Thread: any. Memory: none. Limits: files of HOST_FILE_MAX bytes, cgroup paths of HOST_PATH_MAX.
#ifndef TERN_CORE_HOST_H
#define TERN_CORE_HOST_H

#include "core/base/base.h"

#define HOST_FILE_MAX 4096
#define HOST_PATH_MAX 1024

struct host {
    unsigned cpus; // at least 1; a quota of 2.5 CPUs grants 2: a third thread would be throttled
    uint64_t memory_bytes; // the least of the machine's and of every cgroup's above the process
};

// root stands before /proc and /sys: "" but in tests.
void host_probe(const char *root, struct host *ret_host);
// What the store takes for its work, which is no session's and no message's: a window of the log
// and the pages that it changes, batches on their way to the disk. It does not grow with the
// budget. Measured with messages of 50 and 500 kB: 45 to 70 MB.
#define HOST_WORK_BYTES ((uint64_t)96 << 20)

// What memory_limit is where nothing else is said: three quarters. The rest is for buffers of the
// kernel, which count in a cgroup, and for what the account does not know. Of less than 384 MiB it
// is HOST_WORK_BYTES less, else the kernel would end the broker before anything is shed; but half
// at least.
static inline uint64_t
host_memory_budget(const struct host *host)
{
    uint64_t work = min_u64(HOST_WORK_BYTES, host->memory_bytes / 2);
    return host->memory_bytes - max_u64(host->memory_bytes / 4, work);
}

#endif
