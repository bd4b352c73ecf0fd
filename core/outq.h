// outq.h - bytes on their way to one connection.
//
// Job:    collects what the protocol writes during a tick: small things by copy, large bodies by
//         reference; the transport sends it with one system call and consumes what was sent.
// Owner:  the client; the transport reads and consumes. Thread: the shard's worker.
// Memory: none while empty (an idle connection holds no buffer); buffers come from the shard's
//         pool.
// Limits: none here: the writer asks outq_bytes before it adds what may be dropped.
#ifndef TERN_CORE_OUTQ_H
#define TERN_CORE_OUTQ_H

#include "core/base/base.h"

#include "core/msg.h"

struct iovec;

// Payloads up to this many bytes are copied. Longer ones are sent by reference, but for those that
// one client gets and nobody keeps: these would be copied to make a message, and more is copied
// into the queue for less than it takes to make one and to send it in pieces.
#define OUTQ_COPY_MAX     2048u
#define OUTQ_COPY_ONE_MAX 8192u

// Buffers of one size kept for reuse; part of the shard.
#define OUTQ_POOL_BUFFER 8192u
#define OUTQ_POOL_KEEP   1024u
struct outq_pool {
    uint8_t *buffers[OUTQ_POOL_KEEP];
    uint32_t count;
    uint64_t in_use; // bytes that out-queues hold, payloads by reference included
};
void outq_pool_drain(struct outq_pool *pool); // frees the kept buffers

struct outq_ref {
    struct msg *msg; // holds a reference
    uint32_t at;     // stands before this byte of buf
    uint32_t sent;   // payload bytes already sent
};

struct outq {
    uint8_t *buf;
    uint32_t head, len, cap; // buf[head..len) is unsent
    uint32_t ref_cap;
    struct outq_ref *refs;
    uint32_t ref_head, ref_count;
    uint64_t ref_bytes; // payload bytes by reference, unsent
};

static inline uint64_t
outq_bytes(const struct outq *q)
{
    return (q->len - q->head) + q->ref_bytes;
}

void outq_init(struct outq *q);
void outq_free(struct outq *q, struct outq_pool *pool); // releases all; reusable afterwards
void outq_make_room(struct outq *q, struct outq_pool *pool, uint32_t len); // part of outq_reserve
// Room for len more bytes at the end, or at once more; outq_commit says how many were used.
static inline uint8_t *
outq_reserve(struct outq *q, struct outq_pool *pool, uint32_t len)
{
    if (unlikely(q->cap - q->len < len))
        outq_make_room(q, pool, len);
    must_hot(q->cap - q->len >= len);
    return q->buf + q->len;
}
static inline void
outq_commit(struct outq *q, uint32_t len)
{
    must_hot(len <= q->cap - q->len);
    q->len += len;
}
// The message's payload follows what was written so far; takes a reference of its own.
void outq_put_payload(struct outq *q, struct outq_pool *pool, struct msg *msg);

// Transport: up to max pieces in order; returns how many. Borrowed until outq_consume or a write.
uint32_t outq_pieces(const struct outq *q, struct iovec *ret_iov, uint32_t max);
// How many bytes at the front a move takes: at least want, or all, but no payload in part.
uint64_t outq_movable(const struct outq *q, uint64_t want);
// Moves as many bytes, which outq_movable has told, to the end of another queue of the same pool:
// small things by copy, payloads with their references.
void outq_move(struct outq *to, struct outq *from, struct outq_pool *pool, uint64_t bytes);
// Transport: this many bytes of the pieces were sent. Gives the buffer back when nothing is left.
void outq_consume(struct outq *q, struct outq_pool *pool, uint64_t bytes);

#endif
