// test_persist.h - what the tests of the store share: a folder, records, a keeper without shards.
#ifndef TERN_TESTS_UNIT_TEST_PERSIST_H
#define TERN_TESTS_UNIT_TEST_PERSIST_H

#include <criterion/criterion.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/mem.h"

#include "core/broker.h"
#include "core/keeper.h"
#include "core/mqtt.h"
#include "core/record.h"
#include "persist/store.h"

#define RIG_SHARDS 2

struct rig {
    char folder[64];
    struct store_options options;
    char problem[STORE_PROBLEM_MAX];
    struct store *store;
    struct broker *broker; // no more of it than the store's threads look at
    struct keeper *keeper;
    struct journal_batch *batches[RIG_SHARDS];
    uint64_t last[RIG_SHARDS];
};

static inline void
rig_init(struct rig *rig)
{
    *rig = (struct rig){.folder = "/tmp/ternmq-store-XXXXXX"};
    cr_assert_not_null(mkdtemp(rig->folder));
    rig->options = (struct store_options){.folder = rig->folder, .name = "test.db"};
}

static inline err_t
rig_try_open(struct rig *rig)
{
    return store_open(&rig->options, &rig->store, rig->problem);
}

static inline void
rig_open(struct rig *rig)
{
    cr_assert_eq(rig_try_open(rig), OK, "%s", rig->problem);
}

static inline void
rig_start(struct rig *rig)
{
    rig->keeper = keeper_new(RIG_SHARDS, true);
    rig->broker = mem_alloc_aligned(CACHE_LINE, sizeof *rig->broker);
    rig->broker->keeper = rig->keeper;
    rig->broker->shard_count = RIG_SHARDS;
    memset(rig->last, 0, sizeof rig->last);
    cr_assert_eq(store_start(rig->store, rig->broker), OK);
}

static inline void
rig_stop(struct rig *rig)
{
    store_stop(rig->store);
    keeper_free(rig->keeper);
    mem_free(rig->broker);
    rig->keeper = NULL;
    for (unsigned i = 0; i < RIG_SHARDS; i++) {
        journal_batch_free(rig->batches[i]);
        rig->batches[i] = NULL;
    }
}

static inline void
rig_close(struct rig *rig)
{
    if (rig->keeper)
        rig_stop(rig);
    store_close(rig->store);
    rig->store = NULL;
}

static inline void
rig_end(struct rig *rig)
{
    char command[128];
    rig_close(rig);
    (void)snprintf(command, sizeof command, "rm -r %s", rig->folder);
    cr_assert_eq(system(command), 0);
}

// ---- Records ------------------------------------------------------------------------------------

static inline struct slice
text(const char *s)
{
    return slice_str(s);
}

static inline struct record
rec_session(uint64_t session, const char *id)
{
    return (struct record){.kind = JOURNAL_SESSION,
                           .session = session,
                           .id = text(id),
                           .version = MQTT_5,
                           .expiry_s = 100,
                           .expires_ms = 5000};
}

static inline struct record
rec_session_end(uint64_t session)
{
    return (struct record){.kind = JOURNAL_SESSION_END, .session = session};
}

static inline struct record
rec_subscribe(uint64_t session, uint32_t ordinal, const char *filter)
{
    return (struct record){.kind = JOURNAL_SUBSCRIBE,
                           .session = session,
                           .ordinal = ordinal,
                           .qos = 1,
                           .filter = text(filter)};
}

static inline struct record
rec_unsubscribe(uint64_t session, uint32_t ordinal)
{
    return (struct record){.kind = JOURNAL_UNSUBSCRIBE, .session = session, .ordinal = ordinal};
}

static inline struct record
rec_message(uint64_t message, const char *payload)
{
    return (struct record){
        .kind = JOURNAL_MESSAGE,
        .message = message,
        .msg = {.qos = 1, .arrived_ms = 1000, .topic = text("t"), .payload = text(payload)}};
}

static inline struct record
rec_enqueue(uint64_t session, uint64_t seq, uint64_t message)
{
    return (struct record){.kind = JOURNAL_ENQUEUE,
                           .session = session,
                           .seq = seq,
                           .message = message,
                           .size = 10,
                           .qos = 1};
}

static inline struct record
rec_state(uint64_t session, uint64_t seq, uint8_t state)
{
    return (struct record){.kind = JOURNAL_STATE, .session = session, .seq = seq, .state = state};
}

static inline struct record
rec_packet(uint8_t kind, uint64_t session, uint16_t packet_id)
{
    return (struct record){.kind = kind, .session = session, .packet_id = packet_id};
}

static inline struct record
rec_retain(uint64_t order, const char *topic, const char *payload)
{
    return (struct record){.kind = JOURNAL_RETAIN,
                           .order = order,
                           .msg = {.retain = true, .topic = text(topic), .payload = text(payload)}};
}

static inline struct record
rec_clear(uint64_t order, const char *topic)
{
    return (struct record){
        .kind = JOURNAL_RETAIN_CLEAR, .order = order, .msg = {.topic = text(topic)}};
}

static inline struct record
rec_setting(uint64_t order, const char *name, const char *value)
{
    return (struct record){.kind = JOURNAL_SETTING,
                           .order = order,
                           .msg = {.topic = text(name), .payload = text(value)}};
}

// ---- Batches ------------------------------------------------------------------------------------

static inline void
rig_put(struct rig *rig, unsigned shard, struct record record)
{
    struct journal_batch *batch = rig->batches[shard];
    if (!batch)
        batch = rig->batches[shard] = journal_batch_new();
    uint32_t size = record_size(&record);
    batch->bytes = mem_grow(batch->bytes, &batch->cap, batch->len + size, 1);
    (void)record_write(batch->bytes + batch->len, &record);
    batch->len += size;
    batch->last = ++rig->last[shard];
}

static inline void
rig_offer(struct rig *rig, unsigned shard)
{
    struct keeper_shard *slot = &rig->keeper->shards[shard];
    while (atomic_load(&slot->offered)) // the one before
        (void)poll(NULL, 0, 1);
    atomic_store(&slot->offered, rig->batches[shard]);
    rig->batches[shard] = NULL;
    keeper_wake(&rig->keeper->log_thread);
}

static inline bool
rig_is_safe(struct rig *rig, unsigned shard)
{
    return atomic_load(&rig->keeper->shards[shard].safe) >= rig->last[shard];
}

// Offers what was put, waits until it is safe.
static inline void
rig_commit(struct rig *rig)
{
    for (unsigned shard = 0; shard < RIG_SHARDS; shard++)
        if (rig->batches[shard])
            rig_offer(rig, shard);
    for (unsigned shard = 0; shard < RIG_SHARDS; shard++)
        for (unsigned n = 0; !rig_is_safe(rig, shard); n++) {
            cr_assert_lt(n, 20000, "not safe after 20 s");
            (void)poll(NULL, 0, 1);
        }
}

// Starts, commits what the records say through shard 0, stops: so all is in the state.
static inline void
rig_keep(struct rig *rig, const struct record *records, size_t count)
{
    rig_start(rig);
    for (size_t i = 0; i < count; i++)
        rig_put(rig, 0, records[i]);
    rig_commit(rig);
    rig_stop(rig);
}
#define RIG_KEEP(rig, ...) \
    rig_keep(rig, (struct record[]){__VA_ARGS__}, ARRAY_LEN(((struct record[]){__VA_ARGS__})))

// ---- What is in a store, as text ----------------------------------------------------------------

struct dump {
    char *text;
    size_t len;
    FILE *stream;
};

static inline int
text_of(struct slice s)
{
    return (int)min_u32(s.len, 40);
}

static inline err_t
dump_record(void *arg, const struct record *r)
{
    FILE *to = ((struct dump *)arg)->stream;
    unsigned long long session = r->session, seq = r->seq, message = r->message, order = r->order;
    switch (r->kind) {
    case JOURNAL_SESSION:
        fprintf(to, "session %llu %.*s expires %llu\n", session, text_of(r->id), r->id.data,
                (unsigned long long)r->expires_ms);
        break;
    case JOURNAL_SUBSCRIBE:
        fprintf(to, "sub %llu %u %.*s\n", session, r->ordinal, text_of(r->filter), r->filter.data);
        break;
    case JOURNAL_RECEIVED:
        fprintf(to, "received %llu %u\n", session, r->packet_id);
        break;
    case JOURNAL_MESSAGE:
        fprintf(to, "message %llu %.*s\n", message, text_of(r->msg.payload), r->msg.payload.data);
        break;
    case JOURNAL_ENQUEUE:
        fprintf(to, "entry %llu %llu %llu\n", session, seq, message);
        break;
    case JOURNAL_STATE:
        fprintf(to, "released %llu %llu\n", session, seq);
        break;
    case JOURNAL_RETAIN:
        fprintf(to, "retain %llu %.*s %.*s\n", order, text_of(r->msg.topic), r->msg.topic.data,
                text_of(r->msg.payload), r->msg.payload.data);
        break;
    case JOURNAL_SETTING:
        fprintf(to, "setting %llu %.*s %.*s\n", order, text_of(r->msg.topic), r->msg.topic.data,
                text_of(r->msg.payload), r->msg.payload.data);
        break;
    default:
        cr_assert_fail("kind %u", r->kind);
    }
    return OK;
}

// Returns new, free().
static inline char *
dump_store(struct store *store)
{
    struct dump dump = {0};
    dump.stream = open_memstream(&dump.text, &dump.len);
    cr_assert_not_null(dump.stream);
    cr_assert_eq(store_export(store, dump_record, &dump), OK);
    (void)fclose(dump.stream);
    return dump.text;
}

static inline void
expect_store(struct store *store, const char *expected)
{
    char *got = dump_store(store);
    cr_assert_str_eq(got, expected);
    free(got);
}

#endif
