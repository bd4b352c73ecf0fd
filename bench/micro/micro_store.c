// micro_store.c - what a record costs on its way to the disk, and what a session costs at the
// start.
//
// micro_store [FOLDER [SESSIONS]]: the store is made in FOLDER, a disk worth measuring (default
// /tmp). Prints `name value unit` lines.
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"
#include "core/base/thread.h"

#include "core/broker.h"
#include "core/config.h"
#include "core/mqtt.h"
#include "core/shard.h"
#include "persist/fold.h"
#include "persist/store_parts.h"

#define SESSIONS     100u
#define BATCH_PAIRS  4096u
#define LOAD_PAIRS   32768u // what a shard gathers during a commit, at millions a second
#define PAYLOAD      60u
#define WINDOW_ROUND 40u

static double
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static void
append(struct journal_batch *batch, const struct record *record)
{
    uint32_t size = record_size(record);
    batch->bytes = mem_grow(batch->bytes, &batch->cap, batch->len + size, 1);
    (void)record_write(batch->bytes + batch->len, record);
    batch->len += size;
    batch->last++;
}

// Message n for a session, acknowledged `lag` messages later, as a broker under load journals it.
static void
append_message(struct journal_batch *batch, uint64_t n, uint64_t lag, bool done)
{
    static const uint8_t payload[PAYLOAD];
    append(batch, &(struct record){
                      .kind = JOURNAL_MESSAGE,
                      .message = n,
                      .msg = {.topic = slice_str("plant/7/line/3/temperature"),
                              .payload = slice_of(payload, sizeof payload)},
                  });
    append(batch, &(struct record){.kind = JOURNAL_ENQUEUE,
                                   .session = 1 + n % SESSIONS,
                                   .seq = n / SESSIONS + 1,
                                   .message = n,
                                   .size = PAYLOAD,
                                   .qos = 1});
    if (done && n > lag)
        append(batch, &(struct record){.kind = JOURNAL_STATE,
                                       .session = 1 + (n - lag) % SESSIONS,
                                       .seq = (n - lag) / SESSIONS + 1,
                                       .state = ENTRY_DONE});
}

static struct journal_batch *
make_batch(uint64_t first, uint64_t count, bool done)
{
    struct journal_batch *batch = journal_batch_new();
    for (uint64_t n = first; n < first + count; n++)
        append_message(batch, n, 300, done);
    return batch;
}

static void
measure_gathering(bool voids)
{
    struct journal_batch *batch = make_batch(1000, BATCH_PAIRS, true);
    struct blob_list list = {.spares = BLOB_SPARES};
    if (voids) { // every other message was acknowledged before its batch was fetched
        uint32_t n = 0;
        for (uint32_t at = 0; at < batch->len; n++) {
            if (n / 2 % 2)
                batch->bytes[at] = JOURNAL_VOID;
            uint32_t len;
            memcpy(&len, batch->bytes + at + 1, 4);
            at += RECORD_HEAD + len;
        }
    }
    double begin = now_ns();
    unsigned rounds = 1000;
    for (unsigned i = 0; i < rounds; i++) {
        blob_list_add(&list, slice_of(batch->bytes, batch->len));
        for (uint32_t b = 0; b < list.count; b++)
            blob_seal(&list.blobs[b], b, 0);
        blob_list_clear(&list);
    }
    printf("%s %.1f ns/record\n", voids ? "gather_and_seal_half_void" : "gather_and_seal",
           (now_ns() - begin) / rounds / (double)batch->last);
    blob_list_free(&list);
    journal_batch_free(batch);
}

static struct store *
open_store(const char *folder, bool verify)
{
    struct store *store;
    char problem[STORE_PROBLEM_MAX];
    struct store_options options = {
        .folder = folder, .name = "micro.db", .verify_in_child = verify};
    if (store_open(&options, &store, problem) != OK) {
        (void)fprintf(stderr, "%s\n", problem);
        exit(1);
    }
    return store;
}

static void
put_record(struct window *window, const struct record *record)
{
    uint32_t len = record_size(record);
    (void)record_write(window_room(window, len), record);
    err_t err = window_apply(window, len);
    must(err == OK);
}

static void
put_session(struct window *window, uint64_t number)
{
    char id[32];
    (void)snprintf(id, sizeof id, "client-%08llu", (unsigned long long)number);
    put_record(window, &(struct record){.kind = JOURNAL_SESSION,
                                        .session = number,
                                        .id = slice_str(id),
                                        .version = MQTT_5,
                                        .expiry_s = 86400,
                                        .expires_ms = RECORD_NEVER});
}

// A window of about 32 MiB; done: all but the last are acknowledged in it.
static void
measure_folding(struct store *store, struct window *window, bool done)
{
    double applying = 0;
    window_clear(window);
    for (uint64_t s = 1; s <= SESSIONS; s++)
        put_session(window, s);
    uint64_t base = done ? 1 : UINT64_C(1) << 24, records = 0;
    for (unsigned i = 0; i < WINDOW_ROUND; i++) {
        struct journal_batch *batch =
            make_batch(base + (uint64_t)i * BATCH_PAIRS, BATCH_PAIRS, done);
        double begin = now_ns();
        memcpy(window_room(window, batch->len), batch->bytes, batch->len);
        err_t err = window_apply(window, batch->len);
        must(err == OK);
        applying += now_ns() - begin;
        records += batch->last;
        journal_batch_free(batch);
    }
    double begin = now_ns();
    struct fold_result result;
    int rc = fold_window(&store->state, window, store->state.meta.applied, &result);
    must(rc == 0);
    double folding = now_ns() - begin;
    const char *what = done ? "all_acknowledged" : "all_kept";
    printf("window_%s %.1f ns/record\n", what, applying / (double)records);
    printf("fold_%s %.1f ns/record\n", what, folding / (double)records);
    printf("fold_%s_written %llu rows\n", what, (unsigned long long)result.written);
}

// ---- With the threads ---------------------------------------------------------------------------

static void
measure_threads(struct store *store)
{
    struct broker *broker = mem_alloc_aligned(CACHE_LINE, sizeof *broker);
    struct keeper *keeper = broker->keeper = keeper_new(1, true);
    broker->shard_count = 1;
    struct keeper_shard *slot = &keeper->shards[0];
    uint64_t last = 0, next = UINT64_C(1) << 32;
    if (store_start(store, broker) != OK)
        exit(1);
    double begin = now_ns(), end = begin + 5e9;
    struct timespec cpu;
    while (now_ns() < end) {
        struct journal_batch *batch = make_batch(next, LOAD_PAIRS, true);
        next += LOAD_PAIRS;
        last = batch->last += last;
        while (atomic_load(&slot->offered) || keeper->behind)
            (void)poll(NULL, 0, 1);
        atomic_store(&slot->offered, batch);
        keeper_wake(&keeper->log_thread);
        journal_batch_free(atomic_exchange(&slot->spare, NULL));
    }
    while (atomic_load(&slot->safe) < last)
        (void)poll(NULL, 0, 1);
    double seconds = (now_ns() - begin) / 1e9;
    printf("threads_records %.0f records/s\n", (double)last / seconds);
    printf("threads_bytes %.0f MB/s\n", (double)keeper->bytes_written / seconds / 1e6);
    printf("threads_commits %.0f commits/s\n", (double)keeper->commits / seconds);
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    store_stop(store);
    keeper_free(keeper);
    mem_free(broker);
}

// ---- A start with many sessions -----------------------------------------------------------------

static void
fill(struct store *store, uint64_t sessions)
{
    char filter[64];
    struct window *window = window_new(store->state.meta.seed);
    double begin = now_ns();
    for (uint64_t n = 1; n <= sessions; n++) {
        (void)snprintf(filter, sizeof filter, "devices/%08llu/#", (unsigned long long)n);
        put_session(window, n + 1000);
        put_record(window, &(struct record){.kind = JOURNAL_SUBSCRIBE,
                                            .session = n + 1000,
                                            .ordinal = 1,
                                            .qos = 1,
                                            .filter = slice_str(filter)});
        if (n % 100000 != 0 && n != sessions)
            continue;
        int rc = fold_window(&store->state, window, store->state.meta.applied, NULL);
        must(rc == 0);
        window_clear(window);
    }
    printf("fill %.0f ns/session\n", (now_ns() - begin) / (double)sessions);
    window_free(window);
}

static void
measure_start(const char *folder)
{
    double begin = now_ns();
    struct store *store = open_store(folder, true);
    printf("start_verify %.2f s\n", (now_ns() - begin) / 1e9);
    struct config *config = config_defaults();
    config->memory_max = 0;
    thread_role = ROLE_WORKER;
    struct broker *broker = broker_new(config, NULL, 1, clock_mono_ms(), clock_wall_ms());
    broker->shards[0] = shard_new(broker, 0, clock_mono_ms());
    begin = now_ns();
    err_t err = store_load_shard(store, broker->shards[0]);
    must(err == OK);
    struct store_counts counts;
    store_counts(store, &counts);
    printf("start_load %.2f s for %llu sessions\n", (now_ns() - begin) / 1e9,
           (unsigned long long)counts.sessions);
    store_close(store); // the broker goes with the process
}

int
main(int argc, char **argv)
{
    char folder[512], command[1300];
    uint64_t sessions = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    (void)snprintf(folder, sizeof folder, "%s/micro-store-XXXXXX", argc > 1 ? argv[1] : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    measure_gathering(false);
    measure_gathering(true);
    struct store *store = open_store(folder, false);
    struct window *window = window_new(store->state.meta.seed);
    printf("first, with fresh memory:\n");
    measure_folding(store, window, true);
    printf("again:\n");
    measure_folding(store, window, true);
    measure_folding(store, window, false);
    window_free(window);
    measure_threads(store);
    fill(store, sessions);
    store_close(store);
    measure_start(folder);
    (void)snprintf(command, sizeof command, "ls -l %s/micro.db/*/data.mdb; rm -r %s", folder,
                   folder);
    return system(command) != 0;
}
