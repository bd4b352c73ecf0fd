// fuzz_ctl_request.c - any bytes as a line of the control socket: what is taken is what it says.
#include "core/base/log.h"

#include "core/topic.h"
#include "ctl/ctl_request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
check_texts(const struct ctl_request *request)
{
    must(request->id.len <= TOPIC_BYTES_MAX && request->text.len <= TOPIC_BYTES_MAX);
    must(!request->filter.data || topic_filter_check(request->filter) == OK);
    if (!request->path.data)
        return;
    must(request->path.len > 1 && request->path.len <= CTL_PATH_MAX);
    must(request->path.data[0] == '/' && request->path.data[request->path.len - 1] != '/');
    must(memchr(request->path.data, '\0', request->path.len) == NULL);
}

static void
check_fields(const struct ctl_request *request)
{
    bool named = request->op == CTL_CLIENT || request->op == CTL_KICK;
    must(request->op < CTL_OPS && request->limit >= 1 && request->limit <= CTL_LIMIT_MAX);
    must(!named || request->id.data);
    must((request->op == CTL_BACKUP || request->op == CTL_CONFIG_CHECK) ==
         (request->path.data != NULL));
    must(request->op != CTL_EXPLAIN || (request->id.data && request->filter.data));
    must(request->qos <= 2 && (request->types & ~(uint32_t)LOG_T_ALL) == 0);
    must(request->op == CTL_LOG || !request->has_types);
    bool watches = request->op == CTL_TRACE || request->op == CTL_TOPICS;
    must(request->op == CTL_BAN || watches || request->for_s == 0);
    must(request->op == CTL_TOPICS || (!request->by_bytes && request->levels == 0));
    must(request->levels <= TOPIC_LEVELS_MAX);
    must(request->op == CTL_CLIENTS || !request->waiting);
    must(!request->user.data || request->op == CTL_BAN || request->op == CTL_UNBAN);
    must(request->op == CTL_BACKUP || !request->force);
    must(request->op != CTL_RETAINED_RM || request->filter.data);
    must(request->op == CTL_CLIENTS || (!request->away && !request->text.data));
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct ctl_request request;
    char problem[CTL_PROBLEM_MAX], text[CTL_CURSOR_MAX];
    struct ctl_cursor cursor;
    if (ctl_request_read(slice_of(data, size), &request, problem)) {
        check_texts(&request);
        check_fields(&request);
    } else {
        must(problem[0] != '\0' && memchr(problem, '\0', sizeof problem));
    }
    ctl_request_clear(&request);
    if (ctl_cursor_read(slice_of(data, size), &cursor)) {
        ctl_cursor_write(&cursor, text);
        must(slice_equal(slice_str(text), slice_of(data, size))); // one way to write each
    }
    return 0;
}
