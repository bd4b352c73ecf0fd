// test_access_verified.c - what is kept of good passwords, and for how long.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/access/verified.h"

static struct verified *
verified_for(uint32_t entries, uint64_t ttl_ms)
{
    struct verified *verified;
    err_t err = verified_new(entries, ttl_ms, &verified);
    cr_assert_eq(err, OK);
    return verified;
}

static struct verified_login
login(uint64_t mark, const char *user, const char *password)
{
    return (struct verified_login){mark, slice_str(user), slice_str(password)};
}

static bool
has(struct verified *verified, uint64_t mark, const char *user, const char *password)
{
    struct verified_login asked = login(mark, user, password);
    return verified_has(verified, &asked, 1000);
}

Test(verified, the_same_login_and_no_other)
{
    struct verified *verified = verified_for(64, 500);
    struct verified_login anna = login(7, "anna", "secret");
    cr_assert_not(has(verified, 7, "anna", "secret"));
    verified_add(verified, &anna, 1000);
    cr_assert(has(verified, 7, "anna", "secret"));
    cr_assert_not(has(verified, 8, "anna", "secret")); // another line in the file
    cr_assert_not(has(verified, 0, "anna", "secret")); // no line
    cr_assert_not(has(verified, 7, "bert", "secret"));
    cr_assert_not(has(verified, 7, "anna", "secre"));
    cr_assert_not(has(verified, 7, "anna", "secret "));
    cr_assert_not(has(verified, 7, "annas", "ecret"));
    cr_assert_not(has(verified, 7, "anna", ""));
    verified_free(verified);
}

Test(verified, it_ends_and_being_found_does_not_prolong_it)
{
    struct verified *verified = verified_for(64, 500);
    struct verified_login anna = login(7, "anna", "secret");
    verified_add(verified, &anna, 1000);
    cr_assert(verified_has(verified, &anna, 1499));
    cr_assert_not(verified_has(verified, &anna, 1500));
    verified_add(verified, &anna, 2000);
    cr_assert(verified_has(verified, &anna, 2499));
    verified_expire(verified, 2499);
    cr_assert(verified_has(verified, &anna, 2499));
    verified_expire(verified, 2500);
    cr_assert_not(verified_has(verified, &anna, 2499)); // wiped
    verified_add(verified, &anna, 3000);
    verified_expire(verified, 3500);
    cr_assert_not(verified_has(verified, &anna, 3000));
    verified_free(verified);
}

Test(verified, it_is_bounded_and_the_newest_stay)
{
    struct verified *verified = verified_for(64, 100000);
    char user[16];
    unsigned kept = 0;
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(user, sizeof user, "user%u", i);
        struct verified_login one = login(i + 1, user, "x");
        verified_add(verified, &one, 1000 + i);
        cr_assert(verified_has(verified, &one, 1000 + i));
    }
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(user, sizeof user, "user%u", i);
        struct verified_login one = login(i + 1, user, "x");
        kept += verified_has(verified, &one, 2000);
    }
    cr_assert(kept > 32 && kept <= 64, "%u", kept);
    verified_free(verified);
}

Test(verified, one_that_is_added_again_takes_no_second_place)
{
    struct verified *verified = verified_for(4, 1000); // a single set
    struct verified_login a = login(1, "a", "x"), b = login(2, "b", "x");
    verified_add(verified, &a, 1000);
    for (unsigned i = 0; i < 10; i++)
        verified_add(verified, &b, 1001 + i);
    cr_assert(verified_has(verified, &a, 1100));
    cr_assert(verified_has(verified, &b, 1100));
    verified_free(verified);
}

Test(verified, off)
{
    struct verified *none = verified_for(0, 1000);
    cr_assert_null(none);
    cr_assert_null(verified_for(64, 0));
    struct verified_login anna = login(7, "anna", "secret");
    verified_add(none, &anna, 0);
    cr_assert_not(verified_has(none, &anna, 0));
    verified_expire(none, 0);
    verified_free(none);
}
