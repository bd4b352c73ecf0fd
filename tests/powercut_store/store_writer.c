// store_writer.c - keeps a known stream of records and marks what is safe, for tests/powercut.
//
//   store_writer [ROUNDS] FOLDER
//
// Plays both shards of a keeper. A round offers a batch for each, waits until both are safe, and
// then marks: `X` is there from now on, `gone X` is not. What the round takes away was marked
// `drop X` before it was offered. Every few rounds a page is asked for, so that the log is folded
// and trimmed in between. POWERCUT_RUN chooses the stream.
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/broker.h"
#include "core/keeper.h"
#include "core/mqtt.h"
#include "persist/store.h"
#include "tests/powercut_store/store_items.h"

enum { SHARDS = 2, SESSIONS = 6, QUEUE = 32, ORDINALS = 4, PACKETS = 4, TOPICS = 4, ITEMS = 4096 };

struct session {
    uint64_t number; // 0 = none
    uint64_t seq;    // next
    bool queue[QUEUE];
    uint64_t seqs[QUEUE];
    uint32_t subs[ORDINALS], ordinal;   // their ordinals, 0 = none; the last one used
    uint16_t received[PACKETS], packet; // the same with packet identifiers
};

static struct {
    struct store *store;
    struct broker *broker;
    struct keeper *keeper;
    struct journal_batch *batches[SHARDS];
    uint64_t last[SHARDS], random;
    struct session sessions[SESSIONS];
    uint64_t orders[TOPICS]; // of what is retained; 0 = nothing
    uint64_t next_session, next_message, next_order;
    int marks;
    char come[ITEMS][ITEM_BYTES], gone[ITEMS][ITEM_BYTES]; // once this round is safe
    unsigned come_count, gone_count;
} w;

static NORETURN void
fail(const char *what, const char *why)
{
    (void)fprintf(stderr, "store_writer: %s: %s\n", what, why);
    exit(1);
}

static uint64_t
draw(uint64_t below)
{
    w.random ^= w.random << 13;
    w.random ^= w.random >> 7;
    w.random ^= w.random << 17;
    return w.random % below;
}

// ---- Marks --------------------------------------------------------------------------------------

static void
mark(const char *prefix, const char *item)
{
    char line[ITEM_BYTES + 16];
    int len = snprintf(line, sizeof line, "%s%s\n", prefix, item);
    if (w.marks >= 0 && write(w.marks, line, (size_t)len) != len)
        fail("mark", "write");
}

static void
will_come(const char *item)
{
    // What comes and goes in one round is neither.
    must(w.come_count < ITEMS);
    memcpy(w.come[w.come_count++], item, ITEM_BYTES);
}

static void
will_go(const char *item)
{
    for (unsigned i = 0; i < w.come_count; i++) {
        if (strcmp(w.come[i], item) != 0)
            continue;
        memcpy(w.come[i], w.come[--w.come_count], ITEM_BYTES);
        break;
    }
    must(w.gone_count < ITEMS);
    memcpy(w.gone[w.gone_count++], item, ITEM_BYTES);
}

// ---- Records ------------------------------------------------------------------------------------

static void
put(unsigned shard, const struct record *record)
{
    struct journal_batch *batch = w.batches[shard];
    if (!batch)
        batch = w.batches[shard] = journal_batch_new();
    uint32_t size = record_size(record);
    batch->bytes = mem_grow(batch->bytes, &batch->cap, batch->len + size, 1);
    (void)record_write(batch->bytes + batch->len, record);
    batch->len += size;
    batch->last = ++w.last[shard];
}

static struct slice
payload_of(uint64_t number)
{
    static uint8_t bytes[PAYLOAD_MAX];
    uint32_t len = item_payload_len(number);
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = item_byte(number, i);
    return slice_of(bytes, len);
}

static void
begin(unsigned shard, struct session *s)
{
    char id[32], item[ITEM_BYTES] = "";
    *s = (struct session){.number = w.next_session++, .seq = 1};
    (void)snprintf(id, sizeof id, "client-%llu", (unsigned long long)s->number);
    put(shard, &(struct record){.kind = JOURNAL_SESSION,
                                .session = s->number,
                                .id = slice_str(id),
                                .version = MQTT_5,
                                .expiry_s = 1000});
    item_session(item, s->number);
    will_come(item);
}

static void
end(unsigned shard, struct session *s)
{
    char item[ITEM_BYTES] = "";
    put(shard, &(struct record){.kind = JOURNAL_SESSION_END, .session = s->number});
    item_session(item, s->number);
    will_go(item);
    for (unsigned i = 0; i < QUEUE; i++)
        if (s->queue[i]) {
            item_entry(item, s->number, s->seqs[i]);
            will_go(item);
        }
    for (unsigned i = 0; i < ORDINALS; i++)
        if (s->subs[i]) {
            item_subscription(item, s->number, s->subs[i]);
            will_go(item);
        }
    for (unsigned i = 0; i < PACKETS; i++)
        if (s->received[i]) {
            item_received(item, s->number, s->received[i]);
            will_go(item);
        }
    s->number = 0;
}

static void
subscribe(unsigned shard, struct session *s)
{
    char item[ITEM_BYTES] = "";
    uint32_t *sub = &s->subs[draw(ORDINALS)];
    struct record record = {
        .kind = *sub ? JOURNAL_UNSUBSCRIBE : JOURNAL_SUBSCRIBE,
        .session = s->number,
        .ordinal = *sub ? *sub : ++s->ordinal,
        .filter = slice_str("a/+"),
    };
    put(shard, &record);
    item_subscription(item, s->number, record.ordinal);
    if (*sub)
        will_go(item);
    else
        will_come(item);
    *sub = *sub ? 0 : record.ordinal;
}

static void
receive(unsigned shard, struct session *s)
{
    char item[ITEM_BYTES] = "";
    uint16_t *packet = &s->received[draw(PACKETS)];
    struct record record = {
        .kind = *packet ? JOURNAL_RELEASED : JOURNAL_RECEIVED,
        .session = s->number,
        .packet_id = *packet ? *packet : ++s->packet,
    };
    put(shard, &record);
    item_received(item, s->number, record.packet_id);
    if (*packet)
        will_go(item);
    else
        will_come(item);
    *packet = *packet ? 0 : record.packet_id;
}

// To sessions of both shards, each of which journals the message.
static void
publish(void)
{
    uint64_t number = w.next_message++;
    struct record message = {
        .kind = JOURNAL_MESSAGE,
        .message = number,
        .msg = {.topic = slice_str("t"), .payload = payload_of(number)},
    };
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        put(shard, &message);
        for (unsigned i = shard; i < SESSIONS; i += SHARDS) {
            char item[ITEM_BYTES] = "";
            struct session *s = &w.sessions[i];
            unsigned place = (unsigned)(s->seq % QUEUE);
            if (s->number == 0 || s->queue[place] || draw(2))
                continue;
            s->queue[place] = true;
            s->seqs[place] = s->seq;
            item_entry(item, s->number, s->seq);
            will_come(item);
            put(shard, &(struct record){.kind = JOURNAL_ENQUEUE,
                                        .session = s->number,
                                        .seq = s->seq++,
                                        .message = number,
                                        .size = message.msg.payload.len,
                                        .qos = 1});
        }
    }
}

static void
acknowledge(unsigned shard, struct session *s)
{
    char item[ITEM_BYTES] = "";
    unsigned place = (unsigned)draw(QUEUE);
    if (!s->queue[place])
        return;
    s->queue[place] = false;
    item_entry(item, s->number, s->seqs[place]);
    will_go(item);
    put(shard, &(struct record){.kind = JOURNAL_STATE,
                                .session = s->number,
                                .seq = s->seqs[place],
                                .state = ENTRY_DONE});
}

static void
retain(unsigned shard)
{
    char topic[8], item[ITEM_BYTES] = "";
    unsigned i = (unsigned)draw(TOPICS);
    uint64_t order = w.next_order++;
    (void)snprintf(topic, sizeof topic, "t%u", i);
    item_retained(item, topic, w.orders[i]);
    if (w.orders[i])
        will_go(item);
    w.orders[i] = draw(3) ? order : 0;
    if (w.orders[i] == 0) {
        put(shard, &(struct record){.kind = JOURNAL_RETAIN_CLEAR,
                                    .order = order,
                                    .msg.topic = slice_str(topic)});
        return;
    }
    put(shard, &(struct record){
                   .kind = JOURNAL_RETAIN,
                   .order = order,
                   .msg = {.topic = slice_str(topic), .payload = payload_of(order)},
               });
    item_retained(item, topic, order);
    will_come(item);
}

static void
step(void)
{
    unsigned i = (unsigned)draw(SESSIONS), shard = i % SHARDS;
    struct session *s = &w.sessions[i];
    if (s->number == 0)
        begin(shard, s);
    else if (draw(60) == 0)
        end(shard, s);
    else if (draw(8) == 0)
        subscribe(shard, s);
    else if (draw(8) == 0)
        receive(shard, s);
    else if (draw(6) == 0)
        retain((unsigned)draw(SHARDS));
    else if (draw(3) == 0)
        publish();
    else
        acknowledge(shard, s);
}

// ---- Rounds -------------------------------------------------------------------------------------

static void
wait_safe(void)
{
    for (unsigned shard = 0; shard < SHARDS; shard++)
        while (atomic_load(&w.keeper->shards[shard].safe) < w.last[shard])
            (void)poll(NULL, 0, 1);
}

static void
round_once(void)
{
    w.come_count = w.gone_count = 0;
    for (uint64_t n = draw(12) + 1; n > 0; n--)
        step();
    for (unsigned i = 0; i < w.gone_count; i++)
        mark("drop ", w.gone[i]);
    for (unsigned shard = 0; shard < SHARDS; shard++) {
        if (!w.batches[shard])
            continue;
        atomic_store(&w.keeper->shards[shard].offered, w.batches[shard]);
        w.batches[shard] = NULL;
        keeper_wake(&w.keeper->log_thread);
    }
    wait_safe();
    for (unsigned i = 0; i < w.gone_count; i++)
        mark("gone ", w.gone[i]);
    for (unsigned i = 0; i < w.come_count; i++)
        mark("", w.come[i]);
}

// Only so that the state catches up.
static void
ask_page(void)
{
    struct page_request *request = spsc_reserve(w.keeper->shards[0].requests, 0, sizeof *request);
    struct spsc_record record;
    struct page *page;
    must(request);
    *request = (struct page_request){
        .session = 1, .seq = 1, .position = w.last[0], .count_max = 3, .bytes_max = 1000};
    if (spsc_publish(w.keeper->shards[0].requests))
        keeper_wake(&w.keeper->state_thread);
    while (!spsc_take(w.keeper->shards[0].pages, &record))
        (void)poll(NULL, 0, 1);
    memcpy(&page, record.data, sizeof page);
    spsc_release(w.keeper->shards[0].pages);
    page_free(page);
}

int
main(int argc, char **argv)
{
    char problem[STORE_PROBLEM_MAX];
    const char *path = getenv("POWERCUT_MARK"), *run = getenv("POWERCUT_RUN");
    if (argc < 2)
        fail("usage", "store_writer [ROUNDS] FOLDER");
    unsigned long rounds = argc > 2 ? strtoul(argv[1], NULL, 10) : 100;
    w.random = (run ? strtoull(run, NULL, 10) + 1 : 1) * UINT64_C(0x9e3779b97f4a7c15);
    w.next_session = w.next_message = w.next_order = 1;
    w.marks = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -1;
    struct store_options options = {.folder = argv[argc - 1], .name = STORE_NAME};
    if (store_open(&options, &w.store, problem) != OK)
        fail("open", problem);
    w.keeper = keeper_new(SHARDS, true);
    w.broker = mem_alloc_aligned(CACHE_LINE, sizeof *w.broker);
    w.broker->keeper = w.keeper;
    w.broker->shard_count = SHARDS;
    if (store_start(w.store, w.broker) != OK)
        fail("start", "no threads");
    for (unsigned long n = 0; n < rounds; n++) {
        round_once();
        if (n % 7 == 6)
            ask_page();
    }
    store_stop(w.store);
    store_close(w.store);
    keeper_free(w.keeper);
    mem_free(w.broker);
    return 0;
}
