// route_parts.h - between the files of route: what one shard tells another.
//
// Job:    a publication as a record in a mailbox. Owner: the shard. Thread: its worker.
// Memory: the record's; a long message goes by a reference. Limits: none here.
#ifndef TERN_CORE_ROUTE_PARTS_H
#define TERN_CORE_ROUTE_PARTS_H

#include "core/msg.h"
#include "core/shard.h"
#include "core/trie.h"

// Handles of ordinary subscriptions, then those of share groups, which lead to one member each.
struct selection {
    const struct trie_handle *handles;
    uint32_t ordinary, shares;
    uint64_t tried; // bit i: shard i had no member for it
};

// What a record begins with; ordinary + shares handles follow, then the body or its msg. The body
// is the packet as it came, or the run, or else topic, properties, payload: these stand in both in
// this order, the properties just before the payload.
struct record_head {
    uint64_t expires_ms, publisher, arrived_ms, number;
    uint64_t ticket; // the receiver answers with it; 0 = no answer is wanted
    uint64_t tried;  // for one share group that is on its way: struct selection
    struct msg *msg; // RECORD_PUBLISH_REF: with a reference; else NULL
    uint32_t topic_len, props_len, payload_at, payload_len;
    uint32_t run_payload_len; // of all packets
    uint32_t ordinary, shares;
    uint16_t count; // packets
    uint8_t form;   // of the packet (msg.h)
    uint8_t topic_at;
    uint8_t qos;
    bool retain : 1, may_wait : 1, from_node : 1;
    bool bonded : 1; // what is journaled for it reaches the disk together with the publisher's side
    uint32_t taken_us; // of one that is sampled, samples_short; 0: it is not
    uint32_t turn;     // pub's
};
_Static_assert(sizeof(struct record_head) == 104, "handles and body follow, at a multiple of 8");

// It goes to other shards by reference.
bool route_is_long(const struct pub *pub);
// Posts it, with what of the match is that shard's. ticket: 0 = no answer is wanted.
void route_post(struct shard *shard, unsigned to, struct pub *pub, uint64_t ticket,
                const struct selection *wanted);
// What was posted. *ret_pub borrows from the record, or has a reference: pub_done.
void route_record_pub(const struct spsc_record *record, struct record_head *ret_head,
                      struct pub *ret_pub);

#endif
