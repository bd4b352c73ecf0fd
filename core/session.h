// session.h - an MQTT session: what a client may leave behind and find again.
//
// Job:    subscriptions, deliveries, QoS 2 identifiers, Will, expiry; the machines of QoS 1 and 2.
// Owner:  the shard's registry. Thread: the shard's worker.
// Memory: 352 bytes and the client identifier, up to 31 bytes: malloc's class of 384. Durable ones
//         32 more. Arrays grow with use. With a keeper a queue's first part; the rest on the disk.
// Limits: subscriptions_max, queued_messages_max, queued_bytes_max, inflight_messages_max.
#ifndef TERN_CORE_SESSION_H
#define TERN_CORE_SESSION_H

#include "core/base/err.h"
#include "core/base/list.h"
#include "core/base/wheel.h"

#include "core/codec.h"
#include "core/deliveries.h"
#include "core/packet_ids.h"
#include "core/subs.h"

struct client;
struct shard;

#define SESSION_MAGIC 0x53455353u
// Entries that a session may send, as journaled in one go. A node's is sent many during a commit.
#define SENT_AHEAD(session) ((session)->node ? UINT32_C(131072) : UINT32_C(4096))
// With a keeper, of a session without a connection no more waits in memory, the rest on the disk.
#define QUEUE_AWAY_MESSAGES 256u
#define QUEUE_AWAY_BYTES    (UINT64_C(256) << 10)

struct will {
    struct msg *msg;
    uint64_t due_ms; // while it waits for its delay; 0 = it does not
    uint32_t delay_s;
    uint16_t port;    // of the listener; 0 = not known
    uint64_t hold_ms; // kept over a restart, in a cluster: not before this, unless its client comes
};

// What a session that is kept tells the journal and has from the disk.
struct session_kept {
    // The journal says which entries may have been sent, so that after a crash they are marked as
    // perhaps sent before. It says so in advance, for many at a time: sent_safe of them on the
    // disk, sent_limit once limit_position is.
    uint64_t sent_safe, sent_limit, limit_position;
    struct page_load *load; // a page of the queue is on its way; NULL = none (session_page.c)
};

// The session's side of one subscription.
struct session_sub {
    struct trie_handle handle;
    uint32_t place; // index in the shard's sub_vector
    uint32_t hash : 31;
    uint32_t shared : 1;
    uint32_t ordinal; // its name in the journal: never used twice in a session
};

struct session {
    uint32_t magic;
    uint32_t expiry_s; // Session Expiry Interval; MQTT_EXPIRY_NEVER
    struct shard *shard;
    struct client *client; // NULL while not connected
    struct session *chain; // registry
    uint64_t number;       // identity for No Local; never reused
    uint64_t claim;        // of its last CONNECT, among nodes (cluster.h); 0 = none
    uint32_t hash;         // registry
    uint32_t id_len;
    char *user;            // NULL = none
    struct rights *rights; // NULL = it may do everything
    bool own_rights : 1;   // they came with the client, and are not made anew from the rules
    bool durable : 1;      // outlives its connection (session_keep): what it relies on is journaled
    bool node : 1;         // another node's (cluster.h)
    bool recorded : 1;     // not durable: the journal has it for its Will
    // On its way to another node, or from there: session_move.h.
    bool leaves : 1, left_groups : 1, hidden : 1, arrives : 1, untold : 1;
    uint8_t version;       // of the last connection
    uint8_t listener;      // by which that came; LISTENER_NONE: not since the broker's start
    uint32_t next_ordinal; // the last one given to a subscription
    struct will *will;     // NULL = none
    uint64_t expires_ms;   // while not connected; UINT64_MAX = never
    struct timer timer;    // the earlier of the two

    struct session_sub *subs; // order is not significant
    uint32_t *sub_index;      // hash -> index + 1 in subs; NULL while there are few
    uint32_t sub_count, sub_cap, sub_index_cap, shared_count;
    uint64_t messages_in, messages_out; // PUBLISH packets, since it has been in memory
    uint64_t dropped; // messages that it did not get: no room, or it reads too slowly

    struct deliveries out;
    struct session_kept *kept; // NULL = not durable
    struct packet_ids in_qos2;
    struct session_walk *walks; // the first of them (session_walks.h)
    struct list unfinished;     // shard->unfinished

    uint64_t stamp; // publication that has this session as target (route.c)
    uint32_t target;
    uint8_t remote; // of a node's: its number in the trie (trie_remote.h) and 1; 0 = none yet
    char id[];      // client identifier, NUL-terminated for the log
};
_Static_assert(sizeof(struct session) <= 352, "what the README says of an idle connection");

// ---- Life (session.c) ---------------------------------------------------------------------------

// Returns new, in the registry, without a client. number 0: one that was never used.
struct session *session_new(struct shard *shard, struct slice id, uint32_t hash, uint64_t number);
// It is durable from now on: other nodes send its client here.
void session_keep(struct session *session);
// Ends it: publishes a waiting Will, drops subscriptions and queue, redispatches what share groups
// may give to others, leaves the registry. Takes. The client is detached.
void session_end(struct session *session);
// The same without Will and redispatch: the broker itself ends.
void session_discard(struct session *session);
// Its connection went: keeps it for its expiry interval, or ends it. with_will: the Will is due.
void session_disconnected(struct session *session, bool with_will);
void session_on_timer(struct session *session);
// Of the listener by which its client came last: what is dropped is counted there.
struct listener_stats *session_counts(const struct session *session);
void session_arm_timer(struct session *session); // for the earlier of its two deadlines
// A new connection: everything unacknowledged goes out again.
void session_resume(struct session *session);
// Journals it as it is, with entries that may be sent from now on; not durable: for its Will alone.
void session_journal(struct session *session);
void session_set_will(struct session *session, const struct will_view *view);
void session_drop_will(struct session *session);
// Its client is back: publishes a Will whose delay is over, and drops one that waits.
void session_reclaim_will(struct session *session);

// What it may do from now on, also with what it has already: subscriptions, and messages that wait
// (session_rights.c). Takes rights; NULL = everything.
struct rights;
void session_set_rights(struct session *session, struct rights *rights);
// Are there topics of the filter that it may not read (ACL_RECEIVE)?
bool session_reads_partly(const struct session *session, struct slice filter);
// May it read the topic? For subscriptions that are read partly. What it may not is counted.
bool session_may_read(struct session *session, struct slice topic);
// The same for an entry of its queue, as it goes out. Not counted.
bool session_may_send(struct session *session, const struct delivery *entry);
// May who published this retained message still do that?
bool session_is_sourced(const struct shard *shard, const struct msg *msg);
// May that source publish to it, now? And may the session its Will?
bool session_source_may(const struct shard *shard, const struct msg_source *source,
                        struct slice topic);
bool session_may_publish_will(struct session *session);
// The session as a source; of its listener, while it has a connection.
void session_source(const struct session *session, struct msg_source *ret);
// Gives what waits in memory, and may not go to this session, to other members of its share groups.
void session_pass_on(struct session *session);

// ---- Subscriptions (session_subs.c) -----------------------------------------------------------

// text: the whole filter, "$share/..." included, checked and split into share. Replaces an existing
// one. ret_existed may be NULL. ERR_FULL: a limit.
NODISCARD err_t session_subscribe(struct session *session, const struct filter_view *filter,
                                  struct slice group, uint32_t subscription_id,
                                  struct trie_handle *ret_handle, bool *ret_existed);
// Puts a stored one back: the same, with the ordinal that it had, and nothing is journaled.
void session_subscribe_again(struct session *session, const struct filter_view *filter,
                             struct slice group, uint32_t subscription_id, uint32_t ordinal);
// Fills in what the journal has to say of subs[i]; borrows its texts from the trie.
struct record;
void session_sub_record(const struct session *session, uint32_t i, struct record *ret);
// The identifier of its subscription; 0: it has none, or there is none.
uint32_t session_subscription(const struct session *session, struct slice filter,
                              struct slice group, bool *ret_found);
// The share group of the session's subscription with this ordinal; generation 0: it is gone.
struct trie_handle session_share_handle(const struct session *session, uint32_t ordinal);
// False when there was none [MQTT-3.10.4-1].
bool session_unsubscribe(struct session *session, struct slice filter, struct slice group);
void session_unsubscribe_all(struct session *session);
// subs.c moved the subscriber that this session's entry `back` stands for.
void session_sub_moved(struct session *session, uint32_t back, uint32_t place);
// Tells the session's share groups that it has a connection, or none.
void session_shares_connected(struct session *session, bool connected);

// ---- Delivery (session_deliver.c) ---------------------------------------------------------------

// Whether its queue takes this publication. For share groups, which may choose.
bool session_has_room(const struct session *session, const struct pub *pub);
// A message was acknowledged; so many were in flight before: when that filled the client's window,
// it grows (client.h).
void session_widen(struct session *session, uint32_t inflight);
// How one publication goes to one session; from route.c or a retained walk.
struct delivery_spec {
    uint8_t qos;
    bool retain; // RETAIN flag to send
    const uint32_t *subscription_ids;
    uint32_t subscription_id_count;
    struct trie_handle share; // generation 0: ordinary
    uint32_t ordinal;         // of the session's subscription to share
    bool unawaited;           // nobody waits until it is safe: were it lost, it would be told anew
};
// What became of it beyond this session's reach is noted in shard->outcome.
void session_deliver(struct session *session, struct pub *pub, const struct delivery_spec *spec);
// All packets of a run at once. False, and nothing done, where each has to be looked at.
bool session_deliver_run(struct session *session, struct pub *run,
                         const struct delivery_spec *spec);
// Would it be true?
bool session_takes_run(const struct session *session, const struct pub *run,
                       const struct delivery_spec *spec);
// An entry is acknowledged or dropped: journals that and forgets it.
void session_finish(struct session *session, struct delivery *entry);
void session_pump_now(struct session *session); // part of session_pump
// Sends what the client's window and its out-queue allow.
static inline void
session_pump(struct session *session)
{
    if (session->out.sent != session->out.tail)
        session_pump_now(session);
}
// Goes on with what a tick or a full out-queue interrupted: retained walks, then queued messages.
void session_continue(struct session *session);

// ---- Acknowledgements from the client (session_acks.c) ----------------------------------------

// PUBACK, PUBREC, PUBREL or PUBCOMP.
NODISCARD err_t session_on_ack(struct session *session, uint8_t type, const struct ack_view *ack);
// Several of one type that came together: packets of four bytes that mean success. Takes those at
// the front that can be taken together, as if they had come one by one. Returns how many; 0: the
// first has to be taken for itself.
uint32_t session_on_acks(struct session *session, uint8_t type, const uint8_t *acks,
                         uint32_t count);
// After one, or several that came together: sends what there is room for now.
void session_acked(struct session *session);
// The exchange that began with this QoS 2 PUBLISH was refused after all.
void session_refuse_qos2(struct session *session, uint16_t packet_id);

// ---- What of the queue is on the disk alone (session_page.c) ------------------------------------

// Asks for more if the client could soon do with it.
void session_want_page(struct session *session);
// The keeper's answer. Takes page.
struct page;
void session_on_page(struct shard *shard, struct page *page);
// Nobody waits for a page any more: the session ends.
void session_forget_page(struct session *session);
// The session ends. True: what share groups may give to others is fetched from the disk first, and
// the end is journaled after that; false: there is nothing of that kind.
bool session_leaves_estate(struct session *session);
void session_estates_continue(struct shard *shard); // there is room for requests again
// The shard ends, and pages that come now are not taken.
void session_loads_free(struct shard *shard);

// What must be safe before the client is told of the session; 0 if it ends with its connection.
uint64_t session_position(const struct session *session);

static inline struct slice
session_id(const struct session *session)
{
    return slice_of(session->id, session->id_len);
}

#endif
