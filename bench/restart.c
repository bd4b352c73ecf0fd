// restart.c - a broker that is killed and started again.
#include "bench/restart.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"

#include "bench/proc.h"
#include "bench/wire.h"

#define LOOK_US        1000u // between two attempts: the precision of what is measured
#define RETRY_US       20000u
#define CONNACK_ENOUGH 256u // bytes; a CONNACK with all properties that brokers send is shorter

static void
pause_us(uint64_t us)
{
    struct timespec span = {.tv_nsec = (long)us * 1000};
    (void)nanosleep(&span, NULL);
}

err_t
restart_kill(uint64_t pid)
{
    must(pid > 1);
    if (kill((pid_t)pid, SIGKILL) != 0)
        return ERR_IO;
    uint64_t until_us = clock_mono_us() + RESTART_KILL_S * 1000000ull;
    while (proc_is_running(pid)) {
        if (clock_mono_us() > until_us) {
            errno = ETIMEDOUT;
            return ERR_IO;
        }
        pause_us(LOOK_US);
    }
    return OK;
}

static err_t
begin(const char *command, uint64_t *ret_child)
{
    static char shell[] = "/bin/sh", option[] = "-c";
    char *argv[] = {shell, option, unconst(command), NULL};
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    pid_t child = 0;
    // What it prints goes nowhere unless it says where; a pipe of ours would wait for its end.
    int error = posix_spawn_file_actions_init(&files);
    must(error == 0);
    error = posix_spawnattr_init(&attributes);
    must(error == 0);
    for (int fd = STDIN_FILENO; error == 0 && fd <= STDERR_FILENO; fd++)
        error = posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    if (error == 0)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSID);
    if (error == 0)
        error = posix_spawn(&child, shell, &files, &attributes, argv, environ);
    (void)posix_spawn_file_actions_destroy(&files);
    (void)posix_spawnattr_destroy(&attributes);
    *ret_child = (uint64_t)child;
    errno = error;
    return error == 0 ? OK : ERR_IO;
}

// ---- The first answer -------------------------------------------------------------------------

static bool
send_all(int fd, const struct buffer *out)
{
    return send(fd, out->data, out->len, MSG_NOSIGNAL) == (ssize_t)out->len;
}

// Reads until there is a whole CONNACK. A broker that listens but is busy starting may take long.
static bool
read_connack(int fd, int version, uint64_t until_us)
{
    uint8_t data[CONNACK_ENOUGH];
    uint32_t len = 0;
    for (;;) {
        uint32_t size = wire_size(data, len);
        if (size > sizeof data)
            return false;
        if (size > 0 && size <= len) {
            struct wire_frame frame = wire_frame(data, size);
            struct wire_connack connack;
            return frame.type == WIRE_CONNACK && wire_connack(&frame, version, &connack) &&
                   connack.reason == 0;
        }
        uint64_t now_us = clock_mono_us();
        struct pollfd ready = {.fd = fd, .events = POLLIN};
        if (now_us >= until_us || poll(&ready, 1, (int)((until_us - now_us) / 1000) + 1) <= 0)
            return false;
        ssize_t got = recv(fd, data + len, sizeof data - len, 0);
        if (got <= 0)
            return false;
        len += (uint32_t)got;
    }
}

static bool
ask(int fd, const struct restart *restart, uint64_t until_us)
{
    char id[32];
    struct buffer out = {0};
    (void)snprintf(id, sizeof id, "bench-probe-%ld", (long)getpid());
    if (connect(fd, restart->address, restart->address_len) != 0)
        return false;
    wire_put_connect(&out, &(struct wire_connect){
                               .client_id = id,
                               .version = restart->version,
                               .user_name = restart->user_name,
                               .password = restart->password,
                           });
    bool answered = send_all(fd, &out) && read_connack(fd, restart->version, until_us);
    out.len = 0;
    wire_put_disconnect(&out);
    if (answered)
        (void)send_all(fd, &out);
    buffer_free(&out);
    return answered;
}

// Whether the command ended with an error. One that went to the background has ended well.
static bool
has_failed(uint64_t child)
{
    siginfo_t info = {0};
    int got = waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT);
    return got == 0 && info.si_pid != 0 && (info.si_code != CLD_EXITED || info.si_status != 0);
}

static err_t
await_answer(const struct restart *restart, uint64_t child)
{
    uint64_t until_us = clock_mono_us() + RESTART_WAIT_S * 1000000ull;
    while (clock_mono_us() < until_us) {
        int fd = socket(restart->address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
            return ERR_IO;
        bool answered = ask(fd, restart, until_us);
        (void)close(fd);
        if (answered)
            return OK;
        if (has_failed(child))
            return ERR_IO;
        pause_us(LOOK_US);
    }
    return ERR_IO;
}

static uint64_t
find_broker(uint64_t child)
{
    // Some shells replace themselves by their last command, others wait for it.
    while (proc_runs_file(child, "/bin/sh"))
        child = proc_only_child(child);
    return proc_is_running(child) ? child : 0;
}

err_t
restart_run(struct restart *restart)
{
    uint64_t until_us = clock_mono_us() + RESTART_RETRY_S * 1000000ull;
    do {
        uint64_t child;
        restart->attempts++;
        if (begin(restart->command, &child) != OK)
            return ERR_IO;
        if (await_answer(restart, child) == OK) {
            restart->broker = find_broker(child);
            return OK;
        }
        pause_us(RETRY_US);
    } while (clock_mono_us() < until_us);
    return ERR_IO;
}
