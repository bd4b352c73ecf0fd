// fold_session.c - folding what belongs to sessions: rows that come, change and go.
#include "persist/bytes.h"
#include "persist/fold_parts.h"
#include "persist/window_fields.h"

// Records of a session that is nowhere would stay for ever: they are left out.
static int
session_is_there(struct fold *fold, uint64_t session, bool *ret)
{
    if (fold->session != session || session == 0) {
        struct table_key key;
        table_key_number(&key, session);
        MDB_val k = table_val(&key), v;
        int rc = mdb_cursor_get(fold->txn.cursors[TABLE_SESSIONS], &k, &v, MDB_SET_KEY);
        if (rc != 0 && rc != MDB_NOTFOUND)
            return rc;
        fold->session = session;
        fold->session_there = rc == 0;
    }
    *ret = fold->session_there;
    fold->result.orphans += !fold->session_there;
    return 0;
}

int
fold_session(struct fold *fold, const struct survivor *thing)
{
    struct table_key key;
    table_key_number(&key, thing->a);
    must(thing->at != 0);
    return table_put(fold->txn.cursors[TABLE_SESSIONS], TABLE_SESSIONS, &key,
                     window_record(fold->window, thing->at), (struct slice){0}, 0);
}

int
fold_subscription(struct fold *fold, const struct survivor *thing)
{
    struct table_key key;
    bool there;
    MDB_cursor *cursor = fold->txn.cursors[TABLE_SUBSCRIPTIONS];
    must(thing->b > 0 && thing->b <= UINT32_MAX);
    table_key_pair(&key, thing->a, thing->b, 4);
    if (thing->flags & THING_GONE)
        return table_delete(cursor, &key, NULL);
    int rc = session_is_there(fold, thing->a, &there);
    if (rc != 0 || !there)
        return rc;
    return table_put(cursor, TABLE_SUBSCRIPTIONS, &key, window_record(fold->window, thing->at),
                     (struct slice){0}, 0);
}

int
fold_received(struct fold *fold, const struct survivor *thing)
{
    struct table_key key;
    bool there;
    MDB_cursor *cursor = fold->txn.cursors[TABLE_RECEIVED];
    must(thing->b > 0 && thing->b <= UINT16_MAX);
    table_key_pair(&key, thing->a, thing->b, 2);
    if (thing->flags & THING_GONE)
        return table_delete(cursor, &key, NULL);
    int rc = session_is_there(fold, thing->a, &there);
    if (rc != 0 || !there)
        return rc;
    return table_put(cursor, TABLE_RECEIVED, &key, (struct slice){0}, (struct slice){0}, 0);
}

// ---- Entries ------------------------------------------------------------------------------------

// An entry of the state that is released or goes: what it refers to loses a reference.
static int
lose_reference(struct fold *fold, struct slice payload)
{
    if (payload.len < 1 + ENQUEUE_BYTES)
        return MDB_CORRUPTED;
    if (payload.data[0] == ENTRY_RELEASED)
        return 0;
    must_hot(payload.data[1] == JOURNAL_ENQUEUE); // a checksum says that we wrote it
    uint64_t message = field_enqueue_message(payload.data + 1);
    slots_at(&fold->refs, THING_MESSAGE, message, 0)->delta--;
    return 0;
}

static int
message_is_there(struct fold *fold, struct slot *ref, bool *ret)
{
    if (ref->at == 0 && !(ref->flags & REF_ASKED)) {
        uint32_t refs;
        int rc = state_message_refs(&fold->txn, ref->a, &refs);
        if (rc != 0)
            return rc;
        ref->flags |= REF_ASKED | (refs > 0 ? REF_THERE : 0);
    }
    *ret = ref->at != 0 || ref->flags & REF_THERE;
    fold->result.orphans += !*ret;
    return 0;
}

static int
put_entry(struct fold *fold, const struct table_key *key, uint8_t state, struct slice record)
{
    MDB_cursor *cursor = fold->txn.cursors[TABLE_ENTRIES];
    int rc = table_put(cursor, TABLE_ENTRIES, key, slice_of(&state, 1), record, MDB_NOOVERWRITE);
    if (rc != MDB_KEYEXIST)
        return rc;
    struct slice old;
    rc = table_get(cursor, TABLE_ENTRIES, key, &old);
    if (rc == 0)
        rc = lose_reference(fold, old);
    return rc != 0 ? rc : table_put(cursor, TABLE_ENTRIES, key, slice_of(&state, 1), record, 0);
}

static int
new_entry(struct fold *fold, const struct survivor *thing, const struct table_key *key)
{
    struct slice record = window_record(fold->window, thing->at);
    must_hot(field_number(record.data) == thing->a && field_seq(record.data) == thing->b);
    bool there, released = thing->flags & THING_RELEASED;
    int rc = session_is_there(fold, thing->a, &there);
    if (rc != 0 || !there)
        return rc;
    if (released)
        return put_entry(fold, key, ENTRY_RELEASED, record);
    uint64_t message = field_enqueue_message(record.data);
    struct slot *ref = slots_at(&fold->refs, THING_MESSAGE, message, 0);
    rc = message_is_there(fold, ref, &there);
    if (rc != 0 || !there)
        return rc;
    must_hot(ref->delta < INT32_MAX);
    ref->delta++;
    return put_entry(fold, key, 0, record);
}

int
fold_entry(struct fold *fold, const struct survivor *thing)
{
    struct table_key key;
    struct slice old;
    uint8_t copy[1 + ENQUEUE_BYTES];
    MDB_cursor *cursor = fold->txn.cursors[TABLE_ENTRIES];
    table_key_pair(&key, thing->a, thing->b, 8);
    if (thing->at != 0)
        return new_entry(fold, thing, &key);
    int rc = table_get(cursor, TABLE_ENTRIES, &key, &old);
    if (rc == MDB_NOTFOUND)
        return 0; // dropped with its session, or left out as an orphan
    if (rc == 0)
        rc = lose_reference(fold, old);
    if (rc != 0)
        return rc;
    if (thing->flags & THING_GONE)
        return mdb_cursor_del(cursor, 0);
    must(thing->flags & THING_RELEASED);
    if (old.data[0] == ENTRY_RELEASED)
        return 0;
    // The subscription identifiers have gone out with the message: a released entry is of one size.
    memcpy(copy, old.data, sizeof copy);
    copy[0] = ENTRY_RELEASED;
    (void)put_le32(copy + 1 + 1, ENQUEUE_BYTES - RECORD_HEAD);
    return table_put(cursor, TABLE_ENTRIES, &key, slice_of(copy, sizeof copy), (struct slice){0},
                     0);
}

// ---- The end of a session -----------------------------------------------------------------------

// All rows whose key begins with the session's number.
static int
delete_range(struct fold *fold, enum table table, uint64_t session)
{
    struct table_key key;
    MDB_cursor *cursor = fold->txn.cursors[table];
    table_key_number(&key, session);
    for (;;) {
        MDB_val k = table_val(&key), v;
        int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
        if (rc == MDB_NOTFOUND)
            return 0;
        if (rc != 0)
            return rc;
        if (k.mv_size < 8 || get_be64(k.mv_data) != session)
            return 0;
        struct slice payload;
        if (table == TABLE_ENTRIES && ((rc = table_open(table, &k, &v, &payload)) != 0 ||
                                       (rc = lose_reference(fold, payload)) != 0))
            return rc;
        if ((rc = mdb_cursor_del(cursor, 0)) != 0)
            return rc;
    }
}

int
fold_end_session(struct fold *fold, uint64_t session)
{
    static const enum table tables[] = {TABLE_SESSIONS, TABLE_SUBSCRIPTIONS, TABLE_RECEIVED,
                                        TABLE_ENTRIES};
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(tables) && rc == 0; i++)
        rc = delete_range(fold, tables[i], session);
    return rc;
}
