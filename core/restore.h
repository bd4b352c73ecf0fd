// restore.h - what the keeper found on the disk, put back before the shard serves anybody.
//
// Job:    sessions with their subscriptions and QoS 2 identifiers, and retained messages. Queues
//         stay on the disk; a session knows how much of it there is and asks for pages.
// Owner:  the shard, the retained store. Thread: the shard's worker; retained: any online one.
// Memory: as sessions made by clients. Limits: none: what was stored is taken back.
#ifndef TERN_CORE_RESTORE_H
#define TERN_CORE_RESTORE_H

#include "core/base/rcu.h"

#include "core/record.h"

struct broker;
struct session;
struct shard;

// The entries of a session in the state.
struct restored_queue {
    uint64_t first, end; // lowest sequence number; one past the highest; 0, 0 = none
    uint32_t count;
    uint64_t bytes; // sum of their record.size
};

// Is it this shard's? The client identifier decides.
bool restore_is_here(const struct shard *shard, const struct record *session);
// A session that was there when the last process ended, however that ended. Sessions come in the
// order of their numbers. Returned borrowed, for the calls below, which come before restore_done.
// wall_ms: now.
struct session *restore_session(struct shard *shard, const struct record *record,
                                const struct restored_queue *queue);
void restore_subscription(struct session *session, const struct record *record);
void restore_received(struct session *session, uint16_t packet_id);
// Its deadlines run from here on; one that has passed fires in the first tick.
void restore_done(struct session *session, const struct record *record, uint64_t wall_ms);

// A retained message. reader: the caller's, online.
void restore_retained(struct broker *broker, struct rcu_reader *reader, const struct record *record,
                      uint64_t now_ms, uint64_t wall_ms);

#endif
