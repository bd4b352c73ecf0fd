// base64.h - base64 as password files, SCRAM and JSON Web Tokens use it [RFC 4648].
//
// Job:    strict: one text for each value; blanks, line ends and stray bits are errors.
// Thread: any. Memory: none. Limits: none.
#ifndef TERN_CORE_ACCESS_BASE64_H
#define TERN_CORE_ACCESS_BASE64_H

#include "core/base/err.h"

enum base64_kind {
    BASE64_PADDED,   // `+` `/`, with `=` [RFC 4648 section 4]
    BASE64_UNPADDED, // the same without `=`: PHC strings
    BASE64_URL,      // `-` `_`, without `=` [RFC 7515 section 2]
};

// Bytes that a text of so many characters decodes to, at most.
static inline size_t
base64_decoded_max(size_t len)
{
    return len / 4 * 3 + 3;
}

// Characters of so many bytes, without the NUL, at most.
static inline size_t
base64_encoded_max(size_t len)
{
    return (len + 2) / 3 * 4;
}

// ERR_MALFORMED. dst has room for base64_decoded_max.
NODISCARD err_t base64_decode(enum base64_kind kind, struct slice text, uint8_t *dst,
                              uint32_t *ret_len);
// dst has room for base64_encoded_max and a NUL. Returns the length without it.
uint32_t base64_encode(enum base64_kind kind, struct slice bytes, char *dst);

#endif
