// session_move.h - a session on its way from one node of a cluster to another.
//
// Job:    what core does for cluster/move.h: who gets which message meanwhile, and the session's
//         state out of here, and in.
// Owner:  the session. Thread: its shard's worker. Memory: as a session's. Limits: none of its own:
//         what another node has kept is kept.
//
// A session leaves node A for node B. At B it is hidden, under two identifiers of NODE_MOVE: one
// has what came from A; the other has its subscriptions already, and what comes by them. Each shard
// of each node turns, at one moment: what its clients publish from then on has the number of the
// move, at A as at B. Of that the session at A gets nothing, and the one at B nothing else: each
// message goes to one of the two. Once all have turned, and what they sent before has come, A's
// part is complete. It goes to B, is put before what is there already, and the session shows.
#ifndef TERN_CORE_SESSION_MOVE_H
#define TERN_CORE_SESSION_MOVE_H

#include "core/cluster.h"
#include "core/record.h"
#include "core/session.h"

#define NODE_MOVE NODE_ROOT "move/"
// Numbers of moves, as they stand in identifiers of subscriptions: no share group has one of these.
#define MOVE_NUMBER_MIN (1u << NODE_GROUP_BITS)
#define MOVE_NUMBER_MAX ((1u << 28) - 1)
// NODE_MOVE, eight hexadecimal digits, '/', 'd' or 'x', '/'; the client identifier follows.
#define MOVE_ID_HEAD (sizeof NODE_MOVE - 1 + 11u)

// Of a session: leaves: it is on its way from here; left_groups: other nodes choose none of its
// share groups here any more; hidden: on its way here; arrives: of that, what comes meanwhile;
// untold: it has come, and other nodes are told once the store has it.
enum move_part {
    MOVE_DUMP = 'd',     // what came from the other node
    MOVE_ARRIVALS = 'x', // what came here meanwhile
};

// The identifier of a part, in ret, which has room for MOVE_ID_HEAD and client_id.
struct slice move_id(char *ret, uint32_t number, enum move_part part, struct slice client_id);
bool move_arrives(struct slice id); // of the second kind
// Of a hidden session: the number of its move, and the client identifier; borrows.
uint32_t move_number(const struct session *session);
struct slice move_client_id(const struct session *session);

// Is this publication for the other one of the two?
bool session_is_elsewhere(const struct session *session, const struct pub *pub);

// ---- Away

// From now on it leaves (session_subs.c); other nodes choose none of its share groups here any
// more.
void session_leave(struct session *session);
void session_leave_groups(struct session *session);
// The other node has it, safely: it ends here, and nothing comes of that.
void session_has_moved(struct session *session);
// Asks for entries of its queue from seq on, with all that has been journaled by now; the cluster's
// op `read` gets them. False: not now. Without a keeper there is none; all is in memory.
bool session_read_page(struct session *session, uint64_t seq);

// ---- Here

// An entry of the queue, as it was at the other node. Borrowed.
struct moved_entry {
    uint64_t seq;
    struct record_msg msg; // times as records have them; unused when released
    struct slice ids;      // u32 each
    uint32_t ordinal;      // of the shared subscription
    uint8_t qos;
    bool retain, released;
    bool sent; // it may have gone out
};

// A hidden session, made if need be: of that user, journaled. It stays for a day at most.
struct session *session_move_part(struct shard *shard, uint32_t number, enum move_part part,
                                  const struct record *from);
// An entry behind all that is there; what is there already stays.
void session_take_entry(struct session *session, const struct moved_entry *from);
// Entries of the second part go behind the first, `max` at most. True: there are no more.
bool session_join_parts(struct session *dump, struct session *arrivals, uint32_t max);
// Both parts become the session; the second one is empty. record: of the session as it was; its
// queue, subscriptions, number and client identifier are the parts'. received: packet identifiers,
// u16 each. Takes both. Returned borrowed, journaled.
struct session *session_show(struct session *dump, struct session *arrivals, struct record *record,
                             struct slice received);
// Ends a part without a trace.
void session_drop_part(struct session *part);

#endif
