// report_agents.h - what each agent of a run did.
//
// Job:    a line for each agent in the table, an array of objects in JSON; nothing where a run had
//         no agents. Owner: none. Thread: main. Memory: none. Limits: none.
#ifndef TERN_BENCH_REPORT_AGENTS_H
#define TERN_BENCH_REPORT_AGENTS_H

#include "bench/run.h"

// To stdout. The member `agents`, with a comma before it.
void report_agents_json(const struct result *result);
void report_agents_table(const struct result *result);

#endif
