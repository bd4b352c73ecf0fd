// test_persist_window.c - blobs, slots, and that the window's fields are where record.c puts them.
#include "persist/blob.h"
#include "persist/slots.h"
#include "persist/wal.h"
#include "persist/window.h"
#include "persist/window_fields.h"
#include "test_persist.h"

// ---- Fields -------------------------------------------------------------------------------------

Test(persist_window, fields_are_where_record_c_puts_them)
{
    uint8_t bytes[256];
    const uint64_t large = UINT64_C(0x1122334455667788);
    struct record enqueue = rec_enqueue(large, large + 1, large + 2);
    enqueue.size = 0xa1b2c3d4;
    cr_assert_eq(record_write(bytes, &enqueue) - bytes, ENQUEUE_BYTES);
    cr_assert_eq(field_number(bytes), large);
    cr_assert_eq(field_seq(bytes), large + 1);
    cr_assert_eq(field_enqueue_message(bytes), large + 2);
    cr_assert_eq(field_enqueue_size(bytes), 0xa1b2c3d4);

    struct record state = rec_state(large, large + 1, ENTRY_DONE);
    cr_assert_eq(record_write(bytes, &state) - bytes, STATE_BYTES);
    cr_assert_eq(field_number(bytes), large);
    cr_assert_eq(field_seq(bytes), large + 1);
    cr_assert_eq(field_state(bytes), ENTRY_DONE);

    struct record message = rec_message(large, "");
    message.msg.publisher = large + 3;
    cr_assert_eq(record_write(bytes, &message) - bytes, MESSAGE_BYTES + 1, "the topic has a byte");
    cr_assert_eq(field_number(bytes), large);
    cr_assert_eq(field_publisher(bytes), large + 3);

    struct record retain = rec_retain(large, "a/topic", "payload"), clear = rec_clear(7, "another");
    (void)record_write(bytes, &retain);
    cr_assert_eq(field_number(bytes), large);
    cr_assert(slice_equal(field_topic(bytes), text("a/topic")));
    (void)record_write(bytes, &clear);
    cr_assert_eq(field_number(bytes), 7);
    cr_assert(slice_equal(field_topic(bytes), text("another")));
}

// ---- Windows ------------------------------------------------------------------------------------

static err_t
apply(struct window *window, const void *bytes, uint32_t len)
{
    memcpy(window_room(window, len), bytes, len);
    return window_apply(window, len);
}

Test(persist_window, what_is_no_record_is_told)
{
    struct window *window = window_new(1);
    uint8_t bytes[64];
    struct record state = rec_state(1, 1, ENTRY_DONE);
    uint32_t len = (uint32_t)(record_write(bytes, &state) - bytes);
    cr_assert_eq(apply(window, bytes, len), OK);
    for (uint32_t cut = 1; cut < len; cut++)
        cr_assert_eq(apply(window, bytes, cut), ERR_MALFORMED);
    bytes[0] = 99;
    cr_assert_eq(apply(window, bytes, len), ERR_MALFORMED);
    bytes[0] = JOURNAL_VOID; // never reaches the disk
    cr_assert_eq(apply(window, bytes, len), ERR_MALFORMED);
    bytes[0] = JOURNAL_ENQUEUE;
    cr_assert_eq(apply(window, bytes, len), ERR_MALFORMED);
    bytes[0] = JOURNAL_MESSAGE;
    cr_assert_eq(apply(window, bytes, len), ERR_MALFORMED);
    window_free(window);
}

Test(persist_window, a_window_is_as_new_when_it_is_used_again)
{
    struct window *window = window_new(1);
    uint8_t bytes[64];
    for (unsigned round = 0; round < 3; round++) {
        if (round == 2)
            window_release(window);
        for (uint64_t i = 1; i <= 50000; i++) {
            struct record state = rec_state(i % 100, i, ENTRY_DONE);
            uint32_t len = (uint32_t)(record_write(bytes, &state) - bytes);
            cr_assert_eq(apply(window, bytes, len), OK);
        }
        cr_assert_eq(window->things.used, 50000);
        cr_assert_eq(window->records, 50000);
        cr_assert_not_null(slots_find(&window->things, THING_ENTRY, 50000 % 100, 50000));
        cr_assert_null(slots_find(&window->things, THING_ENTRY, 50000 % 100, 50001));
        window_clear(window);
        cr_assert_null(slots_find(&window->things, THING_ENTRY, 50000 % 100, 50000));
    }
    window_free(window);
}

// ---- Slots --------------------------------------------------------------------------------------

Test(persist_window, slots_find_what_was_put_through_all_growth)
{
    enum { COUNT = 300000 };
    struct slots slots = {0};
    for (unsigned round = 0; round < 3; round++) { // from nothing, and in memory that is there
        for (uint64_t i = 0; i < COUNT; i++)
            slots_at(&slots, (uint8_t)(1 + i % 5), i * 7, i)->at = (uint32_t)i + 1;
        cr_assert_eq(slots.used, COUNT);
        for (uint64_t i = 0; i < COUNT; i++) {
            const struct slot *slot = slots_find(&slots, (uint8_t)(1 + i % 5), i * 7, i);
            cr_assert_not_null(slot);
            cr_assert_eq(slot->at, i + 1);
            cr_assert_null(slots_find(&slots, (uint8_t)(1 + (i + 1) % 5), i * 7, i));
        }
        slots_clear(&slots);
        cr_assert_null(slots_find(&slots, 1, 0, 0));
    }
    slots_free(&slots);
}

// ---- Blobs --------------------------------------------------------------------------------------

Test(persist_window, a_blob_is_good_under_its_own_number_alone)
{
    struct blob_list list = {0};
    uint8_t bytes[64];
    struct record state = rec_state(1, 1, ENTRY_DONE);
    blob_list_add(&list, slice_of(bytes, (size_t)(record_write(bytes, &state) - bytes)));
    cr_assert_eq(list.count, 1);
    blob_seal(&list.blobs[0], 5, 0);
    struct slice blob = slice_of(list.blobs[0].bytes, list.blobs[0].len);
    cr_assert(blob_is_good(blob, 5));
    cr_assert_not(blob_is_good(blob, 6));
    for (uint32_t i = 0; i < blob.len; i++) {
        list.blobs[0].bytes[i] ^= 0x10;
        cr_assert_not(blob_is_good(blob, 5), "byte %u", i);
        list.blobs[0].bytes[i] ^= 0x10;
    }
    for (uint32_t len = 0; len < blob.len; len++)
        cr_assert_not(blob_is_good(slice_of(blob.data, len), 5));
    blob_list_free(&list);
}

Test(persist_window, blobs_have_a_limit_and_segments_a_shard)
{
    struct blob_list list = {0};
    uint8_t bytes[64];
    struct record state = rec_state(1, 1, ENTRY_DONE);
    size_t len = (size_t)(record_write(bytes, &state) - bytes);
    uint64_t records = 0;
    while (list.count < 4) {
        blob_list_add(&list, slice_of(bytes, len));
        records++;
    }
    cr_assert_eq(list.records, records);
    uint64_t total = 0;
    for (uint32_t i = 0; i < list.count; i++) {
        cr_assert_leq(list.blobs[i].len, BLOB_BYTES);
        total += list.blobs[i].len;
        struct slice rest =
            slice_of(list.blobs[i].bytes + BLOB_HEAD, list.blobs[i].len - BLOB_HEAD);
        struct slice segment;
        uint32_t segments = 0;
        bool bad;
        while (blob_segment(&rest, &segment, &bad)) {
            cr_assert_eq(segment.len, len);
            segments++;
        }
        cr_assert_not(bad);
        cr_assert_eq(segments, list.blobs[i].segments);
    }
    cr_assert_eq(list.bytes, total);
    blob_list_free(&list);
}

// ---- Commits ------------------------------------------------------------------------------------

static void
add_message(struct blob_list *list, uint64_t number, uint32_t size)
{
    struct record message = rec_message(number, "");
    uint8_t *payload = mem_zalloc(size);
    message.msg.payload = slice_of(payload, size);
    uint32_t len = record_size(&message);
    uint8_t *bytes = mem_alloc(len);
    (void)record_write(bytes, &message);
    blob_list_add(list, slice_of(bytes, len));
    mem_free(bytes);
    mem_free(payload);
}

// Found by a bench of long queues: of 400,000 messages one was lost now and then. It was the last
// record of a blob, and of the window; the entry that named it was the first of the next.
Test(persist_window, no_commit_is_taken_in_part)
{
    char folder[] = "/tmp/ternmq-store-XXXXXX", command[64];
    cr_assert_not_null(mkdtemp(folder));
    struct wal wal;
    cr_assert_eq(wal_create(folder), 0);
    cr_assert_eq(wal_open(&wal, folder, 0, 0), 0);
    struct blob_list list = {0};
    for (uint64_t i = 1; i <= 6; i++)
        add_message(&list, i, 100000);
    uint32_t blobs = list.count;
    cr_assert_geq(blobs, 3);
    cr_assert_eq(wal_commit(&wal, &list, 0), 0);
    blob_list_clear(&list);
    add_message(&list, 7, 10);
    cr_assert_eq(wal_commit(&wal, &list, 0), 0);
    struct window *window = window_new(1);
    struct wal_window got;
    cr_assert_eq(wal_read(&wal, 0, blobs + 1, 1, window, &got), 0);
    cr_assert_eq(got.last, blobs, "all of the first commit, and nothing of the second");
    cr_assert_eq(window->message_count, 6);
    window_clear(window);
    cr_assert_eq(wal_read(&wal, blobs, blobs + 1, 1, window, &got), 0);
    cr_assert_eq(got.last, blobs + 1);
    window_free(window);
    blob_list_free(&list);
    wal_close(&wal);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    cr_assert_eq(system(command), 0);
}
