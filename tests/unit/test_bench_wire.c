// test_bench_wire.c - the load generator's own codec, where sessions come in.
#include <criterion/criterion.h>

#include "bench/wire.h"

static struct buffer out;

static void
setup(void)
{
    out = (struct buffer){0};
}

static void
teardown(void)
{
    buffer_free(&out);
}

TestSuite(bench_wire, .init = setup, .fini = teardown);

static void
check(const uint8_t *want, uint32_t len)
{
    cr_assert_eq(out.len, len, "%u bytes, wanted %u", out.len, len);
    cr_assert_arr_eq(out.data, want, len);
}

Test(bench_wire, connect_of_version_4_with_and_without_a_session)
{
    static const uint8_t clean[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'a'};
    static const uint8_t kept[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 1, 'a'};
    wire_put_connect(&out, 4, "a", 0);
    check(clean, sizeof clean);
    out.len = 0;
    wire_put_connect(&out, 4, "a", UINT32_MAX);
    check(kept, sizeof kept);
}

Test(bench_wire, connect_of_version_5_with_and_without_a_session)
{
    static const uint8_t clean[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 1, 'a'};
    static const uint8_t kept[] = {0x10, 19, 0,    4,    'M',  'Q',  'T', 'T', 5, 0,  0,
                                   0,    5,  0x11, 0x01, 0x02, 0x03, 4,   0,   1, 'a'};
    wire_put_connect(&out, 5, "a", 0);
    check(clean, sizeof clean);
    out.len = 0;
    wire_put_connect(&out, 5, "a", 0x01020304);
    check(kept, sizeof kept);
}

static bool
connack(const uint8_t *packet, uint32_t len, int version, struct wire_connack *ret)
{
    struct wire_frame frame = wire_frame(packet, len);
    return wire_connack(&frame, version, ret);
}

Test(bench_wire, connack_tells_whether_the_session_was_present)
{
    static const uint8_t fresh[] = {0x20, 2, 0, 0}, found[] = {0x20, 2, 1, 0};
    static const uint8_t found_5[] = {0x20, 6, 1, 0, 3, 0x21, 0, 20};
    struct wire_connack got;
    cr_assert(connack(fresh, sizeof fresh, 4, &got));
    cr_assert_not(got.session_present);
    cr_assert(connack(found, sizeof found, 4, &got));
    cr_assert(got.session_present);
    cr_assert(connack(found_5, sizeof found_5, 5, &got));
    cr_assert(got.session_present);
    cr_assert_eq(got.receive_max, 20);
}

Test(bench_wire, dup_is_a_bit_of_the_first_byte)
{
    struct wire_publish got;
    uint32_t id_at = wire_put_publish(&out, 4, "t", 1, 3);
    out.data[id_at + 1] = 9;
    out.data[0] |= WIRE_DUP;
    struct wire_frame frame = wire_frame(out.data, wire_size(out.data, out.len));
    cr_assert(wire_publish(&frame, 4, &got));
    cr_assert(got.dup);
    cr_assert_eq(got.qos, 1);
    cr_assert_eq(got.packet_id, 9);
    cr_assert_eq(got.payload_len, 3);
}
