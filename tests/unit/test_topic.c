// test_topic.c - the short way to a valid Topic Name says nothing that the long one does not.
#include <criterion/criterion.h>

#include "core/base/utf8.h"

#include "core/topic.h"

static bool
is_plain_byte(uint32_t byte)
{
    return byte > 0 && byte < 0x80 && byte != '#' && byte != '+';
}

static void
check(const uint8_t *text, uint32_t len, bool want)
{
    struct slice name = slice_of(text, len);
    bool plain = topic_name_is_plain(name);
    if (plain != want)
        cr_assert_fail("length %u", len);
    if (plain && (!utf8_valid(name) || topic_name_check(name) != OK))
        cr_assert_fail("length %u, plain and not valid", len);
}

Test(topic, a_byte_that_is_not_plain_is_seen_at_every_place)
{
    static const uint32_t lens[] = {1, 7, 8, 9, 15, 16, 17, 24, 31, 199, 200, 201};
    uint8_t text[201];
    memset(text, 'a', sizeof text);
    for (unsigned i = 0; i < ARRAY_LEN(lens); i++) {
        uint32_t len = lens[i];
        bool fits = len >= 8 && len < TOPIC_LEVELS_MAX;
        for (uint32_t at = 0; at < len; at++) {
            for (uint32_t byte = 0; byte < 256; byte++) {
                text[at] = (uint8_t)byte;
                check(text, len, fits && is_plain_byte(byte));
            }
            text[at] = 'a';
        }
    }
}

// A byte's neighbour must not hide it, nor make it seem bad.
Test(topic, every_pair_of_bytes)
{
    uint8_t text[9];
    memset(text, '/', sizeof text);
    for (uint32_t at = 0; at < 8; at++) {
        for (uint32_t pair = 0; pair < 1u << 16; pair++) {
            text[at] = (uint8_t)(pair >> 8);
            text[at + 1] = (uint8_t)pair;
            check(text, sizeof text, is_plain_byte(pair >> 8) && is_plain_byte(pair & 0xff));
        }
        text[at] = '/';
    }
}

Test(topic, what_is_plain_has_not_too_many_levels)
{
    uint8_t text[TOPIC_LEVELS_MAX];
    memset(text, '/', sizeof text);
    cr_assert(topic_name_is_plain(slice_of(text, TOPIC_LEVELS_MAX - 1)));
    cr_assert_eq(topic_name_check(slice_of(text, TOPIC_LEVELS_MAX - 1)), OK);
    cr_assert_not(topic_name_is_plain(slice_of(text, TOPIC_LEVELS_MAX)));
    cr_assert_eq(topic_name_check(slice_of(text, TOPIC_LEVELS_MAX)), ERR_TOPIC_NAME_INVALID);
}
