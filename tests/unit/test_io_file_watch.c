// test_io_file_watch.c - changes of files are told: written, replaced, swapped as Kubernetes does.
#include <criterion/criterion.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "io/file_watch.h"

static char dir[] = "/tmp/test_io_watch.XXXXXX";
static struct file_watch *watch;
static _Atomic int changes;

static void
on_change(void *arg)
{
    cr_assert_eq(arg, &changes);
    atomic_fetch_add(&changes, 1);
}

static void
set_up(void)
{
    cr_assert_not_null(mkdtemp(dir));
    cr_assert_eq(chdir(dir), 0);
    watch = file_watch_new(on_change, &changes);
    file_watch_start(watch);
}

static void
tear_down(void)
{
    char command[128];
    file_watch_free(watch);
    snprintf(command, sizeof command, "rm -rf %s", dir);
    cr_assert_eq(system(command), 0);
}

TestSuite(io_file_watch, .init = set_up, .fini = tear_down, .timeout = 60);

static void
pause_ms(long ms)
{
    struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

// That a file is opened, and so made empty, is a change, and that it is written another one: where
// somebody else had the CPU in between, both may be told.
static int stalls;

static void
write_to(const char *name, const char *content)
{
    uint64_t begin_ms = clock_mono_ms();
    FILE *f = fopen(name, "w");
    cr_assert_not_null(f);
    fputs(content, f);
    fclose(f);
    stalls += clock_mono_ms() - begin_ms >= FILE_WATCH_QUIET_MS / 2;
}

static void
watch_paths(const char *a, const char *b)
{
    const char *paths[2];
    char full[2][256];
    uint32_t count = 0;
    for (; count < 2; count++) {
        const char *name = count ? b : a;
        if (!name)
            break;
        snprintf(full[count], sizeof full[count], "%s/%s", dir, name);
        paths[count] = full[count];
    }
    file_watch_set(watch, paths, count);
    pause_ms(100); // the thread begins to listen
}

static void
await_change(void)
{
    uint64_t until = clock_mono_ms() + FILE_WATCH_POLL_MS / 2;
    while (atomic_load(&changes) == 0 && clock_mono_ms() < until)
        pause_ms(10);
}

// The next change is told, within less than the polling would take.
static void
expect_change(const char *what)
{
    await_change();
    if (stalls > 0)
        pause_ms(FILE_WATCH_QUIET_MAX);
    int told = atomic_load(&changes);
    cr_expect(told >= 1 && told <= 1 + stalls, "%s: %d", what, told);
    pause_ms(100);
    atomic_store(&changes, 0);
    stalls = 0;
}

static void
expect_quiet(const char *what)
{
    pause_ms(FILE_WATCH_QUIET_MS + 300);
    cr_expect_eq(atomic_load(&changes), 0, "%s", what);
}

Test(io_file_watch, files_that_are_written_replaced_and_removed)
{
    write_to("a", "1");
    write_to("b", "1");
    watch_paths("a", "b");
    expect_quiet("nothing happened");
    write_to("a", "22");
    expect_change("written");
    write_to("new", "333");
    cr_assert_eq(rename("new", "b"), 0);
    expect_change("replaced");
    cr_assert_eq(unlink("a"), 0);
    expect_change("removed");
    write_to("a", "4");
    expect_change("there again");
    write_to("other", "5");
    expect_quiet("another file of the folder");
}

// Returns the longest time between two writes.
static uint64_t
write_in_a_row(void)
{
    uint64_t before_ms = clock_mono_ms(), longest_ms = 0;
    for (int i = 0; i < 10; i++) {
        write_to(i % 2 ? "b" : "a", "22");
        uint64_t now_ms = clock_mono_ms();
        if (now_ms - before_ms > longest_ms)
            longest_ms = now_ms - before_ms;
        before_ms = now_ms;
        if (i % 2 == 0)
            pause_ms(20);
    }
    return longest_ms;
}

Test(io_file_watch, several_changes_together_are_one)
{
    write_to("a", "1");
    write_to("b", "1");
    watch_paths("a", "b");
    uint64_t longest_ms;
    for (int tries = 0;; tries++) {
        longest_ms = write_in_a_row();
        if (longest_ms < FILE_WATCH_QUIET_MS / 2 || tries == 20)
            break; // else others had the CPUs, and it may have been several bursts
        await_change();
        pause_ms(FILE_WATCH_QUIET_MAX);
        atomic_store(&changes, 0);
        stalls = 0;
    }
    cr_assert_lt(longest_ms, FILE_WATCH_QUIET_MS);
    expect_change("a burst");
    expect_quiet("no more");
}

Test(io_file_watch, kubernetes_swaps_a_link)
{
    cr_assert_eq(mkdir("..1", 0755), 0);
    cr_assert_eq(mkdir("..2", 0755), 0);
    cr_assert_eq(mkdir("..3", 0755), 0);
    write_to("..1/tls.crt", "one");
    write_to("..2/tls.crt", "two");
    write_to("..3/tls.crt", "three");
    cr_assert_eq(symlink("..1", "..data"), 0);
    cr_assert_eq(symlink("..data/tls.crt", "tls.crt"), 0);
    watch_paths("tls.crt", NULL);
    cr_assert_eq(symlink("..2", "..data_tmp"), 0);
    cr_assert_eq(rename("..data_tmp", "..data"), 0);
    expect_change("the first swap");
    cr_assert_eq(symlink("..3", "..data_tmp"), 0);
    cr_assert_eq(rename("..data_tmp", "..data"), 0);
    expect_change("the second swap");
}

Test(io_file_watch, the_file_behind_a_link_is_seen)
{
    cr_assert_eq(mkdir("archive", 0755), 0);
    cr_assert_eq(mkdir("live", 0755), 0);
    write_to("archive/cert1.pem", "one");
    write_to("archive/cert2.pem", "two");
    cr_assert_eq(symlink("../archive/cert1.pem", "live/cert.pem"), 0);
    watch_paths("live/cert.pem", NULL);
    write_to("archive/cert1.pem", "one more");
    expect_change("written behind the link");
    cr_assert_eq(symlink("../archive/cert2.pem", "live/new"), 0);
    cr_assert_eq(rename("live/new", "live/cert.pem"), 0);
    expect_change("another link");
    write_to("archive/cert2.pem", "two more");
    expect_change("behind the new link");
}

Test(io_file_watch, a_folder_is_its_files)
{
    cr_assert_eq(mkdir("ca", 0755), 0);
    write_to("ca/a.pem", "1");
    watch_paths("ca", NULL);
    write_to("ca/b.pem", "1");
    expect_change("a file more");
    write_to("ca/a.pem", "22");
    expect_change("a file's content");
    cr_assert_eq(unlink("ca/a.pem"), 0);
    expect_change("a file less");
}

Test(io_file_watch, another_set_replaces_the_first)
{
    write_to("a", "1");
    write_to("b", "1");
    watch_paths("a", NULL);
    watch_paths("b", NULL);
    write_to("a", "22");
    expect_quiet("not watched any more");
    write_to("b", "22");
    expect_change("watched now");
    watch_paths(NULL, NULL);
    write_to("b", "333");
    expect_quiet("nothing is watched");
}

Test(io_file_watch, a_folder_that_comes_later_is_found_in_time)
{
    watch_paths("later/a", NULL);
    cr_assert_eq(mkdir("later", 0755), 0);
    write_to("later/a", "1");
    uint64_t until = clock_mono_ms() + FILE_WATCH_POLL_MS + 20000;
    while (atomic_load(&changes) == 0 && clock_mono_ms() < until)
        pause_ms(50);
    cr_assert_eq(atomic_load(&changes), 1);
}
