// msg.h - an Application Message, immutable, in wire form, counted.
//
// Job:    one allocation per message whatever its fan-out: topic, forwarded properties, payload.
// Owner:  reference counted. Contents never change.
// Thread: one shard's, until msg_share; then any may hold and release references.
// Memory: sizeof(struct msg) + topic + properties + payload, and of a retained message who
//         published it, where there are rules for that, and when, where there are other nodes.
// Limits: the maximum packet size bounds the body.
#ifndef TERN_CORE_MSG_H
#define TERN_CORE_MSG_H

#include <stdatomic.h>

#include "core/base/base.h"

#define MSG_MAGIC 0x4d534721u

struct msg {
    uint32_t magic;
    _Atomic uint32_t refs;
    uint64_t expires_ms;     // monotonic deadline of the Message Expiry Interval; 0 = never
    uint64_t publisher;      // session number of the publisher, for No Local; 0 = the broker
    uint64_t arrived_ms;     // monotonic
    _Atomic uint64_t number; // in the journal, of whatever shard; 0 = not there (journal.h)
    union {
        uint64_t order;    // as retained message: later ones are higher (retained.h)
        uint64_t taken_us; // of one that is sampled, and so not retained (samples.h)
    };
    uint32_t props_len, payload_len;
    uint32_t source_len; // 0 = it does not matter who published it
    uint16_t topic_len;
    uint8_t qos;     // as published
    bool retain : 1; // RETAIN flag as published
    bool shared : 1; // other threads may have references
    bool run : 1;    // several messages: a run that is kept as it came (below)
    bool run_v5 : 1; // its packets have properties: none
    bool sampled : 1;
    uint8_t bytes[]; // topic, properties (codec_forward_props form), payload, source (msg.c)
};
_Static_assert(sizeof(struct msg) == 64, "there is one for each message that waits");

// When a topic's retained message was set or cleared, for all nodes of a cluster: of two changes
// the later one is the topic's, wherever they meet.
#define STAMP_NODE_LEN 16u
struct stamp {
    uint64_t at; // wall clock of the node that accepted it, in ms, and 16 bits that count; 0: none
    uint8_t node[STAMP_NODE_LEN];
};

static inline bool
stamp_is_later(const struct stamp *a, const struct stamp *b)
{
    return a->at != b->at ? a->at > b->at : memcmp(a->node, b->node, STAMP_NODE_LEN) > 0;
}

// Who published a retained message: whether he still may is asked when it is sent. And its stamp.
struct msg_source {
    struct slice user;      // data NULL = none
    struct slice client_id; // len 0: it does not matter who
    uint16_t port;          // of the listener that he came by; 0 = not known
    struct stamp stamp;
};

// A PUBLISH packet as receivers of one form get it, but for its first byte and packet identifier.
// It may be a run: packets that differ in payload and packet identifier alone, one behind the
// other.
struct pub_packet {
    const uint8_t *bytes;
    uint32_t len;
    uint32_t payload_len; // of all its packets
    uint32_t id_at;       // where the packet identifier is, in forms that have one
    uint16_t count;       // packets; more than one: a run
    uint8_t form;         // of the receivers whom it suits (packet_form); 0: there is none
};

#define PACKET_ANY 1u
#define PACKET_V5  2u // with properties
#define PACKET_ID  4u // with a packet identifier
#define PACKET_SAMPLED \
    8u // none of a receiver: each is written one of its own, and timed (samples.h)
static inline uint8_t
packet_form(bool version_5, uint8_t qos)
{
    return (uint8_t)(PACKET_ANY | (version_5 ? PACKET_V5 : 0) | (qos > 0 ? PACKET_ID : 0));
}

// A run is no longer than this, so that what is decided once for it is decided often, and that a
// packet's length has at most two bytes.
#define RUN_BYTES_MAX 16383u

// The size of a packet of a run.
static inline uint32_t
packet_size(const uint8_t *packet)
{
    if (likely(packet[1] < 0x80))
        return 2u + packet[1];
    must_hot(packet[2] < 0x80);
    return 3u + (packet[1] & 0x7fu) + ((uint32_t)packet[2] << 7);
}

// The packet that the first of several receivers was written, for those whom it suits as well.
#define PUBLISH_COPY_MAX 512u
struct publish_copy {
    struct pub_packet packet;
    uint8_t bytes[PUBLISH_COPY_MAX];
};

// A publication on its way through one worker: borrows its bytes (receive buffer, mailbox, msg).
struct pub {
    struct slice topic, props, payload;
    uint64_t expires_ms, publisher, arrived_ms;
    uint64_t number; // in the journal; 0 = none yet
    uint8_t qos;
    bool retain;
    bool bonded;   // what is journaled for it, on whatever shard, is on the disk at once (keeper.h)
    bool may_wait; // its publisher cannot be refused: a full queue slows it instead (session.h)
    bool from_node;           // another node has sent it, to all nodes that want it
    uint32_t turn;            // its shard had turned for this move (session_move.h); 0 = for none
    struct pub_packet packet; // as it came, where it may go on so; payload is that of a run's first
    const struct msg_source *source; // borrowed; NULL: it does not matter. Only with retain
    struct msg *msg; // NULL until somebody must keep it; owned by this pub: pub_done releases
    struct publish_copy *copy; // borrowed; NULL: one receiver, or not known to be more
};

static inline bool
pub_is_run(const struct pub *pub)
{
    return pub->packet.count > 1;
}
// For the packets of a run one after the other: what they have in common.
struct pub pub_one_of(const struct pub *run);
// Takes the first packet off the run, until there is none left. one: of pub_one_of, and done with.
bool pub_next(struct pub *run, struct pub *one);

struct msg *msg_new(const struct pub *pub); // returns new, one reference; copies
struct msg *msg_ref(struct msg *msg);       // returns the same, one more reference
struct msg *msg_share(struct msg *msg);     // the same, for a reference that goes to another thread
void msg_unref(struct msg *msg);            // takes one reference; NULL is fine
size_t msg_size(const struct msg *msg);     // bytes allocated
// False: it does not matter who published it. Borrows from msg.
bool msg_source(const struct msg *msg, struct msg_source *ret);
struct stamp msg_stamp(const struct msg *msg); // at 0: it has none

// The pub's message, made on first need. Borrowed: msg_ref it to keep it.
struct msg *pub_msg(struct pub *pub);
// The same with a reference of the caller's own.
struct msg *pub_msg_ref(struct pub *pub);
void pub_done(struct pub *pub);
// A run at QoS 1 or 2 as one piece, made on first need, which stays until none of its messages is
// needed: count references of the caller's own, one for each packet. Each packet is a part, which
// begins at bytes `at` behind the first one.
struct msg *pub_run_ref(struct pub *run, uint32_t count);
uint32_t msg_part_next(const struct msg *run, uint32_t at); // where the part behind it begins
size_t msg_part_size(const struct msg *run, uint32_t at);   // msg_size, if it were alone
// As pub_borrow. What it is made of is short, so that nobody needs a message of it.
void pub_borrow_part(struct pub *ret_pub, const struct msg *run, uint32_t at);
// A pub that lives by the caller's reference to msg: without pub_done.
void pub_borrow(struct pub *ret_pub, struct msg *msg);
// A pub that borrows from msg, and holds a reference of its own until pub_done.
void pub_from_msg(struct pub *ret_pub, struct msg *msg);

static inline struct slice
msg_topic(const struct msg *msg)
{
    return slice_of(msg->bytes, msg->topic_len);
}

static inline struct slice
msg_props(const struct msg *msg)
{
    return slice_of(msg->bytes + msg->topic_len, msg->props_len);
}

static inline struct slice
msg_payload(const struct msg *msg)
{
    return slice_of(msg->bytes + msg->topic_len + msg->props_len, msg->payload_len);
}

#endif
