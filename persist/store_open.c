// store_open.c - opening a store: lock, check, recover; or move it aside; or make a new one.
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/host.h"
#include "persist/folder.h"
#include "persist/store_parts.h"
#include "persist/transfer.h"
#include "persist/verify.h"

#define LMDB_FIRST_PAGES 8192 // bytes: the two pages that say where the rest is

// ---- Making one ---------------------------------------------------------------------------------

static int
make_part(const char *path, const char *part, int (*create)(const char *path))
{
    char *folder = folder_path("%s/%s", path, part), *file = folder_path("%s/data.mdb", folder);
    int rc = mkdir(folder, 0700) == 0 ? create(folder) : errno;
    if (rc == 0)
        rc = folder_sync_file(file);
    if (rc == 0)
        rc = folder_sync(folder);
    mem_free(folder);
    mem_free(file);
    return rc;
}

int
store_make(const char *path)
{
    must(path && path[0] != '\0');
    char *fresh = folder_path("%s.new", path);
    int rc = folder_remove_store(fresh);
    if (rc == 0 && mkdir(fresh, 0700) != 0)
        rc = errno;
    if (rc == 0)
        rc = make_part(fresh, "state", state_create);
    if (rc == 0)
        rc = make_part(fresh, "log", wal_create);
    if (rc == 0)
        rc = folder_sync(fresh);
    if (rc == 0)
        rc = folder_rename(fresh, path); // also over an empty folder
    mem_free(fresh);
    return rc;
}

// ---- Opening one --------------------------------------------------------------------------------

int
store_open_parts(struct store *store, uint32_t *ret_version)
{
    char *state = folder_path("%s/state", store->path), *log = folder_path("%s/log", store->path);
    int rc = state_open(&store->state, state, 0, ret_version);
    if (rc == 0) {
        rc = wal_open(&store->wal, log, 0, store->state.meta.applied);
        if (rc != 0)
            state_close(&store->state);
    }
    mem_free(state);
    mem_free(log);
    return rc;
}

void
store_close_parts(struct store *store)
{
    wal_close(&store->wal);
    state_close(&store->state);
}

// They stand before all topics, and their tombstones among them.
static int
count_settings(const struct state_txn *txn, uint64_t *ret)
{
    MDB_val key, value;
    MDB_cursor *cursor = txn->cursors[TABLE_RETAINED];
    struct slice payload;
    *ret = 0;
    int rc = mdb_cursor_get(cursor, &key, &value, MDB_FIRST);
    while (rc == 0 && key.mv_size > 0 && *(const uint8_t *)key.mv_data == '\0') {
        if ((rc = table_open(TABLE_RETAINED, &key, &value, &payload)) != 0)
            return rc;
        *ret += payload.len > 0 && payload.data[0] == JOURNAL_SETTING;
        rc = mdb_cursor_get(cursor, &key, &value, MDB_NEXT);
    }
    return rc == MDB_NOTFOUND ? 0 : rc;
}

int
store_count(struct store *store)
{
    struct state_txn txn;
    must(store->magic == STORE_MAGIC && !store->running);
    struct store_counts *counts = &store->counts;
    uint64_t tombstones;
    int rc = state_begin(&store->state, false, &txn);
    if (rc != 0)
        return rc;
    if ((rc = state_rows(&store->state, &txn, TABLE_SESSIONS, &counts->sessions)) == 0 &&
        (rc = state_rows(&store->state, &txn, TABLE_SUBSCRIPTIONS, &counts->subscriptions)) == 0 &&
        (rc = state_rows(&store->state, &txn, TABLE_ENTRIES, &counts->entries)) == 0 &&
        (rc = state_rows(&store->state, &txn, TABLE_MESSAGES, &counts->messages)) == 0 &&
        (rc = state_rows(&store->state, &txn, TABLE_RETAINED, &counts->retained)) == 0 &&
        (rc = state_rows(&store->state, &txn, TABLE_TOMBSTONES, &tombstones)) == 0 &&
        (rc = count_settings(&txn, &counts->settings)) == 0)
        counts->retained -= min_u64(tombstones + counts->settings, counts->retained);
    state_abort(&txn);
    counts->next_session = store->state.meta.next_session;
    counts->next_message = store->state.meta.next_message;
    counts->next_order = store->state.meta.next_order;
    return rc;
}

// Everything in the log into the state. A crash in here is no different from one before it.
static int
recover(struct store *store)
{
    uint64_t last = store->wal.next - 1, begin = clock_mono_ms();
    must(last >= store->state.meta.applied && !store->running);
    uint64_t blobs = last - store->state.meta.applied;
    if (blobs > 0) {
        struct window *window = window_new(store->state.meta.seed);
        int rc = store_fold(store, window, last, 0);
        window_free(window);
        if (rc != 0)
            return rc;
        store_say(store, LOG_T_INFORMATION,
                  "Persistence: %llu parts of the log of %s were not in the state yet; done in "
                  "%llu ms.",
                  (unsigned long long)blobs, store->path,
                  (unsigned long long)(clock_mono_ms() - begin));
    }
    must(store->state.meta.applied == last);
    while (store->wal.first <= last && store->wal.first < store->wal.next) {
        int rc = wal_commit(&store->wal, NULL, last);
        if (rc != 0)
            return rc;
    }
    atomic_store(&store->shared.committed, last);
    atomic_store(&store->shared.trim, last);
    atomic_store(&store->shared.logged, atomic_load(&store->shared.folded));
    return store_count(store);
}

static err_t
check(struct store *store, char ret_problem[static STORE_PROBLEM_MAX], bool *ret_damaged)
{
    char text[VERIFY_TEXT_MAX];
    enum verdict verdict = verify_in_child(store->path, text);
    *ret_damaged = verdict == VERDICT_DAMAGED;
    if (verdict == VERDICT_GOOD || verdict == VERDICT_OTHER_VERSION) // said better by who opens it
        return OK;
    if (verdict == VERDICT_DAMAGED)
        return store_problem(ret_problem, ERR_IO,
                             "the store %s is damaged: %s. Restore a backup, or set "
                             "persistence_recovery quarantine to move it aside and start empty",
                             store->path, text);
    return store_problem(ret_problem, ERR_IO, "cannot check the store %s: %s", store->path, text);
}

static err_t
explain(const struct store *store, int rc, uint32_t version,
        char ret_problem[static STORE_PROBLEM_MAX], bool *ret_damaged)
{
    if (rc == ENV_OTHER_VERSION)
        return store_problem(ret_problem, ERR_CONFIG,
                             "the store %s has format version %u, this program reads version %u: "
                             "use the program that wrote it, or another folder",
                             store->path, version, STATE_VERSION);
    must(rc != 0);
    *ret_damaged = env_is_damage(rc) || rc == ENOENT;
    if (*ret_damaged)
        return store_problem(ret_problem, ERR_IO,
                             "the store %s is damaged: %s. Restore a backup, or set "
                             "persistence_recovery quarantine to move it aside and start empty",
                             store->path, rc == ENOENT ? "a file is missing" : env_text(rc));
    return store_problem(ret_problem, ERR_IO, "cannot open the store %s: %s. %s", store->path,
                         env_text(rc), store_advice(rc));
}

// Are the files there, and as long as they should be? Only their first pages are read: what is cut
// off ends the process that reads it. An emptied file LMDB would take for a new one.
static int
look_at_part(const char *folder, bool *ret_whole)
{
    struct stat st;
    struct env env;
    char *file = folder_path("%s/data.mdb", folder);
    int rc = stat(file, &st) == 0 ? 0 : errno;
    mem_free(file);
    if (rc == 0 && st.st_size < LMDB_FIRST_PAGES)
        rc = MDB_INVALID;
    if (rc == 0)
        rc = env_open(&env, folder, 0, TABLE_COUNT, MDB_RDONLY | MDB_NOLOCK);
    if (rc != 0)
        return rc;
    rc = env_is_whole(&env, ret_whole);
    env_close(&env);
    return rc;
}

static int
look_at_files(const struct store *store, bool *ret_whole)
{
    bool state_whole = false, log_whole = false;
    char *state = folder_path("%s/state", store->path), *log = folder_path("%s/log", store->path);
    int rc = look_at_part(state, &state_whole);
    if (rc == 0)
        rc = look_at_part(log, &log_whole);
    *ret_whole = state_whole && log_whole;
    mem_free(state);
    mem_free(log);
    return rc;
}

static err_t
open_existing(struct store *store, char ret_problem[static STORE_PROBLEM_MAX], bool *ret_damaged)
{
    uint32_t version = 0;
    bool whole = false;
    *ret_damaged = false;
    int rc = look_at_files(store, &whole);
    if (rc != 0)
        return explain(store, rc, version, ret_problem, ret_damaged);
    err_t err = store->verify || !whole ? check(store, ret_problem, ret_damaged) : OK;
    if (err != OK)
        return err;
    if ((rc = store_open_parts(store, &version)) != 0)
        return explain(store, rc, version, ret_problem, ret_damaged);
    if ((rc = recover(store)) == 0)
        return OK;
    store_close_parts(store);
    return explain(store, rc, version, ret_problem, ret_damaged);
}

static err_t
make_and_open(struct store *store, char ret_problem[static STORE_PROBLEM_MAX])
{
    uint32_t version;
    int rc = store_make(store->path);
    if (rc == 0)
        rc = store_open_parts(store, &version);
    if (rc == 0)
        rc = store_count(store);
    if (rc == 0)
        return OK;
    return store_problem(ret_problem, ERR_IO, "cannot make the store %s: %s. %s", store->path,
                         env_text(rc), store_advice(rc));
}

// The damaged store under another name, for whoever wants to look at it.
static err_t
move_aside(struct store *store, char ret_problem[static STORE_PROBLEM_MAX])
{
    char *aside =
        folder_path("%s.damaged-%llu", store->path, (unsigned long long)(clock_wall_ms() / 1000));
    int rc = folder_rename(store->path, aside);
    err_t err = OK;
    if (rc != 0) {
        err = store_problem(ret_problem, ERR_IO, "cannot move the damaged store %s to %s: %s",
                            store->path, aside, env_text(rc));
    } else {
        store_say(store, LOG_T_ERROR, "Persistence: %s. It is now %s; starting empty.", ret_problem,
                  aside);
        store->counts.quarantined = true;
    }
    mem_free(aside);
    return err;
}

// ---- The whole ----------------------------------------------------------------------------------

static err_t
take_lock(struct store *store, char ret_problem[static STORE_PROBLEM_MAX])
{
    long pid;
    int rc = folder_make(store->folder);
    if (rc != 0)
        return store_problem(ret_problem, ERR_CONFIG, "cannot use the folder %s: %s", store->folder,
                             env_text(rc));
    char *path = folder_path("%s.lock", store->path);
    rc = folder_lock(path, &store->lock_fd, &pid);
    mem_free(path);
    if (rc == EWOULDBLOCK)
        return store_problem(ret_problem, ERR_CONFIG,
                             "the store %s is in use by process %ld: stop that one, or give this "
                             "one another folder",
                             store->path, pid);
    if (rc != 0)
        return store_problem(ret_problem, ERR_CONFIG, "cannot write in the folder %s: %s",
                             store->folder, env_text(rc));
    return OK;
}

static err_t
open_or_make(struct store *store, char ret_problem[static STORE_PROBLEM_MAX])
{
    enum folder_kind kind;
    bool damaged = false;
    int rc = folder_look(store->path, &kind);
    if (rc != 0)
        return store_problem(ret_problem, ERR_CONFIG, "cannot look into %s: %s", store->path,
                             env_text(rc));
    if (kind == FOLDER_OTHER)
        return store_problem(ret_problem, ERR_CONFIG,
                             "%s is there, but it is not a store: move it, or use another name",
                             store->path);
    if (kind != FOLDER_STORE)
        return make_and_open(store, ret_problem);
    err_t err = open_existing(store, ret_problem, &damaged);
    if (err == OK || !damaged || !store->quarantine)
        return err;
    err = move_aside(store, ret_problem);
    return err == OK ? make_and_open(store, ret_problem) : err;
}

err_t
store_open(const struct store_options *options, struct store **ret_store,
           char ret_problem[static STORE_PROBLEM_MAX])
{
    must(options->folder && options->name && options->name[0] && !strchr(options->name, '/'));
    struct store *store = mem_alloc_aligned(CACHE_LINE, sizeof *store);
    store->magic = STORE_MAGIC;
    store->folder = mem_strdup(options->folder);
    store->name = mem_strdup(options->name);
    store->path = folder_path("%s/%s", options->folder, options->name);
    store->sync_ms = options->sync_ms;
    store->quarantine = options->quarantine;
    store->verify = options->verify_in_child;
    store->log = options->log;
    store->sizes = store_sizes_of(options->window_bytes ? options->window_bytes : HOST_WINDOW_MAX);
    store->things = store->sizes.things;
    store->lock_fd = -1;
    ret_problem[0] = '\0';
    err_t err = take_lock(store, ret_problem);
    if (err == OK)
        err = open_or_make(store, ret_problem);
    if (err == OK)
        *ret_store = store;
    else
        store_close(store);
    return err;
}

void
store_close(struct store *store)
{
    if (!store)
        return;
    must(store->magic == STORE_MAGIC && !store->running);
    transfer_drop(store->transfer);
    store_close_parts(store);
    if (store->lock_fd >= 0)
        (void)close(store->lock_fd);
    mem_free(atomic_load(&store->shared.backup));
    mem_free(store->folder);
    mem_free(store->name);
    mem_free(store->path);
    store->magic = 0;
    mem_free(store);
}

long
store_owner(const struct store_options *options)
{
    char *path = folder_path("%s/%s.lock", options->folder, options->name);
    int fd = -1;
    long pid = 0;
    int rc = folder_lock(path, &fd, &pid);
    mem_free(path);
    if (rc == 0)
        (void)close(fd); // it was free
    return rc == 0 ? 0 : rc == EWOULDBLOCK && pid > 0 ? pid : -1;
}
