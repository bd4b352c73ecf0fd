// test_client_access.c - clients that somebody is asked about: suspended, answered, reviewed.
#include "core/access.h"
#include "core/client_access.h"
#include "tests/sim/expect.h"

enum { QUESTIONS_MAX = 20 };

static struct sim *sim;

static void
set_rules(struct access_rules *fresh)
{
    struct rcu_reader *self = sim->broker->shards[0]->rcu;
    broker_set_access(sim->broker, self, fresh);
    sim_settle(sim);
}

static struct access_rules *
asking_rules(void)
{
    struct access_rules *fresh = access_rules_new();
    fresh->listeners[0].ask = fresh->alike = true;
    return fresh;
}

static void
set_up(void)
{
    struct config *config = sim_config();
    config->listeners[0].allow_anonymous = false;
    sim = sim_new(2, config);
    sim->broker->desk = access_desk_new(2, QUESTIONS_MAX);
    set_rules(asking_rules());
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(client_access, .init = set_up, .fini = tear_down);

// ---- The one who answers ------------------------------------------------------------------------

static struct access_question *
take(void)
{
    cr_assert_gt(access_waiting(sim->broker->desk), 0, "a question");
    return access_take(sim->broker->desk);
}

static void
give(struct access_question *question)
{
    access_give(sim->broker->desk, sim->broker, question);
    sim_settle(sim);
    sim_settle(sim); // what the peer had sent meanwhile is read
}

static struct slice
copy(const char *text)
{
    return slice_of(mem_strdup(text), strlen(text));
}

static bool
is(struct slice got, const char *want)
{
    return want ? got.data && slice_equal(got, slice_str(want)) : !got.data;
}

// ---- Clients ------------------------------------------------------------------------------------

static struct sim_conn *
send_connect(const struct sim_connect *c)
{
    struct sim_conn *conn = sim_open(sim, broker_home(sim->broker, slice_str(c->id)));
    sim_send_connect(conn, c);
    sim_settle(sim);
    return conn;
}

static const struct sim_connect ann = {
    .id = "a", .user = "ann", .password = "secret", .keep = true, .expiry_s = 100};

static struct sim_conn *
come(const struct sim_connect *c)
{
    struct sim_conn *conn = send_connect(c);
    give(take());
    conn->hello = expect_packet(conn, MQTT_CONNACK);
    cr_assert_eq(conn->hello.reason, 0);
    return conn;
}

Test(client_access, the_question_has_what_connect_said_and_the_answer_lets_it_in)
{
    struct sim_conn *conn = send_connect(&ann);
    expect_nothing(conn);
    struct access_question *question = take();
    cr_assert_eq(question->kind, ACCESS_CONNECT);
    cr_assert(is(question->texts.client_id, "a") && is(question->texts.user, "ann"));
    cr_assert(is(question->texts.password, "secret") && is(question->texts.name, NULL));
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    cr_assert_str_eq(conn->client.session->user, "ann");
}

Test(client_access, what_comes_behind_connect_waits_and_is_served_in_order)
{
    struct sim_conn *conn = send_connect(&ann);
    sim_subscribe(conn, &(struct sim_subscribe){.filter = "t", .packet_id = 7, .options = 1});
    publish_text(conn, "t", 1, "early");
    sim_ping(conn);
    sim_settle(sim);
    expect_nothing(conn);
    give(take());
    expect_packet(conn, MQTT_CONNACK);
    expect_answer(conn, MQTT_SUBACK, 7, 1);
    cr_assert_eq(stat_sum(sim, packets_received), 4);
    unsigned publishes = 0, answers = 0;
    struct server_packet packet;
    while (sim_next(conn, &packet)) {
        publishes += packet.type == MQTT_PUBLISH;
        answers += packet.type == MQTT_PUBACK || packet.type == MQTT_PINGRESP;
    }
    cr_assert(publishes == 1 && answers == 2);
}

Test(client_access, a_refusal_has_its_reason_and_leaves_nothing)
{
    struct sim_conn *conn = send_connect(&ann);
    struct access_question *question = take();
    question->answer.err = ERR_BAD_CREDENTIALS;
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x86);
    expect_dismissed(conn, 0);
    cr_assert_eq(stat_sum(sim, access_refused), 1);
    conn = send_connect(
        &(struct sim_connect){.id = "old", .version = MQTT_311, .user = "ann", .password = "x"});
    question = take();
    question->answer.err = ERR_BAD_CREDENTIALS;
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 4);
}

Test(client_access, who_names_nobody_is_not_asked_about)
{
    struct sim_conn *conn = send_connect(&(struct sim_connect){.id = "a"});
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x87);
    sim->config->listeners[0].allow_anonymous = true;
    conn = send_connect(&(struct sim_connect){.id = "b"});
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0);
    cr_assert_eq(access_waiting(sim->broker->desk), 0);
}

Test(client_access, a_client_that_goes_meanwhile_does_not_matter_to_the_answer)
{
    struct sim_conn *conn = send_connect(&ann);
    struct access_question *question = take();
    sim_close(conn, 0);
    sim_settle(sim);
    give(question);
    cr_assert_eq(stat_sum(sim, sessions), 0);
}

Test(client_access, the_time_to_connect_goes_on)
{
    struct sim_conn *conn = send_connect(&ann);
    struct access_question *question = take();
    sim_tick(sim, sim->config->connect_timeout_s * 1000 + 1000);
    sim_settle(sim);
    expect_dismissed(conn, 0);
    cr_assert_eq(stat_sum(sim, connect_timeouts), 1);
    give(question);
}

Test(client_access, more_than_the_desk_takes_are_told_that_it_is_busy)
{
    char id[16];
    for (unsigned i = 0; i < QUESTIONS_MAX; i++) {
        (void)snprintf(id, sizeof id, "c%u", i);
        expect_nothing(send_connect(&(struct sim_connect){.id = id, .user = "u"}));
    }
    struct sim_conn *conn = send_connect(&(struct sim_connect){.id = "more", .user = "u"});
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x89);
    cr_assert_eq(stat_sum(sim, access_refused_busy), 1);
    for (unsigned i = 0; i < QUESTIONS_MAX; i++)
        give(take());
    cr_assert_eq(stat_sum(sim, clients_connected), QUESTIONS_MAX);
}

Test(client_access, whoever_answers_may_say_another_name)
{
    struct sim_conn *conn = send_connect(&ann);
    struct access_question *question = take();
    question->answer.user = copy("device-7");
    give(question);
    expect_packet(conn, MQTT_CONNACK);
    cr_assert_str_eq(conn->client.session->user, "device-7");
}

Test(client_access, an_identifier_that_the_server_made_stays_the_one_that_was_asked_about)
{
    struct sim_conn *conn = sim_open(sim, 0);
    sim_send_connect(conn, &(struct sim_connect){.id = "", .user = "u", .password = "p"});
    sim_settle(sim);
    struct access_question *question = take();
    char id[64];
    (void)snprintf(id, sizeof id, "%.*s", (int)question->texts.client_id.len,
                   (const char *)question->texts.client_id.data);
    give(question);
    cr_assert(is(expect_packet(conn, MQTT_CONNACK).assigned_id, id));
}

Test(client_access, the_connection_ends_when_what_it_was_granted_does)
{
    struct sim_conn *conn = send_connect(&ann);
    struct access_question *question = take();
    question->answer.expires_s =
        (sim->now_ms + broker_wall_offset(sim->broker)) / 1000 + 5; // in 5 s
    give(question);
    expect_packet(conn, MQTT_CONNACK);
    sim_tick(sim, 3000);
    sim_settle(sim);
    expect_nothing(conn);
    sim_tick(sim, 3000);
    sim_settle(sim);
    expect_dismissed(conn, 0xa0);
    cr_assert_eq(stat_sum(sim, access_expired), 1);
}

// ---- Sessions belong to users -------------------------------------------------------------------

Test(client_access, nobody_finds_another_users_session)
{
    struct sim_conn *first = come(&ann);
    struct sim_connect bob = ann;
    bob.user = "bob";
    struct sim_conn *second = send_connect(&bob);
    give(take());
    cr_assert_eq(expect_packet(second, MQTT_CONNACK).reason, 0x87);
    expect_nothing(first);
    cr_assert(first->open);
    sim_close(first, 0);
    second = send_connect(&bob); // nor when it is away
    give(take());
    cr_assert_eq(expect_packet(second, MQTT_CONNACK).reason, 0x87);
    cr_assert(come(&ann)->hello.session_present);
}

Test(client_access, a_listener_that_asks_nobody_is_no_way_around)
{
    sim->config->listener_count = 2;
    sim->config->listeners[1] = sim->config->listeners[0];
    sim->config->listeners[1].allow_anonymous = true; // and no rules say that it asks
    struct sim_conn *first = come(&ann);
    struct sim_connect nobody = {.id = "a", .keep = true, .expiry_s = 100};
    struct sim_conn *second = sim_open(sim, broker_home(sim->broker, slice_str("a")));
    client_set_listener(&second->client, 1);
    sim_send_connect(second, &nobody);
    sim_settle(sim);
    cr_assert_eq(expect_packet(second, MQTT_CONNACK).reason, 0x87);
    expect_nothing(first);
    sim->config->listener_count = 1;
}

Test(client_access, a_session_whose_user_is_gone_ends_for_the_next_one)
{
    struct sim_conn *first = come(&ann);
    sim_close(first, 0);
    struct access_rules *fresh = asking_rules();
    fresh->listeners[0].users = access_users_new();
    fresh->listeners[0].users_are_all = true;
    access_users_add(fresh->listeners[0].users, slice_str("bob"), 5);
    set_rules(fresh);
    struct sim_connect bob = ann;
    bob.user = "bob";
    cr_assert_not(come(&bob)->hello.session_present);
}

// ---- Rules that change --------------------------------------------------------------------------

Test(client_access, a_user_who_is_gone_or_has_another_password_goes)
{
    static const char *const names[] = {"stays", "changed", "gone"};
    struct sim_conn *conns[ARRAY_LEN(names)];
    struct access_rules *fresh = asking_rules();
    fresh->listeners[0].users = access_users_new();
    for (unsigned i = 0; i < ARRAY_LEN(names); i++)
        access_users_add(fresh->listeners[0].users, slice_str(names[i]), i + 1);
    set_rules(fresh);
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        conns[i] = send_connect(&(struct sim_connect){.id = names[i], .user = names[i]});
        struct access_question *question = take();
        question->answer.mark = i + 1;
        give(question);
        expect_packet(conns[i], MQTT_CONNACK);
    }
    fresh = asking_rules();
    fresh->listeners[0].users = access_users_new();
    access_users_add(fresh->listeners[0].users, slice_str("stays"), 1);
    access_users_add(fresh->listeners[0].users, slice_str("changed"), 9);
    set_rules(fresh);
    sim_settle(sim);
    expect_nothing(conns[0]);
    cr_assert(conns[0]->open);
    expect_dismissed(conns[1], 0x87);
    expect_dismissed(conns[2], 0x87);
    cr_assert_eq(stat_sum(sim, access_reviewed_out), 2);
}

Test(client_access, anonymous_clients_go_when_they_are_not_welcome_any_more)
{
    sim->config->listeners[0].allow_anonymous = true;
    struct sim_conn *conn = send_connect(&(struct sim_connect){.id = "b"});
    expect_packet(conn, MQTT_CONNACK);
    sim->config->listeners[0].allow_anonymous = false;
    set_rules(asking_rules());
    sim_settle(sim);
    expect_dismissed(conn, 0x87);
}

// ---- Enhanced authentication --------------------------------------------------------------------

static const struct sim_connect scram = {.id = "s", .auth_method = "M", .auth_data = "first"};

// The answerer wants another message.
static void
go_on(const char *to_client, const char *exchange)
{
    struct access_question *question = take();
    question->answer.more = true;
    question->answer.auth_data = copy(to_client);
    question->answer.exchange = copy(exchange);
    give(question);
}

static struct sim_conn *
authenticated(void)
{
    struct sim_conn *conn = send_connect(&scram);
    go_on("challenge", "state-1");
    struct server_packet packet = expect_packet(conn, MQTT_AUTH);
    cr_assert_eq(packet.reason, 0x18);
    cr_assert(is(packet.auth_method, "M") && is(packet.auth_data, "challenge"));
    sim_auth(conn, 0x18, "M", "final");
    sim_settle(sim);
    struct access_question *question = take();
    cr_assert_eq(question->kind, ACCESS_AUTH);
    cr_assert(is(question->texts.auth_data, "final") && is(question->texts.exchange, "state-1"));
    question->answer.auth_data = copy("proof");
    question->answer.user = copy("ann");
    give(question);
    packet = expect_packet(conn, MQTT_CONNACK);
    cr_assert(is(packet.auth_method, "M") && is(packet.auth_data, "proof"));
    cr_assert_str_eq(conn->client.session->user, "ann");
    return conn;
}

Test(client_access, messages_go_to_and_fro_until_connack)
{
    struct sim_conn *conn = authenticated();
    publish_text(conn, "t", 1, "x");
    sim_settle(sim);
    expect_packet(conn, MQTT_PUBACK);
}

Test(client_access, a_method_where_nobody_is_asked_is_refused)
{
    set_rules(NULL);
    struct sim_conn *conn = send_connect(&scram);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x8c);
}

Test(client_access, only_auth_may_come_before_connack)
{
    struct sim_conn *conn = send_connect(&scram);
    go_on("challenge", "state");
    expect_packet(conn, MQTT_AUTH);
    publish_text(conn, "t", 0, "x");
    sim_settle(sim);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x82);
    expect_dismissed(conn, 0);
    conn = send_connect(&scram);
    go_on("challenge", "state");
    expect_packet(conn, MQTT_AUTH);
    sim_auth(conn, 0x18, "other", "final"); // another method
    sim_settle(sim);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x82);
}

Test(client_access, a_bad_proof_ends_in_connack)
{
    struct sim_conn *conn = send_connect(&scram);
    go_on("challenge", "state");
    expect_packet(conn, MQTT_AUTH);
    sim_auth(conn, 0x18, "M", "wrong");
    sim_settle(sim);
    struct access_question *question = take();
    question->answer.err = ERR_NOT_AUTHORIZED;
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_CONNACK).reason, 0x87);
    expect_dismissed(conn, 0);
}

Test(client_access, a_client_authenticates_again_and_stays_who_it_is)
{
    struct sim_conn *conn = authenticated();
    sim_auth(conn, 0x19, "M", "first");
    sim_settle(sim);
    go_on("challenge", "state-2");
    cr_assert_eq(expect_packet(conn, MQTT_AUTH).reason, 0x18);
    publish_text(conn, "t", 1, "meanwhile"); // life goes on between the messages
    sim_settle(sim);
    expect_packet(conn, MQTT_PUBACK);
    sim_auth(conn, 0x18, "M", "final");
    sim_settle(sim);
    struct access_question *question = take();
    cr_assert(is(question->texts.exchange, "state-2") && is(question->texts.user, "ann"));
    question->answer.user = copy("ann");
    give(question);
    cr_assert_eq(expect_packet(conn, MQTT_AUTH).reason, 0);
    sim_auth(conn, 0x19, "M", "first");
    sim_settle(sim);
    question = take();
    question->answer.user = copy("bob");
    give(question);
    expect_dismissed(conn, 0x87);
}

Test(client_access, authentication_that_nobody_began_does_not_go_on)
{
    struct sim_conn *conn = authenticated();
    sim_auth(conn, 0x18, "M", "final");
    sim_settle(sim);
    expect_dismissed(conn, 0x82);
    conn = authenticated();
    sim_auth(conn, 0x19, "N", "first"); // [MQTT-4.12.1-1]
    sim_settle(sim);
    expect_dismissed(conn, 0x82);
}

// ---- An authority outside that is asked about topics --------------------------------------------

static struct sim_conn *
come_with_hook(void)
{
    struct access_rules *fresh = asking_rules();
    fresh->listeners[0].ask_publish = fresh->listeners[0].ask_subscribe = true;
    set_rules(fresh);
    return come(&ann);
}

static void
decide(const char *topic, err_t err, uint32_t valid_ms)
{
    struct access_question *question = take();
    cr_assert(is(question->texts.topic, topic) && is(question->texts.user, "ann"));
    question->answer.err = err;
    question->answer.valid_ms = valid_ms;
    give(question);
}

Test(client_access, a_publication_waits_for_its_decision_and_is_counted_once)
{
    struct sim_conn *conn = come_with_hook();
    publish_text(conn, "yes", 1, "one");
    publish_text(conn, "no", 1, "two");
    sim_settle(sim);
    expect_nothing(conn);
    decide("yes", OK, 1000);
    expect_answer(conn, MQTT_PUBACK, 1, 0x10);
    decide("no", ERR_NOT_AUTHORIZED, 1000);
    expect_answer(conn, MQTT_PUBACK, 1, 0x87);
    cr_assert_eq(stat_sum(sim, publish_received), 2);
    publish_text(conn, "yes", 1, "three"); // known
    sim_settle(sim);
    expect_answer(conn, MQTT_PUBACK, 1, 0x10);
    sim_tick(sim, 2000);
    publish_text(conn, "yes", 1, "four"); // not any more
    sim_settle(sim);
    expect_nothing(conn);
    decide("yes", OK, 0); // for this one alone
    expect_answer(conn, MQTT_PUBACK, 1, 0x10);
}

Test(client_access, filters_are_decided_one_by_one_and_answered_together)
{
    struct sim_conn *conn = come_with_hook();
    sim_subscribe(conn, &(struct sim_subscribe){.filter = "no/#", .packet_id = 3});
    sim_settle(sim);
    decide("no/#", ERR_NOT_AUTHORIZED, 0);
    expect_answer(conn, MQTT_SUBACK, 3, 0x87);
    sim_subscribe(conn, &(struct sim_subscribe){.filter = "yes/#", .packet_id = 4, .options = 1});
    sim_settle(sim);
    decide("yes/#", OK, 0);
    expect_answer(conn, MQTT_SUBACK, 4, 1);
}

Test(client_access, deliveries_go_on_while_a_client_waits)
{
    struct sim_conn *conn = come_with_hook();
    sim_subscribe(conn, &(struct sim_subscribe){.filter = "t", .packet_id = 4, .options = 1});
    sim_settle(sim);
    decide("t", OK, 0);
    expect_packet(conn, MQTT_SUBACK);
    publish_text(conn, "waits", 1, "x");
    sim_settle(sim);
    struct access_question *question = take();
    struct sim_connect bob = {.id = "bob", .user = "bob"};
    set_rules(asking_rules()); // nobody is asked about bob's topics
    struct sim_conn *other = come(&bob);
    publish_text(other, "t", 1, "meanwhile");
    sim_settle(sim);
    expect_publish(conn, 1, "meanwhile");
    question->answer.valid_ms = 0;
    give(question);
    expect_packet(conn, MQTT_PUBACK);
}

Test(client_access, what_waits_for_a_decision_keeps_its_order_and_its_rate)
{
    sim->config->listeners[0].messages_in_rate = 2;
    struct sim_conn *conn = come_with_hook();
    conn->client.read_paused = true; // so that all comes in one piece
    for (unsigned i = 0; i < 5; i++)
        publish_number(conn, "t", 1, i);
    conn->client.read_paused = false;
    unsigned answered = 0;
    for (unsigned ms = 0; ms < 2600; ms += 10) {
        struct server_packet packet;
        sim_tick(sim, 10);
        if (access_waiting(sim->broker->desk) > 0)
            decide("t", OK, 0);
        while (sim_next(conn, &packet))
            cr_assert_eq(packet.packet_id, ++answered);
        cr_assert(ms > 450 || answered <= 2, "%u within %u ms", answered, ms);
    }
    cr_assert_eq(answered, 5);
    cr_assert_eq(stat_sum(sim, publish_received), 5);
    cr_assert_not(conn->client.read_paused);
}
