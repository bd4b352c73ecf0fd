// explain.c - why a message reaches a client, or does not, for an operator who asks.
#include "core/explain.h"

#include <inttypes.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/access.h"
#include "core/acl.h"
#include "core/broker.h"
#include "core/client.h"
#include "core/client_handlers.h"
#include "core/cluster.h"
#include "core/registry.h"
#include "core/route.h"
#include "core/session.h"
#include "core/session_ask.h"
#include "core/shard.h"
#include "core/topic.h"
#include "core/trie_remote.h"

#define ORIGIN_MAX (4096u + 16u) // a path, or the name of a role

// ---- What is allowed ----------------------------------------------------------------------------

// Is it asked of a service outside, beside the rules?
static bool
is_decided_outside(const struct session *session, enum acl_action action)
{
    const struct access_rules *rules = session->shard->access;
    const struct client *client = session->client;
    if (!rules || !client || !client->decided_outside)
        return false;
    return action == ACL_PUBLISH ? rules->listeners[client->listener_index].ask_publish
                                 : rules->listeners[client->listener_index].ask_subscribe;
}

// No rules are known for the session: because there are none, or why else?
static const char *
why_no_rules(const struct session *session)
{
    const struct access_rules *rules = session->shard->access;
    if (session->own_rights)
        return "superuser";
    // The listener by which it came says which rules hold.
    return rules && !rules->alike && !session->client ? "unknown" : "no_rules";
}

static void
add_verdict(struct control_question *question, struct control_row *row)
{
    row->verdict = true;
    control_rows_add(&question->rows, row);
}

static void
add_rule(struct control_question *question, const struct acl_reason *reason, struct control_row row)
{
    char origin[ORIGIN_MAX];
    row.allowed = reason->allowed;
    row.why = reason->by_rule ? "rule" : "default";
    row.topic = reason->filter;
    if (reason->role) {
        (void)snprintf(origin, sizeof origin, "role %s", reason->role);
        row.group = slice_str(origin);
    } else if (reason->file && reason->line > 0) {
        (void)snprintf(origin, sizeof origin, "%s:%" PRIu32, reason->file, reason->line);
        row.group = slice_str(origin);
    }
    add_verdict(question, &row);
}

static void
explain_rights(struct control_question *question, const struct session *session,
               enum acl_action action)
{
    struct control_row row = {.action = (uint8_t)action,
                              .outside = is_decided_outside(session, action)};
    struct acl_reason reason;
    if (!session->rights) {
        row.why = why_no_rules(session);
        row.allowed = true;
        add_verdict(question, &row);
        return;
    }
    rights_explain(session->rights, action, question->filter, &reason);
    add_rule(question, &reason, row);
}

void
explain_publish(struct control_question *question, const struct session *session)
{
    struct slice topic = question->filter;
    must(topic_name_check(topic) == OK);
    // The broker's own topics, whatever the rules say.
    if (client_may_publish(NULL, topic)) {
        explain_rights(question, session, ACL_PUBLISH);
        return;
    }
    struct control_row row = {.action = ACL_PUBLISH, .why = "reserved"};
    add_verdict(question, &row);
}

// ---- Subscriptions ------------------------------------------------------------------------------

// Of the message that is asked about; data NULL, which no message has: from nobody who is here.
static void
pub_of(const struct control_question *question, const struct shard *shard, struct pub *ret)
{
    *ret = (struct pub){
        .topic = question->filter,
        .publisher = UINT64_MAX,
        .arrived_ms = shard->now_ms,
        .qos = question->qos,
    };
}

// What stands for all routes of a node (session_routes.h) is shown as those that match.
static bool
add_routes(struct control_question *question, const struct shard *shard,
           const struct session *session, struct control_row *row)
{
    uint32_t place = 0;
    char *text;
    if (session->remote == 0 || !slice_equal(row->topic, session_id(session)))
        return false;
    while (!control_is_full(question) &&
           (text = trie_remote_matching(shard->broker->trie, session->remote - 1u, question->filter,
                                        &place)) != NULL) {
        row->topic = slice_str(text);
        control_rows_add(&question->rows, row);
        mem_free(text);
    }
    return true;
}

static void
add_match(struct control_question *question, const struct shard *shard, const struct sub *sub,
          struct trie_handle handle)
{
    const struct session *session = sub->session;
    struct pub pub;
    pub_of(question, shard, &pub);
    struct slice id = session_id(session);
    if (sub->options.no_local && slice_equal(id, question->text))
        pub.publisher = session->number;
    struct control_row row = {
        .id = id,
        .queued = deliveries_waiting(&session->out),
        .inflight = session->out.inflight,
        .version = session->version,
        .options = sub->options,
        .subscription_id = sub->subscription_id,
        .node = session->node,
    };
    if (session->node)
        row.id = slice_of(id.data + id.len - NODE_ID_LEN, NODE_ID_LEN);
    if (session->user)
        row.user = slice_str(session->user);
    if (session->client)
        row.peer = slice_str(session->client->peer);
    row.topic = trie_filter(shard->broker->trie, handle, &row.group);
    if (row.group.len == 0)
        row.group = slice_of(NULL, 0);
    row.why = route_fate(shard, sub, &pub, &row.qos);
    if (likely(!session->node) || !add_routes(question, shard, session, &row))
        control_rows_add(&question->rows, &row);
}

static void
add_own_matches(struct control_question *question, const struct session *session)
{
    struct shard *shard = session->shard;
    const struct match *match = match_cache_get(shard->matches, question->filter);
    for (uint32_t i = 0; i < match->count && !control_is_full(question); i++) {
        struct trie_handle handle = match->entries[i].handle;
        struct sub_vector *vector = subs_find(shard->subs, handle);
        const struct session_sub *mine = vector ? session_find_sub(session, handle) : NULL;
        if (!mine)
            continue;
        must(mine->place < subs_count(vector));
        add_match(question, shard, &subs_items(vector)[mine->place], handle);
    }
}

void
explain_subscribe(struct control_question *question, const struct session *session)
{
    struct control_row row = {.action = ACL_RECEIVE};
    explain_rights(question, session, ACL_SUBSCRIBE);
    if (!topic_filter_is_wild(question->filter)) {
        explain_rights(question, session, ACL_RECEIVE);
        add_own_matches(question, session);
        return;
    }
    static const char *const covers[] = {
        [ACL_COVERS_NOTHING] = "reads_nothing",
        [ACL_COVERS_SOME] = "reads_some",
        [ACL_COVERS_ALL] = "reads_all",
    };
    enum acl_cover cover = rights_cover(session->rights, ACL_RECEIVE, question->filter);
    row.why = covers[cover];
    row.allowed = cover != ACL_COVERS_NOTHING;
    add_verdict(question, &row);
}

// ---- Everybody who matches ----------------------------------------------------------------------

// Goes on at place->number, an entry of the match, and place->subs, a subscriber in it. While
// others subscribe and unsubscribe one may be met twice, or not at all.
static bool
walk(struct control_question *question, const struct shard *shard, const struct match *match)
{
    struct control_place *place = &question->place;
    for (uint32_t steps = 0; place->number < match->count; steps++) {
        struct trie_handle handle = match->entries[place->number].handle;
        struct sub_vector *vector = subs_find(shard->subs, handle);
        if (control_is_full(question) || steps == CONTROL_STEP)
            return false;
        if (vector && place->subs < subs_count(vector)) {
            add_match(question, shard, &subs_items(vector)[place->subs], handle);
            place->subs++;
            continue;
        }
        place->number++;
        place->subs = 0;
    }
    return true;
}

bool
explain_matches(struct control_question *question, struct shard *shard)
{
    must(topic_name_check(question->filter) == OK);
    const struct match *match = match_cache_get(shard->matches, question->filter);
    if (walk(question, shard, match))
        question->place = (struct control_place){.bucket = REGISTRY_END};
    return question->place.bucket == REGISTRY_END || control_is_full(question);
}
