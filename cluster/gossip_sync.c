// gossip_sync.c - whole tables; the healer.
//
// An exchange: ASK with the hash of our table -> SAME, or the other's table in pages -> our table
// in pages. Records in pages are short unless one side knows few members; details that are lacking
// are pulled. Records come in any order, and each stands for itself: a lost page costs time,
// nothing else.
//
// The healer never stops: the dead and the seeds are asked, too. Without it a cluster that was cut
// in two stays two: each half holds the other dead and speaks to nobody there.
#include "cluster/gossip_parts.h"

// ---- Asking -------------------------------------------------------------------------------------

// to: NULL if only the address is known.
static void
ask(struct gossip *g, const struct member *to, const struct gossip_address *address)
{
    struct gossip_message message = {
        .kind = GOSSIP_ASK, .hash = gossip_hash(g), .count = g->count + 1};
    struct gossip_draft draft;
    struct gossip_record self;
    draft_begin(g, &draft, &message, to);
    record_of(g, g->self, true, &self);
    bool fit = gossip_write_record(&draft.writer, &self);
    must(fit);
    draft_send(g, &draft, address, true);
    g->stats.exchanges++;
}

static bool
seed_is_known(const struct gossip *g, const struct gossip_address *seed)
{
    if (gossip_address_equal(seed, &g->self->address))
        return true;
    for (uint32_t i = 0; i < g->count; i++)
        if (member_lives(g->order[i]) && gossip_address_equal(seed, &g->order[i]->address))
            return true;
    return false;
}

static void
ask_seeds(struct gossip *g, uint32_t max)
{
    uint32_t first = g->seed_count > 0 ? random_below(g, g->seed_count) : 0;
    for (uint32_t i = 0; i < g->seed_count && max > 0; i++) {
        const struct gossip_address *seed = &g->seeds[(first + i) % g->seed_count];
        if (seed_is_known(g, seed))
            continue;
        ask(g, NULL, seed);
        max--;
    }
}

static void
heal(struct gossip *g)
{
    struct member *dead[HEAL_DEAD];
    uint32_t n = members_pick(g, false, NULL, dead, HEAL_DEAD);
    for (uint32_t i = 0; i < n; i++)
        ask(g, dead[i], &dead[i]->address);
    ask_seeds(g, g->alive > 0 ? 1 : HEAL_SEEDS_ALONE);
}

void
sync_seeds(struct gossip *g, const struct gossip_event *event)
{
    g->seed_count = 0;
    for (uint32_t i = 0; i < event->seed_count && g->seed_count < GOSSIP_SEEDS_MAX; i++)
        if (event->seeds[i].port != 0)
            g->seeds[g->seed_count++] = event->seeds[i];
    if (g->alive == 0)
        g->heal_at = g->time;
}

void
sync_tick(struct gossip *g)
{
    struct member *other;
    // Who has lost the last of the others has no reason to wait as if there were some.
    if (g->time >= g->heal_at || (g->alive == 0 && g->heal_at > g->time + GOSSIP_HEAL_ALONE_MS)) {
        heal(g);
        g->heal_at = g->time + (g->alive > 0 ? GOSSIP_HEAL_MS : GOSSIP_HEAL_ALONE_MS);
    }
    if (g->time >= g->exchange_at) {
        g->exchange_at = g->time + g->exchange_ms;
        if (members_pick(g, true, NULL, &other, 1) == 1)
            ask(g, other, &other->address);
    }
    if (g->time >= g->forget_at) {
        g->forget_at = g->time + FORGET_MS;
        members_forget_old(g);
    }
}

// ---- Answering ----------------------------------------------------------------------------------

static void
send_pages(struct gossip *g, const struct source *from, uint32_t their_count, bool answer)
{
    bool details = their_count * 2 < g->count + 1;
    struct gossip_message message = {
        .kind = GOSSIP_PAGE,
        .count = g->count + 1,
        .flags = answer ? GOSSIP_PAGE_ANSWER : 0, // the first alone, which the others follow
    };
    struct gossip_draft draft;
    draft_begin(g, &draft, &message, from->member);
    message.flags = 0;
    for (uint32_t i = 0; i <= g->count; i++) {
        const struct member *m = i < g->count ? g->order[i] : g->self;
        struct gossip_record record;
        record_of(g, m, details || m == g->self, &record);
        if (gossip_write_record(&draft.writer, &record))
            continue;
        draft_send(g, &draft, &from->address, from->reliable);
        draft_begin(g, &draft, &message, from->member);
        bool fit = gossip_write_record(&draft.writer, &record);
        must(fit);
    }
    draft_send(g, &draft, &from->address, from->reliable);
}

// Tables that differ are compared again soon, with others; equal ones more and more seldom.
static void
learn_pace(struct gossip *g, bool same)
{
    uint32_t least = max_u32(EXCHANGE_FIRST_MS, EXCHANGE_MEMBER_MS * (g->count + 1));
    uint32_t next = same ? g->exchange_ms * 2 : least;
    g->exchange_ms = min_u32(max_u32(next, least), GOSSIP_EXCHANGE_MS);
    // Half of it at random, so that those who learn at the same time do not ask at the same time.
    uint32_t half = g->exchange_ms / 2;
    g->exchange_at = g->time + half + random_below(g, half);
}

static void
on_ask(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    if (message->hash != gossip_hash(g)) {
        learn_pace(g, false);
        send_pages(g, from, message->count, true);
        return;
    }
    struct gossip_message same = {.kind = GOSSIP_SAME};
    tell(g, &same, from->member, &from->address, from->reliable);
}

static void
on_pull(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    struct gossip_message page = {
        .kind = GOSSIP_PAGE, .count = g->count + 1, .flags = GOSSIP_PAGE_PULLED};
    struct gossip_draft draft;
    draft_begin(g, &draft, &page, from->member);
    for (uint32_t at = 0; at < message->pulled.len; at += sizeof(struct gossip_uuid)) {
        struct gossip_uuid uuid;
        struct gossip_record record;
        memcpy(&uuid, message->pulled.data + at, sizeof uuid);
        const struct member *m = members_find(g, &uuid);
        if (!m)
            continue;
        record_of(g, m, true, &record);
        if (!record.has_details || gossip_write_record(&draft.writer, &record))
            continue;
        draft_send(g, &draft, &from->address, from->reliable);
        draft_begin(g, &draft, &page, from->member);
        bool fit = gossip_write_record(&draft.writer, &record);
        must(fit);
    }
    draft_send(g, &draft, &from->address, from->reliable);
}

void
sync_message(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    if (!from->answerable) {
        g->stats.unanswerable++;
        return;
    }
    switch (message->kind) {
    case GOSSIP_ASK:
        on_ask(g, message, from);
        break;
    case GOSSIP_SAME:
        g->stats.exchanges_same++;
        learn_pace(g, true);
        break;
    case GOSSIP_PAGE:
        if (message->flags & GOSSIP_PAGE_ANSWER) {
            learn_pace(g, false);
            send_pages(g, from, message->count, false);
        }
        break;
    case GOSSIP_PULL:
        on_pull(g, message, from);
        break;
    default:
        must(false); // not an exchange's message
    }
}

// ---- Details that are lacking -------------------------------------------------------------------

void
sync_want(struct gossip *g, const struct gossip_uuid *uuid, uint64_t incarnation)
{
    for (uint32_t i = 0; i < g->want_count; i++) {
        if (gossip_uuid_equal(&g->wants[i].uuid, uuid)) {
            g->wants[i].incarnation = max_u64(g->wants[i].incarnation, incarnation);
            return;
        }
    }
    if (g->want_count < GOSSIP_PULL_MAX) // else the next exchange shows it again
        g->wants[g->want_count++] = (struct want){*uuid, incarnation};
}

void
sync_pull(struct gossip *g, const struct source *from)
{
    struct gossip_uuid pulled[GOSSIP_PULL_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < g->want_count; i++) {
        const struct want *want = &g->wants[i];
        const struct member *m = members_find(g, &want->uuid);
        // What came with the same message, behind what made us want it, is wanted no more.
        if (!m || m->incarnation < want->incarnation || m->details_held < m->details_version)
            pulled[count++] = want->uuid;
    }
    g->want_count = 0;
    if (count == 0)
        return;
    if (!from->answerable) {
        g->stats.unanswerable++;
        return;
    }
    struct gossip_message message = {.kind = GOSSIP_PULL,
                                     .pulled = slice_of(pulled, count * sizeof pulled[0])};
    tell(g, &message, from->member, &from->address, from->reliable);
}
