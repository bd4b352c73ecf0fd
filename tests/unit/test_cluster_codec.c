// test_cluster_codec.c - the bytes of membership: what goes in comes out, and nothing else goes in.
#include <criterion/criterion.h>

#include "cluster/gossip_codec.h"

static const struct gossip_address address = {{[10] = 0xff, [11] = 0xff, 10, 0, 0, 7}, 7946};

static struct gossip_record
record_of_state(enum gossip_state state, bool with_details, uint8_t details[GOSSIP_DETAILS_MAX])
{
    struct gossip_record record = {
        .uuid = {{1, 2, 3, 4, 5}},
        .incarnation = UINT64_C(0x8000000000000001),
        .version = 300,
        .details_version = 127,
        .state = state,
        .has_details = with_details,
        .accuser = state == GOSSIP_SUSPECT ? 0xdeadbeef : 0,
        .age_s = state >= GOSSIP_DEAD ? 86399 : 0,
    };
    if (with_details) {
        record.details =
            slice_of(details, gossip_write_details(details, &address, slice_str("node-0.tern"),
                                                   slice_str("meta")));
        record.digest_number = 128;
        record.digest = slice_str("digest");
    }
    return record;
}

static struct gossip_message
message_of_kind(enum gossip_kind kind)
{
    static const uint8_t uuids[32] = {9};
    struct gossip_message message = {
        .kind = kind,
        .cluster = 0x1122334455667788,
        .version = 5,
        .details_version = 4,
        .digest_number = 77,
        .digest = slice_str("d"),
    };
    if (kind <= GOSSIP_NOT_ME)
        message.seq = 0xfedcba98;
    if (kind == GOSSIP_PING || kind == GOSSIP_RELAY)
        message.target.bytes[15] = 3;
    if (kind == GOSSIP_RELAY)
        message.address = address;
    if (kind == GOSSIP_ASK)
        message.hash = 0x0102030405060708;
    if (kind == GOSSIP_ASK || kind == GOSSIP_PAGE)
        message.count = 65535;
    if (kind == GOSSIP_PAGE)
        message.flags = GOSSIP_PAGE_ANSWER;
    if (kind == GOSSIP_PULL)
        message.pulled = slice_of(uuids, sizeof uuids);
    return message;
}

static uint32_t
write(const struct gossip_message *message, uint8_t room[GOSSIP_PLAIN_MAX])
{
    struct gossip_writer writer = {room, room + GOSSIP_PLAIN_MAX};
    uint8_t details[GOSSIP_DETAILS_MAX];
    gossip_write_message(&writer, message);
    for (unsigned i = 0; i < 8; i++) {
        struct gossip_record record = record_of_state(i % 4, i >= 4, details);
        cr_assert(gossip_write_record(&writer, &record));
    }
    return (uint32_t)(writer.at - room);
}

Test(cluster_codec, every_kind_and_state_comes_out_as_it_went_in)
{
    for (enum gossip_kind kind = GOSSIP_PING; kind < GOSSIP_KINDS; kind++) {
        uint8_t room[GOSSIP_PLAIN_MAX], details[GOSSIP_DETAILS_MAX];
        struct gossip_message in = message_of_kind(kind), out;
        uint32_t len = write(&in, room);
        cr_assert_eq(gossip_decode(slice_of(room, len), &out), OK);
        cr_assert_eq(out.kind, kind);
        cr_assert_eq(out.cluster, in.cluster);
        cr_assert_eq(out.version, 5);
        cr_assert_eq(out.details_version, 4);
        cr_assert_eq(out.digest_number, 77);
        cr_assert(slice_equal(out.digest, in.digest));
        cr_assert_eq(out.seq, in.seq);
        cr_assert(gossip_uuid_equal(&out.target, &in.target));
        cr_assert(gossip_address_equal(&out.address, &in.address));
        cr_assert_eq(out.hash, in.hash);
        cr_assert_eq(out.count, in.count);
        cr_assert_eq(out.flags, in.flags);
        cr_assert(slice_equal(out.pulled, in.pulled));
        struct gossip_record record;
        unsigned count = 0;
        for (; gossip_record_next(&out.records, &record); count++) {
            struct gossip_record want = record_of_state(count % 4, count >= 4, details);
            cr_assert(gossip_uuid_equal(&record.uuid, &want.uuid));
            cr_assert_eq(record.incarnation, want.incarnation);
            cr_assert_eq(record.version, want.version);
            cr_assert_eq(record.details_version, want.details_version);
            cr_assert_eq(record.state, want.state);
            cr_assert_eq(record.accuser, want.accuser);
            cr_assert_eq(record.age_s, want.age_s);
            cr_assert_eq(record.has_details, want.has_details);
            cr_assert(slice_equal(record.details, want.details));
            cr_assert(slice_equal(record.digest, want.digest));
            cr_assert_eq(record.digest_number, want.digest_number);
            if (record.has_details) {
                cr_assert(slice_equal(record.name, slice_str("node-0.tern")));
                cr_assert(slice_equal(record.meta, slice_str("meta")));
                cr_assert(gossip_address_equal(&record.address, &address));
            }
        }
        cr_assert_eq(count, 8);
    }
}

Test(cluster_codec, a_message_that_is_cut_anywhere_between_records_is_refused)
{
    for (enum gossip_kind kind = GOSSIP_PING; kind < GOSSIP_KINDS; kind++) {
        uint8_t room[GOSSIP_PLAIN_MAX];
        struct gossip_message in = message_of_kind(kind), out;
        uint32_t len = write(&in, room);
        unsigned whole = 0;
        for (uint32_t n = 0; n < len; n++)
            whole += gossip_decode(slice_of(room, n), &out) == OK;
        cr_assert_eq(whole, 8); // before each of the eight records
    }
}

Test(cluster_codec, what_breaks_a_rule_is_refused)
{
    uint8_t room[GOSSIP_PLAIN_MAX + 1] = {GOSSIP_VERSION, GOSSIP_RUMORS};
    struct gossip_message out;
    // version, kind, cluster, then: version 0, details 0, digest number 0, digest of 0 bytes
    cr_assert_eq(gossip_decode(slice_of(room, 14), &out), OK);
    cr_assert_eq(gossip_decode(slice_of(room, 13), &out), ERR_MALFORMED);
    room[0] = GOSSIP_VERSION + 1;
    cr_assert_eq(gossip_decode(slice_of(room, 14), &out), ERR_PROTOCOL_VERSION);
    room[0] = GOSSIP_VERSION;
    for (unsigned kind = 0; kind < 256; kind++) {
        room[1] = (uint8_t)kind;
        if (kind != GOSSIP_RUMORS && kind != GOSSIP_SAME)
            cr_assert_eq(gossip_decode(slice_of(room, 14), &out), ERR_MALFORMED);
    }
    room[1] = GOSSIP_RUMORS;
    room[11] = 1; // details newer than the version
    cr_assert_eq(gossip_decode(slice_of(room, 14), &out), ERR_MALFORMED);
    room[10] = 0x80; // a varint with a needless byte: 0x80 0x00
    room[11] = 0;
    cr_assert_eq(gossip_decode(slice_of(room, 15), &out), ERR_MALFORMED);
    memset(room + 10, 0xff, 10); // one of more than 64 bits
    cr_assert_eq(gossip_decode(slice_of(room, 24), &out), ERR_MALFORMED);
    memset(room + 10, 0, sizeof room - 10);
    room[13] = GOSSIP_DIGEST_MAX + 1;
    cr_assert_eq(gossip_decode(slice_of(room, 14 + GOSSIP_DIGEST_MAX + 1), &out), ERR_MALFORMED);
    cr_assert_eq(gossip_decode(slice_of(room, sizeof room), &out), ERR_MALFORMED);
}

Test(cluster_codec, a_record_without_room_is_not_written)
{
    uint8_t room[GOSSIP_RECORD_MAX], details[GOSSIP_DETAILS_MAX];
    struct gossip_record record = record_of_state(GOSSIP_DEAD, true, details);
    uint32_t size = gossip_record_size(&record);
    struct gossip_writer writer = {room, room + size - 1};
    cr_assert_not(gossip_write_record(&writer, &record));
    cr_assert_eq(writer.at, room);
    writer.end = room + size;
    cr_assert(gossip_write_record(&writer, &record));
    cr_assert_eq(writer.at, writer.end);
}

Test(cluster_codec, names_are_what_a_log_can_show)
{
    char longest[GOSSIP_NAME_MAX + 2];
    memset(longest, 'x', sizeof longest);
    cr_assert(gossip_name_valid(slice_str("Node_1.a-b")));
    cr_assert(gossip_name_valid(slice_of(longest, GOSSIP_NAME_MAX)));
    cr_assert_not(gossip_name_valid(slice_of(longest, GOSSIP_NAME_MAX + 1)));
    cr_assert_not(gossip_name_valid(slice_str("")));
    cr_assert_not(gossip_name_valid(slice_str("a b")));
    cr_assert_not(gossip_name_valid(slice_str("a/b")));
    cr_assert_not(gossip_name_valid(slice_str("@")));
    cr_assert_not(gossip_name_valid(slice_str("\xc3\xa4")));
}
