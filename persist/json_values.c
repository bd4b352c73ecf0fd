// json_values.c - values that JSON has no type for: points in time and bytes.
#include "persist/json_values.h"

#include <stdio.h>
#include <time.h>

#define TIME_MS_MAX UINT64_C(253402300799999) // the end of the year 9999

// ---- Times --------------------------------------------------------------------------------------

bool
time_text(uint64_t ms, char dst[static TIME_TEXT_LEN + 1])
{
    if (ms > TIME_MS_MAX)
        return false;
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    const struct tm *filled = gmtime_r(&seconds, &tm);
    must(filled != NULL);
    char text[TIME_TEXT_LEN + 1];
    size_t len = strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S.", &tm);
    must(len == TIME_TEXT_LEN - 4);
    uint32_t rest = (uint32_t)(ms % 1000);
    text[len++] = (char)('0' + rest / 100);
    text[len++] = (char)('0' + rest / 10 % 10);
    text[len++] = (char)('0' + rest % 10);
    text[len++] = 'Z';
    text[len] = '\0';
    memcpy(dst, text, sizeof text);
    return true;
}

static int
digits(const uint8_t *at, uint32_t count)
{
    int value = 0;
    for (uint32_t i = 0; i < count; i++)
        value = value * 10 + (at[i] - '0') % 10; // what is no digit is found out afterwards
    return value;
}

bool
time_parse(struct slice text, uint64_t *ret_ms)
{
    if (text.len != TIME_TEXT_LEN)
        return false;
    const uint8_t *at = text.data;
    struct tm tm = {
        .tm_year = digits(at, 4) - 1900,
        .tm_mon = digits(at + 5, 2) - 1,
        .tm_mday = digits(at + 8, 2),
        .tm_hour = digits(at + 11, 2),
        .tm_min = digits(at + 14, 2),
        .tm_sec = digits(at + 17, 2),
    };
    time_t seconds = timegm(&tm);
    int rest = digits(at + 20, 3);
    if (seconds < 0 || rest < 0)
        return false;
    *ret_ms = (uint64_t)seconds * 1000 + (uint64_t)rest;
    char again[TIME_TEXT_LEN + 1];
    return time_text(*ret_ms, again) && memcmp(again, text.data, TIME_TEXT_LEN) == 0;
}

// ---- Base64 -------------------------------------------------------------------------------------

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

void
base64_write(char *dst, struct slice bytes)
{
    must(bytes.data || bytes.len == 0);
    for (uint32_t i = 0; i < bytes.len; i += 3) {
        uint32_t left = min_u32(bytes.len - i, 3);
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        if (left > 1)
            group |= (uint32_t)bytes.data[i + 1] << 8;
        if (left > 2)
            group |= bytes.data[i + 2];
        *dst++ = alphabet[group >> 18];
        *dst++ = alphabet[group >> 12 & 63];
        *dst++ = '=';
        *dst++ = '=';
        if (left > 1)
            dst[-2] = alphabet[group >> 6 & 63];
        if (left > 2)
            dst[-1] = alphabet[group & 63];
    }
}

static int
value_of(uint8_t c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

// Four characters, of which `used` stand for something. Unused bits must be 0.
static bool
read_group(const uint8_t *at, uint32_t used, uint8_t *dst)
{
    must(used >= 2 && used <= 4);
    uint32_t group = 0;
    for (uint32_t i = 0; i < 4; i++) {
        int value = i < used ? value_of(at[i]) : 0;
        if (value < 0)
            return false;
        group = group << 6 | (uint32_t)value;
    }
    must(group < 1u << 24);
    for (uint32_t i = 0; i < used - 1; i++)
        dst[i] = (uint8_t)(group >> (16 - 8 * i));
    return used == 4 || (group & (used == 3 ? 0xffu : 0xffffu)) == 0;
}

bool
base64_read(struct slice text, uint8_t *dst, uint32_t *ret_len)
{
    if (text.len % 4 != 0)
        return false;
    *ret_len = 0;
    for (uint32_t i = 0; i < text.len; i += 4) {
        uint32_t used = 4;
        if (i + 4 == text.len && text.data[i + 3] == '=')
            used = text.data[i + 2] == '=' ? 2 : 3;
        if (!read_group(text.data + i, used, dst + *ret_len))
            return false;
        *ret_len += used - 1;
    }
    must(*ret_len <= text.len / 4 * 3);
    return true;
}
