// test_alias.c - Topic Aliases of one connection.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/alias.h"

Test(alias, a_client_sets_and_replaces)
{
    struct alias_table *table = alias_table_new(10);
    cr_assert_null(alias_get(table, 10).data);
    alias_set(table, 10, slice_str("a/b"));
    cr_assert(slice_equal(alias_get(table, 10), slice_str("a/b")));
    alias_set(table, 10, slice_str("longer/than/before"));
    cr_assert(slice_equal(alias_get(table, 10), slice_str("longer/than/before")));
    cr_assert_null(alias_get(table, 1).data);
    alias_table_free(table);
}

Test(alias, towards_a_client_each_topic_is_new_once)
{
    struct hash_key key = {1, 2};
    struct alias_table *table = alias_table_new(64);
    bool is_new;
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < 100; i++) {
            char topic[32];
            (void)snprintf(topic, sizeof topic, "room/%u", i);
            uint16_t alias = alias_for_topic(table, &key, slice_str(topic), &is_new);
            cr_assert_eq(alias, i < 64 ? i + 1 : 0);
            cr_assert_eq(is_new, i < 64 && round == 0);
        }
    }
    alias_table_free(table);
}
