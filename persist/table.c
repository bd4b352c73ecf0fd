// table.c - the tables of the state: names, keys, and values that notice damage.
#include "persist/table.h"

#include "persist/bytes.h"
#include "persist/checksum.h"

static const char *const names[TABLE_COUNT] = {
    [TABLE_META] = "meta",
    [TABLE_SESSIONS] = "sessions",
    [TABLE_SUBSCRIPTIONS] = "subscriptions",
    [TABLE_ENTRIES] = "entries",
    [TABLE_MESSAGES] = "messages",
    [TABLE_REFS] = "refs",
    [TABLE_RECEIVED] = "received",
    [TABLE_RETAINED] = "retained",
    [TABLE_TOMBSTONES] = "tombstones",
};

const char *
table_name(enum table table)
{
    must(table < TABLE_COUNT);
    return names[table];
}

// ---- Keys ---------------------------------------------------------------------------------------

void
table_key_number(struct table_key *ret, uint64_t number)
{
    ret->len = (uint32_t)(put_be64(ret->bytes, number) - ret->bytes);
}

void
table_key_pair(struct table_key *ret, uint64_t number, uint64_t sub, unsigned sub_bytes)
{
    uint8_t *end = put_be64(ret->bytes, number);
    if (sub_bytes == 2) {
        end = put_be16(end, (uint16_t)sub);
    } else if (sub_bytes == 4) {
        end = put_be32(end, (uint32_t)sub);
    } else {
        must_hot(sub_bytes == 8);
        end = put_be64(end, sub);
    }
    ret->len = (uint32_t)(end - ret->bytes);
}

void
table_topic_hash(struct slice topic, uint64_t seed, uint64_t ret[static 2])
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(topic.data, topic.len, seed);
    ret[0] = hash.low64;
    ret[1] = hash.high64;
}

void
table_key_topic(struct table_key *ret, struct slice topic, uint64_t seed)
{
    must_hot(topic.len > 0);
    uint32_t len = min_u32(topic.len, TABLE_TOPIC_MAX);
    memcpy(ret->bytes, topic.data, len);
    ret->len = len;
    if (topic.len <= TABLE_TOPIC_MAX)
        return;
    uint64_t hash[2];
    table_topic_hash(topic, seed, hash);
    (void)put_be64(put_be64(ret->bytes + len, hash[1]), hash[0]);
    ret->len = len + 16;
}

void
table_key_setting(struct table_key *ret, struct slice name)
{
    must(name.len > 0 && name.len <= RECORD_SETTING_NAME_MAX);
    ret->bytes[0] = '\0';
    memcpy(ret->bytes + 1, name.data, name.len);
    ret->len = name.len + 1;
}

void
table_key_retained(struct table_key *ret, const struct record *record, uint64_t seed)
{
    if (record->kind == JOURNAL_SETTING)
        table_key_setting(ret, record->msg.topic);
    else
        table_key_topic(ret, record->msg.topic, seed);
}

void
table_key_tombstone(struct table_key *ret, uint64_t fold, const struct table_key *topic)
{
    must(topic->len + 8 <= TABLE_KEY_MAX);
    memcpy(put_be64(ret->bytes, fold), topic->bytes, topic->len);
    ret->len = 8 + topic->len;
}

// ---- Rows ---------------------------------------------------------------------------------------

static uint32_t
value_sum(enum table table, const MDB_val *key, const uint8_t *payload, size_t len)
{
    uint64_t seed = XXH3_64bits_withSeed(key->mv_data, key->mv_size, (uint64_t)table);
    return (uint32_t)XXH3_64bits_withSeed(payload, len, seed);
}

int
table_put(MDB_cursor *cursor, enum table table, const struct table_key *key, struct slice head,
          struct slice body, unsigned flags)
{
    must_hot(key->len > 0 && key->len <= TABLE_KEY_MAX);
    size_t payload = (size_t)head.len + body.len;
    MDB_val k = table_val(key), v = {TABLE_SUM + payload, NULL};
    int rc = mdb_cursor_put(cursor, &k, &v, flags | MDB_RESERVE);
    if (rc != 0)
        return rc;
    uint8_t *at = (uint8_t *)v.mv_data + TABLE_SUM;
    if (head.len > 0)
        memcpy(at, head.data, head.len);
    if (body.len > 0)
        memcpy(at + head.len, body.data, body.len);
    k = table_val(key);
    (void)put_le32(v.mv_data, value_sum(table, &k, at, payload));
    return 0;
}

int
table_open(enum table table, const MDB_val *key, const MDB_val *value, struct slice *ret)
{
    if (unlikely(value->mv_size < TABLE_SUM || value->mv_size > UINT32_MAX))
        return MDB_CORRUPTED;
    const uint8_t *at = value->mv_data;
    size_t len = value->mv_size - TABLE_SUM;
    if (unlikely(value_sum(table, key, at + TABLE_SUM, len) != get_le32(at)))
        return MDB_CORRUPTED;
    *ret = slice_of(at + TABLE_SUM, len);
    return 0;
}

int
table_get(MDB_cursor *cursor, enum table table, const struct table_key *key,
          struct slice *ret_payload)
{
    MDB_val k = table_val(key), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_KEY);
    return rc != 0 ? rc : table_open(table, &k, &v, ret_payload);
}

int
table_delete(MDB_cursor *cursor, const struct table_key *key, bool *ret_found)
{
    MDB_val k = table_val(key), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_KEY);
    if (ret_found)
        *ret_found = rc == 0;
    if (rc == MDB_NOTFOUND)
        return 0;
    return rc != 0 ? rc : mdb_cursor_del(cursor, 0);
}

int
table_record(struct slice bytes, uint8_t kind, struct record *ret)
{
    uint32_t len;
    if (record_read(bytes, ret, &len) != OK || len != bytes.len || ret->kind != kind)
        return MDB_CORRUPTED;
    return 0;
}
