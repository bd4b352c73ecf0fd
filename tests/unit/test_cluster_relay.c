// test_cluster_relay.c - clients whose sessions are on another node: at the node to which they
// come, and at that of their sessions.
#include "core/client_handlers.h"
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct config *config;
static struct sim_conn *other; // comes to us

static void
set_up(void)
{
    config = sim_config();
    other = sim_linked_new(&node, 2, config);
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_relay, .init = set_up, .fini = tear_down);

static void
other_has(const char *id)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_session(&word, id, true);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    expect_packet(other, MQTT_PUBACK);
}

// On the shard where its session would be.
static struct sim_conn *
comes(const struct sim_connect *c, const char *id)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(id)));
    sim_send_connect(conn, c);
    sim_settle(sim);
    return conn;
}

static struct sim_conn *
roams(uint8_t version)
{
    other_has("roams");
    return comes(&(struct sim_connect){.id = "roams", .keep = true, .version = version}, "roams");
}

static bool
said(const struct sim_conn *conn, const char *text)
{
    return memmem(conn->to_peer.data, conn->to_peer.len, text, strlen(text)) != NULL;
}

static const uint8_t welcome[] = {0x20, 3, 1, 0, 0};

// ---- Where it comes -----------------------------------------------------------------------------

Test(cluster_relay, its_bytes_go_there_and_back)
{
    struct sim_conn *client = roams(0);
    cr_assert(client->client.suspended && client->to_peer.len == 0);
    struct sim_conn *there = sim_node_relays(&node, client);
    sim_settle(sim);
    cr_assert(said(there, NODE_FOR "roams") && !client->client.suspended);
    uint32_t before = there->to_peer.len;
    sim_feed(client, "abc", 3); // whatever it is
    sim_feed(there, welcome, sizeof welcome);
    sim_settle(sim);
    cr_assert_eq(there->to_peer.len, before + 3);
    cr_assert(expect_packet(client, MQTT_CONNACK).session_present);
    sim_close(there, 0);
    sim_settle(sim);
    cr_assert_not(client->open);
}

Test(cluster_relay, bytes_that_pass_are_no_packets_of_this_node)
{
    struct sim_conn *client = roams(0);
    struct sim_conn *there = sim_node_relays(&node, client);
    sim_feed(there, welcome, sizeof welcome);
    sim_settle(sim);
    uint64_t sent = stat_sum(sim, packets_sent), received = stat_sum(sim, packets_received);
    for (unsigned i = 0; i < 100; i++) {
        sim_feed(there, "\x30\5", 2);
        sim_feed(there, "\0\1tyz", 5);
        sim_ping(client);
        sim_settle(sim);
    }
    cr_assert_eq(client->to_peer.len, sizeof welcome + 700);
    cr_assert_eq(stat_sum(sim, packets_sent), sent);
    cr_assert_eq(stat_sum(sim, packets_received), received);
}

Test(cluster_relay, it_goes_by_the_identifier_that_its_listener_gives_it)
{
    config->listeners[0].entry.use_username_as_clientid = true;
    other_has("user");
    struct sim_connect c = {.id = "raw", .user = "user", .keep = true};
    struct sim_conn *client = comes(&c, "user");
    cr_assert(client->client.suspended);
    struct sim_conn *there = sim_node_relays(&node, client);
    sim_settle(sim);
    cr_assert(said(there, NODE_FOR "user") && !said(there, NODE_FOR "raw"));
}

Test(cluster_relay, a_name_of_any_length_goes_along)
{
    static char name[60001], longest[UINT16_MAX + 1];
    memset(name, 'n', sizeof name - 1);
    memset(longest, 'n', sizeof longest - 1);
    struct sim_conn *client = roams(0);
    client->client.name = name;
    struct sim_conn *there = sim_node_relays(&node, client);
    sim_settle(sim);
    cr_assert(said(there, name));
    sim_close(client, 0);
    sim_settle(sim);
    client = roams(0);
    client->client.name = longest; // there is more to say of it than goes into a user name
    there = sim_node_relays(&node, client);
    sim_settle(sim);
    cr_assert_eq(expect_packet(client, MQTT_CONNACK).reason, 0x88);
    cr_assert(!client->open && !there->open && there->to_peer.len == 0);
}

Test(cluster_relay, who_is_closing_is_not_joined)
{
    struct sim_conn *client = roams(0);
    client_close(&client->client, ERR_ADMINISTRATIVE); // as a limit does
    struct sim_conn *there = sim_node_relays(&node, client);
    cr_assert_eq(client->client.state, CLIENT_CLOSING);
    sim_settle(sim);
    cr_assert(!client->open && !there->open && there->to_peer.len == 0);
}

Test(cluster_relay, who_waits_too_long_is_told_so)
{
    struct sim_conn *client = roams(0);
    sim_tick(sim, NODE_REACH_MS - 1);
    cr_assert(client->open && client->to_peer.len == 0);
    sim_tick(sim, NODE_REACH_MS);
    sim_settle(sim);
    cr_assert_eq(expect_packet(client, MQTT_CONNACK).reason, 0x88);
    struct sim_conn *late = sim_node_relays(&node, client);
    sim_settle(sim);
    cr_assert_not(late->open);
}

Test(cluster_relay, nobody_waits_for_a_node_that_has_been_away_for_as_long)
{
    struct link *link = nodes_link(nodes_of(node.cluster), SIM_OTHER);
    atomic_store(&link->away_ms, sim->now_ms); // it may be on its way back
    struct sim_conn *client = roams(0);
    cr_assert(client->client.suspended);
    sim_close(client, 0);
    sim_tick(sim, NODE_REACH_MS);
    cr_assert_eq(expect_packet(roams(0), MQTT_CONNACK).reason, 0x88);
    cr_assert_eq(expect_packet(roams(MQTT_311), MQTT_CONNACK).reason, 3);
    atomic_store(&link->away_ms, 0);
    client = roams(0);
    cr_assert(client->client.suspended);
}

Test(cluster_relay, one_node_does_not_take_the_places_of_others)
{
    struct nodes *nodes = nodes_of(node.cluster);
    char id[NODE_ID_LEN + 1];
    unsigned taken = 0, others = 0;
    while (taken < 10000 && agent_reach(nodes->agent, SIM_OTHER, 0, UINT64_C(1) << 40))
        taken++;
    for (unsigned i = 1; i < 10; i++) {
        (void)snprintf(id, sizeof id, "%032x", i);
        others += agent_reach(nodes->agent, id, 0, UINT64_C(1) << 40);
    }
    cr_assert(taken >= 500 && taken <= 2048, "%u", taken);
    cr_assert_eq(others, 9);
    cr_assert_not(agent_reach(nodes->agent, SIM_OTHER, 0, UINT64_C(1) << 40));
}

// ---- Which node has its session? ----------------------------------------------------------------

static struct link *
link_with(const char *id, const char *session, bool up)
{
    struct link *link = nodes_link(nodes_of(node.cluster), id);
    atomic_store(&link->up, up);
    cr_assert(route_set_put(&link->sessions, slice_str(session), 1));
    return link;
}

Test(cluster_relay, a_node_that_is_there_comes_before_one_that_is_not)
{
    const struct cluster_ops *ops = node.cluster->ops;
    struct link *links[4];
    char id[NODE_ID_LEN + 1], found[NODE_ID_LEN + 1];
    for (unsigned i = 0; i < ARRAY_LEN(links); i++) {
        (void)snprintf(id, sizeof id, "%032x", i + 1);
        links[i] = link_with(id, i < 3 ? "twice" : "away", i == 1);
    }
    cr_assert(ops->elsewhere(node.cluster, slice_str("twice"), found));
    cr_assert_str_eq(found, links[1]->id);
    cr_assert(ops->elsewhere(node.cluster, slice_str("away"), found));
    cr_assert_str_eq(found, links[3]->id);
    cr_assert_not(ops->elsewhere(node.cluster, slice_str("nowhere"), found));
    atomic_store(&links[1]->up, false);
}

Test(cluster_relay, of_many_sessions_those_that_a_later_set_lacks_are_gone)
{
    char id[16], found[NODE_ID_LEN + 1];
    for (unsigned n = 0; n < 1000; n++) {
        (void)snprintf(id, sizeof id, "many-%u", n);
        (void)link_with(SIM_OTHER, id, false);
    }
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_step(&word, ROUTE_BEGIN, 0, "", NULL);
    sim_word_session(&word, "many-700", true);
    sim_word_step(&word, ROUTE_END, 0, "", NULL);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    expect_packet(other, MQTT_PUBACK);
    for (unsigned n = 0; n < 1000; n++) {
        (void)snprintf(id, sizeof id, "many-%u", n);
        cr_assert_eq(node.cluster->ops->elsewhere(node.cluster, slice_str(id), found), n == 700);
    }
}

// ---- The node ends ------------------------------------------------------------------------------

// What it is told at the end, after these bytes from there.
static struct sim_conn *
ends_after(uint8_t version, const void *bytes, size_t len)
{
    struct sim_conn *client = roams(version);
    struct sim_conn *there = sim_node_relays(&node, client);
    sim_settle(sim);
    sim_feed(there, bytes, len);
    sim_settle(sim);
    client->to_peer.at = client->to_peer.len;
    client_relay_shut_down(&client->client);
    client_relay_shut_down(&there->client);
    sim_settle(sim);
    cr_assert(!client->open && !there->open);
    return client;
}

static uint32_t
unread(const struct sim_conn *conn)
{
    return conn->to_peer.len - conn->to_peer.at;
}

Test(cluster_relay, who_is_relayed_is_told_that_the_node_ends)
{
    struct sim_conn *client = ends_after(0, welcome, sizeof welcome);
    cr_assert_eq(expect_packet(client, MQTT_DISCONNECT).reason, 0x8b);
}

Test(cluster_relay, a_packet_of_many_bytes_is_followed_to_its_end)
{
    static uint8_t bytes[5 + 20005];
    memcpy(bytes, welcome, 5);
    memcpy(bytes + 5, "\x30\xa0\x9c\1\0\1t", 7); // 20,000 bytes follow the four of its header
    struct sim_conn *client = ends_after(0, bytes, 5 + 4 + 20000);
    cr_assert_eq(expect_packet(client, MQTT_DISCONNECT).reason, 0x8b);
}

Test(cluster_relay, nothing_is_said_in_the_middle_of_a_packet)
{
    static const uint8_t half[] = {0x20, 3, 1, 0, 0, 0x30, 9, 0, 1, 't'};
    cr_assert_eq(unread(ends_after(0, half, sizeof half)), 0);
}

Test(cluster_relay, nothing_is_said_in_the_middle_of_a_length)
{
    static const uint8_t half[] = {0x20, 3, 1, 0, 0, 0x30, 0x80};
    cr_assert_eq(unread(ends_after(0, half, sizeof half)), 0);
}

Test(cluster_relay, nothing_is_said_before_the_answer_nor_in_mqtt_3)
{
    static const uint8_t old[] = {0x20, 2, 1, 0};
    cr_assert_eq(unread(ends_after(0, NULL, 0)), 0);
    cr_assert_eq(unread(ends_after(MQTT_311, old, sizeof old)), 0);
}

// ---- Where its session is -----------------------------------------------------------------------

static char origin_text[200];

// As this node tells of its own listener: both have the same ones.
static const char *
origin(unsigned listener, const char *name)
{
    struct sim_conn *client = roams(0);
    struct sim_conn *there = sim_node_relays(&node, client);
    char mark[17];
    sim_settle(sim);
    const char *at = memmem(there->to_peer.data, there->to_peer.len, "\nsim\n", 5);
    cr_assert_not_null(at);
    memcpy(mark, at - 16, 16);
    mark[16] = '\0';
    sim_close(client, 0);
    sim_settle(sim);
    (void)snprintf(origin_text, sizeof origin_text, "%u %s\n1.2.3.4:5\n%s", listener, mark, name);
    return origin_text;
}

static struct sim_conn *
is_brought(const char *text, uint8_t version)
{
    struct sim_conn *conn = sim_node_brings(&node, "visitor", text);
    sim_settle(sim);
    if (conn->open)
        sim_send_connect(conn,
                         &(struct sim_connect){.id = "visitor", .keep = true, .version = version});
    sim_settle(sim);
    return conn;
}

Test(cluster_relay, there_it_looks_as_if_it_had_come_there)
{
    struct sim_conn *conn = is_brought(origin(0, "its name"), 0);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    cr_assert_str_eq(conn->client.name, "its name");
    cr_assert_str_eq(conn->client.peer, "1.2.3.4:5");
    cr_assert_eq(conn->client.listener_index, 0);
    cr_assert_eq(conn->client.counts, shard_listener(conn->client.shard, 0));
}

Test(cluster_relay, who_has_no_name_does_not_get_the_nodes)
{
    struct sim_conn *conn = is_brought(origin(0, ""), 0);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    cr_assert_null(conn->client.name);
}

static void
is_refused(const char *text)
{
    cr_assert_eq(expect_packet(is_brought(text, MQTT_5), MQTT_CONNACK).reason, 0x88);
    cr_assert_eq(expect_packet(is_brought(text, MQTT_311), MQTT_CONNACK).reason, 3);
}

Test(cluster_relay, a_listener_that_is_not_there_or_the_nodes_refuses)
{
    const char *text = origin(0, "");
    origin_text[0] = '1'; // the nodes'
    is_refused(text);
    origin_text[0] = '7';
    is_refused(text);
}

Test(cluster_relay, a_listener_that_decides_in_another_way_refuses)
{
    const char *text = origin(0, "");
    struct listener_config *listener = &config->listeners[0];
    bool *const keys[] = {&listener->allow_anonymous, &listener->entry.use_identity_as_username,
                          &listener->entry.use_username_as_clientid,
                          &listener->entry.require_certificate};
    for (unsigned i = 0; i < ARRAY_LEN(keys); i++) {
        *keys[i] = !*keys[i];
        is_refused(text);
        *keys[i] = !*keys[i];
    }
    listener->entry.password_file = mem_strdup("/etc/ternmq/users");
    is_refused(text);
    text = origin(0, "");
    mem_free(listener->entry.password_file);
    listener->entry.password_file = mem_strdup("/home/ternmq/users"); // only elsewhere
    cr_assert_eq(expect_packet(is_brought(text, 0), MQTT_CONNACK).reason, 0);
    mem_free(listener->entry.password_file);
    listener->entry.password_file = mem_strdup("/etc/ternmq/others");
    is_refused(text);
}

Test(cluster_relay, what_is_no_origin_is_a_protocol_error)
{
    static const char *const bad[] = {"",          "0",   "0 ", "x", "0 0123456789abcdef",
                                      "0 1\npeer", "\n\n"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct sim_conn *conn = is_brought(bad[i], 0);
        cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x82, "%u", i);
        cr_assert_not(conn->open);
    }
}
