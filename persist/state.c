// state.c - the state: what the log said up to a point, as tables.
#include "persist/state.h"

#include <sys/random.h>

#include "persist/bytes.h"

#define MAP_FIRST ((size_t)256 << 20) // address space; the file grows with its contents

// ---- Version and numbers ------------------------------------------------------------------------

// The row "version" keeps this form in all versions to come.
static const struct table_key key_version = {7, "version"};
static const struct table_key key_numbers = {7, "numbers"};

// From version `from` to the next one, within the transaction that also writes the new number; so a
// crash leaves the old version or the new one. A step gets tables of the old form and leaves the
// new form; NULL: they are the same.
struct upgrade {
    uint32_t from;
    int (*step)(struct state *state, MDB_txn *txn); // NULL: all that is there has the new form
};
// From 2 on there are settings, and a RETAIN record may say who published the message; from 3 on
// when, and have no payload.
static const struct upgrade upgrades[] = {{1, NULL}, {2, NULL}};

static int
put_version(struct state_txn *txn, uint32_t version)
{
    uint8_t bytes[4];
    (void)put_le32(bytes, version);
    return table_put(txn->cursors[TABLE_META], TABLE_META, &key_version, slice_of(bytes, 4),
                     (struct slice){0}, 0);
}

static int
get_version(struct state_txn *txn, uint32_t *ret)
{
    struct slice payload;
    int rc = table_get(txn->cursors[TABLE_META], TABLE_META, &key_version, &payload);
    if (rc != 0)
        return rc;
    if (payload.len != 4)
        return MDB_CORRUPTED;
    *ret = get_le32(payload.data);
    return 0;
}

int
state_put_meta(struct state_txn *txn, const struct state_meta *meta)
{
    uint8_t bytes[6 * 8], *at = bytes;
    at = put_le64(at, meta->next_session);
    at = put_le64(at, meta->next_message);
    at = put_le64(at, meta->next_order);
    at = put_le64(at, meta->seed);
    at = put_le64(at, meta->applied);
    at = put_le64(at, meta->folds);
    must(at == bytes + sizeof bytes);
    return table_put(txn->cursors[TABLE_META], TABLE_META, &key_numbers,
                     slice_of(bytes, sizeof bytes), (struct slice){0}, 0);
}

static int
get_meta(struct state_txn *txn, struct state_meta *ret)
{
    struct slice payload;
    int rc = table_get(txn->cursors[TABLE_META], TABLE_META, &key_numbers, &payload);
    if (rc != 0)
        return rc;
    must(payload.data);
    if (payload.len != 6 * 8)
        return MDB_CORRUPTED;
    *ret = (struct state_meta){
        .next_session = get_le64(payload.data),
        .next_message = get_le64(payload.data + 8),
        .next_order = get_le64(payload.data + 16),
        .seed = get_le64(payload.data + 24),
        .applied = get_le64(payload.data + 32),
        .folds = get_le64(payload.data + 40),
    };
    return 0;
}

static int
upgrade(struct state *state, struct state_txn *txn, uint32_t version)
{
    must(version < STATE_VERSION);
    for (size_t i = 0; version < STATE_VERSION && i < ARRAY_LEN(upgrades); i++) {
        if (upgrades[i].from != version)
            continue;
        int rc = upgrades[i].step ? upgrades[i].step(state, txn->txn) : 0;
        if (rc != 0)
            return rc;
        version++;
    }
    return version == STATE_VERSION ? put_version(txn, version) : ENV_OTHER_VERSION;
}

// ---- Opening ------------------------------------------------------------------------------------

static int
open_tables(struct state *state, unsigned flags)
{
    MDB_txn *txn;
    int rc = mdb_txn_begin(state->env.mdb, NULL, flags & MDB_CREATE ? 0 : MDB_RDONLY, &txn);
    if (rc != 0)
        return rc;
    for (enum table t = 0; t < TABLE_COUNT && rc == 0; t++)
        rc = mdb_dbi_open(txn, table_name(t), flags & MDB_CREATE, &state->tables[t]);
    if (rc == 0)
        return mdb_txn_commit(txn); // also of a reading one: else the handles are closed again
    mdb_txn_abort(txn);
    return rc;
}

int
state_create(const char *path)
{
    struct state state = {.meta = {.next_session = 1, .next_message = 1, .next_order = 1}};
    struct state_txn txn = {0};
    if (getrandom(&state.meta.seed, sizeof state.meta.seed, 0) != sizeof state.meta.seed)
        return MDB_PANIC;
    int rc = env_open(&state.env, path, MAP_FIRST, TABLE_COUNT, 0);
    if (rc == 0)
        rc = open_tables(&state, MDB_CREATE);
    if (rc == 0)
        rc = state_begin(&state, true, &txn);
    if (rc == 0)
        rc = put_version(&txn, STATE_VERSION);
    if (rc == 0)
        rc = state_put_meta(&txn, &state.meta);
    if (rc == 0)
        rc = state_commit(&txn);
    state_abort(&txn);
    env_close(&state.env);
    return rc;
}

static int
check_version(struct state *state, bool may_write, uint32_t *ret_version)
{
    struct state_txn txn;
    int rc = state_begin(state, false, &txn);
    if (rc == 0)
        rc = get_version(&txn, ret_version);
    state_abort(&txn);
    if (rc != 0 || *ret_version == STATE_VERSION)
        return rc;
    if (*ret_version > STATE_VERSION || (!may_write && *ret_version < STATE_VERSION_READ))
        return ENV_OTHER_VERSION;
    if (!may_write)
        return 0;
    rc = state_begin(state, true, &txn);
    if (rc == 0)
        rc = upgrade(state, &txn, *ret_version);
    if (rc == 0)
        rc = state_commit(&txn);
    state_abort(&txn);
    return rc;
}

static int
read_meta(struct state *state)
{
    struct state_txn txn;
    int rc = state_begin(state, false, &txn);
    if (rc == 0)
        rc = get_meta(&txn, &state->meta);
    state_abort(&txn);
    return rc;
}

int
state_open(struct state *ret, const char *path, unsigned flags, uint32_t *ret_version)
{
    must(path && !(flags & MDB_CREATE));
    *ret = (struct state){0};
    *ret_version = 0;
    int rc = env_open(&ret->env, path, MAP_FIRST, TABLE_COUNT, flags);
    if (rc == 0)
        rc = open_tables(ret, 0);
    if (rc == 0)
        rc = check_version(ret, !(flags & MDB_RDONLY), ret_version);
    if (rc == 0)
        rc = read_meta(ret);
    if (rc != 0)
        env_close(&ret->env);
    return rc;
}

void
state_close(struct state *state)
{
    env_close(&state->env);
}

int
state_reopen(struct state *state)
{
    int rc = env_reopen(&state->env);
    if (rc == 0)
        rc = open_tables(state, 0);
    if (rc == 0)
        rc = read_meta(state);
    if (rc != 0)
        env_rest(&state->env);
    return rc;
}

// ---- Transactions -------------------------------------------------------------------------------

int
state_begin(const struct state *state, bool write, struct state_txn *ret)
{
    *ret = (struct state_txn){0};
    if (!state->env.mdb)
        return MDB_PANIC;
    int rc = mdb_txn_begin(state->env.mdb, NULL, write ? 0 : MDB_RDONLY, &ret->txn);
    if (rc != 0)
        ret->txn = NULL;
    for (enum table t = 0; t < TABLE_COUNT && rc == 0; t++) {
        rc = mdb_cursor_open(ret->txn, state->tables[t], &ret->cursors[t]);
        if (rc != 0)
            ret->cursors[t] = NULL;
    }
    if (rc != 0)
        state_abort(ret);
    return rc;
}

static void
close_cursors(struct state_txn *txn)
{
    for (enum table t = 0; t < TABLE_COUNT; t++)
        if (txn->cursors[t])
            mdb_cursor_close(txn->cursors[t]);
    memset(txn->cursors, 0, sizeof txn->cursors);
}

void
state_abort(struct state_txn *txn)
{
    close_cursors(txn);
    if (txn->txn)
        mdb_txn_abort(txn->txn);
    txn->txn = NULL;
}

int
state_commit(struct state_txn *txn)
{
    must(txn->txn);
    close_cursors(txn);
    MDB_txn *ended = txn->txn;
    txn->txn = NULL; // LMDB frees it also when the commit fails
    return mdb_txn_commit(ended);
}

int
state_rows(const struct state *state, const struct state_txn *txn, enum table table,
           uint64_t *ret_rows)
{
    MDB_stat stat;
    must(txn->txn && table < TABLE_COUNT);
    int rc = mdb_stat(txn->txn, state->tables[table], &stat);
    *ret_rows = rc == 0 ? stat.ms_entries : 0;
    return rc;
}

int
state_message_refs(struct state_txn *txn, uint64_t message, uint32_t *ret_refs)
{
    struct table_key key;
    struct slice payload;
    must(txn->txn);
    table_key_number(&key, message);
    *ret_refs = 0;
    MDB_val k = table_val(&key), v;
    int rc = mdb_cursor_get(txn->cursors[TABLE_MESSAGES], &k, &v, MDB_SET_KEY);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    *ret_refs = 1;
    rc = table_get(txn->cursors[TABLE_REFS], TABLE_REFS, &key, &payload);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? 0 : rc;
    if (payload.len != 4 || get_le32(payload.data) < 2)
        return MDB_CORRUPTED;
    *ret_refs = get_le32(payload.data);
    return 0;
}
