// governor.h - what gives way, and in which order, when memory runs short.
//
// Job:    one level for the whole broker, from the account of all shards and memory_limit; each
//         level sheds what those below it do, and something more.
// Owner:  the broker has the level, each shard a copy for its tick. Thread: each function says.
// Memory: none. Limits: the table in governor.c is the only place that has numbers.
#ifndef TERN_CORE_GOVERNOR_H
#define TERN_CORE_GOVERNOR_H

#include "core/base/base.h"

struct broker;
struct shard;

enum governor_level {
    GOVERNOR_CALM,
    // QoS 0 for clients whose socket takes no more is dropped; what waits for absent clients stays
    // on the disk, where there is one.
    GOVERNOR_TRIM,
    // Publishers are read for a moment now and then: what they acknowledge may be what frees
    // memory.
    GOVERNOR_SLOW,
    // A CONNECT that needs a new session is refused (0x97), and so is every SUBSCRIBE (0x97).
    // Sessions that are there may be picked up, and so emptied.
    GOVERNOR_REFUSE,
    // Every CONNECT is refused (0x89). PUBLISH at QoS 0 is dropped; an MQTT 5 client is told 0x97.
    GOVERNOR_FULL,
    // Who cannot be told, and publishes at QoS > 0, loses its connection and brings it again.
    GOVERNOR_CLOSE,
};
#define GOVERNOR_LEVELS 6u

// The level after `now`, with this much of memory_limit in use; max 0: no limit. It rises at a
// level's share and falls when there is a twentieth less than that, so that it does not flutter.
enum governor_level governor_next(enum governor_level now, uint64_t memory, uint64_t max);
// Once a tick, by each shard, while memory is near a level or something is shed: decides for all,
// tells of a change once, and keeps a copy in the shard. ON_WORKER.
void governor_decide(struct shard *shard, uint64_t memory, uint64_t max);
// memory_limit becomes what the host grants by now. True: it has changed, and workers that sleep
// should look at it. Main.
bool governor_follow_host(struct broker *broker);

#endif
