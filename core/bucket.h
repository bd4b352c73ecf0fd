// bucket.h - a token bucket: so many tokens come back a second, and as many may be saved up.
//
// Job:    what a rate limit counts. Tokens may be taken that are not there: who does that waits
//         until the debt is paid, so the mean holds whatever the pieces are.
// Owner:  whoever embeds it. Thread: the owner's. Memory: 16 bytes.
// Limits: rates up to 2^40 tokens a second; debts up to 2^32 tokens.
#ifndef TERN_CORE_BUCKET_H
#define TERN_CORE_BUCKET_H

#include "core/base/base.h"

struct bucket {
    int64_t millis; // thousandths of a token: what a millisecond brings is then a whole number
    uint64_t at_ms; // monotonic
};

// Full. rate 0 stands for no limit here and below.
static inline void
bucket_init(struct bucket *bucket, uint64_t rate, uint64_t now_ms)
{
    *bucket = (struct bucket){.millis = (int64_t)(rate * 1000), .at_ms = now_ms};
}

static inline void
bucket_refill(struct bucket *bucket, uint64_t rate, uint64_t now_ms)
{
    must_hot(rate > 0 && rate <= UINT64_C(1) << 40);
    int64_t full = (int64_t)(rate * 1000);
    // Of a bucket that workers share, one may be a tick behind another: its time brings nothing.
    uint64_t elapsed_ms = now_ms > bucket->at_ms ? now_ms - bucket->at_ms : 0;
    bucket->at_ms += elapsed_ms;
    // Compared before it is multiplied, because a bucket may rest for years.
    if (bucket->millis >= full || elapsed_ms > (uint64_t)(full - bucket->millis) / rate)
        bucket->millis = full;
    else
        bucket->millis += (int64_t)(elapsed_ms * rate);
}

// Is there a token? A rate that was lowered meanwhile counts from now on.
static inline bool
bucket_ready(struct bucket *bucket, uint64_t rate, uint64_t now_ms)
{
    if (rate == 0)
        return true;
    bucket_refill(bucket, rate, now_ms);
    return bucket->millis >= 1000;
}

// Takes tokens, also those that are not there.
static inline void
bucket_take(struct bucket *bucket, uint64_t rate, uint64_t tokens)
{
    must_hot(tokens <= UINT32_MAX);
    if (rate > 0)
        bucket->millis -= (int64_t)(tokens * 1000);
}

// In how many milliseconds bucket_ready will be true, at least 1. Just after it was false.
static inline uint64_t
bucket_wait_ms(const struct bucket *bucket, uint64_t rate)
{
    must_hot(rate > 0 && bucket->millis < 1000);
    return ((uint64_t)(1000 - bucket->millis) + rate - 1) / rate;
}

#endif
