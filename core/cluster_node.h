// cluster_node.h - what a node knows of another one, for people who ask.
//
// Job:    the rows of `ternmqctl cluster`: who it is, its load, the links to and from it, its
//         routes here, what waits for it.
// Owner:  cluster/roster.c fills them in. Thread: any; a row is a copy. Memory: none but the row.
// Limits: CLUSTER_MEMBERS_MAX rows.
#ifndef TERN_CORE_CLUSTER_NODE_H
#define TERN_CORE_CLUSTER_NODE_H

#include "core/base/base.h"

#define NODE_ID_LEN      32u // a uuid in hexadecimal
#define NODE_NAME_LEN    63u
#define NODE_ADDRESS_LEN 63u
#define NODE_VERSION_LEN 32u // of what is shown of it
// How clients reach all listeners of a node (advertised.h): what gossip has room for.
#define NODE_ADVERTISED_MAX 91u
#define NODE_REFERENCE_MAX  100u // a Server Reference
// Nodes that may be known, with this one.
#define CLUSTER_MEMBERS_MAX 65u

// As the node itself says, every few seconds.
struct node_load {
    uint64_t uptime_s;
    uint64_t clients;           // that are connected
    uint64_t in_rate, out_rate; // messages from and to clients a second
};

// What is here of a node's routes, beside what it says that it has.
enum node_copy {
    NODE_COPY_NONE,    // nothing has come yet
    NODE_COPY_SAME,    // as many changes, and the same hash
    NODE_COPY_BEHIND,  // more changes are on their way
    NODE_COPY_DIFFERS, // as many changes, and another hash: a bug; they are taken anew
    NODE_COPY_OWN,     // they are this node's own
};

// Of the way to a node, as its shard has looked last.
struct node_link {
    bool up;      // our connection to it
    bool from_up; // its connection to us
    enum node_copy copy;
    uint64_t routes, sessions;    // its filters in force here; sessions that it keeps
    uint64_t seq, hash;           // of its routes: changes applied here, the sum of what is here
    uint64_t said_seq, said_hash; // the same as it has said last
    uint64_t taken;               // changes of our routes that are in force there
    uint64_t waiting;             // messages that it has not acknowledged, ours to it included
    uint64_t inflight;            // of these, those that were sent on this connection
    uint64_t bytes;               // of those that were not sent yet
    uint64_t on_disk, disk_bytes; // of these, what is on the disk alone
    uint64_t lag_ms;              // age of the oldest one that waits; 0: none does
    bool lag_known;               // false: the oldest is on the disk alone
};

struct cluster_node {
    char id[NODE_ID_LEN + 1], name[NODE_NAME_LEN + 1];
    char address[NODE_ADDRESS_LEN + 1]; // by which the others reach it
    char version[NODE_VERSION_LEN + 1]; // "": it does not say
    const char *state;                  // "alive", "suspected", "dead" or "gone"
    uint64_t incarnation;               // counts its starts
    uint64_t state_s;                   // for how long it has been in it; 0 of one that is alive
    bool self, has_load;
    bool draining; // it takes no clients
    uint8_t advertised_len, advertised[NODE_ADVERTISED_MAX];
    struct node_load load; // has_load: of one that is there, and says it
    uint64_t referred;     // clients that we have sent there, as far as load may not show them yet
    struct node_link link; // of oneself the routes alone
};

// A node that is to be forgotten, and what is given up with it here.
struct forget_view {
    char id[NODE_ID_LEN + 1], name[NODE_NAME_LEN + 1]; // name "": not known
    const char *state;                 // "dead", "gone"; "unknown": not heard of since we started
    uint64_t state_s;                  // for how long it has been in it
    uint64_t sessions, waiting, wills; // that it keeps; messages for it; of its clients
    const char *why;                   // it may not be, for people
};

#endif
