// admission.c - how many connections and CONNECTs there may be, of one address and in all.
#include "core/admission.h"

#include <pthread.h>

#include "core/base/mem.h"

#include "core/visitors.h"

struct admission {
    pthread_mutex_t mutex;
    const struct hash_key *key;
    struct visitors *addresses;
    struct bucket all;
    uint32_t all_rate; // that `all` was last filled for
};

struct admission *
admission_new(const struct hash_key *key)
{
    struct admission *admission = mem_zalloc(sizeof *admission);
    must(pthread_mutex_init(&admission->mutex, NULL) == 0);
    admission->key = key;
    admission->addresses = visitors_new();
    return admission;
}

void
admission_free(struct admission *admission)
{
    if (!admission)
        return;
    must(pthread_mutex_destroy(&admission->mutex) == 0);
    visitors_free(admission->addresses);
    mem_free(admission);
}

static void
lock(struct admission *admission)
{
    must(pthread_mutex_lock(&admission->mutex) == 0);
}

static void
unlock(struct admission *admission)
{
    must(pthread_mutex_unlock(&admission->mutex) == 0);
}

static struct visitor *
find(struct admission *admission, uint64_t address, uint32_t *ret_place)
{
    uint64_t hash = hash_u64(admission->key, address);
    return visitors_get(admission->addresses, hash ? hash : 1, ret_place);
}

bool
admission_enter(struct admission *admission, uint64_t address, uint32_t max, uint32_t *ret_place)
{
    must(address != ADDRESS_NONE && max > 0);
    uint32_t place;
    lock(admission);
    bool room = find(admission, address, &place)->held < max;
    if (room)
        visitors_hold(admission->addresses, place);
    unlock(admission);
    *ret_place = room ? place : 0;
    return room;
}

void
admission_leave(struct admission *admission, uint32_t place)
{
    must(place != 0);
    lock(admission);
    visitors_let_go(admission->addresses, place);
    unlock(admission);
}

// A bucket of whoever was not here for long is full.
static bool
is_ready(struct bucket *bucket, uint32_t rate, uint64_t now_ms)
{
    if (bucket->at_ms == 0)
        bucket_init(bucket, rate, now_ms);
    return bucket_ready(bucket, rate, now_ms);
}

static const char *
take(struct admission *admission, uint64_t address, const struct admission_rates *rates,
     uint64_t now_ms)
{
    uint32_t place;
    if (admission->all_rate != rates->all)
        bucket_init(&admission->all, rates->all, now_ms);
    admission->all_rate = rates->all;
    struct bucket *own = NULL;
    if (rates->address > 0 && address != ADDRESS_NONE) {
        own = &find(admission, address, &place)->bucket;
        if (!is_ready(own, rates->address, now_ms))
            return "connect_rate_per_address";
    }
    if (!bucket_ready(&admission->all, rates->all, now_ms))
        return "connect_rate";
    bucket_take(&admission->all, rates->all, 1);
    if (own)
        bucket_take(own, rates->address, 1);
    return NULL;
}

const char *
admission_connect(struct admission *admission, uint64_t address,
                  const struct admission_rates *rates, uint64_t now_ms)
{
    if (likely(rates->all == 0 && rates->address == 0))
        return NULL;
    lock(admission);
    const char *refused = take(admission, address, rates, now_ms);
    unlock(admission);
    return refused;
}
