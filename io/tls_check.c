// tls_check.c - would a client take our certificate, key and OCSP response? Asked before they
// serve.
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "core/base/mem.h"

#include "io/tls.h"

#define ROUNDS_MAX 16 // a handshake takes three

struct pipe {
    struct slice from_server; // not read yet by the client
    uint8_t to_server[16384];
    uint32_t to_server_len;
    struct outq_pool pool;
};

static int
client_receive(WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    struct pipe *pipe = arg;
    if (pipe->from_server.len == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    uint32_t n = min_u32((uint32_t)len, pipe->from_server.len);
    memcpy(to, pipe->from_server.data, n);
    pipe->from_server = slice_of(pipe->from_server.data + n, pipe->from_server.len - n);
    return (int)n;
}

static int
client_send(WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    struct pipe *pipe = arg;
    if ((uint32_t)len > sizeof pipe->to_server - pipe->to_server_len)
        return WOLFSSL_CBIO_ERR_GENERAL;
    memcpy(pipe->to_server + pipe->to_server_len, from, (size_t)len);
    pipe->to_server_len += (uint32_t)len;
    return len;
}

// What the server has to say to what the client said, in out.
static void
serve(struct tls *tls, struct pipe *pipe, struct outq *out)
{
    uint8_t plain[256];
    tls_input(tls, slice_of(pipe->to_server, pipe->to_server_len));
    while (tls_read(tls, out, &pipe->pool, plain, sizeof plain) > 0)
        ;
    pipe->to_server_len = 0;
}

// 0, or the client's error.
static int
shake_hands(struct tls_context *context, WOLFSSL *client, struct pipe *pipe)
{
    struct outq out;
    struct tls *tls = tls_new(context, 0);
    int error = WOLFSSL_ERROR_WANT_READ;
    outq_init(&out);
    for (int i = 0; i < ROUNDS_MAX && error == WOLFSSL_ERROR_WANT_READ; i++) {
        // The client takes all of it, or gives up.
        uint32_t len = (uint32_t)outq_bytes(&out);
        pipe->from_server = slice_of(len > 0 ? out.buf + out.head : NULL, len);
        int rc = wolfSSL_connect(client);
        error = rc == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(client, rc);
        outq_consume(&out, &pipe->pool, outq_bytes(&out));
        if (error == WOLFSSL_ERROR_WANT_READ)
            serve(tls, pipe, &out);
    }
    outq_free(&out, &pipe->pool);
    tls_free(tls);
    return error;
}

// Whether anybody trusts our certificate is not the question; whether the response is for it, is.
static int
on_verify(int good, WOLFSSL_X509_STORE_CTX *store)
{
    return good || store->error == ASN_NO_SIGNER_E || store->error == ASN_SELF_SIGNED_E ||
           store->error == ASN_AFTER_DATE_E || store->error == ASN_BEFORE_DATE_E;
}

static WOLFSSL_CTX *
client_context(const struct slice *trusted, uint32_t count, bool staple)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(wolfTLSv1_3_client_method());
    must(ctx != NULL);
    wolfSSL_CTX_SetIORecv(ctx, client_receive);
    wolfSSL_CTX_SetIOSend(ctx, client_send);
    // Verifies after they are there: our issuer may come without its own.
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
    for (uint32_t i = 0; i < count; i++) {
        struct slice rest = trusted[i], block;
        while (pem_next(&rest, &block))
            (void)wolfSSL_CTX_load_verify_buffer(ctx, block.data, (long)block.len,
                                                 WOLFSSL_FILETYPE_PEM); // what is of no use, is not
    }
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER, on_verify);
    if (staple) {
        (void)wolfSSL_CTX_EnableOCSPStapling(ctx);
        (void)wolfSSL_CTX_EnableOCSPMustStaple(ctx);
    }
    return ctx;
}

int
tls_check(struct tls_context *context, const struct slice *trusted, uint32_t count)
{
    must(context->psk == NULL);
    bool staple = context->ocsp.len > 0;
    WOLFSSL_CTX *ctx = client_context(trusted, count, staple);
    WOLFSSL *client = wolfSSL_new(ctx);
    must(client != NULL);
    struct pipe *pipe = mem_zalloc(sizeof *pipe);
    wolfSSL_SetIOReadCtx(client, pipe);
    wolfSSL_SetIOWriteCtx(client, pipe);
    if (staple)
        must(wolfSSL_UseOCSPStapling(client, WOLFSSL_CSR_OCSP, 0) == WOLFSSL_SUCCESS);
    if (context->alpn)
        must(wolfSSL_UseALPN(client, context->alpn, (unsigned)strlen(context->alpn),
                             WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    int error = shake_hands(context, client, pipe);
    wolfSSL_free(client);
    wolfSSL_CTX_free(ctx);
    outq_pool_drain(&pipe->pool);
    mem_free(pipe);
    return error;
}
