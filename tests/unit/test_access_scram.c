// test_access_scram.c - exchanges of SCRAM as the RFC and an independent client have them.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access/base64.h"
#include "core/access/scram.h"
#include "tests/unit/test_access_passwords.h"

#define FILE_OF_ALL                    \
    "user:" HASH_RFC7677 "\n"          \
    "other:" HASH_SCRAM_SHA512 "\n"    \
    "anna:" HASH_MOSQUITTO_PBKDF2 "\n" \
    "a,b=c:" HASH_SCRAM_SHA256 "\n"    \
    "argon:" HASH_ARGON2ID "\n"

static struct users *
parse(const char *text)
{
    struct users *users = NULL;
    char problem[256] = "";
    err_t err = users_parse("passwd", slice_str(text), &users, problem, sizeof problem);
    cr_assert_eq(err, OK, "%s", problem);
    return users;
}

static void
assert_text(struct slice bytes, const char *expected)
{
    cr_assert_eq(bytes.len, strlen(expected), "%.*s", (int)bytes.len, (const char *)bytes.data);
    cr_assert(memcmp(bytes.data, expected, bytes.len) == 0, "%.*s", (int)bytes.len,
              (const char *)bytes.data);
}

struct vector {
    enum digest digest;
    const char *client_first, *server_nonce, *server_first, *client_final, *server_final, *user;
};

// RFC 7677 section 3; the others by Python's hashlib and hmac.
static const struct vector vectors[] = {
    {DIGEST_SHA256, "n,,n=user,r=rOprNGfwEbeRWgbNEkqO", "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
     "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
     "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
     "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
     "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=", "user"},
    {DIGEST_SHA512, "n,,n=other,r=fyko+d2lbbFgONRv9qkxdawL", "3rfcNHYJY1ZVvWVs7j",
     "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=AAECAwQFBgcICQoLDA0ODw==,i=4096",
     "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,"
     "p=Z/iIU5E2KZSaha0vDn/TvhV4w7JJzo6agoIonjaDFO84WYCdjqlxwbLFO7SMRvzMnrTY6daKBTYpaBU5QNzGCQ==",
     "v=UYXOlXaQ11B3tnn6Y+/M/ULz7Xgp+Oe7tH++F92NMlCZiwMf71h27ysIljmCuTwx8wRhPEE0cPHYQZu2hUOfSg==",
     "other"},
    // mosquitto's own hash; a client that could bind channels; an extension
    {DIGEST_SHA512, "y,a=anna,n=anna,r=abc", "XYZ", "r=abcXYZ,s=aAJXhpbplSH++9x0,i=101",
     "c=eSxhPWFubmEs,r=abcXYZ,x=ext,p=LBqnc1S5PWZ2uQNAcLtTOkCxdNiF/"
     "hlz2HbAsZku0T5vWO8fGMeKQ4zccRUJZQjH9nXQ3xrOuBNaM4DSOAe4Jg==",
     "v=QAsWq4ICifPmFRKcW4kzPN5UhkwakL5SNuljmgjtBFyKCveWL4nNytmBX/"
     "Z8CjvIbKtooRBtzzJcsLerUSKsuQ==",
     "anna"},
    // an escaped name
    {DIGEST_SHA256, "n,,n=a=2Cb=3Dc,r=abc", "XYZ", "r=abcXYZ,s=AAECAwQFBgcICQoLDA0ODw==,i=4096",
     "c=biws,r=abcXYZ,p=CMgxC/7SUyQVce6QV1P6GT6CIserpXkz42IysUy8qVI=",
     "v=FQ8gZvTxueoETi26RgTv+btcCKPEIclRuwJ/75izJMM=", "a,b=c"},
};

Test(scram, exchanges_of_others)
{
    struct users *users = parse(FILE_OF_ALL);
    for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
        const struct vector *vector = &vectors[i];
        struct scram_reply first, final;
        err_t err = scram_start_with(users, vector->digest, slice_str(vector->client_first),
                                     slice_str(vector->server_nonce), &first);
        cr_assert_eq(err, OK);
        assert_text(first.message, vector->server_first);
        assert_text(first.user, vector->user);
        err = scram_finish(users, first.exchange, slice_str(vector->client_final), &final);
        cr_assert_eq(err, OK, "vector %u", i);
        assert_text(final.message, vector->server_final);
        assert_text(final.user, vector->user);
        cr_assert_eq(final.mark, users_mark(users, slice_str(vector->user)));
        cr_assert_null(final.exchange.data);
        scram_reply_clear(&first);
        scram_reply_clear(&final);
    }
    users_unref(users);
}

// ---- A client that answers what the server really sends -----------------------------------------

struct login {
    enum digest digest;
    const char *user, *password;
    bool spoil; // one bit of the proof
};

// client-final-message for this server-first-message, as somebody who knows the password makes it.
static uint32_t
client_final(const struct login *login, const char *bare, struct slice server_first, char *dst)
{
    char text[512], nonce[256], salt_text[128], input[2048];
    cr_assert_lt(server_first.len, sizeof text);
    memcpy(text, server_first.data, server_first.len);
    text[server_first.len] = '\0';
    unsigned iterations;
    cr_assert_eq(sscanf(text, "r=%255[^,],s=%127[^,],i=%u", nonce, salt_text, &iterations), 3);
    uint8_t salt[128], salted[64], client_key[64], stored_key[64], signature[64];
    uint32_t salt_len, len = digest_len(login->digest);
    err_t err = base64_decode(BASE64_PADDED, slice_str(salt_text), salt, &salt_len);
    cr_assert_eq(err, OK);
    digest_pbkdf2(login->digest, slice_str(login->password), slice_of(salt, salt_len), iterations,
                  salted);
    struct slice none = {0};
    digest_hmac(login->digest, slice_of(salted, len), slice_str("Client Key"), none, client_key);
    digest_of(login->digest, slice_of(client_key, len), none, stored_key);
    (void)snprintf(input, sizeof input, "%s,%s,c=biws,r=%s", bare, text, nonce);
    digest_hmac(login->digest, slice_of(stored_key, len), slice_str(input), none, signature);
    for (uint32_t i = 0; i < len; i++)
        signature[i] ^= client_key[i];
    signature[len - 1] ^= login->spoil;
    int n = snprintf(dst, 512, "c=biws,r=%s,p=", nonce);
    return (uint32_t)n + base64_encode(BASE64_PADDED, slice_of(signature, len), dst + n);
}

static err_t
log_in(const struct users *users, const struct login *login)
{
    char bare[256], first_text[300], final_text[1024];
    (void)snprintf(bare, sizeof bare, "n=%s,r=clientnonce", login->user);
    (void)snprintf(first_text, sizeof first_text, "n,,%s", bare);
    struct scram_reply first, final;
    err_t err = scram_start(users, login->digest, slice_str(first_text), &first);
    cr_assert_eq(err, OK);
    uint32_t len = client_final(login, bare, first.message, final_text);
    err = scram_finish(users, first.exchange, slice_of(final_text, len), &final);
    if (err == OK) {
        assert_text(final.user, login->user);
        scram_reply_clear(&final);
    }
    scram_reply_clear(&first);
    return err;
}

Test(scram, the_password_decides)
{
    struct users *users = parse(FILE_OF_ALL);
    cr_assert_eq(log_in(users, &(struct login){DIGEST_SHA256, "user", "pencil", false}), OK);
    cr_assert_eq(log_in(users, &(struct login){DIGEST_SHA512, "anna", "open sesame", false}), OK);
    static const struct login bad[] = {
        {DIGEST_SHA256, "user", "pencils", false},   {DIGEST_SHA256, "user", "", false},
        {DIGEST_SHA256, "user", "pencil", true},     {DIGEST_SHA512, "user", "pencil", false},
        {DIGEST_SHA256, "nobody", "pencil", false},  {DIGEST_SHA512, "argon", "password", false},
        {DIGEST_SHA256, "argon", "password", false}, {DIGEST_SHA256, "anna", "open sesame", false},
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(log_in(users, &bad[i]), ERR_BAD_CREDENTIALS, "login %u", i);
    users_unref(users);
}

Test(scram, our_nonce_is_another_one_each_time)
{
    struct users *users = parse(FILE_OF_ALL);
    struct scram_reply a, b;
    err_t err = scram_start(users, DIGEST_SHA256, slice_str("n,,n=user,r=abc"), &a);
    cr_assert_eq(err, OK);
    err = scram_start(users, DIGEST_SHA256, slice_str("n,,n=user,r=abc"), &b);
    cr_assert_eq(err, OK);
    cr_assert_eq(a.message.len, b.message.len);
    cr_assert(memcmp(a.message.data, "r=abc", 5) == 0);
    cr_assert_not(slice_equal(a.message, b.message));
    // One's proof is nothing in the other.
    struct login login = {DIGEST_SHA256, "user", "pencil", false};
    char text[1024];
    struct scram_reply final;
    uint32_t len = client_final(&login, "n=user,r=abc", a.message, text);
    cr_assert_eq(scram_finish(users, b.exchange, slice_of(text, len), &final), ERR_PROTOCOL);
    cr_assert_eq(scram_finish(users, a.exchange, slice_of(text, len), &final), OK);
    scram_reply_clear(&a);
    scram_reply_clear(&b);
    scram_reply_clear(&final);
    users_unref(users);
}

Test(scram, an_unknown_user_looks_like_one_who_is_there)
{
    struct users *users = parse("user:" HASH_RFC7677 "\n");
    struct scram_reply known, unknown, again;
    err_t err =
        scram_start_with(users, DIGEST_SHA256, slice_str("n,,n=user,r=a"), slice_str("b"), &known);
    cr_assert_eq(err, OK);
    err = scram_start_with(users, DIGEST_SHA256, slice_str("n,,n=ghost,r=a"), slice_str("b"),
                           &unknown);
    cr_assert_eq(err, OK);
    err =
        scram_start_with(users, DIGEST_SHA256, slice_str("n,,n=ghost,r=a"), slice_str("b"), &again);
    cr_assert_eq(err, OK);
    cr_assert_eq(known.message.len, unknown.message.len);
    cr_assert(slice_equal(unknown.message, again.message)); // the same salt, asked twice
    cr_assert_not(slice_equal(known.message, unknown.message));
    cr_assert(memcmp(unknown.message.data + unknown.message.len - 7, ",i=4096", 7) == 0);
    scram_reply_clear(&known);
    scram_reply_clear(&unknown);
    scram_reply_clear(&again);
    users_unref(users);
}

Test(scram, a_line_that_changed_meanwhile_lets_nobody_in)
{
    struct users *before = parse("user:" HASH_RFC7677 "\n");
    struct users *changed = parse("user:" HASH_SCRAM_SHA256 "\n");
    struct users *gone = parse("anna:" HASH_RFC7677 "\n");
    const struct vector *vector = &vectors[0];
    struct scram_reply first, final;
    err_t err = scram_start_with(before, vector->digest, slice_str(vector->client_first),
                                 slice_str(vector->server_nonce), &first);
    cr_assert_eq(err, OK);
    struct slice message = slice_str(vector->client_final);
    cr_assert_eq(scram_finish(changed, first.exchange, message, &final), ERR_BAD_CREDENTIALS);
    cr_assert_eq(scram_finish(gone, first.exchange, message, &final), ERR_BAD_CREDENTIALS);
    cr_assert_eq(scram_finish(before, first.exchange, message, &final), OK);
    scram_reply_clear(&first);
    scram_reply_clear(&final);
    users_unref(before);
    users_unref(changed);
    users_unref(gone);
}

// ---- What is refused ----------------------------------------------------------------------------

Test(scram, bad_first_messages)
{
    static const struct {
        const char *text;
        err_t err;
    } bad[] = {
        {"", ERR_PROTOCOL},
        {"n", ERR_PROTOCOL},
        {"n,", ERR_PROTOCOL},
        {"n,,", ERR_PROTOCOL},
        {",,n=user,r=abc", ERR_PROTOCOL},
        {"x,,n=user,r=abc", ERR_PROTOCOL},
        {"nn,,n=user,r=abc", ERR_PROTOCOL},
        {"p=tls-unique,,n=user,r=abc", ERR_BAD_AUTH_METHOD},
        {"p=,,n=user,r=abc", ERR_BAD_AUTH_METHOD},
        {"p,,n=user,r=abc", ERR_PROTOCOL},
        {"n,a=admin,n=user,r=abc", ERR_NOT_AUTHORIZED},
        {"n,a=,n=user,r=abc", ERR_NOT_AUTHORIZED},
        {"n,user,n=user,r=abc", ERR_PROTOCOL},
        {"n,,m=ext,n=user,r=abc", ERR_BAD_AUTH_METHOD},
        {"n,,r=abc,n=user", ERR_PROTOCOL},
        {"n,,n=user", ERR_PROTOCOL},
        {"n,,n=user,", ERR_PROTOCOL},
        {"n,,n=user,r=", ERR_PROTOCOL},
        {"n,,n=user,r=a b", ERR_PROTOCOL},
        {"n,,n=user,r=a\x7f", ERR_PROTOCOL},
        {"n,,n=user,r=\xc3\xbc", ERR_PROTOCOL},
        {"n,,n=user,r=abc,", ERR_PROTOCOL},
        {"n,,n=user,r=abc,x", ERR_PROTOCOL},
        {"n,,n=user,r=abc,1=x", ERR_PROTOCOL},
        {"n,,n=user,r=abc,,x=y", ERR_PROTOCOL},
        {"n,,n=,r=abc", ERR_PROTOCOL},
        {"n,,n=us=er,r=abc", ERR_PROTOCOL},
        {"n,,n=user=,r=abc", ERR_PROTOCOL},
        {"n,,n=user=2,r=abc", ERR_PROTOCOL},
        {"n,,n=user=2c,r=abc", ERR_PROTOCOL},
        {"n,,n=us\xff,r=abc", ERR_PROTOCOL},
        {"N,,n=user,r=abc", ERR_PROTOCOL},
        {"n,,N=user,r=abc", ERR_PROTOCOL},
    };
    struct users *users = parse(FILE_OF_ALL);
    struct scram_reply reply;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(scram_start(users, DIGEST_SHA256, slice_str(bad[i].text), &reply), bad[i].err,
                     "%s", bad[i].text);
    err_t err = scram_start(users, DIGEST_SHA256, slice_of("n,,n=us\0r,r=abc", 15), &reply);
    cr_assert_eq(err, ERR_PROTOCOL);
    err = scram_start(users, DIGEST_SHA256, slice_str("n,,n=user,r=abc,x=1,Y=2"), &reply);
    cr_assert_eq(err, OK);
    scram_reply_clear(&reply);
    users_unref(users);
}

Test(scram, lengths_are_bounded)
{
    struct users *users = parse(FILE_OF_ALL);
    struct scram_reply reply;
    char text[SCRAM_MESSAGE_MAX + 1];
    memset(text, 'n', sizeof text);
    memcpy(text, "n,,n=user,r=", 12);
    err_t err = scram_start(users, DIGEST_SHA256, slice_of(text, 12 + SCRAM_NONCE_MAX), &reply);
    cr_assert_eq(err, OK);
    scram_reply_clear(&reply);
    err = scram_start(users, DIGEST_SHA256, slice_of(text, 12 + SCRAM_NONCE_MAX + 1), &reply);
    cr_assert_eq(err, ERR_PROTOCOL);
    memset(text, 'n', sizeof text);
    memcpy(text, "n,,n=", 5);
    memcpy(text + SCRAM_MESSAGE_MAX - 4, ",r=x", 4);
    err = scram_start(users, DIGEST_SHA256, slice_of(text, SCRAM_MESSAGE_MAX), &reply);
    cr_assert_eq(err, OK);
    struct scram_reply final;
    memset(text, 'c', sizeof text);
    err = scram_finish(users, reply.exchange, slice_of(text, sizeof text), &final);
    cr_assert_eq(err, ERR_PROTOCOL);
    scram_reply_clear(&reply);
    memset(text, 'n', sizeof text);
    memcpy(text, "n,,n=", 5);
    memcpy(text + SCRAM_MESSAGE_MAX - 3, ",r=x", 4);
    err = scram_start(users, DIGEST_SHA256, slice_of(text, sizeof text), &reply);
    cr_assert_eq(err, ERR_PROTOCOL);
    users_unref(users);
}

#define PROOF "p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ="
#define NONCE "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"

Test(scram, bad_final_messages)
{
    static const struct {
        const char *text;
        err_t err;
    } bad[] = {
        {"", ERR_PROTOCOL},
        {"c=biws", ERR_PROTOCOL},
        {"c=biws," NONCE, ERR_PROTOCOL},
        {"c=biws," NONCE ",", ERR_PROTOCOL},
        {"c=biws," NONCE ",p=", ERR_PROTOCOL},
        {"c=biws," NONCE ",p=AAAA", ERR_PROTOCOL},
        {"c=biws," NONCE "," PROOF "x", ERR_PROTOCOL},
        {"c=biws," NONCE "," PROOF ",", ERR_PROTOCOL},
        {"c=biws," NONCE "," PROOF ",x=y", ERR_PROTOCOL},
        {"c=biws," NONCE "," PROOF "," PROOF, ERR_PROTOCOL},
        {"c=eSws," NONCE "," PROOF, ERR_PROTOCOL}, // y where n was said: somebody changed it
        {"c=biwsAAAA," NONCE "," PROOF, ERR_PROTOCOL},
        {"c=," NONCE "," PROOF, ERR_PROTOCOL},
        {NONCE ",c=biws," PROOF, ERR_PROTOCOL},
        {"c=biws,r=rOprNGfwEbeRWgbNEkqO," PROOF, ERR_PROTOCOL},
        {"c=biws," NONCE "x," PROOF, ERR_PROTOCOL},
        {"c=biws,r=," PROOF, ERR_PROTOCOL},
        {"c=biws," NONCE ",x," PROOF, ERR_PROTOCOL},
        {"c=biws," NONCE ",x=y," PROOF, ERR_BAD_CREDENTIALS}, // the proof is of less
        {"c=biws," NONCE ",p=AHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=", ERR_BAD_CREDENTIALS},
    };
    struct users *users = parse(FILE_OF_ALL);
    const struct vector *vector = &vectors[0];
    struct scram_reply first, final;
    err_t err = scram_start_with(users, vector->digest, slice_str(vector->client_first),
                                 slice_str(vector->server_nonce), &first);
    cr_assert_eq(err, OK);
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(scram_finish(users, first.exchange, slice_str(bad[i].text), &final),
                     bad[i].err, "%s", bad[i].text);
    err = scram_finish(users, first.exchange, slice_str("c=biws," NONCE "," PROOF), &final);
    cr_assert_eq(err, OK);
    scram_reply_clear(&first);
    scram_reply_clear(&final);
    users_unref(users);
}

Test(scram, methods_by_name)
{
    enum digest digest;
    cr_assert(scram_method(slice_str("SCRAM-SHA-256"), &digest));
    cr_assert_eq(digest, DIGEST_SHA256);
    cr_assert(scram_method(slice_str("SCRAM-SHA-512"), &digest));
    cr_assert_eq(digest, DIGEST_SHA512);
    cr_assert_not(scram_method(slice_str("SCRAM-SHA-1"), &digest));
    cr_assert_not(scram_method(slice_str("SCRAM-SHA-256-PLUS"), &digest));
    cr_assert_not(scram_method(slice_str("scram-sha-256"), &digest));
    cr_assert_not(scram_method(slice_of(NULL, 0), &digest));
}
