// gossip_members.c - the table of members: by uuid, and in the order of probes.
#include "core/base/mem.h"

#include "cluster/gossip_parts.h"

#define NAME_AT 18u // in details: behind the address

uint64_t
random_next(struct gossip *g)
{
    // splitmix64 (Steele, Lea, Flood 2014): a counter, mixed; any seed will do.
    uint64_t z = g->random += UINT64_C(0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

uint32_t
random_below(struct gossip *g, uint32_t n)
{
    must(n > 0);
    return (uint32_t)(((random_next(g) >> 32) * n) >> 32);
}

// ---- By uuid ------------------------------------------------------------------------------------

static uint32_t
place(const struct gossip *g, const struct gossip_uuid *uuid)
{
    return (uint32_t)hash_bytes(&g->table_key, uuid->bytes, sizeof uuid->bytes) & g->table_mask;
}

struct member *
members_find(const struct gossip *g, const struct gossip_uuid *uuid)
{
    for (uint32_t i = place(g, uuid);; i = (i + 1) & g->table_mask) {
        struct member *m = g->table[i];
        if (!m || gossip_uuid_equal(&m->uuid, uuid))
            return m;
    }
}

static void
table_put(struct gossip *g, struct member *m)
{
    uint32_t i = place(g, &m->uuid);
    while (g->table[i])
        i = (i + 1) & g->table_mask;
    g->table[i] = m;
}

// At most half of the places are used.
static void
table_grow(struct gossip *g, uint32_t members)
{
    if (g->table && members * 2 <= g->table_mask + 1)
        return;
    uint32_t size = g->table ? (g->table_mask + 1) * 2 : 16;
    struct member **old = g->table;
    uint32_t old_size = old ? g->table_mask + 1 : 0;
    g->table = mem_zalloc(size * sizeof(struct member *));
    g->table_mask = size - 1;
    for (uint32_t i = 0; i < old_size; i++)
        if (old[i])
            table_put(g, old[i]);
    mem_free(old);
}

// What stands behind the gap moves up if it would be looked for from the gap or before.
static void
table_remove(struct gossip *g, const struct member *m)
{
    uint32_t gap = place(g, &m->uuid);
    while (g->table[gap] != m) {
        must(g->table[gap] != NULL);
        gap = (gap + 1) & g->table_mask;
    }
    for (uint32_t i = (gap + 1) & g->table_mask; g->table[i]; i = (i + 1) & g->table_mask) {
        uint32_t home = place(g, &g->table[i]->uuid);
        if (((i - home) & g->table_mask) >= ((i - gap) & g->table_mask)) {
            g->table[gap] = g->table[i];
            gap = i;
        }
    }
    g->table[gap] = NULL;
}

// ---- Coming and going ---------------------------------------------------------------------------

struct slice
member_name(const struct member *m)
{
    return slice_of(m->details + NAME_AT + 1, m->details[NAME_AT]);
}

struct slice
member_meta(const struct member *m)
{
    const uint8_t *at = m->details + NAME_AT + 1 + m->details[NAME_AT];
    return slice_of(at + 1, *at);
}

void
member_set_details(struct member *m, struct slice details, const struct gossip_address *address)
{
    must(details.len > NAME_AT + 2 && details.len <= GOSSIP_DETAILS_MAX);
    if (details.len != m->details_len) {
        mem_free(m->details);
        m->details = mem_alloc(details.len);
        m->details_len = details.len;
    }
    memcpy(m->details, details.data, details.len);
    m->address = *address;
    static const struct hash_key name_key = {0, 0}; // equal names are looked for, not unequal ones
    struct slice name = member_name(m);
    m->name_hash = (uint32_t)hash_bytes(&name_key, name.data, name.len);
    must(member_meta(m).data + member_meta(m).len == m->details + m->details_len);
}

void
member_set_digest(struct member *m, uint64_t number, struct slice digest)
{
    must(digest.len <= GOSSIP_DIGEST_MAX);
    m->digest_number = number;
    m->digest_len = (uint8_t)digest.len;
    if (digest.len > 0)
        memcpy(m->digest, digest.data, digest.len);
}

// Room for one more: who has been dead for longest is forgotten.
static bool
make_room(struct gossip *g)
{
    if (g->count + 1 < g->members_max)
        return true;
    struct member *oldest = NULL;
    for (uint32_t i = 0; i < g->count; i++) {
        struct member *m = g->order[i];
        if (!member_lives(m) && m != g->busy && (!oldest || m->since < oldest->since))
            oldest = m;
    }
    if (!oldest)
        return false;
    members_forget(g, oldest);
    return true;
}

struct member *
members_add(struct gossip *g, const struct gossip_record *record)
{
    if (g->self && !make_room(g))
        return NULL;
    table_grow(g, g->count + 2);
    must(record->has_details && !members_find(g, &record->uuid));
    struct member *m = mem_zalloc(sizeof *m);
    m->uuid = record->uuid;
    m->incarnation = record->incarnation;
    m->version = record->version;
    m->details_version = m->details_held = record->details_version;
    m->state = GOSSIP_ALIVE;
    list_init(&m->doubt);
    list_init(&m->rumor);
    list_init(&m->refusal);
    member_set_details(m, record->details, &record->address);
    member_set_digest(m, record->digest_number, record->digest);
    table_put(g, m);
    if (!g->self) // the first is oneself
        return m;

    // A random place in the order: the one who stood there goes to the end.
    g->order = mem_grow(g->order, &g->cap, g->count + 1, sizeof(struct member *));
    m->at = random_below(g, g->count + 1);
    g->order[g->count] = m;
    if (m->at != g->count) {
        g->order[g->count] = g->order[m->at];
        g->order[g->count]->at = g->count;
        g->order[m->at] = m;
    }
    g->count++;
    g->alive++;
    return m;
}

static void
member_free(struct member *m)
{
    if (!m)
        return;
    mem_free(m->details);
    mem_free(m);
}

void
members_forget(struct gossip *g, struct member *m)
{
    must(m != g->self && !member_lives(m) && g->order[m->at] == m);
    act(g, GOSSIP_FORGOTTEN, m);
    rumor_stop(g, m);
    probe_forget(g, m);
    list_remove(&m->refusal);
    must(list_empty(&m->doubt));
    g->count--;
    g->order[m->at] = g->order[g->count];
    g->order[m->at]->at = m->at;
    table_remove(g, m);
    member_free(m);
}

void
members_forget_old(struct gossip *g)
{
    for (uint32_t i = g->count; i-- > 0;) {
        struct member *m = g->order[i];
        if (!member_lives(m) && g->time - m->since >= GOSSIP_REMEMBER_MS)
            members_forget(g, m);
    }
}

void
members_free(struct gossip *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        member_free(g->order[i]);
    member_free(g->self);
    mem_free(g->order);
    mem_free(g->table);
}

// ---- Some at random -----------------------------------------------------------------------------

static bool
fits(const struct member *m, bool living, const struct member *not_this,
     struct member *const *taken, uint32_t count)
{
    if (m == not_this || member_lives(m) != living)
        return false;
    for (uint32_t i = 0; i < count; i++)
        if (taken[i] == m)
            return false;
    return true;
}

uint32_t
members_pick(struct gossip *g, bool living, const struct member *not_this, struct member **ret,
             uint32_t max)
{
    uint32_t n = 0, there = living ? g->alive : g->count - g->alive;
    max = min_u32(max, there);
    // Guesses are even-handed, but may miss when few fit: then all are looked at from a random one.
    for (uint32_t tries = 0; n < max && tries < 4 * max; tries++) {
        struct member *m = g->order[random_below(g, g->count)];
        if (fits(m, living, not_this, ret, n))
            ret[n++] = m;
    }
    uint32_t first = n < max ? random_below(g, g->count) : 0;
    for (uint32_t i = 0; n < max && i < g->count; i++) {
        struct member *m = g->order[(first + i) % g->count];
        if (fits(m, living, not_this, ret, n))
            ret[n++] = m;
    }
    return n;
}
