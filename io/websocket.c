// websocket.c - the upgrade, and frames through wslay.
//
// wslay reads a frame's head and unmasks its payload, in a buffer of 4 KiB. It is made when a frame
// begins and goes when nothing is left in it, so that an idle connection has none: what it holds is
// known from what it took and what it gave.
#include "io/websocket.h"

#include <malloc.h>
#include <stdio.h>
#include <strings.h>
#include <sys/types.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/sha.h>
#include <wslay/wslay.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "io/http_request.h"

#define KEY_LEN    24u // 16 bytes in base64
#define ACCEPT_LEN 28u // 20 bytes in base64

_Static_assert(WSLAY_CODE_PROTOCOL_ERROR == (int)WEBSOCKET_PROTOCOL_ERROR, "the same numbers");

struct websocket *
websocket_new(void)
{
    struct websocket *ws = mem_zalloc(sizeof *ws);
    ws->magic = WEBSOCKET_MAGIC;
    ws->state = WEBSOCKET_UPGRADE;
    return ws;
}

// What was in its buffer may have been a password. It holds bytes and numbers, and no memory of its
// own, so it can be wiped as a whole.
static void
free_frames(struct websocket *ws)
{
    if (ws->frames) {
        mem_wipe(ws->frames, malloc_usable_size(ws->frames));
        wslay_frame_context_free(ws->frames);
    }
    ws->frames = NULL;
}

static void
free_head(struct websocket *ws)
{
    mem_free(ws->head);
    ws->head = NULL;
    ws->head_len = ws->head_cap = 0;
}

void
websocket_free(struct websocket *ws)
{
    if (!ws)
        return;
    must(ws->magic == WEBSOCKET_MAGIC);
    free_frames(ws);
    free_head(ws);
    ws->magic = 0;
    mem_free(ws);
}

static void
put(struct outq *out, struct outq_pool *pool, const void *data, uint32_t len)
{
    memcpy(outq_reserve(out, pool, len), data, len);
    outq_commit(out, len);
}

// ---- Upgrade ------------------------------------------------------------------------------------

static const char *
status_text(unsigned status)
{
    switch (status) {
    case 403:
        return "Forbidden";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 426:
        return "Upgrade Required";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    case 505:
        return "HTTP Version Not Supported";
    default:
        return "Bad Request";
    }
}

static void
put_status(struct websocket *ws, struct outq *out, struct outq_pool *pool, unsigned status)
{
    char text[300];
    must(status >= 400 && status < 600);
    int len = snprintf(
        text, sizeof text, "HTTP/1.1 %u %s\r\nConnection: close\r\nContent-Length: 0\r\n%s%s\r\n",
        status, status_text(status), status == 405 ? "Allow: GET\r\n" : "",
        status == 400 || status == 426 ? "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                                       : "");
    must(len > 0 && (size_t)len < sizeof text);
    put(out, pool, text, (uint32_t)len);
    ws->closed = true;
    ws->reason = (uint16_t)status;
}

static void
refuse(struct websocket *ws, struct outq *out, struct outq_pool *pool, unsigned status)
{
    must(ws->state == WEBSOCKET_UPGRADE);
    put_status(ws, out, pool, status);
    ws->state = WEBSOCKET_FAILED;
    ws->in = slice_of(NULL, 0);
}

// len bytes, a multiple of three but for the last group.
static void
base64(const uint8_t *data, uint32_t len, char *to)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (uint32_t i = 0; i < len; i += 3) {
        uint32_t rest = len - i;
        uint32_t bits = (uint32_t)data[i] << 16 | (rest > 1 ? (uint32_t)data[i + 1] << 8 : 0) |
                        (rest > 2 ? data[i + 2] : 0);
        *to++ = digits[bits >> 18];
        *to++ = digits[bits >> 12 & 63];
        *to++ = (char)(rest > 1 ? digits[bits >> 6 & 63] : '=');
        *to++ = (char)(rest > 2 ? digits[bits & 63] : '=');
    }
}

static bool
is_key(struct slice key)
{
    if (key.len != KEY_LEN || memcmp(key.data + KEY_LEN - 2, "==", 2) != 0)
        return false;
    for (uint32_t i = 0; i < KEY_LEN - 2; i++) {
        uint8_t c = key.data[i];
        if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
              c == '+' || c == '/'))
            return false;
    }
    return true;
}

// RFC 6455 4.2.2: what proves that we read the key as a WebSocket server does.
static void
accept_of(struct slice key, char ret_accept[ACCEPT_LEN])
{
    static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    uint8_t text[KEY_LEN + sizeof guid - 1], hash[WC_SHA_DIGEST_SIZE];
    wc_Sha sha;
    must(key.len == KEY_LEN);
    memcpy(text, key.data, KEY_LEN);
    memcpy(text + KEY_LEN, guid, sizeof guid - 1);
    must(wc_InitSha(&sha) == 0 && wc_ShaUpdate(&sha, text, sizeof text) == 0 &&
         wc_ShaFinal(&sha, hash) == 0);
    wc_ShaFree(&sha);
    base64(hash, sizeof hash, ret_accept);
}

static bool
origin_is_good(const struct websocket_settings *settings, struct slice origin)
{
    for (uint32_t i = 0; i < settings->origin_count; i++)
        if (slice_equal(origin, slice_str(settings->origins[i])))
            return true;
    return settings->origin_count == 0;
}

static bool
path_is_good(const struct websocket_settings *settings, struct slice target)
{
    const uint8_t *query = memchr(target.data, '?', target.len);
    uint32_t len = query ? (uint32_t)(query - target.data) : target.len;
    return !settings->path || slice_equal(slice_of(target.data, len), slice_str(settings->path));
}

// What the request asks for, in the order in which it is easiest understood. 0: all is well.
static unsigned
judge(const struct websocket_settings *settings, const struct http_request *request)
{
    uint32_t hosts, origins, versions, bodies, codings;
    (void)http_field_find(request, "Host", &hosts);
    (void)http_field_find(request, "Content-Length", &bodies);
    (void)http_field_find(request, "Transfer-Encoding", &codings);
    if (hosts != 1 || bodies > 0 || codings > 0)
        return 400;
    if (!slice_equal(request->method, slice_str("GET")))
        return 405;
    if (!path_is_good(settings, request->target))
        return 404;
    if (!http_field_has(request, "Upgrade", "websocket") ||
        !http_field_has(request, "Connection", "upgrade"))
        return 426;
    struct slice origin = http_field_find(request, "Origin", &origins);
    if (origins > 1)
        return 400;
    if (!origin_is_good(settings, origin))
        return 403;
    struct slice version = http_field_find(request, "Sec-WebSocket-Version", &versions);
    if (versions != 1 || !slice_equal(version, slice_str("13")))
        return 400;
    return 0;
}

// The first that the client names and that we speak; NULL: none.
static const char *
protocol_of(const struct http_request *request)
{
    for (uint32_t i = 0; i < request->field_count; i++) {
        struct slice name = request->fields[i].name, rest = request->fields[i].value, word;
        if (name.len != 22 ||
            strncasecmp((const char *)name.data, "Sec-WebSocket-Protocol", 22) != 0)
            continue;
        while (http_word_next(&rest, &word)) {
            if (slice_equal(word, slice_str("mqtt")))
                return "mqtt";
            if (slice_equal(word, slice_str("mqttv3.1")))
                return "mqttv3.1";
        }
    }
    return NULL;
}

static void
answer(struct websocket *ws, const struct websocket_settings *settings, struct outq *out,
       struct outq_pool *pool, struct slice head)
{
    struct http_request request;
    uint32_t keys = 0;
    unsigned status = http_request_parse(head, &request);
    if (status == 0)
        status = judge(settings, &request);
    struct slice key = {0};
    const char *protocol = NULL;
    if (status == 0) {
        key = http_field_find(&request, "Sec-WebSocket-Key", &keys);
        protocol = protocol_of(&request);
        if (keys != 1 || !is_key(key) || !protocol)
            status = 400;
    }
    if (status != 0) {
        refuse(ws, out, pool, status);
        return;
    }
    char accept[ACCEPT_LEN], text[256];
    accept_of(key, accept);
    int len = snprintf(text, sizeof text,
                       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n"
                       "Connection: Upgrade\r\nSec-WebSocket-Accept: %.*s\r\n"
                       "Sec-WebSocket-Protocol: %s\r\n\r\n",
                       (int)ACCEPT_LEN, accept, protocol);
    must(len > 0 && (size_t)len < sizeof text);
    put(out, pool, text, (uint32_t)len);
    ws->state = WEBSOCKET_OPEN;
}

// Collects the request's head; usually it is there at once and nothing is copied.
static void
upgrade(struct websocket *ws, const struct websocket_settings *settings, struct outq *out,
        struct outq_pool *pool)
{
    uint32_t before = ws->head_len, head_max = max_u32(settings->head_max, before);
    uint32_t take = min_u32(ws->in.len, head_max - before);
    struct slice bytes = slice_of(ws->in.data, take);
    if (before > 0) {
        ws->head = mem_grow(ws->head, &ws->head_cap, before + take, 1);
        memcpy(ws->head + before, ws->in.data, take);
        bytes = slice_of(ws->head, before + take);
    }
    uint32_t len = http_head_len(bytes);
    if (len > 0) {
        must(len > before);
        answer(ws, settings, out, pool, slice_of(bytes.data, len));
        if (ws->state == WEBSOCKET_OPEN)
            ws->in = slice_of(ws->in.data + (len - before), ws->in.len - (len - before));
        free_head(ws);
        return;
    }
    if (bytes.len == head_max) {
        refuse(ws, out, pool, 431);
        free_head(ws);
        return;
    }
    if (before == 0 && take > 0) {
        ws->head = mem_grow(ws->head, &ws->head_cap, take, 1);
        memcpy(ws->head, ws->in.data, take);
    }
    ws->head_len = before + take;
    ws->in = slice_of(NULL, 0);
}

// ---- Frames -------------------------------------------------------------------------------------

static void
put_frame(struct outq *out, struct outq_pool *pool, uint8_t opcode, struct slice payload)
{
    must(payload.len <= WEBSOCKET_CONTROL_MAX);
    uint8_t head[2] = {(uint8_t)(0x80 | opcode), (uint8_t)payload.len};
    put(out, pool, head, sizeof head);
    if (payload.len > 0)
        put(out, pool, payload.data, payload.len);
}

void
websocket_put_head(struct websocket *ws, struct outq *out, struct outq_pool *pool, uint64_t len)
{
    must_hot(ws->state == WEBSOCKET_OPEN && len > 0);
    uint8_t head[10] = {0x80 | WSLAY_BINARY_FRAME};
    uint32_t size = len < 126 ? 2 : len <= UINT16_MAX ? 4 : 10;
    head[1] = (uint8_t)(size == 2 ? len : size == 4 ? 126 : 127);
    for (uint32_t i = size - 1; i >= 2; i--, len >>= 8)
        head[i] = (uint8_t)len;
    put(out, pool, head, size);
}

static void
put_close(struct websocket *ws, struct outq *out, struct outq_pool *pool, uint16_t code)
{
    if (ws->closed)
        return;
    uint8_t payload[2] = {(uint8_t)(code >> 8), (uint8_t)code};
    put_frame(out, pool, WSLAY_CONNECTION_CLOSE, slice_of(payload, code ? 2 : 0));
    ws->closed = true;
    ws->reason = code;
}

void
websocket_close(struct websocket *ws, struct outq *out, struct outq_pool *pool,
                enum websocket_code code)
{
    must(ws->magic == WEBSOCKET_MAGIC);
    if (ws->state == WEBSOCKET_UPGRADE && !ws->closed)
        put_status(ws, out, pool, 503);
    else if (ws->state == WEBSOCKET_OPEN)
        put_close(ws, out, pool, (uint16_t)code);
}

static COLD void
fail(struct websocket *ws, struct outq *out, struct outq_pool *pool, enum websocket_code code)
{
    must(ws->state == WEBSOCKET_OPEN);
    put_close(ws, out, pool, (uint16_t)code);
    ws->state = WEBSOCKET_FAILED;
    ws->in = slice_of(NULL, 0);
    free_frames(ws);
}

static ssize_t
on_frame_bytes(uint8_t *to, size_t len, int flags, void *arg)
{
    (void)flags;
    struct websocket *ws = arg;
    if (ws->in.len == 0)
        return -1; // wslay: want read
    uint32_t n = (uint32_t)min_u64(len, ws->in.len);
    memcpy(to, ws->in.data, n);
    ws->in = slice_of(ws->in.data + n, ws->in.len - n);
    ws->behind += n;
    return (ssize_t)n;
}

static void
need_frames(struct websocket *ws)
{
    static const struct wslay_frame_callbacks callbacks = {.recv_callback = on_frame_bytes};
    if (!ws->frames)
        must(wslay_frame_context_init(&ws->frames, &callbacks, ws) == 0);
}

// A frame has begun. 0, or the close code of what is wrong with it.
static uint16_t
check_frame(struct websocket *ws, const struct wslay_frame_iocb *frame)
{
    if (!frame->mask || frame->rsv != 0)
        return WEBSOCKET_PROTOCOL_ERROR;
    if (frame->payload_length > WEBSOCKET_FRAME_MAX)
        return WEBSOCKET_TOO_BIG;
    switch (frame->opcode) {
    case WSLAY_CONTINUATION_FRAME:
        if (!ws->fragmented)
            return WEBSOCKET_PROTOCOL_ERROR;
        ws->fragmented = !frame->fin;
        return 0;
    case WSLAY_BINARY_FRAME:
        if (ws->fragmented)
            return WEBSOCKET_PROTOCOL_ERROR;
        ws->fragmented = !frame->fin;
        return 0;
    case WSLAY_TEXT_FRAME: // [MQTT-6.0.0-1]
        return WEBSOCKET_UNSUPPORTED_DATA;
    case WSLAY_PING:
    case WSLAY_PONG:
    case WSLAY_CONNECTION_CLOSE:
        ws->control_len = 0;
        return frame->fin && frame->payload_length <= WEBSOCKET_CONTROL_MAX
                   ? 0
                   : WEBSOCKET_PROTOCOL_ERROR;
    default:
        return WEBSOCKET_PROTOCOL_ERROR;
    }
}

// RFC 6455 7.4: what may stand in a close frame.
static bool
code_is_good(uint16_t code)
{
    return (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) ||
           (code >= 3000 && code <= 4999);
}

static void
on_close(struct websocket *ws, struct outq *out, struct outq_pool *pool)
{
    uint16_t code = 0;
    if (ws->control_len > 0) {
        code = (uint16_t)(ws->control[0] << 8 | ws->control[1]);
        if (ws->control_len < 2 || !code_is_good(code)) {
            fail(ws, out, pool, WEBSOCKET_PROTOCOL_ERROR);
            return;
        }
        if (!utf8_valid(slice_of(ws->control + 2, ws->control_len - 2))) {
            fail(ws, out, pool, WEBSOCKET_INVALID_PAYLOAD);
            return;
        }
    }
    put_close(ws, out, pool, code);
    ws->reason = code;
    ws->state = WEBSOCKET_ENDED;
    ws->in = slice_of(NULL, 0);
    free_frames(ws);
}

// A control frame is complete.
static void
on_control(struct websocket *ws, struct outq *out, struct outq_pool *pool)
{
    if (ws->opcode == WSLAY_CONNECTION_CLOSE) {
        on_close(ws, out, pool);
    } else if (ws->opcode == WSLAY_PING && !ws->closed &&
               outq_bytes(out) <= WEBSOCKET_BACKLOG_MAX) {
        // RFC 6455 5.5.3 lets us leave out those that a slow reader has overtaken.
        put_frame(out, pool, WSLAY_PONG, slice_of(ws->control, ws->control_len));
    }
}

// The next piece of a frame. False: there is none yet, or the end has come.
static bool
next_piece(struct websocket *ws, struct outq *out, struct outq_pool *pool,
           struct wslay_frame_iocb *ret_piece)
{
    need_frames(ws);
    ssize_t rc = wslay_frame_recv(ws->frames, ret_piece);
    if (rc == WSLAY_ERR_WANT_READ) {
        must(ws->in.len == 0);
        if (ws->behind == 0 && ws->left == 0)
            free_frames(ws);
        return false;
    }
    if (rc < 0) {
        fail(ws, out, pool, WEBSOCKET_PROTOCOL_ERROR);
        return false;
    }
    if (ws->left == 0) { // a new frame
        uint16_t code = check_frame(ws, ret_piece);
        if (code != 0) {
            fail(ws, out, pool, (enum websocket_code)code);
            return false;
        }
        uint64_t len = ret_piece->payload_length;
        ws->left = len;
        ws->opcode = ret_piece->opcode;
        uint32_t head = 6u + (len > UINT16_MAX ? 8 : len > 125 ? 2 : 0);
        must(ws->behind >= head);
        ws->behind -= head;
    }
    must(ret_piece->data_length <= ws->left && ret_piece->data_length <= ws->behind);
    ws->left -= ret_piece->data_length;
    ws->behind -= (uint32_t)ret_piece->data_length;
    return true;
}

// True: data is of a binary frame.
static bool
take_piece(struct websocket *ws, struct outq *out, struct outq_pool *pool,
           const struct wslay_frame_iocb *piece, struct slice *ret_data)
{
    if (!wslay_is_ctrl_frame(ws->opcode)) {
        *ret_data = slice_of(piece->data, piece->data_length);
        return ret_data->len > 0;
    }
    must(ws->control_len + piece->data_length <= WEBSOCKET_CONTROL_MAX);
    if (piece->data_length > 0)
        memcpy(ws->control + ws->control_len, piece->data, piece->data_length);
    ws->control_len = (uint8_t)(ws->control_len + piece->data_length);
    if (ws->left == 0)
        on_control(ws, out, pool);
    return false;
}

void
websocket_input(struct websocket *ws, struct slice bytes)
{
    must(ws->magic == WEBSOCKET_MAGIC && ws->in.len == 0);
    if (ws->state == WEBSOCKET_UPGRADE || ws->state == WEBSOCKET_OPEN)
        ws->in = bytes;
}

bool
websocket_read(struct websocket *ws, const struct websocket_settings *settings, struct outq *out,
               struct outq_pool *pool, struct slice *ret_data)
{
    must_hot(ws->magic == WEBSOCKET_MAGIC);
    if (unlikely(ws->state == WEBSOCKET_UPGRADE) && ws->in.len > 0)
        upgrade(ws, settings, out, pool);
    struct wslay_frame_iocb piece;
    while (ws->state == WEBSOCKET_OPEN && (ws->in.len > 0 || ws->frames)) {
        if (!next_piece(ws, out, pool, &piece))
            return false;
        if (take_piece(ws, out, pool, &piece, ret_data))
            return true;
    }
    return false;
}
