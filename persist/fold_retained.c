// fold_retained.c - folding retained messages and settings: the highest order wins, a clear leaves
// a tombstone.
//
// Why tombstones: a topic is set and cleared by any shard, and the shards' batches reach the log
// out of order by at most a moment. A RETAIN that comes after the clear that outdates it must find
// something to lose against. The window that is being folded may end between the two, the next one
// does not: so a tombstone is deleted in the fold after the next one.
#include "persist/bytes.h"
#include "persist/fold_parts.h"
#include "persist/window_fields.h"

#define TOMBSTONE_FOLDS 2u
#define FOLD_BYTES      8u // a tombstone's value begins with the number of its fold

// 0, or the fold that left this tombstone.
static int
tombstone_fold(struct slice payload, struct slice *ret_record, uint64_t *ret_fold)
{
    *ret_fold = 0;
    *ret_record = payload;
    if (payload.len < 1)
        return MDB_CORRUPTED;
    if (payload.data[0] == JOURNAL_RETAIN || payload.data[0] == JOURNAL_SETTING)
        return payload.len < RECORD_HEAD + 8 ? MDB_CORRUPTED : 0;
    if (payload.data[0] != JOURNAL_RETAIN_CLEAR || payload.len < 1 + FOLD_BYTES + RECORD_HEAD + 8)
        return MDB_CORRUPTED;
    *ret_fold = get_le64(payload.data + 1);
    *ret_record = slice_of(payload.data + 1 + FOLD_BYTES, payload.len - 1 - FOLD_BYTES);
    return 0;
}

// What is there now: its order, and its fold when it is a tombstone.
static int
look_up(struct fold *fold, const struct table_key *key, uint64_t *ret_order, uint64_t *ret_fold)
{
    struct slice payload, record;
    *ret_order = *ret_fold = 0;
    int rc = table_get(fold->txn.cursors[TABLE_RETAINED], TABLE_RETAINED, key, &payload);
    if (rc == MDB_NOTFOUND)
        return 0;
    if (rc == 0)
        rc = tombstone_fold(payload, &record, ret_fold);
    if (rc == 0)
        *ret_order = field_number(record.data);
    return rc;
}

static int
put_tombstone(struct fold *fold, const struct table_key *topic, struct slice record)
{
    struct table_key key;
    must(fold->meta.folds > 0 && record.len > RECORD_HEAD + 8);
    uint8_t head[1 + FOLD_BYTES] = {JOURNAL_RETAIN_CLEAR};
    (void)put_le64(head + 1, fold->meta.folds);
    int rc = table_put(fold->txn.cursors[TABLE_RETAINED], TABLE_RETAINED, topic,
                       slice_of(head, sizeof head), record, 0);
    if (rc != 0)
        return rc;
    table_key_tombstone(&key, fold->meta.folds, topic);
    return table_put(fold->txn.cursors[TABLE_TOMBSTONES], TABLE_TOMBSTONES, &key, (struct slice){0},
                     (struct slice){0}, 0);
}

int
fold_retained(struct fold *fold, const struct survivor *thing)
{
    struct table_key key, tombstone;
    struct record record;
    uint64_t order, old_fold;
    uint32_t len;
    struct slice bytes = window_record(fold->window, thing->at);
    if (record_read(bytes, &record, &len) != OK)
        return MDB_CORRUPTED;
    must(record.kind >= JOURNAL_RETAIN && record.kind <= JOURNAL_SETTING);
    table_key_retained(&key, &record, fold->meta.seed);
    int rc = look_up(fold, &key, &order, &old_fold);
    if (rc != 0 || record.order < order)
        return rc;
    must(old_fold < fold->meta.folds);
    if (old_fold != 0) {
        table_key_tombstone(&tombstone, old_fold, &key);
        rc = table_delete(fold->txn.cursors[TABLE_TOMBSTONES], &tombstone, NULL);
    }
    if (rc != 0)
        return rc;
    bool gone = record.kind == JOURNAL_SETTING ? record.msg.payload.len == 0
                                               : record.kind == JOURNAL_RETAIN_CLEAR;
    if (gone)
        return put_tombstone(fold, &key, bytes);
    return table_put(fold->txn.cursors[TABLE_RETAINED], TABLE_RETAINED, &key, bytes,
                     (struct slice){0}, 0);
}

int
fold_old_tombstones(struct fold *fold)
{
    MDB_cursor *cursor = fold->txn.cursors[TABLE_TOMBSTONES];
    for (;;) {
        MDB_val k, v;
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
        if (rc == MDB_NOTFOUND)
            return 0;
        if (rc != 0)
            return rc;
        if (k.mv_size <= 8 || k.mv_size > TABLE_KEY_MAX)
            return MDB_CORRUPTED;
        if (get_be64(k.mv_data) + TOMBSTONE_FOLDS > fold->meta.folds)
            return 0;
        struct table_key topic = {.len = (uint32_t)k.mv_size - 8};
        memcpy(topic.bytes, (const uint8_t *)k.mv_data + 8, topic.len);
        // The row goes with the topic's: whoever replaced the topic's has deleted it.
        if ((rc = table_delete(fold->txn.cursors[TABLE_RETAINED], &topic, NULL)) != 0 ||
            (rc = mdb_cursor_del(cursor, 0)) != 0)
            return rc;
    }
}
