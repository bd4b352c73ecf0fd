// test_access_unknown.c - an unknown user costs what a wrong password costs.
//
// This program has a users.c of its own, built to call counted_password_hash_check instead of
// password_hash_check (CMakeLists.txt), so what it really has computed is seen without a clock.
#undef password_hash_check
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/access/users.h"
#include "tests/unit/test_access_passwords.h"

bool counted_password_hash_check(const struct password_hash *hash, struct slice password);

static unsigned calls;
static struct password_hash last; // that was checked
static uint32_t last_password_len;

bool
counted_password_hash_check(const struct password_hash *hash, struct slice password)
{
    calls++;
    last = *hash;
    last_password_len = password.len;
    return password_hash_check(hash, password);
}

static struct users *
parse(const char *text)
{
    struct users *users = NULL;
    char problem[256] = "";
    err_t err = users_parse("passwd", slice_str(text), &users, problem, sizeof problem);
    cr_assert_eq(err, OK, "%s", problem);
    return users;
}

// What a check of this user and a wrong password has computed.
static struct password_hash
cost_of(const struct users *users, const char *user, enum users_verdict expected)
{
    calls = 0;
    enum users_verdict verdict = users_check(users, slice_str(user), slice_str("wrong"));
    cr_assert_eq(verdict, expected);
    cr_assert_eq(calls, 1);
    cr_assert_eq(last_password_len, 5);
    return last;
}

static bool
costs_the_same(struct password_hash a, struct password_hash b)
{
    return a.form == b.form && a.iterations == b.iterations && a.memory_kib == b.memory_kib &&
           a.lanes == b.lanes && a.salt_len == b.salt_len && a.hash_len == b.hash_len;
}

Test(unknown, costs_what_a_wrong_password_costs)
{
    static const char *const hashes[] = {
        HASH_MOSQUITTO_PBKDF2, HASH_MOSQUITTO_SHA512, HASH_PBKDF2_64, HASH_SHA512_64,
        HASH_SCRAM_SHA256,     HASH_SCRAM_SHA512,     HASH_ARGON2ID,  HASH_ARGON2ID_LANES};
    for (unsigned i = 0; i < ARRAY_LEN(hashes); i++) {
        char text[1024];
        (void)snprintf(text, sizeof text, "anna:%s\nbert:%s\n", hashes[i], hashes[i]);
        struct users *users = parse(text);
        struct password_hash wrong = cost_of(users, "anna", USERS_WRONG);
        cr_assert(costs_the_same(wrong, cost_of(users, "nobody", USERS_UNKNOWN)));
        cr_assert(costs_the_same(wrong, cost_of(users, "", USERS_UNKNOWN)));
        users_unref(users);
    }
}

// One of three users has a dear hash, so one of three unknown names has, and always the same ones.
Test(unknown, in_a_mixed_file_costs_are_shared_out_as_in_the_file)
{
    static const char text[] =
        "a:" HASH_MOSQUITTO_PBKDF2 "\nb:" HASH_MOSQUITTO_SHA512 "\nc:" HASH_MOSQUITTO_SHA512 "\n";
    struct users *users = parse(text), *again = parse(text);
    unsigned dear = 0;
    for (unsigned i = 0; i < 3000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "name%u", i);
        struct password_hash cost = cost_of(users, name, USERS_UNKNOWN);
        dear += cost.form == PASSWORD_PBKDF2;
        if (i % 10 == 0)
            cr_assert(costs_the_same(cost, cost_of(again, name, USERS_UNKNOWN)));
    }
    cr_assert(dear > 850 && dear < 1150, "%u of 3000", dear);
    users_unref(users);
    users_unref(again);
}

Test(unknown, nothing_is_computed_without_a_password)
{
    struct users *users = parse("anna:" HASH_MOSQUITTO_PBKDF2 "\n");
    calls = 0;
    cr_assert_eq(users_check(users, slice_str("anna"), slice_of(NULL, 0)), USERS_WRONG);
    cr_assert_eq(users_check(users, slice_str("bert"), slice_of(NULL, 0)), USERS_UNKNOWN);
    cr_assert_eq(calls, 0);
    users_unref(users);
}
