// test_retained.c - the retained store: limits, walks that rest, pruning.
#include <criterion/criterion.h>
#include <stdio.h>

#include "core/base/mem.h"

#include "core/retained.h"
#include "core/retained_nodes.h"
#include "core/topic.h"

#define TEXT_MAX 96

static const struct retained_limits UNLIMITED;

struct rig {
    struct rcu *rcu;
    struct rcu_reader *self;
    struct retained *store;
    uint64_t random;
};

static struct rig
rig_new(uint64_t seed)
{
    struct rig rig = {.rcu = rcu_new(), .random = seed * 2 + 1};
    rig.self = rcu_register(rig.rcu);
    rig.store = retained_new(&(struct hash_key){seed, ~seed});
    return rig;
}

static void
rig_free(struct rig *rig)
{
    rcu_unregister(rig->self); // frees what was deferred
    retained_free(rig->store);
    rcu_free(rig->rcu);
}

static err_t
set_within(struct rig *rig, const char *topic, const char *payload,
           const struct retained_limits *limits)
{
    struct pub pub = {.topic = slice_str(topic), .payload = slice_str(payload), .retain = true};
    err_t err = retained_set(rig->store, rig->self, pub_msg(&pub), limits);
    pub_done(&pub);
    return err;
}

static void
set_expiring(struct rig *rig, const char *topic, uint64_t expires_ms)
{
    struct pub pub = {
        .topic = slice_str(topic), .payload = slice_str("x"), .expires_ms = expires_ms};
    cr_assert_eq(retained_set(rig->store, rig->self, pub_msg(&pub), &UNLIMITED), OK);
    pub_done(&pub);
}

static void
set(struct rig *rig, const char *topic)
{
    cr_assert_eq(set_within(rig, topic, topic, &UNLIMITED), OK);
}

static bool
clear(struct rig *rig, const char *topic)
{
    uint64_t order;
    return retained_clear(rig->store, rig->self, slice_str(topic), &order);
}

static bool
is(struct rig *rig, const char *topic, const char *payload)
{
    struct msg *msg = retained_get(rig->store, slice_str(topic));
    return msg && slice_equal(msg_payload(msg), slice_str(payload));
}

static struct retained_stats
stats_of(const struct rig *rig)
{
    struct retained_stats stats;
    retained_stats(rig->store, &stats);
    return stats;
}

static uint32_t
next_random(struct rig *rig)
{
    rig->random ^= rig->random << 13;
    rig->random ^= rig->random >> 7;
    rig->random ^= rig->random << 17;
    return (uint32_t)(rig->random >> 32);
}

// How many messages a walk finds; each must match.
static uint32_t
found(struct rig *rig, const char *filter)
{
    struct retained_walk *walk = retained_walk_new(rig->store, slice_str(filter));
    uint32_t n = 0;
    for (bool done = false; !done;) {
        struct msg *msg = retained_walk_next(walk, 3, &done);
        if (!msg)
            continue;
        cr_assert(topic_matches(slice_str(filter), msg_topic(msg)), "%s", filter);
        msg_unref(msg);
        n++;
    }
    retained_walk_free(walk, rig->self);
    return n;
}

// ---- Setting, getting, clearing -------------------------------------------------------------

Test(retained, the_last_message_of_each_topic)
{
    struct rig rig = rig_new(1);
    cr_assert_null(retained_get(rig.store, slice_str("a/b")));
    cr_assert_eq(set_within(&rig, "a/b", "1", &UNLIMITED), OK);
    cr_assert(is(&rig, "a/b", "1"));
    cr_assert_null(retained_get(rig.store, slice_str("a")));
    cr_assert_null(retained_get(rig.store, slice_str("a/b/")));
    cr_assert_eq(set_within(&rig, "a/b", "22", &UNLIMITED), OK);
    cr_assert(is(&rig, "a/b", "22"));
    cr_assert_eq(stats_of(&rig).count, 1);
    cr_assert_eq(stats_of(&rig).bytes, sizeof(struct msg) + 5);
    cr_assert_eq(stats_of(&rig).nodes, 2);
    cr_assert(clear(&rig, "a/b"));
    cr_assert(!clear(&rig, "a/b"));
    cr_assert(!clear(&rig, "a"), "a level on the way has no message");
    cr_assert_null(retained_get(rig.store, slice_str("a/b")));
    cr_assert_eq(stats_of(&rig).count + stats_of(&rig).bytes + stats_of(&rig).nodes, 0);
    rig_free(&rig);
}

Test(retained, the_stores_reference_goes_after_a_grace_period)
{
    struct rig rig = rig_new(2);
    struct pub pub = {.topic = slice_str("t"), .payload = slice_str("x")};
    struct msg *msg = msg_ref(pub_msg(&pub));
    pub_done(&pub);
    cr_assert_eq(retained_set(rig.store, rig.self, msg, &UNLIMITED), OK);
    cr_assert_eq(atomic_load(&msg->refs), 2);
    cr_assert_eq(retained_get(rig.store, slice_str("t")), msg);
    set(&rig, "t");
    cr_assert_eq(atomic_load(&msg->refs), 2, "somebody may be reading it");
    rcu_quiescent(rig.self);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    cr_assert_eq(retained_set(rig.store, rig.self, msg, &UNLIMITED), OK);
    cr_assert_eq(retained_set(rig.store, rig.self, msg, &UNLIMITED), OK, "by itself");
    cr_assert(clear(&rig, "t"));
    rcu_quiescent(rig.self);
    cr_assert_eq(atomic_load(&msg->refs), 1);
    msg_unref(msg);
    rig_free(&rig);
}

Test(retained, limits_of_count)
{
    struct rig rig = rig_new(3);
    struct retained_limits two = {.count_max = 2}, one = {.count_max = 1};
    cr_assert_eq(set_within(&rig, "a", "1", &two), OK);
    cr_assert_eq(set_within(&rig, "b/b", "1", &two), OK);
    struct retained_stats before = stats_of(&rig);
    cr_assert_eq(set_within(&rig, "c/c/c", "1", &two), ERR_FULL);
    cr_assert_eq(stats_of(&rig).nodes, before.nodes, "nothing stays of what was refused");
    cr_assert_eq(stats_of(&rig).bytes, before.bytes);
    cr_assert_eq(set_within(&rig, "a", "2", &two), OK, "replacing adds none");
    cr_assert_eq(set_within(&rig, "a", "3", &one), OK, "nor when the limit was lowered");
    cr_assert(clear(&rig, "a"));
    cr_assert_eq(set_within(&rig, "c", "1", &two), OK);
    rig_free(&rig);
}

Test(retained, limits_of_bytes)
{
    struct rig rig = rig_new(4);
    struct retained_limits limits = {.bytes_max = 2 * sizeof(struct msg) + 10};
    cr_assert_eq(set_within(&rig, "a", "1234", &limits), OK);
    cr_assert_eq(set_within(&rig, "b", "123456", &limits), ERR_FULL);
    cr_assert_eq(set_within(&rig, "b", "1234", &limits), OK, "exactly full");
    cr_assert_eq(set_within(&rig, "a", "12345", &limits), ERR_FULL);
    cr_assert(is(&rig, "a", "1234"), "and nothing changed");
    cr_assert_eq(set_within(&rig, "a", "123", &limits), OK);
    cr_assert_eq(set_within(&rig, "b", "12345", &limits), OK);
    cr_assert_eq(stats_of(&rig).bytes, limits.bytes_max);
    rig_free(&rig);
}

Test(retained, deep_and_long_topics)
{
    struct rig rig = rig_new(5);
    char *text = mem_zalloc(TOPIC_BYTES_MAX + 1);
    memset(text, '/', TOPIC_LEVELS_MAX - 1);
    set(&rig, text);
    cr_assert_eq(stats_of(&rig).nodes, TOPIC_LEVELS_MAX);
    cr_assert_eq(found(&rig, "#"), 1);
    cr_assert_eq(found(&rig, "//+/#"), 1);
    cr_assert(clear(&rig, text));
    memset(text, 'x', TOPIC_BYTES_MAX);
    set(&rig, text);
    text[TOPIC_BYTES_MAX - 1] = 'y';
    cr_assert(!clear(&rig, text));
    cr_assert_eq(found(&rig, "+"), 1);
    text[TOPIC_BYTES_MAX - 1] = 'x';
    cr_assert(clear(&rig, text));
    cr_assert_eq(stats_of(&rig).nodes, 0);
    mem_free(text);
    rig_free(&rig);
}

// The newest child comes first: the walk is at the bottom while a sibling waits at each level.
Test(retained, a_walk_may_stand_on_each_of_two_hundred_levels)
{
    struct rig rig = rig_new(17);
    char topic[2 * TOPIC_LEVELS_MAX + 1] = {0}, filter[2 * TOPIC_LEVELS_MAX + 1] = {0};
    bool done;
    for (uint32_t i = 0; i < TOPIC_LEVELS_MAX; i++) {
        topic[2 * i] = 'b';
        set(&rig, topic);
        memcpy(topic + 2 * i, "a/", 2);
        memcpy(filter + 2 * i, "+/", 2);
    }
    topic[2 * TOPIC_LEVELS_MAX - 1] = filter[2 * TOPIC_LEVELS_MAX - 1] = 0;
    set(&rig, topic); // two hundred times "a"
    cr_assert_eq(found(&rig, "#"), TOPIC_LEVELS_MAX + 1);
    cr_assert_eq(found(&rig, filter), 2);
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("#"));
    struct msg *msg = retained_walk_next(walk, TOPIC_LEVELS_MAX, &done);
    cr_assert(msg && slice_equal(msg_topic(msg), slice_str(topic)), "the deepest first");
    msg_unref(msg);

    // All of it goes while the walk stands on its two hundred siblings.
    cr_assert(clear(&rig, topic));
    for (uint32_t i = TOPIC_LEVELS_MAX; i-- > 0;) {
        topic[2 * i] = 'b';
        topic[2 * i + 1] = 0;
        cr_assert(clear(&rig, topic));
        rcu_quiescent(rig.self);
    }
    cr_assert_eq(stats_of(&rig).count, 0);
    cr_assert_eq(stats_of(&rig).nodes, 2 * TOPIC_LEVELS_MAX - 1, "pinned, and what is above");
    cr_assert_null(retained_walk_next(walk, 1000, &done));
    cr_assert(done);
    retained_walk_free(walk, rig.self);
    for (uint32_t i = 0; i < 8; i++) // looks at a limited number each time
        cr_assert_eq(retained_sweep(rig.store, rig.self, 0, 1, NULL, NULL), 0);
    cr_assert_eq(stats_of(&rig).nodes, 0);
    rig_free(&rig);
}

Test(retained, thirty_thousand_topics_set_then_cleared)
{
    struct rig rig = rig_new(6);
    char topic[TEXT_MAX];
    for (uint32_t i = 0; i < 30000; i++) {
        (void)snprintf(topic, sizeof topic, "%u/%u/topic-%u", i % 7, i % 100, i);
        set(&rig, topic);
        rcu_quiescent(rig.self);
    }
    cr_assert_eq(stats_of(&rig).count, 30000);
    for (uint32_t i = 0; i < 30000; i++) {
        (void)snprintf(topic, sizeof topic, "%u/%u/topic-%u", i % 7, i % 100, i);
        cr_assert(clear(&rig, topic));
        rcu_quiescent(rig.self);
    }
    cr_assert_eq(stats_of(&rig).count + stats_of(&rig).bytes + stats_of(&rig).nodes, 0);
    rcu_quiescent(rig.self);
    cr_assert_eq(rcu_deferred(rig.self), 0);
    rig_free(&rig);
}

Test(retained, sweep_removes_what_has_expired)
{
    struct rig rig = rig_new(7);
    char topic[TEXT_MAX];
    set(&rig, "stays");
    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(topic, sizeof topic, "e/%u", i);
        set_expiring(&rig, topic, 1000 + i);
    }
    cr_assert_eq(retained_sweep(rig.store, rig.self, 999, 1000, NULL, NULL), 0);
    cr_assert_eq(retained_sweep(rig.store, rig.self, 1049, 1000, NULL, NULL), 50);
    cr_assert_eq(stats_of(&rig).count, 51);
    cr_assert_null(retained_get(rig.store, slice_str("e/49")));
    cr_assert(is(&rig, "e/50", "x"));
    set(&rig, "e/50");                  // does not expire any more
    set_expiring(&rig, "e/51", 9000);   // later
    set_expiring(&rig, "stays/not", 1); // at once
    uint32_t removed = 0;
    for (uint32_t i = 0; i < 51; i++) // in steps of one
        removed += retained_sweep(rig.store, rig.self, 5000, 1, NULL, NULL);
    cr_assert_eq(removed, 49);
    cr_assert_eq(retained_sweep(rig.store, rig.self, 9000, 1000, NULL, NULL), 1);
    cr_assert_eq(stats_of(&rig).count, 2);
    cr_assert_eq(found(&rig, "#"), 2);
    cr_assert_eq(retained_sweep(rig.store, rig.self, UINT64_MAX, 1000, NULL, NULL), 0);
    rig_free(&rig);
}

// ---- Walks ----------------------------------------------------------------------------------

Test(retained, walks_follow_the_rules_of_matching)
{
    struct rig rig = rig_new(8);
    static const char *const topics[] = {"a",
                                         "a/b",
                                         "a/b/c",
                                         "/a",
                                         "a/",
                                         "/",
                                         "b",
                                         "a//c",
                                         "$SYS/a/b",
                                         "$SYS",
                                         "a/$x",
                                         "+x/y",
                                         "long/level/names/are/here"};
    for (uint32_t i = 0; i < ARRAY_LEN(topics); i++)
        set(&rig, topics[i]);
    static const char *const filters[] = {
        "#",    "+",     "+/+",    "a/#",      "a/+",   "a",     "/#",      "+/#",
        "/+",   "+/+/#", "$SYS/#", "$SYS/+/b", "a/+/c", "+/b/#", "none",    "a/b/#",
        "$SYS", "+//+",  "a/+/#",  "/",        "+/$x",  "a/b/c", "a/b/c/d", "+/level/#"};
    for (uint32_t i = 0; i < ARRAY_LEN(filters); i++) {
        uint32_t expected = 0;
        for (uint32_t k = 0; k < ARRAY_LEN(topics); k++)
            expected += topic_matches(slice_str(filters[i]), slice_str(topics[k]));
        cr_assert_eq(found(&rig, filters[i]), expected, "%s", filters[i]);
    }
    cr_assert_eq(found(&rig, "#"), ARRAY_LEN(topics) - 2, "but $SYS [MQTT-4.7.2-1]");
    rig_free(&rig);
}

static void
random_topic(struct rig *rig, char text[TEXT_MAX], bool is_filter)
{
    static const char *const levels[] = {"", "a", "b", "c", "$x", "longer-name"};
    uint32_t n = 1 + next_random(rig) % 4;
    size_t len = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t dice = next_random(rig) % 8;
        const char *level = levels[next_random(rig) % ARRAY_LEN(levels)];
        if (is_filter && dice < 3)
            level = dice == 0 ? "#" : "+";
        len += (size_t)snprintf(text + len, TEXT_MAX - len, "%s%s", i > 0 ? "/" : "", level);
        if (strcmp(level, "#") == 0)
            break;
    }
    if (len == 0)
        (void)snprintf(text, TEXT_MAX, "/");
}

#define MODEL_MAX 200

Test(retained, random_walks_find_what_the_naive_matcher_says)
{
    struct rig rig = rig_new(9);
    char(*model)[TEXT_MAX] = mem_zalloc(MODEL_MAX * sizeof *model), text[TEXT_MAX];
    uint32_t count = 0;
    for (uint32_t round = 0; round < 5000; round++) {
        random_topic(&rig, text, false);
        uint32_t i = 0, expected = 0;
        while (i < count && strcmp(model[i], text) != 0)
            i++;
        if (next_random(&rig) % 3 && count < MODEL_MAX) {
            set(&rig, text);
            memcpy(model[i], text, sizeof text);
            count += i == count;
        } else {
            cr_assert_eq(clear(&rig, text), i < count);
            if (i < count)
                memcpy(model[i], model[--count], sizeof text);
        }
        random_topic(&rig, text, true);
        for (uint32_t k = 0; k < count; k++)
            expected += topic_matches(slice_str(text), slice_str(model[k]));
        cr_assert_eq(found(&rig, text), expected, "%s", text);
        cr_assert_eq(stats_of(&rig).count, count);
        rcu_quiescent(rig.self);
    }
    for (uint32_t i = 0; i < count; i++)
        cr_assert(clear(&rig, model[i]));
    cr_assert_eq(stats_of(&rig).nodes, 0);
    mem_free(model);
    rig_free(&rig);
}

Test(retained, a_walk_over_many_topics_rests_between_steps)
{
    struct rig rig = rig_new(10);
    char topic[TEXT_MAX];
    enum { TOPICS = 100000 };
    for (uint32_t i = 0; i < TOPICS; i++) {
        (void)snprintf(topic, sizeof topic, "%u/%u/%u", i % 10, i / 10 % 100, i);
        set(&rig, topic);
    }
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("#"));
    uint32_t n = 0, calls = 0;
    for (bool done = false; !done; calls++) {
        struct msg *msg = retained_walk_next(walk, 2, &done);
        n += msg != NULL;
        msg_unref(msg);
        rcu_offline(rig.self); // the worker sleeps
        rcu_online(rig.self);
        rcu_quiescent(rig.self);
    }
    cr_assert_eq(n, TOPICS);
    cr_assert_geq(calls, TOPICS);
    retained_walk_free(walk, rig.self);
    rig_free(&rig);
}

Test(retained, steps_are_counted_in_nodes)
{
    struct rig rig = rig_new(11);
    set(&rig, "1/2/3/4/5/6/7/8");
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("+/2/3/4/5/6/7/+"));
    bool done = true;
    cr_assert_null(retained_walk_next(walk, 7, &done));
    cr_assert(!done, "seven levels are visited, the message is one further");
    struct msg *msg = retained_walk_next(walk, 7, &done);
    cr_assert(msg && !done);
    msg_unref(msg);
    cr_assert_null(retained_walk_next(walk, 7, &done));
    cr_assert(done);
    retained_walk_free(walk, rig.self);
    rig_free(&rig);
}

// Each node that a walk stands on is cleared, before it and behind it, in all orders.
static void
clear_during(uint32_t seed)
{
    struct rig rig = rig_new(100 + seed);
    enum { TOPICS = 60 };
    char topics[TOPICS][TEXT_MAX];
    bool stays[TOPICS], gone[TOPICS] = {0}, seen[TOPICS] = {0};
    for (uint32_t i = 0; i < TOPICS; i++) {
        (void)snprintf(topics[i], TEXT_MAX, "%u/%u%s%u", i % 3, i % 5, i % 2 ? "/" : "-", i);
        stays[i] = next_random(&rig) % 4 == 0;
        set(&rig, topics[i]);
    }
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str(seed % 2 ? "#" : "+/#"));
    for (bool done = false; !done;) {
        for (uint32_t k = 0; k < 3; k++) {
            uint32_t i = next_random(&rig) % TOPICS;
            if (!stays[i] && !gone[i])
                gone[i] = clear(&rig, topics[i]);
            else if (gone[i] && next_random(&rig) % 4 == 0)
                set(&rig, topics[i]); // comes back, perhaps while the walk is not there yet
        }
        rcu_quiescent(rig.self);
        struct msg *msg = retained_walk_next(walk, 1 + next_random(&rig) % 4, &done);
        for (uint32_t i = 0; msg && i < TOPICS; i++)
            if (slice_equal(msg_topic(msg), slice_str(topics[i]))) {
                cr_assert(!seen[i] || !stays[i], "%s twice", topics[i]);
                seen[i] = true;
            }
        msg_unref(msg);
    }
    for (uint32_t i = 0; i < TOPICS; i++)
        cr_assert(seen[i] || !stays[i], "%s was there throughout", topics[i]);
    retained_walk_free(walk, rig.self);
    for (uint32_t i = 0; i < TOPICS; i++)
        (void)clear(&rig, topics[i]);
    cr_assert_eq(stats_of(&rig).nodes, 0);
    rig_free(&rig);
}

Test(retained, what_stays_is_seen_once_whatever_goes_meanwhile)
{
    for (uint32_t seed = 0; seed < 200; seed++)
        clear_during(seed);
}

Test(retained, a_walk_passes_nodes_that_are_just_going)
{
    struct rig rig = rig_new(16);
    static const char *const topics[] = {"a", "b", "c", "d", "e"};
    for (uint32_t i = 0; i < ARRAY_LEN(topics); i++)
        set(&rig, topics[i]);
    // As between the writer's decision and the unlinking.
    struct rnode *b = rnode_child(rig.store, rig.store->root, slice_str("b"));
    struct rnode *c = rnode_child(rig.store, rig.store->root, slice_str("c"));
    struct rnode *e = rnode_child(rig.store, rig.store->root, slice_str("e"));
    atomic_store(&b->pins, PINS_DEAD);
    atomic_store(&c->pins, PINS_DEAD);
    atomic_store(&e->pins, PINS_DEAD);
    cr_assert_eq(found(&rig, "+"), 2);
    cr_assert_eq(found(&rig, "c"), 0);
    atomic_store(&b->pins, 0);
    atomic_store(&c->pins, 0);
    atomic_store(&e->pins, 0);
    cr_assert_eq(found(&rig, "#"), 5);
    cr_assert_eq(atomic_load(&b->pins), 0, "all pins are given back");
    rig_free(&rig);
}

Test(retained, a_resting_walk_keeps_few_nodes)
{
    struct rig rig = rig_new(12);
    char topic[TEXT_MAX];
    bool done;
    for (uint32_t i = 0; i < 10; i++) {
        (void)snprintf(topic, sizeof topic, "a/b/%u", i);
        set(&rig, topic);
    }
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("#"));
    msg_unref(retained_walk_next(walk, 100, &done));
    cr_assert(!done);
    // Its client does not read any more; others go on for a long time.
    for (uint32_t i = 0; i < 10000; i++) {
        (void)snprintf(topic, sizeof topic, "a/%u/x/%u", i, i);
        set(&rig, topic);
        cr_assert(clear(&rig, topic));
        rcu_quiescent(rig.self);
    }
    cr_assert_eq(stats_of(&rig).nodes, 12);
    for (uint32_t i = 0; i < 10; i++) {
        (void)snprintf(topic, sizeof topic, "a/b/%u", i);
        cr_assert(clear(&rig, topic));
    }
    cr_assert_leq(stats_of(&rig).nodes, 3, "what it stands on, and what is above");
    cr_assert_eq(stats_of(&rig).count, 0);
    retained_walk_free(walk, rig.self);
    cr_assert_eq(stats_of(&rig).nodes, 0);
    rig_free(&rig);
}

Test(retained, what_a_walk_has_left_is_pruned_by_the_next_writer)
{
    struct rig rig = rig_new(13);
    bool done;
    set(&rig, "a/1");
    set(&rig, "a/2");
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("a/+"));
    msg_unref(retained_walk_next(walk, 100, &done)); // stands on the other one
    cr_assert(clear(&rig, "a/1"));
    cr_assert(clear(&rig, "a/2"));
    cr_assert_eq(stats_of(&rig).nodes, 2);
    cr_assert_null(retained_walk_next(walk, 100, &done));
    cr_assert(done);
    cr_assert_eq(retained_sweep(rig.store, rig.self, 0, 1, NULL, NULL), 0);
    cr_assert_eq(stats_of(&rig).nodes, 0);
    retained_walk_free(walk, rig.self);
    rig_free(&rig);
}

Test(retained, a_node_that_waits_to_be_pruned_may_be_used_again)
{
    struct rig rig = rig_new(14);
    bool done;
    set(&rig, "a/1");
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("a/1"));
    cr_assert_null(retained_walk_next(walk, 1, &done)); // visited "a", stands on "a/1"
    cr_assert(clear(&rig, "a/1"));
    set_expiring(&rig, "a/1", 50); // from one list to the other
    cr_assert_eq(retained_sweep(rig.store, rig.self, 10, 10, NULL, NULL), 0);
    cr_assert(is(&rig, "a/1", "x"));
    struct msg *msg = retained_walk_next(walk, 10, &done);
    cr_assert_not_null(msg);
    msg_unref(msg);
    cr_assert_eq(retained_sweep(rig.store, rig.self, 50, 10, NULL, NULL), 1);
    set(&rig, "a/1/2"); // or as a level on the way
    cr_assert_eq(retained_sweep(rig.store, rig.self, 60, 10, NULL, NULL), 0);
    cr_assert(is(&rig, "a/1/2", "a/1/2"));
    cr_assert(clear(&rig, "a/1/2"));
    cr_assert_eq(stats_of(&rig).nodes, 0);
    retained_walk_free(walk, rig.self);
    rig_free(&rig);
}

Test(retained, a_walk_may_end_early)
{
    struct rig rig = rig_new(15);
    bool done;
    set(&rig, "a/b/c");
    set(&rig, "a/b/d");
    struct retained_walk *walk = retained_walk_new(rig.store, slice_str("#"));
    cr_assert_null(retained_walk_next(walk, 2, &done));
    retained_walk_free(walk, rig.self);
    retained_walk_free(NULL, rig.self);
    cr_assert(clear(&rig, "a/b/c"));
    cr_assert(clear(&rig, "a/b/d"));
    cr_assert_eq(stats_of(&rig).nodes, 0);
    rig_free(&rig);
}
