// test_cluster_link.c - what nodes tell each other, as one of them sees it.
#include "core/retained.h"
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    other = sim_linked_new(&node, 1, config);
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_link, .init = set_up, .fini = tear_down);

static void
says(const char *topic, const struct sim_word *word)
{
    sim_node_says(other, topic, word);
    sim_settle(sim);
}

static void
is_taken(void)
{
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static void
is_refused(void)
{
    struct server_packet packet;
    while (sim_next(other, &packet))
        cr_assert_neq(packet.type, MQTT_PUBACK);
    cr_assert_not(other->open);
    other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
}

// ---- Routes -------------------------------------------------------------------------------------

Test(cluster_link, its_routes_are_in_force_once_it_has_the_acknowledgement)
{
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 1, "", "a/+");
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert(sim_linked_wants(&node, "a/b") && !sim_linked_wants(&node, "a"));
    cr_assert_eq(sim_linked_figures(&node).routes_theirs, 1);
    word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 0, "", "a/+");
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert_not(sim_linked_wants(&node, "a/b"));
}

Test(cluster_link, what_a_later_set_lacks_is_gone)
{
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_BEGIN, 0, "", NULL);
    sim_word_step(&word, ROUTE_ENTRY, 1, "", "a");
    sim_word_step(&word, ROUTE_ENTRY, 1, "", "b");
    sim_word_step(&word, ROUTE_ENTRY, 5, "g", "s");
    sim_word_step(&word, ROUTE_END, 0, "", NULL);
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert(sim_linked_wants(&node, "a") && sim_linked_wants(&node, "b"));
    word = sim_linked_word();
    sim_word_step(&word, ROUTE_BEGIN, 0, "", NULL);
    sim_word_step(&word, ROUTE_ENTRY, 1, "", "b");
    sim_word_step(&word, ROUTE_ENTRY, 1, "", "c");
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert(sim_linked_wants(&node, "a") && sim_linked_wants(&node, "b") &&
              sim_linked_wants(&node, "c")); // it is not complete yet
    word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 0, "", "c"); // changed meanwhile
    sim_word_step(&word, ROUTE_END, 0, "", NULL);
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert(!sim_linked_wants(&node, "a") && sim_linked_wants(&node, "b") &&
              !sim_linked_wants(&node, "c") && !sim_linked_wants(&node, "s"));
}

// ---- Limits, and whether what is here is what it has --------------------------------------------

// What it says it has: a client's session, a filter, a group.
static const struct owned {
    const char *group, *filter;
    uint32_t weight;
} owned[] = {{"", "a", 1}, {"", "b/+", 1}, {"g", "s", 3u << GROUP_ID_BITS | 5}, {"\1me", "", 1}};

static uint64_t
owned_hash(uint32_t count)
{
    struct route_set set = {0};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t key[32];
        size_t group = strlen(owned[i].group), filter = strlen(owned[i].filter);
        memcpy(key, owned[i].group, group + 1);
        memcpy(key + group + 1, owned[i].filter, filter);
        // A session's key is its identifier alone, with one byte before it.
        bool is_session = owned[i].group[0] == KEY_SESSION;
        (void)route_set_put(&set, slice_of(key, group + filter + !is_session), owned[i].weight);
    }
    uint64_t hash = set.hash;
    route_set_free(&set);
    return hash;
}

static void
add_owned(struct sim_word *word, enum route_step step, uint32_t i, uint64_t number)
{
    if (owned[i].group[0] != KEY_SESSION) {
        sim_word_numbered(word, step, number, owned[i].weight, owned[i].group, owned[i].filter);
        return;
    }
    sim_word_int(word, (uint64_t)step, 1);
    sim_word_int(word, number, 8);
    sim_word_int(word, 1, 8);
    sim_word_int(word, strlen(owned[i].group), 4);
    sim_word_put(word, owned[i].group, strlen(owned[i].group));
}

// All but the last, which is said to be change 11.
static void
says_its_routes(void)
{
    struct sim_word word = sim_linked_word();
    sim_word_numbered(&word, ROUTE_BEGIN, 10, 0, "", NULL);
    for (uint32_t i = 0; i + 1 < ARRAY_LEN(owned); i++)
        add_owned(&word, ROUTE_ENTRY, i, 0);
    sim_word_numbered(&word, ROUTE_END, 10, owned_hash(ARRAY_LEN(owned) - 1), "", NULL);
    add_owned(&word, ROUTE_CHANGE, ARRAY_LEN(owned) - 1, 11);
    sim_word_numbered(&word, ROUTE_DIGEST, 11, owned_hash(ARRAY_LEN(owned)), "", NULL);
    says(TOPIC_ROUTES, &word);
    is_taken();
}

static void
says_its_digest(uint64_t number, uint64_t hash)
{
    struct sim_word word = sim_linked_word();
    sim_word_numbered(&word, ROUTE_DIGEST, number, hash, "", NULL);
    says(TOPIC_ROUTES, &word);
    is_taken();
}

static struct link *
its_link(void)
{
    return nodes_link(nodes_of(node.cluster), SIM_OTHER);
}

static struct session *
its_session(void)
{
    struct shard *shard = sim->broker->shards[0];
    struct slice id = slice_str(NODE_TO SIM_OTHER);
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

Test(cluster_link, a_copy_of_its_routes_that_is_right_is_left_alone)
{
    says_its_routes();
    says_its_digest(11, owned_hash(ARRAY_LEN(owned)));
    says_its_routes();      // after a break, as a whole
    says_its_digest(12, 0); // of what is on its way
    says_its_digest(10, 0); // what came once more
    cr_assert_eq(sim_linked_figures(&node).divergence, 0);
    cr_assert_not(its_link()->ask_again || its_link()->scrub.running);
}

static void
all_begins_to_be_looked_at(void)
{
    struct sim_word word = sim_linked_word();
    sim_word_numbered(&word, ROUTE_DIGEST, 11, owned_hash(ARRAY_LEN(owned)), "", NULL);
    sim_node_says(other, TOPIC_ROUTES, &word);
    for (unsigned i = 0; i < 10 && its_link()->scrub.place == 0; i++)
        sim_tick(sim, 0);
    cr_assert(its_link()->scrub.running && its_link()->scrub.place > 0);
}

// After a break all that was not acknowledged comes again, much of it older than what is here.
Test(cluster_link, what_comes_once_more_while_all_is_looked_at_is_no_divergence)
{
    struct sim_word word;
    says_its_routes();
    all_begins_to_be_looked_at();
    for (unsigned there = 0; there < 2; there++) { // its last two changes
        word = sim_linked_word();
        sim_word_session(&word, "me", there);
        sim_node_says(other, TOPIC_ROUTES, &word);
        sim_settle(sim);
        cr_assert_not(its_link()->scrub.running);
    }
    for (unsigned i = 0; i < 3; i++)
        is_taken();
    cr_assert_eq(sim_linked_figures(&node).divergence, 0);
    says_its_digest(11, owned_hash(ARRAY_LEN(owned)));
    cr_assert_eq(sim_linked_figures(&node).divergence, 0);
}

Test(cluster_link, a_link_that_comes_and_goes_while_all_is_looked_at_is_no_divergence)
{
    struct sim_conn *out = sim_node_dials(&node);
    says_its_routes();
    all_begins_to_be_looked_at();
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).divergence, 0);
    all_begins_to_be_looked_at();
    sim_close(out, 0);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).divergence, 0);
}

static void
is_asked_again(struct sim_conn *out)
{
    cr_assert_eq(sim_linked_figures(&node).divergence, 1);
    cr_assert_not_null(memmem(out->to_peer.data, out->to_peer.len, TOPIC_AGAIN, 13));
    says_its_routes();
    says_its_digest(11, owned_hash(ARRAY_LEN(owned)));
    cr_assert_eq(sim_linked_figures(&node).divergence, 1);
    cr_assert(sim_linked_wants(&node, "a") && sim_linked_wants(&node, "b/x") &&
              its_link()->sessions.count == 1);
    cr_assert_eq(sim_linked_figures(&node).routes_theirs, 3);
}

// What is damaged is found by looking, although nothing is told but the digest.
Test(cluster_link, a_damaged_copy_of_its_routes_is_found_and_repaired)
{
    struct sim_conn *out = sim_linked_dial(&node);
    says_its_routes();
    cr_assert(session_unsubscribe(its_session(), slice_str("b/+"), (struct slice){0}));
    cr_assert_not(sim_linked_wants(&node, "b/x"));
    says_its_digest(11, owned_hash(ARRAY_LEN(owned)));
    is_asked_again(out);
}

Test(cluster_link, a_session_that_is_lost_from_the_copy_is_found)
{
    struct sim_conn *out = sim_linked_dial(&node);
    says_its_routes();
    cr_assert(route_set_put(&its_link()->sessions, slice_str("me"), 0));
    says_its_digest(11, owned_hash(ARRAY_LEN(owned)));
    is_asked_again(out);
}

// With the next change, at once.
Test(cluster_link, routes_that_never_came_are_found)
{
    struct sim_conn *out = sim_linked_dial(&node);
    struct sim_word word = sim_linked_word();
    sim_word_numbered(&word, ROUTE_BEGIN, 11, 0, "", NULL);
    add_owned(&word, ROUTE_ENTRY, 0, 0);
    sim_word_numbered(&word, ROUTE_END, 11, owned_hash(ARRAY_LEN(owned)), "", NULL);
    says(TOPIC_ROUTES, &word);
    is_taken();
    is_asked_again(out);
}

Test(cluster_link, who_asks_is_told_all_routes_again)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "mine/#", 0);
    (void)sim_linked_dial(&node);
    cr_assert_eq(sim_linked_figures(&node).routes_told, 1);
    struct sim_word word = {0};
    sim_word_int(&word, 0, 1);
    says(TOPIC_AGAIN, &word);
    is_taken();
    cr_assert_eq(sim_linked_figures(&node).routes_told, 2);
    uint64_t waiting = sim_linked_figures(&node).waiting;
    atomic_fetch_add(&nodes_of(node.cluster)->digest_round, 1);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).waiting, waiting + 1); // the digest alone
    cr_assert_eq(sim_linked_figures(&node).routes_told, 2);
}

Test(cluster_link, who_tells_more_than_it_may_is_not_listened_to)
{
    struct key_limits *limits = &nodes_of(node.cluster)->limits;
    limits->keys = 2;
    limits->slack = 1;
    struct sim_word word = sim_linked_word();
    add_owned(&word, ROUTE_CHANGE, 0, 1);
    add_owned(&word, ROUTE_CHANGE, 1, 2);
    add_owned(&word, ROUTE_CHANGE, 3, 3);
    says(TOPIC_ROUTES, &word);
    is_taken();
    word = sim_linked_word();
    add_owned(&word, ROUTE_CHANGE, 2, 4);
    says(TOPIC_ROUTES, &word);
    is_refused();
    cr_assert_eq(sim_linked_figures(&node).routes_refused, 1);
    cr_assert(sim_linked_wants(&node, "a") && sim_linked_wants(&node, "b/x") &&
              !sim_linked_wants(&node, "s"));
    word = sim_linked_word();
    sim_word_numbered(&word, ROUTE_CHANGE, 4, 0, "", "a");
    add_owned(&word, ROUTE_CHANGE, 2, 5);
    says(TOPIC_ROUTES, &word);
    is_taken();
    cr_assert(sim_linked_wants(&node, "s") && !sim_linked_wants(&node, "a"));
}

Test(cluster_link, what_other_nodes_cannot_be_told_of_is_refused)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    nodes_of(node.cluster)->limits.keys = 1;
    subscribed(sim, client, "one", 0);
    sim_subscribe(client, &(struct sim_subscribe){.filter = "two"});
    sim_settle(sim);
    cr_assert_eq(expect_packet(client, MQTT_SUBACK).codes.data[0], 0x97);
    subscribed(sim, client, "one", 1); // again
    struct sim_conn *durable = sim_open(sim, 0);
    sim_send_connect(durable, &(struct sim_connect){.id = "d", .expiry_s = 60});
    sim_settle(sim);
    cr_assert_eq(expect_packet(durable, MQTT_CONNACK).reason, 0x97);
    sim_close(sim_connect(sim, &(struct sim_connect){.id = "e"}), 0); // it goes with its connection
    cr_assert_eq(sim_linked_figures(&node).routes_refused, 2);
    cr_assert_eq(sim_linked_figures(&node).routes_ours, 1);
}

Test(cluster_link, routes_that_are_none_end_the_connection)
{
    static const char *const bad[] = {"", "a/#/b", "a+", "$TERNMQ/#", "$TERNMQ/routes", "\xff"};
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        struct sim_word word = sim_linked_word();
        sim_word_step(&word, ROUTE_CHANGE, 1, "", bad[i]);
        says(TOPIC_ROUTES, &word);
        is_refused();
    }
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, UINT64_C(1) << 40, "", "a");
    says(TOPIC_ROUTES, &word);
    is_refused();
    word = sim_linked_word();
    sim_word_step(&word, (enum route_step)9, 1, "", "a");
    says(TOPIC_ROUTES, &word);
    is_refused();
    word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 1, "", "a");
    for (uint32_t len = word.len - 1; len > 16; len--) { // cut off anywhere
        word.len = len;
        says(TOPIC_ROUTES, &word);
        is_refused();
    }
    cr_assert_not(sim_linked_wants(&node, "a"));
}

// ---- What is retained ---------------------------------------------------------------------------

#define CONTENT "\3\0\4text" // a content type

Test(cluster_link, what_it_retains_is_retained_here_and_delivered)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "#", 1);
    struct sim_retained r = {
        .qos = 1, .topic = "kept", .payload = "new", .props = slice_of(CONTENT, 7), .stamp = 5};
    struct sim_word word = {0};
    sim_word_retained(&word, &r);
    says(TOPIC_RETAINED, &word);
    is_taken();
    cr_assert_not_null(retained_get(sim->broker->retained, slice_str("kept")));
    // What is older, or has no time: what is here stays.
    word = (struct sim_word){0};
    r.stamp = 4;
    r.payload = "old";
    sim_word_retained(&word, &r);
    says(TOPIC_RETAINED, &word);
    is_taken();
    word = (struct sim_word){0};
    r.stamp = 0;
    sim_word_retained(&word, &r);
    says(TOPIC_RETAINED, &word);
    is_taken();
    struct msg *msg = retained_get(sim->broker->retained, slice_str("kept"));
    cr_assert(msg && slice_equal(msg_payload(msg), slice_str("new")));
    word = (struct sim_word){0};
    r.stamp = 6;
    r.payload = "";
    sim_word_retained(&word, &r);
    says(TOPIC_RETAINED, &word);
    is_taken();
    cr_assert_null(retained_get(sim->broker->retained, slice_str("kept")));
}

// Clients get topics and properties as they are: what no client may say, no node may.
Test(cluster_link, what_clients_could_not_read_is_not_retained)
{
    static const char *const topics[] = {"", "a/#", "+", "$SYS/x", "$TERNMQ/x", "\xff"};
    static const struct slice props[] = {
        {(const uint8_t *)"\43\0\1", 3},    // a topic alias
        {(const uint8_t *)"\2\0\0\0\1", 5}, // an expiry, which is told otherwise
        {(const uint8_t *)"\3\0\4tex", 6},  // cut off
        {(const uint8_t *)"\3\0\1\xff", 4}, // no UTF-8
        {(const uint8_t *)"\1\2", 2},       // no such format
        {(const uint8_t *)"\1\1\1\1", 4},   // twice
        {(const uint8_t *)"\x7f", 1},       // no such property
    };
    for (unsigned i = 0; i < ARRAY_LEN(topics) + ARRAY_LEN(props); i++) {
        struct sim_retained r = {.topic = "t", .payload = "x"};
        struct sim_word word = {0};
        if (i < ARRAY_LEN(topics))
            r.topic = topics[i];
        else
            r.props = props[i - ARRAY_LEN(topics)];
        sim_word_retained(&word, &r);
        says(TOPIC_RETAINED, &word);
        is_refused();
        cr_assert_null(retained_get(sim->broker->retained, slice_str("t")), "%u", i);
    }
}

// ---- Share groups -------------------------------------------------------------------------------

static uint32_t
count_publish(struct sim_conn *conn)
{
    struct server_packet packet;
    uint32_t count = 0;
    while (sim_next(conn, &packet))
        count += packet.type == MQTT_PUBLISH;
    return count;
}

Test(cluster_link, another_node_counts_in_a_group_by_its_members_there)
{
    struct sim_conn *members[2], *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    for (unsigned i = 0; i < 2; i++) {
        members[i] = sim_connect(sim, &(struct sim_connect){.id = i ? "m1" : "m0"});
        subscribed(sim, members[i], "$share/g/s", 0);
    }
    (void)sim_linked_dial(&node);
    static const uint32_t weights[] = {6, 2, 4095, 1};
    for (unsigned w = 0; w < ARRAY_LEN(weights); w++) {
        struct sim_word word = sim_linked_word();
        sim_word_step(&word, ROUTE_CHANGE, weights[w] << GROUP_ID_BITS | 5, "g", "s");
        says(TOPIC_ROUTES, &word);
        is_taken();
        for (unsigned i = 0; i < 1200; i++) {
            publish_text(client, "s", 0, "x");
            sim_settle(sim);
        }
        uint32_t own[2] = {count_publish(members[0]), count_publish(members[1])};
        double want = 1200.0 / (2 + weights[w]);
        for (unsigned m = 0; m < 2; m++)
            cr_assert(own[m] > want * 0.9 - 2 && own[m] < want * 1.1 + 2, "%u of %u: %u",
                      weights[w], m, own[m]);
    }
    // One that is said to be of our group is a member's of our own, by turns.
    uint32_t len;
    struct nodes *nodes = nodes_of(node.cluster);
    uint32_t id = GROUP_ID(route_log_weight(nodes->log, slice_of("g\0s", 3)));
    cr_assert_not_null(groups_find(&nodes->groups, id, &len));
    for (unsigned i = 0; i < 100; i++) {
        struct wire wire = wire_begin(), props = wire_begin();
        wire_text(&wire, "s");
        wire_int(&props, PROP_SUBSCRIPTION_ID, 1);
        wire_varint(&props, id);
        wire_props(&wire, &props);
        wire_end(&wire, other, MQTT_PUBLISH << 4);
        sim_settle(sim);
    }
    uint32_t first = count_publish(members[0]), second = count_publish(members[1]);
    cr_assert(first + second == 100 && first >= 45 && second >= 45, "%u, %u", first, second);
    // It leaves the group; its members are ours alone.
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 0, "g", "s");
    says(TOPIC_ROUTES, &word);
    is_taken();
    for (unsigned i = 0; i < 100; i++)
        publish_text(client, "s", 0, "x");
    sim_settle(sim);
    cr_assert_eq(count_publish(members[0]) + count_publish(members[1]), 100);
}

// A message for a group whose last member went is counted, and breaks nothing.
Test(cluster_link, a_group_that_is_gone_breaks_no_link)
{
    struct wire wire = wire_begin(), props = wire_begin();
    wire_text(&wire, "s");
    wire_int(&wire, 7, 2);
    wire_int(&props, PROP_SUBSCRIPTION_ID, 1);
    wire_varint(&props, 77);
    wire_props(&wire, &props);
    wire_end(&wire, other, MQTT_PUBLISH << 4 | 2);
    sim_settle(sim);
    is_taken();
    cr_assert_eq(stat_get(&sim->broker->shards[0]->stats.dropped_no_member), 1);
}

// ---- Words --------------------------------------------------------------------------------------

Test(cluster_link, what_is_no_word_ends_the_connection)
{
    struct sim_word word = {0};
    sim_word_put(&word, "x", 1);
    says(NODE_ROOT "x", &word);
    is_refused();
}

// ---- What we tell -------------------------------------------------------------------------------

Test(cluster_link, it_is_told_of_routes_and_of_what_is_retained_once_it_answers)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "mine/#", 0);
    struct sim_conn *out = sim_node_dials(&node);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).links_up, 0);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(sim);
    cr_assert_eq(sim_linked_figures(&node).links_up, 1);
    cr_assert_eq(sim_linked_figures(&node).routes_ours, 1);
    cr_assert_eq(sim_linked_figures(&node).routes_told, 1);
    // That what is retained is told anew, that this was all, of our client, no Wills, and no move.
    cr_assert_eq(sim_linked_figures(&node).waiting, 7);
    cr_assert_not_null(memmem(out->to_peer.data, out->to_peer.len, "mine/#", 6));
    for (uint16_t id = 1; id <= 7; id++)
        sim_ack(out, MQTT_PUBACK, id);
    cr_assert_eq(sim_linked_figures(&node).waiting, 0);
    struct nodes *nodes = nodes_of(node.cluster);
    cr_assert(node.cluster->ops->routes_known(node.cluster, atomic_load(&nodes->changes)));
    sim_close(out, 0);
    cr_assert_eq(sim_linked_figures(&node).links_up, 0);
}

// ---- What a client could not say, or a node -----------------------------------------------------

static void
wants_as_well(const char *filter)
{
    struct sim_word word = sim_linked_word();
    sim_word_step(&word, ROUTE_CHANGE, 1, "", filter);
    says(TOPIC_ROUTES, &word);
    is_taken();
}

Test(cluster_link, a_run_that_comes_from_a_node_goes_to_no_node)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    wants_as_well("t");
    subscribed(sim, client, "t", 1);
    struct sim_conn *out = sim_linked_dial(&node);
    other->client.read_paused = true; // all in one receive
    for (uint16_t id = 1; id <= 3; id++)
        sim_publish(other, &(struct sim_publish){.topic = "t",
                                                 .qos = 1,
                                                 .packet_id = id,
                                                 .payload = slice_str("comes once")});
    other->client.read_paused = false;
    sim_receive(other);
    sim_settle(sim);
    for (unsigned i = 0; i < 3; i++) {
        expect_publish(client, 1, "comes once");
        is_taken();
    }
    cr_assert_null(memmem(out->to_peer.data, out->to_peer.len, "comes once", 10));
    publish_text(client, "t", 1, "goes there");
    sim_settle(sim);
    cr_assert_not_null(memmem(out->to_peer.data, out->to_peer.len, "goes there", 10));
}

Test(cluster_link, what_it_has_acknowledged_to_a_client_is_not_refused)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "t", 1);
    config->payload_size_max = 3;
    publish_text(other, "t", 1, "longer than three");
    sim_settle(sim);
    is_taken();
    expect_publish(client, 1, "longer than three");
    publish_text(client, "t", 1, "longer than three");
    sim_settle(sim);
    expect_answer(client, MQTT_PUBACK, 1, 0x97);
}

Test(cluster_link, who_is_dialled_only_answers)
{
    static const struct {
        const char *bytes; // PUBLISH, PINGREQ, SUBSCRIBE, DISCONNECT
        uint32_t len;
    } said[] = {
        {"\x30\4\0\1t\0", 6}, {"\xc0\0", 2}, {"\x82\7\0\1\0\0\1t\0", 9}, {"\xe0\2\x8b\0", 4}};
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    subscribed(sim, client, "t", 0);
    for (unsigned i = 0; i < ARRAY_LEN(said); i++) {
        struct sim_conn *out = sim_linked_dial(&node);
        cr_assert_eq(sim_linked_figures(&node).links_up, 1);
        sim_feed(out, said[i].bytes, said[i].len);
        sim_settle(sim);
        cr_assert_not(out->open, "%u", i);
        cr_assert_eq(out->client.close_reason, i == 3 ? OK : ERR_PROTOCOL);
        expect_nothing(client);
    }
}

// ---- Long names ---------------------------------------------------------------------------------

static char *
long_name(size_t len)
{
    char *name = mem_alloc(len + 1);
    memset(name, 'a', len);
    name[len] = '\0';
    return name;
}

Test(cluster_link, the_longest_filter_is_a_route)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    char *name = long_name(UINT16_MAX), *group = long_name(UINT16_MAX);
    memcpy(group, "$share/g/", 9);
    subscribed(sim, client, name, 0);
    subscribed(sim, client, group, 0);
    cr_assert_eq(sim_linked_figures(&node).routes_ours, 2);
    mem_free(name);
    mem_free(group);
}

Test(cluster_link, a_client_identifier_leaves_room_for_what_nodes_put_before_it)
{
    char *name = long_name(NODE_CLIENT_ID_MAX + 1);
    struct sim_connect c = {.id = name, .keep = true, .expiry_s = 100};
    struct sim_conn *client = sim_open(sim, 0);
    sim_send_connect(client, &c);
    sim_settle(sim);
    cr_assert_eq(expect_packet(client, MQTT_CONNACK).reason, 0x85);
    name[NODE_CLIENT_ID_MAX] = '\0';
    client = sim_connect(sim, &c);
    cr_assert_eq(client->hello.reason, 0);
    mem_free(name);
}

Test(cluster_link, a_user_name_makes_nobody_a_node)
{
    config->listeners[0].entry.use_username_as_clientid = true;
    wants_as_well("t"); // there is a session of that name
    struct sim_conn *client = sim_open(sim, 0);
    sim_send_connect(client, &(struct sim_connect){.id = "c", .user = NODE_TO SIM_OTHER});
    sim_settle(sim);
    cr_assert_eq(expect_packet(client, MQTT_CONNACK).reason, 0x85);
}
