// route.c - from a publication to the sessions that want it, on all shards.
#include "core/route.h"

#include "core/base/mem.h"

#include "core/acl.h"
#include "core/broker.h"
#include "core/journal.h"
#include "core/mail.h"
#include "core/retained.h"
#include "core/session.h"
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

// ---- Local: one subscription
// ----------------------------------------------------------------------

static uint8_t
effective_qos(const struct shard *shard, const struct sub *sub, const struct pub *pub)
{
    if (unlikely(shard->config->upgrade_outgoing_qos))
        return sub->options.qos;
    return sub->options.qos < pub->qos ? sub->options.qos : pub->qos;
}

// Its own, and it does not want that [MQTT-3.8.3-3]; or it may not read it.
static NOINLINE bool
is_kept_from(const struct sub *sub, const struct pub *pub)
{
    if (sub->options.no_local && sub->session->number == pub->publisher)
        return true;
    return sub->options.partly && !session_may_read(sub->session, pub->topic);
}

static inline bool
is_for(const struct sub *sub, const struct pub *pub)
{
    return likely(!(sub->options.no_local | sub->options.partly)) || !is_kept_from(sub, pub);
}

static struct delivery_spec
spec_of(const struct shard *shard, const struct sub *sub, const struct pub *pub)
{
    return (struct delivery_spec){
        .qos = effective_qos(shard, sub, pub),
        .retain = sub->options.retain_as_published && pub->retain,
        .subscription_ids = &sub->subscription_id,
        .subscription_id_count = sub->subscription_id ? 1 : 0,
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
    uint32_t connected = subs_connected(vector), turn = subs_turn(vector);
    const struct sub *items = subs_items(vector), *sub = pick_member(items, connected, turn, pub);
    if (!sub)
        sub = pick_member(items + connected, subs_count(vector) - connected, turn, pub);
    if (!sub)
        return false;
    struct delivery_spec spec = spec_of(shard, sub, pub);
    spec.share = share;
    spec.ordinal = sub->session->subs[sub->back].ordinal;
    session_deliver(sub->session, pub, &spec);
    return true;
}

// ---- Local: overlapping subscriptions
// -----------------------------------------------------------------

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
        }
        struct target *target = &scratch->targets[session->target];
        target->qos = target->qos > qos ? target->qos : qos;
        target->retain_as_published |= sub->options.retain_as_published;
        add_id(scratch, target, sub->subscription_id);
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

// Handles of ordinary subscriptions, then those of share groups, which lead to one member each.
struct selection {
    const struct trie_handle *handles;
    uint32_t ordinary, shares;
    uint64_t tried; // bit i: shard i had no member for it
};

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

// ---- To other shards
// --------------------------------------------------------------------------------

// What a record begins with; ordinary + shares handles follow, then the body or its msg. The body
// is the packet as it came, or the run, or else topic, properties, payload: these stand in both in
// this order, the properties just before the payload.
struct record_head {
    uint64_t expires_ms, publisher, arrived_ms, number;
    uint64_t ticket; // the receiver answers with it; 0 = no answer is wanted
    uint64_t tried;  // for one share group that is on its way: struct selection
    struct msg *msg; // RECORD_PUBLISH_REF: with a reference; else NULL
    uint32_t topic_len, props_len, payload_at, payload_len;
    uint32_t run_payload_len; // of all packets
    uint32_t ordinary, shares;
    uint16_t count; // packets
    uint8_t form;   // of the packet (msg.h)
    uint8_t topic_at;
    uint8_t qos;
    bool retain, may_wait;
    bool bonded; // what is journaled for it reaches the disk together with the publisher's side
};
_Static_assert(sizeof(struct record_head) % 8 == 0, "handles and body follow");

static uint32_t
body_len(const struct pub *pub)
{
    return pub->packet.form ? pub->packet.len : pub->topic.len + pub->props.len + pub->payload.len;
}

static void
put_body(uint8_t *p, const struct pub *pub)
{
    if (likely(pub->packet.form)) {
        memcpy(p, pub->packet.bytes, pub->packet.len);
        return;
    }
    memcpy(p, pub->topic.data, pub->topic.len);
    if (pub->props.len)
        memcpy(p + pub->topic.len, pub->props.data, pub->props.len);
    if (pub->payload.len)
        memcpy(p + pub->topic.len + pub->props.len, pub->payload.data, pub->payload.len);
}

static void
post(struct shard *shard, unsigned to, struct pub *pub, uint64_t ticket,
     const struct selection *wanted)
{
    uint32_t handles = (wanted->ordinary + wanted->shares) * sizeof(struct trie_handle);
    uint32_t body = body_len(pub);
    bool by_ref = body > ROUTE_INLINE_MAX && !pub_is_run(pub), whole = pub->packet.form != 0;
    struct record_head head = {
        .expires_ms = pub->expires_ms,
        .publisher = pub->publisher,
        .arrived_ms = pub->arrived_ms,
        .number = pub->number,
        .ticket = ticket,
        .tried = wanted->tried,
        .msg = by_ref ? msg_share(pub_msg(pub)) : NULL,
        .topic_len = pub->topic.len,
        .props_len = pub->props.len,
        .payload_at = whole ? (uint32_t)(pub->payload.data - pub->packet.bytes)
                            : pub->topic.len + pub->props.len,
        .payload_len = pub->payload.len,
        .run_payload_len = pub->packet.payload_len,
        .ordinary = wanted->ordinary,
        .shares = wanted->shares,
        .count = pub->packet.count,
        .form = pub->packet.form,
        .topic_at = whole ? (uint8_t)(pub->topic.data - pub->packet.bytes) : 0,
        .qos = pub->qos,
        .retain = pub->retain,
        .may_wait = pub->may_wait,
        .bonded = ticket != 0 && pub->bonded,
    };
    uint8_t *p = mail_reserve(shard, to, by_ref ? RECORD_PUBLISH_REF : RECORD_PUBLISH,
                              (uint32_t)sizeof head + handles + (by_ref ? 0 : body));
    memcpy(p, &head, sizeof head);
    p += sizeof head;
    if (likely(handles == sizeof(struct trie_handle)))
        memcpy(p, wanted->handles, sizeof(struct trie_handle));
    else
        memcpy(p, wanted->handles, handles);
    stat_add(&shard->stats.posted, 1);
    if (!by_ref)
        put_body(p + handles, pub);
}

static void
record_pub(const struct spsc_record *record, struct record_head *ret_head, struct pub *ret_pub)
{
    must_hot(record->len >= sizeof *ret_head);
    memcpy(ret_head, record->data, sizeof *ret_head);
    const struct record_head *head = ret_head;
    if (head->msg) {
        pub_from_msg(ret_pub, head->msg);
        msg_unref(head->msg); // pub has one of its own
        ret_pub->may_wait = head->may_wait;
        return;
    }
    size_t before =
        sizeof *head + (size_t)(head->ordinary + head->shares) * sizeof(struct trie_handle);
    must_hot(before + head->payload_at + head->payload_len <= record->len);
    must_hot(head->topic_at + head->topic_len + head->props_len <= head->payload_at);
    const uint8_t *body = record->data + before;
    *ret_pub = (struct pub){
        .topic = slice_of(body + head->topic_at, head->topic_len),
        .props = slice_of(body + head->payload_at - head->props_len, head->props_len),
        .payload = slice_of(body + head->payload_at, head->payload_len),
        .packet = {.bytes = body,
                   .len = (uint32_t)(record->len - before),
                   .payload_len = head->run_payload_len,
                   .id_at = head->topic_at + head->topic_len,
                   .count = head->count,
                   .form = head->form},
        .expires_ms = head->expires_ms,
        .publisher = head->publisher,
        .arrived_ms = head->arrived_ms,
        .number = head->number,
        .qos = head->qos,
        .retain = head->retain,
        .may_wait = head->may_wait,
    };
}

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
on_publish(struct shard *shard, unsigned from, const struct spsc_record *record)
{
    struct record_head head;
    struct pub pub;
    record_pub(record, &head, &pub);
    stat_add(&shard->stats.posts_taken, 1);
    shard->outcome = OUTCOME_TAKEN;
    if (unlikely(head.bonded))
        journal_bond(shard->journal, false, head.ticket, UINT64_C(1) << from);
    // Records are 8-byte aligned and the head is a multiple of 8.
    const void *handles = record->data + sizeof head;
    struct selection wanted = {handles, head.ordinary, head.shares, head.tried};
    if (pub_is_run(&pub) && pub.qos > 0)
        deliver_each(shard, &pub, &wanted);
    else
        deliver_handles(shard, &pub, &wanted);
    pub_done(&pub);
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
    record_pub(record, &head, &pub);
    pub_done(&pub);
}

// ---- Publishing
// -------------------------------------------------------------------------------------

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

// Adds to *durable the shards whose picked group has a member that outlives its connection.
static uint64_t
pick_shares(struct shard *shard, const struct match *match, uint64_t *durable)
{
    struct route_scratch *scratch = shard->scratch;
    uint64_t shards = 0;
    scratch->share_shard = mem_grow(scratch->share_shard, &scratch->share_cap, match->shares, 1);
    for (uint32_t i = 0; i < match->shares; i++) {
        const struct match_entry *entry = &match->entries[match->count - match->shares + i];
        bool lasting;
        int to = trie_share_pick(entry->share, 0, &shard->share_rotor, &lasting);
        scratch->share_shard[i] = to < 0 ? NO_SHARD : (uint8_t)to;
        if (to < 0)
            continue;
        shards |= UINT64_C(1) << to;
        if (lasting)
            *durable |= UINT64_C(1) << to;
    }
    return shards;
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
        post(shard, to, pub, ticket, &wanted);
    }
}

static void
publish_match(struct shard *shard, struct pub *pub, const struct match *match,
              struct route_result *ret)
{
    uint64_t shards = match->shards, durable = match->durable;
    if (unlikely(match->shares))
        shards |= pick_shares(shard, match, &durable);
    uint64_t others = shards & ~(UINT64_C(1) << shard->index);
    if (unlikely((durable & others) && pub->qos > 0))
        expect_answers(shard, pub, durable & others, ret);
    if (others)
        post_all(shard, pub, match, others, ret);
    if (shards >> shard->index & 1)
        deliver_here(shard, pub, match);
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

// ERR_FULL: there are as many as there may be. ERR_QUOTA_EXCEEDED: it is too large for one.
static err_t
retain(struct shard *shard, struct pub *pub)
{
    struct retained *store = shard->broker->retained;
    if (pub->payload.len == 0) {
        uint64_t order;
        if (retained_clear(store, shard->rcu, pub->topic, &order) && pub->publisher != 0)
            journal_retain_clear(shard->journal, pub->topic, order); // [MQTT-3.3.1-6]
        return OK;
    }
    uint32_t max = shard->config->retained_message_max;
    if (max && pub->payload.len > max)
        return ERR_QUOTA_EXCEEDED;
    struct retained_limits limits = {
        .count_max = shard->config->retained_messages_max,
        .bytes_max = shard->config->retained_bytes_max,
    };
    err_t err = retained_set(store, shard->rcu, pub_msg(pub), &limits);
    if (err == OK && pub->publisher != 0) // what the broker itself says ends with it
        journal_retain(shard->journal, pub->msg);
    return err;
}

err_t
route_publish(struct shard *shard, struct pub *pub, struct route_result *ret)
{
    *ret = (struct route_result){0};
    shard->outcome = OUTCOME_TAKEN;
    if (unlikely(pub->retain)) {
        err_t err = retain(shard, pub);
        if (err) {
            stat_add(err == ERR_FULL ? &shard->stats.dropped_retained_full
                                     : &shard->stats.dropped_too_large,
                     1);
            return err;
        }
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
    if (!is_for(sub, run))
        return;
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
    post(shard, to, pub, ticket, wanted);
}

static const struct trie_share *
find_share(struct shard *shard, struct slice topic, struct trie_handle share)
{
    const struct match *match = match_cache_get(shard->matches, topic);
    for (uint32_t i = match->count - match->shares; i < match->count; i++) {
        const struct match_entry *entry = &match->entries[i];
        if (entry->handle.slot == share.slot && entry->handle.generation == share.generation)
            return entry->share;
    }
    return NULL;
}

// To a member of any shard but those that were tried, this one or another.
static void
place(struct shard *shard, struct pub *pub, struct trie_handle share, uint64_t tried, bool lasting)
{
    must(share.generation != 0);
    const struct trie_share *group = find_share(shard, pub->topic, share);
    bool durable = false;
    for (;;) {
        int to = group ? trie_share_pick(group, tried, &shard->share_rotor, &durable) : -1;
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
