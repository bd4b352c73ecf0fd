// test_cluster_remember.c - which sessions another node keeps is known after a restart of ours.
#include "cluster/cluster.h"
#include "core/cluster.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_kept.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct sim_conn *other; // comes to us

static void
comes(void)
{
    other = sim_node_comes(&node);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_CONNACK);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    node = sim_node_make(2, sim_kept_config(), true);
    sim = node.sim;
    comes();
}

static void
tear_down(void)
{
    sim_kept_free(&node, disk);
}

TestSuite(cluster_remember, .init = set_up, .fini = tear_down);

// The value of this setting that is in the store; -1: it never had one; 0: it was deleted.
static int
stored_as(struct slice name)
{
    int value = -1;
    uint64_t order = 0;
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record record = sim_disk_record(disk->records[i]);
        if (record.kind != JOURNAL_SETTING || !slice_equal(record.msg.topic, name))
            continue;
        cr_assert_gt(record.order, order); // the later one wins
        order = record.order;
        value = record.msg.payload.len > 0;
    }
    return value;
}

static int
stored(const char *id)
{
    char name[100];
    (void)snprintf(name, sizeof name, "%s%s/%s", CLUSTER_SETTINGS, SIM_OTHER, id);
    return stored_as(slice_str(name));
}

// It was killed, and is back with what the disk had.
static void
restart(void)
{
    sim_node_free(&node);
    sim_disk_forget(disk);
    node = sim_node_make(2, sim_kept_config(), true);
    sim = node.sim;
    atomic_store(&sim->broker->next_session_number, max_u64(disk->next_session, 1));
    retained_set_next_order(sim->broker->retained, max_u64(disk->next_order, 1));
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record record = sim_disk_record(disk->records[i]);
        if (record.kind == JOURNAL_SETTING && stored_as(record.msg.topic) == 1)
            cr_assert_eq(cluster_recall(node.cluster, &record), OK);
    }
    for (uint32_t i = 0; i < disk->count; i++)
        sim_restore_session(sim, disk, i);
}

static void
tells_of(const char *id, bool there)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_session(&word, id, there);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_PUBACK);
}

static bool
is_elsewhere(const char *id)
{
    char at[NODE_ID_LEN + 1];
    bool found = node.cluster->ops->elsewhere(node.cluster, slice_str(id), at);
    cr_assert(!found || strcmp(at, SIM_OTHER) == 0);
    return found;
}

Test(cluster_remember, what_it_tells_is_stored_and_what_ends_is_deleted)
{
    tells_of("c", true);
    cr_assert_eq(stored("c"), 1);
    uint32_t count = disk->count;
    tells_of("c", true); // it came once more
    cr_assert_eq(disk->count, count);
    tells_of("c", false);
    cr_assert_eq(stored("c"), 0);
    tells_of("d", false);
    cr_assert_eq(stored("d"), -1);
}

Test(cluster_remember, what_it_told_before_a_restart_holds_until_it_tells_again)
{
    tells_of("c", true);
    tells_of("d", true);
    tells_of("e", true);
    tells_of("e", false);
    restart();
    cr_assert(is_elsewhere("c") && is_elsewhere("d") && !is_elsewhere("e"));
    sim_kept_rest(sim, disk);
    cr_assert(is_elsewhere("c") && stored("c") == 1);
    comes();
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 5, 8);
    sim_word_step(&word, ROUTE_BEGIN, 0, NULL, NULL);
    sim_word_session(&word, "d", true);
    sim_word_step(&word, ROUTE_END, 0, NULL, NULL);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_PUBACK);
    cr_assert(!is_elsewhere("c") && is_elsewhere("d"));
    cr_assert_eq(stored("c"), 0);
    cr_assert_eq(stored("d"), 1);
}

// It may have ended while we were away: whoever can tell is waited for first.
Test(cluster_remember, nothing_is_believed_before_the_others_had_time_to_tell)
{
    tells_of("c", true);
    restart();
    atomic_store(&nodes_of(node.cluster)->settling, true);
    cr_assert_not(is_elsewhere("c"));
    atomic_store(&nodes_of(node.cluster)->settling, false);
    cr_assert(is_elsewhere("c"));
}

Test(cluster_remember, its_client_is_told_to_wait_and_gets_no_new_session)
{
    tells_of("c", true);
    restart();
    struct sim_conn *client = sim_open(sim, broker_home(sim->broker, slice_str("c")));
    sim_send_connect(client, &(struct sim_connect){.id = "c", .keep = true});
    sim_kept_rest(sim, disk);
    cr_assert(client->client.suspended && client->to_peer.len == 0);
    sim_tick(sim, NODE_REACH_MS);
    sim_kept_rest(sim, disk);
    cr_assert_eq(expect_packet(client, MQTT_CONNACK).reason, 0x88);
    cr_assert(is_elsewhere("c"));
}

Test(cluster_remember, a_node_for_which_nothing_waits_any_more_is_forgotten)
{
    char id[20];
    for (unsigned i = 0; i < 1000; i++) { // more than a tick does
        (void)snprintf(id, sizeof id, "c%u", i);
        tells_of(id, true);
    }
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(172800000)); // its session here has expired
    for (unsigned i = 0; i < 3; i++) {
        sim_tick(sim, 2000);
        sim_kept_rest(sim, disk);
    }
    cr_assert_not(is_elsewhere("c0"));
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(id, sizeof id, "c%u", i);
        cr_assert_eq(stored(id), 0, "%s", id);
    }
}

Test(cluster_remember, what_is_of_a_node_without_a_session_here_goes_at_the_start)
{
    tells_of("c", true);
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(172800000)); // the end of its session is on the disk,
    sim_settle_kept(sim, disk);
    cr_assert_eq(stored("c"), 1); // and that is all
    restart();
    cr_assert_not(is_elsewhere("c"));
    sim_kept_rest(sim, disk);
    cr_assert_eq(stored("c"), 0);
    cr_assert_eq(atomic_load(&nodes_of(node.cluster)->recalled_count), 0);
}

Test(cluster_remember, identifiers_that_are_no_name_of_a_setting_are_not_stored)
{
    static char longest[RECORD_SETTING_NAME_MAX];
    memset(longest, 'c', sizeof longest - 1);
    tells_of(longest, true);
    cr_assert(is_elsewhere(longest));
    for (uint32_t i = 0; i < disk->count; i++)
        cr_assert_neq(sim_disk_record(disk->records[i]).kind, JOURNAL_SETTING);
}
