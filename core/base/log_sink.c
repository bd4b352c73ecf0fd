// log_sink.c - log lines rendered, gathered and written.
//
// The three descriptors get the same bytes. Only whole lines are handed to write(2), and to
// anything but a regular file at most PIPE_BUF bytes after poll(2) said that it takes some: then a
// pipe takes all of them without blocking and without mixing them with other writers' lines. Making
// stderr non-blocking instead would change it for every process that shares it.
#include "core/base/log_sink.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

#include "core/base/mem.h"
#include "core/base/utf8.h"

#define SINK_MAGIC 0x53494e4bu
#define STAMP_MAX  80
// A byte of text becomes at most six (\u001f).
#define LINE_MAX_RENDERED (6 * LOG_LINE_MAX + STAMP_MAX + 64)
#define OUTS              3 // stderr, stdout, file
// poll(2) may call a socket writable that then refuses.
#define REFUSALS_MAX 8
_Static_assert(LINE_MAX_RENDERED <= PIPE_BUF, "one line is one atomic write to a pipe");

struct out {
    int fd; // -1: none, or given up
    bool owned;
    bool regular; // a regular file takes writes of any size at once
    bool torn;    // a line was written in part: end it before the next one
    bool stuck;   // ran out of patience last time: do not wait again
};

struct log_sink {
    uint32_t magic;
    bool json, timestamp, syslog;
    char *timestamp_format; // NULL: unix seconds
    struct out out[OUTS];
    uint64_t lost;
    uint64_t stamp_second; // the second that stamp shows
    char stamp[STAMP_MAX];
    size_t len;
    uint8_t buffer[LOG_SINK_BUFFER];
};

// ---- Opening ----------------------------------------------------------------------------------

static void
out_init(struct out *out, int fd, bool owned)
{
    struct stat st;
    *out = (struct out){.fd = fd, .owned = owned};
    out->regular = fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

err_t
log_sink_open(const struct log_options *options, struct log_sink **ret_sink)
{
    must(options != NULL && ret_sink != NULL);
    int fd = -1;
    if (options->dests & LOG_D_FILE) {
        must(options->file != NULL);
        // Not blocking, because the name may be that of a FIFO which nobody reads.
        fd = open(options->file, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
                  0640);
        if (fd < 0)
            return ERR_IO;
    }
    struct log_sink *sink = mem_zalloc(sizeof(*sink));
    for (size_t i = 0; i < OUTS; i++)
        sink->out[i].fd = -1;
    if (options->dests & LOG_D_STDERR)
        out_init(&sink->out[0], STDERR_FILENO, false);
    if (options->dests & LOG_D_STDOUT)
        out_init(&sink->out[1], STDOUT_FILENO, false);
    if (fd >= 0)
        out_init(&sink->out[2], fd, true);
    if (options->dests & LOG_D_SYSLOG) {
        openlog("ternmq", LOG_PID | LOG_NDELAY, options->syslog_facility);
        sink->syslog = true;
    }
    sink->json = options->json;
    sink->timestamp = options->timestamp;
    if (options->timestamp_format != NULL)
        sink->timestamp_format = mem_strdup(options->timestamp_format);
    sink->stamp_second = UINT64_MAX;
    tzset();
    sink->magic = SINK_MAGIC;
    *ret_sink = sink;
    return OK;
}

void
log_sink_free(struct log_sink *sink)
{
    if (sink == NULL)
        return;
    must(sink->magic == SINK_MAGIC);
    for (size_t i = 0; i < OUTS; i++)
        if (sink->out[i].fd >= 0 && sink->out[i].owned)
            (void)close(sink->out[i].fd);
    mem_free(sink->timestamp_format);
    sink->magic = 0;
    mem_free(sink);
}

// ---- Writing ----------------------------------------------------------------------------------

static uint64_t
count_lines(const uint8_t *data, size_t len)
{
    uint64_t lines = 0;
    for (size_t i = 0; i < len; i++)
        lines += data[i] == '\n';
    return lines;
}

// Waits until out takes bytes; false when its patience is at an end.
static bool
out_wait(struct out *out)
{
    struct pollfd poller = {.fd = out->fd, .events = POLLOUT};
    int n = poll(&poller, 1, out->stuck ? 0 : LOG_SINK_PATIENCE_MS);
    out->stuck = n == 0;
    return !out->stuck; // an error shows in write
}

// How much of data to write at once: whole lines.
static size_t
chunk_len(const struct out *out, const uint8_t *data, size_t len)
{
    if (out->regular || len <= PIPE_BUF)
        return len;
    const uint8_t *end = memrchr(data, '\n', PIPE_BUF);
    return end != NULL ? (size_t)(end - data) + 1 : PIPE_BUF;
}

// Returns how many bytes of data out took; less than len when it is stuck, full or gone.
static size_t
out_write(struct out *out, const uint8_t *data, size_t len)
{
    size_t done = 0;
    unsigned refusals = 0;
    while (done < len && refusals < REFUSALS_MAX) {
        if (!out->regular && !out_wait(out))
            break;
        ssize_t n = write(out->fd, data + done, chunk_len(out, data + done, len - done));
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            refusals++;
            continue;
        }
        if (n < 0 && (errno == EPIPE || errno == EBADF || errno == ECONNRESET)) {
            // Nobody reads this any more, and that does not change. The process goes on.
            if (out->owned)
                (void)close(out->fd);
            out->fd = -1;
            return len;
        }
        if (n <= 0) // no space, a device's error: try again with the next lines
            break;
        done += (size_t)n;
    }
    return done;
}

static uint64_t
out_flush(struct out *out, const uint8_t *data, size_t len)
{
    if (out->fd < 0)
        return 0;
    if (out->torn && out_write(out, (const uint8_t *)"\n", 1) == 0)
        return count_lines(data, len);
    out->torn = false;
    if (out->fd < 0)
        return 0;
    size_t done = out_write(out, data, len);
    must(done <= len);
    out->torn = done > 0 && data[done - 1] != '\n';
    return count_lines(data + done, len - done);
}

uint64_t
log_sink_flush(struct log_sink *sink)
{
    must(sink->magic == SINK_MAGIC);
    uint64_t most = 0;
    for (size_t i = 0; i < OUTS && sink->len > 0; i++)
        most = max_u64(most, out_flush(&sink->out[i], sink->buffer, sink->len));
    sink->len = 0;
    uint64_t lost = sink->lost + most;
    sink->lost = 0;
    return lost;
}

// ---- Rendering --------------------------------------------------------------------------------

static void
put(struct log_sink *sink, const void *data, size_t len)
{
    must(len <= sizeof(sink->buffer) - sink->len);
    memcpy(sink->buffer + sink->len, data, len);
    sink->len += len;
}

static void
put_str(struct log_sink *sink, const char *s)
{
    put(sink, s, strlen(s));
}

// Length of the printable UTF-8 character at the front of text, 0 when a byte has to be escaped.
// U+0080 to U+009F are control characters too: terminals obey them.
static uint32_t
printable(struct slice text)
{
    uint8_t lead = text.data[0];
    if (lead < 0x80)
        return lead >= 0x20 && lead != 0x7f;
    if (lead == 0xc2 && text.len > 1 && text.data[1] < 0xa0)
        return 0;
    uint32_t len = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    return text.len >= len && utf8_valid(slice_of(text.data, len)) ? len : 0;
}

// \xNN for what is not printable. In JSON an invalid byte becomes the text \xNN, a control
// character \u00NN, and what JSON itself uses gets its backslash.
static void
put_text(struct log_sink *sink, struct slice text, bool json)
{
    char escape[8];
    while (text.len > 0) {
        uint8_t byte = text.data[0];
        uint32_t len = printable(text);
        if (json && (byte == '"' || byte == '\\'))
            put(sink, "\\", 1);
        if (len > 0) {
            put(sink, text.data, len);
        } else {
            const char *form = !json ? "\\x" : byte < 0x80 ? "\\u00" : "\\\\x";
            (void)snprintf(escape, sizeof(escape), "%s%02x", form, byte);
            put_str(sink, escape);
            len = 1;
        }
        text = slice_of(text.data + len, text.len - len);
    }
}

static const char *
type_name(enum log_type type)
{
    must(type != 0 && (type & LOG_T_ALL) == type && (type & (type - 1)) == 0);
    return log_type_names[__builtin_ctz((unsigned)type)];
}

static int
syslog_priority(enum log_type type)
{
    switch (type) {
    case LOG_T_ERROR:
        return LOG_ERR;
    case LOG_T_WARNING:
        return LOG_WARNING;
    case LOG_T_NOTICE:
        return LOG_NOTICE;
    case LOG_T_INFORMATION:
        return LOG_INFO;
    default:
        return LOG_DEBUG;
    }
}

// The operator's format, local time; empty when it yields nothing or too much.
static size_t
format_local(char *out, size_t size, const char *format, time_t second)
{
    struct tm tm;
    if (localtime_r(&second, &tm) == NULL)
        return 0;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" // strftime cannot be made to read arguments
    return strftime(out, size, format, &tm);
#pragma GCC diagnostic pop
}

// The part of the time stamp that changes once a second, made once a second.
static void
update_stamp(struct log_sink *sink, uint64_t second)
{
    struct tm tm;
    time_t t = (time_t)second;
    if (second == sink->stamp_second)
        return;
    sink->stamp_second = second;
    if (sink->json) {
        if (gmtime_r(&t, &tm) == NULL ||
            strftime(sink->stamp, sizeof(sink->stamp), "%Y-%m-%dT%H:%M:%S", &tm) == 0)
            sink->stamp[0] = '\0';
        return;
    }
    if (sink->timestamp_format == NULL ||
        format_local(sink->stamp, sizeof(sink->stamp), sink->timestamp_format, t) == 0)
        (void)snprintf(sink->stamp, sizeof(sink->stamp), "%llu", (unsigned long long)second);
}

static void
put_json(struct log_sink *sink, const struct log_record *record)
{
    char millis[32];
    (void)snprintf(millis, sizeof(millis), ".%03uZ", (unsigned)(record->wall_ms % 1000));
    put_str(sink, "{\"time\":\"");
    put_str(sink, sink->stamp);
    put_str(sink, millis);
    put_str(sink, "\",\"type\":\"");
    put_str(sink, type_name(record->type));
    put_str(sink, "\",\"text\":\"");
    put_text(sink, record->text, true);
    put_str(sink, "\"}");
}

void
log_sink_add(struct log_sink *sink, const struct log_record *record)
{
    must(sink->magic == SINK_MAGIC);
    must(record->text.len <= LOG_LINE_MAX);
    if (sizeof(sink->buffer) - sink->len < LINE_MAX_RENDERED)
        sink->lost = log_sink_flush(sink);

    size_t begin = sink->len;
    update_stamp(sink, record->wall_ms / 1000);
    if (sink->json) {
        put_json(sink, record);
    } else {
        if (sink->timestamp) {
            put_str(sink, sink->stamp);
            put_str(sink, ": ");
        }
        put_text(sink, record->text, false);
    }
    put(sink, "\n", 1);
    must(sink->len - begin <= LINE_MAX_RENDERED);

    if (sink->syslog) { // it brings a time stamp of its own
        size_t skip = sink->timestamp && !sink->json ? strlen(sink->stamp) + 2 : 0;
        syslog(syslog_priority(record->type), "%.*s", (int)(sink->len - begin - skip - 1),
               (const char *)sink->buffer + begin + skip);
    }
}
