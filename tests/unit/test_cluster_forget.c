// test_cluster_forget.c - a node that others say is gone for good: what a node does that hears of
// it.
#include <pthread.h>

#include "core/base/clock.h"

#include "cluster/about.h"
#include "cluster/forget.h"
#include "core/cluster.h"
#include "tests/sim/expect.h"
#include "tests/sim/sim_kept.h"

#define LIFE      7u
#define THIRD     "00000000000000000000000000000003"
#define CLEARED_S 90 // beyond what is known of a cleared topic where all agree

static struct sim_node node;
static struct sim *sim;
static struct sim_disk *disk;
static struct sim_conn *other; // comes to us
static struct gossip *gossip;
static struct gossip_actions actions;
static const uint8_t flags[] = {4 | 8};

static void
make_gossip(void)
{
    gossip = gossip_new(&(struct gossip_config){.cluster = 1,
                                                .uuid = nodes_of(node.cluster)->identity.uuid,
                                                .incarnation = 1,
                                                .name = slice_str("we"),
                                                .meta = slice_of("", 1),
                                                .address = {{1}, 1},
                                                .members_max = CLUSTER_NODES_MAX + 1},
                        0);
}

static void
set_up(void)
{
    disk = sim_disk_new();
    node = sim_node_make(2, sim_kept_config(), true);
    sim = node.sim;
    make_gossip();
    other = sim_node_comes(&node);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_CONNACK);
}

static void
tear_down(void)
{
    gossip_free(gossip);
    gossip_actions_free(&actions);
    actions = (struct gossip_actions){0};
    sim_kept_free(&node, disk);
}

TestSuite(cluster_forget, .init = set_up, .fini = tear_down);

// ---- What is said, and kept ---------------------------------------------------------------------

static struct gossip_uuid
uuid_of(const char *id)
{
    struct gossip_uuid uuid;
    cr_assert(uuid_read(id, &uuid));
    return uuid;
}

static void
heard(enum gossip_state state, uint64_t incarnation, struct slice meta)
{
    gone_note(nodes_of(node.cluster), &(struct gossip_view){.uuid = uuid_of(SIM_OTHER),
                                                            .incarnation = incarnation,
                                                            .version = 3,
                                                            .state = state,
                                                            .address = {{1}, 2},
                                                            .name = slice_str("other"),
                                                            .meta = meta});
    sim_kept_rest(sim, disk);
}

static void
is_forgotten(void)
{
    heard(GOSSIP_LEFT, LIFE, slice_of(flags, 1));
}

// What the store has of it last. Len 0: nothing.
static struct slice
noted(struct record *ret)
{
    struct slice value = {0};
    for (uint32_t i = 0; i < disk->count; i++) {
        *ret = sim_disk_record(disk->records[i]);
        if (ret->kind == JOURNAL_SETTING &&
            slice_equal(ret->msg.topic, slice_str(CLUSTER_GONE SIM_OTHER)))
            value = ret->msg.payload;
    }
    return value;
}

static bool
is_noted(void)
{
    struct record record;
    return noted(&record).len > 0;
}

static bool
is_elsewhere(const char *id)
{
    char at[NODE_ID_LEN + 1];
    return node.cluster->ops->elsewhere(node.cluster, slice_str(id), at);
}

static void
keeps_a_session_and_goes(void)
{
    struct sim_word word = {0};
    sim_word_int(&word, 1, 8);
    sim_word_int(&word, 0, 8);
    sim_word_session(&word, "roams", true);
    sim_node_says(other, TOPIC_ROUTES, &word);
    sim_kept_rest(sim, disk);
    expect_packet(other, MQTT_PUBACK);
    sim_close(other, 0);
    sim_kept_rest(sim, disk);
}

Test(cluster_forget, its_sessions_are_waited_for_no_longer_and_that_is_stored)
{
    keeps_a_session_and_goes();
    heard(GOSSIP_DEAD, LIFE, slice_of("", 1));
    cr_assert(is_elsewhere("roams") && !is_noted());
    heard(GOSSIP_LEFT, LIFE, slice_of("", 1));
    cr_assert(is_elsewhere("roams") && !is_noted(), "it may come back");
    cr_assert_not(forget_has_some(nodes_of(node.cluster)));
    is_forgotten();
    cr_assert_not(is_elsewhere("roams"), "though its Wills may still keep its link");
    cr_assert(is_noted() && forget_has_some(nodes_of(node.cluster)));
    uint32_t count = disk->count;
    is_forgotten();
    cr_assert_eq(disk->count, count, "it is news once");
}

Test(cluster_forget, who_comes_back_is_a_node_as_any_other)
{
    is_forgotten();
    heard(GOSSIP_DEAD, LIFE - 1, slice_of("", 1));
    cr_assert(is_noted(), "an earlier life says nothing");
    heard(GOSSIP_ALIVE, LIFE + 1, slice_of("", 1));
    cr_assert_not(is_noted());
    cr_assert_not(forget_has_some(nodes_of(node.cluster)));
    cr_assert_not(atomic_load(&nodes_link(nodes_of(node.cluster), SIM_OTHER)->forgotten));
    is_forgotten();
    cr_assert(is_noted());
    heard(GOSSIP_ALIVE, LIFE, slice_of(flags, 1)); // it lived, and says so
    cr_assert_not(is_noted());
}

Test(cluster_forget, an_earlier_life_of_ours_tells_gossip)
{
    struct record record = {0};
    struct gossip_event event;
    struct nodes *nodes = nodes_of(node.cluster);
    is_forgotten();
    struct slice value = noted(&record);
    record.msg.topic = slice_str(CLUSTER_GONE THIRD);
    record.msg.payload = value;
    cr_assert_eq(cluster_recall_gone(node.cluster, &record), OK);
    cr_assert(forget_next(nodes, gossip, &event));
    cr_assert(event.kind == GOSSIP_FORGET && event.incarnation == LIFE && event.version == 3);
    cr_assert(slice_equal(event.name, slice_str("other")) && event.address.port == 2);
    cr_assert(event.bytes.len == 1 && event.bytes.data[0] == (4 | 8));
    cr_assert(gossip_uuid_equal(&event.uuid, &(struct gossip_uuid){.bytes = {[15] = 3}}));
    gossip_step(gossip, 1, &event, &actions);
    struct gossip_view view;
    cr_assert(gossip_find(gossip, &event.uuid, &view));
    cr_assert(view.state == GOSSIP_LEFT && about_is_forgotten(view.meta));
    cr_assert_not(forget_next(nodes, gossip, &event));
}

Test(cluster_forget, settings_that_are_none_are_left_alone)
{
    struct record record = {0};
    struct gossip_event event;
    struct nodes *nodes = nodes_of(node.cluster);
    uint8_t bytes[256];
    is_forgotten();
    struct slice value = noted(&record);
    char own[sizeof CLUSTER_GONE + NODE_ID_LEN];
    (void)snprintf(own, sizeof own, CLUSTER_GONE "%s", node.cluster->id);
    const char *names[] = {CLUSTER_GONE "x", CLUSTER_GONE "0000000000000000000000000000000g", own};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        record.msg.topic = slice_str(names[i]);
        record.msg.payload = value;
        cr_assert_eq(cluster_recall_gone(node.cluster, &record), OK);
    }
    record.msg.topic = slice_str(CLUSTER_GONE THIRD);
    for (uint32_t len = 0; len < value.len; len++) { // cut off
        record.msg.payload = slice_of(value.data, len);
        cr_assert_eq(cluster_recall_gone(node.cluster, &record), OK);
    }
    // No life, no version, no port, a name with a space, more metadata than there is, no flag.
    const struct {
        uint32_t at, len;
        uint8_t byte;
    } wrong[] = {{0, 8, 0}, {8, 4, 0}, {36, 2, 0}, {39, 1, ' '}, {44, 1, 9}, {45, 1, 4}};
    for (unsigned i = 0; i < ARRAY_LEN(wrong); i++) {
        memcpy(bytes, value.data, value.len);
        memset(bytes + wrong[i].at, wrong[i].byte, wrong[i].len);
        record.msg.payload = slice_of(bytes, value.len);
        cr_assert_eq(cluster_recall_gone(node.cluster, &record), OK);
    }
    cr_assert_not(forget_next(nodes, gossip, &event));
}

Test(cluster_forget, it_is_noted_for_a_day)
{
    struct record record = {0};
    struct gossip_event event;
    uint8_t bytes[256];
    atomic_store(&sim->broker->wall_offset_ms, 2 * GOSSIP_REMEMBER_MS);
    is_forgotten();
    struct slice value = noted(&record);
    memcpy(bytes, value.data, value.len);
    put_u64(bytes + 12, get_u64(bytes + 12) - GOSSIP_REMEMBER_MS);
    record.msg.topic = slice_str(CLUSTER_GONE THIRD);
    record.msg.payload = slice_of(bytes, value.len);
    cr_assert_eq(cluster_recall_gone(node.cluster, &record), OK);
    cr_assert_not(forget_next(nodes_of(node.cluster), gossip, &event), "a day has passed");
    sim_kept_rest(sim, disk);
    cr_assert(is_noted());
    record = sim_disk_record(disk->records[disk->count - 1]);
    cr_assert(slice_equal(record.msg.topic, slice_str(CLUSTER_GONE THIRD)));
    cr_assert_eq(record.msg.payload.len, 0);
}

// ---- ternmqctl ----------------------------------------------------------------------------------

// It says of itself that it lives.
static void
lives(const char *id, const char *name)
{
    uint8_t room[GOSSIP_PLAIN_MAX], details[GOSSIP_DETAILS_MAX];
    struct gossip_writer writer = {room, room + sizeof room};
    struct gossip_message message = {.kind = GOSSIP_RUMORS, .cluster = 1};
    struct gossip_address address = {{1}, 3};
    struct gossip_record record = {
        .uuid = uuid_of(id),
        .incarnation = LIFE,
        .has_details = true,
        .details = slice_of(
            details, gossip_write_details(details, &address, slice_str(name), slice_of("", 1))),
    };
    gossip_write_message(&writer, &message);
    cr_assert(gossip_write_record(&writer, &record));
    gossip_step(gossip, 1,
                &(struct gossip_event){.kind = GOSSIP_RECEIVED,
                                       .uuid = record.uuid,
                                       .incarnation = LIFE,
                                       .address = address,
                                       .bytes = slice_of(room, (size_t)(writer.at - room))},
                &actions);
    roster_note(nodes_of(node.cluster), gossip);
}

// It has left in order.
static void
leaves(const char *id, const char *name)
{
    gossip_step(gossip, 1,
                &(struct gossip_event){.kind = GOSSIP_FORGET,
                                       .uuid = uuid_of(id),
                                       .incarnation = LIFE,
                                       .version = 1,
                                       .name = slice_str(name),
                                       .address = {{1}, 3},
                                       .bytes = slice_of("", 1)},
                &actions);
    roster_note(nodes_of(node.cluster), gossip);
}

static err_t
looks(const char *name, struct forget_view *ret)
{
    return node.cluster->ops->forget(node.cluster, slice_str(name), true, ret);
}

Test(cluster_forget, only_one_that_is_dead_or_gone_is_forgotten)
{
    struct forget_view view;
    lives(SIM_OTHER, "here");
    leaves(THIRD, "gone");
    cr_assert_eq(looks("nobody", &view), ERR_NOT_FOUND);
    cr_assert_eq(looks("", &view), ERR_NOT_FOUND);
    cr_assert_eq(looks("here", &view), ERR_ADMINISTRATIVE);
    cr_assert_str_eq(view.why, "it is here: only one that is dead, or gone, is forgotten");
    cr_assert_eq(looks(SIM_OTHER, &view), ERR_ADMINISTRATIVE);
    cr_assert_eq(looks("we", &view), ERR_ADMINISTRATIVE);
    cr_assert_str_eq(view.why, "it is this node");
    cr_assert_eq(looks("gone", &view), OK);
    cr_assert_str_eq(view.id, THIRD);
    cr_assert_str_eq(view.state, "gone");
    cr_assert_eq(looks(THIRD, &view), OK);
    cr_assert_str_eq(view.name, "gone");
}

Test(cluster_forget, of_two_with_one_name_the_dead_one_is_meant)
{
    struct forget_view view;
    lives(SIM_OTHER, "twin");
    leaves(THIRD, "twin");
    cr_assert_eq(looks("twin", &view), OK);
    cr_assert_str_eq(view.id, THIRD);
    cr_assert_eq(looks(SIM_OTHER, &view), ERR_ADMINISTRATIVE);
    leaves("00000000000000000000000000000004", "twin");
    cr_assert_eq(looks("twin", &view), ERR_ADMINISTRATIVE);
    cr_assert_str_eq(view.why, "several that are dead have that name: say which, by its id");
    cr_assert_eq(looks(THIRD, &view), OK);
}

Test(cluster_forget, one_that_is_only_remembered_has_an_id)
{
    struct forget_view view;
    keeps_a_session_and_goes();
    cr_assert_eq(looks(SIM_OTHER, &view), OK);
    cr_assert_str_eq(view.state, "unknown");
    cr_assert(view.name[0] == '\0' && view.sessions == 1);
    is_forgotten();
    cr_assert_eq(looks(SIM_OTHER, &view), ERR_NOT_FOUND);
    heard(GOSSIP_ALIVE, LIFE + 1, slice_of("", 1));
    nodes_of(node.cluster)->settling = true;
    cr_assert_eq(looks(SIM_OTHER, &view), ERR_NOT_FOUND, "it may be heard of at any moment");
    nodes_of(node.cluster)->settling = false;
}

struct asked {
    const char *id;
    err_t err;
    struct forget_view view;
    _Atomic bool done;
};

static void *
ask(void *arg)
{
    struct asked *asked = arg;
    asked->err = node.cluster->ops->forget(node.cluster, slice_str(asked->id), false, &asked->view);
    atomic_store(&asked->done, true);
    return NULL;
}

// The agent's turn, and the workers'. before: gossip has its next word, and has not taken it.
static void
answer(struct asked *asked, void (*before)(void))
{
    struct nodes *nodes = nodes_of(node.cluster);
    struct gossip_event event;
    while (!atomic_load(&asked->done)) {
        while (forget_next(nodes, gossip, &event)) {
            if (before)
                before();
            gossip_step(gossip, 1, &event, &actions);
            struct gossip_view view;
            cr_assert(gossip_find(gossip, &event.uuid, &view));
            gone_note(nodes, &view);
        }
        sim_kept_rest(sim, disk);
    }
}

static struct asked
forgets(const char *id, void (*before)(void))
{
    static struct asked asked;
    pthread_t thread;
    asked = (struct asked){.id = id};
    cr_assert_eq(pthread_create(&thread, NULL, ask, &asked), 0);
    answer(&asked, before);
    (void)pthread_join(thread, NULL);
    return asked;
}

Test(cluster_forget, it_is_done_when_it_is_on_the_disk)
{
    struct forget_view view;
    struct cluster_node *rows = mem_zalloc(CLUSTER_MEMBERS_MAX * sizeof *rows);
    leaves(SIM_OTHER, "gone");
    struct asked asked = forgets("gone", NULL);
    cr_assert_eq(asked.err, OK);
    cr_assert_str_eq(asked.view.id, SIM_OTHER);
    cr_assert(is_noted());
    struct gossip_view seen;
    struct gossip_uuid uuid = uuid_of(SIM_OTHER);
    cr_assert(gossip_find(gossip, &uuid, &seen));
    cr_assert(seen.version == 2 && seen.incarnation == LIFE && about_is_forgotten(seen.meta));
    roster_note(nodes_of(node.cluster), gossip);
    cr_assert_eq(node.cluster->ops->nodes(node.cluster, rows), 1, "it is listed no more");
    cr_assert_eq(looks("gone", &view), ERR_NOT_FOUND);
    mem_free(rows);
}

static void
comes_back(void)
{
    lives(SIM_OTHER, "gone");
}

Test(cluster_forget, who_comes_back_meanwhile_is_not_forgotten)
{
    keeps_a_session_and_goes(); // it is known to a link alone
    struct asked asked = forgets(SIM_OTHER, comes_back);
    cr_assert_eq(asked.err, ERR_ADMINISTRATIVE);
    cr_assert_str_eq(asked.view.why, "it has come back");
    cr_assert_not(is_noted());
    cr_assert(is_elsewhere("roams"));
}

// ---- What is retained ---------------------------------------------------------------------------

Test(cluster_forget, what_is_cleared_meanwhile_stays_so_for_who_comes_back)
{
    sim_close(other, 0);
    struct sim_conn *out = sim_node_dials(&node);
    nodes_gone(nodes_of(node.cluster), SIM_OTHER, LINK_FOR_GOOD);
    sim_close(out, 0);
    is_forgotten();
    struct sim_conn *client = sim_connect(sim, &(struct sim_connect){.id = "c"});
    sim_publish(client, &(struct sim_publish){.topic = "t", .retain = true});
    sim_kept_rest(sim, disk);
    for (uint32_t i = 0; i < CLEARED_S; i++) {
        sim_tick(sim, 1000);
        sim_kept_rest(sim, disk);
    }
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.cleared, 1);
    heard(GOSSIP_ALIVE, LIFE + 1, slice_of("", 1));
    for (uint32_t i = 0; i < CLEARED_S; i++) {
        sim_tick(sim, 1000);
        sim_kept_rest(sim, disk);
    }
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.cleared, 0);
}
