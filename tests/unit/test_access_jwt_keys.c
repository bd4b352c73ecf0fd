// test_access_jwt_keys.c - files of keys: what is taken, what is refused and how that is told.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/access/base64.h"
#include "core/access/jwt_keys.h"
#include "tests/unit/test_access_jwt.h"

#define SECRET64 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static struct file_problem problem;

static struct jwt_keys *
parse_bytes(struct slice text)
{
    struct jwt_keys *keys = NULL;
    problem.text[0] = '\0';
    err_t err = jwt_keys_parse("keys.txt", text, &keys, &problem);
    cr_assert_eq(err == OK, keys != NULL);
    cr_assert(err == OK || strncmp(problem.text, "keys.txt: ", 10) == 0, "%s", problem.text);
    return keys;
}

static struct jwt_keys *
parse(const char *text)
{
    return parse_bytes(slice_str(text));
}

static void
expect_keys(const char *text, uint32_t count, const char *note)
{
    struct jwt_keys *keys = parse(text);
    cr_assert(keys, "%s", problem.text);
    cr_assert_eq(jwt_keys_count(keys), count);
    cr_assert_str_eq(jwt_keys_note(keys), note);
    jwt_keys_unref(keys);
}

static void
expect_problem(const char *text, const char *what)
{
    struct jwt_keys *keys = parse(text);
    cr_assert_null(keys, "taken: %s", text);
    cr_assert_not_null(strstr(problem.text, what), "\"%s\" does not say \"%s\"", problem.text,
                       what);
}

// A JWK Set of one entry, whose members these are.
static const char *
set_of(const char *members)
{
    static char text[4096];
    int len = snprintf(text, sizeof text, "{\"keys\":[{%s}]}", members);
    cr_assert(len > 0 && (size_t)len < sizeof text);
    return text;
}

static void
expect_entry_problem(const char *members, const char *what)
{
    expect_problem(set_of(members), "no key in it can be used: entry 1 has ");
    cr_assert_not_null(strstr(problem.text, what), "\"%s\" does not say \"%s\"", problem.text,
                       what);
}

// ---- PEM ----------------------------------------------------------------------------------------

Test(jwt_keys, pem_of_every_kind)
{
    expect_keys(rsa_pem, 1, "");
    expect_keys(rsa_pkcs1, 1, "");
    expect_keys(rsa_certificate, 1, "");
    expect_keys(rsa4096_pem, 1, "");
    expect_keys(p256_pem, 1, "");
    expect_keys(p256_certificate, 1, "");
    expect_keys(ed25519_pem, 1, "");
    expect_keys(ed25519_certificate, 1, "");
}

Test(jwt_keys, several_pem_blocks_are_several_keys)
{
    char text[8192];
    (void)snprintf(text, sizeof text, "the old one\n%s\nthe new one\n%s", rsa_pem, ed25519_pem);
    expect_keys(text, 2, "");
}

Test(jwt_keys, pem_that_is_not_taken)
{
    expect_problem(rsa_private, "PEM block 1 is no PUBLIC KEY");
    expect_problem(rsa1024_pem, "an RSA key of 1024 bits; 2048 to 4096 are taken");
    expect_problem(rsa_exponent3_pem, "public exponent");
    expect_problem(p384_pem, "neither RSA nor P-256 nor Ed25519");
    expect_problem(p256_compressed_pem, "not an uncompressed point");
    expect_problem(p256_off_curve_pem, "no point of its curve");
}

Test(jwt_keys, one_bad_pem_block_spoils_the_file)
{
    char text[8192];
    (void)snprintf(text, sizeof text, "%s%s", rsa_pem, p384_pem);
    expect_problem(text, "PEM block 2 is a public key that is neither");
}

Test(jwt_keys, pem_that_is_cut_or_mixed_up)
{
    char text[4096];
    size_t len = strlen(rsa_pem);
    (void)snprintf(text, sizeof text, "%.*s", (int)(len - 30), rsa_pem);
    expect_problem(text, "a PEM block begins and does not end");
    (void)snprintf(text, sizeof text, "%s", rsa_pem);
    *strstr(text, "MII") = '*';
    expect_problem(text, "PEM block 1 is not base64");
    expect_problem("-----BEGIN PUBLIC KEY-----\nMAA=\n-----END PUBLIC KEY-----\n",
                   "a public key that cannot be read");
    expect_problem("-----BEGIN RSA PUBLIC KEY-----\nMAA=\n-----END RSA PUBLIC KEY-----\n",
                   "an RSA key that cannot be read");
    expect_problem("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n",
                   "a certificate that cannot be read");
}

// Every cut of every good DER, and bytes behind it.
static void
cut_everywhere(const char *pem, const char *label)
{
    uint8_t der[2048];
    char body[4096], encoded[4096], text[8192];
    uint32_t len = 0, body_len = 0;
    const char *line = strchr(pem, '\n') + 1;
    for (; *line != '-'; line++)
        if (*line != '\n')
            body[body_len++] = *line;
    cr_assert_eq(base64_decode(BASE64_PADDED, slice_of(body, body_len), der, &len), OK);
    memset(der + len, 0, 4);
    for (uint32_t cut = 0; cut <= len + 1; cut++) {
        base64_encode(BASE64_PADDED, slice_of(der, cut), encoded);
        (void)snprintf(text, sizeof text, "-----BEGIN %s-----\n%s\n-----END %s-----\n", label,
                       encoded, label);
        struct jwt_keys *keys = parse(text);
        cr_assert_eq(keys != NULL, cut == len, "%u of %u bytes", cut, len);
        jwt_keys_unref(keys);
    }
}

Test(jwt_keys, der_that_is_cut_anywhere_is_refused)
{
    cut_everywhere(rsa_pem, "PUBLIC KEY");
    cut_everywhere(rsa_pkcs1, "RSA PUBLIC KEY");
    cut_everywhere(p256_pem, "PUBLIC KEY");
    cut_everywhere(ed25519_pem, "PUBLIC KEY");
    cut_everywhere(rsa_certificate, "CERTIFICATE");
}

// ---- A secret -----------------------------------------------------------------------------------

Test(jwt_keys, a_line_with_a_secret)
{
    expect_keys("0123456789abcdef0123456789abcdef", 1, "");
    expect_keys("0123456789abcdef0123456789abcdef\r\n", 1, "");
    expect_keys("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=\n", 1, "");
    expect_keys("base64:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", 1, "");
    expect_keys("base64:__-_AwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\n", 1, "");
}

Test(jwt_keys, a_secret_that_is_not_taken)
{
    expect_problem("", "it is empty");
    expect_problem("\n", "it is empty");
    expect_problem("hunter2\n", "a secret of 7 bytes; 32 to 1024 are taken");
    expect_problem("base64:AAEC\n", "a secret of 3 bytes");
    expect_problem("base64:!!!!\n", "not base64");
    expect_problem("0123456789abcdef\n0123456789abcdef\n", "neither a JWK Set nor PEM");
    cr_assert_null(parse_bytes(slice_of("0123456789abcdef\0"
                                        "0123456789abcdef",
                                        33)));
    char text[1200];
    memset(text, 'x', sizeof text);
    text[1025] = '\0';
    expect_problem(text, "a secret of 1025 bytes");
}

static bool
verifies(const char *key, enum jwt_alg alg, const char *token)
{
    struct jwt_keys *keys = parse(key);
    uint8_t signature[512];
    uint32_t len;
    const char *dot = strrchr(token, '.');
    cr_assert_eq(base64_decode(BASE64_URL, slice_str(dot + 1), signature, &len), OK);
    err_t err = jwt_keys_verify(keys, alg, slice_of(NULL, 0), slice_of(token, dot - token),
                                slice_of(signature, len));
    cr_assert(err == OK || err == ERR_BAD_CREDENTIALS || err == ERR_NOT_FOUND);
    jwt_keys_unref(keys);
    return err == OK;
}

Test(jwt_keys, a_secret_is_for_hashes_that_are_not_longer)
{
    cr_assert(verifies(SECRET64, JWT_HS256, hs256_token));
    cr_assert(verifies(SECRET64, JWT_HS384, hs384_token));
    cr_assert(verifies(SECRET64, JWT_HS512, hs512_token));
    cr_assert_not(verifies(SECRET64, JWT_HS256, hs512_token));
    cr_assert_not(verifies(SECRET64, JWT_HS512, hs256_token));

    struct jwt_keys *keys = parse("0123456789abcdef0123456789abcdef");
    struct slice any = slice_of(NULL, 0), text = slice_str("a.b"), signature = slice_str("");
    cr_assert_eq(jwt_keys_verify(keys, JWT_HS256, any, text, signature), ERR_BAD_CREDENTIALS);
    cr_assert_eq(jwt_keys_verify(keys, JWT_HS384, any, text, signature), ERR_NOT_FOUND);
    cr_assert_eq(jwt_keys_verify(keys, JWT_HS512, any, text, signature), ERR_NOT_FOUND);
    jwt_keys_unref(keys);
}

// ---- JWK ----------------------------------------------------------------------------------------

#define OCT "\"kty\":\"oct\",\"k\":\"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8\""

Test(jwt_keys, jwks_of_every_kind)
{
    char text[4096];
    (void)snprintf(
        text, sizeof text,
        "\n {\"keys\": [{\"kid\":\"a\"," OCT "},"
        "{\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\",\"alg\":\"RS256\",\"use\":\"sig\"},"
        "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\","
        "\"key_ops\":[\"verify\"]},"
        "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"d\":\"not looked at\"}]}",
        rsa_n, p256_x, p256_y, ed25519_x);
    expect_keys(text, 4, "");
}

Test(jwt_keys, one_jwk_without_a_set)
{
    expect_keys("{" OCT "}", 1, "");
    expect_problem("{\"kty\":\"oct\"}", "the key has no k in base64url");
    expect_problem("{}", "the key has a kty other than");
}

Test(jwt_keys, entries_that_are_not_understood_are_left_out)
{
    expect_keys("{\"keys\":[{\"kty\":\"AKP\"},{" OCT "}]}", 1,
                "entry 1 has a kty other than oct, RSA, EC and OKP");
    expect_keys("{\"keys\":[{" OCT "},{\"use\":\"enc\"," OCT "},7,{}]}", 1,
                "entry 2 has a use other than sig; there are more");
}

Test(jwt_keys, entries_that_lack_something_are_no_keys)
{
    char members[2048];
    expect_entry_problem("\"kty\":\"oct\"", "no k in base64url");
    expect_entry_problem("\"kty\":\"oct\",\"k\":\"\"", "no k in base64url");
    expect_entry_problem("\"kty\":\"oct\",\"k\":\"AA==\"", "no k in base64url");
    expect_entry_problem("\"kty\":\"oct\",\"k\":7", "no k in base64url");
    expect_entry_problem("\"kty\":\"oct\",\"k\":\"AAEC\"", "a secret of 3 bytes");
    expect_entry_problem("\"kty\":\"RSA\",\"e\":\"AQAB\"", "no n and e");
    (void)snprintf(members, sizeof members, "\"kty\":\"RSA\",\"n\":\"%s\"", rsa_n);
    expect_entry_problem(members, "no n and e");
    (void)snprintf(members, sizeof members, "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\"",
                   p256_x);
    expect_entry_problem(members, "no x and y of 32 bytes");
    (void)snprintf(members, sizeof members,
                   "\"kty\":\"EC\",\"crv\":\"P-384\",\"x\":\"%s\",\"y\":\"%s\"", p256_x, p256_y);
    expect_entry_problem(members, "a crv other than P-256");
    expect_entry_problem("\"kty\":\"OKP\",\"crv\":\"Ed25519\"", "no x of 32 bytes");
    (void)snprintf(members, sizeof members, "\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"%s\"",
                   ed25519_x);
    expect_entry_problem(members, "a crv other than Ed25519");
    expect_entry_problem("\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"AAEC\"", "no x of 32 bytes");
    expect_entry_problem("\"k\":\"AAEC\"", "a kty other than");
    expect_entry_problem("\"kty\":7", "a kty other than");
    expect_entry_problem("\"kid\":7," OCT, "a kid that is not a string");
    expect_entry_problem("\"key_ops\":[\"sign\"]," OCT, "key_ops without verify");
    expect_entry_problem("\"key_ops\":\"verify\"," OCT, "key_ops without verify");
}

Test(jwt_keys, an_alg_must_be_for_the_key)
{
    expect_keys(set_of("\"alg\":\"HS256\"," OCT), 1, "");
    expect_entry_problem("\"alg\":\"HS512\"," OCT, "an alg that is not for a key of its kind");
    expect_entry_problem("\"alg\":\"RS256\"," OCT, "an alg that is not for a key of its kind");
    expect_entry_problem("\"alg\":\"none\"," OCT, "an alg that is not one of HS256");
    expect_entry_problem("\"alg\":\"hs256\"," OCT, "an alg that is not one of HS256");
    char members[2048];
    (void)snprintf(members, sizeof members,
                   "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\",\"alg\":\"HS256\"", rsa_n);
    expect_entry_problem(members, "an alg that is not for a key of its kind");
}

static void
expect_exponent_problem(const char *exponent)
{
    char members[2048];
    (void)snprintf(members, sizeof members, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"%s\"", rsa_n,
                   exponent);
    expect_entry_problem(members, "public exponent");
}

Test(jwt_keys, rsa_numbers_that_no_good_key_has)
{
    expect_exponent_problem("AA");               // 0
    expect_exponent_problem("AQ");               // 1
    expect_exponent_problem("Aw");               // 3
    expect_exponent_problem("AP__");             // 65535
    expect_exponent_problem("AQAA");             // 65536
    expect_exponent_problem("AQAAAAE");          // 2^32 + 1
    expect_exponent_problem("AQAAAAAAAAAAAAAB"); // 2^88 + 1
    char members[2048], n[512];
    (void)snprintf(n, sizeof n, "%s", rsa_n);
    n[strlen(n) - 1] = 'A'; // the last character holds the last two bits, and two of nothing
    n[strlen(n) - 2] = 'A';
    (void)snprintf(members, sizeof members, "\"kty\":\"RSA\",\"n\":\"%s\",\"e\":\"AQAB\"", n);
    expect_entry_problem(members, "an even modulus");
    (void)snprintf(members, sizeof members, "\"kty\":\"RSA\",\"n\":\"AAAA%.100s\",\"e\":\"AQAB\"",
                   rsa_n);
    expect_entry_problem(members, "an RSA key of 600 bits");
    expect_entry_problem("\"kty\":\"RSA\",\"n\":\"AAAA\",\"e\":\"AQAB\"", "an RSA key of 0 bits");
}

Test(jwt_keys, points_that_are_not_on_their_curve)
{
    char members[512];
    (void)snprintf(members, sizeof members,
                   "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"", p256_x, p256_x);
    expect_entry_problem(members, "no point of its curve");
    const char *zero = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    (void)snprintf(members, sizeof members,
                   "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"", zero, zero);
    expect_entry_problem(members, "no point of its curve");
    // x beyond the field.
    const char *ones = "__________________________________________8";
    (void)snprintf(members, sizeof members,
                   "\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"%s\",\"y\":\"%s\"", ones, p256_y);
    expect_entry_problem(members, "no point of its curve");
    // y = 2, which has no x on Curve25519's Edwards form.
    expect_entry_problem("\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                         "\"x\":\"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA\"",
                         "no point of its curve");
}

Test(jwt_keys, json_that_is_not_taken)
{
    expect_problem("{", "is not JSON");
    expect_problem("{\"keys\":[]} {}", "is not JSON");
    expect_problem("{\"keys\":[{" OCT "}],\"keys\":[]}", "a name twice");
    expect_problem(set_of("\"kty\":\"RSA\"," OCT), "a name twice");
    expect_problem("{\"keys\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]}", "deeper than 16");
    expect_problem("{\"keys\":{}}", "\"keys\" is not an array");
    expect_problem("{\"keys\":[]}", "no key in it can be used");
    // The text of a problem must not hold what may be a secret.
    expect_problem("{\"keys\":[{\"kty\":\"oct\",\"k\":\"geheim", "is not JSON");
    cr_assert_null(strstr(problem.text, "geheim"));
}

// A set of so many secrets; each with its number as kid, if wanted.
static const char *
many(unsigned count, bool with_kid)
{
    static char text[16384];
    int len = snprintf(text, sizeof text, "{\"keys\":[");
    for (unsigned i = 0; i < count; i++) {
        char kid[32] = "";
        if (with_kid)
            (void)snprintf(kid, sizeof kid, "\"kid\":\"%u\",", i);
        len +=
            snprintf(text + len, sizeof text - (size_t)len, "%s{%s" OCT "}", i > 0 ? "," : "", kid);
    }
    (void)snprintf(text + len, sizeof text - (size_t)len, "]}");
    return text;
}

Test(jwt_keys, there_is_a_limit_to_keys)
{
    expect_keys(many(JWT_KEYS_MAX, false), JWT_KEYS_MAX, "");
    expect_problem(many(JWT_KEYS_MAX + 1, false), "65 keys; at most 64 are taken");
    char text[512];
    (void)snprintf(text, sizeof text, "\"kid\":\"%0257d\"," OCT, 1);
    expect_entry_problem(text, "a kid of 257 bytes");
}

// ---- Files --------------------------------------------------------------------------------------

Test(jwt_keys, a_file_is_named_in_its_problems)
{
    struct jwt_keys *keys = NULL;
    cr_assert_eq(jwt_keys_read("/nonexistent/keys", &keys, &problem), ERR_CONFIG);
    cr_assert(strncmp(problem.text, "/nonexistent/keys: ", 19) == 0);
    char path[] = "/tmp/test_access_jwt_XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, "short\n", 6) == 6);
    cr_assert_eq(jwt_keys_read(path, &keys, &problem), ERR_CONFIG);
    cr_assert(strncmp(problem.text, path, strlen(path)) == 0);
    cr_assert_not_null(strstr(problem.text, "a secret of 5 bytes"));
    cr_assert_eq(write(fd, ed25519_pem, strlen(ed25519_pem)), (ssize_t)strlen(ed25519_pem));
    cr_assert_eq(jwt_keys_read(path, &keys, &problem), OK);
    struct jwt_keys *same = jwt_keys_ref(keys);
    jwt_keys_unref(keys);
    cr_assert_eq(jwt_keys_count(same), 1);
    jwt_keys_unref(same);
    (void)close(fd);
    (void)unlink(path);
}

// ---- Choice -------------------------------------------------------------------------------------

static err_t
with_kid(const char *key, const char *kid)
{
    struct jwt_keys *keys = parse(key);
    struct slice name = kid ? slice_str(kid) : slice_of(NULL, 0);
    err_t err = jwt_keys_verify(keys, JWT_HS256, name, slice_str("a.b"), slice_str(""));
    jwt_keys_unref(keys);
    return err;
}

Test(jwt_keys, kid_chooses_among_keys_that_have_one)
{
    cr_assert_eq(with_kid(many(3, true), "1"), ERR_BAD_CREDENTIALS); // found, and not signed
    cr_assert_eq(with_kid(many(3, true), "3"), ERR_NOT_FOUND);
    cr_assert_eq(with_kid(many(3, true), ""), ERR_NOT_FOUND);
    cr_assert_eq(with_kid(many(3, true), NULL), ERR_BAD_CREDENTIALS);
    cr_assert_eq(with_kid(many(3, false), "3"), ERR_BAD_CREDENTIALS);
}

Test(jwt_keys, no_stranger_makes_us_try_all_keys)
{
    cr_assert_eq(with_kid(many(JWT_TRIES_MAX, true), NULL), ERR_BAD_CREDENTIALS);
    cr_assert_eq(with_kid(many(JWT_TRIES_MAX + 1, true), NULL), ERR_FULL);
    cr_assert_eq(with_kid(many(JWT_TRIES_MAX + 1, true), "7"), ERR_BAD_CREDENTIALS);
}

// RFC 8037 appendix A.4; its payload is no claims.
Test(jwt_keys, rfc_8037_a4)
{
    const char *key = "{\"kty\":\"OKP\",\"crv\":\"Ed25519\","
                      "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}";
    const char *token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc."
                        "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt"
                        "9g7sVvpAr_MuM0KAg";
    cr_assert(verifies(key, JWT_EDDSA, token));
    cr_assert_not(verifies(key, JWT_RS256, token));
}
