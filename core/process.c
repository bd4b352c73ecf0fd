// process.c - the process and its surroundings.
#include "core/process.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <inttypes.h>
#include <linux/capability.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"

#define PASSWD_BUFFER 16384 // of one entry; getpwnam_r refuses longer ones

void
process_raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit); // up to the hard limit it is allowed to everybody
}

uint64_t
process_descriptors(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 ? limit.rlim_cur : 0;
}

// ---- Signals ------------------------------------------------------------------------------------

void
process_block_signals(sigset_t *ret_set)
{
    const int signals[] = {SIGHUP,
                           SIGTERM,
                           SIGINT,
                           SIGUSR1,
                           SIGUSR2,
                           PROCESS_SIGNAL_BACKUP,
                           PROCESS_SIGNAL_FILES,
                           PROCESS_SIGNAL_RELOAD};
    sigemptyset(ret_set);
    for (size_t i = 0; i < ARRAY_LEN(signals); i++)
        sigaddset(ret_set, signals[i]);
    int rc = pthread_sigmask(SIG_BLOCK, ret_set, NULL);
    must(rc == 0);
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    rc = sigaction(SIGPIPE, &ignore, NULL);
    must(rc == 0);
}

int
process_wait(const sigset_t *set, uint64_t timeout_ms)
{
    struct timespec timeout = {.tv_sec = (time_t)(timeout_ms / 1000),
                               .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    int number = sigtimedwait(set, NULL, &timeout);
    must(number > 0 || errno == EAGAIN || errno == EINTR);
    return number > 0 ? number : 0;
}

static void
end_at_once(int number)
{
    (void)number;
    _exit(1);
}

void
process_end_on_signal(void)
{
    struct sigaction end = {.sa_handler = end_at_once};
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int rc = sigaction(SIGTERM, &end, NULL) | sigaction(SIGINT, &end, NULL) |
             pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    must(rc == 0);
}

// ---- Daemon and pid file ------------------------------------------------------------------------

NORETURN static void
wait_for_child(int ready)
{
    char byte;
    ssize_t n;
    do
        n = read(ready, &byte, 1);
    while (n < 0 && errno == EINTR);
    _exit(n == 1 ? 0 : 1); // the end of the pipe without a byte: the child ended
}

int
process_daemon(void)
{
    int pipe_fds[2];
    if (pipe2(pipe_fds, O_CLOEXEC) != 0)
        return -1;
    pid_t child = fork();
    if (child < 0) {
        (void)close(pipe_fds[0]);
        (void)close(pipe_fds[1]);
        return -1;
    }
    if (child > 0) {
        (void)close(pipe_fds[1]);
        wait_for_child(pipe_fds[0]);
    }
    (void)close(pipe_fds[0]);
    (void)setsid(); // a new child leads no group: it cannot fail
    return pipe_fds[1];
}

void
process_daemon_ready(int ready)
{
    must(ready >= 0);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    for (int fd = 0; null >= 0 && fd <= 2; fd++)
        (void)dup2(null, fd);
    if (null > 2)
        (void)close(null);
    ssize_t n = write(ready, "", 1);
    (void)n; // a parent that was killed does not matter
    (void)close(ready);
}

err_t
process_pid_file_write(const char *path)
{
    char text[32];
    int len = snprintf(text, sizeof text, "%d\n", (int)getpid());
    must(len > 0 && (size_t)len < sizeof text);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0)
        return ERR_IO;
    bool written = write(fd, text, (size_t)len) == len;
    return close(fd) == 0 && written ? OK : ERR_IO;
}

void
process_pid_file_remove(const char *path)
{
    // The user that the broker became may not change that folder: then the file stays, and whoever
    // reads it finds that the process is gone.
    if (path)
        (void)unlink(path);
}

// ---- Privileges ---------------------------------------------------------------------------------

// False without such a user.
static bool
find_user(const char *name, uid_t *ret_uid, gid_t *ret_gid)
{
    char *buffer = mem_alloc(PASSWD_BUFFER);
    struct passwd entry, *found = NULL;
    bool good = getpwnam_r(name, &entry, buffer, PASSWD_BUFFER, &found) == 0 && found;
    if (good) {
        *ret_uid = found->pw_uid;
        *ret_gid = found->pw_gid;
    }
    mem_free(buffer);
    return good;
}

static bool
become(const char *name, uid_t uid, gid_t gid)
{
    if (initgroups(name, gid) != 0 || setgid(gid) != 0 || setuid(uid) != 0)
        return false;
    // Whoever could take root back has not given it up.
    return uid == 0 || (setuid(0) != 0 && getuid() == uid && geteuid() == uid);
}

static err_t
drop_root(const char *user, char text[PROCESS_TEXT_MAX])
{
    uid_t uid;
    gid_t gid;
    const char *name = user ? user : PROCESS_USER;
    if (strcmp(name, "root") == 0)
        return OK;
    if (!find_user(name, &uid, &gid)) {
        (void)snprintf(text, PROCESS_TEXT_MAX,
                       user ? "user %.64s does not exist"
                            : "running as root: user %.64s does not exist (see the key user)",
                       name);
        return user ? ERR_CONFIG : OK; // asked for, it must not be less
    }
    if (become(name, uid, gid))
        return OK;
    (void)snprintf(text, PROCESS_TEXT_MAX, "cannot become user %.64s: %m", name);
    return ERR_CONFIG;
}

// A service manager may have given some to an ordinary user, to open a port below 1024, say. They
// are of no use any more.
static bool
drop_capabilities(void)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {0};
    return prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) == 0 &&
           syscall(SYS_capset, &head, none) == 0;
}

err_t
process_drop_privileges(const char *user, char ret_text[PROCESS_TEXT_MAX])
{
    ret_text[0] = '\0';
    err_t err = geteuid() == 0 ? drop_root(user, ret_text) : OK;
    if (err != OK)
        return err;
    if (geteuid() != 0 && !drop_capabilities()) {
        (void)snprintf(ret_text, PROCESS_TEXT_MAX, "cannot give up capabilities: %m");
        return ERR_CONFIG;
    }
    // What clients send and own passes through this memory: no core files, no debugger of the same
    // user, no set-user-id program that would bring root back.
    int rc = prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) | prctl(PR_SET_DUMPABLE, PROCESS_DUMPABLE);
    must(rc == 0);
    return OK;
}

// ---- systemd ------------------------------------------------------------------------------------

static const char *
variable(const char *name)
{
    return getenv(name); // NOLINT(concurrency-mt-unsafe): nobody changes the environment
}

void
process_notify(const char *state)
{
    must(state[0] != '\0');
    const char *path = variable("NOTIFY_SOCKET");
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t len = path ? strlen(path) : 0;
    if (len < 2 || len >= sizeof address.sun_path || (path[0] != '/' && path[0] != '@'))
        return;
    memcpy(address.sun_path, path, len);
    if (path[0] == '@')
        address.sun_path[0] = '\0'; // the abstract namespace
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    (void)sendto(fd, state, strlen(state), MSG_NOSIGNAL, (struct sockaddr *)&address,
                 (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len));
    (void)close(fd);
}

void
process_notify_reloading(uint64_t mono_us)
{
    char state[64];
    (void)snprintf(state, sizeof state, "RELOADING=1\nMONOTONIC_USEC=%" PRIu64, mono_us);
    process_notify(state);
}

uint64_t
process_watchdog_ms(void)
{
    const char *us = variable("WATCHDOG_USEC"), *pid = variable("WATCHDOG_PID");
    if (!us || (pid && strtoll(pid, NULL, 10) != (long long)getpid()))
        return 0;
    return strtoull(us, NULL, 10) / 2000;
}
