// hold.c - batches that may have to wait for those of other shards.
//
// The cut. All that is held is taken to be included; then, for as long as a bond is included whose
// other side is not, its shard is cut off before that bond. What is left is closed, and it is the
// largest such part, because nothing is cut off that could have stayed. Tickets of a shard go up,
// and another shard takes them in order: so the last one of each kind stands for all before it.
#include "persist/hold.h"

#include "core/base/mem.h"

struct side {
    struct journal_batch **batches; // in order
    uint32_t count, cap;
    uint32_t bytes_done, bonds_done; // of the first batch, given out already
    // What has been given out: the last ticket that this shard gave, and that it took from each.
    uint64_t gave, took[TRIE_SHARDS_MAX];
    // Of the cut: bonds included, from bonds_done of the first batch on; the tickets with them.
    uint32_t included, bonds;
    uint64_t cut_gave, cut_took[TRIE_SHARDS_MAX];
};

struct hold {
    unsigned shard_count, next; // next: the side from which hold_next goes on
    uint32_t held;              // batches
    struct side sides[];
};

struct hold *
hold_new(unsigned shard_count)
{
    struct hold *hold = mem_zalloc(sizeof *hold + shard_count * sizeof hold->sides[0]);
    hold->shard_count = hold->next = shard_count;
    return hold;
}

void
hold_free(struct hold *hold)
{
    if (!hold)
        return;
    for (unsigned i = 0; i < hold->shard_count; i++) {
        struct side *side = &hold->sides[i];
        for (uint32_t j = 0; j < side->count; j++)
            journal_batch_free(side->batches[j]);
        mem_free(side->batches);
    }
    mem_free(hold);
}

bool
hold_is_empty(const struct hold *hold)
{
    return hold->held == 0;
}

bool
hold_wants(const struct hold *hold, unsigned shard, const struct journal_batch *batch)
{
    must(shard < hold->shard_count);
    return batch->bond_count > 0 || hold->sides[shard].count > 0;
}

void
hold_put(struct hold *hold, unsigned shard, struct journal_batch *batch)
{
    struct side *side = &hold->sides[shard];
    side->batches = mem_grow(side->batches, &side->cap, side->count + 1, sizeof *side->batches);
    side->batches[side->count++] = batch;
    hold->held++;
}

// ---- The cut ------------------------------------------------------------------------------------

// The i-th bond of a side that has not been given out, or NULL. *ret_batch may be NULL.
static const struct journal_bond *
bond_at(const struct side *side, uint32_t i, uint32_t *ret_batch)
{
    i += side->bonds_done;
    for (uint32_t b = 0; b < side->count; b++) {
        if (i < side->batches[b]->bond_count) {
            if (ret_batch)
                *ret_batch = b;
            return &side->batches[b]->bonds[i];
        }
        i -= side->batches[b]->bond_count;
    }
    return NULL;
}

static void
add_up(struct side *side)
{
    side->cut_gave = side->gave;
    memcpy(side->cut_took, side->took, sizeof side->took);
    for (uint32_t i = 0; i < side->included; i++) {
        const struct journal_bond *bond = bond_at(side, i, NULL);
        uint64_t *last =
            bond->gave ? &side->cut_gave : &side->cut_took[__builtin_ctzll(bond->shards)];
        must(bond->ticket >= *last);
        *last = bond->ticket;
    }
}

static bool
is_closed(const struct hold *hold, unsigned shard, const struct journal_bond *bond)
{
    if (!bond->gave)
        return hold->sides[__builtin_ctzll(bond->shards)].cut_gave >= bond->ticket;
    for (uint64_t left = bond->shards; left; left &= left - 1)
        if (hold->sides[__builtin_ctzll(left)].cut_took[shard] < bond->ticket)
            return false;
    return true;
}

// True when something had to be cut off.
static bool
cut_side(struct hold *hold, unsigned shard)
{
    struct side *side = &hold->sides[shard];
    for (uint32_t i = 0; i < side->included; i++) {
        if (is_closed(hold, shard, bond_at(side, i, NULL)))
            continue;
        side->included = i;
        add_up(side);
        return true;
    }
    return false;
}

void
hold_cut(struct hold *hold)
{
    for (unsigned i = 0; i < hold->shard_count; i++) {
        struct side *side = &hold->sides[i];
        side->bonds = 0;
        for (uint32_t b = 0; b < side->count; b++)
            side->bonds += side->batches[b]->bond_count;
        must(side->bonds >= side->bonds_done);
        side->bonds -= side->bonds_done;
        side->included = side->bonds;
        add_up(side);
    }
    bool changed = true;
    while (changed) {
        changed = false;
        for (unsigned i = 0; i < hold->shard_count; i++)
            changed |= cut_side(hold, i);
    }
    hold->next = 0;
}

// ---- Giving out ---------------------------------------------------------------------------------

// What of the first batch is before the cut; its whole when the cut is in a later one, or nowhere.
static bool
piece_of(struct hold *hold, struct side *side, struct hold_piece *ret)
{
    if (side->count == 0)
        return false;
    struct journal_batch *batch = side->batches[0];
    uint32_t in_batch = batch->bond_count - side->bonds_done, end = batch->len;
    ret->position = batch->last;
    bool whole = side->included >= in_batch;
    if (!whole) {
        const struct journal_bond *bond = &batch->bonds[side->bonds_done + side->included];
        end = bond->offset;
        ret->position = bond->position;
        if (side->included == 0 && end == side->bytes_done)
            return false; // nothing before the bond that waits
    }
    ret->records = (struct slice){0}; // a batch that has bonds alone has no bytes at all
    if (end > side->bytes_done)
        ret->records = slice_of(batch->bytes + side->bytes_done, end - side->bytes_done);
    ret->finished = whole ? batch : NULL;
    uint32_t given = whole ? in_batch : side->included;
    side->included -= given;
    side->bonds_done = whole ? 0 : side->bonds_done + given;
    side->bytes_done = whole ? 0 : end;
    if (whole) {
        side->count--;
        memmove(side->batches, side->batches + 1, side->count * sizeof *side->batches);
        hold->held--;
    }
    return true;
}

bool
hold_next(struct hold *hold, struct hold_piece *ret)
{
    for (; hold->next < hold->shard_count; hold->next++) {
        struct side *side = &hold->sides[hold->next];
        *ret = (struct hold_piece){.shard = hold->next};
        if (piece_of(hold, side, ret))
            return true;
        side->gave = side->cut_gave;
        memcpy(side->took, side->cut_took, sizeof side->took);
    }
    return false;
}
