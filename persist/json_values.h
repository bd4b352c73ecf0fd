// json_values.h - values that JSON has no type for: points in time and bytes.
//
// Job:    RFC 3339 times and base64 (RFC 4648), both ways, strictly: one form for each value.
// Thread: any. Memory: none: the caller's buffers. Limits: years 1970 to 9999.
#ifndef TERN_PERSIST_JSON_VALUES_H
#define TERN_PERSIST_JSON_VALUES_H

#include "core/base/base.h"

#define TIME_TEXT_LEN 24u // 2026-01-31T12:00:00.000Z

// False: ms, since 1970, is too late for four digits of year. NUL-terminated.
bool time_text(uint64_t ms, char dst[static TIME_TEXT_LEN + 1]);
// The time that time_text writes this way; false for anything else.
bool time_parse(struct slice text, uint64_t *ret_ms);

static inline size_t
base64_size(uint32_t len)
{
    return ((size_t)len + 2) / 3 * 4;
}
// Writes base64_size(bytes.len) characters.
void base64_write(char *dst, struct slice bytes);
// dst has room for text.len / 4 * 3 bytes. False: no base64 that base64_write could have made.
bool base64_read(struct slice text, uint8_t *dst, uint32_t *ret_len);

#endif
