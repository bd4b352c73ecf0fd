// route_set.c - keys with a weight, in places that do not move.
#include "cluster/route_set.h"

#include "core/base/mem.h"

#include "core/session_routes.h"

uint64_t
route_set_share(struct slice key, uint32_t weight)
{
    return weight > 0 ? route_share(route_hash(key), weight) : 0;
}

void
route_set_free(struct route_set *set)
{
    for (uint32_t i = 0; i < set->places; i++)
        mem_free(set->entries[i].key);
    mem_free(set->entries);
    mem_free(set->free);
    mem_free(set->table);
    memset(set, 0, sizeof *set);
}

// Where the key stands in the table, or the free slot where it would.
static uint32_t
slot_of(const struct route_set *set, uint64_t hash, struct slice key)
{
    uint32_t mask = set->table_size - 1;
    for (uint32_t i = (uint32_t)hash & mask;; i = (i + 1) & mask) {
        if (set->table[i] == 0)
            return i;
        const struct route_entry *e = &set->entries[set->table[i] - 1];
        if (e->hash == hash && slice_equal(slice_of(e->key, e->key_len), key))
            return i;
    }
}

static void
grow(struct route_set *set)
{
    if ((set->count + 1) * 2 <= set->table_size)
        return;
    must(set->table_size < UINT32_C(1) << 31);
    set->table_size = max_u32(16, set->table_size * 2);
    mem_free(set->table);
    set->table = mem_zalloc(set->table_size * sizeof set->table[0]);
    for (uint32_t i = 0; i < set->places; i++) {
        const struct route_entry *e = &set->entries[i];
        if (e->key)
            set->table[slot_of(set, e->hash, slice_of(e->key, e->key_len))] = i + 1;
    }
}

static void
add(struct route_set *set, uint64_t hash, struct slice key, uint32_t weight)
{
    grow(set);
    uint32_t place = set->free_count > 0 ? set->free[--set->free_count] : set->places++;
    set->entries = mem_grow(set->entries, &set->cap, set->places, sizeof set->entries[0]);
    uint8_t *copy = mem_alloc(key.len + 1);
    if (key.len > 0)
        memcpy(copy, key.data, key.len);
    set->entries[place] = (struct route_entry){hash, copy, key.len, weight};
    set->table[slot_of(set, hash, key)] = place + 1;
    set->count++;
    set->key_bytes += key.len;
}

// What stands behind the gap moves up if it would be looked for from the gap or before.
static void
remove_slot(struct route_set *set, uint32_t gap)
{
    uint32_t mask = set->table_size - 1, place = set->table[gap] - 1;
    struct route_entry *e = &set->entries[place];
    must(e->key != NULL && set->count > 0 && set->key_bytes >= e->key_len);
    set->key_bytes -= e->key_len;
    mem_free(e->key);
    *e = (struct route_entry){0};
    for (uint32_t i = (gap + 1) & mask; set->table[i] != 0; i = (i + 1) & mask) {
        uint32_t home = (uint32_t)set->entries[set->table[i] - 1].hash & mask;
        if (((i - home) & mask) >= ((i - gap) & mask)) {
            set->table[gap] = set->table[i];
            gap = i;
        }
    }
    set->table[gap] = 0;
    set->free = mem_grow(set->free, &set->free_cap, set->free_count + 1, sizeof set->free[0]);
    set->free[set->free_count++] = place;
    set->count--;
}

bool
route_set_put(struct route_set *set, struct slice key, uint32_t weight)
{
    uint64_t hash = route_hash(key);
    uint32_t slot = set->table_size > 0 ? slot_of(set, hash, key) : 0;
    struct route_entry *e =
        set->table_size > 0 && set->table[slot] != 0 ? &set->entries[set->table[slot] - 1] : NULL;
    if ((e ? e->weight : 0) == weight)
        return false;
    if (e)
        set->hash -= route_share(hash, e->weight);
    if (weight > 0)
        set->hash += route_share(hash, weight);
    if (!e)
        add(set, hash, key, weight);
    else if (weight > 0)
        e->weight = weight;
    else
        remove_slot(set, slot);
    must(set->count > 0 || set->hash == 0);
    return true;
}

uint32_t
route_set_weight(const struct route_set *set, struct slice key)
{
    if (set->table_size == 0)
        return 0;
    uint32_t at = set->table[slot_of(set, route_hash(key), key)];
    return at > 0 ? set->entries[at - 1].weight : 0;
}
