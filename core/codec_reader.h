// codec_reader.h - the fields of a packet, taken off the front one after the other.
//
// Job:    bounds-checked reads for the decoders; private to core/codec_*.c.
// Owner:  the decoder's stack. Thread: any. Memory: none; slices borrow from the packet.
// Limits: none. Every read says false at a cut-off field, and the caller answers ERR_MALFORMED.
#ifndef TERN_CORE_CODEC_READER_H
#define TERN_CORE_CODEC_READER_H

#include "core/base/base.h"
#include "core/base/utf8.h"

struct reader {
    const uint8_t *at, *end;
};

static inline struct reader
reader_of(struct slice bytes)
{
    must_hot(bytes.data != NULL || bytes.len == 0);
    return (struct reader){bytes.data, bytes.data + bytes.len};
}

static inline uint32_t
reader_left(const struct reader *reader)
{
    must_hot(reader->at <= reader->end);
    return (uint32_t)(reader->end - reader->at);
}

// All that is left; the reader is at its end afterwards.
static inline struct slice
reader_rest(struct reader *reader)
{
    struct slice rest = {reader->at, reader_left(reader)};
    reader->at = reader->end;
    return rest;
}

NODISCARD static inline bool
read_u8(struct reader *reader, uint8_t *ret_value)
{
    if (unlikely(reader_left(reader) < 1))
        return false;
    *ret_value = *reader->at++;
    return true;
}

NODISCARD static inline bool
read_u16(struct reader *reader, uint16_t *ret_value)
{
    if (unlikely(reader_left(reader) < 2))
        return false;
    *ret_value = (uint16_t)(reader->at[0] << 8 | reader->at[1]);
    reader->at += 2;
    return true;
}

NODISCARD static inline bool
read_u32(struct reader *reader, uint32_t *ret_value)
{
    if (unlikely(reader_left(reader) < 4))
        return false;
    const uint8_t *at = reader->at;
    *ret_value = (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    reader->at += 4;
    return true;
}

// Bytes that len announces, as they are.
NODISCARD static inline bool
read_bytes(struct reader *reader, uint32_t len, struct slice *ret_bytes)
{
    if (unlikely(reader_left(reader) < len))
        return false;
    *ret_bytes = (struct slice){reader->at, len};
    reader->at += len;
    return true;
}

// Binary Data [MQTT5 1.5.6]: two bytes of length, then as many bytes.
NODISCARD static inline bool
read_binary(struct reader *reader, struct slice *ret_bytes)
{
    uint16_t len;
    return read_u16(reader, &len) && read_bytes(reader, len, ret_bytes);
}

// UTF-8 Encoded String [MQTT-1.5.4-1] [MQTT-1.5.4-2] [MQTT-1.5.3-1] [MQTT-1.5.3-2].
NODISCARD static inline bool
read_string(struct reader *reader, struct slice *ret_text)
{
    return read_binary(reader, ret_text) && utf8_valid(*ret_text);
}

enum varint_state { VARINT_OK, VARINT_CUT, VARINT_BAD };

// Variable Byte Integer: VARINT_CUT when the bytes end before it does, VARINT_BAD when it has more
// than four bytes or more than it needs [MQTT-1.5.5-1].
enum varint_state reader_varint(struct reader *reader, uint32_t *ret_value);

NODISCARD static inline bool
read_varint(struct reader *reader, uint32_t *ret_value)
{
    return reader_varint(reader, ret_value) == VARINT_OK;
}

#endif
