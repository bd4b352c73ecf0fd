// move_out.c - this node gives up its sessions: to which nodes, in which order, and how far it is.
//
// Shard 0 goes from phase to phase, once all shards have done what the present one asks for. All
// may be done again: what the other node has already stays as it is. So a link that comes up anew,
// after a crash at either end, leads back to the beginning, and the store has no more of it than
// the number of the move and the nodes that get the sessions.
#include "core/base/clock.h"
#include "core/base/hash.h"
#include "core/base/log.h"
#include "core/base/mem.h"

#include "cluster/home.h"
#include "cluster/move.h"
#include "cluster/wire_int.h"
#include "core/drain.h"
#include "core/journal.h"
#include "core/registry.h"
#include "core/shard.h"

#define AGAIN_MS    2000u  // until what may not have been heard is said again
#define WORDS_BYTES 16384u // of a word, about
#define WAITING_MAX 2048u  // words and messages that may wait for a node when more is said to it
#define STEPS_MAX   256u   // sessions looked at in a tick
#define PHASE_MASK  UINT64_C(15) // of move->phase; above it is how often it was set
#define COUNT_MS    500u         // between two looks at how many are left

static enum move_phase
phase_of(const struct move *move)
{
    return (enum move_phase)(atomic_load_explicit(&move->phase, memory_order_acquire) & PHASE_MASK);
}

// ---- Where to -----------------------------------------------------------------------------------

// With the mutex. All nodes that are there take part; those that stay get sessions. False: one does
// not understand it, or none stays.
static bool
choose(struct nodes *nodes)
{
    struct move *move = nodes->move;
    must(nodes->cluster.ops && move->to_count <= CLUSTER_NODES_MAX);
    struct cluster_node *all = mem_alloc(CLUSTER_MEMBERS_MAX * sizeof *all);
    uint32_t count = nodes->cluster.ops->nodes(&nodes->cluster, all);
    bool understood = true;
    move->to_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (all[i].self || strcmp(all[i].state, "alive") != 0)
            continue;
        pthread_mutex_lock(&nodes->mutex);
        const struct link *link = nodes_find_link(nodes, all[i].id);
        bool up = link && atomic_load(&link->up);
        understood &= !up || (atomic_load(&link->features) & FEATURE_MOVE);
        pthread_mutex_unlock(&nodes->mutex);
        if (up && !all[i].draining)
            memcpy(move->to[move->to_count++], all[i].id, NODE_ID_LEN + 1);
    }
    mem_free(all);
    return understood && move->to_count > 0;
}

static void
begin(struct nodes *nodes, uint32_t number)
{
    struct move *move = nodes->move;
    must(number >= MOVE_NUMBER_MIN && number <= MOVE_NUMBER_MAX && move->to_count > 0);
    atomic_store(&move->number, number);
    atomic_store(&move->moved, 0);
    atomic_store(&move->phase, PHASE_DRAINS);
    atomic_store(&move->active, true);
}

err_t
move_decommission(struct cluster *cluster)
{
    struct nodes *nodes = nodes_of(cluster);
    struct move *move = nodes->move;
    err_t err = OK;
    pthread_mutex_lock(&move->mutex);
    bool off = phase_of(move) == PHASE_OFF || phase_of(move) == PHASE_DONE;
    if (off && !choose(nodes)) {
        err = ERR_SERVER_UNAVAILABLE;
    } else if (off) {
        const struct hash_key *key = &nodes->broker->key;
        uint64_t random = hash_u64(key, clock_mono_ms() ^ nodes->identity.boot);
        uint64_t range = MOVE_NUMBER_MAX - MOVE_NUMBER_MIN; // without MOVE_ANY
        begin(nodes, MOVE_NUMBER_MIN + (uint32_t)(random % range));
    }
    pthread_mutex_unlock(&move->mutex);
    if (err == OK)
        nodes_wake_all(nodes);
    return err;
}

void
move_look(struct cluster *cluster, struct move_view *ret)
{
    static const char *const states[] = {
        [PHASE_OFF] = "off",      [PHASE_DRAINS] = "drains", [PHASE_BEGINS] = "begins",
        [PHASE_READY] = "begins", [PHASE_GROUPS] = "turns",  [PHASE_TURNS] = "turns",
        [PHASE_MOVES] = "moves",  [PHASE_DONE] = "done",
    };
    struct move *move = nodes_of(cluster)->move;
    pthread_mutex_lock(&move->mutex);
    must(phase_of(move) < ARRAY_LEN(states));
    *ret = (struct move_view){.state = states[phase_of(move)],
                              .left = atomic_load(&move->left),
                              .moved = atomic_load(&move->moved)};
    memcpy(ret->waits_for, move->waits_for, sizeof ret->waits_for);
    pthread_mutex_unlock(&move->mutex);
}

// The node that gets the client's session: as for its Will, the first of them (home.h).
static const char *
goal_of(const struct move *move, struct slice client_id)
{
    struct gossip_uuid uuids[CLUSTER_NODES_MAX];
    for (uint32_t i = 0; i < move->to_count; i++)
        (void)uuid_read(move->to[i], &uuids[i]);
    for (uint32_t i = 0; i < move->to_count; i++)
        if (home_rank(uuids, move->to_count, &uuids[i], client_id) == 0)
            return move->to[i];
    must(false); // of several one comes first
    return NULL;
}

static bool
has_room(struct nodes *nodes, const char *id)
{
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, id);
    bool room = link && atomic_load(&link->up) && atomic_load(&link->waiting) < WAITING_MAX;
    pthread_mutex_unlock(&nodes->mutex);
    return room;
}

// ---- Words --------------------------------------------------------------------------------------

static uint8_t *
grow(struct move_shard *mine, uint32_t len)
{
    mine->word = mem_grow(mine->word, &mine->word_cap, mine->word_len + len, 1);
    mine->word_len += len;
    return mine->word + mine->word_len - len;
}

static void
put_record(struct move_shard *mine, const struct record *record)
{
    uint32_t size = record_size(record);
    uint8_t *at = grow(mine, size);
    const uint8_t *end = record_write(at, record);
    must(end == at + size);
}

static void
put_session(struct move_shard *mine, const struct session *session)
{
    struct record record;
    journal_session_record(session->shard->journal, session, &record);
    const struct deliveries *out = &session->out;
    record.sent = max_u64(max_u64(out->sent, out->sent_before), session->kept->sent_limit);
    put_record(mine, &record);
}

static void
say_word(struct nodes *nodes, struct shard *shard, const struct session *session,
         enum move_kind kind)
{
    struct move *move = nodes->move;
    struct move_shard *mine = &move->shards[shard->index];
    must(mine->word_len > 0);
    move_say(shard, goal_of(move, session_id(session)), kind, atomic_load(&move->number),
             slice_of(mine->word, mine->word_len));
    mine->word_len = 0;
}

static void
say_begin(struct nodes *nodes, const struct session *session)
{
    struct shard *shard = session->shard;
    struct move_shard *mine = &nodes->move->shards[shard->index];
    mine->word_len = 0;
    put_session(mine, session);
    for (uint32_t i = 0; i < session->sub_count; i++) {
        struct record record = {.kind = JOURNAL_SUBSCRIBE};
        session_sub_record(session, i, &record);
        put_record(mine, &record);
    }
    say_word(nodes, shard, session, MOVE_BEGIN);
}

static void
say_last(struct nodes *nodes, const struct session *session)
{
    struct shard *shard = session->shard;
    struct move_shard *mine = &nodes->move->shards[shard->index];
    const struct packet_ids *received = &session->in_qos2;
    mine->word_len = 0;
    uint8_t *head = grow(mine, LAST_HEAD);
    put_u64(head, mine->behind);
    put_u32(head + 8, atomic_load(&nodes->move->pass));
    put_session(mine, session);
    for (uint32_t i = 0; received->count > 0 && i < received->cap; i++)
        for (uint64_t members = received->blocks[i].members; members; members &= members - 1) {
            uint32_t id = received->blocks[i].number * 64 + (uint32_t)__builtin_ctzll(members);
            put_u16(grow(mine, 2), id);
        }
    say_word(nodes, shard, session, MOVE_LAST);
}

// ---- A queue ------------------------------------------------------------------------------------

static void
begin_entries(struct move_shard *mine, const struct session *session)
{
    mine->word_len = 0;
    must(session->leaves && session->id_len <= UINT16_MAX);
    uint8_t *at = grow(mine, ENTRIES_HEAD + session->id_len);
    put_u64(at, mine->behind);
    put_u16(at + 8, session->id_len);
    memcpy(at + ENTRIES_HEAD, session->id, session->id_len);
}

static void
put_entry(struct move_shard *mine, const struct session *session, const struct page_entry *entry)
{
    const struct deliveries *out = &session->out;
    struct record record = {.kind = JOURNAL_MESSAGE};
    struct msg *none = entry->msg ? NULL : msg_new(&(struct pub){.topic = slice_str("-")});
    const struct msg *msg = entry->msg ? entry->msg : none;
    *grow(mine, 1) = entry->seq < max_u64(out->sent, out->sent_before);
    journal_message_record(session->shard->journal, msg, &record);
    record.message = 1;
    put_record(mine, &record);
    put_record(mine, &(struct record){
                         .kind = JOURNAL_ENQUEUE,
                         .session = session->number,
                         .seq = entry->seq,
                         .message = 1,
                         .size = (uint32_t)msg_size(msg),
                         .qos = entry->qos & 3u,
                         .retain = entry->retain,
                         .ordinal = entry->ordinal,
                         .ids = slice_of(entry->ids, entry->id_count * sizeof(uint32_t)),
                     });
    if (entry->released)
        put_record(mine, &(struct record){.kind = JOURNAL_STATE,
                                          .session = session->number,
                                          .seq = entry->seq,
                                          .state = ENTRY_RELEASED});
    msg_unref(none);
}

static void
send_entries(struct nodes *nodes, const struct session *session, const struct page_entry *entries,
             uint32_t count)
{
    struct move_shard *mine = &nodes->move->shards[session->shard->index];
    begin_entries(mine, session);
    for (uint32_t i = 0; i < count; i++) {
        put_entry(mine, session, &entries[i]);
        mine->behind = entries[i].seq + 1;
        if (mine->word_len < WORDS_BYTES && i + 1 < count)
            continue;
        say_word(nodes, session->shard, session, MOVE_ENTRIES);
        begin_entries(mine, session);
    }
}

// Without a store all of it is in memory.
static void
send_memory(struct nodes *nodes, const struct session *session)
{
    const struct deliveries *out = &session->out;
    for (uint64_t seq = out->head; seq != out->loaded; seq++) {
        struct delivery *entry = deliveries_at(out, seq);
        struct slice ids = delivery_ids(entry);
        uint32_t *copy = NULL, ordinal = 0;
        struct pub pub;
        if (entry->state == DELIVERY_DONE)
            continue;
        if (ids.len > 0) {
            copy = mem_alloc(ids.len);
            memcpy(copy, ids.data, ids.len);
        }
        for (uint32_t i = 0; entry->share.generation != 0 && i < session->sub_count; i++)
            if (session->subs[i].handle.slot == entry->share.slot && session->subs[i].shared)
                ordinal = session->subs[i].ordinal;
        struct msg *msg = NULL;
        if (entry->msg) {
            delivery_pub(entry, &pub);
            msg = msg_new(&pub);
        }
        send_entries(nodes, session,
                     &(struct page_entry){
                         .seq = seq,
                         .msg = msg,
                         .ids = copy,
                         .id_count = ids.len / (uint32_t)sizeof(uint32_t),
                         .ordinal = ordinal,
                         .qos = entry->qos,
                         .retain = entry->retain,
                         .released = entry->state == DELIVERY_RELEASED,
                     },
                     1);
        msg_unref(msg);
        mem_free(copy);
    }
}

static void
stop_reading(struct move_shard *mine)
{
    mem_free(mine->reading);
    mine->reading = NULL;
}

void
move_out_read(struct cluster *cluster, struct session *session, const struct page *page)
{
    struct nodes *nodes = nodes_of(cluster);
    struct move_shard *mine = &nodes->move->shards[session->shard->index];
    if (!mine->reading ||
        !slice_equal(session_id(session), slice_of(mine->reading, mine->reading_len)))
        return;
    send_entries(nodes, session, page->entries, page->count);
    if (page->end) {
        say_last(nodes, session);
        stop_reading(mine);
        return;
    }
    mine->reading_seq = page->next; // asked for once there is room
}

// False: it waits.
static bool
read_on(struct nodes *nodes, struct shard *shard)
{
    struct move_shard *mine = &nodes->move->shards[shard->index];
    must(mine->reading);
    struct slice id = slice_of(mine->reading, mine->reading_len);
    struct session *session =
        registry_find(shard->registry, id, registry_hash(shard->registry, id));
    if (!session || !session->leaves) {
        stop_reading(mine);
        return true;
    }
    if (!session->kept->load && has_room(nodes, goal_of(nodes->move, id)))
        (void)session_read_page(session, mine->reading_seq);
    return false;
}

static void
send_queue(struct nodes *nodes, struct session *session)
{
    struct move_shard *mine = &nodes->move->shards[session->shard->index];
    mine->behind = 0;
    if (journal_is_on(session->shard->journal) && !deliveries_empty(&session->out)) {
        mine->reading = mem_strndup(session->id, session->id_len);
        mine->reading_len = session->id_len;
        mine->reading_seq = session->out.head;
        return;
    }
    send_memory(nodes, session);
    say_last(nodes, session);
}

// ---- All sessions of a shard --------------------------------------------------------------------

static bool
is_ours(const struct session *session)
{
    return session->durable && !session->node && !session->hidden;
}

static void
leave(struct session *session)
{
    struct nodes *nodes = nodes_of(session->shard->broker->cluster);
    struct move_shard *mine = &nodes->move->shards[session->shard->index];
    if (!is_ours(session))
        return;
    mine->count++;
    if (session->client) {
        mine->connected++; // it is on its way out
    } else if (!session->leaves) {
        session_leave(session);
        mine->late = true;
    }
}

static void
leave_groups(struct session *session)
{
    if (session->leaves)
        session_leave_groups(session);
}

static void
count_left(struct move *move, struct shard *shard)
{
    struct move_shard *mine = &move->shards[shard->index];
    uint64_t before = mine->count;
    must(shard->broker->cluster);
    mine->count = mine->connected = 0;
    registry_each(shard->registry, leave);
    mine->count_ms = shard->now_ms + COUNT_MS;
    atomic_fetch_add(&move->left, mine->count - before);
}

// Of one that was connected when its turn was the other nodes know nothing: a new pass.
static void
count_again(struct move *move, struct shard *shard)
{
    struct move_shard *mine = &move->shards[shard->index];
    mine->late = false;
    count_left(move, shard);
    if (mine->late)
        atomic_fetch_add(&move->links_round, 1);
}

static struct session *
next_in_bucket(struct session *bucket, uint64_t after)
{
    struct session *found = NULL;
    for (struct session *session = bucket; session; session = session->chain)
        if (session->leaves && session->number > after &&
            (!found || session->number < found->number))
            found = session;
    return found;
}

// One session more, or bucket. False: it waits, or all are done.
static bool
step(struct nodes *nodes, struct shard *shard, enum move_phase phase)
{
    struct move_shard *mine = &nodes->move->shards[shard->index];
    uint64_t next;
    if (mine->reading)
        return read_on(nodes, shard);
    if (mine->walked)
        return false;
    struct session *session =
        next_in_bucket(registry_bucket(shard->registry, mine->place, &next), mine->after);
    if (!session) {
        mine->walked = next == REGISTRY_END;
        mine->place = mine->walked ? 0 : next;
        mine->after = 0;
        return true;
    }
    if (!has_room(nodes, goal_of(nodes->move, session_id(session))))
        return false;
    mine->after = session->number;
    if (phase == PHASE_BEGINS)
        say_begin(nodes, session);
    else
        send_queue(nodes, session);
    return true;
}

// ---- What a phase asks a shard for --------------------------------------------------------------

static void
enter(struct move *move, struct shard *shard, enum move_phase phase)
{
    struct move_shard *mine = &move->shards[shard->index];
    mine->walked = false;
    mine->place = mine->after = 0;
    stop_reading(mine);
    if (phase == PHASE_BEGINS || phase == PHASE_MOVES)
        count_left(move, shard);
    if (phase == PHASE_GROUPS)
        registry_each(shard->registry, leave_groups);
}

static bool
have_turned(struct move *move, const struct move_shard *mine)
{
    pthread_mutex_lock(&move->mutex);
    bool complete =
        turn_is_complete(mine, atomic_load(&move->pass), move->wanted, move->wanted_count);
    pthread_mutex_unlock(&move->mutex);
    return complete;
}

static void
do_phase(struct nodes *nodes, struct shard *shard, enum move_phase phase)
{
    struct move *move = nodes->move;
    struct move_shard *mine = &move->shards[shard->index];
    uint32_t steps = 0;
    if (phase == PHASE_BEGINS || phase == PHASE_MOVES)
        while (steps++ < STEPS_MAX && step(nodes, shard, phase))
            ;
    if ((phase == PHASE_BEGINS || phase == PHASE_MOVES) && shard->now_ms >= mine->count_ms)
        count_again(move, shard);
    bool done = phase == PHASE_GROUPS ||
                (phase == PHASE_BEGINS && mine->walked && mine->connected == 0) ||
                (phase == PHASE_TURNS && have_turned(move, mine)) ||
                (phase == PHASE_MOVES && mine->count == 0);
    if (done)
        atomic_store_explicit(&mine->done, mine->phase, memory_order_release);
}

// ---- From phase to phase ------------------------------------------------------------------------

static void
set_phase_of(struct move *move, uint64_t incarnation, enum move_phase phase)
{
    uint64_t round = (atomic_load(&move->phase) | PHASE_MASK) + 1;
    must(phase <= PHASE_MASK);
    if (phase == PHASE_BEGINS) // what was said in an earlier pass counts no more
        atomic_store(&move->pass, (uint32_t)incarnation << 16 | (uint32_t)(round >> 4 & 0xffff));
    atomic_store_explicit(&move->phase, round | phase, memory_order_release);
    move->due_ms = 0;
    memset(move->ready, 0, sizeof move->ready);
}

static void
set_phase(struct nodes *nodes, enum move_phase phase)
{
    set_phase_of(nodes->move, nodes->identity.incarnation, phase);
    nodes_wake_all(nodes);
}

static bool
all_done(const struct nodes *nodes)
{
    const struct move *move = nodes->move;
    uint64_t phase = atomic_load(&move->phase);
    for (unsigned i = 0; i < nodes->broker->shard_count; i++)
        if (atomic_load_explicit(&move->shards[i].done, memory_order_acquire) != phase)
            return false;
    return true;
}

// Everybody who may still have something for us, the lowest first.
static void
list_nodes(struct nodes *nodes)
{
    struct move *move = nodes->move;
    uint32_t count = atomic_load(&nodes->link_count), n = 0;
    must(count <= CLUSTER_NODES_MAX);
    memcpy(move->wanted[n++], nodes->cluster.id, NODE_ID_LEN + 1);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (atomic_load(&link->retired) || atomic_load(&link->gone) == LINK_FOR_GOOD)
            continue;
        memcpy(move->wanted[n++], link->id, NODE_ID_LEN + 1);
        if (memcmp(move->wanted[n - 1], move->wanted[0], NODE_ID_LEN) < 0) {
            char first[NODE_ID_LEN + 1];
            memcpy(first, move->wanted[0], sizeof first);
            memcpy(move->wanted[0], move->wanted[n - 1], sizeof first);
            memcpy(move->wanted[n - 1], first, sizeof first);
        }
    }
    move->wanted_count = n;
}

static void
save(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    uint8_t value[4 + CLUSTER_NODES_MAX * NODE_ID_LEN];
    must(shard->index == 0 && move->to_count <= CLUSTER_NODES_MAX);
    put_u32(value, atomic_load(&move->number));
    for (uint32_t i = 0; i < move->to_count; i++)
        memcpy(value + 4 + (size_t)i * NODE_ID_LEN, move->to[i], NODE_ID_LEN);
    move_setting(shard, SETTING_OUT, slice_of(value, 4 + move->to_count * NODE_ID_LEN));
    move->out_position = journal_is_on(shard->journal) ? journal_barrier(shard->journal) : 0;
    move->saved = true;
}

// Nobody is connected here, and it is in the store that they are to go.
static bool
is_drained(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    struct drain_view view;
    uint64_t left;
    if (!move->saved)
        save(nodes, shard);
    drain_look(&nodes->broker->drain, shard->now_ms, &view);
    return journal_safe(shard->journal) >= move->out_position && view.ends &&
           drain_left(&nodes->broker->drain, nodes->broker->shard_count, &left) && left == 0;
}

static void
ask_ready(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    uint8_t body[6 + (CLUSTER_NODES_MAX + 1) * NODE_ID_LEN];
    must(move->wanted_count <= CLUSTER_NODES_MAX + 1);
    put_u32(body, atomic_load(&move->pass));
    put_u16(body + 4, move->wanted_count);
    for (uint32_t i = 0; i < move->wanted_count; i++)
        memcpy(body + 6 + (size_t)i * NODE_ID_LEN, move->wanted[i], NODE_ID_LEN);
    for (uint32_t i = 0; i < move->to_count; i++)
        move_say(shard, move->to[i], MOVE_BEGUN, atomic_load(&move->number),
                 slice_of(body, 6 + move->wanted_count * NODE_ID_LEN));
}

// The first one has to turn before the others are asked.
static void
ask_turn(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    const struct move_shard *mine = &move->shards[shard->index];
    uint32_t number = atomic_load(&move->number), pass = atomic_load(&move->pass);
    uint8_t body[4];
    put_u32(body, pass);
    bool first = turn_is_complete(mine, pass, move->wanted, 1);
    must(move->wanted_count > 0);
    for (uint32_t i = 0; i < (first ? move->wanted_count : 1); i++) {
        const char *id = move->wanted[i];
        if (turn_is_complete(mine, pass, &move->wanted[i], 1))
            continue;
        memcpy(move->waits_for, id, NODE_ID_LEN + 1);
        if (strcmp(id, nodes->cluster.id) == 0)
            move->turn_self = true;
        else
            move_say(shard, id, MOVE_TURN, number, slice_of(body, sizeof body));
    }
}

static void
finish(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    must(shard->index == 0);
    move_say(shard, NULL, MOVE_END, atomic_load(&move->number), (struct slice){0});
    move_setting(shard, SETTING_OUT, slice_of("", 0));
    atomic_store(&nodes->broker->leaving, 0);
    log_line(shard->log, LOG_T_NOTICE,
             "All sessions have gone to other nodes: %llu. This node may end for good.",
             (unsigned long long)atomic_load(&move->moved));
    move->end_self = true;
    set_phase(nodes, PHASE_DONE);
}

static bool
all_ready(const struct move *move)
{
    bool ready = true;
    for (uint32_t i = 0; i < move->to_count; i++)
        ready &= move->ready[i];
    return ready;
}

// Says what is due again. With the mutex.
static void
ask_again(struct nodes *nodes, struct shard *shard, enum move_phase phase)
{
    struct move *move = nodes->move;
    if (shard->now_ms < move->due_ms)
        return;
    move->due_ms = shard->now_ms + AGAIN_MS;
    move->waits_for[0] = '\0';
    if (phase > PHASE_DRAINS && phase < PHASE_DONE)
        list_nodes(nodes);
    if (phase >= PHASE_READY && phase < PHASE_DONE)
        ask_ready(nodes, shard);
    for (uint32_t i = 0; phase == PHASE_READY && i < move->to_count; i++)
        if (!move->ready[i])
            memcpy(move->waits_for, move->to[i], NODE_ID_LEN + 1);
    if (phase == PHASE_TURNS)
        ask_turn(nodes, shard);
}

// Is what the phase is for done? With the mutex, as the next one.
static bool
is_over(struct nodes *nodes, struct shard *shard, enum move_phase phase)
{
    if (phase == PHASE_DRAINS)
        return is_drained(nodes, shard);
    if (phase == PHASE_READY)
        return all_ready(nodes->move);
    return phase < PHASE_DONE && all_done(nodes);
}

static void
lead(struct nodes *nodes, struct shard *shard, enum move_phase phase)
{
    struct move *move = nodes->move;
    uint64_t links = atomic_load(&move->links_round);
    bool lost = phase > PHASE_DRAINS && phase < PHASE_DONE && move_lose_goals(nodes);
    if (lost)
        save(nodes, shard);
    if (lost || (links != move->links_seen && phase > PHASE_DRAINS && phase < PHASE_DONE))
        set_phase(nodes, PHASE_BEGINS);
    else if (links != move->links_seen && phase == PHASE_DONE)
        move_say(shard, NULL, MOVE_END, atomic_load(&move->number), (struct slice){0});
    else if (phase == PHASE_MOVES && all_done(nodes))
        finish(nodes, shard);
    else if (is_over(nodes, shard, phase))
        set_phase(nodes, phase + 1);
    else
        ask_again(nodes, shard, phase);
    move->links_seen = links;
    if (phase == PHASE_DRAINS && phase_of(move) == PHASE_BEGINS)
        atomic_store(&nodes->broker->leaving, atomic_load(&move->number));
}

void
move_out_tick(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    struct move_shard *mine = &move->shards[shard->index];
    enum move_phase phase = phase_of(move);
    if (phase == PHASE_OFF)
        return;
    uint64_t round = atomic_load_explicit(&move->phase, memory_order_acquire);
    if (mine->phase != round) {
        mine->phase = round;
        enter(move, shard, phase);
    }
    do_phase(nodes, shard, phase);
    if (shard->index != 0)
        return;
    pthread_mutex_lock(&move->mutex);
    lead(nodes, shard, phase);
    bool turn = move->turn_self, end = move->end_self;
    move->turn_self = move->end_self = false;
    pthread_mutex_unlock(&move->mutex);
    uint8_t pass[4];
    put_u32(pass, atomic_load(&move->pass));
    if (turn)
        turn_begin(nodes, shard,
                   &(struct move_word){nodes->cluster.id, MOVE_TURN, atomic_load(&move->number),
                                       slice_of(pass, sizeof pass)});
    if (end)
        turn_end(nodes, shard, nodes->cluster.id, atomic_load(&move->number));
}

bool
move_out_has_work(struct nodes *nodes, const struct shard *shard)
{
    const struct move *move = nodes->move;
    const struct move_shard *mine = &move->shards[shard->index];
    enum move_phase phase = phase_of(move);
    return phase != PHASE_OFF &&
           mine->phase != atomic_load_explicit(&move->phase, memory_order_acquire);
}

void
move_out_ready(struct nodes *nodes, const struct move_word *word)
{
    struct move *move = nodes->move;
    must(word->kind == MOVE_READY);
    pthread_mutex_lock(&move->mutex);
    for (uint32_t i = 0; atomic_load(&move->number) == word->number && i < move->to_count; i++)
        if (memcmp(move->to[i], word->from, NODE_ID_LEN) == 0)
            move->ready[i] = true;
    pthread_mutex_unlock(&move->mutex);
    nodes_wake_all(nodes);
}

// It turns before it knows our routes anew. When nothing is under way it forgets what may be left
// of an earlier move of ours.
void
move_out_linked(struct nodes *nodes, struct shard *shard, const char *id)
{
    const struct move *move = nodes->move;
    enum move_phase phase = phase_of(move);
    uint8_t body[4];
    put_u32(body, atomic_load(&move->pass));
    if (phase == PHASE_TURNS || phase == PHASE_MOVES)
        move_say(shard, id, MOVE_TURN, atomic_load(&move->number), slice_of(body, sizeof body));
    else if (phase == PHASE_OFF || phase == PHASE_DONE)
        move_say(shard, id, MOVE_END, MOVE_ANY, (struct slice){0});
}

bool
move_out_claimed(struct nodes *nodes, struct session *session, uint64_t claim)
{
    if (!session->leaves || claim != session->claim + 1)
        return false;
    must(!session->client && !session->node);
    session_has_moved(session);
    atomic_fetch_add(&nodes->move->moved, 1);
    return true;
}

void
move_recall(struct nodes *nodes, uint32_t number, struct slice ids)
{
    struct move *move = nodes->move;
    move->to_count = ids.len / NODE_ID_LEN;
    must(move->to_count > 0 && move->to_count <= CLUSTER_NODES_MAX);
    for (uint32_t i = 0; i < move->to_count; i++)
        memcpy(move->to[i], ids.data + (size_t)i * NODE_ID_LEN, NODE_ID_LEN);
    move->saved = true;
    atomic_store(&nodes->broker->leaving, number);
    begin(nodes, number);
    (void)drain_begin(&nodes->broker->drain, clock_mono_ms(), 0, 0, DRAIN_FOR_GOOD);
    set_phase_of(move, nodes->identity.incarnation, PHASE_BEGINS); // before anything comes
}
