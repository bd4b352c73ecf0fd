// gossip_codec.c - what members tell each other in a datagram.
#include "cluster/gossip_codec.h"

#define FORM_STATE   3u
#define FORM_DETAILS 4u

uint32_t
gossip_uuid_short(const struct gossip_uuid *uuid)
{
    uint32_t value = 0;
    for (unsigned i = 0; i < 4; i++)
        value = value << 8 | uuid->bytes[i];
    return value;
}

bool
gossip_name_valid(struct slice name)
{
    if (name.len == 0 || name.len > GOSSIP_NAME_MAX)
        return false;
    for (uint32_t i = 0; i < name.len; i++) {
        uint8_t c = name.data[i], letter = c | 0x20;
        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
            c != '.')
            return false;
    }
    return true;
}

// ---- Reading ------------------------------------------------------------------------------------

// After the first thing that is wrong, bad stays set and zeros come out.
struct reader {
    const uint8_t *at, *end;
    bool bad;
};

static const uint8_t *
take(struct reader *reader, uint32_t len)
{
    must(reader->at <= reader->end);
    if (reader->bad || (size_t)(reader->end - reader->at) < len) {
        reader->bad = true;
        return NULL;
    }
    const uint8_t *at = reader->at;
    reader->at += len;
    return at;
}

static uint64_t
take_uint(struct reader *reader, unsigned bytes)
{
    uint64_t value = 0;
    const uint8_t *at = take(reader, bytes);
    must(bytes <= 8);
    for (unsigned i = 0; at && i < bytes; i++)
        value = value << 8 | at[i];
    return value;
}

static uint64_t
take_varint(struct reader *reader, uint64_t max)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
        const uint8_t *at = take(reader, 1);
        if (!at)
            return 0;
        uint64_t part = *at & 0x7fu;
        if ((part << shift) >> shift != part || (*at == 0 && shift > 0))
            break; // too large, or longer than it need be
        value |= part << shift;
        if (*at < 0x80) {
            if (value > max)
                break;
            return value;
        }
    }
    reader->bad = true;
    return 0;
}

static struct slice
take_slice(struct reader *reader, uint32_t len_max)
{
    uint32_t len = (uint32_t)take_uint(reader, 1);
    if (len > len_max)
        reader->bad = true;
    const uint8_t *at = take(reader, len);
    return at ? slice_of(at, len) : (struct slice){0};
}

static void
take_uuid(struct reader *reader, struct gossip_uuid *ret_uuid)
{
    const uint8_t *at = take(reader, sizeof ret_uuid->bytes);
    if (at)
        memcpy(ret_uuid->bytes, at, sizeof ret_uuid->bytes);
}

static void
take_address(struct reader *reader, struct gossip_address *ret_address)
{
    const uint8_t *at = take(reader, sizeof ret_address->ip);
    if (at)
        memcpy(ret_address->ip, at, sizeof ret_address->ip);
    ret_address->port = (uint16_t)take_uint(reader, 2);
    if (ret_address->port == 0)
        reader->bad = true;
}

static void
take_digest(struct reader *reader, uint64_t *ret_number, struct slice *ret_digest)
{
    *ret_number = take_varint(reader, UINT64_MAX);
    *ret_digest = take_slice(reader, GOSSIP_DIGEST_MAX);
}

static void
take_versions(struct reader *reader, uint32_t *ret_version, uint32_t *ret_details)
{
    *ret_version = (uint32_t)take_varint(reader, UINT32_MAX);
    *ret_details = (uint32_t)take_varint(reader, UINT32_MAX);
    if (*ret_details > *ret_version)
        reader->bad = true;
}

static void
take_record(struct reader *reader, struct gossip_record *ret)
{
    memset(ret, 0, sizeof *ret);
    uint8_t form = (uint8_t)take_uint(reader, 1);
    if (form & ~(FORM_STATE | FORM_DETAILS))
        reader->bad = true;
    ret->state = (enum gossip_state)(form & FORM_STATE);
    ret->has_details = form & FORM_DETAILS;
    take_uuid(reader, &ret->uuid);
    ret->incarnation = take_varint(reader, UINT64_MAX);
    take_versions(reader, &ret->version, &ret->details_version);
    if (ret->incarnation == 0)
        reader->bad = true;
    if (ret->state == GOSSIP_SUSPECT)
        ret->accuser = (uint32_t)take_uint(reader, 4);
    else if (ret->state != GOSSIP_ALIVE)
        ret->age_s = (uint32_t)take_varint(reader, UINT32_MAX);
    if (!ret->has_details || reader->bad)
        return;
    const uint8_t *begin = reader->at;
    take_address(reader, &ret->address);
    ret->name = take_slice(reader, GOSSIP_NAME_MAX);
    ret->meta = take_slice(reader, GOSSIP_META_MAX);
    if (reader->bad || !gossip_name_valid(ret->name)) {
        reader->bad = true;
        return;
    }
    ret->details = slice_of(begin, (size_t)(reader->at - begin));
    take_digest(reader, &ret->digest_number, &ret->digest);
}

static void
take_pulled(struct reader *reader, struct slice *ret_pulled)
{
    uint32_t count = (uint32_t)take_uint(reader, 1);
    if (count == 0 || count > GOSSIP_PULL_MAX)
        reader->bad = true;
    const uint8_t *at = take(reader, count * (uint32_t)sizeof(struct gossip_uuid));
    if (at)
        *ret_pulled = slice_of(at, count * sizeof(struct gossip_uuid));
}

static void
take_kind(struct reader *reader, struct gossip_message *ret)
{
    switch (ret->kind) {
    case GOSSIP_PING:
    case GOSSIP_RELAY:
        ret->seq = (uint32_t)take_uint(reader, 4);
        take_uuid(reader, &ret->target);
        if (ret->kind == GOSSIP_RELAY)
            take_address(reader, &ret->address);
        break;
    case GOSSIP_ACK:
    case GOSSIP_RELAYED:
    case GOSSIP_NACK:
    case GOSSIP_NOT_ME:
        ret->seq = (uint32_t)take_uint(reader, 4);
        break;
    case GOSSIP_ASK:
        ret->hash = take_uint(reader, 8);
        ret->count = (uint32_t)take_uint(reader, 2);
        break;
    case GOSSIP_PAGE:
        ret->flags = (uint8_t)take_uint(reader, 1);
        ret->count = (uint32_t)take_uint(reader, 2);
        if (ret->flags & ~(GOSSIP_PAGE_ANSWER | GOSSIP_PAGE_PULLED))
            reader->bad = true;
        break;
    case GOSSIP_PULL:
        take_pulled(reader, &ret->pulled);
        break;
    case GOSSIP_SAME:
    case GOSSIP_RUMORS:
        break;
    case GOSSIP_KINDS:
    default:
        reader->bad = true;
    }
}

err_t
gossip_decode(struct slice bytes, struct gossip_message *ret_message)
{
    struct reader reader = {bytes.data, bytes.data + bytes.len, bytes.len > GOSSIP_PLAIN_MAX};
    must(bytes.data != NULL || bytes.len == 0);
    memset(ret_message, 0, sizeof *ret_message);
    uint64_t version = take_uint(&reader, 1);
    if (!reader.bad && version != GOSSIP_VERSION)
        return ERR_PROTOCOL_VERSION;
    ret_message->kind = (enum gossip_kind)take_uint(&reader, 1);
    ret_message->cluster = take_uint(&reader, 8);
    take_versions(&reader, &ret_message->version, &ret_message->details_version);
    take_digest(&reader, &ret_message->digest_number, &ret_message->digest);
    if (!reader.bad)
        take_kind(&reader, ret_message);
    if (reader.bad)
        return ERR_MALFORMED;
    ret_message->records = slice_of(reader.at, (size_t)(reader.end - reader.at));
    while (!reader.bad && reader.at < reader.end) {
        struct gossip_record record;
        take_record(&reader, &record);
    }
    return reader.bad ? ERR_MALFORMED : OK;
}

bool
gossip_record_next(struct slice *rest, struct gossip_record *ret_record)
{
    if (rest->len == 0)
        return false;
    struct reader reader = {rest->data, rest->data + rest->len, false};
    take_record(&reader, ret_record);
    must(!reader.bad); // gossip_decode has seen it
    *rest = slice_of(reader.at, (size_t)(reader.end - reader.at));
    return true;
}

// ---- Writing ------------------------------------------------------------------------------------

static void
put(struct gossip_writer *writer, const void *data, size_t len)
{
    must((size_t)(writer->end - writer->at) >= len);
    if (len > 0)
        memcpy(writer->at, data, len);
    writer->at += len;
}

static void
put_uint(struct gossip_writer *writer, uint64_t value, unsigned bytes)
{
    must(bytes <= 8 && (size_t)(writer->end - writer->at) >= bytes);
    for (unsigned i = 0; i < bytes; i++)
        *writer->at++ = (uint8_t)(value >> (8 * (bytes - 1 - i)));
}

static void
put_varint(struct gossip_writer *writer, uint64_t value)
{
    for (; value >= 0x80; value >>= 7)
        put_uint(writer, (value & 0x7f) | 0x80, 1);
    put_uint(writer, value, 1);
}

static uint32_t
varint_size(uint64_t value)
{
    uint32_t size = 1;
    for (; value >= 0x80; value >>= 7)
        size++;
    return size;
}

static void
put_slice(struct gossip_writer *writer, struct slice bytes, uint32_t len_max)
{
    must(bytes.len <= len_max && len_max <= UINT8_MAX);
    put_uint(writer, bytes.len, 1);
    put(writer, bytes.data, bytes.len);
}

static void
put_address(struct gossip_writer *writer, const struct gossip_address *address)
{
    must(address->port != 0);
    put(writer, address->ip, sizeof address->ip);
    put_uint(writer, address->port, 2);
}

static void
put_kind(struct gossip_writer *writer, const struct gossip_message *message)
{
    switch (message->kind) {
    case GOSSIP_PING:
    case GOSSIP_RELAY:
        put_uint(writer, message->seq, 4);
        put(writer, message->target.bytes, sizeof message->target.bytes);
        if (message->kind == GOSSIP_RELAY)
            put_address(writer, &message->address);
        break;
    case GOSSIP_ACK:
    case GOSSIP_RELAYED:
    case GOSSIP_NACK:
    case GOSSIP_NOT_ME:
        put_uint(writer, message->seq, 4);
        break;
    case GOSSIP_ASK:
        put_uint(writer, message->hash, 8);
        put_uint(writer, message->count, 2);
        break;
    case GOSSIP_PAGE:
        put_uint(writer, message->flags, 1);
        put_uint(writer, message->count, 2);
        break;
    case GOSSIP_PULL:
        must(message->pulled.len % 16 == 0 && message->pulled.len / 16 <= GOSSIP_PULL_MAX);
        put_uint(writer, message->pulled.len / 16, 1);
        put(writer, message->pulled.data, message->pulled.len);
        break;
    case GOSSIP_SAME:
    case GOSSIP_RUMORS:
        break;
    case GOSSIP_KINDS:
    default:
        must(false); // no such kind
    }
}

void
gossip_write_message(struct gossip_writer *writer, const struct gossip_message *message)
{
    must(message->details_version <= message->version && message->count <= UINT16_MAX);
    put_uint(writer, GOSSIP_VERSION, 1);
    put_uint(writer, message->kind, 1);
    put_uint(writer, message->cluster, 8);
    put_varint(writer, message->version);
    put_varint(writer, message->details_version);
    put_varint(writer, message->digest_number);
    put_slice(writer, message->digest, GOSSIP_DIGEST_MAX);
    put_kind(writer, message);
}

uint32_t
gossip_record_size(const struct gossip_record *record)
{
    uint32_t size = 1 + 16 + varint_size(record->incarnation) + varint_size(record->version) +
                    varint_size(record->details_version);
    if (record->state == GOSSIP_SUSPECT)
        size += 4;
    else if (record->state != GOSSIP_ALIVE)
        size += varint_size(record->age_s);
    if (record->has_details)
        size += record->details.len + varint_size(record->digest_number) + 1 + record->digest.len;
    must(size <= GOSSIP_RECORD_MAX);
    return size;
}

bool
gossip_write_record(struct gossip_writer *writer, const struct gossip_record *record)
{
    uint32_t size = gossip_record_size(record);
    if ((size_t)(writer->end - writer->at) < size)
        return false;
    const uint8_t *begin = writer->at;
    must(record->incarnation > 0 && record->details_version <= record->version);
    put_uint(writer, record->state | (record->has_details ? FORM_DETAILS : 0), 1);
    put(writer, record->uuid.bytes, sizeof record->uuid.bytes);
    put_varint(writer, record->incarnation);
    put_varint(writer, record->version);
    put_varint(writer, record->details_version);
    if (record->state == GOSSIP_SUSPECT)
        put_uint(writer, record->accuser, 4);
    else if (record->state != GOSSIP_ALIVE)
        put_varint(writer, record->age_s);
    if (record->has_details) {
        put(writer, record->details.data, record->details.len);
        put_varint(writer, record->digest_number);
        put_slice(writer, record->digest, GOSSIP_DIGEST_MAX);
    }
    must((size_t)(writer->at - begin) == size);
    return true;
}

uint32_t
gossip_write_details(uint8_t to[GOSSIP_DETAILS_MAX], const struct gossip_address *address,
                     struct slice name, struct slice meta)
{
    struct gossip_writer writer = {to, to + GOSSIP_DETAILS_MAX};
    must(gossip_name_valid(name));
    put_address(&writer, address);
    put_slice(&writer, name, GOSSIP_NAME_MAX);
    put_slice(&writer, meta, GOSSIP_META_MAX);
    return (uint32_t)(writer.at - to);
}
