// visitors.h - what is remembered of whoever comes: connections, tokens, events in a window.
//
// Job:    a record for each key, made when it is asked for; of those that nobody holds, the ones
//         that were asked for longest ago are forgotten.
// Owner:  admission.c, bans.c. Thread: whoever holds the owner's mutex.
// Memory: 72 bytes a record, and the table.
// Limits: VISITORS_IDLE_MAX records beside those that are held, which are no more than there are
//         connections. So whoever comes from ever new addresses makes the broker forget, not grow.
#ifndef TERN_CORE_VISITORS_H
#define TERN_CORE_VISITORS_H

#include "core/bucket.h"

#define VISITORS_IDLE_MAX 65536u // enough for all who come within seconds: 5 MB

struct visitor {
    uint64_t key;
    uint32_t held;         // connections; what is held is not forgotten
    uint32_t chain;        // the next of the same slot
    uint32_t newer, older; // among those that are not held
    struct bucket bucket;
    uint64_t window_ms; // when the first event of the window came
    uint32_t events;
};

struct visitors;

struct visitors *visitors_new(void);           // returns new
void visitors_free(struct visitors *visitors); // takes; NULL is fine
// The record of this key, a new one is zeroed; *ret_place is what visitors_hold goes by. key is
// well mixed (hash.h) and not 0. Borrowed until the next call.
struct visitor *visitors_get(struct visitors *visitors, uint64_t key, uint32_t *ret_place);
// One more connection, or one less. place: see visitors_get; the record is there while it is held.
void visitors_hold(struct visitors *visitors, uint32_t place);
void visitors_let_go(struct visitors *visitors, uint32_t place);
uint32_t visitors_count(const struct visitors *visitors);

// Counts an event: how many came within window_ms of the first one, this one included?
uint32_t visitor_event(struct visitor *visitor, uint64_t window_ms, uint64_t now_ms);

#endif
