// route_log.c - the routes that point to a node, as their owner has them.
//
// The ring holds changes one behind the other: u32 length of the key, u32 weight, key. Where the
// next one does not fit before the end of the memory, it begins at its start. An index of offsets
// tells where each of the changes that are still there begins.
#include "cluster/route_log.h"

#include "core/base/mem.h"

#include "cluster/route_set.h"
#include "cluster/wire_int.h"

#define LOG_MAGIC   0x726f7574u
#define CHANGE_HEAD 8u

struct route_log {
    uint32_t magic;
    uint64_t incarnation, seq;
    struct route_set set;
    uint8_t *ring;
    uint32_t ring_bytes, head; // head: where the next change begins
    uint64_t oldest;           // change that is there; seq + 1: none is
    uint32_t *offsets;         // of change n: offsets[n % offset_count]
    uint32_t offset_count;
};

void
route_digest_write(const struct route_digest *digest, uint8_t ret[ROUTE_DIGEST_LEN])
{
    put_u64(ret, digest->seq);
    put_u64(ret + 8, digest->hash);
}

bool
route_digest_read(struct slice bytes, struct route_digest *ret_digest)
{
    if (bytes.len != ROUTE_DIGEST_LEN)
        return false;
    *ret_digest = (struct route_digest){get_u64(bytes.data), get_u64(bytes.data + 8)};
    return true;
}

struct route_log *
route_log_new(uint64_t incarnation, uint32_t ring_bytes)
{
    must(incarnation > 0 && ring_bytes >= 64);
    struct route_log *log = mem_zalloc(sizeof *log);
    log->magic = LOG_MAGIC;
    log->incarnation = incarnation;
    log->oldest = 1;
    log->ring = mem_alloc(ring_bytes);
    log->ring_bytes = ring_bytes;
    log->offset_count = ring_bytes / CHANGE_HEAD;
    log->offsets = mem_zalloc(log->offset_count * sizeof log->offsets[0]);
    return log;
}

void
route_log_free(struct route_log *log)
{
    if (!log)
        return;
    must(log->magic == LOG_MAGIC);
    route_set_free(&log->set);
    mem_free(log->ring);
    mem_free(log->offsets);
    log->magic = 0;
    mem_free(log);
}

static struct route_op
change_at(const struct route_log *log, uint64_t seq)
{
    const uint8_t *at = log->ring + log->offsets[seq % log->offset_count];
    uint32_t len, weight;
    must(seq >= log->oldest && seq <= log->seq);
    memcpy(&len, at, sizeof len);
    memcpy(&weight, at + 4, sizeof weight);
    return (struct route_op){seq, slice_of(at + CHANGE_HEAD, len), weight};
}

// The changes that stand in the way of len bytes at head are forgotten, the oldest first.
static void
make_room(struct route_log *log, uint32_t len)
{
    while (log->oldest <= log->seq) {
        uint32_t at = log->offsets[log->oldest % log->offset_count];
        uint32_t end = at + CHANGE_HEAD + change_at(log, log->oldest).key.len;
        if (end <= log->head || at >= log->head + len)
            return;
        log->oldest++;
    }
}

static void
remember(struct route_log *log, struct slice key, uint32_t weight)
{
    uint32_t len = CHANGE_HEAD + key.len;
    if (len > log->ring_bytes) { // it can be told by a snapshot alone
        log->oldest = ++log->seq + 1;
        log->head = 0;
        return;
    }
    if (log->head + len > log->ring_bytes) {
        // What is between head and the end is older than what is before head.
        make_room(log, log->ring_bytes - log->head);
        log->head = 0;
    }
    make_room(log, len);
    log->seq++;
    log->offsets[log->seq % log->offset_count] = log->head;
    memcpy(log->ring + log->head, &key.len, 4);
    memcpy(log->ring + log->head + 4, &weight, 4);
    if (key.len > 0)
        memcpy(log->ring + log->head + CHANGE_HEAD, key.data, key.len);
    log->head += len;
    must(log->head <= log->ring_bytes && log->seq - log->oldest < log->offset_count);
}

bool
route_log_set(struct route_log *log, struct slice key, uint32_t weight)
{
    must(log->magic == LOG_MAGIC && key.len <= ROUTE_KEY_MAX);
    if (!route_set_put(&log->set, key, weight))
        return false;
    remember(log, key, weight);
    return true;
}

uint64_t
route_log_incarnation(const struct route_log *log)
{
    return log->incarnation;
}

struct route_digest
route_log_digest(const struct route_log *log)
{
    return (struct route_digest){log->seq, log->set.hash};
}

uint32_t
route_log_count(const struct route_log *log)
{
    return log->set.count;
}

uint64_t
route_log_key_bytes(const struct route_log *log)
{
    return log->set.key_bytes;
}

uint32_t
route_log_weight(const struct route_log *log, struct slice key)
{
    return route_set_weight(&log->set, key);
}

// ---- Reading ------------------------------------------------------------------------------------

void
route_reader_begin(const struct route_log *log, uint64_t incarnation, uint64_t applied,
                   struct route_reader *ret_reader)
{
    bool here = incarnation == log->incarnation && applied <= log->seq;
    // next 0: a snapshot has to begin.
    *ret_reader =
        (struct route_reader){.next = here && applied + 1 >= log->oldest ? applied + 1 : 0};
}

static bool
next_entry(const struct route_log *log, struct route_reader *reader, struct route_op *ret_op)
{
    while (reader->place < log->set.places) {
        const struct route_entry *e = &log->set.entries[reader->place++];
        if (!e->key)
            continue;
        *ret_op = (struct route_op){0, slice_of(e->key, e->key_len), e->weight};
        return true;
    }
    return false;
}

enum route_step
route_reader_next(const struct route_log *log, struct route_reader *reader, struct route_op *ret_op,
                  struct route_digest *ret_digest)
{
    must(log->magic == LOG_MAGIC && reader->next <= log->seq + 1);
    if (reader->next == 0 || reader->next < log->oldest) { // or too slow: from the start
        *reader = (struct route_reader){.snapshot = true, .next = log->seq + 1};
        *ret_op = (struct route_op){.seq = log->seq};
        return ROUTE_BEGIN;
    }
    if (reader->snapshot && next_entry(log, reader, ret_op))
        return ROUTE_ENTRY;
    if (reader->next <= log->seq) {
        *ret_op = change_at(log, reader->next++);
        return ROUTE_CHANGE;
    }
    if (!reader->snapshot)
        return ROUTE_NOTHING;
    reader->snapshot = false;
    *ret_digest = route_log_digest(log);
    return ROUTE_END;
}
