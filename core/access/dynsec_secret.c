// dynsec_secret.c - a password as mosquitto's dynamic-security.json keeps it: PBKDF2-SHA512.
#include "core/access/dynsec_secret.h"

#include <sys/random.h>

#include "core/access/digest.h"
#include "core/access/dynsec.h"

static void
derive(struct slice password, const struct dynsec_secret *secret, uint8_t *ret)
{
    must(secret->salt_len <= DYNSEC_SALT_MAX);
    must(secret->iterations >= 1 && secret->iterations <= DYNSEC_ITERATIONS_MAX);
    must(digest_len(DIGEST_SHA512) == DYNSEC_HASH_BYTES); // so the first block is all of it
    digest_pbkdf2(DIGEST_SHA512, password, slice_of(secret->salt, secret->salt_len),
                  secret->iterations, ret);
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
    bool fits = digest_equal(hash, secret->hash, DYNSEC_HASH_BYTES);
    explicit_bzero(hash, sizeof hash);
    return fits;
}

void
dynsec_secret_none(uint32_t iterations, struct dynsec_secret *ret)
{
    *ret = (struct dynsec_secret){.salt_len = DYNSEC_SALT_BYTES, .iterations = iterations};
}
