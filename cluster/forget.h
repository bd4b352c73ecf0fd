// forget.h - nodes that are said to be gone for good, though they cannot say it themselves.
//
// Job:    `ternmqctl forget`: a node that is dead, or has left, will not come again with what it
//         had. Gossip tells it to all (GOSSIP_FORGET, about.h); each node notes it in its store, so
//         that it holds as well when all were down, and ends what it keeps for that node (gone.c).
// Owner:  struct nodes. Thread: each function says.
// Memory: 64 notes of 300 bytes. Limits: a note holds for as long as gossip remembers the dead.
//
// A note is a setting of the store, CLUSTER_GONE and the uuid: u64 incarnation, u32 version, u64 ms
// since 1970 when it was forgotten, 16 bytes and u16 address, u8 length and name, u8 length and
// metadata.
#ifndef TERN_CLUSTER_FORGET_H
#define TERN_CLUSTER_FORGET_H

#include "cluster/nodes_parts.h"

struct forget *forget_new(void);
void forget_free(struct forget *forget); // takes; NULL is fine

// core/cluster.h. Waits until all of it is done here, for FORGET_WAIT_MS at most. The one thread of
// ternmqctl's.
NODISCARD err_t forget_node(struct cluster *cluster, struct slice node, bool look,
                            struct forget_view *ret_view);
// The next thing that gossip is to be told, if there is one; borrows until the next call. The
// agent's, as the next one.
bool forget_next(struct nodes *nodes, const struct gossip *gossip, struct gossip_event *ret_event);
// What gossip says of that node now.
void forget_heard(struct nodes *nodes, const struct gossip_view *view);
// Once a tick: shard 0 keeps the notes.
void forget_tick(struct nodes *nodes, struct shard *shard);
// Some node was forgotten, and may still come back with what it had. ON_ANY.
bool forget_has_some(const struct nodes *nodes);

#endif
