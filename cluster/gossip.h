// gossip.h - who is in the cluster: SWIM with Lifeguard, as a state machine.
//
// Job:    step(now, event) -> actions. Finds members, notices those that fail, tells all, and never
//         stops trying to reach those that are gone. No socket, no thread, no clock inside.
// Owner:  whoever drives it. Thread: one at a time.
// Memory: about 250 bytes and the details (27 to 210) for each member that is known, allocated when
//         it is first heard of or its details change, never in a step without such news.
// Limits: members_max known members, of which the longest dead make room; GOSSIP_SEEDS_MAX seeds;
//         GOSSIP_RELAYS pings for others at a time. What is beyond is counted in gossip_stats.
#ifndef TERN_CLUSTER_GOSSIP_H
#define TERN_CLUSTER_GOSSIP_H

#include "cluster/gossip_codec.h"

// As in hashicorp/memberlist, whose defaults were tuned in many clusters, but for what it lacks.
#define GOSSIP_PROBE_MS      1000u
#define GOSSIP_TIMEOUT_MS    500u
#define GOSSIP_INDIRECT      3u // others that are asked to probe too
#define GOSSIP_AWARENESS     8u // so many times slower when we ourselves seem to be ill, at most
#define GOSSIP_RUMOR_MS      200u
#define GOSSIP_FANOUT        3u
#define GOSSIP_RETRANSMIT    4u     // times ceil(log10(members + 1))
#define GOSSIP_EXCHANGE_MS   30000u // the whole table with one other
#define GOSSIP_HEAL_MS       10000u // the dead and the seeds are tried
#define GOSSIP_HEAL_ALONE_MS 1000u
#define GOSSIP_REMEMBER_MS   86400000u // the dead: longer than an outage over a night
#define GOSSIP_SEEDS_MAX     64u
#define GOSSIP_RELAYS        128u
#define GOSSIP_JUMP_MS       2000u // between two steps: more is not counted, we slept

struct gossip_config {
    uint64_t cluster; // of the cluster's name: messages of others are refused
    struct gossip_uuid uuid;
    uint64_t incarnation; // larger than in any earlier life of this uuid
    struct slice name, meta;
    struct gossip_address address; // what others can reach
    uint32_t members_max;          // 2 to 65,535, oneself included
    uint64_t seed;                 // of the generator: the same one gives the same run
};

enum gossip_event_kind {
    GOSSIP_TICK,     // nothing but the time
    GOSSIP_RECEIVED, // a message that the seal has vouched for
    GOSSIP_REFUSED,  // the link to this member was reset, and dialling it again refused
    GOSSIP_SEEDS,    // where members may be: replaces the list; more than fit are left out
    GOSSIP_ADDRESS,  // ours has changed
    GOSSIP_META,     // ours has changed
    GOSSIP_DIGEST,   // ours has changed
    GOSSIP_FORGET,   // this member does not live, and has left: that is said for it
    GOSSIP_LEAVE,    // the last: what follows is ignored
};

// The fields that an event's kind needs; all borrowed for the step.
struct gossip_event {
    enum gossip_event_kind kind;
    struct gossip_uuid uuid; // RECEIVED: the sender; REFUSED, FORGET: the member
    uint64_t incarnation;    // the same
    bool reliable;           // RECEIVED: over a stream, so that address is no use for an answer
    struct gossip_address address; // RECEIVED: where it came from; ADDRESS; FORGET: the member's
    struct slice bytes; // RECEIVED: the message; META, DIGEST, FORGET: at most their limits
    // FORGET: the member's; a version above all that it has said; for how long it has left.
    struct slice name;
    uint32_t version, age_s;
    const struct gossip_address *seeds;
    uint32_t seed_count;
};

enum gossip_action_kind {
    GOSSIP_SEND,       // seal and send bytes
    GOSSIP_MEMBER,     // came, changed its state, its incarnation or its details
    GOSSIP_NEWS,       // its digest is another
    GOSSIP_FORGOTTEN,  // dead for longer than is remembered, or in the way when the table was full
    GOSSIP_NAME_TWICE, // this member has the name of another one that lives
    GOSSIP_OUTDATED,   // someone lives as ourselves: start again, with an incarnation above the one
                       // that is given
    GOSSIP_GIVEN_UP,   // others held that we have left, and are told that we live
};

struct gossip_action {
    enum gossip_action_kind kind;
    enum gossip_state state; // MEMBER
    bool reliable;           // SEND: over a stream, dialled if there is none
    struct gossip_address address;
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint32_t offset, len; // SEND: into actions->bytes
};

// Cleared by each step, which grows it as it needs. One may serve many machines.
struct gossip_actions {
    struct gossip_action *items;
    uint32_t count, cap;
    uint8_t *bytes;
    uint32_t len, bytes_cap;
};

#define GOSSIP_STATS(X)                                                                       \
    X(strangers)      /* messages of another cluster */                                       \
    X(malformed)      /* messages that break the format */                                    \
    X(other_versions) /* messages of a format that is not ours */                             \
    X(stale)          /* messages of an incarnation that is over */                           \
    X(from_self)      /* our own messages */                                                  \
    X(unanswerable)   /* messages over a stream from who is not known */                      \
    X(refused_full)   /* members that found no place */                                       \
    X(refused_relays) /* requests to probe for others beyond GOSSIP_RELAYS */                 \
    X(distrusted)     /* what members held dead said of others */                             \
    X(probes)                                                                                 \
    X(probes_failed)                                                                          \
    X(acks_indirect)  /* probes that another member's answer saved */                         \
    X(acks_by_stream) /* probes that the stream saved */                                      \
    X(suspected)      /* members that came under suspicion */                                 \
    X(deaths)         /* members declared dead here, not told so */                           \
    X(fast_deaths)    /* of these, because of GOSSIP_REFUSED or a new owner of the address */ \
    X(refuted)        /* claims about us that were wrong */                                   \
    X(names_twice)                                                                            \
    X(jumps)          /* steps later than GOSSIP_JUMP_MS after the one before, or earlier */  \
    X(exchanges)      /* tables asked for */                                                  \
    X(exchanges_same) /* of these, that were ours */                                          \
    X(messages_out)                                                                           \
    X(bytes_out) /* of messages, before the seal */

struct gossip_stats {
#define X(name) uint64_t name;
    GOSSIP_STATS(X)
#undef X
};

// A member as others may see it. Borrows until the next step.
struct gossip_view {
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint32_t version;
    enum gossip_state state;
    uint64_t state_ms; // for how long it has been suspected, dead or gone; ALIVE: not meant
    struct gossip_address address;
    struct slice name, meta, digest;
    uint64_t digest_number;
};

struct gossip;

struct gossip *gossip_new(const struct gossip_config *config, uint64_t now_ms); // returns new
void gossip_free(struct gossip *gossip); // takes; NULL is fine
void gossip_actions_free(struct gossip_actions *actions);

// now_ms: of a clock that goes on; if it does not, that is counted and survived. What was received
// should be given before a TICK, or who answered in time may be blamed after we slept.
void gossip_step(struct gossip *gossip, uint64_t now_ms, const struct gossip_event *event,
                 struct gossip_actions *actions);
// When the next TICK is due at the latest, by the same clock; never more than a second ahead.
uint64_t gossip_wait_until(const struct gossip *gossip);

uint32_t gossip_count(const struct gossip *gossip); // all that are known, oneself is number 0
uint32_t gossip_alive(const struct gossip *gossip); // alive or under suspicion, with oneself
void gossip_view(const struct gossip *gossip, uint32_t i, struct gossip_view *ret_view);
bool gossip_find(const struct gossip *gossip, const struct gossip_uuid *uuid,
                 struct gossip_view *ret_view);
// The same in two nodes when they know the same of all members: order-independent.
uint64_t gossip_hash(const struct gossip *gossip);
const struct gossip_stats *gossip_stats(const struct gossip *gossip);
uint32_t gossip_awareness(const struct gossip *gossip); // 0: well
void
gossip_check(const struct gossip *gossip); // must() on all that holds between steps; O(members)

#endif
