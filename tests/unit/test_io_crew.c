// test_io_crew.c - gates and wake-ups of the workers.
#include <criterion/criterion.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "core/base/list.h"

#include "io/crew.h"

struct member {
    struct crew *crew;
    unsigned index;
    bool works, passed;
    _Atomic bool left;
};

static void *
live(void *arg)
{
    struct member *m = arg;
    crew_up(m->crew, m->index, m->works);
    if (m->works) {
        m->passed = crew_gate(m->crew, m->index);
        crew_leave(m->crew, m->index);
        m->left = true;
    }
    return NULL;
}

static bool
readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    return poll(&p, 1, 0) == 1;
}

Test(io_crew, all_pass_the_gate_when_the_last_one_is_up)
{
    struct crew *crew = crew_new(2);
    struct member a = {.crew = crew, .index = 0, .works = true};
    struct member b = {.crew = crew, .index = 1, .works = true};
    pthread_t ta, tb;
    cr_assert_eq(pthread_create(&ta, NULL, live, &a), 0);
    cr_assert(crew_await(crew, 0));
    cr_assert_not(a.left, "alone it does not pass");
    cr_assert_eq(pthread_create(&tb, NULL, live, &b), 0);
    cr_assert(crew_await(crew, 1));
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    cr_assert(a.passed && b.passed && a.left && b.left);
    crew_free(crew);
}

Test(io_crew, one_that_cannot_start_holds_the_gate_until_stop)
{
    struct crew *crew = crew_new(2);
    struct member a = {.crew = crew, .index = 0, .works = true};
    struct member b = {.crew = crew, .index = 1, .works = false};
    pthread_t ta, tb;
    cr_assert_eq(pthread_create(&ta, NULL, live, &a), 0);
    cr_assert_eq(pthread_create(&tb, NULL, live, &b), 0);
    cr_assert(crew_await(crew, 0));
    cr_assert_not(crew_await(crew, 1));
    cr_assert_not(crew_stopping(crew, 0));
    crew_stop(crew, 0);
    pthread_join(ta, NULL);
    pthread_join(tb, NULL);
    cr_assert_not(a.passed);
    cr_assert(a.left, "and it does not wait for the one that failed");
    crew_free(crew);
}

Test(io_crew, waking_and_stopping_write_to_the_right_eventfd)
{
    struct crew *crew = crew_new(3);
    crew_wake(crew, 1);
    cr_assert_not(readable(crew_wake_fd(crew, 0)));
    cr_assert(readable(crew_wake_fd(crew, 1)));
    crew_stop(crew, 2);
    cr_assert(readable(crew_wake_fd(crew, 2)));
    cr_assert(crew_stopping(crew, 2));
    cr_assert_not(crew_stopping(crew, 1));
    crew_free(crew);
    crew_free(NULL);
}

Test(io_crew, what_is_given_is_taken_until_the_worker_closes)
{
    struct crew *crew = crew_new(2);
    struct list a, b;
    list_init(&a);
    list_init(&b);
    cr_assert_null(crew_take(crew, 1));
    cr_assert(crew_give(crew, 1, &a));
    cr_assert(readable(crew_wake_fd(crew, 1)));
    cr_assert(crew_give(crew, 1, &b));
    cr_assert_null(crew_take(crew, 0));
    cr_assert_eq(crew_take(crew, 1), &a);
    crew_close(crew, 1);
    cr_assert_not(crew_give(crew, 1, &a));
    cr_assert_eq(crew_take(crew, 1), &b, "what was given before is not lost");
    cr_assert_null(crew_take(crew, 1));
    crew_free(crew);
}
