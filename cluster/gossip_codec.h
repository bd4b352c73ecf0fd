// gossip_codec.h - what members tell each other in a datagram.
//
// Job:    the words of membership (uuid, address, state, record, message) and their bytes, version
//         1.
// Owner:  none: decoded things borrow from the bytes. Thread: any. Memory: none.
// Limits: GOSSIP_PLAIN_MAX bytes a message; a name, metadata and a digest as below. A message is
//         taken whole or not at all: gossip_decode looks at every record before it says OK.
//
// A message: u8 version, u8 kind, u64 cluster, the sender's brief, what its kind needs, then
// records to the end. Who sends is not in it: the seal around it says so, and vouches for it.
// Integers are big-endian; a varint has seven bits a byte, lowest first, and no needless last byte.
//
// A record: u8 form (state in bits 0-1, bit 2: with details), 16 bytes uuid, varint incarnation,
// varint version, varint details version; SUSPECT: u32 accuser; DEAD, LEFT: varint age in seconds;
// details: 18 bytes address, u8 length and name, u8 length and metadata, varint digest number,
// u8 length and digest.
#ifndef TERN_CLUSTER_GOSSIP_CODEC_H
#define TERN_CLUSTER_GOSSIP_CODEC_H

#include "core/base/err.h"

#define GOSSIP_VERSION      1u
#define GOSSIP_DATAGRAM_MAX 1400u // passes every network without fragments, tunnels included
#define GOSSIP_PLAIN_MAX    1336u // what the seal leaves of it
#define GOSSIP_NAME_MAX     63u   // a DNS label, what Kubernetes calls a pod
#define GOSSIP_META_MAX     128u  // ports, version and feature bits of a node
#define GOSSIP_DIGEST_MAX   32u
#define GOSSIP_PULL_MAX     64u // uuids asked for at once
#define GOSSIP_DETAILS_MAX  (18u + 1 + GOSSIP_NAME_MAX + 1 + GOSSIP_META_MAX)
#define GOSSIP_RECORD_MAX   (1u + 16 + 10 + 5 + 5 + 5 + GOSSIP_DETAILS_MAX + 11 + GOSSIP_DIGEST_MAX)

struct gossip_uuid {
    uint8_t bytes[16];
};

struct gossip_address { // UDP and TCP; an IPv4 address as ::ffff:a.b.c.d
    uint8_t ip[16];
    uint16_t port;
};

// In the order in which they win over each other at equal (incarnation, version). LEFT a member
// says of itself, and ends its incarnation with it; or another one for it (GOSSIP_FORGET).
enum gossip_state {
    GOSSIP_ALIVE = 0,
    GOSSIP_SUSPECT = 1,
    GOSSIP_DEAD = 2,
    GOSSIP_LEFT = 3,
};

enum gossip_kind {
    GOSSIP_PING = 1,    // seq, target
    GOSSIP_RELAY = 2,   // seq, target, address: ping it for me
    GOSSIP_ACK = 3,     // seq
    GOSSIP_RELAYED = 4, // seq: the target of RELAY has answered
    GOSSIP_NACK = 5,    // seq: it has not
    GOSSIP_NOT_ME = 6,  // seq: the target of PING is not at this address, I am
    GOSSIP_ASK = 7,     // hash, count: how does your table differ?
    GOSSIP_SAME = 8,    // answers ASK: it does not
    GOSSIP_PAGE = 9,    // flags, count: records of my table
    GOSSIP_PULL = 10,   // uuids: tell me their details
    GOSSIP_RUMORS = 11,
    GOSSIP_KINDS = 12,
};

#define GOSSIP_PAGE_ANSWER 1u // send yours
#define GOSSIP_PAGE_PULLED 2u // answers PULL: what is lacking now is not pulled again

struct gossip_record {
    struct gossip_uuid uuid;
    uint64_t incarnation;     // of the process, from 1; counted on its disk at each start
    uint32_t version;         // counted by its owner within an incarnation, against false claims
    uint32_t details_version; // the version at which the details last changed
    enum gossip_state state;
    bool has_details;
    uint32_t accuser;              // SUSPECT: who says so (gossip_uuid_short)
    uint32_t age_s;                // DEAD, LEFT: for how long
    struct gossip_address address; // from here on: with has_details alone
    struct slice name, meta;
    struct slice details; // address, name and metadata as they stand in the bytes
    uint64_t digest_number;
    struct slice digest;
};

struct gossip_message {
    enum gossip_kind kind;
    uint64_t cluster;
    // The sender's brief: it lives, at this version, and has this digest.
    uint32_t version, details_version;
    uint64_t digest_number;
    struct slice digest;
    uint32_t seq;
    struct gossip_uuid target;
    struct gossip_address address;
    uint64_t hash;
    uint32_t count;
    uint8_t flags;
    struct slice pulled; // 16 bytes each
    struct slice records;
};

static inline bool
gossip_uuid_equal(const struct gossip_uuid *a, const struct gossip_uuid *b)
{
    return memcmp(a->bytes, b->bytes, sizeof a->bytes) == 0;
}

static inline bool
gossip_address_equal(const struct gossip_address *a, const struct gossip_address *b)
{
    return a->port == b->port && memcmp(a->ip, b->ip, sizeof a->ip) == 0;
}

// Enough to count who accuses a member: two in one cluster are equal once in 2^32.
uint32_t gossip_uuid_short(const struct gossip_uuid *uuid);
// Letters, digits, '-', '_', '.', at most GOSSIP_NAME_MAX: what a log line and a topic can show.
bool gossip_name_valid(struct slice name);

// Borrows from bytes. ERR_MALFORMED; ERR_PROTOCOL_VERSION: another version, as far as one can tell.
NODISCARD err_t gossip_decode(struct slice bytes, struct gossip_message *ret_message);
// The next record of a message that was decoded, borrowed from it; *rest moves behind it. False at
// the end.
bool gossip_record_next(struct slice *rest, struct gossip_record *ret_record);

// Writing: the message's head, then records; the caller knows the room by the sizes.
struct gossip_writer {
    uint8_t *at, *end;
};

// The message up to its records. There is room for GOSSIP_PLAIN_MAX bytes behind at.
void gossip_write_message(struct gossip_writer *writer, const struct gossip_message *message);
uint32_t gossip_record_size(const struct gossip_record *record);
// False, and nothing written, when there is no room. With has_details it is `details` that is
// written, not the fields that were decoded from it.
bool gossip_write_record(struct gossip_writer *writer, const struct gossip_record *record);
// Writes details as a record has them; returns the length. name is valid, meta not too long.
uint32_t gossip_write_details(uint8_t to[GOSSIP_DETAILS_MAX], const struct gossip_address *address,
                              struct slice name, struct slice meta);

#endif
