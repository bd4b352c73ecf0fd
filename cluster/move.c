// move.c - what nodes say of sessions that go from one to another, and to whom it is passed.
#include "cluster/move.h"

#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "cluster/wire_int.h"
#include "core/client_handlers.h"
#include "core/codec.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/retained.h"
#include "core/shard.h"
#include "core/topic.h"

#define TOPIC_MAX (sizeof TOPIC_MOVE + 1 + NODE_ID_LEN)

struct move *
move_new(void)
{
    struct move *move = mem_zalloc(sizeof *move);
    pthread_mutex_init(&move->mutex, NULL);
    return move;
}

void
move_free(struct move *move)
{
    if (!move)
        return;
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        struct move_shard *mine = &move->shards[i];
        must(mine->soon_count <= mine->soon_cap && mine->shown_count <= mine->shown_cap);
        for (uint32_t n = 0; n < mine->soon_count; n++) {
            mem_free(mine->soon[n].client_id);
            mem_free(mine->soon[n].last);
        }
        for (uint32_t n = 0; n < mine->shown_count; n++)
            mem_free(mine->shown[n].client_id);
        mem_free(mine->soon);
        mem_free(mine->shown);
        mem_free(mine->turned);
        mem_free(mine->reading);
        mem_free(mine->word);
    }
    pthread_mutex_destroy(&move->mutex);
    mem_free(move);
}

// ---- Saying -------------------------------------------------------------------------------------

static void
one_topic(const char *node, char ret_topic[TOPIC_MAX])
{
    int len = snprintf(ret_topic, TOPIC_MAX, "%s/%.*s", TOPIC_MOVE, (int)NODE_ID_LEN, node);
    must(len == (int)TOPIC_MAX - 1);
}

void
move_say(struct shard *shard, const char *node, enum move_kind kind, uint32_t number,
         struct slice body)
{
    char topic[TOPIC_MAX] = TOPIC_MOVE;
    uint8_t *bytes = mem_alloc(MOVE_HEAD + body.len);
    must(number >= MOVE_NUMBER_MIN && number <= MOVE_NUMBER_MAX);
    if (node)
        one_topic(node, topic);
    bytes[0] = (uint8_t)kind;
    put_u32(bytes + 1, number);
    if (body.len > 0)
        memcpy(bytes + MOVE_HEAD, body.data, body.len);
    link_publish(shard, topic, slice_of(bytes, MOVE_HEAD + body.len), 1);
    mem_free(bytes);
}

err_t
move_linked(struct link *link, struct session *session)
{
    char topic[TOPIC_MAX];
    struct nodes *nodes = nodes_of(session->shard->broker->cluster);
    must(session->node && link->shard == session->shard->index);
    one_topic(link->id, topic);
    err_t err = link_subscribe(session, TOPIC_MOVE, 1);
    if (err == OK)
        err = link_subscribe(session, topic, 1);
    atomic_fetch_add(&nodes->move->links_round, 1);
    move_out_linked(nodes, session->shard, link->id);
    return err;
}

void
move_setting(struct shard *shard, const char *name, struct slice value)
{
    if (!journal_is_on(shard->journal))
        return;
    uint64_t order = retained_take_order(shard->broker->retained);
    (void)journal_setting(shard->journal, slice_str(name), value, order);
}

err_t
cluster_recall_move(void *cluster, const struct record *setting)
{
    struct nodes *nodes = nodes_of(cluster);
    struct slice name = setting->msg.topic, value = setting->msg.payload;
    uint32_t ids = value.len >= 4 ? (value.len - 4) / NODE_ID_LEN : 0;
    if (ids == 0 || ids > CLUSTER_NODES_MAX)
        return OK; // it is over
    struct slice rest = slice_of(value.data + 4, (size_t)ids * NODE_ID_LEN);
    if (slice_equal(name, slice_str(SETTING_OUT)))
        move_recall(nodes, get_u32(value.data), rest);
    else if (slice_equal(name, slice_str(SETTING_TURN)))
        turn_recall(nodes, get_u32(value.data), rest);
    return OK;
}

bool
move_lose_goals(struct nodes *nodes)
{
    struct move *move = nodes->move;
    uint32_t kept = 0;
    must(move->to_count > 0 && move->to_count <= CLUSTER_NODES_MAX);
    pthread_mutex_lock(&nodes->mutex);
    for (uint32_t i = 0; i < move->to_count; i++) {
        const struct link *link = nodes_find_link(nodes, move->to[i]);
        bool gone = link && atomic_load(&link->gone) == LINK_FOR_GOOD;
        // The last one stays: sessions have to go to some node.
        if (!gone || (kept == 0 && i + 1 == move->to_count))
            memmove(move->to[kept++], move->to[i], sizeof move->to[i]);
    }
    pthread_mutex_unlock(&nodes->mutex);
    bool lost = kept < move->to_count;
    move->to_count = kept;
    must(kept > 0);
    return lost;
}

// ---- Hearing ------------------------------------------------------------------------------------

static void
act(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    switch (word->kind) {
    case MOVE_BEGIN:
        move_in_begin(shard, word);
        break;
    case MOVE_BEGUN:
        move_in_begun_here(nodes, shard, word);
        break;
    case MOVE_TURNED:
        turn_mark(&nodes->move->shards[shard->index], word);
        break;
    case MOVE_ENTRIES:
        move_in_entries(shard, word);
        break;
    case MOVE_LAST:
        move_in_last(nodes, shard, word);
        break;
    default:
        must(word->kind == MOVE_END);
        move_in_end(nodes, shard, word->number);
        break;
    }
}

void
move_pass(struct nodes *nodes, struct shard *shard, unsigned to, const struct move_word *word)
{
    must(to < nodes->broker->shard_count && strnlen(word->from, NODE_ID_LEN) == NODE_ID_LEN);
    if (to == shard->index) {
        act(nodes, shard, word);
        return;
    }
    struct slice body = word->body;
    uint8_t *at = mail_reserve(shard, to, RECORD_MOVE, NODE_ID_LEN + MOVE_HEAD + body.len);
    memcpy(at, word->from, NODE_ID_LEN);
    at[NODE_ID_LEN] = (uint8_t)word->kind;
    put_u32(at + NODE_ID_LEN + 1, word->number);
    if (body.len > 0)
        memcpy(at + NODE_ID_LEN + MOVE_HEAD, body.data, body.len);
}

void
move_record(struct cluster *cluster, struct shard *shard, struct slice record)
{
    must(record.len >= NODE_ID_LEN + MOVE_HEAD);
    const uint8_t *at = record.data + NODE_ID_LEN;
    act(nodes_of(cluster), shard,
        &(struct move_word){
            .from = (const char *)record.data,
            .kind = (enum move_kind)at[0],
            .number = get_u32(at + 1),
            .body = slice_of(at + MOVE_HEAD, record.len - NODE_ID_LEN - MOVE_HEAD),
        });
}

static void
pass_to_all(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    for (unsigned i = 0; i < nodes->broker->shard_count; i++)
        move_pass(nodes, shard, i, word);
}

void
move_owner_gone(struct nodes *nodes, struct shard *shard, const char *id)
{
    struct move *move = nodes->move;
    struct move_word word = {id, MOVE_END, MOVE_ANY, {0}};
    must(strlen(id) == NODE_ID_LEN && strcmp(id, nodes->cluster.id) != 0);
    word.number = move_in_over(nodes, &word);
    pthread_mutex_lock(&move->mutex);
    if (word.number == MOVE_ANY && move->turn != 0 && strcmp(move->turn_id, id) == 0)
        word.number = move->turn; // of which we have not heard since we started
    pthread_mutex_unlock(&move->mutex);
    turn_end(nodes, shard, id, MOVE_ANY);
    if (word.number != MOVE_ANY)
        pass_to_all(nodes, shard, &word);
}

// ---- What a node says is looked at as what a client says ----------------------------------------

static bool
is_good_msg(const struct record_msg *msg)
{
    return topic_name_check(msg->topic) == OK && !slice_begins(msg->topic, NODE_ROOT) &&
           utf8_valid(msg->topic) && codec_props_forwarded(msg->props);
}

static bool
is_good_session(const struct record *record)
{
    return record->kind == JOURNAL_SESSION && record->claim < CLAIM_MAX && record->id.len > 0 &&
           record->id.len <= NODE_CLIENT_ID_MAX && utf8_valid(record->id) &&
           !slice_begins(record->id, NODE_ROOT) && utf8_valid(record->user) &&
           (!record->has_will ||
            (is_good_msg(&record->msg) && !topic_is_reserved(record->msg.topic)));
}

static bool
is_good_subscription(const struct record *record)
{
    return record->kind == JOURNAL_SUBSCRIBE && record->ordinal > 0 &&
           topic_filter_check(record->filter) == OK && utf8_valid(record->filter) &&
           utf8_valid(record->group) && !slice_begins(record->filter, NODE_ROOT);
}

// The first record of what is left. False: it is none.
static bool
next_record(struct slice *left, struct record *ret)
{
    uint32_t len;
    if (record_read(*left, ret, &len) != OK)
        return false;
    *left = slice_of(left->data + len, left->len - len);
    return true;
}

static bool
are_good_subscriptions(struct slice left)
{
    struct record record;
    while (left.len > 0)
        if (!next_record(&left, &record) || !is_good_subscription(&record))
            return false;
    return true;
}

bool
move_next_entry(struct slice *left, struct moved_entry *ret)
{
    struct record message, entry, state;
    if (left->len < 2 || left->data[0] > 1)
        return false;
    bool sent = left->data[0] != 0;
    *left = slice_of(left->data + 1, left->len - 1);
    if (!next_record(left, &message) || message.kind != JOURNAL_MESSAGE ||
        !next_record(left, &entry) || entry.kind != JOURNAL_ENQUEUE)
        return false;
    bool released = left->len > 0 && left->data[0] == JOURNAL_STATE;
    if (released && (!next_record(left, &state) || state.state != ENTRY_RELEASED))
        return false;
    *ret = (struct moved_entry){.seq = entry.seq,
                                .msg = message.msg,
                                .ids = entry.ids,
                                .ordinal = entry.ordinal,
                                .qos = entry.qos,
                                .retain = entry.retain,
                                .released = released,
                                .sent = sent};
    return true;
}

static bool
is_good_entry(const struct moved_entry *entry)
{
    uint32_t id;
    for (uint32_t at = 0; at + sizeof id <= entry->ids.len; at += sizeof id) {
        memcpy(&id, entry->ids.data + at, sizeof id);
        if (id == 0 || id > MOVE_NUMBER_MAX)
            return false;
    }
    return is_good_msg(&entry->msg) && entry->seq < MOVE_SEQ_MAX &&
           (!entry->released || entry->qos == 2);
}

static bool
are_good_entries(struct slice left)
{
    struct moved_entry entry;
    uint64_t before = 0;
    while (left.len > 0) {
        if (!move_next_entry(&left, &entry) || !is_good_entry(&entry) || entry.seq < before)
            return false;
        before = entry.seq;
    }
    return true;
}

// Whose session it is about. Len 0: nobody's, it is malformed.
static struct slice
client_of(const struct move_word *word)
{
    struct slice body = word->body, none = {0};
    struct record record;
    if (word->kind == MOVE_ENTRIES) {
        uint32_t len = body.len >= ENTRIES_HEAD ? get_u16(body.data + 8) : 0;
        if (len == 0 || len > body.len - ENTRIES_HEAD)
            return none;
        struct slice id = slice_of(body.data + ENTRIES_HEAD, len);
        bool good = utf8_valid(id) && !slice_begins(id, NODE_ROOT) &&
                    are_good_entries(slice_of(id.data + len, body.len - ENTRIES_HEAD - len));
        return good ? id : none;
    }
    if (word->kind == MOVE_LAST) {
        if (body.len < LAST_HEAD)
            return none;
        body = slice_of(body.data + LAST_HEAD, body.len - LAST_HEAD);
    }
    if (!next_record(&body, &record) || !is_good_session(&record))
        return none;
    bool good = word->kind == MOVE_BEGIN ? are_good_subscriptions(body) : body.len % 2 == 0;
    return good ? record.id : none;
}

static err_t
to_client(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    struct slice id = client_of(word);
    if (id.len == 0)
        return ERR_MALFORMED;
    move_pass(nodes, shard, broker_home(nodes->broker, id), word);
    return OK;
}

static err_t
on_turned(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    const uint8_t *body = word->body.data;
    if (word->body.len != 6 || body[0] >= body[1] || body[1] > TRIE_SHARDS_MAX)
        return ERR_MALFORMED;
    pass_to_all(nodes, shard, word);
    return OK;
}

static err_t
take(struct nodes *nodes, struct shard *shard, const struct move_word *word)
{
    switch (word->kind) {
    case MOVE_BEGIN:
        move_in_note(nodes, word);
        return to_client(nodes, shard, word);
    case MOVE_ENTRIES:
    case MOVE_LAST:
        return to_client(nodes, shard, word);
    case MOVE_BEGUN:
        return move_in_begun(nodes, shard, word);
    case MOVE_READY:
        move_out_ready(nodes, word);
        return OK;
    case MOVE_TURN:
        if (word->body.len != 4 || word->number == MOVE_ANY)
            return ERR_MALFORMED;
        turn_begin(nodes, shard, word);
        return OK;
    case MOVE_TURNED:
        return on_turned(nodes, shard, word);
    case MOVE_END:
        turn_end(nodes, shard, word->from, word->number);
        pass_to_all(nodes, shard,
                    &(struct move_word){word->from, MOVE_END, move_in_over(nodes, word), {0}});
        return OK;
    default:
        return OK; // a later version's
    }
}

err_t
move_heard(struct nodes *nodes, struct link *link, struct shard *shard, struct slice bytes)
{
    must(link->shard == shard->index);
    if (bytes.len < MOVE_HEAD)
        return ERR_MALFORMED;
    struct move_word word = {
        .from = link->id,
        .kind = (enum move_kind)bytes.data[0],
        .number = get_u32(bytes.data + 1),
        .body = slice_of(bytes.data + MOVE_HEAD, bytes.len - MOVE_HEAD),
    };
    if (word.number < MOVE_NUMBER_MIN || word.number > MOVE_NUMBER_MAX)
        return ERR_MALFORMED;
    if (word.number == MOVE_ANY && !atomic_load(&nodes->move->active))
        return OK; // there is nothing that could end
    atomic_store(&nodes->move->active, true);
    return take(nodes, shard, &word);
}

// ---- The tick -----------------------------------------------------------------------------------

void
move_tick(struct nodes *nodes, struct shard *shard)
{
    if (likely(!atomic_load_explicit(&nodes->move->active, memory_order_relaxed)))
        return;
    turn_tick(nodes, shard);
    move_out_tick(nodes, shard);
    move_in_tick(nodes, shard);
}

uint64_t
move_all_shards(const struct nodes *nodes)
{
    unsigned count = nodes->broker->shard_count;
    must(count > 0 && count <= 64);
    return count == 64 ? UINT64_MAX : (UINT64_C(1) << count) - 1;
}

bool
move_has_news(struct nodes *nodes, const struct shard *shard)
{
    const struct move *move = nodes->move;
    if (likely(!atomic_load_explicit(&move->active, memory_order_relaxed)))
        return false;
    const struct move_shard *mine = &move->shards[shard->index];
    return mine->round != atomic_load_explicit(&move->round, memory_order_acquire) ||
           move_out_has_work(nodes, shard);
}

void
move_wake(struct nodes *nodes)
{
    if (atomic_load_explicit(&nodes->move->active, memory_order_relaxed))
        nodes_wake_all(nodes);
}
