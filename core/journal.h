// journal.h - what must survive, as records in the order in which it happened on one shard.
//
// Job:    core appends a record wherever it changes what a client relies on; whoever keeps the
// records (a
//         persist thread) takes them in batches and says up to which position they are safe; an
//         acknowledgement waits until the position of its own record is.
// Owner:  the shard. Thread: its worker.
// Memory: the records of the present batch, encoded; none while the journal is off.
// Limits: JOURNAL_BATCH_MAX bytes a batch is where a keeper should take it.
//
// Positions (LSN) count records from 1. With no keeper the journal is off: nothing is encoded,
// every append returns 0, and position 0 is always safe. That is the memory-only mode. Record: u8
// kind, u32 length of what follows, then the fields, little-endian, strings with a u32 length.
#ifndef TERN_CORE_JOURNAL_H
#define TERN_CORE_JOURNAL_H

#include "core/subs.h"

struct delivery;
struct journal;
struct msg;
struct session;

#define JOURNAL_BATCH_MAX (128u * 1024)

enum journal_kind {
    JOURNAL_SESSION = 1,  // id, number, user, expiry_s, will: made or changed
    JOURNAL_SESSION_END,  // number
    JOURNAL_SUBSCRIBE,    // number, filter, group, options, subscription id
    JOURNAL_UNSUBSCRIBE,  // number, filter, group
    JOURNAL_ENQUEUE,      // number, seq, qos, retain, identifiers, message
    JOURNAL_STATE,        // number, seq, enum delivery_state
    JOURNAL_RECEIVED,     // number, packet id of a QoS 2 PUBLISH
    JOURNAL_RELEASED,     // number, packet id
    JOURNAL_RETAIN,       // message
    JOURNAL_RETAIN_CLEAR, // topic
};

struct journal *journal_new(bool on);       // returns new
void journal_free(struct journal *journal); // takes; NULL is fine
bool journal_is_on(const struct journal *journal);

// Each returns the record's position, 0 when off. Sessions that end with their connection are not
// journaled: the caller need not ask.
uint64_t journal_session(struct journal *journal, const struct session *session);
uint64_t journal_session_end(struct journal *journal, const struct session *session);
uint64_t journal_subscribe(struct journal *journal, const struct session *session,
                           struct slice filter, struct slice group, const struct sub *sub);
uint64_t journal_unsubscribe(struct journal *journal, const struct session *session,
                             struct slice filter, struct slice group);
uint64_t journal_enqueue(struct journal *journal, const struct session *session, uint64_t seq,
                         const struct delivery *entry);
uint64_t journal_state(struct journal *journal, const struct session *session, uint64_t seq,
                       uint8_t state);
uint64_t journal_received(struct journal *journal, const struct session *session,
                          uint16_t packet_id);
uint64_t journal_released(struct journal *journal, const struct session *session,
                          uint16_t packet_id);
uint64_t journal_retain(struct journal *journal, const struct msg *msg);
uint64_t journal_retain_clear(struct journal *journal, struct slice topic);

// ---- For whoever keeps the records
// ----------------------------------------------------------------

// The records since the last take, and the position of the last one. The bytes are the taker's
// (mem_free); data NULL when there is nothing.
struct slice journal_take(struct journal *journal, uint64_t *ret_last);
// Everything up to position is safe. shard_release_acks then sends what waited for it.
void journal_set_safe(struct journal *journal, uint64_t position);
uint64_t journal_safe(const struct journal *journal);
uint64_t journal_last(const struct journal *journal);

#endif
