// case_journal.c - what it costs to write down what must survive, up to the bytes for the disk.
#include "bench/micro/cases.h"
#include "core/journal.h"
#include "core/session.h"
#include "persist/blob.h"
#include "tests/sim/client_packets.h"

#define BATCH       1000u // entries between two visits of the keeper
#define PAYLOAD     64u
#define WARM_ROUNDS 3u

enum journal_work {
    APPEND,  // MESSAGE and ENQUEUE, as for a subscriber that is slow
    CANCEL,  // the same, and acknowledged before the keeper came
    RELEASE, // STATE
    RECEIVE, // RECEIVED and RELEASED of a QoS 2 publisher
    SEAL,    // blobs out of a batch of the first
};

struct desk {
    struct sim *sim;
    struct session *session;
    struct journal *journal;
    struct msg *messages[BATCH];
    struct delivery entries[BATCH];
    struct blob_list blobs;
    uint64_t seq;
};

// Messages that the journal has not seen.
static void
fill(struct desk *desk)
{
    static const uint8_t payload[PAYLOAD];
    for (uint32_t i = 0; i < BATCH; i++) {
        msg_unref(desk->messages[i]);
        desk->messages[i] = msg_new(&(struct pub){.topic = slice_str("plant/7/line/3/temperature"),
                                                  .payload = slice_of(payload, sizeof payload),
                                                  .publisher = 1,
                                                  .arrived_ms = SIM_START_MS,
                                                  .qos = 1});
        desk->entries[i] = (struct delivery){.msg = desk->messages[i], .qos = 1};
    }
}

static void
append_all(struct desk *desk, bool cancel)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        uint64_t seq = desk->seq++;
        uint64_t at =
            journal_enqueue(desk->journal, desk->session, seq, &desk->entries[i], 0, JOURNAL_NOW);
        if (cancel)
            journal_entry_done(desk->journal, desk->session, seq, (uint32_t)at);
    }
}

static void
work(struct desk *desk, enum journal_work kind)
{
    switch (kind) {
    case APPEND:
    case CANCEL:
        append_all(desk, kind == CANCEL);
        return;
    case RELEASE:
        for (uint32_t i = 0; i < BATCH; i++)
            meter_consume(journal_entry_released(desk->journal, desk->session, i));
        return;
    case RECEIVE:
        for (uint16_t i = 1; i <= BATCH; i++) {
            meter_consume(journal_received(desk->journal, desk->session, i));
            meter_consume(journal_released(desk->journal, desk->session, i));
        }
        return;
    case SEAL:
        must_fail("that is the keeper's", __FILE__, __LINE__);
    }
}

// NULL when all of it was cancelled.
static struct journal_batch *
fetch(struct desk *desk)
{
    journal_offer(desk->journal, desk->sim->now_ms, true);
    struct keeper_shard *slot = &desk->sim->broker->keeper->shards[0];
    struct journal_batch *batch = atomic_exchange(&slot->offered, NULL);
    if (batch)
        atomic_store(&slot->safe, batch->last);
    return batch;
}

static void
give_back(struct desk *desk, struct journal_batch *batch)
{
    struct keeper_shard *slot = &desk->sim->broker->keeper->shards[0];
    if (batch) {
        batch->len = 0;
        journal_batch_free(atomic_exchange(&slot->spare, batch));
    }
    meter_consume(journal_poll(desk->journal));
}

static void
seal(struct desk *desk, const struct journal_batch *batch)
{
    blob_list_add(&desk->blobs, slice_of(batch->bytes, batch->len));
    for (uint32_t i = 0; i < desk->blobs.count; i++)
        blob_seal(&desk->blobs.blobs[i], i, 0);
    must(desk->blobs.records == (uint64_t)2 * BATCH);
    blob_list_clear(&desk->blobs);
}

static void
round_of(struct meter *meter, struct desk *desk, enum journal_work kind)
{
    fill(desk);
    if (kind != SEAL)
        meter_begin(meter);
    work(desk, kind == SEAL ? APPEND : kind);
    if (kind != SEAL)
        meter_end(meter);
    struct journal_batch *batch = fetch(desk);
    must((batch == NULL) == (kind == CANCEL));
    if (kind == SEAL) {
        meter_begin(meter);
        seal(desk, batch);
        meter_end(meter);
    }
    give_back(desk, batch);
}

static void
journal(struct meter *meter, const void *param)
{
    const enum journal_work kind = *(const enum journal_work *)param;
    struct desk *desk = mem_zalloc(sizeof *desk);
    desk->blobs.spares = BLOB_SPARES;
    desk->sim = sim_new_kept(1, sim_config(), SIM_START_MS);
    desk->journal = desk->sim->broker->shards[0]->journal;
    struct sim_conn *conn = sim_open(desk->sim, 0);
    sim_send_connect(conn, &(struct sim_connect){.id = "s", .keep = true, .expiry_s = 1000});
    desk->session = conn->client.session;
    give_back(desk, fetch(desk));
    for (uint32_t i = 0; i < WARM_ROUNDS; i++)
        round_of(meter, desk, kind);
    meter_warm(meter);
    for (uint32_t i = 0; i < meter->rounds; i++)
        round_of(meter, desk, kind);
    meter->operations = (uint64_t)meter->rounds * BATCH;
    for (uint32_t i = 0; i < BATCH; i++)
        msg_unref(desk->messages[i]);
    blob_list_free(&desk->blobs);
    sim_free(desk->sim);
    mem_free(desk);
}

static const enum journal_work kinds[] = {APPEND, CANCEL, RELEASE, RECEIVE, SEAL};

static const struct micro_case items[] = {
    {.name = "journal_enqueue", .run = journal, .param = &kinds[0], .rounds = 5},
    {.name = "journal_enqueue_and_cancel", .run = journal, .param = &kinds[1], .rounds = 5},
    {.name = "journal_entry_released", .run = journal, .param = &kinds[2], .rounds = 10},
    {.name = "journal_received_and_released", .run = journal, .param = &kinds[3], .rounds = 10},
    {.name = "journal_gather_and_seal", .run = journal, .param = &kinds[4], .rounds = 10},
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
