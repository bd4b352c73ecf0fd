// test_io_websocket.c - the WebSocket filter: upgrades, frames, and what breaks others.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "io/http_request.h"
#include "io/websocket.h"

#define KEY "dGhlIHNhbXBsZSBub25jZQ=="
#define HEAD(path, rest)                                                           \
    "GET " path " HTTP/1.1\r\nHost: broker.example:9001\r\nUpgrade: websocket\r\n" \
    "Connection: keep-alive, Upgrade\r\n" rest "\r\n"
#define VERSION  "Sec-WebSocket-Version: 13\r\n"
#define PROTOCOL "Sec-WebSocket-Protocol: chat, mqtt\r\n"
#define WITH_KEY "Sec-WebSocket-Key: " KEY "\r\n"
#define GOOD     HEAD("/mqtt?x=1", WITH_KEY VERSION PROTOCOL)

static struct websocket_settings settings;
static struct websocket *ws;
static struct outq out;
static struct outq_pool pool;
static uint8_t data[1 << 20];
static uint32_t data_len;

static void
set_up(void)
{
    settings = (struct websocket_settings){.head_max = WEBSOCKET_HEAD_DEFAULT};
    ws = websocket_new();
}

static void
tear_down(void)
{
    websocket_free(ws);
    outq_free(&out, &pool);
    outq_pool_drain(&pool);
}

TestSuite(io_websocket, .init = set_up, .fini = tear_down);

// In pieces, each in memory of its exact size.
static void
feed_in(const void *bytes, size_t len, size_t piece_len)
{
    for (size_t at = 0; at < len;) {
        size_t n = len - at < piece_len ? len - at : piece_len;
        uint8_t *copy = mem_alloc(n);
        memcpy(copy, (const uint8_t *)bytes + at, n);
        at += n;
        struct slice piece;
        websocket_input(ws, slice_of(copy, n));
        while (websocket_read(ws, &settings, &out, &pool, &piece)) {
            cr_assert_leq(data_len + piece.len, sizeof data);
            memcpy(data + data_len, piece.data, piece.len);
            data_len += piece.len;
        }
        mem_free(copy);
    }
}

static void
feed(const void *bytes, size_t len)
{
    feed_in(bytes, len, len);
}

static void
take_out(void)
{
    outq_consume(&out, &pool, outq_bytes(&out));
}

static bool
said(const void *bytes, size_t len)
{
    return outq_bytes(&out) == len && memcmp(out.buf + out.head, bytes, len) == 0;
}

static bool
said_text(const char *text)
{
    return outq_bytes(&out) > 0 &&
           memmem(out.buf + out.head, outq_bytes(&out), text, strlen(text)) != NULL;
}

static void
open_it(void)
{
    feed(GOOD, strlen(GOOD));
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    take_out();
}

static size_t
frame(uint8_t *to, uint8_t first, const void *payload, size_t len)
{
    size_t at = 0;
    to[at++] = first;
    if (len < 126) {
        to[at++] = (uint8_t)(0x80 | len);
    } else if (len <= 65535) {
        to[at++] = 0x80 | 126;
        to[at++] = (uint8_t)(len >> 8);
        to[at++] = (uint8_t)len;
    } else {
        to[at++] = 0x80 | 127;
        for (int shift = 56; shift >= 0; shift -= 8)
            to[at++] = (uint8_t)((uint64_t)len >> shift);
    }
    static const uint8_t mask[4] = {0x37, 0xfa, 0x21, 0x3d};
    memcpy(to + at, mask, 4);
    at += 4;
    for (size_t i = 0; i < len; i++)
        to[at++] = ((const uint8_t *)payload)[i] ^ mask[i % 4];
    return at;
}

static void
feed_frame(uint8_t first, const void *payload, size_t len)
{
    static uint8_t bytes[200000];
    feed(bytes, frame(bytes, first, payload, len));
}

static void
expect_data(const void *bytes, size_t len)
{
    cr_assert_eq(data_len, len);
    cr_assert_arr_eq(data, bytes, len);
    data_len = 0;
}

static void
expect_failed(uint16_t code)
{
    uint8_t close[4] = {0x88, 2, (uint8_t)(code >> 8), (uint8_t)code};
    cr_expect_eq(ws->state, WEBSOCKET_FAILED);
    cr_expect(said(close, sizeof close), "reason %u, wanted %u", ws->reason, code);
    cr_expect_eq(ws->reason, code);
    feed_frame(0x82, "late", 4); // deaf from now on
    cr_expect_eq(data_len, 0);
}

static void
again(void)
{
    websocket_free(ws);
    outq_free(&out, &pool);
    data_len = 0;
    ws = websocket_new();
}

// ---- Upgrade ------------------------------------------------------------------------------------

Test(io_websocket, the_example_of_the_rfc)
{
    feed(GOOD, strlen(GOOD));
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    const char *wanted = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                         "Connection: Upgrade\r\nSec-WebSocket-Accept: "
                         "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n";
    cr_assert(said(wanted, strlen(wanted)));
}

Test(io_websocket, an_upgrade_may_come_byte_by_byte_with_frames_behind)
{
    uint8_t bytes[sizeof GOOD + 100];
    memcpy(bytes, GOOD, strlen(GOOD));
    size_t len = strlen(GOOD) + frame(bytes + strlen(GOOD), 0x82, "hello", 5);
    for (size_t piece = 1; piece < len; piece += 7) {
        again();
        feed_in(bytes, len, piece);
        cr_assert_eq(ws->state, WEBSOCKET_OPEN);
        cr_assert(said_text("101 Switching"));
        expect_data("hello", 5);
        cr_assert_null(ws->head);
        cr_assert_null(ws->frames);
    }
}

static void
expect_status(const char *head, const char *status)
{
    again();
    feed(head, strlen(head));
    cr_expect_eq(ws->state, WEBSOCKET_FAILED, "%s", head);
    cr_expect(said_text(status), "%s: wanted %s, said %.*s", head, status, (int)outq_bytes(&out),
              out.buf ? (const char *)out.buf + out.head : "");
    cr_expect(said_text("Connection: close\r\n"));
    cr_expect_eq(data_len, 0);
}

Test(io_websocket, bad_requests_get_their_status)
{
    expect_status(HEAD("/", VERSION PROTOCOL), "400 "); // no key
    expect_status(HEAD("/", WITH_KEY WITH_KEY VERSION PROTOCOL), "400 ");
    expect_status(HEAD("/", "Sec-WebSocket-Key: abcd\r\n" VERSION PROTOCOL), "400 ");
    expect_status(HEAD("/", WITH_KEY PROTOCOL), "400 "); // no version
    expect_status(HEAD("/", WITH_KEY PROTOCOL "Sec-WebSocket-Version: 8\r\n"),
                  "Sec-WebSocket-Version: 13\r\n");
    expect_status(HEAD("/", WITH_KEY VERSION), "400 "); // no protocol
    expect_status(HEAD("/", WITH_KEY VERSION "Sec-WebSocket-Protocol: chat\r\n"), "400 ");
    expect_status("GET / HTTP/1.1\r\nHost: a\r\n\r\n", "426 ");
    expect_status(
        "GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" WITH_KEY VERSION PROTOCOL
        "\r\n",
        "400 "); // no host
    expect_status("POST / HTTP/1.1\r\nHost: a\r\n\r\n", "405 ");
    expect_status("GET / HTTP/1.0\r\nHost: a\r\n\r\n", "505 ");
    expect_status("GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", "400 ");
    expect_status("GET /\r\n\r\n", "400 ");
    expect_status("\x10\x12\x01\x04MQTT\r\n\r\n", "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "Content-Length: 5\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "Transfer-Encoding: chunked\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "Bad Name: x\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "Bad : x\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "A: b\r\n folded\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "A: b\nC: d\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "A: \x01\r\n"), "400 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "no colon\r\n"), "400 ");
}

Test(io_websocket, the_client_chooses_among_the_protocols)
{
    const char *head = HEAD("/", WITH_KEY VERSION "sec-websocket-protocol: mqttv3.1\r\n"
                                                  "Sec-WebSocket-Protocol: mqtt\r\n");
    feed(head, strlen(head));
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    cr_assert(said_text("Sec-WebSocket-Protocol: mqttv3.1\r\n"));
}

Test(io_websocket, another_path_is_not_found)
{
    settings.path = "/mqtt";
    open_it();
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL), "404 ");
    expect_status(HEAD("/mqtt/", WITH_KEY VERSION PROTOCOL), "404 ");
    expect_status(HEAD("/MQTT", WITH_KEY VERSION PROTOCOL), "404 ");
}

Test(io_websocket, origins_are_on_the_list_or_nowhere)
{
    static const char *const origins[] = {"https://a.example", "http://localhost:8000"};
    settings.origins = origins;
    settings.origin_count = 2;
    const char *head = HEAD("/", WITH_KEY VERSION PROTOCOL "Origin: http://localhost:8000\r\n");
    feed(head, strlen(head));
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL "Origin: https://a.example.evil\r\n"),
                  "403 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL), "403 ");
    expect_status(HEAD("/", WITH_KEY VERSION PROTOCOL
                       "Origin: https://a.example\r\nOrigin: https://evil\r\n"),
                  "400 ");
}

Test(io_websocket, a_head_that_does_not_end_is_cut_off)
{
    char line[100];
    memset(line, 'x', sizeof line);
    feed("GET / HTTP/1.1\r\nA: ", 19);
    for (int i = 0; i < 10000 && ws->state == WEBSOCKET_UPGRADE; i++) {
        feed(line, sizeof line);
        cr_assert_leq(ws->head_cap, 2 * WEBSOCKET_HEAD_DEFAULT);
    }
    cr_assert_eq(ws->state, WEBSOCKET_FAILED);
    cr_assert(said_text("431 "));
    again();
    feed("GET / HTTP/1.1\r\n", 16);
    for (int i = 0; i < 100; i++)
        feed("A: b\r\n", 6);
    feed("\r\n", 2);
    cr_assert(said_text("431 "));
}

Test(io_websocket, closed_before_the_upgrade_it_speaks_http)
{
    websocket_close(ws, &out, &pool, WEBSOCKET_GOING_AWAY);
    cr_assert(said_text("HTTP/1.1 503 "));
}

// ---- Frames -------------------------------------------------------------------------------------

Test(io_websocket, packets_in_frames_of_any_cut)
{
    static uint8_t payload[70000], bytes[90000];
    for (uint32_t i = 0; i < sizeof payload; i++)
        payload[i] = (uint8_t)(i * 31 + (i >> 8));
    static const size_t lens[] = {1, 125, 126, 4095, 4096, 4097, 65535, 65536, 70000};
    static const size_t pieces[] = {1, 2, 3, 5, 14, 4096, 16384, 100000};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++)
        for (size_t k = 0; k < ARRAY_LEN(pieces); k++) {
            again();
            open_it();
            size_t len = frame(bytes, 0x82, payload, lens[i]);
            feed_in(bytes, len, pieces[k]);
            expect_data(payload, lens[i]);
            cr_assert_null(ws->frames, "nothing is left, nothing is held");
        }
}

Test(io_websocket, empty_frames_and_fragments)
{
    open_it();
    feed_frame(0x82, "", 0);
    feed_frame(0x02, "a", 1);
    feed_frame(0x00, "", 0);
    feed_frame(0x89, "ping", 4); // in the middle
    cr_assert(said("\x8a\x04ping", 6));
    feed_frame(0x00, "b", 1);
    feed_frame(0x80, "c", 1);
    feed_frame(0x82, "d", 1);
    expect_data("abcd", 4);
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
}

Test(io_websocket, a_million_fragments_of_a_byte_need_no_memory)
{
    open_it();
    uint8_t bytes[8];
    feed_frame(0x02, "x", 1);
    size_t len = frame(bytes, 0x00, "x", 1);
    for (uint32_t i = 0; i < 1000000; i++) {
        feed(bytes, len);
        data_len = 0;
    }
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    cr_assert_null(ws->frames);
    cr_assert_eq(outq_bytes(&out), 0);
}

#define FAILS(code, first, payload, len) \
    do {                                 \
        again();                         \
        open_it();                       \
        feed_frame(first, payload, len); \
        expect_failed(code);             \
    } while (0)

#define FAILS_RAW(code, bytes)         \
    do {                               \
        again();                       \
        open_it();                     \
        feed(bytes, sizeof bytes - 1); \
        expect_failed(code);           \
    } while (0)

Test(io_websocket, wrong_frames_are_told_why)
{
    static uint8_t big[126];
    FAILS_RAW(1002, "\x82\x01x"); // no mask
    FAILS(1002, 0xc2, "x", 1);    // RSV1
    FAILS(1002, 0xa2, "x", 1);    // RSV2
    FAILS(1002, 0x92, "x", 1);    // RSV3
    FAILS(1002, 0x83, "x", 1);    // reserved opcodes
    FAILS(1002, 0x8b, "x", 1);
    FAILS(1003, 0x81, "text", 4); // [MQTT-6.0.0-1]
    FAILS(1003, 0x81, "", 0);
    FAILS(1002, 0x80, "x", 1);                              // nothing to continue
    FAILS(1002, 0x89, big, sizeof big);                     // a control frame of 126 bytes
    FAILS(1002, 0x09, "x", 1);                              // a fragmented ping
    FAILS_RAW(1002, "\x82\xff\x80\0\0\0\0\0\0\0\0\0\0\0x"); // the top bit of the length
    FAILS_RAW(1009, "\x82\xff\x40\0\0\0\0\0\0\0\0\0\0\0x"); // 2^62
    FAILS_RAW(1002, "\x82\xfe\0\x05\0\0\0\0hello");         // a length that is longer than need be
    again();
    open_it();
    feed_frame(0x02, "a", 1);
    feed_frame(0x82, "b", 1); // a new message in the middle of one
    data_len = 0;
    expect_failed(1002);
}

Test(io_websocket, close_is_answered)
{
    open_it();
    feed_frame(0x88,
               "\x03\xe8"
               "bye",
               5);
    cr_assert_eq(ws->state, WEBSOCKET_ENDED);
    cr_assert_eq(ws->reason, 1000);
    cr_assert(said("\x88\x02\x03\xe8", 4));
    again();
    open_it();
    feed_frame(0x88, "", 0);
    cr_assert_eq(ws->state, WEBSOCKET_ENDED);
    cr_assert(said("\x88\x00", 2));
    FAILS(1002, 0x88, "\x03", 1);
    FAILS(1002, 0x88, "\x03\xed", 2); // 1005 never stands in a frame
    FAILS(1002, 0x88, "\x00\x00", 2);
    FAILS(1002, 0x88, "\x13\x88", 2); // 5000
    FAILS(1007, 0x88, "\x03\xe8\xff", 3);
}

Test(io_websocket, our_close_is_said_once)
{
    open_it();
    websocket_close(ws, &out, &pool, WEBSOCKET_GOING_AWAY);
    websocket_close(ws, &out, &pool, WEBSOCKET_NORMAL);
    cr_assert(said("\x88\x02\x03\xe9", 4));
    take_out();
    feed_frame(0x88, "\x03\xe9", 2); // the answer
    cr_assert_eq(ws->state, WEBSOCKET_ENDED);
    cr_assert_eq(outq_bytes(&out), 0);
}

Test(io_websocket, pings_that_nobody_waits_for_are_not_collected)
{
    static uint8_t payload[125];
    open_it();
    for (int i = 0; i < 100000; i++)
        feed_frame(0x89, payload, sizeof payload);
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
    cr_assert_leq(outq_bytes(&out), WEBSOCKET_BACKLOG_MAX + 127);
    take_out();
    feed_frame(0x89, "x", 1);
    cr_assert(said("\x8a\x01x", 3));
    feed_frame(0x8a, "nobody asked", 12);
    cr_assert_eq(ws->state, WEBSOCKET_OPEN);
}

Test(io_websocket, our_frames_have_the_shortest_head)
{
    open_it();
    static const struct {
        uint64_t len;
        const char *head;
        size_t head_len;
    } cases[] = {{1, "\x82\x01", 2},
                 {125, "\x82\x7d", 2},
                 {126, "\x82\x7e\x00\x7e", 4},
                 {65535, "\x82\x7e\xff\xff", 4},
                 {65536, "\x82\x7f\0\0\0\0\0\x01\0\0", 10},
                 {UINT64_C(1) << 33, "\x82\x7f\0\0\0\x02\0\0\0\0", 10}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        websocket_put_head(ws, &out, &pool, cases[i].len);
        cr_assert(said(cases[i].head, cases[i].head_len));
        take_out();
    }
}
