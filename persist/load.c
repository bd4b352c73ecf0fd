// load.c - what the state holds, given back to the shards at the start.
//
// All tables that belong to sessions are sorted by the session's number, so each shard walks them
// once, side by side. The workers do so at the same time, each in a transaction of its own; nobody
// writes yet.
#include "core/base/clock.h"

#include "core/broker.h"
#include "core/restore.h"
#include "core/shard.h"
#include "persist/bytes.h"
#include "persist/store_parts.h"
#include "persist/window_fields.h"

#define PROGRESS_EVERY 100000u // sessions or retained messages
#define SKIP_STEPS     8u // rows of other shards' sessions that are passed before a search pays

struct loader {
    struct store *store;
    struct shard *shard;
    struct state_txn txn;
    uint64_t wall_ms, loaded;
};

// The rows of one table, as far as the walk has come.
struct rows {
    enum table table;
    MDB_cursor *cursor;
    MDB_val key, value;
    int rc; // of the last step: 0 = key and value are a row
};

static void
rows_begin(struct rows *rows, struct loader *loader, enum table table)
{
    rows->table = table;
    rows->cursor = loader->txn.cursors[table];
    rows->rc = mdb_cursor_get(rows->cursor, &rows->key, &rows->value, MDB_FIRST);
}

static void
rows_next(struct rows *rows)
{
    rows->rc = mdb_cursor_get(rows->cursor, &rows->key, &rows->value, MDB_NEXT);
}

static uint64_t
rows_session(const struct rows *rows)
{
    return rows->key.mv_size < 8 ? 0 : get_be64(rows->key.mv_data);
}

// To the first row of this session or a later one.
static void
rows_seek(struct rows *rows, uint64_t session)
{
    for (uint32_t n = 0; n < SKIP_STEPS; n++) {
        if (rows->rc != 0 || rows_session(rows) >= session)
            return;
        rows_next(rows);
    }
    struct table_key key;
    table_key_number(&key, session);
    rows->key = table_val(&key);
    rows->rc = mdb_cursor_get(rows->cursor, &rows->key, &rows->value, MDB_SET_RANGE);
}

static bool
rows_is_of(const struct rows *rows, uint64_t session)
{
    return rows->rc == 0 && rows_session(rows) == session;
}

static int
rows_payload(const struct rows *rows, size_t key_size, struct slice *ret)
{
    return rows->key.mv_size != key_size ? MDB_CORRUPTED
                                         : table_open(rows->table, &rows->key, &rows->value, ret);
}

static int
rows_end(const struct rows *rows)
{
    return rows->rc == MDB_NOTFOUND ? 0 : rows->rc;
}

// ---- One session --------------------------------------------------------------------------------

static int
load_queue(struct rows *entries, uint64_t session, struct restored_queue *ret)
{
    *ret = (struct restored_queue){0};
    for (rows_seek(entries, session); rows_is_of(entries, session); rows_next(entries)) {
        struct slice payload;
        int rc = rows_payload(entries, 16, &payload);
        if (rc != 0)
            return rc;
        if (payload.len < 1 + ENQUEUE_BYTES)
            return MDB_CORRUPTED;
        uint64_t seq = field_seq(payload.data + 1);
        must_hot(ret->count == 0 || seq >= ret->end); // in the order of the keys
        if (ret->count == 0)
            ret->first = seq;
        ret->end = seq + 1;
        ret->count++;
        ret->bytes += field_enqueue_size(payload.data + 1);
    }
    return rows_end(entries);
}

static int
load_subscriptions(struct rows *rows, uint64_t number, struct session *session)
{
    for (rows_seek(rows, number); rows_is_of(rows, number); rows_next(rows)) {
        struct slice payload;
        struct record record;
        int rc = rows_payload(rows, 12, &payload);
        if (rc == 0)
            rc = table_record(payload, JOURNAL_SUBSCRIBE, &record);
        if (rc != 0)
            return rc;
        restore_subscription(session, &record);
    }
    return rows_end(rows);
}

static int
load_received(struct rows *rows, uint64_t number, struct session *session)
{
    for (rows_seek(rows, number); rows_is_of(rows, number); rows_next(rows)) {
        struct slice payload;
        int rc = rows_payload(rows, 10, &payload);
        if (rc != 0)
            return rc;
        restore_received(session, get_be16((const uint8_t *)rows->key.mv_data + 8));
    }
    return rows_end(rows);
}

struct tables {
    struct rows sessions, subscriptions, entries, received;
};

static int
load_session(struct loader *loader, struct tables *tables)
{
    struct slice payload;
    struct record record;
    struct restored_queue queue;
    int rc = rows_payload(&tables->sessions, 8, &payload);
    if (rc == 0)
        rc = table_record(payload, JOURNAL_SESSION, &record);
    if (rc == 0 && record.session != rows_session(&tables->sessions))
        rc = MDB_CORRUPTED;
    if (rc != 0 || !restore_is_here(loader->shard, &record))
        return rc;
    rc = load_queue(&tables->entries, record.session, &queue);
    if (rc != 0)
        return rc;
    must(queue.count == 0 || queue.end - queue.first >= queue.count);
    struct session *session = restore_session(loader->shard, &record, &queue);
    must(session);
    rc = load_subscriptions(&tables->subscriptions, record.session, session);
    if (rc == 0)
        rc = load_received(&tables->received, record.session, session);
    if (rc != 0)
        return rc;
    restore_done(session, &record, loader->wall_ms);
    if (++loader->loaded % PROGRESS_EVERY == 0)
        store_say(loader->store, LOG_T_INFORMATION, "Persistence: shard %u has %llu sessions back.",
                  loader->shard->index, (unsigned long long)loader->loaded);
    return 0;
}

// ---- A shard ------------------------------------------------------------------------------------

static err_t
damaged(const struct store *store, int rc)
{
    if (rc == 0)
        return OK;
    store_say(store, LOG_T_ERROR, "Persistence: cannot read the store %s: %s. %s", store->path,
              env_text(rc), store_advice(rc));
    return ERR_IO;
}

err_t
store_load_shard(struct store *store, struct shard *shard)
{
    must(store->magic == STORE_MAGIC && !store->running);
    struct loader loader = {.store = store, .shard = shard, .wall_ms = clock_wall_ms()};
    struct tables tables;
    must(shard);
    int rc = state_begin(&store->state, false, &loader.txn);
    if (rc != 0)
        return damaged(store, rc);
    rows_begin(&tables.sessions, &loader, TABLE_SESSIONS);
    rows_begin(&tables.subscriptions, &loader, TABLE_SUBSCRIPTIONS);
    rows_begin(&tables.entries, &loader, TABLE_ENTRIES);
    rows_begin(&tables.received, &loader, TABLE_RECEIVED);
    for (; tables.sessions.rc == 0 && rc == 0; rows_next(&tables.sessions))
        rc = load_session(&loader, &tables);
    if (rc == 0)
        rc = rows_end(&tables.sessions);
    state_abort(&loader.txn);
    return damaged(store, rc);
}

// ---- Retained messages --------------------------------------------------------------------------

static int
load_retained(struct loader *loader, struct rows *rows, struct broker *broker,
              struct rcu_reader *reader)
{
    uint64_t now_ms = clock_mono_ms(), wall_ms = clock_wall_ms();
    for (; rows->rc == 0; rows_next(rows)) {
        struct slice payload;
        struct record record;
        int rc = rows_payload(rows, rows->key.mv_size, &payload);
        if (rc != 0)
            return rc;
        if (payload.len > 0 &&
            (payload.data[0] == JOURNAL_RETAIN_CLEAR || payload.data[0] == JOURNAL_SETTING))
            continue; // a tombstone, or a setting
        if ((rc = table_record(payload, JOURNAL_RETAIN, &record)) != 0)
            return rc;
        restore_retained(broker, reader, &record, now_ms, wall_ms);
        if (++loader->loaded % PROGRESS_EVERY > 0)
            continue;
        rcu_quiescent(reader); // tables that were outgrown go
        store_say(loader->store, LOG_T_INFORMATION, "Persistence: %llu retained messages are back.",
                  (unsigned long long)loader->loaded);
    }
    return rows_end(rows);
}

err_t
store_load_retained(struct store *store, struct broker *broker, struct rcu_reader *reader)
{
    must(store->magic == STORE_MAGIC && !store->running);
    struct loader loader = {.store = store};
    struct rows rows;
    int rc = state_begin(&store->state, false, &loader.txn);
    if (rc != 0)
        return damaged(store, rc);
    rows_begin(&rows, &loader, TABLE_RETAINED);
    rc = load_retained(&loader, &rows, broker, reader);
    state_abort(&loader.txn);
    return damaged(store, rc);
}

// ---- Settings -----------------------------------------------------------------------------------

// To the first one with this prefix, or to what is behind all of them.
static void
rows_seek_setting(struct rows *rows, struct slice prefix)
{
    struct table_key first;
    table_key_setting(&first, prefix);
    rows->key = (MDB_val){.mv_size = first.len, .mv_data = first.bytes};
    rows->rc = mdb_cursor_get(rows->cursor, &rows->key, &rows->value, MDB_SET_RANGE);
}

// They stand before all topics.
static int
load_settings(struct rows *rows, struct slice prefix, record_sink sink, void *arg)
{
    for (; rows->rc == 0; rows_next(rows)) {
        struct slice payload;
        struct record record;
        const uint8_t *key = rows->key.mv_data;
        if (rows->key.mv_size <= prefix.len || key[0] != '\0' ||
            memcmp(key + 1, prefix.data, prefix.len) != 0)
            return 0;
        int rc = rows_payload(rows, rows->key.mv_size, &payload);
        if (rc != 0)
            return rc;
        if (payload.len > 0 && payload.data[0] == JOURNAL_RETAIN_CLEAR)
            continue; // a tombstone
        if ((rc = table_record(payload, JOURNAL_SETTING, &record)) != 0)
            return rc;
        err_t err = sink(arg, &record);
        must(err == OK);
    }
    return rows_end(rows);
}

err_t
store_load_settings(struct store *store, const char *prefix, record_sink sink, void *arg)
{
    must(store->magic == STORE_MAGIC && !store->running);
    struct loader loader = {.store = store};
    struct rows rows;
    int rc = state_begin(&store->state, false, &loader.txn);
    if (rc != 0)
        return damaged(store, rc);
    rows_begin(&rows, &loader, TABLE_RETAINED);
    rows_seek_setting(&rows, slice_str(prefix));
    rc = load_settings(&rows, slice_str(prefix), sink, arg);
    state_abort(&loader.txn);
    return damaged(store, rc);
}
