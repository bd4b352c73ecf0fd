// mosquitto_chunks.c - the chunks of a mosquitto.db.
//
// Versions 5 and 6: a chunk is u32 type, u32 length, both big-endian, then a C struct as it lay in
// Mosquitto's memory (padding included; lengths and identifiers big-endian, 64-bit numbers in the
// order of the machine), then texts. Versions 2 to 4: u16 type, u32 length, then packed fields; a
// text is u16 length and its bytes.
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/mqtt.h"
#include "core/topic.h"
#include "persist/json_props.h"
#include "persist/mosquitto_model.h"

#define HEADER_BYTES 23u // magic, u32 checksum that is always 0, u32 version
#define VERSION_MIN  2u
#define VERSION_MAX  6u
#define CONFIG_BYTES 16u                   // of its struct, in versions 5 and 6
#define STORE_ID     8u                    // bytes of a store id
#define SECONDS_MAX  INT64_C(100000000000) // the year 5138: later ones are damage
#define STATE_MAX    STATE_QUEUED

enum chunk_type {
    CHUNK_CONFIG = 1,
    CHUNK_MESSAGE = 2,
    CHUNK_ENTRY = 3,
    CHUNK_RETAINED = 4,
    CHUNK_SUB = 5,
    CHUNK_CLIENT = 6,
};

// One chunk, its fields taken off the front. Once one is cut short all read as nothing.
struct chunk {
    struct model *model;
    uint32_t start, at, end; // offsets in the file; start: of its head
    uint32_t type;
    bool cut;
};

PRINTF_LIKE(3)
static err_t
fail(struct model *model, uint32_t offset, const char *format, ...)
{
    int len = snprintf(model->problem, MOSQUITTO_DB_PROBLEM_MAX, "byte %" PRIu32 ": ", offset);
    must(len > 0 && len < MOSQUITTO_DB_PROBLEM_MAX);
    va_list args;
    va_start(args, format);
    (void)vsnprintf(model->problem + len, MOSQUITTO_DB_PROBLEM_MAX - (size_t)len, format, args);
    va_end(args);
    return ERR_MALFORMED;
}

// ---- Fields -------------------------------------------------------------------------------------

static struct slice
take(struct chunk *chunk, uint32_t len)
{
    must(chunk->at <= chunk->end && chunk->end <= chunk->model->file.len);
    if (chunk->cut || chunk->end - chunk->at < len) {
        chunk->cut = true;
        return (struct slice){0};
    }
    struct slice bytes = slice_of(chunk->model->file.data + chunk->at, len);
    chunk->at += len;
    return bytes;
}

// Big-endian.
static uint32_t
take_be(struct chunk *chunk, uint32_t len)
{
    struct slice bytes = take(chunk, len);
    uint32_t value = 0;
    for (uint32_t i = 0; i < bytes.len; i++)
        value = value << 8 | bytes.data[i];
    return value;
}

static uint64_t
take_le64(struct chunk *chunk)
{
    struct slice bytes = take(chunk, 8);
    uint64_t value = 0;
    for (uint32_t i = 0; i < bytes.len; i++)
        value |= (uint64_t)bytes.data[i] << (8 * i);
    return value;
}

static struct slice
take_text(struct chunk *chunk)
{
    return take(chunk, take_be(chunk, 2));
}

// Seconds since 1970 to milliseconds; 0 and less: none, 0.
static err_t
to_ms(struct chunk *chunk, uint64_t seconds, uint64_t *ret_ms)
{
    int64_t since_1970 = (int64_t)seconds;
    if (since_1970 > SECONDS_MAX)
        return fail(chunk->model, chunk->start, "a time of %" PRId64 " s is out of range",
                    since_1970);
    *ret_ms = since_1970 > 0 ? (uint64_t)since_1970 * 1000 : 0;
    return OK;
}

static bool
is_old(const struct chunk *chunk)
{
    return chunk->model->version < 5;
}

// ---- Chunks -------------------------------------------------------------------------------------

static err_t
read_config(struct chunk *chunk)
{
    uint32_t id_bytes;
    if (is_old(chunk)) {
        (void)take(chunk, 1); // written at a shutdown?
        id_bytes = take_be(chunk, 1);
    } else {
        if (chunk->end - chunk->at != CONFIG_BYTES)
            return fail(chunk->model, chunk->start,
                        "a configuration of %" PRIu32
                        " bytes, expected %u: another kind of machine",
                        chunk->end - chunk->at, CONFIG_BYTES);
        (void)take(chunk, STORE_ID + 1); // last store id, shutdown
        id_bytes = take_be(chunk, 1);
    }
    if (!chunk->cut && id_bytes != STORE_ID)
        return fail(chunk->model, chunk->start,
                    "store ids of %" PRIu32 " bytes, expected %u: another kind of machine",
                    id_bytes, STORE_ID);
    return OK;
}

// Versions 5 and 6 keep the properties as in a packet, their length first.
static err_t
read_props(struct chunk *chunk, struct slice *ret_props)
{
    uint32_t len = 0, shift = 0, byte = 0x80;
    while (chunk->at < chunk->end && byte & 0x80 && shift < 28) {
        byte = take_be(chunk, 1);
        len |= (byte & 0x7f) << shift;
        shift += 7;
    }
    if (shift > 0 && byte & 0x80)
        return fail(chunk->model, chunk->at, "properties with a length that does not end");
    must(shift <= 28);
    *ret_props = take(chunk, len);
    struct slice rest = *ret_props;
    struct msg_prop prop;
    err_t err;
    while ((err = msg_prop_next(&rest, &prop)) == OK)
        continue;
    if (err != ERR_NEED_MORE)
        return fail(chunk->model, (uint32_t)(rest.data - chunk->model->file.data),
                    "a property that a PUBLISH does not have, or cut short");
    return OK;
}

static bool
props_valid(struct slice raw, uint32_t *ret_forwarded_len)
{
    uint8_t *forwarded = mem_alloc(raw.len + 1);
    bool valid = msg_props_forward(raw, forwarded, ret_forwarded_len) == OK &&
                 msg_props_valid(slice_of(forwarded, *ret_forwarded_len));
    mem_free(forwarded);
    return valid;
}

static err_t
add_message(struct chunk *chunk, struct model_message *message)
{
    must(!chunk->cut);
    struct model *model = chunk->model;
    if (!utf8_valid(message->topic) || topic_name_check(message->topic) != OK)
        return fail(model, chunk->start, "a message whose topic is no Topic Name");
    if (message->qos > 2)
        return fail(model, chunk->start, "a message of QoS %u, expected 0 to 2", message->qos);
    if (!props_valid(message->props, &message->forwarded_len))
        return fail(model, chunk->start, "a message with properties that nobody may send");
    uint64_t bytes = (uint64_t)message->topic.len + message->props.len + message->payload.len;
    if (bytes > MQTT_REMAINING_LENGTH_MAX)
        return fail(model, chunk->start, "a message that is too long for a packet");
    if (model_find_message(model, message->id) != MODEL_NONE)
        return fail(model, chunk->start, "store id %" PRIu64 " is there twice", message->id);
    model_add_message(model, message);
    return OK;
}

static err_t
read_message(struct chunk *chunk)
{
    struct model_message message = {.id = take_le64(chunk)};
    uint64_t expires_s = take_le64(chunk);
    uint32_t payload_len = take_be(chunk, 4);
    (void)take(chunk, 2); // the publisher's packet identifier
    uint32_t source_len = take_be(chunk, 2);
    uint32_t user_len = take_be(chunk, 2);
    uint32_t topic_len = take_be(chunk, 2);
    (void)take(chunk, 2); // listener
    message.qos = (uint8_t)take_be(chunk, 1);
    message.retain = take_be(chunk, 1) != 0;
    message.source = take(chunk, source_len);
    (void)take(chunk, user_len);
    message.topic = take(chunk, topic_len);
    message.payload = take(chunk, payload_len);
    err_t err = to_ms(chunk, expires_s, &message.expires_ms);
    if (err == OK && !chunk->cut)
        err = read_props(chunk, &message.props);
    return err || chunk->cut ? err : add_message(chunk, &message);
}

static err_t
read_old_message(struct chunk *chunk)
{
    struct model_message message = {.id = take_le64(chunk)};
    message.source = take_text(chunk);
    if (chunk->model->version == 4) {
        (void)take_text(chunk); // user name
        (void)take(chunk, 2);   // listener
    }
    (void)take(chunk, 2 + 2); // packet identifiers
    message.topic = take_text(chunk);
    message.qos = (uint8_t)take_be(chunk, 1);
    message.retain = take_be(chunk, 1) != 0;
    message.payload = take(chunk, take_be(chunk, 4));
    return chunk->cut ? OK : add_message(chunk, &message);
}

// Mosquitto 2.0.11 writes memory behind the user name of an earlier client for one that has none.
static struct slice
plausible_user(struct slice user)
{
    bool plausible = user.len > 0 && utf8_valid(user);
    return plausible ? user : (struct slice){0};
}

static err_t
read_client(struct chunk *chunk)
{
    struct model *model = chunk->model;
    struct model_client client = {.expiry_s = MQTT_EXPIRY_NEVER};
    err_t err = OK;
    if (is_old(chunk)) {
        client.id = take_text(chunk);
        (void)take(chunk, 2); // last packet identifier; from version 3 on a time follows
    } else {
        err = to_ms(chunk, take_le64(chunk), &client.expires_ms);
        client.expiry_s = take_be(chunk, 4);
        (void)take(chunk, 2);
        uint32_t id_len = take_be(chunk, 2);
        uint32_t user_len = 0;
        if (model->version >= 6) {
            (void)take(chunk, 2); // listener
            user_len = take_be(chunk, 2);
            (void)take(chunk, 4); // the end of the struct
        }
        client.id = take(chunk, id_len);
        client.user = plausible_user(take(chunk, user_len));
    }
    if (err || chunk->cut)
        return err;
    if (client.id.len == 0) {
        model->strays++;
        return OK;
    }
    if (!utf8_valid(client.id))
        return fail(model, chunk->start, "a client identifier that is not UTF-8");
    if (model_find_client(model, client.id) != MODEL_NONE)
        return fail(model, chunk->start, "client \"%.*s\" is there twice", (int)client.id.len,
                    (const char *)client.id.data);
    model_add_client(model, &client);
    return OK;
}

// What entries and subscriptions have in common: they belong to a client of the file.
static bool
find_client(struct chunk *chunk, struct slice id, uint32_t *ret)
{
    *ret = model_find_client(chunk->model, id);
    if (*ret == MODEL_NONE)
        chunk->model->strays++;
    return *ret != MODEL_NONE;
}

static err_t
add_entry(struct chunk *chunk, struct model_entry *entry, uint32_t direction, struct slice id,
          uint64_t store_id)
{
    struct model *model = chunk->model;
    if (entry->qos > 2 || entry->state > STATE_MAX || direction > 1)
        return fail(model, chunk->start,
                    "QoS %u, state %u, direction %" PRIu32 " of a message, expected at most 2, %u, "
                    "1",
                    entry->qos, entry->state, direction, STATE_MAX);
    entry->incoming = direction == 0;
    entry->message = model_find_message(model, store_id);
    if (!find_client(chunk, id, &entry->client))
        return OK;
    if (entry->message == MODEL_NONE) { // Mosquitto, too, goes on without it
        model->strays++;
        return OK;
    }
    model_add_entry(model, entry);
    return OK;
}

static err_t
read_entry(struct chunk *chunk)
{
    struct model *model = chunk->model;
    uint64_t store_id = take_le64(chunk);
    struct model_entry entry = {.ids = model->id_count};
    entry.mid = (uint16_t)take_be(chunk, 2);
    uint32_t id_len = take_be(chunk, 2);
    entry.qos = (uint8_t)take_be(chunk, 1);
    entry.state = (uint8_t)take_be(chunk, 1);
    uint32_t flags = take_be(chunk, 1);
    entry.retain = (flags & 0xf0) != 0;
    entry.dup = (flags & 0x0f) != 0;
    uint32_t direction = take_be(chunk, 1);
    struct slice id = take(chunk, id_len), props = {0};
    err_t err = chunk->cut ? OK : read_props(chunk, &props);
    if (err || chunk->cut)
        return err;
    struct msg_prop prop;
    while (msg_prop_next(&props, &prop) == OK)
        if (prop.id == PROP_SUBSCRIPTION_ID && prop.number != 0)
            model_add_id(model, prop.number);
    entry.id_count = model->id_count - entry.ids;
    return add_entry(chunk, &entry, direction, id, store_id);
}

static err_t
read_old_entry(struct chunk *chunk)
{
    struct slice id = take_text(chunk);
    uint64_t store_id = take_le64(chunk);
    struct model_entry entry = {.mid = (uint16_t)take_be(chunk, 2)};
    entry.qos = (uint8_t)take_be(chunk, 1);
    entry.retain = take_be(chunk, 1) != 0;
    uint32_t direction = take_be(chunk, 1);
    entry.state = (uint8_t)take_be(chunk, 1);
    entry.dup = take_be(chunk, 1) != 0;
    return chunk->cut ? OK : add_entry(chunk, &entry, direction, id, store_id);
}

static err_t
read_sub(struct chunk *chunk)
{
    struct model *model = chunk->model;
    struct model_sub sub = {0};
    struct slice id, text;
    uint32_t options = 0;
    if (is_old(chunk)) {
        id = take_text(chunk);
        text = take_text(chunk);
        sub.qos = (uint8_t)take_be(chunk, 1);
    } else {
        sub.subscription_id = take_be(chunk, 4);
        uint32_t id_len = take_be(chunk, 2);
        uint32_t text_len = take_be(chunk, 2);
        sub.qos = (uint8_t)take_be(chunk, 1);
        options = take_be(chunk, 1);
        (void)take(chunk, 2); // the end of the struct
        id = take(chunk, id_len);
        text = take(chunk, text_len);
    }
    if (chunk->cut)
        return OK;
    sub.no_local = options & 0x04;
    sub.retain_as_published = options & 0x08;
    if (sub.qos > 2 || sub.subscription_id > MQTT_REMAINING_LENGTH_MAX)
        return fail(model, chunk->start,
                    "a subscription of QoS %u with identifier %" PRIu32
                    ", expected at most 2, 268435455",
                    sub.qos, sub.subscription_id);
    struct share_filter share;
    if (!utf8_valid(text) || topic_share_split(text, &share) != OK)
        return fail(model, chunk->start, "a subscription whose filter is no Topic Filter");
    sub.filter = share.filter;
    sub.group = share.group;
    if (find_client(chunk, id, &sub.client))
        model_add_sub(model, &sub);
    return OK;
}

static err_t
read_retained(struct chunk *chunk)
{
    uint64_t store_id = take_le64(chunk);
    if (chunk->cut)
        return OK;
    uint32_t message = model_find_message(chunk->model, store_id);
    if (message == MODEL_NONE)
        chunk->model->strays++;
    else if (chunk->model->messages[message].payload.len > 0)
        model_add_retained(chunk->model, message);
    return OK;
}

// ---- The file -----------------------------------------------------------------------------------

static err_t
read_chunk(struct chunk *chunk)
{
    switch (chunk->type) {
    case CHUNK_CONFIG:
        return read_config(chunk);
    case CHUNK_MESSAGE:
        return is_old(chunk) ? read_old_message(chunk) : read_message(chunk);
    case CHUNK_ENTRY:
        return is_old(chunk) ? read_old_entry(chunk) : read_entry(chunk);
    case CHUNK_RETAINED:
        return read_retained(chunk);
    case CHUNK_SUB:
        return read_sub(chunk);
    case CHUNK_CLIENT:
        return read_client(chunk);
    default:
        return OK; // of a later Mosquitto, which passes over what it does not know, too
    }
}

// The head of the chunk at *at; its end must be in the file.
static err_t
next_chunk(struct model *model, uint32_t at, struct chunk *ret)
{
    uint32_t type_bytes = model->version < 5 ? 2 : 4;
    *ret = (struct chunk){.model = model, .start = at, .at = at, .end = model->file.len};
    ret->type = take_be(ret, type_bytes);
    uint32_t len = take_be(ret, 4);
    if (ret->cut)
        return fail(model, at, "the file ends within the head of a chunk");
    if (len > model->file.len - ret->at)
        return fail(model, at,
                    "a chunk of type %" PRIu32 " and %" PRIu32 " bytes, but the file has %" PRIu32
                    " more",
                    ret->type, len, model->file.len - ret->at);
    ret->end = ret->at + len;
    must(ret->end > at && ret->end <= model->file.len);
    return OK;
}

err_t
model_read(struct model *model)
{
    struct slice file = model->file;
    if (file.len < HEADER_BYTES)
        return fail(model, file.len, "the file ends within its head");
    struct chunk chunk = {.model = model, .at = HEADER_BYTES - 4, .end = HEADER_BYTES};
    model->version = take_be(&chunk, 4);
    if (model->version < VERSION_MIN || model->version > VERSION_MAX)
        return fail(model, HEADER_BYTES - 4, "format version %" PRIu32 ", expected %u to %u",
                    model->version, VERSION_MIN, VERSION_MAX);
    bool has_config = false;
    for (uint32_t at = HEADER_BYTES; at < file.len; at = chunk.end) {
        err_t err = next_chunk(model, at, &chunk);
        if (err == OK)
            err = read_chunk(&chunk);
        if (err)
            return err;
        if (chunk.cut)
            return fail(model, at,
                        "a chunk of type %" PRIu32 " and %" PRIu32
                        " bytes is too short for its fields",
                        chunk.type, chunk.end - chunk.start);
        must(chunk.end > at);
        has_config |= chunk.type == CHUNK_CONFIG;
    }
    return has_config ? OK : fail(model, file.len, "the file ends before its configuration chunk");
}
