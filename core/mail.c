// mail.c - records from this shard to others.
#include "core/mail.h"

#include "core/base/mem.h"

#include "core/broker.h"
#include "core/route.h"
#include "core/shard.h"

struct parcel {
    struct list node;
    uint32_t len;
    uint16_t type;
    uint8_t data[] __attribute__((aligned(8)));
};

void
mail_init(struct shard *shard)
{
    unsigned n = shard->broker->shard_count;
    shard->outbox = mem_alloc(n * sizeof *shard->outbox);
    for (unsigned i = 0; i < n; i++)
        list_init(&shard->outbox[i]);
}

void *
mail_reserve(struct shard *shard, unsigned to, uint16_t type, uint32_t len)
{
    must_hot(to < shard->broker->shard_count && to != shard->index);
    struct spsc *q = shard->broker->mail[shard->index][to];
    shard->mailed |= UINT64_C(1) << to;
    if (likely(list_empty(&shard->outbox[to]) && len <= spsc_record_max(q))) {
        void *room = spsc_reserve(q, type, len);
        if (likely(room))
            return room;
    }
    struct parcel *parcel = mem_alloc(sizeof *parcel + len);
    *parcel = (struct parcel){.len = len, .type = type};
    list_push(&shard->outbox[to], &parcel->node);
    shard->outbox_bytes += len;
    return parcel->data;
}

bool
mail_is_beside(const struct shard *shard, unsigned to)
{
    uint64_t bit = UINT64_C(1) << to;
    return (shard->beside & bit) && !(shard->mailed & bit) &&
           spsc_is_empty(shard->broker->mail[shard->index][to]);
}

// A record longer than the mailbox takes goes as a pointer to its parcel.
static bool
send_parcel(struct spsc *q, struct parcel *parcel)
{
    if (parcel->len > spsc_record_max(q)) {
        void *room = spsc_reserve(q, RECORD_PARCEL, sizeof parcel);
        if (room)
            memcpy(room, &parcel, sizeof parcel);
        return room != NULL;
    }
    void *room = spsc_reserve(q, parcel->type, parcel->len);
    if (!room)
        return false;
    memcpy(room, parcel->data, parcel->len);
    return true;
}

static void
empty_outbox(struct shard *shard, unsigned to)
{
    struct spsc *q = shard->broker->mail[shard->index][to];
    while (!list_empty(&shard->outbox[to])) {
        struct parcel *parcel = container_of(shard->outbox[to].next, struct parcel, node);
        if (!send_parcel(q, parcel))
            return;
        list_remove(&parcel->node);
        shard->outbox_bytes -= parcel->len;
        if (parcel->len <= spsc_record_max(q))
            mem_free(parcel); // else the receiver frees it
    }
}

void
mail_post(struct shard *shard)
{
    uint64_t left = 0;
    for (uint64_t todo = shard->mailed; todo; todo &= todo - 1) {
        unsigned to = (unsigned)__builtin_ctzll(todo);
        empty_outbox(shard, to);
        if (spsc_publish(shard->broker->mail[shard->index][to]))
            shard->wake_shards |= UINT64_C(1) << to;
        if (!list_empty(&shard->outbox[to]))
            left |= UINT64_C(1) << to;
    }
    shard->mailed = left;
}

void
mail_open_parcel(const struct spsc_record *record, struct spsc_record *ret_record)
{
    struct parcel *parcel;
    must(record->type == RECORD_PARCEL && record->len == sizeof parcel);
    memcpy(&parcel, record->data, sizeof parcel);
    *ret_record =
        (struct spsc_record){.data = parcel->data, .len = parcel->len, .type = parcel->type};
}

void
mail_close_parcel(const struct spsc_record *opened)
{
    mem_free((uint8_t *)unconst(opened->data) - offsetof(struct parcel, data));
}

static void
drop_record(const struct spsc_record *record)
{
    if (record->type == RECORD_PUBLISH || record->type == RECORD_PUBLISH_REF)
        route_drop_record(record);
}

void
mail_drop(struct shard *shard)
{
    for (unsigned i = 0; i < shard->broker->shard_count; i++) {
        struct list *node;
        while ((node = list_pop(&shard->outbox[i])) != NULL) {
            struct parcel *parcel = container_of(node, struct parcel, node);
            drop_record(&(struct spsc_record){parcel->data, parcel->len, parcel->type});
            mem_free(parcel);
        }
        // What was reserved and never posted holds references too: whoever drains the mailbox last
        // must see it.
        if (i != shard->index)
            (void)spsc_publish(shard->broker->mail[shard->index][i]);
    }
    mem_free(shard->outbox);
    shard->outbox = NULL;
    shard->outbox_bytes = 0;
}

void
mail_drop_queue(struct spsc *q)
{
    struct spsc_record record, inner;
    while (spsc_take(q, &record)) {
        if (record.type == RECORD_PARCEL) {
            mail_open_parcel(&record, &inner);
            drop_record(&inner);
            mail_close_parcel(&inner);
        } else {
            drop_record(&record);
        }
    }
    spsc_release(q);
}
