// bans.h - who may not connect for now, and who is about to be banned for flapping or guessing.
//
// Job:    a list in memory with an end for each entry, which an operator's tools and the broker
//         itself fill: by client identifier, by user name, by address, and by client identifier at
//         an address. CONNECT is refused with 0x8A; connections that are there stay.
// Owner:  the broker. Thread: ON_ANY; without bans a look is one load, else a mutex for four
//         look-ups.
// Memory: 100 bytes and the name for a ban; what visitors.h says for those that are watched.
// Limits: BANS_MAX bans.
#ifndef TERN_CORE_BANS_H
#define TERN_CORE_BANS_H

#include "core/base/err.h"
#include "core/base/hash.h"

#include "core/address.h"

#define BANS_MAX   65536u // more than anybody enters by hand; 15 MB with usual names
#define BANS_NEVER UINT64_MAX

struct bans;

enum ban_kind {
    BAN_CLIENT,    // name: client identifier
    BAN_USER,      // name: user name
    BAN_ADDRESS,   // address
    BAN_CLIENT_AT, // name: client identifier, at address
};

struct ban {
    enum ban_kind kind;
    struct slice name;
    uint64_t address;  // address.h
    uint64_t until_ms; // monotonic; BANS_NEVER
};

// Who connects. A name that has no bytes is none.
struct ban_subject {
    struct slice client_id, user;
    uint64_t address;
};

// More than max events within window_ms are a ban of ban_ms. max 0: never.
struct ban_rule {
    uint32_t max;
    uint64_t window_ms, ban_ms;
};

struct bans *bans_new(const struct hash_key *key); // returns new, borrows key
void bans_free(struct bans *bans);                 // takes; NULL is fine

// Enters it, or changes the end of the one there is. ERR_FULL: BANS_MAX of them are in force.
NODISCARD err_t bans_add(struct bans *bans, const struct ban *ban, uint64_t now_ms);
// False: there was none. until_ms says nothing.
bool bans_remove(struct bans *bans, const struct ban *ban);
bool bans_hit(struct bans *bans, const struct ban_subject *who, uint64_t now_ms);
// Those that are kept, some of which may just have ended. ON_ANY, cheap.
uint64_t bans_count(const struct bans *bans);
// Some of those in force, from place 0 on: of BANS_STEP buckets, or fewer when `count` are found,
// and those of the last bucket. Returns the place to go on from, BANS_END when all were seen. Those
// that are there throughout are seen once. fn must not call bans_*; what it is given is borrowed.
#define BANS_STEP 1024u
#define BANS_END  (UINT64_C(1) << 32)
uint64_t bans_some(struct bans *bans, uint64_t place, uint32_t count,
                   void (*fn)(void *arg, const struct ban *ban), void *arg, uint64_t now_ms);

// A client connects. True: once too often, and it is banned now, as BAN_CLIENT_AT. Those without
// identifier or address are not watched.
bool bans_on_connect(struct bans *bans, const struct ban_subject *who, const struct ban_rule *rule,
                     uint64_t now_ms);
// A login from there failed. True: once too often, and the address is banned now.
bool bans_on_login_failure(struct bans *bans, uint64_t address, const struct ban_rule *rule,
                           uint64_t now_ms);

#endif
