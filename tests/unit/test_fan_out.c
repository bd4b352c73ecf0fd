// test_fan_out.c - one publication to receivers of all kinds: each gets its own packet.
#include "core/msg.h"
#include "core/outq.h"
#include "tests/sim/expect.h"

#define RETAIN_AS_PUBLISHED 8
#define SMALL_PACKET        100u

static const struct kind {
    uint8_t version, options;
    uint16_t alias_max;
    uint32_t packet_max, id;
} kinds[] = {
    {MQTT_311, 0, 0, 0, 0},
    {MQTT_5, 0, 0, 0, 0},
    {MQTT_5, 1, 0, 0, 7},
    {MQTT_31, 1, 0, 0, 0},
    {MQTT_311, 1, 0, 0, 0},
    {MQTT_5, 1, 0, 0, 0},
    {MQTT_5, 2, 5, 0, 0},
    {MQTT_5, 2, 0, 0, 0},
    {MQTT_311, 2, 0, 0, 0},
    {MQTT_5, 1 | RETAIN_AS_PUBLISHED, 0, 0, 0},
    {MQTT_5, 0 | RETAIN_AS_PUBLISHED, 0, 0, 0},
    {MQTT_5, 1, 0, SMALL_PACKET, 0},
    {MQTT_5, 0, 0, SMALL_PACKET, 0},
};
enum { KINDS = ARRAY_LEN(kinds), EACH = 3, RECEIVERS = KINDS * EACH };

static struct sim *sim;
static struct sim_conn *receivers[RECEIVERS];
static uint16_t packet_ids[RECEIVERS]; // the last one

static void
come(uint32_t i)
{
    const struct kind *kind = &kinds[i % KINDS];
    receivers[i] = sim_connect(sim, &(struct sim_connect){.id = id_on(sim, 0),
                                                          .version = kind->version,
                                                          .alias_max = kind->alias_max,
                                                          .packet_max = kind->packet_max});
    sim_subscribe(receivers[i], &(struct sim_subscribe){
                                    .filter = "fan/out", .options = kind->options, .id = kind->id});
    sim_settle(sim);
    expect_packet(receivers[i], MQTT_SUBACK);
    packet_ids[i] = 0;
}

static void
expect_own(uint32_t i, const struct sim_publish *p)
{
    const struct kind *kind = &kinds[i % KINDS];
    uint8_t qos = kind->options & 3;
    if (qos > 0)
        packet_ids[i]++;
    if (kind->packet_max && p->payload.len > kind->packet_max) {
        expect_nothing(receivers[i]);
        return;
    }
    struct server_packet packet = expect_packet(receivers[i], MQTT_PUBLISH);
    cr_assert_eq(packet.qos, qos);
    cr_assert_not(packet.dup);
    cr_assert_eq(packet.retain, p->retain && kind->options & RETAIN_AS_PUBLISHED);
    cr_assert(slice_equal(packet.topic, slice_str("fan/out")));
    cr_assert(slice_equal(packet.payload, p->payload));
    cr_assert_eq(packet.packet_id, qos > 0 ? packet_ids[i] : 0);
    cr_assert_eq(packet.id_count, kind->id ? 1 : 0);
    cr_assert(kind->id == 0 || packet.ids[0] == kind->id);
    cr_assert_eq(packet.has_expiry, p->has_expiry && kind->version == MQTT_5);
    expect_nothing(receivers[i]);
}

// first: the kind that gets every publication first, so that each one's packet is the model once.
static void
run(uint32_t first)
{
    static const uint32_t sizes[] = {0, 1, 64, 127, 200, 480, 490, 495, 500, 505, 512, 2048, 2049};
    static uint8_t body[3000];
    struct config *config = sim_config();
    config->inflight_messages_max = 0;
    sim = sim_new(1, config);
    for (uint32_t i = 0; i < RECEIVERS; i++)
        come((i + first) % RECEIVERS);
    struct sim_conn *p = sim_connect(sim, &(struct sim_connect){.id = "publisher"});
    for (uint32_t i = 0; i < RECEIVERS; i += 2) { // identifiers differ among receivers of a kind
        subscribed(sim, receivers[i], "own", 1);
        publish_text(p, "own", 1, "own");
        sim_settle(sim);
        packet_ids[i] = expect_publish(receivers[i], 1, "own").packet_id;
        sim_unsubscribe(receivers[i], "own");
        sim_settle(sim);
        expect_packet(receivers[i], MQTT_UNSUBACK);
    }
    for (uint32_t n = 0; n < ARRAY_LEN(sizes) * 4; n++) {
        memset(body, 'a' + (int)(n % 26), sizeof body);
        struct sim_publish publish = {.topic = "fan/out",
                                      .qos = 2,
                                      .packet_id = (uint16_t)(n + 1),
                                      .payload = slice_of(body, sizes[n / 4]),
                                      .retain = n & 1,
                                      .has_expiry = n & 2,
                                      .expiry_s = 100};
        sim_publish(p, &publish);
        sim_settle(sim);
        for (uint32_t i = 0; i < RECEIVERS; i++)
            expect_own(i, &publish);
    }
    sim_publish(p, &(struct sim_publish){.topic = "fan/out", .retain = true}); // none is kept
    sim_settle(sim);
    end_empty(sim);
}

Test(fan_out, each_receiver_gets_its_own_packet_whoever_is_first)
{
    for (uint32_t first = 0; first < KINDS; first++)
        run(first);
}
