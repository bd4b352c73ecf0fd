// test_trie_remote.c - filters of other nodes, as fingerprints, against the obvious matcher.
#include "core/trie_remote.h"
#include "test_trie.h"

static struct rig rig;
static struct trie_handle handles[TRIE_REMOTES_MAX + 1];

static void
set_up(void)
{
    rig = rig_new(11);
    memset(handles, 0, sizeof handles);
}

static void
tear_down(void)
{
    rig_free(&rig);
}

TestSuite(trie_remote, .init = set_up, .fini = tear_down);

// There is room for it.
static void
append(char *text, const char *more)
{
    memcpy(text + strlen(text), more, strlen(more) + 1);
}

static unsigned
node(unsigned i)
{
    char text[32];
    unsigned remote = 99;
    (void)snprintf(text, sizeof text, "$node/%u", i);
    handles[i] = add(&rig, text, i % 3);
    cr_assert_eq(trie_remote_open(rig.trie, handles[i], &remote), OK);
    return remote;
}

static struct remote_filter
filter_of(unsigned remote, const char *text)
{
    struct slice slice = slice_str(text);
    const struct hash_key key = {5, 6};
    return (struct remote_filter){
        .remote = remote, .text = slice, .check = (uint32_t)hash_bytes(&key, text, slice.len)};
}

static void
put(unsigned remote, const char *text)
{
    struct remote_filter filter = filter_of(remote, text);
    cr_assert_eq(trie_remote_add(rig.trie, rig.self, &filter, 1), OK, "%s", text);
}

static bool
take_away(unsigned remote, const char *text)
{
    struct remote_filter filter = filter_of(remote, text);
    uint32_t number;
    bool removed = trie_remote_remove(rig.trie, rig.self, &filter, &number);
    rcu_quiescent(rig.self);
    return removed;
}

static bool
wants(unsigned i, const char *topic)
{
    uint32_t n = matches(&rig, topic), found = 0;
    const struct match *match = match_cache_get(rig.cache, slice_str(topic));
    for (uint32_t k = 0; k < n; k++)
        if (same(match->entries[k].handle, handles[i])) {
            cr_assert_eq(match->entries[k].shards, UINT64_C(1) << i % 3);
            found++;
        }
    cr_assert_leq(found, 1, "a node is there once, however many of its filters match");
    return found == 1;
}

Test(trie_remote, a_node_is_found_once_by_whatever_matches)
{
    unsigned a = node(0), b = node(1);
    cr_assert_not(wants(0, "x/y"));
    put(a, "x/y");
    put(a, "x/+");
    put(a, "x/#");
    put(b, "x/y/#");
    cr_assert(wants(0, "x/y") && wants(1, "x/y"));
    cr_assert(wants(0, "x") && !wants(1, "x"));
    cr_assert(wants(0, "x/y/z") && wants(1, "x/y/z"));
    cr_assert(take_away(a, "x/#") && !take_away(a, "x/#"));
    cr_assert(wants(0, "x/y") && !wants(0, "x/y/z"));
    cr_assert(take_away(a, "x/y") && wants(0, "x/y"));
    cr_assert(take_away(a, "x/+") && !wants(0, "x/y"));
    cr_assert_eq(trie_remote_count(rig.trie, a), 0);
    cr_assert_eq(trie_remote_count(rig.trie, b), 1);
}

Test(trie_remote, filters_that_begin_with_a_wildcard_do_not_match_dollar_topics) // [MQTT-4.7.2-1]
{
    unsigned a = node(0);
    put(a, "#");
    put(a, "+/b");
    put(a, "+/#");
    cr_assert(wants(0, "a/b") && wants(0, "a"));
    cr_assert(!wants(0, "$a/b") && !wants(0, "$a"));
    put(a, "$a/+");
    cr_assert(wants(0, "$a/b") && !wants(0, "$a"));
    put(a, "$a");
    cr_assert(wants(0, "$a"));
}

// ---- Against the obvious matcher ----------------------------------------------------------------

#define FILTERS 600
#define NODES   3u

static void
random_filter(char *text)
{
    static const char *const levels[] = {"a", "b", "", "+", "+", "cc", "$d"};
    uint32_t depth = 1 + next_random(&rig) % 5;
    *text = 0;
    for (uint32_t i = 0; i < depth; i++) {
        if (i > 0)
            append(text, "/");
        if (i + 1 == depth && next_random(&rig) % 3 == 0)
            append(text, "#");
        else
            append(text, levels[next_random(&rig) % ARRAY_LEN(levels)]);
    }
    if (*text == 0)
        append(text, "a");
}

static void
random_topic(char *text)
{
    static const char *const levels[] = {"a", "b", "", "cc", "$d"};
    uint32_t depth = 1 + next_random(&rig) % 5;
    *text = 0;
    for (uint32_t i = 0; i < depth; i++) {
        if (i > 0)
            append(text, "/");
        append(text, levels[next_random(&rig) % ARRAY_LEN(levels)]);
    }
    if (*text == 0)
        append(text, "b");
}

struct entry {
    char text[32];
    bool in[NODES];
};

static uint32_t
change(struct entry *entry, unsigned i, unsigned remote)
{
    struct remote_filter filter = filter_of(remote, entry->text);
    uint32_t number;
    cr_assert_eq(trie_remote_find(rig.trie, &filter), entry->in[i]);
    if (entry->in[i])
        cr_assert(trie_remote_remove(rig.trie, rig.self, &filter, &number));
    else if (trie_remote_add(rig.trie, rig.self, &filter, 7) != OK)
        return 1; // one shape too many
    entry->in[i] = !entry->in[i];
    return 0;
}

Test(trie_remote, random_filters_match_what_the_obvious_matcher_says)
{
    static struct entry entries[FILTERS];
    unsigned remotes[NODES];
    uint32_t count = 0, refused = 0;
    for (unsigned i = 0; i < NODES; i++)
        remotes[i] = node(i);
    while (count < FILTERS) {
        struct entry entry = {0};
        random_filter(entry.text);
        bool known = false;
        for (uint32_t k = 0; k < count; k++)
            known |= strcmp(entries[k].text, entry.text) == 0;
        if (!known)
            entries[count++] = entry;
    }
    for (uint32_t round = 0; round < 4000; round++) {
        for (uint32_t k = 0; k < 4; k++) {
            unsigned i = next_random(&rig) % NODES;
            // Few at a time: so shapes come and go.
            uint32_t at = next_random(&rig) % (round % 1000 < 500 ? FILTERS : 20);
            refused += change(&entries[at], i, remotes[i]);
        }
        char topic[32];
        random_topic(topic);
        for (unsigned i = 0; i < NODES; i++) {
            bool expected = false;
            for (uint32_t k = 0; k < FILTERS; k++)
                expected |=
                    entries[k].in[i] && topic_matches(slice_str(entries[k].text), slice_str(topic));
            cr_assert_eq(wants(i, topic), expected, "%u, %s", i, topic);
        }
        rcu_quiescent(rig.self);
    }
    cr_assert_gt(refused, 0, "the limit of shapes was met");
}

// ---- Limits -------------------------------------------------------------------------------------

Test(trie_remote, one_more_shape_is_refused_until_one_has_gone)
{
    unsigned a = node(0);
    char text[2 * REMOTE_SHAPES_MAX + 8] = "x";
    for (uint32_t i = 0; i < REMOTE_SHAPES_MAX; i++) {
        append(text, "/+");
        put(a, text);
    }
    append(text, "/+");
    struct remote_filter filter = filter_of(a, text);
    cr_assert_eq(trie_remote_add(rig.trie, rig.self, &filter, 1), ERR_FULL);
    put(a, "y/+"); // a shape that is there
    cr_assert(take_away(a, "x/+/+"));
    cr_assert_eq(trie_remote_add(rig.trie, rig.self, &filter, 1), OK);
    cr_assert(wants(0, "y/1") && wants(0, "x/1") && !wants(0, "x/1/2") && wants(0, "x/1/2/3"));
}

Test(trie_remote, deep_filters)
{
    unsigned a = node(0);
    char text[3 * TOPIC_LEVELS_MAX] = "";
    for (uint32_t i = 0; i + 1 < TOPIC_LEVELS_MAX; i++)
        append(text, "a/");
    append(text, "#");
    put(a, text);
    text[strlen(text) - 1] = 'a';
    cr_assert(wants(0, text));
    put(a, "+/a/#");
    memcpy(text + 2 * (TOPIC_LEVELS_MAX - 1), "+", 1); // too far for a bit of its own
    struct remote_filter filter = filter_of(a, text);
    cr_assert_eq(trie_remote_add(rig.trie, rig.self, &filter, 1), ERR_FULL);
}

Test(trie_remote, nodes_are_limited_and_give_their_numbers_back)
{
    for (unsigned i = 0; i < TRIE_REMOTES_MAX; i++)
        cr_assert_eq(node(i), i);
    unsigned remote;
    struct trie_handle more = add(&rig, "$node/more", 0);
    cr_assert_eq(trie_remote_open(rig.trie, more, &remote), ERR_FULL);
    put(7, "a");
    struct prints_place place = {0};
    uint32_t numbers[REMOTE_TAKEN_MAX];
    cr_assert_eq(trie_remote_take(rig.trie, rig.self, 7, true, &place, numbers), 1);
    cr_assert_eq(numbers[0], 1);
    cr_assert_not(wants(7, "a"), "a kept result is stale");
    trie_remote_close(rig.trie, 7);
    cr_assert_eq(trie_remote_open(rig.trie, more, &remote), OK);
    cr_assert_eq(remote, 7);
}

// So do another's, and parts of the table are made anew in between, with fewer places.
Test(trie_remote, all_of_a_node_go_whatever_others_do_meanwhile)
{
    unsigned a = node(0), b = node(1);
    char text[32];
    for (uint32_t i = 0; i < 3 * REMOTE_TAKEN_MAX; i++) {
        (void)snprintf(text, sizeof text, "a/%u", i);
        put(a, text);
    }
    struct prints_place place = {0};
    uint32_t numbers[REMOTE_TAKEN_MAX], taken = 0, n, others = 0;
    for (; others < 60000; others++) {
        (void)snprintf(text, sizeof text, "b/%u", others);
        put(b, text);
    }
    while ((n = trie_remote_take(rig.trie, rig.self, a, true, &place, numbers)) > 0) {
        taken += n;
        while (others > 0) {
            (void)snprintf(text, sizeof text, "b/%u", --others);
            cr_assert(take_away(b, text));
        }
    }
    cr_assert_eq(taken, 3 * REMOTE_TAKEN_MAX);
    cr_assert_eq(trie_remote_count(rig.trie, a), 0);
    cr_assert_eq(trie_remote_count(rig.trie, b), others);
    trie_remote_close(rig.trie, a);
}

// ---- For people ---------------------------------------------------------------------------------

Test(trie_remote, what_matches_is_told_as_text)
{
    static const char *const texts[] = {"a/b", "a/+", "+/b", "#", "a/b/#", "a/#", "+/#", "a//#"};
    unsigned a = node(0);
    for (uint32_t i = 0; i < ARRAY_LEN(texts); i++)
        put(a, texts[i]);
    uint32_t place = 0, count = 0;
    char *text;
    while ((text = trie_remote_matching(rig.trie, a, slice_str("a/b"), &place)) != NULL) {
        bool known = false;
        for (uint32_t i = 0; i < ARRAY_LEN(texts); i++)
            known |= strcmp(text, texts[i]) == 0;
        cr_assert(known && topic_matches(slice_str(text), slice_str("a/b")), "%s", text);
        count++;
        mem_free(text);
    }
    cr_assert_eq(count, 7);
}
