// process.h - the process and its surroundings: descriptors, user, pid file, daemon, systemd.
//
// Job:    what a server does once around its real work. Messages for the operator come back as
//         text: main decides where they go.
// Owner:  main. Thread: main, before any other thread is started, but for process_notify.
// Memory: none. Limits: texts of PROCESS_TEXT_MAX bytes.
#ifndef TERN_CORE_PROCESS_H
#define TERN_CORE_PROCESS_H

#include <signal.h>

#include "core/base/err.h"

#define PROCESS_TEXT_MAX 256

// A sanitizer's leak checker attaches to its own process, which must be dumpable for that.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define PROCESS_DUMPABLE 1
#elif defined(__has_feature)
#define PROCESS_DUMPABLE (__has_feature(address_sanitizer) || __has_feature(thread_sanitizer))
#else
#define PROCESS_DUMPABLE 0
#endif

// Asks for a copy of the store.
#define PROCESS_SIGNAL_BACKUP SIGRTMIN
// Sent by the process to itself: certificates or the like have changed on the disk.
#define PROCESS_SIGNAL_FILES (SIGRTMIN + 1)
// The same: somebody has asked for a reload, and waits for what becomes of it.
#define PROCESS_SIGNAL_RELOAD (SIGRTMIN + 2)

// The soft limit of descriptors becomes the hard one, where that is allowed.
void process_raise_descriptors(void);
// How many the process may have; 0: not known.
uint64_t process_descriptors(void);

// Blocks the signals that main waits for, in this thread and in all that it will start; ignores
// PIPE. Fills ret_set for process_wait.
void process_block_signals(sigset_t *ret_set);
// The next signal of set, or 0 after timeout_ms.
int process_wait(const sigset_t *set, uint64_t timeout_ms);
// From here on TERM and INT end the process at once with exit code 1.
void process_end_on_signal(void);

// Goes to the background. Returns in the child, with a descriptor for process_daemon_ready. The
// parent stays until that, so that its exit code says whether the broker runs. -1 with errno when
// it cannot.
int process_daemon(void);
// Detaches from the terminal and lets the parent end with 0. Takes ready.
void process_daemon_ready(int ready);

// ERR_IO: errno says why.
NODISCARD err_t process_pid_file_write(const char *path);
void process_pid_file_remove(const char *path); // NULL is fine

// Gives up root for user, or for PROCESS_USER where that exists when user is NULL. Not root, or
// user "root": nothing happens. No new privileges in any case. ret_text, when not empty afterwards,
// is for the operator: a warning with OK, an error with ERR_CONFIG.
#define PROCESS_USER "ternmq"
NODISCARD err_t process_drop_privileges(const char *user, char ret_text[PROCESS_TEXT_MAX]);

// Tells systemd, when it asked: "READY=1", "STOPPING=1", "WATCHDOG=1", "STATUS=..."; a line each.
void process_notify(const char *state);
// "RELOADING=1" with the time that systemd wants beside it.
void process_notify_reloading(uint64_t mono_us);
// How often systemd wants to hear WATCHDOG=1, halved; 0 = never.
uint64_t process_watchdog_ms(void);

#endif
