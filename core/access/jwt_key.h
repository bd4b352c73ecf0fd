// jwt_key.h - one key, as the files that make keys and use them see it.
//
// Job:    what a key is made of; the checks that every key must pass, wherever it came from.
// Owner:  jwt_keys. Thread: as jwt_keys.h says. Memory: struct jwt_keys owns its bytes.
// Limits: jwt_keys.h.
#ifndef TERN_CORE_ACCESS_JWT_KEY_H
#define TERN_CORE_ACCESS_JWT_KEY_H

#include <stdatomic.h>

#include "core/access/jwt_keys.h"

#define JWT_BIT(alg) (1u << (alg))
#define JWT_ANY_ALG  (JWT_BIT(JWT_ALGS) - 1)

enum jwt_key_kind {
    JWT_KEY_SECRET,  // of so many bytes
    JWT_KEY_RSA,     // the modulus, no zeros before it
    JWT_KEY_P256,    // x and y, 32 bytes each
    JWT_KEY_ED25519, // 32 bytes
};

struct jwt_key {
    enum jwt_key_kind kind;
    uint32_t algs;      // JWT_BITs of what it verifies
    uint32_t exponent;  // RSA's
    struct slice bytes; // mem_alloc'ed
    struct slice kid;   // mem_alloc'ed; data NULL = none
};

struct jwt_keys {
    _Atomic uint32_t refs;
    uint32_t count, left_out;
    struct file_problem note;
    struct jwt_key keys[JWT_KEYS_MAX];
};

// Checks the key and adds a copy. key->algs: those that whoever made the key allows; what its kind
// and length are not for is taken away. ERR_CONFIG: the problem says what is wrong with the key,
// without a file's name.
NODISCARD err_t jwt_keys_add(struct jwt_keys *keys, const struct jwt_key *key,
                             struct file_problem *ret_problem);
// Makes an RSA key of two big-endian numbers: sets kind, exponent and, borrowed, bytes. The problem
// as above.
NODISCARD err_t jwt_key_rsa(struct slice modulus, struct slice exponent, struct jwt_key *key,
                            struct file_problem *ret_problem);

// The forms of files. ERR_CONFIG: the problem has no file's name.
NODISCARD err_t jwt_keys_from_pem(struct jwt_keys *keys, struct slice text,
                                  struct file_problem *ret_problem);
NODISCARD err_t jwt_keys_from_set(struct jwt_keys *keys, struct slice text,
                                  struct file_problem *ret_problem);

// Whether it can be used at all: a point that is on its curve. Computes.
bool jwt_key_usable(const struct jwt_key *key);
// Whether it signed the text with alg, which is one of its algorithms. Computes.
bool jwt_key_verify(const struct jwt_key *key, enum jwt_alg alg, struct slice text,
                    struct slice signature);

#endif
