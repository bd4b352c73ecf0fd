// test_cluster_wills_taken.c - Wills of clients that come here from another node, dead or alive.
#include "tests/unit/test_cluster_wills.h"

TestSuite(cluster_wills_taken, .init = set_up, .fini = tear_down);

// ---- Who comes ----------------------------------------------------------------------------------

Test(cluster_wills_taken, who_comes_here_while_its_node_is_dead_leaves_its_will_first)
{
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w", .delay_s = 600});
    passes(200, GOSSIP_DEAD);
    (void)sim_connect(sim, &(struct sim_connect){.id = "c"});
    expect_publish(watch, 0, "gone");
    passes(AFTER_MS + 700000, GOSSIP_DEAD);
    expect_nothing(watch);
}

Test(cluster_wills_taken, who_comes_here_while_its_node_lives_leaves_its_will_there)
{
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    is_let_in_at_last(comes_here());
    cr_assert_eq(held(), 1);
    passes(AFTER_MS + 200, GOSSIP_DEAD);
    expect_nothing(watch); // what it says now is newer
    cr_assert_eq(held(), 0);
}

// As on one node: CONNACK comes after the Will that the CONNECT brings about.
Test(cluster_wills_taken, who_comes_here_while_its_node_lives_waits_until_that_has_published_it)
{
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    struct sim_conn *conn = comes_here();
    sim_tick(sim, 900);
    sim_settle(sim);
    expect_nothing(conn);
    struct sim_word word = head(1);
    put_gone(&word, 1, "c");
    says(TOPIC_WILLS, &word);
    expect_packet(conn, MQTT_CONNACK);
    expect_nothing(watch); // it was published there
}

Test(cluster_wills_taken, also_when_it_is_told_again_meanwhile)
{
    struct told_will w = {.claim = 1, .id = "c", .topic = "w"};
    says_will(&w);
    struct sim_conn *conn = comes_here();
    says_will(&w); // a new link begins with all of them
    expect_nothing(conn);
    struct sim_word word = head(1);
    put_gone(&word, 1, "c");
    says(TOPIC_WILLS, &word);
    expect_packet(conn, MQTT_CONNACK);
}

// The kernel ends the connections of a process that is killed one after the other.
Test(cluster_wills_taken, or_until_both_connections_to_it_have_ended)
{
    out = sim_linked_dial(&node);
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    sim_close(other, ECONNRESET);
    struct sim_conn *conn = comes_here();
    expect_nothing(conn);
    sim_close(out, ECONNRESET);
    sim_settle(sim);
    expect_publish(watch, 0, "gone");
    expect_packet(conn, MQTT_CONNACK);
    cr_assert_eq(held(), 0);
}

Test(cluster_wills_taken, who_goes_while_it_waits_leaves_nothing_behind)
{
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    struct sim_conn *first = comes_here();
    struct sim_conn *second = comes_here();
    cr_assert_not(first->open);
    expect_nothing(second);
    sim_close(second, 0);
    struct sim_word word = head(1);
    put_gone(&word, 1, "c");
    says(TOPIC_WILLS, &word);
    cr_assert_eq(held(), 0);
    expect_packet(comes_here(), MQTT_CONNACK);
}

Test(cluster_wills_taken, who_was_back_before_its_node_was_held_dead_leaves_it_no_later_either)
{
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    struct sim_conn *first = comes_here();
    is_let_in_at_last(first);
    sim_close(first, 0);
    passes(200, GOSSIP_DEAD);
    cr_assert_eq(held(), 1);
    (void)sim_connect(sim, &(struct sim_connect){.id = "c"});
    cr_assert_eq(held(), 0);
    passes(AFTER_MS + 200, GOSSIP_DEAD);
    expect_nothing(watch);
}

// ---- Who comes when the connections to its node have ended --------------------------------------

static const char disconnect[] = "\xe0\2\x8b\0"; // it shuts down

// One of two connections to its node, or both; error: as the transport has it.
static void
is_lost(int error)
{
    sim_close(other, error);
    sim_close(out, error);
    sim_settle(sim);
}

static void
is_back(void)
{
    other = sim_node_comes(&node);
    out = sim_linked_dial(&node);
    expect_packet(other, MQTT_CONNACK);
}

static void
links(void)
{
    out = sim_linked_dial(&node);
    says_will(&(struct told_will){.claim = 1, .id = "c", .topic = "w", .delay_s = 600});
}

// Does a client that comes leave its Will first?
static bool
leaves(void)
{
    struct sim_conn *conn = comes_here();
    if (held() > 0) {
        expect_nothing(watch);
        is_let_in_at_last(conn);
        return false;
    }
    expect_packet(conn, MQTT_CONNACK);
    expect_publish(watch, 0, "gone");
    return true;
}

// It acknowledges all; then it has heard of that Will before it has heard of the client.
static void
expect_willed_first(void)
{
    struct sim_word willed = {0}, came = {0};
    sim_word_int(&willed, 1, 8);
    sim_word_put(&willed, SIM_OTHER "c", NODE_ID_LEN + 1);
    sim_word_int(&came, session_of("c")->claim, 8);
    sim_word_int(&came, 1, 2);
    sim_word_put(&came, "c", 1);
    for (uint16_t id = 1; id < 32; id++)
        sim_ack(out, MQTT_PUBACK, id);
    sim_settle(sim);
    const uint8_t *first = told_at(&willed), *then = told_at(&came);
    cr_assert(first && then && first < then, "it would publish its own");
}

Test(cluster_wills_taken, who_comes_when_its_node_was_killed_leaves_its_will_first)
{
    links();
    is_lost(ECONNRESET);
    cr_assert(leaves());
    passes(AFTER_MS + 700000, GOSSIP_DEAD);
    expect_nothing(watch);
    out = sim_linked_dial(&node);
    expect_willed_first();
}

// When it goes on it has both words, whose connection its client's own is: an earlier one.
Test(cluster_wills_taken, what_says_so_is_not_overtaken_by_what_says_that_the_client_came)
{
    links();
    gossip_says(GOSSIP_DEAD); // it stands still
    cr_assert_gt(out->client.session->out.inflight, 0);
    out->client.receive_max = 1; // what is to be acknowledged waits from now on
    cr_assert(leaves());
    expect_willed_first();
}

// Rule 8: its Wills were of the life before, and it did not say whether it has them.
Test(cluster_wills_taken, a_node_that_was_killed_and_leaves_when_it_is_just_back_leaves_its_wills)
{
    out = sim_linked_dial(&node);
    says_will(&(struct told_will){.claim = CLAIM, .id = "c", .topic = "w"});
    gossip_says(GOSSIP_DEAD);
    wills_note_node(nodes_of(node.cluster), theirs, GOSSIP_ALIVE, 2, sim->now_ms);
    sim_settle(sim);
    expect_nothing(watch);
    node_leaves(2);
    expect_publish(watch, 0, "gone");
    cr_assert_eq(held(), 0);
}

Test(cluster_wills_taken, and_when_it_just_ended)
{
    links();
    is_lost(0);
    cr_assert(leaves());
}

Test(cluster_wills_taken, a_node_that_still_hears_us_does_it_itself)
{
    links();
    sim_close(other, ECONNRESET);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, or_that_we_still_hear)
{
    links();
    sim_close(out, ECONNRESET);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, or_that_said_that_it_ends)
{
    links();
    sim_feed(out, disconnect, sizeof disconnect - 1);
    sim_settle(sim);
    sim_close(other, 0);
    sim_settle(sim);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, or_of_which_nothing_is_known_but_that_it_is_silent)
{
    links();
    is_lost(ETIMEDOUT);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, or_that_has_left)
{
    links();
    is_lost(ECONNRESET);
    atomic_store(&theirs->left, true); // and what is held of it was not looked at yet
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, or_that_gossip_holds_alive_all_the_same)
{
    links();
    is_lost(ECONNRESET);
    passes(9900, GOSSIP_ALIVE);
    cr_assert_eq(held(), 1);
    passes(200, GOSSIP_ALIVE);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, a_node_that_is_back_does_it_again_when_it_has_told_all)
{
    links();
    is_lost(ECONNRESET);
    is_back();
    struct sim_word word = head(1);
    put_mark(&word, false, 2, 1);
    put_will(&word, &(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    put_will(&word, &(struct told_will){.claim = 1, .id = "d", .topic = "w"});
    says(TOPIC_WILLS, &word);
    cr_assert_eq(held(), 2);
    (void)sim_connect(sim, &(struct sim_connect){.id = "d"});
    expect_publish(watch, 0, "gone");
    word = head(1);
    put_mark(&word, true, 2, 1);
    says(TOPIC_WILLS, &word);
    cr_assert_not(leaves());
}

Test(cluster_wills_taken, what_one_of_a_node_that_lives_left_is_no_end_of_the_others)
{
    struct sim_word word = {0};
    links();
    sim_word_int(&word, 100, 8);
    sim_word_put(&word, SIM_OTHER "x", NODE_ID_LEN + 1);
    says(TOPIC_WILLED, &word); // a third node had lost it
    says_will(&(struct told_will){.claim = 50, .id = "d", .topic = "w"});
    cr_assert_eq(held(), 2);
}
