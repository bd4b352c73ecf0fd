// dynsec_secret.c - a password as mosquitto's dynamic-security.json keeps it: PBKDF2-SHA512.
#include "core/access/dynsec_secret.h"

#include <sys/random.h>
#include <wolfssl/options.h>
#include <wolfssl/wolfcrypt/hash.h>
#include <wolfssl/wolfcrypt/pwdbased.h>

#include "core/access/dynsec.h"

static void
derive(struct slice password, const struct dynsec_secret *secret, uint8_t *ret)
{
    must(secret->salt_len <= DYNSEC_SALT_MAX && secret->iterations >= 1 &&
         secret->iterations <= DYNSEC_ITERATIONS_MAX && password.len <= INT32_MAX);
    static const uint8_t nothing;
    int rc =
        wc_PBKDF2(ret, password.len ? password.data : &nothing, (int)password.len, secret->salt,
                  (int)secret->salt_len, (int)secret->iterations, DYNSEC_HASH_BYTES, WC_SHA512);
    must(rc == 0); // its arguments are right, and it asks nobody for anything
}

err_t
dynsec_secret_make(struct slice password, uint32_t iterations, struct dynsec_secret *ret)
{
    *ret = (struct dynsec_secret){.salt_len = DYNSEC_SALT_BYTES, .iterations = iterations};
    if (getrandom(ret->salt, DYNSEC_SALT_BYTES, 0) != DYNSEC_SALT_BYTES)
        return ERR_IO;
    derive(password, ret, ret->hash);
    return OK;
}

bool
dynsec_secret_fits(const struct dynsec_secret *secret, struct slice password)
{
    uint8_t hash[DYNSEC_HASH_BYTES];
    derive(password, secret, hash);
    uint32_t difference = 0;
    for (uint32_t i = 0; i < DYNSEC_HASH_BYTES; i++)
        difference |= (uint32_t)(hash[i] ^ secret->hash[i]);
    explicit_bzero(hash, sizeof hash);
    return difference == 0;
}

void
dynsec_secret_none(uint32_t iterations, struct dynsec_secret *ret)
{
    *ret = (struct dynsec_secret){.salt_len = DYNSEC_SALT_BYTES, .iterations = iterations};
}
