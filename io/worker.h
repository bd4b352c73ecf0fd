// worker.h - a thread, a ring or an epoll set, a shard: the loop that moves everything.
//
// Job:    accepts, receives, drives the shard's tick, sends, sleeps.
// Owner:  main. Thread: worker_new/start/stop/free from main; the loop is the worker's own thread.
// Memory: its backend's (io/uring.h, io/epoll.h), the connections.
// Limits: descriptors of the process; max_connections; the backend's buffers.
#ifndef TERN_IO_WORKER_H
#define TERN_IO_WORKER_H

#include "core/base/err.h"

#include "core/broker.h"

struct worker;

// What the kernel lets us use; probed once at start, logged by main.
struct worker_features {
    enum io_backend io; // URING or EPOLL
    char text[160];     // "io_uring: deferred task running, ..."
    char warning[256];  // why it is epoll with `auto`, and what to do about it; "" = nothing
};
// With AUTO and URING, io_uring is asked for; with EPOLL it is not touched. False: the broker
// cannot run here as asked; text then says why and what to do about it (one clear line: the seccomp
// profile for ENOSYS and EPERM, the kernel's version for missing features).
bool worker_probe(enum io_backend asked, struct worker_features *ret);

// Listening sockets are opened before any privilege is dropped and before workers start: one per
// worker and TCP listener (SO_REUSEPORT), one per unix socket (worker 0 accepts). ERR_IO:
// ret_problem names the address and the reason.
struct listen_set;
NODISCARD err_t listen_open(const struct config *config, unsigned workers,
                            struct listen_set **ret_set, char *ret_problem, size_t problem_len);
void listen_close(struct listen_set *set); // takes; unlinks unix sockets; NULL is fine

// What the worker's thread does with its new shard before it serves anybody: sessions are put back.
// False: the worker does not start.
struct shard;
typedef bool (*worker_load_fn)(void *arg, struct shard *shard);

// Returns new; its backend, as broker->io says, is made on the worker's own thread. listen_set is
// borrowed. load may be NULL.
struct worker *worker_new(struct broker *broker, const struct listen_set *set, unsigned index,
                          worker_load_fn load, void *load_arg);
// Starts the thread; returns when its shard exists and its backend works, or ERR_IO.
NODISCARD err_t worker_start(struct worker *worker);
// Asks the thread to stop gracefully: no more accepts, DISCONNECT 0x8B, flush, close. ON_ANY,
// async.
void worker_stop(struct worker *worker);
// Wakes a sleeping worker (after a configuration change). ON_ANY.
void worker_wake(struct worker *worker);
void worker_join(struct worker *worker); // waits for the thread
void worker_free(struct worker *worker); // takes; joined

#endif
