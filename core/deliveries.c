// deliveries.c - messages on their way to one client: sent and unacknowledged, then queued.
#include "core/deliveries.h"

#include "core/base/mem.h"

#define RING_MIN 8u

void
deliveries_init(struct deliveries *d, struct delivery_totals *totals)
{
    memset(d, 0, sizeof *d);
    d->totals = totals;
}

static void
count_queued(struct deliveries *d, const struct delivery *entry, bool added)
{
    uint64_t size = msg_size(entry->msg);
    uint64_t one = added ? 1 : (uint64_t)-1;
    d->queued += (uint32_t)one;
    d->totals->queued += one;
    d->queued_bytes += added ? size : (uint64_t)0 - size;
    d->totals->queued_bytes += added ? size : (uint64_t)0 - size;
}

static void
count_inflight(struct deliveries *d, bool added)
{
    must_hot(added || d->inflight > 0);
    d->inflight += added ? 1 : (uint32_t)-1;
    d->totals->inflight += added ? 1 : (uint64_t)-1;
}

static void
entry_release(struct delivery *entry)
{
    msg_unref(entry->msg);
    entry->msg = NULL;
    if (entry->subscription_id_count > 1)
        mem_free(entry->subscription.ids);
    entry->subscription_id_count = 0;
}

void
deliveries_free(struct deliveries *d)
{
    d->totals->queued -= d->queued;
    d->totals->queued_bytes -= d->queued_bytes;
    d->totals->inflight -= d->inflight;
    for (uint64_t seq = d->head; seq != d->tail; seq++)
        entry_release(deliveries_at(d, seq));
    mem_free(d->ring);
    deliveries_init(d, d->totals);
}

static void
ring_grow(struct deliveries *d)
{
    uint32_t cap = d->cap ? d->cap * 2 : RING_MIN;
    must(cap > d->cap);
    struct delivery *ring = mem_alloc((size_t)cap * sizeof *ring);
    for (uint64_t seq = d->head; seq != d->tail; seq++)
        ring[seq & (cap - 1)] = d->ring[seq & (d->cap - 1)];
    mem_free(d->ring);
    d->ring = ring;
    d->cap = cap;
}

void
deliveries_push(struct deliveries *d, const struct delivery *entry)
{
    must_hot(entry->state == DELIVERY_QUEUED && entry->msg);
    if (d->tail - d->head == d->cap)
        ring_grow(d);
    d->ring[d->tail & (d->cap - 1)] = *entry;
    d->tail++;
    count_queued(d, entry, true);
}

uint64_t
deliveries_seq(const struct deliveries *d, uint16_t packet_id)
{
    return d->head + ((uint64_t)packet_id + 65534u - d->head % 65535u) % 65535u;
}

struct delivery *
deliveries_find(const struct deliveries *d, uint16_t packet_id)
{
    uint64_t seq = deliveries_seq(d, packet_id);
    if (packet_id == 0 || seq >= d->sent)
        return NULL;
    struct delivery *entry = deliveries_at(d, seq);
    bool waits = entry->state == DELIVERY_SENT || entry->state == DELIVERY_RELEASED;
    return waits ? entry : NULL;
}

// An idle session keeps no ring; a busy one keeps its own, so that acknowledging is no allocation.
static void
ring_shrink(struct deliveries *d)
{
    if (d->head != d->tail || d->cap <= 64)
        return;
    mem_free(d->ring);
    d->ring = NULL;
    d->cap = 0;
}

static void
advance_head(struct deliveries *d)
{
    while (d->head != d->tail && deliveries_at(d, d->head)->state == DELIVERY_DONE) {
        if (d->sent == d->head)
            d->sent++;
        d->head++;
    }
    must_hot(d->sent >= d->head && d->sent <= d->tail);
    ring_shrink(d);
}

void
deliveries_finish(struct deliveries *d, struct delivery *entry)
{
    must_hot(entry->state != DELIVERY_DONE);
    if (entry->state == DELIVERY_QUEUED) {
        count_queued(d, entry, false);
    } else if (!entry->resend) {
        count_inflight(d, false);
    }
    entry_release(entry);
    entry->state = DELIVERY_DONE;
    advance_head(d);
}

void
deliveries_mark_sent(struct deliveries *d, struct delivery *entry)
{
    must_hot(entry->qos > 0 && entry->state != DELIVERY_DONE);
    if (entry->state == DELIVERY_QUEUED) {
        count_queued(d, entry, false);
        entry->state = DELIVERY_SENT;
    } else {
        must_hot(entry->resend);
        entry->resend = 0;
    }
    count_inflight(d, true);
}

void
deliveries_release(struct delivery *entry)
{
    must_hot(entry->state == DELIVERY_SENT && entry->qos == 2);
    entry_release(entry);
    entry->state = DELIVERY_RELEASED;
}

// Closes the holes that dropping left. Only QUEUED entries move: they have no packet identifier
// yet.
static void
compact(struct deliveries *d)
{
    uint64_t to = d->sent;
    while (to != d->tail && deliveries_at(d, to)->state != DELIVERY_DONE)
        to++;
    for (uint64_t from = to; from != d->tail; from++) {
        struct delivery *entry = deliveries_at(d, from);
        if (entry->state == DELIVERY_DONE)
            continue;
        must_hot(entry->state == DELIVERY_QUEUED);
        *deliveries_at(d, to++) = *entry;
    }
    d->tail = to;
    d->holes = 0;
    d->oldest = d->sent;
}

void
deliveries_drop_oldest(struct deliveries *d)
{
    uint64_t seq = max_u64(d->sent, d->oldest);
    while (seq != d->tail && deliveries_at(d, seq)->state != DELIVERY_QUEUED)
        seq++;
    d->oldest = seq;
    if (seq == d->tail)
        return;
    uint64_t head = d->head;
    deliveries_finish(d, deliveries_at(d, seq));
    if (d->head == head && ++d->holes > d->queued + 64)
        compact(d);
}

void
deliveries_rewind(struct deliveries *d)
{
    for (uint64_t seq = d->head; seq != d->sent; seq++) {
        struct delivery *entry = deliveries_at(d, seq);
        if (entry->state == DELIVERY_SENT || entry->state == DELIVERY_RELEASED)
            entry->resend = 1;
    }
    d->sent = d->oldest = d->head;
    d->totals->inflight -= d->inflight;
    d->inflight = 0;
}
