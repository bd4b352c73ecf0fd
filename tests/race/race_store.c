// race_store.c - shards that journal, cancel and ask for pages while the store commits and folds,
// for ThreadSanitizer.
//
// Two fake shards follow keeper.h's rules for batches. What each has journaled must come back in
// its pages, in order and unharmed, and be in the store after it was opened again.
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/keeper.h"
#include "core/mqtt.h"
#include "core/msg.h"
#include "persist/store.h"

#define SHARDS   2
#define RUN_MS   4000
#define QUEUE    512 // entries at most; a power of two
#define PAGE_MAX 50

struct entry {
    uint64_t position;        // of its ENQUEUE
    uint32_t enqueue, record; // offsets in the batch: of its ENQUEUE, of its MESSAGE
    bool done;
};

struct fake_shard {
    struct keeper *keeper;
    struct keeper_shard *slot;
    pthread_t thread;
    unsigned index;
    struct journal_batch *batch; // NULL = offered, or there is none
    uint64_t last, first;        // positions: the last one, the first one of the batch
    uint64_t head, tail;         // seqs of the queue: [head, tail)
    struct entry entries[QUEUE];
    bool asked;
    uint64_t random, pages, cancelled, seen;
};

static uint64_t
draw(struct fake_shard *s, uint64_t below)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return s->random % below;
}

// ---- Batches ------------------------------------------------------------------------------------

static void
own_batch(struct fake_shard *s)
{
    if (s->batch)
        return;
    s->batch = atomic_exchange_explicit(&s->slot->offered, NULL, memory_order_acquire);
    if (s->batch)
        return;
    s->batch = atomic_exchange_explicit(&s->slot->spare, NULL, memory_order_acquire);
    if (!s->batch)
        s->batch = journal_batch_new();
    must(s->batch->len == 0);
    s->first = s->last + 1;
}

static uint32_t
append(struct fake_shard *s, const struct record *record)
{
    own_batch(s);
    struct journal_batch *batch = s->batch;
    uint32_t size = record_size(record), at = batch->len;
    batch->bytes = mem_grow(batch->bytes, &batch->cap, at + size, 1);
    (void)record_write(batch->bytes + at, record);
    batch->len += size;
    s->last++;
    return at;
}

static void
offer(struct fake_shard *s)
{
    if (!s->batch || s->batch->len == 0)
        return;
    s->batch->last = s->last;
    struct journal_batch *none = atomic_exchange(&s->slot->offered, s->batch);
    must(!none);
    s->batch = NULL;
    keeper_wake(&s->keeper->log_thread);
}

// ---- A queue ------------------------------------------------------------------------------------

static uint64_t
message_of(const struct fake_shard *s, uint64_t seq)
{
    return (uint64_t)(s->index + 1) << 32 | seq;
}

static void
enqueue(struct fake_shard *s)
{
    char payload[64];
    if (s->tail - s->head == QUEUE)
        return;
    uint64_t seq = s->tail++;
    struct entry *entry = &s->entries[seq % QUEUE];
    *entry = (struct entry){0};
    int len =
        snprintf(payload, sizeof payload, "payload %llu of %u", (unsigned long long)seq, s->index);
    struct record message = {
        .kind = JOURNAL_MESSAGE,
        .message = message_of(s, seq),
        .msg = {.topic = slice_str("a/b"), .payload = slice_of(payload, (size_t)len)},
    };
    entry->record = append(s, &message);
    struct record record = {
        .kind = JOURNAL_ENQUEUE,
        .session = s->index + 1,
        .seq = seq,
        .message = message.message,
        .size = (uint32_t)len,
        .qos = 1,
    };
    entry->enqueue = append(s, &record);
    entry->position = s->last;
}

// Acknowledged: cancelled if the record is still here, journaled otherwise.
static void
finish(struct fake_shard *s, uint64_t seq)
{
    struct entry *entry = &s->entries[seq % QUEUE];
    if (entry->done)
        return;
    entry->done = true;
    own_batch(s);
    if (entry->position >= s->first) {
        s->batch->bytes[entry->enqueue] = JOURNAL_VOID;
        s->batch->bytes[entry->record] = JOURNAL_VOID;
        s->cancelled++;
    } else {
        (void)append(s, &(struct record){.kind = JOURNAL_STATE,
                                         .session = s->index + 1,
                                         .seq = seq,
                                         .state = ENTRY_DONE});
    }
    while (s->head < s->tail && s->entries[s->head % QUEUE].done)
        s->head++;
}

// ---- Pages --------------------------------------------------------------------------------------

static void
ask(struct fake_shard *s)
{
    if (s->asked)
        return;
    struct page_request *request = spsc_reserve(s->slot->requests, 0, sizeof *request);
    must(request); // one at a time
    // Everything up to here is offered, or the keeper would wait for it in vain.
    *request = (struct page_request){.session = s->index + 1,
                                     .seq = s->head,
                                     .position = s->last,
                                     .token = s->head,
                                     .count_max = PAGE_MAX,
                                     .bytes_max = 100000};
    offer(s);
    s->asked = true;
    if (spsc_publish(s->slot->requests))
        keeper_wake(&s->keeper->state_thread);
}

static void
check_page(struct fake_shard *s, const struct page *page)
{
    char payload[64];
    uint64_t next = page->from;
    must(page->session == s->index + 1 && page->token == page->from);
    for (uint32_t i = 0; i < page->count; i++) {
        const struct page_entry *entry = &page->entries[i];
        must(entry->seq >= next && entry->seq < s->tail);
        // What is missing in between is done.
        for (; next < entry->seq; next++)
            must(next < s->head || s->entries[next % QUEUE].done);
        next++;
        int len = snprintf(payload, sizeof payload, "payload %llu of %u",
                           (unsigned long long)entry->seq, s->index);
        must(slice_equal(msg_payload(entry->msg), slice_of(payload, (size_t)len)));
        s->seen++;
    }
    must(page->next == next);
}

static void
take_pages(struct fake_shard *s)
{
    struct spsc_record record;
    while (spsc_take(s->slot->pages, &record)) {
        struct page *page;
        memcpy(&page, record.data, sizeof page);
        check_page(s, page);
        page_free(page);
        s->asked = false;
        s->pages++;
    }
    spsc_release(s->slot->pages);
}

// ---- The shard's life ---------------------------------------------------------------------------

static void *
live(void *arg)
{
    struct fake_shard *s = arg;
    char id[] = {(char)('a' + s->index), '\0'};
    uint64_t end = clock_mono_ms() + RUN_MS;
    (void)append(s, &(struct record){.kind = JOURNAL_SESSION,
                                     .session = s->index + 1,
                                     .id = slice_str(id),
                                     .version = MQTT_5,
                                     .expiry_s = 100});
    while (clock_mono_ms() < end) {
        uint64_t count = draw(s, 100);
        for (uint64_t i = 0; i < count; i++) {
            enqueue(s);
            if (s->tail > s->head && draw(s, 10) != 0)
                finish(s, s->head + draw(s, s->tail - s->head));
        }
        take_pages(s);
        if (draw(s, 50) == 0)
            ask(s);
        offer(s);
        if (atomic_load(&s->slot->safe) + 100000 < s->last || draw(s, 30) == 0)
            (void)poll(NULL, 0, 1);
    }
    offer(s);
    return NULL;
}

static uint64_t
live_entries(const struct fake_shard *s)
{
    uint64_t count = 0;
    for (uint64_t seq = s->head; seq < s->tail; seq++)
        count += !s->entries[seq % QUEUE].done;
    return count;
}

static struct store *
open_store(const char *folder, bool verify)
{
    struct store *store;
    char problem[STORE_PROBLEM_MAX];
    struct store_options options = {.folder = folder, .name = "race.db", .verify_in_child = verify};
    if (store_open(&options, &store, problem) == OK)
        return store;
    (void)fprintf(stderr, "%s\n", problem);
    exit(1);
}

int
main(void)
{
    char folder[] = "/tmp/ternmq-race-store-XXXXXX", command[64];
    if (!mkdtemp(folder))
        return 1;
    struct store *store = open_store(folder, false);
    struct broker *broker = mem_alloc_aligned(CACHE_LINE, sizeof *broker);
    struct keeper *keeper = broker->keeper = keeper_new(SHARDS, true);
    broker->shard_count = SHARDS;
    if (store_start(store, broker) != OK)
        return 1;
    static struct fake_shard shards[SHARDS];
    for (unsigned i = 0; i < SHARDS; i++) {
        shards[i] = (struct fake_shard){.keeper = keeper,
                                        .slot = &keeper->shards[i],
                                        .index = i,
                                        .head = 1,
                                        .tail = 1,
                                        .random = i + 1};
        if (pthread_create(&shards[i].thread, NULL, live, &shards[i]) != 0)
            return 1;
    }
    uint64_t live_count = 0, pages = 0, cancelled = 0, positions = 0;
    for (unsigned i = 0; i < SHARDS; i++) {
        (void)pthread_join(shards[i].thread, NULL);
        live_count += live_entries(&shards[i]);
        pages += shards[i].pages;
        cancelled += shards[i].cancelled;
        positions += shards[i].last;
    }
    store_stop(store);
    for (unsigned i = 0; i < SHARDS; i++)
        must(atomic_load(&keeper->shards[i].safe) == shards[i].last);
    keeper_free(keeper);
    mem_free(broker);
    store_close(store);
    struct store_counts counts;
    store = open_store(folder, true);
    store_counts(store, &counts);
    store_close(store);
    (void)snprintf(command, sizeof command, "rm -r %s", folder);
    bool ok = counts.entries == live_count && counts.messages == live_count && pages > 0 &&
              system(command) == 0;
    printf("race_store: %s, %llu records, %llu cancelled, %llu pages, %llu entries left of %llu\n",
           ok ? "ok" : "FAILED", (unsigned long long)positions, (unsigned long long)cancelled,
           (unsigned long long)pages, (unsigned long long)counts.entries,
           (unsigned long long)live_count);
    return ok ? 0 : 1;
}
