// digest.h - SHA-256 and SHA-512, their HMAC and PBKDF2, and comparing without telling where.
//
// Job:    what password files and SCRAM are made of [RFC 2104] [RFC 8018 section 5.2].
// Owner:  the caller. Thread: any. The first use of each kind comes before there are several
//         threads, because the library looks at the processor then (users_parse and jwt_keys_parse
//         do).
// Memory: the stack, wiped. Limits: none.
#ifndef TERN_CORE_ACCESS_DIGEST_H
#define TERN_CORE_ACCESS_DIGEST_H

#include "core/base/base.h"

enum digest {
    DIGEST_SHA256,
    DIGEST_SHA512,
};

#define DIGEST_LEN_MAX 64

static inline uint32_t
digest_len(enum digest kind)
{
    return kind == DIGEST_SHA256 ? 32 : 64;
}

// Each writes digest_len bytes.

// Of a, then b.
void digest_of(enum digest kind, struct slice a, struct slice b, uint8_t *ret);
// Of a, then b.
void digest_hmac(enum digest kind, struct slice key, struct slice a, struct slice b, uint8_t *ret);
// The first block of PBKDF2, which is Hi() of RFC 5802.
void digest_pbkdf2(enum digest kind, struct slice password, struct slice salt, uint32_t iterations,
                   uint8_t *ret);

// In a time that depends on len alone.
bool digest_equal(const uint8_t *a, const uint8_t *b, uint32_t len);

#endif
