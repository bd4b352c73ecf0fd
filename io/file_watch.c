// file_watch.c - inotify to hurry, and what stat says to decide.
#include "io/file_watch.h"

#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#define WATCH_MAGIC 0x77617463u
#define EVENTS                                                                          \
    (IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB | \
     IN_DELETE_SELF | IN_MOVE_SELF)

struct watched {
    char *path;
    uint64_t print; // of what is there
};

struct file_watch {
    uint32_t magic;
    void (*changed)(void *arg);
    void *arg;
    pthread_t thread;
    bool started;
    int inotify_fd; // -1: there is none
    int wake_fd;
    _Atomic bool stopping;
    pthread_mutex_t mutex; // of what follows
    struct watched *files;
    uint32_t count;
};

// ---- What is there ------------------------------------------------------------------------------

static uint64_t
mix(uint64_t print, uint64_t value)
{
    print = (print ^ value) * UINT64_C(0x9e3779b97f4a7c15);
    return print ^ print >> 29;
}

static uint64_t
print_of(const char *path, struct stat *ret_st)
{
    if (stat(path, ret_st) != 0) {
        ret_st->st_mode = 0;
        return (uint64_t)errno; // gone is a state, too
    }
    uint64_t print = mix(ret_st->st_dev, ret_st->st_ino);
    print = mix(print, (uint64_t)ret_st->st_size);
    print = mix(print, (uint64_t)ret_st->st_mtim.tv_sec);
    print = mix(print, (uint64_t)ret_st->st_mtim.tv_nsec);
    print = mix(print, (uint64_t)ret_st->st_ctim.tv_sec);
    return mix(print, (uint64_t)ret_st->st_ctim.tv_nsec);
}

// A folder is its files as well, in whatever order.
static uint64_t
print_with_files(const char *path)
{
    struct stat st;
    uint64_t print = print_of(path, &st);
    DIR *folder = S_ISDIR(st.st_mode) ? opendir(path) : NULL;
    if (!folder)
        return print;
    const struct dirent *entry;
    // NOLINTNEXTLINE(concurrency-mt-unsafe): the stream is ours alone
    for (uint32_t n = 0; n < FILE_WATCH_ENTRIES_MAX && (entry = readdir(folder)) != NULL; n++) {
        char name[PATH_MAX];
        int len = snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
        if (len > 0 && (size_t)len < sizeof name && strcmp(entry->d_name, "..") != 0)
            print += print_of(name, &st);
    }
    (void)closedir(folder);
    return print;
}

// True: something is not what it was. Notes what it is now.
static bool
look(struct file_watch *watch)
{
    bool differs = false;
    must(pthread_mutex_lock(&watch->mutex) == 0);
    for (uint32_t i = 0; i < watch->count; i++) {
        uint64_t print = print_with_files(watch->files[i].path);
        differs = differs || print != watch->files[i].print;
        watch->files[i].print = print;
    }
    must(pthread_mutex_unlock(&watch->mutex) == 0);
    return differs;
}

// ---- Where to listen ----------------------------------------------------------------------------

// Cuts the last name off.
static void
to_folder(char *path)
{
    char *slash = strrchr(path, '/');
    if (!slash)
        (void)snprintf(path, 2, ".");
    else
        slash[slash == path ? 1 : 0] = '\0';
}

static void
listen_in(const struct file_watch *watch, const char *folder)
{
    // Fails where there is no such folder, or no more watches: then time tells. A folder that is
    // watched already stays so.
    (void)inotify_add_watch(watch->inotify_fd, folder, EVENTS | IN_ONLYDIR);
}

// The file's folder, and those of the links that lead to it: any of them may be replaced.
static void
listen_for(const struct file_watch *watch, const char *path)
{
    char at[PATH_MAX], target[PATH_MAX], folder[PATH_MAX];
    listen_in(watch, path); // should it be a folder itself
    (void)snprintf(at, sizeof at, "%s", path);
    for (uint32_t links = 0; links < FILE_WATCH_LINKS_MAX; links++) {
        (void)snprintf(folder, sizeof folder, "%s", at);
        to_folder(folder);
        listen_in(watch, folder);
        ssize_t len = readlink(at, target, sizeof target - 1);
        if (len <= 0)
            return;
        target[len] = '\0';
        int n = target[0] == '/' ? snprintf(at, sizeof at, "%s", target)
                                 : snprintf(at, sizeof at, "%s/%s", folder, target);
        if (n < 0 || (size_t)n >= sizeof at)
            return;
    }
}

// Again after each change: folders that came instead of others are not the same folders.
static void
listen_everywhere(struct file_watch *watch)
{
    if (watch->inotify_fd < 0)
        return;
    must(pthread_mutex_lock(&watch->mutex) == 0);
    for (uint32_t i = 0; i < watch->count; i++)
        listen_for(watch, watch->files[i].path);
    must(pthread_mutex_unlock(&watch->mutex) == 0);
}

// ---- The thread ---------------------------------------------------------------------------------

static void
drain(int fd)
{
    char buffer[4096] __attribute__((aligned(8)));
    while (read(fd, buffer, sizeof buffer) > 0)
        ;
}

// Waits for an event, a word from main, or the time. True: an event came.
static bool
wait(const struct file_watch *watch, int timeout_ms)
{
    struct pollfd fds[2] = {{.fd = watch->wake_fd, .events = POLLIN},
                            {.fd = watch->inotify_fd, .events = POLLIN}}; // -1 is passed over
    if (poll(fds, ARRAY_LEN(fds), timeout_ms) <= 0)
        return false;
    if (fds[0].revents)
        drain(watch->wake_fd);
    if (fds[1].revents)
        drain(watch->inotify_fd);
    return fds[1].revents != 0;
}

static void *
run(void *arg)
{
    struct file_watch *watch = arg;
    must(watch->magic == WATCH_MAGIC);
    (void)pthread_setname_np(pthread_self(), "tern-watch");
    while (!atomic_load(&watch->stopping)) {
        listen_everywhere(watch);
        if (wait(watch, (int)FILE_WATCH_POLL_MS)) {
            uint64_t until_ms = clock_mono_ms() + FILE_WATCH_QUIET_MAX;
            while (!atomic_load(&watch->stopping) && clock_mono_ms() < until_ms &&
                   wait(watch, (int)FILE_WATCH_QUIET_MS))
                ;
        }
        if (!atomic_load(&watch->stopping) && look(watch))
            watch->changed(watch->arg);
    }
    return NULL;
}

// ---- Main's side --------------------------------------------------------------------------------

static void
wake(const struct file_watch *watch)
{
    uint64_t one = 1;
    must(write(watch->wake_fd, &one, sizeof one) == (ssize_t)sizeof one);
}

struct file_watch *
file_watch_new(void (*changed)(void *arg), void *arg)
{
    must(changed != NULL);
    struct file_watch *watch = mem_zalloc(sizeof *watch);
    watch->magic = WATCH_MAGIC;
    watch->changed = changed;
    watch->arg = arg;
    watch->inotify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    watch->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    must(watch->wake_fd >= 0);
    must(pthread_mutex_init(&watch->mutex, NULL) == 0);
    return watch;
}

void
file_watch_start(struct file_watch *watch)
{
    must(watch->magic == WATCH_MAGIC);
    if (watch->started)
        return;
    watch->started = true;
    wake(watch); // what has changed before it listened
    // Signals are main's; a thread inherits the mask of who makes it.
    sigset_t all, before;
    (void)sigfillset(&all);
    must(pthread_sigmask(SIG_SETMASK, &all, &before) == 0);
    must(pthread_create(&watch->thread, NULL, run, watch) == 0);
    must(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
}

static void
free_files(struct watched *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        mem_free(files[i].path);
    mem_free(files);
}

void
file_watch_set(struct file_watch *watch, const char *const *paths, uint32_t count)
{
    must(watch->magic == WATCH_MAGIC && count <= FILE_WATCH_PATHS_MAX);
    struct watched *files = mem_zalloc((count + 1) * sizeof *files);
    for (uint32_t i = 0; i < count; i++)
        files[i] = (struct watched){mem_strdup(paths[i]), print_with_files(paths[i])};
    must(pthread_mutex_lock(&watch->mutex) == 0);
    struct watched *old = watch->files;
    uint32_t old_count = watch->count;
    watch->files = files;
    watch->count = count;
    must(pthread_mutex_unlock(&watch->mutex) == 0);
    free_files(old, old_count);
    wake(watch); // to listen there
}

void
file_watch_free(struct file_watch *watch)
{
    if (!watch)
        return;
    must(watch->magic == WATCH_MAGIC);
    atomic_store(&watch->stopping, true);
    wake(watch);
    if (watch->started)
        must(pthread_join(watch->thread, NULL) == 0);
    if (watch->inotify_fd >= 0)
        (void)close(watch->inotify_fd);
    (void)close(watch->wake_fd);
    must(pthread_mutex_destroy(&watch->mutex) == 0);
    free_files(watch->files, watch->count);
    watch->magic = 0;
    mem_free(watch);
}
