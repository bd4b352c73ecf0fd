// wills.c - the Wills of other nodes' clients: published once, when their node does not do it.
//
// Each node tells the others the Wills of its clients, and when they are used up or withdrawn. They
// keep them. When a node is held dead and no link to it stands for WILLS_AFTER_MS, the Wills of its
// clients are due, each after its delay; when it is back as another process, those of sessions that
// it has no longer. Of the nodes that live, the one that comes first for the client identifier
// publishes (home.h), and tells all; the next ones do if that is not told in time. A node that is
// back waits for NODE_WILL_HOLD_MS with those that it has kept, and is told by then.
//
// A client that comes to a living node while its own is held dead, or is lost: that node publishes
// its Will before it lets it in, as one node does at a takeover. Lost: both connections have ended
// without a word, as when a process is killed; gossip knows it some seconds later. Should the node
// live, it is told `willed` before the claim of that client, since both wait for it in one queue:
// so it ends the old connection without publishing once more. So also when its own has just come
// back as another process, until shortly before that publishes what it has kept. While its own
// lives, that one publishes when it hears of the claim, and the client is let in when it says so:
// wills_out. A Will that comes too late is dropped: it would say of a client that is back that it
// is gone.
#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "cluster/home.h"
#include "cluster/nodes_parts.h"
#include "cluster/will_word.h"
#include "cluster/wire_int.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/client_out.h"
#include "core/codec.h"
#include "core/journal.h"
#include "core/msg.h"
#include "core/route.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/topic.h"

#define WILLS_AFTER_MS 10000u // a node is held dead for so long, and no link to it stands
#define LOST_MS        10000u // by then gossip holds it dead, or it lives
#define WILLS_NEXT_MS  5000u  // until the next node publishes, if the one before has not
#define TAKEN_MS       1000u  // who comes from a node that lives is let in by then
#define OVER_MS        3000u  // after it is back; well before NODE_WILL_HOLD_MS, when it publishes
#define WILLS_IN_LOOK  64u    // published in one go
#define WILLED_HEAD    (8u + NODE_ID_LEN)

struct held_will {
    uint8_t *entry; // as it was told; NULL: the place is free
    uint32_t len;
    bool orphan;    // its node is back, and has the session no longer
    bool over;      // its node is back, and is to publish it: the connection ended with the process
    uint64_t taker; // claim with which the client has come elsewhere since; 0 = it has not
    uint64_t taken_ms; // until then a connection here waits for it; 0 = none
    uint64_t claim, incarnation, round;
    uint64_t due_ms; // 0: its node lives
};

struct entry {
    uint8_t kind, flags;
    uint16_t port;
    uint64_t number; // claim, or round
    uint32_t shards, delay_s;
    uint64_t expiry_ms;
    struct slice id, topic, props, payload, user;
};

// ---- Words --------------------------------------------------------------------------------------

static struct slice
take_text(const uint8_t **at, const uint8_t *end, uint32_t len, bool *bad)
{
    *bad |= len > (size_t)(end - *at);
    struct slice text = slice_of(*at, *bad ? 0 : len);
    *at += text.len;
    return text;
}

static bool
will_is_good(const struct entry *e)
{
    return e->flags <= (WILL_QOS | WILL_RETAIN | WILL_USER | WILL_RIGHTS) &&
           (e->flags & WILL_QOS) <= 2 && ((e->flags & WILL_USER) || e->user.len == 0) &&
           topic_name_check(e->topic) == OK && !topic_is_reserved(e->topic) &&
           utf8_valid(e->topic) && utf8_valid(e->user) && codec_props_forwarded(e->props) &&
           e->expiry_ms <= (uint64_t)UINT32_MAX * 1000;
}

// The first entry of what is left of a word. NULL: it is none.
static const uint8_t *
read_entry(const uint8_t *at, const uint8_t *end, struct entry *ret)
{
    bool bad = false;
    if ((size_t)(end - at) < ENTRY_HEAD || at[0] > ENTRY_END)
        return NULL;
    *ret = (struct entry){.kind = at[0], .number = get_u64(at + 1)};
    uint32_t len = get_u16(at + 9);
    const uint8_t *head = at + ENTRY_HEAD;
    if (ret->kind == ENTRY_BEGIN || ret->kind == ENTRY_END) {
        ret->shards = len;
        return len > 0 && len <= TRIE_SHARDS_MAX ? head : NULL;
    }
    at = ret->kind == ENTRY_WILL ? head + WILL_HEAD : head;
    if (at > end || len == 0 || ret->number > CLAIM_MAX)
        return NULL;
    ret->id = take_text(&at, end, len, &bad);
    if (ret->kind == ENTRY_WILL && !bad) {
        ret->flags = head[0];
        ret->port = (uint16_t)get_u16(head + 1);
        ret->delay_s = get_u32(head + 3);
        ret->expiry_ms = get_u64(head + 7);
        ret->topic = take_text(&at, end, get_u16(head + 15), &bad);
        ret->props = take_text(&at, end, get_u32(head + 17), &bad);
        ret->payload = take_text(&at, end, get_u32(head + 21), &bad);
        ret->user = take_text(&at, end, get_u16(head + 25), &bad);
        bad = bad || !will_is_good(ret);
    }
    return bad || !utf8_valid(ret->id) ? NULL : at;
}

// ---- What is held: with nodes->wills_mutex ------------------------------------------------------

// Is it held dead, or was it lost, and gossip may not know yet?
static bool
is_away(const struct link *link, uint64_t now_ms)
{
    bool lost = link->lost_ms != 0 && now_ms < link->lost_ms + LOST_MS;
    return atomic_load(&link->dead_ms) != 0 || (lost && !atomic_load(&link->left));
}

static struct held_will *
find(struct link *link, struct slice id)
{
    uint32_t place = route_set_weight(&link->wills, id);
    must(place <= link->held_count && (place == 0 || link->held));
    return place > 0 ? &link->held[place - 1] : NULL;
}

static uint64_t
bytes_of(struct slice id, uint32_t len)
{
    return sizeof(struct held_will) + sizeof(struct route_entry) + id.len + len;
}

// It was looked at when it came.
static void
read_held(const uint8_t *entry, uint32_t len, struct entry *ret)
{
    const uint8_t *end = read_entry(entry, entry + len, ret);
    must(end && end == entry + len && ret->kind == ENTRY_WILL);
}

// Connections that wait in wills_out look again.
static void
look_again(struct nodes *nodes, unsigned shard)
{
    atomic_store(&nodes->inboxes[shard].wills_out, true);
    broker_wake(nodes->broker, shard);
}

static void
drop_place(struct nodes *nodes, struct link *link, struct held_will *held)
{
    struct entry e;
    read_held(held->entry, held->len, &e);
    if (held->taken_ms != 0)
        look_again(nodes, broker_home(nodes->broker, e.id));
    (void)route_set_put(&link->wills, e.id, 0);
    atomic_fetch_sub(&nodes->wills_bytes, bytes_of(e.id, held->len));
    atomic_fetch_sub(&nodes->wills_held, 1);
    atomic_fetch_sub(&link->wills_count, 1);
    mem_free(held->entry);
    *held = (struct held_will){0};
    link->held_free = min_u32(link->held_free, (uint32_t)(held - link->held));
}

// The connections of a process that is killed end without a word. One that lives says DISCONNECT
// when it ends one, and where the network is cut they are given up here.
void
wills_note_ways(struct nodes *nodes, struct link *link, const struct session *session, bool up)
{
    must(session->node && session->client && session->shard->index == link->shard);
    link->parted = !up && (link->parted || session->client->want_close);
    pthread_mutex_lock(&nodes->wills_mutex);
    link->stands = up || link->session || link->comes;
    if (!link->stands && !link->parted)
        link->lost_ms = max_u64(session->shard->now_ms, 1);
    for (unsigned i = 0; i < nodes->broker->shard_count && !link->stands; i++)
        look_again(nodes, i);
    pthread_mutex_unlock(&nodes->wills_mutex);
}

static uint32_t
free_place(struct link *link)
{
    must(link->held || link->held_count == 0);
    while (link->held_free < link->held_count && link->held[link->held_free].entry)
        link->held_free++;
    if (link->held_free == link->held_count) {
        link->held = mem_grow(link->held, &link->held_cap, ++link->held_count, sizeof *link->held);
        link->held[link->held_free] = (struct held_will){0};
    }
    must(link->held && link->held_free < link->held_count);
    return link->held_free;
}

static bool
has_room(struct nodes *nodes, struct shard *shard, const struct link *link, const struct entry *e,
         uint32_t len)
{
    uint64_t max = shard->config->cluster.will_bytes_max;
    if (max == 0 || atomic_load(&nodes->wills_bytes) + bytes_of(e->id, len) <= max)
        return true;
    atomic_fetch_add(&nodes->wills_refused, 1);
    log_limited(shard->log, &shard->log_claims, shard->now_ms, LOG_T_WARNING,
                "Warning: no room for the Will of client %.*s of node %.8s: "
                "cluster_max_will_bytes.",
                (int)min_u32(e->id.len, 64), (const char *)e->id.data, link->id);
    return false;
}

static void
keep(struct nodes *nodes, struct link *link, struct shard *shard, uint64_t incarnation,
     const struct entry *e, struct slice bytes)
{
    struct held_will *held = find(link, e->id);
    if (held && held->claim > e->number)
        return;
    bool again = held && held->claim == e->number;
    bool over = again && (held->over || held->incarnation < incarnation);
    uint64_t taker = again ? held->taker : 0, taken_ms = again ? held->taken_ms : 0;
    if (held)
        drop_place(nodes, link, held);
    else if (e->number <= link->willed)
        return; // it was published, and its node did not know when it said this
    if (!has_room(nodes, shard, link, e, bytes.len))
        return;
    uint32_t place = free_place(link);
    must(link->held);
    link->held[place] = (struct held_will){
        .entry = mem_alloc(bytes.len),
        .len = bytes.len,
        .over = over,
        .taker = taker,
        .taken_ms = taken_ms,
        .claim = e->number,
        .incarnation = incarnation,
        .round = incarnation == link->wills_incarnation ? link->wills_round : 0,
    };
    memcpy(link->held[place].entry, bytes.data, bytes.len);
    (void)route_set_put(&link->wills, e->id, place + 1);
    atomic_fetch_add(&nodes->wills_bytes, bytes_of(e->id, bytes.len));
    atomic_fetch_add(&nodes->wills_held, 1);
    atomic_fetch_add(&link->wills_count, 1);
}

// All has been told: what was not is gone, or its node died with it.
static void
sweep(struct nodes *nodes, struct link *link, uint64_t now_ms)
{
    must(link->held || link->held_count == 0);
    link->lost_ms = 0;
    for (uint32_t i = 0; i < link->held_count; i++) {
        struct held_will *held = &link->held[i];
        struct entry e;
        if (!held->entry ||
            (held->incarnation == link->wills_incarnation && held->round == link->wills_round))
            continue;
        if (held->incarnation == link->wills_incarnation || held->taker || held->over) {
            drop_place(nodes, link, held);
            continue;
        }
        read_held(held->entry, held->len, &e);
        held->orphan = true;
        held->due_ms = held->due_ms ? held->due_ms : now_ms + e.delay_s * UINT64_C(1000);
        atomic_store(&link->orphans, true);
    }
}

bool
wills_begun(struct nodes *nodes, const struct link *link)
{
    pthread_mutex_lock(&nodes->wills_mutex);
    bool begun = link->wills_round != 0;
    pthread_mutex_unlock(&nodes->wills_mutex);
    return begun;
}

static void
take_mark(struct nodes *nodes, struct link *link, uint64_t incarnation, const struct entry *e,
          uint64_t now_ms)
{
    if (e->kind == ENTRY_BEGIN) {
        if (incarnation < link->wills_incarnation ||
            (incarnation == link->wills_incarnation && e->number <= link->wills_round))
            return;
        if (incarnation > link->wills_incarnation)
            link->life_ms = now_ms;
        link->wills_incarnation = incarnation;
        link->wills_round = e->number;
        link->wills_told = 0;
    } else if (incarnation == link->wills_incarnation && e->number == link->wills_round &&
               ++link->wills_told == e->shards) {
        sweep(nodes, link, now_ms);
    }
}

err_t
wills_heard(struct nodes *nodes, struct link *link, struct shard *shard, struct slice word)
{
    const uint8_t *at = word.data + WORD_HEAD, *end = word.data + word.len;
    if (word.len <= WORD_HEAD)
        return ERR_MALFORMED;
    uint64_t incarnation = get_u64(word.data);
    err_t err = OK;
    must(link->shard == shard->index);
    pthread_mutex_lock(&nodes->wills_mutex);
    while (err == OK && at < end) {
        struct entry e;
        const uint8_t *next = read_entry(at, end, &e);
        if (!next)
            err = ERR_MALFORMED;
        else if (e.kind == ENTRY_BEGIN || e.kind == ENTRY_END)
            take_mark(nodes, link, incarnation, &e, shard->now_ms);
        else if (incarnation < link->wills_incarnation ||
                 incarnation <= atomic_load(&link->left_life))
            ; // of a life that is over, and told late: its queue had it when it ended
        else if (e.kind == ENTRY_WILL)
            keep(nodes, link, shard, incarnation, &e, slice_of(at, (size_t)(next - at)));
        else if (find(link, e.id) && find(link, e.id)->claim <= e.number)
            drop_place(nodes, link, find(link, e.id));
        at = next;
    }
    pthread_mutex_unlock(&nodes->wills_mutex);
    return err;
}

// ---- Publishing ---------------------------------------------------------------------------------

static bool
may_publish(const struct shard *shard, const struct entry *e, const struct msg_source *source)
{
    return (e->flags & WILL_RIGHTS) || session_source_may(shard, source, e->topic);
}

static void
tell_published(struct shard *shard, const struct link *link, const struct entry *e)
{
    uint32_t len = WILLED_HEAD + e->id.len;
    uint8_t *bytes = mem_alloc(len);
    put_u64(bytes, e->number);
    memcpy(bytes + 8, link->id, NODE_ID_LEN);
    memcpy(bytes + WILLED_HEAD, e->id.data, e->id.len);
    link_publish(shard, TOPIC_WILLED, slice_of(bytes, len), 1);
    mem_free(bytes);
}

// Takes entry, which is held no longer.
static void
publish(struct nodes *nodes, struct shard *shard, const struct link *link, uint8_t *entry,
        uint32_t len)
{
    struct entry e;
    read_held(entry, len, &e);
    struct msg_source source = {
        .user = (e.flags & WILL_USER) ? e.user : (struct slice){0},
        .client_id = e.id,
        .port = e.port,
    };
    if (may_publish(shard, &e, &source)) {
        bool retain = e.flags & WILL_RETAIN;
        struct pub pub = {
            .topic = e.topic,
            .props = e.props,
            .payload = e.payload,
            .expires_ms = e.expiry_ms ? shard->now_ms + e.expiry_ms : 0,
            // Its session had another there; 0 would be the broker itself.
            .publisher = atomic_fetch_add(&nodes->broker->next_session_number, 1),
            .arrived_ms = shard->now_ms,
            .qos = e.flags & WILL_QOS,
            .retain = retain,
            .source = retain && shard->access && !(e.flags & WILL_RIGHTS) ? &source : NULL,
        };
        struct route_result result;
        err_t err = route_publish(shard, &pub, &result);
        if (err)
            route_count_unretained(shard_listener(shard, LISTENER_NONE), err);
        stat_add(&shard->stats.wills_published, 1);
        atomic_fetch_add(&nodes->wills_published, 1);
        pub_done(&pub);
    } else {
        stat_add(&shard_listener(shard, LISTENER_NONE)->dropped_not_allowed, 1);
        log_limited(shard->log, &shard->log_denied, shard->now_ms, LOG_T_NOTICE,
                    "Client %.*s of node %.8s: its Will is not allowed.",
                    (int)min_u32(e.id.len, 64), (const char *)e.id.data, link->id);
    }
    tell_published(shard, link, &e); // or refused: by all alike
    mem_free(entry);
}

// What was held, taken out: NULL if there is nothing.
static uint8_t *
take_out(struct nodes *nodes, struct link *link, struct held_will *held, uint32_t *ret_len)
{
    must(held->entry && held->len > ENTRY_HEAD + WILL_HEAD);
    uint8_t *entry = mem_alloc(held->len);
    memcpy(entry, held->entry, held->len);
    *ret_len = held->len;
    link->willed = max_u64(link->willed, held->claim);
    drop_place(nodes, link, held);
    return entry;
}

void
wills_takeover(struct nodes *nodes, const struct session *session, struct ack_wait *wait)
{
    struct shard *shard = session->shard;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    if (likely(atomic_load_explicit(&nodes->wills_held, memory_order_relaxed) == 0))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        uint8_t *entry = NULL;
        uint32_t len = 0;
        if (atomic_load_explicit(&link->wills_count, memory_order_relaxed) == 0)
            continue;
        pthread_mutex_lock(&nodes->wills_mutex);
        struct held_will *held = find(link, session_id(session));
        // It is not told of the client yet, perhaps. Later it is, and must not publish as well.
        bool over = held && held->over && held->incarnation == link->wills_incarnation &&
                    shard->now_ms < link->life_ms + OVER_MS;
        bool due = held && (held->orphan || over || is_away(link, shard->now_ms));
        if (due && held->taker) { // it was back before that, and this is a later end
            drop_place(nodes, link, held);
        } else if (due) {
            entry = take_out(nodes, link, held, &len);
        } else if (held) { // its node publishes it when it hears of this
            held->taker = session->claim;
            held->taken_ms = link->stands ? shard->now_ms + TAKEN_MS : 0;
            wait->taken_ms = max_u64(wait->taken_ms, held->taken_ms);
        }
        pthread_mutex_unlock(&nodes->wills_mutex);
        if (entry)
            publish(nodes, shard, link, entry, len);
    }
}

bool
wills_out(struct cluster *cluster, const struct session *session)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    bool out = true;
    for (uint32_t i = 0; i < count && out; i++) {
        struct link *link = nodes->links[i];
        if (atomic_load_explicit(&link->wills_count, memory_order_relaxed) == 0)
            continue;
        pthread_mutex_lock(&nodes->wills_mutex);
        const struct held_will *held = find(link, session_id(session));
        bool waits = held && held->taker == session->claim && held->taken_ms != 0;
        // One that is away is published in this tick, or the next.
        out = !waits || !(link->stands || is_away(link, session->shard->now_ms));
        pthread_mutex_unlock(&nodes->wills_mutex);
    }
    return out;
}

// Those that connections of this shard wait for, and that their node will not publish any more.
static void
publish_taken(struct nodes *nodes, struct shard *shard, struct link *link)
{
    uint32_t at = 0, len = 0;
    uint8_t *entry;
    do {
        entry = NULL;
        pthread_mutex_lock(&nodes->wills_mutex);
        bool away = !link->stands && is_away(link, shard->now_ms); // else it may, and heard first
        for (; away && at < link->held_count && !entry; at++) {
            struct held_will *held = &link->held[at];
            struct entry e;
            if (!held->entry || held->taken_ms <= shard->now_ms)
                continue;
            read_held(held->entry, held->len, &e);
            if (broker_home(nodes->broker, e.id) == shard->index)
                entry = take_out(nodes, link, held, &len);
        }
        pthread_mutex_unlock(&nodes->wills_mutex);
        if (entry)
            publish(nodes, shard, link, entry, len);
    } while (entry);
}

void
wills_superseded(struct nodes *nodes, const struct link *by, struct slice id, uint64_t claim)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (atomic_load_explicit(&link->wills_count, memory_order_relaxed) == 0)
            continue;
        pthread_mutex_lock(&nodes->wills_mutex);
        struct held_will *held = find(link, id);
        if (held && link != by && held->claim < claim) {
            held->taker = claim;
            held->taken_ms = 0; // it waits there
        } else if (held && link == by && held->claim <= claim &&
                   held->incarnation < link->wills_incarnation) {
            held->over = true; // the session is there still: its Will follows, or is used up
            if (held->claim < claim)
                drop_place(nodes, link, held); // or again
        }
        pthread_mutex_unlock(&nodes->wills_mutex);
    }
}

err_t
wills_willed(struct nodes *nodes, struct shard *shard, struct slice word,
             struct claim_record *ret_record, struct slice *ret_id)
{
    if (word.len <= WILLED_HEAD || word.len - WILLED_HEAD > UINT16_MAX)
        return ERR_MALFORMED;
    *ret_record = (struct claim_record){.claim = get_u64(word.data), .willed = true};
    memcpy(ret_record->node, word.data + 8, NODE_ID_LEN);
    *ret_id = slice_of(word.data + WILLED_HEAD, word.len - WILLED_HEAD);
    if (ret_record->claim > CLAIM_MAX || !utf8_valid(*ret_id))
        return ERR_MALFORMED;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    must(shard->broker == nodes->broker);
    pthread_mutex_lock(&nodes->wills_mutex);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (memcmp(link->id, ret_record->node, NODE_ID_LEN) != 0)
            continue;
        struct held_will *held = find(link, *ret_id);
        if (is_away(link, shard->now_ms)) // else older ones may still be told, and hold
            link->willed = max_u64(link->willed, ret_record->claim);
        if (held && held->claim <= ret_record->claim)
            drop_place(nodes, link, held);
    }
    pthread_mutex_unlock(&nodes->wills_mutex);
    return OK;
}

void
wills_used_up(struct session *session, uint64_t claim)
{
    must(!session->node);
    if (session->claim != claim || !session->will)
        return;
    session_drop_will(session);
    if (session->client) // others hold it for gone: it is to come again, and say what holds
        client_fail(session->client, ERR_ADMINISTRATIVE);
    else
        session_journal(session);
}

// ---- When it is due -----------------------------------------------------------------------------

// Those that may publish for that node: we, and who lives.
static uint32_t
living(struct nodes *nodes, const struct link *dead, struct gossip_uuid *ret)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire), n = 0;
    ret[n++] = nodes->identity.uuid;
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (link != dead && atomic_load(&link->alive) && uuid_read(link->id, &ret[n]))
            n++;
    }
    return n;
}

// Is it due here, now? Before it is, notes when it will be.
static bool
is_due(struct nodes *nodes, struct link *link, struct held_will *held, uint64_t now_ms,
       const struct gossip_uuid *members, uint32_t count)
{
    struct entry e;
    uint64_t dead_ms = atomic_load(&link->dead_ms);
    bool forgotten = atomic_load(&link->forgotten); // its sessions have ended
    bool dead = dead_ms != 0 && !atomic_load(&link->up) &&
                (forgotten || now_ms >= dead_ms + WILLS_AFTER_MS);
    if (!held->orphan && !dead) {
        held->due_ms = 0;
        return false;
    }
    read_held(held->entry, held->len, &e);
    if (held->due_ms == 0)
        held->due_ms = now_ms + e.delay_s * UINT64_C(1000);
    if (forgotten)
        held->due_ms = min_u64(held->due_ms, now_ms);
    must(held->due_ms != 0 && count >= 1);
    if (held->due_ms > now_ms)
        return false;
    uint64_t rank = home_rank(members, count, &nodes->identity.uuid, e.id);
    return held->due_ms + rank * WILLS_NEXT_MS <= now_ms;
}

static void
look_at(struct nodes *nodes, struct shard *shard, struct link *link)
{
    struct gossip_uuid members[CLUSTER_NODES_MAX + 1];
    uint8_t *entries[WILLS_IN_LOOK];
    uint32_t lens[WILLS_IN_LOOK], n = 0, count = living(nodes, link, members);
    bool orphans = false, left = atomic_load(&link->left);
    pthread_mutex_lock(&nodes->wills_mutex);
    for (uint32_t i = 0; i < link->held_count && n < WILLS_IN_LOOK; i++) {
        struct held_will *held = &link->held[i];
        if (!held->entry)
            continue;
        // One that leaves has published what it was to, and keeps what waits; but not of a life
        // before: it left before it had told what it has, or had published that.
        bool kept = left && held->incarnation >= atomic_load(&link->left_life) && !held->over;
        held->orphan |= left;
        orphans |= held->orphan;
        if (kept)
            drop_place(nodes, link, held);
        else if (is_due(nodes, link, held, shard->now_ms, members, count)) {
            if (held->taker)
                drop_place(nodes, link, held);
            else
                entries[n] = take_out(nodes, link, held, &lens[n]), n++;
        }
    }
    atomic_store(&link->orphans, orphans || n == WILLS_IN_LOOK);
    pthread_mutex_unlock(&nodes->wills_mutex);
    for (uint32_t i = 0; i < n; i++)
        publish(nodes, shard, link, entries[i], lens[i]);
}

void
wills_tick(struct nodes *nodes, struct shard *shard)
{
    struct inbox *inbox = &nodes->inboxes[shard->index];
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    if (unlikely(atomic_load_explicit(&inbox->wills_out, memory_order_relaxed)) &&
        atomic_exchange(&inbox->wills_out, false)) {
        for (uint32_t i = 0; i < count; i++)
            if (atomic_load(&nodes->links[i]->wills_count) > 0)
                publish_taken(nodes, shard, nodes->links[i]);
        shard->news = true; // who waits looks again
    }
    if (likely(!atomic_load_explicit(&inbox->look_at_wills, memory_order_relaxed)) ||
        !atomic_exchange(&inbox->look_at_wills, false))
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (link->shard == shard->index && atomic_load(&link->wills_count) > 0)
            look_at(nodes, shard, link);
    }
}

void
wills_note_node(struct nodes *nodes, struct link *link, enum gossip_state state,
                uint64_t incarnation, uint64_t now_ms)
{
    // One that was forgotten has died, and did not leave in order.
    bool forgotten = state == GOSSIP_LEFT && atomic_load(&link->forgotten);
    bool dead = state == GOSSIP_DEAD || forgotten, left = state == GOSSIP_LEFT && !forgotten;
    must(state <= GOSSIP_LEFT && link->shard < nodes->broker->shard_count);
    if (dead != (atomic_load(&link->dead_ms) != 0))
        atomic_store(&link->dead_ms, dead ? max_u64(now_ms, 1) : 0);
    atomic_store(&link->left, left);
    if (left)
        atomic_store(&link->left_life, incarnation);
    atomic_store(&link->alive, !dead && !left);
    if (atomic_load(&link->wills_count) == 0 || (!dead && !left && !atomic_load(&link->orphans)))
        return;
    atomic_store(&nodes->inboxes[link->shard].look_at_wills, true);
    broker_wake(nodes->broker, link->shard);
}

void
wills_drop(struct nodes *nodes, struct link *link)
{
    pthread_mutex_lock(&nodes->wills_mutex);
    for (uint32_t i = 0; i < link->held_count; i++)
        if (link->held[i].entry)
            drop_place(nodes, link, &link->held[i]);
    must(atomic_load(&link->wills_count) == 0);
    pthread_mutex_unlock(&nodes->wills_mutex);
}

void
wills_free(struct link *link)
{
    for (uint32_t i = 0; i < link->held_count; i++)
        mem_free(link->held[i].entry);
    mem_free(link->held);
    route_set_free(&link->wills);
}
