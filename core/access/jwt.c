// jwt.c - JSON Web Tokens that clients bring as their password.
#include "core/access/jwt.h"

#include <math.h>

#include "core/base/mem.h"

#include "core/access/acl_json.h"
#include "core/access/base64.h"
#include "core/access/json_text.h"

#define SECONDS_MAX 9007199254740992.0 // every whole number below is a double

struct parts {
    struct slice header, payload, signature; // in base64url
    struct slice signed_text;                // the first two, with the dot between
};

static err_t
fail(const char **ret_why, const char *why)
{
    *ret_why = why;
    return ERR_BAD_CREDENTIALS;
}

// ---- The form -----------------------------------------------------------------------------------

// Three parts with two dots, of which the first is an object: whatever has this form was meant as a
// token. Encrypted ones have five parts.
static bool
split(struct slice token, struct parts *ret_parts)
{
    if (token.len == 0)
        return false;
    struct slice parts[3];
    unsigned n = 0;
    const uint8_t *at = token.data, *end = token.data + token.len, *dot;
    while ((dot = memchr(at, '.', (size_t)(end - at))) != NULL) {
        if (n == 2)
            return false;
        parts[n++] = slice_of(at, (size_t)(dot - at));
        at = dot + 1;
    }
    if (n != 2)
        return false;
    parts[2] = slice_of(at, (size_t)(end - at));
    uint8_t first[8];
    uint32_t len;
    if (parts[0].len < 4 ||
        base64_decode(BASE64_URL, slice_of(parts[0].data, 4), first, &len) != OK || first[0] != '{')
        return false;
    size_t signed_len = (size_t)parts[0].len + 1 + parts[1].len;
    must(signed_len + 1 + parts[2].len == token.len);
    *ret_parts = (struct parts){parts[0], parts[1], parts[2], slice_of(token.data, signed_len)};
    return true;
}

// An object in base64url. Returns new, or NULL.
static json_t *
object_of(struct slice text)
{
    must(text.len <= JWT_TOKEN_MAX);
    uint8_t *bytes = mem_alloc(base64_decoded_max(text.len));
    uint32_t len;
    struct file_problem problem; // where in the text it is, is of no use to the log
    json_t *value = base64_decode(BASE64_URL, text, bytes, &len) == OK
                        ? json_text_read(slice_of(bytes, len), &problem)
                        : NULL;
    mem_free(bytes);
    if (json_is_object(value))
        return value;
    json_decref(value);
    return NULL;
}

// ---- The signature ------------------------------------------------------------------------------

static err_t
verify(const struct jwt_keys *keys, const struct parts *parts, const json_t *header,
       const char **ret_why)
{
    must(parts->signed_text.len > parts->header.len && json_is_object(header));
    enum jwt_alg alg;
    const json_t *kid = json_object_get(header, "kid");
    // Extensions that we must understand [RFC 7515 section 4.1.11]; there are none that we do.
    if (json_object_get(header, "crit"))
        return fail(ret_why, "it has critical extensions");
    if (!jwt_alg_find(json_text_of(json_object_get(header, "alg")), &alg))
        return fail(ret_why, "its algorithm is not taken");
    if (kid && !json_is_string(kid))
        return fail(ret_why, "its kid is not a text");
    uint8_t *bytes = mem_alloc(base64_decoded_max(parts->signature.len));
    uint32_t len;
    err_t err = base64_decode(BASE64_URL, parts->signature, bytes, &len);
    if (err == OK)
        err =
            jwt_keys_verify(keys, alg, json_text_of(kid), parts->signed_text, slice_of(bytes, len));
    mem_free(bytes);
    if (err == ERR_NOT_FOUND)
        return fail(ret_why, "no key is for its algorithm and kid");
    if (err == ERR_FULL)
        return fail(ret_why, "it does not say which of many keys signed it");
    return err == OK ? OK : fail(ret_why, "its signature is wrong");
}

// ---- Dates --------------------------------------------------------------------------------------

// Seconds since 1970, perhaps with a fraction [RFC 7519 section 2]. False: it is there and no date.
static bool
date_of(const json_t *claims, const char *name, bool *ret_there, double *ret_s)
{
    const json_t *value = json_object_get(claims, name);
    *ret_there = value != NULL;
    *ret_s = 0;
    if (!value)
        return true;
    if (!json_is_number(value))
        return false;
    double s = json_number_value(value);
    if (!isfinite(s) || s < 0 || s >= SECONDS_MAX)
        return false;
    *ret_s = s;
    return true;
}

static err_t
check_dates(const json_t *claims, uint32_t leeway_s, uint64_t now_s, uint64_t *ret_expires_s,
            const char **ret_why)
{
    bool ends, begins, issued;
    double exp, nbf, iat, now = (double)now_s, leeway = leeway_s;
    if (!date_of(claims, "exp", &ends, &exp) || !date_of(claims, "nbf", &begins, &nbf) ||
        !date_of(claims, "iat", &issued, &iat))
        return fail(ret_why, "its exp, nbf or iat is not a date");
    if (ends && now >= exp + leeway)
        return fail(ret_why, "it has expired");
    if (begins && now + leeway < nbf)
        return fail(ret_why, "it is not valid yet");
    if (issued && now + leeway < iat)
        return fail(ret_why, "it was issued in the future");
    *ret_expires_s = ends ? (uint64_t)ceil(exp + leeway) : 0;
    must(!ends || *ret_expires_s > now_s);
    return OK;
}

// ---- Whom it is for -----------------------------------------------------------------------------

static bool
is_audience(const json_t *aud, const char *audience)
{
    if (!audience)
        return false;
    struct slice wanted = slice_str(audience);
    bool found = slice_equal(json_text_of(aud), wanted);
    for (size_t i = 0; i < json_array_size(aud) && !found; i++)
        found = slice_equal(json_text_of(json_array_get(aud, i)), wanted);
    return found;
}

// Takes one of these off the text, if it begins with it.
static bool
take(struct slice *text, const char *either, const char *other)
{
    const char *names[] = {either, other};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        size_t len = strlen(names[i]);
        if (text->len < len || memcmp(text->data, names[i], len) != 0)
            continue;
        *text = slice_of(text->data + len, text->len - len);
        return true;
    }
    return false;
}

// Whether value is wanted, with the client's names in their places. A name that it does not have is
// nobody's.
static bool
matches(struct slice value, struct slice wanted, const struct jwt_request *request)
{
    while (wanted.len > 0) {
        struct slice piece = slice_of(wanted.data, 1);
        const uint32_t before = wanted.len;
        if (take(&wanted, "%c", "${clientid}"))
            piece = request->client_id;
        else if (take(&wanted, "%u", "${username}"))
            piece = request->user;
        else
            wanted = slice_of(wanted.data + 1, wanted.len - 1);
        must(wanted.len < before);
        if (!piece.data || piece.len > value.len ||
            !slice_equal(slice_of(value.data, piece.len), piece))
            return false;
        value = slice_of(value.data + piece.len, value.len - piece.len);
    }
    return value.len == 0;
}

static bool
match_holds(const json_t *claims, const char *match, const struct jwt_request *request)
{
    size_t len = strcspn(match, " ");
    const char *wanted = match + len + strspn(match + len, " ");
    must(len > 0 && *wanted != '\0');
    struct slice value = json_text_of(json_object_getn(claims, match, len));
    return value.data && matches(value, slice_str(wanted), request);
}

static err_t
check_audience(const json_t *claims, const struct auth_jwt_config *config,
               const struct jwt_request *request, const char **ret_why)
{
    const json_t *aud = json_object_get(claims, "aud");
    if (config->issuer &&
        !slice_equal(json_text_of(json_object_get(claims, "iss")), slice_str(config->issuer)))
        return fail(ret_why, "its iss is not auth_jwt_issuer");
    // Whoever is not named must refuse it [RFC 7519 section 4.1.3].
    if (aud && !config->audience)
        return fail(ret_why, "it has an aud, and auth_jwt_audience is not set");
    if (config->audience && !is_audience(aud, config->audience))
        return fail(ret_why, "its aud is not auth_jwt_audience");
    for (char *const *match = config->matches; match && *match; match++)
        if (!match_holds(claims, *match, request))
            return fail(ret_why, "a claim is not what auth_jwt_match wants");
    return OK;
}

// ---- Whom it names ------------------------------------------------------------------------------

// jansson has seen to it that it is UTF-8 without U+0000. U+0080 to U+009F are C2 80 to C2 9F.
static bool
has_control_character(struct slice text)
{
    for (uint32_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];
        if (c < 0x20 || c == 0x7f || (c == 0xc2 && i + 1 < text.len && text.data[i + 1] < 0xa0))
            return true;
    }
    return false;
}

static err_t
take_user(const json_t *claims, const char *name, struct slice *ret_user, const char **ret_why)
{
    struct slice user = json_text_of(json_object_get(claims, name));
    if (!user.data || user.len == 0)
        return fail(ret_why, "it names no user");
    if (has_control_character(user))
        return fail(ret_why, "its user's name has control characters");
    must(user.len <= UINT16_MAX);
    uint8_t *copy = mem_alloc(user.len);
    memcpy(copy, user.data, user.len);
    *ret_user = slice_of(copy, user.len);
    return OK;
}

// ---- The whole ----------------------------------------------------------------------------------

static err_t
check_claims(const json_t *claims, const struct auth_jwt_config *config,
             const struct jwt_request *request, struct jwt_claims *found, const char **ret_why)
{
    err_t err = check_dates(claims, config->leeway_s, request->now_s, &found->expires_s, ret_why);
    if (err == OK)
        err = check_audience(claims, config, request, ret_why);
    if (err == OK)
        err = take_user(claims, config->user_claim, &found->user, ret_why);
    if (err != OK)
        return err;
    const json_t *acl = json_object_get(claims, config->acl_claim);
    // A token that we cannot hold to its word lets nobody in.
    return acl && acl_json_compile(acl, &found->acl, ret_why) != OK ? ERR_BAD_CREDENTIALS : OK;
}

err_t
jwt_check(const struct jwt_keys *keys, const struct auth_jwt_config *config,
          const struct jwt_request *request, struct jwt_claims *ret_claims, const char **ret_why)
{
    must(keys != NULL && config->user_claim != NULL && config->acl_claim != NULL);
    struct parts parts;
    if (!split(request->token, &parts))
        return ERR_NOT_FOUND;
    if (request->token.len > JWT_TOKEN_MAX)
        return fail(ret_why, "it is too long");
    json_t *header = object_of(parts.header);
    err_t err = header ? verify(keys, &parts, header, ret_why)
                       : fail(ret_why, "its header is not a JSON object");
    json_decref(header);
    if (err != OK)
        return err;
    struct jwt_claims found = {0};
    json_t *claims = object_of(parts.payload);
    err = claims ? check_claims(claims, config, request, &found, ret_why)
                 : fail(ret_why, "its claims are not a JSON object");
    json_decref(claims);
    if (err != OK) {
        jwt_claims_clear(&found);
        return err;
    }
    must(found.user.len > 0);
    *ret_claims = found;
    return OK;
}

void
jwt_claims_clear(struct jwt_claims *claims)
{
    mem_free(unconst(claims->user.data));
    acl_unref(claims->acl);
    *claims = (struct jwt_claims){0};
}
