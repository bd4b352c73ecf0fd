// deliveries.h - messages on their way to one client: sent and unacknowledged, then queued.
//
// Job:    one ring holds both, in order: [head, sent) went out at least once, [sent, loaded) waits.
//         The packet identifier of an entry follows from its sequence number, so an acknowledgement
//         finds it at once and a redelivery has the same identifier [MQTT-4.4.0-1]. What a long
//         queue has beyond that, [loaded, tail), is on the disk alone.
// Owner:  the session. Thread: its shard's worker.
// Memory: 32 bytes an entry, ring doubled on need and given back when empty; a reference per
//         message.
// Limits: at most 65,534 entries between head and sent, so that identifiers are unique; the rest is
//         the session's policy.
#ifndef TERN_CORE_DELIVERIES_H
#define TERN_CORE_DELIVERIES_H

#include "core/msg.h"
#include "core/trie.h"

#define DELIVERIES_SPAN_MAX 65534u

enum delivery_state {
    DELIVERY_QUEUED,
    DELIVERY_SENT,     // PUBLISH went out: PUBACK or PUBREC is due
    DELIVERY_RELEASED, // PUBREC came: PUBCOMP is due
    DELIVERY_DONE,     // acknowledged or dropped; leaves when it is the oldest
};

struct delivery {
    struct msg *msg; // NULL when RELEASED or DONE; a run: then the entry is a part of it
    union {
        uint32_t id;   // with subscription_id_count <= 1
        uint32_t *ids; // owned, with more
    } subscription;
    union {
        struct trie_handle share; // generation 0: not from a shared subscription
        struct {
            uint32_t part_at;  // of a run: where its packet begins
            uint32_t no_share; // 0: stands for share's generation
        };
    };
    uint16_t subscription_id_count;
    uint8_t qos;
    uint8_t state : 2;  // enum delivery_state
    uint8_t retain : 1; // RETAIN flag to send
    uint8_t resend : 1; // was sent on an earlier connection: DUP, and expiry no longer applies
    uint32_t record;    // low half of the journal position of its ENQUEUE record, or, when it is
                        // RELEASED, of the record that says so; 0 = on the disk, or not journaled
};

_Static_assert(offsetof(struct trie_handle, generation) == 4, "a part has no share");

// Its subscription identifiers, u32 each, little-endian as the records have them. Borrowed.
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "else the identifiers must be turned");
static inline struct slice
delivery_ids(const struct delivery *entry)
{
    const uint32_t *ids =
        entry->subscription_id_count > 1 ? entry->subscription.ids : &entry->subscription.id;
    return slice_of(ids, entry->subscription_id_count * sizeof *ids);
}

// Sums over all sessions of a shard, kept by the functions below.
struct delivery_totals {
    uint64_t queued, queued_bytes, inflight;
    uint64_t on_disk; // entries there alone
};

struct deliveries {
    struct delivery_totals *totals;
    struct delivery *ring;
    uint32_t cap;      // power of two, or 0
    uint32_t inflight; // SENT or RELEASED on the present connection
    uint64_t head, sent, loaded, tail;
    uint64_t sent_before;  // entries below this may have gone out on an earlier connection
    uint64_t oldest;       // no QUEUED entry in [sent, oldest): where dropping the oldest starts
    uint32_t holes;        // DONE entries among the queued ones
    uint32_t queued;       // QUEUED entries in [sent, loaded)
    uint64_t queued_bytes; // their msg_size
    uint64_t disk_bytes;   // about: the sizes of those in [loaded, tail) as they were queued
    uint32_t disk_count;   // of them: at least their number, see deliveries_skip
};

void deliveries_init(struct deliveries *d, struct delivery_totals *totals); // borrows totals
void deliveries_free(struct deliveries *d); // releases all; reusable afterwards

static inline struct delivery *
deliveries_at(const struct deliveries *d, uint64_t seq)
{
    must_hot(seq - d->head < d->loaded - d->head);
    return &d->ring[seq & (d->cap - 1)];
}

static inline uint16_t
deliveries_packet_id(uint64_t seq)
{
    return (uint16_t)(seq % 65535u + 1);
}

// That of the entry behind.
static inline uint16_t
deliveries_next_id(uint16_t packet_id)
{
    return packet_id < 65535u ? (uint16_t)(packet_id + 1u) : 1;
}

static inline uint64_t
deliveries_seq_of(const struct deliveries *d, const struct delivery *entry)
{
    return d->head + (((uint64_t)(entry - d->ring) - d->head) & (d->cap - 1));
}

// Adds an entry in state QUEUED; takes over entry.msg's reference and entry.subscription.ids.
// Nothing is on the disk alone.
void deliveries_push(struct deliveries *d, const struct delivery *entry);
// The same for one that goes out at this moment, when nothing waits before it. Returns its place,
// borrowed until the next push or finish; the caller fills it in state SENT, QoS > 0.
struct delivery *deliveries_add_sent(struct deliveries *d);
// Adds an entry for each packet of a kept run, and takes over a reference for each: sent of them in
// state SENT, when nothing waits before them, and the others QUEUED. qos > 0.
void deliveries_add_run(struct deliveries *d, struct msg *run, uint32_t count, uint32_t sent,
                        uint8_t qos);
// The only sequence number from head on that has this packet identifier.
uint64_t deliveries_seq(const struct deliveries *d, uint16_t packet_id);
// The in-flight entry with this packet identifier, or NULL. Borrowed until the next push or finish.
struct delivery *deliveries_find(const struct deliveries *d, uint16_t packet_id);
// Ends an entry (any state but DONE): releases what it holds; moves head past what is done.
void deliveries_finish(struct deliveries *d, struct delivery *entry);
// A QUEUED or rewound entry goes out: it is SENT (or still RELEASED) and counts as in flight. QoS >
// 0.
void deliveries_mark_sent(struct deliveries *d, struct delivery *entry);
// PUBREC came: the message itself is no longer needed.
void deliveries_release(struct delivery *entry);
// Acknowledgements that came together: `acks` are packets of four bytes with an identifier at their
// end. Ends the oldest entries, one for each acknowledgement, as long as they are acknowledged in
// order and are in this state, not resent and of this QoS. Returns how many.
uint32_t deliveries_finish_oldest(struct deliveries *d, const uint8_t *acks, uint32_t count,
                                  enum delivery_state state, uint8_t qos);
// The same for PUBREC: releases entries one behind the other that are SENT at QoS 2.
uint32_t deliveries_release_row(struct deliveries *d, const uint8_t *acks, uint32_t count);
// What is sent of the entry, which has a message. Borrowed while the entry has it.
void delivery_pub(const struct delivery *entry, struct pub *ret_pub);
// The oldest QUEUED entry, or NULL.
struct delivery *deliveries_oldest(struct deliveries *d);
// The oldest QUEUED entry, dropped: releases it and closes holes, which moves entries that have no
// record. Nothing when there is none.
void deliveries_drop_oldest(struct deliveries *d);
// A new connection: everything unacknowledged is to be sent again, in order, before the rest.
void deliveries_rewind(struct deliveries *d);
// All entries that are not acknowledged, whether they went out or not. Looks at each in memory.
uint64_t deliveries_unacked(const struct deliveries *d);

// ---- What is on the disk alone ------------------------------------------------------------------

// A restored queue: entries of [first, end), all on the disk.
void deliveries_restore(struct deliveries *d, uint64_t first, uint64_t end, uint32_t count,
                        uint64_t bytes);
// An entry of this size goes to the disk alone, at d->tail.
void deliveries_push_disk(struct deliveries *d, uint32_t size);
// Keeps at most so many QUEUED entries, of so many bytes, in memory: the newer ones are on the disk
// alone from now on. All of them have been journaled. Only for a session without a connection.
void deliveries_unload(struct deliveries *d, uint32_t keep, uint64_t keep_bytes);
// The entry of place seq >= loaded came back, in state QUEUED, SENT with resend, or RELEASED with
// resend; entries in between do not exist. Takes over as deliveries_push. size: as it was queued.
void deliveries_load(struct deliveries *d, uint64_t seq, const struct delivery *entry,
                     uint32_t size);
// Nothing exists in [tail, seq); what is pushed next has this place.
void deliveries_extend(struct deliveries *d, uint64_t seq);
// Nothing exists in [loaded, seq).
void deliveries_skip(struct deliveries *d, uint64_t seq);
// The first entry that is on the disk alone is dropped.
void deliveries_skip_disk(struct deliveries *d);
// Gives up what an entry holds that was never pushed.
void delivery_release(struct delivery *entry);

static inline bool
deliveries_empty(const struct deliveries *d)
{
    return d->head == d->tail;
}

// QUEUED entries, here and on the disk.
static inline uint64_t
deliveries_waiting(const struct deliveries *d)
{
    return (uint64_t)d->queued + d->disk_count;
}

#endif
