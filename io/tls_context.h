// tls_context.h - what a listener's TLS connections have in common.
//
// Job:    certificate, key, trusted CAs, revocation lists, pre-shared keys, ticket keys, OCSP
//         response, versions and suites: read from files and checked as a whole. Or the keys of a
//         cluster's nodes, for those who come and for those to whom we go.
// Owner:  counted references: the listener's, and one of each connection. A reload makes another
//         context; handshakes that have begun keep theirs.
// Thread: made by a thread that may read the disk; constant afterwards. Each shard has a
//         WOLFSSL_CTX of its own: no contention on wolfSSL's locks, and its OCSP request is not for
//         two threads.
// Memory: the certificates, once for each shard. Keys are wiped at the end.
// Limits: files of TLS_FILE_MAX bytes, TLS_CA_FILES_MAX files of capath, TLS_CHAIN_MAX certificates
//         of our own.
#ifndef TERN_IO_TLS_CONTEXT_H
#define TERN_IO_TLS_CONTEXT_H

#include <stdatomic.h>

#include "core/base/secret_file.h"

#define TLS_CONTEXT_MAGIC 0x746c7363u
#define TLS_FILE_MAX      (16u << 20)
#define TLS_CA_FILES_MAX  4096u
#define TLS_CHAIN_MAX     9u // wolfSSL's MAX_CHAIN_DEPTH
#define TLS_OCSP_MAX      16384u

enum tls_version { TLS_VERSION_1_2, TLS_VERSION_1_3 };

enum tls_identity {
    TLS_IDENTITY_NONE,        // nobody asks
    TLS_IDENTITY_COMMON_NAME, // use_identity_as_username
    TLS_IDENTITY_SUBJECT,     // use_subject_as_username
};

// A listener's settings; NULL = not set. Borrowed during a call.
struct tls_settings {
    const char *cert_file, *key_file; // certfile with its chain, keyfile; PEM
    const char *ca_file, *ca_path;    // cafile, capath: whom to trust with client certificates
    const char *crl_file;             // crlfile
    const char *ciphers, *ciphers_tls13;
    const char *psk_file, *psk_hint; // psk_hint turns pre-shared keys on, instead of certificates
    const char *ticket_key_file;     // ticket_keyfile; without: random keys
    const char *ocsp_file;           // ocspfile: a response in DER, stapled
    const char *alpn;                // the protocol that is spoken here, "mqtt"
    enum tls_version version_min;    // tls_version
    enum tls_identity identity;
    bool require_certificate;
};

struct node_keys;
struct WOLFSSL;
struct WOLFSSL_CTX;
struct WOLFSSL_X509_STORE_CTX;

struct tls_context {
    uint32_t magic;
    _Atomic uint32_t references;
    unsigned shards;
    enum tls_identity identity;
    struct WOLFSSL_CTX **ctxs;      // one for each shard
    struct WOLFSSL_CTX **dial_ctxs; // the same for connections that we dial; NULL = not of nodes
    char *dial_identity;            // ... with this key of psk
    struct tls_psk *psk;            // NULL = certificates
    struct tls_tickets *tickets;
    struct secret_file ocsp;
    char *alpn;        // NULL = clients' offers are not looked at
    int64_t expires_s; // since 1970: when our certificate ends; INT64_MAX without
    char notes[1200];  // what the operator should know, though it works; "" = nothing
};

// Returns new. ERR_CONFIG: the problem names file and reason.
NODISCARD err_t tls_context_new(const struct tls_settings *settings, unsigned shards,
                                struct tls_context **ret_context, struct file_problem *ret_problem);
// Of nodes: TLS 1.3 with one of these keys and a Diffie-Hellman exchange, and no other way in.
// Copies the keys; returns new.
struct tls_context *tls_context_of_nodes(const struct node_keys *keys, unsigned shards);
struct tls_context *tls_context_ref(struct tls_context *context); // ON_ANY; returns new reference
void tls_context_unref(struct tls_context *context);              // ON_ANY; takes; NULL is fine

// What TLS is done by: "wolfSSL 5.5.4", and whether it is Debian's slow build.
const char *tls_library(void);
bool tls_library_is_tuned(void);
// wolfSSL's words for one of its errors; never NULL.
const char *tls_error_text(int error);

// ---- tls.c: what each WOLFSSL_CTX calls ---------------------------------------------------------

int tls_on_receive(struct WOLFSSL *ssl, char *to, int len, void *arg);
int tls_on_send(struct WOLFSSL *ssl, char *from, int len, void *arg);
int tls_on_verify(int good, struct WOLFSSL_X509_STORE_CTX *store);
unsigned int tls_on_psk(struct WOLFSSL *ssl, const char *identity, unsigned char *ret_key,
                        unsigned int key_max);
unsigned int tls_on_psk_dial(struct WOLFSSL *ssl, const char *hint, char *ret_identity,
                             unsigned int identity_max, unsigned char *ret_key,
                             unsigned int key_max);

// ---- tls_check.c --------------------------------------------------------------------------------

// A handshake in memory with a client that trusts these certificates (PEM) and insists on the
// stapled response, if there is one. 0, or the client's error of wolfSSL's.
int tls_check(struct tls_context *context, const struct slice *trusted, uint32_t count);

#endif
