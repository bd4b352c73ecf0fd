// fuzz_websocket.c - any bytes as a WebSocket connection: how they are cut into pieces changes
// nothing, and what it holds stays small.
#include "core/base/mem.h"

#include "io/websocket.h"

#define HEAD                                                                         \
    "GET /mqtt HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" \
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"   \
    "Sec-WebSocket-Protocol: mqtt\r\n\r\n"
#define HEAD_MAX 512u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct run {
    struct websocket *ws;
    struct outq out;
    struct outq_pool pool;
    uint8_t *plain;
    uint32_t plain_len;
};

static const char *const origins[] = {"https://a"};
static const struct websocket_settings settings = {.head_max = HEAD_MAX, .path = "/mqtt"};
static const struct websocket_settings strict = {
    .head_max = HEAD_MAX, .path = "/mqtt", .origins = origins, .origin_count = 1};

// A piece in memory of its exact size, so that a read beyond the end is seen.
static void
feed(struct run *run, const struct websocket_settings *with, const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, data, size);
    struct slice piece;
    websocket_input(run->ws, slice_of(copy, size));
    while (websocket_read(run->ws, with, &run->out, &run->pool, &piece)) {
        must(piece.len > 0 && run->ws->state == WEBSOCKET_OPEN);
        memcpy(run->plain + run->plain_len, piece.data, piece.len);
        run->plain_len += piece.len;
    }
    must(run->ws->in.len == 0);
    must(run->ws->head_cap <= 2 * HEAD_MAX);
    must(run->ws->state == WEBSOCKET_UPGRADE || run->ws->head == NULL);
    mem_free(copy);
}

// The pieces are 1 to step + 1 bytes long, in turns.
static struct run *
play(uint8_t mode, const uint8_t *data, size_t size, size_t step)
{
    struct run *run = mem_zalloc(sizeof *run);
    const struct websocket_settings *with = mode & 2 ? &strict : &settings;
    run->ws = websocket_new();
    run->plain = mem_alloc(size + 1);
    if (mode & 1)
        feed(run, &settings, (const uint8_t *)HEAD, strlen(HEAD));
    for (size_t at = 0, n = step; at < size; n = n < step ? n + 1 : 1) {
        size_t len = size - at < n ? size - at : n;
        feed(run, with, data + at, len);
        at += len;
    }
    if (mode & 4)
        websocket_close(run->ws, &run->out, &run->pool, WEBSOCKET_GOING_AWAY);
    return run;
}

static void
run_free(struct run *run)
{
    websocket_free(run->ws);
    outq_free(&run->out, &run->pool);
    outq_pool_drain(&run->pool);
    mem_free(run->plain);
    mem_free(run);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 3 || size > 100000)
        return 0;
    uint8_t mode = data[0];
    size_t step = data[1] + 1u;
    data += 2;
    size -= 2;
    struct run *a = play(mode, data, size, size), *b = play(mode, data, size, step);
    must(a->ws->state == b->ws->state && a->ws->reason == b->ws->reason);
    must(a->plain_len == b->plain_len && memcmp(a->plain, b->plain, a->plain_len) == 0);
    must(outq_bytes(&a->out) == outq_bytes(&b->out));
    must(outq_bytes(&a->out) <= WEBSOCKET_BACKLOG_MAX + 1024);
    if (outq_bytes(&a->out) > 0)
        must(memcmp(a->out.buf + a->out.head, b->out.buf + b->out.head, outq_bytes(&a->out)) == 0);
    run_free(a);
    run_free(b);
    return 0;
}
