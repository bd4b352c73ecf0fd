// retained_nodes.h - the retained store's own structures, shared by the store and its walks.
//
// Job:    one node for each topic level, and the pins by which a walk holds on to one.
// Owner:  struct retained.
// Thread: readers follow the _Atomic pointers, under RCU; everything else belongs to the writer
//         that holds the mutex, or never changes.
// Memory: a node 80 bytes and its level, 8 to 16 in its parent's table.
// Limits: none of its own.
#ifndef TERN_CORE_RETAINED_NODES_H
#define TERN_CORE_RETAINED_NODES_H

#include <pthread.h>

#include "core/base/list.h"

#include "core/ptrtab.h"
#include "core/retained.h"

// One topic level. Children are in a table, for look-ups, and in a list, for walks. A newcomer
// enters the list at its head and nodes never move, so whoever goes on from a node to its older
// siblings meets each that stays exactly once.
struct rnode {
    struct rnode *parent;
    struct ptrtab *_Atomic kids;
    _Atomic(struct rnode *) first; // child, the newest
    _Atomic(struct rnode *) next;  // sibling, older
    struct rnode *prev;            // sibling, newer; the writer's
    _Atomic(struct msg *) msg;     // with a reference
    struct list queued;            // in store->expiring or store->emptied, or in none
    uint64_t hash;                 // of the level's text
    uint32_t len;
    _Atomic uint32_t pins; // walks that stand here
    uint8_t text[];
};

#define PINS_DEAD UINT32_MAX // unlinked, or about to be

struct retained {
    struct hash_key key;
    pthread_mutex_t mutex; // writers
    struct rnode *root;
    struct list expiring; // nodes whose message expires, in no order
    struct list emptied;  // nodes to prune that were pinned when their time came
    _Atomic uint32_t walks;
    _Atomic uint64_t count, bytes, nodes;
    _Atomic uint64_t next_order;
};

// False when the node is gone or going. Pinning and the writer's decision to unlink are changes of
// one word, so one of the two comes first and the other one fails.
static inline bool
rnode_pin(struct rnode *node)
{
    uint32_t pins = atomic_load_explicit(&node->pins, memory_order_relaxed);
    do {
        if (pins == PINS_DEAD)
            return false;
        must_hot(pins < PINS_DEAD - 1);
    } while (!atomic_compare_exchange_weak_explicit(&node->pins, &pins, pins + 1,
                                                    memory_order_acq_rel, memory_order_relaxed));
    return true;
}

static inline void
rnode_unpin(struct rnode *node)
{
    uint32_t before = atomic_fetch_sub_explicit(&node->pins, 1, memory_order_release);
    must_hot(before != 0 && before != PINS_DEAD);
}

// The child for a level, or NULL. For readers and writers.
struct rnode *rnode_child(const struct retained *store, const struct rnode *node,
                          struct slice level);
// Unlinks node, and what is above it, as far as they hold neither message nor children; one that a
// walk stands on waits in store->emptied. Under the mutex; the node is linked.
void rnode_prune(struct retained *store, struct rcu_reader *self, struct rnode *node);
void retained_lock(struct retained *store);
void retained_unlock(struct retained *store);

#endif
