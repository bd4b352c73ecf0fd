// restart.h - a broker that is killed and started again.
//
// Job:    kill it as a power cut would, run the operator's command, find out when MQTT is served.
// Owner:  none. Thread: main. Memory: none.
// Limits: RESTART_KILL_S for the process to end, RESTART_WAIT_S for the first answer.
#ifndef TERN_BENCH_RESTART_H
#define TERN_BENCH_RESTART_H

#include <sys/socket.h>

#include "core/base/err.h"

#define RESTART_KILL_S  10u
#define RESTART_RETRY_S 10u
#define RESTART_WAIT_S  600u // a broker may have millions of sessions to read

// Sends SIGKILL and waits until the process has ended. ERR_IO with errno set.
NODISCARD err_t restart_kill(uint64_t pid);

struct restart {
    const char *command; // for /bin/sh, which has no terminal and a session of its own
    const struct sockaddr *address;
    socklen_t address_len;
    int version;
    const char *user_name, *password; // NULL: none
    // Set by restart_run.
    uint64_t attempts; // how often the command was run
    uint64_t broker;   // its process, when the command started it in the foreground; else 0
};

// Runs the command and waits until a CONNECT is answered with success. A command that fails is run
// again for RESTART_RETRY_S, as a service manager would. ERR_IO when none of it helps.
NODISCARD err_t restart_run(struct restart *restart);

#endif
