// base64.c - base64 as password files, SCRAM and JSON Web Tokens use it [RFC 4648].
#include "core/access/base64.h"

// Values of secrets go through here: no table that a cache would betray, no early end.

// -1: not of the alphabet.
static int
value_of(uint8_t c, bool url)
{
    int value = -1;
    int upper = c - 'A', lower = c - 'a', digit = c - '0';
    value = upper >= 0 && upper < 26 ? upper : value;
    value = lower >= 0 && lower < 26 ? lower + 26 : value;
    value = digit >= 0 && digit < 10 ? digit + 52 : value;
    value = c == (url ? '-' : '+') ? 62 : value;
    value = c == (url ? '_' : '/') ? 63 : value;
    return value;
}

static char
letter_of(uint32_t value, bool url)
{
    must(value < 64);
    if (value < 26)
        return (char)('A' + value);
    if (value < 52)
        return (char)('a' + value - 26);
    if (value < 62)
        return (char)('0' + value - 52);
    if (value == 62)
        return url ? '-' : '+';
    return url ? '_' : '/';
}

static err_t
strip_padding(struct slice *text)
{
    if (text->len % 4 != 0)
        return ERR_MALFORMED;
    for (unsigned i = 0; i < 2 && text->len > 0 && text->data[text->len - 1] == '='; i++)
        text->len--;
    return OK;
}

err_t
base64_decode(enum base64_kind kind, struct slice text, uint8_t *dst, uint32_t *ret_len)
{
    if (kind == BASE64_PADDED && strip_padding(&text) != OK)
        return ERR_MALFORMED;
    if (text.len % 4 == 1)
        return ERR_MALFORMED;
    uint32_t bits = 0, bit_count = 0, len = 0;
    int wrong = 0;
    for (uint32_t i = 0; i < text.len; i++) {
        int value = value_of(text.data[i], kind == BASE64_URL);
        wrong |= value;
        bits = bits << 6 | (uint32_t)(value & 63);
        bit_count += 6;
        if (bit_count >= 8) {
            bit_count -= 8;
            dst[len++] = (uint8_t)(bits >> bit_count);
        }
    }
    must(len <= base64_decoded_max(text.len));
    // What is left over of the last character must be zero, else two texts would mean the same.
    if (wrong < 0 || (bits & ((1u << bit_count) - 1)) != 0)
        return ERR_MALFORMED;
    *ret_len = len;
    return OK;
}

uint32_t
base64_encode(enum base64_kind kind, struct slice bytes, char *dst)
{
    uint32_t len = 0;
    for (uint32_t i = 0; i < bytes.len; i += 3) {
        uint32_t left = bytes.len - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        uint32_t letters = left > 2 ? 4 : left + 1;
        for (uint32_t j = 0; j < letters; j++)
            dst[len++] = letter_of(group >> (18 - 6 * j) & 63, kind == BASE64_URL);
        for (uint32_t j = letters; kind == BASE64_PADDED && j < 4; j++)
            dst[len++] = '=';
    }
    must(len <= base64_encoded_max(bytes.len));
    dst[len] = '\0';
    return len;
}
