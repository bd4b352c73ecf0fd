// gossip_rumor.c - telling: rumours, and messages that carry them.
//
// A rumour is a member whose record changed. It is sent as often as GOSSIP_RETRANSMIT says, those
// that were sent least first, as it is at the time of sending: news about a member replace the
// older ones.
#include <math.h>

#include "core/base/mem.h"

#include "cluster/gossip_parts.h"

#define RECORDS_MAX ((GOSSIP_PLAIN_MAX - 12) / 20 + 1) // that fit into a message
#define MISSES_MAX  8u                                 // rumours that did not: then it is full

void
act(struct gossip *g, enum gossip_action_kind kind, const struct member *m)
{
    struct gossip_actions *out = g->out;
    out->items = mem_grow(out->items, &out->cap, out->count + 1, sizeof *out->items);
    out->items[out->count++] = (struct gossip_action){
        .kind = kind, .state = m->state, .uuid = m->uuid, .incarnation = m->incarnation};
}

// ---- Rumours ------------------------------------------------------------------------------------

static unsigned
sends_wanted(const struct gossip *g)
{
    return min_u32(GOSSIP_RETRANSMIT * (uint32_t)ceil(log10(g->alive + 2)), SENDS_MAX);
}

void
rumor_stop(struct gossip *g, struct member *m)
{
    if (list_empty(&m->rumor))
        return;
    list_remove(&m->rumor);
    g->rumor_count--;
}

void
rumor_start(struct gossip *g, struct member *m, bool details)
{
    // Details that are on their way stay on their way.
    m->rumor_details = details || (!list_empty(&m->rumor) && m->rumor_details);
    rumor_stop(g, m);
    m->sends = 0;
    list_push(&g->rumors[0], &m->rumor);
    g->rumor_count++;
    if (g->rumor_at == NEVER)
        g->rumor_at = max_u64(g->time, g->rumor_last + GOSSIP_RUMOR_MS);
}

void
record_of(const struct gossip *g, const struct member *m, bool details, struct gossip_record *ret)
{
    *ret = (struct gossip_record){
        .uuid = m->uuid,
        .incarnation = m->incarnation,
        .version = m->version,
        .details_version = m->details_version,
        .state = m->state,
        // Details that are known to be old are not passed on as new ones.
        .has_details = details && m->details_held == m->details_version,
    };
    if (m->state == GOSSIP_SUSPECT && m->accuser_count > 0)
        ret->accuser = m->accusers[m->accuser_count - 1];
    else if (!member_lives(m))
        ret->age_s = (uint32_t)((g->time - m->since) / 1000);
    if (!ret->has_details)
        return;
    ret->details = slice_of(m->details, m->details_len);
    ret->digest_number = m->digest_number;
    ret->digest = slice_of(m->digest, m->digest_len);
}

// Fills what is left of the message.
static void
add_rumors(struct gossip *g, struct gossip_writer *writer)
{
    struct member *sent[RECORDS_MAX];
    uint32_t count = 0, misses = 0, wanted = sends_wanted(g);
    for (uint32_t n = 0; n <= SENDS_MAX && g->rumor_count > 0; n++) {
        for (struct list *l = g->rumors[n].next; l != &g->rumors[n]; l = l->next) {
            struct member *m = container_of(l, struct member, rumor);
            struct gossip_record record;
            record_of(g, m, m->rumor_details, &record);
            if (gossip_write_record(writer, &record))
                sent[count++] = m;
            else if (++misses == MISSES_MAX)
                goto full;
        }
    }
full:
    must(count <= RECORDS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        struct member *m = sent[i];
        list_remove(&m->rumor);
        if (++m->sends < wanted)
            list_push(&g->rumors[m->sends], &m->rumor);
        else
            g->rumor_count--;
    }
}

void
rumor_tick(struct gossip *g)
{
    if (g->time < g->rumor_at)
        return;
    struct member *to[GOSSIP_FANOUT];
    uint32_t n = members_pick(g, true, NULL, to, GOSSIP_FANOUT);
    if (n == 0) // nobody hears; who comes is told everything in an exchange
        for (unsigned i = 0; i <= SENDS_MAX; i++)
            while (!list_empty(&g->rumors[i]))
                rumor_stop(g, container_of(g->rumors[i].next, struct member, rumor));
    for (uint32_t i = 0; i < n && g->rumor_count > 0; i++) {
        struct gossip_message message = {.kind = GOSSIP_RUMORS};
        tell(g, &message, to[i], &to[i]->address, false);
    }
    g->rumor_last = g->time;
    g->rumor_at = g->rumor_count > 0 ? g->time + GOSSIP_RUMOR_MS : NEVER;
}

// ---- Messages -----------------------------------------------------------------------------------

void
draft_begin(struct gossip *g, struct gossip_draft *draft, struct gossip_message *message,
            const struct member *to)
{
    message->cluster = g->cluster;
    message->version = g->self->version;
    message->details_version = g->self->details_version;
    message->digest_number = g->self->digest_number;
    message->digest = slice_of(g->self->digest, g->self->digest_len);
    draft->writer.at = draft->bytes;
    draft->writer.end = draft->bytes + sizeof draft->bytes;
    gossip_write_message(&draft->writer, message);
    if (to && to->state != GOSSIP_ALIVE) {
        struct gossip_record record; // so that it can defend itself
        record_of(g, to, false, &record);
        bool fit = gossip_write_record(&draft->writer, &record);
        must(fit);
    }
}

void
draft_send(struct gossip *g, const struct gossip_draft *draft, const struct gossip_address *address,
           bool reliable)
{
    struct gossip_actions *out = g->out;
    uint32_t len = (uint32_t)(draft->writer.at - draft->bytes);
    must(len > 0 && len <= GOSSIP_PLAIN_MAX && address->port != 0);
    act(g, GOSSIP_SEND, g->self);
    struct gossip_action *action = &out->items[out->count - 1];
    action->address = *address;
    action->reliable = reliable;
    action->offset = out->len;
    action->len = len;
    out->bytes = mem_grow(out->bytes, &out->bytes_cap, out->len + len, 1);
    memcpy(out->bytes + out->len, draft->bytes, len);
    out->len += len;
    g->stats.messages_out++;
    g->stats.bytes_out += len;
}

void
tell(struct gossip *g, struct gossip_message *message, const struct member *to,
     const struct gossip_address *address, bool reliable)
{
    struct gossip_draft draft;
    draft_begin(g, &draft, message, to);
    add_rumors(g, &draft.writer);
    draft_send(g, &draft, address, reliable);
}

void
tell_leaving(struct gossip *g)
{
    struct member *to[LEAVE_TOLD];
    uint32_t n = members_pick(g, true, NULL, to, LEAVE_TOLD);
    struct gossip_record record;
    g->self->state = GOSSIP_LEFT;
    g->self->since = g->time;
    record_of(g, g->self, true, &record);
    for (uint32_t i = 0; i < n; i++) {
        struct gossip_message message = {.kind = GOSSIP_RUMORS};
        struct gossip_draft draft;
        draft_begin(g, &draft, &message, NULL);
        bool fit = gossip_write_record(&draft.writer, &record);
        must(fit);
        draft_send(g, &draft, &to[i]->address, false);
        if (i < LEAVE_TOLD_STREAM)
            draft_send(g, &draft, &to[i]->address, true);
    }
}
