// mem.c - malloc whose failure ends the process.
#include "core/base/mem.h"

#include <stdlib.h>
#include <sys/types.h>

// Doubling from one element would allocate six times before it reaches a useful size.
#define GROW_FIRST 8

void *
mem_alloc(size_t size)
{
    must_hot(size > 0);
    void *p = malloc(size);
    must(p != NULL);
    return p;
}

void *
mem_zalloc(size_t size)
{
    must_hot(size > 0);
    void *p = calloc(1, size);
    must(p != NULL);
    return p;
}

void *
mem_realloc(void *p, size_t size)
{
    must_hot(size > 0); // realloc(p, 0) would free
    void *grown = realloc(p, size);
    must(grown != NULL);
    return grown;
}

void *
mem_alloc_aligned(size_t align, size_t size)
{
    must(size > 0);
    must(align >= sizeof(void *) && (align & (align - 1)) == 0);
    void *p = NULL;
    int rc = posix_memalign(&p, align, size);
    must(rc == 0 && p != NULL);
    memset(p, 0, size);
    return p;
}

void
mem_free(void *p)
{
    if (p) // malloc's own look at it is a call, and forty instructions
        free(p);
}

// jemalloc's; there is none where another malloc serves.
extern int mallctl(const char *name, void *old, size_t *old_len, void *to, size_t to_len)
    __attribute__((weak));

void
mem_be_small(void)
{
    ssize_t at_once = 0;
    if (!mallctl)
        return;
    // Of arenas to come, and of the one that is there.
    (void)mallctl("arenas.dirty_decay_ms", NULL, NULL, &at_once, sizeof at_once);
    (void)mallctl("arena.0.dirty_decay_ms", NULL, NULL, &at_once, sizeof at_once);
}

char *
mem_strdup(const char *s)
{
    must(s != NULL);
    return mem_strndup(s, strlen(s));
}

char *
mem_strndup(const void *s, size_t len)
{
    must(s != NULL || len == 0);
    must(len < SIZE_MAX);
    char *copy = mem_alloc(len + 1);
    if (len > 0)
        memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

void *
mem_grow_now(void *array, uint32_t *cap, uint32_t want, size_t size)
{
    must(cap != NULL && size > 0);
    must((array == NULL) == (*cap == 0) && want > *cap);
    uint64_t grown = max_u64(*cap, GROW_FIRST);
    while (grown < want)
        grown *= 2;
    grown = min_u64(grown, UINT32_MAX); // want itself fits
    size_t bytes;
    bool overflow = __builtin_mul_overflow((size_t)grown, size, &bytes);
    must(!overflow);
    void *moved = mem_realloc(array, bytes);
    *cap = (uint32_t)grown;
    must(*cap >= want);
    return moved;
}
