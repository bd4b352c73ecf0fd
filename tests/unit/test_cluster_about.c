// test_cluster_about.c - what nodes say of themselves, also to nodes of other versions.
#include <criterion/criterion.h>

#include "cluster/about.h"

static const char *
version_of(const char *bytes, size_t len)
{
    static char version[NODE_VERSION_LEN + 1];
    about_version(slice_of(bytes, len), version);
    return version;
}

Test(about, metadata_come_back)
{
    uint8_t meta[ABOUT_META_MAX];
    char version[NODE_VERSION_LEN + 1];
    struct about_self self = {.no_store = true, .version = "0.9.1"};
    uint32_t len = about_write_meta(&self, meta);
    about_version(slice_of(meta, len), version);
    cr_assert_str_eq(version, "0.9.1");
    cr_assert(about_has_nothing(slice_of(meta, len)));
    cr_assert_not(about_drains(slice_of(meta, len)));
    cr_assert_eq(about_advertised(slice_of(meta, len)).len, 0);
    self = (struct about_self){.draining = true,
                               .version = "a version that is longer than anybody would write it",
                               .advertised_len = NODE_ADVERTISED_MAX};
    memset(self.advertised, 7, sizeof self.advertised);
    len = about_write_meta(&self, meta);
    cr_assert_eq(len, ABOUT_META_MAX);
    cr_assert(about_drains(slice_of(meta, len)));
    cr_assert(slice_equal(about_advertised(slice_of(meta, len)),
                          slice_of(self.advertised, sizeof self.advertised)));
    about_version(slice_of(meta, len), version);
    cr_assert_str_eq(version, "a version that is longer than an");
    cr_assert_not(about_has_nothing(slice_of(meta, len)));
}

Test(about, others_say_for_it_that_it_is_gone)
{
    uint8_t meta[ABOUT_META_MAX], forgotten[GOSSIP_META_MAX];
    char version[NODE_VERSION_LEN + 1];
    struct about_self self = {.draining = true, .version = "0.9.1"};
    uint32_t len = about_write_meta(&self, meta);
    cr_assert_not(about_is_forgotten(slice_of(meta, len)));
    cr_assert_eq(about_forget(slice_of(meta, len), forgotten), len);
    cr_assert(about_is_forgotten(slice_of(forgotten, len)));
    cr_assert(about_has_nothing(slice_of(forgotten, len)), "so earlier versions understand it");
    cr_assert(about_drains(slice_of(forgotten, len)));
    about_version(slice_of(forgotten, len), version);
    cr_assert_str_eq(version, "0.9.1");
    cr_assert_eq(about_forget(slice_of(NULL, 0), forgotten), 1);
    cr_assert(about_is_forgotten(slice_of(forgotten, 1)));
    cr_assert_not(about_is_forgotten(slice_of(NULL, 0)));
}

Test(about, what_other_versions_say_is_left_alone)
{
    cr_assert_str_eq(version_of("", 0), "");
    cr_assert_str_eq(version_of("\1", 1), "", "an earlier one has flags alone");
    cr_assert(about_has_nothing(slice_of("\1", 1)));
    cr_assert(about_has_nothing(slice_of("\xff", 1)), "flags that are not known");
    cr_assert_not(about_has_nothing(slice_of("", 0)));
    cr_assert_str_eq(version_of("\0\7\2xy\1\3abc\11\0", 12), "abc", "fields that are not known");
    cr_assert_str_eq(version_of("\0\1\4abc", 6), "", "cut off");
    cr_assert_str_eq(version_of("\0\7\377abc", 6), "", "cut off");
    cr_assert_str_eq(version_of("\0\1", 2), "", "cut off");
    cr_assert_eq(about_advertised(slice_of("\0\2\3ab", 5)).len, 0, "cut off");
    uint8_t more[3 + UINT8_MAX] = {0, 2, UINT8_MAX};
    cr_assert_eq(about_advertised(slice_of(more, sizeof more)).len, 0, "more than there may be");
    cr_assert_str_eq(version_of("\0\1\0", 3), "");
}

Test(about, a_digest_comes_back)
{
    const struct node_load load = {
        .uptime_s = 3, .clients = 70000, .in_rate = UINT64_MAX, .out_rate = 1};
    uint8_t digest[ABOUT_DIGEST_LEN + 1];
    struct node_load back;
    about_write_digest(&load, digest);
    digest[ABOUT_DIGEST_LEN] = 9; // of a later version
    for (uint32_t more = 0; more < 2; more++) {
        cr_assert(about_load(slice_of(digest, ABOUT_DIGEST_LEN + more), &back));
        cr_assert_eq(back.uptime_s, 3);
        cr_assert_eq(back.clients, 70000);
        cr_assert_eq(back.in_rate, UINT32_MAX, "no more than there is room for");
        cr_assert_eq(back.out_rate, 1);
    }
    cr_assert_not(about_load(slice_of(digest, ABOUT_DIGEST_LEN - 1), &back));
    cr_assert_eq(back.clients, 0);
    cr_assert_not(about_load(slice_of("", 0), &back));
    digest[0] = 2; // another form
    cr_assert_not(about_load(slice_of(digest, ABOUT_DIGEST_LEN), &back));
}
