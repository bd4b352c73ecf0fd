// test_access_users_edit.c - a password file's text before and after.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/access/users.h"
#include "core/access/users_edit.h"
#include "tests/unit/test_access_passwords.h"

#define ANNA "anna:" HASH_MOSQUITTO_PBKDF2
#define BERT "bert:" HASH_ARGON2ID

static void
assert_fresh(struct users_edit *edit, const char *expected)
{
    cr_assert_eq(edit->fresh.len, strlen(expected), "%s", (const char *)edit->fresh.data);
    cr_assert(memcmp(edit->fresh.data, expected, edit->fresh.len) == 0, "%s",
              (const char *)edit->fresh.data);
    secret_file_free(&edit->fresh);
}

static struct users_edit
edit_of(const char *text)
{
    return (struct users_edit){.name = "passwd", .text = slice_str(text)};
}

static void
set(const char *text, const char *expected, uint32_t changed)
{
    struct users_edit edit = edit_of(text);
    err_t err = users_edit_set(&edit, slice_str("anna"), slice_str(HASH_SHA512_64));
    cr_assert_eq(err, OK, "%s", edit.problem.text);
    cr_assert_eq(edit.changed, changed);
    assert_fresh(&edit, expected);
}

static void
remove_anna(const char *text, const char *expected, uint32_t changed)
{
    struct users_edit edit = edit_of(text);
    err_t err = users_edit_remove(&edit, slice_str("anna"));
    cr_assert_eq(err, OK, "%s", edit.problem.text);
    cr_assert_eq(edit.changed, changed);
    assert_fresh(&edit, expected);
}

#define ANNA_NOW "anna:" HASH_SHA512_64 "\n"

Test(users_edit, a_user_is_added_at_the_end)
{
    set("", ANNA_NOW, 0);
    set("# nobody\n\n", "# nobody\n\n" ANNA_NOW, 0);
    set(BERT "\n", BERT "\n" ANNA_NOW, 0);
    set(BERT, BERT "\n" ANNA_NOW, 0);
    set(" " BERT " \r\n", " " BERT " \r\n" ANNA_NOW, 0);
}

Test(users_edit, a_user_is_changed_where_it_stands)
{
    set(ANNA "\n" BERT "\n", ANNA_NOW BERT "\n", 1);
    set(BERT "\n#\n" ANNA, BERT "\n#\n" ANNA_NOW, 1);
    set(" anna :" HASH_MOSQUITTO_PBKDF2 "\r\n" BERT "\n", ANNA_NOW BERT "\n", 1);
    set(ANNA "\n" BERT "\n" ANNA "\n", ANNA_NOW BERT "\n", 2); // once
    set("anna:forgotten\n" BERT "\n", ANNA_NOW BERT "\n", 1);  // what was wrong is so no more
}

Test(users_edit, a_user_is_removed)
{
    remove_anna(ANNA "\n", "", 1);
    remove_anna(BERT "\n" ANNA, BERT "\n", 1);
    remove_anna(ANNA "\n# anna:x\n" BERT "\n", "# anna:x\n" BERT "\n", 1);
    remove_anna(BERT "\n", BERT "\n", 0);
    remove_anna("annanas:" HASH_ARGON2ID "\n", "annanas:" HASH_ARGON2ID "\n", 0);
}

Test(users_edit, a_file_that_is_none_is_left_alone)
{
    struct users_edit edit = edit_of("listener 1883\n");
    cr_assert_eq(users_edit_set(&edit, slice_str("anna"), slice_str(HASH_SHA512_64)), ERR_CONFIG);
    cr_assert_str_eq(edit.problem.text, "passwd:1: no colon; name:hash expected");
    cr_assert_null(edit.fresh.data);
    edit = edit_of(ANNA "\nbert:secret\n");
    cr_assert_eq(users_edit_remove(&edit, slice_str("anna")), ERR_CONFIG);
    cr_assert(strstr(edit.problem.text, "passwd:1: a password that is not hashed"));
    cr_assert_null(edit.fresh.data);
}

Test(users_edit, plain_text_is_hashed_and_hashes_stay)
{
    static const char text[] = "# file\n" ANNA "\n\nbert: colon:in it \r\ncarl:x";
    struct users_edit edit = edit_of(text);
    struct password_hash form = password_hash_default(PASSWORD_SHA512);
    err_t err = users_edit_upgrade(&edit, &form);
    cr_assert_eq(err, OK, "%s", edit.problem.text);
    cr_assert_eq(edit.changed, 2);
    cr_assert(memcmp(edit.fresh.data, "# file\n" ANNA "\n\nbert:$6$", strlen(ANNA) + 17) == 0);
    struct users *users;
    char problem[256];
    err = users_parse("fresh", slice_of(edit.fresh.data, edit.fresh.len), &users, problem,
                      sizeof problem);
    cr_assert_eq(err, OK, "%s", problem);
    cr_assert_eq(users_count(users), 3);
    cr_assert_eq(users_check(users, slice_str("anna"), slice_str("open sesame")), USERS_GOOD);
    cr_assert_eq(users_check(users, slice_str("bert"), slice_str("colon:in it")), USERS_GOOD);
    cr_assert_eq(users_check(users, slice_str("carl"), slice_str("x")), USERS_GOOD);
    users_unref(users);
    secret_file_free(&edit.fresh);
}

Test(users_edit, what_cannot_be_hashed_is_named)
{
    struct password_hash form = password_hash_default(PASSWORD_SHA512);
    struct users_edit edit = edit_of("bert:x\nanna:$7$101$AAAA\n");
    cr_assert_eq(users_edit_upgrade(&edit, &form), ERR_CONFIG);
    cr_assert(strstr(edit.problem.text, "passwd:2: a damaged hash"));
    cr_assert_null(edit.fresh.data);
    edit = edit_of("bert:x\nanna:\n");
    cr_assert_eq(users_edit_upgrade(&edit, &form), ERR_CONFIG);
    cr_assert(strstr(edit.problem.text, "passwd:2: no hash"));
    edit = edit_of("bert:x\nbert:y\n");
    cr_assert_eq(users_edit_upgrade(&edit, &form), ERR_CONFIG);
    cr_assert(strstr(edit.problem.text, "passwd:2: the user \"bert\""));
}

Test(users_edit, two_hashes_of_one_password_differ)
{
    struct password_hash form = password_hash_default(PASSWORD_SHA512);
    char a[PASSWORD_TEXT_MAX], b[PASSWORD_TEXT_MAX];
    err_t err = password_hash_make(&form, slice_str("x"), a);
    cr_assert_eq(err, OK);
    err = password_hash_make(&form, slice_str("x"), b);
    cr_assert_eq(err, OK);
    cr_assert_str_neq(a, b);
}
