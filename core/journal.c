// journal.c - what must survive, as records.
#include "core/journal.h"

#include "core/base/mem.h"

#include "core/session.h"

struct journal {
    bool on;
    uint8_t *bytes;
    uint32_t len, cap;
    uint32_t record; // where the record being written begins
    uint64_t last, safe;
};

struct journal *
journal_new(bool on)
{
    struct journal *journal = mem_zalloc(sizeof *journal);
    journal->on = on;
    return journal;
}

void
journal_free(struct journal *journal)
{
    if (!journal)
        return;
    mem_free(journal->bytes);
    mem_free(journal);
}

bool
journal_is_on(const struct journal *journal)
{
    return journal->on;
}

// ---- Encoding
// -------------------------------------------------------------------------------------

static void
put(struct journal *journal, const void *data, uint32_t len)
{
    if (len == 0)
        return;
    journal->bytes = mem_grow(journal->bytes, &journal->cap, journal->len + len, 1);
    memcpy(journal->bytes + journal->len, data, len);
    journal->len += len;
}

static void
put_int(struct journal *journal, uint64_t value, uint32_t bytes)
{
    uint8_t le[8];
    for (uint32_t i = 0; i < bytes; i++)
        le[i] = (uint8_t)(value >> (8 * i));
    put(journal, le, bytes);
}

static void
put_text(struct journal *journal, struct slice text)
{
    put_int(journal, text.len, 4);
    put(journal, text.data, text.len);
}

static void
put_msg(struct journal *journal, const struct msg *msg)
{
    put_int(journal, msg->qos | (uint32_t)msg->retain << 2, 1);
    put_int(journal, msg->expires_ms, 8);
    put_int(journal, msg->publisher, 8);
    put_int(journal, msg->arrived_ms, 8);
    put_text(journal, msg_topic(msg));
    put_text(journal, msg_props(msg));
    put_text(journal, msg_payload(msg));
}

static void
begin(struct journal *journal, enum journal_kind kind)
{
    must(journal->on);
    journal->record = journal->len;
    put_int(journal, kind, 1);
    put_int(journal, 0, 4);
}

static void
begin_of(struct journal *journal, enum journal_kind kind, const struct session *session)
{
    begin(journal, kind);
    put_int(journal, session->number, 8);
}

static uint64_t
end(struct journal *journal)
{
    uint32_t len = journal->len - journal->record - 5;
    for (uint32_t i = 0; i < 4; i++)
        journal->bytes[journal->record + 1 + i] = (uint8_t)(len >> (8 * i));
    return ++journal->last;
}

// ---- Records
// --------------------------------------------------------------------------------------

uint64_t
journal_session(struct journal *journal, const struct session *session)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_SESSION, session);
    put_text(journal, session_id(session));
    put_int(journal, session->user != NULL, 1);
    put_text(journal, session->user ? slice_str(session->user) : (struct slice){0});
    put_int(journal, session->expiry_s, 4);
    put_int(journal, session->will != NULL, 1);
    if (session->will) {
        put_int(journal, session->will->delay_s, 4);
        put_msg(journal, session->will->msg);
    }
    return end(journal);
}

uint64_t
journal_session_end(struct journal *journal, const struct session *session)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_SESSION_END, session);
    return end(journal);
}

uint64_t
journal_subscribe(struct journal *journal, const struct session *session, struct slice filter,
                  struct slice group, const struct sub *sub)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_SUBSCRIBE, session);
    put_text(journal, filter);
    put_text(journal, group);
    put_int(journal,
            sub->options.qos | (uint32_t)sub->options.no_local << 2 |
                (uint32_t)sub->options.retain_as_published << 3,
            1);
    put_int(journal, sub->subscription_id, 4);
    return end(journal);
}

uint64_t
journal_unsubscribe(struct journal *journal, const struct session *session, struct slice filter,
                    struct slice group)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_UNSUBSCRIBE, session);
    put_text(journal, filter);
    put_text(journal, group);
    return end(journal);
}

uint64_t
journal_enqueue(struct journal *journal, const struct session *session, uint64_t seq,
                const struct delivery *entry)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_ENQUEUE, session);
    put_int(journal, seq, 8);
    put_int(journal, entry->qos | (uint32_t)entry->retain << 2, 1);
    put_int(journal, entry->subscription_id_count, 2);
    for (uint32_t i = 0; i < entry->subscription_id_count; i++)
        put_int(journal,
                entry->subscription_id_count == 1 ? entry->subscription.id
                                                  : entry->subscription.ids[i],
                4);
    put_msg(journal, entry->msg);
    return end(journal);
}

uint64_t
journal_state(struct journal *journal, const struct session *session, uint64_t seq, uint8_t state)
{
    if (!journal->on)
        return 0;
    begin_of(journal, JOURNAL_STATE, session);
    put_int(journal, seq, 8);
    put_int(journal, state, 1);
    return end(journal);
}

static uint64_t
put_packet_id(struct journal *journal, enum journal_kind kind, const struct session *session,
              uint16_t packet_id)
{
    if (!journal->on)
        return 0;
    begin_of(journal, kind, session);
    put_int(journal, packet_id, 2);
    return end(journal);
}

uint64_t
journal_received(struct journal *journal, const struct session *session, uint16_t packet_id)
{
    return put_packet_id(journal, JOURNAL_RECEIVED, session, packet_id);
}

uint64_t
journal_released(struct journal *journal, const struct session *session, uint16_t packet_id)
{
    return put_packet_id(journal, JOURNAL_RELEASED, session, packet_id);
}

uint64_t
journal_retain(struct journal *journal, const struct msg *msg)
{
    if (!journal->on)
        return 0;
    begin(journal, JOURNAL_RETAIN);
    put_msg(journal, msg);
    return end(journal);
}

uint64_t
journal_retain_clear(struct journal *journal, struct slice topic)
{
    if (!journal->on)
        return 0;
    begin(journal, JOURNAL_RETAIN_CLEAR);
    put_text(journal, topic);
    return end(journal);
}

// ---- The keeper's side
// ----------------------------------------------------------------------------

struct slice
journal_take(struct journal *journal, uint64_t *ret_last)
{
    *ret_last = journal->last;
    struct slice batch = slice_of(journal->bytes, journal->len);
    if (journal->len == 0)
        return (struct slice){0};
    journal->bytes = NULL;
    journal->len = journal->cap = 0;
    return batch;
}

void
journal_set_safe(struct journal *journal, uint64_t position)
{
    must(position >= journal->safe && position <= journal->last);
    journal->safe = position;
}

uint64_t
journal_safe(const struct journal *journal)
{
    return journal->safe;
}

uint64_t
journal_last(const struct journal *journal)
{
    return journal->last;
}
