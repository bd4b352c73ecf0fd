// tickets.h - acknowledgements that wait for other shards.
//
// Job:    a publication for sessions on other shards that outlive their connections carries a
//         ticket; each of these shards answers when what it journaled for it is safe.
// Owner:  the shard. Thread: its worker; the answers are words in the broker, one for each ordered
//         pair of shards, written by the answering one.
// Memory: 24 bytes for each answer that waits for the journal, and for each outcome that was not
//         plain; 32 for each publication whose publisher has lost its connection meanwhile.
// Limits: none here: publishers have what waits for acknowledgement under way.
//
// Tickets of a shard go up by one, and another shard takes its mail in order, so an answer with one
// ticket stands for all earlier ones. What is more than "taken" comes as a record before it, and is
// there when the answer is: the publisher's shard reads the answers first and its mail second.
#ifndef TERN_CORE_TICKETS_H
#define TERN_CORE_TICKETS_H

#include "core/base/spsc.h"

struct broker;
struct shard;
struct tickets;

// Answers that an acknowledgement waits for.
struct awaited {
    uint64_t shards; // bit i: shard i has answered with the ticket, or a later one
    uint64_t ticket; // 0 = none
};

// What became of a publication, the worst over its sessions.
enum outcome {
    OUTCOME_TAKEN,   // queued, sent, or nobody was promised it
    OUTCOME_SLOWED,  // a queue is full, and its publisher cannot be told: it shall wait
    OUTCOME_REFUSED, // a queue is full: the publisher is told
};

struct tickets *tickets_new(unsigned shard_count); // returns new
void tickets_free(struct tickets *tickets);        // takes; NULL is fine

// ---- The publisher's shard ----------------------------------------------------------------------

uint64_t tickets_next(struct shard *shard);
// Reads the answers; before the mail is drained. True when there are new ones.
bool tickets_poll(struct shard *shard);
// Are there new answers since the last poll?
bool tickets_pending(const struct shard *shard);
// Have all these shards answered?
bool tickets_answered(const struct shard *shard, uint64_t shards, uint64_t ticket);
// What they said beyond "taken". Forgets it.
enum outcome tickets_outcome(struct shard *shard, uint64_t ticket);
// A record of type RECORD_OUTCOME.
void tickets_on_outcome(struct shard *shard, const struct spsc_record *record);
// No acknowledgement waits any more.
void tickets_forget(struct shard *shard);

// The connection that waited for these answers is gone. session: has the packet identifier of a
// QoS 2 message under way, and loses it again should the message be refused; NULL: nobody does.
struct session;
void tickets_abandon(struct shard *shard, struct session *session, uint16_t packet_id,
                     const struct awaited *awaited);
// The session has sent that message again, and waits on. False: nothing is to be waited for.
bool tickets_reclaim(struct shard *shard, const struct session *session, uint16_t packet_id,
                     struct awaited *ret_awaited);
// Sees to answers that nobody but us waits for; shard->unsettled are still to come.
void tickets_settle(struct shard *shard);
void tickets_session_ended(struct shard *shard, const struct session *session);

// ---- The answering shard ------------------------------------------------------------------------

// A publication was taken; the answer goes out once what is journaled now is safe.
void tickets_owe(struct shard *shard, unsigned to, uint64_t ticket, enum outcome outcome);
// Are there answers still to give?
bool tickets_owed(const struct shard *shard);
// Sends the answers whose time has come; notes in shard->wake_shards who must look.
void tickets_pay(struct shard *shard);

#endif
