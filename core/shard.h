// shard.h - what one worker owns: sessions, subscriber vectors, timers, outboxes.
//
// Job:    the state of a share of all clients, and the steps of a tick that need no I/O.
// Owner:  the broker makes it; one worker thread uses it. Thread: that worker, except where said.
// Memory: counted in stats.memory_bytes against the broker's budget.
// Limits: from the configuration.
#ifndef TERN_CORE_SHARD_H
#define TERN_CORE_SHARD_H

#include "core/base/list.h"
#include "core/base/log.h"
#include "core/base/rcu.h"
#include "core/base/spsc.h"
#include "core/base/wheel.h"

#include "core/cluster_node.h"
#include "core/config.h"
#include "core/deliveries.h"
#include "core/governor.h"
#include "core/outq.h"
#include "core/samples.h"
#include "core/stats.h"
#include "core/tickets.h"
#include "core/trie.h"

struct access_rules;
struct broker;
struct client;
struct journal;
struct registry;
struct route_scratch;
struct subs;
struct sys;
struct watching;

// Types of mailbox records. The transport uses those from RECORD_IO on for itself.
enum record_type {
    RECORD_PUBLISH = 1,     // a message by copy and the handles that want it
    RECORD_PUBLISH_REF = 2, // the same, message by reference
    RECORD_OUTCOME = 4,     // what became of a publication (tickets.h)
    RECORD_CLAIM = 5,       // what another node says of a client that has come there (cluster.h)
    RECORD_MOVE = 6,        // of sessions that go from one node to another (cluster.h)
    RECORD_PARCEL = 3,      // a pointer to a record that is too long for the mailbox
    RECORD_HANDOVER = 64,   // RECORD_IO: an accepted connection on its way to its home shard
};
#define RECORD_IO 64

// Stands in place of a listener where there is none: the broker's own messages, and sessions whose
// client has not come since the broker's start.
#define LISTENER_NONE CONFIG_LISTENERS_MAX

// Publications with shorter payloads go on as they came where they can.
#define SHARD_VERBATIM_BELOW (OUTQ_COPY_MAX + 1u)

struct shard {
    struct broker *broker;
    unsigned index;
    uint64_t now_ms;                   // monotonic, of this tick
    const struct config *config;       // of this tick
    const struct access_rules *access; // of this tick; NULL = everybody may do everything
    uint32_t turn;                     // it has turned for this move (session_move.h); 0 = for none
    uint64_t reviewed;  // version of those for which the sessions are looked at, or were
    uint32_t review_at; // the next bucket of the registry; UINT32_MAX = all were
    struct log *log;
    struct rcu_reader *rcu;
    struct match_cache *matches;
    struct wheel *wheel;
    struct registry *registry; // sessions by client identifier
    struct subs *subs;         // subscriber vectors by handle
    struct journal *journal;
    struct sys *sys;           // $SYS publisher; shard 0 only
    struct list dirty;         // clients with work for the transport
    uint64_t resume_ms;        // when publishers paused for memory may go on for a moment
    bool crowded;              // keeper->crowded says so of this shard
    struct list blocked_reads; // clients not read until pressure is gone
    struct list parked;        // clients with acknowledgements that wait
    struct list unsafe;        // sessions whose next message is not on the disk yet
    struct list page_waiters;  // sessions that ask for a page when there is room for requests
    struct list unfinished;    // sessions with more to send next tick
    struct outq_pool pool;
    struct stats stats;
    struct samples samples;
    struct listener_stats listeners[LISTENER_NONE + 1];
    uint64_t stamp;       // of the current publication, for overlapping subscriptions
    uint64_t wake_shards; // bit i: shard i has new mail and may sleep; the transport wakes it
    uint64_t beside;      // bit i: shard i is at the same thread, as the transport says
    struct list *outbox;  // per shard: records that did not fit its mailbox
    uint64_t outbox_bytes;
    uint64_t mailed; // bit i: there is unpublished mail for shard i
    uint32_t share_rotor;
    uint64_t random;    // of shard_random
    uint32_t orders;    // of broker->orders, that its lane has seen
    struct timer sweep; // expired retained messages; shard 0 only
    struct log_limit log_refused, log_bad, log_limits, log_drops, log_bans, log_governor;
    struct log_limit log_denied, log_claims;
    struct route_scratch *scratch; // targets of the current publication
    struct tickets *tickets;
    uint32_t unsettled;     // answers that nobody but tickets waits for
    enum outcome outcome;   // of the current publication, on this shard
    struct list page_loads; // pages on their way
    struct list estates;    // of ended sessions, that ask as page_waiters do
    uint64_t hold_ms;       // when a held acknowledgement is due; UINT64_MAX = none
    bool news;              // what is parked may be due
    struct delivery_totals totals;
    uint64_t in_bytes; // incomplete packets, packets held back, questions about clients, traces
    enum governor_level level;              // of this tick: what gives way to save memory
    char reference[NODE_REFERENCE_MAX + 1]; // where the client goes that fails now
    uint32_t verbatim_below;                // SHARD_VERBATIM_BELOW; 0 while topics are watched
    struct watching *watching;              // trace.h; NULL = nobody watches
};

static inline struct listener_stats *
shard_listener(struct shard *shard, uint32_t listener)
{
    must_hot(listener <= LISTENER_NONE);
    return &shard->listeners[listener];
}

// A connection or a CONNECT is refused, for whatever reason.
static inline void
shard_count_refused(struct shard *shard, uint32_t listener)
{
    stat_add(&shard->stats.connections_refused, 1);
    stat_add(&shard_listener(shard, listener)->refused, 1);
}

// Returns new; call on the worker's thread (registers with RCU). The shard must not be used
// elsewhere.
struct shard *shard_new(struct broker *broker, unsigned index, uint64_t now_ms);
// Ends the sessions in memory, without wills. Takes. All clients must be closed.
void shard_free(struct shard *shard);

// The steps of a tick that are core's, in this order; see worker_tick. First the keeper and the
// other shards are asked what has become safe, then mail is taken, then acknowledgements go out.
void shard_tick_begin(struct shard *shard, uint64_t now_ms);
// Takes the mail of all other shards. Records of type >= RECORD_IO go to on_io.
void shard_drain(struct shard *shard,
                 void (*on_io)(void *arg, unsigned from, const struct spsc_record *record),
                 void *arg);
void shard_timers(struct shard *shard);   // fires what is due; continues retained walks
void shard_post(struct shard *shard);     // outboxes to mailboxes; sets wake_shards
void shard_tick_end(struct shard *shard); // memory account, journal to the keeper, RCU
// Until when the worker may sleep (monotonic ms); 0: do not sleep, there is more to do. Mail for a
// full mailbox (`mailed`) is the transport's to think of.
uint64_t shard_wait_until(const struct shard *shard);
// Is there mail? For the check between "I sleep" and sleeping.
bool shard_has_mail(const struct shard *shard);

// The transport's own records (handover), kept in order with all others for that shard.
void shard_post_io(struct shard *shard, unsigned to, uint16_t type, const void *data, uint32_t len);
// Another number each time, which nobody outside can tell in advance.
uint64_t shard_random(struct shard *shard);
// The disk cannot follow: publishers are not read until it can.
bool shard_keeper_lags(const struct shard *shard);
// Before its worker ends: what is journaled is offered to the keeper, however little.
void shard_offer_all(struct shard *shard);
// Graceful end: DISCONNECT 0x8B to MQTT 5 clients, want_close on all. Wills are not published.
void shard_shutdown(struct shard *shard);

#endif
