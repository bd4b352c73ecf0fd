// test_packet_ids.c - the set of packet identifiers, against a plain bitmap.
#include <criterion/criterion.h>

#include "core/packet_ids.h"

Test(packet_ids, agrees_with_a_bitmap)
{
    static bool has[65536];
    struct packet_ids set = {0};
    uint32_t seed = 7, count = 0;
    for (unsigned i = 0; i < 400000; i++) {
        seed = seed * 1664525u + 1013904223u;
        // Phases of growth and of shrinking, with clusters.
        uint16_t id = (uint16_t)(1 + (seed >> 10) % (i % 100000 < 50000 ? 5000 : 60000));
        bool add = (seed >> 4 & 15) < (i % 100000 < 50000 ? 11u : 5u);
        if (add) {
            cr_assert_eq(packet_ids_add(&set, id), !has[id]);
            count += !has[id];
            has[id] = true;
        } else {
            cr_assert_eq(packet_ids_remove(&set, id), has[id]);
            count -= has[id];
            has[id] = false;
        }
        cr_assert_eq(set.count, count);
    }
    for (unsigned id = 1; id < 65536; id++)
        cr_assert_eq(packet_ids_has(&set, (uint16_t)id), has[id]);
    packet_ids_free(&set);
}

Test(packet_ids, takes_all_65535)
{
    struct packet_ids set = {0};
    for (unsigned id = 65535; id > 0; id--)
        cr_assert(packet_ids_add(&set, (uint16_t)id));
    for (unsigned id = 1; id < 65536; id++)
        cr_assert(packet_ids_remove(&set, (uint16_t)id));
    cr_assert_eq(set.count, 0);
    packet_ids_free(&set);
}

// One identifier in a block, and blocks that have the same home: each removal closes a gap.
Test(packet_ids, blocks_with_one_home_come_and_go)
{
    static bool has[65536];
    struct packet_ids set = {0};
    uint32_t seed = 11, count = 0;
    for (unsigned i = 0; i < 200000; i++) {
        seed = seed * 1664525u + 1013904223u;
        uint16_t id = (uint16_t)((seed >> 8) % 64 * 1024 + (seed >> 20) % 3 * 64 + 5);
        bool known = has[id];
        cr_assert_eq(packet_ids_has(&set, id), known);
        cr_assert_eq(known ? packet_ids_remove(&set, id) : packet_ids_add(&set, id), true);
        has[id] = !known;
        count += known ? UINT32_MAX : 1;
        cr_assert_eq(set.count, count);
    }
    packet_ids_free(&set);
}

Test(packet_ids, a_window_moves_through_all_identifiers)
{
    struct packet_ids set = {0};
    for (unsigned i = 0; i < 200000; i++) {
        cr_assert(packet_ids_add(&set, (uint16_t)(i % 65535 + 1)));
        if (i >= 400)
            cr_assert(packet_ids_remove(&set, (uint16_t)((i - 400) % 65535 + 1)));
    }
    cr_assert_eq(set.count, 400);
    cr_assert_leq(set.cap, 32, "blocks that are done with leave nothing behind");
    packet_ids_free(&set);
}

Test(packet_ids, a_row_is_removed_as_far_as_it_goes)
{
    struct packet_ids set = {0};
    for (unsigned first = 1; first < 300; first += 7) {
        for (unsigned count = 1; count < 200; count += 3) {
            packet_ids_add_row(&set, (uint16_t)first, count);
            cr_assert_eq(set.count, count);
            for (unsigned id = first; id < first + count; id++)
                cr_assert(packet_ids_has(&set, (uint16_t)id));
            cr_assert_not(packet_ids_has(&set, (uint16_t)(first + count)));
            unsigned hole = first + count / 2;
            cr_assert(packet_ids_remove(&set, (uint16_t)hole));
            cr_assert_eq(packet_ids_remove_row(&set, (uint16_t)first, count + 5), hole - first);
            cr_assert_eq(packet_ids_remove_row(&set, (uint16_t)first, count), 0);
            cr_assert_eq(packet_ids_remove_row(&set, (uint16_t)(hole + 1), 1000),
                         first + count - hole - 1);
            cr_assert_eq(set.count + set.used, 0);
        }
    }
    packet_ids_add_row(&set, 1, 65535);
    cr_assert_eq(packet_ids_remove_row(&set, 1, 65535), 65535);
    packet_ids_free(&set);
}
