// slots.h - a hash table of fixed slots, keyed by a kind and two numbers.
//
// Job:    what a window of the log says about one thing; how many references a message gains.
// Owner:  window.h, fold.h. Thread: one.
// Memory: 32 bytes a slot, at most half of them used; kept until slots_free.
// Limits: 2^31 slots.
// A slot that slots_at returned stays where it is until the next slots_at.
#ifndef TERN_PERSIST_SLOTS_H
#define TERN_PERSIST_SLOTS_H

#include "core/base/base.h"

#define SLOTS_FIRST 1024u

struct slot {
    uint64_t a, b;
    uint32_t at;   // where its record is in the window; 0 = none came
    int32_t delta; // references gained
    uint8_t kind;  // 0 = free; the user's
    uint8_t flags; // the user's
};
_Static_assert(sizeof(struct slot) == 32, "two to a cache line");

struct slots {
    struct slot *slots;
    uint32_t size, used; // size: of the part that is in use
    uint32_t cap;        // the rest is zero
};

// The slot of this key; a new one has zeros beside the key.
struct slot *slots_at(struct slots *slots, uint8_t kind, uint64_t a, uint64_t b);
struct slot *slots_find(const struct slots *slots, uint8_t kind, uint64_t a, uint64_t b); // or NULL
// The cache line where this key's slot is or will be, from the memory.
void slots_prefetch(const struct slots *slots, uint8_t kind, uint64_t a, uint64_t b);
void slots_clear(struct slots *slots); // keeps the memory
void slots_free(struct slots *slots);  // frees what it holds

#endif
