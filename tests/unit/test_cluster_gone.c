// test_cluster_gone.c - nodes that will not come again, and whose places others take.
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us

static void
set_up(void)
{
    other = sim_linked_new(&node, 1, sim_config());
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_gone, .init = set_up, .fini = tear_down);

// All places have links.
static void
fill(struct nodes *nodes)
{
    char id[NODE_ID_LEN + 1];
    (void)nodes_link(nodes, SIM_OTHER);
    for (unsigned i = 1; i < CLUSTER_NODES_MAX; i++) {
        (void)snprintf(id, sizeof id, "%032x", i);
        cr_assert_not_null(nodes_link(nodes, id));
    }
    cr_assert_null(nodes_link(nodes, "ffffffffffffffffffffffffffffffff"));
}

static bool
another_finds_a_place(struct nodes *nodes)
{
    sim_settle(sim);
    const struct link *link = nodes_link(nodes, "ffffffffffffffffffffffffffffffff");
    cr_assert(!link || strcmp(link->id, "ffffffffffffffffffffffffffffffff") == 0);
    cr_assert(!link || nodes_link(nodes, link->id) == link);
    sim_settle(sim);
    return link != NULL;
}

// With what waits for it.
static void
other_subscribes_and_goes(void)
{
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 1, "", "a/+");
    sim_word_session(&word, "roams", true);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
    cr_assert(sim_linked_wants(&node, "a/b"));
    sim_close(other, 0);
    sim_settle(sim);
}

Test(cluster_gone, the_place_of_a_node_that_is_forgotten_is_another_ones)
{
    struct nodes *nodes = nodes_of(node.cluster);
    fill(nodes);
    nodes_gone(nodes, "0000000000000000000000000000000f", LINK_FORGOTTEN);
    cr_assert(another_finds_a_place(nodes));
    cr_assert_null(nodes_link(nodes, "0000000000000000000000000000000f"));
    cr_assert_null(nodes->replaced, "it is freed");
    cr_assert_eq(atomic_load(&nodes->link_count), CLUSTER_NODES_MAX);
}

Test(cluster_gone, what_waits_for_a_node_that_is_forgotten_waits_for_its_day)
{
    struct nodes *nodes = nodes_of(node.cluster);
    fill(nodes);
    other_subscribes_and_goes();
    nodes_gone(nodes, SIM_OTHER, LINK_FORGOTTEN);
    cr_assert_not(another_finds_a_place(nodes));
    cr_assert_gt(sim_linked_figures(&node).waiting, 0);
    sim_tick(sim, NODE_EXPIRY_S * UINT64_C(1000) + 1000);
    cr_assert(another_finds_a_place(nodes));
    cr_assert_eq(sim_linked_figures(&node).waiting, 0);
}

Test(cluster_gone, nothing_waits_for_a_node_that_is_gone_for_good)
{
    struct nodes *nodes = nodes_of(node.cluster);
    char found[NODE_ID_LEN + 1];
    fill(nodes);
    other_subscribes_and_goes();
    cr_assert(node.cluster->ops->elsewhere(node.cluster, slice_str("roams"), found));
    nodes_gone(nodes, SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).waiting, 0);
    cr_assert_not(node.cluster->ops->elsewhere(node.cluster, slice_str("roams"), found));
    cr_assert_eq(stat_get(&sim->broker->shards[0]->stats.sessions), 0);
    cr_assert(another_finds_a_place(nodes));
}

Test(cluster_gone, who_is_here_is_not_gone)
{
    struct nodes *nodes = nodes_of(node.cluster);
    fill(nodes);
    nodes_gone(nodes, SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    cr_assert(other->open);
    cr_assert_not(another_finds_a_place(nodes));
    cr_assert_not_null(nodes_link(nodes, SIM_OTHER)); // it is dialled again
    cr_assert_eq(atomic_load(&nodes_link(nodes, SIM_OTHER)->gone), LINK_KEPT);
}

Test(cluster_gone, who_comes_again_before_its_place_is_taken_has_it)
{
    struct nodes *nodes = nodes_of(node.cluster);
    fill(nodes);
    struct link *link = nodes_link(nodes, SIM_OTHER);
    other_subscribes_and_goes();
    nodes_gone(nodes, SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    cr_assert(atomic_load(&link->retired));
    other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 1, "", "b");
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
    cr_assert(sim_linked_wants(&node, "b") && !sim_linked_wants(&node, "a/b"));
    cr_assert(nodes_link(nodes, SIM_OTHER) == link && !atomic_load(&link->retired));
    cr_assert_not(another_finds_a_place(nodes));
}

static bool
hears_of(struct sim_conn *out, const char *client_id)
{
    sim_feed(out, "\x20\3\0\0\0", 5);
    for (uint16_t id = 1; id <= 20; id++) { // as it takes what it is told, there is more
        sim_settle(sim);
        sim_ack(out, MQTT_PUBACK, id);
    }
    return memmem(out->to_peer.data, out->to_peer.len, client_id, strlen(client_id)) != NULL;
}

Test(cluster_gone, who_takes_the_place_of_another_is_told_as_much)
{
    struct nodes *nodes = nodes_of(node.cluster);
    fill(nodes);
    sim_connect(sim, &(struct sim_connect){.id = "claimant"});
    struct sim_conn *out = sim_node_dials(&node);
    cr_assert(hears_of(out, "claimant"));
    sim_close(out, 0);
    sim_close(other, 0);
    sim_settle(sim);
    nodes_gone(nodes, SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    cr_assert(hears_of(sim_node_dials_to(&node, "fedcba9876543210fedcba9876543210"), "claimant"));
}
