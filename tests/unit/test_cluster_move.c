// test_cluster_move.c - sessions that go from one node to another, as one of them sees it.
#include "cluster/move.h"
#include "core/registry.h"
#include "core/shard.h"
#include "tests/sim/sim_linked.h"

#define NUMBER (MOVE_NUMBER_MIN + 7)
#define PASS   3u

static struct sim_node node;
static struct sim *sim;
static struct sim_conn *other; // comes to us
static struct sim_conn *out;   // we come to it
static struct sim_conn *client;

static void
set_up(void)
{
    other = sim_linked_new(&node, 2, sim_config());
    sim = node.sim;
    out = sim_linked_dial(&node);
    client = sim_connect(sim, &(struct sim_connect){.id = "here"});
    sim_settle(sim);
}

static void
tear_down(void)
{
    sim_linked_free(&node);
}

TestSuite(cluster_move, .init = set_up, .fini = tear_down);

// ---- What the other node says -------------------------------------------------------------------

static struct sim_word
word_of(enum move_kind kind)
{
    struct sim_word word = {0};
    sim_word_int(&word, kind, 1);
    sim_word_int(&word, NUMBER, 4);
    return word;
}

static void
put_record(struct sim_word *word, const struct record *record)
{
    uint8_t bytes[512];
    must(record_size(record) <= sizeof bytes);
    sim_word_put(word, bytes, (size_t)(record_write(bytes, record) - bytes));
}

static void
says(const struct sim_word *word)
{
    sim_node_says(other, TOPIC_MOVE, word);
    sim_settle(sim);
}

static struct record
session_record(const char *id)
{
    return (struct record){.kind = JOURNAL_SESSION,
                           .session = 5,
                           .id = slice_str(id),
                           .version = MQTT_5,
                           .expiry_s = 3600,
                           .expires_ms = RECORD_NEVER,
                           .sent = 12,
                           .claim = 1000};
}

static struct record
subscription(const char *filter, uint32_t ordinal)
{
    return (struct record){.kind = JOURNAL_SUBSCRIBE,
                           .session = 5,
                           .ordinal = ordinal,
                           .qos = 2,
                           .filter = slice_str(filter)};
}

static void
says_begin(const char *id, const char *filter)
{
    struct sim_word word = word_of(MOVE_BEGIN);
    struct record session = session_record(id), sub = subscription(filter, 1);
    put_record(&word, &session);
    put_record(&word, &sub);
    says(&word);
}

static void
says_begun(void)
{
    struct sim_word word = word_of(MOVE_BEGUN);
    sim_word_int(&word, PASS, 4);
    sim_word_int(&word, 2, 2);
    sim_word_put(&word, SIM_OTHER, NODE_ID_LEN);
    sim_word_put(&word, node.cluster->id, NODE_ID_LEN);
    says(&word);
}

static void
put_entry(struct sim_word *word, uint64_t seq, uint8_t qos, const char *payload, bool sent)
{
    struct record message = {
        .kind = JOURNAL_MESSAGE,
        .message = 1,
        .msg = {
            .topic = slice_str("x/y"), .payload = slice_str(payload), .qos = qos, .arrived_ms = 1}};
    struct record entry = {
        .kind = JOURNAL_ENQUEUE, .session = 5, .seq = seq, .message = 1, .size = 100, .qos = qos};
    sim_word_int(word, sent, 1);
    put_record(word, &message);
    put_record(word, &entry);
}

static struct sim_word
entries_behind(const char *id, uint64_t behind)
{
    struct sim_word word = word_of(MOVE_ENTRIES);
    sim_word_int(&word, behind, 8);
    sim_word_int(&word, strlen(id), 2);
    sim_word_put(&word, id, strlen(id));
    return word;
}

static struct sim_word
entries_of(const char *id)
{
    return entries_behind(id, 0);
}

static void
says_turned(uint8_t shard, uint8_t count, uint32_t pass)
{
    struct sim_word word = word_of(MOVE_TURNED);
    sim_word_int(&word, shard, 1);
    sim_word_int(&word, count, 1);
    sim_word_int(&word, pass, 4);
    says(&word);
}

static void
says_last(const char *id, uint64_t behind, uint32_t pass)
{
    struct sim_word word = word_of(MOVE_LAST);
    sim_word_int(&word, behind, 8);
    sim_word_int(&word, pass, 4);
    struct record session = session_record(id);
    put_record(&word, &session);
    sim_word_int(&word, 77, 2);
    says(&word);
}

static void
says_kind(enum move_kind kind)
{
    struct sim_word word = word_of(kind);
    if (kind == MOVE_TURN)
        sim_word_int(&word, PASS, 4);
    says(&word);
}

// ---- What it is told ----------------------------------------------------------------------------

static uint32_t
count_bytes(const void *want, uint32_t len)
{
    uint32_t count = 0;
    const uint8_t *at = out->to_peer.data, *end = at + out->to_peer.len;
    while ((at = memmem(at, (size_t)(end - at), want, len)) != NULL) {
        at++;
        count++;
    }
    return count;
}

static uint32_t
told(enum move_kind kind)
{
    struct sim_word word = word_of(kind);
    return count_bytes(word.bytes, word.len);
}

// All that is sent to it is acknowledged, round by round.
static void
it_acknowledges(void)
{
    struct shard *shard = out->client.shard;
    struct session *session = out->client.session;
    for (uint32_t round = 0; round < 20 && session->out.inflight > 0; round++) {
        for (uint64_t seq = session->out.head, end = session->out.sent; seq != end; seq++)
            if (deliveries_at(&session->out, seq)->state == DELIVERY_SENT)
                sim_ack(out, MQTT_PUBACK, deliveries_packet_id(seq));
        sim_settle(sim);
    }
    must(shard->index < 2);
    sim_tick(sim, 10);
    sim_settle(sim);
}

static struct session *
session_of(const char *id)
{
    struct shard *shard = sim->broker->shards[broker_home(sim->broker, slice_str(id))];
    return registry_find(shard->registry, slice_str(id),
                         registry_hash(shard->registry, slice_str(id)));
}

static struct session *
part_of(enum move_part part, const char *id)
{
    char room[128];
    struct slice name = move_id(room, NUMBER, part, slice_str(id));
    struct shard *shard = sim->broker->shards[broker_home(sim->broker, name)];
    return registry_find(shard->registry, name, registry_hash(shard->registry, name));
}

static void
publishes(const char *payload)
{
    publish_text(client, "x/y", 1, payload);
    sim_settle(sim);
}

// ---- The turn -----------------------------------------------------------------------------------

Test(cluster_move, after_its_turn_a_shard_says_so_with_each_message)
{
    struct sim_word route = sim_linked_word();
    sim_word_step(&route, ROUTE_CHANGE, 1, "", "x/#");
    sim_node_says(other, TOPIC_ROUTES, &route);
    sim_settle(sim);
    const uint8_t id[] = {0x0b, 0x87, 0x80, 0x40}; // 1,048,583, as a Subscription Identifier
    publishes("before");
    cr_assert_eq(count_bytes(id, sizeof id), 0);
    cr_assert_eq(count_bytes("before", 6), 1);
    says_kind(MOVE_TURN);
    sim_settle(sim);
    cr_assert_eq(told(MOVE_TURNED), 2, "both shards");
    uint32_t words = count_bytes(id, sizeof id);
    publishes("after");
    it_acknowledges();
    cr_assert_eq(count_bytes("after", 5), 1);
    cr_assert_eq(count_bytes(id, sizeof id), words + 1);
    says_kind(MOVE_TURN);
    cr_assert_eq(told(MOVE_TURNED), 4, "it may not have heard of it");
    says_kind(MOVE_END);
    words = count_bytes(id, sizeof id);
    publishes("at rest");
    it_acknowledges();
    cr_assert_eq(count_bytes(id, sizeof id), words);
}

Test(cluster_move, of_two_moves_of_a_node_the_later_one_counts)
{
    says_kind(MOVE_TURN);
    cr_assert_eq(told(MOVE_TURNED), 2);
    struct sim_word word = {0};
    sim_word_int(&word, MOVE_TURN, 1);
    sim_word_int(&word, NUMBER + 1, 4);
    sim_word_int(&word, PASS, 4);
    says(&word);
    for (unsigned i = 0; i < 2; i++)
        cr_assert_eq(sim->broker->shards[i]->turn, NUMBER + 1);
    says_kind(MOVE_END);
    cr_assert_eq(sim->broker->shards[1]->turn, NUMBER + 1, "that was the one before");
    word = (struct sim_word){0};
    sim_word_int(&word, MOVE_END, 1);
    sim_word_int(&word, MOVE_ANY, 4);
    says(&word);
    cr_assert_eq(sim->broker->shards[1]->turn, 0);
}

Test(cluster_move, of_two_nodes_that_move_one_waits)
{
    struct nodes *nodes = nodes_of(node.cluster);
    uint8_t pass[4] = {0};
    const struct move_word first = {node.cluster->id, MOVE_TURN, NUMBER + 1, {pass, 4}};
    turn_begin(nodes, sim->broker->shards[0], &first);
    sim_settle(sim);
    cr_assert_eq(sim->broker->shards[1]->turn, NUMBER + 1);
    says_kind(MOVE_TURN);
    cr_assert_eq(sim->broker->shards[1]->turn, NUMBER + 1);
    turn_end(nodes, sim->broker->shards[0], node.cluster->id, NUMBER + 1);
    sim_settle(sim);
    says_kind(MOVE_TURN);
    cr_assert_eq(sim->broker->shards[1]->turn, NUMBER);
    says_kind(MOVE_END);
}

// ---- A session comes ----------------------------------------------------------------------------

Test(cluster_move, a_session_comes_with_its_queue_and_what_is_published_meanwhile)
{
    says_begin("c", "x/#");
    says_begun();
    it_acknowledges();
    sim_settle(sim);
    cr_assert_eq(told(MOVE_READY), 1);
    cr_assert(part_of(MOVE_DUMP, "c") && part_of(MOVE_ARRIVALS, "c") && !session_of("c"));
    publishes("for the other one");
    cr_assert(deliveries_empty(&part_of(MOVE_ARRIVALS, "c")->out));
    says_kind(MOVE_TURN);
    publishes("later");
    cr_assert_eq(deliveries_unacked(&part_of(MOVE_ARRIVALS, "c")->out), 1);
    struct sim_word word = entries_of("c");
    put_entry(&word, 10, 2, "first", true);
    put_entry(&word, 15, 1, "second", false);
    says(&word);
    says(&word); // once more, after a break
    says_last("c", 16, PASS);
    cr_assert_not(session_of("c"), "not all have turned");
    says_turned(0, 2, PASS);
    cr_assert_not(session_of("c"));
    says_turned(1, 2, PASS - 1);
    cr_assert_not(session_of("c"), "that was in an earlier pass");
    says_turned(0, 2, PASS);
    says_turned(1, 2, PASS);
    sim_tick(sim, 10);
    sim_settle(sim);
    cr_assert(session_of("c") && !part_of(MOVE_DUMP, "c") && !part_of(MOVE_ARRIVALS, "c"));
    cr_assert_eq(session_of("c")->claim, 1001);
    cr_assert(packet_ids_has(&session_of("c")->in_qos2, 77));
    publishes("last");
    struct sim_conn *c =
        sim_connect(sim, &(struct sim_connect){.id = "c", .keep = true, .expiry_s = 3600});
    struct server_packet packet = expect_publish(c, 2, "first");
    cr_assert(packet.packet_id == 11 && packet.dup, "the same identifier, and DUP");
    cr_assert_not(expect_publish(c, 1, "second").dup);
    (void)expect_publish(c, 1, "later");
    (void)expect_publish(c, 1, "last");
    expect_nothing(c);
    says_kind(MOVE_END);
}

Test(cluster_move, what_does_not_follow_what_is_there_comes_again)
{
    says_begin("c", "x/#");
    struct sim_word word = entries_behind("c", 10);
    put_entry(&word, 10, 1, "b", false);
    says(&word);
    cr_assert(deliveries_empty(&part_of(MOVE_DUMP, "c")->out), "what is before it is not here");
    says_last("c", 11, PASS);
    word = entries_of("c");
    put_entry(&word, 9, 1, "a", false);
    put_entry(&word, 10, 1, "b", false);
    says(&word);
    cr_assert_eq(deliveries_unacked(&part_of(MOVE_DUMP, "c")->out), 2);
    says_begun();
    says_kind(MOVE_TURN);
    says_turned(0, 1, PASS);
    sim_tick(sim, 10);
    cr_assert_not(session_of("c"), "the last word came when not all was here");
    says_last("c", 11, PASS);
    sim_tick(sim, 10);
    sim_settle(sim);
    cr_assert(session_of("c"));
    struct sim_connect c = {.id = "c", .keep = true, .expiry_s = 3600};
    struct sim_conn *conn = sim_connect(sim, &c);
    (void)expect_publish(conn, 1, "a");
    (void)expect_publish(conn, 1, "b");
    says_kind(MOVE_END);
}

Test(cluster_move, what_is_left_when_it_is_over_ends)
{
    says_begin("c", "x/#");
    says_begin("d", "$share/g/x/#" + 9);
    cr_assert(part_of(MOVE_DUMP, "c") && part_of(MOVE_DUMP, "d"));
    says_kind(MOVE_END);
    cr_assert_not(part_of(MOVE_DUMP, "c"));
    cr_assert_not(part_of(MOVE_ARRIVALS, "d"));
}

Test(cluster_move, and_when_the_node_that_began_it_is_gone_for_good)
{
    says_begin("c", "x/#");
    says_kind(MOVE_TURN);
    it_acknowledges();
    publishes("of a node that turned");
    cr_assert(part_of(MOVE_DUMP, "c") && sim->broker->shards[0]->turn == NUMBER);
    sim_close(other, 0);
    sim_close(out, 0);
    sim_settle(sim);
    cr_assert(part_of(MOVE_DUMP, "c"), "it may come back");
    nodes_gone(nodes_of(node.cluster), SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    sim_tick(sim, 1000);
    sim_settle(sim);
    cr_assert_not(part_of(MOVE_DUMP, "c"));
    cr_assert_not(part_of(MOVE_ARRIVALS, "c"));
    cr_assert_eq(sim->broker->shards[0]->turn, 0);
}

Test(cluster_move, and_when_that_is_gone_before_we_turned)
{
    says_begin("c", "x/#");
    cr_assert(part_of(MOVE_DUMP, "c") && sim->broker->shards[0]->turn == 0);
    sim_close(other, 0);
    sim_close(out, 0);
    nodes_gone(nodes_of(node.cluster), SIM_OTHER, LINK_FOR_GOOD);
    sim_settle(sim);
    cr_assert_not(part_of(MOVE_DUMP, "c"));
}

Test(cluster_move, who_has_a_later_one_here_keeps_it)
{
    struct sim_conn *c =
        sim_connect(sim, &(struct sim_connect){.id = "c", .keep = true, .expiry_s = 3600});
    cr_assert_gt(session_of("c")->claim, 1000);
    says_begin("c", "x/#");
    cr_assert_not(part_of(MOVE_DUMP, "c"));
    cr_assert(c->open);
}

// ---- Words that are wrong -----------------------------------------------------------------------

static void
ends_its_connection(const struct sim_word *word)
{
    says(word);
    expect_dismissed(other, 0x81);
}

Test(cluster_move, a_bad_filter_ends_the_link)
{
    struct sim_word word = word_of(MOVE_BEGIN);
    struct record session = session_record("c"), sub = subscription("x/#/y", 1);
    put_record(&word, &session);
    put_record(&word, &sub);
    ends_its_connection(&word);
    cr_assert_not(part_of(MOVE_DUMP, "c"));
}

Test(cluster_move, a_reserved_client_identifier_ends_the_link)
{
    struct sim_word word = word_of(MOVE_LAST);
    sim_word_int(&word, 0, 8);
    sim_word_int(&word, PASS, 4);
    struct record session = session_record(NODE_TO SIM_OTHER);
    put_record(&word, &session);
    ends_its_connection(&word);
}

Test(cluster_move, a_number_that_none_has_ends_the_link)
{
    struct sim_word word = {0};
    sim_word_int(&word, MOVE_TURN, 1);
    sim_word_int(&word, 1, 4);
    ends_its_connection(&word);
}

Test(cluster_move, entries_that_go_back_end_the_link)
{
    struct sim_word word = entries_of("c");
    put_entry(&word, 10, 1, "a", false);
    put_entry(&word, 9, 1, "b", false);
    ends_its_connection(&word);
}

Test(cluster_move, a_shard_beyond_their_number_ends_the_link)
{
    struct sim_word word = word_of(MOVE_TURNED);
    sim_word_int(&word, 2, 1);
    sim_word_int(&word, 2, 1);
    sim_word_int(&word, PASS, 4);
    ends_its_connection(&word);
}

Test(cluster_move, a_gap_as_no_queue_has_is_not_taken)
{
    says_begin("c", "x/#");
    struct sim_word word = entries_of("c");
    put_entry(&word, 10, 1, "a", false);
    put_entry(&word, 10 + 2 * MOVE_GAP_MAX, 1, "b", false);
    says(&word);
    cr_assert_eq(deliveries_unacked(&part_of(MOVE_DUMP, "c")->out), 1);
    says_kind(MOVE_END);
}
