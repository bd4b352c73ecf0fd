// hitters.h - the busiest topics of a stream, counted in bounded memory.
//
// Job:    space-saving (Metwally and others, 2005): a counter for each of the topics that weigh
// most
//         so far; a topic without one takes the lightest counter, and begins where that one stands.
// Owner:  the caller. Thread: one.
// Memory: HITTERS_BYTES_MAX.
// Limits: topics are told apart by their first HITTERS_TOPIC_MAX bytes.
//
// What holds, with W for the sum of all weights: a counter says no less than its topic weighs, and
// no more than `over` above that; `over` is at most W / HITTERS; and every topic that weighs more
// than W / HITTERS has a counter.
#ifndef TERN_CORE_HITTERS_H
#define TERN_CORE_HITTERS_H

#include "core/base/hash.h"

#define HITTERS           512u
#define HITTERS_TOPIC_MAX 512u
#define HITTERS_BYTES_MAX ((size_t)HITTERS * (HITTERS_TOPIC_MAX + 72u) + 4096u)

struct hitters;

struct hitter {
    struct slice topic;       // borrowed until the next hitters_add
    uint64_t weight;          // no less than it is
    uint64_t over;            // of it, what may be other topics'
    uint64_t messages, bytes; // since it has had its counter: no more than it is
};

struct hitters *hitters_new(const struct hash_key *key); // returns new
void hitters_free(struct hitters *hitters);              // takes; NULL is fine
// So many messages of so many bytes in all, which weigh so much.
void hitters_add(struct hitters *hitters, struct slice topic, uint64_t weight, uint64_t messages,
                 uint64_t bytes);
uint64_t hitters_total(const struct hitters *hitters); // W
// The counter at this place of [0, HITTERS), in no order. False: there are not so many.
bool hitters_at(const struct hitters *hitters, uint32_t place, struct hitter *ret);

#endif
