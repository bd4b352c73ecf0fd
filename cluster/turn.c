// turn.c - at one moment each shard begins to say with what its clients publish that it has turned.
//
// From then on the new node of a session has the message, and before, the old one. So the new one
// has to get all that is published before a shard turns: its subscriptions are known everywhere by
// then (move_out.c). Behind the last message of before, and on the same way, each shard says that
// it has turned: to other nodes in the queue of their link, to the other shards by mail. Who has
// heard that of all shards of all nodes has all of before.
//
// A node turns for one move at a time. That it has is in the store before it says so: what it
// forgot, after a crash, would go to both nodes. So that of two moves one waits for the other, the
// node with the lowest uuid is asked first, and the others when it has turned.
#include "core/base/mem.h"

#include "cluster/move.h"
#include "cluster/wire_int.h"
#include "core/journal.h"
#include "core/shard.h"

#define OWNER_MS 1000u // between two looks whether the node is there whose move it is

void
turn_begin(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    struct move *move = nodes->move;
    uint32_t number = word->number;
    must(word->kind == MOVE_TURN && word->body.len == 4 && number != MOVE_ANY);
    pthread_mutex_lock(&move->mutex);
    // That node's own move of before is over, however that came.
    bool same = memcmp(move->turn_id, word->from, NODE_ID_LEN) == 0;
    if (move->turn == 0 || (same && move->turn != number)) {
        uint8_t value[4 + NODE_ID_LEN];
        move->turn = number;
        memcpy(move->turn_id, word->from, NODE_ID_LEN);
        put_u32(value, number);
        memcpy(value + 4, word->from, NODE_ID_LEN);
        move_setting(shard, SETTING_TURN, slice_of(value, sizeof value));
        move->turn_position = journal_is_on(shard->journal) ? journal_barrier(shard->journal) : 0;
        move->turn_shard = shard->index;
        move->turn_waits = true;
        atomic_store(&move->active, true);
    } else if (move->turn == number && !move->turn_waits) {
        atomic_fetch_add(&move->round, 1); // all say it again
    }
    if (move->turn == number)
        atomic_store(&move->turn_pass, get_u32(word->body.data));
    pthread_mutex_unlock(&move->mutex);
    nodes_wake_all(nodes);
}

void
turn_recall(struct nodes *nodes, uint32_t number, struct slice id)
{
    struct move *move = nodes->move;
    must(id.len >= NODE_ID_LEN);
    move->turn = number;
    memcpy(move->turn_id, id.data, NODE_ID_LEN);
    atomic_store(&move->turn_now, number);
    atomic_store(&move->round, 1);
    atomic_store(&move->active, true);
}

void
turn_end(struct nodes *nodes, struct shard *shard, const char *id, uint32_t number)
{
    struct move *move = nodes->move;
    pthread_mutex_lock(&move->mutex);
    bool this_one = move->turn == number || number == MOVE_ANY;
    if (move->turn != 0 && this_one && memcmp(move->turn_id, id, NODE_ID_LEN) == 0) {
        move->turn = 0;
        move->turn_waits = false;
        move_setting(shard, SETTING_TURN, slice_of("", 0));
        atomic_store(&move->turn_now, 0);
        atomic_fetch_add(&move->round, 1);
    }
    pthread_mutex_unlock(&move->mutex);
    nodes_wake_all(nodes);
}

// Its own shard sees when the setting is safe.
static void
look_at_setting(struct nodes *nodes, const struct shard *shard)
{
    struct move *move = nodes->move;
    if (!atomic_load_explicit(&move->turn_waits, memory_order_relaxed))
        return;
    pthread_mutex_lock(&move->mutex);
    bool safe = move->turn_waits && move->turn_shard == shard->index &&
                journal_safe(shard->journal) >= move->turn_position;
    if (safe) {
        move->turn_waits = false;
        atomic_store(&move->turn_now, move->turn);
        atomic_fetch_add(&move->round, 1);
    }
    pthread_mutex_unlock(&move->mutex);
    if (safe)
        nodes_wake_all(nodes);
}

// Is the node there, for which we have turned?
static void
look_at_owner(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    node_id id = "";
    must(shard->index == 0);
    pthread_mutex_lock(&move->mutex);
    if (move->turn != 0)
        memcpy(id, move->turn_id, NODE_ID_LEN);
    pthread_mutex_unlock(&move->mutex);
    if (id[0] == '\0' || strcmp(id, nodes->cluster.id) == 0)
        return;
    pthread_mutex_lock(&nodes->mutex);
    const struct link *link = nodes_find_link(nodes, id);
    bool gone = !link || atomic_load(&link->retired) || atomic_load(&link->gone) == LINK_FOR_GOOD;
    pthread_mutex_unlock(&nodes->mutex);
    if (gone)
        move_owner_gone(nodes, shard, id);
}

static void
say_turned(struct nodes *nodes, struct shard *shard)
{
    unsigned count = nodes->broker->shard_count;
    uint8_t body[6] = {(uint8_t)shard->index, (uint8_t)count};
    const struct move_word word = {nodes->cluster.id, MOVE_TURNED, shard->turn, slice_of(body, 6)};
    put_u32(body + 2, atomic_load(&nodes->move->turn_pass));
    must(shard->turn != 0 && shard->index < count);
    move_say(shard, NULL, word.kind, word.number, word.body);
    for (unsigned i = 0; i < count; i++)
        move_pass(nodes, shard, i, &word);
}

void
turn_tick(struct nodes *nodes, struct shard *shard)
{
    struct move *move = nodes->move;
    struct move_shard *mine = &move->shards[shard->index];
    must(move->turn_shard < TRIE_SHARDS_MAX);
    uint64_t round = atomic_load_explicit(&move->round, memory_order_acquire);
    look_at_setting(nodes, shard);
    if (shard->index == 0 && shard->now_ms >= move->owner_ms) {
        move->owner_ms = shard->now_ms + OWNER_MS;
        look_at_owner(nodes, shard);
    }
    if (mine->round == round)
        return;
    mine->round = round;
    shard->turn = atomic_load(&move->turn_now);
    if (shard->turn != 0)
        say_turned(nodes, shard);
}

void
turn_mark(struct move_shard *mine, const struct move_word *word)
{
    struct turned *turned = NULL;
    uint8_t shard = word->body.data[0], count = word->body.data[1];
    must(word->kind == MOVE_TURNED && shard < count && count <= TRIE_SHARDS_MAX);
    for (uint32_t i = 0; i < mine->turned_count && !turned; i++)
        if (memcmp(mine->turned[i].id, word->from, NODE_ID_LEN) == 0)
            turned = &mine->turned[i];
    if (!turned) {
        mine->turned =
            mem_grow(mine->turned, &mine->turned_cap, mine->turned_count + 1, sizeof *mine->turned);
        turned = &mine->turned[mine->turned_count++];
        *turned = (struct turned){0};
        memcpy(turned->id, word->from, NODE_ID_LEN);
    }
    uint32_t pass = get_u32(word->body.data + 2);
    if (turned->pass != pass || turned->count != count)
        turned->shards = 0;
    turned->pass = pass;
    turned->count = count;
    turned->shards |= UINT64_C(1) << shard;
}

static bool
has_turned(const struct move_shard *mine, uint32_t pass, const char *id)
{
    for (uint32_t i = 0; i < mine->turned_count; i++) {
        const struct turned *turned = &mine->turned[i];
        if (turned->pass == pass && memcmp(turned->id, id, NODE_ID_LEN) == 0)
            return turned->count > 0 &&
                   (uint32_t)__builtin_popcountll(turned->shards) == turned->count;
    }
    return false;
}

bool
turn_is_complete(const struct move_shard *mine, uint32_t pass, const node_id *ids, uint32_t count)
{
    must(count <= CLUSTER_NODES_MAX + 1);
    for (uint32_t i = 0; i < count; i++)
        if (!has_turned(mine, pass, ids[i]))
            return false;
    return true;
}
