// home.h - which of some nodes a client identifier is for.
//
// Job:    highest random weight (Thaler and Ravishankar, 1998): all nodes that know the same
//         members choose the same one, and a member that comes or goes moves only what is its own.
// Owner:  none. Thread: any. Memory: none. Limits: none; about 10 ns a member.
// The key is the same everywhere and no secret: a client that chooses its identifier chooses the
// node that publishes its Will when another node is dead (wills.c), and nothing else.
#ifndef TERN_CLUSTER_HOME_H
#define TERN_CLUSTER_HOME_H

#include "core/base/base.h"

#include "cluster/gossip.h"

// How many of the members come before this one, which is one of them: 0 = it is the chosen one.
uint32_t home_rank(const struct gossip_uuid *members, uint32_t count,
                   const struct gossip_uuid *member, struct slice client_id);

#endif
