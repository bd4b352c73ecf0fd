// journal.h - what must survive, as records in the order in which it happened on one shard.
//
// Job:    core appends a record (record.h) wherever it changes what a client relies on; the keeper
//         (keeper.h) fetches them in batches and says up to which position they are safe; an
//         acknowledgement waits until the position of its own record is.
// Owner:  the shard. Thread: its worker.
// Memory: the records of the present batch, encoded, and 8 bytes for each; none while it is off.
// Limits: publishers are not read while a batch is larger than keeper->batch_pause.
//
// Positions count records from 1. With no keeper the journal is off: nothing is encoded, every
// append returns 0, and position 0 is always safe. That is the memory-only mode.
#ifndef TERN_CORE_JOURNAL_H
#define TERN_CORE_JOURNAL_H

#include "core/keeper.h"
#include "core/record.h"
#include "core/subs.h"

struct broker;
struct delivery;
struct journal;
struct msg;
struct session;

// When an entry's record has to be on the disk.
enum journal_haste {
    JOURNAL_NOW,   // somebody waits for it
    JOURNAL_SOON,  // the same, but it goes out at once to who acknowledges soon, and is done then
    JOURNAL_LATER, // nobody waits
};

// keeper NULL or not on: the journal is off. Returns new.
struct journal *journal_new(struct broker *broker, unsigned shard);
void journal_free(struct journal *journal); // takes; NULL is fine
bool journal_is_on(const struct journal *journal);

// Each returns the record's position, 0 when off. Only sessions that outlive their connection are
// journaled: the caller sees to that.
uint64_t journal_session(struct journal *journal, const struct session *session);
// What the first one journals; what is journaled of a message, but for its number. Borrow.
void journal_session_record(const struct journal *journal, const struct session *session,
                            struct record *ret);
void journal_message_record(const struct journal *journal, const struct msg *msg,
                            struct record *ret);
uint64_t journal_session_end(struct journal *journal, uint64_t number);
// i: index in session->subs.
uint64_t journal_subscribe(struct journal *journal, const struct session *session, uint32_t i);
// A node's route, which is none of these (session_routes.h): the same record.
uint64_t journal_route(struct journal *journal, const struct session *session, struct slice filter,
                       uint32_t ordinal);
uint64_t journal_unsubscribe(struct journal *journal, const struct session *session,
                             uint32_t ordinal);
// The entry is on its way to place seq of the session's queue; ordinal: of its shared subscription.
// The message goes with it when this shard has not journaled it for this publication already.
uint64_t journal_enqueue(struct journal *journal, const struct session *session, uint64_t seq,
                         const struct delivery *entry, uint32_t ordinal, enum journal_haste haste);
// PUBREC came for the entry.
uint64_t journal_entry_released(struct journal *journal, const struct session *session,
                                uint64_t seq);
// The entry is acknowledged or dropped. record: what journal_enqueue returned, its low 32 bits. If
// that has not been fetched yet it is cancelled, and neither is ever written.
void journal_entry_done(struct journal *journal, const struct session *session, uint64_t seq,
                        uint32_t record);
uint64_t journal_received(struct journal *journal, const struct session *session,
                          uint16_t packet_id);
uint64_t journal_released(struct journal *journal, const struct session *session,
                          uint16_t packet_id);
uint64_t journal_retain(struct journal *journal, const struct msg *msg);
uint64_t journal_retain_clear(struct journal *journal, struct slice topic, uint64_t order);
// The same, to be known for a while, where there are other nodes.
uint64_t journal_retain_cleared(struct journal *journal, struct slice topic,
                                const struct stamp *stamp, uint64_t order);

// A setting of the broker's own; value empty: deleted. order: see record.h.
uint64_t journal_setting(struct journal *journal, struct slice name, struct slice value,
                         uint64_t order);

// The records that follow, of one publication, reach the disk together with those of other shards
// (struct journal_bond). gave: to those shards, with this ticket; else shards is the one that gave
// it.
void journal_bond(struct journal *journal, bool gave, uint64_t ticket, uint64_t shards);

// A number for a message that is about to be journaled, here or on another shard; 0 when off.
uint64_t journal_message_number(struct journal *journal);

// The keeper's position by which everything that was journaled so far is on the disk: what stands
// in the batch is offered with the next tick.
uint64_t journal_barrier(struct journal *journal);
// Is the record of which this is the low half of the position on the disk?
bool journal_is_safe(const struct journal *journal, uint32_t record);
uint64_t journal_last(const struct journal *journal);
// All up to this position is safe, or need not be: it is done, or nobody waits for it. As of the
// last journal_poll.
uint64_t journal_safe(const struct journal *journal);
// Bytes of the present batch.
uint32_t journal_bytes(const struct journal *journal);

// ---- The tick -----------------------------------------------------------------------------------

// What has become safe meanwhile. True when the safe position moved.
bool journal_poll(struct journal *journal);
// Offers the batch to the keeper, unless all of it can wait a while; final: in any case.
void journal_offer(struct journal *journal, uint64_t now_ms, bool final);
// Until when there is something to offer (monotonic ms); UINT64_MAX: nothing.
uint64_t journal_wait_until(const struct journal *journal);

#endif
