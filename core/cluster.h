// cluster.h - what core asks of the cluster, when the broker is one of several nodes.
//
// Job:    the words between core and cluster/. A node dials every other one, and is its client
//         there: what the other one's clients subscribe to is published to it, in MQTT 5 itself.
//         Here the other node is a session, NODE_TO and its uuid, that outlives its connection: it
//         queues, and is acknowledged by, as any other. There, who comes is NODE_FROM and our uuid.
// Owner:  main's, made before there are shards. Thread: each function says. Memory: cluster/'s.
// Limits: cluster/'s.
#ifndef TERN_CORE_CLUSTER_H
#define TERN_CORE_CLUSTER_H

#include "core/base/err.h"

#include "core/cluster_node.h"

// A node's subscription to a share group has this as its identifier: the number by which it is told
// that it was chosen, and how many members of the group it has.
#define NODE_GROUP_BITS 20u

static inline uint32_t
node_group_id(uint32_t route)
{
    return route & ((1u << NODE_GROUP_BITS) - 1);
}

static inline uint32_t
node_group_members(uint32_t route)
{
    return max_u32(route >> NODE_GROUP_BITS, 1);
}

struct ack_wait;
struct client;
struct cluster;
struct connect_view;
struct page;
struct msg;
struct pub;
struct session;
struct shard;
struct stamp;

#define NODE_ROOT         "$TERNMQ/" // no client's: of topics, filters and client identifiers
#define NODE_TO           NODE_ROOT "to/"
#define NODE_FROM         NODE_ROOT "from/"
#define NODE_FOR          NODE_ROOT "for/"
#define NODE_PASS_LEN     96u
#define NODE_KEY_LEN      32u
#define NODE_KEY_NAME_LEN 32u
#define NODE_HELLO_LEN    64u // what a node says of itself, as its user name

// A connection to another node, as it was dialled. Borrowed texts are copied.
struct node_dialled {
    int fd;
    char id[NODE_ID_LEN + 1];         // of the other node
    char password[NODE_PASS_LEN + 1]; // by which we may come
    uint64_t token;                   // of a client that is to be relayed; 0 = it is a link
};

// What $SYS says of the cluster.
struct cluster_figures {
    uint64_t nodes_alive, nodes_dead; // as this node sees it, with itself; who has left is neither
    uint64_t nodes_left_out;          // that are there, but beyond CLUSTER_NODES_MAX
    uint64_t links_up;
    uint64_t routes_ours;       // filters and share groups of our clients
    uint64_t routes_theirs;     // those of all other nodes, in force here
    uint64_t routes_told;       // since the start: entries and changes
    uint64_t waiting;           // messages for other nodes that they have not acknowledged
    uint64_t strangers;         // datagrams and CONNECTs of who has another secret or cluster name
    uint64_t divergence;        // copies of routes that were not what their owner has: a bug
    uint64_t routes_refused;    // beyond what a node may tell: of our clients, and of other nodes
    uint64_t versions_refused;  // CONNECTs of nodes that speak another version
    uint64_t cleared;           // topics that were cleared, which other nodes may not know yet
    uint64_t cleared_forgotten; // those beyond the limit: a node that was away may bring them back
    uint64_t wills_held;        // of other nodes' clients, in case these nodes die
    uint64_t wills_refused;     // for which there was no room
    uint64_t wills_published;   // since their nodes had died
    uint64_t doubled; // sessions that ended here because their clients have later ones elsewhere
};

// How far a node is that gives up its sessions.
struct move_view {
    const char *state;               // "off", "drains", "begins", "turns", "moves", "done"
    uint64_t left, moved;            // sessions
    char waits_for[NODE_ID_LEN + 1]; // a node that has not answered yet; "": none
};

struct cluster_ops {
    // A client's session, no node's, subscribes to the filter, or no longer does. ON_ANY.
    void (*subscribed)(struct cluster *cluster, struct slice filter, struct slice group,
                       bool added);
    // May other nodes be told of one more? Of such a filter or group; filter.len 0: of a session.
    // False: counted. ON_ANY.
    bool (*has_room)(struct cluster *cluster, struct slice filter, struct slice group);
    // May who says that it is this node come in? ERR_NOT_AUTHORIZED: a stranger.
    // ERR_PROTOCOL_VERSION: a node, but what it would say is not understood. Both are counted, and
    // logged once a minute. Its shard's.
    err_t (*admits)(struct cluster *cluster, const struct client *client,
                    const struct connect_view *view);
    // The claim of a CONNECT that comes now to this session: higher than all that were made here or
    // heard of before. Of two nodes at which a client has a connection or a session, the one with
    // the higher claim keeps it; of equal ones, the one with the higher NODE_ID. The shard's, as
    // the next four.
    uint64_t (*claim)(struct cluster *cluster, const struct session *session);
    // The client of this session has come, with that claim: the others are told. So they are of its
    // Will; *wait goes on until they have it, or it is on our disk for them, and taken_ms until its
    // Will of before is published where it comes from: see will_out.
    void (*came)(struct cluster *cluster, struct session *session, bool clean,
                 struct ack_wait *wait);
    // Of a session that came with ack_wait.taken_ms: may its client be let in?
    bool (*will_out)(struct cluster *cluster, const struct session *session);
    // Its Will is published, or not wanted any more. Came tells of it.
    void (*will_gone)(struct cluster *cluster, const struct session *session);
    // A RECORD_CLAIM of another shard's.
    void (*claimed)(struct cluster *cluster, struct shard *shard, struct slice record);
    // A RECORD_MOVE of another shard's. What session_read_page asked for; borrows. The shard's.
    void (*moving)(struct cluster *cluster, struct shard *shard, struct slice record);
    void (*read)(struct cluster *cluster, struct session *session, const struct page *page);
    // All sessions are to go to other nodes, for good; the broker drains. ERR_SERVER_UNAVAILABLE:
    // there is no other node that takes them, or not all nodes understand it. ON_ANY, as is how far
    // it is.
    err_t (*decommission)(struct cluster *cluster);
    void (*move_view)(struct cluster *cluster, struct move_view *ret_view);
    // A node (a name, or an id) that is dead, or has left, will not come again with what it had: on
    // all nodes nothing waits for it any more. look: only what there is. ERR_NOT_FOUND;
    // ERR_ADMINISTRATIVE: ret_view->why; ERR_SERVER_BUSY: it takes long, and may still be done. One
    // thread's, which waits for workers and the disk.
    err_t (*forget)(struct cluster *cluster, struct slice node, bool look,
                    struct forget_view *ret_view);
    // What we said to that session's node at QoS 0 was not sent.
    void (*missed)(struct cluster *cluster, struct session *session, const struct pub *pub);
    // A session that outlives its connection is here, or no longer. ON_ANY.
    void (*kept)(struct cluster *cluster, struct slice client_id, bool here);
    // Which other node has such a session. False: none that we know of. ON_ANY.
    bool (*elsewhere)(struct cluster *cluster, struct slice client_id,
                      char ret_node[NODE_ID_LEN + 1]);
    // A client wants a connection to that node. OK: client_relay_join or client_relay_fail follows,
    // unless it goes before. ERR_SERVER_BUSY: too many do; ERR_SERVER_UNAVAILABLE: that node has
    // been away for NODE_REACH_MS already. Its shard's, as the next two.
    err_t (*reach)(struct cluster *cluster, struct client *client, struct slice client_id,
                   const char *node);
    void (*unreach)(struct cluster *cluster, struct client *client);
    // The connection for that client came to nothing after all: it is dialled again soon. Its
    // shard's.
    void (*astray)(struct cluster *cluster, struct shard *shard, uint64_t token);
    // This node has just started, and does not know yet which sessions the others have, and which
    // of the Wills that are kept here they have published: the client waits, and client_relay_retry
    // follows, unless it goes before. False: it knows.
    bool (*too_early)(struct cluster *cluster, struct client *client);
    // Who wanted it. NULL: it has gone.
    struct client *(*reached)(struct cluster *cluster, struct shard *shard, uint64_t token);
    // What another node says to us, and not to our clients. Its shard's.
    err_t (*told)(struct cluster *cluster, struct client *client, struct slice topic,
                  struct slice payload);
    // The share group to which we gave this subscription identifier. Returns new: what both texts
    // are borrowed from, for mem_free. NULL: it has no member here, or none any more. ON_ANY.
    void *(*group)(struct cluster *cluster, uint32_t id, struct slice *ret_filter,
                   struct slice *ret_group);
    // The link to that session's node is up, or down again; or, if it is one of NODE_FROM, that
    // node's to us. It went without a word unless its client's want_close is set. Its shard's.
    void (*linked)(struct cluster *cluster, struct session *session, bool up);
    // That node has taken the message. Its shard's.
    void (*taken)(struct cluster *cluster, struct session *session, const struct msg *msg);
    // What is retained is to be changed by pub, of a client, its Will or another node, which has
    // given it a stamp; others get one here. False: what is here is later, and stays. Else
    // retain_end follows at once, and until then nobody else changes that topic. stored: it is in
    // the store, or was cleared there. order: of a clear. The shard's.
    bool (*retain_begin)(struct cluster *cluster, struct shard *shard, const struct pub *pub,
                         struct stamp *stamp);
    void (*retain_end)(struct cluster *cluster, struct shard *shard, const struct pub *pub,
                       const struct stamp *stamp, bool stored);
    // A topic that was cleared in an earlier life. Main's, before there are shards.
    void (*was_cleared)(struct cluster *cluster, struct slice topic, const struct stamp *stamp);
    // What is retained was changed by pub, of a client or its Will: others are told. Returns the
    // shards that journal this for them. The shard's, between two publications.
    uint64_t (*retained)(struct cluster *cluster, struct shard *shard, const struct pub *pub,
                         const struct stamp *stamp);
    // A session of another node's was restored. Its shard's.
    void (*known)(struct cluster *cluster, const struct session *session);
    // Once a tick of each shard; whether there is something to do for it; the next connection to be
    // taken there.
    void (*tick)(struct cluster *cluster, struct shard *shard);
    bool (*has_news)(struct cluster *cluster, const struct shard *shard);
    bool (*dialled)(struct cluster *cluster, unsigned shard, struct node_dialled *ret);
    // What a subscription that was made just now waits for, and whether all linked nodes know it.
    // 0: nothing. ON_ANY.
    uint64_t (*routes)(struct cluster *cluster);
    bool (*routes_known)(struct cluster *cluster, uint64_t routes);
    // What holds now, but for what shards count: that is as old as their last look at it, and they
    // look again. ON_ANY.
    void (*figures)(struct cluster *cluster, struct cluster_figures *ret_figures);
    // All nodes that are known, this one first: at most CLUSTER_MEMBERS_MAX. Returns how many; 0:
    // the cluster is not asked yet. What shards know is as old as their last look at it. ON_ANY.
    uint32_t (*nodes)(struct cluster *cluster, struct cluster_node *ret_nodes);
    // Where a client of the listener with that number can go instead: the less loaded of two nodes,
    // chosen at random of those that are linked, do not drain, and say how clients reach them.
    // False: there is none. ON_ANY; it takes a mutex.
    bool (*refer)(struct cluster *cluster, uint32_t listener, uint64_t random,
                  char ret_reference[NODE_REFERENCE_MAX + 1]);
    // Has this node caught up with all that live, once since it started, or waited long enough?
    // ON_ANY.
    bool (*synced)(struct cluster *cluster);
    // The shard looks now. The shard's.
    void (*look)(struct cluster *cluster, const struct shard *shard);
};

// By which nodes encrypt what they send each other, and prove that they may.
struct node_key {
    char identity[NODE_KEY_NAME_LEN + 1]; // which one it is; nothing of it
    uint8_t bytes[NODE_KEY_LEN];
};

struct node_keys {
    uint32_t count; // 0: cluster_plain
    // We go to other nodes with the first; whoever comes may have either.
    struct node_key keys[2];
};

// cluster/ has its own behind it.
struct cluster {
    const struct cluster_ops *ops;
    char id[NODE_ID_LEN + 1];
    char hello[NODE_HELLO_LEN];
    struct node_keys keys; // constant; wiped at the end
};

// A client identifier in a cluster, which NODE_FOR may stand before.
#define NODE_CLIENT_ID_MAX (UINT16_MAX - (sizeof NODE_FOR - 1))
// For so long a node that is away is queued for.
#define NODE_EXPIRY_S 86400u
// A client whose session's node cannot be reached is told so after this time. A node that has
// started, and cannot hear all others, takes clients' sessions for new ones after it as well.
#define NODE_REACH_MS 5000u
// A Will that was kept over a restart waits, so that other nodes can tell that they have published
// it.
#define NODE_WILL_HOLD_MS 5000u
// Messages that wait for a node: of all its clients.
#define NODE_QUEUE_MAX 10000000u
// Links to and from CLUSTER_NODES_MAX nodes, for which there are always descriptors, and clients
// that are relayed, from here and to here. None of them is a client of this node.
#define NODE_LINKS_MAX       128u
#define NODE_CONNECTIONS_MAX (NODE_LINKS_MAX + 65536u)
// Sockets of the cluster's threads: those that are being dialled, and some of its own.
#define NODE_DESCRIPTORS 336u
// A SUBACK waits no longer than this for nodes that do not answer.
#define NODE_ROUTES_MS 100u

#endif
