// fuzz_jwks.c - any bytes as a file of keys; what is taken can be used.
#include <string.h>

#include "core/access/jwt_keys.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

// Nobody signed this.
static void
use(const struct jwt_keys *keys)
{
    static const uint8_t signature[512] = {1};
    static const uint32_t lengths[] = {32, 48, 64, 64, 64, 256};
    for (unsigned alg = 0; alg < JWT_ALGS; alg++) {
        struct slice nothing = slice_of("", 0), any = slice_of(NULL, 0);
        err_t err = jwt_keys_verify(keys, (enum jwt_alg)alg, any, slice_str("text"),
                                    slice_of(signature, lengths[alg]));
        must(err == ERR_BAD_CREDENTIALS || err == ERR_NOT_FOUND || err == ERR_FULL);
        err = jwt_keys_verify(keys, (enum jwt_alg)alg, nothing, nothing, nothing);
        must(err != OK);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct file_problem problem;
    struct jwt_keys *keys;
    if (size > JWT_KEYS_BYTES_MAX)
        return 0;
    problem.text[0] = '\0';
    err_t err = jwt_keys_parse("keys", slice_of(data, size), &keys, &problem);
    must(err == OK || strncmp(problem.text, "keys: ", 6) == 0);
    if (err != OK)
        return 0;
    must(jwt_keys_count(keys) >= 1);
    use(keys);
    jwt_keys_unref(keys);
    return 0;
}
