// test_access_jwt.c - tokens: what lets a client in, and every way not to.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/jwt.h"
#include "tests/unit/test_access_jwt.h"

#define SECRET "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define NOW    1900000000u
#define HS256  "{\"alg\":\"HS256\"}"

static struct auth_jwt_config options;
static struct slice user, client_id;
static uint64_t now_s;
static struct jwt_claims claims;
static const char *why;

static void
set_up(void)
{
    options = (struct auth_jwt_config){.user_claim = "sub", .acl_claim = "acl"};
    user = slice_of(NULL, 0);
    client_id = slice_str("c1");
    now_s = NOW;
}

static void
tear_down(void)
{
    jwt_claims_clear(&claims);
}

TestSuite(jwt, .init = set_up, .fini = tear_down);

// ---- Making and checking tokens -----------------------------------------------------------------

// With a secret. The token is good until the next one.
static const char *
token_of(const char *header, struct slice payload)
{
    static char token[3 * JWT_TOKEN_MAX];
    uint8_t mac[WC_SHA256_DIGEST_SIZE];
    uint32_t len = base64_encode(BASE64_URL, slice_str(header), token);
    token[len++] = '.';
    len += base64_encode(BASE64_URL, payload, token + len);
    Hmac hmac;
    cr_assert(wc_HmacInit(&hmac, NULL, INVALID_DEVID) == 0 &&
              wc_HmacSetKey(&hmac, WC_SHA256, (const uint8_t *)SECRET, strlen(SECRET)) == 0 &&
              wc_HmacUpdate(&hmac, (const uint8_t *)token, len) == 0 &&
              wc_HmacFinal(&hmac, mac) == 0);
    wc_HmacFree(&hmac);
    token[len++] = '.';
    base64_encode(BASE64_URL, slice_of(mac, sizeof mac), token + len);
    return token;
}

static err_t
check_bytes(const char *key, struct slice token)
{
    struct file_problem problem;
    struct jwt_keys *keys;
    cr_assert_eq(jwt_keys_parse("keys", slice_str(key), &keys, &problem), OK, "%s", problem.text);
    jwt_claims_clear(&claims);
    why = NULL;
    struct jwt_request request = {token, user, client_id, now_s};
    err_t err = jwt_check(keys, &options, &request, &claims, &why);
    cr_assert_eq(err == ERR_BAD_CREDENTIALS, why != NULL);
    cr_assert(err == OK || (claims.user.data == NULL && claims.acl == NULL));
    jwt_keys_unref(keys);
    return err;
}

static err_t
check(const char *key, const char *token)
{
    return check_bytes(key, slice_str(token));
}

static void
expect_good(const char *key, const char *token)
{
    cr_assert_eq(check(key, token), OK, "%s", why);
}

static void
expect_bad(const char *key, const char *token, const char *reason)
{
    cr_assert_eq(check(key, token), ERR_BAD_CREDENTIALS);
    cr_assert_str_eq(why, reason);
}

static void
good_claims(const char *payload)
{
    expect_good(SECRET, token_of(HS256, slice_str(payload)));
}

static void
bad_claims(const char *payload, const char *reason)
{
    expect_bad(SECRET, token_of(HS256, slice_str(payload)), reason);
}

static void
expect_user(const char *name)
{
    cr_assert(slice_equal(claims.user, slice_str(name)), "%.*s", (int)claims.user.len,
              (const char *)claims.user.data);
}

// ---- Published examples, and tokens of others ---------------------------------------------------

#define RFC_CLAIMS                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

// RFC 7515 appendices A.1 to A.3: claims of "joe" that ended at 1300819380.
static const struct {
    const char *key, *token;
} rfc_7515[] = {
    {"{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4"
     "hcgUuTwjAzZr1Z9CAow\"}",
     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS
     ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"},
    {"{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Va"
     "w-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg"
     "0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Z"
     "wKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
     "\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS
     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
     "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMH"
     "lb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9"
     "QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"},
    {"{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS
     ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"},
};

Test(jwt, rfc_7515_a1_to_a3)
{
    options.user_claim = "iss";
    for (unsigned i = 0; i < ARRAY_LEN(rfc_7515); i++) {
        now_s = 1300819379;
        expect_good(rfc_7515[i].key, rfc_7515[i].token);
        expect_user("joe");
        cr_assert_eq(claims.expires_s, 1300819380);
        now_s = 1300819380;
        expect_bad(rfc_7515[i].key, rfc_7515[i].token, "it has expired");
    }
}

static const struct {
    const char *key, *token;
} others[] = {
    {rsa_pem, rs256_token},         {rsa_pkcs1, rs256_token},
    {rsa_certificate, rs256_token}, {rsa4096_pem, rs256_4096_token},
    {p256_pem, es256_token},        {p256_certificate, es256_token},
    {ed25519_pem, eddsa_token},     {ed25519_certificate, eddsa_token},
    {SECRET, hs256_token},          {SECRET, hs384_token},
    {SECRET, hs512_token},
};

Test(jwt, tokens_of_every_algorithm)
{
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        expect_good(others[i].key, others[i].token);
        expect_user("meter-7");
        cr_assert_eq(claims.expires_s, 2000000000);
        cr_assert_null(claims.acl);
    }
}

// ---- Signatures ---------------------------------------------------------------------------------

// One bit at a time, in the signature, the claims and the header.
Test(jwt, no_bit_may_be_another)
{
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        char token[2048];
        size_t len = strlen(others[i].token);
        for (size_t at = 0; at < len; at += 3) {
            memcpy(token, others[i].token, len + 1);
            token[at] ^= 1; // another letter, or none of base64
            cr_assert_neq(check(others[i].key, token), OK, "token %u, byte %zu", i, at);
        }
    }
}

Test(jwt, a_token_that_is_cut_is_no_good)
{
    for (unsigned i = 0; i < ARRAY_LEN(others); i++) {
        uint32_t len = (uint32_t)strlen(others[i].token);
        for (uint32_t cut = 0; cut < len; cut += 5)
            cr_assert_neq(check_bytes(others[i].key, slice_of(others[i].token, cut)), OK);
        cr_assert_neq(check_bytes(others[i].key, slice_of(others[i].token, len - 1)), OK);
    }
}

Test(jwt, nothing_may_stand_behind_the_signature)
{
    char token[2048];
    (void)snprintf(token, sizeof token, "%sAA", rs256_token);
    expect_bad(rsa_pem, token, "its signature is wrong");
    (void)snprintf(token, sizeof token, "%sAAAA", es256_token);
    expect_bad(p256_pem, token, "its signature is wrong");
    (void)snprintf(token, sizeof token, "%s\n", hs256_token);
    expect_bad(SECRET, token, "its signature is wrong");
}

Test(jwt, a_public_key_is_no_secret)
{
    expect_bad(rsa_pem, confused_pem_token, "no key is for its algorithm and kid");
    expect_bad(rsa_pem, confused_modulus_token, "no key is for its algorithm and kid");
}

Test(jwt, an_algorithm_fits_its_key_alone)
{
    static const char *const keys[] = {rsa_pem, p256_pem, ed25519_pem, SECRET};
    static const char *const tokens[] = {rs256_token, es256_token, eddsa_token, hs256_token};
    for (unsigned i = 0; i < 4; i++)
        for (unsigned j = 0; j < 4; j++)
            if (i != j)
                expect_bad(keys[i], tokens[j], "no key is for its algorithm and kid");
}

Test(jwt, none_is_no_algorithm)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}", "{\"alg\":\"None\"}", "{\"alg\":\"\"}",     "{\"alg\":null}",
        "{\"alg\":7}",        "{\"typ\":\"JWT\"}",  "{\"alg\":\"hs256\"}"};
    for (unsigned i = 0; i < ARRAY_LEN(headers); i++) {
        const char *good = token_of(headers[i], slice_str("{\"sub\":\"u\"}"));
        expect_bad(SECRET, good, "its algorithm is not taken");
        char unsigned_token[256];
        (void)snprintf(unsigned_token, sizeof unsigned_token, "%.*s",
                       (int)(strrchr(good, '.') + 1 - good), good);
        expect_bad(SECRET, unsigned_token, "its algorithm is not taken");
    }
}

Test(jwt, good_signatures_of_other_algorithms)
{
    expect_bad(rsa_pem, rs384_token, "its algorithm is not taken");
    expect_bad(rsa_pem, ps256_token, "its algorithm is not taken");
    expect_bad(p256_pem, es384_token, "its algorithm is not taken");
}

Test(jwt, rsa_blocks_that_are_not_exactly_right)
{
    expect_bad(rsa_pem, rs256_sha1_token, "its signature is wrong");
    expect_bad(rsa_pem, rs256_no_null_token, "its signature is wrong");
    expect_bad(rsa_pem, rs256_short_padding_token, "its signature is wrong");
    expect_bad(rsa_pem, rs256_type2_token, "its signature is wrong");
}

// The claims of es256_token with another signature.
static void
expect_bad_point(const uint8_t signature[64])
{
    char token[1024];
    size_t len = (size_t)(strrchr(es256_token, '.') + 1 - es256_token);
    memcpy(token, es256_token, len);
    base64_encode(BASE64_URL, slice_of(signature, 64), token + len);
    expect_bad(p256_pem, token, "its signature is wrong");
}

Test(jwt, ecdsa_numbers_out_of_their_range)
{
    static const uint8_t order[32] = {0xff, 0xff, 0xff, 0xff, 0,    0,    0,    0,
                                      0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
                                      0xbc, 0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84,
                                      0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51};
    uint8_t signature[64] = {0};
    expect_bad_point(signature);
    signature[31] = 1;
    expect_bad_point(signature); // r 1, s 0
    memcpy(signature + 32, order, 32);
    expect_bad_point(signature);
    memcpy(signature, order, 32);
    signature[63] = 1;
    expect_bad_point(signature);
    memset(signature, 0xff, sizeof signature);
    expect_bad_point(signature);
}

Test(jwt, other_ways_to_write_a_good_signature)
{
    expect_bad(p256_pem, es256_der_token, "its signature is wrong");
    expect_bad(ed25519_pem, eddsa_long_token, "its signature is wrong");
}

// ---- Headers ------------------------------------------------------------------------------------

Test(jwt, critical_extensions_are_not_understood)
{
    expect_bad(SECRET,
               token_of("{\"alg\":\"HS256\",\"crit\":[\"exp\"]}", slice_str("{\"sub\":\"u\"}")),
               "it has critical extensions");
    expect_bad(SECRET, token_of("{\"alg\":\"HS256\",\"crit\":[]}", slice_str("{\"sub\":\"u\"}")),
               "it has critical extensions");
}

Test(jwt, headers_that_two_readers_read_differently)
{
    const struct slice payload = slice_str("{\"sub\":\"u\"}");
    expect_bad(SECRET, token_of("{\"alg\":\"none\",\"alg\":\"HS256\"}", payload),
               "its header is not a JSON object");
    expect_bad(SECRET, token_of("{\"alg\":\"HS256\"}x", payload),
               "its header is not a JSON object");
    expect_bad(SECRET, token_of("{\"alg\":\"HS256\"", payload), "its header is not a JSON object");
    expect_bad(SECRET,
               token_of("{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]}", payload),
               "its header is not a JSON object");
    expect_good(SECRET,
                token_of("{\"alg\":\"HS256\",\"x\":[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]}", payload));
    expect_good(SECRET,
                token_of("{\"alg\":\"HS256\",\"x\":\"[[[[[[[[[[[[[[[[[[[\\\"[[\"}", payload));
}

// A key that a token brings along is anybody's.
Test(jwt, keys_in_the_header_do_not_matter)
{
    expect_bad(rsa_pem,
               token_of("{\"alg\":\"HS256\",\"jwk\":{\"kty\":\"oct\",\"k\":"
                        "\"MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWYw\"}}",
                        slice_str("{\"sub\":\"u\"}")),
               "no key is for its algorithm and kid");
}

Test(jwt, kid_must_be_a_text)
{
    expect_bad(SECRET, token_of("{\"alg\":\"HS256\",\"kid\":7}", slice_str("{\"sub\":\"u\"}")),
               "its kid is not a text");
    expect_good(SECRET,
                token_of("{\"alg\":\"HS256\",\"kid\":\"7\"}", slice_str("{\"sub\":\"u\"}")));
}

// ---- What is no token ---------------------------------------------------------------------------

Test(jwt, passwords_are_left_to_others)
{
    static const char *const passwords[] = {"",
                                            "hunter2",
                                            ".",
                                            "..",
                                            "a.b.c",
                                            "eyJ.b",
                                            "eyJh",
                                            "eyJhb..x.",
                                            "eyJhb.c.d.e.f",
                                            "correct.horse.battery",
                                            "W10K.e30.x",
                                            "eyJ*.e30.x"};
    for (unsigned i = 0; i < ARRAY_LEN(passwords); i++)
        cr_assert_eq(check(SECRET, passwords[i]), ERR_NOT_FOUND, "%s", passwords[i]);
    cr_assert_eq(check_bytes(SECRET, slice_of(NULL, 0)), ERR_NOT_FOUND);
}

Test(jwt, whatever_looks_like_a_token_is_one)
{
    expect_bad(SECRET, "eyJh..", "its header is not a JSON object");
    expect_bad(SECRET, "eyJh.b.c", "its header is not a JSON object");
    expect_bad(SECRET, "e30K.b.c", "its algorithm is not taken"); // {} and a line end
}

Test(jwt, a_token_has_a_limit)
{
    static char payload[JWT_TOKEN_MAX];
    size_t room = JWT_TOKEN_MAX - strlen("eyJhbGciOiJIUzI1NiJ9..") - 43;
    size_t len = room / 4 * 3;
    int n = snprintf(payload, sizeof payload, "{\"sub\":\"u\",\"x\":\"");
    memset(payload + n, 'x', sizeof payload - (size_t)n);
    memcpy(payload + len - 2, "\"}", 2);
    expect_good(SECRET, token_of(HS256, slice_of(payload, len)));
    memset(payload + len - 2, 'x', 2);
    len += 3;
    memcpy(payload + len - 2, "\"}", 2);
    expect_bad(SECRET, token_of(HS256, slice_of(payload, len)), "it is too long");
}

// ---- Claims -------------------------------------------------------------------------------------

Test(jwt, claims_are_one_json_object)
{
    bad_claims("", "its claims are not a JSON object");
    bad_claims("[]", "its claims are not a JSON object");
    bad_claims("\"sub\"", "its claims are not a JSON object");
    bad_claims("{\"sub\":\"u\"} ,", "its claims are not a JSON object");
    bad_claims("{\"sub\":\"u\",\"sub\":\"admin\"}", "its claims are not a JSON object");
    bad_claims("{\"sub\":\"u\",\"exp\":99999999999999999999}", "its claims are not a JSON object");
    bad_claims("{\"sub\":\"\xff\"}", "its claims are not a JSON object");
}

Test(jwt, expiry)
{
    good_claims("{\"sub\":\"u\",\"exp\":1900000001}");
    cr_assert_eq(claims.expires_s, NOW + 1);
    good_claims("{\"sub\":\"u\",\"exp\":1900000000.5}");
    cr_assert_eq(claims.expires_s, NOW + 1);
    bad_claims("{\"sub\":\"u\",\"exp\":1900000000}", "it has expired");
    bad_claims("{\"sub\":\"u\",\"exp\":0}", "it has expired");
    options.leeway_s = 60;
    good_claims("{\"sub\":\"u\",\"exp\":1899999941}");
    cr_assert_eq(claims.expires_s, NOW + 1);
    bad_claims("{\"sub\":\"u\",\"exp\":1899999940}", "it has expired");
    good_claims("{\"sub\":\"u\"}");
    cr_assert_eq(claims.expires_s, 0);
}

Test(jwt, not_before_and_issued_at)
{
    good_claims("{\"sub\":\"u\",\"nbf\":1900000000,\"iat\":1900000000}");
    bad_claims("{\"sub\":\"u\",\"nbf\":1900000001}", "it is not valid yet");
    bad_claims("{\"sub\":\"u\",\"nbf\":1900000000.1}", "it is not valid yet");
    bad_claims("{\"sub\":\"u\",\"iat\":1900000001}", "it was issued in the future");
    options.leeway_s = 60;
    good_claims("{\"sub\":\"u\",\"nbf\":1900000060,\"iat\":1900000060}");
    bad_claims("{\"sub\":\"u\",\"nbf\":1900000061}", "it is not valid yet");
    bad_claims("{\"sub\":\"u\",\"iat\":1900000061}", "it was issued in the future");
}

Test(jwt, dates_are_numbers)
{
    static const char *const names[] = {"exp", "nbf", "iat"};
    static const char *const values[] = {"\"1900000001\"", "null", "true", "-1", "1e300", "[]"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        for (unsigned j = 0; j < ARRAY_LEN(values); j++) {
            char payload[128];
            (void)snprintf(payload, sizeof payload, "{\"sub\":\"u\",\"%s\":%s}", names[i],
                           values[j]);
            bad_claims(payload, "its exp, nbf or iat is not a date");
        }
}

Test(jwt, issuer)
{
    options.issuer = "https://id.example.org";
    good_claims("{\"sub\":\"u\",\"iss\":\"https://id.example.org\"}");
    bad_claims("{\"sub\":\"u\",\"iss\":\"https://id.example.org/\"}",
               "its iss is not auth_jwt_issuer");
    bad_claims("{\"sub\":\"u\",\"iss\":[\"https://id.example.org\"]}",
               "its iss is not auth_jwt_issuer");
    bad_claims("{\"sub\":\"u\"}", "its iss is not auth_jwt_issuer");
}

Test(jwt, audience)
{
    bad_claims("{\"sub\":\"u\",\"aud\":\"shop\"}",
               "it has an aud, and auth_jwt_audience is not set");
    options.audience = "mqtt";
    good_claims("{\"sub\":\"u\",\"aud\":\"mqtt\"}");
    good_claims("{\"sub\":\"u\",\"aud\":[\"shop\",\"mqtt\"]}");
    bad_claims("{\"sub\":\"u\",\"aud\":\"shop\"}", "its aud is not auth_jwt_audience");
    bad_claims("{\"sub\":\"u\",\"aud\":\"mqtt \"}", "its aud is not auth_jwt_audience");
    bad_claims("{\"sub\":\"u\",\"aud\":[]}", "its aud is not auth_jwt_audience");
    bad_claims("{\"sub\":\"u\",\"aud\":[[\"mqtt\"]]}", "its aud is not auth_jwt_audience");
    bad_claims("{\"sub\":\"u\"}", "its aud is not auth_jwt_audience");
}

Test(jwt, the_user_is_a_claim)
{
    options.user_claim = "username";
    good_claims("{\"username\":\"\xc3\xa4nne \xe2\x82\xac\",\"sub\":\"u\"}");
    expect_user("\xc3\xa4nne \xe2\x82\xac");
    bad_claims("{\"sub\":\"u\"}", "it names no user");
    bad_claims("{\"username\":\"\"}", "it names no user");
    bad_claims("{\"username\":7}", "it names no user");
    bad_claims("{\"username\":\"a\\nb\"}", "its user's name has control characters");
    bad_claims("{\"username\":\"a\\u007f\"}", "its user's name has control characters");
    bad_claims("{\"username\":\"a\\u0085b\"}", "its user's name has control characters");
    bad_claims("{\"username\":\"a\\u0000b\"}", "its claims are not a JSON object");
}

static void
set_matches(char *first, char *second)
{
    static char *list[3];
    list[0] = first;
    list[1] = second;
    options.matches = list;
}

Test(jwt, a_claim_can_be_bound_to_the_client)
{
    char first[] = "device %c", second[] = "sub %u";
    set_matches(first, second);
    user = slice_str("ann");
    good_claims("{\"sub\":\"ann\",\"device\":\"c1\"}");
    bad_claims("{\"sub\":\"ann\",\"device\":\"c2\"}", "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"ann\",\"device\":\"c\"}", "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"ann\",\"device\":\"c11\"}", "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"bob\",\"device\":\"c1\"}", "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"ann\"}", "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"ann\",\"device\":[\"c1\"]}", "a claim is not what auth_jwt_match wants");
    user = slice_of(NULL, 0);
    bad_claims("{\"sub\":\"ann\",\"device\":\"c1\"}", "a claim is not what auth_jwt_match wants");
}

Test(jwt, names_stand_anywhere_in_what_is_wanted)
{
    char first[] = "scope  mqtt:${username}/${clientid}!", second[] = "role device";
    set_matches(first, second);
    user = slice_str("ann");
    good_claims("{\"sub\":\"u\",\"role\":\"device\",\"scope\":\"mqtt:ann/c1!\"}");
    bad_claims("{\"sub\":\"u\",\"role\":\"admin\",\"scope\":\"mqtt:ann/c1!\"}",
               "a claim is not what auth_jwt_match wants");
    bad_claims("{\"sub\":\"u\",\"role\":\"device\",\"scope\":\"mqtt:ann/c1\"}",
               "a claim is not what auth_jwt_match wants");
    // A client whose name is a placeholder is nobody else.
    client_id = slice_str("%u");
    bad_claims("{\"sub\":\"u\",\"role\":\"device\",\"scope\":\"mqtt:ann/ann!\"}",
               "a claim is not what auth_jwt_match wants");
    good_claims("{\"sub\":\"u\",\"role\":\"device\",\"scope\":\"mqtt:ann/%u!\"}");
}

// ---- The ACL ------------------------------------------------------------------------------------

static bool
may(enum acl_action action, const char *topic)
{
    struct rights *rights = rights_new(claims.acl, claims.user, client_id);
    bool allowed =
        action == ACL_SUBSCRIBE
            ? rights_allow_filter(rights, action, slice_str(topic)) &&
                  rights_cover(rights, ACL_RECEIVE, slice_str(topic)) != ACL_COVERS_NOTHING
            : rights_allow(rights, action, slice_str(topic));
    rights_free(rights);
    return allowed;
}

Test(jwt, acl_in_lists)
{
    good_claims("{\"sub\":\"ann\",\"acl\":{\"pub\":[\"up/${clientid}/#\",\"%u/x\"],"
                "\"sub\":[\"down/${username}/+\"],\"all\":[\"chat\"]}}");
    cr_assert_not_null(claims.acl);
    cr_assert(may(ACL_PUBLISH, "up/c1/a") && may(ACL_PUBLISH, "ann/x") && may(ACL_PUBLISH, "chat"));
    cr_assert_not(may(ACL_PUBLISH, "up/c2/a"));
    cr_assert_not(may(ACL_PUBLISH, "down/ann/a"));
    cr_assert_not(may(ACL_PUBLISH, "other"));
    cr_assert(may(ACL_RECEIVE, "down/ann/a") && may(ACL_RECEIVE, "chat"));
    cr_assert_not(may(ACL_RECEIVE, "down/bob/a"));
    cr_assert_not(may(ACL_RECEIVE, "up/c1/a"));
    cr_assert(may(ACL_SUBSCRIBE, "down/ann/a") && may(ACL_SUBSCRIBE, "down/ann/+"));
    cr_assert_not(may(ACL_SUBSCRIBE, "down/bob/+"));
}

Test(jwt, acl_in_rules)
{
    good_claims("{\"sub\":\"ann\",\"acl\":["
                "{\"permission\":\"deny\",\"action\":\"publish\",\"topic\":\"a/secret\"},"
                "{\"permission\":\"allow\",\"action\":\"publish\",\"topic\":\"a/+\"},"
                "{\"permission\":\"deny\",\"action\":\"subscribe\",\"topic\":\"b/x/#\"},"
                "{\"permission\":\"allow\",\"action\":\"subscribe\",\"topic\":\"b/#\"},"
                "{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"both/${clientid}\"}]}");
    cr_assert(may(ACL_PUBLISH, "a/b") && may(ACL_PUBLISH, "both/c1"));
    cr_assert_not(may(ACL_PUBLISH, "a/secret"));
    cr_assert_not(may(ACL_PUBLISH, "b/y"));
    cr_assert(may(ACL_RECEIVE, "b/y") && may(ACL_RECEIVE, "both/c1"));
    cr_assert_not(may(ACL_RECEIVE, "b/x/1"));
    cr_assert_not(may(ACL_RECEIVE, "a/b"));
    cr_assert(may(ACL_SUBSCRIBE, "b/#"));
    cr_assert_not(may(ACL_SUBSCRIBE, "b/x/+"));
}

Test(jwt, acl_that_is_literal)
{
    good_claims("{\"sub\":\"ann\",\"acl\":["
                "{\"permission\":\"deny\",\"action\":\"all\",\"topic\":\"eq #\"},"
                "{\"permission\":\"deny\",\"action\":\"all\",\"topic\":\"eq a/b\"},"
                "{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"eq c/+\"},"
                "{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a/#\"}]}");
    cr_assert_not(may(ACL_SUBSCRIBE, "#"));
    cr_assert(may(ACL_SUBSCRIBE, "a/#") && may(ACL_RECEIVE, "a/c") && may(ACL_PUBLISH, "a/c"));
    cr_assert_not(may(ACL_RECEIVE, "a/b"));
    cr_assert_not(may(ACL_PUBLISH, "a/b"));
    cr_assert(may(ACL_SUBSCRIBE, "c/+") && may(ACL_RECEIVE, "c/1"));
    cr_assert_not(may(ACL_PUBLISH, "c/1"));
}

Test(jwt, acl_with_lists_and_conditions_that_leave_nothing_out)
{
    good_claims("{\"sub\":\"ann\",\"acl\":["
                "{\"permission\":\"allow\",\"action\":\"pub\",\"topics\":[\"a\",\"b\"],"
                "\"qos\":[0,1,2],\"retain\":\"all\"},"
                "{\"permission\":\"allow\",\"action\":\"sub\",\"topic\":\"c\",\"qos\":null}]}");
    cr_assert(may(ACL_PUBLISH, "a") && may(ACL_PUBLISH, "b") && may(ACL_RECEIVE, "c"));
    cr_assert_not(may(ACL_RECEIVE, "a"));
    cr_assert_not(may(ACL_PUBLISH, "c"));
}

Test(jwt, an_empty_acl_allows_nothing)
{
    static const char *const payloads[] = {"{\"sub\":\"u\",\"acl\":{}}",
                                           "{\"sub\":\"u\",\"acl\":[]}"};
    for (unsigned i = 0; i < ARRAY_LEN(payloads); i++) {
        good_claims(payloads[i]);
        cr_assert_not_null(claims.acl);
        cr_assert_not(may(ACL_PUBLISH, "a"));
        cr_assert_not(may(ACL_RECEIVE, "a"));
        cr_assert_not(may(ACL_SUBSCRIBE, "a"));
    }
}

Test(jwt, the_acl_claim_can_have_another_name)
{
    options.acl_claim = "rights";
    good_claims("{\"sub\":\"u\",\"acl\":7}");
    cr_assert_null(claims.acl);
    good_claims("{\"sub\":\"u\",\"rights\":{\"pub\":[\"a\"]}}");
    cr_assert(may(ACL_PUBLISH, "a"));
}

static const struct {
    const char *acl, *reason;
} bad_acls[] = {
    {"7", "its acl is neither an object nor a list"},
    {"null", "its acl is neither an object nor a list"},
    {"\"a/#\"", "its acl is neither an object nor a list"},
    {"{\"publish\":[\"a\"]}", "its acl has more than pub, sub and all"},
    {"{\"pub\":\"a\"}", "its acl has topics that are not a list"},
    {"{\"pub\":[7]}", "its acl has a topic that is not a text"},
    {"{\"pub\":[\"\"]}", "its acl has a topic that is not a topic filter"},
    {"{\"pub\":[\"eq \"]}", "its acl has a topic that is not a topic filter"},
    {"{\"pub\":[\"a/#/b\"]}", "its acl has a topic that is not a topic filter"},
    {"{\"pub\":[\"${cert_common_name}/a\"]}", "its acl has a placeholder that is not known"},
    {"[\"a\"]", "its acl has a rule that is not an object"},
    {"[{\"permission\":\"allow\",\"action\":\"all\"}]",
     "its acl has a rule without a topic, or with topic and topics"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"topics\":[]}]",
     "its acl has a rule without a topic, or with topic and topics"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topics\":\"a\"}]",
     "its acl has topics that are not a list"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"qos\":[0,1]}]",
     "its acl has a rule with a condition that is not known"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"retain\":true}]",
     "its acl has a rule with a condition that is not known"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a\",\"zone\":\"z\"}]",
     "its acl has a rule with a condition that is not known"},
    {"[{\"permission\":\"yes\",\"action\":\"all\",\"topic\":\"a\"}]",
     "its acl has a permission that is neither allow nor deny"},
    {"[{\"permission\":\"allow\",\"action\":\"read\",\"topic\":\"a\"}]",
     "its acl has an action that is none of publish, subscribe, all"},
    {"[{\"permission\":\"allow\",\"action\":\"all\",\"topic\":\"a#\"}]",
     "its acl has a topic that is not a topic filter"},
};

Test(jwt, an_acl_that_is_wrong_refuses_the_token)
{
    for (unsigned i = 0; i < ARRAY_LEN(bad_acls); i++) {
        char payload[512];
        (void)snprintf(payload, sizeof payload, "{\"sub\":\"u\",\"acl\":%s}", bad_acls[i].acl);
        bad_claims(payload, bad_acls[i].reason);
    }
}
