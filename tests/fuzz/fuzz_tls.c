// fuzz_tls.c - TLS records cut anywhere, and changed anywhere: a handshake that nobody touched
// succeeds however its bytes arrive; of a connection that somebody touched, only what the client
// said comes out, or nothing.
#include "tests/harness/tls_client.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MESSAGES 3

struct script { // the fuzzer's bytes, of which each decides something
    const uint8_t *data;
    size_t size;
};

static uint8_t
next(struct script *script)
{
    if (script->size == 0)
        return 0;
    script->size--;
    return *script->data++;
}

static struct tls_context *
context_of(bool certificates)
{
    static struct tls_context *contexts[2];
    struct tls_settings settings = {
        .cert_file = TERN_CERTIFICATES "/chain.pem",
        .key_file = TERN_CERTIFICATES "/chain.key",
        .alpn = "mqtt",
        .ocsp_file = certificates ? NULL : TERN_CERTIFICATES "/ocsp.der",
        .require_certificate = certificates,
        .ca_file = certificates ? TERN_CERTIFICATES "/clients.pem" : NULL};
    struct file_problem problem;
    if (!contexts[certificates])
        must(tls_context_new(&settings, 1, &contexts[certificates], &problem) == OK);
    return contexts[certificates];
}

// The bytes as they are, to a server that waits for a ClientHello.
static void
raw(struct script *script)
{
    struct tls_client_options options = {0};
    struct tls_pair *pair = pair_new(context_of(script->size % 2), &options);
    pair->chunk = 1u + next(script);
    memcpy(pair->to_server, script->data, min_u64(script->size, TLS_CLIENT_ROOM));
    pair->to_server_len = (uint32_t)min_u64(script->size, TLS_CLIENT_ROOM);
    pair_serve(pair);
    must(pair->tls->state != TLS_OPEN && pair->plain_len == 0);
    must(outq_bytes(&pair->out) < 65536);
    pair_free(pair);
}

// One flight of the client's, perhaps with bytes changed. True: it was touched.
static bool
deliver(struct tls_pair *pair, struct script *script, bool meddle)
{
    uint32_t flips = meddle ? next(script) % 4u : 0;
    bool touched = false;
    for (uint32_t i = 0; i < flips && pair->to_server_len > 0; i++) {
        uint32_t at = (uint32_t)(next(script) << 8 | next(script)) % pair->to_server_len;
        uint8_t change = next(script);
        pair->to_server[at] ^= change;
        touched = touched || change != 0;
    }
    pair->chunk = 1u + next(script) * (next(script) % 2 ? 1u : 64u);
    pair_serve(pair);
    return touched;
}

static bool
shake(struct tls_pair *pair, struct script *script, bool meddle)
{
    bool touched = false;
    for (int i = 0; i < 20; i++) {
        int rc = wolfSSL_connect(pair->client);
        pair->client_error = rc == WOLFSSL_SUCCESS ? 0 : wolfSSL_get_error(pair->client, rc);
        if (pair->to_server_len == 0)
            break;
        touched |= deliver(pair, script, meddle);
    }
    return touched;
}

static void
converse(struct script *script, bool meddle)
{
    uint8_t choice = next(script);
    struct tls_client_options options = {.version = choice & 1 ? WOLFSSL_TLSV1_2 : WOLFSSL_TLSV1_3,
                                         .alpn = choice & 2 ? "mqtt" : NULL,
                                         .ca = TERN_CERTIFICATES "/clients.pem"};
    options.staple =
        choice & 8 && !(choice & 4); // insists on the response: also looks for leaks there
    if (choice & 4) {
        options.cert = TERN_CERTIFICATES "/client.pem";
        options.key = TERN_CERTIFICATES "/client.key";
    }
    struct tls_pair *pair = pair_new(context_of(choice & 4), &options);
    bool touched = shake(pair, script, meddle);
    must(touched || (pair->client_error == 0 && pair->tls->state == TLS_OPEN));
    static uint8_t sent[MESSAGES * 4096];
    uint32_t sent_len = 0;
    for (int i = 0; i < MESSAGES && pair->client_error == 0; i++) {
        uint32_t len = 1 + next(script) * 16u;
        memset(sent + sent_len, 'a' + i, len);
        if (wolfSSL_write(pair->client, sent + sent_len, (int)len) != (int)len)
            break;
        sent_len += len;
        touched |= deliver(pair, script, meddle);
    }
    must(pair->plain_len <= sent_len && memcmp(pair->plain, sent, pair->plain_len) == 0);
    must(touched || pair->plain_len == sent_len);
    tls_close(pair->tls, &pair->out, &pair->pool);
    pair_free(pair);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct script script = {data, size};
    switch (next(&script) % 3) {
    case 0:
        raw(&script);
        break;
    case 1:
        converse(&script, false);
        break;
    default:
        converse(&script, true);
    }
    return 0;
}
