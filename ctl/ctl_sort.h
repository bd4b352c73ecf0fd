// ctl_sort.h - the clients that ternmqctl has been told of, in an order.
//
// Job:    the broker lists clients in no order; here they are put into one, and the first of them
//         are kept.
// Owner:  the caller. Thread: one.
// Memory: a reference to each row that is kept: of all of them, or of about twice `limit`.
// Limits: none but memory.
#ifndef TERN_CTL_CTL_SORT_H
#define TERN_CTL_CTL_SORT_H

#include <jansson.h>

#include "core/base/base.h"

enum ctl_order {
    CTL_ORDER_NONE,
    CTL_ORDER_ID,        // by the bytes of the identifier
    CTL_ORDER_CONNECTED, // the longest connection first, sessions without one last
    CTL_ORDER_QUEUE,     // from here on the largest first
    CTL_ORDER_INFLIGHT,
    CTL_ORDER_SUBS,
    CTL_ORDER_IN,
    CTL_ORDER_OUT,
    CTL_ORDER_OLDEST, // what is not known last; then by output_bytes
    CTL_ORDER_OUTPUT,
    CTL_ORDER_DROPPED,
    CTL_ORDERS,
};

extern const char *const ctl_order_names[CTL_ORDERS]; // CTL_ORDER_NONE: NULL
bool ctl_order_read(const char *name, enum ctl_order *ret);

struct ctl_sorted {
    enum ctl_order order;
    uint64_t limit; // so many are wanted; UINT64_MAX: all
    json_t **rows;
    uint32_t count, cap;
};

void ctl_sorted_add(struct ctl_sorted *sorted, json_t *row); // takes a reference of its own
// No more are added: [0, count) are in order, and no more than limit.
void ctl_sorted_finish(struct ctl_sorted *sorted);
void ctl_sorted_free(struct ctl_sorted *sorted);

#endif
