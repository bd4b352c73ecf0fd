// control.c - what an operator's program asks of the shards while they serve.
#include "core/control.h"

#include <errno.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/client.h"
#include "core/client_out.h"
#include "core/cluster.h"
#include "core/explain.h"
#include "core/record.h"
#include "core/registry.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/topic.h"
#include "core/trace.h"

#define DESK_MAGIC 0x4445534bu
// Topics that go in a tick: each may be journaled, and told to other nodes.
#define FORGET_STEP 64u

struct CACHE_ALIGNED slot {
    _Atomic(struct control_question *) question; // NULL: none, or it is done
};

struct control_desk {
    uint32_t magic;
    unsigned shard_count;
    int fd;
    _Atomic uint64_t bytes;
    struct slot slots[TRIE_SHARDS_MAX];
};

// ---- The desk -----------------------------------------------------------------------------------

struct control_desk *
control_desk_new(unsigned shard_count)
{
    must(shard_count >= 1 && shard_count <= TRIE_SHARDS_MAX);
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return NULL;
    struct control_desk *desk = mem_alloc_aligned(CACHE_LINE, sizeof *desk);
    desk->magic = DESK_MAGIC;
    desk->shard_count = shard_count;
    desk->fd = fd;
    return desk;
}

void
control_desk_free(struct control_desk *desk)
{
    if (!desk)
        return;
    must(desk->magic == DESK_MAGIC);
    (void)close(desk->fd);
    desk->magic = 0;
    mem_free(desk);
}

int
control_desk_fd(const struct control_desk *desk)
{
    must(desk->magic == DESK_MAGIC);
    return desk->fd;
}

void
control_desk_set_bytes(struct control_desk *desk, uint64_t bytes)
{
    atomic_store_explicit(&desk->bytes, bytes, memory_order_relaxed);
}

uint64_t
control_desk_bytes(const struct control_desk *desk)
{
    return atomic_load_explicit(&desk->bytes, memory_order_relaxed);
}

void
control_give(struct broker *broker, unsigned shard, struct control_question *question)
{
    struct control_desk *desk = broker->control;
    must(desk && desk->magic == DESK_MAGIC && shard < desk->shard_count);
    atomic_store(&question->done, false);
    struct control_question *before = atomic_exchange(&desk->slots[shard].question, question);
    must(before == NULL);
    broker_wake(broker, shard);
}

bool
control_is_done(const struct control_question *question)
{
    return atomic_load_explicit(&question->done, memory_order_acquire);
}

void
control_cancel(struct control_question *question)
{
    atomic_store(&question->cancelled, true);
}

// ---- Rows ---------------------------------------------------------------------------------------

#define ROW_TEXTS 5u

static void
texts_of(struct control_row *row, struct slice *ret[ROW_TEXTS])
{
    ret[0] = &row->id;
    ret[1] = &row->user;
    ret[2] = &row->peer;
    ret[3] = &row->topic;
    ret[4] = &row->group;
}

void
control_rows_add(struct control_rows *rows, const struct control_row *row)
{
    struct control_row copy = *row;
    struct slice *texts[ROW_TEXTS];
    texts_of(&copy, texts);
    uint64_t len = sizeof copy;
    for (unsigned i = 0; i < ROW_TEXTS; i++)
        len += texts[i]->len;
    must(len <= UINT32_MAX - rows->len);
    rows->bytes = mem_grow(rows->bytes, &rows->cap, rows->len + (uint32_t)len, 1);
    memcpy(rows->bytes + rows->len, &copy, sizeof copy);
    rows->len += (uint32_t)sizeof copy;
    for (unsigned i = 0; i < ROW_TEXTS; i++) {
        if (texts[i]->len > 0)
            memcpy(rows->bytes + rows->len, texts[i]->data, texts[i]->len);
        rows->len += texts[i]->len;
    }
    rows->count++;
}

bool
control_rows_next(const struct control_rows *rows, uint32_t *at, struct control_row *ret)
{
    must(*at <= rows->len);
    if (*at == rows->len)
        return false;
    must(rows->len - *at >= sizeof *ret);
    memcpy(ret, rows->bytes + *at, sizeof *ret);
    *at += (uint32_t)sizeof *ret;
    struct slice *texts[ROW_TEXTS];
    texts_of(ret, texts);
    for (unsigned i = 0; i < ROW_TEXTS; i++) {
        must(texts[i]->len <= rows->len - *at);
        if (texts[i]->data) // an empty text is a text
            texts[i]->data = rows->bytes + *at;
        *at += texts[i]->len;
    }
    return true;
}

void
control_rows_free(struct control_rows *rows)
{
    mem_free(rows->bytes);
    *rows = (struct control_rows){0};
}

// ---- What is said of a session ------------------------------------------------------------------

// Entries that are looked at for it: those at the front may have been released, or be retained
// messages, which came long before.
#define OLDEST_LOOK 16u

static uint64_t
oldest_ms(const struct session *session)
{
    const struct deliveries *out = &session->out;
    uint64_t end = min_u64(out->loaded, out->head + OLDEST_LOOK);
    for (uint64_t seq = out->head; seq < end; seq++) {
        const struct delivery *entry = deliveries_at(out, seq);
        if (entry->state != DELIVERY_DONE && entry->msg && !entry->retain)
            return entry->msg->arrived_ms;
    }
    return 0;
}

static void
add_session(struct control_question *question, const struct session *session)
{
    const struct client *client = session->client;
    struct control_row row = {
        .id = session_id(session),
        .expiry_s = session->expiry_s,
        .expires_ms = session->expires_ms,
        .queued = deliveries_waiting(&session->out),
        .inflight = session->out.inflight,
        .sub_count = session->sub_count,
        .messages_in = session->messages_in,
        .messages_out = session->messages_out,
        .version = session->version,
        .dropped = session->dropped,
        .oldest_ms = oldest_ms(session),
    };
    if (session->user)
        row.user = slice_str(session->user);
    if (session->will) {
        row.topic = msg_topic(session->will->msg);
        row.will_qos = session->will->msg->qos;
        row.will_retain = session->will->msg->retain;
        row.will_delay_s = session->will->delay_s;
    }
    if (client) {
        row.peer = slice_str(client->peer);
        row.connected_ms =
            session->shard->broker->started_ms + (uint64_t)client->connected_s * 1000;
        row.keep_alive_s = client->keep_alive_s;
        row.output_bytes = outq_bytes(&client->out);
        row.listener = client->listener_index;
    }
    control_rows_add(&question->rows, &row);
}

static void
add_subscription(struct control_question *question, const struct session *session, uint32_t i)
{
    struct record record = {0};
    session_sub_record(session, i, &record);
    if (question->filter.len > 0 && !control_filter_holds(question->filter, record.filter))
        return;
    struct control_row row = {
        .id = session_id(session),
        .topic = record.filter,
        .group = record.group.len > 0 ? record.group : slice_of(NULL, 0),
        .subscription_id = record.subscription_id,
        .version = session->version,
        .options = {.qos = record.qos & 3u,
                    .no_local = record.no_local,
                    .retain_as_published = record.retain_as_published},
    };
    control_rows_add(&question->rows, &row);
}

static bool
has_part(struct slice text, struct slice part)
{
    return text.len >= part.len && memmem(text.data, text.len, part.data, part.len) != NULL;
}

static bool
has_waiting(const struct session *session)
{
    const struct client *client = session->client;
    return !deliveries_empty(&session->out) || (client && outq_bytes(&client->out) > 0);
}

static bool
is_wanted(const struct control_question *question, const struct session *session)
{
    const struct client *client = session->client;
    if (session->node || session->hidden || (!client && !question->away) ||
        (question->waiting && !has_waiting(session)))
        return false;
    struct slice part = question->text;
    return part.len == 0 || has_part(session_id(session), part) ||
           (session->user && has_part(slice_str(session->user), part)) ||
           (client && has_part(slice_str(client->peer), part));
}

bool
control_filter_holds(struct slice filter, struct slice inner)
{
    struct slice mine, its;
    while (topic_next_level(&filter, &mine)) {
        if (slice_equal(mine, slice_str("#")))
            return true; // "a/#" holds "a", too
        if (!topic_next_level(&inner, &its))
            return false;
        bool any = slice_equal(its, slice_str("#"));
        if (slice_equal(mine, slice_str("+")) ? any : !slice_equal(mine, its))
            return false;
    }
    return !topic_next_level(&inner, &its);
}

// ---- Walks --------------------------------------------------------------------------------------

bool
control_is_full(const struct control_question *question)
{
    return question->rows.count >= question->rows_max || question->rows.len >= question->bytes_max;
}

static uint32_t
walk_clients(struct control_question *question, const struct session *bucket)
{
    uint32_t steps = 1;
    for (const struct session *session = bucket; session; session = session->chain, steps++)
        if (is_wanted(question, session))
            add_session(question, session);
    return steps;
}

// Its subscriptions from where the place says, counted from the last one: the last takes the place
// of one that goes, and would else be left out. True: all of them were seen.
static bool
walk_session(struct control_question *question, const struct session *session, uint32_t *steps)
{
    struct control_place *place = &question->place;
    uint32_t left = place->subs ? min_u32(place->subs - 1, session->sub_count) : session->sub_count;
    while (left > 0 && *steps < CONTROL_STEP && !control_is_full(question)) {
        add_subscription(question, session, --left);
        ++*steps;
    }
    place->subs = left > 0 ? left + 1 : 0;
    return left == 0;
}

static const struct session *
next_by_number(const struct session *bucket, uint64_t number)
{
    const struct session *found = NULL;
    for (const struct session *session = bucket; session; session = session->chain)
        if (session->number >= number && (!found || session->number < found->number))
            found = session;
    return found;
}

// True: the bucket is done.
static bool
walk_subscriptions(struct control_question *question, const struct session *bucket, uint32_t *steps)
{
    struct control_place *place = &question->place;
    for (;;) {
        const struct session *session = next_by_number(bucket, place->number);
        ++*steps;
        if (!session)
            return true;
        if (session->number != place->number)
            place->subs = 0; // the one where the walk was has gone
        place->number = session->number;
        if (!session->node && !session->hidden && !walk_session(question, session, steps))
            return false;
        place->number++;
        place->subs = 0;
    }
}

// True: the shard is done, or the answer is full.
static bool
walk(struct control_question *question, const struct shard *shard)
{
    struct control_place *place = &question->place;
    for (uint32_t steps = 0; steps < CONTROL_STEP && !control_is_full(question);) {
        if (place->bucket >= REGISTRY_END)
            return true;
        uint64_t next;
        const struct session *bucket = registry_bucket(shard->registry, place->bucket, &next);
        if (question->kind == CONTROL_CLIENTS)
            steps += walk_clients(question, bucket);
        else if (!walk_subscriptions(question, bucket, &steps))
            continue;
        *place = (struct control_place){.bucket = next};
    }
    return control_is_full(question) || place->bucket >= REGISTRY_END;
}

static bool
walk_one(struct control_question *question, const struct session *session)
{
    uint32_t steps = 0;
    if (!session || walk_session(question, session, &steps))
        question->place.bucket = REGISTRY_END;
    return question->place.bucket == REGISTRY_END || control_is_full(question);
}

// ---- What changes something ---------------------------------------------------------------------

static void
kick(struct session *session)
{
    struct client *client = session->client;
    if (client && client->state == CLIENT_CONNECTED)
        client_fail(client, ERR_ADMINISTRATIVE);
}

// A message that clears, as a client would send it; but nobody is sent it.
static bool
forget(struct shard *shard, struct slice topic)
{
    if (!retained_get(shard->broker->retained, topic))
        return false;
    struct pub pub = {
        .topic = topic,
        .arrived_ms = shard->now_ms,
        .retain = true,
        .publisher = UINT64_MAX, // not the broker's own: it is journaled, and told to other nodes
    };
    uint64_t telling; // nobody is told when it is safe
    err_t err = route_retain(shard, &pub, &telling);
    must(err == OK); // there is no limit for what goes
    pub_done(&pub);
    return true;
}

static bool
forget_some(struct control_question *question, struct shard *shard)
{
    struct control_row row;
    for (unsigned i = 0; i < FORGET_STEP; i++) {
        if (!control_rows_next(&question->rows, &question->at, &row))
            return true;
        question->found += forget(shard, row.topic);
    }
    return false;
}

// First the client as it is, then what decides.
static void
explain(struct control_question *question, const struct session *session)
{
    add_session(question, session);
    if (question->kind == CONTROL_EXPLAIN_PUB)
        explain_publish(question, session);
    else
        explain_subscribe(question, session);
}

static void
look_at_nodes(struct control_question *question, const struct shard *shard)
{
    struct cluster *cluster = shard->broker->cluster;
    must(cluster != NULL);
    cluster->ops->look(cluster, shard);
    question->place.bucket = REGISTRY_END;
}

// ---- A tick's part ------------------------------------------------------------------------------

static struct session *
find(const struct control_question *question, const struct shard *shard)
{
    uint32_t hash = registry_hash(shard->registry, question->id);
    struct session *session = registry_find(shard->registry, question->id, hash);
    return session && !session->node && !session->hidden ? session : NULL;
}

// True: the question is done.
static bool
step(struct control_question *question, struct shard *shard)
{
    struct session *session = question->id.data ? find(question, shard) : NULL;
    switch (question->kind) {
    case CONTROL_CLIENTS:
        return walk(question, shard);
    case CONTROL_SUBSCRIPTIONS:
        return question->id.data ? walk_one(question, session) : walk(question, shard);
    case CONTROL_FORGET:
        return forget_some(question, shard);
    case CONTROL_NODES:
        look_at_nodes(question, shard);
        return true;
    case CONTROL_CLIENT:
    case CONTROL_KICK:
        if (session)
            add_session(question, session);
        if (session && question->kind == CONTROL_KICK)
            kick(session);
        return true;
    case CONTROL_EXPLAIN_PUB:
    case CONTROL_EXPLAIN_SUB:
        if (session)
            explain(question, session);
        return true;
    case CONTROL_MATCHES:
        return explain_matches(question, shard);
    case CONTROL_TRACE:
        return trace_take(question, shard);
    }
    return true;
}

static struct slot *
slot_of(const struct shard *shard)
{
    struct control_desk *desk = shard->broker->control;
    return desk ? &desk->slots[shard->index] : NULL;
}

bool
control_is_busy(const struct shard *shard)
{
    const struct slot *slot = slot_of(shard);
    return slot && atomic_load_explicit(&slot->question, memory_order_relaxed) != NULL;
}

void
control_continue(struct shard *shard)
{
    struct slot *slot = slot_of(shard);
    if (likely(!slot))
        return;
    struct control_question *question = atomic_load_explicit(&slot->question, memory_order_acquire);
    if (likely(!question))
        return;
    if (!atomic_load(&question->cancelled) && !step(question, shard))
        return;
    // From the second of these on it is not ours any more.
    atomic_store_explicit(&slot->question, NULL, memory_order_relaxed);
    atomic_store_explicit(&question->done, true, memory_order_release);
    int rc = eventfd_write(shard->broker->control->fd, 1);
    must(rc == 0 || errno == EAGAIN); // then it is readable anyway
}
