// home.h - which node keeps the sessions of a client identifier.
//
// Job:    highest random weight (Thaler and Ravishankar, 1998) over the declared members: all nodes
//         that know the same members choose the same home, and a member that comes or goes moves
//         only the clients that are its own.
// Owner:  whoever follows the membership. Thread: any; it does not change once it is set.
// Memory: 40 bytes a member. Limits: as many members as gossip knows. A choice costs about 2 ns a
//         member.
// The key is a secret of the cluster: else clients could choose identifiers that all have one home.
#ifndef TERN_CLUSTER_HOME_H
#define TERN_CLUSTER_HOME_H

#include "core/base/hash.h"

#include "cluster/gossip.h"

#define HOME_KEPT_MS 600000u // a node that is back within ten minutes has moved nobody

struct home_table {
    struct hash_key key;
    struct home_member {
        struct gossip_uuid uuid;
        struct hash_key weight; // of this member
    } * members;
    uint32_t count, cap;
};

// Does this member have clients? It lives, or has not been gone for long.
bool home_declared(const struct gossip_view *view);
void home_clear(struct home_table *table, const struct hash_key *key);   // of members; keeps memory
void home_add(struct home_table *table, const struct gossip_uuid *uuid); // not twice
void home_free(struct home_table *table);                                // its memory
// The home, and the second one if ret_second is not NULL and there are two. False: no members.
bool home_find(const struct home_table *table, struct slice client_id, struct gossip_uuid *ret_home,
               struct gossip_uuid *ret_second);

#endif
