// verified.c - passwords that were found good: a small table of keyed hashes with an end each.
#include "core/access/verified.h"

#include <pthread.h>
#include <sys/random.h>

#include "core/base/mem.h"

#include "core/access/digest.h"

#define TAG_LEN  32 // of HMAC-SHA-256
#define SET_SIZE 4u

struct kept {
    uint64_t end_ms; // 0 = free
    uint8_t tag[TAG_LEN];
};

struct verified {
    pthread_mutex_t mutex; // of entries
    uint64_t ttl_ms;
    uint8_t key[TAG_LEN];
    uint32_t set_mask;
    uint32_t count; // of entries that are not free
    size_t size;    // of all this
    struct kept entries[];
};

err_t
verified_new(uint32_t entries_max, uint64_t ttl_ms, struct verified **ret_verified)
{
    *ret_verified = NULL;
    if (entries_max == 0 || ttl_ms == 0)
        return OK;
    uint32_t sets = 1;
    while (sets <= entries_max / SET_SIZE / 2)
        sets *= 2;
    size_t size = sizeof(struct verified) + (size_t)sets * SET_SIZE * sizeof(struct kept);
    struct verified *verified = mem_zalloc(size);
    if (getrandom(verified->key, sizeof verified->key, 0) != sizeof verified->key) {
        mem_free(verified);
        return ERR_IO;
    }
    pthread_mutex_init(&verified->mutex, NULL);
    verified->ttl_ms = ttl_ms;
    verified->set_mask = sets - 1;
    verified->size = size;
    *ret_verified = verified;
    return OK;
}

void
verified_free(struct verified *verified)
{
    if (!verified)
        return;
    pthread_mutex_destroy(&verified->mutex);
    explicit_bzero(verified, verified->size);
    mem_free(verified);
}

// A key for this mark and name, under which the password is hashed: so no two of the three can be
// cut elsewhere and give the same.
static void
tag_of(const struct verified *verified, const struct verified_login *login, uint8_t ret[TAG_LEN])
{
    must(login->password.data != NULL);
    uint8_t inner[DIGEST_LEN_MAX];
    digest_hmac(DIGEST_SHA256, slice_of(verified->key, sizeof verified->key),
                slice_of(&login->mark, sizeof login->mark), login->user, inner);
    digest_hmac(DIGEST_SHA256, slice_of(inner, TAG_LEN), login->password, slice_of(NULL, 0), ret);
    explicit_bzero(inner, sizeof inner);
}

// The first of SET_SIZE where it may be.
static struct kept *
set_of(struct verified *verified, const uint8_t tag[TAG_LEN])
{
    uint32_t hash;
    memcpy(&hash, tag, sizeof hash);
    return &verified->entries[(size_t)(hash & verified->set_mask) * SET_SIZE];
}

bool
verified_has(struct verified *verified, const struct verified_login *login, uint64_t now_ms)
{
    if (!verified)
        return false;
    uint8_t tag[TAG_LEN];
    tag_of(verified, login, tag);
    bool found = false;
    pthread_mutex_lock(&verified->mutex);
    const struct kept *set = set_of(verified, tag);
    for (unsigned i = 0; i < SET_SIZE; i++)
        found |= set[i].end_ms > now_ms && digest_equal(set[i].tag, tag, TAG_LEN);
    pthread_mutex_unlock(&verified->mutex);
    explicit_bzero(tag, sizeof tag);
    return found;
}

void
verified_add(struct verified *verified, const struct verified_login *login, uint64_t now_ms)
{
    if (!verified)
        return;
    must(login->mark != 0);
    uint8_t tag[TAG_LEN];
    tag_of(verified, login, tag);
    pthread_mutex_lock(&verified->mutex);
    struct kept *set = set_of(verified, tag), *to = set;
    for (unsigned i = 0; i < SET_SIZE; i++) {
        if (set[i].end_ms != 0 && digest_equal(set[i].tag, tag, TAG_LEN)) {
            to = &set[i];
            break;
        }
        to = set[i].end_ms < to->end_ms ? &set[i] : to;
    }
    must(to >= set && to < set + SET_SIZE);
    verified->count += to->end_ms == 0;
    to->end_ms = now_ms + verified->ttl_ms;
    memcpy(to->tag, tag, sizeof tag);
    pthread_mutex_unlock(&verified->mutex);
    explicit_bzero(tag, sizeof tag);
}

void
verified_expire(struct verified *verified, uint64_t now_ms)
{
    if (!verified)
        return;
    pthread_mutex_lock(&verified->mutex);
    uint32_t entries = verified->count > 0 ? (verified->set_mask + 1) * SET_SIZE : 0;
    for (uint32_t i = 0; i < entries; i++) {
        struct kept *kept = &verified->entries[i];
        if (kept->end_ms == 0 || kept->end_ms > now_ms)
            continue;
        explicit_bzero(kept, sizeof *kept);
        must(verified->count > 0);
        verified->count--;
    }
    pthread_mutex_unlock(&verified->mutex);
}
