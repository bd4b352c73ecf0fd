// test_cluster_stamps.c - of two changes of what is retained the later one stays, on all nodes.
#include <errno.h>

#include "core/record.h"
#include "core/restore.h"
#include "core/retained.h"
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct nodes *nodes;
static struct sim *sim;
static struct sim_conn *other, *client;

static void
set_up(void)
{
    other = sim_linked_new(&node, 1, sim_config());
    nodes = nodes_of(node.cluster);
    sim = node.sim;
    client = sim_connect(sim, &(struct sim_connect){.id = "client"});
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_stamps, .init = set_up, .fini = tear_down);

// The other node's change of "t"; payload "": it was cleared there.
static void
hears(uint64_t stamp, uint8_t by, const char *payload)
{
    struct sim_word word = {0};
    sim_word_retained(&word, &(struct sim_retained){
                                 .topic = "t", .payload = payload, .stamp = stamp, .node = by});
    sim_node_says(other, TOPIC_RETAINED, &word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static void
publishes(const char *payload)
{
    sim_publish(client,
                &(struct sim_publish){.topic = "t", .payload = slice_str(payload), .retain = true});
    sim_settle(sim);
}

static void
is(const char *payload)
{
    struct msg *msg = retained_get(sim->broker->retained, slice_str("t"));
    if (payload)
        cr_assert(msg && slice_equal(msg_payload(msg), slice_str(payload)), "not %s", payload);
    else
        cr_assert_null(msg);
}

static uint64_t
stamp_now(void)
{
    struct msg *msg = retained_get(sim->broker->retained, slice_str("t"));
    cr_assert_not_null(msg);
    return msg_stamp(msg).at;
}

static uint64_t
cleared(void)
{
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    return figures.cleared;
}

Test(cluster_stamps, the_later_of_two_messages_stays)
{
    hears(10, 1, "ten");
    hears(9, 9, "nine");
    is("ten");
    hears(10, 0, "ten, of a lesser node");
    is("ten");
    hears(10, 2, "ten, of a greater node");
    is("ten, of a greater node");
    hears(11, 0, "eleven");
    is("eleven");
}

Test(cluster_stamps, what_was_cleared_later_does_not_come_back)
{
    hears(10, 1, "ten");
    hears(12, 1, "");
    is(NULL);
    hears(11, 1, "eleven");
    is(NULL);
    hears(13, 1, "thirteen");
    is("thirteen");
    hears(12, 9, "");
    is("thirteen");
    cr_assert_eq(cleared(), 0);
    hears(20, 1, "");
    hears(19, 1, "never there, and older");
    is(NULL);
    cr_assert_eq(cleared(), 1);
}

Test(cluster_stamps, what_has_no_time_is_older_than_all_that_has)
{
    hears(0, 0, "old");
    is("old");
    hears(0, 0, "old as well");
    is("old");
    hears(1, 0, "");
    is(NULL);
    hears(0, 0, "old");
    is(NULL);
}

// A clock that runs ahead elsewhere does not keep a client here from changing what it sees.
Test(cluster_stamps, what_is_published_here_is_later_than_what_was_seen)
{
    hears(UINT64_C(1) << 62, 1, "from a future");
    publishes("here");
    is("here");
    cr_assert_gt(stamp_now(), UINT64_C(1) << 62);
    publishes("");
    is(NULL);
    hears((UINT64_C(1) << 62) + 1, 1, "from a future"); // what was replaced and cleared
    is(NULL);
    publishes("again");
    is("again");
}

Test(cluster_stamps, a_time_is_the_wall_clocks_and_this_nodes)
{
    publishes("one");
    uint64_t wall = sim->now_ms + broker_wall_offset(sim->broker), one = stamp_now();
    cr_assert_eq(one >> 16, wall);
    publishes("two");
    cr_assert_gt(stamp_now(), one);
    struct stamp stamp = msg_stamp(retained_get(sim->broker->retained, slice_str("t")));
    cr_assert_eq(memcmp(stamp.node, &nodes->identity.uuid, STAMP_NODE_LEN), 0);
}

// A Will is a message before it is published, and gets its time then.
Test(cluster_stamps, a_will_has_one_as_well)
{
    struct sim_conn *dies = sim_open(sim, 0);
    sim_send_connect(
        dies, &(struct sim_connect){
                  .id = "dies", .will_topic = "t", .will_payload = "dead", .will_retain = true});
    sim_settle(sim);
    sim_close(dies, ECONNRESET);
    sim_settle(sim);
    is("dead");
    cr_assert_gt(stamp_now(), 0);
}

// ---- A new link ---------------------------------------------------------------------------------

static bool
tells(const struct sim_conn *out, const void *bytes, size_t len)
{
    return memmem(out->to_peer.data, out->to_peer.len, bytes, len) != NULL;
}

Test(cluster_stamps, a_new_link_is_told_what_was_cleared_and_that_it_is_all)
{
    uint8_t stamp[8 + STAMP_NODE_LEN + 1];
    hears(0x1122334455667788, 1, "");
    struct sim_conn *out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(sim);
    memset(stamp, 1, sizeof stamp);
    put_u64(stamp, 0x1122334455667788);
    stamp[8 + STAMP_NODE_LEN] = 't';
    cr_assert(tells(out, stamp, sizeof stamp));
    uint8_t all[40] = {1};
    cr_assert(tells(out, all, sizeof all));
}

static void
time_passes(uint32_t seconds)
{
    for (uint32_t i = 0; i < seconds; i++)
        sim_tick(sim, 1000);
    sim_settle(sim);
}

static void
says_flags(uint8_t flags)
{
    struct sim_word word = {0};
    sim_word_retained(&word, &(struct sim_retained){.flags = flags, .topic = "", .payload = ""});
    sim_node_says(other, TOPIC_RETAINED, &word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static void
says_that_is_all(void)
{
    says_flags(1);
}

// That all has been told comes once more after a break, before what is there now is told.
Test(cluster_stamps, what_was_told_before_a_break_is_not_all)
{
    struct sim_conn *out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    hears(10, 1, "");
    says_that_is_all();
    says_flags(2);
    time_passes(100);
    cr_assert_eq(cleared(), 1);
    says_that_is_all();
    time_passes(5);
    cr_assert_eq(cleared(), 0);
}

Test(cluster_stamps, what_was_cleared_is_known_until_all_nodes_know)
{
    struct sim_conn *out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    hears(10, 1, "");
    time_passes(100); // it has not told all it has
    cr_assert_eq(cleared(), 1);
    says_that_is_all();
    time_passes(5);
    cr_assert_eq(cleared(), 0);
    hears(12, 1, "");
    time_passes(30);
    cr_assert_eq(cleared(), 1); // what is on its way may be older
    time_passes(40);
    cr_assert_eq(cleared(), 0);
    // It goes, and comes again: what it has is not known before it has told all.
    sim_close(other, ECONNRESET);
    sim_settle(sim);
    time_passes(2);
    other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
    hears(14, 1, "");
    time_passes(100);
    cr_assert_eq(cleared(), 1);
    hears(13, 1, "thirteen");
    is(NULL);
    sim_close(out, ECONNRESET);
    says_that_is_all();
    time_passes(100);
    cr_assert_eq(cleared(), 1); // now it does not hear us
}

Test(cluster_stamps, there_is_an_end_of_what_is_remembered)
{
    nodes->cleared_max = 1;
    char topic[16];
    for (unsigned i = 0; i < 1000; i++) {
        (void)snprintf(topic, sizeof topic, "t%u", i);
        sim_publish(client, &(struct sim_publish){.topic = topic, .retain = true});
        sim_settle(sim);
    }
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.cleared, CLEARED_STRIPES);
    cr_assert_eq(figures.cleared_forgotten, 1000 - CLEARED_STRIPES);
}

Test(cluster_stamps, what_an_earlier_life_cleared_stays_cleared)
{
    struct record record = {
        .kind = JOURNAL_RETAIN, .msg.topic = slice_str("t"), .stamp = {.at = 10, .node = {1}}};
    struct rcu_reader *reader = sim->broker->shards[0]->rcu;
    restore_retained(sim->broker, reader, &record, 1, 1);
    cr_assert_eq(cleared(), 1);
    hears(9, 1, "nine");
    is(NULL);
    record.msg.payload = slice_str("kept");
    record.stamp.at = 20;
    restore_retained(sim->broker, reader, &record, 1, 1);
    is("kept");
    cr_assert_eq(stamp_now(), 20);
}
