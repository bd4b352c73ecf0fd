// fuzz_record.c - any bytes as journal records: what is accepted encodes to the same bytes, and a
// window of the log takes it without looking beyond it.
#include "core/base/mem.h"

#include "core/record.h"
#include "persist/window.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_round_trip(struct slice bytes, const struct record *record, uint32_t len)
{
    must(len >= RECORD_HEAD && len <= bytes.len);
    must(record_size(record) == len);
    uint8_t *again = mem_alloc(len);
    const uint8_t *end = record_write(again, record);
    must(end == again + len);
    must(memcmp(again, bytes.data, len) == 0);
    if (record->kind == JOURNAL_ENQUEUE)
        for (uint32_t i = 0; i < record->ids.len / 4; i++)
            (void)record_id(record, i);
    mem_free(again);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    // A copy of its exact size, so that a read beyond the end is seen.
    uint8_t *copy = mem_alloc(size + 1);
    if (size > 0)
        memcpy(copy, data, size);
    copy = mem_realloc(copy, size > 0 ? size : 1);
    struct slice rest = slice_of(copy, size);
    struct record record;
    uint32_t len;
    while (record_read(rest, &record, &len) == OK) {
        check_round_trip(rest, &record, len);
        rest = slice_of(rest.data + len, rest.len - len);
    }

    struct window *window = window_new(1);
    if (size > 0 && size < UINT32_MAX / 2) {
        memcpy(window_room(window, (uint32_t)size), copy, size);
        (void)window_apply(window, (uint32_t)size); // any answer will do
    }
    window_free(window);
    mem_free(copy);
    return 0;
}
