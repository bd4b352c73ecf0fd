// spsc.c - a single-producer, single-consumer byte ring.
//
// Positions count bytes since the beginning and never wrap (2^64 bytes are centuries); their low
// bits are the place in the ring. A record is an 8-byte header and its bytes, rounded up to 8. It
// is never split: where it does not fit before the ring's end, a pad record fills the rest.
//
// Who sees what:
// - The producer writes bytes in [head, head + size) beyond tail, then stores tail (release). The
//   consumer loads tail (acquire) before it reads below it: it reads whole records.
// - The consumer is done with the bytes below head when it stores head (release). The producer
// loads
//   head (acquire) before it writes there again: it never overwrites what is being read.
// - Each side keeps a private copy of its own position and the last seen value of the other's, so
//   that the shared lines move once per batch and not once per record.
//
// Sleeping without losing a wake-up; the flag belongs to the consumer's owner:
//   producer: spsc_publish { store tail; FENCE; load head }; if it says true: load flag, wake if
//   set consumer: spsc_release { store head }; store flag = 1; spsc_ready { FENCE; load tail };
//   sleep if false
// The two fences (seq_cst) have an order. If the consumer's is first, the producer's loads behind
// its own fence see the flag, and also the head, which by then is the old tail because the consumer
// took all there was: spsc_publish says true, the flag reads 1, the consumer is woken. If the
// producer's is first, the consumer's load sees the new tail and it does not sleep. There is no
// third case. The flag itself may be a relaxed atomic.
#include "core/base/spsc.h"

#include <stdatomic.h>
#include <sys/mman.h>

#include "core/base/mem.h"

#define SPSC_MAGIC     0x73707363u
#define SPSC_BYTES_MIN 4096
#define RESTART_BYTES  65536u

enum record_kind {
    // Not 0 and 1: a header read from a wrong place should not look right.
    KIND_DATA = 0xda7a,
    KIND_PAD = 0x9ad0,
};

struct header {
    uint32_t len; // of the data; of a pad: of all that follows the header
    uint16_t type, kind;
};
_Static_assert(sizeof(struct header) == 8, "records stay 8-byte aligned");

// One line per writer and purpose: private state never shares a line with what the other side
// polls.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding)
struct spsc {
    uint32_t magic;
    uint64_t size, mask; // constant
    uint8_t *ring;

    CACHE_ALIGNED struct {
        uint64_t tail;      // end of what is reserved
        uint64_t published; // end of what the consumer may see
        uint64_t head_seen;
    } producer;
    CACHE_ALIGNED _Atomic uint64_t tail; // written by the producer

    CACHE_ALIGNED struct {
        uint64_t head;     // end of what was taken
        uint64_t released; // end of what was given back
        uint64_t tail_seen;
    } consumer;
    CACHE_ALIGNED _Atomic uint64_t head; // written by the consumer
};

struct spsc *
spsc_new(size_t bytes)
{
    must(bytes >= SPSC_BYTES_MIN && (bytes & (bytes - 1)) == 0);
    must(bytes <= UINT32_MAX); // a record's length is 32 bits
    struct spsc *q = mem_alloc_aligned(CACHE_LINE, sizeof(*q));
    // Mapped, not allocated: with many workers most rings stay nearly unused, and a page that was
    // never written costs nothing.
    q->ring = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    must(q->ring != MAP_FAILED);
    q->size = bytes;
    q->mask = bytes - 1;
    q->magic = SPSC_MAGIC;
    return q;
}

void
spsc_free(struct spsc *q)
{
    if (q == NULL)
        return;
    must(q->magic == SPSC_MAGIC);
    int rc = munmap(q->ring, q->size);
    must(rc == 0);
    q->magic = 0;
    mem_free(q);
}

uint32_t
spsc_record_max(const struct spsc *q)
{
    return (uint32_t)(q->size / 4 - sizeof(struct header));
}

static inline struct header *
header_at(const struct spsc *q, uint64_t position)
{
    return (struct header *)(void *)(q->ring + (position & q->mask));
}

static inline uint64_t
record_bytes(uint32_t len)
{
    return sizeof(struct header) + (((uint64_t)len + 7) & ~UINT64_C(7));
}

// Is there room for bytes beyond tail? Asks the consumer's line only when what is known is too
// little.
static inline bool
has_room(struct spsc *q, uint64_t bytes)
{
    uint64_t end = q->producer.tail + bytes;
    if (likely(end - q->producer.head_seen <= q->size))
        return true;
    q->producer.head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
    must_hot(q->producer.head_seen <= q->producer.published);
    return end - q->producer.head_seen <= q->size;
}

// What to skip before a record. Behind RESTART_BYTES an empty queue goes back to the ring's
// beginning: while there is little in it, it uses little memory and cache.
static inline uint64_t
pad_before(struct spsc *q, uint64_t bytes)
{
    uint64_t to_end = q->size - (q->producer.tail & q->mask);
    if (unlikely(to_end < bytes))
        return to_end;
    if (likely(q->size - to_end < RESTART_BYTES) || q->producer.tail != q->producer.published ||
        to_end + bytes > q->size)
        return 0;
    q->producer.head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
    return q->producer.head_seen == q->producer.tail ? to_end : 0;
}

void *
spsc_reserve(struct spsc *q, uint16_t type, uint32_t len)
{
    must_hot(q->magic == SPSC_MAGIC);
    must_hot(len <= spsc_record_max(q));
    uint64_t bytes = record_bytes(len);
    uint64_t pad = pad_before(q, bytes);
    if (!has_room(q, pad + bytes))
        return NULL;

    if (pad > 0) { // at least 8: positions are multiples of 8
        *header_at(q, q->producer.tail) =
            (struct header){(uint32_t)(pad - sizeof(struct header)), 0, KIND_PAD};
        q->producer.tail += pad;
    }
    struct header *header = header_at(q, q->producer.tail);
    *header = (struct header){len, type, KIND_DATA};
    q->producer.tail += bytes;
    must_hot((q->producer.tail & 7) == 0);
    return header + 1;
}

bool
spsc_publish(struct spsc *q)
{
    must_hot(q->magic == SPSC_MAGIC);
    uint64_t old = q->producer.published;
    if (q->producer.tail == old)
        return false;
    q->producer.published = q->producer.tail;
    atomic_store_explicit(&q->tail, q->producer.tail, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst);
    q->producer.head_seen = atomic_load_explicit(&q->head, memory_order_acquire);
    // Not equal, the consumer has records older than these before it: it looks again before it
    // sleeps. Greater, it is already taking these, and may have taken all of them and be asleep for
    // good reason.
    return q->producer.head_seen == old;
}

bool
spsc_is_empty(const struct spsc *q)
{
    must_hot(q->magic == SPSC_MAGIC);
    return q->producer.tail == atomic_load_explicit(&q->head, memory_order_acquire);
}

bool
spsc_take(struct spsc *q, struct spsc_record *ret_record)
{
    must_hot(q->magic == SPSC_MAGIC);
    for (;;) {
        if (q->consumer.head == q->consumer.tail_seen) {
            q->consumer.tail_seen = atomic_load_explicit(&q->tail, memory_order_acquire);
            if (q->consumer.head == q->consumer.tail_seen)
                return false;
        }
        const struct header *header = header_at(q, q->consumer.head);
        must_hot(header->kind == KIND_DATA || header->kind == KIND_PAD);
        q->consumer.head += record_bytes(header->len);
        must_hot(q->consumer.head <= q->consumer.tail_seen);
        if (likely(header->kind == KIND_DATA)) {
            *ret_record =
                (struct spsc_record){(const uint8_t *)(header + 1), header->len, header->type};
            return true;
        }
    }
}

void
spsc_release(struct spsc *q)
{
    must_hot(q->magic == SPSC_MAGIC);
    if (q->consumer.head == q->consumer.released)
        return;
    q->consumer.released = q->consumer.head;
    atomic_store_explicit(&q->head, q->consumer.head, memory_order_release);
}

bool
spsc_ready(const struct spsc *q)
{
    // What is taken but not released would hide from the producer that the queue is empty.
    must_hot(q->consumer.released == q->consumer.head);
    atomic_thread_fence(memory_order_seq_cst);
    return atomic_load_explicit(&q->tail, memory_order_acquire) != q->consumer.head;
}
