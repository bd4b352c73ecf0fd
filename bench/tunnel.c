// tunnel.c - TLS and WebSocket, the client's side.
//
// A client must mask its frames (RFC 6455 5.3); a mask of zeros is one, and costs the load
// generator nothing. What the server answers to the upgrade is believed when it begins with 101.
#include "bench/tunnel.h"

#include <stdio.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#define PLAIN_MAX 16384u // of a record
#define HEAD_MAX  14u    // of a frame
#define CA_MAX    (1u << 20)

struct tunnels {
    WOLFSSL_CTX *ctx; // NULL: no TLS
    bool websocket, resume;
    WOLFSSL_SESSION *session; // the last one, to go on with
    uint8_t plain[PLAIN_MAX];
};

struct tunnel {
    struct tunnels *owner;
    WOLFSSL *ssl;        // NULL: no TLS
    bool secure;         // TLS is there, or not asked for
    bool upgraded;       // the same of WebSocket
    const uint8_t *in;   // borrowed for a call
    uint32_t in_len;     // ... of which so many bytes are left
    struct buffer *out;  // the same
    struct buffer head;  // of the response, or of a frame, whose end has not come
    uint64_t frame_left; // bytes of this frame's payload that have not come
    uint8_t opcode;      // of it
};

bool
tunnel_wanted(const struct options *options)
{
    return options->tls || options->websocket;
}

// ---- TLS --------------------------------------------------------------------------------------

static int
on_receive(WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    struct tunnel *t = arg;
    uint32_t n = min_u32((uint32_t)len, t->in_len);
    if (n == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    memcpy(to, t->in, n);
    t->in += n;
    t->in_len -= n;
    return (int)n;
}

static int
on_send(WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    struct tunnel *t = arg;
    must(t->out != NULL);
    buffer_put(t->out, from, (uint32_t)len);
    return len;
}

static bool
trust(struct tunnels *tunnels, const char *path)
{
    if (path[0] == '\0') { // whoever it is
        wolfSSL_CTX_set_verify(tunnels->ctx, WOLFSSL_VERIFY_NONE, NULL);
        return true;
    }
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return false;
    uint8_t *text = mem_alloc(CA_MAX);
    size_t len = fread(text, 1, CA_MAX, file);
    (void)fclose(file);
    wolfSSL_CTX_set_verify(tunnels->ctx, WOLFSSL_VERIFY_PEER, NULL);
    int rc = wolfSSL_CTX_load_verify_buffer(tunnels->ctx, text, (long)len, WOLFSSL_FILETYPE_PEM);
    mem_free(text);
    return rc == WOLFSSL_SUCCESS;
}

struct tunnels *
tunnels_new(const struct options *options, char ret_why[TUNNEL_WHY_MAX])
{
    struct tunnels *tunnels = mem_zalloc(sizeof *tunnels);
    tunnels->websocket = options->websocket;
    tunnels->resume = options->resume;
    if (!options->tls)
        return tunnels;
    must(wolfSSL_Init() == WOLFSSL_SUCCESS);
    tunnels->ctx = wolfSSL_CTX_new(options->tls_version == 12 ? wolfTLSv1_2_client_method()
                                                              : wolfTLSv1_3_client_method());
    must(tunnels->ctx != NULL);
    wolfSSL_CTX_SetIORecv(tunnels->ctx, on_receive);
    wolfSSL_CTX_SetIOSend(tunnels->ctx, on_send);
    if (trust(tunnels, options->cafile))
        return tunnels;
    (void)snprintf(ret_why, TUNNEL_WHY_MAX, "--cafile %.80s has no certificates", options->cafile);
    tunnels_free(tunnels);
    return NULL;
}

void
tunnels_free(struct tunnels *tunnels)
{
    if (tunnels == NULL)
        return;
    if (tunnels->session != NULL)
        wolfSSL_SESSION_free(tunnels->session);
    if (tunnels->ctx != NULL)
        wolfSSL_CTX_free(tunnels->ctx);
    mem_free(tunnels);
}

// ---- Life -------------------------------------------------------------------------------------

static bool
put_plain(struct tunnel *t, const void *data, uint32_t len)
{
    if (t->ssl == NULL) {
        buffer_put(t->out, data, len);
        return true;
    }
    return len == 0 || wolfSSL_write(t->ssl, data, (int)len) == (int)len;
}

static bool
ask_for_upgrade(struct tunnel *t)
{
    static const char request[] = "GET /mqtt HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n"
                                  "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                                  "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                  "Sec-WebSocket-Protocol: mqtt\r\n\r\n";
    return put_plain(t, request, sizeof request - 1);
}

// False: the handshake failed.
static bool
shake_hands(struct tunnel *t, char ret_why[TUNNEL_WHY_MAX])
{
    int rc = wolfSSL_connect(t->ssl);
    if (rc == WOLFSSL_SUCCESS) {
        t->secure = true;
        return t->upgraded || ask_for_upgrade(t);
    }
    int error = wolfSSL_get_error(t->ssl, rc);
    if (error == WOLFSSL_ERROR_WANT_READ)
        return true;
    (void)snprintf(ret_why, TUNNEL_WHY_MAX, "TLS: %.100s",
                   wolfSSL_ERR_reason_error_string((unsigned long)error));
    return false;
}

struct tunnel *
tunnel_new(struct tunnels *tunnels, struct buffer *out)
{
    struct tunnel *t = mem_zalloc(sizeof *t);
    char why[TUNNEL_WHY_MAX];
    t->owner = tunnels;
    t->out = out;
    t->upgraded = !tunnels->websocket;
    if (tunnels->ctx == NULL) {
        t->secure = true;
        (void)ask_for_upgrade(t); // into a buffer: it cannot fail
    } else {
        t->ssl = wolfSSL_new(tunnels->ctx);
        must(t->ssl != NULL);
        wolfSSL_SetIOReadCtx(t->ssl, t);
        wolfSSL_SetIOWriteCtx(t->ssl, t);
        must(wolfSSL_UseSessionTicket(t->ssl) == WOLFSSL_SUCCESS);
        if (tunnels->session != NULL)
            (void)wolfSSL_set_session(t->ssl, tunnels->session);
        bool good = shake_hands(t, why);
        must(good); // nothing has come that could be wrong
    }
    t->out = NULL;
    return t;
}

void
tunnel_free(struct tunnel *t)
{
    if (t == NULL)
        return;
    if (t->ssl != NULL && t->owner->resume && t->secure) {
        WOLFSSL_SESSION *session = wolfSSL_get1_session(t->ssl);
        if (session != NULL && t->owner->session != NULL)
            wolfSSL_SESSION_free(t->owner->session);
        if (session != NULL)
            t->owner->session = session;
    }
    if (t->ssl != NULL)
        wolfSSL_free(t->ssl);
    buffer_free(&t->head);
    mem_free(t);
}

bool
tunnel_is_open(const struct tunnel *t)
{
    return t->secure && t->upgraded;
}

bool
tunnel_resumed(const struct tunnel *t)
{
    return t->ssl != NULL && wolfSSL_session_reused(t->ssl) == 1;
}

// ---- WebSocket --------------------------------------------------------------------------------

struct taker {
    tunnel_take_fn take;
    void *arg;
    char *why;
};

static bool
fail(const struct taker *taker, const char *why)
{
    (void)snprintf(taker->why, TUNNEL_WHY_MAX, "WebSocket: %s", why);
    return false;
}

// Takes bytes of the response's head. False: it is no upgrade.
static bool
read_response(struct tunnel *t, const uint8_t **data, uint32_t *len, const struct taker *taker)
{
    while (*len > 0 && !t->upgraded) {
        if (t->head.len == TUNNEL_HEAD_MAX)
            return fail(taker, "a very long answer");
        buffer_put(&t->head, (*data)++, 1);
        (*len)--;
        t->upgraded =
            t->head.len >= 4 && memcmp(t->head.data + t->head.len - 4, "\r\n\r\n", 4) == 0;
    }
    if (t->head.len >= 13 && memcmp(t->head.data, "HTTP/1.1 101 ", 13) != 0)
        return fail(taker, "the broker does not upgrade");
    if (t->upgraded)
        t->head.len = 0;
    return true;
}

// The head of a frame is complete: its opcode, and the length of its payload. False: not yet.
static bool
parse_head(struct tunnel *t)
{
    const uint8_t *head = t->head.data;
    if (t->head.len < 2)
        return false;
    uint32_t size = head[1] & 127u, more = size == 126 ? 2 : size == 127 ? 8 : 0;
    if (t->head.len < 2 + more)
        return false;
    t->opcode = head[0] & 15;
    t->frame_left = more ? 0 : size;
    for (uint32_t i = 0; i < more; i++)
        t->frame_left = t->frame_left << 8 | head[2 + i];
    t->head.len = 0;
    return true;
}

static bool
read_frames(struct tunnel *t, const uint8_t *data, uint32_t len, const struct taker *taker)
{
    if (!t->upgraded && !read_response(t, &data, &len, taker))
        return false;
    while (len > 0) {
        if (t->frame_left > 0) {
            uint32_t n = (uint32_t)min_u64(t->frame_left, len);
            taker->take(taker->arg, data, n);
            t->frame_left -= n;
            data += n;
            len -= n;
            continue;
        }
        buffer_put(&t->head, data++, 1);
        len--;
        if (!parse_head(t))
            continue;
        if (t->opcode == 8)
            return fail(taker, "the broker closed it");
        if (t->opcode != 2) // we send no pings; pongs and pieces of messages are not expected
            return fail(taker, "a frame that is not binary");
    }
    return true;
}

// ---- Bytes ------------------------------------------------------------------------------------

static bool
read_plain(struct tunnel *t, const uint8_t *data, uint32_t len, const struct taker *taker)
{
    if (t->owner->websocket)
        return read_frames(t, data, len, taker);
    taker->take(taker->arg, data, len);
    return true;
}

static bool
read_tls(struct tunnel *t, const struct taker *taker)
{
    if (!t->secure && !shake_hands(t, taker->why))
        return false;
    while (t->secure) {
        uint32_t before = t->in_len;
        int n = wolfSSL_read(t->ssl, t->owner->plain, (int)PLAIN_MAX);
        if (n > 0) {
            if (!read_plain(t, t->owner->plain, (uint32_t)n, taker))
                return false;
            continue;
        }
        int error = wolfSSL_get_error(t->ssl, n);
        if (error != WOLFSSL_ERROR_WANT_READ) {
            (void)snprintf(taker->why, TUNNEL_WHY_MAX, "TLS: %.100s",
                           error == WOLFSSL_ERROR_ZERO_RETURN
                               ? "the broker closed it"
                               : wolfSSL_ERR_reason_error_string((unsigned long)error));
            return false;
        }
        if (t->in_len == 0 || t->in_len == before)
            break;
    }
    return true;
}

bool
tunnel_read(struct tunnel *t, struct slice bytes, struct buffer *out, tunnel_take_fn take,
            void *arg, char ret_why[TUNNEL_WHY_MAX])
{
    const struct taker taker = {take, arg, ret_why};
    t->in = bytes.data;
    t->in_len = bytes.len;
    t->out = out;
    bool good = t->ssl == NULL ? read_plain(t, bytes.data, bytes.len, &taker) : read_tls(t, &taker);
    t->in_len = 0;
    t->out = NULL;
    return good;
}

bool
tunnel_write(struct tunnel *t, const uint8_t *data, uint32_t len, struct buffer *out)
{
    must_hot(tunnel_is_open(t) && len > 0);
    t->out = out;
    bool good = true;
    if (t->owner->websocket) {
        uint8_t head[HEAD_MAX] = {0x80 | 2};
        uint32_t more = len < 126 ? 0 : len <= UINT16_MAX ? 2 : 8;
        head[1] = (uint8_t)(0x80 | (more == 0 ? len : more == 2 ? 126 : 127));
        uint64_t rest = len;
        for (uint32_t i = more; i > 0; i--, rest >>= 8)
            head[1 + i] = (uint8_t)rest;
        good = put_plain(t, head, 2 + more + 4);
    }
    good = good && put_plain(t, data, len);
    t->out = NULL;
    return good;
}
