// test_cluster_told_wills.c - CONNACK to a client with a Will says that the other nodes have it, or
// that it is on the disk for them.
#include "core/cluster.h"
#include "tests/sim/sim_kept.h"
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct sim_conn *out; // we come to the other node

// It takes what it was told so far, which is less than that.
static void
other_takes(void)
{
    for (uint16_t id = 1; id < 64; id++)
        sim_ack(out, MQTT_PUBACK, id);
    sim_settle(sim);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    node = sim_node_make(2, sim_kept_config(), true);
    sim = node.sim;
    struct sim_conn *other = sim_node_comes(&node);
    sim_settle_kept(sim, disk);
    expect_packet(other, MQTT_CONNACK);
    out = sim_linked_dial(&node);
    sim_settle_kept(sim, disk);
    other_takes();
    sim_settle_kept(sim, disk);
}

static void
tear_down(void)
{
    sim_kept_free(&node, disk);
}

TestSuite(cluster_told_wills, .init = set_up, .fini = tear_down);

static struct sim_conn *
comes(const char *id, const char *will_topic, uint32_t expiry_s)
{
    struct sim_connect c = {.id = id,
                            .keep = expiry_s > 0,
                            .expiry_s = expiry_s,
                            .will_topic = will_topic,
                            .will_payload = "gone"};
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(id)));
    sim_send_connect(conn, &c);
    sim_settle(sim);
    return conn;
}

static void
is_let_in(struct sim_conn *conn)
{
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
}

Test(cluster_told_wills, connack_waits_until_the_others_have_the_will)
{
    unsigned shard = 1 - out->client.shard->index;
    struct sim_conn *conn = comes(id_on(sim, shard), "w", 0);
    sim_fetch(sim, disk);
    sim_commit_shard(sim, disk, shard);
    sim_settle(sim);
    expect_nothing(conn); // it is on our disk, but not for the other node
    other_takes();
    is_let_in(conn);
    is_let_in(comes(id_on(sim, shard), NULL, 0));
}

Test(cluster_told_wills, and_until_it_is_on_our_disk)
{
    for (unsigned shard = 0; shard < 2; shard++) { // that of the link, and another one
        struct sim_conn *conn = comes(id_on(sim, shard), "w", 0);
        other_takes();
        expect_nothing(conn);
        sim_settle_kept(sim, disk);
        is_let_in(conn);
        is_let_in(comes(id_on(sim, shard), NULL, 0));
    }
}

Test(cluster_told_wills, or_until_it_is_on_the_disk_for_them)
{
    for (unsigned shard = 0; shard < 2; shard++) {
        struct sim_conn *conn = comes(id_on(sim, shard), "w", 0);
        sim_tick(sim, 10);
        expect_nothing(conn);
        sim_settle_kept(sim, disk);
        is_let_in(conn);
    }
}

Test(cluster_told_wills, but_no_longer_than_a_moment)
{
    for (unsigned shard = 0; shard < 2; shard++) {
        struct sim_conn *conn = comes(id_on(sim, shard), "w", 0);
        sim_tick(sim, WILL_WAIT_MS - 1);
        expect_nothing(conn);
        sim_tick(sim, 1);
        is_let_in(conn);
        sim_settle_kept(sim, disk);
    }
}

Test(cluster_told_wills, what_is_for_the_client_waits_behind_it)
{
    struct sim_conn *p = comes(id_on(sim, 0), NULL, 0);
    is_let_in(p);
    for (unsigned shard = 0; shard < 2; shard++) {
        const char *id = id_on(sim, shard);
        struct sim_conn *conn = comes(id, NULL, 100);
        is_let_in(conn);
        sim_subscribe(conn, &(struct sim_subscribe){.filter = "t", .options = 1});
        sim_settle_kept(sim, disk);
        other_takes(); // the filter
        sim_settle_kept(sim, disk);
        expect_packet(conn, MQTT_SUBACK);
        sim_close(conn, 0);
        publish_text(p, "t", 1, "kept");
        sim_settle_kept(sim, disk);
        conn = comes(id, "w", 100);
        publish_text(p, "t", 1, "new");
        static const uint8_t ping[] = {0xc0, 0};
        sim_feed(conn, ping, sizeof ping);
        sim_settle(sim);
        expect_nothing(conn);
        sim_kept_rest(sim, disk); // in less time than it waits at most
        is_let_in(conn);
        struct server_packet packet;
        unsigned messages = 0, pings = 0;
        while (sim_next(conn, &packet)) {
            messages += packet.type == MQTT_PUBLISH;
            pings += packet.type == MQTT_PINGRESP;
            if (packet.type == MQTT_PUBLISH)
                sim_ack(conn, MQTT_PUBACK, packet.packet_id);
        }
        cr_assert_eq(messages, 2);
        cr_assert_eq(pings, 1);
    }
}

Test(cluster_told_wills, who_goes_meanwhile_leaves_nothing_behind)
{
    for (unsigned shard = 0; shard < 2; shard++) {
        const char *id = id_on(sim, shard);
        sim_close(comes(id, "w", 0), 0);
        struct sim_conn *first = comes(id, "w", 0), *second = comes(id, "w", 0);
        cr_assert_not(first->open);
        expect_nothing(second);
        sim_settle_kept(sim, disk);
        other_takes();
        is_let_in(second);
    }
}
