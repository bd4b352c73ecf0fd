// move_in.c - sessions that come from a node that gives up its own.
#include "core/base/mem.h"

#include "cluster/move.h"
#include "cluster/wire_int.h"
#include "core/journal.h"
#include "core/registry.h"
#include "core/restore.h"
#include "core/shard.h"

#define JOIN_STEPS 256u // entries of one session in a tick

// ---- Its beginning ------------------------------------------------------------------------------

static struct session *
find(const struct shard *shard, struct slice id)
{
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

static struct session *
find_part(const struct shard *shard, uint32_t number, enum move_part part, struct slice client_id)
{
    char *room = mem_alloc(MOVE_ID_HEAD + client_id.len);
    struct session *session = find(shard, move_id(room, number, part, client_id));
    mem_free(room);
    return session;
}

// Has it come here already, or has its client another one here that is later?
static bool
is_here(const struct shard *shard, const char *from, const struct record *record)
{
    struct session *session = find(shard, record->id);
    if (!session || session->claim <= record->claim)
        return false;
    if (!session->untold) // else soon
        claims_tell(session, from);
    return true;
}

static void
add_subscriptions(struct session *arrivals, struct slice records)
{
    struct record record;
    uint32_t len, before = arrivals->sub_count;
    while (record_read(records, &record, &len) == OK) {
        if (record.kind == JOURNAL_SUBSCRIBE && record.ordinal > 0)
            restore_subscription(arrivals, &record);
        records = slice_of(records.data + len, records.len - len);
    }
    for (uint32_t i = before; i < arrivals->sub_count; i++)
        (void)journal_subscribe(arrivals->shard->journal, arrivals, i);
}

void
move_in_begin(struct shard *shard, const struct move_word *word)
{
    struct record record;
    struct slice body = word->body;
    uint32_t len;
    err_t err = record_read(body, &record, &len);
    must(err == OK && record.kind == JOURNAL_SESSION); // it was looked at when it came
    if (is_here(shard, word->from, &record))
        return;
    (void)session_move_part(shard, word->number, MOVE_DUMP, &record);
    struct session *arrivals = session_move_part(shard, word->number, MOVE_ARRIVALS, &record);
    add_subscriptions(arrivals, slice_of(body.data + len, body.len - len));
}

// ---- Ready? -------------------------------------------------------------------------------------

// With the mutex. NULL: there is none, and create is false, or no place.
static struct move_from *
from_of(struct move *move, const char *id, bool create)
{
    struct move_from *free_place = NULL;
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        struct move_from *from = &move->from[i];
        if (from->number != 0 && memcmp(from->id, id, NODE_ID_LEN) == 0)
            return from;
        if (from->number == 0 && !free_place)
            free_place = from;
    }
    if (!create || !free_place)
        return NULL;
    must(free_place->number == 0);
    memcpy(free_place->id, id, NODE_ID_LEN);
    return free_place;
}

void
move_in_note(struct nodes *nodes, const struct move_word *word)
{
    must(word->kind == MOVE_BEGIN);
    pthread_mutex_lock(&nodes->move->mutex);
    struct move_from *from = from_of(nodes->move, word->from, true);
    if (from && from->number != word->number) {
        from->number = word->number;
        from->wanted = false;
        atomic_store(&from->shards, 0);
    }
    pthread_mutex_unlock(&nodes->move->mutex);
}

err_t
move_in_begun(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    struct move *move = nodes->move;
    struct slice body = word->body;
    uint64_t all = move_all_shards(nodes);
    uint32_t count = body.len >= 6 ? get_u16(body.data + 4) : 0;
    if (count == 0 || count > CLUSTER_NODES_MAX + 1 || body.len != 6 + count * NODE_ID_LEN ||
        word->number == MOVE_ANY)
        return ERR_MALFORMED;
    bool look = false;
    pthread_mutex_lock(&move->mutex);
    struct move_from *from = from_of(move, word->from, true);
    if (from) {
        uint32_t pass = get_u32(body.data);
        if (from->number != word->number || from->pass != pass)
            atomic_store(&from->shards, 0);
        from->number = word->number;
        from->pass = pass;
        from->node_count = count;
        for (uint32_t i = 0; i < count; i++)
            memcpy(from->nodes[i], body.data + 6 + (size_t)i * NODE_ID_LEN, NODE_ID_LEN);
        from->wanted = true;
        from->change = 0;
        look = atomic_load(&from->shards) != all;
    }
    pthread_mutex_unlock(&move->mutex);
    for (unsigned i = 0; look && i < nodes->broker->shard_count; i++)
        move_pass(nodes, shard, i, word);
    return OK;
}

void
move_in_begun_here(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    struct move_shard *mine = &nodes->move->shards[shard->index];
    struct ready_soon *ready = NULL;
    for (uint32_t i = 0; i < mine->ready_count && !ready; i++)
        if (memcmp(mine->ready[i].id, word->from, NODE_ID_LEN) == 0)
            ready = &mine->ready[i];
    if (!ready && mine->ready_count == CLUSTER_NODES_MAX)
        ready = &mine->ready[0]; // of a node that is not there any more
    if (!ready)
        ready = &mine->ready[mine->ready_count++];
    *ready = (struct ready_soon){
        .pass = get_u32(word->body.data),
        .position = journal_is_on(shard->journal) ? journal_barrier(shard->journal) : 0,
    };
    must(mine->ready_count <= CLUSTER_NODES_MAX);
    memcpy(ready->id, word->from, NODE_ID_LEN);
}

static void
look_at_ready(struct move *move, struct move_shard *mine, const struct shard *shard)
{
    for (uint32_t i = 0; i < mine->ready_count; i++) {
        struct ready_soon *ready = &mine->ready[i];
        if (ready->told || journal_safe(shard->journal) < ready->position)
            continue;
        ready->told = true;
        pthread_mutex_lock(&move->mutex);
        struct move_from *from = from_of(move, ready->id, false);
        if (from && from->pass == ready->pass)
            atomic_fetch_or(&from->shards, UINT64_C(1) << shard->index);
        pthread_mutex_unlock(&move->mutex);
    }
}

// Do all of them know our routes up to this change?
static bool
is_known(struct nodes *nodes, const struct move_from *from)
{
    for (uint32_t i = 0; i < from->node_count; i++) {
        if (memcmp(from->nodes[i], nodes->cluster.id, NODE_ID_LEN) == 0)
            continue;
        pthread_mutex_lock(&nodes->mutex);
        const struct link *link = nodes_find_link(nodes, from->nodes[i]);
        bool known = link && atomic_load(&link->up) && atomic_load(&link->known) >= from->change;
        pthread_mutex_unlock(&nodes->mutex);
        if (!known)
            return false;
    }
    return true;
}

static void
say_ready(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    uint64_t all = move_all_shards(nodes);
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        struct move_from *from = &move->from[i];
        char id[NODE_ID_LEN + 1];
        uint32_t number;
        pthread_mutex_lock(&move->mutex);
        bool ready = from->number != 0 && from->wanted && atomic_load(&from->shards) == all &&
                     broker_home(nodes->broker, slice_str(from->id)) == shard->index;
        if (ready && from->change == 0)
            from->change = max_u64(atomic_load(&nodes->changes), 1);
        ready = ready && is_known(nodes, from);
        if (ready)
            from->wanted = false;
        number = from->number;
        memcpy(id, from->id, sizeof id);
        pthread_mutex_unlock(&move->mutex);
        if (ready)
            move_say(shard, id, MOVE_READY, number, (struct slice){0});
    }
}

// ---- What comes ---------------------------------------------------------------------------------

void
move_in_entries(struct shard *shard, const struct move_word *word)
{
    struct slice body = word->body;
    struct slice client_id = slice_of(body.data + ENTRIES_HEAD, get_u16(body.data + 8));
    struct session *dump = find_part(shard, word->number, MOVE_DUMP, client_id);
    must(client_id.len > 0);
    struct slice left =
        slice_of(client_id.data + client_id.len, body.len - ENTRIES_HEAD - client_id.len);
    struct moved_entry entry;
    // What is between was acknowledged, and lost before it was safe: it comes again.
    if (dump && get_u64(body.data) > dump->out.tail)
        return;
    while (dump && left.len > 0) {
        bool good = move_next_entry(&left, &entry);
        must(good); // it was looked at when it came
        if (!deliveries_empty(&dump->out) && entry.seq > dump->out.tail + MOVE_GAP_MAX)
            return; // no session has that
        session_take_entry(dump, &entry);
    }
}

void
move_in_last(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    struct move_shard *mine = &nodes->move->shards[shard->index];
    struct slice body = slice_of(word->body.data + LAST_HEAD, word->body.len - LAST_HEAD);
    struct record record;
    uint32_t len;
    err_t err = record_read(body, &record, &len);
    must(err == OK && record.kind == JOURNAL_SESSION);
    const struct session *dump = find_part(shard, word->number, MOVE_DUMP, record.id);
    if (!dump || get_u64(word->body.data) > dump->out.tail)
        return; // not all of it has come
    for (uint32_t i = 0; i < mine->soon_count; i++)
        if (slice_equal(slice_of(mine->soon[i].client_id, mine->soon[i].client_id_len),
                        record.id)) {
            mine->soon[i].pass = get_u32(word->body.data + 8);
            return; // it has come before
        }
    mine->soon = mem_grow(mine->soon, &mine->soon_cap, mine->soon_count + 1, sizeof *mine->soon);
    struct shown_soon *soon = &mine->soon[mine->soon_count++];
    *soon = (struct shown_soon){.number = word->number,
                                .pass = get_u32(word->body.data + 8),
                                .client_id = mem_strndup(record.id.data, record.id.len),
                                .client_id_len = record.id.len,
                                .last = mem_alloc(body.len),
                                .last_len = body.len};
    memcpy(soon->last, body.data, body.len);
}

static void
note_shown(struct move_shard *mine, struct session *session)
{
    struct journal *journal = session->shard->journal;
    must(!session->hidden && session->durable);
    session->untold = true;
    mine->shown =
        mem_grow(mine->shown, &mine->shown_cap, mine->shown_count + 1, sizeof *mine->shown);
    mine->shown[mine->shown_count++] = (struct told_soon){
        .position = journal_is_on(journal) ? journal_barrier(journal) : 0,
        .client_id = mem_strndup(session->id, session->id_len),
        .client_id_len = session->id_len,
    };
}

// True: it is done with.
static bool
show(struct shard *shard, struct move_shard *mine, const struct shown_soon *soon)
{
    struct slice client_id = slice_of(soon->client_id, soon->client_id_len);
    struct session *dump = find_part(shard, soon->number, MOVE_DUMP, client_id);
    struct session *arrivals = find_part(shard, soon->number, MOVE_ARRIVALS, client_id);
    struct record record;
    uint32_t len;
    err_t err = record_read(slice_of(soon->last, soon->last_len), &record, &len);
    must(err == OK && len <= soon->last_len);
    if (!dump || !arrivals)
        return true; // it is here, or will be told anew
    const struct session *other = find(shard, client_id);
    if (other && (other->client || other->claim > record.claim)) {
        session_drop_part(dump);
        session_drop_part(arrivals);
        return true;
    }
    // What goes behind gets no identifier that the client may know.
    uint64_t end = dump->out.tail;
    if (!deliveries_empty(&dump->out))
        record.sent = min_u64(record.sent, end + MOVE_GAP_MAX);
    deliveries_extend(&dump->out, max_u64(record.sent, end));
    if (!session_join_parts(dump, arrivals, JOIN_STEPS))
        return false;
    record.claim++;
    struct session *session =
        session_show(dump, arrivals, &record, slice_of(soon->last + len, soon->last_len - len));
    note_shown(mine, session);
    return true;
}

static bool
all_have_turned(struct move *move, const struct move_shard *mine, const struct shown_soon *soon)
{
    bool complete = false;
    pthread_mutex_lock(&move->mutex);
    for (uint32_t i = 0; i < CLUSTER_NODES_MAX; i++) {
        const struct move_from *from = &move->from[i];
        if (from->number == soon->number && from->pass == soon->pass)
            complete = turn_is_complete(mine, soon->pass, from->nodes, from->node_count);
    }
    pthread_mutex_unlock(&move->mutex);
    return complete;
}

static void
show_some(struct nodes *nodes, struct shard *shard, struct move_shard *mine)
{
    for (uint32_t i = 0; i < mine->soon_count;) {
        struct shown_soon *soon = &mine->soon[i];
        if (!all_have_turned(nodes->move, mine, soon) || !show(shard, mine, soon)) {
            i++;
            continue;
        }
        mem_free(soon->client_id);
        mem_free(soon->last);
        *soon = mine->soon[--mine->soon_count];
    }
}

// The other node ends its own when it hears of ours, which has to be safe by then.
static void
tell_shown(struct shard *shard, struct move_shard *mine)
{
    for (uint32_t i = 0; i < mine->shown_count;) {
        struct told_soon *shown = &mine->shown[i];
        if (journal_safe(shard->journal) < shown->position) {
            i++;
            continue;
        }
        struct session *session = find(shard, slice_of(shown->client_id, shown->client_id_len));
        if (session && session->untold) {
            session->untold = false;
            claims_moved(session);
        }
        mem_free(shown->client_id);
        *shown = mine->shown[--mine->shown_count];
    }
}

void
move_in_tick(struct nodes *nodes, struct shard *shard)
{
    struct move_shard *mine = &nodes->move->shards[shard->index];
    if (mine->ready_count > 0)
        look_at_ready(nodes->move, mine, shard);
    say_ready(nodes, shard);
    if (mine->soon_count > 0)
        show_some(nodes, shard, mine);
    if (mine->shown_count > 0)
        tell_shown(shard, mine);
}

// ---- The end ------------------------------------------------------------------------------------

static void
drop_if_over(struct session *session)
{
    const struct nodes *nodes = nodes_of(session->shard->broker->cluster);
    if (session->hidden &&
        move_number(session) == nodes->move->shards[session->shard->index].ending)
        session_drop_part(session);
}

uint32_t
move_in_over(struct nodes *nodes, const struct move_word *word)
{
    uint32_t number = word->number;
    must(word->kind == MOVE_END);
    pthread_mutex_lock(&nodes->move->mutex);
    struct move_from *from = from_of(nodes->move, word->from, false);
    if (from && number == MOVE_ANY)
        number = from->number;
    if (from && from->number == number)
        from->number = 0;
    pthread_mutex_unlock(&nodes->move->mutex);
    return number;
}

void
move_in_end(struct nodes *nodes, struct shard *shard, uint32_t number)
{
    must(number >= MOVE_NUMBER_MIN);
    nodes->move->shards[shard->index].ending = number;
    registry_each(shard->registry, drop_if_over);
}
