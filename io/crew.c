// crew.c - what the workers of one process share: the gates at start and end, the wake-ups.
#include "io/crew.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core/base/list.h"
#include "core/base/mem.h"

#define CREW_MAGIC 0x63726577u

enum member_state { MEMBER_ABSENT, MEMBER_UP, MEMBER_FAILED, MEMBER_LEFT };

struct member {
    int wake_fd;
    enum member_state state; // under the lock
    atomic_bool stop;
    struct list given; // lanes, under the lock
    bool closed;       // under the lock
    atomic_bool has_given;
    _Atomic uint32_t busy;
};

struct crew {
    uint32_t magic;
    unsigned count;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct member members[];
};

static struct member *
member_of(struct crew *crew, unsigned index)
{
    must(crew->magic == CREW_MAGIC && index < crew->count);
    return &crew->members[index];
}

struct crew *
crew_new(unsigned workers)
{
    must(workers >= 1 && workers <= CREW_MAX);
    struct crew *crew = mem_zalloc(sizeof *crew + workers * sizeof crew->members[0]);
    crew->magic = CREW_MAGIC;
    crew->count = workers;
    must(pthread_mutex_init(&crew->lock, NULL) == 0);
    must(pthread_cond_init(&crew->changed, NULL) == 0);
    int error = 0;
    for (unsigned i = 0; i < workers; i++) {
        list_init(&crew->members[i].given);
        crew->members[i].wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (crew->members[i].wake_fd < 0)
            error = errno;
    }
    if (error == 0)
        return crew;
    crew_free(crew);
    errno = error;
    return NULL;
}

void
crew_free(struct crew *crew)
{
    if (!crew)
        return;
    must(crew->magic == CREW_MAGIC);
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->members[i].wake_fd >= 0)
            (void)close(crew->members[i].wake_fd);
    (void)pthread_cond_destroy(&crew->changed);
    (void)pthread_mutex_destroy(&crew->lock);
    crew->magic = 0;
    mem_free(crew);
}

int
crew_wake_fd(const struct crew *crew, unsigned index)
{
    must(crew->magic == CREW_MAGIC && index < crew->count);
    return crew->members[index].wake_fd;
}

void
crew_wake(struct crew *crew, unsigned index)
{
    // The counter only grows and would be full after 2^64 wake-ups.
    int rc = eventfd_write(member_of(crew, index)->wake_fd, 1);
    must(rc == 0);
}

static void
set_state(struct crew *crew, unsigned index, enum member_state state)
{
    struct member *member = member_of(crew, index);
    must(pthread_mutex_lock(&crew->lock) == 0);
    member->state = state;
    must(pthread_cond_broadcast(&crew->changed) == 0);
    must(pthread_mutex_unlock(&crew->lock) == 0);
}

static bool
any_is(const struct crew *crew, enum member_state state)
{
    for (unsigned i = 0; i < crew->count; i++)
        if (crew->members[i].state == state)
            return true;
    return false;
}

void
crew_up(struct crew *crew, unsigned index, bool works)
{
    must(member_of(crew, index)->state == MEMBER_ABSENT);
    set_state(crew, index, works ? MEMBER_UP : MEMBER_FAILED);
}

bool
crew_await(struct crew *crew, unsigned index)
{
    struct member *member = member_of(crew, index);
    must(pthread_mutex_lock(&crew->lock) == 0);
    while (member->state == MEMBER_ABSENT)
        must(pthread_cond_wait(&crew->changed, &crew->lock) == 0);
    bool works = member->state != MEMBER_FAILED;
    must(pthread_mutex_unlock(&crew->lock) == 0);
    return works;
}

bool
crew_gate(struct crew *crew, unsigned index)
{
    struct member *member = member_of(crew, index);
    must(pthread_mutex_lock(&crew->lock) == 0);
    bool go;
    // All or none: another one that has passed already may give its lane to this one.
    while (!(go = !any_is(crew, MEMBER_ABSENT) && !any_is(crew, MEMBER_FAILED)) &&
           !atomic_load(&member->stop))
        must(pthread_cond_wait(&crew->changed, &crew->lock) == 0);
    must(pthread_mutex_unlock(&crew->lock) == 0);
    return go;
}

void
crew_leave(struct crew *crew, unsigned index)
{
    set_state(crew, index, MEMBER_LEFT);
    must(pthread_mutex_lock(&crew->lock) == 0);
    while (any_is(crew, MEMBER_UP))
        must(pthread_cond_wait(&crew->changed, &crew->lock) == 0);
    must(pthread_mutex_unlock(&crew->lock) == 0);
}

void
crew_stop(struct crew *crew, unsigned index)
{
    struct member *member = member_of(crew, index);
    // Under the lock, so that a worker cannot miss it between its look and its wait at a gate; and
    // before the wake-up, so that a worker that wakes sees it.
    must(pthread_mutex_lock(&crew->lock) == 0);
    atomic_store(&member->stop, true);
    must(pthread_cond_broadcast(&crew->changed) == 0);
    must(pthread_mutex_unlock(&crew->lock) == 0);
    crew_wake(crew, index);
}

bool
crew_stopping(const struct crew *crew, unsigned index)
{
    must_hot(crew->magic == CREW_MAGIC && index < crew->count);
    return atomic_load_explicit(&crew->members[index].stop, memory_order_acquire);
}

bool
crew_give(struct crew *crew, unsigned index, struct list *lane)
{
    struct member *member = member_of(crew, index);
    must(pthread_mutex_lock(&crew->lock) == 0);
    bool open = !member->closed;
    if (open) {
        list_push(&member->given, lane);
        atomic_store_explicit(&member->has_given, true, memory_order_release);
    }
    must(pthread_mutex_unlock(&crew->lock) == 0);
    if (open)
        crew_wake(crew, index);
    return open;
}

struct list *
crew_take(struct crew *crew, unsigned index)
{
    struct member *member = member_of(crew, index);
    if (likely(!atomic_load_explicit(&member->has_given, memory_order_acquire)))
        return NULL;
    must(pthread_mutex_lock(&crew->lock) == 0);
    struct list *lane = list_pop(&member->given);
    if (list_empty(&member->given))
        atomic_store_explicit(&member->has_given, false, memory_order_relaxed);
    must(pthread_mutex_unlock(&crew->lock) == 0);
    return lane;
}

void
crew_close(struct crew *crew, unsigned index)
{
    must(pthread_mutex_lock(&crew->lock) == 0);
    member_of(crew, index)->closed = true;
    must(pthread_mutex_unlock(&crew->lock) == 0);
}

void
crew_tell_busy(struct crew *crew, unsigned index, uint32_t permille)
{
    atomic_store_explicit(&member_of(crew, index)->busy, permille, memory_order_relaxed);
}

uint32_t
crew_busy(const struct crew *crew, unsigned index)
{
    must(crew->magic == CREW_MAGIC && index < crew->count);
    return atomic_load_explicit(&crew->members[index].busy, memory_order_relaxed);
}
