// window_fields.h - where core/record.c puts the fields that folding looks at.
//
// Job:    reads single fields of the records that come by the million, without decoding them.
//         test_persist_window.c holds this together with record.c.
// Thread: any. Memory: none. Limits: the caller has checked the length.
#ifndef TERN_PERSIST_WINDOW_FIELDS_H
#define TERN_PERSIST_WINDOW_FIELDS_H

#include "core/record.h"
#include "persist/bytes.h"

// Lengths, head included: fixed, or the least.
#define STATE_BYTES   (RECORD_HEAD + 8u + 8u + 1u)
#define ENQUEUE_BYTES (RECORD_HEAD + 8u + 8u + 8u + 4u + 1u + 4u)
#define MESSAGE_BYTES (RECORD_HEAD + 8u + 8u + 8u + 8u + 1u + 3u * 4u)

// Session, message or order: what each kind begins with.
static inline uint64_t
field_number(const uint8_t *record)
{
    return get_le64(record + RECORD_HEAD);
}

// Of ENQUEUE and STATE.
static inline uint64_t
field_seq(const uint8_t *record)
{
    return get_le64(record + RECORD_HEAD + 8);
}

static inline uint64_t
field_enqueue_message(const uint8_t *record)
{
    return get_le64(record + RECORD_HEAD + 16);
}

static inline uint32_t
field_enqueue_size(const uint8_t *record)
{
    return get_le32(record + RECORD_HEAD + 24);
}

static inline uint8_t
field_state(const uint8_t *record)
{
    return record[RECORD_HEAD + 16];
}

// Of MESSAGE.
static inline uint64_t
field_publisher(const uint8_t *record)
{
    return get_le64(record + RECORD_HEAD + 24);
}

// Of RETAIN, RETAIN_CLEAR and SETTING; record_read has seen it.
static inline struct slice
field_topic(const uint8_t *record)
{
    const uint8_t *text = record + RECORD_HEAD + 8;
    if (*record == JOURNAL_RETAIN)
        text += 8 + 8 + 8 + 1;
    return slice_of(text + 4, get_le32(text));
}

#endif
