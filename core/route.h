// route.h - from a publication to the sessions that want it, on all shards.
//
// Job:    matches once, expands the local subscribers, sends one record to each other shard.
// Owner:  none; its scratch belongs to the shard. Thread: the shard's worker.
// Memory: scratch that grows to the largest fan-out of overlapping subscriptions.
// Limits: a record above ROUTE_INLINE_MAX goes by reference.
#ifndef TERN_CORE_ROUTE_H
#define TERN_CORE_ROUTE_H

#include "core/base/err.h"
#include "core/base/spsc.h"

#include "core/msg.h"
#include "core/session.h"
#include "core/subs.h"
#include "core/tickets.h"
#include "core/trie.h"

struct shard;
struct route_scratch;

// What a publication at QoS 1 or 2 still waits for before it is acknowledged, beside this shard's
// journal, and whether it can be.
struct route_result {
    bool matched;         // somebody, on any shard, subscribes to the topic
    enum outcome outcome; // of this shard
    uint64_t answering;   // bit i: shard i answers with the ticket, or a later one
    uint64_t ticket;      // 0 = none
};

// Messages up to this size cross shards by copy, larger ones by reference.
#define ROUTE_INLINE_MAX 8192u

// What would become of such a message for this subscriber (session_fate), and at which QoS. Nothing
// is counted. Constant.
const char *route_fate(const struct shard *shard, const struct sub *sub, const struct pub *pub,
                       uint8_t *ret_qos);

struct route_scratch *route_scratch_new(void);
void route_scratch_free(struct route_scratch *scratch);

// Stores a retained message, then delivers to every subscriber. ERR_FULL: the retained store is at
// its limit; nobody got the message.
NODISCARD err_t route_publish(struct shard *shard, struct pub *pub, struct route_result *ret);
// Stores a retained message, or clears it, and delivers nothing; other nodes are told of what comes
// from here. Errors as above. Of another node's the stamp decides: what is here may stay.
// *ret_telling, on OK: bit i: shard i, another one, journals it for another node.
NODISCARD err_t route_retain(struct shard *shard, struct pub *pub, uint64_t *ret_telling);
// What came of either, with its publisher's listener.
void route_count_unretained(struct listener_stats *counts, err_t err);
// Another node has chosen us for a share group: to one of its members, of whatever shard.
void route_publish_group(struct shard *shard, struct pub *pub, struct slice filter,
                         struct slice group, struct route_result *ret);
// The same for a run at QoS 1 or 2: route_begin, then route_run, or route_next for each message.
// Nothing else may be routed in between. Nothing of it is to be retained.
struct route_plan {
    const struct match *match; // NULL: each one has to be routed as if it had come alone
    const struct trie_handle *handles;
    uint32_t handle_count; // on this shard; the others have theirs
    struct session *only;  // they lead to this one alone; NULL: to another number
    struct delivery_spec spec;
};
void route_begin(struct shard *shard, struct pub *run, struct route_plan *ret);
// All of it at once: matched, taken, and nothing to wait for. False, and nothing done, where each
// message has to be taken for itself.
bool route_run(struct shard *shard, const struct route_plan *plan, struct pub *run);
void route_next(struct shard *shard, const struct route_plan *plan, struct pub *one,
                struct route_result *ret);
// A record of type RECORD_PUBLISH, RECORD_PUBLISH_REF or RECORD_OUTCOME from another shard.
void route_on_record(struct shard *shard, unsigned from, const struct spsc_record *record);
// Releases what an undelivered record holds (the broker ends).
void route_drop_record(const struct spsc_record *record);
// Gives a message of a share group to another member, on any shard. Counted when there is none.
// lasting: it was a durable session's; what that journals next, to give it up, reaches the disk
// together with what the other member's shard journals.
void route_redispatch(struct shard *shard, struct msg *msg, struct trie_handle share, bool lasting);

#endif
