// trie_remote_match.h - other nodes' filters, for the trie and its matcher.
//
// Job:    which nodes a topic is for, and what leads to them.
// Owner:  struct trie. Thread: readers, under RCU. Memory, Limits: trie_remote.h's.
#ifndef TERN_CORE_TRIE_REMOTE_MATCH_H
#define TERN_CORE_TRIE_REMOTE_MATCH_H

#include "core/trie_nodes.h"

// Bit i: node i has a filter that matches the topic of these levels. dollar: it begins with '$'.
uint64_t trie_remote_nodes(const struct trie *trie, const struct remotes *remotes,
                           const uint64_t *keys, uint32_t count, bool dollar);
// What leads to that node; NULL: it is just gone.
const struct filter *trie_remote_filter(const struct remotes *remotes, unsigned remote);
void trie_remote_free(struct trie *trie); // all of it, no reader left

#endif
