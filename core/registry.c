// registry.c - the shard's sessions by client identifier.
#include "core/registry.h"

#include "core/base/mem.h"

#include "core/session.h"

#define BUCKETS_MIN 64u

struct registry {
    struct hash_key key;
    struct session **buckets;
    uint32_t cap; // power of two
    uint32_t count;
};

struct registry *
registry_new(const struct hash_key *key)
{
    struct registry *registry = mem_zalloc(sizeof *registry);
    registry->key = *key;
    registry->cap = BUCKETS_MIN;
    registry->buckets = mem_zalloc(BUCKETS_MIN * sizeof(struct session *));
    return registry;
}

void
registry_free(struct registry *registry)
{
    if (!registry)
        return;
    must(registry->count == 0);
    mem_free(registry->buckets);
    mem_free(registry);
}

uint32_t
registry_hash(const struct registry *registry, struct slice id)
{
    return (uint32_t)hash_bytes(&registry->key, id.data, id.len);
}

struct session *
registry_find(const struct registry *registry, struct slice id, uint32_t hash)
{
    struct session *session = registry->buckets[hash & (registry->cap - 1)];
    // Two identifiers with one hash are still two sessions: the text decides.
    while (session && !(session->hash == hash && slice_equal(session_id(session), id)))
        session = session->chain;
    return session;
}

static void
grow(struct registry *registry)
{
    uint32_t cap = registry->cap * 2;
    struct session **buckets = mem_zalloc((size_t)cap * sizeof(struct session *));
    for (uint32_t i = 0; i < registry->cap; i++) {
        struct session *next;
        for (struct session *s = registry->buckets[i]; s; s = next) {
            next = s->chain;
            s->chain = buckets[s->hash & (cap - 1)];
            buckets[s->hash & (cap - 1)] = s;
        }
    }
    mem_free(registry->buckets);
    registry->buckets = buckets;
    registry->cap = cap;
}

void
registry_add(struct registry *registry, struct session *session)
{
    if (registry->count >= registry->cap)
        grow(registry);
    struct session **bucket = &registry->buckets[session->hash & (registry->cap - 1)];
    session->chain = *bucket;
    *bucket = session;
    registry->count++;
}

void
registry_remove(struct registry *registry, struct session *session)
{
    struct session **link = &registry->buckets[session->hash & (registry->cap - 1)];
    while (*link && *link != session)
        link = &(*link)->chain;
    must(*link == session);
    *link = session->chain;
    registry->count--;
}

size_t
registry_count(const struct registry *registry)
{
    return registry->count;
}

// A table that grows between two calls splits a bucket i into i and i + cap: what was seen may come
// again, and nothing is left out.
uint32_t
registry_each_from(struct registry *registry, uint32_t from, uint32_t count,
                   void (*fn)(struct session *session))
{
    uint32_t end =
        count < registry->cap - min_u32(from, registry->cap) ? from + count : registry->cap;
    for (uint32_t i = from; i < end; i++) {
        struct session *next;
        for (struct session *s = registry->buckets[i]; s; s = next) {
            next = s->chain;
            fn(s);
        }
    }
    return end == registry->cap ? UINT32_MAX : end;
}

void
registry_each(struct registry *registry, void (*fn)(struct session *session))
{
    (void)registry_each_from(registry, 0, UINT32_MAX, fn);
}

// In the order of hash_mirror.
struct session *
registry_bucket(const struct registry *registry, uint64_t place, uint64_t *ret_next)
{
    must(place < REGISTRY_END && registry->cap >= BUCKETS_MIN);
    uint64_t range = REGISTRY_END / registry->cap;
    uint64_t begin = place - place % range;
    *ret_next = begin + range;
    return registry->buckets[hash_mirror((uint32_t)begin)];
}
