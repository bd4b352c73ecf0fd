// agent.h - one of several processes that load a broker together.
//
// Job:    wait for a coordinator, do its part of a run as it says, tell it what was found, and wait
//         for the next one.
// Owner:  main. Thread: main; a run has its workers. Memory: of the run under way.
// Limits: one coordinator at a time; others are told so. A coordinator that is silent for
//         AGENT_SILENCE_S is taken for gone, and its run ends. Nothing that a coordinator says
//         names a file or a command.
#ifndef TERN_BENCH_AGENT_H
#define TERN_BENCH_AGENT_H

#include "core/base/err.h"

#include "bench/options.h"

#define AGENT_SILENCE_S 40u

// Returns when it cannot listen, after a line on stderr, or with --agent-once after a run: OK when
// that went to its end.
NODISCARD err_t agent_serve(const struct options *options);

#endif
