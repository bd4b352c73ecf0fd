// test_bans.c - who may not connect, until when, and who is banned for what it does.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/bans.h"

static struct hash_key key = {1, 2};
static struct bans *bans;

static void
set_up(void)
{
    bans = bans_new(&key);
}

static void
tear_down(void)
{
    bans_free(bans);
}

TestSuite(bans, .init = set_up, .fini = tear_down);

#define HERE  UINT64_C(0x10a000001)
#define THERE UINT64_C(0x10a000002)

static bool
hit(const char *client_id, const char *user, uint64_t address, uint64_t now_ms)
{
    struct ban_subject who = {.client_id = slice_str(client_id), .address = address};
    if (user)
        who.user = slice_str(user);
    return bans_hit(bans, &who, now_ms);
}

static void
ban(enum ban_kind kind, const char *name, uint64_t address, uint64_t until_ms)
{
    struct ban entry = {
        .kind = kind, .name = slice_str(name), .address = address, .until_ms = until_ms};
    cr_assert_eq(bans_add(bans, &entry, 0), OK);
}

Test(bans, each_kind_hits_whom_it_names)
{
    ban(BAN_CLIENT, "c", 0, BANS_NEVER);
    ban(BAN_USER, "u", 0, BANS_NEVER);
    ban(BAN_ADDRESS, "", HERE, BANS_NEVER);
    ban(BAN_CLIENT_AT, "at", THERE, BANS_NEVER);
    cr_assert_eq(bans_count(bans), 4);
    cr_assert(hit("c", NULL, THERE, 1));
    cr_assert(hit("c", NULL, ADDRESS_NONE, 1), "by a unix socket, too");
    cr_assert(hit("x", "u", THERE, 1));
    cr_assert(hit("x", NULL, HERE, 1));
    cr_assert(hit("at", NULL, THERE, 1));
    cr_assert_not(hit("x", "x", THERE, 1));
    cr_assert_not(hit("u", "c", THERE, 1), "names of one kind are not those of another");
    cr_assert_not(hit("at", NULL, THERE + 1, 1));
    cr_assert_not(hit("", "", ADDRESS_NONE, 1));
}

Test(bans, a_ban_ends_by_itself_and_can_be_lifted)
{
    ban(BAN_CLIENT, "c", 0, 5000);
    cr_assert(hit("c", NULL, HERE, 4999));
    cr_assert_not(hit("c", NULL, HERE, 5000));
    cr_assert_eq(bans_count(bans), 0, "and is gone");
    ban(BAN_CLIENT, "c", 0, BANS_NEVER);
    struct ban entry = {.kind = BAN_CLIENT, .name = slice_str("c")};
    cr_assert(bans_remove(bans, &entry));
    cr_assert_not(bans_remove(bans, &entry));
    cr_assert_not(hit("c", NULL, HERE, 1));
}

Test(bans, the_same_one_again_changes_its_end)
{
    ban(BAN_USER, "u", HERE, 1000);
    ban(BAN_USER, "u", THERE, 2000); // users have no address
    cr_assert_eq(bans_count(bans), 1);
    cr_assert(hit("x", "u", HERE, 1999));
}

struct seen {
    unsigned count;
    uint64_t until_ms;
};

static void
see(void *arg, const struct ban *entry)
{
    struct seen *seen = arg;
    seen->count++;
    seen->until_ms = entry->until_ms;
    cr_assert(slice_equal(entry->name, slice_str("later")));
}

Test(bans, the_list_has_those_in_force)
{
    ban(BAN_CLIENT, "over", 0, 1000);
    ban(BAN_CLIENT, "later", 0, 3000);
    struct seen seen = {0};
    cr_assert_eq(bans_some(bans, 0, UINT32_MAX, see, &seen, 2000), BANS_END);
    cr_assert_eq(seen.count, 1);
    cr_assert_eq(seen.until_ms, 3000);
}

enum { LISTED = 5000 };
static uint8_t met[LISTED];

static void
meet(void *arg, const struct ban *entry)
{
    unsigned *count = arg;
    unsigned number = 0;
    for (uint32_t i = 1; i < entry->name.len; i++)
        number = number * 10 + (entry->name.data[i] - '0');
    ++*count;
    if (number < LISTED)
        met[number]++;
}

Test(bans, the_list_comes_in_parts_while_it_grows)
{
    char name[16];
    unsigned made = 0, parts = 0;
    for (; made < LISTED; made++) {
        (void)snprintf(name, sizeof name, "c%u", made);
        ban(BAN_CLIENT, name, 0, BANS_NEVER);
    }
    for (uint64_t place = 0; place < BANS_END; parts++) {
        unsigned count = 0;
        place = bans_some(bans, place, 100, meet, &count, 1000);
        cr_assert_leq(count, 200, "%u at once", count);
        for (unsigned i = 0; i < 300 && parts < 40; i++, made++) {
            (void)snprintf(name, sizeof name, "c%u", made);
            ban(BAN_CLIENT, name, 0, BANS_NEVER);
        }
    }
    cr_assert_geq(parts, LISTED / 200);
    for (unsigned i = 0; i < LISTED; i++)
        cr_assert_eq(met[i], 1, "c%u was met %u times", i, met[i]);
}

Test(bans, the_list_has_an_end_and_room_again_when_some_have_ended)
{
    char name[16];
    for (unsigned i = 0; i < BANS_MAX; i++) {
        (void)snprintf(name, sizeof name, "c%u", i);
        ban(BAN_CLIENT, name, 0, i % 2 ? BANS_NEVER : 10000);
    }
    struct ban more = {.kind = BAN_CLIENT, .name = slice_str("more"), .until_ms = BANS_NEVER};
    cr_assert_eq(bans_add(bans, &more, 9000), ERR_FULL);
    ban(BAN_CLIENT, "c1", 0, BANS_NEVER); // one that is there needs no room
    cr_assert_eq(bans_add(bans, &more, 11000), OK);
    cr_assert_eq(bans_count(bans), BANS_MAX / 2 + 1);
    cr_assert(hit("c1", NULL, HERE, 12000) && hit("more", NULL, HERE, 12000));
    cr_assert_not(hit("c2", NULL, HERE, 12000));
}

static unsigned
connects_until_banned(const char *id, uint64_t address, const struct ban_rule *rule,
                      uint64_t now_ms, unsigned step_ms)
{
    struct ban_subject who = {.client_id = slice_str(id), .address = address};
    for (unsigned i = 1; i <= 1000; i++, now_ms += step_ms)
        if (bans_on_connect(bans, &who, rule, now_ms))
            return i;
    return 0;
}

Test(bans, a_client_that_flaps_is_banned_where_it_flaps)
{
    struct ban_rule rule = {.max = 5, .window_ms = 10000, .ban_ms = 30000};
    cr_assert_eq(connects_until_banned("c", HERE, &rule, 1000, 100), 6);
    cr_assert(hit("c", NULL, HERE, 1600));
    cr_assert_not(hit("c", NULL, THERE, 1600), "from elsewhere it may be another");
    cr_assert_not(hit("d", NULL, HERE, 1600));
    cr_assert_not(hit("c", NULL, HERE, 31500), "after 30 s from the sixth CONNECT");
    cr_assert_eq(connects_until_banned("c", HERE, &rule, 31500, 100), 6, "its count begins anew");
}

Test(bans, whoever_keeps_to_the_rule_is_not_banned)
{
    struct ban_rule rule = {.max = 5, .window_ms = 10000, .ban_ms = 30000};
    cr_assert_eq(connects_until_banned("c", HERE, &rule, 1000, 2001), 0);
    rule.max = 0;
    cr_assert_eq(connects_until_banned("c", HERE, &rule, 1000, 0), 0, "off");
    rule.max = 5;
    cr_assert_eq(connects_until_banned("", HERE, &rule, 1000, 0), 0, "without an identifier");
    cr_assert_eq(connects_until_banned("c", ADDRESS_NONE, &rule, 1000, 0), 0);
}

Test(bans, logins_that_fail_ban_their_address_once)
{
    struct ban_rule rule = {.max = 3, .window_ms = 60000, .ban_ms = 1000};
    for (unsigned i = 0; i < 3; i++)
        cr_assert_not(bans_on_login_failure(bans, HERE, &rule, 1000));
    cr_assert_not(hit("anybody", "anyone", HERE, 1000));
    cr_assert(bans_on_login_failure(bans, HERE, &rule, 1000));
    cr_assert(hit("anybody", "anyone", HERE, 1000));
    cr_assert_not(hit("anybody", "anyone", THERE, 1000));
    cr_assert_not(bans_on_login_failure(bans, HERE, &rule, 1000),
                  "one that was under way: no second");
    cr_assert_not(hit("anybody", "anyone", HERE, 2000));
    rule.max = 0;
    cr_assert_not(bans_on_login_failure(bans, THERE, &rule, 1000));
}

// What is watched is bounded as well.
Test(bans, ever_new_identifiers_ban_nobody)
{
    struct ban_rule rule = {.max = 1, .window_ms = 60000, .ban_ms = 1000};
    char id[16];
    for (unsigned i = 0; i < 200000; i++) {
        (void)snprintf(id, sizeof id, "c%u", i);
        struct ban_subject who = {.client_id = slice_str(id), .address = HERE};
        cr_assert_not(bans_on_connect(bans, &who, &rule, 1000));
    }
    cr_assert_eq(bans_count(bans), 0);
}
