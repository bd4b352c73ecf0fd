// tls.h - one side of one TLS connection, without input and output: the server's, or where we dial
// another node, the client's.
//
// Job:    ciphertext in, plaintext out, and the other way round. The caller moves the bytes, keeps
//         the time and bounds the handshakes of a tick.
// Owner:  a connection. Thread: one at a time; between two calls it may move to another one.
// Memory: 4 KB after the handshake, more during it; at most one incomplete record besides.
// Limits: TLS_HANDSHAKE_MAX bytes of handshake; TLS_FUTILE_MAX bytes that bring no plaintext, so
//         that key updates, empty records and warnings cannot keep a worker busy.
//
// What the caller does with each piece of ciphertext that arrived:
//     tls_input(tls, piece);
//     while ((n = tls_read(tls, out, pool, buffer, size)) > 0) use n bytes of plaintext;
//     then look at tls->state, and send what is in out.
#ifndef TERN_IO_TLS_H
#define TERN_IO_TLS_H

#include "core/outq.h"
#include "io/tls_context.h"

#define TLS_MAGIC         0x746c7320u
#define TLS_HANDSHAKE_MAX (128u * 1024) // a chain of nine large certificates has 64 KiB
#define TLS_FUTILE_MAX    (256u * 1024) // sixteen records
#define TLS_RECORD_MAX    16384u // plaintext of one record: a good size for tls_read's buffer
#define TLS_FAILURE_MAX   160

enum tls_state {
    TLS_HANDSHAKE,
    TLS_OPEN,
    TLS_ENDED,  // the peer said close_notify
    TLS_FAILED, // tls_failure says why; an alert for the peer may be in the out-queue
};

struct tls {
    uint32_t magic;
    uint8_t state;  // enum tls_state; read only
    uint16_t shard; // whose WOLFSSL_CTX made it
    bool dials;     // the client's side
    bool stranger;  // it named a pre-shared key that we have not
    bool spoke;     // a call that is over has sent something
    int error;      // wolfSSL's
    struct WOLFSSL *ssl;
    struct tls_context *context; // holds a reference
    struct slice in;             // borrowed: not used up yet
    struct outq *out;            // during a call
    struct outq_pool *pool;
    uint64_t before; // bytes in out when the call began
    uint32_t futile; // bytes since the last plaintext; during the handshake, all
    char *peer_name; // see tls_peer_name
};

// Takes a reference of its own. Returns new. The handshake uses what the shard's connections share,
// so it stays with this shard; the connection may go to another one afterwards.
struct tls *tls_new(struct tls_context *context, unsigned shard);
// The client's side, to another node; the context is of nodes. It speaks first: with tls_read after
// an empty tls_input.
struct tls *tls_dial(struct tls_context *context, unsigned shard);
void tls_free(struct tls *tls); // takes; NULL is fine. Says nothing to the peer: tls_close does.

// Ciphertext that arrived; what came before is used up. Borrowed until tls_read has returned 0.
void tls_input(struct tls *tls, struct slice ciphertext);
// Goes on with the handshake, or decrypts. How many bytes of plaintext are in buffer; 0: all input
// is used up, or the state is TLS_ENDED or TLS_FAILED. Answers are appended to out.
uint32_t tls_read(struct tls *tls, struct outq *out, struct outq_pool *pool, uint8_t *buffer,
                  uint32_t size);
// Appends data as ciphertext to out, all of it, a record for each 16 KiB. State: TLS_OPEN, also
// after the peer's end. ERR_IO: the state is TLS_FAILED.
NODISCARD err_t tls_write(struct tls *tls, struct outq *out, struct outq_pool *pool,
                          struct slice data);
// Appends close_notify to out. Does nothing when the handshake is not over or something failed.
void tls_close(struct tls *tls, struct outq *out, struct outq_pool *pool);

// Who the peer is, as the context asked: its certificate's Common Name or subject, or its PSK
// identity. NULL before TLS_OPEN, and when there is no usable one. Borrowed until tls_free.
const char *tls_peer_name(const struct tls *tls);
// "TLSv1.3", "TLS_AES_128_GCM_SHA256": for the log. Borrowed until tls_free.
const char *tls_version_text(const struct tls *tls);
const char *tls_cipher_text(const struct tls *tls);
bool tls_resumed(const struct tls *tls); // by a ticket
// State TLS_FAILED: why, for the log.
void tls_failure(const struct tls *tls, char ret_text[TLS_FAILURE_MAX]);

#endif
