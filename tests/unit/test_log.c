// test_log.c - logging from many threads, overflow, rotation, the end.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log.h"

static char *
temp_path(char path[64])
{
    (void)snprintf(path, 64, "/tmp/ternmq-test-log-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    return path;
}

static char *
read_all(const char *path)
{
    static char out[8 << 20];
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t len = fread(out, 1, sizeof(out) - 1, file);
    out[len] = '\0';
    (void)fclose(file);
    return out;
}

static struct log *
open_file(const char *path, uint32_t types)
{
    struct log *log;
    struct log_options options = {.types = types, .dests = LOG_D_FILE, .file = path};
    cr_assert_eq(log_open(&options, &log), OK);
    return log;
}

Test(log, close_writes_what_is_queued)
{
    char path[64], want[32];
    struct log *log = open_file(temp_path(path), LOG_T_DEFAULT);
    for (int i = 0; i < 1000; i++)
        log_line(log, LOG_T_NOTICE, "line %d", i);
    log_close(log);
    const char *at = read_all(path);
    for (int i = 0; i < 1000; i++) {
        int len = snprintf(want, sizeof(want), "line %d\n", i);
        cr_assert_eq(strncmp(at, want, (size_t)len), 0);
        at += len;
    }
    cr_assert_eq(*at, '\0');
    (void)unlink(path);
}

Test(log, a_line_is_written_without_another_one_to_push_it)
{
    char path[64];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    for (int i = 0; i < 20; i++) { // the thread sleeps between them
        log_line(log, LOG_T_INTERNAL, "x");
        uint64_t until = clock_mono_ms() + 30000;
        while (strlen(read_all(path)) < (size_t)(i + 1) * 2)
            cr_assert_lt(clock_mono_ms(), until, "line %d is stuck", i);
    }
    log_close(log);
    (void)unlink(path);
}

Test(log, types_are_filtered)
{
    char path[64];
    struct log *log = open_file(temp_path(path), LOG_T_ERROR | LOG_T_SUBSCRIBE);
    cr_assert(log_wants(log, LOG_T_ERROR));
    cr_assert_not(log_wants(log, LOG_T_DEBUG));
    log_line(log, LOG_T_DEBUG, "no");
    log_line(log, LOG_T_SUBSCRIBE, "yes");
    log_close(log);
    cr_assert_str_eq(read_all(path), "yes\n");
    (void)unlink(path);
}

Test(log, types_are_changed_while_it_is_open)
{
    char path[64];
    struct log *log = open_file(temp_path(path), LOG_T_ERROR);
    log_line(log, LOG_T_DEBUG, "before");
    log_set_types(log, LOG_T_DEBUG);
    cr_assert_eq(log_types(log), LOG_T_DEBUG);
    log_line(log, LOG_T_DEBUG, "between");
    log_line(log, LOG_T_ERROR, "not this one");
    struct log_options options = {.types = LOG_T_ERROR, .dests = LOG_D_FILE, .file = path};
    cr_assert_eq(log_reopen(log, &options), OK);
    log_line(log, LOG_T_DEBUG, "after");
    log_close(log);
    cr_assert_str_eq(read_all(path), "between\n");
    (void)unlink(path);
}

Test(log, types_have_names)
{
    uint32_t types;
    for (unsigned i = 0; i < LOG_TYPES; i++) {
        cr_assert(log_types_of(slice_str(log_type_names[i]), &types));
        cr_assert_eq(types, UINT32_C(1) << i);
    }
    cr_assert(log_types_of(slice_str("all"), &types) && types == LOG_T_ALL);
    cr_assert(log_types_of(slice_str("none"), &types) && types == 0);
    cr_assert_not(log_types_of(slice_str(""), &types));
    cr_assert_not(log_types_of(slice_str("errors"), &types));
}

Test(log, no_log_and_no_destination_take_everything)
{
    struct log_limit limit = {0};
    struct log *log;
    struct log_options options = {.types = LOG_T_ALL, .dests = 0};
    cr_assert_not(log_wants(NULL, LOG_T_ERROR));
    log_line(NULL, LOG_T_ERROR, "x");
    log_limited(NULL, &limit, 0, LOG_T_ERROR, "x");
    cr_assert_eq(log_dropped(NULL), 0);
    log_close(NULL);
    cr_assert_eq(log_open(&options, &log), OK);
    cr_assert_not(log_wants(log, LOG_T_ERROR));
    log_line(log, LOG_T_ERROR, "x");
    log_close(log);
}

Test(log, a_long_line_is_cut_between_characters)
{
    char path[64], text[2 * LOG_LINE_MAX];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xbc", 3);
    log_line(log, LOG_T_ERROR, "%s", text);
    log_line(log, LOG_T_ERROR, "a%s", text);
    log_line(log, LOG_T_ERROR, "%.*s", LOG_LINE_MAX - 1, "short enough");
    log_close(log);
    char *line = read_all(path);
    for (int i = 0; i < 2; i++) {
        char *end = strchr(line, '\n');
        cr_assert_not_null(end);
        cr_assert_leq(end - line, LOG_LINE_MAX - 1);
        cr_assert_geq(end - line, LOG_LINE_MAX - 2);
        cr_assert_eq(strncmp(end - 5, "\xc3\xbc...", 5), 0);
        cr_assert_null(memchr(line, '\\', (size_t)(end - line)), "an escaped half of a character");
        line = end + 1;
    }
    cr_assert_str_eq(line, "short enough\n");
    (void)unlink(path);
}

Test(log, a_line_of_exactly_the_limit_is_not_cut)
{
    char path[64], text[LOG_LINE_MAX];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    log_line(log, LOG_T_ERROR, "%s", text);
    log_close(log);
    char *line = read_all(path);
    cr_assert_eq(strlen(line), LOG_LINE_MAX);
    cr_assert_null(strchr(line, '.'));
    (void)unlink(path);
}

#define THREADS          4
#define LINES_PER_THREAD 20000

struct writer {
    struct log *log;
    pthread_t thread;
    int number;
};

static void *
write_lines(void *arg)
{
    struct writer *w = arg;
    for (int i = 0; i < LINES_PER_THREAD; i++)
        log_line(w->log, LOG_T_NOTICE, "writer %d line %d", w->number, i);
    return NULL;
}

Test(log, many_threads_lose_nothing_unsaid_and_keep_their_order)
{
    char path[64];
    struct writer writers[THREADS];
    int last[THREADS];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    for (int i = 0; i < THREADS; i++) {
        writers[i] = (struct writer){.log = log, .number = i};
        last[i] = -1;
        cr_assert_eq(pthread_create(&writers[i].thread, NULL, write_lines, &writers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(writers[i].thread, NULL);
    uint64_t dropped = log_dropped(log);
    log_close(log);

    uint64_t written = 0, told = 0;
    char *save, *text = read_all(path);
    for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
        int writer, number;
        unsigned long long lost;
        if (sscanf(line, "%llu log lines were lost.", &lost) == 1) {
            told += lost;
            continue;
        }
        cr_assert_eq(sscanf(line, "writer %d line %d", &writer, &number), 2, "%s", line);
        cr_assert(writer >= 0 && writer < THREADS);
        cr_assert_gt(number, last[writer]);
        last[writer] = number;
        written++;
    }
    cr_assert_eq(written + dropped, THREADS * LINES_PER_THREAD);
    cr_assert_eq(told, dropped);
    (void)unlink(path);
}

Test(log, a_stuck_stderr_blocks_nobody_and_the_end_comes)
{
    int fds[2], saved = dup(STDERR_FILENO);
    struct log *log;
    struct log_options options = {.types = LOG_T_ALL, .dests = LOG_D_STDERR};
    cr_assert_eq(pipe(fds), 0);
    (void)dup2(fds[1], STDERR_FILENO);
    cr_assert_eq(log_open(&options, &log), OK);
    uint64_t begin = clock_mono_ms();
    for (int i = 0; i < 10 * LOG_QUEUE_LINES; i++)
        log_line(log, LOG_T_ERROR, "line %d with more text, so that the pipe is soon full", i);
    uint64_t logging_ms = clock_mono_ms() - begin;
    uint64_t dropped = log_dropped(log);
    log_close(log);
    uint64_t closing_ms = clock_mono_ms() - begin - logging_ms;
    (void)dup2(saved, STDERR_FILENO);
    cr_assert_gt(dropped, LOG_QUEUE_LINES);
    cr_assert_lt(logging_ms, 800);
    cr_assert_lt(closing_ms, 4000);
}

Test(log, a_reader_of_stderr_that_goes_away_kills_nobody)
{
    int fds[2], saved = dup(STDERR_FILENO);
    struct log *log;
    struct log_options options = {.types = LOG_T_ALL, .dests = LOG_D_STDERR};
    (void)signal(SIGPIPE, SIG_DFL);
    cr_assert_eq(pipe(fds), 0);
    (void)dup2(fds[1], STDERR_FILENO);
    (void)close(fds[0]);
    cr_assert_eq(log_open(&options, &log), OK);
    log_line(log, LOG_T_ERROR, "one");
    log_line(log, LOG_T_ERROR, "two");
    log_close(log);
    (void)dup2(saved, STDERR_FILENO);
}

Test(log, rotation_goes_on_in_the_new_file)
{
    char path[64], moved[80];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    struct log_options options = {.types = LOG_T_ERROR, .dests = LOG_D_FILE, .file = path};
    (void)snprintf(moved, sizeof(moved), "%s.1", path);
    log_line(log, LOG_T_NOTICE, "before");
    uint64_t until = clock_mono_ms() + 30000;
    while (strcmp(read_all(path), "before\n") != 0)
        cr_assert_lt(clock_mono_ms(), until);
    cr_assert_eq(rename(path, moved), 0);
    cr_assert_eq(log_reopen(log, &options), OK);
    cr_assert_eq(log_reopen(log, &options), OK); // perhaps before the thread came to the first
    cr_assert_not(log_wants(log, LOG_T_NOTICE));
    log_line(log, LOG_T_NOTICE, "not wanted any more");
    log_line(log, LOG_T_ERROR, "after");
    log_close(log);
    cr_assert_str_eq(read_all(moved), "before\n");
    cr_assert_str_eq(read_all(path), "after\n");
    (void)unlink(path);
    (void)unlink(moved);
}

Test(log, a_failed_reopen_keeps_the_old)
{
    char path[64];
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    struct log_options bad = {.types = 0, .dests = LOG_D_FILE, .file = "/nonexistent/log"};
    cr_assert_eq(log_reopen(log, &bad), ERR_IO);
    log_line(log, LOG_T_NOTICE, "still here");
    log_close(log);
    cr_assert_str_eq(read_all(path), "still here\n");
    (void)unlink(path);
}

Test(log, a_file_that_cannot_be_opened_is_an_error)
{
    struct log *log;
    struct log_options bad = {.dests = LOG_D_FILE, .file = "/nonexistent/log"};
    cr_assert_eq(log_open(&bad, &log), ERR_IO);
}

Test(log, hostile_call_sites_are_limited)
{
    char path[64], want[1024] = "";
    struct log *log = open_file(temp_path(path), LOG_T_ALL);
    struct log_limit limit = {0};
    for (int i = 0; i < 500; i++)
        log_limited(log, &limit, 999, LOG_T_NOTICE, "bad %d", i);
    log_limited(log, &limit, 1000, LOG_T_NOTICE, "later");
    log_limited(log, &limit, 5000, LOG_T_NOTICE, "much later");
    log_close(log);
    for (int i = 0; i < LOG_LIMIT_BURST; i++) {
        size_t len = strlen(want);
        (void)snprintf(want + len, sizeof(want) - len, "bad %d\n", i);
    }
    size_t len = strlen(want);
    (void)snprintf(want + len, sizeof(want) - len,
                   "%d similar lines were suppressed.\nlater\nmuch later\n", 500 - LOG_LIMIT_BURST);
    cr_assert_str_eq(read_all(path), want);
    (void)unlink(path);
}
