// log_sink.h - where log lines end up: their form and their destinations.
//
// Job:    renders records as plain or JSON lines, gathers them, writes whole lines to stderr,
//         stdout, a file, syslog.
// Owner:  the log thread (log.c). Thread: one at a time.
// Memory: one buffer of LOG_SINK_BUFFER bytes.
// Limits: a destination that takes nothing for LOG_SINK_PATIENCE_MS loses lines until it takes some
//         again; one whose reader is gone is left.
#ifndef TERN_CORE_BASE_LOG_SINK_H
#define TERN_CORE_BASE_LOG_SINK_H

#include "core/base/log.h"

#define LOG_SINK_BUFFER      65536
#define LOG_SINK_PATIENCE_MS 1000

struct log_record {
    uint64_t wall_ms; // when it was logged
    enum log_type type;
    struct slice text; // any bytes, at most LOG_LINE_MAX of them
};

struct log_sink;

// Opens the destinations. Returns new in ret_sink. ERR_IO when the file cannot be opened; errno
// says why.
NODISCARD err_t log_sink_open(const struct log_options *options, struct log_sink **ret_sink);
// Takes. What was not flushed is lost. NULL is fine.
void log_sink_free(struct log_sink *sink);
// Adds a line; may write out earlier ones to make room.
void log_sink_add(struct log_sink *sink, const struct log_record *record);
// Writes out what was added. Returns how many lines a destination lost since the last call.
uint64_t log_sink_flush(struct log_sink *sink);

#endif
