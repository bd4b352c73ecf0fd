// test_wheel.c - the timer wheel, also against a model that keeps timers in an array.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "core/base/wheel.h"

#define YEAR_MS UINT64_C(31536000000)

static unsigned
fire_all(struct wheel *wheel, uint64_t now_ms)
{
    unsigned fired = 0;
    while (wheel_next(wheel, now_ms) != NULL)
        fired++;
    return fired;
}

Test(wheel, empty)
{
    struct wheel *wheel = wheel_new(12345);
    cr_assert_null(wheel_next(wheel, 12345));
    cr_assert_eq(wheel_wait_until(wheel), UINT64_MAX);
    cr_assert_null(wheel_next(wheel, 100 * YEAR_MS));
    cr_assert_eq(wheel_count(wheel), 0);
    wheel_free(wheel);
    wheel_free(NULL);
}

Test(wheel, fires_never_early_and_at_most_a_tick_late)
{
    for (uint64_t start = 0; start < 40; start++) {
        for (uint64_t delay = 0; delay < 700; delay++) {
            struct wheel *wheel = wheel_new(start);
            struct timer timer;
            uint64_t now = start;
            timer_init(&timer, 3);
            wheel_arm(wheel, &timer, start + delay);
            while (wheel_next(wheel, now) == NULL)
                now++;
            cr_assert_geq(now, start + delay);
            cr_assert_leq(now, start + delay + WHEEL_TICK_MS);
            cr_assert_not(timer_armed(&timer));
            cr_assert_eq(timer.kind, 3);
            wheel_free(wheel);
        }
    }
}

Test(wheel, jumps_of_any_size_fire_once)
{
    // One tick before, at and after each border between levels, and centuries.
    for (unsigned bits = 0; bits < 44; bits++) {
        for (int64_t off = -2; off <= 2; off++) {
            uint64_t start = 1000 * WHEEL_TICK_MS;
            uint64_t deadline = start + ((UINT64_C(1) << bits) + (uint64_t)off) * WHEEL_TICK_MS;
            if (deadline <= start)
                continue;
            struct wheel *wheel = wheel_new(start);
            struct timer timer;
            timer_init(&timer, 0);
            wheel_arm(wheel, &timer, deadline);
            cr_assert_null(wheel_next(wheel, deadline - 1));
            cr_assert_leq(wheel_wait_until(wheel), deadline);
            cr_assert_eq(wheel_next(wheel, deadline), &timer);
            cr_assert_null(wheel_next(wheel, deadline + YEAR_MS * 1000));
            wheel_free(wheel);
        }
    }
}

Test(wheel, following_wait_until_finds_every_deadline_in_few_steps)
{
    for (uint64_t delay = 1; delay < 100 * YEAR_MS; delay = delay * 3 + 7) {
        struct wheel *wheel = wheel_new(555);
        struct timer timer;
        uint64_t now = 555;
        unsigned steps = 0;
        timer_init(&timer, 0);
        wheel_arm(wheel, &timer, 555 + delay);
        while (wheel_next(wheel, now) == NULL) {
            uint64_t until = wheel_wait_until(wheel);
            cr_assert_gt(until, now);
            cr_assert_leq(until, 555 + delay + WHEEL_TICK_MS);
            now = until;
            steps++;
        }
        cr_assert_geq(now, 555 + delay);
        cr_assert_leq(steps, 60); // one per level, and one per 2.2 years
        cr_assert_eq(wheel_wait_until(wheel), UINT64_MAX);
        wheel_free(wheel);
    }
}

Test(wheel, past_and_extreme_deadlines)
{
    struct wheel *wheel = wheel_new(1000000);
    struct timer past, zero, never;
    timer_init(&past, 1);
    timer_init(&zero, 2);
    timer_init(&never, 3);
    wheel_arm(wheel, &never, UINT64_MAX);
    wheel_arm(wheel, &past, 10);
    wheel_arm(wheel, &zero, 0);
    cr_assert(timer_armed(&zero));
    cr_assert_eq(wheel_count(wheel), 3);
    cr_assert_leq(wheel_wait_until(wheel), 1000000);
    cr_assert_eq(wheel_next(wheel, 1000000), &past);
    cr_assert_eq(wheel_next(wheel, 1000000), &zero);
    cr_assert_null(wheel_next(wheel, 1000000 + 500 * YEAR_MS));
    cr_assert(timer_armed(&never));
    cr_assert_neq(wheel_wait_until(wheel), UINT64_MAX);
    wheel_disarm(wheel, &never);
    wheel_disarm(wheel, &never);
    cr_assert_eq(wheel_wait_until(wheel), UINT64_MAX);
    wheel_free(wheel);
}

Test(wheel, arming_again_moves_a_timer)
{
    struct wheel *wheel = wheel_new(0);
    struct timer timer;
    timer_init(&timer, 0);
    wheel_arm(wheel, &timer, 100);
    wheel_arm(wheel, &timer, 100000);
    cr_assert_eq(wheel_count(wheel), 1);
    cr_assert_null(wheel_next(wheel, 99999));
    wheel_arm(wheel, &timer, 100016);
    cr_assert_null(wheel_next(wheel, 100015));
    cr_assert_eq(wheel_next(wheel, 100032), &timer);
    cr_assert_eq(wheel_count(wheel), 0);
    wheel_free(wheel);
}

Test(wheel, a_due_timer_can_be_disarmed_before_its_turn)
{
    struct wheel *wheel = wheel_new(0);
    struct timer a, b;
    timer_init(&a, 0);
    timer_init(&b, 0);
    wheel_arm(wheel, &a, 160);
    wheel_arm(wheel, &b, 160);
    cr_assert_eq(wheel_next(wheel, 1000), &a);
    wheel_disarm(wheel, &b);
    cr_assert_null(wheel_next(wheel, 1000));
    wheel_free(wheel);
}

Test(wheel, arming_in_the_future_from_the_loop_ends_the_loop)
{
    struct wheel *wheel = wheel_new(0);
    struct timer timer, *fired;
    unsigned count = 0;
    timer_init(&timer, 0);
    wheel_arm(wheel, &timer, 100);
    while ((fired = wheel_next(wheel, 1000)) != NULL) {
        count++;
        wheel_arm(wheel, fired, fired->deadline_ms + 1001);
    }
    cr_assert_eq(count, 1);
    // A period that lags behind catches up, in order.
    uint64_t deadline = 1001;
    while ((fired = wheel_next(wheel, 10000)) != NULL) {
        count++;
        deadline += 1000;
        wheel_arm(wheel, fired, deadline);
    }
    cr_assert_eq(count, 1 + 9);
    wheel_free(wheel);
}

Test(wheel, the_clock_going_back_is_a_broken_invariant, .signal = SIGABRT)
{
    struct wheel *wheel = wheel_new(100000);
    (void)wheel_next(wheel, 50000);
}

// ---- The model --------------------------------------------------------------------------------

#define TIMERS 300

struct model {
    struct wheel *wheel;
    struct timer timer[TIMERS];
    uint64_t deadline[TIMERS]; // 0: not armed
    uint64_t now, random;
};

static uint64_t
next_random(struct model *m)
{
    m->random = m->random * 6364136223846793005u + 1442695040888963407u;
    return m->random >> 20;
}

// Every power of two is as likely, so that all levels and borders are met.
static uint64_t
random_span(struct model *m, unsigned bits_max)
{
    return next_random(m) & ((UINT64_C(1) << next_random(m) % bits_max) - 1);
}

static uint64_t
tick(uint64_t deadline_ms)
{
    return (deadline_ms + WHEEL_TICK_MS - 1) / WHEEL_TICK_MS;
}

static void
advance(struct model *m, uint64_t ms)
{
    struct timer *fired;
    uint64_t last = 0, earliest = UINT64_MAX;
    for (size_t i = 0; i < TIMERS; i++)
        if (m->deadline[i] != 0)
            earliest = min_u64(earliest, tick(m->deadline[i]) * WHEEL_TICK_MS);
    uint64_t until = wheel_wait_until(m->wheel);
    cr_assert(until <= max_u64(earliest, m->now), "wait_until is late");
    cr_assert_eq(until == UINT64_MAX, earliest == UINT64_MAX);

    m->now += ms;
    while ((fired = wheel_next(m->wheel, m->now)) != NULL) {
        size_t i = (size_t)(fired - m->timer);
        cr_assert(i < TIMERS && m->deadline[i] != 0, "fired twice or out of nowhere");
        cr_assert_leq(m->deadline[i], m->now, "early");
        cr_assert_geq(tick(m->deadline[i]), last, "out of order");
        last = tick(m->deadline[i]);
        m->deadline[i] = 0;
    }
    for (size_t i = 0; i < TIMERS; i++) {
        cr_assert_eq(timer_armed(&m->timer[i]), m->deadline[i] != 0);
        cr_assert(m->deadline[i] == 0 || tick(m->deadline[i]) * WHEEL_TICK_MS > m->now, "late");
    }
}

static void
run_model(uint64_t seed, unsigned span_bits, unsigned jump_bits)
{
    struct model m = {.now = seed * 1234567, .random = seed};
    size_t armed = 0;
    m.wheel = wheel_new(m.now);
    for (size_t i = 0; i < TIMERS; i++)
        timer_init(&m.timer[i], 0);
    for (unsigned step = 0; step < 3000; step++) {
        for (unsigned n = next_random(&m) % 16; n > 0; n--) {
            size_t i = next_random(&m) % TIMERS;
            if (next_random(&m) % 4 == 0) {
                wheel_disarm(m.wheel, &m.timer[i]);
                m.deadline[i] = 0;
            } else {
                m.deadline[i] = max_u64(m.now + random_span(&m, span_bits), 1);
                wheel_arm(m.wheel, &m.timer[i], m.deadline[i]);
            }
        }
        advance(&m, random_span(&m, jump_bits));
        armed = 0;
        for (size_t i = 0; i < TIMERS; i++)
            armed += m.deadline[i] != 0;
        cr_assert_eq(wheel_count(m.wheel), armed, "seed %lu step %u", (unsigned long)seed, step);
    }
    advance(&m, UINT64_C(1) << 50);
    cr_assert_eq(wheel_count(m.wheel), 0);
    wheel_free(m.wheel);
}

Test(wheel, random_short_timers_match_the_model)
{
    for (uint64_t seed = 1; seed <= 10; seed++)
        run_model(seed, 14, 8);
}

Test(wheel, random_timers_and_jumps_match_the_model)
{
    for (uint64_t seed = 11; seed <= 20; seed++)
        run_model(seed, 34, 30);
}

Test(wheel, random_timers_beyond_all_levels_match_the_model)
{
    for (uint64_t seed = 21; seed <= 30; seed++)
        run_model(seed, 42, 38);
}

Test(wheel, a_million_timers)
{
    size_t count = 1000000;
    struct timer *timers = malloc(count * sizeof(*timers));
    struct wheel *wheel = wheel_new(0);
    for (size_t i = 0; i < count; i++) {
        timer_init(&timers[i], 0);
        wheel_arm(wheel, &timers[i], 1 + i * 7919 % 90000);
    }
    for (size_t i = 0; i < count; i += 2)
        wheel_disarm(wheel, &timers[i]);
    cr_assert_eq(wheel_count(wheel), count / 2);
    unsigned fired = 0;
    for (uint64_t now = 0; now <= 90016; now += 10)
        fired += fire_all(wheel, now);
    cr_assert_eq(fired, count / 2);
    cr_assert_eq(wheel_count(wheel), 0);
    wheel_free(wheel);
    free(timers);
}
