// host.c - CPUs and memory as the cgroups grant them.
//
// A limit holds for everything below it, so each folder from the process's own cgroup up to the
// mount is asked. A container without a cgroup namespace names a path that is not there: then the
// mount itself is what limits it.
#include "core/host.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NO_LIMIT UINT64_MAX
// Version 1 says "no limit" with a number close to 2^63.
#define MEMORY_ABSURD (1ull << 60)

static bool
read_text(const char *path, char text[HOST_FILE_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    ssize_t len = read(fd, text, HOST_FILE_MAX - 1);
    (void)close(fd);
    must(len < HOST_FILE_MAX);
    text[len > 0 ? len : 0] = '\0';
    return len > 0;
}

static bool
read_file_of(const char *folder, const char *name, char text[HOST_FILE_MAX])
{
    char path[HOST_PATH_MAX + 64];
    int len = snprintf(path, sizeof path, "%s/%s", folder, name);
    return len > 0 && (size_t)len < sizeof path && read_text(path, text);
}

// Thousandths of a CPU.
static uint64_t
milli_cpus(const char *quota, const char *period)
{
    char *end;
    unsigned long long granted = strtoull(quota, &end, 10);
    unsigned long long of = strtoull(period, NULL, 10);
    if (end == quota || quota[0] == '-' || granted == 0 || of == 0 || granted > UINT64_MAX / 1000)
        return NO_LIMIT; // "max", "-1", or not a number
    return granted * 1000 / of;
}

static void
probe_folder_v2(const char *folder, uint64_t *milli, uint64_t *memory)
{
    char text[HOST_FILE_MAX];
    if (read_file_of(folder, "cpu.max", text)) {
        const char *space = strchr(text, ' ');
        if (space)
            *milli = min_u64(*milli, milli_cpus(text, space + 1));
    }
    if (read_file_of(folder, "memory.max", text) && text[0] >= '0' && text[0] <= '9')
        *memory = min_u64(*memory, strtoull(text, NULL, 10));
}

static void
probe_folder_v1(const char *folder, uint64_t *milli, uint64_t *memory)
{
    char quota[HOST_FILE_MAX], period[HOST_FILE_MAX];
    if (read_file_of(folder, "cpu.cfs_quota_us", quota) &&
        read_file_of(folder, "cpu.cfs_period_us", period))
        *milli = min_u64(*milli, milli_cpus(quota, period));
    if (read_file_of(folder, "memory.limit_in_bytes", quota)) {
        uint64_t bytes = strtoull(quota, NULL, 10);
        if (bytes > 0 && bytes < MEMORY_ABSURD)
            *memory = min_u64(*memory, bytes);
    }
}

typedef void probe_folder(const char *folder, uint64_t *milli, uint64_t *memory);

// From mount + path upwards to the mount.
static void
probe_up(const char *mount, const char *path, probe_folder *probe, uint64_t limits[2])
{
    char folder[HOST_PATH_MAX];
    int len = snprintf(folder, sizeof folder, "%s%s", mount, path);
    if (len <= 0 || (size_t)len >= sizeof folder)
        return;
    size_t top = strlen(mount);
    must(top > 0 && top <= (size_t)len);
    for (;;) {
        probe(folder, &limits[0], &limits[1]);
        char *slash = strrchr(folder, '/');
        if (!slash || (size_t)(slash - folder) < top)
            return;
        *slash = '\0';
    }
}

// One line of /proc/self/cgroup: "0::/path", or "4:cpu,cpuacct:/path" of version 1.
static void
probe_line(const char *root, char *line, uint64_t limits[2])
{
    char *controllers = strchr(line, ':');
    char *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    controllers++;
    *path++ = '\0';
    char mount[HOST_PATH_MAX];
    int len;
    if (controllers[0] == '\0') {
        len = snprintf(mount, sizeof mount, "%s/sys/fs/cgroup", root);
        if (len > 0 && (size_t)len < sizeof mount)
            probe_up(mount, path, probe_folder_v2, limits);
        return;
    }
    bool cpu = strstr(controllers, "cpu") && !strstr(controllers, "cpuset");
    if (!cpu && strcmp(controllers, "memory") != 0)
        return;
    len = snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/%s", root, cpu ? "cpu" : "memory");
    if (len > 0 && (size_t)len < sizeof mount)
        probe_up(mount, path, probe_folder_v1, limits);
}

static void
probe_cgroups(const char *root, uint64_t limits[2])
{
    char path[HOST_PATH_MAX], text[HOST_FILE_MAX];
    int len = snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (len <= 0 || (size_t)len >= sizeof path || !read_text(path, text))
        return;
    for (char *line = text; line && *line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        probe_line(root, line, limits);
        line = end;
    }
}

void
host_probe(const char *root, struct host *ret_host)
{
    must(root != NULL && ret_host != NULL);
    cpu_set_t set;
    CPU_ZERO(&set);
    int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    uint64_t machine = pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : NO_LIMIT;
    uint64_t limits[2] = {NO_LIMIT, NO_LIMIT}; // thousandths of a CPU, bytes
    probe_cgroups(root, limits);
    uint64_t cpus = min_u64((uint64_t)(count > 0 ? count : 1), limits[0] / 1000);
    ret_host->cpus = (unsigned)max_u64(cpus, 1);
    ret_host->memory_bytes = min_u64(machine, limits[1]);
    must(ret_host->cpus >= 1 && ret_host->memory_bytes > 0);
}

// A line of /proc/stat: "cpu3 user nice system idle iowait ...". 0: of no CPU of ours.
static uint64_t
idle_of(const char *line, const cpu_set_t *ours)
{
    if (strncmp(line, "cpu", 3) != 0 || line[3] < '0' || line[3] > '9') // "cpu  ": of all
        return 0;
    char *at;
    uint64_t times[5] = {0};
    unsigned long cpu = strtoul(line + 3, &at, 10);
    for (size_t i = 0; i < ARRAY_LEN(times) && *at == ' '; i++)
        times[i] = strtoull(at, &at, 10);
    return cpu < CPU_SETSIZE && CPU_ISSET(cpu, ours) ? times[3] + times[4] : 0;
}

uint64_t
host_idle_us(const char *root)
{
    char path[HOST_PATH_MAX], text[HOST_FILE_MAX];
    cpu_set_t ours;
    uint64_t ticks = 0;
    int len = snprintf(path, sizeof path, "%s/proc/stat", root);
    long hz = sysconf(_SC_CLK_TCK);
    if (len <= 0 || (size_t)len >= sizeof path || hz <= 0 || !read_text(path, text) ||
        sched_getaffinity(0, sizeof ours, &ours) != 0)
        return 0;
    for (const char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        ticks += idle_of(line, &ours);
    return ticks * (1000000 / (uint64_t)hz);
}
