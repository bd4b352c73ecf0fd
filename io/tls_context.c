// tls_context.c - from a listener's files to what its handshakes need.
#include "io/tls_context.h"

#include <dirent.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/ssl.h>
#include <wolfssl/wolfcrypt/asn_public.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/cluster.h"
#include "io/certificate.h"
#include "io/tls_psk.h"
#include "io/tls_suites.h"
#include "io/tls_tickets.h"

#define DAY_S 86400
// The one that a pre-shared key of wolfSSL's default is for.
#define NODE_SUITE "TLS13-AES128-GCM-SHA256"

// The files of one context, while it is made.
struct material {
    const struct tls_settings *settings;
    struct tls_context *context;
    struct file_problem *problem;
    struct secret_file chain, key, ca, crl;
    struct secret_file *path_files; // of capath
    char **path_names;
    uint32_t path_count;
    char suites[TLS_SUITES_TEXT_MAX];
};

static err_t
fail(const struct material *m, const char *path, const char *what, int error)
{
    return file_fail(m->problem, "%s: %s: %s", path, what, tls_error_text(error));
}

static void
note(struct tls_context *context, const char *text)
{
    size_t used = strlen(context->notes);
    (void)snprintf(context->notes + used, sizeof context->notes - used, "%s%s", used ? "; " : "",
                   text);
}

// ---- wolfSSL itself -----------------------------------------------------------------------------

static void *
wolfssl_alloc(size_t size)
{
    return mem_alloc(size > 0 ? size : 1);
}

static void *
wolfssl_realloc(void *p, size_t size)
{
    return mem_realloc(p, size > 0 ? size : 1);
}

static void
library_begin(void)
{
    must(wolfSSL_SetAllocators(wolfssl_alloc, mem_free, wolfssl_realloc) == 0);
    must(wolfSSL_Init() == WOLFSSL_SUCCESS);
}

const char *
tls_library(void)
{
    return "wolfSSL " LIBWOLFSSL_VERSION_STRING;
}

bool
tls_library_is_tuned(void)
{
    return strcmp(TERN_WOLFSSL, "tuned") == 0;
}

const char *
tls_error_text(int error)
{
    const char *text = wolfSSL_ERR_reason_error_string((unsigned long)error);
    return text && text[0] ? text : "unknown error";
}

// ---- Files --------------------------------------------------------------------------------------

static err_t
read_if(const struct material *m, const char *path, uint32_t max, struct secret_file *ret_file)
{
    return path ? secret_file_read(path, max, ret_file, m->problem) : OK;
}

static int
no_dots(const struct dirent *entry)
{
    return entry->d_name[0] != '.'; // also what Kubernetes keeps there
}

// Every file of the folder; those without certificates are passed over later.
static err_t
read_ca_path(struct material *m)
{
    const char *folder = m->settings->ca_path;
    struct dirent **entries = NULL;
    int found = scandir(folder, &entries, no_dots, alphasort);
    if (found < 0)
        return file_fail(m->problem, "%s: %s", folder, strerrordesc_np(errno));
    err_t err = (uint32_t)found <= TLS_CA_FILES_MAX
                    ? OK
                    : file_fail(m->problem, "%s has more than %u files", folder, TLS_CA_FILES_MAX);
    m->path_files = mem_zalloc(((size_t)found + 1) * sizeof *m->path_files);
    m->path_names = mem_zalloc(((size_t)found + 1) * sizeof *m->path_names);
    for (int i = 0; i < found; i++) {
        size_t size = strlen(folder) + strlen(entries[i]->d_name) + 2;
        char *name = mem_alloc(size);
        (void)snprintf(name, size, "%s/%s", folder, entries[i]->d_name);
        struct secret_file *file = &m->path_files[m->path_count];
        struct file_problem ignored; // a folder in the folder, or a link to nowhere
        if (err == OK && secret_file_read(name, TLS_FILE_MAX, file, &ignored) == OK)
            m->path_names[m->path_count++] = name;
        else
            mem_free(name);
        free(entries[i]); // scandir's own
    }
    free((void *)entries);
    return err;
}

static err_t
read_files(struct material *m)
{
    const struct tls_settings *s = m->settings;
    err_t err = read_if(m, s->cert_file, TLS_FILE_MAX, &m->chain);
    if (err == OK)
        err = read_if(m, s->key_file, TLS_FILE_MAX, &m->key);
    if (err == OK)
        err = read_if(m, s->ca_file, TLS_FILE_MAX, &m->ca);
    if (err == OK)
        err = read_if(m, s->crl_file, TLS_FILE_MAX, &m->crl);
    if (err == OK)
        err = read_if(m, s->ocsp_file, TLS_OCSP_MAX, &m->context->ocsp);
    if (err == OK && s->ca_path)
        err = read_ca_path(m);
    if (err == OK && s->psk_hint)
        err = tls_psk_load(s->psk_file, &m->context->psk, m->problem);
    return err;
}

static void
material_free(struct material *m)
{
    for (uint32_t i = 0; i < m->path_count; i++) {
        secret_file_free(&m->path_files[i]);
        mem_free(m->path_names[i]);
    }
    mem_free(m->path_files);
    mem_free((void *)m->path_names);
    secret_file_free(&m->chain);
    secret_file_free(&m->key);
    secret_file_free(&m->ca);
    secret_file_free(&m->crl);
}

// ---- Our certificate ----------------------------------------------------------------------------

static bool
pem_certificate(struct slice pem, struct certificate *ret_certificate)
{
    uint8_t *der = mem_alloc(pem.len);
    int len = wc_CertPemToDer(pem.data, (int)pem.len, der, (int)pem.len, CERT_TYPE);
    bool good = len > 0 && certificate_parse(slice_of(der, (size_t)len), ret_certificate);
    ret_certificate->subject = slice_of(NULL, 0); // its bytes go
    mem_free(der);
    return good;
}

static void
note_validity(struct tls_context *context, const struct certificate *certificate, const char *path)
{
    char text[400];
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
    if (certificate->not_after_s <= now_s)
        (void)snprintf(text, sizeof text, "%.256s expired %lld days ago", path,
                       (long long)(now_s - certificate->not_after_s) / DAY_S);
    else if (certificate->not_before_s > now_s)
        (void)snprintf(text, sizeof text, "%.256s is not valid yet", path);
    else
        return;
    note(context, text);
}

// Looks at each certificate of the chain: the first end is the end.
static err_t
check_chain(struct material *m)
{
    struct slice rest = slice_of(m->chain.data, m->chain.len), block;
    const char *path = m->settings->cert_file;
    uint32_t count = 0;
    while (pem_next(&rest, &block)) {
        struct certificate certificate;
        if (!pem_is(block, "CERTIFICATE"))
            continue;
        if (!pem_certificate(block, &certificate))
            return file_fail(m->problem, "%s: certificate %u is damaged", path, count + 1);
        if (certificate.not_after_s < m->context->expires_s)
            m->context->expires_s = certificate.not_after_s;
        if (count++ == 0)
            note_validity(m->context, &certificate, path);
    }
    if (count == 0)
        return file_fail(m->problem, "%s has no certificate in PEM", path);
    if (count > TLS_CHAIN_MAX)
        return file_fail(m->problem, "%s has %u certificates; at most %u are sent", path, count,
                         TLS_CHAIN_MAX);
    return OK;
}

static err_t
check_key(struct material *m)
{
    struct slice rest = slice_of(m->key.data, m->key.len), block;
    const char *path = m->settings->key_file;
    while (pem_next(&rest, &block)) {
        if (pem_is(block, "ENCRYPTED PRIVATE KEY") ||
            memmem(block.data, block.len, "ENCRYPTED", 9) != NULL)
            return file_fail(m->problem, "%s is encrypted; nobody is there to type its password",
                             path);
        if (pem_is(block, "PRIVATE KEY") || pem_is(block, "RSA PRIVATE KEY") ||
            pem_is(block, "EC PRIVATE KEY"))
            return OK;
    }
    return file_fail(m->problem, "%s has no private key in PEM", path);
}

static err_t
use_certificate(const struct material *m, WOLFSSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    int rc = wolfSSL_CTX_use_certificate_chain_buffer(ctx, m->chain.data, m->chain.len);
    if (rc != WOLFSSL_SUCCESS)
        return fail(m, s->cert_file, "certificate", rc);
    rc = wolfSSL_CTX_use_PrivateKey_buffer(ctx, m->key.data, m->key.len, WOLFSSL_FILETYPE_PEM);
    if (rc != WOLFSSL_SUCCESS)
        return fail(m, s->key_file, "private key", rc);
    if (wolfSSL_CTX_check_private_key(ctx) != WOLFSSL_SUCCESS)
        return file_fail(m->problem, "%s is not the private key of %s", s->key_file, s->cert_file);
    return OK;
}

// ---- Client certificates ------------------------------------------------------------------------

// A CA that is valid today.
static bool
is_current_ca(struct slice pem)
{
    struct certificate certificate;
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);
    return pem_certificate(pem, &certificate) && certificate.authority &&
           certificate.not_before_s <= now_s && certificate.not_after_s > now_s;
}

// Every certificate of a file as a CA. Those that have expired are passed over, as everywhere: a
// bundle always has some; and those of nobody who may sign, which wolfSSL would let sign as soon as
// they stand in this file. They are loaded before wolfSSL is told to verify, so that their order
// does not matter.
static err_t
use_cas(const struct material *m, WOLFSSL_CTX *ctx, const struct secret_file *file,
        const char *path, uint32_t *count)
{
    struct slice rest = slice_of(file->data, file->len), block;
    for (uint32_t n = 0; pem_next(&rest, &block);) {
        bool named = pem_is(block, "CERTIFICATE") || pem_is(block, "TRUSTED CERTIFICATE");
        n += named;
        if (!named || !is_current_ca(block))
            continue;
        int rc =
            wolfSSL_CTX_load_verify_buffer(ctx, block.data, (long)block.len, WOLFSSL_FILETYPE_PEM);
        if (rc != WOLFSSL_SUCCESS)
            return file_fail(m->problem, "%s: certificate %u: %s", path, n, tls_error_text(rc));
        (*count)++;
    }
    return OK;
}

static err_t
use_crls(const struct material *m, WOLFSSL_CTX *ctx)
{
    const char *path = m->settings->crl_file;
    struct slice rest = slice_of(m->crl.data, m->crl.len), block;
    uint32_t n = 0;
    int rc = wolfSSL_CTX_EnableCRL(ctx, WOLFSSL_CRL_CHECK);
    if (rc != WOLFSSL_SUCCESS)
        return fail(m, path, "revocation list", rc);
    while (pem_next(&rest, &block)) {
        if (!pem_is(block, "X509 CRL"))
            continue;
        n++;
        rc = wolfSSL_CTX_LoadCRLBuffer(ctx, block.data, (long)block.len, WOLFSSL_FILETYPE_PEM);
        if (rc != WOLFSSL_SUCCESS)
            return file_fail(m->problem, "%s: revocation list %u: %s", path, n, tls_error_text(rc));
    }
    if (n == 0)
        return file_fail(m->problem, "%s has no revocation list in PEM", path);
    return OK;
}

static err_t
use_peers(const struct material *m, WOLFSSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_NONE, NULL);
    if (!s->require_certificate)
        return OK;
    uint32_t count = 0;
    err_t err = s->ca_file ? use_cas(m, ctx, &m->ca, s->ca_file, &count) : OK;
    for (uint32_t i = 0; err == OK && i < m->path_count; i++)
        err = use_cas(m, ctx, &m->path_files[i], m->path_names[i], &count);
    if (err == OK && count == 0)
        err = file_fail(m->problem, "%s has no CA certificate that is valid today",
                        s->ca_file ? s->ca_file : s->ca_path);
    if (err == OK && s->crl_file)
        err = use_crls(m, ctx);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_IF_NO_PEER_CERT,
                           tls_on_verify);
    return err;
}

// ---- Tickets, stapling --------------------------------------------------------------------------

_Static_assert(WOLFSSL_TICKET_NAME_SZ == TLS_TICKET_NAME_BYTES, "the same name");
_Static_assert(WOLFSSL_TICKET_IV_SZ >= TLS_TICKET_IV_BYTES, "room for the nonce");
_Static_assert(WOLFSSL_TICKET_MAC_SZ >= TLS_TICKET_TAG_BYTES, "room for the tag");

// NOLINTBEGIN(readability-function-size,readability-non-const-parameter): wolfSSL's types
static int
on_ticket(WOLFSSL *ssl, unsigned char *name, unsigned char *iv, unsigned char *mac, int seal,
          unsigned char *data, int len, int *ret_len, void *arg)
{
    (void)ssl;
    struct tls_context *context = arg;
    must(context->magic == TLS_CONTEXT_MAGIC && len > 0);
    struct tls_ticket_head head;
    *ret_len = len;
    if (seal) {
        if (tls_ticket_seal(context->tickets, clock_mono_ms(), data, (uint32_t)len, &head) != OK)
            return WOLFSSL_TICKET_RET_FATAL;
        memset(iv, 0, WOLFSSL_TICKET_IV_SZ);
        memset(mac, 0, WOLFSSL_TICKET_MAC_SZ);
        memcpy(name, head.name, sizeof head.name);
        memcpy(iv, head.iv, sizeof head.iv);
        memcpy(mac, head.tag, sizeof head.tag);
        return WOLFSSL_TICKET_RET_OK;
    }
    memcpy(head.name, name, sizeof head.name);
    memcpy(head.iv, iv, sizeof head.iv);
    memcpy(head.tag, mac, sizeof head.tag);
    switch (tls_ticket_open(context->tickets, clock_mono_ms(), data, (uint32_t)len, &head)) {
    case TICKET_GOOD:
        return WOLFSSL_TICKET_RET_OK;
    case TICKET_OLD:
        return WOLFSSL_TICKET_RET_CREATE;
    default:
        return WOLFSSL_TICKET_RET_REJECT;
    }
}

static void
use_no_tickets(WOLFSSL_CTX *ctx)
{
    // Debian's library has keys of its own for those who set none.
    must(wolfSSL_CTX_set_TicketEncCb(ctx, NULL) == WOLFSSL_SUCCESS);
    must(wolfSSL_CTX_NoTicketTLSv12(ctx) == WOLFSSL_SUCCESS);
    must(wolfSSL_CTX_no_ticket_TLSv13(ctx) == 0);
}

// A ticket does not say who the client was, nor whether its certificate was revoked meanwhile:
// where that matters there are none.
static void
use_tickets(struct tls_context *context, WOLFSSL_CTX *ctx)
{
    if (!context->tickets) {
        use_no_tickets(ctx);
        return;
    }
    must(wolfSSL_CTX_set_TicketEncCb(ctx, on_ticket) == WOLFSSL_SUCCESS);
    must(wolfSSL_CTX_set_TicketEncCtx(ctx, context) == WOLFSSL_SUCCESS);
    must(wolfSSL_CTX_set_TicketHint(ctx, (int)TLS_TICKET_LIFE_S) == WOLFSSL_SUCCESS);
}

// wolfSSL asks a responder here; ours is the file. It checks what we say and keeps it, so this is
// called once for each WOLFSSL_CTX, and again when the response has become too old.
static int
on_ocsp(void *arg, const char *url, int url_len, unsigned char *request, int request_len,
        unsigned char **ret_response)
{
    (void)url, (void)url_len, (void)request, (void)request_len;
    struct tls_context *context = arg;
    must(context->magic == TLS_CONTEXT_MAGIC && context->ocsp.len > 0);
    *ret_response = context->ocsp.data;
    return (int)context->ocsp.len;
}

static void
on_ocsp_free(void *arg, unsigned char *response)
{
    (void)arg, (void)response; // it stays with the context
}

// NOLINTEND(readability-function-size,readability-non-const-parameter)

static err_t
use_ocsp(const struct material *m, WOLFSSL_CTX *ctx)
{
    // The address makes wolfSSL ask even where the certificate names none. It checks peers by OCSP
    // only while "OCSP" is on, which it is for no longer than it takes to say that.
    const char *path = m->settings->ocsp_file;
    int rc = wolfSSL_CTX_EnableOCSPStapling(ctx);
    if (rc == WOLFSSL_SUCCESS)
        rc = wolfSSL_CTX_SetOCSP_OverrideURL(ctx, "file");
    if (rc == WOLFSSL_SUCCESS)
        rc = wolfSSL_CTX_EnableOCSP(ctx, WOLFSSL_OCSP_URL_OVERRIDE | WOLFSSL_OCSP_NO_NONCE);
    if (rc == WOLFSSL_SUCCESS)
        rc = wolfSSL_CTX_DisableOCSP(ctx);
    if (rc == WOLFSSL_SUCCESS)
        rc = wolfSSL_CTX_SetOCSP_Cb(ctx, on_ocsp, on_ocsp_free, m->context);
    if (rc != WOLFSSL_SUCCESS)
        return fail(m, path, "OCSP response", rc);
    // wolfSSL checks the response's signature with the CAs that it trusts. Where it judges clients
    // by them, those of our own chain must not be among them.
    uint32_t count = 0;
    return m->settings->require_certificate
               ? OK
               : use_cas(m, ctx, &m->chain, m->settings->cert_file, &count);
}

// ---- The whole ----------------------------------------------------------------------------------

static err_t
check_settings(const struct tls_settings *s, struct file_problem *problem)
{
    if (s->psk_hint && (s->cert_file || s->key_file || s->require_certificate))
        return file_fail(problem,
                         "psk_hint stands beside certfile, keyfile or require_certificate: "
                         "a listener has either");
    if (s->psk_hint)
        return s->psk_file ? OK : file_fail(problem, "psk_hint needs a psk_file");
    if (s->ocsp_file && !tls_library_is_tuned())
        return file_fail(problem, "ocspfile needs the wolfSSL that deploy/wolfssl builds: Debian's "
                                  "loses memory with each handshake");
    if (!s->cert_file || !s->key_file)
        return file_fail(problem, "%s is missing", s->cert_file ? "keyfile" : "certfile");
    if (s->require_certificate && !s->ca_file && !s->ca_path)
        return file_fail(problem, "require_certificate needs a cafile or a capath");
    if (s->crl_file && !s->require_certificate)
        return file_fail(problem, "crlfile has no effect without require_certificate");
    if (s->identity != TLS_IDENTITY_NONE && !s->require_certificate)
        return file_fail(problem, "%s needs require_certificate",
                         s->identity == TLS_IDENTITY_SUBJECT ? "use_subject_as_username"
                                                             : "use_identity_as_username");
    return OK;
}

static err_t
check_material(struct material *m)
{
    const struct tls_settings *s = m->settings;
    struct tls_suites_wanted wanted = {.ciphers = s->ciphers,
                                       .ciphers_tls13 = s->ciphers_tls13,
                                       .psk = s->psk_hint != NULL,
                                       .tls13_only = s->version_min == TLS_VERSION_1_3};
    char unknown[TLS_SUITES_TEXT_MAX], text[TLS_SUITES_TEXT_MAX + 64];
    err_t err = tls_suites(&wanted, m->suites, unknown, m->problem);
    if (err == OK && unknown[0]) {
        (void)snprintf(text, sizeof text, "ciphers that are not available here: %s", unknown);
        note(m->context, text);
    }
    if (err == OK && s->cert_file)
        err = check_chain(m);
    if (err == OK && s->key_file)
        err = check_key(m);
    if (err == OK && !s->require_certificate && !s->psk_hint)
        err = tls_tickets_new(s->ticket_key_file, &m->context->tickets, m->problem);
    else if (err == OK && s->ticket_key_file)
        note(m->context, "ticket_keyfile has no effect: who must prove who he is each time gets no "
                         "ticket");
    return err;
}

static err_t
set_up(const struct material *m, WOLFSSL_CTX *ctx)
{
    const struct tls_settings *s = m->settings;
    wolfSSL_CTX_SetIORecv(ctx, tls_on_receive);
    wolfSSL_CTX_SetIOSend(ctx, tls_on_send);
    (void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF); // tickets, no table
    if (wolfSSL_CTX_SetMinVersion(ctx, s->version_min == TLS_VERSION_1_3
                                           ? WOLFSSL_TLSV1_3
                                           : WOLFSSL_TLSV1_2) != WOLFSSL_SUCCESS)
        return file_fail(m->problem, "tls_version: not available here");
    err_t err = s->cert_file ? use_certificate(m, ctx) : OK;
    if (err == OK && s->psk_hint) {
        wolfSSL_CTX_set_psk_server_callback(ctx, tls_on_psk);
        if (wolfSSL_CTX_use_psk_identity_hint(ctx, s->psk_hint) != WOLFSSL_SUCCESS)
            err = file_fail(m->problem, "psk_hint is too long");
    }
    if (err == OK && wolfSSL_CTX_set_cipher_list(ctx, m->suites) != WOLFSSL_SUCCESS)
        err = file_fail(m->problem, "ciphers: wolfSSL refuses %.300s", m->suites);
    if (err == OK)
        err = use_peers(m, ctx);
    use_tickets(m->context, ctx);
    if (err == OK && s->ocsp_file)
        err = use_ocsp(m, ctx);
    return err;
}

static err_t
set_up_all(struct material *m)
{
    struct tls_context *context = m->context;
    err_t err = OK;
    for (unsigned i = 0; err == OK && i < context->shards; i++) {
        // With a method of one version alone wolfSSL would not do the other one at all.
        WOLFSSL_METHOD *method = m->settings->version_min == TLS_VERSION_1_3
                                     ? wolfTLSv1_3_server_method()
                                     : wolfSSLv23_server_method();
        context->ctxs[i] = wolfSSL_CTX_new(method);
        must(context->ctxs[i] != NULL);
        err = set_up(m, context->ctxs[i]);
    }
    return err;
}

// The proof that all of it works together.
static err_t
check_handshake(const struct material *m)
{
    const struct tls_settings *s = m->settings;
    struct slice trusted[] = {slice_of(m->chain.data, m->chain.len),
                              slice_of(m->ca.data, m->ca.len)};
    int error = tls_check(m->context, trusted, ARRAY_LEN(trusted));
    if (error == 0)
        return OK;
    if (s->ocsp_file)
        return file_fail(m->problem,
                         "%s: a client would not take this OCSP response: %s. It has to be for our "
                         "certificate, valid now, and signed by its issuer, which stands in "
                         "certfile's chain or, with require_certificate, in cafile",
                         s->ocsp_file, tls_error_text(error));
    return file_fail(m->problem, "%s is not the private key of %s: %s", s->key_file, s->cert_file,
                     tls_error_text(error));
}

static struct tls_context *
context_alloc(unsigned shards)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    must(shards > 0 && pthread_once(&once, library_begin) == 0);
    struct tls_context *context = mem_zalloc(sizeof *context);
    context->magic = TLS_CONTEXT_MAGIC;
    atomic_init(&context->references, 1);
    context->shards = shards;
    context->ctxs = mem_zalloc(shards * sizeof(WOLFSSL_CTX *));
    context->expires_s = INT64_MAX;
    return context;
}

err_t
tls_context_new(const struct tls_settings *settings, unsigned shards,
                struct tls_context **ret_context, struct file_problem *ret_problem)
{
    err_t err = check_settings(settings, ret_problem);
    if (err != OK)
        return err;
    struct tls_context *context = context_alloc(shards);
    context->identity = settings->identity;
    context->alpn = settings->alpn ? mem_strdup(settings->alpn) : NULL;
    struct material m = {.settings = settings, .context = context, .problem = ret_problem};
    err = read_files(&m);
    if (err == OK)
        err = check_material(&m);
    if (err == OK)
        err = set_up_all(&m);
    if (err == OK && settings->cert_file)
        err = check_handshake(&m);
    material_free(&m);
    if (err != OK) {
        tls_context_unref(context);
        return err;
    }
    *ret_context = context;
    return OK;
}

// ---- Of nodes -----------------------------------------------------------------------------------

// wolfSSL takes certificates where no key was agreed on. A node has none, and believes none.
static int
on_stranger(int good, WOLFSSL_X509_STORE_CTX *store)
{
    (void)good, (void)store;
    return 0;
}

static WOLFSSL_CTX *
node_ctx(WOLFSSL_METHOD *method)
{
    WOLFSSL_CTX *ctx = wolfSSL_CTX_new(method);
    must(ctx != NULL);
    wolfSSL_CTX_SetIORecv(ctx, tls_on_receive);
    wolfSSL_CTX_SetIOSend(ctx, tls_on_send);
    (void)wolfSSL_CTX_set_session_cache_mode(ctx, WOLFSSL_SESS_CACHE_OFF);
    wolfSSL_CTX_set_verify(ctx, WOLFSSL_VERIFY_PEER | WOLFSSL_VERIFY_FAIL_EXCEPT_PSK, on_stranger);
    must(wolfSSL_CTX_set_cipher_list(ctx, NODE_SUITE) == WOLFSSL_SUCCESS);
    return ctx;
}

struct tls_context *
tls_context_of_nodes(const struct node_keys *keys, unsigned shards)
{
    struct tls_context *context = context_alloc(shards);
    context->psk = tls_psk_of_nodes(keys);
    context->dial_identity = mem_strdup(keys->keys[0].identity);
    context->dial_ctxs = mem_zalloc(shards * sizeof(WOLFSSL_CTX *));
    for (unsigned i = 0; i < shards; i++) {
        context->ctxs[i] = node_ctx(wolfTLSv1_3_server_method());
        wolfSSL_CTX_set_psk_server_callback(context->ctxs[i], tls_on_psk);
        use_no_tickets(context->ctxs[i]);
        context->dial_ctxs[i] = node_ctx(wolfTLSv1_3_client_method());
        wolfSSL_CTX_set_psk_client_callback(context->dial_ctxs[i], tls_on_psk_dial);
    }
    return context;
}

// ---- References ---------------------------------------------------------------------------------

struct tls_context *
tls_context_ref(struct tls_context *context)
{
    must(context->magic == TLS_CONTEXT_MAGIC);
    // Whoever calls holds a reference, so it cannot go meanwhile: no order is needed.
    must(atomic_fetch_add_explicit(&context->references, 1, memory_order_relaxed) > 0);
    return context;
}

static void
ctxs_free(WOLFSSL_CTX **ctxs, unsigned count)
{
    for (unsigned i = 0; ctxs && i < count; i++)
        if (ctxs[i])
            wolfSSL_CTX_free(ctxs[i]);
    mem_free((void *)ctxs);
}

void
tls_context_unref(struct tls_context *context)
{
    if (!context)
        return;
    must(context->magic == TLS_CONTEXT_MAGIC);
    // The last one sees what all others did with it.
    uint32_t before = atomic_fetch_sub_explicit(&context->references, 1, memory_order_acq_rel);
    must(before > 0);
    if (before > 1)
        return;
    ctxs_free(context->ctxs, context->shards);
    ctxs_free(context->dial_ctxs, context->shards);
    mem_free(context->dial_identity);
    tls_psk_free(context->psk);
    tls_tickets_free(context->tickets);
    secret_file_free(&context->ocsp);
    mem_free(context->alpn);
    context->magic = 0;
    mem_free(context);
}
