// case_acl.c - what a decision about a topic costs, and about a filter.
//
// The rules are of usual kinds: of the user's own device, of what all may read, of a few topics,
// and patterns. In the large cases the user's rules name one device each, as where one service
// reads for many.
#include <stdio.h>

#include "core/base/mem.h"

#include "bench/micro/cases.h"
#include "core/acl.h"

#define TOPICS    1000u
#define TEXT_MAX  64u
#define USERS     100u
#define FILE_SIZE (UINT32_C(1) << 20)

enum ask {
    ASK_SAME,   // one topic again and again
    ASK_FEW,    // four topics by turns
    ASK_MANY,   // each topic is new
    ASK_FILTER, // rights_cover
};

struct acl_param {
    uint32_t rules; // of the user
    enum ask ask;
};

struct bench {
    const struct acl_param *param;
    struct acl *acl;
    struct rights *rights;
    char (*texts)[TEXT_MAX];
    struct slice topics[TOPICS];
};

static uint32_t
write_rules(char *text, uint32_t rules)
{
    uint32_t at = 0;
    for (uint32_t user = 0; user < USERS; user++) {
        at += (uint32_t)snprintf(text + at, FILE_SIZE - at,
                                 "user user%u\ntopic deny devices/+/secret/#\n", user);
        for (uint32_t i = 0; i + 3 < (user == 0 ? rules : 10); i++)
            at += (uint32_t)snprintf(
                text + at, FILE_SIZE - at,
                i % 4 == 3 ? "topic read area/%u/+/state\n" : "topic devices/device%06u/#\n", i);
    }
    at += (uint32_t)snprintf(text + at, FILE_SIZE - at,
                             "pattern read public/#\npattern clients/%%c/+\n");
    must(at < FILE_SIZE);
    return at;
}

static void
bench_open(struct bench *bench)
{
    char *text = mem_alloc(FILE_SIZE), problem[200];
    uint32_t len = write_rules(text, bench->param->rules);
    must(acl_parse("rules", slice_of(text, len), &bench->acl, problem, sizeof problem) == OK);
    mem_free(text);
    bench->rights = rights_new(bench->acl, slice_str("user0"), slice_str("client-17"));
    bench->texts = mem_alloc(TOPICS * sizeof *bench->texts);
    uint32_t distinct = bench->param->ask == ASK_SAME  ? 1
                        : bench->param->ask == ASK_FEW ? 4
                                                       : TOPICS;
    for (uint32_t i = 0; i < TOPICS; i++) {
        uint32_t device = i % distinct * 4 % bench->param->rules;
        const char *last = bench->param->ask == ASK_FILTER ? "+" : "temperature";
        (void)snprintf(bench->texts[i], TEXT_MAX, "devices/device%06u/%s", device, last);
        if (bench->param->ask == ASK_MANY)
            (void)snprintf(bench->texts[i], TEXT_MAX, "devices/device%06u/t%03u", device, i);
        bench->topics[i] = slice_str(bench->texts[i]);
    }
}

static void
bench_close(struct bench *bench)
{
    rights_free(bench->rights);
    acl_unref(bench->acl);
    mem_free(bench->texts);
}

static void
ask_all(struct meter *meter, struct bench *bench)
{
    uint32_t allowed = 0;
    meter_begin(meter);
    for (uint32_t i = 0; i < TOPICS; i++)
        allowed +=
            bench->param->ask == ASK_FILTER
                ? rights_cover(bench->rights, ACL_RECEIVE, bench->topics[i]) != ACL_COVERS_NOTHING
                : rights_allow(bench->rights, ACL_PUBLISH, bench->topics[i]);
    meter_end(meter);
    must(allowed > TOPICS / 2);
}

static void
acl(struct meter *meter, const void *param)
{
    struct bench bench = {.param = param};
    bench_open(&bench);
    ask_all(meter, &bench);
    meter_warm(meter);
    for (uint32_t i = 0; i < meter->rounds; i++)
        ask_all(meter, &bench);
    meter->operations = (uint64_t)meter->rounds * TOPICS;
    bench_close(&bench);
}

#define ACL(text, times, rules_, ask_)                                        \
    {                                                                         \
        .name = "acl_" text, .run = acl, .rounds = (times),                   \
        .param = &(const struct acl_param){.rules = (rules_), .ask = (ask_)}, \
    }

static const struct micro_case items[] = {
    ACL("same_topic", 20, 20, ASK_SAME),
    ACL("four_topics", 20, 20, ASK_FEW),
    ACL("new_topics_10_rules", 5, 10, ASK_MANY),
    ACL("new_topics_50_rules", 5, 50, ASK_MANY),
    ACL("new_topics_10k_rules", 5, 10000, ASK_MANY),
    ACL("filters_50_rules", 5, 50, ASK_FILTER),
};
const struct micro_cases micro_cases = {items, ARRAY_LEN(items)};
