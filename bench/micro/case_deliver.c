// case_deliver.c - a message's whole way through core: bytes of PUBLISH in, bytes of the
// deliveries out, and all acknowledgements of both sides.
//
// The broker is the simulator's, its ticks are made here: as worker_tick does, but the transport
// costs nothing. What the peers do is not measured. An operation is a delivery.
#include <stdio.h>

#include "bench/micro/cases.h"
#include "core/access.h"
#include "core/acl.h"
#include "tests/sim/client_packets.h"

#define PAYLOAD     64u
#define WARM_ROUNDS 16u

enum shape { PAIRS, FAN_IN, FAN_OUT };

struct deliver_param {
    uint8_t version, qos; // version 0: MQTT_311
    enum shape shape;
    uint32_t clients; // pairs; publishers of a fan-in; subscribers of a fan-out
    uint32_t burst;   // PUBLISH packets in one receive
    bool durable;     // sessions outlive connections, and a keeper keeps what they journal
    bool across;      // publishers live on one shard, subscribers on another
    bool beside;      // the two are at one thread
    bool alternate;   // a publisher's packets have two topics in turn
    bool ruled;       // there are rules for topics, and a filter with wildcards is read partly
};

struct peer {
    struct sim_conn *conn;
    char topic[32];  // a publisher's
    char second[32]; // in turn with it; empty: none
    uint32_t said;
    uint16_t packet_id;
    uint8_t *says; // to the broker, with the next tick
    uint32_t len, cap;
};

struct stage {
    const struct deliver_param *param;
    uint8_t version;
    struct meter *meter;
    struct sim *sim;
    struct peer *publishers, *subscribers;
    uint32_t publisher_count, subscriber_count;
    uint64_t published, delivered;
};

// ---- The peers ----------------------------------------------------------------------------------

static uint8_t *
say(struct peer *peer, uint32_t len)
{
    peer->says = mem_grow(peer->says, &peer->cap, peer->len + len, 1);
    uint8_t *at = peer->says + peer->len;
    peer->len += len;
    return at;
}

static void
say_ack(struct peer *peer, uint8_t type, const uint8_t *packet_id)
{
    uint8_t *p = say(peer, 4);
    p[0] = (uint8_t)(type << 4 | (type == MQTT_PUBREL ? 2 : 0));
    p[1] = 2;
    memcpy(p + 2, packet_id, 2);
}

// Packets are made and read by hand: a call from here would change what is inlined where in core.
static uint8_t *
put_u16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
    return p + 2;
}

// The variable header of a PUBLISH with this topic.
static uint32_t
head_len(const struct stage *stage, uint32_t topic_len)
{
    return 2 + topic_len + (stage->param->qos > 0 ? 2 : 0) + (stage->version == MQTT_5 ? 1 : 0);
}

static void
say_publish(struct stage *stage, struct peer *peer)
{
    const char *topic = peer->second[0] && peer->said++ & 1 ? peer->second : peer->topic;
    uint32_t topic_len = (uint32_t)strlen(topic);
    uint32_t len = head_len(stage, topic_len) + PAYLOAD;
    must(len < 128); // in one byte
    uint8_t *p = say(peer, 2 + len), *end = p + 2 + len;
    *p++ = (uint8_t)(MQTT_PUBLISH << 4 | stage->param->qos << 1);
    *p++ = (uint8_t)len;
    p = put_u16(p, topic_len);
    memcpy(p, topic, topic_len);
    p += topic_len;
    if (stage->param->qos > 0) {
        peer->packet_id = (uint16_t)(peer->packet_id % UINT16_MAX + 1);
        p = put_u16(p, peer->packet_id);
    }
    if (stage->version == MQTT_5)
        *p++ = 0;
    memset(p, 'x', PAYLOAD);
    must(p + PAYLOAD == end);
    stage->published++;
}

// Answers a packet of the broker as a good client does. body: after the fixed header.
static void
answer(struct stage *stage, struct peer *peer, uint8_t first, struct slice body)
{
    must(body.len >= 2);
    uint32_t topic_len;
    switch (first >> 4) {
    case MQTT_PUBLISH:
        must((first & 7) == stage->param->qos << 1);
        topic_len = (uint32_t)body.data[0] << 8 | body.data[1];
        must(body.len == head_len(stage, topic_len) + PAYLOAD);
        must(body.data[body.len - 1] == 'x');
        stage->delivered++;
        if (stage->param->qos > 0)
            say_ack(peer, stage->param->qos == 1 ? MQTT_PUBACK : MQTT_PUBREC,
                    body.data + 2 + topic_len);
        return;
    case MQTT_PUBREC:
        say_ack(peer, MQTT_PUBREL, body.data);
        return;
    case MQTT_PUBREL:
        say_ack(peer, MQTT_PUBCOMP, body.data);
        return;
    default:
        must(first >> 4 == MQTT_PUBACK || first >> 4 == MQTT_PUBCOMP);
    }
}

static void
hear(struct stage *stage, struct peer *peer, const struct iovec *pieces, uint32_t count)
{
    must(count == 1); // payloads are short: all was copied
    struct slice rest = slice_of(pieces->iov_base, pieces->iov_len);
    while (rest.len > 0) {
        must(rest.len >= 2 && rest.data[1] < 128 && rest.data[1] <= rest.len - 2);
        uint32_t len = rest.data[1];
        answer(stage, peer, rest.data[0], slice_of(rest.data + 2, len));
        rest = slice_of(rest.data + 2 + len, rest.len - 2 - len);
    }
}

// ---- The tick -----------------------------------------------------------------------------------

static struct peer *
peer_of(struct stage *stage, const struct client *client)
{
    for (uint32_t i = 0; i < stage->publisher_count; i++)
        if (&stage->publishers[i].conn->client == client)
            return &stage->publishers[i];
    for (uint32_t i = 0; i < stage->subscriber_count; i++)
        if (&stage->subscribers[i].conn->client == client)
            return &stage->subscribers[i];
    must_fail("a client that is no peer", __FILE__, __LINE__);
}

static void
receive(struct shard *shard, struct peer *peers, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct peer *peer = &peers[i];
        if (peer->conn->client.shard != shard || peer->len == 0)
            continue;
        client_on_bytes(&peer->conn->client, peer->says, peer->len);
        must(!peer->conn->client.read_paused);
        peer->len = 0;
    }
}

static void
flush(struct stage *stage, struct shard *shard)
{
    struct client *client;
    while ((client = client_next_dirty(shard)) != NULL) {
        must(!client->want_close);
        struct iovec pieces[4];
        uint32_t count = outq_pieces(&client->out, pieces, ARRAY_LEN(pieces));
        uint64_t bytes = outq_bytes(&client->out);
        meter_end(stage->meter);
        hear(stage, peer_of(stage, client), pieces, count);
        meter_begin(stage->meter);
        outq_consume(&client->out, &shard->pool, bytes);
    }
}

static void
tick(struct stage *stage, struct shard *shard)
{
    meter_begin(stage->meter);
    shard_tick_begin(shard, stage->sim->now_ms);
    receive(shard, stage->publishers, stage->publisher_count);
    receive(shard, stage->subscribers, stage->subscriber_count);
    shard_drain(shard, sim_no_io, NULL);
    shard_timers(shard);
    shard_post(shard);
    shard->wake_shards = 0;
    flush(stage, shard);
    shard_tick_end(shard);
    meter_end(stage->meter);
}

// A disk that is done as soon as the tick is.
static void
keep(struct stage *stage)
{
    for (unsigned i = 0; i < stage->sim->shard_count; i++) {
        struct keeper_shard *slot = &stage->sim->broker->keeper->shards[i];
        struct journal_batch *batch = atomic_exchange(&slot->offered, NULL);
        if (!batch)
            continue;
        atomic_store(&slot->safe, batch->last);
        batch->len = 0;
        journal_batch_free(atomic_exchange(&slot->spare, batch));
    }
}

static void
round_of(struct stage *stage, uint32_t burst)
{
    stage->sim->now_ms++;
    for (uint32_t n = 0; n < burst; n++)
        for (uint32_t i = 0; i < stage->publisher_count; i++)
            say_publish(stage, &stage->publishers[i]);
    for (unsigned i = 0; i < stage->sim->shard_count; i++)
        tick(stage, stage->sim->broker->shards[i]);
    keep(stage);
}

// ---- The stage ----------------------------------------------------------------------------------

static void
come(struct stage *stage, struct peer *peer, const char *role, uint32_t number, unsigned shard)
{
    char id[32];
    for (unsigned attempt = 0;; attempt++) { // an identifier that lives on the wanted shard
        (void)snprintf(id, sizeof id, "%s-%u-%u", role, number, attempt);
        if (broker_home(stage->sim->broker, slice_str(id)) == shard)
            break;
    }
    const struct deliver_param *param = stage->param;
    peer->conn = sim_open(stage->sim, shard);
    sim_send_connect(peer->conn, &(struct sim_connect){.id = id,
                                                       .version = stage->version,
                                                       .keep = param->durable,
                                                       .expiry_s = param->durable ? 100000 : 0});
}

static void
settle(struct stage *stage)
{
    for (unsigned i = 0; i < 4; i++) {
        sim_tick(stage->sim, 1);
        keep(stage);
    }
}

static void
subscribe(struct stage *stage, struct peer *peer, uint32_t number)
{
    char filter[32];
    if (stage->param->alternate)
        (void)snprintf(filter, sizeof filter, "bench/0badcafe/%u/#", number);
    else if (stage->param->shape == FAN_IN)
        (void)snprintf(filter, sizeof filter, "bench/0badcafe/+");
    else
        (void)snprintf(filter, sizeof filter, "bench/0badcafe/%u",
                       stage->param->shape == FAN_OUT ? 0 : number);
    sim_subscribe(peer->conn,
                  &(struct sim_subscribe){.filter = filter, .options = stage->param->qos});
}

static void
make_rules(struct stage *stage)
{
    static const char file[] = "topic read house/#\ntopic deny bench/+/secret\ntopic bench/#\n"
                               "topic write house/+/door\npattern read clients/%c/#\n";
    char problem[200];
    struct access_rules *rules = access_rules_new();
    rules->alike = true;
    must(acl_parse("rules", slice_str(file), &rules->listeners[0].acl, problem, sizeof problem) ==
         OK);
    broker_set_access(stage->sim->broker, stage->sim->broker->shards[0]->rcu, rules);
    settle(stage);
}

static void
stage_open(struct stage *stage)
{
    const struct deliver_param *param = stage->param;
    struct config *config = sim_config();
    config->inflight_messages_max = 0; // unlimited, as everything here is
    config->queued_messages_max = 0;
    stage->version = param->version ? param->version : MQTT_311;
    unsigned shards = param->across ? 2 : 1;
    stage->sim =
        param->durable ? sim_new_kept(shards, config, SIM_START_MS) : sim_new(shards, config);
    for (unsigned i = 0; i < shards && param->beside; i++)
        stage->sim->broker->shards[i]->beside = 3;
    if (param->ruled)
        make_rules(stage);
    stage->publisher_count = param->shape == FAN_OUT ? 1 : param->clients;
    stage->subscriber_count = param->shape == FAN_IN ? 1 : param->clients;
    stage->publishers = mem_zalloc(stage->publisher_count * sizeof(struct peer));
    stage->subscribers = mem_zalloc(stage->subscriber_count * sizeof(struct peer));
    for (uint32_t i = 0; i < stage->publisher_count; i++) {
        struct peer *peer = &stage->publishers[i];
        (void)snprintf(peer->topic, sizeof peer->topic, "bench/0badcafe/%u", i);
        if (param->alternate)
            (void)snprintf(peer->second, sizeof peer->second, "bench/0badcafe/%u/b", i);
        come(stage, peer, "publisher", i, 0);
    }
    for (uint32_t i = 0; i < stage->subscriber_count; i++)
        come(stage, &stage->subscribers[i], "subscriber", i, shards - 1);
    settle(stage);
    for (uint32_t i = 0; i < stage->subscriber_count; i++)
        subscribe(stage, &stage->subscribers[i], i);
    settle(stage);
}

static void
stage_close(struct stage *stage)
{
    for (uint32_t i = 0; i < stage->publisher_count; i++)
        mem_free(stage->publishers[i].says);
    for (uint32_t i = 0; i < stage->subscriber_count; i++)
        mem_free(stage->subscribers[i].says);
    mem_free(stage->publishers);
    mem_free(stage->subscribers);
    sim_free(stage->sim);
}

static void
deliver(struct meter *meter, const void *param)
{
    struct stage stage = {.param = param, .meter = meter};
    stage_open(&stage);
    for (uint32_t i = 0; i < WARM_ROUNDS; i++)
        round_of(&stage, stage.param->burst);
    meter_warm(meter);
    uint64_t before = stage.delivered;
    for (uint32_t i = 0; i < meter->rounds; i++)
        round_of(&stage, stage.param->burst);
    meter->operations = stage.delivered - before;
    meter->warm = false;
    for (uint32_t i = 0; i < WARM_ROUNDS; i++) // what is under way arrives
        round_of(&stage, 0);
    uint32_t copies = stage.param->shape == FAN_OUT ? stage.param->clients : 1;
    must(stage.delivered == stage.published * copies);
    stage_close(&stage);
}

// ---- The cases ----------------------------------------------------------------------------------

#define DELIVER(text, times, shape_, clients_, qos_, ...)                          \
    {                                                                              \
        .name = "deliver_" text, .run = deliver, .rounds = (times),                \
        .param = &(const struct deliver_param){                                    \
            .shape = (shape_), .clients = (clients_), .qos = (qos_), __VA_ARGS__}, \
    }

static const struct micro_case items[] = {
    DELIVER("pairs_qos0", 10, PAIRS, 50, 0, .burst = 10),
    DELIVER("pairs_qos1", 6, PAIRS, 50, 1, .burst = 10),
    DELIVER("pairs_qos2", 4, PAIRS, 50, 2, .burst = 10),
    DELIVER("pairs_v5_qos0", 10, PAIRS, 50, 0, .burst = 10, .version = MQTT_5),
    DELIVER("pairs_v5_qos1", 6, PAIRS, 50, 1, .burst = 10, .version = MQTT_5),
    DELIVER("pairs_v5_qos2", 4, PAIRS, 50, 2, .burst = 10, .version = MQTT_5),
    DELIVER("single_qos0", 500, PAIRS, 1, 0, .burst = 1),
    DELIVER("single_qos1", 500, PAIRS, 1, 1, .burst = 1),
    DELIVER("single_qos2", 500, PAIRS, 1, 2, .burst = 1),
    DELIVER("fan_in_100_qos0", 5, FAN_IN, 100, 0, .burst = 10),
    DELIVER("fan_in_100_qos1", 3, FAN_IN, 100, 1, .burst = 10),
    DELIVER("fan_in_100_qos2", 3, FAN_IN, 100, 2, .burst = 10),
    DELIVER("fan_out_100_qos0", 5, FAN_OUT, 100, 0, .burst = 10),
    DELIVER("fan_out_100_qos1", 3, FAN_OUT, 100, 1, .burst = 10),
    DELIVER("fan_out_100_qos2", 2, FAN_OUT, 100, 2, .burst = 10),
    DELIVER("alternating_qos0", 10, PAIRS, 50, 0, .burst = 10, .alternate = true),
    DELIVER("alternating_qos1", 6, PAIRS, 50, 1, .burst = 10, .alternate = true),
    DELIVER("alternating_across_qos0", 8, PAIRS, 50, 0, .burst = 10, .alternate = true,
            .across = true),
    DELIVER("across_pairs_qos0", 8, PAIRS, 50, 0, .burst = 10, .across = true),
    DELIVER("across_pairs_qos1", 6, PAIRS, 50, 1, .burst = 10, .across = true),
    DELIVER("beside_pairs_qos0", 8, PAIRS, 50, 0, .burst = 10, .across = true, .beside = true),
    DELIVER("beside_pairs_qos1", 6, PAIRS, 50, 1, .burst = 10, .across = true, .beside = true),
    DELIVER("durable_pairs_qos1", 4, PAIRS, 50, 1, .burst = 10, .durable = true),
    DELIVER("durable_pairs_qos2", 3, PAIRS, 50, 2, .burst = 10, .durable = true),
    DELIVER("durable_across_qos1", 4, PAIRS, 50, 1, .burst = 10, .durable = true, .across = true),
    DELIVER("ruled_pairs_qos0", 10, PAIRS, 50, 0, .burst = 10, .ruled = true),
    DELIVER("ruled_fan_in_5_qos0", 60, FAN_IN, 5, 0, .burst = 10, .ruled = true),
    DELIVER("ruled_fan_in_100_qos0", 5, FAN_IN, 100, 0, .burst = 10, .ruled = true),
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
