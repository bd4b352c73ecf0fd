// test_sys.c - the $SYS topics say what happened.
#include "core/cluster.h"
#include "core/retained.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct config *config;

static void
set_up(void)
{
    config = sim_config();
    config->sys_interval_s = 10;
    sim = sim_new(2, config);
    sim_tick(sim, 16); // a timer's resolution
}

static void
tear_down(void)
{
    config->sys_interval_s = 0;
    end_empty(sim);
}

TestSuite(sys, .init = set_up, .fini = tear_down);

// What a subscriber who comes now is told.
static const char *
value_of(const char *topic)
{
    static char value[128];
    char name[128];
    (void)snprintf(name, sizeof name, "$SYS/broker/%s", topic);
    struct msg *msg = retained_get(sim->broker->retained, slice_str(name));
    cr_assert_not_null(msg, "no %s", name);
    (void)snprintf(value, sizeof value, "%.*s", (int)msg->payload_len,
                   (const char *)msg_payload(msg).data);
    return value;
}

static void
interval(void)
{
    sim_tick(sim, 10016);
    sim_settle(sim);
}

Test(sys, is_there_for_the_first_client)
{
    cr_assert_str_eq(value_of("version"), "ternmq version " TERN_VERSION);
    cr_assert_str_eq(value_of("uptime"), "0 seconds");
    cr_assert_str_eq(value_of("clients/connected"), "0");
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a"});
    subscribed(sim, a, "$SYS/#", 0);
    unsigned count = 0;
    struct server_packet packet;
    for (; sim_next(a, &packet); count++)
        cr_assert(packet.retain);
    cr_assert_gt(count, 30);
}

Test(sys, counts_what_happens_on_all_shards)
{
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 0)});
    struct sim_conn *b = sim_connect_durable(sim, id_on(sim, 1));
    subscribed(sim, a, "t/#", 1);
    subscribed(sim, b, "t/#", 1);
    subscribed(sim, b, "$share/g/u", 0);
    publish_text(a, "t/x", 1, "12345");
    publish_text(a, "t/x", 0, "12345");
    publish_text(a, "$SYS/mine", 0, "not allowed");
    sim_settle(sim);
    interval();
    cr_assert_str_eq(value_of("clients/connected"), "2");
    cr_assert_str_eq(value_of("clients/total"), "2");
    cr_assert_str_eq(value_of("subscriptions/count"), "2");
    cr_assert_str_eq(value_of("shared_subscriptions/count"), "1");
    cr_assert_str_eq(value_of("publish/messages/received"), "3");
    cr_assert_str_eq(value_of("publish/messages/sent"), "4");
    cr_assert_str_eq(value_of("publish/bytes/received"), "21");
    cr_assert_str_eq(value_of("publish/bytes/sent"), "20");
    cr_assert_str_eq(value_of("dropped/not allowed"), "1");
    cr_assert_str_eq(value_of("publish/messages/dropped"), "1");
    cr_assert_str_eq(value_of("uptime"), "10 seconds");
    sim_close(b, 0);
    publish_text(a, "t/x", 1, "stored");
    interval();
    cr_assert_str_eq(value_of("clients/connected"), "1");
    cr_assert_str_eq(value_of("clients/disconnected"), "1");
    cr_assert_str_eq(value_of("clients/maximum"), "2");
    sim_tick(sim, 1000000);
    interval();
    cr_assert_str_eq(value_of("clients/total"), "1");
    cr_assert_str_eq(value_of("clients/expired"), "1");
}

Test(sys, only_what_changed_is_published)
{
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a"});
    subscribed(sim, a, "$SYS/broker/clients/#", 0);
    struct server_packet packet;
    while (sim_next(a, &packet)) // the retained ones
        cr_assert(packet.retain);
    interval();
    unsigned first = 0, second = 0;
    for (; sim_next(a, &packet); first++)
        cr_assert_not(packet.retain);
    interval();
    while (sim_next(a, &packet))
        second++;
    cr_assert_gt(first, 0);
    cr_assert_eq(second, 0);
}

Test(sys, load_averages_rise_and_fall)
{
    struct sim_conn *a = sim_connect(sim, &(struct sim_connect){.id = "a"});
    for (unsigned i = 0; i < 600; i++)
        publish_text(a, "t", 0, "m");
    interval();
    double busy = strtod(value_of("load/publish/received/1min"), NULL);
    double slow = strtod(value_of("load/publish/received/15min"), NULL);
    cr_assert(busy > 400 && busy < 700, "%f", busy); // 3,600 a minute for a sixth of one
    cr_assert(slow > 30 && slow < 50, "%f", slow);
    for (unsigned i = 0; i < 30; i++)
        interval();
    cr_assert_lt(strtod(value_of("load/publish/received/1min"), NULL), 5);
    cr_assert_gt(strtod(value_of("load/publish/received/15min"), NULL), 20);
}

Test(sys, can_be_turned_off_and_on)
{
    config->sys_interval_s = 0;
    interval();
    cr_assert_str_eq(value_of("uptime"), "0 seconds");
    interval();
    config->sys_interval_s = 1;
    interval();
    cr_assert_str_eq(value_of("uptime"), "30 seconds");
    sim_tick(sim, 1016);
    sim_tick(sim, 1016);
    cr_assert_str_eq(value_of("uptime"), "32 seconds");
}

Test(sys, tells_how_long_the_certificate_lasts)
{
    struct broker *broker = sim->broker;
    const char *topic = "$SYS/broker/tls/certificate days left";
    cr_assert_null(retained_get(broker->retained, slice_str(topic)), "there is none");
    int64_t now_s = (int64_t)((broker->shards[0]->now_ms + broker_wall_offset(broker)) / 1000);
    atomic_store(&broker->certificate_ends_s, now_s + 30 * 86400 + 3600);
    interval();
    cr_assert_str_eq(value_of("tls/certificate days left"), "30");
    atomic_store(&broker->certificate_ends_s, now_s - 1);
    atomic_store(&broker->tls_reload_failed, 1);
    interval();
    cr_assert_str_eq(value_of("tls/certificate days left"), "0");
    cr_assert_str_eq(value_of("tls/reload failed"), "1");
}

Test(sys, names_the_backend)
{
    struct broker *broker = sim->broker;
    const char *topic = "$SYS/broker/io/backend";
    cr_assert_null(retained_get(broker->retained, slice_str(topic)), "the simulator has none");
    broker->io = IO_BACKEND_URING;
    interval();
    cr_assert_str_eq(value_of("io/backend"), "io_uring");
    broker->io = IO_BACKEND_EPOLL;
    interval();
    cr_assert_str_eq(value_of("io/backend"), "epoll");
}

// ---- Other nodes --------------------------------------------------------------------------------

static void
fake_tick(struct cluster *cluster, struct shard *shard)
{
    (void)cluster;
    (void)shard;
}

static bool
fake_has_news(struct cluster *cluster, const struct shard *shard)
{
    (void)cluster;
    (void)shard;
    return false;
}

static void
fake_figures(struct cluster *cluster, struct cluster_figures *ret)
{
    (void)cluster;
    *ret = (struct cluster_figures){
        .nodes_alive = 3,
        .nodes_dead = 1,
        .links_up = 2,
        .routes_ours = 40,
        .routes_theirs = 50,
        .routes_told = 60,
        .waiting = 70,
        .strangers = 8,
        .routes_refused = 9,
        .cleared = 10,
        .cleared_forgotten = 11,
    };
}

Test(sys, tells_of_other_nodes_where_there_may_be_some)
{
    static const char *const want[][2] = {
        {"nodes/alive", "3"},    {"nodes/dead", "1"},        {"links/up", "2"},
        {"routes/ours", "40"},   {"routes/theirs", "50"},    {"routes/told", "60"},
        {"strangers", "8"},      {"messages/waiting", "70"}, {"routes/divergence", "0"},
        {"routes/refused", "9"}, {"retained/cleared", "10"}, {"retained/forgotten", "11"},
    };
    static const struct cluster_ops ops = {
        .tick = fake_tick, .has_news = fake_has_news, .figures = fake_figures};
    struct cluster cluster = {.ops = &ops};
    interval();
    cr_assert_null(
        retained_get(sim->broker->retained, slice_str("$SYS/broker/cluster/nodes/alive")));
    sim->broker->cluster = &cluster;
    interval();
    sim->broker->cluster = NULL;
    for (unsigned i = 0; i < ARRAY_LEN(want); i++) {
        char topic[64];
        (void)snprintf(topic, sizeof topic, "cluster/%s", want[i][0]);
        cr_assert_str_eq(value_of(topic), want[i][1], "%s", topic);
    }
}

Test(sys, what_found_no_room_comes_when_there_is_some)
{
    config->sys_interval_s = 0;
    end_empty(sim);
    config = sim_config();
    config->sys_interval_s = 10;
    config->retained_messages_max = 1; // there are more
    sim = sim_new(2, config);
    sim_tick(sim, 16);
    const char *topic = "$SYS/broker/clients/connected";
    cr_assert_null(retained_get(sim->broker->retained, slice_str(topic)));
    config->retained_messages_max = 0;
    interval();
    cr_assert_str_eq(value_of("clients/connected"), "0");
}
