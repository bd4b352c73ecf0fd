// test_cluster_refer.c - to which other node a client is sent, and what it is told.
#include "core/advertised.h"
#include "core/client_out.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_node.h"

static struct sim_node node;
static struct nodes *nodes;
static struct sim *sim;

static void
set_up(void)
{
    node = sim_node_new(2, sim_config());
    nodes = nodes_of(node.cluster);
    sim = node.sim;
    nodes->roster[0] = (struct cluster_node){.self = true, .state = "alive"};
    nodes->roster_count = 1;
}

static void
tear_down(void)
{
    sim_close_all(sim);
    sim_settle(sim);
    sim_node_free(&node);
}

TestSuite(cluster_refer, .init = set_up, .fini = tear_down);

// As gossip and the links would have it. Its listener 0 is at its name, port 1.
static struct cluster_node *
add_node(char letter, uint64_t clients)
{
    struct cluster_node *row = &nodes->roster[nodes->roster_count++];
    *row = (struct cluster_node){.state = "alive", .has_load = true, .load.clients = clients};
    memset(row->id, letter, NODE_ID_LEN);
    const uint8_t place[] = {1, (uint8_t)letter, 1, 0, 0, 1};
    memcpy(row->advertised, place, sizeof place);
    row->advertised_len = sizeof place;
    struct link *link = nodes_link(nodes, row->id);
    cr_assert_not_null(link);
    atomic_store(&link->up, true);
    return row;
}

static void
set_link(const struct cluster_node *row, bool up)
{
    atomic_store(&nodes_link(nodes, row->id)->up, up);
}

// How many of so many clients go to each node, by its letter.
static void
refer_many(unsigned count, unsigned ret_counts[128])
{
    char text[NODE_REFERENCE_MAX + 1];
    memset(ret_counts, 0, 128 * sizeof *ret_counts);
    for (unsigned i = 0; i < count; i++) {
        cr_assert(refer_client(node.cluster, 0, shard_random(sim->broker->shards[0]), text));
        cr_assert(text[1] == ':' && text[2] == '1' && text[3] == '\0', "%s", text);
        ret_counts[(unsigned char)text[0]]++;
    }
}

static bool
is_referred(uint32_t listener)
{
    char text[NODE_REFERENCE_MAX + 1];
    return refer_client(node.cluster, listener, 1, text);
}

Test(cluster_refer, nobody_where_there_is_nobody)
{
    cr_assert_not(is_referred(0));
    nodes->roster_count = 0; // gossip has not been asked yet
    cr_assert_not(is_referred(0));
}

Test(cluster_refer, only_to_who_takes_clients)
{
    struct cluster_node *a = add_node('a', 0);
    cr_assert(is_referred(0));
    cr_assert_not(is_referred(1), "it says nothing of that listener");
    a->draining = true;
    cr_assert_not(is_referred(0));
    a->draining = false;
    static const char *const states[] = {"suspected", "dead", "gone"};
    for (unsigned i = 0; i < ARRAY_LEN(states); i++) {
        a->state = states[i];
        cr_assert_not(is_referred(0), "%s", states[i]);
    }
    a->state = "alive";
    set_link(a, false);
    cr_assert_not(is_referred(0));
    atomic_store(&nodes_link(nodes, a->id)->copied, true);
    cr_assert_not(is_referred(0));
    atomic_store(&nodes->stopping, true);
    cr_assert(is_referred(0), "our own links end before all clients are told");
    atomic_store(&nodes->stopping, false);
    set_link(a, true);
    cr_assert(is_referred(0));
    a->advertised_len = 0;
    cr_assert_not(is_referred(0));
}

Test(cluster_refer, two_are_filled_to_one_level)
{
    unsigned counts[128];
    add_node('a', 100);
    add_node('b', 0);
    refer_many(100, counts);
    cr_assert_eq(counts['b'], 100, "whoever has fewer, also by those we have sent there");
    refer_many(1000, counts);
    cr_assert(counts['a'] >= 499 && counts['a'] <= 501, "%u", counts['a']);
}

Test(cluster_refer, of_many_none_gets_all)
{
    unsigned counts[128];
    for (char letter = 'a'; letter < 'k'; letter++)
        add_node(letter, letter == 'a' ? 0 : 1000);
    nodes->roster[3].draining = true; // 'c'
    refer_many(1000, counts);
    cr_assert_eq(counts['c'], 0);
    cr_assert(counts['a'] > 150 && counts['a'] < 500, "%u: it is one of two in a fifth",
              counts['a']);
    for (char letter = 'b'; letter < 'k'; letter++)
        cr_assert(letter == 'c' || counts[(unsigned char)letter] > 20, "%c", letter);
}

// ---- What clients are told ----------------------------------------------------------------------

static const uint8_t refused[] = {0x20, 9, 0, 0x9c, 6, 0x1c, 0, 3, 'a', ':', '1'};
static const uint8_t parting[] = {0xe0, 2 + 6 + 3 + 18, 0x9c, 6 + 3 + 18, 0x1c, 0, 3, 'a', ':',
                                  '1'};

static struct sim_conn *
comes(const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c->id)));
    sim_send_connect(conn, c);
    sim_settle(sim);
    return conn;
}

static void
drain(bool last)
{
    cr_assert(
        drain_begin(&sim->broker->drain, sim->now_ms, 0, 1000, last ? DRAIN_LAST : DRAIN_STAY));
}

static bool
begins(const struct sim_conn *conn, const void *bytes, size_t len)
{
    const struct sim_bytes *said = &conn->to_peer;
    return said->len - said->at >= len && memcmp(said->data + said->at, bytes, len) == 0;
}

Test(cluster_refer, who_comes_is_told_by_connack)
{
    add_node('a', 0);
    drain(true);
    struct sim_conn *five = comes(&(struct sim_connect){.id = "five", .version = MQTT_5});
    cr_assert(begins(five, refused, sizeof refused));
    struct sim_conn *small =
        comes(&(struct sim_connect){.id = "small", .version = MQTT_5, .packet_max = 100});
    cr_assert(begins(small, (uint8_t[]){0x20, 3, 0, 0x89, 0}, 5), "it might be too large");
    struct sim_conn *four = comes(&(struct sim_connect){.id = "four", .version = MQTT_311});
    cr_assert(begins(four, (uint8_t[]){0x20, 2, 0, 3}, 4));
    nodes->roster[1].draining = true;
    struct sim_conn *late = comes(&(struct sim_connect){.id = "late", .version = MQTT_5});
    cr_assert(begins(late, (uint8_t[]){0x20, 3, 0, 0x89, 0}, 5));
}

Test(cluster_refer, who_is_there_is_told_by_disconnect)
{
    add_node('a', 0);
    struct sim_conn *five = comes(&(struct sim_connect){.id = "five", .version = MQTT_5});
    struct sim_conn *alone = comes(&(struct sim_connect){.id = "alone", .version = MQTT_5});
    expect_packet(five, MQTT_CONNACK);
    expect_packet(alone, MQTT_CONNACK);
    client_send_away(&five->client);
    sim_settle(sim);
    cr_assert(begins(five, parting, sizeof parting));
    nodes->roster[1].draining = true;
    client_send_away(&alone->client);
    sim_settle(sim);
    cr_assert_eq(expect_packet(alone, MQTT_DISCONNECT).reason, 0x8b);
}
