// report.h - what a run found, for people and for programs.
//
// Job:    one list of figures, printed as a table or as a JSON object.
// Owner:  none. Thread: main. Memory: none. Limits: none.
#ifndef TERN_BENCH_REPORT_H
#define TERN_BENCH_REPORT_H

#include "bench/run.h"

// To stdout, in the form that the options ask for.
void report_print(const struct options *options, const struct result *result);

#endif
