// retained.c - what the scenario `retained` does before and after it measures.
#include "bench/retained.h"

// Lets the publishers go on until they have published this many messages each.
static bool
publish(struct course *course, enum phase phase, uint64_t each)
{
    uint64_t want = each * course->run.shape.clients[ROLE_PUBLISHER];
    course_set_phase(course, phase);
    // Ends early when nothing moves any more.
    (void)course_await(course, offsetof(struct counters, acked), want, UINT64_MAX);
    return COURSE_TOTAL(course, acked) == want;
}

void
retained_prepare(struct course *course)
{
    if (publish(course, PHASE_PREPARE, course->run.shape.limit))
        return;
    course_note_failure(course, "only %llu retained messages were acknowledged",
                        (unsigned long long)COURSE_TOTAL(course, acked));
    course->broken = true;
}

void
retained_clear(struct course *course)
{
    if (!publish(course, PHASE_CLEAR, 2 * course->run.shape.limit))
        course_note_failure(course, "retained messages may be left behind");
}
