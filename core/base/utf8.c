// utf8.c - UTF-8 validity, by the table of well-formed sequences in the Unicode standard.
#include "core/base/utf8.h"

#define ONES  UINT64_C(0x0101010101010101)
#define HIGHS UINT64_C(0x8080808080808080)

// Eight bytes from U+0001 to U+007F? Subtracting one from each byte borrows, and so sets a high
// bit, at the lowest zero byte; without a zero byte, high bits come from the bytes' own alone
// (a byte of 0x80 loses its own but still has it in w).
static inline bool
ascii8(const uint8_t *p)
{
    uint64_t w;
    memcpy(&w, p, sizeof(w));
    return ((w | (w - ONES)) & HIGHS) == 0;
}

static inline bool
is_continuation(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

// Length of the well-formed sequence that starts with the non-ASCII byte p[0], else 0. The second
// byte's range depends on the first: that is what keeps out overlong forms (E0, F0), surrogates
// (ED) and what is above U+10FFFF (F4).
static size_t
sequence_length(const uint8_t *p, size_t left)
{
    must_hot(left > 0 && p[0] >= 0x80);
    uint8_t lead = p[0];
    if (lead < 0xc2 || lead > 0xf4) // a continuation, an overlong lead, or above U+13FFFF
        return 0;
    size_t need = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
    if (left < need)
        return 0;
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
    uint8_t high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < need; i++)
        if (!is_continuation(p[i]))
            return 0;
    return need;
}

bool
utf8_valid(struct slice text)
{
    must_hot(text.data != NULL || text.len == 0);
    const uint8_t *p = text.data;
    size_t left = text.len;
    while (left > 0) {
        size_t step;
        if (left >= 8 && ascii8(p))
            step = 8;
        else if (p[0] < 0x80)
            step = p[0] != 0;
        else
            step = sequence_length(p, left);
        if (step == 0)
            return false;
        p += step;
        left -= step;
    }
    return true;
}
