// case_codec.c - what decoding and encoding one packet costs.
#include "bench/micro/cases.h"
#include "core/codec.h"
#include "core/topic.h"

#define PACKET_MAX  512u
#define PAYLOAD_LEN 64u
#define WARM_ROUNDS 100u
#define MANY        20000u // rounds of cases of less than about 250 instructions

// ---- The packets --------------------------------------------------------------------------------

static const uint8_t payload[PAYLOAD_LEN];
static const uint8_t user_property[] = {0x26, 0, 4, 'u', 'n', 'i', 't', 0, 1, 'C'};
// Payload Format Indicator, Message Expiry Interval 60, Topic Alias 1, Content Type, User Property.
static const uint8_t all_properties[] = {0x01, 1,    0x02, 0,   0,   0,   60,  0x23, 0,
                                         1,    0x03, 0,    4,   'j', 's', 'o', 'n',  0x26,
                                         0,    4,    'u',  'n', 'i', 't', 0,   1,    'C'};

// Client identifier of 11 bytes, Keep Alive 60, clean.
static const uint8_t connect_311[] = "\x10\x17\0\4MQTT\4\2\0\x3c\0\x0bsensor-0042";
// The same with Session Expiry Interval and Receive Maximum, a Will, a user name and a password.
static const uint8_t connect_5[] =
    "\x10\x4a\0\4MQTT\5\xcc\0\x3c\x08\x11\0\0\x0e\x10\x21\0\x20\0\x0bsensor-0042"
    "\5\x18\0\0\0\x0a\0\x0estatus/sensor1\0\4gone\0\4user\0\6secret";
static const uint8_t subscribe_311[] = "\x82\x10\0\1\0\x0bsensors/+/t\1";
static const uint8_t subscribe_5[] = "\x82\x13\0\1\2\x0b\7\0\x0bsensors/+/t\x2d";

struct codec_param {
    uint8_t version, qos, type;
    const uint8_t *bytes;
    uint32_t len;
};

static struct publish_out
sample(const struct codec_param *param)
{
    struct publish_out out = {
        .version = param->version,
        .qos = param->qos,
        .packet_id = param->qos > 0 ? 4711 : 0,
        .topic = slice_str("sensors/living-room/temp"),
        .payload_len = PAYLOAD_LEN,
    };
    if (param->version == MQTT_5)
        out.props = slice_of(user_property, sizeof user_property);
    return out;
}

static uint32_t
publish_packet(const struct codec_param *param, uint8_t packet[PACKET_MAX])
{
    struct publish_out out = sample(param);
    uint32_t len = codec_put_publish_head(packet, &out);
    memcpy(packet + len, payload, sizeof payload);
    return len + PAYLOAD_LEN;
}

// ---- The work -----------------------------------------------------------------------------------

// Runs one expression in the rounds that the meter wants.
#define ROUNDS(meter, what)                               \
    do {                                                  \
        for (uint32_t i_ = 0; i_ < WARM_ROUNDS; i_++)     \
            what;                                         \
        meter_warm(meter);                                \
        meter_begin(meter);                               \
        for (uint32_t i_ = 0; i_ < (meter)->rounds; i_++) \
            what;                                         \
        meter_end(meter);                                 \
        (meter)->operations = (meter)->rounds;            \
    } while (0)

static void
decode_one(struct slice bytes, uint8_t version)
{
    struct frame frame;
    union {
        struct publish_view publish;
        struct connect_view connect;
        struct subscribe_view subscribe;
        struct ack_view ack;
    } view;
    meter_consume((uintptr_t)bytes.data);
    must(codec_frame(bytes, 2000000, &frame) == OK);
    err_t err;
    if (frame.type == MQTT_PUBLISH)
        err = codec_publish(&frame, version, &view.publish);
    else if (frame.type == MQTT_CONNECT)
        err = codec_connect(&frame, &view.connect);
    else if (frame.type == MQTT_SUBSCRIBE)
        err = codec_subscribe(&frame, version, &view.subscribe);
    else
        err = codec_ack(&frame, version, &view.ack);
    must(err == OK);
    meter_consume((uintptr_t)&view);
}

static void
decode_publish(struct meter *meter, const void *arg)
{
    const struct codec_param *param = arg;
    uint8_t packet[PACKET_MAX];
    struct slice bytes = slice_of(packet, publish_packet(param, packet));
    ROUNDS(meter, decode_one(bytes, param->version));
}

static void
decode_bytes(struct meter *meter, const void *arg)
{
    const struct codec_param *param = arg;
    struct slice bytes = slice_of(param->bytes, param->len);
    ROUNDS(meter, decode_one(bytes, param->version));
}

static void
encode_publish(struct meter *meter, const void *arg)
{
    static const uint32_t subscription_id[] = {7};
    uint8_t packet[PACKET_MAX];
    struct publish_out out = sample(arg);
    if (out.version == MQTT_5) {
        out.subscription_ids = subscription_id;
        out.subscription_id_count = ARRAY_LEN(subscription_id);
    }
    ROUNDS(meter, (meter_consume((uintptr_t)&out),
                   meter_consume(codec_publish_size(&out) + codec_put_publish_head(packet, &out))));
}

static void
encode_ack(struct meter *meter, const void *arg)
{
    const struct codec_param *param = arg;
    uint8_t packet[CODEC_ACK_MAX];
    uint16_t id = 1; // odd: never 0, however often it wraps
    ROUNDS(meter, meter_consume(codec_put_ack(packet, param->type, param->version,
                                              id = (uint16_t)(id + 2), 0)));
}

static void
encode_suback(struct meter *meter, const void *arg)
{
    const struct codec_param *param = arg;
    static const uint8_t codes[] = {1, 0, 2};
    uint8_t packet[16 + sizeof codes];
    ROUNDS(meter, meter_consume(codec_put_suback(packet, MQTT_SUBACK, param->version, 1, codes,
                                                 ARRAY_LEN(codes))));
}

static void
forward_props(struct meter *meter, const void *arg)
{
    (void)arg;
    uint8_t kept[sizeof all_properties];
    struct slice raw = slice_of(all_properties, sizeof all_properties);
    ROUNDS(meter, meter_consume(codec_forward_props(raw, kept)));
}

static void
name_check(struct meter *meter, const void *arg)
{
    (void)arg;
    struct slice name = slice_str("sensors/living-room/temp");
    ROUNDS(meter, (meter_consume((uintptr_t)&name), meter_consume(topic_name_check(name))));
}

static void
filter_matches(struct meter *meter, const void *arg)
{
    (void)arg;
    struct slice filter = slice_str("sensors/+/temp"), name = slice_str("sensors/living-room/temp");
    ROUNDS(meter, (meter_consume((uintptr_t)&name), meter_consume(topic_matches(filter, name))));
}

// ---- The cases ----------------------------------------------------------------------------------

#define CODEC(text, fn, ...)                                \
    {                                                       \
        .name = "codec_" text, .run = (fn), .rounds = MANY, \
        .param = &(const struct codec_param){__VA_ARGS__},  \
    }
#define BYTES(packet) .bytes = (packet), .len = sizeof(packet) - 1

static const struct micro_case items[] = {
    CODEC("decode_publish_311_qos0", decode_publish, .version = MQTT_311, .qos = 0),
    CODEC("decode_publish_311_qos1", decode_publish, .version = MQTT_311, .qos = 1),
    CODEC("decode_publish_311_qos2", decode_publish, .version = MQTT_311, .qos = 2),
    CODEC("decode_publish_5_qos0", decode_publish, .version = MQTT_5, .qos = 0),
    CODEC("decode_publish_5_qos1", decode_publish, .version = MQTT_5, .qos = 1),
    CODEC("decode_publish_5_qos2", decode_publish, .version = MQTT_5, .qos = 2),
    CODEC("decode_connect_311", decode_bytes, .version = MQTT_311, BYTES(connect_311)),
    CODEC("decode_connect_5", decode_bytes, .version = MQTT_5, BYTES(connect_5)),
    CODEC("decode_subscribe_311", decode_bytes, .version = MQTT_311, BYTES(subscribe_311)),
    CODEC("decode_subscribe_5", decode_bytes, .version = MQTT_5, BYTES(subscribe_5)),
    CODEC("decode_puback", decode_bytes, .version = MQTT_311,
          .bytes = (const uint8_t *)"\x40\2\0\1", .len = 4),
    CODEC("encode_publish_311_qos0", encode_publish, .version = MQTT_311, .qos = 0),
    CODEC("encode_publish_311_qos1", encode_publish, .version = MQTT_311, .qos = 1),
    CODEC("encode_publish_311_qos2", encode_publish, .version = MQTT_311, .qos = 2),
    CODEC("encode_publish_5_qos0", encode_publish, .version = MQTT_5, .qos = 0),
    CODEC("encode_publish_5_qos1", encode_publish, .version = MQTT_5, .qos = 1),
    CODEC("encode_publish_5_qos2", encode_publish, .version = MQTT_5, .qos = 2),
    CODEC("encode_puback", encode_ack, .version = MQTT_311, .type = MQTT_PUBACK),
    CODEC("encode_suback", encode_suback, .version = MQTT_5),
    CODEC("forward_props", forward_props, .version = MQTT_5),
    CODEC("topic_name_check", name_check, .version = 0),
    CODEC("topic_matches", filter_matches, .version = 0),
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
