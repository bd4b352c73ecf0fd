// test_cluster_identity.c - who a node is stays, and each of its lives is a later one.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cluster/identity.h"

static char folder[64], file[80];
static char problem[IDENTITY_PROBLEM_MAX];

static void
set_up(void)
{
    (void)snprintf(folder, sizeof folder, "/tmp/tern-identity-XXXXXX");
    cr_assert(mkdtemp(folder));
    (void)snprintf(file, sizeof file, "%s/node", folder);
}

static void
tear_down(void)
{
    (void)unlink(file);
    (void)rmdir(folder);
}

TestSuite(cluster_identity, .init = set_up, .fini = tear_down);

static struct identity
load_good(const char *where)
{
    struct identity identity;
    cr_assert_eq(identity_load(where, &identity, problem), OK, "%s", problem);
    return identity;
}

static void
write_node(const char *text)
{
    FILE *to = fopen(file, "w");
    cr_assert(to && fputs(text, to) >= 0 && fclose(to) == 0);
}

static void
expect_problem(const char *where, const char *name)
{
    struct identity identity;
    problem[0] = '\0';
    cr_assert_eq(identity_load(where, &identity, problem), ERR_IO);
    cr_assert_not_null(strstr(problem, name), "%s", problem);
}

Test(cluster_identity, the_first_start_makes_one)
{
    struct identity identity = load_good(folder);
    struct stat stat_;
    char text[33];
    struct gossip_uuid again;
    cr_assert_eq(identity.incarnation, 1);
    cr_assert_eq(stat(file, &stat_), 0);
    cr_assert_eq(stat_.st_mode & 0777, 0600);
    uuid_text(&identity.uuid, text);
    cr_assert(uuid_read(text, &again) && gossip_uuid_equal(&again, &identity.uuid));
}

Test(cluster_identity, what_cannot_be_read_says_why)
{
    cr_assert_eq(mkdir(file, 0700), 0);
    expect_problem(folder, "Is a directory");
    cr_assert_eq(rmdir(file), 0);
}

Test(cluster_identity, the_uuid_stays_and_the_incarnation_grows)
{
    struct identity first = load_good(folder);
    for (uint64_t i = 2; i < 6; i++) {
        struct identity next = load_good(folder);
        cr_assert(gossip_uuid_equal(&next.uuid, &first.uuid));
        cr_assert_eq(next.incarnation, i);
        cr_assert_neq(next.boot, first.boot);
    }
}

Test(cluster_identity, without_a_folder_each_start_is_somebody_else)
{
    struct identity a = load_good(NULL), b = load_good(NULL);
    cr_assert_not(gossip_uuid_equal(&a.uuid, &b.uuid));
    cr_assert(a.incarnation == 1 && b.incarnation == 1);
}

// Rather no start than another identity: sessions and routes are by the uuid.
Test(cluster_identity, a_damaged_file_is_not_replaced)
{
    static const char *const bad[] = {
        "",
        "\n",
        "0123456789abcdef0123456789abcdef\n",
        "0123456789abcdef0123456789abcdef x\n",
        "0123456789abcdef0123456789abcdef 0\n",
        "0123456789abcdef0123456789abcdef 18446744073709551615\n",
        "0123456789abcdef0123456789abcde 1\n",
        "0123456789ABCDEF0123456789abcdef 1\n",
        "0123456789abcdef0123456789abcdefff 1\n",
    };
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        char text[128] = "";
        write_node(bad[i]);
        expect_problem(folder, file);
        FILE *from = fopen(file, "r");
        cr_assert(from);
        text[fread(text, 1, sizeof text - 1, from)] = '\0';
        (void)fclose(from);
        cr_assert_str_eq(text, bad[i]);
    }
    write_node("0123456789abcdef0123456789abcdef 41\n");
    cr_assert_eq(load_good(folder).incarnation, 42);
}

// A folder that is none: the tests may run as root, whom no mode keeps out.
Test(cluster_identity, where_nothing_can_be_written_it_says_so)
{
    char nowhere[96], deep[600];
    (void)snprintf(nowhere, sizeof nowhere, "%s/not-there", folder);
    expect_problem(nowhere, "not-there/node");
    write_node("0123456789abcdef0123456789abcdef 1\n");
    expect_problem(file, "node");
    memset(deep, 'd', sizeof deep - 1);
    deep[sizeof deep - 1] = '\0';
    expect_problem(deep, "too long");
    if (geteuid() == 0)
        return;
    cr_assert_eq(chmod(folder, 0500), 0);
    expect_problem(folder, file);
    cr_assert_eq(chmod(folder, 0700), 0);
}

Test(cluster_identity, uuids_as_text)
{
    struct gossip_uuid uuid;
    cr_assert(uuid_read("000102030405060708090a0b0c0d0eff", &uuid));
    cr_assert(uuid.bytes[0] == 0 && uuid.bytes[14] == 14 && uuid.bytes[15] == 255);
    cr_assert_not(uuid_read("", &uuid));
    cr_assert_not(uuid_read("000102030405060708090a0b0c0d0ef", &uuid));
    cr_assert_not(uuid_read("000102030405060708090a0b0c0d0efff", &uuid));
    cr_assert_not(uuid_read("000102030405060708090a0b0c0d0efg", &uuid));
}
