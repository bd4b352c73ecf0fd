// slots.c - a hash table of fixed slots: open addressing, linear probing.
//
// Keys are numbers that the broker gave out, and keyed hashes: nobody can aim collisions.
#include "persist/slots.h"

#include <sys/mman.h>

#include "core/base/mem.h"

#define HUGE_FROM ((size_t)2 << 20) // bytes of one huge page; smaller ones would miss the TLB

static inline uint32_t
hash(uint8_t kind, uint64_t a, uint64_t b)
{
    // Odd constants without pattern (digits of the golden ratio and of the root of 2).
    unsigned __int128 product =
        (unsigned __int128)(a ^ 0x9e3779b97f4a7c15) * (b + kind + 0x6a09e667f3bcc909);
    return (uint32_t)((uint64_t)product ^ (uint64_t)(product >> 64));
}

static inline struct slot *
probe(const struct slots *slots, uint8_t kind, uint64_t a, uint64_t b)
{
    uint32_t mask = slots->size - 1;
    for (uint32_t i = hash(kind, a, b) & mask;; i = (i + 1) & mask) {
        struct slot *slot = &slots->slots[i];
        if (slot->kind == 0 || (slot->a == a && slot->b == b && slot->kind == kind))
            return slot;
    }
}

static struct slot *
zeroed(uint32_t count)
{
    size_t bytes = (size_t)count * sizeof(struct slot);
    if (bytes < HUGE_FROM)
        return mem_alloc_aligned(CACHE_LINE, bytes);
    void *slots = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(slots != MAP_FAILED);
    (void)madvise(slots, bytes, MADV_HUGEPAGE); // a hint
    return slots;
}

static void
release(struct slot *slots, uint32_t count)
{
    size_t bytes = (size_t)count * sizeof(struct slot);
    if (bytes < HUGE_FROM)
        mem_free(slots);
    else
        (void)munmap(slots, bytes);
}

// Twice the size. What is there moves through a copy: in the same memory while that lasts.
static void
grow(struct slots *slots)
{
    struct slots old = *slots;
    if (old.size == 0) {
        must(slots->used == 0 && slots->cap == 0);
        slots->slots = zeroed(SLOTS_FIRST);
        slots->size = slots->cap = SLOTS_FIRST;
        return;
    }
    must(old.size < UINT32_C(1) << 31);
    slots->size = old.size * 2;
    if (slots->size <= slots->cap) {
        size_t bytes = (size_t)old.size * sizeof(struct slot);
        old.slots = mem_alloc(bytes);
        memcpy(old.slots, slots->slots, bytes);
        memset(slots->slots, 0, bytes);
    } else {
        slots->cap = slots->size;
        slots->slots = zeroed(slots->cap);
    }
    for (uint32_t i = 0; i < old.size; i++) {
        const struct slot *from = &old.slots[i];
        if (from->kind != 0)
            *probe(slots, from->kind, from->a, from->b) = *from;
    }
    if (slots->cap == old.cap)
        mem_free(old.slots);
    else
        release(old.slots, old.cap);
}

void
slots_prefetch(const struct slots *slots, uint8_t kind, uint64_t a, uint64_t b)
{
    if (slots->size > 0)
        __builtin_prefetch(&slots->slots[hash(kind, a, b) & (slots->size - 1)], 1);
}

struct slot *
slots_at(struct slots *slots, uint8_t kind, uint64_t a, uint64_t b)
{
    must_hot(kind != 0);
    if (unlikely(slots->used >= slots->size / 2))
        grow(slots);
    struct slot *slot = probe(slots, kind, a, b);
    if (slot->kind != 0)
        return slot;
    *slot = (struct slot){.a = a, .b = b, .kind = kind};
    slots->used++;
    return slot;
}

struct slot *
slots_find(const struct slots *slots, uint8_t kind, uint64_t a, uint64_t b)
{
    must_hot(kind != 0);
    if (slots->used == 0)
        return NULL;
    struct slot *slot = probe(slots, kind, a, b);
    return slot->kind != 0 ? slot : NULL;
}

void
slots_clear(struct slots *slots)
{
    if (slots->used > 0)
        memset(slots->slots, 0, (size_t)slots->size * sizeof(struct slot));
    slots->used = 0;
    slots->size = min_u32(slots->cap, SLOTS_FIRST);
}

void
slots_free(struct slots *slots)
{
    if (slots->slots)
        release(slots->slots, slots->cap);
    *slots = (struct slots){0};
}
