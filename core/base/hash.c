// hash.c - a keyed folded-multiply hash.
//
// A step takes 16 bytes as two words, masks each with a secret and folds their 128-bit product to
// 64 bits. A product is where a peer who does not know the key loses track: every bit of one word
// moves every bit of the other by an amount that depends on the key. Both factors must be masked by
// secrets of their own. If one were not, a peer could make it zero, which makes the product
// zero whatever the other factor holds: collisions that no key prevents.
// This is no cryptographic hash. It holds while hash values do not leave the process.
#include "core/base/hash.h"

#include <errno.h>
#include <sys/random.h>

// Fractional digits of the square roots of 2, 3, 5 and 7, made odd: nothing up the sleeve. They
// keep an all-zero key from degenerating.
#define MASK_A UINT64_C(0x6a09e667f3bcc909)
#define MASK_B UINT64_C(0xbb67ae8584caa73b)
#define MASK_C UINT64_C(0x3c6ef372fe94f82b)
#define MASK_D UINT64_C(0xa54ff53a5f1d36f1)

err_t
hash_key_random(struct hash_key *ret_key)
{
    struct hash_key key;
    ssize_t n;
    must(ret_key != NULL);
    do
        n = getrandom(&key, sizeof(key), 0);
    while (n < 0 && errno == EINTR);
    if (n != (ssize_t)sizeof(key)) // requests up to 256 bytes are never cut short
        return ERR_IO;
    *ret_key = key;
    return OK;
}

static inline uint64_t
load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t
load32(const uint8_t *p)
{
    uint32_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

static inline uint64_t
fold(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

// The last 0..16 bytes as two words. Loads may overlap; for a given length, which the state already
// holds, the words still determine the bytes.
static inline void
load_tail(const uint8_t *p, size_t len, uint64_t *a, uint64_t *b)
{
    if (len >= 8) {
        *a = load64(p);
        *b = load64(p + len - 8);
    } else if (len >= 4) {
        *a = load32(p);
        *b = load32(p + len - 4);
    } else if (len > 0) {
        *a = p[0];
        *b = (uint64_t)p[len / 2] << 8 | p[len - 1];
    } else {
        *a = 0;
        *b = 0;
    }
}

uint64_t
hash_bytes(const struct hash_key *key, const void *data, size_t len)
{
    must_hot(data != NULL || len == 0);
    const uint8_t *p = len > 0 ? data : &(const uint8_t){0}; // no arithmetic on NULL
    size_t left = len;
    uint64_t a, b;
    uint64_t secret = key->k1 ^ MASK_B;
    uint64_t state = key->k0 ^ MASK_A ^ (uint64_t)len * MASK_C;

    // The last step does not wait for the chain of those before it.
    size_t whole = len > 16 ? (len - 1) & ~(size_t)15 : 0;
    load_tail(p + whole, len - whole, &a, &b);
    uint64_t tail = fold(a ^ key->k1 ^ MASK_C, b ^ key->k0 ^ MASK_D);

    for (; left > 16; left -= 16, p += 16) {
        state = fold(load64(p) ^ state, load64(p + 8) ^ secret);
        // A running secret, so that equal blocks at different places do different things.
        secret += MASK_D;
    }
    return fold(state, tail ^ secret);
}

uint64_t
hash_u64(const struct hash_key *key, uint64_t value)
{
    // Every step can be undone: xor, multiplication by an odd number, xor with own high bits.
    value = (value ^ key->k0 ^ MASK_A) * ((key->k1 ^ MASK_B) | 1);
    value ^= value >> 32;
    value *= MASK_C;
    value ^= value >> 29;
    value = (value ^ key->k1) * MASK_D;
    value ^= value >> 32;
    return value;
}
