// cluster_world.h - nodes, a network and time, all from one seed.
//
// Job:    runs the real membership machines; loses, doubles, delays and cuts what they send; pauses
//         and restarts them; knows what each of them has ever been told, and says what may not be.
// Owner:  a test. Thread: one.
// Memory: whole tables: (nodes)^2 times 300 bytes.
// Limits: WORLD_NODES_MAX nodes.
#ifndef TERN_TESTS_SIM_CLUSTER_WORLD_H
#define TERN_TESTS_SIM_CLUSTER_WORLD_H

#include "core/base/base.h"

#include "cluster/gossip.h"
#include "cluster/seal.h"

#define WORLD_NODES_MAX 1100u
#define WORLD_ONE_WAYS  8u
#define MS              UINT64_C(1000)
#define SECOND          UINT64_C(1000000)

struct seen { // what an observer was told last, in its present life, of a member
    uint64_t incarnation;
    enum gossip_state state;
    bool known;
};

struct node {
    struct gossip *gossip; // NULL: does not run
    struct seal *seal;     // NULL: what it sends is not sealed
    struct gossip_uuid uuid;
    uint64_t incarnation;
    uint32_t address; // a number of the world's
    uint32_t cluster;
    bool paused;
    uint8_t side;        // of a split: who is on another one is not reached
    bool deaf;           // nothing reaches it, but it is heard
    int64_t clock_ms;    // what its clock is ahead
    uint64_t wake_at;    // of the event that counts
    uint64_t resolve_at; // when it asks the name server again
    uint64_t dead_at;    // when it stopped; 0 while it runs
    uint64_t restart_at; // 0: does not
    uint64_t resume_at;
    bool new_address; // with the restart
    uint64_t bytes_out, datagrams_out;
    struct seen *seen;        // by node
    struct route_log *log;    // NULL: the world has no routes, or the node does not run
    struct route_peer *peers; // the same
    struct parcel **parcels;  // that came while it was paused
    uint32_t parcel_count, parcel_cap;
};

struct one_way {
    uint32_t from, to;
};

struct world {
    uint64_t seed, random;
    uint64_t now, order; // microseconds
    uint64_t happened;   // events in this second
    uint32_t node_count; // the first `members` of them are the cluster; the others are strangers
    uint32_t members;
    bool sealed, verbose;
    bool routes;                // the members have some
    bool changes;               // and they change
    uint32_t loss, twice, late; // of 1,000 datagrams
    bool streams_lose;          // messages over streams as well, and nothing sends them again
    struct one_way one_ways[WORLD_ONE_WAYS];
    uint32_t one_way_count;
    struct gossip_actions actions;
    struct parcel **heap;
    uint32_t heap_count, heap_cap;
    uint32_t next_address;
    uint32_t *owners; // of addresses: a node, or UINT32_MAX
    uint32_t owners_cap;
    struct gossip_stats past; // of machines that were stopped
    uint64_t false_deaths;    // changes to DEAD, at any observer, of who lives and is reachable
    uint64_t strangers;       // datagrams that the seal refused
    uint64_t names_twice;
    char problem[200]; // the first thing that may not be; "" if there is none
    struct node nodes[WORLD_NODES_MAX];
};

struct world *world_new(uint64_t seed, uint32_t members, uint32_t strangers, bool sealed);
void world_add_routes(struct world *world); // before anybody starts
void world_free(struct world *world);
// Does nothing come through?
bool world_cut(const struct world *world, uint32_t from, uint32_t to);
uint32_t world_random(struct world *world, uint32_t n); // below n
// Runs until then, or until something may not be.
void world_run(struct world *world, uint64_t until);
// Formats the problem, if it is the first.
void world_fail(struct world *world, const char *format, ...) PRINTF_LIKE(2);

// What happens to nodes.
void world_start(struct world *world, uint32_t node); // the next incarnation, where its address is
// told: the kernel closes its connections and refuses new ones, which peers notice; else silence.
void world_crash(struct world *world, uint32_t node, bool told);
void world_leave(struct world *world, uint32_t node);
void world_pause(struct world *world, uint32_t node);
void world_resume(struct world *world, uint32_t node);
void world_move(struct world *world, uint32_t node);          // a new address; tells it if it runs
void world_swap(struct world *world, uint32_t a, uint32_t b); // addresses; neither of them runs
void world_event(struct world *world, uint32_t node, const struct gossip_event *event);
void world_wake(struct world *world, uint32_t node); // a tick now, as after a clock's jump

// Do all running members of the cluster know the same, and the truth? Else why not.
bool world_agrees(struct world *world, char ret_why[160]);
// Do all running members hold this one dead (or gone)?
bool world_buried(const struct world *world, uint32_t node);
void world_stats(const struct world *world, struct gossip_stats *ret_sum);
uint64_t world_bytes(const struct world *world); // sent by members, with seal and headers

#endif
