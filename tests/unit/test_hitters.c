// test_hitters.c - the busiest topics are found, and by how much they may be wrong.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/hitters.h"

enum { TOPICS = 5000, MESSAGES = 200000 };

static const struct hash_key key = {1, 2};

static struct slice
topic_of(unsigned number)
{
    static char text[32];
    (void)snprintf(text, sizeof text, "topic/%u", number);
    return slice_str(text);
}

Test(hitters, few_topics_are_counted_exactly)
{
    struct hitters *hitters = hitters_new(&key);
    struct hitter hitter;
    cr_assert_not(hitters_at(hitters, 0, &hitter));
    for (unsigned i = 0; i < HITTERS; i++)
        for (unsigned n = 0; n <= i % 7; n++)
            hitters_add(hitters, topic_of(i), 1, 1, 10);
    for (uint32_t i = 0; hitters_at(hitters, i, &hitter); i++) {
        unsigned number = (unsigned)strtoul((const char *)hitter.topic.data + 6, NULL, 10);
        cr_assert(slice_equal(hitter.topic, topic_of(number)));
        cr_assert(hitter.weight == number % 7 + 1 && hitter.over == 0);
        cr_assert(hitter.messages == hitter.weight && hitter.bytes == hitter.weight * 10);
    }
    cr_assert(hitters_at(hitters, HITTERS - 1, &hitter));
    cr_assert_not(hitters_at(hitters, HITTERS, &hitter));
    hitters_free(hitters);
}

// Half of all is a few topics', the rest is spread over thousands.
static unsigned
draw(unsigned *seed)
{
    *seed = *seed * 1103515245u + 12345u;
    unsigned number = *seed >> 8;
    return number % 2 ? number / 2 % 20 : number / 2 % TOPICS;
}

static void
run(bool by_bytes)
{
    static uint64_t exact[TOPICS];
    struct hitters *hitters = hitters_new(&key);
    struct hitter hitter;
    unsigned seed = 1;
    static bool found[TOPICS];
    memset(exact, 0, sizeof exact);
    memset(found, 0, sizeof found);
    for (unsigned i = 0; i < MESSAGES; i++) {
        unsigned number = draw(&seed);
        uint64_t bytes = 1 + number % 100, weight = by_bytes ? bytes : 1;
        hitters_add(hitters, topic_of(number), weight, 1, bytes);
        exact[number] += weight;
    }
    const uint64_t bound = hitters_total(hitters) / HITTERS;
    uint64_t sum = 0;
    for (uint32_t i = 0; hitters_at(hitters, i, &hitter); i++) {
        char text[32] = "";
        memcpy(text, hitter.topic.data, hitter.topic.len);
        unsigned number = (unsigned)strtoul(text + 6, NULL, 10);
        cr_assert_not(found[number], "no topic has two counters");
        found[number] = true;
        cr_assert(hitter.over <= bound, "by no more than the bound");
        cr_assert(hitter.weight >= exact[number] && hitter.weight - hitter.over <= exact[number]);
        cr_assert((by_bytes ? hitter.bytes : hitter.messages) <= exact[number]);
        sum += hitter.weight;
    }
    cr_assert_eq(sum, hitters_total(hitters));
    for (unsigned i = 0; i < TOPICS; i++)
        cr_assert(found[i] || exact[i] <= bound, "topic %u is too heavy to be missing", i);
    hitters_free(hitters);
}

Test(hitters, the_busiest_of_many_are_found)
{
    run(false);
    run(true);
}

Test(hitters, long_topics_are_told_apart_by_their_beginning)
{
    char topic[HITTERS_TOPIC_MAX + 10];
    struct hitters *hitters = hitters_new(&key);
    struct hitter hitter;
    memset(topic, 'x', sizeof topic);
    hitters_add(hitters, slice_of(topic, sizeof topic), 1, 1, 0);
    topic[HITTERS_TOPIC_MAX + 1] = 'y';
    hitters_add(hitters, slice_of(topic, sizeof topic), 1, 1, 0);
    cr_assert(hitters_at(hitters, 0, &hitter) && hitter.weight == 2);
    cr_assert_eq(hitter.topic.len, HITTERS_TOPIC_MAX);
    cr_assert_not(hitters_at(hitters, 1, &hitter));
    hitters_free(hitters);
}
