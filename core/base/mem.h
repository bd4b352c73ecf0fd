// mem.h - allocation that does not fail.
//
// Job:    malloc that ends the process when the kernel itself refuses (limits are enforced long
//         before, by the budget), and helpers that grow arrays. Thread: any. Limits: none here.
#ifndef TERN_CORE_BASE_MEM_H
#define TERN_CORE_BASE_MEM_H

#include "core/base/base.h"

void *mem_alloc(size_t size);                       // returns new, never NULL; size > 0
void *mem_zalloc(size_t size);                      // the same, zeroed
void *mem_realloc(void *p, size_t size);            // takes p, returns new
void *mem_alloc_aligned(size_t align, size_t size); // zeroed; free with mem_free
void mem_free(void *p);                             // takes; NULL is fine
char *mem_strdup(const char *s);                    // returns new
char *mem_strndup(const void *s, size_t len);       // returns new, NUL-terminated

// A secret leaves no trace in memory that others are given next. Whoever calls owns it, though it
// may have it as const. NULL is fine with len 0.
static inline void
mem_wipe(const void *p, size_t len)
{
    if (len > 0)
        explicit_bzero(unconst(p), len);
}

// From now on what is freed goes back to the system at once: it costs a few percent, and a process
// that may use little does not hold what it used a second ago. Before threads are started.
void mem_be_small(void);

void *mem_grow_now(void *array, uint32_t *cap, uint32_t want, size_t size); // part of mem_grow
// Ensures capacity for want elements of the given size, doubling; *cap is updated.
static inline void *
mem_grow(void *array, uint32_t *cap, uint32_t want, size_t size)
{
    return likely(want <= *cap) ? array : mem_grow_now(array, cap, want, size);
}

#endif
