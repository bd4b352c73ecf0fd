// client_connect.c - CONNECT: who comes, what it finds, what it is told.
#include <stdio.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/alias.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_handlers.h"
#include "core/client_limits.h"
#include "core/client_out.h"
#include "core/client_rates.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/registry.h"
#include "core/review.h"
#include "core/session.h"
#include "core/shard.h"
#include "core/trace.h"

#define GENERATED_ID_MAX 128

struct connecting {
    struct connect_view view;
    char generated[GENERATED_ID_MAX]; // client identifier that the server assigned
    bool assigned;
    bool session_present;
    uint16_t keep_alive_s;
    bool has_keep_alive;     // Server Keep Alive is sent
    uint64_t journal_before; // where the journal stood: an older session may end for this one
    struct access_question *answer; // of whoever was asked about the client; NULL: nobody was
    struct rights *rights;          // what it may do; NULL: everything
};

static const struct listener_config *
listener_of(const struct client *client)
{
    const struct config *config = client->shard->config;
    must(client->listener_index < config->listener_count);
    return &config->listeners[client->listener_index];
}

static bool
is_node(const struct client *client)
{
    return client->link == LINK_IN || client->link == LINK_OUT;
}

// ---- May it? ------------------------------------------------------------------------------------

static err_t
check_will(struct client *client, const struct connect_view *view)
{
    if (!view->has_will)
        return OK;
    if (view->will.qos > listener_of(client)->maximum_qos)
        return ERR_QOS_NOT_SUPPORTED; // [MQTT-3.2.2-12]
    if (view->will.retain && !client->shard->config->retain_available)
        return ERR_RETAIN_NOT_SUPPORTED; // [MQTT-3.2.2-13]
    if (client_is_too_deep(client, view->will.topic))
        return ERR_TOPIC_NAME_INVALID;
    return topic_is_reserved(view->will.topic) ? ERR_NOT_AUTHORIZED : OK;
}

static err_t
check_limits(struct client *client, bool new_session)
{
    struct shard *shard = client->shard;
    const struct config *config = shard->config;
    if (shard->level >= (new_session ? GOVERNOR_REFUSE : GOVERNOR_FULL)) {
        stat_add(&shard->stats.refused_memory, 1);
        client_refused_by(client, "memory_limit");
        return shard->level >= GOVERNOR_FULL ? ERR_SERVER_BUSY : ERR_QUOTA_EXCEEDED;
    }
    uint64_t sessions = new_session ? broker_sessions(shard->broker) : 0;
    const char *key = NULL;
    if (config->sessions_max && sessions >= config->sessions_max)
        key = "max_sessions";
    else if (config->clients_max && sessions >= config->clients_max)
        key = "global_max_clients";
    if (likely(!key))
        return OK;
    stat_add(&shard->stats.refused_sessions, 1);
    client_refused_by(client, key);
    return ERR_QUOTA_EXCEEDED;
}

static err_t
check_keep_alive(const struct client *client, struct connecting *c)
{
    uint16_t max = client->shard->config->keep_alive_max_s;
    c->keep_alive_s = c->view.keep_alive_s;
    if (max == 0 || (c->keep_alive_s != 0 && c->keep_alive_s <= max))
        return OK;
    // Only version 5 can be told of another value; the others are refused, as by Mosquitto.
    if (client->version != MQTT_5)
        return ERR_CLIENT_ID;
    c->keep_alive_s = max;
    c->has_keep_alive = true;
    return OK;
}

// A name that stands where user names stand: a wildcard in it would open a rule for topics to all.
static bool
is_user_name(struct slice name)
{
    return name.len > 0 && name.len <= UINT16_MAX && utf8_valid(name) &&
           memchr(name.data, '+', name.len) == NULL && memchr(name.data, '#', name.len) == NULL &&
           memchr(name.data, '/', name.len) == NULL;
}

err_t
client_identify(const struct listener_config *listener, const char *name, struct connect_view *view)
{
    const struct listener_entry *entry = &listener->entry;
    if (entry->use_identity_as_username || entry->use_subject_as_username) {
        struct slice user = name ? slice_str(name) : slice_of(NULL, 0);
        if (!is_user_name(user))
            return ERR_NOT_AUTHORIZED;
        view->has_user = true;
        view->user = user;
    }
    if (!entry->use_username_as_clientid)
        return OK;
    if (!view->has_user || view->user.len == 0)
        return ERR_NOT_AUTHORIZED;
    view->client_id = view->user;
    return OK;
}

// An identifier that lives on this shard, so that nobody has to be handed over.
static void
assign_id(struct client *client, struct connecting *c)
{
    struct shard *shard = client->shard;
    struct slice id;
    do {
        uint64_t a = shard_random(shard);
        uint64_t b = hash_u64(&shard->broker->key, ~a);
        (void)snprintf(c->generated, sizeof c->generated, "%.60s%016llx%016llx",
                       shard->config->auto_id_prefix ? shard->config->auto_id_prefix : "",
                       (unsigned long long)a, (unsigned long long)b);
        id = slice_str(c->generated);
    } while (broker_home(shard->broker, id) != shard->index);
    c->view.client_id = id;
    c->assigned = true;
}

// Another node, and nothing else.
static err_t
check_node(struct client *client, const struct connect_view *view)
{
    struct cluster *cluster = client->shard->broker->cluster;
    if (client->version != MQTT_5 || view->has_will || view->auth_method.data || !cluster)
        return ERR_NOT_AUTHORIZED;
    err_t err = cluster->ops->admits(cluster, client, view);
    if (err != OK)
        return err;
    if (slice_begins(view->client_id, NODE_FOR))
        return client_relay_arrived(client, view);
    client->link = LINK_IN;
    return OK;
}

// Is the session that it wants to go on with on another node? Then the client goes on there.
static err_t
find_elsewhere(struct client *client, const struct connect_view *view)
{
    struct shard *shard = client->shard;
    struct cluster *cluster = shard->broker->cluster;
    char node[NODE_ID_LEN + 1];
    bool looked = client->replayed && client->access; // before it was asked about
    if (likely(!cluster) || is_node(client) || looked || view->client_id.len == 0)
        return OK;
    const struct session *here = registry_find(shard->registry, view->client_id,
                                               registry_hash(shard->registry, view->client_id));
    if (here && here->will && here->will->due_ms) // others may have published it, and say so first
        return client_relay_await(client);
    if (here || view->clean || client->link != LINK_NONE)
        return OK;
    client->packet_max = view->packet_max; // what we say may be all that it hears
    if (cluster->ops->elsewhere(cluster, view->client_id, node))
        return client_relay_begin(client, view->client_id, node);
    return client_relay_await(client);
}

static err_t
check(struct client *client, struct connecting *c)
{
    const struct connect_view *view = &c->view;
    if (unlikely(listener_of(client)->node))
        return check_node(client, view);
    err_t err = client_identify(listener_of(client), client->name, &c->view);
    // Nobody is a node but by the nodes' own listener; and nodes tell each other identifiers.
    if (err == OK && unlikely(client->shard->broker->cluster != NULL) &&
        (slice_begins(view->client_id, NODE_ROOT) || view->client_id.len > NODE_CLIENT_ID_MAX))
        err = ERR_CLIENT_ID;
    if (err == OK)
        err = client_check_drain(client, view);
    if (err == OK && !client->replayed)
        err = client_check_bans(client, view);
    if (err == OK)
        err = check_will(client, view);
    if (err == OK)
        err = check_keep_alive(client, c);
    if (err || view->client_id.len > 0)
        return err;
    if (!client->shard->config->allow_zero_length_clientid)
        return ERR_CLIENT_ID;
    assign_id(client, c);
    return OK;
}

// ---- Who is it? ---------------------------------------------------------------------------------

static bool
is_asked_about(const struct client *client)
{
    const struct access_rules *rules = client->shard->access;
    return rules && rules->listeners[client->listener_index].ask;
}

// Its certificate, or its pre-shared key, says who it is.
static bool
is_known(const struct listener_config *listener)
{
    return listener->entry.use_identity_as_username || listener->entry.use_subject_as_username;
}

static err_t
ask(struct client *client, struct connecting *c)
{
    const struct connect_view *view = &c->view;
    struct slice none = {0};
    // Refused now rather than after the hashing.
    if (client->shard->level >= GOVERNOR_FULL)
        return ERR_SERVER_BUSY;
    return client_ask(client, ACCESS_CONNECT,
                      &(struct access_texts){
                          .client_id = view->client_id,
                          .user = view->has_user ? view->user : none,
                          .password = view->has_password ? view->password : none,
                          .name = client->name ? slice_str(client->name) : none,
                          .peer = slice_str(client->peer),
                          .auth_method = view->auth_method,
                          .auth_data = view->auth_data,
                      });
}

// ERR_WAIT: somebody else is asked, and the packet comes again.
static err_t
authenticate(struct client *client, struct connecting *c)
{
    struct connect_view *view = &c->view;
    const struct listener_config *listener = listener_of(client);
    if (unlikely(listener->node))
        return OK; // check_node
    bool asked = is_asked_about(client);
    if (view->auth_method.data && !asked)
        return ERR_BAD_AUTH_METHOD; // none is configured [MQTT-4.12.0-1]
    if (!view->auth_method.data) {
        if (is_known(listener))
            return OK;
        if (!asked || !(view->has_user || view->has_password))
            return listener->allow_anonymous ? OK : ERR_NOT_AUTHORIZED;
    }
    c->answer = client_take_answer(client, ACCESS_CONNECT);
    if (!c->answer)
        return ask(client, c);
    if (c->assigned && c->answer->texts.client_id.len > 0)
        view->client_id = c->answer->texts.client_id; // which was made the first time
    const struct access_answer *answer = &c->answer->answer;
    if (answer->err == OK && answer->user.data) {
        view->has_user = true;
        view->user = answer->user;
    }
    return answer->err;
}

// What it may do; its Will first [MQTT5 3.1.3.2].
static err_t
authorize(struct client *client, struct connecting *c)
{
    const struct connect_view *view = &c->view;
    const struct access_rules *rules = client->shard->access;
    const struct access_answer *answer = c->answer ? &c->answer->answer : NULL;
    if ((answer && answer->superuser) || client->link == LINK_IN)
        return OK;
    struct acl *acl = rules ? rules->listeners[client->listener_index].acl : NULL;
    if (answer && answer->acl)
        acl = answer->acl;
    if (!acl)
        return OK;
    c->rights = rights_new(acl, view->has_user ? view->user : slice_of(NULL, 0), view->client_id);
    bool may = !view->has_will || rights_allow(c->rights, ACL_PUBLISH, view->will.topic);
    return may ? OK : ERR_NOT_AUTHORIZED;
}

// ---- The session --------------------------------------------------------------------------------

static void
take_over(struct session *session)
{
    struct client *old = session->client;
    stat_add(&old->shard->stats.takeovers, 1);
    if (old->state == CLIENT_CONNECTED)
        client_fail(old, ERR_SESSION_TAKEN_OVER); // [MQTT-3.1.4-3]
    if (unlikely(old->traced))
        trace_event(old, err_text(old->close_reason));
    if (old->shard->config->connection_messages)
        log_line(old->shard->log, LOG_T_NOTICE, "Client %s [%s] disconnected: %s.", session->id,
                 old->peer, err_text(old->close_reason));
    client_detach(old);
}

void
client_evict(struct shard *shard, struct slice client_id)
{
    uint32_t hash = registry_hash(shard->registry, client_id);
    struct session *session = registry_find(shard->registry, client_id, hash);
    must(session && !session->node);
    if (session->client) {
        take_over(session);
        session = registry_find(shard->registry, client_id, hash); // it may have ended
    }
    if (session)
        session_end(session);
}

// Is there a way in by which a user name says more than that somebody claims it?
static bool
names_are_proved(const struct shard *shard)
{
    const struct access_rules *rules = shard->access;
    const struct config *config = shard->config;
    for (uint32_t i = 0; i < config->listener_count; i++)
        if ((rules && rules->listeners[i].ask) || is_known(&config->listeners[i]))
            return true;
    return false;
}

// A session is its user's: nobody else finds it, by whatever listener he comes. One that an
// anonymous client left is anybody's.
static bool
is_others(const struct client *client, const struct session *session,
          const struct connect_view *view)
{
    if (!session->user || (view->has_user && slice_equal(slice_str(session->user), view->user)))
        return false;
    return names_are_proved(client->shard);
}

// Nobody can log in by that name any more.
static bool
owner_is_gone(const struct client *client, const struct session *session)
{
    const struct access_rules *rules = client->shard->access;
    uint32_t i = client->listener_index;
    return !session->client && rules && rules->listeners[i].users_are_all &&
           access_users_mark(rules->listeners[i].users, slice_str(session->user)) == 0;
}

static void
log_others(const struct client *client, const struct session *session)
{
    struct shard *shard = client->shard;
    log_limited(shard->log, &shard->log_refused, shard->now_ms, LOG_T_NOTICE,
                "Client [%s] refused: the session %.64s is user %.64s's.", client->peer,
                session->id, session->user);
}

// Other nodes know of each session that outlives its connection.
static err_t
check_cluster_limit(struct client *client, const struct connect_view *view)
{
    struct cluster *cluster = client->shard->broker->cluster;
    if (likely(!cluster) || is_node(client) || view->session_expiry_s == 0 ||
        cluster->ops->has_room(cluster, (struct slice){0}, (struct slice){0}))
        return OK;
    stat_add(&client->shard->stats.refused_sessions, 1);
    client_refused_by(client, "what other nodes can be told of");
    return ERR_QUOTA_EXCEEDED;
}

// The client's session, ready but not yet told of the connection. NULL with ret_err at a limit.
static struct session *
find_or_make(struct client *client, struct connecting *c, err_t *ret_err)
{
    struct shard *shard = client->shard;
    struct slice id = c->view.client_id;
    uint32_t hash = registry_hash(shard->registry, id);
    struct session *session = registry_find(shard->registry, id, hash);
    *ret_err = is_node(client) ? OK : check_limits(client, !session);
    if (!*ret_err && !session)
        *ret_err = check_cluster_limit(client, &c->view);
    if (*ret_err)
        return NULL;
    if (session && is_others(client, session, &c->view)) {
        if (!owner_is_gone(client, session)) {
            log_others(client, session);
            *ret_err = ERR_NOT_AUTHORIZED;
            return NULL;
        }
        session_end(session);
        session = NULL;
    }
    if (session && session->client) {
        take_over(session);
        session = registry_find(shard->registry, id, hash); // it may have ended with its connection
    }
    // [MQTT-3.1.2-4], or it was over already; its Will, if one waits, goes out.
    if (session && (c->view.clean || session->expires_ms <= shard->now_ms)) {
        session_end(session);
        session = NULL;
    }
    c->session_present = session != NULL;
    if (!session)
        return session_new(shard, id, hash, 0);
    session_reclaim_will(session);
    return session;
}

// What another node sends, it has looked at.
static void
note_limits(struct client *client)
{
    const struct config *config = client->shard->config;
    bool node = client->link == LINK_IN;
    client->in_packet_max =
        node || config->packet_size_max == 0 ? UINT32_MAX : config->packet_size_max;
    client->slowed = node || client->version != MQTT_5;
    client->in_receive_max = client->slowed ? UINT16_MAX : (uint16_t)config->receive_max;
}

static void
adopt(struct client *client, struct session *session, const struct connecting *c)
{
    struct shard *shard = client->shard;
    const struct connect_view *view = &c->view;
    client->session = session;
    client->state = CLIENT_CONNECTED;
    session->client = client;
    session->listener = client->listener_index;
    session->expiry_s = is_node(client)
                            ? NODE_EXPIRY_S
                            : min_u32(view->session_expiry_s, shard->config->session_expiry_max_s);
    mem_free(session->user);
    session->user =
        view->has_user && !is_node(client) ? mem_strndup(view->user.data, view->user.len) : NULL;
    const struct access_answer *answer = c->answer ? &c->answer->answer : NULL;
    session->own_rights = answer && (answer->superuser || answer->acl);
    session_set_rights(session, c->rights);
    if (answer)
        client_access_granted(client, answer);
    review_client(client);
    if (view->has_will)
        session_set_will(session, &view->will);
    struct cluster *cluster = shard->broker->cluster;
    if (unlikely(cluster != NULL) && !is_node(client))
        session->claim = cluster->ops->claim(cluster, session);
    client->receive_max = view->receive_max;
    note_limits(client);
    session->version = client->version;
    // One that was made to end with its connection never gets here again, and one that was not is
    // kept by the journal until it ends.
    if (!session->durable && session->expiry_s > 0)
        session_keep(session);
    if (session->durable)
        session->kept->sent_safe = 0;
    session_journal(session);
    uint64_t last = journal_last(shard->journal);
    client->base_position = last == c->journal_before ? 0 : last;
    client->packet_max = view->packet_max;
    client->problem_info = view->request_problem_info;
    client->alias_max_out = min_u32(view->topic_alias_max, ALIAS_OUT_MAX) & ALIAS_OUT_MASK;
    client->keep_alive_s = c->keep_alive_s;
    client->connected_s = (uint32_t)((shard->now_ms - shard->broker->started_ms) / 1000);
    client_arm_timer(client);
    client_rates_begin(client);
    stat_add(&shard->stats.clients_connected, 1);
    stat_add(&shard->stats.connections_accepted, 1);
}

// ---- The answer ---------------------------------------------------------------------------------

static void
put_connack(struct client *client, const struct session *session, const struct connecting *c)
{
    const struct config *config = client->shard->config;
    const struct listener_config *listener = listener_of(client);
    struct connack connack = {
        .version = client->version,
        .reason = REASON_SUCCESS,
        .session_present = c->session_present,
        .has_session_expiry = session->expiry_s != c->view.session_expiry_s,
        .session_expiry_s = session->expiry_s,
        .receive_max = (uint16_t)min_u32(config->receive_max, UINT16_MAX),
        .retain_unavailable = !config->retain_available,
        .maximum_qos = listener->maximum_qos,
        .packet_max = config->packet_size_max,
        .topic_alias_max = listener->topic_alias_max,
        .has_keep_alive = c->has_keep_alive,
        .keep_alive_s = c->keep_alive_s,
        .client_packet_max = client->packet_max,
    };
    if (c->assigned)
        connack.assigned_id = c->view.client_id;
    if (c->answer && c->view.auth_method.data) {
        connack.auth_method = c->view.auth_method;
        connack.auth_data = c->answer->answer.auth_data;
    }
    client_put_connack(client, &connack);
}

static void
log_start(const struct client *client, const struct session *session,
          const struct connect_view *view)
{
    const struct shard *shard = client->shard;
    if (!shard->config->connection_messages || !log_wants(shard->log, LOG_T_NOTICE))
        return;
    char user[80] = "";
    if (session->user)
        (void)snprintf(user, sizeof user, ", u'%.64s'", session->user);
    log_line(shard->log, LOG_T_NOTICE, "New client connected from %s as %s (p%d, c%d, k%d%s).",
             client->peer, session->id, client->version, view->clean, view->keep_alive_s, user);
}

static void
refuse(struct client *client, err_t err, const char *why)
{
    struct shard *shard = client->shard;
    shard_count_refused(shard, client->listener_index);
    if (err == ERR_BAD_CREDENTIALS || err == ERR_NOT_AUTHORIZED || err == ERR_BAD_AUTH_METHOD)
        stat_add(&shard->stats.access_refused, 1);
    if (err == ERR_BAD_CREDENTIALS)
        client_login_failed(client);
    log_limited(shard->log, &shard->log_refused, shard->now_ms, LOG_T_NOTICE,
                "Client [%s] refused: %s%s%s.", client->peer, err_text(err), why ? ": " : "",
                why ? why : "");
}

static err_t
admit(struct client *client, struct connecting *c)
{
    err_t err = OK;
    c->journal_before = journal_last(client->shard->journal);
    struct session *session = find_or_make(client, c, &err);
    if (!session)
        return err;
    adopt(client, session, c);
    log_start(client, session, &c->view);
    if (client->link != LINK_OUT)
        put_connack(client, session, c);
    struct cluster *cluster = client->shard->broker->cluster;
    struct ack_wait wait = {.position = session->will ? client->base_position : 0};
    if (unlikely(cluster != NULL) && !is_node(client))
        cluster->ops->came(cluster, session, c->view.clean, &wait);
    if (wait.position != 0 || wait.awaited.ticket != 0 || wait.taken_ms != 0) {
        wait.until_ms = client->shard->now_ms + WILL_WAIT_MS;
        client_hold(client, &wait);
    }
    session_resume(session);
    if (is_node(client))
        cluster->ops->linked(cluster, session, true);
    return OK;
}

// The other node has answered our CONNECT: what it is to be sent waits in our session of it.
err_t
client_on_linked(struct client *client, const struct frame *frame)
{
    must(client->link == LINK_OUT && client->shard->broker->cluster);
    if (frame->type != MQTT_CONNACK || frame->body.len < 3)
        return ERR_PROTOCOL;
    if (frame->body.data[1] != REASON_SUCCESS)
        return ERR_NOT_AUTHORIZED;
    struct connecting c = {.view = {
                               .version = MQTT_5,
                               .client_id = slice_str(client->peer),
                               .session_expiry_s = NODE_EXPIRY_S,
                               .receive_max = UINT16_MAX,
                               .packet_max = CODEC_PACKET_MAX,
                               .request_problem_info = true,
                           }};
    return admit(client, &c);
}

err_t
client_on_connect(struct client *client, const struct frame *frame)
{
    struct connecting c = {0};
    if (frame->type != MQTT_CONNECT)
        return ERR_PROTOCOL;
    err_t err = codec_connect(frame, &c.view);
    client->version = c.view.version;
    if (err)
        return err;
    if (unlikely(client->shard->watching != NULL))
        trace_connect(client, &c.view);
    if (!client->replayed && !listener_of(client)->node) // it counts once
        err = client_check_connect_rate(client);
    if (err == OK)
        err = check(client, &c);
    if (err == OK && client->link == LINK_VISIT && client->version == 0)
        return OK; // its own CONNECT follows
    if (err == OK)
        err = find_elsewhere(client, &c.view);
    if (err == OK)
        err = authenticate(client, &c);
    if (err == OK && c.answer && c.answer->answer.more) {
        client_auth_continue(client, frame, c.answer);
        return OK;
    }
    if (err == OK)
        err = authorize(client, &c);
    if (err == OK)
        err = admit(client, &c);
    if (err && err != ERR_WAIT) {
        rights_free(c.rights);
        refuse(client, err, c.answer ? c.answer->answer.why : NULL);
    }
    access_question_free(c.answer);
    return err;
}
