// test_outq.c - bytes on their way to one connection.
#include <criterion/criterion.h>
#include <sys/uio.h>

#include "core/base/mem.h"

#include "core/outq.h"

static void
put(struct outq *q, struct outq_pool *pool, const void *data, uint32_t len)
{
    memcpy(outq_reserve(q, pool, len), data, len);
    outq_commit(q, len);
}

static struct msg *
big(uint32_t len, uint8_t fill)
{
    uint8_t *body = mem_alloc(len);
    memset(body, fill, len);
    struct pub pub = {.topic = slice_str("t"), .payload = slice_of(body, len)};
    struct msg *msg = msg_new(&pub);
    mem_free(body);
    return msg;
}

// Takes up to n bytes the way a transport does, checks them against what is expected.
static uint64_t
take(struct outq *q, struct outq_pool *pool, uint64_t n, const uint8_t *want, uint64_t pos)
{
    struct iovec iov[3];
    uint32_t pieces = outq_pieces(q, iov, 3);
    uint64_t taken = 0;
    for (uint32_t i = 0; i < pieces && taken < n; i++) {
        uint64_t part = min_u64(iov[i].iov_len, n - taken);
        cr_assert_eq(memcmp(iov[i].iov_base, want + pos + taken, part), 0, "at %lu", pos + taken);
        taken += part;
    }
    outq_consume(q, pool, taken);
    return taken;
}

Test(outq, order_survives_every_split)
{
    static uint8_t want[400000];
    for (uint32_t step = 1; step < 9000; step = step * 3 + 1) {
        struct outq_pool pool = {0};
        struct outq q;
        outq_init(&q);
        uint64_t len = 0;
        uint32_t seed = step;
        for (int i = 0; i < 60; i++) {
            seed = seed * 1664525u + 1013904223u;
            uint8_t small[700];
            uint32_t n = 1 + (seed >> 8) % sizeof small;
            memset(small, i, n);
            put(&q, &pool, small, n);
            memset(want + len, i, n);
            len += n;
            if (i % 4 == 0) {
                struct msg *msg = big(3000 + n, (uint8_t)(100 + i));
                outq_put_payload(&q, &pool, msg);
                msg_unref(msg);
                memset(want + len, 100 + i, 3000 + n);
                len += 3000 + n;
            }
        }
        cr_assert_eq(outq_bytes(&q), len);
        uint64_t pos = 0;
        while (outq_bytes(&q) > 0)
            pos += take(&q, &pool, step, want, pos);
        cr_assert_eq(pos, len);
        cr_assert_null(q.buf);
        cr_assert_eq(pool.in_use, 0);
        outq_pool_drain(&pool);
    }
}

Test(outq, writing_while_sending)
{
    struct outq_pool pool = {0};
    struct outq q;
    outq_init(&q);
    static uint8_t want[3000000];
    uint64_t len = 0, pos = 0;
    for (uint32_t i = 0; i < 2000; i++) {
        uint8_t chunk[1000];
        memset(chunk, (int)i, sizeof chunk);
        put(&q, &pool, chunk, 1 + i % 1000);
        memset(want + len, (int)i, 1 + i % 1000);
        len += 1 + i % 1000;
        pos += take(&q, &pool, 470, want, pos);
    }
    while (outq_bytes(&q) > 0)
        pos += take(&q, &pool, 100000, want, pos);
    cr_assert_eq(pos, len);
    cr_assert_eq(pool.in_use, 0);
    outq_pool_drain(&pool);
}

Test(outq, an_abandoned_queue_releases_its_references)
{
    struct outq_pool pool = {0};
    struct outq q;
    outq_init(&q);
    struct msg *msg = big(5000, 1);
    put(&q, &pool, "head", 4);
    outq_put_payload(&q, &pool, msg);
    cr_assert_eq(atomic_load(&msg->refs), 2);
    outq_consume(&q, &pool, 100);
    outq_free(&q, &pool);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    cr_assert_eq(pool.in_use, 0);
    msg_unref(msg);
    outq_pool_drain(&pool);
}

// What is sent by way of a second queue, in whatever portions, is the same bytes.
Test(outq, moved_bytes_keep_their_order)
{
    static uint8_t want[200000];
    for (uint32_t portion = 1; portion < 100000; portion = portion * 5 + 2) {
        struct outq_pool pool = {0};
        struct outq from, to;
        outq_init(&from);
        outq_init(&to);
        uint64_t len = 0, pos = 0;
        for (int i = 0; i < 20; i++) {
            uint8_t small[300];
            memset(small, i, sizeof small);
            put(&from, &pool, small, sizeof small);
            memset(want + len, i, sizeof small);
            len += sizeof small;
            if (i % 3 == 1) {
                struct msg *msg = big(4000, (uint8_t)(100 + i));
                outq_put_payload(&from, &pool, msg);
                msg_unref(msg);
                memset(want + len, 100 + i, 4000);
                len += 4000;
            }
        }
        pos += take(&from, &pool, 350, want, pos); // in the middle of a payload
        while (outq_bytes(&from) > 0) {
            uint64_t before = outq_bytes(&from), n = outq_movable(&from, portion);
            cr_assert(n >= min_u64(portion, before) && n <= before);
            put(&to, &pool, "h", 1); // as a frame's head would
            outq_move(&to, &from, &pool, n);
            cr_assert_eq(outq_bytes(&from), before - n);
            cr_assert_eq(outq_bytes(&to), n + 1);
            struct iovec head[2];
            cr_assert_geq(outq_pieces(&to, head, 2), 1);
            cr_assert_eq(*(char *)head[0].iov_base, 'h');
            outq_consume(&to, &pool, 1);
            while (outq_bytes(&to) > 0)
                pos += take(&to, &pool, 977, want, pos);
        }
        cr_assert_eq(pos, len);
        cr_assert_eq(pool.in_use, 0);
        outq_pool_drain(&pool);
    }
}

Test(outq, one_that_is_never_empty_keeps_no_more_than_it_holds)
{
    struct outq_pool pool = {0};
    struct outq q;
    outq_init(&q);
    for (unsigned i = 0; i < 10000; i++) {
        struct msg *msg = big(3000, 'x');
        put(&q, &pool, "head", 4);
        outq_put_payload(&q, &pool, msg);
        msg_unref(msg);
        if (i >= 4) // four messages stay behind
            outq_consume(&q, &pool, 3004);
    }
    cr_assert_leq(q.ref_cap, 64, "%u", q.ref_cap);
    outq_consume(&q, &pool, outq_bytes(&q));
    outq_free(&q, &pool);
    cr_assert_eq(pool.in_use, 0);
    outq_pool_drain(&pool);
}
