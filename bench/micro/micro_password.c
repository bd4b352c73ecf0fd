// micro_password.c - what it costs to check who comes, by kind of hash.
//
// CPU time of this thread. Prints `name value unit` lines; unknown/wrong is the ratio of an unknown
// user's cost to a wrong password's, alternated so that noise meets both.
#include <stdio.h>
#include <time.h>

#include "core/base/mem.h"

#include "core/access/scram.h"
#include "core/access/users.h"
#include "core/access/verified.h"

#define BUDGET_NS 400e6 // of each kind
#define USERS     100000u
#define ROUNDS    200000u

static double
cpu_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct users *
parse(const char *text)
{
    struct users *users;
    char problem[256];
    err_t err = users_parse("users", slice_str(text), &users, problem, sizeof problem);
    must(err == OK);
    return users;
}

static struct users *
one_user(const struct password_hash *parameters)
{
    char hash[PASSWORD_TEXT_MAX], text[PASSWORD_TEXT_MAX + 8];
    err_t err = password_hash_make(parameters, slice_str("password"), hash);
    must(err == OK);
    (void)snprintf(text, sizeof text, "anna:%s\n", hash);
    return parse(text);
}

static double
time_check(const struct users *users, const char *user, enum users_verdict expected)
{
    double begin = cpu_ns();
    enum users_verdict verdict = users_check(users, slice_str(user), slice_str("passwort"));
    must(verdict == expected);
    return cpu_ns() - begin;
}

static void
measure_form(const char *name, enum password_form form, uint32_t iterations)
{
    struct password_hash parameters = password_hash_default(form);
    parameters.iterations = iterations ? iterations : parameters.iterations;
    struct users *users = one_user(&parameters);
    (void)time_check(users, "anna", USERS_WRONG);
    double wrong = 0, unknown = 0;
    unsigned rounds = 0;
    while (wrong + unknown < BUDGET_NS) {
        wrong += time_check(users, "anna", USERS_WRONG);
        unknown += time_check(users, "nobody", USERS_UNKNOWN);
        rounds++;
    }
    (void)printf("%s %.1f us\n", name, wrong / rounds / 1e3);
    (void)printf("%s-unknown/wrong %.4f ratio\n", name, unknown / wrong);
    users_unref(users);
}

static void
measure_scram(const char *name, enum digest digest, enum password_form form)
{
    struct password_hash parameters = password_hash_default(form);
    struct users *users = one_user(&parameters);
    char final[512];
    double start = 0, finish = 0;
    for (unsigned i = 0; i < ROUNDS / 10; i++) {
        struct scram_reply first, last;
        double begin = cpu_ns();
        err_t err = scram_start(users, digest, slice_str("n,,n=anna,r=clientsnonce"), &first);
        must(err == OK);
        start += cpu_ns() - begin;
        // A proof that is none: checked as any other is.
        const char *end = memchr(first.message.data, ',', first.message.len);
        int len =
            snprintf(final, sizeof final, "c=biws,%.*s,p=%.*s",
                     (int)(end - (const char *)first.message.data),
                     (const char *)first.message.data, digest == DIGEST_SHA256 ? 43 : 86,
                     "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
                     "AAAAAAAAAA");
        len += snprintf(final + len, sizeof final - (size_t)len, "%s",
                        digest == DIGEST_SHA256 ? "=" : "==");
        begin = cpu_ns();
        err = scram_finish(users, first.exchange, slice_of(final, (size_t)len), &last);
        must(err == ERR_BAD_CREDENTIALS);
        finish += cpu_ns() - begin;
        scram_reply_clear(&first);
    }
    (void)printf("%s-start %.2f us\n%s-finish %.2f us\n", name, start / (ROUNDS / 10) / 1e3, name,
                 finish / (ROUNDS / 10) / 1e3);
    users_unref(users);
}

static void
measure_file(void)
{
    struct password_hash parameters = password_hash_default(PASSWORD_SHA512);
    char hash[PASSWORD_TEXT_MAX];
    err_t err = password_hash_make(&parameters, slice_str("password"), hash);
    must(err == OK);
    size_t size = USERS * (strlen(hash) + 16), len = 0;
    char *text = mem_alloc(size);
    for (unsigned i = 0; i < USERS; i++)
        len += (size_t)snprintf(text + len, size - len, "device%u:%s\n", i, hash);
    double begin = cpu_ns();
    struct users *users = parse(text);
    (void)printf("file-line %.2f us\n", (cpu_ns() - begin) / USERS / 1e3);
    users_unref(users);
    mem_free(text);
}

static void
measure_verified(void)
{
    struct verified *verified;
    err_t err = verified_new(VERIFIED_ENTRIES, VERIFIED_TTL_MS, &verified);
    must(err == OK && verified != NULL);
    struct verified_login login = {7, slice_str("anna"), slice_str("password")};
    verified_add(verified, &login, 0);
    double begin = cpu_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        bool found = verified_has(verified, &login, 1);
        must(found);
    }
    (void)printf("found-good-before %.2f us\n", (cpu_ns() - begin) / ROUNDS / 1e3);
    verified_free(verified);
}

int
main(void)
{
    measure_form("argon2id", PASSWORD_ARGON2ID, 0);
    measure_form("pbkdf2-210000", PASSWORD_PBKDF2, 0);
    measure_form("pbkdf2-1000", PASSWORD_PBKDF2, 1000);
    measure_form("pbkdf2-101", PASSWORD_PBKDF2, 101);
    measure_form("sha512", PASSWORD_SHA512, 0);
    measure_form("scram-sha-256-10000", PASSWORD_SCRAM_SHA256, 0);
    measure_form("scram-sha-512-10000", PASSWORD_SCRAM_SHA512, 0);
    measure_scram("exchange-sha-256", DIGEST_SHA256, PASSWORD_SCRAM_SHA256);
    measure_scram("exchange-sha-512", DIGEST_SHA512, PASSWORD_SCRAM_SHA512);
    measure_scram("exchange-pbkdf2", DIGEST_SHA512, PASSWORD_PBKDF2);
    measure_verified();
    measure_file();
    return 0;
}
