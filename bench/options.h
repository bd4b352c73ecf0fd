// options.h - the command line, and files of it.
//
// Job:    one table gives parser, defaults, limits and --help.
// Owner:  main. Thread: read-only after options_parse.
// Memory: strings are borrowed from argv, or from the scenario file's text until options_free.
// Limits: those of the table.
#ifndef TERN_BENCH_OPTIONS_H
#define TERN_BENCH_OPTIONS_H

#include "core/base/err.h"

enum scenario {
    SCENARIO_PAIRS,
    SCENARIO_FAN_IN,
    SCENARIO_FAN_OUT,
    SCENARIO_IDLE,
    SCENARIO_CONNECT,
    SCENARIO_DURABLE_PAIRS,
    SCENARIO_OFFLINE_QUEUE,
    SCENARIO_RECOVER,
};

struct options {
    const char *host, *label, *restart_command, *file;
    char *file_text; // of the scenario file; NULL without one
    uint64_t port, scenario, clients, qos, size, version, rate;
    uint64_t window_per_sub, window_total, burst, inflight;
    uint64_t warmup_s, seconds, drain_s, threads, broker_pid;
    uint64_t messages, sample, session_expiry_s, kill_at_s;
    bool json, tolerate, help;
};

// ERR_CONFIG after a line on stderr that says what is wrong, and where in which file.
NODISCARD err_t options_parse(int argc, char **argv, struct options *ret_options);
void options_free(struct options *options);
void options_help(void); // to stdout
// Whether sessions outlive connections in it.
bool scenario_is_durable(uint64_t scenario);
const char *scenario_name(uint64_t scenario);

#endif
