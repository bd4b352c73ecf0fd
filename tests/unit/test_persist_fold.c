// test_persist_fold.c - what is left of records in the state, case by case.
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

TestSuite(persist_fold, .init = set_up, .fini = tear_down, .timeout = 60);

static struct store_counts
counts(void)
{
    struct store_counts now;
    store_counts(rig.store, &now);
    return now;
}

Test(persist_fold, what_began_stays)
{
    RIG_KEEP(&rig, rec_session(1, "one"), rec_subscribe(1, 3, "a/+"), rec_message(7, "hello"),
             rec_enqueue(1, 1, 7), rec_packet(JOURNAL_RECEIVED, 1, 9), rec_retain(1, "r", "x"));
    expect_store(rig.store, "session 1 one expires 5000\nsub 1 3 a/+\nreceived 1 9\n"
                            "message 7 hello\nentry 1 1 7\nretain 1 r x\n");
    cr_assert_eq(counts().sessions, 1);
    cr_assert_eq(counts().entries, 1);
    cr_assert_eq(counts().retained, 1);
    cr_assert_eq(counts().next_session, 2);
    cr_assert_eq(counts().next_message, 8);
    cr_assert_eq(counts().next_order, 2);
}

Test(persist_fold, enqueue_and_done_leave_nothing)
{
    RIG_KEEP(&rig, rec_session(1, "one"), rec_message(1, "m"), rec_enqueue(1, 1, 1),
             rec_state(1, 1, ENTRY_DONE));
    expect_store(rig.store, "session 1 one expires 5000\n");
    cr_assert_eq(counts().messages, 0);
    cr_assert_eq(counts().next_message, 2, "but the number was used");
}

Test(persist_fold, done_in_a_later_window_takes_the_message_too)
{
    RIG_KEEP(&rig, rec_session(1, "one"), rec_message(1, "m"), rec_enqueue(1, 1, 1));
    RIG_KEEP(&rig, rec_state(1, 1, ENTRY_DONE));
    expect_store(rig.store, "session 1 one expires 5000\n");
    cr_assert_eq(counts().messages, 0);
}

Test(persist_fold, a_message_of_many_sessions_is_there_once_and_goes_with_the_last)
{
    RIG_KEEP(&rig, rec_session(1, "a"), rec_session(2, "b"), rec_session(3, "c"),
             rec_message(5, "m"), rec_enqueue(1, 1, 5), rec_enqueue(2, 1, 5));
    RIG_KEEP(&rig, rec_message(5, "m"), rec_enqueue(3, 8, 5)); // as another shard brings it
    cr_assert_eq(counts().messages, 1);
    RIG_KEEP(&rig, rec_state(2, 1, ENTRY_DONE));
    expect_store(rig.store, "session 1 a expires 5000\nmessage 5 m\nentry 1 1 5\n"
                            "session 2 b expires 5000\nsession 3 c expires 5000\nentry 3 8 5\n");
    RIG_KEEP(&rig, rec_state(1, 1, ENTRY_DONE));
    cr_assert_eq(counts().messages, 1);
    RIG_KEEP(&rig, rec_state(3, 8, ENTRY_DONE));
    cr_assert_eq(counts().messages, 0);
}

Test(persist_fold, a_message_that_went_comes_back_with_a_late_record)
{
    RIG_KEEP(&rig, rec_session(1, "a"), rec_session(2, "b"), rec_message(5, "m"),
             rec_enqueue(1, 1, 5));
    RIG_KEEP(&rig, rec_state(1, 1, ENTRY_DONE), rec_message(5, "m"), rec_enqueue(2, 1, 5));
    expect_store(rig.store, "session 1 a expires 5000\nsession 2 b expires 5000\nmessage 5 m\n"
                            "entry 2 1 5\n");
}

Test(persist_fold, released_keeps_the_entry_without_its_message)
{
    RIG_KEEP(&rig, rec_session(1, "a"), rec_message(1, "m"), rec_enqueue(1, 1, 1),
             rec_message(2, "n"), rec_enqueue(1, 2, 2), rec_state(1, 1, ENTRY_RELEASED));
    RIG_KEEP(&rig, rec_state(1, 2, ENTRY_RELEASED));
    expect_store(rig.store, "session 1 a expires 5000\nentry 1 1 1\nreleased 1 1\n"
                            "entry 1 2 2\nreleased 1 2\n");
    cr_assert_eq(counts().messages, 0);
    RIG_KEEP(&rig, rec_state(1, 2, ENTRY_RELEASED), rec_state(1, 1, ENTRY_DONE)); // once more
    RIG_KEEP(&rig, rec_state(1, 2, ENTRY_DONE));
    expect_store(rig.store, "session 1 a expires 5000\n");
}

Test(persist_fold, an_entry_that_is_written_twice_counts_once)
{
    RIG_KEEP(&rig, rec_session(1, "a"), rec_message(1, "m"), rec_enqueue(1, 1, 1));
    RIG_KEEP(&rig, rec_message(1, "m"), rec_enqueue(1, 1, 1));
    RIG_KEEP(&rig, rec_state(1, 1, ENTRY_DONE));
    cr_assert_eq(counts().messages, 0);
}

Test(persist_fold, session_end_takes_all_that_it_had)
{
    RIG_KEEP(&rig, rec_session(1, "a"), rec_session(2, "b"), rec_subscribe(1, 1, "x"),
             rec_packet(JOURNAL_RECEIVED, 1, 1), rec_message(1, "m"), rec_enqueue(1, 1, 1),
             rec_enqueue(2, 1, 1), rec_message(2, "n"), rec_enqueue(1, 2, 2));
    RIG_KEEP(&rig, rec_subscribe(1, 2, "y"), rec_message(3, "o"), rec_enqueue(1, 3, 3),
             rec_session_end(1), rec_session(3, "a"));
    expect_store(rig.store, "session 2 b expires 5000\nmessage 1 m\nentry 2 1 1\n"
                            "session 3 a expires 5000\n");
    cr_assert_eq(counts().messages, 1);
    cr_assert_eq(counts().subscriptions, 0);
}

Test(persist_fold, records_of_a_session_that_is_nowhere_are_left_out)
{
    RIG_KEEP(&rig, rec_message(1, "m"), rec_enqueue(9, 1, 1), rec_subscribe(9, 1, "x"),
             rec_packet(JOURNAL_RECEIVED, 9, 1));
    expect_store(rig.store, "");
    RIG_KEEP(&rig, rec_session(1, "a"), rec_enqueue(1, 1, 77)); // and of such a message
    expect_store(rig.store, "session 1 a expires 5000\n");
}

Test(persist_fold, sessions_subscriptions_and_packet_ids_are_what_was_said_last)
{
    struct record later = rec_session(1, "a");
    later.expires_ms = 6000;
    RIG_KEEP(&rig, rec_session(1, "a"), rec_subscribe(1, 1, "x"), rec_subscribe(1, 2, "y"),
             rec_packet(JOURNAL_RECEIVED, 1, 1), rec_packet(JOURNAL_RECEIVED, 1, 2));
    RIG_KEEP(&rig, later, rec_unsubscribe(1, 1), rec_subscribe(1, 2, "z"),
             rec_packet(JOURNAL_RELEASED, 1, 1), rec_packet(JOURNAL_RELEASED, 1, 2),
             rec_packet(JOURNAL_RECEIVED, 1, 2));
    expect_store(rig.store, "session 1 a expires 6000\nsub 1 2 z\nreceived 1 2\n");
}

// ---- Retained messages --------------------------------------------------------------------------

Test(persist_fold, the_higher_order_wins_whatever_comes_first)
{
    RIG_KEEP(&rig, rec_retain(5, "t", "new"), rec_retain(4, "t", "old"));
    expect_store(rig.store, "retain 5 t new\n");
    RIG_KEEP(&rig, rec_retain(3, "t", "older"));
    expect_store(rig.store, "retain 5 t new\n");
    RIG_KEEP(&rig, rec_retain(6, "t", "newer"));
    expect_store(rig.store, "retain 6 t newer\n");
}

Test(persist_fold, a_late_retain_loses_against_the_tombstone)
{
    RIG_KEEP(&rig, rec_retain(1, "t", "a"));
    RIG_KEEP(&rig, rec_clear(3, "t"));
    RIG_KEEP(&rig, rec_retain(2, "t", "late"));
    expect_store(rig.store, "");
    cr_assert_eq(counts().retained, 0);
    RIG_KEEP(&rig, rec_retain(4, "t", "again"));
    expect_store(rig.store, "retain 4 t again\n");
    cr_assert_eq(counts().retained, 1);
}

Test(persist_fold, tombstones_go_in_the_fold_after_the_next)
{
    RIG_KEEP(&rig, rec_clear(3, "t"));
    RIG_KEEP(&rig, rec_retain(10, "u", "x"));
    RIG_KEEP(&rig, rec_retain(11, "u", "y"));
    // Gone: what would have lost against it stays now, which no shard does so late.
    RIG_KEEP(&rig, rec_retain(2, "t", "x"));
    expect_store(rig.store, "retain 2 t x\nretain 11 u y\n");
}

Test(persist_fold, long_topics_keep_apart)
{
    char one[701], two[701];
    memset(one, 'x', 700);
    one[700] = '\0';
    memcpy(two, one, sizeof two);
    two[699] = 'y';
    RIG_KEEP(&rig, rec_retain(1, one, "1"), rec_retain(2, two, "2"));
    cr_assert_eq(counts().retained, 2);
    RIG_KEEP(&rig, rec_clear(3, one));
    char *got = dump_store(rig.store);
    cr_assert(strncmp(got, "retain 2 xxx", 12) == 0);
    free(got);
    rig_close(&rig);
    rig.options.verify_in_child = true;
    rig_open(&rig);
    cr_assert_eq(counts().retained, 1);
}

// ---- Settings -----------------------------------------------------------------------------------

Test(persist_fold, settings_stay_are_replaced_and_deleted)
{
    RIG_KEEP(&rig, rec_setting(1, "b", "one"), rec_setting(2, "a", "x"), rec_retain(3, "b", "r"));
    expect_store(rig.store, "setting 2 a x\nsetting 1 b one\nretain 3 b r\n");
    cr_assert_eq(counts().settings, 2);
    cr_assert_eq(counts().retained, 1);
    cr_assert_eq(counts().next_order, 4);
    RIG_KEEP(&rig, rec_setting(5, "b", "two"), rec_setting(6, "a", ""), rec_setting(7, "c", "new"),
             rec_setting(8, "c", ""), rec_clear(9, "b"));
    expect_store(rig.store, "setting 5 b two\n");
    cr_assert_eq(counts().settings, 1);
    cr_assert_eq(counts().retained, 0);
}

Test(persist_fold, of_two_settings_the_later_order_holds_whichever_comes_first)
{
    RIG_KEEP(&rig, rec_setting(5, "a", "late"), rec_setting(4, "a", "early"),
             rec_setting(7, "b", ""), rec_setting(6, "b", "early"));
    expect_store(rig.store, "setting 5 a late\n");
    RIG_KEEP(&rig, rec_setting(3, "a", "earlier"), rec_setting(2, "b", "earlier"));
    expect_store(rig.store, "setting 5 a late\n");
    rig_close(&rig);
    rig.options.verify_in_child = true; // the tombstone of "b" is in order, too
    rig_open(&rig);
    expect_store(rig.store, "setting 5 a late\n");
}

Test(persist_fold, the_longest_name_of_a_setting)
{
    char name[RECORD_SETTING_NAME_MAX + 1];
    memset(name, 'n', sizeof name - 1);
    name[sizeof name - 1] = '\0';
    RIG_KEEP(&rig, rec_setting(1, name, "x"));
    cr_assert_eq(counts().settings, 1);
    RIG_KEEP(&rig, rec_setting(2, name, ""));
    cr_assert_eq(counts().settings, 0);
}

static err_t
note_setting(void *arg, const struct record *record)
{
    char *to = (char *)arg + strlen(arg);
    (void)snprintf(to, 100, "%.*s=%.*s ", (int)record->msg.topic.len,
                   (const char *)record->msg.topic.data, (int)record->msg.payload.len,
                   (const char *)record->msg.payload.data);
    return OK;
}

Test(persist_fold, settings_are_loaded_in_the_order_of_their_names)
{
    char seen[1000] = "";
    RIG_KEEP(&rig, rec_setting(1, "m/b", "2"), rec_setting(2, "m/a", "1"),
             rec_setting(3, "m/c", "3"), rec_retain(4, "m/a", "r"), rec_setting(5, "m/b", ""));
    cr_assert_eq(store_load_settings(rig.store, "m/", note_setting, seen), OK);
    cr_assert_str_eq(seen, "m/a=1 m/c=3 ");
}

Test(persist_fold, settings_are_loaded_by_prefix)
{
    char seen[1000] = "";
    RIG_KEEP(&rig, rec_setting(1, "l/z", "1"), rec_setting(2, "m/a", "2"), rec_setting(3, "m", "3"),
             rec_setting(4, "n/a", "4"), rec_setting(5, "m/b", "5"));
    cr_assert_eq(store_load_settings(rig.store, "m/", note_setting, seen), OK);
    cr_assert_str_eq(seen, "m/a=2 m/b=5 ");
    seen[0] = '\0';
    cr_assert_eq(store_load_settings(rig.store, "o/", note_setting, seen), OK);
    cr_assert_eq(store_load_settings(rig.store, "k/", note_setting, seen), OK);
    cr_assert_str_eq(seen, "");
}

Test(persist_fold, a_store_of_version_1_is_brought_up_to_date)
{
    static const struct table_key key = {7, "version"};
    static const uint8_t one[4] = {1};
    struct state_txn txn;
    RIG_KEEP(&rig, rec_session(1, "one"), rec_retain(1, "r", "x"));
    cr_assert_eq(state_begin(&rig.store->state, true, &txn), 0);
    cr_assert_eq(table_put(txn.cursors[TABLE_META], TABLE_META, &key, slice_of(one, 4),
                           (struct slice){0}, 0),
                 0);
    cr_assert_eq(state_commit(&txn), 0);
    rig_close(&rig);
    rig_open(&rig);
    expect_store(rig.store, "session 1 one expires 5000\nretain 1 r x\n");
    RIG_KEEP(&rig, rec_setting(2, "a", "1"));
    cr_assert_eq(counts().settings, 1);
}

Test(persist_fold, settings_are_put_before_the_start_and_changed_after_it)
{
    char seen[1000] = "";
    const struct record records[] = {rec_setting(4, "m/a", "1"), rec_setting(4, "m/b", "2")};
    RIG_KEEP(&rig, rec_session(1, "one"), rec_retain(3, "r", "x"));
    cr_assert_eq(store_put_settings(rig.store, records, 2), OK);
    cr_assert_eq(counts().settings, 2);
    cr_assert_eq(counts().next_order, 5);
    RIG_KEEP(&rig, rec_setting(5, "m/b", "3"));
    rig_close(&rig);
    rig_open(&rig);
    cr_assert_eq(store_load_settings(rig.store, "m/", note_setting, seen), OK);
    cr_assert_str_eq(seen, "m/a=1 m/b=3 ");
}
