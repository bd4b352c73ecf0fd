// packet_ids.c - a set of packet identifiers.
#include "core/packet_ids.h"

#include "core/base/mem.h"

#define CAP_MIN  4u
#define CAP_KEEP 64u // an empty set with more gives its memory back

// Numbers come in sequence, so their low bits spread them well. A peer that aims collisions only
// slows its own session, and there are no more than 1,024 blocks to look at.
static uint32_t
home(const struct packet_ids *set, uint32_t number)
{
    return number & (set->cap - 1);
}

// The block of this number, or the free place where it would be.
static struct packet_id_block *
find(const struct packet_ids *set, uint32_t number)
{
    uint32_t i = home(set, number);
    while (set->blocks[i].members != 0 && set->blocks[i].number != number)
        i = (i + 1) & (set->cap - 1);
    return &set->blocks[i];
}

static uint64_t
bit(uint16_t id)
{
    return UINT64_C(1) << id % 64;
}

void
packet_ids_free(struct packet_ids *set)
{
    mem_free(set->blocks);
    *set = (struct packet_ids){0};
}

bool
packet_ids_has(const struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0); // no packet has it [MQTT-2.3.1-1]
    return set->count > 0 && (find(set, id / 64)->members & bit(id)) != 0;
}

static void
grow(struct packet_ids *set)
{
    struct packet_ids old = *set;
    must(old.cap <= UINT16_MAX / 2);
    set->cap = old.cap ? (uint16_t)(old.cap * 2) : CAP_MIN;
    set->blocks = mem_zalloc(set->cap * sizeof *set->blocks);
    for (uint32_t i = 0; i < old.cap; i++)
        if (old.blocks[i].members != 0)
            *find(set, old.blocks[i].number) = old.blocks[i];
    mem_free(old.blocks);
}

bool
packet_ids_add(struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0);
    if (unlikely((set->used + 1) * 2 > set->cap))
        grow(set);
    struct packet_id_block *block = find(set, id / 64);
    if (block->members & bit(id))
        return false;
    set->used = (uint16_t)(set->used + (block->members == 0));
    block->number = id / 64;
    block->members |= bit(id);
    set->count++;
    must_hot(set->used * 2 <= set->cap);
    return true;
}

// A block became empty. Closes the gap: one behind it may stand only where no free place lies
// between it and its home.
static void
close_gap(struct packet_ids *set, uint32_t hole)
{
    const uint32_t mask = set->cap - 1;
    for (uint32_t i = (hole + 1) & mask; set->blocks[i].members != 0; i = (i + 1) & mask) {
        uint32_t want = home(set, set->blocks[i].number);
        if (((i - want) & mask) < ((i - hole) & mask))
            continue;
        set->blocks[hole] = set->blocks[i];
        hole = i;
    }
    set->blocks[hole].members = 0;
    set->used--;
}

// Something was taken out of the block.
static void
close_if_empty(struct packet_ids *set, struct packet_id_block *block)
{
    if (block->members == 0)
        close_gap(set, (uint32_t)(block - set->blocks));
    if (set->count == 0 && set->cap > CAP_KEEP)
        packet_ids_free(set);
}

bool
packet_ids_remove(struct packet_ids *set, uint16_t id)
{
    must_hot(id != 0);
    if (set->count == 0)
        return false;
    struct packet_id_block *block = find(set, id / 64);
    if (!(block->members & bit(id)))
        return false;
    block->members &= ~bit(id);
    set->count--;
    close_if_empty(set, block);
    return true;
}

// ---- Rows: identifiers that follow each other, block by block -----------------------------------

// The bits of the identifiers from id on, so many but no more than its block has.
static uint64_t
bits(uint16_t id, uint32_t count)
{
    uint32_t at = id % 64, n = min_u32(count, 64 - at);
    return (n < 64 ? (UINT64_C(1) << n) - 1 : UINT64_MAX) << at;
}

void
packet_ids_add_row(struct packet_ids *set, uint16_t first, uint32_t count)
{
    must_hot(first != 0 && first + count <= 65536u);
    for (uint32_t id = first, end = first + count; id < end;) {
        if (unlikely((set->used + 1) * 2 > set->cap))
            grow(set);
        struct packet_id_block *block = find(set, id / 64);
        uint64_t new = bits((uint16_t)id, end - id);
        must_hot((block->members & new) == 0);
        set->used = (uint16_t)(set->used + (block->members == 0));
        block->number = (uint32_t)id / 64;
        block->members |= new;
        uint32_t n = (uint32_t)__builtin_popcountll(new);
        set->count += n;
        id += n;
    }
    must_hot(set->used * 2 <= set->cap);
}

uint32_t
packet_ids_remove_row(struct packet_ids *set, uint16_t first, uint32_t count)
{
    must_hot(first != 0 && first + count <= 65536u);
    uint32_t id = first, end = first + count;
    while (id < end && set->count > 0) {
        struct packet_id_block *block = find(set, id / 64);
        uint64_t row = bits((uint16_t)id, end - id), missing = row & ~block->members;
        if (missing)
            row &= (missing & -missing) - 1; // those before the first one that is missing
        if (row == 0)
            break;
        block->members &= ~row;
        uint32_t n = (uint32_t)__builtin_popcountll(row);
        set->count -= n;
        id += n;
        close_if_empty(set, block);
        if (missing)
            break;
    }
    return id - first;
}
