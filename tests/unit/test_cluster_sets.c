// test_cluster_sets.c - another node's routes as a whole: the first set, and later ones.
#include "tests/sim/sim_linked.h"

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us

static void
set_up(void)
{
    other = sim_linked_new(&node, 1, sim_config());
    sim = node.sim;
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_sets, .init = set_up, .fini = tear_down);

struct step {
    enum route_step step;
    uint64_t weight;
    const char *filter; // NULL: the step has none; "\1me": a session
};

static void
says(const struct step *steps, unsigned count)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    for (unsigned i = 0; i < count; i++)
        if (steps[i].filter && steps[i].filter[0] == KEY_SESSION)
            sim_word_session(&word, steps[i].filter + 1, steps[i].weight > 0);
        else
            sim_word_step(&word, steps[i].step, steps[i].weight, "", steps[i].filter);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_settle(sim);
    cr_assert_eq(expect_packet(other, MQTT_PUBACK).reason, 0);
}

static bool
wants(const char *filter)
{
    struct slice id = slice_str(NODE_TO SIM_OTHER);
    struct registry *registry = sim->broker->shards[0]->registry;
    const struct session *session = registry_find(registry, id, registry_hash(registry, id));
    bool found;
    (void)session_subscription(session, slice_str(filter), (struct slice){0}, &found);
    return found;
}

static struct link *
its_link(void)
{
    return nodes_link(nodes_of(node.cluster), SIM_OTHER);
}

static bool
has_session(const char *id)
{
    return route_set_weight(&its_link()->sessions, slice_str(id)) > 0;
}

#define SAYS(...)                            \
    says((const struct step[]){__VA_ARGS__}, \
         sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

Test(cluster_sets, of_the_first_nothing_is_remembered_beside)
{
    struct sim_conn *out = sim_node_dials(&node); // what we say to it is no route of its
    sim_settle(sim);
    sim_feed(out, "\x20\3\0\0\0", 5);
    sim_settle(sim);
    SAYS({ROUTE_BEGIN, 0, NULL}, {ROUTE_ENTRY, 1, "a"}, {ROUTE_ENTRY, 1, "b"});
    cr_assert(wants("a") && wants("b"));
    cr_assert_eq(its_link()->heard.count, 0);
    SAYS({ROUTE_CHANGE, 0, "a"}, {ROUTE_END, 0, NULL});
    cr_assert(!wants("a") && wants("b"));
}

Test(cluster_sets, what_was_there_before_a_first_one_that_did_not_end_may_go)
{
    SAYS({ROUTE_BEGIN, 0, NULL}, {ROUTE_ENTRY, 1, "a"}, {ROUTE_ENTRY, 1, "b"});
    SAYS({ROUTE_BEGIN, 0, NULL}, {ROUTE_ENTRY, 1, "b"}, {ROUTE_ENTRY, 1, "\1me"}); // anew
    cr_assert_eq(its_link()->heard.count, 1); // routes are marked where they are
    cr_assert_eq(its_link()->heard_bytes, 2);
    SAYS({ROUTE_END, 0, NULL});
    cr_assert(!wants("a") && wants("b"));
}

Test(cluster_sets, a_session_alone_makes_a_set_no_first_one)
{
    SAYS({ROUTE_CHANGE, 1, "\1me"});
    cr_assert(has_session("me"));
    SAYS({ROUTE_BEGIN, 0, NULL}, {ROUTE_ENTRY, 1, "a"}, {ROUTE_END, 0, NULL});
    cr_assert(!has_session("me") && wants("a"));
}
