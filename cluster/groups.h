// groups.h - the share groups of our clients, by the numbers that other nodes say.
//
// Job:    a number for each group that has members here. It is made of the group's name, so that
//         the same group has the same one again, also in a later life: what is on its way to it is
//         for it.
// Owner:  struct nodes. Thread: its owner's.
// Memory: 16 bytes and the key for each group that has members.
// Limits: GROUPS_MAX groups.
#ifndef TERN_CLUSTER_GROUPS_H
#define TERN_CLUSTER_GROUPS_H

#include "core/cluster.h"

// Half of the numbers: so a free one is near.
#define GROUPS_MAX      524288u
#define GROUP_FIRST     2u // 1 is no group's
#define GROUP_ID_BITS   NODE_GROUP_BITS
#define GROUP_ID(route) node_group_id((uint32_t)(route))

struct group_name {
    uint32_t id; // 0: this place is free
    char *key;   // with a NUL behind it
    uint32_t key_len;
};

struct groups {
    struct group_name *table;
    uint32_t size, count;
};

void groups_free(struct groups *groups); // what is in it; a zeroed one is empty
// A group that is not there gets a number. 0: there are GROUPS_MAX.
uint32_t groups_add(struct groups *groups, struct slice key);
void groups_remove(struct groups *groups, uint32_t id);
// Its key, borrowed until it is removed. NULL: there is none.
const char *groups_find(const struct groups *groups, uint32_t id, uint32_t *ret_len);

#endif
