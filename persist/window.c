// window.c - a stretch of the log in memory, and what is left of it in the end.
//
// The records that come by the million (ENQUEUE, STATE, MESSAGE) are read at their fields' places
// instead of being decoded; record.c's form is the contract, and a unit test holds the two
// together.
#include "persist/window.h"

#include "core/base/mem.h"

#include "persist/blob.h"
#include "persist/bytes.h"
#include "persist/table.h"
#include "persist/window_fields.h"

#define FIRST_AT   8u  // 0 says "no record"
#define LOOK_AHEAD 16u // records whose slots are fetched from the memory at once

struct window *
window_new(uint64_t seed)
{
    struct window *window = mem_zalloc(sizeof *window);
    window->seed = seed;
    window->things_max = WINDOW_THINGS;
    window_clear(window);
    return window;
}

void
window_free(struct window *window)
{
    if (!window)
        return;
    mem_free(window->bytes);
    mem_free(window->messages);
    slots_free(&window->things);
    slots_free(&window->passed);
    slots_free(&window->known);
    mem_free(window);
}

void
window_clear(struct window *window)
{
    slots_clear(&window->things);
    slots_clear(&window->passed);
    window->len = FIRST_AT;
    window->message_count = window->ended = 0;
    window->next_session = window->next_message = window->next_order = 0;
    window->records = 0;
}

void
window_release(struct window *window)
{
    mem_free(window->bytes);
    mem_free(window->messages);
    slots_free(&window->things);
    slots_free(&window->passed);
    slots_free(&window->known);
    *window = (struct window){
        .seed = window->seed,
        .things_max = window->things_max,
        .pages_max = window->pages_max,
        .len = FIRST_AT,
    };
}

uint8_t *
window_room(struct window *window, uint32_t len)
{
    must(len <= UINT32_MAX - window->len);
    window->bytes = mem_grow(window->bytes, &window->cap, window->len + len, 1);
    window->len += len;
    return window->bytes + window->len - len;
}

struct slice
window_record(const struct window *window, uint32_t at)
{
    must_hot(at >= FIRST_AT && at < window->len);
    const uint8_t *record = window->bytes + at;
    return slice_of(record, RECORD_HEAD + (size_t)get_le32(record + 1));
}

// ---- One record ---------------------------------------------------------------------------------

static inline void
see(uint64_t *next, uint64_t number)
{
    if (number >= *next)
        *next = number + 1;
}

static err_t
apply_enqueue(struct window *window, const uint8_t *record, uint32_t len)
{
    if (len < ENQUEUE_BYTES)
        return ERR_MALFORMED;
    struct slot *slot =
        slots_at(&window->things, THING_ENTRY, field_number(record), field_seq(record));
    slot->at = (uint32_t)(record - window->bytes);
    see(&window->next_message, field_enqueue_message(record));
    return OK;
}

static err_t
apply_state(struct window *window, const uint8_t *record, uint32_t len)
{
    if (len != STATE_BYTES)
        return ERR_MALFORMED;
    struct slot *slot =
        slots_at(&window->things, THING_ENTRY, field_number(record), field_seq(record));
    slot->flags |= field_state(record) == ENTRY_DONE ? THING_GONE : THING_RELEASED;
    return OK;
}

static err_t
apply_message(struct window *window, const uint8_t *record, uint32_t len)
{
    if (len < MESSAGE_BYTES)
        return ERR_MALFORMED;
    uint32_t n = window->message_count++;
    window->messages = mem_grow(window->messages, &window->message_cap, window->message_count,
                                sizeof *window->messages);
    window->messages[n] =
        (struct window_message){field_number(record), (uint32_t)(record - window->bytes)};
    see(&window->next_message, field_number(record));
    see(&window->next_session, field_publisher(record));
    return OK;
}

static void
apply_retained(struct window *window, const uint8_t *record, const struct record *r)
{
    uint64_t hash[2];
    table_topic_hash(r->msg.topic, window->seed, hash);
    uint8_t thing = r->kind == JOURNAL_SETTING ? THING_SETTING : THING_RETAINED;
    struct slot *slot = slots_at(&window->things, thing, hash[0], hash[1]);
    see(&window->next_order, r->order);
    see(&window->next_session, r->msg.publisher);
    // The shards' records reach the log out of order by a moment: the order decides.
    if (slot->at == 0 || r->order >= field_number(window->bytes + slot->at))
        slot->at = (uint32_t)(record - window->bytes);
}

static void
apply_session(struct window *window, const uint8_t *record, const struct record *r)
{
    struct slot *slot = slots_at(&window->things, THING_SESSION, r->session, 0);
    see(&window->next_session, r->session);
    if (r->kind == JOURNAL_SESSION) {
        slot->at = (uint32_t)(record - window->bytes);
    } else if (!(slot->flags & THING_GONE)) {
        slot->flags |= THING_GONE;
        window->ended++;
    }
}

// What comes rarely is decoded.
static err_t
apply_other(struct window *window, const uint8_t *record, uint32_t len)
{
    struct record r;
    struct slot *slot;
    uint32_t read;
    if (record_read(slice_of(record, len), &r, &read) != OK || read != len)
        return ERR_MALFORMED;
    uint32_t at = (uint32_t)(record - window->bytes);
    switch (r.kind) {
    case JOURNAL_SESSION:
    case JOURNAL_SESSION_END:
        apply_session(window, record, &r);
        return OK;
    case JOURNAL_SUBSCRIBE:
    case JOURNAL_UNSUBSCRIBE:
        slot = slots_at(&window->things, THING_SUBSCRIPTION, r.session, r.ordinal);
        slot->at = r.kind == JOURNAL_SUBSCRIBE ? at : 0;
        slot->flags = r.kind == JOURNAL_SUBSCRIBE ? 0 : THING_GONE;
        return OK;
    case JOURNAL_RECEIVED:
    case JOURNAL_RELEASED:
        slot = slots_at(&window->things, THING_RECEIVED, r.session, r.packet_id);
        slot->flags = r.kind == JOURNAL_RECEIVED ? 0 : THING_GONE;
        return OK;
    default:
        must(r.kind >= JOURNAL_RETAIN && r.kind <= JOURNAL_SETTING);
        apply_retained(window, record, &r);
        return OK;
    }
}

static err_t
apply_record(struct window *window, const uint8_t *record)
{
    uint32_t len = RECORD_HEAD + get_le32(record + 1);
    switch (*record) {
    case JOURNAL_ENQUEUE:
        return apply_enqueue(window, record, len);
    case JOURNAL_STATE:
        return apply_state(window, record, len);
    case JOURNAL_MESSAGE:
        return apply_message(window, record, len);
    default:
        return apply_other(window, record, len);
    }
}

// Up to LOOK_AHEAD records from *at on, whole ones; their slots are on their way into the cache.
static uint32_t
look_ahead(const struct window *window, const uint8_t **at, const uint8_t *end,
           const uint8_t *ret[static LOOK_AHEAD])
{
    uint32_t count = 0;
    const uint8_t *p = *at;
    for (; count < LOOK_AHEAD && (size_t)(end - p) >= RECORD_HEAD + 8; count++) {
        uint64_t len = RECORD_HEAD + (uint64_t)get_le32(p + 1);
        if (len < RECORD_HEAD + 8 || len > (size_t)(end - p))
            break;
        if ((*p == JOURNAL_ENQUEUE || *p == JOURNAL_STATE) && len >= STATE_BYTES)
            slots_prefetch(&window->things, THING_ENTRY, field_number(p), field_seq(p));
        ret[count] = p;
        p += len;
    }
    *at = p;
    return count;
}

static err_t
apply_bytes(struct window *window, struct slice records)
{
    const uint8_t *at = records.data, *end = at + records.len, *ahead[LOOK_AHEAD];
    while (at < end) {
        uint32_t count = look_ahead(window, &at, end, ahead);
        if (count == 0)
            return ERR_MALFORMED;
        for (uint32_t i = 0; i < count; i++) {
            err_t err = apply_record(window, ahead[i]);
            if (err != OK)
                return err;
        }
        window->records += count;
    }
    return OK;
}

// ---- Records and blobs --------------------------------------------------------------------------

err_t
window_apply(struct window *window, uint32_t len)
{
    must(len <= window->len - FIRST_AT);
    return apply_bytes(window, slice_of(window->bytes + window->len - len, len));
}

err_t
window_apply_blob(struct window *window, uint32_t len)
{
    must(len > BLOB_HEAD && len <= window->len - FIRST_AT);
    struct slice rest = slice_of(window->bytes + window->len - len + BLOB_HEAD, len - BLOB_HEAD),
                 segment;
    bool bad = false;
    while (blob_segment(&rest, &segment, &bad)) {
        err_t err = apply_bytes(window, segment);
        if (err != OK)
            return err;
    }
    return bad ? ERR_MALFORMED : OK;
}

// ---- What comes later ---------------------------------------------------------------------------

void
window_look_ahead(struct window *window, struct slice blob)
{
    struct slice rest = slice_of(blob.data + BLOB_HEAD, blob.len - BLOB_HEAD), segment;
    bool bad = false;
    while (blob_segment(&rest, &segment, &bad)) {
        for (const uint8_t *at = segment.data, *end = at + segment.len; at < end;) {
            uint64_t len = RECORD_HEAD + (uint64_t)get_le32(at + 1);
            const uint8_t *record = at;
            at += min_u64(len, (uint64_t)(end - at));
            if (*record != JOURNAL_STATE || len != STATE_BYTES || field_state(record) != ENTRY_DONE)
                continue;
            uint64_t session = field_number(record), seq = field_seq(record);
            struct slot *slot = slots_find(&window->things, THING_ENTRY, session, seq);
            if (!slot || slot->at == 0 || slot->flags & THING_GONE)
                continue;
            slot->flags |= THING_GONE;
            (void)slots_at(&window->passed, THING_ENTRY, session, seq);
        }
    }
}

void
window_folded(struct window *window)
{
    struct slots known = window->known;
    window->known = window->passed;
    window->passed = known;
    slots_clear(&window->passed);
}
