// test_persist_hold.c - what of several shards' batches may be committed together.
#include <criterion/criterion.h>

#include "core/base/mem.h"

#include "persist/hold.h"

#define A 0u
#define B 1u
#define C 2u

static struct hold *hold;
static uint64_t positions[3];

static void
set_up(void)
{
    hold = hold_new(3);
    memset(positions, 0, sizeof positions);
}

static void
tear_down(void)
{
    hold_free(hold);
}

TestSuite(hold, .init = set_up, .fini = tear_down);

// A batch of records of 10 bytes. Steps: '.' a record, digits: a bond with this ticket that is
// taken from, or given to, the shards named after it ("1>bc" gives, "1<a" takes).
static void
put(unsigned shard, const char *steps)
{
    struct journal_batch *batch = journal_batch_new();
    for (const char *at = steps; *at;) {
        if (*at == '.') {
            batch->bytes = mem_grow(batch->bytes, &batch->cap, batch->len + 10, 1);
            memset(batch->bytes + batch->len, 'a' + (int)shard, 10);
            batch->len += 10;
            positions[shard]++;
            at++;
            continue;
        }
        struct journal_bond bond = {.offset = batch->len,
                                    .gave = at[1] == '>',
                                    .position = positions[shard],
                                    .ticket = (uint64_t)(*at - '0')};
        for (at += 2; *at >= 'a'; at++)
            bond.shards |= UINT64_C(1) << (*at - 'a');
        batch->bonds = mem_grow(batch->bonds, &batch->bond_cap, batch->bond_count + 1, sizeof bond);
        batch->bonds[batch->bond_count++] = bond;
    }
    batch->last = positions[shard];
    hold_put(hold, shard, batch);
}

// The positions that are given out now, "a2 b1"; bytes must be as many.
static void
expect(uint64_t a, uint64_t b, uint64_t c)
{
    static uint64_t given[3];
    uint64_t bytes[3] = {0}, now[3] = {0};
    if (hold_is_empty(hold))
        memset(given, 0, sizeof given);
    struct hold_piece piece;
    hold_cut(hold);
    while (hold_next(hold, &piece)) {
        bytes[piece.shard] += piece.records.len;
        now[piece.shard] = piece.position;
        journal_batch_free(piece.finished);
    }
    cr_assert(now[A] == a && now[B] == b && now[C] == c, "%d %d %d", (int)now[A], (int)now[B],
              (int)now[C]);
}

Test(hold, without_bonds_nothing_waits)
{
    struct journal_batch plain = {0};
    cr_assert_not(hold_wants(hold, A, &plain));
    put(A, "..");
    cr_assert(hold_wants(hold, A, &plain), "behind one that is held");
    expect(2, 0, 0);
    cr_assert(hold_is_empty(hold));
}

Test(hold, both_sides_or_none)
{
    put(A, "..1>b.");
    expect(2, 0, 0); // what is before it does not wait
    expect(0, 0, 0);
    put(B, ".1<a..");
    expect(3, 3, 0);
    cr_assert(hold_is_empty(hold));
}

Test(hold, the_taker_waits_as_well)
{
    put(B, "1<a..");
    expect(0, 0, 0);
    put(A, "1>b..");
    expect(2, 2, 0);
}

Test(hold, all_takers)
{
    put(A, "1>bc.");
    put(B, "1<a.");
    expect(0, 0, 0);
    put(C, "..1<a.");
    expect(1, 1, 3);
    cr_assert(hold_is_empty(hold));
}

Test(hold, one_that_is_ahead_is_cut)
{
    put(A, "1>b.2>b.3>b.");
    put(B, "1<a.2<a.");
    expect(2, 2, 0);
    expect(0, 0, 0);
    put(A, ".4>b.");
    put(B, "3<a.");
    expect(4, 3, 0); // with the record between the third and the fourth
    put(B, "4<a.");
    expect(5, 4, 0);
}

Test(hold, cuts_have_consequences)
{
    // B gives to C what stands behind something that waits for A.
    put(B, ".1<a.7>c.");
    put(C, ".7<b.");
    expect(0, 1, 1);
    put(A, "1>b.");
    expect(1, 3, 2);
    cr_assert(hold_is_empty(hold));
}

Test(hold, in_both_directions_at_once)
{
    put(A, "1>b.5<b.");
    put(B, "5>a.1<a.");
    expect(2, 2, 0);
    put(A, "2>b.");
    put(B, "6>a.2<a.");
    expect(0, 0, 0); // 6 waits for A, and 2 stands behind it
    put(A, "6<b.");
    expect(4, 4, 0);
}

Test(hold, a_bond_without_records_counts)
{
    put(A, "1>b");
    put(B, "1<a");
    hold_cut(hold);
    struct hold_piece piece;
    unsigned pieces = 0;
    while (hold_next(hold, &piece)) {
        cr_assert_eq(piece.records.len, 0);
        journal_batch_free(piece.finished);
        pieces++;
    }
    cr_assert_eq(pieces, 2);
    cr_assert(hold_is_empty(hold));
}
