// session_rights.c - what a session may do, also with what it has already.
//
// Who may read all that a subscription matches is not asked about its messages. A subscription that
// is read partly says so (sub_options.partly), and each message is asked for where it would be
// delivered. The queue is filled with what could be read then. When rights change, all that is in
// it by then, here or on the disk alone, is asked for once more when it goes out: places are never
// used twice, so one mark tells.
#include "core/access.h"
#include "core/acl.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/retained.h"
#include "core/route.h"
#include "core/session.h"
#include "core/session_walks.h"
#include "core/shard.h"

bool
session_reads_partly(const struct session *session, struct slice filter)
{
    return session->rights && rights_cover(session->rights, ACL_RECEIVE, filter) != ACL_COVERS_ALL;
}

bool
session_may_read(struct session *session, struct slice topic)
{
    if (rights_allow(session->rights, ACL_RECEIVE, topic))
        return true;
    stat_add(&session->shard->stats.withheld, 1);
    return false;
}

bool
session_may_send(struct session *session, const struct delivery *entry)
{
    if (!session->rights || !entry->msg)
        return true;
    uint64_t seq = deliveries_seq_of(&session->out, entry);
    must_hot(seq < session->out.tail);
    return seq >= rights_mark(session->rights) ||
           rights_allow(session->rights, ACL_RECEIVE, msg_topic(entry->msg));
}

void
session_pass_on(struct session *session)
{
    struct deliveries *out = &session->out;
    if (!session->rights || session->shared_count == 0)
        return;
    must(rights_mark(session->rights) <= out->tail);
    uint64_t end = min_u64(out->loaded, rights_mark(session->rights));
    for (uint64_t seq = out->head; seq < end; seq++) {
        if (seq < out->head)
            continue; // head moved on
        struct delivery *entry = deliveries_at(out, seq);
        if (entry->state != DELIVERY_QUEUED || entry->share.generation == 0 ||
            session_may_send(session, entry))
            continue;
        // First given, then given up.
        struct msg *msg = msg_ref(entry->msg);
        route_redispatch(session->shard, msg, entry->share, session->durable);
        session_finish(session, deliveries_at(out, seq));
        msg_unref(msg);
    }
}

// ---- Who published a retained message -----------------------------------------------------------

void
session_source(const struct session *session, struct msg_source *ret)
{
    const struct client *client = session->client;
    must(session->id_len > 0);
    *ret = (struct msg_source){
        .user = session->user ? slice_str(session->user) : (struct slice){0},
        .client_id = session_id(session),
        .port = client ? client->shard->config->listeners[client->listener_index].port : 0,
    };
}

static bool
is_allowed_by(const struct acl *acl, const struct msg_source *source, struct slice topic)
{
    return !acl || acl_allows(acl, source->user, source->client_id, ACL_PUBLISH, topic);
}

// By the rules of the listener with its port. Where there is none such any more, those of any other
// must allow it.
bool
session_source_may(const struct shard *shard, const struct msg_source *source, struct slice topic)
{
    const struct access_rules *rules = shard->access;
    const struct config *config = shard->config;
    if (!rules)
        return true;
    if (rules->alike)
        return is_allowed_by(rules->listeners[0].acl, source, topic);
    bool allowed = false;
    for (uint32_t i = 0; i < config->listener_count; i++) {
        if (config->listeners[i].node) // no client comes there, and there are no rules
            continue;
        bool here = is_allowed_by(rules->listeners[i].acl, source, topic);
        if (source->port != 0 && config->listeners[i].port == source->port)
            return here;
        allowed |= here;
    }
    return allowed;
}

bool
session_is_sourced(const struct shard *shard, const struct msg *msg)
{
    struct msg_source source;
    return likely(!msg_source(msg, &source)) || session_source_may(shard, &source, msg_topic(msg));
}

bool
session_may_publish_will(struct session *session)
{
    must(session->will);
    struct slice topic = msg_topic(session->will->msg);
    if (session->rights || session->own_rights)
        return rights_allow(session->rights, ACL_PUBLISH, topic);
    // There are no rules, or it was restored a moment ago and not looked at yet.
    struct msg_source source;
    session_source(session, &source);
    source.port = session->will->port;
    return session_source_may(session->shard, &source, topic);
}

// ---- Other rights -------------------------------------------------------------------------------

static void
look_at_subs(struct session *session)
{
    const struct shard *shard = session->shard;
    struct slice group;
    for (uint32_t i = 0; i < session->sub_count; i++) {
        const struct session_sub *mine = &session->subs[i];
        struct sub_vector *vector = subs_find(shard->subs, mine->handle);
        must(vector && mine->place < subs_count(vector));
        struct sub *sub = &subs_items(vector)[mine->place];
        must(sub->session == session);
        struct slice filter = trie_filter(shard->broker->trie, mine->handle, &group);
        sub->options.partly = session_reads_partly(session, filter);
    }
    for (struct session_walk *walk = session->walks; walk; walk = walk->next) {
        struct slice filter = trie_filter(shard->broker->trie, walk->handle, &group);
        walk->options.partly = session_reads_partly(session, filter);
    }
}

void
session_set_rights(struct session *session, struct rights *rights)
{
    must(session->magic == SESSION_MAGIC);
    if (rights_equal(session->rights, rights)) { // the present ones know the last topics
        rights_free(rights);
        return;
    }
    rights_free(session->rights);
    session->rights = rights;
    if (rights)
        rights_set_mark(rights, session->out.tail);
    look_at_subs(session);
    session_pass_on(session);
}
