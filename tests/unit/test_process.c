// test_process.c - signals, pid file, the daemon's two halves, systemd's datagrams.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/process.h"

Test(process, descriptors_reach_the_hard_limit)
{
    struct rlimit limit;
    cr_assert_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = 64;
    cr_assert_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    cr_assert_eq(process_descriptors(), 64);
    process_raise_descriptors();
    cr_assert_eq(process_descriptors(), limit.rlim_max);
}

Test(process, blocked_signals_are_waited_for)
{
    sigset_t set;
    process_block_signals(&set);
    cr_assert_eq(process_wait(&set, 1), 0);
    cr_assert_eq(raise(SIGHUP), 0);
    cr_assert_eq(raise(SIGPIPE), 0); // ignored
    cr_assert_eq(process_wait(&set, 5000), SIGHUP);
    cr_assert_eq(process_wait(&set, 0), 0);
}

Test(process, second_stop_ends_at_once, .exit_code = 1)
{
    sigset_t set;
    process_block_signals(&set);
    process_end_on_signal();
    (void)raise(SIGTERM);
}

Test(process, pid_file)
{
    char path[] = "/tmp/tern-pid-XXXXXX";
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(close(fd), 0);
    cr_assert_eq(process_pid_file_write(path), OK);
    FILE *f = fopen(path, "r");
    int pid = 0;
    cr_assert_eq(fscanf(f, "%d", &pid), 1);
    cr_assert_eq(fclose(f), 0);
    cr_assert_eq(pid, getpid());
    process_pid_file_remove(path);
    cr_assert_eq(access(path, F_OK), -1);
    process_pid_file_remove(path); // not there: no harm
    process_pid_file_remove(NULL);
    cr_assert_eq(process_pid_file_write("/nonexistent/x.pid"), ERR_IO);
}

// Starts a daemon in a child of this test: the exit code of the half that the shell would see.
static int
daemon_exit_code(bool becomes_ready)
{
    pid_t shell = fork();
    cr_assert_geq(shell, 0);
    if (shell == 0) {
        int ready = process_daemon();
        if (ready >= 0 && becomes_ready)
            process_daemon_ready(ready);
        _exit(7); // the daemon's own, which nobody sees
    }
    int status = -1;
    cr_assert_eq(waitpid(shell, &status, 0), shell);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

Test(process, parent_of_a_daemon_tells_whether_it_runs)
{
    cr_assert_eq(daemon_exit_code(true), 0);
    cr_assert_eq(daemon_exit_code(false), 1);
}

Test(process, systemd_hears_states)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof address.sun_path, "/tmp/tern-notify-%d", getpid());
    int fd = socket(AF_UNIX, SOCK_DGRAM, 0);
    cr_assert_eq(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    cr_assert_eq(setenv("NOTIFY_SOCKET", address.sun_path, 1), 0);
    process_notify("READY=1");
    process_notify_reloading(42);
    char text[64] = "";
    cr_assert_eq(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), 7);
    cr_assert_str_eq(text, "READY=1");
    memset(text, 0, sizeof text);
    cr_assert_gt(recv(fd, text, sizeof text - 1, MSG_DONTWAIT), 0);
    cr_assert_str_eq(text, "RELOADING=1\nMONOTONIC_USEC=42");
    cr_assert_eq(close(fd), 0);
    cr_assert_eq(unlink(address.sun_path), 0);
    process_notify("READY=1"); // nobody there: no harm
    cr_assert_eq(setenv("NOTIFY_SOCKET", "vsock:1", 1), 0);
    process_notify("READY=1");
    cr_assert_eq(unsetenv("NOTIFY_SOCKET"), 0);
    process_notify("READY=1");
}

Test(process, watchdog_interval)
{
    cr_assert_eq(unsetenv("WATCHDOG_USEC"), 0);
    cr_assert_eq(process_watchdog_ms(), 0);
    cr_assert_eq(setenv("WATCHDOG_USEC", "30000000", 1), 0);
    cr_assert_eq(process_watchdog_ms(), 15000);
    cr_assert_eq(setenv("WATCHDOG_PID", "1", 1), 0); // another process is watched
    cr_assert_eq(process_watchdog_ms(), 0);
}

Test(process, unknown_user_is_refused_when_asked_for)
{
    char text[PROCESS_TEXT_MAX];
    err_t err = process_drop_privileges("no-such-user-here", text);
    if (geteuid() == 0) {
        cr_assert_eq(err, ERR_CONFIG);
        cr_assert_not_null(strstr(text, "does not exist"));
    } else {
        cr_assert_eq(err, OK);
    }
}

Test(process, root_becomes_the_user_for_good)
{
    char text[PROCESS_TEXT_MAX];
    bool was_root = geteuid() == 0;
    cr_assert_eq(process_drop_privileges("nobody", text), OK, "%s", text);
    cr_assert_str_empty(text);
    if (was_root) {
        cr_assert_neq(geteuid(), 0);
        cr_assert_neq(setuid(0), 0);
    }
}
