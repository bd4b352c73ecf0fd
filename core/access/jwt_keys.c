// jwt_keys.c - the keys that sign JSON Web Tokens: their life, their checks, and their choice.
#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/digest.h"
#include "core/access/jwt_key.h"

static const char *const alg_names[JWT_ALGS] = {
    [JWT_HS256] = "HS256", [JWT_HS384] = "HS384", [JWT_HS512] = "HS512",
    [JWT_RS256] = "RS256", [JWT_ES256] = "ES256", [JWT_EDDSA] = "EdDSA",
};

bool
jwt_alg_find(struct slice name, enum jwt_alg *ret_alg)
{
    for (unsigned i = 0; i < JWT_ALGS; i++) {
        must(alg_names[i] != NULL);
        if (!slice_equal(name, slice_str(alg_names[i])))
            continue;
        *ret_alg = (enum jwt_alg)i;
        return true;
    }
    return false;
}

// ---- Life ---------------------------------------------------------------------------------------

static void
wipe(struct slice *bytes)
{
    if (bytes->data) {
        explicit_bzero(unconst(bytes->data), bytes->len);
        mem_free(unconst(bytes->data));
    }
    *bytes = slice_of(NULL, 0);
}

struct jwt_keys *
jwt_keys_ref(struct jwt_keys *keys)
{
    if (keys)
        atomic_fetch_add_explicit(&keys->refs, 1, memory_order_relaxed);
    return keys;
}

void
jwt_keys_unref(struct jwt_keys *keys)
{
    if (!keys)
        return;
    uint32_t refs = atomic_fetch_sub_explicit(&keys->refs, 1, memory_order_acq_rel);
    must(refs > 0);
    if (refs > 1)
        return;
    for (uint32_t i = 0; i < keys->count; i++) {
        wipe(&keys->keys[i].bytes);
        wipe(&keys->keys[i].kid);
    }
    mem_free(keys);
}

uint32_t
jwt_keys_count(const struct jwt_keys *keys)
{
    must(keys->count >= 1 && keys->count <= JWT_KEYS_MAX);
    return keys->count;
}

const char *
jwt_keys_note(const struct jwt_keys *keys)
{
    return keys->note.text;
}

// ---- What makes a key ---------------------------------------------------------------------------

static struct slice
without_zeros(struct slice number)
{
    while (number.len > 0 && number.data[0] == 0)
        number = slice_of(number.data + 1, number.len - 1);
    return number;
}

err_t
jwt_key_rsa(struct slice modulus, struct slice exponent, struct jwt_key *key,
            struct file_problem *ret_problem)
{
    modulus = without_zeros(modulus);
    exponent = without_zeros(exponent);
    uint32_t bits = modulus.len * 8;
    for (uint8_t first = modulus.len > 0 ? modulus.data[0] : 0x80; !(first & 0x80); first <<= 1)
        bits--;
    if (bits < JWT_RSA_BITS_MIN || bits > JWT_RSA_BITS_MAX)
        return file_fail(ret_problem, "an RSA key of %u bits; %u to %u are taken", bits,
                         JWT_RSA_BITS_MIN, JWT_RSA_BITS_MAX);
    if (!(modulus.data[modulus.len - 1] & 1))
        return file_fail(ret_problem, "an RSA key with an even modulus, which no key has");
    uint64_t e = exponent.len <= sizeof(uint32_t) ? 0 : UINT64_MAX;
    for (uint32_t i = 0; i < exponent.len && e < UINT32_MAX; i++)
        e = e << 8 | exponent.data[i];
    // Small exponents have been the way into many a sloppy check, long ones cost time.
    if (e < 65537 || e > UINT32_MAX || !(e & 1))
        return file_fail(ret_problem, "an RSA key with a public exponent that is even, less than "
                                      "65537 or longer than 32 bits");
    key->kind = JWT_KEY_RSA;
    key->exponent = (uint32_t)e;
    key->bytes = modulus;
    return OK;
}

// What a key of this kind and length is for.
static uint32_t
algs_of(const struct jwt_key *key)
{
    switch (key->kind) {
    case JWT_KEY_RSA:
        must(key->bytes.len * 8 >= JWT_RSA_BITS_MIN && key->bytes.len * 8 <= JWT_RSA_BITS_MAX);
        return JWT_BIT(JWT_RS256);
    case JWT_KEY_P256:
        must(key->bytes.len == 64);
        return JWT_BIT(JWT_ES256);
    case JWT_KEY_ED25519:
        must(key->bytes.len == 32);
        return JWT_BIT(JWT_EDDSA);
    case JWT_KEY_SECRET:
        break;
    }
    // A secret is at least as long as the hash [RFC 7518 section 3.2].
    uint32_t algs = key->bytes.len >= 32 ? JWT_BIT(JWT_HS256) : 0;
    algs |= key->bytes.len >= 48 ? JWT_BIT(JWT_HS384) : 0;
    algs |= key->bytes.len >= 64 ? JWT_BIT(JWT_HS512) : 0;
    return algs;
}

static struct slice
copy(struct slice bytes)
{
    if (!bytes.data)
        return bytes;
    uint8_t *p = mem_alloc((size_t)bytes.len + 1);
    memcpy(p, bytes.data, bytes.len);
    return slice_of(p, bytes.len);
}

err_t
jwt_keys_add(struct jwt_keys *keys, const struct jwt_key *key, struct file_problem *ret_problem)
{
    must(keys->count <= JWT_KEYS_MAX && key->bytes.data != NULL);
    if (keys->count == JWT_KEYS_MAX)
        return file_fail(ret_problem, "more than %u keys", JWT_KEYS_MAX);
    if (key->kind == JWT_KEY_SECRET &&
        (key->bytes.len < JWT_SECRET_MIN || key->bytes.len > JWT_SECRET_MAX))
        return file_fail(ret_problem,
                         "a secret of %u bytes; %u to %u are taken, as random as can be",
                         key->bytes.len, JWT_SECRET_MIN, JWT_SECRET_MAX);
    if (key->kid.len > JWT_KID_MAX)
        return file_fail(ret_problem, "a kid of %u bytes; at most %u are taken", key->kid.len,
                         JWT_KID_MAX);
    uint32_t algs = algs_of(key) & key->algs;
    if (algs == 0)
        return file_fail(ret_problem, "an alg that is not for a key of its kind and length");
    if (!jwt_key_usable(key))
        return file_fail(ret_problem, "a key that is no point of its curve");
    struct jwt_key *to = &keys->keys[keys->count++];
    *to = *key;
    to->algs = algs;
    to->bytes = copy(key->bytes);
    to->kid = copy(key->kid);
    must(to->bytes.data != NULL && to->bytes.len > 0);
    return OK;
}

// ---- Files --------------------------------------------------------------------------------------

static bool
is_blank(uint8_t c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static bool
begins_with(struct slice text, const char *prefix)
{
    size_t len = strlen(prefix);
    return text.len >= len && memcmp(text.data, prefix, len) == 0;
}

static err_t
add_secret(struct jwt_keys *keys, struct slice secret, struct file_problem *ret_problem)
{
    struct jwt_key key = {.kind = JWT_KEY_SECRET, .algs = JWT_ANY_ALG, .bytes = secret};
    return jwt_keys_add(keys, &key, ret_problem);
}

static err_t
add_base64(struct jwt_keys *keys, struct slice text, struct file_problem *ret_problem)
{
    uint32_t room = (uint32_t)base64_decoded_max(text.len), len;
    uint8_t *secret = mem_alloc(room);
    err_t err = ERR_MALFORMED;
    for (enum base64_kind kind = BASE64_PADDED; kind <= BASE64_URL && err != OK; kind++)
        err = base64_decode(kind, text, secret, &len);
    err = err == OK ? add_secret(keys, slice_of(secret, len), ret_problem)
                    : file_fail(ret_problem, "what follows base64: is not base64");
    explicit_bzero(secret, room);
    mem_free(secret);
    return err;
}

static err_t
from_line(struct jwt_keys *keys, struct slice text, struct file_problem *ret_problem)
{
    if (text.len > 0 && text.data[text.len - 1] == '\n')
        text.len--;
    if (text.len > 0 && text.data[text.len - 1] == '\r')
        text.len--;
    if (begins_with(text, "base64:"))
        return add_base64(keys, slice_of(text.data + 7, text.len - 7), ret_problem);
    if (text.len == 0)
        return file_fail(ret_problem, "it is empty; a JWK Set, PEM or a secret was expected");
    for (uint32_t i = 0; i < text.len; i++)
        if (text.data[i] == '\n' || text.data[i] == '\0')
            return file_fail(ret_problem, "neither a JWK Set nor PEM nor one line with a secret; "
                                          "write base64: before a secret that is not a line");
    return add_secret(keys, text, ret_problem);
}

static err_t
from_text(struct jwt_keys *keys, struct slice text, struct file_problem *ret_problem)
{
    struct slice begin = text;
    while (begin.len > 0 && is_blank(begin.data[0]))
        begin = slice_of(begin.data + 1, begin.len - 1);
    if (begins_with(begin, "{"))
        return jwt_keys_from_set(keys, text, ret_problem);
    if (text.len > 0 && memmem(text.data, text.len, "-----BEGIN ", 11) != NULL)
        return jwt_keys_from_pem(keys, text, ret_problem);
    return from_line(keys, text, ret_problem);
}

// The library looks at the processor at its first use, without a lock (digest.h): that is here,
// before the threads have the keys.
static void
use_digests_once(void)
{
    uint8_t digest[DIGEST_LEN_MAX];
    digest_of(DIGEST_SHA256, slice_of(NULL, 0), slice_of(NULL, 0), digest);
    digest_of(DIGEST_SHA512, slice_of(NULL, 0), slice_of(NULL, 0), digest);
}

err_t
jwt_keys_parse(const char *name, struct slice text, struct jwt_keys **ret_keys,
               struct file_problem *ret_problem)
{
    must(name != NULL && ret_keys != NULL);
    use_digests_once();
    struct jwt_keys *keys = mem_zalloc(sizeof *keys);
    atomic_store(&keys->refs, 1);
    struct file_problem problem;
    err_t err = from_text(keys, text, &problem);
    must(err != OK || keys->count > 0);
    if (err != OK) {
        jwt_keys_unref(keys);
        return file_fail(ret_problem, "%s: %s", name, problem.text);
    }
    *ret_keys = keys;
    return OK;
}

err_t
jwt_keys_read(const char *path, struct jwt_keys **ret_keys, struct file_problem *ret_problem)
{
    struct secret_file file;
    err_t err = secret_file_read(path, JWT_KEYS_BYTES_MAX, &file, ret_problem);
    if (err != OK)
        return err;
    err = jwt_keys_parse(path, slice_of(file.data, file.len), ret_keys, ret_problem);
    secret_file_free(&file);
    return err;
}

// ---- Choice -------------------------------------------------------------------------------------

static bool
fits(const struct jwt_key *key, enum jwt_alg alg, struct slice kid)
{
    if (!(key->algs & JWT_BIT(alg)))
        return false;
    return !kid.data || !key->kid.data || slice_equal(kid, key->kid);
}

err_t
jwt_keys_verify(const struct jwt_keys *keys, enum jwt_alg alg, struct slice kid, struct slice text,
                struct slice signature)
{
    must(alg < JWT_ALGS && keys->count >= 1 && keys->count <= JWT_KEYS_MAX);
    uint32_t fitting = 0;
    for (uint32_t i = 0; i < keys->count; i++)
        fitting += fits(&keys->keys[i], alg, kid);
    if (fitting == 0)
        return ERR_NOT_FOUND;
    if (fitting > JWT_TRIES_MAX)
        return ERR_FULL;
    for (uint32_t i = 0; i < keys->count; i++)
        if (fits(&keys->keys[i], alg, kid) && jwt_key_verify(&keys->keys[i], alg, text, signature))
            return OK;
    return ERR_BAD_CREDENTIALS;
}
