// ledger.h - which messages of one publisher one subscriber has seen.
//
// Job:    from the sequence numbers as they arrive: what is missing, twice, or out of order.
// Owner:  the stream. Thread: the subscriber's. Memory: none while all is in order; 16 bytes per
//         hole otherwise. Limits: beyond LEDGER_GAPS_MAX holes a late message is taken for a
//         duplicate; its loss stays counted.
#ifndef TERN_BENCH_LEDGER_H
#define TERN_BENCH_LEDGER_H

#include "core/base/base.h"

#define LEDGER_GAPS_MAX 65536u

struct ledger_gap {
    uint64_t from, to; // [from, to) has not been seen
};

// Zeroed memory is an empty ledger.
struct ledger {
    uint64_t next; // one above the highest sequence number seen
    uint64_t missing, duplicates, reordered;
    struct ledger_gap *gaps; // ascending
    uint32_t gap_count, gap_cap;
};

// Enters a sequence number that was not what `next` expects. True when it was seen the first time.
bool ledger_odd(struct ledger *l, uint64_t seq);
// Whether that message has been seen.
bool ledger_seen(const struct ledger *l, uint64_t seq);
void ledger_free(struct ledger *l);

// The same for any sequence number; in order is the case that costs nothing.
static inline bool
ledger_note(struct ledger *l, uint64_t seq)
{
    if (likely(seq == l->next)) {
        l->next++;
        return true;
    }
    return ledger_odd(l, seq);
}

#endif
