// test_access_digest.c - vectors of the RFCs.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/access/digest.h"
#include "core/access/process_key.h"

static const struct slice none;

static void
assert_hex(const uint8_t *bytes, const char *expected)
{
    char hex[2 * DIGEST_LEN_MAX + 1];
    for (size_t i = 0; i < strlen(expected) / 2; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
    cr_assert_str_eq(hex, expected);
}

// FIPS 180-2, appendices B.1 and C.1
Test(digest, hashes_of_abc)
{
    uint8_t ret[DIGEST_LEN_MAX];
    digest_of(DIGEST_SHA256, slice_str("a"), slice_str("bc"), ret);
    assert_hex(ret, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    digest_of(DIGEST_SHA512, slice_str("abc"), none, ret);
    assert_hex(ret, "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                    "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f");
}

// RFC 4231, test cases 2 and 6
Test(digest, hmacs_of_the_rfc)
{
    uint8_t ret[DIGEST_LEN_MAX], key[131];
    digest_hmac(DIGEST_SHA256, slice_str("Jefe"), slice_str("what do ya want "),
                slice_str("for nothing?"), ret);
    assert_hex(ret, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    digest_hmac(DIGEST_SHA512, slice_str("Jefe"), slice_str("what do ya want for nothing?"), none,
                ret);
    assert_hex(ret, "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554"
                    "9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737");
    memset(key, 0xaa, sizeof key);
    struct slice text = slice_str("Test Using Larger Than Block-Size Key - Hash Key First");
    digest_hmac(DIGEST_SHA256, slice_of(key, sizeof key), text, none, ret);
    assert_hex(ret, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    digest_hmac(DIGEST_SHA512, slice_of(key, sizeof key), text, none, ret);
    assert_hex(ret, "80b24263c7c1a3ebb71493c1dd7be8b49b46d1f41b4aeec1121b013783f8f352"
                    "6b56d037e05f2598bd0fd2215d6a1e5295e64f73f63f0aec8b915a985d786598");
}

// RFC 7914 section 11, of which the first block; the others by Python's hashlib.
Test(digest, pbkdf2)
{
    uint8_t ret[DIGEST_LEN_MAX];
    digest_pbkdf2(DIGEST_SHA256, slice_str("passwd"), slice_str("salt"), 1, ret);
    assert_hex(ret, "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc");
    digest_pbkdf2(DIGEST_SHA256, slice_str("Password"), slice_str("NaCl"), 80000, ret);
    assert_hex(ret, "4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56");
    digest_pbkdf2(DIGEST_SHA512, slice_str("password"), slice_str("salt"), 1, ret);
    assert_hex(ret, "867f70cf1ade02cff3752599a3a53dc4af34c7a669815ae5d513554e1c8cf252"
                    "c02d470a285a0501bad999bfe943c08f050235d7d68b1da55e63f73b60a57fce");
    digest_pbkdf2(DIGEST_SHA512, slice_str("password"), slice_str("salt"), 4096, ret);
    assert_hex(ret, "d197b1b33db0143e018b12f3d1d1479e6cdebdcc97c5c0f87f6902e072f457b5"
                    "143f30602641b3d55cd335988cb36b84376060ecd532e039b742a239434af2d5");
}

Test(digest, pbkdf2_of_a_password_longer_than_a_block)
{
    uint8_t ret[DIGEST_LEN_MAX], password[200];
    memset(password, 'p', sizeof password);
    digest_pbkdf2(DIGEST_SHA512, slice_of(password, sizeof password), slice_str("saltsalt"), 3,
                  ret);
    assert_hex(ret, "e01d842ff8ecdf7a3efc9dbec349985a6f7057fb50f0460045788894e0737622"
                    "4aa7109dd27c023498a30b4718de686d09e25d9a65508ee4a5f7211d179e0bfa");
}

Test(digest, equal_looks_at_every_byte)
{
    uint8_t a[64] = {0}, b[64] = {0};
    cr_assert(digest_equal(a, b, sizeof a));
    for (unsigned i = 0; i < sizeof a; i++) {
        b[i] = 0x80;
        cr_assert_not(digest_equal(a, b, sizeof a));
        cr_assert(digest_equal(a, b, i));
        b[i] = 0;
    }
}

Test(process_key, is_the_same_for_the_same_label_alone)
{
    uint8_t a[PROCESS_KEY_LEN], b[PROCESS_KEY_LEN], c[PROCESS_KEY_LEN];
    process_key("one", a);
    process_key("one", b);
    process_key("two", c);
    cr_assert(memcmp(a, b, sizeof a) == 0);
    cr_assert(memcmp(a, c, sizeof a) != 0);
}
