// test_bench_share.c - which worker has which client of the load generator.
#include <criterion/criterion.h>

#include "bench/share.h"

#define WORKERS_MAX 9u

static uint32_t
owner(const struct shape *s, enum role role, uint32_t number, uint32_t workers)
{
    uint32_t worker = share_owner(s, role, number, workers);
    cr_assert_lt(worker, workers);
    return worker;
}

// How many clients of a role the busiest worker has more than the idlest.
static uint32_t
spread(const struct shape *s, enum role role, uint32_t count, uint32_t workers)
{
    uint32_t has[WORKERS_MAX] = {0}, least = UINT32_MAX, most = 0;
    for (uint32_t i = 0; i < count; i++)
        has[owner(s, role, i, workers)]++;
    for (uint32_t i = 0; i < workers; i++) {
        least = min_u32(least, has[i]);
        most = max_u32(most, has[i]);
    }
    return most - least;
}

Test(bench_share, pairs_stay_together_and_are_dealt_out_evenly)
{
    struct shape s = {
        .clients = {[ROLE_PUBLISHER] = 50, [ROLE_SUBSCRIBER] = 50}, .streams = 50, .stride = 1};
    cr_assert_not(share_crosses(&s));
    for (uint32_t workers = 1; workers <= WORKERS_MAX; workers++) {
        for (uint32_t i = 0; i < 50; i++)
            cr_assert_eq(owner(&s, ROLE_PUBLISHER, i, workers),
                         owner(&s, ROLE_SUBSCRIBER, i, workers));
        cr_assert_leq(spread(&s, ROLE_PUBLISHER, 50, workers), 1);
    }
}

Test(bench_share, a_sampled_publisher_is_with_its_subscriber)
{
    struct shape s = {
        .clients = {[ROLE_PUBLISHER] = 10, [ROLE_SUBSCRIBER] = 100}, .streams = 10, .stride = 10};
    cr_assert_not(share_crosses(&s));
    for (uint32_t workers = 1; workers <= WORKERS_MAX; workers++) {
        for (uint32_t p = 0; p < 10; p++)
            cr_assert_eq(owner(&s, ROLE_PUBLISHER, p, workers),
                         owner(&s, ROLE_SUBSCRIBER, p * 10, workers));
        cr_assert_leq(spread(&s, ROLE_SUBSCRIBER, 100, workers), 1);
    }
}

Test(bench_share, the_one_that_many_face_is_the_first_workers)
{
    struct shape out = {.clients = {[ROLE_PUBLISHER] = 1, [ROLE_SUBSCRIBER] = 30}, .streams = 30};
    struct shape in = {.clients = {[ROLE_PUBLISHER] = 30, [ROLE_SUBSCRIBER] = 1}, .streams = 30};
    cr_assert(share_crosses(&out) && share_crosses(&in));
    for (uint32_t workers = 1; workers <= WORKERS_MAX; workers++) {
        cr_assert_eq(owner(&out, ROLE_PUBLISHER, 0, workers), 0);
        cr_assert_eq(owner(&in, ROLE_SUBSCRIBER, 0, workers), 0);
        cr_assert_leq(spread(&out, ROLE_SUBSCRIBER, 30, workers), 1);
        cr_assert_leq(spread(&in, ROLE_PUBLISHER, 30, workers), 1);
        // With few of the many, the first worker has none of them.
        cr_assert_eq(owner(&out, ROLE_SUBSCRIBER, 0, workers), workers > 1);
        cr_assert_eq(owner(&in, ROLE_PUBLISHER, 0, workers), workers > 1);
    }
}

Test(bench_share, silent_connections_are_dealt_out_evenly)
{
    struct shape s = {.clients = {[ROLE_SILENT] = 31}};
    cr_assert_not(share_crosses(&s));
    for (uint32_t workers = 1; workers <= WORKERS_MAX; workers++)
        cr_assert_leq(spread(&s, ROLE_SILENT, 31, workers), 1);
}
