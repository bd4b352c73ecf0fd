// trace_record.h - a line of a trace: what there is to say of one Control Packet, and no secret.
//
// Job:    a packet's bytes to a record; records as bytes, until somebody reads them.
// Owner:  the caller. Thread: any. Memory: control_rows, which whoever has them frees.
// Limits: of texts the first TRACE_TEXT_MAX bytes, of a property's TRACE_VALUE_MAX; of lists of
//         filters those that fit.
//
// Payloads, passwords and Authentication Data are not copied, of Correlation Data there is the
// size, of User Properties the number.
#ifndef TERN_CORE_TRACE_RECORD_H
#define TERN_CORE_TRACE_RECORD_H

#include "core/control.h"
#include "core/mqtt.h"

struct frame;
struct publish_out;

#define TRACE_TEXT_MAX  1024u
#define TRACE_VALUE_MAX 256u

enum trace_way {
    TRACE_IN,    // from the client
    TRACE_OUT,   // to it
    TRACE_EVENT, // no packet: note says what happened
};

// Texts are borrowed; data NULL: there is none.
struct trace_record {
    uint64_t at_ms;             // monotonic, of the tick
    uint64_t number;            // of the shard: which came first
    struct slice client, user;  // user: of CONNECT
    struct slice peer;          // the same
    struct slice topic;         // of PUBLISH; of CONNECT the Will's
    struct slice props;         // for trace_next_prop
    struct slice list;          // filters, for trace_next_filter; or reason codes, a byte each
    struct slice note;          // EVENT
    uint32_t payload_len;       // of PUBLISH; of CONNECT the Will's
    uint16_t packet_id;         // 0: none
    uint16_t topic_alias;       // 0: none
    uint16_t keep_alive_s;      // CONNECT
    uint8_t way, type, version; // enum trace_way, mqtt_type, mqtt_version
    uint8_t qos, reason;
    bool dup, retain; // PUBLISH; CONNECT: the Will
    bool clean, session_present, has_reason;
    bool node; // client is another node
    bool cut;  // there is more in a list than is here
};

// Where describing puts what it does not borrow from the packet.
struct trace_room {
    uint8_t props[TRACE_TEXT_MAX];
    uint32_t len;
};

// What of the packet is there, valid or not. Sets all but at_ms, number, client, way and version;
// borrows from the packet and room. frame->body may end where the payload of a PUBLISH begins:
// body_len is its whole length. version: by which it is read. Of CONNECT: trace_describe_connect.
void trace_describe(const struct frame *frame, uint32_t body_len, uint8_t version,
                    struct trace_room *room, struct trace_record *ret);
struct connect_view;
void trace_describe_connect(const struct connect_view *view, struct trace_room *room,
                            struct trace_record *ret);
void trace_describe_publish(const struct publish_out *out, struct trace_room *room,
                            struct trace_record *ret);

// Copies. Texts are cut.
void trace_record_add(struct control_rows *rows, const struct trace_record *record);
// The next one, *at being 0 at first. False: there is none. Borrows from rows.
bool trace_record_next(const struct control_rows *rows, uint32_t *at, struct trace_record *ret);

// Takes a property off record.props. text.data NULL: it is a number: of Correlation Data its size,
// of User Properties how many there are.
bool trace_next_prop(struct slice *rest, enum mqtt_property *ret_id, uint32_t *ret_number,
                     struct slice *ret_text);
// Takes a filter off record.list. type: SUBSCRIBE or UNSUBSCRIBE, which has no options.
bool trace_next_filter(struct slice *rest, uint8_t type, struct slice *ret_filter,
                       uint8_t *ret_options);

#endif
