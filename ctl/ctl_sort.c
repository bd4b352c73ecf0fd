// ctl_sort.c - the clients that ternmqctl has been told of, in an order.
#include "ctl/ctl_sort.h"

#include <stdlib.h>

#include "core/base/mem.h"

// Rows beyond the limit before they are thinned out.
#define SLACK 1024u

static const char *const keys[CTL_ORDERS] = {
    [CTL_ORDER_CONNECTED] = "connected_since",
    [CTL_ORDER_QUEUE] = "queued",
    [CTL_ORDER_INFLIGHT] = "inflight",
    [CTL_ORDER_SUBS] = "subscriptions",
    [CTL_ORDER_IN] = "messages_in",
    [CTL_ORDER_OUT] = "messages_out",
    [CTL_ORDER_OLDEST] = "oldest_ms",
    [CTL_ORDER_OUTPUT] = "output_bytes",
    [CTL_ORDER_DROPPED] = "dropped",
};

const char *const ctl_order_names[CTL_ORDERS] = {
    [CTL_ORDER_ID] = "id",         [CTL_ORDER_CONNECTED] = "connected",
    [CTL_ORDER_QUEUE] = "queue",   [CTL_ORDER_INFLIGHT] = "inflight",
    [CTL_ORDER_SUBS] = "subs",     [CTL_ORDER_IN] = "in",
    [CTL_ORDER_OUT] = "out",       [CTL_ORDER_OLDEST] = "oldest",
    [CTL_ORDER_OUTPUT] = "output", [CTL_ORDER_DROPPED] = "dropped",
};

bool
ctl_order_read(const char *name, enum ctl_order *ret)
{
    must(name != NULL);
    for (unsigned i = CTL_ORDER_NONE + 1; i < CTL_ORDERS; i++)
        if (strcmp(name, ctl_order_names[i]) == 0) {
            *ret = (enum ctl_order)i;
            return true;
        }
    return false;
}

static struct slice
id_of(const json_t *row)
{
    const json_t *id = json_object_get(row, "id");
    return slice_of(json_string_value(id), json_string_length(id));
}

static int
compare_ids(const json_t *a, const json_t *b)
{
    struct slice x = id_of(a), y = id_of(b);
    uint32_t len = min_u32(x.len, y.len);
    int order = len > 0 ? memcmp(x.data, y.data, len) : 0;
    if (order != 0)
        return order;
    return (x.len > y.len) - (x.len < y.len);
}

// Those that are equal by what they are sorted by are in the order of their identifiers.
static int
compare(const void *a, const void *b, void *arg)
{
    const enum ctl_order *order = arg;
    const json_t *x = *(json_t *const *)a, *y = *(json_t *const *)b;
    must(*order > CTL_ORDER_NONE && *order < CTL_ORDERS);
    if (*order == CTL_ORDER_ID)
        return compare_ids(x, y);
    const json_t *x_value = json_object_get(x, keys[*order]);
    const json_t *y_value = json_object_get(y, keys[*order]);
    if (!x_value || !y_value) // without a connection
        return x_value ? -1 : y_value ? 1 : compare_ids(x, y);
    json_int_t i = json_integer_value(x_value), j = json_integer_value(y_value);
    if (i == j && *order == CTL_ORDER_OLDEST) {
        i = json_integer_value(json_object_get(x, "output_bytes"));
        j = json_integer_value(json_object_get(y, "output_bytes"));
    }
    if (i == j)
        return compare_ids(x, y);
    return (i < j) == (*order == CTL_ORDER_CONNECTED) ? -1 : 1;
}

static void
sort(struct ctl_sorted *sorted)
{
    if (sorted->count > 1)
        qsort_r((void *)sorted->rows, sorted->count, sizeof(json_t *), compare, &sorted->order);
    while (sorted->count > sorted->limit)
        json_decref(sorted->rows[--sorted->count]);
}

void
ctl_sorted_add(struct ctl_sorted *sorted, json_t *row)
{
    must(row && sorted->limit > 0);
    sorted->rows =
        mem_grow((void *)sorted->rows, &sorted->cap, sorted->count + 1, sizeof(json_t *));
    sorted->rows[sorted->count++] = json_incref(row);
    if (sorted->count / 2 > sorted->limit && sorted->count > SLACK)
        sort(sorted);
}

void
ctl_sorted_finish(struct ctl_sorted *sorted)
{
    sort(sorted);
    must(sorted->count <= sorted->limit);
}

void
ctl_sorted_free(struct ctl_sorted *sorted)
{
    for (uint32_t i = 0; i < sorted->count; i++)
        json_decref(sorted->rows[i]);
    mem_free((void *)sorted->rows);
    *sorted = (struct ctl_sorted){0};
}
