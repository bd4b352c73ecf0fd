// test_cluster_sync.c - ready for clients: when a node has caught up with the others.
#include "tests/sim/expect.h"
#include "tests/sim/sim_node.h"

#define RETAINED_ALL  1
#define RETAINED_ANEW 2

static struct sim_node node;
static struct nodes *nodes;
static struct sim *sim;
static struct sim_conn *other, *out; // it comes to us; we have dialled it

static void
set_up(void)
{
    struct config *config = sim_config();
    config->session_expiry_max_s = 86400;
    node = sim_node_new(1, config);
    nodes = nodes_of(node.cluster);
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_close_all(sim);
    sim_tick(sim, UINT64_C(172800000));
    sim_settle(sim);
    sim_must_be_empty(sim);
    sim_node_free(&node);
}

TestSuite(cluster_sync, .init = set_up, .fini = tear_down);

static void
is_linked(void)
{
    other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
    out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(sim);
}

static void
says(const char *topic, const struct sim_word *word)
{
    sim_node_says(other, topic, word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static void
tells_its_routes(void)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_step(&word, ROUTE_BEGIN, 0, "", NULL);
    sim_word_step(&word, ROUTE_ENTRY, 1, "", "theirs");
    sim_word_step(&word, ROUTE_END, 0, "", NULL);
    says(TOPIC_ROUTES, &word);
}

static void
tells_that_this_was_all(uint8_t flags)
{
    struct sim_word word = {0};
    sim_word_retained(&word, &(struct sim_retained){.flags = flags, .topic = "", .payload = ""});
    says(TOPIC_RETAINED, &word);
}

// All that it was told.
static void
takes_all(void)
{
    const struct deliveries *queue = &out->client.session->out;
    while (queue->inflight > 0) {
        for (uint64_t seq = queue->head, end = queue->sent; seq != end; seq++)
            sim_ack(out, MQTT_PUBACK, deliveries_packet_id(seq));
        sim_settle(sim);
    }
}

static bool
is_synced(uint64_t age_ms)
{
    sync_note(nodes, true, age_ms);
    return node.cluster->ops->synced(node.cluster);
}

Test(cluster_sync, alone_it_is_ready_once_it_knows_that_it_is)
{
    atomic_store(&nodes->settling, true);
    cr_assert_not(is_synced(1000));
    atomic_store(&nodes->settling, false);
    sync_note(nodes, false, 1000); // one is there that has no link yet
    cr_assert_not(node.cluster->ops->synced(node.cluster));
    cr_assert(is_synced(1000));
}

Test(cluster_sync, routes_and_what_is_retained_both_ways)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "ours", 0);
    is_linked();
    cr_assert_not(is_synced(1000));
    tells_that_this_was_all(RETAINED_ANEW);
    tells_its_routes();
    cr_assert_not(is_synced(1000), "it has not told what it retains");
    tells_that_this_was_all(RETAINED_ALL);
    cr_assert_not(is_synced(1000), "it has taken nothing yet");
    takes_all();
    cr_assert(is_synced(1000));
    sim_close(out, 0);
    sim_close(other, 0);
    cr_assert(is_synced(2000), "a split that comes later changes nothing");
}

Test(cluster_sync, what_it_takes_counts_as_well_as_what_it_tells)
{
    is_linked();
    takes_all();
    cr_assert_not(is_synced(1000), "it has told nothing yet");
    tells_that_this_was_all(RETAINED_ALL);
    cr_assert_not(is_synced(1000), "nor its routes");
    tells_its_routes();
    cr_assert(is_synced(1000));
}

Test(cluster_sync, who_does_not_come_is_waited_for_a_minute)
{
    (void)nodes_link(nodes, SIM_OTHER); // of an earlier life, say
    cr_assert_not(is_synced(SYNC_MAX_MS - 1));
    cr_assert(is_synced(SYNC_MAX_MS));
}

Test(cluster_sync, the_dead_and_who_has_left_are_not_waited_for)
{
    struct link *link = nodes_link(nodes, SIM_OTHER);
    cr_assert_not(is_synced(1000));
    atomic_store(&link->dead_ms, 1);
    cr_assert(is_synced(1000));
    atomic_store(&nodes->synced, false);
    atomic_store(&link->dead_ms, 0);
    cr_assert_not(is_synced(1000));
    atomic_store(&link->left, true);
    cr_assert(is_synced(1000));
    atomic_store(&link->left, false);
}
