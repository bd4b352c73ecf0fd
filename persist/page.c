// page.c - a page of a session's queue, read from the state.
#include "persist/page.h"

#include "core/base/mem.h"

#include "core/msg.h"
#include "persist/bytes.h"
#include "persist/slots.h"
#include "persist/table.h"

struct reader {
    struct state_txn *txn;
    const struct page_request *request;
    uint64_t wall_offset, bytes;
    struct page *page;
    uint32_t cap;
    struct slots seen; // 1, message: at = index of an entry of the page that holds it, plus 1
};

// The clock of this process: at least 1, because 0 stands for never.
static uint64_t
mono_ms(uint64_t wall_ms, uint64_t wall_offset)
{
    if (wall_ms == 0)
        return 0;
    return wall_ms > wall_offset ? wall_ms - wall_offset : 1;
}

static int
read_message(struct reader *r, uint64_t number, struct msg **ret)
{
    struct table_key key;
    struct slice payload;
    struct record record;
    table_key_number(&key, number);
    int rc = table_get(r->txn->cursors[TABLE_MESSAGES], TABLE_MESSAGES, &key, &payload);
    if (rc == 0)
        rc = table_record(payload, JOURNAL_MESSAGE, &record);
    if (rc != 0)
        return rc == MDB_NOTFOUND ? MDB_CORRUPTED : rc;
    struct pub pub = {
        .topic = record.msg.topic,
        .props = record.msg.props,
        .payload = record.msg.payload,
        .expires_ms = mono_ms(record.msg.expires_ms, r->wall_offset),
        .arrived_ms = mono_ms(record.msg.arrived_ms, r->wall_offset),
        .publisher = record.msg.publisher,
        .number = number,
        .qos = record.msg.qos,
        .retain = record.msg.retain,
    };
    *ret = msg_new(&pub);
    return 0;
}

static struct page_entry *
push_entry(struct reader *r)
{
    must_hot(r->page->count <= r->cap && r->cap <= 2 * PAGE_ENTRIES_MAX);
    if (r->page->count == r->cap) {
        r->cap *= 2;
        r->page = mem_realloc(r->page, sizeof *r->page + r->cap * sizeof(struct page_entry));
    }
    return &r->page->entries[r->page->count++];
}

static int
add_entry(struct reader *r, uint8_t state, const struct record *record)
{
    struct msg *msg = NULL;
    if (state != ENTRY_RELEASED) {
        struct slot *seen = slots_at(&r->seen, 1, record->message, 0);
        must_hot(seen->at <= r->page->count);
        if (seen->at != 0) {
            msg = msg_ref(r->page->entries[seen->at - 1].msg);
        } else {
            int rc = read_message(r, record->message, &msg);
            if (rc != 0)
                return rc;
            seen->at = r->page->count + 1;
        }
    }
    struct page_entry *entry = push_entry(r);
    *entry = (struct page_entry){
        .seq = record->seq,
        .msg = msg,
        .ordinal = record->ordinal,
        .qos = record->qos,
        .retain = record->retain,
        .released = state == ENTRY_RELEASED,
    };
    if (msg && record->ids.len > 0) {
        entry->id_count = record->ids.len / 4;
        entry->ids = mem_alloc(record->ids.len);
        for (uint32_t i = 0; i < entry->id_count; i++)
            entry->ids[i] = record_id(record, i);
    }
    must_hot(record->seq >= r->page->next);
    r->page->next = record->seq + 1;
    return 0;
}

// An entry that is there. *ret_full: it does not go into this page any more.
static int
take_entry(struct reader *r, const MDB_val *key, const MDB_val *value, bool *ret_full)
{
    struct slice payload;
    struct record record;
    *ret_full = false;
    int rc = table_open(TABLE_ENTRIES, key, value, &payload);
    if (rc != 0)
        return rc;
    if (payload.len < 1 || payload.data[0] > ENTRY_RELEASED)
        return MDB_CORRUPTED;
    rc = table_record(slice_of(payload.data + 1, payload.len - 1), JOURNAL_ENQUEUE, &record);
    if (rc != 0)
        return rc;
    if (record.session != r->request->session ||
        record.seq != get_be64((uint8_t *)key->mv_data + 8))
        return MDB_CORRUPTED;
    uint32_t size = payload.data[0] == ENTRY_RELEASED ? 0 : record.size;
    uint32_t count_max = min_u32(max_u32(r->request->count_max, 1), PAGE_ENTRIES_MAX);
    if (r->page->count == count_max ||
        (r->page->count > 0 && r->bytes + size > r->request->bytes_max)) {
        *ret_full = true;
        return 0;
    }
    r->bytes += size;
    return add_entry(r, payload.data[0], &record);
}

static int
read_entries(struct reader *r)
{
    struct table_key from;
    MDB_cursor *cursor = r->txn->cursors[TABLE_ENTRIES];
    table_key_pair(&from, r->request->session, r->request->seq, 8);
    MDB_val k = table_val(&from), v;
    int rc = mdb_cursor_get(cursor, &k, &v, MDB_SET_RANGE);
    while (rc == 0) {
        bool full;
        if (k.mv_size != 16)
            return MDB_CORRUPTED;
        if (get_be64(k.mv_data) != r->request->session)
            break;
        if ((rc = take_entry(r, &k, &v, &full)) != 0)
            return rc;
        if (full)
            return 0;
        rc = mdb_cursor_get(cursor, &k, &v, MDB_NEXT);
    }
    r->page->end = rc == 0 || rc == MDB_NOTFOUND;
    return r->page->end ? 0 : rc;
}

int
page_read(struct state_txn *txn, const struct page_request *request, uint64_t wall_offset,
          struct page **ret)
{
    must(txn->txn && request->session != 0);
    struct reader r = {.txn = txn, .request = request, .wall_offset = wall_offset, .cap = 8};
    r.page = mem_alloc(sizeof *r.page + r.cap * sizeof(struct page_entry));
    *r.page = (struct page){
        .session = request->session,
        .token = request->token,
        .from = request->seq,
        .next = request->seq,
    };
    int rc = read_entries(&r);
    slots_free(&r.seen);
    if (rc != 0) {
        page_free(r.page);
        return rc;
    }
    must(r.page->count > 0 || r.page->end);
    *ret = r.page;
    return 0;
}
