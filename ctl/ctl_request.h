// ctl_request.h - what ternmqctl asks: one line of JSON, version 1.
//
// Job:    a line to a request, or to what is wrong with it. {"v":1,"op":"clients","limit":100}
// Owner:  whoever has the request. Thread: any. Memory: jansson's, until ctl_request_clear.
// Limits: CTL_REQUEST_MAX bytes, no value within a value; each operation has its fields and no
//         others, so that what is misspelled is not overlooked.
#ifndef TERN_CTL_CTL_REQUEST_H
#define TERN_CTL_CTL_REQUEST_H

#include <jansson.h>

#include "core/base/base.h"

#include "core/control.h"

#define CTL_VERSION 1
// Two texts of 65,535 bytes, every one escaped.
#define CTL_REQUEST_MAX (65535u * 12 + 1024)
#define CTL_LIMIT_MAX   1000u
#define CTL_LIMIT       200u // without "limit"
#define CTL_PATH_MAX    4000u
#define CTL_PROBLEM_MAX 160u
#define CTL_CURSOR_MAX  64u
// A trace, and counting topics, end after as many seconds.
#define CTL_TRACE_S 3600u
#define CTL_COUNT_S 5u // without "for_s"

enum ctl_op {
    CTL_STATUS,
    CTL_CLUSTER,
    CTL_CLIENTS,
    CTL_CLIENT,
    CTL_KICK,
    CTL_SUBSCRIPTIONS,
    CTL_RETAINED,
    CTL_RETAINED_RM,
    CTL_BACKUP,
    CTL_RELOAD,
    CTL_BANS,
    CTL_BAN,
    CTL_UNBAN,
    CTL_LOG,
    CTL_CONFIG,
    CTL_CONFIG_CHECK,
    CTL_EXPLAIN,
    CTL_MATCHES,
    CTL_DRAIN,
    CTL_DRAIN_UNDO,
    CTL_DECOMMISSION,
    CTL_FORGET,
    CTL_REBALANCE,
    CTL_REBALANCE_STOP,
    CTL_TRACE,
    CTL_TOPICS,
    CTL_OPS,
};

// Where a long answer goes on.
struct ctl_cursor {
    uint32_t shard;
    struct control_place place;
};

struct ctl_request {
    json_t *json; // what the texts are borrowed from
    enum ctl_op op;
    struct slice id, user, text, filter, path; // data NULL: not there
    uint64_t address;                          // address.h; ADDRESS_NONE: not there
    uint32_t limit, for_s, types, rate;        // for_s, rate 0: not there; types: LOG_T_*
    uint32_t levels;                           // 0: not there
    uint8_t qos;
    bool away, force, publish, all, dry_run, has_types, has_cursor, waiting, by_bytes;
    struct ctl_cursor cursor;
};

// False: the problem says what is expected. ret is to be cleared in both cases.
bool ctl_request_read(struct slice line, struct ctl_request *ret,
                      char ret_problem[CTL_PROBLEM_MAX]);
void ctl_request_clear(struct ctl_request *request);

bool ctl_cursor_read(struct slice text, struct ctl_cursor *ret);
void ctl_cursor_write(const struct ctl_cursor *cursor, char ret_text[CTL_CURSOR_MAX]);

const char *ctl_op_name(enum ctl_op op);

#endif
