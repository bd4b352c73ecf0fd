// gossip_probe.c - who answers: probes, probes for others, and members whose process is gone.
//
// Each member probes one other in each round, in a shuffled order, so that every member is probed
// within one walk through it. No answer in time: three others and a stream are tried. No answer at
// the end of the round: suspicion. Whoever is slow itself (those it asks do not even say "no
// answer") lengthens its own rounds before it blames others (Lifeguard).
#include "cluster/gossip_parts.h"

void
aware(struct gossip *g, int delta)
{
    int value = (int)g->awareness + delta;
    g->awareness = value < 0 ? 0 : min_u32((uint32_t)value, GOSSIP_AWARENESS - 1);
}

static void
ping(struct gossip *g, const struct member *m, uint32_t seq, bool reliable)
{
    struct gossip_message message = {.kind = GOSSIP_PING, .seq = seq, .target = m->uuid};
    tell(g, &message, m, &m->address, reliable);
}

// ---- Our own round ------------------------------------------------------------------------------

void
probe_give_up(struct gossip *g)
{
    g->probe.target = NULL;
}

void
probe_forget(struct gossip *g, const struct member *m)
{
    if (g->probe.target == m)
        probe_give_up(g);
    if (g->doubted == m)
        g->doubted = NULL;
}

// A few look for themselves at once: they find what the first did, and shorten the suspicion, or
// bring the member the news so that it defends itself. All of them would be a storm.
void
probe_next(struct gossip *g, struct member *m)
{
    must(member_lives(m));
    if (!g->doubted && random_below(g, g->alive) < CONFIRM)
        g->doubted = m;
}

// Whom others doubt, or the next in the order that lives; at the end of it, it is shuffled anew.
static struct member *
next_target(struct gossip *g)
{
    if (g->doubted) {
        struct member *m = g->doubted;
        g->doubted = NULL;
        return m;
    }
    for (uint32_t i = 0; i < g->count && g->alive > 0; i++) {
        if (g->cursor >= g->count) {
            g->cursor = 0;
            for (uint32_t n = g->count; n > 1; n--) {
                uint32_t other = random_below(g, n);
                struct member *m = g->order[n - 1];
                g->order[n - 1] = g->order[other];
                g->order[n - 1]->at = n - 1;
                g->order[other] = m;
                m->at = other;
            }
        }
        struct member *m = g->order[g->cursor++];
        if (member_lives(m))
            return m;
    }
    return NULL;
}

static void
round_begin(struct gossip *g)
{
    struct probe *probe = &g->probe;
    uint64_t slowness = g->awareness + 1;
    must(!probe->target);
    g->probe_at = g->time + GOSSIP_PROBE_MS * slowness;
    struct member *m = next_target(g);
    if (!m)
        return;
    *probe = (struct probe){
        .target = m,
        .seq = ++g->seq,
        .timeout_at = g->time + GOSSIP_TIMEOUT_MS * slowness,
        .end_at = g->probe_at,
    };
    g->stats.probes++;
    ping(g, m, probe->seq, false);
}

static void
round_widen(struct gossip *g)
{
    struct probe *probe = &g->probe;
    struct member *others[GOSSIP_INDIRECT];
    uint32_t n = members_pick(g, true, probe->target, others, GOSSIP_INDIRECT);
    probe->timeout_at = NEVER;
    probe->asked = n;
    for (uint32_t i = 0; i < n; i++) {
        struct gossip_message message = {
            .kind = GOSSIP_RELAY,
            .seq = probe->seq,
            .target = probe->target->uuid,
            .address = probe->target->address,
        };
        tell(g, &message, others[i], &others[i]->address, false);
    }
    ping(g, probe->target, probe->seq, true);
}

static void
round_fail(struct gossip *g)
{
    struct probe *probe = &g->probe;
    struct member *m = probe->target;
    g->stats.probes_failed++;
    aware(g, probe->asked > 0 ? (int)probe->asked - (int)probe->nacks : 1);
    probe_give_up(g);
    suspect(g, m, gossip_uuid_short(&g->self->uuid));
}

static void
round_succeed(struct gossip *g)
{
    probe_give_up(g);
    aware(g, -1);
}

// ---- A member whose link was reset and that could not be dialled --------------------------------

void
probe_refused(struct gossip *g, struct member *m)
{
    if (!member_lives(m) || !list_empty(&m->refusal))
        return;
    m->refused_until = g->time + REFUSED_WAIT_MS;
    m->refused_seq = ++g->seq;
    list_push(&g->refused, &m->refusal);
    g->refused_at = min_u64(g->refused_at, m->refused_until);
    ping(g, m, m->refused_seq, false);
    ping(g, m, m->refused_seq, true); // a datagram that is lost is no proof
}

static void
refused_tick(struct gossip *g)
{
    if (g->time < g->refused_at)
        return;
    g->refused_at = NEVER;
    struct list *next;
    for (struct list *l = g->refused.next; l != &g->refused; l = next) {
        struct member *m = container_of(l, struct member, refusal);
        next = l->next;
        if (m->refused_until > g->time) {
            g->refused_at = min_u64(g->refused_at, m->refused_until);
            continue;
        }
        g->stats.deaths++;
        g->stats.fast_deaths++;
        declare(g, m, GOSSIP_DEAD, 0);
    }
}

// ---- Probes for others --------------------------------------------------------------------------

static void
relay_begin(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    struct relay *relay = NULL;
    for (unsigned i = 0; i < GOSSIP_RELAYS && !relay; i++)
        if (g->relays[i].until == 0)
            relay = &g->relays[i];
    if (!relay || !from->answerable) {
        g->stats.refused_relays++;
        return;
    }
    *relay = (struct relay){
        .until = g->time + RELAY_WAIT_MS,
        .seq = ++g->seq,
        .origin_seq = message->seq,
        .target = message->target,
        .origin = from->address,
        .reliable = from->reliable,
    };
    g->relay_count++;
    g->relay_at = min_u64(g->relay_at, relay->until);
    struct gossip_message probe = {
        .kind = GOSSIP_PING, .seq = relay->seq, .target = message->target};
    tell(g, &probe, members_find(g, &message->target), &message->address, false);
}

static void
relay_end(struct gossip *g, struct relay *relay, enum gossip_kind kind)
{
    struct gossip_message message = {.kind = kind, .seq = relay->origin_seq};
    must(relay->until != 0 && g->relay_count > 0);
    tell(g, &message, NULL, &relay->origin, relay->reliable);
    relay->until = 0;
    g->relay_count--;
}

static void
relay_tick(struct gossip *g)
{
    if (g->time < g->relay_at)
        return;
    g->relay_at = NEVER;
    for (unsigned i = 0; i < GOSSIP_RELAYS && g->relay_count > 0; i++) {
        struct relay *relay = &g->relays[i];
        if (relay->until == 0)
            continue;
        if (relay->until <= g->time)
            relay_end(g, relay, GOSSIP_NACK);
        else
            g->relay_at = min_u64(g->relay_at, relay->until);
    }
}

// ---- Answers ------------------------------------------------------------------------------------

static void
on_ping(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    if (!from->answerable) {
        g->stats.unanswerable++;
        return;
    }
    bool me = gossip_uuid_equal(&message->target, &g->self->uuid);
    struct gossip_message answer = {.kind = me ? GOSSIP_ACK : GOSSIP_NOT_ME, .seq = message->seq};
    tell(g, &answer, from->member, &from->address, from->reliable);
}

static void
on_ack(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    struct member *m = from->member;
    if (g->probe.target && g->probe.target == m && g->probe.seq == message->seq) {
        g->stats.acks_by_stream += from->reliable;
        round_succeed(g);
        return;
    }
    if (m && !list_empty(&m->refusal) && m->refused_seq == message->seq) {
        list_remove(&m->refusal);
        return;
    }
    for (unsigned i = 0; i < GOSSIP_RELAYS && g->relay_count > 0; i++) {
        struct relay *relay = &g->relays[i];
        if (relay->until != 0 && relay->seq == message->seq &&
            gossip_uuid_equal(&relay->target, &from->uuid)) {
            relay_end(g, relay, GOSSIP_RELAYED);
            return;
        }
    }
}

// Another member has the address of the one that we look for, which never said that it moved.
static void
on_not_me(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    struct member *m = g->probe.target;
    if (!m || g->probe.seq != message->seq || gossip_uuid_equal(&from->uuid, &m->uuid))
        return;
    g->stats.deaths++;
    g->stats.fast_deaths++;
    declare(g, m, GOSSIP_DEAD, 0);
    must(!g->probe.target);
}

void
probe_message(struct gossip *g, const struct gossip_message *message, const struct source *from)
{
    bool ours = g->probe.target && g->probe.seq == message->seq && g->probe.timeout_at == NEVER;
    switch (message->kind) {
    case GOSSIP_PING:
        on_ping(g, message, from);
        break;
    case GOSSIP_RELAY:
        relay_begin(g, message, from);
        break;
    case GOSSIP_ACK:
        on_ack(g, message, from);
        break;
    case GOSSIP_NOT_ME:
        on_not_me(g, message, from);
        break;
    case GOSSIP_RELAYED:
        if (ours) {
            g->stats.acks_indirect++;
            round_succeed(g);
        }
        break;
    case GOSSIP_NACK:
        if (ours && g->probe.nacks < g->probe.asked)
            g->probe.nacks++;
        break;
    default:
        must(false); // not a probe's message
    }
}

void
probe_tick(struct gossip *g)
{
    relay_tick(g);
    refused_tick(g);
    if (g->probe.target && g->time >= g->probe.end_at)
        round_fail(g);
    else if (g->probe.target && g->time >= g->probe.timeout_at)
        round_widen(g);
    if (g->time >= g->probe_at) {
        must(!g->probe.target); // a round ends where the next one begins
        round_begin(g);
    }
}
