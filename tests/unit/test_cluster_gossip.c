// test_cluster_gossip.c - one machine, told by hand what others say. What many do to each other is
// tests/sim/cluster_sim.c's.
#include <criterion/criterion.h>

#include "cluster/gossip.h"

#define CLUSTER 0xc1

struct bench {
    struct gossip *gossip;
    struct gossip_actions actions;
    uint64_t now;
};

static struct gossip_address
address_of(uint8_t id)
{
    return (struct gossip_address){{[10] = 0xff, [11] = 0xff, 10, 0, 0, id}, 7946};
}

static struct bench
bench_new(uint32_t members_max)
{
    struct bench bench = {.now = 5000};
    struct gossip_config config = {
        .cluster = CLUSTER,
        .uuid = {{1}},
        .incarnation = 10,
        .name = slice_str("one"),
        .address = address_of(1),
        .members_max = members_max,
        .seed = 42,
    };
    bench.gossip = gossip_new(&config, bench.now);
    return bench;
}

static void
bench_free(struct bench *bench)
{
    gossip_check(bench->gossip);
    gossip_free(bench->gossip);
    gossip_actions_free(&bench->actions);
}

static void
step(struct bench *bench, const struct gossip_event *event)
{
    gossip_step(bench->gossip, bench->now, event, &bench->actions);
    gossip_check(bench->gossip);
}

// A record of member id, in its incarnation; with details.
static struct gossip_record
record_of(uint8_t id, uint64_t incarnation, uint32_t version, enum gossip_state state,
          uint8_t details[GOSSIP_DETAILS_MAX])
{
    struct gossip_address address = address_of(id);
    char name[] = "member-a";
    name[7] = (char)('a' + id % 26);
    return (struct gossip_record){
        .uuid = {{id}},
        .incarnation = incarnation,
        .version = version,
        .state = state,
        .has_details = true,
        .accuser = state == GOSSIP_SUSPECT ? 0x99000000 : 0,
        .details = slice_of(
            details, gossip_write_details(details, &address, slice_str(name), slice_str(""))),
    };
}

// Member id says message, with one record (NULL: none).
static void
say(struct bench *bench, uint8_t id, uint64_t incarnation, struct gossip_message message,
    const struct gossip_record *record)
{
    uint8_t room[GOSSIP_PLAIN_MAX];
    struct gossip_writer writer = {room, room + sizeof room};
    message.cluster = message.cluster ? message.cluster : CLUSTER;
    gossip_write_message(&writer, &message);
    if (record)
        cr_assert(gossip_write_record(&writer, record));
    struct gossip_event event = {
        .kind = GOSSIP_RECEIVED,
        .uuid = {{id}},
        .incarnation = incarnation,
        .address = address_of(id),
        .bytes = slice_of(room, (size_t)(writer.at - room)),
    };
    step(bench, &event);
}

static void
introduce(struct bench *bench, uint8_t id, uint64_t incarnation)
{
    uint8_t details[GOSSIP_DETAILS_MAX];
    struct gossip_record record = record_of(id, incarnation, 0, GOSSIP_ALIVE, details);
    say(bench, id, incarnation, (struct gossip_message){.kind = GOSSIP_RUMORS}, &record);
}

static void
rumor(struct bench *bench, uint8_t from, uint8_t about, uint64_t incarnation, uint32_t version,
      enum gossip_state state)
{
    uint8_t details[GOSSIP_DETAILS_MAX];
    struct gossip_record record = record_of(about, incarnation, version, state, details);
    struct gossip_view view = {.incarnation = 1};
    struct gossip_uuid uuid = {{from}};
    (void)gossip_find(bench->gossip, &uuid, &view);
    record.has_details = false;
    say(bench, from, view.incarnation,
        (struct gossip_message){.kind = GOSSIP_RUMORS, .version = view.version}, &record);
}

static struct gossip_view
see(struct bench *bench, uint8_t id)
{
    struct gossip_view view;
    struct gossip_uuid uuid = {{id}};
    cr_assert(gossip_find(bench->gossip, &uuid, &view), "%u is not known", id);
    return view;
}

// The first action of a kind, and of a message's kind if it is SEND; NULL: none.
static const struct gossip_action *
find(const struct bench *bench, enum gossip_action_kind kind, enum gossip_kind message_kind,
     struct gossip_message *ret_message)
{
    for (uint32_t i = 0; i < bench->actions.count; i++) {
        const struct gossip_action *action = &bench->actions.items[i];
        if (action->kind != kind)
            continue;
        if (kind != GOSSIP_SEND)
            return action;
        struct slice bytes = slice_of(bench->actions.bytes + action->offset, action->len);
        cr_assert_eq(gossip_decode(bytes, ret_message), OK);
        if (ret_message->kind == message_kind)
            return action;
    }
    return NULL;
}

// Ticks until a time, without anybody's answer; counts messages of a kind.
static unsigned
idle_until(struct bench *bench, uint64_t until, enum gossip_kind count_of)
{
    struct gossip_event tick = {.kind = GOSSIP_TICK};
    unsigned count = 0;
    while (bench->now < until) {
        uint64_t next = gossip_wait_until(bench->gossip);
        bench->now = min_u64(until, max_u64(next, bench->now + 1));
        step(bench, &tick);
        for (uint32_t i = 0; i < bench->actions.count; i++) {
            const struct gossip_action *action = &bench->actions.items[i];
            count +=
                action->kind == GOSSIP_SEND && bench->actions.bytes[action->offset + 1] == count_of;
        }
    }
    return count;
}

Test(cluster_gossip, a_ping_is_answered_and_one_for_another_is_told_so)
{
    struct bench bench = bench_new(16);
    struct gossip_message ping = {.kind = GOSSIP_PING, .seq = 77, .target = {{1}}}, answer;
    introduce(&bench, 2, 1);
    say(&bench, 2, 1, ping, NULL);
    const struct gossip_action *sent = find(&bench, GOSSIP_SEND, GOSSIP_ACK, &answer);
    cr_assert_not_null(sent);
    cr_assert_eq(answer.seq, 77);
    cr_assert_eq(sent->address.ip[15], 2);
    ping.target.bytes[0] = 3;
    say(&bench, 2, 1, ping, NULL);
    cr_assert_null(find(&bench, GOSSIP_SEND, GOSSIP_ACK, &answer));
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_NOT_ME, &answer));
    bench_free(&bench);
}

Test(cluster_gossip, a_silent_member_is_suspected_then_dead_and_tried_again_for_a_day)
{
    struct bench bench = bench_new(16);
    introduce(&bench, 2, 1);
    cr_assert_eq(gossip_alive(bench.gossip), 2);
    idle_until(&bench, bench.now + 2100, GOSSIP_PING);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_SUSPECT);
    idle_until(&bench, bench.now + 3100, GOSSIP_PING);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_DEAD);
    cr_assert_eq(gossip_stats(bench.gossip)->deaths, 1);
    cr_assert_eq(gossip_alive(bench.gossip), 1);
    cr_assert_geq(idle_until(&bench, bench.now + 60000, GOSSIP_ASK), 59); // alone: every second
    idle_until(&bench, bench.now + GOSSIP_REMEMBER_MS - 120000, GOSSIP_ASK);
    cr_assert_geq(idle_until(&bench, bench.now + 30000, GOSSIP_ASK), 29);
    idle_until(&bench, bench.now + 200000, GOSSIP_ASK);
    cr_assert_eq(gossip_count(bench.gossip), 1); // forgotten
    cr_assert_eq(idle_until(&bench, bench.now + 30000, GOSSIP_ASK), 0);
    bench_free(&bench);
}

Test(cluster_gossip, a_refused_link_and_one_failed_probe_are_death)
{
    struct bench bench = bench_new(16);
    struct gossip_message ping, ack = {.kind = GOSSIP_ACK};
    introduce(&bench, 2, 4);
    introduce(&bench, 3, 1);
    struct gossip_event refused = {.kind = GOSSIP_REFUSED, .uuid = {{2}}, .incarnation = 3};
    step(&bench, &refused); // of its earlier life
    cr_assert_null(find(&bench, GOSSIP_SEND, GOSSIP_PING, &ping));
    refused.incarnation = 4;
    step(&bench, &refused);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_PING, &ping));
    ack.seq = ping.seq;
    say(&bench, 2, 4, ack, NULL); // it is there: another process of its machine was meant
    idle_until(&bench, bench.now + 510, GOSSIP_PING);
    cr_assert_neq(see(&bench, 2).state, GOSSIP_DEAD);
    step(&bench, &refused);
    idle_until(&bench, bench.now + 510, GOSSIP_PING);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_DEAD);
    cr_assert_eq(gossip_stats(bench.gossip)->fast_deaths, 1);
    bench_free(&bench);
}

Test(cluster_gossip, a_pod_that_was_replaced_dies_by_its_successors_answer)
{
    struct bench bench = bench_new(16);
    struct gossip_event tick = {.kind = GOSSIP_TICK};
    struct gossip_message ping, answer = {.kind = GOSSIP_NOT_ME};
    introduce(&bench, 2, 1);
    do {
        bench.now = max_u64(gossip_wait_until(bench.gossip), bench.now + 1);
        step(&bench, &tick);
    } while (!find(&bench, GOSSIP_SEND, GOSSIP_PING, &ping));
    introduce(&bench, 28, 1); // the same name, another disk
    cr_assert_eq(gossip_stats(bench.gossip)->names_twice, 1);
    answer.seq = ping.seq + 1;
    say(&bench, 28, 1, answer, NULL); // to another question
    cr_assert_eq(see(&bench, 2).state, GOSSIP_ALIVE);
    answer.seq = ping.seq;
    say(&bench, 28, 1, answer, NULL);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_DEAD);
    cr_assert_eq(see(&bench, 28).state, GOSSIP_ALIVE);
    cr_assert_eq(gossip_stats(bench.gossip)->fast_deaths, 1);
    bench_free(&bench);
}

Test(cluster_gossip, a_wrong_claim_about_us_is_refuted_with_a_higher_version)
{
    struct bench bench = bench_new(16);
    struct gossip_message told;
    introduce(&bench, 2, 1);
    rumor(&bench, 2, 1, 10, 4, GOSSIP_DEAD);
    cr_assert_eq(see(&bench, 1).version, 5);
    cr_assert_eq(see(&bench, 1).state, GOSSIP_ALIVE);
    rumor(&bench, 2, 1, 10, 4, GOSSIP_SUSPECT); // an old one
    cr_assert_eq(see(&bench, 1).version, 5);
    rumor(&bench, 2, 1, 9, 100, GOSSIP_DEAD); // of an earlier life
    cr_assert_eq(see(&bench, 1).version, 5);
    cr_assert_eq(gossip_awareness(bench.gossip), 1);
    struct gossip_message ping = {.kind = GOSSIP_PING, .seq = 1, .target = {{1}}};
    say(&bench, 2, 1, ping, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_ACK, &told));
    cr_assert_eq(told.version, 5);
    bench_free(&bench);
}

Test(cluster_gossip, who_lives_as_ourselves_is_told_to_the_owner)
{
    struct bench bench = bench_new(16);
    introduce(&bench, 2, 1);
    rumor(&bench, 2, 1, 11, 0, GOSSIP_ALIVE);
    const struct gossip_action *action = find(&bench, GOSSIP_OUTDATED, 0, NULL);
    cr_assert_not_null(action);
    cr_assert_eq(action->incarnation, 11);
    rumor(&bench, 2, 1, 10, UINT32_MAX, GOSSIP_LEFT); // no version is above it
    cr_assert_not_null(find(&bench, GOSSIP_OUTDATED, 0, NULL));
    rumor(&bench, 2, 1, 10, 1, GOSSIP_ALIVE);
    cr_assert_not_null(find(&bench, GOSSIP_OUTDATED, 0, NULL));
    rumor(&bench, 2, 1, 10, UINT32_MAX, GOSSIP_SUSPECT); // no version is above it
    cr_assert_not_null(find(&bench, GOSSIP_OUTDATED, 0, NULL));
    cr_assert_eq(see(&bench, 1).version, 0);
    bench_free(&bench);
}

Test(cluster_gossip, who_was_given_up_and_lives_says_so)
{
    struct bench bench = bench_new(16);
    struct gossip_message told;
    introduce(&bench, 2, 1);
    rumor(&bench, 2, 1, 10, 3, GOSSIP_LEFT);
    cr_assert_not_null(find(&bench, GOSSIP_GIVEN_UP, 0, NULL));
    cr_assert_eq(see(&bench, 1).version, 4);
    cr_assert_eq(see(&bench, 1).state, GOSSIP_ALIVE);
    rumor(&bench, 2, 1, 10, 3, GOSSIP_LEFT); // it is told
    cr_assert_null(find(&bench, GOSSIP_GIVEN_UP, 0, NULL));
    cr_assert_eq(see(&bench, 1).version, 4);
    struct gossip_message ping = {.kind = GOSSIP_PING, .seq = 1, .target = {{1}}};
    say(&bench, 2, 1, ping, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_ACK, &told));
    cr_assert(told.version == 4 && told.details_version == 4,
              "what was said for it is not its own");
    bench_free(&bench);
}

static void
forget(struct bench *bench, uint8_t id, uint64_t incarnation, uint32_t version)
{
    step(bench, &(struct gossip_event){.kind = GOSSIP_FORGET,
                                       .uuid = {{id}},
                                       .incarnation = incarnation,
                                       .version = version,
                                       .age_s = 60,
                                       .address = address_of(id),
                                       .name = slice_str("member-x"),
                                       .bytes = slice_str("meta")});
}

Test(cluster_gossip, a_dead_member_is_said_to_have_left)
{
    struct bench bench = bench_new(16);
    struct gossip_record record;
    struct gossip_message told;
    introduce(&bench, 2, 1);
    introduce(&bench, 3, 7);
    forget(&bench, 3, 7, 5);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_ALIVE, "one that lives is not forgotten");
    rumor(&bench, 2, 3, 7, 4, GOSSIP_DEAD);
    forget(&bench, 3, 6, 9);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_DEAD, "that was an earlier life");
    forget(&bench, 3, 7, 5);
    struct gossip_view view = see(&bench, 3);
    cr_assert(view.state == GOSSIP_LEFT && view.version == 5 && view.state_ms == 60000);
    cr_assert(slice_equal(view.meta, slice_str("meta")));
    bench.now += GOSSIP_RUMOR_MS; // all are told, with what is said for it
    step(&bench, &(struct gossip_event){.kind = GOSSIP_TICK});
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_RUMORS, &told));
    do
        cr_assert(gossip_record_next(&told.records, &record));
    while (record.uuid.bytes[0] != 3);
    cr_assert(record.state == GOSSIP_LEFT && record.has_details && record.details_version == 5);
    introduce(&bench, 3, 8);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_ALIVE);
    forget(&bench, 9, 1, 1); // one of which nobody has heard
    cr_assert_eq(see(&bench, 9).state, GOSSIP_LEFT);
    bench_free(&bench);
}

Test(cluster_gossip, that_one_has_left_is_taken_with_its_details)
{
    uint8_t details[GOSSIP_DETAILS_MAX];
    struct bench bench = bench_new(16);
    struct gossip_message pull, rumors = {.kind = GOSSIP_RUMORS};
    introduce(&bench, 2, 1);
    introduce(&bench, 3, 7);
    rumor(&bench, 2, 3, 7, 4, GOSSIP_DEAD);
    struct gossip_record left = record_of(3, 7, 5, GOSSIP_LEFT, details);
    left.details_version = 5;
    left.has_details = false;
    say(&bench, 2, 1, rumors, &left);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_DEAD);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_PULL, &pull));
    left.has_details = true;
    say(&bench, 2, 1, rumors, &left);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_LEFT);
    bench_free(&bench);
}

Test(cluster_gossip, the_table_of_precedence)
{
    static const struct {
        uint32_t version;
        enum gossip_state claim, before, after;
    } rows[] = {
        // at version 5, in incarnation 7
        {4, GOSSIP_DEAD, GOSSIP_ALIVE, GOSSIP_ALIVE},
        {5, GOSSIP_SUSPECT, GOSSIP_ALIVE, GOSSIP_SUSPECT},
        {5, GOSSIP_DEAD, GOSSIP_ALIVE, GOSSIP_DEAD},
        {5, GOSSIP_LEFT, GOSSIP_ALIVE, GOSSIP_LEFT},
        {5, GOSSIP_ALIVE, GOSSIP_SUSPECT, GOSSIP_SUSPECT},
        {6, GOSSIP_ALIVE, GOSSIP_SUSPECT, GOSSIP_ALIVE},
        {5, GOSSIP_DEAD, GOSSIP_SUSPECT, GOSSIP_DEAD},
        {5, GOSSIP_ALIVE, GOSSIP_DEAD, GOSSIP_DEAD},
        {5, GOSSIP_SUSPECT, GOSSIP_DEAD, GOSSIP_DEAD},
        {6, GOSSIP_SUSPECT, GOSSIP_DEAD, GOSSIP_SUSPECT},
        {6, GOSSIP_ALIVE, GOSSIP_DEAD, GOSSIP_ALIVE},
        {5, GOSSIP_LEFT, GOSSIP_DEAD, GOSSIP_LEFT},
        {5, GOSSIP_ALIVE, GOSSIP_LEFT, GOSSIP_LEFT},
        {5, GOSSIP_SUSPECT, GOSSIP_LEFT, GOSSIP_LEFT},
        {5, GOSSIP_DEAD, GOSSIP_LEFT, GOSSIP_LEFT},
        {6, GOSSIP_ALIVE, GOSSIP_LEFT, GOSSIP_ALIVE}, // it was said for it, and it lives
        {6, GOSSIP_DEAD, GOSSIP_LEFT, GOSSIP_DEAD},
        {6, GOSSIP_LEFT, GOSSIP_LEFT, GOSSIP_LEFT},
    };
    for (unsigned i = 0; i < ARRAY_LEN(rows); i++) {
        struct bench bench = bench_new(16);
        introduce(&bench, 2, 1);
        introduce(&bench, 3, 7);
        rumor(&bench, 2, 3, 7, 5, GOSSIP_ALIVE);
        if (rows[i].before != GOSSIP_ALIVE)
            rumor(&bench, 2, 3, 7, 5, rows[i].before);
        cr_assert_eq(see(&bench, 3).state, rows[i].before);
        rumor(&bench, 2, 3, 7, rows[i].version, rows[i].claim);
        cr_assert_eq(see(&bench, 3).state, rows[i].after, "row %u", i);
        rumor(&bench, 2, 3, 6, 100, GOSSIP_DEAD); // an earlier life is nothing
        cr_assert_eq(see(&bench, 3).state, rows[i].after, "row %u", i);
        introduce(&bench, 3, 8); // a later one is everything
        cr_assert_eq(see(&bench, 3).state, GOSSIP_ALIVE, "row %u", i);
        cr_assert_eq(see(&bench, 3).version, 0);
        bench_free(&bench);
    }
}

Test(cluster_gossip, the_dead_accuse_nobody)
{
    struct bench bench = bench_new(16);
    introduce(&bench, 2, 1);
    introduce(&bench, 3, 1);
    rumor(&bench, 3, 2, 1, 0, GOSSIP_DEAD);
    rumor(&bench, 2, 3, 1, 0, GOSSIP_DEAD);
    cr_assert_eq(see(&bench, 3).state, GOSSIP_ALIVE);
    cr_assert_eq(gossip_stats(bench.gossip)->distrusted, 1);
    // But it hears of its own death with our answer, and is believed when it defends itself.
    struct gossip_message ping = {.kind = GOSSIP_PING, .seq = 1, .target = {{1}}}, ack;
    say(&bench, 2, 1, ping, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_ACK, &ack));
    struct gossip_record record;
    cr_assert(gossip_record_next(&ack.records, &record));
    cr_assert_eq(record.uuid.bytes[0], 2);
    cr_assert_eq(record.state, GOSSIP_DEAD);
    ping.version = 1;
    say(&bench, 2, 1, ping, NULL);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_ALIVE);
    bench_free(&bench);
}

Test(cluster_gossip, an_address_that_changes_is_taken_over_and_a_name_twice_is_told)
{
    struct bench bench = bench_new(16);
    uint8_t details[GOSSIP_DETAILS_MAX];
    introduce(&bench, 2, 1);
    struct gossip_record moved = record_of(2, 1, 1, GOSSIP_ALIVE, details);
    details[15] = 99;
    moved.details_version = 1;
    say(&bench, 2, 1,
        (struct gossip_message){.kind = GOSSIP_RUMORS, .version = 1, .details_version = 1}, &moved);
    cr_assert_eq(see(&bench, 2).address.ip[15], 99);
    cr_assert_null(find(&bench, GOSSIP_NAME_TWICE, 0, NULL));
    introduce(&bench, 2 + 26, 1); // has the name of 2
    cr_assert_not_null(find(&bench, GOSSIP_NAME_TWICE, 0, NULL));
    cr_assert_eq(gossip_alive(bench.gossip), 3);
    bench_free(&bench);
}

Test(cluster_gossip, strangers_noise_and_echoes_are_counted)
{
    struct bench bench = bench_new(16);
    uint8_t noise[2000] = {7, 7, 7};
    struct gossip_event event = {.kind = GOSSIP_RECEIVED, .uuid = {{2}}, .incarnation = 1};
    for (uint32_t len = 0; len <= sizeof noise; len += 100) {
        event.bytes = slice_of(noise, len);
        step(&bench, &event);
    }
    cr_assert_eq(gossip_stats(bench.gossip)->malformed, 8); // empty, and longer than may be
    cr_assert_eq(gossip_stats(bench.gossip)->other_versions, 13);
    say(&bench, 2, 1, (struct gossip_message){.kind = GOSSIP_RUMORS, .cluster = CLUSTER + 1}, NULL);
    cr_assert_eq(gossip_stats(bench.gossip)->strangers, 1);
    say(&bench, 1, 10, (struct gossip_message){.kind = GOSSIP_RUMORS}, NULL);
    cr_assert_eq(gossip_stats(bench.gossip)->from_self, 1);
    introduce(&bench, 2, 5);
    say(&bench, 2, 4, (struct gossip_message){.kind = GOSSIP_RUMORS}, NULL);
    cr_assert_eq(gossip_stats(bench.gossip)->stale, 1);
    bench_free(&bench);
}

Test(cluster_gossip, a_full_table_makes_room_by_the_dead_alone)
{
    struct bench bench = bench_new(4);
    for (uint8_t id = 2; id <= 4; id++)
        introduce(&bench, id, 1);
    introduce(&bench, 5, 1);
    cr_assert_eq(gossip_count(bench.gossip), 4);
    cr_assert_eq(gossip_stats(bench.gossip)->refused_full, 1);
    rumor(&bench, 2, 3, 1, 0, GOSSIP_DEAD);
    introduce(&bench, 5, 1);
    cr_assert_eq(see(&bench, 5).state, GOSSIP_ALIVE);
    struct gossip_view view;
    struct gossip_uuid three = {{3}};
    cr_assert_not(gossip_find(bench.gossip, &three, &view));
    bench_free(&bench);
}

Test(cluster_gossip, a_jump_of_the_clock_blames_nobody)
{
    struct bench bench = bench_new(16);
    struct gossip_event tick = {.kind = GOSSIP_TICK};
    struct gossip_message ping;
    introduce(&bench, 2, 1);
    do { // until a probe is under way
        bench.now = max_u64(gossip_wait_until(bench.gossip), bench.now + 1);
        step(&bench, &tick);
    } while (!find(&bench, GOSSIP_SEND, GOSSIP_PING, &ping));
    bench.now += 3600000;
    step(&bench, &tick);
    bench.now -= 7200000;
    bench.now += 7200000 - 3600000 + 10; // and back to the right time
    step(&bench, &tick);
    cr_assert_eq(see(&bench, 2).state, GOSSIP_ALIVE);
    cr_assert_eq(gossip_stats(bench.gossip)->jumps, 2);
    bench_free(&bench);
}

Test(cluster_gossip, leaving_is_told_and_the_last_word)
{
    struct bench bench = bench_new(16);
    struct gossip_event leave = {.kind = GOSSIP_LEAVE}, tick = {.kind = GOSSIP_TICK};
    struct gossip_message rumors;
    struct gossip_record record;
    introduce(&bench, 2, 1);
    step(&bench, &leave);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_RUMORS, &rumors));
    cr_assert(gossip_record_next(&rumors.records, &record));
    cr_assert_eq(record.uuid.bytes[0], 1);
    cr_assert_eq(record.state, GOSSIP_LEFT);
    bench.now += 5000;
    step(&bench, &tick);
    cr_assert_eq(bench.actions.count, 0);
    bench_free(&bench);
}

Test(cluster_gossip, a_relay_answers_in_either_case)
{
    struct bench bench = bench_new(16);
    struct gossip_message relay = {
        .kind = GOSSIP_RELAY, .seq = 5, .target = {{3}}, .address = address_of(3)};
    struct gossip_message ping, ack = {.kind = GOSSIP_ACK}, answer;
    introduce(&bench, 2, 1);
    introduce(&bench, 3, 1);
    say(&bench, 2, 1, relay, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_PING, &ping));
    ack.seq = ping.seq;
    say(&bench, 3, 1, ack, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_RELAYED, &answer));
    cr_assert_eq(answer.seq, 5);
    for (unsigned i = 0; i < GOSSIP_RELAYS + 3; i++)
        say(&bench, 2, 1, relay, NULL);
    cr_assert_eq(gossip_stats(bench.gossip)->refused_relays, 3);
    cr_assert_eq(idle_until(&bench, bench.now + 450, GOSSIP_NACK), GOSSIP_RELAYS);
    bench_free(&bench);
}

Test(cluster_gossip, digests_ride_on_what_is_said_anyway)
{
    struct bench bench = bench_new(16);
    struct gossip_event digest = {.kind = GOSSIP_DIGEST, .bytes = slice_str("routes: 1")};
    struct gossip_message ping = {.kind = GOSSIP_PING,
                                  .seq = 1,
                                  .target = {{1}},
                                  .digest_number = 3,
                                  .digest = slice_str("routes: 2")},
                          ack;
    introduce(&bench, 2, 1);
    step(&bench, &digest);
    say(&bench, 2, 1, ping, NULL);
    cr_assert_not_null(find(&bench, GOSSIP_NEWS, 0, NULL));
    cr_assert(slice_equal(see(&bench, 2).digest, slice_str("routes: 2")));
    cr_assert_not_null(find(&bench, GOSSIP_SEND, GOSSIP_ACK, &ack));
    cr_assert(slice_equal(ack.digest, slice_str("routes: 1")));
    ping.digest_number = 2;
    ping.digest = slice_str("routes: 0");
    say(&bench, 2, 1, ping, NULL); // overtaken
    cr_assert(slice_equal(see(&bench, 2).digest, slice_str("routes: 2")));
    bench_free(&bench);
}
