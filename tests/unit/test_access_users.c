// test_access_users.c - password files: what is taken, what is refused, who is who.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access/users.h"
#include "tests/unit/test_access_passwords.h"

static struct users *
parse(const char *text)
{
    struct users *users = NULL;
    char problem[256] = "";
    err_t err = users_parse("passwd", slice_str(text), &users, problem, sizeof problem);
    cr_assert_eq(err, OK, "%s", problem);
    return users;
}

static bool
refused(struct slice text, const char *expected)
{
    struct users *users = NULL;
    char problem[512] = "";
    err_t err = users_parse("passwd", text, &users, problem, sizeof problem);
    cr_assert_eq(err, ERR_CONFIG);
    cr_assert_null(users);
    if (strstr(problem, expected) == problem)
        return true;
    cr_log_error("%s", problem);
    return false;
}

static bool
refused_text(const char *text, const char *expected)
{
    return refused(slice_str(text), expected);
}

static enum users_verdict
check(const struct users *users, const char *user, const char *password)
{
    return users_check(users, slice_str(user), slice_str(password));
}

#define FILE_OF_ALL                                \
    "# everybody\n"                                \
    "anna:" HASH_MOSQUITTO_PBKDF2 "\n"             \
    "\n"                                           \
    "  # nobody\n"                                 \
    "old:" HASH_MOSQUITTO_SHA512 "\r\n"            \
    "new:" HASH_PBKDF2_64 "\n"                     \
    "argon:" HASH_ARGON2ID "\n"                    \
    " name with blanks : " HASH_SCRAM_SHA256 " \n" \
    "+/#:" HASH_SCRAM_SHA512 "\n"                  \
    "J\xc3\xbcrgen:" HASH_WITH_NUL

Test(users, each_form_and_the_right_password)
{
    struct users *users = parse(FILE_OF_ALL);
    cr_assert_eq(users_count(users), 7);
    cr_assert_eq(check(users, "anna", "open sesame"), USERS_GOOD);
    cr_assert_eq(check(users, "old", "pass:w\"ord"), USERS_GOOD);
    cr_assert_eq(check(users, "new", "open sesame"), USERS_GOOD);
    cr_assert_eq(check(users, "argon", "password"), USERS_GOOD);
    cr_assert_eq(check(users, "name with blanks", "open sesame"), USERS_GOOD);
    cr_assert_eq(check(users, "+/#", "open sesame"), USERS_GOOD);
    cr_assert_eq(users_check(users, slice_str("J\xc3\xbcrgen"), slice_of("a\0b", 3)), USERS_GOOD);
    users_unref(users);
}

Test(users, wrong_passwords_and_unknown_users)
{
    struct users *users = parse(FILE_OF_ALL);
    cr_assert_eq(check(users, "anna", "open sesam"), USERS_WRONG);
    cr_assert_eq(check(users, "anna", ""), USERS_WRONG);
    cr_assert_eq(check(users, "old", "open sesame"), USERS_WRONG);
    cr_assert_eq(check(users, "argon", "open sesame"), USERS_WRONG);
    cr_assert_eq(users_check(users, slice_str("J\xc3\xbcrgen"), slice_str("a")), USERS_WRONG);
    cr_assert_eq(check(users, "ann", "open sesame"), USERS_UNKNOWN);
    cr_assert_eq(check(users, "annaa", "open sesame"), USERS_UNKNOWN);
    cr_assert_eq(check(users, "Anna", "open sesame"), USERS_UNKNOWN);
    cr_assert_eq(check(users, "", "open sesame"), USERS_UNKNOWN);
    cr_assert_eq(check(users, " name with blanks ", "open sesame"), USERS_UNKNOWN);
    cr_assert_eq(check(users, "# everybody", "open sesame"), USERS_UNKNOWN);
    users_unref(users);
}

// An unknown name borrows an entry's hash to be as slow, not to be let in with it.
Test(users, an_unknown_user_with_a_password_that_somebody_has_stays_unknown)
{
    struct users *users = parse("anna:" HASH_MOSQUITTO_PBKDF2 "\n");
    cr_assert_eq(check(users, "bert", "open sesame"), USERS_UNKNOWN);
    users_unref(users);
}

Test(users, no_password_is_never_good)
{
    struct users *users = parse("void:" HASH_OF_NOTHING "\n");
    cr_assert_eq(check(users, "void", ""), USERS_GOOD); // an empty one that was sent
    cr_assert_eq(users_check(users, slice_str("void"), slice_of(NULL, 0)), USERS_WRONG);
    cr_assert_eq(users_check(users, slice_str("else"), slice_of(NULL, 0)), USERS_UNKNOWN);
    users_unref(users);
}

Test(users, a_file_without_users_lets_nobody_in)
{
    static const char *const texts[] = {"", "\n", "# anna:x\n\n"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        struct users *users = parse(texts[i]);
        cr_assert_eq(users_count(users), 0);
        cr_assert_eq(check(users, "anna", "x"), USERS_UNKNOWN);
        cr_assert_eq(check(users, "", ""), USERS_UNKNOWN);
        cr_assert_eq(users_mark(users, slice_str("anna")), 0);
        users_unref(users);
    }
}

Test(users, a_bad_line_makes_the_file_bad_and_is_named)
{
#define GOOD "anna:" HASH_MOSQUITTO_PBKDF2 "\n"
    cr_assert(refused_text(GOOD "bert\n", "passwd:2: no colon; name:hash expected"));
    cr_assert(refused_text(GOOD "bert:\n", "passwd:2: no hash of a password; "));
    cr_assert(refused_text(GOOD "bert:  \n", "passwd:2: no hash of a password; "));
    cr_assert(refused_text(GOOD "\n\nbert:secret\n", "passwd:4: a password that is not hashed; "));
    cr_assert(refused_text("bert:$7$101$AAAA\n" GOOD, "passwd:1: bad salt; "));
    cr_assert(refused_text(GOOD ":" HASH_MOSQUITTO_PBKDF2, "passwd:2: no user name "));
    cr_assert(refused_text(GOOD " :" HASH_MOSQUITTO_PBKDF2, "passwd:2: no user name "));
    cr_assert(refused_text(GOOD "b:" HASH_MOSQUITTO_PBKDF2 ":0\n", "passwd:2: bad hash"));
    cr_assert(refused_text(GOOD "b:" HASH_MOSQUITTO_PBKDF2 " # b\n", "passwd:2: bad hash"));
    cr_assert(
        refused_text(GOOD "\xff:" HASH_MOSQUITTO_PBKDF2, "passwd:2: a user name that is not"));
    cr_assert(refused_text(GOOD "a\tb:" HASH_MOSQUITTO_PBKDF2, "passwd:2: a control character"));
    cr_assert(refused_text("\xef\xbb\xbf" GOOD, "passwd:1: a byte order mark"));
    cr_assert(refused_text("anna:$7$10000001$" SALT_64 "$AAAA\n", "passwd:1: bad number of"));
    cr_assert(refused(slice_of("a\0b:$7$", 7), "passwd:1: a user name that is not UTF-8"));
}

Test(users, a_problem_never_shows_a_password)
{
    struct users *users;
    char problem[512];
    err_t err = users_parse("passwd", slice_str("anna:hunter2\n"), &users, problem, sizeof problem);
    cr_assert_eq(err, ERR_CONFIG);
    cr_assert_null(strstr(problem, "hunter2"));
}

Test(users, a_user_that_stands_twice_is_named_with_both_lines)
{
    cr_assert(refused_text(GOOD "bert:" HASH_ARGON2ID "\n# twice\nanna:" HASH_ARGON2ID "\n",
                           "passwd:4: the user \"anna\" stands in line 1, too"));
    cr_assert(refused_text(GOOD "anna :" HASH_MOSQUITTO_PBKDF2 "\n", "passwd:2: the user"));
}

Test(users, a_name_may_be_as_long_as_a_string_and_no_longer)
{
    char *text = mem_alloc(70000);
    memset(text, 'n', USERS_NAME_MAX);
    (void)snprintf(text + USERS_NAME_MAX, 300, ":%s", HASH_MOSQUITTO_SHA512);
    struct users *users = parse(text);
    struct slice name = slice_of(text, USERS_NAME_MAX);
    cr_assert_eq(users_check(users, name, slice_str("pass:w\"ord")), USERS_GOOD);
    users_unref(users);
    memset(text, 'n', USERS_NAME_MAX + 1);
    (void)snprintf(text + USERS_NAME_MAX + 1, 300, ":%s", HASH_MOSQUITTO_SHA512);
    cr_assert(refused_text(text, "passwd:1: a user name of more than 65535 bytes"));
    mem_free(text);
}

Test(users, names_that_no_user_can_have)
{
    cr_assert_null(users_name_problem(slice_str("a+b/c#d")));
    cr_assert_not_null(users_name_problem(slice_str("")));
    cr_assert_not_null(users_name_problem(slice_str("a\nb")));
    cr_assert_not_null(users_name_problem(slice_str("a\x7f")));
    cr_assert_not_null(users_name_problem(slice_str("a\xc3")));
}

Test(users, a_line_and_its_parts)
{
    struct slice name, hash;
    cr_assert_eq(users_line_split(slice_str(""), &name, &hash), USERS_LINE_NONE);
    cr_assert_eq(users_line_split(slice_str(" \r"), &name, &hash), USERS_LINE_NONE);
    cr_assert_eq(users_line_split(slice_str(" # a:b"), &name, &hash), USERS_LINE_NONE);
    cr_assert_eq(users_line_split(slice_str("a"), &name, &hash), USERS_LINE_BAD);
    cr_assert_eq(users_line_split(slice_str(" a b : c:d \r"), &name, &hash), USERS_LINE_USER);
    cr_assert(slice_equal(name, slice_str("a b")) && slice_equal(hash, slice_str("c:d")));
}

Test(users, a_mark_is_of_the_name_and_its_hash)
{
    struct users *before = parse("anna:" HASH_MOSQUITTO_PBKDF2 "\nbert:" HASH_ARGON2ID "\n");
    struct users *after = parse("# more\nbert: " HASH_ARGON2ID "\n"
                                "anna:" HASH_PBKDF2_64 "\ncarl:" HASH_ARGON2ID "\n");
    struct slice anna = slice_str("anna"), bert = slice_str("bert"), carl = slice_str("carl");
    cr_assert_neq(users_mark(before, anna), 0);
    cr_assert_eq(users_mark(before, bert), users_mark(after, bert));
    cr_assert_neq(users_mark(before, anna), users_mark(after, anna));
    cr_assert_neq(users_mark(after, bert), users_mark(after, carl));
    cr_assert_eq(users_mark(before, carl), 0);
    users_unref(before);
    users_unref(after);
}

Test(users, names_are_walked_with_their_marks)
{
    struct users *users = parse(FILE_OF_ALL);
    bool anna = false, old = false;
    for (uint32_t i = 0; i < users_count(users); i++) {
        uint64_t mark;
        struct slice name = users_name(users, i, &mark);
        cr_assert_eq(mark, users_mark(users, name));
        anna = anna || slice_equal(name, slice_str("anna"));
        old = old || slice_equal(name, slice_str("old"));
    }
    cr_assert(anna && old);
    users_unref(users);
}

Test(users, references_are_counted)
{
    struct users *users = parse(GOOD);
    cr_assert_eq(users_ref(users), users);
    users_unref(users);
    cr_assert_eq(check(users, "anna", "open sesame"), USERS_GOOD);
    users_unref(users);
    cr_assert_null(users_ref(NULL));
    users_unref(NULL);
}

// ---- SCRAM --------------------------------------------------------------------------------------

static struct users_scram
scram_of(const struct users *users, enum digest digest, const char *user)
{
    struct users_scram scram;
    users_scram(users, digest, slice_str(user), &scram);
    return scram;
}

Test(users, scram_knows_those_who_can_do_it)
{
    struct users *users = parse(FILE_OF_ALL);
    struct users_scram scram = scram_of(users, DIGEST_SHA256, "name with blanks");
    cr_assert(scram.known);
    cr_assert_eq(scram.mark, users_mark(users, slice_str("name with blanks")));
    cr_assert_eq(scram.iterations, 4096);
    cr_assert_eq(scram.salt_len, 16);
    cr_assert_eq(scram.salt[15], 15);
    cr_assert_eq(scram.stored_key[0], 0x3e);
    cr_assert_eq(scram.server_key[0], 0x61);
    cr_assert_not(scram_of(users, DIGEST_SHA512, "name with blanks").known);
    cr_assert_not(scram_of(users, DIGEST_SHA256, "+/#").known);
    cr_assert(scram_of(users, DIGEST_SHA512, "+/#").known);
    scram = scram_of(users, DIGEST_SHA512, "anna"); // of mosquitto_passwd
    cr_assert(scram.known);
    cr_assert_eq(scram.iterations, 101);
    cr_assert_eq(scram.salt_len, 12);
    cr_assert_not(scram_of(users, DIGEST_SHA512, "argon").known);
    cr_assert_not(scram_of(users, DIGEST_SHA512, "old").known);
    users_unref(users);
}

Test(users, what_scram_makes_up_stays_over_a_reload)
{
    struct users *before = parse("anna:" HASH_SCRAM_SHA256 "\n");
    struct users *after = parse("anna:" HASH_RFC7677 "\nbert:" HASH_ARGON2ID "\n");
    struct users_scram a = scram_of(before, DIGEST_SHA256, "nobody");
    struct users_scram b = scram_of(after, DIGEST_SHA256, "nobody");
    struct users_scram other = scram_of(after, DIGEST_SHA256, "somebody");
    cr_assert_not(a.known);
    cr_assert_eq(a.mark, 0);
    cr_assert_eq(a.iterations, 4096);
    cr_assert_eq(a.salt_len, 16);
    cr_assert(memcmp(&a, &b, sizeof a) == 0);
    cr_assert(memcmp(a.salt, other.salt, a.salt_len) != 0);
    cr_assert(memcmp(a.stored_key, other.stored_key, 32) != 0);
    // Nothing of the user whose parameters were borrowed.
    struct users_scram anna = scram_of(before, DIGEST_SHA256, "anna");
    cr_assert(memcmp(a.salt, anna.salt, a.salt_len) != 0);
    cr_assert(memcmp(a.stored_key, anna.stored_key, 32) != 0);
    users_unref(before);
    users_unref(after);
}

Test(users, scram_makes_up_defaults_where_nobody_can_do_it)
{
    struct users *users = parse("anna:" HASH_ARGON2ID "\n");
    struct users_scram anna = scram_of(users, DIGEST_SHA512, "anna");
    struct users_scram nobody = scram_of(users, DIGEST_SHA512, "nobody");
    cr_assert_not(anna.known || nobody.known);
    cr_assert_eq(anna.iterations, nobody.iterations);
    cr_assert_eq(anna.salt_len, nobody.salt_len);
    cr_assert_gt(anna.iterations, 0);
    users_unref(users);
}

// What is made up has the file's mix of parameters: 1 of 4 here has 4,096 iterations, the others
// 101.
Test(users, unknown_names_borrow_in_the_files_proportions)
{
    char text[2048];
    (void)snprintf(text, sizeof text, "a:%s\nb:%s\nc:%s\nd:%s\ne:%s\n", HASH_SCRAM_SHA512,
                   HASH_MOSQUITTO_PBKDF2, HASH_MOSQUITTO_PBKDF2, HASH_MOSQUITTO_PBKDF2,
                   HASH_ARGON2ID);
    struct users *users = parse(text);
    unsigned dear = 0, cheap = 0;
    for (unsigned i = 0; i < 4000; i++) {
        char name[16];
        (void)snprintf(name, sizeof name, "unknown%u", i);
        struct users_scram scram = scram_of(users, DIGEST_SHA512, name);
        dear += scram.iterations == 4096 && scram.salt_len == 16;
        cheap += scram.iterations == 101 && scram.salt_len == 12;
    }
    cr_assert_eq(dear + cheap, 4000);
    cr_assert(dear > 800 && dear < 1200, "%u of 4000", dear);
    users_unref(users);
}

Test(users, many)
{
    enum { USERS = 20000 };
    size_t size = USERS * 200, len = 0;
    char *text = mem_alloc(size);
    for (unsigned i = 0; i < USERS; i++)
        len += (size_t)snprintf(text + len, size - len, "device-%u:%s\n", i,
                                i % 2 ? HASH_MOSQUITTO_SHA512 : HASH_MOSQUITTO_PBKDF2);
    struct users *users = parse(text);
    cr_assert_eq(users_count(users), USERS);
    cr_assert_eq(check(users, "device-19999", "pass:w\"ord"), USERS_GOOD);
    cr_assert_eq(check(users, "device-19998", "open sesame"), USERS_GOOD);
    cr_assert_eq(check(users, "device-19998", "pass:w\"ord"), USERS_WRONG);
    cr_assert_eq(check(users, "device-20000", "open sesame"), USERS_UNKNOWN);
    users_unref(users);
    mem_free(text);
}
