// trie_remote.c - what other nodes want: filters in the trie of which only fingerprints are kept.
//
// The fingerprint of a filter: the keys of its literal levels (trie_nodes.h), one folded into the
// next, and its shape's number. So a match, which has the keys of the topic's levels already, goes
// through no text; and topics are told from each other by the broker's own secret key.
//
// What a reader may meet: shapes and nodes are in place before an entry that needs them, and the
// version moves after it, as with other filters (trie.c). A shape's number may be used again: then
// what was looked up for the old shape may meet the new one's, which is one more false fingerprint.
#include "core/trie_remote.h"

#include "core/base/mem.h"

#include "core/topic.h"
#include "core/trie_nodes.h"
#include "core/trie_remote_match.h"

#define PLUS_MAX 64u // levels that may be '+': a bit for each

struct shape {
    uint64_t plus;   // bit i: level i is '+'
    uint16_t levels; // without '#'
    bool multi;      // then '#'
    bool exact;      // no wildcard, any number of levels: both above are 0
    uint8_t number;  // of it
};

struct shapes {
    uint32_t count;
    struct shape shapes[];
};

struct remotes {
    struct prints *prints;
    _Atomic(struct shapes *) shapes; // NULL: there are none
    _Atomic(struct filter *) nodes[TRIE_REMOTES_MAX];
    uint32_t counts[TRIE_REMOTES_MAX];        // filters of each
    uint32_t shape_counts[REMOTE_SHAPES_MAX]; // filters of all nodes
};

static struct remotes *
remotes_of(const struct trie *trie)
{
    struct remotes *remotes = atomic_load_explicit(&trie->remotes, memory_order_relaxed);
    must(remotes);
    return remotes;
}

static void
lock(struct trie *trie)
{
    must(pthread_mutex_lock(&trie->mutex) == 0);
}

static void
unlock(struct trie *trie)
{
    must(pthread_mutex_unlock(&trie->mutex) == 0);
}

// ---- Fingerprints -------------------------------------------------------------------------------

static inline uint64_t
fold_level(const struct trie *trie, uint64_t hash, uint64_t key)
{
    return hash_u64(&trie->key, hash ^ key);
}

// Filters that differ in shape alone are not to be neighbours.
static inline uint64_t
print_hash(uint64_t hash, unsigned shape)
{
    return hash ^ (shape + 1) * UINT64_C(0x9e3779b97f4a7c15);
}

// Its shape, but for the number, and what its literal levels make. False: too deep.
static bool
take_apart(const struct trie *trie, struct slice text, struct shape *ret, uint64_t *ret_hash)
{
    struct slice level;
    uint64_t hash = 0;
    *ret = (struct shape){.exact = true};
    for (uint32_t i = 0; topic_next_level(&text, &level); i++) {
        if (level_is(level, '#')) {
            ret->multi = true;
            break;
        }
        bool plus = level_is(level, '+');
        if (plus && i >= PLUS_MAX)
            return false;
        if (plus)
            ret->plus |= UINT64_C(1) << i;
        else
            hash = fold_level(trie, hash, trie_key(trie, level));
        ret->levels++;
    }
    ret->exact = !ret->multi && ret->plus == 0;
    if (ret->exact)
        ret->levels = 0;
    *ret_hash = hash;
    return true;
}

static bool
shape_equal(const struct shape *a, const struct shape *b)
{
    return a->plus == b->plus && a->levels == b->levels && a->multi == b->multi &&
           a->exact == b->exact;
}

// Fills in its number. False: there is no such shape yet.
static bool
shape_find(const struct remotes *remotes, struct shape *shape)
{
    const struct shapes *shapes = atomic_load_explicit(&remotes->shapes, memory_order_relaxed);
    for (uint32_t i = 0; shapes && i < shapes->count; i++)
        if (shape_equal(&shapes->shapes[i], shape)) {
            shape->number = shapes->shapes[i].number;
            return true;
        }
    return false;
}

static void
shapes_replace(struct remotes *remotes, struct rcu_reader *self, struct shapes *shapes)
{
    struct shapes *old = atomic_load_explicit(&remotes->shapes, memory_order_relaxed);
    atomic_store_explicit(&remotes->shapes, shapes, memory_order_release);
    if (old)
        rcu_defer(self, old, mem_free);
}

// Gives it a number. False: all are taken.
static bool
shape_add(struct remotes *remotes, struct rcu_reader *self, struct shape *shape)
{
    const struct shapes *old = atomic_load_explicit(&remotes->shapes, memory_order_relaxed);
    uint32_t count = old ? old->count : 0, number = 0;
    while (number < REMOTE_SHAPES_MAX && remotes->shape_counts[number] > 0)
        number++;
    if (number == REMOTE_SHAPES_MAX)
        return false;
    shape->number = (uint8_t)number;
    struct shapes *shapes = mem_alloc(sizeof *shapes + (count + 1) * sizeof shapes->shapes[0]);
    shapes->count = count + 1;
    if (count > 0)
        memcpy(shapes->shapes, old->shapes, count * sizeof shapes->shapes[0]);
    shapes->shapes[count] = *shape;
    shapes_replace(remotes, self, shapes);
    return true;
}

static void
shape_drop(struct remotes *remotes, struct rcu_reader *self, uint8_t number)
{
    const struct shapes *old = atomic_load_explicit(&remotes->shapes, memory_order_relaxed);
    must(old && old->count > 0);
    struct shapes *shapes = NULL;
    if (old->count > 1) {
        shapes = mem_zalloc(sizeof *shapes + old->count * sizeof shapes->shapes[0]);
        for (uint32_t i = 0; i < old->count; i++)
            if (old->shapes[i].number != number)
                shapes->shapes[shapes->count++] = old->shapes[i];
        must(shapes->count == old->count - 1);
    }
    shapes_replace(remotes, self, shapes);
}

// ---- Nodes --------------------------------------------------------------------------------------

err_t
trie_remote_open(struct trie *trie, struct trie_handle handle, unsigned *ret_remote)
{
    lock(trie);
    struct remotes *remotes = atomic_load_explicit(&trie->remotes, memory_order_relaxed);
    if (!remotes) {
        remotes = mem_zalloc(sizeof *remotes);
        remotes->prints = prints_new();
        atomic_store_explicit(&trie->remotes, remotes, memory_order_release);
    }
    unsigned i = 0;
    while (i < TRIE_REMOTES_MAX && atomic_load_explicit(&remotes->nodes[i], memory_order_relaxed))
        i++;
    if (i < TRIE_REMOTES_MAX) {
        must(remotes->counts[i] == 0);
        atomic_store_explicit(&remotes->nodes[i], trie_ordinary(trie, handle),
                              memory_order_release);
        *ret_remote = i;
    }
    unlock(trie);
    return i < TRIE_REMOTES_MAX ? OK : ERR_FULL;
}

// Its filter goes after this, after a grace period: who has found the node is in a tick.
void
trie_remote_close(struct trie *trie, unsigned remote)
{
    lock(trie);
    struct remotes *remotes = remotes_of(trie);
    must(remote < TRIE_REMOTES_MAX && remotes->counts[remote] == 0);
    atomic_store_explicit(&remotes->nodes[remote], NULL, memory_order_release);
    unlock(trie);
}

uint32_t
trie_remote_count(struct trie *trie, unsigned remote)
{
    must(remote < TRIE_REMOTES_MAX);
    lock(trie);
    uint32_t count = remotes_of(trie)->counts[remote];
    unlock(trie);
    return count;
}

void
trie_remote_free(struct trie *trie)
{
    struct remotes *remotes = atomic_load(&trie->remotes);
    if (!remotes)
        return;
    mem_free(atomic_load(&remotes->shapes));
    prints_free(remotes->prints);
    mem_free(remotes);
}

// ---- Filters ------------------------------------------------------------------------------------

// False: nothing of this shape is there.
static bool
print_of(const struct trie *trie, const struct remote_filter *filter, struct print *ret)
{
    struct shape shape;
    uint64_t hash;
    must(filter->remote < TRIE_REMOTES_MAX);
    if (!take_apart(trie, filter->text, &shape, &hash) || !shape_find(remotes_of(trie), &shape))
        return false;
    *ret = (struct print){
        .hash = print_hash(hash, shape.number),
        .check = filter->check,
        .owner = (uint8_t)filter->remote,
        .kind = shape.number,
    };
    return true;
}

static void
note_bytes(struct trie *trie, uint64_t before)
{
    trie_count(&trie->bytes, prints_bytes(remotes_of(trie)->prints) - before);
}

static void
forget(struct remotes *remotes, struct rcu_reader *self, unsigned remote, uint8_t shape)
{
    must(remotes->counts[remote] > 0 && remotes->shape_counts[shape] > 0);
    remotes->counts[remote]--;
    if (--remotes->shape_counts[shape] == 0)
        shape_drop(remotes, self, shape);
}

static err_t
add(struct trie *trie, struct rcu_reader *self, const struct remote_filter *filter, uint32_t number)
{
    struct remotes *remotes = remotes_of(trie);
    struct shape shape;
    uint64_t hash;
    if (!take_apart(trie, filter->text, &shape, &hash))
        return ERR_FULL;
    if (!shape_find(remotes, &shape) && !shape_add(remotes, self, &shape))
        return ERR_FULL;
    struct print print = {
        .hash = print_hash(hash, shape.number),
        .check = filter->check,
        .owner = (uint8_t)filter->remote,
        .kind = shape.number,
    };
    uint64_t before = prints_bytes(remotes->prints);
    bool is_new = prints_add(remotes->prints, self, &print, number);
    must(is_new);
    remotes->counts[filter->remote]++;
    remotes->shape_counts[shape.number]++;
    note_bytes(trie, before);
    trie_bump(trie, filter->text, trie_key(trie, filter->text));
    return OK;
}

err_t
trie_remote_add(struct trie *trie, struct rcu_reader *self, const struct remote_filter *filter,
                uint32_t number)
{
    lock(trie);
    err_t err = add(trie, self, filter, number);
    unlock(trie);
    return err;
}

bool
trie_remote_find(struct trie *trie, const struct remote_filter *filter)
{
    struct print print;
    lock(trie);
    bool found = print_of(trie, filter, &print) && prints_find(remotes_of(trie)->prints, &print);
    unlock(trie);
    return found;
}

bool
trie_remote_remove(struct trie *trie, struct rcu_reader *self, const struct remote_filter *filter,
                   uint32_t *ret_number)
{
    struct print print;
    lock(trie);
    struct remotes *remotes = remotes_of(trie);
    uint64_t before = prints_bytes(remotes->prints);
    bool found =
        print_of(trie, filter, &print) && prints_remove(remotes->prints, self, &print, ret_number);
    if (found) {
        forget(remotes, self, filter->remote, print.kind);
        note_bytes(trie, before);
        trie_bump(trie, filter->text, trie_key(trie, filter->text));
    }
    unlock(trie);
    return found;
}

// ---- All of a node ------------------------------------------------------------------------------

bool
trie_remote_mark(struct trie *trie, const struct remote_filter *filter, bool *ret_first)
{
    struct print print;
    lock(trie);
    bool found =
        print_of(trie, filter, &print) && prints_mark(remotes_of(trie)->prints, &print, ret_first);
    unlock(trie);
    return found;
}

void
trie_remote_unmark(struct trie *trie, unsigned remote)
{
    lock(trie);
    if (remotes_of(trie)->counts[remote] > 0)
        prints_unmark(remotes_of(trie)->prints, remote);
    unlock(trie);
}

// Nobody knows which texts they had: all results are stale.
uint32_t
trie_remote_take(struct trie *trie, struct rcu_reader *self, unsigned remote, bool all,
                 struct prints_place *place, uint32_t numbers[REMOTE_TAKEN_MAX])
{
    uint32_t n = 0;
    struct prints_taken taken;
    must(remote < TRIE_REMOTES_MAX);
    lock(trie);
    struct remotes *remotes = remotes_of(trie);
    uint64_t before = prints_bytes(remotes->prints);
    place->slot = 0; // since the last time another node may have had the part made anew
    while (n < REMOTE_TAKEN_MAX && prints_take(remotes->prints, self, remote, all, place, &taken)) {
        forget(remotes, self, remote, taken.kind);
        numbers[n++] = taken.number;
    }
    note_bytes(trie, before);
    if (n > 0)
        trie_bump_all(trie);
    unlock(trie);
    return n;
}

void
trie_remote_sum(struct trie *trie, unsigned remote, uint32_t part, uint32_t *sum, uint64_t *count)
{
    must(remote < TRIE_REMOTES_MAX && part < PRINTS_PARTS);
    lock(trie);
    if (remotes_of(trie)->counts[remote] > 0)
        prints_sum(remotes_of(trie)->prints, remote, part, sum, count);
    unlock(trie);
}

// ---- Matching -----------------------------------------------------------------------------------

// A topic as it is matched: literal[i] is what its first i levels make.
struct levels {
    const uint64_t *keys;
    uint32_t count;
    bool dollar;
    uint64_t literal[TOPIC_LEVELS_MAX + 1];
};

static void
levels_fold(const struct trie *trie, struct levels *levels)
{
    levels->literal[0] = 0;
    for (uint32_t i = 0; i < levels->count; i++)
        levels->literal[i + 1] = fold_level(trie, levels->literal[i], levels->keys[i]);
}

// The hash of the filter of this shape that matches the topic. False: none does.
static bool
shape_hash(const struct trie *trie, const struct shape *shape, const struct levels *levels,
           uint64_t *ret_hash)
{
    uint64_t hash;
    if (shape->exact) {
        hash = levels->literal[levels->count];
    } else {
        if (shape->multi ? levels->count < shape->levels : levels->count != shape->levels)
            return false;
        // Filters that begin with a wildcard do not match topics that begin with $ [MQTT-4.7.2-1].
        if (levels->dollar && (shape->levels == 0 || shape->plus & 1))
            return false;
        uint32_t i = shape->levels;
        if (shape->plus != 0)
            i = (uint32_t)__builtin_ctzll(shape->plus);
        hash = levels->literal[i];
        for (; i < shape->levels; i++)
            if (i >= PLUS_MAX || !(shape->plus >> i & 1))
                hash = fold_level(trie, hash, levels->keys[i]);
    }
    *ret_hash = print_hash(hash, shape->number);
    return true;
}

uint64_t
trie_remote_nodes(const struct trie *trie, const struct remotes *remotes, const uint64_t *keys,
                  uint32_t count, bool dollar)
{
    const struct shapes *shapes = atomic_load_explicit(&remotes->shapes, memory_order_acquire);
    if (!shapes)
        return 0;
    struct levels levels;
    levels.keys = keys;
    levels.count = count;
    levels.dollar = dollar;
    levels_fold(trie, &levels);
    uint64_t hashes[REMOTE_SHAPES_MAX], nodes = 0;
    uint8_t numbers[REMOTE_SHAPES_MAX];
    uint32_t n = 0;
    // All are on their way from memory before the first is looked at.
    for (uint32_t i = 0; i < shapes->count; i++) {
        if (!shape_hash(trie, &shapes->shapes[i], &levels, &hashes[n]))
            continue;
        prints_prefetch(remotes->prints, hashes[n]);
        numbers[n++] = shapes->shapes[i].number;
    }
    for (uint32_t i = 0; i < n; i++)
        nodes |= prints_owners(remotes->prints, hashes[i], numbers[i]);
    return nodes;
}

const struct filter *
trie_remote_filter(const struct remotes *remotes, unsigned remote)
{
    return atomic_load_explicit(&remotes->nodes[remote], memory_order_acquire);
}

// ---- For people ---------------------------------------------------------------------------------

// The text of the filter of that shape which matches the topic.
static char *
text_of(const struct shape *shape, struct slice topic)
{
    struct slice rest = topic, level;
    char *text = mem_zalloc(topic.len + 2 * sizeof "/#" + shape->levels), *at = text;
    if (shape->exact) {
        memcpy(text, topic.data, topic.len);
        return text;
    }
    for (uint32_t i = 0; i < shape->levels && topic_next_level(&rest, &level); i++) {
        bool plus = i < PLUS_MAX && shape->plus >> i & 1;
        if (i > 0)
            *at++ = '/';
        if (plus)
            level = slice_str("+");
        if (level.len > 0)
            memcpy(at, level.data, level.len);
        at += level.len;
    }
    if (shape->multi && shape->levels > 0)
        *at++ = '/';
    if (shape->multi)
        *at = '#';
    return text;
}

char *
trie_remote_matching(struct trie *trie, unsigned remote, struct slice topic, uint32_t *place)
{
    must(topic.len > 0 && remote < TRIE_REMOTES_MAX);
    struct levels levels = {.dollar = topic.data[0] == '$'};
    struct slice rest = topic, level;
    uint64_t keys[TOPIC_LEVELS_MAX], hash;
    for (; levels.count < TOPIC_LEVELS_MAX && topic_next_level(&rest, &level); levels.count++)
        keys[levels.count] = trie_key(trie, level);
    levels.keys = keys;
    levels_fold(trie, &levels);
    char *text = NULL;
    lock(trie);
    const struct remotes *remotes = remotes_of(trie);
    const struct shapes *shapes = atomic_load_explicit(&remotes->shapes, memory_order_relaxed);
    for (; shapes && !text && *place < shapes->count; *place += 1) {
        const struct shape *shape = &shapes->shapes[*place];
        if (shape_hash(trie, shape, &levels, &hash) &&
            prints_owners(remotes->prints, hash, shape->number) >> remote & 1)
            text = text_of(shape, topic);
    }
    unlock(trie);
    return text;
}
