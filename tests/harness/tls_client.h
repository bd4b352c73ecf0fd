// tls_client.h - a TLS client in memory, opposite to a struct tls.
//
// Job:    what a client of the broker would do, byte by byte if asked, with each message kept in
//         the test's hands.
// Owner:  a test. Thread: its own. Memory: as it comes.
// Limits: TLS_CLIENT_ROOM bytes under way to the server.
#ifndef TERN_TESTS_TLS_CLIENT_H
#define TERN_TESTS_TLS_CLIENT_H

#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "core/base/mem.h"

#include "io/tls.h"

#define TLS_CLIENT_ROOM (1u << 20)

struct tls_client_options {
    const char *ca; // PEM file to trust; NULL = anybody
    const char *cert, *key;
    const char *ciphers; // wolfSSL's names
    const char *alpn;
    const char *psk_identity;
    const uint8_t *psk_key;
    uint32_t psk_key_len;
    int version; // WOLFSSL_TLSV1_2, WOLFSSL_TLSV1_3; 0 = both
    bool staple; // insists on an OCSP response
    WOLFSSL_SESSION *session;
    unsigned shard; // of the server
};

struct tls_pair {
    struct tls *tls; // the server
    struct outq out; // from it, not yet read by the client
    struct outq_pool pool;
    struct tls_client_options options;
    WOLFSSL_CTX *ctx;
    WOLFSSL *client;
    uint8_t to_server[TLS_CLIENT_ROOM];
    uint32_t to_server_len;
    uint32_t chunk;                    // the server gets so many bytes at a time
    uint8_t plain[TLS_RECORD_MAX * 4]; // what the server has read
    uint32_t plain_len;
    int client_error; // 0 = connected
};

static int
pair_client_receive(WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    struct tls_pair *pair = arg;
    uint32_t there = (uint32_t)outq_bytes(&pair->out);
    if (there == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    uint32_t n = min_u32((uint32_t)len, there);
    memcpy(to, pair->out.buf + pair->out.head, n);
    outq_consume(&pair->out, &pair->pool, n);
    return (int)n;
}

static int
pair_client_send(WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    struct tls_pair *pair = arg;
    must((uint32_t)len <= TLS_CLIENT_ROOM - pair->to_server_len);
    memcpy(pair->to_server + pair->to_server_len, from, (size_t)len);
    pair->to_server_len += (uint32_t)len;
    return len;
}

static unsigned int
pair_client_psk(WOLFSSL *ssl, const char *hint, char *identity, unsigned int identity_max,
                unsigned char *key, unsigned int key_max)
{
    (void)hint;
    struct tls_pair *pair = wolfSSL_get_psk_callback_ctx(ssl);
    must(strlen(pair->options.psk_identity) < identity_max);
    must(pair->options.psk_key_len <= key_max);
    memcpy(identity, pair->options.psk_identity, strlen(pair->options.psk_identity) + 1);
    memcpy(key, pair->options.psk_key, pair->options.psk_key_len);
    return pair->options.psk_key_len;
}

static inline void
pair_load(WOLFSSL_CTX *ctx, const struct tls_client_options *options)
{
    struct secret_file file;
    struct file_problem problem;
    if (options->ca) {
        must(secret_file_read(options->ca, TLS_FILE_MAX, &file, &problem) == OK);
        must(wolfSSL_CTX_load_verify_buffer(ctx, file.data, file.len, WOLFSSL_FILETYPE_PEM) ==
             WOLFSSL_SUCCESS);
        secret_file_free(&file);
    }
    if (options->cert) {
        must(secret_file_read(options->cert, TLS_FILE_MAX, &file, &problem) == OK);
        must(wolfSSL_CTX_use_certificate_chain_buffer(ctx, file.data, file.len) == WOLFSSL_SUCCESS);
        secret_file_free(&file);
        must(secret_file_read(options->key, TLS_FILE_MAX, &file, &problem) == OK);
        must(wolfSSL_CTX_use_PrivateKey_buffer(ctx, file.data, file.len, WOLFSSL_FILETYPE_PEM) ==
             WOLFSSL_SUCCESS);
        secret_file_free(&file);
    }
}

static inline void
pair_configure(WOLFSSL_CTX *ctx, const struct tls_client_options *options)
{
    pair_load(ctx, options);
    wolfSSL_CTX_SetIORecv(ctx, pair_client_receive);
    wolfSSL_CTX_SetIOSend(ctx, pair_client_send);
    wolfSSL_CTX_set_verify(ctx, options->ca ? WOLFSSL_VERIFY_PEER : WOLFSSL_VERIFY_NONE, NULL);
    if (options->ciphers)
        must(wolfSSL_CTX_set_cipher_list(ctx, options->ciphers) == WOLFSSL_SUCCESS);
    if (options->psk_identity)
        wolfSSL_CTX_set_psk_client_callback(ctx, pair_client_psk);
    if (options->staple) {
        (void)wolfSSL_CTX_EnableOCSPStapling(ctx);
        (void)wolfSSL_CTX_EnableOCSPMustStaple(ctx);
    }
}

// Returns new.
static inline struct tls_pair *
pair_new(struct tls_context *context, const struct tls_client_options *options)
{
    struct tls_pair *pair = mem_zalloc(sizeof *pair);
    pair->options = *options;
    pair->chunk = TLS_CLIENT_ROOM;
    outq_init(&pair->out);
    pair->ctx = wolfSSL_CTX_new(options->version == WOLFSSL_TLSV1_2   ? wolfTLSv1_2_client_method()
                                : options->version == WOLFSSL_TLSV1_3 ? wolfTLSv1_3_client_method()
                                                                      : wolfSSLv23_client_method());
    must(pair->ctx != NULL);
    pair_configure(pair->ctx, options);
    pair->client = wolfSSL_new(pair->ctx);
    must(pair->client != NULL);
    wolfSSL_SetIOReadCtx(pair->client, pair);
    wolfSSL_SetIOWriteCtx(pair->client, pair);
    must(wolfSSL_UseSNI(pair->client, WOLFSSL_SNI_HOST_NAME, "server.example", 14) ==
         WOLFSSL_SUCCESS);
    must(wolfSSL_UseSessionTicket(pair->client) == WOLFSSL_SUCCESS);
    if (options->alpn)
        must(wolfSSL_UseALPN(pair->client, (char *)unconst(options->alpn),
                             (unsigned)strlen(options->alpn),
                             WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    if (options->psk_identity)
        must(wolfSSL_set_psk_callback_ctx(pair->client, pair) == WOLFSSL_SUCCESS);
    if (options->staple)
        must(wolfSSL_UseOCSPStapling(pair->client, WOLFSSL_CSR_OCSP, 0) == WOLFSSL_SUCCESS);
    if (options->session)
        (void)wolfSSL_set_session(pair->client, options->session); // fails where there is no ticket
    pair->tls = tls_new(context, options->shard);
    return pair;
}

static inline void
pair_free(struct tls_pair *pair)
{
    tls_free(pair->tls);
    wolfSSL_free(pair->client);
    wolfSSL_CTX_free(pair->ctx);
    outq_free(&pair->out, &pair->pool);
    outq_pool_drain(&pair->pool);
    mem_free(pair);
}

// The server takes all that the client sent, in chunks, each in memory of its exact size.
static inline void
pair_serve(struct tls_pair *pair)
{
    for (uint32_t at = 0; at < pair->to_server_len;) {
        uint32_t n = min_u32(pair->chunk, pair->to_server_len - at);
        uint8_t *copy = mem_alloc(n);
        memcpy(copy, pair->to_server + at, n);
        at += n;
        tls_input(pair->tls, slice_of(copy, n));
        uint32_t got;
        do {
            must(pair->plain_len < sizeof pair->plain);
            got = tls_read(pair->tls, &pair->out, &pair->pool, pair->plain + pair->plain_len,
                           (uint32_t)sizeof pair->plain - pair->plain_len);
            pair->plain_len += got;
        } while (got > 0);
        mem_free(copy);
    }
    pair->to_server_len = 0;
}

// Both sides talk until neither has more to say. True: both are done with the handshake.
static inline bool
pair_shake(struct tls_pair *pair)
{
    for (int i = 0; i < 20; i++) {
        int rc = wolfSSL_connect(pair->client);
        pair->client_error = rc == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(pair->client, rc);
        if (pair->to_server_len == 0 && outq_bytes(&pair->out) == 0)
            break;
        if (pair->client_error && pair->client_error != WOLFSSL_ERROR_WANT_READ &&
            pair->to_server_len == 0)
            break;
        pair_serve(pair);
    }
    return pair->client_error == 0 && pair->tls->state == TLS_OPEN;
}

#endif
