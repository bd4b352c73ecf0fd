// verified.h - passwords that were found good a short while ago.
//
// Job:    a client that comes again within a few minutes is not hashed again: devices that connect
//         each minute, and the second and later waves of a storm, cost microseconds.
// Owner:  the service. Thread: any; one mutex, held for nanoseconds.
// Memory: 40 bytes for each of entries_max, at once; wiped.
// Limits: entries_max; the one that ends soonest of its four neighbours makes place.
//
// Kept is HMAC-SHA-256 of mark, name and password under a random key of this cache, never a
// password, and only what was good. The mark (users_mark) is of the user's line: as soon as another
// hash stands there, what was kept for the old one is of no use, so no reload has to empty it.
//
// What it costs: whoever can read this process's memory can try passwords of those who logged in
// within ttl_ms at the speed of SHA-256, however dear the file's hashes are. (He may as well wait
// for the next one that arrives in plain text.) So ttl_ms is short, and 0, which is off, is
// for those who do not like it. It does not help with the first wave after hours of quiet: nothing
// that is kept for minutes can.
#ifndef TERN_CORE_ACCESS_VERIFIED_H
#define TERN_CORE_ACCESS_VERIFIED_H

#include "core/base/err.h"

#define VERIFIED_ENTRIES 65536u  // 2.5 MiB
#define VERIFIED_TTL_MS  300000u // five minutes

struct verified;

// OK: returns new; NULL where entries_max or ttl_ms is 0: nothing is kept, and NULL is fine below.
// ERR_IO: no random bytes.
NODISCARD err_t verified_new(uint32_t entries_max, uint64_t ttl_ms, struct verified **ret_verified);
void verified_free(struct verified *verified); // wipes, takes; NULL is fine

// now_ms: monotonic.
struct verified_login {
    uint64_t mark; // of the user now; 0 = unknown, which is never found, and not added
    struct slice user, password;
};
// Takes the same time whatever it finds.
bool verified_has(struct verified *verified, const struct verified_login *login, uint64_t now_ms);
// Good until ttl_ms from now, by its own check: being found does not prolong it.
void verified_add(struct verified *verified, const struct verified_login *login, uint64_t now_ms);
// Wipes what is over. Once a minute, say.
void verified_expire(struct verified *verified, uint64_t now_ms);

#endif
