// tls_psk.h - the pre-shared keys of a listener.
//
// Job:    identity to key: of Mosquitto's psk_file, or of the nodes of a cluster.
// Owner:  a TLS context. Thread: made by one, then any may read.
// Memory: the keys; wiped when freed.
// Limits: TLS_PSK_FILE_MAX bytes; identities of TLS_PSK_IDENTITY_MAX bytes, keys of TLS_PSK_KEY_MAX
//         bytes.
#ifndef TERN_IO_TLS_PSK_H
#define TERN_IO_TLS_PSK_H

#include "core/base/secret_file.h"

#define TLS_PSK_FILE_MAX     (64u << 20)
#define TLS_PSK_IDENTITY_MAX 127u // wolfSSL's limit is 128 with its NUL
#define TLS_PSK_KEY_MAX      64u  // wolfSSL's limit

struct node_keys;
struct tls_psk;

// Lines of `identity:key`, the key in hexadecimal; `#` comments. Returns new. ERR_CONFIG: the
// problem names file and line.
NODISCARD err_t tls_psk_load(const char *path, struct tls_psk **ret_psk,
                             struct file_problem *ret_problem);
struct tls_psk *tls_psk_of_nodes(const struct node_keys *keys); // copies; returns new
void tls_psk_free(struct tls_psk *psk);                         // takes; wipes; NULL is fine
uint32_t tls_psk_count(const struct tls_psk *psk);
// The key's length, or 0 when the identity is unknown.
uint32_t tls_psk_find(const struct tls_psk *psk, const char *identity,
                      uint8_t ret_key[TLS_PSK_KEY_MAX]);

#endif
