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
    SCENARIO_SHARED,
    SCENARIO_WILDCARD,
    SCENARIO_MANY_TOPICS,
    SCENARIO_RETAINED,
    SCENARIO_CHURN,
    SCENARIO_DURABLE_PAIRS, // the durable ones from here on
    SCENARIO_OFFLINE_QUEUE,
    SCENARIO_RECOVER,
    SCENARIO_FLEET,
    SCENARIOS,
};

struct options {
    const char *host, *label, *restart_command, *file;
    char *file_text; // of the scenario file; NULL without one
    uint64_t port, scenario, clients, qos, size, version, rate;
    uint64_t window_per_sub, window_total, burst, inflight;
    uint64_t warmup_s, seconds, drain_s, threads, broker_pid;
    uint64_t window_bytes, keep_alive_s, depth, extra_subscriptions, wildcard_percent;
    uint64_t subscribers, filters, topics, retained, churn_rate;
    uint64_t command_rate, drop_rate, storm_at_s, storm_percent;
    uint64_t messages, sample, session_expiry_s, kill_at_s;
    const char *agent, *agents;
    uint64_t agents_wait_s, broker_agent;
    const char *cafile;
    const char *bind, *user_name, *password; // "": none
    uint64_t tls_version;                    // 12, 13
    bool json, tolerate, help, agent_once, exact, shared;
    bool tls, websocket, resume, refused;
};

// A text option, or NULL when it was not given.
static inline const char *
options_text(const char *text)
{
    return *text != '\0' ? text : NULL;
}

#define OPTIONS_WORD_MAX 320u // "--name=value" for an agent

// ERR_CONFIG after a line on stderr that says what is wrong, and where in which file.
NODISCARD err_t options_parse(int argc, char **argv, struct options *ret_options);
void options_free(struct options *options);
void options_help(void); // to stdout
// Calls fn with "--name=value" for what agents have to be told: all that differs from the defaults
// and is theirs to know. ERR_CONFIG, after a line on stderr, when a text is too long.
NODISCARD err_t options_tell(const struct options *options, void (*fn)(void *arg, const char *word),
                             void *arg);
// Whether a word is one that options_tell may tell.
bool options_may_be_told(const char *word);
// Whether sessions outlive connections in it.
bool scenario_is_durable(uint64_t scenario);
const char *scenario_name(uint64_t scenario);

#endif
