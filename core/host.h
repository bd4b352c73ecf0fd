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

// For how long the CPUs that this process may use have done nothing since the boot, in all; in
// steps of 10,000. 0: not known. Takes up to a hundred us on a large machine. Of very many CPUs
// (HOST_FILE_MAX) some are left out.
uint64_t host_idle_us(const char *root);

// ---- How what is granted is shared out: the one rule --------------------------------------------
//
// With HOST_FULL_BYTES or more the store has a window of 32 MiB, and takes with it up to
// HOST_WORK_BYTES. With less, the window and what clients may make grow both go with the square of
// what is granted, because the rest does not shrink: the program, its threads' buffers, what comes
// in one tick, the kernel's buffers (measured: persist/README.md).

#define HOST_FULL_BYTES ((uint64_t)256 << 20)
#define HOST_WORK_BYTES ((uint64_t)96 << 20)
#define HOST_WINDOW_MIN ((uint64_t)512 << 10)
#define HOST_WINDOW_MAX ((uint64_t)32 << 20) // a larger one would save few writes
// With less than this the kernel may end the process under load (persist/README.md).
#define HOST_MEMORY_LEAST ((uint64_t)128 << 20)

// The window: the bytes of log that the store folds at once. All that the store has in memory is
// sized by it (persist/store_parts.h).
static inline uint64_t
host_store_window(const struct host *host)
{
    uint64_t granted = min_u64(host->memory_bytes, HOST_FULL_BYTES);
    uint64_t window = granted * granted / (HOST_FULL_BYTES / HOST_WINDOW_MAX * HOST_FULL_BYTES);
    return max_u64(window, HOST_WINDOW_MIN);
}

// What memory_limit is where nothing else is said: three quarters, but all except HOST_WORK_BYTES
// where these are more than a quarter. With less than HOST_FULL_BYTES five windows, which is the
// same there.
static inline uint64_t
host_memory_budget(const struct host *host)
{
    uint64_t all = host->memory_bytes;
    if (all < HOST_FULL_BYTES)
        return min_u64(5 * host_store_window(host), all / 2);
    return all - max_u64(all / 4, HOST_WORK_BYTES);
}

static inline bool
host_is_small(const struct host *host)
{
    return host->memory_bytes < HOST_FULL_BYTES;
}

#endif
