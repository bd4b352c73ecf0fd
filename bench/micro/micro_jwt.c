// micro_jwt.c - what a JSON Web Token costs: its signature, its claims, its ACL.
//
// Whole checks, as a client's CONNECT causes one, by the thread's CPU clock; then what a stranger
// costs whose token is not signed. Keys and tokens: RFC 7515 appendices A.1 to A.3; one of Ed25519.
// Prints `name value unit` lines.
#include <stdio.h>
#include <time.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/jwt.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW    1300819000u // within the examples' time

#define RFC_CLAIMS                                                                                 \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "fQ"

static const struct {
    const char *name, *key, *token;
    unsigned rounds;
} cases[] = {
    {"HS256",
     "{\"kty\":\"oct\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4"
     "hcgUuTwjAzZr1Z9CAow\"}",
     "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_CLAIMS
     ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
     200000},
    {"RS256",
     "{\"kty\":\"RSA\",\"n\":\"ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Va"
     "w-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg"
     "0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5Z"
     "wKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"
     "\",\"e\":\"AQAB\"}",
     "eyJhbGciOiJSUzI1NiJ9." RFC_CLAIMS
     ".cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2F"
     "p5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMH"
     "lb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9"
     "QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
     20000},
    {"ES256",
     "{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
     "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
     "eyJhbGciOiJFUzI1NiJ9." RFC_CLAIMS
     ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
     10000},
    {"EdDSA",
     "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"sUXGeR4fZU_bhaSf0aaz8gZ5wf08Clyxuu8NvmVSHH8\"}",
     "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiJtZXRlci03IiwiZXhwIjoyMDAwMDAwMDAwfQ.PvhWPpYutikmsoNFUW0d"
     "d6-1xPfKZhtaZUBfObrenxr-VkmxuSV2Iw3cTpmc6QwWStWExyCE9TU9odpj6gqrBQ",
     10000},
};

static double
cpu_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct jwt_keys *
keys_of(const char *text)
{
    struct file_problem problem;
    struct jwt_keys *keys = NULL;
    err_t err = jwt_keys_parse("keys", slice_str(text), &keys, &problem);
    must(err == OK);
    return keys;
}

// Nanoseconds for a check that ends so.
static double
measure(const struct jwt_keys *keys, const char *user_claim, struct slice token, err_t expected,
        unsigned rounds)
{
    struct auth_jwt_config config = {.user_claim = unconst(user_claim),
                                     .acl_claim = unconst("acl")};
    struct jwt_request request = {.token = token, .client_id = slice_str("c"), .now_s = NOW};
    double begin = cpu_ns();
    for (unsigned i = 0; i < rounds; i++) {
        struct jwt_claims claims = {0};
        const char *why;
        err_t err = jwt_check(keys, &config, &request, &claims, &why);
        must(err == expected);
        jwt_claims_clear(&claims);
    }
    return (cpu_ns() - begin) / rounds;
}

// A token by SECRET with as many rules as asked for.
static uint32_t
with_rules(unsigned rules, char *token)
{
    static char claims[JWT_TOKEN_MAX];
    int len = snprintf(claims, sizeof claims, "{\"sub\":\"u\",\"acl\":{\"pub\":[");
    for (unsigned i = 0; i < rules; i++)
        len += snprintf(claims + len, sizeof claims - (size_t)len, "%s\"plant/%u/${clientid}/#\"",
                        i > 0 ? "," : "", i);
    len += snprintf(claims + len, sizeof claims - (size_t)len, "]}}");
    uint32_t n = base64_encode(BASE64_URL, slice_str("{\"alg\":\"HS256\"}"), token);
    token[n++] = '.';
    n += base64_encode(BASE64_URL, slice_of(claims, (size_t)len), token + n);
    uint8_t mac[WC_SHA256_DIGEST_SIZE];
    Hmac hmac;
    int err = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    err |= wc_HmacSetKey(&hmac, WC_SHA256, (const uint8_t *)SECRET, strlen(SECRET));
    err |= wc_HmacUpdate(&hmac, (const uint8_t *)token, n);
    err |= wc_HmacFinal(&hmac, mac);
    must(err == 0);
    wc_HmacFree(&hmac);
    token[n++] = '.';
    return n + base64_encode(BASE64_URL, slice_of(mac, sizeof mac), token + n);
}

static void
signatures(void)
{
    for (unsigned i = 0; i < ARRAY_LEN(cases); i++) {
        struct jwt_keys *keys = keys_of(cases[i].key);
        struct slice token = slice_str(cases[i].token);
        const char *user = strcmp(cases[i].name, "EdDSA") == 0 ? "sub" : "iss";
        printf("%s_good %.0f ns\n", cases[i].name, measure(keys, user, token, OK, cases[i].rounds));
        char bad[1024];
        must(token.len < sizeof bad);
        memcpy(bad, token.data, token.len);
        bad[token.len - 8] = bad[token.len - 8] == 'A' ? 'B' : 'A';
        printf("%s_bad %.0f ns\n", cases[i].name,
               measure(keys, user, slice_of(bad, token.len), ERR_BAD_CREDENTIALS, cases[i].rounds));
        jwt_keys_unref(keys);
    }
}

int
main(void)
{
    static char token[2 * JWT_TOKEN_MAX];
    signatures();
    struct jwt_keys *keys = keys_of(SECRET);
    for (unsigned rules = 1; rules <= 100; rules *= 10) {
        uint32_t len = with_rules(rules, token);
        printf("rules_%u %.0f ns\n", rules,
               measure(keys, "sub", slice_of(token, len), OK, 50000 / rules));
    }
    printf("password %.0f ns\n",
           measure(keys, "sub", slice_str("correct horse battery staple"), ERR_NOT_FOUND, 1000000));
    jwt_keys_unref(keys);
    return 0;
}
