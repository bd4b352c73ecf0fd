// verify_tables.c - the tables of the state, row by row.
#include "persist/bytes.h"
#include "persist/verify_parts.h"
#include "persist/window_fields.h"

// A table that is walked, and beside it the table of sessions or messages that its keys begin with.
struct walk {
    struct verifier *v;
    enum table table;
    MDB_cursor *cursor;
    MDB_val key, value;
    struct slice payload;
    struct table_key last; // the row before
    MDB_cursor *owners;    // NULL = keys begin with no such number
    enum table owner_table;
    uint64_t owner;
};

static int
check_order(struct walk *w)
{
    const struct table_key *last = &w->last;
    must(last->len <= TABLE_KEY_MAX);
    if (w->key.mv_size == 0 || w->key.mv_size > TABLE_KEY_MAX)
        return verify_bad(w->v, "table %s: a key of %zu bytes", table_name(w->table),
                          w->key.mv_size);
    size_t common = w->key.mv_size < last->len ? w->key.mv_size : last->len;
    int order = memcmp(last->bytes, w->key.mv_data, common);
    if (order > 0 || (order == 0 && last->len >= w->key.mv_size))
        return verify_bad(w->v, "table %s: keys out of order", table_name(w->table));
    w->last.len = (uint32_t)w->key.mv_size;
    memcpy(w->last.bytes, w->key.mv_data, w->key.mv_size);
    return 0;
}

static int
check_owner(struct walk *w)
{
    uint64_t owner = w->key.mv_size < 8 ? 0 : get_be64(w->key.mv_data);
    if (!w->owners || owner == w->owner)
        return 0;
    struct table_key key;
    table_key_number(&key, owner);
    MDB_val k = table_val(&key), value;
    int rc = mdb_cursor_get(w->owners, &k, &value, MDB_SET_KEY);
    if (rc == MDB_NOTFOUND)
        return verify_bad(w->v, "table %s: a row without its row in %s", table_name(w->table),
                          table_name(w->owner_table));
    w->owner = owner;
    return rc;
}

static int
walk_table(struct verifier *v, enum table table, enum table owner, int (*check)(struct walk *w))
{
    must(v->txn.txn && check);
    struct walk w = {.v = v, .table = table, .cursor = v->txn.cursors[table]};
    if (owner != TABLE_META) {
        w.owners = v->txn.cursors[owner];
        w.owner_table = owner;
    }
    int rc = mdb_cursor_get(w.cursor, &w.key, &w.value, MDB_FIRST);
    while (rc == 0) {
        if ((rc = check_order(&w)) != 0)
            return rc;
        if (table_open(table, &w.key, &w.value, &w.payload) != 0)
            return verify_bad(v, "table %s: a checksum does not fit", table_name(table));
        if ((rc = check_owner(&w)) != 0 || (rc = check(&w)) != 0)
            return rc;
        rc = mdb_cursor_get(w.cursor, &w.key, &w.value, MDB_NEXT);
    }
    if (rc == MDB_NOTFOUND)
        return 0;
    return verify_bad(v, "table %s: %s", table_name(table), env_text(rc));
}

// ---- Rows ---------------------------------------------------------------------------------------

static int
bad_row(struct walk *w)
{
    return verify_bad(w->v, "table %s: a row that is none", table_name(w->table));
}

static uint64_t
key_number(const struct walk *w)
{
    must_hot(w->key.mv_size >= 8);
    return get_be64(w->key.mv_data);
}

static int
check_session(struct walk *w)
{
    struct record record;
    if (w->key.mv_size != 8 || table_record(w->payload, JOURNAL_SESSION, &record) != 0 ||
        record.session != key_number(w) || record.session >= w->v->state.meta.next_session)
        return bad_row(w);
    return 0;
}

static int
check_subscription(struct walk *w)
{
    struct record record;
    if (w->key.mv_size != 12 || table_record(w->payload, JOURNAL_SUBSCRIBE, &record) != 0 ||
        record.session != key_number(w) ||
        record.ordinal != get_be32((const uint8_t *)w->key.mv_data + 8))
        return bad_row(w);
    return 0;
}

static int
check_received(struct walk *w)
{
    return w->key.mv_size != 10 || w->payload.len != 0 ? bad_row(w) : 0;
}

// A bijection without structure: sums of its values tell multisets apart.
static uint64_t
mix(uint64_t x)
{
    x = (x ^ x >> 32) * 0x9e3779b97f4a7c15;
    x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9;
    return x ^ x >> 32;
}

static int
check_entry(struct walk *w)
{
    struct record record;
    if (w->key.mv_size != 16 || w->payload.len < 1 || w->payload.data[0] > ENTRY_RELEASED)
        return bad_row(w);
    struct slice bytes = slice_of(w->payload.data + 1, w->payload.len - 1);
    if (table_record(bytes, JOURNAL_ENQUEUE, &record) != 0 || record.session != key_number(w) ||
        record.seq != get_be64((const uint8_t *)w->key.mv_data + 8))
        return bad_row(w);
    if (w->payload.data[0] != ENTRY_RELEASED)
        w->v->named += mix(record.message);
    return 0;
}

static int
check_message(struct walk *w)
{
    struct record record;
    if (w->key.mv_size != 8 || table_record(w->payload, JOURNAL_MESSAGE, &record) != 0 ||
        record.message != key_number(w) || record.message >= w->v->state.meta.next_message)
        return bad_row(w);
    w->v->counted += mix(record.message);
    return 0;
}

static int
check_refs(struct walk *w)
{
    if (w->key.mv_size != 8 || w->payload.len != 4 || get_le32(w->payload.data) < 2)
        return bad_row(w);
    w->v->counted += mix(key_number(w)) * (get_le32(w->payload.data) - 1);
    return 0;
}

static int
check_retained(struct walk *w)
{
    struct record record;
    struct table_key key;
    struct slice bytes = w->payload;
    if (bytes.len > 9 && bytes.data[0] == JOURNAL_RETAIN_CLEAR) {
        bytes = slice_of(bytes.data + 9, bytes.len - 9);
        bool setting = bytes.len > 0 && bytes.data[0] == JOURNAL_SETTING;
        if (table_record(bytes, setting ? JOURNAL_SETTING : JOURNAL_RETAIN_CLEAR, &record) != 0)
            return bad_row(w);
    } else {
        bool setting = bytes.len > 0 && bytes.data[0] == JOURNAL_SETTING;
        if (table_record(bytes, setting ? JOURNAL_SETTING : JOURNAL_RETAIN, &record) != 0)
            return bad_row(w);
    }
    table_key_retained(&key, &record, w->v->state.meta.seed);
    if (key.len != w->key.mv_size || memcmp(key.bytes, w->key.mv_data, key.len) != 0 ||
        record.order >= w->v->state.meta.next_order)
        return bad_row(w);
    return 0;
}

static int
check_tombstone(struct walk *w)
{
    return w->key.mv_size <= 8 || w->payload.len != 0 ? bad_row(w) : 0;
}

static int
check_meta(struct walk *w)
{
    return w->key.mv_size != 7 ? bad_row(w) : 0;
}

int
verify_tables(struct verifier *v)
{
    static const struct {
        enum table table, owner;
        int (*check)(struct walk *w);
    } plan[] = {
        {TABLE_META, TABLE_META, check_meta},
        {TABLE_SESSIONS, TABLE_META, check_session},
        {TABLE_SUBSCRIPTIONS, TABLE_SESSIONS, check_subscription},
        {TABLE_RECEIVED, TABLE_SESSIONS, check_received},
        {TABLE_ENTRIES, TABLE_SESSIONS, check_entry},
        {TABLE_MESSAGES, TABLE_META, check_message},
        {TABLE_REFS, TABLE_MESSAGES, check_refs},
        {TABLE_RETAINED, TABLE_META, check_retained},
        {TABLE_TOMBSTONES, TABLE_META, check_tombstone},
    };
    int rc = 0;
    for (size_t i = 0; i < ARRAY_LEN(plan) && rc == 0; i++)
        rc = walk_table(v, plan[i].table, plan[i].owner, plan[i].check);
    if (rc == 0 && v->named != v->counted)
        rc = verify_bad(v, "the messages do not have the references that they count");
    return rc;
}
