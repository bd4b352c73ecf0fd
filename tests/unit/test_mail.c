// test_mail.c - records between shards: order through mailbox, outbox and parcels, and without.
#include "core/mail.h"
#include "core/route.h"
#include "tests/sim/expect.h"

static struct sim *sim;
static struct shard *from, *to;

static void
set_up(void)
{
    sim = sim_new(3, sim_config());
    from = sim->broker->shards[0];
    to = sim->broker->shards[2];
}

static void
tear_down(void)
{
    end_empty(sim);
}

TestSuite(mail, .init = set_up, .fini = tear_down);

enum { NUMBERED = RECORD_IO + 1 };

static void
post(uint32_t number, uint32_t len)
{
    uint8_t *data = mem_alloc(len);
    memset(data, (int)(number & 0xff), len);
    memcpy(data, &number, sizeof number);
    memcpy(data + len - sizeof number, &number, sizeof number);
    shard_post_io(from, to->index, NUMBERED, data, len);
    mem_free(data);
}

static uint32_t next, next_len;

static void
on_io(void *arg, unsigned sender, const struct spsc_record *record)
{
    cr_assert_eq(arg, &next);
    cr_assert_eq(sender, 0);
    cr_assert_eq(record->type, NUMBERED);
    cr_assert_eq((uintptr_t)record->data % 8, 0);
    cr_assert_eq(memcmp(record->data, &next, sizeof next), 0, "record %u", next);
    cr_assert_eq(memcmp(record->data + record->len - sizeof next, &next, sizeof next), 0);
    next_len = record->len;
    next++;
}

Test(mail, nothing_is_seen_before_it_is_posted)
{
    post(0, 100);
    shard_drain(to, on_io, &next);
    cr_assert_eq(next, 0);
    cr_assert_not(shard_has_mail(to));
    cr_assert_neq(from->mailed, 0, "there is something to post");
    shard_post(from);
    cr_assert_eq(from->wake_shards, 1u << 2);
    cr_assert(shard_has_mail(to));
    shard_drain(to, on_io, &next);
    cr_assert_eq(next, 1);
    cr_assert_eq(next_len, 100);
    cr_assert_not(shard_has_mail(to));
}

Test(mail, only_who_may_sleep_is_woken)
{
    post(0, 8);
    shard_post(from);
    from->wake_shards = 0;
    post(1, 8);
    shard_post(from);
    cr_assert_eq(from->wake_shards, 0, "it has mail already");
    shard_drain(to, on_io, &next);
    post(2, 8);
    shard_post(from);
    cr_assert_eq(from->wake_shards, 1u << 2);
    shard_drain(to, on_io, &next);
    cr_assert_eq(next, 3);
}

Test(mail, order_is_kept_through_outbox_and_parcels)
{
    static const uint32_t lens[] = {8, 130000, 4, 200000, 5000, 131072, 600000, 12, 70000};
    for (uint32_t i = 0; i < 90; i++)
        post(i, lens[i % ARRAY_LEN(lens)]);
    cr_assert_gt(from->outbox_bytes, 1000000);
    for (unsigned turn = 0; turn < 1000 && next < 90; turn++) {
        shard_post(from);
        if (next == 40)
            post(90, 8); // comes last, though there is room by now
        shard_drain(to, on_io, &next);
    }
    shard_post(from);
    shard_drain(to, on_io, &next);
    cr_assert_geq(next, 90);
    cr_assert_eq(from->outbox_bytes, 0);
    from->wake_shards = 0;
}

Test(mail, the_outbox_is_counted_to_the_byte)
{
    post(0, 200000);
    post(1, 100);
    cr_assert_eq(from->outbox_bytes, 200100, "behind one that waits, all wait");
    shard_post(from);
    cr_assert_eq(from->outbox_bytes, 0);
    shard_drain(to, on_io, &next);
    cr_assert_eq(next, 2);
}

Test(mail, one_full_mailbox_does_not_hold_up_another)
{
    struct shard *other = sim->broker->shards[1];
    for (uint32_t i = 0; i < 20; i++)
        post(i, 60000);
    shard_post_io(from, other->index, NUMBERED, "\0\0\0\0", 4);
    shard_post(from);
    cr_assert_gt(from->outbox_bytes, 0);
    shard_drain(other, on_io, &next);
    cr_assert_eq(next, 1);
    next = 0;
    for (unsigned turn = 0; turn < 10; turn++) {
        shard_drain(to, on_io, &next);
        shard_post(from);
    }
    cr_assert_eq(next, 20);
    from->wake_shards = 0;
}

// ---- Publications for a shard of the same thread ------------------------------------------------

static struct sim_conn *publisher, *subscriber;

static void
are_beside(void)
{
    for (unsigned i = 0; i < sim->shard_count; i++)
        sim->broker->shards[i]->beside = 7;
    publisher = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, from->index)});
    subscriber = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, to->index)});
}

static void
publish(const char *topic, uint8_t qos, struct slice payload)
{
    sim_publish(publisher, &(struct sim_publish){.topic = topic, .qos = qos, .payload = payload});
}

static void
expect_payload(struct slice payload)
{
    struct server_packet packet = expect_packet(subscriber, MQTT_PUBLISH);
    cr_assert(slice_equal(packet.payload, payload));
}

Test(mail, a_shard_of_the_same_thread_gets_a_message_without)
{
    are_beside();
    subscribed(sim, subscriber, "t", 1);
    publish("t", 1, slice_str("now"));
    sim_tick_shard(sim, from->index);
    cr_assert_gt(outq_bytes(&subscriber->client.out), 0);
    sim_settle(sim);
    expect_publish(subscriber, 1, "now");
    expect_packet(publisher, MQTT_PUBACK);
    cr_assert_eq(stat_sum(sim, posted), 0);
}

Test(mail, it_keeps_a_message_of_its_own)
{
    are_beside();
    struct sim_conn *here = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, from->index)});
    subscribed(sim, subscriber, "t", 1);
    subscribed(sim, here, "t", 1);
    publish("t", 1, slice_str("now"));
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, posted), 0);
    const struct deliveries *ours = &here->client.session->out;
    const struct deliveries *theirs = &subscriber->client.session->out;
    cr_assert_eq(deliveries_at(ours, ours->head)->state, DELIVERY_SENT);
    cr_assert_neq(deliveries_at(ours, ours->head)->msg, deliveries_at(theirs, theirs->head)->msg,
                  "its references are counted by one thread, which may be another one later");
}

Test(mail, a_message_does_not_overtake_mail)
{
    static uint8_t body[ROUTE_INLINE_MAX + 1];
    struct slice large = slice_of(body, sizeof body);
    are_beside();
    subscribed(sim, subscriber, "t", 0);
    for (unsigned i = 0; i < 3; i++) {
        publish("t", 0, large); // by reference
        publish("t", 0, slice_str("small"));
    }
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, posted), 6);
    for (unsigned i = 0; i < 3; i++) {
        expect_payload(large);
        expect_payload(slice_str("small"));
    }
    publish("t", 0, slice_str("later"));
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, posted), 6);
    expect_payload(slice_str("later"));
}

Test(mail, what_an_answer_or_a_group_wants_is_mail)
{
    are_beside();
    struct sim_conn *keeps = sim_connect_durable(sim, id_on(sim, to->index));
    subscribed(sim, keeps, "kept", 1);
    subscribed(sim, subscriber, "$share/group/t", 0);
    publish("kept", 1, slice_str("a"));
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, posted), 1);
    expect_publish(keeps, 1, "a");
    publish("t", 0, slice_str("b"));
    sim_settle(sim);
    cr_assert_eq(stat_sum(sim, posted), 2);
    expect_publish(subscriber, 0, "b");
}
