// link.c - what nodes tell each other beside their clients' messages, on the shards.
//
// All of it is messages at QoS 1 under NODE_ROOT, in one queue with the clients' own: so what a
// node tells arrives in the order in which it was told, and again after a break.
//
//   routes    u64 incarnation, u64 last change, then steps: u8 step, u64 number, u64 weight
//             or hash, u32 length of the key, key. One that begins with KEY_SESSION is a client
//             identifier, whose session is there
//   retained  u8 flags, u64 expires (ms since 1970; 0 = never), u8 QoS, u16 topic, u32 properties:
//             lengths; u64 stamp, its node; topic, properties, payload; without a payload the
//             message was cleared. With RETAINED_ANEW, RETAINED_ALL no more than that: all is
//             being told, all has been
//   came      claims.c
//   move      move.h
//   wills, willed   wills.c
//   again     u8 0: its routes are to be told as a whole
#include <stdio.h>

#include "core/base/log.h"
#include "core/base/mem.h"
#include "core/base/rcu.h"
#include "core/base/utf8.h"

#include "cluster/forget.h"
#include "cluster/move.h"
#include "cluster/nodes_parts.h"
#include "cluster/wire_int.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/codec.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/mqtt.h"
#include "core/msg.h"
#include "core/registry.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/session_routes.h"
#include "core/shard.h"
#include "core/topic.h"

#define ROUTES_HEAD   16u
#define STEP_HEAD     21u
#define ROUTES_BYTES  16384u // of one message, about
#define WORD_BYTES    (ROUTES_BYTES + 2 * STEP_HEAD + ROUTE_KEY_MAX + ROUTES_HEAD) // at most
#define RETAINED_HEAD (24u + STAMP_NODE_LEN)
// Flags: all that is retained or was cleared there has been told; is being told, whatever was said
// of that before the link broke.
#define RETAINED_ALL  ((uint8_t)1)
#define RETAINED_ANEW ((uint8_t)2)
// So many of these may wait for the other node; more when they have gone.
#define WORDS_MAX  128u
#define WALK_STEPS 64u
#define SAY_MS     60000u // between two lines about one thing

// ---- Whose? -------------------------------------------------------------------------------------

static struct link *
link_by_id(struct nodes *nodes, struct slice id)
{
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++)
        if (slice_equal(slice_str(nodes->links[i]->id), id) &&
            likely(!atomic_load_explicit(&nodes->links[i]->retired, memory_order_relaxed)))
            return nodes->links[i];
    return NULL;
}

// The identifier of the node, in that of its session of either kind.
static struct slice
node_of(const struct session *session)
{
    struct slice id = session_id(session);
    must(id.len > NODE_ID_LEN);
    return slice_of(id.data + id.len - NODE_ID_LEN, NODE_ID_LEN);
}

// NULL: there are too many nodes.
static struct link *
link_of(struct nodes *nodes, const struct session *session)
{
    struct slice id = node_of(session);
    struct link *link = link_by_id(nodes, id);
    return link ? link : nodes_link(nodes, (const char *)id.data); // the identifier ends with a NUL
}

static err_t
subscribe(struct session *session, struct slice filter, struct slice group, uint32_t id,
          uint8_t qos)
{
    struct filter_view view = {
        .filter = filter, .qos = qos, .retain_as_published = true, .retain_handling = 2};
    struct trie_handle handle;
    bool existed;
    return session_subscribe(session, &view, group, id, &handle, &existed);
}

err_t
link_subscribe(struct session *session, const char *topic, uint8_t qos)
{
    must(session->node);
    return subscribe(session, slice_str(topic), (struct slice){0}, 0, qos);
}

struct awaited
link_publish(struct shard *shard, const char *topic, struct slice payload, uint8_t qos)
{
    struct pub word = {
        .topic = slice_str(topic),
        .payload = payload,
        .arrived_ms = shard->now_ms,
        .qos = qos,
    };
    struct route_result result;
    err_t err = route_publish(shard, &word, &result);
    must(err == OK); // it is not retained itself
    pub_done(&word);
    return (struct awaited){.shards = result.answering, .ticket = result.ticket};
}

// root: NODE_TO or NODE_FROM. NULL: there is none yet, or no longer.
struct session *
link_session(const struct shard *shard, const struct link *link, const char *root)
{
    char text[sizeof NODE_FROM + NODE_ID_LEN];
    must(link->shard == shard->index);
    int len = snprintf(text, sizeof text, "%s%s", root, link->id);
    must(len > 0 && (size_t)len < sizeof text);
    struct slice id = slice_str(text);
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

static struct session *
find_session(const struct shard *shard, const struct link *link)
{
    return link_session(shard, link, NODE_TO);
}

// What is for that node waits in this session, whether it has a connection or not.
static struct session *
session_of(struct shard *shard, const struct link *link)
{
    must(link->shard == shard->index);
    char id[sizeof NODE_TO + NODE_ID_LEN] = NODE_TO;
    memcpy(id + strlen(NODE_TO), link->id, NODE_ID_LEN + 1);
    uint32_t hash = registry_hash(shard->registry, slice_str(id));
    struct session *session = find_session(shard, link);
    if (session)
        return session;
    session = session_new(shard, slice_str(id), hash, 0);
    must(session->node && link->shard == shard->index);
    session->version = MQTT_5;
    session->expiry_s = NODE_EXPIRY_S;
    session_keep(session);
    session->expires_ms = shard->now_ms + NODE_EXPIRY_S * UINT64_C(1000);
    session_journal(session);
    session_arm_timer(session);
    return session;
}

// ---- Telling our routes -------------------------------------------------------------------------

static uint8_t *
put_step(uint8_t *at, enum route_step step, const struct route_op *op,
         const struct route_digest *digest)
{
    bool end = step == ROUTE_END || step == ROUTE_DIGEST;
    must(step != ROUTE_NOTHING);
    struct slice key = end || step == ROUTE_BEGIN ? (struct slice){0} : op->key;
    *at = (uint8_t)step;
    put_u64(at + 1, end ? digest->seq : op->seq);
    put_u64(at + 9, end ? digest->hash : op->weight);
    put_u32(at + 17, key.len);
    if (key.len > 0)
        memcpy(at + STEP_HEAD, key.data, key.len);
    return at + STEP_HEAD + key.len;
}

// All of them, from the start.
static void
tell_anew(struct nodes *nodes, struct link *link)
{
    pthread_mutex_lock(&nodes->mutex);
    route_reader_begin(nodes->log, 0, 0, &link->reader);
    pthread_mutex_unlock(&nodes->mutex);
    link->told = 0;
    link->digest_round = 0;
}

// Some of what that node does not know yet. Returns the bytes, 0 when it knows all.
static uint32_t
next_routes(struct nodes *nodes, struct link *link, uint8_t *bytes)
{
    uint8_t *at = bytes + ROUTES_HEAD;
    uint32_t told = 0;
    pthread_mutex_lock(&nodes->mutex);
    while (at < bytes + ROUTES_BYTES) {
        struct route_op op = {0};
        struct route_digest digest = {0};
        enum route_step step = route_reader_next(nodes->log, &link->reader, &op, &digest);
        if (step == ROUTE_NOTHING)
            break;
        at = put_step(at, step, &op, &digest);
        told += step == ROUTE_ENTRY || step == ROUTE_CHANGE;
    }
    uint64_t round = atomic_load_explicit(&nodes->digest_round, memory_order_relaxed);
    if (at < bytes + ROUTES_BYTES && (at > bytes + ROUTES_HEAD || link->digest_round != round)) {
        struct route_digest digest = route_log_digest(nodes->log);
        at = put_step(at, ROUTE_DIGEST, NULL, &digest);
        link->digest_round = round;
    }
    // What a snapshot has told of is in force only with its end.
    if (!link->reader.snapshot)
        link->told = link->reader.next - 1;
    pthread_mutex_unlock(&nodes->mutex);
    must(at <= bytes + WORD_BYTES);
    if (at == bytes + ROUTES_HEAD)
        return 0;
    atomic_fetch_add_explicit(&nodes->routes_told, told, memory_order_relaxed);
    put_u64(bytes, nodes->identity.incarnation);
    put_u64(bytes + 8, link->told);
    return (uint32_t)(at - bytes);
}

static uint64_t
link_waiting(const struct session *session)
{
    return deliveries_waiting(&session->out) + session->out.inflight;
}

bool
link_has_room(const struct session *session)
{
    return link_waiting(session) < WORDS_MAX;
}

// A new link begins with all of it: what is lost before it is on the disk is told anew.
static void
tell(struct session *session, const char *topic, struct slice payload)
{
    must(session->node && payload.len > 0);
    struct pub pub = {
        .topic = slice_str(topic),
        .payload = payload,
        .arrived_ms = session->shard->now_ms,
        .qos = 1,
    };
    session_deliver(session, &pub, &(struct delivery_spec){.qos = 1, .unawaited = true});
    pub_done(&pub);
}

static bool
knows_less(const struct nodes *nodes, const struct link *link)
{
    return link->reader.snapshot ||
           link->told < atomic_load_explicit(&nodes->changes, memory_order_acquire) ||
           link->digest_round != atomic_load_explicit(&nodes->digest_round, memory_order_relaxed);
}

static void
tell_routes(struct nodes *nodes, struct link *link)
{
    if (!knows_less(nodes, link) || !link_has_room(link->session))
        return;
    must(link->session->shard->index == link->shard);
    uint8_t *bytes = mem_alloc(WORD_BYTES);
    uint32_t len;
    while (link_has_room(link->session) && (len = next_routes(nodes, link, bytes)) > 0)
        tell(link->session, TOPIC_ROUTES, slice_of(bytes, len));
    mem_free(bytes);
}

// ---- Telling what is retained -------------------------------------------------------------------

static uint8_t *
write_retained(const struct shard *shard, const struct pub *pub, const struct stamp *stamp,
               uint8_t flags, uint32_t *ret_len)
{
    uint64_t wall = broker_wall_offset(shard->broker);
    *ret_len = RETAINED_HEAD + pub->topic.len + pub->props.len + pub->payload.len;
    uint8_t *bytes = mem_zalloc(*ret_len), *at = bytes + RETAINED_HEAD;
    bytes[0] = flags;
    put_u64(bytes + 1, pub->expires_ms ? pub->expires_ms + wall : 0);
    bytes[9] = pub->qos;
    put_u16(bytes + 10, pub->topic.len);
    put_u32(bytes + 12, pub->props.len);
    put_u64(bytes + 16, stamp->at);
    memcpy(bytes + 24, stamp->node, STAMP_NODE_LEN);
    if (pub->topic.len > 0)
        memcpy(at, pub->topic.data, pub->topic.len);
    if (pub->props.len > 0)
        memcpy(at + pub->topic.len, pub->props.data, pub->props.len);
    if (pub->payload.len > 0)
        memcpy(at + pub->topic.len + pub->props.len, pub->payload.data, pub->payload.len);
    return bytes;
}

static uint64_t
retained(struct cluster *cluster, struct shard *shard, const struct pub *pub,
         const struct stamp *stamp)
{
    uint32_t len;
    if (slice_begins(pub->topic, "$SYS/") ||
        atomic_load_explicit(&nodes_of(cluster)->stopping, memory_order_relaxed))
        return 0;
    uint8_t *bytes = write_retained(shard, pub, stamp, 0, &len);
    uint64_t telling = link_publish(shard, TOPIC_RETAINED, slice_of(bytes, len), 1).shards;
    mem_free(bytes);
    return telling;
}

static void
tell_one_retained(struct session *session, const struct pub *pub, const struct stamp *stamp,
                  uint8_t flags)
{
    uint32_t len;
    uint8_t *bytes = write_retained(session->shard, pub, stamp, flags, &len);
    tell(session, TOPIC_RETAINED, slice_of(bytes, len));
    mem_free(bytes);
}

// What was cleared here, and last that this is all.
static void
tell_cleared(struct nodes *nodes, struct link *link)
{
    while (link->telling_cleared && link_has_room(link->session)) {
        struct stamp stamp = {0};
        char *topic = stamps_next(nodes, &link->cleared, &stamp);
        link->telling_cleared = topic != NULL;
        struct pub pub = {.topic = topic ? slice_str(topic) : (struct slice){0}};
        tell_one_retained(link->session, &pub, &stamp, topic ? (uint8_t)0 : RETAINED_ALL);
        mem_free(topic);
    }
}

// All that is retained here, for a node that may lack it.
static void
tell_retained(struct nodes *nodes, struct link *link)
{
    struct session *session = link->session;
    struct shard *shard = session->shard;
    bool done = false;
    tell_cleared(nodes, link);
    while (link->walk && link_has_room(session)) {
        struct msg *msg = retained_walk_next(link->walk, WALK_STEPS, &done);
        if (msg && !slice_begins(msg_topic(msg), "$SYS/")) {
            struct pub pub;
            struct stamp stamp = msg_stamp(msg);
            pub_borrow(&pub, msg);
            tell_one_retained(session, &pub, &stamp, 0);
        }
        msg_unref(msg);
        if (!msg && !done)
            return;
        if (done && !msg) {
            retained_walk_free(link->walk, shard->rcu);
            link->walk = NULL;
            link->cleared = (struct stamps_walk){0};
            link->telling_cleared = true;
        }
    }
}

// ---- What we are told ---------------------------------------------------------------------------

static bool
split_key(struct slice key, struct slice *ret_filter, struct slice *ret_group)
{
    const uint8_t *nul = key.len > 0 ? memchr(key.data, 0, key.len) : NULL;
    if (!nul)
        return false;
    *ret_group = slice_of(key.data, (size_t)(nul - key.data));
    *ret_filter = slice_of(nul + 1, key.len - ret_group->len - 1);
    return topic_filter_check(*ret_filter) == OK && !slice_begins(*ret_filter, NODE_ROOT) &&
           utf8_valid(*ret_filter);
}

// A session that outlives its connection is there, or no longer.
static err_t
take_session(struct link *link, struct shard *shard, struct slice key, bool here)
{
    struct slice id = slice_of(key.data + 1, key.len - 1);
    err_t err = copy_count(link, shard, key, route_set_weight(&link->sessions, id), here);
    if (err == OK)
        remember_session(link, shard, id, here);
    return err;
}

// Its clients want this, or no longer.
static err_t
take_route(struct link *link, struct session *session, struct slice key, uint64_t weight)
{
    struct slice filter, group;
    struct shard *shard = session->shard;
    if (key.len > 1 && key.data[0] == KEY_SESSION)
        return take_session(link, shard, key, weight > 0);
    if (!split_key(key, &filter, &group) || weight > UINT32_MAX ||
        (group.len > 0 && weight > 0 && GROUP_ID(weight) < GROUP_FIRST))
        return ERR_MALFORMED;
    bool found, shared = group.len > 0;
    uint32_t id = session_subscription(session, filter, group, &found);
    uint32_t before = shared ? id : found, after = shared ? (uint32_t)weight : weight > 0;
    if (before == after)
        return OK;
    err_t err = copy_count(link, shard, key, before, after);
    if (err == OK && after == 0)
        (void)session_unsubscribe(session, filter, group);
    else if (err == OK)
        err = subscribe(session, filter, group, shared ? after : 0, 2);
    if (err == ERR_FULL)
        copy_refuse(link, shard);
    return err;
}

// The set is changed by this shard alone, so that nobody else waits while it is gone through.
static void
forget_unheard_sessions(struct link *link, struct shard *shard)
{
    const struct route_set *sessions = &link->sessions;
    uint8_t *key = mem_alloc(ROUTE_KEY_MAX + 1u);
    for (uint32_t i = 0; i < sessions->places; i++) {
        const struct route_entry *entry = &sessions->entries[i];
        if (!entry->key)
            continue;
        must(entry->key_len <= ROUTE_KEY_MAX);
        key[0] = KEY_SESSION;
        memcpy(key + 1, entry->key, entry->key_len);
        struct slice id = slice_of(key + 1, entry->key_len);
        if (route_set_weight(&link->heard, slice_of(key, entry->key_len + 1u)) == 0)
            remember_session(link, shard, id, false);
    }
    mem_free(key);
}

// What of an earlier set it has not told of again is gone.
static void
forget_unheard(struct link *link, struct session *session)
{
    const struct trie *trie = session->shard->broker->trie;
    uint8_t *bytes = mem_alloc(2 * (size_t)ROUTE_KEY_MAX + 2);
    for (uint32_t i = session->sub_count; i-- > 0;) {
        struct slice group, filter = trie_filter(trie, session->subs[i].handle, &group);
        if (slice_begins(filter, NODE_ROOT))
            continue;
        must(filter.len + group.len <= 2 * ROUTE_KEY_MAX);
        if (group.len > 0)
            memcpy(bytes, group.data, group.len);
        bytes[group.len] = 0;
        memcpy(bytes + group.len + 1, filter.data, filter.len);
        struct slice key = slice_of(bytes, (size_t)group.len + 1 + filter.len);
        if (route_set_weight(&link->heard, key) == 0)
            (void)session_unsubscribe(session, filter, group); // the last one takes its place
    }
    mem_free(bytes);
    session_remove_unmarked(session);
    forget_unheard_sessions(link, session->shard);
}

// Is there nothing yet of its routes, but what we say to it ourselves?
static bool
is_first(const struct link *link, const struct session *session)
{
    const struct trie *trie = session->shard->broker->trie;
    if (link->sessions.count > 0 || session_route_count(session) > 0 ||
        session->sub_count > OWN_LINKED + OWN_MOVES + 1) // one that stands for its routes
        return false;
    for (uint32_t i = 0; i < session->sub_count; i++) {
        struct slice group, filter = trie_filter(trie, session->subs[i].handle, &group);
        if (!slice_begins(filter, NODE_ROOT))
            return false;
    }
    return true;
}

// One of those in a word of routes.
struct step {
    enum route_step kind;
    bool alone; // there is nothing else
    uint64_t number, value;
    struct slice key;
};

// It belongs to the set that is being told, or no longer.
static void
hear(struct link *link, struct session *session, const struct step *step)
{
    struct slice filter, group;
    bool first;
    if (split_key(step->key, &filter, &group) && session_routes_to(session, filter, group)) {
        // Whether it had been told before it went nobody knows.
        if (step->value == 0)
            link->heard_bytes -= min_u64(link->heard_bytes, step->key.len);
        else if (session_mark_route(session, filter, &first)) {
            link->heard_bytes += first ? step->key.len : 0;
            return;
        }
    }
    if (!link->first)
        (void)route_set_put(&link->heard, step->key, step->value > 0);
}

static err_t
take_step(struct link *link, struct session *session, uint64_t incarnation, const struct step *step)
{
    err_t err = OK;
    switch (step->kind) {
    case ROUTE_BEGIN:
        route_set_free(&link->heard);
        link->listening = true;
        link->first = is_first(link, session);
        link->heard_bytes = 0;
        session_unmark_routes(session);
        return OK;
    case ROUTE_ENTRY:
    case ROUTE_CHANGE:
        err = take_route(link, session, step->key, step->value);
        if (err == OK && !link->listening)
            copy_applied(link, incarnation, step->number);
        else if (err == OK)
            hear(link, session, step);
        return err;
    case ROUTE_END:
        if (link->listening) {
            if (!link->first)
                forget_unheard(link, session);
            copy_complete(link, session, incarnation, step->number, step->value);
        }
        route_set_free(&link->heard);
        link->listening = false;
        return OK;
    case ROUTE_DIGEST:
        copy_compare(link, session->shard, incarnation, step->number, step->value, step->alone);
        return OK;
    default:
        return ERR_MALFORMED;
    }
}

static err_t
on_routes(struct link *link, struct session *session, struct slice payload)
{
    if (payload.len < ROUTES_HEAD)
        return ERR_MALFORMED;
    const uint8_t *at = payload.data + ROUTES_HEAD, *end = payload.data + payload.len;
    uint64_t incarnation = get_u64(payload.data);
    bool alone = end - at == STEP_HEAD;
    while (at < end) {
        if (end - at < STEP_HEAD)
            return ERR_MALFORMED;
        uint32_t len = get_u32(at + 17);
        if (len > (size_t)(end - at) - STEP_HEAD || len > ROUTE_KEY_MAX)
            return ERR_MALFORMED;
        struct step step = {.kind = (enum route_step)at[0],
                            .alone = alone,
                            .number = get_u64(at + 1),
                            .value = get_u64(at + 9),
                            .key = slice_of(at + STEP_HEAD, len)};
        err_t err = take_step(link, session, incarnation, &step);
        if (err != OK)
            return err;
        at += STEP_HEAD + len;
    }
    return OK;
}

static err_t
on_retained(struct link *link, const struct client *client, struct slice payload)
{
    struct shard *shard = client->shard;
    if (payload.len < RETAINED_HEAD)
        return ERR_MALFORMED;
    const uint8_t *bytes = payload.data, *at = bytes + RETAINED_HEAD;
    uint32_t topic = get_u16(bytes + 10), props = get_u32(bytes + 12);
    uint64_t expires = get_u64(bytes + 1), wall = broker_wall_offset(shard->broker);
    if ((uint64_t)topic + props > payload.len - RETAINED_HEAD || bytes[9] > 2)
        return ERR_MALFORMED;
    if (bytes[0] & (RETAINED_ALL | RETAINED_ANEW)) {
        atomic_store(&link->whole, bytes[0] == RETAINED_ALL);
        return OK;
    }
    struct msg_source source = {.stamp.at = get_u64(bytes + 16)};
    memcpy(source.stamp.node, bytes + 24, STAMP_NODE_LEN);
    struct pub pub = {
        .topic = slice_of(at, topic),
        .source = &source,
        .props = slice_of(at + topic, props),
        .payload = slice_of(at + topic + props, payload.len - RETAINED_HEAD - topic - props),
        .expires_ms = expires > wall ? expires - wall
                      : expires      ? 1
                                     : 0,
        .publisher = client->session->number,
        .arrived_ms = shard->now_ms,
        .qos = bytes[9],
        .retain = true,
        .from_node = true,
    };
    if (topic_name_check(pub.topic) != OK || topic_is_reserved(pub.topic) ||
        !utf8_valid(pub.topic) || !codec_props_forwarded(pub.props))
        return ERR_MALFORMED;
    uint64_t telling;
    err_t err = route_retain(shard, &pub, &telling);
    must(telling == 0); // others hear of it from that node
    pub_done(&pub);
    if (err)
        route_count_unretained(client->counts, err);
    if (err != ERR_FULL && err != ERR_QUOTA_EXCEEDED)
        return err;
    if (shard->now_ms >= link->said_retained_ms) {
        link->said_retained_ms = shard->now_ms + SAY_MS;
        log_line(shard->log, LOG_T_WARNING,
                 "Warning: what is retained on node %s is not retained here because of %s.",
                 link->id,
                 err == ERR_FULL ? "max_retained_messages, or max_retained_bytes"
                                 : "max_retained_message_size");
    }
    return OK; // counted
}

static err_t
told(struct cluster *cluster, struct client *client, struct slice topic, struct slice payload)
{
    struct nodes *nodes = nodes_of(cluster);
    struct link *link = link_of(nodes, client->session);
    if (!link)
        return ERR_QUOTA_EXCEEDED;
    must(link->shard == client->shard->index);
    if (slice_equal(topic, slice_str(TOPIC_ROUTES)))
        return on_routes(link, session_of(client->shard, link), payload);
    if (slice_equal(topic, slice_str(TOPIC_RETAINED)))
        return on_retained(link, client, payload);
    if (slice_equal(topic, slice_str(TOPIC_AGAIN))) {
        tell_anew(nodes, link);
        return OK;
    }
    if (slice_begins(topic, TOPIC_WILLS))
        return wills_heard(nodes, link, client->shard, payload);
    if (slice_equal(topic, slice_str(TOPIC_WILLED)))
        return claims_willed(nodes, client->shard, payload);
    if (slice_begins(topic, TOPIC_CAME))
        return claims_heard(nodes, link, client->shard, topic, payload);
    if (slice_begins(topic, TOPIC_MOVE))
        return move_heard(nodes, link, client->shard, payload);
    return ERR_PROTOCOL;
}

// ---- What core tells us -------------------------------------------------------------------------

// It gets our routes as a whole, whatever it knows, and what is retained.
static void
link_changed(struct nodes *nodes, struct link *link, struct session *session, bool up)
{
    struct shard *shard = session->shard;
    retained_walk_free(link->walk, shard->rcu);
    link->walk = NULL;
    link->telling_cleared = false;
    link->scrub.running = false; // its places move with what we say to it
    link->session = up ? session : NULL;
    atomic_store(&link->known, 0);
    if (up) {
        err_t err = link_subscribe(session, TOPIC_RETAINED, 1);
        if (err == OK)
            err = wills_linked(link, session);
        if (err == OK)
            err = claims_linked(link, session); // which tells of both
        must(err == OK || err == ERR_FULL);
        tell_one_retained(session, &(struct pub){0}, &(struct stamp){0}, RETAINED_ANEW);
        tell_anew(nodes, link);
        sync_linked(nodes, link);
        link->walk = retained_walk_new(shard->broker->retained, slice_str("#"));
    }
    if (!up)
        wills_unlinked(link, session);
    atomic_store_explicit(&link->up, up, memory_order_release);
    nodes_wake_all(nodes);
}

static void
linked(struct cluster *cluster, struct session *session, bool up)
{
    struct nodes *nodes = nodes_of(cluster);
    struct link *link = up ? link_of(nodes, session) : link_by_id(nodes, node_of(session));
    if (!link)
        return;
    must(link->shard == session->shard->index && session->node);
    if (session->client->link == LINK_OUT)
        link_changed(nodes, link, session, up);
    else
        link->comes = up;
    // What it understands it says when it comes to us.
    if (up && link->session && (atomic_load(&link->features) & FEATURE_MOVE)) {
        err_t err = move_linked(link, link->session);
        must(err == OK || err == ERR_FULL);
    }
    wills_note_ways(nodes, link, session, up);
}

static void
taken(struct cluster *cluster, struct session *session, const struct msg *msg)
{
    struct nodes *nodes = nodes_of(cluster);
    struct slice payload = msg_payload(msg), topic = msg_topic(msg);
    if (!slice_begins(topic, NODE_ROOT))
        return;
    struct link *link = link_of(nodes, session);
    if (link && slice_equal(topic, slice_str(TOPIC_RETAINED)))
        sync_taken(link, payload, RETAINED_ALL);
    if (!slice_equal(topic, slice_str(TOPIC_ROUTES)) || payload.len < ROUTES_HEAD)
        return;
    // Of an earlier life of ours: the routes that it told of are told anew.
    if (!link || get_u64(payload.data) != nodes->identity.incarnation)
        return;
    uint64_t known = get_u64(payload.data + 8);
    if (known > atomic_load_explicit(&link->known, memory_order_relaxed)) {
        atomic_store_explicit(&link->known, known, memory_order_release);
        nodes_wake_all(nodes);
    }
}

// ---- The tick -----------------------------------------------------------------------------------

static void
tick(struct cluster *cluster, struct shard *shard)
{
    struct nodes *nodes = nodes_of(cluster);
    struct inbox *inbox = &nodes->inboxes[shard->index];
    uint64_t news = atomic_load_explicit(&nodes->news, memory_order_acquire);
    bool look = unlikely(atomic_load_explicit(&inbox->look, memory_order_relaxed)) &&
                atomic_exchange(&inbox->look, false);
    if (unlikely(look))
        roster_look(cluster, shard);
    shard->news |= news != inbox->news;
    inbox->news = news;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        struct link *link = nodes->links[i];
        if (link->shard != shard->index)
            continue;
        if (unlikely(link->scrub.running))
            copy_tick(link, shard, find_session(shard, link));
        if (unlikely(atomic_load_explicit(&link->gone, memory_order_relaxed) != LINK_KEPT))
            gone_retire(nodes, shard, link);
        if (!link->session)
            continue;
        if (unlikely(link->ask_again) && link_has_room(link->session)) {
            tell(link->session, TOPIC_AGAIN, slice_of("", 1));
            link->ask_again = false;
        }
        tell_routes(nodes, link);
        tell_retained(nodes, link);
        if (unlikely(atomic_load_explicit(&nodes->move->active, memory_order_relaxed)))
            atomic_store(&link->waiting,
                         (uint32_t)min_u64(link_waiting(link->session), UINT32_MAX));
    }
    stamps_tick(nodes, shard);
    if (unlikely(atomic_load_explicit(&nodes->replaced, memory_order_relaxed) != NULL))
        gone_free_replaced(nodes, shard);
    wills_tick(nodes, shard);
    claims_tick(nodes, shard);
    reach_tick(nodes, shard);
    remember_tick(nodes, shard);
    move_tick(nodes, shard);
    forget_tick(nodes, shard);
}

static bool
has_news(struct cluster *cluster, const struct shard *shard)
{
    struct nodes *nodes = nodes_of(cluster);
    const struct inbox *inbox = &nodes->inboxes[shard->index];
    if (atomic_load_explicit(&inbox->full, memory_order_acquire) ||
        atomic_load_explicit(&inbox->look, memory_order_relaxed) ||
        atomic_load_explicit(&nodes->news, memory_order_acquire) != inbox->news ||
        atomic_load_explicit(&inbox->look_at_wills, memory_order_relaxed) ||
        claims_has_news(nodes, shard) || remember_has_news(nodes, shard) ||
        move_has_news(nodes, shard))
        return true;
    uint32_t count = atomic_load_explicit(&nodes->link_count, memory_order_acquire);
    for (uint32_t i = 0; i < count; i++) {
        const struct link *link = nodes->links[i];
        if (link->shard != shard->index)
            continue;
        if (link->scrub.running ||
            (link->session && link_has_room(link->session) &&
             (knows_less(nodes, link) || link->walk || link->telling_cleared || link->ask_again)))
            return true;
    }
    return false;
}

const struct cluster_ops cluster_ops = {
    .told = told,
    .linked = linked,
    .taken = taken,
    .retained = retained,
    .tick = tick,
    .has_news = has_news,
};
