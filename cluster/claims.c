// claims.c - one connection and one session for a client identifier, in all nodes.
//
// Each CONNECT makes a claim: a number that is higher than all that its node has made or heard of,
// and not lower than its clock in ms. The claim is told to all nodes, and a node that has a
// connection or a session for that identifier compares it with its own: the higher one stays (of
// equal ones that of the higher node), the lower one ends. Who hears a lower one answers with its
// own, and a new link begins with all claims of sessions and connections: so two nodes that could
// not hear each other agree as soon as they do, whatever became of the words meanwhile.
//
//   came      any number of: u8 1 = with a clean start, u64 claim, u16 length of the client
//             identifier, client identifier. To all: TOPIC_CAME, QoS 0, or 1 where a session
//             elsewhere is to end; to one node: TOPIC_CAME, '/' and its uuid, QoS 1
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "cluster/move.h"
#include "cluster/nodes_parts.h"
#include "cluster/wire_int.h"
#include "core/client_handlers.h"
#include "core/mail.h"
#include "core/msg.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/shard.h"

#define ENTRY_HEAD   11u
#define CLEAN        1u
#define WORD_BYTES   16384u // of one word that tells many, about
#define WALK_BUCKETS 64u
#define TOPIC_MAX    (sizeof TOPIC_CAME + 1 + NODE_ID_LEN)

// ---- The order ----------------------------------------------------------------------------------

static void
raise_to(struct nodes *nodes, uint64_t claim)
{
    uint64_t before = atomic_load_explicit(&nodes->claim, memory_order_relaxed);
    while (before < claim && !atomic_compare_exchange_weak(&nodes->claim, &before, claim))
        ;
}

uint64_t
claims_next(struct cluster *cluster, const struct session *session)
{
    struct nodes *nodes = nodes_of(cluster);
    struct shard *shard = session->shard;
    uint64_t wall_ms = shard->now_ms + broker_wall_offset(shard->broker);
    uint64_t before = atomic_load_explicit(&nodes->claim, memory_order_relaxed), claim;
    do
        claim = max_u64(max_u64(before, session->claim) + 1, wall_ms);
    while (!atomic_compare_exchange_weak(&nodes->claim, &before, claim));
    must(claim > session->claim && claim < UINT64_MAX);
    return claim;
}

// ---- Telling ------------------------------------------------------------------------------------

static uint8_t *
put_entry(uint8_t *at, const struct session *session, bool clean)
{
    must(session->id_len > 0 && session->id_len <= UINT16_MAX);
    at[0] = clean ? CLEAN : 0;
    put_u64(at + 1, session->claim);
    at[9] = (uint8_t)(session->id_len >> 8);
    at[10] = (uint8_t)session->id_len;
    memcpy(at + ENTRY_HEAD, session->id, session->id_len);
    return at + ENTRY_HEAD + session->id_len;
}

void
claims_came(struct cluster *cluster, struct session *session, bool clean, struct ack_wait *wait)
{
    char node[NODE_ID_LEN + 1];
    struct nodes *nodes = nodes_of(cluster);
    uint8_t *bytes = mem_alloc(ENTRY_HEAD + session->id_len);
    must(session->shard->broker->cluster == cluster && !session->node);
    wills_takeover(nodes, session, wait);
    uint32_t len = (uint32_t)(put_entry(bytes, session, clean) - bytes);
    // A session that is to end, on a node that may be away, waits for it as a message does: this
    // one may be gone before the node is back.
    bool waits = clean && reach_elsewhere(cluster, session_id(session), node);
    link_publish(session->shard, TOPIC_CAME, slice_of(bytes, len), waits ? 1 : 0);
    mem_free(bytes);
    if (session->will)
        wills_tell(nodes, session, wait);
}

static void
one_topic(const char *node, char ret_topic[TOPIC_MAX])
{
    int len = snprintf(ret_topic, TOPIC_MAX, "%s/%.*s", TOPIC_CAME, (int)NODE_ID_LEN, node);
    must(len == (int)TOPIC_MAX - 1);
}

void
claims_tell(const struct session *session, const char *node)
{
    char topic[TOPIC_MAX];
    uint8_t *bytes = mem_alloc(ENTRY_HEAD + session->id_len);
    one_topic(node, topic);
    uint32_t len = (uint32_t)(put_entry(bytes, session, false) - bytes);
    link_publish(session->shard, topic, slice_of(bytes, len), 1);
    mem_free(bytes);
}

void
claims_moved(struct session *session)
{
    struct nodes *nodes = nodes_of(session->shard->broker->cluster);
    uint8_t *bytes = mem_alloc(ENTRY_HEAD + session->id_len);
    uint32_t len = (uint32_t)(put_entry(bytes, session, false) - bytes);
    raise_to(nodes, session->claim);
    link_publish(session->shard, TOPIC_CAME, slice_of(bytes, len), 1);
    mem_free(bytes);
    if (session->will)
        wills_tell(nodes, session, NULL);
}

static void
add_to_word(struct session *session)
{
    struct nodes *nodes = nodes_of(session->shard->broker->cluster);
    struct inbox *inbox = &nodes->inboxes[session->shard->index];
    if (session->node || session->hidden || session->untold)
        return;
    uint32_t len = inbox->word_len + ENTRY_HEAD + session->id_len;
    inbox->word = mem_grow(inbox->word, &inbox->word_cap, len, 1);
    uint8_t *end = put_entry(inbox->word + inbox->word_len, session, false);
    must(end == inbox->word + len);
    inbox->word_len = len;
    wills_add(nodes, session);
}

static void
tell_more(struct nodes *nodes, struct claims_walk *walk, struct shard *shard,
          const struct link *link)
{
    char topic[TOPIC_MAX];
    struct inbox *inbox = &nodes->inboxes[shard->index];
    inbox->word_len = 0;
    if (walk->at == 0)
        wills_mark(nodes, link, shard, walk->round, false);
    while (walk->at != UINT32_MAX && inbox->word_len < WORD_BYTES && !wills_word_is_long(inbox))
        walk->at = registry_each_from(shard->registry, walk->at, WALK_BUCKETS, add_to_word);
    one_topic(link->id, topic);
    if (inbox->word_len > 0)
        link_publish(shard, topic, slice_of(inbox->word, inbox->word_len), 1);
    wills_send(nodes, link, shard);
    if (walk->at == UINT32_MAX)
        wills_mark(nodes, link, shard, walk->round, true);
}

static bool
is_behind(const struct link *link, const struct claims_walk *walk)
{
    return atomic_load_explicit(&link->up, memory_order_acquire) &&
           (walk->at != UINT32_MAX ||
            walk->round != atomic_load_explicit(&link->claims_round, memory_order_acquire));
}

static void
walk_on(struct nodes *nodes, struct inbox *inbox, uint32_t i, struct shard *shard)
{
    struct link *link = nodes->links[i];
    struct claims_walk *walk = &inbox->claims[i];
    uint64_t round = atomic_load_explicit(&link->claims_round, memory_order_acquire);
    if (walk->round != round)
        *walk = (struct claims_walk){.round = round};
    if (atomic_exchange(&link->claims_room, false))
        tell_more(nodes, walk, shard, link);
    if (walk->at == UINT32_MAX)
        return;
    atomic_store(&link->claims_wanted, true);
    if (link->shard != shard->index)
        broker_wake(nodes->broker, link->shard);
}

// Some shard waits, and the node takes more.
static bool
is_due(const struct link *link)
{
    return atomic_load_explicit(&link->claims_wanted, memory_order_relaxed) && link->session &&
           link_has_room(link->session);
}

void
claims_tick(struct nodes *nodes, struct shard *shard)
{
    struct inbox *inbox = &nodes->inboxes[shard->index];
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (unlikely(link->shard == shard->index && is_due(link))) {
            atomic_store(&link->claims_wanted, false);
            atomic_store(&link->claims_room, true);
            nodes_wake_all(nodes);
        }
        if (unlikely(is_behind(link, &inbox->claims[i])))
            walk_on(nodes, inbox, i, shard);
    }
}

bool
claims_has_news(const struct nodes *nodes, const struct shard *shard)
{
    const struct inbox *inbox = &nodes->inboxes[shard->index];
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (link->shard == shard->index && is_due(link))
            return true;
        if (is_behind(link, &inbox->claims[i]) &&
            atomic_load_explicit(&link->claims_room, memory_order_relaxed))
            return true;
    }
    return false;
}

// ---- Hearing ------------------------------------------------------------------------------------

static void
end_ours(struct shard *shard, struct session *session, struct slice client_id,
         const struct claim_record *theirs)
{
    struct nodes *nodes = nodes_of(shard->broker->cluster);
    // With a clean start its session was to end, as one does that ends with its connection; else
    // what is in it is lost, which the operator should know.
    if (session->durable && session->expiry_s > 0 && !theirs->clean) {
        atomic_fetch_add_explicit(&nodes->doubled, 1, memory_order_relaxed);
        log_limited(shard->log, &shard->log_claims, shard->now_ms, LOG_T_NOTICE,
                    "Client %.64s: its session ends: node %.8s has one that is later.", session->id,
                    theirs->node);
    }
    // Kept over a restart, and the client went elsewhere before: it would say of who is back that
    // it is gone.
    if (theirs->late && session->will && session->will->hold_ms > 0)
        session_drop_will(session);
    client_evict(shard, client_id);
}

static void
settle(struct shard *shard, const struct claim_record *theirs, struct slice client_id)
{
    const struct cluster *cluster = shard->broker->cluster;
    struct session *session =
        registry_find(shard->registry, client_id, registry_hash(shard->registry, client_id));
    int order = memcmp(theirs->node, cluster->id, NODE_ID_LEN);
    if (!session || session->node)
        return;
    if (theirs->willed) {
        wills_used_up(session, theirs->claim);
        return;
    }
    must(order != 0);
    if (!theirs->clean &&
        move_out_claimed(nodes_of(shard->broker->cluster), session, theirs->claim))
        return;
    if (theirs->claim > session->claim || (theirs->claim == session->claim && order > 0))
        end_ours(shard, session, client_id, theirs);
    else if (!session->untold)
        claims_tell(session, theirs->node); // it may not have heard of ours
}

void
claims_record(struct cluster *cluster, struct shard *shard, struct slice record)
{
    struct claim_record theirs;
    must(shard->broker->cluster == cluster && record.len > sizeof theirs);
    memcpy(&theirs, record.data, sizeof theirs);
    settle(shard, &theirs,
           slice_of(record.data + sizeof theirs, record.len - (uint32_t)sizeof theirs));
}

static void
take_entry(struct shard *shard, const struct claim_record *theirs, struct slice client_id)
{
    unsigned home = broker_home(shard->broker, client_id);
    must(home < shard->broker->shard_count);
    if (home == shard->index) {
        settle(shard, theirs, client_id);
        return;
    }
    uint8_t *room =
        mail_reserve(shard, home, RECORD_CLAIM, (uint32_t)sizeof *theirs + client_id.len);
    memcpy(room, theirs, sizeof *theirs);
    memcpy(room + sizeof *theirs, client_id.data, client_id.len);
}

err_t
claims_heard(struct nodes *nodes, const struct link *link, struct shard *shard, struct slice topic,
             struct slice word)
{
    // What it says before it tells all anew has waited for us, for our last life perhaps.
    struct claim_record theirs = {.late = topic.len > sizeof TOPIC_CAME - 1 ||
                                          !wills_begun(nodes, link)};
    memcpy(theirs.node, link->id, NODE_ID_LEN);
    const uint8_t *at = word.data, *end = word.data + word.len;
    do {
        if (end - at <= (ptrdiff_t)ENTRY_HEAD)
            return ERR_MALFORMED;
        struct slice id = slice_of(at + ENTRY_HEAD, (size_t)at[9] << 8 | at[10]);
        theirs.clean = at[0];
        theirs.claim = get_u64(at + 1);
        if (id.len == 0 || id.len > (size_t)(end - id.data) || theirs.clean > CLEAN ||
            theirs.claim > CLAIM_MAX || !utf8_valid(id))
            return ERR_MALFORMED;
        raise_to(nodes, theirs.claim);
        wills_superseded(nodes, link, id, theirs.claim);
        take_entry(shard, &theirs, id);
        at = id.data + id.len;
    } while (at < end);
    return OK;
}

// Of a client of some node, ours perhaps.
err_t
claims_willed(struct nodes *nodes, struct shard *shard, struct slice word)
{
    struct claim_record record;
    struct slice id;
    err_t err = wills_willed(nodes, shard, word, &record, &id);
    if (err == OK && memcmp(record.node, nodes->cluster.id, NODE_ID_LEN) == 0)
        take_entry(shard, &record, id);
    return err;
}

// ---- The link -----------------------------------------------------------------------------------

err_t
claims_linked(struct link *link, struct session *session)
{
    char topic[TOPIC_MAX];
    one_topic(link->id, topic);
    err_t err = link_subscribe(session, TOPIC_CAME, 1);
    if (err == OK)
        err = link_subscribe(session, topic, 1);
    // Now: whoever comes after a shard has begun to tell is told of by the subscription.
    atomic_store(&link->claims_room, true);
    atomic_fetch_add_explicit(&link->claims_round, 1, memory_order_release);
    return err;
}

void
claims_missed(struct cluster *cluster, struct session *session, const struct pub *pub)
{
    struct nodes *nodes = nodes_of(cluster);
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    if (!slice_equal(pub->topic, slice_str(TOPIC_CAME)))
        return;
    struct slice id = session_id(session);
    must(id.len > NODE_ID_LEN);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (memcmp(link->id, id.data + id.len - NODE_ID_LEN, NODE_ID_LEN) == 0)
            atomic_fetch_add_explicit(&link->claims_round, 1, memory_order_release);
    }
    nodes_wake_all(nodes);
}

void
claims_free(struct inbox *inbox)
{
    mem_free(inbox->word);
    mem_free(inbox->wills);
}
