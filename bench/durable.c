// durable.c - the courses of the scenarios in which sessions outlive connections.
#include "bench/durable.h"

#include <errno.h>

#include "core/base/clock.h"

#include "bench/restart.h"

#define FOR_EVER_US (1ull << 62) // half of what the type holds: it is added to times

static void
give_up(struct course *course, const char *what, const char *why)
{
    course_note_failure(course, "%s: %s", what, why);
    course->broken = true;
}

void
durable_outage(struct course *course)
{
    struct run *run = &course->run;
    struct result *result = course->result;
    uint64_t killed_us = clock_mono_us();
    must(run->killed_us == 0 && killed_us > 0);
    atomic_store_explicit(&run->killed_us, killed_us, memory_order_release);
    if (restart_kill(run->options->broker_pid) != OK) {
        give_up(course, "the broker cannot be killed", strerrordesc_np(errno));
        return;
    }
    course->broker_pid = 0;
    uint64_t begun_us = clock_mono_us();
    struct restart restart = {
        .command = run->options->restart_command,
        .address = (const struct sockaddr *)&run->hosts.rows[0].address,
        .address_len = run->hosts.rows[0].address_len,
        .version = (int)run->options->version,
        .user_name = options_text(run->options->user_name),
        .password = options_text(run->options->password),
    };
    if (restart_run(&restart) != OK) {
        give_up(course, "the broker did not come back", restart.command);
        return;
    }
    uint64_t answered_us = clock_mono_us();
    result->outage_us = answered_us - killed_us;
    result->restart_us = answered_us - begun_us;
    result->restart_attempts = restart.attempts;
    result->broker_pid = course->broker_pid = restart.broker;
    atomic_store_explicit(&run->restored_us, answered_us, memory_order_release);
}

void
durable_offline_queue(struct course *course)
{
    const struct shape *shape = &course->run.shape;
    struct result *result = course->result;
    uint32_t publishers = shape->clients[ROLE_PUBLISHER];
    uint64_t want = publishers * shape->limit;

    result->from = course_sample(course);
    course_begin(course, 0, FOR_EVER_US);
    uint64_t moved_us = course_await(course, offsetof(struct counters, acked), want, FOR_EVER_US);
    result->enqueue_us = max_u64(moved_us, course->run.start_us) - course->run.start_us;
    result->full = course_sample(course);

    uint64_t begun_us = clock_mono_us();
    course_set_phase(course, PHASE_RETURN);
    want = COURSE_TOTAL(course, acked);
    moved_us = course_await(course, offsetof(struct counters, delivered), want, FOR_EVER_US);
    result->drain_us = moved_us - begun_us;
    result->to = course_sample(course);
}

void
durable_recover(struct course *course)
{
    const struct run *run = &course->run;
    const struct shape *shape = &run->shape;
    uint32_t publishers = shape->clients[ROLE_PUBLISHER];
    struct result *result = course->result;

    result->full = course_sample(course);
    if (run->options->restart_command[0] != '\0')
        durable_outage(course);
    if (course->broken)
        return;
    // The sampled subscribers return, and the publishers whose connections the kill has ended.
    uint64_t want = shape->streams + (run->killed_us != 0 ? publishers : 0);
    course_set_phase(course, PHASE_RETURN);
    (void)course_await(course, offsetof(struct counters, returned), want, FOR_EVER_US);

    result->from = course_sample(course);
    course_begin(course, 0, FOR_EVER_US);
    want = publishers * shape->limit;
    (void)course_await(course, offsetof(struct counters, acked), want, FOR_EVER_US);
    result->to = course_sample(course);
}
