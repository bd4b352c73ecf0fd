// test_cluster_hello.c - versions and features of nodes, and who is none.
#include "tests/sim/expect.h"
#include "tests/sim/sim_node.h"

static struct sim_node node;
static struct nodes *nodes;

static void
set_up(void)
{
    node = sim_node_new(1, sim_config());
    nodes = nodes_of(node.cluster);
}

static void
tear_down(void)
{
    sim_close_all(node.sim);
    sim_tick(node.sim, UINT64_C(172800000));
    sim_settle(node.sim);
    sim_must_be_empty(node.sim);
    sim_node_free(&node);
}

TestSuite(cluster_hello, .init = set_up, .fini = tear_down);

// What a node that says this is answered.
static uint8_t
answer(const char *id, const char *user, bool right_password)
{
    char password[NODE_PASS_LEN + 1];
    nodes_password(nodes, 0, SIM_OTHER, node.cluster->id, password);
    password[NODE_PASS_LEN - 1] ^= right_password ? 0 : 1;
    struct sim_connect c = {
        .id = id, .keep = true, .expiry_s = 60, .user = user, .password = password};
    struct sim_conn *conn = sim_open(node.sim, 0);
    client_set_listener(&conn->client, SIM_NODE_LISTENER);
    sim_send_connect(conn, &c);
    sim_settle(node.sim);
    uint8_t reason = expect_packet(conn, MQTT_CONNACK).reason;
    if (conn->open)
        sim_close(conn, 0);
    return reason;
}

static uint8_t
node_says(const char *user)
{
    return answer(NODE_FROM SIM_OTHER, user, true);
}

static struct cluster_figures
figures(void)
{
    struct cluster_figures ret;
    node.cluster->ops->figures(node.cluster, &ret);
    return ret;
}

Test(cluster_hello, what_is_said_is_read)
{
    char text[NODE_HELLO_LEN];
    struct version version, said = {7, 3, 0xfedcba9876543210};
    hello_write(said, text);
    cr_assert_str_eq(text, "TERNMQ 7 3 fedcba9876543210");
    cr_assert(hello_read(slice_str(text), &version));
    cr_assert(version.speaks == 7 && version.oldest == 3 && version.features == said.features);
    cr_assert(hello_read(slice_str("TERNMQ 2 1 0 and more"), &version));
    cr_assert(hello_read(slice_str("TERNMQ 4294967295 1 ffffffffffffffff"), &version));
    static const char *const bad[] = {"",
                                      "node",
                                      "TERNMQ",
                                      "TERNMQ 1",
                                      "TERNMQ 1 1",
                                      "TERNMQ 1 2 0",
                                      "TERNMQ 1 0 0",
                                      "TERNMQ x 1 0",
                                      "OTHER_ 1 1 0",
                                      "TERNMQ 1 1 0x",
                                      "TERNMQ 1 1 10000000000000000",
                                      "TERNMQ 4294967297 1 0"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_not(hello_read(slice_str(bad[i]), &version), "%s", bad[i]);
    cr_assert_not(hello_read(slice_of("TERNMQ 1 1 0\0", 13), &version));
}

Test(cluster_hello, versions_that_understand_each_other_talk)
{
    nodes->version = (struct version){5, 4, 0};
    cr_assert_eq(node_says("TERNMQ 5 5 0"), 0);
    cr_assert_eq(node_says("TERNMQ 4 1 0"), 0);
    cr_assert_eq(node_says("TERNMQ 6 5 0"), 0); // the next one
    cr_assert_eq(figures().versions_refused, 0);
    cr_assert_eq(node_says("TERNMQ 6 6 0"), 0x84);
    cr_assert_eq(node_says("TERNMQ 3 1 0"), 0x84);
    cr_assert_eq(node_says("node"), 0x84);
    cr_assert_eq(node_says(NULL), 0x84);
    cr_assert_eq(figures().versions_refused, 4);
    cr_assert_eq(figures().strangers, 0);
}

Test(cluster_hello, features_that_only_one_has_are_none)
{
    nodes->version.features = 6;
    cr_assert_eq(node_says("TERNMQ 1 1 8000000000000003"), 0);
    cr_assert_eq(atomic_load(&nodes_link(nodes, SIM_OTHER)->features), 2);
}

Test(cluster_hello, strangers_are_counted)
{
    cr_assert_eq(answer(NODE_FROM SIM_OTHER, "TERNMQ 9 9 0", false), 0x87); // nothing is told it
    cr_assert_eq(answer("somebody", "TERNMQ 1 1 0", true), 0x87);
    cr_assert_eq(answer(NODE_FROM "ffffffffffffffffffffffffffffffff", "TERNMQ 1 1 0", true), 0x87);
    cr_assert_eq(figures().strangers, 3);
    cr_assert_eq(figures().versions_refused, 0);
}
