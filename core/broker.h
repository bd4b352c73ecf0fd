// broker.h - what all shards share.
//
// Job:    the trie, the retained store, mailboxes, the configuration in force.
// Owner:  main. Thread: each field says.
// Memory: fixed after start, but for trie and retained store. Limits: TRIE_SHARDS_MAX shards.
#ifndef TERN_CORE_BROKER_H
#define TERN_CORE_BROKER_H

#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/base/rcu.h"
#include "core/base/spsc.h"

#include "core/access.h"
#include "core/config.h"
#include "core/drain.h"
#include "core/durations.h"
#include "core/rebalance.h"
#include "core/trie.h"

struct admission;
struct bans;
struct control_desk;
struct keeper;
struct retained;
struct shard;

#define BROKER_MAILBOX_BYTES (1u << 19)

struct CACHE_ALIGNED broker_sleep {
    _Atomic uint32_t sleeping; // its worker is about to wait or waits: whoever posts must wake it
    // Eventfd of the worker at which the shard is, which owns it; -1 = there is none. Stored before
    // the flag is set, loaded after it was seen.
    _Atomic int wake_fd;
};

// A shard's answers to the others' tickets (tickets.h). Written by that shard alone.
struct CACHE_ALIGNED broker_answers {
    _Atomic uint64_t ticket[TRIE_SHARDS_MAX];
};

// When a worker's loop last came round. Written by that worker alone, once a tick.
struct CACHE_ALIGNED broker_beat {
    _Atomic uint64_t ms;          // monotonic; 0: not yet
    struct durations ticks;       // how long it took, without its sleep
    struct durations late_timers; // how late a sleep ended that only the time ended
};
// While somebody looks, a worker that has nothing to do wakes as often.
#define BROKER_BEAT_MS 4000u

struct broker {
    struct hash_key key;
    struct log *log;
    struct rcu *rcu;
    struct trie *trie;
    struct retained *retained;
    struct admission *admission; // ON_ANY
    struct bans *bans;           // ON_ANY
    unsigned shard_count;
    enum io_backend io; // what the workers use; main sets it before there are any; AUTO = none yet
    struct shard *shards[TRIE_SHARDS_MAX]; // set once by each worker before the start barrier
    struct spsc *mail[TRIE_SHARDS_MAX][TRIE_SHARDS_MAX]; // [from][to]; NULL on the diagonal
    struct broker_sleep sleep[TRIE_SHARDS_MAX];
    struct broker_answers answers[TRIE_SHARDS_MAX];
    struct broker_beat beats[TRIE_SHARDS_MAX]; // by worker
    struct drain drain;
    struct rebalance rebalance;
    _Atomic uint32_t orders; // of the two: one more, and lanes have to look
    bool watched;            // somebody looks at the beats; main sets it before there are workers
    _Atomic uint32_t
        leaving;             // the move by which sessions leave for good (session_move.h); 0 = none
    struct cluster *cluster; // main's, NULL = there is one node; set before there are shards
    struct control_desk *control; // main's, NULL = nobody may ask; set before there are shards
    struct access_desk *desk;     // main's, NULL = nobody is asked; set before there are shards
    _Atomic(const struct access_rules *) access; // main replaces them; NULL = everybody may
    struct keeper *keeper; // main's, NULL = nothing is kept; set before there are shards
    _Atomic(const struct config *) config; // main replaces it; readers take it once a tick
    _Atomic uint64_t memory_max;           // budget in bytes
    _Atomic uint32_t level;                // enum governor_level
    _Atomic uint64_t next_session_number;  // identities for No Local, the journal and the log
    _Atomic uint64_t next_message;         // numbers in the journal
    _Atomic uint64_t wall_offset_ms;       // wall clock minus monotonic clock; the keeper sets it
    _Atomic int64_t certificate_ends_s;    // the first of ours to end, since 1970; INT64_MAX = none
    _Atomic uint32_t config_reload_failed; // 1: the configuration's files are not those in force
    _Atomic uint32_t tls_reload_failed;    // the same of TLS
    struct access_http_stats http_stats;   // of the HTTP service that is asked
    uint64_t access_version;               // of the rules in force; main's
    _Atomic uint32_t access_reload_failed; // the same of passwords and rules
    uint64_t started_ms;                   // monotonic
    uint64_t started_wall_ms;
};

// Returns new, without shards. config and log are borrowed for the broker's life (config until
// replaced).
struct broker *broker_new(const struct config *config, struct log *log, unsigned shard_count,
                          uint64_t now_ms, uint64_t wall_ms);
void broker_free(struct broker *broker); // takes; all shards are gone
// Takes config in force; the old one is freed after a grace period. self: the calling thread's
// reader.
void broker_set_config(struct broker *broker, struct rcu_reader *self, struct config *config);
// The same with rules; NULL = everybody may do everything. Main alone calls it.
void broker_set_access(struct broker *broker, struct rcu_reader *self, struct access_rules *rules);
// The shard on which this client identifier lives; both of another node's live on one. ON_ANY.
unsigned broker_home(const struct broker *broker, struct slice client_id);
// Connections with a session, of all shards, also those of other nodes. ON_ANY, approximate.
uint64_t broker_connected(const struct broker *broker);
// Sessions of all shards, connected or not. ON_ANY, approximate while others come and go.
uint64_t broker_sessions(const struct broker *broker);
// The shard's worker looks at its mail, its safe position and its pages. Of several that call one
// wakes it. ON_ANY.
void broker_wake(struct broker *broker, unsigned shard);
// Drain or rebalance has changed: all lanes look, also those that sleep. ON_ANY.
void broker_order(struct broker *broker);
// What to add to a monotonic time to get the wall clock's. ON_ANY.
static inline uint64_t
broker_wall_offset(const struct broker *broker)
{
    return atomic_load_explicit(&broker->wall_offset_ms, memory_order_relaxed);
}
// What its workers use, for people. ON_ANY.
static inline const char *
broker_io_name(const struct broker *broker)
{
    return broker->io == IO_BACKEND_URING ? "io_uring" : "epoll";
}
// Accounted memory of all shards, bytes. ON_ANY, approximate.
uint64_t broker_memory(const struct broker *broker);

// Every filter that is subscribed to, to the log. ON_ANY.
void broker_log_subscriptions(struct broker *broker);

#endif
