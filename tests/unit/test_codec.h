// test_codec.h - packets from hexadecimal text, and one way into all decoders.
//
// Job:    what the codec's unit tests share. Thread: any.
// Memory: struct bytes is exactly as long as its text, so that the sanitizer sees one byte too far.
#ifndef TERN_TESTS_UNIT_TEST_CODEC_H
#define TERN_TESTS_UNIT_TEST_CODEC_H

#include <criterion/criterion.h>
#include <stdlib.h>

#include "core/codec.h"

#define PACKET_MAX 2000000u

struct bytes {
    uint8_t *data;
    uint32_t len;
};

static inline uint8_t
hex_digit(char c)
{
    cr_assert((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'), "not hexadecimal: %c", c);
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

// Spaces are for the reader.
static inline struct bytes
bytes_of_hex(const char *hex)
{
    struct bytes ret = {.data = malloc(strlen(hex) / 2 + 1)};
    for (; *hex != '\0'; hex++) {
        if (*hex == ' ')
            continue;
        ret.data[ret.len++] = (uint8_t)(hex_digit(hex[0]) << 4 | hex_digit(hex[1]));
        hex++;
    }
    ret.data = realloc(ret.data, ret.len == 0 ? 1 : ret.len);
    return ret;
}

static inline void
bytes_free(struct bytes bytes)
{
    free(bytes.data);
}

// The decoder of the frame's type, its view thrown away. ERR_NOT_FOUND: a type with no decoder,
// because a client may not send it.
static inline err_t
decode_frame(const struct frame *frame, uint8_t version)
{
    union {
        struct connect_view connect;
        struct publish_view publish;
        struct ack_view ack;
        struct subscribe_view subscribe;
        struct unsubscribe_view unsubscribe;
        struct disconnect_view disconnect;
        struct auth_view auth;
    } view;
    switch (frame->type) {
    case MQTT_CONNECT:
        return codec_connect(frame, &view.connect);
    case MQTT_PUBLISH:
        return codec_publish(frame, version, &view.publish);
    case MQTT_PUBACK:
    case MQTT_PUBREC:
    case MQTT_PUBREL:
    case MQTT_PUBCOMP:
        return codec_ack(frame, version, &view.ack);
    case MQTT_SUBSCRIBE:
        return codec_subscribe(frame, version, &view.subscribe);
    case MQTT_UNSUBSCRIBE:
        return codec_unsubscribe(frame, version, &view.unsubscribe);
    case MQTT_PINGREQ:
        return codec_pingreq(frame);
    case MQTT_DISCONNECT:
        return codec_disconnect(frame, version, &view.disconnect);
    case MQTT_AUTH:
        return codec_auth(frame, &view.auth);
    default:
        return ERR_NOT_FOUND;
    }
}

static inline err_t
decode_hex(const char *hex, uint8_t version)
{
    struct bytes bytes = bytes_of_hex(hex);
    struct frame frame;
    err_t err = codec_frame(slice_of(bytes.data, bytes.len), PACKET_MAX, &frame);
    if (err == OK)
        err = decode_frame(&frame, version);
    bytes_free(bytes);
    return err;
}

static inline struct frame
frame_of(struct bytes bytes)
{
    struct frame frame;
    err_t err = codec_frame(slice_of(bytes.data, bytes.len), PACKET_MAX, &frame);
    cr_assert_eq(err, OK, "the test's own packet is no frame: %s", err_text(err));
    cr_assert_eq(frame.total, bytes.len);
    return frame;
}

#define assert_slice(actual, text)                                                                 \
    cr_assert(slice_equal((actual), slice_str(text)), "\"%.*s\" is not \"%s\"", (int)(actual).len, \
              (const char *)(actual).data, (text))

struct decode_case {
    const char *name;
    uint8_t version;
    const char *hex;
    err_t want;
};

static inline void
check_cases(const struct decode_case *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        err_t err = decode_hex(cases[i].hex, cases[i].version);
        cr_expect_eq(err, cases[i].want, "%s: got \"%s\", want \"%s\"", cases[i].name,
                     err_text(err), err_text(cases[i].want));
    }
}

#endif
