// lane.h - a shard with all that brings it its clients: it works at one worker at a time.
//
// Job:    accepts, connections, timers of a shard, and the steps of a tick. There are as many lanes
//         as workers; each begins at its own, and they move so that one worker does the work of
//         all while it has the time (worker.c): a sleep and a wake-up across cores cost five times
//         what a message does.
// Owner:  the worker at which it is. Thread: that worker's.
// Memory: the shard, the connections. Limits: those of conn.h.
#ifndef TERN_IO_LANE_H
#define TERN_IO_LANE_H

#include "core/shard.h"
#include "io/backend.h"

struct broker;
struct conns;
struct listen_set;

struct acceptor {
    int fd;
    uint32_t listener;
    bool armed;
    struct timer timer; // while it pauses
};

struct lane {
    struct list node; // while it goes from worker to worker
    unsigned index;   // its shard's
    struct broker *broker;
    const struct listen_set *set;
    struct backend *io; // of the worker at which it is
    struct shard *shard;
    struct wheel *wheel; // connections without a client, pauses of accepting
    struct conns *conns;
    struct acceptor *acceptors;
    uint32_t acceptor_count;
    bool accepting;
    bool moving;            // is being stopped, or on its way
    uint64_t stop_by_ms;    // 0 = not stopping
    uint64_t stop_again_ms; // while it is being stopped for a move
    uint64_t patience_ms;   // how long all must be calm before it is gathered
    uint64_t left_ms;       // when it was gathered
    struct log_limit log_accept;
};

// Returns new, on the thread that will use it first. It accepts nobody before lane_open.
struct lane *lane_new(struct broker *broker, const struct listen_set *set, unsigned index,
                      struct backend *io);
// Takes what nobody will read any more, then the lane. All its connections are closed.
void lane_free(struct lane *lane);
void lane_open(struct lane *lane);

// ---- The tick, in this order --------------------------------------------------------------------

void lane_begin(struct lane *lane, uint64_t now_ms); // what has become safe
void lane_on_failure(struct lane *lane, uint32_t send_id, int32_t result);
void lane_settle(struct lane *lane); // what was sent but for the failures
void lane_on_event(struct lane *lane, const struct io_event *event);
// Mail, timers, and mail that comes of these. To be repeated in a tick, after lane_begin.
void lane_work(struct lane *lane);
void lane_flush(struct lane *lane, uint32_t send_max); // queues the sends
void lane_end(struct lane *lane);
void lane_bury(struct lane *lane); // after enter: closes what has ended
// Until when its worker may sleep (monotonic ms); 0: not at all.
uint64_t lane_wait_until(const struct lane *lane);

// ---- Moving, and the end ------------------------------------------------------------------------

// Begins to stop all operations of the kernel. The ticks go on until lane_stopped.
void lane_stop(struct lane *lane);
// Whether the backend holds nothing of it any more. After lane_settle.
bool lane_stopped(struct lane *lane);
// Goes on, stopped or not, with this worker's backend. On the new worker's thread.
void lane_resume(struct lane *lane, struct backend *io);
// No more accepts, DISCONNECT to all, until stop_by_ms.
void lane_shut_down(struct lane *lane, uint64_t stop_by_ms);

#endif
