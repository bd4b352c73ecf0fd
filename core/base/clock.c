// clock.c - the two clocks, read through the vDSO.
#include "core/base/clock.h"

#include <time.h>

static struct timespec
clock_read(clockid_t id)
{
    struct timespec ts;
    int rc = clock_gettime(id, &ts);
    must(rc == 0); // fails only for a clock that the kernel does not have
    must_hot(ts.tv_sec >= 0 && ts.tv_nsec >= 0 && ts.tv_nsec < 1000000000);
    return ts;
}

uint64_t
clock_mono_ms(void)
{
    struct timespec ts = clock_read(CLOCK_MONOTONIC);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
clock_mono_us(void)
{
    struct timespec ts = clock_read(CLOCK_MONOTONIC);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

uint64_t
clock_wall_ms(void)
{
    struct timespec ts = clock_read(CLOCK_REALTIME);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

uint64_t
clock_thread_us(void)
{
    struct timespec ts = clock_read(CLOCK_THREAD_CPUTIME_ID);
    return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}
