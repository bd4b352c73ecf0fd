// rcu.c - quiescent-state-based reclamation with one epoch counter, in C11 atomics.
//
// Why not a library: ThreadSanitizer understands C11 atomics, so the code that ships is the code it
// checks; there is no registry lock for a late reader to hold; and frees run on the thread that
// deferred them, so the memory goes back to that thread's cache and no callback crosses threads.
//
// The state that threads share: `epoch`, which only grows, and for each reader a word `seen`:
//   0  it is offline and holds no references;
//   e  it holds no reference to anything that was unlinked before the epoch became e.
//
// Why nothing is freed too early. Let W unlink p, defer it, and later seal it: W increments the
// epoch (acquire-release) and stamps p with the result e. W frees p after a scan, in which each
// reader R's word was e or more, or 0 (or R's slot was not there yet).
// 1. R's word was v >= e. R stored it after it loaded v from `epoch` (acquire). All changes of
// `epoch`
//    are read-modify-writes, so they form one release sequence and this load synchronises with W's
//    increment: the unlinking happened before everything that R does from there on, and R cannot
//    find p any more. What R did with p before is sequenced before its store (release), which W's
//    load (acquire) read: it happened before the free.
// 2. R's word was 0. What R did with p before going offline happened before the free, as in 1. R
//    comes back by { store seen; FENCE; read pointers }, W scans by { unlink; FENCE; load seen },
//    both fences seq_cst and so ordered. R's first: W would have seen R's new word, not 0. So W's
//    was first, and then R's reads behind its own fence see the unlinking.
// 3. R's slot was not counted yet. Registering is { raise slots_used; store seen; FENCE; read }:
// as 2. A store is skipped when the word holds the epoch already: the claim "nothing unlinked
// before e" does not become less true.
#include "core/base/rcu.h"

#include <stdatomic.h>
#include <time.h>

#include "core/base/mem.h"

#define RCU_MAGIC    0x52435552u
#define READER_MAGIC 0x52434452u
#define SEEN_OFFLINE 0
#define EPOCH_FIRST  1
// Frees in one quiescent call, so that a tick is not stalled by them...
#define FREES_MIN 256
// ...and the share of a backlog that is freed beyond this, so that the backlog is bounded by 16
// times what one tick defers, however much that is.
#define BACKLOG_SHARE 16
#define QUEUE_FIRST   64
// An empty queue above this size is given back: a burst should not be paid for until the end.
#define QUEUE_KEEP        4096
#define UNREGISTER_NAP_NS 50000

struct slot {
    CACHE_ALIGNED _Atomic uint64_t seen; // written by its reader, read by all
    atomic_bool taken;
};

// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): the padding keeps writers apart
struct rcu {
    uint32_t magic;
    _Atomic uint32_t slots_used; // slots from here on were never taken
    CACHE_ALIGNED _Atomic uint64_t epoch;
    struct slot slot[RCU_READERS_MAX];
};

struct deferred {
    void *p;
    void (*fn)(void *p);
    uint64_t epoch; // set by seal
};

// All of it is its thread's own.
struct rcu_reader {
    uint32_t magic;
    bool reclaiming;
    const char *thread; // the address of a thread-local variable names its thread
    struct rcu *rcu;
    struct slot *slot;
    uint64_t seen; // what slot->seen holds
    uint64_t safe; // own entries sealed up to this epoch may be freed
    // A ring of cap entries, a power of two or 0. Positions: head <= sealed <= tail.
    struct deferred *queue;
    uint64_t cap, head, sealed, tail;
};

static const char *
this_thread(void)
{
    static _Thread_local char here;
    return &here;
}

static inline void
check_reader(const struct rcu_reader *self)
{
    must_hot(self->magic == READER_MAGIC);
    must_hot(self->thread == this_thread());
}

struct rcu *
rcu_new(void)
{
    struct rcu *rcu = mem_alloc_aligned(CACHE_LINE, sizeof(*rcu));
    atomic_init(&rcu->epoch, EPOCH_FIRST);
    atomic_init(&rcu->slots_used, 0);
    for (size_t i = 0; i < RCU_READERS_MAX; i++) {
        atomic_init(&rcu->slot[i].seen, SEEN_OFFLINE);
        atomic_init(&rcu->slot[i].taken, false);
    }
    rcu->magic = RCU_MAGIC;
    return rcu;
}

void
rcu_free(struct rcu *rcu)
{
    if (rcu == NULL)
        return;
    must(rcu->magic == RCU_MAGIC);
    for (size_t i = 0; i < RCU_READERS_MAX; i++)
        must(!atomic_load(&rcu->slot[i].taken));
    rcu->magic = 0;
    mem_free(rcu);
}

// A slot that was given back is taken again before a new one is: scans stay short.
static struct slot *
take_slot(struct rcu *rcu)
{
    uint32_t i;
    for (i = 0; i < RCU_READERS_MAX; i++)
        if (!atomic_exchange_explicit(&rcu->slot[i].taken, true, memory_order_acquire))
            break;
    must(i < RCU_READERS_MAX);
    uint32_t used = atomic_load_explicit(&rcu->slots_used, memory_order_relaxed);
    while (used < i + 1)
        if (atomic_compare_exchange_weak_explicit(&rcu->slots_used, &used, i + 1,
                                                  memory_order_acq_rel, memory_order_relaxed))
            break;
    return &rcu->slot[i];
}

struct rcu_reader *
rcu_register(struct rcu *rcu)
{
    must(rcu != NULL && rcu->magic == RCU_MAGIC);
    struct rcu_reader *self = mem_alloc_aligned(CACHE_LINE, sizeof(*self));
    self->magic = READER_MAGIC;
    self->thread = this_thread();
    self->rcu = rcu;
    self->slot = take_slot(rcu);
    self->seen = SEEN_OFFLINE;
    rcu_online(self);
    return self;
}

void
rcu_online(struct rcu_reader *self)
{
    check_reader(self);
    must_hot(self->seen == SEEN_OFFLINE);
    self->seen = atomic_load_explicit(&self->rcu->epoch, memory_order_acquire);
    atomic_store_explicit(&self->slot->seen, self->seen, memory_order_release);
    atomic_thread_fence(memory_order_seq_cst); // proof, 2
}

void
rcu_offline(struct rcu_reader *self)
{
    check_reader(self);
    must_hot(self->seen != SEEN_OFFLINE);
    self->seen = SEEN_OFFLINE;
    atomic_store_explicit(&self->slot->seen, SEEN_OFFLINE, memory_order_release);
}

void
rcu_move_here(struct rcu_reader *self)
{
    must_hot(self->magic == READER_MAGIC && self->seen == SEEN_OFFLINE);
    self->thread = this_thread();
}

// Starts the grace period of all that was deferred since the last time: one increment for all.
static void
seal(struct rcu_reader *self)
{
    if (self->sealed == self->tail)
        return;
    uint64_t epoch = atomic_fetch_add_explicit(&self->rcu->epoch, 1, memory_order_acq_rel) + 1;
    must_hot(epoch > self->safe);
    while (self->sealed != self->tail)
        self->queue[self->sealed++ & (self->cap - 1)].epoch = epoch;
}

// Looks whether all readers have come past epoch, and then remembers how far they have come.
static void
scan(struct rcu_reader *self, uint64_t epoch)
{
    struct rcu *rcu = self->rcu;
    // Not beyond now: that a reader is offline says nothing about what will be unlinked later.
    uint64_t safe = atomic_load_explicit(&rcu->epoch, memory_order_acquire);
    atomic_thread_fence(memory_order_seq_cst); // proof, 2 and 3
    uint32_t used = atomic_load_explicit(&rcu->slots_used, memory_order_acquire);
    must_hot(used <= RCU_READERS_MAX);
    for (uint32_t i = 0; i < used; i++) {
        uint64_t seen = atomic_load_explicit(&rcu->slot[i].seen, memory_order_acquire);
        if (seen == SEEN_OFFLINE)
            continue;
        if (seen < epoch)
            return;
        safe = min_u64(safe, seen);
    }
    must_hot(safe >= self->safe);
    self->safe = safe;
}

// Frees sealed entries whose grace period is over; needs at least one sealed entry.
static void
reclaim(struct rcu_reader *self)
{
    must_hot(self->head < self->sealed);
    uint64_t oldest = self->queue[self->head & (self->cap - 1)].epoch;
    if (oldest > self->safe)
        scan(self, oldest);

    uint64_t budget = max_u64(FREES_MIN, (self->sealed - self->head) / BACKLOG_SHARE);
    uint64_t end = min_u64(self->sealed, self->head + budget);
    self->reclaiming = true;
    while (self->head != end) {
        // A copy: fn may defer more, and so move the queue.
        struct deferred entry = self->queue[self->head & (self->cap - 1)];
        if (entry.epoch > self->safe)
            break;
        self->head++;
        entry.fn(entry.p);
    }
    self->reclaiming = false;

    if (self->head == self->tail && self->cap > QUEUE_KEEP) {
        mem_free(self->queue);
        self->queue = NULL;
        self->cap = 0;
    }
}

void
rcu_quiescent(struct rcu_reader *self)
{
    check_reader(self);
    must_hot(self->seen != SEEN_OFFLINE && !self->reclaiming);
    seal(self);
    uint64_t epoch = atomic_load_explicit(&self->rcu->epoch, memory_order_acquire);
    if (epoch != self->seen) {
        self->seen = epoch;
        atomic_store_explicit(&self->slot->seen, epoch, memory_order_release);
    }
    if (self->head != self->sealed)
        reclaim(self);
}

static void
grow_queue(struct rcu_reader *self)
{
    uint64_t cap = max_u64(self->cap * 2, QUEUE_FIRST);
    struct deferred *queue = mem_alloc(cap * sizeof(*queue));
    for (uint64_t i = self->head; i != self->tail; i++)
        queue[i & (cap - 1)] = self->queue[i & (self->cap - 1)];
    mem_free(self->queue);
    self->queue = queue;
    self->cap = cap;
}

void
rcu_defer(struct rcu_reader *self, void *p, void (*fn)(void *p))
{
    check_reader(self);
    must_hot(p != NULL && fn != NULL);
    if (self->tail - self->head == self->cap)
        grow_queue(self);
    self->queue[self->tail++ & (self->cap - 1)] = (struct deferred){p, fn, 0};
}

size_t
rcu_deferred(const struct rcu_reader *self)
{
    return (size_t)(self->tail - self->head);
}

void
rcu_assert_online(const struct rcu_reader *self)
{
    check_reader(self);
    must_hot(self->seen != SEEN_OFFLINE);
}

void
rcu_unregister(struct rcu_reader *self)
{
    check_reader(self);
    must(!self->reclaiming);
    if (self->seen != SEEN_OFFLINE)
        rcu_offline(self);
    while (self->head != self->tail) {
        seal(self);
        uint64_t before = self->head;
        reclaim(self);
        if (self->head == before)
            (void)nanosleep(&(struct timespec){.tv_nsec = UNREGISTER_NAP_NS}, NULL);
    }
    mem_free(self->queue);
    // Release: the next owner of the slot, by its acquire, stores its word after our last one.
    atomic_store_explicit(&self->slot->taken, false, memory_order_release);
    self->magic = 0;
    mem_free(self);
}
