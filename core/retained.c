// retained.c - the shared store of retained messages.
#include "core/retained.h"

#include <pthread.h>

#include "core/base/list.h"
#include "core/base/mem.h"

#include "core/ptrtab.h"
#include "core/topic.h"

// One topic level. Siblings form a list that walks follow: new ones enter at its head only, and
// none leaves while a walk is open, so a walk may stand on a node across ticks.
struct rnode {
    struct rnode *parent;
    struct ptrtab *_Atomic kids;
    _Atomic(struct rnode *) first; // child
    _Atomic(struct rnode *) next;  // sibling
    struct rnode *prev;            // writer's
    _Atomic(struct msg *) msg;
    struct list expiring; // in store->expiring while msg expires
    struct list emptied;  // in store->emptied while it waits to be pruned
    uint64_t hash;
    uint32_t len;
    uint8_t text[];
};

struct retained {
    struct hash_key key;
    pthread_mutex_t mutex; // writers, and the opening and closing of walks
    struct rnode *root;
    struct list expiring, emptied;
    uint32_t walks;
    _Atomic uint64_t count, bytes, nodes;
};

static void
gauge_add(_Atomic uint64_t *gauge, uint64_t n)
{
    atomic_fetch_add_explicit(gauge, n, memory_order_relaxed);
}

static uint64_t
rnode_hash(const void *object)
{
    return ((const struct rnode *)object)->hash;
}

static struct rnode *
child_of(const struct retained *store, const struct rnode *node, struct slice level)
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
        node = child_of(store, node, level);
    return node;
}

// ---- Nodes, under the mutex
// ---------------------------------------------------------------------------

static struct rnode *
rnode_new(struct retained *store, struct rnode *parent, struct slice level)
{
    struct rnode *node = mem_zalloc(sizeof *node + level.len);
    node->parent = parent;
    node->len = level.len;
    if (level.len > 0)
        memcpy(node->text, level.data, level.len);
    node->hash = hash_bytes(&store->key, level.data, level.len);
    list_init(&node->expiring);
    list_init(&node->emptied);
    gauge_add(&store->nodes, 1);
    return node;
}

static struct rnode *
make(struct retained *store, struct rcu_reader *self, struct slice topic)
{
    struct rnode *node = store->root;
    struct slice level;
    while (topic_next_level(&topic, &level)) {
        struct rnode *child = child_of(store, node, level);
        if (!child) {
            child = rnode_new(store, node, level);
            struct rnode *head = atomic_load(&node->first);
            atomic_store(&child->next, head);
            if (head)
                head->prev = child;
            atomic_store_explicit(&node->first, child, memory_order_release);
            ptrtab_add(&node->kids, self, child->hash, child, rnode_hash);
        }
        node = child;
    }
    return node;
}

static void
unlink_node(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    struct rnode *next = atomic_load(&node->next);
    if (node->prev)
        atomic_store_explicit(&node->prev->next, next, memory_order_release);
    else
        atomic_store_explicit(&node->parent->first, next, memory_order_release);
    if (next)
        next->prev = node->prev;
    ptrtab_remove(&node->parent->kids, self, node->hash, node, rnode_hash);
    list_remove(&node->emptied);
    gauge_add(&store->nodes, (uint64_t)-1);
    // A reader that looks a topic up may stand here until it is quiescent; walks there are none.
    rcu_defer(self, node, mem_free);
}

static void
prune(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    must(store->walks == 0);
    while (node != store->root && !atomic_load(&node->msg) && !atomic_load(&node->first)) {
        struct rnode *parent = node->parent;
        unlink_node(store, self, node);
        node = parent;
    }
}

static void
emptied(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    if (atomic_load(&node->first))
        return;
    if (store->walks == 0)
        prune(store, self, node);
    else if (list_empty(&node->emptied))
        list_push(&store->emptied, &node->emptied);
}

static void
unref(void *msg)
{
    msg_unref(msg);
}

// The store's reference goes after a grace period: a reader that saw the pointer may still take its
// own.
static void
swap_msg(struct retained *store, struct rcu_reader *self, struct rnode *node, struct msg *msg)
{
    struct msg *old = atomic_load(&node->msg);
    if (msg) {
        gauge_add(&store->count, 1);
        gauge_add(&store->bytes, msg_size(msg));
    }
    atomic_store_explicit(&node->msg, msg, memory_order_release);
    list_remove(&node->expiring);
    if (msg && msg->expires_ms)
        list_push(&store->expiring, &node->expiring);
    if (!old)
        return;
    gauge_add(&store->count, (uint64_t)-1);
    gauge_add(&store->bytes, (uint64_t)0 - msg_size(old));
    rcu_defer(self, old, unref);
}

// ---- Setting and clearing
// -------------------------------------------------------------------------------

static bool
fits(const struct retained *store, const struct rnode *node, const struct msg *msg,
     const struct retained_limits *limits)
{
    const struct msg *old = node ? atomic_load(&node->msg) : NULL;
    uint64_t count = atomic_load(&store->count) + (old ? 0 : 1);
    uint64_t bytes = atomic_load(&store->bytes) + msg_size(msg) - (old ? msg_size(old) : 0);
    return (!limits->count_max || count <= limits->count_max) &&
           (!limits->bytes_max || bytes <= limits->bytes_max);
}

err_t
retained_set(struct retained *store, struct rcu_reader *self, struct msg *msg,
             const struct retained_limits *limits)
{
    must(msg->payload_len > 0);
    must(pthread_mutex_lock(&store->mutex) == 0);
    struct rnode *node = find(store, msg_topic(msg));
    bool ok = fits(store, node, msg, limits);
    if (ok) {
        if (!node)
            node = make(store, self, msg_topic(msg));
        list_remove(&node->emptied);
        swap_msg(store, self, node, msg_ref(msg));
    }
    must(pthread_mutex_unlock(&store->mutex) == 0);
    return ok ? OK : ERR_FULL;
}

static void
clear(struct retained *store, struct rcu_reader *self, struct rnode *node)
{
    swap_msg(store, self, node, NULL);
    emptied(store, self, node);
}

bool
retained_clear(struct retained *store, struct rcu_reader *self, struct slice topic)
{
    must(pthread_mutex_lock(&store->mutex) == 0);
    struct rnode *node = find(store, topic);
    bool had = node && atomic_load(&node->msg);
    if (had)
        clear(store, self, node);
    must(pthread_mutex_unlock(&store->mutex) == 0);
    return had;
}

struct msg *
retained_get(struct retained *store, struct slice topic)
{
    const struct rnode *node = find(store, topic);
    return node ? atomic_load_explicit(&node->msg, memory_order_acquire) : NULL;
}

uint32_t
retained_sweep(struct retained *store, struct rcu_reader *self, uint64_t now_ms, uint32_t steps_max)
{
    uint32_t removed = 0;
    must(pthread_mutex_lock(&store->mutex) == 0);
    for (uint32_t i = 0; i < steps_max && !list_empty(&store->expiring); i++) {
        struct rnode *node = container_of(store->expiring.next, struct rnode, expiring);
        const struct msg *msg = atomic_load(&node->msg);
        must(msg && msg->expires_ms);
        list_remove(&node->expiring);
        if (msg->expires_ms <= now_ms) {
            clear(store, self, node);
            removed++;
        } else {
            list_push(&store->expiring, &node->expiring); // looked at again when its turn comes
        }
    }
    must(pthread_mutex_unlock(&store->mutex) == 0);
    return removed;
}

// ---- Walks
// ----------------------------------------------------------------------------------------------

struct frame {
    const struct rnode *cursor; // next node to visit; NULL = this frame is done
    uint32_t level;             // of the filter, that cursor stands for
    bool siblings;              // '+' or '#': go on with the next sibling
    bool all;                   // '#': the whole subtree
};

struct retained_walk {
    struct retained *store;
    uint8_t *filter;
    struct slice *levels;
    uint32_t level_count;
    struct frame *frames;
    uint32_t frame_count, frame_cap;
};

static void
push(struct retained_walk *walk, const struct frame *frame)
{
    if (!frame->cursor)
        return;
    walk->frames =
        mem_grow(walk->frames, &walk->frame_cap, walk->frame_count + 1, sizeof *walk->frames);
    walk->frames[walk->frame_count++] = *frame;
}

static bool
is_level(const struct retained_walk *walk, uint32_t level, char wildcard)
{
    const struct slice *text = &walk->levels[level];
    return text->len == 1 && text->data[0] == (uint8_t)wildcard;
}

// Goes on below node with the filter's level.
static void
descend(struct retained_walk *walk, const struct rnode *node, uint32_t level, bool all)
{
    struct frame frame = {.level = level, .all = all};
    if (all || is_level(walk, level, '#') || is_level(walk, level, '+')) {
        frame.cursor = atomic_load_explicit(&node->first, memory_order_acquire);
        frame.siblings = true;
        frame.all = all || is_level(walk, level, '#');
    } else {
        frame.cursor = child_of(walk->store, node, walk->levels[level]);
    }
    push(walk, &frame);
}

struct retained_walk *
retained_walk_new(struct retained *store, struct slice filter)
{
    struct retained_walk *walk = mem_zalloc(sizeof *walk);
    walk->store = store;
    walk->filter = mem_alloc(filter.len);
    memcpy(walk->filter, filter.data, filter.len);
    struct slice rest = slice_of(walk->filter, filter.len), level;
    uint32_t cap = 0;
    while (topic_next_level(&rest, &level)) {
        walk->levels = mem_grow(walk->levels, &cap, walk->level_count + 1, sizeof *walk->levels);
        walk->levels[walk->level_count++] = level;
    }
    must(pthread_mutex_lock(&store->mutex) == 0);
    store->walks++;
    must(pthread_mutex_unlock(&store->mutex) == 0);
    descend(walk, store->root, 0, false);
    return walk;
}

static bool
is_hidden(const struct retained_walk *walk, const struct rnode *node, const struct frame *frame)
{
    // Topics that begin with $ are not for filters that begin with a wildcard [MQTT-4.7.2-1].
    return frame->siblings && node->parent == walk->store->root && node->len > 0 &&
           node->text[0] == '$';
}

// Visits one node: queues what is below it, returns its message if the filter wants it.
static struct msg *
visit(struct retained_walk *walk)
{
    struct frame *top = &walk->frames[walk->frame_count - 1];
    const struct frame now = *top;
    const struct rnode *node = now.cursor;
    top->cursor = now.siblings ? atomic_load_explicit(&node->next, memory_order_acquire) : NULL;
    if (!top->cursor)
        walk->frame_count--;
    if (is_hidden(walk, node, &now))
        return NULL;
    bool wanted = now.all;
    if (now.all) {
        descend(walk, node, now.level, true);
    } else if (now.level + 1 == walk->level_count) {
        wanted = true;
    } else {
        wanted = is_level(walk, now.level + 1, '#'); // "a/#" is for "a" too
        descend(walk, node, now.level + 1, false);
    }
    return wanted ? atomic_load_explicit(&node->msg, memory_order_acquire) : NULL;
}

struct msg *
retained_walk_next(struct retained_walk *walk, uint32_t steps_max, bool *ret_done)
{
    for (uint32_t i = 0; i < steps_max && walk->frame_count > 0; i++) {
        struct msg *msg = visit(walk);
        if (msg) {
            *ret_done = false;
            return msg_ref(msg); // safe: the caller has not been quiescent since the load
        }
    }
    *ret_done = walk->frame_count == 0;
    return NULL;
}

void
retained_walk_free(struct retained_walk *walk, struct rcu_reader *self)
{
    if (!walk)
        return;
    struct retained *store = walk->store;
    must(pthread_mutex_lock(&store->mutex) == 0);
    must(store->walks > 0);
    store->walks--;
    struct list *node;
    while (store->walks == 0 && (node = list_pop(&store->emptied)) != NULL)
        prune(store, self, container_of(node, struct rnode, emptied));
    must(pthread_mutex_unlock(&store->mutex) == 0);
    mem_free(walk->levels);
    mem_free(walk->frames);
    mem_free(walk->filter);
    mem_free(walk);
}

// ---- The store
// ------------------------------------------------------------------------------------------

struct retained *
retained_new(const struct hash_key *key)
{
    struct retained *store = mem_zalloc(sizeof *store);
    store->key = *key;
    must(pthread_mutex_init(&store->mutex, NULL) == 0);
    list_init(&store->expiring);
    list_init(&store->emptied);
    store->root = rnode_new(store, NULL, (struct slice){0});
    atomic_store(&store->nodes, 0);
    return store;
}

void
retained_free(struct retained *store)
{
    if (!store)
        return;
    must(store->walks == 0);
    struct rnode *node = store->root;
    while (node) {
        struct rnode *child = atomic_load(&node->first);
        if (child) {
            atomic_store(&node->first, atomic_load(&child->next));
            node = child;
            continue;
        }
        struct rnode *parent = node->parent;
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
