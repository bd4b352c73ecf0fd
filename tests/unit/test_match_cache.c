// test_match_cache.c - share groups as a match shows them, and each worker's cache of results.
#include "test_trie.h"

// ---- Share groups ---------------------------------------------------------------------------

static const struct match_entry *
only_share(struct rig *rig, const char *topic)
{
    const struct match *match = match_cache_get(rig->cache, slice_str(topic));
    cr_assert_eq(match->shares, 1);
    return &match->entries[match->count - 1];
}

Test(trie, share_groups_come_last_and_do_not_count_as_shards)
{
    struct rig rig = rig_new(10);
    add_to_group(&rig, "a/#", "g", 0);
    add(&rig, "a/b", 1);
    add_to_group(&rig, "a/b", "g", 1);
    add_to_group(&rig, "a/b", "h", 2);
    add(&rig, "+/b", 3);
    const struct match *match = match_uncached(rig.cache, slice_str("a/b"));
    cr_assert_eq(match->count, 5);
    cr_assert_eq(match->shares, 3);
    cr_assert_eq(match->shards, 1u << 1 | 1u << 3);
    for (uint32_t i = 0; i < match->count; i++)
        cr_assert_eq(match->entries[i].share != NULL, i >= 2);
    rig_free(&rig);
}

Test(trie, picks_are_proportional_to_connected_members)
{
    struct rig rig = rig_new(11);
    struct trie_handle handle = add_to_group(&rig, "a", "g", 0);
    cr_assert(same(add_to_group(&rig, "a", "g", 5), handle));
    cr_assert(same(add_to_group(&rig, "a", "g", 63), handle));
    trie_share_weight(rig.trie, handle, 0, 3, 10);
    trie_share_weight(rig.trie, handle, 5, 1, 1);
    trie_share_weight(rig.trie, handle, 63, 0, 100);
    uint32_t rotor = 7, picked[TRIE_SHARDS_MAX] = {0};
    for (uint32_t i = 0; i < 400; i++) {
        int shard = trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, NULL);
        cr_assert(shard >= 0);
        picked[shard]++;
    }
    cr_assert_eq(picked[0], 300);
    cr_assert_eq(picked[5], 100);
    cr_assert_eq(picked[63], 0, "nobody is connected there");
    rig_free(&rig);
}

Test(trie, picks_go_to_offline_members_when_none_is_connected)
{
    struct rig rig = rig_new(12);
    struct trie_handle handle = add_to_group(&rig, "a", "g", 0);
    add_to_group(&rig, "a", "g", 1);
    uint32_t rotor = 0, picked[2] = {0};
    cr_assert_eq(trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, NULL), -1,
                 "no weight yet");
    cr_assert_eq(rotor, 0);
    trie_share_weight(rig.trie, handle, 0, 0, 1);
    trie_share_weight(rig.trie, handle, 1, 0, 3);
    cr_assert(!trie_share_connected(rig.trie, handle));
    for (uint32_t i = 0; i < 40; i++)
        picked[trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, NULL)]++;
    cr_assert_eq(picked[0], 10);
    cr_assert_eq(picked[1], 30);
    trie_share_weight(rig.trie, handle, 0, 1, 1);
    cr_assert(trie_share_connected(rig.trie, handle));
    cr_assert_eq(trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, NULL), 0);
    struct match_cache_stats stats;
    match_cache_stats(rig.cache, &stats);
    cr_assert_eq(stats.stale, 0, "weights need no new version");
    rig_free(&rig);
}

Test(trie, a_share_group_ends_with_its_last_shard)
{
    struct rig rig = rig_new(13);
    struct trie_handle handle = add_to_group(&rig, "a/+", "g", 0);
    add_to_group(&rig, "a/+", "g", 1);
    trie_share_weight(rig.trie, handle, 0, 5, 5);
    trie_share_weight(rig.trie, handle, 1, 1, 1);
    drop(&rig, handle, 0);
    uint32_t rotor = 0;
    for (uint32_t i = 0; i < 8; i++)
        cr_assert_eq(trie_share_pick(only_share(&rig, "a/b")->share, 0, &rotor, NULL), 1);
    drop(&rig, handle, 1);
    cr_assert_eq(matches(&rig, "a/b"), 0);
    cr_assert(!trie_share_connected(rig.trie, handle), "a dead handle is no error here");
    add(&rig, "other", 0); // takes the slot
    cr_assert(!trie_share_connected(rig.trie, handle));
    cr_assert_eq(stats_of(&rig).share_groups, 0);
    rig_free(&rig);
}

Test(trie, a_share_group_costs_little)
{
    struct rig rig = rig_new(14);
    struct trie_handle handle = add_to_group(&rig, "a", "g", 0);
    uint64_t before = stats_of(&rig).bytes;
    add_to_group(&rig, "a", "h", 0);
    cr_assert_lt(stats_of(&rig).bytes - before, 128, "for one shard, not for all that could be");
    drop(&rig, handle, 0);
    rig_free(&rig);
}

Test(trie, a_share_group_tells_whether_its_member_outlives_its_connection)
{
    struct rig rig = rig_new(1);
    struct trie_handle handle;
    bool durable = true;
    cr_assert_eq(trie_add(rig.trie, rig.self, slice_str("a"), slice_str("g"), 3, &handle), OK);
    trie_share_weight(rig.trie, handle, 3, 1, 1);
    uint32_t rotor = 0;
    cr_assert_eq(trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, &durable), 3);
    cr_assert_not(durable);
    trie_durable(rig.trie, handle, 3, true);
    cr_assert_eq(trie_share_pick(only_share(&rig, "a")->share, 0, &rotor, &durable), 3);
    cr_assert(durable);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a"))->durable, 0, "of ordinary ones alone");
    trie_remove(rig.trie, rig.self, handle, 3);
    rig_free(&rig);
}

Test(trie, matches_say_on_which_shards_somebody_outlives_its_connection)
{
    struct rig rig = rig_new(1);
    struct trie_handle exact, wild, same;
    const struct slice none = {0};
    cr_assert_eq(trie_add(rig.trie, rig.self, slice_str("a/b"), none, 1, &exact), OK);
    cr_assert_eq(trie_add(rig.trie, rig.self, slice_str("a/+"), none, 2, &wild), OK);
    cr_assert_eq(trie_add(rig.trie, rig.self, slice_str("a/+"), none, 3, &same), OK);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 0);
    trie_durable(rig.trie, exact, 1, true);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 1 << 1, "not the old one");
    trie_durable(rig.trie, wild, 3, true);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 1 << 1 | 1 << 3);
    trie_durable(rig.trie, exact, 1, false);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 1 << 3);
    trie_remove(rig.trie, rig.self, wild, 3);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 0);
    cr_assert_eq(trie_add(rig.trie, rig.self, slice_str("a/+"), none, 3, &same), OK);
    cr_assert_eq(match_cache_get(rig.cache, slice_str("a/b"))->durable, 0, "a new start");
    trie_remove(rig.trie, rig.self, same, 3);
    trie_remove(rig.trie, rig.self, wild, 2);
    trie_remove(rig.trie, rig.self, exact, 1);
    struct trie_stats stats;
    trie_stats(rig.trie, &stats);
    cr_assert_eq(stats.filters, 0);
    rig_free(&rig);
}

// ---- The cache ------------------------------------------------------------------------------

static uint64_t
stale_after(struct rig *rig, const char *topic, const char *filter)
{
    struct match_cache_stats before, after;
    (void)match_cache_get(rig->cache, slice_str(topic));
    match_cache_stats(rig->cache, &before);
    struct trie_handle handle = add(rig, filter, 0);
    (void)match_cache_get(rig->cache, slice_str(topic));
    match_cache_stats(rig->cache, &after);
    drop(rig, handle, 0);
    return after.stale - before.stale;
}

Test(cache, a_change_empties_only_what_it_may_concern)
{
    struct rig rig = rig_new(15);
    const char *topic = "devices/17/state";
    cr_assert_eq(stale_after(&rig, topic, "devices/17/state"), 1);
    cr_assert_eq(stale_after(&rig, topic, "devices/17/#"), 1);
    cr_assert_eq(stale_after(&rig, topic, "devices/17/+"), 1);
    cr_assert_eq(stale_after(&rig, topic, "devices/+/state"), 1);
    cr_assert_eq(stale_after(&rig, topic, "devices/#"), 1);
    cr_assert_eq(stale_after(&rig, topic, "+/17/state"), 1);
    cr_assert_eq(stale_after(&rig, topic, "#"), 1);
    cr_assert_eq(stale_after(&rig, "devices", "devices/#"), 1);
    cr_assert_eq(stale_after(&rig, "devices", "+"), 1);

    cr_assert_eq(stale_after(&rig, topic, "devices/18/cmd"), 0);
    cr_assert_eq(stale_after(&rig, topic, "devices/18/#"), 0);
    cr_assert_eq(stale_after(&rig, topic, "devices/18/+"), 0);
    cr_assert_eq(stale_after(&rig, topic, "machines/#"), 0);
    cr_assert_eq(stale_after(&rig, "devices", "devices/18/#"), 0);
    rig_free(&rig);
}

Test(cache, clients_that_come_do_not_empty_it)
{
    struct rig rig = rig_new(16);
    char text[48];
    uint32_t hits = 0, asked = 0;
    struct match_cache_stats stats;
    for (uint32_t i = 0; i < 300; i++) {
        (void)snprintf(text, sizeof text, "devices/%u/state", i);
        (void)match_cache_get(rig.cache, slice_str(text));
    }
    match_cache_stats(rig.cache, &stats);
    uint64_t before = stats.hits;
    for (uint32_t i = 300; i < 600; i++) { // new ones
        (void)snprintf(text, sizeof text, i % 2 ? "devices/%u/#" : "devices/%u/cmd", i);
        add(&rig, text, 0);
    }
    for (uint32_t i = 0; i < 300; i++, asked++) {
        (void)snprintf(text, sizeof text, "devices/%u/state", i);
        (void)match_cache_get(rig.cache, slice_str(text));
    }
    match_cache_stats(rig.cache, &stats);
    hits = (uint32_t)(stats.hits - before);
    cr_assert_gt(hits, 200, "%u of %u", hits, asked);
    rig_free(&rig);
}

// The topic that was asked for last is compared first: not when it was given up.
Test(cache, the_last_one_is_forgotten_when_it_goes)
{
    struct rig rig = rig_new(20);
    struct match_cache_stats before, after;
    char text[32];
    add(&rig, "t/+", 0);
    for (unsigned i = 0; i < 3; i++)
        cr_assert_eq(matches(&rig, "t/last"), 1);
    cr_assert_eq(matches(&rig, "t/las"), 1);
    match_cache_stats(rig.cache, &before);
    cr_assert_eq(matches(&rig, "t/last"), 1);
    match_cache_stats(rig.cache, &after);
    cr_assert_eq(after.hits, before.hits + 1);
    for (uint32_t i = 0; i < CACHE_TOPICS * 3; i++) { // each once: it takes the place of another
        (void)snprintf(text, sizeof text, "o/%u", i);
        cr_assert_eq(matches(&rig, text), 0);
    }
    match_cache_stats(rig.cache, &before);
    cr_assert_eq(matches(&rig, "t/last"), 1);
    match_cache_stats(rig.cache, &after);
    cr_assert_eq(after.misses, before.misses + 1);
    rig_free(&rig);
}

Test(cache, rests_when_it_is_of_no_use_and_tries_again)
{
    struct rig rig = rig_new(17);
    char text[32];
    struct match_cache_stats stats;
    add(&rig, "t/#", 0);
    uint32_t i = 0;
    for (; i < 10000; i++) { // each topic once
        (void)snprintf(text, sizeof text, "t/%u", i);
        cr_assert_eq(match_cache_get(rig.cache, slice_str(text))->count, 1);
    }
    match_cache_stats(rig.cache, &stats);
    cr_assert_gt(stats.bypassed, 5000);
    cr_assert_eq(stats.hits, 0);
    for (i = 0; i < 40000; i++) // the same one again and again
        cr_assert_eq(match_cache_get(rig.cache, slice_str("t/x"))->count, 1);
    match_cache_stats(rig.cache, &stats);
    cr_assert_gt(stats.hits, 5000);
    cr_assert_eq(stats.hits + stats.misses + stats.stale + stats.bypassed, 50000);
    rig_free(&rig);
}

Test(cache, its_bytes_are_bounded)
{
    struct rig rig = rig_new(18);
    char *text = mem_zalloc(3000);
    struct match_cache_stats stats;
    memset(text, 'x', 2999);
    for (uint32_t i = 0; i < 4000; i++) { // long topics
        (void)snprintf(text, 12, "%u", i);
        text[strlen(text)] = 'x';
        (void)match_cache_get(rig.cache, slice_str(text));
        match_cache_stats(rig.cache, &stats);
        cr_assert_leq(stats.bytes, CACHE_TOPICS * 256u);
    }
    cr_assert_gt(stats.bytes, CACHE_TOPICS * 128u, "it kept nothing");
    mem_free(text);
    rig_free(&rig);
}

Test(cache, large_results_are_not_kept)
{
    struct rig rig = rig_new(19);
    struct match_cache_stats stats;
    char text[32];
    for (uint32_t mix = 0; mix < 256; mix++) {
        for (uint32_t i = 0; i < 8; i++) {
            text[2 * i] = mix >> i & 1 ? '+' : 'a';
            text[2 * i + 1] = i < 7 ? '/' : 0;
        }
        add(&rig, text, 0);
    }
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/a"), 256);
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/a"), 256);
    match_cache_stats(rig.cache, &stats);
    cr_assert_eq(stats.hits, 0);
    cr_assert_eq(stats.bytes, 0);
    // When there are fewer, it is kept; when there are more again, it goes.
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/b"), 128);
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/b"), 128);
    match_cache_stats(rig.cache, &stats);
    cr_assert_eq(stats.hits, 1);
    for (uint32_t i = 0; i < 64; i++) {
        (void)snprintf(text, sizeof text, "g%u", i);
        add_to_group(&rig, "a/a/a/a/a/a/a/b", text, 0);
    }
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/b"), 192);
    match_cache_stats(rig.cache, &stats);
    cr_assert_eq(stats.bytes, 0);
    rig_free(&rig);
}
