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

static void
connect_as(int version, uint32_t expiry_s)
{
    out.len = 0;
    wire_put_connect(
        &out, &(struct wire_connect){.version = version, .client_id = "a", .expiry_s = expiry_s});
}

Test(bench_wire, connect_of_version_4_with_and_without_a_session)
{
    static const uint8_t clean[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 2, 0, 0, 0, 1, 'a'};
    static const uint8_t kept[] = {0x10, 13, 0, 4, 'M', 'Q', 'T', 'T', 4, 0, 0, 0, 0, 1, 'a'};
    connect_as(4, 0);
    check(clean, sizeof clean);
    connect_as(4, UINT32_MAX);
    check(kept, sizeof kept);
}

Test(bench_wire, connect_of_version_5_with_and_without_a_session)
{
    static const uint8_t clean[] = {0x10, 14, 0, 4, 'M', 'Q', 'T', 'T', 5, 2, 0, 0, 0, 0, 1, 'a'};
    static const uint8_t kept[] = {0x10, 19, 0,    4,    'M',  'Q',  'T', 'T', 5, 0,  0,
                                   0,    5,  0x11, 0x01, 0x02, 0x03, 4,   0,   1, 'a'};
    connect_as(5, 0);
    check(clean, sizeof clean);
    connect_as(5, 0x01020304);
    check(kept, sizeof kept);
}

Test(bench_wire, connect_with_a_will_and_keep_alive)
{
    static const uint8_t v4[] = {0x10, 20, 0, 4,   'M', 'Q', 'T', 'T', 4, 0x0e, 1,
                                 2,    0,  1, 'a', 0,   1,   't', 0,   2, 'h',  'i'};
    static const uint8_t v5[] = {0x10, 22, 0, 4,   'M', 'Q', 'T', 'T', 5, 0x0e, 1,   2,
                                 0,    0,  1, 'a', 0,   0,   1,   't', 0, 2,    'h', 'i'};
    struct wire_connect connect = {
        .version = 4,
        .client_id = "a",
        .keep_alive_s = 0x102,
        .will_topic = "t",
        .will = (const uint8_t *)"hi",
        .will_len = 2,
        .will_qos = 1,
    };
    wire_put_connect(&out, &connect);
    check(v4, sizeof v4);
    out.len = 0;
    connect.version = 5;
    wire_put_connect(&out, &connect);
    check(v5, sizeof v5);
}

Test(bench_wire, connect_of_a_user)
{
    static const uint8_t v4[] = {0x10, 19, 0, 4,   'M', 'Q', 'T', 'T', 4, 0xc2, 0,
                                 0,    0,  1, 'a', 0,   1,   'u', 0,   1, 'p'};
    struct wire_connect connect = {
        .version = 4, .client_id = "a", .user_name = "u", .password = "p"};
    wire_put_connect(&out, &connect);
    check(v4, sizeof v4);
}

Test(bench_wire, several_filters_share_a_packet)
{
    static const uint8_t subscribe[] = {0x82, 11, 0, 7, 0, 1, 'a', 2, 0, 2, '+', '/', 2};
    static const uint8_t subscribe_5[] = {0x82, 12, 0, 7, 0, 0, 1, 'a', 2, 0, 2, '+', '/', 2};
    static const uint8_t unsubscribe[] = {0xa2, 9, 0, 7, 0, 1, 'a', 0, 2, '+', '/'};
    struct buffer filters = {0};
    wire_add_filter(&filters, "a");
    wire_add_filter(&filters, "+/");
    wire_put_subscribe(&out, 4, 7, &filters, 2);
    check(subscribe, sizeof subscribe);
    out.len = 0;
    wire_put_subscribe(&out, 5, 7, &filters, 2);
    check(subscribe_5, sizeof subscribe_5);
    out.len = 0;
    wire_put_unsubscribe(&out, 4, 7, &filters);
    check(unsubscribe, sizeof unsubscribe);
    buffer_free(&filters);
}

Test(bench_wire, suback_has_a_reason_for_each_filter)
{
    static const uint8_t v4[] = {0x90, 5, 0, 7, 1, 0x80, 2}, v5[] = {0x90, 6, 0, 7, 0, 1, 0x80, 2};
    static const uint8_t unsuback_4[] = {0xb0, 2, 0, 7}, cut[] = {0x90, 3, 0, 7, 9};
    struct wire_suback got;
    struct wire_frame frame = wire_frame(v4, sizeof v4);
    cr_assert(wire_suback(&frame, 4, &got));
    cr_assert(got.packet_id == 7 && got.count == 3 && got.reasons[1] == 0x80);
    frame = wire_frame(v5, sizeof v5);
    cr_assert(wire_suback(&frame, 5, &got));
    cr_assert(got.packet_id == 7 && got.count == 3 && got.reasons[2] == 2);
    frame = wire_frame(unsuback_4, sizeof unsuback_4);
    cr_assert(wire_suback(&frame, 4, &got));
    cr_assert_eq(got.count, 0);
    frame = wire_frame(cut, sizeof cut);
    cr_assert_not(wire_suback(&frame, 5, &got));
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
