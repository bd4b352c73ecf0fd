// stamps.h - what is retained, and what was cleared, with the time at which it was.
//
// Job:    of two changes of a topic's retained message the later one is the topic's, in whatever
//         order they come; what was cleared is remembered as long as another node may not know.
// Owner:  struct nodes. Thread: a worker's, one at a time for each topic.
// Memory: 88 bytes and the topic for each one that was cleared. Limits: CLEARED_MAX and
//         CLEARED_BYTES_MAX.
#ifndef TERN_CLUSTER_STAMPS_H
#define TERN_CLUSTER_STAMPS_H

#include <pthread.h>

#include "core/base/list.h"

#include "core/msg.h"

struct cluster;
struct nodes;
struct shard;

// Topics that were cleared are remembered while a node is away, and for CLEARED_MS: else what it
// tells of an earlier time would bring them back. So many of them; then the oldest are forgotten,
// which is counted and logged.
#define CLEARED_MAX       262144u
#define CLEARED_BYTES_MAX (64u << 20)
#define CLEARED_STRIPES   64u
#define CLEARED_BUCKETS   256u
#define CLEARED_MS        60000u

struct cleared;

// Where a walk over them is.
struct stamps_walk {
    uint32_t stripe;
    uint64_t number;
};

// Topics by their hash: changes of one topic come one after the other.
struct stripe {
    pthread_mutex_t mutex;
    struct cleared *buckets[CLEARED_BUCKETS];
    struct list oldest; // in the order of clearing
    uint32_t count;
    size_t bytes;
    uint64_t number; // of the last one
};

bool stamps_begin(struct cluster *cluster, struct shard *shard, const struct pub *pub,
                  struct stamp *stamp);
void stamps_end(struct cluster *cluster, struct shard *shard, const struct pub *pub,
                const struct stamp *stamp, bool stored);
void stamps_was_cleared(struct cluster *cluster, struct slice topic, const struct stamp *stamp);
// What was cleared is forgotten once all nodes that are known have had the time to hear of it.
void stamps_tick(struct nodes *nodes, struct shard *shard);
// The next topic that was cleared, and when; the caller begins with a zeroed walk. Returns new: the
// topic. NULL: that is all.
char *stamps_next(struct nodes *nodes, struct stamps_walk *walk, struct stamp *ret_stamp);
void stamps_free(struct nodes *nodes);

#endif
