// epoll.h - the backend on epoll, for where io_uring is forbidden or too old.
//
// Job:    the same contract (backend.h) with epoll_wait, accept4, recv and send.
// Owner:  a worker. Thread: the worker's own, from epoll_new on.
// Memory: 16 bytes for each descriptor up to the highest that it has watched; EPOLL_AREA_BYTES for
//         what one batch receives. Limits: fs.epoll.max_user_watches.
#ifndef TERN_IO_EPOLL_H
#define TERN_IO_EPOLL_H

#include "io/backend.h"

// One receive takes up to so many bytes, a batch of events up to the area. Small receives lie close
// together in it, so that the cache holds what a tick is about.
#define EPOLL_RECV_BYTES 65536u
#define EPOLL_AREA_BYTES 262144u

// Returns new, or NULL with errno set.
struct backend *epoll_new(void);

#endif
