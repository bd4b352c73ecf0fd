// nodes_parts.h - what the files of the cluster do for each other.
//
// Job:    the functions beside nodes.h's structures, by file.
// Owner:  main. Thread: each section says. Memory, Limits: cluster.h's.
#ifndef TERN_CLUSTER_NODES_PARTS_H
#define TERN_CLUSTER_NODES_PARTS_H

#include "cluster/nodes.h"
#include "core/tickets.h"

// ---- link.c: on the shards

extern const struct cluster_ops cluster_ops;

// A node's session here: NODE_TO, what is for it waits; NODE_FROM, it comes. NULL: none yet, or no
// longer. The link's shard, as the next three.
struct session *link_session(const struct shard *shard, const struct link *link, const char *root);
// That node gets what we say of the topic.
NODISCARD err_t link_subscribe(struct session *session, const char *topic, uint8_t qos);
// What we say to a node ourselves: TOPIC_RETAINED, TOPIC_CAME twice, TOPIC_WILLED, and while the
// link is up TOPIC_WILLS twice; and TOPIC_MOVE twice, to one that understands it. None of these is
// a filter of its.
#define OWN_FILTERS 4u
#define OWN_LINKED  6u
#define OWN_MOVES   2u
bool link_has_room(const struct session *session); // for words
// Returns the answers of the other shards that journal it.
struct awaited link_publish(struct shard *shard, const char *topic, struct slice payload,
                            uint8_t qos);

// ---- sync.c: has this node caught up with the others, once since it started?

// Who does not come is not waited for any longer.
#define SYNC_MAX_MS 60000u
// The agent's, now and then: linked: all who are there have links. age_ms: since we started.
void sync_note(struct nodes *nodes, bool linked, uint64_t age_ms);
bool sync_is_done(struct cluster *cluster); // ON_ANY
// It is up; it has taken a word of TOPIC_RETAINED. all: the flag of the last one. Its shard's.
void sync_linked(const struct nodes *nodes, struct link *link);
void sync_taken(struct link *link, struct slice payload, uint8_t all);

// ---- gone.c: nodes that will not come again. The link's shard.

// What gossip says of that node: since when it cannot be reached, for clients that would wait for
// it; and whether it was forgotten (forget.h). The agent's.
void gone_note(struct nodes *nodes, const struct gossip_view *view);
// Ends what is left of one that gossip has forgotten, or that is gone for good, once nothing waits
// for it any more: its link's place is free then.
void gone_retire(struct nodes *nodes, struct shard *shard, struct link *link);
// Those whose place another one has taken.
void gone_free_replaced(struct nodes *nodes, const struct shard *shard);

// ---- hello.c: who may come as a node, and what it says of itself

// OK, ERR_NOT_AUTHORIZED, ERR_PROTOCOL_VERSION: core/cluster.h.
NODISCARD err_t hello_admits(struct cluster *cluster, const struct client *client,
                             const struct connect_view *view);
void hello_write(struct version version, char ret[NODE_HELLO_LEN]);
// False: it is none.
bool hello_read(struct slice text, struct version *ret);

// ---- copy.c: what is in force here of another node's routes. Its shard's.

// A key of it has this weight now (0: none), and had that one before. ERR_QUOTA_EXCEEDED, counted
// and logged: it tells more than it may, and nothing is to be done.
NODISCARD err_t copy_count(struct link *link, struct shard *shard, struct slice key,
                           uint32_t before, uint32_t after);
void copy_refuse(struct link *link, struct shard *shard); // counted and logged
// Is what is here what has this hash?
bool copy_is(const struct link *link, uint64_t hash);
// All of a set has come: what is in force now is its copy.
void copy_complete(struct link *link, const struct session *session, uint64_t incarnation,
                   uint64_t seq, uint64_t hash);
// So much has been applied of that life of it.
void copy_applied(struct link *link, uint64_t incarnation, uint64_t seq);
// What it has. Is the same here? look: at all that there is, in steps.
void copy_compare(struct link *link, struct shard *shard, uint64_t incarnation, uint64_t seq,
                  uint64_t hash, bool look);
// Once a tick.
void copy_tick(struct link *link, struct shard *shard, const struct session *session);

// ---- wills.c: those of other nodes' clients

// What shards post to each other of a client: a claim, and whose it is.
struct claim_record {
    uint64_t claim;
    char node[NODE_ID_LEN];
    uint8_t clean;
    bool willed; // of this claim of ours the Will was published
    bool late;   // it was made before: we are told of it apart, since we may not have heard
    // The client identifier follows.
};

// There is a new one. *wait, unless NULL: until it is safe. The session's shard, as the next
// ones.
void wills_tell(struct nodes *nodes, const struct session *session, struct ack_wait *wait);
void wills_gone(struct cluster *cluster, const struct session *session);
// This client comes: its Will of before is published if its node is held dead, or lost. *wait:
// until that is done where it lives (wills_out).
void wills_takeover(struct nodes *nodes, const struct session *session, struct ack_wait *wait);
bool wills_out(struct cluster *cluster, const struct session *session);
// The client has come to that node, or is there still. ON_ANY.
void wills_superseded(struct nodes *nodes, const struct link *by, struct slice client_id,
                      uint64_t claim);
// All that the shard has, for one node: the marks before and after, what is collected, and sent.
void wills_mark(struct nodes *nodes, const struct link *link, struct shard *shard, uint64_t round,
                bool end);
void wills_add(struct nodes *nodes, const struct session *session);
bool wills_word_is_long(const struct inbox *inbox);
void wills_send(struct nodes *nodes, const struct link *link, struct shard *shard);
// The link's shard.
NODISCARD err_t wills_linked(struct link *link, struct session *session);
void wills_unlinked(struct link *link, struct session *session);
// The link, or that node's to us, which that session is of, is up, or down again.
void wills_note_ways(struct nodes *nodes, struct link *link, const struct session *session,
                     bool up);
// Has it begun to tell what it has, since we started? The link's shard.
bool wills_begun(struct nodes *nodes, const struct link *link);
NODISCARD err_t wills_heard(struct nodes *nodes, struct link *link, struct shard *shard,
                            struct slice word);
// A word that a Will was published: what it says, for the shard of the client. Borrows from word.
NODISCARD err_t wills_willed(struct nodes *nodes, struct shard *shard, struct slice word,
                             struct claim_record *ret_record, struct slice *ret_id);
// Ours was, by another node. The session's shard.
void wills_used_up(struct session *session, uint64_t claim);
void wills_tick(struct nodes *nodes, struct shard *shard);
// What gossip says of that node. The agent's.
void wills_note_node(struct nodes *nodes, struct link *link, enum gossip_state state,
                     uint64_t incarnation, uint64_t now_ms);
void wills_drop(struct nodes *nodes, struct link *link); // all that are held of it
void wills_free(struct link *link);

// ---- claims.c: one connection and one session for a client, in all nodes

uint64_t claims_next(struct cluster *cluster, const struct session *session);
void claims_came(struct cluster *cluster, struct session *session, bool clean,
                 struct ack_wait *wait);
void claims_record(struct cluster *cluster, struct shard *shard, struct slice record);
void claims_missed(struct cluster *cluster, struct session *session, const struct pub *pub);
// A word of that node's.
NODISCARD err_t claims_heard(struct nodes *nodes, const struct link *link, struct shard *shard,
                             struct slice topic, struct slice word);
// The link is up: it is told of all. Its shard's.
NODISCARD err_t claims_linked(struct link *link, struct session *session);
// Once a tick; whether there is something to do for it.
void claims_tick(struct nodes *nodes, struct shard *shard);
bool claims_has_news(const struct nodes *nodes, const struct shard *shard);
// One of ours, to that node, which has a lower one, or to all: it has moved here.
void claims_tell(const struct session *session, const char *node);
void claims_moved(struct session *session);
NODISCARD err_t claims_willed(struct nodes *nodes, struct shard *shard, struct slice word);
void claims_free(struct inbox *inbox);

// ---- remember.c: which sessions other nodes keep, over our restart

// That node has a session that outlives its connection, or no longer. The link's shard.
void remember_session(struct link *link, struct shard *shard, struct slice client_id, bool there);
// A session of that node's was restored: what the store has of it is the link's from now on. Its
// shard's, before its first tick.
void remember_known(struct nodes *nodes, struct link *link);
// The node will not come again: what the store has of it goes by and by. HOLDS(nodes->mutex).
void remember_no_longer(struct nodes *nodes, struct link *link);
// Once a tick of each shard; whether there is something to do for it.
void remember_tick(struct nodes *nodes, struct shard *shard);
bool remember_has_news(struct nodes *nodes, const struct shard *shard);
void remember_free(struct nodes *nodes);

// ---- move.c (move.h)

void move_wake(struct nodes *nodes); // shards that wait for each other look again. The agent's

// ---- reach.c: clients whose sessions are elsewhere

// A client that wants a connection to the node of its session.
struct waiting {
    struct list node;
    struct client *client;
    uint64_t token, until_ms, again_ms; // then it is dialled again; 0: it is being dialled
    char to[NODE_ID_LEN + 1];
};

void reach_kept(struct cluster *cluster, struct slice client_id, bool here);
bool reach_elsewhere(struct cluster *cluster, struct slice client_id,
                     char ret_node[NODE_ID_LEN + 1]);
err_t reach_begin(struct cluster *cluster, struct client *client, struct slice client_id,
                  const char *node);
void reach_end(struct cluster *cluster, struct client *client);
void reach_astray(struct cluster *cluster, struct shard *shard, uint64_t token);
bool reach_too_early(struct cluster *cluster, struct client *client);
struct client *reach_find(struct cluster *cluster, struct shard *shard, uint64_t token);
// Those that have waited too long.
void reach_tick(struct nodes *nodes, struct shard *shard);

// ---- roster.c: who is there

// What gossip knows by now. The agent's.
void roster_note(struct nodes *nodes, const struct gossip *gossip);
uint32_t roster_nodes(struct cluster *cluster, struct cluster_node *ret_nodes);
// Those of links, to and from here: they are no clients. To here as the shards have looked last,
// who look again. ON_ANY.
uint64_t roster_connections(struct nodes *nodes);
// What the shard knows of the nodes whose links it has, by now. The shard's.
void roster_look(struct cluster *cluster, const struct shard *shard);

// ---- refer.c: where clients are sent. ON_ANY.

bool refer_client(struct cluster *cluster, uint32_t listener, uint64_t random,
                  char ret_reference[NODE_REFERENCE_MAX + 1]);

// ---- agent.c: the thread that finds nodes, and dials them

struct agent;
NODISCARD err_t agent_new(const struct config *config, struct agent **ret_agent,
                          char ret_problem[CLUSTER_PROBLEM_MAX]);
NODISCARD err_t agent_start(struct agent *agent, struct nodes *nodes);
// Dials the node for a client that is to be relayed. False: too many are on their way. ON_ANY.
bool agent_reach(struct agent *agent, const char *node, unsigned shard, uint64_t token);
void agent_stop(struct agent *agent);
void agent_free(struct agent *agent); // takes; NULL is fine

#endif
