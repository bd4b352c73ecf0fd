// pending.h - the packet identifiers that one publisher has in use.
//
// Job:    hand out identifiers, know how far each QoS flow is, and, where sessions outlive
//         connections, what has to be sent again and in which order.
// Owner:  the publisher. Thread: its worker's.
// Memory: a byte per identifier; 16 more when it remembers. Limits: 65,535 identifiers.
#ifndef TERN_BENCH_PENDING_H
#define TERN_BENCH_PENDING_H

#include "core/base/base.h"

enum pending_state {
    PENDING_FREE,
    PENDING_PUBLISHED, // waits for PUBACK or PUBREC
    PENDING_RELEASED,  // waits for PUBCOMP
};

struct pending_sent {
    uint64_t seq, due_us;
};

// Zeroed memory has no identifiers.
struct pending {
    uint8_t *states;           // by packet identifier
    struct pending_sent *sent; // the same index; NULL unless it remembers
    uint32_t id_max, id_last;
    uint32_t open; // identifiers in use
};

// Identifiers 1 to id_max, all free.
void pending_init(struct pending *p, uint32_t id_max, bool remember);
void pending_free(struct pending *p);
// The identifiers in use, by sequence number; ret_ids has room for p->open. It must remember.
void pending_in_order(const struct pending *p, uint16_t *ret_ids);

// Identifiers are taken in turn. One has to be free.
static inline uint16_t
pending_take(struct pending *p, uint64_t seq, uint64_t due_us)
{
    must_hot(p->open < p->id_max);
    do
        p->id_last = p->id_last == p->id_max ? 1 : p->id_last + 1;
    while (p->states[p->id_last] != PENDING_FREE);
    p->states[p->id_last] = PENDING_PUBLISHED;
    p->open++;
    if (p->sent != NULL)
        p->sent[p->id_last] = (struct pending_sent){seq, due_us};
    return (uint16_t)p->id_last;
}

// PENDING_FREE for what is no identifier.
static inline enum pending_state
pending_state(const struct pending *p, uint16_t id)
{
    return p->states == NULL || id > p->id_max ? PENDING_FREE : (enum pending_state)p->states[id];
}

static inline void
pending_release(struct pending *p, uint16_t id)
{
    must_hot(pending_state(p, id) == PENDING_PUBLISHED);
    p->states[id] = PENDING_RELEASED;
}

static inline void
pending_end(struct pending *p, uint16_t id)
{
    must_hot(pending_state(p, id) != PENDING_FREE && p->open > 0);
    p->states[id] = PENDING_FREE;
    p->open--;
}

#endif
