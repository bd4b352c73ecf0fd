// test_utf8.c - UTF-8 validity, exhaustively for one character.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/base/utf8.h"

static bool
valid(const char *s, size_t len)
{
    return utf8_valid(slice_of(s, len));
}
#define VALID(literal) valid(literal, sizeof(literal) - 1)

static size_t
encode(uint32_t cp, uint8_t out[4])
{
    if (cp < 0x80) {
        out[0] = (uint8_t)cp;
        return 1;
    }
    size_t len = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, cp >>= 6)
        out[i] = (uint8_t)(0x80 | (cp & 0x3f));
    out[0] = (uint8_t)(0xf00 >> len | cp);
    return len;
}

// A decoder of another make than the one under test: takes any pattern, then judges the value.
static bool
naive(const uint8_t *p, size_t len)
{
    while (len > 0) {
        size_t n = p[0] < 0x80       ? 1
                   : p[0] >> 5 == 6  ? 2
                   : p[0] >> 4 == 14 ? 3
                   : p[0] >> 3 == 30 ? 4
                                     : 0;
        uint8_t again[4];
        if (n == 0 || n > len)
            return false;
        uint32_t cp = n == 1 ? p[0] : p[0] & (0x7fu >> n);
        for (size_t i = 1; i < n; i++) {
            if (p[i] >> 6 != 2)
                return false;
            cp = cp << 6 | (p[i] & 0x3f);
        }
        if (cp == 0 || cp > 0x10ffff || (cp >= 0xd800 && cp <= 0xdfff) || encode(cp, again) != n)
            return false;
        p += n;
        len -= n;
    }
    return true;
}

Test(utf8, every_code_point_alone_and_among_ascii)
{
    for (uint32_t cp = 0; cp <= 0x1fffff; cp++) {
        uint8_t text[24];
        bool want = cp != 0 && cp <= 0x10ffff && (cp < 0xd800 || cp > 0xdfff);
        size_t len = encode(cp, text);
        cr_assert_eq(utf8_valid(slice_of(text, len)), want, "U+%04X", cp);
        size_t at = cp % 17;
        memset(text, 'a', sizeof(text));
        len = encode(cp, text + at);
        cr_assert_eq(utf8_valid(slice_of(text, sizeof(text))), want, "U+%04X", cp);
        if (len > 1) // cut short
            cr_assert_not(utf8_valid(slice_of(text, at + len - 1)), "U+%04X", cp);
    }
}

Test(utf8, every_sequence_of_up_to_three_bytes)
{
    for (uint32_t v = 0; v < 1u << 24; v++) {
        uint8_t b[3] = {(uint8_t)(v >> 16), (uint8_t)(v >> 8), (uint8_t)v};
        if (utf8_valid(slice_of(b, 3)) != naive(b, 3))
            cr_assert_fail("%02x %02x %02x", b[0], b[1], b[2]);
        if (v < 1u << 16 && utf8_valid(slice_of(b + 1, 2)) != naive(b + 1, 2))
            cr_assert_fail("%02x %02x", b[1], b[2]);
    }
}

Test(utf8, every_four_byte_sequence_at_the_edges_of_its_ranges)
{
    static const uint8_t edges[] = {0x00, 0x01, 0x41, 0x7f, 0x80, 0x81, 0x8f, 0x90, 0x9f,
                                    0xa0, 0xbe, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xff};
    for (unsigned lead = 0xe0; lead <= 0xff; lead++) {
        for (size_t i = 0; i < ARRAY_LEN(edges) * ARRAY_LEN(edges) * ARRAY_LEN(edges); i++) {
            size_t n = ARRAY_LEN(edges);
            uint8_t b[4] = {(uint8_t)lead, edges[i / n / n], edges[i / n % n], edges[i % n]};
            if (utf8_valid(slice_of(b, 4)) != naive(b, 4))
                cr_assert_fail("%02x %02x %02x %02x", b[0], b[1], b[2], b[3]);
        }
    }
}

Test(utf8, empty_is_valid)
{
    cr_assert(utf8_valid((struct slice){NULL, 0}));
}

Test(utf8, nul_is_found_at_every_place)
{
    for (size_t len = 1; len < 40; len++) {
        for (size_t at = 0; at < len; at++) {
            uint8_t text[40];
            memset(text, at % 2 ? 0x7f : 0x01, sizeof(text));
            cr_assert(utf8_valid(slice_of(text, len)));
            text[at] = 0;
            cr_assert_not(utf8_valid(slice_of(text, len)));
            text[at] = 0x80;
            cr_assert_not(utf8_valid(slice_of(text, len)));
            text[at] = 0xff;
            cr_assert_not(utf8_valid(slice_of(text, len)));
        }
    }
}

Test(utf8, known_attacks)
{
    cr_assert_not(VALID("\xc0\x80")); // U+0000, overlong
    cr_assert_not(VALID("\xc0\xaf")); // a slash, overlong
    cr_assert_not(VALID("\xe0\x80\xaf"));
    cr_assert_not(VALID("\xf0\x80\x80\xaf"));
    cr_assert_not(VALID("\xed\xa0\x80\xed\xb0\x80")); // CESU-8 surrogate pair
    cr_assert_not(VALID("\xf4\x90\x80\x80"));         // U+110000
    cr_assert_not(VALID("\xf8\x88\x80\x80\x80"));     // five bytes
    cr_assert_not(VALID("a\x80"));
    cr_assert(VALID("\xef\xbb\xbfz"));     // U+FEFF stays [MQTT-1.5.4-3]
    cr_assert(VALID("A\xf0\xaa\x9b\x94")); // the specification's example
}

Test(utf8, reads_nothing_beyond_the_text)
{
    for (size_t len = 1; len <= 32; len++) { // exact allocations, for the address sanitizer
        uint8_t *text = malloc(len);
        memset(text, 'x', len);
        cr_assert(utf8_valid(slice_of(text, len)));
        text[len - 1] = 0xf0;
        cr_assert_not(utf8_valid(slice_of(text, len)));
        free(text);
    }
}
