// route_log.h - the routes that point to a node: written by it alone, copied by all others.
//
// Job:    owner: a set of (key, weight), a number for each change, the recent changes, a hash of
//         the set that does not depend on order. Replica: applies changes in order, goes on where
//         it was, or takes a snapshot and swaps it in whole.
// Owner:  the node that the routes point to has the log; every other node has a replica of it.
// Thread: one at a time each. No socket inside: the link carries the operations.
// Memory: each route its key and 40 bytes; the ring ring_bytes.
// Limits: routes_max; a replica that is told more counts and keeps what fits (and so never claims
//         to be equal). A key is at most ROUTE_KEY_MAX bytes.
//
// A snapshot is read while the set changes: begin (at seq S), pages in the order of places, then
// the changes from S + 1 to E, then end (E, hash). Entries keep their places, so what is there all
// the time is seen exactly once; what changed meanwhile is put right by the changes, which say what
// is, not what differs, and may be applied twice.
#ifndef TERN_CLUSTER_ROUTE_LOG_H
#define TERN_CLUSTER_ROUTE_LOG_H

#include "core/base/err.h"

#include "cluster/gossip_codec.h"

#define ROUTE_KEY_MAX    65536u // a byte, and a topic filter or a client identifier
#define ROUTE_DIGEST_LEN 16u    // seq and hash: what rides on gossip

struct route_op {
    uint64_t seq;
    struct slice key;
    uint32_t weight; // 0: the route goes
};

struct route_digest { // of an incarnation
    uint64_t seq, hash;
};

// Big-endian, as a digest of gossip has it.
void route_digest_write(const struct route_digest *digest, uint8_t ret[ROUTE_DIGEST_LEN]);
bool route_digest_read(struct slice bytes, struct route_digest *ret_digest);

// ---- The owner ----------------------------------------------------------------------------------

struct route_log;

struct route_log *route_log_new(uint64_t incarnation, uint32_t ring_bytes); // returns new, empty
void route_log_free(struct route_log *log);                                 // takes; NULL is fine
// The route of this key has this weight now; 0 removes it. False when that is so already.
bool route_log_set(struct route_log *log, struct slice key, uint32_t weight);
uint64_t route_log_incarnation(const struct route_log *log);
struct route_digest route_log_digest(const struct route_log *log);
uint32_t route_log_count(const struct route_log *log);
uint64_t route_log_key_bytes(const struct route_log *log);
uint32_t route_log_weight(const struct route_log *log, struct slice key); // 0: it is no route

// Where a replica is in the log: kept for it by its link.
struct route_reader {
    bool snapshot; // of entries, from place on; else of changes
    uint64_t next; // change
    uint32_t place;
};

enum route_step {
    ROUTE_NOTHING, // all has been told
    ROUTE_BEGIN,   // forget a snapshot that is under way, begin one: op.seq is S
    ROUTE_ENTRY,   // of a snapshot; op.seq is 0
    ROUTE_CHANGE,  // the next one
    ROUTE_END,     // of a snapshot: ret_digest holds now
    ROUTE_DIGEST,  // the link's own: all has been told, and this holds now
};

// A replica says: I have applied so much of this incarnation (0, 0: nothing).
void route_reader_begin(const struct route_log *log, uint64_t incarnation, uint64_t applied,
                        struct route_reader *ret_reader);
// The next thing to tell, borrowed until the log changes.
enum route_step route_reader_next(const struct route_log *log, struct route_reader *reader,
                                  struct route_op *ret_op, struct route_digest *ret_digest);

// ---- The replica --------------------------------------------------------------------------------

#define ROUTE_REPLICA_STATS(X)                                                               \
    X(applied)                                                                               \
    X(repeated)  /* changes that were known */                                               \
    X(gaps)      /* changes that came before what is before them: say where you are again */ \
    X(snapshots) /* swapped in */                                                            \
    X(broken)    /* snapshots that were not what their end says */                           \
    X(diverged)  /* digests of the same seq with another hash: a bug */                      \
    X(refused)   /* routes beyond routes_max */

struct route_replica_stats {
#define X(name) uint64_t name;
    ROUTE_REPLICA_STATS(X)
#undef X
};

struct route_replica;

struct route_replica *route_replica_new(uint32_t routes_max); // returns new, empty
void route_replica_free(struct route_replica *replica);       // takes; NULL is fine
// The link is up: what to tell the owner. A snapshot that was under way is forgotten: the owner may
// go on with changes.
void route_replica_link_up(struct route_replica *replica, uint64_t *ret_incarnation,
                           uint64_t *ret_applied);
// What the owner tells, in any order and as often as it likes. ERR_PROTOCOL: what came does not
// follow what is here: say where you are again. Until a snapshot has ended, the old routes are the
// routes.
NODISCARD err_t route_replica_take(struct route_replica *replica, uint64_t incarnation,
                                   enum route_step step, const struct route_op *op,
                                   const struct route_digest *digest);
// A digest of the owner's, by gossip. ERR_PROTOCOL: what is here is wrong and has to come anew.
NODISCARD err_t route_replica_check(struct route_replica *replica, uint64_t incarnation,
                                    const struct route_digest *digest);
uint32_t route_replica_weight(const struct route_replica *replica, struct slice key); // 0: none
uint32_t route_replica_count(const struct route_replica *replica);
struct route_digest route_replica_digest(const struct route_replica *replica);
const struct route_replica_stats *route_replica_stats(const struct route_replica *replica);

#endif
