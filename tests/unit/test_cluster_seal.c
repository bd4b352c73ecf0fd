// test_cluster_seal.c - who may speak to the cluster, and how often.
#include <criterion/criterion.h>

#include "cluster/seal.h"

#define OLD_SECRET "an old secret of the cluster"
#define NEW_SECRET "a new secret of the cluster"

static struct seal *
seal_of(const char *cluster, const char *first, const char *second, uint8_t id,
        uint64_t incarnation)
{
    struct seal *seal = NULL;
    struct seal_config config = {
        .cluster_name = slice_str(cluster),
        .secrets = {slice_str(first), slice_str(second ? second : "")},
        .secret_count = second ? 2 : 1,
        .uuid = {{id}},
        .incarnation = incarnation,
        .boot = 1000 + id,
    };
    cr_assert_eq(seal_new(&config, &seal), OK);
    return seal;
}

static uint32_t
say(struct seal *seal, uint8_t datagram[GOSSIP_DATAGRAM_MAX])
{
    return seal_close(seal, slice_str("hello"), datagram);
}

static err_t
hear(struct seal *seal, const uint8_t *datagram, uint32_t len)
{
    uint8_t room[GOSSIP_PLAIN_MAX];
    struct seal_opened opened;
    err_t err = seal_open(seal, slice_of(datagram, len), room, &opened);
    if (err == OK)
        cr_assert(slice_equal(opened.message, slice_str("hello")));
    return err;
}

Test(cluster_seal, a_member_is_heard_once_and_by_name)
{
    struct seal *a = seal_of("c", OLD_SECRET, NULL, 1, 7),
                *b = seal_of("c", OLD_SECRET, NULL, 2, 1);
    uint8_t datagram[GOSSIP_DATAGRAM_MAX], room[GOSSIP_PLAIN_MAX], longest[GOSSIP_PLAIN_MAX] = {1};
    struct seal_opened opened;
    uint32_t len = seal_close(a, slice_of(longest, sizeof longest), datagram);
    cr_assert_leq(len, GOSSIP_DATAGRAM_MAX);
    cr_assert_eq(seal_open(b, slice_of(datagram, len), room, &opened), OK);
    cr_assert_eq(opened.uuid.bytes[0], 1);
    cr_assert_eq(opened.incarnation, 7);
    cr_assert(slice_equal(opened.message, slice_of(longest, sizeof longest)));
    cr_assert_eq(seal_open(b, slice_of(datagram, len), room, &opened), ERR_NOT_AUTHORIZED);
    cr_assert_eq(seal_stats(b)->replayed, 1);
    seal_free(a);
    seal_free(b);
    seal_free(NULL);
}

Test(cluster_seal, a_changed_bit_anywhere_is_refused)
{
    struct seal *a = seal_of("c", OLD_SECRET, NULL, 1, 1),
                *b = seal_of("c", OLD_SECRET, NULL, 2, 1);
    uint8_t datagram[GOSSIP_DATAGRAM_MAX];
    uint32_t len = say(a, datagram);
    for (uint32_t bit = 0; bit < len * 8; bit++) {
        datagram[bit / 8] ^= (uint8_t)(1u << bit % 8);
        cr_assert_eq(hear(b, datagram, len), ERR_NOT_AUTHORIZED, "bit %u", bit);
        datagram[bit / 8] ^= (uint8_t)(1u << bit % 8);
    }
    for (uint32_t n = 0; n < len; n++)
        cr_assert_eq(hear(b, datagram, n), ERR_NOT_AUTHORIZED);
    cr_assert_eq(hear(b, datagram, len), OK);
    cr_assert_eq(seal_stats(b)->opened, 1);
    cr_assert_gt(seal_stats(b)->forged, 0);
    seal_free(a);
    seal_free(b);
}

Test(cluster_seal, another_name_or_secret_is_a_stranger)
{
    struct seal *a = seal_of("c", OLD_SECRET, NULL, 1, 1);
    struct seal *other_name = seal_of("d", OLD_SECRET, NULL, 2, 1);
    struct seal *other_secret = seal_of("c", NEW_SECRET, NULL, 3, 1);
    uint8_t datagram[GOSSIP_DATAGRAM_MAX];
    cr_assert_eq(hear(a, datagram, say(other_name, datagram)), ERR_NOT_AUTHORIZED);
    cr_assert_eq(hear(a, datagram, say(other_secret, datagram)), ERR_NOT_AUTHORIZED);
    cr_assert_eq(seal_stats(a)->strangers, 2);
    cr_assert_neq(seal_cluster(slice_str("c")), seal_cluster(slice_str("d")));
    seal_free(a);
    seal_free(other_name);
    seal_free(other_secret);
}

Test(cluster_seal, a_secret_changes_without_a_gap)
{
    struct seal *old = seal_of("c", OLD_SECRET, NULL, 1, 1);
    struct seal *both = seal_of("c", OLD_SECRET, NEW_SECRET, 2, 1);
    struct seal *swapped = seal_of("c", NEW_SECRET, OLD_SECRET, 3, 1);
    struct seal *new = seal_of("c", NEW_SECRET, NULL, 4, 1);
    uint8_t d[GOSSIP_DATAGRAM_MAX];
    cr_assert_eq(hear(both, d, say(old, d)), OK);
    cr_assert_eq(hear(old, d, say(both, d)), OK);
    cr_assert_eq(hear(both, d, say(swapped, d)), OK);
    cr_assert_eq(hear(swapped, d, say(both, d)), OK);
    cr_assert_eq(hear(new, d, say(swapped, d)), OK);
    cr_assert_eq(hear(swapped, d, say(new, d)), OK);
    cr_assert_eq(hear(new, d, say(both, d)), ERR_NOT_AUTHORIZED);
    // The same sender goes over to the new one: what it said before is still not taken twice.
    uint8_t before[GOSSIP_DATAGRAM_MAX];
    uint32_t before_len = say(both, before);
    cr_assert_eq(hear(swapped, before, before_len), OK);
    struct seal_config config = {.cluster_name = slice_str("c"),
                                 .secrets = {slice_str(NEW_SECRET), slice_str("too short")},
                                 .secret_count = 2};
    cr_assert_eq(seal_set_secrets(both, &config), ERR_CONFIG);
    config.secret_count = 0;
    cr_assert_eq(seal_set_secrets(both, &config), ERR_CONFIG);
    config.secret_count = 1;
    cr_assert_eq(hear(swapped, d, say(both, d)), OK); // the failures have changed nothing
    cr_assert_eq(hear(new, d, say(both, d)), ERR_NOT_AUTHORIZED);
    cr_assert_eq(seal_set_secrets(both, &config), OK);
    cr_assert_eq(hear(new, d, say(both, d)), OK);
    cr_assert_eq(hear(swapped, d, say(both, d)), OK);
    cr_assert_eq(hear(swapped, before, before_len), ERR_NOT_AUTHORIZED);
    seal_free(old);
    seal_free(both);
    seal_free(swapped);
    seal_free(new);
}

Test(cluster_seal, order_may_be_any_within_the_window_and_each_is_taken_once)
{
    struct seal *a = seal_of("c", OLD_SECRET, NULL, 1, 1),
                *b = seal_of("c", OLD_SECRET, NULL, 2, 1);
    enum { COUNT = 3 * SEAL_WINDOW };
    static uint8_t sent[COUNT][SEAL_OVERHEAD + 5];
    for (unsigned i = 0; i < COUNT; i++) {
        uint8_t d[GOSSIP_DATAGRAM_MAX];
        cr_assert_eq(say(a, d), sizeof sent[0]);
        memcpy(sent[i], d, sizeof sent[0]);
    }
    unsigned top = 2 * SEAL_WINDOW;
    cr_assert_eq(hear(b, sent[top], sizeof sent[0]), OK);
    for (unsigned i = 0; i < top; i += 3)
        cr_assert_eq(hear(b, sent[i], sizeof sent[0]),
                     top - i < SEAL_WINDOW ? OK : ERR_NOT_AUTHORIZED);
    for (unsigned i = 0; i <= top; i++)
        cr_assert_eq(hear(b, sent[i], sizeof sent[0]),
                     top - i < SEAL_WINDOW && i % 3 != 0 && i != top ? OK : ERR_NOT_AUTHORIZED);
    cr_assert_eq(hear(b, sent[COUNT - 1], sizeof sent[0]),
                 OK); // a jump that is not the whole window
    for (unsigned i = COUNT - 2; i > top; i--)
        cr_assert_eq(hear(b, sent[i], sizeof sent[0]), OK);
    for (unsigned i = 0; i < COUNT; i++)
        cr_assert_eq(hear(b, sent[i], sizeof sent[0]), ERR_NOT_AUTHORIZED);
    seal_free(a);
    seal_free(b);
}

Test(cluster_seal, an_earlier_life_and_a_clone_are_not_heard)
{
    struct seal *b = seal_of("c", OLD_SECRET, NULL, 2, 1);
    struct seal *first = seal_of("c", OLD_SECRET, NULL, 1, 1);
    struct seal *second = seal_of("c", OLD_SECRET, NULL, 1, 2);
    struct seal *clone = NULL;
    struct seal_config config = {.cluster_name = slice_str("c"),
                                 .secrets = {slice_str(OLD_SECRET)},
                                 .secret_count = 1,
                                 .uuid = {{1}},
                                 .incarnation = 2,
                                 .boot = 5};
    cr_assert_eq(seal_new(&config, &clone), OK);
    uint8_t d[GOSSIP_DATAGRAM_MAX];
    cr_assert_eq(hear(b, d, say(first, d)), OK);
    cr_assert_eq(hear(b, d, say(second, d)), OK); // its counter begins anew
    cr_assert_eq(hear(b, d, say(first, d)), ERR_NOT_AUTHORIZED);
    cr_assert_eq(seal_stats(b)->stale, 1);
    cr_assert_eq(hear(b, d, say(clone, d)), ERR_NOT_AUTHORIZED);
    cr_assert_eq(seal_stats(b)->clones, 1);
    cr_assert_eq(hear(b, d, say(second, d)), OK);
    seal_free(b);
    seal_free(first);
    seal_free(second);
    seal_free(clone);
}

Test(cluster_seal, senders_are_bounded)
{
    struct seal *b = seal_of("c", OLD_SECRET, NULL, 255, 1);
    uint8_t d[GOSSIP_DATAGRAM_MAX];
    for (unsigned i = 0; i < SEAL_SENDERS_MAX + 10; i++) {
        struct seal *a = NULL;
        struct seal_config config = {.cluster_name = slice_str("c"),
                                     .secrets = {slice_str(OLD_SECRET)},
                                     .secret_count = 1,
                                     .uuid = {{1, (uint8_t)(i >> 8), (uint8_t)i}},
                                     .incarnation = 1,
                                     .boot = i};
        cr_assert_eq(seal_new(&config, &a), OK);
        cr_assert_eq(hear(b, d, say(a, d)), OK);
        seal_free(a);
    }
    cr_assert_eq(seal_stats(b)->forgotten, 10);
    seal_free(b);
}
