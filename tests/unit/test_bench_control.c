// test_bench_control.c - what coordinator and agents say to each other.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/control.h"

static struct control_request request;
static struct control_reply reply, again;

static err_t
read_request(const char *text)
{
    return control_request_read(slice_str(text), &request);
}

static err_t
read_reply(const char *text)
{
    return control_reply_read(slice_str(text), &reply);
}

// A histogram of values that share no bucket pattern with another seed's.
static struct histogram
some_histogram(uint64_t seed, uint64_t count)
{
    struct histogram h = {0};
    for (uint64_t i = 0; i < count; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        histogram_record(&h, seed >> (20 + seed % 40));
    }
    return h;
}

Test(bench_control, every_request_reads_as_it_was_written)
{
    static char host[] = "--host=b\"r\\oker", rate[] = "--rate=7";
    for (uint64_t type = CONTROL_HELLO; type <= CONTROL_END; type++) {
        struct control_request sent = {
            .type = type,
            .protocol = 1,
            .layout = UINT64_MAX,
            .agent = 2,
            .agents = 3,
            .run = UINT32_MAX,
            .clock_shift_us = (uint64_t)-5,
            .broker_pid = 17,
            .phase = PHASE_DRAIN,
            .start_us = 1ull << 62,
            .measure_from_us = 0,
            .measure_to_us = UINT64_MAX,
            .words = {host, rate},
            .word_count = 2,
        };
        char *text = control_request_text(&sent);
        cr_assert_eq(read_request(text), OK, "%s", text);
        cr_assert_eq(request.type, type);
        if (type == CONTROL_HELLO)
            cr_assert(request.protocol == 1 && request.layout == UINT64_MAX);
        if (type == CONTROL_PHASE)
            cr_assert(request.start_us == 1ull << 62 && request.measure_to_us == UINT64_MAX &&
                      request.phase == PHASE_DRAIN);
        if (type == CONTROL_MAKE) {
            cr_assert(request.agent == 2 && request.agents == 3 && request.run == UINT32_MAX);
            cr_assert_eq((int64_t)request.clock_shift_us, -5);
            cr_assert_eq(request.word_count, 2);
            cr_assert_str_eq(request.words[0], host);
            cr_assert_str_eq(request.words[1], rate);
        } else {
            cr_assert_eq(request.word_count, 0);
        }
        control_request_free(&request);
        free(text);
    }
}

Test(bench_control, every_reply_reads_as_it_was_written)
{
    for (uint64_t type = CONTROL_HELLO; type <= CONTROL_END; type++) {
        struct control_reply *sent = &again;
        *sent = (struct control_reply){.type = type, .failure = "it \"failed\""};
        if (type == CONTROL_HELLO)
            sent->protocol = 7, sent->layout = UINT64_MAX;
        if (type == CONTROL_CLOCK)
            sent->now_us = 1;
        if (type == CONTROL_LOOK)
            sent->failed = 1;
        for (uint64_t i = 0; i < CONTROL_COUNTERS && (type == CONTROL_LOOK || type == CONTROL_END);
             i++)
            sent->counters[i] = UINT64_MAX - i;
        for (uint64_t i = 0; i < CONTROL_SAMPLE && type == CONTROL_MEASURE; i++)
            sent->sample[i] = i << 40;
        for (uint64_t i = 0; i < CONTROL_HISTOGRAMS && type == CONTROL_END; i++)
            sent->histograms[i] = some_histogram(i, i * 100000);
        if (type == CONTROL_END)
            sent->tally = (struct tally){.missing = 1, .wills_unexpected = UINT64_MAX};
        char *text = control_reply_text(sent);
        cr_assert_lt(strlen(text), CONTROL_LINE_MAX);
        cr_assert_eq(read_reply(text), OK, "%s", text);
        cr_assert_eq(memcmp(&reply, sent, sizeof reply), 0, "%s", text);
        free(text);
    }
}

Test(bench_control, full_histograms_fit_into_a_line)
{
    again = (struct control_reply){.type = CONTROL_END};
    for (uint32_t i = 0; i < CONTROL_HISTOGRAMS; i++) {
        for (uint32_t k = 0; k < HISTOGRAM_BUCKETS; k++)
            again.histograms[i].buckets[k] = 1ull << 40;
    }
    char *text = control_reply_text(&again);
    cr_assert_lt(strlen(text), CONTROL_LINE_MAX);
    cr_assert_eq(read_reply(text), OK);
    cr_assert_eq(reply.histograms[2].count, (uint64_t)HISTOGRAM_BUCKETS << 40);
    free(text);
}

Test(bench_control, histograms_of_agents_merge_to_that_of_one)
{
    struct histogram whole = {0}, merged = {0};
    for (uint64_t agent = 0; agent < 3; agent++) {
        again = (struct control_reply){.type = CONTROL_END};
        again.histograms[0] = some_histogram(agent, 50000);
        histogram_merge(&whole, &again.histograms[0]);
        char *text = control_reply_text(&again);
        cr_assert_eq(read_reply(text), OK);
        histogram_merge(&merged, &reply.histograms[0]);
        free(text);
    }
    cr_assert_eq(memcmp(&whole, &merged, sizeof whole), 0);
    cr_assert_eq(merged.count, 150000);
}

Test(bench_control, an_error_is_all_that_there_is)
{
    again = (struct control_reply){.type = CONTROL_END, .error = "no \x1b[2J way"};
    char *text = control_reply_text(&again);
    cr_assert_eq(read_reply(text), OK);
    cr_assert_str_eq(reply.error, "no ?[2J way");
    free(text);
}

Test(bench_control, what_is_no_request)
{
    static const char *const bad[] = {
        "",
        "{",
        "7",
        "[]",
        "{}",
        "null",
        "{\"type\":7}",
        "{\"type\":\"none\"}",
        "{\"type\":\"hello\"}",
        "{\"type\":\"hello\",\"protocol\":1}",
        "{\"type\":\"hello\",\"protocol\":1,\"layout\":1.5}",
        "{\"type\":\"hello\",\"protocol\":1,\"layout\":\"2\"}",
        "{\"type\":\"hello\",\"protocol\":1,\"layout\":9223372036854775808}",
        "{\"type\":\"hello\",\"type\":\"hello\",\"protocol\":1,\"layout\":1}",
        "{\"type\":\"clock\"} {\"type\":\"clock\"}",
        "{\"type\":\"make\",\"agent\":0,\"agents\":1,\"run\":1,\"clock_shift_us\":0,"
        "\"broker_pid\":0}",
        "{\"type\":\"make\",\"agent\":0,\"agents\":1,\"run\":1,\"clock_shift_us\":0,"
        "\"broker_pid\":0,\"options\":[1]}",
        "{\"type\":\"make\",\"agent\":0,\"agents\":1,\"run\":1,\"clock_shift_us\":0,"
        "\"broker_pid\":0,\"options\":[\"--host=\\n\"]}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(read_request(bad[i]), ERR_MALFORMED, "%s", bad[i]);
    cr_assert_eq(read_request("{\"type\":\"clock\"}"), OK);
    control_request_free(&request);
}

Test(bench_control, a_request_has_at_most_so_many_options)
{
    for (uint32_t count = CONTROL_WORDS_MAX; count <= CONTROL_WORDS_MAX + 1; count++) {
        char text[2048];
        int len = snprintf(text, sizeof text,
                           "{\"type\":\"make\",\"agent\":0,\"agents\":1,\"run\":1,"
                           "\"clock_shift_us\":0,\"broker_pid\":0,\"options\":[");
        for (uint32_t i = 0; i < count; i++)
            len +=
                snprintf(text + len, sizeof text - (size_t)len, "%s\"--qos=1\"", i > 0 ? "," : "");
        (void)snprintf(text + len, sizeof text - (size_t)len, "]}");
        cr_assert_eq(read_request(text), count == CONTROL_WORDS_MAX ? OK : ERR_MALFORMED);
    }
    control_request_free(&request);
}

Test(bench_control, what_is_no_reply)
{
    static const char *const bad[] = {
        "{\"type\":\"look\",\"failed\":0,\"counters\":[1,2]}",
        "{\"type\":\"look\",\"failed\":0,\"counters\":7}",
        "{\"type\":\"clock\",\"now_us\":null}",
        "{\"type\":\"begin\",\"error\":7}",
        "{\"type\":\"begin\",\"failure\":{}}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(read_reply(bad[i]), ERR_MALFORMED, "%s", bad[i]);
    cr_assert_eq(read_reply("{\"type\":\"begin\"}"), OK);
}

// The buckets of an otherwise good reply are replaced by these.
static err_t
read_buckets(const char *buckets)
{
    char text[4096];
    again = (struct control_reply){.type = CONTROL_END};
    char *good = control_reply_text(&again);
    char *at = strstr(good, "\"buckets\":[]");
    cr_assert_not_null(at);
    *at = '\0';
    (void)snprintf(text, sizeof text, "%s\"buckets\":%s%s", good, buckets,
                   at + strlen("\"buckets\":[]"));
    free(good);
    return read_reply(text);
}

Test(bench_control, buckets_ascend_and_count_themselves)
{
    static const char *const bad[] = {
        "7",        "[1]",       "[5,1,5,1]", "[5,1,4,1]",
        "[4352,1]", "[-1,1]",    "[1,-1]",    "[1,1099511627777]",
        "[1,0]",    "[\"1\",1]", "{\"1\":1}",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        cr_assert_eq(read_buckets(bad[i]), ERR_MALFORMED, "%s", bad[i]);
    cr_assert_eq(read_buckets("[0,2,4351,3]"), OK);
    cr_assert_eq(reply.histograms[0].count, 5);
    cr_assert_eq(reply.histograms[0].buckets[4351], 3);
}
