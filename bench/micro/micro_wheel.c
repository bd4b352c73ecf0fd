// micro_wheel.c - what a timer costs.
//
// Timers lie in random order in memory, as sessions do. Prints `name value unit` lines.
#include <stdio.h>
#include <time.h>

#include "core/base/mem.h"
#include "core/base/wheel.h"

#define ROUNDS 4000000u

static double
now_ns(void)
{
    struct timespec ts;
    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

static struct timer *
timers_new(unsigned count)
{
    struct timer *timers = mem_alloc(count * sizeof(*timers));
    for (unsigned i = 0; i < count; i++)
        timer_init(&timers[i], 0);
    return timers;
}

// A keep alive that is pushed ahead at every packet: arm and disarm, rarely fire.
static double
arm_disarm(unsigned count)
{
    struct wheel *wheel = wheel_new(0);
    struct timer *timers = timers_new(count);
    double begin = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++) {
        struct timer *timer = &timers[i * 2654435761u % count];
        wheel_arm(wheel, timer, 1000 + i % 90000);
        wheel_disarm(wheel, timer);
    }
    double ns = (now_ns() - begin) / ROUNDS;
    must(wheel_count(wheel) == 0);
    mem_free(timers);
    wheel_free(wheel);
    return ns;
}

// Every timer is armed once, up to 90 s ahead, and fires; time goes by as wheel_wait_until says.
static double
arm_fire(unsigned count, double *ret_longest_ns)
{
    struct wheel *wheel = wheel_new(0);
    struct timer *timers = timers_new(count);
    unsigned fired = 0;
    double begin = now_ns();
    *ret_longest_ns = 0;
    for (unsigned i = 0; i < count; i++) {
        unsigned at = (unsigned)((uint64_t)i * 2654435761u % count);
        if (!timer_armed(&timers[at]))
            wheel_arm(wheel, &timers[at], 1 + (uint64_t)at * 7919 % 90000);
    }
    size_t armed = wheel_count(wheel);
    for (uint64_t now = 0; wheel_count(wheel) > 0; now = wheel_wait_until(wheel)) {
        double tick = now_ns();
        while (wheel_next(wheel, now) != NULL)
            fired++;
        tick = now_ns() - tick;
        *ret_longest_ns = tick > *ret_longest_ns ? tick : *ret_longest_ns;
    }
    double ns = (now_ns() - begin) / (double)armed;
    must(fired == armed);
    mem_free(timers);
    wheel_free(wheel);
    return ns;
}

int
main(void)
{
    static const unsigned counts[] = {1000, 100000, 1000000};
    for (size_t i = 0; i < ARRAY_LEN(counts); i++) {
        double longest_ns;
        printf("wheel_arm_disarm_%u %.1f ns/timer\n", counts[i], arm_disarm(counts[i]));
        printf("wheel_arm_fire_%u %.1f ns/timer\n", counts[i], arm_fire(counts[i], &longest_ns));
        printf("wheel_longest_step_%u %.1f us\n", counts[i], longest_ns / 1000);
    }
    return 0;
}
