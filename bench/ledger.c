// ledger.c - which messages of one publisher one subscriber has seen.
#include "bench/ledger.h"

#include "core/base/mem.h"

static void
gap_insert(struct ledger *l, uint32_t at, uint64_t from, uint64_t to)
{
    must(from < to && at <= l->gap_count);
    if (l->gap_count == LEDGER_GAPS_MAX)
        return;
    l->gaps = mem_grow(l->gaps, &l->gap_cap, l->gap_count + 1, sizeof *l->gaps);
    memmove(&l->gaps[at + 1], &l->gaps[at], (l->gap_count - at) * sizeof *l->gaps);
    l->gaps[at] = (struct ledger_gap){from, to};
    l->gap_count++;
}

// Takes seq out of the gap that holds it.
static void
gap_fill(struct ledger *l, uint32_t at, uint64_t seq)
{
    struct ledger_gap *gap = &l->gaps[at];
    must(gap->from <= seq && seq < gap->to);
    uint64_t to = gap->to;
    if (gap->from == seq && to == seq + 1) {
        l->gap_count--;
        memmove(gap, gap + 1, (l->gap_count - at) * sizeof *gap);
    } else if (gap->from == seq) {
        gap->from++;
    } else {
        gap->to = seq;
        if (seq + 1 < to)
            gap_insert(l, at + 1, seq + 1, to);
    }
}

// The first gap that ends above seq is the only one that can hold it. gap_count when none does.
static uint32_t
gap_find(const struct ledger *l, uint64_t seq)
{
    uint32_t low = 0, high = l->gap_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (l->gaps[middle].to <= seq)
            low = middle + 1;
        else
            high = middle;
    }
    return low < l->gap_count && l->gaps[low].from <= seq ? low : l->gap_count;
}

bool
ledger_seen(const struct ledger *l, uint64_t seq)
{
    return seq < l->next && gap_find(l, seq) == l->gap_count;
}

bool
ledger_odd(struct ledger *l, uint64_t seq)
{
    must(seq != l->next);
    if (seq > l->next) {
        l->missing += seq - l->next;
        gap_insert(l, l->gap_count, l->next, seq);
        l->next = seq + 1;
        return true;
    }
    uint32_t at = gap_find(l, seq);
    if (at == l->gap_count) {
        l->duplicates++;
        return false;
    }
    gap_fill(l, at, seq);
    must(l->missing > 0);
    l->missing--;
    l->reordered++;
    return true;
}

void
ledger_free(struct ledger *l)
{
    mem_free(l->gaps);
    *l = (struct ledger){0};
}
