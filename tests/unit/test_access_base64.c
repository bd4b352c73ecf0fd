// test_access_base64.c - base64 in its three forms, and what is not base64.
#include <criterion/criterion.h>

#include "core/access/base64.h"

static const struct {
    const char *bytes, *padded, *bare;
} vectors[] = {
    // RFC 4648 section 10
    {"", "", ""},
    {"f", "Zg==", "Zg"},
    {"fo", "Zm8=", "Zm8"},
    {"foo", "Zm9v", "Zm9v"},
    {"foob", "Zm9vYg==", "Zm9vYg"},
    {"fooba", "Zm9vYmE=", "Zm9vYmE"},
    {"foobar", "Zm9vYmFy", "Zm9vYmFy"},
};

static bool
decodes(enum base64_kind kind, const char *text, const char *bytes)
{
    uint8_t dst[64];
    uint32_t len;
    return base64_decode(kind, slice_str(text), dst, &len) == OK &&
           slice_equal(slice_of(dst, len), slice_str(bytes));
}

static bool
fails(enum base64_kind kind, const char *text)
{
    uint8_t dst[64];
    uint32_t len;
    return base64_decode(kind, slice_str(text), dst, &len) == ERR_MALFORMED;
}

Test(base64, vectors_of_the_rfc)
{
    char dst[64];
    for (unsigned i = 0; i < ARRAY_LEN(vectors); i++) {
        cr_assert(decodes(BASE64_PADDED, vectors[i].padded, vectors[i].bytes));
        cr_assert(decodes(BASE64_UNPADDED, vectors[i].bare, vectors[i].bytes));
        cr_assert(decodes(BASE64_URL, vectors[i].bare, vectors[i].bytes));
        base64_encode(BASE64_PADDED, slice_str(vectors[i].bytes), dst);
        cr_assert_str_eq(dst, vectors[i].padded);
        base64_encode(BASE64_URL, slice_str(vectors[i].bytes), dst);
        cr_assert_str_eq(dst, vectors[i].bare);
    }
}

Test(base64, the_two_alphabets_are_not_mixed)
{
    cr_assert(decodes(BASE64_PADDED, "+/+/", "\xfb\xff\xbf"));
    cr_assert(decodes(BASE64_URL, "-_-_", "\xfb\xff\xbf"));
    cr_assert(fails(BASE64_PADDED, "-_-_"));
    cr_assert(fails(BASE64_URL, "+/+/"));
}

Test(base64, one_text_for_each_value)
{
    cr_assert(fails(BASE64_PADDED, "Zg"));   // padding is missing
    cr_assert(fails(BASE64_PADDED, "Zg="));  // half of it
    cr_assert(fails(BASE64_PADDED, "Z===")); // too much
    cr_assert(fails(BASE64_PADDED, "Zh==")); // stray bits
    cr_assert(fails(BASE64_URL, "Zm9"
                                "=")); // padding where there is none
    cr_assert(fails(BASE64_URL, "Z")); // six bits are no byte
    cr_assert(fails(BASE64_URL, "Zm9v\n"));
    cr_assert(fails(BASE64_URL, "Zm 9v"));
    cr_assert(fails(BASE64_PADDED, "Zg==Zg==")); // padding in the middle
}
