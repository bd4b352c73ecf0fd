// buffer.h - bytes that grow at the end.
//
// Job:    what a client has to send, or received only in part. Zeroed memory is an empty buffer.
// Owner:  whoever embeds it. Thread: one. Memory: kept until buffer_free. Limits: 4 GiB.
#ifndef TERN_BENCH_BUFFER_H
#define TERN_BENCH_BUFFER_H

#include "core/base/mem.h"

struct buffer {
    uint8_t *data;
    uint32_t len, cap;
};

// Appends len bytes for the caller to fill; good until the next call.
static inline uint8_t *
buffer_add(struct buffer *b, uint32_t len)
{
    must_hot(b->len + len >= b->len);
    if (unlikely(b->len + len > b->cap))
        b->data = mem_grow(b->data, &b->cap, b->len + len, 1);
    uint8_t *at = b->data + b->len;
    b->len += len;
    return at;
}

static inline void
buffer_put(struct buffer *b, const void *data, uint32_t len)
{
    memcpy(buffer_add(b, len), data, len);
}

static inline void
buffer_free(struct buffer *b)
{
    mem_free(b->data);
    *b = (struct buffer){0};
}

#endif
