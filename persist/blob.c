// blob.c - what the log keeps under one sequence number.
#include "persist/blob.h"

#include "core/base/mem.h"

#include "core/record.h"
#include "persist/bytes.h"
#include "persist/checksum.h"

#define SEGMENT_HEAD 4u

// ---- Gathering ----------------------------------------------------------------------------------

// The next blob, with room for at least this much beside the heads.
static struct blob *
list_push(struct blob_list *list, uint32_t room)
{
    uint32_t had = list->cap;
    list->blobs = mem_grow(list->blobs, &list->cap, list->count + 1, sizeof *list->blobs);
    memset(list->blobs + had, 0, (list->cap - had) * sizeof *list->blobs);
    struct blob *blob = &list->blobs[list->count++];
    must(list->count <= list->cap);
    uint32_t need = max_u32(BLOB_BYTES, BLOB_HEAD + SEGMENT_HEAD + room);
    if (blob->cap < need) {
        mem_free(blob->bytes);
        blob->bytes = mem_alloc(need);
        blob->cap = need;
    }
    blob->len = BLOB_HEAD;
    blob->segments = 0;
    list->bytes += BLOB_HEAD;
    return blob;
}

// Appends whole records as one segment; they fit.
static void
put_segment(struct blob_list *list, struct blob *blob, struct slice run, uint8_t **segment)
{
    if (run.len == 0)
        return;
    if (!*segment) {
        *segment = blob->bytes + blob->len;
        (void)put_le32(*segment, 0);
        blob->len += SEGMENT_HEAD;
        blob->segments++;
        list->bytes += SEGMENT_HEAD;
    }
    must_hot(blob->len >= BLOB_HEAD && run.len <= blob->cap - blob->len);
    memcpy(blob->bytes + blob->len, run.data, run.len);
    blob->len += run.len;
    list->bytes += run.len;
    (void)put_le32(*segment, get_le32(*segment) + run.len);
}

void
blob_list_add(struct blob_list *list, struct slice records)
{
    if (records.len == 0)
        return; // and there may be no data
    struct blob *blob = list->count ? &list->blobs[list->count - 1] : NULL;
    uint8_t *segment = NULL;
    const uint8_t *at = records.data, *end = at + records.len, *run = at;
    // What of the run may still grow: the blob's room without a segment head that is still to come.
    uint32_t room =
        blob && blob->cap > blob->len + SEGMENT_HEAD ? blob->cap - blob->len - SEGMENT_HEAD : 0;
    while (at < end) {
        must_hot(end - at >= RECORD_HEAD);
        uint32_t len = RECORD_HEAD + get_le32(at + 1);
        must_hot(len > RECORD_HEAD && len <= (size_t)(end - at));
        if (*at == JOURNAL_VOID) {
            if (blob)
                put_segment(list, blob, slice_of(run, (size_t)(at - run)), &segment);
            at += len;
            run = at;
            continue;
        }
        if (len > room) {
            if (blob)
                put_segment(list, blob, slice_of(run, (size_t)(at - run)), &segment);
            run = at;
            segment = NULL;
            blob = list_push(list, len);
            room = blob->cap - BLOB_HEAD - SEGMENT_HEAD;
        }
        room -= len;
        at += len;
        list->records++;
    }
    must(at == end);
    if (blob)
        put_segment(list, blob, slice_of(run, (size_t)(at - run)), &segment);
}

void
blob_list_clear(struct blob_list *list)
{
    for (uint32_t i = 0; i < list->cap; i++) {
        struct blob *blob = &list->blobs[i];
        if (i < list->spares && blob->cap <= BLOB_BYTES)
            continue;
        mem_free(blob->bytes);
        *blob = (struct blob){0};
    }
    list->count = 0;
    list->bytes = list->records = 0;
}

void
blob_list_free(struct blob_list *list)
{
    for (uint32_t i = 0; i < list->cap; i++)
        mem_free(list->blobs[i].bytes);
    mem_free(list->blobs);
    *list = (struct blob_list){0};
}

void
blob_seal(struct blob *blob, uint64_t sequence, uint32_t left)
{
    must(blob->len > BLOB_HEAD && blob->segments > 0);
    (void)put_le32(blob->bytes, BLOB_MAGIC);
    (void)put_le32(blob->bytes + 12, left);
    (void)put_le64(blob->bytes + 4, checksum_bytes(blob->bytes + 12, blob->len - 12, sequence));
}

// ---- Taking apart -------------------------------------------------------------------------------

bool
blob_is_good(struct slice blob, uint64_t sequence)
{
    return blob.len > BLOB_HEAD && get_le32(blob.data) == BLOB_MAGIC &&
           get_le64(blob.data + 4) == checksum_bytes(blob.data + 12, blob.len - 12, sequence);
}

uint32_t
blob_left(struct slice blob)
{
    must(blob.len > BLOB_HEAD);
    return get_le32(blob.data + 12);
}

bool
blob_segment(struct slice *rest, struct slice *ret, bool *ret_bad)
{
    *ret_bad = false;
    if (rest->len == 0)
        return false;
    uint32_t len = rest->len < SEGMENT_HEAD ? UINT32_MAX : get_le32(rest->data);
    if (len == 0 || len > rest->len - SEGMENT_HEAD) {
        *ret_bad = true;
        return false;
    }
    must_hot(SEGMENT_HEAD + (uint64_t)len <= rest->len);
    *ret = slice_of(rest->data + SEGMENT_HEAD, len);
    *rest = slice_of(rest->data + SEGMENT_HEAD + len, rest->len - SEGMENT_HEAD - len);
    return true;
}
