// base.h - what every file may assume: assertions, attributes, slices, small helpers.
//
// Job:    the vocabulary below the standard library. No state.
// Thread: any.
// Limits: none.
#ifndef TERN_CORE_BASE_BASE_H
#define TERN_CORE_BASE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define NODISCARD                       __attribute__((warn_unused_result))
#define COLD                            __attribute__((cold))
#define NOINLINE                        __attribute__((noinline)) // rare part of a hot function
#define FLATTEN                         __attribute__((flatten))  // calls in it are inlined
#define NORETURN                        __attribute__((noreturn))
#define PRINTF_LIKE(f)                  __attribute__((format(printf, f, (f) + 1)))
#define likely(x)                       __builtin_expect(!!(x), 1)
#define unlikely(x)                     __builtin_expect(!!(x), 0)
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))
#define CACHE_LINE                      64
#define CACHE_ALIGNED                   __attribute__((aligned(CACHE_LINE)))

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

// A broken invariant ends the process: going on would risk acknowledged work. Stays on in release.
NORETURN COLD void must_fail(const char *expr, const char *file, int line);
#define must(x) (likely(x) ? (void)0 : must_fail(#x, __FILE__, __LINE__))
// The same, named apart so that a profile can tell the cost of those on the hot path.
#define must_hot(x) must(x)

// For interfaces that take a pointer without const and only read, or free what was const to others.
static inline void *
unconst(const void *p)
{
    void *q;
    memcpy(&q, &p, sizeof q); // a cast would trip -Wcast-qual, rightly everywhere else
    return q;
}

// Bytes that somebody else owns. The comment of whoever returns one says until when it is good.
struct slice {
    const uint8_t *data;
    uint32_t len;
};

static inline struct slice
slice_of(const void *data, size_t len)
{
    return (struct slice){data, (uint32_t)len};
}

static inline struct slice
slice_str(const char *s)
{
    return slice_of(s, strlen(s));
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.data, b.data, a.len) == 0);
}

static inline bool
slice_begins(struct slice a, const char *with)
{
    size_t len = strlen(with);
    return a.len >= len && memcmp(a.data, with, len) == 0;
}

static inline uint64_t
min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint64_t
max_u64(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

static inline uint32_t
min_u32(uint32_t a, uint32_t b)
{
    return a < b ? a : b;
}

static inline uint32_t
max_u32(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

#endif
