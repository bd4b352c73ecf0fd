// bans.c - who may not connect for now, and who is about to be banned.
#include "core/bans.h"

#include <pthread.h>
#include <stdatomic.h>

#include "core/base/mem.h"

#include "core/visitors.h"

#define SLOTS_MIN 64u
// A full table is searched for bans that have ended no more often than this.
#define PURGE_MS 1000u

struct entry {
    struct entry *chain;
    uint64_t hash;
    struct ban ban; // the name is owned
};

struct bans {
    pthread_mutex_t mutex;
    const struct hash_key *key;
    _Atomic uint64_t count; // changes under the mutex
    struct entry **slots;
    uint32_t slot_count;
    uint64_t purged_ms;
    struct visitors *clients;   // by client identifier and address
    struct visitors *addresses; // with logins that failed
};

struct bans *
bans_new(const struct hash_key *key)
{
    struct bans *bans = mem_zalloc(sizeof *bans);
    must(pthread_mutex_init(&bans->mutex, NULL) == 0);
    bans->key = key;
    bans->slot_count = SLOTS_MIN;
    bans->slots = mem_zalloc(SLOTS_MIN * sizeof(struct entry *));
    bans->clients = visitors_new();
    bans->addresses = visitors_new();
    return bans;
}

static void
entry_free(struct entry *entry)
{
    mem_free(unconst(entry->ban.name.data));
    mem_free(entry);
}

void
bans_free(struct bans *bans)
{
    if (!bans)
        return;
    for (uint32_t i = 0; i < bans->slot_count; i++) {
        while (bans->slots[i]) {
            struct entry *entry = bans->slots[i];
            bans->slots[i] = entry->chain;
            entry_free(entry);
        }
    }
    must(pthread_mutex_destroy(&bans->mutex) == 0);
    visitors_free(bans->clients);
    visitors_free(bans->addresses);
    mem_free(bans->slots);
    mem_free(bans);
}

static void
lock(struct bans *bans)
{
    must(pthread_mutex_lock(&bans->mutex) == 0);
}

static void
unlock(struct bans *bans)
{
    must(pthread_mutex_unlock(&bans->mutex) == 0);
}

uint64_t
bans_count(const struct bans *bans)
{
    return atomic_load_explicit(&bans->count, memory_order_relaxed);
}

// ---- The table. All under the mutex -------------------------------------------------------------

// What tells one ban from another, and nothing that its kind does not look at.
static struct ban
identity(enum ban_kind kind, struct slice name, uint64_t address)
{
    struct ban ban = {.kind = kind};
    if (kind != BAN_ADDRESS)
        ban.name = name;
    if (kind == BAN_ADDRESS || kind == BAN_CLIENT_AT)
        ban.address = address;
    return ban;
}

static uint64_t
hash_of(const struct bans *bans, const struct ban *ban)
{
    uint64_t name = hash_bytes(bans->key, ban->name.data, ban->name.len);
    uint64_t hash = hash_u64(bans->key, name ^ hash_u64(bans->key, ban->address + ban->kind));
    return hash ? hash : 1;
}

static struct entry **
find(const struct bans *bans, const struct ban *ban, uint64_t hash)
{
    struct entry **link = &bans->slots[hash & (bans->slot_count - 1)];
    for (; *link; link = &(*link)->chain) {
        const struct ban *other = &(*link)->ban;
        if ((*link)->hash == hash && other->kind == ban->kind && other->address == ban->address &&
            slice_equal(other->name, ban->name))
            break;
    }
    return link;
}

static void
drop(struct bans *bans, struct entry **link)
{
    struct entry *entry = *link;
    must(entry && bans_count(bans) > 0);
    *link = entry->chain;
    entry_free(entry);
    atomic_store_explicit(&bans->count, bans_count(bans) - 1, memory_order_relaxed);
}

static void
purge(struct bans *bans, uint64_t now_ms)
{
    if (now_ms < bans->purged_ms + PURGE_MS)
        return;
    bans->purged_ms = now_ms;
    for (uint32_t i = 0; i < bans->slot_count; i++) {
        struct entry **link = &bans->slots[i];
        while (*link) {
            if ((*link)->ban.until_ms <= now_ms)
                drop(bans, link);
            else
                link = &(*link)->chain;
        }
    }
}

static void
grow(struct bans *bans)
{
    must(bans->slot_count < BANS_MAX);
    struct entry **old = bans->slots;
    uint32_t old_count = bans->slot_count;
    bans->slot_count *= 2;
    bans->slots = mem_zalloc(bans->slot_count * sizeof(struct entry *));
    for (uint32_t i = 0; i < old_count; i++) {
        while (old[i]) {
            struct entry *entry = old[i];
            old[i] = entry->chain;
            struct entry **slot = &bans->slots[entry->hash & (bans->slot_count - 1)];
            entry->chain = *slot;
            *slot = entry;
        }
    }
    mem_free(old);
}

static err_t
add(struct bans *bans, struct ban ban, uint64_t until_ms, uint64_t now_ms)
{
    uint64_t hash = hash_of(bans, &ban);
    struct entry **link = find(bans, &ban, hash);
    if (*link) {
        (*link)->ban.until_ms = until_ms;
        return OK;
    }
    if (bans_count(bans) >= BANS_MAX)
        purge(bans, now_ms);
    if (bans_count(bans) >= BANS_MAX)
        return ERR_FULL;
    if (bans_count(bans) >= bans->slot_count)
        grow(bans);
    struct entry *entry = mem_alloc(sizeof *entry);
    struct entry **slot = &bans->slots[hash & (bans->slot_count - 1)];
    *entry = (struct entry){.chain = *slot, .hash = hash, .ban = ban};
    entry->ban.until_ms = until_ms;
    entry->ban.name.data = (const uint8_t *)mem_strndup(ban.name.data, ban.name.len);
    *slot = entry;
    atomic_store_explicit(&bans->count, bans_count(bans) + 1, memory_order_relaxed);
    return OK;
}

static bool
is_banned(struct bans *bans, enum ban_kind kind, struct slice name, uint64_t address,
          uint64_t now_ms)
{
    struct ban ban = identity(kind, name, address);
    struct entry **link = find(bans, &ban, hash_of(bans, &ban));
    if (!*link)
        return false;
    if ((*link)->ban.until_ms > now_ms)
        return true;
    drop(bans, link);
    return false;
}

// ---- The list -----------------------------------------------------------------------------------

err_t
bans_add(struct bans *bans, const struct ban *ban, uint64_t now_ms)
{
    must(ban->kind <= BAN_CLIENT_AT);
    lock(bans);
    err_t err = add(bans, identity(ban->kind, ban->name, ban->address), ban->until_ms, now_ms);
    unlock(bans);
    return err;
}

bool
bans_remove(struct bans *bans, const struct ban *ban)
{
    must(ban->kind <= BAN_CLIENT_AT);
    struct ban which = identity(ban->kind, ban->name, ban->address);
    lock(bans);
    struct entry **link = find(bans, &which, hash_of(bans, &which));
    bool found = *link != NULL;
    if (found)
        drop(bans, link);
    unlock(bans);
    return found;
}

bool
bans_hit(struct bans *bans, const struct ban_subject *who, uint64_t now_ms)
{
    if (likely(bans_count(bans) == 0))
        return false;
    bool at = who->address != ADDRESS_NONE, named = who->client_id.len > 0;
    lock(bans);
    bool hit =
        (at && is_banned(bans, BAN_ADDRESS, who->client_id, who->address, now_ms)) ||
        (named && is_banned(bans, BAN_CLIENT, who->client_id, who->address, now_ms)) ||
        (who->user.len > 0 && is_banned(bans, BAN_USER, who->user, who->address, now_ms)) ||
        (at && named && is_banned(bans, BAN_CLIENT_AT, who->client_id, who->address, now_ms));
    unlock(bans);
    return hit;
}

uint64_t
bans_some(struct bans *bans, uint64_t place, uint32_t count,
          void (*fn)(void *arg, const struct ban *ban), void *arg, uint64_t now_ms)
{
    uint32_t found = 0;
    must(place < BANS_END);
    lock(bans);
    const uint64_t range = BANS_END / bans->slot_count;
    place -= place % range;
    for (uint32_t i = 0; i < BANS_STEP && found < count && place < BANS_END; i++, place += range) {
        const struct entry *entry = bans->slots[hash_mirror((uint32_t)place)];
        for (; entry; entry = entry->chain) {
            if (entry->ban.until_ms <= now_ms)
                continue;
            fn(arg, &entry->ban);
            found++;
        }
    }
    unlock(bans);
    return place;
}

// ---- Those that are watched ---------------------------------------------------------------------

// One event more for whom ban names. Its count begins anew with the ban, or the next one after it
// would be banned at once.
static bool
watch(struct bans *bans, struct visitors *visitors, struct ban ban, const struct ban_rule *rule,
      uint64_t now_ms)
{
    uint32_t place;
    must(rule->max > 0 && rule->window_ms > 0 && rule->ban_ms > 0);
    lock(bans);
    struct visitor *visitor = visitors_get(visitors, hash_of(bans, &ban), &place);
    bool banned = visitor_event(visitor, rule->window_ms, now_ms) > rule->max;
    if (banned) {
        visitor->events = 0;
        banned = add(bans, ban, now_ms + rule->ban_ms, now_ms) == OK;
    }
    unlock(bans);
    return banned;
}

bool
bans_on_connect(struct bans *bans, const struct ban_subject *who, const struct ban_rule *rule,
                uint64_t now_ms)
{
    if (rule->max == 0 || who->address == ADDRESS_NONE || who->client_id.len == 0)
        return false;
    struct ban ban = identity(BAN_CLIENT_AT, who->client_id, who->address);
    return watch(bans, bans->clients, ban, rule, now_ms);
}

bool
bans_on_login_failure(struct bans *bans, uint64_t address, const struct ban_rule *rule,
                      uint64_t now_ms)
{
    if (rule->max == 0 || address == ADDRESS_NONE)
        return false;
    struct ban ban = identity(BAN_ADDRESS, slice_of(NULL, 0), address);
    return watch(bans, bans->addresses, ban, rule, now_ms);
}
