// fuzz_jwt.c - any bytes as a token, and any header and claims under a good signature.
//
// The first byte says which: 0, the rest is the token; else the rest is a header, a NUL and claims,
// which are signed here, or no fuzzer would ever get behind the signature.
#include <string.h>
#include <wolfssl/options.h>
// Behind the options, on which everything of wolfSSL depends.
#include <wolfssl/wolfcrypt/hmac.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access/base64.h"
#include "core/access/jwt.h"

#define SECRET "0123456789abcdef0123456789abcdef"
#define NOW    1900000000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
use(const struct jwt_claims *claims, struct slice client_id)
{
    must(claims->user.len > 0 && utf8_valid(claims->user));
    must(claims->expires_s == 0 || claims->expires_s > NOW);
    if (!claims->acl)
        return;
    struct rights *rights = rights_new(claims->acl, claims->user, client_id);
    (void)rights_allow(rights, ACL_PUBLISH, slice_str("a/b"));
    (void)rights_allow(rights, ACL_RECEIVE, slice_str("$SYS/x"));
    (void)rights_cover(rights, ACL_RECEIVE, slice_str("a/+/#"));
    (void)rights_allow_filter(rights, ACL_SUBSCRIBE, slice_str("#"));
    rights_free(rights);
}

static err_t
check(const struct jwt_keys *keys, const struct auth_jwt_config *config, struct slice token)
{
    struct jwt_request request = {
        .token = token, .user = slice_str("ann"), .client_id = slice_str("c1"), .now_s = NOW};
    struct jwt_claims claims = {0};
    const char *why = NULL;
    err_t err = jwt_check(keys, config, &request, &claims, &why);
    must(err == OK || err == ERR_NOT_FOUND || err == ERR_BAD_CREDENTIALS);
    must((err == ERR_BAD_CREDENTIALS) == (why != NULL));
    if (err == OK)
        use(&claims, request.client_id);
    jwt_claims_clear(&claims);
    return err;
}

static void
check_signed(const struct jwt_keys *keys, const struct auth_jwt_config *config, struct slice header,
             struct slice payload)
{
    char *token = mem_alloc(base64_encoded_max(header.len) + base64_encoded_max(payload.len) + 64);
    uint32_t len = base64_encode(BASE64_URL, header, token);
    token[len++] = '.';
    len += base64_encode(BASE64_URL, payload, token + len);
    uint8_t mac[WC_SHA256_DIGEST_SIZE];
    Hmac hmac;
    int err = wc_HmacInit(&hmac, NULL, INVALID_DEVID);
    err |= wc_HmacSetKey(&hmac, WC_SHA256, (const uint8_t *)SECRET, strlen(SECRET));
    err |= wc_HmacUpdate(&hmac, (const uint8_t *)token, len);
    err |= wc_HmacFinal(&hmac, mac);
    must(err == 0);
    wc_HmacFree(&hmac);
    token[len++] = '.';
    len += base64_encode(BASE64_URL, slice_of(mac, sizeof mac), token + len);
    (void)check(keys, config, slice_of(token, len));
    mem_free(token);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct jwt_keys *keys;
    static char user[] = "sub", acl[] = "acl", audience[] = "mqtt", match[] = "device x%c/%u";
    static char *matches[] = {match, NULL};
    struct auth_jwt_config config = {.user_claim = user, .acl_claim = acl, .leeway_s = 10};
    struct file_problem problem;
    if (!keys && jwt_keys_parse("keys", slice_str(SECRET), &keys, &problem) != OK)
        must(false);
    if (size == 0 || size > JWT_TOKEN_MAX)
        return 0;
    struct slice rest = slice_of(data + 1, size - 1);
    if (data[0] == 0) {
        // Nobody signs by chance.
        must(check(keys, &config, rest) != OK);
        return 0;
    }
    config.audience = data[0] & 1 ? audience : NULL;
    config.matches = data[0] & 2 ? matches : NULL;
    const uint8_t *nul = rest.len > 0 ? memchr(rest.data, 0, rest.len) : NULL;
    if (!nul)
        return 0;
    uint32_t at = (uint32_t)(nul - rest.data);
    check_signed(keys, &config, slice_of(rest.data, at),
                 slice_of(rest.data + at + 1, rest.len - at - 1));
    return 0;
}
