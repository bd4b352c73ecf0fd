// control.h - what an operator's program asks of the shards while they serve.
//
// Job:    a question goes to a shard, which answers it in bounded steps, one a tick: walks over its
//         sessions that rest at any place, the end of a connection, retained messages that go.
// Owner:  main has the desk; whoever asks has the question. Thread: each function says.
// Memory: the rows of an answer, about bytes_max; counted in the broker's memory.
// Limits: a shard has one question at a time, and looks at CONTROL_STEP things of it in a tick. An
//         answer has rows_max rows and bytes_max bytes, and a few more: those of the same bucket.
//
// The question is the shard's from control_give until control_is_done; in between nobody else
// touches it, but for control_cancel.
#ifndef TERN_CORE_CONTROL_H
#define TERN_CORE_CONTROL_H

#include <stdatomic.h>

#include "core/base/base.h"

#include "core/subs.h"

struct broker;
struct control_desk;
struct shard;
struct trace;

#define CONTROL_STEP 512u

enum control_kind {
    CONTROL_CLIENTS,       // rows: sessions, of all that the text is a part of
    CONTROL_CLIENT,        // one row, of the session with this identifier; none: there is none
    CONTROL_KICK,          // the same as it was; its connection ends, if it had one
    CONTROL_SUBSCRIPTIONS, // rows: of all sessions, or of the one with this identifier
    CONTROL_FORGET,        // retained messages of these topics (rows) go
    CONTROL_EXPLAIN_PUB,   // what decides of the session and the filter, a topic: explain.h
    CONTROL_EXPLAIN_SUB,   // the same of a filter; rows of subscriptions may follow
    CONTROL_MATCHES,       // rows: who subscribes to the filter, a topic
    CONTROL_NODES,         // no rows: the shard looks at what it knows of other nodes
    CONTROL_TRACE,         // rows: what this trace has recorded: trace.h
};

// Where a walk over a shard's sessions is. Sessions that are there throughout are seen once; of one
// that subscribes and unsubscribes meanwhile, a subscription may be seen twice, and none is left
// out. All zero: the beginning.
struct control_place {
    uint64_t bucket; // registry.h; REGISTRY_END: the shard is done
    uint64_t number; // of the bucket's sessions; those with lower ones are done
    uint32_t subs;   // of this session, counted from its last one; 0: all, or none was seen
    // MATCHES: number and subs are explain.c's. TRACE: number is trace.c's.
};

// What is said of a session, of a subscription, or a topic. Texts are borrowed from the rows.
struct control_row {
    struct slice id, user, peer; // user.data NULL: none; peer.data NULL: it has no connection
    struct slice topic;          // of a Will (data NULL: none), of a subscription its filter
    struct slice group;          // data NULL: not shared
    uint64_t connected_ms;       // since then; monotonic
    uint64_t expires_ms;         // without a connection; monotonic, UINT64_MAX = never
    uint64_t queued;
    uint64_t output_bytes; // that its connection has not taken yet
    uint64_t dropped;      // messages that it did not get, since the session has been in memory
    uint64_t oldest_ms;    // when the oldest that is not acknowledged came; 0: not known, or none
    uint64_t messages_in, messages_out; // since the session has been in memory
    uint64_t weight, over;              // TRACE: of a topic (trace.h)
    uint32_t keep_alive_s, inflight, expiry_s, sub_count, subscription_id, will_delay_s;
    uint16_t listener; // in the configuration
    uint8_t version;   // enum mqtt_version, of the last connection
    uint8_t will_qos;
    bool will_retain;
    struct sub_options options;
    // EXPLAIN, MATCHES. A verdict: may it, and why; topic is the rule, group is where it is
    // written. Else a subscription: why is what would become of the message, at this QoS; id is of
    // a node's session the node.
    const char *why; // one of a few constant words
    uint8_t action;  // of a verdict: enum acl_action
    uint8_t qos;
    bool verdict, allowed, outside, node; // outside: an HTTP service is asked as well
};

struct control_rows {
    uint8_t *bytes;
    uint32_t len, cap, count;
};

struct control_question {
    enum control_kind kind;
    bool away;           // CLIENTS: those without a connection, too
    bool waiting;        // CLIENTS: those alone for which something waits
    struct slice id;     // data NULL: none. Borrowed, as the next two
    struct slice text;   // CLIENTS: part of the identifier, user or address; len 0: all. MATCHES:
                         // who publishes
    struct slice filter; // SUBSCRIPTIONS: those within it; len 0: all. EXPLAIN, MATCHES
    uint8_t qos;         // EXPLAIN_SUB, MATCHES: of the message
    struct trace *trace; // TRACE
    bool last;           // TRACE: its time is over
    struct control_place place;   // moved on by the walk
    uint32_t rows_max, bytes_max; // of the walk
    struct control_rows rows;     // freed by whoever asks
    // Of the shard's.
    uint32_t at;    // FORGET: in rows
    uint32_t found; // FORGET: how many there were
    uint64_t lost;  // TRACE: records that were not kept, since it was asked last
    _Atomic bool done, cancelled;
};

// ---- The desk -----------------------------------------------------------------------------------

// Returns new; NULL with errno: there is no descriptor for it.
struct control_desk *control_desk_new(unsigned shard_count);
// Takes; NULL is fine. No question is under way, or its shard is gone.
void control_desk_free(struct control_desk *desk);
// Readable when a question may be done; whoever asks reads it (eventfd).
int control_desk_fd(const struct control_desk *desk);
// What whoever asks holds of memory, for the broker's account. ON_ANY.
void control_desk_set_bytes(struct control_desk *desk, uint64_t bytes);
uint64_t control_desk_bytes(const struct control_desk *desk);

// The shard has no question. ON_ANY, from one thread.
void control_give(struct broker *broker, unsigned shard, struct control_question *question);
bool control_is_done(const struct control_question *question);
// There are as many rows as there may be.
bool control_is_full(const struct control_question *question);
// Its answer is not wanted any more: it is done soon.
void control_cancel(struct control_question *question);

// ---- The shard's side ---------------------------------------------------------------------------

void control_continue(struct shard *shard); // once a tick
bool control_is_busy(const struct shard *shard);

// ---- Rows ---------------------------------------------------------------------------------------

void control_rows_add(struct control_rows *rows, const struct control_row *row); // copies
// The next one, *at being 0 at first. False: there is none.
bool control_rows_next(const struct control_rows *rows, uint32_t *at, struct control_row *ret);
void control_rows_free(struct control_rows *rows); // may be used again
// Is every text that `inner` could match one that `filter` matches? As far as the levels show:
// +, # in inner stand for themselves and are no more than + and # in filter.
bool control_filter_holds(struct slice filter, struct slice inner);

#endif
