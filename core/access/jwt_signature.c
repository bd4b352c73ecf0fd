// jwt_signature.c - whether a key signed a text: HMAC, RSA, ECDSA, EdDSA.
//
// wolfCrypt's keys hold state while they work, so each check makes one of its own from the bytes,
// which costs little, and threads need no lock.
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/ecc.h>
#include <wolfssl/wolfcrypt/ed25519.h>
#include <wolfssl/wolfcrypt/error-crypt.h>
#include <wolfssl/wolfcrypt/hmac.h>
#include <wolfssl/wolfcrypt/rsa.h>
#include <wolfssl/wolfcrypt/sha256.h>

#include "core/base/mem.h"

#include "core/access/jwt_key.h"

#define POINT 32u // bytes of a coordinate, and of either half of a signature

// Takes as long for any two values of a length.
static bool
same_bytes(const uint8_t *a, const uint8_t *b, uint32_t len)
{
    uint8_t different = 0;
    for (uint32_t i = 0; i < len; i++)
        different |= a[i] ^ b[i];
    return different == 0;
}

// ---- HMAC [RFC 7518 section 3.2] ----------------------------------------------------------------

static bool
hmac_made(const struct jwt_key *key, enum jwt_alg alg, struct slice text, struct slice signature)
{
    static const int hashes[] = {
        [JWT_HS256] = WC_SHA256, [JWT_HS384] = WC_SHA384, [JWT_HS512] = WC_SHA512};
    must(alg < ARRAY_LEN(hashes) && key->bytes.len >= JWT_SECRET_MIN);
    uint8_t expected[WC_MAX_DIGEST_SIZE];
    Hmac hmac;
    bool good = wc_HmacInit(&hmac, NULL, INVALID_DEVID) == 0 &&
                wc_HmacSetKey(&hmac, hashes[alg], key->bytes.data, key->bytes.len) == 0 &&
                wc_HmacUpdate(&hmac, text.data, text.len) == 0 &&
                wc_HmacFinal(&hmac, expected) == 0;
    int len = wc_HmacSizeByType(hashes[alg]);
    wc_HmacFree(&hmac);
    explicit_bzero(&hmac, sizeof hmac);
    good = good && len > 0 && signature.len == (uint32_t)len &&
           same_bytes(expected, signature.data, signature.len);
    explicit_bzero(expected, sizeof expected);
    return good;
}

// ---- RSASSA-PKCS1-v1_5 with SHA-256 [RFC 7518 section 3.3] --------------------------------------

// What a signature holds before the hash: "this is a SHA-256" in DER [RFC 8017 section 9.2].
static const uint8_t sha256_info[] = {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01,
                                      0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04, 0x20};

// The block in the signature; how long what it pads is, or a negative number.
static int
rsa_open(const struct jwt_key *key, struct slice signature, uint8_t *block, uint32_t size)
{
    uint8_t e[sizeof key->exponent];
    for (unsigned i = 0; i < sizeof e; i++)
        e[i] = (uint8_t)(key->exponent >> (8 * (sizeof e - 1 - i)));
    must(key->exponent >= 65537 && size == JWT_RSA_BITS_MAX / 8);
    RsaKey rsa;
    if (wc_InitRsaKey(&rsa, NULL) != 0)
        return -1;
    int len = -1;
    if (wc_RsaPublicKeyDecodeRaw(key->bytes.data, key->bytes.len, e, sizeof e, &rsa) == 0)
        len = wc_RsaSSL_Verify(signature.data, signature.len, block, size, &rsa);
    wc_FreeRsaKey(&rsa);
    return len;
}

static bool
rsa_signed(const struct jwt_key *key, struct slice text, struct slice signature)
{
    // One text for each signature: as long as the modulus, and less than it.
    if (signature.len != key->bytes.len ||
        memcmp(signature.data, key->bytes.data, signature.len) >= 0)
        return false;
    uint8_t expected[sizeof sha256_info + WC_SHA256_DIGEST_SIZE], found[JWT_RSA_BITS_MAX / 8];
    memcpy(expected, sha256_info, sizeof sha256_info);
    if (wc_Sha256Hash(text.data, text.len, expected + sizeof sha256_info) != 0)
        return false;
    // Nothing in the block is parsed: the padding is as long as it must be when the rest is of this
    // length, and the rest is compared.
    int len = rsa_open(key, signature, found, sizeof found);
    return len == (int)sizeof expected && memcmp(found, expected, sizeof expected) == 0;
}

// ---- ECDSA with P-256 and SHA-256 [RFC 7518 section 3.4] ----------------------------------------

static const uint8_t p256_order[POINT] = {
    0xff, 0xff, 0xff, 0xff, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};

// Makes key, for wc_ecc_free. False: no point of the curve.
static bool
p256_make(const struct jwt_key *from, ecc_key *key)
{
    must(from->bytes.len == 2 * POINT);
    return wc_ecc_import_unsigned(key, from->bytes.data, from->bytes.data + POINT, NULL,
                                  ECC_SECP256R1) == 0;
}

static bool
p256_usable(const struct jwt_key *from)
{
    ecc_key key;
    if (wc_ecc_init(&key) != 0)
        return false;
    bool good = p256_make(from, &key) && wc_ecc_check_key(&key) == 0;
    wc_ecc_free(&key);
    return good;
}

// r and s lie between 1 and the order.
static bool
p256_in_range(const uint8_t *number)
{
    static const uint8_t zero[POINT];
    return memcmp(number, zero, POINT) != 0 && memcmp(number, p256_order, POINT) < 0;
}

static bool
p256_signed(const struct jwt_key *from, struct slice text, struct slice signature)
{
    const uint8_t *r = signature.data, *s = signature.data + POINT;
    if (signature.len != 2 * POINT || !p256_in_range(r) || !p256_in_range(s))
        return false;
    uint8_t hash[WC_SHA256_DIGEST_SIZE], der[2 * POINT + 16];
    word32 der_len = sizeof der;
    if (wc_Sha256Hash(text.data, text.len, hash) != 0 ||
        wc_ecc_rs_raw_to_sig(r, POINT, s, POINT, der, &der_len) != 0)
        return false;
    must(der_len <= sizeof der);
    ecc_key key;
    if (wc_ecc_init(&key) != 0)
        return false;
    int verdict = 0;
    bool good = p256_make(from, &key) &&
                wc_ecc_verify_hash(der, der_len, hash, sizeof hash, &verdict, &key) == 0;
    wc_ecc_free(&key);
    return good && verdict == 1;
}

// ---- EdDSA with Ed25519 [RFC 8037 section 3.1] --------------------------------------------------

// What wolfCrypt returns, and 0 only with a good signature.
static int
ed25519_verify(const struct jwt_key *from, struct slice text, struct slice signature)
{
    must(from->bytes.len == ED25519_PUB_KEY_SIZE);
    ed25519_key key;
    if (wc_ed25519_init(&key) != 0)
        return MEMORY_E;
    int verdict = 0;
    int err = wc_ed25519_import_public(from->bytes.data, from->bytes.len, &key);
    if (err == 0)
        err = wc_ed25519_verify_msg(signature.data, signature.len, text.data, text.len, &verdict,
                                    &key);
    wc_ed25519_free(&key);
    return err == 0 && verdict != 1 ? SIG_VERIFY_E : err;
}

// Whether the point can be unpacked comes out only when a signature is checked: of a bad one, that
// it is bad is said only then.
static bool
ed25519_usable(const struct jwt_key *from)
{
    static const uint8_t nobodys[ED25519_SIG_SIZE];
    int err = ed25519_verify(from, slice_of("", 0), slice_of(nobodys, sizeof nobodys));
    return err == SIG_VERIFY_E;
}

// ---- Any ----------------------------------------------------------------------------------------

bool
jwt_key_usable(const struct jwt_key *key)
{
    switch (key->kind) {
    case JWT_KEY_P256:
        return p256_usable(key);
    case JWT_KEY_ED25519:
        return ed25519_usable(key);
    case JWT_KEY_SECRET:
    case JWT_KEY_RSA:
        break;
    }
    return true;
}

bool
jwt_key_verify(const struct jwt_key *key, enum jwt_alg alg, struct slice text,
               struct slice signature)
{
    must(alg < JWT_ALGS && (key->algs & JWT_BIT(alg)) && signature.data != NULL);
    switch (key->kind) {
    case JWT_KEY_SECRET:
        return hmac_made(key, alg, text, signature);
    case JWT_KEY_RSA:
        return rsa_signed(key, text, signature);
    case JWT_KEY_P256:
        return p256_signed(key, text, signature);
    case JWT_KEY_ED25519:
        break;
    }
    return signature.len == ED25519_SIG_SIZE && ed25519_verify(key, text, signature) == 0;
}
