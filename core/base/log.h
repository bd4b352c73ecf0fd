// log.h - log lines that never make a worker wait.
//
// Job:    format on the caller, hand to a log thread through a bounded lock-free queue; the thread
//         writes to stderr, stdout, a file, syslog.
// Owner:  main. Thread: log_line from any; the rest from main.
// Memory: 128 KiB, and the lines that wait.
// Limits: LOG_QUEUE_LINES lines of LOG_LINE_MAX bytes; when the queue is full the line is dropped
//         and counted, and the next line that fits says how many were lost.
#ifndef TERN_CORE_BASE_LOG_H
#define TERN_CORE_BASE_LOG_H

#include "core/base/err.h"

#define LOG_LINE_MAX    512
#define LOG_QUEUE_LINES 4096

// Mosquitto's log_type values.
enum log_type {
    LOG_T_ERROR = 1 << 0,
    LOG_T_WARNING = 1 << 1,
    LOG_T_NOTICE = 1 << 2,
    LOG_T_INFORMATION = 1 << 3,
    LOG_T_DEBUG = 1 << 4,
    LOG_T_SUBSCRIBE = 1 << 5,
    LOG_T_UNSUBSCRIBE = 1 << 6,
    LOG_T_WEBSOCKETS = 1 << 7,
    LOG_T_INTERNAL = 1 << 8,
};
#define LOG_T_DEFAULT (LOG_T_ERROR | LOG_T_WARNING | LOG_T_NOTICE | LOG_T_INFORMATION)
#define LOG_T_ALL     0x1ff
#define LOG_TYPES     9
extern const char *const log_type_names[LOG_TYPES]; // by bit
// LOG_T_* of one of these names, of "all" or "none". False: it is no type.
bool log_types_of(struct slice name, uint32_t *ret_types);

enum log_dest {
    LOG_D_STDERR = 1 << 0,
    LOG_D_STDOUT = 1 << 1,
    LOG_D_FILE = 1 << 2,
    LOG_D_SYSLOG = 1 << 3,
};

struct log_options {
    uint32_t types;               // LOG_T_*
    uint32_t dests;               // LOG_D_*; 0 = nothing is written
    const char *file;             // for LOG_D_FILE; borrowed during the call
    int syslog_facility;          // LOG_DAEMON, LOG_LOCAL0, ...
    bool timestamp;               // log_timestamp
    const char *timestamp_format; // strftime; NULL = unix seconds, as Mosquitto
    bool json; // log_format json: one object a line {"time":..,"type":..,"text":..}
};

// A call site that hostile input can reach: at most LOG_LIMIT_BURST lines a second; the first line
// of a later second is preceded by one that says how many were suppressed. A field of the shard.
#define LOG_LIMIT_BURST 10 // enough to see what is going on, too little to fill a disk
struct log_limit {
    uint64_t second;
    uint32_t seen, suppressed;
};

struct log;

// Starts the log thread. Returns new in ret_log. ERR_IO with a line on stderr when the file cannot
// be opened.
NODISCARD err_t log_open(const struct log_options *options, struct log **ret_log);
// Changes types and destinations, reopens the file (rotation). Keeps the old ones on ERR_IO.
NODISCARD err_t log_reopen(struct log *log, const struct log_options *options);
// Writes what is queued, ends the thread. Takes; NULL is fine.
void log_close(struct log *log);

// What is logged now; and from now on, until log_reopen. ON_ANY.
uint32_t log_types(const struct log *log);
void log_set_types(struct log *log, uint32_t types);

// Cheap test before work that only a log line needs.
bool log_wants(const struct log *log, enum log_type type);
// Control characters in the text are escaped (no log injection). Lines are never written twice.
// log may be NULL (tests, fuzzers): nothing happens.
void log_line(struct log *log, enum log_type type, const char *format, ...) PRINTF_LIKE(3);
// The same under a limit; now_ms is the tick's monotonic time. limit belongs to the calling thread.
void log_limited(struct log *log, struct log_limit *limit, uint64_t now_ms, enum log_type type,
                 const char *format, ...) PRINTF_LIKE(5);
uint64_t log_dropped(const struct log *log);

#endif
