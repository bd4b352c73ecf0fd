// fuzz_gossip.c - any bytes as a membership message, as a sealed datagram, and as what members say
// to a machine over some time: nothing it is told breaks what holds between its steps, and no step
// answers with more than a table's worth of messages.
#include "core/base/mem.h"

#include "cluster/about.h"
#include "cluster/gossip.h"
#include "cluster/seal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define CLUSTER      1u
#define MEMBERS_MAX  6u
#define MESSAGES_MAX 64u // in answer to one: a page and pulls; leaving tells each member twice

struct script {
    const uint8_t *at, *end;
};

static uint8_t
take(struct script *script)
{
    return script->at < script->end ? *script->at++ : 0;
}

static void
try_message(const uint8_t *data, size_t size)
{
    uint8_t *copy = mem_alloc(size + 1); // of its exact size, so that a read beyond it is seen
    struct gossip_message message;
    memcpy(copy, data, size);
    copy = mem_realloc(copy, size > 0 ? size : 1);
    if (gossip_decode(slice_of(copy, size), &message) == OK) {
        uint8_t room[GOSSIP_PLAIN_MAX];
        struct gossip_writer writer = {room, room + sizeof room};
        struct gossip_record record;
        struct slice rest = message.records;
        gossip_write_message(&writer, &message);
        while (gossip_record_next(&rest, &record))
            must(gossip_write_record(&writer, &record));
        // There is one way to say a thing.
        must((size_t)(writer.at - room) == size && memcmp(room, copy, size) == 0);
    }
    mem_free(copy);
}

// What a node says of itself, beside what membership needs.
static void
try_about(const uint8_t *data, size_t size)
{
    char version[NODE_VERSION_LEN + 1];
    struct node_load load;
    uint8_t digest[ABOUT_DIGEST_LEN], *copy = mem_alloc(size > 0 ? size : 1);
    memcpy(copy, data, size);
    struct slice bytes = slice_of(copy, size);
    (void)about_has_nothing(bytes);
    about_version(bytes, version);
    must(memchr(version, '\0', sizeof version) != NULL);
    if (about_load(bytes, &load)) {
        about_write_digest(&load, digest);
        must(memcmp(digest, copy, sizeof digest) == 0);
    }
    mem_free(copy);
}

static void
try_seal(const uint8_t *data, size_t size)
{
    static struct seal *seal;
    if (!seal) {
        struct seal_config config = {
            .secrets = {slice_str("sixteen bytes or more")}, .secret_count = 1, .incarnation = 1};
        err_t err = seal_new(&config, &seal);
        must(err == OK);
    }
    uint8_t room[GOSSIP_PLAIN_MAX], known[GOSSIP_DATAGRAM_MAX];
    struct seal_opened opened;
    must(seal_open(seal, slice_of(data, size), room, &opened) == ERR_NOT_AUTHORIZED);
    if (size < SEAL_OVERHEAD || size > GOSSIP_DATAGRAM_MAX)
        return;
    // With the hint of our secret, so that it comes as far as the tag.
    must(seal_close(seal, slice_str("x"), known) > 5);
    uint8_t *copy = mem_alloc(size);
    memcpy(copy, data, size);
    memcpy(copy, known, 5);
    must(seal_open(seal, slice_of(copy, size), room, &opened) == ERR_NOT_AUTHORIZED);
    mem_free(copy);
}

// A record about one of a few members, of values near each other, so that they meet.
static void
write_record(struct script *script, struct gossip_writer *writer)
{
    uint8_t details[GOSSIP_DETAILS_MAX], choice = take(script), other = take(script);
    struct gossip_address address = {.ip = {[15] = other}, .port = 1 + (other & 3)};
    struct gossip_record record = {
        .uuid = {{choice & 7}},
        .incarnation = 1 + (choice >> 3 & 3),
        .state = other & 3,
        .version = other >> 2 & 7,
        .has_details = choice & 0x80,
        .accuser = (uint32_t)(other & 3) == GOSSIP_SUSPECT ? choice : 0,
        .age_s = (other & 3) >= GOSSIP_DEAD ? (uint32_t)choice * 400 : 0,
    };
    record.details_version = record.version / 2;
    if (record.has_details) {
        record.details = slice_of(details, gossip_write_details(details, &address,
                                                                slice_str(&"abcdefgh"[choice & 7]),
                                                                slice_of("metadata", other & 7)));
        record.digest = slice_of("digest", choice & 3);
        record.digest_number = other;
    }
    if (record.version == 7)
        record.version = UINT32_MAX;
    (void)gossip_write_record(writer, &record);
}

// Raw bytes behind a true head, or a message that is right.
static struct slice
next_message(struct script *script, uint8_t room[GOSSIP_PLAIN_MAX])
{
    uint8_t choice = take(script), count = take(script);
    static const uint8_t uuids[64] = {1, [16] = 2, [32] = 3, [48] = 4};
    struct gossip_writer writer = {room, room + GOSSIP_PLAIN_MAX};
    struct gossip_message message = {
        .kind = 1 + choice % (GOSSIP_KINDS - 1),
        .cluster = CLUSTER,
        .version = count >> 5,
        .details_version = count >> 6,
        .digest_number = choice >> 4,
        .seq = 1 + (count & 7),
        .target = {{choice >> 5}},
        .address = {.ip = {[15] = choice}, .port = 1},
        .count = count,
        .flags = count & 3,
        .pulled = slice_of(uuids, (size_t)16 * (1 + (count & 3))),
    };
    gossip_write_message(&writer, &message);
    if (count & 0x10) {
        uint32_t len = min_u32(take(script), (uint32_t)(script->end - script->at));
        memcpy(writer.at, script->at, len);
        script->at += len;
        writer.at += len;
    }
    for (unsigned i = 0; i < (count & 0xfu); i++)
        write_record(script, &writer);
    return slice_of(room, (size_t)(writer.at - room));
}

static void
next_event(struct script *script, struct gossip_event *event, uint8_t room[GOSSIP_PLAIN_MAX],
           struct gossip_address seeds[2])
{
    uint8_t choice = take(script);
    event->kind = choice & 8 ? GOSSIP_RECEIVED : choice & 7;
    if (!(choice & 8) && event->kind == GOSSIP_RECEIVED)
        event->kind = GOSSIP_LEAVE;
    event->uuid.bytes[0] = choice >> 5;
    event->incarnation = choice >> 4 & 3;
    event->reliable = choice & 4;
    event->address.port = event->kind == GOSSIP_ADDRESS ? 9 : take(script) & 3;
    event->seeds = seeds;
    event->seed_count = 2;
    seeds[0] = seeds[1] = event->address;
    if (event->kind == GOSSIP_RECEIVED)
        event->bytes = next_message(script, room);
    else
        event->bytes = slice_of("some bytes", take(script) % 10);
    if (event->kind == GOSSIP_FORGET) { // of one of the others, as its owner sees to it
        uint8_t other = take(script);
        event->uuid.bytes[0] = 1 + (choice >> 5);
        event->incarnation = 1 + (choice >> 4 & 1);
        event->version = 1 + (other & 7);
        event->age_s = (uint32_t)other * 400;
        event->address.port = 9;
        event->name = slice_str(&"abcdefgh"[other & 7]);
    }
}

static void
try_machine(const uint8_t *data, size_t size)
{
    struct script script = {data, data + size};
    struct gossip_actions actions = {0};
    struct gossip_config config = {
        .cluster = CLUSTER,
        .incarnation = 2,
        .name = slice_str("self"),
        .address = {.ip = {1}, .port = 1},
        .members_max = MEMBERS_MAX,
        .seed = size,
    };
    uint64_t now = 1000000;
    struct gossip *gossip = gossip_new(&config, now);
    while (script.at < script.end) {
        uint8_t room[GOSSIP_PLAIN_MAX], pause = take(&script);
        struct gossip_address seeds[2];
        struct gossip_event event = {.kind = GOSSIP_TICK};
        if (pause == 255)
            now -= 5000;
        else
            now += pause & 0x80 ? (uint64_t)(pause & 0x7f) * 40 : pause;
        if (pause & 1)
            next_event(&script, &event, room, seeds);
        gossip_step(gossip, now, &event, &actions);
        gossip_check(gossip);
        unsigned messages = 0;
        for (uint32_t i = 0; i < actions.count; i++) {
            const struct gossip_action *action = &actions.items[i];
            struct gossip_message message;
            if (action->kind != GOSSIP_SEND)
                continue;
            messages++;
            must(gossip_decode(slice_of(actions.bytes + action->offset, action->len), &message) ==
                 OK);
        }
        must(messages <= MESSAGES_MAX);
        must(gossip_wait_until(gossip) <= now + 1000);
    }
    gossip_free(gossip);
    gossip_actions_free(&actions);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 4096)
        return 0;
    try_about(data, size);
    try_message(data, size);
    try_seal(data, size);
    try_machine(data, size);
    return 0;
}
