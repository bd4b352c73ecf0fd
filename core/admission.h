// admission.h - how many connections and CONNECTs there may be, of one address and in all.
//
// Job:    counts by address what comes to any worker: max_connections_per_address, connect_rate,
//         connect_rate_per_address.
// Owner:  the broker. Thread: ON_ANY; a mutex that is held for one look-up, where a limit is set.
// Memory: a record of an address with a connection or a CONNECT lately (visitors.h).
// Limits: visitors.h's.
#ifndef TERN_CORE_ADMISSION_H
#define TERN_CORE_ADMISSION_H

#include "core/base/hash.h"

#include "core/address.h"

struct admission;

struct admission *admission_new(const struct hash_key *key); // returns new, borrows key
void admission_free(struct admission *admission);            // takes; NULL is fine

// A connection from there, of at most max. False: there are as many. True: *ret_place is what
// admission_leave takes when the connection is gone, not 0.
bool admission_enter(struct admission *admission, uint64_t address, uint32_t max,
                     uint32_t *ret_place);
void admission_leave(struct admission *admission, uint32_t place);

// CONNECTs a second, 0 = no limit.
struct admission_rates {
    uint32_t all, address;
};
// Which of them has no token for this CONNECT? NULL: it may go on; else the limit's key. A CONNECT
// that one of them refuses takes no token.
const char *admission_connect(struct admission *admission, uint64_t address,
                              const struct admission_rates *rates, uint64_t now_ms);

#endif
