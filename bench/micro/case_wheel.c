// case_wheel.c - what a timer costs.
#include "core/base/mem.h"
#include "core/base/wheel.h"

#include "bench/micro/cases.h"

#define WARM_ROUNDS 100u
#define HORIZON_MS  90000u

static struct timer *
timers_new(uint32_t count)
{
    struct timer *timers = mem_alloc(count * sizeof *timers);
    for (uint32_t i = 0; i < count; i++)
        timer_init(&timers[i], 0);
    return timers;
}

// A keep alive that is pushed ahead: arm and disarm, never fire.
static void
arm_disarm(struct meter *meter, const void *param)
{
    uint32_t count = *(const uint32_t *)param;
    struct wheel *wheel = wheel_new(0);
    struct timer *timers = timers_new(count);
    for (uint32_t i = 0; i < WARM_ROUNDS + meter->rounds; i++) {
        if (i == WARM_ROUNDS) {
            meter_warm(meter);
            meter_begin(meter);
        }
        struct timer *timer = &timers[i * 2654435761u % count];
        wheel_arm(wheel, timer, 1000 + i % HORIZON_MS);
        wheel_disarm(wheel, timer);
    }
    meter_end(meter);
    meter->operations = meter->rounds;
    must(wheel_count(wheel) == 0);
    mem_free(timers);
    wheel_free(wheel);
}

// Each is armed, up to 90 s ahead, and fires; time goes by as wheel_wait_until says.
static void
arm_fire(struct meter *meter, const void *param)
{
    uint32_t count = *(const uint32_t *)param;
    struct wheel *wheel = wheel_new(0);
    struct timer *timers = timers_new(count);
    uint64_t now = 0;
    for (uint32_t round = 0; round < 1 + meter->rounds; round++) {
        if (round == 1)
            meter_warm(meter);
        meter_begin(meter);
        uint32_t fired = 0;
        for (uint32_t i = 0; i < count; i++)
            wheel_arm(wheel, &timers[i], now + 1 + (uint64_t)i * 7919 % HORIZON_MS);
        while (wheel_count(wheel) > 0) {
            now = max_u64(now, wheel_wait_until(wheel));
            while (wheel_next(wheel, now) != NULL)
                fired++;
        }
        meter_end(meter);
        must(fired == count);
        // As far into a turn of the wheel in each round.
        now = (now / (1u << 20) + 1) << 20;
    }
    meter->operations = (uint64_t)meter->rounds * count;
    mem_free(timers);
    wheel_free(wheel);
}

static const uint32_t thousand = 1000, many = 20000;

static const struct micro_case items[] = {
    {.name = "wheel_arm_disarm", .run = arm_disarm, .param = &thousand, .rounds = 20000},
    {.name = "wheel_arm_fire_1k", .run = arm_fire, .param = &thousand, .rounds = 5},
    {.name = "wheel_arm_fire_20k", .run = arm_fire, .param = &many, .rounds = 1},
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
