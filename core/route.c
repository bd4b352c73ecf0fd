// route.c - from a publication to the sessions that want it, on all shards.
#include "core/route.h"

#include "core/base/mem.h"

#include "core/acl.h"
#include "core/broker.h"
#include "core/cluster.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/route_parts.h"
#include "core/session.h"
#include "core/session_ask.h"
#include "core/session_move.h"
#include "core/shard.h"

// A session that wants the present publication, with what its overlapping subscriptions add up to.
struct target {
    struct session *session;
    uint32_t ids_at; // first of its identifiers in scratch->ids, NONE = no identifier
    uint32_t id_count;
    uint8_t qos;
    bool retain_as_published;
    struct trie_handle share;
};

// Identifiers of one target are chained: targets are met in any order.
struct id_link {
    uint32_t id, next;
};
#define NONE UINT32_MAX

struct route_scratch {
    struct target *targets;
    uint32_t target_count, target_cap;
    struct id_link *links;
    uint32_t link_count, link_cap;
    uint32_t *ids;
    uint32_t id_cap;
    struct trie_handle *handles;
    uint32_t handle_cap;
    uint8_t *share_shard; // picked shard of each share entry
    uint32_t share_cap;
    uint32_t *others; // of a vector, who does not take a run whole
    uint32_t other_cap;
    struct publish_copy copy;
};

struct route_scratch *
route_scratch_new(void)
{
    return mem_zalloc(sizeof(struct route_scratch));
}

void
route_scratch_free(struct route_scratch *scratch)
{
    if (!scratch)
        return;
    mem_free(scratch->targets);
    mem_free(scratch->links);
    mem_free(scratch->ids);
    mem_free(scratch->handles);
    mem_free(scratch->share_shard);
    mem_free(scratch->others);
    mem_free(scratch);
}

// ---- Local: one subscription -------------------------------------------------------------------

static uint8_t
effective_qos(const struct shard *shard, const struct sub *sub, const struct pub *pub)
{
    if (unlikely(shard->config->upgrade_outgoing_qos))
        return sub->options.qos;
    return sub->options.qos < pub->qos ? sub->options.qos : pub->qos;
}

// Its own, and it does not want that [MQTT-3.8.3-3].
static inline bool
is_unwanted(const struct sub *sub, const struct pub *pub)
{
    return sub->options.no_local && sub->session->number == pub->publisher;
}

// Or it may not read it.
static NOINLINE bool
is_kept_from(const struct sub *sub, const struct pub *pub)
{
    if (is_unwanted(sub, pub))
        return true;
    if (sub->options.node && pub->from_node)
        return true;
    if (sub->options.moves && session_is_elsewhere(sub->session, pub))
        return true;
    if (!sub->options.partly || session_may_read(sub->session, pub->topic))
        return false;
    if (pub_is_run(pub)) // one was counted
        stat_add(&sub->session->shard->stats.withheld, pub->packet.count - 1u);
    return true;
}

static inline bool
is_for(const struct sub *sub, const struct pub *pub)
{
    return likely(!(sub->options.no_local | sub->options.partly | sub->options.node |
                    sub->options.moves)) ||
           !is_kept_from(sub, pub);
}

const char *
route_fate(const struct shard *shard, const struct sub *sub, const struct pub *pub,
           uint8_t *ret_qos)
{
    *ret_qos = effective_qos(shard, sub, pub);
    if (is_unwanted(sub, pub))
        return "no_local";
    if (sub->options.partly && !rights_allow(sub->session->rights, ACL_RECEIVE, pub->topic))
        return "not_allowed";
    return session_fate(sub->session, pub, *ret_qos);
}

// Another node is told of its turn as of an identifier of its subscription, which has none.
static const uint32_t *
id_of(const struct sub *sub, const struct pub *pub)
{
    return unlikely(pub->turn != 0) && sub->options.node ? &pub->turn : &sub->subscription_id;
}

static struct delivery_spec
spec_of(const struct shard *shard, const struct sub *sub, const struct pub *pub)
{
    const uint32_t *id = id_of(sub, pub);
    return (struct delivery_spec){
        .qos = effective_qos(shard, sub, pub),
        .retain = sub->options.retain_as_published && pub->retain,
        .subscription_ids = id,
        .subscription_id_count = *id ? 1 : 0,
    };
}

static void
deliver_sub(struct shard *shard, const struct sub *sub, struct pub *pub)
{
    struct delivery_spec spec = spec_of(shard, sub, pub);
    session_deliver(sub->session, pub, &spec);
}

// A run: first those who take it whole, then the others, each packet to all of them.
static NOINLINE void
deliver_run(struct shard *shard, const struct sub *items, uint32_t count, struct pub *run)
{
    struct route_scratch *scratch = shard->scratch;
    scratch->others = mem_grow(scratch->others, &scratch->other_cap, count, sizeof(uint32_t));
    uint32_t others = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct delivery_spec spec = spec_of(shard, &items[i], run);
        if (!is_for(&items[i], run))
            continue;
        if (!session_deliver_run(items[i].session, run, &spec))
            scratch->others[others++] = i;
    }
    struct pub rest = *run, one = pub_one_of(run);
    while (others > 0 && pub_next(&rest, &one)) {
        scratch->copy.packet.form = 0;
        one.copy = &scratch->copy;
        for (uint32_t i = 0; i < others; i++)
            deliver_sub(shard, &items[scratch->others[i]], &one);
        pub_done(&one);
    }
}

// No session can be met twice when one filter matched: straight through.
static void
deliver_vector(struct shard *shard, struct sub_vector *vector, struct pub *pub)
{
    const struct sub *items = subs_items(vector);
    const uint32_t count = subs_count(vector);
    struct route_scratch *scratch = shard->scratch;
    if (pub_is_run(pub) && count > 1) {
        deliver_run(shard, items, count, pub);
        return;
    }
    scratch->copy.packet.form = 0;
    pub->copy = count > 1 ? &scratch->copy : NULL;
    for (uint32_t i = 0; i < count; i++)
        if (likely(is_for(&items[i], pub)))
            deliver_sub(shard, &items[i], pub);
    pub->copy = NULL;
}

// Of count members the one whose turn it is, or a later one: one that may read it, with room for it
// if there is one. NULL: none may.
static const struct sub *
pick_member(const struct sub *members, uint32_t count, uint32_t turn, const struct pub *pub)
{
    const struct sub *picked = NULL;
    for (uint32_t i = 0; i < count; i++) {
        const struct sub *sub = &members[(turn + i) % count];
        if (unlikely(sub->options.node) && pub->from_node)
            continue;
        if (unlikely(sub->options.partly) &&
            !rights_allow(sub->session->rights, ACL_RECEIVE, pub->topic))
            continue;
        if (likely(session_has_room(sub->session, pub)))
            return sub;
        picked = picked ? picked : sub;
    }
    return picked;
}

// To one that has a connection, while there are any that may read it. False: nobody here may.
static bool
deliver_share(struct shard *shard, struct trie_handle share, struct pub *pub)
{
    struct sub_vector *vector = subs_find(shard->subs, share);
    if (!vector)
        return false;
    uint32_t connected = subs_connected(vector), turn = subs_turn(vector, pub->from_node);
    const struct sub *items = subs_items(vector), *sub = pick_member(items, connected, turn, pub);
    if (!sub)
        sub = pick_member(items + connected, subs_count(vector) - connected, turn, pub);
    if (!sub)
        return false;
    struct delivery_spec spec = spec_of(shard, sub, pub);
    spec.share = share;
    spec.ordinal = sub->session->subs[sub->back].ordinal;
    uint32_t group = node_group_id(sub->subscription_id);
    spec.subscription_ids = sub->options.node ? &group : spec.subscription_ids;
    session_deliver(sub->session, pub, &spec);
    return true;
}

// ---- Local: overlapping subscriptions ----------------------------------------------------------

static void
add_id(struct route_scratch *scratch, struct target *target, uint32_t id)
{
    if (id == 0)
        return;
    scratch->links = mem_grow(scratch->links, &scratch->link_cap, scratch->link_count + 1,
                              sizeof *scratch->links);
    scratch->links[scratch->link_count] = (struct id_link){.id = id, .next = target->ids_at};
    target->ids_at = scratch->link_count++;
    target->id_count++;
}

// A client with overlapping subscriptions gets one copy, at the highest QoS, with all identifiers
// [MQTT-3.3.4-2] [MQTT-3.3.4-4].
static void
merge_vector(struct shard *shard, struct sub_vector *vector, const struct pub *pub)
{
    struct route_scratch *scratch = shard->scratch;
    const struct sub *items = subs_items(vector);
    for (uint32_t i = 0, count = subs_count(vector); i < count; i++) {
        const struct sub *sub = &items[i];
        struct session *session = sub->session;
        if (!is_for(sub, pub))
            continue;
        uint8_t qos = effective_qos(shard, sub, pub);
        if (session->stamp != shard->stamp) {
            session->stamp = shard->stamp;
            session->target = scratch->target_count;
            scratch->targets = mem_grow(scratch->targets, &scratch->target_cap,
                                        scratch->target_count + 1, sizeof(struct target));
            scratch->targets[scratch->target_count++] =
                (struct target){.session = session, .ids_at = NONE, .qos = qos};
            add_id(scratch, &scratch->targets[session->target], *id_of(sub, pub));
        } else if (!sub->options.node) {
            add_id(scratch, &scratch->targets[session->target], sub->subscription_id);
        }
        struct target *target = &scratch->targets[session->target];
        target->qos = target->qos > qos ? target->qos : qos;
        target->retain_as_published |= sub->options.retain_as_published;
    }
}

static void
deliver_targets(struct shard *shard, struct pub *pub)
{
    struct route_scratch *scratch = shard->scratch;
    scratch->copy.packet.form = 0;
    pub->copy = scratch->target_count > 1 ? &scratch->copy : NULL;
    for (uint32_t i = 0; i < scratch->target_count; i++) {
        const struct target *target = &scratch->targets[i];
        scratch->ids =
            mem_grow(scratch->ids, &scratch->id_cap, target->id_count + 1, sizeof(uint32_t));
        uint32_t n = 0;
        for (uint32_t link = target->ids_at; link != NONE; link = scratch->links[link].next)
            scratch->ids[n++] = scratch->links[link].id;
        must_hot(n == target->id_count);
        struct delivery_spec spec = {
            .qos = target->qos,
            .retain = target->retain_as_published && pub->retain,
            .subscription_ids = scratch->ids,
            .subscription_id_count = n,
        };
        session_deliver(target->session, pub, &spec);
    }
    pub->copy = NULL;
    scratch->target_count = scratch->link_count = 0;
}

static void place(struct shard *shard, struct pub *pub, struct trie_handle share, uint64_t tried,
                  bool lasting);

static inline void
deliver_filter(struct shard *shard, struct pub *pub, struct trie_handle handle)
{
    struct sub_vector *vector = subs_find(shard->subs, handle);
    if (likely(vector))
        deliver_vector(shard, vector, pub);
}

static void
deliver_handles(struct shard *shard, struct pub *pub, const struct selection *wanted)
{
    if (likely(wanted->ordinary == 1)) {
        deliver_filter(shard, pub, wanted->handles[0]);
    } else if (wanted->ordinary > 1) {
        shard->stamp++;
        for (uint32_t i = 0; i < wanted->ordinary; i++) {
            struct sub_vector *vector = subs_find(shard->subs, wanted->handles[i]);
            if (vector)
                merge_vector(shard, vector, pub);
        }
        deliver_targets(shard, pub);
    }
    for (uint32_t i = 0; i < wanted->shares; i++) {
        struct trie_handle share = wanted->handles[wanted->ordinary + i];
        if (unlikely(!deliver_share(shard, share, pub)))
            place(shard, pub, share, wanted->tried | UINT64_C(1) << shard->index, false);
    }
}

// ---- From other shards -------------------------------------------------------------------------

// Of a run, each message for itself.
static void
deliver_each(struct shard *shard, struct pub *run, const struct selection *wanted)
{
    struct pub one = pub_one_of(run);
    while (pub_next(run, &one)) {
        deliver_handles(shard, &one, wanted);
        pub_done(&one);
    }
}

static void
deliver_posted(struct shard *shard, struct pub *pub, const struct selection *wanted)
{
    if (pub_is_run(pub) && pub->qos > 0 && (wanted->ordinary != 1 || wanted->shares > 0))
        deliver_each(shard, pub, wanted);
    else
        deliver_handles(shard, pub, wanted);
    pub_done(pub);
}

// Another shard of this thread gets it at once, not by mail: nobody reads its sessions meanwhile.
// Messages are its own, as if it had come by mail: it may be at another thread later.
static void
deliver_beside(struct shard *shard, const struct pub *pub, const struct selection *wanted)
{
    struct pub own = *pub;
    own.source = NULL;
    own.msg = NULL;
    own.copy = NULL;
    own.bonded = false;
    if (unlikely(pub->msg && pub->msg->sampled))
        samples_mark(&own, pub->msg->taken_us);
    shard->outcome = OUTCOME_TAKEN;
    deliver_posted(shard, &own, wanted);
}

static void
on_publish(struct shard *shard, unsigned from, const struct spsc_record *record)
{
    struct record_head head;
    struct pub pub;
    route_record_pub(record, &head, &pub);
    stat_add(&shard->stats.posts_taken, 1);
    if (unlikely(head.taken_us != 0) && !pub.msg)
        samples_mark(&pub, samples_long(head.taken_us));
    shard->outcome = OUTCOME_TAKEN;
    if (unlikely(head.bonded))
        journal_bond(shard->journal, false, head.ticket, UINT64_C(1) << from);
    // Records are 8-byte aligned and the head is a multiple of 8.
    const void *handles = record->data + sizeof head;
    struct selection wanted = {handles, head.ordinary, head.shares, head.tried};
    deliver_posted(shard, &pub, &wanted);
    if (head.ticket)
        tickets_owe(shard, from, head.ticket, shard->outcome);
}

void
route_on_record(struct shard *shard, unsigned from, const struct spsc_record *record)
{
    if (likely(record->type != RECORD_OUTCOME))
        on_publish(shard, from, record);
    else
        tickets_on_outcome(shard, record);
}

void
route_drop_record(const struct spsc_record *record)
{
    struct record_head head;
    struct pub pub;
    route_record_pub(record, &head, &pub);
    pub_done(&pub);
}

// ---- Publishing --------------------------------------------------------------------------------

// What of the match belongs to the shard `to`; in scratch->handles, or in the match itself.
static struct selection
select_handles(struct route_scratch *scratch, const struct match *match, unsigned to)
{
    if (likely(match->count == 1 && match->shares == 0)) // one filter is the rule
        return (struct selection){&match->entries[0].handle, 1, 0, 0};
    struct selection ret = {0};
    uint32_t n = 0, plain = match->count - match->shares;
    scratch->handles = mem_grow(scratch->handles, &scratch->handle_cap, match->count + 1,
                                sizeof *scratch->handles);
    for (uint32_t i = 0; i < plain; i++)
        if (match->entries[i].shards >> to & 1)
            scratch->handles[n++] = match->entries[i].handle;
    ret.ordinary = n;
    for (uint32_t i = 0; i < match->shares; i++)
        if (scratch->share_shard[i] == to)
            scratch->handles[n++] = match->entries[plain + i].handle;
    ret.shares = n - ret.ordinary;
    ret.handles = scratch->handles;
    return ret;
}

#define NO_SHARD 0xffu

// Has the group a member here that may get it?
static bool
takes_share(const struct shard *shard, struct trie_handle share, const struct pub *pub)
{
    struct sub_vector *vector = subs_find(shard->subs, share);
    return vector && pick_member(subs_items(vector), subs_count(vector), 0, pub);
}

// Adds to *durable the shards whose picked group has a member that outlives its connection.
static uint64_t
pick_shares(struct shard *shard, const struct match *match, const struct pub *pub, bool own,
            uint64_t *durable)
{
    struct route_scratch *scratch = shard->scratch;
    uint64_t shards = 0;
    scratch->share_shard = mem_grow(scratch->share_shard, &scratch->share_cap, match->shares, 1);
    for (uint32_t i = 0; i < match->shares; i++) {
        const struct match_entry *entry = &match->entries[match->count - match->shares + i];
        bool lasting;
        int to = trie_share_pick_among(entry->share, own, 0, &shard->share_rotor, &lasting);
        // Not given on from here: the publisher waits for the shards that are picked now.
        uint64_t here = UINT64_C(1) << shard->index;
        if (to == (int)shard->index && unlikely(shard->access) &&
            !takes_share(shard, entry->handle, pub))
            to = trie_share_pick_among(entry->share, own, here, &shard->share_rotor, &lasting);
        scratch->share_shard[i] = to < 0 ? NO_SHARD : (uint8_t)to;
        if (to < 0)
            continue;
        shards |= UINT64_C(1) << to;
        if (lasting)
            *durable |= UINT64_C(1) << to;
    }
    return shards;
}

// Another node has chosen for all groups, and tells whom by route_publish_group.
static uint64_t
pick_none(struct shard *shard, const struct match *match)
{
    struct route_scratch *scratch = shard->scratch;
    scratch->share_shard = mem_grow(scratch->share_shard, &scratch->share_cap, match->shares, 1);
    memset(scratch->share_shard, NO_SHARD, match->shares);
    return 0;
}

// Other shards that may have a durable subscriber are to answer.
static void
expect_answers(struct shard *shard, struct pub *pub, uint64_t shards, struct route_result *ret)
{
    ret->answering = shards;
    ret->ticket = tickets_next(shard);
    // The shards' journals are to know it by one number.
    if (pub->number == 0)
        pub->number = journal_message_number(shard->journal);
    if (pub->bonded)
        journal_bond(shard->journal, true, ret->ticket, ret->answering);
}

static void
deliver_here(struct shard *shard, struct pub *pub, const struct match *match)
{
    struct selection wanted = select_handles(shard->scratch, match, shard->index);
    if (likely(wanted.shares == 0)) {
        deliver_handles(shard, pub, &wanted);
        return;
    }
    // A redispatch may match again, and use the scratch: so a copy of its own.
    size_t bytes = (wanted.ordinary + wanted.shares) * sizeof(struct trie_handle);
    struct trie_handle *handles = mem_alloc(bytes);
    memcpy(handles, wanted.handles, bytes);
    wanted.handles = handles;
    deliver_handles(shard, pub, &wanted);
    mem_free(handles);
}

static void
post_all(struct shard *shard, struct pub *pub, const struct match *match, uint64_t shards,
         const struct route_result *result)
{
    for (; shards; shards &= shards - 1) {
        unsigned to = (unsigned)__builtin_ctzll(shards);
        uint64_t ticket = result->answering >> to & 1 ? result->ticket : 0;
        struct selection wanted = select_handles(shard->scratch, match, to);
        // A group's member is chosen by that shard, which may give it on from there.
        if (ticket == 0 && wanted.shares == 0 && !route_is_long(pub) && mail_is_beside(shard, to))
            deliver_beside(shard->broker->shards[to], pub, &wanted);
        else
            route_post(shard, to, pub, ticket, &wanted);
    }
}

static void
publish_to(struct shard *shard, struct pub *pub, const struct match *match, uint64_t shards,
           uint64_t durable, struct route_result *ret)
{
    uint64_t others = shards & ~(UINT64_C(1) << shard->index);
    if (unlikely((durable & others) && pub->qos > 0))
        expect_answers(shard, pub, durable & others, ret);
    if (others)
        post_all(shard, pub, match, others, ret);
    if (shards >> shard->index & 1)
        deliver_here(shard, pub, match);
}

static void
publish_match(struct shard *shard, struct pub *pub, const struct match *match,
              struct route_result *ret)
{
    uint64_t shards = match->shards, durable = match->durable;
    if (unlikely(match->shares))
        shards |= pub->from_node ? pick_none(shard, match)
                                 : pick_shares(shard, match, pub, false, &durable);
    publish_to(shard, pub, match, shards, durable, ret);
}

// A share group gets each message for itself.
static void
publish_each(struct shard *shard, struct pub *run, struct route_result *ret)
{
    struct pub one = pub_one_of(run);
    while (pub_next(run, &one)) {
        // Anew for each: delivering to a group may have matched another topic.
        publish_match(shard, &one, match_cache_get(shard->matches, one.topic), ret);
        pub_done(&one);
    }
}

void
route_publish_group(struct shard *shard, struct pub *pub, struct slice filter, struct slice group,
                    struct route_result *ret)
{
    _Alignas(struct match) uint8_t room[sizeof(struct match) + sizeof(struct match_entry)] = {0};
    struct match *match = (struct match *)room;
    *ret = (struct route_result){0};
    shard->outcome = OUTCOME_TAKEN;
    match->count = match->shares = 1;
    const struct match *all = match_cache_get(shard->matches, pub->topic);
    ret->matched = match_group(all, filter, group, &match->entries[0]);
    if (ret->matched) {
        uint64_t durable = 0, shards = pick_shares(shard, match, pub, true, &durable);
        publish_to(shard, pub, match, shards, durable, ret);
    } else {
        stat_add(&shard->stats.dropped_no_member, 1);
    }
    ret->outcome = shard->outcome;
}

// These shards have been given something else for the same publication. They are asked with its
// ticket once more, behind that.
static NOINLINE void
ask_also(struct shard *shard, uint64_t shards, struct route_result *ret)
{
    const struct trie_handle none = {0};
    struct pub nothing = {.topic = slice_str("")};
    if (ret->ticket == 0)
        ret->ticket = tickets_next(shard);
    shards &= ~ret->answering;
    ret->answering |= shards;
    for (; shards; shards &= shards - 1)
        route_post(shard, (unsigned)__builtin_ctzll(shards), &nothing, ret->ticket,
                   &(struct selection){.handles = &none});
}

err_t
route_publish(struct shard *shard, struct pub *pub, struct route_result *ret)
{
    uint64_t telling = 0;
    *ret = (struct route_result){0};
    shard->outcome = OUTCOME_TAKEN;
    if (unlikely(shard->turn != 0) && !pub->from_node)
        pub->turn = shard->turn;
    if (unlikely(pub->retain && !pub->from_node)) {
        err_t err = route_retain(shard, pub, &telling);
        if (err)
            return err;
    }
    const struct match *match = match_cache_get(shard->matches, pub->topic);
    ret->matched = match->count > 0;
    // One filter, of this shard alone, is the rule.
    if (match->count == 1 && match->shards == UINT64_C(1) << shard->index)
        deliver_filter(shard, pub, match->entries[0].handle);
    else if (unlikely(match->shares && pub_is_run(pub)))
        publish_each(shard, pub, ret);
    else if (ret->matched)
        publish_match(shard, pub, match, ret);
    ret->outcome = shard->outcome;
    if (unlikely(telling) && pub->qos > 0) // else nobody waits
        ask_also(shard, telling, ret);
    return OK;
}

// Most have one subscriber, who is then not looked for each time.
static void
plan_only(struct shard *shard, const struct pub *run, struct route_plan *plan)
{
    struct sub_vector *vector =
        plan->handle_count == 1 ? subs_find(shard->subs, plan->handles[0]) : NULL;
    if (!vector || subs_count(vector) != 1)
        return;
    const struct sub *sub = subs_items(vector);
    if (!is_for(sub, run)) {
        plan->handle_count = 0;
        return;
    }
    plan->only = sub->session;
    plan->spec = spec_of(shard, sub, run);
}

void
route_begin(struct shard *shard, struct pub *run, struct route_plan *ret)
{
    must_hot(pub_is_run(run) && run->qos > 0 && !run->retain);
    const struct match *match = match_cache_get(shard->matches, run->topic);
    uint64_t here = UINT64_C(1) << shard->index, others = match->shards & ~here;
    *ret = (struct route_plan){0};
    if (unlikely(shard->turn != 0) && !run->from_node)
        run->turn = shard->turn;
    // Groups choose anew each time, and a shard answers for one message at a time.
    if (unlikely(match->shares || (match->durable & others)))
        return;
    ret->match = match;
    if (others)
        post_all(shard, run, match, others, &(struct route_result){0});
    if (match->shards & here) {
        struct selection wanted = select_handles(shard->scratch, match, shard->index);
        ret->handles = wanted.handles;
        ret->handle_count = wanted.ordinary;
        plan_only(shard, run, ret);
    }
}

// All of a vector take it whole, or none does.
static bool
put_run_to_all(struct shard *shard, struct sub_vector *vector, struct pub *run)
{
    const struct sub *items = subs_items(vector);
    const uint32_t count = subs_count(vector);
    for (uint32_t i = 0; i < count; i++) {
        struct delivery_spec spec = spec_of(shard, &items[i], run);
        if ((items[i].options.no_local | items[i].options.partly | items[i].options.node |
             items[i].options.moves) ||
            !session_takes_run(items[i].session, run, &spec))
            return false;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct delivery_spec spec = spec_of(shard, &items[i], run);
        bool taken = session_deliver_run(items[i].session, run, &spec);
        must_hot(taken);
    }
    return true;
}

bool
route_run(struct shard *shard, const struct route_plan *plan, struct pub *run)
{
    if (likely(plan->only))
        return session_deliver_run(plan->only, run, &plan->spec);
    if (!plan->match || plan->match->count == 0 || plan->handle_count > 1)
        return false;
    if (plan->handle_count == 0)
        return true; // others have it
    struct sub_vector *vector = subs_find(shard->subs, plan->handles[0]);
    return vector && put_run_to_all(shard, vector, run);
}

void
route_next(struct shard *shard, const struct route_plan *plan, struct pub *one,
           struct route_result *ret)
{
    if (unlikely(!plan->match)) {
        err_t err = route_publish(shard, one, ret);
        must(err == OK); // only what is retained can be refused
        return;
    }
    *ret = (struct route_result){.matched = plan->match->count > 0};
    shard->outcome = OUTCOME_TAKEN;
    if (likely(plan->only))
        session_deliver(plan->only, one, &plan->spec);
    else
        deliver_handles(shard, one, &(struct selection){plan->handles, plan->handle_count, 0, 0});
    ret->outcome = shard->outcome;
}

static void
post_share(struct shard *shard, unsigned to, struct pub *pub, const struct selection *wanted,
           bool bonded)
{
    uint64_t ticket = 0;
    if (bonded) {
        ticket = tickets_next(shard);
        pub->bonded = true;
        journal_bond(shard->journal, true, ticket, UINT64_C(1) << to);
    }
    route_post(shard, to, pub, ticket, wanted);
}

// To a member of any shard but those that were tried, this one or another.
static void
place(struct shard *shard, struct pub *pub, struct trie_handle share, uint64_t tried, bool lasting)
{
    must(share.generation != 0);
    const struct trie_share *group =
        match_share(match_cache_get(shard->matches, pub->topic), share);
    bool durable = false;
    for (;;) {
        int to = !group ? -1
                        : trie_share_pick_among(group, pub->from_node, tried, &shard->share_rotor,
                                                &durable);
        if (to < 0) {
            stat_add(&shard->stats.dropped_no_member, 1);
            return;
        }
        if (to != (int)shard->index) {
            const struct selection wanted = {&share, 0, 1, tried};
            post_share(shard, (unsigned)to, pub, &wanted, lasting && durable);
            return;
        }
        if (deliver_share(shard, share, pub))
            return;
        tried |= UINT64_C(1) << shard->index;
    }
}

void
route_redispatch(struct shard *shard, struct msg *msg, struct trie_handle share, bool lasting)
{
    struct pub pub;
    pub_from_msg(&pub, msg);
    place(shard, &pub, share, 0, lasting);
    pub_done(&pub);
}
