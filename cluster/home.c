// home.c - which node keeps the sessions of a client identifier.
#include "cluster/home.h"

#include "core/base/mem.h"

bool
home_declared(const struct gossip_view *view)
{
    return view->state == GOSSIP_ALIVE || view->state == GOSSIP_SUSPECT ||
           view->state_ms < HOME_KEPT_MS;
}

void
home_clear(struct home_table *table, const struct hash_key *key)
{
    table->key = *key;
    table->count = 0;
}

void
home_add(struct home_table *table, const struct gossip_uuid *uuid)
{
    table->members =
        mem_grow(table->members, &table->cap, table->count + 1, sizeof table->members[0]);
    struct home_member *m = &table->members[table->count++];
    m->uuid = *uuid;
    m->weight.k0 = hash_bytes(&table->key, uuid->bytes, sizeof uuid->bytes);
    m->weight.k1 = hash_u64(&table->key, m->weight.k0);
}

void
home_free(struct home_table *table)
{
    mem_free(table->members);
    memset(table, 0, sizeof *table);
}

// Equal weights (once in 2^64) are decided by the uuid, so that order does not matter.
static bool
better(uint64_t weight, const struct home_member *m, uint64_t than, const struct home_member *other)
{
    if (!other || weight != than)
        return !other || weight > than;
    return memcmp(m->uuid.bytes, other->uuid.bytes, sizeof m->uuid.bytes) > 0;
}

bool
home_find(const struct home_table *table, struct slice client_id, struct gossip_uuid *ret_home,
          struct gossip_uuid *ret_second)
{
    const struct home_member *first = NULL, *second = NULL;
    uint64_t first_weight = 0, second_weight = 0;
    uint64_t hash = hash_bytes(&table->key, client_id.data, client_id.len);
    for (uint32_t i = 0; i < table->count; i++) {
        const struct home_member *m = &table->members[i];
        uint64_t weight = hash_u64(&m->weight, hash);
        if (better(weight, m, first_weight, first)) {
            second = first;
            second_weight = first_weight;
            first = m;
            first_weight = weight;
        } else if (better(weight, m, second_weight, second)) {
            second = m;
            second_weight = weight;
        }
    }
    if (!first)
        return false;
    *ret_home = first->uuid;
    if (ret_second && second)
        *ret_second = second->uuid;
    must(!second || first != second);
    return true;
}
