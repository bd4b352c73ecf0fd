// test_cluster_kept_wills.c - Wills that a node has kept over its restart, and clients that are
// back before it knows whether others have published them.
#include "core/cluster.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_kept.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct sim_conn *other; // comes to us
static struct sim_conn *watch; // a client of ours

static struct sim_connect
kept(uint32_t delay_s)
{
    return (struct sim_connect){.id = "c",
                                .keep = true,
                                .expiry_s = 1000,
                                .will_topic = "w",
                                .will_payload = "gone",
                                .will_delay_s = delay_s};
}

// Its node is killed, and back with what the disk had. It does not know yet what the others know.
// ends: the session ended with the connection.
static void
restarts_with(uint32_t delay_s, bool ends)
{
    struct sim_connect c = kept(delay_s);
    c.keep = !ends;
    c.expiry_s = ends ? 0 : c.expiry_s;
    (void)sim_connect_kept(sim, disk, &c);
    sim_kept_rest(sim, disk);
    sim_node_free(&node);
    sim_disk_forget(disk);
    node = sim_node_make(1, sim_kept_config(), true);
    sim = node.sim;
    atomic_store(&sim->broker->next_session_number, disk->next_session);
    for (uint32_t i = 0; i < disk->count; i++)
        sim_restore_session(sim, disk, i);
    atomic_store(&nodes_of(node.cluster)->settling, true);
    // Others send its client here only if there is something to come back to.
    cr_assert_eq(route_log_weight(nodes_of(node.cluster)->log, slice_str("\1c")) > 0, !ends);
    watch = sim_connect(sim, &(struct sim_connect){.id = "watch"});
    subscribed(sim, watch, "#", 1);
    other = sim_node_comes(&node);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_CONNACK);
    expect_nothing(watch);
}

static void
restarts(uint32_t delay_s)
{
    restarts_with(delay_s, false);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    node = sim_node_make(1, sim_kept_config(), true);
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_kept_free(&node, disk);
}

TestSuite(cluster_kept_wills, .init = set_up, .fini = tear_down);

static struct sim_conn *
comes(bool clean)
{
    struct sim_connect c = kept(0);
    c.will_topic = NULL;
    c.keep = !clean;
    struct sim_conn *conn = sim_open(sim, 0);
    sim_send_connect(conn, &c);
    sim_kept_rest(sim, disk);
    return conn;
}

static void
all_have_told(void)
{
    atomic_store(&nodes_of(node.cluster)->settling, false);
    sim_kept_rest(sim, disk);
}

static void
is_let_in(struct sim_conn *conn)
{
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    sim_tick(sim, 60000);
    sim_kept_rest(sim, disk);
    expect_nothing(watch);
}

Test(cluster_kept_wills, who_is_back_at_once_leaves_it_when_it_is_let_in)
{
    restarts(0);
    struct sim_conn *conn = comes(false);
    expect_nothing(conn);
    expect_nothing(watch);
    all_have_told();
    expect_publish(watch, 0, "gone");
    is_let_in(conn);
}

Test(cluster_kept_wills, so_does_who_is_back_without_its_session)
{
    restarts(100);
    struct sim_conn *conn = comes(true);
    expect_nothing(conn);
    all_have_told();
    expect_publish(watch, 0, "gone");
    is_let_in(conn);
}

Test(cluster_kept_wills, but_not_while_its_delay_is_not_over)
{
    restarts(100);
    struct sim_conn *conn = comes(false);
    all_have_told();
    is_let_in(conn);
}

static const struct session *
session_of_c(void)
{
    struct slice id = slice_str("c");
    struct shard *shard = sim->broker->shards[0];
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

static void
other_has_published_it(void)
{
    struct sim_word word = {0};
    sim_word_int(&word, session_of_c()->claim, 8);
    sim_word_put(&word, node.cluster->id, NODE_ID_LEN);
    sim_word_put(&word, "c", 1);
    sim_node_says(other, TOPIC_WILLED, &word);
    sim_kept_rest(sim, disk);
}

Test(cluster_kept_wills, nor_when_another_node_has_published_it)
{
    restarts(0);
    struct sim_conn *conn = comes(false);
    other_has_published_it();
    expect_nothing(conn);
    all_have_told();
    is_let_in(conn);
}

Test(cluster_kept_wills, who_does_not_wait_any_longer_is_gone)
{
    restarts(0);
    sim_close(comes(false), 0);
    all_have_told();
    expect_nothing(watch);
    sim_tick(sim, NODE_WILL_HOLD_MS);
    sim_kept_rest(sim, disk);
    expect_publish(watch, 0, "gone");
}

Test(cluster_kept_wills, whom_another_node_brings_waits_as_well)
{
    restarts(0);
    struct sim_conn *conn = sim_node_brings(&node, "c", "0 0\n1.2.3.4:5\n");
    sim_settle(sim);
    client_set_listener(&conn->client, 0); // by whatever mark
    struct sim_connect c = kept(0);
    sim_send_connect(conn, &c);
    sim_kept_rest(sim, disk);
    expect_nothing(conn);
    expect_nothing(watch);
    all_have_told();
    expect_publish(watch, 0, "gone");
    cr_assert_eq(conn->client.link, LINK_VISIT);
    is_let_in(conn);
    sim_close(conn, 0);
    sim_kept_rest(sim, disk);
    expect_publish(watch, 0, "gone"); // it has a new one
}

// ---- Of a session that ended with its connection ------------------------------------------------

static void
is_over(void)
{
    sim_tick(sim, NODE_WILL_HOLD_MS);
    sim_kept_rest(sim, disk);
    cr_assert_null(session_of_c());
}

Test(cluster_kept_wills, it_goes_out_when_the_others_had_time_to_say_that_they_have_published_it)
{
    restarts_with(0, true);
    sim_tick(sim, NODE_WILL_HOLD_MS - 500);
    sim_kept_rest(sim, disk);
    expect_nothing(watch);
    is_over();
    expect_publish(watch, 0, "gone");
}

Test(cluster_kept_wills, and_not_if_they_have)
{
    restarts_with(0, true);
    other_has_published_it();
    is_over();
    expect_nothing(watch);
}

Test(cluster_kept_wills, who_is_back_finds_no_session)
{
    for (unsigned clean = 0; clean < 2; clean++) {
        restarts_with(0, true);
        struct sim_conn *conn = comes(clean);
        expect_nothing(conn);
        all_have_told();
        expect_publish(watch, 0, "gone");
        struct server_packet connack = expect_packet(conn, MQTT_CONNACK);
        cr_assert_not(connack.session_present);
        sim_disconnect(conn, 0);
        sim_kept_end(&node, disk);
        sim_disk_free(disk);
        set_up();
    }
}

// ---- Of a client that went to another node ------------------------------------------------------

static void
other_has_it(const char *topic)
{
    struct sim_word word = {0};
    sim_word_claim(&word, false, session_of_c()->claim + 1, "c");
    sim_node_says(other, topic, &word);
    sim_kept_rest(sim, disk);
    cr_assert_null(session_of_c());
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.doubled, 0); // it was over
}

// All that it has, on a link that is new.
static void
begins_to_tell(void)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8); // its incarnation
    sim_word_int(&word, 2, 1);
    sim_word_int(&word, 1, 8); // the round
    sim_word_int(&word, 1, 2); // shards
    sim_node_says(other, TOPIC_WILLS, &word);
    sim_kept_rest(sim, disk);
}

static void
never_says_so(void)
{
    all_have_told();
    sim_tick(sim, NODE_WILL_HOLD_MS);
    sim_kept_rest(sim, disk);
    expect_nothing(watch);
}

Test(cluster_kept_wills, who_went_elsewhere_before_is_not_said_to_be_gone)
{
    char topic[64];
    (void)snprintf(topic, sizeof topic, "%s/%s", TOPIC_CAME, node.cluster->id);
    restarts_with(0, true);
    begins_to_tell();
    other_has_it(topic);
    never_says_so();
}

// It went to that node when we were not linked, and what says so has waited for us.
Test(cluster_kept_wills, nor_who_did_when_we_were_about_to_die)
{
    restarts_with(0, true);
    other_has_it(TOPIC_CAME);
    never_says_so();
}

Test(cluster_kept_wills, who_does_it_now_is)
{
    restarts_with(0, true);
    begins_to_tell();
    other_has_it(TOPIC_CAME);
    expect_publish(watch, 0, "gone");
}
