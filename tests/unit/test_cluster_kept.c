// test_cluster_kept.c - what is for another node, with a keeper: when it is written, and when not.
#include "core/explain.h"
#include "core/session_routes.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_kept.h"

#define HOLD 5u // ms, as the journal waits for acknowledgements that are expected soon

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct shard *shard;          // the only one
static struct sim_conn *other, *out; // it comes to us; we have dialled it
static struct sim_conn *client;

// The session in which waits what is for it.
static struct session *
its_session(void)
{
    struct slice id = slice_str(NODE_TO SIM_OTHER);
    return registry_find(shard->registry, id, registry_hash(shard->registry, id));
}

// All that it is sent.
static void
it_acknowledges(void)
{
    const struct deliveries *queue = &its_session()->out;
    while (queue->inflight > 0) {
        for (uint64_t seq = queue->head, end = queue->sent; seq != end; seq++)
            sim_ack(out, MQTT_PUBACK, deliveries_packet_id(seq));
        sim_settle(sim);
    }
}

// It comes to us, who have just started.
static void
start(void)
{
    struct config *config = sim_config();
    config->session_expiry_max_s = 86400;
    config->queued_messages_max = 1000000;
    node = sim_node_make(1, config, true);
    sim = node.sim;
    shard = sim->broker->shards[0];
    for (uint32_t i = 0; i < disk->count; i++)
        sim_restore_session(sim, disk, i);
    other = sim_node_comes(&node);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_CONNACK);
}

struct step {
    enum route_step step;
    uint64_t weight;
    const char *group, *filter;
};

static void
says(const struct step *steps, unsigned count)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    for (unsigned i = 0; i < count; i++)
        sim_word_step(&word, steps[i].step, steps[i].weight, steps[i].group, steps[i].filter);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_PUBACK);
}

#define SAYS(...)                            \
    says((const struct step[]){__VA_ARGS__}, \
         sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

static void
set_up(void)
{
    disk = sim_disk_new();
    start();
    SAYS({ROUTE_CHANGE, 1, "", "t"});
    out = sim_node_dials(&node);
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_kept_rest(sim, disk);
    it_acknowledges();
    client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    sim_kept_rest(sim, disk);
    cr_assert(deliveries_empty(&its_session()->out));
}

static void
tear_down(void)
{
    sim_kept_free(&node, disk);
}

// The process is killed, and started again.
static void
restart(void)
{
    uint64_t session = disk->next_session, message = disk->next_message;
    sim_node_free(&node);
    sim_disk_forget(disk);
    start();
    atomic_store(&sim->broker->next_session_number, session + 100);
    atomic_store(&sim->broker->next_message, message + 100);
}

TestSuite(cluster_kept, .init = set_up, .fini = tear_down);

static bool
is_offered(void)
{
    return atomic_load(&sim->broker->keeper->shards[0].offered) != NULL;
}

Test(cluster_kept, a_message_that_it_takes_at_once_is_acknowledged_and_never_written)
{
    uint32_t count = disk->count;
    publish_text(client, "t", 1, "m");
    sim_settle(sim);
    expect_nothing(client);
    cr_assert_not(is_offered());
    it_acknowledges();
    expect_answer(client, MQTT_PUBACK, 1, 0);
    sim_kept_rest(sim, disk);
    cr_assert_eq(disk->count, count);
}

Test(cluster_kept, one_that_it_does_not_take_is_acknowledged_when_it_is_written)
{
    uint32_t count = disk->count;
    publish_text(client, "t", 1, "m");
    sim_settle(sim);
    sim_tick(sim, HOLD);
    cr_assert(is_offered());
    expect_nothing(client);
    sim_fetch(sim, disk);
    sim_settle(sim);
    expect_nothing(client);
    sim_commit(sim, disk);
    sim_settle(sim);
    expect_answer(client, MQTT_PUBACK, 1, 0);
    cr_assert_eq(sim_disk_record(disk->records[count]).kind, JOURNAL_MESSAGE);
    cr_assert_eq(sim_disk_record(disk->records[count + 1]).kind, JOURNAL_ENQUEUE);
    publish_text(client, "t", 1, "n"); // it is slow: that is not waited for again
    sim_settle(sim);
    cr_assert(is_offered());
    it_acknowledges();
}

Test(cluster_kept, at_qos_2_it_gets_what_is_written)
{
    publish_text(client, "t", 2, "m");
    sim_settle(sim);
    cr_assert(is_offered());
    cr_assert_eq(its_session()->out.inflight, 0);
    sim_settle_kept(sim, disk);
    cr_assert_eq(its_session()->out.inflight, 1);
    expect_answer(client, MQTT_PUBREC, 1, 0);
}

Test(cluster_kept, it_is_told_of_routes_without_the_disk)
{
    uint32_t count = disk->count;
    sim_subscribe(client, &(struct sim_subscribe){.filter = "mine", .packet_id = 5});
    sim_settle(sim);
    cr_assert_not(is_offered());
    cr_assert_eq(its_session()->out.inflight, 1);
    sim_tick(sim, HOLD);
    cr_assert_not(is_offered(), "nobody waits for the disk");
    expect_nothing(client);
    it_acknowledges();
    expect_answer(client, MQTT_SUBACK, 5, 0);
    sim_kept_rest(sim, disk);
    cr_assert_eq(disk->count, count);
}

static void
publish_many(unsigned count, bool taken)
{
    for (unsigned i = 0; i < count; i++) {
        publish_text(client, "t", 1, "m");
        if (i % 500 < 499)
            continue;
        sim_settle(sim);
        if (taken)
            it_acknowledges();
        else
            sim_tick(sim, HOLD);
        sim_settle_kept(sim, disk);
        for (unsigned n = 0; n < 500; n++)
            expect_packet(client, MQTT_PUBACK);
    }
}

Test(cluster_kept, many_go_to_it_without_the_disk)
{
    sim_kept_rest(sim, disk);
    uint32_t count = disk->count;
    publish_many(20000, true);
    sim_kept_rest(sim, disk);
    cr_assert_eq(disk->count, count);
}

Test(cluster_kept, what_waits_for_it_is_in_memory_up_to_a_limit)
{
    publish_many(30000, false);
    cr_assert_eq(shard->totals.on_disk, 0);
    cr_assert_eq(shard->totals.queued + its_session()->out.inflight, 30000);
    cr_assert_gt(shard->totals.queued, 10000);
    // Memory runs short: as for everybody else.
    atomic_store(&sim->broker->memory_max, broker_memory(sim->broker) * 100 / 84);
    sim_tick(sim, 0);
    publish_many(500, false);
    cr_assert_eq(shard->totals.on_disk, 500);
}

// ---- Its routes ---------------------------------------------------------------------------------

static bool
wants(const char *filter)
{
    bool found;
    (void)session_subscription(its_session(), slice_str(filter), (struct slice){0}, &found);
    return found;
}

// The subscriptions of its session that the disk holds.
static uint32_t
kept(void)
{
    uint32_t n = 0;
    for (uint32_t i = 0; i < disk->count; i++) {
        struct record r = sim_disk_record(disk->records[i]);
        if (r.session != its_session()->number)
            continue;
        if (r.kind == JOURNAL_SUBSCRIBE)
            cr_assert(r.qos == 2 || slice_begins(r.filter, NODE_ROOT));
        n += r.kind == JOURNAL_SUBSCRIBE;
        n -= r.kind == JOURNAL_UNSUBSCRIBE;
    }
    return n;
}

static void
reaches_it(const char *topic, bool reached)
{
    uint64_t before = deliveries_unacked(&its_session()->out);
    struct sim_conn *conn = sim_connect(sim, &(struct sim_connect){.id = "p"});
    publish_text(conn, topic, 1, "m");
    sim_kept_rest(sim, disk);
    cr_assert_eq(deliveries_unacked(&its_session()->out) - before, reached, "%s", topic);
    sim_close(conn, 0);
    sim_kept_rest(sim, disk);
}

Test(cluster_kept, its_routes_are_kept_as_subscriptions_and_are_there_after_a_restart)
{
    uint32_t own = kept() - 1;
    SAYS({ROUTE_CHANGE, 1, "", "a/+"}, {ROUTE_CHANGE, 1, "", "b"}, {ROUTE_CHANGE, 5, "g", "s"});
    SAYS({ROUTE_CHANGE, 0, "", "b"}, {ROUTE_CHANGE, 1, "", "a/+"});
    cr_assert_eq(kept(), own + 3);
    cr_assert_eq(session_route_count(its_session()), 2);
    restart();
    cr_assert(wants("a/+") && wants("t") && !wants("b"));
    cr_assert_eq(session_route_count(its_session()), 2);
    reaches_it("a/1", true);
    reaches_it("t", true);
    reaches_it("b", false);
    // Names in the journal go on from there, and are the right ones.
    SAYS({ROUTE_CHANGE, 1, "", "c"}, {ROUTE_CHANGE, 0, "", "t"}, {ROUTE_CHANGE, 1, "", "d/#"});
    restart();
    cr_assert(wants("a/+") && wants("c") && wants("d/#") && !wants("t"));
    cr_assert_eq(session_route_count(its_session()), 3);
    reaches_it("d", true);
    reaches_it("t", false);
}

Test(cluster_kept, what_a_later_set_lacks_is_gone_from_the_disk_as_well)
{
    SAYS({ROUTE_CHANGE, 1, "", "a/+"}, {ROUTE_CHANGE, 1, "", "b"});
    restart();
    SAYS({ROUTE_BEGIN, 0, "", NULL}, {ROUTE_ENTRY, 1, "", "b"}, {ROUTE_ENTRY, 1, "", "c"});
    cr_assert(wants("a/+") && wants("b") && wants("c") && wants("t"));
    SAYS({ROUTE_END, 0, "", NULL});
    cr_assert(!wants("a/+") && wants("b") && wants("c") && !wants("t"));
    restart();
    cr_assert(!wants("a/+") && wants("b") && wants("c") && !wants("t"));
    reaches_it("a/1", false);
    reaches_it("c", true);
}

// More shapes than the table has: the others are subscriptions, and nobody can tell.
Test(cluster_kept, filters_of_many_shapes_are_all_in_force)
{
    char text[200] = "x";
    uint32_t count = 0;
    while (count < 40) {
        memcpy(text + strlen(text), "/+", 3);
        SAYS({ROUTE_CHANGE, 1, "", text});
        count++;
    }
    cr_assert_lt(session_route_count(its_session()), count);
    reaches_it("x/1/2/3", true);
    text[0] = 'x';
    for (uint32_t i = 0; i < count; i++)
        memcpy(text + 1 + (size_t)2 * i, "/1", 2);
    reaches_it(text, true);
    restart();
    reaches_it(text, true);
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    sim_kept_rest(sim, disk);
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_geq(figures.routes_theirs, count - OWN_FILTERS); // ours to it count as if there
    // A later set with one of them.
    SAYS({ROUTE_BEGIN, 0, "", NULL}, {ROUTE_ENTRY, 1, "", "x/+"}, {ROUTE_END, 0, "", NULL});
    reaches_it(text, false);
    reaches_it("x/1", true);
    cr_assert_eq(session_route_count(its_session()), 1);
}

// It has gone for good: so have its routes, and their number is free.
Test(cluster_kept, routes_end_with_their_session)
{
    SAYS({ROUTE_CHANGE, 1, "", "a/+"});
    struct session *session = its_session();
    sim_close(out, 0);
    sim_close(other, 0);
    sim_kept_rest(sim, disk);
    nodes_gone(nodes_of(node.cluster), SIM_OTHER, LINK_FOR_GOOD);
    sim_kept_rest(sim, disk);
    cr_assert_null(its_session());
    cr_assert_neq(session, NULL);
    const struct match *match = match_cache_get(shard->matches, slice_str("a/1"));
    cr_assert_eq(match->count, 0);
}

// ---- For people ---------------------------------------------------------------------------------

Test(cluster_kept, an_operator_sees_its_filters)
{
    SAYS({ROUTE_CHANGE, 1, "", "a/+"}, {ROUTE_CHANGE, 1, "", "a/b"}, {ROUTE_CHANGE, 1, "", "c"});
    struct control_question question = {
        .filter = slice_str("a/b"), .qos = 1, .rows_max = 100, .bytes_max = 65536};
    while (!explain_matches(&question, shard))
        ;
    struct control_row row;
    uint32_t at = 0, count = 0;
    while (control_rows_next(&question.rows, &at, &row)) {
        cr_assert(row.node && slice_equal(row.id, slice_str(SIM_OTHER)) && row.qos == 1);
        cr_assert(slice_equal(row.topic, slice_str("a/+")) ||
                  slice_equal(row.topic, slice_str("a/b")));
        count++;
    }
    cr_assert_eq(count, 2);
    mem_free(question.rows.bytes);
}
