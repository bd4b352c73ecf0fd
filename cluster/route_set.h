// route_set.h - keys with a weight, in places that do not move.
//
// Job:    find, set and remove by key; walk by place; a hash of the whole that does not depend on
//         the order in which it came about.
// Owner:  a route log, or a replica. Thread: its owner's.
// Memory: each entry its key and 40 bytes.
// Limits: 2^31 entries.
#ifndef TERN_CLUSTER_ROUTE_SET_H
#define TERN_CLUSTER_ROUTE_SET_H

#include "core/base/base.h"

struct route_entry {
    uint64_t hash;
    uint8_t *key; // owned; NULL: the place is free
    uint32_t key_len, weight;
};

struct route_set {
    struct route_entry *entries;
    uint32_t places, cap; // places: that were ever used
    uint32_t free_count, free_cap;
    uint32_t *free;  // places
    uint32_t *table; // place + 1; 0: free
    uint32_t table_size;
    uint32_t count;
    uint64_t hash;
    uint64_t key_bytes; // of all keys
};

void route_set_free(struct route_set *set); // what is in it; a zeroed one is empty
// Weight 0 removes. False when that is so already.
bool route_set_put(struct route_set *set, struct slice key, uint32_t weight);
uint32_t route_set_weight(const struct route_set *set, struct slice key); // 0: not there
// What such an entry adds to the hash of a set.
uint64_t route_set_share(struct slice key, uint32_t weight);

#endif
