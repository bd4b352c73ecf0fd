// test_cluster_wills.c - Wills of clients whose node dies, as a node that lives sees it.
#include "tests/unit/test_cluster_wills.h"

#include "core/retained.h"

TestSuite(cluster_wills, .init = set_up, .fini = tear_down);

// ---- Held, and published -----------------------------------------------------------------------

Test(cluster_wills, a_dead_nodes_will_is_published_once)
{
    out = sim_linked_dial(&node);
    sim_close(out, ECONNRESET);
    says_will(&(struct told_will){.claim = CLAIM, .flags = 5, .id = "c", .topic = "w"});
    cr_assert_eq(held(), 1);
    passes(60000, GOSSIP_ALIVE);
    passes(60000, GOSSIP_SUSPECT);
    expect_nothing(watch);
    passes(AFTER_MS - 100, GOSSIP_DEAD);
    expect_nothing(watch);
    passes(200, GOSSIP_DEAD);
    struct server_packet packet = expect_publish(watch, 1, "gone");
    cr_assert(slice_equal(packet.topic, slice_str("w")));
    cr_assert_not_null(retained_get(sim->broker->retained, slice_str("w")));
    cr_assert_eq(held(), 0);
    passes(60000, GOSSIP_DEAD);
    expect_nothing(watch);
    // What its queue still had is no new one.
    says_will(&(struct told_will){.claim = CLAIM, .flags = 5, .id = "c", .topic = "w"});
    passes(60000, GOSSIP_DEAD);
    expect_nothing(watch);
    out = sim_linked_dial(&node);
    struct sim_word want = {0};
    sim_word_int(&want, CLAIM, 8);
    sim_word_put(&want, SIM_OTHER "c", NODE_ID_LEN + 1);
    cr_assert(was_told(want.bytes, want.len), "it waits for the node");
    cr_assert(was_told("wgone", 5), "it is retained there as well");
}

Test(cluster_wills, the_delay_and_the_expiry_begin_when_the_node_is_dead)
{
    says_will(&(struct told_will){
        .claim = CLAIM, .delay_s = 30, .expiry_ms = 7000, .id = "c", .topic = "w"});
    passes(AFTER_MS + 29000, GOSSIP_DEAD);
    expect_nothing(watch);
    passes(1500, GOSSIP_DEAD);
    expect_publish(watch, 0, "gone");
}

Test(cluster_wills, a_node_that_is_back_in_time_keeps_its_wills)
{
    says_will(&(struct told_will){.claim = CLAIM, .delay_s = 30, .id = "c", .topic = "w"});
    passes(AFTER_MS + 20000, GOSSIP_DEAD);
    passes(60000, GOSSIP_ALIVE);
    passes(AFTER_MS + 20000, GOSSIP_DEAD); // counted anew
    expect_nothing(watch);
    cr_assert_eq(held(), 1);
}

Test(cluster_wills, a_link_shows_that_the_node_lives)
{
    says_will(&(struct told_will){.claim = CLAIM, .id = "c", .topic = "w"});
    out = sim_linked_dial(&node);
    passes(60000, GOSSIP_DEAD);
    expect_nothing(watch);
    sim_close(out, ECONNRESET);
    passes(200, GOSSIP_DEAD);
    expect_publish(watch, 0, "gone");
}

Test(cluster_wills, who_has_left_leaves_no_wills)
{
    says_will(&(struct told_will){.claim = CLAIM, .id = "c", .topic = "w"});
    passes(60000, GOSSIP_LEFT);
    cr_assert_eq(held(), 0);
    passes(60000, GOSSIP_DEAD);
    expect_nothing(watch);
}

// Its sessions have ended, so no Will has to wait.
Test(cluster_wills, those_of_a_node_that_is_forgotten_are_due_at_once)
{
    says_will(&(struct told_will){.claim = CLAIM, .delay_s = 3000, .id = "c", .topic = "w"});
    passes(AFTER_MS + 1000, GOSSIP_DEAD);
    expect_nothing(watch);
    atomic_store(&theirs->forgotten, true);
    passes(200, GOSSIP_LEFT);
    expect_publish(watch, 0, "gone");
    cr_assert_eq(held(), 0);
    says_will(&(struct told_will){.claim = CLAIM + 1, .id = "c", .topic = "w"});
    passes(200, GOSSIP_LEFT);
    expect_publish(watch, 0, "gone"); // its queue had one
    atomic_store(&theirs->forgotten, false);
    passes(AFTER_MS + 1000, GOSSIP_LEFT);
    expect_nothing(watch);
}

Test(cluster_wills, who_has_left_leaves_no_wills_in_its_queue_either)
{
    struct sim_word all = head(2);
    passes(1000, GOSSIP_LEFT);
    // It is back: what we had not acknowledged comes again, and then what it has now: nothing.
    says_will(&(struct told_will){.claim = CLAIM, .id = "c", .topic = "w"});
    put_mark(&all, false, 1, 1);
    put_mark(&all, true, 1, 1);
    says(TOPIC_WILLS, &all);
    cr_assert_eq(held(), 0);
    passes(60000, GOSSIP_DEAD);
    expect_nothing(watch);
}

// It was killed, came back with the Will on its disk, and was asked to end before it could publish.
Test(cluster_wills, but_who_leaves_with_what_a_life_before_left_leaves_that_to_others)
{
    struct told_will w = {.claim = CLAIM, .id = "c", .topic = "w"};
    says_will(&w);
    struct sim_word word = head(2);
    put_will(&word, &w);
    says(TOPIC_WILLS, &word);
    expect_nothing(watch);
    node_leaves(2);
    expect_publish(watch, 0, "gone");
    cr_assert_eq(held(), 0);
}

Test(cluster_wills, what_was_withdrawn_or_replaced_is_not_published)
{
    struct told_will w = {.claim = CLAIM, .id = "c", .topic = "old"};
    says_will(&w);
    says_will(&(struct told_will){.claim = CLAIM, .id = "d", .topic = "d"});
    w.claim++;
    w.topic = "new";
    says_will(&w);
    w.claim--;
    says_will(&w); // late
    struct sim_word word = head(1);
    put_gone(&word, CLAIM, "c"); // the old one
    put_gone(&word, CLAIM, "d");
    put_gone(&word, CLAIM, "nobody");
    says(TOPIC_WILLS, &word);
    cr_assert_eq(held(), 1);
    passes(AFTER_MS + 200, GOSSIP_DEAD);
    struct server_packet packet = expect_publish(watch, 0, "gone");
    cr_assert(slice_equal(packet.topic, slice_str("new")));
    expect_nothing(watch);
}

Test(cluster_wills, another_node_was_faster)
{
    says_will(&(struct told_will){.claim = CLAIM, .id = "c", .topic = "w"});
    struct sim_word word = {0};
    sim_word_int(&word, CLAIM, 8);
    sim_word_put(&word, SIM_OTHER "c", NODE_ID_LEN + 1);
    says(TOPIC_WILLED, &word);
    cr_assert_eq(held(), 0);
}

// ---- Told anew ----------------------------------------------------------------------------------

static void
says_whole(uint64_t incarnation, uint64_t round, const struct told_will *one)
{
    struct sim_word word = head(incarnation);
    put_mark(&word, false, round, 2);
    put_mark(&word, false, round, 2);
    put_mark(&word, true, round, 2);
    if (one)
        put_will(&word, one);
    says(TOPIC_WILLS, &word);
    word = head(incarnation);
    put_mark(&word, true, round, 2);
    says(TOPIC_WILLS, &word);
}

Test(cluster_wills, what_a_later_set_lacks_is_gone)
{
    struct told_will a = {.claim = CLAIM, .id = "a", .topic = "a"}, b = a, c = a;
    b.id = b.topic = "b";
    c.id = c.topic = "c";
    says_whole(1, 1, &a);
    says_will(&b);
    cr_assert_eq(held(), 2);
    says_whole(1, 2, &c);
    cr_assert_eq(held(), 1);
    says_whole(1, 1, NULL); // an older one, late
    cr_assert_eq(held(), 1);
    passes(AFTER_MS + 200, GOSSIP_DEAD);
    cr_assert(slice_equal(expect_publish(watch, 0, "gone").topic, slice_str("c")));
    expect_nothing(watch);
}

// Its own node would do it when it hears of the client, which is let in here meanwhile.
Test(cluster_wills, what_another_life_still_has_is_published_before_its_client_is_let_in)
{
    struct told_will w = {.claim = CLAIM, .id = "c", .topic = "w"};
    says_will(&w);
    struct sim_word word = head(2);
    put_mark(&word, false, 1, 1);
    says(TOPIC_WILLS, &word);
    word = (struct sim_word){0};
    sim_word_claim(&word, false, CLAIM, "c"); // the session
    says(TOPIC_CAME, &word);
    word = head(2);
    put_will(&word, &w);
    put_mark(&word, true, 1, 1);
    says(TOPIC_WILLS, &word);
    passes(1000, GOSSIP_ALIVE);
    expect_nothing(watch);
    (void)sim_connect(sim, &(struct sim_connect){.id = "c"});
    expect_publish(watch, 0, "gone");
    cr_assert_eq(held(), 0);
    says_whole(2, 2, &w); // before it had heard that
    cr_assert_eq(held(), 0);
}

// It is about to do that when it has held it for NODE_WILL_HOLD_MS, so that both would.
Test(cluster_wills, but_not_when_its_node_has_been_back_for_a_while_and_does_it_itself)
{
    struct told_will w = {.claim = CLAIM, .id = "c", .topic = "w"};
    says_will(&w);
    says_whole(2, 1, &w);
    passes(NODE_WILL_HOLD_MS - 1000, GOSSIP_ALIVE);
    says_whole(2, 2, &w); // a new link is not a new life
    struct sim_conn *conn = comes_here();
    expect_nothing(conn);
    struct sim_word word = head(2);
    put_gone(&word, CLAIM, "c");
    says(TOPIC_WILLS, &word);
    expect_packet(conn, MQTT_CONNACK);
    expect_nothing(watch);
}

Test(cluster_wills, but_not_if_its_client_was_here_before)
{
    struct told_will w = {.claim = CLAIM, .id = "c", .topic = "w"};
    says_will(&w);
    struct sim_conn *conn = comes_here();
    is_let_in_at_last(conn);
    sim_disconnect(conn, 0);
    says_whole(2, 1, &w);
    sim_disconnect(sim_connect(sim, &(struct sim_connect){.id = "c"}), 0);
    sim_settle(sim);
    expect_nothing(watch);
}

Test(cluster_wills, what_another_life_has_no_longer_is_published)
{
    struct told_will lost = {.claim = CLAIM, .id = "lost", .topic = "lost", .delay_s = 5},
                     kept = lost;
    struct told_will again = lost, moved = lost;
    kept.id = kept.topic = "kept";
    again.id = again.topic = "again";
    moved.id = moved.topic = "moved";
    says_whole(1, 7, &lost);
    says_will(&kept);
    says_will(&again);
    says_will(&moved);
    cr_assert_eq(held(), 4);
    struct sim_word word = head(2);
    put_mark(&word, false, 1, 1);
    says(TOPIC_WILLS, &word);
    word = (struct sim_word){0};
    sim_word_claim(&word, false, CLAIM + 3, "again"); // its client came at once
    says(TOPIC_CAME, &word);
    word = head(1);
    put_will(&word, &(struct told_will){.claim = CLAIM + 9, .id = "late", .topic = "late"});
    says(TOPIC_WILLS, &word); // of the life before
    word = head(2);
    put_will(&word, &kept);
    put_mark(&word, true, 1, 1);
    says(TOPIC_WILLS, &word);
    passes(4000, GOSSIP_ALIVE);
    expect_nothing(watch);
    struct sim_conn *here = sim_connect(sim, &(struct sim_connect){.id = "moved"});
    cr_assert(slice_equal(expect_publish(watch, 0, "gone").topic, slice_str("moved")));
    passes(60000, GOSSIP_ALIVE);
    cr_assert(slice_equal(expect_publish(watch, 0, "gone").topic, slice_str("lost")));
    expect_nothing(watch);
    cr_assert_eq(held(), 1);
    cr_assert(here->open);
}

// ---- Ours ---------------------------------------------------------------------------------------

static struct sim_word
told_gone(uint64_t claim, const char *id)
{
    struct sim_word want = head(nodes_of(node.cluster)->identity.incarnation);
    put_gone(&want, claim, id);
    return want;
}

static struct sim_conn *
with_will(const char *id, const char *topic, uint32_t expiry_s)
{
    return sim_connect(sim, &(struct sim_connect){.id = id,
                                                  .keep = true,
                                                  .expiry_s = expiry_s,
                                                  .will_topic = topic,
                                                  .will_delay_s = expiry_s});
}

Test(cluster_wills, a_new_link_is_told_of_ours_and_of_what_becomes_of_them)
{
    (void)with_will("before", "topic/before", 0);
    (void)with_will("kept", "topic/kept", 100);
    out = sim_linked_dial(&node);
    for (uint16_t id = 1; id < 32; id++)
        sim_ack(out, MQTT_PUBACK, id);
    sim_settle(sim);
    cr_assert(was_told("beforetopic/beforewill", 22) && was_told("kepttopic/keptwill", 18));
    struct sim_conn *after = with_will("after", "topic/after", 0);
    cr_assert(was_told("aftertopic/afterwill", 20));
    uint64_t claim = session_of("after")->claim;
    struct sim_word gone = told_gone(claim, "after");
    cr_assert_not(was_told(gone.bytes, gone.len));
    sim_close(after, 0);
    sim_settle(sim);
    cr_assert(was_told(gone.bytes, gone.len));
    expect_publish(watch, 0, "will");
}

static void
says_willed(uint64_t claim, const char *id)
{
    struct sim_word word = {0};
    sim_word_int(&word, claim, 8);
    sim_word_put(&word, node.cluster->id, NODE_ID_LEN);
    sim_word_put(&word, id, strlen(id));
    says(TOPIC_WILLED, &word);
}

Test(cluster_wills, what_others_have_published_is_not_published_again)
{
    struct sim_conn *here = with_will("here", "here", 0);
    sim_close(with_will("away", "away", 100), ECONNRESET);
    uint64_t claim = session_of("here")->claim;
    says_willed(claim - 1, "here"); // an earlier connection's
    cr_assert(here->open);
    says_willed(claim, "here");
    expect_dismissed(here, 0x98);
    says_willed(session_of("away")->claim, "away");
    cr_assert_null(session_of("away")->will);
    says_willed(claim, "nobody");
    sim_tick(sim, 200000);
    sim_settle(sim);
    expect_nothing(watch);
}

// ---- What is no Will ----------------------------------------------------------------------------

Test(cluster_wills, what_has_no_room_is_counted)
{
    char id[8], payload[201];
    memset(payload, 'x', sizeof payload - 1);
    payload[sizeof payload - 1] = '\0';
    for (unsigned i = 0; i < 20; i++) {
        (void)snprintf(id, sizeof id, "b%u", i);
        says_will(&(struct told_will){.claim = CLAIM, .id = id, .topic = "w", .payload = payload});
    }
    uint64_t kept = held();
    cr_assert(kept > 3 && kept < 10, "%lu", (unsigned long)kept);
    struct cluster_figures figures;
    node.cluster->ops->figures(node.cluster, &figures);
    cr_assert_eq(figures.wills_refused, 20 - kept);
    for (unsigned i = 0; i < 20; i++) {
        struct sim_word word = head(1);
        (void)snprintf(id, sizeof id, "b%u", i);
        put_gone(&word, CLAIM, id);
        says(TOPIC_WILLS, &word);
    }
    cr_assert_eq(atomic_load(&nodes_of(node.cluster)->wills_bytes), 0);
}

static void
is_refused(const char *topic, const struct sim_word *word)
{
    struct server_packet packet;
    sim_node_says(other, topic, word);
    sim_settle(sim);
    while (sim_next(other, &packet))
        cr_assert_neq(packet.type, MQTT_PUBACK);
    cr_assert_not(other->open);
    other = sim_node_comes(&node);
    sim_settle(sim);
    expect_packet(other, MQTT_CONNACK);
}

Test(cluster_wills, words_that_are_none_end_the_connection)
{
    static const struct told_will bad[] = {
        {.claim = 1, .id = "", .topic = "w"},
        {.claim = 1, .id = "\xff", .topic = "w"},
        {.claim = CLAIM_MAX + 1, .id = "c", .topic = "w"},
        {.claim = 1, .id = "c", .topic = ""},
        {.claim = 1, .id = "c", .topic = "w/#"},
        {.claim = 1, .id = "c", .topic = "$SYS/w"},
        {.claim = 1, .id = "c", .topic = "$TERNMQ/wills"},
        {.claim = 1, .id = "c", .topic = "\xff"},
        {.claim = 1, .id = "c", .topic = "w", .props = "\x7f"},
        {.claim = 1, .id = "c", .topic = "w", .flags = 3},
        {.claim = 1, .id = "c", .topic = "w", .flags = 32},
        {.claim = 1, .id = "c", .topic = "w", .expiry_ms = UINT64_C(1) << 60},
    };
    struct sim_word word;
    for (unsigned i = 0; i < ARRAY_LEN(bad); i++) {
        word = head(1);
        put_will(&word, &bad[i]);
        is_refused(TOPIC_WILLS, &word);
    }
    word = head(1);
    put_will(&word, &(struct told_will){.claim = 1, .id = "c", .topic = "w"});
    while (--word.len > 0) // cut off anywhere
        is_refused(TOPIC_WILLS, &word);
    word = head(1);
    put_mark(&word, false, 1, 0);
    is_refused(TOPIC_WILLS, &word);
    word = head(1);
    put_mark(&word, true, 1, TRIE_SHARDS_MAX + 1);
    is_refused(TOPIC_WILLS, &word);
    word.bytes[8] = 4; // no such step
    is_refused(TOPIC_WILLS, &word);
    word = (struct sim_word){0};
    sim_word_int(&word, CLAIM, 8);
    sim_word_put(&word, SIM_OTHER "c", NODE_ID_LEN + 1);
    while (--word.len > 0)
        is_refused(TOPIC_WILLED, &word);
    cr_assert_eq(held(), 0);
}
