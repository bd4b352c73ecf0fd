// test_address.c - which addresses count as one.
#include <criterion/criterion.h>

#include "core/address.h"

static uint64_t
parsed(const char *text)
{
    uint64_t address = address_parse(text);
    cr_assert_neq(address, ADDRESS_NONE, "%s", text);
    return address;
}

Test(address, an_ipv4_address_counts_for_itself)
{
    cr_assert_eq(parsed("1.2.3.4:5"), parsed("1.2.3.4:60000"));
    cr_assert_eq(parsed("1.2.3.4"), parsed("1.2.3.4:5"));
    cr_assert_neq(parsed("1.2.3.4"), parsed("1.2.3.5"));
    cr_assert_neq(parsed("0.0.0.0"), parsed("0.0.0.1"));
}

Test(address, an_ipv6_address_counts_by_its_first_64_bits)
{
    cr_assert_eq(parsed("[2001:db8:0:1::1]:5"), parsed("2001:db8:0:1:ffff:ffff:ffff:ffff"));
    cr_assert_neq(parsed("[2001:db8:0:1::1]:5"), parsed("[2001:db8:0:2::1]:5"));
    cr_assert_eq(parsed("[fe80::1%eth0]:5"), parsed("fe80::2"), "of a link");
}

Test(address, a_mapped_ipv4_address_is_that_one)
{
    cr_assert_eq(parsed("[::ffff:1.2.3.4]:5"), parsed("1.2.3.4:9"));
}

Test(address, the_loopback_is_an_address_like_others)
{
    cr_assert_neq(parsed("[::1]:5"), parsed("127.0.0.1:5"));
    cr_assert_neq(parsed("[::1]:5"), parsed("0.0.0.2"));
}

Test(address, anything_else_is_none)
{
    static const char *const texts[] = {"",      "sim",      "unknown",     "unix:/run/x.sock",
                                        "1.2.3", "1.2.3.4x", "[1.2.3.4]:5", "1.2.3.4.5:80",
                                        ":::",   "[]:5",     "999.1.1.1:1", "2001:db8::1]"};
    for (unsigned i = 0; i < ARRAY_LEN(texts); i++)
        cr_assert_eq(address_parse(texts[i]), ADDRESS_NONE, "%s", texts[i]);
    char longest[300];
    memset(longest, '1', sizeof longest - 1);
    longest[sizeof longest - 1] = '\0';
    cr_assert_eq(address_parse(longest), ADDRESS_NONE);
}

Test(address, its_text_says_what_counts)
{
    char text[ADDRESS_TEXT_MAX];
    address_format(parsed("1.2.3.4:5"), text);
    cr_assert_str_eq(text, "1.2.3.4");
    address_format(parsed("[2001:db8:0:1::9]:5"), text);
    cr_assert_str_eq(text, "2001:db8:0:1::/64");
    address_format(parsed("[::1]:5"), text);
    cr_assert_str_eq(text, "::/64");
}
