// micro_codec.c - what decoding and encoding one packet costs: "name value unit" lines.
//
// micro_codec [iterations]: a count makes runs comparable under callgrind.
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "core/codec.h"
#include "core/topic.h"

#define ITERATIONS_DEFAULT 5000000u
#define PAYLOAD_LEN        64u

// Keeps a result alive, so that the compiler cannot drop the work that made it.
static inline void
consume(uint64_t value)
{
    __asm__ volatile("" : : "r"(value) : "memory");
}

static double
now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static const uint8_t payload[PAYLOAD_LEN];
static const uint32_t subscription_id[] = {7};
static const uint8_t user_property[] = {0x26, 0, 4, 'u', 'n', 'i', 't', 0, 1, 'C'};

static struct publish_out
sample(uint8_t version, uint8_t qos)
{
    struct publish_out out = {
        .version = version,
        .qos = qos,
        .packet_id = qos > 0 ? 4711 : 0,
        .topic = slice_str("sensors/living-room/temp"),
        .payload_len = PAYLOAD_LEN,
    };
    if (version == MQTT_5)
        out.props = slice_of(user_property, sizeof(user_property));
    return out;
}

static void
bench_decode(const char *name, uint8_t version, uint8_t qos, uint32_t iterations)
{
    uint8_t packet[256];
    struct publish_out out = sample(version, qos);
    uint32_t len = codec_put_publish_head(packet, &out);
    memcpy(packet + len, payload, sizeof(payload));
    struct slice bytes = slice_of(packet, len + sizeof(payload));
    double start = now_ns();
    for (uint32_t i = 0; i < iterations; i++) {
        struct frame frame;
        struct publish_view view;
        err_t err = codec_frame(bytes, 2000000, &frame);
        must(err == OK);
        err = codec_publish(&frame, version, &view);
        must(err == OK);
        consume(view.payload.len);
    }
    printf("%s %.1f ns\n", name, (now_ns() - start) / iterations);
}

static void
bench_encode(const char *name, uint8_t version, uint8_t qos, uint32_t iterations)
{
    uint8_t packet[256];
    struct publish_out out = sample(version, qos);
    if (version == MQTT_5) {
        out.subscription_ids = subscription_id;
        out.subscription_id_count = ARRAY_LEN(subscription_id);
    }
    double start = now_ns();
    for (uint32_t i = 0; i < iterations; i++) {
        consume((uintptr_t)&out);
        consume(codec_put_publish_head(packet, &out));
    }
    printf("%s %.1f ns\n", name, (now_ns() - start) / iterations);
}

static void
bench_ack(uint32_t iterations)
{
    uint8_t packet[CODEC_ACK_MAX];
    double start = now_ns();
    for (uint32_t i = 0; i < iterations; i++) {
        uint32_t len =
            codec_put_ack(packet, MQTT_PUBACK, MQTT_311, (uint16_t)(i % UINT16_MAX + 1), 0);
        struct frame frame;
        struct ack_view view;
        err_t err = codec_frame(slice_of(packet, len), 2000000, &frame);
        must(err == OK);
        err = codec_ack(&frame, MQTT_311, &view);
        must(err == OK);
        consume(view.packet_id);
    }
    printf("ack_encode_decode %.1f ns\n", (now_ns() - start) / iterations);
}

static void
bench_forward_props(uint32_t iterations)
{
    static const uint8_t raw[] = {0x01, 1,    0x02, 0,   0,   0,   60,  0x23, 0,
                                  1,    0x03, 0,    4,   'j', 's', 'o', 'n',  0x26,
                                  0,    4,    'u',  'n', 'i', 't', 0,   1,    'C'};
    uint8_t kept[sizeof(raw)];
    double start = now_ns();
    for (uint32_t i = 0; i < iterations; i++)
        consume(codec_forward_props(slice_of(raw, sizeof(raw)), kept));
    printf("forward_props_5 %.1f ns\n", (now_ns() - start) / iterations);
}

static void
bench_topic(uint32_t iterations)
{
    struct slice filter = slice_str("sensors/+/temp"), name = slice_str("sensors/living-room/temp");
    double start = now_ns();
    for (uint32_t i = 0; i < iterations; i++) {
        consume((uintptr_t)&name);
        consume((uint64_t)topic_name_check(name));
    }
    printf("topic_name_check %.1f ns\n", (now_ns() - start) / iterations);
    start = now_ns();
    for (uint32_t i = 0; i < iterations; i++) {
        consume((uintptr_t)&name);
        consume(topic_matches(filter, name));
    }
    printf("topic_matches %.1f ns\n", (now_ns() - start) / iterations);
}

int
main(int argc, char **argv)
{
    uint32_t iterations = ITERATIONS_DEFAULT;
    if (argc > 1)
        iterations = (uint32_t)strtoul(argv[1], NULL, 10);
    if (iterations == 0) {
        fprintf(stderr, "usage: micro_codec [iterations]\n");
        return 2;
    }
    bench_decode("publish_decode_311_qos0", MQTT_311, 0, iterations);
    bench_decode("publish_decode_311_qos1", MQTT_311, 1, iterations);
    bench_decode("publish_decode_5_qos0", MQTT_5, 0, iterations);
    bench_encode("publish_head_311_qos0", MQTT_311, 0, iterations);
    bench_encode("publish_head_311_qos1", MQTT_311, 1, iterations);
    bench_encode("publish_head_5_qos1", MQTT_5, 1, iterations);
    bench_ack(iterations);
    bench_forward_props(iterations);
    bench_topic(iterations);
    return 0;
}
