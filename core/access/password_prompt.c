// password_prompt.c - a line of standard input, unseen.
#include "core/access/password_prompt.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <termios.h>
#include <unistd.h>

#include "core/base/mem.h"

// A terminal without echo, and the signals that would leave it so.
struct terminal {
    bool there;
    struct termios before;
    sigset_t mask;
    int signals; // signalfd
};

static void
terminal_restore(const struct terminal *terminal)
{
    if (terminal->there)
        (void)tcsetattr(STDIN_FILENO, TCSAFLUSH, &terminal->before);
}

// False: errno says why.
static bool
terminal_begin(struct terminal *terminal)
{
    *terminal = (struct terminal){.there = isatty(STDIN_FILENO) == 1};
    sigset_t ending;
    (void)sigemptyset(&ending);
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP, SIGQUIT};
    for (unsigned i = 0; i < ARRAY_LEN(numbers); i++)
        (void)sigaddset(&ending, numbers[i]);
    sigset_t blocked = ending;
    (void)sigaddset(&blocked, SIGTSTP); // nobody stops it with the echo off
    (void)pthread_sigmask(SIG_BLOCK, &blocked, &terminal->mask);
    terminal->signals = signalfd(-1, &ending, SFD_CLOEXEC);
    if (terminal->signals < 0)
        return false;
    struct termios silent;
    if (!terminal->there)
        return true;
    terminal->there = tcgetattr(STDIN_FILENO, &terminal->before) == 0;
    if (!terminal->there)
        return false;
    silent = terminal->before;
    silent.c_lflag &= ~(tcflag_t)ECHO;
    return tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent) == 0;
}

static void
terminal_end(struct terminal *terminal)
{
    terminal_restore(terminal);
    if (terminal->signals >= 0)
        (void)close(terminal->signals);
    (void)pthread_sigmask(SIG_SETMASK, &terminal->mask, NULL);
}

// The next byte of input; -1 at its end or when it fails. A signal ends the process in here.
static int
next_byte(struct terminal *terminal)
{
    struct pollfd wanted[] = {{.fd = STDIN_FILENO, .events = POLLIN},
                              {.fd = terminal->signals, .events = POLLIN}};
    for (;;) {
        uint8_t byte;
        if (poll(wanted, ARRAY_LEN(wanted), -1) < 0 && errno != EINTR)
            return -1;
        struct signalfd_siginfo signal;
        if (wanted[1].revents && read(terminal->signals, &signal, sizeof signal) == sizeof signal) {
            terminal_end(terminal);
            (void)raise((int)signal.ssi_signo);
            _exit(1); // where it is ignored
        }
        // One at a time: a second line is left for whoever reads it.
        ssize_t n = wanted[0].revents ? read(STDIN_FILENO, &byte, 1) : -1;
        if (n == 1)
            return byte;
        if (n == 0 || (wanted[0].revents && errno != EINTR && errno != EAGAIN))
            return -1;
    }
}

// A line without its end. False: it is too long.
static bool
read_line(struct terminal *terminal, const char *prompt, struct secret_file *line)
{
    if (terminal->there)
        (void)fputs(prompt, stderr);
    *line = (struct secret_file){.data = mem_zalloc(PASSWORD_INPUT_MAX + 1)};
    int byte;
    while ((byte = next_byte(terminal)) >= 0 && byte != '\n' && line->len < PASSWORD_INPUT_MAX)
        line->data[line->len++] = (uint8_t)byte;
    if (terminal->there)
        (void)fputs("\n", stderr);
    must(line->len <= PASSWORD_INPUT_MAX);
    return byte < 0 || byte == '\n';
}

static err_t
ask_twice(struct terminal *terminal, struct secret_file *first, struct secret_file *second,
          struct file_problem *problem)
{
    if (!read_line(terminal, "Password: ", first))
        return file_fail(problem, "a password has at most %u bytes", PASSWORD_INPUT_MAX);
    if (first->len == 0)
        return file_fail(problem, "an empty password");
    bool fits = read_line(terminal, "Reenter password: ", second);
    bool same = slice_equal(slice_of(first->data, first->len), slice_of(second->data, second->len));
    bool single = !terminal->there && second->len == 0;
    if (!fits || (!same && !single))
        return file_fail(problem, "the passwords are not the same");
    return OK;
}

err_t
password_prompt(struct secret_file *ret_password, struct file_problem *ret_problem)
{
    must(ret_password != NULL && ret_problem != NULL);
    struct terminal terminal;
    struct secret_file first = {0}, second = {0};
    err_t err = terminal_begin(&terminal)
                    ? ask_twice(&terminal, &first, &second, ret_problem)
                    : file_fail(ret_problem, "the terminal: %s", strerrordesc_np(errno));
    terminal_end(&terminal);
    secret_file_free(&second);
    if (err != OK) {
        secret_file_free(&first);
        return err;
    }
    must(first.len > 0);
    *ret_password = first;
    return OK;
}
