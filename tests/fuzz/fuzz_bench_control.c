// fuzz_bench_control.c - any bytes as requests and replies; what is taken reads as the same again.
#include <stdlib.h>

#include "core/base/mem.h"

#include "bench/control.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_request(struct slice line)
{
    struct control_request request, again;
    if (control_request_read(line, &request) != OK)
        return;
    must(request.word_count <= CONTROL_WORDS_MAX);
    char *text = control_request_text(&request);
    err_t err = control_request_read(slice_str(text), &again);
    must(err == OK && again.word_count == request.word_count);
    for (uint32_t i = 0; i < request.word_count; i++)
        must(strcmp(request.words[i], again.words[i]) == 0);
    must(again.type == request.type && again.start_us == request.start_us &&
         again.run == request.run && again.layout == request.layout);
    free(text);
    control_request_free(&request);
    control_request_free(&again);
}

static void
check_reply(struct slice line)
{
    static struct control_reply reply, again;
    static struct histogram sum;
    if (control_reply_read(line, &reply) != OK)
        return;
    char *text = control_reply_text(&reply);
    err_t err = control_reply_read(slice_str(text), &again);
    must(err == OK);
    if (reply.error[0] == '\0')
        must(memcmp(&reply, &again, sizeof reply) == 0);
    // What a coordinator does with them; doubled so often as agents may be.
    for (uint32_t i = 0; i < CONTROL_HISTOGRAMS && reply.type == CONTROL_END; i++) {
        sum = reply.histograms[i];
        for (uint32_t agents = 1; agents < CONTROL_AGENTS_MAX; agents *= 2)
            histogram_merge(&sum, &sum);
        (void)histogram_quantile(&sum, 0.5);
        (void)histogram_quantile(&sum, 0.9999);
    }
    free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_request(slice_of(data, size));
    check_reply(slice_of(data, size));
    return 0;
}
