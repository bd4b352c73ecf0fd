// test_io_proxy_header.c - PROXY headers of both versions, good, cut and bad.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "io/proxy_header.h"

static struct proxy_header header;
static char text[128];
static uint8_t bytes[4096];
static uint32_t len;

// In memory of its exact size.
static err_t
parse(const void *data, size_t size)
{
    static uint8_t *copy; // what the header borrows
    free(copy);
    copy = malloc(size + 1);
    memcpy(copy, data, size);
    copy = realloc(copy, size ? size : 1);
    return proxy_header_parse(slice_of(copy, size), &header);
}

static err_t
parse_text(const char *line)
{
    return parse(line, strlen(line));
}

static const char *
who(void)
{
    proxy_header_text(&header, text, sizeof text);
    return text;
}

// ---- Version 1 ----------------------------------------------------------------------------------

Test(io_proxy_header, v1_lines)
{
    cr_assert_eq(parse_text("PROXY TCP4 192.0.2.1 10.0.0.1 56324 8883\r\n\x10\x12"), OK);
    cr_assert_eq(header.len, 42);
    cr_assert_str_eq(who(), "192.0.2.1:56324");
    cr_assert_not(header.tls);
    cr_assert_eq(parse_text("PROXY TCP6 2001:db8::1 ::1 1 65535\r\n"), OK);
    cr_assert_str_eq(who(), "[2001:db8::1]:1");
    cr_assert_eq(parse_text("PROXY UNKNOWN\r\n"), OK);
    cr_assert_eq(header.family, PROXY_LOCAL);
    cr_assert_eq(header.len, 15);
    cr_assert_eq(parse_text("PROXY UNKNOWN ffff:f...f:ffff ffff:f...f:ffff 65535 65535\r\n"), OK);
    cr_assert_eq(header.family, PROXY_LOCAL);
}

Test(io_proxy_header, v1_cut_anywhere_waits)
{
    const char *line = "PROXY TCP4 192.0.2.1 10.0.0.1 56324 8883\r\n";
    for (size_t n = 0; n < strlen(line); n++)
        cr_assert_eq(parse(line, n), ERR_NEED_MORE, "%zu bytes", n);
}

Test(io_proxy_header, v1_without_an_end_stops_at_107_bytes)
{
    char line[200] = "PROXY UNKNOWN ";
    memset(line + 14, 'x', sizeof line - 14);
    cr_assert_eq(parse(line, 106), ERR_NEED_MORE);
    cr_assert_eq(parse(line, 107), ERR_MALFORMED);
    cr_assert_eq(parse(line, 200), ERR_MALFORMED);
    memcpy(line + 105, "\r\n", 2);
    cr_assert_eq(parse(line, 107), OK);
    memcpy(line + 105, "x\r\n", 3);
    cr_assert_eq(parse(line, 108), ERR_MALFORMED);
}

Test(io_proxy_header, v1_lines_that_are_wrong)
{
    static const char *const lines[] = {
        "PROXY \r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 3\r\n",
        "PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        "PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY tcp4 1.2.3.4 1.2.3.4 1 2\r\n",
        "PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        "proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        "GET / HTTP/1.1\r\n",
        "\x10\x12",
        "\x16\x03\x01",
    };
    for (size_t i = 0; i < ARRAY_LEN(lines); i++)
        cr_expect_eq(parse_text(lines[i]), ERR_MALFORMED, "%s", lines[i]);
    cr_assert_eq(parse("PROXY TCP4 1.2.3.4\0x 1.2.3.4 1 2\r\n", 35), ERR_MALFORMED);
}

// ---- Version 2 ----------------------------------------------------------------------------------

static void
add(const void *data, uint32_t n)
{
    memcpy(bytes + len, data, n);
    len += n;
}

static void
begin(uint8_t command, uint8_t family)
{
    len = 0;
    add("\r\n\r\n\0\r\nQUIT\n", 12);
    add(&command, 1);
    add(&family, 1);
    add("\0\0", 2);
}

static void
add_tlv(uint8_t type, const void *value, uint32_t n)
{
    uint8_t head[3] = {type, (uint8_t)(n >> 8), (uint8_t)n};
    add(head, sizeof head);
    add(value, n);
}

static err_t
finish(void)
{
    bytes[14] = (uint8_t)((len - 16) >> 8);
    bytes[15] = (uint8_t)(len - 16);
    return parse(bytes, len);
}

static void
begin_tcp4(void)
{
    begin(0x21, 0x11);
    add("\xc0\x00\x02\x01\x0a\x00\x00\x01\xdc\x04\x22\xb3", 12);
}

Test(io_proxy_header, v2_addresses)
{
    begin_tcp4();
    cr_assert_eq(finish(), OK);
    cr_assert_eq(header.len, 28);
    cr_assert_str_eq(who(), "192.0.2.1:56324");
    begin(0x21, 0x21);
    add("\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    add("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    add("\x00\x07\x07\x5b", 4);
    cr_assert_eq(finish(), OK);
    cr_assert_str_eq(who(), "[2001:db8::1]:7");
    begin(0x21, 0x31);
    static uint8_t paths[216] = "/run/proxy.sock";
    add(paths, sizeof paths);
    cr_assert_eq(finish(), OK);
    cr_assert_str_eq(who(), "unix:/run/proxy.sock");
    memset(bytes + 16, 'x', 216); // without a NUL
    cr_assert_eq(finish(), OK);
    cr_assert_eq(header.unix_path.len, 108);
}

Test(io_proxy_header, v2_local_and_unspecified_keep_the_real_address)
{
    begin(0x20, 0x00);
    cr_assert_eq(finish(), OK);
    cr_assert_eq(header.family, PROXY_LOCAL);
    cr_assert_eq(header.len, 16);
    begin(0x20, 0x11);
    add("\x01\x02\x03", 3); // nothing of it matters
    cr_assert_eq(finish(), OK);
    cr_assert_eq(header.family, PROXY_LOCAL);
    cr_assert_eq(header.len, 19);
    begin(0x21, 0x00);
    add("\xff\xff\xff\xff", 4);
    cr_assert_eq(finish(), OK);
    cr_assert_eq(header.family, PROXY_LOCAL);
}

// client bits, verify, sub-TLVs
static void
add_ssl(uint8_t client, uint8_t verify, const char *cn)
{
    uint8_t value[300] = {client, 0, 0, 0, verify, 0x21, 0, 7, 'T', 'L', 'S', 'v', '1', '.', '3'};
    uint32_t n = 15;
    if (cn) {
        value[n++] = 0x22;
        value[n++] = 0;
        value[n++] = (uint8_t)strlen(cn);
        memcpy(value + n, cn, strlen(cn));
        n += (uint32_t)strlen(cn);
    }
    add_tlv(0x20, value, n);
}

Test(io_proxy_header, v2_tells_of_the_client_certificate)
{
    begin_tcp4();
    add_tlv(0x01, "mqtt", 4);
    add_ssl(0x07, 0, "sensor-1");
    add_tlv(0xee, "", 0);
    cr_assert_eq(finish(), OK);
    cr_assert(header.tls && header.certificate && header.verified);
    cr_assert(slice_equal(header.common_name, slice_str("sensor-1")));
    begin_tcp4();
    add_ssl(0x03, 1, "sensor-1");
    cr_assert_eq(finish(), OK);
    cr_assert(header.tls && header.certificate && !header.verified);
    begin_tcp4();
    add_ssl(0x01, 0, NULL);
    cr_assert_eq(finish(), OK);
    cr_assert(header.tls && !header.certificate && !header.verified);
    cr_assert_null(header.common_name.data);
}

// An independent value: CRC-32C of "123456789" is e3069283 (RFC 3720), so the header's own is made
// by the same polynomial here, by a table.
static uint32_t
crc_by_table(const uint8_t *data, uint32_t n)
{
    uint32_t table[256], crc = 0xffffffff;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++)
            table[i] = table[i] & 1 ? table[i] >> 1 ^ 0x82f63b78 : table[i] >> 1;
    }
    for (uint32_t i = 0; i < n; i++)
        crc = table[(crc ^ data[i]) & 255] ^ crc >> 8;
    return ~crc;
}

Test(io_proxy_header, v2_checksums_are_checked)
{
    cr_assert_eq(crc_by_table((const uint8_t *)"123456789", 9), 0xe3069283);
    begin_tcp4();
    add_tlv(0x03, "\0\0\0\0", 4);
    add_tlv(0x01, "mqtt", 4);
    bytes[15] = (uint8_t)(len - 16);
    uint32_t crc = crc_by_table(bytes, len);
    for (int i = 0; i < 4; i++)
        bytes[31 + i] = (uint8_t)(crc >> (24 - 8 * i));
    cr_assert_eq(finish(), OK);
    for (uint32_t i = 16; i < len; i++) {
        if (i == 28)
            continue; // the checksum's type: another one, and there is no checksum
        bytes[i] ^= 1;
        cr_assert_eq(finish(), ERR_MALFORMED, "byte %u", i);
        bytes[i] ^= 1;
    }
}

Test(io_proxy_header, v2_cut_anywhere_waits)
{
    begin_tcp4();
    add_ssl(0x07, 0, "sensor-1");
    cr_assert_eq(finish(), OK);
    for (uint32_t n = 0; n < len; n++)
        cr_assert_eq(parse(bytes, n), ERR_NEED_MORE, "%u bytes", n);
}

Test(io_proxy_header, v2_headers_that_are_wrong)
{
    begin_tcp4();
    (void)finish();
    bytes[12] = 0x11; // another version
    cr_assert_eq(parse(bytes, len), ERR_MALFORMED);
    bytes[12] = 0x22; // another command
    cr_assert_eq(parse(bytes, len), ERR_MALFORMED);
    bytes[12] = 0x21;
    bytes[14] = bytes[15] = 0xff; // 65,535 bytes: at once, not when they have come
    cr_assert_eq(parse(bytes, 16), ERR_MALFORMED);
    bytes[14] = 0;
    bytes[15] = 11; // an address and a half
    cr_assert_eq(parse(bytes, len), ERR_MALFORMED);
    begin(0x21, 0x12); // UDP
    add("\xc0\x00\x02\x01\x0a\x00\x00\x01\xdc\x04\x22\xb3", 12);
    cr_assert_eq(finish(), ERR_MALFORMED);
    begin_tcp4();
    add("\x01\x00", 2); // half a TLV
    cr_assert_eq(finish(), ERR_MALFORMED);
    begin_tcp4();
    add("\x01\x00\x05mqtt", 7); // longer than the header
    cr_assert_eq(finish(), ERR_MALFORMED);
    begin_tcp4();
    add_tlv(0x20, "\x07\0\0\0", 4); // too short for what it says
    cr_assert_eq(finish(), ERR_MALFORMED);
    begin_tcp4();
    add_tlv(0x20, "\x07\0\0\0\0\x22\0\x09sensor-1", 16); // a name beyond its end
    cr_assert_eq(finish(), ERR_MALFORMED);
}
