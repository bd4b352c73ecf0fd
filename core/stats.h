// stats.h - counters: one set per shard, and one for each listener on each shard.
//
// Job:    what happened, cheaply. What can be told of a listener is counted for it, and there
//         alone: the broker's figure is the sum of all (core/figures.c).
// Owner:  the shard; it alone writes. Thread: any may read.
// Memory: 8 bytes a counter and shard, 192 a listener and shard.
// Limits: none; counters never go back, gauges do.
#ifndef TERN_CORE_STATS_H
#define TERN_CORE_STATS_H

#include <stdatomic.h>

#include "core/base/base.h"

// clang-format off
#define STATS_TABLE(X)                                                                             \
    /* connections */                                                                              \
    X(sockets_opened)        X(connections_accepted)   X(connections_refused)                      \
    X(connect_timeouts)      X(keep_alive_timeouts)    X(takeovers)                                \
    X(malformed_packets)     X(protocol_errors)        X(handovers)                                \
    X(tls_handshakes)        X(tls_resumed)            X(tls_failures)                             \
    X(handshake_timeouts)    X(upgrades_refused)       X(proxies_refused)                          \
    X(handshakes_refused)                                                                          \
    /* what was refused, by the limit; those of connections and CONNECTs are in                    \
       connections_refused, too */                                                                 \
    X(refused_max_connections) X(refused_per_address)  X(refused_descriptors)                      \
    X(refused_connect_rate)  X(refused_banned)         X(refused_sessions)   X(refused_memory)     \
    X(refused_subscriptions) X(refused_topic_levels)   X(login_failures)     X(bans_made)          \
    X(refused_draining)                                                                            \
    /* who was sent to other nodes: told which (0x9C); to have no more clients here than there */  \
    X(referred)              X(rebalanced)                                                         \
    /* gauges */                                                                                   \
    X(handshakes_pending)                                                                          \
    X(clients_connected)     X(sessions)               X(sessions_expired)                         \
    X(subscriptions)         X(shared_subscriptions)                                               \
    X(messages_queued)       X(messages_queued_bytes)  X(messages_inflight)  X(memory_bytes)       \
    /* between shards */                                                                           \
    X(posted)                X(posts_taken)                                                        \
    /* what was not delivered, or was late; a share group's is no client's */                      \
    X(dropped_no_member)                                                                           \
    X(queued_over_limit)     X(rate_pauses_in)         X(rate_pauses_out)    X(withheld)           \
    X(publish_refused)       X(subscribe_refused)      X(disconnected_slow)  X(reads_paused)       \
    X(pages_loaded)                                                                                \
    X(wills_published)                                                                             \
    /* who may come, and do what */                                                                \
    X(access_asked)          X(access_refused_busy)    X(access_refused)     X(access_expired)     \
    X(access_reviewed_out)

// Of a listener's clients.
#define TRAFFIC_TABLE(X)                                                                           \
    X(packets_received)      X(publish_received)       X(publish_bytes_received)                   \
    X(packets_sent)          X(publish_sent)           X(publish_bytes_sent)                       \
    X(bytes_received)        X(bytes_sent)

// What was not delivered to them, or was not taken from them, by reason.
#define DROPS_TABLE(X)                                                                             \
    X(dropped_queue_full)    X(dropped_slow_consumer)  X(dropped_expired)    X(dropped_too_large)  \
    X(dropped_memory)        X(dropped_offline_qos0)   X(dropped_not_allowed)                      \
    X(dropped_retained_full) X(dropped_session_end)    X(dropped_disk)       X(dropped_rate)
// clang-format on

struct stats {
#define X(name) _Atomic uint64_t name;
    STATS_TABLE(X)
#undef X
};

// Of one listener, on one shard. Each client has the address of its own (client.h), so that to
// count for a listener takes no more than to count for the shard.
struct CACHE_ALIGNED listener_stats {
    uint64_t sample_next; // the publication that is timed (samples.h); the shard's worker's alone
#define X(name) _Atomic uint64_t name;
    TRAFFIC_TABLE(X)
    DROPS_TABLE(X)
#undef X
    _Atomic uint64_t opened;  // connections
    _Atomic uint64_t refused; // connections and CONNECTs, for any reason
};

// Only the owner calls these: a plain load and store, no locked instruction.
static inline void
stat_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

static inline void
stat_sub(_Atomic uint64_t *counter, uint64_t n)
{
    stat_add(counter, (uint64_t)0 - n);
}

static inline uint64_t
stat_get(const _Atomic uint64_t *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

#endif
