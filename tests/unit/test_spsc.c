// test_spsc.c - the byte queue, both ends on one thread.
#include <criterion/criterion.h>
#include <signal.h>

#include "core/base/spsc.h"

static void
put(struct spsc *q, uint16_t type, const char *text)
{
    void *room = spsc_reserve(q, type, (uint32_t)strlen(text));
    cr_assert_not_null(room);
    memcpy(room, text, strlen(text));
}

Test(spsc, nothing_is_visible_before_publish)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    put(q, 1, "one");
    cr_assert_not(spsc_take(q, &record));
    cr_assert_not(spsc_ready(q));
    cr_assert(spsc_publish(q));
    cr_assert(spsc_ready(q));
    cr_assert(spsc_take(q, &record));
    cr_assert_eq(record.type, 1);
    cr_assert(slice_equal(slice_of(record.data, record.len), slice_str("one")));
    cr_assert_not(spsc_take(q, &record));
    spsc_release(q);
    cr_assert_not(spsc_ready(q));
    spsc_free(q);
}

Test(spsc, publish_tells_when_the_consumer_may_have_found_it_empty)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    cr_assert_not(spsc_publish(q), "nothing reserved, nobody to wake");
    put(q, 1, "a");
    cr_assert(spsc_publish(q), "was empty");
    put(q, 1, "b");
    cr_assert_not(spsc_publish(q), "a is still there: the consumer will look");
    cr_assert(spsc_take(q, &record));
    cr_assert(spsc_take(q, &record));
    put(q, 1, "c");
    cr_assert_not(spsc_publish(q), "taken but not released: it will look before it sleeps");
    spsc_release(q);
    cr_assert(spsc_take(q, &record));
    spsc_release(q);
    put(q, 1, "d");
    cr_assert(spsc_publish(q), "was empty again");
    cr_assert_not(spsc_publish(q));
    spsc_free(q);
}

Test(spsc, records_are_aligned_and_empty_ones_are_fine)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    for (uint32_t len = 0; len < 20; len++) {
        void *room = spsc_reserve(q, (uint16_t)(65535 - len), len);
        cr_assert_eq((uintptr_t)room % 8, 0);
        memset(room, (int)len, len);
    }
    (void)spsc_publish(q);
    for (uint32_t len = 0; len < 20; len++) {
        cr_assert(spsc_take(q, &record));
        cr_assert_eq((uintptr_t)record.data % 8, 0);
        cr_assert_eq(record.len, len);
        cr_assert_eq(record.type, 65535 - len);
    }
    spsc_free(q);
}

Test(spsc, full_says_null_and_takes_again_after_release)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    unsigned stored = 0;
    while (spsc_reserve(q, 7, 120) != NULL)
        stored++;
    cr_assert_eq(stored, 4096 / 128);
    (void)spsc_publish(q);
    cr_assert_null(spsc_reserve(q, 7, 0));
    cr_assert(spsc_take(q, &record));
    cr_assert_null(spsc_reserve(q, 7, 120), "taken is not yet released");
    spsc_release(q);
    cr_assert_not_null(spsc_reserve(q, 7, 120));
    cr_assert_null(spsc_reserve(q, 7, 120));
    spsc_free(q);
}

Test(spsc, the_biggest_record_fits_an_empty_ring_at_every_offset)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    uint32_t max = spsc_record_max(q);
    cr_assert_eq(max, 4096 / 4 - 8);
    for (unsigned i = 0; i < 2000; i++) {
        uint8_t *room = spsc_reserve(q, 1, max);
        cr_assert_not_null(room, "round %u", i);
        memset(room, (int)i, max);
        (void)spsc_publish(q);
        cr_assert(spsc_take(q, &record));
        cr_assert(record.len == max && record.data[0] == (uint8_t)i);
        cr_assert_eq(record.data[max - 1], (uint8_t)i);
        spsc_release(q);
        // Shift the next round by one word.
        cr_assert_not_null(spsc_reserve(q, 2, 0));
        (void)spsc_publish(q);
        cr_assert(spsc_take(q, &record));
        spsc_release(q);
    }
    spsc_free(q);
}

static uint32_t
next_random(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

// A queue that is empty may go back to its beginning; that must not cost the room for the record.
Test(spsc, a_large_ring_takes_the_biggest_record_at_every_offset_too)
{
    enum { RING = 1 << 19 };
    struct spsc *q = spsc_new(RING);
    struct spsc_record record;
    uint32_t max = spsc_record_max(q);
    for (uint32_t i = 0; i < 2000; i++) {
        uint32_t len = i % 3 == 2 ? max : i * 1009 % max;
        cr_assert_not_null(spsc_reserve(q, 1, len), "record %u of %u bytes", i, len);
        cr_assert(spsc_publish(q));
        cr_assert(spsc_take(q, &record));
        cr_assert_eq(record.len, len);
        spsc_release(q);
    }
    spsc_free(q);
}

Test(spsc, random_batches_arrive_whole_and_in_order)
{
    struct spsc *q = spsc_new(8192);
    struct spsc_record record;
    uint64_t random = 1;
    uint32_t sent = 0, got = 0, published = 0, visible = 0;
    while (got < 200000) {
        for (uint32_t n = next_random(&random) % 20; n > 0; n--) {
            uint32_t len = next_random(&random) % (sent % 50 == 0 ? spsc_record_max(q) : 200) + 4;
            len = min_u32(len, spsc_record_max(q));
            uint8_t *room = spsc_reserve(q, (uint16_t)sent, len);
            if (room == NULL)
                break;
            memset(room, (int)(sent & 0xff), len);
            memcpy(room, &sent, 4);
            sent++;
        }
        if (next_random(&random) % 4 != 0) {
            (void)spsc_publish(q);
            published = sent;
        }
        visible = published;
        for (uint32_t n = next_random(&random) % 25; n > 0 && spsc_take(q, &record); n--) {
            uint32_t number;
            memcpy(&number, record.data, 4);
            cr_assert_eq(number, got);
            cr_assert_eq(record.type, (uint16_t)got);
            for (uint32_t i = 4; i < record.len; i++)
                cr_assert(record.data[i] == (uint8_t)got);
            got++;
            cr_assert_leq(got, visible);
        }
        if (next_random(&random) % 3 != 0)
            spsc_release(q);
    }
    spsc_free(q);
}

Test(spsc, too_big_a_record_is_a_programmers_error, .signal = SIGABRT)
{
    struct spsc *q = spsc_new(4096);
    (void)spsc_reserve(q, 1, spsc_record_max(q) + 1);
}

Test(spsc, asking_to_sleep_before_release_is_a_programmers_error, .signal = SIGABRT)
{
    struct spsc *q = spsc_new(4096);
    struct spsc_record record;
    put(q, 1, "a");
    (void)spsc_publish(q);
    (void)spsc_take(q, &record);
    (void)spsc_ready(q);
}

Test(spsc, free_takes_null)
{
    spsc_free(NULL);
}
