// gossip_merge.c - what is believed of whom, and what follows from it.
//
// A claim about a member is (incarnation, version, state). A higher incarnation wins over
// everything, an older one is nothing. Within an incarnation, only the member itself counts its
// version up, when it hears a wrong claim. At equal versions SUSPECT wins over ALIVE, DEAD over
// both, and LEFT over all. LEFT is the member's own last word, with its highest version; or it is
// said for one that does not live (merge_forget), with a higher one: should that live after all, it
// says so with one above that, as when it is held dead.
#include <math.h>

#include "cluster/gossip_parts.h"

// ---- Consequences -------------------------------------------------------------------------------

static void
leave_doubt(struct member *m)
{
    list_remove(&m->doubt);
    m->accuser_count = 0;
}

static void
set_state(struct gossip *g, struct member *m, enum gossip_state state)
{
    bool lived = member_lives(m);
    leave_doubt(m);
    m->state = state;
    m->since = g->time;
    g->alive += (uint32_t)member_lives(m) - (uint32_t)lived;
    must(g->alive <= g->count);
    if (state == GOSSIP_SUSPECT) {
        list_push(&g->suspects, &m->doubt);
        g->stats.suspected++;
    }
    if (!member_lives(m)) {
        list_remove(&m->refusal);
        probe_forget(g, m);
    }
}

void
declare(struct gossip *g, struct member *m, enum gossip_state state, uint32_t age_s)
{
    must(m != g->self && (state == GOSSIP_DEAD || state == GOSSIP_LEFT));
    set_state(g, m, state);
    m->since = g->time - min_u64((uint64_t)age_s * 1000, GOSSIP_REMEMBER_MS);
    rumor_start(g, m, false);
    act(g, GOSSIP_MEMBER, m);
}

// How long an accused member has: the more others accuse it independently, the less (Lifeguard).
uint64_t
suspicion_end(const struct gossip *g, const struct member *m)
{
    uint32_t n = g->alive + 1;
    // Few members: the answer of one more round would cost more than it tells.
    double factor = n > 32 ? 4 : 3, shortest = factor * fmax(1, log10(n)) * GOSSIP_PROBE_MS;
    unsigned wanted = n > 4 ? 2 : 0; // accusers beside the first; few could not come together
    unsigned more = m->accuser_count > 0 ? m->accuser_count - 1u : 0;
    if (more >= wanted)
        return m->since + (uint64_t)shortest;
    double part = log(more + 1) / log(wanted + 1);
    return m->since + (uint64_t)(6 * shortest - part * 5 * shortest);
}

void
suspect(struct gossip *g, struct member *m, uint32_t accuser)
{
    must(m != g->self && member_lives(m));
    bool news = m->state == GOSSIP_ALIVE;
    if (news) {
        set_state(g, m, GOSSIP_SUSPECT);
        act(g, GOSSIP_MEMBER, m);
    }
    for (unsigned i = 0; i < m->accuser_count; i++)
        if (m->accusers[i] == accuser)
            return;
    if (m->accuser_count == ACCUSERS_MAX)
        return;
    m->accusers[m->accuser_count++] = accuser;
    if (accuser != gossip_uuid_short(&g->self->uuid))
        probe_next(g, m);
    g->doubt_at = min_u64(g->doubt_at, suspicion_end(g, m));
    rumor_start(g, m, false); // with the newest accuser, so that others count it, too
}

void
merge_tick(struct gossip *g)
{
    if (g->time < g->doubt_at)
        return;
    g->doubt_at = NEVER;
    struct list *next;
    for (struct list *l = g->suspects.next; l != &g->suspects; l = next) {
        struct member *m = container_of(l, struct member, doubt);
        next = l->next;
        uint64_t end = suspicion_end(g, m);
        if (end > g->time) {
            g->doubt_at = min_u64(g->doubt_at, end);
            continue;
        }
        g->stats.deaths++;
        declare(g, m, GOSSIP_DEAD, 0);
    }
}

// ---- Claims about ourselves ---------------------------------------------------------------------

// We have been given up, or a copy of us has left. What is said for us are no words of ours.
static void
refute_left(struct gossip *g, uint32_t version)
{
    struct member *me = g->self;
    must(version >= me->version && version < UINT32_MAX && !g->left);
    me->version = me->details_version = me->details_held = version + 1;
    g->stats.refuted++;
    rumor_start(g, me, true);
    act(g, GOSSIP_GIVEN_UP, me);
}

static void
about_me(struct gossip *g, const struct gossip_record *r)
{
    struct member *me = g->self;
    if (r->incarnation < me->incarnation)
        return;
    bool wrong = r->state == GOSSIP_SUSPECT || r->state == GOSSIP_DEAD;
    bool left = r->state == GOSSIP_LEFT && r->incarnation == me->incarnation;
    if (left && r->version < UINT32_MAX) {
        if (r->version >= me->version)
            refute_left(g, r->version);
        return;
    }
    if (r->incarnation > me->incarnation || left || r->version == UINT32_MAX ||
        (!wrong && r->version > me->version)) {
        // None of these we said in this life: a copy of us lives, or our disk is an old one.
        act(g, GOSSIP_OUTDATED, me);
        g->out->items[g->out->count - 1].incarnation = r->incarnation;
        return;
    }
    if (!wrong || r->version < me->version)
        return;
    me->version = r->version + 1;
    g->stats.refuted++;
    aware(g, 1); // others had reasons
    rumor_start(g, me, false);
}

// ---- Claims about others ------------------------------------------------------------------------

static void
look_for_namesake(struct gossip *g, const struct member *m)
{
    for (uint32_t i = 0; i <= g->count; i++) {
        const struct member *other = i < g->count ? g->order[i] : g->self;
        if (other != m && other->name_hash == m->name_hash && member_lives(other) &&
            slice_equal(member_name(other), member_name(m))) {
            g->stats.names_twice++;
            act(g, GOSSIP_NAME_TWICE, m);
            return;
        }
    }
}

static void
take_details(struct gossip *g, struct member *m, const struct gossip_record *r)
{
    if (r->has_details && r->details_version >= m->details_held) {
        if (r->details_version > m->details_held)
            member_set_details(m, r->details, &r->address);
        m->details_held = r->details_version;
    }
    if (r->details_version > m->details_version)
        m->details_version = r->details_version;
    if (m->details_held < m->details_version)
        sync_want(g, &m->uuid, m->incarnation);
    if (r->has_details && r->digest_number > m->digest_number) {
        member_set_digest(m, r->digest_number, r->digest);
        act(g, GOSSIP_NEWS, m);
    }
}

// A member that was not known, or its new life: what was known of the old one is over.
static struct member *
begin_life(struct gossip *g, struct member *m, const struct gossip_record *r)
{
    if (m) {
        set_state(g, m, GOSSIP_ALIVE);
        m->incarnation = r->incarnation;
        m->version = r->version;
        m->details_version = m->details_held = r->details_version;
        member_set_details(m, r->details, &r->address);
        member_set_digest(m, r->digest_number, r->digest);
    } else {
        m = members_add(g, r);
        if (!m) {
            g->stats.refused_full++;
            return NULL;
        }
    }
    if (r->state == GOSSIP_ALIVE || r->state == GOSSIP_SUSPECT) {
        look_for_namesake(g, m);
        rumor_start(g, m, true);
        act(g, GOSSIP_MEMBER, m);
    }
    return m;
}

static void
take_alive(struct gossip *g, struct member *m, bool newer, bool details)
{
    bool came = newer && m->state != GOSSIP_ALIVE;
    if (came) {
        set_state(g, m, GOSSIP_ALIVE);
        look_for_namesake(g, m);
    }
    if (came || details)
        act(g, GOSSIP_MEMBER, m);
    if (newer || details)
        rumor_start(g, m, details);
}

// The claim is of m's present life.
static void
weigh(struct gossip *g, struct member *m, const struct gossip_record *r, const struct source *from)
{
    bool newer = r->version > m->version, lives = member_lives(m);
    if (r->version < m->version)
        return;
    bool details = r->has_details && r->details_version > m->details_held;
    m->version = r->version;
    take_details(g, m, r);
    if (r->state == GOSSIP_LEFT && m->details_held < m->details_version)
        return; // whether it was forgotten they say: they are pulled, and it comes with them
    if (m->state == GOSSIP_LEFT && !newer) {
        if (details)
            act(g, GOSSIP_MEMBER, m);
        return;
    }
    switch (r->state) {
    case GOSSIP_ALIVE:
        take_alive(g, m, newer, details);
        return;
    case GOSSIP_SUSPECT:
        if (newer && m->state != GOSSIP_ALIVE)
            set_state(g, m, GOSSIP_ALIVE); // it was, at this version
        if (member_lives(m))
            suspect(g, m, r->accuser);
        return;
    case GOSSIP_DEAD:
        if (lives && from->page) // an old table: it may defend itself
            suspect(g, m, gossip_uuid_short(&from->uuid));
        else if (lives || newer)
            declare(g, m, GOSSIP_DEAD, r->age_s);
        else // the same death; who knows of it for longer is right
            m->since =
                min_u64(m->since, g->time - min_u64((uint64_t)r->age_s * 1000, GOSSIP_REMEMBER_MS));
        return;
    case GOSSIP_LEFT:
        declare(g, m, GOSSIP_LEFT, r->age_s);
        if (details)
            rumor_start(g, m, true);
    }
}

static void
merge(struct gossip *g, const struct gossip_record *r, const struct source *from)
{
    if (gossip_uuid_equal(&r->uuid, &g->self->uuid)) {
        about_me(g, r);
        return;
    }
    bool accuses = r->state == GOSSIP_SUSPECT || r->state == GOSSIP_DEAD;
    if (accuses && !from->trusted) {
        // Who cannot hear anybody holds everybody dead, and must not infect those who can.
        g->stats.distrusted++;
        return;
    }
    struct member *m = members_find(g, &r->uuid);
    if (m && r->incarnation < m->incarnation)
        return;
    if (m && r->incarnation == m->incarnation) {
        weigh(g, m, r, from);
        return;
    }
    bool gone = r->state == GOSSIP_DEAD || r->state == GOSSIP_LEFT;
    if (gone && (uint64_t)r->age_s * 1000 >= GOSSIP_REMEMBER_MS)
        return; // about to be forgotten everywhere
    if (!r->has_details) {
        sync_want(g, &r->uuid, r->incarnation);
        return;
    }
    m = begin_life(g, m, r);
    if (!m)
        return;
    if (gone)
        declare(g, m, r->state, r->age_s);
    else if (r->state == GOSSIP_SUSPECT)
        suspect(g, m, r->accuser);
}

void
merge_records(struct gossip *g, struct slice records, const struct source *from)
{
    struct gossip_record record;
    while (gossip_record_next(&records, &record))
        merge(g, &record, from);
}

void
merge_forget(struct gossip *g, const struct gossip_event *event)
{
    uint8_t details[GOSSIP_DETAILS_MAX];
    const struct member *m = members_find(g, &event->uuid);
    must(event->version > 0 && event->incarnation > 0 && gossip_name_valid(event->name));
    must(event->address.port != 0 && event->bytes.len <= GOSSIP_META_MAX && m != g->self);
    if (m && member_lives(m))
        return; // it is back
    struct gossip_record record = {
        .uuid = event->uuid,
        .incarnation = event->incarnation,
        .version = event->version,
        .details_version = event->version,
        .state = GOSSIP_LEFT,
        .has_details = true,
        .age_s = event->age_s,
        .address = event->address,
        .details = slice_of(
            details, gossip_write_details(details, &event->address, event->name, event->bytes)),
    };
    const struct source from = {.uuid = g->self->uuid, .trusted = true};
    merge(g, &record, &from);
}

void
merge_brief(struct gossip *g, const struct gossip_message *message, struct source *from)
{
    struct member *m = members_find(g, &from->uuid);
    if (!m || m->incarnation < from->incarnation) {
        sync_want(g, &from->uuid, from->incarnation);
        return;
    }
    must(m->incarnation == from->incarnation);
    from->member = m;
    struct gossip_record alive = {
        .uuid = from->uuid,
        .incarnation = from->incarnation,
        .version = message->version,
        .details_version = message->details_version,
    };
    weigh(g, m, &alive, from);
    if (message->digest_number > m->digest_number) {
        member_set_digest(m, message->digest_number, message->digest);
        act(g, GOSSIP_NEWS, m);
    }
    from->trusted = member_lives(m);
}
