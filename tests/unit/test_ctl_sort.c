// test_ctl_sort.c - clients that were listed in no order, in one.
#include <criterion/criterion.h>
#include <stdio.h>

#include "ctl/ctl_sort.h"

static struct ctl_sorted sorted;

static void
add(const char *id, int queued, int since)
{
    json_t *row = json_object();
    (void)json_object_set_new(row, "id", json_string(id));
    (void)json_object_set_new(row, "queued", json_integer(queued));
    if (since > 0)
        (void)json_object_set_new(row, "connected_since", json_integer(since));
    ctl_sorted_add(&sorted, row);
    json_decref(row);
}

static void
begin(enum ctl_order order, uint64_t limit)
{
    ctl_sorted_free(&sorted);
    sorted = (struct ctl_sorted){.order = order, .limit = limit};
}

// The identifiers in their order, one letter each.
static void
expect(const char *ids)
{
    ctl_sorted_finish(&sorted);
    cr_assert_eq(sorted.count, strlen(ids), "%u rows, not %s", sorted.count, ids);
    for (uint32_t i = 0; i < sorted.count; i++) {
        const char *id = json_string_value(json_object_get(sorted.rows[i], "id"));
        cr_assert_eq(id[0], ids[i], "%s at place %u of %s", id, i, ids);
    }
    ctl_sorted_free(&sorted);
}

static void
add_some(void)
{
    add("c", 1, 30);
    add("a", 7, 0);
    add("d", 7, 10);
    add("b", 0, 20);
}

Test(ctl_sort, each_key_has_its_order)
{
    begin(CTL_ORDER_ID, UINT64_MAX);
    add_some();
    expect("abcd");
    begin(CTL_ORDER_QUEUE, UINT64_MAX); // the largest first, equal ones by their identifiers
    add_some();
    expect("adcb");
    begin(CTL_ORDER_CONNECTED, UINT64_MAX); // the longest first, those without a connection last
    add_some();
    expect("dbca");
    begin(CTL_ORDER_IN, UINT64_MAX); // nobody says it
    add_some();
    expect("abcd");
}

Test(ctl_sort, a_limit_keeps_the_first_of_all)
{
    enum { MANY = 10007 };
    char id[16];
    begin(CTL_ORDER_QUEUE, 3);
    for (int i = 0; i < MANY; i++) { // 7 has no part in common with their number
        int queued = i * 7 % MANY;
        (void)snprintf(id, sizeof id, "%d", queued);
        add(id, queued, 0);
        cr_assert_leq(sorted.count, 1025, "no more are kept than are needed");
    }
    ctl_sorted_finish(&sorted);
    cr_assert_eq(sorted.count, 3);
    for (int i = 0; i < 3; i++)
        cr_assert_eq(json_integer_value(json_object_get(sorted.rows[i], "queued")), MANY - 1 - i);
    ctl_sorted_free(&sorted);
}

Test(ctl_sort, names_of_orders_come_back)
{
    enum ctl_order order;
    for (unsigned i = CTL_ORDER_NONE + 1; i < CTL_ORDERS; i++) {
        cr_assert(ctl_order_read(ctl_order_names[i], &order));
        cr_assert_eq(order, i);
    }
    cr_assert_not(ctl_order_read("", &order));
    cr_assert_not(ctl_order_read("queued", &order));
}

static void
add_slow(const char *id, json_t *oldest, int output)
{
    json_t *row = json_object();
    (void)json_object_set_new(row, "id", json_string(id));
    (void)json_object_set_new(row, "oldest_ms", oldest);
    (void)json_object_set_new(row, "output_bytes", json_integer(output));
    ctl_sorted_add(&sorted, row);
    json_decref(row);
}

Test(ctl_sort, the_slowest_first)
{
    begin(CTL_ORDER_OLDEST, UINT64_MAX); // what is not known behind what is; then by output
    add_slow("c", json_null(), 5);
    add_slow("a", json_integer(10), 0);
    add_slow("d", json_null(), 7);
    add_slow("b", json_integer(20), 0);
    add_slow("e", json_null(), 7);
    expect("badec");
}
