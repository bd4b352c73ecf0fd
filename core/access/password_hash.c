// password_hash.c - a password as a password file holds it: five forms.
#include "core/access/password_hash.h"

#include <argon2.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/random.h>

#include "core/base/mem.h"

#include "core/access/base64.h"

#define ARGON2_VERSION_TEXT "v=19"
#define FIELD_MAX           64u // bytes of a salt, a hash or a key

static const char *const prefixes[PASSWORD_FORMS] = {
    [PASSWORD_SHA512] = "$6$",
    [PASSWORD_ARGON2ID] = "$argon2id$",
    [PASSWORD_SCRAM_SHA256] = "$scram-sha-256$",
    [PASSWORD_SCRAM_SHA512] = "$scram-sha-512$",
    [PASSWORD_PBKDF2] = "$7$",
};

static enum digest
digest_in(enum password_form form)
{
    return form == PASSWORD_SCRAM_SHA256 ? DIGEST_SHA256 : DIGEST_SHA512;
}

static bool
is_scram(enum password_form form)
{
    return form == PASSWORD_SCRAM_SHA256 || form == PASSWORD_SCRAM_SHA512;
}

// ---- Reading ------------------------------------------------------------------------------------

struct reader {
    struct slice rest;
    struct password_hash *hash;
    uint8_t *bytes;
    uint32_t len; // of bytes
    char *problem;
    size_t size;
};

static err_t PRINTF_LIKE(2) fail(struct reader *reader, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    (void)vsnprintf(reader->problem, reader->size, format, args);
    va_end(args);
    return ERR_CONFIG;
}

static bool
take_prefix(struct slice *rest, const char *prefix)
{
    size_t len = strlen(prefix);
    if (rest->len < len || memcmp(rest->data, prefix, len) != 0)
        return false;
    *rest = slice_of(rest->data + len, rest->len - len);
    return true;
}

// Up to the separator, which goes, or the end.
static struct slice
take_field(struct slice *rest, char separator)
{
    const uint8_t *end = rest->len > 0 ? memchr(rest->data, separator, rest->len) : NULL;
    struct slice field = slice_of(rest->data, end ? (size_t)(end - rest->data) : rest->len);
    uint32_t used = field.len + (end ? 1 : 0);
    must(used <= rest->len);
    *rest = slice_of(rest->data + used, rest->len - used);
    return field;
}

static err_t
read_number(struct reader *reader, const char *what, struct slice text, uint32_t max, uint32_t *ret)
{
    uint64_t value = 0;
    bool good = text.len > 0 && text.data[0] != '0';
    for (uint32_t i = 0; i < text.len && good; i++) {
        value = value * 10 + (uint64_t)(text.data[i] - '0');
        good = text.data[i] >= '0' && text.data[i] <= '9' && value <= max;
    }
    if (!good)
        return fail(reader, "bad %s; a number from 1 to %u expected", what, max);
    *ret = (uint32_t)value;
    return OK;
}

// Decoded, behind what is in bytes already.
static err_t
read_bytes(struct reader *reader, const char *what, struct slice text, uint32_t min, uint32_t max)
{
    must(max <= FIELD_MAX);
    enum base64_kind kind =
        reader->hash->form == PASSWORD_ARGON2ID ? BASE64_UNPADDED : BASE64_PADDED;
    uint8_t decoded[FIELD_MAX + 8];
    uint32_t len = 0;
    bool good = base64_decoded_max(text.len) <= sizeof decoded &&
                base64_decode(kind, text, decoded, &len) == OK && len >= min && len <= max;
    if (good) {
        must(reader->len + len <= PASSWORD_BYTES_MAX);
        memcpy(reader->bytes + reader->len, decoded, len);
        reader->len += len;
    }
    explicit_bzero(decoded, sizeof decoded);
    if (good)
        return OK;
    if (min == max)
        return fail(reader, "bad %s; base64 of %u bytes expected", what, min);
    return fail(reader, "bad %s; base64 of %u to %u bytes expected", what, min, max);
}

// "m=KIB,t=PASSES,p=LANES", in this order [the PHC string format].
static err_t
read_argon2_numbers(struct reader *reader)
{
    struct password_hash *hash = reader->hash;
    if (!slice_equal(take_field(&reader->rest, '$'), slice_str(ARGON2_VERSION_TEXT)))
        return fail(reader, "another version of argon2id; " ARGON2_VERSION_TEXT " expected");
    struct slice list = take_field(&reader->rest, '$');
    struct slice memory = take_field(&list, ','), passes = take_field(&list, ','), lanes = list;
    if (!take_prefix(&memory, "m=") || !take_prefix(&passes, "t=") || !take_prefix(&lanes, "p="))
        return fail(reader, "bad parameters of argon2id; m=KIB,t=PASSES,p=LANES expected");
    err_t err = read_number(reader, "memory m", memory, PASSWORD_MEMORY_MAX, &hash->memory_kib);
    if (err == OK)
        err = read_number(reader, "passes t", passes, PASSWORD_PASSES_MAX, &hash->iterations);
    if (err == OK)
        err = read_number(reader, "lanes p", lanes, PASSWORD_LANES_MAX, &hash->lanes);
    if (err != OK)
        return err;
    if (hash->memory_kib < ARGON2_SYNC_POINTS * 2 * hash->lanes)
        return fail(reader, "memory m=%u for p=%u; at least %u expected", hash->memory_kib,
                    hash->lanes, ARGON2_SYNC_POINTS * 2 * hash->lanes);
    if ((uint64_t)hash->memory_kib * hash->iterations > PASSWORD_WORK_MAX)
        return fail(reader, "m=%u with t=%u is too much work; at most %u, multiplied, expected",
                    hash->memory_kib, hash->iterations, PASSWORD_WORK_MAX);
    return OK;
}

static err_t
read_form(struct reader *reader)
{
    for (unsigned form = 0; form < PASSWORD_FORMS; form++) {
        reader->hash->form = (enum password_form)form;
        if (take_prefix(&reader->rest, prefixes[form]))
            return OK;
    }
    static const char *const expected =
        "$argon2id$, $7$, $6$, $scram-sha-256$ or $scram-sha-512$ expected";
    if (reader->rest.len == 0)
        return fail(reader, "no hash of a password; %s", expected);
    if (reader->rest.data[0] == '$')
        return fail(reader, "an unknown kind of hash; %s", expected);
    return fail(reader, "a password that is not hashed; %s (ternmq-passwd -U hashes them)",
                expected);
}

// What stands between the prefix and the salt.
static err_t
read_numbers(struct reader *reader)
{
    struct password_hash *hash = reader->hash;
    if (hash->form == PASSWORD_SHA512)
        return OK;
    if (hash->form == PASSWORD_ARGON2ID)
        return read_argon2_numbers(reader);
    return read_number(reader, "number of iterations", take_field(&reader->rest, '$'),
                       PASSWORD_ITERATIONS_MAX, &hash->iterations);
}

// The rest, up to its end.
static err_t
read_hash(struct reader *reader)
{
    enum password_form form = reader->hash->form;
    uint32_t len = digest_len(digest_in(form));
    if (form == PASSWORD_ARGON2ID)
        return read_bytes(reader, "hash", reader->rest, 16, FIELD_MAX);
    if (!is_scram(form))
        return read_bytes(reader, "hash", reader->rest, len, len);
    err_t err = read_bytes(reader, "stored key", take_field(&reader->rest, '$'), len, len);
    return err == OK ? read_bytes(reader, "server key", reader->rest, len, len) : err;
}

err_t
password_hash_parse(struct slice text, uint8_t *bytes, struct password_hash *ret_hash,
                    char *problem, size_t size)
{
    must(bytes != NULL && size > 0);
    struct password_hash hash = {.bytes = bytes};
    struct reader reader = {.rest = text, .hash = &hash, .size = size};
    reader.bytes = bytes;
    reader.problem = problem;
    err_t err = read_form(&reader);
    if (err == OK)
        err = read_numbers(&reader);
    if (err == OK)
        err = read_bytes(&reader, "salt", take_field(&reader.rest, '$'), PASSWORD_SALT_MIN,
                         PASSWORD_SALT_MAX);
    hash.salt_len = reader.len;
    if (err == OK)
        err = read_hash(&reader);
    if (err != OK)
        return err;
    hash.hash_len = reader.len - hash.salt_len;
    must(hash.hash_len > 0 && hash.hash_len <= PASSWORD_HASH_MAX);
    *ret_hash = hash;
    return OK;
}

// ---- Writing ------------------------------------------------------------------------------------

static uint32_t
append_bytes(const struct password_hash *hash, const uint8_t *bytes, uint32_t len, char *dst)
{
    enum base64_kind kind = hash->form == PASSWORD_ARGON2ID ? BASE64_UNPADDED : BASE64_PADDED;
    return base64_encode(kind, slice_of(bytes, len), dst);
}

uint32_t
password_hash_write(const struct password_hash *hash, char dst[PASSWORD_TEXT_MAX])
{
    must(hash->form < PASSWORD_FORMS && hash->salt_len <= PASSWORD_SALT_MAX);
    must(hash->hash_len <= PASSWORD_HASH_MAX);
    int n = 0;
    if (hash->form == PASSWORD_SHA512)
        n = snprintf(dst, PASSWORD_TEXT_MAX, "%s", prefixes[hash->form]);
    else if (hash->form == PASSWORD_ARGON2ID)
        n = snprintf(dst, PASSWORD_TEXT_MAX, "%s" ARGON2_VERSION_TEXT "$m=%u,t=%u,p=%u$",
                     prefixes[hash->form], hash->memory_kib, hash->iterations, hash->lanes);
    else
        n = snprintf(dst, PASSWORD_TEXT_MAX, "%s%u$", prefixes[hash->form], hash->iterations);
    must(n > 0);
    uint32_t len = (uint32_t)n;
    len += append_bytes(hash, hash->bytes, hash->salt_len, dst + len);
    const uint8_t *rest = hash->bytes + hash->salt_len;
    uint32_t part = is_scram(hash->form) ? hash->hash_len / 2 : hash->hash_len;
    for (uint32_t at = 0; at < hash->hash_len; at += part) {
        dst[len++] = '$';
        len += append_bytes(hash, rest + at, part, dst + len);
    }
    must(len < PASSWORD_TEXT_MAX);
    return len;
}

// ---- Computing ----------------------------------------------------------------------------------

// argon2's memory comes from where all memory comes from, so that it does not fail either.
static int
argon2_take(uint8_t **ret_memory, size_t size)
{
    *ret_memory = mem_alloc(size);
    return 0;
}

static void
argon2_give(uint8_t *memory, size_t size)
{
    (void)size; // the library has wiped it
    mem_free(memory);
}

static void
compute_argon2id(const struct password_hash *hash, struct slice password, uint8_t *ret)
{
    argon2_context context = {
        .outlen = hash->hash_len,
        .pwd = unconst(password.data),
        .pwdlen = password.len,
        .salt = unconst(hash->bytes),
        .saltlen = hash->salt_len,
        .t_cost = hash->iterations,
        .m_cost = hash->memory_kib,
        .lanes = hash->lanes,
        .threads = 1, // one after the other: how many hash at a time is the caller's choice
        .version = ARGON2_VERSION_13,
        .allocate_cbk = argon2_take,
        .free_cbk = argon2_give,
        .flags = ARGON2_DEFAULT_FLAGS,
    };
    context.out = ret;
    int wrong = argon2_ctx(&context, Argon2_id);
    must(wrong == ARGON2_OK); // all that it checks has been read within its bounds
}

// RFC 5802 section 3.
static void
scram_keys(enum digest digest, const uint8_t *salted_password, uint8_t *ret_stored_key,
           uint8_t *ret_server_key)
{
    uint8_t client_key[DIGEST_LEN_MAX];
    uint32_t len = digest_len(digest);
    struct slice key = slice_of(salted_password, len), none = slice_of(NULL, 0);
    digest_hmac(digest, key, slice_str("Client Key"), none, client_key);
    digest_of(digest, slice_of(client_key, len), none, ret_stored_key);
    digest_hmac(digest, key, slice_str("Server Key"), none, ret_server_key);
    explicit_bzero(client_key, sizeof client_key);
}

void
password_hash_compute(const struct password_hash *hash, struct slice password, uint8_t *ret)
{
    struct slice salt = slice_of(hash->bytes, hash->salt_len);
    enum digest digest = digest_in(hash->form);
    uint8_t salted[DIGEST_LEN_MAX];
    switch (hash->form) {
    case PASSWORD_SHA512:
        digest_of(DIGEST_SHA512, password, salt, ret);
        return;
    case PASSWORD_ARGON2ID:
        compute_argon2id(hash, password, ret);
        return;
    case PASSWORD_PBKDF2:
        digest_pbkdf2(digest, password, salt, hash->iterations, ret);
        return;
    case PASSWORD_SCRAM_SHA256:
    case PASSWORD_SCRAM_SHA512:
        digest_pbkdf2(digest, password, salt, hash->iterations, salted);
        scram_keys(digest, salted, ret, ret + digest_len(digest));
        explicit_bzero(salted, sizeof salted);
        return;
    case PASSWORD_FORMS:
        break;
    }
    must(false);
}

bool
password_hash_check(const struct password_hash *hash, struct slice password)
{
    uint8_t computed[PASSWORD_HASH_MAX];
    must(hash->hash_len > 0 && hash->hash_len <= sizeof computed);
    password_hash_compute(hash, password, computed);
    bool good = digest_equal(computed, hash->bytes + hash->salt_len, hash->hash_len);
    explicit_bzero(computed, sizeof computed);
    return good;
}

// ---- SCRAM --------------------------------------------------------------------------------------

bool
password_hash_does_scram(const struct password_hash *hash, enum digest digest)
{
    if (digest == DIGEST_SHA256)
        return hash->form == PASSWORD_SCRAM_SHA256;
    return hash->form == PASSWORD_SCRAM_SHA512 || hash->form == PASSWORD_PBKDF2;
}

void
password_hash_scram_keys(const struct password_hash *hash, uint8_t *ret_stored_key,
                         uint8_t *ret_server_key)
{
    must(is_scram(hash->form) || hash->form == PASSWORD_PBKDF2);
    enum digest digest = digest_in(hash->form);
    const uint8_t *bytes = hash->bytes + hash->salt_len;
    if (hash->form == PASSWORD_PBKDF2) {
        scram_keys(digest, bytes, ret_stored_key, ret_server_key);
        return;
    }
    memcpy(ret_stored_key, bytes, digest_len(digest));
    memcpy(ret_server_key, bytes + digest_len(digest), digest_len(digest));
}

// ---- New ones -----------------------------------------------------------------------------------

// argon2id: of the settings that OWASP holds for equal, the one that takes the least memory (7 MiB
// for each thread that checks) and time (14 ms here). PBKDF2: OWASP's, 60 ms. SCRAM: the client
// pays for the iterations, which may be a small device, so little more than the least of RFC 7677.
struct password_hash
password_hash_default(enum password_form form)
{
    static const struct password_hash defaults[PASSWORD_FORMS] = {
        [PASSWORD_SHA512] = {.hash_len = 64},
        [PASSWORD_ARGON2ID] = {.iterations = 5, .memory_kib = 7168, .lanes = 1, .hash_len = 32},
        [PASSWORD_SCRAM_SHA256] = {.iterations = 10000, .hash_len = 64},
        [PASSWORD_SCRAM_SHA512] = {.iterations = 10000, .hash_len = 128},
        [PASSWORD_PBKDF2] = {.iterations = 210000, .hash_len = 64},
    };
    must(form < PASSWORD_FORMS);
    struct password_hash hash = defaults[form];
    hash.form = form;
    // mosquitto 2.0 reads salts of 12 bytes alone in its own forms.
    hash.salt_len = form == PASSWORD_SHA512 || form == PASSWORD_PBKDF2 ? 12 : 16;
    return hash;
}

bool
password_form_of(const char *name, enum password_form *ret_form)
{
    static const char *const names[PASSWORD_FORMS] = {
        [PASSWORD_SHA512] = "sha512",
        [PASSWORD_ARGON2ID] = "argon2id",
        [PASSWORD_SCRAM_SHA256] = "scram-sha-256",
        [PASSWORD_SCRAM_SHA512] = "scram-sha-512",
        [PASSWORD_PBKDF2] = "sha512-pbkdf2",
    };
    for (unsigned form = 0; form < PASSWORD_FORMS; form++) {
        if (strcmp(name, names[form]) == 0) {
            *ret_form = (enum password_form)form;
            return true;
        }
    }
    return false;
}

err_t
password_hash_make(const struct password_hash *parameters, struct slice password,
                   char dst[PASSWORD_TEXT_MAX])
{
    uint8_t bytes[PASSWORD_BYTES_MAX];
    struct password_hash hash = *parameters;
    must(hash.salt_len >= PASSWORD_SALT_MIN && hash.salt_len + hash.hash_len <= sizeof bytes);
    if (getrandom(bytes, hash.salt_len, 0) != (ssize_t)hash.salt_len)
        return ERR_IO;
    hash.bytes = bytes;
    password_hash_compute(&hash, password, bytes + hash.salt_len);
    password_hash_write(&hash, dst);
    explicit_bzero(bytes, sizeof bytes);
    return OK;
}
