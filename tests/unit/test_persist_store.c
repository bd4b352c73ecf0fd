// test_persist_store.c - opening, recovering, refusing, moving aside; batches, pages, transfers.
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/host.h"
#include "core/msg.h"
#include "persist/store_parts.h"
#include "test_persist.h"

static struct rig rig;

static void
set_up(void)
{
    rig_init(&rig);
    rig_open(&rig);
}

static void
tear_down(void)
{
    rig_end(&rig);
}

TestSuite(persist_store, .init = set_up, .fini = tear_down, .timeout = 100);

#define EVERYTHING                                                              \
    rec_session(1, "one"), rec_subscribe(1, 3, "a/+"), rec_message(7, "hello"), \
        rec_enqueue(1, 1, 7), rec_packet(JOURNAL_RECEIVED, 1, 9), rec_retain(1, "r", "x")
#define EVERYTHING_TEXT                                       \
    "session 1 one expires 5000\nsub 1 3 a/+\nreceived 1 9\n" \
    "message 7 hello\nentry 1 1 7\nretain 1 r x\n"

static void
reopen(void)
{
    rig_close(&rig);
    rig_open(&rig);
}

// ---- Opening ------------------------------------------------------------------------------------

Test(persist_store, a_new_one_is_empty_and_private)
{
    struct store_counts counts;
    struct stat st;
    store_counts(rig.store, &counts);
    cr_assert_eq(counts.sessions + counts.retained + counts.messages, 0);
    cr_assert_eq(counts.next_session, 1);
    cr_assert_eq(stat(rig.store->path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0700);
    reopen();
    expect_store(rig.store, "");
}

Test(persist_store, survives_reopening_with_and_without_the_check)
{
    RIG_KEEP(&rig, EVERYTHING);
    reopen();
    expect_store(rig.store, EVERYTHING_TEXT);
    rig.options.verify_in_child = true;
    reopen();
    expect_store(rig.store, EVERYTHING_TEXT);
    cr_assert_eq(rig.store->counts.next_message, 8);
}

Test(persist_store, two_processes_do_not_share_one)
{
    struct store *other;
    char problem[STORE_PROBLEM_MAX];
    cr_assert_eq(store_open(&rig.options, &other, problem), ERR_CONFIG);
    char pid[32];
    (void)snprintf(pid, sizeof pid, "process %ld", (long)getpid());
    cr_assert_not_null(strstr(problem, pid), "%s", problem);
}

Test(persist_store, what_is_no_store_is_refused)
{
    struct store_options options = rig.options;
    struct store *other;
    char problem[STORE_PROBLEM_MAX], path[128];
    (void)snprintf(path, sizeof path, "%s/file", rig.folder);
    cr_assert_eq(close(creat(path, 0600)), 0);
    options.name = "file";
    cr_assert_eq(store_open(&options, &other, problem), ERR_CONFIG);
    cr_assert_not_null(strstr(problem, "not a store"), "%s", problem);
    options.folder = path;
    options.name = "x";
    cr_assert_eq(store_open(&options, &other, problem), ERR_CONFIG);
    cr_assert_not_null(strstr(problem, "Not a directory"), "%s", problem);
}

static const struct table_key version_key = {7, "version"};

static void
set_version(uint8_t number)
{
    struct state_txn txn;
    cr_assert_eq(state_begin(&rig.store->state, true, &txn), 0);
    uint8_t version[4] = {number};
    cr_assert_eq(table_put(txn.cursors[TABLE_META], TABLE_META, &version_key, slice_of(version, 4),
                           (struct slice){0}, 0),
                 0);
    cr_assert_eq(state_commit(&txn), 0);
}

Test(persist_store, one_of_version_1_is_of_the_present_one_from_now_on)
{
    struct state_txn txn;
    struct slice version;
    RIG_KEEP(&rig, EVERYTHING);
    set_version(1);
    rig.options.verify_in_child = true;
    reopen();
    expect_store(rig.store, EVERYTHING_TEXT);
    cr_assert_eq(state_begin(&rig.store->state, false, &txn), 0);
    cr_assert_eq(table_get(txn.cursors[TABLE_META], TABLE_META, &version_key, &version), 0);
    cr_assert_eq(version.data[0], STATE_VERSION);
    state_abort(&txn);
}

Test(persist_store, another_version_is_refused_by_its_number)
{
    set_version(9);
    for (int verify = 0; verify < 2; verify++) {
        rig_close(&rig);
        rig.options.verify_in_child = verify;
        rig.options.quarantine = true; // does not concern it
        cr_assert_eq(rig_try_open(&rig), ERR_CONFIG);
        cr_assert_not_null(strstr(rig.problem, "version 9"), "%s", rig.problem);
    }
}

// ---- Recovery -----------------------------------------------------------------------------------

// What the log thread would have written, had the process ended right after it.
static void
write_log(const struct record *records, size_t count)
{
    struct blob_list list = {0};
    uint8_t bytes[4096], *end = bytes;
    for (size_t i = 0; i < count; i++) {
        cr_assert_lt(end - bytes + record_size(&records[i]), sizeof bytes);
        end = record_write(end, &records[i]);
    }
    blob_list_add(&list, slice_of(bytes, (size_t)(end - bytes)));
    cr_assert_eq(wal_commit(&rig.store->wal, &list, 0), 0);
    blob_list_free(&list);
}
#define WRITE_LOG(...) \
    write_log((struct record[]){__VA_ARGS__}, ARRAY_LEN(((struct record[]){__VA_ARGS__})))

Test(persist_store, what_is_in_the_log_alone_is_recovered)
{
    WRITE_LOG(rec_session(1, "one"), rec_message(1, "m"), rec_enqueue(1, 1, 1));
    WRITE_LOG(rec_state(1, 1, ENTRY_DONE), rec_message(2, "n"), rec_enqueue(1, 2, 2));
    reopen();
    expect_store(rig.store, "session 1 one expires 5000\nmessage 2 n\nentry 1 2 2\n");
    cr_assert_eq(rig.store->counts.next_message, 3);
    cr_assert_eq(rig.store->wal.first, rig.store->wal.next, "trimmed");
}

Test(persist_store, a_state_ahead_of_the_trimming_is_no_harm)
{
    WRITE_LOG(rec_session(1, "one"), rec_message(1, "m"), rec_enqueue(1, 1, 1));
    WRITE_LOG(rec_message(2, "n"), rec_enqueue(1, 2, 2));
    struct window *window = window_new(rig.store->state.meta.seed);
    cr_assert_eq(store_fold(rig.store, window, 1, 0), 0); // half of it, and nothing is trimmed
    window_free(window);
    reopen();
    expect_store(rig.store, "session 1 one expires 5000\nmessage 1 m\nentry 1 1 1\n"
                            "message 2 n\nentry 1 2 2\n");
    WRITE_LOG(rec_state(1, 1, ENTRY_DONE));
    reopen();
    expect_store(rig.store, "session 1 one expires 5000\nmessage 2 n\nentry 1 2 2\n");
}

Test(persist_store, a_gap_in_the_log_is_damage)
{
    struct blob_list list = {0};
    uint8_t bytes[64];
    struct record record = rec_session(1, "a");
    blob_list_add(&list, slice_of(bytes, (size_t)(record_write(bytes, &record) - bytes)));
    rig.store->wal.next += 1; // one is missing
    cr_assert_eq(wal_commit(&rig.store->wal, &list, 0), 0);
    blob_list_free(&list);
    for (int verify = 0; verify < 2; verify++) {
        rig_close(&rig);
        rig.options.verify_in_child = verify;
        cr_assert_eq(rig_try_open(&rig), ERR_IO);
        cr_assert_not_null(strstr(rig.problem, "missing"), "%s", rig.problem);
    }
}

// ---- Damage -------------------------------------------------------------------------------------

// Flips a bit of the bytes behind the given ones, in every place of the file where they stand.
static void
flip_behind(const char *part, const char *bytes, size_t len, size_t behind)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/test.db/%s/data.mdb", rig.folder, part);
    int fd = open(path, O_RDWR);
    cr_assert_geq(fd, 0);
    static uint8_t file[1 << 20];
    ssize_t size = pread(fd, file, sizeof file, 0);
    cr_assert_gt(size, 0);
    unsigned found = 0;
    for (uint8_t *at = file; (at = memmem(at, (size_t)(file + size - at), bytes, len)); at += len) {
        at[len + behind] ^= 1;
        found++;
    }
    cr_assert_gt(found, 0);
    cr_assert_eq(pwrite(fd, file, (size_t)size, 0), size);
    cr_assert_eq(close(fd), 0);
}

Test(persist_store, a_flipped_bit_in_the_state_is_found)
{
    RIG_KEEP(&rig, EVERYTHING, rec_message(8, "needle-in-the-state"), rec_enqueue(1, 2, 8));
    rig_close(&rig);
    flip_behind("state", "needle-in", 9, 2);
    rig.options.verify_in_child = true;
    cr_assert_eq(rig_try_open(&rig), ERR_IO);
    cr_assert_not_null(strstr(rig.problem, "table messages: a checksum"), "%s", rig.problem);
}

Test(persist_store, a_flipped_bit_in_the_log_is_found_by_the_check_and_by_recovery)
{
    WRITE_LOG(rec_session(1, "needle-in-the-log"));
    rig_close(&rig);
    flip_behind("log", "needle-in", 9, 2);
    rig.options.verify_in_child = true;
    cr_assert_eq(rig_try_open(&rig), ERR_IO);
    cr_assert_not_null(strstr(rig.problem, "log: a checksum"), "%s", rig.problem);
    rig.options.verify_in_child = false;
    cr_assert_eq(rig_try_open(&rig), ERR_IO);
    cr_assert_not_null(strstr(rig.problem, "damaged"), "%s", rig.problem);
}

static void
cut(const char *part, off_t size)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/test.db/%s/data.mdb", rig.folder, part);
    cr_assert_eq(truncate(path, size), 0);
}

Test(persist_store, a_file_that_was_cut_is_refused)
{
    RIG_KEEP(&rig, EVERYTHING);
    rig_close(&rig);
    cut("state", 5 * 4096);
    for (int verify = 0; verify < 2; verify++) {
        rig.options.verify_in_child = verify;
        cr_assert_eq(rig_try_open(&rig), ERR_IO);
        cr_assert_not_null(strstr(rig.problem, "damaged"), "%s", rig.problem);
    }
    cut("state", 0);
    cr_assert_eq(rig_try_open(&rig), ERR_IO);
    cr_assert_not_null(strstr(rig.problem, "damaged"), "%s", rig.problem);
}

Test(persist_store, a_missing_file_is_damage)
{
    char path[256];
    rig_close(&rig);
    (void)snprintf(path, sizeof path, "%s/test.db/log/data.mdb", rig.folder);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(rig_try_open(&rig), ERR_IO);
    cr_assert_not_null(strstr(rig.problem, "missing"), "%s", rig.problem);
}

Test(persist_store, quarantine_moves_it_aside_and_starts_empty)
{
    RIG_KEEP(&rig, EVERYTHING);
    rig_close(&rig);
    cut("state", 5 * 4096);
    rig.options.verify_in_child = rig.options.quarantine = true;
    rig_open(&rig);
    cr_assert(rig.store->counts.quarantined);
    expect_store(rig.store, "");
    char command[256];
    (void)snprintf(command, sizeof command, "test -d %s/test.db.damaged-*/log", rig.folder);
    cr_assert_eq(system(command), 0);
    reopen();
    cr_assert_not(rig.store->counts.quarantined);
}

// ---- Batches ------------------------------------------------------------------------------------

Test(persist_store, void_records_are_left_out_and_their_positions_are_safe)
{
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    rig_commit(&rig);
    uint64_t records = rig.keeper->records, commits = rig.keeper->commits;
    rig_put(&rig, 0, rec_session(2, "b"));
    rig.batches[0]->bytes[0] = JOURNAL_VOID;
    rig_commit(&rig);
    cr_assert_eq(rig.keeper->commits, commits, "nothing to write");
    rig_put(&rig, 0, rec_session(3, "c"));
    uint32_t second = rig.batches[0]->len;
    rig_put(&rig, 0, rec_session(4, "d"));
    rig_put(&rig, 0, rec_session(5, "e"));
    rig.batches[0]->bytes[second] = JOURNAL_VOID;
    rig_put(&rig, 1, rec_session(6, "f"));
    rig_commit(&rig);
    cr_assert_eq(rig.keeper->records, records + 3);
    rig_stop(&rig);
    expect_store(rig.store, "session 1 a expires 5000\nsession 3 c expires 5000\n"
                            "session 5 e expires 5000\nsession 6 f expires 5000\n");
}

Test(persist_store, large_batches_and_large_records_are_split_in_order)
{
    enum { COUNT = 9000 };
    char *large = malloc(700001);
    memset(large, 'L', 700000);
    large[700000] = '\0';
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    for (uint64_t i = 1; i <= COUNT; i++) {
        if (i == 4000)
            rig_put(&rig, 0, rec_message(i, large));
        else
            rig_put(&rig, 0, rec_message(i, "small"));
        rig_put(&rig, 0, rec_enqueue(1, i, i));
        if (i % 2 == 0 && i != 4000)
            rig_put(&rig, 0, rec_state(1, i, ENTRY_DONE));
    }
    cr_assert_gt(rig.batches[0]->len, 1 << 20);
    rig_commit(&rig);
    rig_close(&rig);
    rig.options.verify_in_child = true;
    rig_open(&rig);
    struct store_counts counts;
    store_counts(rig.store, &counts);
    cr_assert_eq(counts.entries, COUNT / 2 + 1);
    cr_assert_eq(counts.messages, COUNT / 2 + 1);
    free(large);
}

Test(persist_store, batches_come_back_to_be_used_again)
{
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    struct journal_batch *batch = rig.batches[0];
    rig_commit(&rig);
    struct journal_batch *spare = atomic_exchange(&rig.keeper->shards[0].spare, NULL);
    cr_assert_eq(spare, batch);
    cr_assert_eq(spare->len, 0);
    journal_batch_free(spare);
}

Test(persist_store, what_was_offered_before_the_stop_is_kept)
{
    rig_start(&rig);
    rig_put(&rig, 1, rec_session(1, "a"));
    rig_offer(&rig, 1);
    rig_stop(&rig);
    expect_store(rig.store, "session 1 a expires 5000\n");
}

Test(persist_store, asynchronous_commits_are_called_safe_before)
{
    rig_close(&rig);
    rig.options.sync_ms = 3000;
    rig_open(&rig);
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    uint64_t begin = clock_mono_ms();
    rig_commit(&rig);
    cr_assert_lt(clock_mono_ms() - begin, 2000);
    cr_assert_eq(rig.keeper->commits, 0);
    rig_stop(&rig);
    expect_store(rig.store, "session 1 a expires 5000\n");
}

Test(persist_store, a_disk_that_fails_delays_and_loses_nothing)
{
    struct rlimit old, none = {4096, RLIM_INFINITY};
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    rig_commit(&rig);
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &old), 0);
    none.rlim_max = old.rlim_max;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &none), 0);
    rig_put(&rig, 0, rec_session(2, "b"));
    rig_offer(&rig, 0);
    for (unsigned n = 0; !rig.keeper->failing && n < 10000; n++)
        (void)poll(NULL, 0, 1);
    cr_assert(rig.keeper->failing);
    cr_assert_not(rig_is_safe(&rig, 0));
    rig_put(&rig, 1, rec_session(3, "c"));
    rig_offer(&rig, 1);
    (void)poll(NULL, 0, 400);
    cr_assert_not(rig_is_safe(&rig, 0) || rig_is_safe(&rig, 1));
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &old), 0);
    rig_commit(&rig);
    cr_assert_not(rig.keeper->failing);
    rig_close(&rig);
    rig.options.verify_in_child = true;
    rig_open(&rig);
    expect_store(rig.store, "session 1 a expires 5000\nsession 2 b expires 5000\n"
                            "session 3 c expires 5000\n");
}

Test(persist_store, a_full_map_waits_for_the_state_and_goes_on)
{
    char *large = malloc(200001);
    memset(large, 'L', 200000);
    large[200000] = '\0';
    cr_assert_eq(mdb_env_set_mapsize(rig.store->wal.env.mdb, 2 << 20), 0);
    rig.store->wal.env.map_bytes = 2 << 20;
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    for (uint64_t i = 1; i <= 60; i++) {
        rig_put(&rig, 0, rec_message(i, large));
        rig_put(&rig, 0, rec_enqueue(1, i, i));
        rig_commit(&rig);
    }
    cr_assert_gt(rig.keeper->failures, 0, "else this shows nothing");
    cr_assert_not(rig.keeper->failing);
    rig_close(&rig);
    rig.options.verify_in_child = true;
    rig_open(&rig);
    cr_assert_eq(rig.store->counts.entries, 60);
    free(large);
}

// ---- Pages --------------------------------------------------------------------------------------

static void
ask(unsigned shard, struct page_request request)
{
    void *room = spsc_reserve(rig.keeper->shards[shard].requests, 0, sizeof request);
    cr_assert_not_null(room);
    memcpy(room, &request, sizeof request);
    if (spsc_publish(rig.keeper->shards[shard].requests))
        keeper_wake(&rig.keeper->state_thread);
}

static struct page *
take_page(unsigned shard)
{
    struct spsc_record record;
    for (unsigned n = 0; !spsc_take(rig.keeper->shards[shard].pages, &record); n++) {
        cr_assert_lt(n, 20000, "no page after 20 s");
        (void)poll(NULL, 0, 1);
    }
    struct page *page;
    cr_assert_eq(record.len, sizeof page);
    memcpy(&page, record.data, sizeof page);
    spsc_release(rig.keeper->shards[shard].pages);
    return page;
}

static void
put_queue(void)
{
    struct record enqueue = rec_enqueue(1, 4, 2), message = rec_message(3, "late");
    uint8_t ids[8] = {7, 0, 0, 0, 9};
    enqueue.ids = slice_of(ids, 8);
    message.msg.expires_ms = 1; // in 1970
    rig_put(&rig, 1, rec_session(1, "a"));
    rig_put(&rig, 1, rec_message(1, "one"));
    rig_put(&rig, 1, rec_enqueue(1, 1, 1));
    rig_put(&rig, 1, rec_message(2, "two"));
    rig_put(&rig, 1, rec_enqueue(1, 3, 2));
    rig_put(&rig, 1, enqueue);
    rig_put(&rig, 1, message);
    rig_put(&rig, 1, rec_enqueue(1, 6, 3));
    rig_put(&rig, 1, rec_message(4, "gone"));
    rig_put(&rig, 1, rec_enqueue(1, 7, 4));
    rig_put(&rig, 1, rec_state(1, 7, ENTRY_RELEASED));
}

Test(persist_store, pages_hold_what_was_journaled_up_to_the_position)
{
    rig_start(&rig);
    put_queue();
    ask(1, (struct page_request){1, 1, rig.last[1], 55, 100, 1000}); // before it is committed
    rig_commit(&rig);
    struct page *page = take_page(1);
    cr_assert_eq(page->session, 1);
    cr_assert_eq(page->token, 55);
    cr_assert_eq(page->from, 1);
    cr_assert_eq(page->next, 8);
    cr_assert(page->end);
    cr_assert_eq(page->count, 5);
    const struct page_entry *e = page->entries;
    cr_assert_eq(e[0].seq, 1);
    cr_assert(slice_equal(msg_payload(e[0].msg), text("one")));
    cr_assert_eq(e[0].msg->expires_ms, 0);
    cr_assert_eq(e[0].msg->arrived_ms, 1, "before this process");
    cr_assert_eq(e[1].msg, e[2].msg, "one message for both");
    cr_assert_eq(e[1].msg->refs, 2);
    cr_assert_eq(e[1].msg->number, 2);
    cr_assert_eq(e[2].id_count, 2);
    cr_assert_eq(e[2].ids[0], 7);
    cr_assert_eq(e[2].ids[1], 9);
    cr_assert_eq(e[3].msg->expires_ms, 1, "past, but not never");
    cr_assert(e[4].released);
    cr_assert_null(e[4].msg);
    page_free(page);
}

Test(persist_store, pages_respect_their_limits_and_go_on)
{
    rig_start(&rig);
    put_queue();
    rig_commit(&rig);
    ask(0, (struct page_request){1, 2, 0, 1, 2, 1000});
    struct page *page = take_page(0);
    cr_assert_eq(page->count, 2);
    cr_assert_eq(page->from, 2);
    cr_assert_eq(page->next, 5);
    cr_assert_not(page->end);
    page_free(page);
    ask(0, (struct page_request){1, 5, 0, 2, 10, 1}); // a byte: one entry all the same
    page = take_page(0);
    cr_assert_eq(page->count, 1);
    cr_assert_eq(page->next, 7);
    cr_assert_not(page->end);
    page_free(page);
    ask(0, (struct page_request){1, 8, 0, 3, 10, 10});
    page = take_page(0);
    cr_assert_eq(page->count, 0);
    cr_assert_eq(page->next, 8);
    cr_assert(page->end);
    page_free(page);
    ask(0, (struct page_request){77, 1, 0, 4, 10, 10}); // no such session
    page = take_page(0);
    cr_assert(page->end);
    page_free(page);
}

Test(persist_store, asynchronous_pages_do_not_wait_for_the_interval)
{
    rig_close(&rig);
    rig.options.sync_ms = 20000;
    rig_open(&rig);
    rig_start(&rig);
    put_queue();
    rig_commit(&rig);
    ask(1, (struct page_request){1, 1, rig.last[1], 1, 100, 1000});
    struct page *page = take_page(1);
    cr_assert_eq(page->count, 5);
    page_free(page);
}

Test(persist_store, more_pages_than_the_ring_holds_all_come)
{
    enum { PAGES = 2500 };
    rig_start(&rig);
    put_queue();
    rig_commit(&rig);
    for (unsigned n = 0; n < PAGES; n++) {
        struct page_request request = {1, 1, 0, n, 1, 1};
        void *room;
        while (!(room = spsc_reserve(rig.keeper->shards[0].requests, 0, sizeof request)))
            (void)poll(NULL, 0, 1);
        memcpy(room, &request, sizeof request);
        if (spsc_publish(rig.keeper->shards[0].requests))
            keeper_wake(&rig.keeper->state_thread);
    }
    for (unsigned n = 0; n < PAGES; n++) {
        struct page *page = take_page(0);
        cr_assert_eq(page->token, n);
        page_free(page);
    }
}

Test(persist_store, the_memory_of_a_large_fold_is_given_back)
{
    enum { MESSAGES = 500 };
    char payload[16384];
    int mark;
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    rig_start(&rig);
    // Only the environment that is open now has it.
    cr_assert_eq(mdb_env_set_userctx(rig.store->state.env.mdb, &mark), 0);
    rig_put(&rig, 1, rec_session(1, "a"));
    for (unsigned n = 1; n <= MESSAGES; n++) {
        rig_put(&rig, 1, rec_message(n, payload));
        rig_put(&rig, 1, rec_enqueue(1, n, n));
    }
    rig_commit(&rig);
    struct page_request request = {1, 1, rig.last[1], 1, 1, 1};
    ask(1, request); // folds all
    page_free(take_page(1));
    (void)poll(NULL, 0, 8000); // five seconds without a fold, and a look each second
    ask(1, request);
    struct page *page = take_page(1);
    cr_assert_eq(page->count, 1);
    cr_assert(slice_equal(msg_payload(page->entries[0].msg), text(payload)));
    page_free(page);
    rig_stop(&rig);
    cr_assert_not_null(rig.store->state.env.mdb);
    cr_assert_null(mdb_env_get_userctx(rig.store->state.env.mdb));
    rig_start(&rig); // as the other tests leave it
}

// With a small window a fold that changes too many pages is given up, and goes on in smaller parts.
Test(persist_store, a_small_window_leaves_what_a_large_one_leaves)
{
    enum { MESSAGES = 3000 };
    char payload[1000];
    struct store_counts counts;
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    rig_close(&rig);
    rig.options.window_bytes = HOST_WINDOW_MIN;
    rig_open(&rig);
    cr_assert_eq(rig.store->things, rig.store->sizes.things);
    rig_start(&rig);
    rig_put(&rig, 0, rec_session(1, "a"));
    for (unsigned n = 1; n <= MESSAGES; n++) {
        rig_put(&rig, 0, rec_message(n, payload));
        rig_put(&rig, 0, rec_enqueue(1, n, n));
        if (n % 200 == 0) { // folded before more comes: how many commits a fold takes is chance
            rig_commit(&rig);
            rig_stop(&rig);
            rig_start(&rig);
        }
    }
    rig_stop(&rig);
    store_counts(rig.store, &counts);
    cr_assert_eq(counts.entries, MESSAGES);
    cr_assert_eq(counts.messages, MESSAGES);
    cr_assert_eq(rig.store->things, rig.store->sizes.things, "pages in a row are few");
    rig_start(&rig);
    for (unsigned n = 0; n < MESSAGES; n++) { // all but each tenth, far from the one before
        unsigned seq = n * 1009 % MESSAGES + 1;
        if (seq % 10 != 0)
            rig_put(&rig, 0, rec_state(1, seq, ENTRY_DONE));
        if (n % 500 == 499)
            rig_commit(&rig);
    }
    rig_stop(&rig);
    cr_assert_lt(rig.store->things, rig.store->sizes.things);
    store_counts(rig.store, &counts);
    cr_assert_eq(counts.entries, MESSAGES / 10);
    cr_assert_eq(counts.messages, MESSAGES / 10);
    rig.options.verify_in_child = true;
    reopen();
    store_counts(rig.store, &counts);
    cr_assert_eq(counts.messages, MESSAGES / 10);
}

// ---- Whole stores -------------------------------------------------------------------------------

static err_t
import_one(void *arg, const struct record *record)
{
    return store_import_put(arg, record);
}

Test(persist_store, an_import_of_an_export_is_equal)
{
    struct rig other;
    rig_init(&other);
    rig_open(&other);
    RIG_KEEP(&rig, EVERYTHING, rec_session(2, "two"), rec_enqueue(2, 1, 7), rec_message(8, "x"),
             rec_enqueue(1, 2, 8), rec_state(1, 2, ENTRY_RELEASED), rec_clear(2, "gone"));
    cr_assert_eq(store_import_begin(other.store), OK);
    cr_assert_eq(store_export(rig.store, import_one, other.store), OK);
    cr_assert_eq(store_import_end(other.store), OK);
    char *expected = dump_store(rig.store);
    expect_store(other.store, expected);
    cr_assert_eq(store_import_begin(other.store), ERR_FULL);
    rig_close(&other);
    other.options.verify_in_child = true;
    rig_open(&other);
    expect_store(other.store, expected);
    RIG_KEEP(&other, rec_state(1, 1, ENTRY_DONE), rec_state(2, 1, ENTRY_DONE));
    cr_assert_eq(other.store->counts.messages, 0);
    free(expected);
    rig_end(&other);
}

Test(persist_store, an_import_that_does_not_end_leaves_nothing)
{
    struct record session = rec_session(1, "a"), orphan = rec_subscribe(2, 1, "x");
    cr_assert_eq(store_import_begin(rig.store), OK);
    cr_assert_eq(store_import_put(rig.store, &session), OK);
    reopen();
    expect_store(rig.store, "");
    cr_assert_eq(store_import_begin(rig.store), OK);
    cr_assert_eq(store_import_put(rig.store, &session), OK);
    cr_assert_eq(store_import_put(rig.store, &orphan), OK);
    cr_assert_eq(store_import_end(rig.store), ERR_MALFORMED);
    expect_store(rig.store, "");
}

Test(persist_store, a_backup_is_a_store)
{
    char folder[128];
    struct store_options options = {.folder = rig.folder, .name = "copy", .verify_in_child = true};
    struct store *copy;
    (void)snprintf(folder, sizeof folder, "%s/copy", rig.folder);
    rig_start(&rig);
    for (size_t i = 0; i < ARRAY_LEN(((struct record[]){EVERYTHING})); i++)
        rig_put(&rig, 0, ((struct record[]){EVERYTHING})[i]);
    rig_commit(&rig);
    store_backup(rig.store, folder);
    for (unsigned n = 0; access(folder, F_OK) != 0; n++) {
        cr_assert_lt(n, 20000);
        (void)poll(NULL, 0, 1);
    }
    rig_put(&rig, 0, rec_session(2, "later"));
    rig_commit(&rig);
    cr_assert_eq(store_open(&options, &copy, rig.problem), OK, "%s", rig.problem);
    expect_store(copy, EVERYTHING_TEXT);
    store_close(copy);
}

static struct store_copy
copy_to(const char *folder, bool replace)
{
    struct store_copy copy = {
        .folder = folder, .replace = replace, .done_fd = eventfd(0, EFD_CLOEXEC)};
    store_copy_to(rig.store, &copy);
    eventfd_t count;
    cr_assert_eq(eventfd_read(copy.done_fd, &count), 0); // waits
    cr_assert(atomic_load(&copy.done));
    (void)close(copy.done_fd);
    return copy;
}

static void
expect_mode(const char *folder, const char *part, mode_t mode)
{
    char path[256];
    struct stat st;
    (void)snprintf(path, sizeof path, "%s%s", folder, part);
    cr_assert_eq(stat(path, &st), 0, "%s", path);
    cr_assert_eq(st.st_mode & 07777, mode, "%s has mode %o", path, st.st_mode & 07777);
}

Test(persist_store, a_copy_gives_way_only_when_it_may)
{
    char folder[128], other[128], ours[128];
    struct store_options options = {.folder = rig.folder, .name = "copy", .verify_in_child = true};
    struct store *copy;
    (void)snprintf(folder, sizeof folder, "%s/copy", rig.folder);
    (void)snprintf(other, sizeof other, "%s/other", rig.folder);
    (void)snprintf(ours, sizeof ours, "%s", rig.store->path);
    mode_t before = umask(0);
    rig_start(&rig);
    cr_assert_str_eq(copy_to(folder, false).problem, "");
    expect_mode(folder, "", 0700);
    expect_mode(folder, "/state/data.mdb", 0600);
    expect_mode(folder, "/log/data.mdb", 0600);
    (void)umask(before);
    cr_assert_str_eq(copy_to(folder, false).problem, "something is there already");
    cr_assert_str_eq(copy_to(ours, true).problem, "a broker has that store open");
    cr_assert_eq(mkdir(other, 0700), 0);
    cr_assert_str_eq(copy_to(other, false).problem, "something is there already");
    cr_assert_str_eq(copy_to(other, true).problem, "", "an empty folder");
    for (size_t i = 0; i < ARRAY_LEN(((struct record[]){EVERYTHING})); i++)
        rig_put(&rig, 0, ((struct record[]){EVERYTHING})[i]);
    rig_commit(&rig);
    cr_assert_eq(store_open(&options, &copy, rig.problem), OK, "%s", rig.problem);
    cr_assert_str_eq(copy_to(folder, true).problem, "a broker has that store open");
    expect_store(copy, "");
    store_close(copy);
    cr_assert_str_eq(copy_to(folder, true).problem, "");
    cr_assert_eq(store_open(&options, &copy, rig.problem), OK, "%s", rig.problem);
    expect_store(copy, EVERYTHING_TEXT);
    store_close(copy);
    (void)snprintf(other, sizeof other, "%s/file", rig.folder);
    int fd = open(other, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    cr_assert_str_eq(copy_to(other, true).problem, "something is there already");
}
