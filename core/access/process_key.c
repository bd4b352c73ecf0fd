// process_key.c - keys from the kernel's random bytes for this process.
#include "core/access/process_key.h"

#include <sys/auxv.h>

#include "core/access/digest.h"

#define AT_RANDOM_LEN 16 // getauxval(3)

void
process_key(const char *label, uint8_t ret_key[PROCESS_KEY_LEN])
{
    unsigned long address = getauxval(AT_RANDOM);
    must(address != 0); // Linux gives it to every process
    const void *random;
    memcpy(&random, &address, sizeof random);
    uint8_t whole[DIGEST_LEN_MAX];
    digest_hmac(DIGEST_SHA512, slice_of(random, AT_RANDOM_LEN), slice_str(label), slice_of(NULL, 0),
                whole);
    memcpy(ret_key, whole, PROCESS_KEY_LEN);
    explicit_bzero(whole, sizeof whole);
}
