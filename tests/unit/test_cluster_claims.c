// test_cluster_claims.c - one connection and one session for a client in all nodes, as one of them
// sees it.
#include <errno.h>

#include "core/cluster.h"
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us
static struct sim_conn *out;   // we come to it

static void
set_up_with(unsigned shards, struct config *config)
{
    other = sim_linked_new(&node, shards, config);
    sim = node.sim;
}

static void
set_up(void)
{
    set_up_with(3, sim_config());
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_claims, .init = set_up, .fini = tear_down);

static void
says(const struct sim_word *word)
{
    sim_node_says(other, TOPIC_CAME, word);
    sim_settle(sim);
}

static void
says_claim(bool clean, uint64_t claim, const char *id)
{
    struct sim_word word = {0};
    sim_word_claim(&word, clean, claim, id);
    says(&word);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static struct session *
session_of(const char *id)
{
    struct shard *shard = sim->broker->shards[broker_home(sim->broker, slice_str(id))];
    return registry_find(shard->registry, slice_str(id),
                         registry_hash(shard->registry, slice_str(id)));
}

static uint64_t
doubled(void)
{
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    sim_settle(sim);
    return figures.doubled;
}

// How often the other node was told of this client's claim.
static unsigned
told(const char *id, uint64_t claim)
{
    struct sim_word want = {0};
    unsigned count = 0;
    sim_word_claim(&want, false, claim, id);
    const uint8_t *at = out->to_peer.data, *end = at + out->to_peer.len;
    while ((at = memmem(at, (size_t)(end - at), want.bytes, want.len)) != NULL) {
        at++;
        count++;
    }
    return count;
}

// ---- Heard --------------------------------------------------------------------------------------

Test(cluster_claims, a_later_claim_ends_the_connection)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    uint64_t ours = session_of("c")->claim;
    cr_assert_gt(ours, 0);
    says_claim(false, ours + 1, "c");
    expect_dismissed(client, 0x8e);
    cr_assert_null(session_of("c"));
    cr_assert_eq(doubled(), 0); // nothing was to stay
}

Test(cluster_claims, an_earlier_claim_is_answered)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    uint64_t ours = session_of("c")->claim;
    out = sim_linked_dial(&node);
    cr_assert_eq(told("c", ours), 1);
    says_claim(true, ours - 1, "c");
    expect_nothing(client);
    cr_assert(client->open);
    cr_assert_eq(told("c", ours), 2);
}

Test(cluster_claims, of_equal_claims_the_higher_nodes_stays)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    bool ours_is_higher = strcmp(node.cluster->id, SIM_OTHER) > 0;
    says_claim(false, session_of("c")->claim, "c");
    if (!ours_is_higher)
        expect_dismissed(client, 0x8e);
    cr_assert_eq(client->open, ours_is_higher);
}

Test(cluster_claims, of_two_sessions_the_later_stays)
{
    struct sim_conn *away = sim_connect_durable(sim, "away"), *here;
    sim_close(away, 0);
    here = sim_connect_durable(sim, "here");
    uint64_t ours = session_of("away")->claim;
    says_claim(false, ours - 1, "away");
    cr_assert_not_null(session_of("away"));
    says_claim(false, ours + 1, "away");
    cr_assert_null(session_of("away"));
    cr_assert_eq(doubled(), 1);
    says_claim(false, session_of("here")->claim + 1, "here");
    expect_dismissed(here, 0x8e);
    cr_assert_null(session_of("here"));
    cr_assert_eq(doubled(), 2);
    cr_assert_not(sim_connect_durable(sim, "here")->hello.session_present);
}

Test(cluster_claims, who_comes_with_a_clean_start_elsewhere_has_lost_nothing)
{
    sim_close(sim_connect_durable(sim, "c"), 0);
    says_claim(true, session_of("c")->claim + 1, "c");
    cr_assert_null(session_of("c"));
    cr_assert_eq(doubled(), 0);
}

Test(cluster_claims, one_word_may_tell_of_many)
{
    struct sim_conn *clients[8];
    struct sim_word word = {0};
    char id[8];
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++) {
        (void)snprintf(id, sizeof id, "m%u", i);
        clients[i] = sim_connect(sim, &(struct sim_connect){.id = id});
        uint64_t ours = session_of(id)->claim;
        sim_word_claim(&word, false, i % 2 ? ours + 1 : ours - 1, id);
    }
    says(&word);
    expect_packet(other, MQTT_PUBACK);
    for (unsigned i = 0; i < ARRAY_LEN(clients); i++)
        cr_assert_eq(clients[i]->open, i % 2 == 0, "%u", i);
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

Test(cluster_claims, words_that_are_none_end_the_connection_and_nobody_elses)
{
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    static const struct {
        uint32_t flags;
        uint64_t claim;
        const char *id;
    } bad[] = {
        {2, CLAIM_MAX, "c"},        {255, CLAIM_MAX, "c"}, {0, CLAIM_MAX + 1, "c"},
        {0, UINT64_MAX, "c"},       {0, CLAIM_MAX, ""},    {0, CLAIM_MAX, "\xff"},
        {0, CLAIM_MAX, "\xc0\x80"},
    };
    struct sim_word word = {0};
    says(&word);
    is_refused();
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        word = (struct sim_word){0};
        sim_word_claim(&word, false, bad[i].claim, bad[i].id);
        word.bytes[0] = (uint8_t)bad[i].flags;
        says(&word);
        is_refused();
    }
    word = (struct sim_word){0};
    sim_word_claim(&word, false, CLAIM_MAX, "c");
    while (--word.len > 0) { // cut off anywhere
        says(&word);
        is_refused();
    }
    cr_assert(client->open);
}

Test(cluster_claims, nodes_have_no_claims)
{
    says_claim(false, CLAIM_MAX, NODE_FROM SIM_OTHER);
    cr_assert(other->open);
    out = sim_linked_dial(&node);
    says_claim(false, CLAIM_MAX, NODE_TO SIM_OTHER);
    cr_assert(out->open);
}

// ---- Made ---------------------------------------------------------------------------------------

Test(cluster_claims, a_claim_is_higher_than_all_that_were_heard)
{
    uint64_t far = CLAIM_MAX - 1000;
    says_claim(false, far, "somebody");
    (void)sim_connect_durable(sim, "c");
    uint64_t first = session_of("c")->claim;
    cr_assert_gt(first, far);
    struct sim_conn *again = sim_connect_durable(sim, "c"); // the session is the same
    cr_assert(again->hello.session_present);
    cr_assert_gt(session_of("c")->claim, first);
}

Test(cluster_claims, a_claim_is_not_before_the_clock)
{
    (void)sim_connect(sim, &(struct sim_connect){.id = "c"});
    sim_tick(sim, 1000000);
    (void)sim_connect(sim, &(struct sim_connect){.id = "d"});
    cr_assert_geq(session_of("d")->claim, session_of("c")->claim + 1000000);
}

// ---- Told ---------------------------------------------------------------------------------------

// Acknowledges what it was sent, until nothing comes any more.
static void
acknowledge_all(void)
{
    struct nodes *nodes = nodes_of(node.cluster);
    for (uint16_t id = 1; id < 2000; id++) {
        struct session *session = nodes->links[0]->session;
        if (deliveries_unacked(&session->out) == 0)
            return;
        sim_ack(out, MQTT_PUBACK, id);
        sim_settle(sim);
    }
}

Test(cluster_claims, a_new_link_begins_with_all_of_them)
{
    enum { CLIENTS = 3000 };
    static uint64_t claims[CLIENTS];
    char id[96];
    for (unsigned i = 0; i < CLIENTS; i++) {
        (void)snprintf(id, sizeof id, "a client with an identifier that is long enough, %u.", i);
        struct sim_conn *client = i % 3 ? sim_connect(sim, &(struct sim_connect){.id = id})
                                        : sim_connect_durable(sim, id);
        claims[i] = session_of(id)->claim;
        if (i % 6 == 0)
            sim_close(client, 0);
    }
    for (unsigned round = 1; round <= 2; round++) {
        out = sim_linked_dial(&node);
        acknowledge_all();
        for (unsigned i = 0; i < CLIENTS; i++) {
            (void)snprintf(id, sizeof id, "a client with an identifier that is long enough, %u.",
                           i);
            cr_assert_eq(told(id, claims[i]), 1, "round %u, %s", round, id);
        }
        sim_close(out, ECONNRESET);
    }
}

Test(cluster_claims, who_comes_is_told_at_once)
{
    out = sim_linked_dial(&node);
    (void)sim_connect(sim, &(struct sim_connect){.id = "c", .keep = true});
    cr_assert_eq(told("c", session_of("c")->claim), 1);
}

// A session of the client's is on that node, which is away: that it is to end is not forgotten.
Test(cluster_claims, a_clean_start_waits_for_the_node_that_has_the_session)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_step(&word, ROUTE_CHANGE, 1, "\1c", "");
    word.bytes[16 + 20]--; // the key ends before the NUL
    word.len--;
    out = sim_linked_dial(&node);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    expect_packet(other, MQTT_PUBACK);
    acknowledge_all();
    sim_close(out, ECONNRESET);
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    uint64_t claim = session_of("c")->claim;
    sim_close(client, 0);
    out = sim_linked_dial(&node);
    struct sim_word want = {0};
    sim_word_claim(&want, true, claim, "c");
    cr_assert_not_null(memmem(out->to_peer.data, out->to_peer.len, want.bytes, want.len));
}

// ---- Lost ---------------------------------------------------------------------------------------

static void
set_up_narrow(void)
{
    struct config *config = sim_config();
    config->output_bytes_max = 2000;
    set_up_with(1, config);
}

TestSuite(cluster_claims_narrow, .init = set_up_narrow, .fini = tear_down);

Test(cluster_claims_narrow, what_a_slow_node_was_not_told_is_told_again)
{
    out = sim_linked_dial(&node);
    acknowledge_all();
    sim_room(out, 0);
    char id[16];
    for (unsigned i = 0; i < 300; i++) { // more than fits
        (void)snprintf(id, sizeof id, "slow%u", i);
        (void)sim_connect(sim, &(struct sim_connect){.id = id, .keep = true});
    }
    cr_assert_gt(stat_sum(sim, dropped_slow_consumer), 0);
    sim_room(out, SIM_UNLIMITED);
    sim_settle(sim);
    acknowledge_all();
    for (unsigned i = 0; i < 300; i++) {
        (void)snprintf(id, sizeof id, "slow%u", i);
        cr_assert_geq(told(id, session_of(id)->claim), 1, "%s", id);
    }
}
