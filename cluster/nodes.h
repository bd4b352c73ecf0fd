// nodes.h - between the files of the cluster: the other nodes, and our routes.
//
// Job:    what is behind struct cluster. link.c works on the shards, agent.c on its own thread.
// Owner:  main. Thread: each field says. Memory, Limits: cluster.h's.
#ifndef TERN_CLUSTER_NODES_H
#define TERN_CLUSTER_NODES_H

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/list.h"

#include "cluster/cluster.h"
#include "cluster/gossip.h"
#include "cluster/groups.h"
#include "cluster/identity.h"
#include "cluster/route_log.h"
#include "cluster/route_set.h"
#include "cluster/stamps.h"
#include "core/broker.h"
#include "core/cluster.h"

#define TOPIC_ROUTES   NODE_ROOT "routes"
#define TOPIC_RETAINED NODE_ROOT "retained"
#define TOPIC_CAME     NODE_ROOT "came"
#define TOPIC_AGAIN    NODE_ROOT "again"
#define TOPIC_WILLS    NODE_ROOT "wills"
#define TOPIC_WILLED   NODE_ROOT "willed"

#define SECRET_MAX     1024u
// The first byte of a key that is not a route: a client identifier follows, whose session is here.
#define KEY_SESSION 1u

// What a node speaks. It understands all versions from the oldest on, and talks to whoever
// understands it: two of which each is too old for the other do not. A version is a change that
// others must know of; what they may leave alone is a feature, and unknown ones are none.
#define VERSION        1u
#define VERSION_OLDEST 1u
#define FEATURES       UINT64_C(1) // FEATURE_MOVE

struct version {
    uint32_t speaks, oldest;
    uint64_t features;
};

// What a node may tell: filters and share groups of its clients, and sessions that are there. Eight
// times what was measured, and at most 1 GB of memory on each other node. A node keeps to it by
// itself: clients are told (has_room). Their workers do not ask each other, so there is some slack;
// whoever tells more than that is not listened to.
#define KEYS_MAX        (UINT32_C(1) << 23)
#define KEY_BYTES_MAX   (UINT64_C(1) << 30)
#define KEYS_SLACK      65536u
#define KEY_BYTES_SLACK (UINT64_C(1) << 26)

struct key_limits { // as above; tests have others
    uint32_t keys, slack, groups;
    uint64_t bytes;
};

// Keys that are in force, summed up: the lower ROUTE_SUM_BITS of hash are those of a route_set.
struct tally {
    uint64_t hash, bytes;
    uint32_t count;
};

#define CLAIM_MAX (UINT64_C(1) << 62) // a word with more is none
struct held_will;
struct retained_walk;

enum link_gone {
    LINK_KEPT,
    LINK_FORGOTTEN, // by gossip: once its session here has ended nothing is left of it
    LINK_FOR_GOOD,  // this uuid will not come again: what waits for it has nobody to wait for
};

// Another node. Its session, and what comes from it, live on one shard.
struct link {
    char id[NODE_ID_LEN + 1];
    struct link *next; // in nodes->replaced
    unsigned shard;
    // Of that shard's worker.
    struct session *session; // while the link is up
    bool comes, parted; // it has a connection to us; one of both ended with a word since they came
    struct route_reader reader;
    struct retained_walk *walk; // our retained messages on their way; NULL = all have been told
    struct stamps_walk cleared; // then what was cleared
    bool telling_cleared;
    uint64_t looked_ms;     // when what follows was looked at
    uint64_t told;          // our routes up to this change are on their way
    bool listening, first;  // a whole set of its routes is on its way to us; there were none before
    struct route_set heard; // of that set, unless it is the first, but for routes: these are marked
    uint64_t heard_bytes;   // of their keys
    struct tally tally;     // of its routes that are in force here
    uint64_t incarnation, applied; // of its routes, when all of a set had come; 0: not yet
    struct scrub {
        bool running;
        uint32_t place, part; // part: of the table of routes, behind all places
        struct tally tally;   // of what was looked at
        uint64_t applied;     // what is looked at is as old as this
    } scrub;
    bool ask_again;        // it is to tell its routes anew
    uint64_t digest_round; // of nodes->digest_round, that it was told of
    uint64_t said_keys_ms, said_copy_ms, said_retained_ms; // when a line about it is due again
    // Claims that it is told anew, by all shards: how many times so far, from the beginning each
    // time; it takes a word of them now; one of the shards waits for that.
    _Atomic uint64_t claims_round;
    _Atomic bool claims_room, claims_wanted;
    // Of all. Sessions that outlive their connections there: its shard changes them, with mutex.
    struct route_set sessions;
    _Atomic bool up;
    _Atomic uint32_t waiting;  // messages for it, while sessions move
    _Atomic uint64_t features; // that both have
    _Atomic bool known_yet;    // there is a session of it: what is for it waits
    _Atomic bool copied;       // since we started, a whole set of its routes and sessions has come
    _Atomic bool whole;        // since it came, all that is retained there was told
    // As sync.c has it: what is retained here was taken there; once both ways had all; our last
    // change when we came.
    _Atomic bool told_whole, caught_up;
    _Atomic uint64_t known_wanted;
    _Atomic uint64_t away_ms; // since when gossip holds it dead or left; 0 = it does not
    _Atomic bool forgotten;   // it has left, as `ternmqctl forget` says
    _Atomic uint8_t gone;     // enum link_gone, with nodes->mutex
    _Atomic bool retired;     // with nodes->mutex, by its shard: another node may have its place
    _Atomic uint64_t known;   // our routes up to this change are in force there
    // What gossip says: it lives; since when it is held dead, 0: it is not; it has left.
    _Atomic bool alive, left;
    _Atomic uint64_t dead_ms, left_life; // the latter: its last incarnation that ended in order
    // Of its clients' Wills (wills.c): how many are held, and whether of a life that is over.
    _Atomic uint32_t wills_count;
    _Atomic bool orphans;
    // The Wills, and by client identifier their places, from 1 on; with nodes->wills_mutex, as what
    // follows: the first place that may be free; what it tells now; the highest claim of a Will of
    // its that was published; when both connections had ended without a word, 0: it told all since.
    struct route_set wills;
    struct held_will *held;
    uint32_t held_count, held_cap, held_free;
    uint64_t wills_incarnation, wills_round, life_ms; // the latter: when it first told of that life
    uint32_t wills_told;                              // shards that have told all
    uint64_t willed, lost_ms;
    bool stands;                  // at least one connection to or from it
    uint64_t said_seq, said_hash; // its own digest, as it came last. Of its shard's worker
    struct node_link seen;        // as that shard looked last; with nodes->roster_mutex
};

struct dialled_node {
    struct list node;
    struct node_dialled dialled;
};

// How far a shard is with telling its claims to one node.
struct claims_walk {
    uint64_t round;
    uint32_t at; // the next bucket of the registry; UINT32_MAX = all have been told
};

// What waits for a shard's worker.
struct inbox {
    pthread_mutex_t mutex;
    struct list dialled;
    _Atomic bool full;
    _Atomic bool look; // figures are wanted
    // Of the worker's.
    uint64_t news;              // the last of nodes->news that it saw
    struct list waiting, early; // for a way to a node; until it is known where sessions are
    struct claims_walk claims[CLUSTER_NODES_MAX]; // by link
    uint8_t *word;                                // of claims, as it is made
    uint32_t word_len, word_cap;
    uint8_t *wills; // the same of Wills
    uint32_t wills_len, wills_cap;
    _Atomic bool look_at_wills, wills_out; // some may be due; some that are waited for are out
};

struct nodes {
    struct cluster cluster; // first
    struct broker *broker;
    char *name; // of the cluster
    struct slice secrets[2];
    uint32_t secret_count;
    uint8_t secret_bytes[SECRET_MAX];
    struct identity identity;
    // settling: started, and does not know yet which sessions others have. synced: sync.c
    _Atomic bool stopping, settling, synced;
    struct agent *agent;
    pthread_mutex_t mutex; // routes, and adding links
    struct route_log *log;
    struct route_set counts;  // sessions that subscribe to a key
    struct groups groups;     // of our clients
    _Atomic uint64_t changes; // the last one of log
    struct key_limits limits;
    struct version version;
    struct {
        _Atomic uint64_t strangers, versions_refused;
        _Atomic uint64_t strangers_said_ms, versions_said_ms; // when a line is due again
    } hello;
    _Atomic uint32_t key_count, group_count; // of log
    _Atomic uint64_t key_bytes;
    _Atomic uint64_t digest_round; // one more: links that know all are told our digest

    struct stripe stripes[CLEARED_STRIPES];
    uint32_t cleared_max; // of a stripe
    _Atomic uint64_t last_stamp, cleared_sweep_ms;
    _Atomic uint64_t cleared_count, cleared_forgotten;
    _Atomic uint64_t cleared_said_ms;

    // [0, link_count) are there. One that is retired is replaced by another's, and freed when no
    // worker can be in the tick in which it found it.
    _Atomic(struct link *) links[CLUSTER_NODES_MAX];
    _Atomic(struct link *) replaced; // by link->next; with mutex
    _Atomic uint32_t link_count, recalled_count;
    struct list recalled; // remember.c; with mutex
    struct move *move;
    struct forget *forget;
    _Atomic uint64_t tokens, doubled;
    _Atomic uint64_t claim;      // the highest that was made here or heard of
    pthread_mutex_t wills_mutex; // of what is held of links
    _Atomic uint64_t wills_held, wills_bytes, wills_refused, wills_published;
    _Atomic uint64_t news; // counts what acknowledgements may wait for
    _Atomic uint64_t alive, dead, left_out, strangers, route_count, routes_told;
    _Atomic uint64_t routes_refused, divergence;
    struct inbox inboxes[TRIE_SHARDS_MAX];

    pthread_mutex_t roster_mutex;
    struct cluster_node roster[CLUSTER_MEMBERS_MAX]; // as gossip saw them last, ourselves first
    uint32_t roster_count;
};

static inline struct nodes *
nodes_of(struct cluster *cluster)
{
    return container_of(cluster, struct nodes, cluster);
}

// The link to the node with this id, made if need be, and kept from now on; NULL: there are too
// many. Borrowed by a worker until the end of its tick, by the agent until it says nodes_gone.
struct link *nodes_link(struct nodes *nodes, const char *id);
// The same, if it is there. With the mutex.
struct link *nodes_find_link(struct nodes *nodes, const char *id);
// What becomes of its link, if there is one. The agent's.
void nodes_gone(struct nodes *nodes, const char *id, enum link_gone gone);
void nodes_link_free(void *p);              // takes a struct link
void nodes_wake_links(struct nodes *nodes); // those workers that have something to tell
// All workers look at what waits for other nodes.
void nodes_wake_all(struct nodes *nodes);
// By which `from` comes to `to`.
void nodes_password(const struct nodes *nodes, uint32_t secret, const char *from, const char *to,
                    char ret[NODE_PASS_LEN + 1]);
// The log has changed. HOLDS(nodes->mutex).
void nodes_note_log(struct nodes *nodes);

#endif
