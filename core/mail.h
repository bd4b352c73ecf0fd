// mail.h - records from this shard to others.
//
// Job:    puts a record into the other shard's mailbox, or, when that is full, into an outbox of
//         the sender that shard_post empties; the order between two shards is kept.
// Owner:  the sending shard. Thread: its worker. Memory: outboxes, counted in outbox_bytes.
// Limits: none here: publishers are not read while outbox_bytes is high.
#ifndef TERN_CORE_MAIL_H
#define TERN_CORE_MAIL_H

#include "core/base/spsc.h"

struct shard;

// Room for a record that the caller fills before it does anything else. Never NULL.
void *mail_reserve(struct shard *shard, unsigned to, uint16_t type, uint32_t len);
// Is that shard at this thread, and has it taken all that was sent to it? Then what is given to it
// directly does not overtake anything.
bool mail_is_beside(const struct shard *shard, unsigned to);
// Outboxes to mailboxes as far as there is room; publishes; notes in wake_shards who must be woken.
void mail_post(struct shard *shard);
// A record of type RECORD_PARCEL stands for one that was too long for the mailbox: the receiver
// opens it, uses what is in it, and closes it.
void mail_open_parcel(const struct spsc_record *record, struct spsc_record *ret_record);
void mail_close_parcel(const struct spsc_record *opened); // takes
// Outboxes, made and freed with the shard.
void mail_init(struct shard *shard);
void mail_drop(struct shard *shard);
// Releases what undelivered records hold, when no worker is left.
void mail_drop_queue(struct spsc *q);

#endif
