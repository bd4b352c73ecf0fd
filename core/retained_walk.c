// retained_walk.c - all retained messages that match a filter, in steps.
//
// A walk may rest for as long as its client does not read. It stands on one node for each level at
// most, and pins these: a pinned node stays linked, and so do those above it, as they have a child.
// Everything else comes and goes as if there were no walk.
//
// Going on from a pinned node, within one tick. Its `next` is a sibling that was linked when the
// pointer was loaded. If that is dead by now, it was unlinked after this tick began, and its own
// `next` leads to a sibling that was linked then. So the chain of dead nodes is in memory until
// this thread is quiescent, and ends at a live node or at NULL; no live one is left out, as nodes
// enter the list at its head only.
#include "core/base/mem.h"

#include "core/retained_nodes.h"
#include "core/topic.h"

struct frame {
    struct rnode *cursor; // the next node to visit, pinned
    uint32_t level;       // of the filter, that cursor stands for
    bool siblings;        // '+' or '#': go on with the next sibling
    bool all;             // '#': the whole subtree
};

struct retained_walk {
    struct retained *store;
    uint8_t *filter;
    struct slice *levels;
    uint32_t level_count;
    struct frame *frames;
    uint32_t frame_count, frame_cap;
};

// The first node from here on that could be pinned, or NULL.
static struct rnode *
pin_from(struct rnode *node)
{
    while (node && !rnode_pin(node))
        node = atomic_load_explicit(&node->next, memory_order_acquire);
    return node;
}

static bool
is_level(const struct retained_walk *walk, uint32_t level, char wildcard)
{
    must_hot(level < walk->level_count);
    const struct slice *text = &walk->levels[level];
    return text->len == 1 && text->data[0] == (uint8_t)wildcard;
}

// Goes on below node with the filter's level.
static void
descend(struct retained_walk *walk, const struct rnode *node, uint32_t level, bool all)
{
    struct frame frame = {.level = level, .all = all || is_level(walk, level, '#')};
    frame.siblings = frame.all || is_level(walk, level, '+');
    if (frame.siblings) {
        frame.cursor = pin_from(atomic_load_explicit(&node->first, memory_order_acquire));
    } else {
        struct rnode *child = rnode_child(walk->store, node, walk->levels[level]);
        frame.cursor = child && rnode_pin(child) ? child : NULL;
    }
    if (!frame.cursor)
        return;
    // One frame for each level of the topics, that is for each of the tree.
    must_hot(walk->frame_count < TOPIC_LEVELS_MAX);
    walk->frames =
        mem_grow(walk->frames, &walk->frame_cap, walk->frame_count + 1, sizeof *walk->frames);
    walk->frames[walk->frame_count++] = frame;
}

struct retained_walk *
retained_walk_new(struct retained *store, struct slice filter)
{
    must(filter.len > 0);
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
    must(walk->level_count <= TOPIC_LEVELS_MAX);
    atomic_fetch_add_explicit(&store->walks, 1, memory_order_relaxed);
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

// Goes below node, which frame stood on. Returns its message if the filter wants it.
static struct msg *
visit(struct retained_walk *walk, const struct rnode *node, const struct frame *frame)
{
    bool wanted = true;
    if (is_hidden(walk, node, frame))
        return NULL;
    if (frame->all) {
        descend(walk, node, frame->level, true);
    } else if (frame->level + 1 < walk->level_count) {
        wanted = is_level(walk, frame->level + 1, '#'); // "a/#" is for "a" too
        descend(walk, node, frame->level + 1, false);
    }
    return wanted ? atomic_load_explicit(&node->msg, memory_order_acquire) : NULL;
}

static struct msg *
step(struct retained_walk *walk)
{
    struct frame *top = &walk->frames[walk->frame_count - 1];
    const struct frame now = *top; // what is visited may move the frames
    if (now.siblings)
        top->cursor = pin_from(atomic_load_explicit(&now.cursor->next, memory_order_acquire));
    if (!now.siblings || !top->cursor)
        walk->frame_count--;
    struct msg *msg = visit(walk, now.cursor, &now);
    // If the node was emptied meanwhile, some writer after this prunes it (tend).
    rnode_unpin(now.cursor);
    return msg;
}

struct msg *
retained_walk_next(struct retained_walk *walk, uint32_t steps_max, bool *ret_done)
{
    must(steps_max > 0);
    for (uint32_t i = 0; i < steps_max && walk->frame_count > 0; i++) {
        struct msg *msg = step(walk);
        if (msg) {
            *ret_done = false;
            return msg_ref(msg); // the caller has not been quiescent since the load
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
    rcu_assert_online(self);
    if (walk->frame_count > 0) {
        retained_lock(store);
        for (uint32_t i = 0; i < walk->frame_count; i++) {
            struct rnode *node = walk->frames[i].cursor;
            rnode_unpin(node); // still linked: unlinking takes the mutex
            rnode_prune(store, self, node);
        }
        retained_unlock(store);
    }
    atomic_fetch_sub_explicit(&store->walks, 1, memory_order_relaxed);
    mem_free(walk->levels);
    mem_free(walk->frames);
    mem_free(walk->filter);
    mem_free(walk);
}
