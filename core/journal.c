// journal.c - what must survive, as records.
//
// Cancelling. An entry that was acknowledged by its subscriber before the keeper fetched the record
// of its arrival need not be written at all. So while a batch is the shard's, each record in it can
// be made void in place: marks say where a record begins, and which MESSAGE record an ENQUEUE
// needs; a MESSAGE that no ENQUEUE needs any more is void as well. Positions go on counting.
//
// Passing. What is void at the begin of a batch is safe at once, without the disk, where nothing is
// under way before it. So an entry of which the acknowledgement is expected soon (JOURNAL_SOON) is
// not offered at once. Where that was in vain, nothing is held back during HURRY_MS.
#include "core/journal.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/session.h"
#include "core/shard.h"

// Records that nobody waits for are offered after so long, or so many bytes.
#define LAZY_MS    50u
#define LAZY_BYTES (64u << 10)
// Records that are JOURNAL_SOON are held back for so long, twice that at most. Other nodes near by
// acknowledge within a millisecond or two; a commit takes 0.3 to 10.
#define HOLD_MS  5u
#define HURRY_MS 1000u
// Room that void records take at the begin of a batch is given back from here on.
#define CUT_BYTES (32u << 10)
// Message numbers are taken from the broker in blocks: one shared counter for all shards.
#define NUMBER_BLOCK 4096u

struct mark {
    uint32_t offset; // of the record in the batch
    uint32_t link;   // ENQUEUE: index of its MESSAGE; MESSAGE: how many ENQUEUE records need it;
                     // STATE that nobody waits for: UNAWAITED
};
#define UNAWAITED UINT32_MAX

struct journal {
    bool on;
    bool urgent;  // somebody may wait for a record of the batch
    bool held;    // the same, and an acknowledgement is expected to come first
    bool moved;   // safe moved without the keeper
    bool barrier; // the keeper must get to the end of the batch
    struct broker *broker;
    struct keeper *keeper;
    struct keeper_shard *slot;
    struct journal_batch *batch; // NULL: offered, or nothing to offer
    uint64_t since_ms;           // when the batch's first record was seen by a tick; 0 = not yet
    uint64_t first;              // position of the batch's first record
    uint64_t last, safe;
    uint64_t hold_position, hold_ms; // up to there all is to be done by then; 0 = not yet known
    uint64_t hurry_ms;               // until when nothing is held
    uint32_t live;                   // records of the batch that are not void
    uint32_t passed;                 // of its first records: those for which nobody waits
    uint32_t voided;                 // and those that are void
    struct mark *marks;
    uint32_t mark_cap;
    uint64_t message;      // the last one journaled, if its record is in the batch; 0 = none
    uint32_t message_mark; // where
    uint64_t number, number_end;
};

struct journal *
journal_new(struct broker *broker, unsigned shard)
{
    struct journal *journal = mem_zalloc(sizeof *journal);
    journal->broker = broker;
    journal->keeper = broker->keeper;
    journal->on = broker->keeper && broker->keeper->on;
    journal->first = 1;
    if (journal->on)
        journal->slot = &broker->keeper->shards[shard];
    return journal;
}

void
journal_free(struct journal *journal)
{
    if (!journal)
        return;
    journal_batch_free(journal->batch);
    mem_free(journal->marks);
    mem_free(journal);
}

bool
journal_is_on(const struct journal *journal)
{
    return journal->on;
}

uint64_t
journal_message_number(struct journal *journal)
{
    if (!journal->on)
        return 0;
    if (journal->number == journal->number_end) {
        journal->number = atomic_fetch_add_explicit(&journal->broker->next_message, NUMBER_BLOCK,
                                                    memory_order_relaxed);
        journal->number_end = journal->number + NUMBER_BLOCK;
    }
    return journal->number++;
}

// ---- The batch ----------------------------------------------------------------------------------

static void
batch_begin(struct journal *journal, struct journal_batch *batch)
{
    batch->len = batch->bond_count = 0;
    journal->batch = batch;
    journal->first = journal->last + 1;
    journal->live = journal->passed = journal->voided = 0;
    journal->message = 0;
    journal->urgent = journal->held = journal->barrier = false;
    journal->since_ms = journal->hold_ms = 0;
}

// The batch is ours afterwards: the one that was offered, if the keeper left it, or a new one.
static void
batch_own(struct journal *journal)
{
    if (likely(journal->batch))
        return;
    // Acquire: a spare one comes with what the keeper did to it; the offered one is as we left it.
    struct journal_batch *batch =
        atomic_exchange_explicit(&journal->slot->offered, NULL, memory_order_acquire);
    if (batch) {
        journal->batch = batch;
        return;
    }
    batch = atomic_exchange_explicit(&journal->slot->spare, NULL, memory_order_acquire);
    batch_begin(journal, batch ? batch : journal_batch_new());
}

static uint32_t
append(struct journal *journal, const struct record *record)
{
    batch_own(journal);
    struct journal_batch *batch = journal->batch;
    uint32_t size = record_size(record), index = (uint32_t)(++journal->last - journal->first);
    if (unlikely(batch->len + size > batch->cap))
        batch->bytes = mem_grow(batch->bytes, &batch->cap, batch->len + size, 1);
    if (unlikely(index >= journal->mark_cap))
        journal->marks =
            mem_grow(journal->marks, &journal->mark_cap, index + 1, sizeof(struct mark));
    journal->marks[index] = (struct mark){.offset = batch->len};
    const uint8_t *end = record_write(batch->bytes + batch->len, record);
    must_hot(end == batch->bytes + batch->len + size);
    batch->len += size;
    journal->live++;
    return index;
}

static uint64_t
put(struct journal *journal, const struct record *record)
{
    if (!journal->on)
        return 0;
    (void)append(journal, record);
    journal->urgent = true;
    return journal->last;
}

static void
make_void(struct journal *journal, uint32_t index)
{
    uint8_t *kind = &journal->batch->bytes[journal->marks[index].offset];
    must_hot(*kind != JOURNAL_VOID && journal->live > 0);
    *kind = JOURNAL_VOID;
    journal->live--;
}

void
journal_bond(struct journal *journal, bool gave, uint64_t ticket, uint64_t shards)
{
    if (!journal->on)
        return;
    batch_own(journal);
    struct journal_batch *batch = journal->batch;
    batch->bonds =
        mem_grow(batch->bonds, &batch->bond_cap, batch->bond_count + 1, sizeof *batch->bonds);
    batch->bonds[batch->bond_count++] = (struct journal_bond){.offset = batch->len,
                                                              .gave = gave,
                                                              .position = journal->last,
                                                              .ticket = ticket,
                                                              .shards = shards};
    // A message that was journaled before this must come again behind it.
    journal->message = 0;
    journal->urgent = journal->barrier = true;
}

// ---- Records ------------------------------------------------------------------------------------

static uint64_t
wall_ms(const struct journal *journal, uint64_t mono_ms)
{
    return mono_ms + broker_wall_offset(journal->broker);
}

static void
fill_msg(const struct journal *journal, const struct msg *msg, struct record_msg *ret)
{
    *ret = (struct record_msg){
        .expires_ms = msg->expires_ms ? wall_ms(journal, msg->expires_ms) : 0,
        .arrived_ms = wall_ms(journal, msg->arrived_ms),
        .publisher = msg->publisher,
        .qos = msg->qos,
        .retain = msg->retain,
        .topic = msg_topic(msg),
        .props = msg_props(msg),
        .payload = msg_payload(msg),
    };
}

void
journal_message_record(const struct journal *journal, const struct msg *msg, struct record *ret)
{
    *ret = (struct record){.kind = JOURNAL_MESSAGE};
    fill_msg(journal, msg, &ret->msg);
}

void
journal_session_record(const struct journal *journal, const struct session *session,
                       struct record *ret)
{
    *ret = (struct record){
        .kind = JOURNAL_SESSION,
        .session = session->number,
        .id = session_id(session),
        .user = session->user ? slice_str(session->user) : (struct slice){0},
        .version = session->version,
        .connected = session->client != NULL,
        .expiry_s = session->expiry_s,
        .sent = session->kept ? session->kept->sent_limit : 0,
        .claim = session->claim,
    };
    if (!session->client)
        ret->expires_ms = session->expires_ms == UINT64_MAX ? RECORD_NEVER
                                                            : wall_ms(journal, session->expires_ms);
    if (session->will) {
        ret->has_will = true;
        ret->will_delay_s = session->will->delay_s;
        ret->will_due_ms = session->will->due_ms ? wall_ms(journal, session->will->due_ms) : 0;
        fill_msg(journal, session->will->msg, &ret->msg);
        ret->msg.expires_ms = session->will->msg->expires_ms; // relative until it is published
    }
}

uint64_t
journal_session(struct journal *journal, const struct session *session)
{
    struct record record;
    if (!journal->on)
        return 0;
    journal_session_record(journal, session, &record);
    return put(journal, &record);
}

uint64_t
journal_session_end(struct journal *journal, uint64_t number)
{
    return put(journal, &(struct record){.kind = JOURNAL_SESSION_END, .session = number});
}

uint64_t
journal_subscribe(struct journal *journal, const struct session *session, uint32_t i)
{
    if (!journal->on)
        return 0;
    struct record record = {.kind = JOURNAL_SUBSCRIBE, .session = session->number};
    session_sub_record(session, i, &record);
    return put(journal, &record);
}

uint64_t
journal_route(struct journal *journal, const struct session *session, struct slice filter,
              uint32_t ordinal)
{
    return put(journal, &(struct record){.kind = JOURNAL_SUBSCRIBE,
                                         .session = session->number,
                                         .ordinal = ordinal,
                                         .filter = filter,
                                         .qos = 2,
                                         .retain_as_published = true});
}

uint64_t
journal_unsubscribe(struct journal *journal, const struct session *session, uint32_t ordinal)
{
    return put(journal, &(struct record){.kind = JOURNAL_UNSUBSCRIBE,
                                         .session = session->number,
                                         .ordinal = ordinal});
}

// A message that shards share may be about to get its number from several of them at once.
static uint64_t
number_of(struct journal *journal, struct msg *msg)
{
    uint64_t number = atomic_load_explicit(&msg->number, memory_order_relaxed);
    if (number == 0) {
        uint64_t mine = journal_message_number(journal);
        if (atomic_compare_exchange_strong_explicit(&msg->number, &number, mine,
                                                    memory_order_relaxed, memory_order_relaxed))
            number = mine;
    }
    return number;
}

uint64_t
journal_enqueue(struct journal *journal, const struct session *session, uint64_t seq,
                const struct delivery *entry, uint32_t ordinal, enum journal_haste haste)
{
    if (!journal->on)
        return 0;
    uint64_t number = number_of(journal, entry->msg);
    batch_own(journal); // before the look at journal->message: it may be another batch now
    if (journal->message != number) {
        struct record message;
        message.kind = JOURNAL_MESSAGE;
        message.message = number;
        fill_msg(journal, entry->msg, &message.msg);
        journal->message_mark = append(journal, &message);
        journal->message = number;
    }
    struct record record; // no more of it is set than is written: it is large
    record.kind = JOURNAL_ENQUEUE;
    record.session = session->number;
    record.seq = seq;
    record.message = number;
    record.size = (uint32_t)msg_size(entry->msg);
    record.qos = entry->qos;
    record.retain = entry->retain;
    record.ordinal = ordinal;
    record.ids = delivery_ids(entry);
    uint32_t index = append(journal, &record);
    journal->marks[index].link = journal->message_mark;
    journal->marks[journal->message_mark].link++;
    journal->urgent |= haste == JOURNAL_NOW;
    journal->held |= haste == JOURNAL_SOON;
    return journal->last;
}

static void
fill_state(struct record *ret, const struct session *session, uint64_t seq, uint8_t state)
{
    ret->kind = JOURNAL_STATE;
    ret->session = session->number;
    ret->seq = seq;
    ret->state = state;
}

uint64_t
journal_entry_released(struct journal *journal, const struct session *session, uint64_t seq)
{
    struct record record;
    fill_state(&record, session, seq, ENTRY_RELEASED);
    return put(journal, &record);
}

// The index of the ENQUEUE record of this entry in the batch, if it is there and the batch is ours.
// record is the low half of a position: compared in full, by what the record itself says.
static bool
find_enqueue(struct journal *journal, const struct session *session, uint64_t seq, uint32_t record,
             uint32_t *ret_index)
{
    if (record == 0)
        return false;
    batch_own(journal);
    uint32_t index = record - (uint32_t)journal->first;
    if (index >= journal->last + 1 - journal->first)
        return false;
    *ret_index = index;
    return record_is_enqueue(journal->batch->bytes + journal->marks[index].offset, session->number,
                             seq);
}

void
journal_entry_done(struct journal *journal, const struct session *session, uint64_t seq,
                   uint32_t record)
{
    if (!journal->on)
        return;
    uint32_t index;
    if (!find_enqueue(journal, session, seq, record, &index)) {
        // Nobody waits for it: if it is lost, the message comes once more, marked as such.
        struct record done;
        fill_state(&done, session, seq, ENTRY_DONE);
        index = append(journal, &done);
        journal->marks[index].link = UNAWAITED;
        return;
    }
    uint32_t message = journal->marks[index].link;
    make_void(journal, index);
    must_hot(journal->marks[message].link > 0);
    if (--journal->marks[message].link > 0)
        return;
    make_void(journal, message);
    if (journal->message_mark == message)
        journal->message = 0; // a later entry must bring it again
}

static uint64_t
put_packet_id(struct journal *journal, uint8_t kind, const struct session *session,
              uint16_t packet_id)
{
    struct record record;
    record.kind = kind;
    record.session = session->number;
    record.packet_id = packet_id;
    return put(journal, &record);
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
    struct record record = {.kind = JOURNAL_RETAIN, .order = msg->order};
    struct msg_source source;
    fill_msg(journal, msg, &record.msg);
    if (msg_source(msg, &source)) {
        record.user = source.user;
        record.id = source.client_id;
        record.port = source.port;
    }
    record.stamp = msg_stamp(msg);
    return put(journal, &record);
}

uint64_t
journal_retain_cleared(struct journal *journal, struct slice topic, const struct stamp *stamp,
                       uint64_t order)
{
    must(stamp->at > 0);
    return put(journal, &(struct record){.kind = JOURNAL_RETAIN,
                                         .order = order,
                                         .msg = {.topic = topic, .retain = true},
                                         .stamp = *stamp});
}

uint64_t
journal_retain_clear(struct journal *journal, struct slice topic, uint64_t order)
{
    return put(journal, &(struct record){
                            .kind = JOURNAL_RETAIN_CLEAR, .order = order, .msg = {.topic = topic}});
}

uint64_t
journal_setting(struct journal *journal, struct slice name, struct slice value, uint64_t order)
{
    return put(journal, &(struct record){.kind = JOURNAL_SETTING,
                                         .order = order,
                                         .msg = {.topic = name, .payload = value}});
}

uint64_t
journal_barrier(struct journal *journal)
{
    must(journal->on);
    batch_own(journal);
    // Perhaps safe by ourselves: the keeper need not know of it.
    if (journal->safe == journal->last && journal->live == 0)
        return atomic_load_explicit(&journal->slot->safe, memory_order_relaxed);
    if (journal->batch->len > 0)
        journal->urgent = journal->barrier = true;
    return journal->last;
}

bool
journal_is_safe(const struct journal *journal, uint32_t record)
{
    // Younger than what is not safe? One that is 2^32 records old may be taken for young, until
    // all is safe, which is soon.
    return (uint32_t)journal->last - record >= journal->last - journal->safe;
}

uint64_t
journal_last(const struct journal *journal)
{
    return journal->last;
}

uint64_t
journal_safe(const struct journal *journal)
{
    return journal->safe;
}

uint32_t
journal_bytes(const struct journal *journal)
{
    if (journal->batch)
        return journal->batch->len;
    // Offered, and nobody has taken it yet: what comes next is added to it.
    return journal->on && atomic_load_explicit(&journal->slot->offered, memory_order_relaxed)
               ? atomic_load_explicit(&journal->slot->offered_len, memory_order_relaxed)
               : 0;
}

// ---- The tick -----------------------------------------------------------------------------------

bool
journal_poll(struct journal *journal)
{
    if (!journal->on)
        return false;
    bool moved = journal->moved;
    journal->moved = false;
    uint64_t safe = atomic_load_explicit(&journal->slot->safe, memory_order_acquire);
    if (safe <= journal->safe)
        return moved;
    must(safe <= journal->last);
    journal->safe = safe;
    return true;
}

static bool
is_void(const struct journal *journal, uint32_t index)
{
    return journal->batch->bytes[journal->marks[index].offset] == JOURNAL_VOID;
}

// Gives back the room of the first records, which are void.
static void
cut(struct journal *journal, uint32_t count)
{
    struct journal_batch *batch = journal->batch;
    uint32_t left = (uint32_t)(journal->last + 1 - journal->first) - count;
    must_hot(left >= journal->live && count <= journal->passed && batch->bond_count == 0);
    uint32_t bytes = journal->marks[count].offset;
    batch->len -= bytes;
    memmove(batch->bytes, batch->bytes + bytes, batch->len);
    for (uint32_t i = 0; i < left; i++) {
        struct mark mark = journal->marks[count + i];
        mark.offset -= bytes;
        if (batch->bytes[mark.offset] == JOURNAL_ENQUEUE)
            mark.link -= count; // its MESSAGE is as live as it is
        journal->marks[i] = mark;
    }
    must_hot(journal->message == 0 || journal->message_mark >= count);
    journal->message_mark -= count;
    journal->first += count;
    journal->passed -= count;
    journal->voided = 0;
}

// Positions for which nobody need wait any more are safe. With a barrier all of it is the keeper's.
static void
pass(struct journal *journal)
{
    if (journal->barrier || journal->safe + 1 < journal->first)
        return;
    if (journal->live == 0) { // done, without a disk
        journal->moved |= journal->safe < journal->last;
        journal->safe = journal->last;
        batch_begin(journal, journal->batch);
        return;
    }
    uint32_t count = (uint32_t)(journal->last + 1 - journal->first);
    while (journal->voided < count && is_void(journal, journal->voided))
        journal->voided++;
    journal->passed = max_u32(journal->passed, journal->voided);
    while (journal->passed < count &&
           (is_void(journal, journal->passed) || journal->marks[journal->passed].link == UNAWAITED))
        journal->passed++;
    uint64_t safe = journal->first + journal->passed - 1;
    if (safe > journal->safe) {
        journal->safe = safe;
        journal->moved = true;
        if (safe >= journal->hold_position)
            journal->hold_ms = 0;
        if (journal->passed == journal->voided) // what is left is younger
            journal->since_ms = 0;
    }
    uint32_t bytes = journal->marks[journal->voided].offset;
    if (bytes >= CUT_BYTES && bytes / 3 >= journal->batch->len / 4)
        cut(journal, journal->voided);
}

// May it wait for acknowledgements that are expected soon?
static bool
is_held(struct journal *journal, uint64_t now_ms)
{
    if (now_ms < journal->hurry_ms)
        return false;
    if (journal->hold_ms == 0) {
        journal->hold_ms = now_ms + HOLD_MS;
        journal->hold_position = journal->last;
    }
    if (now_ms < journal->hold_ms)
        return true;
    journal->hurry_ms = now_ms + HURRY_MS; // it was not worth it
    return false;
}

static bool
may_wait(struct journal *journal, uint64_t now_ms)
{
    if (journal->since_ms == 0)
        journal->since_ms = now_ms;
    if (journal->urgent || now_ms >= journal->since_ms + LAZY_MS)
        return false;
    return journal->held ? is_held(journal, now_ms) : journal->batch->len < LAZY_BYTES;
}

void
journal_offer(struct journal *journal, uint64_t now_ms, bool final)
{
    if (!journal->batch || (journal->batch->len == 0 && journal->batch->bond_count == 0))
        return;
    pass(journal);
    if (journal->batch->len == 0 && journal->batch->bond_count == 0)
        return;
    if (!final && may_wait(journal, now_ms))
        return;
    journal->batch->last = journal->last;
    atomic_store_explicit(&journal->slot->offered_len, journal->batch->len, memory_order_relaxed);
    struct journal_batch *none =
        atomic_exchange_explicit(&journal->slot->offered, journal->batch, memory_order_seq_cst);
    must(!none); // it was taken back before anything was added
    journal->batch = NULL;
    keeper_wake(&journal->keeper->log_thread);
}

uint64_t
journal_wait_until(const struct journal *journal)
{
    if (journal->moved)
        return 0;
    if (!journal->batch || (journal->batch->len == 0 && journal->batch->bond_count == 0))
        return UINT64_MAX;
    if (journal->urgent || journal->since_ms == 0)
        return 0;
    uint64_t due = journal->since_ms + LAZY_MS;
    return journal->held && journal->hold_ms > 0 ? min_u64(due, journal->hold_ms) : due;
}
