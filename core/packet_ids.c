// packet_ids.c - a set of packet identifiers.
#include "core/packet_ids.h"

#include "core/base/mem.h"

#define CAP_MIN 16u

// Identifiers come in sequence, so their low bits spread them well, and a peer that aims collisions
// only slows its own session, by at most the members it may have.
static uint32_t
home(const struct packet_ids *set, uint16_t id)
{
    return id & (set->cap - 1);
}

static uint32_t
find(const struct packet_ids *set, uint16_t id)
{
    uint32_t i = home(set, id);
    while (set->slots[i] != 0 && set->slots[i] != id)
        i = (i + 1) & (set->cap - 1);
    return i;
}

void
packet_ids_free(struct packet_ids *set)
{
    mem_free(set->slots);
    *set = (struct packet_ids){0};
}

bool
packet_ids_has(const struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0);
    return set->count > 0 && set->slots[find(set, id)] == id;
}

static void
grow(struct packet_ids *set)
{
    struct packet_ids old = *set;
    set->cap = old.cap ? old.cap * 2 : CAP_MIN;
    set->slots = mem_zalloc(set->cap * sizeof *set->slots);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.slots[i] != 0)
            set->slots[find(set, old.slots[i])] = old.slots[i];
    mem_free(old.slots);
}

bool
packet_ids_add(struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0);
    if (set->count * 2 >= set->cap)
        grow(set);
    uint32_t i = find(set, id);
    if (set->slots[i] == id)
        return false;
    set->slots[i] = id;
    set->count++;
    must_hot(set->count * 2 <= set->cap);
    return true;
}

bool
packet_ids_remove(struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0);
    if (set->count == 0)
        return false;
    uint32_t hole = find(set, id);
    if (set->slots[hole] != id)
        return false;
    // Close the gap: an entry behind it may stand only where no free slot lies between it and its
    // home.
    for (uint32_t i = (hole + 1) & (set->cap - 1); set->slots[i] != 0;
         i = (i + 1) & (set->cap - 1)) {
        uint32_t want = home(set, set->slots[i]);
        if (((i - want) & (set->cap - 1)) < ((i - hole) & (set->cap - 1)))
            continue;
        set->slots[hole] = set->slots[i];
        hole = i;
    }
    set->slots[hole] = 0;
    set->count--;
    if (set->count == 0 && set->cap > CAP_MIN * 4)
        packet_ids_free(set);
    return true;
}
