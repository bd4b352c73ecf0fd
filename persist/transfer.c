// transfer.c - whole stores as records: out in an order that makes an equal store, and in.
#include "persist/transfer.h"

#include <errno.h>

#include "core/base/mem.h"

#include "persist/bytes.h"
#include "persist/folder.h"
#include "persist/store_parts.h"
#include "persist/window_fields.h"

#define TRANSFER_WINDOW (8u << 20)

// ---- Export -------------------------------------------------------------------------------------

struct exporter {
    struct state_txn txn;
    record_sink sink;
    void *arg;
    struct slots told; // 1, message: its record is out; only those with several references
    err_t err;         // the sink's
};

// Hands a record over. 0, or something else when the sink has had enough.
static int
tell(struct exporter *e, const struct record *record)
{
    e->err = e->sink(e->arg, record);
    return e->err == OK ? 0 : ECANCELED;
}

static int
tell_row(struct exporter *e, enum table table, const MDB_val *key, const MDB_val *value,
         uint8_t kind)
{
    struct slice payload;
    struct record record;
    int rc = table_open(table, key, value, &payload);
    if (rc == 0)
        rc = table_record(payload, kind, &record);
    return rc != 0 ? rc : tell(e, &record);
}

static int
export_received(struct exporter *e, const MDB_val *key)
{
    if (key->mv_size != 10)
        return MDB_CORRUPTED;
    struct record record = {
        .kind = JOURNAL_RECEIVED,
        .session = get_be64(key->mv_data),
        .packet_id = get_be16((const uint8_t *)key->mv_data + 8),
    };
    return tell(e, &record);
}

// The message before the first entry that names it.
static int
export_message(struct exporter *e, uint64_t message)
{
    struct table_key key;
    struct slice payload;
    struct record record;
    uint32_t refs;
    must(e->txn.txn);
    int rc = state_message_refs(&e->txn, message, &refs);
    if (rc != 0)
        return rc;
    if (refs > 1) {
        struct slot *told = slots_at(&e->told, 1, message, 0);
        if (told->at != 0)
            return 0;
        told->at = 1;
    }
    table_key_number(&key, message);
    rc = table_get(e->txn.cursors[TABLE_MESSAGES], TABLE_MESSAGES, &key, &payload);
    if (rc == 0)
        rc = table_record(payload, JOURNAL_MESSAGE, &record);
    return rc != 0 ? rc : tell(e, &record);
}

static int
export_entry(struct exporter *e, const MDB_val *key, const MDB_val *value)
{
    struct slice payload;
    struct record record;
    int rc = table_open(TABLE_ENTRIES, key, value, &payload);
    if (rc != 0)
        return rc;
    if (payload.len < 1)
        return MDB_CORRUPTED;
    rc = table_record(slice_of(payload.data + 1, payload.len - 1), JOURNAL_ENQUEUE, &record);
    bool released = payload.data[0] == ENTRY_RELEASED;
    if (rc == 0 && !released)
        rc = export_message(e, record.message);
    if (rc == 0)
        rc = tell(e, &record);
    if (rc != 0 || !released)
        return rc;
    struct record state = {
        .kind = JOURNAL_STATE,
        .session = record.session,
        .seq = record.seq,
        .state = ENTRY_RELEASED,
    };
    return tell(e, &state);
}

static int
export_row(struct exporter *e, enum table table, const MDB_val *key, const MDB_val *value)
{
    if (table == TABLE_SUBSCRIPTIONS)
        return tell_row(e, table, key, value, JOURNAL_SUBSCRIBE);
    if (table == TABLE_RECEIVED)
        return export_received(e, key);
    must(table == TABLE_ENTRIES);
    return export_entry(e, key, value);
}

static int
export_range(struct exporter *e, enum table table, uint64_t session)
{
    struct table_key from;
    table_key_number(&from, session);
    MDB_val k = table_val(&from), v;
    int rc = mdb_cursor_get(e->txn.cursors[table], &k, &v, MDB_SET_RANGE);
    while (rc == 0 && k.mv_size >= 8 && get_be64(k.mv_data) == session) {
        rc = export_row(e, table, &k, &v);
        if (rc == 0)
            rc = mdb_cursor_get(e->txn.cursors[table], &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
export_sessions(struct exporter *e)
{
    MDB_val k, v;
    MDB_cursor *cursor = e->txn.cursors[TABLE_SESSIONS];
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    while (rc == 0) {
        if (k.mv_size != 8)
            return MDB_CORRUPTED;
        uint64_t session = get_be64(k.mv_data);
        rc = tell_row(e, TABLE_SESSIONS, &k, &v, JOURNAL_SESSION);
        if (rc == 0)
            rc = export_range(e, TABLE_SUBSCRIPTIONS, session);
        if (rc == 0)
            rc = export_range(e, TABLE_RECEIVED, session);
        if (rc == 0)
            rc = export_range(e, TABLE_ENTRIES, session);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
export_retained(struct exporter *e)
{
    MDB_val k, v;
    MDB_cursor *cursor = e->txn.cursors[TABLE_RETAINED];
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_FIRST);
    while (rc == 0) {
        struct slice payload;
        struct record record = {.msg.payload.len = 1};
        rc = table_open(TABLE_RETAINED, &k, &v, &payload);
        bool is_there = payload.len > 0 && payload.data[0] != JOURNAL_RETAIN_CLEAR;
        if (rc == 0 && is_there && payload.data[0] == JOURNAL_RETAIN)
            rc = table_record(payload, JOURNAL_RETAIN, &record);
        // What was cleared is of interest to other nodes alone.
        if (rc == 0 && is_there && record.msg.payload.len > 0)
            rc = tell_row(e, TABLE_RETAINED, &k, &v, payload.data[0]);
        if (rc == 0)
            rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

err_t
store_export(struct store *store, record_sink sink, void *arg)
{
    must(store->magic == STORE_MAGIC && !store->running && sink);
    struct exporter e = {.sink = sink, .arg = arg};
    int rc = state_begin(&store->state, false, &e.txn);
    if (rc == 0)
        rc = export_sessions(&e);
    if (rc == 0)
        rc = export_retained(&e);
    state_abort(&e.txn);
    slots_free(&e.told);
    if (e.err != OK)
        return e.err;
    if (rc == 0)
        return OK;
    store_say(store, LOG_T_ERROR, "Persistence: cannot read the store %s: %s. %s", store->path,
              env_text(rc), store_advice(rc));
    return ERR_IO;
}

// ---- Import -------------------------------------------------------------------------------------

struct transfer {
    char *path; // of the new store
    struct state state;
    struct window *window;
    uint64_t orphans;
    bool failed;
};

void
transfer_drop(struct transfer *transfer)
{
    if (!transfer)
        return;
    window_free(transfer->window);
    state_close(&transfer->state);
    (void)folder_remove_store(transfer->path);
    mem_free(transfer->path);
    mem_free(transfer);
}

static err_t
import_failed(struct store *store, int rc)
{
    store_say(store, LOG_T_ERROR, "Persistence: import into %s failed: %s. %s", store->path,
              env_text(rc), store_advice(rc));
    return ERR_IO;
}

err_t
store_import_begin(struct store *store)
{
    must(store->magic == STORE_MAGIC && !store->running && !store->transfer);
    const struct store_counts *counts = &store->counts;
    if (counts->sessions > 0 || counts->retained > 0 || counts->settings > 0)
        return ERR_FULL;
    struct transfer *t = mem_zalloc(sizeof *t);
    uint32_t version;
    t->path = folder_path("%s.import", store->path);
    int rc = folder_remove_store(t->path); // of an import that was killed
    if (rc == 0)
        rc = store_make(t->path);
    char *state = folder_path("%s/state", t->path);
    if (rc == 0)
        rc = state_open(&t->state, state, 0, &version);
    mem_free(state);
    if (rc != 0) {
        transfer_drop(t);
        return import_failed(store, rc);
    }
    // What the empty store has given out already is not given out again.
    t->state.meta.next_session = store->state.meta.next_session;
    t->state.meta.next_message = store->state.meta.next_message;
    t->state.meta.next_order = store->state.meta.next_order;
    t->window = window_new(t->state.meta.seed);
    store->transfer = t;
    return OK;
}

static int
flush(struct transfer *t)
{
    struct fold_result result = {0};
    must(t->window && !t->failed);
    int rc = fold_window(&t->state, t->window, 0, &result);
    window_clear(t->window);
    t->orphans += result.orphans;
    return rc;
}

err_t
store_import_put(struct store *store, const struct record *record)
{
    struct transfer *t = store->transfer;
    must(t);
    if (t->failed)
        return ERR_IO;
    // An ENQUEUE follows the message that it names, and a STATE its ENQUEUE: these belong into one
    // window, for what is named by nothing in a window is not kept.
    if (t->window->len >= TRANSFER_WINDOW && record->kind != JOURNAL_STATE &&
        record->kind != JOURNAL_ENQUEUE) {
        int rc = flush(t);
        if (rc != 0) {
            t->failed = true;
            return import_failed(store, rc);
        }
    }
    uint32_t len = record_size(record);
    const uint8_t *end = record_write(window_room(t->window, len), record);
    must(end == t->window->bytes + t->window->len);
    return window_apply(t->window, len);
}

// The new store in the old one's place. The old one is empty: nothing is lost with it.
static int
take_place(struct store *store, const char *path)
{
    uint32_t version;
    store_close_parts(store);
    int rc = folder_exchange(path, store->path);
    if (rc == EINVAL || rc == ENOSYS) { // a file system that cannot
        rc = folder_remove_store(store->path);
        if (rc == 0)
            rc = folder_rename(path, store->path);
    }
    int opened = store_open_parts(store, &version); // whichever it is now
    if (rc == 0)
        rc = opened;
    return rc == 0 ? store_count(store) : rc;
}

err_t
store_import_end(struct store *store)
{
    struct transfer *t = store->transfer;
    must(t);
    store->transfer = NULL;
    int rc = t->failed ? ECANCELED : flush(t);
    if (rc == 0 && t->orphans > 0) {
        store_say(store, LOG_T_ERROR,
                  "Persistence: %llu of the imported records belong to a session or a message that "
                  "is not among them.",
                  (unsigned long long)t->orphans);
        transfer_drop(t);
        return ERR_MALFORMED;
    }
    state_close(&t->state);
    if (rc == 0)
        rc = take_place(store, t->path);
    transfer_drop(t); // what is under its name now is the empty one, or nothing
    if (rc != 0 && rc != ECANCELED)
        return import_failed(store, rc);
    return rc == 0 ? OK : ERR_IO;
}

// ---- Settings -----------------------------------------------------------------------------------

err_t
store_put_settings(struct store *store, const struct record *records, uint32_t count)
{
    must(store->magic == STORE_MAGIC && !store->running && !store->transfer);
    struct window *window = window_new(store->state.meta.seed);
    for (uint32_t i = 0; i < count; i++) {
        must(records[i].kind == JOURNAL_SETTING);
        uint32_t len = record_size(&records[i]);
        const uint8_t *end = record_write(window_room(window, len), &records[i]);
        must(end == window->bytes + window->len);
        err_t err = window_apply(window, len);
        must(err == OK); // it is one of ours
    }
    // Nothing of the log is left to be applied: opening has folded it.
    int rc = fold_window(&store->state, window, store->state.meta.applied, NULL);
    window_free(window);
    if (rc == 0)
        rc = store_count(store);
    if (rc == 0)
        return OK;
    store_say(store, LOG_T_ERROR, "Persistence: cannot write to the store %s: %s. %s", store->path,
              env_text(rc), store_advice(rc));
    return ERR_IO;
}
