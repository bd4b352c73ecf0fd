// jwt_keys_set.c - keys from JSON: a JWK, or a JWK Set [RFC 7517].
//
// As section 5 asks, entries that are not understood or lack something are left out, so that an
// issuer may add new kinds of keys; a set of which nothing is left is an error.
#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/json_text.h"
#include "core/access/jwt_key.h"

// A member in base64url. Returns new, for wipe(); data NULL: it is not there, or is none.
static struct slice
bytes_of(const json_t *jwk, const char *name)
{
    struct slice text = json_text_of(json_object_get(jwk, name));
    if (!text.data || text.len == 0)
        return slice_of(NULL, 0);
    uint8_t *bytes = mem_alloc(base64_decoded_max(text.len));
    uint32_t len;
    if (base64_decode(BASE64_URL, text, bytes, &len) != OK) {
        explicit_bzero(bytes, base64_decoded_max(text.len));
        mem_free(bytes);
        return slice_of(NULL, 0);
    }
    must(len > 0 && len <= base64_decoded_max(text.len));
    return slice_of(bytes, len);
}

static void
wipe(struct slice bytes)
{
    if (bytes.data)
        explicit_bzero(unconst(bytes.data), bytes.len);
    mem_free(unconst(bytes.data));
}

// ---- Kinds --------------------------------------------------------------------------------------

static err_t
add_secret(struct jwt_keys *keys, const json_t *jwk, struct jwt_key *key,
           struct file_problem *ret_problem)
{
    struct slice secret = bytes_of(jwk, "k");
    key->kind = JWT_KEY_SECRET;
    key->bytes = secret;
    err_t err = secret.data ? jwt_keys_add(keys, key, ret_problem)
                            : file_fail(ret_problem, "no k in base64url");
    wipe(secret);
    return err;
}

static err_t
add_rsa(struct jwt_keys *keys, const json_t *jwk, struct jwt_key *key,
        struct file_problem *ret_problem)
{
    struct slice modulus = bytes_of(jwk, "n"), exponent = bytes_of(jwk, "e");
    err_t err = modulus.data && exponent.data ? jwt_key_rsa(modulus, exponent, key, ret_problem)
                                              : file_fail(ret_problem, "no n and e in base64url");
    if (err == OK)
        err = jwt_keys_add(keys, key, ret_problem);
    wipe(modulus);
    wipe(exponent);
    return err;
}

static err_t
add_point(struct jwt_keys *keys, const json_t *jwk, struct jwt_key *key,
          struct file_problem *ret_problem)
{
    bool pair = key->kind == JWT_KEY_P256;
    must(pair || key->kind == JWT_KEY_ED25519);
    const char *curve = pair ? "P-256" : "Ed25519";
    if (!slice_equal(json_text_of(json_object_get(jwk, "crv")), slice_str(curve)))
        return file_fail(ret_problem, "a crv other than %s", curve);
    struct slice x = bytes_of(jwk, "x"), y = pair ? bytes_of(jwk, "y") : x;
    uint8_t point[64];
    err_t err = ERR_CONFIG;
    if (x.len == 32 && y.len == 32) {
        memcpy(point, x.data, 32);
        memcpy(point + 32, y.data, 32);
        key->bytes = slice_of(point, pair ? 64 : 32);
        err = jwt_keys_add(keys, key, ret_problem);
    } else {
        (void)file_fail(ret_problem, "no %s of 32 bytes in base64url", pair ? "x and y" : "x");
    }
    wipe(x);
    if (pair)
        wipe(y);
    return err;
}

// ---- An entry -----------------------------------------------------------------------------------

// Whether key_ops [RFC 7517 section 4.3] lets us verify.
static bool
may_verify(const json_t *key_ops)
{
    size_t i;
    const json_t *op;
    json_array_foreach(key_ops, i,
                       op) if (slice_equal(json_text_of(op), slice_str("verify"))) return true;
    return false;
}

// What every kind has: kid, alg, use, key_ops.
static err_t
common(const json_t *jwk, struct jwt_key *ret_key, struct file_problem *ret_problem)
{
    const json_t *kid = json_object_get(jwk, "kid"), *alg = json_object_get(jwk, "alg");
    const json_t *use = json_object_get(jwk, "use"), *ops = json_object_get(jwk, "key_ops");
    must(json_is_object(jwk));
    *ret_key = (struct jwt_key){.algs = JWT_ANY_ALG, .kid = json_text_of(kid)};
    if (kid && !ret_key->kid.data)
        return file_fail(ret_problem, "a kid that is not a string");
    if (use && !slice_equal(json_text_of(use), slice_str("sig")))
        return file_fail(ret_problem, "a use other than sig");
    if (ops && !may_verify(ops))
        return file_fail(ret_problem, "key_ops without verify");
    enum jwt_alg only;
    if (alg && !jwt_alg_find(json_text_of(alg), &only))
        return file_fail(ret_problem, "an alg that is not one of HS256, HS384, HS512, RS256, "
                                      "ES256, EdDSA");
    if (alg)
        ret_key->algs = JWT_BIT(only);
    return OK;
}

static err_t
add_entry(struct jwt_keys *keys, const json_t *jwk, struct file_problem *ret_problem)
{
    if (!json_is_object(jwk))
        return file_fail(ret_problem, "no object");
    struct jwt_key key;
    err_t err = common(jwk, &key, ret_problem);
    if (err != OK)
        return err;
    struct slice kty = json_text_of(json_object_get(jwk, "kty"));
    if (slice_equal(kty, slice_str("oct")))
        return add_secret(keys, jwk, &key, ret_problem);
    if (slice_equal(kty, slice_str("RSA")))
        return add_rsa(keys, jwk, &key, ret_problem);
    key.kind = slice_equal(kty, slice_str("EC")) ? JWT_KEY_P256 : JWT_KEY_ED25519;
    if (key.kind == JWT_KEY_P256 || slice_equal(kty, slice_str("OKP")))
        return add_point(keys, jwk, &key, ret_problem);
    return file_fail(ret_problem, "a kty other than oct, RSA, EC and OKP");
}

// ---- The set ------------------------------------------------------------------------------------

static void
leave_out(struct jwt_keys *keys, size_t entry, const char *why)
{
    must(entry >= 1 && why[0] != '\0');
    struct file_problem first = keys->note;
    if (keys->left_out++ == 0)
        (void)file_fail(&keys->note, "entry %zu has %s", entry, why);
    else if (keys->left_out == 2)
        (void)file_fail(&keys->note, "%s; there are more", first.text);
}

static err_t
add_all(struct jwt_keys *keys, const json_t *root, struct file_problem *ret_problem)
{
    const json_t *list = json_object_get(root, "keys"), *jwk;
    struct file_problem problem;
    if (!list) {
        err_t err = add_entry(keys, root, &problem);
        return err == OK ? OK : file_fail(ret_problem, "the key has %s", problem.text);
    }
    if (!json_is_array(list))
        return file_fail(ret_problem, "\"keys\" is not an array");
    if (json_array_size(list) > JWT_KEYS_MAX)
        return file_fail(ret_problem, "%zu keys; at most %u are taken", json_array_size(list),
                         JWT_KEYS_MAX);
    size_t i;
    json_array_foreach(list, i, jwk) if (add_entry(keys, jwk, &problem) != OK)
        leave_out(keys, i + 1, problem.text);
    must(keys->count + keys->left_out == json_array_size(list));
    if (keys->count == 0)
        return file_fail(ret_problem, "no key in it can be used%s%s", keys->left_out ? ": " : "",
                         keys->note.text);
    return OK;
}

err_t
jwt_keys_from_set(struct jwt_keys *keys, struct slice text, struct file_problem *ret_problem)
{
    json_t *root = json_text_read(text, ret_problem);
    if (!root)
        return ERR_CONFIG;
    err_t err = json_is_object(root)
                    ? add_all(keys, root, ret_problem)
                    : file_fail(ret_problem, "no object with \"keys\", as a JWK Set is");
    json_decref(root);
    return err;
}
