// race_spsc.c - the byte queue between two threads that sleep and wake, for ThreadSanitizer.
//
// Every record carries its number and bytes that follow from it. A lost, doubled, reordered or torn
// record changes them; a lost wake-up makes the consumer's sleep time out.
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/base/spsc.h"

#include "tests/race/random.h"

#define RECORDS        400000
#define RING           8192
#define WAKE_TIMEOUT_S 10

struct shared {
    struct spsc *q;
    atomic_uint sleeping;
    sem_t wake;
    unsigned sleeps;
};

static void
wake(struct shared *s)
{
    if (atomic_load_explicit(&s->sleeping, memory_order_relaxed) &&
        atomic_exchange_explicit(&s->sleeping, 0, memory_order_relaxed))
        (void)sem_post(&s->wake);
}

static void *
produce(void *arg)
{
    struct shared *s = arg;
    uint64_t random = 1;
    uint32_t batch = 0;
    for (uint32_t n = 0; n < RECORDS;) {
        uint32_t len = 4 + next_random(&random) % 150;
        uint8_t *room = spsc_reserve(s->q, (uint16_t)n, len);
        if (room != NULL) {
            memcpy(room, &n, sizeof(n));
            for (uint32_t i = 4; i < len; i++)
                room[i] = (uint8_t)(n * 31 + i);
            n++;
        }
        if (room == NULL || batch == 0 || n == RECORDS) {
            if (spsc_publish(s->q))
                wake(s);
            // Mostly long batches, and at times single records that find the consumer asleep.
            batch = next_random(&random) % 8 == 0 ? 0 : next_random(&random) % 64;
        } else {
            batch--;
        }
    }
    return NULL;
}

static bool
sleep_for_more(struct shared *s)
{
    struct timespec until;
    atomic_store_explicit(&s->sleeping, 1, memory_order_relaxed);
    if (spsc_ready(s->q)) {
        // Whoever took the flag meanwhile posts: take the post as well.
        if (atomic_exchange_explicit(&s->sleeping, 0, memory_order_relaxed))
            return true;
    } else {
        s->sleeps++;
    }
    (void)clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAKE_TIMEOUT_S;
    while (sem_timedwait(&s->wake, &until) != 0)
        if (errno != EINTR)
            return false;
    return true;
}

static const char *
check(const struct spsc_record *record, uint32_t want)
{
    uint32_t number;
    if (record->len < sizeof(number))
        return "torn length";
    memcpy(&number, record->data, sizeof(number));
    if (number != want)
        return "lost or reordered record";
    if (record->type != (uint16_t)want)
        return "torn header";
    for (uint32_t i = 4; i < record->len; i++)
        if (record->data[i] != (uint8_t)(want * 31 + i))
            return "torn record";
    return NULL;
}

static const char *
consume(struct shared *s)
{
    struct spsc_record record;
    uint64_t random = 2;
    uint32_t got = 0;
    while (got < RECORDS) {
        bool any = false;
        while (spsc_take(s->q, &record)) {
            const char *wrong = check(&record, got++);
            if (wrong != NULL)
                return wrong;
            any = true;
            if (next_random(&random) % 16 == 0)
                break;
        }
        spsc_release(s->q);
        if (!any && !sleep_for_more(s))
            return "lost wake-up";
    }
    return spsc_take(s->q, &record) ? "a record too many" : NULL;
}

int
main(void)
{
    struct shared s = {.q = spsc_new(RING)};
    pthread_t producer;
    atomic_init(&s.sleeping, 0);
    if (sem_init(&s.wake, 0, 0) != 0 || pthread_create(&producer, NULL, produce, &s) != 0)
        return 1;
    const char *wrong = consume(&s);
    if (wrong != NULL) { // the producer may wait for room for ever
        printf("race_spsc: %s\n", wrong);
        return 1;
    }
    (void)pthread_join(producer, NULL);
    printf("race_spsc: ok, %u records, %u sleeps\n", RECORDS, s.sleeps);
    (void)sem_destroy(&s.wake);
    spsc_free(s.q);
    return 0;
}
