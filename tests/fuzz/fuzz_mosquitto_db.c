// fuzz_mosquitto_db.c - any bytes as a mosquitto.db; what is emitted must be fit for the store.
#include <stdlib.h>

#include "core/base/mem.h"

#include "core/topic.h"
#include "persist/mosquitto_db.h"

#define WALL_MS UINT64_C(1800000000000)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
    uint64_t session, message, order, next_seq;
    uint32_t ordinal;
    uint8_t kind; // of the record before
};

// The order that store_import_put relies on.
static void
check_order(struct seen *seen, const struct record *r)
{
    switch (r->kind) {
    case JOURNAL_SESSION:
        must(r->session == ++seen->session && seen->order == 0);
        must(r->id.len > 0 && !r->connected && !r->has_will);
        seen->ordinal = 0;
        seen->next_seq = 0;
        return;
    case JOURNAL_SUBSCRIBE:
        must(r->session == seen->session && r->ordinal == ++seen->ordinal);
        must(topic_filter_check(r->filter) == OK);
        must(seen->kind == JOURNAL_SESSION || seen->kind == JOURNAL_SUBSCRIBE);
        return;
    case JOURNAL_RECEIVED:
        must(r->session == seen->session && r->packet_id > 0);
        return;
    case JOURNAL_MESSAGE:
        must(r->message == ++seen->message);
        return;
    case JOURNAL_ENQUEUE:
        must(r->session == seen->session && r->seq >= seen->next_seq);
        must(r->message > 0 && r->message <= seen->message && r->ordinal <= seen->ordinal);
        seen->next_seq = r->seq + 1;
        return;
    case JOURNAL_STATE:
        must(r->session == seen->session && r->seq + 1 == seen->next_seq);
        must(seen->kind == JOURNAL_ENQUEUE && r->state == ENTRY_RELEASED);
        return;
    default:
        must(r->kind == JOURNAL_RETAIN && r->order == ++seen->order);
        must(r->msg.payload.len > 0 && r->msg.retain);
    }
}

static err_t
check(void *arg, const struct record *record)
{
    check_order(arg, record);
    ((struct seen *)arg)->kind = record->kind;
    uint32_t size = record_size(record), len;
    uint8_t *bytes = mem_alloc(size);
    record_write(bytes, record);
    struct record again;
    err_t err = record_read(slice_of(bytes, size), &again, &len);
    must(err == OK && len == size);
    if (record->kind == JOURNAL_MESSAGE || record->kind == JOURNAL_RETAIN)
        must(topic_name_check(record->msg.topic) == OK);
    mem_free(bytes);
    return OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char problem[MOSQUITTO_DB_PROBLEM_MAX];
    // A copy of its exact size, so that a read beyond the end is seen.
    uint8_t *file = mem_alloc(size > 0 ? size : 1);
    if (size > 0)
        memcpy(file, data, size);
    struct seen seen = {0};
    err_t err = mosquitto_db_read(slice_of(file, size), WALL_MS, check, &seen, problem);
    must(err == OK || strncmp(problem, "byte ", 5) == 0);
    must(problem[0] == '\0' || problem[strlen(problem) - 1] != '\n');
    mem_free(file);
    return 0;
}
