// trie_remote.h - what other nodes want: filters in the trie of which only fingerprints are kept.
//
// Job:    to a topic, the nodes that have a filter that matches it. What is for such a node goes to
//         whatever its handle names: an ordinary filter with the node's session for a subscriber.
//         A fingerprint that is another filter's as well costs one message that nobody there
//         wants; the node matches for itself.
// Owner:  the trie.
// Thread: as trie.h: readers (the match) under RCU, writers one at a time by the trie's mutex.
// Memory: 20 to 28 bytes a filter (prints.h), nothing before there is a node.
// Limits: TRIE_REMOTES_MAX nodes. Filters have at most REMOTE_SHAPES_MAX shapes at a time: which
//         levels are '+', how many there are, whether '#' follows; all without wildcards are one
//         shape. A match looks up one fingerprint for each shape that a topic can have, so what
//         matching costs is limited. What has one more shape, or '+' beyond level 64, is refused:
//         it can be an ordinary filter.
#ifndef TERN_CORE_TRIE_REMOTE_H
#define TERN_CORE_TRIE_REMOTE_H

#include "core/prints.h"
#include "core/trie.h"

#define TRIE_REMOTES_MAX  PRINT_OWNERS_MAX
#define REMOTE_SHAPES_MAX PRINT_KINDS_MAX

// A filter of a node's: check tells it from others with its fingerprint.
struct remote_filter {
    unsigned remote;
    struct slice text; // valid (topic.h)
    uint32_t check;
};

// A node: *ret_remote is its number until trie_remote_close. handle names an ordinary filter, which
// lives as long. ERR_FULL: there are TRIE_REMOTES_MAX.
NODISCARD err_t trie_remote_open(struct trie *trie, struct trie_handle handle,
                                 unsigned *ret_remote);
// It has no filters any more.
void trie_remote_close(struct trie *trie, unsigned remote);

// number: the shard's own for it. ERR_FULL: not one more shape. It is not there yet.
NODISCARD err_t trie_remote_add(struct trie *trie, struct rcu_reader *self,
                                const struct remote_filter *filter, uint32_t number);
bool trie_remote_find(struct trie *trie, const struct remote_filter *filter);
// False: it is not there.
bool trie_remote_remove(struct trie *trie, struct rcu_reader *self,
                        const struct remote_filter *filter, uint32_t *ret_number);
uint32_t trie_remote_count(struct trie *trie, unsigned remote);

// As in prints.h.
bool trie_remote_mark(struct trie *trie, const struct remote_filter *filter, bool *ret_first);
void trie_remote_unmark(struct trie *trie, unsigned remote);
// Takes out several at a time, of all or of those without a mark, from *place on, until it returns
// 0. Writes their numbers. In between other nodes' may change, and this one's may not.
#define REMOTE_TAKEN_MAX 2048u
uint32_t trie_remote_take(struct trie *trie, struct rcu_reader *self, unsigned remote, bool all,
                          struct prints_place *place, uint32_t numbers[REMOTE_TAKEN_MAX]);
// Adds up the checks of those in a part, below PRINTS_PARTS.
void trie_remote_sum(struct trie *trie, unsigned remote, uint32_t part, uint32_t *sum,
                     uint64_t *count);

// The node's filter that matches the topic, at *place or behind it, which moves on: its text, made
// of the topic and the shape. Returns new, NUL-terminated; NULL: no more. *place begins as 0.
char *trie_remote_matching(struct trie *trie, unsigned remote, struct slice topic, uint32_t *place);

#endif
