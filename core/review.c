// review.c - rules have changed: every session and client is looked at again.
#include "core/review.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/client.h"
#include "core/client_access.h"
#include "core/client_out.h"
#include "core/registry.h"
#include "core/session.h"
#include "core/session_move.h"
#include "core/shard.h"

#define REVIEW_BUCKETS 4096u

// Would it be let in now as it was then? Its password is not kept: the mark of its entry stands for
// it.
static bool
may_stay(const struct client *client)
{
    const struct shard *shard = client->shard;
    const struct access_rules *rules = shard->access;
    uint32_t i = client->listener_index;
    const struct listener_config *listener = &shard->config->listeners[i];
    if (listener->entry.use_identity_as_username || listener->entry.use_subject_as_username)
        return true;
    if (!client->access) // nobody was asked about it
        return listener->allow_anonymous;
    uint64_t mark = client->access->mark;
    if (client->access->commands) // it is looked at once it has its response
        return true;
    if (mark == 0) // somebody outside knows it, who gave it its time
        return true;
    const char *user = client->session->user;
    const struct access_users *users = rules ? rules->listeners[i].users : NULL;
    return users && user && access_users_mark(users, slice_str(user)) == mark;
}

void
review_client(struct client *client)
{
    const struct shard *shard = client->shard;
    const struct session *session = client->session;
    const struct access_rules *rules = shard->access;
    uint32_t i = client->listener_index;
    must(session != NULL);
    if (unlikely(session->node))
        return; // no rules are for it
    bool superuser = session->own_rights && !session->rights;
    client->decided_outside =
        rules && !superuser &&
        (rules->listeners[i].ask_publish || rules->listeners[i].ask_subscribe);
    client_access_outdate(client->access);
    if (client->state != CLIENT_CONNECTED || may_stay(client))
        return;
    stat_add(&client->shard->stats.access_reviewed_out, 1);
    client_fail(client, ERR_NOT_AUTHORIZED);
}

void
review_rights(struct session *session)
{
    const struct access_rules *rules = session->shard->access;
    struct acl *acl = NULL;
    if (session->client && rules)
        acl = rules->listeners[session->client->listener_index].acl;
    else if (rules && rules->alike)
        acl = rules->listeners[0].acl;
    // By which listener a session came that has been away since the last start is not known: what
    // is queued for it is looked at when it comes again.
    struct slice user = session->user ? slice_str(session->user) : slice_of(NULL, 0);
    struct slice id = session->hidden ? move_client_id(session) : session_id(session);
    session_set_rights(session, acl ? rights_new(acl, user, id) : NULL);
}

static void
review_session(struct session *session)
{
    if (unlikely(session->node))
        return;
    if (!session->own_rights)
        review_rights(session);
    if (session->client)
        review_client(session->client);
}

void
review_continue(struct shard *shard)
{
    // By number: new rules may stand where old ones stood.
    uint64_t version = shard->access ? shard->access->version : 0;
    if (unlikely(shard->reviewed != version)) {
        shard->reviewed = version;
        shard->review_at = 0;
    }
    if (likely(shard->review_at == UINT32_MAX))
        return;
    shard->review_at =
        registry_each_from(shard->registry, shard->review_at, REVIEW_BUCKETS, review_session);
}

bool
review_is_busy(const struct shard *shard)
{
    return shard->review_at != UINT32_MAX;
}
