// prints.h - fingerprints of filters, and which other nodes have them.
//
// Job:    a set of (owner, kind, fingerprint), and with each a check and a number for its owner's
//         shard. A reader asks who has a fingerprint.
// Owner:  the trie (trie_remote.c).
// Thread: prints_owners and prints_prefetch under RCU; everything else one writer at a time.
// Memory: 16 bytes a place, of which 56 to 80 % are used: 20 to 28 bytes an entry, once there are
//         thousands. It is in parts that grow one by one: the old words go after a grace period,
//         and no writer copies more than one 256th of it.
// Limits: PRINT_OWNERS_MAX, PRINT_KINDS_MAX; 2^30 entries.
//
// Two filters of one owner are one entry when kind, 53 bits of the fingerprint and the check are
// the same. For readers the check does not count: who meets the fingerprint of another filter is
// taken for one that wants the topic.
#ifndef TERN_CORE_PRINTS_H
#define TERN_CORE_PRINTS_H

#include <stdatomic.h>

#include "core/base/rcu.h"

#define PRINT_OWNERS_MAX 64u
#define PRINT_KINDS_MAX  32u
#define PRINT_CHECK_BITS 31u
#define PRINT_CHECK_MASK ((1u << PRINT_CHECK_BITS) - 1)
#define PRINTS_PARTS     256u

struct print {
    uint64_t hash;  // the 53 higher bits count
    uint32_t check; // PRINT_CHECK_BITS of it
    uint8_t owner, kind;
};

struct prints;
struct prints *prints_new(void);         // returns new
void prints_free(struct prints *prints); // takes; no reader left; NULL is fine

// Bit i: owner i has that fingerprint, of that kind. ON_ANY, under RCU.
uint64_t prints_owners(const struct prints *prints, uint64_t hash, unsigned kind);
// It is about to be asked for.
void prints_prefetch(const struct prints *prints, uint64_t hash);

// False: it is there already, with whatever number.
bool prints_add(struct prints *prints, struct rcu_reader *self, const struct print *print,
                uint32_t number);
// False: it is not there.
bool prints_find(const struct prints *prints, const struct print *print);
bool prints_remove(struct prints *prints, struct rcu_reader *self, const struct print *print,
                   uint32_t *ret_number);

// ---- All of an owner ----------------------------------------------------------------------------

// Marks are there so that what is not marked can be taken out. False: it is not there.
// *ret_first: it was not marked.
bool prints_mark(struct prints *prints, const struct print *print, bool *ret_first);
void prints_unmark(struct prints *prints, unsigned owner);

struct prints_place { // begins as {0}
    uint32_t part, slot;
};
struct prints_taken {
    uint32_t number;
    uint8_t kind;
};
// Takes out the owner's next entry from *place on, of all or of those without a mark. False: there
// is none. Between two calls nothing else is changed, or *place begins again.
bool prints_take(struct prints *prints, struct rcu_reader *self, unsigned owner, bool all,
                 struct prints_place *place, struct prints_taken *ret);

// Adds up the checks of the owner's entries in a part (below PRINTS_PARTS).
void prints_sum(const struct prints *prints, unsigned owner, uint32_t part, uint32_t *sum,
                uint64_t *count);
uint64_t prints_bytes(const struct prints *prints);

#endif
