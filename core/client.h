// client.h - the protocol side of one network connection.
//
// Job:    bytes in, bytes out: frames packets, dispatches them to the session, collects the
//         answers.
// Owner:  the transport's connection embeds it (io/conn.h); a simulator or fuzzer can as well.
// Thread: its shard's worker.
// Memory: this struct; an input buffer only while a packet is incomplete, grown with what arrived.
// Limits: packet size, unsent bytes, time to CONNECT: from the configuration, counted in stats.
//
// The transport's part of the contract:
//   1. client_init when the connection is handed to its home shard (or refused there).
//   2. client_on_bytes for all that arrives, in order, until want_close.
//   3. Core puts a client on shard->dirty when there is something to do: bytes in outq to send,
//   want_close,
//      or a changed read_paused. The transport empties that list once a tick (client_next_dirty).
//   4. want_close: send what outq holds (best effort), shutdown, then client_on_closed.
//   5. client_on_closed exactly once, whoever closed; afterwards the memory is the transport's
//   again.
#ifndef TERN_CORE_CLIENT_H
#define TERN_CORE_CLIENT_H

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/wheel.h"

#include "core/outq.h"

struct shard;
struct session;
struct alias_table;
struct client_access;
struct client_rates;

#define CLIENT_MAGIC 0x434c4921u

// With max_inflight_messages auto, a client has so many QoS 1 and 2 messages unacknowledged at
// first, as mosquitto's have. Each acknowledgement that makes room in a full window adds one, so
// that a client that keeps up is sent more at a time, and one on a bad network gets few messages
// twice.
#define CLIENT_WINDOW_FIRST 20u
#define CLIENT_WINDOW_MAX   1000u

enum client_state {
    CLIENT_AWAIT_CONNECT,
    CLIENT_CONNECTED,
    CLIENT_CLOSING, // nothing more is read; outq is flushed, then the connection goes
};

enum client_link {
    LINK_NONE,
    LINK_IN,    // another node publishes here what our clients want
    LINK_OUT,   // we have dialled another node, and are its client: peer is our session of it
    LINK_RELAY, // either side of a client whose session is on another node (client_relay.c)
    LINK_VISIT, // such a client, at that node
};

struct client {
    uint32_t magic;
    uint8_t state;    // enum client_state
    uint8_t version;  // enum mqtt_version; 0 before CONNECT
    bool read_paused; // the transport stops reading while set (back-pressure)
    bool want_close;
    uint8_t traces;           // before it has a session: bit i: the shard's trace i is of it
    bool blocked;             // set by the transport: the socket takes no more; its outq waits
    bool will_on_close;       // publish the Will when this connection ends
    bool suspended : 1;       // a packet waits for an answer (client_access.h): `in` begins with it
    bool replayed : 1;        // what is being handled was suspended before
    bool decided_outside : 1; // what it publishes and subscribes to: ask_publish, ask_subscribe
    bool slowed : 1;          // its PUBLISH waits for room: it has no word for a refusal
    bool answered : 1;        // LINK_RELAY: the other side has said something
    bool problem_info : 1;    // Request Problem Information [MQTT5 3.1.2.11.7]
    bool traced : 1;          // its packets are recorded (trace.h)
    bool recorded : 1;        // the packet that waits in `in` is
    bool rate_paused : 1;     // read_paused because of a rate of its listener
    bool visits : 1;          // LINK_RELAY: a LINK_VISIT that waits
    bool held : 1;            // its outq waits, CONNACK at the head (client_hold)
    uint8_t close_reason;     // err_t: why core closes; OK = the peer went
    uint8_t link;             // enum client_link
    uint8_t listener_index;   // in shard->config->listeners; a reload keeps the order
    struct shard *shard;
    struct listener_stats *counts; // its listener's, of the shard
    struct session *session;       // NULL before CONNECT and after takeover
    struct client_access *access;  // NULL until something is asked about it
    struct list dirty;             // in shard->dirty
    struct list blocked_node;      // in shard->blocked_reads while paused for the outbox or memory
    struct timer timer;            // time to CONNECT, then keep alive
    uint64_t last_packet_ms;       // the last complete Control Packet
    struct outq out;
    uint8_t *in; // incomplete packet
    uint32_t in_len, in_cap;
    uint32_t packet_max;     // Maximum Packet Size of the client
    uint32_t in_packet_max;  // of what it sends, as CONNACK told it: no reload changes that
    uint16_t window;         // max_inflight_messages auto: what it may have unacknowledged by now
    uint16_t receive_max;    // of the client
    uint16_t in_receive_max; // as in_packet_max; 65,535 = none, so many identifiers there are
    uint16_t alias_max_out : 15; // Topic Alias Maximum of the client, bounded
    uint16_t traced_out : 1;     // as traced, where it is asked for together with that
    union {
        uint64_t base_position; // of what its CONNECT changed: no acknowledgement before is safe
        // LINK_RELAY: of the packet that is being sent: bytes that follow; bytes of its length that
        // are known, and 1, while its length is incomplete, else 0.
        struct {
            uint32_t relayed_left, relayed_head;
        };
    };
    struct parked *parked;          // acknowledgements that wait (client_out.h); NULL = none
    struct alias_table *aliases_in; // NULL until used
    union {
        struct alias_table *aliases_out; // NULL until used
        struct client *mate;             // LINK_RELAY: the other side; NULL = not yet, or gone
    };
    struct client_rates *rates; // NULL: its listener has none
    const char *name;      // who it has proved to be to the transport, borrowed from it; or NULL
    uint32_t connected_s;  // when its CONNECT was accepted, since the broker's start
    uint16_t keep_alive_s; // the connection's; 0 = none
    char peer[50];         // "1.2.3.4:5" for the log and for what counts by address
};

// Where a client comes from, as the transport knows. Borrowed.
struct client_origin {
    const char *peer; // text for the log, cut to fit
    const char *name; // of its certificate or pre-shared key; NULL = none. Until client_on_closed
    uint32_t listener_index;
    uint64_t accepted_ms; // when the socket was accepted, wherever it was read
};

// It is counted for another listener from now on, and has its rules.
void client_set_listener(struct client *client, uint32_t listener);
// Starts the time to CONNECT at origin->accepted_ms.
void client_init(struct client *client, struct shard *shard, const struct client_origin *origin);
// The connection is one that was dialled to another node: says CONNECT there.
struct node_dialled;
void client_dial(struct client *client, const struct node_dialled *dialled);
// Handles all complete packets in data, keeps the rest. On a peer's error the answer is in outq and
// want_close is set. Never fails to the transport. Does nothing while CLIENT_CLOSING.
void client_on_bytes(struct client *client, const uint8_t *bytes, size_t len);
// The connection is gone (error 0: the peer closed it; else an errno for the log). Publishes or
// schedules the Will, parks or ends the session, frees all that the client held.
void client_on_closed(struct client *client, int error);
// Time to CONNECT or keep alive may have passed. Called by the shard.
void client_on_timer(struct client *client);
// When the present packet's answer has come: it and what came behind it are handled.
void client_replay(struct client *client);
// For the earlier of keep alive and the end of what it was granted.
void client_arm_timer(struct client *client);
// The transport sent everything that was in the way: pending deliveries continue.
void client_on_writable(struct client *client);
// The broker ends: as client_send_away, and its Will is not published.
void client_shut_down(struct client *client);
// Ends the connection: DISCONNECT 0x9C with another node's address, or 0x8B where there is none.
void client_send_away(struct client *client);
// Next of shard->dirty, or NULL.
struct client *client_next_dirty(struct shard *shard);

// Where does a new connection belong? Looks at the first bytes that arrived, without keeping
// anything. OK: *ret_home is the shard of its client identifier (empty ones: this shard).
// ERR_NEED_MORE: go on reading (or the packet is bad and must be answered here: then *ret_home is
// this shard with OK). Bounded by connect_packet_size_max.
NODISCARD err_t client_home(const struct shard *shard, const struct client_origin *origin,
                            struct slice data, unsigned *ret_home);

#endif
