// ctl_options.h - the command line of ternmqctl.
//
// Job:    arguments to a command, or to what is wrong with them; the texts of --help.
// Owner:  none. Thread: one. Memory: none: texts are argv's. Limits: none.
#ifndef TERN_CTL_CTL_OPTIONS_H
#define TERN_CTL_CTL_OPTIONS_H

#include "ctl/ctl_sort.h"

#define CTL_SOCKET_DEFAULT "/run/ternmq/control.sock"
#define CTL_SOCKET_ENV     "TERNMQ_CONTROL_SOCKET"

enum ctl_command {
    CTL_DO_STATUS,
    CTL_DO_CLUSTER,
    CTL_DO_CLIENTS,
    CTL_DO_CLIENT,
    CTL_DO_KICK,
    CTL_DO_SUBSCRIPTIONS,
    CTL_DO_RETAINED_LS,
    CTL_DO_RETAINED_RM,
    CTL_DO_BACKUP,
    CTL_DO_RELOAD,
    CTL_DO_BAN_ADD,
    CTL_DO_BAN_RM,
    CTL_DO_BAN_LS,
    CTL_DO_LOG_LEVEL,
    CTL_DO_CONFIG_SHOW,
    CTL_DO_CONFIG_CHECK,
    CTL_DO_EXPLAIN_PUB,
    CTL_DO_EXPLAIN_SUB,
    CTL_DO_DRAIN,
    CTL_DO_DECOMMISSION,
    CTL_DO_FORGET,
    CTL_DO_REBALANCE,
    CTL_DO_TRACE_CLIENT,
    CTL_DO_TRACE_TOPIC,
    CTL_DO_TOPICS_TOP,
    CTL_DO_SLOW,
    CTL_DO_HELP,
    CTL_DO_VERSION,
};

#define CTL_OPERANDS_MAX 2u
#define CTL_RATE_MAX     10000u // of rebalance

struct ctl_options {
    enum ctl_command command;
    enum ctl_command topic;                 // HELP: of this one; HELP itself: of the program
    const char *socket;                     // never NULL
    const char *operands[CTL_OPERANDS_MAX]; // ID, FILTER, TOPIC and so on; NULL = none
    const char *text;                       // --filter; NULL = none
    const char *client, *user, *address;    // --client and so on; NULL = none
    uint64_t limit;                         // --limit; UINT64_MAX = none
    uint64_t for_s;                         // --for; 0 = none
    uint64_t rate;                          // --rate; 0 = none
    uint64_t count;                         // --count; UINT64_MAX = no end
    uint64_t levels;                        // --prefix-levels; 0 = all
    uint32_t qos;                           // --qos
    enum ctl_order order;                   // --sort
    bool json, all, force, by_bytes, wait, undo, dry_run, yes;
};

#define CTL_COMPLAINT_MAX 256u
// env: TERNMQ_CONTROL_SOCKET's value, or NULL. False: the complaint says what is wrong.
bool ctl_options_read(int argc, char *const *argv, const char *env, struct ctl_options *ret,
                      char ret_complaint[CTL_COMPLAINT_MAX]);
const char *ctl_options_help(enum ctl_command of);

#endif
