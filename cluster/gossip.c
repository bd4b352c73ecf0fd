// gossip.c - who is in the cluster: the machine's life, its time, its events.
#include "cluster/gossip.h"

#include "core/base/mem.h"

#include "cluster/gossip_parts.h"

// Time begins late enough for what happened before.
#define TIME_BEGIN (2 * (uint64_t)GOSSIP_REMEMBER_MS)

struct gossip *
gossip_new(const struct gossip_config *config, uint64_t now_ms)
{
    must(config->incarnation > 0 && gossip_name_valid(config->name));
    must(config->meta.len <= GOSSIP_META_MAX && config->address.port != 0);
    must(config->members_max >= 2 && config->members_max <= UINT16_MAX);
    struct gossip *g = mem_zalloc(sizeof *g);
    uint8_t details[GOSSIP_DETAILS_MAX];
    g->magic = GOSSIP_MAGIC;
    g->cluster = config->cluster;
    g->random = config->seed;
    g->table_key = (struct hash_key){random_next(g), random_next(g)};
    g->key = (struct hash_key){config->cluster, 0};
    g->time = TIME_BEGIN;
    g->last_now = now_ms;
    g->members_max = config->members_max;
    for (unsigned i = 0; i <= SENDS_MAX; i++)
        list_init(&g->rumors[i]);
    list_init(&g->suspects);
    list_init(&g->refused);
    g->rumor_at = g->doubt_at = g->refused_at = g->relay_at = NEVER;
    // Members that start together do not stay in step.
    g->probe_at = g->time + random_below(g, GOSSIP_PROBE_MS);
    g->heal_at = g->time;
    g->exchange_ms = EXCHANGE_FIRST_MS;
    g->exchange_at = g->time + random_below(g, EXCHANGE_FIRST_MS);
    g->forget_at = g->time + FORGET_MS;
    struct gossip_record self = {
        .uuid = config->uuid,
        .incarnation = config->incarnation,
        .has_details = true,
        .address = config->address,
        .details = slice_of(
            details, gossip_write_details(details, &config->address, config->name, config->meta)),
    };
    g->self = members_add(g, &self);
    must(g->self != NULL && g->count == 0);
    return g;
}

void
gossip_free(struct gossip *gossip)
{
    if (!gossip)
        return;
    must(gossip->magic == GOSSIP_MAGIC);
    members_free(gossip);
    gossip->magic = 0;
    mem_free(gossip);
}

void
gossip_actions_free(struct gossip_actions *actions)
{
    mem_free(actions->items);
    mem_free(actions->bytes);
    memset(actions, 0, sizeof *actions);
}

// ---- Time ---------------------------------------------------------------------------------------

static void
advance(struct gossip *g, uint64_t now_ms)
{
    if (now_ms < g->last_now || now_ms - g->last_now > GOSSIP_JUMP_MS) {
        g->stats.jumps++;
        probe_give_up(g); // its answer came while we slept, or waits to be read
        g->probe_at = max_u64(g->probe_at, g->time + GOSSIP_PROBE_MS);
        g->time += now_ms > g->last_now ? GOSSIP_JUMP_MS : 0;
        must(!g->probe.target);
    } else {
        g->time += now_ms - g->last_now;
    }
    g->last_now = now_ms;
}

uint64_t
gossip_wait_until(const struct gossip *gossip)
{
    const struct gossip *g = gossip;
    uint64_t next = g->time + 1000;
    const uint64_t deadlines[] = {g->probe_at,   g->rumor_at, g->exchange_at, g->heal_at,
                                  g->refused_at, g->relay_at, g->doubt_at};
    if (g->left)
        return g->last_now + 1000;
    for (unsigned i = 0; i < ARRAY_LEN(deadlines); i++)
        next = min_u64(next, deadlines[i]);
    if (g->probe.target)
        next = min_u64(next, min_u64(g->probe.timeout_at, g->probe.end_at));
    return g->last_now + (next > g->time ? next - g->time : 0);
}

static void
tick(struct gossip *g)
{
    probe_tick(g);
    merge_tick(g);
    rumor_tick(g);
    sync_tick(g);
}

// ---- Events -------------------------------------------------------------------------------------

// Is the message one that we may look into? Counts why not.
static bool
admit(struct gossip *g, const struct gossip_event *event, struct gossip_message *ret_message)
{
    err_t err = gossip_decode(event->bytes, ret_message);
    if (err != OK) {
        if (err == ERR_PROTOCOL_VERSION)
            g->stats.other_versions++;
        else
            g->stats.malformed++;
        return false;
    }
    if (ret_message->cluster != g->cluster || event->incarnation == 0) {
        g->stats.strangers++;
        return false;
    }
    if (gossip_uuid_equal(&event->uuid, &g->self->uuid)) {
        g->stats.from_self++;
        if (event->incarnation > g->self->incarnation) {
            act(g, GOSSIP_OUTDATED, g->self);
            g->out->items[g->out->count - 1].incarnation = event->incarnation;
        }
        return false;
    }
    const struct member *m = members_find(g, &event->uuid);
    if (m && event->incarnation < m->incarnation) {
        g->stats.stale++;
        return false;
    }
    return true;
}

static void
set_answer(struct source *from, const struct gossip_event *event)
{
    from->reliable = event->reliable;
    if (!event->reliable) {
        from->address = event->address;
        from->answerable = event->address.port != 0;
    } else if (from->member) {
        from->address = from->member->address;
        from->answerable = true;
    }
}

static void
receive(struct gossip *g, const struct gossip_event *event)
{
    struct gossip_message message;
    if (!admit(g, event, &message))
        return;
    struct source from = {.uuid = event->uuid, .incarnation = event->incarnation};
    from.page = message.kind == GOSSIP_PAGE;
    g->want_count = 0;
    merge_brief(g, &message, &from);
    g->busy = from.member;
    merge_records(g, message.records, &from);
    if (!from.member) { // its own record may have been among them
        struct member *m = members_find(g, &event->uuid);
        if (m && m->incarnation == event->incarnation)
            from.member = m;
    }
    g->busy = from.member;
    set_answer(&from, event);
    switch (message.kind) {
    case GOSSIP_ASK:
    case GOSSIP_SAME:
    case GOSSIP_PAGE:
    case GOSSIP_PULL:
        sync_message(g, &message, &from);
        break;
    case GOSSIP_RUMORS:
        break;
    default:
        probe_message(g, &message, &from);
    }
    if (!(message.flags & GOSSIP_PAGE_PULLED))
        sync_pull(g, &from);
    g->busy = NULL;
}

// Our name stays; address and metadata may change.
static void
change_details(struct gossip *g, const struct gossip_address *address, struct slice meta)
{
    uint8_t details[GOSSIP_DETAILS_MAX];
    struct member *me = g->self;
    must(meta.len <= GOSSIP_META_MAX && address->port != 0);
    uint32_t len = gossip_write_details(details, address, member_name(me), meta);
    if (len == me->details_len && memcmp(details, me->details, len) == 0)
        return;
    member_set_details(me, slice_of(details, len), address);
    must(me->version < UINT32_MAX);
    me->details_version = me->details_held = ++me->version;
    rumor_start(g, me, true);
}

static void
leave(struct gossip *g)
{
    probe_give_up(g);
    tell_leaving(g);
    g->left = true;
}

void
gossip_step(struct gossip *gossip, uint64_t now_ms, const struct gossip_event *event,
            struct gossip_actions *actions)
{
    struct gossip *g = gossip;
    must(g->magic == GOSSIP_MAGIC);
    actions->count = actions->len = 0;
    advance(g, now_ms);
    if (g->left)
        return;
    g->out = actions;
    switch (event->kind) {
    case GOSSIP_TICK:
        break;
    case GOSSIP_RECEIVED:
        receive(g, event);
        break;
    case GOSSIP_REFUSED: {
        struct member *m = members_find(g, &event->uuid);
        if (m && m != g->self && m->incarnation == event->incarnation)
            probe_refused(g, m);
        break;
    }
    case GOSSIP_SEEDS:
        sync_seeds(g, event);
        break;
    case GOSSIP_ADDRESS:
        change_details(g, &event->address, member_meta(g->self));
        break;
    case GOSSIP_META:
        change_details(g, &g->self->address, event->bytes);
        break;
    case GOSSIP_DIGEST:
        member_set_digest(g->self, g->self->digest_number + 1, event->bytes);
        break;
    case GOSSIP_FORGET:
        merge_forget(g, event);
        break;
    case GOSSIP_LEAVE:
        leave(g);
    }
    if (event->kind == GOSSIP_TICK)
        tick(g);
    g->out = NULL;
}

// ---- What others may see ------------------------------------------------------------------------

static void
view_of(const struct gossip *g, const struct member *m, struct gossip_view *ret)
{
    *ret = (struct gossip_view){
        .uuid = m->uuid,
        .incarnation = m->incarnation,
        .version = m->version,
        .state = m->state,
        .state_ms = g->time - m->since,
        .address = m->address,
        .name = member_name(m),
        .meta = member_meta(m),
        .digest = slice_of(m->digest, m->digest_len),
        .digest_number = m->digest_number,
    };
}

uint32_t
gossip_count(const struct gossip *gossip)
{
    return gossip->count + 1;
}

uint32_t
gossip_alive(const struct gossip *gossip)
{
    return gossip->alive + 1;
}

void
gossip_view(const struct gossip *gossip, uint32_t i, struct gossip_view *ret_view)
{
    must(i <= gossip->count);
    view_of(gossip, i == 0 ? gossip->self : gossip->order[i - 1], ret_view);
}

bool
gossip_find(const struct gossip *gossip, const struct gossip_uuid *uuid,
            struct gossip_view *ret_view)
{
    const struct member *m = members_find(gossip, uuid);
    if (m)
        view_of(gossip, m, ret_view);
    return m != NULL;
}

uint64_t
gossip_hash(const struct gossip *gossip)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= gossip->count; i++) {
        const struct member *m = i < gossip->count ? gossip->order[i] : gossip->self;
        struct {
            struct gossip_uuid uuid;
            uint64_t incarnation;
            uint32_t version, details, state, zero;
        } said = {
            m->uuid, m->incarnation, m->version, m->details_held, member_lives(m) ? 0 : m->state,
            0}; // a suspicion passes
        sum += hash_bytes(&gossip->key, &said, sizeof said);
    }
    return sum;
}

const struct gossip_stats *
gossip_stats(const struct gossip *gossip)
{
    return &gossip->stats;
}

uint32_t
gossip_awareness(const struct gossip *gossip)
{
    return gossip->awareness;
}

void
gossip_check(const struct gossip *gossip)
{
    const struct gossip *g = gossip;
    uint32_t alive = 0, rumors = 0, suspects = 0;
    must(g->magic == GOSSIP_MAGIC && g->count < g->members_max);
    must(members_find(g, &g->self->uuid) == g->self);
    for (uint32_t i = 0; i < g->count; i++) {
        const struct member *m = g->order[i];
        must(m->at == i && members_find(g, &m->uuid) == m && m != g->self);
        must(m->incarnation > 0 && m->details_held <= m->details_version &&
             m->details_version <= m->version);
        must((m->state == GOSSIP_SUSPECT) == !list_empty(&m->doubt));
        must(member_lives(m) ||
             (list_empty(&m->refusal) && g->probe.target != m && g->doubted != m));
        must(m->since <= g->time && m->sends <= SENDS_MAX);
        alive += member_lives(m);
        suspects += m->state == GOSSIP_SUSPECT;
        rumors += !list_empty(&m->rumor);
    }
    must(alive == g->alive && rumors + !list_empty(&g->self->rumor) == g->rumor_count);
    must((suspects > 0) <= (g->doubt_at != NEVER));
    must((g->rumor_count > 0) <= (g->rumor_at != NEVER));
}
