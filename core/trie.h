// trie.h - the shared subscription trie: which shards (later: nodes) want a topic.
//
// Job:    maps a Topic Filter to a small record: set of shards, share groups, and a handle by which
//         a shard finds its own subscriber vector. It changes only when a shard's first subscriber
//         of a filter comes or its last one goes.
// Owner:  the broker.
// Thread: readers lock-free under RCU; writers one at a time (internal mutex).
// Memory: exact filters in a flat hash, wildcard filters in the trie; what is unlinked goes after a
//         grace period. About 90 bytes a filter (README).
// Limits: TRIE_SHARDS_MAX shards; 2^26 filters and share groups; TOPIC_LEVELS_MAX levels; matching
//         is iterative.
#ifndef TERN_CORE_TRIE_H
#define TERN_CORE_TRIE_H

#include "core/base/err.h"
#include "core/base/hash.h"
#include "core/base/rcu.h"

#define TRIE_SHARDS_MAX 64 // one bit each

struct trie;

// Names a filter (or a share group of a filter) for as long as any shard holds it. A slot is
// reused; the generation tells a late entry that its filter is gone.
struct trie_handle {
    uint32_t slot;       // dense, from 0: shards index arrays with it
    uint32_t generation; // never 0
};

struct trie *trie_new(const struct hash_key *key); // returns new
void trie_free(struct trie *trie);                 // takes; no reader left; NULL is fine

// The shard has a subscriber of the filter (group.len 0), or a member of the share group. Calling
// it again for a shard that is in already only returns the handle: no change, no new version.
// Returns the handle, the same for all shards. filter is valid (topic.h). ERR_FULL at the limit of
// 2^26 slots.
NODISCARD err_t trie_add(struct trie *trie, struct rcu_reader *self, struct slice filter,
                         struct slice group, unsigned shard, struct trie_handle *ret_handle);
// Shard's last subscriber or member went. The handle may be dead afterwards.
void trie_remove(struct trie *trie, struct rcu_reader *self, struct trie_handle handle,
                 unsigned shard);
// The shard has (or no longer has) a subscriber whose session outlives its connection: what is
// published to the filter at QoS 1 or 2 is acknowledged once that shard answers for it.
void trie_durable(struct trie *trie, struct trie_handle handle, unsigned shard, bool durable);
// How many members of a share group this shard has, connected and in all. Visible to pickers at
// once, without a new version. Only the shard itself, online, calls it for its own index.
void trie_share_weight(struct trie *trie, struct trie_handle handle, unsigned shard,
                       uint32_t connected, uint32_t members);

// How many of these are other nodes'.
void trie_share_nodes(struct trie *trie, struct trie_handle handle, unsigned shard,
                      uint32_t connected, uint32_t members);

// The filter of a live handle, and its group (len 0: none). Borrowed while the calling shard holds
// the handle (between trie_add and trie_remove); needs no lock.
struct slice trie_filter(const struct trie *trie, struct trie_handle handle,
                         struct slice *ret_group);
// Has the share group a connected member on any shard? False for a dead handle.
bool trie_share_connected(struct trie *trie, struct trie_handle handle);

struct trie_share; // the group's weights; opaque

struct match_entry {
    struct trie_handle handle;
    uint64_t shards;                // bit i: shard i has subscribers; 0 for a share group
    const struct trie_share *share; // NULL: ordinary subscription
};

struct match {
    uint64_t shards;  // union over the ordinary entries
    uint64_t durable; // bit i: in shard i one of them outlives its connection
    uint32_t count;
    uint32_t shares; // how many entries have a share; they come last
    struct match_entry entries[];
};

// The shard that gets the next message of this group: proportional to connected members, or to
// members when none is connected anywhere. rotor is the caller's counter, advanced; in a full turn
// (as many calls as members) each shard is picked once for each of its members. -1 when empty.
// share comes from a match that is still good, or from one of this tick.
// without: bit i: not shard i.
// *ret_durable (may be NULL): it has a member whose session outlives its connection.
int trie_share_pick(const struct trie_share *share, uint64_t without, uint32_t *rotor,
                    bool *ret_durable);
// own: the same among members that are no other node's.
int trie_share_pick_among(const struct trie_share *share, bool own, uint64_t without,
                          uint32_t *rotor, bool *ret_durable);

// ---- Matching, with a cache per worker ------------------------------------------------------

struct match_cache;
// Keeps the results of about topics_max topics, in at most 256 bytes for each. Returns new.
struct match_cache *match_cache_new(struct trie *trie, uint32_t topics_max);
void match_cache_free(struct match_cache *cache);

// All filters that match the topic name. Never NULL; count may be 0. Borrowed until the caller's
// next rcu_quiescent or its next match_cache_get, whichever comes first. Allocates only on a miss.
const struct match *match_cache_get(struct match_cache *cache, struct slice topic);
// The same without the cache (benchmarks, tests).
const struct match *match_uncached(struct match_cache *cache, struct slice topic);

// The share group of this handle. NULL: the topic does not match it.
const struct trie_share *match_share(const struct match *match, struct trie_handle share);
// The entry of the share group with these names. False: the topic does not match it.
bool match_group(const struct match *match, struct slice filter, struct slice group,
                 struct match_entry *ret);

struct match_cache_stats {
    uint64_t hits, misses;
    uint64_t stale;    // known topics whose result had to be made again
    uint64_t bypassed; // while the cache rested because most look-ups missed
    uint64_t bytes;    // of the results kept now
};
void match_cache_stats(const struct match_cache *cache, struct match_cache_stats *ret);

struct trie_stats {
    uint64_t filters, share_groups;
    uint64_t nodes; // of the wildcard filters; the root counts
    uint64_t bytes; // asked from malloc, which rounds up
};
void trie_stats(const struct trie *trie, struct trie_stats *ret);
// Calls fn for each filter and its shards under the writer lock (SIGUSR2 dump, tests).
void trie_each(struct trie *trie,
               void (*fn)(void *arg, struct slice filter, struct slice group, uint64_t shards),
               void *arg);

#endif
