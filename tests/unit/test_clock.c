// test_clock.c - the clocks agree with the kernel's and do not go back.
#include <criterion/criterion.h>
#include <time.h>

#include "core/base/clock.h"

Test(clock, monotonic_never_goes_back)
{
    uint64_t last = clock_mono_us();
    for (int i = 0; i < 100000; i++) {
        uint64_t now = clock_mono_us();
        cr_assert_geq(now, last);
        last = now;
    }
}

Test(clock, milliseconds_and_microseconds_are_one_clock)
{
    uint64_t before = clock_mono_us() / 1000;
    uint64_t ms = clock_mono_ms();
    uint64_t after = clock_mono_us() / 1000;
    cr_assert(before <= ms && ms <= after);
}

Test(clock, monotonic_moves_with_time)
{
    uint64_t before = clock_mono_us();
    (void)nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    cr_assert_geq(clock_mono_us() - before, 20000);
}

Test(clock, wall_is_unix_time)
{
    time_t before = time(NULL);
    uint64_t ms = clock_wall_ms();
    // time(2) reads a coarse clock that may lag behind by a tick.
    cr_assert_geq(ms / 1000, (uint64_t)before);
    cr_assert_leq(ms / 1000, (uint64_t)time(NULL) + 1);
}
