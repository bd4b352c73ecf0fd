// wal.c - the log on the disk: one blob a key, appended at one end, trimmed at the other.
#include "persist/wal.h"

#include "core/base/mem.h"

#include "persist/checksum.h"

#define TABLE_NAME "log"

// LMDB keeps such keys in the machine's own order of bytes, as it does its own numbers.
static MDB_val
val_of(uint64_t *sequence)
{
    return (MDB_val){sizeof *sequence, sequence};
}

static int
sequence_of(const MDB_val *key, uint64_t *ret)
{
    if (key->mv_size != sizeof *ret)
        return MDB_CORRUPTED;
    memcpy(ret, key->mv_data, sizeof *ret);
    return 0;
}

// ---- Opening ------------------------------------------------------------------------------------

static int
open_table(struct wal *wal, bool create)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(wal->env.mdb, NULL, create ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_dbi_open(txn, TABLE_NAME, MDB_INTEGERKEY | (create ? MDB_CREATE : 0), &wal->table);
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

int
wal_create(const char *path)
{
    struct wal wal = {0};
    int rc = env_open(&wal.env, path, WAL_MAP, 1, 0);
    if (rc == 0)
        rc = open_table(&wal, true);
    env_close(&wal.env);
    return rc;
}

static int
cursor_edge(MDB_cursor *cursor, MDB_cursor_op op, uint64_t *ret)
{
    MDB_val k, v;
    int rc = mdb_cursor_get(cursor, &k, &v, op);
    return rc != 0 ? rc : sequence_of(&k, ret);
}

// First and last sequence number; MDB_NOTFOUND when there is no blob.
static int
find_edges(struct wal *wal, uint64_t *ret_first, uint64_t *ret_last)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(wal->env.mdb, NULL, MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    if ((rc = mdb_cursor_open(txn, wal->table, &cursor)) == 0) {
        if ((rc = cursor_edge(cursor, MDB_FIRST, ret_first)) == 0)
            rc = cursor_edge(cursor, MDB_LAST, ret_last);
        mdb_cursor_close(cursor);
    }
    mdb_txn_abort(txn);
    return rc;
}

static int
find_ends(struct wal *wal, uint64_t applied)
{
    uint64_t first, last;
    int rc = find_edges(wal, &first, &last);
    if (rc == MDB_NOTFOUND) {
        wal->first = wal->next = applied + 1;
        return 0;
    }
    if (rc != 0)
        return rc;
    // The state never runs ahead of the log, but what it has may all be trimmed.
    if (first > applied + 1 || last < first)
        return ENV_GAP;
    wal->first = first;
    wal->next = max_u64(last, applied) + 1;
    return 0;
}

int
wal_open(struct wal *ret, const char *path, unsigned flags, uint64_t applied)
{
    *ret = (struct wal){0};
    int rc = env_open(&ret->env, path, WAL_MAP, 1, flags | MDB_NORDAHEAD);
    if (rc == 0)
        rc = open_table(ret, false);
    if (rc == 0)
        rc = find_ends(ret, applied);
    if (rc != 0) {
        env_close(&ret->env);
        return rc;
    }
    must(ret->next > applied && ret->first <= ret->next);
    return pthread_mutex_init(&ret->readers, NULL);
}

void
wal_close(struct wal *wal)
{
    if (!wal->env.path)
        return;
    env_close(&wal->env);
    (void)pthread_mutex_destroy(&wal->readers);
}

int
wal_reopen(struct wal *wal)
{
    (void)pthread_mutex_lock(&wal->readers);
    int rc = env_reopen(&wal->env);
    if (rc == 0)
        rc = open_table(wal, false);
    (void)pthread_mutex_unlock(&wal->readers);
    return rc;
}

// ---- Writing ------------------------------------------------------------------------------------

static int
put_blobs(struct wal *wal, MDB_cursor *cursor, const struct blob_list *list)
{
    int rc = 0;
    for (uint32_t i = 0; i < list->count && rc == 0; i++) {
        struct blob *blob = &list->blobs[i];
        uint64_t sequence = wal->next + i;
        must(blob->bytes && sequence > 0);
        blob_seal(blob, sequence, list->count - 1 - i);
        MDB_val k = val_of(&sequence), v = {blob->len, blob->bytes};
        rc = mdb_cursor_put(cursor, &k, &v, MDB_APPEND);
        // A commit that failed late may be there after all; then this is the same blob again.
        if (rc == MDB_KEYEXIST)
            rc = mdb_cursor_put(cursor, &k, &v, 0);
    }
    return rc;
}

static int
trim_blobs(struct wal *wal, MDB_cursor *cursor, uint64_t trim, uint64_t *ret_first)
{
    uint64_t first = wal->first;
    for (uint32_t n = 0; n < WAL_TRIM_MAX && first <= trim && first < wal->next; n++) {
        uint64_t sequence;
        int rc = cursor_edge(cursor, MDB_FIRST, &sequence);
        if (rc == MDB_NOTFOUND)
            break;
        if (rc != 0)
            return rc;
        if (sequence > trim) {
            first = sequence;
            break;
        }
        if ((rc = mdb_cursor_del(cursor, 0)) != 0)
            return rc;
        first = sequence + 1;
    }
    must(first <= wal->next);
    *ret_first = first;
    return 0;
}

static int
commit_once(struct wal *wal, const struct blob_list *list, uint64_t trim, uint64_t *ret_first)
{
    MDB_txn *txn;
    MDB_cursor *cursor;
    int rc = mdb_txn_begin(wal->env.mdb, NULL, 0, &txn);
    if (rc != 0)
        return rc;
    rc = mdb_cursor_open(txn, wal->table, &cursor);
    if (rc == 0) {
        rc = trim_blobs(wal, cursor, trim, ret_first);
        if (rc == 0 && list)
            rc = put_blobs(wal, cursor, list);
        mdb_cursor_close(cursor);
    }
    if (rc == 0)
        return mdb_txn_commit(txn);
    mdb_txn_abort(txn);
    return rc;
}

// Readers hold no transaction while we hold their lock.
static int
grow_map(struct wal *wal, size_t bytes)
{
    (void)pthread_mutex_lock(&wal->readers);
    int rc = env_grow(&wal->env, wal->env.map_bytes + bytes);
    (void)pthread_mutex_unlock(&wal->readers);
    return rc;
}

// The map is full. Deleting asks for a few pages as well. And when all is deleted there is room,
// but not yet: what a transaction frees the next but one may use, and there will be none.
static int
commit_in_full_map(struct wal *wal, const struct blob_list *list, uint64_t trim,
                   uint64_t *ret_first)
{
    int rc = MDB_MAP_FULL;
    if (wal->first == wal->next) {
        must(list);
        rc = grow_map(wal, WAL_MAP_STEP + 2 * list->bytes);
        return rc != 0 ? rc : commit_once(wal, list, trim, ret_first);
    }
    if (wal->first > trim)
        return rc; // the state has to come first
    rc = grow_map(wal, WAL_MAP_STEP);
    if (rc == 0)
        rc = commit_once(wal, NULL, trim, ret_first);
    if (rc == 0)
        wal->first = *ret_first;
    return rc == 0 && list ? MDB_MAP_FULL : rc;
}

int
wal_commit(struct wal *wal, const struct blob_list *list, uint64_t trim)
{
    must(trim < wal->next || trim == 0);
    must(!list || list->count > 0);
    uint64_t first = wal->first;
    if (!wal->env.mdb)
        return MDB_PANIC;
    int rc = commit_once(wal, list, trim, &first);
    if (rc == MDB_MAP_FULL && (list || wal->first < wal->next))
        rc = commit_in_full_map(wal, list, trim, &first);
    if (rc != 0)
        return rc;
    wal->first = first;
    wal->next += list ? list->count : 0;
    return 0;
}

// ---- Reading ------------------------------------------------------------------------------------

static int
take_blob(const MDB_val *value, uint64_t sequence, struct window *window)
{
    if (value->mv_size > UINT32_MAX / 2 ||
        !blob_is_good(slice_of(value->mv_data, value->mv_size), sequence))
        return MDB_CORRUPTED;
    uint32_t len = (uint32_t)value->mv_size;
    memcpy(window_room(window, len), value->mv_data, len);
    return window_apply_blob(window, len) == OK ? 0 : MDB_CORRUPTED;
}

// About how much the commit has that begins with this blob: all but the last are filled.
static uint64_t
commit_bytes(const MDB_val *first)
{
    bool damaged = first->mv_size <= BLOB_HEAD || first->mv_size > UINT32_MAX; // said by take_blob
    uint32_t left = damaged ? 0 : blob_left(slice_of(first->mv_data, first->mv_size));
    return first->mv_size * ((uint64_t)left + 1);
}

static int
read_blobs(MDB_cursor *cursor, uint64_t after, uint64_t until, uint64_t bytes_max,
           struct window *window, struct wal_window *ret)
{
    uint64_t wanted = after + 1;
    must(window && bytes_max > 0);
    MDB_val k = val_of(&wanted), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    bool whole = true; // no commit is taken in part: a message may be before the end of a blob, and
                       // the entry that names it behind
    while (rc == 0 && wanted <= until) {
        uint64_t sequence;
        if ((rc = sequence_of(&k, &sequence)) != 0)
            return rc;
        if (sequence != wanted)
            return ENV_GAP;
        if (ret->last != 0 && whole &&
            (ret->bytes + commit_bytes(&v) > bytes_max || window->things.used > window->things_max))
            return 0;
        if ((rc = take_blob(&v, sequence, window)) != 0)
            return rc;
        whole = blob_left(slice_of(v.mv_data, v.mv_size)) == 0;
        ret->commits += whole;
        ret->last = sequence;
        ret->bytes += v.mv_size;
        wanted++;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

static int
show_blobs(MDB_cursor *cursor, uint64_t after, uint64_t until, uint64_t bytes_max,
           struct window *window)
{
    uint64_t wanted = after + 1, sequence, bytes = 0;
    MDB_val k = val_of(&wanted), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0 && bytes < bytes_max && (rc = sequence_of(&k, &sequence)) == 0 &&
           sequence <= until) {
        if (v.mv_size > BLOB_HEAD && v.mv_size <= UINT32_MAX) // its turn to be checked comes
            window_look_ahead(window, slice_of(v.mv_data, v.mv_size));
        bytes += v.mv_size;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int
wal_look_ahead(struct wal *wal, uint64_t after, uint64_t until, uint64_t bytes_max,
               struct window *window)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor;
    (void)pthread_mutex_lock(&wal->readers);
    int rc = wal->env.mdb ? mdb_txn_begin(wal->env.mdb, NULL, MDB_RDONLY, &txn) : MDB_PANIC;
    if (rc == 0) {
        rc = mdb_cursor_open(txn, wal->table, &cursor);
        if (rc == 0) {
            rc = show_blobs(cursor, after, until, bytes_max, window);
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    (void)pthread_mutex_unlock(&wal->readers);
    return rc;
}

int
wal_read(struct wal *wal, uint64_t after, uint64_t until, uint64_t bytes_max, struct window *window,
         struct wal_window *ret)
{
    MDB_txn *txn = NULL;
    MDB_cursor *cursor;
    must(until > after); // wal->next is the log thread's, who may be writing it
    *ret = (struct wal_window){0};
    (void)pthread_mutex_lock(&wal->readers);
    int rc = wal->env.mdb ? mdb_txn_begin(wal->env.mdb, NULL, MDB_RDONLY, &txn) : MDB_PANIC;
    if (rc == 0) {
        rc = mdb_cursor_open(txn, wal->table, &cursor);
        if (rc == 0) {
            rc = read_blobs(cursor, after, until, bytes_max, window, ret);
            mdb_cursor_close(cursor);
        }
        mdb_txn_abort(txn);
    }
    (void)pthread_mutex_unlock(&wal->readers);
    return rc;
}
