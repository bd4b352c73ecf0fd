// access.c - questions, their desk, and names with marks.
#include "core/access.h"

#include <pthread.h>
#include <string.h>

#include "core/base/hash.h"
#include "core/base/mem.h"

#include "core/acl.h"
#include "core/broker.h"

// ---- A question ---------------------------------------------------------------------------------

#define TEXTS (sizeof(struct access_texts) / sizeof(struct slice))

// The texts, one after the other, behind the struct, so that one wipe gets all of them.
struct question_block {
    struct access_question question;
    size_t len; // of bytes
    uint8_t bytes[];
};

struct access_question *
access_question_new(const struct access_texts *texts)
{
    struct slice from[TEXTS], to[TEXTS];
    memcpy(from, texts, sizeof from);
    size_t len = 0;
    for (size_t i = 0; i < TEXTS; i++)
        len += from[i].len;
    struct question_block *block = mem_zalloc(sizeof *block + len);
    block->len = len;
    block->question.bytes = sizeof *block + len;
    uint8_t *p = block->bytes;
    for (size_t i = 0; i < TEXTS; i++) {
        to[i] = slice_of(from[i].data ? p : NULL, from[i].len);
        if (from[i].len > 0)
            memcpy(p, from[i].data, from[i].len);
        p += from[i].len;
    }
    must(p == block->bytes + len);
    memcpy(&block->question.texts, to, sizeof to);
    list_init(&block->question.node);
    list_init(&block->question.asked);
    return &block->question;
}

void
access_wipe(struct slice *text)
{
    mem_wipe(text->data, text->len);
    mem_free(unconst(text->data));
    *text = slice_of(NULL, 0);
}

void
access_question_free(struct access_question *question)
{
    if (!question)
        return;
    struct question_block *block = container_of(question, struct question_block, question);
    struct access_answer *answer = &question->answer;
    access_wipe(&answer->user);
    access_wipe(&answer->auth_data);
    access_wipe(&answer->exchange);
    access_wipe(&answer->reply);
    access_wipe(&answer->reply_topic);
    access_wipe(&answer->settings);
    acl_unref(answer->acl);
    mem_wipe(block->bytes, block->len);
    mem_free(block);
}

// ---- The desk -----------------------------------------------------------------------------------

struct CACHE_ALIGNED answers {
    pthread_mutex_t mutex;
    struct list list;
    _Atomic uint32_t count;
};

struct access_desk {
    pthread_mutex_t mutex;
    pthread_cond_t come; // a question, or the end
    struct list questions;
    _Atomic uint32_t waiting;
    uint32_t questions_max;
    unsigned shard_count;
    bool closed;
    struct answers answers[]; // of shards
};

struct access_desk *
access_desk_new(unsigned shard_count, uint32_t questions_max)
{
    must(shard_count >= 1 && questions_max >= 1);
    struct access_desk *desk =
        mem_alloc_aligned(CACHE_LINE, sizeof *desk + shard_count * sizeof(struct answers));
    pthread_mutex_init(&desk->mutex, NULL);
    pthread_cond_init(&desk->come, NULL);
    list_init(&desk->questions);
    desk->questions_max = questions_max;
    desk->shard_count = shard_count;
    for (unsigned i = 0; i < shard_count; i++) {
        pthread_mutex_init(&desk->answers[i].mutex, NULL);
        list_init(&desk->answers[i].list);
    }
    return desk;
}

static void
free_all(struct list *questions)
{
    struct list *node;
    while ((node = list_pop(questions)) != NULL)
        access_question_free(container_of(node, struct access_question, node));
}

void
access_desk_free(struct access_desk *desk)
{
    if (!desk)
        return;
    free_all(&desk->questions);
    for (unsigned i = 0; i < desk->shard_count; i++) {
        free_all(&desk->answers[i].list);
        pthread_mutex_destroy(&desk->answers[i].mutex);
    }
    pthread_cond_destroy(&desk->come);
    pthread_mutex_destroy(&desk->mutex);
    mem_free(desk);
}

err_t
access_ask(struct access_desk *desk, struct access_question *question)
{
    must(question->shard < desk->shard_count && list_empty(&question->node));
    pthread_mutex_lock(&desk->mutex);
    uint32_t waiting = atomic_load_explicit(&desk->waiting, memory_order_relaxed);
    bool room = waiting < desk->questions_max && !desk->closed;
    if (room) {
        list_push(&desk->questions, &question->node);
        atomic_store_explicit(&desk->waiting, waiting + 1, memory_order_relaxed);
        pthread_cond_signal(&desk->come);
    }
    pthread_mutex_unlock(&desk->mutex);
    return room ? OK : ERR_SERVER_BUSY;
}

struct access_question *
access_take(struct access_desk *desk)
{
    struct list *node = NULL;
    pthread_mutex_lock(&desk->mutex);
    while (!desk->closed && (node = list_pop(&desk->questions)) == NULL)
        pthread_cond_wait(&desk->come, &desk->mutex);
    if (node)
        atomic_fetch_sub_explicit(&desk->waiting, 1, memory_order_relaxed);
    pthread_mutex_unlock(&desk->mutex);
    return node ? container_of(node, struct access_question, node) : NULL;
}

void
access_give(struct access_desk *desk, struct broker *broker, struct access_question *question)
{
    unsigned shard = question->shard; // the question may be gone once it is on the list
    struct answers *answers = &desk->answers[shard];
    pthread_mutex_lock(&answers->mutex);
    list_push(&answers->list, &question->node);
    atomic_fetch_add(&answers->count, 1); // before the shard is woken: see shard_has_mail
    pthread_mutex_unlock(&answers->mutex);
    broker_wake(broker, shard);
}

struct access_question *
access_next_answer(struct access_desk *desk, unsigned shard)
{
    struct answers *answers = &desk->answers[shard];
    if (likely(!access_has_answer(desk, shard)))
        return NULL;
    pthread_mutex_lock(&answers->mutex);
    struct list *node = list_pop(&answers->list);
    if (node)
        atomic_fetch_sub(&answers->count, 1);
    pthread_mutex_unlock(&answers->mutex);
    return node ? container_of(node, struct access_question, node) : NULL;
}

bool
access_has_answer(const struct access_desk *desk, unsigned shard)
{
    must_hot(shard < desk->shard_count);
    return atomic_load_explicit(&desk->answers[shard].count, memory_order_relaxed) > 0;
}

void
access_desk_close(struct access_desk *desk)
{
    pthread_mutex_lock(&desk->mutex);
    desk->closed = true;
    pthread_cond_broadcast(&desk->come);
    pthread_mutex_unlock(&desk->mutex);
}

uint32_t
access_waiting(const struct access_desk *desk)
{
    return atomic_load_explicit(&desk->waiting, memory_order_relaxed);
}

// ---- Rules --------------------------------------------------------------------------------------

struct access_rules *
access_rules_new(void)
{
    return mem_zalloc(sizeof(struct access_rules));
}

void
access_rules_free(struct access_rules *rules)
{
    for (unsigned i = 0; rules && i < ACCESS_LISTENERS_MAX; i++) {
        acl_unref(rules->listeners[i].acl);
        access_users_unref(rules->listeners[i].users);
    }
    mem_free(rules);
}

// ---- Names with marks ---------------------------------------------------------------------------

struct user_mark {
    uint64_t mark;
    struct user_mark *chain;
    uint32_t len;
    uint8_t name[];
};

struct access_users {
    _Atomic uint32_t refs;
    struct hash_key key;
    struct user_mark **buckets;
    uint32_t cap, count; // cap: a power of two
};

#define BUCKETS_MIN 64u

struct access_users *
access_users_new(void)
{
    struct access_users *users = mem_zalloc(sizeof *users);
    atomic_store(&users->refs, 1);
    err_t err = hash_key_random(&users->key);
    must(err == OK); // the broker itself has had a key by then
    users->cap = BUCKETS_MIN;
    users->buckets = mem_zalloc(users->cap * sizeof(struct user_mark *));
    return users;
}

static struct user_mark **
bucket(const struct access_users *users, struct slice name)
{
    return &users->buckets[hash_bytes(&users->key, name.data, name.len) & (users->cap - 1)];
}

static struct user_mark *
find(const struct access_users *users, struct slice name)
{
    struct user_mark *entry = *bucket(users, name);
    while (entry && !slice_equal(slice_of(entry->name, entry->len), name))
        entry = entry->chain;
    return entry;
}

static void
grow(struct access_users *users)
{
    struct user_mark **old = users->buckets;
    uint32_t cap = users->cap;
    users->cap = cap * 2;
    users->buckets = mem_zalloc((size_t)users->cap * sizeof(struct user_mark *));
    for (uint32_t i = 0; i < cap; i++) {
        struct user_mark *next;
        for (struct user_mark *entry = old[i]; entry; entry = next) {
            next = entry->chain;
            struct user_mark **to = bucket(users, slice_of(entry->name, entry->len));
            entry->chain = *to;
            *to = entry;
        }
    }
    mem_free(old);
}

void
access_users_add(struct access_users *users, struct slice name, uint64_t mark)
{
    must(atomic_load(&users->refs) == 1 && mark != 0);
    struct user_mark *entry = find(users, name);
    if (entry) {
        entry->mark = mark;
        return;
    }
    if (users->count++ >= users->cap)
        grow(users);
    entry = mem_alloc(sizeof *entry + name.len);
    *entry = (struct user_mark){.mark = mark, .len = name.len};
    if (name.len > 0)
        memcpy(entry->name, name.data, name.len);
    struct user_mark **to = bucket(users, name);
    entry->chain = *to;
    *to = entry;
}

uint64_t
access_users_mark(const struct access_users *users, struct slice name)
{
    const struct user_mark *entry = find(users, name);
    return entry ? entry->mark : 0;
}

struct access_users *
access_users_ref(struct access_users *users)
{
    if (users)
        atomic_fetch_add_explicit(&users->refs, 1, memory_order_relaxed);
    return users;
}

void
access_users_unref(struct access_users *users)
{
    if (!users || atomic_fetch_sub_explicit(&users->refs, 1, memory_order_acq_rel) > 1)
        return;
    for (uint32_t i = 0; i < users->cap; i++) {
        struct user_mark *next;
        for (struct user_mark *entry = users->buckets[i]; entry; entry = next) {
            next = entry->chain;
            mem_free(entry);
        }
    }
    mem_free(users->buckets);
    mem_free(users);
}
