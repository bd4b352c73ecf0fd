// jwt_keys.h - the keys that sign JSON Web Tokens, and whether one of them signed a text.
//
// Job:    a file of keys: a JSON Web Key Set [RFC 7517]; public keys and certificates in PEM; or a
//         secret. The key says which algorithms it is for, whatever a token says.
// Owner:  counted. Thread: jwt_keys_read reads the disk; everything else any: keys never change.
// Memory: about 3 KiB and the keys; wiped when it is freed.
// Limits: JWT_KEYS_MAX keys in JWT_KEYS_BYTES_MAX bytes; JWT_TRIES_MAX keys are tried for a token.
#ifndef TERN_CORE_ACCESS_JWT_KEYS_H
#define TERN_CORE_ACCESS_JWT_KEYS_H

#include "core/base/secret_file.h"

#define JWT_KEYS_MAX       64u
#define JWT_KEYS_BYTES_MAX 262144u
#define JWT_TRIES_MAX      16u // each costs a verification, and a stranger can ask for it
#define JWT_SECRET_MIN     32u // bytes: what HS256 asks for [RFC 7518 section 3.2]
#define JWT_SECRET_MAX     1024u
#define JWT_RSA_BITS_MIN   2048u // [RFC 7518 section 3.3]
#define JWT_RSA_BITS_MAX   4096u // what the arithmetic is built for
#define JWT_KID_MAX        256u

enum jwt_alg { JWT_HS256, JWT_HS384, JWT_HS512, JWT_RS256, JWT_ES256, JWT_EDDSA, JWT_ALGS };

// The algorithm of that name, exactly; false: it is none of these. `none` is none of these.
bool jwt_alg_find(struct slice name, enum jwt_alg *ret_alg);

struct jwt_keys;

// A text that begins with `{` is a JWK or a JWK Set. With a PEM block in it, it is PEM: each
// PUBLIC KEY, RSA PUBLIC KEY or CERTIFICATE is a key without an identifier; a certificate's dates
// and issuer do not matter. Else it is one line with the secret, or base64: and the secret in
// base64. OK: returns new, one reference. ERR_CONFIG: the problem begins with name.
NODISCARD err_t jwt_keys_parse(const char *name, struct slice text, struct jwt_keys **ret_keys,
                               struct file_problem *ret_problem);
NODISCARD err_t jwt_keys_read(const char *path, struct jwt_keys **ret_keys,
                              struct file_problem *ret_problem);
struct jwt_keys *jwt_keys_ref(struct jwt_keys *keys); // returns the same; NULL is fine
void jwt_keys_unref(struct jwt_keys *keys);           // takes one; NULL is fine

uint32_t jwt_keys_count(const struct jwt_keys *keys); // at least one
// Which entries of a set were left out, and why, for the operator. "" = none. Borrowed from keys.
const char *jwt_keys_note(const struct jwt_keys *keys);

// Did one of the keys sign the text with this algorithm? kid: only that key, or one that has no
// identifier; data NULL: any. ERR_NOT_FOUND: no key is for that; ERR_FULL: more than JWT_TRIES_MAX
// are; ERR_BAD_CREDENTIALS: none of them did.
NODISCARD err_t jwt_keys_verify(const struct jwt_keys *keys, enum jwt_alg alg, struct slice kid,
                                struct slice text, struct slice signature);

#endif
