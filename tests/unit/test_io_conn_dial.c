// test_io_conn_dial.c - connections to other nodes, through TLS: from the dialled socket to
// CONNECT.
#include "core/cluster.h"
#include "io/tls.h"
#include "io/tls_context.h"
#include "tests/unit/test_io_conn.h"

static const struct node_keys keys = {
    .count = 1, .keys = {{.identity = "node", .bytes = "0123456789abcdef0123456789abcde"}}};
static const struct node_keys others = {
    .count = 1, .keys = {{.identity = "else", .bytes = "another one of thirty-two bytes"}}};

// ---- A cluster that has nothing to say ----------------------------------------------------------

static void
no_tick(struct cluster *cluster, struct shard *shard)
{
    (void)cluster, (void)shard;
}

static bool
no_news(struct cluster *cluster, const struct shard *shard)
{
    (void)cluster, (void)shard;
    return false;
}

static uint32_t links;

static void
linked(struct cluster *cluster, struct session *session, bool up)
{
    (void)cluster;
    cr_assert_not_null(session);
    links += up ? 1 : -1;
}

static void
no_figures(struct cluster *unused, struct cluster_figures *ret)
{
    (void)unused;
    *ret = (struct cluster_figures){0};
}

static const struct cluster_ops ops = {
    .tick = no_tick, .has_news = no_news, .linked = linked, .figures = no_figures};
static struct cluster cluster = {.ops = &ops, .id = "00112233445566778899aabbccddeeff"};
static const struct node_dialled whom = {.id = "ffeeddccbbaa99887766554433221100",
                                         .password = "sesame"};

// ---- The other node -----------------------------------------------------------------------------

static struct tls_context *far_context;
static struct tls *far;
static struct outq far_out;
static struct outq_pool far_pool;
static uint8_t far_plain[4096];
static uint32_t far_len;

static void
set_up_dial(void)
{
    set_up();
    config->listeners[0].node = true;
    broker->cluster = &cluster;
    far_context = tls_context_of_nodes(&keys, 1);
    far = tls_new(far_context, 0);
    outq_init(&far_out);
    cr_assert_null(listen_set_tls(set, 0, tls_context_of_nodes(&keys, 2)));
}

static void
tear_down_dial(void)
{
    tls_free(far);
    tls_context_unref(far_context);
    outq_free(&far_out, &far_pool);
    outq_pool_drain(&far_pool);
    tear_down();
}

TestSuite(io_conn_dial, .init = set_up_dial, .fini = tear_down_dial);

static struct conn *
the_conn(void)
{
    return conn_at(conns, 0);
}

static void
dial(void)
{
    int pair[2];
    struct node_dialled dialled = whom;
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    dialled.fd = pair[0];
    peer = pair[1];
    conn_on_dialled(conns, &dialled);
    tick(0);
    tick(0);
}

// What we have sent is read there, and what is said there is read here.
static void
far_reads(void)
{
    uint32_t got;
    tls_input(far, slice_of(sim.sent, sim.sent_len));
    while ((got = tls_read(far, &far_out, &far_pool, far_plain + far_len,
                           (uint32_t)sizeof far_plain - far_len)) > 0)
        far_len += got;
    sim.sent_len = 0;
}

static void
far_speaks(uint32_t piece)
{
    while (outq_bytes(&far_out) > 0 && sim.recv.armed) {
        uint8_t bytes[2048];
        uint32_t n = min_u32(min_u32(piece, sizeof bytes), (uint32_t)outq_bytes(&far_out));
        memcpy(bytes, far_out.buf + far_out.head, n);
        outq_consume(&far_out, &far_pool, n);
        receive(bytes, n);
    }
    tick(0);
    tick(0);
}

static void
far_says(const void *data, uint32_t len)
{
    cr_assert_eq(tls_write(far, &far_out, &far_pool, slice_of(data, len)), OK);
    far_speaks(2048);
}

static uint64_t
failures(void)
{
    return stat_get(&conns->shard->stats.tls_failures);
}

// ---- Tests --------------------------------------------------------------------------------------

Test(io_conn_dial, connect_is_said_when_the_handshake_is_done)
{
    static const uint8_t answer[] = {0x20, 3, 0, 0, 0};
    dial();
    cr_assert_eq(the_conn()->state, CONN_PRE);
    cr_assert_gt(sim.sent_len, 100, "a ClientHello");
    cr_assert_eq(sim.sent[0], 22);
    cr_assert_null(memmem(sim.sent, sim.sent_len, "sesame", 6));
    far_reads();
    cr_assert_eq(far_len, 0);
    far_speaks(1);
    cr_assert_eq(the_conn()->state, CONN_LIVE);
    cr_assert_null(the_conn()->filter->dialled, "the password is not kept");
    cr_assert_null(memmem(sim.sent, sim.sent_len, "sesame", 6));
    far_reads();
    cr_assert_eq(far->state, TLS_OPEN);
    cr_assert_str_eq(tls_peer_name(far), "node");
    cr_assert_eq(far_plain[0], 0x10, "CONNECT");
    cr_assert_not_null(memmem(far_plain, far_len, NODE_FROM "00112233445566778899aabb", 36));
    cr_assert_not_null(memmem(far_plain, far_len, "sesame", 6));
    cr_assert_eq(stat_get(&conns->shard->stats.tls_handshakes), 1);
    far_says(answer, sizeof answer);
    cr_assert_eq(links, 1);
    tls_close(far, &far_out, &far_pool);
    far_speaks(2048);
    cr_assert_eq(links, 0);
    cr_assert_eq(failures(), 0);
}

Test(io_conn_dial, nobody_waits_for_it_among_pending_handshakes)
{
    config->handshakes_max = 1;
    dial();
    cr_assert_eq(stat_get(&conns->shard->stats.handshakes_pending), 0);
    cr_assert(list_empty(&conns->pending));
    cr_assert(sim.recv.once);
}

Test(io_conn_dial, a_move_of_the_lane_in_the_middle_loses_nothing)
{
    dial();
    far_reads();
    conns_stop(conns);
    cr_assert_eq(sim.recv.stops, 1);
    event(-ECANCELED, NULL, false);
    cr_assert(conns_stopped(conns, false));
    cr_assert_not(sim.recv.armed);
    conns_resume(conns, &sim.base);
    cr_assert(sim.recv.armed);
    far_speaks(2048);
    far_reads();
    cr_assert_eq(far_plain[0], 0x10);
}

Test(io_conn_dial, a_node_with_another_secret_is_counted_and_left)
{
    tls_free(far);
    tls_context_unref(far_context);
    far_context = tls_context_of_nodes(&others, 1);
    far = tls_new(far_context, 0);
    dial();
    far_reads();
    cr_assert_eq(far->state, TLS_FAILED);
    far_speaks(2048);
    cr_assert_eq(failures(), 1);
    cr_assert_neq(the_conn()->state, CONN_LIVE);
    cr_assert_eq(far_len, 0);
}

Test(io_conn_dial, a_node_without_tls_is_counted_and_left)
{
    static const uint8_t answer[] = {0x20, 3, 0, 0x81, 0};
    dial();
    receive(answer, sizeof answer);
    cr_assert_eq(failures(), 1);
    tick(0);
    tick(0);
    tick(CONN_LINGER_MS + 20);
    tick(0);
    cr_assert_eq(conns->open, 0);
    sim.recv.armed = false; // its socket is closed
    dial();                 // and again
    event(0, NULL, false);
    cr_assert_eq(failures(), 2);
    tick(0);
    cr_assert_eq(conns->open, 0);
}

Test(io_conn_dial, a_node_that_does_not_answer_is_left)
{
    dial();
    far_reads();
    tick((uint64_t)config->connect_timeout_s * 1000 + 1000);
    tick(0);
    cr_assert_eq(conns->open, 0);
    cr_assert_eq(failures(), 1);
    cr_assert_eq(stat_get(&conns->shard->stats.handshake_timeouts), 1);
}

Test(io_conn_dial, who_stops_leaves_it_at_once)
{
    dial();
    conns_refuse(conns);
    tick(0);
    cr_assert_eq(conns->open, 0);
    struct node_dialled dialled = whom;
    int pair[2];
    cr_assert_eq(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    dialled.fd = pair[0];
    conn_on_dialled(conns, &dialled);
    cr_assert_eq(conns->open, 0);
    close(pair[1]);
}

Test(io_conn_dial, without_keys_connect_is_said_at_once)
{
    tls_context_unref(listen_set_tls(set, 0, NULL));
    dial();
    cr_assert_eq(the_conn()->state, CONN_LIVE);
    cr_assert_null(the_conn()->filter);
    cr_assert_eq(sim.sent[0], 0x10);
    cr_assert_not_null(memmem(sim.sent, sim.sent_len, "sesame", 6));
}
