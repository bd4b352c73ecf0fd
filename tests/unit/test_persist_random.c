// test_persist_random.c - random records against a naive model, with folds, crashes and reopening
// at random points. A failure prints its seed; TERN_SEED repeats it.
#include "persist/store_parts.h"
#include "test_persist.h"

enum { SESSIONS = 6, SEQS = 40, TOPICS = 5, PACKETS = 4, ORDINALS = 4, STEPS = 1500, RUNS = 6 };

// ---- The model: what the store should hold ------------------------------------------------------

struct model_entry {
    bool there, released;
    uint64_t message;
};

struct model_session {
    uint64_t number; // 0 = none
    uint64_t expires_ms, next_seq;
    uint32_t subs[ORDINALS]; // filter's number; 0 = none
    bool received[PACKETS];
    struct model_entry entries[SEQS]; // by seq % SEQS: at most so many at once
    uint64_t seqs[SEQS];
};

struct model {
    uint64_t random;
    struct model_session sessions[SESSIONS];
    uint64_t retained[TOPICS]; // order; 0 = none
    uint64_t next_session, next_message, next_order;
};

static struct model model;
static struct rig rig;

static uint64_t
draw(uint64_t below)
{
    model.random ^= model.random << 13;
    model.random ^= model.random >> 7;
    model.random ^= model.random << 17;
    return model.random % below;
}

// ---- Steps: a record to the model, and to a batch ----------------------------------------------

static char names[8][32];

static const char *
name_of(const char *prefix, uint64_t n)
{
    static unsigned next;
    char *name = names[next++ % ARRAY_LEN(names)];
    (void)snprintf(name, sizeof names[0], "%s%llu", prefix, (unsigned long long)n);
    return name;
}

static void
begin_session(unsigned shard, struct model_session *s)
{
    *s = (struct model_session){.number = model.next_session++, .expires_ms = 5000, .next_seq = 1};
    rig_put(&rig, shard, rec_session(s->number, name_of("id", s->number)));
}

static void
change_session(unsigned shard, struct model_session *s)
{
    s->expires_ms++;
    struct record record = rec_session(s->number, name_of("id", s->number));
    record.expires_ms = s->expires_ms;
    rig_put(&rig, shard, record);
}

static void
subscribe(unsigned shard, struct model_session *s)
{
    uint32_t ordinal = (uint32_t)draw(ORDINALS);
    if (s->subs[ordinal] && draw(2)) {
        s->subs[ordinal] = 0;
        rig_put(&rig, shard, rec_unsubscribe(s->number, ordinal + 1));
        return;
    }
    s->subs[ordinal] = (uint32_t)draw(100) + 1;
    rig_put(&rig, shard, rec_subscribe(s->number, ordinal + 1, name_of("f", s->subs[ordinal])));
}

static void
receive(unsigned shard, struct model_session *s)
{
    uint16_t packet = (uint16_t)draw(PACKETS);
    s->received[packet] = !s->received[packet];
    rig_put(&rig, shard,
            rec_packet(s->received[packet] ? JOURNAL_RECEIVED : JOURNAL_RELEASED, s->number,
                       packet + 1));
}

// A message to several sessions of the shard's half, as route_publish does.
static void
publish(unsigned shard, uint64_t number)
{
    rig_put(&rig, shard, rec_message(number, name_of("m", number)));
    for (unsigned i = shard; i < SESSIONS; i += RIG_SHARDS) {
        struct model_session *s = &model.sessions[i];
        unsigned slot = (unsigned)(s->next_seq % SEQS);
        if (s->number == 0 || draw(2) || s->entries[slot].there)
            continue;
        s->entries[slot] = (struct model_entry){true, false, number};
        s->seqs[slot] = s->next_seq;
        rig_put(&rig, shard, rec_enqueue(s->number, s->next_seq++, number));
    }
}

static void
advance(unsigned shard, struct model_session *s)
{
    unsigned slot = (unsigned)draw(SEQS);
    struct model_entry *entry = &s->entries[slot];
    if (!entry->there)
        return;
    if (draw(4) == 0) {
        entry->released = true;
        rig_put(&rig, shard, rec_state(s->number, s->seqs[slot], ENTRY_RELEASED));
    } else {
        entry->there = false;
        rig_put(&rig, shard, rec_state(s->number, s->seqs[slot], ENTRY_DONE));
    }
}

static void
retain(unsigned shard)
{
    unsigned topic = (unsigned)draw(TOPICS);
    uint64_t order = model.next_order++;
    if (draw(3) == 0) {
        model.retained[topic] = 0;
        rig_put(&rig, shard, rec_clear(order, name_of("t", topic)));
    } else {
        model.retained[topic] = order;
        rig_put(&rig, shard, rec_retain(order, name_of("t", topic), name_of("", order)));
    }
}

static void
step(void)
{
    unsigned i = (unsigned)draw(SESSIONS), shard = i % RIG_SHARDS;
    struct model_session *s = &model.sessions[i];
    if (s->number == 0) {
        begin_session(shard, s);
        return;
    }
    switch (draw(12)) {
    case 0:
        if (draw(4) == 0) {
            rig_put(&rig, shard, rec_session_end(s->number));
            s->number = 0;
        }
        break;
    case 1:
        change_session(shard, s);
        break;
    case 2:
        subscribe(shard, s);
        break;
    case 3:
        receive(shard, s);
        break;
    case 4:
        retain((unsigned)draw(RIG_SHARDS));
        break;
    case 5:
    case 6: { // the same message on both shards
        uint64_t number = model.next_message++;
        publish(0, number);
        publish(1, number);
        break;
    }
    default:
        advance(shard, s);
    }
}

// ---- Comparing ----------------------------------------------------------------------------------

static int
compare_numbers(const void *left, const void *right)
{
    const struct model_session *l = *(struct model_session *const *)left;
    const struct model_session *r = *(struct model_session *const *)right;
    return l->number < r->number ? -1 : l->number > r->number;
}

static void
print_session(FILE *to, const struct model_session *s, bool *told)
{
    unsigned long long number = s->number;
    fprintf(to, "session %llu id%llu expires %llu\n", number, number,
            (unsigned long long)s->expires_ms);
    for (unsigned i = 0; i < ORDINALS; i++)
        if (s->subs[i])
            fprintf(to, "sub %llu %u f%u\n", number, i + 1, s->subs[i]);
    for (unsigned i = 0; i < PACKETS; i++)
        if (s->received[i])
            fprintf(to, "received %llu %u\n", number, i + 1);
    for (uint64_t seq = s->next_seq > SEQS ? s->next_seq - SEQS : 1; seq < s->next_seq; seq++) {
        const struct model_entry *e = &s->entries[seq % SEQS];
        unsigned long long message = e->message;
        if (!e->there || s->seqs[seq % SEQS] != seq)
            continue;
        if (!e->released && !told[message])
            fprintf(to, "message %llu m%llu\n", message, message);
        if (!e->released)
            told[message] = true;
        fprintf(to, "entry %llu %llu %llu\n", number, (unsigned long long)seq, message);
        if (e->released)
            fprintf(to, "released %llu %llu\n", number, (unsigned long long)seq);
    }
}

// Returns new, free().
static char *
model_text(void)
{
    char *text = NULL;
    size_t len;
    FILE *to = open_memstream(&text, &len);
    bool *told = mem_zalloc(model.next_message + 1);
    struct model_session *sorted[SESSIONS];
    for (unsigned i = 0; i < SESSIONS; i++)
        sorted[i] = &model.sessions[i];
    qsort(sorted, SESSIONS, sizeof *sorted, compare_numbers);
    for (unsigned i = 0; i < SESSIONS; i++)
        if (sorted[i]->number)
            print_session(to, sorted[i], told);
    for (unsigned i = 0; i < TOPICS; i++)
        if (model.retained[i])
            fprintf(to, "retain %llu t%u %llu\n", (unsigned long long)model.retained[i], i,
                    (unsigned long long)model.retained[i]);
    mem_free(told);
    (void)fclose(to);
    return text;
}

static void
compare(uint64_t seed)
{
    char *expected = model_text(), *got = dump_store(rig.store);
    if (strcmp(expected, got) != 0)
        cr_assert_fail("TERN_SEED=%llu\n--- expected\n%s--- got\n%s", (unsigned long long)seed,
                       expected, got);
    cr_assert_eq(rig.store->counts.next_session, model.next_session);
    cr_assert_geq(model.next_message, rig.store->counts.next_message);
    free(expected);
    free(got);
}

// ---- Runs ---------------------------------------------------------------------------------------

// The batches go into the log; a part of the log into the state, as if the process ended there.
static void
crash(void)
{
    struct store *store = rig.store;
    for (unsigned shard = 0; shard < RIG_SHARDS; shard++) {
        struct blob_list list = {0};
        struct journal_batch *batch = rig.batches[shard];
        if (batch)
            blob_list_add(&list, slice_of(batch->bytes, batch->len));
        cr_assert_eq(wal_commit(&store->wal, list.count ? &list : NULL, 0), 0);
        blob_list_free(&list);
        journal_batch_free(batch);
        rig.batches[shard] = NULL;
    }
    uint64_t behind = store->wal.next - 1 - store->state.meta.applied;
    struct window *window = window_new(store->state.meta.seed);
    cr_assert_eq(store_fold(store, window, store->state.meta.applied + draw(behind + 1), 0), 0);
    window_free(window);
    store_close(store);
    rig.options.verify_in_child = draw(2);
    rig_open(&rig);
}

static void
run(uint64_t seed)
{
    model = (struct model){.random = seed * UINT64_C(0x9e3779b97f4a7c15) | 1,
                           .next_session = 1,
                           .next_message = 1,
                           .next_order = 1};
    rig_init(&rig);
    rig_open(&rig);
    bool running = false;
    for (unsigned n = 0; n < STEPS; n++) {
        if (!running &&
            draw(40) == 0) { // what is gathered without threads is offered once they run
            struct journal_batch *gathered[RIG_SHARDS];
            uint64_t last[RIG_SHARDS];
            memcpy(gathered, rig.batches, sizeof gathered);
            memcpy(last, rig.last, sizeof last);
            rig_start(&rig);
            memcpy(rig.batches, gathered, sizeof gathered);
            memcpy(rig.last, last, sizeof last);
            running = true;
        }
        step();
        if (running && draw(30) == 0)
            rig_commit(&rig);
        if (running && draw(100) == 0) {
            rig_commit(&rig);
            rig_stop(&rig);
            memset(rig.last, 0, sizeof rig.last);
            compare(seed);
            running = false;
        }
        if (!running && draw(60) == 0) {
            crash();
            memset(rig.last, 0, sizeof rig.last);
            compare(seed);
        }
    }
    if (running) {
        rig_commit(&rig);
        rig_stop(&rig);
    } else {
        crash();
    }
    compare(seed);
    rig_end(&rig);
}

Test(persist_random, equals_a_naive_model, .timeout = 120)
{
    const char *given = getenv("TERN_SEED");
    uint64_t seed = given ? strtoull(given, NULL, 10) : clock_mono_us();
    for (unsigned i = 0; i < (given ? 1 : RUNS); i++)
        run(seed + i);
}
