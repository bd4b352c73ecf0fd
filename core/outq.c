// outq.c - bytes on their way to one connection.
#include "core/outq.h"

#include <sys/uio.h>

#include "core/base/mem.h"

void
outq_pool_drain(struct outq_pool *pool)
{
    while (pool->count > 0)
        mem_free(pool->buffers[--pool->count]);
}

static void
buffer_put(struct outq_pool *pool, uint8_t *buf, uint32_t cap)
{
    must_hot(pool->in_use >= cap);
    pool->in_use -= cap;
    if (cap == OUTQ_POOL_BUFFER && pool->count < OUTQ_POOL_KEEP)
        pool->buffers[pool->count++] = buf;
    else
        mem_free(buf);
}

void
outq_init(struct outq *q)
{
    memset(q, 0, sizeof *q);
}

void
outq_free(struct outq *q, struct outq_pool *pool)
{
    for (uint32_t i = q->ref_head; i < q->ref_count; i++)
        msg_unref(q->refs[i].msg);
    pool->in_use -= q->ref_bytes;
    mem_free(q->refs);
    if (q->buf)
        buffer_put(pool, q->buf, q->cap);
    outq_init(q);
}

// Moves what is unsent to the front, so that the room that was sent is used again.
static void
outq_compact(struct outq *q)
{
    if (q->head == 0)
        return;
    memmove(q->buf, q->buf + q->head, q->len - q->head);
    for (uint32_t i = q->ref_head; i < q->ref_count; i++)
        q->refs[i].at -= q->head;
    q->len -= q->head;
    q->head = 0;
}

static void
outq_grow(struct outq *q, struct outq_pool *pool, uint32_t len)
{
    if (!q->buf && len <= OUTQ_POOL_BUFFER) {
        q->buf = pool->count ? pool->buffers[--pool->count] : mem_alloc(OUTQ_POOL_BUFFER);
        q->cap = OUTQ_POOL_BUFFER;
        pool->in_use += OUTQ_POOL_BUFFER;
        return;
    }
    uint64_t want = max_u64((uint64_t)q->cap * 2, (uint64_t)q->len + len);
    must(want < UINT32_MAX);
    uint8_t *buf = mem_alloc(want);
    pool->in_use += want;
    if (q->buf) {
        memcpy(buf, q->buf, q->len);
        buffer_put(pool, q->buf, q->cap);
    }
    q->buf = buf;
    q->cap = (uint32_t)want;
}

void
outq_make_room(struct outq *q, struct outq_pool *pool, uint32_t len)
{
    if (q->head >= q->len / 2)
        outq_compact(q);
    if (q->cap - q->len < len)
        outq_grow(q, pool, len);
}

void
outq_put_payload(struct outq *q, struct outq_pool *pool, struct msg *msg)
{
    must_hot(msg->payload_len > 0);
    if (q->ref_head > 0 && q->ref_head >= q->ref_count / 2) { // also of one that is never empty
        q->ref_count -= q->ref_head;
        memmove(q->refs, q->refs + q->ref_head, q->ref_count * sizeof *q->refs);
        q->ref_head = 0;
    }
    q->refs = mem_grow(q->refs, &q->ref_cap, q->ref_count + 1, sizeof *q->refs);
    q->refs[q->ref_count++] = (struct outq_ref){.msg = msg_ref(msg), .at = q->len};
    q->ref_bytes += msg->payload_len;
    pool->in_use += msg->payload_len;
}

uint32_t
outq_pieces(const struct outq *q, struct iovec *ret_iov, uint32_t max)
{
    uint32_t n = 0, pos = q->head;
    for (uint32_t i = q->ref_head; i < q->ref_count && n < max; i++) {
        const struct outq_ref *ref = &q->refs[i];
        if (ref->at > pos) {
            ret_iov[n++] = (struct iovec){q->buf + pos, ref->at - pos};
            pos = ref->at;
            if (n == max)
                return n;
        }
        struct slice body = msg_payload(ref->msg);
        // sendmsg(2) only reads, though its iovec is not const.
        uint8_t *start = unconst(body.data + ref->sent);
        ret_iov[n++] = (struct iovec){start, body.len - ref->sent};
    }
    if (n < max && pos < q->len)
        ret_iov[n++] = (struct iovec){q->buf + pos, q->len - pos};
    return n;
}

uint64_t
outq_movable(const struct outq *q, uint64_t want)
{
    uint64_t bytes = 0;
    uint32_t pos = q->head;
    for (uint32_t i = q->ref_head; i < q->ref_count; i++) {
        const struct outq_ref *ref = &q->refs[i];
        if (bytes + (ref->at - pos) >= want)
            return want;
        bytes += ref->at - pos;
        pos = ref->at;
        bytes += ref->msg->payload_len - ref->sent;
        if (bytes >= want)
            return bytes;
    }
    return min_u64(bytes + (q->len - pos), want);
}

static uint32_t
move_ref(struct outq *to, struct outq *from, struct outq_pool *pool)
{
    struct outq_ref *ref = &from->refs[from->ref_head];
    uint32_t left = ref->msg->payload_len - ref->sent;
    outq_put_payload(to, pool, ref->msg);
    struct outq_ref *moved = &to->refs[to->ref_count - 1];
    moved->sent = ref->sent;
    to->ref_bytes -= ref->sent;
    pool->in_use -= ref->sent;
    from->ref_bytes -= left;
    pool->in_use -= left;
    msg_unref(ref->msg);
    from->ref_head++;
    return left;
}

void
outq_move(struct outq *to, struct outq *from, struct outq_pool *pool, uint64_t bytes)
{
    must(to != from && bytes <= outq_bytes(from));
    while (bytes > 0) {
        bool ref = from->ref_head < from->ref_count;
        uint32_t end = ref ? from->refs[from->ref_head].at : from->len;
        uint32_t n = (uint32_t)min_u64(end - from->head, bytes);
        if (n > 0) {
            memcpy(outq_reserve(to, pool, n), from->buf + from->head, n);
            outq_commit(to, n);
            from->head += n;
            bytes -= n;
            continue;
        }
        must(ref);
        bytes -= move_ref(to, from, pool);
    }
    if (outq_bytes(from) == 0)
        outq_free(from, pool);
}

static void
consume_refs(struct outq *q, struct outq_pool *pool, uint64_t *bytes)
{
    while (q->ref_head < q->ref_count) {
        struct outq_ref *ref = &q->refs[q->ref_head];
        uint64_t before = min_u64(ref->at - q->head, *bytes);
        q->head += (uint32_t)before;
        *bytes -= before;
        if (q->head < ref->at)
            return;
        uint64_t body = min_u64(ref->msg->payload_len - ref->sent, *bytes);
        ref->sent += (uint32_t)body;
        q->ref_bytes -= body;
        pool->in_use -= body;
        *bytes -= body;
        if (ref->sent < ref->msg->payload_len)
            return;
        msg_unref(ref->msg);
        q->ref_head++;
    }
}

void
outq_consume(struct outq *q, struct outq_pool *pool, uint64_t bytes)
{
    must_hot(bytes <= outq_bytes(q));
    if (unlikely(q->ref_head < q->ref_count))
        consume_refs(q, pool, &bytes);
    q->head += (uint32_t)bytes;
    must_hot(q->head <= q->len);
    if (outq_bytes(q) == 0)
        outq_free(q, pool);
}
