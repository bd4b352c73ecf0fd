// test_cluster_nodes.c - what other nodes are to know of our clients, and who may come as one.
#include "core/client_out.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_node.h"

static struct sim_node node;
static struct nodes *nodes;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    node = sim_node_new(2, config);
    nodes = nodes_of(node.cluster);
}

static void
tear_down(void)
{
    sim_close_all(node.sim);
    sim_settle(node.sim);
    sim_node_free(&node);
}

TestSuite(cluster_nodes, .init = set_up, .fini = tear_down);

static void
is_subscribed(const char *filter, const char *group, bool added)
{
    node.cluster->ops->subscribed(node.cluster, slice_str(filter), slice_str(group), added);
}

static uint32_t
route_count(void)
{
    cr_assert_eq(route_log_count(nodes->log), atomic_load(&nodes->route_count));
    cr_assert_eq(route_log_digest(nodes->log).seq, atomic_load(&nodes->changes));
    return route_log_count(nodes->log);
}

// ---- Routes -------------------------------------------------------------------------------------

Test(cluster_nodes, only_the_first_and_the_last_subscription_are_news)
{
    is_subscribed("a/+", "", true);
    uint64_t change = atomic_load(&nodes->changes);
    cr_assert_eq(route_count(), 1);
    is_subscribed("a/+", "", true);
    is_subscribed("a/+", "", false);
    cr_assert_eq(atomic_load(&nodes->changes), change);
    cr_assert_eq(route_count(), 1);
    is_subscribed("a/+", "", false);
    cr_assert_gt(atomic_load(&nodes->changes), change);
    cr_assert_eq(route_count(), 0);
}

Test(cluster_nodes, a_group_and_a_plain_filter_are_two_routes)
{
    is_subscribed("a", "", true);
    is_subscribed("a", "g", true);
    is_subscribed("a", "h", true);
    is_subscribed("b", "g", true);
    cr_assert_eq(route_count(), 4);
    is_subscribed("a", "g", false);
    cr_assert_eq(route_count(), 3);
}

Test(cluster_nodes, figures_of_this_node_are_its_own)
{
    is_subscribed("$SYS/broker/#", "", true);
    cr_assert_eq(route_count(), 0);
    is_subscribed("$SYS/broker/#", "", false);
    is_subscribed("$SYSTEM", "", true);
    cr_assert_eq(route_count(), 1);
}

Test(cluster_nodes, who_leaves_tells_no_more)
{
    is_subscribed("a", "", true);
    atomic_store(&nodes->stopping, true);
    is_subscribed("a", "", false);
    is_subscribed("b", "", true);
    cr_assert_eq(route_count(), 1);
}

static uint32_t
id_of(const char *filter, const char *group)
{
    uint8_t key[64];
    size_t len = strlen(group) + 1 + strlen(filter);
    memcpy(key, group, strlen(group) + 1);
    memcpy(key + strlen(group) + 1, filter, strlen(filter));
    return GROUP_ID(route_log_weight(nodes->log, slice_of(key, len)));
}

static bool
is_group(uint32_t id, const char *filter, const char *group)
{
    struct slice f, g;
    void *texts = node.cluster->ops->group(node.cluster, id, &f, &g);
    bool is = texts && slice_equal(f, slice_str(filter)) && slice_equal(g, slice_str(group));
    mem_free(texts);
    return is;
}

Test(cluster_nodes, a_group_keeps_its_number)
{
    is_subscribed("a", "g", true);
    is_subscribed("a", "h", true);
    uint32_t g = id_of("a", "g"), h = id_of("a", "h");
    cr_assert(g > 1 && h > 1 && g != h);
    cr_assert(is_group(g, "a", "g") && is_group(h, "a", "h"));
    is_subscribed("a", "g", false);
    cr_assert_not(is_group(g, "a", "g"));
    is_subscribed("a", "g", true);
    cr_assert_eq(id_of("a", "g"), g); // what is on its way has it
    cr_assert(is_group(g, "a", "g"));
    struct slice filter, group;
    uint32_t none = max_u32(g, h) + 1;
    cr_assert_null(node.cluster->ops->group(node.cluster, 0, &filter, &group));
    cr_assert_null(node.cluster->ops->group(node.cluster, 1, &filter, &group)); // plain filters'
    cr_assert_null(node.cluster->ops->group(node.cluster, none, &filter, &group));
    cr_assert_null(node.cluster->ops->group(node.cluster, UINT32_MAX, &filter, &group));
}

// Numbers that collide are others, and still found when what stood before them goes.
Test(cluster_nodes, many_groups_have_a_number_each)
{
    enum { MANY = 20000 };
    struct groups groups = {0};
    static uint32_t ids[MANY];
    char key[16];
    uint32_t len, moved = 0;
    for (uint32_t i = 0; i < MANY; i++) {
        len = (uint32_t)snprintf(key, sizeof key, "g%u", i);
        ids[i] = groups_add(&groups, slice_of(key, len));
        cr_assert(ids[i] >= GROUP_FIRST && GROUP_ID(ids[i]) == ids[i]);
    }
    for (uint32_t i = 0; i < MANY; i += 2)
        groups_remove(&groups, ids[i]);
    for (uint32_t i = 0; i < MANY; i++) {
        (void)snprintf(key, sizeof key, "g%u", i);
        const char *found = groups_find(&groups, ids[i], &len);
        cr_assert(i % 2 ? found && strcmp(found, key) == 0 : !found, "%u", i);
    }
    for (uint32_t i = 0; i < MANY; i += 2) {
        len = (uint32_t)snprintf(key, sizeof key, "g%u", i);
        moved += groups_add(&groups, slice_of(key, len)) != ids[i];
    }
    cr_assert_lt(moved, MANY / 50); // nearly all have the same number again
    cr_assert_eq(groups.count, MANY);
    groups_free(&groups);
}

static void
group_members_are(uint32_t members, uint32_t id)
{
    struct slice key = slice_of("g\0a", 3);
    cr_assert_eq(route_log_weight(nodes->log, key), members << GROUP_ID_BITS | id);
}

Test(cluster_nodes, a_group_is_told_with_its_members)
{
    is_subscribed("a", "g", true);
    uint32_t id = id_of("a", "g");
    group_members_are(1, id);
    is_subscribed("a", "g", true);
    group_members_are(2, id);
    for (uint32_t i = 0; i < 5000; i++)
        is_subscribed("a", "g", true);
    group_members_are(4095, id); // as many as there is room for
    for (uint32_t i = 0; i < 5000; i++)
        is_subscribed("a", "g", false);
    group_members_are(2, id);
    cr_assert_eq(route_count(), 1);
}

// ---- What is retained ---------------------------------------------------------------------------

Test(cluster_nodes, what_is_retained_is_acknowledged_once_it_is_kept_for_other_nodes)
{
    struct sim *sim = node.sim;
    struct sim_conn *link = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(link, "\x20\3\0\0\0", 5);
    sim_settle(sim);
    unsigned there = link->client.shard->index, here = 1 - there;
    struct sim_conn *publisher =
        sim_connect(sim, &(struct sim_connect){.id = id_on(sim, here), .version = MQTT_311});
    for (unsigned with_subscriber = 0; with_subscriber < 2; with_subscriber++) {
        if (with_subscriber)
            sim_subscribe(sim_connect_durable(sim, id_on(sim, here)),
                          &(struct sim_subscribe){.filter = "kept", .options = 1});
        sim_settle(sim);
        sim_publish(publisher,
                    &(struct sim_publish){
                        .topic = "kept", .payload = slice_str("x"), .qos = 1, .retain = true});
        for (unsigned i = 0; i < 3; i++)
            sim_tick_shard(sim, here);
        expect_nothing(publisher); // the link's shard has not journaled it
        sim_settle(sim);
        expect_packet(publisher, MQTT_PUBACK);
    }
}

// ---- Messages -----------------------------------------------------------------------------------

// They are acknowledged to their publishers: beyond twice the limit, too, nothing is lost.
Test(cluster_nodes, what_it_brings_is_taken_though_a_queue_is_full)
{
    struct sim *sim = node.sim;
    struct sim_conn *other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
    config->queued_messages_max = 2;
    struct sim_conn *client = sim_connect_durable(sim, "c");
    subscribed(sim, client, "t", 1);
    sim_close(client, 0);
    for (unsigned i = 0; i < 50; i++)
        publish_number(other, "t", 1, i);
    sim_settle(sim);
    expect_answer(other, MQTT_PUBACK, 1, 0);
    expect_answer(other, MQTT_PUBACK, 2, 0);
    expect_nothing(other); // the others are held: it is slowed
    sim_tick(sim, ACK_HOLD_MS);
    sim_settle(sim);
    for (unsigned i = 2; i < 50; i++)
        expect_answer(other, MQTT_PUBACK, (uint16_t)(i + 1), 0);
    cr_assert_eq(stat_sum(sim, dropped_queue_full), 0);
    client = sim_connect_durable(sim, "c");
    for (unsigned i = 0; i < 50; i++) {
        sim_ack(client, MQTT_PUBACK, expect_number(client, 1, i).packet_id);
        sim_settle(sim);
    }
}

// ---- Limits -------------------------------------------------------------------------------------

static bool
has_room(const char *filter, const char *group)
{
    return node.cluster->ops->has_room(node.cluster, slice_str(filter), slice_str(group));
}

Test(cluster_nodes, there_is_an_end_of_what_is_told)
{
    nodes->limits.keys = 3;
    is_subscribed("a", "", true);
    node.cluster->ops->kept(node.cluster, slice_str("client"), true);
    cr_assert(has_room("b", "") && has_room("", ""));
    is_subscribed("b", "", true);
    cr_assert(!has_room("c", "") && !has_room("", "") && !has_room("a", "g"));
    cr_assert(has_room("a", "")); // is known
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.routes_refused, 3);
    is_subscribed("b", "", false);
    cr_assert(has_room("c", ""));
    nodes->limits.bytes = 12; // a NUL and a; a byte and client
    cr_assert(has_room("cc", "") && !has_room("ccc", ""));
    nodes->limits = (struct key_limits){.keys = 100, .bytes = 1000, .groups = 1};
    is_subscribed("a", "g", true);
    cr_assert(has_room("b", "") && has_room("a", "g") && !has_room("a", "h"));
}

// Of the longest filter and the longest client identifier.
Test(cluster_nodes, the_longest_names_are_told)
{
    char *text = mem_alloc(65536);
    memset(text, 'x', 65535);
    text[65535] = '\0';
    is_subscribed(text, "", true);
    node.cluster->ops->kept(node.cluster, slice_str(text), true);
    cr_assert_eq(route_log_count(nodes->log), 2);
    is_subscribed(text, "", false);
    node.cluster->ops->kept(node.cluster, slice_str(text), false);
    cr_assert_eq(route_log_count(nodes->log), 0);
    mem_free(text);
}

// ---- What a SUBACK waits for --------------------------------------------------------------------

Test(cluster_nodes, a_subscription_waits_for_links_that_are_up)
{
    const struct cluster_ops *ops = node.cluster->ops;
    is_subscribed("a", "", true);
    cr_assert_eq(ops->routes(node.cluster), 0); // nobody to wait for
    struct link *near = nodes_link(nodes, SIM_OTHER);
    struct link *far = nodes_link(nodes, "ffffffffffffffffffffffffffffffff");
    cr_assert(near && far && near != far && nodes_link(nodes, SIM_OTHER) == near);
    cr_assert_eq(ops->routes(node.cluster), 0);
    atomic_store(&near->up, true);
    uint64_t change = ops->routes(node.cluster);
    cr_assert_gt(change, 0);
    cr_assert_not(ops->routes_known(node.cluster, change));
    atomic_store(&near->known, change);
    cr_assert(ops->routes_known(node.cluster, change));
    cr_assert_not(ops->routes_known(node.cluster, change + 1));
    atomic_store(&far->up, true);
    cr_assert_not(ops->routes_known(node.cluster, change));
    atomic_store(&far->up, false);
    cr_assert(ops->routes_known(node.cluster, change));
    atomic_store(&near->up, false);
}

Test(cluster_nodes, there_is_an_end_of_links)
{
    char id[NODE_ID_LEN + 1];
    for (unsigned i = 0; i < CLUSTER_NODES_MAX; i++) {
        (void)snprintf(id, sizeof id, "%032x", i);
        struct link *link = nodes_link(nodes, id);
        cr_assert(link && link->shard == broker_home(node.sim->broker, slice_str(id)));
    }
    cr_assert_null(nodes_link(nodes, SIM_OTHER));
    cr_assert_not_null(nodes_link(nodes, id));
}

Test(cluster_nodes, both_sessions_of_a_node_are_on_one_shard)
{
    const struct broker *broker = node.sim->broker;
    for (unsigned i = 0; i < 50; i++) {
        char id[64];
        (void)snprintf(id, sizeof id, NODE_TO "%032x", i);
        unsigned home = broker_home(broker, slice_str(id));
        (void)snprintf(id, sizeof id, NODE_FROM "%032x", i);
        cr_assert_eq(broker_home(broker, slice_str(id)), home);
    }
}

// ---- Who may come -------------------------------------------------------------------------------

static bool
admits(const char *id, const char *password)
{
    struct client *client = &sim_open(node.sim, 0)->client;
    struct connect_view view = {.client_id = slice_str(id),
                                .has_user = true,
                                .user = slice_str(node.cluster->hello),
                                .has_password = true,
                                .password = slice_str(password)};
    return node.cluster->ops->admits(node.cluster, client, &view) == OK;
}

Test(cluster_nodes, who_knows_the_secret_may_come)
{
    char good[NODE_PASS_LEN + 1], other[NODE_PASS_LEN + 1];
    const char *self = node.cluster->id;
    nodes_password(nodes, 0, SIM_OTHER, self, good);
    cr_assert_eq(strlen(good), NODE_PASS_LEN);
    cr_assert(admits(NODE_FROM SIM_OTHER, good));
    cr_assert_not(admits(NODE_FROM SIM_OTHER, ""));
    cr_assert_not(admits(NODE_TO SIM_OTHER, good));
    cr_assert_not(admits(NODE_FROM "0123456789ABCDEF0123456789ABCDEF", good));
    cr_assert_not(admits(NODE_FROM "ffffffffffffffffffffffffffffffff", good));
    for (unsigned i = 0; i < NODE_PASS_LEN; i++) {
        memcpy(other, good, sizeof other);
        other[i] = other[i] == '0' ? '1' : '0';
        cr_assert_not(admits(NODE_FROM SIM_OTHER, other), "%u", i);
    }
    // What it says to a third one is of no use here, nor is what we say to it.
    nodes_password(nodes, 0, SIM_OTHER, "ffffffffffffffffffffffffffffffff", other);
    cr_assert_not(admits(NODE_FROM SIM_OTHER, other));
    nodes_password(nodes, 0, self, SIM_OTHER, other);
    cr_assert_not(admits(NODE_FROM SIM_OTHER, other));
}

Test(cluster_nodes, nobody_comes_as_ourselves)
{
    char id[64], password[NODE_PASS_LEN + 1];
    (void)snprintf(id, sizeof id, NODE_FROM "%s", node.cluster->id);
    nodes_password(nodes, 0, node.cluster->id, node.cluster->id, password);
    cr_assert_not(admits(id, password));
}

Test(cluster_nodes, either_of_two_secrets_is_good)
{
    char password[NODE_PASS_LEN + 1];
    nodes->secrets[1] = slice_str("another one of enough bytes");
    nodes->secret_count = 2;
    for (uint32_t i = 0; i < 2; i++) {
        nodes_password(nodes, i, SIM_OTHER, node.cluster->id, password);
        cr_assert(admits(NODE_FROM SIM_OTHER, password));
    }
    nodes->secret_count = 1;
    cr_assert_not(admits(NODE_FROM SIM_OTHER, password));
}

// ---- Figures ------------------------------------------------------------------------------------

Test(cluster_nodes, figures_add_up)
{
    struct cluster_figures figures;
    is_subscribed("a", "", true);
    struct link *near = nodes_link(nodes, SIM_OTHER);
    struct link *far = nodes_link(nodes, "ffffffffffffffffffffffffffffffff");
    near->up = true;
    near->seen.waiting = 3;
    far->seen.waiting = 4;
    far->seen.routes = 5;
    nodes->alive = 2;
    nodes->strangers = 7;
    node.cluster->ops->figures(node.cluster, &figures);
    near->up = false;
    cr_assert(figures.nodes_alive == 2 && figures.nodes_dead == 0 && figures.links_up == 1);
    cr_assert(figures.routes_ours == 1 && figures.routes_theirs == 5 && figures.waiting == 7);
    cr_assert(figures.strangers == 7 && figures.divergence == 0);
}
