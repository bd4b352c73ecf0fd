// test_access_password_hash.c - hashes that others made, and texts that are none.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/access/password_hash.h"
#include "tests/unit/test_access_passwords.h"

static bool
matches(const char *text, struct slice password)
{
    uint8_t bytes[PASSWORD_BYTES_MAX];
    struct password_hash hash;
    char problem[256] = "";
    err_t err = password_hash_parse(slice_str(text), bytes, &hash, problem, sizeof problem);
    cr_assert_eq(err, OK, "%s", problem);
    char again[PASSWORD_TEXT_MAX];
    uint32_t len = password_hash_write(&hash, again);
    cr_assert_str_eq(again, text);
    cr_assert_eq(len, strlen(text));
    return password_hash_check(&hash, password);
}

// The problem, which must not hold the text's end.
static const char *
refusal(const char *text)
{
    static char problem[256];
    uint8_t bytes[PASSWORD_BYTES_MAX];
    struct password_hash hash;
    err_t err = password_hash_parse(slice_str(text), bytes, &hash, problem, sizeof problem);
    cr_assert_eq(err, ERR_CONFIG, "%s", text);
    return problem;
}

static bool
refused(const char *text, const char *why)
{
    const char *problem = refusal(text);
    if (strstr(problem, why))
        return true;
    cr_log_error("%s: %s", text, problem);
    return false;
}

Test(password_hash, what_others_made_is_checked_and_written_alike)
{
    static const struct {
        const char *text, *password;
    } vectors[] = {
        {HASH_MOSQUITTO_PBKDF2, "open sesame"},
        {HASH_MOSQUITTO_SHA512, "pass:w\"ord"},
        {HASH_PBKDF2_64, "open sesame"},
        {HASH_SHA512_64, "open sesame"},
        {HASH_SCRAM_SHA256, "open sesame"},
        {HASH_SCRAM_SHA512, "open sesame"},
        {HASH_RFC7677, "pencil"},
        {HASH_ARGON2ID, "password"},
        {HASH_ARGON2ID_LANES, "password"},
        {HASH_ARGON2ID_LARGE, "password"},
    };
    for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
        struct slice password = slice_str(vectors[i].password);
        cr_assert(matches(vectors[i].text, password), "%s", vectors[i].text);
        password.len--;
        cr_assert_not(matches(vectors[i].text, password), "%s", vectors[i].text);
        cr_assert_not(matches(vectors[i].text, slice_of("", 0)), "%s", vectors[i].text);
    }
}

Test(password_hash, any_bytes_are_a_password)
{
    cr_assert(matches(HASH_WITH_NUL, slice_of("a\0b", 3)));
    cr_assert_not(matches(HASH_WITH_NUL, slice_of("a", 1)));
    cr_assert_not(matches(HASH_WITH_NUL, slice_of("a\0c", 3)));
    cr_assert(matches(HASH_OF_NOTHING, slice_of("", 0)));
    cr_assert_not(matches(HASH_OF_NOTHING, slice_of(" ", 1)));
    cr_assert_not(matches(HASH_ARGON2ID, slice_of("password\0", 9)));
}

Test(password_hash, one_bit_of_any_part_matters)
{
    static const char *const texts[] = {HASH_SHA512_64, HASH_ARGON2ID, HASH_SCRAM_SHA256,
                                        HASH_MOSQUITTO_PBKDF2};
    static const char *const passwords[] = {"open sesame", "password", "open sesame",
                                            "open sesame"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        uint8_t bytes[PASSWORD_BYTES_MAX];
        struct password_hash hash;
        char problem[256];
        err_t err = password_hash_parse(slice_str(texts[i]), bytes, &hash, problem, sizeof problem);
        cr_assert_eq(err, OK);
        struct slice password = slice_str(passwords[i]);
        cr_assert(password_hash_check(&hash, password));
        for (uint32_t at = 0; at < hash.salt_len + hash.hash_len; at += 7) {
            bytes[at] ^= 1;
            cr_assert_not(password_hash_check(&hash, password), "%s: byte %u", texts[i], at);
            bytes[at] ^= 1;
        }
        hash.iterations++;
        cr_assert_eq(password_hash_check(&hash, password), hash.form == PASSWORD_SHA512);
    }
}

Test(password_hash, other_texts_are_refused_with_the_reason)
{
    cr_assert(refused("", "no hash"));
    cr_assert(refused("hunter2", "not hashed"));
    cr_assert(refused("$5$saltsalt$xyz", "unknown kind"));
    cr_assert(refused("$argon2i$v=19$m=256,t=2,p=1$c29tZXNhbHQ$AAAA", "unknown kind"));
    cr_assert(refused("$7", "unknown kind"));
    cr_assert(refused("$7$", "iterations"));
    cr_assert(refused("$7$0$AAECAwQFBgcICQoL$AAAA", "iterations"));
    cr_assert(refused("$7$-1$AAECAwQFBgcICQoL$AAAA", "iterations"));
    cr_assert(refused("$7$0101$AAECAwQFBgcICQoL$AAAA", "iterations"));
    cr_assert(refused("$7$10000001$AAECAwQFBgcICQoL$AAAA", "1 to 10000000"));
    cr_assert(refused("$7$99999999999999999999999$AAECAwQFBgcICQoL$AAAA", "iterations"));
    cr_assert(refused("$7$101", "salt"));
    cr_assert(refused("$7$101$$AAAA", "salt"));
    cr_assert(refused("$7$101$AAEC$AAAA", "salt; base64 of 8 to 64 bytes"));
    cr_assert(refused("$7$101$AAEC AwQFBgcI$AAAA", "salt"));
    cr_assert(refused("$7$101$AAECAwQFBgcICQoL$AAAA", "hash; base64 of 64 bytes"));
    cr_assert(refused("$7$101$AAECAwQFBgcICQoL", "hash"));
    cr_assert(refused("$6$AAECAwQFBgcICQoL$", "hash"));
    cr_assert(refused(HASH_MOSQUITTO_PBKDF2 "$", "bad hash"));
    cr_assert(refused(HASH_MOSQUITTO_PBKDF2 "$AAAA", "bad hash"));
    cr_assert(refused(HASH_SCRAM_SHA256 "$", "bad server key"));
    cr_assert(refused(HASH_ARGON2ID "$", "bad hash"));
    cr_assert(refused(HASH_MOSQUITTO_PBKDF2 "x", "bad hash"));
}

Test(password_hash, bad_parameters_of_argon2id_are_refused)
{
#define REST "$c29tZXNhbHQ$nf65EOgLrQMR/uIPnA4rEsF5h7TKyQwu9U1bMCHGi/4"
    cr_assert(refused("$argon2id$m=256,t=2,p=1" REST, "version"));
    cr_assert(refused("$argon2id$v=16$m=256,t=2,p=1" REST, "version"));
    cr_assert(refused("$argon2id$v=19$t=2,m=256,p=1" REST, "parameters"));
    cr_assert(refused("$argon2id$v=19$m=256,t=2" REST, "parameters"));
    cr_assert(refused("$argon2id$v=19$m=256,t=2,p=1,data=AA" REST, "lanes"));
    cr_assert(refused("$argon2id$v=19$m=256,t=0,p=1" REST, "passes"));
    cr_assert(refused("$argon2id$v=19$m=256,t=2,p=17" REST, "lanes"));
    cr_assert(refused("$argon2id$v=19$m=7,t=2,p=1" REST, "at least 8"));
    cr_assert(refused("$argon2id$v=19$m=127,t=2,p=16" REST, "at least 128"));
    cr_assert(refused("$argon2id$v=19$m=262145,t=1,p=1" REST, "memory"));
    cr_assert(refused("$argon2id$v=19$m=262144,t=17,p=1" REST, "too much work"));
    cr_assert(refused("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ=$nf65", "salt"));
    cr_assert(refused("$argon2id$v=19$m=256,t=2,p=1$c29tZXNhbHQ$nf65", "16 to 64"));
#undef REST
}

Test(password_hash, bad_scram_keys_are_refused)
{
    cr_assert(refused("$scram-sha-256$4096$AAECAwQFBgcICQoLDA0ODw==$AAAA", "stored key"));
    cr_assert(refused("$scram-sha-256$4096$AAECAwQFBgcICQoLDA0ODw==$"
                      "Pm7gH3lMvt263KHgyx3Hqj+x+8qGDuIOBpSMohrErwE=",
                      "server key"));
    cr_assert(refused("$scram-sha-1$4096$AAECAwQFBgcICQoLDA0ODw==$AAAA", "unknown kind"));
}

Test(password_hash, a_refusal_does_not_repeat_a_password)
{
    cr_assert_null(strstr(refusal("hunter2"), "hunter2"));
    cr_assert_null(strstr(refusal("$7$hunter2"), "hunter2"));
    cr_assert_null(strstr(refusal("$argon2id$hunter2"), "hunter2"));
    cr_assert_null(strstr(refusal("$hunter2$"), "hunter2"));
}

Test(password_hash, a_pbkdf2_hash_gives_the_keys_of_scram)
{
    // "open sesame" with the salt and iterations of HASH_SCRAM_SHA512
    uint8_t bytes[PASSWORD_BYTES_MAX], other[PASSWORD_BYTES_MAX];
    struct password_hash scram, pbkdf2;
    char problem[256];
    err_t err =
        password_hash_parse(slice_str(HASH_SCRAM_SHA512), bytes, &scram, problem, sizeof problem);
    cr_assert_eq(err, OK);
    pbkdf2 = scram;
    pbkdf2.form = PASSWORD_PBKDF2;
    pbkdf2.hash_len = 64;
    pbkdf2.bytes = other;
    memcpy(other, bytes, scram.salt_len);
    password_hash_compute(&pbkdf2, slice_str("open sesame"), other + scram.salt_len);
    uint8_t keys[2][2][DIGEST_LEN_MAX];
    password_hash_scram_keys(&scram, keys[0][0], keys[0][1]);
    password_hash_scram_keys(&pbkdf2, keys[1][0], keys[1][1]);
    cr_assert(memcmp(keys[0], keys[1], sizeof keys[0]) == 0);
    cr_assert(password_hash_does_scram(&pbkdf2, DIGEST_SHA512));
    cr_assert_not(password_hash_does_scram(&pbkdf2, DIGEST_SHA256));
}

Test(password_hash, new_ones_are_within_the_bounds)
{
    for (unsigned form = 0; form < PASSWORD_FORMS; form++) {
        uint8_t bytes[PASSWORD_BYTES_MAX] = {1, 2, 3};
        struct password_hash hash = password_hash_default((enum password_form)form), again;
        hash.bytes = bytes;
        password_hash_compute(&hash, slice_str("new"), bytes + hash.salt_len);
        char text[PASSWORD_TEXT_MAX], problem[256] = "";
        uint32_t len = password_hash_write(&hash, text);
        uint8_t read[PASSWORD_BYTES_MAX];
        err_t err = password_hash_parse(slice_of(text, len), read, &again, problem, sizeof problem);
        cr_assert_eq(err, OK, "%s", problem);
        cr_assert_eq(again.form, form);
        cr_assert(password_hash_check(&again, slice_str("new")));
        cr_assert_not(password_hash_check(&again, slice_str("old")));
    }
}
