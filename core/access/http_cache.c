// http_cache.c - questions under way, and answers that still hold.
#include "core/access/http_cache.h"

#include "core/base/mem.h"

#include "core/acl.h"

#define BUCKETS_MIN 256u

struct http_cache {
    struct http_entry **buckets;
    uint32_t cap, count; // cap: a power of two
    uint32_t kept_count;
    struct list kept; // the least recently used first
    uint64_t bytes, bytes_max;
};

void
http_answer_clear(struct http_answer *answer)
{
    mem_free(unconst(answer->user.data));
    acl_unref(answer->acl);
    *answer = (struct http_answer){.err = answer->err};
}

// ---- The table ----------------------------------------------------------------------------------

// A digest is as good as random, and nobody outside can aim one.
static struct http_entry **
bucket_of(const struct http_cache *cache, const uint8_t *digest)
{
    uint64_t hash;
    memcpy(&hash, digest, sizeof hash);
    return &cache->buckets[hash & (cache->cap - 1)];
}

static void
link_entry(struct http_cache *cache, struct http_entry *entry)
{
    struct http_entry **bucket = bucket_of(cache, entry->digest);
    entry->chain = *bucket;
    *bucket = entry;
    cache->count++;
}

static void
unlink_entry(struct http_cache *cache, struct http_entry *entry)
{
    struct http_entry **at = bucket_of(cache, entry->digest);
    while (*at != entry) {
        must(*at != NULL);
        at = &(*at)->chain;
    }
    *at = entry->chain;
    entry->chain = NULL;
    must(cache->count > 0);
    cache->count--;
}

static void
grow(struct http_cache *cache)
{
    struct http_entry **old = cache->buckets;
    uint32_t cap = cache->cap;
    cache->cap *= 2;
    cache->buckets = mem_zalloc((size_t)cache->cap * sizeof(struct http_entry *));
    cache->count = 0;
    for (uint32_t i = 0; i < cap; i++) {
        struct http_entry *next;
        for (struct http_entry *entry = old[i]; entry; entry = next) {
            next = entry->chain;
            link_entry(cache, entry);
        }
    }
    mem_free((void *)old);
}

static void
free_entry(struct http_entry *entry)
{
    must(list_empty(&entry->waiters) && list_empty(&entry->node));
    http_answer_clear(&entry->answer);
    explicit_bzero(entry->digest, sizeof entry->digest);
    mem_free(entry);
}

static void
forget(struct http_cache *cache, struct http_entry *entry)
{
    must(entry->kept && cache->kept_count > 0 && cache->bytes >= entry->bytes);
    unlink_entry(cache, entry);
    list_remove(&entry->node);
    cache->kept_count--;
    cache->bytes -= entry->bytes;
    free_entry(entry);
}

static void
make_room(struct http_cache *cache)
{
    while (cache->bytes > cache->bytes_max) {
        must(!list_empty(&cache->kept));
        forget(cache, container_of(cache->kept.next, struct http_entry, node));
    }
}

// ---- The interface ------------------------------------------------------------------------------

struct http_cache *
http_cache_new(void)
{
    struct http_cache *cache = mem_zalloc(sizeof *cache);
    cache->cap = BUCKETS_MIN;
    cache->buckets = mem_zalloc(cache->cap * sizeof(struct http_entry *));
    list_init(&cache->kept);
    return cache;
}

void
http_cache_free(struct http_cache *cache)
{
    if (!cache)
        return;
    http_cache_clear(cache);
    mem_free((void *)cache->buckets);
    mem_free(cache);
}

struct http_entry *
http_cache_find(struct http_cache *cache, const uint8_t *digest, uint64_t now_ms)
{
    struct http_entry *entry = *bucket_of(cache, digest);
    while (entry && memcmp(entry->digest, digest, HTTP_DIGEST_SIZE) != 0)
        entry = entry->chain;
    if (!entry || !entry->kept)
        return entry;
    if (now_ms >= entry->until_ms) {
        forget(cache, entry);
        return NULL;
    }
    list_remove(&entry->node);
    list_push(&cache->kept, &entry->node);
    return entry;
}

struct http_entry *
http_cache_add(struct http_cache *cache, const uint8_t *digest)
{
    if (cache->count >= cache->cap)
        grow(cache);
    struct http_entry *entry = mem_zalloc(sizeof *entry);
    memcpy(entry->digest, digest, HTTP_DIGEST_SIZE);
    list_init(&entry->node);
    list_init(&entry->waiters);
    link_entry(cache, entry);
    return entry;
}

void
http_cache_end(struct http_cache *cache, struct http_entry *entry, uint64_t now_ms, uint64_t ttl_ms)
{
    must(!entry->kept && list_empty(&entry->waiters));
    list_remove(&entry->node);
    entry->bytes = (uint32_t)(sizeof *entry + 2 * sizeof(void *)) + entry->answer.user.len +
                   entry->answer.acl_bytes;
    if (entry->orphan || ttl_ms == 0 || entry->bytes > cache->bytes_max) {
        if (!entry->orphan)
            unlink_entry(cache, entry);
        free_entry(entry);
        return;
    }
    entry->kept = true;
    entry->until_ms = now_ms + ttl_ms;
    list_push(&cache->kept, &entry->node);
    cache->kept_count++;
    cache->bytes += entry->bytes;
    make_room(cache);
}

void
http_cache_clear(struct http_cache *cache)
{
    while (!list_empty(&cache->kept))
        forget(cache, container_of(cache->kept.next, struct http_entry, node));
    must(cache->bytes == 0 && cache->kept_count == 0);
    for (uint32_t i = 0; i < cache->cap; i++)
        while (cache->buckets[i]) {
            struct http_entry *entry = cache->buckets[i];
            unlink_entry(cache, entry);
            entry->orphan = true;
        }
}

void
http_cache_resize(struct http_cache *cache, uint64_t bytes_max)
{
    cache->bytes_max = bytes_max;
    make_room(cache);
}

uint64_t
http_cache_bytes(const struct http_cache *cache)
{
    return cache->bytes;
}

uint32_t
http_cache_count(const struct http_cache *cache)
{
    return cache->kept_count;
}
