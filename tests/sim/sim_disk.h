// sim_disk.h - a keeper that the test drives, and a disk in memory that outlives the broker.
//
// Job:    fetches what shards offer, calls it safe when the test says so, answers page requests,
//         gives a new broker what the last one left. Naive on purpose: the state is found by
//         reading all records from the first one on.
// Owner:  the test. Thread: one. Memory: until sim_disk_free. Limits: none.
#ifndef TERN_TESTS_SIM_SIM_DISK_H
#define TERN_TESTS_SIM_SIM_DISK_H

#include "core/journal.h"
#include "core/restore.h"
#include "core/retained.h"
#include "core/session.h"
#include "tests/sim/client_packets.h"
#include "tests/sim/sim.h"

struct sim_disk {
    struct slice *records; // in the order of the commits
    uint32_t count, cap;
    // What a shard's fetched batches hold and the disk does not yet.
    struct slice *fetched[TRIE_SHARDS_MAX];
    uint32_t fetched_count[TRIE_SHARDS_MAX], fetched_cap[TRIE_SHARDS_MAX];
    uint64_t fetched_last[TRIE_SHARDS_MAX];
    uint64_t next_session, next_message, next_order;
};

static inline struct sim_disk *
sim_disk_new(void)
{
    return mem_zalloc(sizeof(struct sim_disk));
}

// The batches that were fetched and not committed are lost, as in a crash.
static inline void
sim_disk_forget(struct sim_disk *disk)
{
    for (unsigned i = 0; i < TRIE_SHARDS_MAX; i++) {
        for (uint32_t j = 0; j < disk->fetched_count[i]; j++)
            mem_free(unconst(disk->fetched[i][j].data));
        mem_free(disk->fetched[i]);
        disk->fetched[i] = NULL;
        disk->fetched_count[i] = disk->fetched_cap[i] = 0;
        disk->fetched_last[i] = 0;
    }
}

static inline void
sim_disk_free(struct sim_disk *disk)
{
    sim_disk_forget(disk);
    for (uint32_t i = 0; i < disk->count; i++)
        mem_free(unconst(disk->records[i].data));
    mem_free(disk->records);
    mem_free(disk);
}

static inline struct record
sim_disk_record(struct slice bytes)
{
    struct record record;
    uint32_t len;
    err_t err = record_read(bytes, &record, &len);
    must(err == OK && len == bytes.len);
    return record;
}

// ---- Fetching and committing --------------------------------------------------------------------

static inline void
sim_fetch_batch(struct sim_disk *disk, unsigned shard, const struct journal_batch *batch)
{
    for (uint32_t at = 0; at < batch->len;) {
        const uint8_t *p = batch->bytes + at;
        uint32_t len = RECORD_HEAD +
                       (p[1] | (uint32_t)p[2] << 8 | (uint32_t)p[3] << 16 | (uint32_t)p[4] << 24);
        must(len <= batch->len - at);
        at += len;
        if (p[0] == JOURNAL_VOID)
            continue;
        uint8_t *copy = mem_alloc(len);
        memcpy(copy, p, len);
        disk->fetched[shard] = mem_grow(disk->fetched[shard], &disk->fetched_cap[shard],
                                        disk->fetched_count[shard] + 1, sizeof(struct slice));
        disk->fetched[shard][disk->fetched_count[shard]++] = slice_of(copy, len);
    }
    disk->fetched_last[shard] = batch->last;
}

// Takes what the shards offer; nothing is safe yet.
static inline void
sim_fetch(struct sim *sim, struct sim_disk *disk)
{
    for (unsigned i = 0; i < sim->shard_count; i++) {
        struct keeper_shard *slot = &sim->broker->keeper->shards[i];
        struct journal_batch *batch = atomic_exchange(&slot->offered, NULL);
        if (!batch)
            continue;
        sim_fetch_batch(disk, i, batch);
        batch->len = 0;
        journal_batch_free(atomic_exchange(&slot->spare, batch));
    }
}

// One shard's fetched batches are on the disk.
static inline void
sim_commit_shard(struct sim *sim, struct sim_disk *disk, unsigned shard)
{
    for (uint32_t i = 0; i < disk->fetched_count[shard]; i++) {
        struct record r = sim_disk_record(disk->fetched[shard][i]);
        disk->next_session = max_u64(disk->next_session, r.session + 1);
        disk->next_message = max_u64(disk->next_message, r.message + 1);
        disk->next_order = max_u64(disk->next_order, r.order + 1);
        disk->records = mem_grow(disk->records, &disk->cap, disk->count + 1, sizeof(struct slice));
        disk->records[disk->count++] = disk->fetched[shard][i];
    }
    disk->fetched_count[shard] = 0;
    if (disk->fetched_last[shard])
        atomic_store(&sim->broker->keeper->shards[shard].safe, disk->fetched_last[shard]);
}

static inline void
sim_commit(struct sim *sim, struct sim_disk *disk)
{
    for (unsigned i = 0; i < sim->shard_count; i++)
        sim_commit_shard(sim, disk, i);
}

// ---- The state, by reading everything -----------------------------------------------------------

static inline bool
sim_disk_ended(const struct sim_disk *disk, uint64_t session)
{
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.kind == JOURNAL_SESSION_END && r.session == session)
            return true;
    }
    return false;
}

// The state of an entry after the record at index: 0 = queued.
static inline uint8_t
sim_disk_entry_state(const struct sim_disk *disk, uint32_t index, const struct record *enqueue)
{
    uint8_t state = 0;
    for (uint32_t i = index + 1; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.kind == JOURNAL_STATE && r.session == enqueue->session && r.seq == enqueue->seq)
            state = r.state > state ? r.state : state;
    }
    return state;
}

static inline struct msg *
sim_disk_msg(const struct sim_disk *disk, uint64_t number)
{
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.kind != JOURNAL_MESSAGE || r.message != number)
            continue;
        struct pub pub = {.topic = r.msg.topic,
                          .props = r.msg.props,
                          .payload = r.msg.payload,
                          .expires_ms = r.msg.expires_ms, // the wall clock is ours, offset 0
                          .arrived_ms = r.msg.arrived_ms,
                          .publisher = r.msg.publisher,
                          .number = number,
                          .qos = r.msg.qos,
                          .retain = r.msg.retain};
        return msg_new(&pub);
    }
    must_fail("a message that an entry names is not there", __FILE__, __LINE__);
}

// ---- Pages --------------------------------------------------------------------------------------

static inline struct page *
sim_page(const struct sim_disk *disk, const struct page_request *wanted, uint32_t limit)
{
    struct page *page = mem_zalloc(sizeof *page + limit * sizeof page->entries[0]);
    page->session = wanted->session;
    page->token = wanted->token;
    page->from = page->next = wanted->seq;
    page->end = true;
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.kind != JOURNAL_ENQUEUE || r.session != wanted->session || r.seq < wanted->seq)
            continue;
        uint8_t state = sim_disk_entry_state(disk, i, &r);
        if (state == ENTRY_DONE)
            continue;
        if (page->count == limit) {
            page->end = false;
            break;
        }
        struct page_entry *entry = &page->entries[page->count++];
        *entry = (struct page_entry){.seq = r.seq,
                                     .id_count = r.ids.len / 4,
                                     .ordinal = r.ordinal,
                                     .qos = r.qos,
                                     .retain = r.retain,
                                     .released = state == ENTRY_RELEASED};
        if (!entry->released)
            entry->msg = sim_disk_msg(disk, r.message);
        if (entry->id_count) {
            entry->ids = mem_alloc(r.ids.len);
            for (uint32_t j = 0; j < entry->id_count; j++)
                entry->ids[j] = record_id(&r, j);
        }
        page->next = r.seq + 1;
    }
    return page;
}

// Answers what can be answered, at most limit entries a page. Returns how many pages.
static inline unsigned
sim_answer(struct sim *sim, const struct sim_disk *disk, uint32_t limit)
{
    unsigned pages = 0;
    for (unsigned i = 0; i < sim->shard_count; i++) {
        struct keeper_shard *slot = &sim->broker->keeper->shards[i];
        struct spsc_record record;
        while (spsc_take(slot->requests, &record)) {
            struct page_request wanted;
            must(record.len == sizeof wanted);
            memcpy(&wanted, record.data, sizeof wanted);
            must(wanted.position <= atomic_load(&slot->safe));
            struct page *page = sim_page(disk, &wanted, min_u32(limit, wanted.count_max));
            void *room = spsc_reserve(slot->pages, 0, sizeof page);
            must(room);
            memcpy(room, &page, sizeof page);
            (void)spsc_publish(slot->pages);
            pages++;
        }
        spsc_release(slot->requests);
    }
    return pages;
}

// Until nothing is left to do, with a disk that keeps up.
static inline void
sim_settle_kept(struct sim *sim, struct sim_disk *disk)
{
    unsigned quiet = 0;
    while (quiet < 3) {
        sim_settle(sim);
        sim_fetch(sim, disk);
        sim_commit(sim, disk);
        quiet = sim_answer(sim, disk, 7) > 0 ? 0 : quiet + 1;
    }
    sim_settle(sim);
}

// sim_connect, of one whose CONNACK waits for the disk: it has a Will.
static inline struct sim_conn *
sim_connect_kept(struct sim *sim, struct sim_disk *disk, const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c->id)));
    sim_send_connect(conn, c);
    sim_settle_kept(sim, disk);
    must(sim_next(conn, &conn->hello) && conn->hello.type == MQTT_CONNACK);
    return conn;
}

// ---- A new broker on the same disk --------------------------------------------------------------

static inline struct restored_queue
sim_disk_queue(const struct sim_disk *disk, uint64_t session)
{
    struct restored_queue queue = {.first = UINT64_MAX};
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.kind != JOURNAL_ENQUEUE || r.session != session ||
            sim_disk_entry_state(disk, i, &r) == ENTRY_DONE)
            continue;
        queue.first = min_u64(queue.first, r.seq);
        queue.end = max_u64(queue.end, r.seq + 1);
        queue.count++;
        queue.bytes += r.size;
    }
    if (queue.count == 0)
        queue.first = 0;
    return queue;
}

static inline void
sim_restore_parts(const struct sim_disk *disk, struct session *session)
{
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        bool holds = r.session == session->number &&
                     (r.kind == JOURNAL_SUBSCRIBE || r.kind == JOURNAL_RECEIVED);
        for (uint32_t j = i + 1; holds && j < disk->count; j++) {
            struct record later = sim_disk_record(disk->records[j]);
            if (later.session != r.session)
                continue;
            if (r.kind == JOURNAL_SUBSCRIBE)
                holds = !((later.kind == JOURNAL_UNSUBSCRIBE || later.kind == JOURNAL_SUBSCRIBE) &&
                          later.ordinal == r.ordinal);
            else
                holds = !(later.kind == JOURNAL_RELEASED && later.packet_id == r.packet_id);
        }
        if (holds && r.kind == JOURNAL_SUBSCRIBE)
            restore_subscription(session, &r);
        else if (holds)
            restore_received(session, r.packet_id);
    }
}

static inline void
sim_restore_session(struct sim *sim, const struct sim_disk *disk, uint32_t index)
{
    struct record r = sim_disk_record(disk->records[index]);
    if (r.kind != JOURNAL_SESSION || sim_disk_ended(disk, r.session))
        return;
    for (uint32_t i = index + 1; i < disk->count; i++) {
        struct record later = sim_disk_record(disk->records[i]);
        if (later.kind == JOURNAL_SESSION && later.session == r.session)
            return;
    }
    struct shard *shard = sim->broker->shards[broker_home(sim->broker, r.id)];
    must(restore_is_here(shard, &r));
    struct restored_queue queue = sim_disk_queue(disk, r.session);
    struct session *session = restore_session(shard, &r, &queue);
    sim_restore_parts(disk, session);
    restore_done(session, &r, sim->now_ms);
}

static inline void
sim_restore_retained(struct sim *sim, const struct sim_disk *disk, uint32_t index)
{
    struct record r = sim_disk_record(disk->records[index]);
    if (r.kind != JOURNAL_RETAIN)
        return;
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record other = sim_disk_record(disk->records[i]);
        if ((other.kind == JOURNAL_RETAIN || other.kind == JOURNAL_RETAIN_CLEAR) &&
            other.order > r.order && slice_equal(other.msg.topic, r.msg.topic))
            return;
    }
    restore_retained(sim->broker, sim->broker->shards[0]->rcu, &r, sim->now_ms, sim->now_ms);
}

// A broker whose keeper is the test, on what the disk holds. now_ms: both clocks, so that stored
// times are simulated times. Takes config.
static inline struct sim *
sim_start(unsigned shard_count, struct config *config, struct sim_disk *disk, uint64_t now_ms)
{
    sim_disk_forget(disk);
    struct sim *sim = sim_new_kept(shard_count, config, now_ms);
    atomic_store(&sim->broker->next_session_number, max_u64(disk->next_session, 1));
    atomic_store(&sim->broker->next_message, max_u64(disk->next_message, 1));
    retained_set_next_order(sim->broker->retained, max_u64(disk->next_order, 1));
    for (uint32_t i = 0; i < disk->count; i++) {
        sim_restore_session(sim, disk, i);
        sim_restore_retained(sim, disk, i);
    }
    return sim;
}

#endif
