// cases.c - runs micro-benchmark cases: timed for a person, or a fixed amount of work for a
// counter.
//
//   case_X [CASE...]     times them, all when none is named: "name value ns" lines
//   case_X --list        their names
//   case_X --count CASE  does the case's fixed work once and prints "name operations"; under
//                        callgrind alone that says something: see bench/check
//
// Counts must not depend on the machine or the moment: the seeds are fixed, jemalloc looks at no
// clock and at no number of CPUs, and all clocks are simulated.
#include "bench/micro/cases.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

// Timed, a case has so many times its rounds.
#define TIMED_ROUNDS 100u

// jemalloc reads this name. Decay would be by the clock.
extern const char *const malloc_conf;
const char *const malloc_conf =
    "narenas:1,background_thread:false,dirty_decay_ms:-1,muzzy_decay_ms:-1";

// Stands before libc's: where the broker asks for a random key, it gets the same one every time.
ssize_t
getrandom(void *buffer, size_t length, unsigned flags)
{
    (void)flags;
    uint8_t *bytes = buffer;
    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)(0x9e + 0x37 * i);
    return (ssize_t)length;
}

static const struct micro_case *
find_case(const char *name)
{
    for (uint32_t i = 0; i < micro_cases.count; i++)
        if (strcmp(micro_cases.items[i].name, name) == 0)
            return &micro_cases.items[i];
    (void)fprintf(stderr, "%s: no case %s; --list prints them\n", program_invocation_short_name,
                  name);
    return NULL;
}

static void
count_case(const struct micro_case *item)
{
    struct meter meter = {.counts = true, .rounds = item->rounds};
    item->run(&meter, item->param);
    must(meter.operations > 0);
    printf("%s %" PRIu64 "\n", item->name, meter.operations);
}

static void
time_case(const struct micro_case *item)
{
    struct meter meter = {.rounds = item->rounds * TIMED_ROUNDS};
    item->run(&meter, item->param);
    must(meter.operations > 0);
    printf("%s %.1f ns\n", item->name, (double)meter.ns / (double)meter.operations);
    (void)fflush(stdout);
}

static void
each(void (*fn)(const struct micro_case *item))
{
    for (uint32_t i = 0; i < micro_cases.count; i++)
        fn(&micro_cases.items[i]);
}

static void
print_name(const struct micro_case *item)
{
    printf("%s\n", item->name);
}

static int
usage(void)
{
    (void)fprintf(stderr, "usage: %s [--list | --count CASE | CASE...]\n",
                  program_invocation_short_name);
    return 2;
}

int
main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--list") == 0) {
        each(print_name);
        return 0;
    }
    if (argc > 1 && strcmp(argv[1], "--count") == 0) {
        const struct micro_case *item = argc == 3 ? find_case(argv[2]) : NULL;
        if (!item)
            return argc == 3 ? 1 : usage();
        if (!METER_CAN_COUNT) {
            (void)fprintf(stderr, "%s: built without valgrind/callgrind.h\n",
                          program_invocation_short_name);
            return 1;
        }
        count_case(item);
        return 0;
    }
    if (argc > 1 && argv[1][0] == '-')
        return usage();
    if (argc == 1)
        each(time_case);
    for (int i = 1; i < argc; i++) {
        const struct micro_case *item = find_case(argv[i]);
        if (!item)
            return 1;
        time_case(item);
    }
    return 0;
}
