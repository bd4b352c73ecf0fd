// test_subs.c - the shard's subscriber vectors and the sessions' places in them.
#include "core/session.h"
#include "core/subs.h"
#include "tests/sim/expect.h"

enum { SESSIONS = 300 };

// Sessions that are only what subs.c touches of them: an array of places.
static struct session sessions[SESSIONS];
static struct session_sub places[SESSIONS];
static struct subs *subs;

static void
set_up(void)
{
    subs = subs_new();
    for (uint32_t i = 0; i < SESSIONS; i++)
        sessions[i] = (struct session){.number = i, .subs = &places[i], .sub_count = 1};
}

static void
tear_down(void)
{
    subs_free(subs);
}

TestSuite(subs, .init = set_up, .fini = tear_down);

static const struct trie_handle handle = {.slot = 5, .generation = 1};

static void
add(uint32_t i)
{
    struct sub sub = {.session = &sessions[i], .subscription_id = i + 1};
    places[i].place = subs_add(subs, handle, &sub);
}

// Every session stands where it thinks it does, the connected ones first.
static void
check(const bool *in, const bool *connected)
{
    struct sub_vector *vector = subs_find(subs, handle);
    uint32_t count = 0, online = 0;
    for (uint32_t i = 0; i < SESSIONS; i++) {
        if (!in[i])
            continue;
        count++;
        online += connected[i];
        cr_assert_lt(places[i].place, subs_count(vector));
        const struct sub *sub = &subs_items(vector)[places[i].place];
        cr_assert_eq(sub->session, &sessions[i]);
        cr_assert_eq(sub->subscription_id, i + 1);
        cr_assert_eq(places[i].place < subs_connected(vector), connected[i]);
    }
    cr_assert_eq(vector ? subs_count(vector) : 0, count);
    cr_assert_eq(vector ? subs_connected(vector) : 0, online);
}

Test(subs, one_is_inline_and_more_are_not)
{
    cr_assert_null(subs_find(subs, handle));
    add(0);
    struct sub_vector *vector = subs_find(subs, handle);
    cr_assert_not(vector->is_list);
    cr_assert_eq(subs_items(vector)->session, &sessions[0]);
    add(1);
    cr_assert(subs_find(subs, handle)->is_list);
    cr_assert_eq(subs_items(subs_find(subs, handle))[0].session, &sessions[0]);
    cr_assert_not(subs_remove(subs, handle, 0));
    cr_assert_eq(places[1].place, 0, "the last took its place and was told");
    cr_assert(subs_remove(subs, handle, 0));
    cr_assert_null(subs_find(subs, handle));
}

Test(subs, any_order_of_coming_connecting_and_going)
{
    static bool in[SESSIONS], connected[SESSIONS];
    uint32_t random = 1;
    for (unsigned turn = 0; turn < 5000; turn++) {
        random = random * 1664525u + 1013904223u;
        uint32_t i = (random >> 8) % SESSIONS;
        if (!in[i]) {
            add(i);
            in[i] = true;
        } else if (random >> 31) {
            connected[i] = !connected[i];
            subs_set_connected(subs_find(subs, handle), places[i].place, connected[i]);
            subs_set_connected(subs_find(subs, handle), places[i].place, connected[i]);
        } else {
            subs_remove(subs, handle, places[i].place);
            in[i] = connected[i] = false;
        }
        if (turn % 50 == 0)
            check(in, connected);
    }
    for (uint32_t i = 0, left = subs_count(subs_find(subs, handle)); i < SESSIONS; i++)
        if (in[i])
            cr_assert_eq(subs_remove(subs, handle, places[i].place), --left == 0);
}

Test(subs, a_slot_of_another_generation_is_another_filter)
{
    add(0);
    cr_assert_null(subs_find(subs, (struct trie_handle){.slot = 5, .generation = 2}));
    cr_assert_null(subs_find(subs, (struct trie_handle){.slot = 6, .generation = 1}));
    cr_assert_null(subs_find(subs, (struct trie_handle){.slot = 5}));
    cr_assert(subs_remove(subs, handle, 0));
    struct sub sub = {.session = &sessions[1]};
    struct trie_handle next = {.slot = 5, .generation = 2};
    cr_assert_eq(subs_add(subs, next, &sub), 0);
    cr_assert_null(subs_find(subs, handle));
    cr_assert(subs_remove(subs, next, 0));
}

Test(subs, slots_far_apart_cost_their_pages_alone)
{
    static const uint32_t slots[] = {0, 1023, 1024, 5000000, 1u << 24};
    struct sub sub = {.session = &sessions[0]};
    for (unsigned i = 0; i < ARRAY_LEN(slots); i++)
        subs_add(subs, (struct trie_handle){.slot = slots[i], .generation = 1}, &sub);
    for (unsigned i = 0; i < ARRAY_LEN(slots); i++) {
        struct trie_handle far = {.slot = slots[i], .generation = 1};
        cr_assert_eq(subs_find(subs, far)->count, 1);
        cr_assert_eq(subs_find(subs, far)->generation, far.generation);
    }
    cr_assert_null(subs_find(subs, (struct trie_handle){.slot = UINT32_MAX, .generation = 1}));
    subs_free(NULL);
}

// ---- With real sessions: the index of session_subs.c on the other side --------------------------

static void
toggle(struct sim *sim, struct sim_conn *conn, uint32_t n, bool *has)
{
    char filter[32];
    (void)snprintf(filter, sizeof filter, n % 5 ? "f/%u" : "$share/g/f/%u", n);
    if (*has) {
        sim_unsubscribe(conn, filter);
        sim_tick(sim, 0);
        expect_answer(conn, MQTT_UNSUBACK, 1, 0);
    } else {
        sim_subscribe(conn, &(struct sim_subscribe){.filter = filter, .options = 1, .id = n + 1});
        sim_tick(sim, 0);
        expect_answer(conn, MQTT_SUBACK, 1, 1);
    }
    *has = !*has;
}

Test(subs, sessions_find_their_subscriptions_through_all_changes)
{
    enum { CONNS = 3, FILTERS = 60 };
    static bool has[CONNS][FILTERS];
    struct sim *sim = sim_new(1, sim_config());
    struct sim_conn *conns[CONNS], *p = sim_connect(sim, &(struct sim_connect){.id = "p"});
    for (unsigned i = 0; i < CONNS; i++)
        conns[i] = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 0)});
    uint32_t random = 7;
    for (unsigned turn = 0; turn < 3000; turn++) {
        random = random * 1664525u + 1013904223u;
        uint32_t who = (random >> 8) % CONNS, n = (random >> 16) % FILTERS;
        toggle(sim, conns[who], n, &has[who][n]);
    }
    for (uint32_t n = 0; n < FILTERS; n++) {
        char topic[32];
        (void)snprintf(topic, sizeof topic, "f/%u", n);
        publish_text(p, topic, 0, topic);
        sim_settle(sim);
        unsigned wanted = 0, got = 0;
        for (unsigned i = 0; i < CONNS; i++) {
            struct server_packet packet;
            bool one = sim_next(conns[i], &packet);
            if (one)
                cr_assert_eq(packet.ids[0], n + 1);
            if (n % 5)
                cr_assert_eq(one, has[i][n]);
            got += one;
            wanted += has[i][n];
            expect_nothing(conns[i]);
        }
        cr_assert_eq(got, n % 5 ? wanted : min_u32(wanted, 1));
    }
    end_empty(sim);
}
