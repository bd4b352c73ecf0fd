// broker.h - what all shards share.
//
// Job:    the trie, the retained store, mailboxes, the configuration in force.
// Owner:  main. Thread: each field says. Memory: fixed after start, but for trie and retained
// store. Limits: TRIE_SHARDS_MAX shards.
#ifndef TERN_CORE_BROKER_H
#define TERN_CORE_BROKER_H

#include <stdatomic.h>

#include "core/base/hash.h"
#include "core/base/rcu.h"
#include "core/base/spsc.h"

#include "core/config.h"
#include "core/trie.h"

struct retained;
struct shard;

#define BROKER_MAILBOX_BYTES (1u << 19)

struct CACHE_ALIGNED broker_sleep {
    _Atomic uint32_t sleeping; // its worker is about to wait or waits: whoever posts must wake it
};

struct broker {
    struct hash_key key;
    struct log *log;
    struct rcu *rcu;
    struct trie *trie;
    struct retained *retained;
    unsigned shard_count;
    struct shard *shards[TRIE_SHARDS_MAX]; // set once by each worker before the start barrier
    struct spsc *mail[TRIE_SHARDS_MAX][TRIE_SHARDS_MAX]; // [from][to]; NULL on the diagonal
    struct broker_sleep sleep[TRIE_SHARDS_MAX];
    _Atomic(const struct config *) config; // main replaces it; readers take it once a tick
    _Atomic uint64_t memory_max;           // budget in bytes
    _Atomic uint64_t next_session_number;  // identities for No Local and the log
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
// The shard on which this client identifier lives. ON_ANY.
unsigned broker_home(const struct broker *broker, struct slice client_id);
// Sessions of all shards, connected or not. ON_ANY, approximate while others come and go.
uint64_t broker_sessions(const struct broker *broker);
// Accounted memory of all shards, bytes. ON_ANY, approximate.
uint64_t broker_memory(const struct broker *broker);

#endif
