// test_trie.c - the subscription trie and its cache against the obvious matcher.
#include "test_trie.h"

// ---- What matches ---------------------------------------------------------------------------

Test(trie, hash_matches_its_parent_and_all_below)
{
    struct rig rig = rig_new(1);
    add(&rig, "a/#", 0);
    cr_assert_eq(matches(&rig, "a"), 1);
    cr_assert_eq(matches(&rig, "a/"), 1);
    cr_assert_eq(matches(&rig, "a/b/c"), 1);
    cr_assert_eq(matches(&rig, "ab"), 0);
    cr_assert_eq(matches(&rig, "/a"), 0);
    rig_free(&rig);
}

Test(trie, plus_is_exactly_one_level_that_may_be_empty)
{
    struct rig rig = rig_new(2);
    add(&rig, "+/+", 0);
    add(&rig, "/+", 0);
    cr_assert_eq(matches(&rig, "/"), 2);
    cr_assert_eq(matches(&rig, "/finance"), 2);
    cr_assert_eq(matches(&rig, "a/"), 1);
    cr_assert_eq(matches(&rig, "a"), 0);
    cr_assert_eq(matches(&rig, "a/b/c"), 0);
    rig_free(&rig);
}

Test(trie, filters_that_begin_with_a_wildcard_do_not_match_dollar_topics) // [MQTT-4.7.2-1]
{
    struct rig rig = rig_new(3);
    add(&rig, "#", 0);
    add(&rig, "+/monitor", 0);
    add(&rig, "+", 0);
    cr_assert_eq(matches(&rig, "$SYS/monitor"), 0);
    cr_assert_eq(matches(&rig, "$SYS"), 0);
    add(&rig, "$SYS/#", 0);
    add(&rig, "$SYS/+", 0);
    add(&rig, "$SYS/monitor", 0);
    cr_assert_eq(matches(&rig, "$SYS/monitor"), 3);
    cr_assert_eq(matches(&rig, "$SYS"), 1);
    cr_assert_eq(matches(&rig, "a/$SYS"), 1, "only the first level counts");
    cr_assert_eq(matches(&rig, "a/monitor"), 2);
    rig_free(&rig);
}

Test(trie, longest_and_deepest_topics)
{
    struct rig rig = rig_new(4);
    char *text = mem_zalloc(TOPIC_BYTES_MAX + 1);
    memset(text, 'x', TOPIC_BYTES_MAX);
    add(&rig, text, 0); // one level of 65,535 bytes
    cr_assert_eq(matches(&rig, text), 1);
    text[TOPIC_BYTES_MAX - 1] = 'y';
    cr_assert_eq(matches(&rig, text), 0);

    memset(text, 0, TOPIC_BYTES_MAX);
    for (uint32_t i = 0; i < TOPIC_LEVELS_MAX - 1; i++)
        memcpy(text + 2 * i, "+/", 2);
    struct trie_handle plus = add(&rig, text, 0); // 200 levels, the last one empty
    memset(text, 0, TOPIC_BYTES_MAX);
    memset(text, '/', TOPIC_LEVELS_MAX - 1);
    cr_assert_eq(matches(&rig, text), 1);
    struct trie_handle slashes = add(&rig, text, 0);
    text[TOPIC_LEVELS_MAX - 1] = '#';
    struct trie_handle multi = add(&rig, text, 0);
    text[TOPIC_LEVELS_MAX - 1] = 0;
    cr_assert_eq(matches(&rig, text), 3);
    drop(&rig, plus, 0);
    drop(&rig, multi, 0);
    drop(&rig, slashes, 0);
    cr_assert_eq(stats_of(&rig).nodes, 1);
    mem_free(text);
    rig_free(&rig);
}

// The matcher goes into "+" first and leaves the literal child for later, here at each level: the
// most that its stack must hold.
Test(trie, each_of_two_hundred_levels_may_leave_a_node_behind)
{
    struct rig rig = rig_new(24);
    char text[2 * TOPIC_LEVELS_MAX];
    for (uint32_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        for (uint32_t k = 0; k < i; k++)
            memcpy(text + 2 * k, "+/", 2);
        memcpy(text + 2 * i, i + 1 < TOPIC_LEVELS_MAX ? "a/#" : "a",
               i + 1 < TOPIC_LEVELS_MAX ? 4 : 2);
        add(&rig, text, 0);
        text[2 * i] = '+'; // and "+/+/.." of this length
        text[2 * i + 1] = 0;
        add(&rig, text, 0);
    }
    memset(text, 'a', sizeof text);
    for (uint32_t i = 1; i < TOPIC_LEVELS_MAX; i++)
        text[2 * i - 1] = '/';
    text[sizeof text - 1] = 0;
    cr_assert_eq(matches(&rig, text), TOPIC_LEVELS_MAX + 1);
    text[sizeof text - 2] = 'b';
    cr_assert_eq(matches(&rig, text), TOPIC_LEVELS_MAX);
    rig_free(&rig);
}

#define TEXT_MAX 96

// A filter, the shards that hold it, and whether it is a share group.
struct held {
    char text[TEXT_MAX];
    uint64_t shards;
    struct trie_handle handle;
    bool in_group;
};

// What is held at random.
struct mix {
    void (*text)(struct rig *rig, char text[TEXT_MAX], bool is_filter);
    uint32_t held_max;
    unsigned shards;
    bool alone; // half of the changes are of what is held: most filters are soon alone again
};

static void
random_text(struct rig *rig, char text[TEXT_MAX], bool is_filter)
{
    static const char *const levels[] = {"", "a", "b", "aa", "$SYS", "$", "long-level-name", "c"};
    uint32_t n = 1 + next_random(rig) % 5;
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dice = next_random(rig) % 12;
        const char *level = levels[next_random(rig) % ARRAY_LEN(levels)];
        if (is_filter && dice < 3)
            level = "+";
        else if (is_filter && dice == 3)
            level = "#";
        len += (size_t)snprintf(text + len, TEXT_MAX - len, "%s%s", i > 0 ? "/" : "", level);
        if (strcmp(level, "#") == 0)
            break;
    }
    if (len == 0) // a single empty level is no topic
        (void)snprintf(text, TEXT_MAX, "/");
}

// Many levels and few names: most filters have a prefix in common with others.
static void
tail_text(struct rig *rig, char text[TEXT_MAX], bool is_filter)
{
    static const char *const levels[] = {"a", "a", "a", "a", "a", "b", "", "$a"};
    uint32_t n = 1 + next_random(rig) % 8;
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dice = next_random(rig) % 12;
        const char *level = levels[next_random(rig) % ARRAY_LEN(levels)];
        if (is_filter && dice < 3)
            level = "+";
        else if (is_filter && dice == 3)
            level = "#";
        len += (size_t)snprintf(text + len, TEXT_MAX - len, "%s%s", i > 0 ? "/" : "", level);
        if (strcmp(level, "#") == 0)
            break;
    }
    if (len == 0)
        (void)snprintf(text, TEXT_MAX, "/");
}

static struct held *
find_held(struct held *held, uint32_t count, const char *text, bool in_group)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(held[i].text, text) == 0 && held[i].in_group == in_group)
            return &held[i];
    return NULL;
}

// One that is held already, or a new one; NULL when there are enough.
static struct held *
pick_held(struct rig *rig, const struct mix *mix, struct held *held, uint32_t *count)
{
    if (mix->alone && *count > 0 && next_random(rig) % 2)
        return &held[next_random(rig) % *count];
    char text[TEXT_MAX];
    mix->text(rig, text, true);
    bool in_group = next_random(rig) % 8 == 0;
    struct held *h = find_held(held, *count, text, in_group);
    if (h || *count == mix->held_max)
        return h;
    h = &held[(*count)++];
    *h = (struct held){.in_group = in_group};
    (void)snprintf(h->text, sizeof h->text, "%s", text);
    return h;
}

static void
toggle(struct rig *rig, const struct mix *mix, struct held *held, uint32_t *count)
{
    struct held *h = pick_held(rig, mix, held, count);
    unsigned shard = next_random(rig) % mix->shards;
    if (!h)
        return;
    uint64_t bit = UINT64_C(1) << shard;
    if (h->shards & bit) {
        trie_remove(rig->trie, rig->self, h->handle, shard);
        h->shards &= ~bit;
        if (!h->shards)
            *h = held[--*count];
        return;
    }
    struct trie_handle handle = add_to_group(rig, h->text, h->in_group ? "g" : "", shard);
    cr_assert(!h->shards || same(handle, h->handle), "one handle for all shards");
    h->handle = handle;
    h->shards |= bit;
}

static void
check_entry(const struct match_entry *entry, const struct held *h, const char *topic)
{
    cr_assert(topic_matches(slice_str(h->text), slice_str(topic)), "%s got %s", topic, h->text);
    cr_assert_eq(entry->share != NULL, h->in_group);
    cr_assert_eq(entry->shards, h->in_group ? 0 : h->shards, "%s %s", topic, h->text);
}

static void
check_match(const struct match *match, const struct held *held, uint32_t count, const char *topic)
{
    uint32_t expected = 0, shares = 0;
    uint64_t shards = 0;
    for (uint32_t i = 0; i < count; i++)
        if (topic_matches(slice_str(held[i].text), slice_str(topic))) {
            expected++;
            shares += held[i].in_group;
            shards |= held[i].in_group ? 0 : held[i].shards;
        }
    cr_assert_eq(match->count, expected, "%s: %u entries, expected %u", topic, match->count,
                 expected);
    cr_assert_eq(match->shares, shares);
    cr_assert_eq(match->shards, shards);
    for (uint32_t i = 0; i < match->count; i++) {
        const struct match_entry *entry = &match->entries[i];
        cr_assert_eq(entry->share != NULL, i >= match->count - match->shares, "shares come last");
        uint32_t k = 0;
        while (k < count && !same(held[k].handle, entry->handle))
            k++;
        cr_assert_lt(k, count, "%s got a handle that nobody holds", topic);
        check_entry(entry, &held[k], topic);
        for (uint32_t j = 0; j < i; j++)
            cr_assert(!same(match->entries[j].handle, entry->handle), "an entry twice");
    }
}

// Has another filter all levels that end before text[end], and is it not this one's text?
static bool
parts_from(const struct held *other, const char *text, size_t end)
{
    return topic_filter_is_wild(slice_str(other->text)) && strcmp(other->text, text) != 0 &&
           strncmp(other->text, text, end) == 0 &&
           (other->text[end] == '/' || other->text[end] == 0);
}

// The root, and a node for each beginning that two or more wildcard filters have.
static uint64_t
nodes_expected(const struct held *held, uint32_t count)
{
    uint64_t nodes = 1;
    for (uint32_t i = 0; i < count; i++) {
        const char *text = held[i].text;
        if (!topic_filter_is_wild(slice_str(text)))
            continue;
        for (size_t end = 0; end <= strlen(text); end++) {
            if ((text[end] != '/' && text[end] != 0) || (end > 0 && text[end - 1] == '#'))
                continue;
            bool shared = false, counted = false;
            for (uint32_t k = 0; k < count; k++) {
                bool parts = parts_from(&held[k], text, end);
                shared |= parts;
                counted |= k < i && (parts || strcmp(held[k].text, text) == 0);
            }
            nodes += shared && !counted;
        }
    }
    return nodes;
}

static void
random_against_naive(uint64_t seed, const struct mix *mix)
{
    struct rig rig = rig_new(seed);
    struct held *held = mem_zalloc(mix->held_max * sizeof *held);
    uint32_t count = 0;
    char topic[TEXT_MAX];
    uint64_t bytes = stats_of(&rig).bytes;
    for (uint32_t round = 0; round < 6000; round++) {
        toggle(&rig, mix, held, &count);
        if (mix->alone || round % 500 == 0)
            cr_assert_eq(stats_of(&rig).nodes, nodes_expected(held, count), "round %u", round);
        for (uint32_t i = 0; i < 4; i++) {
            mix->text(&rig, topic, false);
            check_match(match_cache_get(rig.cache, slice_str(topic)), held, count, topic);
            check_match(match_uncached(rig.cache, slice_str(topic)), held, count, topic);
        }
        if (round % 3 == 0)
            rcu_quiescent(rig.self);
    }
    struct match_cache_stats stats;
    match_cache_stats(rig.cache, &stats);
    cr_assert_gt(stats.hits, 100, "the cache was not tested");
    cr_assert_gt(stats.stale, 100, "staleness was not tested");
    for (uint32_t i = 0; i < count; i++)
        for (unsigned shard = 0; shard < mix->shards; shard++)
            if (held[i].shards >> shard & 1)
                trie_remove(rig.trie, rig.self, held[i].handle, shard);
    cr_assert_eq(stats_of(&rig).filters, 0);
    cr_assert_eq(stats_of(&rig).share_groups, 0);
    cr_assert_eq(stats_of(&rig).nodes, 1);
    bytes += rig.trie->page_count * SLOT_PAGE * sizeof *rig.trie->pages[0]; // these stay
    cr_assert_eq(stats_of(&rig).bytes, bytes);
    mem_free(held);
    rig_free(&rig);
}

Test(trie, random_filters_match_as_the_naive_matcher_says)
{
    static const struct mix mix = {.text = random_text, .held_max = 600, .shards = 5};
    for (uint64_t seed = 1; seed <= 4; seed++)
        random_against_naive(seed, &mix);
}

Test(trie, filters_that_part_and_join_all_the_time_match_as_the_naive_matcher_says)
{
    static const uint32_t held[] = {2, 3, 8, 40};
    for (uint32_t seed = 0; seed < 12; seed++) {
        const struct mix mix = {.text = tail_text,
                                .held_max = held[seed % ARRAY_LEN(held)],
                                .shards = 1 + seed / 8,
                                .alone = true};
        random_against_naive(seed + 1, &mix);
    }
}

Test(trie, a_wildcard_bomb_is_found_whole)
{
    struct rig rig = rig_new(5);
    char text[28] = {0};
    for (uint32_t mix = 0; mix < 1u << 14; mix++) {
        for (uint32_t i = 0; i < 14; i++) {
            text[2 * i] = mix >> i & 1 ? '+' : 'a';
            text[2 * i + 1] = i < 13 ? '/' : 0;
        }
        add(&rig, text, mix % 2);
    }
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/a/a/a/a/a/a/a"), 1u << 14);
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/a/a/a/a/a/a/b"), 1u << 13);
    cr_assert_eq(matches(&rig, "a/a/a/a/a/a/a/a/a/a/a/a/a"), 0);
    rig_free(&rig);
}

// ---- Handles --------------------------------------------------------------------------------

Test(trie, all_shards_have_one_handle_and_adding_again_changes_nothing)
{
    struct rig rig = rig_new(6);
    struct trie_handle first = add(&rig, "a/+", 0);
    (void)matches(&rig, "a/b");
    cr_assert(same(add(&rig, "a/+", 0), first));
    (void)match_cache_get(rig.cache, slice_str("a/b"));
    struct match_cache_stats stats;
    match_cache_stats(rig.cache, &stats);
    cr_assert_eq(stats.stale, 0, "no change, no new version");
    cr_assert_eq(stats.hits, 1);

    cr_assert(same(add(&rig, "a/+", 63), first));
    const struct match *match = match_cache_get(rig.cache, slice_str("a/b"));
    cr_assert_eq(match->shards, UINT64_C(1) << 63 | 1);
    drop(&rig, first, 0);
    match = match_cache_get(rig.cache, slice_str("a/b"));
    cr_assert_eq(match->shards, UINT64_C(1) << 63);
    cr_assert(same(match->entries[0].handle, first));
    drop(&rig, first, 63);
    cr_assert_eq(matches(&rig, "a/b"), 0);
    rig_free(&rig);
}

Test(trie, a_slot_is_reused_under_a_new_generation)
{
    struct rig rig = rig_new(7);
    struct trie_handle a = add(&rig, "a", 0), b = add(&rig, "b/#", 0);
    cr_assert_eq(a.slot, 0);
    cr_assert_eq(b.slot, 1, "slots are dense");
    drop(&rig, a, 0);
    struct trie_handle again = add(&rig, "c", 0);
    cr_assert_eq(again.slot, a.slot);
    cr_assert_neq(again.generation, a.generation);
    drop(&rig, b, 0);
    drop(&rig, again, 0);
    // The one freed last comes first.
    struct trie_handle x = add(&rig, "x", 0), y = add(&rig, "y", 0), z = add(&rig, "z", 0);
    cr_assert_eq(x.slot, 0);
    cr_assert_eq(x.generation, 3);
    cr_assert_eq(y.slot, 1);
    cr_assert_eq(y.generation, 2);
    cr_assert_eq(z.slot, 2);
    rig_free(&rig);
}

Test(trie, a_handle_names_its_filter_and_group)
{
    struct rig rig = rig_new(8);
    struct slice group;
    struct trie_handle plain = add(&rig, "a/+/c", 1);
    struct trie_handle shared = add_to_group(&rig, "a/+/c", "blue", 2);
    cr_assert(!same(plain, shared));
    cr_assert(slice_equal(trie_filter(rig.trie, plain, &group), slice_str("a/+/c")));
    cr_assert_eq(group.len, 0);
    cr_assert(slice_equal(trie_filter(rig.trie, shared, &group), slice_str("a/+/c")));
    cr_assert(slice_equal(group, slice_str("blue")));
    drop(&rig, plain, 1); // the group keeps the filter
    cr_assert(slice_equal(trie_filter(rig.trie, shared, &group), slice_str("a/+/c")));
    cr_assert_eq(stats_of(&rig).filters, 1);
    drop(&rig, shared, 2);
    cr_assert_eq(stats_of(&rig).filters, 0);
    rig_free(&rig);
}

Test(trie, more_filters_than_a_page_of_slots)
{
    struct rig rig = rig_new(9);
    char text[32];
    enum { FILTERS = SLOT_PAGE + 100 };
    struct trie_handle *handles = mem_alloc(FILTERS * sizeof *handles);
    for (uint32_t i = 0; i < FILTERS; i++) {
        (void)snprintf(text, sizeof text, i % 2 ? "e/%u" : "w/%u/+", i);
        handles[i] = add(&rig, text, 0);
        cr_assert_eq(handles[i].slot, i);
    }
    for (uint32_t i = 0; i < FILTERS; i++) {
        struct slice group, filter = trie_filter(rig.trie, handles[i], &group);
        (void)snprintf(text, sizeof text, i % 2 ? "e/%u" : "w/%u/+", i);
        cr_assert(slice_equal(filter, slice_str(text)));
    }
    mem_free(handles);
    rig_free(&rig);
}

static err_t
try_to_add(struct rig *rig, const char *filter, const char *group)
{
    struct trie_handle handle;
    return trie_add(rig->trie, rig->self, slice_str(filter), slice_str(group), 1, &handle);
}

Test(trie, a_full_directory_refuses_and_leaves_nothing_behind)
{
    struct rig rig = rig_new(25);
    struct trie_handle held = add(&rig, "held/+", 0);
    drop(&rig, add(&rig, "exact", 0), 0);
    struct trie_handle last = add(&rig, "last", 0); // the slot that was free
    struct trie_stats before = stats_of(&rig), after;
    struct slot_pool pool = rig.trie->pools[0];
    uint32_t pages = rig.trie->page_count;
    rig.trie->pools[0].next = rig.trie->pools[0].end; // as if all were taken
    rig.trie->page_count = SLOT_PAGES;
    cr_assert_eq(try_to_add(&rig, "exact", ""), ERR_FULL);
    cr_assert_eq(try_to_add(&rig, "a/+/c/#", ""), ERR_FULL);
    cr_assert_eq(try_to_add(&rig, "exact", "g"), ERR_FULL);
    cr_assert_eq(try_to_add(&rig, "a/+", "g"), ERR_FULL);
    cr_assert_eq(try_to_add(&rig, "held/+", "g"), ERR_FULL);
    rcu_quiescent(rig.self);
    after = stats_of(&rig);
    cr_assert_eq(after.filters, before.filters);
    cr_assert_eq(after.share_groups, 0);
    cr_assert_eq(after.nodes, before.nodes);
    cr_assert_eq(after.bytes, before.bytes);
    cr_assert_eq(matches(&rig, "held/x"), 1);
    cr_assert_eq(try_to_add(&rig, "held/+", ""), OK, "another shard needs no slot");

    drop(&rig, last, 0); // one is free: enough for a filter, but not for its group too
    cr_assert_eq(try_to_add(&rig, "x/#", "g"), ERR_FULL);
    rcu_quiescent(rig.self);
    cr_assert_eq(matches(&rig, "x/y"), 0);
    cr_assert_eq(stats_of(&rig).nodes, before.nodes);
    cr_assert_eq(try_to_add(&rig, "x/#", ""), OK);
    cr_assert_eq(try_to_add(&rig, "y", ""), ERR_FULL);
    rig.trie->page_count = pages;
    rig.trie->pools[0].next = pool.next;
    cr_assert_eq(try_to_add(&rig, "y", ""), OK);
    struct slice group;
    cr_assert(slice_equal(trie_filter(rig.trie, held, &group), slice_str("held/+")));
    rig_free(&rig);
}

// ---- Memory, and looking at it --------------------------------------------------------------

static void
churn_text(char text[TEXT_MAX], uint32_t i)
{
    static const char *const shapes[][2] = {
        {"u/", ""}, {"u/", "/+/x"}, {"+/", "/y"}, {"u/", "/a/b/#"}, {"$u/", "/#"}};
    const char *const *shape = shapes[i % ARRAY_LEN(shapes)];
    (void)snprintf(text, TEXT_MAX, "%s%u%s", shape[0], i, shape[1]);
}

Test(trie, memory_returns_after_churn)
{
    struct rig rig = rig_new(20);
    char text[TEXT_MAX];
    for (unsigned shard = 0; shard < 64; shard++) // a page of slots stays for each
        drop(&rig, add(&rig, "first", shard), shard);
    struct trie_stats before = stats_of(&rig), after;
    for (uint32_t i = 0; i < 10000; i++) {
        churn_text(text, i);
        struct trie_handle handle = add_to_group(&rig, text, i % 3 ? "" : "group", i % 64);
        cr_assert_eq(stats_of(&rig).filters, 1);
        drop(&rig, handle, i % 64);
    }
    after = stats_of(&rig);
    cr_assert_eq(after.filters, 0);
    cr_assert_eq(after.nodes, before.nodes);
    cr_assert_eq(after.bytes, before.bytes);
    rcu_quiescent(rig.self);
    cr_assert_eq(rcu_deferred(rig.self), 0);
    rig_free(&rig);
}

Test(trie, memory_returns_after_a_crowd)
{
    struct rig rig = rig_new(21);
    char text[64];
    enum { CROWD = 10000 };
    struct trie_handle *handles = mem_alloc(CROWD * sizeof *handles);
    uint64_t bytes = 0;
    for (uint32_t round = 0; round < 2; round++) {
        for (uint32_t i = 0; i < CROWD; i++) {
            (void)snprintf(text, sizeof text, i % 2 ? "u/%u" : "u/+/%u/#", i);
            handles[i] = add(&rig, text, 0);
        }
        for (uint32_t i = 0; i < CROWD; i++)
            drop(&rig, handles[i], 0);
        struct trie_stats stats = stats_of(&rig);
        cr_assert_eq(stats.nodes, 1);
        cr_assert(round == 0 || stats.bytes == bytes);
        bytes = stats.bytes;
    }
    mem_free(handles);
    rig_free(&rig);
}

struct seen {
    uint32_t count;
    bool plain, shared;
};

static void
see(void *arg, struct slice filter, struct slice group, uint64_t shards)
{
    struct seen *seen = arg;
    seen->count++;
    if (slice_equal(filter, slice_str("a/+")) && group.len == 0)
        seen->plain = shards == (1u << 2 | 1u << 3);
    if (slice_equal(filter, slice_str("b")) && slice_equal(group, slice_str("g")))
        seen->shared = shards == (1u << 4 | 1u << 5);
}

Test(trie, each_shows_what_is_held)
{
    struct rig rig = rig_new(22);
    struct seen seen = {0};
    add(&rig, "a/+", 2);
    add(&rig, "a/+", 3);
    add_to_group(&rig, "b", "g", 4);
    add_to_group(&rig, "b", "g", 5);
    drop(&rig, add(&rig, "gone", 0), 0);
    trie_each(rig.trie, see, &seen);
    cr_assert_eq(seen.count, 2, "b itself has no ordinary subscriber");
    cr_assert(seen.plain && seen.shared);
    rig_free(&rig);
}
