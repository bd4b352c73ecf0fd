// run.h - one measurement: what all threads share, and its course.
//
// Job:    set up all clients, warm up, measure, drain, close; add everything up.
// Owner:  main. Thread: run_execute on the main thread; workers read the shared part, whose
//         variable fields are atomic.
// Memory: freed by run_execute. Limits: RUN_SETUP_S for connecting.
#ifndef TERN_BENCH_RUN_H
#define TERN_BENCH_RUN_H

#include <pthread.h>
#include <stdatomic.h>

#include "bench/histogram.h"
#include "bench/hosts.h"
#include "bench/ledger.h"
#include "bench/proc.h"
#include "bench/scenario.h"

#define RUN_SETUP_S      60u // without one more client becoming ready
#define RUN_FAILURE_TEXT 160u

enum phase {
    PHASE_SETUP,   // connect, subscribe
    PHASE_PREPARE, // `retained`: publish what those who come are to find
    PHASE_RUN,     // publish
    PHASE_RETURN,  // subscribers that left come back; before or after PHASE_RUN
    PHASE_DRAIN,   // no new messages; those under way arrive
    PHASE_CLEAR,   // `retained`: remove it again
    PHASE_CLOSE,   // disconnect and end
};

#define RUN_LOCKS 64u // for the ledgers of a group that several workers serve

struct client;

// Written by the subscriber's thread; of a group that several threads serve, under the run's lock.
// `reached` repeats ledger.next for the publisher's, which may be another: relaxed, because nothing
// else is read on the strength of it.
struct stream {
    CACHE_ALIGNED _Atomic uint64_t reached;
    struct ledger ledger;
    // Set in PHASE_SETUP, read from PHASE_RUN on; NULL: it is another process's.
    struct client *publisher;
};

struct run_lock {
    CACHE_ALIGNED pthread_mutex_t mutex;
};

struct run {
    const struct options *options;
    struct shape shape;
    uint32_t id; // in every topic, client identifier and payload
    // The clients are dealt out to so many workers; those of this process begin with that one.
    uint32_t workers, worker_first;
    // What is added to this machine's monotonic clock in payloads, so that agents agree.
    uint64_t clock_shift_us;
    uint64_t window; // closed loop: messages per publisher
    uint64_t burst;  // closed loop: it publishes when so many fit, at least 1
    struct hosts hosts;
    struct stream *streams;
    struct run_lock *locks; // RUN_LOCKS, by publisher
    // Stored with release by main after the three times below; workers load with acquire.
    _Atomic int phase;
    uint64_t start_us, measure_from_us, measure_to_us;
    // Stored with release by main; 0 before. From just before the broker is killed until it answers
    // again, connections may end and none begins.
    _Atomic uint64_t killed_us, restored_us;
};

// Counted by one worker, read by main at any time. One writer, so no read-modify-write is needed.
struct counters {
    _Atomic uint64_t ready;     // clients set up: connected and subscribed, and gone if they leave
    _Atomic uint64_t returned;  // connections of clients that had been set up before
    _Atomic uint64_t delivered; // messages for the first time; in `connect`: connections accepted
    _Atomic uint64_t published;
    _Atomic uint64_t expected;  // deliveries that what was published asks for
    _Atomic uint64_t commands;  // of those published
    _Atomic uint64_t present;   // comers that have begun to connect and are not gone
    _Atomic uint64_t came;      // comers that were ready, and in `retained` got everything
    _Atomic uint64_t reordered; // to one member of a group
    _Atomic uint64_t visit_missing, visit_duplicates; // `retained`
    _Atomic uint64_t drops, leaves;                   // devices without and with DISCONNECT
    _Atomic uint64_t stormed, storm_returned;
    _Atomic uint64_t handshakes, resumed; // of TLS
    _Atomic uint64_t pings;               // PINGREQ sent
    _Atomic uint64_t p99_us;              // so far
    _Atomic uint64_t acked; // PUBACK or PUBCOMP; or PUBREC and then the session was gone
    _Atomic uint64_t resent;
    _Atomic uint64_t redelivered; // QoS 2: PUBLISH with an identifier that was held
    _Atomic uint64_t sessions_found, sessions_lost; // of subscribers, on a new connection
    _Atomic uint64_t senders_found, senders_lost;   // the same of publishers
    _Atomic uint64_t open;                          // QoS handshakes not ended
    _Atomic uint64_t lost;                          // connections
    _Atomic uint64_t refused; // messages that the broker answered with an error
    _Atomic uint64_t stray;   // messages that are not of this run, or at the wrong subscriber
    _Atomic bool failed;      // the run cannot go on; the worker's failure text says why
};

static inline void
counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    atomic_store_explicit(counter, old + n, memory_order_relaxed);
}

static inline void
counter_sub(_Atomic uint64_t *counter, uint64_t n)
{
    uint64_t old = atomic_load_explicit(counter, memory_order_relaxed);
    must_hot(old >= n);
    atomic_store_explicit(counter, old - n, memory_order_relaxed);
}

static inline uint64_t
counter_read(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

// A moment: everything that is measured as a difference.
struct sample {
    uint64_t at_us;
    uint64_t delivered, published, acked, expected, came;
    uint64_t own_user_us, own_system_us; // the load generator itself
    struct proc_sample broker;           // zeroes without --broker-pid
};

// What one agent did, warm-up and drain included. NaN: means nothing in this run.
struct agent_result {
    char address[64];
    uint64_t published, delivered, acked, duplicates, reordered, stray, lost;
    double missing; // NaN where publishers and subscribers are on different agents
    double own_cpu_percent;
    double latency_p99_us, lateness_p99_us;
    // Its clock is that much before the coordinator's, give or take; and by so much more at the
    // end.
    int64_t clock_offset_us, clock_drift_us;
    uint64_t clock_uncertainty_us;
};

#define RUN_AGENTS_MAX 256u

// What the streams of one process say. Where the publisher of a stream is another process's, what
// came is counted as from elsewhere, and by that other process as missing.
struct tally {
    uint64_t missing, from_elsewhere;
    uint64_t duplicates, reordered, across;
    uint64_t invented;   // never sent
    uint64_t unpromised; // neither acknowledged nor delivered
    uint64_t wills_missing, wills_from_elsewhere, wills_unexpected;
};

struct result {
    struct tally tally; // of all streams; what follows is made of it and the counters
    struct sample before, connected, from, to; // before setup; after it; the measured window
    uint64_t published, delivered;             // in all, with warm-up and drain
    uint64_t missing, duplicates, reordered, stray, refused, lost, open;
    uint64_t acked, unpromised; // unpromised: neither acknowledged nor delivered
    uint64_t resent, redelivered;
    uint64_t sessions_found, sessions_lost, senders_found, senders_lost;
    uint64_t across;                               // shared: out of order between members, no fault
    uint64_t commands, drops, leaves, pings, came; // in all
    uint64_t handshakes, resumed;                  // of TLS, in all
    uint64_t wills_missing, wills_unexpected;
    uint64_t stuck;                // comers that the broker did not answer to the end
    uint64_t stormed, away;        // devices: dropped by the storm; dropped and not back at the end
    uint64_t visit_duplicates;     // retained messages that came twice on one visit
    struct sample full;            // offline-queue: all is enqueued; recover: all sessions stand
    uint64_t set_up_us;            // from the first connection until the last client was set up
    uint64_t enqueue_us, drain_us; // offline-queue
    uint64_t outage_us;            // from SIGKILL until a CONNECT was answered; 0 without
    uint64_t restart_us;           // of it from the beginning of the restart command
    uint64_t restart_attempts;     // more than one: the command failed before
    uint64_t broker_pid;           // at the end; 0 = not known
    struct histogram latency;      // of messages due in the window
    struct histogram ack_latency;  // durable scenarios: the same until PUBACK or PUBCOMP
    struct histogram command_latency, come_latency; // as worker.h says
    struct histogram lateness; // open loop: how late the load generator itself sent
    struct agent_result agents[RUN_AGENTS_MAX];
    uint32_t agent_count; // 0: the run was this process's alone
    char failure[RUN_FAILURE_TEXT];
};

// ERR_IO with result->failure set when the run was not possible.
NODISCARD err_t run_execute(const struct options *options, struct result *ret_result);
// Messages that the broker acknowledged and did not deliver.
uint64_t run_lost_acknowledged(const struct result *result);
// Whether the broker kept what it promised at this QoS.
bool run_good(const struct options *options, const struct result *result);

#endif
