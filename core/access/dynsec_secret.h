// dynsec_secret.h - a password as mosquitto's dynamic-security.json keeps it: PBKDF2-SHA512.
//
// Job:    makes and checks them. Owner: whoever holds one. Thread: any. Memory: none.
// Limits: DYNSEC_SALT_MAX.
#ifndef TERN_CORE_ACCESS_DYNSEC_SECRET_H
#define TERN_CORE_ACCESS_DYNSEC_SECRET_H

#include "core/base/err.h"

#define DYNSEC_HASH_BYTES 64u
#define DYNSEC_SALT_BYTES 12u // of new ones: what mosquitto reads
#define DYNSEC_SALT_MAX   64u

struct dynsec_secret {
    uint8_t hash[DYNSEC_HASH_BYTES];
    uint8_t salt[DYNSEC_SALT_MAX];
    uint32_t salt_len, iterations;
};

// With a new salt. ERR_IO: the kernel gives no random bytes.
NODISCARD err_t dynsec_secret_make(struct slice password, uint32_t iterations,
                                   struct dynsec_secret *ret);
// In the same time whether it fits or not.
bool dynsec_secret_fits(const struct dynsec_secret *secret, struct slice password);
// One that nothing fits, which takes as long to check.
void dynsec_secret_none(uint32_t iterations, struct dynsec_secret *ret);

#endif
