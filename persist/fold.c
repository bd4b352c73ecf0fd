// fold.c - brings a window of the log into the state, in one transaction.
//
// The order: sessions that ended, with all that they had; sessions; what belongs to sessions;
// retained messages; old tombstones; last the messages, because all of the above changes how many
// references they have. Each table is written in the order of its keys, so that neighbours share
// pages.
#include <stdlib.h>

#include "core/base/mem.h"

#include "persist/bytes.h"
#include "persist/fold_parts.h"
#include "persist/window_fields.h"

static int
compare_topics(struct slice l, struct slice r)
{
    int order = memcmp(l.data, r.data, min_u32(l.len, r.len));
    return order != 0 ? order : l.len == r.len ? 0 : l.len < r.len ? -1 : 1;
}

static int
compare_survivors(const void *left, const void *right, void *arg)
{
    const struct survivor *l = left, *r = right;
    const struct window *window = arg;
    if (l->kind != r->kind)
        return l->kind < r->kind ? -1 : 1;
    if (l->kind == THING_RETAINED || l->kind == THING_SETTING)
        return compare_topics(field_topic(window->bytes + l->at),
                              field_topic(window->bytes + r->at));
    if (l->a != r->a)
        return l->a < r->a ? -1 : 1;
    return l->b == r->b ? 0 : l->b < r->b ? -1 : 1;
}

static bool
session_ended(const struct window *window, uint64_t session)
{
    const struct slot *slot = slots_find(&window->things, THING_SESSION, session, 0);
    return slot && slot->flags & THING_GONE;
}

// Does it leave anything to write?
static bool
survives(const struct window *window, const struct slot *slot)
{
    if (slot->kind == THING_ENTRY && slot->at != 0 && slot->flags & THING_GONE)
        return false; // came and went in this window
    if (slot->kind == THING_ENTRY && slot->flags & THING_GONE &&
        slots_find(&window->known, THING_ENTRY, slot->a, slot->b))
        return false; // this end was seen from an earlier window, and nothing was written
    if (window->ended == 0 || slot->kind == THING_SESSION || slot->kind >= THING_RETAINED)
        return true;
    return !session_ended(window, slot->a);
}

static void
collect(struct fold *fold)
{
    const struct slots *things = &fold->window->things;
    for (uint32_t i = 0; i < things->size; i++) {
        const struct slot *slot = &things->slots[i];
        if (slot->kind == 0 || !survives(fold->window, slot))
            continue;
        uint32_t n = fold->survivor_count++;
        fold->survivors = mem_grow(fold->survivors, &fold->survivor_cap, fold->survivor_count,
                                   sizeof *fold->survivors);
        fold->survivors[n] = (struct survivor){slot->a, slot->b, slot->at, slot->kind, slot->flags};
    }
    if (fold->survivor_count > 1)
        qsort_r(fold->survivors, fold->survivor_count, sizeof *fold->survivors, compare_survivors,
                unconst(fold->window));
}

// ---- Pages --------------------------------------------------------------------------------------

// Something was written, about there. LMDB has a changed page in memory until the commit, and does
// not say how many it has. Rows come in the order of their keys, so a page that is left does not
// come again; the key where the cursor stands is in the page.
static int
count_pages(struct fold *fold, enum table table)
{
    MDB_val k, v;
    uint32_t max = fold->window->pages_max;
    if (likely(max == 0))
        return 0;
    if (mdb_cursor_get(fold->txn.cursors[table], &k, &v, MDB_GET_CURRENT) == 0) {
        uintptr_t place = (uintptr_t)k.mv_data / STATE_PAGE;
        fold->result.pages += place != fold->places[table] ? 1 : 0;
        fold->places[table] = place;
    }
    return fold->result.pages > max ? ENV_TOO_MUCH : 0;
}

static enum table
table_of(uint8_t thing)
{
    static const enum table tables[] = {
        [THING_SESSION] = TABLE_SESSIONS,  [THING_SUBSCRIPTION] = TABLE_SUBSCRIPTIONS,
        [THING_ENTRY] = TABLE_ENTRIES,     [THING_RECEIVED] = TABLE_RECEIVED,
        [THING_RETAINED] = TABLE_RETAINED, [THING_SETTING] = TABLE_RETAINED,
    };
    must_hot(thing >= THING_SESSION && thing < ARRAY_LEN(tables));
    return tables[thing];
}

// ---- Messages -----------------------------------------------------------------------------------

// Which of the messages that new entries need are in the window.
static void
find_messages(struct fold *fold)
{
    const struct window *window = fold->window;
    for (uint32_t i = 0; i < fold->survivor_count; i++) {
        const struct survivor *thing = &fold->survivors[i];
        if (thing->kind != THING_ENTRY || thing->at == 0 || thing->flags & THING_RELEASED)
            continue;
        struct slice record = window_record(window, thing->at);
        (void)slots_at(&fold->refs, THING_MESSAGE, field_enqueue_message(record.data), 0);
    }
    for (uint32_t i = 0; fold->refs.used > 0 && i < window->message_count; i++) {
        const struct window_message *message = &window->messages[i];
        struct slot *ref = slots_find(&fold->refs, THING_MESSAGE, message->number, 0);
        if (ref && ref->at == 0)
            ref->at = message->at;
    }
}

// Sorted by number.
static struct slot *
sorted_refs(const struct slots *refs, uint32_t *ret_count)
{
    struct slot *list = mem_alloc((size_t)refs->used * sizeof *list + 1);
    uint32_t count = 0;
    for (uint32_t i = 0; i < refs->size; i++)
        if (refs->slots[i].kind != 0 && refs->slots[i].delta != 0)
            list[count++] = refs->slots[i];
    must(count <= refs->used);
    *ret_count = count;
    return list;
}

static int
compare_refs(const void *left, const void *right)
{
    const struct slot *l = left, *r = right;
    return l->a == r->a ? 0 : l->a < r->a ? -1 : 1;
}

static int
put_refs(struct fold *fold, const struct table_key *key, uint32_t was, uint32_t refs)
{
    MDB_cursor *cursor = fold->txn.cursors[TABLE_REFS];
    if (refs == was)
        return 0;
    if (refs < 2)
        return was < 2 ? 0 : table_delete(cursor, key, NULL);
    must(refs >= 2);
    uint8_t bytes[4];
    (void)put_le32(bytes, refs);
    return table_put(cursor, TABLE_REFS, key, slice_of(bytes, 4), (struct slice){0}, 0);
}

static int
fold_message(struct fold *fold, const struct slot *ref)
{
    struct table_key key;
    MDB_cursor *cursor = fold->txn.cursors[TABLE_MESSAGES];
    uint32_t was = 0;
    int rc;
    must(ref->delta != 0);
    table_key_number(&key, ref->a);
    if (ref->at != 0 && ref->delta > 0) {
        // Numbers rise: most are the last, and pages that are appended to are filled.
        struct slice record = window_record(fold->window, ref->at);
        rc = table_put(cursor, TABLE_MESSAGES, &key, record, (struct slice){0}, MDB_APPEND);
        if (rc == MDB_KEYEXIST)
            rc =
                table_put(cursor, TABLE_MESSAGES, &key, record, (struct slice){0}, MDB_NOOVERWRITE);
        if (rc == 0) {
            // Of more than half a page LMDB makes pages of its own.
            fold->result.pages += record.len > STATE_PAGE / 2 ? record.len / STATE_PAGE + 1 : 0;
            return put_refs(fold, &key, 1, (uint32_t)ref->delta);
        }
        if (rc != MDB_KEYEXIST) // another shard's records brought it earlier
            return rc;
    }
    rc = state_message_refs(&fold->txn, ref->a, &was);
    if (rc != 0)
        return rc;
    int64_t refs = (int64_t)was + ref->delta;
    if (was == 0 || refs < 0 || refs > UINT32_MAX)
        return MDB_CORRUPTED; // an entry named a message that is not there
    if (refs == 0 && (rc = table_delete(cursor, &key, NULL)) != 0)
        return rc;
    return put_refs(fold, &key, was, (uint32_t)refs);
}

int
fold_messages(struct fold *fold)
{
    uint32_t count;
    int rc = 0;
    struct slot *refs = sorted_refs(&fold->refs, &count);
    if (count > 1)
        qsort(refs, count, sizeof *refs, compare_refs);
    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = fold_message(fold, &refs[i]);
        if (rc == 0)
            rc = count_pages(fold, TABLE_MESSAGES);
    }
    mem_free(refs);
    return rc;
}

// ---- The transaction ----------------------------------------------------------------------------

static int
write_thing(struct fold *fold, const struct survivor *thing)
{
    fold->result.written++;
    switch (thing->kind) {
    case THING_SESSION:
        return thing->flags & THING_GONE ? 0 : fold_session(fold, thing);
    case THING_SUBSCRIPTION:
        return fold_subscription(fold, thing);
    case THING_RECEIVED:
        return fold_received(fold, thing);
    case THING_ENTRY:
        return fold_entry(fold, thing);
    default:
        must(thing->kind == THING_RETAINED || thing->kind == THING_SETTING);
        return fold_retained(fold, thing);
    }
}

static int
write_all(struct fold *fold)
{
    int rc = 0;
    for (uint32_t i = 0; i < fold->survivor_count && rc == 0; i++) {
        const struct survivor *thing = &fold->survivors[i];
        if (thing->kind == THING_SESSION && thing->flags & THING_GONE)
            rc = fold_end_session(fold, thing->a);
    }
    for (uint32_t i = 0; i < fold->survivor_count && rc == 0; i++) {
        rc = write_thing(fold, &fold->survivors[i]);
        if (rc == 0)
            rc = count_pages(fold, table_of(fold->survivors[i].kind));
    }
    if (rc == 0)
        rc = fold_old_tombstones(fold);
    if (rc == 0)
        rc = fold_messages(fold);
    return rc;
}

static int
fold_once(struct fold *fold)
{
    must(fold->meta.folds == fold->state->meta.folds + 1);
    int rc = state_begin(fold->state, true, &fold->txn);
    if (rc != 0)
        return rc;
    slots_clear(&fold->refs);
    fold->session = 0;
    fold->result = (struct fold_result){0};
    memset(fold->places, 0, sizeof fold->places);
    find_messages(fold);
    rc = write_all(fold);
    if (rc == 0)
        rc = state_put_meta(&fold->txn, &fold->meta);
    if (rc == 0)
        rc = state_commit(&fold->txn);
    state_abort(&fold->txn);
    return rc;
}

int
fold_window(struct state *state, const struct window *window, uint64_t applied,
            struct fold_result *ret)
{
    must(applied >= state->meta.applied);
    struct fold fold = {.state = state, .window = window, .meta = state->meta};
    fold.meta.next_session = max_u64(fold.meta.next_session, window->next_session);
    fold.meta.next_message = max_u64(fold.meta.next_message, window->next_message);
    fold.meta.next_order = max_u64(fold.meta.next_order, window->next_order);
    fold.meta.applied = applied;
    fold.meta.folds++;
    collect(&fold);
    int rc = fold_once(&fold);
    while (rc == MDB_MAP_FULL) {
        rc = env_grow(&state->env, state->env.map_bytes * 2);
        if (rc == 0)
            rc = fold_once(&fold);
    }
    if (rc == 0)
        state->meta = fold.meta;
    must(rc != 0 || state->meta.applied == applied);
    if (rc == 0 && ret)
        *ret = fold.result;
    slots_free(&fold.refs);
    mem_free(fold.survivors);
    return rc;
}
