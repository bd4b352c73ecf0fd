// retained.c - the shared store of retained messages: setting, clearing, looking up.
//
// Writers hold the mutex, with one exception: replacing a message that does not expire by another
// one is a compare-and-exchange on the node (replace). It relies on this: whatever changes the
// structure or a list (setting a first message, clearing, pruning, expiry) goes through the mutex
// and leaves or finds a message of NULL or one that expires, which replace does not touch. So under
// the mutex a node's message may still change, but only from one that does not expire to another.
//
// What a reader may meet, and when that ends: as in trie.c. A message's reference of the store is
// dropped after a grace period, so that a reader that has just loaded the pointer can take its own.
#include "core/retained.h"

#include "core/base/mem.h"

#include "core/retained_nodes.h"
#include "core/topic.h"

// How many emptied nodes a writer looks at on its way. It adds at most one, so the list does not
// grow beyond the nodes that walks stand on. A sweep, which comes regularly, looks at more.
#define TEND_STEPS       2u
#define TEND_STEPS_SWEEP 64u

void
retained_lock(struct retained *store)
{
    must(pthread_mutex_lock(&store->mutex) == 0);
}

void
retained_unlock(struct retained *store)
{
    must(pthread_mutex_unlock(&store->mutex) == 0);
}

static void
gauge_add(_Atomic uint64_t *gauge, uint64_t n)
{
    atomic_fetch_add_explicit(gauge, n, memory_order_relaxed);
}

// ---- Look-up --------------------------------------------------------------------------------

static uint64_t
rnode_hash(const void *object, const void *arg)
{
    (void)arg;
    return ((const struct rnode *)object)->hash;
}

struct rnode *
rnode_child(const struct retained *store, const struct rnode *node, struct slice level)
{
    uint64_t hash = hash_bytes(&store->key, level.data, level.len), pos = hash;
    const struct ptrtab *kids = atomic_load_explicit(&node->kids, memory_order_acquire);
    struct rnode *child;
    while ((child = ptrtab_probe(kids, hash, &pos)) != NULL)
        if (child->hash == hash && slice_equal(slice_of(child->text, child->len), level))
            return child;
    return NULL;
}

static struct rnode *
find(const struct retained *store, struct slice topic)
{
    struct rnode *node = store->root;
    struct slice level;
    while (node && topic_next_level(&topic, &level))
        node = rnode_child(store, node, level);
    return node;
}

struct msg *
retained_get(struct retained *store, struct slice topic)
{
    const struct rnode *node = find(store, topic);
    return node ? atomic_load_explicit(&node->msg, memory_order_acquire) : NULL;
}

// ---- Nodes, under the mutex -----------------------------------------------------------------

static struct rnode *
rnode_new(const struct retained *store, struct rnode *parent, struct slice level)
{
    struct rnode *node = mem_zalloc(sizeof *node + level.len);
    node->parent = parent;
    node->len = level.len;
    if (level.len > 0)
        memcpy(node->text, level.data, level.len);
    node->hash = hash_bytes(&store->key, level.data, level.len);
    list_init(&node->queued);
    return node;
}

static struct rnode *
child_add(struct retained *store, struct rcu_reader *self, struct rnode *parent, struct slice level)
{
    struct rnode *child = rnode_new(store, parent, level);
    struct rnode *head = atomic_load_explicit(&parent->first, memory_order_relaxed);
    atomic_store_explicit(&child->next, head, memory_order_relaxed);
    if (head)
        head->prev = child;
    atomic_store_explicit(&parent->first, child, memory_order_release);
    ptrtab_add(&parent->kids, self, child->hash, child, rnode_hash, NULL);
    gauge_add(&store->nodes, 1);
    return child;
}

static struct rnode *
make(struct retained *store, struct rcu_reader *self, struct slice topic)
{
    struct rnode *node = store->root;
    struct slice level;
    uint32_t depth = 0;
    while (topic_next_level(&topic, &level)) {
        depth++;
        must_hot(depth <= TOPIC_LEVELS_MAX);
        struct rnode *child = rnode_child(store, node, level);
        node = child ? child : child_add(store, self, node, level);
    }
    return node;
}

static void
unlink_node(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    struct rnode *next = atomic_load_explicit(&node->next, memory_order_relaxed);
    // Its own next stays: a reader that stands on it goes on from there.
    if (node->prev)
        atomic_store_explicit(&node->prev->next, next, memory_order_release);
    else
        atomic_store_explicit(&node->parent->first, next, memory_order_release);
    if (next)
        next->prev = node->prev;
    ptrtab_remove(&node->parent->kids, self, node->hash, node, rnode_hash, NULL);
    list_remove(&node->queued);
    gauge_add(&store->nodes, (uint64_t)-1);
    rcu_defer(self, node, mem_free);
}

void
rnode_prune(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    while (node != store->root && !atomic_load_explicit(&node->msg, memory_order_relaxed) &&
           !atomic_load_explicit(&node->first, memory_order_relaxed)) {
        uint32_t none = 0;
        if (!atomic_compare_exchange_strong_explicit(&node->pins, &none, PINS_DEAD,
                                                     memory_order_acq_rel, memory_order_relaxed)) {
            list_remove(&node->queued);
            list_push(&store->emptied, &node->queued);
            return;
        }
        struct rnode *parent = node->parent;
        unlink_node(store, self, node);
        node = parent;
    }
}

// Prunes nodes that walks have left in the meantime. One that got a child is pruned with it, later.
static void
tend(struct retained *store, struct rcu_reader *self, uint32_t steps)
{
    for (uint32_t i = 0; i < steps && !list_empty(&store->emptied); i++)
        rnode_prune(store, self, container_of(list_pop(&store->emptied), struct rnode, queued));
}

// ---- Setting and clearing -------------------------------------------------------------------

static void
unref(void *msg)
{
    msg_unref(msg);
}

// Counts msg, which is to take the place of old (or of none: NULL). False when that leads beyond a
// limit; what makes the store smaller is always right, also when the limit was lowered meanwhile.
// Until old is uncounted both count: a moment's strictness, but the sum never falls below the truth
// and so never below zero.
static bool
reserve(struct retained *store, const struct msg *msg, const struct msg *old,
        const struct retained_limits *limits)
{
    uint64_t count_max = limits->count_max ? limits->count_max : UINT64_MAX;
    uint64_t bytes_max = limits->bytes_max ? limits->bytes_max : UINT64_MAX;
    uint64_t more = msg_size(msg), less = old ? msg_size(old) : 0;
    if (!old && atomic_load_explicit(&store->count, memory_order_relaxed) >= count_max)
        return false; // exact: it changes under the mutex only, as does NULL
    uint64_t bytes = atomic_load_explicit(&store->bytes, memory_order_relaxed);
    do {
        if (more > less && bytes + (more - less) > bytes_max)
            return false;
    } while (!atomic_compare_exchange_weak_explicit(&store->bytes, &bytes, bytes + more,
                                                    memory_order_relaxed, memory_order_relaxed));
    if (!old)
        gauge_add(&store->count, 1);
    return true;
}

static void
uncount_bytes(struct retained *store, const struct msg *msg)
{
    gauge_add(&store->bytes, (uint64_t)0 - msg_size(msg));
}

// Taken after the present message was looked at, and good if that is still there when it is
// exchanged: then whoever put it there took an earlier one, and whoever replaces ours, a later one.
static uint64_t
next_order(struct retained *store)
{
    return atomic_fetch_add_explicit(&store->next_order, 1, memory_order_relaxed);
}

// Puts msg, which is counted, in the place of old, if old is still there; else uncounts it.
static bool
exchange(struct retained *store, struct rcu_reader *self, struct rnode *node, struct msg *old,
         struct msg *msg)
{
    struct msg *expected = old;
    msg->order = next_order(store);
    if (!atomic_compare_exchange_strong_explicit(&node->msg, &expected, msg, memory_order_acq_rel,
                                                 memory_order_relaxed)) {
        must(old); // NULL changes under the mutex only, and nobody came here without it
        uncount_bytes(store, msg);
        return false;
    }
    if (old) {
        uncount_bytes(store, old);
        rcu_defer(self, old, unref);
    }
    return true;
}

// Without the mutex: false when that is not possible, and nothing happened. old cannot be freed,
// nor its address be used again, before the caller is quiescent: finding it there means that it was
// there all the time. A node with a message is linked, so the new one is found by whoever looks.
static bool
replace(struct retained *store, struct rcu_reader *self, struct msg *msg,
        const struct retained_limits *limits)
{
    struct rnode *node = find(store, msg_topic(msg));
    struct msg *old = node ? atomic_load_explicit(&node->msg, memory_order_acquire) : NULL;
    return old && !old->expires_ms && !msg->expires_ms && reserve(store, msg, old, limits) &&
           exchange(store, self, node, old, msg);
}

static bool
set(struct retained *store, struct rcu_reader *self, struct msg *msg,
    const struct retained_limits *limits)
{
    struct rnode *node = make(store, self, msg_topic(msg));
    struct msg *old;
    do { // once more for each thread that replaced it in between
        old = atomic_load_explicit(&node->msg, memory_order_acquire);
        if (!reserve(store, msg, old, limits)) {
            rnode_prune(store, self, node); // it may have been made for nothing
            return false;
        }
    } while (!exchange(store, self, node, old, msg));
    list_remove(&node->queued);
    if (msg->expires_ms)
        list_push(&store->expiring, &node->queued);
    return true;
}

err_t
retained_set(struct retained *store, struct rcu_reader *self, struct msg *msg,
             const struct retained_limits *limits)
{
    must(msg->payload_len > 0 && msg->topic_len > 0);
    rcu_assert_online(self);
    (void)msg_share(msg);
    if (replace(store, self, msg, limits))
        return OK;
    retained_lock(store);
    tend(store, self, TEND_STEPS);
    bool ok = set(store, self, msg, limits);
    retained_unlock(store);
    if (!ok)
        msg_unref(msg);
    return ok ? OK : ERR_FULL;
}

// The node's message goes; false when it had none.
static bool
clear(struct retained *store, struct rcu_reader *self, struct rnode *node, uint64_t *ret_order)
{
    struct msg *old = atomic_load_explicit(&node->msg, memory_order_acquire);
    do { // once more for each thread that replaced it in between
        if (!old)
            return false;
        *ret_order = next_order(store);
    } while (!atomic_compare_exchange_strong_explicit(&node->msg, &old, NULL, memory_order_acq_rel,
                                                      memory_order_acquire));
    list_remove(&node->queued);
    gauge_add(&store->count, (uint64_t)-1);
    uncount_bytes(store, old);
    rcu_defer(self, old, unref);
    rnode_prune(store, self, node);
    return true;
}

bool
retained_clear(struct retained *store, struct rcu_reader *self, struct slice topic,
               uint64_t *ret_order)
{
    rcu_assert_online(self);
    if (!retained_get(store, topic)) // most that are cleared were never set
        return false;
    retained_lock(store);
    tend(store, self, TEND_STEPS);
    struct rnode *node = find(store, topic);
    bool had = node && clear(store, self, node, ret_order);
    retained_unlock(store);
    return had;
}

uint64_t
retained_take_order(struct retained *store)
{
    return next_order(store);
}

void
retained_set_next_order(struct retained *store, uint64_t order)
{
    atomic_store(&store->next_order, order);
}

uint32_t
retained_sweep(struct retained *store, struct rcu_reader *self, uint64_t now_ms, uint32_t steps_max,
               void (*gone)(void *arg, struct slice topic, uint64_t order), void *arg)
{
    uint32_t removed = 0;
    rcu_assert_online(self);
    retained_lock(store);
    tend(store, self, TEND_STEPS_SWEEP);
    for (uint32_t i = 0; i < steps_max && !list_empty(&store->expiring); i++) {
        struct rnode *node = container_of(list_pop(&store->expiring), struct rnode, queued);
        const struct msg *msg = atomic_load_explicit(&node->msg, memory_order_acquire);
        must(msg && msg->expires_ms);
        uint64_t order;
        if (msg->expires_ms > now_ms) {
            list_push(&store->expiring, &node->queued); // looked at again when its turn comes
        } else if (clear(store, self, node, &order)) {
            removed++;
            if (gone) // the message itself stays in memory for a grace period
                gone(arg, msg_topic(msg), order);
        }
    }
    retained_unlock(store);
    return removed;
}

// ---- The store ------------------------------------------------------------------------------

struct retained *
retained_new(const struct hash_key *key)
{
    struct retained *store = mem_zalloc(sizeof *store);
    store->key = *key;
    atomic_init(&store->next_order, 1);
    must(pthread_mutex_init(&store->mutex, NULL) == 0);
    list_init(&store->expiring);
    list_init(&store->emptied);
    store->root = rnode_new(store, NULL, (struct slice){0});
    return store;
}

void
retained_free(struct retained *store)
{
    if (!store)
        return;
    must(atomic_load(&store->walks) == 0);
    struct rnode *node = store->root;
    while (node) {
        struct rnode *child = atomic_load(&node->first);
        if (child) {
            atomic_store(&node->first, atomic_load(&child->next));
            node = child;
            continue;
        }
        struct rnode *parent = node->parent;
        must(atomic_load(&node->pins) == 0);
        msg_unref(atomic_load(&node->msg));
        mem_free(atomic_load(&node->kids));
        mem_free(node);
        node = parent;
    }
    must(pthread_mutex_destroy(&store->mutex) == 0);
    mem_free(store);
}

void
retained_stats(const struct retained *store, struct retained_stats *ret)
{
    *ret = (struct retained_stats){
        .count = atomic_load_explicit(&store->count, memory_order_relaxed),
        .bytes = atomic_load_explicit(&store->bytes, memory_order_relaxed),
        .nodes = atomic_load_explicit(&store->nodes, memory_order_relaxed),
    };
}
