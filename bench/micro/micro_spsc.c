// micro_spsc.c - what a record through the byte queue costs.
//
// The consumer reads one byte of each record, so that it waits for the record's cache line as a
// real one does. Prints `name value unit` lines.
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <time.h>

#include "core/base/spsc.h"

#define RECORD_BYTES 100
#define RING         (1u << 18)
#define BATCH        32
#define RECORDS      8000000u

struct side {
    struct spsc *q;
    uint64_t sum;
};

static double
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void *
consume(void *arg)
{
    struct side *side = arg;
    struct spsc_record record;
    for (unsigned got = 0; got < RECORDS;) {
        unsigned before = got;
        while (spsc_take(side->q, &record)) {
            side->sum += record.data[RECORD_BYTES - 1];
            got++;
        }
        spsc_release(side->q);
        if (got == before)
            (void)sched_yield();
    }
    return NULL;
}

static double
two_threads(void)
{
    struct side side = {.q = spsc_new(RING)};
    static const uint8_t payload[RECORD_BYTES] = {1};
    pthread_t consumer;
    if (pthread_create(&consumer, NULL, consume, &side) != 0)
        return -1;
    double begin = now_ns();
    for (unsigned sent = 0; sent < RECORDS;) {
        unsigned n = 0;
        for (; n < BATCH && sent + n < RECORDS; n++) {
            void *room = spsc_reserve(side.q, 1, RECORD_BYTES);
            if (room == NULL)
                break;
            memcpy(room, payload, RECORD_BYTES);
        }
        sent += n;
        (void)spsc_publish(side.q);
        if (n == 0)
            (void)sched_yield();
    }
    (void)pthread_join(consumer, NULL);
    double ns = (now_ns() - begin) / RECORDS;
    spsc_free(side.q);
    return ns;
}

// Both ends on one thread: the instructions alone, without traffic between cores.
static double
one_thread(unsigned batch)
{
    struct spsc *q = spsc_new(RING);
    struct spsc_record record;
    static const uint8_t payload[RECORD_BYTES] = {1};
    uint64_t sum = 0;
    double begin = now_ns();
    for (unsigned sent = 0; sent < RECORDS; sent += batch) {
        for (unsigned i = 0; i < batch; i++) {
            void *room = spsc_reserve(q, 1, RECORD_BYTES);
            must(room != NULL);
            memcpy(room, payload, RECORD_BYTES);
        }
        (void)spsc_publish(q);
        while (spsc_take(q, &record))
            sum += record.data[0];
        spsc_release(q);
    }
    double ns = (now_ns() - begin) / RECORDS;
    must(sum == RECORDS);
    spsc_free(q);
    return ns;
}

int
main(void)
{
    printf("spsc_two_threads_batch_32 %.1f ns/record\n", two_threads());
    printf("spsc_one_thread_batch_32 %.1f ns/record\n", one_thread(BATCH));
    printf("spsc_one_thread_batch_1 %.1f ns/record\n", one_thread(1));
    return 0;
}
