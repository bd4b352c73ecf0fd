// test_deliveries.c - the ring of messages on their way to one client.
#include <criterion/criterion.h>

#include "core/deliveries.h"

static struct delivery_totals totals;

static struct msg *
message(const char *text)
{
    struct pub pub = {.topic = slice_str("t"), .payload = slice_str(text), .qos = 2};
    return msg_new(&pub);
}

static void
push(struct deliveries *d, const char *text, uint8_t qos)
{
    struct delivery entry = {.msg = message(text), .qos = qos, .state = DELIVERY_QUEUED};
    deliveries_push(d, &entry);
}

// Sends the next entry, returns its packet identifier.
static uint16_t
send_next(struct deliveries *d)
{
    uint64_t seq = d->sent++;
    deliveries_mark_sent(d, deliveries_at(d, seq));
    return deliveries_packet_id(seq);
}

Test(deliveries, identifiers_are_unique_and_never_zero)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    for (unsigned i = 0; i < 200000; i++) {
        push(&d, "m", 1);
        uint16_t id = send_next(&d);
        cr_assert_neq(id, 0);
        struct delivery *entry = deliveries_find(&d, id);
        cr_assert_not_null(entry);
        deliveries_finish(&d, entry);
        cr_assert_null(deliveries_find(&d, id));
    }
    cr_assert(deliveries_empty(&d));
    deliveries_free(&d);
    cr_assert_eq(totals.queued + totals.queued_bytes + totals.inflight, 0);
}

Test(deliveries, what_goes_out_at_once_is_as_what_was_sent_from_the_queue)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    for (unsigned i = 0; i < 100; i++) {
        uint16_t want = deliveries_packet_id(d.tail), id = want;
        if (i % 3 == 0) {
            push(&d, "m", 1);
            id = send_next(&d);
        } else {
            struct delivery *place = deliveries_add_sent(&d);
            *place = (struct delivery){.msg = message("m"), .qos = 2, .state = DELIVERY_SENT};
            cr_assert_eq(place, deliveries_find(&d, id));
        }
        cr_assert_eq(id, want);
    }
    cr_assert_eq(totals.queued + totals.queued_bytes, 0);
    cr_assert_eq(totals.inflight, 100);
    cr_assert_eq(d.inflight, 100);
    deliveries_rewind(&d); // they go out again, in order, before what comes now
    cr_assert_eq(d.sent, d.head);
    for (unsigned i = 0; i < 100; i++) {
        struct delivery *entry = deliveries_at(&d, d.sent);
        cr_assert(entry->resend && entry->state == DELIVERY_SENT);
        uint16_t id = send_next(&d);
        deliveries_finish(&d, deliveries_find(&d, id));
    }
    cr_assert(deliveries_empty(&d));
    cr_assert_eq(totals.inflight, 0);
    deliveries_free(&d);
}

Test(deliveries, acknowledged_out_of_order)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint16_t ids[50];
    for (unsigned i = 0; i < 50; i++) {
        push(&d, "m", 1);
        ids[i] = send_next(&d);
    }
    cr_assert_eq(d.inflight, 50);
    for (unsigned i = 50; i-- > 0;)
        deliveries_finish(&d, deliveries_find(&d, ids[i]));
    cr_assert(deliveries_empty(&d));
    cr_assert_eq(d.inflight, 0);
    deliveries_free(&d);
}

Test(deliveries, rewind_keeps_order_identifiers_and_state)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint16_t ids[4];
    for (unsigned i = 0; i < 4; i++) {
        push(&d, "m", 2);
        ids[i] = send_next(&d);
    }
    push(&d, "waits", 1);
    deliveries_release(deliveries_find(&d, ids[1]));
    deliveries_finish(&d, deliveries_find(&d, ids[0]));
    deliveries_rewind(&d);
    cr_assert_eq(d.inflight, 0);
    for (unsigned i = 1; i < 4; i++)
        cr_assert_null(deliveries_find(&d, ids[i]), "not acknowledgeable before it is sent again");
    for (unsigned i = 1; i < 4; i++) {
        struct delivery *entry = deliveries_at(&d, d.sent);
        cr_assert_eq(entry->state, i == 1 ? DELIVERY_RELEASED : DELIVERY_SENT);
        cr_assert_eq(entry->resend, 1);
        cr_assert_eq(send_next(&d), ids[i]);
        cr_assert_eq(entry->resend, 0);
    }
    cr_assert_eq(d.inflight, 3);
    cr_assert_eq(d.queued, 1);
    deliveries_free(&d);
    cr_assert_eq(totals.inflight, 0);
}

Test(deliveries, dropping_the_oldest_for_ever_keeps_the_ring_small)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    push(&d, "sent", 1);
    uint16_t id = send_next(&d);
    deliveries_rewind(&d);
    for (unsigned i = 0; i < 100000; i++) {
        push(&d, "m", 1);
        if (d.queued > 10)
            deliveries_drop_oldest(&d);
    }
    cr_assert_eq(d.queued, 10);
    cr_assert_leq(d.cap, 256);
    cr_assert_eq(send_next(&d), id, "what had been sent keeps its identifier");
    deliveries_free(&d);
}

Test(deliveries, dropping_the_oldest_leaves_what_was_sent_out_of_order)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint16_t ids[4];
    for (unsigned i = 0; i < 4; i++) {
        push(&d, "sent", 1);
        ids[i] = send_next(&d);
    }
    deliveries_finish(&d, deliveries_find(&d, ids[1]));
    deliveries_rewind(&d);
    cr_assert_eq(deliveries_unacked(&d), 3, "without a connection, too");
    for (unsigned i = 0; i < 1000; i++) {
        push(&d, "m", 1);
        if (d.queued > 10)
            deliveries_drop_oldest(&d);
    }
    cr_assert_leq(d.cap, 256);
    cr_assert_eq(deliveries_unacked(&d), 13);
    for (unsigned i = 0; i < 4; i++) {
        if (i == 1)
            d.sent++; // acknowledged
        else
            cr_assert_eq(send_next(&d), ids[i]);
    }
    cr_assert_eq(deliveries_unacked(&d), 13, "with one, too");
    deliveries_free(&d);
}

Test(deliveries, dropping_the_oldest_takes_the_oldest)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    push(&d, "a", 1);
    push(&d, "b", 1);
    push(&d, "c", 1);
    deliveries_drop_oldest(&d);
    deliveries_drop_oldest(&d);
    cr_assert_eq(d.queued, 1);
    uint64_t seq = d.tail - 1;
    cr_assert(slice_equal(msg_payload(deliveries_at(&d, seq)->msg), slice_str("c")));
    deliveries_drop_oldest(&d);
    deliveries_drop_oldest(&d);
    cr_assert(deliveries_empty(&d));
    deliveries_free(&d);
}

Test(deliveries, identifier_lists_are_released)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint32_t *ids = malloc(3 * sizeof *ids);
    struct delivery entry = {.msg = message("m"),
                             .qos = 1,
                             .state = DELIVERY_QUEUED,
                             .subscription.ids = ids,
                             .subscription_id_count = 3};
    deliveries_push(&d, &entry);
    deliveries_free(&d); // the address sanitizer sees a leak
    cr_assert_eq(totals.queued_bytes, 0);
}

// ---- Rows ---------------------------------------------------------------------------------------

static struct msg *
run_of(struct pub *run, uint8_t *bytes, uint32_t count)
{
    uint32_t len = 0;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t packet[] = {0x34, 6, 0, 1, 't', 0, 7, 'x'};
        memcpy(bytes + len, packet, sizeof packet);
        len += sizeof packet;
    }
    *run = (struct pub){.topic = slice_of(bytes + 4, 1), .qos = 2};
    run->packet = (struct pub_packet){.bytes = bytes,
                                      .len = len,
                                      .payload_len = count,
                                      .id_at = 5,
                                      .count = (uint16_t)count,
                                      .form = packet_form(false, 2)};
    return pub_run_ref(run, count);
}

static void
row_from(uint8_t *row, uint16_t id, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++, id = deliveries_next_id(id)) {
        row[i * 4 + 2] = (uint8_t)(id >> 8);
        row[i * 4 + 3] = (uint8_t)id;
    }
}

Test(deliveries, rows_go_through_all_identifiers)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint8_t bytes[8 * 20], row[20 * 4] = {0};
    for (unsigned i = 0; i < 10000; i++) {
        struct pub run;
        struct msg *msg = run_of(&run, bytes, 20);
        uint16_t first = deliveries_packet_id(d.tail);
        deliveries_add_run(&d, msg, 20, 20, 2);
        pub_done(&run);
        row_from(row, first, 20);
        cr_assert_eq(deliveries_finish_oldest(&d, row, 20, DELIVERY_RELEASED, 2), 0);
        cr_assert_eq(deliveries_release_row(&d, row, 20), 20);
        cr_assert_eq(deliveries_release_row(&d, row, 20), 0);
        cr_assert_eq(deliveries_finish_oldest(&d, row, 20, DELIVERY_RELEASED, 2), 20);
        cr_assert(deliveries_empty(&d));
        cr_assert_eq(deliveries_finish_oldest(&d, row, 20, DELIVERY_RELEASED, 2), 0);
    }
    deliveries_free(&d);
    cr_assert_eq(totals.inflight, 0);
}

Test(deliveries, a_run_waits_in_part_and_counts_as_its_messages)
{
    struct deliveries d;
    deliveries_init(&d, &totals);
    uint8_t bytes[8 * 10];
    struct pub run;
    struct msg *msg = run_of(&run, bytes, 10), *one = message("x");
    deliveries_add_run(&d, msg, 10, 4, 1);
    pub_done(&run);
    cr_assert_eq(d.inflight, 4);
    cr_assert_eq(d.queued, 6);
    cr_assert_eq(d.queued_bytes, 6 * msg_size(one));
    msg_unref(one);
    struct pub part;
    delivery_pub(deliveries_oldest(&d), &part);
    cr_assert(slice_equal(part.topic, slice_str("t")));
    cr_assert(slice_equal(part.payload, slice_str("x")));
    deliveries_drop_oldest(&d);
    d.sent++; // past it
    cr_assert_eq(send_next(&d), 6);
    deliveries_rewind(&d);
    cr_assert_eq(send_next(&d), 1, "what was sent goes out again as it was");
    deliveries_free(&d);
    cr_assert_eq(totals.queued + totals.queued_bytes + totals.inflight, 0);
}
