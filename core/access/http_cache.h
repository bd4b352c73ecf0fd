// http_cache.h - questions under way, and answers that still hold.
//
// Job:    by a question's digest, who else waits for the same answer, or the answer itself.
// Owner:  the hook. Thread: the hook's alone.
// Memory: kept answers: the limit that http_cache_new was told. Those under way are the hook's to
//         bound. A digest says nothing of the password in it.
// Limits: what does not fit pushes the least recently used out.
#ifndef TERN_CORE_ACCESS_HTTP_CACHE_H
#define TERN_CORE_ACCESS_HTTP_CACHE_H

#include "core/access/http_request.h"

struct acl;

struct http_answer {
    err_t err;
    bool ignored;
    bool superuser;
    uint64_t expires_s; // wall clock; 0 = never
    struct slice user;  // mem_alloc'ed; data NULL = as asked
    struct acl *acl;    // with a reference; NULL = none
    uint32_t acl_bytes; // what it may take
};
void http_answer_clear(struct http_answer *answer);

struct http_entry {
    uint8_t digest[HTTP_DIGEST_SIZE];
    struct http_entry *chain; // in the table
    struct list node;         // in the queue of whoever asks, or among those kept
    struct list waiters;      // of struct access_question; empty once it is kept
    bool kept;                // else it is under way
    bool orphan;              // under way, and in no table: http_cache_clear was there
    uint64_t until_ms;        // kept: monotonic. Under way: the deadline
    uint32_t bytes;           // kept: what it is counted as
    struct http_answer answer;
};

struct http_cache;
struct http_cache *http_cache_new(void);        // with no room
void http_cache_free(struct http_cache *cache); // takes, with what it keeps; none is under way

// An answer that holds, or a question under way; NULL: neither.
struct http_entry *http_cache_find(struct http_cache *cache, const uint8_t *digest,
                                   uint64_t now_ms);
// A question under way; there is none of this digest. Returns borrowed until it ends.
struct http_entry *http_cache_add(struct http_cache *cache, const uint8_t *digest);
// It is no longer under way, and nobody waits: its answer is kept for ttl_ms, or freed (0). Takes.
void http_cache_end(struct http_cache *cache, struct http_entry *entry, uint64_t now_ms,
                    uint64_t ttl_ms);
// Forgets all answers, and all questions under way: nobody joins these any more.
void http_cache_clear(struct http_cache *cache);
void http_cache_resize(struct http_cache *cache, uint64_t bytes_max);

uint64_t http_cache_bytes(const struct http_cache *cache);
uint32_t http_cache_count(const struct http_cache *cache); // kept

#endif
