// test_trie_nodes.c - where wildcard filters hang: nodes come where filters part, and go again.
#include "test_trie.h"

static uint64_t
nodes(const struct rig *rig)
{
    return stats_of(rig).nodes - 1; // the root is always there
}

Test(trie_nodes, a_filter_alone_has_no_node)
{
    static const char *const filters[] = {"a/b/c/+", "b/+/c/d/#", "+/a/b", "#", "/+", "c/#", "d/"};
    struct rig rig = rig_new(1);
    for (uint32_t i = 0; i < ARRAY_LEN(filters); i++)
        add(&rig, filters[i], 0);
    cr_assert_eq(nodes(&rig), 0);
    cr_assert_eq(matches(&rig, "a/b/c/d"), 2);
    cr_assert_eq(matches(&rig, "a/b/c"), 1);
    cr_assert_eq(matches(&rig, "a/b/c/d/e"), 1);
    cr_assert_eq(matches(&rig, "b/x/c/d"), 2);
    cr_assert_eq(matches(&rig, "b//c/d/e/f"), 2);
    cr_assert_eq(matches(&rig, "b/x/c"), 1);
    cr_assert_eq(matches(&rig, "x/a/b"), 2);
    cr_assert_eq(matches(&rig, "x/a/bb"), 1);
    cr_assert_eq(matches(&rig, "x/a/b/c"), 1);
    cr_assert_eq(matches(&rig, "/"), 2);
    cr_assert_eq(matches(&rig, "c"), 2);
    cr_assert_eq(matches(&rig, "d/"), 2);
    cr_assert_eq(matches(&rig, "$x/a/b"), 0);
    rig_free(&rig);
}

Test(trie_nodes, two_filters_part_where_they_differ_and_one_is_alone_again)
{
    struct rig rig = rig_new(2);
    struct trie_handle x = add(&rig, "a/+/c/x/#", 0);
    uint64_t bytes = stats_of(&rig).bytes;
    struct trie_handle y = add(&rig, "a/+/c/y/#", 0);
    cr_assert_eq(nodes(&rig), 3, "a, + and c");
    cr_assert_eq(matches(&rig, "a/b/c/x"), 1);
    cr_assert_eq(matches(&rig, "a/b/c/y/z"), 1);
    cr_assert_eq(matches(&rig, "a/b/c/z"), 0);
    struct trie_handle up = add(&rig, "a/+", 0); // ends at a node
    cr_assert_eq(nodes(&rig), 3);
    drop(&rig, y, 0);
    cr_assert_eq(nodes(&rig), 2);
    cr_assert_eq(matches(&rig, "a/b"), 1);
    cr_assert_eq(matches(&rig, "a/b/c/x"), 1);
    drop(&rig, x, 0);
    cr_assert_eq(nodes(&rig), 0);
    cr_assert_eq(matches(&rig, "a/b"), 1);
    drop(&rig, up, 0);
    cr_assert_eq(matches(&rig, "a/b"), 0);
    add(&rig, "a/+/c/x/#", 0);
    cr_assert_eq(stats_of(&rig).bytes, bytes);
    rig_free(&rig);
}

// Of all pairs that part at one node either goes first, wherever it hangs.
Test(trie_nodes, whichever_remains_takes_the_place_of_the_node)
{
    static const char *const filters[] = {"+/a",   "+/a/#", "+/a/+",   "+/a/b",
                                          "+/a/c", "+/a/d", "+/a/+/x", "+/a//#"};
    static const char *const topics[] = {"x/a", "x/a/b", "x/a/c", "x/a/d", "x/a/e/x", "x/a//y"};
    for (uint32_t i = 0; i < ARRAY_LEN(filters); i++)
        for (uint32_t k = 0; k < ARRAY_LEN(filters); k++) {
            if (k == i)
                continue;
            struct rig rig = rig_new(3);
            struct trie_handle goes = add(&rig, filters[i], 0);
            add(&rig, filters[k], 0);
            uint64_t parted = nodes(&rig);
            cr_assert(parted == 2 || parted == 3, "%s %s", filters[i], filters[k]);
            drop(&rig, goes, 0);
            cr_assert_eq(nodes(&rig), 0);
            for (uint32_t t = 0; t < ARRAY_LEN(topics); t++)
                cr_assert_eq(matches(&rig, topics[t]),
                             topic_matches(slice_str(filters[k]), slice_str(topics[t])));
            rig_free(&rig);
        }
}

// Of many children, any may be the last one: in place or in the table, which was large.
Test(trie_nodes, the_last_of_many_children_takes_the_place_of_their_node)
{
    enum { MANY = 200 };
    struct trie_handle handles[MANY];
    char text[32];
    for (uint32_t last = 0; last < MANY; last += 37) {
        struct rig rig = rig_new(4);
        for (uint32_t i = 0; i < MANY; i++) {
            (void)snprintf(text, sizeof text, "a/+/%u/#", i);
            handles[i] = add(&rig, text, 0);
        }
        cr_assert_eq(nodes(&rig), 2);
        for (uint32_t i = 0; i < MANY; i++)
            if (i != last)
                drop(&rig, handles[i], 0);
        cr_assert_eq(nodes(&rig), 0);
        (void)snprintf(text, sizeof text, "a/b/%u", last);
        cr_assert_eq(matches(&rig, text), 1);
        drop(&rig, handles[last], 0);
        cr_assert_eq(matches(&rig, text), 0);
        rig_free(&rig);
    }
}

// What a reader relies on that stands on a node while others come and go below it.
Test(trie_nodes, a_node_that_was_replaced_still_leads_to_its_filter)
{
    struct rig rig = rig_new(5);
    struct trie_handle stays = add(&rig, "a/b/#", 0), goes = add(&rig, "a/+", 0);
    const struct node *root = rig.trie->root;
    struct slice level = slice_str("a"), below = slice_str("b");
    uint64_t key = trie_key(rig.trie, level), below_key = trie_key(rig.trie, below);
    const struct node *node = node_child(root, 0, level, key);
    cr_assert(node && !child_filter(node));
    trie_remove(rig.trie, rig.self, goes, 0); // no quiescent state: the node is still there
    const struct filter *filter = child_filter(node_child(root, 0, level, key));
    cr_assert(filter, "the filter hangs in the node's place");
    cr_assert_eq(child_filter(node_child(node, 2, below, below_key)), filter);
    trie_remove(rig.trie, rig.self, stays, 0);
    cr_assert_null(node_child(root, 0, level, key));
    cr_assert_eq(child_filter(node_child(node, 2, below, below_key)), filter);
    cr_assert_eq(atomic_load(&filter->shards), 0, "found, but nobody wants it");
    rcu_quiescent(rig.self);
    rcu_quiescent(rig.self);
    cr_assert_eq(rcu_deferred(rig.self), 0);
    rig_free(&rig);
}

Test(trie_nodes, a_text_with_the_same_key_is_still_another_text)
{
    struct hash_key key = {0};
    struct node *child = mem_zalloc(sizeof *child + 2), parent = {0};
    struct slice wanted = slice_str("ab");
    child->key = text_key(&key, wanted);
    memcpy(child->text, "ba", 2); // as if both had one hash
    atomic_store(&parent.first, (uint64_t)(uintptr_t)child | ptrtab_tag(child->key));
    cr_assert_null(node_child(&parent, 0, wanted, child->key));
    memcpy(child->text, "ab", 2);
    cr_assert_eq(node_child(&parent, 0, wanted, child->key), child);
    mem_free(child);
}

Test(trie_nodes, a_leaf_with_the_same_hash_is_still_another_level)
{
    static const struct {
        const char *text;
        bool same;
    } leaves[] = {{"+/ab/#", true},  {"+/ab", true},   {"+/abc/#", false},
                  {"+/ba/#", false}, {"+/a/#", false}, {"+/a", false}};
    struct hash_key hash = {0};
    struct slice wanted = slice_str("ab");
    uint64_t key = text_key(&hash, wanted);
    for (uint32_t i = 0; i < ARRAY_LEN(leaves); i++) {
        struct slice text = slice_str(leaves[i].text);
        struct filter *filter = mem_zalloc(sizeof *filter + text.len);
        struct node parent = {0};
        filter->key = text_key(&hash, text);
        memcpy(filter->text, text.data, text.len);
        atomic_store(&parent.first, (uint64_t)(uintptr_t)child_leaf(filter) | ptrtab_tag(key));
        const void *child = node_child(&parent, 2, wanted, key);
        cr_assert_eq(child != NULL, leaves[i].same, "%s", leaves[i].text);
        mem_free(filter);
    }
}

// Two filters that part at the last of two hundred levels.
Test(trie_nodes, the_longest_way_to_a_node)
{
    struct rig rig = rig_new(6);
    char text[2 * TOPIC_LEVELS_MAX] = {0};
    for (uint32_t i = 0; i < TOPIC_LEVELS_MAX - 1; i++)
        memcpy(text + 2 * i, "+/", 2);
    char *last = text + 2 * TOPIC_LEVELS_MAX - 2;
    *last = 'a';
    struct trie_handle a = add(&rig, text, 0);
    *last = '+';
    struct trie_handle plus = add(&rig, text, 0);
    cr_assert_eq(nodes(&rig), TOPIC_LEVELS_MAX - 1);
    memset(text, '/', TOPIC_LEVELS_MAX - 1);
    memcpy(text + TOPIC_LEVELS_MAX - 1, "a", 2);
    cr_assert_eq(matches(&rig, text), 2);
    drop(&rig, plus, 0);
    cr_assert_eq(nodes(&rig), 0);
    cr_assert_eq(matches(&rig, text), 1);
    text[TOPIC_LEVELS_MAX - 1] = 'b';
    cr_assert_eq(matches(&rig, text), 0);
    drop(&rig, a, 0);
    rig_free(&rig);
}
