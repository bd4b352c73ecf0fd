// table.h - the tables of the state: names, keys, and values that notice damage.
//
// Job:    one row of each table, to bytes and back. README.md lists keys and values.
// Owner:  none. Thread: any, within an LMDB transaction of its own.
// Memory: what is read is borrowed from the map until the transaction ends or writes.
// Limits: keys TABLE_KEY_MAX; a topic longer than TABLE_TOPIC_MAX goes by its hash.
//
// Every value begins with a u32: the low half of XXH3 over what follows, seeded with XXH3 over the
// key, seeded with the table's number. So a value under another key or in another table is noticed
// as well as a flipped bit.
#ifndef TERN_PERSIST_TABLE_H
#define TERN_PERSIST_TABLE_H

#include <lmdb.h>

#include "core/record.h"

#define TABLE_KEY_MAX   511u // LMDB's limit
#define TABLE_TOPIC_MAX 480u
#define TABLE_SUM       4u

// The numbers are part of the checksums: they do not change.
enum table {
    TABLE_META = 0,
    TABLE_SESSIONS = 1,      // session
    TABLE_SUBSCRIPTIONS = 2, // session, u32 ordinal
    TABLE_ENTRIES = 3,       // session, u64 place in the queue
    TABLE_MESSAGES = 4,      // message
    TABLE_REFS = 5,          // message, only those with more than one reference
    TABLE_RECEIVED = 6,      // session, u16 packet identifier
    TABLE_RETAINED = 7,      // topic; or a NUL, which no topic has, and the name of a setting
    TABLE_TOMBSTONES = 8,    // u64 number of the fold, topic key
    TABLE_COUNT
};

const char *table_name(enum table table);

struct table_key {
    uint32_t len;
    uint8_t bytes[TABLE_KEY_MAX];
};

void table_key_number(struct table_key *ret, uint64_t number);
// sub_bytes: 2, 4 or 8 bytes of sub.
void table_key_pair(struct table_key *ret, uint64_t number, uint64_t sub, unsigned sub_bytes);
// seed: the store's, so that a client cannot aim at one key with two long topics.
void table_key_topic(struct table_key *ret, struct slice topic, uint64_t seed);
void table_key_setting(struct table_key *ret, struct slice name);
// Of the row of this RETAIN, RETAIN_CLEAR or SETTING.
void table_key_retained(struct table_key *ret, const struct record *record, uint64_t seed);
void table_key_tombstone(struct table_key *ret, uint64_t fold, const struct table_key *topic);
// 128 bits that stand for the topic in tables in memory.
void table_topic_hash(struct slice topic, uint64_t seed, uint64_t ret[static 2]);

static inline MDB_val
table_val(const struct table_key *key)
{
    return (MDB_val){key->len, unconst(key->bytes)};
}

// The functions below return 0 or LMDB's or errno's number.

// Puts head and body as one value at the cursor's table. flags: MDB_NOOVERWRITE or 0.
int table_put(MDB_cursor *cursor, enum table table, const struct table_key *key, struct slice head,
              struct slice body, unsigned flags);
// MDB_CORRUPTED when the checksum does not fit.
int table_open(enum table table, const MDB_val *key, const MDB_val *value, struct slice *ret);
// MDB_NOTFOUND. ret_payload is borrowed.
int table_get(MDB_cursor *cursor, enum table table, const struct table_key *key,
              struct slice *ret_payload);
// Deletes the row if it is there; 0 also when it is not. *ret_found may be NULL.
int table_delete(MDB_cursor *cursor, const struct table_key *key, bool *ret_found);
// A whole record of this kind. MDB_CORRUPTED when it is not one.
int table_record(struct slice bytes, uint8_t kind, struct record *ret);

#endif
