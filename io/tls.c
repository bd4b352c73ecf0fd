// tls.c - one TLS connection: wolfSSL between two buffers.
//
// wolfSSL reads from tls->in, and hears "want read" when that is empty; what it writes is appended
// to the out-queue and always accepted, so it never stops in the middle of a record. Both are set
// for the time of one call.
#include "io/tls.h"

#include <stdio.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/error-ssl.h>
#include <wolfssl/ssl.h>

#include "core/base/mem.h"

#include "io/certificate.h"
#include "io/tls_psk.h"

// Errors of our own, beside wolfSSL's, which are negative.
#define ERROR_HANDSHAKE_TOO_LONG 1
#define ERROR_FUTILE             2
#define ERROR_NO_EXCHANGE        3

// ---- What wolfSSL calls -------------------------------------------------------------------------

int
tls_on_receive(struct WOLFSSL *ssl, char *to, int len, void *arg)
{
    (void)ssl;
    struct tls *tls = arg;
    must_hot(tls->magic == TLS_MAGIC && len >= 0);
    if (tls->in.len == 0)
        return WOLFSSL_CBIO_ERR_WANT_READ;
    uint32_t n = min_u32((uint32_t)len, tls->in.len);
    memcpy(to, tls->in.data, n);
    tls->in = slice_of(tls->in.data + n, tls->in.len - n);
    return (int)n;
}

int
tls_on_send(struct WOLFSSL *ssl, char *from, int len, void *arg)
{
    (void)ssl;
    struct tls *tls = arg;
    must_hot(tls->magic == TLS_MAGIC && len >= 0 && tls->out != NULL);
    uint8_t *room = outq_reserve(tls->out, tls->pool, (uint32_t)len);
    memcpy(room, from, (size_t)len);
    outq_commit(tls->out, (uint32_t)len);
    return len;
}

static void
keep_peer_name(struct tls *tls, struct slice der)
{
    struct certificate certificate;
    mem_free(tls->peer_name);
    tls->peer_name = NULL;
    if (!certificate_parse(der, &certificate))
        return;
    if (tls->context->identity == TLS_IDENTITY_COMMON_NAME)
        tls->peer_name = certificate_common_name(&certificate);
    else if (tls->context->identity == TLS_IDENTITY_SUBJECT)
        tls->peer_name = certificate_subject(&certificate);
}

// wolfSSL has judged; its word stands.
int
tls_on_verify(int good, struct WOLFSSL_X509_STORE_CTX *store)
{
    struct tls *tls = store->userCtx;
    must(tls != NULL && tls->magic == TLS_MAGIC);
    if (good && store->error_depth == 0 && store->totalCerts > 0)
        keep_peer_name(tls, slice_of(store->certs[0].buffer, store->certs[0].length));
    return good;
}

// The name is the client's claim until the handshake is over, which it is only with the right key:
// such a listener has no other way in.
unsigned int
tls_on_psk(struct WOLFSSL *ssl, const char *identity, unsigned char *ret_key, unsigned int key_max)
{
    struct tls *tls = wolfSSL_get_psk_callback_ctx(ssl);
    must(tls != NULL && tls->magic == TLS_MAGIC && key_max >= TLS_PSK_KEY_MAX);
    uint32_t len = tls_psk_find(tls->context->psk, identity, ret_key);
    if (len > 0) {
        mem_free(tls->peer_name);
        tls->peer_name = mem_strdup(identity);
    }
    tls->stranger = len == 0;
    return len;
}

unsigned int
tls_on_psk_dial(struct WOLFSSL *ssl, const char *hint, char *ret_identity,
                unsigned int identity_max, unsigned char *ret_key, unsigned int key_max)
{
    (void)hint;
    const struct tls *tls = wolfSSL_get_psk_callback_ctx(ssl);
    must(tls != NULL && tls->magic == TLS_MAGIC && tls->dials);
    const char *identity = tls->context->dial_identity;
    must(strlen(identity) < identity_max && key_max >= TLS_PSK_KEY_MAX);
    memcpy(ret_identity, identity, strlen(identity) + 1);
    return tls_psk_find(tls->context->psk, identity, ret_key);
}

// ---- Life ---------------------------------------------------------------------------------------

static struct tls *
make(struct tls_context *context, unsigned shard, bool dials)
{
    must(context->magic == TLS_CONTEXT_MAGIC && shard < context->shards);
    struct tls *tls = mem_zalloc(sizeof *tls);
    tls->magic = TLS_MAGIC;
    tls->state = TLS_HANDSHAKE;
    tls->shard = (uint16_t)shard;
    tls->context = tls_context_ref(context);
    tls->dials = dials;
    tls->ssl = wolfSSL_new(dials ? context->dial_ctxs[shard] : context->ctxs[shard]);
    must(tls->ssl != NULL); // the kernel gave no random bytes: nothing can be done without
    wolfSSL_SetIOReadCtx(tls->ssl, tls);
    wolfSSL_SetIOWriteCtx(tls->ssl, tls);
    wolfSSL_SetCertCbCtx(tls->ssl, tls);
    if (context->psk)
        must(wolfSSL_set_psk_callback_ctx(tls->ssl, tls) == WOLFSSL_SUCCESS);
    if (context->alpn)
        must(wolfSSL_UseALPN(tls->ssl, context->alpn, (unsigned)strlen(context->alpn),
                             WOLFSSL_ALPN_FAILED_ON_MISMATCH) == WOLFSSL_SUCCESS);
    return tls;
}

struct tls *
tls_new(struct tls_context *context, unsigned shard)
{
    return make(context, shard, false);
}

struct tls *
tls_dial(struct tls_context *context, unsigned shard)
{
    must(context->dial_ctxs != NULL);
    return make(context, shard, true);
}

void
tls_free(struct tls *tls)
{
    if (!tls)
        return;
    must(tls->magic == TLS_MAGIC);
    wolfSSL_free(tls->ssl); // wipes its keys
    tls_context_unref(tls->context);
    mem_free(tls->peer_name);
    tls->magic = 0;
    mem_free(tls);
}

// ---- Bytes --------------------------------------------------------------------------------------

static void
begin(struct tls *tls, struct outq *out, struct outq_pool *pool)
{
    must_hot(tls->magic == TLS_MAGIC && out != NULL && pool != NULL);
    tls->out = out;
    tls->pool = pool;
    tls->before = outq_bytes(out);
}

static void
end(struct tls *tls)
{
    tls->spoke = tls->spoke || outq_bytes(tls->out) > tls->before;
    tls->out = NULL;
    tls->pool = NULL;
}

// wolfSSL tells the peer of most errors itself, but not of all. Before keys are agreed on an alert
// is seven plain bytes. An answer of this very call that leads nowhere is taken back: after it, the
// peer would expect them encrypted.
static void
tell_failure(struct tls *tls, int error)
{
    WOLFSSL_ALERT_HISTORY alerts;
    if (wolfSSL_get_alert_history(tls->ssl, &alerts) != WOLFSSL_SUCCESS ||
        alerts.last_tx.level == alert_fatal || alerts.last_rx.level == alert_fatal)
        return;
    if (tls->spoke && strcmp(wolfSSL_get_version(tls->ssl), "TLSv1.2") != 0)
        return;
    if (!tls->spoke)
        tls->out->len -= (uint32_t)(outq_bytes(tls->out) - tls->before);
    uint8_t code = error == UNKNOWN_RECORD_TYPE || error == VERSION_ERROR ? protocol_version
                                                                          : handshake_failure;
    const uint8_t alert[] = {21, 3, 3, 0, 2, alert_fatal, code};
    memcpy(outq_reserve(tls->out, tls->pool, sizeof alert), alert, sizeof alert);
    outq_commit(tls->out, sizeof alert);
}

static COLD void
fail(struct tls *tls, int error)
{
    must(error != 0);
    if (tls->state == TLS_HANDSHAKE)
        tell_failure(tls, error);
    tls->error = error;
    tls->state = TLS_FAILED;
    tls->in = slice_of(NULL, 0);
}

// wolfSSL answered with less than success: is it just that the input is used up?
static void
settle(struct tls *tls, int rc)
{
    int error = wolfSSL_get_error(tls->ssl, rc);
    if (error == WOLFSSL_ERROR_WANT_READ && tls->in.len == 0)
        return;
    if (error != WOLFSSL_ERROR_ZERO_RETURN) {
        fail(tls, error ? error : WOLFSSL_FATAL_ERROR);
        return;
    }
    tls->state = TLS_ENDED;
    tls->in = slice_of(NULL, 0); // nothing can follow
}

// Also over messages that are for wolfSSL alone, after which it may ask for more too early.
static int
decrypt(struct tls *tls, uint8_t *buffer, uint32_t size)
{
    for (;;) {
        uint32_t before = tls->in.len;
        int rc = wolfSSL_read(tls->ssl, buffer, (int)size);
        if (rc > 0 || tls->in.len == 0 || tls->in.len == before ||
            wolfSSL_get_error(tls->ssl, rc) != WOLFSSL_ERROR_WANT_READ)
            return rc;
    }
}

void
tls_input(struct tls *tls, struct slice ciphertext)
{
    must_hot(tls->magic == TLS_MAGIC);
    if (tls->state == TLS_FAILED || tls->state == TLS_ENDED)
        return;
    must_hot(tls->in.len == 0);
    tls->in = ciphertext;
    tls->futile += min_u32(ciphertext.len, UINT32_MAX - tls->futile);
}

// wolfSSL lets a peer that has the key do without the exchange, and so without forward secrecy. It
// would not let one in without the key, who has no certificate that on_stranger takes: once more,
// because all rests on it.
static bool
is_node_handshake(const struct tls *tls)
{
    return wolfSSL_get_curve_name(tls->ssl) != NULL && (tls->dials || tls->peer_name != NULL);
}

static bool
shake_hands(struct tls *tls)
{
    if (tls->futile > TLS_HANDSHAKE_MAX) {
        fail(tls, ERROR_HANDSHAKE_TOO_LONG);
        return false;
    }
    int rc = tls->dials ? wolfSSL_connect(tls->ssl) : wolfSSL_accept(tls->ssl);
    if (rc != WOLFSSL_SUCCESS) {
        settle(tls, rc);
        return false;
    }
    if (tls->context->dial_ctxs && !is_node_handshake(tls)) {
        fail(tls, ERROR_NO_EXCHANGE);
        return false;
    }
    tls->state = TLS_OPEN;
    tls->futile = tls->in.len;
    return true;
}

uint32_t
tls_read(struct tls *tls, struct outq *out, struct outq_pool *pool, uint8_t *buffer, uint32_t size)
{
    must_hot(size > 0 && size <= INT32_MAX);
    begin(tls, out, pool);
    uint32_t got = 0;
    if (tls->state == TLS_OPEN || (tls->state == TLS_HANDSHAKE && shake_hands(tls))) {
        int rc = decrypt(tls, buffer, size);
        if (rc > 0) {
            got = (uint32_t)rc;
            tls->futile = tls->in.len;
        } else {
            settle(tls, rc);
        }
    }
    if (tls->state == TLS_OPEN && tls->futile > TLS_FUTILE_MAX)
        fail(tls, ERROR_FUTILE);
    end(tls);
    must_hot(got <= size);
    return got;
}

err_t
tls_write(struct tls *tls, struct outq *out, struct outq_pool *pool, struct slice data)
{
    if (tls->state == TLS_FAILED || data.len == 0)
        return tls->state == TLS_FAILED ? ERR_IO : OK;
    must_hot(tls->state == TLS_OPEN || tls->state == TLS_ENDED);
    must_hot(data.len <= INT32_MAX);
    begin(tls, out, pool);
    int rc = wolfSSL_write(tls->ssl, data.data, (int)data.len);
    if (rc != (int)data.len)
        fail(tls, wolfSSL_get_error(tls->ssl, rc));
    end(tls);
    return tls->state == TLS_FAILED ? ERR_IO : OK;
}

void
tls_close(struct tls *tls, struct outq *out, struct outq_pool *pool)
{
    if (tls->state != TLS_OPEN && tls->state != TLS_ENDED)
        return;
    begin(tls, out, pool);
    (void)wolfSSL_shutdown(tls->ssl); // says whether the peer has said so, too: no matter
    end(tls);
}

// ---- Questions ----------------------------------------------------------------------------------

const char *
tls_peer_name(const struct tls *tls)
{
    must(tls->magic == TLS_MAGIC);
    return tls->state == TLS_OPEN || tls->state == TLS_ENDED ? tls->peer_name : NULL;
}

const char *
tls_version_text(const struct tls *tls)
{
    must(tls->magic == TLS_MAGIC);
    return wolfSSL_get_version(tls->ssl);
}

const char *
tls_cipher_text(const struct tls *tls)
{
    const char *name = wolfSSL_get_cipher_name(tls->ssl);
    return name ? name : "none";
}

bool
tls_resumed(const struct tls *tls)
{
    return wolfSSL_session_reused(tls->ssl) == 1;
}

void
tls_failure(const struct tls *tls, char ret_text[TLS_FAILURE_MAX])
{
    must(tls->magic == TLS_MAGIC);
    WOLFSSL_ALERT_HISTORY alerts;
    ret_text[0] = '\0';
    if (tls->state != TLS_FAILED)
        return;
    if (tls->error == ERROR_HANDSHAKE_TOO_LONG)
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "the handshake has more than %u bytes",
                       TLS_HANDSHAKE_MAX);
    else if (tls->error == ERROR_FUTILE)
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "%u bytes without any content", TLS_FUTILE_MAX);
    else if (tls->error == ERROR_NO_EXCHANGE)
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "not by pre-shared key and key exchange");
    else if (tls->stranger)
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "its pre-shared key is none of ours");
    else if (wolfSSL_get_alert_history(tls->ssl, &alerts) == WOLFSSL_SUCCESS &&
             alerts.last_rx.level == alert_fatal)
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "the %s sent alert %d",
                       tls->dials ? "other node" : "client", alerts.last_rx.code);
    else
        (void)snprintf(ret_text, TLS_FAILURE_MAX, "%s", tls_error_text(tls->error));
}
