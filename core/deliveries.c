// deliveries.c - messages on their way to one client: sent and unacknowledged, then queued.
#include "core/deliveries.h"

#include "core/base/mem.h"

#define RING_MIN    8u
#define FETCH_AHEAD 3u

void
deliveries_init(struct deliveries *d, struct delivery_totals *totals)
{
    memset(d, 0, sizeof *d);
    d->totals = totals;
}

static size_t
size_of(const struct delivery *entry)
{
    const struct msg *msg = entry->msg;
    return unlikely(msg->run) ? msg_part_size(msg, entry->part_at) : msg_size(msg);
}

static void
count_queued(struct deliveries *d, const struct delivery *entry, bool added)
{
    uint64_t size = size_of(entry);
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

static bool
was_sent(const struct delivery *entry)
{
    return entry->state == DELIVERY_SENT || entry->state == DELIVERY_RELEASED;
}

void
delivery_release(struct delivery *entry)
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
    d->totals->on_disk -= d->disk_count;
    for (uint64_t seq = d->head; seq != d->loaded; seq++)
        delivery_release(deliveries_at(d, seq));
    mem_free(d->ring);
    deliveries_init(d, d->totals);
}

static void
ring_resize(struct deliveries *d, uint32_t cap)
{
    must(cap >= d->loaded - d->head);
    struct delivery *ring = mem_alloc((size_t)cap * sizeof *ring);
    for (uint64_t seq = d->head; seq != d->loaded; seq++)
        ring[seq & (cap - 1)] = d->ring[seq & (d->cap - 1)];
    mem_free(d->ring);
    d->ring = ring;
    d->cap = cap;
}

// Makes room for so many more.
static void
ring_grow(struct deliveries *d, uint32_t count)
{
    uint64_t cap = d->cap ? d->cap : RING_MIN, want = d->loaded - d->head + count;
    while (cap < want)
        cap *= 2;
    must(cap > d->cap && cap <= UINT32_MAX);
    ring_resize(d, (uint32_t)cap);
}

// Gives back what a ring has too much of.
static void
ring_fit(struct deliveries *d)
{
    uint32_t cap = RING_MIN;
    while (cap < d->loaded - d->head)
        cap *= 2;
    if (cap * 2 < d->cap)
        ring_resize(d, cap);
}

static inline struct delivery *
place_for_one(struct deliveries *d)
{
    if (unlikely(d->loaded - d->head == d->cap))
        ring_grow(d, 1);
    return &d->ring[d->loaded++ & (d->cap - 1)];
}

static void
append(struct deliveries *d, const struct delivery *entry)
{
    *place_for_one(d) = *entry;
}

void
deliveries_push(struct deliveries *d, const struct delivery *entry)
{
    must_hot(entry->state == DELIVERY_QUEUED && entry->msg && d->loaded == d->tail);
    append(d, entry);
    d->tail++;
    count_queued(d, entry, true);
}

struct delivery *
deliveries_add_sent(struct deliveries *d)
{
    must_hot(d->sent == d->tail && d->loaded == d->tail);
    struct delivery *place = place_for_one(d);
    d->tail++;
    d->sent++;
    count_inflight(d, true);
    return place;
}

void
deliveries_add_run(struct deliveries *d, struct msg *run, uint32_t count, uint32_t sent,
                   uint8_t qos)
{
    must_hot(d->loaded == d->tail && (sent == 0 || d->sent == d->tail) && sent <= count);
    if (unlikely(d->cap - (d->loaded - d->head) < count))
        ring_grow(d, count);
    uint32_t at = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct delivery *place = &d->ring[d->loaded++ & (d->cap - 1)];
        *place = (struct delivery){
            .msg = run,
            .part_at = at,
            .qos = qos,
            .state = i < sent ? DELIVERY_SENT : DELIVERY_QUEUED,
        };
        if (i >= sent)
            count_queued(d, place, true);
        at = msg_part_next(run, at);
    }
    d->tail += count;
    d->sent += sent;
    d->inflight += sent;
    d->totals->inflight += sent;
}

void
delivery_pub(const struct delivery *entry, struct pub *ret_pub)
{
    if (entry->msg->run)
        pub_borrow_part(ret_pub, entry->msg, entry->part_at);
    else
        pub_borrow(ret_pub, entry->msg);
}

uint64_t
deliveries_seq(const struct deliveries *d, uint16_t packet_id)
{
    uint64_t ahead = (uint64_t)packet_id + 65534u - d->head % 65535u; // by so many, or a turn more
    return d->head + (ahead < 65535u ? ahead : ahead - 65535u);
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
    if (d->head != d->loaded || d->cap <= 64)
        return;
    mem_free(d->ring);
    d->ring = NULL;
    d->cap = 0;
}

static void
advance_head(struct deliveries *d)
{
    while (d->head != d->loaded && deliveries_at(d, d->head)->state == DELIVERY_DONE) {
        if (d->sent == d->head)
            d->sent++;
        d->head++;
    }
    must_hot(d->sent >= d->head && d->sent <= d->loaded && d->loaded <= d->tail);
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
    delivery_release(entry);
    entry->state = DELIVERY_DONE;
    advance_head(d);
    // Acknowledgements come in order, and messages from before the last round trip from memory: the
    // one that is looked at soon is fetched meanwhile. In a ring that was given back there is none.
    if (likely(d->cap > 0))
        __builtin_prefetch(d->ring[(d->head + FETCH_AHEAD) & (d->cap - 1)].msg);
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
    delivery_release(entry);
    entry->state = DELIVERY_RELEASED;
}

// Of the acknowledgement with this number in a row of them.
static inline uint16_t
acked_id(const uint8_t *acks, uint32_t number)
{
    const uint8_t *ack = acks + (size_t)number * 4;
    return (uint16_t)(ack[2] << 8 | ack[3]);
}

uint32_t
deliveries_finish_oldest(struct deliveries *d, const uint8_t *acks, uint32_t count,
                         enum delivery_state state, uint8_t qos)
{
    uint16_t id = deliveries_packet_id(d->head);
    uint32_t n = 0, max = (uint32_t)min_u64(count, d->sent - d->head);
    for (; n < max && acked_id(acks, n) == id; n++) {
        struct delivery *entry = &d->ring[(d->head + n) & (d->cap - 1)];
        if (entry->state != state || entry->qos != qos || entry->resend)
            break;
        delivery_release(entry);
        entry->state = DELIVERY_DONE;
        id = deliveries_next_id(id);
        __builtin_prefetch(d->ring[(d->head + n + FETCH_AHEAD) & (d->cap - 1)].msg);
    }
    if (n == 0)
        return 0;
    must_hot(d->inflight >= n);
    d->head += n;
    d->inflight -= n;
    d->totals->inflight -= n;
    advance_head(d);
    return n;
}

uint32_t
deliveries_release_row(struct deliveries *d, const uint8_t *acks, uint32_t count)
{
    uint16_t id = acked_id(acks, 0);
    uint64_t seq = deliveries_seq(d, id);
    uint32_t n = 0;
    for (; n < count && acked_id(acks, n) == id && seq < d->sent; n++, seq++) {
        struct delivery *entry = deliveries_at(d, seq);
        if (entry->state != DELIVERY_SENT || entry->qos != 2)
            break;
        deliveries_release(entry);
        id = deliveries_next_id(id);
    }
    return n;
}

// Closes the holes that dropping left. Only QUEUED entries move, and only behind all that went out
// on an earlier connection: they have no packet identifier yet.
static void
compact(struct deliveries *d)
{
    must(d->loaded == d->tail);
    uint64_t to = d->tail;
    while (to != d->sent && !was_sent(deliveries_at(d, to - 1)))
        to--;
    while (to != d->tail && deliveries_at(d, to)->state != DELIVERY_DONE)
        to++;
    for (uint64_t from = to; from != d->tail; from++) {
        struct delivery *entry = deliveries_at(d, from);
        if (entry->state == DELIVERY_DONE)
            continue;
        must_hot(entry->state == DELIVERY_QUEUED);
        *deliveries_at(d, to++) = *entry;
    }
    d->tail = d->loaded = to;
    d->holes = 0;
    d->oldest = d->sent;
}

struct delivery *
deliveries_oldest(struct deliveries *d)
{
    uint64_t seq = max_u64(d->sent, d->oldest);
    while (seq != d->loaded && deliveries_at(d, seq)->state != DELIVERY_QUEUED)
        seq++;
    d->oldest = seq;
    return seq == d->loaded ? NULL : deliveries_at(d, seq);
}

void
deliveries_drop_oldest(struct deliveries *d)
{
    struct delivery *oldest = deliveries_oldest(d);
    if (!oldest)
        return;
    uint64_t head = d->head;
    deliveries_finish(d, oldest);
    if (d->head == head && ++d->holes > d->queued + 64)
        compact(d);
}

void
deliveries_rewind(struct deliveries *d)
{
    for (uint64_t seq = d->head; seq != d->sent; seq++) {
        struct delivery *entry = deliveries_at(d, seq);
        if (was_sent(entry))
            entry->resend = 1;
    }
    d->sent_before = max_u64(d->sent_before, d->sent);
    d->sent = d->oldest = d->head;
    d->totals->inflight -= d->inflight;
    d->inflight = 0;
}

uint64_t
deliveries_unacked(const struct deliveries *d)
{
    uint64_t count = d->disk_count;
    for (uint64_t seq = d->head; seq != d->loaded; seq++)
        count += deliveries_at(d, seq)->state != DELIVERY_DONE;
    return count;
}

// ---- What is on the disk alone ------------------------------------------------------------------

static void
count_disk(struct deliveries *d, uint32_t size, bool added)
{
    d->disk_count += added ? 1 : (uint32_t)-1;
    d->totals->on_disk += added ? 1 : (uint64_t)-1;
    d->disk_bytes += added ? size : (uint64_t)0 - min_u64(size, d->disk_bytes);
}

// Once there is nothing, there are no bytes: sizes may have been guessed.
static void
check_disk(struct deliveries *d)
{
    must_hot(d->loaded <= d->tail);
    if (d->loaded != d->tail)
        return;
    d->totals->on_disk -= d->disk_count;
    d->disk_count = 0;
    d->disk_bytes = 0;
}

void
deliveries_restore(struct deliveries *d, uint64_t first, uint64_t end, uint32_t count,
                   uint64_t bytes)
{
    must(d->tail == 0 && first <= end && count <= end - first);
    d->head = d->sent = d->loaded = d->oldest = first;
    d->tail = end;
    d->disk_count = count;
    d->disk_bytes = bytes;
    d->totals->on_disk += count;
    check_disk(d);
}

void
deliveries_push_disk(struct deliveries *d, uint32_t size)
{
    d->tail++;
    count_disk(d, size, true);
}

void
deliveries_unload(struct deliveries *d, uint32_t keep, uint64_t keep_bytes)
{
    must(d->sent == d->head && d->inflight == 0);
    while (d->queued > keep || d->queued_bytes > keep_bytes) {
        struct delivery *last = deliveries_at(d, d->loaded - 1);
        if (last->state != DELIVERY_QUEUED && last->state != DELIVERY_DONE)
            break; // what may be under way stays
        if (last->state == DELIVERY_QUEUED) {
            count_disk(d, (uint32_t)size_of(last), true);
            count_queued(d, last, false);
            delivery_release(last);
        }
        d->loaded--;
    }
    d->oldest = min_u64(d->oldest, d->loaded);
    ring_fit(d);
}

void
deliveries_skip(struct deliveries *d, uint64_t seq)
{
    must(seq >= d->loaded && seq <= d->tail);
    if (d->head == d->loaded) {
        d->head = d->sent = d->loaded = d->oldest = seq;
    } else {
        static const struct delivery hole = {.state = DELIVERY_DONE};
        while (d->loaded != seq)
            append(d, &hole);
    }
    check_disk(d);
}

void
deliveries_extend(struct deliveries *d, uint64_t seq)
{
    must(seq >= d->tail);
    bool all_here = d->loaded == d->tail;
    d->tail = seq;
    if (all_here)
        deliveries_skip(d, seq);
}

void
deliveries_skip_disk(struct deliveries *d)
{
    must(d->loaded < d->tail && d->disk_count > 0);
    count_disk(d, (uint32_t)min_u64(d->disk_bytes / d->disk_count, UINT32_MAX), false);
    deliveries_skip(d, d->loaded + 1);
}

void
deliveries_load(struct deliveries *d, uint64_t seq, const struct delivery *entry, uint32_t size)
{
    must(entry->state != DELIVERY_DONE && (entry->state == DELIVERY_QUEUED) == !entry->resend);
    deliveries_skip(d, seq);
    must(d->loaded == seq && seq < d->tail);
    append(d, entry);
    if (entry->state == DELIVERY_QUEUED)
        count_queued(d, entry, true);
    if (d->disk_count > 0)
        count_disk(d, size, false);
    check_disk(d);
}
