// codec_frame.c - where a packet ends: fixed header and Variable Byte Integers.
#include "core/codec.h"
#include "core/codec_reader.h"

enum varint_state
reader_varint(struct reader *reader, uint32_t *ret_value)
{
    uint32_t value = 0;
    for (uint32_t shift = 0; shift < 28; shift += 7) {
        uint8_t byte;
        if (!read_u8(reader, &byte))
            return VARINT_CUT;
        value |= (uint32_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            *ret_value = value;
            // A last byte of 0 adds nothing: a shorter form exists [MQTT-1.5.5-1].
            return byte == 0 && shift > 0 ? VARINT_BAD : VARINT_OK;
        }
    }
    return VARINT_BAD;
}

err_t
codec_frame_any(struct slice data, uint32_t packet_max, struct frame *ret_frame)
{
    *ret_frame = (struct frame){0};
    struct reader reader = reader_of(data);
    uint8_t first;
    if (!read_u8(&reader, &first))
        return ERR_NEED_MORE;
    ret_frame->type = first >> 4;
    ret_frame->flags = first & 0x0f;

    uint32_t remaining;
    enum varint_state state = reader_varint(&reader, &remaining);
    if (state != VARINT_OK)
        return state == VARINT_CUT ? ERR_NEED_MORE : ERR_MALFORMED;
    must_hot(remaining <= MQTT_REMAINING_LENGTH_MAX);
    ret_frame->total = (uint32_t)(reader.at - data.data) + remaining;
    if (unlikely(ret_frame->total > packet_max))
        return ERR_PACKET_TOO_LARGE;
    if (!read_bytes(&reader, remaining, &ret_frame->body))
        return ERR_NEED_MORE;
    must_hot(ret_frame->total <= data.len);
    return OK;
}

uint32_t
codec_varint_size(uint32_t value)
{
    return value < 1u << 7 ? 1 : value < 1u << 14 ? 2 : value < 1u << 21 ? 3 : 4;
}

uint32_t
codec_put_varint(uint8_t *dst, uint32_t value)
{
    must_hot(value <= MQTT_REMAINING_LENGTH_MAX);
    uint32_t len = 0;
    while (value >= 0x80) {
        dst[len++] = (uint8_t)(value | 0x80);
        value >>= 7;
    }
    dst[len++] = (uint8_t)value;
    must_hot(len <= 4);
    return len;
}
