// test_log_sink.c - the form of log lines, and destinations that fail.
#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

#include "core/base/clock.h"
#include "core/base/log_sink.h"

#define WHEN_MS UINT64_C(1700000000042) // 2023-11-14 22:13:20 UTC

static char *
temp_path(char path[64])
{
    (void)snprintf(path, 64, "/tmp/ternmq-test-log-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    (void)close(fd);
    return path;
}

static size_t
read_all(const char *path, char *out, size_t size)
{
    FILE *file = fopen(path, "r");
    cr_assert_not_null(file);
    size_t len = fread(out, 1, size - 1, file);
    out[len] = '\0';
    (void)fclose(file);
    return len;
}

static struct log_sink *
sink_on(struct log_options options)
{
    struct log_sink *sink;
    cr_assert_eq(log_sink_open(&options, &sink), OK);
    return sink;
}

static void
add(struct log_sink *sink, enum log_type type, struct slice text)
{
    log_sink_add(sink, &(struct log_record){WHEN_MS, type, text});
}

// What one line looks like under these options.
static const char *
rendered(struct log_options options, enum log_type type, struct slice text)
{
    static char out[8192];
    char path[64];
    options.dests = LOG_D_FILE;
    options.file = temp_path(path);
    struct log_sink *sink = sink_on(options);
    add(sink, type, text);
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
    (void)read_all(path, out, sizeof(out));
    (void)unlink(path);
    return out;
}

#define PLAIN(...) rendered((struct log_options){__VA_ARGS__}, LOG_T_NOTICE, slice_str("hello"))

Test(log_sink, time_stamps)
{
    (void)setenv("TZ", "UTC-2", 1); // two hours east
    cr_assert_str_eq(PLAIN(.timestamp = true), "1700000000: hello\n");
    cr_assert_str_eq(PLAIN(.timestamp = false), "hello\n");
    cr_assert_str_eq(PLAIN(.timestamp = false, .timestamp_format = "%Y"), "hello\n");
    cr_assert_str_eq(PLAIN(.timestamp = true, .timestamp_format = "%Y-%m-%dT%H:%M:%S"),
                     "2023-11-15T00:13:20: hello\n");
    // Nothing, and more than fits: better seconds than no time.
    cr_assert_str_eq(PLAIN(.timestamp = true, .timestamp_format = ""), "1700000000: hello\n");
    cr_assert_str_eq(PLAIN(.timestamp = true, .timestamp_format = "%c%c%c%c%c%c%c%c%c%c"),
                     "1700000000: hello\n");
}

Test(log_sink, json_is_utc_with_milliseconds_whatever_the_zone)
{
    (void)setenv("TZ", "UTC-2", 1);
    cr_assert_str_eq(
        PLAIN(.json = true, .timestamp = false, .timestamp_format = "%Y"),
        "{\"time\":\"2023-11-14T22:13:20.042Z\",\"type\":\"notice\",\"text\":\"hello\"}\n");
}

Test(log_sink, json_names_every_type)
{
    static const char *const names[] = {"error",       "warning",    "notice",
                                        "information", "debug",      "subscribe",
                                        "unsubscribe", "websockets", "internal"};
    for (unsigned i = 0; i < ARRAY_LEN(names); i++) {
        char want[64];
        (void)snprintf(want, sizeof(want), "\"type\":\"%s\",", names[i]);
        const char *line =
            rendered((struct log_options){.json = true}, (enum log_type)(1u << i), slice_str("x"));
        cr_assert_not_null(strstr(line, want), "%s", line);
    }
}

struct escape_case {
    const char *text;
    size_t len;
    const char *plain, *json;
};
#define CASE(text, plain, json)             \
    {                                       \
        text, sizeof(text) - 1, plain, json \
    }

Test(log_sink, hostile_text_stays_on_its_line)
{
    static const struct escape_case cases[] = {
        CASE("", "", ""),
        CASE("a\nb", "a\\x0ab", "a\\u000ab"),
        CASE("\r\x1b[31m", "\\x0d\\x1b[31m", "\\u000d\\u001b[31m"),
        CASE("nul\0!", "nul\\x00!", "nul\\u0000!"),
        CASE("\x7f", "\\x7f", "\\u007f"),
        CASE("quote\" back\\", "quote\" back\\", "quote\\\" back\\\\"),
        CASE("gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f", "gr\xc3\xbc\xc3\x9f"),
        CASE("\xe2\x82\xac\xf0\x9f\x90\x9d", "\xe2\x82\xac\xf0\x9f\x90\x9d",
             "\xe2\x82\xac\xf0\x9f\x90\x9d"),
        CASE("\xff", "\\xff", "\\\\xff"),
        CASE("\xc3", "\\xc3", "\\\\xc3"),                                 // cut short
        CASE("\xc0\x8a", "\\xc0\\x8a", "\\\\xc0\\\\x8a"),                 // overlong newline
        CASE("\xed\xa0\x80", "\\xed\\xa0\\x80", "\\\\xed\\\\xa0\\\\x80"), // surrogate
        CASE("\xc2\x9b"
             "2J",
             "\\xc2\\x9b2J", "\\\\xc2\\\\x9b2J"), // C1: CSI
        CASE("\xc2\xa0", "\xc2\xa0", "\xc2\xa0"),
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct escape_case *c = &cases[i];
        struct slice text = slice_of(c->text, c->len);
        char want[256];
        (void)snprintf(want, sizeof(want), "%s\n", c->plain);
        cr_assert_str_eq(rendered((struct log_options){0}, LOG_T_ERROR, text), want);
        (void)snprintf(want, sizeof(want), "\"text\":\"%s\"}\n", c->json);
        const char *line = rendered((struct log_options){.json = true}, LOG_T_ERROR, text);
        cr_assert_str_eq(strstr(line, "\"text\""), want);
    }
}

Test(log_sink, the_longest_line_of_the_worst_bytes_fits)
{
    char text[LOG_LINE_MAX];
    memset(text, 1, sizeof(text));
    const char *line = rendered((struct log_options){.json = true}, LOG_T_INFORMATION,
                                slice_of(text, sizeof(text)));
    cr_assert_gt(strlen(line), 6 * LOG_LINE_MAX);
    memset(text, 0xff, sizeof(text));
    line = rendered((struct log_options){.timestamp = true}, LOG_T_ERROR,
                    slice_of(text, sizeof(text)));
    cr_assert_eq(strlen(line), 4 * LOG_LINE_MAX + strlen("1700000000: \n"));
}

Test(log_sink, more_than_the_buffer_is_written_whole_and_in_order)
{
    static char out[4 << 20];
    char path[64], text[64];
    struct log_sink *sink =
        sink_on((struct log_options){.dests = LOG_D_FILE, .file = temp_path(path)});
    for (unsigned i = 0; i < 20000; i++) {
        int len = snprintf(text, sizeof(text), "line %u of many", i);
        add(sink, LOG_T_DEBUG, slice_of(text, (size_t)len));
    }
    cr_assert_eq(log_sink_flush(sink), 0);
    cr_assert_eq(log_sink_flush(sink), 0, "nothing is written twice");
    log_sink_free(sink);
    (void)read_all(path, out, sizeof(out));
    const char *at = out;
    for (unsigned i = 0; i < 20000; i++) {
        int len = snprintf(text, sizeof(text), "line %u of many\n", i);
        cr_assert_eq(strncmp(at, text, (size_t)len), 0);
        at += len;
    }
    cr_assert_eq(*at, '\0');
    (void)unlink(path);
}

Test(log_sink, a_file_is_appended_to_and_not_readable_for_all)
{
    char path[64], out[64];
    struct stat st;
    (void)unlink(temp_path(path));
    (void)umask(0);
    for (int i = 0; i < 2; i++) {
        struct log_sink *sink = sink_on((struct log_options){.dests = LOG_D_FILE, .file = path});
        add(sink, LOG_T_ERROR, slice_str("x"));
        cr_assert_eq(log_sink_flush(sink), 0);
        log_sink_free(sink);
    }
    (void)read_all(path, out, sizeof(out));
    cr_assert_str_eq(out, "x\nx\n");
    cr_assert_eq(stat(path, &st), 0);
    cr_assert_eq(st.st_mode & 0777, 0640);
    (void)unlink(path);
}

Test(log_sink, a_file_that_cannot_be_opened_is_an_error)
{
    struct log_sink *sink;
    struct log_options options = {.dests = LOG_D_FILE, .file = "/nonexistent/log"};
    cr_assert_eq(log_sink_open(&options, &sink), ERR_IO);
    cr_assert_eq(errno, ENOENT);
    options.file = "/tmp";
    cr_assert_eq(log_sink_open(&options, &sink), ERR_IO);
}

Test(log_sink, a_fifo_without_reader_does_not_block_the_start)
{
    char path[64];
    struct log_sink *sink;
    (void)unlink(temp_path(path));
    cr_assert_eq(mkfifo(path, 0600), 0);
    struct log_options options = {.dests = LOG_D_FILE, .file = path};
    cr_assert_eq(log_sink_open(&options, &sink), ERR_IO);
    (void)unlink(path);
}

Test(log_sink, a_full_disk_loses_lines_and_counts_them)
{
    struct log_sink *sink = sink_on((struct log_options){.dests = LOG_D_FILE, .file = "/dev/full"});
    add(sink, LOG_T_ERROR, slice_str("one"));
    add(sink, LOG_T_ERROR, slice_str("two"));
    cr_assert_eq(log_sink_flush(sink), 2);
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
}

// Puts one end of a pipe in the place of stderr; returns the other end.
static int
stderr_to_pipe(void)
{
    int fds[2];
    cr_assert_eq(pipe2(fds, O_CLOEXEC), 0);
    cr_assert_eq(dup2(fds[1], STDERR_FILENO), STDERR_FILENO);
    (void)close(fds[1]);
    return fds[0];
}

Test(log_sink, a_stderr_that_nobody_reads_any_more_is_left)
{
    char path[64], out[64];
    (void)signal(SIGPIPE, SIG_IGN); // main does, and the log thread blocks it
    struct log_sink *sink =
        sink_on((struct log_options){.dests = LOG_D_STDERR | LOG_D_FILE, .file = temp_path(path)});
    (void)close(stderr_to_pipe());
    add(sink, LOG_T_ERROR, slice_str("one"));
    cr_assert_eq(log_sink_flush(sink), 0);
    add(sink, LOG_T_ERROR, slice_str("two"));
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
    (void)read_all(path, out, sizeof(out));
    cr_assert_str_eq(out, "one\ntwo\n");
    (void)unlink(path);
}

Test(log_sink, a_closed_stderr_is_left)
{
    struct log_sink *sink = sink_on((struct log_options){.dests = LOG_D_STDERR});
    int saved = dup(STDERR_FILENO);
    (void)close(STDERR_FILENO);
    add(sink, LOG_T_ERROR, slice_str("one"));
    uint64_t lost = log_sink_flush(sink);
    log_sink_free(sink);
    (void)dup2(saved, STDERR_FILENO);
    cr_assert_eq(lost, 0);
}

Test(log_sink, a_stuck_stderr_loses_whole_lines_and_recovers)
{
    static char out[1 << 20];
    char text[128];
    int saved = dup(STDERR_FILENO);
    int reader = stderr_to_pipe();
    struct log_sink *sink = sink_on((struct log_options){.dests = LOG_D_STDERR});
    uint64_t begin = clock_mono_ms(), lost = 0;
    for (unsigned i = 0; i < 3000; i++) { // more than the pipe's 64 KB
        int len = snprintf(text, sizeof(text), "line %04u with some text to fill the pipe", i);
        add(sink, LOG_T_ERROR, slice_of(text, (size_t)len));
    }
    lost += log_sink_flush(sink);
    cr_assert(lost > 0 && lost < 3000);
    add(sink, LOG_T_ERROR, slice_str("also lost"));
    cr_assert_eq(log_sink_flush(sink), 1);
    uint64_t took = clock_mono_ms() - begin;
    cr_assert_lt(took, 10 * LOG_SINK_PATIENCE_MS, "patience is spent once");

    ssize_t len = read(reader, out, sizeof(out));
    cr_assert_gt(len, 0);
    cr_assert_eq(out[len - 1], '\n', "no torn line");
    add(sink, LOG_T_ERROR, slice_str("back"));
    cr_assert_eq(log_sink_flush(sink), 0);
    len = read(reader, out, sizeof(out));
    cr_assert_eq(strncmp(out, "back\n", (size_t)len), 0);
    log_sink_free(sink);
    (void)dup2(saved, STDERR_FILENO);
}

Test(log_sink, a_torn_line_is_ended_before_the_next)
{
    char path[64], out[256];
    struct rlimit limit;
    // A limit on file sizes acts like a disk that fills in the middle of a line.
    (void)signal(SIGXFSZ, SIG_IGN);
    cr_assert_eq(getrlimit(RLIMIT_FSIZE, &limit), 0);
    struct log_sink *sink =
        sink_on((struct log_options){.dests = LOG_D_FILE, .file = temp_path(path)});
    (void)setrlimit(RLIMIT_FSIZE, &(struct rlimit){15, limit.rlim_max});
    add(sink, LOG_T_ERROR, slice_str("0123456789"));
    add(sink, LOG_T_ERROR, slice_str("abcdefghij"));
    add(sink, LOG_T_ERROR, slice_str("never seen"));
    cr_assert_eq(log_sink_flush(sink), 2);
    add(sink, LOG_T_ERROR, slice_str("nor this"));
    cr_assert_eq(log_sink_flush(sink), 1);
    (void)setrlimit(RLIMIT_FSIZE, &limit);
    add(sink, LOG_T_ERROR, slice_str("next"));
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
    (void)read_all(path, out, sizeof(out));
    cr_assert_str_eq(out, "0123456789\nabcd\nnext\n");
    (void)unlink(path);
}

Test(log_sink, syslog_and_none_at_all_take_lines)
{
    struct log_sink *sink = sink_on((struct log_options){
        .dests = LOG_D_SYSLOG, .timestamp = true, .syslog_facility = LOG_USER});
    add(sink, LOG_T_DEBUG, slice_str("100%s %n"));
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
    sink = sink_on((struct log_options){.dests = 0});
    add(sink, LOG_T_ERROR, slice_str("x"));
    cr_assert_eq(log_sink_flush(sink), 0);
    log_sink_free(sink);
    log_sink_free(NULL);
}
