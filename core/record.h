// record.h - journal records: what must survive, in bytes.
//
// Job:    one struct for all kinds; to bytes and back. The same records make the journal, the log
//         on disk and what an import brings.
// Owner:  none. Thread: any. Memory: decoding borrows from the bytes.
// Limits: RECORD_BYTES_MAX a record.
//
// Wire form: u8 kind, u32 length of what follows, then the kind's fields as record.c lists them,
// little-endian; a text is a u32 length and its bytes. Times are wall clock, in ms since 1970.
// Sessions and messages go by numbers that are never used again, also not by a later process.
#ifndef TERN_CORE_RECORD_H
#define TERN_CORE_RECORD_H

#include "core/base/err.h"

#include "core/msg.h"

#define RECORD_HEAD      5u // kind and length
#define RECORD_BYTES_MAX (UINT32_C(1) << 30)

enum journal_kind {
    JOURNAL_VOID = 0,          // cancelled before it was taken: never reaches the disk
    JOURNAL_SESSION = 1,       // session, id, user ...: made or changed
    JOURNAL_SESSION_END = 2,   // session
    JOURNAL_SUBSCRIBE = 3,     // session, ordinal, options, subscription_id, filter, group
    JOURNAL_UNSUBSCRIBE = 4,   // session, ordinal
    JOURNAL_MESSAGE = 5,       // message, msg: before the ENQUEUE records that name it
    JOURNAL_ENQUEUE = 6,       // session, seq, message, size, qos, retain, ordinal, ids
    JOURNAL_STATE = 7,         // session, seq, state
    JOURNAL_RECEIVED = 8,      // session, packet_id: a QoS 2 PUBLISH was taken
    JOURNAL_RELEASED = 9,      // session, packet_id: its PUBREL came
    JOURNAL_RETAIN = 10,       // order, msg; id, user and port of who published it, stamp; without
                               // a payload: it was cleared, which other nodes are to know
    JOURNAL_RETAIN_CLEAR = 11, // order, msg.topic
    JOURNAL_SETTING = 12,      // order, msg.topic: its name, msg.payload: its value; empty: deleted
    JOURNAL_KINDS
};

// What the broker itself keeps (dynamic security), by name.
#define RECORD_SETTING_NAME_MAX 480u // bytes: a key of the state has room for it

// STATE: what became of an entry of a session's queue.
enum entry_state {
    ENTRY_RELEASED = 1, // PUBREC came: the message is no longer needed, PUBCOMP is due
    ENTRY_DONE = 2,     // acknowledged or dropped: the entry goes
};

struct record_msg {
    uint64_t expires_ms; // 0 = never; a Will's: relative, as asked for, in ms
    uint64_t arrived_ms;
    uint64_t publisher; // session number, for No Local; 0 = the broker
    uint8_t qos;        // as published
    bool retain;        // RETAIN flag as published
    struct slice topic, props, payload;
};

#define RECORD_NEVER UINT64_MAX

struct record {
    uint8_t kind;                       // enum journal_kind
    uint64_t session, seq;              // seq: place in the session's queue
    uint64_t message;                   // number of the message
    uint64_t order;                     // retained, SETTING: the later of two changes is higher
    struct record_msg msg;              // MESSAGE, RETAIN, RETAIN_CLEAR, SETTING; SESSION: the Will
    struct slice id, user;              // SESSION, RETAIN; user.data NULL = none
    uint16_t port;                      // RETAIN: of the listener; 0 = not known
    struct stamp stamp;                 // RETAIN; at 0 = none
    uint8_t version;                    // SESSION: enum mqtt_version
    bool connected;                     // SESSION: it has a connection
    bool has_will;                      // SESSION
    uint32_t expiry_s;                  // SESSION: Session Expiry Interval
    uint64_t expires_ms;                // SESSION: deadline; RECORD_NEVER; 0 while connected
    uint64_t sent;                      // SESSION: entries below this seq may have been sent
    uint64_t claim;                     // SESSION: of its last CONNECT (cluster.h); 0 = none
    uint32_t will_delay_s;              // SESSION
    uint64_t will_due_ms;               // SESSION: deadline; 0 while connected
    uint32_t ordinal;                   // subscription's number in its session; ENQUEUE: the shared
                                        // subscription that it came by, 0 = none
    struct slice filter, group;         // SUBSCRIBE; group.len 0 = not shared
    uint8_t qos;                        // SUBSCRIBE: granted; ENQUEUE: of the delivery
    bool no_local, retain_as_published; // SUBSCRIBE
    uint32_t subscription_id;           // SUBSCRIBE; 0 = none
    bool retain;                        // ENQUEUE: RETAIN flag to send
    uint32_t size;                      // ENQUEUE: bytes of the message, for queue limits
    struct slice ids;                   // ENQUEUE: subscription identifiers, u32 each
    uint8_t state;                      // STATE: enum entry_state
    uint16_t packet_id;                 // RECEIVED, RELEASED
};

// Of a record to be encoded only kind and the kind's fields need be set.
// Bytes of the encoded record, head included.
uint32_t record_size(const struct record *record);
// Encodes; dst has room for record_size. Returns the end.
uint8_t *record_write(uint8_t *dst, const struct record *record);
// The first record of bytes. OK: *ret_len is its length, head included. ERR_NEED_MORE: bytes is
// empty. ERR_MALFORMED: cut short, an unknown kind, fields that do not fill it, values out of
// range.
NODISCARD err_t record_read(struct slice bytes, struct record *ret, uint32_t *ret_len);

// Is this record, which is well formed, the ENQUEUE of that entry?
bool record_is_enqueue(const uint8_t *bytes, uint64_t session, uint64_t seq);

// The u32 at index i of record->ids.
uint32_t record_id(const struct record *record, uint32_t i);

#endif
