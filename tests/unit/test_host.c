// test_host.c - what cgroups grant, from trees that look like /proc and /sys.
#include <criterion/criterion.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/host.h"

static char root[] = "/tmp/tern-host-XXXXXX";

static void
make_root(void)
{
    cr_assert_not_null(mkdtemp(root));
}

static void
remove_root(void)
{
    char command[100];
    (void)snprintf(command, sizeof command, "rm -rf %s", root);
    cr_assert_eq(system(command), 0);
}

static void
put(const char *path, const char *text)
{
    char command[400], whole[300];
    (void)snprintf(whole, sizeof whole, "%s/%s", root, path);
    (void)snprintf(command, sizeof command, "mkdir -p $(dirname %s)", whole);
    cr_assert_eq(system(command), 0);
    FILE *f = fopen(whole, "w");
    cr_assert_not_null(f);
    cr_assert_geq(fputs(text, f), 0);
    cr_assert_eq(fclose(f), 0);
}

static struct host
probe(void)
{
    struct host host;
    host_probe(root, &host);
    return host;
}

TestSuite(host, .init = make_root, .fini = remove_root);

Test(host, without_cgroups_the_machine_counts)
{
    struct host bare = probe();
    cr_assert_geq(bare.cpus, 1);
    cr_assert_gt(bare.memory_bytes, 1 << 20);
}

Test(host, version_2_limits_of_all_folders_above_count)
{
    put("proc/self/cgroup", "0::/pod/container\n");
    put("sys/fs/cgroup/pod/container/memory.max", "max\n");
    put("sys/fs/cgroup/pod/container/cpu.max", "150000 100000\n");
    put("sys/fs/cgroup/pod/memory.max", "50000000\n");
    put("sys/fs/cgroup/memory.max", "60000000\n");
    struct host host = probe();
    cr_assert_eq(host.cpus, 1, "1.5 CPUs grant one whole one");
    cr_assert_eq(host.memory_bytes, 50000000);
}

Test(host, path_of_another_namespace_falls_back_to_the_mount)
{
    put("proc/self/cgroup", "0::/../../elsewhere\n");
    put("sys/fs/cgroup/memory.max", "70000000\n");
    cr_assert_eq(probe().memory_bytes, 70000000);
}

Test(host, a_quota_below_one_cpu_grants_one)
{
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "20000 100000\n");
    cr_assert_eq(probe().cpus, 1);
}

Test(host, max_and_rubbish_are_no_limit)
{
    unsigned cpus = probe().cpus;
    put("proc/self/cgroup", "0::/\nrubbish\n");
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    cr_assert_eq(probe().cpus, cpus);
    put("sys/fs/cgroup/cpu.max", "5\n");
    cr_assert_eq(probe().cpus, cpus);
    put("sys/fs/cgroup/cpu.max", "5 0\n");
    cr_assert_eq(probe().cpus, cpus);
}

Test(host, version_1)
{
    put("proc/self/cgroup", "5:memory:/docker/x\n4:cpu,cpuacct:/docker/x\n3:cpuset:/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "80000000\n");
    put("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "100000\n");
    put("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
    struct host host = probe();
    cr_assert_eq(host.memory_bytes, 80000000);
    cr_assert_eq(host.cpus, 1);
}

Test(host, version_1_without_limits)
{
    struct host bare = probe();
    put("proc/self/cgroup", "5:memory:/\n4:cpu,cpuacct:/\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    put("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n");
    cr_assert_eq(probe().memory_bytes, bare.memory_bytes);
    cr_assert_eq(probe().cpus, bare.cpus);
}

Test(host, what_is_granted_is_shared_out_by_one_rule)
{
    static const uint64_t kib = 1u << 10;
    static const uint64_t granted_window_budget[][3] = {
        // MiB, KiB, KiB
        {2, 512, 1024},           {64, 2048, 10240},        {96, 4608, 23040},
        {128, 8192, 40960},       {192, 18432, 92160},      {256, 32768, 163840},
        {384, 32768, 288 * 1024}, {512, 32768, 384 * 1024}, {2048, 32768, 1536 * 1024},
    };
    for (size_t i = 0; i < ARRAY_LEN(granted_window_budget); i++) {
        const uint64_t *row = granted_window_budget[i];
        struct host host = {.cpus = 1, .memory_bytes = row[0] * kib * kib};
        cr_assert_eq(host_store_window(&host), row[1] * kib, "%llu", (unsigned long long)row[0]);
        cr_assert_eq(host_memory_budget(&host), row[2] * kib, "%llu", (unsigned long long)row[0]);
        cr_assert_eq(host_is_small(&host), row[0] < 256);
    }
}

Test(host, more_memory_never_means_less)
{
    struct host less = {.memory_bytes = 1 << 20}, more = less;
    for (; more.memory_bytes < UINT64_C(4) << 30; less = more) {
        more.memory_bytes += 1 << 20;
        cr_assert_geq(host_store_window(&more), host_store_window(&less));
        cr_assert_geq(host_memory_budget(&more), host_memory_budget(&less));
        cr_assert_leq(host_store_window(&more), HOST_WINDOW_MAX);
    }
}

Test(host, idle_is_that_of_the_cpus_that_are_ours)
{
    cr_assert_eq(host_idle_us(root), 0, "nobody knows");
    cpu_set_t ours;
    cr_assert_eq(sched_getaffinity(0, sizeof ours, &ours), 0);
    char text[200], name[16] = "cpu4000";
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &ours))
            (void)snprintf(name, sizeof name, "cpu%d", cpu);
    (void)snprintf(text, sizeof text, "cpu  1 1 1 9999 9999 1\n%s 5 6 7 1000 234 8 9\n%s 1 1\n%s\n",
                   name, "cpu4000 1 1 1 70000 1 1", "intr 1 2 3 4 5 6");
    put("proc/stat", text);
    uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);
    cr_assert_eq(host_idle_us(root), 1234 * (1000000 / hz));
    cr_assert_gt(host_idle_us(""), 0);
}
