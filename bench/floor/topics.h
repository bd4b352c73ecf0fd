// topics.h - which connections want which topic: a table by the topic's number.
//
// Job:    add and remove subscriptions; the members of a topic for the delivery to walk over.
// Owner:  a relay, for its own connections; `wanted` is shared by all relays of the process.
// Thread: the owner's, but `wanted`, which is atomic.
// Memory: 16 bytes for each number up to the highest one used, and a pointer per subscription.
// Limits: TOPICS_MAX numbers, 8 relays.
#ifndef TERN_BENCH_FLOOR_TOPICS_H
#define TERN_BENCH_FLOOR_TOPICS_H

#include <stdatomic.h>

#include "core/base/base.h"

#define TOPICS_MAX  (1u << 20)
#define TOPICS_ALL  TOPICS_MAX // subscribed with a wildcard: every number
#define TOPICS_NONE (TOPICS_MAX + 1)

struct conn;

struct members {
    struct conn **list;
    uint32_t count, cap;
};

struct topics {
    struct members of[TOPICS_MAX + 1];
};

// By number: a bit for each relay that has members.
struct topics_wanted {
    _Atomic uint8_t by[TOPICS_MAX + 1];
};

struct topics *topics_new(void); // returns new

// relay: whose bit is set as the first member comes, and cleared as the last one goes.
void topics_add(struct topics *topics, uint32_t number, struct conn *conn,
                struct topics_wanted *wanted, uint32_t relay);
void topics_remove(struct topics *topics, uint32_t number, const struct conn *conn,
                   struct topics_wanted *wanted, uint32_t relay);

#endif
