// ctl_server.h - the broker's side of ternmqctl, on a thread of its own.
//
// Job:    answers the lines that come by the control socket, one JSON object for each.
// Owner:  main. Thread: main's, for every function; inside, one thread. Shards answer it in steps
//         (core/control.h); no worker waits for it, or for who reads its answers.
// Memory: a request and an answer for each connection, counted in the broker's memory.
// Limits: CTL_CONNECTIONS_MAX connections; when there are so many, the oldest that has not asked
//         makes room. CTL_READ_MS for a whole request, CTL_WRITE_MS for taking an answer.
#ifndef TERN_CTL_CTL_SERVER_H
#define TERN_CTL_CTL_SERVER_H

#include "core/base/err.h"

#define CTL_CONNECTIONS_MAX 16u
#define CTL_READ_MS         10000u
#define CTL_WRITE_MS        10000u
// Of the process: connections, one more that is turned away, the socket, two wake-ups.
#define CTL_DESCRIPTORS (CTL_CONNECTIONS_MAX + 4u)

struct broker;
struct config_report;
struct ctl_server;
struct listen_set;
struct store;

// Makes the socket, as whoever the process is by now; nobody is answered yet. Returns new.
NODISCARD err_t ctl_server_open(const char *path, struct ctl_server **ret_server, char *ret_problem,
                                size_t problem_len);
// What it tells of. All are borrowed until ctl_server_free; store NULL: nothing is kept.
struct ctl_parts {
    struct broker *broker;
    const struct listen_set *listeners;
    struct store *store;
    int errand_signal; // sent to the process when main has something to do
};
// The shards exist: starts the thread. ERR_IO.
NODISCARD err_t ctl_server_start(struct ctl_server *server, const struct ctl_parts *parts);
// Nobody is answered any more, and the socket is gone. Shards may still have a question.
void ctl_server_stop(struct ctl_server *server);
// Takes; NULL is fine. The workers and the store have stopped.
void ctl_server_free(struct ctl_server *server);

// What main is asked for.
struct ctl_errand {
    bool reload;      // of the configuration
    const char *file; // else: would the broker start with this one? Borrowed until it is done
};
// False: for nothing. Then main says how it went: problem is what the report lacks.
bool ctl_server_errand(struct ctl_server *server, struct ctl_errand *ret);
void ctl_server_errand_done(struct ctl_server *server, err_t err,
                            const struct config_report *report, const char *problem);

#endif
