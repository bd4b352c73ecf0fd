// test_journal_pass.c - records that are void before the keeper has them hold up nobody.
#include "core/msg.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_disk.h"

#define HOLD  5u    // ms, as the journal waits for what is expected soon
#define HURRY 1000u // ms, during which it does not, when that was in vain

static struct sim *sim;
static struct sim_disk *disk;
static struct shard *shard; // the only one
static struct journal *journal;
static struct session *session;
static uint64_t next_seq;

static void
keep_all(void)
{
    sim_settle(sim);
    sim_fetch(sim, disk);
    sim_commit(sim, disk);
    sim_settle(sim);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    sim = sim_start(1, sim_config(), disk, SIM_START_MS);
    shard = sim->broker->shards[0];
    journal = shard->journal;
    session = sim_connect_durable(sim, "a")->client.session;
    keep_all();
}

static void
tear_down(void)
{
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(2000) * 1000); // sessions expire
    sim_settle(sim);
    end_empty(sim);
    sim_disk_free(disk);
}

TestSuite(journal_pass, .init = set_up, .fini = tear_down);

struct entry {
    uint64_t seq;
    uint32_t record;
};

static struct entry
enqueue(enum journal_haste haste)
{
    static const uint8_t payload[100];
    struct pub pub = {.topic = slice_str("t"),
                      .payload = slice_of(payload, sizeof payload),
                      .arrived_ms = sim->now_ms,
                      .qos = 1};
    struct delivery delivery = {.msg = msg_new(&pub), .qos = 1};
    struct entry entry = {.seq = next_seq++};
    entry.record = (uint32_t)journal_enqueue(journal, session, entry.seq, &delivery, 0, haste);
    msg_unref(delivery.msg);
    return entry;
}

static void
done(struct entry entry)
{
    journal_entry_done(journal, session, entry.seq, entry.record);
}

static bool
is_offered(void)
{
    return atomic_load(&sim->broker->keeper->shards[0].offered) != NULL;
}

// How many records it wrote, of which the last is the end of that entry, or its begin.
static uint32_t
written(uint32_t before, uint8_t kind, struct entry entry)
{
    cr_assert_gt(disk->count, before);
    struct record last = sim_disk_record(disk->records[disk->count - 1]);
    cr_assert(last.kind == kind && last.seq == entry.seq, "kind %d, seq %lu", last.kind,
              (unsigned long)last.seq);
    return disk->count - before;
}

Test(journal_pass, what_is_done_first_is_safe_though_what_follows_is_not)
{
    uint64_t before = journal_last(journal);
    struct entry first = enqueue(JOURNAL_SOON), second = enqueue(JOURNAL_SOON);
    sim_tick(sim, 0);
    cr_assert_eq(journal_safe(journal), before);
    done(second);
    sim_tick(sim, 0);
    cr_assert_eq(journal_safe(journal), before, "the first one is still under way");
    struct entry third = enqueue(JOURNAL_SOON);
    done(first);
    sim_tick(sim, 0);
    cr_assert_eq(journal_safe(journal), before + 4, "a message and an entry each");
    cr_assert_not(is_offered());
    done(third);
    sim_settle(sim);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
    uint32_t count = disk->count;
    sim_tick(sim, HURRY);
    keep_all();
    cr_assert_eq(disk->count, count, "nothing was ever written");
}

Test(journal_pass, what_is_not_done_soon_is_written_and_then_nothing_is_waited_for_a_while)
{
    uint32_t count = disk->count;
    struct entry entry = enqueue(JOURNAL_SOON);
    sim_tick(sim, 0);
    cr_assert_leq(shard_wait_until(shard), sim->now_ms + HOLD);
    sim_tick(sim, HOLD - 1);
    cr_assert_not(is_offered());
    sim_tick(sim, 1);
    cr_assert(is_offered());
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 2);
    enqueue(JOURNAL_SOON);
    sim_tick(sim, 0);
    cr_assert(is_offered());
    keep_all();
    sim_tick(sim, HURRY);
    enqueue(JOURNAL_SOON);
    sim_tick(sim, 0);
    cr_assert_not(is_offered());
}

Test(journal_pass, one_after_the_other_may_take_longer)
{
    struct entry last = enqueue(JOURNAL_SOON);
    for (unsigned i = 0; i < 8; i++) {
        sim_tick(sim, HOLD - 1);
        cr_assert_not(is_offered());
        struct entry next = enqueue(JOURNAL_SOON);
        done(last);
        last = next;
    }
    done(last);
    sim_settle(sim);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
}

Test(journal_pass, one_that_is_never_done_holds_up_the_others_no_longer)
{
    uint32_t count = disk->count;
    struct entry entry = enqueue(JOURNAL_SOON);
    for (unsigned i = 0; i < HOLD; i++) {
        done(enqueue(JOURNAL_SOON));
        sim_tick(sim, i > 0);
        cr_assert_not(is_offered());
    }
    sim_tick(sim, 1);
    cr_assert(is_offered());
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 2);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
}

Test(journal_pass, what_somebody_waits_for_takes_all_with_it)
{
    uint32_t count = disk->count;
    enqueue(JOURNAL_SOON);
    struct entry entry = enqueue(JOURNAL_NOW);
    sim_tick(sim, 0);
    cr_assert(is_offered());
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 4);
}

Test(journal_pass, what_nobody_waits_for_waits_for_company)
{
    uint32_t count = disk->count;
    struct entry entry = enqueue(JOURNAL_LATER);
    sim_tick(sim, 0);
    sim_tick(sim, HOLD);
    cr_assert_not(is_offered());
    sim_tick(sim, 50);
    cr_assert(is_offered());
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 2);
    done(enqueue(JOURNAL_LATER));
    sim_tick(sim, 50);
    keep_all();
    cr_assert_eq(disk->count, count + 2, "done before anybody came for it");
}

Test(journal_pass, the_end_of_what_is_on_the_disk_holds_up_nobody_and_is_written)
{
    struct entry old = enqueue(JOURNAL_NOW);
    keep_all();
    uint32_t count = disk->count;
    done(old);
    struct entry entry = enqueue(JOURNAL_SOON);
    sim_tick(sim, 1);
    done(entry);
    sim_settle(sim);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
    cr_assert_not(is_offered());
    sim_tick(sim, 50);
    keep_all();
    cr_assert_eq(written(count, JOURNAL_STATE, old), 1);
}

Test(journal_pass, what_is_under_way_is_waited_for)
{
    enqueue(JOURNAL_NOW);
    sim_settle(sim);
    sim_fetch(sim, disk);
    uint64_t before = journal_safe(journal);
    done(enqueue(JOURNAL_SOON));
    sim_tick(sim, 0);
    cr_assert_eq(journal_safe(journal), before, "what is before it is not on the disk yet");
    sim_commit(sim, disk);
    sim_settle(sim);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
}

Test(journal_pass, a_page_that_is_asked_for_has_what_was_held)
{
    uint32_t count = disk->count;
    struct entry gone = enqueue(JOURNAL_SOON), entry = enqueue(JOURNAL_SOON);
    done(gone);
    sim_tick(sim, 0);
    cr_assert_eq(journal_barrier(journal), journal_last(journal));
    sim_tick(sim, 0);
    cr_assert(is_offered());
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 2);
    cr_assert_eq(journal_barrier(journal), journal_last(journal));
    done(entry); // nobody waits for that, and yet it is in what a page shows
    sim_tick(sim, 0);
    cr_assert_eq(journal_safe(journal), journal_last(journal));
    cr_assert_eq(journal_barrier(journal), journal_last(journal));
    sim_tick(sim, 0);
    cr_assert(is_offered());
}

// One is always under way, so that the batch never ends: its room is given back all the same.
Test(journal_pass, a_batch_that_never_ends_does_not_grow)
{
    uint32_t count = disk->count;
    struct entry last = enqueue(JOURNAL_SOON);
    for (unsigned i = 0; i < 10000; i++) {
        struct entry next = enqueue(JOURNAL_SOON);
        done(last);
        last = next;
        sim_tick(sim, i % 10 == 0);
        cr_assert_not(is_offered());
        cr_assert_lt(journal_bytes(journal), 64u << 10);
    }
    cr_assert_geq(journal_safe(journal), journal_last(journal) - 2);
    struct entry entry = enqueue(JOURNAL_NOW);
    keep_all();
    cr_assert_eq(written(count, JOURNAL_ENQUEUE, entry), 4);
    struct record kept = sim_disk_record(disk->records[count + 1]);
    cr_assert(kept.kind == JOURNAL_ENQUEUE && kept.seq == last.seq);
    cr_assert_eq(kept.message, sim_disk_record(disk->records[count]).message);
}
